package swarm

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/swarm-go/swarm/internal/wire"
)

// SpecDifference is one place where two specs of services differ.
type SpecDifference struct {
	// Path leads to it, by the names that the engine's JSON has:
	// "TaskTemplate.ContainerSpec.Image", "EndpointSpec.Ports[80/tcp/ingress]".
	Path string
	// Old is the JSON that was there, empty if there was nothing.
	Old string
	// New is the JSON that there is, empty if there is nothing.
	New string
}

// String says what became of what.
func (d SpecDifference) String() string {
	return printable(fmt.Sprintf("%s: %s -> %s", d.Path, cmp.Or(d.Old, "nothing"), cmp.Or(d.New, "nothing")))
}

// DiffSpec lists in what two specs of a service differ: the Spec and the
// PreviousSpec of a service, or a Spec that was read and what has been made of it.
// It goes by the order of the fields, with what is new behind the rest of its
// object. Elements of lists that have keys, such as the
// variables of an environment, the mounts and the ports, are told apart by these
// as long as those that stay keep their order; a list of another order differs as
// a whole, since that replaces tasks. Fields that this library does not know are
// not looked at.
//
// A spec that cannot be encoded, because of a ratio that is no number, differs as
// a whole.
func DiffSpec(before, after ServiceSpec) []SpecDifference {
	beforeTree, err1 := toTree(before)
	afterTree, err2 := toTree(after)
	if err := cmp.Or(err1, err2); err != nil {
		return []SpecDifference{{New: err.Error()}}
	}
	var d differ
	d.compare("", beforeTree, afterTree)
	return d.found
}

// differ collects differences.
type differ struct{ found []SpecDifference }

func (d *differ) add(path string, before, after *wire.Node) {
	text := func(n *wire.Node) string {
		if n == nil {
			return ""
		}
		return string(n.Append(nil))
	}
	d.found = append(d.found, SpecDifference{Path: path, Old: text(before), New: text(after)})
}

func (d *differ) compare(path string, before, after wire.Node) {
	switch {
	case before.Equal(after):
	case before.Kind == wire.Object && after.Kind == wire.Object:
		d.compareObjects(path, before, after)
	case before.Kind == wire.Array && after.Kind == wire.Array:
		d.compareLists(path, before, after)
	default:
		d.add(path, &before, &after)
	}
}

func (d *differ) compareObjects(path string, before, after wire.Node) {
	for _, m := range before.Members {
		if value, ok := after.Get(m.Name); ok {
			d.compare(pathTo(path, m.Name), m.Value, value)
		} else {
			d.add(pathTo(path, m.Name), &m.Value, nil)
		}
	}
	for _, m := range after.Members {
		if _, ok := before.Get(m.Name); !ok {
			d.add(pathTo(path, m.Name), nil, &m.Value)
		}
	}
}

