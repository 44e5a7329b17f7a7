package swarm

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"time"
)

// TaskSpec is what each task of a service runs, and where. A task's own spec is a
// copy of its service's.
//
// One of ContainerSpec, PluginSpec and NetworkAttachmentSpec is set. Two specs
// that differ in anything, even in an empty object or the order of a list, make
// the engine replace the tasks.
type TaskSpec struct {
	// ContainerSpec is the container to run.
	ContainerSpec ContainerSpec `json:",omitzero"`
	// PluginSpec is the plugin to install, for [RuntimePlugin]. Needs API 1.31.
	PluginSpec *PluginSpec `json:",omitzero"`
	// NetworkAttachmentSpec stands for a container that is not the swarm's but
	// uses one of its networks, for [RuntimeAttachment]. Engines make such
	// tasks; services cannot have it. Needs API 1.38.
	NetworkAttachmentSpec *NetworkAttachmentSpec `json:",omitzero"`
	// Resources are what each task may use and needs. Nil: no limits, no needs.
	Resources *ResourceRequirements `json:",omitzero"`
	// RestartPolicy says when a task that has ended is replaced. Nil leaves it
	// to the engine: always, after 5s, as [DefaultRestartPolicy] has it. A job's
	// task that has ended well is never replaced.
	RestartPolicy *RestartPolicy `json:",omitzero"`
	// Placement says on which nodes tasks may run. Nil: on all. A service that has
	// one keeps an empty one: managers of all versions crash on a change that takes
	// it away and nothing else, also if a rollback does.
	Placement *Placement `json:",omitzero"`
	// Networks are the networks that tasks are attached to. Engines replace
	// names by IDs.
	Networks []NetworkAttachmentConfig `json:",omitzero"`
	// LogDriver is what becomes of the tasks' output. Nil means the default of
	// each node's engine. Options without a name are for that default, too: no task
	// can start where it does not know them.
	LogDriver *Driver `json:",omitzero"`
	// ForceUpdate is a counter. Any change of it replaces all tasks, although
	// nothing else has changed. Needs API 1.25.
	ForceUpdate uint64
	// Runtime is what kind of task it is. Empty means [RuntimeContainer], which
	// engines fill in. Needs API 1.30.
	Runtime Runtime `json:",omitzero"`
}

// Runtime is what kind of task it is.
type Runtime string

// The runtimes.
const (
	// RuntimeContainer runs a container. The default.
	RuntimeContainer Runtime = "container"
	// RuntimePlugin installs an engine plugin on nodes. It was never more than
	// experimental.
	RuntimePlugin Runtime = "plugin"
	// RuntimeAttachment stands for a container that is not the swarm's but uses
	// one of its networks.
	RuntimeAttachment Runtime = "attachment"
)

var runtimes = []Runtime{RuntimeContainer, RuntimePlugin, RuntimeAttachment}

// PluginSpec is an engine plugin to install.
type PluginSpec struct {
	// Name is what the plugin is called on the nodes.
	Name string `json:"name,omitzero"`
	// Remote is the reference it is pulled from, such as vieux/sshfs:latest.
	Remote string `json:"remote,omitzero"`
	// Privileges are what the plugin is allowed. It is not installed if it asks
	// for more.
	Privileges []PluginPrivilege `json:"privileges,omitzero"`
	// Disabled installs the plugin without starting it.
	Disabled bool `json:"disabled,omitzero"`
	// Env are environment variables of the plugin, each as KEY=value.
	Env []string `json:"env,omitzero"`
}

// PluginPrivilege is something that a plugin is allowed.
type PluginPrivilege struct {
	// Name is the kind of privilege, such as network or mount.
	Name string `json:"name,omitzero"`
	// Description is an explanation for people.
	Description string `json:"description,omitzero"`
	// Value is what exactly is allowed, such as host.
	Value []string `json:"value,omitzero"`
}

// NetworkAttachmentSpec stands for a container that is not the swarm's but uses
// one of its networks.
type NetworkAttachmentSpec struct {
	// ContainerID is the container that uses the network.
	ContainerID string
}

// ResourceRequirements are what each task may use and needs.
type ResourceRequirements struct {
	// Limits are what a task may use at most. Nil: anything.
	Limits *Limits `json:",omitzero"`
	// Reservations are what must be free on a node for a task to be placed
	// there. Nil: nothing.
	Reservations *Reservations `json:",omitzero"`
	// SwapBytes is how much a task may swap, which takes a memory limit. Nil
	// means twice the memory limit; -1 is any amount. Needs API 1.52.
	SwapBytes *int64 `json:",omitzero"`
	// MemorySwappiness is how readily a task's memory is swapped, from 0 to 100.
	// Nil and -1 mean the node's setting. Needs API 1.52.
	MemorySwappiness *int64 `json:",omitzero"`
}

