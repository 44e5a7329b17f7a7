//go:build integration

package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/swarm-go/swarm"
	"github.com/swarm-go/swarm/integration/engines"
)

// member is an engine of several on one network.
type member struct {
	*engines.Engine
	client *swarm.Client
}

// onNodes runs a test on four fresh engines of each version, which are on one
// network and in no swarm yet. There are none with SWARM_TEST_HOST.
func onNodes(t *testing.T, test func(t *testing.T, nodes []member)) {
	t.Helper()
	if withoutLab(t) {
		return
	}
	t.Parallel()
	for _, version := range testEngines() {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			test(t, startMembers(t, version, version, version, version))
		})
	}
}

// startMembers starts engines that are gone with the test.
func startMembers(t *testing.T, versions ...string) []member {
	t.Helper()
	started, err := lab.StartNodes(t.Context(), fmt.Sprintf("%s-%x", versions[0], time.Now().UnixNano()), versions...)
	require.NoError(t, err)
	nodes := make([]member, len(started))
	for i, e := range started {
		nodes[i] = member{e, newClient(t, e)}
		removeAfter(t, e)
	}
	return nodes
}

// init makes the first node a manager, join the others: managers, then workers.
func formSwarm(t *testing.T, managers int, nodes []member) {
	t.Helper()
	first := nodes[0]
	_, err := first.client.Swarm.Init(t.Context(), &swarm.InitOptions{AdvertiseAddr: first.Addr})
	require.NoError(t, err)
	tokens, err := first.client.Swarm.JoinTokens(t.Context())
	require.NoError(t, err)
	for i, node := range nodes[1:] {
		token := tokens.Worker
		if i+1 < managers {
			token = tokens.Manager
		}
		require.NoError(t, node.client.Swarm.Join(t.Context(), token, []string{first.Addr}, &swarm.JoinOptions{AdvertiseAddr: node.Addr, Wait: true}))
	}
}

// nodeID is the node's ID in its swarm.
func (m member) nodeID(t *testing.T) string {
	t.Helper()
	local, err := m.client.Swarm.LocalState(t.Context())
	require.NoError(t, err)
	require.NotEmpty(t, local.NodeID)
	return local.NodeID
}

func (m member) node(t *testing.T, id string) *swarm.Node {
	t.Helper()
	node, err := m.client.Nodes.Inspect(t.Context(), id)
	require.NoError(t, err)
	return node
}

// eventually waits for what takes a swarm a while.
func eventually(t *testing.T, check func(c *assert.CollectT)) {
	t.Helper()
	require.EventuallyWithT(t, check, 90*time.Second, 200*time.Millisecond)
}

func TestSwarmLifeOfSeveralNodes(t *testing.T) {
	onNodes(t, func(t *testing.T, nodes []member) {
		manager, second, third, worker := nodes[0], nodes[1], nodes[2], nodes[3]
		joinWithEveryOption(t, manager, worker)
		tokens := rotateTokens(t, manager, second, third)
		require.NoError(t, second.client.Swarm.Join(t.Context(), tokens.Manager, []string{manager.Addr + ":2377"},
			&swarm.JoinOptions{AdvertiseAddr: second.Addr, Wait: true}))
		joinAtTheOldestVersion(t, manager, third, tokens.Manager, second.Addr)
		workersAnswerNothing(t, worker)
		rotateRoot(t, nodes)
		drain(t, manager, worker)
		left := leave(t, manager, worker)
		changeRoles(t, manager, third)
		remove(t, manager, left)
	})
}

func joinWithEveryOption(t *testing.T, manager, worker member) {
	_, err := manager.client.Swarm.Init(t.Context(), &swarm.InitOptions{AdvertiseAddr: manager.Addr})
	require.NoError(t, err)
	tokens, err := manager.client.Swarm.JoinTokens(t.Context())
	require.NoError(t, err)
	require.NoError(t, worker.client.Swarm.Join(t.Context(), tokens.Worker, []string{manager.Addr}, &swarm.JoinOptions{
		ListenAddr: "eth0:2378", AdvertiseAddr: worker.Addr, DataPathAddr: "eth0", Availability: swarm.NodePause, Wait: true}))
	id := worker.nodeID(t)
	assert.Equal(t, swarm.NodePause, manager.node(t, id).Spec.Availability)
	local, err := worker.client.Swarm.LocalState(t.Context())
	require.NoError(t, err)
	assert.Equal(t, swarm.LocalActive, local.LocalNodeState)
	assert.False(t, local.ControlAvailable)
	assert.Equal(t, worker.Addr, local.NodeAddr)
	assert.Equal(t, []swarm.RemoteManager{{NodeID: manager.nodeID(t), Addr: manager.Addr + ":2377"}}, local.RemoteManagers)
	require.NoError(t, manager.client.Nodes.Activate(t.Context(), id, nil))
}

