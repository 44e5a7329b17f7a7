package swarm

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// testProxy is an HTTP and SOCKS 5 proxy that takes every host to one engine,
// and remembers what it was asked.
type testProxy struct {
	engine string

	mu    sync.Mutex
	asked []string
}

func (p *testProxy) note(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked = append(p.asked, fmt.Sprintf(format, args...))
}

func (p *testProxy) requests() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.asked...)
}

func (p *testProxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	credentials, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(r.Header.Get("Proxy-Authorization"), "Basic "))
	p.note("%s %s %s", r.Method, r.RequestURI, credentials)
	engine, err := net.Dial("tcp", p.engine)
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	defer engine.Close()
	if r.Method != http.MethodConnect {
		r.Header.Del("Proxy-Authorization")
		r.Write(engine)
		response, err := http.ReadResponse(bufio.NewReader(engine), r)
		if err == nil {
			io.Copy(w, response.Body)
		}
		return
	}
	client, _, _ := w.(http.Hijacker).Hijack()
	defer client.Close()
	fmt.Fprint(client, "HTTP/1.1 200 Connection established\r\n\r\n")
	splice(client, engine)
}

// serveSOCKS speaks as much of RFC 1928 and 1929 as a CONNECT takes.
func (p *testProxy) serveSOCKS(client net.Conn) {
	defer client.Close()
	var user, password []byte
	greeting := readField(client, 1)
	method := byte(0)
	if strings.Contains(string(greeting), "\x02") {
		method = 2
	}
	client.Write([]byte{5, method})
	if method == 2 {
		user, password = readField(client, 1), readField(client, 0)
		client.Write([]byte{1, 0})
	}
	header := make([]byte, 3) // version, command, reserved; then a type and a name
	io.ReadFull(client, header)
	name := readField(client, 1)
	port := make([]byte, 2)
	io.ReadFull(client, port)
	p.note("socks %s:%d %s:%s", name, binary.BigEndian.Uint16(port), user, password)
	engine, err := net.Dial("tcp", p.engine)
	if err != nil {
		return
	}
	defer engine.Close()
	client.Write([]byte{5, 0, 0, 1, 0, 0, 0, 0, 0, 0})
	splice(client, engine)
}

// readField skips some bytes and reads one that says how many follow.
func readField(r io.Reader, skip int) []byte {
	length := make([]byte, skip+1)
	io.ReadFull(r, length)
	field := make([]byte, length[skip])
	io.ReadFull(r, field)
	return field
}

func splice(a, b net.Conn) {
	done := make(chan struct{})
	go func() {
		io.Copy(a, b)
		a.Close()
		close(done)
	}()
	io.Copy(b, a)
	b.Close()
	<-done
}

func startProxy(t *testing.T, engine *endpoint) (*testProxy, *httptest.Server) {
	p := &testProxy{engine: engine.address}
	server := httptest.NewUnstartedServer(p)
	t.Cleanup(server.Close)
	return p, server
}

func startSOCKS(t *testing.T, engine *endpoint) (*testProxy, string) {
	t.Helper()
	p := &testProxy{engine: engine.address}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go p.serveSOCKS(conn)
		}
	}()
	return p, l.Addr().String()
}

// hidden is the engine by a name that only the proxy can resolve. Loopback
// addresses are never reached by proxy.
func hidden(e *endpoint) *endpoint {
	return &endpoint{scheme: e.scheme, address: "engine.invalid:2376", tls: e.tls}
}

func TestPlainRequestsGoThroughAnHTTPProxyAsTheyAre(t *testing.T) {
	e, _ := serve(t, "tcp", http.HandlerFunc(echoURL))
	p, server := startProxy(t, e)
	server.Start()
	for _, variable := range []string{"HTTP_PROXY", "http_proxy"} {
		tr := open(t, hidden(e), testConfig(map[string]string{variable: server.URL}))
		body, err := tr.get(t.Context(), "/x")
		require.NoError(t, err)
		assert.Equal(t, "HTTP/1.1 engine.invalid:2376 /x", body)
	}
	assert.Equal(t, []string{"GET http://engine.invalid:2376/x ", "GET http://engine.invalid:2376/x "}, p.requests())
}

func TestTLSGoesThroughAnHTTPProxyInATunnel(t *testing.T) {
	e := serveTLS(t, http.HandlerFunc(echoURL), nil)
	p, server := startProxy(t, e)
	server.Start()
	proxy := "http://user:hunter2@" + server.Listener.Addr().String()
	body, err := open(t, hidden(e), testConfig(map[string]string{"HTTPS_PROXY": proxy, "HTTP_PROXY": "http://unused.invalid"})).get(t.Context(), "/x")
	require.NoError(t, err)
	assert.Equal(t, "HTTP/1.1 engine.invalid:2376 /x", body)
	assert.Equal(t, []string{"CONNECT engine.invalid:2376 user:hunter2"}, p.requests())
}

