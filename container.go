package swarm

import (
	"os"
	"time"

	"github.com/swarm-go/swarm/internal/wire"
)

// ContainerSpec is the container that a task runs. Where a field says that the
// image decides, it is the image's configuration that counts when the field is
// empty.
type ContainerSpec struct {
	// Image is the image to run, such as nginx:1.29 or
	// registry.example.com/web@sha256:…. Required. Each node pulls it by itself;
	// a tag may give them different images, a digest does not.
	Image string `json:",omitzero"`
	// Labels are key-value pairs on the containers.
	Labels map[string]string `json:",omitzero"`
	// Command replaces the image's entry point. Empty: the image decides.
	Command []string `json:",omitzero"`
	// Args are the arguments of the entry point, replacing the image's command.
	// Empty: the image decides, unless Command is set.
	Args []string `json:",omitzero"`
	// Hostname is the host name inside of the container. Empty means the
	// container's ID. The engine fills in placeholders, such as
	// [TemplateNodeHostname] + "-" + [TemplateTaskSlot]. With more than 64 bytes no
	// task can start on Linux. Needs API 1.25.
	Hostname string `json:",omitzero"`
	// Env are environment variables, each as KEY=value, added to the image's. A
	// KEY without = removes the image's. The engine fills in templates. The
	// order counts: changing it replaces the tasks.
	Env []string `json:",omitzero"`
	// Dir is the working directory, an absolute path: with another no task can
	// start. Empty: the image decides.
	Dir string `json:",omitzero"`
	// User is who runs the process: user, user:group, uid or uid:gid. Empty: the
	// image decides.
	User string `json:",omitzero"`
	// Groups are more groups of the process, by name or number. An empty one has
	// been seen to crash the engine of the node. Needs API 1.25.
	Groups []string `json:",omitzero"`
	// Privileges are the container's security settings. Nil: the node decides.
	// Needs API 1.29.
	Privileges *Privileges `json:",omitzero"`
	// Init says whether a small init process runs first, which reaps zombies and
	// passes signals on. Nil means the node's setting, which is false unless
	// somebody changed it. Needs API 1.38.
	Init *bool `json:",omitzero"`
	// StopSignal is the signal that asks the process to end, such as SIGINT.
	// Empty: the image decides, else SIGTERM. Needs API 1.28.
	StopSignal string `json:",omitzero"`
	// TTY gives the process a terminal. Its output is then one stream: stdout
	// and stderr can no longer be told apart. Needs API 1.25.
	TTY bool `json:",omitzero"`
	// OpenStdin keeps stdin open, and empty: a program that reads it to its end
	// waits for ever. Without it stdin ends at once. Needs API 1.27.
	OpenStdin bool `json:",omitzero"`
	// ReadOnly makes the container's root file system read-only. Needs API 1.28.
	ReadOnly bool `json:",omitzero"`
	// Mounts are volumes, directories and the like seen inside of the container.
	// No two may have the same target.
	Mounts []Mount `json:",omitzero"`
	// StopGracePeriod is how long the process may take to end after StopSignal
	// before it is killed. Nil means the engine's default, 10s; zero kills it at
	// once.
	StopGracePeriod *time.Duration `json:",omitzero"`
	// Healthcheck says how the engine finds out whether the container works. A
	// task counts as running only when it is healthy, and is replaced when it is
	// not. Nil: the image decides. The published API document spells it
	// HealthCheck, engines do not. Needs API 1.25.
	Healthcheck *Healthcheck `json:",omitzero"`
	// Hosts are more lines for /etc/hosts: the address first, then a name,
	// separated by spaces. Engines use the first name of each alone. Needs API
	// 1.25.
	Hosts []string `json:",omitzero"`
	// DNSConfig is how the container resolves names that are not the swarm's.
	// Nil: the node decides. Needs API 1.25.
	DNSConfig *DNSConfig `json:",omitzero"`
	// Secrets are secrets seen as files inside of the container. No two may have
	// the same target. Needs API 1.25.
	Secrets []SecretReference `json:",omitzero"`
	// Configs are configs seen as files inside of the container. No two may have
	// the same target. Needs API 1.30.
	Configs []ConfigReference `json:",omitzero"`
	// Isolation is how Windows isolates the container. Empty means
	// [IsolationDefault], and engines take an unknown one for [IsolationDefault]
	// without saying so. Needs API 1.35.
	Isolation Isolation `json:",omitzero"`
	// Sysctls are kernel parameters of the container, such as
	// net.core.somaxconn. Each node decides whether it allows them. Needs API
	// 1.40.
	Sysctls map[string]string `json:",omitzero"`
	// CapabilityAdd are Linux capabilities added to the default ones, such as
	// CAP_NET_ADMIN. Needs API 1.41.
	CapabilityAdd []string `json:",omitzero"`
	// CapabilityDrop are Linux capabilities taken away from the default ones.
	// Needs API 1.41.
	CapabilityDrop []string `json:",omitzero"`
	// Ulimits are resource limits of the process, see getrlimit(2). Needs API
	// 1.41.
	Ulimits []Ulimit `json:",omitzero"`
	// OomScoreAdj makes the process a more (up to 1000) or less (down to -1000)
	// likely victim when a node runs out of memory. Needs API 1.46.
	OomScoreAdj int64 `json:",omitzero"`
}

