//go:build integration

package integration

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/swarm-go/swarm"
	"github.com/swarm-go/swarm/integration/engines"
	"github.com/swarm-go/swarm/swarmtest"
)

// readLogs reads a log to its end.
func readLogs(t *testing.T, logs *swarm.LogReader, err error) (stdout, stderr string) {
	t.Helper()
	require.NoError(t, err)
	defer logs.Close()
	var out, errs bytes.Buffer
	require.NoError(t, logs.Copy(&out, &errs))
	return out.String(), errs.String()
}

// printed waits until a service of one task has printed all its lines.
func printed(t *testing.T, client *swarm.Client, service string, lines int) (task string) {
	t.Helper()
	task = runningTasks(t, client, service, 1)[0]
	require.Eventually(t, func() bool {
		logs, err := client.Services.Logs(t.Context(), service, nil)
		stdout, stderr := readLogs(t, logs, err)
		return strings.Count(stdout+stderr, "\n") == 2*lines
	}, 20*time.Second, 50*time.Millisecond)
	return task
}

// logVersions are API versions on both sides of 1.42, from which on engines tell
// the format of logs.
var logVersions = []string{"1.29", "1.41", ""}

func TestLogsOfContainersWithoutATerminal(t *testing.T) {
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		newest := newClient(t, e)
		spec := testSpec(serviceName(t, ""), "-lines", "3")
		id := create(t, newest, spec)
		task := printed(t, newest, id, 3)
		for _, version := range logVersions {
			client := newest
			if version != "" {
				client = newClient(t, e, swarm.WithAPIVersion(version))
			}
			read := func(opts *swarm.LogOptions) (string, string) {
				logs, err := client.Services.Logs(t.Context(), spec.Name, opts)
				return readLogs(t, logs, err)
			}
			stdout, stderr := read(nil)
			assert.Equal(t, "stdout 1\nstdout 2\nstdout 3\n", stdout)
			assert.Equal(t, "stderr 1\nstderr 2\nstderr 3\n", stderr)
			stdout, stderr = read(&swarm.LogOptions{Only: swarm.LogStderr})
			assert.Empty(t, stdout)
			assert.Equal(t, "stderr 1\nstderr 2\nstderr 3\n", stderr)
			stdout, stderr = read(&swarm.LogOptions{Tail: 2})
			assert.Equal(t, 2, strings.Count(stdout+stderr, "\n"))
			stdout, stderr = read(&swarm.LogOptions{Tail: swarm.TailNone})
			assert.Empty(t, stdout+stderr)
			stdout, stderr = read(&swarm.LogOptions{Since: time.Now().Add(time.Hour)})
			assert.Empty(t, stdout+stderr)
			stdout, _ = read(&swarm.LogOptions{Only: swarm.LogStdout, Timestamps: true, Details: true})
			line := regexp.MustCompile(`^\d{4}-\d\d-\d\dT[\d:.]{18}Z \S*com.docker.swarm.task.id=` + task + `\S* stdout 1\n`)
			assert.Regexp(t, line, stdout)
			logs, err := client.Tasks.Logs(t.Context(), task[:12], nil)
			stdout, stderr = readLogs(t, logs, err)
			assert.Equal(t, 6, strings.Count(stdout+stderr, "\n"))

			logs, err = client.Services.Logs(t.Context(), id, nil)
			require.NoError(t, err)
			counts := map[swarm.LogStream]int{}
			for entry, err := range logs.Entries() {
				require.NoError(t, err)
				counts[entry.Stream]++
				assert.Regexp(t, `^`+entry.Stream.String()+` \d$`, entry.Text)
				assert.Equal(t, "\n", entry.End)
				assert.Equal(t, []string{id, task}, []string{entry.ServiceID, entry.TaskID})
				assert.WithinDuration(t, time.Now(), entry.Time, time.Minute)
				node := ownNode(t, client)
				assert.Equal(t, swarm.LogNames{Service: spec.Name, Task: spec.Name + ".1", Node: node.Description.Hostname}, logs.Names(entry))
			}
			assert.Equal(t, map[swarm.LogStream]int{swarm.LogStdout: 3, swarm.LogStderr: 3}, counts)
		}
	})
}

