package swarm

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	pathpkg "path"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var quietLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)

type readCloser struct{ io.Reader }

func (readCloser) Close() error { return nil }

// rawAnswer is an HTTP answer with a JSON body.
func rawAnswer(status int, body string) string {
	return fmt.Sprintf("HTTP/1.1 %d Status\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", status, len(body), body)
}

// listenRaw serves connections on a socket until the test ends, which it then
// waits for.
func listenRaw(t *testing.T, serve func(net.Conn)) (host string) {
	t.Helper()
	listener, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	require.NoError(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				serve(conn)
			}()
		}
	}()
	t.Cleanup(func() {
		listener.Close()
		<-done
	})
	return "unix://" + listener.Addr().String()
}

// connect makes a client whose API version is pinned, so that it sends what
// the test sends and nothing else.
func connect(t *testing.T, host string, opts ...Option) *Client {
	t.Helper()
	client, err := New(append([]Option{WithHost(host), WithAPIVersion("1.45"),
		WithRetry(RetryPolicy{MinDelay: 1, MaxDelay: 2})}, opts...)...)
	require.NoError(t, err)
	t.Cleanup(func() { client.Close() })
	return client
}

// readRequest reads a whole request; nil if there is none.
func readRequest(r *bufio.Reader) *http.Request {
	request, err := http.ReadRequest(r)
	if err != nil {
		return nil
	}
	if _, err := io.Copy(io.Discard, request.Body); err != nil {
		return nil
	}
	return request
}

// rawEngine answers every request with the same bytes and closes.
func rawEngine(t *testing.T, raw string, opts ...Option) *Client {
	t.Helper()
	return connect(t, listenRaw(t, func(conn net.Conn) {
		if readRequest(bufio.NewReader(conn)) != nil {
			io.WriteString(conn, raw)
		}
	}), opts...)
}

// ask makes a call with that method: a read, or a write that nothing guards.
func (c *Client) ask(ctx context.Context, method string) error {
	call := &call{op: "test", object: "it", method: method, to: to("/things/{id}", "it")}
	if method == http.MethodGet {
		call.repeat = repeatRead
	}
	var out struct{ ID string }
	return c.do(ctx, call, &out)
}

// count of something that happens in other goroutines.
type count = atomic.Int64

// engineOf makes a client of an HTTP server.
func engineOf(t *testing.T, handler http.HandlerFunc, opts ...Option) (*Client, *countingListener) {
	t.Helper()
	e, listener := serve(t, "unix", handler)
	return connect(t, "unix://"+e.address, opts...), listener
}

// reply writes a JSON answer.
func reply(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	io.WriteString(w, body)
}

const (
	noLeader   = `{"message":"rpc error: code = Unknown desc = The swarm does not have a leader. It's possible that too few managers are online."}`
	leaderLost = `{"message":"rpc error: code = Unavailable desc = transport is closing"}`
)

func isUnknown(err error) bool {
	var unknown *OutcomeUnknownError
	return errors.As(err, &unknown)
}

