package swarm

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/swarm-go/swarm/internal/frames"
)

// LogOptions choose what of the logs to read. The zero value reads both
// streams, all the lines there are, and then ends.
type LogOptions struct {
	// Only is the one stream to read. The default is both. Engines send nothing
	// at all for LogStderr alone of containers with a terminal (TTY).
	Only LogStream
	// Follow keeps the stream open for lines to come, until its context is done
	// or it is closed: engines do not end it when the tasks have finished or
	// the service is gone. Read it without long pauses; what is not read piles up
	// in the memory of the swarm's leader.
	Follow bool
	// Tail is how many lines to begin with, of every task there is or was, not
	// of the whole; lines longer than 16 KiB count once per 16 KiB. The default is
	// all lines. [TailNone] begins with none, for which Follow is needed to read
	// anything at all. Engines apply it to tasks that start later too, so the
	// first lines of those may be missing.
	Tail int
	// Since leaves out lines older than this instant, by the clock of the task's
	// node. The default is no limit.
	Since time.Time
	// Timestamps puts the time before each line, in UTC and always with nine
	// digits after the point: "2026-11-21T01:59:21.895001646Z ".
	Timestamps bool
	// Details puts the attributes of its source before each line, after the
	// time: pairs key=value, URL-escaped, sorted and separated by commas, among
	// them com.docker.swarm.node.id, .service.id and .task.id, then a space.
	Details bool
	// Format says how to take the stream apart. By default the library finds
	// out, which costs a request before API 1.42.
	Format LogFormat
}

// TailNone as [LogOptions].Tail leaves out all lines that there are already.
const TailNone = -1

// LogStream is the stream of a container that a piece of its log came from.
type LogStream byte

const (
	// LogStdout is standard output; of a container with a terminal (TTY) it is all
	// there is.
	LogStdout LogStream = 1
	// LogStderr is standard error.
	LogStderr LogStream = 2
)

// String returns "stdout" or "stderr".
func (s LogStream) String() string {
	switch s {
	case LogStdout:
		return "stdout"
	case LogStderr:
		return "stderr"
	}
	return fmt.Sprintf("LogStream(%d)", byte(s))
}

// LogFormat is how an engine sends logs.
type LogFormat byte

const (
	// LogFormatAuto lets the library find out: from the engine's answer, before
	// API 1.42 from the TTY setting of the service or task.
	LogFormatAuto LogFormat = iota
	// LogFormatMultiplexed is sent for containers without a terminal: frames
	// that name their stream.
	LogFormatMultiplexed
	// LogFormatRaw is sent for containers with a terminal (TTY): their bytes.
	LogFormatRaw
)

// Logs reads the logs of a service: of all its tasks, old ones included, as far
// as their nodes still have them. Lines of one task and stream come in order,
// those of different tasks as they arrive. The reference is an ID, a name or a
// unique prefix of an ID. Close the reader; ctx ends it too.
//
// The log of tasks whose log driver keeps nothing, "none" for instance, is
// empty: engines do not say why.
//
// A service that does not exist is [ErrNotFound]. Needs API 1.29; older
// engines return a [*VersionError].
//
// Engine endpoints: GET /services/{id}, GET /services/{id}/logs
func (s *ServiceClient) Logs(ctx context.Context, ref string, opts *LogOptions) (*LogReader, error) {
	return s.client.logs(ctx, "service logs", "/services/{id}", ref, opts)
}

// Logs reads the logs of one task, by its ID or a unique prefix of it. Close the
// reader; ctx ends it too.
//
// A task that does not exist is [ErrNotFound]. Needs API 1.29; older engines
// return a [*VersionError].
//
// Engine endpoints: GET /tasks/{id}, GET /tasks/{id}/logs
func (t *TaskClient) Logs(ctx context.Context, ref string, opts *LogOptions) (*LogReader, error) {
	return t.client.logs(ctx, "task logs", "/tasks/{id}", ref, opts)
}

// logTypesSince is the first API version whose Content-Type of logs is true:
// before, it is missing or the same for both formats.
var logTypesSince = version{1, 42}

