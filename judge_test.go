package swarm

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The same state of an update is success for one change and failure for another.
func TestTheVerdictDependsOnWhatWasAskedFor(t *testing.T) {
	target := ServiceSpec{Name: "web", TaskTemplate: TaskSpec{ContainerSpec: ContainerSpec{Image: "new"}}}
	other := ServiceSpec{Name: "web", TaskTemplate: TaskSpec{ContainerSpec: ContainerSpec{Image: "old"}}}
	for _, test := range []struct {
		kind  RolloutKind
		state UpdateState
		has   ServiceSpec
		want  error
	}{
		{RolloutCreate, "", target, nil},
		{RolloutUpdate, "", target, nil},
		{RolloutUpdate, UpdateInProgress, target, nil},
		{RolloutUpdate, UpdateCompleted, target, nil},
		{RolloutUpdate, UpdatePaused, target, ErrRolloutPaused},
		{RolloutUpdate, RollbackInProgress, other, nil},
		{RolloutUpdate, RollbackCompleted, other, ErrRolledBack},
		{RolloutUpdate, RollbackCompleted, target, ErrRolledBack}, // the old spec may hold all of the new one
		{RolloutUpdate, RollbackPaused, other, ErrRollbackPaused},
		{RolloutUpdate, "", other, ErrSuperseded},
		{RolloutUpdate, UpdateInProgress, other, ErrSuperseded},
		{RolloutUpdate, UpdatePaused, other, ErrSuperseded},
		{RolloutUpdate, UpdateCompleted, other, ErrSuperseded},
		{RolloutRollback, RollbackInProgress, target, nil},
		{RolloutRollback, RollbackCompleted, target, nil},
		{RolloutRollback, RollbackPaused, target, ErrRollbackPaused},
		{RolloutRollback, "", other, ErrSuperseded},
		{RolloutSettle, RollbackCompleted, target, nil},
		{RolloutSettle, UpdatePaused, target, ErrRolloutPaused},
		{RolloutSettle, RollbackPaused, target, ErrRollbackPaused},
		{RolloutSettle, UpdateInProgress, target, nil},
		{RolloutSettle, "", other, ErrSuperseded},
	} {
		j := &judge{rollout: Rollout{Kind: test.kind, Spec: target}}
		service := &Service{Spec: test.has}
		if test.state != "" {
			service.UpdateStatus = &UpdateStatus{State: test.state}
		}
		err := j.ofOthers(service)
		assert.Truef(t, err == nil && test.want == nil || errors.Is(err, test.want), "%s, %q, %s: %v", test.kind, test.state, test.has.TaskTemplate.ContainerSpec.Image, err)
	}
}

// aTask is a task of a slot, made n seconds after the beginning.
func aTask(id string, slot int, n int, state TaskState) Task {
	desired := TaskRunning
	if state.Terminal() {
		desired = TaskShutdown
	}
	return Task{ID: id, Slot: slot, CreatedAt: time.Unix(int64(n), 0), DesiredState: desired, Status: TaskStatus{State: state}}
}

// seen is a service of so many replicas as it is seen with these tasks, of which
// those called old are of an older spec.
func seen(mode ServiceMode, policy *RestartPolicy, state UpdateState, tasks ...Task) *ServiceSnapshot {
	s := &ServiceSnapshot{Service: &Service{ID: "s", Spec: ServiceSpec{Name: "web", Mode: mode, TaskTemplate: TaskSpec{RestartPolicy: policy}}},
		Tasks: tasks, UpToDate: map[string]bool{}}
	if state != "" {
		s.Service.UpdateStatus = &UpdateStatus{State: state}
	}
	for _, task := range tasks {
		s.UpToDate[task.ID] = task.ID != "old"
	}
	return s
}

// judgeOf is a judge who wants the service to be as it is.
func judgeOf(s *ServiceSnapshot) *judge {
	return &judge{rollout: Rollout{ServiceID: s.Service.ID, Kind: RolloutUpdate, Spec: s.Service.Spec}}
}