// Limits are what a task may use at most.
type Limits struct {
	// NanoCPUs is the CPU time in 1e-9 CPUs: 1.5 CPUs are 1_500_000_000. Zero
	// means no limit. Managers take 1_000_000 and more, but nodes start no task
	// below 10_000_000.
	NanoCPUs int64 `json:",omitzero"`
	// MemoryBytes is how much memory a task may use; one that takes more is
	// killed. Zero means no limit. Managers take 4 MiB and more, but nodes start
	// no task below 6 MiB.
	MemoryBytes int64 `json:",omitzero"`
	// Pids is the number of processes and threads. Zero means no limit. Needs
	// API 1.41.
	Pids int64 `json:",omitzero"`
}

// Reservations are what must be free on a node for a task to be placed there.
// Only other reservations make it less free, not what is really used.
type Reservations struct {
	// NanoCPUs is the CPU time in 1e-9 CPUs: half a CPU is 500_000_000. Zero
	// means none. The minimum is 1_000_000.
	NanoCPUs int64 `json:",omitzero"`
	// MemoryBytes is how much of a node's memory is set aside for each task.
	// Zero means none. The minimum is 4 MiB.
	MemoryBytes int64 `json:",omitzero"`
	// GenericResources are things that nodes have been configured to offer, such
	// as GPUs. Needs API 1.32.
	GenericResources []GenericResource `json:",omitzero"`
}

// GenericResource is a thing that nodes have been configured to offer. One field
// is set.
type GenericResource struct {
	// NamedResourceSpec is one thing that has a name. Tasks have been given
	// such; a service asks for a number.
	NamedResourceSpec *NamedGenericResource `json:",omitzero"`
	// DiscreteResourceSpec is a number of things.
	DiscreteResourceSpec *DiscreteGenericResource `json:",omitzero"`
}

// NamedGenericResource is one thing that has a name.
type NamedGenericResource struct {
	// Kind is what it is, such as gpu.
	Kind string `json:",omitzero"`
	// Value is its name, such as UUID1.
	Value string `json:",omitzero"`
}

// DiscreteGenericResource is a number of things.
type DiscreteGenericResource struct {
	// Kind is what they are, such as gpu.
	Kind string `json:",omitzero"`
	// Value is how many.
	Value int64 `json:",omitzero"`
}

// RestartPolicy says when a task that has ended is replaced. A field that is nil
// leaves it to the engine.
type RestartPolicy struct {
	// Condition says which tasks are replaced. Empty means [RestartAny].
	Condition RestartCondition `json:",omitzero"`
	// Delay is the pause before a task is replaced. Nil means the engine's
	// default, 5s; zero means at once. Not negative.
	Delay *time.Duration `json:",omitzero"`
	// MaxAttempts is how often a task is replaced before the engine gives up on
	// it, within Window. Nil and zero mean that it never gives up.
	MaxAttempts *uint64 `json:",omitzero"`
	// Window is the time in which MaxAttempts are counted. Nil and zero mean
	// that all are counted.
	Window *time.Duration `json:",omitzero"`
}

// DefaultRestartPolicy is what engines do for a service without a restart policy,
// to start from when one field shall differ: replace every task that has ended,
// after 5s, without limit.
func DefaultRestartPolicy() *RestartPolicy {
	return &RestartPolicy{
		Condition:   RestartAny,
		Delay:       new(5 * time.Second),
		MaxAttempts: new(uint64(0)),
	}
}

// RestartCondition says which tasks are replaced when they have ended.
type RestartCondition string

// The restart conditions.
const (
	// RestartAny replaces every task, except those of jobs that have ended well.
	RestartAny RestartCondition = "any"
	// RestartOnFailure replaces tasks that have failed.
	RestartOnFailure RestartCondition = "on-failure"
	// RestartNone replaces none.
	RestartNone RestartCondition = "none"
)

