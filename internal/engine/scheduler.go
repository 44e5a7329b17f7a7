package engine

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/swarm-go/swarm"
)

// nodeLoad is what the scheduler knows of a node's tasks.
type nodeLoad struct {
	// active counts the tasks that shall run, in all and by service.
	active    int
	byService map[string]int
	// nanoCPUs and memory are reserved, and so are the generic resources, by
	// kind.
	nanoCPUs, memory int64
	discrete         map[string]int64
	named            map[string]map[string]bool
	// ports are open on the node.
	ports map[portKey]int
	// failures are when tasks have failed of late, by service.
	failures map[string][]time.Time
}

// portKey is a port of a protocol.
type portKey struct {
	protocol swarm.Protocol
	port     uint32
}

const (
	// failuresCounted is how long a failure counts against a node, and
	// failuresAvoided is how many make the scheduler avoid it.
	failuresCounted = 5 * time.Minute
	failuresAvoided = 5
)

func newNodeLoad() *nodeLoad {
	return &nodeLoad{
		byService: map[string]int{},
		discrete:  map[string]int64{},
		named:     map[string]map[string]bool{},
		ports:     map[portKey]int{},
		failures:  map[string][]time.Time{},
	}
}

// holds reports whether a task holds what it was given of its node.
func holds(task *swarm.Task) bool {
	return rank(task.Status.State) >= rank(swarm.TaskAssigned) && !stopped(task)
}

// count keeps the loads of nodes when a task changes.
func (o *control) count(old, new *swarm.Task) {
	if old != nil && holds(old) {
		o.load(old.NodeID).add(o, old, -1)
	}
	if new != nil && holds(new) {
		o.load(new.NodeID).add(o, new, 1)
	}
	if old != nil && new != nil && !stopped(old) && wanted(new) &&
		(new.Status.State == swarm.TaskFailed || new.Status.State == swarm.TaskRejected) {
		load := o.load(new.NodeID)
		load.failures[new.ServiceID] = append(load.recentFailures(new.ServiceID, o.cluster.world.now()), o.cluster.world.now())
	}
}

// load is what is known of a node.
func (o *control) load(nodeID string) *nodeLoad {
	if o.nodes[nodeID] == nil {
		o.nodes[nodeID] = newNodeLoad()
	}
	return o.nodes[nodeID]
}

// recount counts the tasks of a node that has just become known.
func (o *control) recount(nodeID string) {
	delete(o.nodes, nodeID)
	for _, task := range o.cluster.tasksOf(o.cluster.byNode[nodeID]) {
		o.count(nil, task)
	}
}

// add counts a task in, or out.
func (l *nodeLoad) add(o *control, task *swarm.Task, n int) {
	if wanted(task) {
		l.active += n
		if l.byService[task.ServiceID] += n; l.byService[task.ServiceID] == 0 {
			delete(l.byService, task.ServiceID)
		}
	}
	want := reservations(task)
	l.nanoCPUs += int64(n) * want.NanoCPUs
	l.memory += int64(n) * want.MemoryBytes
	for _, resource := range task.GenericResources {
		if d := resource.DiscreteResourceSpec; d != nil {
			l.discrete[d.Kind] += int64(n) * d.Value
		}
		if r := resource.NamedResourceSpec; r != nil {
			if l.named[r.Kind] == nil {
				l.named[r.Kind] = map[string]bool{}
			}
			l.named[r.Kind][r.Value] = n > 0
		}
	}
	for _, port := range o.hostPorts(task) {
		if port.PublishedPort != 0 {
			l.ports[portKey{port.Protocol, port.PublishedPort}] += n
		}
	}
}

// recentFailures is when a service has failed on the node of late.
func (l *nodeLoad) recentFailures(serviceID string, now time.Time) []time.Time {
	return slices.DeleteFunc(l.failures[serviceID], func(at time.Time) bool { return now.Sub(at) >= failuresCounted })
}

// reservations is what a task needs of a node.
func reservations(task *swarm.Task) swarm.Reservations {
	if task.Spec.Resources == nil || task.Spec.Resources.Reservations == nil {
		return swarm.Reservations{}
	}
	return *task.Spec.Resources.Reservations
}

