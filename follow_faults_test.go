package swarm_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/swarm-go/swarm"
	"github.com/swarm-go/swarm/swarmtest"
)

func TestFollowingLosesAndRepeatsNothingUnderFaults(t *testing.T) {
	followUnderFaults(t, 20_000, 30, 1)
}

// followUnderFaults follows a service whose tasks write numbered lines, so many at
// least in all, while so many faults befall its streams. Each line has to come once,
// in order, or there is a gap exactly where it is missing.
func followUnderFaults(t *testing.T, lines, faults int, seed uint64) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		engine := swarmtest.Start(t, swarmtest.WithNodes(1, 4), swarmtest.WithSeed(seed))
		d := &doom{engine: engine, random: rand.New(rand.NewPCG(seed, 4)), left: faults, each: 2 * lines / faults, rotated: map[string]string{}}
		engine.Inject(swarmtest.Fault{Path: "/*/*/logs", Effect: d.effect})
		engine.Image("web:1", swarmtest.Image{Run: func(c *swarmtest.Container) int { return d.write(c, lines/10+lines/1000) }})
		client := engine.Client()
		createFollowed(t, client, swarm.Global())
		time.Sleep(100 * time.Millisecond)
		logs, err := client.Services.Logs(t.Context(), "web", &swarm.LogOptions{Follow: true})
		require.NoError(t, err)
		defer logs.Close()
		check := &lineCheck{tasks: map[string]*taskCheck{}}
		for entry, err := range logs.Entries() {
			require.NoError(t, err)
			check.add(t, entry)
			if check.over == 10 {
				break
			}
		}
		require.Len(t, check.tasks, 5)
		for id, task := range check.tasks {
			task.checkEnd(t, id)
		}
		assert.GreaterOrEqual(t, check.lines, lines)
		assert.Zero(t, d.left, "faults")
		assert.GreaterOrEqual(t, d.hits, faults*9/10, "faults that hit a stream while somebody read it")
		assert.GreaterOrEqual(t, d.inside, faults*3/10, "faults inside a frame")
		assert.Equal(t, d.rotations, check.gaps, "gaps")
		assert.GreaterOrEqual(t, check.gaps, faults/50)
		t.Logf("%d lines, %d faults, %d of them on a stream that was read and %d inside a frame, %d gaps", check.lines, faults, d.hits, d.inside, check.gaps)
	})
}

// lineCheck checks lines as they come.
type lineCheck struct {
	tasks             map[string]*taskCheck
	lines, gaps, over int
}

// taskCheck is where a task is.
type taskCheck struct {
	// last are the numbers of the last lines of stdout and stderr, 0 at their end.
	last map[string]int
	over map[string]bool
	at   time.Time
	// gap is the gap that came last, until a line came; skipped is set once a line
	// was missing after it. Gaps hold for both streams.
	gap     *swarm.LogGap
	fresh   bool
	skipped bool
	jumps   map[string]bool
}

func (c *lineCheck) add(t *testing.T, entry swarm.LogEntry) {
	if entry.Gap != nil {
		c.gaps++
		task := c.tasks[entry.Gap.TaskID]
		require.NotNil(t, task)
		task.endGap(t)
		require.True(t, entry.Gap.After.Equal(task.at), "after %s, not after %s", task.at, entry.Gap.After)
		task.gap, task.fresh, task.jumps = entry.Gap, true, map[string]bool{}
		return
	}
	task := c.tasks[entry.TaskID]
	if task == nil {
		task = &taskCheck{last: map[string]int{}, over: map[string]bool{}}
		c.tasks[entry.TaskID] = task
	}
	if task.fresh {
		require.True(t, entry.Time.Equal(task.gap.Before), "before %s, not before %s", entry.Time, task.gap.Before)
		task.fresh = false
	}
	task.at = entry.Time
	name, rest, _ := strings.Cut(entry.Text, " ")
	word, rest, _ := strings.Cut(rest, " ")
	rest, _, _ = strings.Cut(rest, " ")
	number, err := strconv.Atoi(rest)
	if err != nil || name != entry.TaskID || word != entry.Stream.String() || !strings.HasSuffix(entry.Text, " .") {
		require.Fail(t, "no line of this task and stream, or no whole one", "%s %s: %.200q", entry.TaskID, entry.Stream, entry.Text)
	}
	want := task.last[word] + 1
	if number != want {
		require.Greater(t, number, want, "%s %s comes again", name, word)
		require.NotNil(t, task.gap, "%s %s: %d comes after %d, and no gap was reported", name, word, number, want-1)
		require.False(t, task.jumps[word], "%s %s: %d comes after %d, long after the gap", name, word, number, want-1)
		task.skipped = true
	}
	if task.gap != nil {
		task.jumps[word] = true // from here on all lines have to be there
	}
	task.last[word] = number
	c.lines++
	if strings.Contains(entry.Text, " last ") {
		task.over[word] = true
		c.over++
	}
}

