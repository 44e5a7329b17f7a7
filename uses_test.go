package swarm_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/swarm-go/swarm"
)

func TestSpecsTellWhatTheyUse(t *testing.T) {
	spec := swarm.ServiceSpec{
		Networks: []swarm.NetworkAttachmentConfig{{Target: "old"}},
		TaskTemplate: swarm.TaskSpec{
			Networks: []swarm.NetworkAttachmentConfig{{Target: "n1"}, {Target: "n2"}},
			ContainerSpec: swarm.ContainerSpec{
				Image:   "docker.io/library/nginx:1.29@" + digest,
				Secrets: []swarm.SecretReference{{SecretID: "s1", SecretName: "key"}},
				Configs: []swarm.ConfigReference{{ConfigID: "c1", ConfigName: "conf"}, {ConfigID: "c2", Runtime: &swarm.RuntimeTarget{}}},
			},
		},
	}
	for what, row := range map[string]struct {
		uses    func(string) bool
		yes, no []string
	}{
		"network": {spec.UsesNetwork, []string{"n1", "n2", "old"}, []string{"n", "n3", ""}},
		"secret":  {spec.UsesSecret, []string{"s1", "key"}, []string{"s", "c1", ""}},
		"config":  {spec.UsesConfig, []string{"c1", "conf", "c2"}, []string{"c", "s1", ""}},
		"image": {spec.UsesImage, []string{"nginx", "nginx:1.29", "nginx@" + digest, "docker.io/library/nginx"},
			[]string{"nginx:1", "nginx:latest", "team/nginx", "ngin", "no reference:", ""}},
	} {
		for _, ref := range row.yes {
			assert.True(t, row.uses(ref), "%s %s", what, ref)
		}
		for _, ref := range row.no {
			assert.False(t, row.uses(ref), "%s %s", what, ref)
		}
	}
	odd := swarm.ServiceSpec{TaskTemplate: swarm.TaskSpec{ContainerSpec: swarm.ContainerSpec{Image: "no reference:"}}}
	assert.True(t, odd.UsesImage("no reference:"))
	assert.False(t, odd.UsesImage("nginx"))
	assert.False(t, swarm.ServiceSpec{}.UsesImage(""))
}

// usedServices are a service that uses everything, and one that uses nothing.
const usedServices = `[
	{"ID":"s1","ServiceStatus":{},"Spec":{"Name":"web","TaskTemplate":{"Networks":[{"Target":"n1"}],"ContainerSpec":{"Image":"nginx:1",
		"Secrets":[{"SecretID":"k1","SecretName":"key"}],"Configs":[{"ConfigID":"c1","ConfigName":"conf"}]}}}},
	{"ID":"s2","ServiceStatus":{},"Spec":{"Name":"db","TaskTemplate":{"ContainerSpec":{"Image":"postgres"}}}}]`

