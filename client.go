package swarm

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
)

// Client talks to one Docker Engine. It is safe for concurrent use; make one
// and keep it. Its fields are the parts of the API.
type Client struct {
	// Services creates, reads, changes and removes services.
	Services *ServiceClient
	// Tasks reads the tasks that services consist of, and their logs.
	Tasks *TaskClient
	// Swarm makes, joins, changes and leaves swarms.
	Swarm *SwarmClient
	// Nodes reads, changes and removes the nodes of a swarm.
	Nodes *NodeClient
	// Configs creates, reads, labels and removes configs.
	Configs *ConfigClient
	// Secrets creates, reads, labels and removes secrets.
	Secrets *SecretClient
	// Networks creates, reads and removes networks.
	Networks *NetworkClient
	// Volumes creates, reads, changes and removes volumes.
	Volumes *VolumeClient
	// Events watches what happens in the swarm and on the engine.
	Events *EventClient
	// System asks the engine about itself, and registries through it.
	System *SystemClient

	*config
	endpoint   *endpoint
	transport  *transport
	negotiator *negotiator
	budget     retryBudget
	closed     atomic.Bool
}

// New makes a client. Without [WithHost] or [WithContext] it follows the
// environment like the docker command: DOCKER_HOST, DOCKER_CONTEXT, the
// current context of config.json, the default sockets, with DOCKER_TLS_VERIFY,
// DOCKER_CERT_PATH, DOCKER_CONFIG and DOCKER_API_VERSION.
//
// New reads configuration and certificates but does no network I/O: that an
// engine is not there shows in the first call.
func New(opts ...Option) (*Client, error) {
	cfg := defaultConfig()
	for _, opt := range opts {
		if err := opt(cfg); err != nil {
			return nil, fmt.Errorf("swarm: %w", err)
		}
	}
	endpoint, err := resolveEndpoint(cfg)
	if err != nil {
		return nil, fmt.Errorf("swarm: %w", err)
	}
	transport, err := newTransport(endpoint, cfg)
	if err != nil {
		return nil, fmt.Errorf("swarm: %w", err)
	}
	c := &Client{config: cfg, endpoint: endpoint, transport: transport, negotiator: &negotiator{}}
	if cfg.apiVersion != "" {
		if c.negotiator.pinned, err = parseVersion(cfg.apiVersion); err != nil {
			return nil, fmt.Errorf("swarm: %w", err)
		}
	}
	c.budget.fill(cfg.retry.Budget)
	c.Services = &ServiceClient{c}
	c.Tasks = &TaskClient{c}
	c.Swarm = &SwarmClient{c}
	c.Nodes = &NodeClient{c}
	c.Configs = &ConfigClient{c}
	c.Secrets = &SecretClient{c}
	c.Networks = &NetworkClient{c}
	c.Volumes = &VolumeClient{c}
	c.Events = &EventClient{c}
	c.System = &SystemClient{c}
	return c, nil
}

// Close closes idle connections and makes later calls fail with [ErrClosed].
// Calls and streams under way end by themselves. Close may be called often.
func (c *Client) Close() error {
	if !c.closed.Swap(true) {
		c.transport.closeIdle()
	}
	return nil
}

// Host is the engine's address as it was given or found, for example
// "unix:///var/run/docker.sock".
func (c *Client) Host() string {
	return c.endpoint.host
}

// APIVersion is the API version that calls use: the pinned one, else what was
// negotiated with the engine, which the first call of this method or any other
// does. An engine that cannot be asked is an error, [ErrUnreachable] for
// instance; one older than API 1.24 is [ErrUnsupported].
//
// Engine endpoint: HEAD /_ping
func (c *Client) APIVersion(ctx context.Context) (string, error) {
	call := &call{op: "negotiate API version", method: http.MethodHead, to: to("/_ping")}
	agreed, err := c.agreed(ctx, call)
	if err != nil {
		return "", callError(call, err, false)
	}
	return agreed.use.String(), nil
}

// Do reaches any endpoint of the Engine that this library has no method for.
// The request's URL is a path below the API version with its query,
// "/containers/json?all=1"; its host is ignored. A query that cannot be read is
// [ErrInvalid]: what it says must be escaped, as [url.Values.Encode] does.
// Method, headers and body are sent as they are, with the client's own headers.
// The caller closes the answer's body; the request's context ends it.
//
// A request with a body is sent once. Without one GET and HEAD are repeated as
// all reads are, other methods only if the engine provably did not carry them
// out; a lost answer to these is an [*OutcomeUnknownError].
//
// A status other than 2xx is an [*Error], except the 101 that was asked for: if
// the request has the headers Connection ("Upgrade") and Upgrade ("tcp"), as
// attaching to a container needs, the engine may switch protocols. Then the
// answer's body is the connection, an [io.ReadWriteCloser] whose CloseWrite
// method says that nothing more will be sent.
func (c *Client) Do(request *http.Request) (*http.Response, error) {
	response, err := c.doRaw(request)
	if err != nil && request.Body != nil {
		_ = request.Body.Close() // as net/http promises, also for what was never sent
	}
	return response, err
}

func (c *Client) doRaw(request *http.Request) (*http.Response, error) {
	method := cmp.Or(request.Method, http.MethodGet)
	if request.URL == nil {
		return nil, invalid(method, "", "the request has no URL")
	}
	path := request.URL.EscapedPath()
	if !strings.HasPrefix(path, "/") {
		return nil, invalid(method, path, "the path has no slash at its beginning")
	}
	query, err := url.ParseQuery(request.URL.RawQuery)
	if err != nil { // never without what cannot be read: it may be the filter of a prune
		return nil, invalid(method, path, "the query of the URL: %v", err)
	}
	call := &call{op: method, object: path, method: method, to: route{template: "(other)", path: path},
		query: query, header: request.Header, raw: request, upgrade: request.Header.Get("Upgrade") != ""}
	if !call.hasRawBody() && (method == http.MethodGet || method == http.MethodHead) {
		call.repeat = repeatRead
	}
	return c.stream(request.Context(), call)
}

// DialContext opens a connection to the engine for somebody else's HTTP
// client: proxies, TLS, ssh and docker contexts are dealt with, what comes back
// is ready for plain HTTP. Network and address are ignored. It is refused when
// the client was made with [WithHTTPClient].
//
// With moby's client: client.WithDialContext(ours.DialContext) and
// client.WithHost("tcp://engine").
func (c *Client) DialContext(ctx context.Context, _, _ string) (net.Conn, error) {
	switch {
	case c.closed.Load():
		return nil, &Error{Op: "dial", Object: c.Host(), Err: ErrClosed}
	case c.transport.dial == nil:
		return nil, &Error{Op: "dial", Object: c.Host(), Message: "the client was made with WithHTTPClient, which makes the connections", kind: ErrUnsupported}
	}
	conn, err := c.transport.dial(ctx)
	if err != nil {
		return nil, connectError(&call{op: "dial", object: c.Host()}, err, false)
	}
	return conn, nil
}

var _ io.Closer = (*Client)(nil)
