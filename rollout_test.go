package swarm_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/swarm-go/swarm"
	"github.com/swarm-go/swarm/internal/specchanges"
	"github.com/swarm-go/swarm/swarmtest"
)

// inTime runs a test on an embedded engine in a bubble, whose time takes none.
func inTime(t *testing.T, test func(t *testing.T, engine *swarmtest.Engine, client *swarm.Client), opts ...swarmtest.Option) {
	synctest.Test(t, func(t *testing.T) {
		engine := swarmtest.Start(t, opts...)
		test(t, engine, engine.Client())
	})
}

// service is a service of that mode, which runs what the image is.
func service(name string, mode swarm.ServiceMode) swarm.ServiceSpec {
	return swarm.ServiceSpec{Name: name, Mode: mode, TaskTemplate: swarm.TaskSpec{ContainerSpec: swarm.ContainerSpec{Image: "web:1"}}}
}

// nowhere lets no node take the service.
func nowhere(spec swarm.ServiceSpec) swarm.ServiceSpec {
	spec.TaskTemplate.Placement = &swarm.Placement{Constraints: []string{"node.labels.nope==1"}}
	return spec
}

func created(t *testing.T, client *swarm.Client, spec swarm.ServiceSpec) swarm.Rollout {
	t.Helper()
	change, err := client.Services.Create(t.Context(), spec, nil)
	require.NoError(t, err)
	return change.Rollout
}

// waitFor waits for so long at most.
func waitFor(t *testing.T, client *swarm.Client, rollout swarm.Rollout, d time.Duration) error {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	return client.Services.Wait(ctx, rollout, nil)
}

// requestsSince counts what the engine was asked.
func requestsSince(engine *swarmtest.Engine, began time.Time) (count int) {
	for _, request := range engine.Requests() {
		if !request.Time.Before(began) {
			count++
		}
	}
	return count
}

func TestAWaitAsksOnceASecondAtMostWhenNothingMoves(t *testing.T) {
	for name, effect := range map[string]swarmtest.Effect{
		"events":         swarmtest.Delay(0),
		"no events":      swarmtest.Refuse(http.StatusForbidden, "not you"),
		"events are cut": swarmtest.Cut(),
	} {
		inTime(t, func(t *testing.T, engine *swarmtest.Engine, client *swarm.Client) {
			engine.Inject(swarmtest.Fault{Path: "/events", Effect: effect})
			rollout := created(t, client, nowhere(service("web", swarm.Replicated(1))))
			ended := make(chan error)
			go func() { ended <- waitFor(t, client, rollout, 70*time.Second) }()
			time.Sleep(10 * time.Second)
			began := time.Now()
			require.ErrorIs(t, <-ended, context.DeadlineExceeded)
			assert.LessOrEqual(t, requestsSince(engine, began), 60, name)
			assert.Greater(t, requestsSince(engine, began), 30, name)
		})
	}
}

// Managers hear of a container that runs 50 ms later here, as they do on average.
func TestAWaitSeesATaskRunSoonAndAsksFifteenTimesAtMost(t *testing.T) {
	for _, start := range []time.Duration{430, 440, 450, 460, 470, 480, 490} {
		inTime(t, func(t *testing.T, engine *swarmtest.Engine, client *swarm.Client) {
			engine.Image("web:1", swarmtest.Image{PullTime: 150 * time.Millisecond, StartTime: start*time.Millisecond - 150*time.Millisecond})
			rollout := created(t, client, service("web", swarm.Replicated(1)))
			began := time.Now()
			for progress, err := range client.Services.Watch(t.Context(), rollout, nil) {
				require.NoError(t, err)
				if progress.Running == 1 {
					lag := time.Since(progress.Tasks[0].Status.Timestamp)
					assert.LessOrEqual(t, lag, 60*time.Millisecond)
					assert.LessOrEqual(t, requestsSince(engine, began), 15)
					return
				}
			}
		})
	}
}

