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
	"regexp"
	"slices"
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
	// Follow goes on with the lines to come, until the reader's context is done or
	// it is closed, the service or task is removed, Until has come, or all tasks are
	// done if UntilDone says so. The log of one task ends with it in any case. What
	// breaks off is opened again where it was, see [LogReader].
	Follow bool
	// UntilDone ends a log that is followed when all tasks have come to their end
	// and no others will take their place: when a job is done, or a service without
	// restarts. It needs Follow.
	UntilDone bool
	// Tail is how many lines to begin with, of every task there is or was, not
	// of the whole; lines longer than 16 KiB count once per 16 KiB. They are counted
	// before Only chooses, so that there may be fewer of one stream, or none. The
	// default is all lines. [TailNone] begins with none, for which Follow is needed to
	// read anything at all.
	Tail int
	// Since leaves out lines older than this instant, by the clock of the task's
	// node. The default is no limit.
	Since time.Time
	// Until leaves out lines newer than this instant, by the clock of the task's
	// node. A log that is followed ends soon after it has come, by the clock of this
	// side. The default is no limit. Engines know no such limit, this library
	// applies it; that needs the times of lines, so it cannot be had with Raw.
	Until time.Time
	// Timestamps has [LogReader.Copy] write the time before each line, in UTC and
	// always with nine digits after the point: "2026-11-21T01:59:21.895001646Z ".
	// Entries always have it.
	Timestamps bool
	// Details has [LogReader.Copy] write the attributes of its source before each
	// line, after the time: pairs key=value, URL-escaped, sorted and separated by
	// commas, among them com.docker.swarm.node.id, .service.id and .task.id, then a
	// space. Entries always have them.
	Details bool
	// MaxLine is how many bytes of a line are put together; the rest comes as
	// further entries that are Partial. Zero means 1 MiB. Lines of up to 16 KiB,
	// which engines keep whole, come whole in any case.
	MaxLine int
	// Raw hands out the stream as the engine sends it, times and details only if
	// Timestamps and Details ask for them, and then as a part of the text. Entries
	// are the pieces that engines keep, and say no more than their stream. A stream
	// that is followed is not opened again when it breaks off, may go silent without a
	// word, and ends neither with its tasks nor when the service is removed. It has to
	// be read: what is not piles up in the memory of the swarm's leader. It costs the
	// engine, and this side, the least.
	Raw bool
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

