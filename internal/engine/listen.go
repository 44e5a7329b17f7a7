package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"syscall"
)

// Server takes connections for a daemon: in memory always, at sockets where it
// is told to listen.
type Server struct {
	handler http.Handler

	mu sync.Mutex
	// shift is nil while the server is stopped, and past are the shifts that were.
	shift *shift
	past  []*shift
	// hosts are where it listens, unix:///… or tcp://127.0.0.1:….
	hosts []string
}

// shift is a server from its opening to its closing.
type shift struct {
	http   *http.Server
	memory *pipeListener
	// end ends the streams.
	end func()
	// accepting and serving are the goroutines of listeners and connections, and
	// answering those whose requests are being answered.
	accepting, serving, answering sync.WaitGroup

	mu sync.Mutex
	// open are the connections there are, also those that were taken from the HTTP
	// server.
	open map[net.Conn]bool
}

func newServer(handler http.Handler) *Server {
	s := &Server{handler: handler}
	s.shift = s.newShift()
	return s
}

func (s *Server) newShift() *shift {
	ctx, end := context.WithCancel(context.Background())
	shift := &shift{memory: newPipeListener(), end: end, open: map[net.Conn]bool{}}
	shift.http = &http.Server{
		Handler:     shift.answer(s.handler),
		BaseContext: func(net.Listener) context.Context { return ctx },
		ConnState:   shift.count,
		ErrorLog:    log.New(io.Discard, "", 0),
	}
	shift.accept(shift.memory)
	return shift
}

// answer counts the requests that are being answered: the connection of one may be
// taken from the HTTP server, which then does not tell of its end.
func (s *shift) answer(handler http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.answering.Add(1)
		defer s.answering.Done()
		handler.ServeHTTP(w, r)
	})
}

// count keeps the connections.
func (s *shift) count(conn net.Conn, state http.ConnState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch state {
	case http.StateNew:
		s.serving.Add(1)
		s.open[conn] = true
	case http.StateHijacked:
		s.serving.Done()
	case http.StateClosed:
		s.serving.Done()
		delete(s.open, conn)
	}
}

// cut closes the connections there are, whatever they are used for.
func (s *shift) cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for conn := range s.open {
		_ = conn.Close()
	}
}

func (s *shift) accept(listener net.Listener) {
	s.accepting.Go(func() { _ = s.http.Serve(listener) })
}

// stop ends all connections.
func (s *shift) stop() {
	s.end()
	_ = s.http.Close()
	s.accepting.Wait()
	_ = s.http.Close() // those that were accepted meanwhile
	s.cut()
}

// wait waits until nothing is left of the connections of a shift that has stopped.
func (s *shift) wait() {
	s.accepting.Wait()
	s.serving.Wait()
	s.answering.Wait()
}

// DialContext connects to the daemon in memory, whatever the address. A server
// that is stopped refuses.
func (s *Server) DialContext(ctx context.Context, _, _ string) (net.Conn, error) {
	s.mu.Lock()
	shift := s.shift
	s.mu.Unlock()
	if shift == nil {
		return nil, refused()
	}
	return shift.memory.dial(ctx)
}

func refused() error {
	return &net.OpError{Op: "dial", Net: "memory", Err: syscall.ECONNREFUSED}
}

// Listen makes the server listen at a socket too: unix:///path, or
// tcp://127.0.0.1:2375, where port 0 is any. Anything that others could reach is
// refused. It returns the host with its port.
func (s *Server) Listen(host string) (string, error) {
	network, address, err := localAddress(host)
	if err != nil {
		return "", err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.shift == nil {
		return "", errors.New("the node is stopped")
	}
	listener, err := net.Listen(network, address)
	if err != nil {
		return "", err
	}
	if network == "tcp" {
		host = "tcp://" + listener.Addr().String()
	}
	s.hosts = append(s.hosts, host)
	s.shift.accept(listener)
	return host, nil
}

// Host is where the server first listened, empty if it did not.
func (s *Server) Host() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.hosts) == 0 {
		return ""
	}
	return s.hosts[0]
}

// Cut cuts the connections there are. New ones are taken.
func (s *Server) Cut() {
	s.mu.Lock()
	shift := s.shift
	s.mu.Unlock()
	if shift != nil {
		shift.cut()
	}
}

// Stop ends all connections, and listens no more. It does not wait for requests
// that are being answered: that of who calls it may be one of them.
func (s *Server) Stop() {
	s.mu.Lock()
	shift := s.shift
	s.shift = nil
	if shift != nil {
		s.past = append(s.past, shift)
	}
	s.mu.Unlock()
	if shift != nil {
		shift.stop()
	}
}

// Close is Stop, and waits until nothing is left of all that was ever connected.
func (s *Server) Close() {
	s.Stop()
	s.mu.Lock()
	past := s.past
	s.past = nil
	s.mu.Unlock()
	for _, shift := range past {
		shift.wait()
	}
}

// Open undoes Stop: the server listens where it did.
func (s *Server) Open() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.shift != nil {
		return nil
	}
	shift := s.newShift()
	for _, host := range s.hosts {
		network, address, err := localAddress(host)
		if err != nil {
			return err
		}
		listener, err := net.Listen(network, address)
		if err != nil {
			shift.stop()
			return err
		}
		shift.accept(listener)
	}
	s.shift = shift
	return nil
}

// localAddress takes a host apart that nobody but this machine can reach.
func localAddress(host string) (network, address string, err error) {
	scheme, address, _ := strings.Cut(host, "://")
	switch scheme {
	case "unix":
		if !strings.HasPrefix(address, "/") {
			return "", "", fmt.Errorf("%q: a socket needs an absolute path", host)
		}
		return "unix", address, nil
	case "tcp":
		name, _, err := net.SplitHostPort(address)
		if err != nil {
			return "", "", fmt.Errorf("%q: %w", host, err)
		}
		ip, err := netip.ParseAddr(name)
		if name != "localhost" && (err != nil || !ip.IsLoopback()) {
			return "", "", fmt.Errorf("%q: the embedded engine asks nobody who they are, so it listens on the loopback alone, as at tcp://127.0.0.1:0", host)
		}
		return "tcp", address, nil
	}
	return "", "", fmt.Errorf("%q: the embedded engine listens at unix:///path or tcp://127.0.0.1:port", host)
}

// pipeListener accepts connections that are made in memory. They use nothing of
// the system, so that goroutines that wait for them are idle to testing/synctest.
type pipeListener struct {
	conns chan net.Conn
	done  chan struct{}
	close func()
}

func newPipeListener() *pipeListener {
	l := &pipeListener{conns: make(chan net.Conn), done: make(chan struct{})}
	l.close = sync.OnceFunc(func() { close(l.done) })
	return l
}

func (l *pipeListener) dial(ctx context.Context) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case l.conns <- server:
		return client, nil
	case <-l.done:
		return nil, refused()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Accept waits for a connection.
func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.conns:
		return conn, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// Close makes Accept and dial fail.
func (l *pipeListener) Close() error {
	l.close()
	return nil
}

// Addr is that of a connection in memory.
func (l *pipeListener) Addr() net.Addr { return pipeAddr{} }

type pipeAddr struct{}

func (pipeAddr) Network() string { return "memory" }
func (pipeAddr) String() string  { return "memory" }
