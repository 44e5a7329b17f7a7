//go:build integration

package integration

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/swarm-go/swarm"
	"github.com/swarm-go/swarm/integration/engines"
)

// wait waits for a rollout with a bound of its own.
func wait(t *testing.T, client *swarm.Client, rollout swarm.Rollout) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	return client.Services.Wait(ctx, rollout, nil)
}

// withPatience bounds what a test waits for.
func withPatience(t *testing.T) (context.Context, context.CancelFunc) {
	return context.WithTimeout(t.Context(), 2*time.Minute)
}

// assertIsAsSent asserts that nobody has changed the service, as far as a wait sees.
func assertIsAsSent(t *testing.T, client *swarm.Client, rollout swarm.Rollout, msg ...any) {
	t.Helper()
	for _, err := range client.Services.Watch(t.Context(), rollout, nil) {
		assert.NoError(t, err, msg...)
		return
	}
}

// deploy creates a service and waits until it runs.
func deploy(t *testing.T, client *swarm.Client, spec swarm.ServiceSpec) string {
	t.Helper()
	change, err := client.Services.Create(t.Context(), spec, nil)
	require.NoError(t, err)
	removeLater(t, client, change.ID)
	require.NoError(t, wait(t, client, change.Rollout))
	return change.ID
}

func TestWaitEndsWhenTheServiceIsAsWanted(t *testing.T) {
	t.Parallel()
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		client := newClient(t, e)
		spec := testSpec(serviceName(t, ""))
		spec.Mode = swarm.Replicated(2)
		id := deploy(t, client, spec)
		assert.Len(t, runningTasks(t, client, id, 2), 2)

		for name, edit := range map[string]func(*swarm.ServiceSpec){
			"image": func(s *swarm.ServiceSpec) { s.TaskTemplate.ContainerSpec.Image = engines.Image2 },
			"scale": func(s *swarm.ServiceSpec) { s.Mode = swarm.Replicated(3) },
			"label": func(s *swarm.ServiceSpec) { s.Labels = map[string]string{"a": "b"} },
			"order": func(s *swarm.ServiceSpec) { s.UpdateConfig.Order = swarm.StartFirst; s.TaskTemplate.ForceUpdate++ },
		} {
			change := update(t, client, id, edit)
			stored, err := json.Marshal(change.Rollout) // by another process, perhaps
			require.NoError(t, err)
			var rollout swarm.Rollout
			require.NoError(t, json.Unmarshal(stored, &rollout))
			require.NoError(t, wait(t, client, rollout), name)
			service, err := client.Services.Inspect(t.Context(), id)
			require.NoError(t, err)
			tasks, err := client.Tasks.List(t.Context(), &swarm.TaskListOptions{Services: []string{id}, UpToDate: true})
			require.NoError(t, err)
			assert.EqualValues(t, *service.Spec.Mode.Replicated.Replicas, len(idsIn(tasks, swarm.TaskRunning)), name)
		}
		change := update(t, client, id, func(s *swarm.ServiceSpec) { s.Mode = swarm.Replicated(0) })
		require.NoError(t, wait(t, client, change.Rollout))
		tasks, err := client.Services.Tasks(t.Context(), id)
		require.NoError(t, err)
		assert.Empty(t, idsIn(tasks, swarm.TaskRunning))
		rollout, err := client.Services.CurrentRollout(t.Context(), id)
		require.NoError(t, err)
		require.NoError(t, wait(t, client, rollout))
	})
}

