package swarm_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/swarm-go/swarm"
	"github.com/swarm-go/swarm/internal/specchanges"
	"github.com/swarm-go/swarm/swarmtest"
)

// webService makes a service called web.
func webService(t *testing.T, client *swarm.Client, mode swarm.ServiceMode) *swarm.ServiceChange {
	t.Helper()
	spec := swarm.ServiceSpec{Name: "web", Mode: mode}
	spec.TaskTemplate.ContainerSpec.Image = "web:1"
	change, err := client.Services.Create(t.Context(), spec, nil)
	require.NoError(t, err)
	return change
}

// updates counts the updates that an engine was asked for.
func updates(engine *swarmtest.Engine) (count int) {
	for _, request := range engine.Requests() {
		if request.Method == http.MethodPost && strings.HasSuffix(request.Path, "/update") {
			count++
		}
	}
	return count
}

// What was scaled since it was stopped has forgotten how many tasks it had.
func TestWhatWasScaledIsNotStoppedAnyMore(t *testing.T) {
	inTime(t, func(t *testing.T, engine *swarmtest.Engine, client *swarm.Client) {
		ctx := t.Context()
		webService(t, client, swarm.Replicated(3))
		_, err := client.Services.Stop(ctx, "web", nil)
		require.NoError(t, err)
		same, err := client.Services.Scale(ctx, "web", 0, nil)
		require.NoError(t, err)
		assert.False(t, same.Changed)
		scaled, err := client.Services.Scale(ctx, "web", 5, nil)
		require.NoError(t, err)
		assert.Empty(t, scaled.Rollout.Spec.Labels)
		_, err = client.Services.Scale(ctx, "web", 0, nil)
		require.NoError(t, err)
		_, err = client.Services.Start(ctx, "web", nil)
		assert.ErrorIs(t, err, swarm.ErrInvalid)
	})
}

func TestStartBringsBackWhatStopRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engine := swarmtest.Start(t)
		client := engine.Client()
		webService(t, client, swarm.Replicated(3))
		stopped, err := client.Services.Stop(t.Context(), "web", nil)
		require.NoError(t, err)
		assert.True(t, stopped.Changed)
		assert.Equal(t, swarm.Replicated(0), stopped.Rollout.Spec.Mode)
		assert.Equal(t, map[string]string{swarm.StoppedLabel: "3"}, stopped.Rollout.Spec.Labels)
		sent := updates(engine)
		again, err := client.Services.Stop(t.Context(), "web", nil)
		require.NoError(t, err)
		assert.False(t, again.Changed)
		assert.Equal(t, sent, updates(engine))

		started, err := client.Services.Start(t.Context(), "web", nil)
		require.NoError(t, err)
		assert.Equal(t, swarm.Replicated(3), started.Rollout.Spec.Mode)
		assert.NotContains(t, started.Rollout.Spec.Labels, swarm.StoppedLabel)
		require.NoError(t, client.Services.Wait(t.Context(), started.Rollout, nil))
		sent = updates(engine)
		again, err = client.Services.Start(t.Context(), "web", nil)
		require.NoError(t, err)
		assert.False(t, again.Changed)
		assert.Equal(t, sent, updates(engine))
	})
}

func TestStartNeedsToKnowHowManyTasksThereWere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := swarmtest.Start(t).Client()
		webService(t, client, swarm.Replicated(0))
		for _, label := range []string{"", "many", "0", "-1"} {
			_, err := client.Services.Modify(t.Context(), "web", func(s *swarm.Service) error {
				s.Spec.PutLabel(swarm.StoppedLabel, label)
				return nil
			}, nil)
			require.NoError(t, err)
			_, err = client.Services.Start(t.Context(), "web", nil)
			assert.ErrorIs(t, err, swarm.ErrInvalid)
			assert.ErrorContains(t, err, swarm.StoppedLabel)
		}
	})
}

func TestWhatHasNoReplicasCannotBeStopped(t *testing.T) {
	for _, mode := range []swarm.ServiceMode{swarm.Global(), swarm.ReplicatedJob(1, 0), swarm.GlobalJob()} {
		synctest.Test(t, func(t *testing.T) {
			engine := swarmtest.Start(t)
			client := engine.Client()
			webService(t, client, mode)
			_, err := client.Services.Stop(t.Context(), "web", &swarm.ServiceModifyOptions{RerunJob: true})
			assert.ErrorIs(t, err, swarm.ErrInvalid)
			assert.ErrorContains(t, err, string(mode.Kind()))
			_, err = client.Services.Start(t.Context(), "web", nil)
			assert.ErrorIs(t, err, swarm.ErrInvalid)
			assert.Zero(t, updates(engine))
		})
	}
}

