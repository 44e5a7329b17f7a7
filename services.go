package swarm

import (
	"cmp"
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
	// spec to roll back to and runs jobs again. After a dry run it is what would be.
	Changed bool
	// Warnings are the engine's, usually none.
	Warnings []string
	// Rollout is what there is to wait for.
	Rollout Rollout
	// Pin is what has become of the image's reference. Nil if it was not to be
	// pinned, or was pinned before.
	Pin *ImagePin
}

// ServiceCreateOptions are what a service can be created with beside its spec.
type ServiceCreateOptions struct {
	// Auth are the credentials for the registry of the image. Nil sends none. The
	// swarm stores them in its log and hands them to the nodes that pull.
	Auth *RegistryAuth
	// AuthFrom finds the credentials, instead of Auth. Nil asks the client's own
	// source, see [WithRegistryAuth], if it has one.
	AuthFrom AuthSource
	// Pin says whether the image is pinned to its digest. Zero is [PinOff].
	Pin PinMode
	// DryRun sends nothing: the result has no ID, and its Rollout the spec that would
	// have been sent. A field that the engine is too old for is found, what it would
	// refuse is not.
	DryRun bool
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
	if err := opts.Pin.check(op, spec.Name); err != nil {
		return nil, err
	}
	authFor := s.client.authFor(ctx, spec.TaskTemplate.ContainerSpec.Image, opts.Auth, opts.AuthFrom)
	auth, err := authFor()
	if err != nil {
		return nil, &Error{Op: op, Object: spec.Name, Err: err}
	}
	header, err := auth.header()
	if err != nil {
		return nil, invalid(op, spec.Name, "%v", err)
	}
	spec, pin, err := s.client.pinned(ctx, opts.Pin, nil, spec, authFor)
	if err != nil {
		return nil, &Error{Op: op, Object: spec.Name, Err: err}
	}
	tree, err := toTree(spec)
	if err != nil {
		return nil, invalid(op, spec.Name, "%v", err)
	}
	call := &call{op: op, object: spec.Name, method: http.MethodPost, to: to("/services/create"), header: header, look: s.lookAtCreation(op, spec, pin),
		encode: func(agreed negotiation) (version, []byte, error) { return encodeService(tree, agreed) }}
	if spec.Name != "" {
		call.repeat = repeatGuarded
	}
	if opts.DryRun {
		return dryRun(s.client.check(ctx, call), &ServiceChange{Changed: true, Rollout: Rollout{Kind: RolloutCreate, Spec: spec}, Pin: pin})
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
	if r, err := settle(ctx, err); err != nil || r.Change != nil {
		return r.Change, err
	}
	return &ServiceChange{ID: answer.ID, Changed: true, Warnings: answer.Warnings,
		Rollout: Rollout{ServiceID: answer.ID, Kind: RolloutCreate, Spec: spec}, Pin: pin}, nil
}

// dryRun is the result of a change that was to be sent, but for what kept it from it.
func dryRun(err error, change *ServiceChange) (*ServiceChange, error) {
	if err != nil {
		return nil, err
	}
	return change, nil
}

// Inspect reads a service. One that does not exist is [ErrNotFound], a prefix of
// several IDs [ErrAmbiguousRef]. The result has no ServiceStatus, which engines
// give in lists only.
//
// Engine endpoint: GET /services/{id}
func (s *ServiceClient) Inspect(ctx context.Context, ref string) (*Service, error) {
	return s.inspect(ctx, "inspect service", ref, nil)
}

// InspectByName reads the service of exactly that name, whatever IDs begin like it.
// Without one the error is [ErrNotFound].
//
// Engine endpoint: GET /services/{id}
func (s *ServiceClient) InspectByName(ctx context.Context, name string) (*Service, error) {
	const op = "inspect service"
	service, err := s.inspect(ctx, op, name, nil)
	if errors.Is(err, ErrAmbiguousRef) || err == nil && service.Spec.Name != name {
		return nil, &Error{Op: op, Object: name, kind: ErrNotFound, Message: "no service has exactly this name"}
	}
	return service, err
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
	// Stack is the name of the stack that the service belongs to, as docker stack
	// deploy labels it. Empty does not restrict.
	Stack string
	// Modes are the modes wanted. Needs API 1.28.
	Modes []ModeKind
	// Runtime is what the tasks run; the zero value means containers. Needs API
	// 1.31.
	Runtime Runtime
	// Nodes are IDs, hostnames or unique ID prefixes of nodes that have a task of
	// the service. One that does not exist makes the list fail with [ErrNotFound].
	// The tasks of these nodes are listed for it.
	Nodes []string
	// Networks are IDs or names of networks that the service is attached to. One
	// that does not exist makes the list fail with [ErrNotFound]. Each is inspected
	// for it.
	Networks []string
	// Secrets are IDs or names of secrets that the service uses, see
	// [ServiceSpec.UsesSecret].
	Secrets []string
	// Configs are IDs or names of configs that the service uses, see
	// [ServiceSpec.UsesConfig].
	Configs []string
	// Images are references of images that the service runs, with a tag or digest
	// or for all of them, see [ImageReference.Matches]. What is no reference is
	// [ErrInvalid].
	Images []string
	// States are the states that the service is in, see [ServiceSnapshot.State].
	// All tasks of the swarm are read for it. Needs API 1.29.
	States []ServiceState
}

func (o *ServiceListOptions) query() (url.Values, error) {
	f := filters{}
	f.add("id", slices.Concat(o.IDs, o.IDPrefixes)...)
	f.add("name", slices.Concat(o.Names, o.NamePrefixes)...)
	f.addLabels(o.Labels)
	if o.Stack != "" {
		f.add("label", stackLabel+"="+o.Stack)
	}
	for _, mode := range o.Modes {
		if !slices.Contains([]ModeKind{ModeReplicated, ModeGlobal, ModeReplicatedJob, ModeGlobalJob}, mode) {
			return nil, fmt.Errorf("unknown mode %q", mode)
		}
		f.add("mode", string(mode))
	}
	if o.Runtime != "" {
		if !slices.Contains(runtimes, o.Runtime) {
			return nil, fmt.Errorf("unknown runtime %q", o.Runtime)
		}
		f.add("runtime", string(o.Runtime))
	}
	query := f.query()
	query.Set("status", "true")
	return query, nil
}

// keeps applies what engines cannot.
func (o *ServiceListOptions) keeps(s *Service) bool {
	return matches(s.ID, o.IDs, o.IDPrefixes) && matches(s.Spec.Name, o.Names, o.NamePrefixes) &&
		usesAny(o.Secrets, s.Spec.UsesSecret) && usesAny(o.Configs, s.Spec.UsesConfig) && usesAny(o.Images, s.Spec.UsesImage)
}

func usesAny(refs []string, uses func(ref string) bool) bool {
	return len(refs) == 0 || slices.ContainsFunc(refs, uses)
}

// chosen is what the options choose, which takes more than looking at a service:
// networks have names that specs do not, and nodes have tasks.
func (s *ServiceClient) chosen(ctx context.Context, op string, o *ServiceListOptions) (func(*Service) bool, error) {
	for _, image := range o.Images {
		if _, err := ParseImageReference(image); err != nil {
			return nil, err
		}
	}
	var networks []string
	for _, ref := range o.Networks {
		network, err := s.client.Networks.inspect(ctx, op, ref, nil)
		if err != nil {
			return nil, err
		}
		networks = append(networks, network.ID)
	}
	onNodes, err := s.onNodes(ctx, o)
	if err != nil {
		return nil, err
	}
	isInState, err := s.inStates(ctx, o)
	if err != nil {
		return nil, err
	}
	return func(service *Service) bool {
		return o.keeps(service) && usesAny(networks, service.Spec.UsesNetwork) && (onNodes == nil || onNodes[service.ID]) && isInState(service)
	}, nil
}

// onNodes are the IDs of the services that have a task on the nodes asked for, nil
// for no nodes.
func (s *ServiceClient) onNodes(ctx context.Context, o *ServiceListOptions) (map[string]bool, error) {
	if len(o.Nodes) == 0 {
		return nil, nil
	}
	services := map[string]bool{}
	for task, err := range s.client.Tasks.All(ctx, &TaskListOptions{Nodes: o.Nodes, Runtime: o.Runtime}) {
		if err != nil {
			return nil, err
		}
		if task.Status.State.Active() {
			services[task.ServiceID] = true
		}
	}
	return services, nil
}

// List returns the services that opts choose, all of them if opts is nil. It is
// [ServiceClient.All] in one slice.
//
// Engine endpoints: GET /services, GET /tasks, GET /networks/{id}, GET /nodes
func (s *ServiceClient) List(ctx context.Context, opts *ServiceListOptions) ([]Service, error) {
	return listAll(ctx, s.client, func(ctx context.Context) iter.Seq2[Service, error] { return s.All(ctx, opts) })
}

// All yields the services that opts choose, all of them if opts is nil, each as
// it is read: memory does not grow with their number. Every service has a
// ServiceStatus; where the engine does not count (before API 1.41) its tasks are
// listed and counted once. The iterator ends, or yields one error as its last
// pair.
//
// Engine endpoints: GET /services, GET /tasks, GET /networks/{id}, GET /nodes
func (s *ServiceClient) All(ctx context.Context, opts *ServiceListOptions) iter.Seq2[Service, error] {
	const op = "list services"
	return func(yield func(Service, error) bool) {
		opts := cmp.Or(opts, &ServiceListOptions{})
		query, err := opts.query()
		if err != nil {
			yield(Service{}, invalid(op, "", "%v", err))
			return
		}
		chosen, err := s.chosen(ctx, op, opts)
		if err != nil {
			yield(Service{}, err)
			return
		}
		call := &call{op: op, method: http.MethodGet, to: to("/services"), query: query, repeat: repeatRead}
		var counts map[string]taskCount
		for service, err := range decoded(s.client.elements(ctx, call), call, decodeService) {
			if err == nil && !chosen(&service) {
				continue
			}
			if err == nil && service.ServiceStatus == nil {
				if counts == nil {
					counts, err = s.countTasks(ctx, opts.Runtime)
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

func (s *ServiceClient) countTasks(ctx context.Context, runtime Runtime) (map[string]taskCount, error) {
	counts := map[string]taskCount{}
	for task, err := range s.client.Tasks.All(ctx, &TaskListOptions{DesiredStates: []TaskState{TaskRunning}, Runtime: runtime}) {
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

// Tasks returns the tasks of one service or of several, also those of the past
// that the swarm remembers. A service that does not exist is [ErrNotFound], a
// prefix of several IDs [ErrAmbiguousRef]. Of several services, the tasks of those
// that exist come with the error, which names all that do not. Each service costs
// a request then, to tell them apart. Tasks of plugins are not among them: Runtime of
// [TaskListOptions] asks for those.
//
// Engine endpoints: GET /tasks, GET /services/{id}
func (s *ServiceClient) Tasks(ctx context.Context, refs ...string) ([]Task, error) {
	const op = "list tasks"
	for _, ref := range refs {
		if err := checkRef(ref); err != nil {
			return nil, invalid(op, ref, "%v", err)
		}
	}
	if len(refs) == 0 {
		return nil, invalid(op, "", "no service is named")
	}
	if len(refs) == 1 {
		return s.client.Tasks.List(ctx, &TaskListOptions{Services: refs})
	}
	services, unknown := inspectAll(refs, func(ref string) (*Service, error) { return s.inspect(ctx, op, ref, nil) })
	if len(services) == 0 {
		return nil, unknown
	}
	var ids []string
	for _, service := range services {
		ids = append(ids, service.ID)
	}
	tasks, err := s.client.Tasks.List(ctx, &TaskListOptions{Services: ids})
	return tasks, errors.Join(unknown, err)
}

// ServiceUpdateOptions are what a service can be updated with beside its spec.
type ServiceUpdateOptions struct {
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
	// Pin says whether the image is pinned to its digest. Zero is [PinOff]. A
	// rollback pins nothing: it takes the previous spec as it was.
	Pin PinMode
	// DryRun sends nothing, see [ServiceModifyOptions].
	DryRun bool
	// RerunJob allows the change of a job, see [ServiceModifyOptions].
	RerunJob bool
}

// authFor is [Client.authFor] for an update. Nothing is asked where the engine
// shall take what it has.
func (o *ServiceUpdateOptions) authFor(ctx context.Context, c *Client, image string) func() (*RegistryAuth, error) {
	if !o.AuthFromPreviousSpec {
		return c.authFor(ctx, image, o.Auth, o.AuthFrom)
	}
	return func() (*RegistryAuth, error) {
		if o.Auth != nil || o.AuthFrom != nil {
			return nil, invalid("find credentials", "", "beside AuthFromPreviousSpec Auth or AuthFrom is set")
		}
		return nil, nil
	}
}

// Update writes back a service that was read and then changed. What differs
// from what was read is applied to the engine's own JSON, so that fields unknown
// to this library stay as they are; a spec set as a whole removes what it does
// not name, of the known fields. If nothing differs nothing is sent. A job is
// [ErrInvalid] without RerunJob: an update runs it again.
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
	return s.update(ctx, "update service", service, opts)
}

func (s *ServiceClient) update(ctx context.Context, op string, service *Service, opts *ServiceUpdateOptions) (*ServiceChange, error) {
	refuse := func(err, kind error) (*ServiceChange, error) {
		return nil, &Error{Op: op, Object: serviceLabel(service), Err: err, kind: kind}
	}
	if err := checkUpdatable(service); err != nil {
		return refuse(err, ErrInvalid)
	}
	opts = cmp.Or(opts, &ServiceUpdateOptions{})
	if err := opts.Pin.check(op, serviceLabel(service)); err != nil {
		return nil, err
	}
	authFor := opts.authFor(ctx, s.client, service.Spec.TaskTemplate.ContainerSpec.Image)
	service, pin, err := s.pinned(ctx, opts.Pin, service, authFor)
	if err != nil {
		return refuse(err, nil)
	}
	current, changed, err := changedSpec(service.Raw, service.Spec)
	if err != nil {
		return refuse(err, ErrInvalid)
	}
	changed = keepPlacement(current, changed)
	if changed.Equal(current) {
		return &ServiceChange{ID: service.ID, Rollout: rolloutOf(service, RolloutSettle), Pin: pin}, nil
	}
	if err := checkImmutable(current, changed); err != nil {
		return refuse(err, ErrImmutable)
	}
	if err := opts.checkJob(service); err != nil {
		return refuse(err, ErrInvalid)
	}
	auth, err := authFor()
	if err != nil {
		return refuse(err, nil)
	}
	return s.post(ctx, op, service, changed, RolloutUpdate, pin, auth, opts)
}

// checkJob refuses to run a job again that nobody wants to run.
func (o *ServiceUpdateOptions) checkJob(service *Service) error {
	if o.RerunJob || service.JobStatus == nil {
		return nil
	}
	return errors.New("it is a job, which every change runs again; RerunJob allows that")
}

// keepPlacement leaves an empty placement of one that is taken away: managers that
// compare tasks with a spec that has none crash, again and again, if nothing else
// differs. To tasks it is the same.
func keepPlacement(current, changed wire.Node) wire.Node {
	before, _ := current.Get("TaskTemplate")
	after, _ := changed.Get("TaskTemplate")
	_, had := before.Get("Placement")
	if _, has := after.Get("Placement"); has || !had {
		return changed
	}
	return changed.With("TaskTemplate", after.With("Placement", wire.Node{Kind: wire.Object}))
}

// Rollback puts a service back to its previous spec, which then becomes the
// spec before it: rolling back twice is where it began. A service without a
// previous spec is [ErrInvalid], and so is a job without RerunJob, since it runs
// again; nothing is sent then. The service is read first, and again if the engine
// itself writes it at the same moment; one changed by somebody else is
// [ErrVersionConflict], since it has another previous spec then.
//
// Engine endpoints: GET /services/{id}, POST /services/{id}/update
func (s *ServiceClient) Rollback(ctx context.Context, ref string, opts *ServiceUpdateOptions) (*ServiceChange, error) {
	const op = "roll back service"
	opts = cmp.Or(opts, &ServiceUpdateOptions{})
	if err := opts.Pin.check(op, ref); err != nil {
		return nil, err
	}
	service, err := s.find(ctx, op, ref)
	if err != nil {
		return nil, err
	}
	for attempt := 1; ; attempt++ {
		change, err := s.rollback(ctx, op, ref, service, opts)
		var lost *OutcomeUnknownError
		if !errors.Is(err, ErrVersionConflict) || errors.As(err, &lost) {
			return change, err
		}
		now, readErr := s.inspect(ctx, op, service.ID, nil)
		if readErr != nil || !hasSameSpecs(service, now) {
			return nil, err
		}
		service = now
		if stopped := pause(ctx, s.client.retry.delay(attempt)); stopped != nil {
			return nil, fmt.Errorf("%w, then %w", err, stopped)
		}
	}
}

func (s *ServiceClient) rollback(ctx context.Context, op, ref string, service *Service, opts *ServiceUpdateOptions) (*ServiceChange, error) {
	if service.PreviousSpec == nil {
		return nil, invalid(op, ref, "it has no previous spec")
	}
	if err := opts.checkJob(service); err != nil {
		return nil, &Error{Op: op, Object: ref, Err: err, kind: ErrInvalid}
	}
	// Engines check the posted spec although they do not use it.
	current, _, err := changedSpec(service.Raw, service.Spec)
	if err != nil {
		return nil, &Error{Op: op, Object: ref, Err: err, kind: ErrProtocol}
	}
	from := *opts
	if from.Auth == nil && from.AuthFrom == nil && !from.AuthFromPreviousSpec {
		from.AuthFrom = StaticAuth() // not the client's: engines take what is stored with the previous spec
	}
	auth, err := from.authFor(ctx, s.client, service.PreviousSpec.TaskTemplate.ContainerSpec.Image)()
	if err != nil {
		return nil, &Error{Op: op, Object: ref, Err: err}
	}
	return s.post(ctx, op, service, current, RolloutRollback, nil, auth, opts)
}

// hasSameSpecs reports whether nobody but the engine has written a service: its
// spec and the previous one are those of before.
func hasSameSpecs(before, now *Service) bool {
	if before.PreviousSpec == nil || now.PreviousSpec == nil {
		return before.PreviousSpec == now.PreviousSpec && len(DiffSpec(before.Spec, now.Spec)) == 0
	}
	return len(DiffSpec(before.Spec, now.Spec)) == 0 && len(DiffSpec(*before.PreviousSpec, *now.PreviousSpec)) == 0
}

// post sends a spec for the version of the service that was read. The version
// lets it happen once, however often it is sent.
func (s *ServiceClient) post(ctx context.Context, op string, service *Service, spec wire.Node, kind RolloutKind, pin *ImagePin, auth *RegistryAuth, opts *ServiceUpdateOptions) (*ServiceChange, error) {
	change := &ServiceChange{ID: service.ID, Changed: true, Rollout: rolloutOf(service, kind), Pin: pin}
	call := &call{op: op, object: serviceLabel(service), method: http.MethodPost, to: to("/services/{id}/update", service.ID),
		look: s.lookAtUpdate(op, service, change), query: url.Values{"version": {strconv.FormatUint(service.Version.Index, 10)}}, repeat: repeatGuarded,
		encode:     func(agreed negotiation) (version, []byte, error) { return encodeService(spec, agreed) },
		mayBeEmpty: true} // before API 1.25 there are no warnings
	if kind == RolloutRollback {
		call.query.Set("rollback", "previous")
	}
	if opts.AuthFromPreviousSpec {
		call.query.Set("registryAuthFrom", "previous-spec")
	}
	var err error
	if call.header, err = auth.header(); err != nil {
		return nil, invalid(op, call.object, "%v", err)
	}
	if opts.DryRun {
		return dryRun(s.client.check(ctx, call), change)
	}
	var answer struct{ Warnings []string }
	if _, err := settle(ctx, s.client.do(ctx, call, &answer)); err != nil {
		return nil, err
	}
	change.Warnings = answer.Warnings
	return change, nil
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
// accepted that; tasks may still be stopping. Old engines, below API 1.45, go on
// running the tasks of a job: [ServiceClient.RemoveAndWait] ends them. A service that
// does not exist is [ErrNotFound]; one that is gone when a lost request is repeated is
// not.
//
// Managers of 26.1 and 28.5 crash if they forget one of its old tasks at the same
// moment, and leave the rest to the others or to their next start. Where tasks fail
// over and over, scale the service to zero first.
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
