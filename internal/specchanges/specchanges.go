// Package specchanges is a table of changes of a service's spec, of every kind of
// field that services have, for tests on real engines and on the embedded one: of
// what tasks survive, and of what engines make of what they are sent.
package specchanges

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/swarm-go/swarm"
)

// Objects are what specs refer to: two secrets, two configs and two networks that
// there must be, by name and ID.
type Objects struct {
	Secrets, Configs, Networks map[string]string
}

// The names of the objects.
const (
	First  = "specchanges-1"
	Second = "specchanges-2"
)

// Change is a change of the spec that [Objects.Base] returns.
type Change struct {
	// Name is what is changed.
	Name string
	// Make changes the spec.
	Make func(*swarm.ServiceSpec)
	// Restarts says whether engines replace tasks for it.
	Restarts bool
	// Needs is N of the API 1.N that knows the field.
	Needs int
}

// Base is a service whose tasks are placed on no node, so that they come and go
// at once.
func (o Objects) Base(name string) swarm.ServiceSpec {
	return swarm.ServiceSpec{
		Name:   name,
		Labels: map[string]string{"a": "1"},
		Mode:   swarm.Replicated(1),
		TaskTemplate: swarm.TaskSpec{
			ContainerSpec: swarm.ContainerSpec{
				Image:   "specchanges:1",
				Labels:  map[string]string{"a": "1"},
				Env:     []string{"A=1", "B=2"},
				Mounts:  []swarm.Mount{{Target: "/a", Type: swarm.MountTmpfs}, {Target: "/b", Source: "b", Type: swarm.MountVolume}},
				Secrets: []swarm.SecretReference{swarm.MountSecret(o.Secrets[First], First)},
				Configs: []swarm.ConfigReference{swarm.MountConfig(o.Configs[First], First)},
			},
			Placement: &swarm.Placement{Constraints: []string{"node.id==none"}},
			Networks:  []swarm.NetworkAttachmentConfig{{Target: o.Networks[First]}},
		},
		EndpointSpec: swarm.EndpointSpec{Ports: []swarm.PortConfig{{TargetPort: 80, PublishMode: swarm.PublishHost}}},
	}
}