// endGap checks that lines were missing where a gap was.
func (c *taskCheck) endGap(t *testing.T) {
	t.Helper()
	if c.gap != nil {
		require.True(t, c.skipped, "nothing is missing in %s", c.gap)
	}
	c.gap, c.skipped = nil, false
}

func (c *taskCheck) checkEnd(t *testing.T, id string) {
	t.Helper()
	c.endGap(t)
	assert.Equal(t, map[string]bool{"stdout": true, "stderr": true}, c.over, id)
}

// doom is what befalls streams of logs.
type doom struct {
	engine *swarmtest.Engine

	mu     sync.Mutex
	random *rand.Rand
	// left is how many faults are to come, each about that many frames after the
	// one before.
	left, each int
	// rotated is until when the log of a task was thrown away, as the engine writes
	// times. Streams that are open already have it still.
	rotated map[string]string
	// hits counts the faults that befell a stream whose reader was there, inside those
	// in the middle of a frame, rotations the logs that were thrown away.
	hits, inside, rotations int
}

// write is what containers do: they write for as long as there are faults to come,
// and so many lines to each stream at least.
func (d *doom) write(c *swarmtest.Container, lines int) int {
	random := rand.New(rand.NewPCG(uint64(len(c.ID())), 5))
	padding := strings.Repeat("x", 40_000)
	id := c.Task().ID
	for n := 0; ; {
		var out, errs bytes.Buffer
		for range 8 {
			n++
			length := random.IntN(40)
			if n%5000 == 0 {
				length = len(padding) // which is put together of three pieces
			}
			fmt.Fprintf(&out, "%s stdout %d %s .\n", id, n, padding[:length])
			fmt.Fprintf(&errs, "%s stderr %d %s .\n", id, n, padding[:length/2])
		}
		c.Stdout().Write(out.Bytes())
		c.Stderr().Write(errs.Bytes())
		if !c.Sleep(500 * time.Millisecond) {
			return 0
		}
		if n >= lines && d.over() {
			if !c.Sleep(10 * time.Second) { // until no log is thrown away any more
				return 0
			}
			fmt.Fprintf(c.Stdout(), "%s stdout %d last .\n", id, n+1)
			fmt.Fprintf(c.Stderr(), "%s stderr %d last .\n", id, n+1)
			c.Wait()
			return 0
		}
	}
}

func (d *doom) over() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.left == 0
}

// effect lets something go wrong with a stream some time.
func (d *doom) effect(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		d.mu.Lock()
		rotated := map[string]string{}
		for task, until := range d.rotated {
			rotated[task] = until
		}
		stream := &doomed{ResponseWriter: w, request: r.Context(), doom: d, rotated: rotated, after: -1}
		if r.URL.Query().Has("follow") || d.random.IntN(4) == 0 {
			stream.after = d.random.IntN(d.each)
		}
		d.mu.Unlock()
		next.ServeHTTP(stream, r)
	})
}

// doomed is a stream to which something happens after so many frames, if that is
// not negative.
type doomed struct {
	http.ResponseWriter
	request context.Context
	doom    *doom
	rotated map[string]string
	after   int
	ended   bool
	// task is the one whose line came first, and sent is what was sent of it.
	task string
	sent []byte
}

