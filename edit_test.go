package swarm_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/swarm-go/swarm"
)

// editable is a spec with two of everything.
func editable() swarm.ServiceSpec {
	spec := swarm.ServiceSpec{Name: "web", Labels: map[string]string{"a": "1", "b": "2"}}
	spec.TaskTemplate.ContainerSpec = swarm.ContainerSpec{
		Image:   "web:1",
		Labels:  map[string]string{"a": "1", "b": "2"},
		Env:     []string{"A=1", "B=2", "A=3"},
		Mounts:  []swarm.Mount{{Target: "/b"}, {Target: "/a"}},
		Secrets: []swarm.SecretReference{swarm.MountSecret("s2", "key2"), swarm.MountSecret("s1", "key1")},
		Configs: []swarm.ConfigReference{swarm.MountConfig("c2", "conf2"), swarm.MountConfig("c1", "conf1"),
			{ConfigID: "c1", ConfigName: "conf1", Runtime: &swarm.RuntimeTarget{}}},
		Privileges: &swarm.Privileges{CredentialSpec: &swarm.CredentialSpec{Config: "c1"}},
	}
	spec.TaskTemplate.Networks = []swarm.NetworkAttachmentConfig{{Target: "n2"}, {Target: "n1"}}
	spec.EndpointSpec.Ports = []swarm.PortConfig{
		{TargetPort: 80, PublishedPort: 8080}, {TargetPort: 80, PublishedPort: 8081, Protocol: swarm.ProtocolTCP},
		{TargetPort: 80, PublishedPort: 8080, Protocol: swarm.ProtocolUDP}, {TargetPort: 80, PublishMode: swarm.PublishHost}}
	return spec
}

