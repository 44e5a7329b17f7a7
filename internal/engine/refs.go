package engine

import (
	"strings"

	"github.com/swarm-go/swarm"
)

// find is the object that a reference stands for: the one of that ID, else of
// that name, else the only one whose ID begins so.
func find[T any](t *table[T], ref string, name func(*T) string) (*T, error) {
	if object := t.get(ref); object != nil {
		return object, nil
	}
	matches := t.matching(func(object *T) bool { return ref != "" && name(object) == ref })
	if len(matches) == 0 {
		matches = t.matching(func(object *T) bool { return strings.HasPrefix(*t.meta(object).id, ref) })
	}
	switch len(matches) {
	case 0:
		return nil, notFound(t.kind, ref)
	case 1:
		return matches[0], nil
	}
	return nil, ambiguous(t.kind, ref, len(matches))
}

// matching is the objects that a condition holds for, by ID.
func (t *table[T]) matching(holds func(*T) bool) []*T {
	matches := []*T{}
	for _, object := range t.all() {
		if holds(object) {
			matches = append(matches, object)
		}
	}
	return matches
}

func (c *Cluster) service(ref string) (*swarm.Service, error) {
	return find(c.services, ref, func(s *swarm.Service) string { return s.Spec.Name })
}

func (c *Cluster) task(ref string) (*swarm.Task, error) {
	return find(c.tasks, ref, c.taskName)
}

func (c *Cluster) nodeOf(ref string) (*swarm.Node, error) {
	return find(c.nodes, ref, func(n *swarm.Node) string { return n.Description.Hostname })
}
