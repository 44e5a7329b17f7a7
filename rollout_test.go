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
		w := &rolloutWatch{rollout: Rollout{Kind: test.kind, Spec: target}}
		service := &Service{Spec: test.has}
		if test.state != "" {
			service.UpdateStatus = &UpdateStatus{State: test.state}
		}
		err := w.verdict(service)
		assert.Truef(t, err == nil && test.want == nil || errors.Is(err, test.want), "%s, %q, %s: %v", test.kind, test.state, test.has.TaskTemplate.ContainerSpec.Image, err)
	}
}

func TestASpecIsRecognisedWithTheEnginesDefaults(t *testing.T) {
	sent := ServiceSpec{Name: "web", TaskTemplate: TaskSpec{
		ContainerSpec: ContainerSpec{Image: "a:1", Env: []string{"A=1"}},
		Networks:      []NetworkAttachmentConfig{{Target: "front"}},
	}, EndpointSpec: EndpointSpec{Ports: []PortConfig{{TargetPort: 80}}}}
	read := sent
	read.Mode = Replicated(1)
	read.TaskTemplate.Runtime = "container"
	read.TaskTemplate.ContainerSpec.Image = "a:1@sha256:abc"
	read.TaskTemplate.ContainerSpec.Isolation = "default"
	read.TaskTemplate.Networks = []NetworkAttachmentConfig{{Target: "0123456789"}}
	read.EndpointSpec = EndpointSpec{Mode: "vip", Ports: []PortConfig{{TargetPort: 80, Protocol: ProtocolTCP, PublishMode: PublishIngress}}}
	assert.True(t, isSpec(read, sent))
	assert.True(t, isSpec(sent, sent))
	changed := read
	changed.TaskTemplate.ContainerSpec.Env = []string{"A=2"}
	assert.False(t, isSpec(changed, sent))
	changed = read
	changed.EndpointSpec.Ports = nil
	assert.False(t, isSpec(changed, sent))
}

// aTask is a task of a slot, made n seconds after the beginning.
func aTask(id string, slot int, n int, state TaskState) Task {
	desired := TaskRunning
	if state.Terminal() {
		desired = TaskShutdown
	}
	return Task{ID: id, Slot: slot, CreatedAt: time.Unix(int64(n), 0), DesiredState: desired, Status: TaskStatus{State: state}}
}

func TestServicesAreJudgedByTheirTasks(t *testing.T) {
	old := aTask("old", 1, 0, TaskRunning)
	old.DesiredState = TaskShutdown
	done := aTask("done", 1, 1, TaskComplete)
	for name, test := range map[string]struct {
		replicas uint64
		policy   RestartCondition
		state    UpdateState
		all      []Task
		current  []Task
		settled  bool
	}{
		"nothing yet":           {2, "", "", nil, nil, false},
		"one of two":            {2, "", "", []Task{aTask("a", 1, 1, TaskRunning)}, []Task{aTask("a", 1, 1, TaskRunning)}, false},
		"starting":              {1, "", "", []Task{aTask("a", 1, 1, TaskStarting)}, []Task{aTask("a", 1, 1, TaskStarting)}, false},
		"all":                   {1, "", "", []Task{aTask("a", 1, 1, TaskRunning)}, []Task{aTask("a", 1, 1, TaskRunning)}, true},
		"all, completed":        {1, "", UpdateCompleted, []Task{aTask("a", 1, 1, TaskRunning)}, []Task{aTask("a", 1, 1, TaskRunning)}, true},
		"completed, none runs":  {1, "", UpdateCompleted, []Task{aTask("a", 1, 1, TaskFailed)}, []Task{aTask("a", 1, 1, TaskFailed)}, false},
		"still updating":        {1, "", UpdateInProgress, []Task{aTask("a", 1, 1, TaskRunning)}, []Task{aTask("a", 1, 1, TaskRunning)}, false},
		"an old one too":        {1, "", "", []Task{old, aTask("a", 1, 1, TaskRunning)}, []Task{aTask("a", 1, 1, TaskRunning)}, false},
		"the old one alone":     {1, "", "", []Task{aTask("old", 1, 0, TaskRunning)}, nil, false},
		"one too many":          {1, "", "", []Task{aTask("a", 1, 1, TaskRunning), aTask("b", 2, 1, TaskRunning)}, []Task{aTask("a", 1, 1, TaskRunning), aTask("b", 2, 1, TaskRunning)}, false},
		"none wanted":           {0, "", "", nil, nil, true},
		"none wanted, one left": {0, "", "", []Task{old}, nil, false},
		"done is not running":   {1, RestartAny, "", []Task{done}, []Task{done}, false},
		"done once is enough":   {1, RestartNone, "", []Task{done}, []Task{done}, true},
	} {
		w := &rolloutWatch{began: time.Now()}
		service := &Service{Spec: ServiceSpec{Mode: Replicated(test.replicas)}}
		if test.policy != "" {
			service.Spec.TaskTemplate.RestartPolicy = &RestartPolicy{Condition: test.policy}
		}
		if test.state != "" {
			service.UpdateStatus = &UpdateStatus{State: test.state}
		}
		ended, err := w.judgeService(service, test.all, test.current)
		require.NoError(t, err, name)
		assert.False(t, ended, "%s: nothing has lasted yet", name)
		assert.Equal(t, test.settled, w.seen.Settled, "%s: %s", name, w.seen)
		w.began, w.settledAt = time.Now().Add(-time.Hour), time.Now().Add(-time.Hour)
		ended, err = w.judgeService(service, test.all, test.current)
		require.NoError(t, err, name)
		assert.Equal(t, test.settled, ended, "%s, an hour later", name)
	}
}

func TestANewTaskBeginsTheWaitAnew(t *testing.T) {
	w := &rolloutWatch{began: time.Now().Add(-time.Hour)}
	service := &Service{Spec: ServiceSpec{Mode: Replicated(1)}}
	first, second := []Task{aTask("a", 1, 1, TaskRunning)}, []Task{aTask("b", 1, 2, TaskRunning)}
	_, _ = w.judgeService(service, first, first)
	w.settledAt = time.Now().Add(-time.Hour)
	ended, err := w.judgeService(service, second, second)
	require.NoError(t, err)
	assert.False(t, ended, "the task has been replaced in between")
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
	} {
		w := &rolloutWatch{began: time.Now().Add(-time.Second), rollout: Rollout{JobIteration: 3}}
		service := &Service{Spec: ServiceSpec{Mode: ReplicatedJob(2, 1)}}
		service.Spec.TaskTemplate.RestartPolicy = test.policy
		done, err := w.judgeJob(service, test.tasks)
		assert.Equal(t, test.done, done, name)
		assert.Truef(t, err == nil && test.err == nil || errors.Is(err, test.err), "%s: %v", name, err)
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
