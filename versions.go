package swarm

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/swarm-go/swarm/internal/wire"
)

// since is one row of the table of what each API version added.
type since struct {
	// what is one of
	//
	//	Type.Member             a field, by the Go type it is in and its JSON name
	//	Type.Member=value       a value of that field older or newer than the field
	//	GET /path               an endpoint
	//	GET /path ?name         a query parameter of it
	//	GET /path filter:name   a filter of it
	what string
	// minor is N in 1.N, the first API version that has it.
	minor int
	// below is what happens to it in requests below that version.
	below below
}

// below is what an engine that knows a field does with it in a request of an
// API version below the field's, or in the answer. An engine whose own newest
// version is below does not know the field and drops it, or answers 404 where it
// is an endpoint.
type below byte

const (
	kept     below = iota // takes it all the same
	stripped              // drops it and says nothing
	harmless              // drops it, and nothing is lost with it: never refused here
	refused               // answers with an error
	lost                  // drops it and says nothing, at every version so far
	until51               // takes it; engines from 1.52 on drop it and say nothing
)

// versionTable is everything this library can ask for. Each member of each type
// has one row; types that are found in several places are here once. Where
// engines and the published documents disagree, engines are right.
var versionTable = []since{
	// Services.
	{"GET /services", 24, kept},
	{"GET /services ?filters", 24, kept},
	{"GET /services ?status", 41, harmless}, // the tasks are counted where the answer has no ServiceStatus
	{"GET /services filter:id", 24, kept},
	{"GET /services filter:label", 24, kept},
	{"GET /services filter:mode", 28, kept},
	{"GET /services filter:name", 24, kept},
	{"GET /services filter:runtime", 31, kept},
	{"GET /services/{id}", 24, kept},
	{"GET /services/{id} ?insertDefaults", 29, kept},
	{"GET /services/{id}/logs", 29, kept}, // from 1.25 on for engines in experimental mode
	{"GET /services/{id}/logs ?details", 29, kept},
	{"GET /services/{id}/logs ?follow", 29, kept},
	{"GET /services/{id}/logs ?since", 29, kept},
	{"GET /services/{id}/logs ?stderr", 29, kept},
	{"GET /services/{id}/logs ?stdout", 29, kept},
	{"GET /services/{id}/logs ?tail", 29, kept},
	{"GET /services/{id}/logs ?timestamps", 29, kept},
	{"POST /services/create", 24, kept},
	{"POST /services/{id}/update", 24, kept},
	{"POST /services/{id}/update ?registryAuthFrom", 25, kept},
	{"POST /services/{id}/update ?rollback", 28, kept},
	{"POST /services/{id}/update ?version", 24, kept},
	{"DELETE /services/{id}", 24, kept},

	// Tasks.
	{"GET /tasks", 24, kept},
	{"GET /tasks ?filters", 24, kept},
	{"GET /tasks filter:_up-to-date", 29, kept},
	{"GET /tasks filter:desired-state", 24, kept},
	{"GET /tasks filter:id", 24, kept},
	{"GET /tasks filter:label", 24, kept},
	{"GET /tasks filter:name", 24, kept},
	{"GET /tasks filter:node", 24, kept},
	{"GET /tasks filter:runtime", 31, kept},
	{"GET /tasks filter:service", 24, kept},
	{"GET /tasks/{id}", 24, kept},
	{"GET /tasks/{id}/logs", 29, kept},
	{"GET /tasks/{id}/logs ?details", 29, kept},
	{"GET /tasks/{id}/logs ?follow", 29, kept},
	{"GET /tasks/{id}/logs ?since", 29, kept},
	{"GET /tasks/{id}/logs ?stderr", 29, kept},
	{"GET /tasks/{id}/logs ?stdout", 29, kept},
	{"GET /tasks/{id}/logs ?tail", 29, kept},
	{"GET /tasks/{id}/logs ?timestamps", 29, kept},

	// Configs.
	{"GET /configs", 30, kept},
	{"GET /configs ?filters", 30, kept},
	{"GET /configs filter:id", 30, kept},
	{"GET /configs filter:label", 30, kept},
	{"GET /configs filter:name", 30, kept},
	{"GET /configs/{id}", 30, kept},
	{"POST /configs/create", 30, kept},
	{"POST /configs/{id}/update", 30, kept},
	{"POST /configs/{id}/update ?version", 30, kept},
	{"DELETE /configs/{id}", 30, kept},

	// Secrets.
	{"GET /secrets", 25, kept},
	{"GET /secrets ?filters", 25, kept},
	{"GET /secrets filter:id", 29, kept},
	{"GET /secrets filter:label", 29, kept},
	{"GET /secrets filter:name", 29, kept},
	{"GET /secrets filter:names", 25, kept},
	{"GET /secrets/{id}", 25, kept},
	{"POST /secrets/create", 25, kept},
	{"POST /secrets/{id}/update", 25, kept},
	{"POST /secrets/{id}/update ?version", 25, kept},
	{"DELETE /secrets/{id}", 25, kept},

	// Nodes.
	{"GET /nodes", 24, kept},
	{"GET /nodes ?filters", 24, kept},
	{"GET /nodes filter:id", 24, kept},
	{"GET /nodes filter:label", 24, kept},
	{"GET /nodes filter:membership", 24, kept},
	{"GET /nodes filter:name", 24, kept},
	{"GET /nodes filter:node.label", 40, kept},
	{"GET /nodes filter:role", 24, kept},
	{"GET /nodes/{id}", 24, kept},
	{"POST /nodes/{id}/update", 24, kept},
	{"POST /nodes/{id}/update ?version", 24, kept},
	{"DELETE /nodes/{id}", 24, kept},
	{"DELETE /nodes/{id} ?force", 24, kept},

	// The swarm.
	{"GET /swarm", 24, kept},
	{"POST /swarm/init", 24, kept},
	{"POST /swarm/join", 24, kept},
	{"POST /swarm/leave", 24, kept},
	{"POST /swarm/leave ?force", 24, kept},
	{"POST /swarm/update", 24, kept},
	{"POST /swarm/update ?rotateManagerToken", 24, kept},
	{"POST /swarm/update ?rotateManagerUnlockKey", 25, kept},
	{"POST /swarm/update ?rotateWorkerToken", 24, kept},
	{"POST /swarm/update ?version", 24, kept},
	{"GET /swarm/unlockkey", 25, kept},
	{"POST /swarm/unlock", 25, kept},

	// Networks.
	{"GET /networks", 24, kept},
	{"GET /networks ?filters", 24, kept},
	{"GET /networks filter:dangling", 40, kept},
	{"GET /networks filter:driver", 24, kept},
	{"GET /networks filter:id", 24, kept},
	{"GET /networks filter:label", 24, kept},
	{"GET /networks filter:name", 24, kept},
	{"GET /networks filter:scope", 29, kept},
	{"GET /networks filter:type", 24, kept},
	{"GET /networks/{id}", 24, kept},
	{"GET /networks/{id} ?scope", 31, kept},
	{"GET /networks/{id} ?verbose", 28, kept},
	{"POST /networks/create", 24, kept},
	{"DELETE /networks/{id}", 24, kept},

	// Volumes.
	{"GET /volumes", 24, kept},
	{"GET /volumes ?filters", 24, kept},
	{"GET /volumes filter:dangling", 24, kept},
	{"GET /volumes filter:driver", 24, kept},
	{"GET /volumes filter:label", 27, kept},
	{"GET /volumes filter:name", 24, kept},
	{"GET /volumes/{name}", 24, kept},
	{"POST /volumes/create", 24, kept},
	{"PUT /volumes/{name}", 42, kept},
	{"PUT /volumes/{name} ?version", 42, kept},
	{"DELETE /volumes/{name}", 24, kept},
	{"DELETE /volumes/{name} ?force", 25, kept},

	// Events.
	{"GET /events", 24, kept},
	{"GET /events ?filters", 24, kept},
	{"GET /events ?since", 24, kept},
	{"GET /events ?until", 24, kept},
	{"GET /events filter:config", 33, kept},
	{"GET /events filter:container", 24, kept},
	{"GET /events filter:daemon", 24, kept},
	{"GET /events filter:event", 24, kept},
	{"GET /events filter:image", 24, kept},
	{"GET /events filter:label", 24, kept},
	{"GET /events filter:network", 24, kept},
	{"GET /events filter:node", 33, kept},
	{"GET /events filter:plugin", 27, kept},
	{"GET /events filter:scope", 30, kept},
	{"GET /events filter:secret", 33, kept},
	{"GET /events filter:service", 33, kept},
	{"GET /events filter:type", 24, kept},
	{"GET /events filter:volume", 24, kept},

	// The engine.
	{"GET /_ping", 24, kept},
	{"HEAD /_ping", 40, harmless}, // GET is asked where HEAD fails
	{"GET /version", 24, kept},
	{"GET /info", 24, kept},
	{"GET /system/df", 25, kept},
	{"GET /system/df ?type", 42, stripped},
	{"GET /system/df ?verbose", 52, stripped},
	{"POST /auth", 24, kept},
	{"GET /distribution/{name}/json", 30, kept},

	{"Config.ID", 30, kept},
	{"Config.Version", 30, kept},
	{"Config.CreatedAt", 30, kept},
	{"Config.UpdatedAt", 30, kept},
	{"Config.Spec", 30, kept},
	{"ConfigSpec.Name", 30, kept},
	{"ConfigSpec.Labels", 30, kept},
	{"ConfigSpec.Data", 30, kept},
	{"ConfigSpec.Templating", 37, refused},

	{"Secret.ID", 25, kept},
	{"Secret.Version", 25, kept},
	{"Secret.CreatedAt", 25, kept},
	{"Secret.UpdatedAt", 25, kept},
	{"Secret.Spec", 25, kept},
	{"SecretSpec.Name", 25, kept},
	{"SecretSpec.Labels", 25, kept},
	{"SecretSpec.Data", 25, kept},
	{"SecretSpec.Driver", 31, kept},
	{"SecretSpec.Templating", 37, refused},

	{"Node.ID", 24, kept},
	{"Node.Version", 24, kept},
	{"Node.CreatedAt", 24, kept},
	{"Node.UpdatedAt", 24, kept},
	{"Node.Spec", 24, kept},
	{"Node.Description", 24, kept},
	{"Node.Status", 24, kept},
	{"Node.ManagerStatus", 24, kept},
	{"NodeSpec.Name", 24, kept},
	{"NodeSpec.Labels", 24, kept},
	{"NodeSpec.Role", 24, kept},
	{"NodeSpec.Availability", 24, kept},
	{"NodeDescription.Hostname", 24, kept},
	{"NodeDescription.Platform", 24, kept},
	{"NodeDescription.Resources", 24, kept},
	{"NodeDescription.Engine", 24, kept},
	{"NodeDescription.TLSInfo", 30, kept},
	{"NodeDescription.CSIInfo", 42, kept},
	{"NodeResources.NanoCPUs", 24, kept},
	{"NodeResources.MemoryBytes", 24, kept},
	{"NodeResources.GenericResources", 32, kept},
	{"EngineDescription.EngineVersion", 24, kept},
	{"EngineDescription.Labels", 24, kept},
	{"EngineDescription.Plugins", 24, kept},
	{"PluginDescription.Type", 24, kept},
	{"PluginDescription.Name", 24, kept},
	{"NodeCSIInfo.PluginName", 42, kept},
	{"NodeCSIInfo.NodeID", 42, kept},
	{"NodeCSIInfo.MaxVolumesPerNode", 42, kept},
	{"NodeCSIInfo.AccessibleTopology", 42, kept},
	{"Topology.Segments", 42, stripped},
	{"NodeStatus.State", 24, kept},
	{"NodeStatus.Message", 24, kept},
	{"NodeStatus.Addr", 25, kept},
	{"ManagerStatus.Leader", 24, kept},
	{"ManagerStatus.Reachability", 24, kept},
	{"ManagerStatus.Addr", 24, kept},

	{"Service.ID", 24, kept},
	{"Service.Version", 24, kept},
	{"Service.CreatedAt", 24, kept},
	{"Service.UpdatedAt", 24, kept},
	{"Service.Spec", 24, kept},
	{"Service.PreviousSpec", 25, kept},
	{"Service.Endpoint", 24, kept},
	{"Service.UpdateStatus", 24, kept},
	{"Service.ServiceStatus", 41, kept},
	{"Service.JobStatus", 41, kept},

	{"Version.Index", 24, kept},

	{"ServiceSpec.Name", 24, kept},
	{"ServiceSpec.Labels", 24, kept},
	{"ServiceSpec.TaskTemplate", 24, kept},
	{"ServiceSpec.Mode", 24, kept},
	{"ServiceSpec.UpdateConfig", 24, kept},
	{"ServiceSpec.RollbackConfig", 28, kept},
	{"ServiceSpec.Networks", 24, until51},
	{"ServiceSpec.EndpointSpec", 24, kept},

	{"ServiceMode.Replicated", 24, kept},
	{"ServiceMode.Global", 24, kept},
	{"ServiceMode.ReplicatedJob", 41, stripped},
	{"ServiceMode.GlobalJob", 41, stripped},
	{"ReplicatedService.Replicas", 24, kept},
	{"ReplicatedJobMode.MaxConcurrent", 41, stripped},
	{"ReplicatedJobMode.TotalCompletions", 41, stripped},

	{"UpdateConfig.Parallelism", 24, kept},
	{"UpdateConfig.Delay", 24, kept},
	{"UpdateConfig.FailureAction", 24, kept},
	{"UpdateConfig.FailureAction=rollback", 28, kept},
	{"UpdateConfig.Monitor", 25, kept},
	{"UpdateConfig.MaxFailureRatio", 25, kept},
	{"UpdateConfig.Order", 29, kept},
	{"UpdateConfig.Order=stop-first", 24, kept}, // what engines without orders do

	{"EndpointSpec.Mode", 24, kept},
	{"EndpointSpec.Ports", 24, kept},
	{"PortConfig.Name", 24, kept},
	{"PortConfig.Protocol", 24, kept},
	{"PortConfig.Protocol=sctp", 37, kept},
	{"PortConfig.TargetPort", 24, kept},
	{"PortConfig.PublishedPort", 24, kept},
	{"PortConfig.PublishMode", 25, kept},         // documented since 1.34
	{"PortConfig.PublishMode=ingress", 24, kept}, // what engines without modes do

	{"Endpoint.Spec", 24, kept},
	{"Endpoint.Ports", 24, kept},
	{"Endpoint.VirtualIPs", 24, kept},
	{"EndpointVirtualIP.NetworkID", 24, kept},
	{"EndpointVirtualIP.Addr", 24, kept},

	{"UpdateStatus.State", 24, kept},
	{"UpdateStatus.State=rollback_started", 28, kept},
	{"UpdateStatus.State=rollback_paused", 28, kept},
	{"UpdateStatus.State=rollback_completed", 28, kept},
	{"UpdateStatus.StartedAt", 24, kept},
	{"UpdateStatus.CompletedAt", 24, kept},
	{"UpdateStatus.Message", 24, kept},
	{"ServiceStatus.RunningTasks", 41, kept},
	{"ServiceStatus.DesiredTasks", 41, kept},
	{"ServiceStatus.CompletedTasks", 41, kept},
	{"JobStatus.JobIteration", 41, kept},
	{"JobStatus.LastExecution", 41, kept},

	{"TaskSpec.ContainerSpec", 24, kept},
	{"TaskSpec.PluginSpec", 31, kept},
	{"TaskSpec.NetworkAttachmentSpec", 38, kept},
	{"TaskSpec.Resources", 24, kept},
	{"TaskSpec.RestartPolicy", 24, kept},
	{"TaskSpec.Placement", 24, kept},
	{"TaskSpec.Networks", 25, kept},
	{"TaskSpec.LogDriver", 24, kept},
	{"TaskSpec.ForceUpdate", 25, kept},
	{"TaskSpec.Runtime", 30, kept},
	{"TaskSpec.Runtime=container", 24, kept}, // the only one there was
	{"TaskSpec.Runtime=plugin", 31, kept},

	{"PluginSpec.name", 31, kept},
	{"PluginSpec.remote", 31, kept},
	{"PluginSpec.privileges", 31, kept},
	{"PluginSpec.disabled", 31, kept},
	{"PluginSpec.env", 31, kept},
	{"PluginPrivilege.name", 31, kept},
	{"PluginPrivilege.description", 31, kept},
	{"PluginPrivilege.value", 31, kept},
	{"NetworkAttachmentSpec.ContainerID", 38, kept},

	{"ResourceRequirements.Limits", 24, kept},
	{"ResourceRequirements.Reservations", 24, kept},
	{"ResourceRequirements.SwapBytes", 52, stripped},
	{"ResourceRequirements.MemorySwappiness", 52, stripped},
	{"Limits.NanoCPUs", 24, kept},
	{"Limits.MemoryBytes", 24, kept},
	{"Limits.Pids", 41, stripped},
	{"Reservations.NanoCPUs", 24, kept},
	{"Reservations.MemoryBytes", 24, kept},
	{"Reservations.GenericResources", 32, kept},
	{"GenericResource.NamedResourceSpec", 32, kept},
	{"GenericResource.DiscreteResourceSpec", 32, kept},
	{"NamedGenericResource.Kind", 32, kept},
	{"NamedGenericResource.Value", 32, kept},
	{"DiscreteGenericResource.Kind", 32, kept},
	{"DiscreteGenericResource.Value", 32, kept},

	{"RestartPolicy.Condition", 24, kept},
	{"RestartPolicy.Delay", 24, kept},
	{"RestartPolicy.MaxAttempts", 24, kept},
	{"RestartPolicy.Window", 24, kept},

	{"Placement.Constraints", 24, kept},
	{"Placement.Preferences", 28, kept},
	{"Placement.MaxReplicas", 40, stripped},
	{"Placement.Platforms", 30, kept},
	{"PlacementPreference.Spread", 28, kept},
	{"SpreadPreference.SpreadDescriptor", 28, kept},
	{"Platform.Architecture", 24, kept},
	{"Platform.OS", 24, kept},

	{"NetworkAttachmentConfig.Target", 24, kept},
	{"NetworkAttachmentConfig.Aliases", 24, kept},
	{"NetworkAttachmentConfig.DriverOpts", 39, kept},

	{"Driver.Name", 24, kept},
	{"Driver.Options", 24, kept},

	{"ContainerSpec.Image", 24, kept},
	{"ContainerSpec.Labels", 24, kept},
	{"ContainerSpec.Command", 24, kept},
	{"ContainerSpec.Args", 24, kept},
	{"ContainerSpec.Hostname", 25, kept}, // documented since 1.27
	{"ContainerSpec.Env", 24, kept},
	{"ContainerSpec.Dir", 24, kept},
	{"ContainerSpec.User", 24, kept},
	{"ContainerSpec.Groups", 25, kept},     // documented since 1.27
	{"ContainerSpec.Privileges", 29, kept}, // documented since 1.30
	{"ContainerSpec.Init", 38, kept},
	{"ContainerSpec.StopSignal", 28, kept},
	{"ContainerSpec.TTY", 25, kept},
	{"ContainerSpec.OpenStdin", 27, kept},
	{"ContainerSpec.ReadOnly", 28, kept}, // documented since 1.27
	{"ContainerSpec.Mounts", 24, kept},
	{"ContainerSpec.StopGracePeriod", 24, kept},
	{"ContainerSpec.Healthcheck", 25, kept}, // documented since 1.27
	{"ContainerSpec.Hosts", 25, kept},       // documented since 1.27
	{"ContainerSpec.DNSConfig", 25, kept},
	{"ContainerSpec.Secrets", 25, kept}, // documented since 1.27
	{"ContainerSpec.Configs", 30, kept},
	{"ContainerSpec.Isolation", 35, kept},
	{"ContainerSpec.Isolation=default", 24, kept}, // the only one there was
	{"ContainerSpec.Sysctls", 40, stripped},
	{"ContainerSpec.CapabilityAdd", 41, stripped},
	{"ContainerSpec.CapabilityDrop", 41, stripped},
	{"ContainerSpec.Ulimits", 41, stripped},
	{"ContainerSpec.OomScoreAdj", 46, stripped},

	{"Privileges.CredentialSpec", 29, kept},
	{"Privileges.SELinuxContext", 29, kept},
	{"Privileges.Seccomp", 44, stripped},
	{"Privileges.AppArmor", 44, stripped},
	{"Privileges.NoNewPrivileges", 44, stripped},
	{"Privileges.NoNewPrivileges=false", 24, kept}, // what engines that do not know it do
	{"CredentialSpec.Config", 40, stripped},
	{"CredentialSpec.File", 29, kept},
	{"CredentialSpec.Registry", 29, kept},
	{"SELinuxContext.Disable", 29, kept},
	{"SELinuxContext.User", 29, kept},
	{"SELinuxContext.Role", 29, kept},
	{"SELinuxContext.Type", 29, kept},
	{"SELinuxContext.Level", 29, kept},
	{"SeccompOpts.Mode", 44, stripped},
	{"SeccompOpts.Profile", 44, stripped},
	{"AppArmorOpts.Mode", 44, stripped},

	{"Mount.Type", 24, kept},
	{"Mount.Type=tmpfs", 25, kept},
	{"Mount.Type=npipe", 32, kept},
	{"Mount.Type=cluster", 42, kept},
	{"Mount.Type=image", 48, kept},
	{"Mount.Source", 24, kept},
	{"Mount.Target", 24, kept},
	{"Mount.ReadOnly", 24, kept},
	{"Mount.Consistency", 29, lost},
	{"Mount.BindOptions", 24, kept},
	{"Mount.VolumeOptions", 24, kept},
	{"Mount.ImageOptions", 48, lost},
	{"Mount.TmpfsOptions", 25, kept},
	{"Mount.ClusterOptions", 42, harmless}, // has no fields so far
	{"BindOptions.Propagation", 24, kept},
	{"BindOptions.NonRecursive", 41, kept}, // 1.40 has it for containers
	{"BindOptions.CreateMountpoint", 42, lost},
	{"BindOptions.ReadOnlyNonRecursive", 44, lost},
	{"BindOptions.ReadOnlyForceRecursive", 44, lost},
	{"VolumeOptions.NoCopy", 24, kept},
	{"VolumeOptions.Labels", 24, kept},
	{"VolumeOptions.Subpath", 45, kept},
	{"VolumeOptions.DriverConfig", 24, kept},
	{"ImageOptions.Subpath", 48, lost},
	{"TmpfsOptions.SizeBytes", 25, kept},
	{"TmpfsOptions.Mode", 25, kept},
	{"TmpfsOptions.Options", 46, stripped},

	{"Healthcheck.Test", 25, kept},
	{"Healthcheck.Interval", 25, kept},
	{"Healthcheck.Timeout", 25, kept},
	{"Healthcheck.StartPeriod", 29, kept},
	{"Healthcheck.StartInterval", 44, stripped},
	{"Healthcheck.Retries", 25, kept},

	{"DNSConfig.Nameservers", 25, kept},
	{"DNSConfig.Search", 25, kept},
	{"DNSConfig.Options", 25, kept},

	{"SecretReference.File", 25, kept},
	{"SecretReference.SecretID", 25, kept},
	{"SecretReference.SecretName", 25, kept},
	{"ConfigReference.File", 30, kept},
	{"ConfigReference.Runtime", 40, stripped},
	{"ConfigReference.ConfigID", 30, kept},
	{"ConfigReference.ConfigName", 30, kept},
	{"FileTarget.Name", 25, kept},
	{"FileTarget.UID", 25, kept},
	{"FileTarget.GID", 25, kept},
	{"FileTarget.Mode", 25, kept},

	{"Ulimit.Name", 41, stripped},
	{"Ulimit.Hard", 41, stripped},
	{"Ulimit.Soft", 41, stripped},

	{"Task.ID", 24, kept},
	{"Task.Version", 24, kept},
	{"Task.CreatedAt", 24, kept},
	{"Task.UpdatedAt", 24, kept},
	{"Task.Name", 25, kept},
	{"Task.Labels", 25, kept},
	{"Task.Spec", 24, kept},
	{"Task.ServiceID", 24, kept},
	{"Task.Slot", 24, kept},
	{"Task.NodeID", 24, kept},
	{"Task.Status", 24, kept},
	{"Task.DesiredState", 24, kept},
	{"Task.DesiredState=remove", 37, kept},
	{"Task.DesiredState=orphaned", 37, kept},
	{"Task.NetworksAttachments", 24, kept},
	{"Task.GenericResources", 32, kept},
	{"Task.JobIteration", 41, kept},
	{"Task.Volumes", 42, kept},

	{"TaskStatus.Timestamp", 24, kept},
	{"TaskStatus.State", 24, kept},
	{"TaskStatus.State=remove", 37, kept},
	{"TaskStatus.State=orphaned", 37, kept},
	{"TaskStatus.Message", 24, kept},
	{"TaskStatus.Err", 24, kept},
	{"TaskStatus.ContainerStatus", 24, kept},
	{"TaskStatus.PortStatus", 25, kept}, // documented since 1.44
	{"ContainerStatus.ContainerID", 24, kept},
	{"ContainerStatus.PID", 24, kept},
	{"ContainerStatus.ExitCode", 24, kept},
	{"PortStatus.Ports", 25, kept},

	{"NetworkAttachment.Network", 24, kept},
	{"NetworkAttachment.Addresses", 24, kept},
	{"AttachedNetwork.ID", 24, kept},
	{"AttachedNetwork.Version", 24, kept},
	{"AttachedNetwork.CreatedAt", 24, kept},
	{"AttachedNetwork.UpdatedAt", 24, kept},
	{"AttachedNetwork.Spec", 24, kept},
	{"AttachedNetwork.DriverState", 24, kept},
	{"AttachedNetwork.IPAMOptions", 24, kept},
	{"AttachedNetworkSpec.Name", 24, kept},
	{"AttachedNetworkSpec.Labels", 24, kept},
	{"AttachedNetworkSpec.DriverConfiguration", 24, kept},
	{"AttachedNetworkSpec.IPv6Enabled", 24, kept},
	{"AttachedNetworkSpec.Internal", 24, kept},
	{"AttachedNetworkSpec.Attachable", 25, kept}, // documented since 1.27
	{"AttachedNetworkSpec.Ingress", 29, kept},
	{"AttachedNetworkSpec.IPAMOptions", 24, kept},
	{"AttachedNetworkSpec.ConfigFrom", 30, kept},
	{"AttachedNetworkSpec.Scope", 30, kept},
	{"NetworkConfigSource.Network", 30, kept},
	{"AttachedNetworkIPAM.Driver", 24, kept},
	{"AttachedNetworkIPAM.Configs", 24, kept},
	{"AttachedNetworkSubnet.Subnet", 24, kept},
	{"AttachedNetworkSubnet.Range", 24, kept},
	{"AttachedNetworkSubnet.Gateway", 24, kept},

	{"VolumeAttachment.ID", 42, kept},
	{"VolumeAttachment.Source", 42, kept},
	{"VolumeAttachment.Target", 42, kept},

	{"Cluster.ID", 24, kept},
	{"Cluster.Version", 24, kept},
	{"Cluster.CreatedAt", 24, kept},
	{"Cluster.UpdatedAt", 24, kept},
	{"Cluster.Spec", 24, kept},
	{"Cluster.TLSInfo", 30, kept},
	{"Cluster.RootRotationInProgress", 30, kept},
	{"Cluster.DefaultAddrPool", 39, kept},
	{"Cluster.SubnetSize", 39, kept},
	{"Cluster.DataPathPort", 40, kept},
	{"Cluster.JoinTokens", 24, kept},
	{"JoinTokens.Worker", 24, kept},
	{"JoinTokens.Manager", 24, kept},
	{"TLSInfo.TrustRoot", 30, kept},
	{"TLSInfo.CertIssuerSubject", 30, kept},
	{"TLSInfo.CertIssuerPublicKey", 30, kept},

	{"SwarmSpec.Name", 24, kept},
	{"SwarmSpec.Labels", 24, kept},
	{"SwarmSpec.Orchestration", 24, kept},
	{"SwarmSpec.Raft", 24, kept},
	{"SwarmSpec.Dispatcher", 24, kept},
	{"SwarmSpec.CAConfig", 24, kept},
	{"SwarmSpec.TaskDefaults", 24, kept},
	{"SwarmSpec.EncryptionConfig", 25, harmless}, // it is always sent, what is in it counts
	{"OrchestrationConfig.TaskHistoryRetentionLimit", 24, kept},
	{"RaftConfig.SnapshotInterval", 24, kept},
	{"RaftConfig.KeepOldSnapshots", 24, kept},
	{"RaftConfig.LogEntriesForSlowFollowers", 24, kept},
	{"RaftConfig.ElectionTick", 24, kept},
	{"RaftConfig.HeartbeatTick", 24, kept},
	{"DispatcherConfig.HeartbeatPeriod", 24, kept},
	{"CAConfig.NodeCertExpiry", 24, kept},
	{"CAConfig.ExternalCAs", 24, kept},
	{"CAConfig.SigningCACert", 30, kept},
	{"CAConfig.SigningCAKey", 30, kept},
	{"CAConfig.ForceRotate", 30, kept},
	{"ExternalCA.Protocol", 24, kept},
	{"ExternalCA.URL", 24, kept},
	{"ExternalCA.Options", 24, kept},
	{"ExternalCA.CACert", 30, kept},
	{"TaskDefaults.LogDriver", 24, lost},
	{"EncryptionConfig.AutoLockManagers", 25, kept},

	{"InitOptions.ListenAddr", 24, kept},
	{"InitOptions.AdvertiseAddr", 24, kept},
	{"InitOptions.DataPathAddr", 30, kept},
	{"InitOptions.DataPathPort", 40, stripped},
	{"InitOptions.DefaultAddrPool", 39, stripped},
	{"InitOptions.SubnetSize", 39, stripped},
	{"InitOptions.ForceNewCluster", 24, kept},
	{"InitOptions.Spec", 24, kept},
	{"InitOptions.AutoLockManagers", 25, kept},
	{"InitOptions.Availability", 28, kept}, // in no published document; docker 17.04 brought it
	{"JoinOptions.ListenAddr", 24, kept},
	{"JoinOptions.AdvertiseAddr", 24, kept},
	{"JoinOptions.DataPathAddr", 30, kept},
	{"JoinOptions.Availability", 28, kept}, // in no published document; docker 17.04 brought it

	{"Network.Name", 24, kept},
	{"Network.Id", 24, kept},
	{"Network.Created", 25, kept},
	{"Network.Scope", 24, kept},
	{"Network.Driver", 24, kept},
	{"Network.EnableIPv4", 48, kept},
	{"Network.EnableIPv6", 24, kept},
	{"Network.IPAM", 24, kept},
	{"Network.Internal", 24, kept},
	{"Network.Attachable", 25, kept},
	{"Network.Ingress", 29, kept},
	{"Network.ConfigFrom", 30, kept}, // documented since 1.41
	{"Network.ConfigOnly", 30, kept}, // documented since 1.41
	{"Network.Containers", 24, kept},
	{"Network.Options", 24, kept},
	{"Network.Labels", 24, kept},
	{"Network.Peers", 25, kept}, // documented since 1.41
	{"Network.Services", 28, kept},
	{"Network.Status", 52, kept},
	{"EndpointResource.Name", 24, kept},
	{"EndpointResource.EndpointID", 24, kept},
	{"EndpointResource.MacAddress", 24, kept},
	{"EndpointResource.IPv4Address", 24, kept},
	{"EndpointResource.IPv6Address", 24, kept},
	{"PeerInfo.Name", 25, kept},
	{"PeerInfo.IP", 25, kept},
	{"NetworkService.VIP", 28, kept},
	{"NetworkService.Ports", 28, kept},
	{"NetworkService.LocalLBIndex", 28, kept},
	{"NetworkService.Tasks", 28, kept},
	{"NetworkTask.Name", 28, kept},
	{"NetworkTask.EndpointID", 28, kept},
	{"NetworkTask.EndpointIP", 28, kept},
	{"NetworkTask.Info", 28, kept},
	{"NetworkStatus.IPAM", 52, kept},
	{"IPAMStatus.Subnets", 52, kept},
	{"SubnetStatus.IPsInUse", 52, kept},
	{"SubnetStatus.DynamicIPsAvailable", 52, kept},

	{"NetworkSpec.Name", 24, kept},
	{"NetworkSpec.Driver", 24, kept},
	{"NetworkSpec.Scope", 30, kept},
	{"NetworkSpec.EnableIPv4", 48, stripped},
	{"NetworkSpec.EnableIPv6", 24, kept},
	{"NetworkSpec.IPAM", 24, kept},
	{"NetworkSpec.Internal", 24, kept},
	{"NetworkSpec.Attachable", 25, kept},
	{"NetworkSpec.Ingress", 29, kept},
	{"NetworkSpec.ConfigOnly", 30, kept},
	{"NetworkSpec.ConfigFrom", 30, kept},
	{"NetworkSpec.Options", 24, kept},
	{"NetworkSpec.Labels", 24, kept},

	{"IPAM.Driver", 24, kept},
	{"IPAM.Options", 24, kept},
	{"IPAM.Config", 24, kept},
	{"IPAMConfig.Subnet", 24, kept},
	{"IPAMConfig.IPRange", 24, kept},
	{"IPAMConfig.Gateway", 24, kept},
	{"IPAMConfig.AuxiliaryAddresses", 24, kept},

	{"Volume.Name", 24, kept},
	{"Volume.Driver", 24, kept},
	{"Volume.Mountpoint", 24, kept},
	{"Volume.Scope", 24, kept},
	{"Volume.CreatedAt", 31, kept},
	{"Volume.Options", 25, kept},
	{"Volume.Labels", 24, kept},
	{"Volume.Status", 24, kept},
	{"Volume.UsageData", 25, kept},
	{"Volume.ClusterVolume", 42, stripped},
	{"VolumeUsage.Size", 25, kept},
	{"VolumeUsage.RefCount", 25, kept},
	{"ClusterVolume.ID", 42, stripped},
	{"ClusterVolume.Version", 42, stripped},
	{"ClusterVolume.CreatedAt", 42, stripped},
	{"ClusterVolume.UpdatedAt", 42, stripped},
	{"ClusterVolume.Spec", 42, stripped},
	{"ClusterVolume.PublishStatus", 42, stripped},
	{"ClusterVolume.Info", 42, stripped},
	{"PublishStatus.NodeID", 42, stripped},
	{"PublishStatus.State", 42, stripped},
	{"PublishStatus.PublishContext", 42, stripped},
	{"ClusterVolumeInfo.CapacityBytes", 42, stripped},
	{"ClusterVolumeInfo.VolumeContext", 42, stripped},
	{"ClusterVolumeInfo.VolumeID", 42, stripped},
	{"ClusterVolumeInfo.AccessibleTopology", 42, stripped},

	{"VolumeSpec.Name", 24, kept},
	{"VolumeSpec.Driver", 24, kept},
	{"VolumeSpec.DriverOpts", 24, kept},
	{"VolumeSpec.Labels", 24, kept},
	{"VolumeSpec.ClusterVolumeSpec", 42, stripped},

	{"ClusterVolumeSpec.Group", 42, stripped},
	{"ClusterVolumeSpec.AccessMode", 42, stripped},
	{"ClusterVolumeSpec.AccessibilityRequirements", 42, stripped},
	{"ClusterVolumeSpec.CapacityRange", 42, stripped},
	{"ClusterVolumeSpec.Secrets", 42, stripped},
	{"ClusterVolumeSpec.Availability", 42, stripped},

	{"VolumeAccessMode.Scope", 42, stripped},
	{"VolumeAccessMode.Sharing", 42, stripped},
	{"VolumeAccessMode.MountVolume", 42, stripped},
	{"VolumeAccessMode.BlockVolume", 42, stripped},

	{"VolumeMountAccess.FsType", 42, stripped},
	{"VolumeMountAccess.MountFlags", 42, stripped},

	{"TopologyRequirement.Requisite", 42, stripped},
	{"TopologyRequirement.Preferred", 42, stripped},

	{"CapacityRange.RequiredBytes", 42, stripped},
	{"CapacityRange.LimitBytes", 42, stripped},

	{"VolumeSecret.Key", 42, stripped},
	{"VolumeSecret.Secret", 42, stripped},

	{"Event.Type", 24, kept},
	{"Event.Action", 24, kept},
	{"Event.Actor", 24, kept},
	{"Event.scope", 30, kept}, // documented since 1.40
	{"Event.time", 24, kept},  // and timeNano
	{"Event.status", 24, kept},
	{"Event.id", 24, kept},
	{"Event.from", 24, kept},
	{"EventActor.ID", 24, kept},
	{"EventActor.Attributes", 24, kept},

	{"EngineVersion.Platform", 35, kept},
	{"EngineVersion.Components", 35, kept},
	{"EngineVersion.Version", 24, kept},
	{"EngineVersion.ApiVersion", 24, kept},
	{"EngineVersion.MinAPIVersion", 25, kept},
	{"EngineVersion.GitCommit", 24, kept},
	{"EngineVersion.GoVersion", 24, kept},
	{"EngineVersion.Os", 24, kept},
	{"EngineVersion.Arch", 24, kept},
	{"EngineVersion.KernelVersion", 24, kept},
	{"EngineVersion.Experimental", 24, kept},
	{"EngineVersion.BuildTime", 24, kept},
	{"EnginePlatform.Name", 35, kept},
	{"ComponentVersion.Name", 35, kept},
	{"ComponentVersion.Version", 35, kept},
	{"ComponentVersion.Details", 35, kept},

	{"EngineInfo.ID", 24, kept},
	{"EngineInfo.Name", 24, kept},
	{"EngineInfo.Swarm", 24, kept},
	{"EngineInfo.ServerVersion", 24, kept},
	{"EngineInfo.Labels", 24, kept},
	{"EngineInfo.GenericResources", 32, kept},
	{"EngineInfo.NCPU", 24, kept},
	{"EngineInfo.MemTotal", 24, kept},
	{"EngineInfo.OperatingSystem", 24, kept},
	{"EngineInfo.OSType", 24, kept},
	{"EngineInfo.OSVersion", 41, kept},
	{"EngineInfo.Architecture", 24, kept},
	{"EngineInfo.KernelVersion", 24, kept},
	{"EngineInfo.SystemTime", 24, kept},
	{"EngineInfo.Containers", 24, kept},
	{"EngineInfo.ContainersRunning", 24, kept},
	{"EngineInfo.ContainersPaused", 24, kept},
	{"EngineInfo.ContainersStopped", 24, kept},
	{"EngineInfo.Images", 24, kept},
	{"EngineInfo.Plugins", 24, kept},
	{"EngineInfo.Driver", 24, kept},
	{"EngineInfo.DriverStatus", 24, kept},
	{"EngineInfo.DockerRootDir", 24, kept},
	{"EngineInfo.LoggingDriver", 24, kept},
	{"EngineInfo.CgroupDriver", 24, kept},
	{"EngineInfo.CgroupVersion", 41, kept},
	{"EngineInfo.Runtimes", 24, kept},         // documented since 1.32
	{"EngineInfo.DefaultRuntime", 24, kept},   // documented since 1.32
	{"EngineInfo.Isolation", 25, kept},        // documented since 1.32
	{"EngineInfo.InitBinary", 25, kept},       // documented since 1.32
	{"EngineInfo.ContainerdCommit", 25, kept}, // documented since 1.32
	{"EngineInfo.RuncCommit", 25, kept},       // documented since 1.32
	{"EngineInfo.InitCommit", 25, kept},       // documented since 1.32
	{"EngineInfo.SecurityOptions", 24, kept},
	{"EngineInfo.LiveRestoreEnabled", 25, kept}, // documented since 1.32
	{"EngineInfo.ExperimentalBuild", 24, kept},
	{"EngineInfo.MemoryLimit", 24, kept},
	{"EngineInfo.SwapLimit", 24, kept},
	{"EngineInfo.CpuCfsPeriod", 24, kept},
	{"EngineInfo.CpuCfsQuota", 24, kept},
	{"EngineInfo.CPUShares", 24, kept},
	{"EngineInfo.CPUSet", 24, kept},
	{"EngineInfo.PidsLimit", 40, kept},
	{"EngineInfo.OomKillDisable", 24, kept},
	{"EngineInfo.IPv4Forwarding", 24, kept},
	{"EngineInfo.BridgeNfIptables", 24, kept},
	{"EngineInfo.BridgeNfIp6tables", 24, kept},
	{"EngineInfo.KernelMemory", 24, kept}, // documented since 1.36
	{"EngineInfo.KernelMemoryTCP", 40, kept},
	{"EngineInfo.ExecutionDriver", 24, kept},
	{"EngineInfo.IndexServerAddress", 24, kept},
	{"EngineInfo.RegistryConfig", 24, kept},
	{"EngineInfo.HttpProxy", 24, kept},
	{"EngineInfo.HttpsProxy", 24, kept},
	{"EngineInfo.NoProxy", 24, kept},
	{"EngineInfo.DefaultAddressPools", 41, kept},
	{"EngineInfo.FirewallBackend", 49, stripped},
	{"EngineInfo.CDISpecDirs", 44, kept},
	{"EngineInfo.DiscoveredDevices", 50, stripped},
	{"EngineInfo.NRI", 53, stripped},
	{"EngineInfo.Containerd", 46, stripped},
	{"EngineInfo.ProductLicense", 39, kept},
	{"EngineInfo.Debug", 24, kept},
	{"EngineInfo.NFd", 24, kept},
	{"EngineInfo.NGoroutines", 24, kept},
	{"EngineInfo.NEventsListener", 24, kept},
	{"EngineInfo.Warnings", 39, kept},
	{"SwarmInfo.NodeID", 24, kept},
	{"SwarmInfo.NodeAddr", 24, kept},
	{"SwarmInfo.LocalNodeState", 24, kept},
	{"SwarmInfo.ControlAvailable", 24, kept},
	{"SwarmInfo.Error", 24, kept},
	{"SwarmInfo.RemoteManagers", 24, kept},
	{"SwarmInfo.Nodes", 24, kept},
	{"SwarmInfo.Managers", 24, kept},
	{"SwarmInfo.Cluster", 24, kept},
	{"SwarmInfo.Warnings", 39, kept}, // in no published document
	{"RemoteManager.NodeID", 24, kept},
	{"RemoteManager.Addr", 24, kept},
	{"EnginePlugins.Volume", 24, kept},
	{"EnginePlugins.Network", 24, kept},
	{"EnginePlugins.Authorization", 24, kept},
	{"EnginePlugins.Log", 30, kept},
	{"ContainerRuntime.path", 24, kept},
	{"ContainerRuntime.runtimeArgs", 24, kept},
	{"ContainerRuntime.runtimeType", 42, kept}, // in no published document
	{"ContainerRuntime.options", 42, kept},     // in no published document
	{"ContainerRuntime.status", 44, stripped},
	{"ComponentCommit.ID", 25, kept},
	{"ComponentCommit.Expected", 25, kept},
	{"RegistryServiceConfig.InsecureRegistryCIDRs", 24, kept},
	{"RegistryServiceConfig.IndexConfigs", 24, kept},
	{"RegistryServiceConfig.Mirrors", 24, kept},
	{"RegistryServiceConfig.AllowNondistributableArtifactsCIDRs", 32, kept},
	{"RegistryServiceConfig.AllowNondistributableArtifactsHostnames", 32, kept},
	{"RegistryIndex.Name", 24, kept},
	{"RegistryIndex.Mirrors", 24, kept},
	{"RegistryIndex.Secure", 24, kept},
	{"RegistryIndex.Official", 24, kept},
	{"AddressPool.Base", 41, kept},
	{"AddressPool.Size", 41, kept},
	{"FirewallInfo.Driver", 49, stripped},
	{"FirewallInfo.Info", 49, stripped},
	{"DeviceInfo.Source", 50, stripped},
	{"DeviceInfo.ID", 50, stripped},
	{"NRIInfo.Info", 53, stripped},
	{"ContainerdInfo.Address", 46, stripped},
	{"ContainerdInfo.Namespaces", 46, stripped},
	{"ContainerdNamespaces.Containers", 46, stripped},
	{"ContainerdNamespaces.Plugins", 46, stripped},

	{"DiskUsage.Images", 25, kept},
	{"DiskUsage.Containers", 25, kept},
	{"DiskUsage.Volumes", 25, kept},
	{"DiskUsage.BuildCache", 39, kept},
	{"DiskUsageSummary.Count", 25, kept},
	{"DiskUsageSummary.InUse", 25, kept},
	{"DiskUsageSummary.SizeBytes", 25, kept},
	{"DiskUsageSummary.ReclaimableBytes", 25, kept},

	{"ImageDistribution.Descriptor", 30, kept},
	{"ImageDistribution.Platforms", 30, kept},
	{"ImageDescriptor.mediaType", 30, kept},
	{"ImageDescriptor.digest", 30, kept},
	{"ImageDescriptor.size", 30, kept},
	{"ImageDescriptor.urls", 30, kept},
	{"ImageDescriptor.annotations", 48, kept},
	{"ImageDescriptor.artifactType", 48, kept},
	{"ImageDescriptor.data", 48, kept},
	{"ImageDescriptor.platform", 48, kept},
	{"ImagePlatform.architecture", 30, kept},
	{"ImagePlatform.os", 30, kept},
	{"ImagePlatform.os.version", 30, kept},
	{"ImagePlatform.os.features", 30, kept},
	{"ImagePlatform.variant", 30, kept},
}