func TestAWaitComesToItsVerdictWithoutEvents(t *testing.T) {
	for name, effect := range map[string]swarmtest.Effect{
		"forbidden": swarmtest.Refuse(http.StatusForbidden, "not you"),
		"cut":       swarmtest.CutBody(0),
		"silent":    swarmtest.Hang(),
	} {
		inTime(t, func(t *testing.T, engine *swarmtest.Engine, client *swarm.Client) {
			engine.Inject(swarmtest.Fault{Path: "/events", Effect: effect})
			spec := service("web", swarm.Replicated(2))
			spec.UpdateConfig = swarm.UpdateConfig{FailureAction: swarm.RollbackOnFailure}
			require.NoError(t, waitFor(t, client, created(t, client, spec), 10*time.Second), name)
			engine.Image("web:2", swarmtest.Image{Run: func(*swarmtest.Container) int { return 3 }})
			change, err := client.Services.SetImage(t.Context(), "web", "web:2", nil)
			require.NoError(t, err)
			assert.ErrorIs(t, waitFor(t, client, change.Rollout, 30*time.Second), swarm.ErrRolledBack, name)
		})
	}
}

func TestAWaitOutlivesAnEngineThatIsOutOfOrderForAWhile(t *testing.T) {
	inTime(t, func(t *testing.T, engine *swarmtest.Engine, client *swarm.Client) {
		rollout := created(t, client, service("web", swarm.Replicated(1)))
		ended := make(chan error)
		go func() { ended <- waitFor(t, client, rollout, time.Hour) }()
		time.Sleep(time.Second)
		outage := engine.Inject(swarmtest.Fault{Effect: swarmtest.Refuse(http.StatusInternalServerError,
			"rpc error: code = Unknown desc = The swarm does not have a leader. It's possible that too few managers are online.")})
		time.Sleep(30 * time.Second)
		outage.Remove()
		assert.NoError(t, <-ended)

		go func() { ended <- waitFor(t, client, rollout, time.Hour) }()
		time.Sleep(time.Second / 10)
		engine.Inject(swarmtest.Fault{Effect: swarmtest.Refuse(http.StatusInternalServerError,
			"rpc error: code = Unknown desc = The swarm does not have a leader. It's possible that too few managers are online.")})
		err := <-ended
		assert.ErrorIs(t, err, swarm.ErrNoLeader, "not for ever")
		var rolloutError *swarm.RolloutError
		assert.False(t, errors.As(err, &rolloutError), "which says nothing of the service")
	})
}

func TestARolloutIsWaitedForElsewhere(t *testing.T) {
	inTime(t, func(t *testing.T, engine *swarmtest.Engine, client *swarm.Client) {
		stored, err := json.Marshal(created(t, client, service("web", swarm.Replicated(2))))
		require.NoError(t, err)
		var rollout swarm.Rollout
		require.NoError(t, json.Unmarshal(stored, &rollout))
		other := engine.Nodes()[1].Client()
		assert.NoError(t, waitFor(t, other, rollout, time.Minute))
	}, swarmtest.WithNodes(3, 0))
}

func TestADeadlineSaysWhatWasMissingAndWhy(t *testing.T) {
	inTime(t, func(t *testing.T, engine *swarmtest.Engine, client *swarm.Client) {
		engine.Image("web:1", swarmtest.Image{PullError: "no such image: web:1"})
		engine.Image("slow:1", swarmtest.Image{PullTime: time.Hour})
		engine.Image("short:1", swarmtest.Image{})
		slow, short := service("slow", swarm.Replicated(3)), service("short", swarm.Replicated(1))
		slow.TaskTemplate.ContainerSpec.Image, short.TaskTemplate.ContainerSpec.Image = "slow:1", "short:1"
		for want, spec := range map[string]swarm.ServiceSpec{
			"rollout of web: 0 of 2 tasks run, 2 pending (pending: no suitable node (scheduling constraints not satisfied on 1 node)): context deadline exceeded": nowhere(service("web", swarm.Replicated(2))),
			"No such image: web:1":                                  service("gone", swarm.Replicated(1)),
			"rollout of slow: 0 of 3 tasks run, 3 preparing: ":      slow,
			"rollout of short: 1 of 1 tasks run: context deadline ": short,
		} {
			err := waitFor(t, client, created(t, client, spec), 2*time.Second)
			assert.ErrorIs(t, err, context.DeadlineExceeded)
			assert.ErrorContains(t, err, want)
		}
	})
}

