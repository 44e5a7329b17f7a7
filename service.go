package swarm

import (
	"encoding/json"
	"time"
)

// Service is a service as the engine knows it: what was asked for, and what has
// become of it.
type Service struct {
	// ID is the service's ID: 25 characters, given by the engine, never reused.
	ID string
	// Version is the state of the service that was read. It moves with every
	// change, also with those the engine makes by itself while tasks start.
	Version Version
	// CreatedAt is when the service was created.
	CreatedAt time.Time
	// UpdatedAt is when the service last changed, by whomever.
	UpdatedAt time.Time
	// Spec is what the service shall be.
	Spec ServiceSpec
	// PreviousSpec is what a rollback returns to: the spec before the last
	// update. Nil if there was no update, or if the engine has rolled back by
	// itself. There since API 1.25.
	PreviousSpec *ServiceSpec `json:",omitzero"`
	// Endpoint is where the service is reached: the ports it has been given and
	// its virtual addresses.
	Endpoint Endpoint
	// UpdateStatus tells how the last update or rollback is getting on. Nil if
	// there was none, and for a while after each update: every update resets it,
	// and one that replaces no task never sets it again.
	UpdateStatus *UpdateStatus `json:",omitzero"`
	// ServiceStatus counts the service's tasks. It is set in lists, and nil on a
	// service that was inspected.
	ServiceStatus *ServiceStatus `json:",omitzero"`
	// JobStatus tells which run of a job this is. Nil unless the service is a
	// job. Needs API 1.41.
	JobStatus *JobStatus `json:",omitzero"`
	// Raw is the engine's JSON as received. Updates apply their differences to
	// it, so that fields unknown to this package are kept.
	Raw json.RawMessage `json:"-"`
	// WithDefaults says that the engine has filled the spec with its defaults.
	// Such a service cannot be written back: its tasks would all restart.
	WithDefaults bool `json:"-"`
}

// Version names one state of an object. It is handed back with a change, which
// the engine refuses if the object has changed in between. Versions of different
// objects cannot be compared, and they grow in steps of any size.
type Version struct {
	// Index is the number the engine counts with.
	Index uint64 `json:",omitzero"`
}

// ServiceSpec is what a service shall be.
type ServiceSpec struct {
	// Name is the service's name, unique in the swarm: up to 63 letters, digits,
	// hyphens and underscores, beginning and ending with a letter or digit. It
	// cannot be changed. A service created without a name is given one by the
	// engine.
	Name string `json:",omitzero"`
	// Labels are key-value pairs on the service, not on its containers. Changing
	// them restarts nothing.
	Labels map[string]string `json:",omitzero"`
	// TaskTemplate is what each task of the service runs. Tasks are replaced
	// when it changes.
	TaskTemplate TaskSpec
	// Mode says how many tasks there are, and where. The zero value is one
	// replica. The kind of mode cannot be changed.
	Mode ServiceMode
	// UpdateConfig says how tasks are replaced when the service changes. The
	// zero value leaves it to the engine: one task after the other, as
	// [DefaultUpdateConfig] has it. Jobs must not have one.
	UpdateConfig UpdateConfig `json:",omitzero"`
	// RollbackConfig says how tasks are replaced when the service is rolled
	// back. The zero value leaves it to the engine: one task after the other, as
	// [DefaultRollbackConfig] has it. Jobs have no use for it. Needs API 1.28.
	RollbackConfig UpdateConfig `json:",omitzero"`
	// Networks are networks that all tasks are attached to. They count only if
	// the TaskTemplate has none, and newer engines take them from requests below
	// API 1.44 only. They are here to read old services without loss.
	//
	// Deprecated: use Networks of the TaskTemplate.
	Networks []NetworkAttachmentConfig `json:",omitzero"`
	// EndpointSpec says how the service is found and which of its ports are
	// published. The zero value is a virtual IP and no ports.
	EndpointSpec EndpointSpec `json:",omitzero"`
}

