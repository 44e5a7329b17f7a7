//go:build integration && linux

package integration

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/swarm-go/swarm"
	"github.com/swarm-go/swarm/integration/engines"
)

// securely starts an engine that speaks TLS, to who has a certificate, on a port of
// its own network, and gives a client of that port.
func securely(t *testing.T, version string, owner *authority) (*engines.Engine, func(*tls.Config, ...swarm.Option) *swarm.Client) {
	t.Helper()
	name := fmt.Sprintf("%s-%x", version, time.Now().UnixNano())
	certificate, key, err := owner.issue("localhost")
	require.NoError(t, err)
	data := filepath.Join(lab.Dir(), name, "data") // the engine's /var/lib/docker
	require.NoError(t, writeFiles(filepath.Join(data, "tls"), map[string]string{"ca.pem": owner.pem, "cert.pem": certificate, "key.pem": key}))
	const folder = "/var/lib/docker/tls/"
	e, err := lab.StartOne(t.Context(), version, name, "--tlsverify", "--tlscacert="+folder+"ca.pem", "--tlscert="+folder+"cert.pem", "--tlskey="+folder+"key.pem",
		"--host=unix:///var/run/docker.sock", "--host=tcp://127.0.0.1:2376")
	require.NoError(t, err)
	removeAfter(t, e)
	return e, func(config *tls.Config, opts ...swarm.Option) *swarm.Client {
		opts = append(opts, swarm.WithHost("tcp://127.0.0.1:2376"), swarm.WithDialer(e.Dial))
		if config != nil {
			opts = append(opts, swarm.WithTLS(config))
		}
		client, err := swarm.New(opts...)
		require.NoError(t, err)
		t.Cleanup(func() { client.Close() })
		return client
	}
}

func TestEngineThatSpeaksTLSIsReachedWithACertificate(t *testing.T) {
	if withoutLab(t) {
		return
	}
	t.Parallel()
	owner, err := newAuthority()
	require.NoError(t, err)
	stranger, err := newAuthority()
	require.NoError(t, err)
	certificate, key, err := owner.issue("client")
	require.NoError(t, err)
	pair, err := tls.X509KeyPair([]byte(certificate), []byte(key))
	require.NoError(t, err)
	trusting := func(a *authority, pairs ...tls.Certificate) *tls.Config {
		config := &tls.Config{RootCAs: x509.NewCertPool(), Certificates: pairs}
		config.RootCAs.AddCert(a.certificate)
		return config
	}
	for _, version := range testEngines() {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			e, connect := securely(t, version, owner)
			client := connect(trusting(owner, pair))
			said, err := client.System.Version(t.Context())
			require.NoError(t, err)
			assert.Equal(t, e.Version, said.Version)
			other := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
				return client.DialContext(ctx, network, address)
			}}}
			defer other.CloseIdleConnections()
			response, err := other.Get("http://engine/_ping")
			require.NoError(t, err)
			response.Body.Close()
			assert.Equal(t, e.APIVersion, response.Header.Get("Api-Version"))

			once := swarm.WithRetry(swarm.RetryPolicy{ReadAttempts: 1})
			err = connect(trusting(owner), once).System.Ping(t.Context())
			assert.ErrorIs(t, err, swarm.ErrUnreachable)
			assert.ErrorContains(t, err, "wants a client certificate")
			err = connect(trusting(stranger, pair), once).System.Ping(t.Context())
			assert.ErrorIs(t, err, swarm.ErrUnreachable)
			assert.ErrorContains(t, err, "signed by unknown authority")
			err = connect(nil, once).System.Ping(t.Context())
			assert.ErrorIs(t, err, swarm.ErrProtocol)
			assert.ErrorContains(t, err, "the engine speaks TLS there")

			home, host := t.TempDir(), "tcp://"+onLoopback(t, e, "127.0.0.1:2376")
			require.NoError(t, writeFiles(home, map[string]string{"ca.pem": owner.pem, "cert.pem": certificate, "key.pem": key}))
			environment := []string{"HOME=" + home, "DOCKER_CONFIG=" + home}
			create := exec.CommandContext(t.Context(), dockerCommand(t), "context", "create", "secure",
				"--docker", fmt.Sprintf("host=%s,ca=%s/ca.pem,cert=%[2]s/cert.pem,key=%[2]s/key.pem", host, home))
			create.Env = environment
			output, err := create.CombinedOutput()
			require.NoError(t, err, "%s", output)
			for _, found := range [][]string{
				{"DOCKER_HOST=" + host, "DOCKER_TLS_VERIFY=1", "DOCKER_CERT_PATH=" + home},
				{"DOCKER_HOST=" + strings.Replace(host, "tcp:", "https:", 1), "DOCKER_CERT_PATH=" + home},
				{"DOCKER_CONTEXT=secure"},
			} {
				assert.Contains(t, versionFound(t, append(found, environment...)), e.Version, "%v", found)
			}
		})
	}
}

