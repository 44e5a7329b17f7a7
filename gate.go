package swarm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
)

// gate keeps http.Transport from dialling more connections than there are
// requests. By itself the transport dials for every request that finds no idle
// connection, even while the dials of earlier requests, meanwhile served by
// others' connections, are still under way: the slower the dial, the more of
// them. Over ssh each would be a process.
//
// A dial waits here as long as there are as many connections as requests. That
// ends: if a request has no connection then one connection has no request, so
// it is idle and given to the request, or it closes and the dial goes on.
type gate struct {
	next http.RoundTripper
	dial dialFunc

	mu       sync.Mutex
	requests int           // on their way or with bodies still being read
	conns    int           // open or being dialled
	changed  chan struct{} // closed when a dial may go on; nil if none waits
}

// A request's context carries another one to its dial, which ends with one of
// these when the transport is done with the request.
type gateKey struct{}

var (
	errServed = errors.New("the request was served by another connection")
	errFailed = errors.New("the request has failed")
)

// RoundTrip sends a request and counts it until its answer has been read.
func (g *gate) RoundTrip(request *http.Request) (*http.Response, error) {
	over, end := context.WithCancelCause(context.Background())
	ctx := context.WithValue(request.Context(), gateKey{}, over)
	g.enter()
	response, err := g.next.RoundTrip(request.WithContext(ctx))
	if err != nil {
		end(errFailed)
		g.leave()
		return nil, err
	}
	end(errServed)
	response.Request = request
	response.Body = watch(request.Context(), response.Body, g.leave)
	return response, nil
}

// dialContext is for http.Transport.
func (g *gate) dialContext(ctx context.Context, _, _ string) (net.Conn, error) {
	over := ctx.Value(gateKey{}).(context.Context)
	if err := g.admit(over); err != nil {
		return nil, err
	}
	// A dial whose request has been served elsewhere goes on, its connection will
	// be of use; one whose request has failed must not outlive it.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(over, func() {
		if context.Cause(over) == errFailed {
			cancel()
		}
	})
	defer stop()
	conn, err := g.dial(ctx)
	if err != nil {
		g.release()
		return nil, err
	}
	return &gatedConn{Conn: conn, release: sync.OnceFunc(g.release)}, nil
}

// admit waits until there are fewer connections than requests.
func (g *gate) admit(over context.Context) error {
	for {
		changed := g.take()
		if changed == nil {
			return nil
		}
		select {
		case <-changed:
		case <-over.Done():
			return context.Cause(over)
		}
	}
}

// take counts a new connection, or returns what to wait for.
func (g *gate) take() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.conns < g.requests {
		g.conns++
		return nil
	}
	if g.changed == nil {
		g.changed = make(chan struct{})
	}
	return g.changed
}

func (g *gate) enter()   { g.count(1, 0) }
func (g *gate) leave()   { g.count(-1, 0) }
func (g *gate) release() { g.count(0, -1) }

func (g *gate) count(requests, conns int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.requests += requests
	g.conns += conns
	if g.changed != nil && g.conns < g.requests {
		close(g.changed)
		g.changed = nil
	}
}

// watch calls leave when a body has been read or closed; that of an answer that
// switched protocols when it is closed, which the context does as well.
func watch(ctx context.Context, body io.ReadCloser, leave func()) io.ReadCloser {
	if body == http.NoBody {
		leave()
		return body
	}
	leave = sync.OnceFunc(leave)
	upgraded, ok := body.(io.ReadWriteCloser)
	if !ok {
		return &watchedBody{body, leave}
	}
	stop := context.AfterFunc(ctx, func() { upgraded.Close() }) // net/http leaves it to its user
	return &watchedUpgrade{ReadWriteCloser: upgraded, leave: leave, stop: stop, ended: ctx.Err}
}

type watchedBody struct {
	io.ReadCloser
	leave func()
}

func (b *watchedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		b.leave()
	}
	return n, err
}

func (b *watchedBody) Close() error {
	defer b.leave()
	return b.ReadCloser.Close()
}

// watchedUpgrade is the body of an answer that switched protocols. Its end need not
// be the end of what is sent.
type watchedUpgrade struct {
	io.ReadWriteCloser
	leave func()
	stop  func() bool  // the context's hold on it
	ended func() error // why the context has closed it
}

func (b *watchedUpgrade) Read(p []byte) (int, error) {
	n, err := b.ReadWriteCloser.Read(p)
	return n, b.why(err)
}

func (b *watchedUpgrade) Write(p []byte) (int, error) {
	n, err := b.ReadWriteCloser.Write(p)
	return n, b.why(err)
}

func (b *watchedUpgrade) why(err error) error {
	if ended := b.ended(); err != nil && ended != nil {
		return ended
	}
	return err
}

// CloseWrite ends what is sent, as the end of a standard input does.
func (b *watchedUpgrade) CloseWrite() error { return closeWrite(b.ReadWriteCloser) }

func (b *watchedUpgrade) Close() error {
	b.stop()
	defer b.leave()
	return b.ReadWriteCloser.Close()
}

type gatedConn struct {
	net.Conn
	release func()
}

// CloseWrite is for connections that switch protocols.
func (c *gatedConn) CloseWrite() error { return closeWrite(c.Conn) }

// closeWrite closes one direction of a connection, if it can be.
func closeWrite(conn any) error {
	if c, ok := conn.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return fmt.Errorf("close one direction of a connection: %w", errors.ErrUnsupported)
}

func (c *gatedConn) Close() error {
	defer c.release()
	return c.Conn.Close()
}
