package swarm_test

import (
	"reflect"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/swarm-go/swarm"
)

// editableTask is a spec with two of everything that a task runs under.
func editableTask() swarm.ServiceSpec {
	var spec swarm.ServiceSpec
	spec.TaskTemplate.Placement = &swarm.Placement{
		Constraints: []string{"node.role == worker", "node.labels.zone!=a"},
		Preferences: []swarm.PlacementPreference{swarm.SpreadOver("node.labels.zone"), swarm.SpreadOver("node.labels.rack")},
		MaxReplicas: 2,
	}
	spec.TaskTemplate.Resources = &swarm.ResourceRequirements{
		Limits:       &swarm.Limits{Pids: 9},
		Reservations: &swarm.Reservations{MemoryBytes: 8 << 20, GenericResources: []swarm.GenericResource{things("gpu", 2), things("ssd", 1)}},
	}
	spec.TaskTemplate.ContainerSpec = swarm.ContainerSpec{
		Hosts:          []string{"10.0.0.1  db", "10.0.0.2 db", "10.0.0.3 cache store db"},
		DNSConfig:      &swarm.DNSConfig{Nameservers: []string{"10.0.0.53", "10.0.0.54"}, Search: []string{"b.example", "a.example"}, Options: []string{"ndots:1", "rotate"}},
		Sysctls:        map[string]string{"net.core.somaxconn": "10", "net.ipv4.ip_forward": "1"},
		Ulimits:        []swarm.Ulimit{{Name: "nofile", Soft: 1, Hard: 2}, {Name: "core", Soft: 3, Hard: 4}},
		CapabilityAdd:  []string{"CAP_SYS_TIME", "CAP_NET_ADMIN"},
		CapabilityDrop: []string{"CAP_KILL", "CAP_CHOWN"},
		Groups:         []string{"staff", "12"},
	}
	return spec
}

func things(kind string, n int64) swarm.GenericResource {
	return swarm.GenericResource{DiscreteResourceSpec: &swarm.DiscreteGenericResource{Kind: kind, Value: n}}
}

