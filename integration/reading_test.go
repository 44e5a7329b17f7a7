//go:build integration

package integration

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/swarm-go/swarm"
	"github.com/swarm-go/swarm/integration/engines"
)

// ingress publishes ports on every node, from numbers of published and target
// ports.
func ingress(protocol swarm.Protocol, numbers ...[2]uint32) (ports []swarm.PortConfig) {
	for _, n := range numbers {
		ports = append(ports, swarm.PortConfig{Protocol: protocol, PublishedPort: n[0], TargetPort: n[1]})
	}
	return ports
}

func TestServicesAreDisplayedAsByTheDockerCommand(t *testing.T) {
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		client, label := newClient(t, e), map[string]string{"displayed": "yes"}
		tcp, udp := swarm.ProtocolTCP, swarm.ProtocolUDP
		service := func(suffix string, edit func(*swarm.ServiceSpec)) string {
			spec := idleSpec(serviceName(t, suffix))
			spec.Labels = label
			edit(&spec)
			return create(t, client, spec)
		}
		const digest = "@sha256:e692418e4cbaf90ca69d05a66403747baa33ee08806650b51fab815ad7fc331f"
		service("10", func(s *swarm.ServiceSpec) {
			s.EndpointSpec.Ports = slices.Concat(ingress(udp, [2]uint32{18091, 91}, [2]uint32{18090, 90}),
				ingress(tcp, [2]uint32{18081, 81}, [2]uint32{18080, 80}, [2]uint32{18082, 82}, [2]uint32{18090, 80}, [2]uint32{18091, 80},
					[2]uint32{18095, 80}, [2]uint32{18096, 82}, [2]uint32{18097, 81}))
		})
		service("2", func(s *swarm.ServiceSpec) {
			s.TaskTemplate.Placement.MaxReplicas = 1
			s.TaskTemplate.ContainerSpec.Image = "docker.io/library/nothing:1" + digest
			s.EndpointSpec.Ports = []swarm.PortConfig{{TargetPort: 80, PublishMode: swarm.PublishHost}}
		})
		service("02", func(s *swarm.ServiceSpec) {
			s.Mode = swarm.Global()
			s.TaskTemplate.ContainerSpec.Image = "registry.example.com:5000/team/nothing" + digest
		})
		service("1-job", func(s *swarm.ServiceSpec) { s.Mode = swarm.GlobalJob() })
		running := service("a", func(s *swarm.ServiceSpec) { s.TaskTemplate.Placement, s.Mode = nil, swarm.Replicated(2) })
		job := service("b", func(s *swarm.ServiceSpec) {
			s.TaskTemplate.Placement, s.Mode = nil, swarm.ReplicatedJob(2, 1)
			s.TaskTemplate.ContainerSpec.Args = []string{"-exit", "0"}
		})
		runningTasks(t, client, running, 2)
		require.Eventually(t, func() bool {
			tasks, err := client.Services.Tasks(t.Context(), job)
			require.NoError(t, err)
			return len(idsIn(tasks, swarm.TaskComplete)) == 2
		}, time.Minute, 100*time.Millisecond)

		services, err := client.Services.List(t.Context(), &swarm.ServiceListOptions{Labels: label})
		require.NoError(t, err)
		slices.SortFunc(services, swarm.CompareServices)
		var lines []string
		for _, s := range services {
			lines = append(lines, strings.Join([]string{swarm.ShortID(s.ID), s.Spec.Name, s.DisplayReplicas(), s.DisplayImage(), s.DisplayPorts()}, "|"))
		}
		listed := docker(t, e, "service", "ls", "--filter", "label=displayed", "--format", "{{.ID}}|{{.Name}}|{{.Replicas}}|{{.Image}}|{{.Ports}}")
		assert.Equal(t, strings.Split(listed, "\n"), lines)
	})
}