// Changes are the changes.
func (o Objects) Changes() []Change {
	type spec = swarm.ServiceSpec
	container := func(s *spec) *swarm.ContainerSpec { return &s.TaskTemplate.ContainerSpec }
	return []Change{
		{Name: "nothing", Make: func(*spec) {}},
		{Name: "label", Make: func(s *spec) { s.PutLabel("b", "2") }},
		{Name: "label dropped", Make: func(s *spec) { s.DropLabel("a") }},
		{Name: "replicas", Make: func(s *spec) { s.Mode = swarm.Replicated(2) }},
		{Name: "update config", Make: func(s *spec) { s.UpdateConfig = swarm.UpdateConfig{Order: swarm.StartFirst} }},
		{Name: "rollback config", Make: func(s *spec) { s.RollbackConfig = swarm.UpdateConfig{Delay: time.Second} }},
		{Name: "image", Restarts: true, Make: func(s *spec) { container(s).Image = "specchanges:2" }},
		{Name: "image spelled out", Restarts: true, Make: func(s *spec) { container(s).Image = "docker.io/library/specchanges:1" }},
		{Name: "container label", Restarts: true, Make: func(s *spec) { s.PutContainerLabel("b", "2") }},
		{Name: "container label dropped", Restarts: true, Make: func(s *spec) { s.DropContainerLabel("a") }},
		{Name: "command", Restarts: true, Make: func(s *spec) { container(s).Command = []string{"/x"} }},
		{Name: "args", Restarts: true, Make: func(s *spec) { container(s).Args = []string{"x"} }},
		{Name: "hostname", Restarts: true, Make: func(s *spec) { container(s).Hostname = "x" }},
		{Name: "variable", Restarts: true, Make: func(s *spec) { s.PutEnv("A", "2") }},
		{Name: "variable added", Restarts: true, Make: func(s *spec) { s.PutEnv("C", "3") }},
		{Name: "variable dropped", Restarts: true, Make: func(s *spec) { s.DropEnv("A") }},
		{Name: "order of variables", Restarts: true, Make: func(s *spec) { container(s).Env = []string{"B=2", "A=1"} }},
		{Name: "dir", Restarts: true, Make: func(s *spec) { container(s).Dir = "/tmp" }},
		{Name: "user", Restarts: true, Make: func(s *spec) { container(s).User = "1" }},
		{Name: "groups", Restarts: true, Make: func(s *spec) { container(s).Groups = []string{"1"} }},
		{Name: "no new privileges", Needs: 44, Restarts: true, Make: func(s *spec) { container(s).Privileges = &swarm.Privileges{NoNewPrivileges: new(true)} }},
		{Name: "credential spec", Needs: 29, Restarts: true, Make: func(s *spec) {
			container(s).Privileges = &swarm.Privileges{CredentialSpec: &swarm.CredentialSpec{File: "x"}}
		}},
		{Name: "SELinux labels", Needs: 29, Restarts: true, Make: func(s *spec) {
			container(s).Privileges = &swarm.Privileges{SELinuxContext: &swarm.SELinuxContext{Type: "x"}}
		}},
		{Name: "seccomp", Needs: 44, Restarts: true, Make: func(s *spec) {
			container(s).Privileges = &swarm.Privileges{Seccomp: &swarm.SeccompOpts{Mode: swarm.SeccompUnconfined}}
		}},
		{Name: "AppArmor", Needs: 44, Restarts: true, Make: func(s *spec) {
			container(s).Privileges = &swarm.Privileges{AppArmor: &swarm.AppArmorOpts{Mode: swarm.AppArmorDisabled}}
		}},
		{Name: "OOM score", Needs: 46, Restarts: true, Make: func(s *spec) { container(s).OomScoreAdj = 100 }},
		{Name: "tty", Restarts: true, Make: func(s *spec) { container(s).TTY = true }},
		{Name: "stdin", Restarts: true, Make: func(s *spec) { container(s).OpenStdin = true }},
		{Name: "read-only", Restarts: true, Make: func(s *spec) { container(s).ReadOnly = true }},
		{Name: "mount", Restarts: true, Make: func(s *spec) { s.PutMount(swarm.Mount{Target: "/c", Source: "/tmp"}) }},
		{Name: "mount's options", Restarts: true, Make: func(s *spec) {
			s.PutMount(swarm.Mount{Target: "/a", Type: swarm.MountTmpfs, TmpfsOptions: &swarm.TmpfsOptions{SizeBytes: 4096}})
		}},
		{Name: "propagation", Restarts: true, Make: func(s *spec) {
			s.PutMount(swarm.Mount{Target: "/c", Source: "/tmp", Type: swarm.MountBind, BindOptions: &swarm.BindOptions{Propagation: swarm.PropagationRSlave}})
		}},
		{Name: "volume's driver", Restarts: true, Make: func(s *spec) {
			s.PutMount(swarm.Mount{Target: "/b", Source: "b", Type: swarm.MountVolume,
				VolumeOptions: &swarm.VolumeOptions{Labels: map[string]string{"a": "1"}, DriverConfig: &swarm.Driver{Name: "local"}}})
		}},
		{Name: "mount dropped", Restarts: true, Make: func(s *spec) { s.DropMount("/a") }},
		{Name: "stop signal", Restarts: true, Make: func(s *spec) { container(s).StopSignal = "SIGINT" }},
		{Name: "grace period", Restarts: true, Make: func(s *spec) { container(s).StopGracePeriod = new(time.Second) }},
		{Name: "default grace period", Restarts: true, Make: func(s *spec) { container(s).StopGracePeriod = new(10 * time.Second) }},
		{Name: "health check", Restarts: true, Make: func(s *spec) { container(s).Healthcheck = &swarm.Healthcheck{Test: []string{"NONE"}} }},
		{Name: "hosts", Restarts: true, Make: func(s *spec) { container(s).Hosts = []string{"10.0.0.1 db"} }},
		{Name: "DNS", Restarts: true, Make: func(s *spec) { container(s).DNSConfig = &swarm.DNSConfig{Options: []string{"ndots:2"}} }},
		{Name: "empty DNS", Restarts: true, Make: func(s *spec) { container(s).DNSConfig = &swarm.DNSConfig{} }},
		{Name: "secret", Restarts: true, Make: func(s *spec) { s.PutSecret(swarm.MountSecret(o.Secrets[Second], Second)) }},
		{Name: "another secret", Restarts: true, Make: func(s *spec) { s.ReplaceSecret(First, o.Secrets[Second], Second) }},
		{Name: "secret dropped", Restarts: true, Make: func(s *spec) { s.DropSecret(First) }},
		{Name: "config", Restarts: true, Make: func(s *spec) { s.PutConfig(swarm.MountConfig(o.Configs[Second], Second)) }},
		{Name: "another config", Restarts: true, Make: func(s *spec) { s.ReplaceConfig(First, o.Configs[Second], Second) }},
		{Name: "config dropped", Restarts: true, Make: func(s *spec) { s.DropConfig(First) }},
		{Name: "default isolation", Make: func(s *spec) { container(s).Isolation = swarm.IsolationDefault }},
		{Name: "init", Restarts: true, Make: func(s *spec) { container(s).Init = new(false) }},
		{Name: "sysctls", Restarts: true, Make: func(s *spec) { container(s).Sysctls = map[string]string{"net.core.somaxconn": "1"} }},
		{Name: "capabilities", Needs: 41, Restarts: true, Make: func(s *spec) { container(s).CapabilityAdd = []string{"CAP_NET_ADMIN"} }},
		{Name: "ulimits", Needs: 41, Restarts: true, Make: func(s *spec) { container(s).Ulimits = []swarm.Ulimit{{Name: "nofile", Soft: 1, Hard: 2}} }},
		{Name: "limits", Restarts: true, Make: func(s *spec) {
			s.TaskTemplate.Resources = &swarm.ResourceRequirements{Limits: &swarm.Limits{MemoryBytes: 64 << 20}}
		}},
		{Name: "reservations", Restarts: true, Make: func(s *spec) {
			s.TaskTemplate.Resources = &swarm.ResourceRequirements{Reservations: &swarm.Reservations{MemoryBytes: 8 << 20}}
		}},
		{Name: "generic resources", Needs: 32, Restarts: true, Make: func(s *spec) {
			s.PutGenericResource(swarm.GenericResource{DiscreteResourceSpec: &swarm.DiscreteGenericResource{Kind: "gpu", Value: 1}})
		}},
		{Name: "empty resources", Restarts: true, Make: func(s *spec) { s.TaskTemplate.Resources = &swarm.ResourceRequirements{} }},
		{Name: "restart policy", Restarts: true, Make: func(s *spec) { s.TaskTemplate.RestartPolicy = &swarm.RestartPolicy{Condition: swarm.RestartNone} }},
		{Name: "default restart policy", Restarts: true, Make: func(s *spec) { s.TaskTemplate.RestartPolicy = swarm.DefaultRestartPolicy() }},
		{Name: "empty restart policy", Restarts: true, Make: func(s *spec) { s.TaskTemplate.RestartPolicy = &swarm.RestartPolicy{} }},
		{Name: "network", Restarts: true, Make: func(s *spec) { s.PutNetwork(swarm.NetworkAttachmentConfig{Target: o.Networks[Second]}) }},
		{Name: "alias", Restarts: true, Make: func(s *spec) {
			s.PutNetwork(swarm.NetworkAttachmentConfig{Target: o.Networks[First], Aliases: []string{"db"}})
		}},
		{Name: "options for a network's driver", Needs: 39, Restarts: true, Make: func(s *spec) {
			s.PutNetwork(swarm.NetworkAttachmentConfig{Target: o.Networks[First], DriverOpts: map[string]string{"a": "1"}})
		}},
		{Name: "network dropped", Restarts: true, Make: func(s *spec) { s.DropNetwork(o.Networks[First]) }},
		{Name: "log driver", Restarts: true, Make: func(s *spec) { s.TaskTemplate.LogDriver = &swarm.Driver{Name: "json-file"} }},
		{Name: "force", Restarts: true, Make: func(s *spec) { s.TaskTemplate.ForceUpdate++ }},
		{Name: "default runtime", Make: func(s *spec) { s.TaskTemplate.Runtime = swarm.RuntimeContainer }},
		{Name: "default endpoint", Make: func(s *spec) { s.EndpointSpec.Mode = swarm.EndpointVIP }},
		{Name: "default protocol", Make: func(s *spec) { s.EndpointSpec.Ports[0].Protocol = swarm.ProtocolTCP }},
		{Name: "endpoint mode", Restarts: true, Make: func(s *spec) { s.EndpointSpec.Mode = swarm.EndpointDNSRR }},
		{Name: "port", Restarts: true, Make: func(s *spec) { s.AddPort(swarm.PortConfig{TargetPort: 81, PublishMode: swarm.PublishHost}) }},
		{Name: "published port", Restarts: true, Make: func(s *spec) {
			s.PutPort(swarm.PortConfig{TargetPort: 80, PublishedPort: 8080, PublishMode: swarm.PublishHost})
		}},
		{Name: "port dropped", Restarts: true, Make: func(s *spec) { s.DropPort(80, swarm.ProtocolTCP, swarm.PublishHost) }},
		{Name: "no endpoint", Restarts: true, Make: func(s *spec) { s.EndpointSpec = swarm.EndpointSpec{} }},
	}
}