// logs opens the logs of the object that template and ref name.
func (c *Client) logs(ctx context.Context, op, template, ref string, opts *LogOptions) (*LogReader, error) {
	if opts == nil {
		opts = &LogOptions{}
	}
	if err := opts.validate(op, ref); err != nil {
		return nil, err
	}
	call := &call{op: op, object: ref, method: http.MethodGet, to: to(template+"/logs", ref), query: opts.query(), repeat: repeatRead}
	agreed, err := c.agreed(ctx, call)
	if err != nil {
		return nil, callError(call, err, false)
	}
	typed, format := !agreed.use.less(logTypesSince), opts.Format
	if !typed && format == LogFormatAuto {
		if ref, format, err = c.logFormat(ctx, op, template, ref); err != nil {
			return nil, err
		}
		call.to = to(template+"/logs", ref)
	}
	response, err := c.stream(ctx, call)
	if err != nil {
		return nil, err
	}
	if typed {
		sent, err := sentFormat(response)
		if err != nil {
			response.Body.Close()
			return nil, protocolError(call, response.StatusCode, err)
		}
		format = cmp.Or(format, sent)
	}
	return newLogReader(ctx, call, response.Body, format == LogFormatRaw), nil
}

// logFormat asks for the TTY setting of a service or task, and its full ID.
func (c *Client) logFormat(ctx context.Context, op, template, ref string) (id string, format LogFormat, err error) {
	type container struct{ TTY bool }
	var object struct {
		ID   string
		Spec struct {
			ContainerSpec container // of a task
			TaskTemplate  struct {
				ContainerSpec container // of a service
			}
		}
	}
	call := &call{op: op, object: ref, method: http.MethodGet, to: to(template, ref), repeat: repeatRead}
	if err := c.do(ctx, call, &object); err != nil {
		return "", LogFormatAuto, err
	}
	if err := requireID(object.ID); err != nil {
		return "", LogFormatAuto, protocolError(call, http.StatusOK, err)
	}
	if object.Spec.ContainerSpec.TTY || object.Spec.TaskTemplate.ContainerSpec.TTY {
		return object.ID, LogFormatRaw, nil
	}
	return object.ID, LogFormatMultiplexed, nil
}

// sentFormat reads the format of logs from an answer's Content-Type.
func sentFormat(response *http.Response) (LogFormat, error) {
	switch mediaType(response) {
	case "application/vnd.docker.multiplexed-stream":
		return LogFormatMultiplexed, nil
	case "application/vnd.docker.raw-stream":
		return LogFormatRaw, nil
	}
	return LogFormatAuto, fmt.Errorf("want a stream of logs, got %q", clip(response.Header.Get("Content-Type"), 128))
}

func (o *LogOptions) validate(op, object string) error {
	switch {
	case o.Only > LogStderr:
		return invalid(op, object, "Only: %v is no stream to choose", o.Only)
	case o.Tail < TailNone:
		return invalid(op, object, "Tail: %d is negative", o.Tail)
	case o.Format > LogFormatRaw:
		return invalid(op, object, "Format: %d is no format", o.Format)
	}
	return nil
}

// query is what the engine calls the options.
func (o *LogOptions) query() url.Values {
	query := url.Values{}
	for name, set := range map[string]bool{
		"stdout": o.Only != LogStderr, "stderr": o.Only != LogStdout,
		"follow": o.Follow, "timestamps": o.Timestamps, "details": o.Details,
	} {
		if set {
			query.Set(name, "1")
		}
	}
	switch {
	case o.Tail == TailNone:
		query.Set("tail", "0")
	case o.Tail > 0:
		query.Set("tail", strconv.Itoa(o.Tail))
	}
	if o.Since.After(time.Unix(0, 0)) {
		query.Set("since", fmt.Sprintf("%d.%09d", o.Since.Unix(), o.Since.Nanosecond()))
	}
	return query
}

