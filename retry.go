package swarm

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// RetryPolicy bounds how often and how fast a request is repeated. A zero field
// means its default. The policy is not part of the compatibility promise: what
// is repeated may change when engines change.
type RetryPolicy struct {
	// ReadAttempts is how often a read is sent at most; the default is 5, 1
	// repeats nothing.
	ReadAttempts int
	// WriteAttempts is the same for writes; the default is 3. A write is
	// repeated only if the engine provably did not execute it, or if its version,
	// unique name or full ID makes the engine refuse it the second time.
	WriteAttempts int
	// MinDelay is the mean of the first pause, doubled with every attempt; each
	// pause is random between zero and twice its mean. The default is 100 ms.
	MinDelay time.Duration
	// MaxDelay bounds a pause; the default is 5 seconds.
	MaxDelay time.Duration
	// Budget bounds the repetitions of all calls of the client together, so that
	// they do not make an outage worse: how many there may be until some request
	// succeeds. Five successes earn one back. The default is 100, the most a
	// million.
	Budget int
}

var defaultRetryPolicy = RetryPolicy{ReadAttempts: 5, WriteAttempts: 3, MinDelay: 100 * time.Millisecond, MaxDelay: 5 * time.Second, Budget: 100}

// maxRetryBudget is as good as no bound.
const maxRetryBudget = 1_000_000

func (p *RetryPolicy) validate() error {
	switch {
	case p.ReadAttempts < 0 || p.WriteAttempts < 0:
		return errors.New("negative attempts")
	case p.MinDelay < 0 || p.MaxDelay < 0:
		return errors.New("negative delay")
	case p.Budget < 0 || p.Budget > maxRetryBudget:
		return fmt.Errorf("Budget %d is not between 0 and %d", p.Budget, maxRetryBudget)
	}
	d := defaultRetryPolicy
	if p.ReadAttempts == 0 {
		p.ReadAttempts = d.ReadAttempts
	}
	if p.WriteAttempts == 0 {
		p.WriteAttempts = d.WriteAttempts
	}
	if p.MinDelay == 0 {
		p.MinDelay = d.MinDelay
	}
	if p.MaxDelay == 0 {
		p.MaxDelay = max(d.MaxDelay, p.MinDelay)
	}
	if p.Budget == 0 {
		p.Budget = d.Budget
	}
	if p.MaxDelay < p.MinDelay {
		return fmt.Errorf("MaxDelay %v is shorter than MinDelay %v", p.MaxDelay, p.MinDelay)
	}
	return nil
}

// delay is the pause after an attempt: exponential with full jitter, so that
// clients that failed together do not come back together.
func (p RetryPolicy) delay(attempt int) time.Duration {
	mean := p.MinDelay << min(attempt-1, 20)
	if mean <= 0 || mean > p.MaxDelay/2 {
		mean = p.MaxDelay / 2
	}
	return rand.N(2*mean + 1)
}

// repeat is what makes a request safe to send twice.
type repeat byte

const (
	repeatNever   repeat = iota // a write that nothing guards
	repeatRead                  // reading changes nothing
	repeatGuarded               // a version, a unique name or a full ID lets it happen only once
	repeatUnsent                // it changes nothing, but only one may arrive
)

// mayRepeat is the one rule about sending a request again: reads if that may
// help; writes if they were provably not executed, or if the engine would
// refuse to execute them twice.
func (e *Error) mayRepeat(r repeat) bool {
	switch {
	case !e.again:
		return false
	case r == repeatRead, !e.executed:
		return true
	}
	return r == repeatGuarded
}

// resendPause is how long a manager waits before it asks for the same again: it does
// so by itself, once, when its connection to the leader breaks. The next leader then
// may call a conflict what the one before has done; an answer that comes earlier is
// about the work of others.
const resendPause = 500 * time.Millisecond

func isConflict(err error) bool {
	return errors.Is(err, ErrVersionConflict) || errors.Is(err, ErrNameConflict)
}

// changes tells requests of which it matters whether they were carried out.
func (r repeat) changes() bool { return r == repeatNever || r == repeatGuarded }

// rule is one line of the table of answers: what an answer with that status, or
// with that text whatever its status, means.
type rule struct {
	status   int    // 0: any of 400 and above
	text     string // contained in the message; empty: any
	kind     error
	executed bool // a write may have been carried out
	again    bool // waiting may cure it
}

