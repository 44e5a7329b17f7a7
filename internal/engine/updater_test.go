package engine

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/swarm-go/swarm"
)

// rolling is how fast the services of these tests are updated.
func rolling(parallelism uint64, action swarm.FailureAction, order swarm.UpdateOrder) swarm.UpdateConfig {
	return swarm.UpdateConfig{Parallelism: new(parallelism), FailureAction: action, Monitor: time.Second, Order: order}
}

func setImage(image string) func(*swarm.ServiceSpec) {
	return func(spec *swarm.ServiceSpec) { spec.TaskTemplate.ContainerSpec.Image = image }
}

// untilStatus lets time pass until the update of a service is in a state.
func (s *scene) untilStatus(id string, state swarm.UpdateState) {
	s.t.Helper()
	s.until("update "+string(state), func() bool {
		status := s.service(id).UpdateStatus
		return status != nil && status.State == state
	})
}

func TestUpdateReplacesOneTaskAfterTheOther(t *testing.T) {
	s := newScene(t, 1)
	spec := replicated("web:1", 3)
	spec.UpdateConfig = rolling(1, swarm.PauseOnFailure, swarm.StopFirst)
	id := s.create(spec)
	s.untilRunning(id, 3)
	s.change(id, setImage("web:2"))
	fewest, most := 3, 3
	s.until("the end of the update", func() bool {
		running := len(s.running(id))
		fewest, most = min(fewest, running), max(most, running)
		status := s.service(id).UpdateStatus
		return status != nil && status.State == swarm.UpdateCompleted
	})
	assert.Equal(t, []string{"nil", "updating: update in progress", "completed: update completed"}, s.updates[id])
	assert.Equal(t, []string{"web:2", "web:2", "web:2"}, images(s.running(id)))
	assert.Equal(t, 2, fewest)
	assert.Equal(t, 3, most)
	status := s.service(id).UpdateStatus
	assert.GreaterOrEqual(t, status.CompletedAt.Sub(status.StartedAt), time.Second)
	for _, task := range s.all(id) {
		if task.Spec.ContainerSpec.Image == "web:1" {
			assert.Equal(t, swarm.TaskShutdown, task.Status.State)
			assert.Equal(t, "shutdown", task.Status.Message)
		}
	}
}

func TestUpdateStartsTheNewTaskFirst(t *testing.T) {
	s := newScene(t, 1)
	spec := replicated("web:1", 2)
	spec.UpdateConfig = rolling(1, swarm.PauseOnFailure, swarm.StartFirst)
	id := s.create(spec)
	s.untilRunning(id, 2)
	s.change(id, setImage("web:2"))
	fewest := 2
	s.until("the end of the update", func() bool {
		running := 0
		for _, task := range s.all(id) {
			if task.Status.State == swarm.TaskRunning {
				running++
			}
		}
		fewest = min(fewest, running)
		status := s.service(id).UpdateStatus
		return status != nil && status.State == swarm.UpdateCompleted
	})
	assert.Equal(t, 2, fewest)
	assert.Equal(t, []string{"web:2", "web:2"}, images(s.running(id)))
}

func TestUpdateOfAllAtOnceReplacesAllAtOnce(t *testing.T) {
	s := newScene(t, 1)
	spec := replicated("web:1", 3)
	spec.UpdateConfig = rolling(0, swarm.PauseOnFailure, swarm.StopFirst)
	id := s.create(spec)
	s.untilRunning(id, 3)
	s.change(id, setImage("web:2"))
	s.until("nothing to run", func() bool { return len(s.running(id)) == 0 })
	s.untilStatus(id, swarm.UpdateCompleted)
	assert.Equal(t, []string{"web:2", "web:2", "web:2"}, images(s.running(id)))
}

func TestUpdateWaitsBetweenTasks(t *testing.T) {
	s := newScene(t, 1)
	spec := replicated("web:1", 2)
	spec.UpdateConfig = rolling(1, swarm.PauseOnFailure, swarm.StopFirst)
	spec.UpdateConfig.Delay = 3 * time.Second
	id := s.create(spec)
	s.untilRunning(id, 2)
	s.change(id, setImage("web:2"))
	s.run(2900 * time.Millisecond)
	assert.Equal(t, []string{"web:2", "web:1"}, images(s.running(id)))
	s.run(200 * time.Millisecond)
	assert.Equal(t, []string{"web:2", "web:2"}, images(s.running(id)))
	// The delay is longer than what is watched, so that is prolonged.
	s.run(3 * time.Second)
	assert.Equal(t, swarm.UpdateInProgress, s.service(id).UpdateStatus.State)
	s.untilStatus(id, swarm.UpdateCompleted)
}

