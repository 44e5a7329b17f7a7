package engine

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/swarm-go/swarm"
	"github.com/swarm-go/swarm/internal/frames"
)

// logRequest is what of a log is asked for.
type logRequest struct {
	stdout, stderr      bool
	follow              bool
	timestamps, details bool
	// tail is how many records to begin with, of each container. Negative is
	// all.
	tail         int
	since, until time.Time
	// raw is set for containers with a terminal, whose log is not framed.
	raw bool
}

// logRequest reads the parameters that logs of services and containers share.
func (c *call) logRequest() (*logRequest, error) {
	r := &logRequest{
		stdout: c.looseFlag("stdout"), stderr: c.looseFlag("stderr"), follow: c.looseFlag("follow"),
		timestamps: c.looseFlag("timestamps"), details: c.looseFlag("details"), tail: -1,
	}
	if !r.stdout && !r.stderr {
		return nil, c.noStream()
	}
	return r, nil
}

// noStream refuses a request that chooses neither stream. Of services it was no
// fault of the client's for a long time.
func (c *call) noStream() error {
	switch {
	case c.daemon.release.API >= 52:
		return refuse(http.StatusBadRequest, "must specify at least one of 'stdout' or 'stderr'")
	case c.vars["container"] != "":
		return refuse(http.StatusBadRequest, "Bad parameters: you must choose at least one stream")
	}
	return refuse(http.StatusInternalServerError, "Bad parameters: you must choose at least one stream")
}

// readTail reads the tail parameter.
func (r *logRequest) readTail(text string) error {
	if text == "" || text == "all" {
		return nil
	}
	tail, err := strconv.Atoi(text)
	switch {
	case err != nil:
		return refuse(http.StatusInternalServerError, `tail value must be a positive integer or "all"`)
	case tail < 0:
		return refuse(http.StatusInternalServerError, "negative tail values not supported")
	}
	r.tail = tail
	return nil
}

// readSince reads the since parameter.
func (r *logRequest) readSince(c *call) (err error) {
	text := c.r.URL.Query().Get("since")
	if text == "" {
		return nil
	}
	r.since, err = c.daemon.parseTimestamp(`"since"`, text)
	if err != nil && c.daemon.release.API < 52 && c.vars["container"] == "" {
		return refuse(http.StatusInternalServerError, "could not parse since timestamp: %v", err)
	}
	return err
}

// serviceLogs answers GET /services/{id}/logs.
func (c *call) serviceLogs() error {
	return c.logs(func(cluster *Cluster, r *logReader) ([]*swarm.Task, error) {
		service, err := cluster.service(c.vars["id"])
		if err != nil {
			return nil, err
		}
		r.serviceID, r.raw = service.ID, service.Spec.TaskTemplate.ContainerSpec.TTY
		return cluster.tasksOf(cluster.byService[service.ID]), nil
	})
}

// taskLogs answers GET /tasks/{id}/logs.
func (c *call) taskLogs() error {
	return c.logs(func(cluster *Cluster, r *logReader) ([]*swarm.Task, error) {
		task, err := cluster.task(c.vars["id"])
		if err != nil {
			return nil, err
		}
		r.taskID, r.raw = task.ID, task.Spec.ContainerSpec.TTY
		return []*swarm.Task{task}, nil
	})
}

// logs sends the logs of tasks, which choose finds. The managers look at until not
// at all.
func (c *call) logs(choose func(*Cluster, *logReader) ([]*swarm.Task, error)) error {
	request, err := c.logRequest()
	if err != nil {
		return err
	}
	reader := &logReader{world: c.daemon.world, daemon: c.daemon, logRequest: *request, more: make(chan struct{}, 1)}
	err = c.manage(func(cluster *Cluster) error {
		tasks, err := choose(cluster, reader)
		if err != nil {
			return err
		}
		if err := reader.readTail(c.r.URL.Query().Get("tail")); err != nil {
			return err
		}
		if err := reader.readSince(c); err != nil {
			return err
		}
		for _, task := range tasks {
			reader.readTask(cluster, task)
		}
		reader.stuck = len(reader.reasons) > 0 && c.daemon.release.API < 42
		reader.world.logs.open(reader)
		return nil
	})
	if err != nil {
		return err
	}
	return reader.serve(c)
}

