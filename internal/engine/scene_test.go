package engine

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/swarm-go/swarm"
)

// epoch is when scenes begin.
var epoch = time.Date(2026, time.January, 2, 3, 4, 5, 0, time.UTC)

// scene is a swarm on a clock moved by hand, and what was seen there.
type scene struct {
	t       testing.TB
	clock   *ManualClock
	world   *World
	cluster *Cluster
	daemons []*Daemon

	// index is the last commit that was looked at.
	index uint64
	// tasks are the tasks in the order they appeared, and states what each went
	// through.
	tasks  []string
	states map[string][]string
	// updates are the update states that services went through, with messages.
	updates map[string][]string
}

// newScene is a swarm of so many nodes, the first of which is a manager.
func newScene(t testing.TB, nodes int) *scene {
	t.Helper()
	clock := NewManualClock(epoch)
	s := &scene{t: t, clock: clock, world: NewWorld(clock, 1), states: map[string][]string{}, updates: map[string][]string{}}
	t.Cleanup(s.close)
	for i := range nodes {
		s.addNode(i == 0)
	}
	s.run(100 * time.Millisecond)
	return s
}

// close ends the scene.
func (s *scene) close() {
	s.world.Close()
	for _, d := range s.daemons {
		d.Server().Close()
	}
}

// addNode adds a node, and makes the swarm with the first.
func (s *scene) addNode(manager bool) *Daemon {
	d := s.world.AddDaemon(DaemonConfig{})
	s.daemons = append(s.daemons, d)
	if len(s.daemons) == 1 {
		_, err := d.InitSwarm(swarm.InitOptions{})
		require.NoError(s.t, err)
		s.cluster = d.cluster
		return d
	}
	role := swarm.RoleWorker
	if manager {
		role = swarm.RoleManager
	}
	require.NoError(s.t, d.JoinSwarm(s.daemons[0], role, swarm.NodeActive))
	return d
}

// node is the node of an engine as it is now.
func (s *scene) node(d *Daemon) *swarm.Node {
	var node *swarm.Node
	s.world.Do(func() { node = d.node() })
	return node
}

func (s *scene) changeNode(d *Daemon, f func(*swarm.NodeSpec)) {
	s.world.Do(func() {
		s.cluster.commit(func(t *tx) {
			changed := *d.node()
			f(&changed.Spec)
			put(t, s.cluster.nodes, &changed)
		})
	})
}

// image has a program run for a reference.
func (s *scene) image(ref string, run func(*Container) int) {
	require.NoError(s.t, s.world.SetImage(ref, Image{Run: run}))
}

// replicated is the spec of a service with so many replicas of an image, which
// are restarted after a second.
func replicated(image string, replicas uint64) swarm.ServiceSpec {
	return swarm.ServiceSpec{
		Name: "web",
		Mode: swarm.Replicated(replicas),
		TaskTemplate: swarm.TaskSpec{
			ContainerSpec: swarm.ContainerSpec{Image: image},
			RestartPolicy: &swarm.RestartPolicy{Delay: new(time.Second)},
			Runtime:       swarm.RuntimeContainer,
		},
	}
}

// create stores a service as the API does.
func (s *scene) create(spec swarm.ServiceSpec) string {
	var id string
	s.world.Do(func() {
		s.cluster.commit(func(t *tx) {
			id = s.world.newID()
			service := &swarm.Service{ID: id, Spec: spec}
			if isJob(&service.Spec) {
				service.JobStatus = &swarm.JobStatus{LastExecution: t.now}
			}
			put(t, s.cluster.services, service)
		})
	})
	return id
}

// change stores a changed spec as the API does.
func (s *scene) change(id string, f func(*swarm.ServiceSpec)) {
	s.world.Do(func() {
		s.cluster.commit(func(t *tx) {
			t.changeService(id, func(service *swarm.Service) {
				previous := service.Spec
				f(&service.Spec)
				service.PreviousSpec, service.UpdateStatus = &previous, nil
				if isJob(&service.Spec) {
					service.JobStatus = &swarm.JobStatus{LastExecution: t.now}
					service.JobStatus.JobIteration.Index = 1
				}
			})
		})
	})
}

