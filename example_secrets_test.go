package swarm_test

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/swarm-go/swarm"
)

// Make a secret from a file and let a service have it as /run/secrets/db-password.
func ExampleSecretClient_Create() {
	if err := giveSecret(context.Background(), "web", "db-password", "password.txt"); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
}

func giveSecret(ctx context.Context, service, name, file string) error {
	client, err := swarm.New()
	if err != nil {
		return err
	}
	defer client.Close()
	data, err := swarm.ReadSecretFile(file)
	if err != nil {
		return err
	}
	id, err := client.Secrets.Create(ctx, swarm.SecretSpec{Name: name, Data: data})
	if err != nil {
		return err
	}
	_, err = client.Services.Modify(ctx, service, func(s *swarm.Service) error {
		container := &s.Spec.TaskTemplate.ContainerSpec
		container.Secrets = append(container.Secrets, swarm.MountSecret(id, name))
		return nil
	}, nil)
	return err
}

// Empty a node, do something to it, and let it take tasks again.
func ExampleNodeClient_Drain() {
	if err := maintain(context.Background(), "worker-1", func() error { return nil }); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
}

func maintain(ctx context.Context, node string, work func() error) error {
	client, err := swarm.New()
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	if err := client.Nodes.Drain(ctx, node, &swarm.NodeDrainOptions{Wait: true}); err != nil {
		return err
	}
	if err := work(); err != nil {
		return err
	}
	return client.Nodes.Activate(ctx, node, &swarm.NodeActivateOptions{Wait: true})
}
