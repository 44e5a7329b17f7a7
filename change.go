package swarm

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ServiceModifyOptions are what a service can be modified with beside the change
// itself.
type ServiceModifyOptions struct {
	// Auth are the credentials for the registry of the image. Nil keeps those
	// that the swarm has stored with the service.
	Auth *RegistryAuth
	// AuthFrom finds the credentials, instead of Auth. Nil asks the client's own
	// source, see [WithRegistryAuth], if it has one; an empty [StaticAuth] keeps
	// those that the swarm has stored.
	AuthFrom AuthSource
	// AuthFromPreviousSpec takes the credentials stored with the previous spec
	// instead of those stored with the current one. Not together with Auth or
	// AuthFrom. Needs API 1.25.
	AuthFromPreviousSpec bool
	// Pin says whether the image that the service has after the change is pinned
	// to its digest. Zero is [PinOff].
	Pin PinMode
	// DryRun finds out what would be done, and does not do it. The result says whether
	// anything would have been sent, and its Rollout has the spec that the service would
	// have, for [DiffSpec] and [WillRestart]. A field that the engine is too old for is
	// found, what it would refuse is not. Waiting for that Rollout waits for a change
	// that nobody makes.
	DryRun bool
	// RerunJob allows the change of a job, which runs it again whatever changes.
	// Without it a change of a job is [ErrInvalid].
	RerunJob bool
}

// Modify calls change with the service as it is, which may then change its Spec,
// and writes the result back. If somebody else wrote the service in between, also
// the engine itself, it reads the service and calls change again, until ctx is
// done: change may run more than once and must not rely on what it did before. If
// the service then is just what change has made of it, perhaps because the engine
// asked its next leader again, the error is an [*OutcomeUnknownError].
//
// Everything that change leaves alone stays as it is, also what this library does
// not know; see [ServiceClient.Update] for that and for the errors. If change
// changes nothing, nothing is sent, and the result says so. An error of change
// ends it and is returned as it is.
//
// Engine endpoints: GET /services/{id}, POST /services/{id}/update
func (s *ServiceClient) Modify(ctx context.Context, ref string, change func(*Service) error, opts *ServiceModifyOptions) (*ServiceChange, error) {
	return s.change(ctx, "modify service", ref, change, opts)
}

func (s *ServiceClient) change(ctx context.Context, op, ref string, change func(*Service) error, opts *ServiceModifyOptions) (*ServiceChange, error) {
	opts = cmp.Or(opts, &ServiceModifyOptions{})
	if err := opts.Pin.check(op, ref); err != nil {
		return nil, err
	}
	service, err := s.find(ctx, op, ref)
	if err != nil {
		return nil, err
	}
	return s.modify(ctx, op, service, change, opts)
}

// modify changes a service that was read, and reads it again when that was in
// vain.
func (s *ServiceClient) modify(ctx context.Context, op string, service *Service, change func(*Service) error, opts *ServiceModifyOptions) (*ServiceChange, error) {
	update := &ServiceUpdateOptions{Auth: opts.Auth, AuthFrom: opts.AuthFrom, AuthFromPreviousSpec: opts.AuthFromPreviousSpec, Pin: opts.Pin, DryRun: opts.DryRun, RerunJob: opts.RerunJob}
	read := func() (*Service, error) { return service, nil }
	var result *ServiceChange
	err := s.client.modify(ctx, func(ctx context.Context) error {
		now, err := read()
		if err != nil {
			return err
		}
		read = func() (*Service, error) { return s.inspect(ctx, op, service.ID, nil) } // names move, IDs do not
		shown := *now
		if err := change(&shown); err != nil {
			return callersError{err}
		}
		written := *now // all but the spec is the engine's
		written.Spec = shown.Spec
		result, err = s.update(ctx, op, &written, update)
		return err
	})
	return result, err
}

// SetImage makes a service run another image. Without Pin the reference is sent
// as it is: a tag is resolved by each node for itself, when it starts a task.
//
// Engine endpoints: GET /services/{id}, POST /services/{id}/update
func (s *ServiceClient) SetImage(ctx context.Context, ref, image string, opts *ServiceModifyOptions) (*ServiceChange, error) {
	return s.change(ctx, "set image of service", ref, func(service *Service) error {
		service.Spec.TaskTemplate.ContainerSpec.Image = image
		return nil
	}, opts)
}

