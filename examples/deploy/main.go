// Deploy creates a service on the swarm that the environment points at, the way
// the docker command would find it, and waits until it really runs.
package main

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/swarm-go/swarm"
)

func main() {
	client, err := swarm.New() // DOCKER_HOST, docker context, TLS: as the docker command
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	change, err := client.Services.Create(ctx, swarm.ServiceSpec{
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
	if err := client.Services.Wait(ctx, change.Rollout, nil); err != nil {
		log.Fatal(err) // rolled back, no suitable node, no such image: it says which
	}
	fmt.Println("web runs")
}