// readTask begins to read the log of a task. If that cannot be had, only those who
// do not follow are told.
func (r *logReader) readTask(cluster *Cluster, task *swarm.Task) {
	switch d := cluster.control.daemonOf(task.NodeID); {
	case task.NodeID == "":
	case d == nil || d.down || d.node().Status.State != swarm.NodeReady:
		r.miss("node " + task.NodeID + " is not available")
	case d.logs[task.ID] != nil:
		r.readLog(d.logs[task.ID])
	}
}

// miss notes once why logs are missing.
func (r *logReader) miss(reason string) {
	if !r.follow && !slices.Contains(r.reasons, reason) {
		r.reasons = append(r.reasons, reason)
	}
}

// parseTimestamp reads a moment: seconds and nanoseconds since 1970, or a time as
// RFC 3339 has it. What is wrong is told in the words of the release, which put
// the parameter's name into quotes of different kinds.
func (d *Daemon) parseTimestamp(parameter, text string) (time.Time, error) {
	if at, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return at, nil
	}
	whole, fraction, _ := strings.Cut(text, ".")
	seconds, err := strconv.ParseInt(whole, 10, 64)
	nanoseconds := int64(0)
	if err == nil && fraction != "" {
		nanoseconds, err = strconv.ParseInt((fraction + "000000000")[:9], 10, 64)
	}
	if err == nil {
		return time.Unix(seconds, nanoseconds).UTC(), nil
	}
	if d.release.API < 52 {
		return time.Time{}, err
	}
	return time.Time{}, refuse(http.StatusBadRequest, "invalid value for %s: invalid timestamp %q: invalid seconds %q: %v",
		parameter, text, whole, errors.Unwrap(err))
}

// logReader is one who reads logs: where in each of them. It is kept under the
// world's lock.
type logReader struct {
	world *World
	// daemon is the manager that is asked for the logs of tasks.
	daemon *Daemon
	logRequest
	// serviceID or taskID is whose logs are followed. If it is those of a
	// container, they have an end.
	serviceID, taskID string
	container         *Container

	cursors []*logCursor
	// turn is which cursor is the first to be asked, so that none starves.
	turn int
	// muted are the nodes that nothing comes from any more.
	muted map[string]bool
	// reasons are why some logs are missing.
	reasons []string
	// failure is why nothing more comes, nil while more may.
	failure error
	// stuck is set for a reader that waits for a node without end.
	stuck bool
	// more is written to when there is more to read.
	more chan struct{}
}

// logCursor is a position in a log.
type logCursor struct {
	log      *logbook
	position int
	// end is where to stop, if it is not negative.
	end int
	// waiting is set until the first record since when was asked is found.
	// All after it come, whatever their time.
	waiting bool
}

// logPiece is a record and whose it is.
type logPiece struct {
	log    *logbook
	record logRecord
}

// readLog begins to read a log.
func (r *logReader) readLog(log *logbook) {
	cursor := &logCursor{log: log, position: log.dropped, end: -1, waiting: !r.since.IsZero()}
	if r.tail >= 0 {
		cursor.position = max(cursor.position, log.len()-r.tail)
	}
	if !r.follow {
		cursor.end = log.len()
	}
	r.cursors = append(r.cursors, cursor)
}

// take is the next records, at most n.
func (r *logReader) take(n int) []logPiece {
	var pieces []logPiece
	r.turn++
	for i := range r.cursors {
		cursor := r.cursors[(r.turn+i)%len(r.cursors)]
		records := cursor.take(n-len(pieces), r.since)
		for _, record := range records {
			pieces = append(pieces, logPiece{cursor.log, record})
		}
	}
	r.cursors = slices.DeleteFunc(r.cursors, (*logCursor).isDone)
	return pieces
}

