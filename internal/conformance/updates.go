package conformance

import (
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func env(values ...any) edit { return set(inContainer+"Env", values) }

// quickly makes updates end soon after their tasks run.
var quickly = set("UpdateConfig", obj{"Parallelism": 0, "Monitor": 1_000_000, "Order": "start-first"})

// rollback asks for the previous spec, sending the present one.
func (t *T) rollback(id string) {
	t.Helper()
	a := t.updateWith("/services/"+id, "&rollback=previous")
	require.Equal(t, http.StatusOK, a.status, "%s", a)
}

func (t *T) serviceAt(id string) obj {
	t.Helper()
	return t.get("/services/" + id)
}

var updates = []Behaviour{
	{"A11.update-without-change-moves-the-spec-to-previous", Swarm, func(t *T) {
		id := t.service(label("a", "1"))
		t.update("/services/"+id, label("a", "2"))
		t.has(t.serviceAt(id), "PreviousSpec.Labels.a", "1")
		t.update("/services/" + id)
		t.has(t.serviceAt(id), "PreviousSpec.Labels.a", "2")
		t.has(t.serviceAt(id), "Spec.Labels.a", "2")
	}},
	{"A11.scaling-moves-the-spec-to-previous", Swarm, func(t *T) {
		id := t.service(nowhere)
		t.update("/services/"+id, replicas(2))
		t.has(t.serviceAt(id), "PreviousSpec.Mode.Replicated.Replicas", 0)
	}},
	{"A11.previous-spec-is-absent-before-the-first-update", Swarm, func(t *T) {
		assert.NotContains(t, t.serviceAt(t.service()), "PreviousSpec")
	}},
	{"A11.previous-spec-is-the-whole-former-spec", Swarm, func(t *T) {
		id := t.service(env("A=1"), label("a", "1"))
		before := t.serviceAt(id)["Spec"]
		t.update("/services/"+id, env("A=2"), label("a", "2"))
		assert.Equal(t, before, t.serviceAt(id)["PreviousSpec"])
	}},
	{"A13.rollback-swaps-spec-and-previous-spec", Swarm, func(t *T) {
		id := t.service(label("a", "1"))
		t.update("/services/"+id, label("a", "2"))
		before := t.serviceAt(id)
		t.rollback(id)
		after := t.serviceAt(id)
		assert.Equal(t, before["PreviousSpec"], after["Spec"])
		assert.Equal(t, before["Spec"], after["PreviousSpec"])
	}},
	{"A13.second-rollback-is-a-redo", Swarm, func(t *T) {
		id := t.service(label("a", "1"))
		t.update("/services/"+id, label("a", "2"))
		t.rollback(id)
		t.rollback(id)
		t.has(t.serviceAt(id), "Spec.Labels.a", "2")
		t.has(t.serviceAt(id), "PreviousSpec.Labels.a", "1")
	}},
	{"A13.rollback-ignores-the-spec-that-is-sent", Swarm, func(t *T) {
		id := t.service(label("a", "1"))
		t.update("/services/"+id, label("a", "2"))
		a := t.updateWith("/services/"+id, "&rollback=previous", label("a", "3"))
		require.Equal(t, http.StatusOK, a.status, "%s", a)
		t.has(t.serviceAt(id), "Spec.Labels.a", "1")
	}},
	{"A13.rollback-checks-the-spec-that-is-sent", Swarm, func(t *T) {
		id := t.service()
		t.update("/services/"+id, label("a", "2"))
		path := func() string {
			return fmt.Sprintf("/services/%s/update?version=%d&rollback=previous", id, version(t.serviceAt(id)))
		}
		t.answers(post(path(), obj{}), "400 mismatched Runtime and *Spec fields")
		t.answers(post(path(), t.spec()), "501 rpc error: code = Unimplemented desc = renaming services is not supported")
		t.answers(post(path(), t.spec(called(at(t.serviceAt(id), "Spec.Name").(string)), mode(obj{"Global": obj{}}))),
			"501 rpc error: code = Unimplemented desc = service mode change is not allowed")
	}},
	{"A13.rollback-checks-the-version", Swarm, func(t *T) {
		id := t.service()
		t.update("/services/"+id, label("a", "2"))
		t.answers(post("/services/"+id+"/update?version=1&rollback=previous", t.serviceAt(id)["Spec"]),
			"500 rpc error: code = Unknown desc = update out of sequence")
	}},
	{"A13.empty-rollback-is-an-update", Swarm, func(t *T) {
		id := t.service(label("a", "1"))
		a := t.updateWith("/services/"+id, "&rollback=", label("a", "2"))
		require.Equal(t, http.StatusOK, a.status, "%s", a)
		t.has(t.serviceAt(id), "Spec.Labels.a", "2")
		a = t.updateWith("/services/"+id, "&rollback=none", label("a", "3"))
		require.Equal(t, http.StatusOK, a.status, "%s", a)
		t.has(t.serviceAt(id), "Spec.Labels.a", "3")
	}},
	{"A13.manual-rollback-status", Swarm, func(t *T) {
		id := t.running(1, env("A=1"), quickly, set("RollbackConfig", obj{"Parallelism": 0, "Monitor": 1_000_000}))
		t.update("/services/"+id, env("A=2"))
		require.Equal(t, "completed", t.updateEnds(id))
		t.rollback(id)
		status := t.serviceAt(id)["UpdateStatus"]
		if status != nil {
			assert.Contains(t, []any{"rollback_started", "rollback_completed"}, at(status, "State"))
		}
		require.Equal(t, "rollback_completed", t.updateEnds(id))
		status = t.serviceAt(id)["UpdateStatus"]
		t.has(status, "Message", "rollback completed")
		t.has(t.run(id, 1)[0], "Spec.ContainerSpec.Env", list{"A=1"})
	}},
	{"A13.manual-rollback-under-way", Swarm, func(t *T) {
		id := t.running(1, env("A=1"), quickly, set("RollbackConfig", obj{"Parallelism": 1, "Monitor": 3_600_000_000_000}))
		t.update("/services/"+id, env("A=2"))
		require.Equal(t, "completed", t.updateEnds(id))
		t.rollback(id)
		t.run(id, 1)
		status := t.serviceAt(id)["UpdateStatus"]
		t.has(status, "State", "rollback_started")
		t.has(status, "Message", "manually requested rollback")
		t.has(status, "CompletedAt", nil)
	}},
	{"A13.automatic-rollback-clears-previous-spec", Swarm, func(t *T) {
		id := t.running(1, env("A=1"))
		t.update("/services/"+id, args("-exit", "1"), set("UpdateConfig", obj{
			"Parallelism": 1, "FailureAction": "rollback", "Monitor": 30_000_000_000, "MaxFailureRatio": 0}))
		require.Equal(t, "rollback_completed", t.updateEnds(id))
		service := t.serviceAt(id)
		t.has(service, "Spec.TaskTemplate.ContainerSpec.Args", nil)
		assert.NotContains(t, service, "PreviousSpec")
		a := t.updateWith("/services/"+id, "&rollback=previous")
		assert.Equal(t, "400 rpc error: code = FailedPrecondition desc = service "+id+" does not have a previous spec", a.String())
	}},
	{"A14.label-only-update-has-no-status", Swarm, func(t *T) { noStatusAfter(t, label("a", "b")) }},
	{"A14.scale-only-update-has-no-status", Swarm, func(t *T) { noStatusAfter(t, replicas(2)) }},
	{"A14.update-without-change-has-no-status", Swarm, func(t *T) { noStatusAfter(t) }},
	{"A14.new-service-has-no-status", Swarm, func(t *T) {
		assert.NotContains(t, t.serviceAt(t.running(1)), "UpdateStatus")
	}},
	{"A14.completed-update", Swarm, func(t *T) {
		id := t.running(1, quickly)
		t.update("/services/"+id, env("A=2"))
		require.Equal(t, "completed", t.updateEnds(id))
		status := t.serviceAt(id)["UpdateStatus"]
		t.members(status, "State", "StartedAt", "CompletedAt", "Message")
		t.has(status, "Message", "update completed")
	}},
	{"A14.running-update", Swarm, func(t *T) {
		id := t.running(1, set("UpdateConfig", obj{"Parallelism": 1, "Monitor": 3_600_000_000_000}))
		t.update("/services/"+id, env("A=2"))
		var status any
		t.eventually("updating", func() error {
			if status = t.serviceAt(id)["UpdateStatus"]; status == nil {
				return fmt.Errorf("no status")
			}
			return nil
		})
		t.members(status, "State", "StartedAt", "Message")
		t.has(status, "State", "updating")
		t.has(status, "Message", "update in progress")
	}},
	{"A14.the-next-update-clears-the-status", Swarm, func(t *T) {
		id := t.running(1, quickly)
		t.update("/services/"+id, env("A=2"))
		require.Equal(t, "completed", t.updateEnds(id))
		t.update("/services/"+id, label("a", "b"))
		assert.NotContains(t, t.serviceAt(id), "UpdateStatus")
	}},
	{"A14.paused-update", Swarm, func(t *T) {
		id := t.running(2)
		t.update("/services/"+id, args("-exit", "1"), set("UpdateConfig", obj{"Parallelism": 1, "FailureAction": "pause", "Monitor": 30_000_000_000, "Delay": 3_600_000_000_000}))
		require.Equal(t, "paused", t.updateEnds(id))
		service := t.serviceAt(id)
		t.members(service["UpdateStatus"], "State", "StartedAt", "Message")
		assert.Regexp(t, `^update paused due to failure or early termination of task [0-9a-z]{25}$`, at(service, "UpdateStatus.Message"))
		t.has(service, "Spec.TaskTemplate.ContainerSpec.Args", list{"-exit", "1"})
		assert.Contains(t, service, "PreviousSpec")
		old := slices.DeleteFunc(t.tasks(id, "desired-state", "running"), func(task obj) bool { return at(task, "Spec.ContainerSpec.Args") != nil })
		assert.Len(t, old, 1, "the other task is left alone")
	}},
	{"A14.failing-update-that-continues-completes", Swarm, func(t *T) {
		id := t.running(1)
		t.update("/services/"+id, args("-exit", "1"), set(inTask+"RestartPolicy", obj{"Condition": "none"}),
			set("UpdateConfig", obj{"Parallelism": 1, "FailureAction": "continue", "Monitor": 1_000_000}))
		assert.Equal(t, "completed", t.updateEnds(id))
	}},
	{"updates.one-task-at-a-time", Swarm, func(t *T) {
		id := t.service(replicas(2), nowhere)
		t.hasTasks(id, 2)
		t.update("/services/"+id, env("A=1"))
		t.until(id, func(tasks []obj) bool { return len(tasks) == 1 }, "_up-to-date", "true", "desired-state", "running")
		t.settle()
		assert.Len(t, t.tasks(id, "_up-to-date", "true"), 1, "the first has yet to run")
	}},
	{"updates.all-tasks-at-a-time", Swarm, func(t *T) {
		id := t.service(replicas(2), nowhere)
		t.hasTasks(id, 2)
		t.update("/services/"+id, env("A=1"), set("UpdateConfig", obj{"Parallelism": 0}))
		t.until(id, func(tasks []obj) bool { return len(tasks) == 2 }, "_up-to-date", "true", "desired-state", "running")
	}},
	{"updates.start-first-keeps-the-old-task-until-the-new-one-runs", Swarm, func(t *T) {
		id := t.running(1)
		old := t.tasks(id)[0]["ID"]
		t.update("/services/"+id, nowhere, env("A=1"), set("UpdateConfig", obj{"Order": "start-first"}))
		tasks := t.hasTasks(id, 2)
		t.settle()
		assert.Equal(t, old, tasks[0]["ID"])
		t.has(t.get("/tasks/"+old.(string)), "Status.State", "running")
		t.has(t.get("/tasks/"+old.(string)), "DesiredState", "running")
	}},
	{"updates.stop-first-starts-the-new-task-once-the-old-one-has-stopped", Swarm, func(t *T) {
		id := t.running(1)
		t.update("/services/"+id, env("A=1"), set("UpdateConfig", obj{"Order": "stop-first"}))
		t.until(id, func(tasks []obj) bool {
			both := count(tasks, "running") == 2
			assert.False(t, both, brief(tasks))
			return len(tasks) == 2 && state(tasks[1]) == "running"
		})
	}},
	{"updates.of-a-global-service", Swarm, func(t *T) {
		id := t.service(global, quickly)
		t.run(id, 1)
		t.update("/services/"+id, env("A=1"))
		assert.Equal(t, "completed", t.updateEnds(id))
		t.has(t.run(id, 1)[0], "Spec.ContainerSpec.Env", list{"A=1"})
	}},
	{"updates.an-update-overtakes-another", Swarm, func(t *T) {
		id := t.service(replicas(1), nowhere)
		t.hasTasks(id, 1)
		t.update("/services/"+id, env("A=1"))
		t.update("/services/"+id, env("A=2"))
		t.until(id, func(tasks []obj) bool {
			return len(tasks) == 1 && reflect.DeepEqual(at(tasks[0], "Spec.ContainerSpec.Env"), list{"A=2"})
		}, "desired-state", "running")
	}},
	{"A25.constraint-that-holds-keeps-tasks", Swarm, func(t *T) {
		id := t.running(1)
		task := t.tasks(id)[0]["ID"]
		t.update("/services/"+id, where("node.role==manager"))
		t.settle()
		assert.Equal(t, []any{task}, idsOf(t.run(id, 1)))
	}},
	{"A25.label-of-the-service-keeps-tasks", Swarm, func(t *T) { keepsTasks(t, label("a", "b")) }},
	{"A25.update-config-keeps-tasks", Swarm, func(t *T) { keepsTasks(t, set("UpdateConfig", obj{"Parallelism": 2})) }},
	{"A25.scaling-up-keeps-tasks", Swarm, func(t *T) {
		id := t.service(replicas(1), nowhere)
		task := t.hasTasks(id, 1)[0]["ID"]
		t.update("/services/"+id, replicas(2))
		assert.Contains(t, idsOf(t.hasTasks(id, 2)), task)
	}},
	{"A25.order-of-environment-replaces-tasks", Swarm, func(t *T) { replacesTasks(t, env("B=2", "A=1")) }},
	{"A25.empty-resources-replace-tasks", Swarm, func(t *T) { replacesTasks(t, set(inTask+"Resources", obj{})) }},
	{"A25.container-label-replaces-tasks", Swarm, func(t *T) { replacesTasks(t, set(inContainer+"Labels", obj{"a": "b"})) }},
	{"A25.force-update-replaces-tasks", Swarm, func(t *T) { replacesTasks(t, set(inTask+"ForceUpdate", 1)) }},
	{"A25.image-replaces-tasks", Swarm, func(t *T) {
		id := t.running(1)
		before := t.tasks(id)[0]["ID"]
		t.update("/services/"+id, image(t.target.OtherImage))
		t.until(id, func(tasks []obj) bool {
			return len(tasks) == 1 && tasks[0]["ID"] != before && state(tasks[0]) == "running"
		}, "desired-state", "running")
	}},
	{"A25.restart-policy-replaces-tasks", Swarm, func(t *T) { replacesTasks(t, set(inTask+"RestartPolicy", obj{"Condition": "any"})) }},
	{"A25.host-port-replaces-tasks", Swarm, func(t *T) {
		replacesTasks(t, publish(obj{"TargetPort": 80, "PublishedPort": t.port(), "PublishMode": "host"}))
	}},
	{"A9.credentials-keep-tasks-and-are-not-shown", Swarm, func(t *T) {
		id := t.running(1)
		task := t.tasks(id)[0]["ID"]
		before := t.serviceAt(id)
		a := t.send(request{method: http.MethodPost, path: fmt.Sprintf("/services/%s/update?version=%d", id, version(before)),
			body: before["Spec"], header: http.Header{"Content-Type": {"application/json"}, "X-Registry-Auth": {"eyJ1c2VybmFtZSI6InUiLCJwYXNzd29yZCI6InAifQ=="}}})
		require.Equal(t, http.StatusOK, a.status, "%s", a)
		t.settle()
		assert.Equal(t, []any{task}, idsOf(t.run(id, 1)))
		assert.Equal(t, before["Spec"], t.serviceAt(id)["Spec"])
	}},
	{"A9.credentials-from-a-previous-spec-that-is-not-there", Swarm, func(t *T) {
		id := t.service()
		a := t.updateWith("/services/"+id, "&registryAuthFrom=previous-spec")
		assert.Equal(t, "500 service does not have a previous spec", a.String())
	}},
	{"A9.credentials-from-either-spec", Swarm, func(t *T) {
		id := t.service()
		for _, from := range []string{"spec", "previous-spec", ""} {
			t.update("/services/" + id)
			a := t.updateWith("/services/"+id, "&registryAuthFrom="+from, label("from", from))
			assert.Equal(t, "200 json", a.String(), from)
		}
	}},
	{"A8.images-are-kept-as-given", Swarm, func(t *T) {
		for _, ref := range []string{"nosuch", "nosuch/image", "example.org/nosuch:1"} {
			t.has(t.serviceAt(t.service(image(ref))), "Spec.TaskTemplate.ContainerSpec.Image", ref)
		}
	}},
	{"A18.update-without-mode-is-one-replica", Swarm, func(t *T) {
		id := t.service(replicas(3), nowhere)
		t.update("/services/"+id, drop("Mode"))
		t.has(t.serviceAt(id), "Spec.Mode", obj{"Replicated": obj{"Replicas": 1}})
	}},
	{"A18.create-without-mode-is-one-replica", Swarm, func(t *T) {
		t.has(t.serviceAt(t.service(drop("Mode"), nowhere)), "Spec.Mode", obj{"Replicated": obj{"Replicas": 1}})
	}},
	{"A18.update-without-name-is-renaming", Swarm, func(t *T) {
		a := t.updateWith("/services/"+t.service(), "", drop("Name"))
		assert.Equal(t, "501 rpc error: code = Unimplemented desc = renaming services is not supported", a.String())
	}},
	{"A18.update-with-another-case-of-the-name-is-renaming", Swarm, func(t *T) {
		id := t.service()
		name := at(t.serviceAt(id), "Spec.Name").(string)
		a := t.updateWith("/services/"+id, "", called("C"+name[1:]))
		assert.Equal(t, "501 rpc error: code = Unimplemented desc = renaming services is not supported", a.String())
	}},
	{"versions.are-of-the-whole-store", Swarm, func(t *T) {
		one := version(t.serviceAt(t.service()))
		other := version(t.get("/secrets/" + t.secret()))
		assert.Greater(t, other, one)
	}},
	{"versions.grow-with-every-update", Swarm, func(t *T) {
		id := t.service()
		for range 3 {
			before := t.serviceAt(id)
			time.Sleep(time.Millisecond) // in case no time passes by itself
			t.update("/services/" + id)
			after := t.serviceAt(id)
			assert.Greater(t, version(after), version(before))
			assert.Greater(t, t.when(after["UpdatedAt"]), t.when(before["UpdatedAt"]))
			assert.Equal(t, before["CreatedAt"], after["CreatedAt"])
		}
	}},
	{"versions.stay-without-a-reason", Swarm, func(t *T) {
		id := t.service()
		before := t.serviceAt(id)
		t.update("/services/" + t.service())
		assert.Equal(t, before, t.serviceAt(id))
	}},
	{"versions.move-by-themselves-when-a-port-is-allocated", Swarm, func(t *T) {
		id := t.service(publish(obj{"TargetPort": 80}))
		t.eventually("allocation", func() error {
			if at(t.serviceAt(id), "Endpoint.Ports") == nil {
				return fmt.Errorf("no port yet")
			}
			return nil
		})
		service := t.serviceAt(id)
		assert.Greater(t, t.when(service["UpdatedAt"]), t.when(service["CreatedAt"]))
	}},
	{"versions.move-by-themselves-during-an-update", Swarm, func(t *T) {
		id := t.running(1, quickly)
		var before obj
		for try := 1; before == nil || try <= 20 && at(before, "UpdateStatus.State") == "completed"; try++ { // which was quicker than the look
			t.update("/services/"+id, env(fmt.Sprintf("A=%d", try)))
			before = t.serviceAt(id)
		}
		require.Equal(t, "completed", t.updateEnds(id))
		assert.Greater(t, version(t.serviceAt(id)), version(before))
	}},
	{"versions.stay-while-tasks-start", Swarm, func(t *T) {
		id := t.service(replicas(1))
		before := t.serviceAt(id)
		t.run(id, 1)
		assert.Equal(t, before, t.serviceAt(id))
	}},
	{"versions.a-failed-update-changes-nothing", Swarm, func(t *T) {
		id := t.service()
		before := t.serviceAt(id)
		a := t.updateWith("/services/"+id, "", image("UPPER:bad:ref"))
		assert.Equal(t, http.StatusBadRequest, a.status)
		assert.Equal(t, before, t.serviceAt(id))
	}},
}

func idsOf(objects []obj) (ids []any) {
	for _, object := range objects {
		ids = append(ids, object["ID"])
	}
	return ids
}

// noStatusAfter makes an update that the orchestrator has nothing to do for, then
// one that it has: by then it has seen the first.
func noStatusAfter(t *T, edits ...edit) {
	id := t.service(replicas(1), nowhere)
	t.hasTasks(id, 1)
	t.update("/services/"+id, edits...)
	assert.NotContains(t, t.serviceAt(id), "UpdateStatus")
	t.settle()
	assert.NotContains(t, t.serviceAt(id), "UpdateStatus")
}

// settle waits until the orchestrator has looked at all that was asked of it so
// far: until it has made the tasks of a service that is newer.
func (t *T) settle() {
	t.Helper()
	t.hasTasks(t.service(replicas(1), nowhere), 1)
}

// Whether tasks run makes no difference to whether an update replaces them.
func keepsTasks(t *T, edits ...edit) {
	id := t.service(replicas(1), nowhere, env("A=1", "B=2"))
	before := idsOf(t.hasTasks(id, 1))
	t.update("/services/"+id, edits...)
	t.settle()
	assert.Equal(t, before, idsOf(t.tasks(id)))
}

func replacesTasks(t *T, edits ...edit) {
	id := t.service(replicas(1), nowhere, env("A=1", "B=2"))
	before := t.hasTasks(id, 1)[0]["ID"]
	t.update("/services/"+id, edits...)
	t.until(id, func(tasks []obj) bool { return len(tasks) == 1 && tasks[0]["ID"] != before }, "desired-state", "running")
	assert.Equal(t, "shutdown", desired(t.get("/tasks/"+before.(string))))
}
