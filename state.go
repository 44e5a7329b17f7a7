package swarm

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ServiceSnapshot is a service with its tasks, from which it can be told how the
// service is.
type ServiceSnapshot struct {
	// Service is what the engine says of it. One that was removed while tasks of it
	// are still there has an ID and nothing else.
	Service *Service
	// Tasks are its tasks, also those of the past that the swarm remembers.
	Tasks []Task
	// Nodes are the nodes of the swarm. Nil if it is not known which there are.
	Nodes []Node
	// UpToDate tells by ID which of the tasks have the spec that the service has
	// now.
	UpToDate map[string]bool
}

// Snapshot reads a service, its tasks and the nodes. Of a service that was
// removed, by its full ID, it reads the tasks that are not gone yet; when there
// are none, or none was there ever, the error is [ErrNotFound]; tasks of plugins are
// not among them.
//
// Engine endpoints: GET /services/{id}, GET /tasks, GET /nodes
func (s *ServiceClient) Snapshot(ctx context.Context, ref string) (*ServiceSnapshot, error) {
	const op = "inspect service"
	service, err := s.inspect(ctx, op, ref, nil)
	if errors.Is(err, ErrNotFound) {
		return s.leftovers(ctx, ref, err)
	}
	if err != nil {
		return nil, err
	}
	l := newLookout(s.client, op, &bell{ears: map[*ear]bool{}}, service.ID)
	l.lookAtAll()
	return l.look(ctx)
}

// leftovers are the tasks of a service that is gone.
func (s *ServiceClient) leftovers(ctx context.Context, id string, gone error) (*ServiceSnapshot, error) {
	left := &ServiceSnapshot{Service: &Service{ID: id}, UpToDate: map[string]bool{}}
	for task, err := range s.client.Tasks.All(ctx, nil) {
		if err != nil {
			return nil, err
		}
		if task.ServiceID == id && !task.Status.State.Terminal() {
			left.Tasks = append(left.Tasks, task)
		}
	}
	if len(left.Tasks) == 0 {
		return nil, gone
	}
	return left, nil
}

// ServiceState is how a service is, in one word.
type ServiceState string

// The states of a service. They are this library's: engines tell of tasks alone.
const (
	// StateNotRunning is a service of no replicas of which nothing tells that it
	// ever had tasks.
	StateNotRunning ServiceState = "not running"
	// StateStarting means that tasks are coming up, and none is in trouble.
	StateStarting ServiceState = "starting"
	// StateRunning means that all tasks run, with the spec that is wanted.
	StateRunning ServiceState = "running"
	// StatePartial means that some tasks run, and others fail or wait in vain.
	StatePartial ServiceState = "partly running"
	// StateFailing means that no task runs, and that those there shall be fail or
	// wait in vain.
	StateFailing ServiceState = "failing"
	// StateScaling means that the number of replicas has changed, and that there
	// are not as many tasks yet.
	StateScaling ServiceState = "scaling"
	// StateUpdating means that tasks are being replaced by new ones.
	StateUpdating ServiceState = "updating"
	// StateRollingBack means that tasks are being replaced by ones of the previous
	// spec.
	StateRollingBack ServiceState = "rolling back"
	// StatePaused means that an update or a rollback has failed and goes no
	// further.
	StatePaused ServiceState = "paused"
	// StateRolledBack means that an update has failed and that all tasks run as
	// before it.
	StateRolledBack ServiceState = "rolled back"
	// StateStopping means that there shall be no tasks, and that some are left.
	StateStopping ServiceState = "stopping"
	// StateStopped means that there are no replicas, and that there were: tasks are
	// remembered, the previous spec wants some, or the service has a
	// [StoppedLabel].
	StateStopped ServiceState = "stopped"
	// StateComplete is a job whose tasks are done.
	StateComplete ServiceState = "complete"
	// StateRemoving means that the service is gone and that tasks of it are left.
	StateRemoving ServiceState = "removing"
)

// State is how the service is.
func (s *ServiceSnapshot) State() ServiceState {
	if s.Service.Spec.Name == "" && s.Service.CreatedAt.IsZero() {
		return StateRemoving
	}
	switch updateState(s.Service) {
	case UpdateInProgress:
		return StateUpdating
	case RollbackInProgress:
		return StateRollingBack
	case UpdatePaused, RollbackPaused:
		return StatePaused
	}
	if s.isJob() {
		return s.stateOfJob()
	}
	return s.stateOfTasks(s.tally())
}

