// Package conformance says what every Swarm engine does, once, as tests that run
// against any engine: real ones of several releases, and our own.
//
//	func TestEngineBehavesLikeARealOne(t *testing.T) {
//		conformance.Run(t, conformance.Target{Release: "28.5", APIVersion: "1.51", Dial: …})
//	}
//
// A behaviour speaks plain HTTP, without the library, so that a mistake of the
// library cannot hide one of the engine. It holds what was observed of real
// engines; where releases differ, it holds a table by release. All of them pass on
// all the releases that this repository tests with.
//
// A behaviour is found by its ID. IDs beginning with "answer." are one request and
// its answer each; "A12." and the like belong to the numbered rules that a client
// must know of engines.
package conformance

import (
	"context"
	"net"
	"slices"
	"sync"
	"testing"
)

// Behaviour is one thing that every engine does.
type Behaviour struct {
	ID    string     // what it is called, and its subtest: "A3.name-filter-is-prefix"
	Needs Needs      // what it must have for itself
	Run   func(t *T) // asks the engine for it, and fails t if it does something else
}

// Needs is what a behaviour must have for itself.
type Needs int

const (
	// Swarm is an engine that manages a swarm, with other behaviours at work in it.
	Swarm Needs = iota
	// AloneInSwarm is the same with nobody else at work: the behaviour changes
	// the node, or the swarm. It puts back what it has changed.
	AloneInSwarm
	// OutsideSwarm is an engine in no swarm, with nobody else at work. The
	// behaviour may make a swarm, and has left it at its end.
	OutsideSwarm
)

// Target is an engine to test.
//
// It is alone in its swarm, an active manager. Behaviours define what
// a task does by its container's arguments, which the program of both images takes
// as integration/testimage does (its comment is the reference):
//
//	                      run until TERM, and then end at once, with code 0
//	-lines 5 -every 10ms  print lines to both streams: "stdout 1", "stderr 1", "stdout 2" …;
//	                      -1 for ever; then run on
//	-lines 1 -width 40000 fill each line to so many bytes with a space, then "x"
//	-exit 3 -after 2s     end with code 3 after 2 s, but not before all lines are printed
//
// Its health check is {"Test": ["CMD", "/testimage", "healthcheck", "1"]}, which
// ends with the code that is its last argument.
//
// Real engines run that program; another may run a function that reads the same
// arguments. The images set no environment that matters and need no command. No
// other image is there, and none can be pulled.
type Target struct {
	// Release is the engine's release, as two numbers: "28.5". Expectations are
	// those of the newest release known here that is not newer.
	Release string
	// APIVersion is the newest version of the API that it speaks: "1.51".
	APIVersion string
	// Image and OtherImage are references of the two images.
	Image, OtherImage string
	// Addr is an address that the engine can advertise: "10.99.0.1". Only
	// behaviours outside swarms use it.
	Addr string
	// Dial opens a connection on which the engine speaks HTTP.
	Dial func(ctx context.Context) (net.Conn, error)
	// Outside starts a second engine of the same kind, in no swarm, that ends with
	// the test. Nil leaves out the behaviours that need one.
	Outside func(t *testing.T) Target
	// Borrowed is an engine that others use too: nothing is changed of its node
	// and its swarm, and the behaviours that do so are left out.
	Borrowed bool
	// Together is how many behaviours run at a time. Zero means 8.
	Together int
}

const defaultTogether = 8

// All returns every behaviour, the answers first.
func All() []Behaviour {
	return slices.Concat(answers, lists, references, updates, tasks, specs, networks, schedule, nodes, secrets, logs, events, swarm, system)
}

// Run tests all behaviours, each as a subtest named by its ID.
func Run(t *testing.T, target Target) {
	var outside sync.WaitGroup
	defer outside.Wait()
	if target.Outside != nil {
		outside.Go(func() { runOutside(t, target) })
	}
	runTogether(t, target, needing(Swarm))
	if target.Borrowed {
		return
	}
	for _, b := range needing(AloneInSwarm) {
		t.Run(b.ID, func(t *testing.T) { Check(t, target, b) })
	}
}

// runOutside starts its engine when the first behaviour needs it.
func runOutside(t *testing.T, target Target) {
	engine := sync.OnceValue(func() Target { return target.Outside(t) })
	for _, b := range needing(OutsideSwarm) {
		t.Run(b.ID, func(t *testing.T) { Check(t, engine(), b) })
	}
}

// runTogether does not use Parallel, whose limit is that of the whole binary: the
// behaviours wait for the engine nearly all of their time.
func runTogether(t *testing.T, target Target, behaviours []Behaviour) {
	var group sync.WaitGroup
	defer group.Wait()
	work := make(chan Behaviour)
	defer close(work)
	together := target.Together
	if together == 0 {
		together = defaultTogether
	}
	for range together {
		group.Go(func() {
			for b := range work {
				t.Run(b.ID, func(t *testing.T) { Check(t, target, b) })
			}
		})
	}
	for _, b := range behaviours {
		work <- b
	}
}

func needing(needs Needs) []Behaviour {
	return slices.DeleteFunc(All(), func(b Behaviour) bool { return b.Needs != needs })
}

// Check tests one behaviour. It starts no subtest, so it can run in a bubble of
// testing/synctest if the engine does too.
func Check(t *testing.T, target Target, b Behaviour) {
	b.Run(newT(t, target))
}