func TestTasksAreDisplayedAsByTheDockerCommand(t *testing.T) {
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		client := newClient(t, e)
		names := map[string]string{}
		service := func(suffix string, edit func(*swarm.ServiceSpec)) string {
			spec := idleSpec(serviceName(t, suffix))
			edit(&spec)
			id := create(t, client, spec)
			names[id] = spec.Name
			return id
		}
		many := service("many", func(s *swarm.ServiceSpec) { s.Mode = swarm.Replicated(11) })
		updated := service("updated", func(s *swarm.ServiceSpec) {
			s.TaskTemplate.Placement = nil
			s.EndpointSpec.Ports = []swarm.PortConfig{{TargetPort: 80, PublishMode: swarm.PublishHost}, {TargetPort: 81, PublishMode: swarm.PublishHost}}
		})
		everywhere := service("everywhere", func(s *swarm.ServiceSpec) { s.Mode, s.TaskTemplate.Placement = swarm.Global(), nil })
		runningTasks(t, client, everywhere, 1)
		for range 2 {
			runningTasks(t, client, updated, 1)
			_, err := client.Services.Redeploy(t.Context(), updated, nil)
			require.NoError(t, err)
		}
		runningTasks(t, client, updated, 1)

		refs := []string{names[many], updated, everywhere[:12]}
		tasks, err := client.Services.Tasks(t.Context(), refs...)
		require.NoError(t, err)
		slices.SortFunc(tasks, swarm.CompareTasks(names))
		var lines []string
		for _, task := range tasks {
			lines = append(lines, strings.Join([]string{task.ID, task.DisplayName(names[task.ServiceID]), task.DisplayImage(), task.DisplayPorts()}, "|"))
		}
		args := append([]string{"service", "ps", "--no-trunc", "--format", "{{.ID}}|{{.Name}}|{{.Image}}|{{.Ports}}"}, refs...)
		listed := strings.ReplaceAll(docker(t, e, args...), ` \_ `, "") // before tasks of the past
		assert.Equal(t, strings.Split(listed, "\n"), lines)
		assert.Len(t, lines, 15)

		more, err := client.Services.Tasks(t.Context(), append(refs, "gone", "lost")...)
		assert.Len(t, more, len(tasks))
		assert.ErrorIs(t, err, swarm.ErrNotFound)
		assert.ErrorContains(t, err, "gone")
		assert.ErrorContains(t, err, "lost")

		some, err := client.Tasks.InspectAll(t.Context(), tasks[3].ID, "gone", tasks[1].ID[:15], "lost")
		assert.Equal(t, []string{tasks[3].ID, tasks[1].ID}, []string{some[0].ID, some[1].ID})
		assert.ErrorIs(t, err, swarm.ErrNotFound)
		assert.ErrorContains(t, err, "gone")
		assert.ErrorContains(t, err, "lost")
	})
}

