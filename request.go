package swarm

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"mime"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/swarm-go/swarm/internal/wire"
)

// What an answer may hold at most.
const (
	maxObject    = 16 << 20 // one object
	maxErrorBody = 64 << 10 // what comes with an error
	maxError     = 4 << 10  // the text of an error
)

// call is one thing to ask of the engine.
type call struct {
	op     string // for errors and observers: "update service"
	object string // the reference it is about, if any
	method string
	to     route
	query  url.Values
	header http.Header
	repeat repeat
	// attempts bounds how often it is sent, where the policy would allow more.
	attempts int
	// look finds out what became of it if its answer is lost; see outcome.go.
	look look

	// encode makes the body for the API version agreed on, and may choose a
	// higher one for the request; nil means no body.
	encode func(negotiation) (version, []byte, error)
	// versionless requests carry no API version in their path.
	versionless bool
	// mayBeEmpty: an answer without content says all there is to say.
	mayBeEmpty bool
	// raw is sent as it is, once, if it has a body; its type is in header.
	raw *http.Request
	// upgrade: the answer may switch protocols, its body is then the connection.
	upgrade bool
}

// route is an endpoint: its template and the path made of it.
type route struct {
	template string
	path     string
	err      error
}

// to fills the placeholders of a template, "/services/{id}/logs", with
// references. Engines route on the decoded path, so that a reference holding
// "../" or a slash, even an escaped one, would reach another endpoint: what is
// no single path element is refused, the rest escaped.
func to(template string, refs ...string) route {
	r := route{template: template}
	var b strings.Builder
	rest := template
	for _, ref := range refs {
		if r.err = checkRef(ref); r.err != nil {
			return r
		}
		before, after, _ := strings.Cut(rest, "{")
		_, rest, _ = strings.Cut(after, "}")
		b.WriteString(before)
		b.WriteString(url.PathEscape(ref))
	}
	b.WriteString(rest)
	r.path = b.String()
	return r
}

// maxRef is longer than any name an engine allows.
const maxRef = 1024

// checkRef refuses what cannot be a single path element.
func checkRef(ref string) error {
	switch {
	case ref == "":
		return errors.New("empty reference")
	case len(ref) > maxRef:
		return fmt.Errorf("reference of %d bytes; %d are the most", len(ref), maxRef)
	case ref == "." || ref == "..":
		return fmt.Errorf("%q is no reference", ref)
	case !utf8.ValidString(ref):
		return errors.New("reference is no UTF-8")
	}
	for _, r := range ref {
		if r == '/' || r == '\\' || isUnprintable(r) {
			return fmt.Errorf("reference %q has a character %q, which no ID or name has", clip(ref, 64), r)
		}
	}
	return nil
}

// unversioned is a read outside the versioned API.
func unversioned(method, path, op string) *call {
	return &call{op: op, method: method, to: to(path), repeat: repeatRead, versionless: true}
}

// do makes a call and decodes the answer into out; a nil out means that the
// answer has no content worth reading.
func (c *Client) do(ctx context.Context, call *call, out any) error {
	if out == nil {
		return c.fetch(ctx, call, nil)
	}
	return c.fetch(ctx, call, func(body json.RawMessage) error { return wire.Unmarshal(body, out) })
}

// fetch makes a call and gives the answer's JSON to use; a nil use means that
// the answer has no content worth reading.
func (c *Client) fetch(ctx context.Context, call *call, use func(json.RawMessage) error) error {
	ctx, cancel := c.bounded(ctx)
	defer cancel()
	return c.run(ctx, call, func(response *http.Response) error {
		defer discard(response)
		if use == nil || call.mayBeEmpty && response.ContentLength == 0 {
			return nil
		}
		body, err := readObject(call, response)
		if err != nil {
			return err
		}
		if err := use(body); err != nil {
			return protocolError(call, response.StatusCode, err)
		}
		return nil
	})
}

// bounded gives a call without a deadline one.
func (c *Client) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, c.callTimeout)
}