// Scale sets the number of tasks of a replicated service; tasks that run are
// left alone. A [StoppedLabel] goes, unless the service has no tasks and gets none.
// For a replicated job it sets how often it must complete, and runs it
// again, which the options must allow. A global service has as many tasks as
// nodes: scaling it is [ErrInvalid], and nothing is sent.
//
// Engine endpoints: GET /services/{id}, POST /services/{id}/update
func (s *ServiceClient) Scale(ctx context.Context, ref string, tasks uint64, opts *ServiceModifyOptions) (*ServiceChange, error) {
	const op = "scale service"
	return s.change(ctx, op, ref, scaling(op, ref, func(uint64) uint64 { return tasks }), opts)
}

// scaling changes the number of a service's tasks, or of what a job must complete.
func scaling(op, ref string, count func(now uint64) uint64) func(*Service) error {
	return func(service *Service) error {
		switch mode := &service.Spec.Mode; mode.Kind() {
		case ModeReplicated:
			now := replicasOf(*mode)
			tasks := count(now)
			if tasks > 0 || now > 0 { // it is not what Stop has left any more
				service.Spec.DropLabel(StoppedLabel)
			}
			mode.Replicated = &ReplicatedService{Replicas: new(tasks)}
		case ModeReplicatedJob:
			mode.ReplicatedJob.TotalCompletions = new(count(totalCompletions(mode.ReplicatedJob)))
		default:
			return invalid(op, ref, "a %s service cannot be scaled", mode.Kind())
		}
		return nil
	}
}

// ServiceScaleByOptions bound what [ServiceClient.ScaleBy] does.
type ServiceScaleByOptions struct {
	// Min is the least number of tasks. Zero, the default, lets the last one go.
	Min uint64
	// Max is the greatest number of tasks. Zero, the default, means any number.
	Max uint64
	// Modify is what else the change is made with. Nil means its defaults.
	Modify *ServiceModifyOptions
}

// ScaleBy makes a replicated service have delta tasks more than it has, or less if
// it is negative, but not less than Min of the options and not more than Max: it
// stops at the bound, also where the number was beyond it before, and at 0. The
// spec of the result has the number; if that is what it was, nothing is sent and
// Changed is false.
//
// It counts from the newest number: two calls at the same time both count, also
// from different processes. For that reason a lost answer is not made good by
// calling again, see [OutcomeUnknownError]. All else is as for
// [ServiceClient.Scale], also jobs, the label that a stopped service has, and that
// a global service is [ErrInvalid]. So is a Max below Min.
//
// Engine endpoints: GET /services/{id}, POST /services/{id}/update
func (s *ServiceClient) ScaleBy(ctx context.Context, ref string, delta int64, opts *ServiceScaleByOptions) (*ServiceChange, error) {
	const op = "scale service"
	opts = cmp.Or(opts, &ServiceScaleByOptions{})
	highest := cmp.Or(opts.Max, math.MaxUint64)
	if highest < opts.Min {
		return nil, invalid(op, ref, "Max, %d, is below Min, %d", opts.Max, opts.Min)
	}
	count := func(now uint64) uint64 { return min(max(plus(now, delta), opts.Min), highest) }
	return s.change(ctx, op, ref, scaling(op, ref, count), opts.Modify)
}

// plus adds as far as there are numbers.
func plus(n uint64, delta int64) uint64 {
	if delta < 0 {
		return n - min(n, -uint64(delta)) // also for the least number, whose opposite is none
	}
	return n + min(uint64(delta), math.MaxUint64-n)
}

