package swarm

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/swarm-go/swarm/internal/wire"
)

// OutcomeUnknownError is a change of which nobody knows whether it was made:
// the answer was lost, or the engine lost its leader while working on it. If Err is
// [ErrNameConflict] or [ErrVersionConflict], the object is as it was to become, but
// perhaps by somebody else who wants the same: managers that lose their leader ask
// the next one again, which refuses what the one before has done.
// [OutcomeUnknownError.Resolve] finds out.
type OutcomeUnknownError struct {
	// Err says what happened to the answer; usually an [*Error].
	Err error

	look     look      // nil if nobody knows where to look
	at       time.Time // when the call gave up
	doubtful bool      // nothing was lost, see resendPause
}

// Error says that the outcome is unknown, and why.
func (e *OutcomeUnknownError) Error() string {
	return "outcome unknown: " + errorText(e.Err)
}

// Unwrap returns Err.
func (e *OutcomeUnknownError) Unwrap() error { return e.Err }

// Outcome is what has become of a change whose answer was lost.
type Outcome string

// The outcomes.
const (
	// OutcomeApplied: the change was made. What was asked for is so, or has been so
	// until somebody changed it again.
	OutcomeApplied Outcome = "applied"
	// OutcomeNotApplied: nothing is left of the change, and nothing will come of it:
	// it was not made, or others have put back all that it had changed. It can be
	// asked for again.
	OutcomeNotApplied Outcome = "not applied"
	// OutcomeUnknowable: it cannot be told. Others have changed the object since, or
	// it does not show what was asked for, as secrets do not.
	OutcomeUnknowable Outcome = "unknowable"
)

// Resolution is what was found out about a change whose answer was lost.
type Resolution struct {
	// Outcome is what has become of the change.
	Outcome Outcome
	// Reason says from what that follows.
	Reason string
	// ID is the full ID of the object that there is, also if the outcome is
	// unknowable. Empty if there is none; the ID as a node for joining a swarm.
	ID string
	// Change is what the call would have returned, without its Warnings, if it
	// created or changed a service and was applied. Nil otherwise.
	Change *ServiceChange
}

// look looks once at what has become of a change. What is not final may be
// otherwise at the next look.
type look func(ctx context.Context) (r Resolution, final bool, err error)

const (
	// inFlight is how long an engine may go on with a request whose client has gone
	// away. It gives up after 20 seconds itself.
	inFlight = 25 * time.Second
	// lookInterval is the pause between two looks.
	lookInterval = 500 * time.Millisecond
)

// Resolve finds out what has become of the change, by looking at the object. A
// change that shows is found at once. One that does not may still come, since
// engines finish what they have begun: that it was not made is certain after 25
// seconds, or as soon as somebody else has written the object. Without a leader
// Resolve goes on looking until there is one.
//
// What is compared is the object: that a service of this name and spec exists
// counts as its creation, whoever made it, if it is not older than the call by more
// than a minute. The error is that of the engine, or of
// ctx when it is done first; the outcome is as unknown then as before. Of what was
// asked for with [Client.Do] nobody knows where to look: it is
// [OutcomeUnknowable].
//
// Engine endpoints: GET /services/{id}, GET /configs/{id}, GET /secrets/{id}, GET /networks/{id}, GET /volumes/{name}, GET /nodes/{id}, GET /swarm, GET /info
func (e *OutcomeUnknownError) Resolve(ctx context.Context) (Resolution, error) {
	if e.look == nil {
		return Resolution{Outcome: OutcomeUnknowable, Reason: "nothing is known of the request"}, nil
	}
	for {
		over := time.Since(e.at) >= inFlight
		r, final, err := e.look(ctx)
		switch {
		case err != nil && !errors.Is(err, ErrUnavailable) && !errors.Is(err, ErrUnreachable) && !errors.Is(err, ErrNoLeader):
			return Resolution{}, err
		case err == nil && (final || over):
			return r, nil
		}
		if stopped := pause(ctx, lookInterval); stopped != nil {
			if err == nil {
				err = &Error{Op: "resolve outcome", Message: "it does not show so far"}
			}
			return Resolution{}, fmt.Errorf("%w, then %w", err, stopped)
		}
	}
}

