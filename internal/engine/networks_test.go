package engine

import (
	"cmp"
	"encoding/json"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/swarm-go/swarm"
)

// recordedMessage is the text of a recorded refusal.
func recordedMessage(t *testing.T, release *Release, name string) string {
	t.Helper()
	return recorded(t, &Release{Name: release.Name + "-infra"}, name).(map[string]any)["message"].(string)
}

func TestNetworksAndVolumesAreRefusedInTheWordsOfRealEngines(t *testing.T) {
	for _, release := range []*Release{Release2010, Release285} {
		c := newManager(t, release)
		for _, row := range []struct{ name, request, path, body string }{
			{"net_create_baddriver", "POST", "/networks/create", `{"Name":"x","Driver":"nosuch"}`},
			{"net_create_badipam", "POST", "/networks/create", `{"Name":"x","Driver":"overlay","IPAM":{"Driver":"nosuch"}}`},
			{"net_create_badname", "POST", "/networks/create", `{"Name":"a.b","Driver":"overlay"}`},
			{"net_create_badsubnet", "POST", "/networks/create", `{"Name":"x","Driver":"overlay","IPAM":{"Config":[{"Subnet":"nonsense"}]}}`},
			{"net_create_local_overlay", "POST", "/networks/create", `{"Name":"x","Driver":"overlay","Scope":"local"}`},
			{"net_create_noname", "POST", "/networks/create", `{"Name":"","Driver":"overlay"}`},
			{"net_inspect_badverbose", "GET", "/networks/ingress?verbose=nonsense", ""},
			{"net_remove_bridge", "DELETE", "/networks/bridge", ""},
			{"netf_bad", "GET", `/networks?filters={"nope":["x"]}`, ""},
			{"netf_dangling_bad", "GET", `/networks?filters={"dangling":["x"]}`, ""},
			{"netf_type_bad", "GET", `/networks?filters={"type":["x"]}`, ""},
			{"vol_create_baddriver", "POST", "/volumes/create", `{"Name":"vbd","Driver":"nosuch"}`},
			{"vol_create_badname", "POST", "/volumes/create", `{"Name":"a/b"}`},
			{"vol_create_badopt", "POST", "/volumes/create", `{"Name":"vbad","DriverOpts":{"nope":"x"}}`},
			{"vol_create_shortname", "POST", "/volumes/create", `{"Name":"a"}`},
			{"vol_inspect_missing", "GET", "/volumes/nope", ""},
			{"volf_bad", "GET", `/volumes?filters={"nope":["x"]}`, ""},
			{"volf_dangling_bad", "GET", `/volumes?filters={"dangling":["x"]}`, ""},
		} {
			got := c.do(row.request, row.path, row.body)
			assert.Equal(t, recordedMessage(t, release, row.name), got.message(), "%s of %s", row.name, release.Name)
		}
	}
}

func TestNetworksGetSubnetsOfTheSwarmsPool(t *testing.T) {
	c := newClient(t, Release285)
	got := c.do(http.MethodPost, "/swarm/init",
		`{"ListenAddr":"0.0.0.0:2377","DefaultAddrPool":["10.20.0.0/22","10.30.0.0/16"],"SubnetSize":23}`)
	require.Equal(t, http.StatusOK, got.status, got.body)
	subnet := func(ref string) string { return get[swarm.Network](c, "/networks/"+ref).IPAM.Config[0].Subnet }
	assert.Equal(t, "10.20.0.0/23", subnet("ingress"))
	add := func(name, config string) {
		got := c.do(http.MethodPost, "/networks/create", `{"Name":"`+name+`","Driver":"overlay","IPAM":{"Config":[`+config+`]}}`)
		require.Equal(t, http.StatusCreated, got.status, got.body)
	}
	add("asked", `{"Subnet":"10.30.0.0/24"}`)
	add("first", "")
	add("second", "")
	assert.Equal(t, "10.20.2.0/23", subnet("first"))
	assert.Equal(t, "10.30.2.0/23", subnet("second"), "the next that overlaps with none")
	require.Equal(t, http.StatusNoContent, c.do(http.MethodDelete, "/networks/first", "").status)
	add("third", "")
	assert.Equal(t, "10.20.2.0/23", subnet("third"), "what was given back")
}