// Whatever answers, the error says that it is no engine, or that it is out of
// order; a write may then have been carried out.
func TestAnswersThatAreNone(t *testing.T) {
	noLeaks(t)
	const ok = "HTTP/1.1 200 OK\r\nConnection: close\r\n"
	const object = ok + "Content-Type: application/json\r\n"
	for name, row := range map[string]struct {
		raw  string
		kind error
		sent int64 // how often a read is sent
	}{
		"nothing":                    {"", ErrUnavailable, 5},
		"part of a status line":      {"HTTP/1.1 20", ErrProtocol, 1},
		"no end of the headers":      {"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n", ErrUnavailable, 5},
		"garbage":                    {"hello engine\r\n\r\n", ErrProtocol, 1},
		"a TLS alert":                {"\x15\x03\x01\x00\x02\x02\x46", ErrProtocol, 1},
		"HTTP/2":                     {"\x00\x00\x12\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x64\r\n\r\n", ErrProtocol, 1},
		"HTTP/0.9":                   {"<html>hello</html>\r\n", ErrProtocol, 1},
		"a header without colon":     {"HTTP/1.1 200 OK\r\nhello\r\n\r\n", ErrProtocol, 1},
		"2 MiB of headers":           {"HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 2<<20) + "\r\n\r\n", ErrProtocol, 1},
		"a flood of 1xx":             {strings.Repeat("HTTP/1.1 103 Early Hints\r\nX: y\r\n\r\n", 10_000), ErrProtocol, 1},
		"switching protocols":        {"HTTP/1.1 101 Switching Protocols\r\nUpgrade: tcp\r\nConnection: Upgrade\r\n\r\n", ErrProtocol, 1},
		"two lengths":                {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", ErrProtocol, 1},
		"a negative length":          {"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", ErrProtocol, 1},
		"an unknown encoding":        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: x\r\n\r\n", ErrProtocol, 1},
		"a login page":               {ok + "Content-Type: text/html; charset=utf-8\r\n\r\n<html><form>", ErrProtocol, 1},
		"JSON called text":           {ok + "Content-Type: text/plain\r\n\r\n{}", ErrProtocol, 1},
		"no content type":            {ok + "\r\n{}", ErrProtocol, 1},
		"no content":                 {"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n", ErrProtocol, 1},
		"an empty body":              {object + "\r\n", ErrProtocol, 5},
		"null":                       {object + "\r\nnull", ErrProtocol, 1},
		"null with a length":         {object + "Content-Length: 5\r\n\r\nnull\n", ErrProtocol, 1},
		"an array":                   {object + "\r\n[]", ErrProtocol, 1},
		"a number":                   {object + "\r\n5", ErrProtocol, 1},
		"another type":               {object + "\r\n{\"ID\":5}", ErrProtocol, 1},
		"no JSON":                    {object + "\r\n{'ID':5}", ErrProtocol, 1},
		"something after the object": {object + "\r\n{\"ID\":\"x\"}x", ErrProtocol, 1},
		"two objects":                {object + "Content-Length: 4\r\n\r\n{}{}", ErrProtocol, 1},
		"deep nesting":               {object + "\r\n" + strings.Repeat("[", 1<<20), ErrProtocol, 1},
		"compressed":                 {object + "Content-Encoding: gzip\r\n\r\n\x1f\x8b\x08\x00", ErrProtocol, 1},
		"a length too long":          {object + "Content-Length: 99\r\n\r\n{\"ID\":\"x\"}", ErrProtocol, 5},
		"a length too short":         {object + "Content-Length: 5\r\n\r\n{\"ID\":\"x\"}", ErrProtocol, 1},
		"a bad chunk":                {"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}", ErrProtocol, 5},
		"a chunk cut short":          {"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n{", ErrProtocol, 5},
	} {
		t.Run(name, func(t *testing.T) {
			var requests count
			host := listenRaw(t, func(conn net.Conn) {
				if readRequest(bufio.NewReader(conn)) != nil {
					requests.Add(1)
					io.WriteString(conn, row.raw)
				}
			})
			client := connect(t, host)
			err := client.ask(t.Context(), http.MethodGet)
			assertOnly(t, row.kind, err)
			assertPlain(t, err)
			assert.False(t, isUnknown(err))
			assert.False(t, isContextError(err))
			assert.Equal(t, row.sent, requests.Load(), "%v", err)

			requests.Store(0)
			err = client.ask(t.Context(), http.MethodPost)
			assertOnly(t, row.kind, err)
			assert.True(t, isUnknown(err), "%v", err)
			assert.EqualValues(t, 1, requests.Load())
		})
	}
}

// A list or an object cut anywhere is an error; nothing of it passes for the
// whole.
func TestJSONCutAnywhereIsAnError(t *testing.T) {
	const object = `{"ID":"abc","Version":{"Index":7},"Spec":{"Name":"web \"x\"","Labels":{"a":null}}}`
	const list = "[" + object + "," + object + "]"
	var body string
	var cut int
	client, _ := engineOf(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, body[:cut])
		http.NewResponseController(w).Flush() // so that it has no length
	}, WithRetry(RetryPolicy{ReadAttempts: 1}))
	body = object
	for cut = range object {
		_, err := client.Services.Inspect(t.Context(), "web")
		assertOnly(t, ErrProtocol, err)
		assert.ErrorIs(t, err, io.ErrUnexpectedEOF, "cut at %d", cut)
	}
	body = list
	for cut = range list {
		services, err := client.Services.List(t.Context(), nil)
		assertOnly(t, ErrProtocol, err)
		assert.ErrorIs(t, err, io.ErrUnexpectedEOF, "cut at %d", cut)
		assert.Nil(t, services)
	}
	cut = len(list)
	services, err := client.Services.List(t.Context(), nil)
	require.NoError(t, err)
	assert.Len(t, services, 2)
}

// endlessly writes the same bytes until the connection is closed, 10 GB at most.
func endlessly(w io.Writer, what string) (written int64) {
	chunk := []byte(strings.Repeat(what, 64<<10/len(what)))
	for written < 10e9 {
		n, err := w.Write(chunk)
		written += int64(n)
		if err != nil {
			break
		}
	}
	return written
}

// allocated is how many bytes f makes this process allocate, what the engine of
// the test allocates included.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// Ten gigabytes of spaces, or of anything, end in an error and in bounded memory.
func TestEndlessBodiesAreCutOff(t *testing.T) {
	noLeaks(t)
	for name, row := range map[string]struct {
		head, what string
		kind       error
	}{
		"spaces":                 {"200 OK\r\nContent-Type: application/json\r\n", " ", ErrProtocol},
		"spaces with a length":   {"200 OK\r\nContent-Type: application/json\r\nContent-Length: 10000000000\r\n", " ", ErrProtocol},
		"a string":               {"200 OK\r\nContent-Type: application/json\r\n\r\n{\"ID\":\"", "x", ErrProtocol},
		"nesting":                {"200 OK\r\nContent-Type: application/json\r\n\r\n", "[", ErrProtocol},
		"objects":                {"200 OK\r\nContent-Type: application/json\r\n\r\n", "{\"ID\":\"x\"}\n", ErrProtocol},
		"HTML":                   {"200 OK\r\nContent-Type: text/html\r\n\r\n", "<p>", ErrProtocol},
		"an error's text":        {"400 Bad\r\nContent-Type: text/plain\r\n\r\n", "x", ErrInvalid},
		"an error's spaces":      {"400 Bad\r\nContent-Type: application/json\r\n\r\n", " ", ErrInvalid},
		"an error with a length": {"409 Bad\r\nContent-Type: application/json\r\nContent-Length: 10000000000\r\n", "{", ErrNameConflict},
		"an error's HTML":        {"502 Bad\r\nContent-Type: text/html\r\n\r\n", "<p>", ErrUnavailable},
		"the body of a redirect": {"302 Found\r\nLocation: /x\r\n\r\n", "x", ErrProtocol},
		"headers":                {"200 OK\r\n", "X: y\r\n", ErrProtocol},
		"1xx":                    {"100 Continue\r\n\r\n", "HTTP/1.1 102 Processing\r\n\r\n", ErrProtocol},
		"a status line":          {"", "2", ErrProtocol},
	} {
		t.Run(name, func(t *testing.T) {
			head := "HTTP/1.1 " + row.head
			if !strings.Contains(head, "\r\n\r\n") && strings.HasSuffix(head, "\r\n") && row.what != "X: y\r\n" {
				head += "\r\n"
			}
			var written count
			host := listenRaw(t, func(conn net.Conn) {
				if readRequest(bufio.NewReader(conn)) != nil {
					io.WriteString(conn, head)
					written.Add(endlessly(conn, row.what))
				}
			})
			client := connect(t, host, WithRetry(RetryPolicy{ReadAttempts: 1, WriteAttempts: 1}))
			var err error
			memory := allocated(func() { err = client.ask(t.Context(), http.MethodGet) })
			assertOnly(t, row.kind, err)
			assertPlain(t, err)
			assert.Less(t, memory, uint64(128<<20))
			memory = allocated(func() { _, err = client.Services.List(t.Context(), nil) })
			assertOnly(t, row.kind, err)
			assert.Less(t, memory, uint64(128<<20))
			client.Close()
			assert.Less(t, written.Load(), int64(64<<20), "how much of it was read")
		})
	}
}

