package engine

import (
	"cmp"
	"maps"
	"slices"

	"github.com/swarm-go/swarm"
)

// control is what the managers of a swarm remember besides its objects, and what
// they have yet to look at. They look at everything that has changed one step
// after it has, in one go: services get their addresses and tasks, tasks get
// their addresses and nodes. The nodes' agents do the rest.
type control struct {
	cluster *Cluster

	services map[string]*serviceState
	tasks    map[string]*taskState
	// nodes is what the scheduler knows of the nodes.
	nodes map[string]*nodeLoad
	// unplaced are the tasks that have no node yet.
	unplaced ids

	addresses addressBook
	ports     map[portKey]string // the services that ports are published for
	// starts are the tasks that wait for their start, and awaited are those
	// they wait for, with the IDs of those that wait.
	starts  map[string]*delayedStart
	awaited map[string]ids
	reaper  reaper
	// givingUp calls off giving up the tasks of nodes that are down.
	givingUp map[string]func()

	due    due
	coming bool
}

// serviceState is what managers remember of a service.
type serviceState struct {
	// version is that of the spec.
	version uint64
	// update is the update under way.
	update *update
	// restarts are what was restarted, by place.
	restarts map[place]*restartHistory
}

// taskState is what managers remember of a task.
type taskState struct {
	// service is the name of the service, which may be gone.
	service string
	// version is that of the service's spec that the task was made from.
	version uint64
	// endpoint is the service's as it was then.
	endpoint swarm.EndpointSpec
	// auth is what its image is pulled with.
	auth string
}

// place is where in a service a task belongs: its slot, or its node.
type place struct {
	slot int
	node string
}

// placeOf is the place of a task of a service.
func placeOf(service *swarm.Service, task *swarm.Task) place {
	switch service.Spec.Mode.Kind() {
	case swarm.ModeGlobal, swarm.ModeGlobalJob:
		return place{node: task.NodeID}
	}
	return place{slot: task.Slot}
}

// due is what has changed since the managers looked last.
type due struct {
	// services may need addresses.
	services ids
	// reconcile are services whose tasks may be too few or too many.
	reconcile ids
	// tasks are the tasks that have changed, or are gone.
	tasks ids
	// fresh are tasks without addresses.
	fresh ids
	// nodes have changed, or are gone.
	nodes ids
	// room is true if a task may find a node that did not before.
	room bool
}

// ids is a set of IDs. The set of nothing can be added to.
type ids map[string]bool

func (i *ids) add(id string) {
	if *i == nil {
		*i = ids{}
	}
	(*i)[id] = true
}

// sortedKeys are the keys of a map in their order.
func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }

func newControl(c *Cluster) *control {
	return &control{
		cluster:  c,
		services: map[string]*serviceState{},
		tasks:    map[string]*taskState{},
		nodes:    map[string]*nodeLoad{},
		ports:    map[portKey]string{},
		starts:   map[string]*delayedStart{},
		awaited:  map[string]ids{},
		givingUp: map[string]func(){},
		addresses: addressBook{
			pools:   map[string]*pool{},
			ofNodes: map[nodeNetwork]string{},
		},
	}
}

// states are the states of tasks in their order.
var states = map[swarm.TaskState]int{
	swarm.TaskNew:       0,
	swarm.TaskAllocated: 1,
	swarm.TaskPending:   1,
	swarm.TaskAssigned:  2,
	swarm.TaskAccepted:  3,
	swarm.TaskPreparing: 4,
	swarm.TaskReady:     5,
	swarm.TaskStarting:  6,
	swarm.TaskRunning:   7,
	swarm.TaskComplete:  8,
	swarm.TaskShutdown:  9,
	swarm.TaskFailed:    10,
	swarm.TaskRejected:  11,
	swarm.TaskRemove:    12,
	swarm.TaskOrphaned:  13,
}

// rank is where a state comes in the order of states.
func rank(state swarm.TaskState) int { return states[state] }

// wanted reports whether the managers want a task to run, or to be about to.
func wanted(task *swarm.Task) bool { return rank(task.DesiredState) <= rank(swarm.TaskComplete) }

// stopped reports whether a task runs no more, and never will again.
func stopped(task *swarm.Task) bool { return rank(task.Status.State) > rank(swarm.TaskRunning) }

// orchestrate takes notice of what was committed. It runs within the commit's
// [World.Do]; what it does about it, it does in commits of its own, later.
func (c *Cluster) orchestrate(changes []change) {
	for _, change := range changes {
		switch change.kind {
		case c.services.kind:
			noticed(change, c.control.noticeService)
		case c.tasks.kind:
			noticed(change, c.control.noticeTask)
		case c.nodes.kind:
			noticed(change, c.control.noticeNode)
		case c.networks.kind:
			noticed(change, c.control.noticeNetwork)
		}
	}
	c.control.wake()
}

