package swarm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"time"

	"github.com/swarm-go/swarm/internal/wire"
)

// NodeClient reads, changes and removes the nodes of a swarm.
//
// Reading takes an ID, a hostname, or a unique prefix of an ID, in this order,
// as the engine does. Changing and removing takes a full ID or an exact hostname
// alone: an ID prefix could name another node by the time it is used. A hostname
// that several nodes have is [ErrAmbiguousRef].
type NodeClient struct{ client *Client }

// Inspect reads a node; "self" is the node of the engine that is asked, whatever
// the nodes are called. A node that does not exist is [ErrNotFound], a prefix of
// several IDs, or a hostname of several nodes, [ErrAmbiguousRef].
//
// Engine endpoints: GET /nodes/{id}, GET /info
func (n *NodeClient) Inspect(ctx context.Context, ref string) (*Node, error) {
	const op = "inspect node"
	if ref != "self" {
		return n.inspect(ctx, op, ref)
	}
	state, err := n.client.Swarm.localState(ctx, op)
	if err != nil {
		return nil, err
	}
	if state.NodeID == "" {
		return n.inspect(ctx, op, ref) // the engine has more to say about why
	}
	return n.inspect(ctx, op, state.NodeID)
}

func (n *NodeClient) inspect(ctx context.Context, op, ref string) (*Node, error) {
	return inspectObject(ctx, n.client, &call{op: op, object: ref, to: to("/nodes/{id}", ref)}, decodeNode)
}

// find reads the node that a change is about: by full ID or exact hostname.
func (n *NodeClient) find(ctx context.Context, op, ref string) (*Node, error) {
	node, err := n.inspect(ctx, op, ref)
	if err != nil {
		return nil, err
	}
	if node.ID != ref && node.Description.Hostname != ref {
		return nil, &Error{Op: op, Object: ref, kind: ErrNotFound,
			Message: "no node has this full ID or exact hostname; a prefix is not enough to change one"}
	}
	return node, nil
}

func decodeNode(raw json.RawMessage) (Node, error) {
	node := Node{}
	if err := wire.Unmarshal(raw, &node); err != nil {
		return Node{}, err
	}
	node.Raw = raw
	return node, requireID(node.ID)
}

// NodeListOptions choose nodes. What is left out does not restrict; the
// alternatives inside one field are joined by "or", the fields by "and".
type NodeListOptions struct {
	// IDs are full IDs.
	IDs []string
	// IDPrefixes are beginnings of IDs; a node matches IDs or IDPrefixes.
	IDPrefixes []string
	// Names are exact hostnames. Engines match hostnames by prefix; the rest is
	// left out here.
	Names []string
	// NamePrefixes are beginnings of hostnames; a node matches Names or
	// NamePrefixes.
	NamePrefixes []string
	// Labels are labels that the node must have, all of them; an empty value asks
	// for presence. Needs API 1.40.
	Labels map[string]string
	// EngineLabels are labels that the configuration of the node's engine must
	// have, all of them; an empty value asks for presence.
	EngineLabels map[string]string
	// Roles are the roles wanted.
	Roles []NodeRole
	// Memberships are the memberships wanted; see there what they are worth.
	Memberships []NodeMembership
}

// NodeMembership is whether a node has been let into the swarm. All nodes have:
// swarms do not make nodes wait any more. Engines forget it with the first change
// of a node's spec, and call the node pending from then on.
type NodeMembership string

// The memberships of nodes.
const (
	// MembershipAccepted is a node whose spec was never changed.
	MembershipAccepted NodeMembership = "accepted"
	// MembershipPending is a node whose spec was changed.
	MembershipPending NodeMembership = "pending"
)

