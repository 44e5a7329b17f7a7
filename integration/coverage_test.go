//go:build integration

package integration

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/swarm-go/swarm"
	"github.com/swarm-go/swarm/integration/engines"
)

// The tests of this file exercise the rows of docs/from-docker-py.md,
// from-aiodocker.md and from-docker-cloud.md. Each key of facts, choices and
// rows is what those pages name behind the test, and a test of internal/house
// checks that both agree.

// facts are what an engine must have, each at a path such as "Spec.Env.0".
type facts map[string]fact

type fact struct {
	path string
	want any // nil: nothing is there
}

func (f facts) check(t *testing.T, object any) {
	for row, fact := range f {
		t.Run(row, func(t *testing.T) { fact.check(t, object) })
	}
}

func (f fact) check(t *testing.T, object any) {
	t.Helper()
	assert.Equal(t, asJSON(t, f.want), at(object, f.path), f.path)
}

// at is what a path leads to, nil if it leads nowhere.
func at(object any, path string) any {
	for _, step := range steps(path) {
		switch value := object.(type) {
		case map[string]any:
			object = value[step]
		case []any:
			i, err := strconv.Atoi(step)
			if err != nil || i >= len(value) {
				return nil
			}
			object = value[i]
		default:
			return nil
		}
	}
	return object
}

// rows are things to do, each on its own.
type rows map[string]func(t *testing.T)

func (r rows) run(t *testing.T) {
	for row, test := range r {
		t.Run(row, test)
	}
}

// raw reads an object without the library.
func raw(t *testing.T, e *engines.Engine, path string) any {
	t.Helper()
	var object any
	require.NoError(t, e.Call(t.Context(), http.MethodGet, path, nil, &object))
	return object
}

// fullerSpec sets what the other libraries have a keyword for. Nothing runs.
func fullerSpec(name, network, secret, config string) swarm.ServiceSpec {
	return swarm.ServiceSpec{
		Name: name, Labels: map[string]string{"service": "label"}, Mode: swarm.Replicated(0),
		UpdateConfig: swarm.UpdateConfig{Parallelism: new(uint64(3)), Delay: time.Second, FailureAction: swarm.RollbackOnFailure,
			Monitor: 2 * time.Second, MaxFailureRatio: 0.25, Order: swarm.StartFirst},
		RollbackConfig: swarm.UpdateConfig{Parallelism: new(uint64(0)), Delay: 3 * time.Second, FailureAction: swarm.ContinueOnFailure,
			Monitor: 4 * time.Second, MaxFailureRatio: 0.5, Order: swarm.StartFirst},
		EndpointSpec: swarm.EndpointSpec{Mode: swarm.EndpointDNSRR, Ports: []swarm.PortConfig{
			{Name: "dns", Protocol: swarm.ProtocolUDP, TargetPort: 53, PublishedPort: 8053, PublishMode: swarm.PublishHost}}},
		TaskTemplate: swarm.TaskSpec{
			ForceUpdate: 3, ContainerSpec: fullerContainer(name, secret, config),
			LogDriver: &swarm.Driver{Name: "json-file", Options: map[string]string{"max-size": "1m"}},
			Networks:  []swarm.NetworkAttachmentConfig{{Target: network, Aliases: []string{"db"}, DriverOpts: map[string]string{"a": "b"}}},
			Placement: &swarm.Placement{Constraints: []string{"node.labels.tag==one"}, MaxReplicas: 2,
				Preferences: []swarm.PlacementPreference{swarm.SpreadOver("node.labels.zone")},
				Platforms:   []swarm.Platform{{Architecture: "amd64", OS: "linux"}}},
			Resources: &swarm.ResourceRequirements{
				Limits: &swarm.Limits{NanoCPUs: 5e8, MemoryBytes: 64 << 20},
				Reservations: &swarm.Reservations{NanoCPUs: 1e8, MemoryBytes: 32 << 20,
					GenericResources: []swarm.GenericResource{
						{DiscreteResourceSpec: &swarm.DiscreteGenericResource{Kind: "gpu", Value: 2}},
						{NamedResourceSpec: &swarm.NamedGenericResource{Kind: "fpga", Value: "x"}}}}},
			RestartPolicy: &swarm.RestartPolicy{Condition: swarm.RestartOnFailure, Delay: new(time.Second), MaxAttempts: new(uint64(4)),
				Window: new(time.Minute)},
		},
	}
}

func fullerContainer(name, secret, config string) swarm.ContainerSpec {
	file := swarm.FileTarget{Name: "file", UID: "1", GID: "2", Mode: 0o400}
	return swarm.ContainerSpec{
		Image: engines.Image1, Command: []string{"/testimage"}, Args: []string{"-lines", "1"}, Labels: map[string]string{"container": "label"},
		Env: []string{"B=2", "A=1"}, Hostname: "host", Dir: "/tmp", User: "1:2", Groups: []string{"12"}, Init: new(true),
		TTY: true, OpenStdin: true, ReadOnly: true, StopSignal: "SIGINT", StopGracePeriod: new(3 * time.Second), Isolation: swarm.IsolationHyperV,
		Healthcheck: &swarm.Healthcheck{Test: []string{"CMD", "true"}, Interval: time.Second, Timeout: 2 * time.Second, Retries: 5, StartPeriod: time.Minute},
		Hosts:       []string{"10.0.0.1 db"}, Sysctls: map[string]string{"net.core.somaxconn": "1"},
		DNSConfig:     &swarm.DNSConfig{Nameservers: []string{"127.0.0.53"}, Search: []string{"example.com"}, Options: []string{"ndots:2"}},
		CapabilityAdd: []string{"CAP_NET_ADMIN"}, CapabilityDrop: []string{"CAP_CHOWN"},
		Privileges: &swarm.Privileges{CredentialSpec: &swarm.CredentialSpec{File: "spec.json"},
			SELinuxContext: &swarm.SELinuxContext{Disable: true, User: "u", Role: "r", Type: "t", Level: "l"}},
		Secrets: []swarm.SecretReference{{SecretID: secret, SecretName: name, File: file}},
		Configs: []swarm.ConfigReference{{ConfigID: config, ConfigName: name, File: &file}},
		Mounts: []swarm.Mount{
			{Type: swarm.MountVolume, Source: "data", Target: "/data", ReadOnly: true,
				VolumeOptions: &swarm.VolumeOptions{NoCopy: true, Labels: map[string]string{"volume": "label"},
					DriverConfig: &swarm.Driver{Name: "local", Options: map[string]string{"type": "tmpfs"}}}},
			{Type: swarm.MountBind, Source: "/etc", Target: "/host", BindOptions: &swarm.BindOptions{Propagation: swarm.PropagationRSlave}},
			{Type: swarm.MountTmpfs, Target: "/mem", TmpfsOptions: &swarm.TmpfsOptions{SizeBytes: 1 << 20, Mode: 0o700}},
			{Type: swarm.MountNamedPipe, Source: `\\.\pipe\a`, Target: `\\.\pipe\b`},
		},
	}
}