// versioned are the types whose fields are in the table, with all that they hold.
var versioned = []reflect.Type{
	reflect.TypeFor[Service](),
	reflect.TypeFor[Task](),
	reflect.TypeFor[Cluster](),
	reflect.TypeFor[InitOptions](),
	reflect.TypeFor[JoinOptions](),
	reflect.TypeFor[Node](),
	reflect.TypeFor[Config](),
	reflect.TypeFor[Secret](),
	reflect.TypeFor[Network](),
	reflect.TypeFor[NetworkSpec](),
	reflect.TypeFor[Volume](),
	reflect.TypeFor[VolumeSpec](),
	reflect.TypeFor[Event](),
	reflect.TypeFor[EngineVersion](),
	reflect.TypeFor[EngineInfo](),
	reflect.TypeFor[DiskUsage](),
	reflect.TypeFor[ImageDistribution](),
}

func (s since) version() version { return version{1, s.minor} }

// refuse is the error, without its Field, for something of a row that a request
// of the version have cannot ask for.
func (s since) refuse(have version) *VersionError {
	switch {
	case s.below == lost, s.below == until51 && version{1, 51}.less(have):
		return &VersionError{Have: have.String()}
	case s.below != harmless && have.less(s.version()):
		return &VersionError{Needs: s.version().String(), Have: have.String()}
	}
	return nil
}

