package engine

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/swarm-go/swarm"
	"github.com/swarm-go/swarm/internal/frames"
)

// inLogs runs a test of the logs of a task of service "svc" at a node, without
// anything that runs tasks.
func inLogs(t *testing.T, f func(w *World, log *logbook)) {
	synctest.Test(t, func(t *testing.T) {
		w := NewWorld(RealClock{}, 1)
		defer w.Close()
		d := &Daemon{world: w, nodeID: "node", logs: map[string]*logbook{}}
		log := d.openLog(&swarm.Task{ID: "task", ServiceID: "svc"})
		f(w, log)
	})
}

func (w *World) readerOf(request logRequest, logs ...*logbook) *logReader {
	r := &logReader{world: w, serviceID: "svc", logRequest: request, more: make(chan struct{}, 1)}
	for _, log := range logs {
		r.readLog(log)
	}
	w.logs.open(r)
	return r
}

// texts is what the reader has to read.
func (r *logReader) texts() []string {
	texts := []string{}
	for pieces := r.take(logBatch); len(pieces) > 0; pieces = r.take(logBatch) {
		for _, piece := range pieces {
			texts = append(texts, string(piece.record.text))
		}
	}
	return texts
}

var everything = logRequest{stdout: true, stderr: true, tail: -1}

func follow(tail int) logRequest {
	return logRequest{stdout: true, stderr: true, follow: true, tail: tail}
}

func TestLinesBecomeRecordsWhenTheyEnd(t *testing.T) {
	inLogs(t, func(w *World, log *logbook) {
		log.write(frames.Stdout, []byte("one\ntw"))
		log.write(frames.Stderr, []byte("err"))
		log.write(frames.Stdout, []byte("o\n\nthree"))
		assert.Equal(t, []string{"one\n", "two\n", "\n"}, w.readerOf(everything, log).texts())
		log.end()
		assert.Equal(t, []string{"one\n", "two\n", "\n", "three", "err"}, w.readerOf(everything, log).texts())
	})
}

func TestLongLinesAreSplitAndTheirPiecesHaveOneTime(t *testing.T) {
	inLogs(t, func(w *World, log *logbook) {
		log.write(frames.Stdout, []byte(strings.Repeat("x", 2*maxLogRecord+1)+"\n"+strings.Repeat("y", maxLogRecord)+"\n"))
		var lengths []int
		for _, record := range log.records {
			lengths = append(lengths, len(record.text))
		}
		assert.Equal(t, []int{maxLogRecord, maxLogRecord, 2, maxLogRecord, 1}, lengths)
		assert.Equal(t, log.records[0].at, log.records[2].at)
		assert.True(t, log.records[2].at.Before(log.records[3].at), "lines never have the same time")
	})
}

func TestTheOldestOfALogIsForgotten(t *testing.T) {
	inLogs(t, func(w *World, log *logbook) {
		r := w.readerOf(follow(-1), log)
		line := []byte(strings.Repeat("x", maxLogRecord-1) + "\n")
		for range maxLogbook/maxLogRecord + 3 {
			log.write(frames.Stdout, line)
		}
		assert.Equal(t, 3, log.dropped)
		assert.Len(t, log.records, maxLogbook/maxLogRecord)
		assert.Len(t, r.texts(), maxLogbook/maxLogRecord)
	})
}

func TestTailCountsBothStreamsAndPieces(t *testing.T) {
	inLogs(t, func(w *World, log *logbook) {
		for i := range 5 {
			log.write(frames.Stdout, fmt.Appendf(nil, "out %d\n", i))
			log.write(frames.Stderr, fmt.Appendf(nil, "err %d\n", i))
		}
		request := everything
		request.tail = 3
		assert.Equal(t, []string{"err 3\n", "out 4\n", "err 4\n"}, w.readerOf(request, log).texts())
		request.tail = 0
		assert.Empty(t, w.readerOf(request, log).texts())
		request.tail = 100
		assert.Len(t, w.readerOf(request, log).texts(), 10)
	})
}

func TestSinceIsInclusiveAndLooksForTheFirstAlone(t *testing.T) {
	inLogs(t, func(w *World, log *logbook) {
		for i := range 100 {
			log.write(frames.Stdout, fmt.Appendf(nil, "%d\n", i))
		}
		request := everything
		request.since = log.records[97].at
		assert.Equal(t, []string{"97\n", "98\n", "99\n"}, w.readerOf(request, log).texts())
		request.since = log.records[99].at.Add(1)
		assert.Empty(t, w.readerOf(request, log).texts())

		request = follow(-1)
		request.since = log.records[99].at.Add(time.Hour)
		r := w.readerOf(request, log)
		assert.Empty(t, r.texts())
		log.write(frames.Stdout, []byte("too early\n"))
		assert.Empty(t, r.texts())
		time.Sleep(2 * time.Hour)
		log.write(frames.Stdout, []byte("late\n"))
		assert.Equal(t, []string{"late\n"}, r.texts())
	})
}