// MarshalText returns "stdout" or "stderr".
func (s LogStream) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads "stdout" or "stderr".
func (s *LogStream) UnmarshalText(text []byte) error {
	switch string(text) {
	case "stdout":
		*s = LogStdout
	case "stderr":
		*s = LogStderr
	default:
		return fmt.Errorf("%q is no stream of a log", clip(string(text), 64))
	}
	return nil
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
// A service that does not exist is [ErrNotFound]. [ErrLogsNotReadable] is one
// whose LogDriver keeps nothing, because it is none or its option cache-disabled is
// set: engines send nothing then, and do not say why. Its spec is read for that before
// a log is followed, and when a log turns out to be empty; a log that is followed ends
// with that error once no task is left that has another driver. So are plugins, which
// have no logs. Where a node's default
// is such a driver, the log is just empty. Needs API 1.29; older engines return a [*VersionError].
//
// Engine endpoints: GET /services/{id}, GET /services/{id}/logs
func (s *ServiceClient) Logs(ctx context.Context, ref string, opts *LogOptions) (*LogReader, error) {
	return s.client.logs(ctx, "service logs", "/services/{id}", ref, opts)
}

// Logs reads the logs of one task, by its ID or a unique prefix of it. Close the
// reader; ctx ends it too.
//
// A task that does not exist is [ErrNotFound], one whose LogDriver keeps nothing, or
// that is no container of the swarm's, [ErrLogsNotReadable], see [ServiceClient.Logs]. Needs API 1.29; older engines
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
	opts = opts.copied()
	if err := opts.validate(op, ref); err != nil {
		return nil, err
	}
	call := &call{op: op, object: ref, method: http.MethodGet, to: to(template+"/logs", ref), query: opts.query(), repeat: repeatRead}
	agreed, err := c.agreed(ctx, call)
	if err != nil {
		return nil, callError(call, err, false)
	}
	typed := !agreed.use.less(logTypesSince)
	var source logSource
	if opts.Follow || !typed && opts.Format == LogFormatAuto {
		if source, err = c.logSource(ctx, op, template, ref); err != nil {
			return nil, err
		}
		if err := source.readable(call); err != nil && (opts.Follow || source.noContainer) {
			return nil, err
		}
		call.to = to(template+"/logs", source.ID)
	}
	open, cancel := context.WithCancel(ctx)
	names := &logNames{client: c, ctx: ctx}
	if opts.Follow && !opts.Raw {
		follower := newFollower(open, c, call, opts, source, template == "/services/{id}")
		logs := newLogReader(ctx, call, http.NoBody, follower.format == LogFormatRaw, opts, cancel)
		logs.read(follower)
		logs.stop, logs.body.came = follower.stop, true
		logs.names, logs.ofService = names, follower.service
		return logs, nil
	}
	stream, err := c.openLog(open, call, opts, source.format)
	if err != nil {
		cancel()
		if errors.Is(err, io.EOF) && source.ID == "" { // so engines end for tasks without containers
			source, _ = c.logSource(ctx, op, template, ref)
			err = cmp.Or(source.readable(call), err)
		}
		return nil, err
	}
	var stop func()
	if !opts.Follow {
		awaited := await(open, stream.body, cancel, func(ctx context.Context) error {
			return c.silentNodes(ctx, call, template, cmp.Or(source.ID, ref))
		})
		stream.body, stop = awaited, awaited.asked.Wait
	}
	logs := newLogReader(ctx, call, stream.body, stream.raw, opts, cancel)
	logs.stop = stop
	logs.ofService = template == "/services/{id}"
	logs.names = names
	logs.missing = func(nodes []string) []string { return c.tasksOn(ctx, template, cmp.Or(source.ID, ref), nodes) }
	logs.whyEmpty = func() error {
		if source.ID == "" {
			source, _ = c.logSource(ctx, op, template, ref) // what is gone by now had an empty log
		}
		return source.readable(call)
	}
	return logs, nil
}

// openedLog is an answer that is a log.
type openedLog struct {
	body io.ReadCloser
	raw  bool
}

// openLog sends a request for a log and finds out how its answer has to be read.
// known is the format that goes with the setting of the service or task.
func (c *Client) openLog(ctx context.Context, call *call, opts *LogOptions, known LogFormat) (openedLog, error) {
	response, err := c.stream(ctx, call)
	if err != nil {
		return openedLog{}, err
	}
	agreed, err := c.agreed(ctx, call)
	if err != nil {
		response.Body.Close()
		return openedLog{}, callError(call, err, false)
	}
	format := known
	if !agreed.use.less(logTypesSince) {
		if format, err = sentFormat(response); err != nil {
			response.Body.Close()
			return openedLog{}, protocolError(call, response.StatusCode, err)
		}
	}
	return openedLog{response.Body, cmp.Or(opts.Format, format) == LogFormatRaw}, nil
}

// tasksOn are the IDs of the tasks whose logs are missing when those of the nodes
// are. What cannot be found out is left out: there is an error already.
func (c *Client) tasksOn(ctx context.Context, template, ref string, nodes []string) []string {
	if len(nodes) == 0 {
		return nil
	}
	tasks, _ := c.logTasks(ctx, template, ref)
	var ids []string
	for _, task := range tasks {
		if slices.Contains(nodes, task.NodeID) {
			ids = append(ids, task.ID)
		}
	}
	return ids
}

// logTasks are the tasks whose logs are read.
func (c *Client) logTasks(ctx context.Context, template, ref string) ([]Task, error) {
	if template == "/tasks/{id}" {
		return c.Tasks.List(ctx, &TaskListOptions{IDPrefixes: []string{ref}})
	}
	return c.Tasks.List(ctx, &TaskListOptions{Services: []string{ref}})
}

