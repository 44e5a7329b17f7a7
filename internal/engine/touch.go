package engine

import "strings"

// Touch writes the object that a path is about as it is, which gives it a new
// version: /services/{id}/update and its like. Paths about nothing that has a
// version do nothing.
func (w *World) Touch(path string) {
	kind, rest, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	ref, _, _ := strings.Cut(rest, "/")
	w.Do(func() {
		for _, d := range w.daemons {
			if d.canManage() == nil {
				d.cluster.touch(kind, ref)
				return
			}
		}
	})
}

func (c *Cluster) touch(kind, ref string) {
	c.commit(func(t *tx) {
		switch kind {
		case "services":
			again(t, c.services, ref)
		case "nodes":
			again(t, c.nodes, ref)
		case "secrets":
			again(t, c.secrets, ref)
		case "configs":
			again(t, c.configs, ref)
		case "swarm":
			c.putObject(t, new(*c.object))
		}
	})
}

// again stores an object, found by its ID or name, once more.
func again[T any](t *tx, table *table[T], ref string) {
	object := table.get(ref)
	if object == nil {
		object = table.named(ref)
	}
	if object != nil {
		put(t, table, new(*object))
	}
}
