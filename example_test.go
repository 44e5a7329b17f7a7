package swarm_test

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/swarm-go/swarm"
)

// What an error means is asked with errors.Is, what it carries with errors.As.
func Example_errors() {
	client, err := swarm.New(swarm.WithHost("unix:///nowhere/docker.sock"))
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = client.Services.Create(context.Background(), swarm.ServiceSpec{Name: "web"}, nil)
	fmt.Println(explain(err))
	// Output:
	// create service web: dial unix /nowhere/docker.sock: connect: no such file or directory (is the engine running, and is this its socket?)
}

func explain(err error) string {
	var tooOld *swarm.VersionError
	var lost *swarm.OutcomeUnknownError
	switch {
	case errors.Is(err, swarm.ErrNameConflict):
		return "there is a service of that name already"
	case errors.As(err, &tooOld):
		return "the engine is too old for " + tooOld.Field
	case errors.As(err, &lost):
		return "the answer was lost; Resolve finds out what has happened"
	}
	return err.Error() // says what failed, for which object, and why
}

// Change one field of a service and leave everything else as it is, also what
// this library does not know.
func ExampleServiceClient_Modify() {
	if err := setImage(context.Background(), "web", "nginx:1.30"); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
}

func setImage(ctx context.Context, name, image string) error {
	client, err := swarm.New()
	if err != nil {
		return err
	}
	defer client.Close()
	_, err = client.Services.Modify(ctx, name, func(service *swarm.Service) error {
		service.Spec.TaskTemplate.ContainerSpec.Image = image
		return nil
	}, nil)
	return err
}