// hostPorts are the ports that a task opens on its node.
func (o *control) hostPorts(task *swarm.Task) []swarm.PortConfig {
	state := o.tasks[task.ID]
	if state == nil {
		return nil
	}
	var ports []swarm.PortConfig
	for _, port := range state.endpoint.Ports {
		if port.PublishMode == swarm.PublishHost {
			ports = append(ports, port)
		}
	}
	return ports
}

// schedule finds nodes for tasks that have none, if there may be some.
func (o *control) schedule(room bool) {
	if !room {
		return
	}
	groups := map[group][]*swarm.Task{}
	for id := range o.unplaced {
		task := o.cluster.tasks.get(id)
		// Tasks that are not wanted any more get a node too, which then ends them.
		if task == nil || task.Status.State != swarm.TaskPending {
			delete(o.unplaced, id)
			continue
		}
		of := group{task.ServiceID, o.stateOf(task).version, task.NodeID}
		groups[of] = append(groups[of], task)
	}
	order := slices.SortedFunc(maps.Keys(groups), group.compare)
	for _, of := range order {
		slices.SortFunc(groups[of], byPlace)
		o.scheduleGroup(of, groups[of])
	}
}

// group is tasks that suit the same nodes. Those of global services have a node
// already.
type group struct {
	service string
	version uint64
	node    string
}

func (g group) compare(other group) int {
	return cmp.Or(cmp.Compare(g.service, other.service), cmp.Compare(g.version, other.version), cmp.Compare(g.node, other.node))
}

// stateOf is what is remembered of a task.
func (o *control) stateOf(task *swarm.Task) taskState {
	if state := o.tasks[task.ID]; state != nil {
		return *state
	}
	return taskState{}
}

// scheduleGroup finds nodes for the tasks of a group, one after the other. When
// one finds none, neither do the others.
func (o *control) scheduleGroup(of group, tasks []*swarm.Task) {
	nodes, rules := o.candidates(of), placementOf(&tasks[0].Spec)
	o.cluster.commit(func(t *tx) {
		for i, task := range tasks {
			node, reason := o.choose(task, nodes, rules)
			if node == nil {
				if of.node == "" {
					reason = noSuitableNode(reason)
				}
				for _, task := range tasks[i:] {
					explain(t, task, reason)
				}
				return
			}
			o.assign(t, of, task, node)
			o.count(nil, o.cluster.tasks.get(task.ID)) // until the commit is noticed
			defer o.count(o.cluster.tasks.get(task.ID), nil)
		}
	})
}

// assign gives a task its node.
func (o *control) assign(t *tx, of group, task *swarm.Task, node *swarm.Node) {
	message := "scheduler assigned task to node"
	if of.node != "" {
		message = "scheduler confirmed task can run on preassigned node"
	}
	resources := o.load(node.ID).give(node, task)
	delete(o.unplaced, task.ID)
	for _, attachment := range task.NetworksAttachments {
		o.attachNode(node.ID, attachment.Network.ID)
	}
	t.changeTask(task.ID, func(task *swarm.Task) {
		task.NodeID = node.ID
		task.GenericResources = resources
		task.Status = swarm.TaskStatus{Timestamp: t.now, State: swarm.TaskAssigned, Message: message}
	})
}

// explain tells why a task has no node.
func explain(t *tx, task *swarm.Task, reason string) {
	if task.Status.Err == reason {
		return
	}
	t.changeTask(task.ID, func(task *swarm.Task) {
		task.Status.Timestamp, task.Status.Err = t.now, reason
	})
}

// noSuitableNode is what is said of a task that has no node for a reason.
func noSuitableNode(reason string) string {
	if reason == "" {
		return "no suitable node"
	}
	return "no suitable node (" + reason + ")"
}

// choose finds the node for a task, or what kept it from all of them.
func (o *control) choose(task *swarm.Task, nodes []*swarm.Node, rules constraints) (*swarm.Node, string) {
	var fitting []*swarm.Node
	failed := map[*filter]int{}
	for _, node := range nodes {
		f := &fit{control: o, task: task, node: node, load: o.load(node.ID), rules: rules}
		if failing := f.firstFailing(); failing != nil {
			failed[failing]++
			continue
		}
		fitting = append(fitting, node)
	}
	if len(fitting) > 0 {
		return o.best(task, fitting), ""
	}
	return nil, explanation(failed)
}

