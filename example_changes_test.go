package swarm_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"time"

	"github.com/swarm-go/swarm"
	"github.com/swarm-go/swarm/swarmtest"
)

// Say what a service shall be, as often as you like.
func ExampleServiceClient_Apply() {
	engine, err := swarmtest.NewEngine()
	if err != nil {
		log.Fatal(err)
	}
	defer engine.Close()
	ctx, client := context.Background(), engine.Client()

	spec := swarm.ServiceSpec{Name: "web", Mode: swarm.Replicated(2)}
	spec.TaskTemplate.ContainerSpec.Image = "nginx:1.30"
	for _, replicas := range []uint64{2, 2, 3} {
		spec.Mode = swarm.Replicated(replicas)
		change, err := client.Services.Apply(ctx, spec, nil)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(change.Rollout.Kind, change.Changed)
	}
	// Output:
	// create true
	// settle false
	// update true
}

// See what a change would do before it is made.
func ExampleWillRestart() {
	before := swarm.ServiceSpec{Name: "web", Mode: swarm.Replicated(2)}
	before.TaskTemplate.ContainerSpec = swarm.ContainerSpec{Image: "nginx:1.30", Env: []string{"MODE=slow", "TZ=UTC"}}

	after := before
	after.PutLabel("team", "shop")
	fmt.Println(swarm.WillRestart(before, after))
	after.PutEnv("MODE", "fast")
	fmt.Println(swarm.WillRestart(before, after))
	for _, difference := range swarm.DiffSpec(before, after) {
		fmt.Println(difference)
	}
	// Output:
	// false
	// true
	// TaskTemplate.ContainerSpec.Env[MODE]: "MODE=slow" -> "MODE=fast"
	// Labels: nothing -> {"team":"shop"}
}

// Find out whether a service was created, after the connection was lost.
func ExampleOutcomeUnknownError_Resolve() {
	engine, err := swarmtest.NewEngine()
	if err != nil {
		log.Fatal(err)
	}
	defer engine.Close()
	ctx, client := context.Background(), engine.Client()
	fault := engine.Inject(swarmtest.Fault{Method: http.MethodPost, Effect: swarmtest.CutAnswer()})

	spec := swarm.ServiceSpec{Name: "web", Mode: swarm.Replicated(2)}
	spec.TaskTemplate.ContainerSpec.Image = "nginx:1.30"
	change, err := client.Services.Create(ctx, spec, nil)
	fault.Remove()
	if lost, ok := errors.AsType[*swarm.OutcomeUnknownError](err); ok {
		resolution, err := lost.Resolve(ctx)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(resolution.Outcome)
		change = resolution.Change
	}
	fmt.Println(change.Rollout.Kind, change.Rollout.Spec.Name)
	// Output:
	// applied
	// create web
}

// Change all services of a stack, and wait for those that have changed.
func ExampleServiceClient_ModifyAll() {
	engine, err := swarmtest.NewEngine()
	if err != nil {
		log.Fatal(err)
	}
	defer engine.Close()
	ctx, client := context.Background(), engine.Client()
	for _, name := range []string{"shop_web", "shop_db"} {
		spec := swarm.ServiceSpec{Name: name, Labels: map[string]string{"com.docker.stack.namespace": "shop"}}
		spec.TaskTemplate.ContainerSpec.Image = "nginx:1.30"
		if _, err := client.Services.Create(ctx, spec, nil); err != nil {
			log.Fatal(err)
		}
	}

	shop := &swarm.ServiceListOptions{Stack: "shop"}
	results, err := client.Services.ModifyAll(ctx, shop, func(service *swarm.Service) error {
		if service.Spec.Name == "shop_web" {
			return errors.New("not on a Friday")
		}
		service.Spec.PutLabel("team", "shop")
		return nil
	}, nil)
	var rollouts []swarm.Rollout
	for _, result := range results {
		fmt.Println(result.Ref, result.Err == nil)
		if result.Err == nil && result.Change.Changed {
			rollouts = append(rollouts, result.Change.Rollout)
		}
	}
	fmt.Println(err)
	fmt.Println(client.Services.WaitAll(ctx, rollouts, &swarm.WaitOptions{StableFor: 10 * time.Millisecond}))

	removed, err := client.Services.RemoveAll(ctx, shop, nil)
	fmt.Println(len(removed), err)
	// Output:
	// shop_db true
	// shop_web false
	// modify service shop_web: not on a Friday
	// <nil>
	// 2 <nil>
}

// One task more, but never more than three.
func ExampleServiceClient_ScaleBy() {
	engine, err := swarmtest.NewEngine()
	if err != nil {
		log.Fatal(err)
	}
	defer engine.Close()
	ctx, client := context.Background(), engine.Client()
	spec := swarm.ServiceSpec{Name: "web", Mode: swarm.Replicated(2)}
	spec.TaskTemplate.ContainerSpec.Image = "nginx:1.30"
	if _, err := client.Services.Create(ctx, spec, nil); err != nil {
		log.Fatal(err)
	}

	for range 2 {
		change, err := client.Services.ScaleBy(ctx, "web", 1, &swarm.ServiceScaleByOptions{Min: 1, Max: 3})
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(*change.Rollout.Spec.Mode.Replicated.Replicas, change.Changed)
	}
	// Output:
	// 3 true
	// 3 false
}

// Hold an update that is under way, look at the new tasks, and let it go on. Engines
// have no pause: what holds an update is a long delay after each task. What is being
// replaced is, and one more task, again after each change while it is held.
//
// The previous spec has the new image then: neither Rollback nor an engine that rolls
// back by itself puts the old one back. Keep it to write it back with Modify.
func ExampleServiceClient_Modify_hold() {
	engine, err := swarmtest.NewEngine()
	if err != nil {
		log.Fatal(err)
	}
	defer engine.Close()
	ctx, client := context.Background(), engine.Client()
	spec := swarm.ServiceSpec{Name: "web", Mode: swarm.Replicated(4)}
	spec.TaskTemplate.ContainerSpec.Image = "nginx:1.29"
	spec.UpdateConfig = swarm.UpdateConfig{Delay: time.Second, Monitor: 10 * time.Millisecond}
	created, err := client.Services.Create(ctx, spec, nil)
	if err != nil {
		log.Fatal(err)
	}
	if err := client.Services.Wait(ctx, created.Rollout, nil); err != nil {
		log.Fatal(err)
	}
	if _, err := client.Services.SetImage(ctx, "web", "nginx:1.30", nil); err != nil {
		log.Fatal(err)
	}

	var before swarm.UpdateConfig
	held, err := client.Services.Modify(ctx, "web", func(service *swarm.Service) error {
		config := &service.Spec.UpdateConfig
		before = *config
		config.Parallelism, config.Delay = new(uint64(1)), 24*time.Hour
		return nil
	}, nil)
	if err != nil {
		log.Fatal(err)
	}
	brief, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	err = client.Services.Wait(brief, held.Rollout, nil)
	fmt.Println("held:", errors.Is(err, context.DeadlineExceeded))

	resumed, err := client.Services.Modify(ctx, "web", func(service *swarm.Service) error {
		before.Delay = 0 // or as it was
		service.Spec.UpdateConfig = before
		return nil
	}, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("done:", client.Services.Wait(ctx, resumed.Rollout, nil))
	// Output:
	// held: true
	// done: <nil>
}
