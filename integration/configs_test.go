//go:build integration

package integration

import (
	"context"
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

// createConfig makes a config that the end of the test removes.
func createConfig(t *testing.T, client *swarm.Client, spec swarm.ConfigSpec) string {
	t.Helper()
	id, err := client.Configs.Create(t.Context(), spec)
	require.NoError(t, err)
	removeWhenFree(t, func(ctx context.Context) error { return client.Configs.Remove(ctx, id) })
	return id
}

func TestConfigLife(t *testing.T) {
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		client, ctx := newClient(t, e), t.Context()
		name := serviceName(t, "")
		data, err := swarm.ReadConfigData(strings.NewReader("the config\n"))
		require.NoError(t, err)
		file := filepath.Join(t.TempDir(), "config")
		require.NoError(t, os.WriteFile(file, data, 0o600))
		data, err = swarm.ReadConfigFile(file)
		require.NoError(t, err)
		id := createConfig(t, client, swarm.ConfigSpec{Name: name, Labels: map[string]string{"a": "1"}, Data: data})

		config, err := client.Configs.Inspect(ctx, name)
		require.NoError(t, err)
		assert.Equal(t, id, config.ID)
		assert.Equal(t, id[:12], swarm.ShortID(config.ID))
		assert.Equal(t, swarm.ConfigSpec{Name: name, Labels: map[string]string{"a": "1"}, Data: data}, config.Spec)
		assert.WithinDuration(t, time.Now(), config.CreatedAt, time.Minute)
		byPrefix, err := client.Configs.Inspect(ctx, id[:12])
		require.NoError(t, err)
		assert.Equal(t, config, byPrefix)

		spec := testSpec(name, "-cat", "/target")
		reference := swarm.MountConfig(id, name)
		reference.File.Name = "target"
		spec.TaskTemplate.ContainerSpec.Configs = []swarm.ConfigReference{reference}
		create(t, client, spec)
		tasks := runningTasks(t, client, name, 1)
		assert.Equal(t, "the config\n", output(t, client, name))

		require.NoError(t, client.Configs.SetLabels(ctx, name, map[string]string{"b": "2"}))
		labelled, err := client.Configs.Inspect(ctx, id)
		require.NoError(t, err)
		assert.Equal(t, map[string]string{"b": "2"}, labelled.Spec.Labels)
		assert.NotEqual(t, config.Version, labelled.Version)
		require.NoError(t, client.Configs.SetLabels(ctx, id, map[string]string{"b": "2"}))
		again, err := client.Configs.Inspect(ctx, id)
		require.NoError(t, err)
		assert.Equal(t, labelled, again, "labels that are there are not sent")
		require.NoError(t, client.Configs.SetLabels(ctx, id, nil))
		assert.Equal(t, tasks, runningTasks(t, client, name, 1), "labels restarted a task")

		var inUse *swarm.InUseError
		err = client.Configs.Remove(ctx, name)
		require.ErrorAs(t, err, &inUse)
		assert.ErrorIs(t, err, swarm.ErrInUse)
		assert.Equal(t, []string{name}, inUse.Services)
		assert.ErrorIs(t, client.Configs.Remove(ctx, id[:12]), swarm.ErrNotFound)
		require.NoError(t, client.Services.Remove(ctx, name))
		require.Eventually(t, func() bool { return client.Configs.Remove(ctx, name) == nil }, 20*time.Second, 100*time.Millisecond)
		_, err = client.Configs.Inspect(ctx, id)
		assert.ErrorIs(t, err, swarm.ErrNotFound)
		assert.ErrorIs(t, client.Configs.Remove(ctx, id), swarm.ErrNotFound)
	})
}