// inspectObject makes a call whose answer is one object.
func inspectObject[T any](ctx context.Context, c *Client, call *call, decode func(json.RawMessage) (T, error)) (*T, error) {
	call.method, call.repeat = http.MethodGet, repeatRead
	var object T
	err := c.fetch(ctx, call, func(body json.RawMessage) (err error) {
		object, err = decode(body)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &object, nil
}

// listObjects makes a call whose answer is a JSON array of objects, and returns those
// that keep wants.
func listObjects[T any](ctx context.Context, c *Client, call *call, decode func(json.RawMessage) (T, error), keep func(*T) bool) ([]T, error) {
	call.method, call.repeat = http.MethodGet, repeatRead
	ctx, cancel := c.bounded(ctx)
	defer cancel()
	var kept []T
	err := c.run(ctx, call, func(response *http.Response) error {
		defer discard(response)
		if err := checkJSON(call, response); err != nil {
			return err
		}
		kept = []T{}
		for element, err := range wire.Elements(response.Body) {
			if err != nil {
				return bodyError(ctx, call, response.StatusCode, err)
			}
			object, err := decode(element)
			if err != nil {
				return protocolError(call, response.StatusCode, err)
			}
			if keep(&object) {
				kept = append(kept, object)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return kept, nil
}

// createNamed posts the spec of an object, of the type root, whose unique name
// lets it be made only once, and returns the object's ID.
func (c *Client) createNamed(ctx context.Context, call *call, root string, spec any) (string, error) {
	tree, err := toTree(spec)
	if err != nil {
		return "", invalid(call.op, call.object, "%v", err)
	}
	call.method, call.repeat, call.encode = http.MethodPost, repeatGuarded, encoder(root, tree)
	var answer struct{ ID string }
	err = c.fetch(ctx, call, func(body json.RawMessage) error {
		if err := wire.Unmarshal(body, &answer); err != nil {
			return err
		}
		return requireID(answer.ID)
	})
	if r, err := settle(ctx, err); err != nil || r.ID != "" {
		return r.ID, err
	}
	return answer.ID, nil
}

// remove deletes an object by its full ID.
func (c *Client) remove(ctx context.Context, call *call) error {
	call.method, call.repeat = http.MethodDelete, repeatGuarded
	call.look = c.lookAtRemoval(call.op, call.object, call.to)
	err := c.do(ctx, call, nil)
	var lost *OutcomeUnknownError
	if errors.As(err, &lost) && errors.Is(err, ErrNotFound) {
		return nil // IDs are never used again: the first request did it
	}
	return err
}

// stream makes a call whose answer is read as it comes. The caller closes its
// body; ctx ends it.
func (c *Client) stream(ctx context.Context, call *call) (*http.Response, error) {
	var open *http.Response
	err := c.run(ctx, call, func(response *http.Response) error {
		open = response
		return nil
	})
	return open, err
}

// elements makes a call whose answer is a JSON array, and yields the array
// element by element in constant memory. It ends with at most one error.
func (c *Client) elements(ctx context.Context, call *call) iter.Seq2[json.RawMessage, error] {
	return func(yield func(json.RawMessage, error) bool) {
		response, err := c.stream(ctx, call)
		if err != nil {
			yield(nil, err)
			return
		}
		defer discard(response)
		if err := checkJSON(call, response); err != nil {
			yield(nil, err)
			return
		}
		for element, err := range wire.Elements(response.Body) {
			if err != nil {
				err = bodyError(ctx, call, response.StatusCode, err)
			}
			if !yield(element, err) || err != nil {
				return
			}
		}
	}
}

// listAll collects what all yields, within the time of a call, and begins again
// when the answer breaks off in the middle.
func listAll[T any](ctx context.Context, c *Client, all func(context.Context) iter.Seq2[T, error]) ([]T, error) {
	ctx, cancel := c.bounded(ctx)
	defer cancel()
	for attempt := 1; ; attempt++ {
		list, err := collect(all(ctx))
		var broken *Error
		if err == nil || !errors.As(err, &broken) || !broken.again || broken.attempts > 0 || // run has repeated it
			attempt >= c.retry.ReadAttempts || !c.budget.spend() || pause(ctx, c.retry.delay(attempt)) != nil {
			return list, err
		}
	}
}

func collect[T any](all iter.Seq2[T, error]) ([]T, error) {
	list := []T{}
	for item, err := range all {
		if err != nil {
			return nil, err
		}
		list = append(list, item)
	}
	return list, nil
}

// run sends a call until it is answered, fails for good, or must not be
// repeated. finish reads the answer; it owns the body.
func (c *Client) run(ctx context.Context, call *call, finish func(*http.Response) error) error {
	attempts := c.retry.WriteAttempts
	if call.repeat == repeatRead {
		attempts = c.retry.ReadAttempts
	}
	if call.attempts > 0 {
		attempts = min(attempts, call.attempts)
	}
	renegotiated, unknown := false, false
	for attempt := 1; ; attempt++ {
		agreed, failure := c.attempt(ctx, call, attempt, finish)
		if failure == nil {
			c.budget.earn()
			return nil
		}
		failure.attempts = max(failure.attempts, attempt)
		unknown = unknown || failure.executed && call.repeat.changes()
		if isVersionRefusal(failure) && !call.versionless && c.negotiator.pinned == (version{}) {
			c.negotiator.forget(agreed)
			if !renegotiated && !call.hasRawBody() {
				renegotiated = true
				continue
			}
		}
		if attempt >= attempts || call.hasRawBody() || ctx.Err() != nil || !failure.mayRepeat(call.repeat) || !c.budget.spend() {
			return outcome(call, failure, unknown)
		}
		if err := pause(ctx, max(c.retry.delay(attempt), time.Duration(failure.wait))); err != nil {
			if failure.Err != nil {
				err = fmt.Errorf("%w, then %w", failure.Err, err)
			}
			failure.Err = err
			return outcome(call, failure, unknown)
		}
	}
}

func (c *call) hasRawBody() bool {
	return c.raw != nil && c.raw.Body != nil && c.raw.Body != http.NoBody
}

// outcome is the error to return: one of unknown outcome if any attempt at a
// write may have been carried out.
func outcome(call *call, failure *Error, unknown bool) error {
	if unknown || failure.doubtful && call.look != nil {
		return &OutcomeUnknownError{Err: failure, look: call.look, at: time.Now(), doubtful: !unknown}
	}
	return failure
}

// isVersionRefusal recognises an engine that was replaced by an older or newer
// one since the version was negotiated.
func isVersionRefusal(e *Error) bool {
	return e.StatusCode == http.StatusBadRequest && strings.HasPrefix(e.Message, "client version ") && errors.Is(e.kind, ErrUnsupported)
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// attempt sends a call once and tells the observer.
func (c *Client) attempt(ctx context.Context, call *call, attempt int, finish func(*http.Response) error) (negotiation, *Error) {
	var agreed negotiation
	var request *http.Request
	err := c.atVersion(ctx, call, func(n negotiation) (err error) {
		agreed = n
		request, err = c.build(ctx, call, n)
		return err
	})
	if err != nil {
		return agreed, callError(call, err, false)
	}
	start, status := time.Now(), 0
	response, failure := c.exchange(request, call, agreed)
	if failure == nil {
		status = response.StatusCode
		if err := finish(response); err != nil {
			failure = callError(call, err, true)
		}
	} else {
		status = failure.StatusCode
		failure.doubtful = isConflict(failure) && time.Since(start) >= resendPause
	}
	c.observe(ctx, call, attempt, status, time.Since(start), failure)
	return agreed, failure
}

func (c *Client) observe(ctx context.Context, call *call, attempt, status int, took time.Duration, failure *Error) {
	var err error
	if failure != nil {
		copied := *failure // which is not finished yet
		err = &copied
	}
	if c.observer != nil {
		c.observer(Observation{Operation: call.op, Method: call.method, PathTemplate: call.to.template,
			Attempt: attempt, StatusCode: status, Duration: took, Err: err})
	}
	c.logger.DebugContext(ctx, "request", "operation", call.op, "method", call.method, "path", call.to.template,
		"attempt", attempt, "status", status, "took", took, "error", err)
}

// callError makes an Error of whatever went wrong inside an attempt.
func callError(call *call, err error, sent bool) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	e = &Error{Op: call.op, Object: call.object, Method: call.method, Path: call.to.path, Err: err, executed: sent}
	if !sent && !isContextError(err) && !errors.Is(err, ErrUnsupported) && !errors.Is(err, ErrClosed) {
		e.kind = ErrInvalid
	}
	return e
}

// negotiationError says of a failed negotiation which call it was for. Nothing
// of that call was sent, and negotiating was tried again as often as it may be.
func negotiationError(call *call, err error) error {
	var e *Error
	switch {
	case !errors.As(err, &e):
		return fmt.Errorf("negotiate API version: %w", err)
	case e.Op == call.op:
		return err
	}
	copied := *e
	copied.Op, copied.Object, copied.executed, copied.again = call.op, call.object, false, false
	switch {
	case copied.kind == ErrUnreachable: // says enough
	case copied.Message != "":
		copied.Message = "negotiate API version: " + copied.Message
	default:
		copied.Err = fmt.Errorf("negotiate API version: %w", errors.New(e.reason()))
		if e.Err != nil {
			copied.Err = fmt.Errorf("negotiate API version: %w", e.Err)
		}
	}
	return &copied
}

// agreed is the API version for a call, negotiated if nobody has yet.
func (c *Client) agreed(ctx context.Context, call *call) (agreed negotiation, err error) {
	err = c.atVersion(ctx, call, func(n negotiation) error {
		agreed = n
		return nil
	})
	return agreed, err
}

// atVersion gives the API version for a call to use, negotiated if nobody has yet.
// Where one that others have negotiated is too old, the engine is asked once more:
// it may have been upgraded, and a call that is refused here would never notice.
func (c *Client) atVersion(ctx context.Context, call *call, use func(negotiation) error) error {
	switch {
	case c.closed.Load():
		return ErrClosed
	case call.to.err != nil:
		return call.to.err
	case call.versionless:
		if err := ctx.Err(); err != nil {
			return err
		}
		return use(negotiation{})
	}
	for mayBeOld := c.negotiator.has(); ; mayBeOld = false {
		agreed, err := c.negotiator.get(ctx, c.negotiate)
		if err != nil {
			return negotiationError(call, err)
		}
		if err = checkCall(call, agreed.use); err == nil {
			err = use(agreed)
		}
		var tooOld *VersionError
		if !mayBeOld || !errors.As(err, &tooOld) {
			return err
		}
		c.negotiator.forget(agreed)
	}
}

// check reports what would keep a call with a body from being sent.
func (c *Client) check(ctx context.Context, call *call) error {
	err := c.atVersion(ctx, call, func(agreed negotiation) error {
		_, _, err := call.encode(agreed)
		return err
	})
	if err != nil {
		return callError(call, err, false)
	}
	return nil
}

// build makes the HTTP request.
func (c *Client) build(ctx context.Context, call *call, agreed negotiation) (*http.Request, error) {
	use := agreed.use
	var body io.Reader
	var encoded []byte
	if call.hasRawBody() {
		body = call.raw.Body
	}
	if call.encode != nil {
		var err error
		if use, encoded, err = call.encode(agreed); err != nil {
			return nil, err
		}
		body = bytes.NewReader(encoded)
	}
	target := c.transport.baseURL
	if !call.versionless {
		target += "/v" + use.String()
	}
	target += call.to.path
	if len(call.query) > 0 {
		target += "?" + call.query.Encode()
	}
	request, err := http.NewRequestWithContext(ctx, call.method, target, body)
	if err != nil {
		return nil, err
	}
	for _, header := range []http.Header{c.header, call.header} {
		for key, values := range header {
			request.Header[key] = values
		}
	}
	if call.hasRawBody() {
		request.ContentLength = call.raw.ContentLength
	}
	request.Header.Set("User-Agent", c.userAgent)
	if encoded != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	return request, nil
}

// exchange sends a request and checks the status of its answer. It closes the
// body of an answer that says no.
func (c *Client) exchange(request *http.Request, call *call, agreed negotiation) (*http.Response, *Error) {
	var wanted, got atomic.Bool
	trace := &httptrace.ClientTrace{
		GetConn: func(string) { wanted.Store(true) },
		GotConn: func(httptrace.GotConnInfo) { got.Store(true) },
	}
	if err := request.Context().Err(); err != nil {
		return nil, connectError(call, err, false)
	}
	response, err := c.transport.roundTripper.RoundTrip(request.WithContext(httptrace.WithClientTrace(request.Context(), trace)))
	if err != nil {
		if contextErr := request.Context().Err(); contextErr != nil && !isContextError(err) {
			err = contextErr // a dialer may say otherwise what really was the caller's wish
		} else if contextErr == nil && errors.Is(err, context.DeadlineExceeded) {
			err = &answerTimeout{err}
		}
		// A round tripper of the caller's may tell nothing; then it was sent.
		silent := !wanted.Load() && (len(c.wrap) > 0 || c.httpClient != nil)
		return nil, connectError(call, err, got.Load() || silent)
	}
	c.negotiator.notice(agreed, response.Header)
	switch status := response.StatusCode; {
	case status >= 200 && status < 300, status == http.StatusSwitchingProtocols && call.upgrade:
		return response, nil
	}
	return nil, answerError(call, response, readError(response))
}

// answerTimeout is an answer that did not begin in time, while the caller would
// have waited. It is therefore not [context.DeadlineExceeded], which net/http's
// error claims to be.
type answerTimeout struct{ cause error }

func (e *answerTimeout) Error() string { return strings.TrimPrefix(e.cause.Error(), "net/http: ") }

func (*answerTimeout) Timeout() bool { return true }

// errorPatience is how long an error's text may take after its headers.
const errorPatience = 5 * time.Second

// beginning reads at most max bytes of a body that is not what was wanted, and
// closes it.
func beginning(response *http.Response, max int64) []byte {
	stop := time.AfterFunc(errorPatience, func() { response.Body.Close() })
	defer stop.Stop()
	defer response.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(response.Body, max))
	return body
}

// readError reads the text of an answer that says no: a JSON message, plain
// text, or nothing; of HTML that a proxy sent, the status must do.
func readError(response *http.Response) string {
	if response.StatusCode < 400 {
		response.Body.Close() // nothing was refused, so nothing explains it
		return ""
	}
	text := strings.TrimSpace(string(beginning(response, maxErrorBody)))
	if mediaType(response) == "application/json" {
		var answer struct{ Message string }
		if err := wire.Unmarshal([]byte(text), &answer); err == nil {
			text = strings.TrimSpace(answer.Message)
		}
	}
	if mediaType(response) == "text/html" || strings.HasPrefix(text, "<") {
		return ""
	}
	return clip(printable(clip(text, maxError)), maxError)
}

func mediaType(response *http.Response) string {
	t, _, err := mime.ParseMediaType(response.Header.Get("Content-Type"))
	if err != nil && !errors.Is(err, mime.ErrInvalidMediaParameter) {
		return ""
	}
	return t
}

// checkJSON refuses an answer that is something else, a login page for instance.
func checkJSON(call *call, response *http.Response) error {
	if mediaType(response) == "application/json" {
		return nil
	}
	start := bytes.TrimSpace(beginning(response, 256))
	err := fmt.Errorf("want application/json, got %q", clip(response.Header.Get("Content-Type"), 64))
	if len(start) > 0 && !bytes.ContainsAny(start[:1], `{["`) { // an engine's answer may hold secrets, whatever it is called
		err = fmt.Errorf("%w, starting with %q", err, start)
	}
	return protocolError(call, response.StatusCode, err)
}

// readObject reads an answer that is one JSON value of at most maxObject bytes.
func readObject(call *call, response *http.Response) (json.RawMessage, error) {
	if err := checkJSON(call, response); err != nil {
		return nil, err
	}
	body, err := wire.ReadValue(response.Body, response.ContentLength, maxObject)
	if err != nil {
		return nil, bodyError(response.Request.Context(), call, response.StatusCode, err)
	}
	if bytes.Equal(bytes.TrimSpace(body), []byte("null")) {
		return nil, protocolError(call, response.StatusCode, errors.New("want an object, got null"))
	}
	return body, nil
}

// bodyError is the error for a body that broke off or makes no sense.
func bodyError(ctx context.Context, call *call, status int, err error) *Error {
	if contextErr := ctx.Err(); contextErr != nil {
		err = contextErr
	}
	e := protocolError(call, status, err)
	switch {
	case isContextError(err):
		e.kind = nil
	case !wire.IsSyntax(err):
		e.again = true // the connection broke
	}
	return e
}

// drainPatience is how long the rest of a body may take that nobody wants.
const drainPatience = 50 * time.Millisecond

// discard reads what little there is left of a body, so that its connection
// can be used again, and closes it.
func discard(response *http.Response) {
	if response.Body == http.NoBody {
		return
	}
	stop := time.AfterFunc(drainPatience, func() { response.Body.Close() })
	defer stop.Stop()
	_, _ = io.CopyN(io.Discard, response.Body, 4<<10)
	_ = response.Body.Close()
}
