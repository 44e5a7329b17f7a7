package swarmtest_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/swarm-go/swarm"
	"github.com/swarm-go/swarm/swarmtest"
)

// A rollout of ten minutes, minute by minute.
func ExampleWithManualClock() {
	start := time.Date(2030, time.January, 1, 12, 0, 0, 0, time.UTC)
	engine, err := swarmtest.NewEngine(swarmtest.WithManualClock(start))
	if err != nil {
		log.Fatal(err)
	}
	defer engine.Close()
	ctx, client := context.Background(), engine.Client()
	_, err = client.Services.Create(ctx, swarm.ServiceSpec{
		Name:         "web",
		Mode:         swarm.Replicated(4),
		TaskTemplate: swarm.TaskSpec{ContainerSpec: swarm.ContainerSpec{Image: "web:1"}},
		UpdateConfig: swarm.UpdateConfig{Delay: 2 * time.Minute},
	}, nil)
	if err != nil {
		log.Fatal(err)
	}
	engine.Clock().Advance(time.Minute)
	if _, err := client.Services.SetImage(ctx, "web", "web:2", nil); err != nil {
		log.Fatal(err)
	}
	for range 6 {
		engine.Clock().Advance(2 * time.Minute)
		service, err := client.Services.Inspect(ctx, "web")
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(engine.Clock().Now().Format(time.TimeOnly), updated(ctx, client), service.UpdateStatus.State)
	}
	// Output:
	// 12:03:00 1 updating
	// 12:05:00 2 updating
	// 12:07:00 3 updating
	// 12:09:00 4 updating
	// 12:11:00 4 updating
	// 12:13:00 4 completed
}

// updated counts the tasks that run web:2.
func updated(ctx context.Context, client *swarm.Client) (count int) {
	tasks, err := client.Tasks.List(ctx, nil)
	if err != nil {
		log.Fatal(err)
	}
	for _, task := range tasks {
		if task.Spec.ContainerSpec.Image == "web:2" && task.Status.State == swarm.TaskRunning {
			count++
		}
	}
	return count
}