// What is kept open after all has been said is not waited for.
func TestBodiesKeptOpenAreNotWaitedFor(t *testing.T) {
	noLeaks(t)
	release := make(chan struct{})
	var body string
	client, _ := engineOf(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, body)
		http.NewResponseController(w).Flush()
		select {
		case <-release:
		case <-r.Context().Done():
		}
	})
	t.Cleanup(func() { close(release) })
	body = `{"ID":"abc"}`
	_, err := client.Services.Inspect(t.Context(), "abc")
	assert.NoError(t, err)
	body = `[{"ID":"abc","ServiceStatus":{}}]`
	services, err := client.Services.List(t.Context(), nil)
	assert.NoError(t, err)
	assert.Len(t, services, 1)
	body = "OK"
	assert.NoError(t, client.System.Ping(t.Context()))
}

// An error's text that does not end, and nothing instead of a page, cost a few
// seconds and no more.
// In real time: on Go 1.27 net/http then waits in a way that synctest's clock
// stands still for.
func TestBodiesThatNeverComeAreGivenUp(t *testing.T) {
	for name, test := range map[string]struct {
		raw  string
		kind error
	}{
		"half a message": {"HTTP/1.1 409 Conflict\r\nContent-Type: application/json\r\n\r\n{\"message\":\"taken\"", ErrNameConflict},
		"no message":     {"HTTP/1.1 409 Conflict\r\nContent-Type: application/json\r\n\r\n", ErrNameConflict},
		"no page":        {"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n", ErrProtocol},
		"half a page":    {"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 9\r\n\r\n<", ErrProtocol},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client := connect(t, "tcp://127.0.0.1:1", WithDialer(func(context.Context, string, string) (net.Conn, error) {
				ours, theirs := net.Pipe()
				go func() {
					readRequest(bufio.NewReader(theirs))
					io.WriteString(theirs, test.raw)
					io.Copy(io.Discard, theirs) // until the client closes
					theirs.Close()
				}()
				return ours, nil
			}))
			_, err := client.Services.List(t.Context(), nil)
			assertOnly(t, test.kind, err)
			assertOnly(t, test.kind, client.ask(t.Context(), http.MethodGet))
			require.NoError(t, client.Close())
		})
	}
}

// rawEngineThen answers every request with the same bytes and does then with
// the connection.
func rawEngineThen(t *testing.T, raw string, then func(net.Conn), opts ...Option) *Client {
	t.Helper()
	return connect(t, listenRaw(t, func(conn net.Conn) {
		if readRequest(bufio.NewReader(conn)) != nil {
			io.WriteString(conn, raw)
			then(conn)
		}
	}), opts...)
}

// Redirects would carry credentials away.
func TestRedirectsAreNeverFollowed(t *testing.T) {
	var visited count
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { visited.Add(1) }))
	t.Cleanup(other.Close)
	for _, status := range []int{300, 301, 302, 303, 305, 307, 308} {
		var requests count
		redirect := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			requests.Add(1)
			w.Header().Set("Location", other.URL+r.URL.Path)
			w.WriteHeader(status)
		})
		e, _ := serve(t, "tcp", redirect)
		for _, opt := range []Option{WithUserAgent("x"), WithHTTPClient(&http.Client{})} {
			client := connect(t, "tcp://"+e.address, opt)
			for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodDelete} {
				requests.Store(0)
				call := &call{op: "test", method: method, to: to("/x"), header: http.Header{"X-Registry-Auth": {"credentials"}}}
				err := client.do(t.Context(), call, nil)
				assertOnly(t, ErrProtocol, err)
				assert.ErrorContains(t, err, "redirects are not followed")
				assert.False(t, isUnknown(err), "nothing was carried out")
				assert.EqualValues(t, 1, requests.Load())
			}
		}
	}
	assert.Zero(t, visited.Load(), "requests at the other host")
}

// A header that never comes ends with the header timeout, which is not the
// caller's deadline.
func TestHeadersThatNeverComeTimeOut(t *testing.T) {
	noLeaks(t)
	for name, drip := range map[string]func(net.Conn){
		"silence": func(conn net.Conn) { io.Copy(io.Discard, conn) },
		"drops": func(conn net.Conn) {
			for _, c := range []byte("HTTP/1.1 200 OK\r\nX-Slow: " + strings.Repeat("x", 10_000)) {
				if _, err := conn.Write([]byte{c}); err != nil {
					return
				}
				time.Sleep(time.Millisecond)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			var requests count
			client := connect(t, listenRaw(t, func(conn net.Conn) {
				if readRequest(bufio.NewReader(conn)) != nil {
					requests.Add(1)
					drip(conn)
				}
			}), WithHeaderTimeout(20*time.Millisecond), WithRetry(RetryPolicy{ReadAttempts: 2, WriteAttempts: 2, MinDelay: 1, MaxDelay: 2}))
			err := client.ask(t.Context(), http.MethodGet)
			assertOnly(t, ErrUnavailable, err)
			assert.False(t, isContextError(err), "the caller would have waited: %v", err)
			assert.EqualValues(t, 2, requests.Load())
			requests.Store(0)
			err = client.ask(t.Context(), http.MethodPost)
			assertOnly(t, ErrUnavailable, err)
			assert.True(t, isUnknown(err))
			assert.EqualValues(t, 1, requests.Load())
		})
	}
}

