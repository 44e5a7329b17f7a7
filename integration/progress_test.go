//go:build integration

package integration

import (
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/swarm-go/swarm/integration/engines"
)

func TestTheProgressProgramShowsARolloutAsLines(t *testing.T) {
	program := filepath.Join(scratch, "progress")
	out, err := exec.Command("go", "build", "-o", program, "../examples/progress").CombinedOutput()
	require.NoError(t, err, "%s", out)
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		client := newClient(t, e)
		spec := testSpec(serviceName(t, ""))
		id := create(t, client, spec)
		out, err := exec.CommandContext(t.Context(), program, "-host", e.Host, "-service", id).CombinedOutput()
		require.NoError(t, err, "%s", out)
		assert.Contains(t, string(out), spec.Name+": 1 of 1 tasks run [done]\n")
	})
}
