package swarm

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/swarm-go/swarm/internal/wire"
)

// Rollout names what a service is changing into. It is a plain value: it can be
// stored as JSON and used by another process.
type Rollout struct {
	// ServiceID is the service's full ID.
	ServiceID string
	// Kind is what was done to the service.
	Kind RolloutKind
	// Spec is what the service shall become.
	Spec ServiceSpec
	// JobIteration is which run of a job this is, counted from 0.
	JobIteration uint64 `json:",omitzero"`
}

// RolloutKind is what was done to a service.
type RolloutKind string

// The kinds of rollout.
const (
	// RolloutCreate is a new service.
	RolloutCreate RolloutKind = "create"
	// RolloutUpdate is a changed service.
	RolloutUpdate RolloutKind = "update"
	// RolloutRollback is a service put back to its previous spec on demand.
	RolloutRollback RolloutKind = "rollback"
	// RolloutSettle is a service that nothing was done to.
	RolloutSettle RolloutKind = "settle"
)

func rolloutOf(service *Service, kind RolloutKind) Rollout {
	rollout := Rollout{ServiceID: service.ID, Kind: kind, Spec: service.Spec}
	if kind == RolloutRollback {
		rollout.Spec = *service.PreviousSpec
	}
	if status := service.JobStatus; status != nil {
		rollout.JobIteration = status.JobIteration.Index
		if kind != RolloutSettle {
			rollout.JobIteration++
		}
	}
	return rollout
}

// The errors that a rollout ends with, inside a [*RolloutError].
var (
	// ErrRolledBack: the update failed and the engine has put the service back.
	ErrRolledBack error = &preconditionError{sentinel{"rolled back"}}
	// ErrRolloutPaused: the update failed and the engine has stopped half-way.
	ErrRolloutPaused error = &preconditionError{sentinel{"update paused"}}
	// ErrRollbackPaused: the rollback failed and the engine has stopped half-way.
	ErrRollbackPaused error = &preconditionError{sentinel{"rollback paused"}}
	// ErrSuperseded: somebody else has changed the service since.
	ErrSuperseded error = &conflictError{sentinel{"superseded by another change"}}
	// ErrRemoved: the service is gone.
	ErrRemoved error = &notFoundError{sentinel{"service was removed"}}
	// ErrJobFailed: a task of the job has failed more often than its restart
	// policy allows.
	ErrJobFailed error = &preconditionError{sentinel{"job failed"}}
	// ErrNoEligibleNode: no node may run a task of the global service.
	ErrNoEligibleNode error = &preconditionError{sentinel{"no eligible node"}}
)

// Progress is how far a rollout has come.
type Progress struct {
	// Service is the service's name.
	Service string
	// Running is how many tasks of the wanted spec run, for jobs how many have
	// completed.
	Running uint64
	// Desired is how many there shall be.
	Desired uint64
	// Outdated is how many tasks of an older spec, or more than wanted, still run.
	Outdated uint64
	// UpdateStatus is what the engine says of its update; nil for new services,
	// and for changes that replace no task.
	UpdateStatus *UpdateStatus
	// Tasks are the current tasks, one a slot or node, in that order.
	Tasks []Task
	// Reasons are why tasks do not run, as their nodes word it, each once.
	Reasons []string
	// Settled is set when everything is as wanted and only has to last.
	Settled bool
}

// String is the progress in one line, fit to print: "web: 2 of 3 tasks run".
func (p Progress) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %d of %d tasks run", printable(p.Service), p.Running, p.Desired)
	if p.Outdated > 0 {
		fmt.Fprintf(&b, ", %d outdated", p.Outdated)
	}
	if p.UpdateStatus != nil && p.UpdateStatus.State != UpdateCompleted {
		fmt.Fprintf(&b, ", %s", printable(string(p.UpdateStatus.State)))
	}
	if len(p.Reasons) > 0 {
		fmt.Fprintf(&b, " (%s)", strings.Join(p.Reasons, "; "))
	}
	return b.String()
}