func (o *NodeListOptions) query() (url.Values, error) {
	f := filters{}
	f.add("id", slices.Concat(o.IDs, o.IDPrefixes)...)
	f.add("name", slices.Concat(o.Names, o.NamePrefixes)...)
	f.addLabelsBy("node.label", o.Labels)
	f.addLabels(o.EngineLabels)
	for _, role := range o.Roles {
		if role != RoleWorker && role != RoleManager {
			return nil, fmt.Errorf("unknown role %q", role)
		}
		f.add("role", string(role))
	}
	for _, membership := range o.Memberships {
		if membership != MembershipAccepted && membership != MembershipPending {
			return nil, fmt.Errorf("unknown membership %q", membership)
		}
		f.add("membership", string(membership))
	}
	return f.query(), nil
}

// keeps applies what engines cannot.
func (o *NodeListOptions) keeps(n *Node) bool {
	return matches(n.ID, o.IDs, o.IDPrefixes) && matches(n.Description.Hostname, o.Names, o.NamePrefixes)
}

// List returns the nodes that opts choose, all of them if opts is nil.
//
// Engine endpoint: GET /nodes
func (n *NodeClient) List(ctx context.Context, opts *NodeListOptions) ([]Node, error) {
	const op = "list nodes"
	if opts == nil {
		opts = &NodeListOptions{}
	}
	query, err := opts.query()
	if err != nil {
		return nil, invalid(op, "", "%v", err)
	}
	return listObjects(ctx, n.client, &call{op: op, to: to("/nodes"), query: query}, decodeNode, opts.keeps)
}

// Update writes back a node that was read and whose Spec was then changed. What
// differs from what was read is applied to the engine's own JSON, so that fields
// unknown to this library stay as they are. If nothing differs nothing is sent.
//
// If anybody changed the node since it was read, also the engine itself, the
// error is [ErrVersionConflict]: read it again, or use [NodeClient.Modify]. What
// the swarm cannot do, as demoting its last manager, is [ErrInvalid], and so is a
// node without Raw. If the answer is lost, for all repetitions, the error is an
// [*OutcomeUnknownError].
//
// Engine endpoint: POST /nodes/{id}/update
func (n *NodeClient) Update(ctx context.Context, node *Node) error {
	return n.update(ctx, "update node", node)
}

func (n *NodeClient) update(ctx context.Context, op string, node *Node) error {
	if err := checkNodeUpdatable(node); err != nil {
		return &Error{Op: op, Object: nodeLabel(node), Err: err, kind: ErrInvalid}
	}
	call := &call{op: op, object: nodeLabel(node), to: to("/nodes/{id}/update", node.ID)}
	return writeBack(ctx, n.client, call, "NodeSpec", node.Raw, node.Version, node.Spec)
}

func checkNodeUpdatable(n *Node) error {
	switch {
	case n == nil:
		return errors.New("no node")
	case n.ID == "":
		return errors.New("the node has no ID")
	case len(n.Raw) == 0:
		return errors.New("it has no Raw: only a node that was read can be written back without loss")
	}
	return nil
}

// nodeLabel is what errors call a node.
func nodeLabel(n *Node) string {
	switch {
	case n == nil:
		return ""
	case n.Description.Hostname != "":
		return n.Description.Hostname
	}
	return n.ID
}

// Modify calls change with the node as it is, which may then change its Spec, and
// writes the result back. If somebody else wrote the node in between, also the
// engine itself, it reads the node and calls change again, until ctx is done:
// change may run more than once and must not rely on what it did before.
//
// Everything that change leaves alone stays as it is, also what this library does
// not know; see [NodeClient.Update] for that and for the errors. If change
// changes nothing, nothing is sent. An error of change ends it and is returned as
// it is.
//
// Engine endpoints: GET /nodes/{id}, POST /nodes/{id}/update
func (n *NodeClient) Modify(ctx context.Context, ref string, change func(*Node) error) error {
	const op = "modify node"
	find := func() (*Node, error) { return n.find(ctx, op, ref) }
	return n.client.modify(ctx, func(ctx context.Context) error {
		node, err := find()
		if err != nil {
			return err
		}
		find = func() (*Node, error) { return n.inspect(ctx, op, node.ID) } // hostnames move, IDs do not
		if err := change(node); err != nil {
			return callersError{err}
		}
		return n.update(ctx, op, node)
	})
}

