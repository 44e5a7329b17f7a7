package swarm_test

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/swarm-go/swarm"
)

func TestNamesAreOrderedByTheNumbersInThem(t *testing.T) {
	ordered := []string{
		"", "1", "01", "2", "02", "10", "A", "a", "a-b", "a.1", "a1", "a1b", "a01", "a2", "a2b1", "a2b10", "a10", "a99999999999999999998",
		"a99999999999999999999", "a100000000000000000000", "b", "é1", "é2",
	}
	for i, a := range ordered {
		for j, b := range ordered {
			assert.Equal(t, compareInts(i, j), swarm.CompareNames(a, b), "%q and %q", a, b)
		}
	}
}

func compareInts(a, b int) int { return max(-1, min(1, a-b)) }

func FuzzCompareNames(f *testing.F) {
	f.Add("web2", "web10", "web02")
	f.Add("a0", "a00", "a")
	f.Fuzz(func(t *testing.T, a, b, c string) {
		assert.Zero(t, swarm.CompareNames(a, a))
		assert.Equal(t, swarm.CompareNames(a, b), -swarm.CompareNames(b, a))
		assert.Equal(t, a == b, swarm.CompareNames(a, b) == 0)
		if swarm.CompareNames(a, b) <= 0 && swarm.CompareNames(b, c) <= 0 {
			assert.LessOrEqual(t, swarm.CompareNames(a, c), 0)
		}
	})
}

func TestServicesAreOrderedByName(t *testing.T) {
	var services []swarm.Service
	for _, name := range []string{"db", "web1", "web2", "web10", "web10"} {
		services = append(services, swarm.Service{ID: string(rune('a' + len(services))), Spec: swarm.ServiceSpec{Name: name}})
	}
	shuffled := slices.Clone(services)
	rand.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
	slices.SortFunc(shuffled, swarm.CompareServices)
	assert.Equal(t, services, shuffled)
}

func TestTasksAreOrderedByServiceSlotAndAge(t *testing.T) {
	at := func(second int64) time.Time { return time.Unix(second, 0) }
	tasks := []swarm.Task{
		{ID: "g", ServiceID: "s3", NodeID: "n1", CreatedAt: at(1)}, // db.n1
		{ID: "h", ServiceID: "s3", NodeID: "n2", CreatedAt: at(9)}, // db.n2
		{ID: "i", ServiceID: "s2", Slot: 1, CreatedAt: at(1)},      // s2.1, whose name is not known
		{ID: "a", ServiceID: "s1", Slot: 2, CreatedAt: at(3)},      // web.2, newest first
		{ID: "b", ServiceID: "s1", Slot: 2, CreatedAt: at(2)},
		{ID: "c", ServiceID: "s1", Slot: 2, CreatedAt: at(2)},
		{ID: "d", ServiceID: "s1", Slot: 10, CreatedAt: at(9)}, // web.10
	}
	names := map[string]string{"s1": "web", "s3": "db"}
	shuffled := slices.Clone(tasks)
	rand.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
	slices.SortFunc(shuffled, swarm.CompareTasks(names))
	assert.Equal(t, tasks, shuffled)
}

func TestTasksAreCalledAfterTheirPlace(t *testing.T) {
	for want, task := range map[string]swarm.Task{
		"web.3":  {ServiceID: "s", Slot: 3, NodeID: "n"},
		"web.4":  {Slot: 4},
		"web.n1": {ServiceID: "s", NodeID: "n1"},
		"web.0":  {ServiceID: "s"}, // of a job, not placed yet
	} {
		assert.Equal(t, want, task.DisplayName("web"))
	}
	assert.Equal(t, "s.1", (&swarm.Task{ServiceID: "s", Slot: 1}).DisplayName(""))
}

func TestShortIDsAreTwelveCharacters(t *testing.T) {
	for id, want := range map[string]string{"": "", "abc": "abc", "123456789012": "123456789012", "1234567890123": "123456789012"} {
		assert.Equal(t, want, swarm.ShortID(id))
	}
}

