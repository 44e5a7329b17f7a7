package engine

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/swarm-go/swarm"
)

// info answers GET /info.
func (c *call) info() error {
	var answer map[string]any
	c.hopeForLeader()
	c.daemon.world.Do(func() { answer = c.daemon.info() })
	return c.json(http.StatusOK, answer)
}

// info is what the daemon says of itself. What is about the machine is made up.
func (d *Daemon) info() map[string]any {
	build := d.release.build()
	answer := map[string]any{
		"ID":                 d.id,
		"Images":             len(d.agent.pulled),
		"Driver":             "overlay2",
		"DriverStatus":       [][2]string{{"Backing Filesystem", "extfs"}, {"Supports d_type", "true"}, {"Native Overlay Diff", "true"}, {"userxattr", "false"}},
		"Plugins":            d.plugins(),
		"MemoryLimit":        true,
		"SwapLimit":          true,
		"CpuCfsPeriod":       true,
		"CpuCfsQuota":        true,
		"CPUShares":          true,
		"CPUSet":             true,
		"PidsLimit":          true,
		"IPv4Forwarding":     true,
		"Debug":              false,
		"NFd":                0,
		"OomKillDisable":     false,
		"NGoroutines":        0,
		"SystemTime":         d.world.now().Format(time.RFC3339Nano),
		"LoggingDriver":      "json-file",
		"CgroupDriver":       "systemd",
		"CgroupVersion":      "2",
		"NEventsListener":    d.events.listeners(),
		"KernelVersion":      kernelVersion,
		"OperatingSystem":    build.system,
		"OSVersion":          "",
		"OSType":             d.platform.OS,
		"Architecture":       d.platform.Architecture,
		"IndexServerAddress": "https://index.docker.io/v1/",
		"RegistryConfig": map[string]any{
			"InsecureRegistryCIDRs": []string{"::1/128", "127.0.0.0/8"},
			"IndexConfigs":          map[string]any{"docker.io": map[string]any{"Name": "docker.io", "Mirrors": []string{}, "Secure": true, "Official": true}},
			"Mirrors":               nil,
		},
		"NCPU":               d.resources.NanoCPUs / 1e9,
		"MemTotal":           d.resources.MemoryBytes,
		"GenericResources":   d.resources.GenericResources,
		"DockerRootDir":      "/var/lib/docker",
		"HttpProxy":          "",
		"HttpsProxy":         "",
		"NoProxy":            "",
		"Name":               d.hostname,
		"Labels":             keyValues(d.labels),
		"ExperimentalBuild":  false,
		"ServerVersion":      d.release.Engine,
		"Runtimes":           map[string]any{"io.containerd.runc.v2": ociRuntime, "runc": ociRuntime},
		"DefaultRuntime":     "runc",
		"Swarm":              d.swarmInfo(),
		"LiveRestoreEnabled": false,
		"Isolation":          "",
		"InitBinary":         "docker-init",
		"ContainerdCommit":   map[string]string{"ID": build.containerd.commit},
		"RuncCommit":         map[string]string{"ID": build.runc.commit},
		"InitCommit":         map[string]string{"ID": ""},
		"SecurityOptions":    []string{"name=seccomp,profile=builtin", "name=cgroupns"},
		"Warnings":           nil,
	}
	maps.Copy(answer, d.containerCounts())
	for _, member := range infoMembers {
		if d.release.API >= member.since && (member.until == 0 || d.release.API < member.until) {
			answer[member.name] = member.value
		}
	}
	return answer
}

var ociRuntime = map[string]string{"path": "runc"}

// infoMembers are what only some releases say, from one API version on, up to
// another.
var infoMembers = []struct {
	name         string
	since, until int
	value        any
}{
	{"KernelMemory", 0, 42, true},
	{"KernelMemoryTCP", 0, 0, true},
	{"BridgeNfIptables", 0, 50, true},
	{"BridgeNfIp6tables", 0, 50, true},
	{"CDISpecDirs", 44, 0, []string{}},
	{"Containerd", 46, 0, map[string]any{
		"Address":    "/run/containerd/containerd.sock",
		"Namespaces": map[string]string{"Containers": "moby", "Plugins": "plugins.moby"},
	}},
	{"FirewallBackend", 49, 0, map[string]string{"Driver": "iptables"}},
}

