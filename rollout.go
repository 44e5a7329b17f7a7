package swarm

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"
	"time"
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
	// ErrSuperseded: somebody else has changed the service since, or has run the
	// job again.
	ErrSuperseded error = &conflictError{sentinel{"superseded by another change"}}
	// ErrRemoved: the service is gone.
	ErrRemoved error = &notFoundError{sentinel{"service was removed"}}
	// ErrTasksFailed: tasks have failed and their restart policy lets nothing take
	// their place, or more have failed than MaxTaskFailures of the [WaitOptions].
	ErrTasksFailed error = &preconditionError{sentinel{"tasks have failed for good"}}
	// ErrJobFailed: a task of the job has failed more often than its restart
	// policy allows.
	ErrJobFailed error = &preconditionError{sentinel{"job failed"}}
	// ErrNoEligibleNode: no node may run a task of the global service.
	ErrNoEligibleNode error = &preconditionError{sentinel{"no eligible node"}}
)

// RolloutError is a rollout that did not come to its end. errors.Is tells which
// way: [ErrRolledBack], [ErrRolloutPaused], [ErrRollbackPaused], [ErrSuperseded],
// [ErrRemoved], [ErrTasksFailed], [ErrJobFailed], [ErrNoEligibleNode], or the
// context's error if the waiting ended first.
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
	// rollback of the RollbackConfig, else 5s. If a change has replaced no task, and
	// all have run for longer than that, it is done after the half second in which
	// the engine may still begin an update. Jobs are done when they are complete.
	StableFor time.Duration
	// MaxTaskFailures is how many tasks of the wanted spec may fail, from the first
	// look on, before the wait ends with [ErrTasksFailed]; a task that is replaced
	// counts as often as it has failed. Zero, the default, means any number: what
	// counts is what the engine does about it, and ctx.
	MaxTaskFailures uint64
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
// Whatever else becomes of the service is a [*RolloutError], see there. Without a
// deadline in ctx a service that can never be scheduled is waited for without end;
// with one, the error says what was missing and why. That the engine cannot be
// asked, for a minute or from the beginning, is an [*Error], and says nothing of
// the service.
//
// It looks when the engine tells of an event, some times a second while tasks
// start, and once a second at most when nothing moves. Without events, which are
// lost now and then and which old engines and proxies do not have, it takes up to
// some seconds longer.
//
// Engine endpoints: GET /services/{id}, GET /tasks, GET /nodes, GET /events
func (s *ServiceClient) Wait(ctx context.Context, rollout Rollout, opts *WaitOptions) error {
	for _, err := range s.Watch(ctx, rollout, opts) {
		if err != nil {
			return err
		}
	}
	return nil
}

// WaitAll waits for several rollouts at the same time, for each as
// [ServiceClient.Wait] does and to its own end. It returns the errors of those
// that failed, joined, in the order of the rollouts.
//
// Engine endpoints: GET /services/{id}, GET /tasks, GET /nodes, GET /events
func (s *ServiceClient) WaitAll(ctx context.Context, rollouts []Rollout, opts *WaitOptions) error {
	bell := ring(ctx, s.client)
	defer bell.close()
	errs := make([]error, len(rollouts))
	var waiting sync.WaitGroup
	for i, rollout := range rollouts {
		waiting.Go(func() {
			s.watch(ctx, bell, rollout, opts, func(_ Progress, err error) bool {
				errs[i] = err
				return true
			})
		})
	}
	waiting.Wait()
	return errors.Join(errs...)
}

// stackLabel is the label of all that belongs to a stack.
const stackLabel = "com.docker.stack.namespace"

// WaitStack waits until whatever is going on with the services of a stack is
// done, see [ServiceClient.WaitAll] and [ServiceClient.CurrentRollout]. They are
// those with the label com.docker.stack.namespace of that value. A stack without
// services is [ErrNotFound].
//
// Engine endpoints: GET /services, GET /services/{id}, GET /tasks, GET /nodes, GET /events
func (s *ServiceClient) WaitStack(ctx context.Context, stack string, opts *WaitOptions) error {
	const op = "wait for stack"
	if stack == "" {
		return invalid(op, "", "no stack is named")
	}
	services, err := s.List(ctx, &ServiceListOptions{Labels: map[string]string{stackLabel: stack}})
	if err != nil {
		return err
	}
	if len(services) == 0 {
		return &Error{Op: op, Object: stack, Message: "it has no services", kind: ErrNotFound}
	}
	var rollouts []Rollout
	for _, service := range services {
		rollouts = append(rollouts, rolloutOf(&service, RolloutSettle))
	}
	return s.WaitAll(ctx, rollouts, opts)
}