func TestReplicasAreDisplayedAsTheDockerCommandDoes(t *testing.T) {
	limited := swarm.TaskSpec{Placement: &swarm.Placement{MaxReplicas: 1}}
	status := &swarm.ServiceStatus{RunningTasks: 2, DesiredTasks: 3, CompletedTasks: 4}
	for _, row := range []struct {
		want string
		swarm.Service
	}{
		{"0/0", swarm.Service{}},
		{"2/3", swarm.Service{ServiceStatus: status}},
		{"2/3", swarm.Service{ServiceStatus: status, Spec: swarm.ServiceSpec{Mode: swarm.Replicated(3), TaskTemplate: swarm.TaskSpec{Placement: &swarm.Placement{}}}}},
		{"2/3 (max 1 per node)", swarm.Service{ServiceStatus: status, Spec: swarm.ServiceSpec{Mode: swarm.Replicated(3), TaskTemplate: limited}}},
		{"2/3", swarm.Service{ServiceStatus: status, Spec: swarm.ServiceSpec{Mode: swarm.Global(), TaskTemplate: limited}}},
		{"2/3 (4/9 completed)", swarm.Service{ServiceStatus: status, Spec: swarm.ServiceSpec{Mode: swarm.ReplicatedJob(9, 3), TaskTemplate: limited}}},
		{"2/3 (4/1 completed)", swarm.Service{ServiceStatus: status, Spec: swarm.ServiceSpec{Mode: swarm.ServiceMode{ReplicatedJob: &swarm.ReplicatedJobMode{}}}}},
		{"2/3 (4/7 completed)", swarm.Service{ServiceStatus: status, Spec: swarm.ServiceSpec{Mode: swarm.GlobalJob()}}},
	} {
		assert.Equal(t, row.want, row.DisplayReplicas())
	}
}

const digest = "sha256:e692418e4cbaf90ca69d05a66403747baa33ee08806650b51fab815ad7fc331f"

func TestImagesAreDisplayedWithoutDigest(t *testing.T) {
	for image, want := range map[string]string{
		"":                                   "",
		"nginx":                              "nginx",
		"nginx:1.29@" + digest:               "nginx:1.29",
		"docker.io/library/nginx:1.29":       "nginx:1.29",
		"docker.io/team/web:1@" + digest:     "team/web:1",
		"r.example.com:5000/web@" + digest:   "r.example.com:5000/web@" + digest,
		"r.example.com:5000/web:2@" + digest: "r.example.com:5000/web:2",
		"no reference:x":                     "no reference:x",
	} {
		spec := swarm.TaskSpec{ContainerSpec: swarm.ContainerSpec{Image: image}}
		assert.Equal(t, want, (&swarm.Task{Spec: spec}).DisplayImage())
		assert.Equal(t, want, (&swarm.Service{Spec: swarm.ServiceSpec{TaskTemplate: spec}}).DisplayImage())
	}
}

// ports are published ports from the numbers of published and target ports.
func ports(protocol swarm.Protocol, numbers ...[2]uint32) (list []swarm.PortConfig) {
	for _, n := range numbers {
		list = append(list, swarm.PortConfig{Protocol: protocol, PublishedPort: n[0], TargetPort: n[1], PublishMode: swarm.PublishIngress})
	}
	return list
}

func TestPortsAreFoldedAsTheDockerCommandDoes(t *testing.T) {
	tcp, udp := swarm.ProtocolTCP, swarm.ProtocolUDP
	for _, row := range []struct {
		want  string
		ports []swarm.PortConfig
	}{
		{"", nil},
		{"*:8080->80/tcp", ports(tcp, [2]uint32{8080, 80})},
		{"*:8080-8082->80-82/tcp", ports(tcp, [2]uint32{8082, 82}, [2]uint32{8080, 80}, [2]uint32{8081, 81})},
		{"*:8080-8081->80/tcp", ports(tcp, [2]uint32{8080, 80}, [2]uint32{8081, 80})},
		{"*:80->90/tcp, *:82->92/tcp", ports(tcp, [2]uint32{80, 90}, [2]uint32{82, 92})},
		{"*:80->90/tcp, *:81->92/tcp", ports(tcp, [2]uint32{80, 90}, [2]uint32{81, 92})},
		{"*:80->90/tcp, *:81->89/tcp", ports(tcp, [2]uint32{80, 90}, [2]uint32{81, 89})},
		{"*:80-81->90-91/tcp, *:82->91/tcp", ports(tcp, [2]uint32{80, 90}, [2]uint32{81, 91}, [2]uint32{82, 91})},
		{"*:80->80/tcp, *:80-81->80-81/udp", slices.Concat(ports(udp, [2]uint32{80, 80}, [2]uint32{81, 81}), ports(tcp, [2]uint32{80, 80}))},
		{"", []swarm.PortConfig{{Protocol: tcp, PublishedPort: 80, TargetPort: 80, PublishMode: swarm.PublishHost}}},
		{"", ports(tcp, [2]uint32{0, 80})}, // the engine has not chosen one yet
	} {
		given := slices.Clone(row.ports)
		assert.Equal(t, row.want, (&swarm.Service{Endpoint: swarm.Endpoint{Ports: given}}).DisplayPorts())
		assert.Equal(t, row.ports, given, "the service was changed")
	}
}

func TestPortsOfATaskAreDisplayedOneByOne(t *testing.T) {
	task := swarm.Task{Status: swarm.TaskStatus{PortStatus: swarm.PortStatus{Ports: ports(swarm.ProtocolTCP, [2]uint32{32768, 80}, [2]uint32{32769, 81})}}}
	assert.Equal(t, "*:32768->80/tcp,*:32769->81/tcp", task.DisplayPorts())
	assert.Empty(t, (&swarm.Task{}).DisplayPorts())
}