func noticed[T any](change change, notice func(old, new *T)) {
	old, _ := change.old.(*T)
	new, _ := change.new.(*T)
	notice(old, new)
}

// wake has the managers look at what is due, one step later.
func (o *control) wake() {
	if o.coming || o.cluster.leader == "" {
		return
	}
	o.coming = true
	o.cluster.world.after(o.cluster.world.Pace.Step, func() {
		o.coming = false
		if o.cluster.leader != "" {
			o.look()
		}
	})
}

// look does what is due.
func (o *control) look() {
	now := o.due
	o.due = due{}
	o.allocateServices(now.services)
	fresh := ids{}
	maps.Copy(fresh, now.fresh)
	for id := range now.services { // which may have asked for ports that are none before
		maps.Copy(fresh, o.cluster.byService[id])
	}
	o.enforce(now.nodes)
	o.followStarts(now)
	o.followUpdates(now.tasks)
	o.reconcile(now.reconcile)
	o.replaceTasks(now)
	o.allocateTasks(fresh)
	o.schedule(now.room)
}

func (o *control) noticeService(old, new *swarm.Service) {
	if new == nil {
		o.forgetService(old)
		return
	}
	state := o.services[new.ID]
	if state == nil {
		state = &serviceState{}
		o.services[new.ID] = state
	}
	// Each update puts the spec there was aside, also one that changes nothing.
	if old == nil || old.PreviousSpec != new.PreviousSpec {
		state.version = o.cluster.index
	}
	o.due.services.add(new.ID)
	o.due.reconcile.add(new.ID)
}

// forgetService has the tasks of a service removed that is gone.
func (o *control) forgetService(service *swarm.Service) {
	if state := o.services[service.ID]; state != nil && state.update != nil {
		state.update.cancel()
	}
	delete(o.services, service.ID)
	for _, load := range o.nodes {
		delete(load.failures, service.ID)
	}
	o.releaseService(service)
	o.due.reconcile.add(service.ID)
}

func (o *control) noticeTask(old, new *swarm.Task) {
	o.count(old, new)
	if new == nil {
		o.forgetTask(old)
		return
	}
	o.due.tasks.add(new.ID)
	o.reaper.notice(o, old, new)
	if new.Status.State == swarm.TaskNew {
		o.due.fresh.add(new.ID)
	}
	if new.Status.State == swarm.TaskPending && (old == nil || old.Status.State != swarm.TaskPending) {
		o.unplaced.add(new.ID)
		o.due.room = true
	}
	if old != nil && holds(old) && !holds(new) {
		o.due.room = true
	}
	if rank(new.Status.State) >= rank(swarm.TaskAssigned) {
		if d := o.daemonOf(new.NodeID); d != nil {
			d.agent.notice(new.ID)
		}
	}
}

func (o *control) forgetTask(task *swarm.Task) {
	delete(o.tasks, task.ID)
	delete(o.unplaced, task.ID)
	o.releaseTask(task)
	if start := o.starts[task.ID]; start != nil {
		start.cancel()
		delete(o.starts, task.ID)
	}
	o.due.tasks.add(task.ID)
	if rank(task.DesiredState) <= rank(swarm.TaskRunning) {
		o.due.reconcile.add(task.ServiceID)
	}
	o.due.room = true
	if d := o.daemonOf(task.NodeID); d != nil {
		d.agent.notice(task.ID)
	}
}

func (o *control) noticeNode(old, new *swarm.Node) {
	node := cmp.Or(new, old)
	o.due.nodes.add(node.ID)
	o.due.room = true
	if new == nil {
		delete(o.nodes, node.ID)
		o.detachNode(node.ID)
	} else if old == nil {
		o.recount(new.ID)
		for _, id := range o.ingress() {
			o.attachNode(new.ID, id)
		}
	}
	for _, id := range sortedKeys(o.cluster.services.byID) {
		// Jobs do not look for nodes until a task of theirs ends.
		if o.cluster.services.get(id).Spec.Mode.Kind() == swarm.ModeGlobal {
			o.due.reconcile.add(id)
		}
	}
	o.noticeReadiness(old, new)
}

// daemonOf is the engine of a node. It is nil if there is none, or none any more.
func (o *control) daemonOf(nodeID string) *Daemon {
	if nodeID == "" {
		return nil
	}
	for _, d := range o.cluster.world.daemons {
		if d.cluster == o.cluster && d.nodeID == nodeID {
			return d
		}
	}
	return nil
}

// changeTask stores a copy of a task that f has changed. There is none to change
// if the task is gone.
func (t *tx) changeTask(id string, f func(*swarm.Task)) {
	c := t.cluster
	if old := c.tasks.get(id); old != nil {
		changed := *old
		f(&changed)
		put(t, c.tasks, &changed)
	}
}

