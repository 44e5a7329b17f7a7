package engine

import (
	"cmp"
	"fmt"
	"net/http"

	"github.com/swarm-go/swarm"
)

// Daemon is the engine of one node: what an API client talks to.
type Daemon struct {
	world   *World
	release *Release
	// hostname is the node's name.
	hostname string
	// address and port are what other nodes reach it by: made up, nothing listens
	// there.
	address string
	port    int
	// labels are the engine's own labels.
	labels map[string]string
	// id is the engine's own, not that of its node.
	id string
	// resources are what there is for tasks, and platform is what they run on.
	resources swarm.NodeResources
	platform  swarm.Platform

	// networks are those of the node alone.
	networks *table[network]

	// volumes are those of the node, by name.
	volumes map[string]*swarm.Volume

	// cluster is the swarm that the daemon is part of, nil if there is none.
	cluster *Cluster
	// nodeID is what the daemon is called there.
	nodeID string
	// locked is true from a restart of an autolocked manager until it is
	// unlocked.
	locked bool
	// down is true while the daemon is stopped.
	down bool
	// stops counts how often it was stopped, and stopping is closed when it is
	// stopped next.
	stops    int
	stopping chan struct{}

	// agent runs the tasks of the node.
	agent *agent
	// logs are what the containers of tasks here have written, by task ID, as
	// long as there are the containers.
	logs map[string]*logbook
	// events are what has happened here, as GET /events tells it.
	events eventLog
	// server takes the connections.
	server *Server
}

// DaemonConfig is how an engine is set up.
type DaemonConfig struct {
	// Release is the engine's. Nil is the newest.
	Release *Release
	// Hostname is the node's name. Empty: one is made up.
	Hostname string
	// Labels are the engine's own labels.
	Labels map[string]string
	// Resources are what there is for tasks. Zero NanoCPUs are 4 CPUs, zero
	// MemoryBytes 8 GiB.
	Resources swarm.NodeResources
	// Platform is what tasks run on. Empty fields are linux and x86_64.
	Platform swarm.Platform
	// Wrap, if set, is what requests go through before the engine answers them.
	// It gets the node's name.
	Wrap func(hostname string, next http.Handler) http.Handler
}

// AddDaemon adds an engine that is in no swarm.
func (w *World) AddDaemon(config DaemonConfig) *Daemon {
	d := &Daemon{
		world:     w,
		release:   cmp.Or(config.Release, ReleaseNewest),
		labels:    config.Labels,
		resources: config.Resources,
		platform: swarm.Platform{
			Architecture: cmp.Or(config.Platform.Architecture, "x86_64"),
			OS:           cmp.Or(config.Platform.OS, "linux"),
		},
		port:     swarmPort,
		networks: newTable("network", networkMeta),
		volumes:  map[string]*swarm.Volume{},
		logs:     map[string]*logbook{},
		stopping: make(chan struct{}),
	}
	d.resources.NanoCPUs = cmp.Or(d.resources.NanoCPUs, 4e9)
	d.resources.MemoryBytes = cmp.Or(d.resources.MemoryBytes, 8<<30)
	d.agent = newAgent(d)
	w.Do(func() {
		number := len(w.daemons) + 1
		d.hostname = cmp.Or(config.Hostname, fmt.Sprintf("node-%d", number))
		d.address = fmt.Sprintf("198.18.%d.%d", number/250, number%250+1)
		d.id = d.newEngineID()
		d.addLocalNetworks()
		w.daemons = append(w.daemons, d)
	})
	var handler http.Handler = d
	if config.Wrap != nil {
		handler = config.Wrap(d.hostname, d)
	}
	d.server = newServer(handler)
	return d
}

// Server is what takes connections for the daemon.
func (d *Daemon) Server() *Server { return d.server }

// Hostname is the node's name.
func (d *Daemon) Hostname() string { return d.hostname }

// NodeID is what the daemon is called in its swarm, empty if it is in none.
func (d *Daemon) NodeID() (id string) {
	d.world.Do(func() { id = d.nodeID })
	return id
}

// Manages reports whether the daemon is a manager that runs, with a leader or
// without.
func (d *Daemon) Manages() (manages bool) {
	d.world.Do(func() { manages = d.managing() })
	return manages
}

// node is the daemon's own object in its swarm, nil if there is none.
func (d *Daemon) node() *swarm.Node {
	if d.cluster == nil {
		return nil
	}
	return d.cluster.nodes.get(d.nodeID)
}

// plugins are what every engine has, by type and name.
var plugins = []swarm.PluginDescription{
	{Type: "Log", Name: "awslogs"}, {Type: "Log", Name: "fluentd"}, {Type: "Log", Name: "gelf"},
	{Type: "Log", Name: "journald"}, {Type: "Log", Name: "json-file"}, {Type: "Log", Name: "local"},
	{Type: "Log", Name: "splunk"}, {Type: "Log", Name: "syslog"},
	{Type: "Network", Name: "bridge"}, {Type: "Network", Name: "host"}, {Type: "Network", Name: "ipvlan"},
	{Type: "Network", Name: "macvlan"}, {Type: "Network", Name: "null"}, {Type: "Network", Name: "overlay"},
	{Type: "Volume", Name: "local"},
}

// description is what the daemon tells managers of itself.
func (d *Daemon) description() swarm.NodeDescription {
	return swarm.NodeDescription{
		Hostname:  d.hostname,
		Platform:  d.platform,
		Resources: d.resources,
		Engine:    swarm.EngineDescription{EngineVersion: d.release.Engine, Labels: d.labels, Plugins: plugins},
	}
}

// managing reports whether the daemon takes part in managing its swarm.
func (d *Daemon) managing() bool {
	node := d.node()
	return node != nil && node.ManagerStatus != nil && !d.locked && !d.down
}

// daemonOf is the daemon of a node, nil if there is none.
func (w *World) daemonOf(nodeID string) *Daemon {
	for _, d := range w.daemons {
		if d.nodeID == nodeID {
			return d
		}
	}
	return nil
}
