package engine

import (
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/swarm-go/swarm"
)

// What is on a node alone: containers, images, volumes, networks.

// running creates a service and lets the time pass that its tasks need.
func (c *client) running(spec string) {
	c.t.Helper()
	c.create("/services/create", spec)
	c.clock.Advance(time.Second)
}

func TestImagesOfContainersAreThoseOfTheList(t *testing.T) {
	for _, ref := range []string{"web", "web:1", "docker.io/library/web:1", "registry.example.com/web", "web:1@sha256:" + digest, "web@sha256:" + digest} {
		c := newManager(t, Release285)
		c.running(`{"Name":"web","TaskTemplate":{"ContainerSpec":{"Image":"` + ref + `"}}}`)
		containers := get[[]struct{ ID, ImageID string }](c, "/containers/json")
		require.Len(t, containers, 1, ref)
		images := get[[]struct{ ID string }](c, "/images/json")
		require.Len(t, images, 1, ref)
		assert.Equal(t, images[0].ID, containers[0].ImageID, ref)
		assert.Equal(t, images[0].ID, get[struct{ Image string }](c, "/containers/"+containers[0].ID+"/json").Image, ref)
		assert.Equal(t, images[0].ID, get[struct{ ID string }](c, "/images/"+images[0].ID+"/json").ID, ref)
	}
}

const digest = "1111111111111111111111111111111111111111111111111111111111111111"

func TestImagesAreListedByTheirFilters(t *testing.T) {
	c := newManager(t, Release285)
	for _, name := range []string{"web", "web&tag=2", "registry.example.com/web&tag=2"} {
		require.Equal(t, http.StatusOK, c.pull(name).status)
	}
	for filters, count := range map[string]int{
		``: 3, `{}`: 3, `{"reference":["web"]}`: 2, `{"reference":["web:2"]}`: 1, `{"reference":["*:2"]}`: 1, `{"reference":["*/web","web"]}`: 3,
		`{"dangling":["true"]}`: 0, `{"dangling":["false"]}`: 3, `{"label":["a"]}`: 0,
	} {
		assert.Len(t, get[[]any](c, "/images/json?filters="+url.QueryEscape(filters)), count, filters)
	}
	assert.Equal(t, "the embedded engine does not answer GET /images/json with the filter since",
		c.do(http.MethodGet, "/images/json?filters="+url.QueryEscape(`{"since":["web"]}`), "").message())
	assert.Equal(t, "invalid filter 'bad'", c.do(http.MethodGet, "/images/json?filters="+url.QueryEscape(`{"bad":["web"]}`), "").message())
}

// pull pulls an image. The clock stands still, so it has to take no time.
func (c *client) pull(image string) answer {
	done := make(chan answer)
	go func() { done <- c.do(http.MethodPost, "/images/create?fromImage="+image, "") }()
	for {
		select {
		case got := <-done:
			return got
		case <-time.After(time.Millisecond):
			c.clock.Advance(0)
		}
	}
}

func TestRegistriesLetTheirUsersIn(t *testing.T) {
	c := newClient(t, Release285)
	require.NoError(t, c.daemon.world.SetImage("team/web:1", Image{Username: "hubber", Password: "p"}))
	require.NoError(t, c.daemon.world.SetImage("registry.example.com:5000/web:1", Image{Username: "me", Password: "q"}))
	auth := func(user, password, address string) answer {
		return c.do(http.MethodPost, "/auth", `{"username":"`+user+`","password":"`+password+`","serveraddress":"`+address+`"}`)
	}
	for _, address := range []string{"", "https://index.docker.io/v1/", "index.docker.io", "docker.io", "registry-1.docker.io"} {
		assert.Equal(t, http.StatusOK, auth("hubber", "p", address).status, address)
		assert.Equal(t, "login attempt to https://registry-1.docker.io/v2/ failed with status: 401 Unauthorized", auth("hubber", "wrong", address).message())
		assert.Equal(t, http.StatusInternalServerError, auth("me", "q", address).status, address)
	}
	for _, address := range []string{"registry.example.com:5000", "https://registry.example.com:5000", "https://registry.example.com:5000/v2/"} {
		assert.Equal(t, http.StatusOK, auth("me", "q", address).status, address)
		assert.Equal(t, "login attempt to https://registry.example.com:5000/v2/ failed with status: 401 Unauthorized", auth("hubber", "p", address).message())
	}
	assert.Equal(t, "login attempt to http://registry.example.com/v2/ failed with status: 401 Unauthorized", auth("me", "q", "http://registry.example.com").message())
}

func TestTemplatesAreFilledInOnTheNode(t *testing.T) {
	c := newManager(t, Release285)
	c.running(`{"Name":"web","TaskTemplate":{"ContainerSpec":{"Image":"web:1","Hostname":"{{.Service.Name}}-{{.Task.Slot}}","Env":["WHERE={{.Node.Hostname}}"],` +
		`"Mounts":[{"Type":"volume","Source":"data-{{.Task.Slot}}","Target":"/data"}]}}}`)
	container := get[[]struct{ ID string }](c, "/containers/json")[0].ID
	type inspected struct {
		Config struct {
			Hostname string
			Env      []string
		}
	}
	config := get[inspected](c, "/containers/"+container+"/json").Config
	assert.Equal(t, "web-1", config.Hostname)
	assert.Equal(t, []string{"WHERE=node-1"}, config.Env)
	assert.Equal(t, "data-1", get[swarm.VolumeList](c, "/volumes").Volumes[0].Name)
	assert.Equal(t, http.StatusConflict, c.do(http.MethodDelete, "/volumes/data-1", "").status)
}

