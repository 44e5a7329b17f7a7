//go:build integration && linux

package engines

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// asHelper makes this test binary a test run that starts an engine and then hangs,
// until its standard input ends.
const asHelper = "SWARM_ENGINES_TEST_HELPER"

func TestEngineKeepsItsServicesOverARestart(t *testing.T) {
	t.Parallel()
	e := startWithService(t, openLab(t))
	assert.Regexp(t, `^[0-9a-f]{12} 1$`, ask(t, e))

	require.NoError(t, e.Restart(t.Context()))
	assert.Regexp(t, `^[0-9a-f]{12} 1$`, ask(t, e))

	require.NoError(t, e.Kill(t.Context()))
	require.Error(t, e.Call(t.Context(), http.MethodGet, "/_ping", nil, nil))
	require.NoError(t, e.Start(t.Context()))
	assert.Regexp(t, `^[0-9a-f]{12} 1$`, ask(t, e))
}

func TestNothingIsLeftAfterClose(t *testing.T) {
	t.Parallel()
	lab, err := Open()
	require.NoError(t, err)
	e := startWithService(t, lab)
	ask(t, e)
	left := tracesOf(t, lab.Dir(), e.PID())
	left.requireAll(t)
	require.NoError(t, lab.Close())
	left.assertNone(t)
}

func TestNothingIsLeftWhenTheTestsAreKilled(t *testing.T) {
	t.Parallel()
	helper, _, left := runHelper(t)
	require.NoError(t, helper.Process.Kill())
	left.assertNone(t)
}

func TestNothingIsLeftWhenTheTestsTimeOut(t *testing.T) {
	t.Parallel()
	helper, stdin, left := runHelper(t)
	require.NoError(t, stdin.Close())
	require.Error(t, helper.Wait())
	left.assertNone(t)
}

// TestHelper is the test run that is killed or times out. What package testing does
// with one that takes too long is a panic, in a goroutine of its own.
func TestHelper(t *testing.T) {
	if os.Getenv(asHelper) == "" {
		return
	}
	lab, err := Open()
	require.NoError(t, err)
	require.NoError(t, lab.runScript(t.Context(), "plug", "network", "e", loneAddr))
	e := startWithService(t, lab)
	ask(t, e)
	go func() {
		io.Copy(io.Discard, os.Stdin)
		panic("test timed out")
	}()
	fmt.Println("READY", lab.Dir(), e.PID())
	select {}
}

// runHelper starts a helper, which times out once its standard input is closed.
func runHelper(t *testing.T) (helper *exec.Cmd, stdin io.Closer, left traces) {
	helper = exec.Command(os.Args[0], "-test.run=^TestHelper$")
	helper.Env = append(os.Environ(), asHelper+"=1")
	stdin, err := helper.StdinPipe()
	require.NoError(t, err)
	stdout, err := helper.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, helper.Start())
	t.Cleanup(func() {
		helper.Process.Kill()
		helper.Wait()
	})
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		if ready := strings.Fields(lines.Text()); len(ready) == 3 && ready[0] == "READY" {
			pid, err := strconv.Atoi(ready[2])
			require.NoError(t, err)
			left = tracesOf(t, ready[1], pid)
			left.requireAll(t)
			require.Len(t, networksOf(left.dir), 2, "of the engine and of the switch")
			go io.Copy(io.Discard, stdout)
			return helper, stdin, left
		}
	}
	t.Fatal("the helper did not start its engine")
	return nil, nil, traces{}
}

func openLab(t *testing.T) *Lab {
	lab, err := Open()
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, lab.Close()) })
	return lab
}

// startWithService starts an engine on which a service listens on port 8080.
func startWithService(t *testing.T, lab *Lab) *Engine {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	e, err := lab.StartOne(ctx, "28.5", "e")
	require.NoError(t, err)
	require.NoError(t, e.InitSwarm(ctx))
	require.NoError(t, e.LoadImages(ctx))
	require.NoError(t, e.Call(ctx, http.MethodPost, "/services/create", map[string]any{
		"Name": "answer",
		"TaskTemplate": map[string]any{
			"ContainerSpec": map[string]any{"Image": Image1, "Args": []string{"-listen", ":8080"}},
		},
		"EndpointSpec": map[string]any{"Ports": []any{
			map[string]any{"TargetPort": 8080, "PublishedPort": 8080, "PublishMode": "host"},
		}},
	}, nil))
	return e
}

