package engine

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/swarm-go/swarm"
)

// ended is how the only task of a service has ended.
func (s *scene) ended(id string) *swarm.Task {
	s.t.Helper()
	s.until("the end of a task", func() bool { return len(s.all(id)) > 0 && stopped(s.all(id)[0]) })
	return s.all(id)[0]
}

func TestContainerKnowsWhoItIs(t *testing.T) {
	s := newScene(t, 1)
	var saw []string
	s.image("who", func(c *Container) int {
		task, service, node := c.Task(), c.Service(), c.Node()
		saw = append(c.Args(), c.Env()...)
		saw = append(saw, service.Spec.Name, fmt.Sprint(task.Slot), node.Description.Hostname)
		c.Printf("out %d\n", 1)
		fmt.Fprint(c.Stderr(), "err\n")
		c.Printf("no end")
		return 0
	})
	spec := replicated("who", 1)
	spec.TaskTemplate.RestartPolicy.Condition = swarm.RestartNone
	spec.TaskTemplate.ContainerSpec.Command = []string{"/bin/who"}
	spec.TaskTemplate.ContainerSpec.Args = []string{"-a"}
	spec.TaskTemplate.ContainerSpec.Env = []string{"A=1"}
	task := s.ended(s.create(spec))
	assert.Equal(t, []string{"/bin/who", "-a", "A=1", "web", "1", "node-1"}, saw)
	assert.Equal(t, swarm.TaskComplete, task.Status.State)
	var lines []string
	s.world.Do(func() {
		for _, record := range s.daemons[0].logs[task.ID].records {
			lines = append(lines, fmt.Sprintf("%d %s", record.stream, record.text))
		}
	})
	assert.Equal(t, []string{"1 out 1\n", "2 err\n", "1 no end"}, lines)
}

func TestContainerReadsWhatItIsGiven(t *testing.T) {
	s := newScene(t, 1)
	s.world.Do(func() {
		s.cluster.secretData["s1"] = []byte("secret")
		s.cluster.commit(func(t *tx) {
			put(t, s.cluster.configs, &swarm.Config{ID: "c1", Spec: swarm.ConfigSpec{Name: "conf", Data: []byte("config")}})
		})
	})
	var saw []string
	s.image("reads", func(c *Container) int {
		saw = c.Env()
		for _, name := range []string{"/run/secrets/password", "/etc/app.conf", "/nothing"} {
			data, err := c.ReadFile(name)
			saw = append(saw, fmt.Sprintf("%s %v", data, err))
		}
		return 0
	})
	spec := replicated("reads", 1)
	spec.TaskTemplate.ContainerSpec.Env = []string{"ME={{.Service.Name}}.{{.Task.Slot}}@{{.Node.Hostname}}", `JOINED={{join "-" .Service.Name .Task.Slot}}`}
	spec.TaskTemplate.ContainerSpec.Secrets = []swarm.SecretReference{{File: swarm.FileTarget{Name: "password"}, SecretID: "s1"}}
	spec.TaskTemplate.ContainerSpec.Configs = []swarm.ConfigReference{{File: &swarm.FileTarget{Name: "/etc/app.conf"}, ConfigID: "c1"}}
	s.ended(s.create(spec))
	assert.Equal(t, []string{
		"ME=web.1@node-1", "JOINED=web-1", "secret <nil>", "config <nil>", " open /nothing: file does not exist",
	}, saw)
}

func TestContainerIsAskedToStop(t *testing.T) {
	for name, run := range map[string]func(*Container) int{
		"wait":    func(c *Container) int { c.Wait(); return 7 },
		"done":    func(c *Container) int { <-c.Done(); return 7 },
		"context": func(c *Container) int { <-c.Context().Done(); return 7 },
		"child context": func(c *Container) int {
			ctx, cancel := context.WithCancel(c.Context())
			defer cancel()
			<-ctx.Done()
			return 7
		},
		"sleep": func(c *Container) int {
			for c.Sleep(time.Hour) {
			}
			return 7
		},
		"done and more": func(c *Container) int {
			<-c.Done()
			c.Printf("bye\n")
			c.Sleep(time.Second)
			return 7
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, 1)
			s.image("stops", run)
			id := s.create(replicated("stops", 1))
			s.untilRunning(id, 1)
			task := s.running(id)[0]
			s.change(id, func(spec *swarm.ServiceSpec) { spec.TaskTemplate.ContainerSpec.Image = "other" })
			s.untilStatus(id, swarm.UpdateCompleted)
			s.world.Do(func() { task = s.cluster.tasks.get(task.ID) })
			assert.Equal(t, swarm.TaskShutdown, task.Status.State)
			assert.Equal(t, 7, task.Status.ContainerStatus.ExitCode)
			assert.Zero(t, task.Status.ContainerStatus.PID)
		})
	}
}

