package swarm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"

	"github.com/swarm-go/swarm/internal/wire"
)

// SystemClient asks the engine about itself, and registries through it. It works
// without a swarm.
type SystemClient struct{ client *Client }

// Ping asks the engine for a sign of life. An engine that is not there is
// [ErrUnreachable]. A manager without a leader still answers.
//
// Engine endpoint: GET /_ping
func (s *SystemClient) Ping(ctx context.Context) error {
	return s.client.do(ctx, unversioned(http.MethodGet, "/_ping", "ping"), nil)
}

// EngineVersion is what GET /version says of the engine.
type EngineVersion struct {
	// Platform is the product the engine is part of. There since API 1.35.
	Platform EnginePlatform
	// Components are the engine and the programs it uses, with their versions.
	// There since API 1.35.
	Components []ComponentVersion `json:",omitzero"`
	// Version is the engine's release, "28.5.2".
	Version string
	// APIVersion is the newest API version the engine speaks, "1.51".
	APIVersion string `json:"ApiVersion"`
	// MinAPIVersion is the oldest API version the engine speaks, "1.24". There
	// since API 1.25.
	MinAPIVersion string `json:",omitzero"`
	// GitCommit is the commit the engine was built from.
	GitCommit string `json:",omitzero"`
	// GoVersion is the Go release the engine was built with.
	GoVersion string `json:",omitzero"`
	// OS is the engine's operating system, "linux" or "windows".
	OS string `json:"Os"`
	// Arch is the engine's architecture as Go names it, "amd64".
	Arch string
	// KernelVersion is the kernel the engine runs on.
	KernelVersion string `json:",omitzero"`
	// Experimental reports that experimental features are on.
	Experimental bool `json:",omitzero"`
	// BuildTime is when the engine was built, as the engine words it.
	BuildTime string `json:",omitzero"`
	// Raw is the engine's JSON as received.
	Raw json.RawMessage `json:"-"`
}

// EnginePlatform is the product an engine is part of.
type EnginePlatform struct {
	// Name is its name, "Docker Engine - Community". Often empty.
	Name string
}

// ComponentVersion is the version of a part of the engine.
type ComponentVersion struct {
	// Name is the part's name, such as "Engine", "containerd" or "runc".
	Name string
	// Version is the release it is of, "2.1.9".
	Version string
	// Details is more of the kind, such as "GitCommit".
	Details map[string]string `json:",omitzero"`
}

// Version says which engine this is.
//
// Engine endpoint: GET /version
func (s *SystemClient) Version(ctx context.Context) (*EngineVersion, error) {
	version := new(EngineVersion)
	err := s.client.fetch(ctx, unversioned(http.MethodGet, "/version", "read version"), func(body json.RawMessage) error {
		version.Raw = body
		return wire.Unmarshal(body, version)
	})
	if err != nil {
		return nil, err
	}
	return version, nil
}

