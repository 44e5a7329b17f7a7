package engine

import "github.com/swarm-go/swarm"

// reconcileGlobal gives a global service one task on each node that it may run
// on.
func (o *control) reconcileGlobal(service *swarm.Service) {
	c := o.cluster
	live, _ := o.slots(service)
	rules := constraintsOf(service)
	var keep []slot
	c.commit(func(t *tx) {
		for _, node := range c.nodes.all() {
			where := place{node: node.ID}
			tasks := live[where]
			if o.outOfUse(node.ID) || !rules.match(node) {
				continue
			}
			delete(live, where)
			switch {
			case node.Spec.Availability == swarm.NodePause:
			case len(tasks) == 0:
				t.newTask(service, 0, node.ID, swarm.TaskRunning)
			default:
				keep = append(keep, tasks)
			}
		}
		// What is left is on nodes that have no business with the service.
		for _, tasks := range inOrder(live) {
			for _, task := range tasks {
				t.want(task.ID, swarm.TaskShutdown)
			}
		}
	})
	c.commit(func(t *tx) {
		for _, task := range c.tasksOf(c.byService[service.ID]) {
			if c.nodes.get(task.NodeID) == nil {
				drop(t, c.tasks, task.ID)
			}
		}
	})
	o.update(service, keep)
}

// replaceGlobal restarts a task of a global service that has ended.
func (o *control) replaceGlobal(service *swarm.Service, task *swarm.Task) {
	if rank(task.DesiredState) > rank(swarm.TaskRunning) || !stopped(task) || o.outOfUse(task.NodeID) {
		return
	}
	node := o.cluster.nodes.get(task.NodeID)
	if node.Spec.Availability == swarm.NodePause || !constraintsOf(service).match(node) {
		o.cluster.commit(func(t *tx) { t.want(task.ID, swarm.TaskShutdown) })
		return
	}
	o.restart(service, task)
}
