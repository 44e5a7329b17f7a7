package swarmtest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"

	"github.com/swarm-go/swarm"
	"github.com/swarm-go/swarm/internal/engine"
)

// Node is one engine of an [Engine].
type Node struct {
	engine *Engine
	daemon *engine.Daemon
}

// NodeOptions are how a node is set up. Its zero value is a worker.
type NodeOptions struct {
	// Name is the node's hostname. Empty: "node-1" and so on.
	Name string
	// Role is what it joins the swarm as. Empty is a worker.
	Role swarm.NodeRole
	// Availability is whether it takes tasks. Empty: it does.
	Availability swarm.NodeAvailability
	// EngineLabels are the engine's own labels, which placement constraints see as
	// engine.labels.KEY.
	EngineLabels map[string]string
	// Resources are what it has for tasks. Zero NanoCPUs are 4 CPUs, zero
	// MemoryBytes 8 GiB.
	Resources swarm.NodeResources
	// Platform is what its tasks run on. Empty fields are "linux" and "x86_64".
	Platform swarm.Platform
}

// AddNode adds a node, and has it join the swarm if there is one. It returns when
// the node has been let in. A swarm without a leader lets nobody in, nor does one
// none of whose managers runs, or all of whose managers are locked: there is no new
// node then.
func (e *Engine) AddNode(opts NodeOptions) (*Node, error) {
	manager, inSwarm := e.manager()
	if inSwarm && manager == nil {
		return nil, errors.New("swarmtest: add node: no manager of the swarm runs")
	}
	node := e.newNode(opts)
	if inSwarm {
		role := cmp.Or(opts.Role, swarm.RoleWorker)
		if err := node.daemon.JoinSwarm(manager, role, cmp.Or(opts.Availability, swarm.NodeActive)); err != nil {
			node.daemon.Server().Close()
			return nil, fmt.Errorf("swarmtest: %s does not get into the swarm: %w", node.Name(), err)
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.nodes = append(e.nodes, node)
	return node, nil
}

// manager is a node that others can join at, nil if there is none, and whether any
// node is in a swarm.
func (e *Engine) manager() (manager *engine.Daemon, inSwarm bool) {
	for _, node := range e.Nodes() {
		if node.daemon.Manages() {
			return node.daemon, true
		}
		inSwarm = inSwarm || node.ID() != ""
	}
	return nil, inSwarm
}

func (e *Engine) newNode(opts NodeOptions) *Node {
	return &Node{engine: e, daemon: e.world.AddDaemon(engine.DaemonConfig{
		Release:   &e.config.release,
		Hostname:  opts.Name,
		Labels:    opts.EngineLabels,
		Resources: opts.Resources,
		Platform:  opts.Platform,
		Wrap: func(hostname string, next http.Handler) http.Handler {
			return e.journal.wrap(hostname, e.faults.wrap(e.config.clock.clock, hostname, next))
		},
	})}
}

// Nodes are the nodes in the order they were added.
func (e *Engine) Nodes() []*Node {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.nodes)
}

// Name is the node's hostname.
func (n *Node) Name() string { return n.daemon.Hostname() }

// Client is a client of this node, as [Engine.Client] is one of the first.
func (n *Node) Client(opts ...swarm.Option) *swarm.Client { return n.engine.connect(n, opts) }

// DialContext connects to this node in memory, whatever the address.
func (n *Node) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	return n.daemon.Server().DialContext(ctx, network, address)
}

// ID is the node's ID in its swarm, empty if it is in none.
func (n *Node) ID() string { return n.daemon.NodeID() }

// Host is where the node listens, as in DOCKER_HOST; empty if it does not.
func (n *Node) Host() string { return n.daemon.Server().Host() }

// URL is Host for plain HTTP clients. It is empty unless the node listens on a TCP
// port.
func (n *Node) URL() string { return httpURL(n.Host()) }

// Stop stops the node as a power cut does: its containers are gone, it takes no
// connections, and does nothing more for requests that it has got. The managers
// notice after a while, see [Pace].
//
// Stop does not wait for those requests, so an [Effect] may call it: "the leader
// dies with this one".
func (n *Node) Stop() {
	n.engine.world.StopNode(n.daemon)
	n.daemon.Server().Stop()
}

// Start brings back a node that was stopped. It listens where it did.
func (n *Node) Start() error {
	if err := n.daemon.Server().Open(); err != nil {
		return fmt.Errorf("swarmtest: start %s: %w", n.Name(), err)
	}
	n.engine.world.StartNode(n.daemon)
	return nil
}

// ReplaceSession has the node speak to the managers over a new session, as after a
// loss of its connection. A new root of trust does so too, but to the leader. Of its
// lines nothing comes any more to those who follow logs, without a word, as with real
// engines.
func (n *Node) ReplaceSession() { n.daemon.MuteLogs() }

// CutConnections cuts all connections to the node that there are, also those of
// streams, as a network does that fails for a moment.
func (n *Node) CutConnections() { n.daemon.Server().Cut() }

// RefuseConnections cuts all connections to the node, and has it refuse new ones
// until [Node.AcceptConnections]. What it runs goes on, and so does its part in the
// swarm; requests that it has got may still be done. An [Effect] may call it.
func (n *Node) RefuseConnections() { n.daemon.Server().Stop() }

// AcceptConnections undoes [Node.RefuseConnections]: the node listens where it did.
func (n *Node) AcceptConnections() error {
	if err := n.daemon.Server().Open(); err != nil {
		return fmt.Errorf("swarmtest: %s does not listen: %w", n.Name(), err)
	}
	return nil
}

// Listen has the node listen for other programs, as [WithListen] has the first.
// It returns the host with its port.
func (n *Node) Listen(host string) (string, error) {
	host, err := n.daemon.Server().Listen(host)
	if err != nil {
		return "", fmt.Errorf("swarmtest: listen: %w", err)
	}
	return host, nil
}
