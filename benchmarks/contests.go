package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"

	"github.com/fsouza/go-dockerclient"
	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/client"

	"github.com/swarm-go/swarm"
)

// contests are what is measured: rows 1 to 3 take streams apart, 4 to 6 read lines, 7
// to 9 lines with what stands before them taken off, which nobody else does.
var contests = []contest{
	demuxContest("demultiplexed, in memory", inMemory),
	demuxContest("demultiplexed, unix socket", overSocket),
	{"demultiplexed, whole client", []contender{
		{"swarm", ourCopy}, {"moby", mobyCopy}, {"go-dockerclient", fsouzaCopy}, {"net/http and io.Copy", plainCopy(overHTTP)},
	}},
	linesContest("line by line, in memory", inMemory),
	linesContest("line by line, unix socket", overSocket),
	{"line by line, whole client", []contender{
		{"swarm", ourLinesOfClient(true)}, {"moby", mobyLinesOfClient}, {"swarm's Copy into a line writer", ourLineWriterOfClient}, {"Scanner alone", plainScanner(overHTTP)},
	}},
	entriesContest("entries, in memory", inMemory),
	entriesContest("entries, unix socket", overSocket),
	{"entries, whole client", []contender{{"swarm", ourLinesOfClient(false)}, {"moby", mobyLinesOfClient}}},
}

// source opens a log; stamped is the one with time and details.
type source func(in *input, stamped bool) (io.ReadCloser, error)

func inMemory(in *input, stamped bool) (io.ReadCloser, error) {
	log := in.plain
	if stamped {
		log = in.stamped
	}
	return io.NopCloser(bytes.NewReader(log)), nil
}

func overSocket(in *input, stamped bool) (io.ReadCloser, error) {
	name := plainSocket
	if stamped {
		name = stampedSocket
	}
	return net.Dial("unix", in.folder+name)
}

func overHTTP(in *input, _ bool) (io.ReadCloser, error) {
	return get(context.Background(), in.folder+httpSocket, "/services/web/logs")
}

// counter counts what is written to it. It has no ReadFrom, so that every contender
// has to bring the bytes.
type counter int64

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}

// only hides WriteTo.
type only struct{ io.Reader }

// reading has read read a log from a source.
func reading(open source, stamped bool, read func(in *input, r io.Reader) (int64, error)) func(*input) (int64, error) {
	return func(in *input) (int64, error) {
		stream, err := open(in, stamped)
		if err != nil {
			return 0, err
		}
		defer stream.Close()
		return read(in, only{stream})
	}
}

func demuxContest(name string, open source) contest {
	return contest{name, []contender{
		{"swarm", reading(open, false, ourDemux)}, {"moby", reading(open, false, mobyDemux)}, {"io.Copy", plainCopy(open)},
	}}
}

func ourDemux(_ *input, r io.Reader) (int64, error) {
	var n counter
	err := swarm.Demux(&n, &n, r)
	return int64(n), err
}

func mobyDemux(_ *input, r io.Reader) (int64, error) {
	var n counter
	_, err := stdcopy.StdCopy(&n, &n, r)
	return int64(n), err
}

// plainCopy does nothing but copy; the headers are counted off again.
func plainCopy(open source) func(*input) (int64, error) {
	return reading(open, false, func(in *input, r io.Reader) (int64, error) {
		var n counter
		_, err := io.CopyBuffer(&n, r, make([]byte, 64<<10))
		return int64(n) - 8*int64(in.lines), err
	})
}

func ourCopy(in *input) (int64, error) {
	logs, err := in.ours.Services.Logs(context.Background(), in.service, &swarm.LogOptions{Raw: true})
	if err != nil {
		return 0, err
	}
	var n counter
	err = logs.Copy(&n, &n)
	return int64(n), err
}

func mobyCopy(in *input) (int64, error) {
	logs, err := mobyLogs(in)
	if err != nil {
		return 0, err
	}
	defer logs.Close()
	return mobyDemux(in, logs)
}

