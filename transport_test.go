package swarm

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

// testConfig is a configuration whose environment holds only what is given.
func testConfig(env map[string]string) *config {
	c := defaultConfig()
	c.environ.getenv = func(name string) string { return env[name] }
	return c
}

// noLeaks fails a test that leaves goroutines behind, after its other cleanups.
func noLeaks(t *testing.T) {
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, before) })
}

// countingListener counts the connections that clients open to a test server.
type countingListener struct {
	net.Listener
	accepted atomic.Int64
}

func (l *countingListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err == nil {
		l.accepted.Add(1)
	}
	return conn, err
}

// serve starts an HTTP server on a socket of its own and tells how to reach it.
func serve(t *testing.T, network string, handler http.Handler) (*endpoint, *countingListener) {
	t.Helper()
	address := "127.0.0.1:0"
	if network == "unix" {
		address = filepath.Join(t.TempDir(), "engine.sock")
	}
	l, err := net.Listen(network, address)
	require.NoError(t, err)
	listener := &countingListener{Listener: l}
	server := &http.Server{Handler: handler}
	go server.Serve(listener)
	t.Cleanup(func() { server.Close() })
	return &endpoint{scheme: network, address: listener.Addr().String()}, listener
}

func serveTLS(t *testing.T, handler http.Handler, cfg *tls.Config) *endpoint {
	t.Helper()
	server := httptest.NewUnstartedServer(handler)
	server.TLS = cfg
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	server.StartTLS()
	t.Cleanup(server.Close)
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	return &endpoint{scheme: "https", address: server.Listener.Addr().String(),
		tls: &tls.Config{RootCAs: roots, ServerName: "example.com", MinVersion: tls.VersionTLS12}}
}

func open(t *testing.T, e *endpoint, c *config) *transport {
	t.Helper()
	tr, err := newTransport(e, c)
	require.NoError(t, err)
	t.Cleanup(tr.closeIdle)
	return tr
}

// get makes a request and returns the answer's body.
func (t *transport) get(ctx context.Context, path string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, t.baseURL+path, nil)
	if err != nil {
		return "", err
	}
	response, err := t.roundTripper.RoundTrip(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return string(body), err
}

func echoURL(w http.ResponseWriter, r *http.Request) {
	fmt.Fprintf(w, "%s %s %s", r.Proto, r.Host, r.URL)
}

func TestRequestsReachTheEngineOverEveryNetwork(t *testing.T) {
	for _, network := range []string{"unix", "tcp"} {
		t.Run(network, func(t *testing.T) {
			noLeaks(t)
			e, _ := serve(t, network, http.HandlerFunc(echoURL))
			tr := open(t, e, testConfig(nil))
			host := "localhost"
			if network == "tcp" {
				host = e.address
			}
			body, err := tr.get(t.Context(), "/v1.45/info")
			require.NoError(t, err)
			assert.Equal(t, "HTTP/1.1 "+host+" /v1.45/info", body)
		})
	}
}

func TestRequestsHaveAValidURLForEveryHost(t *testing.T) {
	for host, want := range map[string]string{
		"unix:///run/my docker.sock":        "http://localhost",
		"ssh://me@engine/run/docker.sock":   "http://localhost",
		"tcp://engine":                      "http://engine:2375",
		"http://10.0.0.1:80/a(b)!/":         "http://10.0.0.1:80/a(b)!",
		"https://[::1]":                     "https://[::1]:443",
		"tcp://[fe80::1%25eth0]:2375/proxy": "http://[fe80::1%25eth0]:2375/proxy",
	} {
		client, err := New(WithHost(host))
		require.NoError(t, err, host)
		assert.Equal(t, want, client.transport.baseURL)
		_, err = http.NewRequest(http.MethodGet, client.transport.baseURL+"/x", nil)
		assert.NoError(t, err)
	}
}

func TestBasePathComesBeforeEveryRequest(t *testing.T) {
	e, _ := serve(t, "tcp", http.HandlerFunc(echoURL))
	e.path = "/docker"
	body, err := open(t, e, testConfig(nil)).get(t.Context(), "/_ping")
	require.NoError(t, err)
	assert.Contains(t, body, " /docker/_ping")
}