// versionFound is what the engine that a client finds by that environment alone says
// of itself.
func versionFound(t *testing.T, environment []string) string {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	client := exec.CommandContext(t.Context(), self)
	client.Env = append(environment, hostLabRole+"=client", hostLabOpts+"={}")
	output, err := client.CombinedOutput()
	assert.NoError(t, err, "%s", output)
	return string(output)
}

func TestEngineThatSpeaksNoTLSIsReachedOverTCP(t *testing.T) {
	if withoutLab(t) {
		return
	}
	clients := map[string]map[string]*swarm.Client{} // by engine and by where the host comes from
	for _, e := range running {
		host := "tcp://" + onLoopback(t, e, plainAddr)
		t.Setenv("DOCKER_HOST", host)
		found, err := swarm.New()
		require.NoError(t, err)
		t.Cleanup(func() { found.Close() })
		given, err := swarm.New(swarm.WithHost(host))
		require.NoError(t, err)
		t.Cleanup(func() { given.Close() })
		clients[e.Name] = map[string]*swarm.Client{"environment": found, "option": given}
	}
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		for from, client := range clients[e.Name] {
			require.NoError(t, client.System.Ping(t.Context()), from)
			said, err := client.System.Version(t.Context())
			require.NoError(t, err, from)
			assert.Equal(t, e.Version, said.Version, from)

			spec := testSpec(serviceName(t, from), "-lines", "2")
			id := create(t, client, spec)
			printed(t, client, id, 2)
			logs, err := client.Services.Logs(t.Context(), id, nil)
			stdout, stderr := readLogs(t, logs, err)
			assert.Equal(t, "stdout 1\nstdout 2\n", stdout, from)
			assert.Equal(t, "stderr 1\nstderr 2\n", stderr, from)
			listed := func() bool {
				list, err := client.Services.List(t.Context(), nil)
				require.NoError(t, err, from)
				return slices.ContainsFunc(list, func(s swarm.Service) bool { return s.ID == id && s.Spec.Name == spec.Name })
			}
			assert.True(t, listed(), from)
			require.NoError(t, client.Services.Remove(t.Context(), id), from)
			assert.False(t, listed(), from)
		}
	})
}

// onLoopback makes a port of this machine lead to an address in the engine's own
// network.
func onLoopback(t *testing.T, e *engines.Engine, address string) string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				engine, err := e.Dial(context.WithoutCancel(t.Context()), "tcp", address)
				if err != nil {
					return
				}
				go func() {
					defer engine.Close()
					io.Copy(engine, conn)
				}()
				io.Copy(conn, engine)
			}()
		}
	}()
	return listener.Addr().String()
}

// An HTTP proxy of the environment leads to an engine as well. Not in parallel:
// there is one environment.
func TestEngineIsReachedThroughAProxy(t *testing.T) {
	for _, e := range running {
		t.Run(e.Name, func(t *testing.T) {
			asked := make(chan string, 10)
			proxy := httptest.NewServer(&httputil.ReverseProxy{Transport: e.Client().Transport, Rewrite: func(r *httputil.ProxyRequest) {
				asked <- r.In.Host
				r.SetURL(&url.URL{Scheme: "http", Host: "engine"})
			}})
			defer proxy.Close()
			t.Setenv("HTTP_PROXY", proxy.URL)
			client, err := swarm.New(swarm.WithHost("tcp://engine.example:2375"))
			require.NoError(t, err)
			defer client.Close()
			version, err := client.System.Version(t.Context())
			require.NoError(t, err)
			assert.Equal(t, e.Version, version.Version)
			assert.Equal(t, "engine.example:2375", <-asked)
		})
	}
}
