package engine

import (
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	"github.com/swarm-go/swarm"
)

// agent is what runs the tasks of a node.
type agent struct {
	daemon *Daemon
	// work is what there is to do, by task ID.
	work map[string]*work
	// pulled are the images that the node has, by name.
	pulled map[string]bool
	// pids counts the processes there ever were.
	pids int
}

// work is a task on its node.
type work struct {
	taskID string
	// coming is true while the next step is on the agenda.
	coming bool
	// begun calls off what takes its time: a pull, or a start. It is nil if
	// nothing does.
	begun func()
	// container is nil until it starts.
	container *Container
}

// firstHostPort is the first of the ports that nodes choose.
const firstHostPort = 32768

func newAgent(d *Daemon) *agent {
	return &agent{daemon: d, work: map[string]*work{}, pulled: map[string]bool{}}
}

// notice has the agent look at a task, one step later.
func (a *agent) notice(taskID string) {
	w := a.work[taskID]
	if w == nil {
		w = &work{taskID: taskID}
		a.work[taskID] = w
	}
	if w.coming || a.daemon.down {
		return
	}
	w.coming = true
	a.daemon.world.after(a.daemon.world.Pace.Step, func() {
		w.coming = false
		a.step(w)
	})
}

// step brings a task to its next state.
func (a *agent) step(w *work) {
	c := a.daemon.cluster
	if a.daemon.down || c == nil || c.leader == "" || a.work[w.taskID] != w {
		return
	}
	task := c.tasks.get(w.taskID)
	switch {
	case task == nil || task.NodeID != a.daemon.nodeID:
		a.forget(w)
	case rank(task.DesiredState) > rank(swarm.TaskComplete) || task.Status.State.Terminal():
		a.stop(w, task)
	default:
		a.advance(w, task)
	}
}

// forget ends what there is of a task that is gone.
func (a *agent) forget(w *work) {
	a.cancel(w)
	if w.container != nil {
		w.container.kill()
		w.container.event(swarm.ActionDestroy, nil)
	}
	delete(a.work, w.taskID)
	a.daemon.removeLog(w.taskID)
}

func (a *agent) cancel(w *work) {
	if w.begun != nil {
		w.begun()
		w.begun = nil
	}
}

// stop brings a task to its end.
func (a *agent) stop(w *work, task *swarm.Task) {
	a.cancel(w)
	if w.container != nil && !w.container.ended {
		w.container.stop()
		return
	}
	if !task.Status.State.Terminal() {
		a.report(task, swarm.TaskShutdown, "shutdown", a.remains(w))
	}
}

// advance brings a task that shall run nearer to that.
func (a *agent) advance(w *work, task *swarm.Task) {
	switch task.Status.State {
	case swarm.TaskAssigned:
		a.report(task, swarm.TaskAccepted, "accepted", nil)
	case swarm.TaskAccepted:
		a.report(task, swarm.TaskPreparing, "preparing", nil)
	case swarm.TaskPreparing:
		a.prepare(w, task)
	case swarm.TaskReady:
		if rank(task.DesiredState) >= rank(swarm.TaskRunning) {
			a.report(task, swarm.TaskStarting, "starting", a.create(w, task))
		}
	case swarm.TaskStarting, swarm.TaskRunning:
		a.run(w, task)
	}
}

// prepare gets the image.
func (a *agent) prepare(w *work, task *swarm.Task) {
	if w.begun != nil {
		return
	}
	ref := task.Spec.ContainerSpec.Image
	name, image, found := a.daemon.world.findImage(ref)
	finish := func(pulled bool) {
		w.begun = nil
		if !pulled {
			a.fail(task, swarm.TaskRejected, "No such image: "+ref, &swarm.ContainerStatus{})
			return
		}
		if !a.pulled[name] {
			a.daemon.keepImage(name)
			a.daemon.pullEvent(name)
		}
		if err := a.daemon.createVolumes(a.daemon.containerSpec(task).Mounts); err != nil {
			a.fail(task, swarm.TaskRejected, err.Error(), &swarm.ContainerStatus{})
			return
		}
		a.report(task, swarm.TaskReady, "prepared", nil)
	}
	switch {
	case a.pulled[name]:
		finish(true)
	case !a.mayPull(task, image, found):
		finish(false)
	default:
		w.begun = a.daemon.world.after(image.PullTime, func() { finish(image.PullError == "") })
	}
}