func TestKeywordArrives(t *testing.T) {
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		client, name := newClient(t, e), serviceName(t, "")
		network := createNetwork(t, client, swarm.NetworkSpec{Name: name})
		secret := createSecret(t, client, swarm.SecretSpec{Name: name, Data: []byte("x")})
		config := createConfig(t, client, swarm.ConfigSpec{Name: name, Data: []byte("x")})
		id := create(t, client, fullerSpec(name, network, secret, config))

		const task, container = "TaskTemplate.", "TaskTemplate.ContainerSpec."
		facts{
			"name":                       {"Name", name},
			"labels":                     {"Labels", map[string]string{"service": "label"}},
			"replicas":                   {"Mode", map[string]any{"Replicated": map[string]any{"Replicas": 0}}},
			"update-parallelism":         {"UpdateConfig.Parallelism", 3},
			"update-delay":               {"UpdateConfig.Delay", time.Second},
			"update-failure-action":      {"UpdateConfig.FailureAction", "rollback"},
			"update-monitor":             {"UpdateConfig.Monitor", 2 * time.Second},
			"update-max-failure-ratio":   {"UpdateConfig.MaxFailureRatio", 0.25},
			"update-order":               {"UpdateConfig.Order", "start-first"},
			"rollback-parallelism":       {"RollbackConfig.Parallelism", 0},
			"rollback-delay":             {"RollbackConfig.Delay", 3 * time.Second},
			"rollback-failure-action":    {"RollbackConfig.FailureAction", "continue"},
			"rollback-monitor":           {"RollbackConfig.Monitor", 4 * time.Second},
			"rollback-max-failure-ratio": {"RollbackConfig.MaxFailureRatio", 0.5},
			"rollback-order":             {"RollbackConfig.Order", "start-first"},
			"endpoint-mode":              {"EndpointSpec.Mode", "dnsrr"},
			"port-name":                  {"EndpointSpec.Ports.0.Name", "dns"},
			"port-protocol":              {"EndpointSpec.Ports.0.Protocol", "udp"},
			"port-target":                {"EndpointSpec.Ports.0.TargetPort", 53},
			"port-published":             {"EndpointSpec.Ports.0.PublishedPort", 8053},
			"port-mode":                  {"EndpointSpec.Ports.0.PublishMode", "host"},

			"force-update":         {task + "ForceUpdate", 3},
			"log-driver":           {task + "LogDriver.Name", "json-file"},
			"log-driver-options":   {task + "LogDriver.Options", map[string]string{"max-size": "1m"}},
			"networks":             {task + "Networks.0.Target", network},
			"network-aliases":      {task + "Networks.0.Aliases", []string{"db"}},
			"network-options":      {task + "Networks.0.DriverOpts", map[string]string{"a": "b"}},
			"constraints":          {task + "Placement.Constraints", []string{"node.labels.tag==one"}},
			"preferences":          {task + "Placement.Preferences.0.Spread.SpreadDescriptor", "node.labels.zone"},
			"max-replicas":         {task + "Placement.MaxReplicas", 2},
			"platforms":            {task + "Placement.Platforms", []swarm.Platform{{Architecture: "amd64", OS: "linux"}}},
			"cpu-limit":            {task + "Resources.Limits.NanoCPUs", 5e8},
			"memory-limit":         {task + "Resources.Limits.MemoryBytes", 64 << 20},
			"cpu-reservation":      {task + "Resources.Reservations.NanoCPUs", 1e8},
			"memory-reservation":   {task + "Resources.Reservations.MemoryBytes", 32 << 20},
			"generic-resource":     {task + "Resources.Reservations.GenericResources.0.DiscreteResourceSpec", map[string]any{"Kind": "gpu", "Value": 2}},
			"named-resource":       {task + "Resources.Reservations.GenericResources.1.NamedResourceSpec", map[string]any{"Kind": "fpga", "Value": "x"}},
			"restart-condition":    {task + "RestartPolicy.Condition", "on-failure"},
			"restart-delay":        {task + "RestartPolicy.Delay", time.Second},
			"restart-max-attempts": {task + "RestartPolicy.MaxAttempts", 4},
			"restart-window":       {task + "RestartPolicy.Window", time.Minute},

			"image":               {container + "Image", engines.Image1},
			"command":             {container + "Command", []string{"/testimage"}},
			"args":                {container + "Args", []string{"-lines", "1"}},
			"container-labels":    {container + "Labels", map[string]string{"container": "label"}},
			"env":                 {container + "Env", []string{"B=2", "A=1"}},
			"hostname":            {container + "Hostname", "host"},
			"workdir":             {container + "Dir", "/tmp"},
			"user":                {container + "User", "1:2"},
			"groups":              {container + "Groups", []string{"12"}},
			"init":                {container + "Init", true},
			"tty":                 {container + "TTY", true},
			"open-stdin":          {container + "OpenStdin", true},
			"read-only":           {container + "ReadOnly", true},
			"stop-signal":         {container + "StopSignal", "SIGINT"},
			"stop-grace-period":   {container + "StopGracePeriod", 3 * time.Second},
			"isolation":           {container + "Isolation", "hyperv"},
			"health-test":         {container + "Healthcheck.Test", []string{"CMD", "true"}},
			"health-interval":     {container + "Healthcheck.Interval", time.Second},
			"health-timeout":      {container + "Healthcheck.Timeout", 2 * time.Second},
			"health-retries":      {container + "Healthcheck.Retries", 5},
			"health-start-period": {container + "Healthcheck.StartPeriod", time.Minute},
			"hosts":               {container + "Hosts", []string{"10.0.0.1 db"}},
			"sysctls":             {container + "Sysctls", map[string]string{"net.core.somaxconn": "1"}},
			"dns-nameservers":     {container + "DNSConfig.Nameservers", []string{"127.0.0.53"}},
			"dns-search":          {container + "DNSConfig.Search", []string{"example.com"}},
			"dns-options":         {container + "DNSConfig.Options", []string{"ndots:2"}},
			"cap-add":             {container + "CapabilityAdd", []string{"CAP_NET_ADMIN"}},
			"cap-drop":            {container + "CapabilityDrop", []string{"CAP_CHOWN"}},
			"credential-file":     {container + "Privileges.CredentialSpec.File", "spec.json"},
			"selinux-disable":     {container + "Privileges.SELinuxContext.Disable", true},
			"selinux-user":        {container + "Privileges.SELinuxContext.User", "u"},
			"selinux-role":        {container + "Privileges.SELinuxContext.Role", "r"},
			"selinux-type":        {container + "Privileges.SELinuxContext.Type", "t"},
			"selinux-level":       {container + "Privileges.SELinuxContext.Level", "l"},
			"secret-id":           {container + "Secrets.0.SecretID", secret},
			"secret-name":         {container + "Secrets.0.SecretName", name},
			"secret-file":         {container + "Secrets.0.File.Name", "file"},
			"secret-uid":          {container + "Secrets.0.File.UID", "1"},
			"secret-gid":          {container + "Secrets.0.File.GID", "2"},
			"secret-mode":         {container + "Secrets.0.File.Mode", 0o400},
			"config-id":           {container + "Configs.0.ConfigID", config},
			"config-name":         {container + "Configs.0.ConfigName", name},
			"config-file":         {container + "Configs.0.File.Name", "file"},
			"config-uid":          {container + "Configs.0.File.UID", "1"},
			"config-gid":          {container + "Configs.0.File.GID", "2"},
			"config-mode":         {container + "Configs.0.File.Mode", 0o400},
			"mount-volume":        {container + "Mounts.0.Type", "volume"},
			"mount-source":        {container + "Mounts.0.Source", "data"},
			"mount-target":        {container + "Mounts.0.Target", "/data"},
			"mount-read-only":     {container + "Mounts.0.ReadOnly", true},
			"mount-no-copy":       {container + "Mounts.0.VolumeOptions.NoCopy", true},
			"mount-labels":        {container + "Mounts.0.VolumeOptions.Labels", map[string]string{"volume": "label"}},
			"mount-driver":        {container + "Mounts.0.VolumeOptions.DriverConfig", map[string]any{"Name": "local", "Options": map[string]string{"type": "tmpfs"}}},
			"mount-bind":          {container + "Mounts.1.Type", "bind"},
			"mount-propagation":   {container + "Mounts.1.BindOptions.Propagation", "rslave"},
			"mount-tmpfs":         {container + "Mounts.2.Type", "tmpfs"},
			"mount-tmpfs-size":    {container + "Mounts.2.TmpfsOptions.SizeBytes", 1 << 20},
			"mount-tmpfs-mode":    {container + "Mounts.2.TmpfsOptions.Mode", 0o700},
			"mount-npipe":         {container + "Mounts.3.Type", "npipe"},
		}.check(t, at(raw(t, e, "/services/"+id), "Spec"))
	})
}