func TestLogsOfContainersWithATerminal(t *testing.T) {
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		newest := newClient(t, e)
		spec := testSpec(serviceName(t, ""), "-lines", "2")
		spec.TaskTemplate.ContainerSpec.TTY = true
		id := create(t, newest, spec)
		task := printed(t, newest, id, 2)
		for _, version := range logVersions {
			client := newest
			if version != "" {
				client = newClient(t, e, swarm.WithAPIVersion(version))
			}
			logs, err := client.Services.Logs(t.Context(), id, nil)
			stdout, stderr := readLogs(t, logs, err)
			assert.Empty(t, stderr)
			assert.ElementsMatch(t, []string{"stdout 1\r", "stdout 2\r", "stderr 1\r", "stderr 2\r", ""}, strings.Split(stdout, "\n"))
			logs, err = client.Tasks.Logs(t.Context(), task, nil)
			fromTask, _ := readLogs(t, logs, err)
			assert.Equal(t, stdout, fromTask)
		}
	})
}

func TestLongLinesAreReadWhole(t *testing.T) {
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		client := newClient(t, e)
		for _, terminal := range []bool{false, true} {
			spec := testSpec(serviceName(t, fmt.Sprint(terminal)), "-lines", "2", "-width", "100000")
			spec.TaskTemplate.ContainerSpec.TTY = terminal
			id := create(t, client, spec)
			printed(t, client, id, 2)
			logs, err := client.Services.Logs(t.Context(), id, &swarm.LogOptions{Only: swarm.LogStdout})
			stdout, _ := readLogs(t, logs, err)
			if !terminal {
				assert.Len(t, stdout, 2*100_001)
			}
			logs, err = client.Services.Logs(t.Context(), id, nil)
			require.NoError(t, err)
			lines := 0
			for entry, err := range logs.Entries() {
				require.NoError(t, err)
				lines++
				assert.Len(t, entry.Text, 100_000)
				assert.Regexp(t, `^std(out|err) [12] x+$`, entry.Text)
				assert.False(t, entry.Partial)
			}
			assert.Equal(t, 4, lines)
			logs, err = client.Services.Logs(t.Context(), id, &swarm.LogOptions{MaxLine: 50_000})
			require.NoError(t, err)
			parts := 0
			for entry, err := range logs.Entries() {
				require.NoError(t, err)
				parts++
				assert.LessOrEqual(t, len(entry.Text), 50_000)
			}
			assert.Equal(t, 12, parts)
		}
	})
}

func TestLogsArePrintedAsTheDockerCommandPrintsThem(t *testing.T) {
	t.Parallel()
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		client := newClient(t, e)
		id := create(t, client, testSpec(serviceName(t, ""), "-lines", "2"))
		task := printed(t, client, id, 2)
		global := testSpec(serviceName(t, "global"), "-lines", "2")
		global.Mode = swarm.Global()
		everywhere := create(t, client, global)
		printed(t, client, everywhere, 2)
		samePrint(t, e, client, task, id, everywhere)
	})
}

// Where a service has ten tasks and more, prefixes are padded.
func TestLogsOfManyTasksArePrintedAsTheDockerCommandPrintsThem(t *testing.T) {
	t.Parallel()
	embedded := swarmtest.Start(t, swarmtest.WithListen("unix://"+filepath.Join(t.TempDir(), "engine.sock")))
	embedded.Image("web:1", swarmtest.Image{Run: func(c *swarmtest.Container) int {
		c.Printf("one\ntwo\n")
		c.Wait()
		return 0
	}})
	spec := testSpec("web")
	spec.TaskTemplate.ContainerSpec.Image = "web:1"
	spec.Mode = swarm.Replicated(10)
	client := embedded.Client()
	id := create(t, client, spec)
	task := runningTasks(t, client, id, 10)[0]
	samePrint(t, &engines.Engine{Host: embedded.Host()}, client, task, id)
}