func TestWaitTellsAFailedUpdateFromADoneOne(t *testing.T) {
	t.Parallel()
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		client := newClient(t, e)
		for action, want := range map[swarm.FailureAction]error{
			swarm.PauseOnFailure:    swarm.ErrRolloutPaused,
			swarm.RollbackOnFailure: swarm.ErrRolledBack,
		} {
			spec := testSpec(serviceName(t, string(action)))
			spec.UpdateConfig = swarm.UpdateConfig{FailureAction: action, Monitor: time.Second}
			spec.RollbackConfig = swarm.UpdateConfig{Monitor: time.Second}
			id := deploy(t, client, spec)
			change := update(t, client, id, func(s *swarm.ServiceSpec) { s.TaskTemplate.ContainerSpec.Args = []string{"-exit", "3"} })
			err := wait(t, client, change.Rollout)
			require.ErrorIs(t, err, want)
			var rollout *swarm.RolloutError
			require.ErrorAs(t, err, &rollout)
			assert.Contains(t, err.Error(), "task: non-zero exit (3)")
			state := func() swarm.ServiceState {
				snapshot, err := client.Services.Snapshot(t.Context(), id)
				require.NoError(t, err)
				return snapshot.State()
			}
			if action == swarm.RollbackOnFailure {
				current, err := client.Services.CurrentRollout(t.Context(), id)
				require.NoError(t, err)
				assert.NoError(t, wait(t, client, current), "what it was rolled back to runs")
				assert.Equal(t, swarm.StateRolledBack, state())
				continue
			}
			assert.Equal(t, swarm.StatePaused, state())
			back, err := client.Services.Rollback(t.Context(), id, nil)
			require.NoError(t, err)
			assert.NoError(t, wait(t, client, back.Rollout), "a rollback that was asked for is a success")
		}
	})
}

func TestWaitTellsWhatBecameOfTheService(t *testing.T) {
	t.Parallel()
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		client := newClient(t, e)
		id := deploy(t, client, testSpec(serviceName(t, "")))
		first := update(t, client, id, func(s *swarm.ServiceSpec) { s.TaskTemplate.ContainerSpec.Hostname = "first" })
		update(t, client, id, func(s *swarm.ServiceSpec) { s.TaskTemplate.ContainerSpec.Hostname = "second" })
		err := wait(t, client, first.Rollout)
		assert.ErrorIs(t, err, swarm.ErrSuperseded)
		assert.ErrorContains(t, err, "of 1 tasks run")
		assert.ErrorContains(t, err, "superseded by another change")
		rollout, err := client.Services.CurrentRollout(t.Context(), id)
		require.NoError(t, err)
		time.AfterFunc(200*time.Millisecond, func() { client.Services.Remove(context.WithoutCancel(t.Context()), id) })
		err = wait(t, client, rollout)
		assert.ErrorIs(t, err, swarm.ErrRemoved)
		assert.ErrorContains(t, err, serviceName(t, ""))
		assert.ErrorContains(t, err, "service was removed")
	})
}

func TestWaitSaysWhatIsMissingAtItsDeadline(t *testing.T) {
	t.Parallel()
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		client := newClient(t, e)
		for reason, edit := range map[string]func(*swarm.ServiceSpec){
			"no suitable node": func(s *swarm.ServiceSpec) {
				s.TaskTemplate.Placement = &swarm.Placement{Constraints: []string{"node.labels.nope==1"}}
			},
			"No such image": func(s *swarm.ServiceSpec) { s.TaskTemplate.ContainerSpec.Image = "127.0.0.1:1/nope:1" },
		} {
			spec := testSpec(serviceName(t, ""))
			edit(&spec)
			change, err := client.Services.Create(t.Context(), spec, nil)
			require.NoError(t, err)
			ctx, cancel := context.WithTimeout(t.Context(), 8*time.Second)
			err = client.Services.Wait(ctx, change.Rollout, nil)
			cancel()
			assert.ErrorIs(t, err, context.DeadlineExceeded)
			assert.ErrorContains(t, err, "0 of 1 tasks run")
			assert.ErrorContains(t, err, reason)
			require.NoError(t, client.Services.Remove(t.Context(), change.ID))
		}
	})
}