func TestManyRolloutsAreWaitedForAtOnce(t *testing.T) {
	inTime(t, func(t *testing.T, engine *swarmtest.Engine, client *swarm.Client) {
		var rollouts []swarm.Rollout
		for _, name := range []string{"a", "b", "c"} {
			rollouts = append(rollouts, created(t, client, service(name, swarm.Replicated(2))))
		}
		began := time.Now()
		require.NoError(t, client.Services.WaitAll(t.Context(), rollouts, nil))
		assert.Equal(t, 5*time.Second, time.Since(began).Truncate(time.Second), "at the same time")
		require.NoError(t, client.Services.WaitAll(t.Context(), nil, nil))

		rollouts = append(rollouts, created(t, client, nowhere(service("d", swarm.Replicated(1)))))
		require.NoError(t, client.Services.Remove(t.Context(), "b"))
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		err := client.Services.WaitAll(ctx, rollouts, nil)
		assert.ErrorIs(t, err, swarm.ErrRemoved)
		assert.ErrorIs(t, err, context.DeadlineExceeded)
		assert.ErrorContains(t, err, "rollout of b")
		assert.ErrorContains(t, err, "rollout of d")
		assert.NotContains(t, err.Error(), "rollout of c")
	})
}

func TestAStackIsWaitedForByItsLabel(t *testing.T) {
	inTime(t, func(t *testing.T, engine *swarmtest.Engine, client *swarm.Client) {
		for _, name := range []string{"a", "b"} {
			spec := service(name, swarm.Replicated(1))
			spec.Labels = map[string]string{"com.docker.stack.namespace": "shop"}
			created(t, client, spec)
		}
		created(t, client, nowhere(service("other", swarm.Replicated(1))))
		require.NoError(t, client.Services.WaitStack(t.Context(), "shop", nil))
		assert.ErrorIs(t, client.Services.WaitStack(t.Context(), "none", nil), swarm.ErrNotFound)
		assert.ErrorIs(t, client.Services.WaitStack(t.Context(), "", nil), swarm.ErrInvalid)
	})
}

func TestAnyConditionIsWaitedFor(t *testing.T) {
	inTime(t, func(t *testing.T, engine *swarmtest.Engine, client *swarm.Client) {
		created(t, client, service("web", swarm.Replicated(2)))
		running := func(n int) func(*swarm.ServiceSnapshot) (bool, error) {
			return func(s *swarm.ServiceSnapshot) (bool, error) {
				return len(swarm.NewTaskSet(s.Tasks).InState(swarm.TaskRunning)) == n, nil
			}
		}
		require.NoError(t, client.Services.WaitFor(t.Context(), "web", running(2)))
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		err := client.Services.WaitFor(ctx, "web", running(3))
		assert.ErrorIs(t, err, context.DeadlineExceeded)
		assert.ErrorContains(t, err, "wait for service web: it is running with 2/2 tasks")
		own := errors.New("enough")
		assert.Equal(t, own, client.Services.WaitFor(t.Context(), "web", func(*swarm.ServiceSnapshot) (bool, error) { return false, own }))
		assert.ErrorIs(t, client.Services.WaitFor(t.Context(), "nope", running(1)), swarm.ErrNotFound)
		var removing sync.WaitGroup
		removing.Go(func() {
			time.Sleep(time.Second)
			assert.NoError(t, client.Services.Remove(t.Context(), "web"))
		})
		assert.ErrorIs(t, client.Services.WaitFor(t.Context(), "web", running(3)), swarm.ErrNotFound)
		removing.Wait()
	})
}

// A wait knows what it has sent, whatever engines make of it, and what somebody else
// has written on top.
func TestAWaitKnowsEverySpecThatItHasSent(t *testing.T) {
	t.Parallel()
	inTime(t, func(t *testing.T, engine *swarmtest.Engine, client *swarm.Client) {
		objects, err := specchanges.MakeObjects(t.Context(), client)
		require.NoError(t, err)
		look := func(rollout swarm.Rollout) error {
			for _, err := range client.Services.Watch(t.Context(), rollout, nil) {
				return err
			}
			return nil
		}
		for i, change := range objects.Changes() {
			if change.Needs > 51 {
				continue
			}
			spec := objects.Base(strconv.Itoa(i))
			plain := created(t, client, objects.Base(strconv.Itoa(i)))
			before, err := client.Services.Inspect(t.Context(), plain.ServiceID)
			require.NoError(t, err)
			change.Make(&spec)
			sent, err := client.Services.Modify(t.Context(), plain.ServiceID, func(s *swarm.Service) error { s.Spec = spec; return nil }, nil)
			require.NoError(t, err, change.Name)
			assert.NoError(t, look(sent.Rollout), change.Name)
			after, err := client.Services.Inspect(t.Context(), plain.ServiceID)
			require.NoError(t, err)
			if len(swarm.DiffSpec(before.Spec, after.Spec)) > 0 && !strings.HasPrefix(change.Name, "empty ") { // which means nothing
				assert.ErrorIs(t, look(plain), swarm.ErrSuperseded, change.Name)
			}
		}
	})
}