// ServiceMode says how many tasks a service has, and where. At most one field is
// set; [Replicated], [Global], [ReplicatedJob] and [GlobalJob] make one. If none
// is set the engine makes it one replica.
type ServiceMode struct {
	// Replicated is set for a service with a number of tasks.
	Replicated *ReplicatedService `json:",omitzero"`
	// Global is set for a service with one task on each node.
	Global *GlobalService `json:",omitzero"`
	// ReplicatedJob is set for a job of a number of tasks that run to their end.
	// Needs API 1.41.
	ReplicatedJob *ReplicatedJobMode `json:",omitzero"`
	// GlobalJob is set for a job that runs to its end once on each node. Needs
	// API 1.41.
	GlobalJob *GlobalJobMode `json:",omitzero"`
}

// ModeKind names a mode of services.
type ModeKind string

// The modes of services.
const (
	// ModeReplicated keeps a number of tasks running.
	ModeReplicated ModeKind = "replicated"
	// ModeGlobal keeps one task running on every eligible node.
	ModeGlobal ModeKind = "global"
	// ModeReplicatedJob runs a number of tasks to completion. Needs API 1.41.
	ModeReplicatedJob ModeKind = "replicated-job"
	// ModeGlobalJob runs one task to completion on every eligible node. Needs API 1.41.
	ModeGlobalJob ModeKind = "global-job"
)

// Kind names the mode. A mode with nothing set is replicated, as for the engine.
func (m ServiceMode) Kind() ModeKind {
	switch {
	case m.Global != nil:
		return ModeGlobal
	case m.ReplicatedJob != nil:
		return ModeReplicatedJob
	case m.GlobalJob != nil:
		return ModeGlobalJob
	}
	return ModeReplicated
}

// ReplicatedService keeps a number of tasks running.
type ReplicatedService struct {
	// Replicas is the number of tasks. Nil means the engine's default, 1; zero
	// stops the service but keeps it.
	Replicas *uint64 `json:",omitzero"`
}

// GlobalService keeps one task running on each node that the placement allows.
type GlobalService struct{}

// ReplicatedJobMode runs a number of tasks to their end.
type ReplicatedJobMode struct {
	// MaxConcurrent is how many tasks may run at the same time. Nil means the
	// engine's default, 1; with zero none ever runs.
	MaxConcurrent *uint64 `json:",omitzero"`
	// TotalCompletions is how many tasks have to end well until the job is done.
	// Nil means as many as MaxConcurrent.
	TotalCompletions *uint64 `json:",omitzero"`
}

// GlobalJobMode runs one task to its end on each node that the placement allows.
type GlobalJobMode struct{}

// Replicated is the mode of a service with n tasks. With n 0 the service exists
// but runs nothing.
func Replicated(n uint64) ServiceMode {
	return ServiceMode{Replicated: &ReplicatedService{Replicas: new(n)}}
}

// Global is the mode of a service with one task on each node that its placement
// allows, also on nodes that join later.
func Global() ServiceMode {
	return ServiceMode{Global: &GlobalService{}}
}

// ReplicatedJob is the mode of a job that is done when total tasks have ended
// well, of which up to concurrent run at the same time; 0 means all of them.
// Needs API 1.41.
func ReplicatedJob(total, concurrent uint64) ServiceMode {
	if concurrent == 0 {
		concurrent = total
	}
	return ServiceMode{ReplicatedJob: &ReplicatedJobMode{
		MaxConcurrent:    new(concurrent),
		TotalCompletions: new(total),
	}}
}

// GlobalJob is the mode of a job that runs to its end once on each node that its
// placement allows. Needs API 1.41.
func GlobalJob() ServiceMode {
	return ServiceMode{GlobalJob: &GlobalJobMode{}}
}

// UpdateConfig says how the tasks of a service are replaced by new ones. Its zero
// value, left out of a spec, leaves everything to the engine. As soon as one
// field is set the others count too, each with the default named here.
type UpdateConfig struct {
	// Parallelism is how many tasks are replaced at the same time. Nil means 1,
	// the engine's default, and is sent as 1: the engine would take a missing
	// number for 0, which means all at once.
	Parallelism *uint64
	// Delay is the pause between one batch of tasks and the next. Not negative. A
	// long one holds an update that is under way, after one more batch: engines
	// have no other pause, see the example of [ServiceClient.Modify].
	Delay time.Duration `json:",omitzero"`
	// FailureAction is what happens when more tasks fail than MaxFailureRatio
	// allows. Empty means the engine's default, [PauseOnFailure].
	FailureAction FailureAction `json:",omitzero"`
	// Monitor is how long after its start a task's failure still counts against
	// the update. Zero means the engine's default, 5s. Needs API 1.25.
	Monitor time.Duration `json:",omitzero"`
	// MaxFailureRatio is the share of tasks that may fail, from 0 to 1, before
	// FailureAction is taken. Zero, the default, allows none. Needs API 1.25.
	MaxFailureRatio float32
	// Order says whether the old task stops before the new one starts. Empty
	// means the engine's default, [StopFirst]. Needs API 1.29.
	Order UpdateOrder `json:",omitzero"`
}

