package engine

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/swarm-go/swarm"
)

// spread is how many tasks of a service that run each engine has.
func (s *scene) spread(id string) []int {
	counts := make([]int, len(s.daemons))
	for _, task := range s.running(id) {
		for i, d := range s.daemons {
			if d.nodeID == task.NodeID {
				counts[i]++
			}
		}
	}
	return counts
}

func TestTasksAreSpreadEvenly(t *testing.T) {
	s := newScene(t, 3)
	id := s.create(replicated("web:1", 7))
	s.untilRunning(id, 7)
	assert.ElementsMatch(t, []int{3, 2, 2}, s.spread(id))
	// The next service goes where there is least.
	spec := replicated("web:1", 2)
	spec.Name = "other"
	other := s.create(spec)
	s.untilRunning(other, 2)
	for i, n := range s.spread(id) {
		assert.Equal(t, 3, n+s.spread(other)[i], "node %d", i+1)
	}
}

func TestConstraintsChooseNodes(t *testing.T) {
	s := newScene(t, 2)
	first, second := s.daemons[0], s.daemons[1]
	s.changeNode(second, func(spec *swarm.NodeSpec) { spec.Labels = map[string]string{"disk": "SSD"} })
	for constraint, want := range map[string]*Daemon{
		"node.role==manager":                first,
		"node.role == worker":               second,
		"node.role!=manager":                second,
		"node.hostname==node-2":             second,
		"node.id!=" + first.nodeID:          second,
		"node.ip==" + first.address:         first,
		"node.ip!=" + first.address + "/32": second,
		"node.labels.disk==ssd":             second,
		"node.labels.disk!=ssd":             first,
		"engine.labels.rack!=a":             first,
		"node.platform.os==windows":         nil,
		"node.platform.arch!=x86_64":        nil,
		"node.labels.none==x":               nil,
		"node.color==red":                   nil,
		"node.color!=red":                   nil,
		"node.ip==nowhere":                  nil,
		"node.labels.Disk==ssd":             nil,
	} {
		var nodes []*Daemon
		rules := placementOf(&swarm.TaskSpec{Placement: constrained(constraint)})
		for _, d := range s.daemons {
			if rules.match(s.node(d)) {
				nodes = append(nodes, d)
			}
		}
		if want == nil {
			assert.Empty(t, nodes, constraint)
			continue
		}
		if assert.NotEmpty(t, nodes, constraint) {
			assert.Same(t, want, nodes[0], constraint)
		}
	}
}

func TestTaskThatSuitsNoNodeSaysWhy(t *testing.T) {
	s := newScene(t, 2)
	reserve := func(r swarm.Reservations) func(*swarm.ServiceSpec) {
		return func(spec *swarm.ServiceSpec) {
			spec.TaskTemplate.Resources = &swarm.ResourceRequirements{Reservations: &r}
		}
	}
	for _, row := range []struct {
		why    string
		change func(*swarm.ServiceSpec)
	}{
		{"no suitable node (scheduling constraints not satisfied on 2 nodes)", func(spec *swarm.ServiceSpec) {
			spec.TaskTemplate.Placement = constrained("node.labels.x==y")
		}},
		{"no suitable node (insufficient resources on 2 nodes)", reserve(swarm.Reservations{NanoCPUs: 900e9})},
		{"no suitable node (insufficient resources on 2 nodes)", reserve(swarm.Reservations{MemoryBytes: 1 << 50})},
		{"no suitable node (insufficient resources on 2 nodes)", reserve(swarm.Reservations{GenericResources: []swarm.GenericResource{
			{DiscreteResourceSpec: &swarm.DiscreteGenericResource{Kind: "gpu", Value: 1}},
		}})},
		{"no suitable node (unsupported platform on 2 nodes)", func(spec *swarm.ServiceSpec) {
			spec.TaskTemplate.Placement = &swarm.Placement{Platforms: []swarm.Platform{{Architecture: "arm64", OS: "linux"}}}
		}},
		{"no suitable node (missing plugin on 2 nodes)", func(spec *swarm.ServiceSpec) {
			spec.TaskTemplate.ContainerSpec.Mounts = []swarm.Mount{{Type: swarm.MountVolume, Source: "v", Target: "/v",
				VolumeOptions: &swarm.VolumeOptions{DriverConfig: &swarm.Driver{Name: "nodriver"}}}}
		}},
		{"no suitable node (scheduling constraints not satisfied on 1 node; unsupported platform on 1 node)", func(spec *swarm.ServiceSpec) {
			spec.TaskTemplate.Placement = constrained("node.role==worker")
			spec.TaskTemplate.Placement.Platforms = []swarm.Platform{{OS: "windows"}}
		}},
		{"insufficient resources on 1 node", func(spec *swarm.ServiceSpec) {
			spec.Mode = swarm.Global()
			reserve(swarm.Reservations{NanoCPUs: 900e9})(spec)
		}},
	} {
		spec := replicated("web:1", 1)
		row.change(&spec)
		id := s.create(spec)
		s.run(50 * time.Millisecond)
		for _, task := range s.all(id) {
			assert.Equal(t, swarm.TaskPending, task.Status.State)
			assert.Equal(t, row.why, task.Status.Err)
			assert.Equal(t, "pending task scheduling", task.Status.Message)
		}
		require.NotEmpty(t, s.all(id))
		s.remove(id)
		s.run(100 * time.Millisecond)
	}
}

