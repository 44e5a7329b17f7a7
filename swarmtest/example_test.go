package swarmtest_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/swarm-go/swarm"
	"github.com/swarm-go/swarm/swarmtest"
)

// deploy is code to be tested: it makes a service and waits until it runs.
func deploy(ctx context.Context, client *swarm.Client, image string) error {
	change, err := client.Services.Create(ctx, swarm.ServiceSpec{
		Name:         "web",
		Mode:         swarm.Replicated(3),
		TaskTemplate: swarm.TaskSpec{ContainerSpec: swarm.ContainerSpec{Image: image}},
		UpdateConfig: swarm.UpdateConfig{Monitor: 10 * time.Millisecond},
	}, nil)
	if err != nil {
		return err
	}
	return client.Services.Wait(ctx, change.Rollout, nil)
}

// A program tries a deployment out, without Docker.
func ExampleNewEngine() {
	engine, err := swarmtest.NewEngine(swarmtest.WithNodes(1, 2))
	if err != nil {
		log.Fatal(err)
	}
	defer engine.Close()
	fmt.Println(deploy(context.Background(), engine.Client(), "nginx:1.29"))
	// Output: <nil>
}

// What the containers of an image do is a function.
func ExampleEngine_Image() {
	engine, err := swarmtest.NewEngine()
	if err != nil {
		log.Fatal(err)
	}
	defer engine.Close()
	engine.Image("hello:1", swarmtest.Image{Run: func(c *swarmtest.Container) int {
		c.Printf("hello from %s\n", c.Service().Spec.Name)
		c.Wait()
		return 0
	}})
	ctx, client := context.Background(), engine.Client()
	if err := deploy(ctx, client, "hello:1"); err != nil {
		log.Fatal(err)
	}
	logs, err := client.Services.Logs(ctx, "web", nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(logs.Copy(os.Stdout, os.Stderr))
	// Output:
	// hello from web
	// hello from web
	// hello from web
	// <nil>
}

// scaler is what scaleUp needs of the library, and no more.
type scaler interface {
	Inspect(ctx context.Context, ref string) (*swarm.Service, error)
	Scale(ctx context.Context, ref string, replicas uint64, opts *swarm.ServiceModifyOptions) (*swarm.ServiceChange, error)
}

// The sub-client of the library is one.
var _ scaler = (*swarm.ServiceClient)(nil)

// scaleUp doubles the replicas of a service, up to ten.
func scaleUp(ctx context.Context, services scaler, name string) error {
	service, err := services.Inspect(ctx, name)
	if err != nil {
		return err
	}
	_, err = services.Scale(ctx, name, min(2**service.Spec.Mode.Replicated.Replicas, 10), nil)
	return err
}

// paper has one service, on paper.
type paper struct{ service swarm.Service }

func (p *paper) Inspect(context.Context, string) (*swarm.Service, error) { return &p.service, nil }

func (p *paper) Scale(_ context.Context, name string, replicas uint64, _ *swarm.ServiceModifyOptions) (*swarm.ServiceChange, error) {
	fmt.Printf("%s has %d replicas\n", name, replicas)
	return &swarm.ServiceChange{}, nil
}

// Code that decides something can be tested without any engine: it takes an
// interface of its own, with just the methods it calls.
func ExampleStart_interfaces() {
	services := &paper{swarm.Service{Spec: swarm.ServiceSpec{Mode: swarm.Replicated(3)}}}
	fmt.Println(scaleUp(context.Background(), services, "web"))
	// Output:
	// web has 6 replicas
	// <nil>
}