// MarshalJSON writes a Parallelism that is nil as the default it stands for.
func (c UpdateConfig) MarshalJSON() ([]byte, error) {
	type plain UpdateConfig
	if c.Parallelism == nil {
		c.Parallelism = new(uint64(1))
	}
	return json.Marshal(plain(c))
}

// DefaultUpdateConfig is what engines do for a service without an update
// configuration, to start from when one field shall differ: one task after the
// other, the old one stopped first, without delay; a task that fails within 5s
// pauses the update.
func DefaultUpdateConfig() UpdateConfig {
	return UpdateConfig{
		Parallelism:   new(uint64(1)),
		FailureAction: PauseOnFailure,
		Monitor:       5 * time.Second,
		Order:         StopFirst,
	}
}

// DefaultRollbackConfig is what engines do for a service without a rollback
// configuration, to start from when one field shall differ. It is the same as
// [DefaultUpdateConfig].
func DefaultRollbackConfig() UpdateConfig {
	return DefaultUpdateConfig()
}

// FailureAction is what an update or a rollback does when too many tasks fail.
type FailureAction string

// The failure actions.
const (
	// PauseOnFailure stops replacing tasks: old and new ones stay as they are.
	PauseOnFailure FailureAction = "pause"
	// ContinueOnFailure replaces the other tasks all the same.
	ContinueOnFailure FailureAction = "continue"
	// RollbackOnFailure returns to the previous spec. It is meant for an
	// UpdateConfig; engines take it in a RollbackConfig, too. Needs API 1.28.
	RollbackOnFailure FailureAction = "rollback"
)

// UpdateOrder says which comes first when a task is replaced.
type UpdateOrder string

// The orders.
const (
	// StopFirst stops the old task, then starts the new one.
	StopFirst UpdateOrder = "stop-first"
	// StartFirst starts the new task and stops the old one when it runs. For a
	// while both run.
	StartFirst UpdateOrder = "start-first"
)

// EndpointSpec says how a service is found and which of its ports are published.
type EndpointSpec struct {
	// Mode is how the service's name is resolved inside of its networks. Empty
	// means the engine's default, [EndpointVIP].
	Mode EndpointMode `json:",omitzero"`
	// Ports are the published ports. With [EndpointDNSRR] they must all be
	// published with [PublishHost].
	Ports []PortConfig `json:",omitzero"`
}

// EndpointMode is how the name of a service is resolved inside of its networks.
type EndpointMode string

// The endpoint modes.
const (
	// EndpointVIP resolves to one virtual IP, behind which the engine spreads
	// the connections over the tasks.
	EndpointVIP EndpointMode = "vip"
	// EndpointDNSRR resolves to the addresses of the tasks, in turn.
	EndpointDNSRR EndpointMode = "dnsrr"
)

// PortConfig publishes one port of a service.
type PortConfig struct {
	// Name is a name for the port. Engines store it and do nothing with it.
	Name string `json:",omitzero"`
	// Protocol is the transport protocol. Empty means [ProtocolTCP], and engines
	// take an unknown one for [ProtocolTCP] without saying so.
	Protocol Protocol `json:",omitzero"`
	// TargetPort is the port inside of the container, 1 to 65535. Required.
	// Engines take greater numbers without complaint.
	TargetPort uint32 `json:",omitzero"`
	// PublishedPort is the port on the nodes. Zero lets the engine choose one:
	// between 30000 and 32767 for [PublishIngress], shown in the service's
	// Endpoint; any free one for [PublishHost], shown in the task's PortStatus.
	// Engines take one beyond 65535, and then start no task.
	PublishedPort uint32 `json:",omitzero"`
	// PublishMode says on which nodes the port is open. Empty means
	// [PublishIngress], and engines take an unknown one for [PublishIngress]
	// without saying so. Needs API 1.25.
	PublishMode PublishMode `json:",omitzero"`
}

