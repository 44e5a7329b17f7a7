package conformance

import (
	"fmt"

	"github.com/stretchr/testify/assert"
)

var nodes = []Behaviour{
	{"nodes.members", Swarm, func(t *T) {
		node := t.get("/nodes/" + t.node())
		t.members(node, "ID", "Version", "CreatedAt", "UpdatedAt", "Spec", "Description", "Status", "ManagerStatus")
		t.members(node["ManagerStatus"], "Leader", "Reachability", "Addr")
		t.has(node, "ManagerStatus.Leader", true)
		t.has(node, "ManagerStatus.Reachability", "reachable")
		t.members(node["Status"], "State", "Addr")
		t.has(node, "Status.State", "ready")
		t.has(node, "Spec.Role", "manager")
		t.has(node, "Spec.Availability", "active")
		t.members(node["Description"], since[[]string]{"20.10": {"Hostname", "Platform", "Resources", "Engine", "TLSInfo"}}.from(t)...)
		t.members(at(node, "Description.Platform"), "Architecture", "OS")
		assert.Greater(t, at(node, "Description.Resources.NanoCPUs"), 0.0)
		assert.Greater(t, at(node, "Description.Resources.MemoryBytes"), 0.0)
	}},
	{"nodes.labels", Swarm, func(t *T) {
		mark, path := t.name(), "/nodes/"+t.node()
		before := version(t.get(path))
		t.labelNode(mark, "1")
		assert.Greater(t, version(t.get(path)), before)
	}},
	{"nodes.update-answers-nothing", Swarm, func(t *T) {
		assert.Equal(t, "200 empty", t.updateWith("/nodes/"+t.node(), "").String())
	}},
	{"nodes.update-without-a-version", Swarm, func(t *T) {
		t.answers(post("/nodes/"+t.node()+"/update", obj{}), `400 invalid node version '': strconv.ParseUint: parsing "": invalid syntax`)
	}},
	{"nodes.update-of-none", Swarm, func(t *T) {
		t.answers(post("/nodes/nope/update?version=1", obj{"Role": "manager", "Availability": "active"}), "404 node nope not found")
	}},
	{"nodes.unknown-role", Swarm, func(t *T) {
		a := t.updateWith("/nodes/"+t.node(), "", set("Role", "zzz"))
		assert.Equal(t, `400 invalid Role: "zzz"`, a.String())
	}},
	{"nodes.name-of-a-node", Swarm, func(t *T) {
		assert.NotContains(t, t.get("/nodes/" + t.node())["Spec"], "Name")
	}},
	{"nodes.update-without-role-or-availability", Swarm, func(t *T) {
		id := t.node()
		node := t.get("/nodes/" + id)
		t.answers(post(fmt.Sprintf("/nodes/%s/update?version=%d", id, version(node)), obj{"Labels": obj{}}), `400 invalid Role: ""`)
		t.answers(post(fmt.Sprintf("/nodes/%s/update?version=%d", id, version(node)), obj{"Role": "manager"}), `400 invalid Availability: ""`)
	}},
}
