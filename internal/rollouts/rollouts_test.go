package rollouts_test

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/swarm-go/swarm"
	"github.com/swarm-go/swarm/internal/rollouts"
	"github.com/swarm-go/swarm/swarmtest"
)

// Every scripted rollout in every mode, judged by an oracle that reads the
// engine's own JSON. With the race detector one mode after the other has its turn.
func TestScriptedRolloutsComeToTheRightVerdict(t *testing.T) {
	for i, script := range rollouts.Scripts {
		for k, mode := range rollouts.Modes {
			if raceDetector && i%len(rollouts.Modes) != k {
				continue
			}
			t.Run(script.Name+"/"+string(mode), func(t *testing.T) {
				t.Parallel()
				playEmbedded(t, script, mode)
			})
		}
	}
}

func playEmbedded(t *testing.T, script rollouts.Script, mode swarm.ModeKind) {
	synctest.Test(t, func(t *testing.T) {
		engine := swarmtest.Start(t, swarmtest.WithNodes(1, 2), swarmtest.WithoutUnknownImages(),
			swarmtest.WithPace(swarmtest.Pace{Heartbeat: 500 * time.Millisecond}))
		engine.Image("web:1", swarmtest.Image{Run: rollouts.Program})
		transport := &http.Transport{DialContext: engine.DialContext}
		defer transport.CloseIdleConnections()
		rollouts.Play(t, rollouts.Target{Client: engine.Client(), HTTP: &http.Client{Transport: transport}, Image: "web:1", Missing: "nope:1",
			Nodes: 3, Monitor: time.Second, Embedded: engine}, script, mode)
	})
}
