package engine

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/swarm-go/swarm"
)

func TestRestartConditionSaysWhichTasksAreReplaced(t *testing.T) {
	for _, row := range []struct {
		condition swarm.RestartCondition
		code      int
		replaced  bool
	}{
		{swarm.RestartAny, 0, true},
		{swarm.RestartAny, 1, true},
		{swarm.RestartOnFailure, 0, false},
		{swarm.RestartOnFailure, 1, true},
		{swarm.RestartNone, 0, false},
		{swarm.RestartNone, 1, false},
	} {
		s := newScene(t, 1)
		s.image("ends", exits(row.code))
		spec := replicated("ends", 1)
		spec.TaskTemplate.RestartPolicy.Condition = row.condition
		id := s.create(spec)
		s.run(1500 * time.Millisecond)
		assert.Equal(t, row.replaced, len(s.all(id)) > 1, "%s after exit code %d", row.condition, row.code)
		// What is not replaced stays so.
		s.run(20 * time.Second)
		if !row.replaced {
			assert.Len(t, s.all(id), 1)
		}
	}
}

func TestRestartsComeToAnEndAfterTheLastAttempt(t *testing.T) {
	s := newScene(t, 1)
	s.image("crash", exits(1))
	spec := replicated("crash", 1)
	spec.TaskTemplate.RestartPolicy.MaxAttempts = new(uint64(2))
	id := s.create(spec)
	s.run(30 * time.Second)
	require.Len(t, s.all(id), 3)
	for _, task := range s.all(id) {
		assert.Equal(t, swarm.TaskFailed, task.Status.State)
		assert.Equal(t, swarm.TaskShutdown, task.DesiredState)
	}
	// Another spec gets attempts of its own.
	s.change(id, func(spec *swarm.ServiceSpec) { spec.TaskTemplate.ForceUpdate++ })
	s.run(30 * time.Second)
	attempts := 0
	for _, task := range s.all(id) {
		if task.Spec.ForceUpdate == 1 {
			attempts++
		}
	}
	assert.Equal(t, 3, attempts)
}

func TestRestartsAreCountedWithinTheWindow(t *testing.T) {
	s := newScene(t, 1)
	s.image("slow", func(c *Container) int { c.Sleep(4 * time.Second); return 1 })
	s.image("fast", func(c *Container) int { c.Sleep(time.Second); return 1 })
	for image, ends := range map[string]bool{"slow": false, "fast": true} {
		spec := replicated(image, 1)
		spec.Name = image
		spec.TaskTemplate.RestartPolicy.MaxAttempts = new(uint64(2))
		spec.TaskTemplate.RestartPolicy.Window = new(7 * time.Second)
		id := s.create(spec)
		s.run(60 * time.Second)
		active := 0
		for _, task := range s.all(id) {
			if wanted(task) {
				active++
			}
		}
		assert.Equal(t, ends, active == 0, image)
	}
}

func TestHistoryOfASlotIsLimited(t *testing.T) {
	s := newScene(t, 1)
	s.image("crash", exits(1))
	id := s.create(replicated("crash", 2))
	s.run(30 * time.Second)
	bySlot := map[int]int{}
	for _, task := range s.all(id) {
		bySlot[task.Slot]++
	}
	assert.Equal(t, map[int]int{1: 5, 2: 5}, bySlot)

	s.world.Do(func() {
		s.cluster.commit(func(tx *tx) {
			object := *s.cluster.object
			object.Spec.Orchestration.TaskHistoryRetentionLimit = new(int64(1))
			s.cluster.putObject(tx, &object)
		})
	})
	s.run(5 * time.Second)
	// The task that waits for its start is kept beside the last that has ended.
	assert.LessOrEqual(t, len(s.all(id)), 4)
}

func TestTasksOfARemovedServiceGoWhenTheyHaveStopped(t *testing.T) {
	s := newScene(t, 1)
	s.image("stubborn", func(c *Container) int {
		c.Wait()
		c.Sleep(3 * time.Second)
		return 0
	})
	spec := replicated("stubborn", 1)
	spec.TaskTemplate.ContainerSpec.StopGracePeriod = new(5 * time.Second)
	id := s.create(spec)
	s.untilRunning(id, 1)
	s.remove(id)
	s.run(2 * time.Second)
	require.Len(t, s.all(id), 1)
	assert.Equal(t, swarm.TaskRemove, s.all(id)[0].DesiredState)
	assert.Equal(t, swarm.TaskRunning, s.all(id)[0].Status.State)
	s.run(2 * time.Second)
	assert.Empty(t, s.all(id))
}
