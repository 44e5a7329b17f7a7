package swarm

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestOptionsNameThemselvesWhenTheyAreWrong(t *testing.T) {
	for _, test := range []struct {
		opt  Option
		want string
	}{
		{WithHost(""), "swarm: WithHost: empty host"},
		{WithHost("gopher://x"), `swarm: WithHost: unknown scheme "gopher"`},
		{WithContext(""), "swarm: WithContext: empty name"},
		{WithTLS(nil), "swarm: WithTLS: nil configuration"},
		{WithDialer(nil), "swarm: WithDialer: nil function"},
		{WithHTTPClient(nil), "swarm: WithHTTPClient: nil client"},
		{WithHTTPClient(&http.Client{Timeout: time.Second}), "swarm: WithHTTPClient: the client has a Timeout"},
		{WithRoundTripper(nil), "swarm: WithRoundTripper: nil function"},
		{WithHeader("", "x"), `swarm: WithHeader: "" is no header name`},
		{WithHeader("a b", "x"), `swarm: WithHeader: "a b" is no header name`},
		{WithHeader("X", "a\r\nY: b"), "swarm: WithHeader: the value of X has characters"},
		{WithHeader("content-type", "x"), "swarm: WithHeader: Content-Type is set by the library"},
		{WithHeader("user-agent", "x"), "swarm: WithHeader: User-Agent is set by the library: use WithUserAgent"},
		{WithHeader("Idempotency-Key", "x"), "swarm: WithHeader: Idempotency-Key is set by the library: net/http would then repeat writes"},
		{WithHeader("X-Registry-Auth", "x"), "swarm: WithHeader: X-Registry-Auth is set by the library"},
		{WithUserAgent(""), "swarm: WithUserAgent"},
		{WithUserAgent("a\nb"), "swarm: WithUserAgent"},
		{WithAPIVersion(""), "swarm: WithAPIVersion"},
		{WithAPIVersion("1"), "swarm: WithAPIVersion"},
		{WithAPIVersion("1.41.1"), "swarm: WithAPIVersion"},
		{WithAPIVersion("1.-4"), "swarm: WithAPIVersion"},
		{WithAPIVersion("1.+4"), "swarm: WithAPIVersion"},
		{WithAPIVersion(strings.Repeat("1", 1000)), "swarm: WithAPIVersion"},
		{WithAPIVersion("1.23"), "swarm: WithAPIVersion: 1.23 is older than 1.24"},
		{WithDialTimeout(0), "swarm: WithDialTimeout: 0s is not positive"},
		{WithHeaderTimeout(-1), "swarm: WithHeaderTimeout: -1ns is not positive"},
		{WithCallTimeout(0), "swarm: WithCallTimeout: 0s is not positive"},
		{WithRetry(RetryPolicy{ReadAttempts: -1}), "swarm: WithRetry: negative attempts"},
		{WithRetry(RetryPolicy{MinDelay: -1}), "swarm: WithRetry: negative delay"},
		{WithRetry(RetryPolicy{Budget: -1}), "swarm: WithRetry: Budget -1 is not between 0 and 1000000"},
		{WithRetry(RetryPolicy{Budget: 1_000_001}), "swarm: WithRetry: Budget 1000001 is not between 0 and 1000000"},
		{WithRetry(RetryPolicy{MinDelay: time.Minute, MaxDelay: time.Second}), "swarm: WithRetry: MaxDelay 1s is shorter than MinDelay 1m0s"},
		{WithLogger(nil), "swarm: WithLogger: nil logger"},
		{WithObserver(nil), "swarm: WithObserver: nil function"},
	} {
		_, err := New(WithHost("unix:///nowhere.sock"), test.opt)
		if strings.HasPrefix(test.want, "swarm: WithHost") || strings.HasPrefix(test.want, "swarm: WithContext") {
			_, err = New(test.opt)
		}
		assert.ErrorContains(t, err, test.want)
	}
	_, err := New(WithHost("unix:///nowhere.sock"), WithContext("prod"))
	assert.ErrorContains(t, err, "WithContext: cannot be combined with WithHost")
	_, err = New(WithContext("prod"), WithHost("unix:///nowhere.sock"))
	assert.ErrorContains(t, err, "WithHost: cannot be combined with WithContext")
}