// Protocol is a transport protocol of a published port.
type Protocol string

// The protocols.
const (
	// ProtocolTCP is TCP, the default.
	ProtocolTCP Protocol = "tcp"
	// ProtocolUDP publishes a UDP port.
	ProtocolUDP Protocol = "udp"
	// ProtocolSCTP publishes an SCTP port. Needs API 1.37.
	ProtocolSCTP Protocol = "sctp"
)

// PublishMode says on which nodes a published port is open.
type PublishMode string

// The publish modes.
const (
	// PublishIngress opens the port on every node of the swarm, whether or not a
	// task runs there, and spreads the connections over the tasks. The default.
	PublishIngress PublishMode = "ingress"
	// PublishHost opens the port only on the nodes that run a task, each leading
	// to the task there. Two tasks on one node cannot have the same port.
	PublishHost PublishMode = "host"
)

// Endpoint is where a service is reached.
type Endpoint struct {
	// Spec is the EndpointSpec that the engine has put into effect. It is zero
	// for a service that has published nothing.
	Spec EndpointSpec
	// Ports are the published ports, with the numbers the engine has chosen
	// filled in.
	Ports []PortConfig `json:",omitzero"`
	// VirtualIPs are the service's virtual IPs, one for each network.
	VirtualIPs []EndpointVirtualIP `json:",omitzero"`
}

// EndpointVirtualIP is a service's virtual IP in one network.
type EndpointVirtualIP struct {
	// NetworkID says which network the address belongs to.
	NetworkID string `json:",omitzero"`
	// Addr is the address with the length of the network's prefix, such as
	// 10.0.1.5/24. It is empty in networks that are not the swarm's, such as
	// bridge.
	Addr string `json:",omitzero"`
}

// UpdateStatus tells how an update or a rollback is getting on.
type UpdateStatus struct {
	// State is how far it has come.
	State UpdateState `json:",omitzero"`
	// StartedAt is when it began.
	StartedAt time.Time `json:",omitzero"`
	// CompletedAt is when it was done. Zero while it is not.
	CompletedAt time.Time `json:",omitzero"`
	// Message is the engine's explanation, such as "update in progress", or the
	// ID of the task whose failure has paused it.
	Message string `json:",omitzero"`
}

// UpdateState is how far an update or a rollback has come.
type UpdateState string

// The states of an update. Rollbacks need API 1.28; the published API document
// lacks theirs.
const (
	// UpdateInProgress means that tasks are being replaced.
	UpdateInProgress UpdateState = "updating"
	// UpdatePaused means that tasks have failed, and no more are replaced until
	// the next update or rollback.
	UpdatePaused UpdateState = "paused"
	// UpdateCompleted means that all tasks have been replaced.
	UpdateCompleted UpdateState = "completed"
	// RollbackInProgress means that tasks are being replaced by tasks of the
	// previous spec.
	RollbackInProgress UpdateState = "rollback_started"
	// RollbackPaused means that tasks have failed during a rollback, and no more
	// are replaced until the next update or rollback.
	RollbackPaused UpdateState = "rollback_paused"
	// RollbackCompleted means that all tasks are of the previous spec again.
	RollbackCompleted UpdateState = "rollback_completed"
)

// ServiceStatus counts the tasks of a service.
type ServiceStatus struct {
	// RunningTasks is how many tasks run.
	RunningTasks uint64
	// DesiredTasks is how many tasks shall run: the number of replicas, or of
	// the nodes a global service is meant for. For a replicated job it is
	// MaxConcurrent, even when the job is done; for a global one it falls with
	// each task that is done.
	DesiredTasks uint64
	// CompletedTasks is how many tasks of a job have ended well. It is 0 for a
	// service that is no job.
	CompletedTasks uint64
}

// JobStatus tells which run of a job this is.
type JobStatus struct {
	// JobIteration is the number of the run. Every update of a job starts a new
	// one, whose tasks bear its number. It is not a version to hand back.
	JobIteration Version
	// LastExecution is when the run began.
	LastExecution time.Time
}