// What a change makes of the rest of the service is not written.
func TestModifyWritesTheSpecAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := swarmtest.Start(t).Client()
		web := webService(t, client, swarm.Replicated(1))
		change, err := client.Services.Modify(t.Context(), "web", func(s *swarm.Service) error {
			assert.NotNil(t, s.Raw)
			s.ID, s.Version, s.Raw, s.WithDefaults = "other", swarm.Version{Index: 1}, []byte(`{}`), true
			s.Spec.PutLabel("a", "1")
			return nil
		}, nil)
		require.NoError(t, err)
		assert.Equal(t, web.ID, change.ID)
		service, err := client.Services.Inspect(t.Context(), web.ID)
		require.NoError(t, err)
		assert.Equal(t, "1", service.Spec.Labels["a"])
		assert.Equal(t, "web:1", service.Spec.TaskTemplate.ContainerSpec.Image)
	})
}

func TestModifyEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engine := swarmtest.Start(t)
		client := engine.Client()
		webService(t, client, swarm.Replicated(1))
		engine.Inject(swarmtest.Fault{Path: "/services/*/update", Effect: engine.Conflict()})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err := client.Services.Modify(ctx, "web", func(s *swarm.Service) error { s.Spec.PutLabel("a", "1"); return nil }, nil)
		assert.ErrorIs(t, err, swarm.ErrVersionConflict)
		assert.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Greater(t, updates(engine), 10)
		assert.NotContains(t, err.Error(), "\n")
	})
}

func TestRemoveAndWaitReturnsWhenNothingIsLeft(t *testing.T) {
	for _, mode := range []swarm.ServiceMode{swarm.Replicated(3), swarm.Global(), swarm.ReplicatedJob(2, 0), swarm.GlobalJob()} {
		for _, release := range []swarmtest.Release{swarmtest.Engine2010, swarmtest.Newest} {
			synctest.Test(t, func(t *testing.T) {
				engine := swarmtest.Start(t, swarmtest.WithRelease(release))
				engine.Image("web:1", swarmtest.Image{Run: func(c *swarmtest.Container) int {
					c.Wait()
					time.Sleep(5 * time.Second) // takes its time to end
					return 0
				}})
				client := engine.Client()
				network, err := client.Networks.Create(t.Context(), swarm.NetworkSpec{Name: "backend"})
				require.NoError(t, err)
				spec := swarm.ServiceSpec{Name: "web", Mode: mode}
				spec.TaskTemplate = swarm.TaskSpec{ContainerSpec: swarm.ContainerSpec{Image: "web:1"},
					Networks: []swarm.NetworkAttachmentConfig{{Target: network.ID}}}
				change, err := client.Services.Create(t.Context(), spec, nil)
				require.NoError(t, err)
				time.Sleep(5 * time.Second)
				require.NoError(t, client.Services.RemoveAndWait(t.Context(), "web"))
				tasks, err := client.Tasks.List(t.Context(), nil)
				require.NoError(t, err)
				for _, task := range tasks {
					assert.True(t, task.ServiceID != change.ID || task.Status.State.Terminal(), "%s is %s", task.ID, task.Status.State)
				}
				assert.NoError(t, client.Networks.Remove(t.Context(), network.ID))
				assert.ErrorIs(t, client.Services.RemoveAndWait(t.Context(), "web"), swarm.ErrNotFound)
			})
		}
	}
}

// Managers crash on a service that has lost its placement and nothing else.
func TestAPlacementThatIsTakenAwayLeavesAnEmptyOne(t *testing.T) {
	inTime(t, func(t *testing.T, _ *swarmtest.Engine, client *swarm.Client) {
		spec := swarm.ServiceSpec{Name: "web", Mode: swarm.Replicated(1)}
		spec.TaskTemplate.ContainerSpec.Image = "web:1"
		spec.TaskTemplate.Placement = &swarm.Placement{MaxReplicas: 1}
		_, err := client.Services.Create(t.Context(), spec, nil)
		require.NoError(t, err)
		none := func(service *swarm.Service) error {
			service.Spec.TaskTemplate.Placement = nil
			return nil
		}
		change, err := client.Services.Modify(t.Context(), "web", none, nil)
		require.NoError(t, err)
		assert.True(t, change.Changed)
		require.NoError(t, client.Services.Wait(t.Context(), change.Rollout, nil))
		service, err := client.Services.Inspect(t.Context(), "web")
		require.NoError(t, err)
		assert.Equal(t, &swarm.Placement{}, service.Spec.TaskTemplate.Placement)
		change, err = client.Services.Modify(t.Context(), "web", none, nil)
		require.NoError(t, err)
		assert.False(t, change.Changed)

		spec.TaskTemplate.Placement = nil
		change, err = client.Services.Apply(t.Context(), spec, nil)
		require.NoError(t, err)
		assert.False(t, change.Changed)
	})
}

