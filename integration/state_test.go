//go:build integration

package integration

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/swarm-go/swarm"
	"github.com/swarm-go/swarm/integration/engines"
)

// The state of a service, and what lists print of it, as it is deployed, scaled
// and stopped.
func TestTheStateOfAService(t *testing.T) {
	t.Parallel()
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		client := newClient(t, e)
		is := func(state swarm.ServiceState) func(*swarm.ServiceSnapshot) (bool, error) {
			return func(s *swarm.ServiceSnapshot) (bool, error) { return s.State() == state, nil }
		}
		check := func(id string, state swarm.ServiceState, replicas string) {
			ctx, cancel := withPatience(t)
			defer cancel()
			require.NoError(t, client.Services.WaitFor(ctx, id, is(state)))
			snapshot, err := client.Services.Snapshot(t.Context(), id)
			require.NoError(t, err)
			listed, err := client.Services.List(t.Context(), &swarm.ServiceListOptions{IDs: []string{id}, States: []swarm.ServiceState{state}})
			require.NoError(t, err)
			require.Len(t, listed, 1, "%s", snapshot.State())
			assert.Equal(t, replicas, snapshot.Replicas())
			assert.Equal(t, replicas, listed[0].DisplayReplicas())
			assert.True(t, snapshot.Synchronized())
		}
		spec := testSpec(serviceName(t, ""))
		spec.Mode = swarm.Replicated(2)
		id := create(t, client, spec)
		check(id, swarm.StateRunning, "2/2")
		update(t, client, id, func(s *swarm.ServiceSpec) { s.TaskTemplate.ForceUpdate++ })
		check(id, swarm.StateRunning, "2/2")
		_, err := client.Services.Stop(t.Context(), id, nil)
		require.NoError(t, err)
		check(id, swarm.StateStopped, "0/0")
		update(t, client, id, func(s *swarm.ServiceSpec) { s.PutLabel("the previous spec", "has no replicas either") })
		check(id, swarm.StateStopped, "0/0")
		idle := testSpec(serviceName(t, "idle"))
		idle.Mode = swarm.Replicated(0)
		check(create(t, client, idle), swarm.StateNotRunning, "0/0")

		nowhere := testSpec(serviceName(t, "nowhere"))
		nowhere.Mode = swarm.Replicated(3)
		nowhere.TaskTemplate.Placement = &swarm.Placement{Constraints: []string{"node.labels.nope==1"}}
		id = create(t, client, nowhere)
		check(id, swarm.StateFailing, "0/3")
		causes, err := client.Services.Explain(t.Context(), id)
		require.NoError(t, err)
		require.Len(t, causes, 1)
		assert.True(t, strings.HasPrefix(causes[0].String(), "3 pending: no suitable node (scheduling constraints not satisfied on 1 node"), causes[0].String())

		job := testSpec(serviceName(t, "job"), "-exit", "0")
		job.Mode, job.UpdateConfig = swarm.ReplicatedJob(3, 2), swarm.UpdateConfig{}
		check(create(t, client, job), swarm.StateComplete, "0/2 (3/3 completed)")
	})
}

// States that pass, of a service whose tasks take their time to end.
func TestTheStateOfAServiceThatChanges(t *testing.T) {
	t.Parallel()
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		client := newClient(t, e)
		id := deploy(t, client, testSpec(serviceName(t, ""), "-linger", "4s"))
		passes := func(want swarm.ServiceState) (snapshot *swarm.ServiceSnapshot) {
			require.Eventually(t, func() bool {
				var err error
				snapshot, err = client.Services.Snapshot(t.Context(), id)
				require.NoError(t, err)
				return snapshot.State() == want
			}, time.Minute, 50*time.Millisecond, want)
			return snapshot
		}
		change := update(t, client, id, func(s *swarm.ServiceSpec) { s.TaskTemplate.ForceUpdate++ })
		assert.False(t, passes(swarm.StateUpdating).Synchronized())
		require.NoError(t, wait(t, client, change.Rollout))
		_, err := client.Services.Stop(t.Context(), id, nil)
		require.NoError(t, err)
		passes(swarm.StateStopping)
		started, err := client.Services.Start(t.Context(), id, nil)
		require.NoError(t, err)
		require.NoError(t, wait(t, client, started.Rollout))
		require.NoError(t, client.Services.Remove(t.Context(), id))
		passes(swarm.StateRemoving)
	})
}

func TestAJobIsRemovedWhenThatIsAskedFor(t *testing.T) {
	t.Parallel()
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		client := newClient(t, e)
		ctx, cancel := withPatience(t)
		defer cancel()
		for code, want := range map[string]error{"0": nil, "3": swarm.ErrJobFailed} {
			spec := testSpec(serviceName(t, code), "-lines", "2", "-exit", code)
			spec.Mode, spec.UpdateConfig = swarm.ReplicatedJob(1, 1), swarm.UpdateConfig{}
			spec.TaskTemplate.RestartPolicy = &swarm.RestartPolicy{Condition: swarm.RestartNone}
			result, err := client.Services.RunJob(ctx, spec, nil)
			require.ErrorIs(t, err, want)
			removeLater(t, client, result.ServiceID)
			result, err = client.Services.RunJob(ctx, spec, &swarm.RunJobOptions{Remove: swarm.RemoveAlways})
			require.ErrorIs(t, err, want)
			assert.False(t, result.Created)
			assert.True(t, result.Removed)
			require.Len(t, result.Tasks, 1)
			task := result.Tasks[0]
			require.NotNil(t, task.ExitCode)
			assert.Equal(t, code, string(rune('0'+*task.ExitCode)))
			assert.NoError(t, task.LogErr)
			assert.Equal(t, "stdout 1\nstdout 2\n", string(task.Stdout))
			assert.Equal(t, "stderr 1\nstderr 2\n", string(task.Stderr))
			_, err = client.Services.Inspect(t.Context(), spec.Name)
			assert.ErrorIs(t, err, swarm.ErrNotFound)
		}
		everywhere := testSpec(serviceName(t, "everywhere"), "-exit", "0")
		everywhere.Mode, everywhere.UpdateConfig = swarm.GlobalJob(), swarm.UpdateConfig{}
		result, err := client.Services.RunJob(ctx, everywhere, &swarm.RunJobOptions{Remove: swarm.RemoveOnSuccess, MaxLogBytes: -1})
		require.NoError(t, err)
		assert.True(t, result.Created)
		assert.True(t, result.Removed)
		require.Len(t, result.Tasks, 1)

		// One that still runs when it is waited for no longer.
		runs := testSpec(serviceName(t, "runs"))
		runs.Mode, runs.UpdateConfig = swarm.ReplicatedJob(1, 1), swarm.UpdateConfig{}
		short, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		result, err = client.Services.RunJob(short, runs, &swarm.RunJobOptions{Remove: swarm.RemoveAlways, MaxLogBytes: -1})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.True(t, result.Removed)
		require.Eventually(t, func() bool {
			tasks, err := client.Tasks.List(ctx, &swarm.TaskListOptions{NamePrefixes: []string{runs.Name + "."}})
			return err == nil && len(idsIn(tasks, swarm.TaskRunning)) == 0
		}, time.Minute, 100*time.Millisecond, "its tasks are ended")
	})
}
