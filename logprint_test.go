package swarm_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/swarm-go/swarm"
	"github.com/swarm-go/swarm/swarmtest"
)

// printedService is a service whose only task has written these lines, two in all.
func printedService(t *testing.T, stdout, stderr string) (*swarmtest.Engine, *swarm.Client, swarm.Task) {
	t.Helper()
	engine := swarmtest.Start(t)
	engine.Image("web:1", swarmtest.Image{Run: func(c *swarmtest.Container) int {
		io.WriteString(c.Stdout(), stdout)
		io.WriteString(c.Stderr(), stderr)
		c.Wait()
		return 0
	}})
	client := engine.Client()
	spec := swarm.ServiceSpec{Name: "web", TaskTemplate: swarm.TaskSpec{ContainerSpec: swarm.ContainerSpec{Image: "web:1"}}}
	_, err := client.Services.Create(t.Context(), spec, nil)
	require.NoError(t, err)
	time.Sleep(time.Minute)
	tasks, err := client.Tasks.List(t.Context(), nil)
	require.NoError(t, err)
	require.Len(t, tasks, 1)
	return engine, client, tasks[0]
}

func openLogs(t *testing.T, client *swarm.Client, opts swarm.LogOptions) *swarm.LogReader {
	t.Helper()
	logs, err := client.Services.Logs(t.Context(), "web", &opts)
	require.NoError(t, err)
	return logs
}

func TestNamesOfALineAreAskedForOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engine, client, task := printedService(t, "one\ntwo\n", "")
		logs := openLogs(t, client, swarm.LogOptions{})
		defer logs.Close()
		for range 2 {
			entry, err := logs.Next()
			require.NoError(t, err)
			asked := len(engine.Requests())
			assert.Equal(t, swarm.LogNames{Service: "web", Task: "web.1", Node: "node-1"}, logs.Names(entry))
			if entry.Text == "one" {
				assert.Len(t, engine.Requests(), asked+3)
			} else {
				assert.Len(t, engine.Requests(), asked)
			}
		}
		other := swarm.LogEntry{ServiceID: "s", TaskID: "t", NodeID: "n"}
		asked := len(engine.Requests())
		for range 2 {
			assert.Equal(t, swarm.LogNames{Service: "s", Task: "t", Node: "n"}, logs.Names(other), "nobody knows them")
			assert.Len(t, engine.Requests(), asked+3)
		}
		time.Sleep(time.Minute)
		logs.Names(other)
		assert.Len(t, engine.Requests(), asked+6, "it is asked again some time")
		assert.Zero(t, logs.Names(swarm.LogEntry{}))
		assert.Equal(t, "web.1", logs.Names(swarm.LogEntry{ServiceID: task.ServiceID, TaskID: task.ID}).Task)
	})
}

func TestNamesThatCannotBeHadHoldNothingUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engine, client, task := printedService(t, "one\n", "")
		logs := openLogs(t, client, swarm.LogOptions{})
		defer logs.Close()
		entry, err := logs.Next()
		require.NoError(t, err)
		fault := engine.Inject(swarmtest.Fault{Path: "/tasks/*", Effect: swarmtest.Hang()})
		asked := time.Now()
		assert.Equal(t, swarm.LogNames{Service: "web", Task: task.ID, Node: "node-1"}, logs.Names(entry))
		assert.Less(t, time.Since(asked), 6*time.Second)
		fault.Remove()
		assert.Equal(t, task.ID, logs.Names(entry).Task, "not at once")
		time.Sleep(time.Minute)
		assert.Equal(t, "web.1", logs.Names(entry).Task)
	})
}

