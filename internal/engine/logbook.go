package engine

import (
	"bytes"
	"time"

	"github.com/swarm-go/swarm"
	"github.com/swarm-go/swarm/internal/frames"
)

const (
	// maxLogRecord is what engines read of a line at a time.
	maxLogRecord = 16 << 10
	// maxLogbook bounds what is kept of a container's log, in bytes: the oldest
	// goes first, as if the log had been rotated.
	maxLogbook = 64 << 20
)

// logbook is what a container has written. It is kept under the world's lock.
type logbook struct {
	world *World
	// serviceID, taskID and nodeID are whose it is.
	serviceID, taskID, nodeID string
	// attributes are what details show.
	attributes string
	// tty is true if the container has a terminal, removed once it is gone.
	tty, removed bool

	records []logRecord
	// dropped counts the records that are kept no more, and size is the bytes of
	// those that are.
	dropped, size int
	// last is when the last record was written.
	last time.Time
	// begun are lines without an end yet, by stream.
	begun [3]logRecord
}

// logRecord is a line with its end, or a piece of one that is longer than an
// engine reads at a time.
type logRecord struct {
	at     time.Time
	stream frames.Stream
	text   []byte
}

// openLog begins the log of a task's container here. A task that has one keeps
// it.
func (d *Daemon) openLog(task *swarm.Task) *logbook {
	if d.logs[task.ID] == nil {
		d.logs[task.ID] = &logbook{
			world:      d.world,
			serviceID:  task.ServiceID,
			taskID:     task.ID,
			nodeID:     d.nodeID,
			attributes: logAttributes(d.nodeID, task),
			tty:        task.Spec.ContainerSpec.TTY,
		}
	}
	return d.logs[task.ID]
}

// removeLog forgets the log of a task, with its container.
func (d *Daemon) removeLog(taskID string) {
	if log := d.logs[taskID]; log != nil {
		log.removed = true
		d.world.logs.removed(log)
		delete(d.logs, taskID)
	}
}

// write adds what the container has written. Lines become records when they end,
// or are longer than a record can be. A terminal has one stream, and lines end on
// it as on a typewriter.
func (l *logbook) write(stream frames.Stream, p []byte) {
	if l.tty {
		stream, p = frames.Stdout, bytes.ReplaceAll(p, []byte("\n"), []byte("\r\n"))
	}
	line := &l.begun[stream]
	for len(p) > 0 {
		if len(line.text) == 0 && line.at.IsZero() {
			line.at, line.stream = l.tick(), stream
		}
		n := min(len(p), maxLogRecord-len(line.text))
		end := bytes.IndexByte(p[:n], '\n')
		if end >= 0 {
			n = end + 1
		}
		line.text = append(line.text, p[:n]...)
		p = p[n:]
		switch {
		case end >= 0:
			l.add(*line)
			*line = logRecord{}
		case len(line.text) == maxLogRecord:
			l.add(*line)
			*line = logRecord{at: line.at, stream: stream} // pieces of a line have its time
		}
	}
	l.world.logs.written(l)
}

// end keeps what has been written of lines when the container ends, as it is.
func (l *logbook) end() {
	for stream := range l.begun {
		if line := l.begun[stream]; len(line.text) > 0 {
			l.add(line)
		}
		l.begun[stream] = logRecord{}
	}
	l.world.logs.written(l)
}

// tick is the time of a new line. No two lines of a container have the same.
func (l *logbook) tick() time.Time {
	now := l.world.now()
	if !now.After(l.last) {
		now = l.last.Add(1)
	}
	l.last = now
	return now
}

func (l *logbook) add(record logRecord) {
	l.records = append(l.records, record)
	l.size += len(record.text)
	for l.size > maxLogbook {
		l.size -= len(l.records[0].text)
		l.records[0] = logRecord{}
		l.records = l.records[1:]
		l.dropped++
	}
}

// len is how many records there ever were, which is the position of the next.
func (l *logbook) len() int { return l.dropped + len(l.records) }

// from is the records from a position on, at most n of them, and the position
// after them. Positions before what is kept are those of the oldest kept.
func (l *logbook) from(position, n int) ([]logRecord, int) {
	first := max(position-l.dropped, 0)
	last := min(first+n, len(l.records))
	return l.records[first:last], l.dropped + last
}