func TestOptionsAreTaken(t *testing.T) {
	cfg := &tls.Config{ServerName: "engine"}
	c, err := New(WithHost("https://engine.example:2376/base"), WithTLS(cfg), WithHeader("X-Team", "a"), WithHeader("X-Team", "b"),
		WithUserAgent("tool/1"), WithAPIVersion("v1.45"), WithDialTimeout(time.Second), WithHeaderTimeout(2*time.Second),
		WithCallTimeout(3*time.Second), WithRetry(RetryPolicy{ReadAttempts: 1}), WithLogger(slog.Default()), WithObserver(func(Observation) {}))
	require.NoError(t, err)
	defer c.Close()
	assert.Equal(t, []string{"a", "b"}, c.header["X-Team"])
	assert.Equal(t, "tool/1", c.userAgent)
	assert.Equal(t, version{1, 45}, c.negotiator.pinned)
	assert.Equal(t, time.Second, c.dialTimeout)
	assert.Equal(t, 2*time.Second, c.headerTimeout)
	assert.Equal(t, 3*time.Second, c.callTimeout)
	assert.Equal(t, RetryPolicy{ReadAttempts: 1, WriteAttempts: 3, MinDelay: 100 * time.Millisecond, MaxDelay: 5 * time.Second, Budget: 100}, c.retry)
	assert.Equal(t, "https://engine.example:2376/base", c.Host())
	assert.Zero(t, cfg.MinVersion, "the caller's configuration was changed")
	assert.EqualValues(t, tls.VersionTLS12, c.endpoint.tls.MinVersion)
}

func TestNewDoesNoNetworkIO(t *testing.T) {
	dial := func(context.Context, string, string) (net.Conn, error) {
		t.Error("New dialled")
		return nil, net.ErrClosed
	}
	for _, host := range []string{"unix:///nowhere.sock", "tcp://no.such.host.invalid:2375", "https://no.such.host.invalid"} {
		c, err := New(WithHost(host), WithDialer(dial))
		require.NoError(t, err)
		require.NoError(t, c.Close())
	}
	c, err := New(WithHost("ssh://no.such.host.invalid"))
	require.NoError(t, err)
	require.NoError(t, c.Close())
}

func TestRegistryAuthIsNeverPrinted(t *testing.T) {
	auth := RegistryAuth{Username: "user", Password: "canary", ServerAddress: "registry.example", IdentityToken: "canary", RegistryToken: "canary"}
	var logged strings.Builder
	slog.New(slog.NewTextHandler(&logged, nil)).Info("x", "auth", auth, "pointer", &auth)
	for _, text := range []string{fmt.Sprintf("%v", auth), fmt.Sprintf("%+v", auth), fmt.Sprintf("%#v", auth), fmt.Sprintf("%s", &auth), fmt.Sprintf("%q", auth),
		fmt.Sprintf("%d", auth), fmt.Sprintf("%+v", struct{ A *RegistryAuth }{&auth}), fmt.Sprintf("%#v", []RegistryAuth{auth}), logged.String()} {
		assert.NotContains(t, text, "canary")
	}
	auth.ServerAddress = "https://canary:canary@registry.example"
	for _, value := range []any{auth, &auth, []RegistryAuth{auth}, map[string]*RegistryAuth{"a": &auth}, struct{ A RegistryAuth }{auth}} {
		encoded, err := json.Marshal(value)
		require.NoError(t, err)
		slog.New(slog.NewJSONHandler(&logged, nil)).Info("x", "value", value)
		slog.New(slog.NewTextHandler(&logged, nil)).Info("x", "value", value)
		assert.Contains(t, string(encoded), `{"username":"user","serveraddress":"registry.example"}`)
		for _, text := range []string{string(encoded), logged.String(), fmt.Sprintf("%v %+v %#v", value, value, value)} {
			assert.NotContains(t, text, "canary")
		}
	}
	for _, value := range []any{auth, &auth, []RegistryAuth{auth}} {
		encoded, err := xml.Marshal(value)
		require.NoError(t, err)
		assert.Contains(t, string(encoded), "registry.example")
		assert.NotContains(t, string(encoded), "canary")
	}
	var read RegistryAuth
	require.NoError(t, json.Unmarshal([]byte(`{"username":"user","password":"p","identitytoken":"i","registrytoken":"r"}`), &read))
	assert.Equal(t, RegistryAuth{Username: "user", Password: "p", IdentityToken: "i", RegistryToken: "r"}, read)
	header, err := auth.header()
	require.NoError(t, err)
	assert.NotContains(t, header.Get("X-Registry-Auth"), "canary") // encoded
	assert.Zero(t, len(header.Get("X-Registry-Auth"))%4, "engines drop a header without padding")
	_, err = (&RegistryAuth{}).header()
	assert.Error(t, err)
	_, err = (&RegistryAuth{Password: strings.Repeat("x", maxAuth)}).header()
	assert.Error(t, err)
}