// Placement says on which nodes tasks may run.
type Placement struct {
	// Constraints are conditions that a node must all meet, such as
	// node.role==worker, node.labels.disk!=slow or node.platform.os==linux. A
	// condition on a label the nodes do not have is met by none with ==, by all
	// with !=.
	Constraints []string `json:",omitzero"`
	// Preferences say over what tasks are spread, the most important first.
	// Needs API 1.28.
	Preferences []PlacementPreference `json:",omitzero"`
	// MaxReplicas is how many tasks of a replicated service may run on one node.
	// Zero means any number. Of a global service a node has one in any case; with 1
	// here its updates with [StartFirst] wait for ever. Needs API 1.40.
	MaxReplicas uint64 `json:",omitzero"`
	// Platforms are the platforms that the image can run on; tasks are placed on
	// no others. Empty means that it is not known, and nodes are not chosen by
	// it. Needs API 1.30.
	Platforms []Platform `json:",omitzero"`
}

// PlacementPreference says over what tasks are spread. [SpreadOver] makes one.
type PlacementPreference struct {
	// Spread is the only kind of preference so far.
	Spread *SpreadPreference `json:",omitzero"`
}

// SpreadPreference spreads tasks evenly over the values of a label.
type SpreadPreference struct {
	// SpreadDescriptor is the label, such as node.labels.zone or
	// engine.labels.rack. Nodes without it count as one value. Engines ignore
	// anything else, node.id for instance.
	SpreadDescriptor string
}

// SpreadOver spreads tasks evenly over the values of a label of the nodes, such
// as node.labels.zone. Needs API 1.28.
func SpreadOver(label string) PlacementPreference {
	return PlacementPreference{Spread: &SpreadPreference{SpreadDescriptor: label}}
}

// Platform is what an image can run on.
type Platform struct {
	// Architecture is the processor, such as amd64. Empty means any.
	Architecture string `json:",omitzero"`
	// OS is the operating system, such as linux. Empty means any.
	OS string `json:",omitzero"`
}

// NetworkAttachmentConfig attaches tasks to a network.
type NetworkAttachmentConfig struct {
	// Target is the network's ID or name. The engine replaces a name by the ID,
	// and refuses networks that are not the swarm's.
	Target string `json:",omitzero"`
	// Aliases are more names by which the tasks are found in the network.
	Aliases []string `json:",omitzero"`
	// DriverOpts are options for the network's driver. Needs API 1.39.
	DriverOpts map[string]string `json:",omitzero"`
}

// HostNetwork attaches tasks to the network of their node instead of one of their
// own, as docker service create --network host does.
func HostNetwork() NetworkAttachmentConfig { return NetworkAttachmentConfig{Target: "host"} }

// Driver names a driver and its options.
type Driver struct {
	// Name is the driver's name, such as json-file or local.
	Name string `json:",omitzero"`
	// Options are the driver's options, such as max-size for json-file.
	Options map[string]string `json:",omitzero"`
}

// sameDriver compares as engines do, which give options that are empty back as none.
func sameDriver(a, b *Driver) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Name == b.Name && maps.Equal(a.Options, b.Options)
}

// Task is one attempt to run what a service is about. A task that has ended is
// never started again: the engine makes another in its place.
type Task struct {
	// ID is the task's ID: 25 characters, given by the engine, never reused.
	ID string
	// Version is the state of the task that was read.
	Version Version
	// CreatedAt is when the task was made.
	CreatedAt time.Time
	// UpdatedAt is when the task last changed.
	UpdatedAt time.Time
	// Name is empty for the tasks of services. They are called after their
	// service and Slot, or NodeID for a global service. There since API 1.25.
	Name string `json:",omitzero"`
	// Labels are empty for the tasks of services; see those of the service and
	// of the ContainerSpec. There since API 1.25.
	Labels map[string]string `json:",omitzero"`
	// Spec is what the task runs: a copy of its service's TaskTemplate as it was
	// when the task was made.
	Spec TaskSpec
	// ServiceID is the service that the task belongs to, empty if there is none,
	// as with [RuntimeAttachment].
	ServiceID string `json:",omitzero"`
	// Slot is the place the task fills among the replicas, counted from 1, or
	// from 0 in a job. It is 0 for the tasks of a global service.
	Slot int `json:",omitzero"`
	// NodeID is the node that the task runs on, empty until it has been placed.
	NodeID string `json:",omitzero"`
	// Status is what has become of the task.
	Status TaskStatus
	// DesiredState is what the engine wants the task to be: usually
	// [TaskRunning], or [TaskComplete] for a job's; [TaskReady] while it waits
	// for the delay of its restart policy; [TaskShutdown] when it is stopped or
	// has been replaced.
	DesiredState TaskState `json:",omitzero"`
	// NetworksAttachments are the networks the task is attached to, with its
	// addresses.
	NetworksAttachments []NetworkAttachment `json:",omitzero"`
	// GenericResources are the things the task has been given of those its
	// service reserves. The published API document calls them
	// AssignedGenericResources, engines do not. Needs API 1.32.
	GenericResources []GenericResource `json:",omitzero"`
	// JobIteration is the run of the job that the task belongs to. Nil if its
	// service is no job. Needs API 1.41.
	JobIteration *Version `json:",omitzero"`
	// Volumes are the cluster volumes the task has been given. The published API
	// document lacks them. Needs API 1.42.
	Volumes []VolumeAttachment `json:",omitzero"`
	// Raw is the engine's JSON as received.
	Raw json.RawMessage `json:"-"`
}

