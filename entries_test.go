package swarm

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// stampedLogs is a LogReader of a body whose lines begin with time and details.
func stampedLogs(body io.Reader, opts LogOptions) *LogReader {
	opts.Timestamps, opts.Details = true, true
	logs, err := NewLogReader(io.NopCloser(body), &opts)
	if err != nil {
		panic(err)
	}
	return logs
}

// readEntries reads a log to its end.
func readEntries(t *testing.T, logs *LogReader) []LogEntry {
	t.Helper()
	var entries []LogEntry
	for entry, err := range logs.Entries() {
		require.NoError(t, err)
		entries = append(entries, entry)
	}
	return entries
}

// logSecond is when lines of these tests were written, give or take.
var logSecond = time.Date(2026, 11, 21, 1, 59, 21, 0, time.UTC)

// stamped is a text with what stands before it in a log of that task.
func stamped(nanosecond int, task, text string) string {
	return fmt.Sprintf("%s com.docker.swarm.node.id=n1,com.docker.swarm.service.id=s1,com.docker.swarm.task.id=%s %s",
		logSecond.Add(time.Duration(nanosecond)).Format("2006-01-02T15:04:05.000000000Z"), task, text)
}

func TestEntriesOfRecordedLogsSayWhereTheyComeFrom(t *testing.T) {
	for _, engine := range []string{"20.10", "26.1", "28.5"} {
		for name, terminal := range map[string]bool{"logs_s1_details_ts": false, "logs_tty_details_ts": true} {
			t.Run(engine+"/"+name, func(t *testing.T) {
				recorded := logCapture(t, engine+"/"+name+".http")
				body := recorded[bytes.Index(recorded, []byte("\r\n\r\n"))+4:]
				opts := LogOptions{}
				if terminal {
					opts.Format = LogFormatRaw
				}
				entries := readEntries(t, stampedLogs(dechunk(t, body), opts))
				assert.NotEmpty(t, entries)
				for _, entry := range entries {
					assert.Equal(t, 2026, entry.Time.Year())
					assert.Len(t, entry.TaskID, 25)
					assert.Len(t, entry.NodeID, 25)
					assert.Len(t, entry.ServiceID, 25)
					assert.Nil(t, entry.Attributes)
					assert.False(t, entry.Partial)
					assert.Regexp(t, `^(out|err) \d+$`, entry.Text)
					if terminal {
						assert.Equal(t, "\r\n", entry.End)
						continue
					}
					assert.Equal(t, "\n", entry.End)
					assert.Equal(t, strings.HasPrefix(entry.Text, "err"), entry.Stream == LogStderr)
				}
			})
		}
	}
}

// dechunk is the body of a recorded answer that came in chunks.
func dechunk(t *testing.T, body []byte) io.Reader {
	t.Helper()
	var text bytes.Buffer
	for {
		var length int
		_, err := fmt.Sscanf(string(body), "%x\r\n", &length)
		require.NoError(t, err)
		body = body[bytes.IndexByte(body, '\n')+1:]
		if length == 0 {
			return &text
		}
		text.Write(body[:length])
		body = body[length+2:]
	}
}

