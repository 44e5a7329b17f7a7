package swarm

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"hash/maphash"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/swarm-go/swarm/internal/frames"
)

// How a log is followed. Engines end such a stream when they lose their leader, keep
// it open for ever when the service is gone, and go silent for a node, without a
// word, when its session with the managers is replaced.
const (
	// checkEvery is how often it is asked whether there is still what is followed,
	// and listEvery how often its tasks are.
	checkEvery = 4 * time.Second
	listEvery  = 12 * time.Second
	// endEvery is how often it is asked whether the tasks of a removed service still run.
	endEvery = 500 * time.Millisecond
	// quietTime is how long a running task may write nothing before its own log is
	// looked at.
	quietTime = 30 * time.Second
	// rotateAfter is how long a stream is kept at least, and half of what it is kept
	// at most.
	rotateAfter = 5 * time.Minute
	// lagTime is how far the last line of a task may be behind those of others for
	// the stream to begin there. Others catch up by themselves.
	lagTime = time.Minute
	// catchUpPatience is how long a task's log may take to go on, and catchUpPause
	// how long a node is left alone then.
	catchUpPatience = 5 * time.Second
	catchUpPause    = 20 * time.Second
	// stallTime is how long a stream waits for its reader until it is closed, so that
	// nothing piles up in the memory of the swarm's leader.
	stallTime = time.Second
	// removalPatience is how long the last lines of a service that was removed may
	// take to come, and goneTime those of a task that is gone.
	removalPatience = 30 * time.Second
	goneTime        = 5 * time.Second
	// refusalPatience is how long an engine may say that it cannot answer, as it does
	// while it starts.
	refusalPatience = time.Minute
	// maxHeld bounds what is held back while tasks catch up, and heldRecord is what a
	// record costs besides its text.
	maxHeld    = 8 << 20
	heldRecord = 256
	// maxFollowed bounds the tasks that are known. Of more, lines may be repeated when
	// a stream is opened again.
	maxFollowed = 100_000
	// chunkSize is how much of a stream is passed on at a time.
	chunkSize = 32 << 10
)

// errStalled ends a stream that nobody has read.
var errStalled = errors.New("the reader is slow")

// follower is the log of a service or a task for as long as it goes on. All of it but
// the pumps is used by one goroutine, the reader's.
//
// There is one stream for all tasks, the main session, and at times one for the log
// of a single task that has to catch up, the side session. Every task has an anchor,
// the last record that was had of it. In a new session its records are old until the
// anchor comes by, and new from there on: that it does come by shows that nothing was
// lost between. If it should come by and does not, there is a gap.
type follower struct {
	client  *Client
	call    *call
	opts    *LogOptions
	ctx     context.Context
	service bool
	id      string
	format  LogFormat
	origins origins
	seed    maphash.Seed

	// pumps are the goroutines that read from connections; they write to chunks.
	pumps  sync.WaitGroup
	chunks chan logChunk

	main, side *logSession
	begun      bool // the lines to begin with were read
	tasks      map[string]*followedTask
	queue      []*followedTask // those that have to catch up
	heldSize   int             // of what is held back of all tasks
	backlog    []logRecord     // of the main session, held back before
	then       []logRecord     // to be handed out next

	failures  int
	openAt    time.Time // when the main session may be opened again
	refusedAt time.Time // since when the engine says that it cannot answer
	checkAt   time.Time
	listAt    time.Time
	// places are those of the last list. blind is set if there was no stream since, or
	// one that had gone silent for a node.
	places map[taskPlace]*placeTasks
	blind  bool

	allDone     bool // as the last list had it
	hadTasks    bool
	pausedNodes map[string]time.Time

	// ending is what the log is to end with, io.EOF for nothing, once all that is
	// left has been read; endBy is when it ends in any case. finishing is set if all
	// of that is on the nodes by then.
	ending    error
	endBy     time.Time
	finishing bool
	left      bool // what is missing then was said
}

// taskPlace is where tasks of a service take turns: a slot, or a node of a global one.
type taskPlace struct {
	slot int
	node string
}

