// Deploy creates a service on the swarm that the environment points at, the way
// the docker command would find it, and lists its tasks.
package main

import (
	"context"
	"fmt"
	"log"

	"github.com/swarm-go/swarm"
)

func main() {
	client, err := swarm.New() // DOCKER_HOST, docker context, TLS: as the docker command
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	ctx := context.Background()
	_, err = client.Services.Create(ctx, swarm.ServiceSpec{
		Name: "web",
		Mode: swarm.Replicated(3),
		TaskTemplate: swarm.TaskSpec{
			ContainerSpec: swarm.ContainerSpec{Image: "nginx:1.29"},
		},
		EndpointSpec: swarm.EndpointSpec{
			Ports: []swarm.PortConfig{{PublishedPort: 8080, TargetPort: 80}},
		},
	}, nil)
	if err != nil {
		log.Fatal(err)
	}

	tasks, err := client.Services.Tasks(ctx, "web")
	if err != nil {
		log.Fatal(err)
	}
	for _, task := range tasks {
		fmt.Println(task.Slot, task.Status.State, task.Status.Err)
	}
}
