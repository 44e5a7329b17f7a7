//go:build integration

package integration

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
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

// newClient is a client for the engine, closed with the test.
func newClient(t *testing.T, e *engines.Engine, opts ...swarm.Option) *swarm.Client {
	t.Helper()
	client, err := swarm.New(append([]swarm.Option{swarm.WithHost(e.Host)}, opts...)...)
	require.NoError(t, err)
	t.Cleanup(func() { client.Close() })
	return client
}

// serviceName is a name of this test alone.
func serviceName(t *testing.T, suffix string) string {
	name, _, _ := strings.Cut(t.Name(), "/")
	name = strings.ToLower(strings.TrimPrefix(name, "Test"))
	return strings.Trim(fmt.Sprintf("%.40s-%s", name, suffix), "-")
}

// testSpec is a service of one task that prints and then runs until it is stopped.
func testSpec(name string, args ...string) swarm.ServiceSpec {
	return swarm.ServiceSpec{
		Name: name,
		Mode: swarm.Replicated(1),
		TaskTemplate: swarm.TaskSpec{
			ContainerSpec: swarm.ContainerSpec{Image: engines.Image1, Args: args},
			RestartPolicy: &swarm.RestartPolicy{Condition: swarm.RestartOnFailure, Delay: new(100 * time.Millisecond)},
		},
		UpdateConfig: swarm.UpdateConfig{Monitor: 200 * time.Millisecond},
	}
}

// create makes a service that the end of the test removes.
func create(t *testing.T, client *swarm.Client, spec swarm.ServiceSpec) string {
	t.Helper()
	change, err := client.Services.Create(t.Context(), spec, nil)
	require.NoError(t, err)
	require.NotEmpty(t, change.ID)
	require.True(t, change.Changed)
	removeLater(t, client, change.ID)
	return change.ID
}

func removeLater(t *testing.T, client *swarm.Client, id string) {
	t.Cleanup(func() {
		err := client.Services.Remove(context.WithoutCancel(t.Context()), id)
		if !errors.Is(err, swarm.ErrNotFound) {
			assert.NoError(t, err)
		}
	})
}

// update changes a service.
func update(t *testing.T, client *swarm.Client, ref string, edit func(*swarm.ServiceSpec)) *swarm.ServiceChange {
	t.Helper()
	change, err := client.Services.Modify(t.Context(), ref, func(service *swarm.Service) error {
		edit(&service.Spec)
		return nil
	}, &swarm.ServiceModifyOptions{RerunJob: true})
	require.NoError(t, err)
	return change
}

// runningTasks waits until exactly n tasks run, all of the current spec, and
// returns their IDs in order.
func runningTasks(t *testing.T, client *swarm.Client, ref string, n int) []string {
	t.Helper()
	for deadline := time.Now().Add(60 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		current, err := client.Tasks.List(t.Context(), &swarm.TaskListOptions{Services: []string{ref}, UpToDate: true})
		require.NoError(t, err)
		all, err := client.Services.Tasks(t.Context(), ref)
		require.NoError(t, err)
		ids := idsIn(current, swarm.TaskRunning)
		if len(ids) == n && len(idsIn(all, swarm.TaskRunning)) == n {
			slices.Sort(ids)
			return ids
		}
		if time.Now().After(deadline) {
			require.FailNow(t, "tasks do not run", "want %d of %s, have %s", n, ref, describe(all))
		}
	}
}

func idsIn(tasks []swarm.Task, state swarm.TaskState) (ids []string) {
	for _, task := range tasks {
		if task.Status.State == state {
			ids = append(ids, task.ID)
		}
	}
	return ids
}

func describe(tasks []swarm.Task) string {
	var b strings.Builder
	for _, task := range tasks {
		fmt.Fprintf(&b, "%d:%s %s; ", task.Slot, task.Status.State, task.Status.Err)
	}
	return b.String()
}

