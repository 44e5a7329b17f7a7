package swarm

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/swarm-go/swarm/internal/wire"
)

// Apply makes a service be as the spec says: it creates it, or changes the one of
// that name. What the spec does not name is removed from the service, of the
// fields that this library knows. If the service is so already, nothing is sent,
// and the result says so.
//
// What means the same counts as the same, and stays as it is so that no task is
// replaced: what engines fill in, names of networks for their IDs, and an image
// with a digest for the same one without, unless Pin asks for a new digest. A
// ForceUpdate of 0 keeps the number that there is. A spec without a mode is one
// replica.
//
// Apply may be called by several at once: all but one of those that create the
// service find it, and go on from there; changes begin again when somebody else
// wrote the service in between, until ctx is done. A name is required; another
// kind of mode is [ErrImmutable]. A change of a job runs it again, which the
// options must allow; see [ServiceClient.Create] and [ServiceClient.Update] for
// the other errors.
//
// Engine endpoints: GET /services/{id}, POST /services/create, POST /services/{id}/update, GET /networks/{id}
func (s *ServiceClient) Apply(ctx context.Context, spec ServiceSpec, opts *ServiceModifyOptions) (*ServiceChange, error) {
	const op = "apply service"
	if spec.Name == "" {
		return nil, invalid(op, "", "the spec has no name")
	}
	opts = cmp.Or(opts, &ServiceModifyOptions{})
	if err := opts.Pin.check(op, spec.Name); err != nil {
		return nil, err
	}
	for attempt := 1; ; attempt++ {
		change, again, err := s.applyOnce(ctx, op, spec, opts)
		if !again {
			return change, err
		}
		if stopped := pause(ctx, s.client.retry.delay(attempt)); stopped != nil {
			return nil, fmt.Errorf("%w, then %w", err, stopped)
		}
	}
}

// applyOnce says to begin again if the service came or went meanwhile.
func (s *ServiceClient) applyOnce(ctx context.Context, op string, spec ServiceSpec, opts *ServiceModifyOptions) (change *ServiceChange, again bool, err error) {
	service, err := s.find(ctx, op, spec.Name)
	// A name that is the beginning of IDs, or an ID, is free all the same.
	if errors.Is(err, ErrNotFound) || errors.Is(err, ErrAmbiguousRef) || err == nil && service.Spec.Name != spec.Name {
		change, err = s.Create(ctx, spec, &ServiceCreateOptions{Auth: opts.Auth, AuthFrom: opts.AuthFrom, Pin: opts.Pin, DryRun: opts.DryRun})
		return change, errors.Is(err, ErrNameConflict), err
	}
	if err != nil {
		return nil, false, err
	}
	change, err = s.modify(ctx, op, service, func(service *Service) (err error) {
		service.Spec, err = s.adapted(ctx, op, service.Spec, spec, opts.Pin)
		return err
	}, opts)
	if errors.Is(err, ErrNotFound) { // the service, or its image in a registry
		_, gone := s.inspect(ctx, op, service.ID, nil)
		again = errors.Is(gone, ErrNotFound)
	}
	return change, again, err
}

// adapted is what to write so that a spec becomes the wanted one: that, with all
// that means the same spelled as it is now. What the image is pinned to stays,
// unless it is to be pinned anew.
func (s *ServiceClient) adapted(ctx context.Context, op string, now, wanted ServiceSpec, pin PinMode) (ServiceSpec, error) {
	networks, err := s.resolved(ctx, op, now.TaskTemplate.Networks, wanted.TaskTemplate.Networks)
	if err != nil {
		return wanted, err
	}
	wanted.TaskTemplate.Networks = networks
	if wanted.Mode == (ServiceMode{}) {
		wanted.Mode = Replicated(1)
	}
	if wanted.TaskTemplate.ForceUpdate == 0 {
		wanted.TaskTemplate.ForceUpdate = now.TaskTemplate.ForceUpdate
	}
	if pin == PinOff && sameImage(now.TaskTemplate.ContainerSpec.Image, wanted.TaskTemplate.ContainerSpec.Image) {
		wanted = keepImage(now, wanted)
	}
	before, err := toTree(now)
	if err != nil {
		return wanted, &Error{Op: op, Object: now.Name, Err: err, kind: ErrProtocol}
	}
	after, err := toTree(wanted)
	if err != nil {
		return wanted, invalid(op, wanted.Name, "%v", err)
	}
	var spec ServiceSpec
	if err := wire.Unmarshal(respell("", before, after).Append(nil), &spec); err != nil {
		return wanted, &Error{Op: op, Object: wanted.Name, Err: err, kind: ErrInvalid}
	}
	return spec, nil
}