// placeTasks are the tasks of a place that are listed: how many, whether any of them
// was known before, and when the first and the last was made.
type placeTasks struct {
	count         int
	known         bool
	first, newest time.Time
}

// followedTask is what is known of a task.
type followedTask struct {
	id, node string
	// anchored is set if there is an anchor: the record of that stream, time and text.
	anchored bool
	stream   LogStream
	at       time.Time
	sum      uint64
	// floor is where what is wanted of it begins, as long as there is no anchor; zero if
	// all is wanted.
	floor time.Time
	// newest is the greatest time there was on each stream, latest the last one, first
	// the first record that had it and same how many did, as pieces of a line do, and
	// inside is set in the middle of a line.
	newest, latest [LogStderr + 1]time.Time
	first          [LogStderr + 1]uint64
	same           [LogStderr + 1]int
	inside         [LogStderr + 1]bool

	// live is the session in which all records of the task are new. Until its anchor
	// has come by in a session, counted is how many records of its time did.
	live      *logSession
	countedIn *logSession
	counted   int
	// doubted is the main session in which lines seem to come again.
	doubted *logSession

	started  bool // there has been a container
	terminal bool // it has ended
	drained  bool // and its log was read to the end
	absent   time.Time
	heard    time.Time // when something was heard of its log
	came     time.Time // when the main session last had something of it
	queued   bool
	quiet    bool // that it has to catch up for nothing but silence
	// caughtUpFor is the main session that was open when the task last caught up.
	caughtUpFor *logSession
	// held are records of the main session that came while it has to catch up;
	// overflowed is set if there were too many.
	held       []logRecord
	heldSize   int
	overflowed bool
}

// logSession is one stream.
type logSession struct {
	records recordSource
	said    engineText
	feed    chunkReader
	cancel  func()
	opened  time.Time
	heard   time.Time
	rotate  time.Time
	came    bool
	// since is what it was asked to begin with. whole is set if nothing was left out,
	// so that tasks nobody has heard of begin with their first line.
	since time.Time
	whole bool
	// silent is set if nothing of it is wanted but the anchors.
	silent bool
	// task is whose log it is, of a side session; nil for the lines to begin with.
	task *followedTask
	// wasTerminal is set if the task had ended before it began, and audit if there
	// was no reason but silence.
	wasTerminal, audit bool
	// news is set once it had something that the main session had not.
	news bool
}

// logChunk is a piece of a stream, or its end.
type logChunk struct {
	session *logSession
	opened  bool
	raw     bool
	data    []byte
	err     error
}

// chunkReader is the source of a session's records: what the pump has brought.
type chunkReader struct {
	data []byte
	err  error
	// free is written to when all of it was read.
	free chan struct{}
}

func (c *chunkReader) Read(p []byte) (int, error) {
	switch {
	case len(c.data) > 0:
		n := copy(p, c.data)
		if c.data = c.data[n:]; len(c.data) == 0 {
			c.free <- struct{}{}
		}
		return n, nil
	case c.err != nil:
		return 0, c.err
	}
	return 0, frames.ErrAgain
}

func newFollower(ctx context.Context, c *Client, call *call, opts *LogOptions, source logSource, service bool) *follower {
	f := &follower{client: c, call: call, opts: opts, ctx: ctx, service: service, id: source.ID,
		format: cmp.Or(opts.Format, source.format), seed: maphash.MakeSeed(), chunks: make(chan logChunk),
		tasks: map[string]*followedTask{}, pausedNodes: map[string]time.Time{}}
	f.begun = opts.Tail == 0
	return f
}

// stop waits until nothing is left of what the follower has started. Its context is
// done by then.
func (f *follower) stop() { f.pumps.Wait() }

// next returns the next record that nobody has had, or a gap.
func (f *follower) next(record *logRecord) error {
	for {
		if len(f.then) > 0 {
			*record = f.then[0]
			f.then = f.then[1:]
			return nil
		}
		if err := f.ctx.Err(); err != nil {
			return err
		}
		if time.Now().After(f.checkAt) {
			f.check()
		}
		f.open()
		if f.read(record) {
			return nil
		}
		if len(f.then) > 0 {
			continue
		}
		if f.isOver() {
			if f.leaveOff(); len(f.then) == 0 {
				return f.ending
			}
			continue
		}
		if f.idle() {
			f.wait()
		}
	}
}

