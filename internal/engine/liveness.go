package engine

import (
	"cmp"
	"net/http"

	"github.com/swarm-go/swarm"
)

// StopNode stops an engine as a power cut does: its containers are gone and
// nobody hears of it. The managers take note when they miss its heartbeat.
func (w *World) StopNode(d *Daemon) {
	w.Do(func() {
		if d.down {
			return
		}
		d.down = true
		d.stops++
		close(d.stopping)
		d.agent.killAll()
		if d.cluster != nil {
			d.cluster.miss(d)
		}
	})
}

// StartNode starts an engine again that was stopped. The tasks it had have failed.
// A manager of a swarm that locks its managers is locked.
func (w *World) StartNode(d *Daemon) {
	w.Do(func() {
		if !d.down {
			return
		}
		d.down = false
		d.stopping = make(chan struct{})
		node := d.node()
		if node == nil {
			return
		}
		if node.ManagerStatus != nil && d.cluster.object.Spec.EncryptionConfig.AutoLockManagers {
			d.locked = true
			return
		}
		d.cluster.hear(d)
	})
}

// miss is what a swarm sees of an engine that has stopped: a leader is replaced
// after an election, and after some silence the node is down.
func (c *Cluster) miss(d *Daemon) {
	if d.node() == nil {
		return
	}
	if d.node().ManagerStatus != nil {
		if c.leader == d.nodeID || !c.canAgree() {
			c.setLeader("")
		}
		stops := d.stops
		c.world.after(c.world.Pace.Election, func() {
			if d.down && d.stops == stops && d.cluster == c {
				c.agree()
			}
		})
	}
	c.missHeartbeat(d)
}

// missHeartbeat has a node down when its engine has been silent for long enough,
// if there is a leader to notice.
func (c *Cluster) missHeartbeat(d *Daemon) {
	stops := d.stops
	c.world.after(c.world.Pace.Heartbeat, func() {
		if d.down && d.stops == stops && d.cluster == c && c.leader != "" {
			c.setNodeStatus(d.nodeID, swarm.NodeDown, "heartbeat failure")
		}
	})
}

// hear is what a swarm sees of an engine that has come back.
func (c *Cluster) hear(d *Daemon) {
	if d.node().ManagerStatus != nil {
		c.agree()
	}
	if c.leader != "" {
		c.setNodeStatus(d.nodeID, swarm.NodeReady, "")
		d.agent.noticeAll()
	}
}

// setNodeStatus notes whether a node is there.
func (c *Cluster) setNodeStatus(id string, state swarm.NodeState, message string) {
	node := c.nodes.get(id)
	if node == nil || node.Status.State == state {
		return
	}
	changed := *node
	changed.Status.State, changed.Status.Message = state, message
	c.commit(func(t *tx) { put(t, c.nodes, &changed) })
}

// managerEngines are the engines of the managers, and how many of them are up.
func (c *Cluster) managerEngines() (managers []*Daemon, up int) {
	for _, d := range c.world.daemons {
		if node := d.node(); d.cluster == c && node != nil && node.ManagerStatus != nil {
			managers = append(managers, d)
			if d.managing() {
				up++
			}
		}
	}
	return managers, up
}

// canAgree reports whether more than half of the managers run. Fewer can agree on
// nothing.
func (c *Cluster) canAgree() bool {
	_, up := c.managerEngines()
	return up > len(c.members(""))/2
}

// agree has the managers find out who of them can be reached, and elect a leader
// if they have none. Too few of them can agree on nothing.
func (c *Cluster) agree() {
	if !c.canAgree() {
		c.setLeader("")
		return
	}
	managers, _ := c.managerEngines()
	c.commit(func(t *tx) {
		for _, d := range managers {
			reachability := swarm.ManagerReachable
			if !d.managing() {
				reachability = swarm.ManagerUnreachable
			}
			if node := d.node(); node.ManagerStatus.Reachability != reachability {
				changed := *node
				changed.ManagerStatus = new(*node.ManagerStatus)
				changed.ManagerStatus.Reachability = reachability
				put(t, c.nodes, &changed)
			}
		}
	})
	if c.leader == "" {
		c.electFrom(func(*swarm.Node) bool { return true })
	}
}

// setLeader notes who leads from now on, and lets go those who wait for a leader.
func (c *Cluster) setLeader(id string) {
	switch {
	case c.leader == "" && id != "":
		close(c.elected)
	case c.leader != "" && id == "":
		c.world.logs.loseLeader(c)
		c.leaderless, c.elected = c.world.now(), make(chan struct{})
	}
	c.leader = id
}

// awaitLeader waits for a leader if the daemon is one of managers that have lost
// theirs not long ago.
func (c *call) awaitLeader() error {
	world := c.daemon.world
	var elected, stopping <-chan struct{}
	world.Do(func() { elected, stopping = c.daemon.election(), c.daemon.stopping })
	if elected == nil {
		return nil
	}
	var gone <-chan struct{}
	if c.r.Method == http.MethodGet { // engines do what is to be done, whoever has gone
		gone = c.r.Context().Done()
	}
	late := make(chan struct{})
	defer world.clock.AfterFunc(world.Pace.Patience, func() { close(late) })()
	select {
	case <-elected:
		return nil
	case <-late:
	case <-gone:
	case <-stopping:
	case <-world.closing:
	}
	return errLate
}

// hopeForLeader is awaitLeader for what can do without.
func (c *call) hopeForLeader() { _ = c.awaitLeader() }

// election is closed when the managers have a leader again. It is nil if they have
// one, or have given up, or the daemon is no manager.
func (d *Daemon) election() <-chan struct{} {
	if d.isManager() != nil || d.cluster.leader != "" {
		return nil
	}
	pace := d.world.Pace
	if pace.Patience <= 0 || d.world.now().Sub(d.cluster.leaderless) >= pace.GiveUp {
		return nil
	}
	return d.cluster.elected
}

// lead is what a new leader begins with: the nodes that are there, those that are
// not, and all that is due.
func (c *Cluster) lead() {
	for _, d := range c.world.daemons {
		switch {
		case d.cluster != c:
		case d.down:
			c.missHeartbeat(d)
		case !d.locked:
			c.setNodeStatus(d.nodeID, swarm.NodeReady, "")
			d.agent.noticeAll()
		}
	}
	c.control.wake()
	c.control.reaper.wake(c.control)
}

// noticeReadiness takes notice of a node that has come up or gone down. When it is
// down for too long, its tasks are counted on no more.
func (o *control) noticeReadiness(old, new *swarm.Node) {
	before := cmp.Or(old, &swarm.Node{}).Status.State
	if new == nil || new.Status.State == before {
		return
	}
	if giveUp := o.givingUp[new.ID]; giveUp != nil {
		giveUp()
		delete(o.givingUp, new.ID)
	}
	switch new.Status.State {
	case swarm.NodeDown:
		o.givingUp[new.ID] = o.cluster.world.after(o.cluster.world.Pace.Orphan, func() { o.orphanTasks(new.ID) })
	case swarm.NodeReady:
		if d := o.daemonOf(new.ID); d != nil {
			d.agent.noticeAll()
		}
	}
}

// orphanTasks gives the tasks of a node up.
func (o *control) orphanTasks(nodeID string) {
	c := o.cluster
	c.commit(func(t *tx) {
		for _, task := range c.tasksOf(c.byNode[nodeID]) {
			if holds(task) {
				t.changeTask(task.ID, func(task *swarm.Task) {
					task.Status.State, task.Status.Timestamp = swarm.TaskOrphaned, t.now
				})
			}
		}
	})
}