// choices are keywords of which a service can have only one.
type choices map[string]struct {
	edit func(*swarm.ServiceSpec)
	fact
}

func TestChoiceArrives(t *testing.T) {
	none := map[string]any{}
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		client := newClient(t, e)
		for row, choice := range (choices{
			"global":              {func(s *swarm.ServiceSpec) { s.Mode = swarm.Global() }, fact{"Mode", map[string]any{"Global": none}}},
			"global-job":          {func(s *swarm.ServiceSpec) { s.Mode = swarm.GlobalJob() }, fact{"Mode", map[string]any{"GlobalJob": none}}},
			"job-total":           {func(s *swarm.ServiceSpec) { s.Mode = swarm.ReplicatedJob(4, 2) }, fact{"Mode.ReplicatedJob.TotalCompletions", 4}},
			"job-concurrent":      {func(s *swarm.ServiceSpec) { s.Mode = swarm.ReplicatedJob(4, 2) }, fact{"Mode.ReplicatedJob.MaxConcurrent", 2}},
			"restart-none":        {restart(swarm.RestartNone), fact{"TaskTemplate.RestartPolicy.Condition", "none"}},
			"restart-any":         {restart(swarm.RestartAny), fact{"TaskTemplate.RestartPolicy.Condition", "any"}},
			"credential-registry": {withRegistryCredentials, fact{"TaskTemplate.ContainerSpec.Privileges.CredentialSpec.Registry", "value"}},
		}) {
			t.Run(row, func(t *testing.T) {
				spec := idleSpec(serviceName(t, row))
				choice.edit(&spec)
				choice.check(t, at(raw(t, e, "/services/"+create(t, client, spec)), "Spec"))
			})
		}
	})
}

// idleSpec is a service that finds no node.
func idleSpec(name string) swarm.ServiceSpec {
	spec := testSpec(name)
	spec.UpdateConfig = swarm.UpdateConfig{} // engines refuse it for jobs
	spec.TaskTemplate.Placement = &swarm.Placement{Constraints: []string{"node.labels.nowhere==yes"}}
	return spec
}

func restart(condition swarm.RestartCondition) func(*swarm.ServiceSpec) {
	return func(s *swarm.ServiceSpec) { s.TaskTemplate.RestartPolicy.Condition = condition }
}

func withRegistryCredentials(s *swarm.ServiceSpec) {
	s.TaskTemplate.ContainerSpec.Privileges = &swarm.Privileges{CredentialSpec: &swarm.CredentialSpec{Registry: "value"}}
}

// stage is a service of one row's own.
type stage struct {
	e      *engines.Engine
	client *swarm.Client
}

// service makes a service, named after the row.
func (s stage) service(t *testing.T, replicas uint64, edits ...func(*swarm.ServiceSpec)) string {
	t.Helper()
	spec := testSpec(s.name(t))
	spec.Mode = swarm.Replicated(replicas)
	for _, edit := range edits {
		edit(&spec)
	}
	id := create(t, s.client, spec)
	if replicas > 0 {
		runningTasks(t, s.client, id, int(replicas))
	}
	return id
}

func (s stage) name(t *testing.T) string { return "row-" + filepath.Base(t.Name()) }

func (s stage) inspect(t *testing.T, ref string) *swarm.Service {
	t.Helper()
	service, err := s.client.Services.Inspect(t.Context(), ref)
	require.NoError(t, err)
	return service
}

// has checks the engine's own word on a service.
func (s stage) has(t *testing.T, id, path string, want any) {
	t.Helper()
	fact{path, want}.check(t, raw(t, s.e, "/services/"+id))
}

// status is what the list of services counts.
func (s stage) status(t *testing.T, id string) swarm.ServiceStatus {
	t.Helper()
	services, err := s.client.Services.List(t.Context(), &swarm.ServiceListOptions{IDs: []string{id}})
	require.NoError(t, err)
	require.Len(t, services, 1)
	return *services[0].ServiceStatus
}

