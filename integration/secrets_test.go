//go:build integration

package integration

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/swarm-go/swarm"
	"github.com/swarm-go/swarm/integration/engines"
)

// createSecret makes a secret that the end of the test removes.
func createSecret(t *testing.T, client *swarm.Client, spec swarm.SecretSpec) string {
	t.Helper()
	id, err := client.Secrets.Create(t.Context(), spec)
	require.NoError(t, err)
	removeWhenFree(t, func(ctx context.Context) error { return client.Secrets.Remove(ctx, id) })
	return id
}

// removeWhenFree removes with the end of the test what services may have used
// until then.
func removeWhenFree(t *testing.T, remove func(context.Context) error) {
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		assert.Eventually(t, func() bool {
			err := remove(ctx)
			return err == nil || errors.Is(err, swarm.ErrNotFound)
		}, 20*time.Second, 100*time.Millisecond)
	})
}

// output waits until the tasks of a service have printed something that ends
// with a line.
func output(t *testing.T, client *swarm.Client, ref string) string {
	t.Helper()
	var stdout, stderr bytes.Buffer
	require.Eventually(t, func() bool {
		stdout.Reset()
		logs, err := client.Services.Logs(t.Context(), ref, nil)
		require.NoError(t, err)
		require.NoError(t, logs.Copy(&stdout, &stderr))
		require.NoError(t, logs.Close())
		return strings.HasSuffix(stdout.String(), "\n")
	}, 60*time.Second, 100*time.Millisecond, "it has printed nothing")
	return stdout.String()
}

func TestSecretLife(t *testing.T) {
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		client, ctx := newClient(t, e), t.Context()
		name := serviceName(t, "")
		data, err := swarm.ReadSecretData(strings.NewReader("the secret\n"))
		require.NoError(t, err)
		file := filepath.Join(t.TempDir(), "secret")
		require.NoError(t, os.WriteFile(file, data, 0o600))
		data, err = swarm.ReadSecretFile(file)
		require.NoError(t, err)
		id := createSecret(t, client, swarm.SecretSpec{Name: name, Labels: map[string]string{"a": "1"}, Data: data})

		secret, err := client.Secrets.Inspect(ctx, name)
		require.NoError(t, err)
		assert.Equal(t, id, secret.ID)
		assert.Equal(t, id[:12], swarm.ShortID(secret.ID))
		assert.Equal(t, swarm.SecretSpec{Name: name, Labels: map[string]string{"a": "1"}}, secret.Spec)
		assert.WithinDuration(t, time.Now(), secret.CreatedAt, time.Minute)
		byPrefix, err := client.Secrets.Inspect(ctx, id[:12])
		require.NoError(t, err)
		assert.Equal(t, secret, byPrefix)

		spec := testSpec(name, "-cat", "/run/secrets/target")
		reference := swarm.MountSecret(id, name)
		reference.File.Name = "target"
		spec.TaskTemplate.ContainerSpec.Secrets = []swarm.SecretReference{reference}
		create(t, client, spec)
		tasks := runningTasks(t, client, name, 1)
		assert.Equal(t, "the secret\n", output(t, client, name))

		require.NoError(t, client.Secrets.SetLabels(ctx, name, map[string]string{"b": "2"}))
		labelled, err := client.Secrets.Inspect(ctx, id)
		require.NoError(t, err)
		assert.Equal(t, map[string]string{"b": "2"}, labelled.Spec.Labels)
		assert.NotEqual(t, secret.Version, labelled.Version)
		require.NoError(t, client.Secrets.SetLabels(ctx, id, map[string]string{"b": "2"}))
		again, err := client.Secrets.Inspect(ctx, id)
		require.NoError(t, err)
		assert.Equal(t, labelled, again, "labels that are there are not sent")
		require.NoError(t, client.Secrets.SetLabels(ctx, id, nil))
		assert.Equal(t, tasks, runningTasks(t, client, name, 1), "labels restarted a task")

		var inUse *swarm.InUseError
		err = client.Secrets.Remove(ctx, name)
		require.ErrorAs(t, err, &inUse)
		assert.ErrorIs(t, err, swarm.ErrInUse)
		assert.Equal(t, []string{name}, inUse.Services)
		assert.ErrorIs(t, client.Secrets.Remove(ctx, id[:12]), swarm.ErrNotFound)
		require.NoError(t, client.Services.Remove(ctx, name))
		require.Eventually(t, func() bool { return client.Secrets.Remove(ctx, name) == nil }, 20*time.Second, 100*time.Millisecond)
		_, err = client.Secrets.Inspect(ctx, id)
		assert.ErrorIs(t, err, swarm.ErrNotFound)
		assert.ErrorIs(t, client.Secrets.Remove(ctx, id), swarm.ErrNotFound)
	})
}