func TestTemplatedConfigIsCompletedForEachTask(t *testing.T) {
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		client, name := newClient(t, e), serviceName(t, "")
		id := createConfig(t, client, swarm.ConfigSpec{Name: name, Data: []byte(templated), Templating: &swarm.Driver{Name: "golang"}})
		config, err := client.Configs.Inspect(t.Context(), id)
		require.NoError(t, err)
		assert.Equal(t, &swarm.Driver{Name: "golang"}, config.Spec.Templating)
		spec := testSpec(name, "-cat", "/"+name)
		spec.TaskTemplate.ContainerSpec.Configs = []swarm.ConfigReference{swarm.MountConfig("", name)}
		require.NoError(t, client.Services.ResolveReferences(t.Context(), &spec))
		create(t, client, spec)
		runningTasks(t, client, name, 1)
		assert.Equal(t, "service "+name+", slot 1\n", output(t, client, name))
	})
}

// No engine here can use such credentials, but all take them.
func TestConfigWithCredentialsIsFoundByItsName(t *testing.T) {
	t.Parallel()
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		client, name := newClient(t, e), serviceName(t, "")
		id := createConfig(t, client, swarm.ConfigSpec{Name: name, Data: []byte("{}")})
		credentials, err := swarm.ParseCredentialSpec("config://" + name)
		require.NoError(t, err)
		spec := testSpec(name)
		spec.Mode = swarm.Replicated(0)
		spec.TaskTemplate.ContainerSpec.Privileges = &swarm.Privileges{CredentialSpec: &credentials}
		require.NoError(t, client.Services.ResolveReferences(t.Context(), &spec))
		create(t, client, spec)
		read, err := client.Services.InspectByName(t.Context(), name)
		require.NoError(t, err)
		assert.Equal(t, id, read.Spec.TaskTemplate.ContainerSpec.Privileges.CredentialSpec.Config)
		assert.Equal(t, []swarm.ConfigReference{{ConfigID: id, ConfigName: name, Runtime: &swarm.RuntimeTarget{}}}, read.Spec.TaskTemplate.ContainerSpec.Configs)
		_, err = client.Services.InspectByName(t.Context(), read.ID[:12])
		assert.ErrorIs(t, err, swarm.ErrNotFound)
		_, err = client.Configs.InspectByName(t.Context(), id[:12])
		assert.ErrorIs(t, err, swarm.ErrNotFound)
	})
}

func TestConfigErrorsAreTyped(t *testing.T) {
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		client, ctx := newClient(t, e), t.Context()
		name := serviceName(t, "")
		id := createConfig(t, client, swarm.ConfigSpec{Name: name, Data: []byte("x")})
		creating := func(spec swarm.ConfigSpec) error {
			id, err := client.Configs.Create(ctx, spec)
			if err == nil {
				removeWhenFree(t, func(ctx context.Context) error { return client.Configs.Remove(ctx, id) })
			}
			return err
		}
		inspecting := func(ref string) error { _, err := client.Configs.Inspect(ctx, ref); return err }
		for what, test := range map[string]struct{ got, want error }{
			"taken name":     {creating(swarm.ConfigSpec{Name: name, Data: []byte("x")}), swarm.ErrNameConflict},
			"no name":        {creating(swarm.ConfigSpec{Data: []byte("x")}), swarm.ErrInvalid},
			"bad name":       {creating(swarm.ConfigSpec{Name: "-/-", Data: []byte("x")}), swarm.ErrInvalid},
			"long name":      {creating(swarm.ConfigSpec{Name: strings.Repeat("x", 65), Data: []byte("x")}), swarm.ErrInvalid},
			"no data":        {creating(swarm.ConfigSpec{Name: name + "2"}), swarm.ErrInvalid},
			"too much data":  {creating(swarm.ConfigSpec{Name: name + "2", Data: make([]byte, swarm.MaxConfigSize+1)}), swarm.ErrInvalid},
			"missing":        {inspecting("nope"), swarm.ErrNotFound},
			"remove missing": {client.Configs.Remove(ctx, "nope"), swarm.ErrNotFound},
			"label missing":  {client.Configs.SetLabels(ctx, "nope", nil), swarm.ErrNotFound},
		} {
			assert.ErrorIs(t, test.got, test.want, what)
		}
		assert.NoError(t, creating(swarm.ConfigSpec{Name: name + "-most", Data: make([]byte, swarm.MaxConfigSize)}))

		// What the library checks by itself the engine says too.
		for _, size := range []int{0, swarm.MaxConfigSize + 1} {
			err := e.Call(ctx, http.MethodPost, "/configs/create", map[string]any{"Name": name + "3", "Data": make([]byte, size)}, nil)
			assert.ErrorContains(t, err, "config data must be larger than 0 and less than 1024000 bytes")
		}
		assertImmutable(t, e, "/configs/"+id, map[string]any{"Name": name, "Data": []byte("other")})
		assertImmutable(t, e, "/configs/"+id, map[string]any{"Name": name + "4", "Data": []byte("x")})
	})
}