func TestServiceLife(t *testing.T) {
	t.Parallel()
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		client, ctx := newClient(t, e), t.Context()
		spec := testSpec(serviceName(t, ""), "-lines", "3")
		spec.Labels = map[string]string{"team": "x"}
		change, err := client.Services.Create(ctx, spec, nil)
		require.NoError(t, err)
		removeLater(t, client, change.ID)
		assert.Equal(t, swarm.RolloutCreate, change.Rollout.Kind)
		assert.Equal(t, change.ID, change.Rollout.ServiceID)
		runningTasks(t, client, spec.Name, 1)

		service, err := client.Services.Inspect(ctx, spec.Name)
		require.NoError(t, err)
		assert.Equal(t, change.ID, service.ID)
		assert.Equal(t, spec.TaskTemplate.ContainerSpec.Image, service.Spec.TaskTemplate.ContainerSpec.Image)
		assert.Equal(t, spec.Labels, service.Spec.Labels)
		assert.WithinDuration(t, time.Now(), service.CreatedAt, time.Minute)
		assert.Nil(t, service.PreviousSpec)

		var stdout, stderr bytes.Buffer
		require.Eventually(t, func() bool {
			stdout.Reset()
			stderr.Reset()
			logs, err := client.Services.Logs(ctx, spec.Name, nil)
			require.NoError(t, err)
			require.NoError(t, logs.Copy(&stdout, &stderr))
			require.NoError(t, logs.Close())
			return strings.Count(stdout.String(), "\n") == 3 && strings.Count(stderr.String(), "\n") == 3
		}, 20*time.Second, 100*time.Millisecond)
		assert.Equal(t, "stdout 1\nstdout 2\nstdout 3\n", stdout.String())
		assert.Equal(t, "stderr 1\nstderr 2\nstderr 3\n", stderr.String())

		first := runningTasks(t, client, spec.Name, 1)
		scaled := update(t, client, spec.Name, func(s *swarm.ServiceSpec) { s.Mode = swarm.Replicated(3) })
		assert.True(t, scaled.Changed)
		assert.Equal(t, swarm.RolloutUpdate, scaled.Rollout.Kind)
		assert.Subset(t, runningTasks(t, client, spec.Name, 3), first, "scaling restarted a task")

		update(t, client, spec.Name, func(s *swarm.ServiceSpec) { s.TaskTemplate.ContainerSpec.Image = engines.Image2 })
		second := runningTasks(t, client, spec.Name, 3)
		assert.NotContains(t, second, first[0])
		service, err = client.Services.Inspect(ctx, change.ID)
		require.NoError(t, err)
		require.NotNil(t, service.PreviousSpec)
		assert.Equal(t, engines.Image1, service.PreviousSpec.TaskTemplate.ContainerSpec.Image)

		back, err := client.Services.Rollback(ctx, spec.Name, nil)
		require.NoError(t, err)
		assert.Equal(t, swarm.RolloutRollback, back.Rollout.Kind)
		assert.Equal(t, engines.Image1, back.Rollout.Spec.TaskTemplate.ContainerSpec.Image)
		runningTasks(t, client, spec.Name, 3)
		service, err = client.Services.Inspect(ctx, spec.Name)
		require.NoError(t, err)
		assert.Equal(t, engines.Image1, service.Spec.TaskTemplate.ContainerSpec.Image)

		require.NoError(t, client.Services.Remove(ctx, spec.Name))
		_, err = client.Services.Inspect(ctx, spec.Name)
		assert.ErrorIs(t, err, swarm.ErrNotFound)
		assert.ErrorIs(t, client.Services.Remove(ctx, change.ID), swarm.ErrNotFound)
	})
}

func TestChangeOfALabelRestartsNoTask(t *testing.T) {
	t.Parallel()
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		client := newClient(t, e)
		spec := fullSpec(serviceName(t, ""))
		spec.Mode = swarm.Replicated(2)
		create(t, client, spec)
		before := runningTasks(t, client, spec.Name, 2)
		update(t, client, spec.Name, func(s *swarm.ServiceSpec) { s.Labels = map[string]string{"changed": "yes"} })
		update(t, client, spec.Name, func(s *swarm.ServiceSpec) { s.Mode = swarm.Replicated(3) })
		assert.Subset(t, runningTasks(t, client, spec.Name, 3), before)
	})
}

func TestUpdateKeepsEverythingElseOfTheSpec(t *testing.T) {
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		client := newClient(t, e)
		spec := fullSpec(serviceName(t, ""))
		id := create(t, client, spec)
		before := rawSpec(t, e, id)
		update(t, client, id, func(s *swarm.ServiceSpec) { s.TaskTemplate.ContainerSpec.Hostname = "changed" })
		after := rawSpec(t, e, id)
		after["TaskTemplate"].(map[string]any)["ContainerSpec"].(map[string]any)["Hostname"] = spec.TaskTemplate.ContainerSpec.Hostname
		assert.Equal(t, before, after)
	})
}