// idle reports whether there is nothing to do but to wait.
func (f *follower) idle() bool {
	mainIdle := f.main != nil || !f.begun || f.ending != nil || time.Now().Before(f.openAt)
	sideIdle := f.side != nil || f.nextInQueue() < 0
	return mainIdle && sideIdle
}

// wait waits until a pump brings something, or something has to be done.
func (f *follower) wait() {
	next := f.checkAt
	for _, at := range []time.Time{f.openAt, f.endBy} {
		if at.After(time.Now()) && at.Before(next) {
			next = at
		}
	}
	timer := time.NewTimer(max(time.Until(next), time.Millisecond))
	defer timer.Stop()
	select {
	case chunk := <-f.chunks:
		f.take(chunk)
	case <-timer.C:
	case <-f.ctx.Done():
	}
}

// take gives a session what its pump has brought.
func (f *follower) take(chunk logChunk) {
	s := chunk.session
	if s != f.main && s != f.side {
		return // it was closed since
	}
	s.heard = time.Now()
	switch {
	case chunk.opened:
		parser := prefixParser{logPrefix: logPrefix{stamps: true, details: true}, origins: &f.origins}
		if chunk.raw {
			raw := newRawRecords(&s.feed, parser, &s.said)
			raw.strict, raw.ends = true, s.wasTerminal
			s.records = raw
		} else {
			s.records = &frameRecords{prefixParser: parser, reader: frames.NewReader(&s.feed), said: &s.said}
		}
	case chunk.err != nil:
		s.feed.err = chunk.err
	default:
		s.came = true
		s.feed.data = chunk.data
		if s == f.side && s.news {
			f.endLater()
		}
	}
}

// start begins a session in the background.
func (f *follower) start(s *logSession, to route, opts LogOptions) *logSession {
	ctx, cancel := context.WithCancel(f.ctx)
	s.cancel, s.opened, s.heard = cancel, time.Now(), time.Now()
	s.feed.free = make(chan struct{}, 1)
	call := *f.call
	call.to, call.query, call.attempts = to, opts.query(), 1
	f.pumps.Go(func() { f.pump(ctx, s, &call) })
	return s
}

// pump reads a stream from its connection.
func (f *follower) pump(ctx context.Context, s *logSession, call *call) {
	request, cancel := context.WithCancel(ctx)
	defer cancel()
	log, err := f.client.openLog(request, call, f.opts, f.format)
	if err != nil {
		f.hand(ctx, logChunk{session: s, err: err}, cancel)
		return
	}
	defer log.body.Close()
	if !f.hand(ctx, logChunk{session: s, opened: true, raw: log.raw}, cancel) {
		return
	}
	buffers := [2][]byte{make([]byte, chunkSize), make([]byte, chunkSize)}
	s.feed.free <- struct{}{}
	for turn := 0; ; turn = 1 - turn {
		n, err := log.body.Read(buffers[turn])
		if n > 0 && !f.hand(ctx, logChunk{session: s, data: buffers[turn][:n]}, cancel) {
			return
		}
		if err != nil {
			if ctx.Err() == nil && request.Err() != nil {
				err = errStalled
			}
			f.hand(ctx, logChunk{session: s, err: err}, cancel)
			return
		}
	}
}

// hand passes on a chunk. If that takes long, because nobody reads, the request is
// ended by cancel.
func (f *follower) hand(ctx context.Context, chunk logChunk, cancel func()) bool {
	stall := time.AfterFunc(stallTime, cancel)
	defer stall.Stop()
	if len(chunk.data) > 0 {
		select {
		case <-chunk.session.feed.free: // the other buffer was read
		case <-ctx.Done():
			return false
		}
	}
	select {
	case f.chunks <- chunk:
		return true
	case <-ctx.Done():
		return false
	}
}