// WaitFor calls condition with the service as it is, again whenever it has
// changed, until it returns true or an error, which is then WaitFor's. Before it
// ends, condition has seen service, tasks and nodes read at one moment; before
// that, some may be a few seconds old. It must not change what it is given.
//
// A service that does not exist, or not any more, is [ErrNotFound]. If ctx ends
// first, the error is its error and says how the service was.
//
// Engine endpoints: GET /services/{id}, GET /tasks, GET /nodes, GET /events
func (s *ServiceClient) WaitFor(ctx context.Context, ref string, condition func(*ServiceSnapshot) (bool, error)) error {
	const op = "wait for service"
	service, err := s.inspect(ctx, op, ref, nil)
	if err != nil {
		return err
	}
	bell := ring(ctx, s.client)
	defer bell.close()
	l := newLookout(s.client, op, bell, service.ID)
	defer l.close()
	for {
		snapshot, err := l.look(ctx)
		if err != nil {
			return l.explain(ctx, err)
		}
		holds, err := condition(snapshot)
		if err != nil {
			return err
		}
		if holds && l.all {
			return nil
		}
		if holds {
			l.lookAtAll()
			continue
		}
		if err := l.pause(ctx, maxInterval); err != nil {
			return l.explain(ctx, err)
		}
	}
}

// Watch yields the progress of a rollout whenever it changes, until it is done.
// If it comes to another end, that is the error of the last pair; see
// [ServiceClient.Wait].
//
// Engine endpoints: GET /services/{id}, GET /tasks, GET /nodes, GET /events
func (s *ServiceClient) Watch(ctx context.Context, rollout Rollout, opts *WaitOptions) iter.Seq2[Progress, error] {
	return func(yield func(Progress, error) bool) {
		bell := ring(ctx, s.client)
		defer bell.close()
		s.watch(ctx, bell, rollout, opts, yield)
	}
}

// watch yields the progress of a rollout.
func (s *ServiceClient) watch(ctx context.Context, bell *bell, rollout Rollout, opts *WaitOptions, yield func(Progress, error) bool) {
	opts = cmp.Or(opts, &WaitOptions{})
	j := &judge{rollout: rollout, stableFor: opts.StableFor, maxFailures: opts.MaxTaskFailures}
	l := newLookout(s.client, "watch rollout", bell, rollout.ServiceID)
	defer l.close()
	last, doubted := "", false
	for {
		var verdict verdict
		snapshot, err := l.look(ctx)
		if err != nil {
			verdict.err = j.failed(ctx, err)
		} else {
			verdict = j.judge(snapshot, time.Now())
		}
		if verdict.final && !l.all { // by what may be old news
			l.lookAtAll()
			continue
		}
		if isDoubtful(verdict.err) && !doubted && pause(ctx, doubtPause) == nil {
			doubted = true
			l.lookAtAll()
			continue
		}
		if verdict.err != nil {
			yield(Progress{}, verdict.err)
			return
		}
		doubted = false
		if text := j.seen.fingerprint(); text != last {
			last = text
			if !yield(j.seen, nil) {
				return
			}
		}
		if verdict.final {
			return
		}
		l.calm = j.seen.Settled
		if err := l.pause(ctx, j.nextLook(time.Now())); err != nil {
			yield(Progress{}, j.failed(ctx, err))
			return
		}
	}
}

// doubtPause is how long a new leader may not know what the old one has done last.
const doubtPause = 2 * time.Second

// isDoubtful reports whether an end is looked at twice: a service that is gone, or
// has an older spec, may be one that a new leader does not know yet.
func isDoubtful(err error) bool { return errors.Is(err, ErrRemoved) || errors.Is(err, ErrSuperseded) }

// explain is the error of somebody who waited for a condition in vain.
func (l *lookout) explain(ctx context.Context, err error) error {
	if ctx.Err() == nil || l.service == nil {
		return err
	}
	snapshot := l.snapshot()
	text := fmt.Sprintf("it is %s with %s tasks", snapshot.State(), snapshot.Replicas())
	for _, cause := range snapshot.Explain() {
		text += "; " + cause.String()
	}
	return &Error{Op: l.op, Object: serviceLabel(l.service), Message: text, Err: ctx.Err()}
}