// joinAtTheOldestVersion posts every field of a join below the versions that brought
// some of them: engines drop none, as the table of versions says.
func joinAtTheOldestVersion(t *testing.T, manager, node member, token, remote string) {
	require.NoError(t, node.Call(t.Context(), http.MethodPost, "/v1.24/swarm/join", map[string]any{
		"ListenAddr": "eth0:2379", "AdvertiseAddr": node.Addr, "DataPathAddr": "eth0", "Availability": "pause",
		"RemoteAddrs": []string{remote}, "JoinToken": token}, nil))
	id := node.nodeID(t)
	require.Eventually(t, func() bool {
		status := manager.node(t, id).ManagerStatus
		return status != nil && status.Reachability == swarm.ManagerReachable
	}, time.Minute, 100*time.Millisecond)
	joined := manager.node(t, id)
	assert.Equal(t, swarm.NodePause, joined.Spec.Availability)
	assert.Equal(t, node.Addr+":2379", joined.ManagerStatus.Addr)
	require.NoError(t, manager.client.Nodes.Activate(t.Context(), id, nil))
}

// rotateTokens returns the tokens that are good in the end.
func rotateTokens(t *testing.T, manager, second, third member) swarm.JoinTokens {
	old, err := manager.client.Swarm.JoinTokens(t.Context())
	require.NoError(t, err)
	half, err := manager.client.Swarm.RotateJoinTokens(t.Context(), swarm.RoleManager)
	require.NoError(t, err)
	assert.Equal(t, old.Worker, half.Worker)
	assert.NotEqual(t, old.Manager, half.Manager)
	tokens, err := manager.client.Swarm.RotateJoinTokens(t.Context())
	require.NoError(t, err)
	assert.NotEqual(t, half.Worker, tokens.Worker)
	assert.NotEqual(t, half.Manager, tokens.Manager)

	var group sync.WaitGroup // engines take ten seconds to refuse one
	for token, node := range map[string]member{half.Manager: second, old.Worker: third} {
		group.Go(func() {
			err := node.client.Swarm.Join(t.Context(), token, []string{manager.Addr}, &swarm.JoinOptions{AdvertiseAddr: node.Addr})
			assert.ErrorIs(t, err, swarm.ErrInvalid)
			assert.NotContains(t, err.Error(), token)
		})
	}
	group.Wait()
	return tokens
}

func workersAnswerNothing(t *testing.T, worker member) {
	for _, ask := range []func() error{
		func() error { _, err := worker.client.Swarm.Inspect(t.Context()); return err },
		func() error { _, err := worker.client.Swarm.UnlockKey(t.Context()); return err },
		func() error { _, err := worker.client.Services.List(t.Context(), nil); return err },
		func() error { _, err := worker.client.Swarm.RotateJoinTokens(t.Context()); return err },
	} {
		assert.ErrorIs(t, ask(), swarm.ErrNotManager)
	}
	_, err := worker.client.Swarm.Init(t.Context(), nil)
	assert.ErrorIs(t, err, swarm.ErrAlreadyInSwarm)
}

func rotateRoot(t *testing.T, nodes []member) {
	manager := nodes[0]
	before, err := manager.client.Swarm.Inspect(t.Context())
	require.NoError(t, err)
	require.NoError(t, manager.client.Swarm.RotateCA(t.Context(), nil))
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	require.NoError(t, manager.client.Swarm.WaitCA(ctx))
	for _, member := range nodes[:3] {
		after, err := member.client.Swarm.Inspect(t.Context())
		require.NoError(t, err)
		assert.NotEqual(t, before.TLSInfo.TrustRoot, after.TLSInfo.TrustRoot)
		assert.NotEqual(t, before.JoinTokens.Worker, after.JoinTokens.Worker)
	}
	after, err := manager.client.Swarm.Inspect(t.Context())
	require.NoError(t, err)
	list, err := manager.client.Nodes.List(t.Context(), nil)
	require.NoError(t, err)
	require.Len(t, list, 4)
	for _, node := range list {
		assert.Equal(t, swarm.TLSReady, node.TLSStatus(after.TLSInfo))
	}
}