// rules is the one place that knows what engines mean; the first that fits
// counts. Texts come first: the status codes mislead. A conflict and "no leader"
// are 500, a 503 is mostly permanent, yet a 503 "Unavailable" may have been
// carried out.
var rules = []rule{
	{text: "update out of sequence", kind: ErrVersionConflict},
	{text: "swarm does not have a leader", kind: ErrNoLeader, again: true},
	{text: "Manager is being prepared", kind: ErrUnavailable, again: true},
	{text: "Worker nodes can't be used", kind: ErrNotManager},
	{text: "is not a swarm manager", kind: ErrNoSwarm},
	{text: "is not part of a swarm", kind: ErrNoSwarm},
	{text: "Swarm is encrypted and ", kind: ErrLocked},
	{text: "already part of a swarm", kind: ErrAlreadyInSwarm},
	{text: "attempting to leave the swarm", kind: ErrInvalid},
	{text: "certificates have expired", kind: ErrUnavailable},
	{text: "failed to listen on remote API address", kind: ErrUnavailable, again: true}, // right after leaving, a swarm's port is still in use
	{text: "Timeout was reached before node", kind: ErrInProgress, executed: true},
	{text: "swarm is not locked", kind: ErrNotLocked},
	{text: "invalid key provided", kind: ErrInvalidUnlockKey},
	{text: "invalid key string", kind: ErrInvalidUnlockKey},
	{text: "invalid join token", kind: ErrInvalid},
	{text: "is too new. Maximum supported API version", kind: ErrUnsupported},
	{text: "is too old. Minimum supported API version", kind: ErrUnsupported},
	{text: "name conflicts with an existing object", kind: ErrNameConflict},
	{text: "renaming services is not supported", kind: ErrImmutable},
	{text: "service mode change is not allowed", kind: ErrImmutable},
	{text: "only updates to Labels are allowed", kind: ErrImmutable},
	{text: " matches found", kind: ErrAmbiguousRef},
	{text: "in use by", kind: ErrInUse},
	{text: " is in use", kind: ErrInUse}, // a volume, a network's configuration
	{text: "has active endpoints", kind: ErrInUse},
	{text: "cannot be removed because service", kind: ErrInUse},
	{text: "incomplete log stream", kind: ErrLogsIncomplete},
	{text: "logging driver does not support reading", kind: ErrLogsNotReadable},
	{text: "logs only supported on container tasks", kind: ErrLogsNotReadable},

	{text: "code = DeadlineExceeded", kind: ErrUnavailable, executed: true, again: true},
	{text: "code = Unavailable", kind: ErrUnavailable, executed: true, again: true},
	{text: "code = Canceled", kind: ErrUnavailable, executed: true, again: true},
	{text: "stream terminated by RST_STREAM", kind: ErrUnavailable, executed: true, again: true},
	{text: "lost leader status", kind: ErrUnavailable, executed: true, again: true},
	{text: "transport is closing", kind: ErrUnavailable, executed: true, again: true},
	{status: 500, text: "context deadline exceeded", kind: ErrUnavailable, executed: true, again: true}, // without a leader, engines before 23.0

	{text: "Client sent an HTTP request to an HTTPS server", kind: ErrProtocol},
	{status: 404, text: "page not found", kind: ErrUnsupported},
	{status: 409, kind: ErrNameConflict},
	{text: "code = InvalidArgument", kind: ErrInvalid},
	{text: "code = FailedPrecondition", kind: ErrInvalid},

	// Mistakes of the caller that engines answer with a 500.
	{status: 500, text: "constraint expected one operator", kind: ErrInvalid},
	{status: 500, text: "must choose at least one stream", kind: ErrInvalid},
	{status: 500, text: "Invalid desired-state filter", kind: ErrInvalid},
	{status: 500, text: "unrecognized rollback option", kind: ErrInvalid},
	{status: 500, text: "unsupported registryAuthFrom", kind: ErrInvalid},
	{status: 500, text: "tail value must be", kind: ErrInvalid},
	{status: 500, text: ": invalid syntax", kind: ErrInvalid},
	{status: 500, text: "Invalid subnet", kind: ErrInvalid},
	{status: 500, text: "invalid filter", kind: ErrInvalid},
	{status: 500, text: "invalid name:", kind: ErrInvalid},
	{status: 500, text: "no manifest found for full image ID", kind: ErrInvalid},
	{status: 500, text: "failed with status: 401", kind: ErrUnauthorized},   // a registry that knows users by itself
	{status: 500, text: "no basic auth credentials", kind: ErrUnauthorized}, // the same, asked for an image without any
	{status: 500, text: "/v2/", kind: ErrUnavailable},                       // a registry that the engine cannot reach
	{status: 500, text: " not found", kind: ErrInvalid},                     // what a spec refers to

	{status: 400, kind: ErrInvalid},
	{status: 401, kind: ErrUnauthorized},
	{status: 403, kind: ErrForbidden},
	{status: 404, kind: ErrNotFound},
	{status: 405, kind: ErrUnsupported},
	{status: 408, kind: ErrUnavailable, executed: true, again: true},
	{status: 413, kind: ErrInvalid},
	{status: 429, kind: ErrUnavailable, again: true},
	{status: 501, kind: ErrUnsupported},
	{status: 502, kind: ErrUnavailable, executed: true, again: true},
	{status: 503, kind: ErrUnavailable, executed: true},
	{status: 504, kind: ErrUnavailable, executed: true, again: true},
}