func TestOddLinesAreKeptAndStopNothing(t *testing.T) {
	const details = "com.docker.swarm.node.id=n1,com.docker.swarm.service.id=s1,com.docker.swarm.task.id=t1"
	at := logSecond.Add(5)
	stamp := at.Format("2006-01-02T15:04:05.000000000Z")
	known := LogEntry{Time: at, ServiceID: "s1", NodeID: "n1", TaskID: "t1"}
	with := func(entry LogEntry, text string, attributes map[string]string) LogEntry {
		entry.Text, entry.Attributes = text, attributes
		return entry
	}
	for _, row := range []struct {
		line string
		want LogEntry
	}{
		{stamp + " " + details + " text", with(known, "text", nil)},
		{stamp + " " + details + " ", with(known, "", nil)},
		{stamp + " " + details + "  two  spaces ", with(known, " two  spaces ", nil)},
		{stamp + " " + details + " \x00\x1b[31m\xff\r", with(known, "\x00\x1b[31m\xff\r", nil)},
		{stamp + " a=b%2Cc," + details + ",k%3D=%20v text", with(known, "text", map[string]string{"a": "b,c", "k=": " v"})},
		{stamp + " " + details + ",com.docker.swarm.task.id=t2 text", LogEntry{Time: at, ServiceID: "s1", NodeID: "n1", TaskID: "t2", Text: "text"}},
		{stamp + " env= text", LogEntry{Time: at, Text: "text", Attributes: map[string]string{"env": ""}}},
		{stamp + "  text", LogEntry{Time: at, Text: "text"}},
		{stamp + " no details here", LogEntry{Time: at, Text: "no details here"}},
		{stamp + " a=%zz text", LogEntry{Time: at, Text: "a=%zz text"}},
		{stamp + " nothing", LogEntry{Time: at, Text: "nothing"}},
		{stamp, LogEntry{Text: stamp}},
		{"", LogEntry{}},
		{"just text", LogEntry{Text: "just text"}},
		{details + " text", LogEntry{Text: details + " text"}},
		{"2026-13-41T01:59:21.000000005Z " + details + " text", LogEntry{Text: "2026-13-41T01:59:21.000000005Z " + details + " text"}},
		{"10000-11-21T01:59:21.000000005Z " + details + " text", LogEntry{Text: "10000-11-21T01:59:21.000000005Z " + details + " text"}},
		{strings.Repeat("\x00", 19) + ".000000005Z " + details + " text", LogEntry{Text: strings.Repeat("\x00", 19) + ".000000005Z " + details + " text"}},
		{"2026-11-21T01:59:21.00000000xZ " + details + " text", LogEntry{Text: "2026-11-21T01:59:21.00000000xZ " + details + " text"}},
		{"2026-11-21T02:59:21.000000005+01:00 " + details + " text", with(known, "text", nil)},
		{"2026-11-21T01:59:22Z " + details + " text", LogEntry{Time: logSecond.Add(time.Second), ServiceID: "s1", NodeID: "n1", TaskID: "t1", Text: "text"}},
	} {
		next := LogEntry{Time: logSecond.Add(7), Stream: LogStderr, ServiceID: "s1", NodeID: "n1", TaskID: "t1", Text: "next", End: "\n"}
		row.want.Stream, row.want.End = LogStdout, "\n"
		body := logFrame(1, row.line+"\n") + logFrame(2, stamped(7, "t1", "next\n"))
		assert.Equal(t, []LogEntry{row.want, next}, readEntries(t, stampedLogs(strings.NewReader(body), LogOptions{})), "%q", row.line)

		row.want.End, next.End, next.Stream = "\r\n", "\r\n", LogStdout
		row.want.Text = strings.TrimSuffix(row.want.Text, "\r") + strings.Repeat("\r", strings.Count(row.want.Text, "\r"))
		body = row.line + "\r\n" + stamped(7, "t1", "next\r\n")
		if strings.HasSuffix(row.line, "Z") { // without the space it runs into the line's end
			continue
		}
		assert.Equal(t, []LogEntry{row.want, next}, readEntries(t, stampedLogs(strings.NewReader(body), LogOptions{Format: LogFormatRaw})), "%q", row.line)
	}
}

// writtenLine is a line that a container has written.
type writtenLine struct {
	task   string
	stream LogStream
	text   string // with its end
}

