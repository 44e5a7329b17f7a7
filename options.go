package swarm

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"
)

// Option configures a [Client]. Each option checks its argument when [New] is
// called; an error names the option.
type Option func(*config) error

// config is what the options say.
type config struct {
	host     string
	context  string
	tls      *tls.Config
	insecure bool

	httpClient *http.Client
	dial       func(ctx context.Context, network, address string) (net.Conn, error)
	wrap       []func(http.RoundTripper) http.RoundTripper
	header     http.Header
	userAgent  string
	apiVersion string

	dialTimeout   time.Duration
	boundsDials   bool // dialTimeout was asked for
	headerTimeout time.Duration
	callTimeout   time.Duration
	retry         RetryPolicy

	logger   *slog.Logger
	observer func(Observation)

	registryAuth AuthSource

	environ environ
}

func defaultConfig() *config {
	return &config{
		header:        http.Header{},
		userAgent:     "swarm-go",
		dialTimeout:   10 * time.Second,
		headerTimeout: 30 * time.Second,
		callTimeout:   2 * time.Minute,
		retry:         defaultRetryPolicy,
		logger:        slog.New(slog.DiscardHandler),
		environ:       osEnviron(),
	}
}

// WithHost names the engine to talk to, as in DOCKER_HOST:
//
//	unix:///var/run/docker.sock
//	tcp://host:2375            plain HTTP, or TLS together with [WithTLS]
//	https://host:2376          TLS
//	ssh://user@host:22/path/to/docker.sock
//	npipe:////./pipe/docker_engine   on Windows
//
// With a host nothing of the environment is read, neither DOCKER_HOST and its
// relatives nor a docker context; only the proxy variables are, for tcp and
// https. Without a host [New] follows the environment like the docker command.
func WithHost(host string) Option {
	return func(c *config) error {
		if host == "" {
			return errors.New("WithHost: empty host")
		}
		if c.context != "" {
			return errors.New("WithHost: cannot be combined with WithContext")
		}
		c.host = host
		return nil
	}
}

// WithContext takes host and TLS material from the docker context of that
// name, as "docker --context" does. "default" is the host that the
// environment and the default sockets name.
func WithContext(name string) Option {
	return func(c *config) error {
		if name == "" {
			return errors.New("WithContext: empty name")
		}
		if c.host != "" {
			return errors.New("WithContext: cannot be combined with WithHost")
		}
		c.context = name
		return nil
	}
}

// WithTLS makes the client speak TLS with the given configuration, which is
// cloned. The minimum version is raised to TLS 1.2. It replaces TLS material
// that the environment or a context names, and is refused for sockets, pipes
// and ssh.
func WithTLS(cfg *tls.Config) Option {
	return func(c *config) error {
		if cfg == nil {
			return errors.New("WithTLS: nil configuration")
		}
		c.tls = cfg.Clone()
		return nil
	}
}

// WithInsecureSkipVerify turns off the verification of the engine's
// certificate. Anybody between here and the engine can then read and change
// everything, secrets included. A warning goes to the logger.
func WithInsecureSkipVerify() Option {
	return func(c *config) error {
		c.insecure = true
		return nil
	}
}

// WithDialer makes the connections to the engine. Network and address are
// those of the host ("unix" and a path, "tcp" and host:port); proxies of the
// environment are not used. TLS, where the host asks for it, is spoken over
// the connection returned. It is refused for ssh hosts.
func WithDialer(dial func(ctx context.Context, network, address string) (net.Conn, error)) Option {
	return func(c *config) error {
		if dial == nil {
			return errors.New("WithDialer: nil function")
		}
		c.dial = dial
		return nil
	}
}

// WithHTTPClient sends every request through client, whose Transport then
// makes the connections: for tcp, http and https hosts only, and not together
// with [WithDialer], [WithDialTimeout] or [WithTLS]. The client's Timeout must be zero, because it
// would cut streams; its redirect policy is not used, redirects are never
// followed. [Client.Close] closes its idle connections.
func WithHTTPClient(client *http.Client) Option {
	return func(c *config) error {
		if client == nil {
			return errors.New("WithHTTPClient: nil client")
		}
		if client.Timeout != 0 {
			return errors.New("WithHTTPClient: the client has a Timeout, which would cut streams; give calls a context instead")
		}
		c.httpClient = client
		return nil
	}
}

// WithRoundTripper wraps the transport, for tracing or metrics. The first
// wrapper given is the outermost. A wrapper sees credentials in headers and
// secrets in bodies.
func WithRoundTripper(wrap func(http.RoundTripper) http.RoundTripper) Option {
	return func(c *config) error {
		if wrap == nil {
			return errors.New("WithRoundTripper: nil function")
		}
		c.wrap = append(c.wrap, wrap)
		return nil
	}
}

// reservedHeaders are set by the library alone.
var reservedHeaders = map[string]string{
	"Host": "", "Content-Length": "", "Content-Type": "", "Transfer-Encoding": "", "Connection": "", "Upgrade": "",
	"X-Registry-Auth": "", "User-Agent": "use WithUserAgent", "Idempotency-Key": "net/http would then repeat writes",
	"X-Idempotency-Key": "net/http would then repeat writes",
}