// RolloutError is a rollout that did not come to its end. errors.Is tells which
// way: [ErrRolledBack], [ErrRolloutPaused], [ErrRollbackPaused], [ErrSuperseded],
// [ErrRemoved], [ErrJobFailed], [ErrNoEligibleNode], or the context's error if
// the waiting ended first.
type RolloutError struct {
	// Progress is how far it had come; its Reasons are those of the tasks.
	Progress Progress
	// Err is one of the errors above.
	Err error
}

// Error says how far the rollout had come, and how it ended.
func (e *RolloutError) Error() string {
	text := "rollout of " + e.Progress.String() + ": " + errorText(e.Err)
	if s := e.Progress.UpdateStatus; s != nil && s.Message != "" && !isContextError(e.Err) {
		text += ": " + printable(s.Message)
	}
	return text
}

// Unwrap returns Err.
func (e *RolloutError) Unwrap() error { return e.Err }

// WaitOptions say when a rollout counts as done.
type WaitOptions struct {
	// StableFor is how long everything must stay as wanted. Zero means as long as
	// the engine itself looks at new tasks: Monitor of the UpdateConfig, after a
	// rollback of the RollbackConfig, else 5s. A change that replaces no task is
	// done as soon as it is seen. Jobs are done when they are complete.
	StableFor time.Duration
}

// CurrentRollout names whatever is going on with a service now, to be waited for
// by somebody who did not change it.
//
// Engine endpoint: GET /services/{id}
func (s *ServiceClient) CurrentRollout(ctx context.Context, ref string) (Rollout, error) {
	service, err := s.inspect(ctx, "inspect service", ref, nil)
	if err != nil {
		return Rollout{}, err
	}
	return rolloutOf(service, RolloutSettle), nil
}

// Wait returns nil when the service has become what the rollout names and has
// stayed so for a while: all tasks that shall run do, with the wanted spec, and
// no others. It judges by the tasks and not by what the engine calls completed.
//
// Whatever else becomes of the service is a [*RolloutError], see there; that the
// engine cannot be asked is an [*Error], and says nothing of the service. Without a
// deadline in ctx a service that can never be scheduled is waited for without end;
// with one, the error says what was missing and why.
//
// Engine endpoints: GET /services/{id}, GET /tasks
func (s *ServiceClient) Wait(ctx context.Context, rollout Rollout, opts *WaitOptions) error {
	for _, err := range s.Watch(ctx, rollout, opts) {
		if err != nil {
			return err
		}
	}
	return nil
}

// Watch yields the progress of a rollout whenever it changes, until it is done.
// If it comes to another end, that is the error of the last pair; see
// [ServiceClient.Wait].
//
// Engine endpoints: GET /services/{id}, GET /tasks
func (s *ServiceClient) Watch(ctx context.Context, rollout Rollout, opts *WaitOptions) iter.Seq2[Progress, error] {
	return func(yield func(Progress, error) bool) {
		w := &rolloutWatch{services: s, rollout: rollout, began: time.Now(), changed: time.Now()}
		if opts != nil {
			w.stableFor = opts.StableFor
		}
		for {
			progress, done, err := w.look(ctx)
			if err != nil {
				yield(Progress{}, err)
				return
			}
			if text := progress.String() + fmt.Sprint(progress.Settled); text != w.last {
				w.last, w.changed = text, time.Now()
				if !yield(progress, nil) {
					return
				}
			}
			if done {
				return
			}
			if err := pause(ctx, w.interval()); err != nil {
				yield(Progress{}, &RolloutError{Progress: progress, Err: err})
				return
			}
		}
	}
}

// rolloutWatch is one rollout being watched.
type rolloutWatch struct {
	services  *ServiceClient
	rollout   Rollout
	stableFor time.Duration

	began   time.Time
	seen    Progress  // the last look
	last    string    // what was yielded
	changed time.Time // when that changed

	settledAs string    // the tasks that ran when everything was as wanted
	settledAt time.Time // since when
}

