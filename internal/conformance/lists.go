package conformance

import (
	"net/http"
	"slices"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The kinds of objects that have a name, labels, and lists with filters.
var named = []string{"services", "secrets", "configs"}

// each makes a behaviour of every kind.
func each(id string, kinds []string, run func(t *T, kind string)) (all []Behaviour) {
	for _, kind := range kinds {
		all = append(all, Behaviour{id + "." + kind, Swarm, func(t *T) { run(t, kind) }})
	}
	return all
}

// add makes an object of a kind.
func (t *T) add(kind string, edits ...edit) (id string) {
	t.Helper()
	switch kind {
	case "secrets":
		return t.secret(edits...)
	case "configs":
		return t.config(edits...)
	case "networks":
		return t.network(edits...)
	default:
		return t.service(edits...)
	}
}

func called(name string) edit { return set("Name", name) }

// lists wants these IDs to be what a filter lets through, of ours: the IDs of
// everything that the behaviour has made.
func (t *T) lists(kind string, ours []string, want []string, filters ...string) {
	t.Helper()
	found := []string{}
	for _, object := range t.list("/" + kind + "?" + filter(filters...)) {
		id, _ := object["ID"].(string)
		if slices.Contains(ours, id) {
			found = append(found, id)
		}
	}
	assert.ElementsMatch(t, want, found, "%s", filters)
}

var lists = slices.Concat(
	each("A3.name-filter-is-prefix", named, func(t *T, kind string) {
		name := t.name()
		short, long := t.add(kind, called(name)), t.add(kind, called(name+"b"))
		both := []string{short, long}
		t.lists(kind, both, both, "name", name)
		t.lists(kind, both, []string{long}, "name", name+"b")
		t.lists(kind, both, nil, "name", name[1:])
		t.lists(kind, both, nil, "name", name+"c")
	}),
	each("A3.id-filter-is-prefix", named, func(t *T, kind string) {
		one, other := t.add(kind), t.add(kind)
		both := []string{one, other}
		t.lists(kind, both, []string{one}, "id", one)
		t.lists(kind, both, []string{one}, "id", one[:12])
		t.lists(kind, both, nil, "id", one[1:])
	}),
	each("A3.values-of-one-key-are-alternatives", named, func(t *T, kind string) {
		one, other, third := t.name(), t.name(), t.name()
		ours := []string{t.add(kind, called(one)), t.add(kind, called(other)), t.add(kind, called(third))}
		t.lists(kind, ours, ours[:2], "name", one, "name", other)
	}),
	each("A3.label-filter", named, func(t *T, kind string) {
		mark := t.name()
		ours := []string{
			t.add(kind, set("Labels", obj{mark: "1", "b": "2"})),
			t.add(kind, set("Labels", obj{mark: ""})),
			t.add(kind, set("Labels", obj{"b": "2"})),
		}
		t.lists(kind, ours, ours[:2], "label", mark)
		t.lists(kind, ours, ours[:1], "label", mark+"=1")
		t.lists(kind, ours, nil, "label", mark+"=2")
		t.lists(kind, ours, ours[:1], "label", mark, "label", "b")
		t.lists(kind, ours, ours[:1], "label", mark+"=1", "label", "b=2")
		t.lists(kind, ours, nil, "label", mark+"=1", "label", "b=3")
		t.lists(kind, ours, nil, "label", mark[:4])
	}),
	each("A3.label-filter-without-value-is-presence", named, func(t *T, kind string) {
		mark := t.name()
		ours := []string{t.add(kind, label(mark, "1")), t.add(kind, label(mark, ""))}
		t.lists(kind, ours, ours, "label", mark+"=")
	}),
	each("A3.label-must-hold-too", named, func(t *T, kind string) {
		name, mark := t.name(), t.name()
		ours := []string{t.add(kind, called(name), label(mark, "1")), t.add(kind, called(name+"b")), t.add(kind, label(mark, "1"))}
		t.lists(kind, ours, ours[:1], "name", name, "label", mark)
	}),
	each("A3.id-and-name-are-alternatives", []string{"secrets", "configs"}, func(t *T, kind string) {
		mark := t.name()
		ours := []string{t.add(kind, called(mark)), t.add(kind, label(mark, "1")), t.add(kind)}
		t.lists(kind, ours, ours[:2], "name", mark, "id", ours[1])
		t.lists(kind, ours, ours[1:2], "name", mark, "id", ours[1], "label", mark)
	}),
	each("A3.filters-may-be-a-map-of-booleans", named, func(t *T, kind string) {
		name := t.name()
		t.add(kind, called(name))
		found := t.list(`/` + kind + `?filters={"name":{"` + name + `":true}}`)
		assert.Len(t, found, 1)
	}),
	each("lists.nothing-is-an-empty-list", []string{"services", "secrets", "configs", "tasks", "nodes"}, func(t *T, kind string) {
		a := t.send(request{method: http.MethodGet, path: "/" + kind + "?" + filter("id", "no-such-id")})
		assert.Equal(t, "[]\n", string(a.body))
	}),
	each("lists.of-unknown-filters", named, func(t *T, kind string) {
		t.answers(request{method: http.MethodGet, path: "/" + kind + "?" + filter("scope", "x")},
			since[string]{"20.10": "400 Invalid filter 'scope'", "26.1": "400 invalid filter 'scope'"}.from(t))
	}),
	[]Behaviour{
		{"A3.names-filter-is-exact.secrets", Swarm, func(t *T) {
			name := t.name()
			ours := []string{t.secret(called(name)), t.secret(called(name + "b"))}
			t.lists("secrets", ours, ours[:1], "names", name)
			t.lists("secrets", ours, ours, "names", name, "id", ours[1])
		}},
		{"A3.names-filter-is-unknown.configs", Swarm, func(t *T) { unknownNames(t, "configs") }},
		{"A3.names-filter-is-unknown.services", Swarm, func(t *T) { unknownNames(t, "services") }},
		{"A3.id-and-name-must-both-hold.services", Swarm, func(t *T) {
			name := t.name()
			ours := []string{t.service(called(name)), t.service()}
			t.lists("services", ours, ours[:1], "name", name, "id", ours[0])
			t.lists("services", ours, nil, "name", name, "id", ours[1])
		}},
		{"A3.mode-filter-is-exact", Swarm, func(t *T) {
			job := obj{"ReplicatedJob": obj{"MaxConcurrent": 1, "TotalCompletions": 1}}
			ours := []string{
				t.service(), t.service(mode(obj{"Global": obj{}}), nowhere),
				t.service(mode(job), nowhere), t.service(mode(obj{"GlobalJob": obj{}}), nowhere),
			}
			for i, name := range []string{"replicated", "global", "replicated-job", "global-job"} {
				t.lists("services", ours, ours[i:i+1], "mode", name)
			}
			t.lists("services", ours, nil, "mode", "repl")
			t.lists("services", ours, nil, "mode", "zzz")
			t.lists("services", ours, ours[:2], "mode", "replicated", "mode", "global")
		}},
		{"A4.services-are-those-of-containers", Swarm, func(t *T) {
			id := []string{t.service()}
			t.lists("services", id, id, "runtime", "container")
			t.lists("services", id, nil, "runtime", "plugin")
			t.lists("services", id, id, "runtime", "plugin", "runtime", "container")
		}},
		{"A4.services-of-plugins-are-experimental", Swarm, func(t *T) {
			t.answers(post("/services/create", t.spec(asPlugin, global)), `500 runtime type "plugin" only supported in experimental`)
			t.answers(post("/services/create", t.spec(asPlugin)), "400 plugins must not use replicated mode")
		}},
		{"A5.status-is-only-in-lists-and-if-asked-for", Swarm, func(t *T) {
			id := t.service(replicas(2), nowhere)
			only := "/services?" + filter("id", id)
			t.hasTasks(id, 2)
			t.has(t.list(only + "&status=true")[0], "ServiceStatus", obj{"RunningTasks": 0, "DesiredTasks": 2, "CompletedTasks": 0})
			assert.NotContains(t, t.list(only)[0], "ServiceStatus")
			assert.NotContains(t, t.list(only + "&status=false")[0], "ServiceStatus")
			assert.NotContains(t, t.get("/services/"+id+"?status=true"), "ServiceStatus")
		}},
		{"A5.status-is-ignored-below-1.41", Swarm, func(t *T) {
			id := t.service()
			a := t.send(request{method: http.MethodGet, version: "1.40", path: "/services?status=true&" + filter("id", id)})
			assert.NotContains(t, decode[[]obj](t, a)[0], "ServiceStatus")
		}},
		{"A5.status-counts-running-tasks", Swarm, func(t *T) {
			id := t.running(1)
			t.has(t.list("/services?status=1&" + filter("id", id))[0], "ServiceStatus", obj{"RunningTasks": 1, "DesiredTasks": 1, "CompletedTasks": 0})
		}},
		{"A6.any-value-of-up-to-date-filters", Swarm, func(t *T) {
			id := t.service(replicas(1), nowhere)
			t.hasTasks(id, 1)
			t.update("/services/"+id, set(inContainer+"Env", list{"A=1"}))
			t.until(id, func(tasks []obj) bool { return len(tasks) == 2 })
			for _, value := range []string{"true", "false", "x"} {
				fresh := t.tasks(id, "_up-to-date", value)
				if assert.Len(t, fresh, 1, value) {
					t.has(fresh[0], "Spec.ContainerSpec.Env", list{"A=1"})
				}
			}
		}},
		{"lists.tasks-by-service-name-and-id", Swarm, func(t *T) {
			service := t.madeService(t.service(replicas(1), nowhere))
			t.hasTasks(service["id"].(string), 1)
			assert.Len(t, t.tasks(service["name"].(string)), 1)
			assert.Len(t, t.tasks(service["id"].(string)), 1)
			assert.Len(t, t.tasks(service["prefix"].(string)), 1)
		}},
		{"lists.tasks-by-node", Swarm, func(t *T) {
			id := t.running(1)
			node := t.node()
			assert.Len(t, t.tasks(id, "node", node), 1)
			t.answers(request{method: http.MethodGet, path: "/tasks?" + filter("node", "nope")}, "404 node nope not found")
		}},
		{"lists.tasks-by-desired-state", Swarm, func(t *T) {
			id := t.running(1)
			t.update("/services/"+id, replicas(0))
			t.until(id, func(tasks []obj) bool { return len(tasks) == 0 }, "desired-state", "running")
			assert.Empty(t, t.tasks(id, "desired-state", "accepted"))
			t.forgotten(id, 0)
		}},
		{"lists.tasks-by-id-prefix", Swarm, func(t *T) {
			id := t.service(replicas(2), nowhere)
			task := t.hasTasks(id, 2)[1]["ID"].(string)
			found := t.list("/tasks?" + filter("id", task[:20]))
			if assert.Len(t, found, 1) {
				t.has(found[0], "ID", task)
			}
		}},
		{"lists.tasks-by-label-of-the-service", Swarm, func(t *T) {
			mark := t.name()
			id := t.service(replicas(1), nowhere, label(mark, "1"))
			t.hasTasks(id, 1)
			assert.Len(t, t.list("/tasks?"+filter("label", mark)), 1)
			assert.Empty(t, t.list("/tasks?"+filter("label", mark+"=2")))
		}},
		{"lists.tasks-by-name-prefix-of-the-service", Swarm, func(t *T) {
			name := t.name()
			id := t.service(called(name), replicas(1), nowhere)
			t.hasTasks(id, 1)
			assert.Len(t, t.list("/tasks?"+filter("name", name)), 1)
			assert.Len(t, t.list("/tasks?"+filter("name", name+".1")), 1)
			assert.Empty(t, t.list("/tasks?"+filter("name", name+".2")))
		}},
		{"lists.nodes", Swarm, func(t *T) {
			node := t.get("/nodes/" + t.node())
			id, host := node["ID"].(string), at(node, "Description.Hostname").(string)
			ours := []string{id}
			t.lists("nodes", ours, ours, "id", id[:10])
			t.lists("nodes", ours, ours, "name", host)
			t.lists("nodes", ours, ours, "name", host[:1])
			t.lists("nodes", ours, nil, "name", "no-such-host")
			t.lists("nodes", ours, ours, "role", "manager")
			t.lists("nodes", ours, nil, "role", "worker")
			t.lists("nodes", ours, nil, "label", "no-such-label")
		}},
		{"lists.nodes-by-their-label", Swarm, func(t *T) {
			mark, node := t.name(), t.node()
			t.labelNode(mark, "1")
			ours := []string{node}
			t.lists("nodes", ours, ours, "node.label", mark)
			t.lists("nodes", ours, ours, "node.label", mark+"=1")
			t.lists("nodes", ours, nil, "node.label", mark+"=2")
			t.lists("nodes", ours, nil, "label", mark)
		}},
		// An update forgets the membership, which is no part of its spec.
		{"lists.nodes-by-membership-after-an-update", Swarm, func(t *T) {
			node := t.node()
			t.update("/nodes/" + node)
			t.lists("nodes", []string{node}, []string{node}, "membership", "pending")
			t.lists("nodes", []string{node}, nil, "membership", "accepted")
		}},
		{"lists.nodes-by-an-unknown-role", Swarm, func(t *T) {
			t.answers(request{method: http.MethodGet, path: "/nodes?" + filter("role", "zzz")}, "500 Invalid role filter: 'zzz'")
			t.answers(request{method: http.MethodGet, path: "/nodes?" + filter("membership", "zzz")}, "500 Invalid membership filter: 'zzz'")
		}},
	},
)

func unknownNames(t *T, kind string) {
	t.answers(request{method: http.MethodGet, path: "/" + kind + "?" + filter("names", "x")},
		since[string]{"20.10": "400 Invalid filter 'names'", "26.1": "400 invalid filter 'names'"}.from(t))
}

// asPlugin makes a service one of plugins.
func asPlugin(spec obj) {
	spec["TaskTemplate"] = obj{"Runtime": "plugin", "PluginSpec": obj{"Name": "p", "Remote": "nosuch/plugin:1"}}
}

// labelNode gives the node a label that only this behaviour knows of.
func (t *T) labelNode(key, value string) {
	t.Helper()
	path := "/nodes/" + t.node()
	t.update(path, set("Labels."+key, value))
	t.Cleanup(func() { t.update(path, drop("Labels."+key)) })
	require.Equal(t, value, at(t.get(path), "Spec.Labels."+key))
}
