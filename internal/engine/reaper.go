package engine

import (
	"slices"

	"github.com/swarm-go/swarm"
)

// reaper removes the tasks that nobody needs any more: those that were to be
// removed and have ended, and the oldest of slots that have too many.
type reaper struct {
	// gone are tasks to remove, and slots are where there may be too many.
	gone   ids
	slots  map[slotKey]bool
	coming bool
}

// slotKey is a place of a service.
type slotKey struct {
	service string
	place   place
}

// notice takes notice of a task that has changed.
func (r *reaper) notice(o *control, old, task *swarm.Task) {
	if old == nil {
		if service := o.cluster.services.get(task.ServiceID); service != nil && !isJob(&service.Spec) {
			if r.slots == nil {
				r.slots = map[slotKey]bool{}
			}
			r.slots[slotKey{task.ServiceID, placeOf(service, task)}] = true
		}
	}
	if removable(task) {
		r.gone.add(task.ID)
	}
	if len(r.gone) > 0 || len(r.slots) > 0 {
		r.wake(o)
	}
}

// removable reports whether a task is to be removed, and can be.
func removable(task *swarm.Task) bool {
	switch {
	case task.DesiredState == swarm.TaskRemove:
		return stopped(task) || rank(task.Status.State) < rank(swarm.TaskAssigned)
	case task.ServiceID == "":
		return task.Status.State == swarm.TaskOrphaned
	}
	return false
}

func (r *reaper) wake(o *control) {
	if r.coming {
		return
	}
	r.coming = true
	o.cluster.world.after(o.cluster.world.Pace.Reap, func() {
		r.coming = false
		r.reap(o)
	})
}

// reap removes what there is to remove.
func (r *reaper) reap(o *control) {
	if o.cluster.leader == "" {
		return // what is due is noticed again
	}
	c := o.cluster
	gone, full := r.gone, r.slots
	r.gone, r.slots = nil, nil
	keys := make([]slotKey, 0, len(full))
	for key := range full {
		keys = append(keys, key)
	}
	byPlace := o.tasksIn(keys)
	for _, key := range keys {
		surplus, again := o.surplus(key, byPlace[key])
		for _, task := range surplus {
			gone.add(task.ID)
		}
		if again {
			if r.slots == nil {
				r.slots = map[slotKey]bool{}
			}
			r.slots[key] = true
		}
	}
	c.commit(func(t *tx) {
		for _, id := range sortedKeys(gone) {
			drop(t, c.tasks, id)
		}
	})
	if len(r.slots) > 0 {
		r.wake(o)
	}
}

// tasksIn are the tasks in places.
func (o *control) tasksIn(keys []slotKey) map[slotKey]slot {
	c := o.cluster
	wanted := map[string]bool{}
	for _, key := range keys {
		wanted[key.service] = true
	}
	tasks := map[slotKey]slot{}
	for id := range wanted {
		service := c.services.get(id)
		if service == nil {
			continue
		}
		for _, task := range c.tasksOf(c.byService[id]) {
			key := slotKey{id, placeOf(service, task)}
			tasks[key] = append(tasks[key], task)
		}
	}
	return tasks
}

// surplus is the oldest of too many tasks of a place that have ended. Again is
// true if there are more that have not.
func (o *control) surplus(key slotKey, tasks slot) (surplus slot, again bool) {
	service := o.cluster.services.get(key.service)
	limit := *o.cluster.object.Spec.Orchestration.TaskHistoryRetentionLimit
	if service == nil {
		return nil, false
	}
	// As many as the policy looks back on are kept.
	if policy := service.Spec.TaskTemplate.RestartPolicy; policy != nil && policy.MaxAttempts != nil && *policy.MaxAttempts > 0 {
		limit = int64(*policy.MaxAttempts) + 1
	}
	if limit < 0 || int64(len(tasks)) <= limit {
		return nil, false
	}
	slices.SortFunc(tasks, byTime)
	running := 0
	for _, task := range tasks {
		if int64(len(tasks)-len(surplus)) <= limit {
			break
		}
		willNever := rank(task.Status.State) < rank(swarm.TaskAssigned) && rank(task.DesiredState) > rank(swarm.TaskRunning)
		if stopped(task) || willNever {
			surplus = append(surplus, task)
		} else {
			running++
		}
	}
	return surplus, running > 1
}
