package swarm

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/net/http/httpproxy"
	"golang.org/x/net/proxy"
)

// envProxy is the proxy that the environment names for an engine.
type envProxy struct {
	url    *url.URL    // http, https, socks5 or socks5h; may hold credentials
	target string      // the engine's host:port
	tls    *tls.Config // for https proxies
}

// proxyFor reads HTTPS_PROXY for engines with TLS and HTTP_PROXY for others,
// else ALL_PROXY if it names a SOCKS proxy; NO_PROXY exempts hosts, and
// loopback hosts are always exempt. Lower-case names are read too. nil means no
// proxy. A proxy that is none is an error: not using it would send what was
// meant for the proxy another way.
func proxyFor(e *endpoint, getenv func(string) string) (*envProxy, error) {
	name, value := proxyVariable(e.tls != nil, getenv)
	if value == "" {
		return nil, nil
	}
	const asked = "http://asked.invalid" // whether a proxy is to be used, not which
	target := &url.URL{Scheme: "http", Host: e.address}
	if e.tls != nil {
		target.Scheme = "https"
	}
	_, noProxy := firstSet(getenv, "NO_PROXY", "no_proxy")
	rules := httpproxy.Config{HTTPProxy: asked, HTTPSProxy: asked, NoProxy: noProxy,
		CGI: name == "HTTP_PROXY" && getenv("REQUEST_METHOD") != ""}
	wanted, err := rules.ProxyFunc()(target)
	if err != nil || wanted == nil {
		return nil, err
	}
	address, err := parseProxy(value)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return &envProxy{url: address, target: e.address, tls: &tls.Config{ServerName: address.Hostname(), MinVersion: tls.VersionTLS12}}, nil
}

// proxyVariable is the variable that counts, and its value.
func proxyVariable(secure bool, getenv func(string) string) (name, value string) {
	if secure {
		name, value = firstSet(getenv, "HTTPS_PROXY", "https_proxy")
	} else {
		name, value = firstSet(getenv, "HTTP_PROXY", "http_proxy")
	}
	if value != "" {
		return name, value
	}
	name, value = firstSet(getenv, "ALL_PROXY", "all_proxy")
	if !strings.HasPrefix(value, "socks5:") && !strings.HasPrefix(value, "socks5h:") {
		return "", "" // as the docker command does
	}
	return name, value
}

func firstSet(getenv func(string) string, names ...string) (name, value string) {
	for _, name := range names {
		if value := getenv(name); value != "" {
			return name, value
		}
	}
	return "", ""
}

// parseProxy understands URLs and host:port. Its errors do not quote the value,
// which may hold a password.
func parseProxy(value string) (*url.URL, error) {
	if !strings.Contains(value, "://") {
		value = "http://" + value
	}
	u, err := url.Parse(value)
	if err != nil || u.Hostname() == "" {
		return nil, errors.New("the value is neither a URL nor host:port")
	}
	switch u.Scheme {
	case "http", "https", "socks5", "socks5h":
		return u, nil
	}
	return nil, errors.New("the scheme is none of http, https, socks5 and socks5h")
}

func (p *envProxy) isSOCKS() bool { return strings.HasPrefix(p.url.Scheme, "socks5") }

// address is the proxy's own host:port.
func (p *envProxy) address() string {
	port := p.url.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[p.url.Scheme]
	}
	if port == "" {
		port = "1080"
	}
	return net.JoinHostPort(p.url.Hostname(), port)
}

// dial connects to the proxy itself.
func (p *envProxy) dial(ctx context.Context) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", p.address())
	if err == nil && p.url.Scheme == "https" {
		conn, err = handshake(ctx, conn, p.tls)
	}
	if err != nil {
		return nil, &net.OpError{Op: "proxyconnect", Net: "tcp", Addr: nameAddr{"tcp", p.address()}, Err: err}
	}
	return conn, nil
}

// tunnel connects to the engine through the proxy.
func (p *envProxy) tunnel(ctx context.Context) (net.Conn, error) {
	if p.isSOCKS() {
		return p.socks(ctx)
	}
	conn, err := p.dial(ctx)
	if err != nil {
		return nil, err
	}
	if err := p.connect(ctx, conn); err != nil {
		conn.Close()
		return nil, &net.OpError{Op: "proxyconnect", Net: "tcp", Addr: nameAddr{"tcp", p.address()}, Err: err}
	}
	return conn, nil
}

func (p *envProxy) socks(ctx context.Context) (net.Conn, error) {
	var auth *proxy.Auth
	if p.url.User != nil {
		password, _ := p.url.User.Password()
		auth = &proxy.Auth{User: p.url.User.Username(), Password: password}
	}
	dialer, err := proxy.SOCKS5("tcp", p.address(), auth, new(net.Dialer))
	if err != nil {
		return nil, err
	}
	return dialer.(proxy.ContextDialer).DialContext(ctx, "tcp", p.target)
}

// connect asks an HTTP proxy for a tunnel.
func (p *envProxy) connect(ctx context.Context, conn net.Conn) error {
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	request := &http.Request{Method: http.MethodConnect, URL: &url.URL{Opaque: p.target}, Host: p.target, Header: http.Header{}}
	if user := p.url.User; user != nil {
		password, _ := user.Password()
		credentials := base64.StdEncoding.EncodeToString([]byte(user.Username() + ":" + password))
		request.Header.Set("Proxy-Authorization", "Basic "+credentials)
	}
	if err := request.Write(conn); err != nil {
		return err
	}
	reader := bufio.NewReader(io.LimitReader(conn, maxHeader))
	response, err := http.ReadResponse(reader, request)
	switch {
	case err != nil:
		return fmt.Errorf("CONNECT: %s", clip(err.Error(), 256))
	case response.StatusCode != http.StatusOK:
		return fmt.Errorf("CONNECT: the proxy answered %d %s", response.StatusCode, http.StatusText(response.StatusCode))
	case reader.Buffered() > 0:
		return errors.New("CONNECT: the proxy sent data before it was asked for any")
	case !stop():
		return ctx.Err()
	}
	return nil
}
