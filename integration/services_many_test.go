//go:build integration

package integration

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/swarm-go/swarm"
	"github.com/swarm-go/swarm/integration/engines"
)

func TestSeveralServicesAreChangedScaledAndRemoved(t *testing.T) {
	t.Parallel()
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		client, ctx := newClient(t, e), t.Context()
		stack, other := serviceName(t, ""), create(t, client, replicas(testSpec(serviceName(t, "other")), 0))
		names := []string{stack + "_a", stack + "_b", stack + "_c"}
		for i := range names {
			spec := replicas(testSpec(names[len(names)-1-i]), 0)
			spec.PutLabel("com.docker.stack.namespace", stack)
			create(t, client, spec)
		}
		ofStack := &swarm.ServiceListOptions{Stack: stack}
		refs := func(results []swarm.ServiceResult) (refs []string) {
			for _, r := range results {
				refs = append(refs, r.Ref)
			}
			return refs
		}

		results, err := client.Services.ModifyAll(ctx, ofStack, func(s *swarm.Service) error {
			s.Spec.PutEnv("A", "1")
			return nil
		}, nil)
		require.NoError(t, err)
		assert.Equal(t, names, refs(results))
		results, err = client.Services.ScaleAll(ctx, map[string]uint64{names[1]: 1, names[0]: 2, names[2]: 0, stack: 1}, nil)
		assert.ErrorIs(t, err, swarm.ErrNotFound)
		assert.Equal(t, []string{stack, names[0], names[1], names[2]}, refs(results))
		var rollouts []swarm.Rollout
		for _, r := range results[1:] {
			require.NoError(t, r.Err)
			assert.Equal(t, r.Ref != names[2], r.Change.Changed)
			rollouts = append(rollouts, r.Change.Rollout)
		}
		waiting, cancel := withPatience(t)
		defer cancel()
		require.NoError(t, client.Services.WaitAll(waiting, rollouts, nil))

		scaled, err := client.Services.ScaleBy(ctx, names[0], -1, &swarm.ServiceScaleByOptions{Min: 1})
		require.NoError(t, err)
		require.NoError(t, wait(t, client, scaled.Rollout))
		assert.Len(t, runningTasks(t, client, names[0], 1), 1)
		scaled, err = client.Services.ScaleBy(ctx, names[0], -1, &swarm.ServiceScaleByOptions{Min: 1})
		require.NoError(t, err)
		assert.False(t, scaled.Changed)
		require.Eventually(t, func() bool { // engines crash if a service goes while they forget a task of it
			tasks, err := client.Services.Tasks(ctx, names[0])
			require.NoError(t, err)
			return len(tasks) == 1
		}, 30*time.Second, 100*time.Millisecond)

		_, err = client.Services.RemoveAll(ctx, nil, nil)
		assert.ErrorIs(t, err, swarm.ErrInvalid)
		results, err = client.Services.RemoveAll(ctx, ofStack, nil)
		require.NoError(t, err)
		assert.Equal(t, names, refs(results))
		left, err := client.Services.List(ctx, &swarm.ServiceListOptions{NamePrefixes: []string{stack}})
		require.NoError(t, err)
		require.Len(t, left, 1)
		assert.Equal(t, other, left[0].ID)
	})
}

// replicas has a service run n tasks.
func replicas(spec swarm.ServiceSpec, n uint64) swarm.ServiceSpec {
	spec.Mode = swarm.Replicated(n)
	return spec
}
