package engine

import (
	"fmt"
	"net/http"
	"time"

	"github.com/swarm-go/swarm"
)

// clusterRoutes are the endpoints of the swarm itself.
var clusterRoutes = []route{
	{method: http.MethodGet, pattern: "/swarm", handle: inspectSwarm},
	{method: http.MethodPost, pattern: "/swarm/init", handle: initSwarm},
	{method: http.MethodPost, pattern: "/swarm/join", handle: joinSwarm},
	{method: http.MethodPost, pattern: "/swarm/leave", handle: leaveSwarm},
	{method: http.MethodPost, pattern: "/swarm/update", handle: updateSwarm},
	{method: http.MethodGet, pattern: "/swarm/unlockkey", handle: inspectUnlockKey},
	{method: http.MethodPost, pattern: "/swarm/unlock", handle: unlockSwarm},
}

// defaultSubnetSize is the length of the prefix of networks' subnets.
const defaultSubnetSize = 24

// defaultSwarmSpec is what a swarm is set up like if nothing else is said.
func defaultSwarmSpec() swarm.SwarmSpec {
	return swarm.SwarmSpec{
		Name:          "default",
		Labels:        map[string]string{},
		Orchestration: swarm.OrchestrationConfig{TaskHistoryRetentionLimit: new(int64(5))},
		Raft: swarm.RaftConfig{
			SnapshotInterval:           10000,
			KeepOldSnapshots:           new(uint64(0)),
			LogEntriesForSlowFollowers: 500,
			ElectionTick:               10,
			HeartbeatTick:              1,
		},
		Dispatcher: swarm.DispatcherConfig{HeartbeatPeriod: 5 * time.Second},
		CAConfig:   swarm.CAConfig{NodeCertExpiry: 90 * 24 * time.Hour},
	}
}

// mergeSwarmSpec takes over what a spec says. What it leaves out stays, but for
// the lock and the counter of rotations.
func mergeSwarmSpec(into *swarm.SwarmSpec, spec swarm.SwarmSpec) error {
	if spec.Name != "" {
		into.Name = spec.Name
	}
	if len(spec.Labels) > 0 {
		into.Labels = spec.Labels
	}
	if limit := spec.Orchestration.TaskHistoryRetentionLimit; limit != nil {
		into.Orchestration.TaskHistoryRetentionLimit = limit
	}
	if spec.Raft.SnapshotInterval != 0 {
		into.Raft.SnapshotInterval = spec.Raft.SnapshotInterval
	}
	if spec.Raft.KeepOldSnapshots != nil {
		into.Raft.KeepOldSnapshots = spec.Raft.KeepOldSnapshots
	}
	if spec.Raft.LogEntriesForSlowFollowers != 0 {
		into.Raft.LogEntriesForSlowFollowers = spec.Raft.LogEntriesForSlowFollowers
	}
	if spec.Raft.ElectionTick != 0 {
		into.Raft.ElectionTick = spec.Raft.ElectionTick
	}
	if spec.Raft.HeartbeatTick != 0 {
		into.Raft.HeartbeatTick = spec.Raft.HeartbeatTick
	}
	if spec.Dispatcher.HeartbeatPeriod != 0 {
		into.Dispatcher.HeartbeatPeriod = spec.Dispatcher.HeartbeatPeriod
	}
	into.EncryptionConfig = spec.EncryptionConfig
	return mergeCAConfig(&into.CAConfig, spec.CAConfig)
}

func mergeCAConfig(into *swarm.CAConfig, config swarm.CAConfig) error {
	if config.NodeCertExpiry != 0 {
		into.NodeCertExpiry = config.NodeCertExpiry
	}
	into.SigningCACert, into.SigningCAKey = config.SigningCACert, config.SigningCAKey
	into.ForceRotate = config.ForceRotate
	for _, ca := range config.ExternalCAs {
		if lower(ca.Protocol) != "cfssl" {
			return fmt.Errorf("invalid protocol: %q", ca.Protocol)
		}
		ca.Protocol = "cfssl"
		into.ExternalCAs = append(into.ExternalCAs, ca)
	}
	return nil
}

// validateSwarmSpec refuses what managers do.
func validateSwarmSpec(spec swarm.SwarmSpec) error {
	if expiry := spec.CAConfig.NodeCertExpiry; expiry != 0 && expiry < time.Hour {
		return invalid("minimum certificate expiry time is: %s", time.Hour)
	}
	if spec.Dispatcher.HeartbeatPeriod < 0 {
		return invalid("heartbeat time period cannot be a negative duration")
	}
	return nil
}

func inspectSwarm(c *call) error {
	var object *swarm.Cluster
	err := c.manage(func(cluster *Cluster) error {
		object = cluster.object
		return nil
	})
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, object)
}

