package swarm

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

// logRun is all that came out of a stream of logs.
type logRun struct {
	entries        []string // "stdout: text"
	stdout, stderr string
	err            error
}

// runEntries reads a log by Entries.
func runEntries(t *testing.T, logs *LogReader) logRun {
	t.Helper()
	var run logRun
	var stdout, stderr strings.Builder
	for entry, err := range logs.Entries() {
		require.NoError(t, run.err, "the error is the last")
		if err != nil {
			assert.Zero(t, entry)
			run.err = err
			continue
		}
		text := entry.Text + entry.End
		run.entries = append(run.entries, entry.Stream.String()+": "+text)
		if entry.Stream == LogStderr {
			stderr.WriteString(text)
		} else {
			stdout.WriteString(text)
		}
	}
	run.stdout, run.stderr = stdout.String(), stderr.String()
	return run
}

// runCopy reads a stream by Copy.
func runCopy(logs *LogReader) logRun {
	var stdout, stderr bytes.Buffer
	err := logs.Copy(&stdout, &stderr)
	return logRun{stdout: stdout.String(), stderr: stderr.String(), err: err}
}

// openLogs is a LogReader of a body, as Services.Logs would return it for a raw log.
func openLogs(body io.Reader, raw bool) *LogReader {
	call := &call{op: "service logs", object: "web", method: http.MethodGet, to: to("/services/{id}/logs", "web")}
	return newLogReader(context.Background(), call, io.NopCloser(body), raw, &LogOptions{Raw: true}, func() {})
}

// openRecorded is a LogReader of a recorded answer, of which n bytes arrived.
func openRecorded(t *testing.T, recorded []byte, n int, raw bool) *LogReader {
	t.Helper()
	response, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(recorded[:n])), nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, response.StatusCode)
	return openLogs(response.Body, raw)
}

func logCapture(t *testing.T, name string) []byte {
	t.Helper()
	recorded, err := os.ReadFile(filepath.Join("testdata", "captures", name))
	require.NoError(t, err)
	return recorded
}

func logFrame(stream byte, text string) string {
	return string(binary.BigEndian.AppendUint32([]byte{stream, 0, 0, 0}, uint32(len(text)))) + text
}

func TestRecordedLogsAreReadWhole(t *testing.T) {
	const (
		stamp   = `\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z `
		details = `com\.docker\.swarm\.node\.id=\w{25},com\.docker\.swarm\.service\.id=\w{25},com\.docker\.swarm\.task\.id=\w{25} `
	)
	for name, prefix := range map[string]string{
		"logs_s1": "", "logs_s1_v1.41": "", "logs_s1_stderr": "", "logs_s1_ts": stamp, "logs_s1_details_ts": stamp + details,
		"logs_s1_follow_3s": "", "logs_task": "", "logs_empty_service": "",
		"logs_tty": "", "logs_tty_v1.41": "", "logs_tty_details_ts": stamp + details,
	} {
		for _, engine := range []string{"20.10", "26.1", "28.5"} {
			t.Run(engine+"/"+name, func(t *testing.T) {
				recorded := logCapture(t, engine+"/"+name+".http")
				raw := strings.HasPrefix(name, "logs_tty")
				run := runEntries(t, openRecorded(t, recorded, len(recorded), raw))
				copied := runCopy(openRecorded(t, recorded, len(recorded), raw))
				assert.Equal(t, run.stdout, copied.stdout)
				assert.Equal(t, run.stderr, copied.stderr)
				if name == "logs_s1_follow_3s" { // whoever recorded it left after three seconds
					assert.ErrorIs(t, run.err, io.ErrUnexpectedEOF)
					assert.ErrorIs(t, copied.err, io.ErrUnexpectedEOF)
				} else {
					assert.NoError(t, run.err)
					assert.NoError(t, copied.err)
				}
				assert.Equal(t, name == "logs_empty_service", run.stdout+run.stderr == "")
				if raw {
					assert.Empty(t, run.stderr)
					assert.Regexp(t, `^(`+prefix+`(out|err) \d+\r\n)+$`, run.stdout)
					return
				}
				line := regexp.MustCompile(`^(stdout: ` + prefix + `out|stderr: ` + prefix + `err) \d+\n$`)
				for _, frame := range run.entries {
					assert.Regexp(t, line, frame)
				}
				assert.Equal(t, name == "logs_s1_stderr" || name == "logs_empty_service", run.stdout == "")
			})
		}
	}
}

func TestALogCutAnywhereIsAnErrorAfterTheLinesBefore(t *testing.T) {
	for name, raw := range map[string]bool{"28.5/logs_s1.http": false, "20.10/logs_tty_details_ts.http": true,
		"26.1-multi/logs_incomplete_node_down.http": false} {
		t.Run(name, func(t *testing.T) {
			recorded := logCapture(t, name)
			whole := runEntries(t, openRecorded(t, recorded, len(recorded), raw))
			lines := 0
			for n := bytes.Index(recorded, []byte("\r\n\r\n")) + 4; n < len(recorded); n++ {
				run := runEntries(t, openRecorded(t, recorded, n, raw))
				require.ErrorIs(t, run.err, io.ErrUnexpectedEOF, "cut at %d", n)
				require.True(t, strings.HasPrefix(whole.stdout, run.stdout), "cut at %d", n)
				require.True(t, strings.HasPrefix(whole.stderr, run.stderr), "cut at %d", n)
				require.GreaterOrEqual(t, len(run.entries), lines, "cut at %d", n)
				lines = len(run.entries)

				copied := runCopy(openRecorded(t, recorded, n, raw))
				require.ErrorIs(t, copied.err, io.ErrUnexpectedEOF, "cut at %d", n)
				require.True(t, strings.HasPrefix(copied.stdout, run.stdout), "cut at %d", n)
			}
			assert.Equal(t, len(whole.entries), lines)
		})
	}
}