func TestDiskUsageKnowsVolumes(t *testing.T) {
	c := newManager(t, Release285)
	require.Equal(t, http.StatusCreated, c.do(http.MethodPost, "/volumes/create", `{"Name":"spare"}`).status)
	c.running(`{"Name":"web","TaskTemplate":{"ContainerSpec":{"Image":"web:1","Mounts":[{"Type":"volume","Source":"data","Target":"/data"}]}}}`)
	usage := get[struct {
		Volumes []struct {
			Name, Mountpoint string
			UsageData        struct{ Size, RefCount int64 }
		}
	}](c, "/system/df")
	require.Len(t, usage.Volumes, 2)
	for i, name := range []string{"data", "spare"} {
		assert.Equal(t, name, usage.Volumes[i].Name)
		assert.Equal(t, "/var/lib/docker/volumes/"+name+"/_data", usage.Volumes[i].Mountpoint)
		assert.Equal(t, int64(1-i), usage.Volumes[i].UsageData.RefCount)
	}
}

func TestDiskUsageIsSummedUp(t *testing.T) {
	c := newManager(t, ReleaseNewest)
	require.Equal(t, http.StatusCreated, c.do(http.MethodPost, "/volumes/create", `{"Name":"spare"}`).status)
	c.running(`{"Name":"web","TaskTemplate":{"ContainerSpec":{"Image":"web:1","Mounts":[{"Type":"volume","Source":"data","Target":"/data"}]}}}`)
	want := map[string]swarm.DiskUsageSummary{
		"Images": {Count: 1, InUse: 1}, "Containers": {Count: 1, InUse: 1}, "Volumes": {Count: 2, InUse: 1}, "BuildCache": {},
	}
	for _, query := range []string{"", "?verbose=1"} {
		usage := get[swarm.DiskUsage](c, "/system/df"+query)
		assert.Equal(t, want, map[string]swarm.DiskUsageSummary{
			"Images": usage.Images, "Containers": usage.Containers, "Volumes": usage.Volumes, "BuildCache": usage.BuildCache}, query)
	}
	verbose := get[struct {
		VolumeUsage struct{ Items []struct{ Name string } }
	}](c, "/system/df?verbose=1&type=volume")
	assert.Equal(t, []struct{ Name string }{{"data"}, {"spare"}}, verbose.VolumeUsage.Items)
}

func TestNodesTellWhatChangesOnThemAlone(t *testing.T) {
	c := newManager(t, Release285)
	var told []string
	c.daemon.world.OnChange(func(change Change) {
		if change.Node != "" {
			assert.Equal(t, "node-1", change.Node)
			assert.Zero(t, change.Version)
			assert.NotEmpty(t, change.ID)
			told = append(told, change.Kind+" "+change.Action+" "+change.Name)
		}
	})
	c.do(http.MethodPost, "/volumes/create", `{"Name":"data"}`)
	c.do(http.MethodPost, "/volumes/create", `{"Name":"data"}`)
	c.do(http.MethodDelete, "/volumes/data", "")
	c.do(http.MethodPost, "/networks/create", `{"Name":"ours","Driver":"bridge"}`)
	c.do(http.MethodDelete, "/networks/ours", "")
	c.pull("web:1")
	c.pull("web:1")
	assert.Equal(t, []string{
		"volume create data", "volume remove data", "network create ours", "network remove ours", "image create web:1",
	}, told)
	c.clock.now = c.clock.now.Add(time.Second)
	assert.Equal(t, []string{
		`network create {"name":"docker_gwbridge","type":"bridge"}`,
		`volume create {"driver":"local"}`, `volume destroy {"driver":"local"}`,
		`network create {"name":"ours","type":"bridge"}`, `network destroy {"name":"ours","type":"bridge"}`,
		`image pull {"name":"web"}`, `image pull {"name":"web"}`,
	}, c.told("filters="+url.QueryEscape(`{"scope":["local"]}`)))
}

func TestContainersTellOfTheirHealth(t *testing.T) {
	c := newManager(t, Release285)
	require.NoError(t, c.daemon.world.SetImage("sick:1", Image{Run: func(c *Container) int {
		c.SetHealthy(true)
		c.SetHealthy(true)
		c.Sleep(time.Second)
		c.SetHealthy(false)
		c.Wait()
		return 0
	}}))
	c.running(`{"Name":"web","TaskTemplate":{"RestartPolicy":{"Condition":"none"},"ContainerSpec":{"Image":"sick:1","Healthcheck":{"Test":["CMD","true"]}}}}`)
	c.clock.Advance(time.Minute)
	actions := []string{}
	for _, e := range c.past("filters=" + url.QueryEscape(`{"event":["health_status"]}`)) {
		actions = append(actions, e[:len(`{"status":"health_status: healthy"`)])
	}
	assert.Equal(t, []string{`{"status":"health_status: healthy"`, `{"status":"health_status: unhealth`}, actions)
}
