package swarm

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// ServiceResult is what has become of one service of those that a call has changed
// or removed.
type ServiceResult struct {
	// ID is the service's full ID. Empty if none was found.
	ID string
	// Ref is the service's name, or what the call was told to find it by.
	Ref string
	// Change is what has been changed. Nil if that failed, and after a removal.
	Change *ServiceChange
	// Err is what the service failed with. Nil if all went well.
	Err error
}

// ModifyAll changes all services that which chooses, all of the swarm if it is
// nil, each as [ServiceClient.Modify] does with change: one after the other, by
// their full IDs, in the order of their names. One that fails does not keep the
// others from being changed. Those for which change changes nothing are sent
// nothing.
//
// The results are of all services, in this order; the error joins theirs, which
// name the services. When ctx is done the services that are left have no
// result, and the error is that of ctx, too. A service that was removed after they
// were listed is [ErrNotFound]; one that no longer is as which wants it is changed
// all the same, if change does not look at that. Auth of opts must name its registry:
// services of images in others fail with [ErrInvalid]; AuthFrom finds credentials
// for each.
//
// To wait, give the rollouts of the changes to [ServiceClient.WaitAll].
//
// Engine endpoints: GET /services, GET /tasks, GET /networks/{id}, GET /nodes, GET /services/{id}, POST /services/{id}/update
func (s *ServiceClient) ModifyAll(ctx context.Context, which *ServiceListOptions, change func(*Service) error, opts *ServiceModifyOptions) ([]ServiceResult, error) {
	const op = "modify service"
	opts = cmp.Or(opts, &ServiceModifyOptions{})
	if err := opts.checkForMany(op); err != nil {
		return nil, err
	}
	services, err := s.inOrder(ctx, which)
	if err != nil {
		return nil, err
	}
	return onEach(ctx, op, services, func(r *ServiceResult) error {
		service, err := s.byID(ctx, op, r) // as it is when its turn comes
		if err != nil {
			return err
		}
		r.Change, err = s.modify(ctx, op, service, func(service *Service) error {
			if err := change(service); err != nil {
				return &Error{Op: op, Object: r.Ref, Err: err}
			}
			return nil
		}, opts)
		return err
	})
}

// ScaleAll sets the numbers of tasks of several services, each as
// [ServiceClient.Scale] does: one after the other, in the order of the references,
// which are full IDs or exact names. One that fails does not keep the others from
// being scaled. Two references of one service are [ErrInvalid] for the second. For
// Auth of opts see [ServiceClient.ModifyAll].
//
// The results are of all services, in this order; the error joins theirs, which
// name the services. When ctx is done the services that are left have no
// result, and the error is that of ctx, too.
//
// Engine endpoints: GET /services/{id}, POST /services/{id}/update
func (s *ServiceClient) ScaleAll(ctx context.Context, tasks map[string]uint64, opts *ServiceModifyOptions) ([]ServiceResult, error) {
	const op = "scale service"
	opts = cmp.Or(opts, &ServiceModifyOptions{})
	if err := opts.checkForMany(op); err != nil {
		return nil, err
	}
	var services []ServiceResult
	for _, ref := range slices.Sorted(maps.Keys(tasks)) {
		services = append(services, ServiceResult{Ref: ref})
	}
	scaled := map[string]string{} // by ID, the reference
	return onEach(ctx, op, services, func(r *ServiceResult) error {
		service, err := s.find(ctx, op, r.Ref)
		if err != nil {
			return err
		}
		r.ID = service.ID
		if other, isScaled := scaled[r.ID]; isScaled {
			return invalid(op, r.Ref, "it is the same service as %s", other)
		}
		scaled[r.ID] = r.Ref
		r.Change, err = s.modify(ctx, op, service, scaling(op, r.Ref, func(uint64) uint64 { return tasks[r.Ref] }), opts)
		return err
	})
}

// ServiceRemoveAllOptions are what several services can be removed with.
type ServiceRemoveAllOptions struct {
	// Everything allows the removal of all services of the swarm, where nothing
	// says which.
	Everything bool
}

