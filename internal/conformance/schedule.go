package conformance

import (
	"github.com/stretchr/testify/assert"
)

func where(constraints ...any) edit { return set(inTask+"Placement.Constraints", constraints) }

// stuck wants no node to be found for a task, for this reason.
func (t *T) stuck(why string, edits ...edit) (service string) {
	t.Helper()
	service = t.service(append([]edit{replicas(1)}, edits...)...)
	task := t.until(service, func(tasks []obj) bool { return len(tasks) == 1 && at(tasks[0], "Status.Err") != nil })[0]
	t.has(task, "Status.Err", "no suitable node ("+why+")")
	t.has(task, "Status.State", "pending")
	return service
}

const unsatisfied = "scheduling constraints not satisfied on 1 node"

// fits and misfits are constraints that the node of a target satisfies, or not.
func constrained(id string, fits, misfits func(t *T) string) []Behaviour {
	return []Behaviour{
		{"schedule.constraint-that-holds." + id, Swarm, func(t *T) { t.running(1, where(fits(t))) }},
		{"schedule.constraint-that-does-not-hold." + id, Swarm, func(t *T) { t.stuck(unsatisfied, where(misfits(t))) }},
	}
}

func says(constraint string) func(*T) string { return func(*T) string { return constraint } }

// available changes whether the node takes tasks, until the behaviour ends.
func (t *T) available(availability string) {
	t.Helper()
	path := "/nodes/" + t.node()
	t.Cleanup(func() { t.update(path, set("Availability", "active")) })
	t.update(path, set("Availability", availability))
	t.has(t.get(path), "Spec.Availability", availability)
}

