//go:build integration

package integration

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/swarm-go/swarm"
	"github.com/swarm-go/swarm/integration/engines"
)

// dockerEdits are changes of a service, each of what the one before has left: by
// flags of docker service update, and by edits of the spec.
var dockerEdits = []struct {
	flags string
	edit  func(s *swarm.ServiceSpec)
}{
	{"--constraint-add node.role==manager --constraint-add node.labels.zone!=a --placement-pref-add spread=node.labels.zone --placement-pref-add spread=node.labels.rack" +
		" --host-add db:10.0.0.1 --host-add db:10.0.0.2 --host-add cache:10.0.0.1 --cap-add net_admin --cap-drop chown",
		func(s *swarm.ServiceSpec) {
			s.AddConstraint("node.role==manager")
			s.AddConstraint("node.labels.zone!=a")
			s.AddPreference(swarm.SpreadOver("node.labels.zone"))
			s.AddPreference(swarm.SpreadOver("node.labels.rack"))
			s.AddHost("db", "10.0.0.1")
			s.AddHost("db", "10.0.0.2")
			s.AddHost("cache", "10.0.0.1")
			s.AddCapability("net_admin")
			s.DropCapability("chown")
		}},
	{"--constraint-add node.role==manager --constraint-rm node.labels.zone!=a --placement-pref-rm spread=node.labels.zone --placement-pref-add spread=node.labels.zone" +
		" --host-rm db:10.0.0.1 --host-add db:10.0.0.2 --cap-drop NET_ADMIN --cap-add CAP_CHOWN",
		func(s *swarm.ServiceSpec) {
			s.AddConstraint("node.role==manager")
			s.DropConstraint("node.labels.zone!=a")
			s.DropPreference("node.labels.zone")
			s.AddPreference(swarm.SpreadOver("node.labels.zone"))
			s.DropHost("db", "10.0.0.1")
			s.AddHost("db", "10.0.0.2")
			s.DropCapability("NET_ADMIN")
			s.AddCapability("CAP_CHOWN")
		}},
	{"--dns-add 10.0.0.53 --dns-add 10.0.0.54 --dns-search-add b.example --dns-search-add a.example --dns-option-add ndots:2 --dns-option-add rotate" +
		" --sysctl-add net.core.somaxconn=10 --sysctl-add net.ipv4.ip_forward=1 --ulimit-add nofile=1:2 --ulimit-add core=3 --cap-add kill --cap-add ALL --cap-drop chown",
		func(s *swarm.ServiceSpec) {
			s.AddDNSServer("10.0.0.53")
			s.AddDNSServer("10.0.0.54")
			s.AddDNSSearch("b.example")
			s.AddDNSSearch("a.example")
			s.PutDNSOption("ndots:2")
			s.PutDNSOption("rotate")
			s.PutSysctl("net.core.somaxconn", "10")
			s.PutSysctl("net.ipv4.ip_forward", "1")
			s.PutUlimit(swarm.Ulimit{Name: "nofile", Soft: 1, Hard: 2})
			s.PutUlimit(swarm.Ulimit{Name: "core", Soft: 3, Hard: 3})
			s.AddCapability("kill")
			s.AddCapability("ALL")
			s.DropCapability("chown")
		}},
	{"--dns-add 10.0.0.53 --dns-rm 10.0.0.54 --dns-search-rm b.example --dns-option-rm ndots:2 --sysctl-add net.core.somaxconn=11 --sysctl-rm net.ipv4.ip_forward" +
		" --ulimit-add nofile=5:6 --ulimit-rm core --cap-add chown --cap-add sys_time --cap-drop kill",
		func(s *swarm.ServiceSpec) {
			s.AddDNSServer("10.0.0.53")
			s.DropDNSServer("10.0.0.54")
			s.DropDNSSearch("b.example")
			s.DropDNSOption("ndots")
			s.PutSysctl("net.core.somaxconn", "11")
			s.DropSysctl("net.ipv4.ip_forward")
			s.PutUlimit(swarm.Ulimit{Name: "nofile", Soft: 5, Hard: 6})
			s.DropUlimit("core")
			s.AddCapability("chown")
			s.AddCapability("sys_time")
			s.DropCapability("kill")
		}},
	{"--group-add staff --group-add 12 --generic-resource-add gpu=2 --generic-resource-add ssd=1 --cap-drop ALL",
		func(s *swarm.ServiceSpec) {
			s.AddGroup("staff")
			s.AddGroup("12")
			s.PutGenericResource(kindOfThing("gpu", 2))
			s.PutGenericResource(kindOfThing("ssd", 1))
			s.DropCapability("ALL")
		}},
	{"--group-add 12 --group-rm staff --generic-resource-add gpu=3 --generic-resource-rm ssd --cap-drop all",
		func(s *swarm.ServiceSpec) {
			s.AddGroup("12")
			s.DropGroup("staff")
			s.PutGenericResource(kindOfThing("gpu", 3))
			s.DropGenericResource("ssd")
			s.DropCapability("all")
		}},
	{"--constraint-rm node.role==manager --placement-pref-rm spread=node.labels.rack --placement-pref-rm spread=node.labels.zone --host-rm db --host-rm cache" +
		" --dns-rm 10.0.0.53 --dns-search-rm a.example --dns-option-rm rotate --sysctl-rm net.core.somaxconn --ulimit-rm nofile --group-rm 12" +
		" --generic-resource-rm gpu --cap-add kill --cap-drop chown",
		func(s *swarm.ServiceSpec) {
			s.DropConstraint("node.role==manager")
			s.DropPreference("node.labels.rack")
			s.DropPreference("node.labels.zone")
			s.DropHost("db", "")
			s.DropHost("cache", "")
			s.DropDNSServer("10.0.0.53")
			s.DropDNSSearch("a.example")
			s.DropDNSOption("rotate")
			s.DropSysctl("net.core.somaxconn")
			s.DropUlimit("nofile")
			s.DropGroup("12")
			s.DropGenericResource("gpu")
			s.AddCapability("kill")
			s.DropCapability("chown")
		}},
}