// rawSpec is the spec as the engine has it, read without the library.
func rawSpec(t *testing.T, e *engines.Engine, id string) map[string]any {
	t.Helper()
	var service struct{ Spec map[string]any }
	require.NoError(t, e.Call(t.Context(), http.MethodGet, "/services/"+id, nil, &service))
	return service.Spec
}

// fullSpec uses much of what every tested engine knows, empty objects included.
func fullSpec(name string) swarm.ServiceSpec {
	spec := testSpec(name)
	spec.Labels = map[string]string{"a": "1", "empty": ""}
	spec.RollbackConfig = swarm.UpdateConfig{Order: swarm.StartFirst, Parallelism: new(uint64(0))}
	template := &spec.TaskTemplate
	template.Resources = &swarm.ResourceRequirements{Limits: &swarm.Limits{MemoryBytes: 64 << 20, Pids: 50}, Reservations: &swarm.Reservations{}}
	template.Placement = &swarm.Placement{Constraints: []string{"node.platform.os==linux"}, MaxReplicas: 5,
		Preferences: []swarm.PlacementPreference{swarm.SpreadOver("node.labels.zone")}}
	template.LogDriver = &swarm.Driver{Name: "json-file", Options: map[string]string{"max-size": "1m"}}
	container := &template.ContainerSpec
	container.Labels = map[string]string{"b": "2"}
	container.Hostname = "{{.Service.Name}}"
	container.Env = []string{"B=2", "A=1", "EMPTY="}
	container.Dir = "/tmp"
	container.User = "0:0"
	container.Groups = []string{"12"}
	container.Init = new(false)
	container.StopSignal = "SIGTERM"
	container.ReadOnly = true
	container.StopGracePeriod = new(time.Duration(0))
	container.Healthcheck = &swarm.Healthcheck{Test: []string{"CMD", "/testimage", "healthcheck", "0"}, Interval: 5 * time.Second, StartPeriod: time.Second}
	container.Hosts = []string{"10.0.0.1 db"}
	container.DNSConfig = &swarm.DNSConfig{Nameservers: []string{"127.0.0.53"}, Options: []string{"ndots:2"}}
	container.Sysctls = map[string]string{"net.ipv4.ip_unprivileged_port_start": "0"}
	container.CapabilityAdd = []string{"CAP_NET_ADMIN"}
	container.CapabilityDrop = []string{"CAP_CHOWN"}
	container.Ulimits = []swarm.Ulimit{{Name: "nofile", Soft: 100, Hard: 200}}
	container.Mounts = []swarm.Mount{
		{Type: swarm.MountTmpfs, Target: "/tmp", TmpfsOptions: &swarm.TmpfsOptions{SizeBytes: 1 << 20}},
		{Type: swarm.MountVolume, Source: name, Target: "/data", VolumeOptions: &swarm.VolumeOptions{NoCopy: true, Labels: map[string]string{"c": "3"}}},
	}
	spec.EndpointSpec = swarm.EndpointSpec{Mode: swarm.EndpointDNSRR}
	return spec
}

func TestPostedSpecIsReadBackAsWritten(t *testing.T) {
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		client := newClient(t, e)
		spec := fullSpec(serviceName(t, ""))
		service, err := client.Services.Inspect(t.Context(), create(t, client, spec))
		require.NoError(t, err)
		sent, read := asJSON(t, spec), asJSON(t, service.Spec)
		assertCovers(t, read, sent, "")
	})
}

func asJSON(t *testing.T, v any) any {
	t.Helper()
	encoded, err := json.Marshal(v)
	require.NoError(t, err)
	var tree any
	require.NoError(t, json.Unmarshal(encoded, &tree))
	return tree
}

// assertCovers checks that got has everything that want has; engines add their
// defaults.
func assertCovers(t *testing.T, got, want any, path string) {
	t.Helper()
	object, ok := want.(map[string]any)
	if !ok {
		assert.Equal(t, want, got, path)
		return
	}
	gotObject, ok := got.(map[string]any)
	if !assert.True(t, ok, "%s: want an object, got %v", path, got) {
		return
	}
	for name, value := range object {
		assertCovers(t, gotObject[name], value, path+"."+name)
	}
}