// EngineInfo is what GET /info says of the engine and of the node it is.
type EngineInfo struct {
	// ID is the engine's ID. It is not its node ID in the swarm.
	ID string
	// Name is the engine's host name.
	Name string
	// Swarm is the engine's part in a swarm.
	Swarm SwarmInfo
	// ServerVersion is the engine's release, "28.5.2".
	ServerVersion string
	// Labels are the engine's own, as "key=value", not those of its node.
	Labels []string
	// GenericResources are the things the node was configured to offer to tasks.
	// There since API 1.32.
	GenericResources []GenericResource
	// NCPU is the number of CPUs.
	NCPU int
	// MemTotal is the memory in bytes.
	MemTotal int64
	// OperatingSystem is the name of the operating system, "Debian GNU/Linux 13
	// (trixie)".
	OperatingSystem string
	// OSType is the kind of operating system, "linux" or "windows".
	OSType string
	// OSVersion is the version of the operating system. Often empty. There since
	// API 1.41.
	OSVersion string
	// Architecture is the hardware as the kernel names it, "x86_64".
	Architecture string
	// KernelVersion is the kernel's version.
	KernelVersion string
	// SystemTime is the engine's clock, in the form of RFC 3339.
	SystemTime string

	// Containers is how many containers there are.
	Containers int
	// ContainersRunning is how many of them run.
	ContainersRunning int
	// ContainersPaused is how many of them are paused.
	ContainersPaused int
	// ContainersStopped is how many of them are stopped.
	ContainersStopped int
	// Images is how many images there are.
	Images int
	// Plugins are the drivers that the engine has.
	Plugins EnginePlugins
	// Driver is the storage driver, "overlay2".
	Driver string
	// DriverStatus is what the storage driver says, in pairs of name and value.
	DriverStatus [][]string
	// DockerRootDir is where the engine keeps its data.
	DockerRootDir string
	// LoggingDriver is the default log driver, "json-file".
	LoggingDriver string
	// CgroupDriver is who makes cgroups, "systemd" or "cgroupfs".
	CgroupDriver string
	// CgroupVersion is "1" or "2". There since API 1.41.
	CgroupVersion string `json:",omitzero"`
	// Runtimes are the container runtimes by name.
	Runtimes map[string]ContainerRuntime `json:",omitzero"`
	// DefaultRuntime is the name of the one used by default, "runc".
	DefaultRuntime string
	// Isolation is the default isolation of Windows containers. Empty elsewhere.
	// There since API 1.25.
	Isolation Isolation
	// InitBinary is the program used where a container asks for an init. There
	// since API 1.25.
	InitBinary string
	// ContainerdCommit is what containerd was built from. There since API 1.25.
	ContainerdCommit ComponentCommit
	// RuncCommit is what runc was built from. There since API 1.25.
	RuncCommit ComponentCommit
	// InitCommit is what the init program was built from. There since API 1.25.
	InitCommit ComponentCommit
	// SecurityOptions are what protects containers, "name=seccomp,profile=builtin".
	SecurityOptions []string
	// LiveRestoreEnabled says that containers outlive the engine. Swarm mode
	// excludes it. There since API 1.25.
	LiveRestoreEnabled bool
	// ExperimentalBuild says that experimental features are on.
	ExperimentalBuild bool

	// MemoryLimit says that memory limits work.
	MemoryLimit bool
	// SwapLimit says that swap limits work.
	SwapLimit bool
	// CPUCfsPeriod says that CPU periods work.
	CPUCfsPeriod bool `json:"CpuCfsPeriod"`
	// CPUCfsQuota says that CPU quotas work.
	CPUCfsQuota bool `json:"CpuCfsQuota"`
	// CPUShares says that CPU shares work.
	CPUShares bool
	// CPUSet says that containers can be bound to CPUs.
	CPUSet bool
	// PidsLimit says that limits on processes work. There since API 1.40.
	PidsLimit bool
	// OomKillDisable says that the OOM killer can be kept from a container.
	OomKillDisable bool
	// IPv4Forwarding says that the host forwards IPv4.
	IPv4Forwarding bool
	// BridgeNfIptables says that packets between containers of one bridge pass the
	// host's IPv4 firewall. Nil from API 1.50 on, where engines do not say.
	BridgeNfIptables *bool `json:",omitzero"`
	// BridgeNfIP6tables is the same for IPv6.
	BridgeNfIP6tables *bool `json:"BridgeNfIp6tables,omitzero"`
	// KernelMemory says that limits on kernel memory work. Nil from API 1.42 on,
	// where there are none.
	KernelMemory *bool `json:",omitzero"`
	// KernelMemoryTCP is the same for the memory of TCP. Nil from API 1.42 on. There
	// since API 1.40.
	KernelMemoryTCP *bool `json:",omitzero"`
	// ExecutionDriver is "<not supported>" below API 1.25, and empty from there on.
	//
	// Deprecated: engines have had none since 1.11.
	ExecutionDriver string `json:",omitzero"`

	// IndexServerAddress is the default registry's.
	IndexServerAddress string
	// RegistryConfig is how the engine was told to deal with registries.
	RegistryConfig *RegistryServiceConfig `json:",omitzero"`
	// HTTPProxy is the engine's proxy for http, without its password.
	HTTPProxy string `json:"HttpProxy"`
	// HTTPSProxy is the same for https.
	HTTPSProxy string `json:"HttpsProxy"`
	// NoProxy is what is reached without proxies.
	NoProxy string
	// DefaultAddressPools are where networks of this engine get their subnets from,
	// if it was configured. There since API 1.41.
	DefaultAddressPools []AddressPool `json:",omitzero"`
	// FirewallBackend is what the engine sets firewall rules with. There since API
	// 1.49.
	FirewallBackend *FirewallInfo `json:",omitzero"`
	// CDISpecDirs are where device specifications are looked for. There since API
	// 1.44.
	CDISpecDirs []string `json:",omitzero"`
	// DiscoveredDevices are the devices the engine has found. There since API 1.50.
	DiscoveredDevices []DeviceInfo `json:",omitzero"`
	// NRI is the node resource interface. There since API 1.53.
	NRI *NRIInfo `json:",omitzero"`
	// Containerd is how the engine uses containerd. There since API 1.46.
	Containerd *ContainerdInfo `json:",omitzero"`
	// ProductLicense is the engine's license, where it names one. There since API
	// 1.39.
	ProductLicense string `json:",omitzero"`

	// Debug says that the engine writes debug messages, and fills the next three.
	Debug bool
	// NFd is how many files the engine has open.
	NFd int
	// NGoroutines is how many goroutines the engine has.
	NGoroutines int
	// NEventsListener is how many clients watch events.
	NEventsListener int

	// Warnings are the engine's about its configuration. There since API 1.39.
	Warnings []string
	// Raw is the engine's JSON as received.
	Raw json.RawMessage `json:"-"`
}

