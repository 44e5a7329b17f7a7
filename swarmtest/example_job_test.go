package swarmtest_test

import (
	"context"
	"fmt"
	"log"
	"sync/atomic"
	"time"

	"github.com/swarm-go/swarm"
	"github.com/swarm-go/swarm/swarmtest"
)

// A job fails twice before it succeeds.
func ExampleContainer() {
	engine, err := swarmtest.NewEngine()
	if err != nil {
		log.Fatal(err)
	}
	defer engine.Close()
	var attempts atomic.Int32
	engine.Image("migrate:1", swarmtest.Image{Run: func(c *swarmtest.Container) int {
		if attempts.Add(1) <= 2 {
			fmt.Fprintln(c.Stderr(), "the database is not there yet")
			return 1
		}
		return 0
	}})
	ctx, client := context.Background(), engine.Client()
	job, err := client.Services.Create(ctx, swarm.ServiceSpec{
		Name: "migrate",
		Mode: swarm.ReplicatedJob(1, 1),
		TaskTemplate: swarm.TaskSpec{
			ContainerSpec: swarm.ContainerSpec{Image: "migrate:1"},
			RestartPolicy: &swarm.RestartPolicy{
				Condition: swarm.RestartOnFailure, Delay: new(10 * time.Millisecond), MaxAttempts: new(uint64(3)),
			},
		},
	}, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(client.Services.Wait(ctx, job.Rollout, nil))
	tasks, err := client.Tasks.List(ctx, nil)
	if err != nil {
		log.Fatal(err)
	}
	ended := map[swarm.TaskState]int{}
	for _, task := range tasks {
		ended[task.Status.State]++
	}
	fmt.Println(ended)
	// Output:
	// <nil>
	// map[complete:1 failed:2]
}
