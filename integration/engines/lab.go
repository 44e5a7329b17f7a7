// Package engines gives tests real Docker Engines: of several versions, side by
// side, each from Debian's packages and in namespaces of its own. The work is
// done by engine.sh, which says how and can be used by hand.
//
// It needs Linux, root and Debian's apt. [Connect] takes an engine that is
// already there instead, on any system.
package engines

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
)

//go:embed engine.sh
var script []byte

// Lab is where engines run. They end with the process that opened it, also when
// that process is killed: a reaper, started before the first engine, waits for
// the end of a pipe from it.
type Lab struct {
	dir    string // everything the engines write, and the script
	reaper *exec.Cmd
	pipe   io.Closer // its closing, or the end of this process, wakes the reaper
}

// Open prepares a lab. It fails where engines cannot run.
func Open() (*Lab, error) {
	if err := canRun(); err != nil {
		return nil, fmt.Errorf("engines: %w", err)
	}
	dir, err := os.MkdirTemp(labFolder(), "swarm-")
	if err != nil {
		return nil, fmt.Errorf("engines: %w", err)
	}
	lab := &Lab{dir: dir}
	if err := lab.startReaper(); err != nil {
		os.RemoveAll(dir)
		return nil, fmt.Errorf("engines: start reaper: %w", err)
	}
	return lab, nil
}

func (l *Lab) startReaper() error {
	if err := l.writeScript(); err != nil {
		return err
	}
	l.reaper = l.script(context.Background(), "reap")
	pipe, err := l.reaper.StdinPipe()
	if err != nil {
		return err
	}
	l.pipe = pipe
	return startOutliving(l.reaper)
}

func (l *Lab) writeScript() error {
	return os.WriteFile(l.path("engine.sh"), script, 0o700)
}

// Dir is the folder of everything the lab's engines write. It is gone after
// [Lab.Close], and soon after the end of the process.
func (l *Lab) Dir() string { return l.dir }

// Close kills the lab's engines and removes all they have left.
func (l *Lab) Close() error {
	l.pipe.Close()
	if err := l.reaper.Wait(); err != nil {
		return fmt.Errorf("engines: reaper: %w", err)
	}
	return nil
}

// Start starts one engine of each version, at the same time, each named by its
// version: "20.10", "26.1" or "28.5". The flags are dockerd's. The first run on a
// machine downloads the engines, about 100 MB each.
func (l *Lab) Start(ctx context.Context, versions []string, flags ...string) ([]*Engine, error) {
	started := make([]*Engine, len(versions))
	failed := make([]error, len(versions))
	var group sync.WaitGroup
	for i, version := range versions {
		group.Go(func() { started[i], failed[i] = l.StartOne(ctx, version, version, flags...) })
	}
	group.Wait()
	return started, errors.Join(failed...)
}

// StartOne starts an engine of a version under a name, which no other engine of
// the lab has. The flags are dockerd's.
func (l *Lab) StartOne(ctx context.Context, version, name string, flags ...string) (*Engine, error) {
	return l.startAt(ctx, version, name, loneAddr, flags...)
}

func (l *Lab) startAt(ctx context.Context, version, name, addr string, flags ...string) (*Engine, error) {
	if err := l.runScript(ctx, "setup", version); err != nil {
		return nil, fmt.Errorf("engines: set up %s: %w", version, err)
	}
	socket := l.path(name, "run", "docker.sock")
	e := &Engine{Name: name, Host: "unix://" + socket, Addr: addr, Flags: flags, lab: l, release: version}
	e.http = httpClient("unix", socket)
	if err := os.MkdirAll(l.path(name), 0o700); err != nil {
		return nil, fmt.Errorf("engines: %w", err)
	}
	return e, e.Start(ctx)
}

func (l *Lab) path(elements ...string) string {
	return filepath.Join(append([]string{l.dir}, elements...)...)
}

func (l *Lab) script(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "bash", append([]string{l.path("engine.sh")}, args...)...)
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), "SWARM_ENGINES_RUN="+l.dir)
	return cmd
}

func (l *Lab) runScript(ctx context.Context, args ...string) error {
	_, err := output(l.script(ctx, args...))
	return err
}

var dockerCommands struct {
	sync.Mutex
	byVersion map[string]string
}

// DockerCommand returns the path of a docker command of the version, which runs
// on this machine though its distribution is older. It is set up when it is not
// there yet, as an engine is.
func DockerCommand(ctx context.Context, version string) (string, error) {
	dockerCommands.Lock()
	defer dockerCommands.Unlock()
	if path, ok := dockerCommands.byVersion[version]; ok {
		return path, nil
	}
	path, err := output(exec.CommandContext(ctx, "bash", "-c", string(script), "engine.sh", "docker-path", version))
	if err != nil {
		return "", fmt.Errorf("engines: docker command of %s: %w", version, err)
	}
	if dockerCommands.byVersion == nil {
		dockerCommands.byVersion = map[string]string{}
	}
	dockerCommands.byVersion[version] = path
	return path, nil
}

// output runs a command and returns what it printed; its error says why it failed.
func output(cmd *exec.Cmd) (string, error) {
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%w: %s", err, bytes.TrimSpace(stderr.Bytes()))
	}
	return strings.TrimSpace(stdout.String()), nil
}