// Redeploy replaces all tasks of a service although nothing has changed, as the
// UpdateConfig says; a job is run again. Nodes pull the image again if its tag
// has moved. With Pin an image that has a tag and a digest is given the digest
// that the tag has now; with [PinBestEffort] it keeps its digest if the registry
// cannot be asked.
//
// Engine endpoints: GET /services/{id}, POST /services/{id}/update
func (s *ServiceClient) Redeploy(ctx context.Context, ref string, opts *ServiceModifyOptions) (*ServiceChange, error) {
	allowed := ServiceModifyOptions{}
	if opts != nil {
		allowed = *opts
	}
	allowed.RerunJob = true
	return s.change(ctx, "redeploy service", ref, func(service *Service) error {
		service.Spec.TaskTemplate.ForceUpdate++
		if image := &service.Spec.TaskTemplate.ContainerSpec.Image; allowed.Pin != PinOff {
			*image = byTag(*image)
		}
		return nil
	}, &allowed)
}

// byTag is the reference of an image without its digest, if it has a tag.
func byTag(image string) string {
	ref, err := ParseImageReference(image)
	if err != nil || ref.Tag == "" || ref.Digest == "" {
		return image
	}
	ref.Digest = ""
	return ref.String()
}

// StoppedLabel is the label of a service in which [ServiceClient.Stop] remembers
// how many tasks it had.
const StoppedLabel = "io.github.swarm-go.stopped-replicas"

// Stop makes a replicated service run nothing, and remembers in its
// [StoppedLabel] how many tasks it had, for [ServiceClient.Start]. A service that
// has no tasks already is left as it is. Of the others a global service cannot be
// without tasks, and a job stops by itself: stopping them is [ErrInvalid], and
// nothing is sent.
//
// Engine endpoints: GET /services/{id}, POST /services/{id}/update
func (s *ServiceClient) Stop(ctx context.Context, ref string, opts *ServiceModifyOptions) (*ServiceChange, error) {
	const op = "stop service"
	return s.change(ctx, op, ref, func(service *Service) error {
		replicas := replicasOf(service.Spec.Mode)
		if err := checkStoppable(op, ref, service.Spec.Mode); err != nil || replicas == 0 {
			return err
		}
		service.Spec.PutLabel(StoppedLabel, strconv.FormatUint(replicas, 10))
		service.Spec.Mode = Replicated(0)
		return nil
	}, opts)
}

// Start gives a service that [ServiceClient.Stop] has stopped as many tasks as it
// had. A service that has tasks is left as it is. One that has none, but was not
// stopped so, is [ErrInvalid]: [ServiceClient.Scale] says how many there shall be.
// So is a service that is not replicated.
//
// Engine endpoints: GET /services/{id}, POST /services/{id}/update
func (s *ServiceClient) Start(ctx context.Context, ref string, opts *ServiceModifyOptions) (*ServiceChange, error) {
	const op = "start service"
	return s.change(ctx, op, ref, func(service *Service) error {
		if err := checkStoppable(op, ref, service.Spec.Mode); err != nil || replicasOf(service.Spec.Mode) > 0 {
			return err
		}
		remembered, err := strconv.ParseUint(service.Spec.Labels[StoppedLabel], 10, 64)
		if err != nil || remembered == 0 {
			return invalid(op, ref, "nothing says how many tasks it had: its label %s is %q", StoppedLabel, service.Spec.Labels[StoppedLabel])
		}
		service.Spec.DropLabel(StoppedLabel)
		service.Spec.Mode = Replicated(remembered)
		return nil
	}, opts)
}

func checkStoppable(op, ref string, mode ServiceMode) error {
	if mode.Kind() != ModeReplicated {
		return invalid(op, ref, "a %s service cannot be stopped and started", mode.Kind())
	}
	return nil
}

// RemoveAndWait removes a service and returns when nothing of it is left: its
// tasks have ended on their nodes, and its name, its ports, its networks, secrets
// and configs are free for others, or to be removed. When ctx is done first the
// error says which tasks are left; those of a node that is down are, until it comes
// back or is removed.
//
// Old engines, below API 1.45, go on running the tasks of a job that is removed.
// There a job that is not complete is first changed into one that runs nothing,
// which ends them: it begins another run, without tasks.
//
// Engine endpoints: GET /services/{id}, DELETE /services/{id}, GET /tasks, GET /nodes, POST /services/{id}/update
func (s *ServiceClient) RemoveAndWait(ctx context.Context, ref string) error {
	const op = "remove service"
	service, err := s.find(ctx, op, ref)
	if err != nil {
		return err
	}
	if err := s.removeWithTasks(ctx, op, ref, service); err != nil {
		return err
	}
	return s.waitEnded(ctx, op, ref, service)
}

