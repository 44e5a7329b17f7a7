package swarmtest_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/swarm-go/swarm"
	"github.com/swarm-go/swarm/swarmtest"
)

// counting writes a line each second.
var counting = swarmtest.Image{Run: func(c *swarmtest.Container) int {
	for i := 1; ; i++ {
		c.Printf("%s %d\n", c.Node().Description.Hostname, i)
		if !c.Sleep(time.Second) {
			return 0
		}
	}
}}

// onTwoNodes runs a service of counting containers, one on each of two nodes.
func onTwoNodes(t *testing.T, f func(t *testing.T, engine *swarmtest.Engine, client *swarm.Client), opts ...swarmtest.Option) {
	synctest.Test(t, func(t *testing.T) {
		engine := swarmtest.Start(t, append(opts, swarmtest.WithNodes(1, 1), swarmtest.WithUnknownImages(counting))...)
		client := engine.Client()
		change, err := client.Services.Create(t.Context(), web(), nil)
		require.NoError(t, err)
		require.NoError(t, client.Services.Wait(t.Context(), change.Rollout, nil))
		f(t, engine, client)
	})
}

func TestLogsOfANodeThatIsDownAreMissing(t *testing.T) {
	onTwoNodes(t, func(t *testing.T, engine *swarmtest.Engine, client *swarm.Client) {
		engine.Nodes()[1].Stop()
		time.Sleep(time.Minute)
		logs, err := client.Services.Logs(t.Context(), "web", nil)
		require.NoError(t, err)
		var got bytes.Buffer
		err = logs.Copy(&got, &got)
		assert.ErrorIs(t, err, swarm.ErrLogsIncomplete)
		assert.ErrorContains(t, err, "node "+engine.Nodes()[1].ID()+" is not available")
		assert.Contains(t, got.String(), "node-1 1\n")
		assert.NotContains(t, got.String(), "node-2")
	})
}

func TestOldEnginesWaitForANodeThatIsDown(t *testing.T) {
	onTwoNodes(t, func(t *testing.T, engine *swarmtest.Engine, client *swarm.Client) {
		engine.Nodes()[1].Stop()
		time.Sleep(time.Minute)
		logs, err := client.Services.Logs(t.Context(), "web", nil)
		require.NoError(t, err)
		ended := make(chan error, 1)
		go func() { ended <- logs.Copy(io.Discard, io.Discard) }()
		time.Sleep(time.Minute)
		assert.Empty(t, ended)
		require.NoError(t, logs.Close())
		assert.ErrorIs(t, <-ended, swarm.ErrClosed)
	}, swarmtest.WithRelease(swarmtest.Engine2010))
}

func TestFollowedLogsLoseANodeWhoseSessionWasReplaced(t *testing.T) {
	onTwoNodes(t, func(t *testing.T, engine *swarmtest.Engine, client *swarm.Client) {
		logs, err := client.Services.Logs(t.Context(), "web", &swarm.LogOptions{Follow: true, Raw: true, Tail: swarm.TailNone})
		require.NoError(t, err)
		var got bytes.Buffer
		ended := make(chan error, 1)
		go func() { ended <- logs.Copy(&got, &got) }()
		time.Sleep(3500 * time.Millisecond)
		engine.Nodes()[1].ReplaceSession()
		time.Sleep(10 * time.Second)
		require.NoError(t, logs.Close())
		<-ended
		assert.Equal(t, 3, strings.Count(got.String(), "node-2 "))
		assert.Equal(t, 13, strings.Count(got.String(), "node-1 "))
	})
}

// ask sends a GET, and decodes the answer.
func ask[T any](t *testing.T, client *swarm.Client, path string) (answer T) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)
	require.NoError(t, err)
	response, err := client.Do(request)
	require.NoError(t, err)
	defer response.Body.Close()
	require.NoError(t, json.NewDecoder(response.Body).Decode(&answer))
	return answer
}

func TestContainersOfTasksAreThere(t *testing.T) {
	onTwoNodes(t, func(t *testing.T, _ *swarmtest.Engine, client *swarm.Client) {
		type container struct {
			ID     string `json:"Id"`
			Names  []string
			Labels map[string]string
			State  string
		}
		containers := ask[[]container](t, client, "/containers/json")
		require.Len(t, containers, 1, "the other is on the other node")
		task, err := client.Tasks.Inspect(t.Context(), containers[0].Labels["com.docker.swarm.task.id"])
		require.NoError(t, err)
		assert.Equal(t, task.Status.ContainerStatus.ContainerID, containers[0].ID)
		assert.Equal(t, "running", containers[0].State)

		one := ask[struct {
			Name  string
			State struct{ Pid int }
		}](t, client, "/containers/"+containers[0].ID[:12]+"/json")
		assert.Equal(t, containers[0].Names[0], one.Name)
		assert.Equal(t, task.Status.ContainerStatus.PID, one.State.Pid)

		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "/containers"+one.Name+"/logs?stdout=1&tail=1", nil)
		require.NoError(t, err)
		response, err := client.Do(request)
		require.NoError(t, err)
		defer response.Body.Close()
		var got bytes.Buffer
		require.NoError(t, swarm.Demux(&got, nil, response.Body))
		assert.Regexp(t, `^node-1 \d+\n$`, got.String())

		info, err := client.System.Info(t.Context())
		require.NoError(t, err)
		assert.Equal(t, 1, info.ContainersRunning)
	})
}