func TestSpecOfEveryModeIsAccepted(t *testing.T) {
	t.Parallel()
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		client := newClient(t, e)
		for kind, mode := range map[swarm.ModeKind]swarm.ServiceMode{
			swarm.ModeReplicated:    swarm.Replicated(2),
			swarm.ModeGlobal:        swarm.Global(),
			swarm.ModeReplicatedJob: swarm.ReplicatedJob(3, 0),
			swarm.ModeGlobalJob:     swarm.GlobalJob(),
		} {
			spec := testSpec(serviceName(t, string(kind)))
			spec.Mode = mode
			isJob := kind == swarm.ModeReplicatedJob || kind == swarm.ModeGlobalJob
			if isJob {
				spec.UpdateConfig = swarm.UpdateConfig{} // engines refuse it for jobs
				spec.TaskTemplate.ContainerSpec.Args = []string{"-exit", "0"}
			}
			created, err := client.Services.Create(t.Context(), spec, nil)
			require.NoError(t, err)
			id := created.ID
			removeLater(t, client, id)
			assertIsAsSent(t, client, created.Rollout, kind)
			service, err := client.Services.Inspect(t.Context(), id)
			require.NoError(t, err)
			assert.Equal(t, kind, service.Spec.Mode.Kind())
			assert.Equal(t, isJob, service.JobStatus != nil)
			services, err := client.Services.List(t.Context(), &swarm.ServiceListOptions{Modes: []swarm.ModeKind{kind}})
			require.NoError(t, err)
			assert.Contains(t, serviceIDs(services), id)
			if kind == swarm.ModeReplicatedJob {
				require.Eventually(t, func() bool {
					services, err := client.Services.List(t.Context(), &swarm.ServiceListOptions{IDs: []string{id}})
					require.NoError(t, err)
					require.Len(t, services, 1)
					return services[0].ServiceStatus.CompletedTasks == 3
				}, 60*time.Second, 100*time.Millisecond)
				again := update(t, client, id, func(s *swarm.ServiceSpec) { s.Labels = map[string]string{"again": ""} })
				assert.EqualValues(t, 1, again.Rollout.JobIteration)
			}
		}
	})
}

func serviceIDs(services []swarm.Service) (ids []string) {
	for _, service := range services {
		ids = append(ids, service.ID)
	}
	return ids
}

func TestUpdateWithoutAChangeSendsNothing(t *testing.T) {
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		var posts int
		client := newClient(t, e, swarm.WithObserver(func(o swarm.Observation) {
			if o.Method == http.MethodPost && strings.Contains(o.PathTemplate, "update") {
				posts++
			}
		}))
		id := create(t, client, fullSpec(serviceName(t, "")))
		change := update(t, client, id, func(*swarm.ServiceSpec) {})
		assert.False(t, change.Changed)
		assert.Equal(t, swarm.RolloutSettle, change.Rollout.Kind)
		assert.Zero(t, posts)
	})
}

