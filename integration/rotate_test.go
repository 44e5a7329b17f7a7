//go:build integration

package integration

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/swarm-go/swarm"
	"github.com/swarm-go/swarm/integration/engines"
)

// removeVersions removes with the end of the test all that it has made.
func removeVersions(t *testing.T, client *swarm.Client, prefix string) {
	removeWhenFree(t, func(ctx context.Context) error {
		if _, err := client.Secrets.Prune(ctx, &swarm.SecretListOptions{NamePrefixes: []string{prefix}}); err != nil {
			return err
		}
		_, err := client.Configs.Prune(ctx, &swarm.ConfigListOptions{NamePrefixes: []string{prefix}})
		return err
	})
}

func TestSecretsRotateUnderRunningServices(t *testing.T) {
	t.Parallel()
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		client, name := newClient(t, e), serviceName(t, "")
		removeVersions(t, client, name)
		secret, err := client.Secrets.Ensure(t.Context(), swarm.SecretSpec{Name: name, Data: []byte("first\n"), Labels: map[string]string{"a": "1"}})
		require.NoError(t, err)
		spec := testSpec(name, "-cat", "/run/secrets/password")
		reference := swarm.MountSecret(secret.ID, name)
		reference.File.Name = "password"
		spec.TaskTemplate.ContainerSpec.Secrets = []swarm.SecretReference{reference}
		deploy(t, client, spec)

		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		rotation, err := client.Secrets.Rotate(ctx, name, []byte("second\n"), &swarm.RotateOptions{Keep: new(1)})
		require.NoError(t, err)
		assert.Equal(t, name+"-v2", rotation.Name)
		assert.Len(t, rotation.Moved, 1)
		users, err := client.Secrets.UsedBy(ctx, name+"-v2")
		require.NoError(t, err)
		require.Len(t, users, 1)
		reference.SecretID, reference.SecretName = rotation.ID, rotation.Name
		assert.Equal(t, []swarm.SecretReference{reference}, users[0].Spec.TaskTemplate.ContainerSpec.Secrets)
		assert.Eventually(t, func() bool { return strings.Contains(output(t, client, name), "second\n") }, 20*time.Second, 100*time.Millisecond)

		again, err := client.Secrets.Ensure(ctx, swarm.SecretSpec{Name: name, Data: []byte("second\n"), Labels: map[string]string{"a": "1"}})
		require.NoError(t, err)
		assert.Equal(t, rotation.ID, again.ID)
		assert.Equal(t, "1", again.Spec.Labels["a"])
		_, err = client.Secrets.Create(ctx, swarm.SecretSpec{Name: name + "-free", Data: []byte("free")})
		require.NoError(t, err)
		removed, err := client.Secrets.Prune(ctx, &swarm.SecretListOptions{NamePrefixes: []string{name}})
		require.NoError(t, err)
		assert.Equal(t, []string{name + "-free"}, removed, "a rollback needs the version before")
		rotation, err = client.Secrets.Rotate(ctx, name, []byte("third\n"), &swarm.RotateOptions{Keep: new(0)})
		require.NoError(t, err)
		assert.ElementsMatch(t, []string{name, name + "-v2"}, rotation.Removed)
	})
}

func TestConfigsThatServicesCannotRunWithAreTakenBack(t *testing.T) {
	t.Parallel()
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		client, name := newClient(t, e), serviceName(t, "")
		removeVersions(t, client, name)
		config, err := client.Configs.Ensure(t.Context(), swarm.ConfigSpec{Name: name, Data: []byte("good\n"), Templating: &swarm.Driver{Name: "golang"}})
		require.NoError(t, err)
		specs := []swarm.ServiceSpec{testSpec(name+"-a", "-cat", "/conf"), testSpec(name+"-b", "-cat", "/conf")}
		for _, spec := range specs {
			reference := swarm.MountConfig(config.ID, name)
			reference.File.Name = "/conf"
			spec.TaskTemplate.ContainerSpec.Configs = []swarm.ConfigReference{reference}
			deploy(t, client, spec)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		again, err := client.Configs.Ensure(ctx, swarm.ConfigSpec{Name: name, Data: []byte("good\n"),
			Templating: &swarm.Driver{Name: "golang", Options: map[string]string{}}})
		require.NoError(t, err)
		assert.Equal(t, config.ID, again.ID, "it was there already")
		users, err := client.Configs.UsedBy(ctx, name)
		require.NoError(t, err)
		assert.Len(t, users, 2)
		_, err = client.Configs.Create(ctx, swarm.ConfigSpec{Name: name + "-free", Data: []byte("free")})
		require.NoError(t, err)
		removed, err := client.Configs.Prune(ctx, &swarm.ConfigListOptions{NamePrefixes: []string{name}})
		require.NoError(t, err)
		assert.Equal(t, []string{name + "-free"}, removed)
		_, err = client.Configs.Rotate(ctx, name, []byte("{{.Nothing}}\n"), nil) // no task starts with that
		assert.ErrorIs(t, err, swarm.ErrRolloutPaused)
		for _, spec := range specs {
			service, err := client.Services.Inspect(ctx, spec.Name)
			require.NoError(t, err)
			assert.Equal(t, config.ID, service.Spec.TaskTemplate.ContainerSpec.Configs[0].ConfigID)
			runningTasks(t, client, spec.Name, 1)
		}
		left, err := client.Configs.List(ctx, &swarm.ConfigListOptions{NamePrefixes: []string{name}})
		require.NoError(t, err)
		assert.Len(t, left, 1)
	})
}

func TestTwoRotationsOfOneSecretAtOnce(t *testing.T) {
	t.Parallel()
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		client, name := newClient(t, e), serviceName(t, "")
		removeVersions(t, client, name)
		id, err := client.Secrets.Create(t.Context(), swarm.SecretSpec{Name: name, Data: []byte("first\n")})
		require.NoError(t, err)
		for i := range 2 {
			spec := testSpec(fmt.Sprint(name, i), "-cat", "/run/secrets/"+name)
			spec.TaskTemplate.ContainerSpec.Secrets = []swarm.SecretReference{swarm.MountSecret(id, name)}
			deploy(t, client, spec)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		var group sync.WaitGroup
		for i := range 2 {
			group.Go(func() {
				_, err := client.Secrets.Rotate(ctx, name, fmt.Appendln(nil, i), &swarm.RotateOptions{Keep: new(0)})
				assert.NoError(t, err)
			})
		}
		group.Wait()
		users, err := client.Secrets.UsedBy(ctx, name+"-v3")
		require.NoError(t, err)
		assert.Len(t, users, 2)
	})
}
