package engine

import (
	"reflect"
	"slices"
	"time"

	"github.com/swarm-go/swarm"
)

// update is a rolling update of a service's tasks. Some slots are worked on at a
// time; each is done when its new task has come up, or has failed.
type update struct {
	control *control
	// service is the service as it was when the update began.
	service *swarm.Service
	config  swarm.UpdateConfig
	monitor time.Duration
	// dirty counts the slots to replace, and queue is those not begun.
	dirty int
	queue []slot
	// busy counts the slots that are worked on.
	busy int
	// replaced are the tasks that the update has made, with the times they came
	// up.
	replaced map[string]time.Time
	// comingUp are those that have not come up yet, with the slots whose tasks
	// are to stop then.
	comingUp map[string]slot
	// failed are those that have failed in time.
	failed map[string]bool
	// stopped is true when no further slot is begun, and over when nothing is
	// to happen any more.
	stopped, over bool
	// timers call off what is to come.
	timers []func()
}

const defaultMonitor = 5 * time.Second

// rollingBack reports whether a service goes back to its previous spec.
func rollingBack(service *swarm.Service) bool {
	return service.UpdateStatus != nil && service.UpdateStatus.State == swarm.RollbackInProgress
}

// update begins to replace the tasks of a service that are not as it wants them,
// unless that goes on already.
func (o *control) update(service *swarm.Service, slots []slot) {
	state := o.services[service.ID]
	if current := state.update; current != nil {
		if reflect.DeepEqual(current.service.Spec, service.Spec) {
			return
		}
		current.cancel()
	}
	if status := service.UpdateStatus; status != nil &&
		(status.State == swarm.UpdatePaused || status.State == swarm.RollbackPaused) {
		return
	}
	var dirty []slot
	for _, tasks := range slots {
		if len(tasks) > 1 || o.cluster.dirty(service, tasks[0]) {
			dirty = append(dirty, tasks)
		}
	}
	u := newUpdate(o, service, dirty)
	if len(dirty) == 0 {
		if status := service.UpdateStatus; status != nil && (status.State == swarm.UpdateInProgress || rollingBack(service)) {
			u.complete()
		}
		return
	}
	state.update = u
	if service.UpdateStatus == nil {
		u.begin()
	}
	u.work()
}

func newUpdate(o *control, service *swarm.Service, dirty []slot) *update {
	u := &update{
		control:  o,
		service:  service,
		config:   service.Spec.UpdateConfig,
		dirty:    len(dirty),
		queue:    dirty,
		replaced: map[string]time.Time{},
		comingUp: map[string]slot{},
		failed:   map[string]bool{},
	}
	if rollingBack(service) {
		u.config = service.Spec.RollbackConfig
	}
	if reflect.ValueOf(u.config).IsZero() {
		u.config = swarm.DefaultUpdateConfig()
	}
	if u.monitor = u.config.Monitor; u.monitor == 0 {
		u.monitor = defaultMonitor
	}
	if u.config.Delay >= u.monitor {
		u.monitor = u.config.Delay + time.Second
	}
	return u
}

// parallelism is how many slots are worked on at a time.
func (u *update) parallelism() int {
	switch n := u.config.Parallelism; {
	case n == nil:
		return 1
	case *n == 0:
		return u.dirty
	default:
		return int(min(*n, uint64(u.dirty)))
	}
}

// work begins as many slots as it may. When all are done, what has come up is
// watched a while longer.
func (u *update) work() {
	for !u.stopped && u.busy < u.parallelism() && len(u.queue) > 0 {
		tasks := u.queue[0]
		u.queue = u.queue[1:]
		u.busy++
		u.replace(tasks)
	}
	switch {
	case u.busy > 0 || u.over:
	case u.stopped:
		u.end()
	case len(u.queue) == 0:
		u.over = true
		u.after(u.monitor, func() {
			u.complete()
			u.end()
		})
	}
}

