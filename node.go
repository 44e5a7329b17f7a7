package swarm

import (
	"bytes"
	"encoding/json"
	"time"
)

// Node is an engine in a swarm: what was asked of it, and what has become of it.
type Node struct {
	// ID is the node's ID: 25 characters, given by the swarm, never reused.
	ID string
	// Version is the state of the node that was read. It moves with every change,
	// also with those that managers make by themselves.
	Version Version
	// CreatedAt is when the node joined.
	CreatedAt time.Time
	// UpdatedAt is when the node last changed, by whomever.
	UpdatedAt time.Time
	// Spec is what the node shall be.
	Spec NodeSpec
	// Description is what the node says of itself. It is empty until the node has
	// spoken to a manager.
	Description NodeDescription
	// Status is what has become of the node.
	Status NodeStatus
	// ManagerStatus is how the other managers see this one. Nil for workers, and
	// for a while after a promotion.
	ManagerStatus *ManagerStatus `json:",omitzero"`
	// Raw is the engine's JSON as received. Updates apply their differences to
	// it, so that fields unknown to this package are kept.
	Raw json.RawMessage `json:"-"`
}

// NodeSpec is what a node shall be.
type NodeSpec struct {
	// Name is a name beside the hostname. Nothing finds a node by it.
	Name string `json:",omitzero"`
	// Labels are key-value pairs on the node, which placement constraints see as
	// node.labels.KEY.
	Labels map[string]string `json:",omitzero"`
	// Role is whether the node runs the swarm. Engines demand one.
	Role NodeRole `json:",omitzero"`
	// Availability is whether the node takes tasks. Engines demand one.
	Availability NodeAvailability `json:",omitzero"`
}

// NodeRole is what a node is in a swarm.
type NodeRole string

// The roles of nodes.
const (
	// RoleWorker runs tasks.
	RoleWorker NodeRole = "worker"
	// RoleManager runs the swarm, and tasks too.
	RoleManager NodeRole = "manager"
)

// NodeAvailability says whether a node takes tasks.
type NodeAvailability string

// The availabilities of nodes.
const (
	// NodeActive takes tasks.
	NodeActive NodeAvailability = "active"
	// NodePause keeps the tasks it has and takes no new ones.
	NodePause NodeAvailability = "pause"
	// NodeDrain takes no tasks; those it has are moved to other nodes.
	NodeDrain NodeAvailability = "drain"
)

// NodeDescription is what a node says of itself.
type NodeDescription struct {
	// Hostname is the node's hostname, by which it is found as by its ID. Two
	// nodes may have the same, as when one has left and come back.
	Hostname string `json:",omitzero"`
	// Platform is what images must be made for to run on the node.
	Platform Platform
	// Resources are what the node has for tasks, used or not.
	Resources NodeResources
	// Engine is the engine that the node runs.
	Engine EngineDescription
	// TLSInfo is the root of trust that the node has, see [Node.TLSStatus]. There
	// since API 1.30.
	TLSInfo TLSInfo
	// CSIInfo are the storage plugins for cluster volumes on the node. The published
	// API document lacks them. There since API 1.42.
	CSIInfo []NodeCSIInfo `json:",omitzero"`
}

// NodeResources are what a node has for tasks.
type NodeResources struct {
	// NanoCPUs is the CPU time in 1e-9 CPUs: two CPUs are 2_000_000_000.
	NanoCPUs int64 `json:",omitzero"`
	// MemoryBytes is how much memory the node has in all.
	MemoryBytes int64 `json:",omitzero"`
	// GenericResources are the things that the engine was configured to offer,
	// such as GPUs. There since API 1.32.
	GenericResources []GenericResource `json:",omitzero"`
}

// EngineDescription is the engine that a node runs.
type EngineDescription struct {
	// EngineVersion is the engine's release, "28.5.2".
	EngineVersion string `json:",omitzero"`
	// Labels are those of the engine's own configuration, which placement
	// constraints see as engine.labels.KEY.
	Labels map[string]string `json:",omitzero"`
	// Plugins are what volumes, networks and logs can use on the node.
	Plugins []PluginDescription `json:",omitzero"`
}

