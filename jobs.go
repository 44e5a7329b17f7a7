package swarm

import (
	"context"
	"errors"
	"time"
)

// JobRemoval says when RunJob removes the job that it has run.
type JobRemoval string

// When a job is removed.
const (
	// RemoveNever leaves the job there. The default.
	RemoveNever JobRemoval = ""
	// RemoveOnSuccess removes a job that is complete, unless somebody else has it run
	// again meanwhile.
	RemoveOnSuccess JobRemoval = "on-success"
	// RemoveAlways removes the job whatever has become of it, also when it is
	// waited for no longer. Only if its tasks cannot be read it is left there: the
	// error and Removed of the result say so.
	RemoveAlways JobRemoval = "always"
)

// RunJobOptions say how a job is run.
type RunJobOptions struct {
	// Auth are the credentials for the registry of the image. Nil: none for a new
	// job, those stored with it for one that is run again.
	Auth *RegistryAuth
	// AuthFrom finds the credentials, instead of Auth. Nil asks the client's own
	// source, see [WithRegistryAuth], if it has one.
	AuthFrom AuthSource
	// Pin says whether the image is pinned to its digest. Zero is [PinOff].
	Pin PinMode
	// Remove says when the job is removed. Its tasks go with it, and their logs;
	// those that still run are ended on old engines too, as
	// [ServiceClient.RemoveAndWait] does it.
	Remove JobRemoval
	// MaxLogBytes is how much is kept of each stream of each task, from its
	// beginning. Zero means 64 KiB, a negative number that no logs are read.
	MaxLogBytes int
}

// defaultLogBytes is what is kept of a stream of a job's task.
const defaultLogBytes = 64 << 10

// JobResult is what has become of a job.
type JobResult struct {
	// ServiceID is the full ID of the job's service.
	ServiceID string
	// Rollout is the run of the job. It can be waited for again.
	Rollout Rollout
	// Created tells that the job is new, and not an old one that was run again.
	Created bool
	// Tasks are those of this run, also the ones that have failed and were
	// replaced, in the order of their slots or nodes, the newest first.
	Tasks []JobTask
	// Removed tells that the job is gone.
	Removed bool
}

// JobTask is a task of a job, and what it has left.
type JobTask struct {
	// Task is the task itself.
	Task Task
	// ExitCode is what its process ended with. Nil if it has not ended by itself:
	// it still runs, or never did.
	ExitCode *int
	// Stdout is what it has written to its standard output, or to its terminal.
	Stdout []byte
	// Stderr is what it has written to its standard error.
	Stderr []byte
	// Truncated tells that it has written more than is kept.
	Truncated bool
	// LogErr is why its logs are missing or not whole. It does not make the job a
	// failure.
	LogErr error
}

// RunJob creates a job, or runs the one of that name again, with that spec, waits
// until it is complete, and returns its exit codes and logs. ctx bounds it all.
//
// A job that fails is [ErrJobFailed], and any other end that is not the wanted one
// a [*RolloutError] too, see [ServiceClient.Wait]; the result tells of its tasks
// all the same, and is nil only if there was no job to wait for. A job that somebody
// else removes before its tasks were read is [ErrRemoved]. A spec that is no
// job's is [ErrInvalid], a name that another kind of service has [ErrImmutable].
// Without a restart policy a task that fails is tried again without end. Needs API
// 1.41.
//
// Engine endpoints: POST /services/create, GET /services/{id}, POST /services/{id}/update, DELETE /services/{id}, GET /tasks, GET /nodes, GET /events, GET /tasks/{id}/logs
func (s *ServiceClient) RunJob(ctx context.Context, spec ServiceSpec, opts *RunJobOptions) (*JobResult, error) {
	if opts == nil {
		opts = &RunJobOptions{}
	}
	if kind := spec.Mode.Kind(); kind != ModeReplicatedJob && kind != ModeGlobalJob {
		return nil, invalid("run job", spec.Name, "a %s service is no job", kind)
	}
	switch opts.Remove {
	case RemoveNever, RemoveOnSuccess, RemoveAlways:
	default:
		return nil, invalid("run job", spec.Name, "Remove: unknown %q", opts.Remove)
	}
	result, err := s.startJob(ctx, spec, opts)
	if err != nil {
		return nil, err
	}
	err = s.Wait(ctx, result.Rollout, nil)
	return result, errors.Join(err, s.finishJob(ctx, result, err, opts))
}

// startJob creates a job, or has the one that there is run again. It looks first:
// when the answer to the creation is lost, a job that was there before cannot be
// told from the new one.
func (s *ServiceClient) startJob(ctx context.Context, spec ServiceSpec, opts *RunJobOptions) (*JobResult, error) {
	if spec.Name != "" {
		there, err := s.find(ctx, "run job", spec.Name)
		switch {
		case err == nil && there.Spec.Name == spec.Name:
			return s.rerunJob(ctx, spec, opts)
		case err != nil && !isAbsent(err):
			return nil, err
		}
	}
	created, err := s.Create(ctx, spec, &ServiceCreateOptions{Auth: opts.Auth, AuthFrom: opts.AuthFrom, Pin: opts.Pin})
	switch lost, unknown := errors.AsType[*OutcomeUnknownError](err); {
	case err == nil:
		return &JobResult{ServiceID: created.ID, Rollout: created.Rollout, Created: true}, nil
	case unknown && errors.Is(err, ErrNameConflict):
		r, resolveErr := lost.Resolve(ctx) // it was not there before
		if resolveErr != nil || r.Outcome != OutcomeApplied {
			return nil, err
		}
		return &JobResult{ServiceID: r.ID, Rollout: r.Change.Rollout, Created: true}, nil
	case errors.Is(err, ErrNameConflict) && spec.Name != "":
		return s.rerunJob(ctx, spec, opts) // somebody else came first
	}
	return nil, err
}

