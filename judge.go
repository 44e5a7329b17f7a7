package swarm

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strconv"
	"time"
)

const (
	// statusDelay is how long the engine may take to say that an update began:
	// until then the tasks of before still run, all of them.
	statusDelay = 500 * time.Millisecond
	// noNodeDelay is how long nodes may take to come, and the engine to make the
	// first task of a global service.
	noNodeDelay = 5 * time.Second
	// defaultMonitor is the engine's own default.
	defaultMonitor = 5 * time.Second
)

// judge decides what a rollout has come to. It knows what it has seen and nothing
// of how it was read.
type judge struct {
	rollout   Rollout
	stableFor time.Duration
	// maxFailures is how many tasks may fail, 0 any number.
	maxFailures uint64

	failures uint64          // tasks that have failed since the first look
	counted  map[string]bool // by ID, also those that had failed before it

	began     time.Time
	seen      Progress      // the last look
	settledAs string        // the tasks that ran when everything was as wanted
	settledAt time.Time     // since when; zero if it is not
	lasts     time.Duration // how long it has to last

	networks map[string]string // the names of networks, by ID, that tasks have told
	compared *Service          // the last whose spec was looked at
	changed  bool              // it is not the one that is waited for
}

// verdict is what a look says of a rollout.
type verdict struct {
	// final tells that the rollout has come to its end.
	final bool
	// err is that end if it is not the one that was wanted.
	err error
}

// judge looks at a service as it is at that time.
func (j *judge) judge(s *ServiceSnapshot, now time.Time) verdict {
	if j.began.IsZero() {
		j.began = now
	}
	done, failure := false, error(nil)
	j.seen = Progress{Service: serviceLabel(s.Service), ServiceID: s.Service.ID, UpdateStatus: s.Service.UpdateStatus}
	if s.isJob() {
		done, failure = j.judgeJob(s, now)
	} else {
		done, failure = j.judgeService(s, now)
	}
	j.learnNetworks(s.Tasks)
	if j.countFailures(s); j.maxFailures > 0 && j.failures > j.maxFailures && failure == nil {
		done, failure = false, ErrTasksFailed
	}
	if err := j.ofOthers(s.Service); err != nil {
		done, failure = false, err
	}
	j.seen.Phase = j.phase(s.Service)
	switch {
	case failure != nil:
		return verdict{final: true, err: j.fail(failure)}
	case done:
		j.seen.Phase = PhaseDone
	}
	return verdict{final: done}
}

func (j *judge) phase(service *Service) RolloutPhase {
	switch state := updateState(service); {
	case state == UpdateInProgress:
		return PhaseUpdating
	case state == RollbackInProgress:
		return PhaseRollingBack
	case j.seen.Settled:
		return PhaseSettling
	}
	return PhaseStarting
}

func (j *judge) fail(err error) error {
	progress := j.seen
	if !isContextError(err) {
		progress.Phase = PhaseFailed
	}
	return &RolloutError{Progress: progress, Err: err}
}

// failed is the error of a look that could not be made. A service that went away
// between two requests was removed.
func (j *judge) failed(ctx context.Context, err error) error {
	if j.seen.Service == "" {
		j.seen.Service, j.seen.ServiceID = cmp.Or(j.rollout.Spec.Name, j.rollout.ServiceID), j.rollout.ServiceID
	}
	switch {
	case ctx.Err() != nil:
		return j.fail(ctx.Err())
	case errors.Is(err, ErrNotFound):
		return j.fail(ErrRemoved)
	}
	return err
}

// nextLook is how long nothing can come of waiting alone.
func (j *judge) nextLook(now time.Time) time.Duration {
	next := maxInterval
	for _, due := range []time.Time{j.began.Add(statusDelay), j.began.Add(noNodeDelay), j.settledAt.Add(j.lasts)} {
		if left := due.Sub(now); left > 0 {
			next = min(next, left)
		}
	}
	return next
}