// What may be sent again: a table of answers by what guards the request.
func TestWhatIsSentAgain(t *testing.T) {
	hangUp := func(w http.ResponseWriter) { panic(http.ErrAbortHandler) }
	says := func(status int, body string) func(http.ResponseWriter) {
		return func(w http.ResponseWriter) { reply(w, status, body) }
	}
	for name, row := range map[string]struct {
		answer               func(http.ResponseWriter)
		read, guarded, never int64
		unknown              bool
		kind                 error
	}{
		"no leader":         {says(500, noLeader), 5, 3, 3, false, ErrNoLeader},
		"being prepared":    {says(503, `{"message":"Manager is being prepared"}`), 5, 3, 3, false, ErrUnavailable},
		"too many requests": {says(429, ``), 5, 3, 3, false, ErrUnavailable},
		"leader lost":       {says(500, leaderLost), 5, 3, 1, true, ErrUnavailable},
		"bad gateway":       {says(502, ``), 5, 3, 1, true, ErrUnavailable},
		"gateway timeout":   {says(504, ``), 5, 3, 1, true, ErrUnavailable},
		"connection lost":   {hangUp, 5, 3, 1, true, ErrUnavailable},
		"unknown 500":       {says(500, `{"message":"something new"}`), 1, 1, 1, true, nil},
		"unknown 503":       {says(503, `{"message":"something new"}`), 1, 1, 1, true, ErrUnavailable},
		"not a manager":     {says(503, `{"message":"This node is not a swarm manager. Worker nodes can't be used"}`), 1, 1, 1, false, ErrNotManager},
		"conflict":          {says(500, `{"message":"update out of sequence"}`), 1, 1, 1, false, ErrVersionConflict},
		"not found":         {says(404, `{"message":"service x not found"}`), 1, 1, 1, false, ErrNotFound},
		"garbage":           {says(200, `{`), 1, 1, 1, true, ErrProtocol},
	} {
		t.Run(name, func(t *testing.T) {
			var requests count
			client, _ := engineOf(t, func(w http.ResponseWriter, _ *http.Request) {
				requests.Add(1)
				row.answer(w)
			})
			for _, method := range []string{http.MethodPost, http.MethodDelete} {
				for guard, want := range map[repeat]int64{repeatRead: row.read, repeatGuarded: row.guarded, repeatNever: row.never} {
					requests.Store(0)
					var out struct{}
					err := client.do(t.Context(), &call{op: "test", method: method, to: to("/x"), repeat: guard,
						encode: func(agreed negotiation) (version, []byte, error) { return agreed.use, []byte("{}"), nil }}, &out)
					assertOnly(t, row.kind, err)
					assert.Equal(t, want, requests.Load(), "guard %d: %v", guard, err)
					assert.Equal(t, row.unknown && guard != repeatRead, isUnknown(err), "guard %d: %v", guard, err)
					if want > 1 {
						assert.ErrorContains(t, err, fmt.Sprintf("after %d attempts", want))
					}
				}
			}
		})
	}
}

// Success after repetitions is success, also after an answer that left it open.
func TestLeaderIsWaitedFor(t *testing.T) {
	var requests count
	client, _ := engineOf(t, func(w http.ResponseWriter, r *http.Request) {
		if n := requests.Add(1); n < 3 {
			reply(w, 500, noLeader)
			return
		}
		reply(w, 200, `{"ID":"abc"}`)
	})
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		requests.Store(0)
		require.NoError(t, client.ask(t.Context(), method))
		assert.EqualValues(t, 3, requests.Load())
	}
}

// A guarded write whose first answer was lost may be refused the second time
// because it was carried out the first time: nobody knows.
func TestRefusalAfterALostAnswerIsNoAnswer(t *testing.T) {
	var requests count
	client, _ := engineOf(t, func(w http.ResponseWriter, r *http.Request) {
		if requests.Add(1) == 1 {
			reply(w, 500, leaderLost)
			return
		}
		reply(w, 409, `{"message":"service web already exists"}`)
	})
	err := client.do(t.Context(), &call{op: "test", method: http.MethodPost, to: to("/x"), repeat: repeatGuarded}, nil)
	assert.True(t, isUnknown(err))
	assert.ErrorIs(t, err, ErrNameConflict)
	assert.EqualValues(t, 2, requests.Load())
}

// A connection that the engine closes while it is idle, or when it is used
// again, costs a read nothing, and is never a reason to send a write twice.
func TestConnectionsLostOnReuse(t *testing.T) {
	noLeaks(t)
	for name, closeBefore := range map[string]bool{"while idle": true, "with the request": false} {
		t.Run(name, func(t *testing.T) {
			var reads, writes count
			host := listenRaw(t, func(conn net.Conn) {
				r := bufio.NewReader(conn)
				for served := 0; ; served++ {
					request := readRequest(r)
					if request == nil {
						return
					}
					if request.Method == http.MethodGet {
						reads.Add(1)
					} else {
						writes.Add(1)
					}
					if served == 1 {
						conn.(*net.UnixConn).CloseRead()
						return // without an answer
					}
					io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n{\"ID\":\"x\"}")
					if closeBefore {
						return
					}
				}
			})
			client := connect(t, host)
			for range 20 {
				assert.NoError(t, client.ask(t.Context(), http.MethodGet))
			}
			for range 20 {
				before := writes.Load()
				err := client.ask(t.Context(), http.MethodPost)
				if err != nil {
					assertOnly(t, ErrUnavailable, err)
					assert.True(t, isUnknown(err))
				}
				assert.LessOrEqual(t, writes.Load()-before, int64(1), "a write was sent twice")
			}
		})
	}
}