func TestLogsArePrintedForPeople(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, client, task := printedService(t, "one\n\ttab\x1b[31m\u202e\xff\n", "two\r\n")
		_, err := client.Services.Scale(t.Context(), "web", 10, nil)
		require.NoError(t, err)
		prefix := "web.1." + task.ID[:12] + "@node-1    | "
		for _, row := range []struct {
			opts     swarm.LogPrintOptions
			out, err string
		}{
			{swarm.LogPrintOptions{}, prefix + "one\n" + prefix + "\ttab\\x1b[31m\\u202e\\ufffd\n", prefix + "two\\r\n"},
			{swarm.LogPrintOptions{NoTaskIDs: true}, "web.1@node-1    | one\nweb.1@node-1    | \ttab\\x1b[31m\\u202e\\ufffd\n", "web.1@node-1    | two\\r\n"},
		} {
			logs, err := client.Tasks.Logs(t.Context(), task.ID, nil)
			require.NoError(t, err)
			var out, errs bytes.Buffer
			require.NoError(t, logs.Print(&out, &errs, &row.opts))
			assert.Equal(t, row.out, out.String())
			assert.Equal(t, row.err, errs.String())
		}
		for _, row := range []struct {
			opts swarm.LogPrintOptions
			want string
		}{
			{swarm.LogPrintOptions{NoTruncate: true}, "web.1." + task.ID + "@node-1    | one\n"},
			{swarm.LogPrintOptions{NoResolve: true}, task.ServiceID + ".1." + task.ID[:12] + "@" + task.NodeID + "    | one\n"},
		} {
			logs, err := client.Tasks.Logs(t.Context(), task.ID, nil)
			require.NoError(t, err)
			var out bytes.Buffer
			require.NoError(t, logs.Print(&out, nil, &row.opts))
			assert.True(t, strings.HasPrefix(out.String(), row.want), "%s", out.String())
		}
		logs, err := client.Tasks.Logs(t.Context(), task.ID, &swarm.LogOptions{Timestamps: true, Details: true, Only: swarm.LogStderr})
		require.NoError(t, err)
		var errs bytes.Buffer
		require.NoError(t, logs.Print(nil, &errs, nil))
		assert.Regexp(t, `^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z `+strings.ReplaceAll(prefix, "|", `\|`)+` two\\r\n$`, errs.String())
	})
}

func TestLogsArePrintedForMachines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, client, task := printedService(t, "one <\x1b>\n", "")
		for _, row := range []struct {
			opts swarm.LogPrintOptions
			want map[string]any
		}{
			{swarm.LogPrintOptions{Style: swarm.LogStyleJSON}, map[string]any{"stream": "stdout", "service": task.ServiceID, "node": task.NodeID, "task": task.ID,
				"text": "one <\x1b>", "service_name": "web", "task_name": "web.1", "node_name": "node-1"}},
			{swarm.LogPrintOptions{Style: swarm.LogStyleJSON, NoResolve: true}, map[string]any{"stream": "stdout", "service": task.ServiceID, "node": task.NodeID,
				"task": task.ID, "text": "one <\x1b>"}},
			{swarm.LogPrintOptions{Style: swarm.LogStyleDockerCloud}, map[string]any{"type": "log", "source": "web.1", "log": "one <\x1b>", "streamType": "stdout"}},
			{swarm.LogPrintOptions{Style: swarm.LogStyleDockerCloud, NoResolve: true}, map[string]any{"type": "log", "source": task.ID, "log": "one <\x1b>", "streamType": "stdout"}},
		} {
			var out bytes.Buffer
			require.NoError(t, openLogs(t, client, swarm.LogOptions{}).Print(&out, nil, &row.opts))
			assert.Equal(t, 1, strings.Count(out.String(), "\n"))
			assert.NotContains(t, out.String(), "\x1b")
			var got map[string]any
			require.NoError(t, json.Unmarshal(out.Bytes(), &got))
			entries, err := openLogs(t, client, swarm.LogOptions{}).Next()
			require.NoError(t, err)
			if row.opts.Style == swarm.LogStyleJSON {
				row.want["time"] = entries.Time.Format(time.RFC3339Nano)
			} else {
				row.want["timestamp"] = float64(entries.Time.Unix())
			}
			assert.Equal(t, row.want, got)
		}
	})
}

func TestPrintRefusesWhatItCannotPrint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, client, _ := printedService(t, "one\n", "")
		for _, row := range []struct {
			opts  swarm.LogOptions
			print swarm.LogPrintOptions
		}{{swarm.LogOptions{Raw: true}, swarm.LogPrintOptions{}}, {swarm.LogOptions{}, swarm.LogPrintOptions{Style: 3}}} {
			logs := openLogs(t, client, row.opts)
			assert.ErrorIs(t, logs.Print(nil, nil, &row.print), swarm.ErrInvalid)
			require.NoError(t, logs.Close())
		}
		assert.ErrorIs(t, openLogs(t, client, swarm.LogOptions{}).Print(brokenPipe{}, nil, nil), io.ErrClosedPipe)
	})
}