func TestEditsChangeWhatTheirKeyNames(t *testing.T) {
	for name, row := range map[string]struct {
		edit func(*swarm.ServiceSpec)
		want []string // of DiffSpec, with where it is left out
	}{
		"variable":         {func(s *swarm.ServiceSpec) { s.PutEnv("B", "9") }, []string{`TaskTemplate.ContainerSpec.Env: ["A=1","B=2","A=3"] -> ["A=1","B=9","A=3"]`}},
		"variable twice":   {func(s *swarm.ServiceSpec) { s.PutEnv("A", "9") }, []string{`TaskTemplate.ContainerSpec.Env: ["A=1","B=2","A=3"] -> ["A=9","B=2"]`}},
		"variable dropped": {func(s *swarm.ServiceSpec) { s.DropEnv("A") }, []string{`TaskTemplate.ContainerSpec.Env: ["A=1","B=2","A=3"] -> ["B=2"]`}},
		"all variables dropped": {func(s *swarm.ServiceSpec) { s.DropEnv("A"); s.DropEnv("B") },
			[]string{`TaskTemplate.ContainerSpec.Env: ["A=1","B=2","A=3"] -> nothing`}},
		"label":                   {func(s *swarm.ServiceSpec) { s.PutLabel("a", "") }, []string{`Labels.a: "1" -> ""`}},
		"label dropped":           {func(s *swarm.ServiceSpec) { s.DropLabel("a") }, []string{`Labels.a: "1" -> nothing`}},
		"container label":         {func(s *swarm.ServiceSpec) { s.PutContainerLabel("c", "3") }, []string{`TaskTemplate.ContainerSpec.Labels.c: nothing -> "3"`}},
		"container label dropped": {func(s *swarm.ServiceSpec) { s.DropContainerLabel("b") }, []string{`TaskTemplate.ContainerSpec.Labels.b: "2" -> nothing`}},
		"mount": {func(s *swarm.ServiceSpec) { s.PutMount(swarm.Mount{Target: "/b", ReadOnly: true}) },
			[]string{`TaskTemplate.ContainerSpec.Mounts[/b].ReadOnly: nothing -> true`}},
		"new mount":     {func(s *swarm.ServiceSpec) { s.PutMount(swarm.Mount{Target: "/c"}) }, []string{`TaskTemplate.ContainerSpec.Mounts[/c]: nothing -> {"Target":"/c"}`}},
		"mount dropped": {func(s *swarm.ServiceSpec) { s.DropMount("/b") }, []string{`TaskTemplate.ContainerSpec.Mounts[/b]: {"Target":"/b"} -> nothing`}},
		"port as it is": {func(s *swarm.ServiceSpec) { s.AddPort(swarm.PortConfig{TargetPort: 80, PublishedPort: 8080}) }, nil},
		"port added": {func(s *swarm.ServiceSpec) { s.AddPort(swarm.PortConfig{TargetPort: 80, PublishedPort: 9}) },
			[]string{portsNow(`{"TargetPort":80,"PublishedPort":8080},{"Protocol":"tcp","TargetPort":80,"PublishedPort":8081},` +
				`{"Protocol":"udp","TargetPort":80,"PublishedPort":8080},{"TargetPort":80,"PublishMode":"host"},{"TargetPort":80,"PublishedPort":9}`)}},
		"port replaced": {func(s *swarm.ServiceSpec) {
			s.PutPort(swarm.PortConfig{TargetPort: 80, PublishedPort: 9, Protocol: swarm.ProtocolTCP})
		},
			[]string{portsNow(`{"Protocol":"tcp","TargetPort":80,"PublishedPort":9},{"Protocol":"udp","TargetPort":80,"PublishedPort":8080},{"TargetPort":80,"PublishMode":"host"}`)}},
		// The docker command loses the port here.
		"port dropped and added": {func(s *swarm.ServiceSpec) {
			s.DropPort(80, "", "")
			s.AddPort(swarm.PortConfig{TargetPort: 80, PublishedPort: 8080})
		}, []string{portsNow(`{"Protocol":"udp","TargetPort":80,"PublishedPort":8080},{"TargetPort":80,"PublishMode":"host"},{"TargetPort":80,"PublishedPort":8080}`)}},
		"alias": {func(s *swarm.ServiceSpec) {
			s.PutNetwork(swarm.NetworkAttachmentConfig{Target: "n2", Aliases: []string{"db"}})
		}, []string{`TaskTemplate.Networks[n2].Aliases: nothing -> ["db"]`}},
		"network":         {func(s *swarm.ServiceSpec) { s.PutNetwork(swarm.NetworkAttachmentConfig{Target: "n3"}) }, []string{`TaskTemplate.Networks[n3]: nothing -> {"Target":"n3"}`}},
		"network dropped": {func(s *swarm.ServiceSpec) { s.DropNetwork("n2") }, []string{`TaskTemplate.Networks[n2]: {"Target":"n2"} -> nothing`}},
		"secret in the place of a file": {func(s *swarm.ServiceSpec) {
			other := swarm.MountSecret("s3", "key3")
			other.File.Name = "key2"
			s.PutSecret(other)
		}, []string{`TaskTemplate.ContainerSpec.Secrets[key2].SecretID: "s2" -> "s3"`, `TaskTemplate.ContainerSpec.Secrets[key2].SecretName: "key2" -> "key3"`}},
		"secret dropped": {func(s *swarm.ServiceSpec) { s.DropSecret("key2"); s.DropSecret("s1") },
			[]string{"TaskTemplate.ContainerSpec.Secrets: " + secrets + " -> nothing"}},
		"secret replaced": {func(s *swarm.ServiceSpec) { s.ReplaceSecret("s2", "s3", "key3") },
			[]string{`TaskTemplate.ContainerSpec.Secrets[key2].SecretID: "s2" -> "s3"`, `TaskTemplate.ContainerSpec.Secrets[key2].SecretName: "key2" -> "key3"`}},
		"config replaced, credential spec too": {func(s *swarm.ServiceSpec) { s.ReplaceConfig("conf1", "c3", "conf3") }, []string{
			`TaskTemplate.ContainerSpec.Privileges.CredentialSpec.Config: "c1" -> "c3"`,
			`TaskTemplate.ContainerSpec.Configs[conf1].ConfigID: "c1" -> "c3"`, `TaskTemplate.ContainerSpec.Configs[conf1].ConfigName: "conf1" -> "conf3"`,
			`TaskTemplate.ContainerSpec.Configs[c1]: {"Runtime":{},"ConfigID":"c1","ConfigName":"conf1"} -> nothing`,
			`TaskTemplate.ContainerSpec.Configs[c3]: nothing -> {"Runtime":{},"ConfigID":"c3","ConfigName":"conf3"}`}},
		"config for the engine, again": {func(s *swarm.ServiceSpec) {
			s.PutConfig(swarm.ConfigReference{ConfigID: "c1", ConfigName: "conf1", Runtime: &swarm.RuntimeTarget{}})
		}, nil},
		"config dropped": {func(s *swarm.ServiceSpec) { s.DropConfig("c2") },
			[]string{`TaskTemplate.ContainerSpec.Configs[conf2]: {"File":{"Name":"conf2","UID":"0","GID":"0","Mode":292},"ConfigID":"c2","ConfigName":"conf2"} -> nothing`}},
	} {
		spec := editable()
		shared := spec // its lists and maps
		row.edit(&spec)
		var got []string
		for _, difference := range swarm.DiffSpec(editable(), spec) {
			got = append(got, difference.String())
		}
		assert.Equal(t, row.want, got, name)
		assert.Equal(t, editable(), shared, "%s: what shares memory with the spec has changed", name)
	}
}