func TestTLSIsVerifiedAndNeverOld(t *testing.T) {
	e := serveTLS(t, http.HandlerFunc(echoURL), nil)
	body, err := open(t, e, testConfig(nil)).get(t.Context(), "/x")
	require.NoError(t, err)
	assert.Contains(t, body, "HTTP/1.1", "HTTP/2 is not spoken")

	unknown := *e
	unknown.tls = &tls.Config{ServerName: "example.com"}
	_, err = open(t, &unknown, testConfig(nil)).get(t.Context(), "/x")
	assert.ErrorAs(t, err, new(x509.UnknownAuthorityError), "the system's roots count where no others are named")

	old := serveTLS(t, http.HandlerFunc(echoURL), &tls.Config{MaxVersion: tls.VersionTLS11})
	_, err = open(t, old, testConfig(nil)).get(t.Context(), "/x")
	assert.ErrorContains(t, err, "protocol version")
}

func TestClientCertificatesAreShown(t *testing.T) {
	pair := httptest.NewUnstartedServer(nil)
	pair.StartTLS()
	pair.Close()
	certificate := pair.TLS.Certificates[0]
	e := serveTLS(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, len(r.TLS.PeerCertificates))
	}), &tls.Config{ClientAuth: tls.RequireAnyClientCert})
	e.tls.Certificates = []tls.Certificate{certificate}
	body, err := open(t, e, testConfig(nil)).get(t.Context(), "/x")
	require.NoError(t, err)
	assert.Equal(t, "1", body)
}

// hammer makes many requests from as many goroutines as said.
func hammer(t *testing.T, tr *transport, goroutines, each int) {
	var wg sync.WaitGroup
	for range goroutines {
		wg.Go(func() {
			for range each {
				if _, err := tr.get(t.Context(), "/x"); !assert.NoError(t, err) {
					return
				}
			}
		})
	}
	wg.Wait()
}

// openConns counts the connections that a client has open. It counts none that
// was replaced: net/http drops one if, on a busy machine, it does not hear
// within 50 ms from its own goroutine that the request has been written.
type openConns struct {
	delay time.Duration // of a dial

	mu            sync.Mutex
	open, most, n int
}

func (o *openConns) dial(ctx context.Context, network, address string) (net.Conn, error) {
	o.count(1)
	time.Sleep(o.delay)
	conn, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		o.count(-1)
		return nil, err
	}
	return &gatedConn{Conn: conn, release: sync.OnceFunc(func() { o.count(-1) })}, nil
}

func (o *openConns) count(change int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.n += max(change, 0)
	o.open += change
	o.most = max(o.most, o.open)
}

func TestNoMoreConnectionsThanConcurrentRequests(t *testing.T) {
	for _, network := range []string{"unix", "tcp"} {
		t.Run(network, func(t *testing.T) {
			e, _ := serve(t, network, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Write(bytes.Repeat([]byte("x"), 10_000)) // too long for a Content-Length: chunked
			}))
			var conns openConns
			c := testConfig(nil)
			c.dial = conns.dial
			hammer(t, open(t, e, c), 64, 100/OneIn)
			assert.LessOrEqual(t, conns.most, 64)
		})
	}
}

// readSizes remembers the longest read that was asked of a connection.
type readSizes struct {
	net.Conn
	longest *atomic.Int64
}

func (c readSizes) Read(p []byte) (int, error) {
	c.longest.Store(max(c.longest.Load(), int64(len(p))))
	return c.Conn.Read(p)
}

func TestAnswersAreReadInLargePieces(t *testing.T) {
	e, _ := serve(t, "tcp", http.HandlerFunc(echoURL))
	var longest atomic.Int64
	c := testConfig(nil)
	c.dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, address)
		return readSizes{conn, &longest}, err
	}
	_, err := open(t, e, c).get(t.Context(), "/x")
	require.NoError(t, err)
	assert.EqualValues(t, 64<<10, longest.Load())
}

