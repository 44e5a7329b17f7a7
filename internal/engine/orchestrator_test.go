package engine

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/swarm-go/swarm"
)

func TestTaskGoesThroughEveryState(t *testing.T) {
	s := newScene(t, 1)
	id := s.create(replicated("web:1", 1))
	s.untilRunning(id, 1)
	task := s.running(id)[0]
	assert.Equal(t, []string{"new", "pending", "assigned", "accepted", "preparing", "ready", "starting", "running"}, s.states[task.ID])
	assert.Equal(t, "started", task.Status.Message)
	assert.Equal(t, 1, task.Slot)
	assert.Equal(t, s.daemons[0].nodeID, task.NodeID)
	assert.Empty(t, task.Spec.Runtime)
	require.NotNil(t, task.Status.ContainerStatus)
	assert.Len(t, task.Status.ContainerStatus.ContainerID, 64)
	assert.NotZero(t, task.Status.ContainerStatus.PID)
	assert.Nil(t, s.service(id).UpdateStatus)

	s.remove(id)
	s.until("tasks gone", func() bool { return len(s.all(id)) == 0 })
	assert.Equal(t, "shutdown", s.states[task.ID][len(s.states[task.ID])-1])
}

func TestTaskThatFailsIsReplacedAfterTheDelay(t *testing.T) {
	s := newScene(t, 1)
	s.image("crash", exits(3))
	id := s.create(replicated("crash", 1))
	s.until("a second task", func() bool { return len(s.all(id)) == 2 })
	first := s.all(id)[0]
	assert.Equal(t, swarm.TaskFailed, first.Status.State)
	assert.Equal(t, "task: non-zero exit (3)", first.Status.Err)
	assert.Equal(t, "started", first.Status.Message)
	assert.Equal(t, 3, first.Status.ContainerStatus.ExitCode)
	assert.Equal(t, swarm.TaskShutdown, first.DesiredState)
	s.until("the second to end", func() bool { return stopped(s.all(id)[1]) })
	second := s.all(id)[1]
	assert.GreaterOrEqual(t, second.Status.Timestamp.Sub(first.Status.Timestamp), time.Second)
}
