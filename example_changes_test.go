package swarm_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"

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
