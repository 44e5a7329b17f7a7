package swarm_test

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/swarm-go/swarm"
	"github.com/swarm-go/swarm/swarmtest"
)

// exits is an image whose containers end at once.
func exits(code int) swarmtest.Image {
	return swarmtest.Image{Run: func(*swarmtest.Container) int { return code }}
}

// Every state that a service can be in, as it comes to be.
func TestTheStateOfAService(t *testing.T) {
	broken := func(spec swarm.ServiceSpec, action swarm.FailureAction) swarm.ServiceSpec {
		spec.UpdateConfig = swarm.UpdateConfig{FailureAction: action, Monitor: time.Second}
		return spec
	}
	for _, test := range []struct {
		state    swarm.ServiceState
		spec     swarm.ServiceSpec
		then     func(t *testing.T, client *swarm.Client)
		after    time.Duration
		replicas string
		synced   bool
	}{
		{swarm.StateNotRunning, service("web", swarm.Replicated(0)), nil, time.Second, "0/0", true},
		{swarm.StateStarting, service("web", swarm.Replicated(2)), nil, 0, "0/2", true},
		{swarm.StateRunning, service("web", swarm.Replicated(2)), nil, time.Second, "2/2", true},
		{swarm.StateRunning, service("web", swarm.Global()), nil, time.Second, "2/2", true},
		{swarm.StateFailing, nowhere(service("web", swarm.Replicated(2))), nil, time.Second, "0/2", true},
		{swarm.StatePartial, service("web", swarm.Replicated(1)), func(t *testing.T, client *swarm.Client) {
			changed(t, client, func(spec *swarm.ServiceSpec) {
				spec.TaskTemplate.ContainerSpec.Image, spec.TaskTemplate.ContainerSpec.Env = "half:1", []string{"SLOT={{.Task.Slot}}"}
				spec.Mode, spec.UpdateConfig.FailureAction = swarm.Replicated(2), swarm.ContinueOnFailure
			})
		}, time.Minute, "1/2", true},
		{swarm.StateScaling, service("web", swarm.Replicated(1)), func(t *testing.T, client *swarm.Client) {
			changed(t, client, func(spec *swarm.ServiceSpec) { spec.Mode = swarm.Replicated(3) })
		}, 0, "1/3", true},
		{swarm.StateUpdating, service("web", swarm.Replicated(2)), func(t *testing.T, client *swarm.Client) {
			changed(t, client, func(spec *swarm.ServiceSpec) { spec.TaskTemplate.ForceUpdate++ })
		}, 0, "2/2", false},
		{swarm.StateUpdating, service("web", swarm.Replicated(2)), func(t *testing.T, client *swarm.Client) {
			changed(t, client, func(spec *swarm.ServiceSpec) { spec.TaskTemplate.ForceUpdate++ })
		}, time.Second, "2/2", true},
		{swarm.StatePaused, broken(service("web", swarm.Replicated(2)), swarm.PauseOnFailure), func(t *testing.T, client *swarm.Client) {
			changed(t, client, func(spec *swarm.ServiceSpec) { spec.TaskTemplate.ContainerSpec.Image = "exits:3" })
		}, time.Second, "1/2", false},
		{swarm.StateRollingBack, service("web", swarm.Replicated(2)), func(t *testing.T, client *swarm.Client) {
			changed(t, client, func(spec *swarm.ServiceSpec) { spec.TaskTemplate.ForceUpdate++ })
			time.Sleep(time.Minute)
			_, err := client.Services.Rollback(t.Context(), "web", nil)
			require.NoError(t, err)
		}, time.Second, "2/2", true},
		{swarm.StateRolledBack, broken(service("web", swarm.Replicated(2)), swarm.RollbackOnFailure), func(t *testing.T, client *swarm.Client) {
			changed(t, client, func(spec *swarm.ServiceSpec) { spec.TaskTemplate.ContainerSpec.Image = "exits:3" })
		}, time.Minute, "2/2", true},
		{swarm.StateStopping, service("slow", swarm.Replicated(1)), func(t *testing.T, client *swarm.Client) {
			changed(t, client, func(spec *swarm.ServiceSpec) { spec.Mode = swarm.Replicated(0) })
		}, 100 * time.Millisecond, "1/0", true},
		{swarm.StateStopped, service("web", swarm.Replicated(2)), func(t *testing.T, client *swarm.Client) {
			changed(t, client, func(spec *swarm.ServiceSpec) { spec.Mode = swarm.Replicated(0) })
		}, time.Minute, "0/0", true},
		{swarm.StateStopped, service("web", swarm.Replicated(2)), func(t *testing.T, client *swarm.Client) {
			_, err := client.Services.Stop(t.Context(), "web", nil)
			require.NoError(t, err)
			time.Sleep(time.Minute)
			changed(t, client, func(spec *swarm.ServiceSpec) { spec.PutLabel("the previous spec", "has no replicas either") })
		}, time.Minute, "0/0", true},
		{swarm.StateComplete, service("job", swarm.ReplicatedJob(3, 1)), nil, time.Second, "0/1 (3/3 completed)", true},
		{swarm.StateStarting, nowhere(service("job", swarm.ReplicatedJob(3, 2))), nil, time.Second, "0/2 (0/3 completed)", true},
		{swarm.StateComplete, service("job", swarm.GlobalJob()), nil, time.Second, "0/0 (2/2 completed)", true},
		{swarm.StateRunning, service("web", swarm.GlobalJob()), nil, time.Second, "2/2 (0/2 completed)", true},
	} {
		inTime(t, func(t *testing.T, engine *swarmtest.Engine, client *swarm.Client) {
			engine.Image("exits:3", exits(3))
			engine.Image("job:1", exits(0))
			engine.Image("half:1", swarmtest.Image{Run: func(c *swarmtest.Container) int {
				if c.Task().Slot == 2 {
					return 3
				}
				c.Wait()
				return 0
			}})
			engine.Image("slow:1", swarmtest.Image{Run: func(c *swarmtest.Container) int {
				c.Wait()
				c.Outside(func() { time.Sleep(5 * time.Second) })
				return 0
			}})
			test.spec.TaskTemplate.ContainerSpec.Image = test.spec.Name + ":1"
			test.spec.Name = "web"
			created(t, client, test.spec)
			if test.then != nil {
				time.Sleep(time.Minute)
				test.then(t, client)
			}
			time.Sleep(test.after)
			snapshot, err := client.Services.Snapshot(t.Context(), "web")
			require.NoError(t, err)
			assert.Equal(t, test.state, snapshot.State())
			assert.Equal(t, test.replicas, snapshot.Replicas(), test.state)
			assert.Equal(t, test.synced, snapshot.Synchronized(), test.state)
			listed, err := client.Services.List(t.Context(), &swarm.ServiceListOptions{States: []swarm.ServiceState{test.state}})
			require.NoError(t, err)
			require.Len(t, listed, 1, test.state)
			assert.Equal(t, listed[0].DisplayReplicas(), snapshot.Replicas(), test.state)
			listed, err = client.Services.List(t.Context(), &swarm.ServiceListOptions{States: []swarm.ServiceState{swarm.StateRemoving}})
			require.NoError(t, err)
			assert.Empty(t, listed)
			time.Sleep(10 * time.Second) // containers that are slow to stop have to
		}, swarmtest.WithNodes(1, 1))
	}
}