// drain moves the tasks of two nodes to and fro; one of them is the leader, which
// goes on leading.
func drain(t *testing.T, leader, worker member) {
	nodes, client := leader.client.Nodes, leader.client
	ids := map[member]string{leader: leader.nodeID(t), worker: worker.nodeID(t)}
	spec := testSpec("moving", "-linger", "500ms")
	spec.Mode = swarm.Replicated(2)
	spec.TaskTemplate.Placement = &swarm.Placement{Constraints: []string{"node.labels.moving==yes"}}
	for m, id := range ids {
		require.NoError(t, m.LoadImages(t.Context()))
		require.NoError(t, nodes.Modify(t.Context(), id, func(n *swarm.Node) error { n.Spec.Labels = map[string]string{"moving": "yes"}; return nil }))
	}
	running := func(m member) []string {
		tasks, err := client.Tasks.List(t.Context(), &swarm.TaskListOptions{Services: []string{spec.Name}, Nodes: []string{ids[m]}})
		require.NoError(t, err)
		return idsIn(tasks, swarm.TaskRunning)
	}
	change, err := client.Services.Create(t.Context(), spec, nil)
	require.NoError(t, err)
	require.NoError(t, wait(t, client, change.Rollout))
	assert.Len(t, running(worker), 1)
	for _, way := range []struct{ from, to member }{{worker, leader}, {leader, worker}} {
		require.NoError(t, nodes.Drain(t.Context(), ids[way.from], &swarm.NodeDrainOptions{Wait: true}))
		assert.Empty(t, running(way.from))
		eventually(t, func(c *assert.CollectT) { assert.Len(c, running(way.to), 2) })
		assert.True(t, leader.node(t, ids[leader]).ManagerStatus.Leader)
		require.NoError(t, nodes.Activate(t.Context(), ids[way.from], &swarm.NodeActivateOptions{Wait: true}))
	}
	require.NoError(t, client.Services.Remove(t.Context(), change.ID))
}

func changeRoles(t *testing.T, manager, other member) {
	id := other.nodeID(t)
	require.NoError(t, manager.client.Nodes.Demote(t.Context(), id))
	eventually(t, func(c *assert.CollectT) {
		_, err := other.client.Swarm.Inspect(t.Context())
		assert.ErrorIs(c, err, swarm.ErrNotManager)
	})
	require.NoError(t, manager.client.Nodes.Promote(t.Context(), id))
	eventually(t, func(c *assert.CollectT) {
		_, err := other.client.Swarm.Inspect(t.Context())
		assert.NoError(c, err)
	})
}

// leave returns the ID of the node that is no longer there.
func leave(t *testing.T, manager, worker member) string {
	id := worker.nodeID(t)
	assert.ErrorIs(t, manager.client.Nodes.Remove(t.Context(), id, nil), swarm.ErrInvalid, "it is not down")
	require.NoError(t, worker.client.Swarm.Leave(t.Context(), nil))
	local, err := worker.client.Swarm.LocalState(t.Context())
	require.NoError(t, err)
	assert.Equal(t, swarm.LocalInactive, local.LocalNodeState)
	return id
}

func remove(t *testing.T, manager member, id string) {
	eventually(t, func(c *assert.CollectT) { assert.NoError(c, manager.client.Nodes.Remove(t.Context(), id, nil)) })
	_, err := manager.client.Nodes.Inspect(t.Context(), id)
	assert.ErrorIs(t, err, swarm.ErrNotFound)
}

