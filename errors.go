package swarm

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"unicode/utf8"
)

// The errors below are what [errors.Is] tells errors of this package apart by.
// They also have the marker methods (NotFound, Conflict …) that the errdefs
// packages of moby and containerd look for.
var (
	// ErrNotFound: there is no such object.
	ErrNotFound error = &notFoundError{sentinel{"not found"}}
	// ErrNameConflict: an object of that name exists already. If it may be the one
	// that was to be created, the error is an [*OutcomeUnknownError], too.
	ErrNameConflict error = &conflictError{sentinel{"name is taken"}}
	// ErrVersionConflict: the object was changed since it was read. Engines
	// change objects too, so this happens without a second user.
	ErrVersionConflict error = &conflictError{sentinel{"version conflict"}}
	// ErrInvalid: the request makes no sense to this library or to the engine.
	ErrInvalid error = &invalidError{sentinel{"invalid"}}
	// ErrInUse: the object is used by others, see [InUseError].
	ErrInUse error = &preconditionError{sentinel{"in use"}}
	// ErrImmutable: this cannot be changed, as a service's name or mode and the
	// data of a secret or config.
	ErrImmutable error = &invalidError{sentinel{"cannot be changed"}}
	// ErrUnauthorized: credentials are missing or wrong, for the engine or for the
	// registry that it has asked.
	ErrUnauthorized error = &unauthorizedError{sentinel{"unauthorized"}}
	// ErrCredentials: the source of credentials failed, so that nothing is known of
	// them, see [AuthSource]. Nothing was sent.
	ErrCredentials error = &preconditionError{sentinel{"credentials cannot be found"}}
	// ErrForbidden: the engine, or a proxy in front of it, does not allow this.
	ErrForbidden error = &forbiddenError{sentinel{"forbidden"}}
	// ErrUnsupported: the engine cannot do this; a [VersionError] says which
	// API version is missing.
	ErrUnsupported error = &notImplementedError{sentinel{"not supported"}}
	// ErrNotManager: the engine is a worker; ask a manager.
	ErrNotManager error = &unavailableError{sentinel{"not a swarm manager"}}
	// ErrNoSwarm: the engine is not part of a swarm.
	ErrNoSwarm error = &unavailableError{sentinel{"not part of a swarm"}}
	// ErrAlreadyInSwarm: the engine is part of a swarm already.
	ErrAlreadyInSwarm error = &unavailableError{sentinel{"already part of a swarm"}}
	// ErrNoLeader: the managers have no leader at the moment. Nothing was done.
	ErrNoLeader error = &unavailableError{sentinel{"swarm has no leader"}}
	// ErrLocked: the manager waits for its unlock key.
	ErrLocked error = &unavailableError{sentinel{"swarm is locked"}}
	// ErrNotLocked: there is nothing to unlock.
	ErrNotLocked error = &conflictError{sentinel{"swarm is not locked"}}
	// ErrInvalidUnlockKey: the unlock key is wrong or no unlock key at all.
	ErrInvalidUnlockKey error = &unauthorizedError{sentinel{"invalid unlock key"}}
	// ErrInProgress: the engine goes on doing this after its answer.
	ErrInProgress error = &unavailableError{sentinel{"still in progress"}}
	// ErrUnavailable: the engine, its leader or something on the way is
	// out of order; a later call may succeed.
	ErrUnavailable error = &unavailableError{sentinel{"unavailable"}}
	// ErrUnreachable: there was no connection to the engine. Nothing was sent.
	ErrUnreachable error = &unavailableError{sentinel{"unreachable"}}
	// ErrProtocol: what answered does not speak the Engine API: a truncated
	// body, HTML, a redirect, garbage.
	ErrProtocol error = &unknownError{sentinel{"not an Engine API answer"}}
	// ErrAmbiguousRef: the reference is a prefix of several IDs.
	ErrAmbiguousRef error = &invalidError{sentinel{"ambiguous reference"}}
	// ErrClosed: the client, or the stream, was closed.
	ErrClosed error = &preconditionError{sentinel{"closed"}}
	// ErrLogsIncomplete: the logs of some nodes or tasks are missing.
	ErrLogsIncomplete error = &unavailableError{sentinel{"logs are incomplete"}}
	// ErrLogsNotReadable: the log driver keeps nothing that could be read, or there is no
	// container that could print anything.
	ErrLogsNotReadable error = &notImplementedError{sentinel{"logs cannot be read"}}
)

// sentinel is the text of an error that stands for a meaning. What embeds it
// adds the marker method of its errdefs class.
type sentinel struct{ text string }

func (s *sentinel) Error() string { return s.text }