func TestTaskIsPlacedWhenThereIsRoom(t *testing.T) {
	s := newScene(t, 1)
	spec := replicated("web:1", 2)
	spec.TaskTemplate.Resources = &swarm.ResourceRequirements{Reservations: &swarm.Reservations{NanoCPUs: 3e9}}
	id := s.create(spec)
	s.until("one running", func() bool { return len(s.running(id)) == 1 })
	s.run(time.Second)
	assert.Equal(t, "no suitable node (insufficient resources on 1 node)", s.all(id)[1].Status.Err)
	s.addNode(false)
	s.untilRunning(id, 2)
	assert.Equal(t, []int{1, 1}, s.spread(id))
	assert.Empty(t, s.running(id)[1].Status.Err)
}

func TestReplicasOfANodeAreLimited(t *testing.T) {
	s := newScene(t, 2)
	spec := replicated("web:1", 3)
	spec.TaskTemplate.Placement = &swarm.Placement{MaxReplicas: 1}
	id := s.create(spec)
	s.until("two running", func() bool { return len(s.running(id)) == 2 })
	assert.Equal(t, []int{1, 1}, s.spread(id))
	assert.Equal(t, "no suitable node (max replicas per node limit exceed)", s.all(id)[2].Status.Err)
}

func TestHostPortsKeepTasksApart(t *testing.T) {
	s := newScene(t, 2)
	spec := replicated("web:1", 3)
	spec.EndpointSpec = swarm.EndpointSpec{Mode: swarm.EndpointVIP, Ports: []swarm.PortConfig{
		{Protocol: swarm.ProtocolTCP, TargetPort: 80, PublishedPort: 8080, PublishMode: swarm.PublishHost},
	}}
	id := s.create(spec)
	s.until("two running", func() bool { return len(s.running(id)) == 2 })
	assert.Equal(t, []int{1, 1}, s.spread(id))
	assert.Equal(t, "no suitable node (host-mode port already in use on 2 nodes)", s.all(id)[2].Status.Err)
	assert.Equal(t, []swarm.PortConfig{spec.EndpointSpec.Ports[0], spec.EndpointSpec.Ports[0]}, s.running(id)[0].Status.PortStatus.Ports)
}

func TestPreferencesSpreadOverLabels(t *testing.T) {
	s := newScene(t, 4)
	for i, zone := range []string{"a", "a", "a", "b"} {
		s.changeNode(s.daemons[i], func(spec *swarm.NodeSpec) { spec.Labels = map[string]string{"zone": zone} })
	}
	spec := replicated("web:1", 6)
	spec.TaskTemplate.Placement = &swarm.Placement{Preferences: []swarm.PlacementPreference{swarm.SpreadOver("node.labels.zone")}}
	id := s.create(spec)
	s.untilRunning(id, 6)
	assert.Equal(t, []int{1, 1, 1, 3}, s.spread(id))
}

func TestTasksGetTheThingsTheyReserve(t *testing.T) {
	s := newScene(t, 1)
	s.world.Do(func() {
		s.cluster.commit(func(tx *tx) {
			node := *s.daemons[0].node()
			node.Description.Resources.GenericResources = []swarm.GenericResource{
				{NamedResourceSpec: &swarm.NamedGenericResource{Kind: "gpu", Value: "one"}},
				{NamedResourceSpec: &swarm.NamedGenericResource{Kind: "gpu", Value: "two"}},
				{DiscreteResourceSpec: &swarm.DiscreteGenericResource{Kind: "licence", Value: 5}},
			}
			put(tx, s.cluster.nodes, &node)
		})
	})
	spec := replicated("web:1", 3)
	spec.TaskTemplate.Resources = &swarm.ResourceRequirements{Reservations: &swarm.Reservations{GenericResources: []swarm.GenericResource{
		{DiscreteResourceSpec: &swarm.DiscreteGenericResource{Kind: "gpu", Value: 1}},
		{DiscreteResourceSpec: &swarm.DiscreteGenericResource{Kind: "licence", Value: 2}},
	}}}
	id := s.create(spec)
	s.until("two running", func() bool { return len(s.running(id)) == 2 })
	s.run(time.Second)
	var names []string
	for _, task := range s.running(id) {
		require.Len(t, task.GenericResources, 2)
		names = append(names, task.GenericResources[0].NamedResourceSpec.Value)
		assert.Equal(t, int64(2), task.GenericResources[1].DiscreteResourceSpec.Value)
	}
	assert.Equal(t, []string{"one", "two"}, names)
}

func TestNodeThatSuitsATaskNoMoreLosesIt(t *testing.T) {
	s := newScene(t, 2)
	for _, d := range s.daemons {
		s.changeNode(d, func(spec *swarm.NodeSpec) { spec.Labels = map[string]string{"use": "web"} })
	}
	spec := replicated("web:1", 1)
	spec.TaskTemplate.Placement = constrained("node.labels.use==web")
	id := s.create(spec)
	s.untilRunning(id, 1)
	task := s.running(id)[0]
	s.changeNode(s.daemons[0], func(spec *swarm.NodeSpec) { spec.Labels = nil })
	s.untilRunning(id, 1)
	s.until("another node", func() bool {
		running := s.running(id)
		return len(running) == 1 && running[0].NodeID == s.daemons[1].nodeID
	})
	var rejected *swarm.Task
	for _, other := range s.all(id) {
		if other.ID == task.ID {
			rejected = other
		}
	}
	assert.Equal(t, swarm.TaskRejected, rejected.Status.State)
	assert.Equal(t, "task rejected by constraint enforcer", rejected.Status.Message)
	assert.Equal(t, "assigned node no longer meets constraints", rejected.Status.Err)
}

func TestNodeWhereTasksFailIsAvoided(t *testing.T) {
	s := newScene(t, 2)
	bad := s.daemons[0].nodeID
	s.image("picky", func(c *Container) int {
		if c.Node().ID == bad {
			return 1
		}
		c.Wait()
		return 0
	})
	spec := replicated("picky", 4)
	id := s.create(spec)
	s.until("all on the good node", func() bool { return s.spread(id)[1] == 4 })
}