// settle finds out why a repetition was refused whose first try may have been
// carried out: because it was, and then all is well, or because somebody else came
// first, which is the error then. It stays unknown where only the engine may have
// repeated it, and the object is as asked.
func settle(ctx context.Context, err error) (Resolution, error) {
	lost, ok := errors.AsType[*OutcomeUnknownError](err)
	if !ok || lost.look == nil || !isConflict(err) {
		return Resolution{}, err
	}
	r, final, lookErr := lost.look(ctx)
	known := lookErr == nil && final
	switch {
	case known && r.Outcome == OutcomeApplied && !lost.doubtful:
		return r, nil
	case known && r.Outcome == OutcomeNotApplied,
		lost.doubtful && !known,
		lost.doubtful && r.Outcome == OutcomeUnknowable && errors.Is(err, ErrVersionConflict):
		return Resolution{}, lost.Err
	}
	return Resolution{}, err
}

// applied, notApplied, notYet and unknowable are what looks return.
func applied(id, reason string) (Resolution, bool, error) {
	return Resolution{Outcome: OutcomeApplied, Reason: reason, ID: id}, true, nil
}

func notApplied(id, reason string) (Resolution, bool, error) {
	return Resolution{Outcome: OutcomeNotApplied, Reason: reason, ID: id}, true, nil
}

func notYet(id, reason string) (Resolution, bool, error) {
	return Resolution{Outcome: OutcomeNotApplied, Reason: reason, ID: id}, false, nil
}

func unknowable(id, reason string) (Resolution, bool, error) {
	return Resolution{Outcome: OutcomeUnknowable, Reason: reason, ID: id}, true, nil
}

const (
	asWritten    = "it is as it was to become"
	asRead       = "it is as it was read, nobody has written it"
	touchedAlone = "it has another version, but is as it was"
	othersWrote  = "others have written it since"
	isRemoved    = "it has been removed"
	noSuchName   = "there is none of this name"
)

// lookAtUpdate tells whether a service has got what was posted for the version that
// was read. Each update makes the spec that was there the previous one.
func (s *ServiceClient) lookAtUpdate(op string, read *Service, change *ServiceChange) look {
	return func(ctx context.Context) (Resolution, bool, error) {
		now, err := s.inspect(ctx, op, read.ID, nil)
		if errors.Is(err, ErrNotFound) {
			return unknowable("", isRemoved)
		}
		if err != nil {
			return Resolution{}, false, err
		}
		before, err := decodeService(read.Raw)
		if err != nil {
			return Resolution{}, false, err
		}
		r, final, err := s.compareUpdate(ctx, op, &before, now, change.Rollout)
		if r.Outcome == OutcomeApplied {
			r.Change = change
		}
		return r, final, err
	}
}

func (s *ServiceClient) compareUpdate(ctx context.Context, op string, before, now *Service, rollout Rollout) (Resolution, bool, error) {
	if now.Version == before.Version {
		return notYet(now.ID, asRead)
	}
	if now.JobStatus != nil && before.JobStatus != nil && now.JobStatus.JobIteration == before.JobStatus.JobIteration {
		return notApplied(now.ID, "it is the same run of the job")
	}
	is := s.comparer(ctx, op)
	asked, wasBefore := is.same(&now.Spec, &rollout.Spec), is.same(now.PreviousSpec, &before.Spec)
	untouched := is.same(&now.Spec, &before.Spec) && is.same(now.PreviousSpec, before.PreviousSpec)
	askedBefore := is.same(now.PreviousSpec, &rollout.Spec)
	if is.err != nil {
		return Resolution{}, false, is.err
	}
	switch {
	case asked && (rollout.Kind != RolloutRollback || wasBefore):
		return applied(now.ID, asWritten)
	case untouched && !rolledBackSince(before, now):
		return notApplied(now.ID, touchedAlone)
	case untouched:
		return unknowable(now.ID, "the engine has rolled back an update, perhaps this one")
	case askedBefore:
		return applied(now.ID, "others have written it after that")
	case wasBefore && now.JobStatus != nil && before.JobStatus != nil && now.JobStatus.JobIteration.Index > before.JobStatus.JobIteration.Index+1:
		return unknowable(now.ID, "the job has been run more than once since")
	case wasBefore:
		return notApplied(now.ID, "others have written it instead")
	}
	return unknowable(now.ID, othersWrote)
}