type (
	notFoundError       struct{ sentinel }
	conflictError       struct{ sentinel }
	invalidError        struct{ sentinel }
	preconditionError   struct{ sentinel }
	unauthorizedError   struct{ sentinel }
	forbiddenError      struct{ sentinel }
	notImplementedError struct{ sentinel }
	unavailableError    struct{ sentinel }
	unknownError        struct{ sentinel }
)

func (*notFoundError) NotFound()               {}
func (*conflictError) Conflict()               {}
func (*invalidError) InvalidParameter()        {}
func (*preconditionError) FailedPrecondition() {}
func (*unauthorizedError) Unauthorized()       {}
func (*forbiddenError) Forbidden()             {}
func (*notImplementedError) NotImplemented()   {}
func (*unavailableError) Unavailable()         {}
func (*unknownError) Unknown()                 {}

// Error is what a call failed with. errors.Is tells what it means; the fields
// say what the engine said. No field holds credentials or secret data.
type Error struct {
	// Op is what was asked for, "update service" for instance.
	Op string
	// Object is the reference or name it was asked for, if any.
	Object string
	// StatusCode is the HTTP status of the engine's answer, 0 if there was none.
	StatusCode int
	// Message is the engine's text without its "rpc error" prefix, at most 4 KiB,
	// control characters escaped; empty when there was no answer.
	Message string
	// Method is the HTTP method of the request, if one was made.
	Method string
	// Path is the path of the request, if one was made.
	Path string
	// Err is the cause on this side: a connection error, a context error.
	Err error

	kind     error // the sentinel, nil if the answer fits none
	hint     string
	executed bool // a write may have been carried out
	again    bool // repeating it may help
	doubtful bool // a conflict, perhaps with what the same request has done
	attempts int
	wait     retryAfter
}

// Error says what failed, for which object, and why, in one line.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Op)
	if e.Object != "" {
		b.WriteString(" " + printable(clip(e.Object, 128)))
	}
	for _, part := range []string{e.Message, errorText(e.Err)} {
		if part != "" {
			b.WriteString(": " + part)
		}
	}
	if e.Message == "" && e.Err == nil {
		b.WriteString(": " + e.reason())
	}
	if e.attempts > 1 {
		fmt.Fprintf(&b, " (after %d attempts)", e.attempts)
	}
	if e.hint != "" {
		b.WriteString(" (" + e.hint + ")")
	}
	return b.String()
}

// reason is what is left to say when neither the engine nor a cause says it.
func (e *Error) reason() string {
	switch {
	case e.StatusCode != 0:
		return fmt.Sprintf("HTTP status %d", e.StatusCode)
	case e.kind != nil:
		return e.kind.Error()
	}
	return "failed"
}

// Unwrap makes errors.Is and errors.As see the meaning and the cause.
func (e *Error) Unwrap() []error {
	var errs []error
	for _, err := range []error{e.kind, e.Err} {
		if err != nil {
			errs = append(errs, err)
		}
	}
	return errs
}

// VersionError is returned before anything is sent, when the engine's API
// version, or the pinned one, is too old for what was asked: engines drop such
// fields silently. An engine that was asked for its version before is asked once
// more, it may have been upgraded since. It is [ErrUnsupported].
type VersionError struct {
	// Field is the JSON path, query parameter or endpoint, for instance
	// "ServiceSpec.TaskTemplate.ContainerSpec.OomScoreAdj".
	Field string
	// Needs is the API version that has it, "1.46". It is empty for a field that
	// this version of the library does not know, and for one that engines drop at
	// every version.
	Needs string
	// Have is the API version of the request.
	Have string
}

// Error names field and versions.
func (e *VersionError) Error() string {
	if e.Needs == "" {
		return fmt.Sprintf("API %[2]s would drop %[1]s", e.Field, e.Have)
	}
	return fmt.Sprintf("%s needs API %s, there is %s", e.Field, e.Needs, e.Have)
}

// Unwrap returns [ErrUnsupported].
func (e *VersionError) Unwrap() error { return ErrUnsupported }

// InUseError says who uses the object that could not be removed, or the port
// that could not be published. It is [ErrInUse].
type InUseError struct {
	// Services are the names or IDs the engine gave; empty when it gave none.
	Services []string
}

// Error lists the services.
func (e *InUseError) Error() string {
	if len(e.Services) == 0 {
		return "in use"
	}
	return "in use by " + strings.Join(e.Services, ", ")
}

// Unwrap returns [ErrInUse].
func (e *InUseError) Unwrap() error { return ErrInUse }