func TestWaitKnowsEveryMode(t *testing.T) {
	t.Parallel()
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		client := newClient(t, e)
		global := testSpec(serviceName(t, "global"))
		global.Mode = swarm.Global()
		deploy(t, client, global)

		nowhere := testSpec(serviceName(t, "nowhere"))
		nowhere.Mode = swarm.Global()
		nowhere.TaskTemplate.Placement = &swarm.Placement{Constraints: []string{"node.labels.nope==1"}}
		job := testSpec(serviceName(t, "job"), "-exit", "0")
		job.Mode, job.UpdateConfig = swarm.ReplicatedJob(3, 2), swarm.UpdateConfig{}
		id := deploy(t, client, job)
		again := update(t, client, id, func(s *swarm.ServiceSpec) { s.TaskTemplate.ForceUpdate++ })
		require.NoError(t, wait(t, client, again.Rollout))
		everywhere := testSpec(serviceName(t, "everywhere"), "-exit", "0")
		everywhere.Mode, everywhere.UpdateConfig = swarm.GlobalJob(), swarm.UpdateConfig{}
		deploy(t, client, everywhere)
		failing := testSpec(serviceName(t, "failing"), "-exit", "3")
		failing.Mode, failing.UpdateConfig = swarm.ReplicatedJob(2, 0), swarm.UpdateConfig{}
		failing.TaskTemplate.RestartPolicy = &swarm.RestartPolicy{Condition: swarm.RestartNone}
		crashing := testSpec(serviceName(t, "crashing"), "-exit", "3")
		crashing.UpdateConfig.Monitor = 20 * time.Second // until it is seen to have ended
		crashing.TaskTemplate.RestartPolicy = &swarm.RestartPolicy{Condition: swarm.RestartNone}
		reasons := map[error]string{
			swarm.ErrNoEligibleNode: "none of 1 nodes that take tasks meets its constraints: node.labels.nope==1",
			swarm.ErrJobFailed:      "task: non-zero exit (3)",
			swarm.ErrTasksFailed:    "task: non-zero exit (3)",
		}
		for want, spec := range map[error]swarm.ServiceSpec{
			swarm.ErrNoEligibleNode: nowhere, swarm.ErrJobFailed: failing, swarm.ErrTasksFailed: crashing,
		} {
			change, err := client.Services.Create(t.Context(), spec, nil)
			require.NoError(t, err)
			removeLater(t, client, change.ID)
			err = wait(t, client, change.Rollout)
			assert.ErrorIs(t, err, want)
			assert.ErrorContains(t, err, reasons[want])
		}
	})
}

func TestStacksAndListsAreWaitedFor(t *testing.T) {
	t.Parallel()
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		client := newClient(t, e)
		ctx, cancel := withPatience(t)
		defer cancel()
		stack := serviceName(t, "")
		var rollouts []swarm.Rollout
		for _, name := range []string{"a", "b", "fails"} {
			spec := testSpec(serviceName(t, name))
			if name == "fails" {
				spec = testSpec(spec.Name, "-exit", "3")
				spec.UpdateConfig.Monitor = 20 * time.Second // until it is seen to have ended
				spec.TaskTemplate.RestartPolicy = &swarm.RestartPolicy{Condition: swarm.RestartNone}
			}
			spec.Labels = map[string]string{"com.docker.stack.namespace": stack}
			change, err := client.Services.Create(ctx, spec, nil)
			require.NoError(t, err)
			removeLater(t, client, change.ID)
			rollouts = append(rollouts, change.Rollout)
		}
		require.NoError(t, client.Services.WaitAll(ctx, rollouts[:2], nil))
		for _, err := range []error{client.Services.WaitAll(ctx, rollouts, nil), client.Services.WaitStack(ctx, stack, nil)} {
			assert.ErrorIs(t, err, swarm.ErrTasksFailed)
			assert.ErrorContains(t, err, "task: non-zero exit (3)")
		}
		assert.ErrorIs(t, client.Services.WaitStack(ctx, stack+"-none", nil), swarm.ErrNotFound)
	})
}