const (
	// statusDelay is how long the engine may take to say that an update began:
	// until then the tasks of before still run, all of them.
	statusDelay = 500 * time.Millisecond
	// noNodeDelay is how long it may take to make the first task of a global service.
	noNodeDelay = 10 * time.Second
	// defaultMonitor is the engine's own default.
	defaultMonitor = 5 * time.Second
)

// interval is the pause before the next look: short while things move, a second
// when nothing has for long. Engines report states with a delay of about 100 ms.
func (w *rolloutWatch) interval() time.Duration {
	switch quiet := time.Since(w.changed); {
	case quiet < 2*time.Second:
		return 100 * time.Millisecond
	case quiet < 10*time.Second:
		return 300 * time.Millisecond
	}
	return time.Second
}

// look asks the engine once and says whether the rollout is done.
func (w *rolloutWatch) look(ctx context.Context) (Progress, bool, error) {
	service, err := w.services.inspect(ctx, "watch rollout", w.rollout.ServiceID, nil)
	if errors.Is(err, ErrNotFound) {
		return w.seen, false, w.fail(ErrRemoved)
	}
	if err != nil {
		return w.seen, false, w.failed(ctx, err)
	}
	w.seen.Service, w.seen.UpdateStatus = serviceLabel(service), service.UpdateStatus
	tasks, err := w.services.client.Tasks.List(ctx, &TaskListOptions{Services: []string{service.ID}})
	if err != nil {
		return w.seen, false, w.failed(ctx, err)
	}
	done, failure := false, error(nil)
	switch service.Spec.Mode.Kind() {
	case ModeReplicatedJob, ModeGlobalJob:
		done, failure = w.judgeJob(service, tasks)
	default:
		current, err := w.services.client.Tasks.List(ctx, &TaskListOptions{Services: []string{service.ID}, UpToDate: true})
		if err != nil {
			return w.seen, false, w.failed(ctx, err)
		}
		done, failure = w.judgeService(service, tasks, current)
	}
	if err := w.verdict(service); err != nil {
		return w.seen, false, err
	}
	return w.seen, done, failure
}

func (w *rolloutWatch) fail(err error) error {
	return &RolloutError{Progress: w.seen, Err: err}
}

// failed is the error of a look that could not be made. A service that went away
// between two requests was removed.
func (w *rolloutWatch) failed(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return w.fail(ctx.Err())
	case errors.Is(err, ErrNotFound):
		return w.fail(ErrRemoved)
	}
	return err
}

// verdict is what the engine and other writers have done to the service. The
// same state can be success for one change and failure for another: a rollback
// that was asked for, and an update that was rolled back.
func (w *rolloutWatch) verdict(service *Service) error {
	state := updateState(service)
	asked := w.rollout.Kind == RolloutRollback || w.rollout.Kind == RolloutSettle
	undone := !asked && (state == RollbackInProgress || state == RollbackCompleted || state == RollbackPaused)
	switch {
	case !undone && !isSpec(service.Spec, w.rollout.Spec):
		return w.fail(ErrSuperseded)
	case state == RollbackPaused:
		return w.fail(ErrRollbackPaused)
	case state == UpdatePaused:
		return w.fail(ErrRolloutPaused)
	case state == RollbackCompleted && undone:
		return w.fail(ErrRolledBack)
	}
	return nil
}

func updateState(service *Service) UpdateState {
	if service.UpdateStatus == nil {
		return ""
	}
	return service.UpdateStatus.State
}

// isSpec reports whether a service has the spec that was sent: engines add
// their defaults, turn names of networks into IDs, and pin images for old APIs.
func isSpec(has, sent ServiceSpec) bool {
	hasTree, err1 := toTree(asSent(has, sent))
	sentTree, err2 := toTree(asSent(sent, sent))
	return err1 == nil && err2 == nil && covers(hasTree, sentTree)
}

// asSent undoes what engines do to a spec that has been sent.
func asSent(spec, sent ServiceSpec) ServiceSpec {
	spec.Networks, spec.TaskTemplate.Networks = nil, nil
	if image := sent.TaskTemplate.ContainerSpec.Image; strings.HasPrefix(spec.TaskTemplate.ContainerSpec.Image, image+"@") {
		spec.TaskTemplate.ContainerSpec.Image = image
	}
	return spec
}