// isDone reports whether nothing more will come of a log.
func (c *logCursor) isDone() bool { return c.end >= 0 && max(c.position, c.log.dropped) >= c.end }

func (c *logCursor) take(n int, since time.Time) []logRecord {
	if c.end >= 0 {
		n = min(n, c.end-max(c.position, c.log.dropped))
	}
	if n <= 0 {
		return nil
	}
	records, next := c.log.from(c.position, n)
	for c.waiting && len(records) > 0 && records[0].at.Before(since) {
		records = records[1:]
		if len(records) == 0 {
			c.position = next
			return c.take(n, since)
		}
	}
	c.position = next
	c.waiting = c.waiting && len(records) == 0
	return records
}

// poke tells the reader that there is more.
func (r *logReader) poke() {
	select {
	case r.more <- struct{}{}:
	default:
	}
}

// logBroker knows who follows logs. It is kept under the world's lock.
type logBroker struct{ readers map[*logReader]bool }

// open begins to follow, close ends it.
func (b *logBroker) open(r *logReader) {
	if b.readers == nil {
		b.readers = map[*logReader]bool{}
	}
	b.readers[r] = true
}

func (b *logBroker) close(r *logReader) { delete(b.readers, r) }

// written tells those who follow the log that there is more of it. To logs that
// are new to them they apply tail then, as nodes do when a task starts: of what
// is written first, all but the tail is lost.
func (b *logBroker) written(l *logbook) {
	for r := range b.readers {
		if r.follow && r.failure == nil && r.wants(l) && !l.removed && !r.muted[l.nodeID] {
			if !r.knows(l) {
				r.readLog(l)
			}
			r.poke()
		}
	}
}

func (r *logReader) wants(l *logbook) bool {
	if r.container != nil {
		return r.container.log == l
	}
	return l.taskID != "" && (l.taskID == r.taskID || l.serviceID == r.serviceID && r.serviceID != "")
}

func (r *logReader) knows(l *logbook) bool {
	for _, cursor := range r.cursors {
		if cursor.log == l {
			return true
		}
	}
	return false
}

// removed forgets a log that nobody will write any more, but for what has not been
// read of it.
func (b *logBroker) removed(l *logbook) {
	for r := range b.readers {
		for _, cursor := range r.cursors {
			if cursor.log == l {
				cursor.end = l.len()
			}
		}
	}
}

// MuteLogs is what becomes of those who follow logs when a node's session with the
// managers is replaced: nothing comes from the node any more, from new tasks
// neither, and nobody is told.
func (d *Daemon) MuteLogs() { d.world.Do(d.muteLogs) }

func (d *Daemon) muteLogs() {
	for r := range d.world.logs.readers {
		if r.container != nil { // whose logs do not come by way of the managers
			continue
		}
		if r.muted == nil {
			r.muted = map[string]bool{}
		}
		r.muted[d.nodeID] = true
		for _, cursor := range r.cursors {
			if cursor.log.nodeID == d.nodeID {
				cursor.end = cursor.log.len()
			}
		}
	}
}

// loseLeader ends the logs that are followed, which all come from the leader: if it
// has stopped, the other managers tell of that, or else the leader does.
func (b *logBroker) loseLeader(c *Cluster) {
	leader := c.world.daemonOf(c.leader)
	stopped := leader == nil || leader.down
	for r := range b.readers {
		if r.container != nil || !r.follow || r.daemon.cluster != c || stopped && r.daemon == leader {
			continue
		}
		r.failure = r.daemon.release.brokenStream(stopped)
		for _, cursor := range r.cursors {
			cursor.end = cursor.log.len()
		}
		r.poke()
	}
}

const (
	// logBatch is how many records a reader holds at a time.
	logBatch = 32
	// logTime is how times stand before lines: always with nine digits.
	logTime = "2006-01-02T15:04:05.000000000Z07:00"
)