// logSource is what a service or task says of its logs.
type logSource struct {
	ID     string
	format LogFormat
	driver Driver
	// noContainer is set for plugins and for containers that are not the swarm's.
	noContainer bool
}

// readable is the error of logs that nobody keeps.
func (s *logSource) readable(call *call) error {
	if s.noContainer {
		return &Error{Op: call.op, Object: call.object, Message: "there is no container of the swarm", kind: ErrLogsNotReadable}
	}
	return s.driver.readable(call)
}

// readable is the error of logs that a driver does not keep. Engines keep a copy for
// drivers that cannot be read themselves, unless that is disabled.
func (d *Driver) readable(call *call) error {
	reason := ""
	switch disabled, _ := strconv.ParseBool(d.Options["cache-disabled"]); {
	case d.Name == "none":
		reason = "its log driver is none"
	case disabled:
		reason = "its log driver has cache-disabled set"
	default:
		return nil
	}
	return &Error{Op: call.op, Object: call.object, Message: reason, kind: ErrLogsNotReadable}
}

// logSource asks for the TTY setting and the log driver of a service or task, and
// for its full ID.
func (c *Client) logSource(ctx context.Context, op, template, ref string) (logSource, error) {
	type loggedSpec struct {
		ContainerSpec                     struct{ TTY bool }
		PluginSpec, NetworkAttachmentSpec *struct{}
		LogDriver                         Driver
	}
	var object struct {
		ID   string
		Spec struct {
			loggedSpec              // of a task
			TaskTemplate loggedSpec // of a service
		}
	}
	call := &call{op: op, object: ref, method: http.MethodGet, to: to(template, ref), repeat: repeatRead}
	if err := c.do(ctx, call, &object); err != nil {
		return logSource{}, err
	}
	if err := requireID(object.ID); err != nil {
		return logSource{}, protocolError(call, http.StatusOK, err)
	}
	source := logSource{ID: object.ID, format: LogFormatMultiplexed, driver: object.Spec.LogDriver}
	if source.driver.Name == "" {
		source.driver = object.Spec.TaskTemplate.LogDriver
	}
	for _, spec := range []loggedSpec{object.Spec.loggedSpec, object.Spec.TaskTemplate} {
		if spec.ContainerSpec.TTY {
			source.format = LogFormatRaw
		}
		source.noContainer = source.noContainer || spec.PluginSpec != nil || spec.NetworkAttachmentSpec != nil
	}
	return source, nil
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

// copied is a copy: the caller's may be changed while the log is read.
func (o *LogOptions) copied() *LogOptions {
	if o == nil {
		return &LogOptions{}
	}
	return new(*o)
}

func (o *LogOptions) validate(op, object string) error {
	switch {
	case o.Only > LogStderr:
		return invalid(op, object, "Only: %v is no stream to choose", o.Only)
	case o.Tail < TailNone:
		return invalid(op, object, "Tail: %d is negative", o.Tail)
	case o.Format > LogFormatRaw:
		return invalid(op, object, "Format: %d is no format", o.Format)
	case o.MaxLine < 0:
		return invalid(op, object, "MaxLine: %d is negative", o.MaxLine)
	case o.Raw && !o.Until.IsZero():
		return invalid(op, object, "Until: it needs the times of lines, which a raw log has not")
	case o.UntilDone && (!o.Follow || o.Raw):
		return invalid(op, object, "UntilDone: it needs Follow, and cannot be had with Raw")
	}
	return nil
}

// query is what the engine calls the options.
func (o *LogOptions) query() url.Values {
	query := url.Values{}
	for name, set := range map[string]bool{
		"stdout": o.Only != LogStderr, "stderr": o.Only != LogStdout,
		"follow": o.Follow, "timestamps": o.Timestamps || !o.Raw, "details": o.Details || !o.Raw,
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
	setSince(query, o.Since)
	return query
}

// setSince adds the parameter that leaves out older lines.
func setSince(query url.Values, since time.Time) {
	if since.After(time.Unix(0, 0)) {
		query.Set("since", fmt.Sprintf("%d.%09d", since.Unix(), since.Nanosecond()))
	}
}

// LogReader is a log, read line by line with Next or Entries, or written somewhere
// with Copy or Print, once. It is complete only if that ended without an error:
//
//   - [ErrLogsIncomplete]: nodes could not be asked, or lines are gone; a
//     [*LogsIncompleteError] says of which nodes and tasks.
//   - [ErrRemoved]: the service or task whose log was followed is gone.
//   - io.ErrUnexpectedEOF: the connection broke off.
//   - [ErrProtocol]: so it did, or what came is no log.
//   - The context's error, or [ErrClosed] after Close.
//   - Any other [*Error]: the engine gave up; Message says why.
//
// What came before the error is handed out before it. Only Raw logs of containers
// that have a terminal (TTY) have no place for the engine's errors: there they
// stand in the log itself, as text that begins with "Error grabbing logs".
//
// Engines may wait for a node without end, 20.10 for each that is down. So if nothing
// has come of a log that is not followed for half a minute to a minute, the nodes are
// asked one by one, and it ends with [ErrLogsIncomplete] if some do not answer. If all
// do, it goes on waiting.
//
// A log that is followed goes on after the loss of a leader, of a connection or of
// the engine, without losing or repeating a line, new tasks from their first line
// on and old ones to their last. Streams that engines let go silent are found out
// within a minute. Where lines may be gone for good, because a node has thrown them
// away meanwhile or never came back, there is a [LogGap]. While nobody reads, the
// stream is closed after a second, so that nothing piles up in the memory of the
// swarm's leader, and opened again where it was. A last line without an end is handed
// out when its task has ended, within half a minute. Errors that pass are not handed
// out; those that do not, such as [ErrForbidden], end it. None of this is so with Raw.
//
// A log that is not read to its end must be closed.
type LogReader struct {
	call     *call
	opts     *LogOptions
	body     *logBody
	raw      bool                                  // the body is that of a container with a terminal
	ctxErr   func() error                          // of the context that the stream was opened with
	whyEmpty func() error                          // asked when nothing came; nil: there is nobody to ask
	missing  func(nodes []string) (tasks []string) // nil: there is nobody to ask
	names    *logNames                             // nil: there is nobody to ask

	// ofService is set for the log of a service, which may be that of many tasks.
	ofService bool

	source   recordSource
	buffered *frameRecords // source, if it is that: then it can be had what has come already
	said     engineText
	join     logJoiner
	record   logRecord
	gaps     []LogGap
	end      error // what Next ended with

	stop   func()       // waits for what reads for it; nil: nothing does
	taken  atomic.Int32 // how it is read
	closed atomic.Bool  // somebody called Close
	close  func() error
}

// How a log is read.
const (
	notRead int32 = iota
	readByEntries
	readByCopy
)

// defaultMaxLine is what MaxLine is by default.
const defaultMaxLine = 1 << 20

// newLogReader reads body. Cancel ends the request that it is the answer to.
func newLogReader(ctx context.Context, call *call, body io.ReadCloser, raw bool, opts *LogOptions, cancel func()) *LogReader {
	l := &LogReader{call: call, opts: opts, body: &logBody{ReadCloser: body}, raw: raw, ctxErr: ctx.Err}
	l.read(newRecords(l.body, raw, logPrefix{stamps: !opts.Raw, details: !opts.Raw}, &origins{}, &l.said))
	l.join = logJoiner{max: cmp.Or(opts.MaxLine, defaultMaxLine), raw: raw}
	if opts.Raw {
		l.join.max = 1 // pieces stay as they are
	}
	l.close = sync.OnceValue(func() error {
		cancel()
		if l.body.reading.Load() {
			return nil // it ends now, and whoever reads closes the body
		}
		return body.Close()
	})
	return l
}

// read makes source where records come from.
func (l *LogReader) read(source recordSource) {
	l.source = source
	l.buffered, _ = source.(*frameRecords)
}

// newRecords reads the records of a stream.
func newRecords(body io.Reader, raw bool, prefix logPrefix, known *origins, said *engineText) recordSource {
	parser := prefixParser{logPrefix: prefix, origins: known}
	if raw {
		return newRawRecords(body, parser, said)
	}
	return &frameRecords{prefixParser: parser, reader: frames.NewReader(body), said: said}
}

// NewLogReader reads a log that came from somewhere else: the logs of a container
// for instance, asked for with [Client.Do]. By default it takes body for a
// multiplexed stream; Format says otherwise. Of the options only MaxLine, Until, Raw,
// Timestamps and Details count besides: the last two say what stands before the
// lines in body. Next, Entries and Print take it off, Copy leaves it.
func NewLogReader(body io.ReadCloser, opts *LogOptions) (*LogReader, error) {
	const op = "read logs"
	opts = opts.copied()
	if err := opts.validate(op, ""); err != nil {
		return nil, err
	}
	raw := opts.Format == LogFormatRaw
	l := newLogReader(context.Background(), &call{op: op}, body, raw, opts, func() {})
	if !opts.Raw {
		l.read(newRecords(l.body, raw, logPrefix{stamps: opts.Timestamps, details: opts.Details}, &origins{}, &l.said))
	}
	return l, nil
}

// logBody remembers whether anything came, and whether somebody is waiting for
// more: net/http lets a Close wait for a Read that is under way.
type logBody struct {
	io.ReadCloser
	came    bool
	reading atomic.Bool
}

func (b *logBody) Read(p []byte) (int, error) {
	b.reading.Store(true)
	defer b.reading.Store(false)
	n, err := b.ReadCloser.Read(p)
	b.came = b.came || n > 0
	return n, err
}

// done is the end of reading.
func (l *LogReader) done() {
	_ = l.close()
	_ = l.body.Close()
	if l.stop != nil {
		l.stop()
	}
}

// Next returns the next line, or gap. At the end of the log the error is io.EOF if
// it is complete; see [LogReader] for others. Every further call returns it again.
func (l *LogReader) Next() (LogEntry, error) {
	entry, err := l.next()
	if err != nil {
		return LogEntry{}, err
	}
	return *entry, nil
}

// next is Next for an entry that is good until it is called again.
func (l *LogReader) next() (*LogEntry, error) {
	if l.join.taken == len(l.join.ready) || l.closed.Load() {
		if err := l.fill(); err != nil {
			return nil, err
		}
	}
	return l.join.take(), nil
}

// maxReady is how many entries are made at a time.
const maxReady = 32

// fill sees to it that there is an entry. It waits for a record if it has to, but not
// for a second one.
func (l *LogReader) fill() error {
	if err := l.take(readByEntries); err != nil {
		return err
	}
	if l.join.taken < len(l.join.ready) {
		return nil
	}
	l.join.clear()
	for len(l.join.ready) == 0 && l.end == nil {
		wanted, err := l.nextRecord()
		switch {
		case err != nil:
			l.join.flushAll()
			l.end = cmp.Or(l.ended(err), io.EOF)
			l.done()
		case wanted:
			l.join.add(&l.record)
		}
	}
	for l.end == nil && len(l.join.ready) < maxReady && l.addBuffered() {
	}
	if len(l.join.ready) == 0 {
		return l.end
	}
	return nil
}

// nextRecord reads the next record, and reports whether it is wanted.
func (l *LogReader) nextRecord() (bool, error) {
	if err := l.source.next(&l.record); err != nil {
		return false, err
	}
	switch l.record.gap {
	case nil:
	case logEnd:
		l.join.flushTask(l.record.origin.task)
		return false, nil
	default:
		l.gaps = append(l.gaps, *l.record.gap)
	}
	return l.wants(&l.record), nil
}

// addBuffered adds the next record if that has come already. It reports false if nobody
// knows whether there is one. A whole line that is like the one before, as nearly all
// are, takes a short way.
func (l *LogReader) addBuffered() bool {
	if l.buffered == nil {
		return false
	}
	stream, data, ok := l.buffered.reader.NextBuffered()
	if !ok {
		return false
	}
	if len(l.join.begun) == 0 && data[len(data)-1] == '\n' && l.opts.Until.IsZero() {
		if at, origin, begin, ok := l.buffered.parseLikeLast(data); ok {
			l.join.entry(logStream(stream), at, origin, data[begin:])
			return true
		}
	}
	l.buffered.fill(&l.record, stream, data)
	if l.wants(&l.record) {
		l.join.add(&l.record)
	}
	return true
}

// nextBuffered reads the next record that is wanted if that has come already.
func (l *LogReader) nextBuffered() bool {
	for l.buffered != nil && l.buffered.nextBuffered(&l.record) {
		if l.wants(&l.record) {
			return true
		}
	}
	return false
}

func (l *LogReader) wants(record *logRecord) bool {
	return l.opts.Until.IsZero() || !record.at.After(l.opts.Until)
}

// Entries reads the log line by line. Each comes with a nil error; if the log is
// not complete, an empty entry with the error comes last. Leaving the loop closes
// the log.
func (l *LogReader) Entries() iter.Seq2[LogEntry, error] {
	return func(yield func(LogEntry, error) bool) {
		defer l.Close()
		for {
			entry, err := l.next()
			switch {
			case err == io.EOF:
				return
			case err != nil:
				yield(LogEntry{}, err)
				return
			case !yield(*entry, nil):
				return
			}
		}
	}
}

// Copy writes the text of the log to stdout and stderr, which may be the same, byte
// by byte and as soon as it has come, until it ends, and closes it. Lines that come
// together are written together. A nil writer discards what is meant for it. An error
// of a writer is wrapped in an [*Error] and ends the log. A log with gaps goes on, and
// ends with [ErrLogsIncomplete] if with nothing worse.
func (l *LogReader) Copy(stdout, stderr io.Writer) error {
	if err := l.take(readByCopy); err != nil {
		return err
	}
	defer l.done()
	out, errs := newLogSink(stdout), newLogSink(stderr)
	var err error
	switch {
	case !l.opts.Raw:
		err = l.copyRecords(out, errs)
	case l.raw:
		_, err = io.Copy(out, l.body)
	default:
		err = frames.Copy(out, errs, l.body, l.said.add)
	}
	if failed := cmp.Or(out.err, errs.err); failed != nil {
		return l.failure("", nil, failed)
	}
	return l.ended(err)
}

// maxPending is how much text is written at a time, give or take a record.
const maxPending = 32 << 10

// copyRecords writes records, with as much of what stands before them as is wanted:
// those of one stream that have come already together.
func (l *LogReader) copyRecords(stdout, stderr *logSink) error {
	inside := map[lineKey]bool{} // lines of which there is more to come
	last := stdout
	for {
		wanted, err := l.nextRecord()
		if err != nil {
			return err
		}
		for ; wanted; wanted = l.nextBuffered() {
			sink := stdout
			if l.record.stream == LogStderr {
				sink = stderr
			}
			if sink != last || len(last.pending) >= maxPending {
				if err := last.flush(); err != nil {
					return err
				}
				last = sink
			}
			l.addRecord(sink, inside)
		}
		if err := last.flush(); err != nil {
			return err
		}
	}
}

// addRecord adds the record to what is to be written, with what stands before a line;
// before the rest of one that is nothing.
func (l *LogReader) addRecord(sink *logSink, inside map[lineKey]bool) {
	record := &l.record
	if record.gap != nil {
		return
	}
	if l.opts.Timestamps || l.opts.Details {
		key := lineKey{record.origin.task, record.stream}
		if !inside[key] {
			sink.pending = l.appendPrefix(sink.pending, record)
		}
		if record.isEnd() {
			delete(inside, key)
		} else if len(inside) < maxOrigins {
			inside[key] = true
		}
	}
	sink.pending = append(sink.pending, record.text...)
}

func (l *LogReader) appendPrefix(b []byte, record *logRecord) []byte {
	if l.opts.Timestamps && record.stamp != nil {
		b = append(append(b, record.stamp...), ' ')
	}
	if l.opts.Details && record.details != nil {
		b = append(append(b, record.details...), ' ')
	}
	return b
}

// Close ends the log, also while another goroutine reads it, which then gets
// [ErrClosed]. It can be called at any time, from anywhere, and again. What it
// has open may be closed a moment after it returns.
func (l *LogReader) Close() error {
	l.closed.Store(true)
	return l.close()
}

// take makes the caller the one who reads the log, in that way.
func (l *LogReader) take(way int32) error {
	switch {
	case l.taken.Load() == readByEntries && way == readByEntries && (l.end != nil || !l.closed.Load()):
		return nil
	case l.closed.Load():
		return l.failure("", ErrClosed, nil)
	case !l.taken.CompareAndSwap(notRead, way):
		return l.failure("the log was read already", ErrClosed, nil)
	}
	return nil
}

// ended is the error of a log that ended with err: nil if it is complete.
func (l *LogReader) ended(err error) error {
	message, kind := l.said.meaning()
	if err == io.EOF {
		err = nil
	}
	var final *Error
	switch {
	case l.ctxErr() != nil && err != nil:
		return l.failure(message, nil, l.ctxErr())
	case l.closed.Load() && err != nil:
		return l.failure(message, ErrClosed, nil)
	case errors.As(err, &final): // it says all there is to say
		return err
	case err != nil:
		broken, cause := l.broken(err)
		return l.failure(message, cmp.Or(kind, broken), cause)
	case kind == ErrLogsIncomplete || len(l.gaps) > 0:
		return l.failure(message, nil, l.incomplete(message))
	case message != "":
		return l.failure(message, kind, nil)
	case l.body.came || l.whyEmpty == nil:
		return nil
	}
	return l.whyEmpty()
}

// LogsIncompleteError says what is missing in a log. It is [ErrLogsIncomplete].
type LogsIncompleteError struct {
	// Nodes are the IDs of nodes that could not be asked.
	Nodes []string
	// Tasks are the IDs of tasks of which lines are missing: those that are, or were,
	// on these nodes as far as the swarm remembers, and those that the engine names
	// itself because no node has begun with them.
	Tasks []string
	// Gaps are where lines of a log that was followed are missing.
	Gaps []LogGap
}

// Error lists nodes, tasks and gaps.
func (e *LogsIncompleteError) Error() string {
	parts := []string{}
	if len(e.Nodes) > 0 {
		parts = append(parts, "nodes "+strings.Join(e.Nodes, ", ")+" could not be asked")
	}
	if len(e.Tasks) > 0 {
		parts = append(parts, "lines of tasks "+strings.Join(e.Tasks, ", ")+" are missing")
	}
	for _, gap := range e.Gaps {
		parts = append(parts, gap.String())
	}
	return cmp.Or(strings.Join(parts, "; "), ErrLogsIncomplete.Error())
}

// Unwrap returns [ErrLogsIncomplete].
func (e *LogsIncompleteError) Unwrap() error { return ErrLogsIncomplete }

var (
	missingNode = regexp.MustCompile(`\bnode ([0-9a-z]{25})\b`)
	missingTask = regexp.MustCompile(`\btask ([0-9a-z]{25})\b`)
)

// incomplete finds in the engine's words what is missing.
func (l *LogReader) incomplete(message string) *LogsIncompleteError {
	e := &LogsIncompleteError{Gaps: l.gaps}
	for _, match := range missingNode.FindAllStringSubmatch(message, -1) {
		e.Nodes = append(e.Nodes, match[1])
	}
	for _, match := range missingTask.FindAllStringSubmatch(message, -1) {
		e.Tasks = append(e.Tasks, match[1])
	}
	if l.missing != nil {
		e.Tasks = append(e.Tasks, l.missing(e.Nodes)...)
	}
	slices.Sort(e.Tasks)
	e.Tasks = slices.Compact(e.Tasks)
	return e
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
	l := newLogReader(context.Background(), &call{op: "demux"}, io.NopCloser(source), false, &LogOptions{Raw: true}, func() {})
	return l.Copy(stdout, stderr)
}

// logSink remembers the error of its writer, which is no fault of the stream.
type logSink struct {
	writer  io.Writer
	err     error
	pending []byte // to be written by flush
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

// flush writes what is pending.
func (s *logSink) flush() error {
	if len(s.pending) == 0 {
		return nil
	}
	_, err := s.Write(s.pending)
	s.pending = s.pending[:0]
	return cmp.Or(err, s.err)
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
