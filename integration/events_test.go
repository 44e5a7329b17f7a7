//go:build integration

package integration

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/swarm-go/swarm"
	"github.com/swarm-go/swarm/integration/engines"
)

// engineTime is the engine's clock, by which it chooses events.
func engineTime(t *testing.T, client *swarm.Client) time.Time {
	t.Helper()
	info, err := client.System.Info(t.Context())
	require.NoError(t, err)
	now, err := time.Parse(time.RFC3339Nano, info.SystemTime)
	require.NoError(t, err)
	return now
}

// told are the events that an engine remembers, as "type action name".
func told(t *testing.T, client *swarm.Client, opts swarm.EventOptions) []string {
	t.Helper()
	list := []string{}
	for event, err := range client.Events.Watch(t.Context(), &opts) {
		require.NoError(t, err)
		list = append(list, fmt.Sprintf("%s %s %s", event.Type, event.Action, event.Actor.Attributes["name"]))
	}
	slices.Sort(list)
	return slices.Compact(list)
}

func TestEventsAreWatchedAsTheyHappen(t *testing.T) {
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		client := newClient(t, e)
		name := serviceName(t, "n")
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		id := ""
		var seen []swarm.EventAction
		opts := &swarm.EventOptions{Since: engineTime(t, client), Types: []swarm.EventType{swarm.EventNetwork}, Networks: []string{name}, Scopes: []swarm.Scope{swarm.ScopeSwarm}}
		var writer sync.WaitGroup
		defer writer.Wait()
		writer.Go(func() {
			created, err := client.Networks.Create(t.Context(), swarm.NetworkSpec{Name: name})
			if assert.NoError(t, err) {
				assert.NoError(t, client.Networks.Remove(t.Context(), created.ID))
			}
		})
		for event, err := range client.Events.Watch(ctx, opts) {
			require.NoError(t, err)
			assert.Equal(t, swarm.EventNetwork, event.Type)
			assert.Equal(t, swarm.ScopeSwarm, event.Scope)
			assert.Equal(t, name, event.Actor.Attributes["name"])
			assert.WithinDuration(t, opts.Since, event.Time, time.Minute)
			assert.Len(t, event.Actor.ID, 25)
			if id == "" {
				id = event.Actor.ID
			}
			assert.Equal(t, id, event.Actor.ID)
			if seen = append(seen, event.Action); event.Action == swarm.ActionRemove {
				break
			}
		}
		assert.Equal(t, swarm.ActionCreate, seen[0])
		assert.Equal(t, swarm.ActionRemove, seen[len(seen)-1])
	})
}