// WithHeader adds a header to every request, for a proxy in front of the
// engine for instance. Headers that the library sets itself are refused.
func WithHeader(key, value string) Option {
	return func(c *config) error {
		if !httpguts.ValidHeaderFieldName(key) {
			return fmt.Errorf("WithHeader: %q is no header name", key)
		}
		if !httpguts.ValidHeaderFieldValue(value) {
			return fmt.Errorf("WithHeader: the value of %s has characters that no header may have", key)
		}
		canonical := http.CanonicalHeaderKey(key)
		if hint, reserved := reservedHeaders[canonical]; reserved {
			return fmt.Errorf("WithHeader: %s is set by the library%s", canonical, prefixed(": ", hint))
		}
		c.header.Add(key, value)
		return nil
	}
}

// WithUserAgent replaces the default User-Agent, "swarm-go".
func WithUserAgent(userAgent string) Option {
	return func(c *config) error {
		if userAgent == "" || !httpguts.ValidHeaderFieldValue(userAgent) {
			return fmt.Errorf("WithUserAgent: %q is no valid user agent", userAgent)
		}
		c.userAgent = userAgent
		return nil
	}
}

// WithAPIVersion pins the API version ("1.45"; a leading "v" is allowed) and
// turns negotiation off. What a spec holds and that version lacks is refused
// with a [*VersionError]. Versions below 1.24 are refused.
func WithAPIVersion(version string) Option {
	return func(c *config) error {
		v, err := parseVersion(strings.TrimPrefix(version, "v"))
		if err != nil {
			return fmt.Errorf("WithAPIVersion: %w", err)
		}
		if v.less(minVersion) {
			return fmt.Errorf("WithAPIVersion: %s is older than %s, the oldest version supported", v, minVersion)
		}
		c.apiVersion = v.String()
		return nil
	}
}

// WithDialTimeout bounds the time to make one connection, with its proxy and
// TLS handshakes. The default is 10 seconds. It is refused together with
// [WithHTTPClient], whose Transport dials.
func WithDialTimeout(d time.Duration) Option {
	return timeoutOption("WithDialTimeout", d, func(c *config) { c.dialTimeout, c.boundsDials = d, true })
}

// WithHeaderTimeout bounds the time from sending a request to the engine's
// answer, of streams too, not counting the body. The default is 30 seconds: a
// manager that lost its leader holds requests for up to 20.
func WithHeaderTimeout(d time.Duration) Option {
	return timeoutOption("WithHeaderTimeout", d, func(c *config) { c.headerTimeout = d })
}

// WithCallTimeout bounds a whole call, repetitions included, whose context has
// no deadline. The default is 2 minutes. It never applies to streams: logs,
// events and lists read with All. Of calls that wait, or that begin again when
// somebody else came first (Wait, RunJob, RemoveAndWait, Resolve, Modify, Apply and
// their like), it bounds each request: all of it only the context does.
func WithCallTimeout(d time.Duration) Option {
	return timeoutOption("WithCallTimeout", d, func(c *config) { c.callTimeout = d })
}

func timeoutOption(name string, d time.Duration, set func(*config)) Option {
	return func(c *config) error {
		if d <= 0 {
			return fmt.Errorf("%s: %v is not positive", name, d)
		}
		set(c)
		return nil
	}
}

// WithRetry replaces the retry policy. What may be repeated at all is not
// configurable: reads, and writes that the engine provably did not execute or
// that it would refuse to execute twice.
func WithRetry(policy RetryPolicy) Option {
	return func(c *config) error {
		if err := policy.validate(); err != nil {
			return fmt.Errorf("WithRetry: %w", err)
		}
		c.retry = policy
		return nil
	}
}

// WithLogger receives insecure settings at Warn and every attempt of every
// request at Debug. Nothing secret is logged. The default logs nothing.
func WithLogger(logger *slog.Logger) Option {
	return func(c *config) error {
		if logger == nil {
			return errors.New("WithLogger: nil logger")
		}
		c.logger = logger
		return nil
	}
}

// WithObserver calls observe after every attempt of every request, from the
// goroutine that made the call. It must be safe for concurrent use and quick.
func WithObserver(observe func(Observation)) Option {
	return func(c *config) error {
		if observe == nil {
			return errors.New("WithObserver: nil function")
		}
		c.observer = observe
		return nil
	}
}

// WithRegistryAuth finds the credentials for every call that takes some: creating
// and updating services, and asking registries. A call with Auth or AuthFrom of
// its own does without it, and so does an update with AuthFromPreviousSpec. The
// default is to send none.
//
// The swarm stores what is sent with a service in its log, and hands it to each
// node that pulls the image: prefer tokens that expire, and may only pull.
func WithRegistryAuth(source AuthSource) Option {
	return func(c *config) error {
		if source == nil {
			return errors.New("WithRegistryAuth: nil source")
		}
		c.registryAuth = source
		return nil
	}
}

// Observation is one attempt at one request, as an observer sees it.
type Observation struct {
	// Operation is what the caller asked for, "update service" for instance.
	Operation string
	// Method is the HTTP method.
	Method string
	// PathTemplate is the endpoint without version and with placeholders,
	// "/services/{id}/update": fit for a metric's label.
	PathTemplate string
	// Attempt counts from 1.
	Attempt int
	// StatusCode is the engine's, 0 when there was no answer.
	StatusCode int
	// Duration is the time to the end of the answer, for streams to its headers.
	Duration time.Duration
	// Err is what the attempt failed with, nil if it succeeded.
	Err error
}

func prefixed(prefix, s string) string {
	if s == "" {
		return ""
	}
	return prefix + s
}
