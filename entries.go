package swarm

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/swarm-go/swarm/internal/frames"
)

// LogEntry is a line of a log, or a gap in it. As JSON it is an object with the
// members time, stream, service, node, task, attributes, text, partial and gap.
type LogEntry struct {
	// Time is when the node's engine read the line from the container, by the clock
	// of that node. It is zero if the engine did not say, or not in a way that
	// makes sense.
	Time time.Time `json:"time,omitzero"`
	// Stream is where the container wrote the line, LogStdout if it has a terminal
	// (TTY).
	Stream LogStream `json:"stream,omitzero"`
	// ServiceID is the service's ID, NodeID that of the node and TaskID that of the
	// task that the line came from, each empty if the engine did not say.
	// [LogReader.Names] has the names.
	ServiceID string `json:"service,omitzero"`
	// NodeID is the ID of the node, see ServiceID.
	NodeID string `json:"node,omitzero"`
	// TaskID is the ID of the task, see ServiceID.
	TaskID string `json:"task,omitzero"`
	// Attributes are what the log driver adds, such as the labels that its option
	// "labels" names. It is nil if there are none. Lines of one task share it: do
	// not change it.
	Attributes map[string]string `json:"attributes,omitzero"`
	// Text is the line, byte by byte as the container wrote it, without its end. It
	// need not be UTF-8, and control characters are in it as they are: see
	// [LogReader.Print] for terminals.
	Text string `json:"text"`
	// End is what ended the line: a line feed; of a container with a terminal a
	// carriage return and a line feed; nothing if Partial.
	End string `json:"-"`
	// Partial is set for what is no whole line: it is longer than [LogOptions].MaxLine
	// and goes on in the next entry of this task and stream, or its end never came.
	Partial bool `json:"partial,omitzero"`
	// Gap is set for what is no line at all: here lines of a task are missing. Only
	// logs that are followed have gaps; in others missing lines are an error at
	// their end.
	Gap *LogGap `json:"gap,omitzero"`
}

// LogGap is where lines of a task may be missing from a log that is followed: the
// last line that was read is no longer there to go on from, since the node has
// thrown it away (rotated its files), or the task is gone, or its node is. So they may
// if a node cannot be asked for the lines to begin with (Tail), or at the end.
type LogGap struct {
	// TaskID is whose lines are missing. It is empty for tasks that came and went while
	// the engine could not be reached, so that nobody has seen their IDs: of a slot, or a
	// node of a global service, none is left that was known before. After and Before are
	// then when the tasks around them were created. Tasks of which not even that much
	// is left, because the swarm remembers fewer than two of a slot, or the service was
	// scaled down meanwhile, leave no gap.
	TaskID string `json:"task"`
	// After is the time of the last line before the gap; zero if there was none.
	After time.Time `json:"after,omitzero"`
	// Before is the time of the first line after the gap; zero if there is none,
	// because the task or its node, and the log with it, was removed before that had
	// been read to its end. Then nobody knows whether anything is missing.
	Before time.Time `json:"before,omitzero"`
}

// String is the gap in one line, fit to print.
func (g LogGap) String() string {
	instant := func(at time.Time) string {
		if at.IsZero() {
			return "an unknown time"
		}
		return at.UTC().Format(time.RFC3339Nano)
	}
	whose := "task " + printable(clip(g.TaskID, 64))
	if g.TaskID == "" {
		whose = "tasks that nobody has seen"
	}
	return fmt.Sprintf("lines of %s may be missing between %s and %s", whose, instant(g.After), instant(g.Before))
}

// logRecord is a piece of a log as engines keep it: a line, or 16 KiB of a longer
// one. Its bytes are good until the next.
type logRecord struct {
	stream LogStream
	at     time.Time
	origin *logOrigin
	// stamp and details are what stood before the text, without the spaces after
	// them.
	stamp, details []byte
	text           []byte
	// gap is set if this is no piece of a log; it is logEnd where that of a task ends.
	gap *LogGap
}

// logEnd is no gap: nothing more comes of a task, so what has come of a line is all of
// it.
var logEnd = &LogGap{}

// isEnd reports whether a line ends with this record.
func (r *logRecord) isEnd() bool { return len(r.text) > 0 && r.text[len(r.text)-1] == '\n' }

// logOrigin is where records come from.
type logOrigin struct {
	service, node, task string
	attributes          map[string]string
}

// recordSource is a log, record by record. Its last error is io.EOF if the log is
// complete.
type recordSource interface {
	next(*logRecord) error
}

// maxOrigins bounds what is remembered of different details.
const maxOrigins = 10_000