func TestServiceActionWorks(t *testing.T) {
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		s := stage{e, newClient(t, e)}
		services := s.client.Services
		rows{
			"create": func(t *testing.T) {
				id := s.service(t, 0)
				s.has(t, id, "Spec.Name", s.name(t))
				s.has(t, id, "Spec.TaskTemplate.ContainerSpec.Image", engines.Image1)
			},
			"inspect": func(t *testing.T) {
				id := s.service(t, 0)
				for _, ref := range []string{id, id[:12], s.name(t)} {
					service := s.inspect(t, ref)
					assert.Equal(t, s.name(t), service.Spec.Name)
					s.has(t, service.ID, "ID", id)
					s.has(t, id, "Version.Index", service.Version.Index)
				}
			},
			"inspect-with-defaults": func(t *testing.T) {
				id := s.service(t, 0)
				service, err := services.InspectWithDefaults(t.Context(), id)
				require.NoError(t, err)
				assert.Equal(t, new(10*time.Second), service.Spec.TaskTemplate.ContainerSpec.StopGracePeriod)
				fact{"Spec.TaskTemplate.ContainerSpec.StopGracePeriod", 10 * time.Second}.check(t, raw(t, e, "/services/"+id+"?insertDefaults=true"))
				s.has(t, id, "Spec.TaskTemplate.ContainerSpec.StopGracePeriod", nil)
				_, err = services.Update(t.Context(), service, nil)
				assert.ErrorIs(t, err, swarm.ErrInvalid)
			},
			"raw": func(t *testing.T) {
				id := s.service(t, 0)
				var sent json.RawMessage
				require.NoError(t, e.Call(t.Context(), http.MethodGet, "/services/"+id, nil, &sent))
				assert.JSONEq(t, string(sent), string(s.inspect(t, id).Raw))
			},
			"list": func(t *testing.T) {
				id := s.service(t, 0)
				list, err := services.List(t.Context(), nil)
				require.NoError(t, err)
				assert.Contains(t, serviceIDs(list), id)
				assert.Len(t, list, len(raw(t, e, "/services").([]any)))
				var all []swarm.Service
				for service, err := range services.All(t.Context(), nil) {
					require.NoError(t, err)
					all = append(all, service)
				}
				assert.ElementsMatch(t, serviceIDs(list), serviceIDs(all))
			},
			"list-stack": func(t *testing.T) {
				label := map[string]string{"com.docker.stack.namespace": "shop"}
				id := s.service(t, 0, func(spec *swarm.ServiceSpec) { spec.Labels = label })
				for _, opts := range []swarm.ServiceListOptions{{Labels: label}, {Stack: "shop"}, {Stack: "shop", Labels: map[string]string{"com.docker.stack.namespace": ""}}} {
					list, err := services.List(t.Context(), &opts)
					require.NoError(t, err)
					assert.Equal(t, []string{id}, serviceIDs(list))
				}
				list, err := services.List(t.Context(), &swarm.ServiceListOptions{Stack: "sho"})
				require.NoError(t, err)
				assert.Empty(t, list)
			},
			"update": func(t *testing.T) {
				id := s.service(t, 0)
				update(t, s.client, id, func(spec *swarm.ServiceSpec) { spec.TaskTemplate.ContainerSpec.Env = []string{"A=1"} })
				s.has(t, id, "Spec.TaskTemplate.ContainerSpec.Env", []string{"A=1"})
			},
			"update-stale": func(t *testing.T) {
				id := s.service(t, 0)
				first, second := s.inspect(t, id), s.inspect(t, id)
				first.Spec.Labels = map[string]string{"by": "first"}
				second.Spec.Labels = map[string]string{"by": "second"}
				_, err := services.Update(t.Context(), first, nil)
				require.NoError(t, err)
				_, err = services.Update(t.Context(), second, nil)
				assert.ErrorIs(t, err, swarm.ErrVersionConflict)
				s.has(t, id, "Spec.Labels", first.Spec.Labels)
			},
			"update-replaces": func(t *testing.T) {
				id := s.service(t, 0, func(spec *swarm.ServiceSpec) {
					spec.Labels = map[string]string{"gone": ""}
					spec.TaskTemplate.ContainerSpec.Env = []string{"GONE=1"}
				})
				service := s.inspect(t, id)
				service.Spec = swarm.ServiceSpec{Name: s.name(t), Mode: swarm.Replicated(0), RollbackConfig: swarm.UpdateConfig{Order: swarm.StartFirst},
					TaskTemplate: swarm.TaskSpec{ContainerSpec: swarm.ContainerSpec{Image: engines.Image2}}}
				_, err := services.Update(t.Context(), service, nil)
				require.NoError(t, err)
				s.has(t, id, "Spec.TaskTemplate.ContainerSpec.Image", engines.Image2)
				s.has(t, id, "Spec.RollbackConfig.Order", "start-first")
				s.has(t, id, "Spec.Labels.gone", nil)
				s.has(t, id, "Spec.TaskTemplate.ContainerSpec.Env", nil)
			},
			"set-image": func(t *testing.T) {
				id := s.service(t, 0)
				_, err := services.SetImage(t.Context(), id, engines.Image2, nil)
				require.NoError(t, err)
				s.has(t, id, "Spec.TaskTemplate.ContainerSpec.Image", engines.Image2)
			},
			"rollback": func(t *testing.T) {
				id := s.service(t, 0)
				update(t, s.client, id, func(spec *swarm.ServiceSpec) { spec.TaskTemplate.ContainerSpec.Image = engines.Image2 })
				_, err := services.Rollback(t.Context(), id, nil)
				require.NoError(t, err)
				s.has(t, id, "Spec.TaskTemplate.ContainerSpec.Image", engines.Image1)
			},
			"rename": func(t *testing.T) {
				id := s.service(t, 0)
				_, err := services.Modify(t.Context(), id, func(service *swarm.Service) error {
					service.Spec.Name = "other"
					return nil
				}, nil)
				assert.ErrorIs(t, err, swarm.ErrImmutable)
				s.has(t, id, "Spec.Name", s.name(t))
			},
			"force-update": func(t *testing.T) {
				id := s.service(t, 1)
				before := runningTasks(t, s.client, id, 1)
				_, err := services.Redeploy(t.Context(), id, nil)
				require.NoError(t, err)
				s.has(t, id, "Spec.TaskTemplate.ForceUpdate", 1)
				assert.NotEqual(t, before, runningTasks(t, s.client, id, 1))
			},
			"force-update-number": func(t *testing.T) {
				id := s.service(t, 0)
				update(t, s.client, id, func(spec *swarm.ServiceSpec) { spec.TaskTemplate.ForceUpdate = 7 })
				s.has(t, id, "Spec.TaskTemplate.ForceUpdate", 7)
			},
			"scale": func(t *testing.T) {
				id := s.service(t, 1)
				before := runningTasks(t, s.client, id, 1)
				_, err := services.Scale(t.Context(), id, 2, nil)
				require.NoError(t, err)
				s.has(t, id, "Spec.Mode.Replicated.Replicas", 2)
				assert.Subset(t, runningTasks(t, s.client, id, 2), before)
			},
			"scale-global": func(t *testing.T) {
				spec := idleSpec(s.name(t))
				spec.Mode = swarm.Global()
				id := create(t, s.client, spec)
				_, err := services.Scale(t.Context(), id, 2, nil)
				assert.ErrorIs(t, err, swarm.ErrInvalid)
				update := func(service *swarm.Service) error { service.Spec.Mode = swarm.Replicated(2); return nil }
				_, err = services.Modify(t.Context(), id, update, nil)
				assert.ErrorIs(t, err, swarm.ErrImmutable)
				s.has(t, id, "Spec.Mode.Replicated", nil)
			},
			"start": func(t *testing.T) {
				id := s.service(t, 1)
				_, err := services.Stop(t.Context(), id, nil)
				require.NoError(t, err)
				runningTasks(t, s.client, id, 0)
				_, err = services.Start(t.Context(), id, nil)
				require.NoError(t, err)
				fact{"Status.State", "running"}.check(t, raw(t, e, "/tasks/"+runningTasks(t, s.client, id, 1)[0]))
			},
			"stop": func(t *testing.T) {
				id := s.service(t, 1)
				_, err := services.Stop(t.Context(), id, nil)
				require.NoError(t, err)
				s.has(t, id, "Spec.Mode.Replicated.Replicas", 0)
				runningTasks(t, s.client, id, 0)
				tasks, err := services.Tasks(t.Context(), id)
				require.NoError(t, err)
				for _, task := range tasks {
					assert.True(t, task.Status.State.Terminal(), task.Status.State)
					assert.WithinDuration(t, time.Now(), task.Status.Timestamp, time.Minute)
				}
				assert.Equal(t, swarm.ServiceStatus{}, s.status(t, id))
			},
			"counters": func(t *testing.T) {
				id := s.service(t, 2)
				assert.Equal(t, swarm.ServiceStatus{RunningTasks: 2, DesiredTasks: 2}, s.status(t, id))
				assert.Len(t, raw(t, e, "/tasks?filters="+url.QueryEscape(`{"service":["`+id+`"],"desired-state":["running"]}`)), 2)
			},
			"pending": func(t *testing.T) {
				id := create(t, s.client, idleSpec(s.name(t)))
				assert.Equal(t, swarm.ServiceStatus{DesiredTasks: 1}, s.status(t, id))
			},
			"times": func(t *testing.T) {
				id := s.service(t, 0)
				service := s.inspect(t, id)
				s.has(t, id, "CreatedAt", service.CreatedAt.Format(time.RFC3339Nano))
				s.has(t, id, "UpdatedAt", service.UpdatedAt.Format(time.RFC3339Nano))
			},
			"update-status": func(t *testing.T) {
				id := s.service(t, 1)
				update(t, s.client, id, func(spec *swarm.ServiceSpec) { spec.TaskTemplate.ForceUpdate++ })
				require.Eventually(t, func() bool {
					status := s.inspect(t, id).UpdateStatus
					return status != nil && status.State == swarm.UpdateCompleted
				}, time.Minute, 100*time.Millisecond)
				s.has(t, id, "UpdateStatus.State", "completed")
			},
			"tasks": func(t *testing.T) {
				id := s.service(t, 2)
				tasks, err := services.Tasks(t.Context(), id)
				require.NoError(t, err)
				assert.Len(t, tasks, 2)
				for _, task := range tasks {
					fact{"ServiceID", id}.check(t, raw(t, e, "/tasks/"+task.ID))
				}
				all, err := s.client.Tasks.List(t.Context(), nil)
				require.NoError(t, err)
				assert.True(t, slices.ContainsFunc(all, func(task swarm.Task) bool { return task.ID == tasks[0].ID }))
			},
			"tasks-label": func(t *testing.T) {
				label := map[string]string{"task-label": "yes"}
				id := s.service(t, 1, func(spec *swarm.ServiceSpec) { spec.Labels = label })
				tasks, err := s.client.Tasks.List(t.Context(), &swarm.TaskListOptions{Labels: label})
				require.NoError(t, err)
				assert.Equal(t, runningTasks(t, s.client, id, 1), idsIn(tasks, swarm.TaskRunning))
			},
			"task": func(t *testing.T) {
				id := s.service(t, 1)
				task, err := s.client.Tasks.Inspect(t.Context(), runningTasks(t, s.client, id, 1)[0])
				require.NoError(t, err)
				container := raw(t, e, "/containers/"+task.Status.ContainerStatus.ContainerID+"/json")
				assert.Equal(t, task.ID, at(container, "Config.Labels").(map[string]any)["com.docker.swarm.task.id"])
			},
			"remove": func(t *testing.T) {
				id := s.service(t, 0)
				require.NoError(t, services.Remove(t.Context(), s.name(t)))
				assert.Error(t, e.Call(t.Context(), http.MethodGet, "/services/"+id, nil, nil))
				_, err := services.Inspect(t.Context(), id)
				assert.ErrorIs(t, err, swarm.ErrNotFound)
			},
			"ports": func(t *testing.T) {
				id := s.service(t, 0, func(spec *swarm.ServiceSpec) { spec.EndpointSpec.Ports = []swarm.PortConfig{{TargetPort: 80}} })
				var port uint32
				require.Eventually(t, func() bool {
					ports := s.inspect(t, id).Endpoint.Ports
					if len(ports) == 1 {
						port = ports[0].PublishedPort
					}
					return port > 0
				}, 20*time.Second, 50*time.Millisecond)
				s.has(t, id, "Endpoint.Ports.0.PublishedPort", port)
			},
			"host-network": func(t *testing.T) {
				id := s.service(t, 1, func(spec *swarm.ServiceSpec) {
					spec.TaskTemplate.Networks = []swarm.NetworkAttachmentConfig{{Target: "host"}}
				})
				task, err := s.client.Tasks.Inspect(t.Context(), runningTasks(t, s.client, id, 1)[0])
				require.NoError(t, err)
				container := raw(t, e, "/containers/"+task.Status.ContainerStatus.ContainerID+"/json")
				assert.Contains(t, at(container, "NetworkSettings.Networks"), "host")
			},
			"volumes-kept": func(t *testing.T) {
				name := s.name(t)
				id := s.service(t, 1, func(spec *swarm.ServiceSpec) {
					spec.TaskTemplate.ContainerSpec.Mounts = []swarm.Mount{{Type: swarm.MountVolume, Source: name, Target: "/data"}}
				})
				removeWhenFree(t, func(ctx context.Context) error { return e.Call(ctx, http.MethodDelete, "/volumes/"+name, nil, nil) })
				t.Cleanup(func() { assert.NoError(t, services.Remove(context.WithoutCancel(t.Context()), id)) })
				before := raw(t, e, "/volumes/"+name)
				update(t, s.client, id, func(spec *swarm.ServiceSpec) { spec.TaskTemplate.ForceUpdate++ })
				runningTasks(t, s.client, id, 1)
				assert.Equal(t, before, raw(t, e, "/volumes/"+name))
			},
			"mounts-from": func(t *testing.T) {
				shared := swarm.Mount{Type: swarm.MountVolume, Source: s.name(t), Target: "/data", ReadOnly: true}
				spec := idleSpec(s.name(t))
				spec.TaskTemplate.ContainerSpec.Mounts = []swarm.Mount{shared, {Type: swarm.MountTmpfs, Target: "/tmp"}}
				other := s.inspect(t, create(t, s.client, spec))
				spec = idleSpec(s.name(t) + "-too")
				spec.TaskTemplate.ContainerSpec.Mounts = swarm.MountsFrom(other.Spec)
				s.has(t, create(t, s.client, spec), "Spec.TaskTemplate.ContainerSpec.Mounts", []swarm.Mount{shared})
			},
			"registry-auth": func(t *testing.T) {
				var header string
				client := newClient(t, e, swarm.WithRoundTripper(func(next http.RoundTripper) http.RoundTripper {
					return roundTripper(func(request *http.Request) (*http.Response, error) {
						header = request.Header.Get("X-Registry-Auth")
						return next.RoundTrip(request)
					})
				}))
				spec := testSpec(s.name(t))
				spec.Mode = swarm.Replicated(0)
				auth := &swarm.RegistryAuth{Username: "u", Password: "p", ServerAddress: "docker.io"}
				change, err := client.Services.Create(t.Context(), spec, &swarm.ServiceCreateOptions{Auth: auth})
				require.NoError(t, err)
				removeLater(t, client, change.ID)
				sent, err := base64.URLEncoding.DecodeString(header)
				require.NoError(t, err)
				assert.JSONEq(t, `{"username":"u","password":"p","serveraddress":"docker.io"}`, string(sent))
			},
			"mount-subpath": func(t *testing.T) {
				spec := idleSpec(s.name(t))
				spec.TaskTemplate.ContainerSpec.Mounts = []swarm.Mount{{Type: swarm.MountVolume, Source: "v", Target: "/v",
					VolumeOptions: &swarm.VolumeOptions{Subpath: "sub"}}}
				s.createFrom(t, spec, 45, "Spec.TaskTemplate.ContainerSpec.Mounts.0.VolumeOptions.Subpath", "sub")
			},
			"memory-swap": func(t *testing.T) {
				spec := idleSpec(s.name(t))
				spec.TaskTemplate.Resources = &swarm.ResourceRequirements{Limits: &swarm.Limits{MemoryBytes: 64 << 20}, SwapBytes: new(int64(32 << 20))}
				s.createFrom(t, spec, 52, "Spec.TaskTemplate.Resources.SwapBytes", 32<<20)
			},
			"mount-consistency": func(t *testing.T) {
				spec := idleSpec(s.name(t))
				spec.TaskTemplate.ContainerSpec.Mounts = []swarm.Mount{{Type: swarm.MountBind, Source: "/", Target: "/v", Consistency: swarm.ConsistencyCached}}
				_, err := services.Create(t.Context(), spec, nil)
				assert.ErrorIs(t, err, swarm.ErrUnsupported)
				var created struct{ ID string }
				require.NoError(t, e.Call(t.Context(), http.MethodPost, "/services/create", spec, &created))
				removeLater(t, s.client, created.ID)
				s.has(t, created.ID, "Spec.TaskTemplate.ContainerSpec.Mounts.0.Consistency", nil)
				s.has(t, created.ID, "Spec.TaskTemplate.ContainerSpec.Mounts.0.Target", "/v")
			},
		}.run(t)
	})
}

