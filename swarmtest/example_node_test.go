package swarmtest_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/swarm-go/swarm"
	"github.com/swarm-go/swarm/swarmtest"
)

// A node is lost in the middle of a rollout.
func ExampleNode_Stop() {
	engine, err := swarmtest.NewEngine(
		swarmtest.WithNodes(1, 2),
		swarmtest.WithPace(swarmtest.Pace{Heartbeat: 20 * time.Millisecond}), // so that nobody has to wait
	)
	if err != nil {
		log.Fatal(err)
	}
	defer engine.Close()
	ctx, client := context.Background(), engine.Client()
	if err := deploy(ctx, client, "web:1"); err != nil {
		log.Fatal(err)
	}
	change, err := client.Services.SetImage(ctx, "web", "web:2", nil)
	if err != nil {
		log.Fatal(err)
	}
	engine.Nodes()[2].Stop()
	fmt.Println(client.Services.Wait(ctx, change.Rollout, nil))
	tasks, err := client.Tasks.List(ctx, nil)
	if err != nil {
		log.Fatal(err)
	}
	running := map[string]int{}
	for _, task := range tasks {
		if task.DesiredState == swarm.TaskRunning && task.NodeID != engine.Nodes()[2].ID() {
			running[task.Spec.ContainerSpec.Image]++
		}
	}
	fmt.Println(running)
	// Output:
	// <nil>
	// map[web:2:3]
}