// set is Modify for a change that may be made twice, and returns the node's ID.
func (n *NodeClient) set(ctx context.Context, op, ref string, change func(*NodeSpec)) (id string, err error) {
	find := func() (*Node, error) { return n.find(ctx, op, ref) }
	err = n.client.modify(ctx, func(ctx context.Context) error {
		node, err := find()
		if err != nil {
			return err
		}
		id = node.ID
		find = func() (*Node, error) { return n.inspect(ctx, op, id) } // hostnames move, IDs do not
		change(&node.Spec)
		return mayBeSetAgain(n.update(ctx, op, node))
	})
	return id, err
}

// Promote makes a node a manager. It returns when that has been accepted; the
// node is getting ready then, and has a ManagerStatus when it takes part. A
// manager is left as it is.
//
// Engine endpoints: GET /nodes/{id}, POST /nodes/{id}/update
func (n *NodeClient) Promote(ctx context.Context, ref string) error {
	_, err := n.set(ctx, "promote node", ref, func(s *NodeSpec) { s.Role = RoleManager })
	return err
}

// Demote makes a node a worker. It returns when that has been accepted; the node
// stops being a manager soon after. A worker is left as it is. The last manager
// cannot be demoted, which is [ErrInvalid].
//
// Engine endpoints: GET /nodes/{id}, POST /nodes/{id}/update
func (n *NodeClient) Demote(ctx context.Context, ref string) error {
	_, err := n.set(ctx, "demote node", ref, func(s *NodeSpec) { s.Role = RoleWorker })
	return err
}

// NodeDrainOptions say what a drain waits for.
type NodeDrainOptions struct {
	// Wait waits until no task of a service is left on the node, but for tasks of
	// plugins, until ctx is done. Tasks of a node that is down or cut off count until
	// it comes back. An engine that is out of order for a while, or without a leader,
	// is waited out.
	Wait bool
}

// Drain makes a node take no tasks, and moves those it has to other nodes. A node
// that is draining is left as it is, though Wait waits for it too. If somebody
// gives it another availability meanwhile, waiting is over with
// [ErrVersionConflict].
//
// Engine endpoints: GET /nodes/{id}, POST /nodes/{id}/update, GET /tasks
func (n *NodeClient) Drain(ctx context.Context, ref string, opts *NodeDrainOptions) error {
	const op = "drain node"
	id, err := n.setAvailability(ctx, op, ref, NodeDrain)
	if err != nil || opts == nil || !opts.Wait {
		return err
	}
	return n.wait(ctx, op, ref, id, NodeDrain, func(*Node) (string, error) {
		tasks, err := n.client.Tasks.List(ctx, &TaskListOptions{Nodes: []string{id}})
		if left := tasksOnNode(tasks); left > 0 {
			return fmt.Sprintf("tasks still on the node: %d", left), nil
		}
		return "", err
	})
}

// tasksOnNode counts the tasks that are with their node.
func tasksOnNode(tasks []Task) (count int) {
	for _, task := range tasks {
		if task.Status.State.Active() {
			count++
		}
	}
	return count
}

// NodeActivateOptions say what an activation waits for.
type NodeActivateOptions struct {
	// Wait waits until the node is ready, so that it takes tasks, until ctx is
	// done. It does not wait for tasks: those elsewhere stay where they are. An
	// engine that is out of order for a while, or without a leader, is waited out.
	Wait bool
}