func changed(t *testing.T, client *swarm.Client, edit func(*swarm.ServiceSpec)) {
	t.Helper()
	_, err := client.Services.Modify(t.Context(), "web", func(service *swarm.Service) error {
		edit(&service.Spec)
		return nil
	}, &swarm.ServiceModifyOptions{RerunJob: true})
	require.NoError(t, err)
}

func TestTheStateOfAServiceThatGoes(t *testing.T) {
	inTime(t, func(t *testing.T, engine *swarmtest.Engine, client *swarm.Client) {
		rollout := created(t, client, service("web", swarm.Replicated(1)))
		time.Sleep(time.Second)
		changed(t, client, func(spec *swarm.ServiceSpec) { spec.Mode = swarm.Replicated(0) })
		time.Sleep(time.Second)
		snapshot, err := client.Services.Snapshot(t.Context(), "web")
		require.NoError(t, err)
		assert.Equal(t, swarm.StateStopped, snapshot.State())

		engine.Image("web:1", swarmtest.Image{Run: func(c *swarmtest.Container) int {
			c.Wait()
			c.Outside(func() { time.Sleep(5 * time.Second) })
			return 0
		}})
		changed(t, client, func(spec *swarm.ServiceSpec) { spec.Mode = swarm.Replicated(1) })
		time.Sleep(time.Second)
		require.NoError(t, client.Services.Remove(t.Context(), "web"))
		time.Sleep(time.Second)
		snapshot, err = client.Services.Snapshot(t.Context(), rollout.ServiceID)
		require.NoError(t, err)
		assert.Equal(t, swarm.StateRemoving, snapshot.State())
		time.Sleep(time.Minute)
		_, err = client.Services.Snapshot(t.Context(), rollout.ServiceID)
		assert.ErrorIs(t, err, swarm.ErrNotFound)
	})
}