// A run without tasks is begun only where there are some to be ended.
func TestRemoveAndWaitOfACompleteJobRunsNothing(t *testing.T) {
	for _, mode := range []swarm.ServiceMode{swarm.ReplicatedJob(3, 1), swarm.GlobalJob()} {
		for code, want := range []int{0, 1} {
			synctest.Test(t, func(t *testing.T) {
				engine := swarmtest.Start(t, swarmtest.WithRelease(swarmtest.Engine2010))
				engine.Image("web:1", exits(code))
				client := engine.Client()
				webService(t, client, mode)
				time.Sleep(time.Minute)
				require.NoError(t, client.Services.RemoveAndWait(t.Context(), "web"))
				assert.Equal(t, want, updates(engine))
				time.Sleep(time.Minute)
				tasks, err := client.Tasks.List(t.Context(), nil)
				require.NoError(t, err)
				assert.Empty(t, slices.DeleteFunc(tasks, func(task swarm.Task) bool { return task.Status.State.Terminal() }))
			})
		}
	}
}

func TestRemoveAndWaitSaysWhichTasksAreLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engine := swarmtest.Start(t)
		engine.Image("web:1", swarmtest.Image{Run: func(c *swarmtest.Container) int {
			c.Wait()
			time.Sleep(9 * time.Second)
			return 0
		}})
		client := engine.Client()
		webService(t, client, swarm.Replicated(1))
		time.Sleep(5 * time.Second)
		tasks, err := client.Services.Tasks(t.Context(), "web")
		require.NoError(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		err = client.Services.RemoveAndWait(ctx, "web")
		assert.ErrorIs(t, err, swarm.ErrInProgress)
		assert.ErrorIs(t, err, context.DeadlineExceeded)
		assert.ErrorContains(t, err, tasks[0].ID)
		_, err = client.Services.Inspect(t.Context(), "web")
		assert.ErrorIs(t, err, swarm.ErrNotFound)
		time.Sleep(9 * time.Second)
	})
}

// The engine writes services too, which takes nothing from what is rolled back to.
func TestRollbackGetsPastTheEnginesOwnWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engine := swarmtest.Start(t)
		client := engine.Client()
		webService(t, client, swarm.Replicated(1))
		sent := updates(engine)
		_, err := client.Services.Rollback(t.Context(), "web", nil)
		assert.ErrorIs(t, err, swarm.ErrInvalid)
		assert.Equal(t, sent, updates(engine), "there is nothing to go back to")

		_, err = client.Services.SetImage(t.Context(), "web", "web:2", nil)
		require.NoError(t, err)
		fault := engine.Inject(swarmtest.Fault{Path: "/services/*/update", Effect: engine.Conflict(), Times: 3})
		change, err := client.Services.Rollback(t.Context(), "web", nil)
		require.NoError(t, err)
		assert.Equal(t, 3, fault.Hits())
		assert.Equal(t, "web:1", change.Rollout.Spec.TaskTemplate.ContainerSpec.Image)

		engine.Inject(swarmtest.Fault{Path: "/services/*/update", Times: 1, Effect: func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, err := engine.Client().Services.SetImage(t.Context(), "web", "web:3", nil)
				assert.NoError(t, err)
				next.ServeHTTP(w, r)
			})
		}})
		_, err = client.Services.Rollback(t.Context(), "web", nil)
		assert.ErrorIs(t, err, swarm.ErrVersionConflict)
		service, err := client.Services.Inspect(t.Context(), "web")
		require.NoError(t, err)
		assert.Equal(t, "web:3", service.Spec.TaskTemplate.ContainerSpec.Image)
	})
}

// A hundred clients change one service, each its own part of it.
func TestManyClientsGetPastEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engine := swarmtest.Start(t)
		id := webService(t, engine.Client(), swarm.Replicated(2)).ID
		clients := slices.Repeat([]*swarm.Client{engine.Client()}, 100/swarm.OneIn)
		attempts, err := specchanges.ByMany(t.Context(), id, clients)
		require.NoError(t, err)
		assert.LessOrEqual(t, attempts[len(attempts)/2], 10)
	})
}