// origins are the details that were taken apart already.
type origins struct {
	known map[string]*logOrigin
	// last is the details that came last, which mostly come again.
	last   []byte
	origin *logOrigin
}

// noOrigin is where records come from whose details say nothing.
var noOrigin = &logOrigin{}

// cut takes the details off the beginning of data, with the space after them. It
// reports false if there are none.
func (o *origins) cut(data []byte) (origin *logOrigin, details, rest []byte, ok bool) {
	end := len(o.last)
	if o.origin == nil || len(data) <= end || data[end] != ' ' || !bytes.Equal(data[:end], o.last) {
		if end = bytes.IndexByte(data, ' '); end < 0 || !o.find(data[:end]) {
			return noOrigin, nil, data, false
		}
	}
	return o.origin, data[:end], data[end+1:], true
}

// find makes details the last. It reports false for what are none.
func (o *origins) find(details []byte) bool {
	origin := o.known[string(details)]
	if origin == nil {
		if origin = parseDetails(string(details)); origin == nil {
			return false
		}
		if o.known == nil || len(o.known) >= maxOrigins {
			o.known = map[string]*logOrigin{}
		}
		o.known[string(details)] = origin
	}
	o.last, o.origin = append(o.last[:0], details...), origin
	return true
}

// parseDetails reads pairs key=value, URL-escaped and separated by commas. It
// returns nil for anything else.
func parseDetails(details string) *logOrigin {
	if details == "" {
		return noOrigin
	}
	origin := &logOrigin{}
	for pair := range strings.SplitSeq(details, ",") {
		key, value, found := strings.Cut(pair, "=")
		key, keyErr := url.QueryUnescape(key)
		value, valueErr := url.QueryUnescape(value)
		if !found || keyErr != nil || valueErr != nil {
			return nil
		}
		switch key {
		case "com.docker.swarm.service.id":
			origin.service = value
		case "com.docker.swarm.node.id":
			origin.node = value
		case "com.docker.swarm.task.id":
			origin.task = value
		default:
			if origin.attributes == nil {
				origin.attributes = map[string]string{}
			}
			origin.attributes[key] = value
		}
	}
	return origin
}

// stampLength is how long the times before lines are.
const stampLength = len("2006-01-02T15:04:05.000000000Z")

// stamps reads the times before lines, of which most lie in the same second as the
// one before.
type stamps struct {
	second [len("2006-01-02T15:04:05")]byte
	unix   int64 // of second; 0: there was none yet
}

// cut takes the time off the beginning of data, with the space after it. It reports
// false if there is none.
func (s *stamps) cut(data []byte) (at time.Time, stamp, rest []byte, ok bool) {
	if len(data) > stampLength && data[stampLength] == ' ' {
		if at, ok = s.parse(data[:stampLength]); ok {
			return at, data[:stampLength], data[stampLength+1:], true
		}
	}
	end := bytes.IndexByte(data[:min(len(data), 64)], ' ')
	if end < 0 {
		return time.Time{}, nil, data, false
	}
	at, err := time.Parse(time.RFC3339Nano, string(data[:end]))
	if err != nil {
		return time.Time{}, nil, data, false
	}
	return at.UTC(), data[:end], data[end+1:], true
}

// parse reads a time of the usual form.
func (s *stamps) parse(stamp []byte) (time.Time, bool) {
	nanoseconds, ok := fraction(stamp)
	if !ok {
		return time.Time{}, false
	}
	if second := stamp[:len(s.second)]; s.unix == 0 || !bytes.Equal(second, s.second[:]) {
		at, err := time.Parse("2006-01-02T15:04:05", string(second))
		if err != nil {
			return time.Time{}, false
		}
		copy(s.second[:], second)
		s.unix = at.Unix()
	}
	return time.Unix(s.unix, nanoseconds).UTC(), true
}

// fraction reads what follows the second in a time of the usual form.
func fraction(stamp []byte) (nanoseconds int64, ok bool) {
	const point = len("2006-01-02T15:04:05")
	if stamp[point] != '.' || stamp[stampLength-1] != 'Z' {
		return 0, false
	}
	for _, digit := range stamp[point+1 : stampLength-1] {
		if digit < '0' || digit > '9' {
			return 0, false
		}
		nanoseconds = nanoseconds*10 + int64(digit-'0')
	}
	return nanoseconds, true
}

// logPrefix is what stands before each line.
type logPrefix struct{ stamps, details bool }

// prefixParser takes off what stands before lines.
type prefixParser struct {
	logPrefix
	stamps  stamps
	origins *origins
}