func TestLentConnectionsGoThroughTheProxyInATunnel(t *testing.T) {
	e, _ := serve(t, "tcp", http.HandlerFunc(echoURL))
	p, server := startProxy(t, e)
	server.Start()
	conn, err := open(t, hidden(e), testConfig(map[string]string{"HTTP_PROXY": server.URL})).dial(t.Context())
	require.NoError(t, err)
	defer conn.Close()
	fmt.Fprint(conn, "GET /lent HTTP/1.0\r\nHost: x\r\n\r\n")
	answer, err := io.ReadAll(conn)
	require.NoError(t, err)
	assert.Contains(t, string(answer), "HTTP/1.0 x /lent")
	assert.Equal(t, []string{"CONNECT engine.invalid:2376 "}, p.requests())
}

func TestProxiesCanBeReachedByTLS(t *testing.T) {
	plain, _ := serve(t, "tcp", http.HandlerFunc(echoURL))
	secure := serveTLS(t, http.HandlerFunc(echoURL), nil)
	for _, engine := range []*endpoint{plain, secure} {
		p, server := startProxy(t, engine)
		server.StartTLS()
		roots := x509.NewCertPool()
		roots.AddCert(server.Certificate())
		c := testConfig(nil)
		e := hidden(engine)
		env := map[string]string{"HTTP_PROXY": server.URL, "HTTPS_PROXY": server.URL}
		proxy, err := proxyFor(e, func(name string) string { return env[name] })
		require.NoError(t, err)
		proxy.tls = &tls.Config{RootCAs: roots, ServerName: "example.com"}
		tr := &transport{baseURL: baseURL(e)}
		tr.throughProxy(e, c, proxy)
		t.Cleanup(tr.closeIdle)
		body, err := tr.get(t.Context(), "/x")
		require.NoError(t, err)
		assert.Equal(t, "HTTP/1.1 engine.invalid:2376 /x", body)
		assert.Len(t, p.requests(), 1)
	}
}

func TestSOCKSProxies(t *testing.T) {
	plain, _ := serve(t, "tcp", http.HandlerFunc(echoURL))
	secure := serveTLS(t, http.HandlerFunc(echoURL), nil)
	for _, test := range []struct {
		engine *endpoint
		env    string
		scheme string
	}{
		{plain, "ALL_PROXY", "socks5"}, {plain, "all_proxy", "socks5h"}, {plain, "HTTP_PROXY", "socks5"},
		{secure, "ALL_PROXY", "socks5h"}, {secure, "https_proxy", "socks5"},
	} {
		p, address := startSOCKS(t, test.engine)
		tr := open(t, hidden(test.engine), testConfig(map[string]string{test.env: test.scheme + "://user:hunter2@" + address}))
		body, err := tr.get(t.Context(), "/x")
		require.NoError(t, err)
		assert.Equal(t, "HTTP/1.1 engine.invalid:2376 /x", body)
		assert.Equal(t, []string{"socks engine.invalid:2376 user:hunter2"}, p.requests())
	}
}

func TestWhichProxyIsUsed(t *testing.T) {
	plain := &endpoint{scheme: "tcp", address: "engine.example:2375"}
	secure := &endpoint{scheme: "https", address: "engine.example:2376", tls: &tls.Config{}}
	local := &endpoint{scheme: "tcp", address: "127.0.0.1:2375"}
	const http, https, socks = "http://h:1", "http://s:1", "socks5://a:1"
	for _, test := range []struct {
		e    *endpoint
		env  map[string]string
		want string
	}{
		{plain, nil, ""},
		{plain, map[string]string{"HTTP_PROXY": http, "HTTPS_PROXY": https, "ALL_PROXY": socks}, http},
		{secure, map[string]string{"HTTP_PROXY": http, "HTTPS_PROXY": https, "ALL_PROXY": socks}, https},
		{secure, map[string]string{"HTTP_PROXY": http}, ""},
		{secure, map[string]string{"HTTP_PROXY": http, "ALL_PROXY": socks}, socks},
		{plain, map[string]string{"HTTP_PROXY": http, "http_proxy": "http://l:1"}, http},
		{plain, map[string]string{"ALL_PROXY": "http://a:1"}, ""}, // the docker command has only SOCKS there
		{plain, map[string]string{"HTTP_PROXY": "h:1"}, http},
		{plain, map[string]string{"HTTP_PROXY": http, "NO_PROXY": "engine.example"}, ""},
		{plain, map[string]string{"HTTP_PROXY": http, "no_proxy": ".example"}, ""},
		{plain, map[string]string{"ALL_PROXY": socks, "NO_PROXY": "*"}, ""},
		{plain, map[string]string{"HTTP_PROXY": http, "NO_PROXY": "engine.example:2376"}, http},
		{local, map[string]string{"HTTP_PROXY": http, "ALL_PROXY": socks}, ""},
		{plain, map[string]string{"HTTP_PROXY": "::not a proxy", "NO_PROXY": "engine.example"}, ""},
	} {
		p, err := proxyFor(test.e, func(name string) string { return test.env[name] })
		require.NoError(t, err, "%v", test.env)
		if test.want == "" {
			assert.Nil(t, p, "%v", test.env)
			continue
		}
		require.NotNil(t, p, "%v", test.env)
		assert.Equal(t, test.want, p.url.String(), "%v", test.env)
	}
}

