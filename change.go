package swarm

import (
	"context"
)

// ServiceModifyOptions are what a service can be modified with beside the change
// itself.
type ServiceModifyOptions struct {
	// Auth are the credentials for the registry of the image. Nil keeps those
	// that the swarm has stored with the service.
	Auth *RegistryAuth
	// AuthFromPreviousSpec takes the credentials stored with the previous spec
	// instead of those stored with the current one. Not together with Auth.
	AuthFromPreviousSpec bool
	// RerunJob allows the change of a job, which runs it again whatever changes.
	// Without it a change of a job is [ErrInvalid].
	RerunJob bool
}

// Modify calls change with the service as it is, which may then change its Spec,
// and writes the result back. If somebody else wrote the service in between, also
// the engine itself, it reads the service and calls change again, until ctx is
// done: change may run more than once and must not rely on what it did before.
//
// Everything that change leaves alone stays as it is, also what this library does
// not know; see [ServiceClient.Update] for that and for the errors. If change
// changes nothing, nothing is sent, and the result says so. An error of change
// ends it and is returned as it is.
//
// Engine endpoints: GET /services/{id}, POST /services/{id}/update
func (s *ServiceClient) Modify(ctx context.Context, ref string, change func(*Service) error, opts *ServiceModifyOptions) (*ServiceChange, error) {
	const op = "modify service"
	if opts == nil {
		opts = &ServiceModifyOptions{}
	}
	update := &ServiceUpdateOptions{Auth: opts.Auth, AuthFromPreviousSpec: opts.AuthFromPreviousSpec}
	find := func() (*Service, error) { return s.find(ctx, op, ref) }
	var result *ServiceChange
	err := s.client.modify(ctx, func(ctx context.Context) error {
		service, err := find()
		if err != nil {
			return err
		}
		find = func() (*Service, error) { return s.inspect(ctx, op, service.ID, nil) } // names move, IDs do not
		if err := change(service); err != nil {
			return err
		}
		result, err = s.update(ctx, op, service, update, opts.RerunJob)
		return err
	})
	return result, err
}

// SetImage makes a service run another image. The reference is sent as it is: a
// tag is resolved by each node for itself, when it starts a task.
//
// Engine endpoints: GET /services/{id}, POST /services/{id}/update
func (s *ServiceClient) SetImage(ctx context.Context, ref, image string, opts *ServiceModifyOptions) (*ServiceChange, error) {
	return s.Modify(ctx, ref, func(service *Service) error {
		service.Spec.TaskTemplate.ContainerSpec.Image = image
		return nil
	}, opts)
}

// Scale sets the number of tasks of a replicated service; tasks that run are
// left alone. For a replicated job it sets how often it must complete, and runs it
// again, which the options must allow. A global service has as many tasks as
// nodes: scaling it is [ErrInvalid], and nothing is sent.
//
// Engine endpoints: GET /services/{id}, POST /services/{id}/update
func (s *ServiceClient) Scale(ctx context.Context, ref string, tasks uint64, opts *ServiceModifyOptions) (*ServiceChange, error) {
	return s.Modify(ctx, ref, func(service *Service) error {
		switch mode := &service.Spec.Mode; mode.Kind() {
		case ModeReplicated:
			mode.Replicated = &ReplicatedService{Replicas: new(tasks)}
		case ModeReplicatedJob:
			mode.ReplicatedJob.TotalCompletions = new(tasks)
		default:
			return invalid("scale service", ref, "a %s service cannot be scaled", mode.Kind())
		}
		return nil
	}, opts)
}

// Redeploy replaces all tasks of a service although nothing has changed, as the
// UpdateConfig says; a job is run again. Nodes pull the image again if its tag
// has moved.
//
// Engine endpoints: GET /services/{id}, POST /services/{id}/update
func (s *ServiceClient) Redeploy(ctx context.Context, ref string, opts *ServiceModifyOptions) (*ServiceChange, error) {
	allowed := ServiceModifyOptions{RerunJob: true}
	if opts != nil {
		allowed.Auth, allowed.AuthFromPreviousSpec = opts.Auth, opts.AuthFromPreviousSpec
	}
	return s.Modify(ctx, ref, func(service *Service) error {
		service.Spec.TaskTemplate.ForceUpdate++
		return nil
	}, &allowed)
}