// A swarm that has lost its majority.
func TestSwarmWithoutALeaderSaysSo(t *testing.T) {
	onNodes(t, func(t *testing.T, nodes []member) {
		formSwarm(t, 3, nodes)
		spreadsOverLabelsOnly(t, nodes[0])
		survivor := nodes[2]
		once := newClient(t, survivor.Engine, swarm.WithRetry(swarm.RetryPolicy{ReadAttempts: 1, WriteAttempts: 1}))
		cluster, err := survivor.client.Swarm.Inspect(t.Context())
		require.NoError(t, err)
		require.NoError(t, nodes[0].Kill(t.Context()))
		require.NoError(t, nodes[1].Kill(t.Context()))

		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		cluster.Spec.Labels = map[string]string{"written": "without a leader"}
		err = once.Swarm.Update(ctx, cluster)
		var unknown *swarm.OutcomeUnknownError
		assert.ErrorAs(t, err, &unknown, "the engine waited for a leader and gave up")
		assert.ErrorIs(t, err, swarm.ErrUnavailable)
		var said *swarm.Error
		require.ErrorAs(t, err, &said)
		assert.Equal(t, http.StatusInternalServerError, said.StatusCode)
		assert.Regexp(t, `^(context deadline exceeded|stream terminated by RST_STREAM with error code: CANCEL)$`, said.Message)

		require.EventuallyWithT(t, func(c *assert.CollectT) {
			_, err = once.Swarm.Inspect(ctx)
			assert.ErrorIs(c, err, swarm.ErrNoLeader)
		}, time.Minute, time.Second)
		require.ErrorAs(t, err, &said)
		assert.Equal(t, http.StatusInternalServerError, said.StatusCode)
		assert.Equal(t, "The swarm does not have a leader. It's possible that too few managers are online. "+
			"Make sure more than half of the managers are online.", said.Message)
		_, err = survivor.client.Swarm.Inspect(ctx)
		assert.ErrorIs(t, err, swarm.ErrNoLeader, "also when it was repeated")
		err = survivor.client.Swarm.Update(ctx, cluster)
		assert.ErrorIs(t, err, swarm.ErrNoLeader)
		assert.NotErrorAs(t, err, &unknown, "nothing was done")
		local, err := survivor.client.Swarm.LocalState(ctx)
		require.NoError(t, err)
		assert.True(t, local.ControlAvailable)
		assert.Contains(t, local.Error, "does not have a leader")
		assert.ErrorIs(t, survivor.client.Swarm.Leave(ctx, nil), swarm.ErrInvalid)

		_, err = survivor.client.Swarm.Init(ctx, &swarm.InitOptions{AdvertiseAddr: survivor.Addr, ForceNewCluster: true})
		require.NoError(t, err, "the way out")
		saved, err := survivor.client.Swarm.Inspect(ctx)
		require.NoError(t, err)
		assert.Equal(t, cluster.ID, saved.ID)
	})
}

// nodeLines counts lines of a log by the node that they come from.
type nodeLines struct {
	mu    sync.Mutex
	count map[string]int
}

func (l *nodeLines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, rest, _ := strings.Cut(string(p), "com.docker.swarm.node.id=")
	node, _, _ := strings.Cut(rest, ",")
	l.count[node]++
	return len(p), nil
}

func (l *nodeLines) snapshot() map[string]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.count)
}

// follow reads the log of a service as the engine sends it, until that ends.
func (m member) follow(t *testing.T, service string) (lines *nodeLines, ended <-chan error) {
	lines, end := &nodeLines{count: map[string]int{}}, make(chan error, 1)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "/services/"+service+"/logs?follow=1&stdout=1&details=1", nil)
	require.NoError(t, err)
	response, err := m.client.Do(request)
	require.NoError(t, err)
	go func() {
		defer response.Body.Close()
		end <- swarm.Demux(lines, nil, response.Body)
	}()
	return lines, end
}

