package swarm

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"time"
)

// dialFunc opens one connection to the engine, ready for HTTP: proxy and TLS
// handshakes are done.
type dialFunc func(ctx context.Context) (net.Conn, error)

// transport carries requests to one engine.
type transport struct {
	roundTripper http.RoundTripper // wrapped as the options say
	dial         dialFunc          // nil when the caller brought an HTTP client
	baseURL      string            // scheme, host and base path, without a slash at the end
	closeIdle    func()            // closes idle connections
}

const (
	// idleTimeout is how long an unused connection stays open. Programs that poll
	// every minute keep theirs.
	idleTimeout = 90 * time.Second
	// maxIdle connections stay open after a burst. There are never more of them
	// than there were requests at once.
	maxIdle    = 1024
	bufferSize = 64 << 10
	maxHeader  = 64 << 10
	fakeHost   = "localhost" // in URLs and Host headers of sockets, pipes and ssh
)

// newTransport prepares the way to an engine; nothing is dialled yet.
func newTransport(e *endpoint, c *config) (*transport, error) {
	if err := checkReach(e, c); err != nil {
		return nil, err
	}
	warnInsecure(e, c.logger)
	t := &transport{baseURL: baseURL(e)}
	if err := t.connect(e, c); err != nil {
		return nil, err
	}
	for i := len(c.wrap) - 1; i >= 0; i-- {
		if t.roundTripper = c.wrap[i](t.roundTripper); t.roundTripper == nil {
			return nil, errors.New("WithRoundTripper: the function returned nil")
		}
	}
	return t, nil
}

// connect fills in how connections are made, by scheme and options.
func (t *transport) connect(e *endpoint, c *config) error {
	switch {
	case c.httpClient != nil:
		t.borrow(c.httpClient, c.headerTimeout)
	case c.dial != nil:
		t.use(c, dialerOf(e, c, customDial(e, c)))
	case e.scheme == "unix":
		t.use(c, dialerOf(e, c, unixDial(e)))
	case e.scheme == "npipe":
		t.use(c, dialerOf(e, c, pipeDial(e)))
	case e.scheme == "ssh":
		ssh, err := newSSHDialer(e, c)
		if err != nil {
			return err
		}
		t.use(c, ssh.dial)
		closeIdle := t.closeIdle
		t.closeIdle = func() {
			closeIdle()
			ssh.waitClosing()
		}
	default:
		return t.connectTCP(e, c)
	}
	return nil
}

// connectTCP reaches an engine directly or through a proxy of the environment.
func (t *transport) connectTCP(e *endpoint, c *config) error {
	proxy, err := proxyFor(e, c.environ.getenv)
	switch {
	case err != nil:
		return err
	case proxy == nil:
		t.use(c, dialerOf(e, c, tcpDial(e)))
	default:
		t.throughProxy(e, c, proxy)
	}
	return nil
}

// throughProxy has the proxy make a tunnel. Only plain HTTP goes through an HTTP
// proxy as ordinary requests, because proxies seldom allow tunnels to port 2375.
func (t *transport) throughProxy(e *endpoint, c *config, proxy *envProxy) {
	tunnel := dialerOf(e, c, proxy.tunnel)
	if e.tls != nil || proxy.isSOCKS() {
		t.use(c, tunnel)
		return
	}
	pool := t.use(c, dialerOf(e, c, proxy.dial))
	pool.Proxy = http.ProxyURL(proxy.url)
	t.dial = tunnel
}

// use makes dial the way to the engine.
func (t *transport) use(c *config, dial dialFunc) *http.Transport {
	g := &gate{dial: dial}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	pool := &http.Transport{
		DialContext:            g.dialContext,
		DialTLSContext:         g.dialContext,
		Protocols:              protocols,
		DisableCompression:     true,
		MaxIdleConnsPerHost:    maxIdle,
		IdleConnTimeout:        idleTimeout,
		ResponseHeaderTimeout:  c.headerTimeout,
		MaxResponseHeaderBytes: maxHeader,
		ReadBufferSize:         bufferSize,
		WriteBufferSize:        bufferSize,
	}
	g.next = pool
	t.roundTripper, t.dial, t.closeIdle = g, dial, pool.CloseIdleConnections
	return pool
}