// ofOthers is what the engine and other writers have done to the service. The
// same state can be success for one change and failure for another: a rollback
// that was asked for, and an update that was rolled back.
func (j *judge) ofOthers(service *Service) error {
	state, undone := updateState(service), j.isUndone(service)
	if service != j.compared {
		j.compared, j.changed = service, !isSpec(service.Spec, j.rollout.Spec, j.networks)
	}
	switch {
	case !undone && j.changed, j.isRunAgain(service):
		return ErrSuperseded
	case state == RollbackPaused:
		return ErrRollbackPaused
	case state == UpdatePaused:
		return ErrRolloutPaused
	case state == RollbackCompleted && undone:
		return ErrRolledBack
	}
	return nil
}

// isUndone reports whether a rollback was begun that nobody has asked for.
func (j *judge) isUndone(service *Service) bool {
	if j.rollout.Kind == RolloutRollback || j.rollout.Kind == RolloutSettle {
		return false
	}
	state := updateState(service)
	return state == RollbackInProgress || state == RollbackCompleted || state == RollbackPaused
}

// learnNetworks notes what the networks of tasks are called: specs hold the names
// that were sent, and services the IDs.
func (j *judge) learnNetworks(tasks []Task) {
	for _, task := range tasks {
		for _, attachment := range task.NetworksAttachments {
			network := attachment.Network
			if _, known := j.networks[network.ID]; known {
				continue
			}
			if j.networks == nil {
				j.networks = map[string]string{}
			}
			j.networks[network.ID], j.compared = network.Spec.Name, nil
		}
	}
}

// isRunAgain reports whether a later run of the job has begun.
func (j *judge) isRunAgain(service *Service) bool {
	return service.JobStatus != nil && service.JobStatus.JobIteration.Index > j.rollout.JobIteration
}

func updateState(service *Service) UpdateState {
	if service.UpdateStatus == nil {
		return ""
	}
	return service.UpdateStatus.State
}

func isMoving(state UpdateState) bool {
	return state == UpdateInProgress || state == RollbackInProgress
}

// judgeService looks at a service whose tasks run until they are stopped.
func (j *judge) judgeService(s *ServiceSnapshot, now time.Time) (bool, error) {
	t := s.tally()
	j.seen.Running, j.seen.Desired, j.seen.UpToDate, j.seen.Outdated = t.running, t.desired, t.upToDate, t.outdated
	j.seen.Tasks, j.seen.Reasons = t.tasks, reasonsOf(j.tasksToBlame(s))
	global := s.Service.Spec.Mode.Kind() == ModeGlobal
	moving := isMoving(updateState(s.Service))
	switch begun := now.Sub(j.began) >= statusDelay; {
	case global && t.desired == 0 && now.Sub(j.began) >= noNodeDelay:
		j.seen.Reasons = append(j.seen.Reasons, s.whyNowhere()...)
		return false, ErrNoEligibleNode
	case begun && !moving && t.deadForGood > 0:
		return false, ErrTasksFailed
	}
	j.settle(s.Service, t.asWanted() && (t.desired > 0 || !global), now)
	return j.seen.Settled && !moving && now.Sub(j.settledAt) >= j.lasts && now.Sub(j.began) >= statusDelay, nil
}

// tasksToBlame are those that can tell why a rollout does not get on: the ones of
// the wanted spec, which after a rollback by the engine is not what the service has.
func (j *judge) tasksToBlame(s *ServiceSnapshot) []Task {
	if j.isUndone(s.Service) {
		return s.Tasks
	}
	return slices.DeleteFunc(slices.Clone(s.Tasks), func(task Task) bool { return !s.UpToDate[task.ID] })
}