// templated is data that the engine completes for each task.
const templated = "service " + swarm.TemplateServiceName + ", slot " + swarm.TemplateTaskSlot + "\n"

// Every placeholder there is a constant for, and the network of the node.
func TestTemplatedSecretIsCompletedForEachTask(t *testing.T) {
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		client, name := newClient(t, e), serviceName(t, "")
		all := strings.Join([]string{swarm.TemplateServiceID, swarm.TemplateNodeID, swarm.TemplateTaskID, swarm.TemplateTaskName}, " ")
		id := createSecret(t, client, swarm.SecretSpec{Name: name, Data: []byte(templated + all + swarm.TemplateNodeHostname + "\n"), Templating: &swarm.Driver{Name: "golang"}})
		secret, err := client.Secrets.Inspect(t.Context(), id)
		require.NoError(t, err)
		assert.Equal(t, &swarm.Driver{Name: "golang"}, secret.Spec.Templating)
		spec := testSpec(name, "-cat", "/run/secrets/"+name, "-lines", "1")
		spec.TaskTemplate.ContainerSpec.Env = []string{"SWARMTEST_LINE=" + swarm.TemplateNodeHostname}
		spec.TaskTemplate.ContainerSpec.Secrets = []swarm.SecretReference{swarm.MountSecret("", name)}
		spec.TaskTemplate.Networks = []swarm.NetworkAttachmentConfig{swarm.HostNetwork()}
		require.NoError(t, client.Services.ResolveReferences(t.Context(), &spec))
		assert.Equal(t, id, spec.TaskTemplate.ContainerSpec.Secrets[0].SecretID)
		service := create(t, client, spec)
		task, node := runningTasks(t, client, name, 1)[0], ownNode(t, client)
		want := fmt.Sprintf("service %s, slot 1\n%s %s %s %s.1.%s\n%s stdout 1\n", name, service, node.ID, task, name, task, node.Description.Hostname)
		require.EventuallyWithT(t, func(c *assert.CollectT) { assert.Equal(c, want, output(t, client, name)) }, 30*time.Second, 100*time.Millisecond)
		read, err := client.Services.InspectByName(t.Context(), name)
		require.NoError(t, err)
		require.Len(t, read.Spec.TaskTemplate.Networks, 1)
		network, err := client.Networks.Inspect(t.Context(), read.Spec.TaskTemplate.Networks[0].Target, nil)
		require.NoError(t, err)
		assert.Equal(t, "host", network.Name)
	})
}