// covers reports whether has holds everything that wanted does.
func covers(has, wanted wire.Node) bool {
	switch {
	case wanted.Kind == wire.Array && has.Kind == wire.Array:
		return slices.EqualFunc(has.Items, wanted.Items, covers)
	case wanted.Kind != wire.Object:
		return has.Equal(wanted)
	}
	for _, m := range wanted.Members {
		value, ok := has.Get(m.Name)
		if !ok && !(m.Value.Kind == wire.Object && len(m.Value.Members) == 0) || ok && !covers(value, m.Value) {
			return false
		}
	}
	return true
}

// judgeService looks at a service whose tasks run until they are stopped. all
// are its tasks, current those of the spec it has now.
func (w *rolloutWatch) judgeService(service *Service, all, current []Task) (bool, error) {
	oneShot := restartsNever(service.Spec.TaskTemplate.RestartPolicy)
	isCurrent := map[string]bool{}
	places := map[string]Task{} // the newest task of each slot or node
	for _, task := range current {
		isCurrent[task.ID] = true
		if task.DesiredState.wanted() || oneShot && task.Status.State == TaskComplete {
			if other, ok := places[task.place()]; !ok || other.CreatedAt.Before(task.CreatedAt) {
				places[task.place()] = task
			}
		}
	}
	w.seen.Running, w.seen.Outdated, w.seen.Desired = 0, 0, uint64(len(places))
	w.seen.Tasks = inOrder(places)
	replicated := service.Spec.Mode.Kind() == ModeReplicated
	if replicated {
		w.seen.Desired = taskCount{}.status(service.Spec.Mode).DesiredTasks
	}
	for _, task := range w.seen.Tasks {
		if task.Status.State == TaskRunning || oneShot && task.Status.State == TaskComplete {
			w.seen.Running++
		}
	}
	for _, task := range all {
		if task.Status.State == TaskRunning && places[task.place()].ID != task.ID {
			w.seen.Outdated++
		}
	}
	w.seen.Reasons = reasonsOf(all)
	if !replicated && len(places) == 0 && time.Since(w.began) > noNodeDelay {
		return false, w.fail(ErrNoEligibleNode)
	}
	state := updateState(service)
	asWanted := w.seen.Running == w.seen.Desired && w.seen.Outdated == 0 && uint64(len(places)) == w.seen.Desired &&
		state != UpdateInProgress && state != RollbackInProgress && (replicated || len(places) > 0)
	return w.settle(service, asWanted), nil
}

// wanted reports the desired states of tasks that shall run, now or after their
// restart delay.
func (s TaskState) wanted() bool { return s == TaskRunning || s == TaskReady || s == TaskAccepted }

// place is what a service has one task for: a slot, or a node if it is global.
func (t *Task) place() string {
	if t.Slot != 0 {
		return fmt.Sprintf("%09d", t.Slot)
	}
	return t.NodeID
}

func inOrder(places map[string]Task) []Task {
	tasks := make([]Task, 0, len(places))
	for _, task := range places {
		tasks = append(tasks, task)
	}
	slices.SortFunc(tasks, func(a, b Task) int { return strings.Compare(a.place(), b.place()) })
	return tasks
}

// restartsNever reports services whose tasks may end by themselves and be done.
func restartsNever(policy *RestartPolicy) bool {
	return policy != nil && (policy.Condition == RestartNone || policy.Condition == RestartOnFailure)
}

