//go:build integration && long

package integration

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/swarm-go/swarm"
	"github.com/swarm-go/swarm/integration/engines"
)

// A leader keeps in its memory what comes from other nodes for a reader that does not
// take it: with a plain stream, and not with the library's. One version after the
// other: each writes as much as the machine bears.
func TestAStalledReaderMakesNoLeaderGrow(t *testing.T) {
	if withoutLab(t) {
		return
	}
	for _, version := range testEngines() {
		t.Run(version, func(t *testing.T) {
			nodes := startMembers(t, version, version)
			formSwarm(t, 1, nodes)
			leader, worker := nodes[0], nodes[1]
			require.NoError(t, worker.LoadImages(t.Context()))
			spec := testSpec("chatty", "-lines", "-1", "-every", "4ms", "-width", "10000") // 5 MB/s
			spec.TaskTemplate.ContainerSpec.Env = []string{"SWARMTEST_LINE={{.Task.ID}}"}
			spec.TaskTemplate.Placement = &swarm.Placement{Constraints: []string{"node.role==worker"}}
			id := deploy(t, leader.client, spec)

			logs, err := leader.client.Services.Logs(t.Context(), id, &swarm.LogOptions{Follow: true})
			require.NoError(t, err)
			defer logs.Close()
			lines := newCountedLines()
			readOn := func(until func() bool) {
				t.Helper()
				for deadline := time.Now().Add(90 * time.Second); !until() && time.Now().Before(deadline); {
					entry, err := logs.Next()
					require.NoError(t, err)
					entry.Text = strings.TrimRight(entry.Text, " x")
					lines.add(entry, nil)
				}
				require.True(t, until())
				assert.Empty(t, lines.wrong)
				assert.Empty(t, lines.gaps)
			}
			isNow := func() bool { // the newest lines are read
				for _, at := range lines.at {
					return time.Since(at) < time.Second
				}
				return false
			}
			readOn(isNow)
			before := residentMemory(t, leader.Engine)
			time.Sleep(20 * time.Second) // 100 MB are written
			stalled := residentMemory(t, leader.Engine) - before
			readOn(isNow)
			require.NoError(t, logs.Close())

			before = residentMemory(t, leader.Engine)
			request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "/services/"+id+"/logs?follow=1&stdout=1&stderr=1", nil)
			require.NoError(t, err)
			answer, err := leader.client.Do(request)
			require.NoError(t, err)
			time.Sleep(10 * time.Second)
			plain := residentMemory(t, leader.Engine) - before
			require.NoError(t, answer.Body.Close())
			t.Logf("a leader of %s grows by %d MB, and by %d MB with a plain stream", version, stalled>>20, plain>>20)
			assert.Less(t, stalled, 32<<20)
			assert.Greater(t, plain, 64<<20)
		})
	}
}

// residentMemory is how much memory an engine takes, in bytes.
func residentMemory(t *testing.T, e *engines.Engine) (bytes int) {
	t.Helper()
	network, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/net", e.PID()))
	require.NoError(t, err)
	processes, err := filepath.Glob("/proc/[0-9]*")
	require.NoError(t, err)
	for _, process := range processes {
		its, _ := os.Readlink(process + "/ns/net")
		status, _ := os.ReadFile(process + "/status") // it may have ended
		if _, after, found := strings.Cut(string(status), "VmRSS:"); found && its == network && strings.HasPrefix(string(status), "Name:\tdockerd\n") {
			kilobytes := 0
			_, err := fmt.Sscan(after, &kilobytes)
			require.NoError(t, err)
			bytes += kilobytes << 10
		}
	}
	require.NotZero(t, bytes, "no dockerd")
	return bytes
}

// Of a log whose files are thrown away while its reader stalls, a gap says what is
// missing, and the log goes on behind it.
func TestARotatedLogHasAGap(t *testing.T) {
	t.Parallel()
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		client := newClient(t, e)
		const every = 2 * time.Millisecond
		spec := testSpec(serviceName(t, ""), "-lines", "-1", "-every", every.String())
		spec.TaskTemplate.ContainerSpec.Env = []string{"SWARMTEST_LINE={{.Task.ID}}"}
		spec.TaskTemplate.LogDriver = &swarm.Driver{Name: "json-file", Options: map[string]string{"max-size": "100k", "max-file": "2"}}
		id := deploy(t, client, spec)
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		logs, err := client.Services.Logs(ctx, id, &swarm.LogOptions{Follow: true})
		require.NoError(t, err)
		defer logs.Close()
		lines := newCountedLines()
		tasks, err := client.Tasks.List(ctx, &swarm.TaskListOptions{Services: []string{id}})
		require.NoError(t, err)
		for _, task := range tasks { // the first lines may be thrown away already
			lines.jumps[task.ID+" stdout"], lines.jumps[task.ID+" stderr"] = true, true
		}
		read := func(n int) {
			for range n {
				entry, err := logs.Next()
				require.NoError(t, err)
				lines.add(entry, nil)
			}
		}
		read(200)
		gaps, before := len(lines.gaps), highest(lines)
		time.Sleep(10 * time.Second)
		for len(lines.gaps) == gaps {
			read(1)
		}
		last := highest(lines)
		read(1)
		first := highest(lines)
		read(200)
		assert.Empty(t, lines.wrong)
		gap := lines.gaps[gaps]
		most := int(gap.Before.Sub(gap.After) / every)
		t.Logf("%s; line %d, stalled, %d lines more, on from line %d of at most %d more", gap, before, last-before, first, most)
		assert.Greater(t, gap.Before.Sub(gap.After), time.Second)
		assert.Greater(t, first, last+1, "nothing is missing")
		assert.Less(t, first-last, most+500, "more is missing than the task can have written") // times are the engine's, a moment later
	})
}

// highest is the number of the line that came last.
func highest(l *countedLines) (number int) {
	for _, n := range l.last {
		number = max(number, n)
	}
	return number
}
