package conformance

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// changeSwarm edits the swarm's spec, and puts it back.
func (t *T) changeSwarm(query string, edits ...edit) *answer {
	t.Helper()
	before := t.get("/swarm")
	t.Cleanup(func() { t.putSwarm("", func(spec obj) { clear(spec); copyInto(spec, before["Spec"].(obj)) }) })
	return t.putSwarm(query, edits...)
}

func copyInto(to, from obj) {
	for key, value := range from {
		to[key] = value
	}
}

func (t *T) putSwarm(query string, edits ...edit) *answer {
	t.Helper()
	swarm := t.get("/swarm")
	spec := edited(decode[obj](t, t.send(get("/swarm")))["Spec"].(obj), edits)
	return t.send(post(fmt.Sprintf("/swarm/update?version=%d%s", version(swarm), query), spec))
}

var swarm = []Behaviour{
	{"swarm.members", Swarm, func(t *T) {
		swarm := t.get("/swarm")
		t.members(swarm, "ID", "Version", "CreatedAt", "UpdatedAt", "Spec", "TLSInfo", "RootRotationInProgress",
			"DefaultAddrPool", "SubnetSize", "DataPathPort", "JoinTokens")
		t.members(swarm["JoinTokens"], "Worker", "Manager")
		t.members(swarm["TLSInfo"], "TrustRoot", "CertIssuerSubject", "CertIssuerPublicKey")
		t.has(swarm, "RootRotationInProgress", false)
		assert.Regexp(t, `^SWMTKN-1-[0-9a-z]{50}-[0-9a-z]{25}$`, at(swarm, "JoinTokens.Worker"))
		assert.Regexp(t, `^SWMTKN-1-[0-9a-z]{50}-[0-9a-z]{25}$`, at(swarm, "JoinTokens.Manager"))
		t.has(swarm, "DataPathPort", 4789)
		t.has(swarm, "DefaultAddrPool", list{"10.0.0.0/8"})
		t.has(swarm, "SubnetSize", 24)
	}},
	{"swarm.spec-of-a-new-one", OutsideSwarm, func(t *T) {
		t.initSwarm()
		spec := t.get("/swarm")["Spec"]
		t.members(spec, "Name", "Labels", "Orchestration", "Raft", "Dispatcher", "CAConfig", "TaskDefaults", "EncryptionConfig")
		t.has(spec, "Name", "default")
		t.has(spec, "Orchestration", obj{"TaskHistoryRetentionLimit": 5})
		t.has(spec, "Raft", obj{"SnapshotInterval": 10000, "KeepOldSnapshots": 0, "LogEntriesForSlowFollowers": 500, "ElectionTick": 10, "HeartbeatTick": 1})
		t.has(spec, "Dispatcher", obj{"HeartbeatPeriod": 5_000_000_000})
		t.has(spec, "CAConfig", obj{"NodeCertExpiry": 7_776_000_000_000_000})
		t.has(spec, "TaskDefaults", obj{})
		t.has(spec, "EncryptionConfig", obj{"AutoLockManagers": false})
	}},
	{"swarm.update-answers-nothing-and-moves-the-version", AloneInSwarm, func(t *T) {
		before := t.get("/swarm")
		assert.Equal(t, "200 empty", t.changeSwarm("", label("a", "b")).String())
		after := t.get("/swarm")
		t.has(after, "Spec.Labels", obj{"a": "b"})
		assert.Greater(t, version(after), version(before))
		assert.Equal(t, before["JoinTokens"], after["JoinTokens"])
	}},
	{"swarm.tokens-are-rotated-one-by-one", AloneInSwarm, func(t *T) {
		before := t.get("/swarm")
		assert.Equal(t, "200 empty", t.putSwarm("&rotateWorkerToken=true").String())
		after := t.get("/swarm")
		assert.NotEqual(t, at(before, "JoinTokens.Worker"), at(after, "JoinTokens.Worker"))
		assert.Equal(t, at(before, "JoinTokens.Manager"), at(after, "JoinTokens.Manager"))
		assert.Equal(t, "200 empty", t.putSwarm("&rotateManagerToken=1").String())
		assert.NotEqual(t, at(after, "JoinTokens.Manager"), at(t.get("/swarm"), "JoinTokens.Manager"))
		ca := func(token any) string { return strings.Split(token.(string), "-")[2] }
		assert.Equal(t, ca(at(before, "JoinTokens.Worker")), ca(at(t.get("/swarm"), "JoinTokens.Worker")), "of the certificate, which stays")
	}},
	{"swarm.rotation-flags-must-be-booleans", AloneInSwarm, func(t *T) {
		assert.Equal(t, "400 invalid value for rotateWorkerToken: maybe",
			t.putSwarm("&rotateWorkerToken=maybe").String())
	}},
	{"swarm.unlock-key", AloneInSwarm, func(t *T) {
		assert.Equal(t, obj{"UnlockKey": ""}, t.get("/swarm/unlockkey"))
		assert.Equal(t, "200 empty", t.changeSwarm("", set("EncryptionConfig.AutoLockManagers", true)).String())
		first := t.get("/swarm/unlockkey")["UnlockKey"].(string)
		assert.Regexp(t, `^SWMKEY-1-[A-Za-z0-9+/]{43}$`, first)
		assert.Equal(t, "200 empty", t.putSwarm("&rotateManagerUnlockKey=1").String())
		assert.NotEqual(t, first, t.get("/swarm/unlockkey")["UnlockKey"])
	}},
	{"swarm.cannot-be-renamed", AloneInSwarm, func(t *T) {
		a := t.putSwarm("", called("other"))
		assert.Equal(t, `400 swarm spec must be named "default"`, a.String())
	}},
	{"swarm.certificates-last-an-hour-at-least", AloneInSwarm, func(t *T) {
		a := t.putSwarm("", set("CAConfig.NodeCertExpiry", 1_000_000_000))
		assert.Equal(t, "400 rpc error: code = InvalidArgument desc = minimum certificate expiry time is: 1h0m0s", a.String())
	}},
	{"swarm.history-limit-is-kept-to", AloneInSwarm, func(t *T) {
		require.Equal(t, "200 empty", t.changeSwarm("", set("Orchestration.TaskHistoryRetentionLimit", 1)).String())
		id := t.running(1)
		t.update("/services/"+id, env("A=1"))
		t.until(id, func(tasks []obj) bool {
			return len(tasks) == 1 && state(tasks[0]) == "running" && at(tasks[0], "Spec.ContainerSpec.Env") != nil
		})
	}},
	{"A18.not-a-manager", OutsideSwarm, func(t *T) {
		for _, path := range []string{"/swarm", "/nodes", "/services", "/tasks", "/secrets", "/configs", "/nodes/x", "/tasks/x", "/secrets/x", "/configs/x", "/tasks/x/logs?stdout=1"} {
			t.answers(get(path), "503 "+notManager)
		}
		t.answers(request{method: http.MethodDelete, path: "/services/x"}, "503 "+notManager)
		t.answers(post("/services/x/update?version=1", t.spec()), "503 "+notManager)
		t.answers(post("/swarm/update?version=1", obj{}), "503 "+notManager)
	}},
	{"A18.init-and-leave", OutsideSwarm, func(t *T) {
		t.has(t.get("/info"), "Swarm.LocalNodeState", "inactive")
		node := t.initSwarm()
		assert.Regexp(t, "^[0-9a-z]{25}$", node)
		t.has(t.get("/info"), "Swarm.NodeID", node)
		t.has(t.get("/nodes/"+node), "Status.State", "ready")
		t.leaveSwarm()
		t.has(t.get("/info"), "Swarm.LocalNodeState", "inactive")
		t.has(t.get("/info"), "Swarm.NodeID", "")
	}},
	{"A18.init-with-options", OutsideSwarm, func(t *T) {
		t.initSwarm(set("Availability", "pause"), set("DefaultAddrPool", list{"10.77.0.0/16"}), set("SubnetSize", 26), set("DataPathPort", 7777),
			set("Spec", obj{"Labels": obj{"a": "b"}, "Orchestration": obj{"TaskHistoryRetentionLimit": 2}}))
		swarm := t.get("/swarm")
		t.has(swarm, "DefaultAddrPool", list{"10.77.0.0/16"})
		t.has(swarm, "SubnetSize", 26)
		t.has(swarm, "DataPathPort", 7777)
		t.has(swarm, "Spec.Labels", obj{"a": "b"})
		t.has(swarm, "Spec.Orchestration.TaskHistoryRetentionLimit", 2)
		t.has(t.get("/nodes/"+t.node()), "Spec.Availability", "pause")
	}},
	{"A18.new-swarm-is-empty", OutsideSwarm, func(t *T) {
		t.initSwarm()
		t.service()
		before := t.get("/swarm")
		t.leaveSwarm()
		t.initSwarm()
		assert.Empty(t, t.list("/services"))
		assert.NotEqual(t, before["ID"], t.get("/swarm")["ID"])
	}},
	{"A18.unlock-needs-a-key", OutsideSwarm, func(t *T) {
		t.initSwarm()
		t.answers(post("/swarm/unlock", obj{"UnlockKey": "x"}), "409 swarm is not locked")
	}},
}
