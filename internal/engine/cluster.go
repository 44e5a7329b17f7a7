package engine

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/swarm-go/swarm"
)

// Cluster is one swarm: the objects that its managers agree on.
type Cluster struct {
	world *World

	// index is the number of the last commit.
	index uint64

	// leader is the ID of the node that leads the managers, empty while none
	// does. Without a leader no request is answered. It is changed by setLeader.
	leader string
	// leaderless is when the managers lost their last leader, and elected is
	// closed when they have one.
	leaderless time.Time
	elected    chan struct{}
	// unlockKey is what locked managers ask for, empty if they do not lock.
	unlockKey string
	// vxlans counts the networks that there were.
	vxlans int
	// rotations counts the roots that the swarm was given after its first.
	rotations int
	// changedNodes are the nodes whose spec was ever changed, by ID. Managers
	// forget then that these have been let into the swarm.
	changedNodes map[string]bool

	// object is the swarm object itself.
	object   *swarm.Cluster
	services *table[swarm.Service]
	tasks    *table[swarm.Task]
	nodes    *table[swarm.Node]
	networks *table[network]
	secrets  *table[swarm.Secret]
	configs  *table[swarm.Config]

	// secretData is the data of the secrets, which no answer ever holds, by ID.
	secretData map[string][]byte
	// registryAuth is what the services' images are pulled with, by service ID:
	// that of the spec and that of the previous spec.
	registryAuth map[string][2]string

	// control is what the managers remember besides the objects.
	control *control

	// byService and byNode are the IDs of the tasks of a service and of a node.
	byService, byNode map[string]map[string]bool
}

// firstIndex is how many entries managers log before those about objects.
const firstIndex = 6

// newCluster is a swarm without nodes.
func newCluster(world *World) *Cluster {
	c := &Cluster{
		world:        world,
		index:        firstIndex,
		leaderless:   world.now(),
		elected:      make(chan struct{}),
		changedNodes: map[string]bool{},
		services:     newTable("service", serviceMeta),
		tasks:        newTable("task", taskMeta),
		nodes:        newTable("node", nodeMeta),
		networks:     newTable("network", networkMeta),
		secrets:      newTable("secret", secretMeta),
		configs:      newTable("config", configMeta),
		secretData:   map[string][]byte{},
		registryAuth: map[string][2]string{},
		byService:    map[string]map[string]bool{},
		byNode:       map[string]map[string]bool{},
	}
	c.control = newControl(c)
	return c
}

// commit makes one change of the swarm's objects. All that it stores gets the
// same version. Afterwards events are sent and the orchestrator looks at what has
// changed.
func (c *Cluster) commit(f func(*tx)) {
	t := &tx{cluster: c, index: c.index + 1, now: c.world.now()}
	f(t)
	if len(t.changes) == 0 {
		return
	}
	c.index = t.index
	c.tell(t)
	c.announce(t.changes)
	c.orchestrate(t.changes)
}

// tx is a commit under way.
type tx struct {
	cluster *Cluster
	index   uint64
	now     time.Time
	changes []change
}

// change is what a commit did to one object. Old is nil for one that is new, new
// is nil for one that was removed.
type change struct {
	kind     string
	old, new any
}

// put stores an object, new or in the place of the one with its ID. The object is
// the store's from then on.
func put[T any](t *tx, table *table[T], object *T) {
	meta := table.meta(object)
	old := table.byID[*meta.id]
	meta.version.Index = t.index
	*meta.updated = t.now
	if old == nil && meta.created.IsZero() {
		*meta.created = t.now
	}
	t.store(table.kind, *meta.id, any(old), any(object))
	if old != nil {
		delete(table.byName, table.nameOf(old))
	}
	table.byID[*meta.id] = object
	if name := table.nameOf(object); name != "" {
		table.byName[name] = *meta.id
	}
	record(t, table.kind, old, object)
}

// drop removes the object of that ID.
func drop[T any](t *tx, table *table[T], id string) {
	old := table.byID[id]
	if old == nil {
		return
	}
	t.store(table.kind, id, any(old), nil)
	delete(table.byName, table.nameOf(old))
	delete(table.byID, id)
	record(t, table.kind, old, nil)
}

