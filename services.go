package swarm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"github.com/swarm-go/swarm/internal/wire"
)

// ServiceClient creates, reads, changes and removes services.
//
// Reading takes an ID, a name, or a unique prefix of an ID, in this order, as
// the engine does. Changing and removing takes a full ID or an exact name alone:
// an ID prefix could name another service by the time it is used.
type ServiceClient struct{ client *Client }

// ServiceChange is what a change of a service has come to.
type ServiceChange struct {
	// ID is the service's full ID.
	ID string
	// Changed is false if the service was as asked for already. Nothing was sent
	// then: engines take even an empty update for a change, which forgets the
	// spec to roll back to and runs jobs again.
	Changed bool
	// Warnings are the engine's, usually none.
	Warnings []string
	// Rollout is what there is to wait for.
	Rollout Rollout
}

// ServiceCreateOptions are what a service can be created with beside its spec.
type ServiceCreateOptions struct {
	// Auth are the credentials for the registry of the image. Nil sends none. The
	// swarm stores them in its log and hands them to the nodes that pull.
	Auth *RegistryAuth
}

// Create makes a service and returns when the engine has accepted it; its tasks
// are starting then. A spec without a name gets one from the engine.
//
// A name that is taken is [ErrNameConflict], a spec the engine refuses
// [ErrInvalid], a published port in use [ErrInUse], a field newer than the
// engine [*VersionError]. If the answer is lost the error is an
// [*OutcomeUnknownError]; with a name, creating has been tried again before.
//
// Engine endpoint: POST /services/create
func (s *ServiceClient) Create(ctx context.Context, spec ServiceSpec, opts *ServiceCreateOptions) (*ServiceChange, error) {
	const op = "create service"
	if opts == nil {
		opts = &ServiceCreateOptions{}
	}
	tree, err := toTree(spec)
	if err != nil {
		return nil, invalid(op, spec.Name, "%v", err)
	}
	header, err := opts.Auth.header()
	if err != nil {
		return nil, invalid(op, spec.Name, "%v", err)
	}
	call := &call{op: op, object: spec.Name, method: http.MethodPost, to: to("/services/create"), header: header,
		encode: func(agreed negotiation) (version, []byte, error) { return encodeService(tree, agreed) }}
	if spec.Name != "" {
		call.repeat = repeatGuarded
	}
	var answer struct {
		ID       string
		Warnings []string
	}
	err = s.client.fetch(ctx, call, func(body json.RawMessage) error {
		if err := wire.Unmarshal(body, &answer); err != nil {
			return err
		}
		return requireID(answer.ID)
	})
	if err != nil {
		return nil, err
	}
	return &ServiceChange{ID: answer.ID, Changed: true, Warnings: answer.Warnings,
		Rollout: Rollout{ServiceID: answer.ID, Kind: RolloutCreate, Spec: spec}}, nil
}

// Inspect reads a service. One that does not exist is [ErrNotFound], a prefix of
// several IDs [ErrAmbiguousRef]. The result has no ServiceStatus, which engines
// give in lists only.
//
// Engine endpoint: GET /services/{id}
func (s *ServiceClient) Inspect(ctx context.Context, ref string) (*Service, error) {
	return s.inspect(ctx, "inspect service", ref, nil)
}

// InspectWithDefaults reads a service with the engine's defaults filled in where
// its spec says nothing. It is for looking at: [ServiceClient.Update] refuses
// the result, because writing the defaults back would restart every task. Needs
// API 1.29.
//
// Engine endpoint: GET /services/{id}
func (s *ServiceClient) InspectWithDefaults(ctx context.Context, ref string) (*Service, error) {
	service, err := s.inspect(ctx, "inspect service", ref, url.Values{"insertDefaults": {"true"}})
	if err == nil {
		service.WithDefaults = true
	}
	return service, err
}

func (s *ServiceClient) inspect(ctx context.Context, op, ref string, query url.Values) (*Service, error) {
	return inspectObject(ctx, s.client, &call{op: op, object: ref, to: to("/services/{id}", ref), query: query}, decodeService)
}

// find reads the service that a change is about: by full ID or exact name.
func (s *ServiceClient) find(ctx context.Context, op, ref string) (*Service, error) {
	service, err := s.inspect(ctx, op, ref, nil)
	if err != nil {
		return nil, err
	}
	if service.ID != ref && service.Spec.Name != ref {
		return nil, &Error{Op: op, Object: ref, kind: ErrNotFound,
			Message: "no service has this full ID or exact name; a prefix is not enough to change one"}
	}
	return service, nil
}

