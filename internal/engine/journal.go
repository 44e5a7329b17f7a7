package engine

import (
	"context"
	"time"

	"github.com/swarm-go/swarm"
)

// Change is what happened to one object of a swarm, or of a node alone.
type Change struct {
	// Time is when, by the engine's clock.
	Time time.Time
	// Node is the hostname of the node that the object is on, empty for those of
	// the swarm.
	Node string
	// Kind is what kind of object: service, task, node, network, secret, config,
	// cluster for the swarm itself; volume, network and image of a node alone.
	Kind string
	// Action is create, update or remove. An image that is pulled is created.
	Action string
	// ID and Name are the object's. Tasks and nodes have no name.
	ID, Name string
	// Version is the object's afterwards, zero when it is removed, or the node's
	// alone.
	Version uint64
	// Request is the number of the request that was answered with it, zero for
	// what the engine did by itself.
	Request int
}

// requestKey is the context key of a request's number.
type requestKey struct{}

// WithRequest gives a request its number, from 1 on, for the changes that it
// makes.
func WithRequest(ctx context.Context, number int) context.Context {
	return context.WithValue(ctx, requestKey{}, number)
}

// OnChange has f told of every change, under the world's lock. It is set before
// anything happens.
func (w *World) OnChange(f func(Change)) { w.onChange = f }

// as runs f as the work of a request.
func (w *World) as(ctx context.Context, f func()) {
	w.acting, _ = ctx.Value(requestKey{}).(int)
	defer func() { w.acting = 0 }()
	f()
}

// tell tells of what was committed.
func (c *Cluster) tell(t *tx) {
	if c.world.onChange == nil {
		return
	}
	for _, change := range t.changes {
		object, action := change.new, "update"
		switch {
		case change.new == nil:
			object, action = change.old, "remove"
		case change.old == nil:
			action = "create"
		}
		told := Change{Time: t.now, Kind: change.kind, Action: action, Request: c.world.acting}
		told.identify(c.metaOf(object))
		if action == "remove" {
			told.Version = 0
		}
		c.world.onChange(told)
	}
}

// note tells of what has happened to an object of the daemon alone.
func (d *Daemon) note(kind, action, id, name string) {
	if d.world.onChange != nil {
		d.world.onChange(Change{
			Time: d.world.now(), Node: d.hostname, Kind: kind, Action: action, ID: id, Name: name, Request: d.world.acting,
		})
	}
}

func (c *Change) identify(m meta) {
	c.ID, c.Name, c.Version = *m.id, m.name, m.version.Index
}

func (c *Cluster) metaOf(object any) meta {
	switch object := object.(type) {
	case *swarm.Service:
		return c.services.meta(object)
	case *swarm.Task:
		return c.tasks.meta(object)
	case *swarm.Node:
		return c.nodes.meta(object)
	case *network:
		return c.networks.meta(object)
	case *swarm.Secret:
		return c.secrets.meta(object)
	case *swarm.Config:
		return c.configs.meta(object)
	case *swarm.Cluster:
		return meta{id: &object.ID, name: object.Spec.Name, version: &object.Version}
	}
	panic("embedded engine: an object of no known kind")
}