// open opens what has to be open.
func (f *follower) open() {
	if f.side == nil {
		switch i := f.nextInQueue(); {
		case !f.begun && f.ending == nil && !time.Now().Before(f.openAt):
			f.openBeginning()
		case i >= 0:
			t := f.queue[i]
			f.queue = slices.Delete(f.queue, i, i+1)
			t.queued = false
			f.openSide(t)
		}
	}
	if f.main == nil && f.begun && f.ending == nil && !time.Now().Before(f.openAt) {
		f.openMain()
	}
}

// openBeginning opens the lines to begin with, if not all are wanted. They are those of
// both streams, since the last line tells where a task goes on, whichever has it.
func (f *follower) openBeginning() {
	if err := f.list(); err != nil {
		f.failed(err)
		return
	}
	opts := *f.opts
	opts.Follow, opts.Only = false, 0
	s := &logSession{whole: true}
	if opts.Tail == TailNone {
		opts.Tail, s.silent = 1, true
	}
	f.side = f.start(s, f.call.to, opts)
}

// leavesOut reports whether a record of the lines to begin with is of a stream that is
// not wanted.
func (f *follower) leavesOut(s *logSession, record *logRecord) bool {
	if s.task != nil || f.opts.Only == 0 || record.stream == f.opts.Only {
		return false
	}
	t := f.task(record.origin)
	t.started, t.heard = true, time.Now()
	if record.at.After(t.floor) {
		t.floor = record.at
	}
	return true
}

// beginWithout deals with nodes that could not be asked for the lines to begin with: of
// their tasks these are missing, and only what comes later is wanted.
func (f *follower) beginWithout(s *logSession) {
	asked := map[string]bool{}
	for _, t := range f.tasks {
		asked[t.node] = asked[t.node] || !t.from().IsZero()
	}
	for _, t := range f.tasks {
		if t.id == "" || !t.started || asked[t.node] {
			continue
		}
		if t.floor = s.opened; t.floor.Before(f.opts.Since) {
			t.floor = f.opts.Since
		}
		if !s.silent {
			f.addGap(&LogGap{TaskID: t.id, Before: t.floor}, f.origin(t))
		}
	}
}

// openMain opens the stream of all tasks, a little before where the last one ended. If
// nothing is wanted any more that is still to be written, the tasks' own logs will do.
func (f *follower) openMain() {
	if err := f.list(); err != nil {
		f.failed(err)
		return
	}
	if f.isPast() {
		f.finish(io.EOF)
		return
	}
	opts := *f.opts
	opts.Tail = 0
	s := &logSession{rotate: time.Now().Add(rotateAfter + rand.N(rotateAfter))}
	newest := time.Time{}
	for _, t := range f.tasks {
		if from := t.from(); from.After(newest) {
			newest = from
		}
	}
	if newest.IsZero() {
		s.since, s.whole = opts.Since, f.opts.Tail == 0
	} else {
		s.since = newest
		for _, t := range f.tasks {
			if from := t.from(); !from.IsZero() && !t.drained && from.Before(s.since) && newest.Sub(from) < lagTime {
				s.since = from
			}
		}
	}
	opts.Since = s.since
	for _, t := range f.tasks {
		if t.id != "" && !t.drained && t.started && !s.whole && (t.terminal || t.from().IsZero() || t.from().Before(s.since)) {
			f.enqueue(t)
		}
	}
	f.main = f.start(s, f.call.to, opts)
}

// openSide opens the log of a task that has to catch up.
func (f *follower) openSide(t *followedTask) {
	opts := *f.opts
	opts.Follow, opts.Tail = false, 0
	s := &logSession{task: t, wasTerminal: t.terminal, whole: !t.anchored}
	s.audit = f.main != nil && (t.live == f.main || t.quiet && t.came.Before(f.main.opened))
	t.quiet = false
	if from := t.from(); !from.IsZero() {
		opts.Since = from
	}
	s.since = opts.Since
	f.side = f.start(s, to("/tasks/{id}/logs", t.id), opts)
}

