package swarmtest_test

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/swarm-go/swarm"
	"github.com/swarm-go/swarm/swarmtest"
)

// deployWeb is code to be tested: it makes a service and waits until it runs.
func deployWeb(ctx context.Context, client *swarm.Client, image string) error {
	change, err := client.Services.Create(ctx, swarm.ServiceSpec{
		Name:         "web",
		TaskTemplate: swarm.TaskSpec{ContainerSpec: swarm.ContainerSpec{Image: image}},
	}, nil)
	if err != nil {
		return err
	}
	return client.Services.Wait(ctx, change.Rollout, nil)
}

func TestDeployWeb(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // which takes no time
		if err := deployWeb(t.Context(), swarmtest.Start(t).Client(), "web:1"); err != nil {
			t.Fatal(err)
		}
	})
}
