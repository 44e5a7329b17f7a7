package engine

import (
	"bytes"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/swarm-go/swarm"
)

// dataKind is what there is about secrets, and about configs: which one it is
// makes little difference. Specs are those of secrets, which have all that configs
// have.
type dataKind[T any] struct {
	kind string
	// limit is the number of bytes that data must stay below.
	limit int
	// drivers is set where data may come from a driver.
	drivers bool
	// filters are those of lists.
	filters []string

	table func(*Cluster) *table[T]
	// store makes an object of a spec, all but its ID, and drop forgets what was
	// kept beside it.
	store func(c *Cluster, id string, spec swarm.SecretSpec) *T
	drop  func(c *Cluster, id string)
	// data is that of an object.
	data func(*Cluster, *T) []byte
	// labels are those of an object.
	labels func(*T) *map[string]string
	// uses reports whether a container has the object of that ID.
	uses func(container *swarm.ContainerSpec, id string) bool
}

func (k *dataKind[T]) routes() []route {
	all := "/" + k.kind + "s"
	one := all + "/{id}"
	return []route{
		{method: http.MethodGet, pattern: all, handle: k.list},
		{method: http.MethodPost, pattern: all + "/create", handle: k.create},
		{method: http.MethodGet, pattern: one, handle: k.inspect},
		{method: http.MethodDelete, pattern: one, handle: k.remove},
		{method: http.MethodPost, pattern: one + "/update", handle: k.update},
	}
}

func (k *dataKind[T]) name(c *Cluster, object *T) string { return k.table(c).meta(object).name }

// find is the object that a reference stands for. Names may have any case.
func (k *dataKind[T]) find(c *Cluster, ref string) (*T, error) {
	table := k.table(c)
	if object := table.named(ref); object != nil && table.get(ref) == nil {
		return object, nil
	}
	return find(table, ref, func(object *T) string { return k.name(c, object) })
}

// list shows what has one of the names, or one of the beginnings of names or of
// IDs, and all labels.
func (k *dataKind[T]) list(c *call) error {
	all, err := c.parseFilters()
	if err != nil {
		return err
	}
	var objects []*T
	err = c.manage(func(cluster *Cluster) error {
		if err := c.accept(all, k.filters...); err != nil {
			return err
		}
		objects = k.table(cluster).matching(func(object *T) bool {
			return k.matches(all, *k.table(cluster).meta(object).id, k.name(cluster, object)) &&
				all.labels("label", *k.labels(object))
		})
		return nil
	})
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, objects)
}

func (k *dataKind[T]) matches(f filters, id, name string) bool {
	name = strings.ToLower(name)
	begins := func(prefix string) bool { return strings.HasPrefix(name, strings.ToLower(prefix)) }
	if len(f["names"])+len(f["name"])+len(f["id"]) == 0 {
		return true
	}
	return slices.ContainsFunc(f["names"], func(n string) bool { return strings.ToLower(n) == name }) ||
		slices.ContainsFunc(f["name"], begins) ||
		len(f["id"]) > 0 && f.prefix("id", id)
}

func (k *dataKind[T]) inspect(c *call) error {
	var object *T
	err := c.manage(func(cluster *Cluster) (err error) {
		object, err = k.find(cluster, c.vars["id"])
		return err
	})
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, object)
}

func (k *dataKind[T]) create(c *call) error {
	var spec swarm.SecretSpec
	if err := c.decode(&spec); err != nil {
		return err
	}
	if !k.drivers {
		spec.Driver = nil
	}
	if spec.Templating != nil && c.version < 37 {
		return refuse(http.StatusBadRequest, "%s templating is not supported on the specified API version: 1.%d", k.kind, c.version)
	}
	id := ""
	err := c.manage(func(cluster *Cluster) error {
		if err := k.validate(spec); err != nil {
			return err
		}
		if k.table(cluster).named(spec.Name) != nil {
			return alreadyExists("%s %s already exists", k.kind, spec.Name)
		}
		if len(spec.Labels) == 0 {
			spec.Labels = map[string]string{}
		}
		id = cluster.world.newID()
		object := k.store(cluster, id, spec)
		cluster.commit(func(t *tx) { put(t, k.table(cluster), object) })
		return nil
	})
	if err != nil {
		return err
	}
	return c.json(http.StatusCreated, struct{ ID string }{id})
}

var dataName = regexp.MustCompile(`^[a-zA-Z0-9]+(?:[a-zA-Z0-9-_.]*[a-zA-Z0-9])?$`)

func (k *dataKind[T]) validate(spec swarm.SecretSpec) error {
	switch {
	case spec.Name == "":
		return invalid("name must be provided")
	case len(spec.Name) > 64 || !dataName.MatchString(spec.Name):
		return invalid("invalid name, only 64 [a-zA-Z0-9-_.] characters allowed, and the start and end character must be [a-zA-Z0-9]")
	case spec.Driver != nil && spec.Driver.Name == "":
		return invalid("secret driver must have a name")
	case spec.Driver != nil:
		return unknown("plugin %q not found", spec.Driver.Name)
	case len(spec.Data) == 0 || len(spec.Data) >= k.limit:
		return invalid("%s data must be larger than 0 and less than %d bytes", k.kind, k.limit)
	}
	return nil
}

// update changes the labels. A change of anything else is refused.
func (k *dataKind[T]) update(c *call) error {
	var spec swarm.SecretSpec
	if err := c.decode(&spec); err != nil {
		return err
	}
	version, err := strconv.ParseUint(c.r.URL.Query().Get("version"), 10, 64)
	if err != nil {
		return refuse(http.StatusBadRequest, "invalid %s version", k.kind)
	}
	err = c.manage(func(cluster *Cluster) error {
		object, err := k.find(cluster, c.vars["id"])
		if err != nil {
			return err
		}
		if spec.Name != k.name(cluster, object) || len(spec.Data) > 0 && !bytes.Equal(spec.Data, k.data(cluster, object)) {
			return invalid("only updates to Labels are allowed")
		}
		if version != k.table(cluster).meta(object).version.Index {
			return outOfSequence()
		}
		updated := *object
		*k.labels(&updated) = map[string]string{}
		if len(spec.Labels) > 0 {
			*k.labels(&updated) = spec.Labels
		}
		cluster.commit(func(t *tx) { put(t, k.table(cluster), &updated) })
		return nil
	})
	if err != nil {
		return err
	}
	c.w.WriteHeader(http.StatusOK)
	return nil
}

func (k *dataKind[T]) remove(c *call) error {
	err := c.manage(func(cluster *Cluster) error {
		object, err := k.find(cluster, c.vars["id"])
		if err != nil {
			return err
		}
		id := *k.table(cluster).meta(object).id
		users := []string{}
		for _, service := range cluster.services.all() {
			if k.uses(&service.Spec.TaskTemplate.ContainerSpec, id) {
				users = append(users, service.Spec.Name)
			}
		}
		if len(users) > 0 {
			services := "services"
			if len(users) == 1 {
				services = "service"
			}
			return invalid("%s '%s' is in use by the following %s: %s", k.kind, k.name(cluster, object), services, strings.Join(users, ", "))
		}
		k.drop(cluster, id)
		cluster.commit(func(t *tx) { drop(t, k.table(cluster), id) })
		return nil
	})
	if err != nil {
		return err
	}
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}
