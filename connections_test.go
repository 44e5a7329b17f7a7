package swarm_test

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"

	"github.com/swarm-go/swarm"
	"github.com/swarm-go/swarm/swarmtest"
)

// In a bubble no machine is too slow: net/http gives a connection up that its own
// goroutines have not finished with after 50 ms, and dials another.
func TestNoMoreConnectionsAreDialledThanCallsAreUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const callers, calls = 64, 50 / swarm.OneIn
		engine := swarmtest.Start(t)
		var dialled atomic.Int64
		client := engine.Client(swarm.WithDialer(func(ctx context.Context, network, address string) (net.Conn, error) {
			dialled.Add(1)
			return engine.DialContext(ctx, network, address)
		}))
		var all sync.WaitGroup
		for range callers {
			all.Go(func() {
				for range calls {
					_, err := client.Nodes.List(t.Context(), nil)
					assert.NoError(t, err)
				}
			})
		}
		all.Wait()
		assert.LessOrEqual(t, dialled.Load(), int64(callers))
	})
}
