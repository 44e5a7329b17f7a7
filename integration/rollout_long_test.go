//go:build integration && long

package integration

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/swarm-go/swarm"
	"github.com/swarm-go/swarm/integration/engines"
	"github.com/swarm-go/swarm/internal/rollouts"
)

// All scripts that real engines can play, in all modes.
func TestAllScriptedRolloutsComeToTheRightVerdict(t *testing.T) {
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		playScripts(t, e, func(rollouts.Script, swarm.ModeKind) bool { return true })
	})
}

// What engines make of specs is what was sent, whatever it has in it.
func TestAWaitKnowsEverySpecThatItHasSent(t *testing.T) {
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		client := newClient(t, e)
		objects, changes := specObjects(t, e, client)
		for _, change := range changes {
			spec := objects.Base(serviceName(t, ""))
			change.Make(&spec)
			created, err := client.Services.Create(t.Context(), spec, nil)
			require.NoError(t, err, change.Name)
			assertIsAsSent(t, client, created.Rollout, change.Name)
			require.NoError(t, client.Services.Remove(t.Context(), created.ID))
		}
	})
}
