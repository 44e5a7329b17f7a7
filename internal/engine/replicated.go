package engine

import (
	"cmp"
	"slices"

	"github.com/swarm-go/swarm"
)

// slot is the tasks that fill one place of a service: usually one, and two while
// one takes over from the other.
type slot []*swarm.Task

// slots sorts the tasks of a service by their place, those that do not count any
// more left out. Dead are the places where none counts.
func (o *control) slots(service *swarm.Service) (live map[place]slot, dead map[place]slot) {
	c := o.cluster
	all := map[place]slot{}
	for _, task := range c.tasksOf(c.byService[service.ID]) {
		where := placeOf(service, task)
		all[where] = append(all[where], task)
	}
	live, dead = map[place]slot{}, map[place]slot{}
	for where, tasks := range all {
		if counting := o.counting(service, tasks); len(counting) > 0 {
			live[where] = counting
		} else {
			dead[where] = tasks
		}
	}
	return live, dead
}

// counting is which of the tasks in a place count: those that shall run, or else
// the last one, if it is not to be replaced.
func (o *control) counting(service *swarm.Service, tasks slot) slot {
	var counting slot
	for _, task := range tasks {
		if rank(task.DesiredState) <= rank(swarm.TaskRunning) {
			counting = append(counting, task)
		}
	}
	if len(counting) > 0 {
		return counting
	}
	if rollingBack(service) {
		return nil
	}
	last := slices.MaxFunc(tasks, byTime)
	if last.DesiredState != swarm.TaskRemove && !o.restarts(service, last) {
		return slot{last}
	}
	return nil
}

// byTime compares when tasks came into their states.
func byTime(a, b *swarm.Task) int {
	return cmp.Or(a.Status.Timestamp.Compare(b.Status.Timestamp), cmp.Compare(a.Version.Index, b.Version.Index), cmp.Compare(a.ID, b.ID))
}

// inOrder is slots by place.
func inOrder(slots map[place]slot) []slot {
	places := make([]place, 0, len(slots))
	for where := range slots {
		places = append(places, where)
	}
	slices.SortFunc(places, func(a, b place) int { return cmp.Or(cmp.Compare(a.slot, b.slot), cmp.Compare(a.node, b.node)) })
	ordered := make([]slot, 0, len(slots))
	for _, where := range places {
		ordered = append(ordered, slots[where])
	}
	return ordered
}

// reconcileReplicated gives a replicated service as many tasks as it shall have.
func (o *control) reconcileReplicated(service *swarm.Service) {
	live, dead := o.slots(service)
	want := 1
	if replicas := service.Spec.Mode.Replicated; replicas != nil && replicas.Replicas != nil {
		want = int(*replicas.Replicas)
	}
	keep, drop := inOrder(live), []slot(nil)
	if want < len(live) {
		sorted := leastMissed(keep)
		keep, drop = sorted[:want], sorted[want:]
		slices.SortFunc(keep, func(a, b slot) int { return cmp.Compare(a[0].Slot, b[0].Slot) })
	}
	o.update(service, keep)
	o.cluster.commit(func(t *tx) {
		for number := 1; len(live) < want; number++ {
			if where := (place{slot: number}); live[where] == nil {
				live[where] = slot{t.newTask(service, number, "", swarm.TaskRunning)}
				delete(dead, where)
			}
		}
		for _, tasks := range drop {
			for _, task := range tasks {
				t.want(task.ID, swarm.TaskRemove)
			}
		}
		o.dropDead(t, dead)
	})
}

// dropDead removes the tasks in places that are not filled any more, as soon as
// they have ended.
func (o *control) dropDead(t *tx, dead map[place]slot) {
	for _, tasks := range inOrder(dead) {
		for _, task := range tasks {
			if stopped(task) || rank(task.Status.State) < rank(swarm.TaskAssigned) {
				drop(t, o.cluster.tasks, task.ID)
			}
		}
	}
}

// leastMissed sorts slots by how much they would be missed, the least last. Those
// are missed whose node has fewest of the service's tasks, which run, and which
// have a low number.
func leastMissed(slots []slot) []slot {
	sorted := slices.Clone(slots)
	runs := func(tasks slot) bool {
		return slices.ContainsFunc(tasks, func(task *swarm.Task) bool { return task.Status.State == swarm.TaskRunning })
	}
	slices.SortStableFunc(sorted, func(a, b slot) int { return compareBool(runs(b), runs(a)) })
	nth := map[string]int{} // by the ID of a slot's first task
	onNode := map[string]int{}
	for _, tasks := range sorted {
		if node := tasks[0].NodeID; len(tasks) == 1 && node != "" {
			onNode[node]++
			nth[tasks[0].ID] = onNode[node]
		}
	}
	slices.SortStableFunc(sorted, func(a, b slot) int {
		first, second := nth[a[0].ID], nth[b[0].ID]
		return cmp.Or(compareBool(first == 0, second == 0), cmp.Compare(first, second))
	})
	return sorted
}

// compareBool compares with false before true.
func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

// replaceReplicated restarts a task of a replicated service if it has ended, or
// its node is not to be used.
func (o *control) replaceReplicated(service *swarm.Service, task *swarm.Task) {
	if rank(task.DesiredState) > rank(swarm.TaskRunning) {
		return
	}
	if stopped(task) || task.NodeID != "" && o.outOfUse(task.NodeID) {
		o.restart(service, task)
	}
}
