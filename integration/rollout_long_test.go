//go:build integration && long

package integration

import (
	"testing"

	"github.com/swarm-go/swarm/integration/engines"
	"github.com/swarm-go/swarm/internal/rollouts"
)

// All scripts that real engines can play, in all modes.
func TestAllScriptedRolloutsComeToTheRightVerdict(t *testing.T) {
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		playScripts(t, e, func(rollouts.Script, bool) bool { return true })
	})
}