// borrow sends requests through the caller's client, whose transport need not give
// up on answers that never begin.
func (t *transport) borrow(client *http.Client, headerTimeout time.Duration) {
	borrowed := client.Transport
	if borrowed == nil {
		borrowed = http.DefaultTransport
		if standard, ok := http.DefaultTransport.(*http.Transport); ok {
			borrowed = standard.Clone()
		}
	}
	t.roundTripper = &headerLimit{next: borrowed, limit: headerTimeout}
	t.closeIdle = (&http.Client{Transport: borrowed}).CloseIdleConnections
}

// headerLimit bounds the time from sending a request to its answer, as
// http.Transport does when it is told to.
type headerLimit struct {
	next  http.RoundTripper
	limit time.Duration
}

var errNoHeaders = &answerTimeout{errors.New("timeout awaiting response headers")}

// RoundTrip begins to count when the request has been sent. A transport that does
// not tell is taken for having sent it at once, unless the body may take its time.
func (h *headerLimit) RoundTrip(request *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancel(request.Context())
	var decided atomic.Bool // by the answer, or by the clock
	clock := time.AfterFunc(h.limit, func() {
		if decided.CompareAndSwap(false, true) {
			cancel()
		}
	})
	if request.Body != nil && request.GetBody == nil {
		clock.Stop()
	}
	sent := httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn:      func(string) { clock.Stop() },
		WroteRequest: func(httptrace.WroteRequestInfo) { clock.Reset(h.limit) },
	})
	response, err := h.next.RoundTrip(request.WithContext(sent))
	clock.Stop()
	switch {
	case !decided.CompareAndSwap(false, true):
		if err == nil {
			response.Body.Close()
		}
		return nil, errNoHeaders
	case err != nil:
		cancel()
		return nil, err
	}
	response.Request = request
	response.Body = watch(request.Context(), response.Body, cancel)
	return response, nil
}

// checkReach refuses options that do not go together or with the host, rather
// than leave one of them without effect.
func checkReach(e *endpoint, c *config) error {
	switch {
	case c.insecure && e.tls == nil:
		return errors.New("WithInsecureSkipVerify: the host is reached without TLS, there is nothing to verify")
	case c.dial != nil && e.scheme == "ssh":
		return errors.New("WithDialer: cannot be combined with an ssh host")
	case c.httpClient != nil:
		return checkBorrowed(e, c)
	}
	return nil
}

func checkBorrowed(e *endpoint, c *config) error {
	switch {
	case !isNetwork(e):
		return fmt.Errorf("WithHTTPClient: cannot be combined with a %s host", e.scheme)
	case c.dial != nil:
		return errors.New("WithHTTPClient: cannot be combined with WithDialer")
	case c.boundsDials:
		return errors.New("WithHTTPClient: cannot be combined with WithDialTimeout: the client's Transport dials")
	case c.tls != nil:
		return errors.New("WithHTTPClient: cannot be combined with WithTLS")
	case c.insecure:
		return errors.New("WithHTTPClient: cannot be combined with WithInsecureSkipVerify")
	case e.tls != nil && (len(e.tls.Certificates) > 0 || e.tls.GetClientCertificate != nil || e.tls.RootCAs != nil):
		return fmt.Errorf("WithHTTPClient: would leave the certificates of %s unused; put them into the client's Transport", e.source)
	}
	return nil
}

// isNetwork tells hosts on a network, with TLS and proxies, from sockets, pipes and ssh.
func isNetwork(e *endpoint) bool {
	return e.scheme == "tcp" || e.scheme == "http" || e.scheme == "https"
}

// warnInsecure says what an eavesdropper could use.
func warnInsecure(e *endpoint, logger *slog.Logger) {
	switch {
	case !isNetwork(e):
	case e.tls == nil && !isLoopback(e.address):
		logger.Warn("swarm: connections to the engine are not encrypted", "host", e.address, "source", e.source)
	case e.tls != nil && e.tls.InsecureSkipVerify:
		logger.Warn("swarm: the engine's certificate is not verified", "host", e.address, "source", e.source)
	}
}

