package conformance

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// frame is a piece of a log of several streams.
type frame struct {
	stream byte // 1 stdout, 2 stderr
	text   string
}

const bothStreams = "stdout=1&stderr=1"

// frames takes a body apart. Nothing may be left over.
func (t *T) frames(body []byte) (frames []frame) {
	t.Helper()
	for len(body) > 0 {
		require.GreaterOrEqual(t, len(body), 8)
		require.Equal(t, []byte{0, 0, 0}, body[1:4])
		size := 8 + int(binary.BigEndian.Uint32(body[4:8]))
		require.GreaterOrEqual(t, len(body), size)
		frames = append(frames, frame{body[0], string(body[8:size])})
		body = body[size:]
	}
	return frames
}

// of is what was printed to one stream.
func of(stream byte, frames []frame) (text string) {
	for _, f := range frames {
		if f.stream == stream {
			text += f.text
		}
	}
	return text
}

func (t *T) logs(service, query string) []frame {
	t.Helper()
	a := t.send(get("/services/" + service + "/logs?" + query))
	require.Equal(t, http.StatusOK, a.status, "%s", a)
	return t.frames(a.body)
}

// printing is a service whose tasks have printed all their lines.
func (t *T) printing(n, lines int, edits ...edit) (service string) {
	t.Helper()
	service = t.running(n, append([]edit{args("-lines", itoa(lines))}, edits...)...)
	t.printed(service, 2*n*lines)
	return service
}

func (t *T) printed(service string, lines int) {
	t.Helper()
	t.eventually("all lines", func() error {
		a := t.send(get("/services/" + service + "/logs?" + bothStreams))
		if n := bytes.Count(a.body, []byte("\n")); n != lines {
			return fmt.Errorf("%d of %d lines", n, lines)
		}
		return nil
	})
}

var tty = set(inContainer+"TTY", true)

// The content type of logs, by the version of the API. Releases before it had one
// send none.
func (t *T) logTypes(path string, wantNew string) {
	t.Helper()
	old := since[string]{"20.10": "", "26.1": "application/vnd.docker.raw-stream"}.from(t)
	for _, version := range []string{t.old("1.29"), "1.41", "1.42", t.target.APIVersion} {
		want := old
		if compareVersions(version, "1.42") >= 0 && t.speaks("1.42") {
			want = wantNew
		} else if !t.speaks(version) {
			continue
		}
		a := t.send(request{method: http.MethodGet, version: version, path: path + "/logs?" + bothStreams})
		assert.Equal(t, http.StatusOK, a.status)
		assert.Equal(t, want, a.contentType, version)
	}
}

