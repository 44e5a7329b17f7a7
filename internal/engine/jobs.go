package engine

import "github.com/swarm-go/swarm"

// run is the tasks of one run of a job.
type run struct {
	complete, running int
	// taken are the places of those that are complete or run.
	taken map[place]bool
	// failed are those that may be replaced.
	failed []*swarm.Task
}

// currentRun looks at a job's tasks, and has those of earlier runs removed.
func (o *control) currentRun(service *swarm.Service) run {
	c := o.cluster
	current := run{taken: map[place]bool{}}
	var earlier []*swarm.Task
	for _, task := range c.tasksOf(c.byService[service.ID]) {
		switch {
		case task.JobIteration == nil:
		case *task.JobIteration != iteration(service):
			earlier = append(earlier, task)
		case task.Status.State == swarm.TaskComplete:
			current.complete++
			current.taken[placeOf(service, task)] = true
		case wanted(task):
			current.running++
			current.taken[placeOf(service, task)] = true
			if stopped(task) {
				current.failed = append(current.failed, task)
			}
		}
	}
	c.commit(func(t *tx) {
		for _, task := range earlier {
			// Replicated jobs leave what had ended by itself.
			if service.Spec.Mode.GlobalJob != nil || !stopped(task) {
				t.want(task.ID, swarm.TaskRemove)
			}
		}
	})
	return current
}

// reconcileReplicatedJob starts as many tasks as may run at a time, until enough
// have completed.
func (o *control) reconcileReplicatedJob(service *swarm.Service) {
	current := o.currentRun(service)
	mode := service.Spec.Mode.ReplicatedJob
	total, concurrent := 1, 1
	if mode.TotalCompletions != nil {
		total = int(*mode.TotalCompletions)
		concurrent = total
	}
	if mode.MaxConcurrent != nil {
		concurrent = int(*mode.MaxConcurrent)
	}
	count := min(concurrent-current.running, total-current.complete-current.running)
	o.cluster.commit(func(t *tx) {
		for number := 0; number < total && count > 0; number++ {
			if !current.taken[place{slot: number}] {
				t.newTask(service, number, "", swarm.TaskComplete)
				count--
			}
		}
	})
	for _, task := range current.failed {
		o.restart(service, task)
	}
}

// reconcileGlobalJob runs one task on each node that may take tasks.
func (o *control) reconcileGlobalJob(service *swarm.Service) {
	c := o.cluster
	current := o.currentRun(service)
	rules := constraintsOf(service)
	c.commit(func(t *tx) {
		for _, node := range c.nodes.all() {
			ready := node.Status.State == swarm.NodeReady && node.Spec.Availability == swarm.NodeActive
			if ready && rules.match(node) && !o.triedOn(service, node) {
				t.newTask(service, 0, node.ID, swarm.TaskComplete)
			}
		}
		for _, task := range c.tasksOf(c.byService[service.ID]) {
			if o.outOfUse(task.NodeID) && !stopped(task) {
				t.want(task.ID, swarm.TaskShutdown)
			}
		}
	})
	for _, task := range current.failed {
		if task := c.tasks.get(task.ID); task != nil && wanted(task) {
			o.restart(service, task)
		}
	}
}

// triedOn reports whether a run of a global job has a task on a node, of which
// something is expected or that is not replaced.
func (o *control) triedOn(service *swarm.Service, node *swarm.Node) bool {
	for id := range o.cluster.byNode[node.ID] {
		task := o.cluster.tasks.get(id)
		if task.ServiceID == service.ID && task.JobIteration != nil && *task.JobIteration == iteration(service) && wanted(task) {
			return true
		}
	}
	return false
}