func TestVolumesAreListedByTheirFilters(t *testing.T) {
	c := newClient(t, Release285)
	for _, body := range []string{`{"Name":"alpha","Labels":{"a":"b"}}`, `{"Name":"beta"}`} {
		require.Equal(t, http.StatusCreated, c.do(http.MethodPost, "/volumes/create", body).status)
	}
	list := func(filters string) []string {
		names := []string{}
		for _, v := range get[swarm.VolumeList](c, "/volumes?filters="+filters).Volumes {
			names = append(names, v.Name)
		}
		return names
	}
	assert.Equal(t, []string{"alpha", "beta"}, list(""))
	assert.Equal(t, []string{"alpha"}, list(`{"label":["a=b"]}`))
	assert.Equal(t, []string{"beta"}, list(`{"name":["et"]}`))
	assert.Empty(t, list(`{"dangling":["false"]}`))
	require.Equal(t, http.StatusNoContent, c.do(http.MethodDelete, "/volumes/alpha", "").status)
	assert.Equal(t, http.StatusNotFound, c.do(http.MethodDelete, "/volumes/alpha", "").status)
	assert.Equal(t, http.StatusNoContent, c.do(http.MethodDelete, "/volumes/alpha?force=1", "").status)
}

func TestFieldsAreStrippedFromOldRequests(t *testing.T) {
	spec := swarm.ServiceSpec{Name: "web", TaskTemplate: swarm.TaskSpec{
		Resources: &swarm.ResourceRequirements{Limits: &swarm.Limits{Pids: 5}, SwapBytes: new(int64(1))},
		Placement: &swarm.Placement{MaxReplicas: 2},
		ContainerSpec: swarm.ContainerSpec{
			Image: "nginx", Sysctls: map[string]string{"a": "b"}, CapabilityAdd: []string{"x"}, OomScoreAdj: 3,
			Privileges: &swarm.Privileges{NoNewPrivileges: new(true)},
			Mounts:     []swarm.Mount{{Type: swarm.MountVolume, Target: "/a", VolumeOptions: &swarm.VolumeOptions{Subpath: "s"}}},
		},
	}}
	body, err := json.Marshal(spec)
	require.NoError(t, err)
	left := func(release *Release, version string) (fields []string) {
		c := newManager(t, release)
		c.create(version+"/services/create", string(body))
		task := get[swarm.Service](c, "/services/web").Spec.TaskTemplate
		for _, field := range []struct {
			name string
			kept bool
		}{
			{"sysctls", len(task.ContainerSpec.Sysctls) > 0},
			{"max replicas", task.Placement.MaxReplicas > 0},
			{"capabilities", len(task.ContainerSpec.CapabilityAdd) > 0},
			{"pids", task.Resources.Limits.Pids > 0},
			{"privileges", *cmp.Or(task.ContainerSpec.Privileges.NoNewPrivileges, new(bool))},
			{"subpath", task.ContainerSpec.Mounts[0].VolumeOptions.Subpath != ""},
			{"oom", task.ContainerSpec.OomScoreAdj != 0},
			{"swap", task.Resources.SwapBytes != nil},
		} {
			if field.kept {
				fields = append(fields, field.name)
			}
		}
		return fields
	}
	assert.Equal(t, []string{"subpath"}, left(Release285, "/v1.39"))
	assert.Equal(t, []string{"sysctls", "max replicas", "subpath"}, left(Release285, "/v1.40"))
	assert.Equal(t, []string{"sysctls", "max replicas", "capabilities", "pids"}, left(Release2010, ""))
	assert.Equal(t, []string{"sysctls", "max replicas", "capabilities", "pids", "privileges", "subpath", "oom"}, left(Release285, ""))
	assert.Contains(t, left(ReleaseNewest, ""), "swap")
}

func TestServicesFindTheNetworksOfNodesInTheSwarm(t *testing.T) {
	c := newManager(t, Release285)
	found := get[swarm.Network](c, "/networks/bridge?scope=swarm")
	assert.Equal(t, swarm.ScopeSwarm, found.Scope)
	assert.Equal(t, swarm.ScopeLocal, get[swarm.Network](c, "/networks/bridge").Scope)
}

func TestNetworksOfTheSwarmShowNoEmptyMaps(t *testing.T) {
	c := newManager(t, Release285)
	got := c.do(http.MethodPost, "/networks/create", `{"Name":"x","Driver":"overlay","Labels":{},"IPAM":{"Driver":"default","Options":{}}}`)
	require.Equal(t, http.StatusCreated, got.status, got.body)
	shown := get[map[string]any](c, "/networks/x")
	assert.Contains(t, shown, "Labels")
	assert.Nil(t, shown["Labels"])
	assert.Nil(t, shown["IPAM"].(map[string]any)["Options"])
}

func TestTasksMakeTheVolumesTheyMount(t *testing.T) {
	s := newScene(t, 1)
	spec := replicated("web:1", 1)
	spec.TaskTemplate.ContainerSpec.Mounts = []swarm.Mount{{
		Type: swarm.MountVolume, Source: "data", Target: "/data",
		VolumeOptions: &swarm.VolumeOptions{Labels: map[string]string{"a": "1"}},
	}}
	s.image("web:1", nil)
	s.untilRunning(s.create(spec), 1)
	s.world.Do(func() {
		volume, err := s.daemons[0].volume("data")
		require.NoError(t, err)
		assert.Equal(t, map[string]string{"a": "1"}, volume.Labels)
	})
}