// rolledBackSince reports whether the engine has rolled back an update by itself
// since the service was read.
func rolledBackSince(before, now *Service) bool {
	switch updateState(now) {
	case RollbackInProgress, RollbackPaused, RollbackCompleted:
		return before.UpdateStatus == nil || !before.UpdateStatus.StartedAt.Equal(now.UpdateStatus.StartedAt)
	}
	return false
}

// comparer compares specs of services until something goes wrong.
type comparer struct {
	services *ServiceClient
	ctx      context.Context
	op       string
	err      error
}

func (s *ServiceClient) comparer(ctx context.Context, op string) *comparer {
	return &comparer{services: s, ctx: ctx, op: op}
}

// same reports whether a service that was sent a spec would have the spec that it
// has. Two that are missing are the same.
func (c *comparer) same(has, sent *ServiceSpec) bool {
	if has == nil || sent == nil {
		return has == sent
	}
	spec, err := c.services.adapted(c.ctx, c.op, *has, *sent, PinOff)
	if err != nil {
		c.err = err
		return false
	}
	return has.TaskTemplate.ForceUpdate == sent.TaskTemplate.ForceUpdate && len(DiffSpec(*has, spec)) == 0
}

// clockSkew is how far the clocks of this machine and of the swarm's leader may be
// apart without harm.
const clockSkew = time.Minute

// lookAtCreation tells whether there is a service of this name and spec, which is
// not older than the call.
func (s *ServiceClient) lookAtCreation(op string, spec ServiceSpec, pin *ImagePin) look {
	began := time.Now()
	return func(ctx context.Context) (Resolution, bool, error) {
		if spec.Name == "" {
			return unknowable("", "it had no name to look for")
		}
		now, err := s.find(ctx, op, spec.Name)
		if isAbsent(err) || err == nil && now.Spec.Name != spec.Name {
			return notYet("", noSuchName)
		}
		if err != nil {
			return Resolution{}, false, err
		}
		is := s.comparer(ctx, op)
		asked := is.same(&now.Spec, &spec) || now.PreviousSpec != nil && is.same(now.PreviousSpec, &spec)
		switch {
		case is.err != nil:
			return Resolution{}, false, is.err
		case asked && now.CreatedAt.Before(began.Add(-clockSkew)):
			return unknowable(now.ID, "there is a service of this name and spec, but it is older, or the clocks are wrong")
		case asked:
			r, final, err := applied(now.ID, "there is a service of this name and spec")
			r.Change = &ServiceChange{ID: now.ID, Changed: true, Rollout: Rollout{ServiceID: now.ID, Kind: RolloutCreate, Spec: spec}, Pin: pin}
			return r, final, err
		case now.PreviousSpec == nil && now.UpdateStatus == nil:
			return notApplied(now.ID, "there is a service of this name with another spec")
		}
		return unknowable(now.ID, othersWrote)
	}
}

// isAbsent reports that there is no object of a name: at most some whose IDs begin
// like it.
func isAbsent(err error) bool {
	return errors.Is(err, ErrNotFound) || errors.Is(err, ErrAmbiguousRef)
}

// lookAtCreation tells whether there is a config of this name and content.
func (c *ConfigClient) lookAtCreation(op string, spec ConfigSpec) look {
	return func(ctx context.Context) (Resolution, bool, error) {
		now, err := c.find(ctx, op, spec.Name)
		switch {
		case isAbsent(err):
			return notYet("", noSuchName)
		case err != nil:
			return Resolution{}, false, err
		case !bytes.Equal(now.Spec.Data, spec.Data) || !sameDriver(now.Spec.Templating, spec.Templating):
			return notApplied(now.ID, "there is a config of this name with other data")
		case maps.Equal(now.Spec.Labels, spec.Labels):
			return applied(now.ID, "there is a config of this name and content")
		}
		return otherLabels(now.ID, now.CreatedAt, now.UpdatedAt)
	}
}