// candidates are the nodes that a group may be placed on.
func (o *control) candidates(of group) []*swarm.Node {
	if of.node == "" {
		return o.cluster.nodes.all()
	}
	if node := o.cluster.nodes.get(of.node); node != nil {
		return []*swarm.Node{node}
	}
	return nil
}

// fit is the question whether a task can be on a node.
type fit struct {
	control *control
	task    *swarm.Task
	node    *swarm.Node
	load    *nodeLoad
	rules   constraints
}

// filter is a condition on nodes.
type filter struct {
	passes func(*fit) bool
	// one and many are what is said of one node, and of several, that does not
	// pass.
	one, many string
}

// placementFilters are the conditions in the engine's order.
var placementFilters = []*filter{
	{(*fit).ready, "1 node not available for new tasks", "%d nodes not available for new tasks"},
	{(*fit).enough, "insufficient resources on 1 node", "insufficient resources on %d nodes"},
	{(*fit).plugins, "missing plugin on 1 node", "missing plugin on %d nodes"},
	{(*fit).constrained, "scheduling constraints not satisfied on 1 node", "scheduling constraints not satisfied on %d nodes"},
	{(*fit).platform, "unsupported platform on 1 node", "unsupported platform on %d nodes"},
	{(*fit).portsFree, "host-mode port already in use on 1 node", "host-mode port already in use on %d nodes"},
	{(*fit).fewReplicas, "max replicas per node limit exceed", "max replicas per node limit exceed"},
}

func (f *fit) firstFailing() *filter {
	for _, filter := range placementFilters {
		if !filter.passes(f) {
			return filter
		}
	}
	return nil
}

// explanation is what kept how many nodes from a task, that which kept most of
// them first.
func explanation(failed map[*filter]int) string {
	var parts []string
	byCount := slices.Clone(placementFilters)
	slices.SortStableFunc(byCount, func(a, b *filter) int { return cmp.Compare(failed[b], failed[a]) })
	for _, filter := range byCount {
		switch n := failed[filter]; {
		case n == 1:
			parts = append(parts, filter.one)
		case n > 1 && strings.Contains(filter.many, "%d"):
			parts = append(parts, fmt.Sprintf(filter.many, n))
		case n > 1:
			parts = append(parts, filter.many)
		}
	}
	return strings.Join(parts, "; ")
}

func (f *fit) ready() bool {
	return f.node.Status.State == swarm.NodeReady && f.node.Spec.Availability == swarm.NodeActive
}

func (f *fit) enough() bool {
	want, have := reservations(f.task), f.node.Description.Resources
	if want.NanoCPUs > have.NanoCPUs-f.load.nanoCPUs || want.MemoryBytes > have.MemoryBytes-f.load.memory {
		return false
	}
	for _, resource := range want.GenericResources {
		if d := resource.DiscreteResourceSpec; d == nil || !has(f.node, d.Kind) || d.Value > f.load.free(f.node, d.Kind) {
			return false
		}
	}
	return true
}

// has reports whether the node has had things of the kind, which is asked for also by
// who wants none of them.
func has(node *swarm.Node, kind string) bool {
	return slices.ContainsFunc(node.Description.Resources.GenericResources, func(r swarm.GenericResource) bool {
		return r.DiscreteResourceSpec != nil && r.DiscreteResourceSpec.Kind == kind || r.NamedResourceSpec != nil && r.NamedResourceSpec.Kind == kind
	})
}

// free is how many things of a kind the node has left.
func (l *nodeLoad) free(node *swarm.Node, kind string) int64 {
	n := int64(len(l.freeNames(node, kind)))
	for _, resource := range node.Description.Resources.GenericResources {
		if d := resource.DiscreteResourceSpec; d != nil && d.Kind == kind {
			n += d.Value - l.discrete[kind]
		}
	}
	return n
}

// freeNames are the things of a kind that the node has left and that have names.
func (l *nodeLoad) freeNames(node *swarm.Node, kind string) []string {
	var names []string
	for _, resource := range node.Description.Resources.GenericResources {
		if r := resource.NamedResourceSpec; r != nil && r.Kind == kind && !l.named[kind][r.Value] {
			names = append(names, r.Value)
		}
	}
	return names
}