func TestServicesAreListedByWhatTheyUse(t *testing.T) {
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		client, name := newClient(t, e), serviceName(t, "")
		node := ownNode(t, client)
		network := createNetwork(t, client, swarm.NetworkSpec{Name: name})
		createNetwork(t, client, swarm.NetworkSpec{Name: name + "-other"})
		secret := createSecret(t, client, swarm.SecretSpec{Name: name, Data: []byte("x")})
		config := createConfig(t, client, swarm.ConfigSpec{Name: name, Data: []byte("x")})
		spec := testSpec(name)
		spec.TaskTemplate.Networks = []swarm.NetworkAttachmentConfig{{Target: name}}
		spec.TaskTemplate.ContainerSpec.Secrets = []swarm.SecretReference{swarm.MountSecret(secret, name)}
		spec.TaskTemplate.ContainerSpec.Configs = []swarm.ConfigReference{swarm.MountConfig(config, name)}
		id := create(t, client, spec)
		runningTasks(t, client, id, 1)
		idle := create(t, client, idleSpec(name+"-idle"))
		repository, tag, _ := strings.Cut(engines.Image1, ":")
		for _, row := range []struct {
			opts swarm.ServiceListOptions
			want []string
		}{
			{swarm.ServiceListOptions{Networks: []string{name}}, []string{id}},
			{swarm.ServiceListOptions{Networks: []string{network}}, []string{id}},
			{swarm.ServiceListOptions{Networks: []string{name + "-other"}}, nil},
			{swarm.ServiceListOptions{Secrets: []string{name}}, []string{id}},
			{swarm.ServiceListOptions{Secrets: []string{secret}}, []string{id}},
			{swarm.ServiceListOptions{Secrets: []string{config}}, nil},
			{swarm.ServiceListOptions{Configs: []string{name}}, []string{id}},
			{swarm.ServiceListOptions{Configs: []string{config}}, []string{id}},
			{swarm.ServiceListOptions{Images: []string{repository}}, []string{id, idle}},
			{swarm.ServiceListOptions{Images: []string{"docker.io/library/" + repository + ":" + tag}}, []string{id, idle}},
			{swarm.ServiceListOptions{Images: []string{repository + ":latest"}}, nil},
			{swarm.ServiceListOptions{Nodes: []string{node.ID}}, []string{id}},
			{swarm.ServiceListOptions{Nodes: []string{node.Description.Hostname}}, []string{id}},
		} {
			row.opts.NamePrefixes = []string{name}
			services, err := client.Services.List(t.Context(), &row.opts)
			require.NoError(t, err)
			assert.ElementsMatch(t, row.want, serviceIDs(services), "%+v", row.opts)
		}
		for _, opts := range []swarm.ServiceListOptions{{Networks: []string{"gone"}}, {Nodes: []string{"gone"}}} {
			_, err := client.Services.List(t.Context(), &opts)
			assert.ErrorIs(t, err, swarm.ErrNotFound)
		}
	})
}

func TestVariablesAreWhatContainersSee(t *testing.T) {
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		client := newClient(t, e)
		spec := testSpec(serviceName(t, ""), "-cat", "/proc/self/environ", "-lines", "1")
		env := []string{"A=1", "B=2", "A=3", "C=4", "C", "D", "E=", "F=x=y"}
		spec.TaskTemplate.ContainerSpec.Env = env
		id := create(t, client, spec)
		runningTasks(t, client, id, 1)
		seen := swarm.EnvMap(strings.Split(output(t, client, id), "\x00"))
		for name, value := range swarm.EnvMap(env) {
			assert.Equal(t, value, seen[name], name)
		}
		assert.NotContains(t, seen, "D")
		_, found := swarm.LookupEnv(env, "D")
		assert.False(t, found)
	})
}

func TestTheSameImageRestartsNoTask(t *testing.T) {
	t.Parallel()
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		client := newClient(t, e)
		spec := fullSpec(serviceName(t, ""))
		spec.Mode = swarm.Replicated(2)
		id := create(t, client, spec)
		before := runningTasks(t, client, id, 2)

		change, err := client.Services.SetImage(t.Context(), id, engines.Image1, nil)
		require.NoError(t, err)
		assert.False(t, change.Changed)
		change = update(t, client, id, func(s *swarm.ServiceSpec) { s.TaskTemplate.ContainerSpec.Image = engines.Image1 })
		assert.False(t, change.Changed)
		change = update(t, client, id, func(s *swarm.ServiceSpec) { // sent, for the label
			s.TaskTemplate.ContainerSpec.Image = engines.Image1
			s.Labels = map[string]string{"changed": "yes"}
		})
		assert.True(t, change.Changed)
		require.NoError(t, wait(t, client, change.Rollout))
		assert.Equal(t, before, runningTasks(t, client, id, 2))
		all, err := client.Services.Tasks(t.Context(), id)
		require.NoError(t, err)
		assert.Len(t, all, 2, "tasks were replaced")

		_, err = client.Services.SetImage(t.Context(), id, engines.Image2, nil)
		require.NoError(t, err)
		assert.NotEqual(t, before, runningTasks(t, client, id, 2))
	})
}