const secrets = `[{"File":{"Name":"key2","UID":"0","GID":"0","Mode":292},"SecretID":"s2","SecretName":"key2"},{"File":{"Name":"key1","UID":"0","GID":"0","Mode":292},"SecretID":"s1","SecretName":"key1"}]`

func portsNow(now string) string {
	before, err := json.Marshal(editable().EndpointSpec.Ports)
	if err != nil {
		panic(err)
	}
	return "EndpointSpec.Ports: " + string(before) + " -> [" + now + "]"
}

func TestDroppingWhatIsNotThereChangesNothing(t *testing.T) {
	spec := editable()
	for name, dropped := range map[string]bool{
		"variable":        spec.DropEnv("C"),
		"label":           spec.DropLabel("c"),
		"container label": spec.DropContainerLabel("c"),
		"mount":           spec.DropMount("/c"),
		"port":            spec.DropPort(80, swarm.ProtocolSCTP, ""),
		"network":         spec.DropNetwork("n3"),
		"secret":          spec.DropSecret("") || spec.DropSecret("key"),
		"config":          spec.DropConfig("") || spec.DropConfig("conf"),
		"old secret":      spec.ReplaceSecret("key", "s", "s"),
		"old config":      spec.ReplaceConfig("", "c", "c"),
	} {
		assert.False(t, dropped, name)
	}
	assert.Equal(t, editable(), spec)
	assert.True(t, spec.DropEnv("A"))
}

func TestEditsBeginWithNothing(t *testing.T) {
	var spec swarm.ServiceSpec
	spec.PutEnv("A", "1")
	spec.PutLabel("a", "1")
	spec.PutContainerLabel("a", "1")
	spec.PutMount(swarm.Mount{Target: "/a"})
	spec.AddPort(swarm.PortConfig{TargetPort: 80})
	spec.PutNetwork(swarm.NetworkAttachmentConfig{Target: "n"})
	spec.PutSecret(swarm.MountSecret("s", "s"))
	spec.PutConfig(swarm.MountConfig("c", "c"))
	assert.Len(t, swarm.DiffSpec(swarm.ServiceSpec{}, spec), 4, "%v", spec)
	require.True(t, spec.DropMount("/a"))
	assert.Nil(t, spec.TaskTemplate.ContainerSpec.Mounts)
}

// Networks beside the task template no longer count when it has some.
func TestNetworksOfOldServicesAreMoved(t *testing.T) {
	old := swarm.ServiceSpec{Networks: []swarm.NetworkAttachmentConfig{{Target: "n1"}, {Target: "n2"}}}
	spec := old
	spec.PutNetwork(swarm.NetworkAttachmentConfig{Target: "n3"})
	assert.Nil(t, spec.Networks)
	assert.Equal(t, []swarm.NetworkAttachmentConfig{{Target: "n1"}, {Target: "n2"}, {Target: "n3"}}, spec.TaskTemplate.Networks)
	spec = old
	assert.False(t, spec.DropNetwork("n3"))
	assert.Equal(t, old, spec)
	assert.True(t, spec.DropNetwork("n1"))
	assert.Equal(t, swarm.ServiceSpec{TaskTemplate: swarm.TaskSpec{Networks: []swarm.NetworkAttachmentConfig{{Target: "n2"}}}}, spec)
}
