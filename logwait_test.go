package swarm_test

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/swarm-go/swarm"
	"github.com/swarm-go/swarm/swarmtest"
)

// linesOf reads a log to its end.
func linesOf(t *testing.T, client *swarm.Client) (byNode map[string]int, err error) {
	t.Helper()
	logs, err := client.Services.Logs(t.Context(), "web", nil)
	require.NoError(t, err)
	byNode = map[string]int{}
	for entry, err := range logs.Entries() {
		if err != nil {
			return byNode, err
		}
		byNode[entry.NodeID]++
	}
	return byNode, nil
}

// Engines of 20.10 wait without end for a node that is down.
func TestLogsOfNodesThatDoNotAnswerEndWithTheirNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engine, client := ticking(t, swarmtest.WithRelease(swarmtest.Engine2010), swarmtest.WithNodes(1, 2))
		time.Sleep(10500 * time.Millisecond)
		lost := engine.Nodes()[2].ID()
		tasks, err := client.Tasks.List(t.Context(), &swarm.TaskListOptions{Nodes: []string{lost}})
		require.NoError(t, err)
		engine.Nodes()[2].Stop()
		time.Sleep(time.Minute)
		lines, err := linesOf(t, client)
		assert.ErrorIs(t, err, swarm.ErrLogsIncomplete)
		assert.NotErrorIs(t, err, swarm.ErrUnavailable)
		var incomplete *swarm.LogsIncompleteError
		require.ErrorAs(t, err, &incomplete)
		assert.Equal(t, swarm.LogsIncompleteError{Nodes: []string{lost}, Tasks: []string{tasks[0].ID}}, *incomplete)
		assert.Equal(t, map[string]int{engine.Nodes()[0].ID(): 70, engine.Nodes()[1].ID(): 70}, lines)
	})
}

func TestSlowLogsAreWaitedForAsLongAsAllNodesAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engine, client := ticking(t, swarmtest.WithNodes(1, 1))
		time.Sleep(10500 * time.Millisecond)
		engine.Inject(swarmtest.Fault{Path: "/services/*/logs", Effect: func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "application/vnd.docker.multiplexed-stream")
				require.NoError(t, http.NewResponseController(w).Flush())
				time.Sleep(10 * time.Minute)
				next.ServeHTTP(w, r)
			})
		}})
		lines, err := linesOf(t, client)
		require.NoError(t, err)
		assert.Equal(t, map[string]int{engine.Nodes()[0].ID(): 610, engine.Nodes()[1].ID(): 610}, lines)
	})
}

func TestLogsThatNobodyReadsAreLeftAloneUntilClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engine, client := ticking(t, swarmtest.WithRelease(swarmtest.Engine2010), swarmtest.WithNodes(1, 1))
		time.Sleep(10500 * time.Millisecond)
		engine.Nodes()[1].Stop()
		time.Sleep(time.Minute)
		logs, err := client.Services.Logs(t.Context(), "web", nil)
		require.NoError(t, err)
		requests := len(engine.Requests())
		time.Sleep(10 * time.Minute)
		assert.Len(t, engine.Requests(), requests)
		entry, err := logs.Next()
		require.NoError(t, err)
		assert.Equal(t, "node-1 1", entry.Text)
		require.NoError(t, logs.Close())
		_, err = logs.Next()
		assert.ErrorIs(t, err, swarm.ErrClosed)
	})
}