// MakeObjects makes what the specs refer to.
func MakeObjects(ctx context.Context, client *swarm.Client) (Objects, error) {
	o := Objects{Secrets: map[string]string{}, Configs: map[string]string{}, Networks: map[string]string{}}
	for _, name := range []string{First, Second} {
		var err error
		if o.Secrets[name], err = client.Secrets.Create(ctx, swarm.SecretSpec{Name: name, Data: []byte("x")}); err != nil {
			return o, err
		}
		if o.Configs[name], err = client.Configs.Create(ctx, swarm.ConfigSpec{Name: name, Data: []byte("x")}); err != nil {
			return o, err
		}
		network, err := client.Networks.Create(ctx, swarm.NetworkSpec{Name: name})
		if err != nil {
			return o, err
		}
		o.Networks[name] = network.ID
	}
	return o, nil
}

// Remove removes the objects.
func (o Objects) Remove(ctx context.Context, client *swarm.Client) error {
	for _, name := range []string{First, Second} {
		if err := errors.Join(client.Secrets.Remove(ctx, o.Secrets[name]), client.Configs.Remove(ctx, o.Configs[name]),
			client.Networks.Remove(ctx, o.Networks[name])); err != nil {
			return err
		}
	}
	return nil
}

// Result is what has become of a change.
type Result struct {
	// Predicted is what WillRestart said.
	Predicted bool
	// Restarted says whether the engine has the task of before replaced.
	Restarted bool
}

