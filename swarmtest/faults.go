package swarmtest

import (
	"context"
	"math/rand/v2"
	"net/http"
	"path"
	"regexp"
	"slices"
	"sync"
	"time"

	"github.com/swarm-go/swarm/internal/engine"
)

// Fault is something that goes wrong with requests: which, how often, and what.
// The zero value of every field but Effect leaves nothing out.
type Fault struct {
	// Method is the method of the requests that it befalls, "POST". Empty: any.
	Method string
	// Path is a pattern, as of [path.Match], for the path without its API
	// version: "/services/*/update". Empty: any.
	Path string
	// Match says whether it befalls a request that Method and Path fit. Nil: it
	// does. It must not read the body. It is called for several requests at a time,
	// and may use the engine and its Injections.
	Match func(*http.Request) bool
	// Node is the hostname of the one node whose requests it befalls. Empty: all
	// nodes.
	Node string
	// Skip is how many requests that fit go through before the first it befalls.
	Skip int
	// Times is how many requests it befalls. Zero: all of them.
	Times int
	// Probability is how likely it befalls a request that fits and is not
	// skipped, from 0 to 1. Zero: always. Chance follows from the engine's seed.
	Probability float64
	// Effect is what happens to those requests. It must be set.
	Effect Effect
}

// Effect is what a fault does to a request: it gets what answers the request and
// returns what does so instead. Those of this package are named after what the
// client sees; any middleware is one.
type Effect func(next http.Handler) http.Handler

// Inject makes something go wrong with requests, until the Injection is removed
// or the engine closed. Several faults may befall one request: the one injected
// last comes first. Inject panics if the fault has no Effect or a Path that is no
// pattern.
func (e *Engine) Inject(fault Fault) *Injection { return e.faults.inject(fault) }

// Injection is a fault that an engine has been given.
type Injection struct {
	fault Fault
	set   *faults

	// seen and hits are how many requests fitted, and how many of them it befell.
	seen, hits int
}

// Hits is how many requests the fault has befallen so far.
func (i *Injection) Hits() int {
	i.set.mu.Lock()
	defer i.set.mu.Unlock()
	return i.hits
}

// Remove ends the fault. Requests that it has befallen already go on under it.
func (i *Injection) Remove() {
	i.set.mu.Lock()
	defer i.set.mu.Unlock()
	i.set.list = slices.DeleteFunc(i.set.list, func(other *Injection) bool { return other == i })
}

// faults are the faults of one engine.
type faults struct {
	mu   sync.Mutex
	rand *rand.Rand
	list []*Injection
}

func newFaults(seed uint64) *faults {
	return &faults{rand: rand.New(rand.NewPCG(seed, 1))}
}

func (f *faults) inject(fault Fault) *Injection {
	if fault.Effect == nil {
		panic("swarmtest: a Fault without an Effect")
	}
	if _, err := path.Match(fault.Path, ""); err != nil {
		panic("swarmtest: Fault.Path " + fault.Path + ": " + err.Error())
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	injection := &Injection{fault: fault, set: f}
	f.list = append(f.list, injection)
	return injection
}

// wrap answers as next does, but for the faults. The one injected last is the
// outermost.
func (f *faults) wrap(clock engine.Clock, node string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r = r.WithContext(context.WithValue(r.Context(), clockKey{}, clock))
		handler := next
		for _, effect := range f.befalling(node, r) {
			handler = effect(handler)
		}
		handler.ServeHTTP(w, r)
	})
}

// befalling is the effects that a request has to suffer.
func (f *faults) befalling(node string, r *http.Request) []Effect {
	f.mu.Lock()
	list := slices.Clone(f.list)
	f.mu.Unlock()
	var effects []Effect
	for _, injection := range list {
		if injection.fault.fits(node, r) && injection.befalls() {
			effects = append(effects, injection.fault.Effect)
		}
	}
	return effects
}

var apiVersion = regexp.MustCompile(`^/v[0-9.]+/`)

// fits reports whether a request is one of those that the fault is for. Nothing is
// locked meanwhile: Match is the caller's.
func (f *Fault) fits(node string, r *http.Request) bool {
	if f.Method != "" && f.Method != r.Method || f.Node != "" && f.Node != node {
		return false
	}
	if fits, _ := path.Match(f.Path, apiVersion.ReplaceAllString(r.URL.Path, "/")); f.Path != "" && !fits {
		return false
	}
	return f.Match == nil || f.Match(r)
}

// befalls counts a request that fits, and reports whether the fault befalls it.
func (i *Injection) befalls() bool {
	i.set.mu.Lock()
	defer i.set.mu.Unlock()
	if !slices.Contains(i.set.list, i) {
		return false // it was removed meanwhile
	}
	fault := &i.fault
	i.seen++
	if i.seen <= fault.Skip || fault.Times > 0 && i.hits >= fault.Times {
		return false
	}
	if fault.Probability > 0 && i.set.rand.Float64() >= fault.Probability {
		return false
	}
	i.hits++
	return true
}

// clockKey is the context key of a request's clock.
type clockKey struct{}

// sleep waits on the engine's clock. It reports whether the client still waits.
func sleep(r *http.Request, d time.Duration) bool {
	woken := make(chan struct{})
	clock := r.Context().Value(clockKey{}).(engine.Clock)
	stop := clock.AfterFunc(d, func() { close(woken) })
	select {
	case <-woken:
		return true
	case <-r.Context().Done():
		stop()
		return false
	}
}
