package engine

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/swarm-go/swarm"
)

// swarmPort is where managers talk to each other if nothing else is said.
const swarmPort = 2377

// initRequest is what a swarm is made with.
type initRequest struct {
	ListenAddr       string
	AdvertiseAddr    string
	DataPathAddr     string
	DataPathPort     uint32
	DefaultAddrPool  []string
	SubnetSize       uint32
	ForceNewCluster  bool
	Spec             swarm.SwarmSpec
	AutoLockManagers bool
	Availability     swarm.NodeAvailability
}

// joinRequest is what a swarm is joined with.
type joinRequest struct {
	ListenAddr    string
	AdvertiseAddr string
	DataPathAddr  string
	RemoteAddrs   []string
	JoinToken     string
	Availability  swarm.NodeAvailability
}

// InitSwarm makes a swarm of the daemon alone, and returns its node's ID.
func (d *Daemon) InitSwarm(options swarm.InitOptions) (nodeID string, err error) {
	request := initRequest{
		ListenAddr:       options.ListenAddr,
		AdvertiseAddr:    options.AdvertiseAddr,
		DataPathAddr:     options.DataPathAddr,
		DataPathPort:     options.DataPathPort,
		SubnetSize:       options.SubnetSize,
		ForceNewCluster:  options.ForceNewCluster,
		Spec:             options.Spec,
		AutoLockManagers: options.AutoLockManagers,
		Availability:     options.Availability,
	}
	for _, pool := range options.DefaultAddrPool {
		request.DefaultAddrPool = append(request.DefaultAddrPool, pool.String())
	}
	if request.ListenAddr == "" {
		request.ListenAddr = "0.0.0.0"
	}
	d.world.Do(func() { nodeID, err = d.initSwarm(request) })
	return nodeID, err
}

// JoinSwarm makes the daemon a node of the swarm that another one manages.
func (d *Daemon) JoinSwarm(manager *Daemon, role swarm.NodeRole, availability swarm.NodeAvailability) (err error) {
	d.world.Do(func() {
		if err = manager.canManage(); err != nil {
			return
		}
		tokens := manager.cluster.object.JoinTokens
		token := tokens.Worker
		if role == swarm.RoleManager {
			token = tokens.Manager
		}
		err = d.joinSwarm(joinRequest{
			ListenAddr:   "0.0.0.0",
			RemoteAddrs:  []string{manager.advertised()},
			JoinToken:    token,
			Availability: availability,
		})
	})
	return err
}

// LeaveSwarm takes the daemon out of its swarm. Force does so without regard to
// what becomes of the swarm.
func (d *Daemon) LeaveSwarm(force bool) (err error) {
	d.world.Do(func() { err = d.leave(force) })
	return err
}

func (d *Daemon) advertised() string {
	return net.JoinHostPort(d.address, strconv.Itoa(d.port))
}

// The refusals of a daemon that is not where a request needs it to be.
var (
	errNoSwarm   = refuse(http.StatusServiceUnavailable, "This node is not part of a swarm")
	errInSwarm   = refuse(http.StatusServiceUnavailable, `This node is already part of a swarm. Use "docker swarm leave" to leave this swarm and join another one.`)
	errNoManager = refuse(http.StatusServiceUnavailable, `This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node to swarm and try again.`)
	errWorker    = refuse(http.StatusServiceUnavailable, "This node is not a swarm manager. Worker nodes can't be used to view or modify cluster state. Please run this command on a manager node or promote the current node to a manager.")
	errLocked    = refuse(http.StatusServiceUnavailable, `Swarm is encrypted and needs to be unlocked before it can be used. Please use "docker swarm unlock" to unlock it.`)
	errLate      = fromManager(http.StatusInternalServerError, "DeadlineExceeded", "context deadline exceeded", nil)
	errNoLeader  = unknown("The swarm does not have a leader. It's possible that too few managers are online. Make sure more than half of the managers are online.")
)

// canManage refuses requests about a swarm that the daemon cannot answer.
func (d *Daemon) canManage() error {
	if err := d.isManager(); err != nil {
		return err
	}
	if d.cluster.leader == "" {
		return errNoLeader
	}
	return nil
}