func TestUpdateIsPausedWhenATaskFails(t *testing.T) {
	s := newScene(t, 1)
	s.image("broken", exits(1))
	spec := replicated("web:1", 3)
	spec.UpdateConfig = rolling(1, swarm.PauseOnFailure, swarm.StopFirst)
	id := s.create(spec)
	s.untilRunning(id, 3)
	s.change(id, setImage("broken"))
	s.untilStatus(id, swarm.UpdatePaused)
	var failed *swarm.Task
	for _, task := range s.all(id) {
		if task.Status.State == swarm.TaskFailed && failed == nil {
			failed = task
		}
	}
	require.NotNil(t, failed)
	status := s.service(id).UpdateStatus
	assert.Equal(t, "update paused due to failure or early termination of task "+failed.ID, status.Message)
	assert.Zero(t, status.CompletedAt)
	s.run(20 * time.Second)
	assert.Equal(t, swarm.UpdatePaused, s.service(id).UpdateStatus.State)
	assert.Equal(t, []string{"web:1", "web:1"}, images(s.running(id)))

	// A paused update goes on with the next one.
	s.change(id, setImage("web:3"))
	s.untilStatus(id, swarm.UpdateCompleted)
	assert.Equal(t, []string{"web:3", "web:3", "web:3"}, images(s.running(id)))
}

func TestUpdateIsPausedWhenATaskEndsWhileItIsWatched(t *testing.T) {
	s := newScene(t, 1)
	s.image("short", func(c *Container) int { c.Sleep(500 * time.Millisecond); return 0 })
	spec := replicated("web:1", 1)
	spec.UpdateConfig = rolling(1, swarm.PauseOnFailure, swarm.StopFirst)
	id := s.create(spec)
	s.untilRunning(id, 1)
	s.change(id, setImage("short"))
	s.untilStatus(id, swarm.UpdatePaused)
}

func TestUpdateDoesNotMindTasksThatEndLater(t *testing.T) {
	s := newScene(t, 1)
	s.image("short", func(c *Container) int { c.Sleep(1500 * time.Millisecond); return 1 })
	spec := replicated("web:1", 1)
	spec.UpdateConfig = rolling(1, swarm.PauseOnFailure, swarm.StopFirst)
	id := s.create(spec)
	s.untilRunning(id, 1)
	s.change(id, setImage("short"))
	s.untilStatus(id, swarm.UpdateCompleted)
}

func TestUpdateToleratesSomeFailures(t *testing.T) {
	s := newScene(t, 1)
	s.image("broken", func(c *Container) int {
		if c.Task().Slot == 2 {
			return 1
		}
		c.Wait()
		return 0
	})
	spec := replicated("web:1", 4)
	spec.UpdateConfig = rolling(1, swarm.PauseOnFailure, swarm.StopFirst)
	spec.UpdateConfig.MaxFailureRatio = 0.25
	spec.TaskTemplate.RestartPolicy.Condition = swarm.RestartNone
	id := s.create(spec)
	s.untilRunning(id, 4)
	s.change(id, setImage("broken"))
	s.untilStatus(id, swarm.UpdateCompleted)
	assert.Len(t, s.running(id), 3)
}

func TestUpdateGoesOnWhateverFails(t *testing.T) {
	s := newScene(t, 1)
	s.image("broken", exits(1))
	spec := replicated("web:1", 2)
	spec.UpdateConfig = rolling(1, swarm.ContinueOnFailure, swarm.StopFirst)
	id := s.create(spec)
	s.untilRunning(id, 2)
	s.change(id, setImage("broken"))
	s.untilStatus(id, swarm.UpdateCompleted)
	assert.Empty(t, s.running(id))
}

