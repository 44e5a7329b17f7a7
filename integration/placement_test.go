//go:build integration

package integration

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/swarm-go/swarm"
	"github.com/swarm-go/swarm/integration/engines"
)

// placed makes a service of one task, which its node refuses so that nothing runs,
// and returns whether the scheduler gave it to a node.
func placed(t *testing.T, client *swarm.Client, spec swarm.ServiceSpec) bool {
	t.Helper()
	id := create(t, client, spec)
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		tasks, err := client.Services.Tasks(t.Context(), id)
		require.NoError(t, err)
		for _, task := range tasks {
			switch {
			case task.NodeID != "" && task.Status.State.Terminal(): // what it reserved is free again
				return true
			case strings.Contains(task.Status.Err, "no suitable node"), strings.Contains(task.Status.Message, "no suitable node"):
				return false
			}
		}
	}
	require.FailNow(t, "the scheduler does not decide", "%+v", spec.TaskTemplate)
	return false
}

// placementSpec is a service whose task is refused by its node.
func placementSpec(name string) swarm.ServiceSpec {
	spec := testSpec(name)
	spec.TaskTemplate.RestartPolicy = &swarm.RestartPolicy{Condition: swarm.RestartNone}
	spec.TaskTemplate.ContainerSpec.Mounts = []swarm.Mount{{Type: swarm.MountBind, Source: "/nothing-is-here", Target: "/x"}}
	return spec
}

// assertPlacement compares what the library and the engine say of a service, and
// returns what they do.
func assertPlacement(t *testing.T, client *swarm.Client, name string, edit func(*swarm.TaskSpec)) bool {
	t.Helper()
	spec := placementSpec(name)
	edit(&spec.TaskTemplate)
	nodes, err := client.Nodes.List(t.Context(), nil)
	require.NoError(t, err)
	matching, err := swarm.MatchNodes(spec, nodes)
	require.NoError(t, err)
	isPlaced := placed(t, client, spec)
	assert.Equal(t, isPlaced, len(matching) > 0, "%+v", spec.TaskTemplate)
	return isPlaced
}

func TestTasksArePlacedWhereConstraintsMatch(t *testing.T) {
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		client := newClient(t, e)
		node := ownNode(t, client)
		require.NoError(t, client.Nodes.Modify(t.Context(), node.ID, func(n *swarm.Node) error {
			n.Spec.Labels = map[string]string{"disk": "Fast", "empty": "", "a.b-c_d": "x y", "Zone": "eu", "glob": "f*"}
			return nil
		}))
		hostname, ip := node.Description.Hostname, node.Status.Addr
		seen := map[bool]int{}
		for i, constraint := range []string{
			"node.id==" + node.ID, "node.id==" + strings.ToUpper(node.ID), "node.id==" + node.ID[:12], "node.id!=" + node.ID, "NODE.ID==" + node.ID,
			"node.hostname==" + hostname, "node.hostname!=" + hostname, "node.hostname==other", "node.hostname==*", "node.hostname==" + hostname[:1] + "*",
			"node.ip==" + ip, "node.ip!=" + ip, "node.ip==" + ip + "/8", "node.ip!=" + ip + "/8", "node.ip==192.0.2.0/24", "node.ip!=192.0.2.0/24",
			"node.ip==::ffff:" + ip, "node.ip==none", "node.ip!=none", "Node.IP==" + ip,
			"node.role==manager", "node.role==Manager", "node.role!=manager", "node.role==worker", "node.role!=worker", "node.role!=boss",
			"node.platform.os==linux", "node.platform.os==Linux", "node.platform.os!=linux", "node.platform.os==windows",
			"node.platform.arch==" + node.Description.Platform.Architecture, "node.platform.arch==amd64", "node.platform.arch==arm64", "node.platform.arch!=arm64",
			"node.labels.disk==Fast", "node.labels.disk==fast", "node.labels.disk != fast", "node.labels.disk == slow", "Node.Labels.disk==fast",
			"node.labels.Disk==fast", "node.labels.Disk!=fast", "node.labels.zone==eu", "node.labels.Zone==EU", "node.labels.a.b-c_d==x y",
			"node.labels.glob==f*", "node.labels.disk==f*", "node.labels.disk==Fa?t", "node.labels.disk==.*", "node.labels.glob==fast",
			"node.labels.missing==x", "node.labels.missing!=x", "node.labels.empty==x", "node.labels.empty!=x", "node.labels.==x", "node.labels.!=x",
			"engine.labels.missing==x", "engine.labels.missing!=x", "Engine.Labels.missing!=x", "engine.labels.==x", "engine.labels.!=x",
			"node.name==" + hostname, "node.name!=x", "nodes.id!=x", "node.platform.version!=1", "engine.version!=1", "node.labels!=x",
		} {
			name := serviceName(t, fmt.Sprint(i))
			seen[assertPlacement(t, client, name, func(task *swarm.TaskSpec) { task.Placement = &swarm.Placement{Constraints: []string{constraint}} })]++
		}
		assert.Greater(t, seen[true], 25)
		assert.Greater(t, seen[false], 25)
	})
}