// enqueue has a task catch up.
func (f *follower) enqueue(t *followedTask) {
	if !t.queued && t.id != "" && (f.side == nil || f.side.task != t) {
		t.queued = true
		f.queue = append(f.queue, t)
	}
}

// nextInQueue is the first task in the queue whose node is not left alone.
func (f *follower) nextInQueue() int {
	return slices.IndexFunc(f.queue, func(t *followedTask) bool { return !time.Now().Before(f.pausedNodes[t.node]) })
}

// read looks for a record to hand out in what has come.
func (f *follower) read(record *logRecord) bool {
	for len(f.backlog) > 0 {
		held := f.backlog[0]
		f.backlog = f.backlog[1:]
		if f.main != nil && f.isNew(f.main, &held) {
			*record = held
			return true
		}
		if len(f.then) > 0 {
			return false
		}
	}
	for _, s := range []*logSession{f.side, f.main} {
		for s != nil && (s == f.side || s == f.main) {
			if s.records == nil && s.feed.err == nil {
				break
			}
			err := s.feed.err
			if s.records != nil {
				err = s.records.next(record)
			}
			if err == frames.ErrAgain {
				break
			}
			if err != nil {
				f.ended(s, err)
				return false
			}
			if s == f.side && f.leavesOut(s, record) {
				continue
			}
			if f.isNew(s, record) && !s.silent {
				return true
			}
			if len(f.then) > 0 {
				return false
			}
		}
	}
	return false
}

// isNew reports whether nobody has had a record yet, and remembers that somebody has
// now. If there is a gap before it, both are handed out next, and it reports false.
func (f *follower) isNew(s *logSession, record *logRecord) bool {
	t := f.task(record.origin)
	t.started, t.heard = true, time.Now()
	if s == f.main {
		t.came = t.heard
	}
	if t.live == s && s == f.main && f.comesAgain(t, record) {
		t.live, t.caughtUpFor, t.countedIn, t.doubted = nil, nil, nil, s
	}
	switch {
	case t.live == s:
		f.advance(s, t, record)
		return true
	case s == f.main && f.mustCatchUp(t):
		f.hold(t, record)
		f.enqueue(t)
		return false
	case !t.anchored && record.at.Before(t.floor) && !record.at.IsZero():
		return false
	case !t.anchored:
	case f.isAnchor(s, t, record):
		if t.live == nil || t.live != f.main {
			t.live = s
		}
		return false
	case record.at.IsZero() || !record.at.After(t.newest[record.stream]):
		return false
	case f.main != nil && t.live == f.main: // which had all until now, but is behind
	default:
		f.gap(t, record)
		t.live = s
		f.advance(s, t, record)
		f.then = append(f.then, *record)
		return false
	}
	t.live = s
	f.advance(s, t, record)
	return true
}

// comesAgain reports whether the main session seems to have gone back in what it sends
// of a task: a node that was cut off, or started again, sends all that was asked for
// once more. It may also be that a clock was set back; the task's own log tells.
func (f *follower) comesAgain(t *followedTask, record *logRecord) bool {
	latest := t.latest[record.stream]
	switch {
	case t.id == "" || record.at.IsZero() || latest.IsZero():
		return false
	case record.at.Equal(latest):
		return !t.inside[record.stream] && t.first[record.stream] == maphash.Bytes(f.seed, record.text)
	}
	return record.at.Before(latest)
}

// mustCatchUp reports whether the main session cannot tell what is new of a task in
// which it is not live: because the task is catching up, or because the session did
// not begin where the task was.
func (f *follower) mustCatchUp(t *followedTask) bool {
	switch {
	case t.id == "" || f.main.whole && t.doubted != f.main:
		return false
	case t.queued || f.side != nil && f.side.task == t:
		return true
	case t.doubted == f.main && t.caughtUpFor != f.main:
		return true
	}
	return t.caughtUpFor != f.main && (t.from().IsZero() || t.from().Before(f.main.since))
}

// from is where to go on with a task: at its anchor, or where what is wanted of it
// begins. It is zero if all is wanted.
func (t *followedTask) from() time.Time {
	if t.anchored {
		return t.at
	}
	return t.floor
}

