package engines

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"time"
)

// Engine is a Docker Engine that runs.
type Engine struct {
	Name       string   // names its subtests: "28.5", or "host" for one of the user's own
	Host       string   // as DOCKER_HOST has it: unix:///path or tcp://host:port
	Version    string   // what it says it is: "28.5.2+dfsg4"
	APIVersion string   // the newest it speaks: "1.51"
	Addr       string   // where other engines on its network reach it: "10.99.0.1"
	Flags      []string // more flags of dockerd, from the next start on

	lab     *Lab // nil: the engine is not ours
	release string
	arch    string
	http    *http.Client
	process *exec.Cmd
	exited  chan struct{}
}

const (
	startTimeout = time.Minute
	// The address of an engine that is alone in its network namespace.
	loneAddr = "10.99.0.1"
)

// Connect takes an engine that is already there: host is unix:///path or
// tcp://host:port. It is named "host".
func Connect(ctx context.Context, host string) (*Engine, error) {
	network, address, _ := strings.Cut(host, "://")
	if (network != "unix" && network != "tcp") || address == "" {
		return nil, fmt.Errorf("engines: host %q: want unix:///path or tcp://host:port", host)
	}
	e := &Engine{Name: "host", Host: host, http: httpClient(network, address)}
	if err := e.readVersion(ctx); err != nil {
		return nil, fmt.Errorf("engines: %s: %w", host, err)
	}
	return e, nil
}

func httpClient(network, address string) *http.Client {
	return &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, address)
		},
	}}
}

// Start brings back an engine after [Engine.Stop] or [Engine.Kill], with its data.
func (e *Engine) Start(ctx context.Context) error {
	if !e.Owned() {
		return errNotOurs
	}
	log, err := os.OpenFile(e.LogFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("engines: %w", err)
	}
	defer log.Close()
	process := e.lab.script(context.Background(), append([]string{"run", e.release, e.Name}, e.Flags...)...)
	process.Stdout, process.Stderr = log, log
	if err := startDyingWithUs(process); err != nil {
		return fmt.Errorf("engines: start %s: %w", e.Name, err)
	}
	exited := make(chan struct{})
	go func() {
		process.Wait() // how it ended is in its log
		close(exited)
	}()
	e.process, e.exited = process, exited
	if err := e.waitForAPI(ctx); err != nil {
		return fmt.Errorf("engines: start %s: %w; the end of its log:\n%s", e.Name, err, e.logTail())
	}
	return e.checkVersion()
}