func TestSecretErrorsAreTyped(t *testing.T) {
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		client, ctx := newClient(t, e), t.Context()
		name := serviceName(t, "")
		id := createSecret(t, client, swarm.SecretSpec{Name: name, Data: []byte("x")})
		creating := func(spec swarm.SecretSpec) error {
			id, err := client.Secrets.Create(ctx, spec)
			if err == nil {
				removeWhenFree(t, func(ctx context.Context) error { return client.Secrets.Remove(ctx, id) })
			}
			return err
		}
		inspecting := func(ref string) error { _, err := client.Secrets.Inspect(ctx, ref); return err }
		for what, test := range map[string]struct{ got, want error }{
			"taken name":      {creating(swarm.SecretSpec{Name: name, Data: []byte("x")}), swarm.ErrNameConflict},
			"no name":         {creating(swarm.SecretSpec{Data: []byte("x")}), swarm.ErrInvalid},
			"bad name":        {creating(swarm.SecretSpec{Name: "-/-", Data: []byte("x")}), swarm.ErrInvalid},
			"long name":       {creating(swarm.SecretSpec{Name: strings.Repeat("x", 65), Data: []byte("x")}), swarm.ErrInvalid},
			"no data":         {creating(swarm.SecretSpec{Name: name + "2"}), swarm.ErrInvalid},
			"too much data":   {creating(swarm.SecretSpec{Name: name + "2", Data: make([]byte, swarm.MaxSecretSize+1)}), swarm.ErrInvalid},
			"nameless driver": {creating(swarm.SecretSpec{Name: name + "2", Driver: &swarm.Driver{}}), swarm.ErrInvalid},
			"missing":         {inspecting("nope"), swarm.ErrNotFound},
			"remove missing":  {client.Secrets.Remove(ctx, "nope"), swarm.ErrNotFound},
			"label missing":   {client.Secrets.SetLabels(ctx, "nope", nil), swarm.ErrNotFound},
		} {
			assert.ErrorIs(t, test.got, test.want, what)
		}
		assert.NoError(t, creating(swarm.SecretSpec{Name: name + "-most", Data: make([]byte, swarm.MaxSecretSize)}))

		// What the library checks by itself the engine says too.
		for _, size := range []int{0, swarm.MaxSecretSize + 1} {
			err := e.Call(ctx, http.MethodPost, "/secrets/create", map[string]any{"Name": name + "3", "Data": make([]byte, size)}, nil)
			assert.ErrorContains(t, err, "secret data must be larger than 0 and less than 512000 bytes")
		}
		assertImmutable(t, e, "/secrets/"+id, map[string]any{"Name": name, "Data": []byte("other")})
		assertImmutable(t, e, "/secrets/"+id, map[string]any{"Name": name + "4"})
	})
}

// assertImmutable posts another spec past the library, and reads the engine's
// answer with it.
func assertImmutable(t *testing.T, e *engines.Engine, path string, spec map[string]any) {
	t.Helper()
	var object struct {
		Version struct{ Index uint64 }
		Spec    any
	}
	require.NoError(t, e.Call(t.Context(), http.MethodGet, path, nil, &object))
	_, err := newClient(t, e).Do(postRequest(t, path, object.Version.Index, spec))
	assert.ErrorIs(t, err, swarm.ErrImmutable)
	_, err = newClient(t, e).Do(postRequest(t, path, object.Version.Index-1, object.Spec))
	assert.ErrorIs(t, err, swarm.ErrVersionConflict)
}

func postRequest(t *testing.T, path string, version uint64, spec any) *http.Request {
	t.Helper()
	body, err := json.Marshal(spec)
	require.NoError(t, err)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, fmt.Sprintf("%s/update?version=%d", path, version), bytes.NewReader(body))
	require.NoError(t, err)
	request.Header.Set("Content-Type", "application/json")
	return request
}

func TestSecretOfAMissingDriverIsRefused(t *testing.T) {
	t.Parallel()
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		client := newClient(t, e)
		_, err := client.Secrets.Create(t.Context(), swarm.SecretSpec{Name: serviceName(t, ""), Driver: &swarm.Driver{Name: "nosuchdriver"}})
		assert.ErrorIs(t, err, swarm.ErrInvalid)
		assert.ErrorContains(t, err, "nosuchdriver")
		_, err = client.Secrets.Inspect(t.Context(), serviceName(t, ""))
		assert.ErrorIs(t, err, swarm.ErrNotFound)
	})
}