// countFailures counts the tasks of the wanted spec, of a job those of the run, that
// have failed since the first look.
func (j *judge) countFailures(s *ServiceSnapshot) {
	first, tasks := j.counted == nil, j.tasksToBlame(s)
	if first {
		j.counted = map[string]bool{}
	}
	if j.seen.Job {
		tasks = j.seen.Tasks
	}
	for _, task := range tasks {
		if !task.hasFailed() || j.counted[task.ID] {
			continue
		}
		j.counted[task.ID] = true
		if !first {
			j.failures++
		}
	}
}

// settle notes since when everything is as wanted. The same tasks must have run
// all the time.
func (j *judge) settle(service *Service, asWanted bool, now time.Time) {
	j.seen.Settled = asWanted
	if !asWanted {
		j.settledAt = time.Time{}
		return
	}
	tasks, newest := "", time.Time{}
	for _, task := range j.seen.Tasks {
		tasks += task.ID + " "
		if task.UpdatedAt.After(newest) {
			newest = task.UpdatedAt
		}
	}
	if j.settledAt.IsZero() || tasks != j.settledAs {
		j.settledAs, j.settledAt = tasks, now
	}
	if j.lasts = j.stableFor; j.lasts == 0 {
		j.lasts = monitorOf(service)
		// Both clocks are the swarm's. Tasks that had come up so long before a change
		// that replaces none are not what is to be monitored.
		if updateState(service) == "" && newest.Before(service.UpdatedAt.Add(-j.lasts)) {
			j.lasts = 0
		}
	}
}

// monitorOf is how long the engine looks at new tasks of the last change. It does
// so for longer than a pause between two tasks takes.
func monitorOf(service *Service) time.Duration {
	config := service.Spec.UpdateConfig
	state := updateState(service)
	if state == RollbackInProgress || state == RollbackCompleted {
		config = service.Spec.RollbackConfig
	}
	monitor := cmp.Or(max(config.Monitor, 0), defaultMonitor)
	if state != "" && config.Delay >= monitor {
		return config.Delay + time.Second
	}
	return monitor
}

// judgeJob looks at a job: only the tasks of the run that is waited for count.
func (j *judge) judgeJob(s *ServiceSnapshot, now time.Time) (bool, error) {
	run := s.tasksOfRun(j.rollout.JobIteration)
	job := s.Service.Spec.Mode.ReplicatedJob
	place := func(task Task) string { return task.NodeID }
	if job != nil {
		place = func(task Task) string { return strconv.Itoa(task.Slot) }
	}
	complete, failures := map[string]uint64{}, map[string]uint64{}
	for _, task := range run {
		switch task.Status.State {
		case TaskComplete:
			complete[place(task)]++
			j.seen.Running++
		case TaskFailed, TaskRejected:
			failures[place(task)]++
		}
	}
	j.seen.Job, j.seen.Tasks, j.seen.UpToDate, j.seen.Reasons = true, run, uint64(len(run)), reasonsOf(run)
	if job != nil {
		j.seen.Desired = totalCompletions(job)
	} else {
		j.seen.Running = uint64(len(complete))
		j.seen.Desired = uint64(len(s.expectedNodes(slices.DeleteFunc(slices.Clone(run), func(task Task) bool {
			calledOff := task.DesiredState == TaskShutdown && !task.hasFailed() // its node takes no tasks any more
			return task.Status.State != TaskComplete && (calledOff || !s.mayRun(task.NodeID))
		}))))
	}
	begun := now.Sub(j.began) >= statusDelay // the engine may still be making tasks for more nodes
	switch {
	case j.seen.Running >= j.seen.Desired && (j.seen.Desired > 0 || job != nil) && begun:
		return true, nil
	case job == nil && j.seen.Desired == 0 && now.Sub(j.began) >= noNodeDelay:
		j.seen.Reasons = append(j.seen.Reasons, s.whyNowhere()...)
		return false, ErrNoEligibleNode
	}
	if attempts, bounded := maxRestarts(s.Service.Spec.TaskTemplate.RestartPolicy); bounded {
		for place, failed := range failures {
			if failed > attempts && complete[place] == 0 {
				return false, ErrJobFailed
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
