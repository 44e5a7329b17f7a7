package swarm_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/swarm-go/swarm"
)

// placementNode is a node with something of everything.
func placementNode() swarm.Node {
	return swarm.Node{
		ID:     "xgtkk9nqpluaw4vciwtm6gjsb",
		Spec:   swarm.NodeSpec{Role: swarm.RoleWorker, Availability: swarm.NodeActive, Labels: map[string]string{"disk": "Fast", "Zone": "eu"}},
		Status: swarm.NodeStatus{State: swarm.NodeReady, Addr: "10.1.2.3"},
		Description: swarm.NodeDescription{
			Hostname: "n1", Platform: swarm.Platform{Architecture: "aarch64", OS: "linux"},
			Resources: swarm.NodeResources{NanoCPUs: 2e9, MemoryBytes: 1 << 30, GenericResources: []swarm.GenericResource{
				discrete("ssd", 3), named("gpu", "UUID1"), named("gpu", "UUID2")}},
			Engine: swarm.EngineDescription{Labels: map[string]string{"rack": "r1"}, Plugins: []swarm.PluginDescription{
				{Type: "Log", Name: "json-file"}, {Type: "Volume", Name: "local"}, {Type: "Volume", Name: "vieux/sshfs:latest"}, {Type: "Network", Name: "nfs"}}},
		},
	}
}

func discrete(kind string, value int64) swarm.GenericResource {
	return swarm.GenericResource{DiscreteResourceSpec: &swarm.DiscreteGenericResource{Kind: kind, Value: value}}
}

func named(kind, value string) swarm.GenericResource {
	return swarm.GenericResource{NamedResourceSpec: &swarm.NamedGenericResource{Kind: kind, Value: value}}
}

func TestConstraintsMatchNodes(t *testing.T) {
	node := placementNode()
	for text, want := range map[string]bool{
		"node.id==XGTKK9nqpluaw4vciwtm6gjsb": true, "node.id==xgtkk9nqplua": false, "node.id!=x": true,
		"node.hostname==N1": true, "node.hostname==n*": false, "node.hostname!=n1": false,
		"node.ip==10.1.2.3": true, "node.ip==10.0.0.0/8": true, "node.ip!=10.0.0.0/8": false, "node.ip==10.1.2.4": false, "node.ip!=fd00::/8": true,
		"node.ip==x": false, "node.ip!=x": false, "node.ip==::ffff:10.1.2.3": true,
		"node.role==Worker": true, "node.role!=manager": true, "node.role==manager": false,
		"node.platform.os==LINUX": true, "node.platform.arch==aarch64": true, "node.platform.arch==arm64": false,
		"node.labels.disk==fast": true, "node.labels.Disk==fast": false, "NODE.labels.Zone == EU": true, "node.labels.none!=x": true, "node.labels.none==x": false,
		"engine.labels.rack==R1": true, "engine.labels.rack!=r1": false, "engine.labels.none!=x": true,
		"node.labels.!=x": false, "node.labels!=x": false, "node.version!=1": false, "engine.version==1": false,
	} {
		c, err := swarm.ParseConstraint(text)
		require.NoError(t, err, text)
		assert.Equal(t, want, c.Matches(&node), text)
		opposite := c
		opposite.Not = !c.Not
		if c.Matches(&node) {
			assert.False(t, opposite.Matches(&node), text)
		}
	}
	empty := swarm.Node{}
	for text, want := range map[string]bool{"node.ip!=10.0.0.1": true, "node.ip==10.0.0.0/8": false, "node.hostname!=x": true, "node.role==worker": false, "engine.labels.a==x": false} {
		c, err := swarm.ParseConstraint(text)
		require.NoError(t, err)
		assert.Equal(t, want, c.Matches(&empty), text)
	}
}