// parse fills record from what came as one piece. What does not begin as it should
// is text from there on: one odd line is no reason to lose it, or others.
func (p *prefixParser) parse(record *logRecord, data []byte) {
	record.at, record.stamp, record.details, record.origin, record.text = time.Time{}, nil, nil, noOrigin, data
	if at, origin, begin, ok := p.parseLikeLast(data); ok {
		record.at, record.origin, record.text = at, origin, data[begin:]
		if begin > 0 {
			record.stamp, record.details = data[:stampLength], data[stampLength+1:begin-1]
		}
		return
	}
	if p.logPrefix.stamps {
		var ok bool
		if record.at, record.stamp, record.text, ok = p.stamps.cut(data); !ok {
			return
		}
	}
	if p.details {
		record.origin, record.details, record.text, _ = p.origins.cut(record.text)
	}
}

// parseLikeLast is parse for a piece of the same second and with the same details as
// the one before, as most are, and for what has no prefix: the text begins at begin.
// It reports false for others.
func (p *prefixParser) parseLikeLast(data []byte) (at time.Time, origin *logOrigin, begin int, ok bool) {
	if !p.logPrefix.stamps && !p.details {
		return time.Time{}, noOrigin, 0, true
	}
	last := p.origins.last
	end := stampLength + 1 + len(last)
	if len(data) <= end || data[end] != ' ' || data[stampLength] != ' ' || p.origins.origin == nil || !p.details || !p.logPrefix.stamps {
		return time.Time{}, nil, 0, false
	}
	stamp := data[:stampLength]
	if p.stamps.unix == 0 || !bytes.Equal(stamp[:len(p.stamps.second)], p.stamps.second[:]) || !bytes.Equal(data[stampLength+1:end], last) {
		return time.Time{}, nil, 0, false
	}
	nanoseconds, ok := fraction(stamp)
	if !ok {
		return time.Time{}, nil, 0, false
	}
	return time.Unix(p.stamps.unix, nanoseconds).UTC(), p.origins.origin, end + 1, true
}

// frameRecords reads the records of a multiplexed stream.
type frameRecords struct {
	prefixParser
	reader *frames.Reader
	// begun is the payload of a frame that did not arrive at once. Memory grows with
	// what came, not with what a header says.
	begun []byte
	said  *engineText
}

func (f *frameRecords) next(record *logRecord) error {
	for {
		stream, data, last, err := f.reader.Next()
		switch {
		case err != nil:
			return err
		case stream == frames.System:
			f.said.add(data, last)
			continue
		case !last:
			f.begun = append(f.begun, data...)
			continue
		case len(f.begun) > 0:
			f.begun = append(f.begun, data...)
			data, f.begun = f.begun, f.begun[:0]
		}
		if len(data) == 0 {
			continue
		}
		f.fill(record, stream, data)
		return nil
	}
}

// nextBuffered is next for a record that has come already. It reports false if nobody
// knows whether there is one.
func (f *frameRecords) nextBuffered(record *logRecord) bool {
	stream, data, ok := f.reader.NextBuffered()
	if ok {
		f.fill(record, stream, data)
	}
	return ok
}

// fill makes record that of a frame.
func (f *frameRecords) fill(record *logRecord, stream frames.Stream, data []byte) {
	record.stream, record.gap = logStream(stream), nil
	f.parse(record, data)
}

func logStream(stream frames.Stream) LogStream {
	if stream == frames.Stderr {
		return LogStderr
	}
	return LogStdout
}

const (
	// maxLogRecord is how much of a line engines keep as one record.
	maxLogRecord = 16 << 10
	// lookAhead is how much of what follows a record of that length is looked at.
	lookAhead = 4 << 10
	// rawBuffer holds a record of a terminal, what stands before it and after it.
	rawBuffer = 64 << 10
)

// rawRecords reads the records of the stream of a container with a terminal (TTY),
// which nothing but line feeds tell apart. Of a line that is longer than a record,
// each piece has a prefix of its own, right after the piece before.
type rawRecords struct {
	prefixParser
	source io.Reader
	err    error

	buffer     []byte
	start, end int
	// inside is set after a piece that did not end where a record does: what
	// follows has no prefix, and is the same record's.
	inside bool
	// begins is set if what follows is known to begin a record.
	begins bool
	// strict leaves out what is no whole record: the end of a stream that was cut. If it
	// ends as it should and ends is set, that is a line without an end.
	strict, ends bool
	said         *engineText
	at           time.Time
	origin       *logOrigin
}

func newRawRecords(source io.Reader, parser prefixParser, said *engineText) *rawRecords {
	return &rawRecords{prefixParser: parser, source: source, buffer: make([]byte, rawBuffer), said: said}
}

