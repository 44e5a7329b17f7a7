package engine

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/swarm-go/swarm"
)

// job is the spec of a job.
func job(image string, mode swarm.ServiceMode) swarm.ServiceSpec {
	spec := replicated(image, 0)
	spec.Name, spec.Mode = "job", mode
	spec.TaskTemplate.RestartPolicy.Condition = swarm.RestartOnFailure
	return spec
}

// completed are the slots of the tasks of a job's run that have completed.
func (s *scene) completed(id string, iteration uint64) []int {
	var slots []int
	for _, task := range s.all(id) {
		if task.Status.State == swarm.TaskComplete && task.JobIteration != nil && task.JobIteration.Index == iteration {
			slots = append(slots, task.Slot)
		}
	}
	return slots
}

func TestJobRunsSoManyTasksAtATime(t *testing.T) {
	s := newScene(t, 1)
	s.image("work", func(c *Container) int { c.Sleep(time.Second); return 0 })
	id := s.create(job("work", swarm.ReplicatedJob(5, 2)))
	most := 0
	s.until("completion", func() bool {
		most = max(most, len(s.running(id)))
		return len(s.completed(id, 0)) == 5
	})
	assert.Equal(t, 2, most)
	assert.Equal(t, []int{0, 1, 2, 3, 4}, s.completed(id, 0))
	s.run(10 * time.Second)
	assert.Len(t, s.all(id), 5)
	for _, task := range s.all(id) {
		assert.Equal(t, swarm.TaskComplete, task.DesiredState)
		assert.Equal(t, "finished", task.Status.Message)
	}
	assert.Nil(t, s.service(id).UpdateStatus)
}

func TestJobRunsAgainWhenItIsUpdated(t *testing.T) {
	s := newScene(t, 1)
	s.image("work", exits(0))
	id := s.create(job("work", swarm.ReplicatedJob(2, 2)))
	s.until("completion", func() bool { return len(s.completed(id, 0)) == 2 })
	s.change(id, func(*swarm.ServiceSpec) {})
	s.until("completion again", func() bool { return len(s.completed(id, 1)) == 2 })
	assert.Len(t, s.completed(id, 0), 2)
}

func TestJobStopsItsEarlierRun(t *testing.T) {
	s := newScene(t, 1)
	id := s.create(job("forever", swarm.ReplicatedJob(1, 1)))
	s.until("a start", func() bool { return len(s.running(id)) == 1 })
	s.image("work", exits(0))
	s.change(id, setImage("work"))
	s.until("completion", func() bool { return len(s.completed(id, 1)) == 1 })
	s.until("the first run to be gone", func() bool { return len(s.all(id)) == 1 })
}

func TestJobRetriesWhatFails(t *testing.T) {
	s := newScene(t, 1)
	tries := 0
	s.image("flaky", func(*Container) int {
		if tries++; tries < 3 {
			return 1
		}
		return 0
	})
	id := s.create(job("flaky", swarm.ReplicatedJob(1, 1)))
	s.until("completion", func() bool { return len(s.completed(id, 0)) == 1 })
	assert.Len(t, s.all(id), 3)
}

func TestJobWithoutRestartsGetsStuck(t *testing.T) {
	s := newScene(t, 1)
	s.image("broken", exits(3))
	spec := job("broken", swarm.ReplicatedJob(2, 1))
	spec.TaskTemplate.RestartPolicy.Condition = swarm.RestartNone
	id := s.create(spec)
	s.run(time.Minute)
	assert.Len(t, s.all(id), 1)
	task := s.all(id)[0]
	assert.Equal(t, swarm.TaskFailed, task.Status.State)
	assert.Equal(t, swarm.TaskShutdown, task.DesiredState)
	assert.Equal(t, "task: non-zero exit (3)", task.Status.Err)
}

func TestGlobalJobRunsOnceOnEachNode(t *testing.T) {
	s := newScene(t, 3)
	s.image("work", exits(0))
	s.changeNode(s.daemons[2], func(spec *swarm.NodeSpec) { spec.Availability = swarm.NodeDrain })
	id := s.create(job("work", swarm.GlobalJob()))
	s.until("completion", func() bool { return len(s.completed(id, 0)) == 2 })
	s.run(10 * time.Second)
	var nodes []string
	for _, task := range s.all(id) {
		nodes = append(nodes, task.NodeID)
	}
	slices.Sort(nodes)
	want := []string{s.daemons[0].nodeID, s.daemons[1].nodeID}
	slices.Sort(want)
	assert.Equal(t, want, nodes)

	s.change(id, func(*swarm.ServiceSpec) {})
	s.until("completion again", func() bool { return len(s.completed(id, 1)) == 2 })
	s.until("the first run to be gone", func() bool { return len(s.all(id)) == 2 })
}