// LogReader is a stream of logs. It can be read once, by Copy or by Frames, and
// is complete only if that ended without an error:
//
//   - [ErrLogsIncomplete]: nodes could not be asked, their lines are missing.
//   - io.ErrUnexpectedEOF: the connection broke off.
//   - [ErrProtocol]: so it did, or what came is no log.
//   - The context's error, or [ErrClosed] after Close.
//   - Any other [*Error]: the engine gave up; Message says why.
//
// What came before the error is handed out before it. Only logs of containers
// that have a terminal (TTY) have no place for the engine's errors: there they
// stand in the log itself, as text that begins with "Error grabbing logs".
//
// A stream that is not read to its end must be closed.
type LogReader struct {
	call   *call
	body   io.ReadCloser
	raw    bool
	ctxErr func() error // of the context that the stream was opened with

	taken  atomic.Bool // somebody reads it, or has
	closed atomic.Bool // somebody called Close
	close  func() error
}

func newLogReader(ctx context.Context, call *call, body io.ReadCloser, raw bool) *LogReader {
	return &LogReader{call: call, body: body, raw: raw, ctxErr: ctx.Err, close: sync.OnceValue(body.Close)}
}

// LogFrame is a piece of a log, as the engine sent it.
type LogFrame struct {
	// Stream is where the container wrote it, LogStdout if it has a terminal.
	Stream LogStream
	// Data is one line with its line feed, or 16 KiB of a longer one. Of a
	// container with a terminal it is what arrived at once, its lines ending in
	// a carriage return and a line feed. It is valid until the next frame.
	Data []byte
}

// Copy writes the stream to stdout and stderr, which may be the same, until it
// ends, and closes it. A nil writer discards what is meant for it. An error of
// a writer is wrapped in an [*Error] and ends the stream.
func (l *LogReader) Copy(stdout, stderr io.Writer) error {
	if err := l.take(); err != nil {
		return err
	}
	defer l.close()
	out, errs := newLogSink(stdout), newLogSink(stderr)
	var said engineText
	var err error
	if l.raw {
		_, err = io.Copy(out, l.body)
	} else {
		err = frames.Copy(out, errs, l.body, said.add)
	}
	if failed := cmp.Or(out.err, errs.err); failed != nil {
		return l.failure("", nil, failed)
	}
	return l.ended(&said, err)
}

// Frames reads the stream frame by frame. Each comes with a nil error; if the
// stream is not complete, an empty frame with the error comes last. Leaving the
// loop closes the stream.
func (l *LogReader) Frames() iter.Seq2[LogFrame, error] {
	return func(yield func(LogFrame, error) bool) {
		if err := l.take(); err != nil {
			yield(LogFrame{}, err)
			return
		}
		defer l.close()
		each := l.eachFrame
		if l.raw {
			each = l.eachRead
		}
		if err := each(yield); err != nil {
			yield(LogFrame{}, err)
		}
	}
}

// eachFrame yields whole frames. One that does not arrive at once is put
// together, so that memory grows with what came, not with what a header says.
func (l *LogReader) eachFrame(yield func(LogFrame, error) bool) error {
	reader := frames.NewReader(l.body)
	var said engineText
	var begun []byte
	for {
		stream, data, last, err := reader.Next()
		switch {
		case err != nil:
			return l.ended(&said, err)
		case stream == frames.System:
			said.add(data, last)
			continue
		case !last:
			begun = append(begun, data...)
			continue
		case len(begun) > 0:
			begun = append(begun, data...)
			data, begun = begun, begun[:0]
		}
		if len(data) > 0 && !yield(LogFrame{logStream(stream), data}, nil) {
			return nil
		}
	}
}

func logStream(stream frames.Stream) LogStream {
	if stream == frames.Stderr {
		return LogStderr
	}
	return LogStdout
}

// eachRead yields what each read of a raw stream brings.
func (l *LogReader) eachRead(yield func(LogFrame, error) bool) error {
	buffer := make([]byte, 32<<10)
	for {
		n, err := l.body.Read(buffer)
		if n > 0 && !yield(LogFrame{LogStdout, buffer[:n]}, nil) {
			return nil
		}
		if err != nil {
			return l.ended(&engineText{}, err)
		}
	}
}

// Close ends the stream, also while another goroutine reads it, which then gets
// [ErrClosed]. It can be called at any time, from anywhere, and again.
func (l *LogReader) Close() error {
	l.closed.Store(true)
	return l.close()
}

