package swarm

import (
	"context"
	"net"
)

// unixDial's errors are the system's own: whether there is no socket, nobody
// listens, or the user may not use it is for [connectHint] to explain.
func unixDial(e *endpoint) dialFunc {
	return func(ctx context.Context) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", e.address)
	}
}
