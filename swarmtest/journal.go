package swarmtest

import (
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/swarm-go/swarm/internal/engine"
)

// Request is a request that an engine got.
type Request struct {
	// Number counts the requests of an engine, from 1 on.
	Number int
	// Time is when it came, by the engine's clock.
	Time time.Time
	// Node is the hostname of the node that it came to.
	Node string
	// Method is the HTTP method.
	Method string
	// Path is its path, with the API version.
	Path string
	// Query is what follows the path.
	Query string
	// Status is what the client was answered with, zero if there was no answer
	// yet, or none at all. A fault may have made it up.
	Status int
	// Done tells that the request is over: the answer was written, or cut off.
	Done bool
}

// Change is what happened to one object of the swarm, or of one node: what requests
// asked for, and what the engine did by itself.
type Change struct {
	// Time is when it happened, by the engine's clock.
	Time time.Time
	// Node is the hostname of the node whose object it is, empty for those of the
	// swarm.
	Node string
	// Kind is what kind of object: "service", "task", "node", "network",
	// "secret", "config", or "cluster" for the swarm itself; of one node "volume",
	// "network" and "image".
	Kind string
	// Action is "create", "update" or "remove". An image is created by pulling it.
	Action string
	// ID is the object's: a volume's is its name.
	ID string
	// Name is the object's. Tasks and nodes have none.
	Name string
	// Version is the object's after it, zero for one that was removed. Objects of
	// one node have none.
	Version uint64
	// Request is the Number of the request that asked for it, zero for what the
	// engine did by itself.
	Request int
}

// maxJournal is how many entries of each kind a journal keeps.
const maxJournal = 100_000

// journal is what an engine was asked, and what came of it.
type journal struct {
	clock engine.Clock

	mu       sync.Mutex
	count    int
	requests []*Request
	changes  []Change
}

// Requests are the requests that the engine got, in order; after very many, the
// last hundred thousand.
func (e *Engine) Requests() []Request {
	e.journal.mu.Lock()
	defer e.journal.mu.Unlock()
	requests := make([]Request, len(e.journal.requests))
	for i, request := range e.journal.requests {
		requests[i] = *request
	}
	return requests
}

// Changes are what happened to the objects of the swarm and of its nodes, in order;
// after very many, at least the last hundred thousand. A test that counts them knows what a request
// has done, whatever its answer was.
func (e *Engine) Changes() []Change {
	e.journal.mu.Lock()
	defer e.journal.mu.Unlock()
	return slices.Clone(e.journal.changes)
}

// wrap writes down the requests to a node.
func (j *journal) wrap(node string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		request := j.begin(node, r)
		defer j.end(request)
		w = &noted{ResponseWriter: w, note: func(status int) { j.answer(request, status) }}
		next.ServeHTTP(w, r.WithContext(engine.WithRequest(r.Context(), request.Number)))
	})
}

func (j *journal) begin(node string, r *http.Request) *Request {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.count++
	request := &Request{
		Number: j.count,
		Time:   j.clock.Now(),
		Node:   node,
		Method: r.Method,
		Path:   r.URL.Path,
		Query:  r.URL.RawQuery,
	}
	j.requests = last(append(j.requests, request))
	return request
}

func (j *journal) answer(request *Request, status int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	request.Status = status
}

func (j *journal) end(request *Request) {
	j.mu.Lock()
	defer j.mu.Unlock()
	request.Done = true
}

func (j *journal) change(change engine.Change) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.changes = last(append(j.changes, Change(change)))
}

// last is what a journal keeps of entries. Half of them go at a time.
func last[T any](entries []T) []T {
	if len(entries) < 2*maxJournal {
		return entries
	}
	return slices.Clone(entries[maxJournal:])
}

// noted is an answer whose status is noted.
type noted struct {
	http.ResponseWriter
	note  func(status int)
	begun bool
}

func (n *noted) WriteHeader(status int) {
	if !n.begun && status >= http.StatusOK {
		n.begun = true
		n.note(status)
	}
	n.ResponseWriter.WriteHeader(status)
}

func (n *noted) Write(p []byte) (int, error) {
	if !n.begun {
		n.begun = true
		n.note(http.StatusOK)
	}
	return n.ResponseWriter.Write(p)
}

// Unwrap is for http.ResponseController.
func (n *noted) Unwrap() http.ResponseWriter { return n.ResponseWriter }
