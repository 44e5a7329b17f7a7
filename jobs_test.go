package swarm_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/swarm-go/swarm"
	"github.com/swarm-go/swarm/swarmtest"
)

// job is a job of two tasks, whose tasks say hello and end with that code.
func job(engine *swarmtest.Engine, code int) swarm.ServiceSpec {
	engine.Image("job:1", swarmtest.Image{Run: func(c *swarmtest.Container) int {
		c.Printf("hello from %d\n", c.Task().Slot)
		fmt.Fprintln(c.Stderr(), strings.Repeat("x", 100))
		return code
	}})
	spec := service("job", swarm.ReplicatedJob(2, 2))
	spec.TaskTemplate.ContainerSpec.Image = "job:1"
	spec.TaskTemplate.RestartPolicy = &swarm.RestartPolicy{Condition: swarm.RestartNone}
	return spec
}

func TestAJobIsRunAndTellsWhatItHasLeft(t *testing.T) {
	inTime(t, func(t *testing.T, engine *swarmtest.Engine, client *swarm.Client) {
		spec := job(engine, 0)
		result, err := client.Services.RunJob(t.Context(), spec, &swarm.RunJobOptions{MaxLogBytes: 20})
		require.NoError(t, err)
		assert.True(t, result.Created)
		assert.False(t, result.Removed)
		require.Len(t, result.Tasks, 2)
		for i, task := range result.Tasks {
			assert.Equal(t, 0, *task.ExitCode)
			assert.Equal(t, fmt.Sprintf("hello from %d\n", i), string(task.Stdout))
			assert.Equal(t, strings.Repeat("x", 20), string(task.Stderr))
			assert.True(t, task.Truncated)
			assert.NoError(t, task.LogErr)
		}

		again, err := client.Services.RunJob(t.Context(), spec, nil)
		require.NoError(t, err, "although nothing is new")
		assert.False(t, again.Created)
		assert.Equal(t, result.ServiceID, again.ServiceID)
		assert.EqualValues(t, 1, again.Rollout.JobIteration)
		require.Len(t, again.Tasks, 2)
		assert.NotEqual(t, result.Tasks[0].Task.ID, again.Tasks[0].Task.ID)
		assert.Len(t, again.Tasks[0].Stderr, 101)
		assert.False(t, again.Tasks[0].Truncated)
	})
}

func TestAJobIsPinnedWhetherItIsNewOrNot(t *testing.T) {
	inTime(t, func(t *testing.T, engine *swarmtest.Engine, client *swarm.Client) {
		asMe := func(context.Context, string) (*swarm.RegistryAuth, error) {
			return &swarm.RegistryAuth{Username: "me", Password: "p"}, nil
		}
		for i, digest := range []string{digest1, digest2} {
			spec := job(engine, 0)
			engine.Image("job:1", swarmtest.Image{Digest: digest, Username: "me", Password: "p", Run: func(*swarmtest.Container) int { return 0 }})
			result, err := client.Services.RunJob(t.Context(), spec, &swarm.RunJobOptions{AuthFrom: asMe, Pin: swarm.PinRequired})
			require.NoError(t, err)
			assert.Equal(t, i == 0, result.Created)
			assert.Equal(t, "job:1@"+digest, result.Rollout.Spec.TaskTemplate.ContainerSpec.Image)
		}
	})
}

func TestAJobIsRemovedWhenThatIsAskedFor(t *testing.T) {
	for name, test := range map[string]struct {
		remove swarm.JobRemoval
		code   int
		gone   bool
	}{
		"never, succeeds":      {swarm.RemoveNever, 0, false},
		"never, fails":         {swarm.RemoveNever, 3, false},
		"on success, succeeds": {swarm.RemoveOnSuccess, 0, true},
		"on success, fails":    {swarm.RemoveOnSuccess, 3, false},
		"always, succeeds":     {swarm.RemoveAlways, 0, true},
		"always, fails":        {swarm.RemoveAlways, 3, true},
	} {
		inTime(t, func(t *testing.T, engine *swarmtest.Engine, client *swarm.Client) {
			result, err := client.Services.RunJob(t.Context(), job(engine, test.code), &swarm.RunJobOptions{Remove: test.remove})
			if test.code == 0 {
				require.NoError(t, err, name)
			} else {
				require.ErrorIs(t, err, swarm.ErrJobFailed, name)
			}
			ended := 0 // the other task of a job that fails may be under way
			for _, task := range result.Tasks {
				if task.ExitCode != nil {
					ended++
					assert.Equal(t, test.code, *task.ExitCode, name)
					assert.Contains(t, string(task.Stdout), "hello", name)
				}
			}
			assert.NotZero(t, ended, name)
			assert.Equal(t, test.gone, result.Removed, name)
			_, err = client.Services.Inspect(t.Context(), "job")
			assert.Equal(t, test.gone, err != nil, name)
		})
	}
}