// The network of a name is another one when somebody has changed it.
func TestANetworkThatIsExchangedIsSeen(t *testing.T) {
	inTime(t, func(t *testing.T, engine *swarmtest.Engine, client *swarm.Client) {
		for _, name := range []string{"front", "back"} {
			_, err := client.Networks.Create(t.Context(), swarm.NetworkSpec{Name: name, Attachable: true})
			require.NoError(t, err)
		}
		spec := service("web", swarm.Replicated(2))
		spec.PutNetwork(swarm.NetworkAttachmentConfig{Target: "front"})
		rollout := created(t, client, spec)
		require.NoError(t, waitFor(t, client, rollout, time.Minute))
		change, err := client.Services.Modify(t.Context(), "web", func(s *swarm.Service) error {
			s.Spec.TaskTemplate.Networks = []swarm.NetworkAttachmentConfig{{Target: "back"}}
			return nil
		}, nil)
		require.NoError(t, err)
		assert.ErrorIs(t, waitFor(t, client, rollout, time.Minute), swarm.ErrSuperseded)
		require.NoError(t, waitFor(t, client, change.Rollout, time.Minute))
	})
}

// The tasks of an update that failed are no reason for anything later.
func TestReasonsAreThoseOfTheWantedSpec(t *testing.T) {
	inTime(t, func(t *testing.T, engine *swarmtest.Engine, client *swarm.Client) {
		engine.Image("exits:3", exits(3))
		require.NoError(t, waitFor(t, client, created(t, client, service("web", swarm.Replicated(1))), time.Minute))
		failed, err := client.Services.SetImage(t.Context(), "web", "exits:3", nil)
		require.NoError(t, err)
		require.ErrorContains(t, waitFor(t, client, failed.Rollout, time.Minute), "non-zero exit (3)")
		fixed, err := client.Services.Modify(t.Context(), "web", func(s *swarm.Service) error {
			s.Spec = nowhere(s.Spec)
			s.Spec.TaskTemplate.ContainerSpec.Image = "web:2"
			return nil
		}, nil)
		require.NoError(t, err)
		err = waitFor(t, client, fixed.Rollout, time.Minute)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.NotContains(t, err.Error(), "non-zero exit")
		assert.ErrorContains(t, err, "no suitable node")
	})
}

func TestNoEligibleNodeSaysWhy(t *testing.T) {
	inTime(t, func(t *testing.T, engine *swarmtest.Engine, client *swarm.Client) {
		for _, mode := range []swarm.ServiceMode{swarm.Global(), swarm.GlobalJob()} {
			err := waitFor(t, client, created(t, client, nowhere(service(string(mode.Kind()), mode))), time.Minute)
			assert.ErrorIs(t, err, swarm.ErrNoEligibleNode)
			assert.ErrorContains(t, err, "none of 1 nodes that take tasks meets its constraints: node.labels.nope==1")
		}
		rollout := created(t, client, service("drained", swarm.Global()))
		require.NoError(t, client.Nodes.Drain(t.Context(), "node-1", nil))
		assert.ErrorContains(t, waitFor(t, client, rollout, time.Minute), "none of 1 nodes takes tasks")
	})
}

// A new leader does not know for a moment what the old one has done last.
func TestAnAnswerOfBeforeIsNotTheEnd(t *testing.T) {
	for name, effect := range map[string]swarmtest.Effect{
		"it is gone":        swarmtest.Refuse(http.StatusNotFound, "service web not found"),
		"it has an old one": answerOld(),
	} {
		inTime(t, func(t *testing.T, engine *swarmtest.Engine, client *swarm.Client) {
			require.NoError(t, waitFor(t, client, created(t, client, service("web", swarm.Replicated(1))), time.Minute))
			old, err := client.Services.Inspect(t.Context(), "web")
			require.NoError(t, err)
			oldAnswer.Store(old)
			change, err := client.Services.SetImage(t.Context(), "web", "web:2", nil)
			require.NoError(t, err)
			fault := engine.Inject(swarmtest.Fault{Method: http.MethodGet, Path: "/services/*", Effect: effect, Times: 1})
			assert.NoError(t, waitFor(t, client, change.Rollout, time.Minute), name)
			assert.Equal(t, 1, fault.Hits(), name)
		})
	}
}

