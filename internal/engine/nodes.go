package engine

import (
	"net"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/swarm-go/swarm"
)

// nodeRoutes are the endpoints of nodes.
var nodeRoutes = []route{
	{method: http.MethodGet, pattern: "/nodes", handle: listNodes},
	{method: http.MethodGet, pattern: "/nodes/{id}", handle: inspectNode},
	{method: http.MethodPost, pattern: "/nodes/{id}/update", handle: updateNode},
	{method: http.MethodDelete, pattern: "/nodes/{id}", handle: removeNode},
}

func listNodes(c *call) error {
	all, err := c.parseFilters()
	if err != nil {
		return err
	}
	var nodes []*swarm.Node
	err = c.manage(func(cluster *Cluster) error {
		if err := c.accept(all, "name", "id", "label", "role", "membership", "node.label"); err != nil {
			return err
		}
		if err := checkNodeFilters(all); err != nil {
			return err
		}
		nodes = cluster.nodes.matching(func(n *swarm.Node) bool { return cluster.nodeMatches(n, all) })
		return nil
	})
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, nodes)
}

// checkNodeFilters refuses roles and memberships that there are not.
func checkNodeFilters(all filters) error {
	for _, filter := range []struct {
		name  string
		known []string
	}{
		{"role", []string{string(swarm.RoleManager), string(swarm.RoleWorker)}},
		{"membership", []string{string(swarm.MembershipAccepted), string(swarm.MembershipPending)}},
	} {
		values := []string{}
		for _, value := range all[filter.name] {
			if value == "" {
				continue
			}
			if !slices.Contains(filter.known, lower(value)) {
				return refuse(http.StatusInternalServerError, "Invalid %s filter: '%s'", filter.name, value)
			}
			values = append(values, lower(value))
		}
		all[filter.name] = values
	}
	return nil
}

func (c *Cluster) nodeMatches(n *swarm.Node, f filters) bool {
	membership := swarm.MembershipAccepted
	if c.changedNodes[n.ID] {
		membership = swarm.MembershipPending
	}
	return f.prefix("name", n.Description.Hostname) &&
		f.prefix("id", n.ID) &&
		f.labels("label", n.Description.Engine.Labels) &&
		f.labels("node.label", n.Spec.Labels) &&
		f.exact("role", string(n.Spec.Role)) &&
		f.exact("membership", string(membership))
}

func inspectNode(c *call) error {
	var node *swarm.Node
	err := c.manage(func(cluster *Cluster) (err error) {
		node, err = cluster.nodeOf(c.vars["id"])
		return err
	})
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, node)
}

func updateNode(c *call) error {
	var spec swarm.NodeSpec
	if err := c.decode(&spec); err != nil {
		return err
	}
	version, err := c.versionOf("node")
	if err != nil {
		return err
	}
	err = c.manage(func(cluster *Cluster) error { return cluster.updateNode(c.vars["id"], version, spec) })
	if err != nil {
		return err
	}
	c.w.WriteHeader(http.StatusOK)
	return nil
}

// updateNode gives a node another spec. Its role changes later.
func (c *Cluster) updateNode(ref string, version uint64, spec swarm.NodeSpec) error {
	spec.Role, spec.Availability = lower(spec.Role), lower(spec.Availability)
	if spec.Role != swarm.RoleManager && spec.Role != swarm.RoleWorker {
		return refuse(http.StatusBadRequest, "invalid Role: %q", spec.Role)
	}
	if !slices.Contains([]swarm.NodeAvailability{swarm.NodeActive, swarm.NodePause, swarm.NodeDrain}, spec.Availability) {
		return refuse(http.StatusBadRequest, "invalid Availability: %q", spec.Availability)
	}
	current, err := c.nodeOf(ref)
	if err != nil {
		return err
	}
	if current.Spec.Role == swarm.RoleManager && spec.Role == swarm.RoleWorker {
		if len(c.managers()) == 1 {
			return failedPrecondition("attempting to demote the last manager of the swarm")
		}
		if !quorum(c.members(current.ID)) {
			return failedPrecondition("can't remove member from the raft: this would result in a loss of quorum")
		}
	}
	if version != current.Version.Index {
		return outOfSequence()
	}
	if len(spec.Labels) == 0 {
		spec.Labels = map[string]string{}
	}
	updated := *current
	updated.Spec = spec
	c.changedNodes[current.ID] = true
	c.commit(func(t *tx) { put(t, c.nodes, &updated) })
	if spec.Role != current.Spec.Role {
		c.changeRole(current.ID, spec.Role)
	}
	return nil
}