// settle decides whether everything has been as wanted for long enough. The same
// tasks must have run all the time.
func (w *rolloutWatch) settle(service *Service, asWanted bool) bool {
	tasks := ""
	newest := time.Time{}
	for _, task := range w.seen.Tasks {
		tasks += task.ID + " "
		if task.CreatedAt.After(newest) {
			newest = task.CreatedAt
		}
	}
	w.seen.Settled = asWanted
	if !asWanted {
		w.settledAt = time.Time{}
		return false
	}
	if w.settledAt.IsZero() || tasks != w.settledAs {
		w.settledAs, w.settledAt = tasks, time.Now()
	}
	lasts := w.stableFor
	if lasts == 0 {
		lasts = monitorOf(service)
		// Both clocks are the swarm's. A change that has replaced nothing until now
		// has nothing to monitor.
		if newest.Before(service.UpdatedAt.Add(-lasts)) {
			lasts = 0
		}
	}
	return time.Since(w.settledAt) >= lasts && time.Since(w.began) >= statusDelay
}

// monitorOf is how long the engine looks at new tasks of the last change.
func monitorOf(service *Service) time.Duration {
	config := service.Spec.UpdateConfig
	if s := service.UpdateStatus; s != nil && (s.State == RollbackInProgress || s.State == RollbackCompleted) {
		config = service.Spec.RollbackConfig
	}
	if config.Monitor > 0 {
		return config.Monitor
	}
	return defaultMonitor
}

// judgeJob looks at a job: only the tasks of the run that is waited for count.
func (w *rolloutWatch) judgeJob(service *Service, all []Task) (bool, error) {
	var run []Task
	failures := map[string]uint64{}
	w.seen.Running, w.seen.Desired = 0, 0
	for _, task := range all {
		if task.JobIteration == nil || task.JobIteration.Index != w.rollout.JobIteration {
			continue
		}
		run = append(run, task)
		failures[task.place()] += 0 // counts the place
		switch task.Status.State {
		case TaskComplete:
			w.seen.Running++
		case TaskFailed, TaskRejected:
			failures[task.place()]++
		}
	}
	w.seen.Tasks, w.seen.Reasons = run, reasonsOf(run)
	if job := service.Spec.Mode.ReplicatedJob; job != nil {
		w.seen.Desired = totalCompletions(job)
	} else if w.seen.Desired = uint64(len(failures)); w.seen.Desired == 0 && time.Since(w.began) > noNodeDelay {
		return false, w.fail(ErrNoEligibleNode)
	}
	// The engine may still be making tasks for more nodes.
	if w.seen.Running >= w.seen.Desired && w.seen.Desired > 0 && time.Since(w.began) >= statusDelay {
		return true, nil
	}
	if attempts, bounded := maxRestarts(service.Spec.TaskTemplate.RestartPolicy); bounded {
		for _, failed := range failures {
			if failed > attempts {
				return false, w.fail(ErrJobFailed)
			}
		}
	}
	return false, nil
}

// maxRestarts is how often the tasks of a job may fail before it has failed.
// Engines go on making new tasks all the same, without end.
func maxRestarts(policy *RestartPolicy) (attempts uint64, bounded bool) {
	switch {
	case policy == nil:
		return 0, false
	case policy.Condition == RestartNone:
		return 0, true
	case policy.MaxAttempts != nil && *policy.MaxAttempts > 0:
		return *policy.MaxAttempts, true
	}
	return 0, false
}

func totalCompletions(job *ReplicatedJobMode) uint64 {
	switch {
	case job.TotalCompletions != nil:
		return *job.TotalCompletions
	case job.MaxConcurrent != nil:
		return *job.MaxConcurrent
	}
	return 1
}

// maxReasons bounds what errors quote.
const maxReasons = 3

// reasonsOf are the newest errors of tasks that do not run, each once.
func reasonsOf(tasks []Task) []string {
	tasks = slices.Clone(tasks)
	slices.SortStableFunc(tasks, func(a, b Task) int { return b.CreatedAt.Compare(a.CreatedAt) })
	var reasons []string
	for _, task := range tasks {
		if task.Status.Err == "" || task.Status.State == TaskRunning {
			continue
		}
		reason := printable(clip(fmt.Sprintf("%s: %s", task.Status.State, task.Status.Err), 256))
		if !slices.Contains(reasons, reason) {
			reasons = append(reasons, reason)
		}
		if len(reasons) == maxReasons {
			break
		}
	}
	return reasons
}