// plugins are the drivers of the release.
func (d *Daemon) plugins() swarm.EnginePlugins {
	logs := []string{"awslogs", "fluentd", "gcplogs", "gelf", "journald", "json-file", "local", "splunk", "syslog"}
	if d.release.API < 43 {
		logs = slices.Insert(logs, 7, "logentries")
	}
	return swarm.EnginePlugins{
		Volume:  []string{"local"},
		Network: []string{"bridge", "host", "ipvlan", "macvlan", "null", "overlay"},
		Log:     logs,
	}
}

func keyValues(labels map[string]string) []string {
	pairs := make([]string, 0, len(labels))
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		pairs = append(pairs, key+"="+labels[key])
	}
	return pairs
}

// containerCounts counts the containers of tasks.
func (d *Daemon) containerCounts() map[string]any {
	counts := map[string]int{}
	for _, container := range d.containers() {
		counts[container.state()]++
	}
	return map[string]any{
		"Containers": len(d.containers()), "ContainersRunning": counts["running"], "ContainersPaused": 0,
		"ContainersStopped": counts["created"] + counts["exited"],
	}
}

// swarmInfo is the daemon's part in its swarm.
type swarmInfo struct {
	NodeID, NodeAddr string
	LocalNodeState   swarm.LocalNodeState
	ControlAvailable bool
	Error            string
	RemoteManagers   []swarm.RemoteManager
	Nodes            int             `json:",omitzero"`
	Managers         int             `json:",omitzero"`
	Cluster          json.RawMessage `json:",omitzero"`
}

func (d *Daemon) swarmInfo() swarmInfo {
	info := swarmInfo{LocalNodeState: d.localState()}
	switch {
	case d.locked:
		info.NodeAddr = d.address
		info.Error = errLocked.message
		return info
	case d.cluster == nil:
		return info
	}
	info.NodeID, info.NodeAddr = d.nodeID, d.address
	for _, node := range d.cluster.nodes.all() {
		info.Nodes++
		if node.ManagerStatus != nil {
			info.Managers++
			info.RemoteManagers = append(info.RemoteManagers, swarm.RemoteManager{NodeID: node.ID, Addr: node.ManagerStatus.Addr})
		}
	}
	switch err := d.canManage(); {
	case err == nil:
		info.ControlAvailable = true
		info.Cluster = withoutTokens(d.cluster.object)
	case err == errNoLeader:
		info.ControlAvailable, info.Error = true, err.Error()
		info.Cluster = withoutTokens(&swarm.Cluster{})
		info.Nodes, info.Managers = 0, 0
	default:
		info.Nodes, info.Managers = 0, 0
	}
	return info
}

// withoutTokens is the swarm as everything but GET /swarm tells it.
func withoutTokens(cluster *swarm.Cluster) json.RawMessage {
	type answer swarm.Cluster
	encoded, _ := json.Marshal(struct {
		answer
		JoinTokens *swarm.JoinTokens `json:",omitempty"` // hides those of the swarm
	}{answer: answer(*cluster)})
	return encoded
}

// newEngineID is an ID of an engine, whose form has changed.
func (d *Daemon) newEngineID() string {
	if d.release.API < 43 {
		const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
		id := make([]byte, 0, 59)
		for i := range 48 {
			if i > 0 && i%4 == 0 {
				id = append(id, ':')
			}
			id = append(id, digits[d.world.rand.IntN(len(digits))])
		}
		return string(id)
	}
	a, b := d.world.rand.Uint64(), d.world.rand.Uint64()
	return fmt.Sprintf("%08x-%04x-4%03x-a%03x-%012x", a>>32, a>>16&0xffff, a&0xfff, b>>52, b&0xffffffffffff)
}