// give is the things a task gets of those that a node has left.
func (l *nodeLoad) give(node *swarm.Node, task *swarm.Task) []swarm.GenericResource {
	var given []swarm.GenericResource
	for _, resource := range reservations(task).GenericResources {
		want := resource.DiscreteResourceSpec
		if want == nil {
			continue
		}
		names := l.freeNames(node, want.Kind)
		names = names[:min(int64(len(names)), want.Value)]
		for _, name := range names {
			given = append(given, swarm.GenericResource{NamedResourceSpec: &swarm.NamedGenericResource{Kind: want.Kind, Value: name}})
		}
		if rest := want.Value - int64(len(names)); rest > 0 {
			given = append(given, swarm.GenericResource{DiscreteResourceSpec: &swarm.DiscreteGenericResource{Kind: want.Kind, Value: rest}})
		}
	}
	return given
}

// plugins reports whether a node has the drivers that the task's volumes and
// networks ask for. What engines bring themselves is not looked for.
func (f *fit) plugins() bool {
	for _, mount := range f.task.Spec.ContainerSpec.Mounts {
		if mount.VolumeOptions == nil || mount.VolumeOptions.DriverConfig == nil {
			continue
		}
		if driver := mount.VolumeOptions.DriverConfig.Name; driver != "" && driver != "local" && !f.hasPlugin("Volume", driver) {
			return false
		}
	}
	return true
}

func (f *fit) hasPlugin(kind, name string) bool {
	return slices.ContainsFunc(f.node.Description.Engine.Plugins, func(p swarm.PluginDescription) bool {
		return p.Type == kind && strings.TrimSuffix(p.Name, ":latest") == strings.TrimSuffix(name, ":latest")
	})
}

func (f *fit) constrained() bool { return f.rules.match(f.node) }

func (f *fit) platform() bool {
	return f.task.Spec.Placement == nil || runsOn(f.task.Spec.Placement.Platforms, f.node.Description.Platform)
}

func (f *fit) portsFree() bool {
	for _, port := range f.control.hostPorts(f.task) {
		if port.PublishedPort != 0 && f.load.ports[portKey{port.Protocol, port.PublishedPort}] > 0 {
			return false
		}
	}
	return true
}

func (f *fit) fewReplicas() bool {
	placement := f.task.Spec.Placement
	return placement == nil || placement.MaxReplicas == 0 ||
		uint64(f.load.byService[f.task.ServiceID]) < placement.MaxReplicas
}

// best is the node that a task is best placed on: where the preferences want it,
// where its service has not failed of late, where there are fewest tasks of the
// service, and fewest at all. Between equals it is the first by name.
func (o *control) best(task *swarm.Task, nodes []*swarm.Node) *swarm.Node {
	if task.Spec.Placement != nil {
		for _, preference := range task.Spec.Placement.Preferences {
			if preference.Spread != nil {
				nodes = o.emptiest(task, preference.Spread.SpreadDescriptor, nodes)
			}
		}
	}
	now := o.cluster.world.now()
	failures := func(node *swarm.Node) int {
		n := len(o.load(node.ID).recentFailures(task.ServiceID, now))
		if n < failuresAvoided {
			return 0
		}
		return n
	}
	return slices.MinFunc(nodes, func(a, b *swarm.Node) int {
		return cmp.Or(
			cmp.Compare(failures(a), failures(b)),
			cmp.Compare(o.load(a.ID).byService[task.ServiceID], o.load(b.ID).byService[task.ServiceID]),
			cmp.Compare(o.load(a.ID).active, o.load(b.ID).active),
			cmp.Compare(a.Description.Hostname, b.Description.Hostname),
			cmp.Compare(a.ID, b.ID),
		)
	})
}

// emptiest is the nodes with that value of a label where there are fewest tasks
// of the service.
func (o *control) emptiest(task *swarm.Task, label string, nodes []*swarm.Node) []*swarm.Node {
	byValue, tasks := map[string][]*swarm.Node{}, map[string]int{}
	for _, node := range nodes {
		value, _ := nodeProperty(node, label)
		byValue[value] = append(byValue[value], node)
		tasks[value] += o.load(node.ID).byService[task.ServiceID]
	}
	values := sortedKeys(byValue)
	return byValue[slices.MinFunc(values, func(a, b string) int { return cmp.Compare(tasks[a], tasks[b]) })]
}
