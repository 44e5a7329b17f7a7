package swarm

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

var quietLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)

type readCloser struct{ io.Reader }

func (readCloser) Close() error { return nil }

// answer is an HTTP answer with a JSON body.
func answer(status int, body string) string {
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
