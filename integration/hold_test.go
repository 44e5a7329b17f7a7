//go:build integration

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
		spec.UpdateConfig.Parallelism = new(uint64(0)) // the first tasks are not waited for
		id := deploy(t, client, spec)
		updated := func() int {
			tasks, err := client.Tasks.List(t.Context(), &swarm.TaskListOptions{Services: []string{id}, UpToDate: true, DesiredStates: []swarm.TaskState{swarm.TaskRunning}})
			require.NoError(t, err)
			return len(idsIn(tasks, swarm.TaskRunning))
		}
		update(t, client, id, func(s *swarm.ServiceSpec) {
			s.TaskTemplate.ContainerSpec.Image = engines.Image2
			s.UpdateConfig.Parallelism, s.UpdateConfig.Delay = new(uint64(1)), 100*time.Millisecond
		})
		require.Eventually(t, func() bool { return updated() > 0 }, time.Minute, 20*time.Millisecond)
		var before swarm.UpdateConfig
		held := update(t, client, id, func(s *swarm.ServiceSpec) {
			before = s.UpdateConfig
			s.UpdateConfig.Parallelism, s.UpdateConfig.Delay = new(uint64(1)), 24*time.Hour
		})

		time.Sleep(2 * time.Second) // what is under way, and one more
		at := updated()
		time.Sleep(time.Second)
		assert.Equal(t, at, updated())
		assert.Less(t, at, 5)
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
		assert.Equal(t, 5, updated())
	})
}