// TaskStatus is what has become of a task.
type TaskStatus struct {
	// Timestamp is when the task came into this state, by its node's clock.
	Timestamp time.Time
	// State is how far the task has come.
	State TaskState `json:",omitzero"`
	// Message is the engine's explanation, such as "started" or "preparing".
	Message string `json:",omitzero"`
	// Err is why the task failed, was rejected, or is not getting on, such as
	// "task: non-zero exit (1)" or "no suitable node (…)". Empty if all is well.
	Err string `json:",omitzero"`
	// ContainerStatus tells about the task's container. Nil until it has one.
	ContainerStatus *ContainerStatus `json:",omitzero"`
	// PortStatus are the ports opened on the task's node for [PublishHost]. There
	// since API 1.25.
	PortStatus PortStatus
}

// ContainerStatus tells about the container of a task.
type ContainerStatus struct {
	// ContainerID is the container's ID on its node.
	ContainerID string
	// PID is the process on its node. Zero if it does not run.
	PID int
	// ExitCode is what the process ended with. It says nothing while the task
	// runs.
	ExitCode int
}

// PortStatus are the ports opened on a task's node.
type PortStatus struct {
	// Ports are the ports, with the numbers the node has chosen filled in. One
	// that is open for IPv4 and for IPv6 is listed twice.
	Ports []PortConfig `json:",omitzero"`
}

// TaskState is how far a task has come. Tasks go through the states in the order
// of the constants, without turning back; not every task sees each.
type TaskState string

// The states of a task.
const (
	// TaskNew has just been made.
	TaskNew TaskState = "new"
	// TaskAllocated has its addresses. Engines say [TaskPending] instead.
	TaskAllocated TaskState = "allocated"
	// TaskPending waits for a node. It stays so if no node is suitable; Err then
	// says why.
	TaskPending TaskState = "pending"
	// TaskAssigned has been given to a node.
	TaskAssigned TaskState = "assigned"
	// TaskAccepted has been taken by its node.
	TaskAccepted TaskState = "accepted"
	// TaskPreparing is getting ready: its node pulls the image, for example.
	TaskPreparing TaskState = "preparing"
	// TaskReady could start, and waits until it may.
	TaskReady TaskState = "ready"
	// TaskStarting has a container, which is not healthy yet.
	TaskStarting TaskState = "starting"
	// TaskRunning runs, and is healthy if it has a health check.
	TaskRunning TaskState = "running"
	// TaskComplete has ended by itself with exit code 0.
	TaskComplete TaskState = "complete"
	// TaskShutdown was stopped by the engine.
	TaskShutdown TaskState = "shutdown"
	// TaskFailed has ended by itself with another exit code, or could not be
	// started.
	TaskFailed TaskState = "failed"
	// TaskRejected was not taken by its node, because the image cannot be
	// pulled, for example.
	TaskRejected TaskState = "rejected"
	// TaskRemove is to be removed, with its service or because there are fewer
	// replicas. It is a desired state only. Needs API 1.37.
	TaskRemove TaskState = "remove"
	// TaskOrphaned was on a node that has been unreachable for so long that the
	// engine no longer counts on it. Needs API 1.37.
	TaskOrphaned TaskState = "orphaned"
)

// taskStates are the states in the order of a task's life.
var taskStates = []TaskState{TaskNew, TaskAllocated, TaskPending, TaskAssigned, TaskAccepted, TaskPreparing, TaskReady, TaskStarting, TaskRunning,
	TaskComplete, TaskShutdown, TaskFailed, TaskRejected, TaskRemove, TaskOrphaned}