// inStates reads what is needed to tell which services are in one of the states
// asked for.
func (s *ServiceClient) inStates(ctx context.Context, o *ServiceListOptions) (func(*Service) bool, error) {
	if len(o.States) == 0 {
		return func(*Service) bool { return true }, nil
	}
	tasks, err := s.client.Tasks.List(ctx, &TaskListOptions{Runtime: o.Runtime})
	if err != nil {
		return nil, err
	}
	current, err := s.client.Tasks.List(ctx, &TaskListOptions{UpToDate: true, Runtime: o.Runtime})
	if err != nil {
		return nil, err
	}
	nodes, err := s.client.Nodes.List(ctx, nil)
	if err != nil && !errors.Is(err, ErrForbidden) {
		return nil, err
	}
	upToDate, byService := map[string]bool{}, map[string][]Task{}
	for _, task := range current {
		upToDate[task.ID] = true
	}
	for _, task := range tasks {
		byService[task.ServiceID] = append(byService[task.ServiceID], task)
	}
	return func(service *Service) bool {
		snapshot := &ServiceSnapshot{Service: service, Tasks: byService[service.ID], Nodes: nodes, UpToDate: upToDate}
		return slices.Contains(o.States, snapshot.State())
	}, nil
}

// stateOfTasks is the state of a service that the engine is not updating.
func (s *ServiceSnapshot) stateOfTasks(t tally) ServiceState {
	switch {
	case t.desired == 0 && t.left > 0:
		return StateStopping
	case t.desired == 0 && s.hadTasks():
		return StateStopped
	case t.desired == 0:
		return StateNotRunning
	case t.asWanted() && updateState(s.Service) == RollbackCompleted:
		return StateRolledBack
	case t.asWanted():
		return StateRunning
	case t.stuck > 0 && t.running > 0:
		return StatePartial
	case t.stuck > 0:
		return StateFailing
	case t.old > 0:
		return StateUpdating // which the engine does not say at once
	case s.wasScaled():
		return StateScaling
	}
	return StateStarting
}

func (s *ServiceSnapshot) stateOfJob() ServiceState {
	j := &judge{rollout: rolloutOf(s.Service, RolloutSettle)}
	now := time.Now()
	j.began = now.Add(-time.Hour) // nothing is awaited
	switch done, err := j.judgeJob(s, now); {
	case done:
		return StateComplete
	case err != nil:
		return StateFailing
	}
	if slices.ContainsFunc(j.seen.Tasks, func(task Task) bool { return task.Status.State == TaskRunning }) {
		return StateRunning
	}
	return StateStarting
}

// wasScaled reports whether the number of replicas is what the last update has
// changed.
func (s *ServiceSnapshot) wasScaled() bool {
	before := s.Service.PreviousSpec
	return before != nil && s.Service.Spec.Mode.Kind() == ModeReplicated && before.Mode.Kind() == ModeReplicated &&
		replicasOf(before.Mode) != replicasOf(s.Service.Spec.Mode)
}

// hadTasks reports whether anything tells of tasks that there were. Engines forget
// those of slots that are gone.
func (s *ServiceSnapshot) hadTasks() bool {
	return len(s.Tasks) > 0 || s.Service.Spec.Labels[StoppedLabel] != "" || s.wasScaled()
}

// Synchronized tells whether all tasks that run or shall run have the spec that
// the service has now. It does not tell whether they run.
func (s *ServiceSnapshot) Synchronized() bool {
	return !slices.ContainsFunc(s.Tasks, func(task Task) bool {
		return !s.UpToDate[task.ID] && (task.isWanted() || task.Status.State == TaskRunning && s.mayRun(task.NodeID))
	})
}

// Replicas is what "docker service ls" prints as REPLICAS, see
// [Service.DisplayReplicas], with the tasks counted as engines count them.
func (s *ServiceSnapshot) Replicas() string {
	service := *s.Service
	service.ServiceStatus = s.count()
	return service.DisplayReplicas()
}

