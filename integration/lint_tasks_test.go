//go:build integration

package integration

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/swarm-go/swarm"
	"github.com/swarm-go/swarm/integration/engines"
)

// watched is a service of which a hint says what becomes of its tasks.
type watched struct {
	found
	id      string
	slots   int // how many tasks it has at a time, known before the first change
	changes int // how many of those that Then asks for are made
	lack    string
}

// runs reports whether the row is about what becomes of tasks.
func (f found) runs() bool {
	return f.Task != "" || f.State != "" || f.Tasks != nil || f.Update != "" || f.Container != nil || f.Stdout != "" || f.Stderr != ""
}

// runnable has a service run a task at least, none of which is started again.
func runnable(s *swarm.ServiceSpec, name string) {
	s.Name = name
	if r := s.Mode.Replicated; r != nil && *r.Replicas == 0 {
		s.Mode = swarm.Replicated(1)
	}
	s.TaskTemplate.RestartPolicy = &swarm.RestartPolicy{Condition: swarm.RestartNone}
}

// assertTasksDoAsSaid waits until each task has been as hints say, and then until all
// are at one moment. What never changes has then not changed while others did.
func assertTasksDoAsSaid(t *testing.T, e *engines.Engine, client *swarm.Client, services []*watched) {
	t.Helper()
	open := lacking(t, e, client, services)
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); time.Sleep(500 * time.Millisecond) {
		if len(open) == 0 {
			if open = lacking(t, e, client, services); len(open) == 0 {
				return
			}
		}
		open = lacking(t, e, client, open)
	}
	var why []string
	for _, w := range open {
		why = append(why, w.lack)
	}
	assert.Fail(t, "tasks do not do what Lint says", "%s", strings.Join(why, "\n"))
}

// lacking are those whose tasks are not as hints say.
func lacking(t *testing.T, e *engines.Engine, client *swarm.Client, services []*watched) (open []*watched) {
	t.Helper()
	all, err := client.Tasks.List(t.Context(), nil)
	require.NoError(t, err)
	for _, w := range services {
		tasks := slices.DeleteFunc(slices.Clone(all), func(task swarm.Task) bool { return task.ServiceID != w.id })
		if lacks := w.lacks(t, e, client, tasks); lacks != "" {
			w.lack = fmt.Sprintf("%s: %s; tasks: %s", w.Spec, lacks, describe(tasks))
			open = append(open, w)
		}
	}
	return open
}

// lacks says what is not as the hint has it; nothing if all is.
func (w *watched) lacks(t *testing.T, e *engines.Engine, client *swarm.Client, tasks []swarm.Task) string {
	t.Helper()
	var current []swarm.Task
	if w.Then != "" || w.Tasks != nil {
		var err error
		current, err = client.Tasks.List(t.Context(), &swarm.TaskListOptions{Services: []string{w.id}, UpToDate: true})
		require.NoError(t, err)
	}
	if w.Then != "" && !w.isChanged(t, client, current) {
		return "not yet changed"
	}
	// After a rollback the tasks of before the update are of the last spec again.
	current = slices.DeleteFunc(current, func(task swarm.Task) bool { return task.DesiredState == swarm.TaskShutdown })
	if w.Tasks != nil && len(current) != *w.Tasks {
		return fmt.Sprintf("want %d tasks of the last spec, have %d", *w.Tasks, len(current))
	}
	if w.Update != "" {
		service, err := client.Services.Inspect(t.Context(), w.id)
		require.NoError(t, err)
		if service.UpdateStatus == nil || service.UpdateStatus.State != w.Update {
			return fmt.Sprintf("want the update %s, have %+v", w.Update, service.UpdateStatus)
		}
	}
	if w.Task == "" && w.State == "" && w.Container == nil && w.Stdout == "" && w.Stderr == "" {
		return ""
	}
	if len(tasks) == 0 {
		return "no task yet"
	}
	newest := slices.MaxFunc(tasks, func(a, b swarm.Task) int { return a.CreatedAt.Compare(b.CreatedAt) })
	return w.taskLacks(t, e, client, newest)
}

// isChanged makes what is to be done to the service, one after the other, each when
// all tasks have started or ended.
func (w *watched) isChanged(t *testing.T, client *swarm.Client, current []swarm.Task) bool {
	t.Helper()
	wanted := map[string]int{"update": 1, "rollback": 2}[w.Then]
	require.NotZero(t, wanted, w.Then)
	if w.changes == wanted {
		return true
	}
	isSettled := func(task swarm.Task) bool {
		return task.Status.State == swarm.TaskRunning || task.Status.State.Terminal()
	}
	if len(current) == 0 || len(current) < w.slots || slices.ContainsFunc(current, func(task swarm.Task) bool { return !isSettled(task) }) {
		return false
	}
	w.slots = len(current)
	w.changes++
	if w.changes == 2 {
		_, err := client.Services.Rollback(t.Context(), w.id, &swarm.ServiceUpdateOptions{RerunJob: true})
		require.NoError(t, err, "%s", w.Spec)
	} else {
		update(t, client, w.id, func(s *swarm.ServiceSpec) { s.TaskTemplate.ContainerSpec.Args = []string{"-lines", "1"} })
	}
	return false
}

func (w *watched) taskLacks(t *testing.T, e *engines.Engine, client *swarm.Client, task swarm.Task) string {
	t.Helper()
	switch container := task.Status.ContainerStatus; {
	case !strings.Contains(task.Status.Err, w.Task):
		return fmt.Sprintf("want the error %q", w.Task)
	case w.State != "" && task.Status.State != w.State:
		return fmt.Sprintf("want the state %s", w.State)
	case w.Container == nil && w.Stdout == "" && w.Stderr == "":
		return ""
	case container == nil || container.ContainerID == "":
		return "no container yet"
	}
	container := raw(t, e, "/containers/"+task.Status.ContainerStatus.ContainerID+"/json")
	for path, want := range w.Container {
		if got := valueAt(container, path); !assert.ObjectsAreEqual(want, got) {
			return fmt.Sprintf("want %v as %s, have %v", want, path, got)
		}
	}
	if w.Stdout == "" && w.Stderr == "" {
		return ""
	}
	logs, err := client.Tasks.Logs(t.Context(), task.ID, nil)
	stdout, stderr := readLogs(t, logs, err)
	if !regexp.MustCompile(w.Stdout).MatchString(stdout) || !regexp.MustCompile(w.Stderr).MatchString(stderr) {
		return fmt.Sprintf("want the output %q %q, have %q %q", w.Stdout, w.Stderr, stdout, stderr)
	}
	return ""
}