// SwarmInfo is an engine's part in a swarm.
type SwarmInfo struct {
	// NodeID is the engine's node ID. Empty without a swarm.
	NodeID string
	// NodeAddr is the address that other nodes reach it at.
	NodeAddr string
	// LocalNodeState is whether the engine is in a swarm.
	LocalNodeState LocalNodeState
	// ControlAvailable says that the engine is a manager that is not locked. It
	// stays true while the managers have no leader.
	ControlAvailable bool
	// Error is what keeps the engine from its part: that the managers have no
	// leader, or that the swarm is locked, for instance.
	Error string
	// RemoteManagers are the managers that the engine knows, itself included.
	RemoteManagers []RemoteManager
	// Nodes is how many nodes the swarm has. Zero unless this is a manager, and
	// there is a leader.
	Nodes int `json:",omitzero"`
	// Managers is how many of them are managers. Zero as Nodes is.
	Managers int `json:",omitzero"`
	// Cluster is the swarm as [SwarmClient.Inspect] reads it, but without join
	// tokens. Nil unless this is a manager; without a leader it says nothing.
	Cluster *Cluster `json:",omitzero"`
	// Warnings are the engine's about the swarm. There since API 1.39.
	Warnings []string `json:",omitzero"`
}

// EnginePlugins are the drivers an engine has, built in or installed.
type EnginePlugins struct {
	// Volume are the volume drivers.
	Volume []string
	// Network are the network drivers.
	Network []string
	// Authorization are the authorization plugins.
	Authorization []string
	// Log are the log drivers. There since API 1.30.
	Log []string
}

// ContainerRuntime is a program that runs containers.
type ContainerRuntime struct {
	// Path is the program.
	Path string `json:"path,omitzero"`
	// Args are its arguments.
	Args []string `json:"runtimeArgs,omitzero"`
	// Type is containerd's name for the runtime, where it is no program. There
	// since API 1.42.
	Type string `json:"runtimeType,omitzero"`
	// Options are those of Type, as they were configured. There since API 1.42.
	Options json.RawMessage `json:"options,omitzero"`
	// Status is what the runtime says it can do. There since API 1.44.
	Status map[string]string `json:"status,omitzero"`
}

// ComponentCommit is the commit a program was built from.
type ComponentCommit struct {
	// ID is the commit.
	ID string
	// Expected is the commit that the engine was made for. Nil where the engine does
	// not say, as newer ones.
	Expected *string `json:",omitzero"`
}