func TestEventsAreChosenByEveryFilter(t *testing.T) {
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		client := newClient(t, e)
		since := engineTime(t, client)
		service, network, volume := serviceName(t, "s"), serviceName(t, "n"), serviceName(t, "v")
		networkID := createNetwork(t, client, swarm.NetworkSpec{Name: network})
		createVolume(t, client, swarm.VolumeSpec{Name: volume})
		spec := testSpec(service)
		spec.TaskTemplate.ContainerSpec.Labels = map[string]string{"test.colour": "red"}
		id := create(t, client, spec)
		change, err := client.Services.Modify(t.Context(), id, func(s *swarm.Service) error {
			s.Spec.Mode = swarm.Replicated(2)
			s.Spec.TaskTemplate.ContainerSpec.Image = engines.Image2
			return nil
		}, nil)
		require.NoError(t, err)
		require.True(t, change.Changed)
		require.Eventually(t, func() bool {
			tasks, err := client.Tasks.List(t.Context(), &swarm.TaskListOptions{Services: []string{id}, UpToDate: true})
			require.NoError(t, err)
			return len(tasks) == 2 && tasks[0].Status.State == swarm.TaskRunning && tasks[1].Status.State == swarm.TaskRunning
		}, time.Minute, 100*time.Millisecond)
		node, err := client.System.Info(t.Context())
		require.NoError(t, err)
		until := engineTime(t, client)

		ours := func(list []string) []string { // other tests make events, too
			return slices.DeleteFunc(list, func(s string) bool { return !strings.Contains(s, strings.TrimSuffix(service, "-s")) })
		}
		with := func(opts swarm.EventOptions) swarm.EventOptions {
			opts.Since, opts.Until = since, until
			return opts
		}
		assert.Equal(t, []string{"service create " + service, "service update " + service},
			ours(told(t, client, with(swarm.EventOptions{Types: []swarm.EventType{swarm.EventService}}))))
		assert.Equal(t, []string{"service create " + service},
			ours(told(t, client, with(swarm.EventOptions{Types: []swarm.EventType{swarm.EventService}, Actions: []swarm.EventAction{swarm.ActionCreate}}))))
		for _, ref := range []string{id, service} {
			assert.Equal(t, []string{"service create " + service, "service update " + service},
				told(t, client, with(swarm.EventOptions{Services: []string{ref}, Scopes: []swarm.Scope{swarm.ScopeSwarm}})), ref)
			containers := told(t, client, with(swarm.EventOptions{Services: []string{ref}, Scopes: []swarm.Scope{swarm.ScopeLocal}, Actions: []swarm.EventAction{swarm.ActionStart}}))
			assert.Equal(t, ref == service, len(containers) > 0, "names of containers begin with that of their service")
			for _, c := range containers {
				assert.Contains(t, c, "container start "+service+".")
			}
		}
		assert.NotEmpty(t, told(t, client, with(swarm.EventOptions{Containers: []string{service}, Types: []swarm.EventType{swarm.EventContainer}})), "a beginning of names")
		assert.NotEmpty(t, ours(told(t, client, with(swarm.EventOptions{Labels: map[string]string{"test.colour": "red"}}))))
		assert.Empty(t, ours(told(t, client, with(swarm.EventOptions{Labels: map[string]string{"test.colour": "blue"}}))))
		assert.NotEmpty(t, ours(told(t, client, with(swarm.EventOptions{Labels: map[string]string{"test.colour": ""}, Images: []string{engines.Image2}}))))
		for _, ref := range []string{network, networkID} {
			assert.Contains(t, told(t, client, with(swarm.EventOptions{Networks: []string{ref}})), "network create "+network)
		}
		assert.Equal(t, []string{"volume create "}, told(t, client, with(swarm.EventOptions{Volumes: []string{volume}})))
		for what, opts := range map[string]swarm.EventOptions{
			"secret": {Secrets: []string{service}, Types: []swarm.EventType{swarm.EventSecret}}, "config": {Configs: []string{service}, Types: []swarm.EventType{swarm.EventConfig}},
			"plugin": {Plugins: []string{service}, Types: []swarm.EventType{swarm.EventPlugin}}, "daemon": {Daemons: []string{service}, Types: []swarm.EventType{swarm.EventDaemon}},
			"image": {Images: []string{"nosuchimage"}}, "container": {Containers: []string{"nosuchcontainer"}}, "node": {Nodes: []string{"nosuchnode"}}, "our node": {Nodes: []string{node.Swarm.NodeID}, Actions: []swarm.EventAction{swarm.ActionRemove}},
			"builder": {Types: []swarm.EventType{swarm.EventBuilder}}, "action": {Actions: []swarm.EventAction{"crea"}},
		} {
			assert.Empty(t, told(t, client, with(opts)), what)
		}

		assert.NotEmpty(t, told(t, client, with(swarm.EventOptions{Secrets: []string{service}})), "engines do not look at the type")

		changes := map[swarm.EventAttribute][2]string{}
		opts := with(swarm.EventOptions{Services: []string{id}, Types: []swarm.EventType{swarm.EventService}})
		for event, err := range client.Events.Watch(t.Context(), &opts) {
			require.NoError(t, err)
			for _, attribute := range []swarm.EventAttribute{swarm.ChangedImage, swarm.ChangedReplicas} {
				if before, after, changed := event.Change(attribute); changed {
					changes[attribute] = [2]string{before, after}
				}
			}
		}
		assert.Equal(t, map[swarm.EventAttribute][2]string{swarm.ChangedImage: {engines.Image1, engines.Image2}, swarm.ChangedReplicas: {"1", "2"}}, changes)
		require.NoError(t, client.Services.Remove(t.Context(), id))
	})
}

func TestEventsOfSecretsAndConfigs(t *testing.T) {
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		client := newClient(t, e)
		since := engineTime(t, client)
		secret, err := client.Secrets.Create(t.Context(), swarm.SecretSpec{Name: serviceName(t, "secret"), Data: []byte("x")})
		require.NoError(t, err)
		require.NoError(t, client.Secrets.Remove(t.Context(), secret))
		config, err := client.Configs.Create(t.Context(), swarm.ConfigSpec{Name: serviceName(t, "config"), Data: []byte("x")})
		require.NoError(t, err)
		require.NoError(t, client.Configs.Remove(t.Context(), config))
		until := engineTime(t, client).Add(time.Second)
		assert.Equal(t, []string{"secret create " + serviceName(t, "secret"), "secret remove " + serviceName(t, "secret")},
			told(t, client, swarm.EventOptions{Since: since, Until: until, Secrets: []string{secret}}))
		assert.Equal(t, []string{"config create " + serviceName(t, "config"), "config remove " + serviceName(t, "config")},
			told(t, client, swarm.EventOptions{Since: since, Until: until, Configs: []string{config}}))
	})
}

func TestEventsEndAtUntilAndNotWithoutAReason(t *testing.T) {
	onEveryOwnEngine(t, func(t *testing.T, e *engines.Engine) {
		client := newClient(t, e)
		opts := &swarm.EventOptions{Until: engineTime(t, client).Add(time.Second)}
		for _, err := range client.Events.Watch(t.Context(), opts) {
			require.NoError(t, err)
		}
		failed := make(chan error, 1)
		watching := make(chan struct{})
		started := sync.OnceFunc(func() { close(watching) })
		go func() {
			var last error
			for event, err := range client.Events.Watch(t.Context(), &swarm.EventOptions{Types: []swarm.EventType{swarm.EventVolume, swarm.EventDaemon}}) {
				if last = err; event.Action == swarm.ActionCreate {
					started()
				}
			}
			failed <- last
		}()
		require.Eventually(t, func() bool {
			_, err := client.Volumes.Create(t.Context(), swarm.VolumeSpec{})
			require.NoError(t, err)
			select {
			case <-watching:
				return true
			default:
				return false
			}
		}, 10*time.Second, 100*time.Millisecond)
		require.NoError(t, e.Stop(t.Context()))
		assert.Error(t, <-failed, "a stream that the engine ends is not complete")
		require.NoError(t, e.Start(t.Context()))
	})
}