func TestSlowDialsAreNotMadeTwice(t *testing.T) {
	e, _ := serve(t, "tcp", http.HandlerFunc(echoURL))
	conns := openConns{delay: 100 * time.Millisecond}
	c := testConfig(nil)
	c.dial = conns.dial
	hammer(t, open(t, e, c), 16, 200)
	assert.LessOrEqual(t, conns.most, 16)
}

func TestOpenStreamsDoNotHoldUpRequests(t *testing.T) {
	e, _ := serve(t, "unix", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusOK)
		w.(http.Flusher).Flush()
		if r.URL.Path == "/stream" {
			<-r.Context().Done()
		}
	}))
	tr := open(t, e, testConfig(nil))
	for range 20 {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, tr.baseURL+"/stream", nil)
		require.NoError(t, err)
		response, err := tr.roundTripper.RoundTrip(request)
		require.NoError(t, err)
		defer response.Body.Close()
	}
	hammer(t, tr, 8, 20)
}

func TestBrokenConnectionsAreReplaced(t *testing.T) {
	e, _ := serve(t, "unix", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Connection", "close")
		if r.URL.Path == "/cut" {
			panic(http.ErrAbortHandler)
		}
	}))
	tr := open(t, e, testConfig(nil))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range 40 {
				_, err := tr.get(t.Context(), []string{"/x", "/cut"}[i%2])
				assert.Equal(t, i%2 == 1, err != nil, err)
			}
		})
	}
	wg.Wait()
}

func TestDialEndsWithItsRequest(t *testing.T) {
	e, _ := serve(t, "tcp", http.HandlerFunc(echoURL))
	c := testConfig(nil)
	ended := make(chan struct{})
	c.dial = func(ctx context.Context, _, _ string) (net.Conn, error) {
		<-ctx.Done()
		close(ended)
		return nil, ctx.Err()
	}
	c.dialTimeout = time.Hour
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err := open(t, e, c).get(ctx, "/x")
	assert.ErrorIs(t, err, context.DeadlineExceeded)
	<-ended
}

func TestDialTimeoutCoversTheHandshakeAndIsNotTheCallers(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0") // accepts, says nothing
	require.NoError(t, err)
	defer silent.Close()
	c := testConfig(nil)
	c.dialTimeout = 30 * time.Millisecond
	tr := open(t, &endpoint{scheme: "https", address: silent.Addr().String(), tls: &tls.Config{ServerName: "engine"}}, c)
	_, err = tr.get(t.Context(), "/x")
	assert.ErrorContains(t, err, "no connection after 30ms")
	assert.NotErrorIs(t, err, context.DeadlineExceeded)
	var netError net.Error
	require.ErrorAs(t, err, &netError)
	assert.True(t, netError.Timeout())

	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	_, err = tr.dial(ctx)
	assert.ErrorIs(t, err, context.DeadlineExceeded)
}

