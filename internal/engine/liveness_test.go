package engine

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/swarm-go/swarm"
)

func TestDrainMovesTasksAtOnce(t *testing.T) {
	s := newScene(t, 2)
	id := s.create(replicated("web:1", 2))
	s.untilRunning(id, 2)
	s.changeNode(s.daemons[1], func(spec *swarm.NodeSpec) { spec.Availability = swarm.NodeDrain })
	s.run(100 * time.Millisecond) // the delay of restarts does not count
	assert.Equal(t, []int{2, 0}, s.spread(id))
	s.changeNode(s.daemons[1], func(spec *swarm.NodeSpec) { spec.Availability = swarm.NodeActive })
	s.run(10 * time.Second)
	assert.Equal(t, []int{2, 0}, s.spread(id), "nothing moves back")
}

func TestDrainStopsGlobalTasks(t *testing.T) {
	s := newScene(t, 2)
	spec := replicated("web:1", 0)
	spec.Mode = swarm.Global()
	id := s.create(spec)
	s.untilRunning(id, 2)
	s.changeNode(s.daemons[1], func(spec *swarm.NodeSpec) { spec.Availability = swarm.NodeDrain })
	s.untilRunning(id, 1)
	assert.Equal(t, []int{1, 0}, s.spread(id))
	s.changeNode(s.daemons[1], func(spec *swarm.NodeSpec) { spec.Availability = swarm.NodeActive })
	s.untilRunning(id, 2)
	s.addNode(false)
	s.untilRunning(id, 3)
	assert.Equal(t, []int{1, 1, 1}, s.spread(id))
}

func TestPauseKeepsTasksButTakesNone(t *testing.T) {
	s := newScene(t, 1)
	id := s.create(replicated("web:1", 1))
	s.untilRunning(id, 1)
	s.changeNode(s.daemons[0], func(spec *swarm.NodeSpec) { spec.Availability = swarm.NodePause })
	s.change(id, func(spec *swarm.ServiceSpec) { spec.Mode = swarm.Replicated(2) })
	s.run(time.Second)
	require.Len(t, s.running(id), 1)
	assert.Equal(t, "no suitable node (1 node not available for new tasks)", s.all(id)[1].Status.Err)
	s.changeNode(s.daemons[0], func(spec *swarm.NodeSpec) { spec.Availability = swarm.NodeActive })
	s.untilRunning(id, 2)
}

func TestStoppedNodeGoesDownAndItsTasksAreReplaced(t *testing.T) {
	s := newScene(t, 2)
	id := s.create(replicated("web:1", 2))
	s.untilRunning(id, 2)
	worker := s.daemons[1]
	s.world.StopNode(worker)
	s.run(11 * time.Second)
	assert.Equal(t, swarm.NodeReady, s.node(worker).Status.State)
	s.run(2 * time.Second)
	assert.Equal(t, swarm.NodeDown, s.node(worker).Status.State)
	assert.Equal(t, "heartbeat failure", s.node(worker).Status.Message)
	s.run(2 * time.Second)
	assert.Equal(t, []int{2, 1}, s.spreadOfAllRunning(id), "the lost task is still thought to run")
	assert.Equal(t, []int{2, 0}, s.spread(id))

	s.world.StartNode(worker)
	s.run(time.Second)
	assert.Equal(t, swarm.NodeReady, s.node(worker).Status.State)
	assert.Empty(t, s.node(worker).Status.Message)
	assert.Equal(t, []int{2, 0}, s.spreadOfAllRunning(id))
}

// spreadOfAllRunning is spread with the tasks that shall not run any more.
func (s *scene) spreadOfAllRunning(id string) []int {
	counts := make([]int, len(s.daemons))
	for _, task := range s.all(id) {
		for i, d := range s.daemons {
			if d.nodeID == task.NodeID && task.Status.State == swarm.TaskRunning {
				counts[i]++
			}
		}
	}
	return counts
}