// otherLabels is the outcome of a creation when the object has other labels, which
// is all of it that can be changed.
func otherLabels(id string, created, updated time.Time) (Resolution, bool, error) {
	if created.Equal(updated) {
		return notApplied(id, "there is one of this name with other labels")
	}
	return unknowable(id, othersWrote)
}

// lookAtCreation tells as much of a secret as engines show. Its data only shows by
// the label that Ensure and Rotate leave.
func (s *SecretClient) lookAtCreation(op string, spec SecretSpec) look {
	return func(ctx context.Context) (Resolution, bool, error) {
		now, err := s.find(ctx, op, spec.Name)
		switch {
		case isAbsent(err):
			return notYet("", noSuchName)
		case err != nil:
			return Resolution{}, false, err
		case !sameDriver(now.Spec.Driver, spec.Driver) || !sameDriver(now.Spec.Templating, spec.Templating):
			return notApplied(now.ID, "there is a secret of this name with another driver")
		case !maps.Equal(now.Spec.Labels, spec.Labels):
			return otherLabels(now.ID, now.CreatedAt, now.UpdatedAt)
		case spec.Driver != nil:
			return applied(now.ID, "there is a secret of this name and driver")
		case hasContent(spec.Labels[labelContent], spec.Data):
			return applied(now.ID, "there is a secret of this name with the hash of this data")
		}
		return unknowable(now.ID, "there is a secret of this name, and nobody can read its data")
	}
}

// lookAtCreation tells whether there is a network as it was asked for. Networks
// cannot be changed.
func (n *NetworkClient) lookAtCreation(op string, spec NetworkSpec) look {
	return func(ctx context.Context) (Resolution, bool, error) {
		now, err := n.inspect(ctx, op, spec.Name, nil)
		switch {
		case isAbsent(err) || err == nil && now.Name != spec.Name:
			return notYet("", noSuchName)
		case err != nil:
			return Resolution{}, false, err
		case spec.describes(now):
			return applied(now.ID, "there is such a network of this name")
		case now.Driver == "" && len(spec.Options) > 0: // which the engine shows when it has made it ready
			r, _, _ := unknowable(now.ID, "there is a network of this name that is not ready yet")
			return r, false, nil
		}
		return notApplied(now.ID, "there is another network of this name")
	}
}

// describes reports whether a network has all that a spec asks for. Engines add
// options and addresses, fill in the driver in time, give configurations a driver
// of their own, and give the networks that use one its labels.
func (s *NetworkSpec) describes(n *Network) bool {
	for name, value := range s.Options {
		if n.Options[name] != value {
			return false
		}
	}
	sameIPAM := len(s.IPAM.Config) == 0 || len(n.IPAM.Config) == 0 || len(s.IPAM.Config) == len(n.IPAM.Config) && s.IPAM.Config[0].Subnet == n.IPAM.Config[0].Subnet
	sameDriver := s.ConfigOnly || n.Driver == "" || s.Driver == n.Driver
	sameLabels := s.ConfigFrom.Network != "" || maps.Equal(s.Labels, n.Labels)
	return sameDriver && s.Internal == n.Internal && s.Attachable == n.Attachable && s.Ingress == n.Ingress &&
		s.ConfigOnly == n.ConfigOnly && s.ConfigFrom == n.ConfigFrom && sameLabels && sameIPAM
}

// lookAtCreation tells whether there is a volume of this name. Engines take one of
// their own that is there for the one that is to be created, if the driver is the
// same; managers refuse a second one of the swarm.
func (v *VolumeClient) lookAtCreation(op string, spec VolumeSpec) look {
	return func(ctx context.Context) (Resolution, bool, error) {
		if spec.Name == "" {
			return unknowable("", "it had no name to look for")
		}
		now, err := v.inspect(ctx, op, spec.Name)
		switch {
		case isAbsent(err) || err == nil && now.Name != spec.Name:
			return notYet("", noSuchName)
		case err != nil:
			return Resolution{}, false, err
		case spec.ClusterVolumeSpec != nil && now.ClusterVolume != nil:
			return spec.compareCluster(now)
		case spec.ClusterVolumeSpec != nil:
			return unknowable("", "the engine has a volume of this name, which hides those of the swarm")
		case now.ClusterVolume != nil: // which the engine's own would hide
			return notYet(now.ClusterVolume.ID, "only the swarm has a volume of this name")
		case now.Driver == cmp.Or(spec.Driver, "local"):
			return applied("", "there is a volume of this name and driver")
		}
		return notApplied("", "there is a volume of this name with another driver")
	}
}