// resolved replaces names of networks by the IDs that a service has for them.
func (s *ServiceClient) resolved(ctx context.Context, op string, now, wanted []NetworkAttachmentConfig) ([]NetworkAttachmentConfig, error) {
	has := func(target string) bool {
		return slices.ContainsFunc(now, func(n NetworkAttachmentConfig) bool { return n.Target == target })
	}
	wanted = slices.Clone(wanted)
	for i, network := range wanted {
		if len(now) == 0 || has(network.Target) {
			continue
		}
		found, err := s.client.Networks.inspect(ctx, op, network.Target, nil)
		switch {
		case errors.Is(err, ErrNotFound), errors.Is(err, ErrAmbiguousRef), errors.Is(err, ErrInvalid):
			// The engine that is asked for the change says it better.
		case err != nil:
			return nil, err
		case has(found.ID):
			wanted[i].Target = found.ID
		}
	}
	return wanted, nil
}

// sameImage reports whether an image, with a digest or not, is what another
// reference asks for that has none.
func sameImage(now, wanted string) bool {
	has, err1 := ParseImageReference(now)
	asked, err2 := ParseImageReference(wanted)
	if err1 != nil || err2 != nil || asked.Digest != "" && asked.Digest != has.Digest {
		return false
	}
	return has.Registry == asked.Registry && has.Repository == asked.Repository &&
		cmp.Or(has.Tag, "latest") == cmp.Or(asked.Tag, "latest")
}

// keepImage gives the wanted spec the image there is, with the platforms that it
// was pinned with.
func keepImage(now, wanted ServiceSpec) ServiceSpec {
	image := now.TaskTemplate.ContainerSpec.Image
	wanted.TaskTemplate.ContainerSpec.Image = image
	if platforms := platformsOf(&now); hasDigest(image) && len(platforms) > 0 && len(platformsOf(&wanted)) == 0 {
		placement := Placement{}
		if wanted.TaskTemplate.Placement != nil {
			placement = *wanted.TaskTemplate.Placement
		}
		placement.Platforms = platforms
		wanted.TaskTemplate.Placement = &placement
	}
	return wanted
}

// respell is wanted with everything that means the same as in now, spelled as it
// is there.
func respell(path string, now, wanted wire.Node) wire.Node {
	switch {
	case sameMeaning(path, now, wanted):
		return now
	case now.Kind == wire.Object && wanted.Kind == wire.Object:
		return respellObject(path, now, wanted)
	case now.Kind == wire.Array && wanted.Kind == wire.Array:
		return respellList(path, now, wanted)
	}
	return wanted
}

func respellObject(path string, now, wanted wire.Node) wire.Node {
	spelled := wire.Node{Kind: wire.Object}
	for _, m := range now.Members {
		at := pathTo(path, m.Name)
		value, ok := wanted.Get(m.Name)
		switch {
		case ok:
			m.Value = respell(at, m.Value, value)
		case !meansNothing(at, m.Value):
			continue
		}
		spelled.Members = append(spelled.Members, m)
	}
	for _, m := range wanted.Members {
		if _, ok := now.Get(m.Name); !ok && !meansNothing(pathTo(path, m.Name), m.Value) {
			spelled.Members = append(spelled.Members, m)
		}
	}
	return spelled
}

func respellList(path string, now, wanted wire.Node) wire.Node {
	spelled := wire.Node{Kind: wire.Array, Items: slices.Clone(wanted.Items)}
	free := slices.Clone(now.Items)
	for i, item := range wanted.Items {
		same := func(n wire.Node) bool { return sameMeaning(path+"[]", n, item) }
		if at := slices.IndexFunc(free, same); at >= 0 {
			spelled.Items[i] = free[at]
			free = slices.Delete(free, at, at+1)
		}
	}
	return spelled
}

// sameMeaning reports whether engines do the same for two values.
func sameMeaning(path string, a, b wire.Node) bool {
	switch {
	case a.Kind != b.Kind:
		return meansNothing(path, a) && meansNothing(path, b)
	case a.Kind == wire.Object:
		return !slices.ContainsFunc(a.Members, func(m wire.Member) bool {
			at := pathTo(path, m.Name)
			other, ok := b.Get(m.Name)
			return ok && !sameMeaning(at, m.Value, other) || !ok && !meansNothing(at, m.Value)
		}) && !slices.ContainsFunc(b.Members, func(m wire.Member) bool {
			_, ok := a.Get(m.Name)
			return !ok && !meansNothing(pathTo(path, m.Name), m.Value)
		})
	case a.Kind == wire.Array:
		return slices.EqualFunc(a.Items, b.Items, func(x, y wire.Node) bool { return sameMeaning(path+"[]", x, y) })
	}
	return a.Equal(b)
}