func TestEditsOfWhatTasksRunUnder(t *testing.T) {
	type spec = swarm.ServiceSpec
	container := func(s *spec) *swarm.ContainerSpec { return &s.TaskTemplate.ContainerSpec }
	for name, row := range map[string]struct {
		edit func(*spec)
		want func(*spec) // of a new spec; nil for no change
	}{
		"constraint": {func(s *spec) { s.AddConstraint("node.id!=x") }, func(s *spec) {
			s.TaskTemplate.Placement.Constraints = []string{"node.role == worker", "node.labels.zone!=a", "node.id!=x"}
		}},
		"constraint, other spaces": {func(s *spec) { s.AddConstraint("node.role==worker") }, nil},
		"constraint, opposite":     {func(s *spec) { s.DropConstraint("node.role!=worker") }, nil},
		"constraint dropped":       {func(s *spec) { s.DropConstraint("node.role==worker") }, func(s *spec) { s.TaskTemplate.Placement.Constraints = []string{"node.labels.zone!=a"} }},
		"all constraints dropped": {func(s *spec) { s.DropConstraint("node.role==worker"); s.DropConstraint("node.labels.zone!=a") },
			func(s *spec) { s.TaskTemplate.Placement.Constraints = nil }},
		"constraint that is none": {func(s *spec) { s.AddConstraint("?"); s.AddConstraint("?"); s.DropConstraint("!") },
			func(s *spec) {
				s.TaskTemplate.Placement.Constraints = []string{"node.role == worker", "node.labels.zone!=a", "?"}
			}},
		"preference": {func(s *spec) { s.AddPreference(swarm.SpreadOver("node.id")) }, func(s *spec) {
			s.TaskTemplate.Placement.Preferences = []swarm.PlacementPreference{swarm.SpreadOver("node.labels.zone"), swarm.SpreadOver("node.labels.rack"), swarm.SpreadOver("node.id")}
		}},
		"preference as it is": {func(s *spec) { s.AddPreference(swarm.SpreadOver("node.labels.zone")) }, nil},
		"preference dropped": {func(s *spec) { s.DropPreference("node.labels.zone") },
			func(s *spec) {
				s.TaskTemplate.Placement.Preferences = []swarm.PlacementPreference{swarm.SpreadOver("node.labels.rack")}
			}},

		"host": {func(s *spec) { s.AddHost("db", "10.0.0.9") }, func(s *spec) {
			container(s).Hosts = []string{"10.0.0.1  db", "10.0.0.2 db", "10.0.0.3 cache store db", "10.0.0.9 db"}
		}},
		"host as it is": {func(s *spec) { s.AddHost("db", "10.0.0.1") }, nil},
		"host that is an alias": {func(s *spec) { s.AddHost("db", "10.0.0.3") }, func(s *spec) {
			container(s).Hosts = []string{"10.0.0.1  db", "10.0.0.2 db", "10.0.0.3 cache store db", "10.0.0.3 db"}
		}},
		"host put":                {func(s *spec) { s.PutHost("db", "::1") }, func(s *spec) { container(s).Hosts = []string{"::1 db", "10.0.0.3 cache store"} }},
		"host put to one of many": {func(s *spec) { s.PutHost("db", "10.0.0.2") }, func(s *spec) { container(s).Hosts = []string{"10.0.0.2 db", "10.0.0.3 cache store"} }},
		"host put that is there":  {func(s *spec) { s.PutHost("cache", "10.0.0.3") }, nil},
		"new host put": {func(s *spec) { s.PutHost("x", "::1") }, func(s *spec) {
			container(s).Hosts = []string{"10.0.0.1  db", "10.0.0.2 db", "10.0.0.3 cache store db", "::1 x"}
		}},
		"host dropped":    {func(s *spec) { s.DropHost("db", "") }, func(s *spec) { container(s).Hosts = []string{"10.0.0.3 cache store"} }},
		"address dropped": {func(s *spec) { s.DropHost("db", "10.0.0.2") }, func(s *spec) { container(s).Hosts = []string{"10.0.0.1  db", "10.0.0.3 cache store db"} }},
		"all hosts dropped": {func(s *spec) { s.DropHost("db", ""); s.DropHost("cache", ""); s.DropHost("store", "10.0.0.3") },
			func(s *spec) { container(s).Hosts = nil }},
		"other address": {func(s *spec) { s.DropHost("db", "10.0.0.9"); s.DropHost("10.0.0.1", "") }, nil},

		"name server":         {func(s *spec) { s.AddDNSServer("10.0.0.1") }, func(s *spec) { container(s).DNSConfig.Nameservers = []string{"10.0.0.53", "10.0.0.54", "10.0.0.1"} }},
		"name server dropped": {func(s *spec) { s.DropDNSServer("10.0.0.53") }, func(s *spec) { container(s).DNSConfig.Nameservers = []string{"10.0.0.54"} }},
		"domain":              {func(s *spec) { s.AddDNSSearch("c.example") }, func(s *spec) { container(s).DNSConfig.Search = []string{"b.example", "a.example", "c.example"} }},
		"domain dropped":      {func(s *spec) { s.DropDNSSearch("a.example") }, func(s *spec) { container(s).DNSConfig.Search = []string{"b.example"} }},
		"option":              {func(s *spec) { s.PutDNSOption("ndots:2") }, func(s *spec) { container(s).DNSConfig.Options = []string{"ndots:2", "rotate"} }},
		"new option":          {func(s *spec) { s.PutDNSOption("edns0") }, func(s *spec) { container(s).DNSConfig.Options = []string{"ndots:1", "rotate", "edns0"} }},
		"option dropped":      {func(s *spec) { s.DropDNSOption("ndots") }, func(s *spec) { container(s).DNSConfig.Options = []string{"rotate"} }},
		"DNS as it is":        {func(s *spec) { s.AddDNSServer("10.0.0.53"); s.AddDNSSearch("a.example"); s.PutDNSOption("rotate") }, nil},
		"all DNS dropped": {func(s *spec) {
			for _, text := range []string{"10.0.0.53", "10.0.0.54", "a.example", "b.example", "ndots", "rotate"} {
				assert.True(t, s.DropDNSServer(text) || s.DropDNSSearch(text) || s.DropDNSOption(text), text)
			}
		}, func(s *spec) { container(s).DNSConfig = nil }},

		"sysctl":         {func(s *spec) { s.PutSysctl("net.core.somaxconn", "11") }, func(s *spec) { container(s).Sysctls["net.core.somaxconn"] = "11" }},
		"sysctl dropped": {func(s *spec) { s.DropSysctl("net.core.somaxconn") }, func(s *spec) { delete(container(s).Sysctls, "net.core.somaxconn") }},
		"ulimit": {func(s *spec) { s.PutUlimit(swarm.Ulimit{Name: "nofile", Soft: 5, Hard: 6}) },
			func(s *spec) { container(s).Ulimits[0] = swarm.Ulimit{Name: "nofile", Soft: 5, Hard: 6} }},
		"ulimit dropped": {func(s *spec) { s.DropUlimit("nofile") }, func(s *spec) { container(s).Ulimits = container(s).Ulimits[1:] }},
		"group":          {func(s *spec) { s.AddGroup("13") }, func(s *spec) { container(s).Groups = []string{"staff", "12", "13"} }},
		"group as it is": {func(s *spec) { s.AddGroup("12") }, nil},
		"group dropped":  {func(s *spec) { s.DropGroup("staff") }, func(s *spec) { container(s).Groups = []string{"12"} }},

		"resource": {func(s *spec) { s.PutGenericResource(things("gpu", 3)) },
			func(s *spec) { s.TaskTemplate.Resources.Reservations.GenericResources[0] = things("gpu", 3) }},
		"resource as it is": {func(s *spec) { s.PutGenericResource(things("ssd", 1)) }, nil},
		"named resource": {func(s *spec) {
			s.PutGenericResource(swarm.GenericResource{NamedResourceSpec: &swarm.NamedGenericResource{Kind: "ssd", Value: "x"}})
		}, func(s *spec) {
			s.TaskTemplate.Resources.Reservations.GenericResources[1] = swarm.GenericResource{NamedResourceSpec: &swarm.NamedGenericResource{Kind: "ssd", Value: "x"}}
		}},
		"all resources dropped": {func(s *spec) { s.DropGenericResource("gpu"); s.DropGenericResource("ssd") },
			func(s *spec) { s.TaskTemplate.Resources.Reservations.GenericResources = nil }},
	} {
		spec := editableTask()
		shared := spec // its lists, maps and parts
		row.edit(&spec)
		want := editableTask()
		if row.want != nil {
			row.want(&want)
		}
		assert.Equal(t, want, spec, name)
		assert.Equal(t, editableTask(), shared, "%s: what shares memory with the spec has changed", name)
	}
}