// ask returns what the service answers, once it does.
func ask(t *testing.T, e *Engine) string {
	var answer []byte
	require.Eventually(t, func() bool {
		conn, err := e.Dial(t.Context(), "tcp", "127.0.0.1:8080")
		if err != nil {
			return false
		}
		defer conn.Close()
		answer, _ = io.ReadAll(conn)
		return len(answer) > 0
	}, time.Minute, 100*time.Millisecond)
	return strings.TrimSpace(string(answer))
}

// traces is what a running engine can be found by.
type traces struct {
	dir       string
	processes []process // of the engine and of its containers
}

// process is one process, and no later one with its number.
type process struct {
	pid     int
	started string
}

func tracesOf(t *testing.T, dir string, pid int) traces {
	found := traces{dir: dir}
	for _, pid := range append(childrenOf(t, pid), pid) {
		found.processes = append(found.processes, process{pid, startOf(pid)})
	}
	return found
}

// requireAll makes sure that assertNone would see something.
func (l traces) requireAll(t *testing.T) {
	t.Helper()
	require.Greater(t, len(l.running()), 4, "unshare, init, dockerd, containerd, shim, testimage")
	require.NotEmpty(t, l.reapers())
	require.NotEmpty(t, l.cgroups())
	require.DirExists(t, l.dir)
}

// assertNone waits for the reaper, then looks for anything left. An engine's
// network namespace is gone with its processes and mounts.
func (l traces) assertNone(t *testing.T) {
	t.Helper()
	assert.Eventually(t, func() bool {
		_, err := os.Stat(l.dir)
		return os.IsNotExist(err)
	}, 30*time.Second, 50*time.Millisecond, "run folder")
	// The kernel kills what is inside of an engine a moment after the engine.
	assert.Eventually(t, func() bool { return len(l.running()) == 0 }, 5*time.Second, 50*time.Millisecond, "processes")
	assert.Empty(t, l.cgroups(), "cgroups")
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	require.NoError(t, err)
	assert.NotContains(t, string(mounts), l.dir)
	assert.Empty(t, networksOf(l.dir))
	// It removes the folder last, then ends itself.
	assert.Eventually(t, func() bool { return len(l.reapers()) == 0 }, 5*time.Second, 50*time.Millisecond, "reaper")
}

// running are those of the engine's processes that still run.
func (l traces) running() []process {
	var found []process
	for _, p := range l.processes {
		if started := startOf(p.pid); started != "" && started == p.started {
			found = append(found, p)
		}
	}
	return found
}

// startOf says when a process was started; nothing if there is none, or a zombie.
func startOf(pid int) string {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	_, rest, _ := strings.Cut(string(stat), ") ") // what is before may have spaces
	fields := strings.Fields(rest)
	if fields[0] == "Z" {
		return ""
	}
	return fields[19]
}

// reapers are the processes that run the lab's copy of engine.sh.
func (l traces) reapers() []string {
	var found []string
	all, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range all {
		if cmdline, _ := os.ReadFile(file); strings.Contains(string(cmdline), l.dir+"/engine.sh") {
			found = append(found, file)
		}
	}
	return found
}

func (l traces) cgroups() []string {
	var found []string
	filepath.WalkDir("/sys/fs/cgroup", func(path string, _ os.DirEntry, _ error) error {
		if strings.Contains(path, filepath.Base(l.dir)) {
			found = append(found, path)
		}
		return nil
	})
	return found
}

// childrenOf returns a process's children, their children, and so on.
func childrenOf(t *testing.T, pid int) []int {
	var all []int
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	require.NoError(t, err)
	for _, task := range tasks {
		children, err := os.ReadFile(task)
		if err != nil && !os.IsNotExist(err) && err != syscall.ESRCH {
			require.NoError(t, err)
		}
		for _, child := range strings.Fields(string(children)) {
			n, err := strconv.Atoi(child)
			require.NoError(t, err)
			all = append(append(all, n), childrenOf(t, n)...)
		}
	}
	return all
}