// brokenPipe takes nothing.
type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestIncompleteLogsNameNodesAndTasks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engine := swarmtest.Start(t, swarmtest.WithNodes(1, 2))
		engine.Image("web:1", swarmtest.Image{Run: func(c *swarmtest.Container) int {
			c.Printf("from %s\n", c.Node().Description.Hostname)
			c.Wait()
			return 0
		}})
		client := engine.Client()
		spec := swarm.ServiceSpec{Name: "web", Mode: swarm.Global(), TaskTemplate: swarm.TaskSpec{ContainerSpec: swarm.ContainerSpec{Image: "web:1"}}}
		_, err := client.Services.Create(t.Context(), spec, nil)
		require.NoError(t, err)
		time.Sleep(time.Minute)
		gone := engine.Nodes()[2]
		gone.Stop()
		time.Sleep(time.Minute)
		tasks, err := client.Tasks.List(t.Context(), &swarm.TaskListOptions{Nodes: []string{gone.ID()}})
		require.NoError(t, err)
		require.Len(t, tasks, 1)

		var texts []string
		var last error
		for entry, err := range openLogs(t, client, swarm.LogOptions{}).Entries() {
			if last = err; err == nil {
				texts = append(texts, entry.Text)
			}
		}
		assert.ElementsMatch(t, []string{"from node-1", "from node-2"}, texts)
		assert.ErrorIs(t, last, swarm.ErrLogsIncomplete)
		var incomplete *swarm.LogsIncompleteError
		require.ErrorAs(t, last, &incomplete)
		assert.Equal(t, []string{gone.ID()}, incomplete.Nodes)
		assert.Equal(t, []string{tasks[0].ID}, incomplete.Tasks)
		assert.ErrorContains(t, last, tasks[0].ID)

		logs, err := client.Tasks.Logs(t.Context(), tasks[0].ID, nil)
		require.NoError(t, err)
		err = logs.Copy(nil, nil)
		require.ErrorAs(t, err, &incomplete)
		assert.Equal(t, []string{tasks[0].ID}, incomplete.Tasks)
	})
}

func TestLogsOfAContainerAreReadFromItsBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, client, task := printedService(t, "one\ntwo\n", "three\n")
		container := task.Status.ContainerStatus.ContainerID
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, fmt.Sprintf("/containers/%s/logs?stdout=1&stderr=1&timestamps=1", container), nil)
		require.NoError(t, err)
		response, err := client.Do(request)
		require.NoError(t, err)
		logs, err := swarm.NewLogReader(response.Body, &swarm.LogOptions{Timestamps: true})
		require.NoError(t, err)
		var got []string
		for entry, err := range logs.Entries() {
			require.NoError(t, err)
			assert.False(t, entry.Time.IsZero())
			got = append(got, entry.Stream.String()+" "+entry.Text)
		}
		assert.Equal(t, []string{"stdout one", "stdout two", "stderr three"}, got)
		assert.Equal(t, swarm.LogNames{Service: "s"}, logs.Names(swarm.LogEntry{ServiceID: "s"}), "there is nobody to ask")

		_, err = swarm.NewLogReader(http.NoBody, &swarm.LogOptions{MaxLine: -1})
		assert.ErrorIs(t, err, swarm.ErrInvalid)
		logs, err = swarm.NewLogReader(http.NoBody, nil)
		require.NoError(t, err)
		assert.NoError(t, logs.Copy(nil, nil))
	})
}

func TestAContextEndsNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, client, _ := printedService(t, "one\n", "")
		ctx, cancel := context.WithCancel(t.Context())
		logs, err := client.Services.Logs(ctx, "web", nil)
		require.NoError(t, err)
		entry, err := logs.Next()
		require.NoError(t, err)
		cancel()
		assert.Equal(t, entry.TaskID, logs.Names(entry).Task)
		require.NoError(t, logs.Close())
	})
}
