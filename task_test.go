package swarm_test

import (
	"net/http"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/swarm-go/swarm"
)

func TestTaskStatesAreOrderedByALife(t *testing.T) {
	waiting := []swarm.TaskState{swarm.TaskNew, swarm.TaskAllocated, swarm.TaskPending}
	active := []swarm.TaskState{swarm.TaskAssigned, swarm.TaskAccepted, swarm.TaskPreparing, swarm.TaskReady, swarm.TaskStarting, swarm.TaskRunning, "", "a new one", "another"}
	ended := []swarm.TaskState{swarm.TaskComplete, swarm.TaskShutdown, swarm.TaskFailed, swarm.TaskRejected, swarm.TaskRemove, swarm.TaskOrphaned}
	ordered := slices.Concat(waiting, active, ended)
	for i, a := range ordered {
		assert.Equal(t, slices.Contains(active, a), a.Active(), a)
		assert.Equal(t, slices.Contains(ended, a), a.Terminal(), a)
		for j, b := range ordered {
			assert.Equal(t, compareInts(i, j), swarm.CompareTaskStates(a, b), "%q and %q", a, b)
		}
	}
}

func TestTasksThatAreNotThereAreReportedTogether(t *testing.T) {
	e, client := newScriptedEngine(t, "1.51")
	e.answer("GET /tasks/a1", says(http.StatusOK, `{"ID":"a1","Spec":{}}`))
	e.answer("GET /tasks/b1", says(http.StatusOK, `{"ID":"b1","Spec":{}}`))
	e.answer("GET /tasks/x", says(http.StatusNotFound, `{"message":"task x not found"}`))
	e.answer("GET /tasks/y", says(http.StatusBadRequest, `{"message":"rpc error: code = InvalidArgument desc = task y is ambiguous (2 matches found)"}`))
	e.answer("GET /tasks/locked", says(http.StatusServiceUnavailable, `{"message":"Swarm is encrypted and needs to be unlocked before it can be used."}`))

	tasks, err := client.Tasks.InspectAll(t.Context(), "b1", "x", "a1", "y")
	assert.Equal(t, []string{"b1", "a1"}, taskIDs(tasks))
	assert.ErrorIs(t, err, swarm.ErrNotFound)
	assert.ErrorIs(t, err, swarm.ErrAmbiguousRef)
	assert.ErrorContains(t, err, "task x not found")
	assert.ErrorContains(t, err, "task y is ambiguous")

	tasks, err = client.Tasks.InspectAll(t.Context(), "a1", "locked", "b1")
	assert.Empty(t, tasks)
	assert.ErrorIs(t, err, swarm.ErrLocked)

	tasks, err = client.Tasks.InspectAll(t.Context())
	assert.Empty(t, tasks)
	assert.NoError(t, err)
}

func taskIDs(tasks []swarm.Task) (ids []string) {
	for _, task := range tasks {
		ids = append(ids, task.ID)
	}
	return ids
}

func TestTasksOfServicesAreReadTogether(t *testing.T) {
	e, client := newScriptedEngine(t, "1.51")
	e.answer("GET /services/web", says(http.StatusOK, `{"ID":"s1","Spec":{"Name":"web"}}`))
	e.answer("GET /services/db", says(http.StatusOK, `{"ID":"s2","Spec":{"Name":"db"}}`))
	for _, name := range []string{"gone", "lost"} {
		e.answer("GET /services/"+name, says(http.StatusNotFound, `{"message":"service `+name+` not found"}`))
	}
	e.answer("GET /tasks", says(http.StatusOK, `[{"ID":"t1","Spec":{}}]`))

	tasks, err := client.Services.Tasks(t.Context(), "web", "gone", "db", "lost")
	assert.Equal(t, []string{"t1"}, taskIDs(tasks))
	assert.ErrorIs(t, err, swarm.ErrNotFound)
	assert.ErrorContains(t, err, "service gone not found")
	assert.ErrorContains(t, err, "service lost not found")
	lists := e.sent(http.MethodGet, "/tasks")
	require.Len(t, lists, 1)
	assert.Contains(t, lists[0].uri, "s1")
	assert.Contains(t, lists[0].uri, "s2")

	_, err = client.Services.Tasks(t.Context(), "gone", "lost")
	assert.ErrorIs(t, err, swarm.ErrNotFound)
	assert.Len(t, e.sent(http.MethodGet, "/tasks"), 1, "without a service all tasks would be listed")

	_, err = client.Services.Tasks(t.Context())
	assert.ErrorIs(t, err, swarm.ErrInvalid)
	_, err = client.Services.Tasks(t.Context(), "web", "../nodes")
	assert.ErrorIs(t, err, swarm.ErrInvalid)
}