func TestServicesAreJudgedByTheirTasks(t *testing.T) {
	old := aTask("old", 1, 0, TaskRunning)
	old.DesiredState = TaskShutdown
	for name, test := range map[string]struct {
		replicas uint64
		policy   RestartCondition
		state    UpdateState
		tasks    []Task
		settled  bool
		done     bool
		err      error
	}{
		"nothing yet":           {2, "", "", nil, false, false, nil},
		"one of two":            {2, "", "", []Task{aTask("a", 1, 1, TaskRunning)}, false, false, nil},
		"starting":              {1, "", "", []Task{aTask("a", 1, 1, TaskStarting)}, false, false, nil},
		"all":                   {1, "", "", []Task{aTask("a", 1, 1, TaskRunning)}, true, true, nil},
		"all, completed":        {1, "", UpdateCompleted, []Task{aTask("a", 1, 1, TaskRunning)}, true, true, nil},
		"completed, none runs":  {1, "", UpdateCompleted, []Task{aTask("a", 1, 1, TaskPending)}, false, false, nil},
		"failed for good":       {1, RestartNone, UpdateCompleted, []Task{aTask("a", 1, 1, TaskFailed)}, false, false, ErrTasksFailed},
		"failed, updating":      {1, RestartNone, UpdateInProgress, []Task{aTask("a", 1, 1, TaskFailed)}, false, false, nil},
		"still updating":        {1, "", UpdateInProgress, []Task{aTask("a", 1, 1, TaskRunning)}, true, false, nil},
		"an old one too":        {1, "", "", []Task{old, aTask("a", 1, 1, TaskRunning)}, false, false, nil},
		"the old one alone":     {1, "", "", []Task{aTask("old", 1, 0, TaskRunning)}, false, false, nil},
		"one too many":          {1, "", "", []Task{aTask("a", 1, 1, TaskRunning), aTask("b", 2, 1, TaskRunning)}, false, false, nil},
		"none wanted":           {0, "", "", nil, true, true, nil},
		"none wanted, one left": {0, "", "", []Task{old}, false, false, nil},
		"done is not running":   {1, RestartAny, "", []Task{aTask("done", 1, 1, TaskComplete)}, false, false, nil},
		"done once is enough":   {1, RestartNone, "", []Task{aTask("done", 1, 1, TaskComplete)}, true, true, nil},
	} {
		s := seen(Replicated(test.replicas), nil, test.state, test.tasks...)
		if test.policy != "" {
			s.Service.Spec.TaskTemplate.RestartPolicy = &RestartPolicy{Condition: test.policy}
		}
		j, now := judgeOf(s), time.Now()
		first := j.judge(s, now)
		assert.Equal(t, verdict{}, first, "%s: nothing has lasted yet", name)
		assert.Equal(t, test.settled, j.seen.Settled, "%s: %s", name, j.seen)
		then := j.judge(s, now.Add(time.Hour))
		assert.Equal(t, test.done, then.final && then.err == nil, "%s, an hour later", name)
		assert.Truef(t, then.err == nil && test.err == nil || errors.Is(then.err, test.err), "%s: %v", name, then.err)
	}
}

func TestANewTaskBeginsTheWaitAnew(t *testing.T) {
	first, second := seen(Replicated(1), nil, "", aTask("a", 1, 1, TaskRunning)), seen(Replicated(1), nil, "", aTask("b", 1, 2, TaskRunning))
	j, now := judgeOf(first), time.Now()
	require.False(t, j.judge(first, now).final)
	assert.False(t, j.judge(second, now.Add(time.Hour)).final, "the task has been replaced in between")
	assert.False(t, j.judge(second, now.Add(time.Hour+4*time.Second)).final)
	assert.True(t, j.judge(second, now.Add(time.Hour+5*time.Second)).final)
}

func TestTasksOnNodesThatAreDownDoNotRun(t *testing.T) {
	task := aTask("a", 1, 1, TaskRunning)
	task.NodeID = "n"
	for state, want := range map[NodeState]bool{NodeReady: true, NodeDown: false, NodeUnknown: false} {
		s := seen(Replicated(1), nil, "", task)
		s.Nodes = []Node{{ID: "n", Status: NodeStatus{State: state}}}
		j := judgeOf(s)
		j.judge(s, time.Now())
		assert.Equal(t, want, j.seen.Settled, state)
	}
	s := seen(Replicated(1), nil, "", task)
	s.Nodes = []Node{{ID: "other", Status: NodeStatus{State: NodeReady}}}
	j := judgeOf(s)
	j.judge(s, time.Now())
	assert.False(t, j.seen.Settled, "its node is gone")
}

func TestAnOldTaskOnANodeThatIsDownIsNotWaitedFor(t *testing.T) {
	old, task := aTask("old", 1, 0, TaskRunning), aTask("a", 1, 1, TaskRunning)
	old.DesiredState, old.NodeID, task.NodeID = TaskShutdown, "gone", "n"
	s := seen(Replicated(1), nil, "", old, task)
	s.Nodes = []Node{{ID: "n", Status: NodeStatus{State: NodeReady}}, {ID: "gone", Status: NodeStatus{State: NodeDown}}}
	j := judgeOf(s)
	j.judge(s, time.Now())
	assert.True(t, j.seen.Settled)
}