// isManager refuses what only managers do.
func (d *Daemon) isManager() error {
	switch {
	case d.cluster == nil:
		return errNoManager
	case d.locked:
		return errLocked
	case d.node() == nil || d.node().ManagerStatus == nil:
		return errWorker
	}
	return nil
}

// initSwarm makes a swarm of the daemon alone, in place of the one it has if that
// is wanted.
func (d *Daemon) initSwarm(request initRequest) (nodeID string, err error) {
	if d.cluster != nil {
		if !request.ForceNewCluster {
			return "", errInSwarm
		}
		if d.node() == nil || d.node().ManagerStatus == nil {
			return "", errWorker
		}
		return d.nodeID, d.cluster.forceNew(d)
	}
	if err := checkInit(&request); err != nil {
		return "", err
	}
	if err := d.listen(request.ListenAddr, request.AdvertiseAddr); err != nil {
		return "", err
	}
	cluster := newCluster(d.world)
	if err := cluster.found(&request); err != nil {
		return "", err
	}
	d.enter(cluster, swarm.RoleManager, request.Availability)
	cluster.electFrom(func(*swarm.Node) bool { return true })
	return d.nodeID, nil
}

func checkInit(request *initRequest) error {
	if request.ListenAddr == "" {
		return refuse(http.StatusBadRequest, `invalid ListenAddr "": invalid empty address`)
	}
	if request.Spec.Name != "" && request.Spec.Name != "default" {
		return refuse(http.StatusBadRequest, `swarm spec must be named "default"`)
	}
	if err := checkDataPath(request.DataPathAddr); err != nil {
		return err
	}
	if err := checkAddrPool(request.DefaultAddrPool, request.SubnetSize); err != nil {
		return err
	}
	if port := request.DataPathPort; port != 0 && (port < 1024 || port > 49151) {
		return refuse(http.StatusInternalServerError, "Datapath port number is not in valid range (1024-49151) : %d", port)
	}
	return nil
}

func checkAddrPool(pools []string, size uint32) error {
	if size == 0 {
		size = defaultSubnetSize
	}
	if pools != nil && size > 29 {
		return refuse(http.StatusInternalServerError, "subnet size is out of range: %d", size)
	}
	for i, text := range pools {
		text = strings.TrimSpace(text)
		pools[i] = text
		_, pool, err := net.ParseCIDR(text)
		if err != nil {
			return refuse(http.StatusInternalServerError, "invalid base pool %s: %v", text, err)
		}
		if ones, _ := pool.Mask.Size(); int(size) < ones {
			return refuse(http.StatusInternalServerError, "invalid CIDR: %q. Subnet size is too small for pool: %d", text, size)
		}
	}
	return nil
}

func checkDataPath(addr string) error {
	if addr == "" {
		return nil
	}
	if _, err := resolveHost(addr, false); err != nil {
		return refuse(http.StatusBadRequest,
			"data path address must be a non-zero IP address or network interface (without a port number)")
	}
	return nil
}

// listen takes the addresses that other nodes know the daemon by.
func (d *Daemon) listen(listen, advertise string) error {
	if !strings.Contains(listen, ":") {
		listen = net.JoinHostPort(listen, strconv.Itoa(swarmPort))
	}
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return refuse(http.StatusBadRequest, "could not parse listen address %s", listen)
	}
	if _, err := resolveHost(host, true); err != nil {
		return refuse(http.StatusBadRequest,
			"listen address must be an IP address or network interface (with optional port number)")
	}
	if advertise != "" {
		host, advertisedPort, err := net.SplitHostPort(advertise)
		if err != nil {
			host, advertisedPort = advertise, port
		}
		addr, err := resolveHost(host, false)
		if err != nil {
			return refuse(http.StatusBadRequest,
				"advertise address must be a non-zero IP address or network interface (with optional port number)")
		}
		d.address, port = addr, advertisedPort
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return refuse(http.StatusBadRequest, "could not parse listen address %s", listen)
	}
	d.port = int(number)
	return nil
}

