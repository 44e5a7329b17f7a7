//go:build integration

package integration

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/swarm-go/swarm"
	"github.com/swarm-go/swarm/integration/engines"
)

func TestClientNegotiatesTheEnginesVersion(t *testing.T) {
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		client := newClient(t, e)
		version, err := client.APIVersion(t.Context())
		require.NoError(t, err)
		assert.Equal(t, e.APIVersion, version)
		engine, err := client.System.Version(t.Context())
		require.NoError(t, err)
		assert.Equal(t, e.Version, engine.Version)
		assert.Equal(t, e.APIVersion, engine.APIVersion)
	})
}

func TestVersionThatTheEngineLacksIsRefused(t *testing.T) {
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		client := newClient(t, e, swarm.WithAPIVersion("1.99"))
		_, err := client.Services.List(t.Context(), nil)
		assert.ErrorIs(t, err, swarm.ErrUnsupported)
	})
}

func TestDoReachesOtherEndpoints(t *testing.T) {
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		client := newClient(t, e)
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "/images/json?all=1", nil)
		require.NoError(t, err)
		response, err := client.Do(request)
		require.NoError(t, err)
		defer response.Body.Close()
		var images []struct{ RepoTags []string }
		require.NoError(t, json.NewDecoder(response.Body).Decode(&images))
		assert.NotEmpty(t, images)
		request, err = http.NewRequestWithContext(t.Context(), http.MethodGet, "/containers/nope/json", nil)
		require.NoError(t, err)
		_, err = client.Do(request)
		assert.ErrorIs(t, err, swarm.ErrNotFound)
	})
}

func TestDialContextCarriesAnotherClient(t *testing.T) {
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		client := newClient(t, e)
		other := &http.Client{Transport: &http.Transport{DialContext: client.DialContext}}
		defer other.CloseIdleConnections()
		response, err := other.Get("http://engine/_ping")
		require.NoError(t, err)
		defer response.Body.Close()
		assert.Equal(t, http.StatusOK, response.StatusCode)
	})
}

// switched dials an engine, and another one after become.
type switched struct {
	mu    sync.Mutex
	e     *engines.Engine
	conns []net.Conn
}

func (s *switched) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	network, address, _ := strings.Cut(s.e.Host, "://")
	conn, err := new(net.Dialer).DialContext(ctx, network, address)
	if err == nil {
		s.conns = append(s.conns, conn)
	}
	return conn, err
}

// become ends the connections, as a restart does.
func (s *switched) become(e *engines.Engine) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.e = e
	for _, conn := range s.conns {
		conn.Close()
	}
	s.conns = nil
}

// A client lives on when its engine is upgraded, and when it is put back.
func TestClientOutlivesTheVersionOfItsEngine(t *testing.T) {
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		host := &switched{e: e}
		client := newClient(t, e, swarm.WithDialer(host.dial))
		// Most engines would refuse the name, no API before 1.46 has the field.
		newest := testSpec("-no-name-", "")
		newest.TaskTemplate.ContainerSpec.OomScoreAdj = 5
		for _, now := range append(slices.Clone(running), e) {
			host.become(now)
			_, err := client.Services.Create(t.Context(), newest, nil)
			var tooOld *swarm.VersionError
			if now.APIVersion < "1.46" {
				require.ErrorAs(t, err, &tooOld)
				assert.Equal(t, now.APIVersion, tooOld.Have)
			} else {
				assert.ErrorIs(t, err, swarm.ErrInvalid, "sent, and refused for its name")
			}
			_, err = client.Services.List(t.Context(), nil)
			require.NoError(t, err)
			version, err := client.APIVersion(t.Context())
			require.NoError(t, err)
			assert.Equal(t, now.APIVersion, version)
		}
	})
}

func TestConnectionsAreReused(t *testing.T) {
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		const workers, calls = 64, 20
		var open, most, dialled atomic.Int64
		client := newClient(t, e, swarm.WithDialer(func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			dialled.Add(1)
			now := open.Add(1)
			for seen := most.Load(); now > seen && !most.CompareAndSwap(seen, now); seen = most.Load() {
			}
			return &countedConn{Conn: conn, closed: sync.OnceFunc(func() { open.Add(-1) })}, nil
		}))
		var group sync.WaitGroup
		for range workers {
			group.Go(func() {
				for range calls {
					_, err := client.Services.List(t.Context(), nil)
					assert.NoError(t, err)
					_, err = client.Services.Inspect(t.Context(), "nope")
					assert.ErrorIs(t, err, swarm.ErrNotFound)
				}
			})
		}
		group.Wait()
		assert.LessOrEqual(t, most.Load(), int64(workers))
		// On a busy machine net/http gives some up, and dials others.
		assert.LessOrEqual(t, dialled.Load(), int64(4*workers), "of %d calls", 2*workers*calls)
	})
}

// countedConn is a connection whose end is noticed.
type countedConn struct {
	net.Conn
	closed func()
}

func (c *countedConn) Close() error {
	c.closed()
	return c.Conn.Close()
}