// A list of 12 MB is never in memory as a whole.
func TestAllKeepsOneObjectAtATime(t *testing.T) {
	const services = 192
	big := `{"ID":"abc","ServiceStatus":{},"Spec":{"Name":"` + strings.Repeat("x", 64<<10) + `"}}`
	client, _ := engineOf(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, "["+big)
		for range services - 1 {
			io.WriteString(w, ","+big)
		}
		io.WriteString(w, "]")
	})
	live := func() uint64 {
		var stats runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&stats)
		return stats.HeapAlloc
	}
	before, seen := live(), 0
	for _, err := range client.Services.All(t.Context(), nil) {
		require.NoError(t, err)
		if seen++; seen%64 == 0 {
			assert.Less(t, live(), before+3<<20)
		}
	}
	assert.Equal(t, services, seen)
}

// Engines send larger answers in chunks, whose end comes after the JSON's.
func TestConnectionsAreUsedAgain(t *testing.T) {
	big := `{"ID":"abc","ServiceStatus":{},"Spec":{"Name":"` + strings.Repeat("x", 5000) + `"}}`
	client, listener := engineOf(t, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/_ping":
			io.WriteString(w, "OK")
		case r.URL.Path == "/v1.45/services":
			reply(w, 200, "["+big+"]\n")
		case r.Method == http.MethodDelete:
			reply(w, 200, "")
		case r.URL.Path == "/v1.45/services/none":
			reply(w, 404, `{"message":"service none not found"}`)
		default:
			reply(w, 200, big+"\n")
		}
	})
	for range 10 {
		_, err := client.Services.Inspect(t.Context(), "abc")
		require.NoError(t, err)
		for _, err := range client.Services.All(t.Context(), nil) {
			require.ErrorIs(t, err, nil)
			break // before its end
		}
		_, err = client.Services.Inspect(t.Context(), "none")
		require.ErrorIs(t, err, ErrNotFound)
		require.NoError(t, client.do(t.Context(), &call{op: "test", method: http.MethodDelete, to: to("/x")}, nil))
		require.NoError(t, client.System.Ping(t.Context()))
	}
	assert.EqualValues(t, 1, listener.accepted.Load(), "connections")
}

func TestRetryAfterIsBounded(t *testing.T) {
	for value, want := range map[string]time.Duration{
		"":                               0,
		"0":                              0,
		"3":                              3 * time.Second,
		"-1":                             0,
		"1000000000":                     time.Minute,
		"99999999999999999999999999":     time.Minute,
		"1e3":                            0,
		"soon":                           0,
		"Wed, 21 Oct 2015 07:28:00 GMT":  0,
		"Wed, 21 Oct 9015 07:28:00 GMT":  time.Minute,
		"Wed, 21 Oct 99999 07:28:00 GMT": 0,
	} {
		assert.Equal(t, want, time.Duration(parseRetryAfter(value)), value)
	}
}

// The engine may ask for a pause; the caller's context counts more.
func TestRetryAfterDoesNotOutlastTheCaller(t *testing.T) {
	for _, status := range []int{429, 503} {
		var requests count
		client, _ := engineOf(t, func(w http.ResponseWriter, _ *http.Request) {
			requests.Add(1)
			w.Header().Set("Retry-After", "1000000000")
			w.WriteHeader(status)
		})
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		err := client.ask(ctx, http.MethodGet)
		cancel()
		assertOnly(t, ErrUnavailable, err)
		assert.ErrorIs(t, err, context.DeadlineExceeded)
		assertPlain(t, err)
		assert.EqualValues(t, 1, requests.Load())
	}
}

func TestRepetitionsEndWithTheBudget(t *testing.T) {
	var requests count
	var well atomic.Bool
	client, _ := engineOf(t, func(w http.ResponseWriter, _ *http.Request) {
		requests.Add(1)
		if well.Load() {
			reply(w, 200, `{}`)
			return
		}
		reply(w, 500, noLeader)
	}, WithRetry(RetryPolicy{MinDelay: 1, MaxDelay: 2, Budget: 3}))
	fails := func(calls, sent int) {
		requests.Store(0)
		for range calls {
			assert.ErrorIs(t, client.ask(t.Context(), http.MethodGet), ErrNoLeader)
		}
		assert.EqualValues(t, sent, requests.Load())
	}
	fails(10, 10+3)
	well.Store(true)
	for range retryCost {
		require.NoError(t, client.ask(t.Context(), http.MethodGet))
	}
	well.Store(false)
	fails(10, 10+1)
	well.Store(true)
	for range 10 * retryCost {
		require.NoError(t, client.ask(t.Context(), http.MethodGet))
	}
	well.Store(false)
	fails(10, 10+3)
}