// tableRows are the rows by what they are about.
var tableRows = sync.OnceValue(func() map[string]since {
	rows := make(map[string]since, len(versionTable))
	for _, row := range versionTable {
		rows[row.what] = row
	}
	return rows
})

// checkCall refuses a call whose endpoint, query parameters or filters are newer
// than the API version of the request.
func checkCall(call *call, have version) error {
	endpoint := call.method + " " + call.to.template
	rows := tableRows()
	if e := rows[endpoint].refuse(have); e != nil {
		e.Field = endpoint
		return e
	}
	for _, name := range slices.Sorted(maps.Keys(call.query)) {
		if e := rows[endpoint+" ?"+name].refuse(have); e != nil {
			e.Field = name + " parameter of " + endpoint
			return e
		}
	}
	for _, name := range filterNames(call) {
		if e := rows[endpoint+" filter:"+name].refuse(have); e != nil {
			e.Field = name + " filter of " + endpoint
			return e
		}
	}
	return nil
}

// filterNames are the filters of a call. What is no filter at all the engine
// will say.
func filterNames(call *call) []string {
	if !call.query.Has("filters") {
		return nil
	}
	filters, err := wire.Parse([]byte(call.query.Get("filters")))
	if err != nil {
		return nil
	}
	names := make([]string, 0, len(filters.Members))
	for _, m := range filters.Members {
		names = append(names, m.Name)
	}
	slices.Sort(names)
	return names
}

