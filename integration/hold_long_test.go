//go:build integration && long

package integration

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/swarm-go/swarm"
	"github.com/swarm-go/swarm/integration/engines"
)

// Engines have no pause: a long delay between tasks holds an update, after one more
// of them, and the update goes on when the delay is taken out.
func TestAnUpdateIsHeldByALongDelay(t *testing.T) {
	t.Parallel()
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		client := newClient(t, e)
		spec := testSpec(serviceName(t, ""))
		spec.Mode = swarm.Replicated(5)
		id := deploy(t, client, spec)
		running := func(upToDate bool) int {
			tasks, err := client.Tasks.List(t.Context(), &swarm.TaskListOptions{Services: []string{id}, UpToDate: upToDate, DesiredStates: []swarm.TaskState{swarm.TaskRunning}})
			require.NoError(t, err)
			return len(idsIn(tasks, swarm.TaskRunning))
		}
		update(t, client, id, func(s *swarm.ServiceSpec) {
			s.TaskTemplate.ContainerSpec.Image = engines.Image2
			s.UpdateConfig.Parallelism, s.UpdateConfig.Delay = new(uint64(1)), 100*time.Millisecond
		})
		require.Eventually(t, func() bool { return running(true) > 0 }, time.Minute, 20*time.Millisecond)
		var before swarm.UpdateConfig
		held := update(t, client, id, func(s *swarm.ServiceSpec) {
			before = s.UpdateConfig
			s.UpdateConfig.Parallelism, s.UpdateConfig.Delay = new(uint64(1)), 24*time.Hour
		})

		// What was under way is done, and one more. Then no task is being replaced.
		still, deadline := time.Now(), time.Now().Add(time.Minute)
		for time.Since(still) < 2*time.Second && time.Now().Before(deadline) {
			if running(false) < 5 || running(true) < 2 {
				still = time.Now()
			}
			time.Sleep(50 * time.Millisecond)
		}
		require.Equal(t, 5, running(false))
		assert.GreaterOrEqual(t, running(true), 2)
		assert.Less(t, running(true), 5)
		service, err := client.Services.Inspect(t.Context(), id)
		require.NoError(t, err)
		assert.Equal(t, swarm.UpdateInProgress, service.UpdateStatus.State)
		assert.Equal(t, engines.Image2, service.PreviousSpec.TaskTemplate.ContainerSpec.Image, "a rollback would not put the image back")
		brief, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		assert.ErrorIs(t, client.Services.Wait(brief, held.Rollout, nil), context.DeadlineExceeded)

		resumed := update(t, client, id, func(s *swarm.ServiceSpec) {
			s.UpdateConfig = before
			s.UpdateConfig.Parallelism = new(uint64(0)) // to be done sooner
		})
		require.NoError(t, wait(t, client, resumed.Rollout))
		assert.Equal(t, 5, running(true))
	})
}