func TestACutFrameIsAProtocolError(t *testing.T) {
	wire := logFrame(1, "one\n") + logFrame(2, "two\n")
	for n := range len(wire) {
		run := runEntries(t, openLogs(strings.NewReader(wire[:n]), false))
		if n == 0 || n == len(wire)/2 {
			assert.NoError(t, run.err, "cut at %d", n)
			continue
		}
		assert.ErrorIs(t, run.err, io.ErrUnexpectedEOF, "cut at %d", n)
		assert.ErrorIs(t, run.err, ErrProtocol, "cut at %d", n)
	}
}

func TestLogsWithoutSomeNodesAreIncomplete(t *testing.T) {
	for name, missing := range map[string]string{
		"26.1-multi/logs_incomplete_node_down.http":    "node kvttkxl4m1lbzrshelaijdga8 is not available",
		"28.5-multi/logs_incomplete_node_down.http":    "node poi5kfcd5itj3lo8l2xb4kq57 is not available",
		"26.1-multi/logs_during_cut_not_yet_down.http": "node kvttkxl4m1lbzrshelaijdga8 disconnected unexpectedly",
		"28.5-multi/logs_during_cut_not_yet_down.http": "node poi5kfcd5itj3lo8l2xb4kq57 disconnected unexpectedly",
	} {
		t.Run(name, func(t *testing.T) {
			recorded := logCapture(t, name)
			run := runEntries(t, openRecorded(t, recorded, len(recorded), false))
			copied := runCopy(openRecorded(t, recorded, len(recorded), false))
			for _, err := range []error{run.err, copied.err} {
				assert.ErrorIs(t, err, ErrLogsIncomplete)
				node := strings.Fields(missing)[1]
				assert.EqualError(t, err, "service logs web: warning: incomplete log stream. some logs could not be retrieved for the following reasons: "+missing+
					": nodes "+node+" could not be asked")
				incomplete, ok := errors.AsType[*LogsIncompleteError](err)
				require.True(t, ok)
				assert.Equal(t, &LogsIncompleteError{Nodes: []string{node}}, incomplete)
			}
			assert.Contains(t, run.stdout, " out 4\n")
			assert.NotContains(t, run.stdout, "Error grabbing logs")
			assert.Equal(t, run.stdout, copied.stdout)
			assert.Empty(t, run.stderr+copied.stderr)
		})
	}
}

func TestFollowedLogsOfALostLeaderEndWithItsError(t *testing.T) {
	for name, text := range map[string]string{
		"20.10-streams/logs_follow_on_follower.http": "transport is closing",
		"28.5-streams/logs_follow_on_follower.http":  "error reading from server: EOF",
	} {
		recorded := logCapture(t, name)
		run := runEntries(t, openRecorded(t, recorded, len(recorded), false))
		assert.ErrorIs(t, run.err, ErrUnavailable, name)
		assert.EqualError(t, run.err, "service logs web: "+text)
		assert.Contains(t, run.stdout, " out 8\n")
	}
}

func TestLogsOfAnEngineThatWentAwayAreCut(t *testing.T) {
	// Engine 20.10 hung until whoever recorded it gave up.
	for _, name := range []string{"20.10-multi/logs_incomplete_node_down.http", "20.10-multi/logs_during_cut_not_yet_down.http"} {
		recorded := logCapture(t, name)
		run := runEntries(t, openRecorded(t, recorded, len(recorded), false))
		assert.ErrorIs(t, run.err, io.ErrUnexpectedEOF)
		assert.NotEmpty(t, run.entries)
	}
}

func TestAnEngineErrorInTheMiddleIsReturnedAtTheEnd(t *testing.T) {
	wire := logFrame(1, "before\n") + logFrame(3, "Error grabbing logs: rpc error: code = Unknown desc = \x1b[31mfirst\n") +
		logFrame(3, "second") + logFrame(2, "after\n") + logFrame(1, "")
	run := runEntries(t, openLogs(iotest.OneByteReader(strings.NewReader(wire)), false))
	assert.Equal(t, []string{"stdout: before\n", "stderr: after\n"}, run.entries)
	assert.EqualError(t, run.err, `service logs web: \x1b[31mfirst; second`)
	failure, ok := errors.AsType[*Error](run.err)
	require.True(t, ok)
	assert.Equal(t, `\x1b[31mfirst; second`, failure.Message)

	run = runEntries(t, openLogs(strings.NewReader(logFrame(3, "")), false))
	assert.EqualError(t, run.err, "service logs web: the engine failed without saying why")

	run = runEntries(t, openLogs(strings.NewReader(wire+"\x01\x00"), false))
	assert.ErrorIs(t, run.err, io.ErrUnexpectedEOF)
	assert.ErrorContains(t, run.err, "second")
}

