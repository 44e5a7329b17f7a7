package swarmtest_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/swarm-go/swarm"
	"github.com/swarm-go/swarm/swarmtest"
)

// where counts the running tasks by the node they run on.
func where(t *testing.T, client *swarm.Client, engine *swarmtest.Engine) map[string]int {
	t.Helper()
	tasks, err := client.Tasks.List(t.Context(), nil)
	require.NoError(t, err)
	count := map[string]int{}
	for _, node := range engine.Nodes() {
		for _, task := range tasks {
			if task.NodeID == node.ID() && task.DesiredState == swarm.TaskRunning && task.Status.State == swarm.TaskRunning {
				count[node.Name()]++
			}
		}
	}
	return count
}

func TestNodesComeAndGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engine := swarmtest.Start(t)
		client := engine.Client()
		worker, err := engine.AddNode(swarmtest.NodeOptions{
			Name:         "fast",
			EngineLabels: map[string]string{"disk": "ssd"},
			Resources:    swarm.NodeResources{NanoCPUs: 64e9},
			Platform:     swarm.Platform{Architecture: "aarch64"},
		})
		require.NoError(t, err)
		node, err := client.Nodes.Inspect(t.Context(), worker.ID())
		require.NoError(t, err)
		assert.Equal(t, "fast", node.Description.Hostname)
		assert.Equal(t, map[string]string{"disk": "ssd"}, node.Description.Engine.Labels)
		assert.Equal(t, swarm.NodeResources{NanoCPUs: 64e9, MemoryBytes: 8 << 30}, node.Description.Resources)
		assert.Equal(t, swarm.Platform{Architecture: "aarch64", OS: "linux"}, node.Description.Platform)

		change, err := client.Services.Create(t.Context(), web(), nil)
		require.NoError(t, err)
		require.NoError(t, client.Services.Wait(t.Context(), change.Rollout, nil))
		assert.Equal(t, map[string]int{"node-1": 1, "fast": 1}, where(t, client, engine))
		require.NoError(t, client.Nodes.Drain(t.Context(), worker.ID(), nil))
		time.Sleep(time.Minute)
		assert.Equal(t, map[string]int{"node-1": 2}, where(t, client, engine))
		require.NoError(t, client.Nodes.Activate(t.Context(), worker.ID(), nil))

		worker.Stop()
		time.Sleep(time.Minute)
		node, err = client.Nodes.Inspect(t.Context(), worker.ID())
		require.NoError(t, err)
		assert.Equal(t, swarm.NodeDown, node.Status.State)
		require.NoError(t, worker.Start())
		time.Sleep(time.Second)
		node, err = client.Nodes.Inspect(t.Context(), worker.ID())
		require.NoError(t, err)
		assert.Equal(t, swarm.NodeReady, node.Status.State)
	})
}

func TestASwarmWithoutALeaderLetsNobodyIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engine := swarmtest.Start(t, swarmtest.WithNodes(2, 0))
		engine.Nodes()[0].Stop()
		_, err := engine.AddNode(swarmtest.NodeOptions{})
		assert.ErrorContains(t, err, "does not have a leader")
		assert.Len(t, engine.Nodes(), 2, "nobody is let in")
	})
}

func TestASwarmWithoutManagersThatRunLetsNobodyIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engine := swarmtest.Start(t, swarmtest.WithNodes(1, 1))
		engine.Nodes()[0].Stop()
		_, err := engine.AddNode(swarmtest.NodeOptions{})
		assert.ErrorContains(t, err, "no manager of the swarm runs")
		assert.Len(t, engine.Nodes(), 2)
		require.NoError(t, engine.Nodes()[0].Start())
		added, err := engine.AddNode(swarmtest.NodeOptions{})
		require.NoError(t, err)
		assert.NotEmpty(t, added.ID())
	})
}

func TestNodesAreAddedOutsideSwarms(t *testing.T) {
	engine := swarmtest.Start(t, swarmtest.WithoutSwarm())
	added, err := engine.AddNode(swarmtest.NodeOptions{})
	require.NoError(t, err)
	assert.Empty(t, added.ID())
	assert.Len(t, engine.Nodes(), 2)
}

func TestNodesThatRefuseConnectionsRunOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engine := swarmtest.Start(t, swarmtest.WithNodes(2, 0))
		first, second := engine.Nodes()[0], engine.Nodes()[1]
		change, err := second.Client().Services.Create(t.Context(), web(), nil)
		require.NoError(t, err)
		require.NoError(t, second.Client().Services.Wait(t.Context(), change.Rollout, nil))
		before := where(t, second.Client(), engine)
		first.RefuseConnections()
		_, err = first.Client(once).Services.List(t.Context(), nil)
		require.ErrorIs(t, err, swarm.ErrUnreachable)
		time.Sleep(time.Minute)
		assert.Equal(t, before, where(t, second.Client(), engine))
		require.NoError(t, first.AcceptConnections())
		assert.Equal(t, before, where(t, first.Client(), engine))
	})
}
