package swarm_test

import (
	"fmt"
	"slices"

	"github.com/swarm-go/swarm"
)

// Services are printed as "docker service ls" does, from a list of them.
func ExampleService_DisplayReplicas() {
	services := []swarm.Service{ // as client.Services.List returns them
		{
			Spec: swarm.ServiceSpec{Name: "web10", TaskTemplate: swarm.TaskSpec{
				ContainerSpec: swarm.ContainerSpec{Image: "nginx:1.29"}, Placement: &swarm.Placement{MaxReplicas: 1}}},
			ServiceStatus: &swarm.ServiceStatus{RunningTasks: 2, DesiredTasks: 3},
			Endpoint: swarm.Endpoint{Ports: []swarm.PortConfig{
				{Protocol: swarm.ProtocolTCP, PublishedPort: 8080, TargetPort: 80, PublishMode: swarm.PublishIngress},
				{Protocol: swarm.ProtocolTCP, PublishedPort: 8081, TargetPort: 81, PublishMode: swarm.PublishIngress},
			}},
		},
		{
			Spec: swarm.ServiceSpec{Name: "web2", Mode: swarm.ReplicatedJob(5, 2), TaskTemplate: swarm.TaskSpec{
				ContainerSpec: swarm.ContainerSpec{Image: "docker.io/library/busybox:1"}}},
			ServiceStatus: &swarm.ServiceStatus{RunningTasks: 1, DesiredTasks: 2, CompletedTasks: 3},
		},
	}
	slices.SortFunc(services, swarm.CompareServices)
	for _, s := range services {
		fmt.Printf("%s, %s, [%s] %s\n", s.Spec.Name, s.DisplayReplicas(), s.DisplayPorts(), s.DisplayImage())
	}
	// Output:
	// web2, 1/2 (3/5 completed), [] busybox:1
	// web10, 2/3 (max 1 per node), [*:8080-8081->80-81/tcp] nginx:1.29
}

// Before a service is created, the nodes that could run it are known.
func ExampleMatchNodes() {
	nodes := []swarm.Node{ // as client.Nodes.List returns them
		{
			Spec:        swarm.NodeSpec{Role: swarm.RoleManager, Availability: swarm.NodeDrain},
			Description: swarm.NodeDescription{Hostname: "boss"}, Status: swarm.NodeStatus{State: swarm.NodeReady},
		},
		{
			Spec:        swarm.NodeSpec{Role: swarm.RoleWorker, Availability: swarm.NodeActive, Labels: map[string]string{"disk": "ssd"}},
			Description: swarm.NodeDescription{Hostname: "fast"}, Status: swarm.NodeStatus{State: swarm.NodeReady},
		},
		{
			Spec:        swarm.NodeSpec{Role: swarm.RoleWorker, Availability: swarm.NodeActive},
			Description: swarm.NodeDescription{Hostname: "slow"}, Status: swarm.NodeStatus{State: swarm.NodeReady},
		},
	}
	spec := swarm.ServiceSpec{TaskTemplate: swarm.TaskSpec{
		ContainerSpec: swarm.ContainerSpec{Image: "postgres:18"},
		Placement:     &swarm.Placement{Constraints: []string{"node.labels.disk==ssd"}},
	}}
	matching, err := swarm.MatchNodes(spec, nodes)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, node := range matching {
		fmt.Println(node.Description.Hostname)
	}
	// Output: fast
}