func TestTasksThatDoNotRunAreExplained(t *testing.T) {
	inTime(t, func(t *testing.T, engine *swarmtest.Engine, client *swarm.Client) {
		engine.Image("exits:3", exits(3))
		created(t, client, nowhere(service("nowhere", swarm.Replicated(3))))
		created(t, client, service("web", swarm.Replicated(2)))
		failing := service("failing", swarm.Replicated(2))
		failing.TaskTemplate.ContainerSpec.Image = "exits:3"
		created(t, client, failing)
		time.Sleep(17 * time.Second)
		causes, err := client.Services.Explain(t.Context(), "nowhere")
		require.NoError(t, err)
		require.Len(t, causes, 1)
		assert.Equal(t, "3 pending: no suitable node (scheduling constraints not satisfied on 1 node)", causes[0].String())
		assert.Len(t, causes[0].Tasks, 3)
		causes, err = client.Services.Explain(t.Context(), "failing")
		require.NoError(t, err)
		require.Len(t, causes, 1)
		assert.Equal(t, "task: non-zero exit (3)", causes[0].Reason)
		assert.Equal(t, swarm.TaskReady, causes[0].State)
		assert.Equal(t, 8, causes[0].Failures, "four for each slot")
		causes, err = client.Services.Explain(t.Context(), "web")
		require.NoError(t, err)
		assert.Empty(t, causes)
		_, err = client.Services.Explain(t.Context(), "nope")
		assert.ErrorIs(t, err, swarm.ErrNotFound)
	})
}

func TestTasksAreCurrentOrOfThePast(t *testing.T) {
	inTime(t, func(t *testing.T, engine *swarmtest.Engine, client *swarm.Client) {
		created(t, client, service("web", swarm.Replicated(2)))
		time.Sleep(time.Second)
		for range 2 {
			changed(t, client, func(spec *swarm.ServiceSpec) { spec.TaskTemplate.ForceUpdate++ })
			time.Sleep(time.Minute)
		}
		tasks, err := client.Services.Tasks(t.Context(), "web")
		require.NoError(t, err)
		set := swarm.NewTaskSet(tasks)
		require.Len(t, set.Places(), 2)
		require.Len(t, set.Current(), 2)
		require.Len(t, set.History(), 4)
		for slot, task := range set.Current() {
			assert.Equal(t, slot+1, task.Slot)
			assert.Equal(t, swarm.TaskRunning, task.Status.State)
			assert.True(t, set.History()[2*slot].CreatedAt.After(set.History()[2*slot+1].CreatedAt), "the newest first")
		}
		assert.Equal(t, set.Current(), set.InState(swarm.TaskRunning))
		assert.Equal(t, set.History(), set.InState(swarm.TaskShutdown, swarm.TaskFailed))
	})
}

// Engines list tasks of plugins only to those who ask for them.
func TestTheTasksOfPluginsAreAskedFor(t *testing.T) {
	e, client := newScriptedEngine(t, "1.51")
	e.answer("GET /services/p", says(200, `{"ID":"p","Version":{"Index":1},"Spec":{"Name":"p","Mode":{"Global":{}},"TaskTemplate":{"Runtime":"plugin","PluginSpec":{}}}}`))
	e.answer("GET /tasks", says(200, `[{"ID":"t","ServiceID":"p","NodeID":"n","Spec":{"PluginSpec":{}},"Status":{"State":"running"},"DesiredState":"running"}]`))
	e.answer("GET /nodes", says(200, `[{"ID":"n","Status":{"State":"ready"},"Spec":{"Availability":"active"}}]`))
	snapshot, err := client.Services.Snapshot(t.Context(), "p")
	require.NoError(t, err)
	assert.Equal(t, swarm.StateRunning, snapshot.State())
	lists := 0
	for _, request := range e.all() {
		if uri, _ := url.QueryUnescape(request.uri); strings.Contains(uri, "/tasks?") {
			assert.Contains(t, uri, `"runtime":{"plugin":true}`)
			lists++
		}
	}
	assert.Positive(t, lists)
}
