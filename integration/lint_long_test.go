//go:build integration && long

package integration

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/swarm-go/swarm"
	"github.com/swarm-go/swarm/integration/engines"
)

func TestEnginesUpdateAsLintSays(t *testing.T) {
	t.Parallel()
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		assertFound(t, e, withSecretAndConfig(t, e), func(f found) bool { return f.Then != "" })
	})
}

func TestEnginesCrashWhereLintSaysSo(t *testing.T) {
	hints := readHints(t, "lint.json")
	onEveryOwnEngine(t, func(t *testing.T, first *engines.Engine) {
		version, _, _ := strings.Cut(first.Name, "-")
		for _, h := range hints {
			for _, f := range h.Found {
				if f.Crash == "" || !f.isOf(first) {
					continue
				}
				e := ownEngine(t, version)
				require.NoError(t, errors.Join(e.InitSwarm(t.Context()), e.LoadImages(t.Context())))
				s := merged(t, f.Spec, strings.NewReplacer())
				runnable(&s, serviceName(t, h.ID))
				createUnchecked(t, e, f.API, s)
				require.Eventually(t, func() bool { return e.Crash() != "" }, time.Minute, 100*time.Millisecond, h.ID)
				assert.Contains(t, e.Crash(), f.Crash)
			}
		}
	})
}

// runsElsewhere are what accepted specs have in them that run elsewhere only.
var runsElsewhere = map[string]string{
	`"GenericResources"`:         "on a node that has the resource",
	`"node.labels.a==b"`:         "on a node that has the label",
	`"node.ip!=10.0.0.0/8"`:      "on a node with another address",
	`C:`:                         "on Windows",
	`"wheel"`:                    "in an image that has the group",
	`"Source": "{{.Task.Slot}}"`: "as the tenth task and those after it",
}

func runsHere(spec []byte) bool {
	for part := range runsElsewhere {
		if strings.Contains(string(spec), part) {
			return false
		}
	}
	return true
}

// Of what Lint finds nothing in, nodes do not say what they say of what it finds.
func TestNodesTakeWhatLintFindsNothingIn(t *testing.T) {
	t.Parallel()
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		client, ids := newClient(t, e), withSecretAndConfig(t, e)
		complaints := map[string][]string{} // by the ID of a service
		for _, h := range readHints(t, "lint.json") {
			said := h.complaints(e)
			if len(said) == 0 {
				continue
			}
			for i, spec := range h.Accepted {
				s := merged(t, spec, ids)
				if len(s.Lint(e.APIVersion)) > 0 || !runsHere(spec) {
					continue // newer than the engine, or for others
				}
				runnable(&s, serviceName(t, fmt.Sprintf("%s-%d", h.ID, i)))
				complaints[createUnchecked(t, e, "", s)] = said
			}
		}
		require.Greater(t, len(complaints), 15)
		for id, said := range complaints {
			task := settledTask(t, client, id)
			for _, text := range said {
				assert.NotContains(t, task.Status.Err, text, "%s: %s", task.Status.State, asJSON(t, task.Spec))
			}
		}
	})
}

// complaints are what an engine says of tasks of what the hint finds.
func (h hint) complaints(e *engines.Engine) (said []string) {
	for _, f := range h.Found {
		if f.Task != "" && f.Then == "" && f.isOf(e) {
			said = append(said, f.Task)
		}
	}
	return said
}

// settledTask waits until a task of the service runs, has ended or says why it cannot.
func settledTask(t *testing.T, client *swarm.Client, id string) (task swarm.Task) {
	t.Helper()
	require.Eventually(t, func() bool {
		tasks, err := client.Services.Tasks(t.Context(), id)
		require.NoError(t, err)
		if len(tasks) > 0 {
			task = tasks[0]
		}
		return task.Status.State == swarm.TaskRunning || task.Status.State.Terminal() || task.Status.Err != ""
	}, 2*time.Minute, 200*time.Millisecond)
	return task
}
