package swarmtest_test

import (
	"bytes"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/swarm-go/swarm"
	"github.com/swarm-go/swarm/swarmtest"
)

// web is a service of two replicas.
func web() swarm.ServiceSpec {
	return swarm.ServiceSpec{
		Name:         "web",
		Mode:         swarm.Replicated(2),
		TaskTemplate: swarm.TaskSpec{ContainerSpec: swarm.ContainerSpec{Image: "web:1"}},
	}
}

func TestServicesRunOnAllReleases(t *testing.T) {
	for _, release := range []swarmtest.Release{swarmtest.Engine2010, swarmtest.Engine261, swarmtest.Engine285, swarmtest.Newest} {
		synctest.Test(t, func(t *testing.T) {
			engine := swarmtest.Start(t, swarmtest.WithRelease(release), swarmtest.WithNodes(1, 2))
			client := engine.Client()
			change, err := client.Services.Create(t.Context(), web(), nil)
			require.NoError(t, err)
			require.NoError(t, client.Services.Wait(t.Context(), change.Rollout, nil))
			change, err = client.Services.SetImage(t.Context(), "web", "web:2", nil)
			require.NoError(t, err)
			require.NoError(t, client.Services.Wait(t.Context(), change.Rollout, nil))
			require.NoError(t, client.Services.Remove(t.Context(), "web"))
		})
	}
}

func TestAnImageThatFailsMakesTheRolloutFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engine := swarmtest.Start(t)
		engine.Image("web:2", swarmtest.Image{Run: func(*swarmtest.Container) int { return 3 }})
		client := engine.Client()
		change, err := client.Services.Create(t.Context(), web(), nil)
		require.NoError(t, err)
		require.NoError(t, client.Services.Wait(t.Context(), change.Rollout, nil))
		change, err = client.Services.SetImage(t.Context(), "web", "web:2", nil)
		require.NoError(t, err)
		assert.ErrorContains(t, client.Services.Wait(t.Context(), change.Rollout, nil), "non-zero exit (3)")
	})
}

func TestLogsAreFollowedUntilTheReaderGoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engine := swarmtest.Start(t)
		engine.Image("web:1", swarmtest.Image{Run: func(c *swarmtest.Container) int {
			for i := 1; c.Sleep(time.Second); i++ {
				c.Printf("line %d\n", i)
			}
			fmt.Fprintln(c.Stderr(), "bye")
			return 0
		}})
		client := engine.Client()
		_, err := client.Services.Create(t.Context(), web(), nil)
		require.NoError(t, err)
		logs, err := client.Services.Logs(t.Context(), "web", &swarm.LogOptions{Follow: true, Raw: true})
		require.NoError(t, err)
		var got bytes.Buffer
		ended := make(chan error, 1)
		go func() { ended <- logs.Copy(&got, &got) }()
		time.Sleep(2500 * time.Millisecond)
		require.NoError(t, client.Services.Remove(t.Context(), "web"))
		time.Sleep(time.Hour) // engines never end the stream
		require.NoError(t, logs.Close())
		require.ErrorIs(t, <-ended, swarm.ErrClosed)
		assert.Equal(t, 2, bytes.Count(got.Bytes(), []byte("line 1\n")))
		assert.Equal(t, 2, bytes.Count(got.Bytes(), []byte("bye\n")))
	})
}

func TestEventsAreWatchedUntilTheirTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engine := swarmtest.Start(t)
		client := engine.Client()
		_, err := client.Services.Create(t.Context(), web(), nil)
		require.NoError(t, err)
		time.Sleep(time.Second)
		actions := map[swarm.EventType][]swarm.EventAction{}
		for event, err := range client.Events.Watch(t.Context(), &swarm.EventOptions{Since: time.Now().Add(-time.Minute), Until: time.Now().Add(time.Minute)}) {
			require.NoError(t, err)
			actions[event.Type] = append(actions[event.Type], event.Action)
		}
		assert.Equal(t, swarm.ActionCreate, actions[swarm.EventService][0])
		assert.Equal(t, []swarm.EventAction{"create", "create", "start", "start"}, actions[swarm.EventContainer])
		assert.Equal(t, []swarm.EventAction{"pull"}, actions[swarm.EventImage])
	})
}

func TestAHundredEnginesWorkAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var clients []*swarm.Client
		for i := range 100 {
			clients = append(clients, swarmtest.Start(t, swarmtest.WithSeed(uint64(i))).Client())
		}
		for _, client := range clients {
			_, err := client.Services.Create(t.Context(), web(), nil)
			require.NoError(t, err)
		}
		time.Sleep(time.Minute)
		ids := map[string]bool{}
		for _, client := range clients {
			tasks, err := client.Tasks.List(t.Context(), nil)
			require.NoError(t, err)
			require.Len(t, tasks, 2)
			for _, task := range tasks {
				assert.Equal(t, swarm.TaskRunning, task.Status.State)
				ids[task.ID] = true
			}
		}
		assert.Len(t, ids, 200)
	})
}

func TestContainersReadTheirSecrets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engine := swarmtest.Start(t)
		var read []byte
		engine.Image("web:1", swarmtest.Image{Run: func(c *swarmtest.Container) int {
			data, err := c.ReadFile("/run/secrets/password")
			if err != nil {
				return 1
			}
			read = data
			c.Wait()
			return 0
		}})
		client := engine.Client()
		id, err := client.Secrets.Create(t.Context(), swarm.SecretSpec{Name: "password", Data: []byte("hush")})
		require.NoError(t, err)
		spec := web()
		spec.Mode = swarm.Replicated(1)
		spec.TaskTemplate.ContainerSpec.Secrets = []swarm.SecretReference{swarm.MountSecret(id, "password")}
		change, err := client.Services.Create(t.Context(), spec, nil)
		require.NoError(t, err)
		require.NoError(t, client.Services.Wait(t.Context(), change.Rollout, nil))
		assert.Equal(t, "hush", string(read))
	})
}