// Placeholders that engines fill in for each task: in Hostname, in Env, and in the
// sources, targets, labels and options of Mounts; also in secrets and configs with
// Templating.
const (
	// TemplateServiceID becomes the ID of the service, 25 characters.
	TemplateServiceID = "{{.Service.ID}}"
	// TemplateServiceName becomes what the service is called.
	TemplateServiceName = "{{.Service.Name}}"
	// TemplateNodeID becomes the ID of the node that runs the task.
	TemplateNodeID = "{{.Node.ID}}"
	// TemplateNodeHostname becomes the hostname of the node that runs the task; in
	// secrets and configs nothing.
	TemplateNodeHostname = "{{.Node.Hostname}}"
	// TemplateTaskID becomes the ID of the task, another one for each attempt.
	TemplateTaskID = "{{.Task.ID}}"
	// TemplateTaskName becomes the name of the container, "web.1.dzrlqukjggh50ev1szf34r0ki".
	TemplateTaskName = "{{.Task.Name}}"
	// TemplateTaskSlot becomes the number of the replica; for global services the ID
	// of the node.
	TemplateTaskSlot = "{{.Task.Slot}}"
)

// Privileges are a container's security settings.
type Privileges struct {
	// CredentialSpec names the credentials of a managed service account, on
	// Windows. Needs API 1.29.
	CredentialSpec *CredentialSpec `json:",omitzero"`
	// SELinuxContext are the SELinux labels of the container. Needs API 1.29.
	SELinuxContext *SELinuxContext `json:",omitzero"`
	// Seccomp says which system calls are allowed. Nil means the node's default
	// profile. Needs API 1.44.
	Seccomp *SeccompOpts `json:",omitzero"`
	// AppArmor says whether AppArmor confines the container. Nil means the
	// node's default profile. Needs API 1.44.
	AppArmor *AppArmorOpts `json:",omitzero"`
	// NoNewPrivileges keeps the process from gaining privileges by running
	// set-uid programs, if it points to true. Nil means false, which engines that
	// know it write into the spec. Needs API 1.44.
	NoNewPrivileges *bool `json:",omitzero"`
}

// CredentialSpec says where a Windows node finds the credentials of a managed
// service account. One field is set.
type CredentialSpec struct {
	// Config is the ID of a config that holds them. The config must also be
	// among the container's Configs, with a Runtime target. Needs API 1.40.
	Config string
	// File is a file in the folder CredentialSpecs of the node's data folder.
	File string
	// Registry is a value in the node's registry.
	Registry string
}

// SELinuxContext are the SELinux labels of a container.
type SELinuxContext struct {
	// Disable switches SELinux off for the container.
	Disable bool
	// User is the user label.
	User string
	// Role is the role label.
	Role string
	// Type is the type label.
	Type string
	// Level is the level label.
	Level string
}

// SeccompOpts says which system calls a container may make.
type SeccompOpts struct {
	// Mode is where the profile comes from. Empty means [SeccompDefault], and
	// engines take an unknown one for [SeccompDefault] without saying so.
	Mode SeccompMode `json:",omitzero"`
	// Profile is the profile, a JSON document, for [SeccompCustom] only.
	Profile []byte `json:",omitzero"`
}

// SeccompMode is where a container's seccomp profile comes from.
type SeccompMode string

// The seccomp modes.
const (
	// SeccompDefault uses the node's default profile.
	SeccompDefault SeccompMode = "default"
	// SeccompUnconfined allows every system call.
	SeccompUnconfined SeccompMode = "unconfined"
	// SeccompCustom uses the profile in the spec.
	SeccompCustom SeccompMode = "custom"
)

