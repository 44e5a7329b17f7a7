package engine

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/swarm-go/swarm"
)

// taskRoutes are the endpoints of tasks, but for their logs.
var taskRoutes = []route{
	{method: http.MethodGet, pattern: "/tasks", handle: listTasks},
	{method: http.MethodGet, pattern: "/tasks/{id}", handle: inspectTask},
}

// taskStates are the states that tasks have, all in small letters.
var taskStates = []swarm.TaskState{
	swarm.TaskNew, swarm.TaskPending, swarm.TaskAssigned, swarm.TaskAccepted, swarm.TaskPreparing, swarm.TaskReady,
	swarm.TaskStarting, swarm.TaskRunning, swarm.TaskComplete, swarm.TaskShutdown, swarm.TaskFailed,
	swarm.TaskRejected, swarm.TaskRemove, swarm.TaskOrphaned,
}

func listTasks(c *call) error {
	all, err := c.parseFilters()
	if err != nil {
		return err
	}
	var tasks []*swarm.Task
	err = c.manage(func(cluster *Cluster) error {
		err := c.accept(all, "name", "id", "label", "service", "node", "desired-state", "_up-to-date", "runtime")
		if err != nil {
			return err
		}
		if err := cluster.resolveTaskFilters(all); err != nil {
			return err
		}
		tasks = cluster.tasks.matching(func(t *swarm.Task) bool { return cluster.taskMatches(t, all) })
		return nil
	})
	if err != nil {
		return err
	}
	answers := make([]any, len(tasks))
	for i, task := range tasks {
		answers[i] = c.taskAnswer(task)
	}
	return c.json(http.StatusOK, answers)
}

// resolveTaskFilters puts IDs in the place of references, and fills in what is
// listed if nothing is said.
func (c *Cluster) resolveTaskFilters(all filters) error {
	for i, ref := range all["service"] {
		service, err := c.service(ref)
		if err != nil {
			return err
		}
		all["service"][i] = service.ID
	}
	for i, ref := range all["node"] {
		node, err := c.nodeOf(ref)
		if err != nil {
			return err
		}
		all["node"][i] = node.ID
	}
	if !all.has("runtime") {
		all["runtime"] = []string{string(swarm.RuntimeContainer), ""}
	}
	states := []string{}
	for _, text := range all["desired-state"] {
		state := swarm.TaskState(strings.ToLower(text))
		if state == "" {
			continue
		}
		if !slices.Contains(taskStates, state) {
			return refuse(http.StatusInternalServerError, "Invalid desired-state filter: '%s'", text)
		}
		states = append(states, string(state))
	}
	all["desired-state"] = states
	return nil
}

func (c *Cluster) taskMatches(t *swarm.Task, f filters) bool {
	var labels map[string]string
	if service := c.services.get(t.ServiceID); service != nil {
		labels = service.Spec.Labels
	}
	return f.prefix("name", c.taskName(t)) &&
		f.prefix("id", t.ID) &&
		f.labels("label", labels) &&
		f.exact("service", t.ServiceID) &&
		f.exact("node", t.NodeID) &&
		f.exact("runtime", string(t.Spec.Runtime)) &&
		f.exact("desired-state", string(t.DesiredState)) &&
		(len(f["_up-to-date"]) == 0 || c.upToDate(t))
}

// upToDate reports whether a task is as its service wants it.
func (c *Cluster) upToDate(t *swarm.Task) bool {
	service := c.services.get(t.ServiceID)
	return service != nil && !c.dirty(service, t)
}

// taskName is what managers call a task.
func (c *Cluster) taskName(t *swarm.Task) string {
	if t.Name != "" {
		return t.Name
	}
	name := ""
	if state := c.control.tasks[t.ID]; state != nil {
		name = state.service
	}
	slot := t.NodeID
	if t.Slot != 0 {
		slot = fmt.Sprint(t.Slot)
	}
	return fmt.Sprintf("%s.%s.%s", name, slot, t.ID)
}

func inspectTask(c *call) error {
	var task *swarm.Task
	err := c.manage(func(cluster *Cluster) (err error) {
		task, err = cluster.task(c.vars["id"])
		return err
	})
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, c.taskAnswer(task))
}

// taskAnswer is a task as it is shown: its spec has no runtime.
func (c *call) taskAnswer(task *swarm.Task) any {
	shown := *task
	shown.Spec.Runtime = ""
	if !c.daemon.release.volumes {
		return shown
	}
	return struct {
		swarm.Task
		Volumes []swarm.VolumeAttachment
	}{shown, shown.Volumes}
}