// RegistryServiceConfig is how an engine deals with registries.
type RegistryServiceConfig struct {
	// InsecureRegistryCIDRs are address ranges of registries that need no TLS.
	InsecureRegistryCIDRs []string
	// IndexConfigs are the registries with settings of their own, by name.
	IndexConfigs map[string]RegistryIndex
	// Mirrors are the mirrors of Docker Hub.
	Mirrors []string
	// AllowNondistributableArtifactsCIDRs are address ranges of registries that
	// restricted layers are pushed to. Engines from 28.0 on do not have them. There
	// since API 1.32.
	AllowNondistributableArtifactsCIDRs []string `json:",omitzero"`
	// AllowNondistributableArtifactsHostnames is the same for names of registries.
	// There since API 1.32.
	AllowNondistributableArtifactsHostnames []string `json:",omitzero"`
}

// RegistryIndex is how an engine deals with one registry.
type RegistryIndex struct {
	// Name is the registry's name, "docker.io".
	Name string
	// Mirrors are asked before it.
	Mirrors []string
	// Secure says that it must have TLS.
	Secure bool
	// Official says that it is Docker Hub.
	Official bool
}

// AddressPool is where networks get their subnets from.
type AddressPool struct {
	// Base is the range, "10.10.0.0/16".
	Base string
	// Size is the length of the prefix of each subnet.
	Size int
}

// FirewallInfo is what an engine sets firewall rules with.
type FirewallInfo struct {
	// Driver is "iptables" or "nftables", with a suffix where firewalld is used.
	Driver string
	// Info is more of it, in pairs of name and value.
	Info [][]string `json:",omitzero"`
}

// DeviceInfo is a device that an engine has found.
type DeviceInfo struct {
	// Source is who found it, "cdi".
	Source string
	// ID names it, "vendor.com/gpu=0".
	ID string
}

// NRIInfo is an engine's node resource interface.
type NRIInfo struct {
	// Info is what it says, in pairs of name and value.
	Info [][]string `json:",omitzero"`
}

// ContainerdInfo is how an engine uses containerd.
type ContainerdInfo struct {
	// Address is containerd's socket.
	Address string `json:",omitzero"`
	// Namespaces are those the engine uses.
	Namespaces ContainerdNamespaces
}

// ContainerdNamespaces are the namespaces an engine uses in containerd.
type ContainerdNamespaces struct {
	// Containers is where the containers of services and others are.
	Containers string
	// Plugins is where those of the engine are.
	Plugins string
}

// Info says what the engine is and which part it has in a swarm. Managers without
// a leader answer, too, but take up to 20 seconds for it.
//
// Engine endpoint: GET /info
func (s *SystemClient) Info(ctx context.Context) (*EngineInfo, error) {
	info := new(EngineInfo)
	call := &call{op: "read engine info", method: http.MethodGet, to: to("/info"), repeat: repeatRead}
	err := s.client.fetch(ctx, call, func(body json.RawMessage) error {
		info.Raw = body
		return wire.Unmarshal(body, info)
	})
	if err != nil {
		return nil, err
	}
	return info, nil
}

// DiskUsage is what takes up space on the engine's disk.
type DiskUsage struct {
	// Images are the images; layers that several share count once.
	Images DiskUsageSummary
	// Containers are what containers have written outside of volumes.
	Containers DiskUsageSummary
	// Volumes are the volumes of this engine.
	Volumes DiskUsageSummary
	// BuildCache is what builds have left. There since API 1.39.
	BuildCache DiskUsageSummary
	// Raw is the engine's JSON as received. Its form depends on the API version, see
	// Verbose of [DiskUsageOptions]. It is what is encoded, where there is one.
	Raw json.RawMessage `json:"-"`
}

// DiskUsageSummary is what one kind of object takes up.
type DiskUsageSummary struct {
	// Count is how many there are.
	Count int64
	// InUse is how many of them are used.
	InUse int64
	// SizeBytes is what all of them take up.
	SizeBytes int64
	// ReclaimableBytes is what could be freed by removing those not in use.
	ReclaimableBytes int64
}