// asKept is lines as engines keep and send them: in pieces of at most 16 KiB, which
// have the time of their line. Pieces of different tasks and streams mix.
func asKept(lines []writtenLine, terminal bool, random *rand.Rand) string {
	pieces := map[lineKey][]string{}
	var keys []lineKey
	for i, line := range lines {
		key := lineKey{line.task, line.stream}
		if pieces[key] == nil {
			keys = append(keys, key)
		}
		for text := line.text; text != ""; {
			n := min(len(text), maxLogRecord)
			pieces[key] = append(pieces[key], stamped(i, line.task, text[:n]))
			text = text[n:]
		}
	}
	var wire strings.Builder
	for len(keys) > 0 {
		i := random.IntN(len(keys))
		key := keys[i]
		if terminal {
			wire.WriteString(pieces[key][0])
		} else {
			wire.WriteString(logFrame(byte(key.stream), pieces[key][0]))
		}
		if pieces[key] = pieces[key][1:]; len(pieces[key]) == 0 {
			keys = append(keys[:i], keys[i+1:]...)
		}
	}
	return wire.String()
}

// checkJoined checks that entries are the lines, task by task and stream by stream.
func checkJoined(t *testing.T, lines []writtenLine, entries []LogEntry, end string) {
	t.Helper()
	want, got := map[lineKey][]string{}, map[lineKey][]string{}
	at := map[lineKey][]int{}
	for i, line := range lines {
		key := lineKey{line.task, line.stream}
		want[key] = append(want[key], line.text)
		at[key] = append(at[key], i)
	}
	for _, entry := range entries {
		key := lineKey{entry.TaskID, entry.Stream}
		require.Less(t, len(got[key]), len(at[key]), "more lines than there are")
		require.Equal(t, logSecond.Add(time.Duration(at[key][len(got[key])])), entry.Time)
		require.Equal(t, entry.End == "", entry.Partial)
		if !entry.Partial {
			require.Equal(t, end, entry.End)
		}
		got[key] = append(got[key], entry.Text+entry.End)
	}
	require.Equal(t, want, got)
}

func TestLongLinesArePutTogetherAgain(t *testing.T) {
	for _, terminal := range []bool{false, true} {
		end, opts := "\n", LogOptions{}
		if terminal {
			end, opts.Format = "\r\n", LogFormatRaw
		}
		random := rand.New(rand.NewPCG(1, 2))
		for round := range 20 / OneIn {
			var lines []writtenLine
			tasks, number, lengths := 5, 60, []int{0, 1, 40, 117, maxLogRecord - 2, maxLogRecord - 1, maxLogRecord, maxLogRecord + 1, 2 * maxLogRecord, 100_000}
			if round%5 == 4 {
				tasks, number, lengths = 100, 1000, []int{0, 40, 117, 200, maxLogRecord + 1}
			}
			for i := range number {
				length := lengths[random.IntN(len(lengths))]
				line := writtenLine{task: fmt.Sprintf("t%d", random.IntN(tasks)), stream: LogStdout, text: strings.Repeat(string(rune('a'+i%26)), length) + end}
				if !terminal && random.IntN(2) == 0 {
					line.stream = LogStderr
				}
				lines = append(lines, line)
			}
			wire := asKept(lines, terminal, random)
			sources := []io.Reader{strings.NewReader(wire), iotest.HalfReader(strings.NewReader(wire))}
			if round == 0 && OneIn == 1 {
				sources = append(sources, iotest.OneByteReader(strings.NewReader(wire)))
			}
			for _, source := range sources {
				checkJoined(t, lines, readEntries(t, stampedLogs(source, opts)), end)
			}
		}
	}
}

func FuzzLogJoins(f *testing.F) {
	f.Add([]byte("one\ntwo\n\nthree"), uint64(1), uint16(3), false)
	f.Add([]byte("\x01tty\r\n\x02\r\r\n"), uint64(2), uint16(16384), true)
	f.Add([]byte("a 2026-11-21T01:59:21.000000005Z a=b c\n"), uint64(3), uint16(2000), true)
	f.Fuzz(func(t *testing.T, text []byte, seed uint64, width uint16, terminal bool) {
		random := rand.New(rand.NewPCG(seed, 3))
		end, opts := "\n", LogOptions{MaxLine: 8 << 20}
		if terminal {
			end, opts.Format = "\r\n", LogFormatRaw
		}
		var lines []writtenLine
		for _, line := range bytes.Split(text, []byte("\n")) {
			written := writtenLine{task: fmt.Sprintf("t%d", random.IntN(3)), stream: LogStdout, text: string(line)}
			if terminal {
				written.text = strings.TrimRight(written.text, "\r")
			} else if random.IntN(2) == 0 {
				written.stream = LogStderr
			}
			if random.IntN(4) == 0 {
				written.text += strings.Repeat("x", int(width))
			}
			written.text += end
			lines = append(lines, written)
		}
		wire := asKept(lines, terminal, random)
		checkJoined(t, lines, readEntries(t, stampedLogs(iotest.HalfReader(strings.NewReader(wire)), opts)), end)
	})
}