func TestServiceErrorsAreTyped(t *testing.T) {
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		client, ctx := newClient(t, e), t.Context()
		spec := testSpec(serviceName(t, "a"))
		spec.Mode = swarm.Replicated(0)
		spec.EndpointSpec.Ports = []swarm.PortConfig{{TargetPort: 80, PublishedPort: 45678}}
		id := create(t, client, spec)
		service, err := client.Services.Inspect(ctx, id)
		require.NoError(t, err)
		creating := func(edit func(*swarm.ServiceSpec)) error {
			other := testSpec(serviceName(t, "b"))
			edit(&other)
			change, err := client.Services.Create(ctx, other, nil)
			if err == nil {
				removeLater(t, client, change.ID)
			}
			return err
		}
		updating := func(edit func(*swarm.Service)) error {
			changed := *service
			edit(&changed)
			_, err := client.Services.Update(ctx, &changed, nil)
			return err
		}
		inspecting := func(ref string) error { _, err := client.Services.Inspect(ctx, ref); return err }
		container := func(s *swarm.ServiceSpec) *swarm.ContainerSpec { return &s.TaskTemplate.ContainerSpec }

		for name, test := range map[string]struct{ got, want error }{
			"missing":           {inspecting("nope"), swarm.ErrNotFound},
			"slash":             {inspecting("a/logs"), swarm.ErrInvalid},
			"dots":              {inspecting(".."), swarm.ErrInvalid},
			"empty":             {inspecting(""), swarm.ErrInvalid},
			"10,000 characters": {inspecting(strings.Repeat("x", 10_000)), swarm.ErrInvalid},
			"space":             {inspecting("a b"), swarm.ErrNotFound},
			"unicode":           {inspecting("dienst-ü-服务"), swarm.ErrNotFound},
			"escaped slash":     {inspecting("web%2Flogs"), swarm.ErrNotFound},
			"remove by prefix":  {client.Services.Remove(ctx, id[:10]), swarm.ErrNotFound},
			"remove a missing":  {client.Services.Remove(ctx, "nope"), swarm.ErrNotFound},
			"name taken":        {creating(func(s *swarm.ServiceSpec) { s.Name = spec.Name }), swarm.ErrNameConflict},
			"bad name":          {creating(func(s *swarm.ServiceSpec) { s.Name = "no_good-" }), swarm.ErrInvalid},
			"no image":          {creating(func(s *swarm.ServiceSpec) { container(s).Image = "" }), swarm.ErrInvalid},
			"no such secret": {creating(func(s *swarm.ServiceSpec) {
				container(s).Secrets = []swarm.SecretReference{swarm.MountSecret("nosuchsecret", "x")}
			}), swarm.ErrInvalid},
			"no such network": {creating(func(s *swarm.ServiceSpec) {
				s.TaskTemplate.Networks = []swarm.NetworkAttachmentConfig{{Target: "nosuchnetwork"}}
			}), swarm.ErrInvalid},
			"bad constraint": {creating(func(s *swarm.ServiceSpec) {
				s.TaskTemplate.Placement = &swarm.Placement{Constraints: []string{"nonsense"}}
			}), swarm.ErrInvalid},
			"port in use":  {creating(func(s *swarm.ServiceSpec) { s.EndpointSpec = spec.EndpointSpec }), swarm.ErrInUse},
			"rename":       {updating(func(s *swarm.Service) { s.Spec.Name = "other" }), swarm.ErrImmutable},
			"another mode": {updating(func(s *swarm.Service) { s.Spec.Mode = swarm.Global() }), swarm.ErrImmutable},
			"no mode":      {updating(func(s *swarm.Service) { s.Spec.Mode = swarm.ServiceMode{} }), swarm.ErrImmutable},
			"stale version": {updating(func(s *swarm.Service) {
				s.Version.Index, s.Spec.Labels = 1, map[string]string{"x": "y"}
			}), swarm.ErrVersionConflict},
			"no raw": {updating(func(s *swarm.Service) { s.Raw = nil }), swarm.ErrInvalid},
			"gone": {updating(func(s *swarm.Service) {
				s.ID, s.Spec.Labels = "0000000000000000000000000", map[string]string{"x": "y"}
			}), swarm.ErrNotFound},
		} {
			assert.ErrorIs(t, test.got, test.want, name)
			if test.got != nil {
				assert.NotContains(t, test.got.Error(), "rpc error", name)
			}
		}
		assert.NoError(t, inspecting(id[:10]), "reading takes a prefix")
		_, err = client.Services.Rollback(ctx, id, nil)
		assert.ErrorIs(t, err, swarm.ErrInvalid)
		withDefaults, err := client.Services.InspectWithDefaults(ctx, id)
		require.NoError(t, err)
		assert.Equal(t, swarm.StopFirst, withDefaults.Spec.RollbackConfig.Order)
		_, err = client.Services.Update(ctx, withDefaults, nil)
		assert.ErrorIs(t, err, swarm.ErrInvalid)
		var inUse *swarm.InUseError
		require.ErrorAs(t, creating(func(s *swarm.ServiceSpec) { s.EndpointSpec = spec.EndpointSpec }), &inUse)
		assert.Equal(t, []string{spec.Name}, inUse.Services)
	})
}

func TestServiceWithoutANameGetsOne(t *testing.T) {
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		client := newClient(t, e)
		spec := testSpec("")
		spec.Mode = swarm.Replicated(0)
		service, err := client.Services.Inspect(t.Context(), create(t, client, spec))
		require.NoError(t, err)
		assert.NotEmpty(t, service.Spec.Name)
	})
}

