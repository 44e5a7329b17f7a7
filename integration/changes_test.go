//go:build integration

package integration

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/swarm-go/swarm"
	"github.com/swarm-go/swarm/integration/engines"
	"github.com/swarm-go/swarm/internal/specchanges"
)

// specObjects makes what the table of changes refers to, and returns the changes
// that an engine is new enough for.
func specObjects(t *testing.T, e *engines.Engine, client *swarm.Client) (specchanges.Objects, []specchanges.Change) {
	t.Helper()
	objects, err := specchanges.MakeObjects(t.Context(), client)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, objects.Remove(context.WithoutCancel(t.Context()), client)) })
	minor, err := strconv.Atoi(strings.TrimPrefix(e.APIVersion, "1."))
	require.NoError(t, err)
	var known []specchanges.Change
	for _, change := range objects.Changes() {
		if change.Needs <= minor {
			known = append(known, change)
		}
	}
	require.NotEmpty(t, known)
	return objects, known
}

func TestWillRestartSaysWhatEnginesDo(t *testing.T) {
	t.Parallel()
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		client := newClient(t, e)
		objects, changes := specObjects(t, e, client)
		id := create(t, client, objects.Base(serviceName(t, "")))
		for _, change := range changes {
			result, err := objects.Try(t.Context(), client, id, change)
			require.NoError(t, err, change.Name)
			assert.Equal(t, specchanges.Result{Predicted: change.Restarts, Restarted: change.Restarts}, result, change.Name)
		}
	})
}

// A change of the placement alone replaces a task only if it may not stay.
func TestWillRestartSaysWhatEnginesDoForPlacements(t *testing.T) {
	t.Parallel()
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		client := newClient(t, e)
		id := deploy(t, client, testSpec(serviceName(t, "")))
		running := runningTasks(t, client, id, 1)
		for i, edit := range []func(*swarm.ServiceSpec){
			func(s *swarm.ServiceSpec) { s.AddConstraint("node.role==manager") },
			func(s *swarm.ServiceSpec) { s.AddPreference(swarm.SpreadOver("node.labels.zone")) },
			func(s *swarm.ServiceSpec) { s.TaskTemplate.Placement.MaxReplicas = 3 },
			func(s *swarm.ServiceSpec) {
				s.DropConstraint("node.role==manager")
				s.AddConstraint("node.role!=worker")
			},
		} {
			change := update(t, client, id, func(s *swarm.ServiceSpec) {
				before := *s
				edit(s)
				assert.False(t, swarm.WillRestart(before, *s), i)
			})
			require.NoError(t, wait(t, client, change.Rollout))
			assert.Equal(t, running, runningTasks(t, client, id, 1), i)
		}
		update(t, client, id, func(s *swarm.ServiceSpec) { s.AddConstraint("node.role==worker") })
		require.Eventually(t, func() bool {
			task, err := client.Tasks.Inspect(t.Context(), running[0])
			require.NoError(t, err)
			return task.DesiredState == swarm.TaskShutdown
		}, time.Minute, 100*time.Millisecond)
	})
}

// What is applied again is found to be so, whatever the engine has made of it.
func TestApplyTwiceSendsNothing(t *testing.T) {
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		client := newClient(t, e)
		objects, changes := specObjects(t, e, client)
		name := serviceName(t, "")
		create(t, client, objects.Base(name))
		for _, change := range changes {
			spec := objects.Base(name)
			change.Make(&spec)
			_, err := client.Services.Apply(t.Context(), spec, nil)
			require.NoError(t, err, change.Name)
			again, err := client.Services.Apply(t.Context(), spec, nil)
			require.NoError(t, err, change.Name)
			assert.False(t, again.Changed, change.Name)
			service, err := client.Services.Inspect(t.Context(), name)
			require.NoError(t, err)
			assert.Empty(t, swarm.DiffSpec(again.Rollout.Spec, service.Spec), change.Name)
		}
	})
}

