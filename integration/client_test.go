//go:build integration

package integration

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
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

func TestConnectionsAreReused(t *testing.T) {
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		const workers, calls = 64, 20
		var open, most atomic.Int64
		client := newClient(t, e, swarm.WithDialer(func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
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
