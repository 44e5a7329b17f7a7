//go:build integration

package integration

import (
	"bytes"
	"context"
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