// samePrint compares what is printed of a task's log, and of those of services, with
// what the docker command prints.
func samePrint(t *testing.T, e *engines.Engine, client *swarm.Client, task string, services ...string) {
	t.Helper()
	for args, print := range map[string]struct {
		logs swarm.LogOptions
		opts swarm.LogPrintOptions
	}{
		"":                             {},
		"--timestamps":                 {logs: swarm.LogOptions{Timestamps: true}},
		"--details --timestamps":       {logs: swarm.LogOptions{Details: true, Timestamps: true}},
		"--no-trunc":                   {opts: swarm.LogPrintOptions{NoTruncate: true}},
		"--no-task-ids --no-resolve":   {opts: swarm.LogPrintOptions{NoTaskIDs: true, NoResolve: true}},
		"--tail 3":                     {logs: swarm.LogOptions{Tail: 3}},
		"--since 2001-09-09T01:46:40Z": {logs: swarm.LogOptions{Since: time.Unix(1_000_000_000, 0)}},
	} {
		compare := func(ref string, logs *swarm.LogReader, err error) {
			require.NoError(t, err)
			want := docker(t, e, append(strings.Fields("service logs "+args), ref)...)
			got := strings.TrimSpace(printedText(t, logs, &print.opts))
			assert.NotEmpty(t, want)
			assert.ElementsMatch(t, strings.Split(want, "\n"), strings.Split(got, "\n"), args)
		}
		for _, ref := range services {
			logs, err := client.Services.Logs(t.Context(), ref, &print.logs)
			compare(ref, logs, err)
		}
		logs, err := client.Tasks.Logs(t.Context(), task, &print.logs)
		compare(task, logs, err)
	}
}

func printedText(t *testing.T, logs *swarm.LogReader, opts *swarm.LogPrintOptions) string {
	t.Helper()
	var out strings.Builder
	require.NoError(t, logs.Print(&out, nil, opts))
	return out.String()
}

func TestFollowedLogsEndWhenTheyAreLeft(t *testing.T) {
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		client := newClient(t, e)
		spec := testSpec(serviceName(t, ""), "-lines", "-1", "-every", "20ms")
		id := create(t, client, spec)
		runningTasks(t, client, id, 1)

		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		logs, err := client.Services.Logs(ctx, id, &swarm.LogOptions{Follow: true})
		require.NoError(t, err)
		frames := 0
		for _, err := range logs.Entries() {
			if err != nil {
				assert.ErrorIs(t, err, context.Canceled)
				break
			}
			if frames++; frames == 10 {
				cancel()
			}
		}
		assert.GreaterOrEqual(t, frames, 10)

		logs, err = client.Services.Logs(t.Context(), id, &swarm.LogOptions{Follow: true, Tail: swarm.TailNone})
		require.NoError(t, err)
		time.AfterFunc(300*time.Millisecond, func() { logs.Close() })
		assert.ErrorIs(t, logs.Copy(nil, nil), swarm.ErrClosed)
	})
}

// followed reads a log to its end, and checks that the lines of each stream that are
// numbered come one after the other. It returns the numbers of the first and the last.
func followed(t *testing.T, logs *swarm.LogReader, err error) (entries []swarm.LogEntry, first, last map[swarm.LogStream]int, ended error) {
	t.Helper()
	require.NoError(t, err)
	first, last = map[swarm.LogStream]int{}, map[swarm.LogStream]int{}
	for entry, err := range logs.Entries() {
		if err != nil {
			return entries, first, last, err
		}
		require.Nil(t, entry.Gap)
		entries = append(entries, entry)
		var number int
		if _, err := fmt.Sscanf(entry.Text, entry.Stream.String()+" %d", &number); err != nil {
			continue
		}
		if first[entry.Stream] == 0 {
			first[entry.Stream] = number
		} else {
			assert.Equal(t, last[entry.Stream]+1, number, "%s", entry.Stream)
		}
		last[entry.Stream] = number
	}
	return entries, first, last, nil
}