func TestALongEngineErrorIsClipped(t *testing.T) {
	long := strings.Repeat("x", 1<<20)
	run := runEntries(t, openLogs(strings.NewReader(logFrame(3, long)+logFrame(3, long)+logFrame(1, "line\n")), false))
	assert.Equal(t, []string{"stdout: line\n"}, run.entries)
	failure, ok := errors.AsType[*Error](run.err)
	require.True(t, ok)
	assert.Len(t, failure.Message, maxError)
}

func TestInterleavedStreamsKeepTheirOrder(t *testing.T) {
	var wire strings.Builder
	var want []string
	for i := range 20_000 { // a few times the buffer
		text, stream := fmt.Sprintf("line %d %s\n", i, strings.Repeat("x", i%300)), LogStream(1+i*7%2)
		wire.WriteString(logFrame(byte(stream), text))
		want = append(want, stream.String()+": "+text)
	}
	for _, source := range []io.Reader{strings.NewReader(wire.String()), iotest.HalfReader(strings.NewReader(wire.String()))} {
		run := runEntries(t, openLogs(source, false))
		require.NoError(t, run.err)
		require.Equal(t, want, run.entries)
	}
	copied := runCopy(openLogs(strings.NewReader(wire.String()), false))
	require.NoError(t, copied.err)
	assert.Equal(t, 10_000, strings.Count(copied.stdout, "\n"))
	assert.Equal(t, 10_000, strings.Count(copied.stderr, "\n"))
}

func TestFramesComeWholeHoweverTheyArrive(t *testing.T) {
	wire := logFrame(1, "small\n") + logFrame(2, strings.Repeat("big", 100_000)) + logFrame(1, "last\n")
	for _, source := range []io.Reader{strings.NewReader(wire), iotest.OneByteReader(strings.NewReader(wire))} {
		run := runEntries(t, openLogs(source, false))
		require.NoError(t, run.err)
		assert.Equal(t, []string{"stdout: small\n", "stderr: " + strings.Repeat("big", 100_000), "stdout: last\n"}, run.entries)
	}
}

func TestABodyThatIsNoLogIsAProtocolError(t *testing.T) {
	for _, body := range []string{"<html>log in</html>", `{"message":"no"}`, "\x01\x00\x00\x00\xff\xff\xff\xff", "\x05\x00\x00\x00\x00\x00\x00\x01x"} {
		run := runEntries(t, openLogs(strings.NewReader(logFrame(1, "line\n")+body), false))
		assert.Equal(t, []string{"stdout: line\n"}, run.entries)
		assert.ErrorIs(t, run.err, ErrProtocol)
		assert.ErrorContains(t, run.err, "at byte 13")
	}
}

func TestABrokenConnectionIsUnavailable(t *testing.T) {
	reset := errors.New("connection reset")
	for _, raw := range []bool{false, true} {
		body := io.MultiReader(strings.NewReader(logFrame(1, "line\n")), iotest.ErrReader(reset))
		run := runEntries(t, openLogs(body, raw))
		assert.ErrorIs(t, run.err, reset)
		assert.ErrorIs(t, run.err, ErrUnavailable)
		assert.Len(t, run.entries, 1)
	}
}

func TestCopyDiscardsWhatNobodyWants(t *testing.T) {
	wire := logFrame(1, "out\n") + logFrame(2, "err\n")
	var stderr bytes.Buffer
	require.NoError(t, openLogs(strings.NewReader(wire), false).Copy(nil, &stderr))
	assert.Equal(t, "err\n", stderr.String())
	require.NoError(t, openLogs(strings.NewReader(wire), false).Copy(nil, nil))
	require.NoError(t, openLogs(strings.NewReader("tty\r\n"), true).Copy(nil, nil))
}

func TestCopyMaySendBothStreamsToOneWriter(t *testing.T) {
	var both bytes.Buffer
	require.NoError(t, openLogs(strings.NewReader(logFrame(2, "err\n")+logFrame(1, "out\n")), false).Copy(&both, &both))
	assert.Equal(t, "err\nout\n", both.String())
}

func TestCopyEndsWithTheErrorOfAWriter(t *testing.T) {
	full := errors.New("disk full")
	for _, raw := range []bool{false, true} {
		for _, failure := range []error{full, io.EOF, io.ErrUnexpectedEOF} {
			err := openLogs(strings.NewReader(logFrame(1, "line\n")), raw).Copy(brokenWriter{failure}, nil)
			assert.ErrorIs(t, err, failure)
			assert.NotErrorIs(t, err, ErrProtocol)
			assert.NotErrorIs(t, err, ErrUnavailable)
			assert.EqualError(t, err, "service logs web: "+failure.Error())
		}
		assert.ErrorIs(t, openLogs(strings.NewReader(logFrame(1, "line\n")), raw).Copy(brokenWriter{}, nil), io.ErrShortWrite)
	}
	assert.ErrorIs(t, openLogs(strings.NewReader(logFrame(2, "line\n")), false).Copy(nil, brokenWriter{full}), full)
}