// AppArmorOpts says whether AppArmor confines a container.
type AppArmorOpts struct {
	// Mode is the profile to use. Empty means [AppArmorDefault], for which engines
	// take an unknown word, too.
	Mode AppArmorMode `json:",omitzero"`
}

// AppArmorMode says whether AppArmor confines a container.
type AppArmorMode string

// The AppArmor modes.
const (
	// AppArmorDefault uses the node's default profile.
	AppArmorDefault AppArmorMode = "default"
	// AppArmorDisabled uses none.
	AppArmorDisabled AppArmorMode = "disabled"
)

// Mount is something seen inside of a container at a path.
type Mount struct {
	// Type is what is mounted. Empty means [MountBind].
	Type MountType `json:",omitzero"`
	// Source is the name of the volume, the absolute path on the node, or the
	// like. It is empty for [MountTmpfs], and may be for [MountVolume], which
	// then is a new volume for each container. The engine fills in templates.
	// Engines take paths that are relative or exist nowhere; the tasks then fail.
	Source string `json:",omitzero"`
	// Target is the path inside of the container. The engine fills in templates.
	Target string `json:",omitzero"`
	// ReadOnly makes it read-only.
	ReadOnly bool `json:",omitzero"`
	// Consistency was for Docker Desktop on macOS. Engines drop it from
	// services. Needs API 1.29.
	Consistency MountConsistency `json:",omitzero"`
	// BindOptions are for [MountBind].
	BindOptions *BindOptions `json:",omitzero"`
	// VolumeOptions are for [MountVolume].
	VolumeOptions *VolumeOptions `json:",omitzero"`
	// ImageOptions are for [MountImage]. Engines drop them from services. Needs
	// API 1.48.
	ImageOptions *ImageOptions `json:",omitzero"`
	// TmpfsOptions are for [MountTmpfs]. Needs API 1.25.
	TmpfsOptions *TmpfsOptions `json:",omitzero"`
	// ClusterOptions are for [MountCluster]; there are none so far, and nothing of
	// them in the published API document. Needs API 1.42.
	ClusterOptions *ClusterOptions `json:",omitzero"`
}

// MountsFrom are the mounts of a service that another one can have as well, as the
// --volumes-from of containers has them: those of named volumes, of files of the
// node and of the like, on the same targets. New volumes and file systems in
// memory belong to one container and are left out. Nodes have each their own
// volumes and files: place the services together. The mounts are copies.
func MountsFrom(spec ServiceSpec) []Mount {
	var mounts []Mount
	for _, mount := range spec.TaskTemplate.ContainerSpec.Mounts {
		if mount.Type != MountTmpfs && mount.Source != "" {
			mounts = append(mounts, mount.clone())
		}
	}
	return mounts
}

// clone copies a mount with everything it points to.
func (m Mount) clone() Mount {
	var copied Mount
	encoded, _ := wire.Marshal(m) // strings and numbers cannot fail
	_ = wire.Unmarshal(encoded, &copied)
	return copied
}

// MountType is what is mounted.
type MountType string

// The mount types.
const (
	// MountBind is a directory or file of the node, which must exist there.
	MountBind MountType = "bind"
	// MountVolume is a volume of the node, made there if it does not exist.
	MountVolume MountType = "volume"
	// MountTmpfs is a file system in memory, gone with the container. Needs API
	// 1.25.
	MountTmpfs MountType = "tmpfs"
	// MountNamedPipe is a named pipe of a Windows node, which must exist there.
	// Needs API 1.32.
	MountNamedPipe MountType = "npipe"
	// MountCluster is a cluster volume, made by a storage plugin. Needs API
	// 1.42.
	MountCluster MountType = "cluster"
	// MountImage is the content of an image. Engines refuse it for services,
	// whatever the published API document says. Needs API 1.48.
	MountImage MountType = "image"
)

// MountConsistency was how exactly a mount's two sides agree, for Docker Desktop
// on macOS.
type MountConsistency string

// The mount consistencies.
const (
	// ConsistencyDefault leaves it to the engine.
	ConsistencyDefault MountConsistency = "default"
	// ConsistencyFull means that both sides always agree.
	ConsistencyFull MountConsistency = "consistent"
	// ConsistencyCached lets the container's side lag behind.
	ConsistencyCached MountConsistency = "cached"
	// ConsistencyDelegated lets the node's side lag behind.
	ConsistencyDelegated MountConsistency = "delegated"
)