// serve writes what the reader finds, until there is no more of it or the client
// is gone.
func (r *logReader) serve(c *call) error {
	defer r.world.Do(func() { r.world.logs.close(r) })
	c.logHeader(r.raw)
	flusher := http.NewResponseController(c.w)
	c.w.WriteHeader(http.StatusOK)
	if err := flusher.Flush(); err != nil {
		return nil
	}
	var line []byte
	for {
		var pieces []logPiece
		r.world.Do(func() { pieces = r.take(logBatch) })
		for _, piece := range pieces {
			line = r.render(line[:0], piece)
			if len(line) == 0 {
				continue
			}
			if _, err := c.w.Write(line); err != nil {
				return nil
			}
			if err := flusher.Flush(); err != nil {
				return nil
			}
		}
		if len(pieces) == 0 && !r.wait(c.r.Context()) {
			break
		}
	}
	var failure error
	r.world.Do(func() { failure = r.ending() })
	if failure != nil {
		_, _ = c.w.Write(r.lastWords(failure))
	}
	return nil
}

// ending is what is wrong with a log that is read to its end.
func (r *logReader) ending() error {
	if r.failure == nil && len(r.reasons) > 0 && !r.stuck {
		return unknown("warning: incomplete log stream. some logs could not be retrieved for the following reasons: %s", strings.Join(r.reasons, ", "))
	}
	return r.failure
}

// wait waits until there may be more. It reports false if nothing more comes.
func (r *logReader) wait(ctx context.Context) bool {
	if !r.follow && !r.stuck || r.ended() {
		return false
	}
	select {
	case <-r.more:
		return true
	case <-ctx.Done():
		return false
	}
}

// ended reports whether the container has ended that is followed, or the leader
// is gone.
func (r *logReader) ended() (ended bool) {
	r.world.Do(func() { ended = r.failure != nil || r.container != nil && r.container.ended })
	return ended
}

// render puts a record into the form that was asked for: nothing if its stream was
// not.
func (r *logReader) render(b []byte, piece logPiece) []byte {
	if piece.record.stream == frames.Stdout && !r.stdout || piece.record.stream == frames.Stderr && !r.stderr {
		return b
	}
	if !r.until.IsZero() && piece.record.at.After(r.until) {
		return b
	}
	var prefix []byte
	if r.timestamps {
		prefix = append(piece.record.at.AppendFormat(prefix, logTime), ' ')
	}
	if r.details {
		if r.container == nil { // whose log has no attributes of its own
			prefix = append(prefix, piece.log.attributes...)
		}
		prefix = append(prefix, ' ')
	}
	text := append(prefix, piece.record.text...)
	if r.raw {
		return append(b, text...)
	}
	return frames.Append(b, piece.record.stream, text)
}

// lastWords is what is said where logs are missing.
func (r *logReader) lastWords(failure error) []byte {
	text := "Error grabbing logs: " + failure.Error() + "\n"
	if r.raw {
		return []byte(text)
	}
	return frames.Append(nil, frames.System, []byte(text))
}

// logHeader says what form the log has. Old engines do not say, and below API 1.42
// all say the same.
func (c *call) logHeader(raw bool) {
	switch {
	case c.daemon.release.API < 42:
		c.w.Header()["Content-Type"] = nil // or net/http guesses
	case raw || c.version < 42:
		c.w.Header().Set("Content-Type", "application/vnd.docker.raw-stream")
	default:
		c.w.Header().Set("Content-Type", "application/vnd.docker.multiplexed-stream")
	}
}

// logAttributes are what details show of a task's lines.
func logAttributes(nodeID string, task *swarm.Task) string {
	return fmt.Sprintf("com.docker.swarm.node.id=%s,com.docker.swarm.service.id=%s,com.docker.swarm.task.id=%s",
		nodeID, task.ServiceID, task.ID)
}