func TestNodeThatIsSoonBackHasLostItsContainers(t *testing.T) {
	s := newScene(t, 2)
	spec := replicated("web:1", 1)
	spec.TaskTemplate.Placement = constrained("node.role==worker")
	id := s.create(spec)
	s.untilRunning(id, 1)
	first := s.running(id)[0].ID
	s.world.StopNode(s.daemons[1])
	s.run(time.Second)
	s.world.StartNode(s.daemons[1])
	s.run(time.Minute)
	assert.Equal(t, swarm.NodeReady, s.node(s.daemons[1]).Status.State)
	s.untilRunning(id, 1)
	for _, task := range s.all(id) {
		if task.ID == first {
			assert.Equal(t, swarm.TaskFailed, task.Status.State)
			assert.Equal(t, "task: non-zero exit (255)", task.Status.Err)
		}
	}
}

func TestTasksOfANodeThatStaysDownAreOrphaned(t *testing.T) {
	s := newScene(t, 2)
	s.world.Pace.Orphan = time.Minute
	id := s.create(replicated("web:1", 2))
	s.untilRunning(id, 2)
	s.world.StopNode(s.daemons[1])
	s.run(80 * time.Second)
	orphaned := 0
	for _, task := range s.all(id) {
		if task.Status.State == swarm.TaskOrphaned {
			orphaned++
		}
	}
	assert.Equal(t, 1, orphaned)
}

func TestAnotherManagerLeadsWhenTheLeaderStops(t *testing.T) {
	s := newScene(t, 1)
	s.addNode(true)
	s.addNode(true)
	leader := s.daemons[0]
	id := s.create(replicated("web:1", 3))
	s.untilRunning(id, 3)
	s.world.StopNode(leader)
	assert.Empty(t, s.cluster.leader)
	s.run(11 * time.Second)
	assert.NotEmpty(t, s.cluster.leader)
	assert.NotEqual(t, leader.nodeID, s.cluster.leader)
	assert.Equal(t, swarm.ManagerUnreachable, s.node(leader).ManagerStatus.Reachability)
	assert.False(t, s.node(leader).ManagerStatus.Leader)
	s.run(20 * time.Second)
	assert.Equal(t, swarm.NodeDown, s.node(leader).Status.State)
	assert.Len(t, s.running(id), 3)

	s.world.StartNode(leader)
	s.run(time.Second)
	assert.Equal(t, swarm.ManagerReachable, s.node(leader).ManagerStatus.Reachability)
	assert.Equal(t, swarm.NodeReady, s.node(leader).Status.State)
	assert.False(t, s.node(leader).ManagerStatus.Leader)
}

// The managers have not yet missed the one that has stopped.
func TestNoManagerLeadsThatHasJustStopped(t *testing.T) {
	for name, goAway := range map[string]func(s *scene){
		"demoted": func(s *scene) {
			s.world.Do(func() {
				node := s.daemons[0].node()
				spec := node.Spec
				spec.Role = swarm.RoleWorker
				require.NoError(s.t, s.cluster.updateNode(node.ID, node.Version.Index, spec))
			})
		},
		"left": func(s *scene) { require.NoError(s.t, s.daemons[0].LeaveSwarm(true)) },
	} {
		t.Run(name, func(t *testing.T) {
			for stopped := 1; stopped < 5; stopped++ { // whichever would be next
				s := newScene(t, 1)
				for range 4 {
					s.addNode(true)
				}
				s.world.StopNode(s.daemons[stopped])
				goAway(s)
				s.run(time.Second)
				assert.NotEmpty(t, s.cluster.leader)
				assert.NotEqual(t, s.daemons[stopped].nodeID, s.cluster.leader)
			}
		})
	}
}

func TestTooFewManagersAreLeftWhenTheLeaderIsDemoted(t *testing.T) {
	s := newScene(t, 1)
	s.addNode(true)
	s.addNode(true)
	s.world.StopNode(s.daemons[1])
	s.world.Do(func() {
		node := s.daemons[0].node()
		spec := node.Spec
		spec.Role = swarm.RoleWorker
		require.NoError(t, s.cluster.updateNode(node.ID, node.Version.Index, spec))
	})
	s.run(time.Second)
	assert.Empty(t, s.cluster.leader)
	s.world.StartNode(s.daemons[1])
	s.run(time.Second)
	assert.NotEmpty(t, s.cluster.leader)
}