// BindOptions are the options of a bind mount.
type BindOptions struct {
	// Propagation says whether mounts made below on one side appear on the
	// other. Empty means [PropagationRPrivate].
	Propagation Propagation `json:",omitzero"`
	// NonRecursive leaves out what is mounted below the source. Needs API 1.41.
	NonRecursive bool `json:",omitzero"`
	// CreateMountpoint would make the source if it does not exist. Engines drop
	// it from services. Needs API 1.42.
	CreateMountpoint bool `json:",omitzero"`
	// ReadOnlyNonRecursive would leave what is mounted below the source
	// writable. Engines drop it from services. Needs API 1.44.
	ReadOnlyNonRecursive bool `json:",omitzero"`
	// ReadOnlyForceRecursive would fail if what is mounted below the source
	// cannot be made read-only. Engines drop it from services. Needs API 1.44.
	ReadOnlyForceRecursive bool `json:",omitzero"`
}

// Propagation says whether mounts made below a bind mount on one side appear on
// the other. The ones beginning with r hold for the mounts below, too.
type Propagation string

// The propagations.
const (
	// PropagationPrivate shares nothing.
	PropagationPrivate Propagation = "private"
	// PropagationRPrivate shares nothing, recursively.
	PropagationRPrivate Propagation = "rprivate"
	// PropagationShared shares in both directions.
	PropagationShared Propagation = "shared"
	// PropagationRShared shares in both directions, recursively.
	PropagationRShared Propagation = "rshared"
	// PropagationSlave shares from the node to the container only.
	PropagationSlave Propagation = "slave"
	// PropagationRSlave shares from the node to the container only, recursively.
	PropagationRSlave Propagation = "rslave"
)

// VolumeOptions are the options of a volume mount. They count when the volume is
// made; a volume that exists stays as it is.
type VolumeOptions struct {
	// NoCopy leaves a new volume empty. Else it starts with what the image has
	// at the target.
	NoCopy bool `json:",omitzero"`
	// Labels are key-value pairs on the volume.
	Labels map[string]string `json:",omitzero"`
	// Subpath is a path inside of the volume to mount instead of its root,
	// relative and without "..". Needs API 1.45.
	Subpath string `json:",omitzero"`
	// DriverConfig is the volume driver and its options. Nil means the driver
	// local.
	DriverConfig *Driver `json:",omitzero"`
}

// ImageOptions are the options of an image mount.
type ImageOptions struct {
	// Subpath is a path inside of the image to mount instead of its root,
	// relative and without "..".
	Subpath string `json:",omitzero"`
}

// TmpfsOptions are the options of a tmpfs mount.
type TmpfsOptions struct {
	// SizeBytes is how much it may hold. Zero leaves it to the node: on Linux
	// that is half of its memory.
	SizeBytes int64 `json:",omitzero"`
	// Mode are the permission bits of its root, as chmod takes them: 0o1777 with
	// the sticky bit as 0o1000, not as [os.ModeSticky]. Zero means 0o1777.
	Mode os.FileMode `json:",omitzero"`
	// Options are more mount options, each a flag alone or a key and its value,
	// such as {{"noexec"}}. Nodes reject tasks with options they do not know.
	// Needs API 1.46.
	Options [][]string `json:",omitzero"`
}

// ClusterOptions are the options of a cluster volume's mount. There are none so
// far.
type ClusterOptions struct{}

// Healthcheck says how the engine finds out whether a container works. Fields
// left zero are taken from the image; the defaults named here are those of an
// image that says nothing.
type Healthcheck struct {
	// Test is the command, whose exit code 0 means healthy and 1 unhealthy. Its
	// first element says how it is run: {"CMD", "curl", "-f", "http://localhost"}
	// as it is, {"CMD-SHELL", "curl -f http://localhost || exit 1"} by the
	// image's shell, {"NONE"} not at all. Empty: the image decides. {"CMD"} without
	// a command crashes the engine of the node.
	Test []string `json:",omitzero"`
	// Interval is the pause between two tests, and before the first. The default
	// is 30s, the minimum 1ms.
	Interval time.Duration `json:",omitzero"`
	// Timeout is how long a test may take; one that takes longer has failed. The
	// default is 30s, the minimum 1ms.
	Timeout time.Duration `json:",omitzero"`
	// StartPeriod is how long after its start the container may fail tests
	// without being unhealthy. The default is 0, the minimum 1ms. Needs API
	// 1.29.
	StartPeriod time.Duration `json:",omitzero"`
	// StartInterval is the pause between two tests during StartPeriod. The
	// default is 5s, the minimum 1ms. Needs API 1.44.
	StartInterval time.Duration `json:",omitzero"`
	// Retries is how many tests in a row must fail for the container to be
	// unhealthy. The default is 3.
	Retries int `json:",omitzero"`
}