// task is what is known of where a record comes from.
func (f *follower) task(origin *logOrigin) *followedTask {
	t := f.tasks[origin.task]
	if t == nil {
		t = &followedTask{id: origin.task, node: origin.node, heard: time.Now()}
		if len(f.tasks) == maxFollowed {
			t.live = f.main
			return t
		}
		f.tasks[origin.task] = t
	}
	return t
}

// advance makes a record its task's anchor.
func (f *follower) advance(s *logSession, t *followedTask, record *logRecord) {
	s.news = true
	if record.at.IsZero() {
		return // nothing would recognise it
	}
	t.countedIn = nil
	t.anchored, t.stream, t.at, t.sum = true, record.stream, record.at, maphash.Bytes(f.seed, record.text)
	if !record.at.Equal(t.latest[record.stream]) {
		t.latest[record.stream], t.first[record.stream], t.same[record.stream] = record.at, t.sum, 0
	}
	t.same[record.stream]++
	t.inside[record.stream] = !record.isEnd()
	if record.at.After(t.newest[record.stream]) {
		t.newest[record.stream] = record.at
	}
}

// isAnchor reports whether a record is the last that was had of its task.
func (f *follower) isAnchor(s *logSession, t *followedTask, record *logRecord) bool {
	if record.stream != t.stream || !record.at.Equal(t.at) {
		return false
	}
	if t.countedIn != s {
		t.countedIn, t.counted = s, 0
	}
	t.counted++
	return t.counted == t.same[t.stream] && t.sum == maphash.Bytes(f.seed, record.text)
}

// gap notes that lines of a task may be missing before a record.
func (f *follower) gap(t *followedTask, record *logRecord) {
	gap, origin := &LogGap{TaskID: t.id, After: t.at}, f.origin(t)
	if record != nil {
		gap.Before, origin = record.at, record.origin
	}
	f.addGap(gap, origin)
}

// origin is where lines of a task come from.
func (f *follower) origin(t *followedTask) *logOrigin {
	origin := &logOrigin{task: t.id, node: t.node}
	if f.service {
		origin.service = f.id
	}
	return origin
}

func (f *follower) addGap(gap *LogGap, origin *logOrigin) {
	f.client.logger.WarnContext(f.ctx, "gap in a followed log", "task", gap.TaskID, "after", gap.After, "before", gap.Before)
	f.then = append(f.then, logRecord{gap: gap, origin: origin})
}

// hold keeps a record of the main session whose task has to catch up first.
func (f *follower) hold(t *followedTask, record *logRecord) {
	size := heldRecord + len(record.text)
	if t.overflowed || f.heldSize+size > maxHeld {
		f.drop(t)
		t.overflowed = true
		return
	}
	t.heldSize += size
	f.heldSize += size
	held := *record
	held.text, held.stamp, held.details = bytes.Clone(record.text), bytes.Clone(record.stamp), bytes.Clone(record.details)
	t.held = append(t.held, held)
}

// release goes on with what was held back of a task, or drops it.
func (f *follower) release(t *followedTask, caughtUp bool) {
	switch {
	case caughtUp && t.overflowed: // the anchor may have come by meanwhile
		t.caughtUpFor = nil
		f.enqueue(t)
	case caughtUp:
		f.backlog = append(f.backlog, t.held...)
	}
	f.drop(t)
}

// drop forgets what is held back of a task.
func (f *follower) drop(t *followedTask) {
	f.heldSize -= t.heldSize
	t.held, t.heldSize, t.overflowed = nil, 0, false
}