var logs = []Behaviour{
	{"A19.streams-are-told-apart", Swarm, func(t *T) {
		frames := t.logs(t.printing(1, 3), bothStreams)
		assert.Len(t, frames, 6, "a frame for each line")
		assert.Equal(t, "stdout 1\nstdout 2\nstdout 3\n", of(1, frames))
		assert.Equal(t, "stderr 1\nstderr 2\nstderr 3\n", of(2, frames))
	}},
	{"A19.one-stream-of-two", Swarm, func(t *T) {
		id := t.printing(1, 2)
		assert.Equal(t, []frame{{1, "stdout 1\n"}, {1, "stdout 2\n"}}, t.logs(id, "stdout=1"))
		assert.Equal(t, []frame{{2, "stderr 1\n"}, {2, "stderr 2\n"}}, t.logs(id, "stdout=0&stderr=true"))
	}},
	{"A19.content-type-without-terminal", Swarm, func(t *T) {
		t.logTypes("/services/"+t.printing(1, 1), "application/vnd.docker.multiplexed-stream")
	}},
	{"A19.content-type-with-terminal", Swarm, func(t *T) {
		t.logTypes("/services/"+t.printing(1, 1, tty), "application/vnd.docker.raw-stream")
	}},
	{"A19.content-type-of-a-task", Swarm, func(t *T) {
		id := t.printing(1, 1)
		t.logTypes("/tasks/"+t.tasks(id)[0]["ID"].(string), "application/vnd.docker.multiplexed-stream")
	}},
	{"A19.content-type-of-a-service-without-tasks", Swarm, func(t *T) {
		t.logTypes("/services/"+t.service(), "application/vnd.docker.multiplexed-stream")
	}},
	{"A19.terminal-has-one-stream-and-no-frames", Swarm, func(t *T) {
		a := t.send(get("/services/" + t.printing(1, 2, tty) + "/logs?" + bothStreams))
		assert.ElementsMatch(t, []string{"stdout 1\r", "stderr 1\r", "stdout 2\r", "stderr 2\r", ""}, strings.Split(string(a.body), "\n"))
	}},
	{"A19.terminal-prints-to-stdout", Swarm, func(t *T) {
		a := t.send(get("/services/" + t.printing(1, 1, tty) + "/logs?stderr=1"))
		assert.Empty(t, a.body)
	}},
	{"A19.tail-is-per-task", Swarm, func(t *T) {
		id := t.printing(2, 5)
		assert.Len(t, t.logs(id, bothStreams+"&tail=2"), 4)
	}},
	{"A19.tail-counts-before-streams-are-chosen", Swarm, func(t *T) {
		id := t.printing(1, 5)
		assert.Equal(t, 3, len(t.logs(id, "stdout=1&tail=3"))+len(t.logs(id, "stderr=1&tail=3")))
	}},
	{"A19.tail-values", Swarm, func(t *T) {
		id := t.printing(1, 3)
		for tail, want := range map[string]int{"": 6, "all": 6, "0": 0, "4": 4, "100": 6} {
			assert.Len(t, t.logs(id, bothStreams+"&tail="+tail), want, "tail=%s", tail)
		}
		for _, tail := range []string{"ALL", "1.5"} {
			t.answers(get("/services/"+id+"/logs?stdout=1&tail="+tail), `500 tail value must be a positive integer or "all"`)
		}
		t.answers(get("/services/"+id+"/logs?stdout=1&tail=-1"), "500 negative tail values not supported")
	}},
	{"A19.since", Swarm, func(t *T) {
		id := t.printing(1, 2)
		assert.Len(t, t.logs(id, bothStreams+"&since=1"), 4)
		assert.Len(t, t.logs(id, bothStreams+"&since=0"), 4)
		assert.Len(t, t.logs(id, bothStreams+"&since=1.5"), 4)
		assert.Empty(t, t.logs(id, fmt.Sprintf("%s&since=%d", bothStreams, time.Now().Add(time.Hour).Unix())))
	}},
	{"A19.since-a-line", Swarm, func(t *T) {
		id := t.running(1, args("-lines", "3", "-every", "50ms"))
		t.printed(id, 6)
		when := t.when(strings.Fields(t.logs(id, "stdout=1&timestamps=1")[1].text)[0])
		frames := t.logs(id, fmt.Sprintf("stdout=1&since=%d.%09d", when.Unix(), when.Nanosecond()))
		assert.Equal(t, "stdout 2\nstdout 3\n", of(1, frames))
	}},
	{"A19.timestamps", Swarm, func(t *T) {
		for _, f := range t.logs(t.printing(1, 3), bothStreams+"&timestamps=1") {
			assert.Regexp(t, `^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z (stdout|stderr) \d\n$`, f.text)
		}
	}},
	{"A19.details", Swarm, func(t *T) {
		id := t.printing(1, 1)
		task := t.tasks(id)[0]["ID"].(string)
		want := "com.docker.swarm.node.id=" + t.node() + ",com.docker.swarm.service.id=" + id + ",com.docker.swarm.task.id=" + task + " stdout 1\n"
		assert.Equal(t, []frame{{1, want}}, t.logs(id, "stdout=1&details=1"))
		assert.Equal(t, []frame{{1, want}}, t.frames(t.send(get("/tasks/"+task+"/logs?stdout=1&details=1")).body))
	}},
	{"A19.timestamps-before-details", Swarm, func(t *T) {
		text := t.logs(t.printing(1, 1), "stdout=1&details=1&timestamps=1")[0].text
		assert.Regexp(t, `^[0-9T:.-]+Z com\.docker\.swarm\.node\.id=\S+ stdout 1\n$`, text)
	}},
	{"A19.timestamps-with-terminal", Swarm, func(t *T) {
		a := t.send(get("/services/" + t.printing(1, 1, tty) + "/logs?stdout=1&timestamps=1"))
		for line := range strings.SplitAfterSeq(strings.TrimSuffix(string(a.body), "\n"), "\n") {
			assert.Regexp(t, `^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z (stdout|stderr) 1\r\n?$`, line)
		}
	}},
	{"A19.long-lines-are-split", Swarm, func(t *T) {
		id := t.running(1, args("-lines", "1", "-width", "40000"))
		t.printed(id, 2)
		frames := t.logs(id, "stdout=1")
		var sizes []int
		for _, f := range frames {
			sizes = append(sizes, len(f.text))
		}
		assert.Equal(t, []int{16384, 16384, 40001 - 2*16384}, sizes)
		assert.Equal(t, "stdout 1 "+strings.Repeat("x", 40000-9)+"\n", of(1, frames))
	}},
	{"A19.pieces-of-a-line-have-each-their-timestamp", Swarm, func(t *T) {
		id := t.running(1, args("-lines", "1", "-width", "40000"))
		t.printed(id, 2)
		for _, f := range t.logs(id, "stdout=1&timestamps=1") {
			assert.Regexp(t, `^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z `, f.text)
		}
	}},
	{"A19.finished-tasks-keep-their-logs", Swarm, func(t *T) {
		id := t.service(replicas(1), args("-lines", "1", "-exit", "0"), never)
		t.ends(id, "complete")
		t.printed(id, 2)
	}},
	{"A19.a-last-line-without-an-end-has-none", Swarm, func(t *T) {
		id := t.service(replicas(1), args("-lines", "1", "-last", "no end", "-exit", "0"), never)
		t.ends(id, "complete")
		t.printed(id, 2)
		assert.Equal(t, []frame{{1, "stdout 1\n"}, {1, "no end"}}, t.logs(id, "stdout=1"))
	}},
	{"A19.logs-of-all-tasks-of-the-history", Swarm, func(t *T) {
		id := t.printing(1, 1)
		t.update("/services/"+id, env("A=1"))
		t.printed(id, 4)
	}},
	{"A19.service-without-tasks-has-no-logs", Swarm, func(t *T) {
		a := t.send(get("/services/" + t.service() + "/logs?" + bothStreams))
		assert.Equal(t, http.StatusOK, a.status)
		assert.Empty(t, a.body)
	}},
	{"A19.followed-logs-go-on", Swarm, func(t *T) {
		id := t.running(1, args("-lines", "-1", "-every", "20ms"))
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		response, err := t.open(ctx, get("/services/"+id+"/logs?stdout=1&follow=1&tail=0"))
		require.NoError(t, err)
		defer response.Body.Close()
		previous := 0
		for range 5 {
			f := readFrame(t, response.Body)
			var n int
			_, err := fmt.Sscanf(f.text, "stdout %d\n", &n)
			require.NoError(t, err, f.text)
			require.Equal(t, byte(1), f.stream)
			require.Greater(t, n, previous)
			previous = n
		}
	}},
	{"A19.followed-logs-begin-with-new-tasks", Swarm, func(t *T) {
		id := t.service(args("-lines", "1"))
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		response, err := t.open(ctx, get("/services/"+id+"/logs?stdout=1&follow=1"))
		require.NoError(t, err)
		defer response.Body.Close()
		t.update("/services/"+id, replicas(1))
		assert.Equal(t, frame{1, "stdout 1\n"}, readFrame(t, response.Body))
	}},
	{"A19.a-stream-must-be-chosen", Swarm, func(t *T) {
		for _, query := range []string{"", "?stdout=0", "?follow=1"} {
			t.answers(get("/services/"+t.service()+"/logs"+query), noStream.from(t))
		}
	}},
	{"A20.task-logs-go-by-the-spec-of-the-task", Swarm, func(t *T) {
		id := t.printing(1, 1)
		task := t.tasks(id)[0]["ID"].(string)
		t.update("/services/"+id, tty)
		t.until(id, func(tasks []obj) bool { return count(tasks, "running") == 1 && len(tasks) == 2 })
		a := t.send(get("/tasks/" + task + "/logs?stdout=1"))
		assert.Equal(t, []frame{{1, "stdout 1\n"}}, t.frames(a.body))
	}},
	{"A22.until-is-ignored", Swarm, func(t *T) {
		assert.Len(t, t.logs(t.printing(1, 2), bothStreams+"&until=1"), 4)
	}},
	{"A22.task-logs-by-id-prefix", Swarm, func(t *T) {
		id := t.printing(1, 1)
		task := t.tasks(id)[0]["ID"].(string)
		assert.Equal(t, []frame{{1, "stdout 1\n"}}, t.frames(t.send(get("/tasks/"+task[:20]+"/logs?stdout=1")).body))
	}},
	{"A22.task-logs-are-of-one-task", Swarm, func(t *T) {
		id := t.printing(2, 1)
		task := t.tasks(id)[0]["ID"].(string)
		frames := t.frames(t.send(get("/tasks/" + task + "/logs?stdout=1&details=1")).body)
		require.Len(t, frames, 1)
		assert.Regexp(t, regexp.MustCompile("task.id="+task+" "), frames[0].text)
	}},
}

// readFrame reads the next frame of a stream that goes on.
func readFrame(t *T, body io.Reader) frame {
	t.Helper()
	var header [8]byte
	_, err := io.ReadFull(body, header[:])
	require.NoError(t, err)
	text := make([]byte, binary.BigEndian.Uint32(header[4:]))
	require.Less(t, len(text), maxAnswer)
	_, err = io.ReadFull(body, text)
	require.NoError(t, err)
	return frame{header[0], string(text)}
}
