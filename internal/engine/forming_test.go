package engine

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/swarm-go/swarm"
)

// beside is a client of another daemon in the same world, in no swarm.
func (c *client) beside() *client {
	return &client{c.t, c.daemon.world.AddDaemon(DaemonConfig{Release: c.daemon.release}), c.clock}
}

// joined is a client of another node of the swarm.
func (c *client) joined(role swarm.NodeRole) *client {
	c.t.Helper()
	other := c.beside()
	require.NoError(c.t, other.daemon.JoinSwarm(c.daemon, role, ""))
	return other
}

func TestSwarmsAreJoinedWithTheirTokens(t *testing.T) {
	c := newManager(t, Release285)
	tokens := get[swarm.Cluster](c, "/swarm").JoinTokens
	assert.Regexp(t, `^SWMTKN-1-[0-9a-z]{50}-[0-9a-z]{25}$`, tokens.Worker)
	join := func(other *client, token, addr string) answer {
		return other.do(http.MethodPost, "/swarm/join",
			fmt.Sprintf(`{"ListenAddr":"0.0.0.0:2377","RemoteAddrs":[%q],"JoinToken":%q}`, addr, token))
	}
	other := c.beside()
	wrong := tokens.Worker[:len(tokens.Worker)-3] + "zzz"
	assert.Equal(t, "rpc error: code = InvalidArgument desc = A valid join token is necessary to join this cluster",
		join(other, wrong, c.daemon.advertised()).message())
	assert.Equal(t, "invalid join token", join(other, "nonsense", c.daemon.advertised()).message())
	assert.Equal(t, http.StatusServiceUnavailable, join(other, tokens.Worker, "10.0.0.77:2377").status)

	require.Equal(t, http.StatusOK, join(other, tokens.Worker, c.daemon.advertised()).status)
	require.Equal(t, http.StatusOK, join(c.beside(), tokens.Manager, c.daemon.advertised()).status)
	roles := map[swarm.NodeRole]int{}
	for _, node := range get[[]swarm.Node](c, "/nodes") {
		roles[node.Spec.Role]++
		assert.Equal(t, swarm.NodeReady, node.Status.State)
		assert.Equal(t, node.ID == c.daemon.nodeID, node.ManagerStatus != nil && node.ManagerStatus.Leader)
	}
	assert.Equal(t, map[swarm.NodeRole]int{swarm.RoleManager: 2, swarm.RoleWorker: 1}, roles)
	got := other.do(http.MethodGet, "/services", "")
	assert.Equal(t, http.StatusServiceUnavailable, got.status)
	assert.Equal(t, errWorker.message, got.message())
}

func TestTokensAreRotated(t *testing.T) {
	c := newManager(t, Release285)
	before := get[swarm.Cluster](c, "/swarm")
	spec, err := json.Marshal(before.Spec)
	require.NoError(t, err)
	got := c.do(http.MethodPost, fmt.Sprintf("/swarm/update?version=%d&rotateWorkerToken=true", before.Version.Index), string(spec))
	require.Equal(t, http.StatusOK, got.status, got.body)
	after := get[swarm.Cluster](c, "/swarm")
	assert.NotEqual(t, before.JoinTokens.Worker, after.JoinTokens.Worker)
	assert.Equal(t, before.JoinTokens.Manager, after.JoinTokens.Manager)
	assert.Equal(t, before.Spec, after.Spec)
	assert.Greater(t, after.Version.Index, before.Version.Index)
}

func TestRootsAreRotated(t *testing.T) {
	c := newManager(t, Release285)
	before := get[swarm.Cluster](c, "/swarm")
	changed := before.Spec
	changed.CAConfig.ForceRotate++
	spec, err := json.Marshal(changed)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, c.do(http.MethodPost, fmt.Sprintf("/swarm/update?version=%d", before.Version.Index), string(spec)).status)
	assert.True(t, get[swarm.Cluster](c, "/swarm").RootRotationInProgress)
	c.clock.Advance(rotationTime)
	after := get[swarm.Cluster](c, "/swarm")
	assert.False(t, after.RootRotationInProgress)
	assert.NotEqual(t, before.TLSInfo.TrustRoot, after.TLSInfo.TrustRoot)
	assert.NotEqual(t, before.JoinTokens.Worker, after.JoinTokens.Worker)
	for _, node := range get[[]swarm.Node](c, "/nodes") {
		assert.Equal(t, swarm.TLSReady, node.TLSStatus(after.TLSInfo))
	}
}