func TestEntriesWaitForNothing(t *testing.T) {
	first := logFrame(1, stamped(1, "t1", "1\n")) + logFrame(2, stamped(2, "t1", "2\n")) + logFrame(1, stamped(9, "t1", "left out\n"))
	for _, rest := range []string{"", "\x01\x00", logFrame(3, "the engine"), logFrame(1, ""), logFrame(1, stamped(3, "t1", "begun")), logFrame(1, stamped(3, "t1", "3\n"))[:40]} {
		asked := false
		source := io.MultiReader(strings.NewReader(first+rest), readerFunc(func([]byte) (int, error) {
			asked = true
			return 0, io.EOF
		}))
		logs := stampedLogs(source, LogOptions{Until: logSecond.Add(4)})
		for _, want := range []string{"1", "2"} {
			entry, err := logs.Next()
			require.NoError(t, err)
			assert.Equal(t, want, entry.Text)
			assert.False(t, asked, "before %q was handed out", want)
		}
	}
}

func TestKeptEntriesDoNotChange(t *testing.T) {
	var wire strings.Builder
	var want []string
	for i := range 5000 {
		text := strings.Repeat(string(rune('a'+i%26)), i%400)
		want = append(want, text)
		wire.WriteString(logFrame(1, stamped(i, "t1", text+"\n")))
	}
	var got []string
	for _, entry := range readEntries(t, stampedLogs(strings.NewReader(wire.String()), LogOptions{})) {
		got = append(got, entry.Text)
	}
	assert.Equal(t, want, got)
}

func FuzzLogPrefix(f *testing.F) {
	f.Add([]byte(stamped(1, "t1", "text\n")))
	f.Add([]byte("2026-11-21T02:59:21+01:00 a=b%20c,d=e text"))
	f.Add([]byte("2026-11-21T01:59:21.895001646Z  two spaces"))
	f.Add([]byte("2026-11-21T01:59:2\xff.895001646Z a=%zz text"))
	f.Add([]byte(strings.Repeat("\x00", 19) + ".895001646Z a=b text"))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, prefix := range []logPrefix{{}, {stamps: true}, {details: true}, {stamps: true, details: true}} {
			parser := prefixParser{logPrefix: prefix, origins: &origins{}}
			var record, again logRecord
			parser.parse(&record, data)
			parser.parse(&again, data)
			assert.Equal(t, record, again, "what is remembered changes nothing")
			parser.parse(&again, []byte(stamped(1, "t1", "text")))
			parser.parse(&again, data)
			assert.Equal(t, record, again, "nor does what came between")
			whole := []byte{}
			for _, part := range [][]byte{record.stamp, record.details} {
				if part != nil {
					whole = append(append(whole, part...), ' ')
				}
			}
			assert.Equal(t, string(data), string(append(whole, record.text...)), "not a byte is lost")
			if record.stamp != nil {
				at, err := time.Parse(time.RFC3339Nano, string(record.stamp))
				require.NoError(t, err)
				assert.True(t, at.Equal(record.at), "%s is not %s", record.at, at)
			}
		}
	})
}