// removeWithTasks removes a service so that its tasks are ended too. It does not
// wait for that, if it need not.
func (s *ServiceClient) removeWithTasks(ctx context.Context, op, ref string, service *Service) error {
	call := &call{op: op, object: ref, to: to("/services/{id}", service.ID)}
	agreed, err := s.client.agreed(ctx, call)
	if err != nil {
		return callError(call, err, false)
	}
	if service.JobStatus != nil && agreed.engine.less(endsRemovedJobs) {
		if err := s.endRun(ctx, op, service); err != nil {
			return err
		}
	}
	return s.client.remove(ctx, call)
}

// endsRemovedJobs is the API of the oldest engine known to end the tasks of jobs
// that are removed. 20.10, of API 1.41, does not.
var endsRemovedJobs = version{1, 45}

// endRun gives a job a new run that has no tasks, and waits for the end of those
// it has. Nothing else but removal ends tasks; a job that is complete has none.
func (s *ServiceClient) endRun(ctx context.Context, op string, service *Service) error {
	snapshot, err := s.Snapshot(ctx, service.ID)
	if err != nil {
		return err
	}
	hasNotEnded := func(task Task) bool { return !task.Status.State.Terminal() }
	if snapshot.State() == StateComplete && !slices.ContainsFunc(snapshot.Tasks, hasNotEnded) {
		return nil
	}
	_, err = s.modify(ctx, op, service, func(service *Service) error {
		template := &service.Spec.TaskTemplate
		if service.Spec.Mode.ReplicatedJob != nil {
			service.Spec.Mode.ReplicatedJob = &ReplicatedJobMode{MaxConcurrent: new(uint64(0)), TotalCompletions: new(uint64(0))}
			return nil
		}
		placement := Placement{}
		if template.Placement != nil {
			placement = *template.Placement
		}
		placement.Constraints = []string{"node.id==none"}
		template.Placement = &placement
		return nil
	}, &ServiceModifyOptions{RerunJob: true, AuthFrom: StaticAuth()}) // it pulls nothing
	if err != nil {
		return err
	}
	return s.waitEnded(ctx, op, service.Spec.Name, service)
}

// How often the tasks of a removed service are looked at.
const (
	firstPoll = 100 * time.Millisecond
	lastPoll  = time.Second
)

// waitEnded waits until all tasks of a service have ended.
func (s *ServiceClient) waitEnded(ctx context.Context, op, ref string, service *Service) error {
	for poll := firstPoll; ; poll = min(poll*3/2, lastPoll) {
		left, err := s.tasksLeft(ctx, service)
		if err != nil || len(left) == 0 {
			return err
		}
		if err := pause(ctx, poll); err != nil {
			return &Error{Op: op, Object: ref, Message: "tasks that have not ended: " + strings.Join(left, ", "), Err: err, kind: ErrInProgress}
		}
	}
}

// maxTasksNamed bounds what errors quote.
const maxTasksNamed = 5

// tasksLeft describes the tasks of a service that have not ended. When it is
// removed they can no longer be asked for by the service, but they bear its name.
func (s *ServiceClient) tasksLeft(ctx context.Context, service *Service) ([]string, error) {
	var left []string
	opts := &TaskListOptions{NamePrefixes: []string{service.Spec.Name + "."}, Runtime: service.listedRuntime()}
	for task, err := range s.client.Tasks.All(ctx, opts) {
		if err != nil {
			return nil, err
		}
		if task.ServiceID == service.ID && !task.Status.State.Terminal() && len(left) < maxTasksNamed {
			left = append(left, fmt.Sprintf("%s (%s on node %s)", task.ID, task.Status.State, cmp.Or(task.NodeID, "none")))
		}
	}
	return left, nil
}