// Activate makes a node take tasks. An active node is left as it is, though Wait
// waits for it too. If somebody gives it another availability meanwhile, waiting
// is over with [ErrVersionConflict].
//
// Engine endpoints: GET /nodes/{id}, POST /nodes/{id}/update
func (n *NodeClient) Activate(ctx context.Context, ref string, opts *NodeActivateOptions) error {
	const op = "activate node"
	id, err := n.setAvailability(ctx, op, ref, NodeActive)
	if err != nil || opts == nil || !opts.Wait {
		return err
	}
	return n.wait(ctx, op, ref, id, NodeActive, func(node *Node) (string, error) {
		if node.Status.State != NodeReady {
			return fmt.Sprintf("the node is %s", node.Status.State), nil
		}
		return "", nil
	})
}

// Pause makes a node take no new tasks and keep those it has. A paused node is
// left as it is.
//
// Engine endpoints: GET /nodes/{id}, POST /nodes/{id}/update
func (n *NodeClient) Pause(ctx context.Context, ref string) error {
	_, err := n.setAvailability(ctx, "pause node", ref, NodePause)
	return err
}

func (n *NodeClient) setAvailability(ctx context.Context, op, ref string, to NodeAvailability) (id string, err error) {
	return n.set(ctx, op, ref, func(s *NodeSpec) { s.Availability = to })
}

// How often a node is looked at while something waits for it.
const (
	firstNodePoll = 100 * time.Millisecond
	lastNodePoll  = 2 * time.Second
)

// wait looks at a node of that availability again and again until missing says
// that nothing is. Draining the leader's node, or losing it meanwhile, does not end
// that: an engine that is out of order for a while is waited out.
func (n *NodeClient) wait(ctx context.Context, op, ref, id string, availability NodeAvailability, missing func(*Node) (string, error)) error {
	what, answered := "nothing is known yet", time.Now()
	for poll := firstNodePoll; ; poll = min(poll*3/2, lastNodePoll) {
		now, err := n.missing(ctx, op, ref, id, availability, missing)
		switch {
		case err == nil && now == "":
			return nil
		case err == nil:
			what, answered = now, time.Now()
		case ctx.Err() == nil && (!isPassing(err) || time.Since(answered) >= patience):
			return err
		}
		if stopped := pause(ctx, poll); stopped != nil {
			return &Error{Op: op, Object: ref, Message: what, Err: stopped}
		}
	}
}

// isPassing reports whether an engine may get over an error by itself.
func isPassing(err error) bool {
	return errors.Is(err, ErrNoLeader) || errors.Is(err, ErrUnavailable) || errors.Is(err, ErrUnreachable)
}

// missing says what a node of that availability lacks now.
func (n *NodeClient) missing(ctx context.Context, op, ref, id string, availability NodeAvailability, missing func(*Node) (string, error)) (string, error) {
	node, err := n.inspect(ctx, op, id)
	if err != nil {
		return "", err
	}
	if now := node.Spec.Availability; now != availability {
		return "", &Error{Op: op, Object: ref, Message: fmt.Sprintf("somebody else has set its availability to %s", now), kind: ErrVersionConflict}
	}
	return missing(node)
}

// NodeRemoveOptions say how a node is removed.
type NodeRemoveOptions struct {
	// Force removes a node also if it is not down. It goes on running its tasks
	// until it notices.
	Force bool
}

// Remove removes a node from the list of nodes. A node must have left the swarm,
// or be down, and be no manager: otherwise, without force, the error is
// [ErrInvalid]. A node that does not exist is [ErrNotFound].
//
// Engine endpoints: GET /nodes/{id}, DELETE /nodes/{id}
func (n *NodeClient) Remove(ctx context.Context, ref string, opts *NodeRemoveOptions) error {
	const op = "remove node"
	node, err := n.find(ctx, op, ref)
	if err != nil {
		return err
	}
	call := &call{op: op, object: ref, to: to("/nodes/{id}", node.ID)}
	if opts != nil && opts.Force {
		call.query = url.Values{"force": {"true"}}
	}
	return n.client.remove(ctx, call)
}