func TestUpdateIsRolledBackWhenATaskFails(t *testing.T) {
	s := newScene(t, 1)
	s.image("broken", exits(3))
	for _, order := range []swarm.UpdateOrder{swarm.StopFirst, swarm.StartFirst} {
		t.Run(string(order), func(t *testing.T) {
			spec := replicated("web:1", 3)
			spec.Name = string(order)
			spec.UpdateConfig = rolling(1, swarm.RollbackOnFailure, order)
			spec.RollbackConfig = rolling(0, swarm.PauseOnFailure, order)
			id := s.create(spec)
			s.untilRunning(id, 3)
			s.change(id, setImage("broken"))
			s.untilStatus(id, swarm.RollbackInProgress)
			started := s.service(id).UpdateStatus
			assert.Contains(t, started.Message, "update rolled back due to failure or early termination of task ")
			s.untilStatus(id, swarm.RollbackCompleted)
			service := s.service(id)
			assert.Equal(t, "rollback completed", service.UpdateStatus.Message)
			assert.Equal(t, started.StartedAt, service.UpdateStatus.StartedAt)
			assert.Nil(t, service.PreviousSpec)
			assert.Equal(t, "web:1", service.Spec.TaskTemplate.ContainerSpec.Image)
			s.untilRunning(id, 3)
			assert.Equal(t, []string{"web:1", "web:1", "web:1"}, images(s.running(id)))
		})
	}
}

func TestRollbackThatFailsIsPaused(t *testing.T) {
	s := newScene(t, 1)
	s.image("broken", exits(1))
	spec := replicated("broken", 1)
	spec.UpdateConfig = rolling(1, swarm.PauseOnFailure, swarm.StopFirst)
	spec.RollbackConfig = rolling(1, swarm.PauseOnFailure, swarm.StopFirst)
	id := s.create(spec)
	s.run(time.Second)
	s.change(id, setImage("web:2"))
	s.untilStatus(id, swarm.UpdateCompleted)
	s.rollBack(id)
	assert.Equal(t, "manually requested rollback", s.service(id).UpdateStatus.Message)
	s.untilStatus(id, swarm.RollbackPaused)
	assert.Contains(t, s.service(id).UpdateStatus.Message, "update paused due to failure or early termination of task ")
}

func TestRollbackCannotBeRolledBack(t *testing.T) {
	s := newScene(t, 1)
	s.image("broken", func(c *Container) int { c.Sleep(100 * time.Millisecond); return 1 })
	spec := replicated("broken", 1)
	spec.UpdateConfig = rolling(1, swarm.PauseOnFailure, swarm.StopFirst)
	spec.RollbackConfig = rolling(1, swarm.RollbackOnFailure, swarm.StopFirst)
	id := s.create(spec)
	s.run(time.Second)
	s.change(id, setImage("web:2"))
	s.untilStatus(id, swarm.UpdateCompleted)
	s.rollBack(id)
	// Engines pause it, and in the next moment think that an update is complete.
	s.untilStatus(id, swarm.UpdateCompleted)
	assert.Equal(t, "update completed", s.service(id).UpdateStatus.Message)
	assert.Equal(t, "broken", s.service(id).Spec.TaskTemplate.ContainerSpec.Image)
}

func TestRollbackByHandTurnsTheSpecsRound(t *testing.T) {
	s := newScene(t, 1)
	spec := replicated("web:1", 2)
	spec.UpdateConfig, spec.RollbackConfig = rolling(1, swarm.PauseOnFailure, swarm.StopFirst), rolling(1, swarm.PauseOnFailure, swarm.StopFirst)
	id := s.create(spec)
	s.untilRunning(id, 2)
	s.change(id, setImage("web:2"))
	s.untilStatus(id, swarm.UpdateCompleted)
	s.rollBack(id)
	s.untilStatus(id, swarm.RollbackCompleted)
	assert.Equal(t, []string{"web:1", "web:1"}, images(s.running(id)))
	assert.Equal(t, "web:2", s.service(id).PreviousSpec.TaskTemplate.ContainerSpec.Image)
}

func TestUpdateTakesTheLaterOneWhenTwoOverlap(t *testing.T) {
	s := newScene(t, 1)
	spec := replicated("web:1", 3)
	spec.UpdateConfig = rolling(1, swarm.PauseOnFailure, swarm.StopFirst)
	id := s.create(spec)
	s.untilRunning(id, 3)
	s.change(id, setImage("web:2"))
	s.run(20 * time.Millisecond)
	s.change(id, setImage("web:3"))
	s.untilStatus(id, swarm.UpdateCompleted)
	s.untilRunning(id, 3)
	assert.Equal(t, []string{"web:3", "web:3", "web:3"}, images(s.running(id)))
}