// count is what engines send as ServiceStatus in lists.
func (s *ServiceSnapshot) count() *ServiceStatus {
	status := &ServiceStatus{}
	mode, tasks := s.Service.Spec.Mode, s.Tasks
	if s.Service.JobStatus != nil {
		tasks = s.tasksOfRun(s.Service.JobStatus.JobIteration.Index)
	}
	for _, task := range tasks {
		switch task.Status.State {
		case TaskRunning:
			status.RunningTasks++
		case TaskComplete:
			status.CompletedTasks++
		}
		if task.DesiredState == TaskRunning || task.DesiredState == TaskComplete && task.Status.State != TaskComplete {
			status.DesiredTasks++
		}
	}
	if s.Service.JobStatus == nil {
		status.CompletedTasks = 0
	}
	switch {
	case mode.Kind() == ModeReplicated:
		status.DesiredTasks = replicasOf(mode)
	case mode.ReplicatedJob != nil && mode.ReplicatedJob.MaxConcurrent != nil:
		status.DesiredTasks = *mode.ReplicatedJob.MaxConcurrent
	case mode.ReplicatedJob != nil:
		status.DesiredTasks = totalCompletions(mode.ReplicatedJob)
	}
	return status
}

// replicasOf is how many tasks a replicated service shall have.
func replicasOf(mode ServiceMode) uint64 { return taskCount{}.status(mode).DesiredTasks }

// PendingCause is one reason why tasks do not run, and which tasks it keeps from
// it.
type PendingCause struct {
	// Reason is what the scheduler or a node says, "no suitable node (scheduling
	// constraints not satisfied on 3 nodes)". Empty if nobody says anything: the
	// tasks are on their way.
	Reason string
	// State is what the tasks are in.
	State TaskState
	// Tasks are the IDs of the tasks, in the order of their slots or nodes.
	Tasks []string
	// Failures is how many tasks before these have failed for the same reason, as
	// far as the swarm remembers them.
	Failures int
}

// String is the cause in one line, fit to print: "2 pending: no suitable node (…)".
func (c PendingCause) String() string {
	text := fmt.Sprintf("%d %s", len(c.Tasks), printable(string(c.State)))
	if c.Reason != "" {
		text += ": " + printable(clip(c.Reason, 256))
	}
	if c.Failures > 0 {
		text += fmt.Sprintf(" (%d failed before)", c.Failures)
	}
	return text
}

// Explain groups the tasks that shall run and do not by what keeps them from it,
// the most frequent cause first. A task that was made in the place of one that
// has failed, and has no reason of its own, is there for the reason of that one.
func (s *ServiceSnapshot) Explain() []PendingCause {
	var causes []PendingCause
	for _, place := range NewTaskSet(s.Tasks).Places() {
		task, failed, wanted := s.pending(place)
		if !wanted {
			continue
		}
		reason, failures := task.Status.Err, 0
		if reason == "" && len(failed) > 0 {
			reason = failed[0].Status.Err
		}
		for _, before := range failed {
			if before.Status.Err == reason {
				failures++
			}
		}
		i := slices.IndexFunc(causes, func(c PendingCause) bool { return c.Reason == reason && c.State == task.Status.State })
		if i < 0 {
			i = len(causes)
			causes = append(causes, PendingCause{Reason: reason, State: task.Status.State})
		}
		causes[i].Tasks = append(causes[i].Tasks, task.ID)
		causes[i].Failures += failures
	}
	slices.SortStableFunc(causes, func(a, b PendingCause) int { return cmp.Compare(len(b.Tasks), len(a.Tasks)) })
	return causes
}

// pending is the task of a place that shall run and does not, or that has failed
// and nothing takes its place, with those that have failed before it.
func (s *ServiceSnapshot) pending(place TaskSet) (task Task, failed []Task, wanted bool) {
	for i, candidate := range place {
		before := slices.DeleteFunc(slices.Clone(place[i+1:]), func(t Task) bool { return !t.hasFailed() })
		switch state := candidate.Status.State; {
		case candidate.hasFailed() && i == 0 && s.UpToDate[candidate.ID]:
			return candidate, before, true
		case (candidate.isWanted() || candidate.DesiredState == TaskComplete) && !state.Terminal() && state != TaskRunning:
			return candidate, before, true
		}
	}
	return Task{}, nil, false
}

// Explain says why tasks of a service do not run, see [ServiceSnapshot.Explain].
// If all do, there is nothing to explain.
//
// Engine endpoints: GET /services/{id}, GET /tasks, GET /nodes
func (s *ServiceClient) Explain(ctx context.Context, ref string) ([]PendingCause, error) {
	snapshot, err := s.Snapshot(ctx, ref)
	if err != nil {
		return nil, err
	}
	return snapshot.Explain(), nil
}

