package engine

import (
	"slices"
	"time"

	"github.com/swarm-go/swarm"
)

const (
	// defaultRestartDelay is the pause before a task is replaced.
	defaultRestartDelay = 5 * time.Second
	// oldTaskTimeout is how long a task waits for the one it replaces to end.
	oldTaskTimeout = time.Minute
)

// restartHistory is how often a place of a service was restarted.
type restartHistory struct {
	// version is that of the spec since which it is counted.
	version uint64
	total   uint64
	// times are kept if the policy has a window.
	times []time.Time
}

// delayedStart is a task that shall run, but not yet.
type delayedStart struct {
	taskID string
	// old is the task that has to end first. Empty: none.
	old string
	// waiting is true while the delay has not passed.
	waiting bool
	// stops call off the delay and the patience with the old task.
	stops []func()
	// again is true if the task has to be replaced before it was started, which
	// waits for its start.
	again bool
	// started is told that the task may run.
	started func()
}

func (s *delayedStart) cancel() {
	for _, stop := range s.stops {
		stop()
	}
}

// restart replaces a task, if its policy says so.
func (o *control) restart(service *swarm.Service, task *swarm.Task) {
	if start := o.starts[task.ID]; start != nil {
		start.again = true
		return
	}
	o.cluster.commit(func(t *tx) {
		t.want(task.ID, swarm.TaskShutdown)
		if !o.restarts(service, task) {
			return
		}
		where := placeOf(service, task)
		replacement := t.newTask(service, where.slot, where.node, swarm.TaskReady)
		o.recordRestart(where, replacement)
		old := task.ID
		node := o.cluster.nodes.get(task.NodeID)
		if stopped(task) || node != nil && node.Status.State == swarm.NodeDown {
			old = ""
		}
		o.startLater(replacement.ID, old, restartDelay(task, node), nil)
	})
}

// restartDelay is the pause before a task is replaced. There is none when it has
// to leave its node.
func restartDelay(task *swarm.Task, node *swarm.Node) time.Duration {
	switch policy := task.Spec.RestartPolicy; {
	case node != nil && node.Spec.Availability == swarm.NodeDrain:
		return 0
	case policy == nil || policy.Delay == nil:
		return defaultRestartDelay
	default:
		return *policy.Delay
	}
}

// restarts reports whether a task is replaced when it has ended.
func (o *control) restarts(service *swarm.Service, task *swarm.Task) bool {
	policy := task.Spec.RestartPolicy
	if policy == nil {
		policy = &swarm.RestartPolicy{}
	}
	onFailure := policy.Condition == swarm.RestartOnFailure || isJob(&service.Spec)
	switch {
	case policy.Condition == swarm.RestartNone:
		return false
	case onFailure && task.Status.State == swarm.TaskComplete:
		return false
	case policy.MaxAttempts == nil || *policy.MaxAttempts == 0:
		return true
	}
	state := o.services[service.ID]
	history := state.restarts[placeOf(service, task)]
	if history == nil || history.version != o.stateOf(task).version {
		return true
	}
	if policy.Window == nil || *policy.Window == 0 {
		return history.total < *policy.MaxAttempts
	}
	return history.within(task.Status.Timestamp, *policy.Window) < *policy.MaxAttempts
}

// within counts the restarts in a time before another restart.
func (h *restartHistory) within(end time.Time, window time.Duration) uint64 {
	begin := end.Add(-window)
	h.times = slices.DeleteFunc(h.times, func(at time.Time) bool { return !at.After(begin) })
	n := uint64(0)
	for _, at := range h.times {
		if at.Before(end) {
			n++
		}
	}
	return n
}

// recordRestart counts a restart, if there is a limit to them.
func (o *control) recordRestart(where place, replacement *swarm.Task) {
	policy := replacement.Spec.RestartPolicy
	state := o.services[replacement.ServiceID]
	if policy == nil || policy.MaxAttempts == nil || *policy.MaxAttempts == 0 || state == nil {
		return
	}
	if state.restarts == nil {
		state.restarts = map[place]*restartHistory{}
	}
	history := state.restarts[where]
	if history == nil || history.version != state.version {
		history = &restartHistory{version: state.version}
		state.restarts[where] = history
	}
	history.total++
	if policy.Window != nil && *policy.Window != 0 {
		history.times = append(history.times, replacement.CreatedAt)
	}
}

// startLater lets a task run when the delay has passed and the old task has
// ended. It is called within a commit, or outside.
func (o *control) startLater(taskID, old string, delay time.Duration, started func()) {
	if before := o.starts[taskID]; before != nil {
		before.cancel()
	}
	start := &delayedStart{taskID: taskID, old: old, waiting: true, started: started}
	o.starts[taskID] = start
	if old != "" {
		awaiting := o.awaited[old]
		awaiting.add(taskID)
		o.awaited[old] = awaiting
	}
	begun := func() {
		start.waiting = false
		o.tryStart(start)
	}
	start.stops = append(start.stops, o.cluster.world.after(delay, begun))
	if old != "" {
		start.stops = append(start.stops, o.cluster.world.after(max(delay, oldTaskTimeout), func() {
			start.old = ""
			o.tryStart(start)
		}))
	}
}

// followStarts starts the tasks whose predecessors have ended.
func (o *control) followStarts(now due) {
	for _, id := range sortedKeys(now.tasks) {
		o.startAfter(id)
	}
	if len(now.nodes) > 0 {
		for _, id := range sortedKeys(o.awaited) {
			o.startAfter(id)
		}
	}
}

// startAfter starts the tasks that wait for the end of one.
func (o *control) startAfter(old string) {
	awaiting := o.awaited[old]
	if len(awaiting) == 0 || !o.gone(old) {
		return
	}
	delete(o.awaited, old)
	for _, id := range sortedKeys(awaiting) {
		if start := o.starts[id]; start != nil && start.old == old {
			o.tryStart(start)
		}
	}
}

// tryStart lets a task run if nothing is in its way any more.
func (o *control) tryStart(start *delayedStart) {
	if o.starts[start.taskID] != start || start.waiting || !o.gone(start.old) {
		return
	}
	start.cancel()
	delete(o.starts, start.taskID)
	c := o.cluster
	c.commit(func(t *tx) {
		task := c.tasks.get(start.taskID)
		switch {
		case task == nil:
		case task.JobIteration != nil:
			t.want(task.ID, swarm.TaskComplete)
		default:
			t.want(task.ID, swarm.TaskRunning)
		}
	})
	if start.started != nil {
		start.started()
	}
	if task := c.tasks.get(start.taskID); start.again && task != nil && wanted(task) {
		if service := c.services.get(task.ServiceID); service != nil {
			o.restart(service, task)
		}
	}
}

// gone reports whether a task has ended, or its node is gone.
func (o *control) gone(taskID string) bool {
	if taskID == "" {
		return true
	}
	task := o.cluster.tasks.get(taskID)
	if task == nil || stopped(task) {
		return true
	}
	if task.NodeID == "" {
		return rank(task.DesiredState) > rank(swarm.TaskComplete) // no node will ever tell
	}
	node := o.cluster.nodes.get(task.NodeID)
	return node == nil || node.Status.State == swarm.NodeDown
}