func TestServicesAreChosenByWhatTheyUse(t *testing.T) {
	e, client := newScriptedEngine(t, "1.51")
	e.answer("GET /services", says(http.StatusOK, usedServices))
	e.answer("GET /networks/backend", says(http.StatusOK, `{"Id":"n1","Name":"backend"}`))
	e.answer("GET /networks/other", says(http.StatusOK, `{"Id":"n2","Name":"other"}`))
	e.answer("GET /networks/gone", says(http.StatusNotFound, `{"message":"network gone not found"}`))
	e.answer("GET /tasks", says(http.StatusOK, `[{"ID":"t1","ServiceID":"s1","Status":{"State":"running"}},{"ID":"t2","ServiceID":"s2","Status":{"State":"shutdown"}}]`))
	for _, row := range []struct {
		opts swarm.ServiceListOptions
		want []string
	}{
		{swarm.ServiceListOptions{}, []string{"web", "db"}},
		{swarm.ServiceListOptions{Networks: []string{"backend"}}, []string{"web"}},
		{swarm.ServiceListOptions{Networks: []string{"other", "backend"}}, []string{"web"}},
		{swarm.ServiceListOptions{Networks: []string{"other"}}, nil},
		{swarm.ServiceListOptions{Secrets: []string{"key", "other"}}, []string{"web"}},
		{swarm.ServiceListOptions{Secrets: []string{"other"}}, nil},
		{swarm.ServiceListOptions{Configs: []string{"c1"}}, []string{"web"}},
		{swarm.ServiceListOptions{Images: []string{"postgres:latest"}}, []string{"db"}},
		{swarm.ServiceListOptions{Images: []string{"postgres", "nginx:1"}}, []string{"web", "db"}},
		{swarm.ServiceListOptions{Images: []string{"postgres"}, Secrets: []string{"key"}}, nil},
		{swarm.ServiceListOptions{Nodes: []string{"node"}}, []string{"web"}},
		{swarm.ServiceListOptions{Nodes: []string{"node"}, Images: []string{"postgres"}}, nil},
	} {
		services, err := client.Services.List(t.Context(), &row.opts)
		require.NoError(t, err)
		var names []string
		for _, service := range services {
			names = append(names, service.Spec.Name)
		}
		assert.Equal(t, row.want, names, "%+v", row.opts)
	}
	_, err := client.Services.List(t.Context(), &swarm.ServiceListOptions{Networks: []string{"gone"}})
	assert.ErrorIs(t, err, swarm.ErrNotFound)
	before := len(e.all())
	_, err = client.Services.List(t.Context(), &swarm.ServiceListOptions{Images: []string{"no reference:"}})
	assert.ErrorIs(t, err, swarm.ErrInvalid)
	assert.Len(t, e.all(), before)
}

func TestMountsOfAServiceAreCopied(t *testing.T) {
	volume := swarm.Mount{Type: swarm.MountVolume, Source: "data", Target: "/data", ReadOnly: true, VolumeOptions: &swarm.VolumeOptions{
		NoCopy: true, Labels: map[string]string{"a": "1"}, DriverConfig: &swarm.Driver{Name: "local", Options: map[string]string{"type": "nfs"}}}}
	bind := swarm.Mount{Source: "/etc", Target: "/host", BindOptions: &swarm.BindOptions{Propagation: swarm.PropagationRSlave}}
	spec := swarm.ServiceSpec{TaskTemplate: swarm.TaskSpec{ContainerSpec: swarm.ContainerSpec{Mounts: []swarm.Mount{
		volume, bind, {Type: swarm.MountVolume, Target: "/new"}, {Type: swarm.MountTmpfs, Target: "/tmp"},
	}}}}
	mounts := swarm.MountsFrom(spec)
	require.Equal(t, []swarm.Mount{volume, bind}, mounts)
	mounts[0].VolumeOptions.Labels["a"] = "2"
	mounts[1].BindOptions.Propagation = swarm.PropagationPrivate
	assert.Equal(t, "1", volume.VolumeOptions.Labels["a"])
	assert.Equal(t, swarm.PropagationRSlave, bind.BindOptions.Propagation)
	assert.Empty(t, swarm.MountsFrom(swarm.ServiceSpec{}))
}