// DiskUsageType is a kind of object that takes up space.
type DiskUsageType string

// The kinds of objects that take up space.
const (
	// DiskUsageImages looks at what was pulled and built.
	DiskUsageImages DiskUsageType = "image"
	// DiskUsageContainers looks at what containers have written.
	DiskUsageContainers DiskUsageType = "container"
	// DiskUsageVolumes looks at what is in volumes, file by file.
	DiskUsageVolumes DiskUsageType = "volume"
	// DiskUsageBuildCache looks at what builds have left.
	DiskUsageBuildCache DiskUsageType = "build-cache"
)

// DiskUsageOptions say what to look at.
type DiskUsageOptions struct {
	// Types are the kinds of objects to look at; the others stay zero. None means
	// all, which may take the engine minutes. Needs API 1.42.
	Types []DiskUsageType
	// Verbose asks for every single object beside the sums: they are in Raw, as
	// "Items" of "ImageUsage", "ContainerUsage", "VolumeUsage" and "BuildCacheUsage".
	// Without it engines still list them as they did below API 1.52, in "Images",
	// "Containers", "Volumes" and "BuildCache", but may cease to. Needs API 1.52.
	Verbose bool
}

// DiskUsage adds up what images, containers, volumes and builds take up on the
// engine's disk. That is a lot of work for the engine. Needs API 1.25.
//
// Engine endpoint: GET /system/df
func (s *SystemClient) DiskUsage(ctx context.Context, opts *DiskUsageOptions) (*DiskUsage, error) {
	const op = "read disk usage"
	query := url.Values{}
	if opts != nil {
		for _, kind := range opts.Types {
			if !slices.Contains([]DiskUsageType{DiskUsageImages, DiskUsageContainers, DiskUsageVolumes, DiskUsageBuildCache}, kind) {
				return nil, invalid(op, "", "unknown type %q", kind)
			}
			query.Add("type", string(kind))
		}
		if opts.Verbose {
			query.Set("verbose", "1")
		}
	}
	call := &call{op: op, method: http.MethodGet, to: to("/system/df"), query: query, repeat: repeatRead}
	usage := new(DiskUsage)
	if err := s.client.fetch(ctx, call, func(body json.RawMessage) error { return usage.UnmarshalJSON(body) }); err != nil {
		return nil, err
	}
	return usage, nil
}

// summedUsage is the form of a kind of object from API 1.52 on.
type summedUsage struct {
	ActiveCount, TotalCount, Reclaimable, TotalSize int64
}

func (u *summedUsage) summary() DiskUsageSummary {
	if u == nil {
		return DiskUsageSummary{}
	}
	return DiskUsageSummary{Count: u.TotalCount, InUse: u.ActiveCount, SizeBytes: u.TotalSize, ReclaimableBytes: u.Reclaimable}
}

func (s DiskUsageSummary) summed() *summedUsage {
	return &summedUsage{TotalCount: s.Count, ActiveCount: s.InUse, TotalSize: s.SizeBytes, Reclaimable: s.ReclaimableBytes}
}

// summedUsages is the form of the answer from API 1.52 on.
type summedUsages struct {
	ImageUsage, ContainerUsage, VolumeUsage, BuildCacheUsage *summedUsage
}

// listedUsage are the objects themselves, which engines list below API 1.52.
type listedUsage struct {
	LayersSize int64
	Images     []struct{ Containers, Size, SharedSize int64 }
	Containers []struct {
		State  string
		SizeRw int64
	}
	Volumes []struct {
		UsageData *struct{ Size, RefCount int64 }
	}
	BuildCache []struct {
		InUse, Shared bool
		Size          int64
	}
}

// MarshalJSON writes Raw, and without one the sums as engines write them from API
// 1.52 on.
func (d DiskUsage) MarshalJSON() ([]byte, error) {
	if len(d.Raw) > 0 {
		return d.Raw, nil
	}
	return wire.Marshal(summedUsages{d.Images.summed(), d.Containers.summed(), d.Volumes.summed(), d.BuildCache.summed()})
}