func TestNothingHappensWithoutAQuorum(t *testing.T) {
	s := newScene(t, 1)
	s.addNode(true)
	s.addNode(true)
	s.image("crash", func(c *Container) int { c.Sleep(5 * time.Second); return 1 })
	s.create(replicated("crash", 3))
	s.run(time.Second)
	s.world.StopNode(s.daemons[1])
	s.world.StopNode(s.daemons[2])
	s.run(100 * time.Millisecond)
	assert.Empty(t, s.cluster.leader)
	before := s.cluster.index
	s.run(time.Minute)
	assert.Equal(t, before, s.cluster.index)
	s.world.StartNode(s.daemons[1])
	s.run(time.Minute)
	assert.NotEmpty(t, s.cluster.leader)
	assert.Greater(t, s.cluster.index, before)
	assert.Equal(t, swarm.NodeDown, s.node(s.daemons[2]).Status.State)
}

func TestOnlyManagerGoesOnWhereItStopped(t *testing.T) {
	s := newScene(t, 1)
	id := s.create(replicated("web:1", 2))
	s.untilRunning(id, 2)
	before := s.running(id)
	s.world.StopNode(s.daemons[0])
	s.run(time.Minute)
	assert.Equal(t, before, s.running(id), "nobody is there to notice")
	s.world.StartNode(s.daemons[0])
	s.run(time.Second)
	s.untilRunning(id, 2)
	assert.NotEqual(t, before, s.running(id))
	assert.Equal(t, swarm.NodeReady, s.node(s.daemons[0]).Status.State)
}

func TestTasksOfARemovedNodeAreReplaced(t *testing.T) {
	s := newScene(t, 2)
	id := s.create(replicated("web:1", 2))
	spec := replicated("web:1", 0)
	spec.Name, spec.Mode = "global", swarm.Global()
	global := s.create(spec)
	s.untilRunning(id, 2)
	s.untilRunning(global, 2)
	worker := s.daemons[1]
	node := worker.nodeID
	require.NoError(t, worker.LeaveSwarm(false))
	s.run(15 * time.Second)
	assert.Len(t, s.running(id), 2)
	s.world.Do(func() { require.NoError(t, s.cluster.removeNode(node, false)) })
	s.run(time.Second)
	assert.Len(t, s.all(global), 1)
	s.untilRunning(id, 2)
}

func TestLockedManagerWaitsForItsKey(t *testing.T) {
	s := newScene(t, 1)
	id := s.create(replicated("web:1", 1))
	s.untilRunning(id, 1)
	const key = "SWMKEY-1-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
	s.world.Do(func() {
		object := *s.cluster.object
		object.Spec.EncryptionConfig.AutoLockManagers = true
		s.cluster.object, s.cluster.unlockKey = &object, key
	})
	manager := s.daemons[0]
	s.world.StopNode(manager)
	s.world.StartNode(manager)
	before := s.cluster.index
	s.run(time.Minute)
	assert.True(t, manager.locked)
	assert.Equal(t, before, s.cluster.index)
	s.world.Do(func() { require.NoError(t, manager.unlock(key)) })
	s.run(time.Second)
	s.untilRunning(id, 1)
}

func TestForcedSwarmGoesOnWithoutTheOthers(t *testing.T) {
	s := newScene(t, 1)
	s.addNode(true)
	id := s.create(replicated("web:1", 2))
	s.untilRunning(id, 2)
	s.world.StopNode(s.daemons[1])
	s.run(time.Minute)
	require.Empty(t, s.cluster.leader)
	_, err := s.daemons[0].InitSwarm(swarm.InitOptions{ForceNewCluster: true})
	require.NoError(t, err)
	s.run(time.Minute)
	assert.Equal(t, s.daemons[0].nodeID, s.cluster.leader)
	assert.Equal(t, swarm.NodeDown, s.node(s.daemons[1]).Status.State)
	assert.Equal(t, []int{2, 0}, s.spread(id))
}