// shape is what the table says about the JSON of a struct type, by member.
type shape map[string]*member

// member is a member of a struct type.
type member struct {
	since
	values   map[string]since // by what they say; these replace the row of the member
	of       shape            // of its value, or of its value's elements
	optional bool             // its zero is not the same as its absence
}

// shapes are the shapes of all versioned types by their names.
var shapes = sync.OnceValue(func() map[string]shape {
	all := map[string]shape{}
	for _, t := range versioned {
		addShape(all, t)
	}
	for _, row := range versionTable {
		field, value, found := strings.Cut(row.what, "=")
		typeName, name, _ := strings.Cut(field, ".")
		if m := all[typeName][name]; m != nil && found {
			m.values[value] = row
		}
	}
	return all
})

// addShape returns the shape of a type, or of what a list or pointer leads to.
// It is nil for everything that is not a struct with fields.
func addShape(all map[string]shape, t reflect.Type) shape {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || t.PkgPath() != reflect.TypeFor[Service]().PkgPath() {
		return nil
	}
	if s, ok := all[t.Name()]; ok {
		return s
	}
	s := shape{}
	all[t.Name()] = s
	for _, field := range reflect.VisibleFields(t) {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if name == "-" {
			continue
		}
		if name == "" {
			name = field.Name
		}
		s[name] = &member{
			since:    tableRows()[t.Name()+"."+name],
			values:   map[string]since{},
			of:       addShape(all, field.Type),
			optional: field.Type.Kind() == reflect.Pointer,
		}
	}
	return s
}

