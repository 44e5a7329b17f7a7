package swarm_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/swarm-go/swarm"
	"github.com/swarm-go/swarm/swarmtest"
)

// Engines have no pause; this is the nearest to it, as in the example of Modify.
func TestALongDelayHoldsAnUpdateAfterOneMoreTask(t *testing.T) {
	inTime(t, func(t *testing.T, engine *swarmtest.Engine, client *swarm.Client) {
		ctx := t.Context()
		require.NoError(t, client.Services.Wait(ctx, webService(t, client, swarm.Replicated(6)).Rollout, nil))
		modify := func(change func(*swarm.ServiceSpec)) swarm.Rollout {
			result, err := client.Services.Modify(ctx, "web", func(s *swarm.Service) error {
				change(&s.Spec)
				return nil
			}, nil)
			require.NoError(t, err)
			return result.Rollout
		}
		updated := func() (n int) {
			tasks, err := client.Tasks.List(ctx, &swarm.TaskListOptions{Services: []string{"web"}, UpToDate: true})
			require.NoError(t, err)
			for _, task := range tasks {
				if task.Status.State == swarm.TaskRunning {
					n++
				}
			}
			return n
		}
		begun := modify(func(s *swarm.ServiceSpec) {
			s.TaskTemplate.ContainerSpec.Image = "web:2"
			s.UpdateConfig = swarm.UpdateConfig{Delay: time.Minute}
		})
		time.Sleep(90 * time.Second)
		require.Equal(t, 2, updated())
		var before swarm.UpdateConfig
		held := modify(func(s *swarm.ServiceSpec) {
			before = s.UpdateConfig
			s.UpdateConfig.Parallelism, s.UpdateConfig.Delay = new(uint64(1)), 24*time.Hour
		})
		time.Sleep(time.Hour)
		assert.Equal(t, 3, updated())
		assert.ErrorIs(t, client.Services.Wait(ctx, begun, nil), swarm.ErrSuperseded)
		brief, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		assert.ErrorIs(t, client.Services.Wait(brief, held, nil), context.DeadlineExceeded)

		modify(func(s *swarm.ServiceSpec) { s.PutLabel("looked", "at") })
		time.Sleep(time.Hour)
		assert.Equal(t, 4, updated(), "one more after each change")

		require.NoError(t, client.Services.Wait(ctx, modify(func(s *swarm.ServiceSpec) { s.UpdateConfig = before }), nil))
		assert.Equal(t, 6, updated())
	})
}