// PluginDescription is a plugin of an engine, built in or installed.
type PluginDescription struct {
	// Type is what the plugin is for: Log, Network, Volume and others.
	Type string `json:",omitzero"`
	// Name is the plugin's name, "overlay".
	Name string `json:",omitzero"`
}

// NodeCSIInfo is a storage plugin for cluster volumes on a node.
type NodeCSIInfo struct {
	// PluginName is the plugin's name.
	PluginName string `json:",omitzero"`
	// NodeID is what the plugin calls the node.
	NodeID string `json:",omitzero"`
	// MaxVolumesPerNode is how many volumes the node takes; zero means that the
	// plugin does not say.
	MaxVolumesPerNode int64 `json:",omitzero"`
	// AccessibleTopology is where the plugin says the node is. Nil means anywhere.
	AccessibleTopology *Topology `json:",omitzero"`
}

// Topology is where something is, in the words of a storage plugin.
type Topology struct {
	// Segments are the parts of the place: {"region": "R1", "zone": "Z2"}.
	Segments map[string]string `json:",omitzero"`
}

// NodeStatus is what has become of a node.
type NodeStatus struct {
	// State is whether the node can be reached.
	State NodeState `json:",omitzero"`
	// Message is why it cannot, "heartbeat failure".
	Message string `json:",omitzero"`
	// Addr is the address the managers know the node by. There since API 1.25.
	Addr string `json:",omitzero"`
}

// NodeState is whether a node can be reached.
type NodeState string

// The states of a node.
const (
	// NodeUnknown is a node of which nothing has been heard since the leader
	// began to lead.
	NodeUnknown NodeState = "unknown"
	// NodeDown is a node that has been silent for too long, or has left. Its tasks
	// are replaced.
	NodeDown NodeState = "down"
	// NodeReady is a node that can be reached.
	NodeReady NodeState = "ready"
	// NodeDisconnected is a node that has said that it goes.
	NodeDisconnected NodeState = "disconnected"
)

// ManagerStatus is how the other managers see one of them.
type ManagerStatus struct {
	// Leader tells that this manager leads the others.
	Leader bool `json:",omitzero"`
	// Reachability is whether the leader reaches it.
	Reachability Reachability `json:",omitzero"`
	// Addr is where it takes joins and talks to the other managers, "10.0.0.1:2377".
	Addr string `json:",omitzero"`
}

// Reachability is whether a manager can be reached by the leader.
type Reachability string

// The reachabilities of a manager.
const (
	// ManagerUnknown has not been tried yet.
	ManagerUnknown Reachability = "unknown"
	// ManagerUnreachable does not count for the majority.
	ManagerUnreachable Reachability = "unreachable"
	// ManagerReachable takes part.
	ManagerReachable Reachability = "reachable"
)

// TLSStatus compares a node's root of trust with that of the swarm, which the
// TLSInfo of the [Cluster] is.
func (n *Node) TLSStatus(cluster TLSInfo) TLSStatus {
	own := n.Description.TLSInfo
	switch {
	case own.isEmpty() || cluster.isEmpty():
		return TLSUnknown
	case own.TrustRoot == cluster.TrustRoot && bytes.Equal(own.CertIssuerSubject, cluster.CertIssuerSubject) &&
		bytes.Equal(own.CertIssuerPublicKey, cluster.CertIssuerPublicKey):
		return TLSReady
	}
	return TLSNeedsRotation
}

func (t TLSInfo) isEmpty() bool {
	return t.TrustRoot == "" && len(t.CertIssuerSubject) == 0 && len(t.CertIssuerPublicKey) == 0
}

// TLSStatus is what "docker node ls" says of a node's certificate.
type TLSStatus string

// The states of a node's certificate.
const (
	// TLSReady: the node trusts the swarm's current root, and its certificate is
	// from there.
	TLSReady TLSStatus = "Ready"
	// TLSNeedsRotation: the root was replaced and the node has not followed yet.
	TLSNeedsRotation TLSStatus = "Needs Rotation"
	// TLSUnknown: the node, or the swarm, does not say.
	TLSUnknown TLSStatus = "Unknown"
)