func TestConfigsAreListedByWhatIsAskedFor(t *testing.T) {
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		client := newClient(t, e)
		ids := map[string]string{}
		for suffix, label := range map[string]string{"a": "1", "ab": "2", "b": "1"} {
			spec := swarm.ConfigSpec{Name: serviceName(t, suffix), Labels: map[string]string{"list-configs": label}, Data: []byte("x")}
			ids[createConfig(t, client, spec)] = suffix
		}
		idOf := func(suffix string) string {
			for id, s := range ids {
				if s == suffix {
					return id
				}
			}
			return ""
		}
		list := func(opts swarm.ConfigListOptions) []string {
			configs, err := client.Configs.List(t.Context(), &opts)
			require.NoError(t, err)
			names := []string{}
			for _, config := range configs {
				if ids[config.ID] != "" {
					names = append(names, ids[config.ID])
				}
			}
			slices.Sort(names)
			return names
		}
		all := map[string]string{"list-configs": ""}
		assert.Equal(t, []string{"a", "ab", "b"}, list(swarm.ConfigListOptions{}))
		assert.Equal(t, []string{"a", "ab", "b"}, list(swarm.ConfigListOptions{Labels: all}))
		assert.Equal(t, []string{"a", "b"}, list(swarm.ConfigListOptions{Labels: map[string]string{"list-configs": "1"}}))
		assert.Empty(t, list(swarm.ConfigListOptions{Labels: map[string]string{"list-configs": "1", "other": ""}}))
		assert.Equal(t, []string{"a"}, list(swarm.ConfigListOptions{Names: []string{serviceName(t, "a")}}))
		assert.Equal(t, []string{"a", "b"}, list(swarm.ConfigListOptions{Names: []string{serviceName(t, "a"), serviceName(t, "b")}}))
		assert.Equal(t, []string{"a", "ab"}, list(swarm.ConfigListOptions{NamePrefixes: []string{serviceName(t, "a")}}))
		assert.Equal(t, []string{"a", "b"}, list(swarm.ConfigListOptions{Names: []string{serviceName(t, "a")}, NamePrefixes: []string{serviceName(t, "b")}}))
		assert.Equal(t, []string{"ab"}, list(swarm.ConfigListOptions{IDs: []string{idOf("ab")}}))
		assert.Equal(t, []string{"ab"}, list(swarm.ConfigListOptions{IDPrefixes: []string{idOf("ab")[:12]}}))
		assert.Empty(t, list(swarm.ConfigListOptions{IDs: []string{idOf("ab")[:12]}}))
		assert.Empty(t, list(swarm.ConfigListOptions{IDs: []string{idOf("ab")}, Names: []string{serviceName(t, "a")}}))
		assert.Equal(t, []string{"a"}, list(swarm.ConfigListOptions{IDs: slices.Collect(maps.Keys(ids)), NamePrefixes: []string{serviceName(t, "a")},
			Labels: map[string]string{"list-configs": "1"}}))
	})
}