func TestThoseWhoDoNotFollowReadWhatThereWas(t *testing.T) {
	inLogs(t, func(w *World, log *logbook) {
		log.write(frames.Stdout, []byte("before\n"))
		r := w.readerOf(everything, log)
		log.write(frames.Stdout, []byte("after\n"))
		assert.Equal(t, []string{"before\n"}, r.texts())
		log.write(frames.Stdout, []byte("still later\n"))
		assert.Empty(t, r.texts())
	})
}

func TestTailIsAppliedToTasksThatStartLater(t *testing.T) {
	inLogs(t, func(w *World, first *logbook) {
		none, all := w.readerOf(follow(0), first), w.readerOf(follow(-1), first)
		node := &Daemon{world: w, nodeID: "other", logs: map[string]*logbook{}}
		second := node.openLog(&swarm.Task{ID: "second", ServiceID: "svc"})
		stranger := node.openLog(&swarm.Task{ID: "stranger", ServiceID: "other"})
		stranger.write(frames.Stdout, []byte("not ours\n"))
		second.write(frames.Stdout, []byte("first\n"))
		second.write(frames.Stdout, []byte("second\n"))
		assert.Equal(t, []string{"second\n"}, none.texts())
		assert.Equal(t, []string{"first\n", "second\n"}, all.texts())
	})
}

func TestNothingComesFromANodeWhoseSessionWasReplaced(t *testing.T) {
	inLogs(t, func(w *World, log *logbook) {
		d := &Daemon{world: w, nodeID: "node", logs: map[string]*logbook{}}
		log.write(frames.Stdout, []byte("before\n"))
		muted := w.readerOf(follow(-1), log)
		d.MuteLogs()
		log.write(frames.Stdout, []byte("after\n"))
		d.openLog(&swarm.Task{ID: "next", ServiceID: "svc"}).write(frames.Stdout, []byte("replacement\n"))
		assert.Equal(t, []string{"before\n"}, muted.texts())
		assert.Equal(t, []string{"before\n", "after\n"}, w.readerOf(follow(-1), log).texts(), "whoever asks again gets all")
	})
}

func TestLogsThatAreGoneAreForgottenByThoseWhoFollow(t *testing.T) {
	inLogs(t, func(w *World, log *logbook) {
		d := &Daemon{world: w, nodeID: "node", logs: map[string]*logbook{"task": log}}
		log.write(frames.Stdout, []byte("last words\n"))
		r := w.readerOf(follow(-1), log)
		d.removeLog("task")
		assert.Equal(t, []string{"last words\n"}, r.texts())
		assert.Empty(t, r.cursors)
	})
}

func TestNoTaskKeepsAReaderFromTheOthers(t *testing.T) {
	inLogs(t, func(w *World, log *logbook) {
		d := &Daemon{world: w, nodeID: "node", logs: map[string]*logbook{}}
		other := d.openLog(&swarm.Task{ID: "other", ServiceID: "svc"})
		r := w.readerOf(follow(-1), log, other)
		for range 10 * logBatch {
			log.write(frames.Stdout, []byte("noise\n"))
		}
		other.write(frames.Stdout, []byte("heard\n"))
		first, second := r.take(logBatch), r.take(logBatch)
		var heard int
		for _, piece := range append(first, second...) {
			if string(piece.record.text) == "heard\n" {
				heard++
			}
		}
		assert.Equal(t, 1, heard)
	})
}

func TestRecordsAreRenderedAsAskedFor(t *testing.T) {
	at := time.Date(2026, 11, 21, 1, 59, 21, 895001600, time.UTC)
	piece := logPiece{&logbook{attributes: logAttributes("n", &swarm.Task{ID: "t", ServiceID: "s"})}, logRecord{at, frames.Stderr, []byte("err 3\n")}}
	const attributes = "com.docker.swarm.node.id=n,com.docker.swarm.service.id=s,com.docker.swarm.task.id=t "
	for _, row := range []struct {
		request logRequest
		want    string
	}{
		{logRequest{stderr: true}, "err 3\n"},
		{logRequest{stderr: true, timestamps: true}, "2026-11-21T01:59:21.895001600Z err 3\n"},
		{logRequest{stderr: true, details: true}, attributes + "err 3\n"},
		{logRequest{stderr: true, timestamps: true, details: true}, "2026-11-21T01:59:21.895001600Z " + attributes + "err 3\n"},
	} {
		r := &logReader{logRequest: row.request}
		assert.Equal(t, string(frames.Append(nil, frames.Stderr, []byte(row.want))), string(r.render(nil, piece)))
		r.raw = true
		assert.Equal(t, row.want, string(r.render(nil, piece)))
	}
	assert.Empty(t, (&logReader{logRequest: logRequest{stdout: true}}).render(nil, piece))
}
