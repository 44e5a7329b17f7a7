package conformance

import (
	"fmt"
	"net/http"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var secrets = append(each("A17.size", []string{"secrets", "configs"}, func(t *T, kind string) {
	limit := map[string]int{"secrets": 512_000, "configs": 1_024_000}[kind]
	one := kind[:len(kind)-1]
	biggest := make([]byte, limit-1)
	t.add(kind, set("Data", biggest))
	t.answers(post("/"+kind+"/create", obj{"Name": t.name(), "Data": append(biggest, 0)}),
		fmt.Sprintf("400 rpc error: code = InvalidArgument desc = %s data must be larger than 0 and less than %d bytes", one, limit))
}), append(each("A17.only-labels-change", []string{"secrets", "configs"}, func(t *T, kind string) {
	id := t.add(kind, label("a", "1"))
	path := "/" + kind + "/" + id
	before := t.get(path)
	t.update(path, label("b", "2"))
	after := t.get(path)
	t.has(after, "Spec.Labels", obj{"b": "2"})
	assert.Greater(t, version(after), version(before))
	assert.Equal(t, before["CreatedAt"], after["CreatedAt"])
	assert.Equal(t, at(before, "Spec.Name"), at(after, "Spec.Name"))
	const text = "400 rpc error: code = InvalidArgument desc = only updates to Labels are allowed"
	assert.Equal(t, text, t.updateWith(path, "", set("Data", "b3RoZXI=")).String())
	assert.Equal(t, text, t.updateWith(path, "", called(t.name())).String())
}), append(each("A17.same-data-may-be-sent-again", []string{"secrets", "configs"}, func(t *T, kind string) {
	t.update("/"+kind+"/"+t.add(kind), set("Data", "eA=="), label("a", "b"))
}), []Behaviour{
	{"A17.secret-data-is-never-shown", Swarm, func(t *T) {
		name := t.name()
		secret := t.get("/secrets/" + t.secret(called(name), label("a", "b")))
		t.members(secret, "ID", "Version", "CreatedAt", "UpdatedAt", "Spec")
		t.has(secret, "Spec", obj{"Name": name, "Labels": obj{"a": "b"}})
	}},
	{"A17.config-data-is-shown", Swarm, func(t *T) {
		name := t.name()
		config := t.get("/configs/" + t.config(called(name), set("Data", "aGVsbG8=")))
		t.members(config, "ID", "Version", "CreatedAt", "UpdatedAt", "Spec")
		t.has(config, "Spec", obj{"Name": name, "Labels": obj{}, "Data": "aGVsbG8="})
	}},
	{"A17.in-use-by-several-services", Swarm, func(t *T) {
		name, one, other := t.name(), t.name(), t.name()
		id := t.secret(called(name))
		uses := set(inContainer+"Secrets", list{t.secretReference(id, name)})
		t.service(called(one), uses)
		t.service(called(other), uses)
		a := t.send(request{method: http.MethodDelete, path: "/secrets/" + id})
		either := "400 rpc error: code = InvalidArgument desc = secret '" + name + "' is in use by the following services: %s, %s"
		assert.Contains(t, []string{fmt.Sprintf(either, one, other), fmt.Sprintf(either, other, one)}, a.String())
	}},
	{"A17.in-use-until-the-service-is-gone", Swarm, func(t *T) {
		name := t.name()
		id := t.secret(called(name))
		service := t.running(1, set(inContainer+"Secrets", list{t.secretReference(id, name)}))
		t.remove("/services/" + service)
		t.answers(request{method: http.MethodDelete, path: "/secrets/" + id}, "204 empty")
	}},
	{"A17.in-use-by-the-previous-spec-is-not-in-use", Swarm, func(t *T) {
		name := t.name()
		id := t.secret(called(name))
		service := t.service(set(inContainer+"Secrets", list{t.secretReference(id, name)}))
		t.update("/services/"+service, drop(inContainer+"Secrets"))
		t.answers(request{method: http.MethodDelete, path: "/secrets/" + id}, "204 empty")
	}},
	{"A17.update-by-a-version-that-is-none", Swarm, func(t *T) {
		t.answers(post("/secrets/"+t.secret()+"/update?version=x", obj{}), `400 invalid secret version`)
		t.answers(post("/configs/"+t.config()+"/update?version=x", obj{}), `400 invalid config version`)
	}},
	{"A17.created-answer", Swarm, func(t *T) {
		for _, kind := range []string{"secrets", "configs"} {
			created := decode[obj](t, t.send(post("/"+kind+"/create", obj{"Name": t.name(), "Data": "eA=="})))
			t.members(created, "ID")
			require.Regexp(t, "^[0-9a-z]{25}$", created["ID"])
		}
	}},
	{"A17.driver-that-is-not-there", Swarm, func(t *T) {
		t.answers(post("/secrets/create", obj{"Name": t.name(), "Driver": obj{"Name": "no-such-driver"}}),
			`500 rpc error: code = Unknown desc = plugin "no-such-driver" not found`)
	}},
	{"A17.templating-is-kept", Swarm, func(t *T) {
		t.has(t.get("/configs/"+t.config(set("Templating", obj{"Name": "golang"}))), "Spec.Templating", obj{"Name": "golang"})
	}},
}...)...)...)