var oldAnswer atomic.Pointer[swarm.Service]

// answerOld answers with what a service was before.
func answerOld() swarmtest.Effect {
	return func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write(oldAnswer.Load().Raw)
		})
	}
}

func TestAWaitEndsWhenTooManyTasksHaveFailed(t *testing.T) {
	inTime(t, func(t *testing.T, engine *swarmtest.Engine, client *swarm.Client) {
		engine.Image("exits:3", exits(3))
		for _, mode := range []swarm.ServiceMode{swarm.Replicated(1), swarm.Global(), swarm.ReplicatedJob(1, 1)} {
			spec := service(string(mode.Kind()), mode)
			spec.TaskTemplate.ContainerSpec.Image = "exits:3"
			rollout := created(t, client, spec)
			assert.ErrorIs(t, waitFor(t, client, rollout, time.Minute), context.DeadlineExceeded, "any number may fail")
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			err := client.Services.Wait(ctx, rollout, &swarm.WaitOptions{MaxTaskFailures: 3})
			assert.ErrorIs(t, err, swarm.ErrTasksFailed)
			assert.ErrorContains(t, err, "non-zero exit (3)")
		}
	})
}

func TestAJobIsScaledToZero(t *testing.T) {
	inTime(t, func(t *testing.T, engine *swarmtest.Engine, client *swarm.Client) {
		created(t, client, service("job", swarm.ReplicatedJob(2, 2))) // runs until it is stopped
		time.Sleep(time.Second)
		change, err := client.Services.Scale(t.Context(), "job", 0, &swarm.ServiceModifyOptions{RerunJob: true})
		require.NoError(t, err)
		require.NoError(t, waitFor(t, client, change.Rollout, time.Minute))
		snapshot, err := client.Services.Snapshot(t.Context(), "job")
		require.NoError(t, err)
		assert.Equal(t, swarm.StateComplete, snapshot.State())
	})
}

// statesSeen are the states of the update that a watch goes through, and its end.
func statesSeen(t *testing.T, client *swarm.Client, rollout swarm.Rollout) (states []swarm.UpdateState, err error) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	note := func(progress swarm.Progress) {
		state := swarm.UpdateState("")
		if progress.UpdateStatus != nil {
			state = progress.UpdateStatus.State
		}
		if len(states) == 0 || states[len(states)-1] != state {
			states = append(states, state)
		}
	}
	for progress, err := range client.Services.Watch(ctx, rollout, nil) {
		if err != nil {
			var rolloutError *swarm.RolloutError
			require.ErrorAs(t, err, &rolloutError)
			note(rolloutError.Progress)
			return states, err
		}
		note(progress)
	}
	return states, nil
}