func TestTasksArePlacedWhereNodesMatch(t *testing.T) {
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		client := newClient(t, e)
		node := ownNode(t, client)
		has := node.Description.Resources
		reserve := func(r swarm.Reservations) func(*swarm.TaskSpec) {
			return func(task *swarm.TaskSpec) { task.Resources = &swarm.ResourceRequirements{Reservations: &r} }
		}
		platforms := func(list ...swarm.Platform) func(*swarm.TaskSpec) {
			return func(task *swarm.TaskSpec) { task.Placement = &swarm.Placement{Platforms: list} }
		}
		volume := func(driver *swarm.Driver) func(*swarm.TaskSpec) {
			return func(task *swarm.TaskSpec) {
				task.ContainerSpec.Mounts = append(task.ContainerSpec.Mounts, swarm.Mount{Type: swarm.MountVolume, Source: "v", Target: "/v",
					VolumeOptions: &swarm.VolumeOptions{DriverConfig: driver}})
			}
		}
		logs := func(driver string) func(*swarm.TaskSpec) {
			return func(task *swarm.TaskSpec) { task.LogDriver = &swarm.Driver{Name: driver} }
		}
		gpu := swarm.GenericResource{DiscreteResourceSpec: &swarm.DiscreteGenericResource{Kind: "gpu", Value: 1}}
		seen := map[bool]int{}
		for i, edit := range []func(*swarm.TaskSpec){
			func(*swarm.TaskSpec) {},
			func(task *swarm.TaskSpec) {
				task.Placement = &swarm.Placement{Constraints: []string{"node.role==manager", "node.id!=x"}}
			},
			func(task *swarm.TaskSpec) {
				task.Placement = &swarm.Placement{Constraints: []string{"node.role==manager", "node.id==x"}}
			},
			platforms(swarm.Platform{Architecture: "amd64", OS: "linux"}), platforms(swarm.Platform{Architecture: "x86_64", OS: "linux"}),
			platforms(swarm.Platform{Architecture: "AMD64", OS: "linux"}), platforms(swarm.Platform{Architecture: "amd64", OS: "Linux"}),
			platforms(swarm.Platform{Architecture: "arm64", OS: "linux"}), platforms(swarm.Platform{Architecture: "amd64", OS: "windows"}),
			platforms(swarm.Platform{OS: "linux"}), platforms(swarm.Platform{Architecture: "amd64"}), platforms(swarm.Platform{}), platforms(),
			platforms(swarm.Platform{Architecture: "arm64", OS: "linux"}, swarm.Platform{Architecture: "amd64", OS: "linux"}),
			reserve(swarm.Reservations{}), reserve(swarm.Reservations{NanoCPUs: has.NanoCPUs}), reserve(swarm.Reservations{NanoCPUs: has.NanoCPUs + 1}),
			reserve(swarm.Reservations{MemoryBytes: has.MemoryBytes}), reserve(swarm.Reservations{MemoryBytes: has.MemoryBytes + 1}),
			reserve(swarm.Reservations{GenericResources: []swarm.GenericResource{gpu}}),
			volume(nil), volume(&swarm.Driver{}), volume(&swarm.Driver{Name: "local"}), volume(&swarm.Driver{Name: "nfs"}),
			logs(""), logs("none"), logs("json-file"), logs("nothing"),
		} {
			seen[assertPlacement(t, client, serviceName(t, fmt.Sprint(i)), edit)]++
		}
		require.NoError(t, client.Nodes.Pause(t.Context(), node.ID))
		assert.False(t, assertPlacement(t, client, serviceName(t, "paused"), func(*swarm.TaskSpec) {}))
		_, err := client.Nodes.Inspect(t.Context(), node.ID)
		require.NoError(t, err)
		require.NoError(t, client.Nodes.Drain(t.Context(), node.ID, nil))
		assert.False(t, assertPlacement(t, client, serviceName(t, "drained"), func(*swarm.TaskSpec) {}))
		assert.Greater(t, seen[true], 12)
		assert.Greater(t, seen[false], 8)
	})
}

func TestTasksArePlacedByWhatAnEngineOffers(t *testing.T) {
	onEveryOwnEngine(t, func(t *testing.T, e *engines.Engine) {
		e.Flags = []string{"--label", "rack=R1", "--node-generic-resource", "ssd=3", "--node-generic-resource", "gpu=UUID1", "--node-generic-resource", "gpu=UUID2"}
		require.NoError(t, e.Restart(t.Context()))
		require.NoError(t, e.InitSwarm(t.Context()))
		require.NoError(t, e.LoadImages(t.Context()))
		client := newClient(t, e)
		things := func(wanted ...swarm.GenericResource) func(*swarm.TaskSpec) {
			return func(task *swarm.TaskSpec) {
				task.Resources = &swarm.ResourceRequirements{Reservations: &swarm.Reservations{GenericResources: wanted}}
			}
		}
		number := func(kind string, n int64) swarm.GenericResource {
			return swarm.GenericResource{DiscreteResourceSpec: &swarm.DiscreteGenericResource{Kind: kind, Value: n}}
		}
		label := func(constraint string) func(*swarm.TaskSpec) {
			return func(task *swarm.TaskSpec) { task.Placement = &swarm.Placement{Constraints: []string{constraint}} }
		}
		for i, row := range []struct {
			edit func(*swarm.TaskSpec)
			want bool
		}{
			{label("engine.labels.rack==r1"), true}, {label("Engine.Labels.rack!=r2"), true},
			{label("engine.labels.Rack==r1"), false}, {label("engine.labels.rack!=R1"), false},
			{things(number("ssd", 3)), true}, {things(number("gpu", 2)), true}, {things(number("ssd", 1), number("gpu", 1)), true},
			{things(number("ssd", 4)), false}, {things(number("gpu", 3)), false}, {things(number("SSD", 1)), false}, {things(number("fpga", 1)), false},
		} {
			assert.Equal(t, row.want, assertPlacement(t, client, serviceName(t, fmt.Sprint(i)), row.edit), "row %d", i)
		}
	})
}