func TestLinesBeyondTheBoundComeInParts(t *testing.T) {
	long := strings.Repeat("0123456789abcdef", 5000) // 80,000 bytes
	var wire string
	for _, piece := range []string{long[:maxLogRecord], long[maxLogRecord : 2*maxLogRecord], long[2*maxLogRecord : 3*maxLogRecord], long[3*maxLogRecord : 4*maxLogRecord], long[4*maxLogRecord:] + "\n"} {
		wire += logFrame(1, stamped(1, "t1", piece))
	}
	wire += logFrame(1, stamped(2, "t1", "short\n"))
	for max, want := range map[int][]int{0: {80_000}, 80_001: {80_000}, 40_000: {2 * maxLogRecord, 2 * maxLogRecord, 80_000 - 4*maxLogRecord}, 1: {maxLogRecord, maxLogRecord, maxLogRecord, maxLogRecord, 80_000 - 4*maxLogRecord}} {
		entries := readEntries(t, stampedLogs(strings.NewReader(wire), LogOptions{MaxLine: max}))
		require.Len(t, entries, len(want)+1)
		var all strings.Builder
		for i, length := range want {
			assert.Len(t, entries[i].Text, length)
			assert.Equal(t, i < len(want)-1, entries[i].Partial)
			assert.Equal(t, logSecond.Add(1), entries[i].Time)
			all.WriteString(entries[i].Text)
		}
		assert.Equal(t, long, all.String())
		assert.Equal(t, "short", entries[len(want)].Text)
	}
}

func TestALineWithoutAnEndComesAtTheEnd(t *testing.T) {
	wire := logFrame(1, stamped(1, "t1", "begun")) + logFrame(2, stamped(2, "t2", "begun too")) + logFrame(1, stamped(3, "t2", "whole\n"))
	var got []string
	for _, entry := range readEntries(t, stampedLogs(strings.NewReader(wire), LogOptions{})) {
		got = append(got, fmt.Sprintf("%s %s %v", entry.TaskID, entry.Text, entry.Partial))
	}
	assert.Equal(t, []string{"t2 whole false", "t1 begun true", "t2 begun too true"}, got)

	logs := stampedLogs(strings.NewReader(wire+"\x01\x00"), LogOptions{})
	var last error
	count := 0
	for _, err := range logs.Entries() {
		last = err
		count++
	}
	assert.Equal(t, 4, count)
	assert.ErrorIs(t, last, io.ErrUnexpectedEOF)
}

// A terminal's stream has nothing but line feeds between its records.
func TestALineWithoutAnEndIsNoPartOfTheNextTasks(t *testing.T) {
	wire := stamped(1, "t1", "one\r\n") + stamped(2, "t1", "panic: no end") + stamped(3, "t2", "two\r\n") + stamped(4, "t2", "task com.docker.swarm.task.id=t1 three\r\n")
	for _, source := range []io.Reader{strings.NewReader(wire), iotest.OneByteReader(strings.NewReader(wire))} {
		var got []string
		for _, entry := range readEntries(t, stampedLogs(source, LogOptions{Format: LogFormatRaw})) {
			got = append(got, fmt.Sprintf("%s %s %v", entry.TaskID, entry.Text, entry.Partial))
		}
		assert.ElementsMatch(t, []string{"t1 one false", "t1 panic: no end true", "t2 two false", "t2 task com.docker.swarm.task.id=t1 three false"}, got)
	}
}

func TestUnfinishedLinesOfManyTasksAreBounded(t *testing.T) {
	t.Run("long", func(t *testing.T) { boundUnfinished(t, 20_000/OneIn, strings.Repeat("x", maxLogRecord)) })
	t.Run("short", func(t *testing.T) { boundUnfinished(t, 200_000/min(OneIn, 5), "x") })
	t.Run("empty", func(t *testing.T) { boundUnfinished(t, 200_000/min(OneIn, 5), "") })
}