// changeService stores a copy of a service that f has changed.
func (t *tx) changeService(id string, f func(*swarm.Service)) {
	c := t.cluster
	if old := c.services.get(id); old != nil {
		changed := *old
		f(&changed)
		put(t, c.services, &changed)
	}
}

// newTask stores a new task of a service.
func (t *tx) newTask(service *swarm.Service, slot int, nodeID string, desired swarm.TaskState) *swarm.Task {
	c := t.cluster
	task := &swarm.Task{
		ID:           c.world.newID(),
		Labels:       map[string]string{},
		Spec:         taskSpec(service),
		ServiceID:    service.ID,
		Slot:         slot,
		NodeID:       nodeID,
		Status:       swarm.TaskStatus{Timestamp: t.now, State: swarm.TaskNew, Message: "created"},
		DesiredState: desired,
	}
	if isJob(&service.Spec) {
		task.JobIteration = new(iteration(service))
	}
	c.control.tasks[task.ID] = &taskState{
		service:  service.Spec.Name,
		version:  c.control.versionOf(service.ID),
		endpoint: service.Spec.EndpointSpec,
		auth:     c.registryAuth[service.ID][0],
	}
	put(t, c.tasks, task)
	return task
}

// want changes what a task is to become, unless it is to become more already.
func (t *tx) want(id string, desired swarm.TaskState) {
	if task := t.cluster.tasks.get(id); task != nil && rank(task.DesiredState) < rank(desired) {
		t.changeTask(id, func(task *swarm.Task) { task.DesiredState = desired })
	}
}

// versionOf is the version of a service's spec.
func (o *control) versionOf(serviceID string) uint64 {
	if state := o.services[serviceID]; state != nil {
		return state.version
	}
	return 0
}

// taskSpec is the spec of a service's tasks. Only services tell their runtime.
func taskSpec(service *swarm.Service) swarm.TaskSpec {
	spec := service.Spec.TaskTemplate
	spec.Runtime = ""
	return spec
}

// iteration is which run of a job it is.
func iteration(service *swarm.Service) swarm.Version {
	if service.JobStatus == nil {
		return swarm.Version{}
	}
	return service.JobStatus.JobIteration
}

// reconcile gives services the tasks they need.
func (o *control) reconcile(services ids) {
	for _, id := range sortedKeys(services) {
		service := o.cluster.services.get(id)
		if service == nil {
			o.removeTasks(id)
			continue
		}
		switch service.Spec.Mode.Kind() {
		case swarm.ModeReplicated:
			o.reconcileReplicated(service)
		case swarm.ModeGlobal:
			o.reconcileGlobal(service)
		case swarm.ModeReplicatedJob:
			o.reconcileReplicatedJob(service)
		case swarm.ModeGlobalJob:
			o.reconcileGlobalJob(service)
		}
	}
}

// removeTasks has all tasks of a service removed.
func (o *control) removeTasks(serviceID string) {
	c := o.cluster
	c.commit(func(t *tx) {
		for _, task := range c.tasksOf(c.byService[serviceID]) {
			t.want(task.ID, swarm.TaskRemove)
		}
	})
}

// replaceTasks restarts the tasks that have ended, or whose node is gone.
func (o *control) replaceTasks(now due) {
	look := maps.Clone(now.tasks)
	for id := range now.nodes {
		for task := range o.cluster.byNode[id] {
			(*ids)(&look).add(task)
		}
	}
	jobs := ids{}
	for _, id := range sortedKeys(look) {
		task := o.cluster.tasks.get(id)
		if task == nil {
			continue
		}
		service := o.cluster.services.get(task.ServiceID)
		if service == nil {
			o.orphan(task)
			continue
		}
		switch service.Spec.Mode.Kind() {
		case swarm.ModeReplicated:
			o.replaceReplicated(service, task)
		case swarm.ModeGlobal:
			o.replaceGlobal(service, task)
		default:
			if stopped(task) && wanted(task) {
				jobs.add(service.ID)
			}
		}
	}
	o.reconcile(jobs)
}

// orphan has a task removed whose service is gone.
func (o *control) orphan(task *swarm.Task) {
	if task.ServiceID != "" && rank(task.DesiredState) < rank(swarm.TaskRemove) {
		o.removeTasks(task.ServiceID)
	}
}

// outOfUse reports whether tasks may not be on a node: it is gone, down, or
// drained.
func (o *control) outOfUse(nodeID string) bool {
	node := o.cluster.nodes.get(nodeID)
	return node == nil || node.Status.State == swarm.NodeDown || node.Spec.Availability == swarm.NodeDrain
}