func TestSecretsAreListedByWhatIsAskedFor(t *testing.T) {
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		client := newClient(t, e)
		ids := map[string]string{}
		for suffix, label := range map[string]string{"a": "1", "ab": "2", "b": "1"} {
			spec := swarm.SecretSpec{Name: serviceName(t, suffix), Labels: map[string]string{"list-secrets": label}, Data: []byte("x")}
			ids[createSecret(t, client, spec)] = suffix
		}
		idOf := func(suffix string) string {
			for id, s := range ids {
				if s == suffix {
					return id
				}
			}
			return ""
		}
		list := func(opts swarm.SecretListOptions) []string {
			secrets, err := client.Secrets.List(t.Context(), &opts)
			require.NoError(t, err)
			names := []string{}
			for _, secret := range secrets {
				if ids[secret.ID] != "" {
					names = append(names, ids[secret.ID])
				}
			}
			slices.Sort(names)
			return names
		}
		all := map[string]string{"list-secrets": ""}
		assert.Equal(t, []string{"a", "ab", "b"}, list(swarm.SecretListOptions{}))
		assert.Equal(t, []string{"a", "ab", "b"}, list(swarm.SecretListOptions{Labels: all}))
		assert.Equal(t, []string{"a", "b"}, list(swarm.SecretListOptions{Labels: map[string]string{"list-secrets": "1"}}))
		assert.Empty(t, list(swarm.SecretListOptions{Labels: map[string]string{"list-secrets": "1", "other": ""}}))
		assert.Equal(t, []string{"a"}, list(swarm.SecretListOptions{Names: []string{serviceName(t, "a")}}))
		assert.Equal(t, []string{"a", "b"}, list(swarm.SecretListOptions{Names: []string{serviceName(t, "a"), serviceName(t, "b")}}))
		assert.Equal(t, []string{"a", "ab"}, list(swarm.SecretListOptions{NamePrefixes: []string{serviceName(t, "a")}}))
		assert.Equal(t, []string{"a", "b"}, list(swarm.SecretListOptions{Names: []string{serviceName(t, "a")}, NamePrefixes: []string{serviceName(t, "b")}}))
		assert.Equal(t, []string{"ab"}, list(swarm.SecretListOptions{IDs: []string{idOf("ab")}}))
		assert.Equal(t, []string{"ab"}, list(swarm.SecretListOptions{IDPrefixes: []string{idOf("ab")[:12]}}))
		assert.Empty(t, list(swarm.SecretListOptions{IDs: []string{idOf("ab")[:12]}}))
		assert.Empty(t, list(swarm.SecretListOptions{IDs: []string{idOf("ab")}, Names: []string{serviceName(t, "a")}}))
		assert.Equal(t, []string{"a"}, list(swarm.SecretListOptions{IDs: slices.Collect(maps.Keys(ids)), NamePrefixes: []string{serviceName(t, "a")},
			Labels: map[string]string{"list-secrets": "1"}}))
	})
}

// The engine's own answer below the version that the library asks for.
func TestEnginesRefuseTemplatingBelowItsVersion(t *testing.T) {
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		client := newClient(t, e)
		for path, remove := range map[string]func(context.Context, string) error{"secrets": client.Secrets.Remove, "configs": client.Configs.Remove} {
			name := serviceName(t, path)
			spec := map[string]any{"Name": name, "Data": []byte("x"), "Templating": map[string]string{"Name": "golang"}}
			removeWhenFree(t, func(ctx context.Context) error { return remove(ctx, name) })
			assert.ErrorContains(t, e.Call(t.Context(), http.MethodPost, "/v1.36/"+path+"/create", spec, nil), "templating is not supported on the specified API version")
			assert.NoError(t, e.Call(t.Context(), http.MethodPost, "/v1.37/"+path+"/create", spec, nil))
		}
	})
}