func TestReferencesByNameAreResolved(t *testing.T) {
	e, client := newScriptedEngine(t, "1.51")
	e.answer("GET /secrets/key", says(http.StatusOK, `{"ID":"k1","Spec":{"Name":"key"}}`))
	e.answer("GET /configs/conf", says(http.StatusOK, `{"ID":"c1","Spec":{"Name":"conf"}}`))
	e.answer("GET /configs/gmsa", says(http.StatusOK, `{"ID":"c2","Spec":{"Name":"gmsa"}}`))
	e.answer("GET /configs/c3", says(http.StatusOK, `{"ID":"c3","Spec":{"Name":"third"}}`))
	secret, err := swarm.ParseSecretReference("source=key,target=password")
	require.NoError(t, err)
	credentials, err := swarm.ParseCredentialSpec("config://gmsa")
	require.NoError(t, err)
	var spec swarm.ServiceSpec
	container := &spec.TaskTemplate.ContainerSpec
	container.Secrets = []swarm.SecretReference{secret, swarm.MountSecret("k2", "other")}
	container.Configs = []swarm.ConfigReference{swarm.MountConfig("", "conf")}
	container.Privileges = &swarm.Privileges{CredentialSpec: &credentials}
	require.NoError(t, client.Services.ResolveReferences(t.Context(), &spec))
	secret.SecretID = "k1"
	runtime := swarm.ConfigReference{ConfigID: "c2", ConfigName: "gmsa", Runtime: &swarm.RuntimeTarget{}}
	assert.Equal(t, []swarm.SecretReference{secret, swarm.MountSecret("k2", "other")}, container.Secrets)
	assert.Equal(t, []swarm.ConfigReference{swarm.MountConfig("c1", "conf"), runtime}, container.Configs)
	assert.Equal(t, "c2", credentials.Config)
	asked := len(e.all())
	require.NoError(t, client.Services.ResolveReferences(t.Context(), &spec))
	assert.Len(t, e.all(), asked, "all have their IDs")

	credentials.Config = "c3"
	require.NoError(t, client.Services.ResolveReferences(t.Context(), &spec))
	assert.Equal(t, swarm.ConfigReference{ConfigID: "c3", ConfigName: "third", Runtime: &swarm.RuntimeTarget{}}, container.Configs[2])
	credentials.Config, container.Configs = "gmsa", []swarm.ConfigReference{runtime}
	require.NoError(t, client.Services.ResolveReferences(t.Context(), &spec))
	assert.Equal(t, []swarm.ConfigReference{runtime}, container.Configs, "it is there already")
	require.NoError(t, client.Services.ResolveReferences(t.Context(), &swarm.ServiceSpec{}))
}

// Engines read by a prefix of the ID too.
func TestWhatIsReadByNameHasExactlyThatName(t *testing.T) {
	e, client := newScriptedEngine(t, "1.51")
	for kind, inspect := range map[string]func(name string) (string, error){
		"services": func(name string) (string, error) {
			service, err := client.Services.InspectByName(t.Context(), name)
			if err != nil {
				return "", err
			}
			return service.ID, nil
		},
		"secrets": func(name string) (string, error) {
			secret, err := client.Secrets.InspectByName(t.Context(), name)
			if err != nil {
				return "", err
			}
			return secret.ID, nil
		},
		"configs": func(name string) (string, error) {
			config, err := client.Configs.InspectByName(t.Context(), name)
			if err != nil {
				return "", err
			}
			return config.ID, nil
		},
	} {
		e.answer("GET /"+kind+"/web", says(http.StatusOK, `{"ID":"abc","Spec":{"Name":"web"}}`))
		e.answer("GET /"+kind+"/ab", says(http.StatusOK, `{"ID":"abc","Spec":{"Name":"web"}}`))
		e.answer("GET /"+kind+"/a", says(http.StatusBadRequest, `{"message":"service a is ambiguous (2 matches found)"}`))
		e.answer("GET /"+kind+"/b", says(http.StatusServiceUnavailable, `{"message":"This node is not a swarm manager."}`))
		id, err := inspect("web")
		require.NoError(t, err)
		assert.Equal(t, "abc", id)
		for _, name := range []string{"ab", "a"} {
			_, err = inspect(name)
			assert.ErrorIs(t, err, swarm.ErrNotFound, "%s %s", kind, name)
			assert.NotErrorIs(t, err, swarm.ErrAmbiguousRef, "%s %s", kind, name)
		}
		_, err = inspect("b")
		assert.ErrorIs(t, err, swarm.ErrNoSwarm, kind)
	}
	var spec swarm.ServiceSpec
	spec.TaskTemplate.ContainerSpec.Secrets = []swarm.SecretReference{swarm.MountSecret("", "ab")}
	assert.ErrorIs(t, client.Services.ResolveReferences(t.Context(), &spec), swarm.ErrNotFound)
	assert.Empty(t, spec.TaskTemplate.ContainerSpec.Secrets[0].SecretID)
}