// createFrom makes a service that needs an API version, which older engines must
// not even be asked for.
func (s stage) createFrom(t *testing.T, spec swarm.ServiceSpec, minor int, path string, want any) {
	t.Helper()
	if minorOf(t, s.e.APIVersion) < minor {
		_, err := s.client.Services.Create(t.Context(), spec, nil)
		assert.ErrorIs(t, err, swarm.ErrUnsupported)
		return
	}
	s.has(t, create(t, s.client, spec), path, want)
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestSwarmSettingArrives(t *testing.T) {
	onEveryOwnEngine(t, func(t *testing.T, e *engines.Engine) {
		client := newClient(t, e)
		require.NoError(t, e.InitSwarm(t.Context()))
		err := client.Swarm.Modify(t.Context(), func(c *swarm.Cluster) error {
			c.Spec = swarm.SwarmSpec{
				Name: c.Spec.Name, Labels: map[string]string{"stage": "test"},
				Orchestration: swarm.OrchestrationConfig{TaskHistoryRetentionLimit: new(int64(0))},
				Raft: swarm.RaftConfig{SnapshotInterval: 5000, KeepOldSnapshots: new(uint64(2)), LogEntriesForSlowFollowers: 300,
					ElectionTick: c.Spec.Raft.ElectionTick, HeartbeatTick: c.Spec.Raft.HeartbeatTick},
				Dispatcher: swarm.DispatcherConfig{HeartbeatPeriod: 4 * time.Second},
				CAConfig: swarm.CAConfig{NodeCertExpiry: 48 * time.Hour, ExternalCAs: []swarm.ExternalCA{
					{Protocol: "cfssl", URL: "https://ca.example.com", Options: map[string]string{"a": "b"}, CACert: c.TLSInfo.TrustRoot}}},
			}
			return nil
		})
		require.NoError(t, err)
		object := raw(t, e, "/swarm")
		facts{
			"labels":               {"Spec.Labels", map[string]string{"stage": "test"}},
			"task-history":         {"Spec.Orchestration.TaskHistoryRetentionLimit", 0},
			"snapshot-interval":    {"Spec.Raft.SnapshotInterval", 5000},
			"keep-old-snapshots":   {"Spec.Raft.KeepOldSnapshots", 2},
			"slow-followers":       {"Spec.Raft.LogEntriesForSlowFollowers", 300},
			"election-tick":        {"Spec.Raft.ElectionTick", 10},
			"heartbeat-tick":       {"Spec.Raft.HeartbeatTick", 1},
			"heartbeat-period":     {"Spec.Dispatcher.HeartbeatPeriod", 4 * time.Second},
			"node-cert-expiry":     {"Spec.CAConfig.NodeCertExpiry", 48 * time.Hour},
			"external-ca-url":      {"Spec.CAConfig.ExternalCAs.0.URL", "https://ca.example.com"},
			"external-ca-protocol": {"Spec.CAConfig.ExternalCAs.0.Protocol", "cfssl"},
			"external-ca-options":  {"Spec.CAConfig.ExternalCAs.0.Options", map[string]string{"a": "b"}},
			"external-ca-cert":     {"Spec.CAConfig.ExternalCAs.0.CACert", at(object, "TLSInfo.TrustRoot")},
		}.check(t, object)
		rows{
			"inspect": func(t *testing.T) {
				cluster, err := client.Swarm.Inspect(t.Context())
				require.NoError(t, err)
				fact{"ID", cluster.ID}.check(t, raw(t, e, "/swarm"))
				fact{"Version.Index", cluster.Version.Index}.check(t, raw(t, e, "/swarm"))
			},
			"log-driver": func(t *testing.T) {
				err := client.Swarm.Modify(t.Context(), func(c *swarm.Cluster) error {
					c.Spec.TaskDefaults.LogDriver = &swarm.Driver{Name: "json-file"}
					return nil
				})
				assert.ErrorIs(t, err, swarm.ErrUnsupported)
			},
		}.run(t)
	})
}

// onEveryPair runs a test on two fresh engines of each version, the first of
// them the only manager of a swarm. There are none with SWARM_TEST_HOST.
func onEveryPair(t *testing.T, test func(t *testing.T, p pair)) {
	t.Helper()
	if withoutLab(t) {
		return
	}
	t.Parallel()
	for _, version := range testEngines() {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			started, err := lab.StartNodes(t.Context(), fmt.Sprintf("%s-%x", version, time.Now().UnixNano()), version, version)
			require.NoError(t, err)
			for _, e := range started {
				defer func() { assert.NoError(t, e.Remove(context.WithoutCancel(t.Context()))) }()
			}
			require.NoError(t, started[0].InitSwarm(t.Context()))
			test(t, pair{started[0], started[1], newClient(t, started[0]), newClient(t, started[1])})
		})
	}
}