// brokenWriter takes nothing.
type brokenWriter struct{ err error }

func (w brokenWriter) Write([]byte) (int, error) { return 0, w.err }

func TestALogIsReadOnce(t *testing.T) {
	logs := openLogs(strings.NewReader(logFrame(1, "line\n")), false)
	require.NoError(t, logs.Copy(nil, nil))
	for _, err := range []error{logs.Copy(nil, nil), runEntries(t, logs).err} {
		assert.ErrorIs(t, err, ErrClosed)
		assert.ErrorContains(t, err, "read already")
	}
	assert.NoError(t, logs.Close())
	assert.NoError(t, logs.Close())

	logs = openLogs(strings.NewReader(logFrame(1, "line\n")), false)
	require.NoError(t, logs.Close())
	for _, err := range []error{logs.Copy(nil, nil), runEntries(t, logs).err} {
		assert.ErrorIs(t, err, ErrClosed)
		assert.EqualError(t, err, "service logs web: closed")
	}
}

func FuzzLogReader(f *testing.F) {
	f.Add([]byte(logFrame(1, "out\n")+logFrame(2, "err\n")+logFrame(3, "trouble")), false)
	f.Add([]byte(logFrame(3, "rpc error: code = Unavailable desc = \xff\n")+logFrame(0, "")), false)
	f.Add([]byte(logFrame(1, "cut")[:10]), false)
	f.Add([]byte("tty\r\n"), true)
	f.Fuzz(func(t *testing.T, wire []byte, raw bool) {
		run := runEntries(t, openLogs(iotest.HalfReader(bytes.NewReader(wire)), raw))
		copied := runCopy(openLogs(bytes.NewReader(wire), raw))
		assert.Equal(t, fmt.Sprint(run.err), fmt.Sprint(copied.err))
		// Copy also writes what came of a frame that was cut.
		assert.True(t, strings.HasPrefix(copied.stdout, run.stdout))
		assert.True(t, strings.HasPrefix(copied.stderr, run.stderr))
		if run.err == nil {
			assert.Equal(t, len(run.stdout)+len(run.stderr), len(copied.stdout)+len(copied.stderr))
		}
	})
}

func TestDemuxTakesStreamsOfUsersApart(t *testing.T) {
	var stdout, stderr bytes.Buffer
	require.NoError(t, Demux(&stdout, &stderr, strings.NewReader(logFrame(1, "out\n")+logFrame(2, "err\n")+logFrame(0, "in\n"))))
	assert.Equal(t, "out\nin\n", stdout.String())
	assert.Equal(t, "err\n", stderr.String())

	err := Demux(nil, nil, strings.NewReader(logFrame(1, "cut")[:9]))
	assert.ErrorIs(t, err, io.ErrUnexpectedEOF)
	assert.ErrorIs(t, err, ErrProtocol)

	err = Demux(nil, nil, strings.NewReader("no frames"))
	assert.ErrorIs(t, err, ErrProtocol)
	assert.EqualError(t, err, "demux: no log frame at byte 0: unknown stream 110")

	err = Demux(nil, nil, iotest.ErrReader(os.ErrPermission))
	assert.ErrorIs(t, err, os.ErrPermission)
	assert.NotErrorIs(t, err, ErrUnavailable)

	err = Demux(nil, nil, strings.NewReader(logFrame(3, "the engine's trouble")))
	assert.EqualError(t, err, "demux: the engine's trouble")
}

// logServer answers requests with what its test says and remembers them.
type logServer struct {
	*httptest.Server
	mu       sync.Mutex
	requests []string
}

// newLogServer starts a server and a client for it. When the test ends, nothing
// of them may be left.
func newLogServer(t *testing.T, apiVersion string, handle http.HandlerFunc) (*Client, *logServer) {
	t.Helper()
	ignored := goleak.IgnoreCurrent()
	s := &logServer{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.requests = append(s.requests, r.Method+" "+r.URL.String())
		s.mu.Unlock()
		handle(w, r)
	}))
	client, err := New(WithHost("tcp://"+s.Listener.Addr().String()), WithAPIVersion(apiVersion))
	require.NoError(t, err)
	t.Cleanup(func() {
		assert.NoError(t, client.Close())
		s.Close()
		goleak.VerifyNone(t, ignored)
	})
	return client, s
}

// seen are the requests so far.
func (s *logServer) seen() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests
}

// replay answers with recorded bytes, by path.
func replay(t *testing.T, answers map[string]string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		name, ok := answers[r.URL.Path]
		if !ok {
			t.Errorf("unexpected request %s", r.URL)
			w.WriteHeader(http.StatusTeapot)
			return
		}
		conn, _, err := http.NewResponseController(w).Hijack()
		if !assert.NoError(t, err) {
			return
		}
		defer conn.Close()
		_, err = conn.Write(logCapture(t, name))
		assert.NoError(t, err)
	}
}

// inspected answers what is asked for before or after a log itself, and passes
// on the log.
func inspected(object string, logs http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/logs") {
			logs(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, object)
	}
}