func TestAJobThatIsNotWaitedForAnyMoreIsRemovedAllTheSame(t *testing.T) {
	inTime(t, func(t *testing.T, engine *swarmtest.Engine, client *swarm.Client) {
		spec := service("job", swarm.GlobalJob()) // runs until it is stopped
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		result, err := client.Services.RunJob(ctx, spec, &swarm.RunJobOptions{Remove: swarm.RemoveAlways, MaxLogBytes: -1})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.True(t, result.Removed)
		require.Len(t, result.Tasks, 1)
		assert.Nil(t, result.Tasks[0].ExitCode, "it has not ended")
		_, err = client.Services.Inspect(t.Context(), "job")
		assert.ErrorIs(t, err, swarm.ErrNotFound)
	})
}

func TestWhatIsNoJobIsNotRunAsOne(t *testing.T) {
	inTime(t, func(t *testing.T, engine *swarmtest.Engine, client *swarm.Client) {
		_, err := client.Services.RunJob(t.Context(), service("web", swarm.Replicated(1)), nil)
		assert.ErrorIs(t, err, swarm.ErrInvalid)
		_, err = client.Services.RunJob(t.Context(), job(engine, 0), &swarm.RunJobOptions{Remove: "sometimes"})
		assert.ErrorIs(t, err, swarm.ErrInvalid)
		assert.Empty(t, engine.Changes()[len(engine.Changes())-1].Name)
		created(t, client, service("job", swarm.Replicated(1)))
		_, err = client.Services.RunJob(t.Context(), job(engine, 0), nil)
		assert.ErrorIs(t, err, swarm.ErrImmutable)
	})
}

func TestAJobIsCompleteThoughItsLogsCannotBeRead(t *testing.T) {
	inTime(t, func(t *testing.T, engine *swarmtest.Engine, client *swarm.Client) {
		engine.Inject(swarmtest.Fault{Path: "/tasks/*/logs", Effect: swarmtest.Refuse(http.StatusForbidden, "not you")})
		result, err := client.Services.RunJob(t.Context(), job(engine, 0), nil)
		require.NoError(t, err)
		assert.ErrorIs(t, result.Tasks[0].LogErr, swarm.ErrForbidden)
		assert.Equal(t, 0, *result.Tasks[0].ExitCode)
	})
}

// A job of that name and spec that was there before is no answer to a creation whose
// answer is lost.
func TestAJobIsNotMistakenForOneThatRanBefore(t *testing.T) {
	inTime(t, func(t *testing.T, engine *swarmtest.Engine, client *swarm.Client) {
		first, err := client.Services.RunJob(t.Context(), job(engine, 0), nil)
		require.NoError(t, err)
		engine.Inject(swarmtest.Fault{Method: http.MethodPost, Effect: swarmtest.CutAnswer(), Times: 1})
		second, err := client.Services.RunJob(t.Context(), job(engine, 0), nil)
		require.NoError(t, err)
		assert.False(t, second.Created)
		assert.EqualValues(t, 1, second.Rollout.JobIteration)
		require.Len(t, second.Tasks, 2)
		assert.NotEqual(t, first.Tasks[0].Task.ID, second.Tasks[0].Task.ID)
	})
}

// A manager that asks its next leader again calls a conflict what was done.
func TestAJobRunsOnceThoughItsCreationIsCalledAConflict(t *testing.T) {
	inTime(t, func(t *testing.T, engine *swarmtest.Engine, client *swarm.Client) {
		engine.Inject(swarmtest.Fault{Method: http.MethodPost, Effect: asksTwice, Times: 1})
		result, err := client.Services.RunJob(t.Context(), job(engine, 0), nil)
		require.NoError(t, err)
		assert.True(t, result.Created)
		assert.Zero(t, result.Rollout.JobIteration)
		service, err := client.Services.Inspect(t.Context(), "job")
		require.NoError(t, err)
		assert.Zero(t, service.JobStatus.JobIteration.Index)
	})
}