// resolveHost is the address that is meant by an address. Nodes have no network
// interfaces whose names could be meant.
func resolveHost(host string, unspecified bool) (string, error) {
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return "", err
	}
	if addr.IsUnspecified() && !unspecified {
		return "", fmt.Errorf("%s stands for any address", addr)
	}
	return addr.String(), nil
}

// found fills a new swarm with all that swarms begin with.
func (c *Cluster) found(request *initRequest) error {
	root, err := newAuthority(c.world.rand, c.world.now())
	if err != nil {
		return err
	}
	object := &swarm.Cluster{
		ID:              c.world.newID(),
		Spec:            defaultSwarmSpec(),
		TLSInfo:         root,
		DefaultAddrPool: []string{"10.0.0.0/8"},
		SubnetSize:      defaultSubnetSize,
		DataPathPort:    4789,
		CreatedAt:       c.world.now(),
	}
	if len(request.DefaultAddrPool) > 0 {
		object.DefaultAddrPool = request.DefaultAddrPool
	}
	if request.SubnetSize != 0 {
		object.SubnetSize = request.SubnetSize
	}
	if request.DataPathPort != 0 {
		object.DataPathPort = request.DataPathPort
	}
	object.JoinTokens.Worker = newToken(c.world.rand, root)
	object.JoinTokens.Manager = newToken(c.world.rand, root)
	if err := mergeSwarmSpec(&object.Spec, request.Spec); err != nil {
		return refuse(http.StatusInternalServerError, "error updating cluster settings: %v", err)
	}
	if err := validateSwarmSpec(object.Spec); err != nil {
		return refuse(http.StatusInternalServerError, "error updating cluster settings: %v", err)
	}
	c.lock(object.Spec.EncryptionConfig.AutoLockManagers, false)
	c.commit(func(t *tx) { c.putObject(t, object) })
	c.commit(c.addFirstNetworks)
	return nil
}

// enter makes the daemon a node of a swarm.
func (d *Daemon) enter(c *Cluster, role swarm.NodeRole, availability swarm.NodeAvailability) {
	if availability == "" {
		availability = swarm.NodeActive
	}
	node := &swarm.Node{
		ID:          c.world.newID(),
		Spec:        swarm.NodeSpec{Labels: map[string]string{}, Role: role, Availability: availability},
		Description: d.description(),
		Status:      swarm.NodeStatus{State: swarm.NodeReady, Addr: d.address},
	}
	node.Description.TLSInfo = c.object.TLSInfo
	if role == swarm.RoleManager {
		node.ManagerStatus = managerStatus(d.advertised())
	}
	d.cluster, d.nodeID = c, node.ID
	d.addGateway()
	c.commit(func(t *tx) { put(t, c.nodes, node) })
}

// joinSwarm makes the daemon a node of the swarm that it finds at an address.
func (d *Daemon) joinSwarm(request joinRequest) error {
	if d.cluster != nil {
		return errInSwarm
	}
	if request.ListenAddr == "" {
		return refuse(http.StatusBadRequest, `invalid ListenAddr "": invalid empty address`)
	}
	if len(request.RemoteAddrs) == 0 {
		return refuse(http.StatusBadRequest, "at least 1 RemoteAddr is required to join")
	}
	for _, addr := range request.RemoteAddrs {
		if addr == "" {
			return refuse(http.StatusBadRequest, `invalid remoteAddr "": invalid empty address`)
		}
	}
	if err := checkDataPath(request.DataPathAddr); err != nil {
		return err
	}
	digest, _, ok := parseToken(request.JoinToken)
	if !ok {
		return refuse(http.StatusInternalServerError, "invalid join token")
	}
	manager := d.world.managerAt(request.RemoteAddrs[0])
	if manager == nil {
		return refuse(http.StatusServiceUnavailable, "Timeout was reached before node joined. The attempt to join the swarm will continue in the background. "+
			`Use the "docker info" command to see the current swarm status of your node.`)
	}
	cluster := manager.cluster
	if cluster.leader == "" {
		return errNoLeader
	}
	if digest != rootDigest(cluster.object.TLSInfo) {
		return refuse(http.StatusInternalServerError, "remote CA does not match fingerprint. Expected: %s", digest)
	}
	role := swarm.RoleWorker
	switch request.JoinToken {
	case cluster.object.JoinTokens.Worker:
	case cluster.object.JoinTokens.Manager:
		role = swarm.RoleManager
	default:
		return invalid("A valid join token is necessary to join this cluster")
	}
	advertise := request.AdvertiseAddr
	if _, err := resolveHost(advertise, false); err != nil {
		advertise = ""
	}
	if err := d.listen(request.ListenAddr, advertise); err != nil {
		return err
	}
	d.enter(cluster, role, request.Availability)
	return nil
}

