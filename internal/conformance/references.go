package conformance

import (
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func get(path string) request { return request{method: http.MethodGet, path: path} }

var references = slices.Concat(
	each("A2.name-before-id-prefix", named, func(t *T, kind string) {
		prefix := t.add(kind)[:12]
		other := t.add(kind, called(prefix))
		t.has(t.get("/"+kind+"/"+prefix), "ID", other)
	}),
	each("A2.id-before-name", named, func(t *T, kind string) {
		id := t.add(kind)
		t.add(kind, called(id))
		t.has(t.get("/"+kind+"/"+id), "ID", id)
	}),
	each("A2.id-prefix-resolves", named, func(t *T, kind string) {
		id := t.add(kind)
		t.has(t.get("/"+kind+"/"+id[:20]), "ID", id)
	}),
	each("A2.name-prefix-does-not-resolve", named, func(t *T, kind string) {
		name := t.name()
		t.add(kind, called(name+"z"))
		t.answers(get("/"+kind+"/"+name), "404 "+strings.TrimSuffix(kind, "s")+" "+name+" not found")
	}),
	each("A2.id-prefix-of-several-is-ambiguous", named, func(t *T, kind string) {
		first := map[string]bool{}
		for {
			letter := t.add(kind)[:1]
			if first[letter] {
				got := matches.ReplaceAllString(t.send(get("/"+kind+"/"+letter)).String(), "(# matches")
				assert.Equal(t, "400 "+strings.TrimSuffix(kind, "s")+" "+letter+" is ambiguous (# matches found)", got)
				return
			}
			first[letter] = true
		}
	}),
	each("A2.names-are-found-whatever-their-case", []string{"secrets", "configs"}, func(t *T, kind string) {
		name := t.name() + "abc"
		id := t.add(kind, called(name))
		t.has(t.get("/"+kind+"/"+strings.ToUpper(name)), "ID", id)
	}),
	each("A2.removed-by-prefix", named, func(t *T, kind string) {
		id := t.add(kind)
		a := t.send(request{method: http.MethodDelete, path: "/" + kind + "/" + id[:20]})
		require.Less(t, a.status, 300, "%s", a)
		t.answers(get("/"+kind+"/"+id), "404 "+strings.TrimSuffix(kind, "s")+" "+id+" not found")
	}),
	each("A2.updated-by-name", named, func(t *T, kind string) {
		name := t.name()
		id := t.add(kind, called(name))
		t.update("/"+kind+"/"+name, label("a", "b"))
		t.has(t.get("/"+kind+"/"+id), "Spec.Labels", obj{"a": "b"})
	}),
	each("A16.names-that-differ-by-case-only-conflict", named, func(t *T, kind string) {
		name := t.name() + "abc"
		t.add(kind, called(name))
		body := obj{"Name": strings.ToUpper(name), "Data": "eA=="}
		if kind == "services" {
			body = t.spec(called(strings.ToUpper(name)))
		}
		assert.Regexp(t, regexp.MustCompile("^409 .* "+name+" already exists$"), strings.ToLower(t.send(post("/"+kind+"/create", body)).String()))
	}),
	[]Behaviour{
		{"A2.escaped-slashes-separate", Swarm, func(t *T) {
			id := t.service()
			t.answers(get("/services/"+id+"%2Flogs"), noStream.from(t))
			t.answers(get("/services/a%2Fb"), "404 page not found")
		}},
		{"A2.names-are-found-as-written.services", Swarm, func(t *T) {
			name := t.name() + "abc"
			t.service(called(name))
			upper := strings.ToUpper(name)
			t.answers(get("/services/"+upper), "404 service "+upper+" not found")
		}},
		{"A2.task-by-id-and-prefix", Swarm, func(t *T) {
			id := t.service(replicas(1), nowhere)
			task := t.hasTasks(id, 1)[0]["ID"].(string)
			t.has(t.get("/tasks/"+task), "ID", task)
			t.has(t.get("/tasks/"+task[:20]), "ID", task)
		}},
		{"A2.task-by-name", Swarm, func(t *T) {
			name := t.name()
			id := t.service(called(name), replicas(1), nowhere)
			task := t.hasTasks(id, 1)[0]["ID"].(string)
			t.has(t.get("/tasks/"+name+".1."+task), "ID", task)
			t.answers(get("/tasks/"+name+".1"), "404 task "+name+".1 not found")
		}},
		{"A2.task-prefix-of-several-is-ambiguous", Swarm, func(t *T) {
			first := map[string]bool{}
			id := t.service(replicas(37), nowhere)
			for _, task := range t.hasTasks(id, 37) {
				letter := task["ID"].(string)[:1]
				if first[letter] {
					got := matches.ReplaceAllString(t.send(get("/tasks/"+letter)).String(), "(# matches")
					assert.Equal(t, "400 task "+letter+" is ambiguous (# matches found)", got)
					return
				}
				first[letter] = true
			}
		}},
		{"A2.node-by-id-prefix-and-hostname", Swarm, func(t *T) {
			node := t.get("/nodes/" + t.node())
			t.has(t.get("/nodes/"+node["ID"].(string)[:10]), "ID", node["ID"])
			t.has(t.get("/nodes/"+at(node, "Description.Hostname").(string)), "ID", node["ID"])
		}},
		{"A2.network-by-id-prefix-and-name", Swarm, func(t *T) {
			name := t.name()
			id := t.network(called(name))
			t.has(t.get("/networks/"+id[:12]), "Id", id)
			t.has(t.get("/networks/"+name), "Id", id)
		}},
		{"A2.network-name-before-id-prefix", Swarm, func(t *T) {
			prefix := t.network()[:12]
			id := t.network(called(prefix))
			t.has(t.get("/networks/"+prefix), "Id", id)
		}},
	},
)