func TestGlobalServicesNeedEveryNodeThatTakesThem(t *testing.T) {
	task, old := aTask("a", 0, 1, TaskRunning), aTask("old", 0, 0, TaskRunning)
	task.NodeID, old.NodeID = "n", "paused"
	node := func(id string, state NodeState, availability NodeAvailability) Node {
		return Node{ID: id, Status: NodeStatus{State: state}, Spec: NodeSpec{Availability: availability, Role: RoleWorker}}
	}
	for name, test := range map[string]struct {
		other Node
		want  uint64
	}{
		"takes tasks": {node("m", NodeReady, NodeActive), 2},
		"drained":     {node("m", NodeReady, NodeDrain), 1},
		"down":        {node("m", NodeDown, NodeActive), 1},
		"paused":      {node("paused", NodeReady, NodePause), 1}, // and the old task there is left alone
	} {
		s := seen(Global(), nil, "", task, old)
		s.Nodes = []Node{node("n", NodeReady, NodeActive), test.other}
		if name != "paused" {
			s.Tasks = s.Tasks[:1]
		}
		j := judgeOf(s)
		j.judge(s, time.Now())
		assert.Equal(t, test.want, j.seen.Desired, name)
		assert.Equal(t, test.want == 1, j.seen.Settled, name)
	}
	s := seen(Global(), nil, "", task)
	s.Service.Spec.TaskTemplate.Placement = &Placement{Constraints: []string{"node.role==manager"}}
	s.Tasks, s.Nodes = nil, []Node{node("n", NodeReady, NodeActive)}
	j := judgeOf(s)
	require.False(t, j.judge(s, time.Now()).final)
	assert.ErrorIs(t, j.judge(s, time.Now().Add(noNodeDelay)).err, ErrNoEligibleNode)
}

func TestJobsAreJudgedByTheirRun(t *testing.T) {
	run := func(iteration uint64, states ...TaskState) (tasks []Task) {
		for i, state := range states {
			task := aTask(fmt.Sprint(i), i%2+1, i, state)
			task.JobIteration = &Version{Index: iteration}
			tasks = append(tasks, task)
		}
		return tasks
	}
	for name, test := range map[string]struct {
		policy *RestartPolicy
		tasks  []Task
		done   bool
		err    error
	}{
		"nothing yet":             {nil, nil, false, nil},
		"running":                 {nil, run(3, TaskRunning, TaskComplete), false, nil},
		"complete":                {nil, run(3, TaskComplete, TaskComplete), true, nil},
		"overrun":                 {nil, run(3, TaskComplete, TaskComplete, TaskComplete), true, nil},
		"another run":             {nil, run(2, TaskComplete, TaskComplete), false, nil},
		"failed, tries again":     {nil, run(3, TaskFailed, TaskFailed, TaskFailed), false, nil},
		"failed for good":         {&RestartPolicy{Condition: RestartNone}, run(3, TaskComplete, TaskFailed), false, ErrJobFailed},
		"failed, may once more":   {&RestartPolicy{MaxAttempts: new(uint64(1))}, run(3, TaskFailed, TaskFailed), false, nil},
		"failed once too often":   {&RestartPolicy{MaxAttempts: new(uint64(1))}, run(3, TaskFailed, TaskComplete, TaskFailed), false, ErrJobFailed},
		"rejected for good":       {&RestartPolicy{Condition: RestartNone}, run(3, TaskRejected), false, ErrJobFailed},
		"complete in spite of it": {&RestartPolicy{Condition: RestartNone}, run(3, TaskFailed, TaskFailed, TaskComplete, TaskComplete), true, nil},
		"run again":               {nil, run(4, TaskComplete, TaskComplete), false, ErrSuperseded},
	} {
		s := seen(ReplicatedJob(2, 1), test.policy, "", test.tasks...)
		s.Service.JobStatus = &JobStatus{JobIteration: Version{Index: 3}}
		if name == "run again" {
			s.Service.JobStatus.JobIteration.Index = 4
		}
		j, now := judgeOf(s), time.Now()
		j.rollout.JobIteration = 3
		j.began = now.Add(-time.Hour)
		got := j.judge(s, now)
		assert.Equal(t, test.done, got.final && got.err == nil, name)
		assert.Truef(t, got.err == nil && test.err == nil || errors.Is(got.err, test.err), "%s: %v", name, got.err)
	}
}

func TestARolloutErrorSaysWhatWasMissing(t *testing.T) {
	err := &RolloutError{Err: context.DeadlineExceeded, Progress: Progress{Service: "web", Running: 2, Desired: 3, Outdated: 1,
		UpdateStatus: &UpdateStatus{State: UpdateInProgress}, Reasons: []string{"rejected: No such image: a:1"}}}
	assert.Equal(t, "rollout of web: 2 of 3 tasks run, 1 outdated, updating (rejected: No such image: a:1): context deadline exceeded", err.Error())
	assert.ErrorIs(t, err, context.DeadlineExceeded)
}

func TestAWatchOfAServiceThatIsGoneEndsAtOnce(t *testing.T) {
	engine := &oneService{spec: []byte(webSpec)}
	err := clientOf(t, engine).Services.Wait(t.Context(), Rollout{ServiceID: "gone", Kind: RolloutUpdate}, nil)
	assert.Error(t, err) // the engine's 404 is that of a proxy, not of a missing service
	assert.NotErrorIs(t, err, ErrRemoved)
}
