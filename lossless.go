package swarm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"github.com/swarm-go/swarm/internal/wire"
)

// changedSpec returns the Spec inside raw, an object as the engine sent it, and
// what becomes of it when now takes the place of what it was decoded to: members
// that the type S does not know stay as they are.
func changedSpec[S any](raw json.RawMessage, now S) (current, changed wire.Node, err error) {
	object, err := wire.Parse(raw)
	if err != nil {
		return current, changed, fmt.Errorf("its Raw: %w", err)
	}
	current, _ = object.Get("Spec")
	var read S
	if err := wire.Unmarshal(current.Append(nil), &read); err != nil {
		return current, changed, fmt.Errorf("its Raw: %w", err)
	}
	before, err := toTree(read)
	if err != nil {
		return current, changed, err
	}
	after, err := toTree(now)
	if err != nil {
		return current, changed, err
	}
	return current, wire.Patch(current, before, after), nil
}

func toTree(v any) (wire.Node, error) {
	encoded, err := wire.Marshal(v)
	if err != nil {
		return wire.Node{}, err
	}
	return wire.Parse(encoded)
}

// chooseVersion says at which API version a value of the type root is sent:
// fields that this library does not know are kept by the engine's own newest
// version alone. A known field newer than that is refused.
func chooseVersion(root string, value wire.Node, agreed negotiation) (version, error) {
	use := agreed.use
	if unknown := unknownFields(root, value); len(unknown) > 0 && use != agreed.engine {
		if agreed.engine == (version{}) {
			return use, &VersionError{Field: unknown[0], Have: use.String()}
		}
		use = agreed.engine
	}
	return use, checkFields(root, value, use)
}

// encoder makes the body of a call that sends a value of the type root.
func encoder(root string, value wire.Node) func(negotiation) (version, []byte, error) {
	return func(agreed negotiation) (version, []byte, error) {
		use, err := chooseVersion(root, value, agreed)
		return use, value.Append(nil), err
	}
}

// writeBack posts the spec of an object, of the type root, for the version that
// was read; if it is as it was read it sends nothing. The version lets it happen
// once, however often it is sent.
func writeBack[S any](ctx context.Context, c *Client, call *call, root string, raw json.RawMessage, read Version, spec S) error {
	current, changed, err := changedSpec(raw, spec)
	if err != nil {
		return &Error{Op: call.op, Object: call.object, Err: err, kind: ErrInvalid}
	}
	if changed.Equal(current) {
		return nil
	}
	call.method, call.repeat, call.encode = http.MethodPost, repeatGuarded, encoder(root, changed)
	call.query = url.Values{"version": {strconv.FormatUint(read.Index, 10)}}
	call.look = c.lookAtWriting(call.op, call.object, call.to.withoutUpdate(), "", read, current, changed)
	_, err = settle(ctx, c.do(ctx, call, nil))
	return err
}

// modify reads an object, changes it and writes it back, and begins again if
// somebody else wrote it in between, until ctx is done. Engines write objects
// too, so one conflict may follow another; the pauses grow and are random, so
// that many writers get past each other.
func (c *Client) modify(ctx context.Context, once func(context.Context) error) error {
	for attempt := 1; ; attempt++ {
		err := once(ctx)
		if own, ok := err.(callersError); ok {
			return own.error
		}
		var lost *OutcomeUnknownError
		if !errors.Is(err, ErrVersionConflict) || errors.As(err, &lost) {
			return err
		}
		if stopped := pause(ctx, c.retry.delay(attempt)); stopped != nil {
			return fmt.Errorf("%w, then %w", err, stopped)
		}
	}
}

// callersError is what the caller's own function failed with: a conflict too ends
// the change, for it may be about another object.
type callersError struct{ error }

// mayBeSetAgain makes an ordinary conflict of a lost answer to a change that may
// be made twice: whether it was the first request that won, or somebody else,
// shows when the object is read again.
func mayBeSetAgain(err error) error {
	var lost *OutcomeUnknownError
	if errors.As(err, &lost) && errors.Is(err, ErrVersionConflict) {
		return lost.Err
	}
	return err
}