// rerunJob has the job of that name run again, with that spec.
func (s *ServiceClient) rerunJob(ctx context.Context, spec ServiceSpec, opts *RunJobOptions) (*JobResult, error) {
	change, err := s.Modify(ctx, spec.Name, func(service *Service) error {
		if has, shall := service.Spec.Mode.Kind(), spec.Mode.Kind(); has != shall {
			return &Error{Op: "run job", Object: spec.Name, Message: "there is a " + string(has) + " service of that name", kind: ErrImmutable}
		}
		again := spec
		again.TaskTemplate.ForceUpdate = service.Spec.TaskTemplate.ForceUpdate + 1 // also if nothing else is new
		service.Spec = again
		return nil
	}, &ServiceModifyOptions{Auth: opts.Auth, AuthFrom: opts.AuthFrom, Pin: opts.Pin, RerunJob: true})
	if err != nil {
		return nil, err
	}
	return &JobResult{ServiceID: change.ID, Rollout: change.Rollout}, nil
}

// cleanUpTime bounds what is still done when ctx is over.
const cleanUpTime = 30 * time.Second

// inSpareTime is ctx, or if that is over some time after it.
func inSpareTime(ctx context.Context) (context.Context, context.CancelFunc) {
	if ctx.Err() == nil {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(context.WithoutCancel(ctx), cleanUpTime)
}

// finishJob collects what a job has left, and removes it if that is wanted and
// nothing is lost by it.
func (s *ServiceClient) finishJob(ctx context.Context, result *JobResult, outcome error, opts *RunJobOptions) error {
	if errors.Is(outcome, ErrRemoved) {
		result.Removed = true
		return nil
	}
	collecting, cancel := inSpareTime(ctx)
	err := s.collect(collecting, result, opts.MaxLogBytes)
	cancel()
	if errors.Is(err, ErrNotFound) {
		result.Removed = true
		return &Error{Op: "run job", Object: result.ServiceID, Message: "it was removed before its tasks were read", Err: err, kind: ErrRemoved}
	}
	if err != nil || opts.Remove != RemoveAlways && (opts.Remove != RemoveOnSuccess || outcome != nil) {
		return err
	}
	removing, cancel := inSpareTime(ctx)
	defer cancel()
	const op = "remove job"
	service, err := s.find(removing, op, result.ServiceID)
	switch {
	case errors.Is(err, ErrNotFound):
		err = nil // somebody else has removed it
	case err != nil:
	case outcome == nil && service.JobStatus != nil && service.JobStatus.JobIteration.Index != result.Rollout.JobIteration:
		return nil // somebody has it run again
	default:
		err = s.removeWithTasks(removing, op, result.ServiceID, service)
	}
	result.Removed = err == nil
	return err
}

// collect reads the tasks of a job's run and their logs.
func (s *ServiceClient) collect(ctx context.Context, result *JobResult, maxLogBytes int) error {
	tasks, err := s.Tasks(ctx, result.ServiceID)
	if err != nil {
		return err
	}
	run := &ServiceSnapshot{Tasks: tasks}
	for _, task := range run.tasksOfRun(result.Rollout.JobIteration) {
		left := JobTask{Task: task}
		status := task.Status.ContainerStatus
		if ended := task.Status.State == TaskComplete || task.Status.State == TaskFailed; ended && status != nil && status.ContainerID != "" {
			left.ExitCode = new(status.ExitCode)
		}
		if maxLogBytes >= 0 && status != nil && status.ContainerID != "" {
			s.readJobLog(ctx, &left, maxLogBytes)
		}
		result.Tasks = append(result.Tasks, left)
	}
	return nil
}

func (s *ServiceClient) readJobLog(ctx context.Context, task *JobTask, max int) {
	if max == 0 {
		max = defaultLogBytes
	}
	logs, err := s.client.Tasks.Logs(ctx, task.Task.ID, nil)
	if err != nil {
		task.LogErr = err
		return
	}
	defer logs.Close()
	stdout, stderr := &keeper{left: max}, &keeper{left: max}
	task.LogErr = logs.Copy(stdout, stderr)
	task.Stdout, task.Stderr = stdout.kept, stderr.kept
	task.Truncated = stdout.truncated || stderr.truncated
}

// keeper keeps the beginning of what is written to it.
type keeper struct {
	kept      []byte
	left      int
	truncated bool
}

func (k *keeper) Write(p []byte) (int, error) {
	n := min(len(p), k.left)
	k.kept = append(k.kept, p[:n]...)
	k.left -= n
	k.truncated = k.truncated || n < len(p)
	return len(p), nil
}