func TestHeaderTimeoutBoundsTheAnswer(t *testing.T) {
	e, _ := serve(t, "unix", http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	c := testConfig(nil)
	c.headerTimeout = 20 * time.Millisecond
	_, err := open(t, e, c).get(t.Context(), "/x")
	assert.ErrorContains(t, err, "timeout awaiting response headers")
}

// tellsNothing is a transport that no trace of net/http's sees at work.
type tellsNothing struct{ next http.RoundTripper }

func (q tellsNothing) RoundTrip(r *http.Request) (*http.Response, error) {
	return q.next.RoundTrip(r.WithContext(withoutValues{r.Context()}))
}

type withoutValues struct{ context.Context }

func (withoutValues) Value(any) any { return nil }

// A client that was brought along waits as long as its transport likes, and that is
// for ever unless told otherwise; the header timeout is kept all the same.
func TestHeaderTimeoutBoundsTheAnswersOfABorrowedClient(t *testing.T) {
	const limit = 50 * time.Millisecond
	pool := func() *http.Transport { return &http.Transport{} }
	slowly := pool()
	slowly.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		time.Sleep(3 * limit)
		return new(net.Dialer).DialContext(ctx, network, address)
	}
	for name, test := range map[string]struct {
		transport http.RoundTripper
		path      string
		body      io.Reader
		fails     bool
	}{
		"silent":                               {pool(), "/silent", nil, true},
		"silent, with a body":                  {pool(), "/silent", strings.NewReader("{}"), true},
		"silent, with a stream":                {pool(), "/silent", readCloser{strings.NewReader("x")}, true},
		"silent, transport tells nothing":      {tellsNothing{pool()}, "/silent", nil, true},
		"slow body":                            {pool(), "/slow", nil, false},
		"slow body, transport tells nothing":   {tellsNothing{pool()}, "/slow", nil, false},
		"slow dial":                            {slowly, "/slow", nil, false},
		"slow stream":                          {pool(), "/slow", readCloser{&slowReader{pause: limit / 4, left: 12}}, false},
		"slow stream, transport tells nothing": {tellsNothing{pool()}, "/slow", readCloser{&slowReader{pause: limit / 4, left: 12}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e, _ := serve(t, "tcp", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				io.Copy(io.Discard, r.Body)
				if r.URL.Path == "/silent" {
					<-r.Context().Done()
					return
				}
				w.(http.Flusher).Flush()
				time.Sleep(3 * limit)
				io.WriteString(w, "late")
			}))
			c := testConfig(nil)
			c.httpClient, c.headerTimeout = &http.Client{Transport: test.transport}, limit
			tr := open(t, e, c)
			request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, tr.baseURL+test.path, test.body)
			require.NoError(t, err)
			response, err := tr.roundTripper.RoundTrip(request)
			if test.fails {
				require.ErrorContains(t, err, "timeout awaiting response headers")
				assert.False(t, isContextError(err), "the caller would have waited")
				return
			}
			require.NoError(t, err)
			defer response.Body.Close()
			body, err := io.ReadAll(response.Body)
			require.NoError(t, err)
			assert.Equal(t, "late", string(body))
		})
	}
}

// slowReader gives a byte after each pause.
type slowReader struct {
	pause time.Duration
	left  int
}

func (r *slowReader) Read(p []byte) (int, error) {
	if r.left == 0 {
		return 0, io.EOF
	}
	r.left--
	time.Sleep(r.pause)
	p[0] = 'x'
	return 1, nil
}

func TestEndlessHeadersAreCutOff(t *testing.T) {
	e, _ := serve(t, "unix", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Long", strings.Repeat("x", 100_000))
	}))
	_, err := open(t, e, testConfig(nil)).get(t.Context(), "/x")
	assert.ErrorContains(t, err, "server response headers exceeded")
}

func TestUnixErrorsAreTheSystems(t *testing.T) {
	missing := &endpoint{scheme: "unix", address: filepath.Join(t.TempDir(), "none.sock")}
	_, err := open(t, missing, testConfig(nil)).get(t.Context(), "/x")
	assert.ErrorIs(t, err, syscall.ENOENT)
	var op *net.OpError
	require.ErrorAs(t, err, &op)
	assert.Equal(t, "dial", op.Op)

	dead := &endpoint{scheme: "unix", address: filepath.Join(t.TempDir(), "dead.sock")}
	l, err := net.Listen("unix", dead.address)
	require.NoError(t, err)
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	l.Close()
	_, err = open(t, dead, testConfig(nil)).get(t.Context(), "/x")
	assert.ErrorIs(t, err, syscall.ECONNREFUSED)
}

func TestLentConnectionsAreReadyForHTTP(t *testing.T) {
	e := serveTLS(t, http.HandlerFunc(echoURL), nil)
	conn, err := open(t, e, testConfig(nil)).dial(t.Context())
	require.NoError(t, err)
	defer conn.Close()
	fmt.Fprint(conn, "GET /lent HTTP/1.0\r\n\r\n")
	answer, err := io.ReadAll(conn)
	require.NoError(t, err)
	assert.Contains(t, string(answer), "200 OK")
}