func (e *Engine) waitForAPI(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		err := e.readVersion(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-e.exited:
			return errors.New("it ended at once")
		case <-ctx.Done():
			return err
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func (e *Engine) readVersion(ctx context.Context) error {
	var version struct{ Version, APIVersion, Arch string }
	if err := e.Call(ctx, http.MethodGet, "/version", nil, &version); err != nil {
		return err
	}
	e.Version, e.APIVersion, e.arch = version.Version, version.APIVersion, version.Arch
	return nil
}

// checkVersion makes sure that tests said to have run on a version have. Debian's
// newest suite moves on, and so may its engine.
func (e *Engine) checkVersion() error {
	if strings.HasPrefix(e.Version, e.release+".") {
		return nil
	}
	if e.release != "28.5" {
		return fmt.Errorf("engines: %s is engine %s", e.Name, e.Version)
	}
	fmt.Fprintf(os.Stderr, "note: Debian's engine %s has become engine %s\n", e.release, e.Version)
	return nil
}

// Stop stops the engine, which stops its containers first. Its data is kept.
func (e *Engine) Stop(ctx context.Context) error { return e.end(ctx, "stop") }

// Kill ends the engine and its containers at once, as a power cut would. Its
// data is kept.
func (e *Engine) Kill(ctx context.Context) error { return e.end(ctx, "kill") }

// Restart stops the engine and starts it again.
func (e *Engine) Restart(ctx context.Context) error {
	if err := e.Stop(ctx); err != nil {
		return err
	}
	return e.Start(ctx)
}

// Reload has the engine read its configuration again, by a signal.
func (e *Engine) Reload(ctx context.Context) error {
	if !e.Owned() {
		return errNotOurs
	}
	if err := e.lab.runScript(ctx, "reload", e.Name); err != nil {
		return fmt.Errorf("engines: reload %s: %w", e.Name, err)
	}
	return nil
}

var errNotOurs = errors.New("engines: an engine of the user's own is neither started nor stopped")

func (e *Engine) end(ctx context.Context, how string) error {
	if !e.Owned() {
		return errNotOurs
	}
	if err := e.lab.runScript(ctx, how, e.Name); err != nil {
		return fmt.Errorf("engines: %s %s: %w", how, e.Name, err)
	}
	<-e.exited
	e.http.CloseIdleConnections()
	return nil
}

// Owned says whether the lab started the engine: one of the user's own must be
// left as it was, and not be stopped.
func (e *Engine) Owned() bool { return e.lab != nil }

// PID is the process of the engine's namespaces: /proc/PID/ns. Zero for an
// engine of the user's own.
func (e *Engine) PID() int {
	if e.process == nil {
		return 0
	}
	return e.process.Process.Pid
}

// LogFile is where the engine's own log is; only for an engine that is [Engine.Owned].
func (e *Engine) LogFile() string { return e.lab.path(e.Name, "log") }

// Crash is what the engine said when it crashed, which engines do now and then by
// themselves; empty if it has not.
func (e *Engine) Crash() string {
	const size = 4 << 10
	log, err := os.ReadFile(e.LogFile())
	if err != nil {
		return ""
	}
	at := crashed.FindIndex(log)
	if at == nil {
		return ""
	}
	return string(log[at[0]:min(len(log), at[0]+size)])
}

// A panic in answering a request is none: its trace has lines that begin with panic(.
var crashed = regexp.MustCompile(`(?m)^(panic:|fatal error:|unexpected fault address\b)`)

func (e *Engine) logTail() string {
	const size = 4 << 10
	log, err := os.ReadFile(e.LogFile())
	if err != nil {
		return err.Error()
	}
	return string(log[max(0, len(log)-size):])
}

// Dial opens a connection from where the engine's published ports are: its
// network namespace, or the host of an engine of the user's own. Of the address
// 127.0.0.1 is right for both; names are not looked up.
func (e *Engine) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	if e.Owned() {
		return dialInside(ctx, e.PID(), network, address)
	}
	if u, err := url.Parse(e.Host); err == nil && u.Scheme == "tcp" {
		_, port, _ := net.SplitHostPort(address)
		address = net.JoinHostPort(u.Hostname(), port)
	}
	return new(net.Dialer).DialContext(ctx, network, address)
}

// Listen opens a port where the engine itself can reach it, at 127.0.0.1 for
// instance; only for an engine that is [Engine.Owned].
func (e *Engine) Listen(ctx context.Context, network, address string) (net.Listener, error) {
	if !e.Owned() {
		return nil, errNotOurs
	}
	return listenInside(ctx, e.PID(), network, address)
}

// Client is a plain HTTP client of the engine; requests go to http://engine/….
func (e *Engine) Client() *http.Client { return e.http }

// Call makes one request without the library under test. body and out are JSON,
// or nil; an answer that is no success is an error with what the engine said.
func (e *Engine) Call(ctx context.Context, method, path string, body, out any) error {
	var reader io.Reader
	if body != nil {
		encoded, err := json.Marshal(body)
		if err != nil {
			return err
		}
		reader = bytes.NewReader(encoded)
	}
	return e.send(ctx, method, path, "application/json", reader, out)
}

func (e *Engine) send(ctx context.Context, method, path, contentType string, body io.Reader, out any) error {
	request, err := http.NewRequestWithContext(ctx, method, "http://engine"+path, body)
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", contentType)
	response, err := e.http.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode >= 300 {
		return fmt.Errorf("%s %s: %s: %s", method, path, response.Status, bytes.TrimSpace(answer))
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(answer, out)
}

// InitSwarm makes the engine the only manager of a new swarm.
func (e *Engine) InitSwarm(ctx context.Context) error {
	body := map[string]any{"ListenAddr": "0.0.0.0:2377", "AdvertiseAddr": e.Addr}
	if err := e.Call(ctx, http.MethodPost, "/swarm/init", body, nil); err != nil {
		return fmt.Errorf("engines: %s: %w", e.Name, err)
	}
	return nil
}

// RememberTasks has the swarm keep old tasks. Engines 26.1 and 28.5 crash if they
// forget one at the moment when its service is removed, which is likely where many
// tasks fail.
func (e *Engine) RememberTasks(ctx context.Context) error {
	var cluster struct {
		Version struct{ Index uint64 }
		Spec    map[string]any
	}
	if err := e.Call(ctx, http.MethodGet, "/swarm", nil, &cluster); err != nil {
		return err
	}
	cluster.Spec["Orchestration"] = map[string]any{"TaskHistoryRetentionLimit": 10_000}
	return e.Call(ctx, http.MethodPost, fmt.Sprintf("/swarm/update?version=%d", cluster.Version.Index), cluster.Spec, nil)
}

// IsManager fails unless the engine is a manager of a swarm.
func (e *Engine) IsManager(ctx context.Context) error {
	if err := e.Call(ctx, http.MethodGet, "/swarm", nil, nil); err != nil {
		return fmt.Errorf("engines: %s is no swarm manager: %w", e.Host, err)
	}
	return nil
}
