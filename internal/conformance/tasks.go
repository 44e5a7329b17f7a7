package conformance

import (
	"errors"
	"slices"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The states of a task that runs, in order.
var states = []string{"new", "pending", "assigned", "accepted", "preparing", "ready", "starting", "running"}

func restart(policy obj) edit { return set(inTask+"RestartPolicy", policy) }

// ends waits until the only task of a service has ended in a state, and nothing
// more is wanted of it.
func (t *T) ends(service, in string) obj {
	t.Helper()
	return t.until(service, func(tasks []obj) bool {
		return len(tasks) == 1 && state(tasks[0]) == in && desired(tasks[0]) == "shutdown"
	})[0]
}

func job(completions, concurrent int) edit {
	return mode(obj{"ReplicatedJob": obj{"MaxConcurrent": concurrent, "TotalCompletions": completions}})
}

var (
	globalJob = mode(obj{"GlobalJob": obj{}})
	global    = mode(obj{"Global": obj{}})
	never     = restart(obj{"Condition": "none"})
	atOnce    = obj{"Condition": "any", "Delay": 0}
)

// finished waits until a job has that many complete tasks.
func (t *T) finished(service string, n int) []obj {
	t.Helper()
	return t.until(service, func(tasks []obj) bool { return count(tasks, "complete") == n })
}

func count(tasks []obj, in string) int {
	n := 0
	for _, task := range tasks {
		if state(task) == in {
			n++
		}
	}
	return n
}

var tasks = []Behaviour{
	{"A27.running-task", Swarm, func(t *T) {
		task := t.tasks(t.running(1))[0]
		want := []string{"ID", "Version", "CreatedAt", "UpdatedAt", "Labels", "Spec", "ServiceID", "Slot", "NodeID", "Status", "DesiredState"}
		if t.speaks("1.42") {
			want = append(want, "Volumes")
		}
		t.members(task, want...)
	}},
	{"A27.running-task-status", Swarm, func(t *T) {
		task := t.tasks(t.running(1))[0]
		t.members(task["Status"], "Timestamp", "State", "Message", "ContainerStatus", "PortStatus")
		t.has(task, "Status.Message", "started")
		t.has(task, "DesiredState", "running")
		t.has(task, "Slot", 1)
		t.has(task, "NodeID", t.node())
		t.members(at(task, "Status.ContainerStatus"), "ContainerID", "PID", "ExitCode")
		assert.Regexp(t, "^[0-9a-f]{64}$", at(task, "Status.ContainerStatus.ContainerID"))
		t.has(task, "Status.ContainerStatus.ExitCode", 0)
	}},
	{"A27.states-come-in-order", Swarm, func(t *T) {
		id := t.service(replicas(1))
		last := 0
		t.eventually("running", func() error {
			for _, task := range t.tasks(id) {
				now := slices.Index(states, state(task))
				require.GreaterOrEqual(t, now, last, state(task))
				last = now
			}
			if states[last] != "running" {
				return errors.New(states[last])
			}
			return nil
		})
	}},
	{"A27.pending-task", Swarm, func(t *T) {
		id := t.service(replicas(1), nowhere)
		task := t.until(id, func(tasks []obj) bool { return len(tasks) == 1 && at(tasks[0], "Status.Err") != nil })[0]
		t.has(task, "Status.State", "pending")
		t.has(task, "Status.Message", "pending task scheduling")
		t.has(task, "Status.Err", "no suitable node (scheduling constraints not satisfied on 1 node)")
		t.has(task, "DesiredState", "running")
		assert.NotContains(t, task, "NodeID")
	}},
	{"A27.finished-task", Swarm, func(t *T) {
		task := t.ends(t.service(replicas(1), args("-exit", "0"), never), "complete")
		t.has(task, "Status.Message", "finished")
		t.has(task, "Status.ContainerStatus.ExitCode", 0)
		assert.NotContains(t, task["Status"], "Err")
		t.has(task, "DesiredState", "shutdown")
	}},
	{"A27.failed-task", Swarm, func(t *T) {
		task := t.ends(t.service(replicas(1), args("-exit", "3"), never), "failed")
		t.has(task, "Status.Message", "started")
		t.has(task, "Status.Err", "task: non-zero exit (3)")
		t.has(task, "Status.ContainerStatus.ExitCode", 3)
		t.has(task, "DesiredState", "shutdown")
	}},
	{"A27.rejected-task", Swarm, func(t *T) {
		task := t.ends(t.service(replicas(1), image("nosuch/image:1"), never), "rejected")
		t.has(task, "Status.Message", "preparing")
		t.has(task, "Status.Err", "No such image: nosuch/image:1")
		t.has(task, "DesiredState", "shutdown")
	}},
	{"A27.task-that-is-scaled-away-is-shut-down-and-forgotten", Swarm, func(t *T) {
		id := t.running(2)
		t.update("/services/"+id, replicas(1))
		left := t.until(id, func(tasks []obj) bool { return len(tasks) == 1 })
		t.has(left[0], "Status.State", "running")
	}},
	{"A27.task-of-a-removed-service-is-forgotten", Swarm, func(t *T) {
		id := t.running(1)
		task := t.tasks(id)[0]["ID"].(string)
		t.remove("/services/" + id)
		t.eventually("no task", func() error {
			if a := t.send(get("/tasks/" + task)); a.String() != "404 task "+task+" not found" {
				return errors.New(a.String())
			}
			return nil
		})
	}},
	{"A27.replaced-task-is-shut-down", Swarm, func(t *T) {
		id := t.running(1)
		t.update("/services/"+id, env("A=1"))
		tasks := t.until(id, func(tasks []obj) bool {
			return len(tasks) == 2 && state(tasks[0]) == "shutdown" && state(tasks[1]) == "running"
		})
		t.has(tasks[0], "DesiredState", "shutdown")
		t.has(tasks[0], "Status.Message", "shutdown")
		t.has(tasks[0], "Slot", tasks[1]["Slot"])
	}},
	{"tasks.slots-are-the-lowest-free-ones", Swarm, func(t *T) {
		id := t.service(replicas(3), nowhere)
		slots := func(tasks []obj) (all []float64) {
			for _, task := range tasks {
				all = append(all, task["Slot"].(float64))
			}
			return all
		}
		assert.ElementsMatch(t, []float64{1, 2, 3}, slots(t.hasTasks(id, 3)))
		t.update("/services/"+id, replicas(1))
		left := t.until(id, func(tasks []obj) bool { return len(tasks) == 1 }, "desired-state", "running")
		assert.Equal(t, []float64{1}, slots(left))
		t.forgotten(id, 1)
	}},
	{"tasks.of-global-services-have-a-node-and-no-slot", Swarm, func(t *T) {
		id := t.service(global)
		task := t.until(id, func(tasks []obj) bool { return len(tasks) == 1 && state(tasks[0]) == "running" })[0]
		assert.NotContains(t, task, "Slot")
		t.has(task, "NodeID", t.node())
	}},
	{"tasks.of-global-services-need-a-node-that-fits", Swarm, func(t *T) {
		id := t.service(global, nowhere)
		t.settle()
		assert.Empty(t, t.tasks(id))
	}},
	{"tasks.have-the-spec-of-the-service", Swarm, func(t *T) {
		id := t.service(replicas(1), env("A=1"), nowhere)
		task := t.hasTasks(id, 1)[0]
		spec := t.serviceAt(id)["Spec"].(obj)["TaskTemplate"].(obj)
		delete(spec, "Runtime") // of the service only
		t.has(task["Spec"], "ContainerSpec", spec["ContainerSpec"])
		t.has(task["Spec"], "Placement", spec["Placement"])
		t.has(task, "ServiceID", id)
	}},
	{"tasks.restart-any", Swarm, func(t *T) {
		id := t.service(replicas(1), args("-exit", "0", "-after", "100ms"), restart(atOnce))
		t.until(id, func(tasks []obj) bool { return len(tasks) >= 3 && count(tasks, "complete") >= 2 })
		t.calm(id)
	}},
	{"tasks.restart-on-failure-restarts-failures", Swarm, func(t *T) {
		id := t.service(replicas(1), args("-exit", "1", "-after", "100ms"), restart(obj{"Condition": "on-failure", "Delay": 0}))
		t.until(id, func(tasks []obj) bool { return count(tasks, "failed") >= 2 })
		t.calm(id)
	}},
	{"tasks.restart-on-failure-leaves-the-finished", Swarm, func(t *T) {
		id := t.service(replicas(1), args("-exit", "0"), restart(obj{"Condition": "on-failure", "Delay": 0}))
		t.ends(id, "complete")
		t.settle()
		assert.Len(t, t.tasks(id), 1)
	}},
	{"tasks.restart-none", Swarm, func(t *T) {
		id := t.service(replicas(1), args("-exit", "1"), never)
		t.ends(id, "failed")
		t.settle()
		assert.Len(t, t.tasks(id), 1)
	}},
	{"tasks.restart-ends-after-max-attempts", Swarm, func(t *T) {
		id := t.service(replicas(1), args("-exit", "1"), restart(obj{"Condition": "any", "Delay": 0, "MaxAttempts": 2}))
		t.until(id, func(tasks []obj) bool { return count(tasks, "failed") == 3 })
		t.settle()
		assert.Len(t, t.tasks(id), 3)
	}},
	{"tasks.restart-delay-is-spent-ready", Swarm, func(t *T) {
		id := t.service(replicas(1), args("-exit", "1", "-after", "100ms"), restart(obj{"Condition": "any", "Delay": 3_600_000_000_000}))
		tasks := t.until(id, func(tasks []obj) bool { return len(tasks) == 2 && state(tasks[1]) == "ready" })
		t.has(tasks[0], "Status.State", "failed")
		t.has(tasks[1], "DesiredState", "ready")
		t.has(tasks[1], "Status.Message", "prepared")
		t.has(tasks[1], "Slot", 1)
	}},
	// Five is what a new swarm keeps; others may be told to keep more.
	{"tasks.history-keeps-five-of-a-slot", AloneInSwarm, func(t *T) {
		require.Equal(t, "200 empty", t.changeSwarm("", set("Orchestration.TaskHistoryRetentionLimit", 5)).String())
		id := t.service(replicas(1), args("-exit", "1"), restart(atOnce))
		seen := map[any]bool{}
		t.until(id, func(tasks []obj) bool {
			for _, task := range tasks {
				seen[task["ID"]] = true
			}
			return len(seen) >= 7
		})
		t.update("/services/"+id, args())
		t.until(id, func(tasks []obj) bool { return len(tasks) == 5 && count(tasks, "running") == 1 })
	}},
	{"tasks.history-keeps-all-attempts-of-a-restart-policy", Swarm, func(t *T) {
		id := t.service(replicas(1), args("-exit", "1"), restart(obj{"Condition": "any", "Delay": 0, "MaxAttempts": 6}))
		t.until(id, func(tasks []obj) bool { return count(tasks, "failed") == 7 })
	}},
	// The image ends with code 0 when it is told to.
	{"tasks.health-check-that-fails-ends-the-task", Swarm, func(t *T) {
		id := t.service(replicas(1), never, health("1"))
		t.has(t.ends(id, "complete"), "Status.ContainerStatus.ExitCode", 0)
	}},
	{"tasks.health-check-that-passes-runs", Swarm, func(t *T) {
		t.running(1, health("0"))
	}},
	{"tasks.start-while-their-health-is-unknown", Swarm, func(t *T) {
		id := t.service(replicas(1), set(inContainer+"Healthcheck", obj{
			"Test": list{"CMD", "/testimage", "healthcheck", "0"}, "Interval": 3_600_000_000_000}))
		task := t.until(id, func(tasks []obj) bool { return len(tasks) == 1 && state(tasks[0]) == "starting" })[0]
		t.has(task, "Status.Message", "starting")
	}},
	{"tasks.templates-are-filled-in-when-they-run", Swarm, func(t *T) {
		id := t.running(1, env("SLOT={{.Task.Slot}}"))
		t.has(t.tasks(id)[0], "Spec.ContainerSpec.Env", list{"SLOT={{.Task.Slot}}"})
	}},
	{"jobs.run-to-completion", Swarm, func(t *T) {
		id := t.service(job(3, 1), never, args("-exit", "0"))
		for _, task := range t.finished(id, 3) {
			t.has(task, "DesiredState", "complete")
			t.has(task, "JobIteration", obj{})
		}
	}},
	{"jobs.slots-count-completions", Swarm, func(t *T) {
		id := t.service(job(3, 1), never, args("-exit", "0"))
		slots := map[any]bool{}
		for _, task := range t.finished(id, 3) {
			slots[task["Slot"]] = true
		}
		assert.Equal(t, map[any]bool{nil: true, 1.0: true, 2.0: true}, slots)
	}},
	{"jobs.run-no-more-at-a-time-than-they-may", Swarm, func(t *T) {
		id := t.service(job(5, 2), never)
		tasks := t.until(id, func(tasks []obj) bool { return count(tasks, "running") == 2 })
		assert.Len(t, tasks, 2)
	}},
	{"jobs.default-to-one", Swarm, func(t *T) {
		service := t.serviceAt(t.service(mode(obj{"ReplicatedJob": obj{}}), nowhere))
		t.has(service, "Spec.Mode", obj{"ReplicatedJob": obj{"MaxConcurrent": 1, "TotalCompletions": 1}})
	}},
	{"jobs.run-one-at-a-time-unless-told", Swarm, func(t *T) {
		service := t.serviceAt(t.service(mode(obj{"ReplicatedJob": obj{"TotalCompletions": 4}}), nowhere))
		t.has(service, "Spec.Mode", obj{"ReplicatedJob": obj{"MaxConcurrent": 1, "TotalCompletions": 4}})
	}},
	{"jobs.global", Swarm, func(t *T) {
		id := t.service(globalJob, never, args("-exit", "0"))
		task := t.finished(id, 1)[0]
		t.has(task, "NodeID", t.node())
		assert.NotContains(t, task, "Slot")
	}},
	{"jobs.take-the-restart-condition-any", Swarm, func(t *T) {
		t.has(t.serviceAt(t.service(job(1, 1), restart(obj{"Condition": "any"}), nowhere)), "Spec.TaskTemplate.RestartPolicy.Condition", "any")
	}},
	{"jobs.retry-on-failure", Swarm, func(t *T) {
		id := t.service(job(1, 1), args("-exit", "1"), restart(obj{"Condition": "on-failure", "Delay": 500_000_000, "MaxAttempts": 1}))
		t.until(id, func(tasks []obj) bool { return count(tasks, "failed") >= 2 })
		t.calm(id)
	}},
	{"jobs.status", Swarm, func(t *T) {
		id := t.service(job(2, 2), never, args("-exit", "0"))
		t.finished(id, 2)
		service := t.serviceAt(id)
		t.members(service["JobStatus"], "JobIteration", "LastExecution")
		t.has(t.list("/services?status=true&" + filter("id", id))[0], "ServiceStatus", obj{"RunningTasks": 0, "DesiredTasks": 2, "CompletedTasks": 2})
	}},
	{"A12.iteration-0-is-left-out", Swarm, func(t *T) {
		service := t.serviceAt(t.service(job(1, 1), nowhere))
		t.has(service, "JobStatus.JobIteration", obj{})
	}},
	{"A12.update-of-a-job-runs-it-again", Swarm, func(t *T) {
		id := t.service(job(1, 1), never, args("-exit", "0"))
		t.finished(id, 1)
		t.update("/services/"+id, label("a", "b"))
		tasks := t.finished(id, 2)
		t.has(t.serviceAt(id), "JobStatus.JobIteration", obj{"Index": 1})
		var iterations []any
		for _, task := range tasks {
			iterations = append(iterations, at(task, "JobIteration.Index"))
		}
		assert.ElementsMatch(t, []any{nil, 1.0}, iterations)
	}},
	{"A12.update-without-change-runs-a-job-again", Swarm, func(t *T) {
		id := t.service(job(1, 1), nowhere)
		t.update("/services/" + id)
		t.has(t.serviceAt(id), "JobStatus.JobIteration", obj{"Index": 1})
	}},
	{"A12.services-have-no-job-status", Swarm, func(t *T) {
		assert.NotContains(t, t.serviceAt(t.service()), "JobStatus")
		assert.NotContains(t, t.hasTasks(t.service(replicas(1), nowhere), 1)[0], "JobIteration")
	}},
}

func health(code string) edit {
	return set(inContainer+"Healthcheck", obj{"Test": list{"CMD", "/testimage", "healthcheck", code}, "Interval": 100_000_000, "Retries": 1})
}

// calm lets the tasks of a service run that has none but failing ones. Engines
// forget old tasks while they make new ones, and real ones have crashed when their
// service was removed at that moment.
func (t *T) calm(service string) {
	t.Helper()
	t.update("/services/"+service, args())
	t.until(service, func(tasks []obj) bool { return count(tasks, "running") == 1 })
}