func TestDryRunsSendNothingAndSayWhatWouldBe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engine := swarmtest.Start(t, swarmtest.WithRelease(swarmtest.Engine2010))
		client := engine.Client()
		createWeb(t, client)
		toImage("web:2")(t, client)
		before, err := client.Services.Inspect(t.Context(), "web")
		require.NoError(t, err)
		changes := len(engine.Changes())
		dry := &swarm.ServiceModifyOptions{DryRun: true}

		change, err := client.Services.Modify(t.Context(), "web", func(s *swarm.Service) error { s.Spec.PutLabel("a", "1"); return nil }, dry)
		require.NoError(t, err)
		assert.True(t, change.Changed)
		assert.Len(t, swarm.DiffSpec(before.Spec, change.Rollout.Spec), 1)
		assert.Equal(t, "1", change.Rollout.Spec.Labels["a"])
		assert.False(t, swarm.WillRestart(before.Spec, change.Rollout.Spec))
		change, err = client.Services.Redeploy(t.Context(), "web", dry)
		require.NoError(t, err)
		assert.True(t, swarm.WillRestart(before.Spec, change.Rollout.Spec))
		change, err = client.Services.SetImage(t.Context(), "web", "web:2", dry)
		require.NoError(t, err)
		assert.False(t, change.Changed, "it is so already")
		_, err = client.Services.Modify(t.Context(), "web", func(s *swarm.Service) error {
			s.Spec.TaskTemplate.ContainerSpec.OomScoreAdj = 5
			return nil
		}, dry)
		var tooOld *swarm.VersionError
		assert.ErrorAs(t, err, &tooOld)

		change, err = client.Services.Rollback(t.Context(), "web", &swarm.ServiceUpdateOptions{DryRun: true})
		require.NoError(t, err)
		assert.Equal(t, "web:1", change.Rollout.Spec.TaskTemplate.ContainerSpec.Image)
		change, err = client.Services.Apply(t.Context(), serviceSpec("other", "web:1"), dry)
		require.NoError(t, err)
		assert.True(t, change.Changed)
		assert.Empty(t, change.ID)
		assert.Equal(t, "other", change.Rollout.Spec.Name)
		change, err = client.Services.Apply(t.Context(), serviceSpec("web", "web:3"), dry)
		require.NoError(t, err)
		assert.Equal(t, "web:3", change.Rollout.Spec.TaskTemplate.ContainerSpec.Image)
		assert.Len(t, engine.Changes(), changes)
	})
}

// An error of the caller's own function is no conflict of the change, whatever it is.
func TestModifyEndsWithTheErrorOfTheChange(t *testing.T) {
	inTime(t, func(t *testing.T, engine *swarmtest.Engine, client *swarm.Client) {
		_, err := client.Services.Create(t.Context(), service("web", swarm.Replicated(0)), nil)
		require.NoError(t, err)
		nodes, err := client.Nodes.List(t.Context(), nil)
		require.NoError(t, err)
		own := errors.Join(swarm.ErrVersionConflict)
		calls := 0
		_, err = client.Services.Modify(t.Context(), "web", func(*swarm.Service) error { calls++; return own }, nil)
		assert.Equal(t, own, err)
		assert.Equal(t, own, client.Swarm.Modify(t.Context(), func(*swarm.Cluster) error { calls++; return own }))
		assert.Equal(t, own, client.Nodes.Modify(t.Context(), nodes[0].ID, func(*swarm.Node) error { calls++; return own }))
		assert.Equal(t, 3, calls)
	})
}

// The run without tasks that ends an old engine's job pulls nothing.
func TestRemoveAndWaitOfAJobNeedsNoCredentials(t *testing.T) {
	inTime(t, func(t *testing.T, engine *swarmtest.Engine, client *swarm.Client) {
		_, err := client.Services.Create(t.Context(), service("job", swarm.ReplicatedJob(2, 2)), nil)
		require.NoError(t, err)
		time.Sleep(5 * time.Second)
		without := engine.Client(swarm.WithRegistryAuth(func(context.Context, string) (*swarm.RegistryAuth, error) {
			return nil, errors.New("the helper is broken")
		}))
		require.NoError(t, without.Services.RemoveAndWait(t.Context(), "job"))
		assert.Equal(t, 1, updates(engine))
	}, swarmtest.WithRelease(swarmtest.Engine2010))
}

// Engines list tasks of plugins only where they are asked for.
func TestPluginServicesAreChosenByTheirTasks(t *testing.T) {
	inTime(t, func(t *testing.T, engine *swarmtest.Engine, client *swarm.Client) {
		nodes, err := client.Nodes.List(t.Context(), nil)
		require.NoError(t, err)
		services, err := client.Services.List(t.Context(), &swarm.ServiceListOptions{Runtime: swarm.RuntimePlugin,
			Nodes: []string{nodes[0].ID}, States: []swarm.ServiceState{swarm.StateRunning}})
		require.NoError(t, err)
		assert.Empty(t, services)
		asked := 0
		for _, request := range engine.Requests() {
			if strings.HasSuffix(request.Path, "/tasks") {
				asked++
				assert.Contains(t, request.Query, "plugin")
			}
		}
		assert.Equal(t, 3, asked)
	})
}