func TestLogsOfADriverThatKeepsNothingCannotBeRead(t *testing.T) {
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		newest := newClient(t, e)
		spec := testSpec(serviceName(t, ""), "-lines", "3")
		spec.TaskTemplate.LogDriver = &swarm.Driver{Name: "none"}
		id := create(t, newest, spec)
		task := runningTasks(t, newest, id, 1)[0]
		for _, version := range logVersions {
			client := newest
			if version != "" {
				client = newClient(t, e, swarm.WithAPIVersion(version))
			}
			for _, opts := range []*swarm.LogOptions{nil, {Follow: true}, {Format: swarm.LogFormatMultiplexed}} {
				ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second) // engines are silent for ever
				assert.ErrorIs(t, logsError(client.Services.Logs(ctx, spec.Name, opts)), swarm.ErrLogsNotReadable, "%s %+v", version, opts)
				assert.ErrorIs(t, logsError(client.Tasks.Logs(ctx, task, opts)), swarm.ErrLogsNotReadable, "%s %+v", version, opts)
				cancel()
			}
		}
		var silent strings.Builder
		logs, err := newest.Services.Logs(t.Context(), create(t, newest, testSpec(serviceName(t, "silent"))), nil)
		require.NoError(t, err)
		assert.NoError(t, logs.Copy(&silent, &silent), "nothing was printed, but it can be read")
		assert.Empty(t, silent.String())
	})
}

// logsError is what opening a log or reading it fails with.
func logsError(logs *swarm.LogReader, err error) error {
	if err != nil {
		return err
	}
	return logs.Copy(nil, nil)
}

func TestChangesOfServicesAndNodesAreTyped(t *testing.T) {
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		client := newClient(t, e)
		node := ownNode(t, client)
		since := engineTime(t, client)
		spec := idleSpec(serviceName(t, ""))
		id := create(t, client, spec)
		update(t, client, id, func(s *swarm.ServiceSpec) {
			s.Mode = swarm.Replicated(3)
			s.TaskTemplate.ContainerSpec.Image = engines.Image2
		})
		require.NoError(t, client.Nodes.Pause(t.Context(), node.ID))
		require.NoError(t, client.Nodes.Activate(t.Context(), node.ID, nil))

		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		var told []string
		wanted := []string{
			fmt.Sprintf("create %s: replicas false, image false", spec.Name),
			fmt.Sprintf("update %s: replicas 1 to 3, image %s to %s", spec.Name, engines.Image1, engines.Image2),
			fmt.Sprintf("node %s: active to pause", node.ID),
			fmt.Sprintf("node %s: pause to active", node.ID),
		}
		for event, err := range client.Events.Watch(ctx, &swarm.EventOptions{Since: since, Types: []swarm.EventType{swarm.EventService, swarm.EventNode}}) {
			require.NoError(t, err, told)
			if service, ok := event.Service(); ok && service.ID == id {
				told = append(told, describeServiceEvent(event, service))
			}
			if n, ok := event.Node(); ok && n.Availability != nil {
				told = append(told, fmt.Sprintf("node %s: %s to %s", n.ID, n.Availability.Before, n.Availability.After))
			}
			if !slices.ContainsFunc(wanted, func(text string) bool { return !slices.Contains(told, text) }) {
				return
			}
		}
		assert.Subset(t, told, wanted)
	})
}

func describeServiceEvent(event swarm.Event, s swarm.ServiceEvent) string {
	if s.Replicas == nil || s.Image == nil {
		return fmt.Sprintf("%s %s: replicas %t, image %t", event.Action, s.Name, s.Replicas != nil, s.Image != nil)
	}
	return fmt.Sprintf("%s %s: replicas %d to %d, image %s to %s", event.Action, s.Name, s.Replicas.Before, s.Replicas.After, s.Image.Before, s.Image.After)
}

// asRead decodes what an engine has sent, and makes sure that nothing of it is lost.
func asRead[T any](t *testing.T, body json.RawMessage) T {
	t.Helper()
	var value T
	require.NoError(t, json.Unmarshal(body, &value))
	encoded, err := json.Marshal(value)
	require.NoError(t, err)
	assert.Equal(t, withoutNulls(exactly(t, body)), withoutNulls(exactly(t, encoded)))
	return value
}

// exactly decodes JSON and keeps numbers as they are written.
func exactly(t *testing.T, body []byte) (v any) {
	t.Helper()
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	require.NoError(t, decoder.Decode(&v))
	return v
}
