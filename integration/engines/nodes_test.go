//go:build integration && linux

package engines

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestNodesAreOneSwarmUntilTheirCableIsCut(t *testing.T) {
	t.Parallel()
	lab, err := Open()
	require.NoError(t, err)
	nodes := startNodes(t, lab, "20.10", "28.5")
	require.NoError(t, FormSwarm(t.Context(), 1, nodes...))
	states := func() []string {
		var list []struct{ Status struct{ State, Addr string } }
		require.NoError(t, nodes[0].Call(t.Context(), http.MethodGet, "/nodes", nil, &list))
		var states []string
		for _, node := range list {
			states = append(states, node.Status.State)
		}
		return states
	}
	eventually := func(want ...string) {
		t.Helper()
		assert.EventuallyWithT(t, func(c *assert.CollectT) { assert.ElementsMatch(c, want, states()) }, time.Minute, 100*time.Millisecond)
	}
	eventually("ready", "ready")
	require.NoError(t, nodes[1].Cut(t.Context()))
	eventually("ready", "down")
	require.NoError(t, nodes[1].Heal(t.Context()))
	eventually("ready", "ready")

	require.NoError(t, nodes[1].Kill(t.Context()))
	require.NoError(t, nodes[1].Start(t.Context()))
	eventually("ready", "ready")

	require.NoError(t, nodes[1].Remove(t.Context()))
	assert.NoDirExists(t, lab.path(nodes[1].Name))
	assert.Len(t, networksOf(lab.Dir()), 2, "the other node and the switch")
	require.NoError(t, lab.Close())
	assert.Empty(t, networksOf(lab.Dir()))
}

func startNodes(t *testing.T, lab *Lab, versions ...string) []*Engine {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	nodes, err := lab.StartNodes(ctx, "n", versions...)
	require.NoError(t, err)
	return nodes
}

// networksOf are the processes that hold the network namespaces of a lab.
func networksOf(dir string) []string {
	var found []string
	all, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range all {
		if cmdline, _ := os.ReadFile(file); regexp.MustCompile(`^` + regexp.QuoteMeta(dir) + `/[^/]+/net\x00`).Match(cmdline) {
			found = append(found, file)
		}
	}
	return found
}