func initSwarm(c *call) error {
	var request initRequest
	if err := c.decode(&request); err != nil {
		return err
	}
	if c.version < 39 {
		request.DefaultAddrPool, request.SubnetSize = nil, 0
	}
	if c.version < 40 {
		request.DataPathPort = 0
	}
	id := ""
	err := c.do(func() (err error) {
		id, err = c.daemon.initSwarm(request)
		return err
	})
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, id)
}

func joinSwarm(c *call) error {
	var request joinRequest
	if err := c.decode(&request); err != nil {
		return err
	}
	return c.done(func() error { return c.daemon.joinSwarm(request) })
}

func leaveSwarm(c *call) error {
	force := c.looseFlag("force")
	if !force {
		c.hopeForLeader()
	}
	return c.done(func() error { return c.daemon.leave(force) })
}

// done runs f under the world's lock and answers with nothing.
func (c *call) done(f func() error) error {
	if err := c.do(f); err != nil {
		return err
	}
	c.w.WriteHeader(http.StatusOK)
	return nil
}

// swarmUpdate is a request to change a swarm.
type swarmUpdate struct {
	version uint64
	spec    swarm.SwarmSpec
	// rotateWorker, rotateManager and rotateKey ask for new tokens and for a new
	// key to unlock managers with.
	rotateWorker, rotateManager, rotateKey bool
}

func updateSwarm(c *call) error {
	var update swarmUpdate
	if err := c.decode(&update.spec); err != nil {
		return err
	}
	version, err := c.versionOf("swarm")
	if err != nil {
		return err
	}
	update.version = version
	for _, rotation := range []struct {
		name string
		flag *bool
	}{
		{"rotateWorkerToken", &update.rotateWorker},
		{"rotateManagerToken", &update.rotateManager},
		{"rotateManagerUnlockKey", &update.rotateKey},
	} {
		if *rotation.flag, err = c.flag(rotation.name); err != nil {
			return refuse(http.StatusBadRequest, "invalid value for %s: %s", rotation.name, c.r.URL.Query().Get(rotation.name))
		}
	}
	if err := c.manage(func(cluster *Cluster) error { return cluster.update(update) }); err != nil {
		return err
	}
	c.w.WriteHeader(http.StatusOK)
	return nil
}

// update gives the swarm another spec, and tokens and keys as it asks for them.
func (c *Cluster) update(update swarmUpdate) error {
	if update.spec.Name != "" && update.spec.Name != "default" {
		return refuse(http.StatusBadRequest, `swarm spec must be named "default"`)
	}
	changed := *c.object
	changed.Spec = swarm.SwarmSpec{
		Name:          "default",
		Labels:        map[string]string{},
		Orchestration: swarm.OrchestrationConfig{TaskHistoryRetentionLimit: new(int64(0))},
		Raft:          swarm.RaftConfig{KeepOldSnapshots: new(uint64(0))},
	}
	if err := mergeSwarmSpec(&changed.Spec, update.spec); err != nil {
		return refuse(http.StatusBadRequest, "%v", err)
	}
	if err := validateSwarmSpec(changed.Spec); err != nil {
		return err
	}
	next, err := c.nextRoot(&changed)
	if err != nil {
		return err
	}
	if update.version != c.object.Version.Index {
		return outOfSequence()
	}
	if update.rotateWorker {
		changed.JoinTokens.Worker = newToken(c.world.rand, changed.TLSInfo)
	}
	if update.rotateManager {
		changed.JoinTokens.Manager = newToken(c.world.rand, changed.TLSInfo)
	}
	c.lock(changed.Spec.EncryptionConfig.AutoLockManagers, update.rotateKey)
	changed.RootRotationInProgress = changed.RootRotationInProgress || next != nil
	c.commit(func(t *tx) { c.putObject(t, &changed) })
	if next != nil {
		c.rotateRoot(*next)
	}
	return nil
}

// lock makes managers ask for a key after a restart, or no longer.
func (c *Cluster) lock(locks, another bool) {
	switch {
	case !locks:
		c.unlockKey = ""
	case c.unlockKey == "" || another:
		c.unlockKey = newUnlockKey(c.world.rand)
	}
}

func inspectUnlockKey(c *call) error {
	key := ""
	err := c.manage(func(cluster *Cluster) error {
		key = cluster.unlockKey
		return nil
	})
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, struct{ UnlockKey string }{key})
}

func unlockSwarm(c *call) error {
	var request struct{ UnlockKey string }
	if err := c.decode(&request); err != nil {
		return err
	}
	return c.done(func() error { return c.daemon.unlock(request.UnlockKey) })
}

// unlock lets a locked manager go on.
func (d *Daemon) unlock(key string) error {
	err := d.isManager()
	switch {
	case err == nil:
		return refuse(http.StatusConflict, "swarm is not locked")
	case !d.locked:
		return err
	case !isUnlockKey(key):
		return refuse(http.StatusBadRequest, "invalid key string")
	case key != d.cluster.unlockKey:
		return refuse(http.StatusUnauthorized, "swarm could not be unlocked: invalid key provided")
	}
	d.locked = false
	d.cluster.hear(d)
	return nil
}