func TestRegistriesAskForCredentials(t *testing.T) {
	const digest = "sha256:1111111111111111111111111111111111111111111111111111111111111111"
	engine := swarmtest.Start(t, swarmtest.WithoutUnknownImages())
	engine.Image("registry.example.com/web:1", swarmtest.Image{Digest: digest, Username: "me", Password: "secret"})
	client := engine.Client()
	inspect := func(image, password string) (*swarm.ImageDistribution, error) {
		opts := &swarm.DistributionInspectOptions{}
		if password != "" {
			opts.Auth = &swarm.RegistryAuth{Username: "me", Password: password, ServerAddress: "registry.example.com"}
		}
		return client.System.InspectDistribution(t.Context(), image, opts)
	}
	got, err := inspect("registry.example.com/web:1", "secret")
	require.NoError(t, err)
	assert.Equal(t, digest, got.Descriptor.Digest)
	_, err = inspect("registry.example.com/web:1", "wrong")
	assert.ErrorIs(t, err, swarm.ErrUnauthorized)
	_, err = inspect("registry.example.com/web:1", "")
	assert.ErrorIs(t, err, swarm.ErrUnauthorized)
	assert.ErrorContains(t, err, "no basic auth credentials")
	_, err = inspect("registry.example.com/other:1", "secret")
	assert.ErrorIs(t, err, swarm.ErrNotFound)
	_, err = inspect("elsewhere.example.com/web:1", "")
	assert.ErrorContains(t, err, "no such host")
}

func TestImagesArePulled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engine := swarmtest.Start(t, swarmtest.WithoutUnknownImages())
		engine.Image("web:1", swarmtest.Image{PullTime: time.Minute})
		client, begun := engine.Client(), time.Now()
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "/images/create?fromImage=web&tag=1", nil)
		require.NoError(t, err)
		response, err := client.Do(request)
		require.NoError(t, err)
		progress, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		assert.Contains(t, string(progress), "Status: Downloaded newer image for web:1")
		assert.Equal(t, time.Minute, time.Since(begun))
		assert.Len(t, ask[[]any](t, client, "/images/json"), 1)
	})
}

func TestWhatTheEmbeddedEngineLacksIsNamed(t *testing.T) {
	client := swarmtest.Start(t).Client()
	for path, want := range map[string]string{
		"/containers/x/stats": "the embedded engine does not answer GET /containers/{id}/stats",
		"/nothing":            "page not found",
	} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)
		require.NoError(t, err)
		_, err = client.Do(request)
		assert.ErrorContains(t, err, want)
	}
}

func TestAManualClockStandsStill(t *testing.T) {
	start := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	engine := swarmtest.Start(t, swarmtest.WithManualClock(start), swarmtest.WithUnknownImages(counting))
	client := engine.Client()
	service, err := client.Services.Create(t.Context(), web(), nil)
	require.NoError(t, err)
	running := func() (running int) {
		tasks, err := client.Tasks.List(t.Context(), nil)
		require.NoError(t, err)
		for _, task := range tasks {
			if task.Status.State == swarm.TaskRunning {
				running++
			}
		}
		return running
	}
	assert.Zero(t, running())
	engine.Clock().Advance(10 * time.Second)
	assert.Equal(t, 2, running())
	assert.Equal(t, start.Add(10*time.Second), engine.Clock().Now())
	logs, err := client.Services.Logs(t.Context(), service.Rollout.ServiceID, &swarm.LogOptions{Tail: 1, Timestamps: true})
	require.NoError(t, err)
	var got bytes.Buffer
	require.NoError(t, logs.Copy(&got, nil))
	assert.Equal(t, 2, strings.Count(got.String(), "2030-01-01T00:00:09."))
}

func TestAPIVersionsBetweenReleasesAreThere(t *testing.T) {
	engine := swarmtest.Start(t, swarmtest.WithAPIVersion("1.47"))
	version, err := engine.Client().System.Version(t.Context())
	require.NoError(t, err)
	assert.Equal(t, "1.47", version.APIVersion)
	assert.Equal(t, "26.1.5+dfsg1", version.Version)
	for _, wrong := range []string{"", "1.40", "1.57", "2.0", "47", "1.x"} {
		_, err := swarmtest.NewEngine(swarmtest.WithAPIVersion(wrong))
		assert.Error(t, err, wrong)
	}
}