// rollBack is what the API does when it is asked to.
func (s *scene) rollBack(id string) {
	s.world.Do(func() {
		s.cluster.commit(func(t *tx) {
			t.changeService(id, func(service *swarm.Service) {
				previous := service.Spec
				service.Spec, service.PreviousSpec = *service.PreviousSpec, &previous
				service.UpdateStatus = &swarm.UpdateStatus{
					State: swarm.RollbackInProgress, StartedAt: t.now, Message: "manually requested rollback",
				}
			})
		})
	})
}

func (s *scene) remove(id string) {
	s.world.Do(func() {
		s.cluster.commit(func(t *tx) { drop(t, s.cluster.services, id) })
	})
}

// run lets time pass, and looks what happens.
func (s *scene) run(d time.Duration) {
	for end := s.clock.Now().Add(d); s.clock.Now().Before(end); {
		s.clock.Advance(min(max(s.idle(), 500*time.Microsecond), end.Sub(s.clock.Now())))
		s.look()
	}
}

// idle is how long nothing is due.
func (s *scene) idle() time.Duration {
	s.clock.mu.Lock()
	defer s.clock.mu.Unlock()
	if len(s.clock.timers) == 0 {
		return time.Hour
	}
	return s.clock.timers[0].at.Sub(s.clock.now)
}

// until lets time pass until something is the case.
func (s *scene) until(what string, is func() bool) {
	s.t.Helper()
	for range 200_000 {
		if is() {
			return
		}
		s.run(time.Millisecond)
	}
	require.Fail(s.t, "never: "+what, s.story())
}

// look notes what has changed.
func (s *scene) look() {
	s.world.Do(func() {
		if s.cluster.index == s.index {
			return
		}
		s.index = s.cluster.index
		for _, task := range s.cluster.tasks.all() {
			seen := s.states[task.ID]
			if seen == nil {
				s.tasks = append(s.tasks, task.ID)
			}
			if state := string(task.Status.State); len(seen) == 0 || seen[len(seen)-1] != state {
				s.states[task.ID] = append(seen, state)
			}
		}
		for _, service := range s.cluster.services.all() {
			status := "nil"
			if service.UpdateStatus != nil {
				status = string(service.UpdateStatus.State) + ": " + service.UpdateStatus.Message
			}
			if seen := s.updates[service.ID]; len(seen) == 0 || seen[len(seen)-1] != status {
				s.updates[service.ID] = append(seen, status)
			}
		}
	})
}

// story is what tasks have gone through, for messages.
func (s *scene) story() string {
	var b strings.Builder
	for _, id := range s.tasks {
		fmt.Fprintf(&b, "%s %v", id, s.states[id])
		if task := s.cluster.tasks.get(id); task != nil {
			fmt.Fprintf(&b, " slot %d on %q, to be %s: %s", task.Slot, task.NodeID, task.DesiredState, task.Status.Err)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// service is the service as it is now.
func (s *scene) service(id string) *swarm.Service {
	var service *swarm.Service
	s.world.Do(func() { service = s.cluster.services.get(id) })
	return service
}

// all are the tasks of a service, in the order of their slots and the time they
// were made.
func (s *scene) all(id string) []*swarm.Task {
	var tasks []*swarm.Task
	s.world.Do(func() { tasks = s.cluster.tasksOf(s.cluster.byService[id]) })
	slices.SortFunc(tasks, func(a, b *swarm.Task) int {
		if a.Slot != b.Slot {
			return a.Slot - b.Slot
		}
		return a.CreatedAt.Compare(b.CreatedAt)
	})
	return tasks
}

// running are the tasks of a service that run, and shall.
func (s *scene) running(id string) []*swarm.Task {
	return slices.DeleteFunc(s.all(id), func(task *swarm.Task) bool {
		return task.Status.State != swarm.TaskRunning || !wanted(task)
	})
}

// untilRunning lets time pass until a service has so many tasks that run, and none
// that is about to stop.
func (s *scene) untilRunning(id string, n int) {
	s.t.Helper()
	s.until(fmt.Sprintf("%d tasks running", n), func() bool {
		all := slices.DeleteFunc(s.all(id), func(task *swarm.Task) bool { return stopped(task) })
		return len(all) == n && len(s.running(id)) == n
	})
}

// images is which images run, slot by slot.
func images(tasks []*swarm.Task) []string {
	var images []string
	for _, task := range tasks {
		images = append(images, task.Spec.ContainerSpec.Image)
	}
	return images
}

// exits is a program that ends at once.
func exits(code int) func(*Container) int { return func(*Container) int { return code } }