// endless sends a frame and then nothing until the client leaves.
func endless(contentType, body string, left chan<- struct{}) http.HandlerFunc {
	return inspected(`{"ID":"web"}`, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", contentType)
		_, _ = io.WriteString(w, body)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
		close(left)
	})
}

const (
	multiplexedType = "application/vnd.docker.multiplexed-stream"
	rawType         = "application/vnd.docker.raw-stream"
)

func TestLogsFindsTheFormatInTheAnswer(t *testing.T) {
	client, server := newLogServer(t, "1.45", replay(t, map[string]string{
		"/v1.45/services/web/logs": "26.1/logs_s1.http",
		"/v1.45/services/tty/logs": "26.1/logs_tty.http",
		"/v1.45/tasks/task/logs":   "26.1/logs_task.http",
	}))
	ctx := context.Background()

	logs, err := client.Services.Logs(ctx, "web", nil)
	require.NoError(t, err)
	run := runCopy(logs)
	require.NoError(t, run.err)
	assert.Contains(t, run.stdout, "out 1\n")
	assert.Contains(t, run.stderr, "err 1\n")

	logs, err = client.Services.Logs(ctx, "tty", nil)
	require.NoError(t, err)
	run = runCopy(logs)
	require.NoError(t, run.err)
	assert.Regexp(t, `^((out|err) \d+\r\n)+$`, run.stdout)

	logs, err = client.Tasks.Logs(ctx, "task", nil)
	require.NoError(t, err)
	run = runEntries(t, logs)
	require.NoError(t, run.err)
	assert.Len(t, run.entries, 2)

	assert.Equal(t, []string{"GET /v1.45/services/web/logs?details=1&stderr=1&stdout=1&timestamps=1", "GET /v1.45/services/tty/logs?details=1&stderr=1&stdout=1&timestamps=1",
		"GET /v1.45/tasks/task/logs?details=1&stderr=1&stdout=1&timestamps=1"}, server.seen())
}

func TestLogsAsksForTheFormatBeforeAPI142(t *testing.T) {
	// An engine of 24 and above says raw-stream for both; 20.10 says nothing.
	for _, engine := range []string{"20.10", "28.5"} {
		t.Run(engine, func(t *testing.T) {
			answers := map[string]string{
				"/v1.41/services/s1":  engine + "/service_inspect_id.http",
				"/v1.41/services/tty": engine + "/service_inspect_tty.http",
				"/v1.41/tasks/t1":     engine + "/task_inspect.http",
			}
			ids := map[string]string{}
			for path, name := range answers {
				ids[path] = regexp.MustCompile(`"ID":"(\w{25})"`).FindStringSubmatch(string(logCapture(t, name)))[1]
			}
			service, tty, task := ids["/v1.41/services/s1"], ids["/v1.41/services/tty"], ids["/v1.41/tasks/t1"]
			answers["/v1.41/services/"+service+"/logs"] = engine + "/logs_s1_v1.41.http"
			answers["/v1.41/services/"+tty+"/logs"] = engine + "/logs_tty_v1.41.http"
			answers["/v1.41/tasks/"+task+"/logs"] = engine + "/logs_task.http"
			client, server := newLogServer(t, "1.41", replay(t, answers))
			ctx := context.Background()

			logs, err := client.Services.Logs(ctx, "s1", nil)
			require.NoError(t, err)
			run := runCopy(logs)
			require.NoError(t, run.err)
			assert.Regexp(t, `^(out \d+\n)+$`, run.stdout)
			assert.Regexp(t, `^(err \d+\n)+$`, run.stderr)

			logs, err = client.Services.Logs(ctx, "tty", nil)
			require.NoError(t, err)
			run = runCopy(logs)
			require.NoError(t, run.err)
			assert.Regexp(t, `^((out|err) \d+\r\n)+$`, run.stdout)

			logs, err = client.Tasks.Logs(ctx, "t1", nil)
			require.NoError(t, err)
			run = runCopy(logs)
			require.NoError(t, run.err)
			assert.NotEmpty(t, run.stdout)

			assert.Equal(t, []string{
				"GET /v1.41/services/s1", "GET /v1.41/services/" + service + "/logs?details=1&stderr=1&stdout=1&timestamps=1",
				"GET /v1.41/services/tty", "GET /v1.41/services/" + tty + "/logs?details=1&stderr=1&stdout=1&timestamps=1",
				"GET /v1.41/tasks/t1", "GET /v1.41/tasks/" + task + "/logs?details=1&stderr=1&stdout=1&timestamps=1",
			}, server.seen())
		})
	}
}

func TestLogsTakesTheFormatItIsGiven(t *testing.T) {
	client, server := newLogServer(t, "1.41", replay(t, map[string]string{
		"/v1.41/services/s1/logs": "28.5/logs_s1_v1.41.http", "/v1.41/services/tty/logs": "20.10/logs_tty.http"}))
	logs, err := client.Services.Logs(context.Background(), "s1", &LogOptions{Format: LogFormatMultiplexed})
	require.NoError(t, err)
	run := runCopy(logs)
	require.NoError(t, run.err)
	assert.NotEmpty(t, run.stderr)

	logs, err = client.Services.Logs(context.Background(), "tty", &LogOptions{Format: LogFormatRaw})
	require.NoError(t, err)
	run = runCopy(logs)
	require.NoError(t, run.err)
	assert.Contains(t, run.stdout, "\r\n")
	assert.Len(t, server.seen(), 2)
}