// Each row is what docker service update makes of it, see the test on engines.
func TestCapabilitiesGoTheDockerCommandsWay(t *testing.T) {
	type lists struct{ add, drop []string }
	list := func(names ...string) []string { return names }
	for _, row := range []struct {
		before        lists
		add, drop     string
		after         lists
		reportsChange bool // of a drop
	}{
		{lists{}, "net_admin", "", lists{add: list("CAP_NET_ADMIN")}, false},
		{lists{}, "", "NET_ADMIN", lists{drop: list("CAP_NET_ADMIN")}, true},
		{lists{add: list("CAP_KILL")}, "kill", "", lists{add: list("CAP_KILL")}, false},
		{lists{add: list("cap_kill")}, "KILL", "", lists{add: list("cap_kill")}, false},
		{lists{drop: list("KILL", "CAP_CHOWN")}, "CAP_KILL", "", lists{drop: list("CAP_CHOWN")}, false},
		{lists{drop: list("CAP_KILL")}, "kill", "", lists{}, false},
		{lists{add: list("CAP_KILL", "CAP_CHOWN")}, "", "kill", lists{add: list("CAP_CHOWN")}, true},
		{lists{drop: list("CAP_KILL")}, "", "kill", lists{drop: list("CAP_KILL")}, false},
		{lists{add: list("ALL")}, "kill", "", lists{add: list("ALL")}, false},
		{lists{add: list("ALL")}, "", "kill", lists{add: list("ALL"), drop: list("CAP_KILL")}, true},
		{lists{add: list("CAP_KILL")}, "all", "", lists{add: list("ALL")}, false},
		{lists{add: list("CAP_KILL"), drop: list("CAP_CHOWN")}, "", "ALL", lists{add: list("CAP_KILL"), drop: list("ALL")}, true},
		{lists{drop: list("ALL")}, "all", "", lists{}, false},
		{lists{drop: list("ALL")}, "", "kill", lists{drop: list("ALL")}, false},
		{lists{drop: list("ALL")}, "kill", "", lists{add: list("CAP_KILL"), drop: list("ALL")}, false},
		{lists{}, "no capability", "", lists{add: list("no capability")}, false},
	} {
		var spec swarm.ServiceSpec
		container := &spec.TaskTemplate.ContainerSpec
		container.CapabilityAdd, container.CapabilityDrop = row.before.add, row.before.drop
		if row.add != "" {
			spec.AddCapability(row.add)
		} else {
			assert.Equal(t, row.reportsChange, spec.DropCapability(row.drop), "%+v", row)
		}
		assert.Equal(t, row.after, lists{container.CapabilityAdd, container.CapabilityDrop}, "%+v", row)
	}
	spec := editableTask()
	shared := spec
	spec.AddCapability("KILL")
	spec.DropCapability("SYS_TIME")
	spec.AddCapability("ALL")
	assert.Equal(t, editableTask(), shared)
}