// UnmarshalJSON reads what engines write, in every form.
func (d *DiskUsage) UnmarshalJSON(data []byte) error {
	var usage summedUsages
	if err := wire.Unmarshal(data, &usage); err != nil {
		return err
	}
	*d = DiskUsage{Images: usage.ImageUsage.summary(), Containers: usage.ContainerUsage.summary(),
		Volumes: usage.VolumeUsage.summary(), BuildCache: usage.BuildCacheUsage.summary(), Raw: slices.Clone(data)}
	if usage != (summedUsages{}) {
		return nil
	}
	var listed listedUsage
	if err := wire.Unmarshal(data, &listed); err != nil {
		return err
	}
	listed.addUp(d)
	return nil
}

// addUp counts as the docker command does.
func (u *listedUsage) addUp(d *DiskUsage) {
	d.Images.SizeBytes, d.Images.ReclaimableBytes = u.LayersSize, u.LayersSize
	for _, image := range u.Images {
		own := max(image.Size, 0) - max(image.SharedSize, 0)
		d.Images.count(image.Containers > 0)
		if image.Containers > 0 {
			d.Images.ReclaimableBytes -= own
		}
	}
	for _, container := range u.Containers {
		d.Containers.add(container.SizeRw, slices.Contains([]string{"running", "paused", "restarting"}, container.State))
	}
	for _, volume := range u.Volumes {
		if usage := volume.UsageData; usage != nil {
			d.Volumes.add(usage.Size, usage.RefCount != 0)
		}
	}
	for _, cached := range u.BuildCache {
		if cached.Shared {
			d.BuildCache.count(cached.InUse)
			continue
		}
		d.BuildCache.add(cached.Size, cached.InUse)
	}
}

func (s *DiskUsageSummary) count(inUse bool) {
	s.Count++
	if inUse {
		s.InUse++
	}
}

// add counts an object of its size; a size below zero is not known.
func (s *DiskUsageSummary) add(size int64, inUse bool) {
	s.count(inUse)
	s.SizeBytes += max(size, 0)
	if !inUse {
		s.ReclaimableBytes += max(size, 0)
	}
}

// AuthResult is what a registry said to credentials that it accepts. Whatever
// prints one prints no token.
type AuthResult struct {
	// Status is the engine's word for it, "Login Succeeded".
	Status string
	// IdentityToken is to be used instead of the password from now on, in the
	// IdentityToken of [RegistryAuth]. Empty where the registry gives none. It is a
	// secret.
	IdentityToken string `json:",omitzero"`
}

// String is the status, without the token.
func (r AuthResult) String() string { return r.Status }

// GoString is String: %#v prints no token either.
func (r AuthResult) GoString() string { return r.String() }

// Format makes every verb print what String does.
func (r AuthResult) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(r.String())) }

// LogValue keeps the token out of logs.
func (r AuthResult) LogValue() slog.Value { return slog.StringValue(r.String()) }

// CheckAuth lets the engine log in to a registry, and tells what came of it;
// nothing is stored. A registry that does not accept the credentials is
// [ErrUnauthorized], one that the engine cannot reach [ErrUnavailable]. A login
// that may have reached the registry is not repeated: some lock users out that
// fail too often.
//
// Engine endpoint: POST /auth
func (s *SystemClient) CheckAuth(ctx context.Context, auth RegistryAuth) (*AuthResult, error) {
	const op = "check registry credentials"
	registry := auth.server()
	if auth == (RegistryAuth{}) {
		return nil, invalid(op, registry, "registry credentials are empty")
	}
	call := &call{op: op, object: registry, method: http.MethodPost, to: to("/auth"), repeat: repeatUnsent,
		encode: func(agreed negotiation) (version, []byte, error) {
			encoded, err := wire.Marshal(sentAuth(auth))
			if err != nil {
				err = errors.New("registry credentials cannot be encoded")
			}
			return agreed.use, encoded, err
		}}
	result := new(AuthResult)
	if err := s.client.do(ctx, call, result); err != nil {
		return nil, err
	}
	return result, nil
}
