package main

import (
	"bytes"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/swarm-go/swarm"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestLinesTellARolloutsWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		require.NoError(t, run(t.Context(), &out, lines(&out), nil))
		said := out.String()
		for _, line := range []string{"deploying to the embedded engine\n", "web: 0 of 4 tasks run", "4 preparing [starting]\n", "web: 4 of 4 tasks run [settling]\n",
			"web: 4 of 4 tasks run [done]\n", "updating the image to web:2\n", "2 outdated", "[updating]\n", "web: 4 of 4 tasks run [done]\n",
			"updating the image to web:broken\n", "rollback_started", "failed: rollout of web", "task: non-zero exit (1)", "rolled back"} {
			_, rest, found := strings.Cut(said, line)
			require.True(t, found, "%q does not follow in:\n%s", line, out.String())
			said = rest
		}
		assert.NotContains(t, out.String(), "\x1b", "which is for terminals")
	})
}

func TestBarsAreDrawnInPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		require.NoError(t, run(t.Context(), &out, bars(&out), nil))
		assert.Contains(t, out.String(), "\x1b[6A\x1b[J")
		assert.Contains(t, out.String(), "done           [==============================]\n  1            [==============================] running\n")
	})
}

func TestWhatOthersWriteMovesNoCursor(t *testing.T) {
	picture := draw(swarm.Progress{Service: "web", Desired: 1, Tasks: []swarm.Task{
		{Slot: 1, Status: swarm.TaskStatus{State: swarm.TaskRejected, Err: "no \x1b[2J image"}},
	}})
	assert.NotContains(t, picture, "\x1b")
	assert.Contains(t, picture, `no \x1b[2J image`)
}

func TestManyTasksHaveOneBar(t *testing.T) {
	assert.Equal(t, 2, strings.Count(draw(swarm.Progress{Service: "web", Desired: 50, Tasks: make([]swarm.Task, 50)}), "\n"))
}