func TestDroppingWhatTasksDoNotHaveChangesNothing(t *testing.T) {
	var empty swarm.ServiceSpec
	full := editableTask()
	for _, spec := range []*swarm.ServiceSpec{&empty, &full} {
		for name, dropped := range map[string]bool{
			"constraint":  spec.DropConstraint("node.role==manager"),
			"preference":  spec.DropPreference("node.labels.x"),
			"host":        spec.DropHost("x", "") || spec.DropHost("", ""),
			"name server": spec.DropDNSServer("10.0.0.55"),
			"domain":      spec.DropDNSSearch("example"),
			"option":      spec.DropDNSOption("ndot"),
			"sysctl":      spec.DropSysctl("net"),
			"ulimit":      spec.DropUlimit("nproc"),
			"group":       spec.DropGroup("1"),
			"resource":    spec.DropGenericResource("x") || spec.DropGenericResource(""),
		} {
			assert.False(t, dropped, name)
		}
	}
	assert.Equal(t, swarm.ServiceSpec{}, empty)
	assert.Equal(t, editableTask(), full)
}

// What is put into nothing and dropped again leaves nothing.
func TestEditsOfTasksLeaveNothingBehind(t *testing.T) {
	var spec swarm.ServiceSpec
	spec.AddConstraint("node.id!=x")
	spec.AddPreference(swarm.SpreadOver("node.id"))
	spec.AddHost("db", "10.0.0.1")
	spec.AddDNSServer("10.0.0.53")
	spec.AddDNSSearch("example")
	spec.PutDNSOption("rotate")
	spec.PutSysctl("a", "1")
	spec.PutUlimit(swarm.Ulimit{Name: "nofile"})
	spec.AddCapability("KILL")
	spec.AddGroup("12")
	spec.PutGenericResource(things("gpu", 1))
	for i, dropped := range []bool{
		spec.DropConstraint("node.id != x"), spec.DropPreference("node.id"), spec.DropHost("db", "10.0.0.1"), spec.DropDNSServer("10.0.0.53"),
		spec.DropDNSSearch("example"), spec.DropDNSOption("rotate:1"), spec.DropSysctl("a"), spec.DropUlimit("nofile"),
		spec.DropCapability("cap_kill"), spec.DropGroup("12"), spec.DropGenericResource("gpu"),
	} {
		assert.True(t, dropped, i)
	}
	assert.True(t, reflect.ValueOf(spec).IsZero(), "%+v", spec)
}