func TestContainerThatDoesNotStopIsKilled(t *testing.T) {
	s := newScene(t, 1)
	var left atomic.Bool
	s.image("stubborn", func(c *Container) int {
		defer left.Store(true)
		for {
			c.Sleep(time.Second)
		}
	})
	spec := replicated("stubborn", 1)
	spec.TaskTemplate.ContainerSpec.StopGracePeriod = new(3 * time.Second)
	id := s.create(spec)
	s.untilRunning(id, 1)
	before := s.clock.Now()
	s.change(id, func(spec *swarm.ServiceSpec) { spec.TaskTemplate.ContainerSpec.Image = "other" })
	task := s.ended(id)
	assert.Equal(t, swarm.TaskShutdown, task.Status.State)
	assert.Equal(t, 137, task.Status.ContainerStatus.ExitCode)
	assert.InDelta(t, 3, s.clock.Now().Sub(before).Seconds(), 0.1)
	s.run(2 * time.Second)
	assert.True(t, left.Load())
}

func TestTaskStartsUntilItsContainerIsHealthy(t *testing.T) {
	s := newScene(t, 1)
	s.image("slow", func(c *Container) int {
		c.Sleep(5 * time.Second)
		c.SetHealthy(true)
		c.Sleep(5 * time.Second)
		c.SetHealthy(false)
		c.Wait()
		return 137
	})
	spec := replicated("slow", 1)
	spec.TaskTemplate.ContainerSpec.Healthcheck = &swarm.Healthcheck{Test: []string{"CMD", "true"}}
	id := s.create(spec)
	s.run(4 * time.Second)
	assert.Equal(t, swarm.TaskStarting, s.all(id)[0].Status.State)
	s.run(2 * time.Second)
	assert.Equal(t, swarm.TaskRunning, s.all(id)[0].Status.State)
	task := s.ended(id)
	assert.Equal(t, swarm.TaskFailed, task.Status.State)
	assert.Equal(t, "task: non-zero exit (137): dockerexec: unhealthy container", task.Status.Err)
}

func TestContainerThatNeverGetsHealthyIsGivenUp(t *testing.T) {
	s := newScene(t, 1)
	require.NoError(t, s.world.SetImage("never", Image{HealthyAfter: -1, Run: func(c *Container) int { c.Wait(); return 2 }}))
	spec := replicated("never", 1)
	spec.TaskTemplate.ContainerSpec.Healthcheck = &swarm.Healthcheck{Test: []string{"CMD", "x"}, Interval: time.Second, Retries: 2, StartPeriod: 3 * time.Second}
	before := s.clock.Now()
	task := s.ended(s.create(spec))
	assert.Equal(t, "task: non-zero exit (2): dockerexec: unhealthy container", task.Status.Err)
	assert.InDelta(t, 5, s.clock.Now().Sub(before).Seconds(), 0.1)
}

func TestImageWithoutAFunctionIsHealthyInTime(t *testing.T) {
	s := newScene(t, 1)
	require.NoError(t, s.world.SetImage("ok", Image{HealthyAfter: 2 * time.Second, StartTime: time.Second}))
	spec := replicated("ok", 1)
	spec.TaskTemplate.ContainerSpec.Healthcheck = &swarm.Healthcheck{Test: []string{"CMD", "x"}}
	before := s.clock.Now()
	s.untilRunning(s.create(spec), 1)
	assert.InDelta(t, 3, s.clock.Now().Sub(before).Seconds(), 0.1)
}

func TestImagesThatDoNotStart(t *testing.T) {
	s := newScene(t, 1)
	auth := "eyJ1c2VybmFtZSI6InUiLCJwYXNzd29yZCI6InAifQ=="
	for name, row := range map[string]struct {
		image Image
		auth  string
		state swarm.TaskState
		why   string
	}{
		"pull":     {Image{PullError: "toomanyrequests"}, "", swarm.TaskRejected, "No such image: pull:1"},
		"platform": {Image{Platforms: []swarm.Platform{{OS: "windows"}}}, "", swarm.TaskRejected, "No such image: platform:1"},
		"private":  {Image{Username: "u", Password: "p"}, "", swarm.TaskRejected, "No such image: private:1"},
		"start":    {Image{StartError: "exec: not found"}, "", swarm.TaskFailed, "starting container failed: exec: not found"},
		"allowed":  {Image{Username: "u", Password: "p"}, auth, swarm.TaskRunning, ""},
		"made":     {Image{Platforms: []swarm.Platform{{OS: "linux", Architecture: "amd64"}}}, "", swarm.TaskRunning, ""},
	} {
		require.NoError(t, s.world.SetImage(name+":1", row.image))
		spec := replicated(name+":1", 1)
		spec.Name = name
		spec.TaskTemplate.RestartPolicy.Condition = swarm.RestartNone
		id := s.create(spec)
		s.world.Do(func() { s.cluster.registryAuth[id] = [2]string{row.auth} })
		s.run(50 * time.Millisecond)
		task := s.all(id)[0]
		assert.Equal(t, row.state, task.Status.State, name)
		assert.Equal(t, row.why, task.Status.Err, name)
	}
}