// RemoveAll removes all services that which chooses, a stack for instance, each as
// [ServiceClient.Remove] does: one after the other, by their full IDs, in the order
// of their names. One that fails does not keep the others from being removed; one
// that somebody else has removed meanwhile is as good as removed. Networks, secrets
// and configs stay, also those of a stack.
//
// Options that choose all services there are, also because a list of names is
// empty, are [ErrInvalid] and nothing is removed, unless Everything of opts allows
// it. A Runtime alone chooses all, too.
//
// The results are of all services, in this order; the error joins theirs, which
// name the services. When ctx is done the services that are left have no
// result, and the error is that of ctx, too.
//
// Engine endpoints: GET /services, GET /tasks, GET /networks/{id}, GET /nodes, DELETE /services/{id}
func (s *ServiceClient) RemoveAll(ctx context.Context, which *ServiceListOptions, opts *ServiceRemoveAllOptions) ([]ServiceResult, error) {
	const op = "remove service"
	opts = cmp.Or(opts, &ServiceRemoveAllOptions{})
	if !opts.Everything && !which.restricts() {
		return nil, invalid(op, "", "nothing says which services, that would be all of the swarm; Everything allows that")
	}
	services, err := s.inOrder(ctx, which)
	if err != nil {
		return nil, err
	}
	return onEach(ctx, op, services, func(r *ServiceResult) error {
		err := s.client.remove(ctx, &call{op: op, object: r.Ref, to: to("/services/{id}", r.ID)})
		if errors.Is(err, ErrNotFound) {
			return nil
		}
		return err
	})
}

// checkForMany refuses credentials that would be stored with services of whatever
// registries.
func (o *ServiceModifyOptions) checkForMany(op string) error {
	if o.Auth != nil && o.Auth.ServerAddress == "" {
		return invalid(op, "", "Auth without a ServerAddress is for the image of one service; AuthFrom finds credentials for several")
	}
	return o.Pin.check(op, "")
}

// inOrder are the services that the options choose, by name.
func (s *ServiceClient) inOrder(ctx context.Context, which *ServiceListOptions) ([]ServiceResult, error) {
	services, err := s.List(ctx, which)
	if err != nil {
		return nil, err
	}
	var found []ServiceResult
	for i := range services {
		found = append(found, ServiceResult{ID: services[i].ID, Ref: serviceLabel(&services[i])})
	}
	slices.SortFunc(found, func(a, b ServiceResult) int { return cmp.Compare(a.Ref, b.Ref) })
	return found, nil
}

// byID reads a service by its full ID, and calls it by its name.
func (s *ServiceClient) byID(ctx context.Context, op string, r *ServiceResult) (*Service, error) {
	return inspectObject(ctx, s.client, &call{op: op, object: r.Ref, to: to("/services/{id}", r.ID)}, decodeService)
}

// onEach does something with one service after the other until ctx is done.
func onEach(ctx context.Context, op string, services []ServiceResult, do func(*ServiceResult) error) (done []ServiceResult, err error) {
	var errs []error
	for i := range services {
		if ctx.Err() != nil {
			left := fmt.Sprintf("%d of %d services are left as they were", len(services)-i, len(services))
			errs = append(errs, &Error{Op: op, Message: left, Err: ctx.Err()})
			break
		}
		r := &services[i]
		if r.Err = do(r); r.Err != nil {
			errs = append(errs, r.Err)
		}
		done = services[:i+1]
	}
	return done, errors.Join(errs...)
}

// restricts reports whether the options leave any service out. A runtime does not:
// what has none of its own is of the default one.
func (o *ServiceListOptions) restricts() bool {
	if o == nil {
		return false
	}
	some := func(texts ...[]string) bool { return len(slices.Concat(texts...)) > 0 }
	anyName := slices.Contains(o.NamePrefixes, "") // which all names begin with
	anyID := slices.Contains(o.IDPrefixes, "")
	anyNode := slices.Contains(o.Nodes, "") // which engines take for the beginning of an ID
	return some(o.IDs, o.IDPrefixes) && !anyID || some(o.Names, o.NamePrefixes) && !anyName ||
		some(o.Nodes) && !anyNode || some(o.Networks, o.Secrets, o.Configs, o.Images) ||
		o.Stack != "" || len(o.Labels)+len(o.Modes)+len(o.States) > 0
}