// managerAt is the manager that listens at an address, with or without its port.
func (w *World) managerAt(addr string) *Daemon {
	at := func(d *Daemon) bool {
		return d.managing() && (d.advertised() == addr || d.address == addr)
	}
	if i := slices.IndexFunc(w.daemons, at); i >= 0 {
		return w.daemons[i]
	}
	return nil
}

// leave takes the daemon out of its swarm.
func (d *Daemon) leave(force bool) error {
	if d.cluster == nil {
		return errNoSwarm
	}
	if d.locked && !force {
		return refuse(http.StatusServiceUnavailable,
			"Swarm is encrypted and locked. Please unlock it first or use `--force` to ignore this message.")
	}
	node := d.node()
	if node != nil && node.ManagerStatus != nil && !force {
		return refuse(http.StatusServiceUnavailable, "%s", d.leaveWarning())
	}
	cluster, id := d.cluster, d.nodeID
	d.agent.leave()
	d.cluster, d.nodeID, d.locked = nil, "", false
	cluster.lose(id)
	return nil
}

// leaveWarning says what a manager's leaving means.
func (d *Daemon) leaveWarning() string {
	text := "You are attempting to leave the swarm on a node that is participating as a manager. "
	const rest = "The only way to restore a swarm that has lost consensus is to reinitialize it with `--force-new-cluster`. " +
		"Use `--force` to suppress this message."
	if d.cluster.leader == "" {
		return text + rest
	}
	reachable, unreachable := 0, 0
	for _, node := range d.cluster.nodes.all() {
		switch status := node.ManagerStatus; {
		case status == nil:
		case status.Reachability == swarm.ManagerReachable:
			reachable++
		case status.Reachability == swarm.ManagerUnreachable:
			unreachable++
		}
	}
	switch {
	case reachable == 1 && unreachable == 0:
		return text + "Removing the last manager erases all current state of the swarm. Use `--force` to ignore this message. "
	case reachable-2 < (reachable+unreachable)/2:
		text += fmt.Sprintf("Removing this node leaves %d managers out of %d. Without a Raft quorum your swarm will be inaccessible. ",
			reachable-1, reachable+unreachable)
	}
	return text + rest
}

// lose is what a swarm sees of a node that is gone: a manager is at once out of
// reach, and after some silence the node is down.
func (c *Cluster) lose(id string) {
	node := c.nodes.get(id)
	if node == nil {
		return
	}
	if node.ManagerStatus != nil {
		gone := *node
		gone.ManagerStatus = new(*node.ManagerStatus)
		gone.ManagerStatus.Reachability = swarm.ManagerUnreachable
		c.commit(func(t *tx) { put(t, c.nodes, &gone) })
		if c.leader == id || !c.canAgree() {
			c.electFrom(func(*swarm.Node) bool { return c.canAgree() })
		}
	}
	c.world.after(c.world.Pace.Heartbeat, func() { c.setNodeStatus(id, swarm.NodeDown, "heartbeat failure") })
}

// forceNew makes a swarm whose only manager is a daemon's node out of what is
// left of one.
func (c *Cluster) forceNew(d *Daemon) error {
	c.commit(func(t *tx) {
		for _, node := range c.nodes.all() {
			if node.ID == d.nodeID || node.ManagerStatus == nil {
				continue
			}
			worker := *node
			worker.ManagerStatus, worker.Spec.Role = nil, swarm.RoleWorker
			put(t, c.nodes, &worker)
		}
	})
	c.electFrom(func(n *swarm.Node) bool { return n.ID == d.nodeID })
	return nil
}