func TestFollowedLogsEndWhenTheyAreToEnd(t *testing.T) {
	t.Parallel()
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		client := newClient(t, e)
		for name, end := range map[string]func(t *testing.T, client *swarm.Client){
			"when all is done": followUntilDone, "at a time": followUntil, "with the service": followUntilRemoved, "when left": followTerminal,
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				end(t, client)
			})
		}
	})
}

func followUntilDone(t *testing.T, client *swarm.Client) {
	spec := testSpec(serviceName(t, "done"), "-lines", "3", "-last", "no end", "-exit", "0")
	spec.Mode, spec.UpdateConfig = swarm.ReplicatedJob(2, 2), swarm.UpdateConfig{}
	logs, err := client.Services.Logs(t.Context(), create(t, client, spec), &swarm.LogOptions{Follow: true, UntilDone: true})
	require.NoError(t, err)
	counts := map[string]int{}
	for entry, err := range logs.Entries() {
		require.NoError(t, err)
		counts[entry.Text+entry.End]++
		assert.Equal(t, entry.Text == "no end", entry.Partial)
	}
	assert.Equal(t, map[string]int{"stdout 1\n": 2, "stdout 2\n": 2, "stdout 3\n": 2, "stderr 1\n": 2, "stderr 2\n": 2, "stderr 3\n": 2, "no end": 2}, counts)
}

func followUntil(t *testing.T, client *swarm.Client) {
	id := create(t, client, testSpec(serviceName(t, "until"), "-lines", "-1", "-every", "50ms"))
	var before []swarm.LogEntry
	require.Eventually(t, func() bool {
		logs, err := client.Services.Logs(t.Context(), id, nil)
		before, _, _, err = followed(t, logs, err)
		require.NoError(t, err)
		return len(before) >= 40
	}, time.Minute, 500*time.Millisecond)

	past := before[len(before)-11].Time
	logs, err := client.Services.Logs(t.Context(), id, &swarm.LogOptions{Until: past})
	want, _, _, err := followed(t, logs, err)
	require.NoError(t, err)
	assert.GreaterOrEqual(t, len(want), 30)
	assert.Less(t, len(want), len(before))
	logs, err = client.Services.Logs(t.Context(), id, &swarm.LogOptions{Follow: true, Until: past})
	got, _, _, err := followed(t, logs, err)
	require.NoError(t, err)
	assert.Equal(t, want, got)

	until := time.Now().Add(2 * time.Second)
	logs, err = client.Services.Logs(t.Context(), id, &swarm.LogOptions{Follow: true, Tail: 4, Until: until})
	got, first, _, err := followed(t, logs, err)
	require.NoError(t, err)
	for _, stream := range []swarm.LogStream{swarm.LogStdout, swarm.LogStderr} {
		assert.Greater(t, first[stream], 15, "%s begins with the tail", stream)
	}
	require.NotEmpty(t, got)
	assert.False(t, got[len(got)-1].Time.After(until))
	assert.WithinDuration(t, until, got[len(got)-1].Time, time.Second)
}