// TaskSet is the tasks of one service.
type TaskSet []Task

// NewTaskSet puts the tasks of a service in order: by slot or node, and those of
// one from the newest to the oldest.
func NewTaskSet(tasks []Task) TaskSet {
	set := TaskSet(slices.Clone(tasks))
	place := set.placer()
	slices.SortFunc(set, func(a, b Task) int {
		return cmp.Or(cmp.Compare(a.Slot, b.Slot), strings.Compare(place(a), place(b)), b.CreatedAt.Compare(a.CreatedAt), strings.Compare(a.ID, b.ID))
	})
	return set
}

// placer tells the slot or the node that a task is for. Slots of jobs count from
// 0, which the tasks of global services are in too.
func (t TaskSet) placer() func(Task) string {
	slotted := slices.ContainsFunc(t, func(task Task) bool { return task.Slot != 0 })
	return func(task Task) string {
		if slotted || task.NodeID == "" {
			return strconv.Itoa(task.Slot)
		}
		return task.NodeID
	}
}

// Places are the tasks of each slot or node, the newest first.
func (t TaskSet) Places() []TaskSet {
	var places []TaskSet
	place := t.placer()
	for i, task := range t {
		if i == 0 || place(task) != place(t[i-1]) {
			places = append(places, nil)
		}
		last := len(places) - 1
		places[last] = append(places[last], task)
	}
	return places
}

// Current is the newest task of each slot or node.
func (t TaskSet) Current() TaskSet {
	var current TaskSet
	for _, place := range t.Places() {
		current = append(current, place[0])
	}
	return current
}

// History is all but the newest task of each slot or node.
func (t TaskSet) History() TaskSet {
	var history TaskSet
	for _, place := range t.Places() {
		history = append(history, place[1:]...)
	}
	return history
}

// InState are those tasks that are in one of the states.
func (t TaskSet) InState(states ...TaskState) TaskSet {
	return slices.DeleteFunc(slices.Clone(t), func(task Task) bool { return !slices.Contains(states, task.Status.State) })
}

// isWanted reports whether a task shall run, now or after its restart delay.
func (t Task) isWanted() bool {
	return t.DesiredState == TaskRunning || t.DesiredState == TaskReady || t.DesiredState == TaskAccepted
}

func (t Task) hasFailed() bool {
	return t.Status.State == TaskFailed || t.Status.State == TaskRejected
}

// restartsNever reports services whose tasks may end by themselves and be done.
func restartsNever(policy *RestartPolicy) bool {
	return policy != nil && (policy.Condition == RestartNone || policy.Condition == RestartOnFailure)
}

func (s *ServiceSnapshot) isJob() bool {
	kind := s.Service.Spec.Mode.Kind()
	return kind == ModeReplicatedJob || kind == ModeGlobalJob
}

// node is a node, nil if there is none of that ID.
func (s *ServiceSnapshot) node(id string) *Node {
	if i := slices.IndexFunc(s.Nodes, func(n Node) bool { return n.ID == id }); i >= 0 {
		return &s.Nodes[i]
	}
	return nil
}

// runsOn reports whether what is said to run on a node does: not if the node has
// not been heard of.
func (s *ServiceSnapshot) runsOn(nodeID string) bool {
	node := s.node(nodeID)
	return s.Nodes == nil || node != nil && node.Status.State == NodeReady
}

// mayRun reports whether what is said to run on a node possibly does: not if the
// node is down or gone.
func (s *ServiceSnapshot) mayRun(nodeID string) bool {
	node := s.node(nodeID)
	return s.Nodes == nil || node != nil && node.Status.State != NodeDown
}

// expectedNodes are the IDs of the nodes that a global service has or gets a task
// on: those that take new tasks and meet its constraints, and those with one.
func (s *ServiceSnapshot) expectedNodes(having []Task) map[string]bool {
	expected := map[string]bool{}
	for _, task := range having {
		expected[task.NodeID] = true
	}
	constraints, err := constraintsOf(s.Service.Spec.TaskTemplate.Placement)
	if err != nil {
		return expected // a constraint that is new to this library
	}
	for _, node := range s.Nodes {
		meets := func(c Constraint) bool { return c.Matches(&node) }
		if node.takesTasks() && !slices.ContainsFunc(constraints, not(meets)) {
			expected[node.ID] = true
		}
	}
	return expected
}