func TestNodesMatchASpec(t *testing.T) {
	volume := func(driver string) swarm.ContainerSpec {
		return swarm.ContainerSpec{Mounts: []swarm.Mount{{Type: swarm.MountBind, Source: "/"}, {Type: swarm.MountVolume},
			{Type: swarm.MountVolume, VolumeOptions: &swarm.VolumeOptions{DriverConfig: &swarm.Driver{Name: driver}}}}}
	}
	reserve := func(r swarm.Reservations) *swarm.ResourceRequirements {
		return &swarm.ResourceRequirements{Reservations: &r}
	}
	generic := func(wanted ...swarm.GenericResource) swarm.TaskSpec {
		return swarm.TaskSpec{Resources: reserve(swarm.Reservations{GenericResources: wanted})}
	}
	for _, row := range []struct {
		what string
		task swarm.TaskSpec
		want bool
	}{
		{"nothing asked for", swarm.TaskSpec{}, true},
		{"empty objects", swarm.TaskSpec{Placement: &swarm.Placement{}, Resources: &swarm.ResourceRequirements{}, LogDriver: &swarm.Driver{}}, true},
		{"all constraints", swarm.TaskSpec{Placement: &swarm.Placement{Constraints: []string{"node.role==worker", "node.labels.disk==fast"}}}, true},
		{"one constraint of two", swarm.TaskSpec{Placement: &swarm.Placement{Constraints: []string{"node.role==worker", "node.labels.disk==slow"}}}, false},
		{"its platform by another name", swarm.TaskSpec{Placement: &swarm.Placement{Platforms: []swarm.Platform{{Architecture: "arm64", OS: "linux"}}}}, true},
		{"one platform of several", swarm.TaskSpec{Placement: &swarm.Placement{Platforms: []swarm.Platform{{Architecture: "amd64", OS: "linux"}, {OS: "linux"}}}}, true},
		{"another platform", swarm.TaskSpec{Placement: &swarm.Placement{Platforms: []swarm.Platform{{Architecture: "amd64", OS: "linux"}}}}, false},
		{"another system", swarm.TaskSpec{Placement: &swarm.Placement{Platforms: []swarm.Platform{{Architecture: "arm64", OS: "windows"}}}}, false},
		{"all it has", swarm.TaskSpec{Resources: reserve(swarm.Reservations{NanoCPUs: 2e9, MemoryBytes: 1 << 30})}, true},
		{"more CPUs", swarm.TaskSpec{Resources: reserve(swarm.Reservations{NanoCPUs: 2e9 + 1})}, false},
		{"more memory", swarm.TaskSpec{Resources: reserve(swarm.Reservations{MemoryBytes: 1<<30 + 1})}, false},
		{"a greater limit", swarm.TaskSpec{Resources: &swarm.ResourceRequirements{Limits: &swarm.Limits{MemoryBytes: 1 << 40}}}, true},
		{"all things", generic(discrete("ssd", 3), discrete("gpu", 2)), true},
		{"too many things", generic(discrete("ssd", 4)), false},
		{"too many things with names", generic(discrete("ssd", 1), discrete("gpu", 3)), false},
		{"no such things", generic(discrete("fpga", 0)), false},
		{"a thing by name", generic(named("gpu", "UUID1")), false},
		{"no volume driver", swarm.TaskSpec{ContainerSpec: volume("")}, true},
		{"a volume driver", swarm.TaskSpec{ContainerSpec: volume("vieux/sshfs")}, true},
		{"a volume driver with its tag", swarm.TaskSpec{ContainerSpec: volume("vieux/sshfs:latest")}, true},
		{"no such volume driver", swarm.TaskSpec{ContainerSpec: volume("nfs")}, false},
		{"a log driver", swarm.TaskSpec{LogDriver: &swarm.Driver{Name: "json-file"}}, true},
		{"no log driver", swarm.TaskSpec{LogDriver: &swarm.Driver{Name: "none"}}, true},
		{"no such log driver", swarm.TaskSpec{LogDriver: &swarm.Driver{Name: "local"}}, false},
	} {
		nodes, err := swarm.MatchNodes(swarm.ServiceSpec{TaskTemplate: row.task}, []swarm.Node{placementNode()})
		require.NoError(t, err)
		assert.Equal(t, row.want, len(nodes) == 1, row.what)
	}
}

func TestNodesThatTakeNoTasksDoNotMatch(t *testing.T) {
	nodes := make([]swarm.Node, 6)
	for i := range nodes {
		nodes[i] = placementNode()
		nodes[i].ID = string(rune('a' + i))
	}
	nodes[0].Spec.Availability = swarm.NodePause
	nodes[2].Spec.Availability = swarm.NodeDrain
	nodes[3].Status.State = swarm.NodeDown
	nodes[5].Status.State = swarm.NodeUnknown
	nodes[4].Description.Engine.Plugins = nil // an old engine does not name its log drivers
	matching, err := swarm.MatchNodes(swarm.ServiceSpec{TaskTemplate: swarm.TaskSpec{LogDriver: &swarm.Driver{Name: "json-file"}}}, nodes)
	require.NoError(t, err)
	require.Len(t, matching, 2)
	assert.Equal(t, nodes[1], matching[0])
	assert.Equal(t, nodes[4], matching[1])

	matching, err = swarm.MatchNodes(swarm.ServiceSpec{}, nil)
	assert.NoError(t, err)
	assert.Empty(t, matching)
}

func TestConstraintsThatAreNoneAreInvalid(t *testing.T) {
	spec := swarm.ServiceSpec{TaskTemplate: swarm.TaskSpec{Placement: &swarm.Placement{Constraints: []string{"node.role==worker", "node.role>worker"}}}}
	_, err := swarm.MatchNodes(spec, nil)
	assert.ErrorIs(t, err, swarm.ErrInvalid)
}

func FuzzMatchNodes(f *testing.F) {
	f.Add("node.role==worker", `{"Spec":{"Role":"worker","Availability":"active"},"Status":{"State":"ready"}}`)
	f.Add("node.labels.a!=b", `{"Spec":{"Labels":null},"Description":{"Resources":{"GenericResources":[{}]},"Engine":{"Plugins":[{}]}}}`)
	f.Add("node.ip!=10.0.0.0/8", `{"Status":{"Addr":"0.0.0.0"}}`)
	f.Fuzz(func(t *testing.T, constraint, text string) {
		var node swarm.Node
		if json.Unmarshal([]byte(text), &node) != nil {
			return
		}
		spec := swarm.ServiceSpec{TaskTemplate: swarm.TaskSpec{Placement: &swarm.Placement{Constraints: []string{constraint}}}}
		matching, err := swarm.MatchNodes(spec, []swarm.Node{node})
		c, invalid := swarm.ParseConstraint(constraint)
		assert.Equal(t, invalid == nil, err == nil)
		if err == nil && len(matching) == 1 {
			assert.True(t, c.Matches(&node))
			c.Not = !c.Not
			assert.False(t, c.Matches(&node), "both %q and its opposite", constraint)
		}
	})
}