// pair is a manager and an engine that joins and leaves its swarm.
type pair struct {
	manager, worker *engines.Engine
	client, other   *swarm.Client
}

// join makes the other engine a worker, unless it is one, and returns its ID.
func (p pair) join(t *testing.T) string {
	t.Helper()
	state, err := p.other.Swarm.LocalState(t.Context())
	require.NoError(t, err)
	if state.LocalNodeState != swarm.LocalActive {
		tokens, err := p.client.Swarm.JoinTokens(t.Context())
		require.NoError(t, err)
		require.NoError(t, p.other.Swarm.Join(t.Context(), tokens.Worker, []string{p.manager.Addr}, &swarm.JoinOptions{AdvertiseAddr: p.worker.Addr, Wait: true}))
		state, err = p.other.Swarm.LocalState(t.Context())
		require.NoError(t, err)
	}
	p.becomes(t, state.NodeID, "Status.State", "ready")
	return state.NodeID
}

// leave takes the other engine out of the swarm.
func (p pair) leave(t *testing.T) {
	t.Helper()
	if err := p.other.Swarm.Leave(t.Context(), &swarm.LeaveOptions{Force: true}); !errors.Is(err, swarm.ErrNoSwarm) {
		require.NoError(t, err)
	}
}

// becomes waits for the engine's own word on a node.
func (p pair) becomes(t *testing.T, id, path string, want any) {
	t.Helper()
	require.Eventually(t, func() bool {
		return assert.ObjectsAreEqual(asJSON(t, want), at(raw(t, p.manager, "/nodes/"+id), path))
	}, time.Minute, 100*time.Millisecond, "%s: want %v", path, want)
}