// mayPull reports whether a registry would give the node an image.
func (a *agent) mayPull(task *swarm.Task, image Image, found bool) bool {
	if !found {
		return !a.daemon.world.RefuseUnknownImages
	}
	if !runsOn(image.Platforms, a.daemon.platform) {
		return false
	}
	if image.Username == "" && image.Password == "" {
		return true
	}
	auth := a.daemon.cluster.control.authOf(task.ID)
	return auth.Username == image.Username && auth.Password == image.Password
}

// create makes the container.
func (a *agent) create(w *work, task *swarm.Task) *swarm.ContainerStatus {
	d := a.daemon
	id := make([]byte, 32)
	for i := range id {
		id[i] = byte(d.world.rand.IntN(256))
	}
	_, image, _ := d.world.findImage(task.Spec.ContainerSpec.Image)
	service := d.cluster.services.get(task.ServiceID)
	if service == nil {
		service = &swarm.Service{}
	}
	spec := d.containerSpec(task)
	w.container = &Container{
		world:   d.world,
		daemon:  d,
		log:     d.openLog(task),
		id:      hex.EncodeToString(id),
		task:    task,
		service: service,
		node:    d.node(),
		run:     image.Run,
		env:     append([]string{}, spec.Env...),
		host:    spec.Hostname,
		files:   d.cluster.filesOf(task),
		done:    make(chan struct{}),
		changed: func() { a.notice(w.taskID) },
		created: d.world.now(),
	}
	w.container.event(swarm.ActionCreate, nil)
	return w.container.status()
}

// status is what the managers are told of the container.
func (c *Container) status() *swarm.ContainerStatus {
	status := &swarm.ContainerStatus{ContainerID: c.id, PID: c.pid, ExitCode: c.code}
	if c.ended {
		status.PID = 0
	}
	return status
}

// run starts the container of a task, and sees how it is doing.
func (a *agent) run(w *work, task *swarm.Task) {
	c := w.container
	switch {
	case w.begun != nil:
	case c == nil: // it went with the daemon that ran it
		lost := &swarm.ContainerStatus{ExitCode: lostCode}
		if known := task.Status.ContainerStatus; known != nil {
			lost.ContainerID = known.ContainerID
		}
		a.fail(task, swarm.TaskFailed, nonZeroExit(lostCode), lost)
	case c.ended:
		a.finish(w, task)
	case c.pid == 0:
		_, image, _ := a.daemon.world.findImage(task.Spec.ContainerSpec.Image)
		w.begun = a.daemon.world.after(image.StartTime, func() {
			w.begun = nil
			a.started(w, task, image)
		})
	default:
		a.examine(w, task)
	}
}

// started is when the process of a container begins.
func (a *agent) started(w *work, task *swarm.Task, image Image) {
	c := w.container
	if image.StartError != "" {
		c.ended, c.code = true, 127
		a.fail(task, swarm.TaskFailed, "starting container failed: "+image.StartError, c.status())
		return
	}
	a.pids++
	c.pid, c.started = 1000+a.pids, a.daemon.world.now()
	c.event(swarm.ActionStart, nil)
	if checksHealth(task) {
		a.watchHealth(c, image)
	}
	c.start()
	a.examine(w, task)
}

// watchHealth makes a container without a function healthy when its image says
// so, and gives up on one that is never healthy.
func (a *agent) watchHealth(c *Container, image Image) {
	if c.run == nil && image.HealthyAfter >= 0 {
		a.daemon.world.after(image.HealthyAfter, func() { c.setHealthy(true) })
	}
	check := c.task.Spec.ContainerSpec.Healthcheck
	retries, interval := check.Retries, check.Interval
	if retries == 0 {
		retries = 3
	}
	if interval == 0 {
		interval = 30 * time.Second
	}
	a.daemon.world.after(check.StartPeriod+time.Duration(retries)*interval, func() {
		if c.health == nil {
			c.setHealthy(false)
		}
	})
}

// checksHealth reports whether a task has a health check.
func checksHealth(task *swarm.Task) bool {
	check := task.Spec.ContainerSpec.Healthcheck
	return check != nil && len(check.Test) > 0 && check.Test[0] != "NONE"
}

