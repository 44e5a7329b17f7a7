package conformance

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/stretchr/testify/assert"
)

var system = []Behaviour{
	{"A1.routes", Swarm, func(t *T) {
		id := t.service()
		for path, want := range map[string]string{
			"/swarm": "200 json", "/swarm/unlockkey": "200 json",
			"/services": "200 json", "/services/" + id: "200 json", "/services/" + id + "/logs": noStream.from(t),
			"/nodes": "200 json", "/nodes/" + t.node(): "200 json",
			"/tasks": "200 json", "/tasks/nope": "404 task nope not found", "/tasks/nope/logs?stdout=1": "404 task nope not found",
			"/secrets": "200 json", "/secrets/nope": "404 secret nope not found",
			"/configs": "200 json", "/configs/nope": "404 config nope not found",
		} {
			t.answers(get(path), want)
		}
	}},
	{"A1.routes-that-are-none", Swarm, func(t *T) {
		for _, path := range []string{"/swarm/init", "/swarm/join", "/services/a/b", "/tasks/a/b", "/nodes/a/update", "/services/a/update", "/secrets/a/update", "/unknown", "/"} {
			t.answers(get(path), "404 page not found")
		}
		for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodPatch} {
			t.answers(request{method: method, path: "/tasks"}, "404 page not found")
		}
	}},
	// The documents say that they came with 1.25 and 1.30.
	{"A1.secrets-and-configs-are-there-in-all-versions", Swarm, func(t *T) {
		t.answers(request{method: http.MethodGet, version: t.old("1.24"), path: "/secrets"}, "200 json")
		t.answers(request{method: http.MethodGet, version: t.old("1.24"), path: "/configs"}, "200 json")
	}},
	{"A1.path-without-version-is-the-newest", Swarm, func(t *T) {
		id := t.service(replicas(1), nowhere)
		a := t.send(request{method: http.MethodGet, version: "none", path: "/services?status=1&" + filter("id", id)})
		assert.Contains(t, decode[[]obj](t, a)[0], "ServiceStatus")
	}},
	{"A1.head-is-for-pings-only", Swarm, func(t *T) {
		a := t.send(request{method: http.MethodHead, path: "/services"})
		assert.Equal(t, http.StatusNotFound, a.status)
	}},
	{"system.ping", Swarm, func(t *T) {
		for _, version := range []string{"none", t.old("1.24"), ""} {
			for _, method := range []string{http.MethodGet, http.MethodHead} {
				a := t.send(request{method: method, version: version, path: "/_ping"})
				assert.Equal(t, http.StatusOK, a.status)
				assert.Equal(t, map[string]string{http.MethodGet: "OK", http.MethodHead: ""}[method], string(a.body))
				assert.Equal(t, "text/plain; charset=utf-8", a.contentType)
				for name, want := range map[string]string{"Api-Version": t.target.APIVersion, "Ostype": "linux", "Docker-Experimental": "false",
					"Cache-Control": "no-cache, no-store, must-revalidate", "Pragma": "no-cache",
					"Swarm": since[string]{"20.10": "", "26.1": "active/manager"}.from(t)} {
					assert.Equal(t, want, a.header.Get(name), name)
				}
			}
		}
	}},
	{"system.ping-outside-a-swarm", OutsideSwarm, func(t *T) {
		a := t.send(request{method: http.MethodGet, version: "none", path: "/_ping"})
		assert.Equal(t, since[string]{"20.10": "", "26.1": "inactive"}.from(t), a.header.Get("Swarm"))
	}},
	{"system.headers-of-every-answer", Swarm, func(t *T) {
		for _, path := range []string{"/services", "/services/nope"} {
			a := t.send(get(path))
			assert.Equal(t, "application/json", a.contentType)
			assert.Equal(t, t.target.APIVersion, a.header.Get("Api-Version"))
			assert.Equal(t, "linux", a.header.Get("Ostype"))
			assert.Regexp(t, `^Docker/\S+ \(linux\)$`, a.header.Get("Server"))
		}
	}},
	{"system.headers-of-pages-that-are-none", Swarm, func(t *T) {
		a := t.send(get("/nosuchpage"))
		assert.Equal(t, "application/json", a.contentType)
		assert.Empty(t, a.header.Get("Api-Version"))
	}},
	{"system.version", Swarm, func(t *T) {
		version := t.get("/version")
		t.has(version, "ApiVersion", t.target.APIVersion)
		t.has(version, "MinAPIVersion", t.oldest())
		t.has(version, "Os", "linux")
		assert.True(t, strings.HasPrefix(version["Version"].(string), t.target.Release+"."), version["Version"])
		for _, member := range []string{"Version", "GitCommit", "GoVersion", "Arch", "KernelVersion", "BuildTime", "Components", "Platform"} {
			assert.Contains(t, version, member)
		}
	}},
	{"system.info-of-a-manager", Swarm, func(t *T) {
		swarm := t.get("/info")["Swarm"]
		for path, want := range map[string]any{"LocalNodeState": "active", "ControlAvailable": true, "Error": "", "Nodes": 1, "Managers": 1} {
			t.has(swarm, path, want)
		}
		t.members(swarm, "NodeID", "NodeAddr", "LocalNodeState", "ControlAvailable", "Error", "RemoteManagers", "Nodes", "Managers", "Cluster")
		t.members(at(swarm, "RemoteManagers.0"), "NodeID", "Addr")
		t.members(at(swarm, "Cluster"), "ID", "Version", "CreatedAt", "UpdatedAt", "Spec", "TLSInfo", "RootRotationInProgress",
			"DefaultAddrPool", "SubnetSize", "DataPathPort")
	}},
	{"system.disk-usage-of-some-kinds", Swarm, func(t *T) {
		t.service(replicas(1), nowhere)
		has := func(version, query string, members ...string) {
			usage := decode[obj](t, t.send(request{method: http.MethodGet, version: version, path: "/system/df" + query}))
			for _, member := range []string{"Images", "Containers", "Volumes", "BuildCache", "ImageUsage", "ContainerUsage", "VolumeUsage", "BuildCacheUsage"} {
				assert.Equal(t, slices.Contains(members, member), usage[member] != nil, "%s in %s at %q", member, query, version)
			}
		}
		lists := []string{"Images", "Containers", "Volumes", "BuildCache"}
		sums := []string{"ImageUsage", "ContainerUsage", "VolumeUsage", "BuildCacheUsage"}
		old := since[[]string]{"20.10": lists[:3], "26.1": lists}.from(t)  // 20.10 has null for an empty list
		for _, query := range []string{"", "?type=volume", "?type=dust"} { // types are not looked at
			has("1.41", query, old...)
		}
		if t.speaks("1.42") {
			has("1.42", "?type=volume", "Volumes")
			has("1.45", "?type=volume&type=container&verbose=1", "Volumes", "Containers") // verbose is not looked at
			t.answers(get("/system/df?type=volume&type=dust"), "400 unknown object type: dust")
		}
		if t.speaks("1.52") {
			has("1.52", "", slices.Concat(lists, sums)...)
			has("1.52", "?verbose=0", slices.Concat(lists, sums)...)
			has("1.52", "?verbose=1", sums...)
			has("1.52", "?verbose=1&type=volume", "VolumeUsage")
		}
	}},
	{"system.info-outside-a-swarm", OutsideSwarm, func(t *T) {
		assert.Equal(t, obj{"NodeID": "", "NodeAddr": "", "LocalNodeState": "inactive", "ControlAvailable": false, "Error": "", "RemoteManagers": nil},
			t.get("/info")["Swarm"])
	}},
	{"A23.a-stale-version-has-one-text", Swarm, func(t *T) {
		const text = "500 rpc error: code = Unknown desc = update out of sequence"
		for _, path := range []string{"/services/" + t.service(), "/secrets/" + t.secret(), "/configs/" + t.config(), "/nodes/" + t.node(), "/swarm"} {
			object := t.get(path)
			update := strings.Replace(path+"/update?version=", "/swarm/update", "/swarm/update", 1)
			t.answers(post(update+"1", object["Spec"]), text)
			t.answers(post(fmt.Sprintf("%s%d", update, version(object)+1_000_000), object["Spec"]), text)
		}
	}},
	{"A23.versions-that-are-no-numbers", Swarm, func(t *T) {
		spec := t.serviceAt(t.service())["Spec"]
		for _, bad := range []string{"-1", "1.5", "99999999999999999999"} {
			a := t.send(post("/services/x/update?version="+bad, spec))
			assert.Equal(t, http.StatusBadRequest, a.status)
			assert.Regexp(t, `^400 invalid service version '`+bad+`': strconv.ParseUint: parsing "`+bad+`": (invalid syntax|value out of range)$`, a.String())
		}
	}},
}