// compareCluster tells whether a volume of the swarm is as it was asked for. Its
// availability is all of it that can be changed.
func (s *VolumeSpec) compareCluster(now *Volume) (Resolution, bool, error) {
	id, is, asked := now.ClusterVolume.ID, now.ClusterVolume.Spec.filledIn(), s.ClusterVolumeSpec.filledIn()
	sameAvailability := is.Availability == asked.Availability
	is.Availability = asked.Availability
	switch {
	case s.Driver != now.Driver || !maps.Equal(s.DriverOpts, now.Options) || !maps.Equal(s.Labels, now.Labels) || !reflect.DeepEqual(is, asked):
		return notApplied(id, "there is another volume of this name in the swarm")
	case sameAvailability:
		return applied(id, "there is such a volume of this name in the swarm")
	case now.ClusterVolume.CreatedAt.Equal(now.ClusterVolume.UpdatedAt):
		return notApplied(id, "there is one of this name with another availability")
	}
	return unknowable(id, othersWrote)
}

// filledIn is the spec of a volume of the swarm as engines show it, its secrets in
// order.
func (s ClusterVolumeSpec) filledIn() ClusterVolumeSpec {
	s.Availability = cmp.Or(s.Availability, VolumeActive)
	s.Secrets = slices.SortedFunc(slices.Values(s.Secrets), func(a, b VolumeSecret) int { return cmp.Compare(a.Key, b.Key) })
	if s.AccessMode != nil {
		mode := *s.AccessMode
		mode.Scope, mode.Sharing = cmp.Or(mode.Scope, VolumeSingleNode), cmp.Or(mode.Sharing, VolumeSharingNone)
		s.AccessMode = &mode
	}
	return s
}

// lookAtRemoval tells whether an object is gone that was to be removed by its full
// ID, which is never used again.
func (c *Client) lookAtRemoval(op, object string, at route) look {
	return func(ctx context.Context) (Resolution, bool, error) {
		err := c.do(ctx, &call{op: op, object: object, method: http.MethodGet, to: at, repeat: repeatRead}, nil)
		switch {
		case errors.Is(err, ErrNotFound):
			return applied("", isRemoved)
		case err != nil:
			return Resolution{}, false, err
		}
		return notYet("", "it is still there")
	}
}

// lookAtRemoval tells whether a volume is gone. There may be a new one of its name;
// those of the swarm are removed in time.
func (v *VolumeClient) lookAtRemoval(op string, volume *Volume) look {
	return func(ctx context.Context) (Resolution, bool, error) {
		now, err := v.inspect(ctx, op, volume.Name)
		switch {
		case errors.Is(err, ErrNotFound):
			return applied("", isRemoved)
		case err != nil:
			return Resolution{}, false, err
		case volume.ClusterVolume != nil && now.ClusterVolume != nil && now.ClusterVolume.ID != volume.ClusterVolume.ID:
			return applied("", isRemoved)
		case volume.ClusterVolume != nil && now.ClusterVolume != nil && now.ClusterVolume.Version != volume.ClusterVolume.Version:
			return unknowable("", "it has been written, which marks volumes to be removed too")
		case now.CreatedAt == volume.CreatedAt:
			return notYet("", "it is still there")
		}
		return unknowable("", "there is a volume of this name")
	}
}