func TestLogsGivenAFormatDoesNotTrustTheAnswer(t *testing.T) {
	client, _ := newLogServer(t, "1.45", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", rawType)
		_, _ = io.WriteString(w, logFrame(2, "err\n"))
	})
	logs, err := client.Services.Logs(context.Background(), "web", &LogOptions{Format: LogFormatMultiplexed})
	require.NoError(t, err)
	assert.Equal(t, []string{"stderr: err\n"}, runEntries(t, logs).entries)
}

func TestLogsRefusesAnAnswerThatIsNoLog(t *testing.T) {
	for _, contentType := range []string{"text/html; charset=utf-8", "application/json", "", "application/vnd.docker.other"} {
		client, _ := newLogServer(t, "1.45", func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Content-Type"] = []string{contentType}
			_, _ = io.WriteString(w, "<html>log in</html>")
		})
		for _, format := range []LogFormat{LogFormatAuto, LogFormatRaw} {
			_, err := client.Services.Logs(context.Background(), "web", &LogOptions{Format: format})
			assert.ErrorIs(t, err, ErrProtocol, contentType)
		}
	}
}

func TestLogsOfAServiceWithoutIDAreAProtocolError(t *testing.T) {
	for _, body := range []string{`{}`, `{"ID":""}`, `{"ID":1}`, `null`, `[]`} {
		client, server := newLogServer(t, "1.41", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, body)
		})
		_, err := client.Services.Logs(context.Background(), "web", nil)
		assert.ErrorIs(t, err, ErrProtocol, body)
		assert.Equal(t, []string{"GET /v1.41/services/web"}, server.seen())
	}
}

func TestLogsOfNothingAreNotFound(t *testing.T) {
	for _, engine := range []string{"20.10", "28.5"} {
		for _, apiVersion := range []string{"1.41", "1.45"} {
			client, _ := newLogServer(t, apiVersion, func(w http.ResponseWriter, r *http.Request) {
				name := "logs_missing.http"
				switch {
				case strings.Contains(r.URL.Path, "/tasks/"):
					name = "logs_task_missing.http"
				case strings.Contains(r.URL.Path, "/services/d"):
					name = "logs_ambiguous.http"
				}
				replay(t, map[string]string{r.URL.Path: engine + "/" + name})(w, r)
			})
			_, err := client.Services.Logs(context.Background(), "nope", nil)
			assert.ErrorIs(t, err, ErrNotFound)
			assert.EqualError(t, err, "service logs nope: service nope not found")
			_, err = client.Tasks.Logs(context.Background(), "nope", nil)
			assert.ErrorIs(t, err, ErrNotFound)
			assert.EqualError(t, err, "task logs nope: task nope not found")
			_, err = client.Services.Logs(context.Background(), "d", nil)
			assert.ErrorIs(t, err, ErrAmbiguousRef)
		}
	}
}

func TestLogOptionsBecomeTheEnginesParameters(t *testing.T) {
	client, server := newLogServer(t, "1.45", inspected(`{"ID":"web"}`, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", multiplexedType)
		_, _ = io.WriteString(w, logFrame(1, "line\n"))
	}))
	for _, test := range []struct {
		opts LogOptions
		want string
	}{
		{LogOptions{}, "details=1&stderr=1&stdout=1&timestamps=1"},
		{LogOptions{Raw: true}, "stderr=1&stdout=1"},
		{LogOptions{Raw: true, Only: LogStdout}, "stdout=1"},
		{LogOptions{Raw: true, Only: LogStderr}, "stderr=1"},
		{LogOptions{Raw: true, Follow: true, Timestamps: true, Details: true}, "details=1&follow=1&stderr=1&stdout=1&timestamps=1"},
		{LogOptions{Raw: true, Tail: 12}, "stderr=1&stdout=1&tail=12"},
		{LogOptions{Raw: true, Tail: TailNone}, "stderr=1&stdout=1&tail=0"},
		{LogOptions{Raw: true, Since: time.Unix(1_795_226_361, 7)}, "since=1795226361.000000007&stderr=1&stdout=1"},
		{LogOptions{Raw: true, Since: time.Unix(1_795_226_361, 0).In(time.FixedZone("", 3600))}, "since=1795226361.000000000&stderr=1&stdout=1"},
		{LogOptions{Raw: true, Since: time.Date(1960, 1, 1, 0, 0, 0, 0, time.UTC)}, "stderr=1&stdout=1"},
	} {
		logs, err := client.Services.Logs(context.Background(), "web", &test.opts)
		require.NoError(t, err)
		require.NoError(t, logs.Copy(nil, nil))
		seen := server.seen()
		assert.Equal(t, "GET /v1.45/services/web/logs?"+test.want, seen[len(seen)-1])
	}
}