// A call that its caller gives up says so, whatever it was doing, and leaves
// nothing behind.
func TestCancelledCallsSayThatTheyWere(t *testing.T) {
	noLeaks(t)
	silent := func(conn net.Conn) { io.Copy(io.Discard, conn) }
	half := func(raw string) func(net.Conn) {
		return func(conn net.Conn) {
			readRequest(bufio.NewReader(conn))
			io.WriteString(conn, raw)
			silent(conn)
		}
	}
	for name, row := range map[string]struct {
		serve func(net.Conn)
		opts  []Option
		sent  bool // whether a write may have been carried out
		tls   bool
	}{
		"dialling": {nil, []Option{WithDialer(func(ctx context.Context, _, _ string) (net.Conn, error) {
			<-ctx.Done()
			return nil, errors.New("dial: operation was canceled")
		})}, false, false},
		"the handshake":     {silent, nil, false, true},
		"headers":           {half(""), nil, true, false},
		"half a header":     {half("HTTP/1.1 200 OK\r\nContent-Ty"), nil, true, false},
		"the body":          {half("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{\"ID\":"), nil, true, false},
		"a pause":           {half(rawAnswer(500, noLeader)), []Option{WithRetry(RetryPolicy{MinDelay: time.Hour, MaxDelay: 10 * time.Hour})}, false, false},
		"a pause asked for": {half("HTTP/1.1 429 Later\r\nRetry-After: 60\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"), nil, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			host := listenRaw(t, row.serve)
			if row.tls {
				l, err := net.Listen("tcp", "127.0.0.1:0")
				require.NoError(t, err)
				t.Cleanup(func() { l.Close() })
				host = "https://" + l.Addr().String()
			}
			client := connect(t, host, row.opts...)
			patience := 20 * time.Millisecond
			if row.sent {
				patience = 100 * time.Millisecond // the request has to get there
			}
			for _, method := range []string{http.MethodGet, http.MethodPost} {
				for cause, end := range map[error]func() (context.Context, context.CancelFunc){
					context.Canceled: func() (context.Context, context.CancelFunc) {
						ctx, cancel := context.WithCancel(t.Context())
						time.AfterFunc(patience, cancel)
						return ctx, cancel
					},
					context.DeadlineExceeded: func() (context.Context, context.CancelFunc) {
						return context.WithTimeout(t.Context(), patience)
					},
				} {
					ctx, cancel := end()
					err := client.ask(ctx, method)
					cancel()
					assert.ErrorIs(t, err, cause)
					assertPlain(t, err)
					assert.Equal(t, row.sent && method == http.MethodPost, isUnknown(err), "%s: %v", method, err)
				}
			}
		})
	}
}

func TestCallsOfAContextThatIsOverSendNothing(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	// A round tripper in between does not tell whether it has sent anything.
	for _, opt := range []Option{WithUserAgent("x"), WithRoundTripper(func(next http.RoundTripper) http.RoundTripper { return next })} {
		client, listener := engineOf(t, func(w http.ResponseWriter, _ *http.Request) { reply(w, 200, "{}") }, opt)
		for _, err := range []error{
			client.System.Ping(ctx), client.ask(ctx, http.MethodGet), client.ask(ctx, http.MethodPost), client.Services.Remove(ctx, "web"),
		} {
			assert.ErrorIs(t, err, context.Canceled)
			assert.False(t, isUnknown(err), "%v", err)
		}
		assert.Zero(t, listener.accepted.Load(), "connections")
	}
}

// A call without a deadline has one all the same.
func TestCallTimeoutBoundsCallsWithoutDeadline(t *testing.T) {
	noLeaks(t)
	client := rawEngineThen(t, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n[", func(conn net.Conn) { io.Copy(io.Discard, conn) },
		WithCallTimeout(30*time.Millisecond))
	assert.ErrorIs(t, client.ask(t.Context(), http.MethodGet), context.DeadlineExceeded)
	_, err := client.Services.List(t.Context(), nil)
	assert.ErrorIs(t, err, context.DeadlineExceeded)
	_, err = client.Tasks.List(t.Context(), nil)
	assert.ErrorIs(t, err, context.DeadlineExceeded)
}

func TestClosedClientsRefuseCalls(t *testing.T) {
	noLeaks(t)
	client, listener := engineOf(t, func(w http.ResponseWriter, _ *http.Request) { reply(w, 200, `{"ID":"x"}`) })
	require.NoError(t, client.ask(t.Context(), http.MethodGet))
	require.NoError(t, client.Close())
	require.NoError(t, client.Close())
	_, inspected := client.Services.Inspect(t.Context(), "web")
	_, listed := client.Services.List(t.Context(), nil)
	_, version := client.APIVersion(t.Context())
	_, lent := client.DialContext(t.Context(), "", "")
	request, err := http.NewRequest(http.MethodGet, "/info", nil)
	require.NoError(t, err)
	_, done := client.Do(request)
	for _, err := range []error{inspected, listed, version, lent, done, client.System.Ping(t.Context()), client.Services.Remove(t.Context(), "web")} {
		assertOnly(t, ErrClosed, err)
		assert.False(t, isUnknown(err))
	}
	assert.EqualValues(t, 1, listener.accepted.Load(), "connections")
}

// An observer is told of every attempt, with what a metric needs.
func TestObserverSeesEveryAttempt(t *testing.T) {
	var requests count
	var seen []Observation
	handler := func(w http.ResponseWriter, r *http.Request) {
		switch requests.Add(1) {
		case 1:
			w.Header().Set("Api-Version", "1.45")
		case 2:
			reply(w, 500, noLeader)
		case 3:
			w.WriteHeader(502)
		case 4:
			reply(w, 200, `{"ID":"abc"}`)
		}
	}
	e, _ := serve(t, "unix", http.HandlerFunc(handler))
	client, err := New(WithHost("unix://"+e.address), WithRetry(RetryPolicy{MinDelay: 1, MaxDelay: 2}),
		WithObserver(func(o Observation) { seen = append(seen, o) }))
	require.NoError(t, err)
	t.Cleanup(func() { client.Close() })
	_, err = client.Services.Inspect(t.Context(), "a b")
	require.NoError(t, err)
	require.Len(t, seen, 4)
	for i, want := range []Observation{
		{Operation: "negotiate API version", Method: "HEAD", PathTemplate: "/_ping", Attempt: 1, StatusCode: 200},
		{Operation: "inspect service", Method: "GET", PathTemplate: "/services/{id}", Attempt: 1, StatusCode: 500},
		{Operation: "inspect service", Method: "GET", PathTemplate: "/services/{id}", Attempt: 2, StatusCode: 502},
		{Operation: "inspect service", Method: "GET", PathTemplate: "/services/{id}", Attempt: 3, StatusCode: 200},
	} {
		got := seen[i]
		assert.Positive(t, got.Duration)
		assert.Equal(t, i == 1, errors.Is(got.Err, ErrNoLeader), "%v", got.Err)
		assert.Equal(t, i == 2, errors.Is(got.Err, ErrUnavailable), "%v", got.Err)
		got.Duration, got.Err = 0, nil
		assert.Equal(t, want, got)
	}
}

func TestHeadersOfTheOptionsGoWithEveryRequest(t *testing.T) {
	var seen []http.Header
	e, _ := serve(t, "unix", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen = append(seen, r.Header.Clone())
		w.Header().Set("Api-Version", "1.45")
		reply(w, 200, `{"ID":"abc"}`)
	}))
	client, err := New(WithHost("unix://"+e.address), WithHeader("X-Tenant", "a"), WithHeader("x-tenant", "b"), WithUserAgent("mine/1"))
	require.NoError(t, err)
	t.Cleanup(func() { client.Close() })
	require.NoError(t, client.ask(t.Context(), http.MethodGet))
	request, err := http.NewRequest(http.MethodPost, "/x", strings.NewReader("body"))
	require.NoError(t, err)
	request.Header.Set("User-Agent", "theirs")
	request.Header.Set("Content-Type", "text/x")
	response, err := client.Do(request)
	require.NoError(t, err)
	response.Body.Close()
	require.Len(t, seen, 3)
	for _, header := range seen {
		assert.Equal(t, []string{"a", "b"}, header["X-Tenant"])
		assert.Equal(t, []string{"mine/1"}, header["User-Agent"])
		assert.NotContains(t, header, "Accept-Encoding")
	}
	assert.Equal(t, "text/x", seen[2].Get("Content-Type"))
	assert.Equal(t, "text/x", request.Header.Get("Content-Type"))
	assert.Equal(t, "theirs", request.Header.Get("User-Agent"), "the caller's request is left alone")
}