// ended deals with the end of a session.
func (f *follower) ended(s *logSession, err error) {
	s.cancel()
	if message, _ := s.said.meaning(); message != "" {
		f.client.logger.DebugContext(f.ctx, "followed log", "engine", message)
	}
	if s == f.main {
		f.main, f.blind = nil, true
		f.dropMain()
		f.failed(err)
		if s.came {
			f.failures, f.openAt = 0, time.Now().Add(f.client.retry.delay(1))
		}
		return
	}
	f.side = nil
	complete := err == io.EOF && !s.said.seen
	switch {
	case s.task == nil:
		f.begun = err == io.EOF || err == context.DeadlineExceeded // some nodes cannot be asked
		switch {
		case !f.begun:
			f.failed(err)
		case !complete:
			f.beginWithout(s)
		}
	case complete:
		f.caughtUp(s)
	case errors.Is(err, ErrNotFound):
		f.forget(s.task)
	default:
		f.release(s.task, false)
		if errors.Is(err, errStalled) { // which is no fault of the node
			f.endLater()
		} else {
			f.pausedNodes[s.task.node] = time.Now().Add(catchUpPause)
		}
		if s.task.live != f.main || f.main == nil || s.task.terminal || f.finishing {
			f.enqueue(s.task)
		}
	}
}

// caughtUp deals with a task whose log was read to its end.
func (f *follower) caughtUp(s *logSession) {
	t := s.task
	t.heard = time.Now()
	if s.wasTerminal {
		t.drained = true
		f.endLines(t)
	}
	t.caughtUpFor = f.main
	f.endLater()
	if t.drained && t.anchored && !s.whole && t.live != s && t.live != f.main { // not even the anchor was there
		f.gap(t, nil)
	}
	f.release(t, true)
	if s.audit && s.news && f.main != nil {
		// The stream has gone silent for the task.
		f.closeMain()
		f.blind = true
	}
}

// forget deals with a task that does not exist any more. Nobody knows what else it
// has written, unless the main session has had it all the time.
func (f *follower) forget(t *followedTask) {
	f.release(t, false)
	if !t.drained && t.started && (f.main == nil || t.live != f.main) {
		f.gap(t, nil)
	}
	if f.main == nil || t.live != f.main {
		f.remove(t)
		return
	}
	t.drained = true
}

// giveUp is for a task whose node was removed or given up: nobody can be asked for the
// rest of its log any more.
func (f *follower) giveUp(t *followedTask, wanted bool) {
	if wanted {
		f.gap(t, nil)
	}
	f.endLines(t)
	f.drop(t)
	t.drained, t.queued = true, false
	f.queue = slices.DeleteFunc(f.queue, func(other *followedTask) bool { return other == t })
}

// remove forgets all about a task.
func (f *follower) remove(t *followedTask) {
	f.endLines(t)
	f.drop(t)
	delete(f.tasks, t.id)
}

// endLines says that nothing more comes of a task, if it was left in the middle of a line.
func (f *follower) endLines(t *followedTask) {
	if t.inside[LogStdout] || t.inside[LogStderr] {
		clear(t.inside[:])
		f.then = append(f.then, logRecord{gap: logEnd, origin: f.origin(t)})
	}
}

func (f *follower) closeMain() {
	f.main.cancel()
	f.main = nil
	f.dropMain()
	f.openAt = time.Time{}
}

// dropMain forgets what was held back of a main session that is over.
func (f *follower) dropMain() {
	f.backlog = nil
	for _, t := range f.tasks {
		f.drop(t)
	}
}

// failed notes that the log could not be opened or broke off, and decides when it is
// tried again, if at all.
func (f *follower) failed(err error) {
	f.failures++
	f.openAt = time.Now().Add(f.client.retry.delay(f.failures))
	refused := false
	for _, kind := range []error{ErrNotManager, ErrNoSwarm, ErrLocked} {
		refused = refused || errors.Is(err, kind)
	}
	if !refused {
		f.refusedAt = time.Time{}
	} else if f.refusedAt.IsZero() {
		f.refusedAt = time.Now()
	}
	permanent := refused && time.Since(f.refusedAt) > refusalPatience
	for _, kind := range []error{ErrUnauthorized, ErrForbidden, ErrInvalid, ErrUnsupported, ErrAmbiguousRef, ErrClosed} {
		permanent = permanent || errors.Is(err, kind)
	}
	switch {
	case errors.Is(err, ErrNotFound):
		f.removed()
	case permanent && f.ending == nil:
		f.ending, f.endBy = err, time.Now()
	}
}