func TestServicesAreListedByWhatIsAskedFor(t *testing.T) {
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		client := newClient(t, e)
		specs := map[string]string{}
		for name, label := range map[string]string{"web": "1", "web2": "2", "db": "1"} {
			spec := testSpec(serviceName(t, name))
			spec.Mode = swarm.Replicated(0)
			spec.Labels = map[string]string{"list-test": label}
			if name == "db" {
				spec.Mode = swarm.Global()
			}
			specs[create(t, client, spec)] = name
		}
		db := serviceName(t, "db")
		runningTasks(t, client, db, 1)
		list := func(opts swarm.ServiceListOptions) (names []string) {
			if opts.Labels == nil {
				opts.Labels = map[string]string{"list-test": ""}
			}
			services, err := client.Services.List(t.Context(), &opts)
			require.NoError(t, err)
			for _, service := range services {
				names = append(names, specs[service.ID])
				require.NotNil(t, service.ServiceStatus)
			}
			slices.Sort(names)
			return names
		}
		service, err := client.Services.Inspect(t.Context(), db)
		require.NoError(t, err)
		assert.Equal(t, []string{"db", "web", "web2"}, list(swarm.ServiceListOptions{}))
		assert.Equal(t, []string{"web"}, list(swarm.ServiceListOptions{Names: []string{serviceName(t, "web")}}))
		assert.Equal(t, []string{"web", "web2"}, list(swarm.ServiceListOptions{NamePrefixes: []string{serviceName(t, "web")}}))
		assert.Equal(t, []string{"db", "web"}, list(swarm.ServiceListOptions{Labels: map[string]string{"list-test": "1"}}))
		assert.Equal(t, []string{"db"}, list(swarm.ServiceListOptions{IDs: []string{service.ID}}))
		assert.Equal(t, []string{"db"}, list(swarm.ServiceListOptions{IDPrefixes: []string{service.ID[:12]}}))
		assert.Empty(t, list(swarm.ServiceListOptions{IDs: []string{service.ID[:12]}}))
		assert.Equal(t, []string{"db"}, list(swarm.ServiceListOptions{Modes: []swarm.ModeKind{swarm.ModeGlobal}}))
		assert.Equal(t, []string{"db", "web", "web2"}, list(swarm.ServiceListOptions{Modes: []swarm.ModeKind{swarm.ModeGlobal, swarm.ModeReplicated}}))
		assert.Empty(t, list(swarm.ServiceListOptions{Runtime: swarm.RuntimePlugin}))
		_, err = client.Services.List(t.Context(), &swarm.ServiceListOptions{Modes: []swarm.ModeKind{"nonsense"}})
		assert.ErrorIs(t, err, swarm.ErrInvalid)
	})
}

func TestTasksAreCountedWhereTheEngineDoesNot(t *testing.T) {
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		client, older := newClient(t, e), newClient(t, e, swarm.WithAPIVersion("1.40"))
		replicated, global := testSpec(serviceName(t, "r")), testSpec(serviceName(t, "g"))
		replicated.Mode, global.Mode = swarm.Replicated(2), swarm.Global()
		create(t, client, replicated)
		create(t, client, global)
		runningTasks(t, client, replicated.Name, 2)
		runningTasks(t, client, global.Name, 1)
		for _, spec := range []swarm.ServiceSpec{replicated, global} {
			opts := &swarm.ServiceListOptions{Names: []string{spec.Name}}
			counted, err := older.Services.List(t.Context(), opts)
			require.NoError(t, err)
			given, err := client.Services.List(t.Context(), opts)
			require.NoError(t, err)
			require.Len(t, counted, 1)
			assert.Equal(t, given[0].ServiceStatus, counted[0].ServiceStatus)
		}
	})
}