// A raw request goes out as it is, once.
func TestDoSendsWhatItIsGiven(t *testing.T) {
	var requests []string
	status := 200
	client, _ := engineOf(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		requests = append(requests, fmt.Sprintf("%s %s %d %s", r.Method, r.RequestURI, r.ContentLength, body))
		reply(w, status, `{"message":"The swarm does not have a leader"}`)
	})
	do := func(method, target, body string) error {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), method, target, strings.NewReader(body))
		require.NoError(t, err)
		response, err := client.Do(request)
		if err == nil {
			response.Body.Close()
		}
		return err
	}
	require.NoError(t, do("POST", "http://ignored/containers/create?name=a%2Fb", "hello"))
	require.NoError(t, do("", "/containers/json?all=1", ""))
	require.NoError(t, do("GET", "/images/a%2fb/json", ""))
	assert.Equal(t, []string{
		"POST /v1.45/containers/create?name=a%2Fb 5 hello",
		"GET /v1.45/containers/json?all=1 0 ",
		"GET /v1.45/images/a%2fb/json 0 ",
	}, requests)

	requests, status = nil, 500
	assertOnly(t, ErrNoLeader, do("POST", "/x", "hello"))
	assert.Len(t, requests, 1, "a body can be read once")
	requests = nil
	assertOnly(t, ErrNoLeader, do("GET", "/x", ""))
	assert.Len(t, requests, 5)

	requests = nil
	assertOnly(t, ErrInvalid, do("GET", "containers", ""))
	_, err := client.Do(&http.Request{})
	assertOnly(t, ErrInvalid, err)
	assert.Empty(t, requests)
}

// What a query says must not get lost: a prune without its filter takes everything.
func TestDoRefusesQueriesThatCannotBeRead(t *testing.T) {
	var requests count
	client, _ := engineOf(t, func(w http.ResponseWriter, _ *http.Request) {
		requests.Add(1)
		reply(w, 200, "{}")
	})
	for _, query := range []string{`filters={"label":["a;b"]}`, "filters=50%", "a=%zz&b=1", "a;b"} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "/containers/prune?"+query, nil)
		require.NoError(t, err)
		_, err = client.Do(request)
		assertOnly(t, ErrInvalid, err)
	}
	assert.Zero(t, requests.Load())
}

// upgrading is an engine that hands the connection over, as attaching does: it
// answers a line, waits for the end of what is sent, and says so.
func upgrading(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Upgrade") == "" {
		reply(w, 200, "{}")
		return
	}
	io.Copy(io.Discard, r.Body)
	conn, buffered, _ := w.(http.Hijacker).Hijack()
	defer conn.Close()
	fmt.Fprint(conn, "HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n")
	line, _ := buffered.ReadString('\n')
	fmt.Fprint(conn, "got "+line)
	if _, err := io.Copy(io.Discard, buffered); err == nil {
		fmt.Fprint(conn, "and the end\n")
	}
}

func upgradeRequest(t *testing.T, ctx context.Context) *http.Request {
	t.Helper()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "/exec/abc/start", strings.NewReader(`{"Detach":false}`))
	require.NoError(t, err)
	request.Header.Set("Connection", "Upgrade")
	request.Header.Set("Upgrade", "tcp")
	return request
}