func isLoopback(address string) bool {
	host, _, _ := net.SplitHostPort(address)
	ip, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || err == nil && ip.IsLoopback()
}

func baseURL(e *endpoint) string {
	u := url.URL{Scheme: "http", Host: fakeHost}
	if e.tls != nil {
		u.Scheme = "https"
	}
	if !isNetwork(e) {
		return u.String()
	}
	u.Host = e.address
	return u.String() + e.path // which needs no escaping: host.go refuses what would
}

// dialerOf makes a dialFunc of what opens a raw connection: with TLS, if the
// engine wants it, and all of it within the dial timeout.
func dialerOf(e *endpoint, c *config, raw dialFunc) dialFunc {
	return within(c.dialTimeout, engineAddr(e), func(ctx context.Context) (net.Conn, error) {
		conn, err := raw(ctx)
		if err != nil || e.tls == nil {
			return conn, err
		}
		return handshake(ctx, conn, e.tls)
	})
}

// handshake makes a TLS connection of a raw one, for HTTP/1.1 and nothing else.
func handshake(ctx context.Context, raw net.Conn, config *tls.Config) (net.Conn, error) {
	config = config.Clone()
	config.NextProtos = []string{"http/1.1"}
	conn := tls.Client(raw, config)
	if err := conn.HandshakeContext(ctx); err != nil {
		raw.Close()
		return nil, err
	}
	return conn, nil
}

func tcpDial(e *endpoint) dialFunc {
	return func(ctx context.Context) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", e.address)
	}
}

func customDial(e *endpoint, c *config) dialFunc {
	network := engineAddr(e).Network()
	return func(ctx context.Context) (net.Conn, error) {
		conn, err := c.dial(ctx, network, e.address)
		if err == nil && conn == nil {
			return nil, errors.New("the function given to WithDialer returned neither a connection nor an error")
		}
		return conn, err
	}
}

// within bounds a dial, and makes its errors say what was dialled and who ran
// out of time: a context error is the caller's, anything else is not.
func within(limit time.Duration, addr net.Addr, dial dialFunc) dialFunc {
	return func(ctx context.Context) (net.Conn, error) {
		bounded, cancel := context.WithTimeout(ctx, limit)
		defer cancel()
		conn, err := dial(bounded)
		if err == nil {
			return conn, nil
		}
		timedOut := bounded.Err() != nil || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded)
		switch deadline, ok := ctx.Deadline(); {
		case ctx.Err() != nil:
			err = ctx.Err()
		case timedOut && ok && !time.Now().Before(deadline):
			err = context.DeadlineExceeded // the network's timer can be faster than the context's
		case timedOut:
			err = newDialTimeout(limit, err)
		}
		return nil, dialError(addr, err)
	}
}

// dialError makes sure that an error says that it comes from dialling.
func dialError(addr net.Addr, err error) error {
	if op, ok := err.(*net.OpError); ok && op.Op == "dial" {
		return err
	}
	return &net.OpError{Op: "dial", Net: addr.Network(), Addr: addr, Err: err}
}

// dialTimeout is a dial that took too long, while its caller would have waited.
// It is therefore not [context.DeadlineExceeded].
type dialTimeout struct {
	limit  time.Duration
	detail string
}

func newDialTimeout(limit time.Duration, err error) *dialTimeout {
	var failed *sshError
	if errors.As(err, &failed) {
		return &dialTimeout{limit, failed.stderr}
	}
	return &dialTimeout{limit: limit}
}

func (e *dialTimeout) Error() string {
	return fmt.Sprintf("no connection after %v%s", e.limit, prefixed(": ", e.detail))
}

func (*dialTimeout) Timeout() bool { return true }

// nameAddr is the address of something that has no address of net's own.
type nameAddr struct{ network, name string }

func (a nameAddr) Network() string { return a.network }
func (a nameAddr) String() string  { return a.name }

func engineAddr(e *endpoint) net.Addr {
	if isNetwork(e) {
		return nameAddr{"tcp", e.address}
	}
	return nameAddr{e.scheme, e.address}
}