// whyNowhere says why no node takes the tasks of a global service, if the nodes are
// known.
func (s *ServiceSnapshot) whyNowhere() []string {
	taking := 0
	for _, node := range s.Nodes {
		if node.takesTasks() {
			taking++
		}
	}
	switch placement := s.Service.Spec.TaskTemplate.Placement; {
	case taking > 0 && placement != nil:
		constraints := strings.Join(placement.Constraints, ", ")
		return []string{printable(clip(fmt.Sprintf("none of %d nodes that take tasks meets its constraints: %s", taking, constraints), 256))}
	case taking == 0 && len(s.Nodes) > 0:
		return []string{fmt.Sprintf("none of %d nodes takes tasks: they are not ready, or not active", len(s.Nodes))}
	}
	return nil
}

// tasksOfRun are the tasks of one run of a job, in order.
func (s *ServiceSnapshot) tasksOfRun(iteration uint64) []Task {
	return slices.DeleteFunc(NewTaskSet(s.Tasks), func(task Task) bool {
		return task.JobIteration == nil || task.JobIteration.Index != iteration
	})
}

// tally is what the tasks of a service add up to that run until they are stopped.
type tally struct {
	// tasks are the newest wanted tasks of the current spec, one a place.
	tasks []Task
	// desired is how many places there shall be, upToDate how many have such a
	// task, running how many of these run.
	desired, upToDate, running uint64
	// outdated counts other tasks that still run, old those of an older spec that
	// shall go on running, left all that have not ended.
	outdated, old, left uint64
	// deadForGood counts places whose last task has failed and is not replaced,
	// stuck these and those whose tasks fail, or wait in vain.
	deadForGood, stuck uint64
}

// asWanted reports whether all tasks run that shall, and no others.
func (t *tally) asWanted() bool {
	return t.running == t.desired && t.outdated == 0 && t.upToDate == t.desired
}

func (s *ServiceSnapshot) tally() tally {
	var t tally
	oneShot := restartsNever(s.Service.Spec.TaskTemplate.RestartPolicy)
	global := s.Service.Spec.Mode.Kind() == ModeGlobal
	counted := map[string]bool{}
	for _, place := range NewTaskSet(s.Tasks).Places() {
		i := slices.IndexFunc(place, func(task Task) bool {
			return s.UpToDate[task.ID] && (task.isWanted() || oneShot && task.Status.State == TaskComplete)
		})
		if i >= 0 {
			t.tasks, counted[place[i].ID] = append(t.tasks, place[i]), true
		}
	}
	t.upToDate, t.desired = uint64(len(t.tasks)), replicasOf(s.Service.Spec.Mode)
	var expected map[string]bool
	if global {
		expected = s.expectedNodes(t.tasks)
		t.desired = uint64(len(expected))
	}
	for _, place := range NewTaskSet(s.Tasks).Places() {
		if !global || expected[place[0].NodeID] {
			t.addTrouble(s, place, counted)
		}
	}
	for _, task := range s.Tasks {
		state := task.Status.State
		runs := state == TaskRunning && s.mayRun(task.NodeID)
		leftAlone := global && task.isWanted() && !expected[task.NodeID] // on a node that takes no tasks at the moment
		switch {
		case counted[task.ID] && (state == TaskRunning && s.runsOn(task.NodeID) || state == TaskComplete):
			t.running++
		case !counted[task.ID] && runs && !leftAlone:
			t.outdated++
		}
		if !s.UpToDate[task.ID] && task.isWanted() && !leftAlone {
			t.old++
		}
		if !state.Terminal() && s.mayRun(task.NodeID) {
			t.left++
		}
	}
	return t
}

// addTrouble looks at the tasks of a place for those that fail.
func (t *tally) addTrouble(s *ServiceSnapshot, place TaskSet, counted map[string]bool) {
	newest := place[0]
	current := slices.DeleteFunc(slices.Clone(place), func(task Task) bool { return !s.UpToDate[task.ID] })
	switch {
	case newest.Status.State == TaskRunning || newest.Status.State == TaskComplete || !s.UpToDate[newest.ID]:
	case newest.hasFailed() && newest.DesiredState == TaskShutdown && !counted[newest.ID]:
		t.deadForGood++
		t.stuck++
	case newest.Status.Err != "" || slices.ContainsFunc(current, Task.hasFailed):
		t.stuck++
	}
}