func (r *rawRecords) next(record *logRecord) error {
	for {
		if n := r.length(record); n > 0 {
			data := r.buffer[r.start : r.start+n]
			r.start += n
			record.stream, record.gap = LogStdout, nil
			if r.inside {
				*record = logRecord{stream: LogStdout, at: r.at, origin: r.origin, text: data}
			} else {
				r.parse(record, data)
			}
			if text, found := bytes.CutPrefix(data, []byte("Error grabbing logs: ")); found && r.logPrefix.stamps && !r.inside {
				r.said.add(text, true) // the engine's own, which here has no other place
				continue
			}
			r.at, r.origin = record.at, record.origin
			r.inside = !record.isEnd() && len(record.text) != maxLogRecord && !r.begins
			return nil
		}
		if err := r.fill(); err != nil {
			return err
		}
	}
}

// length is how many bytes of the buffer are the next record, 0 if that is not
// known yet.
func (r *rawRecords) length(scratch *logRecord) int {
	data := r.buffer[r.start:r.end]
	if len(data) == 0 {
		return 0
	}
	text := 0
	if !r.inside && (r.logPrefix.stamps || r.details) {
		r.parse(scratch, data)
		text = len(data) - len(scratch.text)
	}
	feed := bytes.IndexByte(data, '\n')
	r.begins = false
	if feed >= 0 && text > 0 && r.logPrefix.stamps && r.details {
		if next := r.nextPrefix(data[text:feed]); next > 0 {
			r.begins = true
			return text + next
		}
	}
	switch boundary := text + maxLogRecord; {
	case feed >= 0 && feed < boundary:
		return feed + 1
	case text > 0 && len(data) > boundary && r.beginsRecord(data[boundary:]):
		return boundary
	case text > 0 && len(data) < boundary+lookAhead && r.err == nil: // it may yet turn out where it ends
		return 0
	case feed >= 0:
		return feed + 1
	case r.err != nil && (!r.strict || r.ends && r.err == io.EOF) || len(data) == len(r.buffer):
		return len(data)
	}
	return 0
}

// nextPrefix is where in the text of a line another record begins, 0 if none does: one of
// another task, after the last line of one that has ended without a line feed.
func (r *rawRecords) nextPrefix(text []byte) int {
	mark := bytes.Index(text, []byte("com.docker.swarm.task.id="))
	if mark < 0 {
		return 0
	}
	begin := bytes.LastIndexByte(text[:mark], ' ') - stampLength // before the time and a space
	if begin <= 0 || !r.beginsRecord(text[begin:]) {
		return 0
	}
	return begin
}

// beginsRecord reports whether data begins with what stands before records.
func (r *rawRecords) beginsRecord(data []byte) bool {
	var record logRecord
	parser := prefixParser{logPrefix: r.logPrefix, origins: &origins{}}
	parser.parse(&record, data)
	return (record.stamp != nil || !r.logPrefix.stamps) && (record.details != nil || !r.details)
}

// fill reads more. The end of the source is an error only once the buffer is empty.
func (r *rawRecords) fill() error {
	if r.err != nil {
		return r.err
	}
	r.end = copy(r.buffer, r.buffer[r.start:r.end])
	r.start = 0
	n, err := r.source.Read(r.buffer[r.end:])
	r.end += n
	if err == frames.ErrAgain {
		if n > 0 {
			return nil
		}
		return err
	}
	r.err = err
	return nil
}

// lineKey is whose lines are put together.
type lineKey struct {
	task   string
	stream LogStream
}

// begunLine is a line of which the end has not come yet.
type begunLine struct {
	// stream, at and origin are those of its first record.
	stream LogStream
	at     time.Time
	origin *logOrigin
	text   []byte
	// turn is when it began, among others.
	turn int
}

// logJoiner puts lines together again that engines keep in pieces.
type logJoiner struct {
	// max is how long a line may become. What is begun in all may be so much, and what
	// a line costs besides its text, times maxBegunLines.
	max   int
	begun map[lineKey]*begunLine
	size  int // of what is begun
	turns int
	// raw is set for containers with a terminal, whose lines end on two characters.
	raw bool
	// texts are the short texts of entries, one behind the other.
	texts strings.Builder
	// ready are entries; those before taken somebody has had.
	ready []readyEntry
	taken int
	// long is set if the text of one of them is.
	long bool
}

// readyEntry is an entry, and where it is from: the next that is made in its place
// mostly is from there, too, and then has its IDs already.
type readyEntry struct {
	LogEntry
	origin *logOrigin
}

// maxBegunLines is how many lines of the greatest length are kept at a time.
const maxBegunLines = 16

