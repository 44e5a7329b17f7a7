package swarm

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
)

// version is an Engine API version, "1.45".
type version struct{ major, minor int }

var (
	// minVersion is the oldest API with services, engine 1.12's.
	minVersion = version{1, 24}
	// maxVersion is the newest API this library knows.
	maxVersion = version{1, 56}
)

// parseVersion reads what engines and users write: two numbers, nothing else.
func parseVersion(s string) (version, error) {
	major, minor, ok := strings.Cut(s, ".")
	v := version{}
	if ok && len(s) <= len("999.999") {
		var err1, err2 error
		v.major, err1 = parseDigits(major)
		v.minor, err2 = parseDigits(minor)
		ok = err1 == nil && err2 == nil
	} else {
		ok = false
	}
	if !ok {
		return version{}, fmt.Errorf("%q is no API version, which look like 1.45", clip(s, 32))
	}
	return v, nil
}

// parseDigits is strconv.Atoi without signs.
func parseDigits(s string) (int, error) {
	n, err := strconv.ParseUint(s, 10, 16)
	return int(n), err
}

func (v version) less(o version) bool {
	return v.major < o.major || v.major == o.major && v.minor < o.minor
}

func (v version) String() string {
	if v == (version{}) {
		return ""
	}
	return fmt.Sprintf("%d.%d", v.major, v.minor)
}

// negotiation is what was agreed on with the engine.
type negotiation struct {
	use    version // what requests ask for
	engine version // the engine's newest; zero when the version is pinned
}

// negotiator finds out once which API version to use, for all callers.
type negotiator struct {
	pinned version

	mu      sync.Mutex
	agreed  *negotiation
	pending *negotiating
}

// negotiating is one negotiation under way, which many callers may wait for.
type negotiating struct {
	done      chan struct{}
	result    negotiation
	err       error
	abandoned bool // by the one who asked, who learned nothing about the engine
}

// get returns what was agreed on, asking the engine through ask if nothing was
// yet. One caller asks, the others wait for its answer or for their own
// context. A failure is not kept: the next caller asks again.
func (n *negotiator) get(ctx context.Context, ask func(context.Context) (negotiation, error)) (negotiation, error) {
	if n.pinned != (version{}) {
		return negotiation{use: n.pinned}, nil
	}
	for {
		n.mu.Lock()
		if n.agreed != nil {
			agreed := *n.agreed
			n.mu.Unlock()
			return agreed, nil
		}
		if n.pending == nil {
			return n.lead(ctx, ask) // unlocks
		}
		pending := n.pending
		n.mu.Unlock()
		select {
		case <-pending.done:
			if pending.abandoned {
				continue
			}
			return pending.result, pending.err
		case <-ctx.Done():
			return negotiation{}, ctx.Err()
		}
	}
}

// lead asks the engine for everybody. It is called with the lock held. Nobody
// is left waiting if ask panics, as a round tripper or observer of the user's can.
func (n *negotiator) lead(ctx context.Context, ask func(context.Context) (negotiation, error)) (negotiation, error) {
	own := &negotiating{done: make(chan struct{}), abandoned: true}
	n.pending = own
	n.mu.Unlock()
	defer func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.pending = nil
		if !own.abandoned && own.err == nil {
			n.agreed = &own.result
		}
		close(own.done)
	}()
	own.result, own.err = ask(ctx)
	own.abandoned = own.err != nil && ctx.Err() != nil
	return own.result, own.err
}

// has reports whether a version has been agreed on that may have become wrong since;
// a pinned one has not.
func (n *negotiator) has() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.agreed != nil
}

// forget makes the next call negotiate again, unless somebody has done so
// since used was agreed on.
func (n *negotiator) forget(used negotiation) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.agreed != nil && *n.agreed == used {
		n.agreed = nil
	}
}

// notice looks at the version that engines send with every answer: one that
// differs from what was agreed on means that the engine was replaced.
func (n *negotiator) notice(used negotiation, header http.Header) {
	v, err := parseVersion(header.Get("Api-Version"))
	if err == nil && used.engine != (version{}) && v != used.engine {
		n.forget(used)
	}
}

// agree chooses the version for an engine whose newest one is given.
func agree(engine version) (negotiation, error) {
	if engine.less(minVersion) {
		return negotiation{}, fmt.Errorf("the engine's newest API version is %s, older than %s: %w", engine, minVersion, ErrUnsupported)
	}
	use := engine
	if maxVersion.less(use) {
		use = maxVersion
	}
	return negotiation{use: use, engine: engine}, nil
}

// negotiate asks the engine for its newest API version: by HEAD /_ping, by GET
// /_ping where something on the way refuses HEAD, by GET /version where the
// ping does not say. An engine that names none is taken for the oldest.
func (c *Client) negotiate(ctx context.Context) (negotiation, error) {
	ctx, cancel := c.bounded(ctx) // also for streams, whose callers wait without a deadline
	defer cancel()
	named, err := c.askPing(ctx)
	if named == "" && (err == nil || isRefusal(err)) {
		switch fromVersion, versionErr := c.askVersion(ctx); {
		case versionErr == nil:
			named, err = fromVersion, nil
		case !isRefusal(versionErr):
			err = versionErr
		}
	}
	if err != nil {
		return negotiation{}, err
	}
	if named == "" {
		return agree(minVersion)
	}
	engine, err := parseVersion(named)
	if err != nil {
		return negotiation{}, &Error{Op: "negotiate API version", Message: "the engine says: " + err.Error(), kind: ErrProtocol}
	}
	agreed, err := agree(engine)
	if err != nil {
		return negotiation{}, &Error{Op: "negotiate API version", kind: ErrUnsupported, Err: err}
	}
	return agreed, nil
}

// isRefusal reports answers of proxies that let only some calls through.
func isRefusal(err error) bool {
	return errors.Is(err, ErrNotFound) || errors.Is(err, ErrUnsupported) || errors.Is(err, ErrForbidden)
}

// askPing reads the header that engines send since API 1.25.
func (c *Client) askPing(ctx context.Context) (string, error) {
	response, err := c.stream(ctx, unversioned(http.MethodHead, "/_ping", "negotiate API version"))
	if err != nil && !isUnreachable(err) && ctx.Err() == nil {
		response, err = c.stream(ctx, unversioned(http.MethodGet, "/_ping", "negotiate API version"))
	}
	if err != nil {
		return "", err
	}
	discard(response)
	return response.Header.Get("Api-Version"), nil
}

// askVersion reads ApiVersion from GET /version, which answers without a swarm.
func (c *Client) askVersion(ctx context.Context) (string, error) {
	var answer struct{ ApiVersion string }
	err := c.do(ctx, unversioned(http.MethodGet, "/version", "negotiate API version"), &answer)
	return answer.ApiVersion, err
}