func TestChangesThatTouchNoTaskHaveNoUpdate(t *testing.T) {
	for name, change := range map[string]func(*swarm.ServiceSpec){
		"nothing":         func(*swarm.ServiceSpec) {},
		"label":           func(spec *swarm.ServiceSpec) { spec.Labels = map[string]string{"a": "b"} },
		"update config":   func(spec *swarm.ServiceSpec) { spec.UpdateConfig.Delay = time.Second },
		"constraint kept": func(spec *swarm.ServiceSpec) { spec.TaskTemplate.Placement = constrained("node.role==manager") },
		"constraint twice": func(spec *swarm.ServiceSpec) {
			spec.TaskTemplate.Placement = constrained("node.role==manager", "node.hostname!=other")
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, 1)
			id := s.create(replicated("web:1", 2))
			s.untilRunning(id, 2)
			before := s.all(id)
			s.change(id, change)
			s.run(10 * time.Second)
			assert.Equal(t, before, s.all(id))
			assert.Equal(t, []string{"nil"}, s.updates[id])
		})
	}
}

func constrained(constraints ...string) *swarm.Placement {
	return &swarm.Placement{Constraints: constraints}
}

func TestChangesThatTouchTasksReplaceThem(t *testing.T) {
	for name, change := range map[string]func(*swarm.ServiceSpec){
		"force":            func(spec *swarm.ServiceSpec) { spec.TaskTemplate.ForceUpdate++ },
		"order of env":     func(spec *swarm.ServiceSpec) { spec.TaskTemplate.ContainerSpec.Env = []string{"B=2", "A=1"} },
		"empty object":     func(spec *swarm.ServiceSpec) { spec.TaskTemplate.Resources = &swarm.ResourceRequirements{} },
		"endpoint":         func(spec *swarm.ServiceSpec) { spec.EndpointSpec.Mode = swarm.EndpointDNSRR },
		"other constraint": func(spec *swarm.ServiceSpec) { spec.TaskTemplate.Placement = constrained("node.role==worker") },
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, 2)
			spec := replicated("web:1", 1)
			spec.TaskTemplate.ContainerSpec.Env = []string{"A=1", "B=2"}
			spec.EndpointSpec.Mode = swarm.EndpointVIP
			spec.TaskTemplate.Placement = constrained("node.role==manager")
			id := s.create(spec)
			s.untilRunning(id, 1)
			before := s.running(id)[0].ID
			s.change(id, change)
			s.untilStatus(id, swarm.UpdateCompleted)
			s.untilRunning(id, 1)
			assert.NotEqual(t, before, s.running(id)[0].ID)
		})
	}
}

func TestScalingKeepsTheTasksThereAre(t *testing.T) {
	s := newScene(t, 2)
	id := s.create(replicated("web:1", 2))
	s.untilRunning(id, 2)
	before := s.running(id)
	scale := func(n uint64) {
		s.change(id, func(spec *swarm.ServiceSpec) { spec.Mode = swarm.Replicated(n) })
		s.untilRunning(id, int(n))
		assert.Nil(t, s.service(id).UpdateStatus)
	}
	scale(5)
	assert.Equal(t, before, s.running(id)[:2])
	scale(2)
	assert.Equal(t, before, s.running(id))
	scale(0)
	s.until("all gone", func() bool { return len(s.all(id)) == 0 })
	scale(1)
	assert.Equal(t, 1, s.running(id)[0].Slot)
}

func TestScalingWithAnotherImageDoesBoth(t *testing.T) {
	s := newScene(t, 1)
	id := s.create(replicated("web:1", 2))
	s.untilRunning(id, 2)
	s.change(id, func(spec *swarm.ServiceSpec) {
		spec.Mode = swarm.Replicated(4)
		setImage("web:2")(spec)
	})
	s.untilStatus(id, swarm.UpdateCompleted)
	assert.Equal(t, []string{"web:2", "web:2", "web:2", "web:2"}, images(s.running(id)))
}

func TestUpdateOfAGlobalServiceGoesFromNodeToNode(t *testing.T) {
	s := newScene(t, 3)
	spec := replicated("web:1", 0)
	spec.Mode = swarm.Global()
	spec.UpdateConfig = rolling(1, swarm.PauseOnFailure, swarm.StopFirst)
	id := s.create(spec)
	s.untilRunning(id, 3)
	s.change(id, setImage("web:2"))
	s.untilStatus(id, swarm.UpdateCompleted)
	s.untilRunning(id, 3)
	nodes := map[string]bool{}
	for _, task := range s.running(id) {
		assert.Equal(t, "web:2", task.Spec.ContainerSpec.Image)
		assert.Zero(t, task.Slot)
		nodes[task.NodeID] = true
	}
	assert.Len(t, nodes, 3)
}