func TestTasksAreListedByWhatIsAskedFor(t *testing.T) {
	t.Parallel()
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		client := newClient(t, e)
		spec := testSpec(serviceName(t, ""))
		spec.Labels = map[string]string{"only": "service"}
		id := create(t, client, spec)
		old := runningTasks(t, client, id, 1)
		update(t, client, id, func(s *swarm.ServiceSpec) { s.TaskTemplate.ForceUpdate++ })
		current := runningTasks(t, client, id, 1)
		require.NotEqual(t, old, current)
		task, err := client.Tasks.Inspect(t.Context(), current[0])
		require.NoError(t, err)
		assert.Equal(t, id, task.ServiceID)
		assert.Equal(t, swarm.TaskRunning, task.DesiredState)
		list := func(opts swarm.TaskListOptions) (ids []string) {
			opts.Services = []string{spec.Name}
			tasks, err := client.Tasks.List(t.Context(), &opts)
			require.NoError(t, err)
			for _, task := range tasks {
				ids = append(ids, task.ID)
			}
			return ids
		}
		assert.ElementsMatch(t, append(old, current...), list(swarm.TaskListOptions{}))
		assert.Equal(t, current, list(swarm.TaskListOptions{UpToDate: true}))
		assert.Equal(t, current, list(swarm.TaskListOptions{DesiredStates: []swarm.TaskState{swarm.TaskRunning}}))
		assert.Equal(t, old, list(swarm.TaskListOptions{DesiredStates: []swarm.TaskState{swarm.TaskShutdown}}))
		assert.Equal(t, current, list(swarm.TaskListOptions{IDs: current}))
		assert.Equal(t, current, list(swarm.TaskListOptions{IDPrefixes: []string{current[0][:12]}}))
		assert.Len(t, list(swarm.TaskListOptions{NamePrefixes: []string{spec.Name + ".1"}}), 2)
		assert.Empty(t, list(swarm.TaskListOptions{NamePrefixes: []string{spec.Name + ".2"}}))
		assert.Len(t, list(swarm.TaskListOptions{Nodes: []string{task.NodeID}}), 2)
		assert.Empty(t, list(swarm.TaskListOptions{Runtime: swarm.RuntimePlugin}))
		for _, opts := range []swarm.TaskListOptions{{Services: []string{"nope"}}, {Nodes: []string{"nope"}}} {
			_, err := client.Tasks.List(t.Context(), &opts)
			assert.ErrorIs(t, err, swarm.ErrNotFound)
		}
		_, err = client.Tasks.List(t.Context(), &swarm.TaskListOptions{DesiredStates: []swarm.TaskState{"nonsense"}})
		assert.ErrorIs(t, err, swarm.ErrInvalid)
		_, err = client.Tasks.Inspect(t.Context(), "nope")
		assert.ErrorIs(t, err, swarm.ErrNotFound)
		_, err = client.Services.Tasks(t.Context(), "nope")
		assert.ErrorIs(t, err, swarm.ErrNotFound)
	})
}

func TestServiceLifeAtTheOldestAPIVersion(t *testing.T) {
	t.Parallel()
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		client := newClient(t, e, swarm.WithAPIVersion("1.24"))
		var network struct{ ID string }
		require.NoError(t, e.Call(t.Context(), http.MethodPost, "/networks/create",
			map[string]any{"Name": serviceName(t, "net"), "Driver": "overlay"}, &network))
		t.Cleanup(func() {
			assert.Eventually(t, func() bool {
				return e.Call(context.WithoutCancel(t.Context()), http.MethodDelete, "/networks/"+network.ID, nil, nil) == nil
			}, 20*time.Second, 100*time.Millisecond)
		})
		spec := swarm.ServiceSpec{Name: serviceName(t, ""), Mode: swarm.Replicated(1), TaskTemplate: swarm.TaskSpec{
			ContainerSpec: swarm.ContainerSpec{Image: engines.Image1},
			Networks:      []swarm.NetworkAttachmentConfig{{Target: network.ID}},
		}}
		id, newest := create(t, client, spec), newClient(t, e)
		runningTasks(t, newest, id, 1) // asks for up-to-date tasks, which the oldest version cannot
		tasks, err := client.Services.Tasks(t.Context(), id)
		require.NoError(t, err)
		require.NotEmpty(t, tasks[0].NetworksAttachments, "the task is not on the network")
		update(t, client, id, func(s *swarm.ServiceSpec) { s.Mode = swarm.Replicated(2) })
		assert.Len(t, runningTasks(t, newest, id, 2), 2)
		require.NoError(t, client.Services.Remove(t.Context(), id))

		spec.TaskTemplate.ContainerSpec.TTY = true
		_, err = client.Services.Create(t.Context(), spec, nil)
		var tooNew *swarm.VersionError
		require.ErrorAs(t, err, &tooNew)
		assert.Equal(t, swarm.VersionError{Field: "ServiceSpec.TaskTemplate.ContainerSpec.TTY", Needs: "1.25", Have: "1.24"}, *tooNew)
		assert.ErrorIs(t, err, swarm.ErrUnsupported)
	})
}

