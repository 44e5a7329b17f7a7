package swarmtest

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"

	"github.com/swarm-go/swarm"
	"github.com/swarm-go/swarm/internal/engine"
)

// TB is what [Start] needs of a test. A *testing.T, a *testing.B and a
// *testing.F all are one.
type TB interface {
	// Helper marks the caller as a helper.
	Helper()
	// Fatalf fails the test and ends it.
	Fatalf(format string, args ...any)
	// Cleanup has f called when the test is over.
	Cleanup(f func())
}

// Start makes an engine for a test, which closes it when it is over. What is
// wrong with the options fails the test.
func Start(tb TB, opts ...Option) *Engine {
	tb.Helper()
	e, err := NewEngine(opts...)
	if err != nil {
		tb.Fatalf("%v", err)
		return nil
	}
	tb.Cleanup(e.Close)
	return e
}

// Engine is an embedded engine: one or several nodes, in a swarm of their own
// unless [WithoutSwarm] says otherwise. It is safe for concurrent use.
type Engine struct {
	world  *engine.World
	config config
	faults *faults
	// journal is what it was asked, and what came of it.
	journal *journal

	mu      sync.Mutex
	nodes   []*Node
	clients []*swarm.Client
}

// NewEngine makes an engine. Close it. In a test, [Start] is shorter.
func NewEngine(opts ...Option) (*Engine, error) {
	config := defaultConfig()
	for _, opt := range opts {
		if err := opt(&config); err != nil {
			return nil, fmt.Errorf("swarmtest: %w", err)
		}
	}
	e := &Engine{
		world:   engine.NewWorld(config.clock.clock, config.seed),
		config:  config,
		faults:  newFaults(config.seed),
		journal: &journal{clock: config.clock.clock},
	}
	e.world.OnChange(e.journal.change)
	e.world.Pace = config.innerPace()
	e.world.RefuseUnknownImages = config.unknown == nil
	if config.unknown != nil {
		e.world.UnknownImages = config.unknown.inner()
	}
	if err := e.setUp(); err != nil {
		e.Close()
		return nil, fmt.Errorf("swarmtest: %w", err)
	}
	return e, nil
}

// setUp makes the nodes and the swarm.
func (e *Engine) setUp() error {
	first, err := e.AddNode(NodeOptions{})
	if err != nil {
		return err
	}
	if !e.config.noSwarm {
		if _, err := first.daemon.InitSwarm(swarm.InitOptions{}); err != nil {
			return err
		}
	}
	for i := range e.config.managers + e.config.workers - 1 {
		role := swarm.RoleManager
		if i >= e.config.managers-1 {
			role = swarm.RoleWorker
		}
		if _, err := e.AddNode(NodeOptions{Role: role}); err != nil {
			return err
		}
	}
	if e.config.listen == "" {
		return nil
	}
	_, err = first.Listen(e.config.listen)
	return err
}

// Client is a client of the first node, a manager, connected in memory. The
// options come after those that connect it; it panics if one of them is wrong.
// Closing it is not needed: [Engine.Close] does.
func (e *Engine) Client(opts ...swarm.Option) *swarm.Client { return e.first().Client(opts...) }

// Clock is the time that the engine lives by.
func (e *Engine) Clock() *Clock { return &e.config.clock }

// DialContext connects to the first node in memory, whatever the address: for
// clients other than this library's.
func (e *Engine) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	return e.first().DialContext(ctx, network, address)
}

// Host is where the first node listens, as in DOCKER_HOST: empty without
// [WithListen] or [Node.Listen].
func (e *Engine) Host() string { return e.first().Host() }

// URL is Host for plain HTTP clients, "http://127.0.0.1:2375". It is empty unless
// the first node listens on a TCP port.
func (e *Engine) URL() string { return e.first().URL() }

func (e *Engine) first() *Node {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.nodes[0]
}

// Close ends the engine: containers, connections, streams, clients. It returns
// when nothing of it is left, not even a request that is being answered: an
// [Effect] must not call it. It may be called again.
func (e *Engine) Close() {
	e.mu.Lock()
	nodes, clients := slices.Clone(e.nodes), e.clients
	e.clients = nil
	e.mu.Unlock()
	e.world.Close()
	for _, node := range nodes {
		node.daemon.Server().Close()
	}
	for _, client := range clients {
		_ = client.Close()
	}
}

// connect makes a client of a node.
func (e *Engine) connect(node *Node, opts []swarm.Option) *swarm.Client {
	client, err := swarm.New(append([]swarm.Option{
		swarm.WithHost("unix:///swarmtest/" + node.Name()), // which nothing is opened at
		swarm.WithDialer(node.DialContext),
	}, opts...)...)
	if err != nil {
		panic(fmt.Sprintf("swarmtest: %v", err))
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.clients = append(e.clients, client)
	return client
}

// httpURL is a host for plain HTTP clients.
func httpURL(host string) string {
	if address, ok := strings.CutPrefix(host, "tcp://"); ok {
		return "http://" + address
	}
	return ""
}