func followUntilRemoved(t *testing.T, client *swarm.Client) {
	id := create(t, client, testSpec(serviceName(t, "removed"), "-lines", "-1", "-every", "50ms"))
	runningTasks(t, client, id, 1)
	logs, err := client.Services.Logs(t.Context(), id, &swarm.LogOptions{Follow: true})
	removed := time.Now().Add(time.Second)
	time.AfterFunc(time.Second, func() {
		assert.NoError(t, client.Services.Remove(t.Context(), id))
	})
	entries, first, _, err := followed(t, logs, err)
	assert.ErrorIs(t, err, swarm.ErrRemoved)
	assert.Equal(t, map[swarm.LogStream]int{swarm.LogStdout: 1, swarm.LogStderr: 1}, first)
	t.Logf("%d lines; it ended %s after the removal", len(entries), time.Since(removed))
}

func followTerminal(t *testing.T, client *swarm.Client) {
	spec := testSpec(serviceName(t, "terminal"), "-lines", "-1", "-every", "50ms")
	spec.TaskTemplate.ContainerSpec.TTY = true
	logs, err := client.Services.Logs(t.Context(), create(t, client, spec), &swarm.LogOptions{Follow: true})
	require.NoError(t, err)
	defer logs.Close()
	next := map[string]int{"stdout": 1, "stderr": 1}
	for range 40 {
		entry, err := logs.Next()
		require.NoError(t, err)
		word, _, _ := strings.Cut(entry.Text, " ")
		require.Equal(t, fmt.Sprintf("%s %d\r\n", word, next[word]), entry.Text+entry.End)
		next[word]++
	}
}

func TestLogsArePrintedAsJSON(t *testing.T) {
	t.Parallel()
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		client := newClient(t, e)
		spec := testSpec(serviceName(t, ""), "-lines", "1")
		id := create(t, client, spec)
		task := printed(t, client, id, 1)
		printed := func(style swarm.LogStyle) (objects []map[string]any) {
			logs, err := client.Services.Logs(t.Context(), id, &swarm.LogOptions{Only: swarm.LogStderr})
			require.NoError(t, err)
			var stdout, stderr bytes.Buffer
			require.NoError(t, logs.Print(&stdout, &stderr, &swarm.LogPrintOptions{Style: style}))
			assert.Empty(t, stdout.String())
			for line := range bytes.Lines(stderr.Bytes()) {
				var object map[string]any
				require.NoError(t, json.Unmarshal(line, &object))
				objects = append(objects, object)
			}
			return objects
		}
		objects := printed(swarm.LogStyleJSON)
		require.Len(t, objects, 1)
		at, err := time.Parse(time.RFC3339Nano, objects[0]["time"].(string))
		require.NoError(t, err)
		assert.WithinDuration(t, time.Now(), at, time.Minute)
		node := ownNode(t, client)
		assert.Equal(t, map[string]any{"time": objects[0]["time"], "stream": "stderr", "service": id, "task": task, "node": node.ID, "text": "stderr 1",
			"service_name": spec.Name, "task_name": spec.Name + ".1", "node_name": node.Description.Hostname}, objects[0])
		assert.Equal(t, []map[string]any{{"type": "log", "source": spec.Name + ".1", "log": "stderr 1", "streamType": "stderr",
			"timestamp": float64(at.Unix())}}, printed(swarm.LogStyleDockerCloud))
	})
}

func TestLogsThatCannotBeReadSayWhy(t *testing.T) {
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		client := newClient(t, e)
		_, err := client.Services.Logs(t.Context(), "nope", nil)
		assert.ErrorIs(t, err, swarm.ErrNotFound)
		_, err = client.Tasks.Logs(t.Context(), "nope", nil)
		assert.ErrorIs(t, err, swarm.ErrNotFound)
		_, err = client.Services.Logs(t.Context(), "nope", &swarm.LogOptions{Tail: -5})
		assert.ErrorIs(t, err, swarm.ErrInvalid)
		_, err = newClient(t, e, swarm.WithAPIVersion("1.28")).Tasks.Logs(t.Context(), "nope", nil)
		var tooOld *swarm.VersionError
		require.True(t, errors.As(err, &tooOld), "%v", err)
		assert.Equal(t, "1.29", tooOld.Needs)
	})
}