func TestEngineOutsideASwarmSaysSo(t *testing.T) {
	onEveryOwnEngine(t, func(t *testing.T, e *engines.Engine) {
		client := newClient(t, e)
		_, err := client.Services.List(t.Context(), nil)
		assert.ErrorIs(t, err, swarm.ErrNoSwarm)
		_, err = client.Services.Create(t.Context(), testSpec("x"), nil)
		assert.ErrorIs(t, err, swarm.ErrNoSwarm)
		assert.NoError(t, client.System.Ping(t.Context()))
		assert.ErrorContains(t, quickstart(t, io.Discard, "-host", e.Host), "docker swarm init")
	})
}

func TestWritersWaitForEachOther(t *testing.T) {
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		const writers = 20
		client := newClient(t, e)
		spec := testSpec(serviceName(t, ""))
		spec.TaskTemplate.ContainerSpec.Env = []string{"KEPT=1"}
		id := create(t, client, spec)
		var group sync.WaitGroup
		for i := range writers {
			group.Go(func() {
				update(t, client, spec.Name, func(s *swarm.ServiceSpec) {
					if s.Labels == nil {
						s.Labels = map[string]string{}
					}
					s.Labels[fmt.Sprintf("writer-%d", i)] = "was here"
				})
			})
		}
		group.Wait()
		service, err := client.Services.Inspect(t.Context(), id)
		require.NoError(t, err)
		assert.Len(t, service.Spec.Labels, writers)
		assert.Equal(t, spec.TaskTemplate.ContainerSpec.Env, service.Spec.TaskTemplate.ContainerSpec.Env)
	})
}

func TestJobIsNotRunAgainByAccident(t *testing.T) {
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		client := newClient(t, e)
		spec := testSpec(serviceName(t, ""), "-exit", "0")
		spec.Mode, spec.UpdateConfig = swarm.ReplicatedJob(1, 0), swarm.UpdateConfig{}
		id := create(t, client, spec)
		_, err := client.Services.Modify(t.Context(), id, func(s *swarm.Service) error {
			s.Spec.Labels = map[string]string{"x": "y"}
			return nil
		}, nil)
		assert.ErrorIs(t, err, swarm.ErrInvalid)
		change, err := client.Services.Modify(t.Context(), id, func(*swarm.Service) error { return nil }, nil)
		require.NoError(t, err)
		assert.False(t, change.Changed)
	})
}

func TestVerbsForCommonChanges(t *testing.T) {
	t.Parallel()
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		client, ctx := newClient(t, e), t.Context()
		id := create(t, client, testSpec(serviceName(t, "")))
		first := runningTasks(t, client, id, 1)
		_, err := client.Services.Scale(ctx, id, 2, nil)
		require.NoError(t, err)
		scaled := runningTasks(t, client, id, 2)
		assert.Subset(t, scaled, first)
		again, err := client.Services.Scale(ctx, id, 2, nil)
		require.NoError(t, err)
		assert.False(t, again.Changed)
		_, err = client.Services.SetImage(ctx, id, engines.Image2, nil)
		require.NoError(t, err)
		updated := runningTasks(t, client, id, 2)
		_, err = client.Services.Redeploy(ctx, id, nil)
		require.NoError(t, err)
		redeployed := runningTasks(t, client, id, 2)
		for _, task := range redeployed {
			assert.NotContains(t, updated, task)
			assert.NotContains(t, scaled, task)
		}

		global := testSpec(serviceName(t, "global"))
		global.Mode = swarm.Global()
		_, err = client.Services.Scale(ctx, create(t, client, global), 2, nil)
		assert.ErrorIs(t, err, swarm.ErrInvalid)
		job := testSpec(serviceName(t, "job"), "-exit", "0")
		job.Mode, job.UpdateConfig = swarm.ReplicatedJob(1, 0), swarm.UpdateConfig{}
		jobID := create(t, client, job)
		_, err = client.Services.Scale(ctx, jobID, 2, nil)
		assert.ErrorIs(t, err, swarm.ErrInvalid, "it would run again")
		change, err := client.Services.Scale(ctx, jobID, 2, &swarm.ServiceModifyOptions{RerunJob: true})
		require.NoError(t, err)
		require.NoError(t, wait(t, client, change.Rollout))
		change, err = client.Services.Redeploy(ctx, jobID, nil)
		require.NoError(t, err)
		assert.EqualValues(t, 2, change.Rollout.JobIteration)
		require.NoError(t, wait(t, client, change.Rollout))
	})
}