// add adds a record. What has become whole with it is ready.
func (j *logJoiner) add(record *logRecord) {
	if len(j.begun) == 0 && record.isEnd() {
		j.finish(record)
		return
	}
	if record.gap != nil {
		j.flushTask(record.gap.TaskID)
		j.finish(record)
		return
	}
	key := lineKey{record.origin.task, record.stream}
	line := j.begun[key]
	if line != nil && len(line.text)+len(record.text) > j.max {
		j.flush(key)
		line = nil
	}
	if line == nil {
		if record.isEnd() || len(record.text) >= j.max || j.size+heldRecord+len(record.text) > maxBegunLines*(j.max+heldRecord) {
			j.finish(record)
			return
		}
		line = j.begin(record)
	}
	line.text = append(line.text, record.text...)
	j.size += len(record.text)
	if record.isEnd() {
		j.flush(key)
	}
}

// begin notes that a line has begun.
func (j *logJoiner) begin(record *logRecord) *begunLine {
	j.turns++
	j.size += heldRecord
	line := &begunLine{stream: record.stream, at: record.at, origin: record.origin, turn: j.turns}
	if j.begun == nil {
		j.begun = map[lineKey]*begunLine{}
	}
	j.begun[lineKey{record.origin.task, record.stream}] = line
	return line
}

// finish makes ready the entry that a record stands for.
func (j *logJoiner) finish(record *logRecord) {
	entry := j.entry(record.stream, record.at, record.origin, record.text)
	entry.Gap = record.gap
	entry.Partial = entry.End == "" && record.gap == nil
}

// entry makes ready an entry that is no gap, and whole.
func (j *logJoiner) entry(stream LogStream, at time.Time, origin *logOrigin, text []byte) *LogEntry {
	whole := j.keep(text)
	end := len(whole)
	if end > 0 && whole[end-1] == '\n' {
		end--
		if j.raw && end > 0 && whole[end-1] == '\r' {
			end--
		}
	}
	n := len(j.ready)
	if n == cap(j.ready) {
		j.ready = slices.Grow(j.ready, maxReady)
	}
	j.ready = j.ready[:n+1]
	entry := &j.ready[n]
	if entry.origin != origin {
		entry.origin = origin
		entry.ServiceID, entry.NodeID, entry.TaskID, entry.Attributes = origin.service, origin.node, origin.task, origin.attributes
	}
	if entry.Gap != nil {
		entry.Gap = nil
	}
	entry.Time, entry.Stream, entry.Text, entry.End, entry.Partial = at, stream, whole[:end], whole[end:], false
	return &entry.LogEntry
}

// textBlock is how much memory short texts share: what a text that is kept for long
// may cost at most.
const textBlock = 1 << 10

// keep makes a string of a text, of many short ones with one allocation.
func (j *logJoiner) keep(text []byte) string {
	if len(text) > textBlock/4 {
		j.long = true
		return string(text)
	}
	if j.texts.Cap()-j.texts.Len() < len(text) {
		j.texts.Reset()
		j.texts.Grow(textBlock)
	}
	begin := j.texts.Len()
	j.texts.Write(text)
	return j.texts.String()[begin:]
}

// flush makes ready what has come of a line.
func (j *logJoiner) flush(key lineKey) {
	line := j.begun[key]
	delete(j.begun, key)
	j.size -= heldRecord + len(line.text)
	j.finish(&logRecord{stream: line.stream, at: line.at, origin: line.origin, text: line.text})
}

// flushTask makes ready what has come of the lines of a task.
func (j *logJoiner) flushTask(task string) {
	for _, stream := range []LogStream{LogStdout, LogStderr} {
		if key := (lineKey{task, stream}); j.begun[key] != nil {
			j.flush(key)
		}
	}
}

// flushAll makes ready what has come of all lines, in the order they began in.
func (j *logJoiner) flushAll() {
	keys := make([]lineKey, 0, len(j.begun))
	for key := range j.begun {
		keys = append(keys, key)
	}
	slices.SortFunc(keys, func(a, b lineKey) int { return cmp.Compare(j.begun[a].turn, j.begun[b].turn) })
	for _, key := range keys {
		j.flush(key)
	}
}

// take is the next entry of those that are ready. It is good until clear.
func (j *logJoiner) take() *LogEntry {
	j.taken++
	return &j.ready[j.taken-1].LogEntry
}

// clear forgets the entries that somebody has had. Those whose texts are short hold
// little memory, and are written over.
func (j *logJoiner) clear() {
	if j.long {
		clear(j.ready)
		j.long = false
	}
	j.ready, j.taken = j.ready[:0], 0
}