func TestUnknownImagesCanBeRefused(t *testing.T) {
	s := newScene(t, 1)
	s.world.RefuseUnknownImages = true
	task := s.ended(s.create(replicated("nosuch/image:1", 1)))
	assert.Equal(t, "No such image: nosuch/image:1", task.Status.Err)
	assert.Equal(t, "preparing", task.Status.Message)
}

func TestImageIsPulledOncePerNode(t *testing.T) {
	s := newScene(t, 1)
	require.NoError(t, s.world.SetImage("big", Image{PullTime: 10 * time.Second}))
	id := s.create(replicated("big", 1))
	s.run(9 * time.Second)
	assert.Equal(t, swarm.TaskPreparing, s.all(id)[0].Status.State)
	s.run(2 * time.Second)
	assert.Len(t, s.running(id), 1)
	s.change(id, func(spec *swarm.ServiceSpec) { spec.Mode = swarm.Replicated(2) })
	s.run(time.Second)
	assert.Len(t, s.running(id), 2)
}

func TestContainerMayWaitForOthers(t *testing.T) {
	s := newScene(t, 1)
	goOn := make(chan struct{})
	s.image("patient", func(c *Container) int {
		c.Outside(func() { <-goOn })
		return 4
	})
	id := s.create(replicated("patient", 1))
	s.untilRunning(id, 1)
	close(goOn)
	s.until("its end", func() bool { return stopped(s.all(id)[0]) })
	assert.Equal(t, 4, s.all(id)[0].Status.ContainerStatus.ExitCode)
}

func TestClosedWorldLeavesNoContainers(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	s := newScene(t, 1)
	s.image("a", func(c *Container) int { c.Wait(); return 0 })
	s.image("b", func(c *Container) int {
		for {
			c.Sleep(time.Hour)
		}
	})
	s.image("c", func(c *Container) int { <-c.Done(); return 0 })
	for _, image := range []string{"a", "b", "c"} {
		spec := replicated(image, 2)
		spec.Name = image
		s.untilRunning(s.create(spec), 2)
	}
	s.close()
}

func TestContainersLiveBelowSynctest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		world := NewWorld(RealClock{}, 1)
		ticks := 0
		require.NoError(t, world.SetImage("ticks", Image{Run: func(c *Container) int {
			for c.Sleep(time.Second) {
				ticks++
			}
			return 0
		}}))
		d := world.AddDaemon(DaemonConfig{})
		_, err := d.InitSwarm(swarm.InitOptions{})
		require.NoError(t, err)
		s := &scene{t: t, world: world, cluster: d.cluster, daemons: []*Daemon{d}}
		defer s.close()
		id := s.create(replicated("ticks", 1))
		time.Sleep(10 * time.Second)
		synctest.Wait()
		assert.Equal(t, 9, ticks)
		s.remove(id)
		time.Sleep(time.Second)
		assert.Empty(t, s.all(id))
	})
}

func TestSameRequestsGiveTheSameResults(t *testing.T) {
	play := func() (story string, tasks []*swarm.Task) {
		s := newScene(t, 3)
		s.image("chatty", func(c *Container) int {
			for range 12 {
				c.Printf("%s\n", c.Task().ID)
				if !c.Sleep(time.Duration(1+c.Task().Slot%3) * time.Second) {
					break
				}
			}
			return 1
		})
		spec := replicated("chatty", 12)
		spec.UpdateConfig = rolling(2, swarm.RollbackOnFailure, swarm.StartFirst)
		id := s.create(spec)
		s.run(5 * time.Second)
		s.image("broken", func(c *Container) int { c.Sleep(700 * time.Millisecond); return 1 })
		s.change(id, setImage("broken"))
		s.run(10 * time.Second)
		s.world.StopNode(s.daemons[2])
		s.run(30 * time.Second)
		return s.story(), s.all(id)
	}
	story, tasks := play()
	again, tasksAgain := play()
	assert.Equal(t, story, again)
	assert.Equal(t, tasks, tasksAgain)
	assert.Contains(t, story, "failed")
}