func decodeService(raw json.RawMessage) (Service, error) {
	service := Service{}
	if err := wire.Unmarshal(raw, &service); err != nil {
		return Service{}, err
	}
	service.Raw = raw
	return service, requireID(service.ID)
}

func requireID(id string) error {
	if id == "" {
		return errors.New("the answer has no ID")
	}
	return nil
}

// ServiceListOptions choose services. What is left out does not restrict; the
// alternatives inside one field are joined by "or", the fields by "and".
type ServiceListOptions struct {
	// IDs are full IDs.
	IDs []string
	// IDPrefixes are beginnings of IDs; a service matches IDs or IDPrefixes.
	IDPrefixes []string
	// Names are exact names. Engines match names by prefix; the rest is left out here.
	Names []string
	// NamePrefixes are beginnings of names; a service matches Names or NamePrefixes.
	NamePrefixes []string
	// Labels are labels that the service, not its containers, must have, all of
	// them; an empty value asks for presence.
	Labels map[string]string
	// Modes are the modes wanted. Needs API 1.28.
	Modes []ModeKind
	// Runtime is what the tasks run; the zero value means containers. Needs API
	// 1.31.
	Runtime Runtime
}

func (o *ServiceListOptions) query() (url.Values, error) {
	if o == nil {
		o = &ServiceListOptions{}
	}
	f := filters{}
	f.add("id", slices.Concat(o.IDs, o.IDPrefixes)...)
	f.add("name", slices.Concat(o.Names, o.NamePrefixes)...)
	f.addLabels(o.Labels)
	for _, mode := range o.Modes {
		if !slices.Contains([]ModeKind{ModeReplicated, ModeGlobal, ModeReplicatedJob, ModeGlobalJob}, mode) {
			return nil, fmt.Errorf("unknown mode %q", mode)
		}
		f.add("mode", string(mode))
	}
	if o.Runtime != "" {
		f.add("runtime", string(o.Runtime))
	}
	query := f.query()
	query.Set("status", "true")
	return query, nil
}

// keeps applies what engines cannot.
func (o *ServiceListOptions) keeps(s *Service) bool {
	return o == nil || matches(s.ID, o.IDs, o.IDPrefixes) && matches(s.Spec.Name, o.Names, o.NamePrefixes)
}

// List returns the services that opts choose, all of them if opts is nil. It is
// [ServiceClient.All] in one slice.
//
// Engine endpoint: GET /services
func (s *ServiceClient) List(ctx context.Context, opts *ServiceListOptions) ([]Service, error) {
	return listAll(ctx, s.client, func(ctx context.Context) iter.Seq2[Service, error] { return s.All(ctx, opts) })
}

// All yields the services that opts choose, all of them if opts is nil, each as
// it is read: memory does not grow with their number. Every service has a
// ServiceStatus; where the engine does not count (before API 1.41) its tasks are
// listed and counted once. The iterator ends, or yields one error as its last
// pair.
//
// Engine endpoints: GET /services, GET /tasks
func (s *ServiceClient) All(ctx context.Context, opts *ServiceListOptions) iter.Seq2[Service, error] {
	const op = "list services"
	return func(yield func(Service, error) bool) {
		query, err := opts.query()
		if err != nil {
			yield(Service{}, invalid(op, "", "%v", err))
			return
		}
		call := &call{op: op, method: http.MethodGet, to: to("/services"), query: query, repeat: repeatRead}
		var counts map[string]taskCount
		for service, err := range decoded(s.client.elements(ctx, call), call, decodeService) {
			if err == nil && !opts.keeps(&service) {
				continue
			}
			if err == nil && service.ServiceStatus == nil {
				if counts == nil {
					counts, err = s.countTasks(ctx)
				}
				service.ServiceStatus = counts[service.ID].status(service.Spec.Mode)
			}
			if err != nil {
				service = Service{}
			}
			if !yield(service, err) || err != nil {
				return
			}
		}
	}
}

// decoded turns JSON into objects.
func decoded[T any](elements iter.Seq2[json.RawMessage, error], call *call, decode func(json.RawMessage) (T, error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for element, err := range elements {
			var item T
			if err == nil {
				if item, err = decode(element); err != nil {
					err = protocolError(call, http.StatusOK, err)
				}
			}
			if !yield(item, err) || err != nil {
				return
			}
		}
	}
}

// taskCount is what the tasks of one service add up to.
type taskCount struct{ running, wanted uint64 }

