package swarmtest_test

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/swarm-go/swarm"
	"github.com/swarm-go/swarm/swarmtest"
)

// lintRow is what Lint says of a spec and real engines do, see the tests of Lint.
type lintRow struct {
	Spec    json.RawMessage
	API     string
	Becomes json.RawMessage
	Task    string
	State   swarm.TaskState
	Then    string
	Tasks   *int
	Update  swarm.UpdateState
}

// Of what nodes do with containers the embedded engine knows little. What managers do
// it does as real ones.
func TestManagersDoWhatLintSays(t *testing.T) {
	text, err := os.ReadFile("../testdata/validate/lint.json")
	require.NoError(t, err)
	var hints []struct{ Found []lintRow }
	require.NoError(t, json.Unmarshal(text, &hints))
	seen := 0
	for _, h := range hints {
		for _, row := range h.Found {
			if row.Tasks != nil || row.Then != "" || row.State == swarm.TaskNew ||
				strings.HasPrefix(row.Task, "constraints") || strings.HasPrefix(row.Task, "insufficient") {
				seen++
				synctest.Test(t, func(t *testing.T) { row.check(t) })
			}
		}
	}
	assert.Greater(t, seen, 15)
}

func (row lintRow) check(t *testing.T) {
	engine := swarmtest.Start(t)
	engine.Image("failing:1", swarmtest.Image{Run: func(c *swarmtest.Container) int {
		if args := c.Args(); len(args) > 3 {
			after, err := time.ParseDuration(args[3])
			if err == nil && c.Sleep(after) {
				return 3
			}
		}
		c.Wait()
		return 0
	}})
	client, ctx := engine.Client(), t.Context()
	spec := swarm.ServiceSpec{Name: "linted", TaskTemplate: swarm.TaskSpec{
		ContainerSpec: swarm.ContainerSpec{Image: "failing:1"},
		RestartPolicy: &swarm.RestartPolicy{Condition: swarm.RestartNone},
	}, Mode: swarm.Replicated(1)}
	require.NoError(t, json.Unmarshal(row.Spec, &spec))
	change, err := client.Services.Create(ctx, spec, nil)
	require.NoError(t, err, "%s", row.Spec)
	time.Sleep(time.Minute)
	if row.Then != "" {
		_, err := client.Services.Modify(ctx, change.ID, func(s *swarm.Service) error {
			s.Spec.TaskTemplate.ContainerSpec.Args = []string{"-lines"}
			return nil
		}, &swarm.ServiceModifyOptions{RerunJob: true})
		require.NoError(t, err)
		time.Sleep(time.Minute)
	}
	if row.Then == "rollback" {
		_, err := client.Services.Rollback(ctx, change.ID, &swarm.ServiceUpdateOptions{RerunJob: true})
		require.NoError(t, err)
		time.Sleep(time.Minute)
	}
	service, err := client.Services.Inspect(ctx, change.ID)
	require.NoError(t, err)
	if row.Update != "" {
		require.NotNil(t, service.UpdateStatus, "%s", row.Spec)
		assert.Equal(t, row.Update, service.UpdateStatus.State, "%s", row.Spec)
	}
	tasks, err := client.Tasks.List(ctx, &swarm.TaskListOptions{Services: []string{change.ID}})
	require.NoError(t, err)
	if row.Tasks != nil {
		current, err := client.Tasks.List(ctx, &swarm.TaskListOptions{Services: []string{change.ID}, UpToDate: true})
		require.NoError(t, err)
		current = slices.DeleteFunc(current, func(task swarm.Task) bool { return task.DesiredState == swarm.TaskShutdown })
		assert.Len(t, current, *row.Tasks, "%s", row.Spec)
	}
	if row.Task == "" && row.State == "" {
		return
	}
	require.NotEmpty(t, tasks)
	newest := slices.MaxFunc(tasks, func(a, b swarm.Task) int { return a.CreatedAt.Compare(b.CreatedAt) })
	assert.Contains(t, newest.Status.Err, row.Task, "%s", row.Spec)
	if row.State != "" {
		assert.Equal(t, row.State, newest.Status.State, "%s", row.Spec)
	}
}