// DNSConfig is how a container resolves names that are not the swarm's, see
// resolv.conf(5). The order of each list counts.
type DNSConfig struct {
	// Nameservers are the IP addresses of the name servers. Engines take
	// anything; newer ones then cannot start the task.
	Nameservers []string `json:",omitzero"`
	// Search are the domains in which a short name is looked up.
	Search []string `json:",omitzero"`
	// Options are options of the resolver, such as ndots:3.
	Options []string `json:",omitzero"`
}

// SecretReference gives a container access to a secret, as a file. [MountSecret]
// makes one.
type SecretReference struct {
	// File is the file in which the container sees the secret. Engines refuse a
	// reference without it.
	File FileTarget `json:",omitzero"`
	// SecretID is the full ID of the secret; required.
	SecretID string
	// SecretName is required beside the ID: it must be the name of the secret
	// with that ID.
	SecretName string
}

// MountSecret gives a container access to the secret with this ID and name, as
// the file /run/secrets/name, owned by root, readable by all: as docker service
// create --secret name does. Change its File for anything else. Without an ID
// [ServiceClient.ResolveReferences] finds it.
func MountSecret(id, name string) SecretReference {
	return SecretReference{File: readableFile(name), SecretID: id, SecretName: name}
}

// ConfigReference gives a container access to a config, as a file or for its
// runtime. [MountConfig] makes one. Either File or Runtime is set.
type ConfigReference struct {
	// File is the file in which the container sees the config.
	File *FileTarget `json:",omitzero"`
	// Runtime makes the config available to the engine that runs the container,
	// which does not see it itself; see CredentialSpec. Needs API 1.40.
	Runtime *RuntimeTarget `json:",omitzero"`
	// ConfigID is the full ID of the config; required.
	ConfigID string
	// ConfigName is required beside the ID: it must be the name of the config
	// with that ID.
	ConfigName string
}

// MountConfig gives a container access to the config with this ID and name, as
// the file /name, owned by root, readable by all: as docker service create
// --config name does. Change its File for anything else. Without an ID
// [ServiceClient.ResolveReferences] finds it.
func MountConfig(id, name string) ConfigReference {
	return ConfigReference{File: new(readableFile(name)), ConfigID: id, ConfigName: name}
}

func readableFile(name string) FileTarget {
	return FileTarget{Name: name, UID: "0", GID: "0", Mode: 0o444}
}

// FileTarget is the file in which a container sees a secret or a config.
type FileTarget struct {
	// Name is the path of the file. One that is not absolute is below
	// /run/secrets for a secret, and below / for a config.
	Name string
	// UID is the number of the user that owns the file. Engines take an empty
	// one, or a name, and then cannot start the task.
	UID string
	// GID is the number of the group that owns the file. Engines take an empty
	// one, or a name, and then cannot start the task.
	GID string
	// Mode are the permission bits of the file, such as 0o444. Zero means that
	// nobody but root may read it.
	Mode os.FileMode
}

// RuntimeTarget makes a config available to the engine instead of the container.
type RuntimeTarget struct{}

// Isolation is how Windows isolates a container.
type Isolation string

// The isolations.
const (
	// IsolationDefault leaves it to the node. The only one on Linux.
	IsolationDefault Isolation = "default"
	// IsolationProcess shares the node's kernel.
	IsolationProcess Isolation = "process"
	// IsolationHyperV gives the container a small virtual machine.
	IsolationHyperV Isolation = "hyperv"
)

// Ulimit is a resource limit of a process, see getrlimit(2).
type Ulimit struct {
	// Name is what is limited, such as nofile. With one that nodes do not know no
	// task can start.
	Name string
	// Hard is the limit that a process cannot raise. -1 means none.
	Hard int64
	// Soft is the limit that counts, at most Hard, or no task can start. -1 means
	// none.
	Soft int64
}