// status counts as engines do from API 1.41 on. Older ones have no jobs.
func (c taskCount) status(mode ServiceMode) *ServiceStatus {
	status := &ServiceStatus{RunningTasks: c.running, DesiredTasks: c.wanted}
	if mode.Kind() == ModeReplicated {
		status.DesiredTasks = 1
		if mode.Replicated != nil && mode.Replicated.Replicas != nil {
			status.DesiredTasks = *mode.Replicated.Replicas
		}
	}
	return status
}

func (s *ServiceClient) countTasks(ctx context.Context) (map[string]taskCount, error) {
	counts := map[string]taskCount{}
	for task, err := range s.client.Tasks.All(ctx, &TaskListOptions{DesiredStates: []TaskState{TaskRunning}}) {
		if err != nil {
			return nil, err
		}
		count := counts[task.ServiceID]
		count.wanted++
		if task.Status.State == TaskRunning {
			count.running++
		}
		counts[task.ServiceID] = count
	}
	return counts, nil
}

// Tasks returns the tasks of a service, also those of the past that the swarm
// remembers. A service that does not exist is [ErrNotFound].
//
// Engine endpoint: GET /tasks
func (s *ServiceClient) Tasks(ctx context.Context, ref string) ([]Task, error) {
	if err := checkRef(ref); err != nil {
		return nil, invalid("list tasks", ref, "%v", err)
	}
	return s.client.Tasks.List(ctx, &TaskListOptions{Services: []string{ref}})
}

// ServiceUpdateOptions are what a service can be updated with beside its spec.
type ServiceUpdateOptions struct {
	// Auth are the credentials for the registry of the image. Nil keeps those
	// that the swarm has stored with the service.
	Auth *RegistryAuth
	// AuthFromPreviousSpec takes the credentials stored with the previous spec
	// instead of those stored with the current one. Not together with Auth.
	AuthFromPreviousSpec bool
}

func (o *ServiceUpdateOptions) apply(call *call) error {
	if o == nil {
		return nil
	}
	if o.Auth != nil && o.AuthFromPreviousSpec {
		return errors.New("both Auth and AuthFromPreviousSpec are set")
	}
	if o.AuthFromPreviousSpec {
		call.query.Set("registryAuthFrom", "previous-spec")
	}
	header, err := o.Auth.header()
	call.header = header
	return err
}

// Update writes back a service that was read and then changed. What differs
// from what was read is applied to the engine's own JSON, so that fields unknown
// to this library stay as they are; a spec set as a whole removes what it does
// not name, of the known fields. If nothing differs nothing is sent. An update
// of a job runs it again.
//
// If anybody changed the service since it was read, also the engine itself, the
// error is [ErrVersionConflict]: read it again. Changing the name or the kind of
// mode is [ErrImmutable], a field newer than the engine a [*VersionError]. An
// object from [ServiceClient.InspectWithDefaults], or one without Raw, is refused
// with [ErrInvalid]. If the answer is lost, for all repetitions, the error is an
// [*OutcomeUnknownError].
//
// Engine endpoint: POST /services/{id}/update
func (s *ServiceClient) Update(ctx context.Context, service *Service, opts *ServiceUpdateOptions) (*ServiceChange, error) {
	return s.update(ctx, "update service", service, opts, true)
}

func (s *ServiceClient) update(ctx context.Context, op string, service *Service, opts *ServiceUpdateOptions, rerunJob bool) (*ServiceChange, error) {
	refuse := func(err, kind error) (*ServiceChange, error) {
		return nil, &Error{Op: op, Object: serviceLabel(service), Err: err, kind: kind}
	}
	if err := checkUpdatable(service); err != nil {
		return refuse(err, ErrInvalid)
	}
	current, changed, err := changedSpec(service.Raw, service.Spec)
	if err != nil {
		return refuse(err, ErrInvalid)
	}
	if changed.Equal(current) {
		return &ServiceChange{ID: service.ID, Rollout: rolloutOf(service, RolloutSettle)}, nil
	}
	if err := checkImmutable(current, changed); err != nil {
		return refuse(err, ErrImmutable)
	}
	if !rerunJob && service.JobStatus != nil {
		return refuse(errors.New("it is a job, which every change runs again; RerunJob allows that"), ErrInvalid)
	}
	return s.post(ctx, op, service, changed, RolloutUpdate, opts)
}