// lookAtWriting tells whether an object has got the spec that was posted for the
// version that was read; inside is where it keeps them, nothing for the object
// itself.
func (c *Client) lookAtWriting(op, object string, at route, inside string, read Version, current, sent wire.Node) look {
	return func(ctx context.Context) (Resolution, bool, error) {
		var now struct {
			ID      string
			Version Version
		}
		var spec wire.Node
		err := c.fetch(ctx, &call{op: op, object: object, method: http.MethodGet, to: at, repeat: repeatRead}, func(body json.RawMessage) error {
			tree, err := wire.Parse(body)
			if inside != "" {
				tree, _ = tree.Get(inside)
			}
			spec, _ = tree.Get("Spec")
			if err != nil {
				return err
			}
			return wire.Unmarshal(tree.Append(nil), &now)
		})
		switch {
		case errors.Is(err, ErrNotFound):
			return unknowable("", isRemoved)
		case err != nil:
			return Resolution{}, false, err
		case now.Version == read:
			return notYet(now.ID, asRead)
		case sameMeaning("", spec, sent):
			return applied(now.ID, asWritten)
		case sameMeaning("", spec, current):
			return notApplied(now.ID, touchedAlone)
		}
		return unknowable(now.ID, othersWrote)
	}
}

// withoutUpdate is where an object is read whose updates go to that endpoint.
func (r route) withoutUpdate() route {
	r.template, r.path = strings.TrimSuffix(r.template, "/update"), strings.TrimSuffix(r.path, "/update")
	return r
}

// lookAtPost tells whether the swarm has got what was posted for the version that
// was read: a spec, or new tokens. What it signs with engines do not show.
func (s *SwarmClient) lookAtPost(op string, read *Cluster, sent wire.Node, query url.Values) look {
	rotates := map[string]func(*Cluster) string{
		"rotateWorkerToken":  func(c *Cluster) string { return c.JoinTokens.Worker },
		"rotateManagerToken": func(c *Cluster) string { return c.JoinTokens.Manager },
	}
	return func(ctx context.Context) (Resolution, bool, error) {
		now, err := s.inspect(ctx, op)
		if err != nil {
			return Resolution{}, false, err
		}
		if now.Version == read.Version {
			return notYet(now.ID, asRead)
		}
		rotated, asked := 0, 0
		for name, token := range rotates {
			if query.Has(name) {
				asked++
				if token(now) != token(read) {
					rotated++
				}
			}
		}
		switch {
		case query.Has("rotateManagerUnlockKey"):
			return unknowable(now.ID, "the swarm has been written, and does not show which key it had")
		case asked > 0 && rotated == asked:
			return applied(now.ID, "the tokens are new")
		case asked > 0:
			return notApplied(now.ID, "the tokens are those of before")
		}
		before, _ := wire.Parse(read.Raw)
		spec, _ := before.Get("Spec")
		return s.client.lookAtWriting(op, "", to("/swarm"), "", read.Version, spec, withoutKeys(sent))(ctx)
	}
}

// withoutKeys is the spec of a swarm as engines show it.
func withoutKeys(spec wire.Node) wire.Node {
	ca, ok := spec.Get("CAConfig")
	if !ok {
		return spec
	}
	return spec.With("CAConfig", ca.Without("SigningCAKey").Without("SigningCACert"))
}

// lookAtLocal tells from the state of the engine in what way a request about itself
// has ended. A state that is not named is none to rely on.
func (s *SwarmClient) lookAtLocal(op string, outcomes map[LocalNodeState]Outcome) look {
	return func(ctx context.Context) (Resolution, bool, error) {
		state, err := s.localState(ctx, op)
		if err != nil {
			return Resolution{}, false, err
		}
		reason := "the engine is " + printable(string(state.LocalNodeState))
		switch outcomes[state.LocalNodeState] {
		case OutcomeApplied:
			return applied(state.NodeID, reason)
		case OutcomeNotApplied:
			return notYet(state.NodeID, reason)
		}
		r, _, _ := unknowable(state.NodeID, reason)
		return r, false, nil
	}
}

// What the states of an engine say of requests about itself.
var (
	entering  = map[LocalNodeState]Outcome{LocalActive: OutcomeApplied, LocalLocked: OutcomeApplied, LocalInactive: OutcomeNotApplied, LocalError: OutcomeNotApplied}
	leaving   = map[LocalNodeState]Outcome{LocalInactive: OutcomeApplied, LocalActive: OutcomeNotApplied, LocalLocked: OutcomeNotApplied, LocalError: OutcomeNotApplied}
	unlocking = map[LocalNodeState]Outcome{LocalActive: OutcomeApplied, LocalLocked: OutcomeNotApplied}
)