// Unwrap is for http.ResponseController.
func (s *doomed) Unwrap() http.ResponseWriter { return s.ResponseWriter }

// Write is called once for each frame.
func (s *doomed) Write(p []byte) (int, error) {
	if s.ended {
		return 0, io.ErrClosedPipe
	}
	stamp, details, _ := strings.Cut(string(p[8:min(len(p), 200)]), " ")
	_, task, _ := strings.Cut(details, "task.id=")
	if task, _, _ = strings.Cut(task, " "); stamp < s.rotated[task] {
		return len(p), nil
	}
	if s.task == "" {
		s.task = task
	}
	if s.after != 0 {
		if s.after > 0 && task == s.task {
			s.sent = append(s.sent, p...)
		}
		s.after--
		return s.ResponseWriter.Write(p)
	}
	s.after--
	s.befall(p)
	return len(p), nil
}

// befall is what happens.
func (s *doomed) befall(p []byte) {
	d := s.doom
	d.mu.Lock()
	if d.left == 0 {
		d.mu.Unlock()
		s.ResponseWriter.Write(p)
		return
	}
	d.left--
	if s.request.Err() == nil {
		d.hits++
	}
	kind, cut := d.random.IntN(21), 1+d.random.IntN(len(p)-1)
	node := d.engine.Nodes()[d.random.IntN(5)]
	if kind == 19 || d.rotations == 0 && d.left < 20 {
		d.rotate(string(p))
	}
	if kind == 20 && d.rotated[s.task] != s.rotated[s.task] {
		kind = 0 // what would be sent again is no longer there
	}
	if kind < 12 {
		d.inside++
	}
	switch kind { // after which the stream goes on
	case 18:
		s.after = 8000 + d.random.IntN(d.each) // a minute, in which it is found out
	case 20:
		s.after = d.random.IntN(d.each)
	}
	d.mu.Unlock()
	switch {
	case kind < 8: // the connection breaks inside a frame
		s.ResponseWriter.Write(p[:cut])
		http.NewResponseController(s.ResponseWriter).Flush()
		panic(http.ErrAbortHandler)
	case kind < 12: // the body ends inside a frame
		s.ResponseWriter.Write(p[:cut])
		s.ended = true
	case kind < 14: // between frames
		panic(http.ErrAbortHandler)
	case kind < 16: // the engine says that it has lost its leader, and ends the body
		text := "Error grabbing logs: rpc error: code = Canceled desc = context canceled"
		io.WriteString(s.ResponseWriter, "\x03\x00\x00\x00\x00\x00\x00"+string(rune(len(text)))+text)
		s.ended = true
	case kind < 18: // all connections to the engine break
		go d.engine.Nodes()[0].CutConnections()
		s.ResponseWriter.Write(p)
	case kind == 20: // a node sends all that was asked of a task once more
		s.ResponseWriter.Write(s.sent)
		s.ResponseWriter.Write(p)
	case kind == 18: // a node goes silent
		node.ReplaceSession()
		s.ResponseWriter.Write(p)
	default: // the log of this task is thrown away while nobody can read it
		panic(http.ErrAbortHandler)
	}
}

// rotate throws away the log of the task that a frame is of, all that is written in the
// next three seconds included, in which no log can be opened.
func (d *doom) rotate(frame string) {
	_, task, _ := strings.Cut(frame, "task.id=")
	task, _, _ = strings.Cut(task, " ")
	if until := d.rotated[task]; until > time.Now().UTC().Format(time.RFC3339Nano) {
		return
	}
	d.rotations++
	d.rotated[task] = time.Now().Add(3 * time.Second).UTC().Format("2006-01-02T15:04:05.000000000Z")
	hang := d.engine.Inject(swarmtest.Fault{Path: "/*/*/logs", Effect: swarmtest.Refuse(http.StatusInternalServerError,
		"rpc error: code = Unknown desc = The swarm does not have a leader. It's possible that too few managers are online. Make sure more than half of the managers are online.")})
	go func() {
		time.Sleep(4 * time.Second)
		hang.Remove()
	}()
}
