package swarm_test

import (
	"errors"
	"fmt"

	"github.com/swarm-go/swarm"
)

// Find what engines would refuse, all of it at once and without an engine.
func ExampleServiceSpec_Validate() {
	spec := swarm.ServiceSpec{
		Name: "web.example",
		TaskTemplate: swarm.TaskSpec{ContainerSpec: swarm.ContainerSpec{
			Image: "nginx:1.29",
			Mounts: []swarm.Mount{
				{Type: swarm.MountVolume, Source: "data", Target: "/data"},
				{Type: swarm.MountTmpfs, Target: "/data"},
			},
		}},
	}
	var invalid *swarm.ValidationError
	if errors.As(spec.Validate(), &invalid) {
		for _, problem := range invalid.Problems {
			fmt.Println(problem.ID, "at", problem.Path)
		}
	}
	// Output:
	// service-name at Name
	// mount-target at TaskTemplate.ContainerSpec.Mounts[1].Target
}

// Find what engines take without doing it.
func ExampleServiceSpec_Lint() {
	spec := swarm.ServiceSpec{
		TaskTemplate: swarm.TaskSpec{ContainerSpec: swarm.ContainerSpec{
			Image:       "nginx:1.29",
			OomScoreAdj: 100,
			Hosts:       []string{"10.0.0.1 db cache"},
		}},
	}
	for _, problem := range spec.Lint("1.41") {
		fmt.Println(problem)
	}
	// Output:
	// TaskTemplate.ContainerSpec.OomScoreAdj: needs API 1.46: older engines drop or refuse it
	// TaskTemplate.ContainerSpec.Hosts[0]: only the first name counts, not "cache"
}

// Read what --publish and --mount of the docker command take.
func ExampleParsePort() {
	ports, err := swarm.ParsePort("8080-8081:80-81/udp")
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, port := range ports {
		fmt.Println(port.PublishedPort, "to", port.TargetPort, port.Protocol)
	}
	mount, err := swarm.ParseMount("type=tmpfs,target=/tmp,tmpfs-size=64m")
	fmt.Println(mount.Target, mount.TmpfsOptions.SizeBytes, err)
	// Output:
	// 8080 to 80 udp
	// 8081 to 81 udp
	// /tmp 67108864 <nil>
}
