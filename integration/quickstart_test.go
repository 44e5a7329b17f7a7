//go:build integration

package integration

import (
	"bytes"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/swarm-go/swarm/integration/engines"
)

// buildQuickstart builds the program once for all tests.
var buildQuickstart = sync.OnceValues(func() (string, error) {
	path := filepath.Join(scratch, "quickstart")
	out, err := exec.Command("go", "build", "-o", path, "../examples/quickstart").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build quickstart: %w: %s", err, out)
	}
	return path, nil
})

// quickstart runs the program; its error holds what it wrote to stderr.
func quickstart(t *testing.T, out io.Writer, args ...string) error {
	t.Helper()
	program, err := buildQuickstart()
	require.NoError(t, err)
	var stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Stdout, cmd.Stderr = out, &stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%w: %s", err, stderr.String())
	}
	return nil
}

func TestQuickstartTellsAServicesLife(t *testing.T) {
	t.Parallel()
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		var out bytes.Buffer
		err := quickstart(t, &out, "-host", e.Host, "-image", engines.Image1, "-next", engines.Image2, "-name", serviceName(t, ""),
			"--", "-lines", "-1", "-every", "50ms")
		require.NoError(t, err, out.String())
		said := out.String()
		for _, line := range []string{"running on the engine at " + e.Host, "engine " + e.Version, "deploying", "2 of 2 tasks run", "stdout ", "scaling to 3", "3 of 3 tasks run",
			"updating the image to " + engines.Image2, "3 of 3 tasks run", "rolling back", "3 of 3 tasks run", "removing", "done"} {
			_, rest, found := strings.Cut(said, line)
			if !assert.True(t, found, "%q does not follow in:\n%s", line, out.String()) {
				break
			}
			said = rest
		}
		_, err = newClient(t, e).Services.Inspect(t.Context(), serviceName(t, ""))
		assert.Error(t, err, "the service is still there")
	})
}

func TestQuickstartSaysWhatIsMissing(t *testing.T) {
	for args, want := range map[string]string{
		"-host unix:///nowhere/docker.sock":   "is the engine running",
		"-host gopher://x":                    "unknown scheme",
		"-host tcp://127.0.0.1:1 -timeout 5s": "no engine at",
	} {
		err := quickstart(t, io.Discard, strings.Fields(args)...)
		assert.ErrorContains(t, err, want, args)
	}
}

func TestQuickstartSaysThatThereIsNoSwarmOrThatItIsLocked(t *testing.T) {
	onEveryOwnEngine(t, func(t *testing.T, e *engines.Engine) {
		assert.ErrorContains(t, quickstart(t, io.Discard, "-host", e.Host), "not in a swarm; make one of it with: docker swarm init")
		client := newClient(t, e)
		require.NoError(t, e.InitSwarm(t.Context()))
		_, err := client.Swarm.AutoLock(t.Context(), true)
		require.NoError(t, err)
		restartLocked(t, e, client)
		assert.ErrorContains(t, quickstart(t, io.Discard, "-host", e.Host), "is locked; unlock it with: docker swarm unlock")
	})
}

func TestQuickstartSaysThatTheEngineIsAWorker(t *testing.T) {
	t.Parallel()
	if withoutLab(t) {
		return
	}
	for _, version := range testEngines() {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			nodes := startMembers(t, version, version)
			formSwarm(t, 1, nodes)
			assert.ErrorContains(t, quickstart(t, io.Discard, "-host", nodes[1].Host), "is a worker; name a manager with -host")
		})
	}
}