// after has something happen later, unless the update is cancelled.
func (u *update) after(d time.Duration, f func()) {
	u.timers = append(u.timers, u.control.cluster.world.after(d, f))
}

// cancel ends the update where it is.
func (u *update) cancel() {
	u.stopped, u.over = true, true
	for _, stop := range u.timers {
		stop()
	}
	u.end()
}

// end forgets the update.
func (u *update) end() {
	if state := u.control.services[u.service.ID]; state != nil && state.update == u {
		state.update = nil
	}
}

// done is when a slot is done. The next one is begun when the delay has passed.
func (u *update) done() {
	if u.config.Delay == 0 {
		u.busy--
		u.work()
		return
	}
	u.after(u.config.Delay, func() {
		u.busy--
		u.work()
	})
}

// replace fills a slot with a task that is as the service wants it: with one that
// is there already, or with a new one.
func (u *update) replace(old slot) {
	c := u.control.cluster
	old = u.current(old)
	if existing := u.clean(old); existing != nil {
		u.use(existing, old)
		return
	}
	var first *swarm.Task
	if len(old) > 0 {
		first = old[0]
	}
	service := c.services.get(u.service.ID)
	if first == nil || service == nil {
		u.done()
		return
	}
	where := placeOf(service, first)
	startFirst := u.config.Order == swarm.StartFirst
	var task *swarm.Task
	waitFor := ""
	c.commit(func(t *tx) {
		task = t.newTask(service, where.slot, where.node, swarm.TaskReady)
		if !startFirst {
			waitFor = u.shutdown(t, old)
		}
	})
	u.replaced[task.ID] = time.Time{}
	u.comingUp[task.ID] = nil
	if startFirst {
		u.comingUp[task.ID] = old
	}
	u.control.startLater(task.ID, waitFor, 0, nil)
}

// current is the tasks of a slot as they are now, those that are gone left out.
func (u *update) current(tasks slot) slot {
	var now slot
	for _, task := range tasks {
		if task := u.control.cluster.tasks.get(task.ID); task != nil {
			now = append(now, task)
		}
	}
	return now
}

// clean is the task of a slot that is as the service wants it: one that shall run,
// or else one that is about to.
func (u *update) clean(tasks slot) *swarm.Task {
	var ready *swarm.Task
	for _, task := range tasks {
		switch {
		case u.control.cluster.dirty(u.service, task):
		case task.DesiredState == swarm.TaskRunning:
			return task
		case rank(task.DesiredState) < rank(swarm.TaskRunning):
			ready = task
		}
	}
	return ready
}

// use fills a slot with a task that is there, and stops the others.
func (u *update) use(existing *swarm.Task, tasks slot) {
	others := slices.DeleteFunc(slices.Clone(tasks), func(task *swarm.Task) bool { return task == existing })
	waitFor := ""
	u.control.cluster.commit(func(t *tx) { waitFor = u.shutdown(t, others) })
	if existing.DesiredState == swarm.TaskRunning {
		u.done()
		return
	}
	u.control.startLater(existing.ID, waitFor, 0, func() {
		if !u.over {
			u.done()
		}
	})
}

// shutdown has tasks stopped. It returns one that has to be waited for.
func (u *update) shutdown(t *tx, tasks slot) (waitFor string) {
	for _, old := range tasks {
		task := u.control.cluster.tasks.get(old.ID)
		if task == nil || rank(task.DesiredState) > rank(swarm.TaskRunning) {
			continue
		}
		t.want(task.ID, swarm.TaskShutdown)
		if !stopped(task) {
			waitFor = task.ID
		}
	}
	return waitFor
}

// followUpdates tells the updates of services which of their tasks have changed.
func (o *control) followUpdates(tasks ids) {
	for _, id := range sortedKeys(tasks) {
		task := o.cluster.tasks.get(id)
		if task == nil {
			continue
		}
		if state := o.services[task.ServiceID]; state != nil && state.update != nil {
			state.update.follow(task)
		}
	}
}