// isGone checks that nothing of a node is left.
func (p pair) isGone(t *testing.T, id string) {
	t.Helper()
	assert.ErrorContains(t, p.manager.Call(t.Context(), http.MethodGet, "/nodes/"+id, nil, nil), "not found")
}

func TestNodeActionWorks(t *testing.T) {
	onEveryPair(t, func(t *testing.T, p pair) {
		nodes := p.client.Nodes
		listed := func(t *testing.T, opts *swarm.NodeListOptions) (ids []string) {
			t.Helper()
			list, err := nodes.List(t.Context(), opts)
			require.NoError(t, err)
			for _, node := range list {
				ids = append(ids, node.ID)
			}
			return ids
		}
		rows{
			"inspect": func(t *testing.T) {
				node, err := nodes.Inspect(t.Context(), "self")
				require.NoError(t, err)
				assert.Equal(t, node.ID[:12], swarm.ShortID(node.ID))
				var sent json.RawMessage
				require.NoError(t, p.manager.Call(t.Context(), http.MethodGet, "/nodes/"+node.ID, nil, &sent))
				assert.JSONEq(t, string(sent), string(node.Raw))
			},
			"list": func(t *testing.T) {
				id := p.join(t)
				assert.Contains(t, listed(t, nil), id)
				assert.Len(t, listed(t, nil), len(raw(t, p.manager, "/nodes").([]any)))
			},
			"list-id": func(t *testing.T) {
				id := p.join(t)
				assert.Equal(t, []string{id}, listed(t, &swarm.NodeListOptions{IDs: []string{id}}))
				assert.Equal(t, []string{id}, listed(t, &swarm.NodeListOptions{IDPrefixes: []string{id[:20]}}))
			},
			"list-name": func(t *testing.T) {
				id := p.join(t)
				name := at(raw(t, p.manager, "/nodes/"+id), "Description.Hostname").(string)
				assert.Contains(t, listed(t, &swarm.NodeListOptions{Names: []string{name}}), id)
				assert.Empty(t, listed(t, &swarm.NodeListOptions{Names: []string{"other"}}))
			},
			"list-role": func(t *testing.T) {
				id := p.join(t)
				require.Eventually(t, func() bool { // a node that is demoted stays a manager for a moment
					return slices.Contains(listed(t, &swarm.NodeListOptions{Roles: []swarm.NodeRole{swarm.RoleWorker}}), id)
				}, time.Minute, 100*time.Millisecond)
				assert.NotContains(t, listed(t, &swarm.NodeListOptions{Roles: []swarm.NodeRole{swarm.RoleManager}}), id)
			},
			"list-membership": func(t *testing.T) {
				p.leave(t)
				id := p.join(t)
				accepted := &swarm.NodeListOptions{Memberships: []swarm.NodeMembership{swarm.MembershipAccepted}}
				pending := &swarm.NodeListOptions{Memberships: []swarm.NodeMembership{swarm.MembershipPending}}
				assert.Contains(t, listed(t, accepted), id)
				assert.NotContains(t, listed(t, pending), id)
				require.NoError(t, nodes.Modify(t.Context(), id, func(node *swarm.Node) error { node.Spec.Name = "n"; return nil }))
				assert.NotContains(t, listed(t, accepted), id, "engines forget that it was accepted")
				assert.Contains(t, listed(t, pending), id)
			},
			"labels": func(t *testing.T) {
				id := p.join(t)
				labels := map[string]string{"tag": "one"}
				require.NoError(t, nodes.Modify(t.Context(), id, func(node *swarm.Node) error { node.Spec.Labels = labels; return nil }))
				node := raw(t, p.manager, "/nodes/"+id)
				fact{"Spec.Labels", labels}.check(t, node)
				fact{"Spec.Role", "worker"}.check(t, node)
				assert.Equal(t, []string{id}, listed(t, &swarm.NodeListOptions{Labels: labels}))
			},
			"name": func(t *testing.T) {
				id := p.join(t)
				require.NoError(t, nodes.Modify(t.Context(), id, func(node *swarm.Node) error { node.Spec.Name = "n"; return nil }))
				fact{"Spec.Name", "n"}.check(t, raw(t, p.manager, "/nodes/"+id))
			},
			"availability": func(t *testing.T) {
				id := p.join(t)
				require.NoError(t, nodes.Drain(t.Context(), id, nil))
				fact{"Spec.Availability", "drain"}.check(t, raw(t, p.manager, "/nodes/"+id))
				require.NoError(t, nodes.Pause(t.Context(), id))
				fact{"Spec.Availability", "pause"}.check(t, raw(t, p.manager, "/nodes/"+id))
				require.NoError(t, nodes.Activate(t.Context(), id, nil))
				fact{"Spec.Availability", "active"}.check(t, raw(t, p.manager, "/nodes/"+id))
			},
			"role": func(t *testing.T) {
				id := p.join(t)
				require.NoError(t, nodes.Promote(t.Context(), id))
				p.becomes(t, id, "ManagerStatus.Reachability", "reachable")
				require.NoError(t, nodes.Demote(t.Context(), id))
				p.becomes(t, id, "ManagerStatus", nil)
				fact{"Spec.Role", "worker"}.check(t, raw(t, p.manager, "/nodes/"+id))
			},
			"update-stale": func(t *testing.T) {
				id := p.join(t)
				var first, second swarm.Node
				require.Eventually(t, func() bool { // managers write to a node that has just come, too
					read, err := nodes.Inspect(t.Context(), id)
					require.NoError(t, err)
					first, second = *read, *read
					first.Spec.Labels = map[string]string{"by": "first"}
					if err = nodes.Update(t.Context(), &first); !errors.Is(err, swarm.ErrVersionConflict) {
						require.NoError(t, err)
					}
					return err == nil
				}, time.Minute, 100*time.Millisecond)
				second.Spec.Labels = map[string]string{"by": "second"}
				assert.ErrorIs(t, nodes.Update(t.Context(), &second), swarm.ErrVersionConflict)
				fact{"Spec.Labels", first.Spec.Labels}.check(t, raw(t, p.manager, "/nodes/"+id))
			},
			"remove": func(t *testing.T) {
				id := p.join(t)
				assert.Error(t, nodes.Remove(t.Context(), id, nil), "it is not down")
				p.leave(t)
				p.becomes(t, id, "Status.State", "down")
				require.NoError(t, nodes.Remove(t.Context(), id, nil))
				p.isGone(t, id)
			},
			"remove-force": func(t *testing.T) {
				id := p.join(t)
				require.NoError(t, nodes.Remove(t.Context(), id, &swarm.NodeRemoveOptions{Force: true}))
				p.isGone(t, id)
				p.leave(t)
			},
		}.run(t)
	})
}