// Every way from one state of an update to another, and what it means to those who
// wait.
func TestEveryTransitionOfAnUpdateHasItsVerdict(t *testing.T) {
	const (
		none                    = swarm.UpdateState("")
		updating, paused        = swarm.UpdateInProgress, swarm.UpdatePaused
		completed               = swarm.UpdateCompleted
		rollback, rollbackEnded = swarm.RollbackInProgress, swarm.RollbackCompleted
		rollbackPaused          = swarm.RollbackPaused
	)
	setImage := func(image string) func(*testing.T, *swarm.Client) swarm.Rollout {
		return func(t *testing.T, client *swarm.Client) swarm.Rollout {
			change, err := client.Services.SetImage(t.Context(), "web", image, nil)
			require.NoError(t, err)
			return change.Rollout
		}
	}
	// ending makes a change and waits until it has come to its end.
	ending := func(change func(*testing.T, *swarm.Client) swarm.Rollout) func(*testing.T, *swarm.Client) {
		return func(t *testing.T, client *swarm.Client) {
			_, _ = statesSeen(t, client, change(t, client))
		}
	}
	back := func(t *testing.T, client *swarm.Client) swarm.Rollout {
		change, err := client.Services.Rollback(t.Context(), "web", nil)
		require.NoError(t, err)
		return change.Rollout
	}
	for name, test := range map[string]struct {
		onFailure swarm.FailureAction
		before    func(*testing.T, *swarm.Client)
		change    func(*testing.T, *swarm.Client) swarm.Rollout
		breaks    bool // the image of the first spec, once the change is made
		states    []swarm.UpdateState
		want      error
	}{
		"none to updating to completed": {change: setImage("web:2"), states: []swarm.UpdateState{none, updating, completed}},
		"updating to paused":            {change: setImage("late:3"), states: []swarm.UpdateState{none, updating, paused}, want: swarm.ErrRolloutPaused},
		"updating to rollback to its end": {onFailure: swarm.RollbackOnFailure, change: setImage("late:3"),
			states: []swarm.UpdateState{none, updating, rollback, rollbackEnded}, want: swarm.ErrRolledBack},
		"rollback to paused": {onFailure: swarm.RollbackOnFailure, change: setImage("late:3"), breaks: true,
			states: []swarm.UpdateState{none, updating, rollback, rollbackPaused}, want: swarm.ErrRollbackPaused},
		"completed to rollback on demand to its end": {before: ending(setImage("web:2")), change: back, states: []swarm.UpdateState{rollback, rollbackEnded}},
		"paused to rollback on demand to its end":    {before: ending(setImage("exits:3")), change: back, states: []swarm.UpdateState{rollback, rollbackEnded}},
		"rollback on demand to paused": {before: ending(setImage("web:2")), change: back, breaks: true,
			states: []swarm.UpdateState{rollback, rollbackPaused}, want: swarm.ErrRollbackPaused},
		"completed to none to updating": {before: ending(setImage("web:3")), change: setImage("web:2"), states: []swarm.UpdateState{none, updating, completed}},
		"paused to none to updating":    {before: ending(setImage("exits:3")), change: setImage("web:2"), states: []swarm.UpdateState{none, updating, completed}},
		"updating to none to updating": {before: func(t *testing.T, client *swarm.Client) {
			setImage("web:3")(t, client)
			time.Sleep(200 * time.Millisecond)
		}, change: setImage("web:2"), states: []swarm.UpdateState{none, updating, completed}},
		"rollback that has ended to none to updating": {onFailure: swarm.RollbackOnFailure, before: ending(setImage("exits:3")),
			change: setImage("web:2"), states: []swarm.UpdateState{none, updating, completed}},
		"rollback that is paused to none to updating": {before: func(t *testing.T, client *swarm.Client) {
			for _, change := range []func(*testing.T, *swarm.Client) swarm.Rollout{setImage("exits:3"), setImage("web:2"), back} {
				ending(change)(t, client)
			}
			service, err := client.Services.Inspect(t.Context(), "web")
			require.NoError(t, err)
			assert.Equal(t, rollbackPaused, service.UpdateStatus.State)
		}, change: setImage("web:2"), states: []swarm.UpdateState{none, updating, completed}},
		"none stays none, for a label": {change: func(t *testing.T, client *swarm.Client) swarm.Rollout {
			change, err := client.Services.Modify(t.Context(), "web", func(service *swarm.Service) error {
				service.Spec.Labels = map[string]string{"a": "b"}
				return nil
			}, nil)
			require.NoError(t, err)
			return change.Rollout
		}, states: []swarm.UpdateState{none}},
		"none stays none, for a number": {before: ending(setImage("web:2")), change: func(t *testing.T, client *swarm.Client) swarm.Rollout {
			change, err := client.Services.Scale(t.Context(), "web", 3, nil)
			require.NoError(t, err)
			return change.Rollout
		}, states: []swarm.UpdateState{none}},
	} {
		inTime(t, func(t *testing.T, engine *swarmtest.Engine, client *swarm.Client) {
			engine.Image("exits:3", exits(3))
			late := swarmtest.Image{Run: func(c *swarmtest.Container) int {
				c.Sleep(time.Second)
				return 3
			}}
			engine.Image("late:3", late)
			spec := service("web", swarm.Replicated(2))
			spec.TaskTemplate.RestartPolicy = &swarm.RestartPolicy{Delay: new(100 * time.Millisecond)}
			spec.UpdateConfig.FailureAction = test.onFailure
			require.NoError(t, waitFor(t, client, created(t, client, spec), time.Minute))
			if test.before != nil {
				test.before(t, client)
			}
			if test.breaks {
				engine.Image("web:1", late)
			}
			states, err := statesSeen(t, client, test.change(t, client))
			assert.Equal(t, test.states, states, name)
			assert.Truef(t, err == nil && test.want == nil || errors.Is(err, test.want), "%s: %v", name, err)
		})
	}
}