func pathTo(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

func (d *differ) compareLists(path string, before, after wire.Node) {
	old, new, ok := pairs(path, before.Items, after.Items)
	if !ok {
		d.add(path, &before, &after)
		return
	}
	for _, key := range old.keys {
		element := path + "[" + key + "]"
		item := old.items[key]
		if other, ok := new.items[key]; ok {
			d.compare(element, item, other)
		} else {
			d.add(element, &item, nil)
		}
	}
	for _, key := range new.keys {
		if _, ok := old.items[key]; !ok {
			item := new.items[key]
			d.add(path+"["+key+"]", nil, &item)
		}
	}
}

// keyedList is a list by the keys of its elements.
type keyedList struct {
	keys  []string
	items map[string]wire.Node
}

// pairs takes two lists apart by keys. It cannot if they have no keys, if several
// elements share one, or if those in both are not in the same order in both.
func pairs(path string, before, after []wire.Node) (old, new keyedList, ok bool) {
	key := listKeys[path]
	if key == nil {
		return old, new, false
	}
	old, ok1 := byKey(before, key)
	new, ok2 := byKey(after, key)
	if !ok1 || !ok2 {
		return old, new, false
	}
	stay := func(from, in keyedList) []string {
		return slices.DeleteFunc(slices.Clone(from.keys), func(k string) bool { _, ok := in.items[k]; return !ok })
	}
	return old, new, slices.Equal(stay(old, new), stay(new, old))
}

func byKey(items []wire.Node, key func(wire.Node) string) (keyedList, bool) {
	list := keyedList{items: make(map[string]wire.Node, len(items))}
	for _, item := range items {
		k := key(item)
		if _, taken := list.items[k]; taken {
			return list, false
		}
		list.keys, list.items[k] = append(list.keys, k), item
	}
	return list, true
}

// listKeys are what tells the elements of lists apart, by the path of the list.
var listKeys = map[string]func(wire.Node) string{
	"TaskTemplate.ContainerSpec.Env":     func(n wire.Node) string { return envName(stringOf(n)) },
	"TaskTemplate.ContainerSpec.Mounts":  func(n wire.Node) string { return textAt(n, "Target") },
	"TaskTemplate.ContainerSpec.Secrets": fileKey("SecretID"),
	"TaskTemplate.ContainerSpec.Configs": fileKey("ConfigID"),
	"TaskTemplate.ContainerSpec.Ulimits": func(n wire.Node) string { return textAt(n, "Name") },
	"TaskTemplate.Networks":              func(n wire.Node) string { return textAt(n, "Target") },
	"EndpointSpec.Ports":                 portKey,
}

// fileKey is the file that a secret or config is seen as, or else its ID.
func fileKey(id string) func(wire.Node) string {
	return func(n wire.Node) string {
		file, _ := n.Get("File")
		return cmp.Or(textAt(file, "Name"), textAt(n, id))
	}
}

func portKey(n wire.Node) string {
	target, _ := n.Get("TargetPort")
	return fmt.Sprintf("%s/%s/%s", target.Literal, cmp.Or(textAt(n, "Protocol"), string(ProtocolTCP)),
		cmp.Or(textAt(n, "PublishMode"), string(PublishIngress)))
}

func textAt(n wire.Node, name string) string {
	value, _ := n.Get(name)
	return stringOf(value)
}

// stringOf is the text of a JSON string, and empty for anything else.
func stringOf(n wire.Node) string {
	var s string
	if n.Literal == nil || wire.Unmarshal(n.Literal, &s) != nil {
		return ""
	}
	return s
}

// WillRestart reports whether a service's tasks are replaced when its spec changes
// from before, as it was read, to after. It says what engines do: tasks are
// replaced for any difference in the TaskTemplate or EndpointSpec, even an empty
// object or another order of a list. A job runs again whatever changes.
//
// A change of Placement alone replaces no task that may stay on its node, and does
// not count. Nor does a number of replicas, though it starts and stops tasks.
// Networks are compared as they are named: engines have their IDs.
func WillRestart(before, after ServiceSpec) bool {
	beforeTree, err1 := toTree(before)
	afterTree, err2 := toTree(after)
	if err1 != nil || err2 != nil || beforeTree.Equal(afterTree) {
		return false
	}
	switch before.Mode.Kind() {
	case ModeReplicatedJob, ModeGlobalJob:
		return true
	}
	for _, name := range []string{"TaskTemplate", "EndpointSpec"} {
		old, _ := beforeTree.Get(name)
		new, _ := afterTree.Get(name)
		if !stored.reduce(name, old.Without("Placement")).Equal(stored.reduce(name, new.Without("Placement"))) {
			return true
		}
	}
	return false
}

// fillings are what engines take for granted where the spec of a service says
// nothing, by path, with [] for the elements of lists.
type fillings map[string]string

// stored are those that engines write into the spec.
var stored = fillings{
	"TaskTemplate.Runtime":                                        `"container"`,
	"TaskTemplate.ForceUpdate":                                    `0`,
	"TaskTemplate.ContainerSpec.Isolation":                        `"default"`,
	"TaskTemplate.ContainerSpec.Mounts[].Type":                    `"bind"`,
	"TaskTemplate.ContainerSpec.Mounts[].BindOptions.Propagation": `"rprivate"`,
	"TaskTemplate.ContainerSpec.Privileges.NoNewPrivileges":       `false`,
	"TaskTemplate.ContainerSpec.Privileges.Seccomp.Mode":          `"default"`,
	"TaskTemplate.ContainerSpec.Privileges.AppArmor.Mode":         `"default"`,
	"TaskTemplate.RestartPolicy.Condition":                        `"any"`,
	"TaskTemplate.RestartPolicy.MaxAttempts":                      `0`,
	"EndpointSpec.Mode":                                           `"vip"`,
	"EndpointSpec.Ports[].Protocol":                               `"tcp"`,
	"EndpointSpec.Ports[].PublishMode":                            `"ingress"`,
	"UpdateConfig.FailureAction":                                  `"pause"`,
	"UpdateConfig.Order":                                          `"stop-first"`,
	"RollbackConfig.FailureAction":                                `"pause"`,
	"RollbackConfig.Order":                                        `"stop-first"`,
}

// understood are all: also those that engines only act by.
var understood = understand()

func understand() fillings {
	all := maps.Clone(stored)
	maps.Copy(all, fillings{
		"Mode.Replicated.Replicas":                   `1`,
		"Mode.ReplicatedJob.MaxConcurrent":           `1`,
		"TaskTemplate.ContainerSpec.StopGracePeriod": `10000000000`,
		"TaskTemplate.RestartPolicy.Delay":           `5000000000`,
		"TaskTemplate.RestartPolicy.Window":          `0`,
	})
	for _, config := range []string{"UpdateConfig.", "RollbackConfig."} {
		maps.Copy(all, fillings{
			config + "Parallelism":     `1`,
			config + "Delay":           `0`,
			config + "Monitor":         `5000000000`,
			config + "MaxFailureRatio": `0`,
		})
	}
	return all
}

// has reports whether a value is what engines take for granted there.
func (f fillings) has(path string, n wire.Node) bool {
	filling, ok := f[path]
	return n.IsNull() || ok && n.Kind == wire.Scalar && string(n.Literal) == filling
}

// reduce leaves out what engines take for granted.
func (f fillings) reduce(path string, n wire.Node) wire.Node {
	reduced, _ := f.reduced(path, n)
	return reduced
}

// reduced says as well whether there was anything to leave out.
func (f fillings) reduced(path string, n wire.Node) (reduced wire.Node, less bool) {
	reduced = n
	for _, m := range n.Members {
		at := pathTo(path, m.Name)
		switch value, changed := f.reduced(at, m.Value); {
		case f.has(at, value):
			reduced, less = reduced.Without(m.Name), true
		case changed:
			reduced, less = reduced.With(m.Name, value), true
		}
	}
	for i, item := range n.Items {
		if value, changed := f.reduced(path+"[]", item); changed {
			if !less {
				reduced.Items = slices.Clone(n.Items)
			}
			reduced.Items[i], less = value, true
		}
	}
	return reduced, less
}

// meansNothing reports whether a value says no more than its absence would:
// engines take empty objects and lists for nothing when they run tasks, though
// not when they compare specs. A mode is an empty object and means something.
func meansNothing(path string, n wire.Node) bool {
	switch n.Kind {
	case wire.Object:
		return !strings.HasPrefix(path, "Mode.") && !slices.ContainsFunc(n.Members, func(m wire.Member) bool {
			return !meansNothing(pathTo(path, m.Name), m.Value)
		})
	case wire.Array:
		return len(n.Items) == 0
	}
	return understood.has(path, n)
}