// Rollback puts a service back to its previous spec, which then becomes the
// spec before it: rolling back twice is where it began. A service without a
// previous spec is [ErrInvalid]. The service is read first; one changed at the
// same moment is [ErrVersionConflict].
//
// Engine endpoints: GET /services/{id}, POST /services/{id}/update
func (s *ServiceClient) Rollback(ctx context.Context, ref string, opts *ServiceUpdateOptions) (*ServiceChange, error) {
	const op = "roll back service"
	service, err := s.find(ctx, op, ref)
	if err != nil {
		return nil, err
	}
	if service.PreviousSpec == nil {
		return nil, invalid(op, ref, "it has no previous spec")
	}
	// Engines check the posted spec although they do not use it.
	current, _, err := changedSpec(service.Raw, service.Spec)
	if err != nil {
		return nil, &Error{Op: op, Object: ref, Err: err, kind: ErrProtocol}
	}
	return s.post(ctx, op, service, current, RolloutRollback, opts)
}

// post sends a spec for the version of the service that was read. The version
// lets it happen once, however often it is sent.
func (s *ServiceClient) post(ctx context.Context, op string, service *Service, spec wire.Node, kind RolloutKind, opts *ServiceUpdateOptions) (*ServiceChange, error) {
	call := &call{op: op, object: serviceLabel(service), method: http.MethodPost, to: to("/services/{id}/update", service.ID),
		query: url.Values{"version": {strconv.FormatUint(service.Version.Index, 10)}}, repeat: repeatGuarded,
		encode:     func(agreed negotiation) (version, []byte, error) { return encodeService(spec, agreed) },
		mayBeEmpty: true} // before API 1.25 there are no warnings
	if kind == RolloutRollback {
		call.query.Set("rollback", "previous")
	}
	if err := opts.apply(call); err != nil {
		return nil, &Error{Op: op, Object: call.object, Err: err, kind: ErrInvalid}
	}
	var answer struct{ Warnings []string }
	if err := s.client.do(ctx, call, &answer); err != nil {
		return nil, err
	}
	return &ServiceChange{ID: service.ID, Changed: true, Warnings: answer.Warnings, Rollout: rolloutOf(service, kind)}, nil
}

// serviceLabel is what errors call a service.
func serviceLabel(s *Service) string {
	switch {
	case s == nil:
		return ""
	case s.Spec.Name != "":
		return s.Spec.Name
	}
	return s.ID
}

func checkUpdatable(s *Service) error {
	switch {
	case s == nil:
		return errors.New("no service")
	case s.ID == "":
		return errors.New("the service has no ID")
	case s.WithDefaults:
		return errors.New("it was read with the engine's defaults, writing those back would restart every task")
	case len(s.Raw) == 0:
		return errors.New("it has no Raw: only a service that was read can be written back without loss")
	}
	return nil
}

// checkImmutable refuses what engines refuse too, or worse: without a mode they
// would take a global service for one with a single replica.
func checkImmutable(current, changed wire.Node) error {
	if name, _ := changed.Get("Name"); !same(current, name, "Name") {
		return errors.New("a service's name cannot be changed")
	}
	before, after := modeOf(current), modeOf(changed)
	if before != after {
		return fmt.Errorf("a service's mode cannot be changed from %s to %s", before, after)
	}
	return nil
}

func same(object, value wire.Node, name string) bool {
	other, _ := object.Get(name)
	return other.Equal(value)
}

// modeOf names the mode that a spec has, also one this library does not know.
func modeOf(spec wire.Node) string {
	mode, _ := spec.Get("Mode")
	for _, m := range mode.Members {
		if !m.Value.IsNull() {
			return m.Name
		}
	}
	return "none"
}

// encodeService makes the body for the spec of a service.
func encodeService(spec wire.Node, agreed negotiation) (version, []byte, error) {
	if agreed.use.less(version{1, 25}) {
		spec = networksForAPI124(spec)
	}
	return encoder("ServiceSpec", spec)(agreed)
}

// networksForAPI124 puts the networks of the tasks where API 1.24 looks for
// them, at the service.
func networksForAPI124(spec wire.Node) wire.Node {
	template, _ := spec.Get("TaskTemplate")
	networks, ok := template.Get("Networks")
	if !ok {
		return spec
	}
	return spec.With("TaskTemplate", template.Without("Networks")).With("Networks", networks)
}

// Remove removes a service and stops its tasks. It returns when the engine has
// accepted that; tasks may still be stopping. A service that does not exist is
// [ErrNotFound]; one that is gone when a lost request is repeated is not.
//
// Engine endpoints: GET /services/{id}, DELETE /services/{id}
func (s *ServiceClient) Remove(ctx context.Context, ref string) error {
	const op = "remove service"
	service, err := s.find(ctx, op, ref)
	if err != nil {
		return err
	}
	return s.client.remove(ctx, &call{op: op, object: ref, to: to("/services/{id}", service.ID)})
}
