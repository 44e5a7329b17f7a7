//go:build integration

package integration

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/swarm-go/swarm"
)

// countedLines are the lines of a followed log, whose tasks number them and say
// whose they are, see countingSpec.
type countedLines struct {
	mu sync.Mutex
	// last are the numbers of the last lines, by task and stream.
	last map[string]int
	// at are the times of the last lines, and open the gaps that no line came after
	// yet, by task. jumps are the streams that may have lost lines in a gap.
	at    map[string]time.Time
	open  map[string]*swarm.LogGap
	jumps map[string]bool
	wrong []string
	gaps  []swarm.LogGap
	ended error
}

// countingSpec is a service whose tasks write a line to stdout and one to stderr
// twenty times a second.
func countingSpec() swarm.ServiceSpec {
	spec := testSpec("counting", "-lines", "-1", "-every", "50ms")
	spec.TaskTemplate.ContainerSpec.Env = []string{"SWARMTEST_LINE={{.Task.ID}}"}
	return spec
}

// count follows the log of a service until the test is over.
func (m member) count(t *testing.T, service string) *countedLines {
	logs, err := m.client.Services.Logs(t.Context(), service, &swarm.LogOptions{Follow: true})
	require.NoError(t, err)
	lines := newCountedLines()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for entry, err := range logs.Entries() {
			lines.add(entry, err)
		}
	}()
	t.Cleanup(func() {
		_ = logs.Close()
		<-done
	})
	return lines
}

func newCountedLines() *countedLines {
	return &countedLines{last: map[string]int{}, at: map[string]time.Time{}, open: map[string]*swarm.LogGap{}, jumps: map[string]bool{}}
}

func (l *countedLines) add(entry swarm.LogEntry, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.ended = err
		return
	}
	if entry.Gap != nil {
		l.addGap(entry.Gap)
		return
	}
	if gap := l.open[entry.TaskID]; gap != nil && !gap.Before.Equal(entry.Time) {
		l.wrong = append(l.wrong, fmt.Sprintf("%s, and the next line is of %s", gap, entry.Time))
	}
	delete(l.open, entry.TaskID)
	l.at[entry.TaskID] = entry.Time
	key := entry.TaskID + " " + entry.Stream.String()
	number := l.last[key] + 1
	if l.jumps[key] {
		_, _ = fmt.Sscanf(entry.Text, key+" %d", &number)
		delete(l.jumps, key)
	}
	if want := fmt.Sprintf("%s %d", key, number); entry.Text != want || number <= l.last[key] {
		l.wrong = append(l.wrong, fmt.Sprintf("%q, not %q, at %s", entry.Text, want, entry.Time))
	}
	l.last[key] = number
}

func (l *countedLines) addGap(gap *swarm.LogGap) {
	if !gap.After.Equal(l.at[gap.TaskID]) {
		l.wrong = append(l.wrong, fmt.Sprintf("%s, and the last line was of %s", gap, l.at[gap.TaskID]))
	}
	l.gaps = append(l.gaps, *gap)
	l.open[gap.TaskID] = gap
	l.jumps[gap.TaskID+" stdout"], l.jumps[gap.TaskID+" stderr"] = true, true
}

// upTo waits until all lines have come that are on the disks of the nodes at this
// moment.
func (l *countedLines) upTo(t *testing.T, nodes []member) {
	t.Helper()
	l.have(t, written(t, nodes...))
	l.mu.Lock()
	defer l.mu.Unlock()
	assert.Empty(t, l.gaps)
}

// have waits until so many lines have come, by task and stream.
func (l *countedLines) have(t *testing.T, there map[string]int) {
	t.Helper()
	eventually(t, func(c *assert.CollectT) {
		l.mu.Lock()
		defer l.mu.Unlock()
		for key, count := range there {
			assert.GreaterOrEqual(c, l.last[key], count, key)
		}
	})
	l.mu.Lock()
	defer l.mu.Unlock()
	assert.Empty(t, l.wrong[:min(len(l.wrong), 5)], "of %d", len(l.wrong))
	assert.NoError(t, l.ended)
}

// A new root silences nodes for those who follow logs, and an update replaces tasks.
func TestFollowedLogsLoseNothingInASwarm(t *testing.T) {
	onNodes(t, func(t *testing.T, nodes []member) {
		formSwarm(t, 3, nodes)
		for _, node := range nodes {
			require.NoError(t, node.LoadImages(t.Context()))
		}
		first, second := nodes[0], nodes[1]
		spec := countingSpec()
		spec.Mode = swarm.Global()
		id, err := first.client.Services.Create(t.Context(), spec, nil)
		require.NoError(t, err)
		lines := second.count(t, id.Rollout.ServiceID)
		eventually(t, func(c *assert.CollectT) {
			lines.mu.Lock()
			defer lines.mu.Unlock()
			assert.Len(c, lines.last, 2*len(nodes))
		})
		for _, fault := range []func(){
			func() { require.NoError(t, first.client.Swarm.RotateCA(t.Context(), nil)) },
			func() {
				_, err := first.client.Services.Redeploy(t.Context(), "counting", nil)
				require.NoError(t, err)
			},
		} {
			fault()
			time.Sleep(5 * time.Second)
			lines.upTo(t, nodes)
		}
	})
}

// written counts the lines that are on the nodes' disks, by task and stream.
func written(t *testing.T, nodes ...member) map[string]int {
	t.Helper()
	there := map[string]int{}
	for _, node := range nodes {
		configs, err := filepath.Glob(filepath.Join(filepath.Dir(node.LogFile()), "data", "containers", "*", "config.v2.json"))
		require.NoError(t, err)
		require.NotEmpty(t, configs)
		for _, file := range configs {
			addWritten(t, there, file)
		}
	}
	return there
}

// addWritten counts the lines of a container, by the file of its configuration.
func addWritten(t *testing.T, there map[string]int, file string) {
	t.Helper()
	var config struct {
		Config struct{ Labels map[string]string }
	}
	content, err := os.ReadFile(file)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(content, &config))
	folder := filepath.Dir(file)
	content, err = os.ReadFile(filepath.Join(folder, filepath.Base(folder)+"-json.log"))
	if os.IsNotExist(err) {
		return // it was never started
	}
	require.NoError(t, err)
	for line := range bytes.Lines(content) {
		var written struct{ Log, Stream string }
		if !bytes.HasSuffix(line, []byte("\n")) {
			break // it is being written
		}
		require.NoError(t, json.Unmarshal(line, &written))
		key := config.Config.Labels["com.docker.swarm.task.id"] + " " + written.Stream
		there[key]++
		require.Equal(t, fmt.Sprintf("%s %d", key, there[key]), strings.TrimSuffix(written.Log, "\n"))
	}
}
