package swarm_test

import (
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/swarm-go/swarm"
	"github.com/swarm-go/swarm/internal/specchanges"
	"github.com/swarm-go/swarm/swarmtest"
)

func TestWillRestartSaysWhatEnginesDo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := swarmtest.Start(t).Client()
		objects, err := specchanges.MakeObjects(t.Context(), client)
		require.NoError(t, err)
		service, err := client.Services.Create(t.Context(), objects.Base("web"), nil)
		require.NoError(t, err)
		changes := objects.Changes()
		for i := 0; i < len(changes); i += swarm.OneIn {
			change := changes[i]
			result, err := objects.Try(t.Context(), client, service.ID, change)
			require.NoError(t, err, change.Name)
			assert.Equal(t, specchanges.Result{Predicted: change.Restarts, Restarted: change.Restarts}, result, change.Name)
		}
	})
}

func TestEveryChangeOfAJobRestartsIt(t *testing.T) {
	job := swarm.ServiceSpec{Name: "job", Mode: swarm.ReplicatedJob(1, 0)}
	labelled := job
	labelled.PutLabel("a", "1")
	assert.True(t, swarm.WillRestart(job, labelled))
	assert.False(t, swarm.WillRestart(job, job))
}

func TestAPlacementAloneRestartsNothingThatMayStay(t *testing.T) {
	web := swarm.ServiceSpec{Name: "web"}
	placed := web
	placed.TaskTemplate.Placement = &swarm.Placement{Constraints: []string{"node.role==manager"}}
	assert.False(t, swarm.WillRestart(web, placed))
	placed.PutEnv("A", "1")
	assert.True(t, swarm.WillRestart(web, placed))
}

func TestDiffSpecNamesEveryDifference(t *testing.T) {
	before := swarm.ServiceSpec{Name: "web", Mode: swarm.Replicated(2), Labels: map[string]string{"a": "1", "b": "2"}}
	before.TaskTemplate.ContainerSpec = swarm.ContainerSpec{Image: "web:1", Env: []string{"A=1", "B=2"}, Args: []string{"x", "y"},
		Mounts: []swarm.Mount{{Target: "/a", Type: swarm.MountTmpfs}}, Secrets: []swarm.SecretReference{swarm.MountSecret("id1", "key")}}
	before.EndpointSpec.Ports = []swarm.PortConfig{{TargetPort: 80, PublishedPort: 8080}}
	before.TaskTemplate.Networks = []swarm.NetworkAttachmentConfig{{Target: "n1"}}

	after := before
	after.Mode = swarm.Replicated(3)
	after.PutLabel("c", "3")
	after.DropLabel("a")
	after.TaskTemplate.ContainerSpec.Image = "web:2"
	after.TaskTemplate.ContainerSpec.Args = []string{"x"}
	after.PutEnv("B", "3")
	after.PutEnv("C", "4")
	after.PutMount(swarm.Mount{Target: "/a", Type: swarm.MountTmpfs, ReadOnly: true})
	after.ReplaceSecret("key", "id2", "key2")
	after.PutPort(swarm.PortConfig{TargetPort: 80, PublishedPort: 8081})
	after.DropNetwork("n1")

	assert.Equal(t, []swarm.SpecDifference{
		{Path: "Labels.a", Old: `"1"`},
		{Path: "Labels.c", New: `"3"`},
		{Path: "TaskTemplate.ContainerSpec.Image", Old: `"web:1"`, New: `"web:2"`},
		{Path: "TaskTemplate.ContainerSpec.Args", Old: `["x","y"]`, New: `["x"]`},
		{Path: "TaskTemplate.ContainerSpec.Env[B]", Old: `"B=2"`, New: `"B=3"`},
		{Path: "TaskTemplate.ContainerSpec.Env[C]", New: `"C=4"`},
		{Path: "TaskTemplate.ContainerSpec.Mounts[/a].ReadOnly", New: `true`},
		{Path: "TaskTemplate.ContainerSpec.Secrets[key].SecretID", Old: `"id1"`, New: `"id2"`},
		{Path: "TaskTemplate.ContainerSpec.Secrets[key].SecretName", Old: `"key"`, New: `"key2"`},
		{Path: "TaskTemplate.Networks", Old: `[{"Target":"n1"}]`},
		{Path: "Mode.Replicated.Replicas", Old: `2`, New: `3`},
		{Path: "EndpointSpec.Ports[80/tcp/ingress].PublishedPort", Old: `8080`, New: `8081`},
	}, swarm.DiffSpec(before, after))
	assert.Empty(t, swarm.DiffSpec(before, before))
}

func TestDiffSpecTakesAnotherOrderForAChange(t *testing.T) {
	spec := func(env ...string) swarm.ServiceSpec {
		return swarm.ServiceSpec{TaskTemplate: swarm.TaskSpec{ContainerSpec: swarm.ContainerSpec{Env: env}}}
	}
	const path = "TaskTemplate.ContainerSpec.Env"
	for _, row := range []struct {
		before, after []string
		want          []swarm.SpecDifference
	}{
		{[]string{"A=1", "B=2"}, []string{"B=2", "A=1"}, []swarm.SpecDifference{{path, `["A=1","B=2"]`, `["B=2","A=1"]`}}},
		{[]string{"A=1", "A=2"}, []string{"A=1", "A=3"}, []swarm.SpecDifference{{path, `["A=1","A=2"]`, `["A=1","A=3"]`}}},
		{[]string{"A=1", "B=2", "C=3"}, []string{"D=4", "A=1", "C=3"}, []swarm.SpecDifference{{path + "[B]", `"B=2"`, ""}, {path + "[D]", "", `"D=4"`}}},
		{[]string{"A=1"}, []string{"A"}, []swarm.SpecDifference{{path + "[A]", `"A=1"`, `"A"`}}},
	} {
		assert.Equal(t, row.want, swarm.DiffSpec(spec(row.before...), spec(row.after...)))
	}
}

func TestDifferencesArePrintedSafely(t *testing.T) {
	assert.Equal(t, `Labels.a: nothing -> "\u001b[2J"`, swarm.SpecDifference{Path: "Labels.a", New: `"\u001b[2J"`}.String())
	assert.Equal(t, `Labels.\u202e: "1" -> nothing`, swarm.SpecDifference{Path: "Labels.\u202e", Old: `"1"`}.String())
}