// follow looks at a task that the update may have made.
func (u *update) follow(task *swarm.Task) {
	cameUp, ours := u.replaced[task.ID]
	if !ours || rank(task.Status.State) < rank(swarm.TaskRunning) {
		return
	}
	now := u.control.cluster.world.now()
	if stopped(task) && (cameUp.IsZero() || now.Sub(cameUp) <= u.monitor) {
		u.judge(task)
	}
	old, awaited := u.comingUp[task.ID]
	if !awaited || u.control.services[u.service.ID].update != u {
		return
	}
	delete(u.comingUp, task.ID)
	u.replaced[task.ID] = now
	if len(old) > 0 && task.Status.State == swarm.TaskRunning {
		u.control.cluster.commit(func(t *tx) { u.shutdown(t, old) })
	}
	u.done()
}

// judge counts a task that has failed in time, and does what is to be done when
// too many have.
func (u *update) judge(task *swarm.Task) {
	if u.failed[task.ID] || u.stopped || u.config.FailureAction == swarm.ContinueOnFailure {
		return
	}
	u.failed[task.ID] = true
	if float32(len(u.failed))/float32(u.dirty) <= u.config.MaxFailureRatio {
		return
	}
	reason := " due to failure or early termination of task " + task.ID
	switch {
	case u.config.FailureAction != swarm.RollbackOnFailure:
		u.stopped = true
		u.pause("update paused" + reason)
	case rollingBack(u.service):
		u.pause("rollback paused" + reason)
		u.queue = nil
		if u.over { // engines take what is not watched any more for complete
			u.complete()
		}
	default:
		u.stopped = true
		u.rollBack("update rolled back" + reason)
		return
	}
	if u.over {
		u.cancel()
	}
}

// setStatus changes the status of the service's update. There is none if somebody
// has updated the service since.
func (u *update) setStatus(f func(*swarm.Service, *swarm.UpdateStatus)) {
	c := u.control.cluster
	service := c.services.get(u.service.ID)
	if service == nil || service.UpdateStatus == nil {
		return
	}
	c.commit(func(t *tx) {
		t.changeService(service.ID, func(service *swarm.Service) {
			status := *service.UpdateStatus
			service.UpdateStatus = &status
			f(service, &status)
		})
	})
}

// begin notes that the update has begun.
func (u *update) begin() {
	u.control.cluster.commit(func(t *tx) {
		t.changeService(u.service.ID, func(service *swarm.Service) {
			service.UpdateStatus = &swarm.UpdateStatus{
				State: swarm.UpdateInProgress, StartedAt: t.now, Message: "update in progress",
			}
		})
	})
}

// complete notes that the update is complete.
func (u *update) complete() {
	now := u.control.cluster.world.now()
	u.setStatus(func(service *swarm.Service, status *swarm.UpdateStatus) {
		status.CompletedAt = now
		if rollingBack(service) {
			status.State, status.Message = swarm.RollbackCompleted, "rollback completed"
			return
		}
		status.State, status.Message = swarm.UpdateCompleted, "update completed"
	})
}

// pause notes that the update goes no further.
func (u *update) pause(message string) {
	u.setStatus(func(service *swarm.Service, status *swarm.UpdateStatus) {
		status.State, status.Message = swarm.UpdatePaused, message
		if rollingBack(u.service) {
			status.State = swarm.RollbackPaused
		}
	})
}

// rollBack puts the previous spec back. That is an update of its own.
func (u *update) rollBack(message string) {
	c := u.control.cluster
	u.setStatus(func(service *swarm.Service, status *swarm.UpdateStatus) {
		status.State, status.Message = swarm.RollbackInProgress, message
		if service.PreviousSpec == nil {
			return
		}
		service.Spec, service.PreviousSpec = *service.PreviousSpec, nil
		auth := c.registryAuth[service.ID]
		c.registryAuth[service.ID] = [2]string{auth[1]}
	})
}