func TestClientReaches(t *testing.T) {
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		rows{
			"host": func(t *testing.T) { assert.NoError(t, newClient(t, e).System.Ping(t.Context())) },
			"dialer": func(t *testing.T) {
				dialled := false
				client := newClient(t, e, swarm.WithDialer(func(ctx context.Context, network, address string) (net.Conn, error) {
					dialled = true
					return new(net.Dialer).DialContext(ctx, network, address)
				}))
				assert.NoError(t, client.System.Ping(t.Context()))
				assert.True(t, dialled)
			},
			"http-client": func(t *testing.T) {
				client, err := swarm.New(swarm.WithHost("tcp://engine:2375"), swarm.WithHTTPClient(e.Client()))
				require.NoError(t, err)
				defer client.Close()
				assert.NoError(t, client.System.Ping(t.Context()))
			},
			"timeout": func(t *testing.T) {
				client := newClient(t, e, swarm.WithCallTimeout(time.Nanosecond))
				assert.ErrorIs(t, client.System.Ping(t.Context()), context.DeadlineExceeded)
			},
			"tls": func(t *testing.T) {
				front := httptest.NewTLSServer(&httputil.ReverseProxy{Transport: e.Client().Transport, Rewrite: func(r *httputil.ProxyRequest) {
					r.SetURL(&url.URL{Scheme: "http", Host: "engine"})
				}})
				defer front.Close()
				config := front.Client().Transport.(*http.Transport).TLSClientConfig
				client, err := swarm.New(swarm.WithHost("tcp://"+front.Listener.Addr().String()), swarm.WithTLS(config))
				require.NoError(t, err)
				defer client.Close()
				version, err := client.System.Version(t.Context())
				require.NoError(t, err)
				assert.Equal(t, e.Version, version.Version)
			},
			"close": func(t *testing.T) {
				client := newClient(t, e)
				require.NoError(t, client.System.Ping(t.Context()))
				require.NoError(t, client.Close())
				assert.ErrorIs(t, client.System.Ping(t.Context()), swarm.ErrClosed)
			},
		}.run(t)
	})
}

func TestClientFinds(t *testing.T) {
	for _, e := range running {
		t.Run(e.Name, func(t *testing.T) { // not in parallel: there is one environment
			found := func(t *testing.T, opts ...swarm.Option) {
				t.Helper()
				client, err := swarm.New(opts...)
				require.NoError(t, err)
				defer client.Close()
				version, err := client.System.Version(t.Context())
				require.NoError(t, err)
				assert.Equal(t, e.Version, version.Version)
			}
			config := t.TempDir()
			t.Setenv("DOCKER_CONFIG", config)
			rows{
				"environment": func(t *testing.T) {
					t.Setenv("DOCKER_HOST", e.Host)
					found(t)
				},
				"context": func(t *testing.T) {
					folder := filepath.Join(config, "contexts", "meta", contextID("lab"))
					require.NoError(t, os.MkdirAll(folder, 0o700))
					meta := strings.Replace(endpointJSON(e.Host, false), `"x"`, `"lab"`, 1)
					require.NoError(t, os.WriteFile(filepath.Join(folder, "meta.json"), []byte(meta), 0o600))
					found(t, swarm.WithContext("lab"))
				},
			}.run(t)
		})
	}
}