func TestDoSwitchesProtocolsWhenAsked(t *testing.T) {
	unix, _ := serve(t, "unix", http.HandlerFunc(upgrading))
	tcp, _ := serve(t, "tcp", http.HandlerFunc(upgrading))
	secure := httptest.NewTLSServer(http.HandlerFunc(upgrading))
	t.Cleanup(secure.Close)
	for name, client := range map[string]*Client{
		"unix":       connect(t, "unix://"+unix.address),
		"borrowed":   connect(t, "tcp://"+tcp.address, WithHTTPClient(&http.Client{})),
		"TLS":        connect(t, secure.URL, WithTLS(secure.Client().Transport.(*http.Transport).TLSClientConfig)),
		"with hooks": connect(t, "unix://"+unix.address, WithRoundTripper(func(next http.RoundTripper) http.RoundTripper { return next })),
	} {
		t.Run(name, func(t *testing.T) {
			response, err := client.Do(upgradeRequest(t, t.Context()))
			require.NoError(t, err)
			assert.Equal(t, http.StatusSwitchingProtocols, response.StatusCode)
			conn := response.Body.(interface {
				io.ReadWriteCloser
				CloseWrite() error
			})
			_, err = io.WriteString(conn, "hello\n")
			require.NoError(t, err)
			require.NoError(t, conn.CloseWrite())
			answer, err := io.ReadAll(conn)
			require.NoError(t, err)
			assert.Equal(t, "got hello\nand the end\n", string(answer))
			assert.NoError(t, client.ask(t.Context(), http.MethodGet), "others go on while the connection is open")
			assert.NoError(t, conn.Close())
			assert.NoError(t, client.ask(t.Context(), http.MethodGet))
		})
	}
}

func TestSwitchedConnectionsEndWithTheirContext(t *testing.T) {
	noLeaks(t)
	client, _ := engineOf(t, upgrading)
	ctx, cancel := context.WithCancel(t.Context())
	response, err := client.Do(upgradeRequest(t, ctx))
	require.NoError(t, err)
	defer response.Body.Close()
	time.AfterFunc(10*time.Millisecond, cancel)
	_, err = io.ReadAll(response.Body)
	assert.ErrorIs(t, err, context.Canceled)
	_, err = response.Body.(io.Writer).Write([]byte("x"))
	assert.ErrorIs(t, err, context.Canceled)
}

func TestBodiesGivenToDoAreClosed(t *testing.T) {
	client, _ := engineOf(t, func(w http.ResponseWriter, _ *http.Request) { reply(w, 200, "{}") })
	closed, cancel := context.WithCancel(t.Context())
	cancel()
	for _, ctx := range []context.Context{t.Context(), closed} {
		body := &closeCounter{Reader: strings.NewReader("x")}
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, "/x", body)
		require.NoError(t, err)
		if response, err := client.Do(request); err == nil {
			response.Body.Close()
		}
		assert.Positive(t, body.closed.Load())
	}
}

type closeCounter struct {
	io.Reader
	closed count
}

func (c *closeCounter) Close() error {
	c.closed.Add(1)
	return nil
}

// References that are several path elements, or none, never leave this side.
func TestReferencesThatAreNoneAreRefused(t *testing.T) {
	client, listener := engineOf(t, func(w http.ResponseWriter, _ *http.Request) { reply(w, 200, `{"ID":"x"}`) })
	for _, ref := range []string{"", ".", "..", "/", "a/b", "../containers/x", "web/logs", `a\b`, `..\x`, "a\x00", "a\nb", "a\r\nX: y", "\x7f",
		"\u202etxt", "a\u200bb", "\ufeff", "\xff", "\ufffd", strings.Repeat("x", 10_000)} {
		_, inspected := client.Services.Inspect(t.Context(), ref)
		_, tasks := client.Services.Tasks(t.Context(), ref)
		_, task := client.Tasks.Inspect(t.Context(), ref)
		_, logs := client.Services.Logs(t.Context(), ref, nil)
		_, rolled := client.Services.Rollback(t.Context(), ref, nil)
		for _, err := range []error{inspected, tasks, task, logs, rolled, client.Services.Remove(t.Context(), ref)} {
			assertOnly(t, ErrInvalid, err)
			assertPlain(t, err)
			assert.Less(t, len(err.Error()), 600)
		}
	}
	assert.Zero(t, listener.accepted.Load(), "connections")
}

// All others arrive as one element, however engines decode them.
func TestReferencesArriveAsOneElement(t *testing.T) {
	var raw, path string
	client, _ := engineOf(t, func(w http.ResponseWriter, r *http.Request) {
		raw, path = r.RequestURI, r.URL.Path
		reply(w, 200, `{"ID":"x"}`)
	})
	for _, ref := range []string{"web", "a b", "a%2fb", "%2e%2e", "..%2fconfigs%2fx", "%", "a?b#c", "a;b", "a+b", "é", "日本", "...", "~", "a:b@c", `"`, "<x>",
		strings.Repeat("x", maxRef)} {
		_, err := client.Services.Inspect(t.Context(), ref)
		require.NoError(t, err, ref)
		assert.Equal(t, "/v1.45/services/"+url.PathEscape(ref), raw)
		assert.Equal(t, "/v1.45/services/"+ref, path)
	}
}

func FuzzRef(f *testing.F) {
	for _, ref := range []string{"web", "a/b", "..", "a%2fb", "a\\b", "\x00", "é", "a b", "%", "?x", "#", "\u202e", strings.Repeat("a", 2000)} {
		f.Add(ref)
	}
	f.Fuzz(func(t *testing.T, ref string) {
		r := to("/services/{id}/logs", ref)
		if r.err != nil {
			assert.Empty(t, r.path)
			return
		}
		request, err := http.NewRequest(http.MethodGet, "http://engine/v1.45"+r.path+"?a=b", nil)
		require.NoError(t, err)
		var wire strings.Builder
		require.NoError(t, request.Write(&wire))
		got, err := http.ReadRequest(bufio.NewReader(strings.NewReader(wire.String())))
		require.NoError(t, err)
		assert.Equal(t, "/v1.45/services/"+ref+"/logs", got.URL.Path)
		assert.Equal(t, "a=b", got.URL.RawQuery)
		assert.Len(t, strings.Split(got.URL.EscapedPath(), "/"), 5)
		assert.Len(t, strings.Split(got.URL.Path, "/"), 5)
		assert.Equal(t, got.URL.Path, pathpkg.Clean(got.URL.Path))
	})
}