func TestLockedManagersAskForTheirKey(t *testing.T) {
	c := newClient(t, Release285)
	_, err := c.daemon.InitSwarm(swarm.InitOptions{AutoLockManagers: true,
		Spec: swarm.SwarmSpec{EncryptionConfig: swarm.EncryptionConfig{AutoLockManagers: true}}})
	require.NoError(t, err)
	key := get[struct{ UnlockKey string }](c, "/swarm/unlockkey").UnlockKey
	assert.Regexp(t, `^SWMKEY-1-[A-Za-z0-9+/]{43}$`, key)
	c.daemon.world.Do(func() { c.daemon.locked = true })
	assert.Equal(t, errLocked.message, c.do(http.MethodGet, "/services", "").message())
	unlock := func(key string) answer {
		return c.do(http.MethodPost, "/swarm/unlock", fmt.Sprintf(`{"UnlockKey":%q}`, key))
	}
	assert.Equal(t, "invalid key string", unlock("nonsense").message())
	other := strings.Replace(key, key[12:13], string('a'+(key[12]+1)%2), 1)
	assert.Equal(t, http.StatusUnauthorized, unlock(other).status)
	assert.Equal(t, "Swarm is encrypted and locked. Please unlock it first or use `--force` to ignore this message.",
		c.do(http.MethodPost, "/swarm/leave", "").message())
	require.Equal(t, http.StatusOK, unlock(key).status)
	assert.Equal(t, http.StatusOK, c.do(http.MethodGet, "/services", "").status)
}

func TestNodesChangeTheirRoles(t *testing.T) {
	c := newManager(t, Release285)
	worker := c.joined(swarm.RoleWorker)
	set := func(id string, role swarm.NodeRole) answer {
		node := get[swarm.Node](c, "/nodes/"+id)
		return c.do(http.MethodPost, fmt.Sprintf("/nodes/%s/update?version=%d", id, node.Version.Index),
			fmt.Sprintf(`{"Role":%q,"Availability":"active"}`, role))
	}
	got := set(c.daemon.nodeID, swarm.RoleWorker)
	assert.Equal(t, "rpc error: code = FailedPrecondition desc = attempting to demote the last manager of the swarm", got.message())
	require.Equal(t, http.StatusOK, set(worker.daemon.nodeID, swarm.RoleManager).status)
	assert.Equal(t, errWorker.message, worker.do(http.MethodGet, "/nodes", "").message(), "it takes a while")
	c.clock.Advance(promotionTime)
	assert.Len(t, get[[]swarm.Node](worker, "/nodes"), 2)

	require.Equal(t, http.StatusOK, set(c.daemon.nodeID, swarm.RoleWorker).status, "another manager leads then")
	c.clock.Advance(demotionTime)
	assert.Equal(t, errWorker.message, c.do(http.MethodGet, "/nodes", "").message())
	assert.True(t, get[swarm.Node](worker, "/nodes/"+worker.daemon.nodeID).ManagerStatus.Leader)
}

func TestNodesLeaveAndAreForgotten(t *testing.T) {
	c := newManager(t, Release285)
	worker := c.joined(swarm.RoleWorker)
	id := worker.daemon.nodeID
	require.Equal(t, http.StatusOK, worker.do(http.MethodPost, "/swarm/leave", "").status)
	assert.Equal(t, errNoManager.message, worker.do(http.MethodGet, "/services", "").message())
	assert.Equal(t, "rpc error: code = FailedPrecondition desc = node "+id+" is not down and can't be removed",
		c.do(http.MethodDelete, "/nodes/"+id, "").message())
	c.clock.Advance(DefaultPace().Heartbeat)
	assert.Equal(t, swarm.NodeDown, get[swarm.Node](c, "/nodes/"+id).Status.State)
	require.Equal(t, http.StatusOK, c.do(http.MethodDelete, "/nodes/"+id, "").status)
	assert.Len(t, get[[]swarm.Node](c, "/nodes"), 1)

	assert.Contains(t, c.do(http.MethodPost, "/swarm/leave", "").message(), "Removing the last manager erases all current state")
	require.Equal(t, http.StatusOK, c.do(http.MethodPost, "/swarm/leave?force=true", "").status)
	assert.Equal(t, errNoSwarm.message, c.do(http.MethodPost, "/swarm/leave", "").message())
}

func TestSwarmsWithoutALeaderAnswerNothing(t *testing.T) {
	c := newManager(t, Release285)
	second := c.joined(swarm.RoleManager)
	assert.Contains(t, second.do(http.MethodPost, "/swarm/leave", "").message(), "Removing this node leaves 1 managers out of 2")
	require.NoError(t, c.daemon.LeaveSwarm(true))
	c.clock.Advance(c.daemon.world.Pace.GiveUp)
	for _, path := range []string{"/services", "/tasks", "/nodes", "/swarm", "/secrets", "/configs", "/swarm/unlockkey"} {
		got := second.do(http.MethodGet, path, "")
		assert.Equal(t, http.StatusInternalServerError, got.status)
		assert.Equal(t, errNoLeader.message, got.message())
	}
	got := second.do(http.MethodPost, "/swarm/init", `{"ListenAddr":"0.0.0.0:2377","ForceNewCluster":true}`)
	require.Equal(t, http.StatusOK, got.status, got.body)
	assert.Len(t, get[[]swarm.Node](second, "/nodes"), 2)
}

func TestTheSameSeedMakesTheSameSwarm(t *testing.T) {
	first, second := newManager(t, Release285), newManager(t, Release285)
	assert.Equal(t, first.do(http.MethodGet, "/swarm", "").body, second.do(http.MethodGet, "/swarm", "").body)
}