// The nodes' sessions with the leader break with a new root, and all that is
// followed breaks off when another manager leads.
func TestFollowedLogsHangOnTheLeader(t *testing.T) {
	onNodes(t, func(t *testing.T, nodes []member) {
		formSwarm(t, 3, nodes)
		for _, node := range nodes {
			require.NoError(t, node.LoadImages(t.Context()))
		}
		leader := nodes[0]
		_, err := leader.client.Services.Create(t.Context(), swarm.ServiceSpec{Name: "talk", Mode: swarm.Global(), TaskTemplate: swarm.TaskSpec{
			ContainerSpec: swarm.ContainerSpec{Image: engines.Image1, Args: []string{"-lines", "-1", "-every", "200ms"}}}}, nil)
		require.NoError(t, err)
		var logs []*nodeLines
		var ends []<-chan error
		for _, asked := range nodes[:2] {
			lines, ended := asked.follow(t, "talk")
			logs, ends = append(logs, lines), append(ends, ended)
			eventually(t, func(c *assert.CollectT) { assert.Len(c, lines.snapshot(), len(nodes)) })
		}

		require.NoError(t, leader.client.Swarm.RotateCA(t.Context(), nil))
		require.NoError(t, leader.client.Swarm.WaitCA(t.Context()))
		id := leader.nodeID(t)
		for _, lines := range logs {
			eventually(t, func(c *assert.CollectT) {
				before := lines.snapshot()
				time.Sleep(2 * time.Second)
				after := lines.snapshot()
				assert.Greater(c, after[id], before[id])
				delete(before, id)
				delete(after, id)
				assert.Equal(c, before, after, "nothing comes from the others")
			})
		}

		require.NoError(t, leader.client.Nodes.Demote(t.Context(), id))
		for _, ended := range ends {
			assert.ErrorContains(t, <-ended, "context canceled")
		}
	})
}

// spreadsOverLabelsOnly shows what Lint says of preferences: three managers and a
// worker get a task each by a preference that is ignored, and the worker two of four
// by one that is not. No task needs to run.
func spreadsOverLabelsOnly(t *testing.T, manager member) {
	t.Helper()
	nodes, err := manager.client.Nodes.List(t.Context(), nil)
	require.NoError(t, err)
	require.Len(t, nodes, 4)
	var worker string
	for _, node := range nodes {
		require.Equal(t, swarm.NodeReady, node.Status.State)
		if node.Spec.Role == swarm.RoleWorker {
			worker = node.ID
		}
	}
	require.NoError(t, manager.client.Nodes.Modify(t.Context(), worker, func(n *swarm.Node) error {
		n.Spec.Labels = map[string]string{"role": "worker"}
		return nil
	}))
	for over, want := range map[string]int{"node.role": 1, "node.labels.role": 2} {
		spec := placementSpec(serviceName(t, strings.ReplaceAll(over, ".", "-")))
		spec.Mode = swarm.Replicated(4)
		spec.TaskTemplate.Placement = &swarm.Placement{Preferences: []swarm.PlacementPreference{swarm.SpreadOver(over)}}
		change, err := manager.client.Services.Create(t.Context(), spec, nil)
		require.NoError(t, err)
		require.EventuallyWithT(t, func(c *assert.CollectT) {
			tasks, err := manager.client.Services.Tasks(t.Context(), change.ID)
			require.NoError(c, err)
			onNode := map[string]int{}
			for _, task := range tasks {
				onNode[task.NodeID]++
			}
			assert.Zero(c, onNode[""], "not placed")
			assert.Equal(c, want, onNode[worker], over)
			assert.Len(c, tasks, 4)
		}, time.Minute, 50*time.Millisecond)
		require.NoError(t, manager.client.Services.Remove(t.Context(), change.ID))
	}
}

func TestSwarmOfSeveralVersionsIsOne(t *testing.T) {
	t.Parallel()
	if withoutLab(t) || len(testEngines()) < 2 {
		return
	}
	versions := testEngines()
	nodes := startMembers(t, append(versions, versions[0])...)
	formSwarm(t, len(versions), nodes)
	for _, manager := range nodes[:len(versions)] {
		cluster, err := manager.client.Swarm.Inspect(t.Context())
		require.NoError(t, err)
		var again swarm.Cluster
		require.NoError(t, json.Unmarshal(cluster.Raw, &again))
		again.Raw = cluster.Raw
		assert.Equal(t, cluster, &again)
		err = manager.client.Swarm.Modify(t.Context(), func(c *swarm.Cluster) error {
			c.Spec.Labels = map[string]string{"by": manager.Version}
			return nil
		})
		require.NoError(t, err)
	}
	require.NoError(t, nodes[0].client.Swarm.RotateCA(t.Context(), nil))
	require.NoError(t, nodes[1].client.Swarm.WaitCA(t.Context()))
}