func mobyLogs(in *input) (io.ReadCloser, error) {
	return in.moby.ServiceLogs(context.Background(), in.service, client.ServiceLogsOptions{ShowStdout: true, ShowStderr: true})
}

func fsouzaCopy(in *input) (int64, error) {
	var n counter
	err := in.fsouza.GetServiceLogs(docker.LogsServiceOptions{Context: context.Background(), Service: in.service, Stdout: true, Stderr: true, OutputStream: &n, ErrorStream: &n})
	return int64(n), err
}

func linesContest(name string, open source) contest {
	return contest{name, []contender{
		{"swarm", reading(open, false, ourLines)}, {"moby", reading(open, false, mobyLines)}, {"swarm's Demux into a line writer", reading(open, false, ourLineWriter)}, {"Scanner alone", plainScanner(open)},
	}}
}

func entriesContest(name string, open source) contest {
	return contest{name, []contender{{"swarm", reading(open, true, ourEntries)}, {"moby", reading(open, false, mobyLines)}}}
}

// mobyLines is how lines are read with StdCopy.
func mobyLines(_ *input, r io.Reader) (int64, error) {
	reader, writer := io.Pipe()
	go func() {
		_, err := stdcopy.StdCopy(writer, writer, r)
		writer.CloseWithError(err)
	}()
	return scan(reader)
}

func mobyLinesOfClient(in *input) (int64, error) {
	logs, err := mobyLogs(in)
	if err != nil {
		return 0, err
	}
	defer logs.Close()
	return mobyLines(in, logs)
}

func scan(r io.Reader) (int64, error) {
	var n int64
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		n += int64(len(lines.Bytes())) + 1
	}
	return n, lines.Err()
}

// plainScanner looks for lines without taking frames apart.
func plainScanner(open source) func(*input) (int64, error) {
	return reading(open, false, func(in *input, r io.Reader) (int64, error) {
		n, err := scan(r)
		return n - 8*int64(in.lines), err
	})
}

func ourLines(_ *input, r io.Reader) (int64, error) {
	return readEntries(swarm.NewLogReader(io.NopCloser(r), &swarm.LogOptions{Raw: true}))
}

// lineCounter counts lines that are written to it, as a program that needs nothing but
// their bytes would take them: without a pipe and a Scanner.
type lineCounter struct {
	begun []byte // of a line whose end has not come
	n     int64
}

func (l *lineCounter) Write(p []byte) (int, error) {
	n := len(p)
	for {
		text, rest, found := bytes.Cut(p, []byte{'\n'})
		if !found {
			l.begun = append(l.begun, p...)
			return n, nil
		}
		if len(l.begun) > 0 {
			text = append(l.begun, text...)
			l.begun = l.begun[:0]
		}
		l.line(text)
		p = rest
	}
}

func (l *lineCounter) line(text []byte) { l.n += int64(len(text)) + 1 }

func ourLineWriter(_ *input, r io.Reader) (int64, error) {
	var lines lineCounter
	err := swarm.Demux(&lines, &lines, r)
	return lines.n, err
}

func ourLineWriterOfClient(in *input) (int64, error) {
	logs, err := in.ours.Services.Logs(context.Background(), in.service, &swarm.LogOptions{Raw: true})
	if err != nil {
		return 0, err
	}
	var lines lineCounter
	err = logs.Copy(&lines, &lines)
	return lines.n, err
}

func ourEntries(_ *input, r io.Reader) (int64, error) {
	return readEntries(swarm.NewLogReader(io.NopCloser(r), &swarm.LogOptions{Timestamps: true, Details: true}))
}

func ourLinesOfClient(raw bool) func(*input) (int64, error) {
	return func(in *input) (int64, error) {
		return readEntries(in.ours.Services.Logs(context.Background(), in.service, &swarm.LogOptions{Raw: raw}))
	}
}

func readEntries(logs *swarm.LogReader, err error) (int64, error) {
	if err != nil {
		return 0, err
	}
	var n int64
	for entry, err := range logs.Entries() {
		if err != nil {
			return n, err
		}
		n += int64(len(entry.Text) + len(entry.End))
	}
	return n, nil
}