// checkFields refuses a value of the type root that holds a field newer than the
// API version of the request: engines would drop it silently. It names the first
// one. What no type has it leaves alone, see unknownFields.
func checkFields(root string, value wire.Node, have version) error {
	if e := shapes()[root].check(value, have); e != nil {
		e.Field = root + e.Field
		return e
	}
	return nil
}

// check returns the error for the first field that is too new, its path without
// that of the value.
func (s shape) check(value wire.Node, have version) *VersionError {
	if s == nil {
		return nil
	}
	for i, item := range value.Items {
		if e := s.check(item, have); e != nil {
			e.Field = fmt.Sprintf("[%d]%s", i, e.Field)
			return e
		}
	}
	for _, m := range value.Members {
		known := s[m.Name]
		if known == nil || !known.isSet(m.Value) {
			continue
		}
		if e := known.check(m.Value, have); e != nil {
			e.Field = "." + m.Name + e.Field
			return e
		}
	}
	return nil
}

// valueRow is the row of a value that has one.
func (m *member) valueRow(value wire.Node) (row since, ok bool) {
	row, ok = m.values[strings.Trim(string(value.Literal), `"`)]
	return row, ok
}

func (m *member) check(value wire.Node, have version) *VersionError {
	if row, ok := m.valueRow(value); ok {
		e := row.refuse(have)
		if e != nil {
			_, name, _ := strings.Cut(row.what, "=")
			e.Field = "=" + name
		}
		return e
	}
	if e := m.refuse(have); e != nil {
		return e
	}
	return m.of.check(value, have)
}

