package swarm

import (
	"context"
	"net"
	"net/http"
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