// boundUnfinished reads a line without an end of each of so many tasks.
func boundUnfinished(t *testing.T, total int, piece string) {
	t.Helper()
	count := 0
	source := readerFunc(func(p []byte) (int, error) {
		if count == total {
			return 0, io.EOF
		}
		count++
		return copy(p, logFrame(1, stamped(1, fmt.Sprintf("t%d", count), piece))), nil
	})
	logs := stampedLogs(source, LogOptions{MaxLine: 64 << 10})
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	parts := 0
	for entry, err := range logs.Entries() {
		require.NoError(t, err)
		require.True(t, entry.Partial)
		if parts++; parts == total*3/4 {
			runtime.GC()
			runtime.ReadMemStats(&after)
			assert.Less(t, count, total, "it comes while there is more to come")
		}
	}
	assert.Equal(t, total, parts)
	assert.Less(t, int64(after.HeapAlloc)-int64(before.HeapAlloc), int64(24<<20), "%d bytes came", total*len(piece))
}

// readerFunc is a function that reads.
type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func TestAFrameThatClaimsFourGigabytesCostsNothing(t *testing.T) {
	for _, length := range []uint32{math.MaxUint32, math.MaxInt32, 4 << 20} {
		header := []byte{1, 0, 0, 0, byte(length >> 24), byte(length >> 16), byte(length >> 8), byte(length)}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := stampedLogs(bytes.NewReader(append(header, 'x')), LogOptions{}).Next()
		runtime.ReadMemStats(&after)
		assert.ErrorIs(t, err, ErrProtocol)
		assert.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(256<<10))
	}
}

func TestUntilLeavesOutNewerLines(t *testing.T) {
	var wire string
	for i := range 10 {
		wire += logFrame(1, stamped(10-i, fmt.Sprintf("t%d", i%2), fmt.Sprintf("%d\n", 10-i)))
	}
	logs := stampedLogs(strings.NewReader(wire), LogOptions{Until: logSecond.Add(3)})
	var got []string
	for _, entry := range readEntries(t, logs) {
		got = append(got, entry.Text)
	}
	assert.Equal(t, []string{"3", "2", "1"}, got, "also when lines of others come between")

	var out bytes.Buffer
	logs, err := NewLogReader(io.NopCloser(strings.NewReader(wire)), &LogOptions{Until: logSecond.Add(2), Timestamps: true, Details: true})
	require.NoError(t, err)
	require.NoError(t, logs.Copy(&out, nil))
	assert.Equal(t, stamped(2, "t0", "2\n")+stamped(1, "t1", "1\n"), out.String())
}

func TestNextEndsWithTheSameErrorForEver(t *testing.T) {
	logs := stampedLogs(strings.NewReader(logFrame(1, stamped(1, "t1", "one\n"))), LogOptions{})
	entry, err := logs.Next()
	require.NoError(t, err)
	assert.Equal(t, "one", entry.Text)
	for range 3 {
		_, err = logs.Next()
		assert.Equal(t, io.EOF, err)
	}
	assert.NoError(t, logs.Close())
	_, err = logs.Next()
	assert.Equal(t, io.EOF, err)
	assert.ErrorIs(t, logs.Copy(nil, nil), ErrClosed)
	for range logs.Entries() {
		assert.Fail(t, "nothing is left")
	}

	logs = stampedLogs(strings.NewReader(logFrame(1, stamped(1, "t1", "one\n"))+"\x01"), LogOptions{})
	_, err = logs.Next()
	require.NoError(t, err)
	for range 3 {
		_, err = logs.Next()
		assert.ErrorIs(t, err, io.ErrUnexpectedEOF)
	}

	logs = stampedLogs(strings.NewReader(logFrame(1, stamped(1, "t1", "one\n"))), LogOptions{})
	require.NoError(t, logs.Close())
	_, err = logs.Next()
	assert.ErrorIs(t, err, ErrClosed)
}