func TestLogsThatNoDriverKeepsCannotBeRead(t *testing.T) {
	const service, task = `{"ID":"web","Spec":{"TaskTemplate":{"LogDriver":{"Name":"none"}}}}`, `{"ID":"web","Spec":{"LogDriver":{"Name":"none"}}}`
	const uncached = `{"ID":"web","Spec":{"TaskTemplate":{"LogDriver":{"Name":"syslog","Options":{"cache-disabled":"true"}}}}}`
	for _, apiVersion := range []string{"1.41", "1.45"} {
		for _, object := range []string{service, task, uncached} {
			text := ""
			client, server := newLogServer(t, apiVersion, inspected(object, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", multiplexedType)
				_, _ = io.WriteString(w, text)
			}))
			_, err := client.Services.Logs(context.Background(), "web", &LogOptions{Follow: true, Raw: true})
			assert.ErrorIs(t, err, ErrLogsNotReadable)
			assert.Equal(t, []string{"GET /v" + apiVersion + "/services/web"}, server.seen(), "it would be silent for ever")

			for _, opts := range []*LogOptions{nil, {Format: LogFormatMultiplexed}, {Format: LogFormatRaw}} {
				logs, err := client.Tasks.Logs(context.Background(), "web", opts)
				if err == nil {
					err = logs.Copy(nil, nil)
				}
				assert.ErrorIs(t, err, ErrLogsNotReadable)
			}

			text = logFrame(1, "kept from before\n")
			logs, err := client.Services.Logs(context.Background(), "web", nil)
			require.NoError(t, err)
			run := runCopy(logs)
			assert.NoError(t, run.err)
			assert.Equal(t, "kept from before\n", run.stdout)
		}
	}
}