var schedule = func() []Behaviour {
	all := []Behaviour{
		{"schedule.label-of-the-node-that-comes-later", Swarm, func(t *T) {
			mark := t.name()
			id := t.stuck(unsatisfied, where("node.labels."+mark+"==1"))
			t.labelNode(mark, "1")
			t.run(id, 1)
		}},
		{"schedule.label-of-the-node-that-goes", Swarm, func(t *T) {
			mark := t.name()
			t.labelNode(mark, "1")
			id := t.running(1, where("node.labels."+mark+"==1"))
			t.update("/nodes/"+t.node(), drop("Labels."+mark))
			t.until(id, func(tasks []obj) bool {
				return count(tasks, "rejected")+count(tasks, "shutdown")+count(tasks, "complete") == 1 && count(tasks, "pending") == 1
			})
		}},
		{"schedule.all-constraints-must-hold", Swarm, func(t *T) {
			t.stuck(unsatisfied, where("node.role==manager", "node.labels.nowhere==yes"))
		}},
		{"schedule.update-that-adds-a-constraint", Swarm, func(t *T) {
			id := t.running(1)
			t.update("/services/"+id, where("node.labels.nowhere==yes"))
			t.until(id, func(tasks []obj) bool { return count(tasks, "running") == 0 && count(tasks, "pending") == 1 })
		}},
		{"schedule.too-much-memory", Swarm, func(t *T) {
			t.stuck("insufficient resources on 1 node", set(inTask+"Resources.Reservations.MemoryBytes", 1<<50))
		}},
		{"schedule.too-many-processors", Swarm, func(t *T) {
			t.stuck("insufficient resources on 1 node", set(inTask+"Resources.Reservations.NanoCPUs", 1_000_000_000_000_000))
		}},
		{"schedule.resources-that-no-node-has", Swarm, func(t *T) {
			t.stuck("insufficient resources on 1 node", set(inTask+"Resources.Reservations.GenericResources",
				list{obj{"DiscreteResourceSpec": obj{"Kind": "gpu", "Value": 1}}}))
		}},
		{"schedule.limits-are-no-reservations", Swarm, func(t *T) {
			t.running(1, set(inTask+"Resources.Limits.MemoryBytes", 64<<20))
		}},
		{"schedule.unsupported-platform", Swarm, func(t *T) {
			t.stuck("unsupported platform on 1 node", set(inTask+"Placement.Platforms", list{obj{"Architecture": "no-such", "OS": "linux"}}))
		}},
		{"schedule.platform-of-the-node", Swarm, func(t *T) {
			platform := at(t.get("/nodes/"+t.node()), "Description.Platform").(obj)
			t.running(1, set(inTask+"Placement.Platforms", list{platform}))
		}},
		{"schedule.max-replicas-per-node", Swarm, func(t *T) {
			id := t.service(replicas(2), set(inTask+"Placement.MaxReplicas", 1))
			tasks := t.until(id, func(tasks []obj) bool {
				return len(tasks) == 2 && count(tasks, "running") == 1 && count(tasks, "pending") == 1
			})
			for _, task := range tasks {
				if state(task) == "pending" {
					t.has(task, "Status.Err", "no suitable node (max replicas per node limit exceed)")
				}
			}
		}},
		{"schedule.host-port-in-use", Swarm, func(t *T) {
			port := publish(obj{"TargetPort": 80, "PublishedPort": t.port(), "PublishMode": "host"})
			t.running(1, port)
			t.stuck("host-mode port already in use on 1 node", port)
		}},
		{"schedule.unknown-constraint-key", Swarm, func(t *T) { t.stuck(unsatisfied, where("node.nosuch==x")) }},
		{"schedule.freed-reservation-is-used", Swarm, func(t *T) {
			all := at(t.get("/nodes/"+t.node()), "Description.Resources.MemoryBytes").(float64)
			most := set(inTask+"Resources.Reservations.MemoryBytes", int(all*0.6))
			first := t.running(1, most)
			second := t.stuck("insufficient resources on 1 node", most)
			t.update("/services/"+first, replicas(0))
			t.run(second, 1)
			t.forgotten(first, 0)
		}},
		{"schedule.paused-node-keeps-its-tasks-and-takes-no-more", AloneInSwarm, func(t *T) {
			id := t.running(1)
			t.available("pause")
			t.stuck("1 node not available for new tasks")
			t.run(id, 1)
			assert.Len(t, t.tasks(id), 1)
		}},
		{"schedule.drained-node-loses-its-tasks", AloneInSwarm, func(t *T) {
			id := t.running(1)
			t.available("drain")
			tasks := t.until(id, func(tasks []obj) bool {
				return len(tasks) == 2 && state(tasks[0]) == "shutdown" && at(tasks[1], "Status.Err") != nil
			})
			t.has(tasks[0], "DesiredState", "shutdown")
			t.has(tasks[1], "Status.Err", "no suitable node (1 node not available for new tasks)")
			t.update("/nodes/"+t.node(), set("Availability", "active"))
			t.run(id, 1)
		}},
		{"schedule.drained-node-loses-tasks-of-global-services", AloneInSwarm, func(t *T) {
			id := t.service(global)
			t.run(id, 1)
			t.available("drain")
			t.until(id, func(tasks []obj) bool { return len(tasks) == 1 && state(tasks[0]) == "shutdown" })
			t.update("/nodes/"+t.node(), set("Availability", "active"))
			t.run(id, 1)
		}},
	}
	all = append(all, constrained("role", says("node.role==manager"), says("node.role==worker"))...)
	all = append(all, constrained("role-of-another-case", says("node.role==MANAGER"), says("node.role!=Manager"))...)
	all = append(all, constrained("id", func(t *T) string { return "node.id==" + t.node() }, func(t *T) string { return "node.id!=" + t.node() })...)
	all = append(all, constrained("hostname",
		func(t *T) string {
			return "node.hostname==" + at(t.get("/nodes/"+t.node()), "Description.Hostname").(string)
		},
		says("node.hostname==no-such-host"))...)
	all = append(all, constrained("platform", says("node.platform.os==linux"), says("node.platform.os==windows"))...)
	all = append(all, constrained("label-that-is-not-there", says("node.labels.nowhere!=yes"), says("node.labels.nowhere==yes"))...)
	all = append(all, constrained("engine-label", says("engine.labels.nowhere!=yes"), says("engine.labels.nowhere==yes"))...)
	all = append(all, constrained("spaces", says("node.role == manager"), says("node.role == worker"))...)
	return all
}()