func kindOfThing(kind string, n int64) swarm.GenericResource {
	return swarm.GenericResource{DiscreteResourceSpec: &swarm.DiscreteGenericResource{Kind: kind, Value: n}}
}

func TestEditsMakeWhatTheDockerCommandMakes(t *testing.T) {
	t.Parallel()
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		client := newClient(t, e)
		var ids []string
		for _, whose := range []string{"ours", "theirs"} {
			spec := testSpec(serviceName(t, whose))
			spec.Mode = swarm.Replicated(0)
			spec.TaskTemplate.Placement = &swarm.Placement{MaxReplicas: 3}
			spec.TaskTemplate.Resources = &swarm.ResourceRequirements{Reservations: &swarm.Reservations{MemoryBytes: 8 << 20}}
			ids = append(ids, create(t, client, spec))
		}
		for _, row := range dockerEdits {
			update(t, client, ids[0], row.edit)
			args := append([]string{"service", "update", "--detach", "--no-resolve-image"}, strings.Fields(row.flags)...)
			docker(t, e, append(args, ids[1])...)
			ours := inOneOrder(specPart(t, e, ids[0], "TaskTemplate"))
			theirs := inOneOrder(specPart(t, e, ids[1], "TaskTemplate"))
			require.NotEmpty(t, theirs)
			assert.Equal(t, theirs, ours, row.flags)
		}
	})
}

// inOneOrder sorts the lists that the docker command sorts. What was added again it
// has twice in some.
func inOneOrder(v any) any {
	object, ok := v.(map[string]any)
	if !ok {
		return v
	}
	for name, value := range object {
		list, isList := value.([]any)
		if isList && name != "Preferences" && name != "Hosts" {
			slices.SortFunc(list, func(a, b any) int { return bytes.Compare(encoded(a), encoded(b)) })
			value = slices.CompactFunc(list, func(a, b any) bool { return bytes.Equal(encoded(a), encoded(b)) })
		}
		object[name] = inOneOrder(value)
	}
	return object
}