// How long a node takes to become what its spec says. Real ones need 2.6s for a
// promotion.
const (
	promotionTime = 50 * time.Millisecond
	demotionTime  = 10 * time.Millisecond
)

// changeRole makes a node a manager, or no longer one, after the time that
// engines need for it. Who leads is no question meanwhile: another manager does.
func (c *Cluster) changeRole(id string, role swarm.NodeRole) {
	if role == swarm.RoleWorker && c.leader == id {
		c.electFrom(func(n *swarm.Node) bool { return n.ID != id })
	}
	delay := demotionTime
	if role == swarm.RoleManager {
		delay = promotionTime
	}
	c.world.after(delay, func() {
		node := c.nodes.get(id)
		if node == nil || node.Spec.Role != role || (node.ManagerStatus != nil) == (role == swarm.RoleManager) {
			return
		}
		changed := *node
		changed.ManagerStatus = nil
		if role == swarm.RoleManager {
			changed.ManagerStatus = managerStatus(c.addrOf(node))
		}
		c.commit(func(t *tx) { put(t, c.nodes, &changed) })
		if role == swarm.RoleWorker && !c.canAgree() {
			c.setLeader("")
		}
	})
}

func managerStatus(addr string) *swarm.ManagerStatus {
	return &swarm.ManagerStatus{Reachability: swarm.ManagerReachable, Addr: addr}
}

// addrOf is where a node talks to other managers.
func (c *Cluster) addrOf(node *swarm.Node) string {
	if d := c.world.daemonOf(node.ID); d != nil {
		return d.advertised()
	}
	return net.JoinHostPort(node.Status.Addr, strconv.Itoa(swarmPort))
}

// managers are the nodes that shall be managers, by ID.
func (c *Cluster) managers() []*swarm.Node {
	return c.nodes.matching(func(n *swarm.Node) bool { return n.Spec.Role == swarm.RoleManager })
}

// quorum reports whether more than half of some managers can be reached.
func quorum(managers []*swarm.Node) bool {
	reachable := 0
	for _, node := range managers {
		if node.ManagerStatus.Reachability == swarm.ManagerReachable {
			reachable++
		}
	}
	return reachable > len(managers)/2
}

// members are the managers that there are, but for one.
func (c *Cluster) members(without string) []*swarm.Node {
	return c.nodes.matching(func(n *swarm.Node) bool { return n.ManagerStatus != nil && n.ID != without })
}

// electFrom makes a manager the leader: the first that runs and may be. That it was
// reachable when the managers last looked is not enough. If there is none the swarm
// has no leader.
func (c *Cluster) electFrom(may func(*swarm.Node) bool) {
	c.setLeader("")
	for _, node := range c.nodes.all() {
		if d := c.world.daemonOf(node.ID); d != nil && d.managing() && may(node) {
			c.setLeader(node.ID)
			break
		}
	}
	c.commit(func(t *tx) {
		for _, node := range c.nodes.all() {
			if status := node.ManagerStatus; status != nil && status.Leader != (node.ID == c.leader) {
				changed := *node
				changed.ManagerStatus = new(*status)
				changed.ManagerStatus.Leader = node.ID == c.leader
				put(t, c.nodes, &changed)
			}
		}
	})
	if c.leader != "" {
		c.lead()
	}
}

func removeNode(c *call) error {
	force := c.looseFlag("force")
	err := c.manage(func(cluster *Cluster) error { return cluster.removeNode(c.vars["id"], force) })
	if err != nil {
		return err
	}
	c.w.WriteHeader(http.StatusOK)
	return nil
}

// removeNode forgets a node. What ran there is lost.
func (c *Cluster) removeNode(ref string, force bool) error {
	node, err := c.nodeOf(ref)
	if err != nil {
		return err
	}
	if node.Spec.Role == swarm.RoleManager && node.ManagerStatus != nil {
		return failedPrecondition("node %s is a cluster manager and is a member of the raft cluster. "+
			"It must be demoted to worker before removal", node.ID)
	}
	if !force && node.Status.State == swarm.NodeReady {
		return failedPrecondition("node %s is not down and can't be removed", node.ID)
	}
	c.commit(func(t *tx) {
		for _, task := range c.tasksOf(c.byNode[node.ID]) {
			if task.Status.State.Terminal() {
				continue
			}
			orphan := *task
			orphan.Status = swarm.TaskStatus{
				Timestamp: t.now,
				State:     swarm.TaskOrphaned,
				Message:   "Task belonged to a node that has been deleted",
			}
			put(t, c.tasks, &orphan)
		}
		drop(t, c.nodes, node.ID)
	})
	return nil
}