func TestDialerOfTheCallerIsGivenTheHostsAddress(t *testing.T) {
	e, _ := serve(t, "unix", http.HandlerFunc(echoURL))
	for _, test := range []struct{ scheme, address, network string }{
		{"unix", "/run/docker.sock", "unix"},
		{"npipe", "//./pipe/docker_engine", "npipe"},
		{"tcp", "engine.invalid:2375", "tcp"},
	} {
		c := testConfig(map[string]string{"HTTP_PROXY": "http://127.0.0.1:1"})
		var got string
		c.dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			got = network + " " + address
			return new(net.Dialer).DialContext(ctx, "unix", e.address)
		}
		_, err := open(t, &endpoint{scheme: test.scheme, address: test.address}, c).get(t.Context(), "/x")
		require.NoError(t, err)
		assert.Equal(t, test.network+" "+test.address, got)
	}
}

func TestDialerThatReturnsNothingIsAnError(t *testing.T) {
	c := testConfig(nil)
	c.dial = func(context.Context, string, string) (net.Conn, error) { return nil, nil }
	_, err := open(t, &endpoint{scheme: "unix", address: "/x"}, c).get(t.Context(), "/x")
	assert.ErrorContains(t, err, "WithDialer")
}

func TestHTTPClientOfTheCallerMakesTheConnections(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(echoURL))
	defer server.Close()
	c := testConfig(nil)
	c.httpClient = server.Client()
	e := &endpoint{scheme: "https", address: server.Listener.Addr().String(), tls: &tls.Config{}}
	tr := open(t, e, c)
	assert.Nil(t, tr.dial)
	_, err := tr.get(t.Context(), "/x")
	assert.NoError(t, err)

	plain, listener := serve(t, "tcp", http.HandlerFunc(echoURL))
	c.httpClient = &http.Client{}
	tr = open(t, plain, c)
	_, err = tr.get(t.Context(), "/x")
	assert.NoError(t, err)
	assert.NotSame(t, http.DefaultTransport, tr.roundTripper.(*headerLimit).next, "closing ours must not close everybody's connections")
	assert.EqualValues(t, 1, listener.accepted.Load())
}

func TestOptionsThatDoNotGoTogetherAreRefused(t *testing.T) {
	dial := func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("unused") }
	for name, test := range map[string]struct {
		host   endpoint
		change func(*config)
		want   string
	}{
		"nothing to verify":             {endpoint{scheme: "tcp", address: "x:1"}, func(c *config) { c.insecure = true }, "WithInsecureSkipVerify:"},
		"nothing to verify on a socket": {endpoint{scheme: "unix", address: "/x"}, func(c *config) { c.insecure = true }, "WithInsecureSkipVerify:"},
		"dialer over ssh":               {endpoint{scheme: "ssh", address: "x"}, func(c *config) { c.dial = dial }, "WithDialer:"},
		"HTTP client on a socket":       {endpoint{scheme: "unix", address: "/x"}, func(c *config) { c.httpClient = &http.Client{} }, "WithHTTPClient:"},
		"HTTP client and dialer": {endpoint{scheme: "tcp", address: "x:1"},
			func(c *config) { c.httpClient, c.dial = &http.Client{}, dial }, "WithHTTPClient: cannot be combined with WithDialer"},
		"HTTP client and dial timeout": {endpoint{scheme: "tcp", address: "x:1"},
			func(c *config) { c.httpClient = &http.Client{}; WithDialTimeout(time.Second)(c) }, "WithHTTPClient: cannot be combined with WithDialTimeout"},
		"HTTP client and TLS": {endpoint{scheme: "tcp", address: "x:1", tls: &tls.Config{}},
			func(c *config) { c.httpClient, c.tls = &http.Client{}, &tls.Config{} }, "WithHTTPClient: cannot be combined with WithTLS"},
		"HTTP client and no verification": {endpoint{scheme: "tcp", address: "x:1", tls: &tls.Config{}},
			func(c *config) { c.httpClient, c.insecure = &http.Client{}, true }, "WithHTTPClient: cannot be combined with WithInsecureSkipVerify"},
		"HTTP client and certificates of the environment": {
			endpoint{scheme: "tcp", address: "x:1", source: "DOCKER_CERT_PATH", tls: &tls.Config{RootCAs: x509.NewCertPool()}},
			func(c *config) { c.httpClient = &http.Client{} }, "DOCKER_CERT_PATH"},
	} {
		c := testConfig(nil)
		test.change(c)
		_, err := newTransport(&test.host, c)
		assert.ErrorContains(t, err, test.want, name)
	}
}