// Old engines go on running the tasks of jobs that are removed.
func TestAJobThatIsRemovedRunsNothingAnyMore(t *testing.T) {
	inTime(t, func(t *testing.T, engine *swarmtest.Engine, client *swarm.Client) {
		spec := service("job", swarm.ReplicatedJob(2, 2)) // runs until it is stopped
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		result, err := client.Services.RunJob(ctx, spec, &swarm.RunJobOptions{Remove: swarm.RemoveAlways, MaxLogBytes: -1})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.True(t, result.Removed)
		assert.Equal(t, 1, updates(engine), "a run without tasks")
		time.Sleep(time.Minute)
		tasks, err := client.Tasks.List(t.Context(), nil)
		require.NoError(t, err)
		for _, task := range tasks {
			assert.True(t, task.Status.State.Terminal(), task.Status.State)
		}
	}, swarmtest.WithRelease(swarmtest.Engine2010))
}

func TestAJobWhoseTasksCannotBeReadIsNotRemoved(t *testing.T) {
	inTime(t, func(t *testing.T, engine *swarmtest.Engine, client *swarm.Client) {
		engine.Inject(swarmtest.Fault{Path: "/tasks", Effect: swarmtest.Refuse(http.StatusForbidden, "not you")})
		result, err := client.Services.RunJob(t.Context(), job(engine, 0), &swarm.RunJobOptions{Remove: swarm.RemoveAlways})
		assert.ErrorIs(t, err, swarm.ErrForbidden)
		assert.False(t, result.Removed)
		_, err = client.Services.Inspect(t.Context(), "job")
		assert.NoError(t, err)
	})
}

// Somebody else removes the job between the end of the wait and the look at its tasks.
func TestAJobThatIsGoneBeforeItsTasksAreReadIsRemoved(t *testing.T) {
	inTime(t, func(t *testing.T, engine *swarmtest.Engine, client *swarm.Client) {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		engine.Inject(swarmtest.Fault{Path: "/tasks", Effect: func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if ctx.Err() != nil {
					assert.NoError(t, engine.Client().Services.Remove(context.Background(), "job"))
				}
				next.ServeHTTP(w, r)
			})
		}})
		spec := service("job", swarm.ReplicatedJob(2, 2)) // runs until it is stopped
		result, err := client.Services.RunJob(ctx, spec, &swarm.RunJobOptions{Remove: swarm.RemoveAlways})
		assert.ErrorIs(t, err, context.DeadlineExceeded)
		assert.ErrorIs(t, err, swarm.ErrRemoved)
		assert.True(t, result.Removed)
		assert.Empty(t, result.Tasks)
	})
}

// Somebody else has the job run again, or removes it, while its logs are read.
func TestAJobThatOthersHaveChangedIsLeftToThem(t *testing.T) {
	for name, others := range map[string]func(*swarm.Client) error{
		"run again": func(client *swarm.Client) error {
			_, err := client.Services.Redeploy(context.Background(), "job", &swarm.ServiceModifyOptions{RerunJob: true})
			return err
		},
		"removed": func(client *swarm.Client) error { return client.Services.Remove(context.Background(), "job") },
	} {
		inTime(t, func(t *testing.T, engine *swarmtest.Engine, client *swarm.Client) {
			engine.Inject(swarmtest.Fault{Path: "/tasks/*/logs", Times: 1, Effect: func(next http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					assert.NoError(t, others(engine.Client()), name)
					next.ServeHTTP(w, r)
				})
			}})
			result, err := client.Services.RunJob(t.Context(), job(engine, 0), &swarm.RunJobOptions{Remove: swarm.RemoveOnSuccess})
			require.NoError(t, err, name)
			assert.Equal(t, name == "removed", result.Removed, name)
			_, err = client.Services.Inspect(t.Context(), "job")
			assert.Equal(t, name == "removed", err != nil, name)
		})
	}
}