// isSet reports whether a value says something that its absence does not.
func (m *member) isSet(value wire.Node) bool {
	switch {
	case value.IsNull():
		return false
	case value.Kind == wire.Array:
		return len(value.Items) > 0
	case value.Kind == wire.Object:
		return len(value.Members) > 0 || m.of != nil
	case m.optional:
		return true
	}
	switch string(value.Literal) {
	case `""`, "0", "false":
		return false
	}
	return true
}

// unknownFields returns the paths of the members that the type root does not
// have, in their order: fields of engines newer than this library.
func unknownFields(root string, value wire.Node) []string {
	paths := shapes()[root].unknown(value)
	for i := range paths {
		paths[i] = root + paths[i]
	}
	return paths
}

func (s shape) unknown(value wire.Node) []string {
	if s == nil {
		return nil
	}
	var paths []string
	for i, item := range value.Items {
		for _, path := range s.unknown(item) {
			paths = append(paths, fmt.Sprintf("[%d]%s", i, path))
		}
	}
	for _, m := range value.Members {
		known := s[m.Name]
		if known == nil {
			paths = append(paths, "."+m.Name)
			continue
		}
		for _, path := range known.of.unknown(m.Value) {
			paths = append(paths, "."+m.Name+path)
		}
	}
	return paths
}