// Terminal says whether a task in this state has ended for good. It is false for
// a state this package does not know.
func (s TaskState) Terminal() bool { return s.order() >= TaskComplete.order() }

// Active says whether a task in this state is with its node: the node has been
// given it, and it has not ended. It is true for a state this package does not
// know.
func (s TaskState) Active() bool { return s.order() >= TaskAssigned.order() && !s.Terminal() }

// order counts how far a state is in a task's life. One that is not known is taken
// for something between running and the end.
func (s TaskState) order() int {
	if i := slices.Index(taskStates, s); i >= 0 {
		return 2 * i
	}
	return TaskRunning.order() + 1
}

// CompareTaskStates orders states by how far a task in them has come, from
// [TaskNew] to [TaskOrphaned]. States that this package does not know come after
// [TaskRunning] and before those that are terminal, in the order of their names.
func CompareTaskStates(a, b TaskState) int {
	return cmp.Or(cmp.Compare(a.order(), b.order()), cmp.Compare(a, b))
}

// NetworkAttachment is a network that a task is attached to.
type NetworkAttachment struct {
	// Network is the network as it was when the task was attached.
	Network AttachedNetwork
	// Addresses are the task's addresses with the length of the network's
	// prefix, such as 10.0.1.6/24.
	Addresses []string `json:",omitzero"`
}

// AttachedNetwork is a network as the swarm's managers know it, found in a task.
type AttachedNetwork struct {
	// ID is the network's ID.
	ID string
	// Version is the state of the network that was read.
	Version Version
	// CreatedAt is when the network was created.
	CreatedAt time.Time
	// UpdatedAt is when the network last changed.
	UpdatedAt time.Time
	// Spec is what the network shall be.
	Spec AttachedNetworkSpec
	// DriverState is the driver the managers have chosen, with the options they
	// have added, such as the VXLAN IDs of an overlay network.
	DriverState Driver
	// IPAMOptions are the addresses the managers have chosen.
	IPAMOptions *AttachedNetworkIPAM `json:",omitzero"`
}

// AttachedNetworkSpec is what a network shall be.
type AttachedNetworkSpec struct {
	// Name is the network's name.
	Name string `json:",omitzero"`
	// Labels are key-value pairs on the network.
	Labels map[string]string `json:",omitzero"`
	// DriverConfiguration is the driver that was asked for. Nil means overlay.
	DriverConfiguration *Driver `json:",omitzero"`
	// IPv6Enabled says that the network has IPv6.
	IPv6Enabled bool `json:",omitzero"`
	// Internal says that the network does not lead out of the swarm.
	Internal bool `json:",omitzero"`
	// Attachable says that containers that are not the swarm's may use the
	// network. Needs API 1.25.
	Attachable bool `json:",omitzero"`
	// Ingress says that the network carries the ports published with
	// [PublishIngress]. Needs API 1.29.
	Ingress bool `json:",omitzero"`
	// IPAMOptions are the addresses that were asked for.
	IPAMOptions *AttachedNetworkIPAM `json:",omitzero"`
	// ConfigFrom names the network whose configuration this one uses. There since
	// API 1.30.
	ConfigFrom *NetworkConfigSource `json:",omitzero"`
	// Scope is where the network exists, such as swarm. There since API 1.30.
	Scope string `json:",omitzero"`
}

// NetworkConfigSource names a network whose configuration another one uses.
type NetworkConfigSource struct {
	// Network is the network's name.
	Network string
}

// AttachedNetworkIPAM is how a network's addresses are managed.
type AttachedNetworkIPAM struct {
	// Driver is the IPAM driver.
	Driver Driver
	// Configs are the ranges of addresses.
	Configs []AttachedNetworkSubnet `json:",omitzero"`
}

// AttachedNetworkSubnet is a range of a network's addresses.
type AttachedNetworkSubnet struct {
	// Subnet is the whole range, such as 10.0.1.0/24.
	Subnet string `json:",omitzero"`
	// Range is the part that addresses are given from. Empty means all.
	Range string `json:",omitzero"`
	// Gateway is the address of the gateway.
	Gateway string `json:",omitzero"`
}

// VolumeAttachment is a cluster volume that a task has been given.
type VolumeAttachment struct {
	// ID is the volume's ID in the swarm.
	ID string `json:",omitzero"`
	// Source is the volume's name, or the group, that the mount asks for.
	Source string `json:",omitzero"`
	// Target is the path inside of the container.
	Target string `json:",omitzero"`
}