func TestCopyWritesWhatIsWantedBeforeLines(t *testing.T) {
	long := strings.Repeat("x", 2*maxLogRecord)
	wire := logFrame(1, stamped(1, "t1", long[:maxLogRecord])) + logFrame(1, stamped(2, "t2", "other\n")) +
		logFrame(1, stamped(1, "t1", long[maxLogRecord:]+"\n")) + logFrame(2, stamped(3, "t1", "\n")) + logFrame(1, "odd\n")
	details := func(task string) string {
		return "com.docker.swarm.node.id=n1,com.docker.swarm.service.id=s1,com.docker.swarm.task.id=" + task + " "
	}
	stamp := func(n int) string {
		return logSecond.Add(time.Duration(n)).Format("2006-01-02T15:04:05.000000000Z ")
	}
	for _, row := range []struct {
		opts     LogOptions
		out, err string
	}{
		{LogOptions{}, long[:maxLogRecord] + "other\n" + long[maxLogRecord:] + "\nodd\n", "\n"},
		{LogOptions{Timestamps: true}, stamp(1) + long[:maxLogRecord] + stamp(2) + "other\n" + long[maxLogRecord:] + "\nodd\n", stamp(3) + "\n"},
		{LogOptions{Details: true}, details("t1") + long[:maxLogRecord] + details("t2") + "other\n" + long[maxLogRecord:] + "\nodd\n", details("t1") + "\n"},
	} {
		logs := newLogReader(t.Context(), &call{}, io.NopCloser(strings.NewReader(wire)), false, &row.opts, func() {})
		var out, errs bytes.Buffer
		require.NoError(t, logs.Copy(&out, &errs))
		assert.Equal(t, row.out, out.String())
		assert.Equal(t, row.err, errs.String())
	}
}

func TestCopyWritesWhatHasComeTogether(t *testing.T) {
	wire := logFrame(1, stamped(1, "t1", "1\n")) + logFrame(1, stamped(2, "t2", "2\n")) + logFrame(2, stamped(3, "t1", "3\n")) +
		logFrame(1, stamped(4, "t1", "4\n")) + logFrame(3, "the engine") + logFrame(1, stamped(5, "t1", "5\n"))
	logs, err := NewLogReader(io.NopCloser(strings.NewReader(wire)), nil)
	require.NoError(t, err)
	logs.read(newRecords(logs.body, false, logPrefix{stamps: true, details: true}, &origins{}, &logs.said))
	var got []string
	note := writerFunc(func(p []byte) (int, error) {
		got = append(got, string(p))
		return len(p), nil
	})
	assert.ErrorContains(t, logs.Copy(note, note), "the engine")
	assert.Equal(t, []string{"1\n2\n", "3\n", "4\n", "5\n"}, got)
}

// writerFunc is a function that writes.
type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestCopyAllocatesNothingPerLine(t *testing.T) {
	wire := strings.Repeat(logFrame(1, stamped(1, "t1", strings.Repeat("x", 117)+"\n")), 10_000)
	for _, raw := range []bool{false, true} {
		allocations := testing.AllocsPerRun(5, func() {
			logs := newLogReader(t.Context(), &call{}, io.NopCloser(strings.NewReader(wire)), false, &LogOptions{Raw: raw}, func() {})
			if err := logs.Copy(io.Discard, io.Discard); err != nil {
				panic(err)
			}
		})
		assert.Less(t, allocations, 50.0)
	}
}

func TestEntriesAreJSON(t *testing.T) {
	entry := LogEntry{Time: logSecond, Stream: LogStderr, ServiceID: "s1", NodeID: "n1", TaskID: "t1",
		Attributes: map[string]string{"a": "b"}, Text: "text \x1b", End: "\n"}
	encoded, err := json.Marshal(entry)
	require.NoError(t, err)
	assert.JSONEq(t, `{"time":"2026-11-21T01:59:21Z","stream":"stderr","service":"s1","node":"n1","task":"t1","attributes":{"a":"b"},"text":"text \u001b"}`, string(encoded))
	var again LogEntry
	require.NoError(t, json.Unmarshal(encoded, &again))
	entry.End = ""
	assert.Equal(t, entry, again)
	assert.Error(t, json.Unmarshal([]byte(`{"stream":"stdin"}`), &again))
}