func TestInsecureConnectionsAreWarnedAboutOnce(t *testing.T) {
	const plain, unverified = "not encrypted", "not verified"
	for _, test := range []struct {
		host string
		opt  Option
		want string
	}{
		{"tcp://10.0.0.1", nil, plain},
		{"http://engine", nil, plain},
		{"tcp://localhost.example", nil, plain},
		{"tcp://[fd00::1]", nil, plain},
		{"tcp://127.9.9.9:2375", nil, ""},
		{"tcp://[::1]:2375", nil, ""},
		{"tcp://localhost:2375", nil, ""},
		{"unix:///x", nil, ""},
		{"ssh://engine", nil, ""},
		{"https://engine", nil, ""},
		{"https://engine", WithInsecureSkipVerify(), unverified},
		{"tcp://engine", WithTLS(&tls.Config{InsecureSkipVerify: true}), unverified},
	} {
		var log bytes.Buffer
		opts := []Option{WithHost(test.host), WithLogger(slog.New(slog.NewTextHandler(&log, nil)))}
		if test.opt != nil {
			opts = append(opts, test.opt)
		}
		_, err := New(opts...)
		require.NoError(t, err, test.host)
		if test.want == "" {
			assert.Empty(t, log.String(), test.host)
			continue
		}
		assert.Equal(t, 1, strings.Count(log.String(), "level=WARN"), test.host)
		assert.Contains(t, log.String(), test.want, test.host)
	}
}

type roundTripFunc func(*http.Request) (*http.Response, error)

func (f roundTripFunc) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestFirstRoundTripperGivenIsOutermost(t *testing.T) {
	e, _ := serve(t, "unix", http.HandlerFunc(echoURL))
	c := testConfig(nil)
	var order []string
	for _, name := range []string{"first", "second"} {
		c.wrap = append(c.wrap, func(next http.RoundTripper) http.RoundTripper {
			return roundTripFunc(func(r *http.Request) (*http.Response, error) {
				order = append(order, name)
				return next.RoundTrip(r)
			})
		})
	}
	_, err := open(t, e, c).get(t.Context(), "/x")
	require.NoError(t, err)
	assert.Equal(t, []string{"first", "second"}, order)

	c.wrap = append(c.wrap, func(http.RoundTripper) http.RoundTripper { return nil })
	_, err = newTransport(e, c)
	assert.ErrorContains(t, err, "WithRoundTripper")
}

func TestSwitchingProtocolsGivesAConnection(t *testing.T) {
	e, _ := serve(t, "unix", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, buffered, _ := w.(http.Hijacker).Hijack()
		defer conn.Close()
		fmt.Fprint(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n")
		line, _ := buffered.ReadString('\n')
		fmt.Fprint(conn, "got "+line)
	}))
	tr := open(t, e, testConfig(nil))
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, tr.baseURL+"/attach", nil)
	require.NoError(t, err)
	request.Header.Set("Connection", "Upgrade")
	request.Header.Set("Upgrade", "tcp")
	response, err := tr.roundTripper.RoundTrip(request)
	require.NoError(t, err)
	body := response.Body.(io.ReadWriteCloser)
	fmt.Fprint(body, "hello\n")
	answer, err := io.ReadAll(body)
	require.NoError(t, err)
	assert.Equal(t, "got hello\n", string(answer))
	assert.NoError(t, body.Close())
}
