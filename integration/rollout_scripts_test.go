//go:build integration

package integration

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/swarm-go/swarm"
	"github.com/swarm-go/swarm/integration/engines"
	"github.com/swarm-go/swarm/internal/rollouts"
)

// The important ones of the scripts that the embedded engine plays; the long run plays
// all, and also with global services and jobs.
func TestScriptedRolloutsComeToTheRightVerdict(t *testing.T) {
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		playScripts(t, e, func(s rollouts.Script, mode swarm.ModeKind) bool {
			return s.Important && (mode == swarm.ModeReplicated || s.ForJobs && mode == swarm.ModeReplicatedJob)
		})
	})
}

// playScripts plays several scripts at a time: they wait most of it.
func playScripts(t *testing.T, e *engines.Engine, chosen func(rollouts.Script, swarm.ModeKind) bool) {
	target := rollouts.Target{Client: newClient(t, e), HTTP: e.Client(), Image: engines.Image1,
		Missing: "127.0.0.1:1/nope:1", Prefix: "script-", Nodes: 1, Monitor: 3 * time.Second, Patience: 30 * time.Second}
	turns := make(chan struct{}, 6)
	var group sync.WaitGroup
	defer group.Wait()
	for _, script := range rollouts.Scripts {
		for _, mode := range rollouts.Modes {
			if script.EmbeddedOnly || !chosen(script, mode) {
				continue
			}
			turns <- struct{}{}
			group.Go(func() {
				defer func() { <-turns }()
				t.Run(script.Name+"/"+string(mode), func(t *testing.T) { rollouts.Play(t, target, script, mode) })
			})
		}
	}
}

// A node that goes down is noticed by its swarm after some seconds only, so the
// tasks that it had run elsewhere after that.
func TestAWaitSeesANodeGoDownMidWay(t *testing.T) {
	if withoutLab(t) {
		return
	}
	t.Parallel()
	for _, version := range testEngines() {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			nodes := startMembers(t, version, version)
			formSwarm(t, 1, nodes)
			for _, node := range nodes {
				require.NoError(t, node.LoadImages(t.Context()))
			}
			client := nodes[0].client
			spec := testSpec(serviceName(t, ""))
			spec.Mode, spec.UpdateConfig.Monitor = swarm.Replicated(2), 25*time.Second
			spec.TaskTemplate.Placement = &swarm.Placement{MaxReplicas: 1}
			change, err := client.Services.Create(t.Context(), spec, nil)
			require.NoError(t, err)
			runningTasks(t, client, change.ID, 2)
			gone := nodes[1].nodeID(t)
			require.NoError(t, nodes[1].Kill(t.Context()))
			ctx, cancel := context.WithTimeout(t.Context(), 40*time.Second)
			defer cancel()
			err = client.Services.Wait(ctx, change.Rollout, nil)
			require.ErrorIs(t, err, context.DeadlineExceeded, "one task has no place to go")
			require.ErrorContains(t, err, "1 of 2 tasks run")
			require.ErrorContains(t, err, "no suitable node")
			require.Equal(t, swarm.NodeDown, nodes[0].node(t, gone).Status.State)
			const variable, monitor = "REVISION=2", 2 * time.Second
			change = update(t, client, change.ID, func(s *swarm.ServiceSpec) {
				s.TaskTemplate.Placement.MaxReplicas, s.UpdateConfig.Monitor = 2, monitor
				s.TaskTemplate.ContainerSpec.Env = []string{variable}
			})
			err = rollouts.Hold(t, rollouts.Target{HTTP: nodes[0].Engine.Client(), Monitor: monitor}, change.ID, variable,
				func() error { return wait(t, client, change.Rollout) })
			require.NoError(t, err, "what is said to run on the node is not waited for")
		})
	}
}