// Engines end the connection when they are asked for the log of such a task: they
// look for its container. They never say anything of such a service.
func TestLogsOfWhatIsNoContainerCannotBeRead(t *testing.T) {
	const service, plugin = `{"ID":"web","Spec":{"TaskTemplate":{"PluginSpec":{}}}}`, `{"ID":"web","Spec":{"PluginSpec":{}}}`
	const attachment = `{"ID":"web","Spec":{"NetworkAttachmentSpec":{"ContainerID":"c"}}}`
	for _, apiVersion := range []string{"1.41", "1.45"} {
		for _, object := range []string{service, plugin, attachment} {
			client, _ := newLogServer(t, apiVersion, inspected(object, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
			for _, opts := range []*LogOptions{nil, {Follow: true}, {Follow: true, Raw: true}} {
				_, err := client.Tasks.Logs(context.Background(), "web", opts)
				assert.ErrorIs(t, err, ErrLogsNotReadable, "%s %s %+v", apiVersion, object, opts)
			}
		}
	}
}

func TestAnEmptyLogIsJustEmpty(t *testing.T) {
	for _, object := range []string{`{"ID":"web","Spec":{"TaskTemplate":{"LogDriver":null}}}`, `{"ID":"web","Spec":{"TaskTemplate":{"LogDriver":{"Name":"json-file"}}}}`,
		`{"ID":"web","Spec":{"TaskTemplate":{"LogDriver":{"Name":"syslog","Options":{"cache-disabled":"false"}}}}}`, `gone`} {
		client, server := newLogServer(t, "1.45", inspected(object, func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Type", multiplexedType) }))
		logs, err := client.Services.Logs(context.Background(), "web", nil)
		require.NoError(t, err)
		assert.Len(t, server.seen(), 1)
		run := runEntries(t, logs)
		assert.NoError(t, run.err)
		assert.Empty(t, run.entries)
	}
}

func TestLogsRefusesBeforeSending(t *testing.T) {
	client, server := newLogServer(t, "1.45", func(http.ResponseWriter, *http.Request) {})
	for _, opts := range []LogOptions{{Tail: -2}, {Only: 3}, {Format: 3}, {MaxLine: -1}, {Raw: true, Until: time.Now()}, {UntilDone: true}, {UntilDone: true, Follow: true, Raw: true}} {
		_, err := client.Services.Logs(context.Background(), "web", &opts)
		assert.ErrorIs(t, err, ErrInvalid)
		_, err = client.Tasks.Logs(context.Background(), "task", &opts)
		assert.ErrorIs(t, err, ErrInvalid)
	}
	for _, ref := range []string{"", "..", "web/../other", "web%2Flogs/", "a\nb", strings.Repeat("x", 10_000)} {
		_, err := client.Services.Logs(context.Background(), ref, nil)
		assert.ErrorIs(t, err, ErrInvalid, "%q", ref)
	}
	assert.Empty(t, server.seen())
}

func TestAContextEndsAStream(t *testing.T) {
	for _, raw := range []bool{false, true} {
		contentType, body := multiplexedType, logFrame(1, "line\n")
		if raw {
			contentType, body = rawType, "line\n"
		}
		t.Run(contentType, func(t *testing.T) {
			left := make(chan struct{})
			client, _ := newLogServer(t, "1.45", endless(contentType, body, left))
			ctx, cancel := context.WithCancelCause(context.Background())
			defer cancel(nil)
			logs, err := client.Services.Logs(ctx, "web", &LogOptions{Follow: true, Raw: true})
			require.NoError(t, err)
			var last error
			count := 0
			for entry, err := range logs.Entries() {
				if last = err; err == nil {
					assert.Equal(t, "line\n", entry.Text+entry.End)
					cancel(errors.New("enough"))
				}
				count++
			}
			assert.Equal(t, 2, count)
			assert.ErrorIs(t, last, context.Canceled)
			assert.NotErrorIs(t, last, ErrProtocol)
			<-left
		})
	}
}

func TestADeadlineEndsACopy(t *testing.T) {
	left := make(chan struct{})
	client, _ := newLogServer(t, "1.45", endless(multiplexedType, logFrame(1, "line\n")+"\x01", left))
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	logs, err := client.Tasks.Logs(ctx, "task", &LogOptions{Follow: true, Raw: true})
	require.NoError(t, err)
	run := runCopy(logs)
	assert.ErrorIs(t, run.err, context.DeadlineExceeded)
	assert.Equal(t, "line\n", run.stdout)
	<-left
}

func TestCloseEndsACopyInAnotherGoroutine(t *testing.T) {
	for _, raw := range []bool{false, true} {
		contentType, body := multiplexedType, logFrame(1, "line\n")
		if raw {
			contentType, body = rawType, "line\n"
		}
		t.Run(contentType, func(t *testing.T) {
			left := make(chan struct{})
			client, _ := newLogServer(t, "1.45", endless(contentType, body, left))
			logs, err := client.Services.Logs(context.Background(), "web", &LogOptions{Follow: true, Raw: true})
			require.NoError(t, err)
			began, ended := make(chan struct{}, 1), make(chan error)
			go func() { ended <- logs.Copy(signalWriter(began), nil) }()
			<-began
			var closers sync.WaitGroup
			for range 4 {
				closers.Go(func() { assert.NoError(t, logs.Close()) })
			}
			assert.ErrorIs(t, <-ended, ErrClosed)
			closers.Wait()
			<-left
		})
	}
}

// signalWriter says that something was written.
type signalWriter chan<- struct{}

func (w signalWriter) Write(p []byte) (int, error) {
	select {
	case w <- struct{}{}:
	default:
	}
	return len(p), nil
}

func TestLeavingTheLoopClosesTheStream(t *testing.T) {
	for _, contentType := range []string{multiplexedType, rawType} {
		left := make(chan struct{})
		client, _ := newLogServer(t, "1.45", endless(contentType, logFrame(1, "one\n")+logFrame(1, "two\n"), left))
		logs, err := client.Services.Logs(context.Background(), "web", &LogOptions{Follow: true, Raw: true})
		require.NoError(t, err)
		for _, err := range logs.Entries() {
			require.NoError(t, err)
			break
		}
		<-left
		assert.ErrorIs(t, logs.Copy(nil, nil), ErrClosed)
	}
}

func TestAWriterThatFailsClosesTheStream(t *testing.T) {
	left := make(chan struct{})
	client, _ := newLogServer(t, "1.45", endless(multiplexedType, logFrame(1, "one\n"), left))
	logs, err := client.Services.Logs(context.Background(), "web", &LogOptions{Follow: true, Raw: true})
	require.NoError(t, err)
	assert.ErrorIs(t, logs.Copy(brokenWriter{io.ErrClosedPipe}, nil), io.ErrClosedPipe)
	<-left
}

func TestAStreamNobodyReadsCanBeClosed(t *testing.T) {
	left := make(chan struct{})
	client, _ := newLogServer(t, "1.45", endless(multiplexedType, logFrame(1, "one\n"), left))
	logs, err := client.Services.Logs(context.Background(), "web", &LogOptions{Follow: true, Raw: true})
	require.NoError(t, err)
	require.NoError(t, logs.Close())
	<-left
}

func TestAConnectionLostInTheMiddleOfALogIsAnError(t *testing.T) {
	client, _ := newLogServer(t, "1.45", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", rawType)
		_, _ = io.WriteString(w, "line\r\n")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})
	logs, err := client.Services.Logs(context.Background(), "web", nil)
	require.NoError(t, err)
	run := runCopy(logs)
	assert.Equal(t, "line\r\n", run.stdout)
	assert.ErrorIs(t, run.err, io.ErrUnexpectedEOF)
}

func TestTheOptionsOfALogMayBeUsedAgain(t *testing.T) {
	wire := logFrame(1, stamped(1, "t1", "wanted\n")) + logFrame(1, stamped(3, "t1", "too late\n"))
	client, _ := newLogServer(t, "1.45", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", multiplexedType)
		_, _ = io.WriteString(w, wire)
	})
	for _, open := range []func(*LogOptions) (*LogReader, error){
		func(opts *LogOptions) (*LogReader, error) {
			return client.Services.Logs(context.Background(), "web", opts)
		},
		func(opts *LogOptions) (*LogReader, error) {
			return NewLogReader(io.NopCloser(strings.NewReader(wire)), opts)
		},
	} {
		opts := &LogOptions{Timestamps: true, Details: true, Until: logSecond.Add(2)}
		logs, err := open(opts)
		require.NoError(t, err)
		opts.Until = time.Time{}
		entries := readEntries(t, logs)
		require.Len(t, entries, 1)
		assert.Equal(t, "wanted", entries[0].Text)
	}
}