func TestProxiesThatAreNoneAreErrorsWithoutTheirPasswords(t *testing.T) {
	e := &endpoint{scheme: "tcp", address: "engine.example:2375"}
	for _, value := range []string{"http://user:hunter2@", "ftp://user:hunter2@h", "http://user:hunter2@h:x", "://user:hunter2@h\x00", "http://user:hunter2 @h%"} {
		_, err := newTransport(e, testConfig(map[string]string{"HTTP_PROXY": value}))
		require.ErrorContains(t, err, "HTTP_PROXY: ", value)
		assert.NotContains(t, err.Error(), "hunter2")
	}
	_, err := newTransport(e, testConfig(map[string]string{"HTTP_PROXY": "http://h:1", "REQUEST_METHOD": "GET"}))
	assert.ErrorContains(t, err, "CGI", "a CGI program's HTTP_PROXY is a header that anybody may send")
}

func TestProxyFailuresKeepItsPasswordSecret(t *testing.T) {
	refuse := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusProxyAuthRequired) }))
	defer refuse.Close()
	garbage, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer garbage.Close()
	go func() {
		for {
			conn, err := garbage.Accept()
			if err != nil {
				return
			}
			fmt.Fprint(conn, "hello\r\n\r\n")
			io.Copy(io.Discard, conn)
			conn.Close()
		}
	}()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	closed.Close()
	secure := &endpoint{scheme: "https", address: "engine.invalid:2376", tls: &tls.Config{}}
	for _, test := range []struct{ scheme, address, want string }{
		{"http", refuse.Listener.Addr().String(), "407 Proxy Authentication Required"},
		{"http", garbage.Addr().String(), "CONNECT: malformed HTTP"},
		{"http", closed.Addr().String(), "connection refused"},
		{"socks5", garbage.Addr().String(), "socks connect"},
		{"socks5", closed.Addr().String(), "connection refused"},
		{"https", refuse.Listener.Addr().String(), "TLS handshake"},
	} {
		tr := open(t, secure, testConfig(map[string]string{"HTTPS_PROXY": test.scheme + "://user:hunter2@" + test.address}))
		_, err := tr.get(t.Context(), "/x")
		assert.ErrorContains(t, err, test.want)
		assert.ErrorContains(t, err, "dial tcp engine.invalid:2376: ")
		assert.NotContains(t, err.Error(), "hunter2")
		assert.NotContains(t, err.Error(), "user")
	}
}

func TestForwardingProxyFailuresKeepItsPasswordSecret(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	closed.Close()
	plain := &endpoint{scheme: "tcp", address: "engine.invalid:2375"}
	env := map[string]string{"HTTP_PROXY": "http://user:hunter2@" + closed.Addr().String()}
	_, err = open(t, plain, testConfig(env)).get(t.Context(), "/x")
	assert.ErrorContains(t, err, "proxyconnect")
	assert.ErrorContains(t, err, "connection refused")
	assert.NotContains(t, err.Error(), "hunter2")
}

func TestSocketsNeverUseProxies(t *testing.T) {
	e, _ := serve(t, "unix", http.HandlerFunc(echoURL))
	env := map[string]string{}
	for _, name := range []string{"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"} {
		env[name] = "socks5://127.0.0.1:1"
		t.Setenv(name, env[name])
	}
	_, err := open(t, e, testConfig(env)).get(t.Context(), "/x")
	assert.NoError(t, err)
}