// Try makes a change of a service that has the Base spec, and takes it back.
func (o Objects) Try(ctx context.Context, client *swarm.Client, id string, change Change) (Result, error) {
	before, err := currentTask(ctx, client, id)
	if err != nil {
		return Result{}, err
	}
	var result Result
	original := swarm.ServiceSpec{}
	_, err = client.Services.Modify(ctx, id, func(s *swarm.Service) error {
		original = s.Spec
		changed := o.Base(s.Spec.Name)
		change.Make(&changed)
		result.Predicted = swarm.WillRestart(original, changed)
		s.Spec = changed
		return nil
	}, nil)
	if err != nil {
		return result, err
	}
	current, err := client.Tasks.List(ctx, &swarm.TaskListOptions{Services: []string{id}, IDs: []string{before}, UpToDate: true})
	if err != nil {
		return result, err
	}
	result.Restarted = len(current) == 0
	_, err = client.Services.Modify(ctx, id, func(s *swarm.Service) error { s.Spec = original; return nil }, nil)
	return result, err
}

// currentTask waits until a service shall have one task, of the spec that it has,
// and returns its ID.
func currentTask(ctx context.Context, client *swarm.Client, id string) (string, error) {
	for {
		wanted, err := client.Tasks.List(ctx, &swarm.TaskListOptions{Services: []string{id}, DesiredStates: []swarm.TaskState{swarm.TaskRunning}})
		if err != nil {
			return "", err
		}
		current, err := client.Tasks.List(ctx, &swarm.TaskListOptions{Services: []string{id}, UpToDate: true})
		if err != nil {
			return "", err
		}
		isIt := func(t swarm.Task) bool { return len(wanted) == 1 && t.ID == wanted[0].ID }
		if slices.ContainsFunc(current, isIt) {
			return wanted[0].ID, nil
		}
		select {
		case <-ctx.Done():
			return "", fmt.Errorf("no task is up to date: %w", ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}
