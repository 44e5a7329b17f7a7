package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/fsouza/go-dockerclient"
	"github.com/moby/moby/client"

	"github.com/swarm-go/swarm"
)

// logs are two logs of the same lines: as engines send them, and with time and
// details before each line.
type logs struct {
	plain, stamped []byte
	// lines is how many there are, and text how many bytes of text.
	lines int
	text  int64
}

const (
	stamp   = "2026-11-21T01:59:21.895001646Z "
	details = "com.docker.swarm.node.id=kvttkxl4m1lbzrshelaijdga8,com.docker.swarm.service.id=poi5kfcd5itj3lo8l2xb4kq57,com.docker.swarm.task.id=8qs2v7yh3x1cpoi5kfcd5itj3 "
)

// newLogs makes logs of lines of that size.
func newLogs(size, bytes int) *logs {
	line := strings.Repeat("x", size-1) + "\n"
	l := &logs{lines: max(1, bytes/size)}
	l.text = int64(l.lines * size)
	for range l.lines {
		l.plain = appendFrame(l.plain, line)
		l.stamped = appendFrame(l.stamped, stamp+details+line)
	}
	return l
}

func appendFrame(b []byte, text string) []byte {
	b = append(b, 1, 0, 0, 0)
	b = binary.BigEndian.AppendUint32(b, uint32(len(text)))
	return append(b, text...)
}

// input is logs in memory, and behind unix sockets of another process, so that what
// sending costs is not measured.
type input struct {
	*logs
	folder string
	server *exec.Cmd
	stop   io.Closer

	// service is whose log the clients read.
	service string
	ours    *swarm.Client
	moby    *client.Client
	// fsouza is go-dockerclient.
	fsouza *docker.Client
}

// The sockets in an input's folder: HTTP, and the bare logs.
const (
	httpSocket    = "/http"
	plainSocket   = "/plain"
	stampedSocket = "/stamped"
)

func newInput(size, bytes int) (*input, error) {
	folder, err := os.MkdirTemp("", "benchmarks")
	if err != nil {
		return nil, err
	}
	in := &input{logs: newLogs(size, bytes), folder: folder, service: "web"}
	if err := in.start(size, bytes); err != nil {
		in.close()
		return nil, err
	}
	in.ours, in.moby, in.fsouza, err = connect("unix://" + folder + httpSocket)
	if err != nil {
		in.close()
	}
	return in, err
}

// serverVariable holds what a process has to serve that is started to do so.
const serverVariable = "BENCHMARKS_SERVE"

// start starts the server, and waits until it listens.
func (in *input) start(size, bytes int) error {
	program, err := os.Executable()
	if err != nil {
		return err
	}
	in.server = exec.Command(program)
	in.server.Env = append(os.Environ(), fmt.Sprintf("%s=%d %d %s", serverVariable, size, bytes, in.folder))
	in.server.Stderr = os.Stderr
	stdin, err := in.server.StdinPipe() // its end ends the server, however this process ends
	if err != nil {
		return err
	}
	in.stop = stdin
	if err := in.server.Start(); err != nil {
		return err
	}
	for range 1000 {
		conn, err := net.Dial("unix", in.folder+stampedSocket) // it listens there last
		if err == nil {
			return conn.Close()
		}
		time.Sleep(10 * time.Millisecond)
	}
	return errors.New("the server does not listen")
}

func (in *input) close() {
	if in.server != nil && in.server.Process != nil {
		in.stop.Close()
		in.server.Wait()
	}
	if in.ours != nil {
		in.ours.Close()
		in.moby.Close()
	}
	os.RemoveAll(in.folder)
}

// connect makes the clients.
func connect(host string) (ours *swarm.Client, moby *client.Client, fsouza *docker.Client, err error) {
	if ours, err = swarm.New(swarm.WithHost(host), swarm.WithAPIVersion(apiVersion)); err != nil {
		return nil, nil, nil, err
	}
	if moby, err = client.New(client.WithHost(host), client.WithAPIVersion(apiVersion)); err != nil {
		return nil, nil, nil, err
	}
	fsouza, err = docker.NewVersionedClient(host, apiVersion)
	return ours, moby, fsouza, err
}

const apiVersion = "1.45"

// get opens the log with nothing but net/http.
func get(ctx context.Context, socket, path string) (io.ReadCloser, error) {
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}, DisableKeepAlives: true, ReadBufferSize: 64 << 10}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://localhost"+path, nil)
	if err != nil {
		return nil, err
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	return response.Body, nil
}

// serveIfAsked makes this process the server that another has started it for.
func serveIfAsked() {
	var size, bytes int
	var folder string
	if _, err := fmt.Sscan(os.Getenv(serverVariable), &size, &bytes, &folder); err != nil {
		return
	}
	go func() {
		io.Copy(io.Discard, os.Stdin)
		os.Exit(0) // its folder is removed by who made it
	}()
	fmt.Fprintln(os.Stderr, serve(newLogs(size, bytes), folder))
	os.Exit(1)
}

// serve serves logs at the sockets in a folder, and returns what ended that.
func serve(l *logs, folder string) error {
	listener, err := net.Listen("unix", folder+httpSocket)
	if err != nil {
		return err
	}
	handler := &handler{plain: chunked(l.plain), stamped: chunked(l.stamped)}
	go http.Serve(listener, handler)
	if listener, err = net.Listen("unix", folder+plainSocket); err != nil {
		return err
	}
	go serveBare(listener, l.plain)
	if listener, err = net.Listen("unix", folder+stampedSocket); err != nil {
		return err
	}
	return serveBare(listener, l.stamped)
}

// serveBare writes a log to whoever connects.
func serveBare(listener net.Listener, log []byte) error {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return err
		}
		go func() {
			conn.Write(log)
			conn.Close()
		}()
	}
}

// chunked is a log as an HTTP body in which each frame is a chunk, as engines make
// them.
func chunked(log []byte) []byte {
	var body []byte
	for len(log) > 0 {
		n := 8 + int(binary.BigEndian.Uint32(log[4:]))
		body = append(strconv.AppendInt(body, int64(n), 16), "\r\n"...)
		body = append(append(body, log[:n]...), "\r\n"...)
		log = log[n:]
	}
	return append(body, "0\r\n\r\n"...)
}

// handler answers with a log, in the form that is asked for, and with the service
// that it is of, and its version to go-dockerclient, which asks for that first.
type handler struct{ plain, stamped []byte }

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !strings.HasSuffix(r.URL.Path, "/logs") {
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `{"ApiVersion":"`+apiVersion+`","ID":"web","Spec":{"TaskTemplate":{"ContainerSpec":{}}}}`)
		return
	}
	body := h.plain
	if r.URL.Query().Get("details") == "1" {
		body = h.stamped
	}
	conn, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	defer conn.Close()
	io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.multiplexed-stream\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n")
	conn.Write(body)
}
