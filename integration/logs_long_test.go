//go:build integration && long

package integration

import (
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/swarm-go/swarm"
)

// Faults of six kinds befall a swarm while the log of a service is followed. In the
// end every line that is on a disk has come, once.
func TestFollowedLogsLoseNothingUnderFaultsOfSixKinds(t *testing.T) {
	onNodes(t, func(t *testing.T, nodes []member) {
		formSwarm(t, 3, nodes)
		a := newAdversity(t, nodes)
		spec := countingSpec()
		spec.Mode = swarm.Replicated(4)
		spec.UpdateConfig.Parallelism = new(uint64(2))
		id, err := a.client().Services.Create(t.Context(), spec, nil)
		require.NoError(t, err)
		lines := nodes[1].count(t, id.Rollout.ServiceID)
		kinds := a.kinds()
		names := slices.Sorted(maps.Keys(kinds))
		befell := 0
		for range 4 {
			a.random.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
			for _, name := range names {
				a.untilAllIsWell()
				t.Logf("%s: %s", time.Now().Format(time.TimeOnly), name)
				kinds[name]()
				befell++
			}
		}
		a.untilAllIsWell()
		time.Sleep(5 * time.Second)
		there := written(a.t, nodes...)
		lines.have(t, there)
		lines.mu.Lock()
		for key := range lines.last {
			assert.Contains(t, there, key, "it is on no disk")
		}
		assert.Empty(t, lines.gaps, "all is still there")
		lines.mu.Unlock()
		assert.GreaterOrEqual(t, befell, 20)
		lost := a.loseANodeForGood(lines)
		lines.mu.Lock()
		defer lines.mu.Unlock()
		total := 0
		for _, count := range lines.last {
			total += count
		}
		t.Logf("%d lines of %d tasks, %d faults; %d lines went with the last", total, len(lines.at), befell+1, lost)
	})
}

// loseANodeForGood kills a node that never comes back. Lines of its tasks that nobody
// has had are lost with it, and a gap says of which task and since when. It counts them.
func (a *adversity) loseANodeForGood(lines *countedLines) (lost int) {
	a.t.Helper()
	_, err := a.client().Services.Redeploy(a.t.Context(), "counting", nil)
	require.NoError(a.t, err)
	node, id := a.nodes[3], a.ids[3]
	var tasks []swarm.Task
	eventually(a.t, func(c *assert.CollectT) {
		service, err := a.client().Services.Inspect(a.t.Context(), "counting")
		if !assert.NoError(c, err) || !assert.NotNil(c, service.UpdateStatus) || !assert.Equal(c, swarm.UpdateCompleted, service.UpdateStatus.State) {
			return
		}
		tasks, err = a.client().Tasks.List(a.t.Context(), &swarm.TaskListOptions{Nodes: []string{id}, DesiredStates: []swarm.TaskState{swarm.TaskRunning}})
		assert.NoError(c, err)
		assert.NotEmpty(c, tasks)
		lines.mu.Lock()
		defer lines.mu.Unlock()
		for _, task := range tasks {
			assert.Greater(c, lines.last[task.ID+" stdout"], 20)
		}
	})
	require.NoError(a.t, node.Kill(a.t.Context()))
	eventually(a.t, func(c *assert.CollectT) {
		assert.NoError(c, a.client().Nodes.Remove(a.t.Context(), id, &swarm.NodeRemoveOptions{Force: true}))
	})
	eventually(a.t, func(c *assert.CollectT) {
		lines.mu.Lock()
		defer lines.mu.Unlock()
		assert.Len(c, lines.gaps, len(tasks))
	})
	lines.mu.Lock()
	defer lines.mu.Unlock()
	for _, task := range tasks {
		assert.Contains(a.t, lines.gaps, swarm.LogGap{TaskID: task.ID, After: lines.at[task.ID]})
	}
	for key, count := range written(a.t, node) {
		task, _, _ := strings.Cut(key, " ")
		if slices.ContainsFunc(tasks, func(t swarm.Task) bool { return t.ID == task }) {
			lost += count - lines.last[key]
		} else {
			assert.Equal(a.t, count, lines.last[key], "%s", key)
		}
	}
	assert.Empty(a.t, lines.wrong)
	return lost
}

// adversity is what befalls a swarm of three managers and workers.
type adversity struct {
	t      *testing.T
	nodes  []member
	ids    []string
	random *rand.Rand
}

func newAdversity(t *testing.T, nodes []member) *adversity {
	a := &adversity{t: t, nodes: nodes, random: rand.New(rand.NewPCG(6, 24))}
	for _, node := range nodes {
		require.NoError(t, node.LoadImages(t.Context()))
		a.ids = append(a.ids, node.nodeID(t))
	}
	// All logs stay on the disks, also those of tasks that have ended.
	require.NoError(t, nodes[0].RememberTasks(t.Context()))
	return a
}

func (a *adversity) client() *swarm.Client { return a.nodes[1].client }

// kinds are what may happen.
func (a *adversity) kinds() map[string]func() {
	return map[string]func(){
		"the leader is killed": func() {
			leader, _ := leaderOf(a.t, a.nodes[:3])
			a.kill(leader)
		},
		"a node is killed": func() { a.kill(a.nodes[1+a.random.IntN(len(a.nodes)-1)]) },
		"a link is cut": func() {
			node := a.nodes[a.random.IntN(len(a.nodes))]
			require.NoError(a.t, node.Cut(a.t.Context()))
			a.wait(4*time.Second, 22*time.Second) // a node is down after fifteen
			require.NoError(a.t, node.Heal(a.t.Context()))
		},
		"the CA is rotated": func() { require.NoError(a.t, a.client().Swarm.RotateCA(a.t.Context(), nil)) },
		"tasks are rescheduled": func() {
			id := a.ids[a.random.IntN(len(a.ids))]
			require.NoError(a.t, a.client().Nodes.Drain(a.t.Context(), id, nil))
			a.wait(2*time.Second, 5*time.Second)
			require.NoError(a.t, a.client().Nodes.Activate(a.t.Context(), id, nil))
		},
		"the service is updated": func() {
			_, err := a.client().Services.Redeploy(a.t.Context(), "counting", nil)
			require.NoError(a.t, err)
		},
	}
}

// kill kills an engine, and starts it again.
func (a *adversity) kill(node member) {
	require.NoError(a.t, node.Kill(a.t.Context()))
	a.wait(time.Second, 6*time.Second)
	require.NoError(a.t, node.Start(a.t.Context()))
}

func (a *adversity) wait(least, most time.Duration) {
	time.Sleep(least + time.Duration(a.random.Int64N(int64(most-least))))
}

// untilAllIsWell waits until every manager sees all nodes ready, and a task running
// for each replica.
func (a *adversity) untilAllIsWell() {
	a.t.Helper()
	eventually(a.t, func(c *assert.CollectT) {
		for _, manager := range a.nodes[:3] {
			nodes, err := manager.client.Nodes.List(a.t.Context(), nil)
			if !assert.NoError(c, err) {
				return
			}
			for _, node := range nodes {
				assert.Equal(c, swarm.NodeReady, node.Status.State)
				assert.True(c, node.ManagerStatus == nil || node.ManagerStatus.Reachability == swarm.ManagerReachable)
			}
		}
		tasks, err := a.client().Tasks.List(a.t.Context(), &swarm.TaskListOptions{Services: []string{"counting"}})
		assert.NoError(c, err)
		running := slices.DeleteFunc(tasks, func(t swarm.Task) bool {
			return t.Status.State != swarm.TaskRunning || t.DesiredState != swarm.TaskRunning
		})
		assert.Len(c, running, 4)
	})
}