// examine looks how a container is that runs.
func (a *agent) examine(w *work, task *swarm.Task) {
	c := w.container
	if checksHealth(task) {
		switch {
		case c.health == nil:
			return
		case !*c.health:
			c.unwell = true
			c.stop()
			return
		}
	}
	if task.Status.State == swarm.TaskStarting {
		a.report(task, swarm.TaskRunning, "started", c.status())
	}
}

// finish tells how a container has ended.
func (a *agent) finish(w *work, task *swarm.Task) {
	c := w.container
	if c.code == 0 {
		a.report(task, swarm.TaskComplete, "finished", c.status())
		return
	}
	reason := nonZeroExit(c.code)
	if c.unwell {
		reason += ": dockerexec: unhealthy container"
	}
	a.fail(task, swarm.TaskFailed, reason, c.status())
}

func nonZeroExit(code int) string { return fmt.Sprintf("task: non-zero exit (%d)", code) }

// remains is what there is to tell of a container that has ended.
func (a *agent) remains(w *work) *swarm.ContainerStatus {
	if w.container == nil {
		return &swarm.ContainerStatus{}
	}
	return w.container.status()
}

// report tells the managers that a task has come into a state. A state without a
// container has no status of one.
func (a *agent) report(task *swarm.Task, state swarm.TaskState, message string, container *swarm.ContainerStatus) {
	a.tell(task, func(status *swarm.TaskStatus) {
		status.State, status.Message = state, message
		status.ContainerStatus = container
		if state == swarm.TaskRunning {
			status.PortStatus.Ports = a.openPorts(task)
		}
	})
}

// fail tells the managers that a task has failed, and why. The message stays that
// of the state in which it has.
func (a *agent) fail(task *swarm.Task, state swarm.TaskState, reason string, container *swarm.ContainerStatus) {
	a.tell(task, func(status *swarm.TaskStatus) {
		status.State, status.Err = state, reason
		status.ContainerStatus = container
	})
}

// tell changes the status of a task. Tasks never go back to an earlier state.
func (a *agent) tell(task *swarm.Task, f func(*swarm.TaskStatus)) {
	c := a.daemon.cluster
	current := c.tasks.get(task.ID)
	if current == nil {
		return
	}
	status := current.Status
	status.PortStatus = swarm.PortStatus{}
	f(&status)
	if rank(status.State) <= rank(current.Status.State) {
		return
	}
	status.Timestamp = a.daemon.world.now()
	c.commit(func(t *tx) {
		t.changeTask(task.ID, func(task *swarm.Task) { task.Status = status })
	})
}

// openPorts are the ports that a task opens on its node: each for IPv4 and for
// IPv6.
func (a *agent) openPorts(task *swarm.Task) []swarm.PortConfig {
	var open []swarm.PortConfig
	for _, port := range a.daemon.cluster.control.hostPorts(task) {
		if port.PublishedPort == 0 {
			port.PublishedPort = a.freePort(port.Protocol, open)
		}
		open = append(open, port, port)
	}
	return open
}

// freePort is the first port that no task on the node has open.
func (a *agent) freePort(protocol swarm.Protocol, chosen []swarm.PortConfig) uint32 {
	taken := slices.Clone(chosen)
	c := a.daemon.cluster
	for _, task := range c.tasksOf(c.byNode[a.daemon.nodeID]) {
		taken = append(taken, task.Status.PortStatus.Ports...)
	}
	port := uint32(firstHostPort)
	for slices.ContainsFunc(taken, func(p swarm.PortConfig) bool { return p.Protocol == protocol && p.PublishedPort == port }) {
		port++
	}
	return port
}

// killAll ends all containers, as when the power fails.
func (a *agent) killAll() {
	for _, id := range sortedKeys(a.work) {
		w := a.work[id]
		a.cancel(w)
		if w.container != nil {
			w.container.kill()
			w.container = nil
		}
	}
}

// leave ends all that there is of the tasks of a swarm.
func (a *agent) leave() {
	a.killAll()
	for id := range a.work {
		a.daemon.removeLog(id)
	}
	a.work = map[string]*work{}
}

// noticeAll has the agent look at all its tasks.
func (a *agent) noticeAll() {
	c := a.daemon.cluster
	for _, task := range c.tasksOf(c.byNode[a.daemon.nodeID]) {
		if rank(task.Status.State) >= rank(swarm.TaskAssigned) {
			a.notice(task.ID)
		}
	}
}