// Managers crash on a service that has lost its placement and nothing else.
func TestManagersOutliveAPlacementThatIsTakenAway(t *testing.T) {
	onEveryOwnEngine(t, func(t *testing.T, e *engines.Engine) {
		require.NoError(t, errors.Join(e.InitSwarm(t.Context()), e.LoadImages(t.Context())))
		client := newClient(t, e)
		spec := testSpec(serviceName(t, ""))
		spec.TaskTemplate.Placement = &swarm.Placement{Constraints: []string{"node.role==manager"}}
		id := deploy(t, client, spec)
		running := runningTasks(t, client, id, 1)
		change := update(t, client, id, func(s *swarm.ServiceSpec) { s.TaskTemplate.Placement = nil })
		require.NoError(t, wait(t, client, change.Rollout))
		assert.Equal(t, running, runningTasks(t, client, id, 1), "nothing restarts")
		assert.Empty(t, e.Crash())
	})
}

func TestRemoveAndWaitLeavesNothingInUse(t *testing.T) {
	t.Parallel()
	for i, mode := range []swarm.ServiceMode{swarm.Replicated(2), swarm.Global(), swarm.ReplicatedJob(2, 0), swarm.GlobalJob()} {
		onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
			client, ctx := newClient(t, e), t.Context()
			name := serviceName(t, string(mode.Kind()))
			network, err := client.Networks.Create(ctx, swarm.NetworkSpec{Name: name})
			require.NoError(t, err)
			secret, err := client.Secrets.Create(ctx, swarm.SecretSpec{Name: name, Data: []byte("x")})
			require.NoError(t, err)
			config, err := client.Configs.Create(ctx, swarm.ConfigSpec{Name: name, Data: []byte("x")})
			require.NoError(t, err)
			spec := testSpec(name, "-linger", "1s")
			spec.Mode, spec.UpdateConfig = mode, swarm.UpdateConfig{}
			spec.PutNetwork(swarm.NetworkAttachmentConfig{Target: network.ID})
			spec.PutSecret(swarm.MountSecret(secret, name))
			spec.PutConfig(swarm.MountConfig(config, name))
			published := swarm.PortConfig{TargetPort: 80, PublishedPort: uint32(18950 + i)}
			if kind := mode.Kind(); kind == swarm.ModeReplicated || kind == swarm.ModeGlobal { // jobs have no ports
				spec.AddPort(published)
			}
			id := create(t, client, spec)
			require.Eventually(t, func() bool {
				tasks, err := client.Services.Tasks(ctx, id)
				return assert.NoError(t, err) && len(idsIn(tasks, swarm.TaskRunning)) > 0
			}, time.Minute, 50*time.Millisecond)

			require.NoError(t, client.Services.RemoveAndWait(ctx, name))
			tasks, err := client.Tasks.List(ctx, nil)
			require.NoError(t, err)
			for _, task := range tasks {
				assert.True(t, task.ServiceID != id || task.Status.State.Terminal(), "%s is %s", task.ID, task.Status.State)
			}
			assert.NoError(t, client.Networks.Remove(ctx, network.ID))
			assert.NoError(t, client.Secrets.Remove(ctx, secret))
			assert.NoError(t, client.Configs.Remove(ctx, config))
			again := idleSpec(name)
			again.AddPort(published)
			create(t, client, again)
		})
	}
}

// A hundred clients that change one service at the same time, each a label and a
// variable of its own, get past each other, while each change begins a rollout
// that writes the service as well.
func TestAHundredClientsChangeOneService(t *testing.T) {
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		var clients []*swarm.Client
		for range 100 {
			clients = append(clients, newClient(t, e))
		}
		id := create(t, clients[0], fullSpec(serviceName(t, "")))
		attempts, err := specchanges.ByMany(t.Context(), id, clients)
		require.NoError(t, err)
		t.Logf("attempts: median %d, most %d", attempts[50], attempts[99])
		assert.LessOrEqual(t, attempts[50], 10)
	})
}