func TestWatchTellsTheWay(t *testing.T) {
	t.Parallel()
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		client := newClient(t, e)
		spec := testSpec(serviceName(t, ""))
		spec.Mode = swarm.Replicated(2)
		change, err := client.Services.Create(t.Context(), spec, nil)
		require.NoError(t, err)
		removeLater(t, client, change.ID)
		var lines []string
		var last swarm.Progress
		for progress, err := range client.Services.Watch(t.Context(), change.Rollout, &swarm.WaitOptions{StableFor: time.Second}) {
			require.NoError(t, err)
			lines, last = append(lines, progress.String()), progress
		}
		assert.Equal(t, spec.Name+": 2 of 2 tasks run", lines[len(lines)-1])
		assert.Greater(t, len(lines), 1)
		assert.True(t, last.Settled)
		assert.Len(t, last.Tasks, 2)
	})
}

// requestTimes is when a client has sent its requests.
type requestTimes struct {
	mu   sync.Mutex
	sent []time.Time
}

func (r *requestTimes) observe(o swarm.Observation) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sent = append(r.sent, time.Now().Add(-o.Duration))
}

// between counts those of a stretch of time.
func (r *requestTimes) between(from, to time.Time) (count int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, at := range r.sent {
		if !at.Before(from) && at.Before(to) {
			count++
		}
	}
	return count
}

// spread is the least, the median and the most.
func spread[T cmp.Ordered](values []T) string {
	slices.Sort(values)
	return fmt.Sprintf("%v, %v, %v", values[0], values[len(values)/2], values[len(values)-1])
}

// How long a wait takes to see that a task runs after it has begun to, which its
// node says itself, and how often it asks in the half second that a start takes.
func TestAWaitSeesATaskRunSoonAndAsksFifteenTimesAtMost(t *testing.T) {
	const starts, startTime = 9, 500 * time.Millisecond
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		var requests requestTimes
		client := newClient(t, e, swarm.WithObserver(requests.observe))
		var lags, took []time.Duration
		var asked []int
		most := 0
		for i := range starts {
			change, err := client.Services.Create(t.Context(), testSpec(serviceName(t, strconv.Itoa(i))), nil)
			require.NoError(t, err)
			removeLater(t, client, change.ID)
			began := time.Now()
			for progress, err := range client.Services.Watch(t.Context(), change.Rollout, nil) {
				require.NoError(t, err)
				if progress.Running == 1 {
					lags = append(lags, time.Since(progress.Tasks[0].Status.Timestamp).Round(time.Millisecond))
					break
				}
			}
			took, asked = append(took, time.Since(began).Round(time.Millisecond)), append(asked, requests.between(began, time.Now()))
			most = max(most, requests.between(began, began.Add(startTime)))
			require.NoError(t, client.Services.RemoveAndWait(t.Context(), change.ID))
		}
		t.Logf("note: %s: lags %s; starts %s, with requests %s, in the first half second at most %d",
			e.Name, spread(lags), spread(took), spread(asked), most)
		assert.LessOrEqual(t, most, 15)
	})
}

func TestAWaitAsksOnceASecondAtMostWhenNothingMoves(t *testing.T) {
	const quiet, counted = 7 * time.Second, 8 * time.Second
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		var requests requestTimes
		client := newClient(t, e, swarm.WithObserver(requests.observe))
		spec := testSpec(serviceName(t, ""))
		spec.TaskTemplate.Placement = &swarm.Placement{Constraints: []string{"node.labels.nope==1"}}
		change, err := client.Services.Create(t.Context(), spec, nil)
		require.NoError(t, err)
		removeLater(t, client, change.ID)
		began := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), quiet+counted)
		defer cancel()
		require.ErrorIs(t, client.Services.Wait(ctx, change.Rollout, nil), context.DeadlineExceeded)
		idle := requests.between(began.Add(quiet), began.Add(quiet+counted))
		t.Logf("%s: %d requests in %v", e.Name, idle, counted)
		assert.LessOrEqual(t, idle, int(counted/time.Second))
		assert.Positive(t, idle)
	})
}