func record[T any](t *tx, kind string, old, new *T) {
	entry := change{kind: kind}
	if old != nil {
		entry.old = old
	}
	if new != nil {
		entry.new = new
	}
	t.changes = append(t.changes, entry)
}

// store keeps the tasks' indexes.
func (t *tx) store(kind, id string, old, new any) {
	if kind != "task" {
		return
	}
	c := t.cluster
	if task, ok := old.(*swarm.Task); ok && task != nil {
		delete(c.byService[task.ServiceID], id)
		delete(c.byNode[task.NodeID], id)
	}
	if task, ok := new.(*swarm.Task); ok && task != nil {
		add(c.byService, task.ServiceID, id)
		add(c.byNode, task.NodeID, id)
	}
}

func add(index map[string]map[string]bool, key, id string) {
	if index[key] == nil {
		index[key] = map[string]bool{}
	}
	index[key][id] = true
}

// tasksOf is the tasks whose IDs an index holds, by ID.
func (c *Cluster) tasksOf(ids map[string]bool) []*swarm.Task {
	tasks := make([]*swarm.Task, 0, len(ids))
	for _, id := range slices.Sorted(maps.Keys(ids)) {
		tasks = append(tasks, c.tasks.get(id))
	}
	return tasks
}

// putObject stores the swarm object.
func (c *Cluster) putObject(t *tx, object *swarm.Cluster) {
	object.Version.Index = t.index
	object.UpdatedAt = t.now
	record(t, "cluster", c.object, object)
	c.object = object
}

// network is a network of the swarm. Its versions are in no answer but those
// about tasks.
type network struct {
	swarm.Network
	// predefined is set for those that stand for networks of the nodes, which are
	// in no list.
	predefined bool
	version    swarm.Version
	updated    time.Time
}

// table is the objects of one kind.
type table[T any] struct {
	// kind is what texts call the objects.
	kind   string
	meta   func(*T) meta
	byID   map[string]*T
	byName map[string]string
}

// meta is what all objects have.
type meta struct {
	id               *string
	version          *swarm.Version
	created, updated *time.Time
	// name is empty for objects that have none, or that may share it.
	name string
}

func newTable[T any](kind string, meta func(*T) meta) *table[T] {
	return &table[T]{kind: kind, meta: meta, byID: map[string]*T{}, byName: map[string]string{}}
}

// get is the object of that ID, nil if there is none.
func (t *table[T]) get(id string) *T { return t.byID[id] }

// named is the object of that name in any case, nil if there is none.
func (t *table[T]) named(name string) *T { return t.byID[t.byName[strings.ToLower(name)]] }

// all is the objects by ID, which is the engine's order.
func (t *table[T]) all() []*T {
	objects := make([]*T, 0, len(t.byID))
	for _, id := range slices.Sorted(maps.Keys(t.byID)) {
		objects = append(objects, t.byID[id])
	}
	return objects
}

func (t *table[T]) nameOf(object *T) string { return strings.ToLower(t.meta(object).name) }

func serviceMeta(s *swarm.Service) meta {
	return meta{&s.ID, &s.Version, &s.CreatedAt, &s.UpdatedAt, s.Spec.Name}
}

func taskMeta(t *swarm.Task) meta { return meta{&t.ID, &t.Version, &t.CreatedAt, &t.UpdatedAt, ""} }

func nodeMeta(n *swarm.Node) meta { return meta{&n.ID, &n.Version, &n.CreatedAt, &n.UpdatedAt, ""} }

func secretMeta(s *swarm.Secret) meta {
	return meta{&s.ID, &s.Version, &s.CreatedAt, &s.UpdatedAt, s.Spec.Name}
}

func configMeta(c *swarm.Config) meta {
	return meta{&c.ID, &c.Version, &c.CreatedAt, &c.UpdatedAt, c.Spec.Name}
}

func networkMeta(n *network) meta {
	return meta{&n.ID, &n.version, &n.Created, &n.updated, n.Name}
}