// invalid is the error for what is refused before anything is sent.
func invalid(op, object, format string, args ...any) *Error {
	return &Error{Op: op, Object: object, Message: printable(fmt.Sprintf(format, args...)), kind: ErrInvalid}
}

// protocolError is the error for an answer that is none.
func protocolError(call *call, status int, cause error) *Error {
	return &Error{Op: call.op, Object: call.object, StatusCode: status, Method: call.method, Path: call.to.path,
		Err: cause, kind: ErrProtocol, executed: true}
}

// connectError turns what the transport said into an Error. sent is false if
// nothing of the request can have reached the engine.
func connectError(call *call, cause error, sent bool) *Error {
	sent = sent && !isRefusedHandshake(cause)
	e := &Error{Op: call.op, Object: call.object, Method: call.method, Path: call.to.path, Err: cause, executed: sent}
	switch {
	case isContextError(cause):
	case looksLikeNoHTTP(cause):
		e.kind = ErrProtocol
	case !sent:
		e.kind, e.again = ErrUnreachable, !isPermanent(cause)
	default:
		e.kind, e.again = ErrUnavailable, true
	}
	e.hint = connectHint(cause)
	return e
}

func isContextError(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

func isUnreachable(err error) bool { return errors.Is(err, ErrUnreachable) }

// looksLikeNoHTTP recognises net/http's errors about answers that are no HTTP;
// it has no types for them.
func looksLikeNoHTTP(err error) bool {
	text := err.Error()
	for _, sign := range []string{"malformed HTTP", "malformed MIME", "server response headers exceeded", "bad chunk", "invalid header",
		"unexpected 101", "too many 1xx", "Content-Length", "unsupported transfer encoding"} {
		if strings.Contains(text, sign) {
			return true
		}
	}
	return false
}

// isPermanent reports connection errors that waiting a second does not cure.
func isPermanent(err error) bool {
	var dns *net.DNSError
	return errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.EACCES) || errors.Is(err, syscall.EPERM) ||
		errors.As(err, &dns) && dns.IsNotFound || isTLSError(err) || isPermanentSSH(err)
}

// isRefusedHandshake reports that the engine did not take this side's
// certificate or TLS version. With TLS 1.3 that shows no sooner than when the
// answer is read, but the engine has not looked at any request.
func isRefusedHandshake(err error) bool {
	_, alert, found := strings.Cut(err.Error(), "remote error: tls: ")
	return found && (strings.Contains(alert, "certificate") || strings.Contains(alert, "handshake") || strings.Contains(alert, "protocol version"))
}

// isTLSError goes by the text: crypto/tls has no types for most of its errors.
func isTLSError(err error) bool {
	text := err.Error()
	return strings.Contains(text, "tls: ") || strings.Contains(text, "x509: ") ||
		strings.Contains(text, "server gave HTTP response to HTTPS client")
}

// connectHint says what a user can do about a connection error.
func connectHint(err error) string {
	text := err.Error()
	var record tls.RecordHeaderError
	switch {
	case errors.Is(err, syscall.ENOENT):
		return "is the engine running, and is this its socket?"
	case errors.Is(err, syscall.EACCES):
		return "may your user use the socket? usually members of the group docker may"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "is the engine running, and does it listen there?"
	case errors.As(err, &record), strings.Contains(text, "server gave HTTP response to HTTPS client"):
		return "the engine does not speak TLS there: is the scheme or port wrong?"
	case strings.Contains(text, `malformed HTTP response "\x15\x03`):
		return "the engine speaks TLS there: use https:// or give certificates"
	case isRefusedHandshake(err) && strings.Contains(text, "certificate"):
		return "the engine wants a client certificate that it knows"
	case isRefusedHandshake(err) && strings.Contains(text, "handshake"):
		return "perhaps the engine wants a client certificate"
	}
	return ""
}

// printable escapes what could move a terminal's cursor or reorder its text.
func printable(s string) string {
	clean := true
	for _, r := range s {
		if isUnprintable(r) {
			clean = false
			break
		}
	}
	if clean {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if isUnprintable(r) {
			b.WriteString(strings.Trim(fmt.Sprintf("%+q", string(r)), `"`))
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

func isUnprintable(r rune) bool {
	return r < ' ' || r >= 0x7f && r < 0xa0 || r == utf8.RuneError ||
		r >= 0x200b && r <= 0x200f || r >= 0x2028 && r <= 0x202e || r >= 0x2060 && r <= 0x2069 || r == 0xfeff
}

// clip cuts a string to at most n bytes, not inside a rune.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "…"
}

// errorText is an error's text, safe to print; causes may quote what others sent.
func errorText(err error) string {
	if err == nil {
		return ""
	}
	return printable(err.Error())
}
