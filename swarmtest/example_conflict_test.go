package swarmtest_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"

	"github.com/swarm-go/swarm"
	"github.com/swarm-go/swarm/swarmtest"
)

// Somebody else changes a service just before the code to be tested does.
func ExampleEngine_Conflict() {
	engine, err := swarmtest.NewEngine()
	if err != nil {
		log.Fatal(err)
	}
	defer engine.Close()
	ctx, client := context.Background(), engine.Client()
	if err := deploy(ctx, client, "web:1"); err != nil {
		log.Fatal(err)
	}
	service, err := client.Services.Inspect(ctx, "web")
	if err != nil {
		log.Fatal(err)
	}
	engine.Inject(swarmtest.Fault{Method: http.MethodPost, Path: "/services/*/update", Times: 2, Effect: engine.Conflict()})

	// What was read is out of date.
	service.Spec.Labels = map[string]string{"tier": "front"}
	_, err = client.Services.Update(ctx, service, nil)
	fmt.Println(errors.Is(err, swarm.ErrVersionConflict))

	// Modify reads again.
	tries := 0
	_, err = client.Services.Modify(ctx, "web", func(service *swarm.Service) error {
		tries++
		service.Spec.Labels = map[string]string{"tier": "front"}
		return nil
	}, nil)
	fmt.Println(tries, err)
	// Output:
	// true
	// 2 <nil>
}