// classify finds the rule for an answer. An answer of 500 and above that none
// knows may mean anything, also that a write was carried out.
func classify(status int, message string) rule {
	switch {
	case status < 200:
		return rule{kind: ErrProtocol, executed: true}
	case status == http.StatusNotModified:
		return rule{} // what was asked for was so already
	case status < 400:
		return rule{kind: ErrProtocol}
	case status == http.StatusNotFound && message == "":
		return rule{kind: ErrUnsupported} // a proxy's: engines name what they did not find
	}
	for _, r := range rules {
		if (r.status == 0 || r.status == status) && strings.Contains(message, r.text) {
			return r
		}
	}
	return rule{executed: status >= 500}
}

// answerError is the error for an answer that says no.
func answerError(call *call, response *http.Response, message string) *Error {
	r := classify(response.StatusCode, message)
	e := &Error{
		Op: call.op, Object: call.object, Method: call.method, Path: call.to.path,
		StatusCode: response.StatusCode, Message: stripRPC(message),
		kind: r.kind, executed: r.executed, again: r.again,
	}
	switch {
	case r.kind == ErrInUse:
		e.kind = &InUseError{Services: usersIn(message)}
	case strings.Contains(r.text, "HTTPS server"):
		e.hint = "the engine speaks TLS there: use https:// or give certificates"
	case response.StatusCode < 400:
		e.Err = fmt.Errorf("unexpected HTTP status %d", response.StatusCode)
		if r.kind == ErrProtocol && response.StatusCode >= 300 {
			e.hint = "redirects are not followed"
		}
	}
	if after := response.Header.Get("Retry-After"); after != "" {
		e.wait = parseRetryAfter(after)
		e.again = e.again || r.kind == ErrUnavailable && r.status == http.StatusServiceUnavailable
	}
	return e
}

// stripRPC removes the prefix that gRPC puts before the reason.
func stripRPC(message string) string {
	if rest, ok := strings.CutPrefix(message, "rpc error: code = "); ok {
		if _, reason, ok := strings.Cut(rest, " desc = "); ok {
			return reason
		}
	}
	return message
}

// usersIn finds the services in "… is in use by the following services: a, b",
// "… is in use by service ID", "… in use by service 'a' (ID) as …" and "… cannot
// be removed because service ID depends on it".
func usersIn(message string) []string {
	if _, user, ok := strings.Cut(message, "because service "); ok {
		id, _, _ := strings.Cut(user, " ")
		return []string{id}
	}
	_, users, _ := strings.Cut(message, "in use by ")
	for _, prefix := range []string{"the following services: ", "the following service: "} {
		if list, ok := strings.CutPrefix(users, prefix); ok {
			return strings.Split(list, ", ")
		}
	}
	if name, ok := strings.CutPrefix(users, "service '"); ok {
		name, _, _ = strings.Cut(name, "'")
		return []string{name}
	}
	if id, ok := strings.CutPrefix(users, "service "); ok {
		id, _, _ = strings.Cut(id, " ")
		return []string{id}
	}
	return nil
}

// retryAfter is how long the answer asked to wait before the next attempt.
type retryAfter time.Duration

// parseRetryAfter reads the header's seconds or date, between 0 and a minute.
func parseRetryAfter(value string) retryAfter {
	var d time.Duration
	if seconds, err := strconv.ParseUint(value, 10, 31); err == nil || errors.Is(err, strconv.ErrRange) {
		d = time.Duration(seconds) * time.Second
	} else if date, err := http.ParseTime(value); err == nil {
		d = time.Until(date)
	}
	return retryAfter(min(max(d, 0), time.Minute))
}

// retryBudget keeps an outage from being made worse by repetitions: each costs
// five tokens, each success earns one back.
type retryBudget struct {
	mu     sync.Mutex
	tokens int
	most   int
}

const retryCost = 5

// fill makes a budget of so many repetitions.
func (b *retryBudget) fill(repetitions int) {
	b.most = repetitions * retryCost
	b.tokens = b.most
}

func (b *retryBudget) spend() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.tokens < retryCost {
		return false
	}
	b.tokens -= retryCost
	return true
}

func (b *retryBudget) earn() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tokens = min(b.tokens+1, b.most)
}