// take makes the caller the one who reads the stream.
func (l *LogReader) take() error {
	switch {
	case l.closed.Load():
		return l.failure("", ErrClosed, nil)
	case l.taken.Swap(true):
		return l.failure("the stream was read already", ErrClosed, nil)
	}
	return nil
}

// ended is the error of a stream that ended with err: nil if it is complete.
func (l *LogReader) ended(said *engineText, err error) error {
	message, kind := said.meaning()
	switch {
	case err == nil || err == io.EOF:
		if message == "" {
			return nil
		}
		err = nil
	case l.ctxErr() != nil:
		kind, err = nil, l.ctxErr()
	case l.closed.Load():
		kind, err = ErrClosed, nil
	default:
		broken, cause := l.broken(err)
		kind, err = cmp.Or(kind, broken), cause
	}
	return l.failure(message, kind, err)
}

// broken says what it means that reading failed with err. net/http has no types
// for some of its errors.
func (l *LogReader) broken(err error) (kind, cause error) {
	_, noFrame := errors.AsType[*frames.ProtocolError](err)
	switch {
	case strings.HasSuffix(err.Error(), "unexpected EOF reading trailer"):
		return ErrProtocol, io.ErrUnexpectedEOF
	case noFrame, err == io.ErrUnexpectedEOF, strings.Contains(err.Error(), "chunk"):
		return ErrProtocol, err
	case l.call.method == "": // Demux: not our connection
		return nil, err
	}
	return ErrUnavailable, err
}

func (l *LogReader) failure(message string, kind, cause error) error {
	return &Error{Op: l.call.op, Object: l.call.object, Method: l.call.method, Path: l.call.to.path,
		Message: message, Err: cause, kind: kind}
}

// Demux takes apart a multiplexed stream that came from somewhere else, the
// logs of a container for instance, and writes it to stdout and stderr, which
// may be the same, until source ends. A nil writer discards what is meant for
// it. Nothing is closed.
//
// It fails with [ErrProtocol] if source ends inside a frame (then it is
// io.ErrUnexpectedEOF too) or holds something else, with the error of source or
// of a writer, and with what the engine said if it sent an error in the stream.
func Demux(stdout, stderr io.Writer, source io.Reader) error {
	l := newLogReader(context.Background(), &call{op: "demux"}, io.NopCloser(source), false)
	return l.Copy(stdout, stderr)
}

// logSink remembers the error of its writer, which is no fault of the stream.
type logSink struct {
	writer io.Writer
	err    error
}

func newLogSink(w io.Writer) *logSink {
	if w == nil {
		w = io.Discard
	}
	return &logSink{writer: w}
}

func (s *logSink) Write(p []byte) (int, error) {
	n, err := s.writer.Write(p)
	if err == nil && n < len(p) {
		err = io.ErrShortWrite
	}
	s.err = err
	return n, err
}

// engineText collects what the engine says in frames of its own: why it cannot
// go on, or which logs are missing. Only the beginning of a long text is kept.
type engineText struct {
	text []byte
	seen bool
}

func (t *engineText) add(piece []byte, last bool) {
	t.seen = true
	t.text = append(t.text, piece[:min(len(piece), maxError-len(t.text))]...)
	if last && len(t.text) < maxError {
		t.text = append(t.text, '\n')
	}
}

// meaning is what was said, without the prefixes, and the sentinel it stands
// for. It is empty only if nothing was said.
func (t *engineText) meaning() (message string, kind error) {
	if !t.seen {
		return "", nil
	}
	var reasons []string
	for line := range strings.Lines(string(t.text)) {
		reason := stripRPC(strings.TrimPrefix(strings.TrimSpace(line), "Error grabbing logs: "))
		if reason != "" {
			reasons = append(reasons, printable(reason))
		}
	}
	if len(reasons) == 0 {
		return "the engine failed without saying why", nil
	}
	return strings.Join(reasons, "; "), textKind(string(t.text))
}

// textKind is the sentinel for a text that came without a status.
func textKind(text string) error {
	for _, r := range rules {
		if r.status == 0 && strings.Contains(text, r.text) {
			return r.kind
		}
	}
	return nil
}
