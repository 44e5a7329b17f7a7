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

// asHelper makes this test binary a test run that starts an engine and then hangs.
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
	helper, left := runHelper(t, "10m")
	require.NoError(t, helper.Process.Kill())
	left.assertNone(t)
}

func TestNothingIsLeftWhenTheTestsTimeOut(t *testing.T) {
	t.Parallel()
	helper, left := runHelper(t, "60s")
	require.Error(t, helper.Wait())
	left.assertNone(t)
}

// TestHelper is the test run that is killed or times out.
func TestHelper(t *testing.T) {
	if os.Getenv(asHelper) == "" {
		return
	}
	lab, err := Open()
	require.NoError(t, err)
	e := startWithService(t, lab)
	ask(t, e)
	fmt.Println("READY", lab.Dir(), e.PID())
	select {}
}

func runHelper(t *testing.T, timeout string) (*exec.Cmd, traces) {
	helper := exec.Command(os.Args[0], "-test.run=^TestHelper$", "-test.timeout="+timeout)
	helper.Env = append(os.Environ(), asHelper+"=1")
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
			left := tracesOf(t, ready[1], pid)
			left.requireAll(t)
			go io.Copy(io.Discard, stdout)
			return helper, left
		}
	}
	t.Fatal("the helper did not start its engine")
	return nil, traces{}
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
	dir        string
	namespaces map[string]bool // of the engine and of its containers: "net:[4026532001]"
}

func tracesOf(t *testing.T, dir string, pid int) traces {
	found := traces{dir: dir, namespaces: map[string]bool{}}
	ours := namespacesOf("self")
	for _, of := range append(childrenOf(t, pid), pid) {
		for _, namespace := range namespacesOf(strconv.Itoa(of)) {
			found.namespaces[namespace] = true
		}
	}
	for _, namespace := range ours {
		delete(found.namespaces, namespace)
	}
	return found
}

// requireAll makes sure that assertNone would see something.
func (l traces) requireAll(t *testing.T) {
	t.Helper()
	require.GreaterOrEqual(t, len(l.namespaces), 8, "the engine's and a container's: pid, net, mnt, uts")
	require.NotEmpty(t, l.processes())
	require.NotEmpty(t, l.cgroups())
	require.DirExists(t, l.dir)
}

// assertNone waits for the reaper, then looks for anything left.
func (l traces) assertNone(t *testing.T) {
	t.Helper()
	assert.Eventually(t, func() bool {
		_, err := os.Stat(l.dir)
		return os.IsNotExist(err)
	}, 30*time.Second, 50*time.Millisecond, "run folder")
	// The reaper removes the folder last, then ends itself.
	assert.Eventually(t, func() bool { return len(l.processes()) == 0 }, 5*time.Second, 50*time.Millisecond)
	assert.Empty(t, l.processes(), "processes")
	assert.Empty(t, l.cgroups(), "cgroups")
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	require.NoError(t, err)
	assert.NotContains(t, string(mounts), l.dir)
}

// processes are those inside one of the namespaces, and those that name the folder.
func (l traces) processes() []string {
	var found []string
	all, _ := filepath.Glob("/proc/[0-9]*")
	for _, process := range all {
		pid := filepath.Base(process)
		cmdline, _ := os.ReadFile(filepath.Join(process, "cmdline"))
		inside := strings.Contains(string(cmdline), l.dir)
		for _, namespace := range namespacesOf(pid) {
			inside = inside || l.namespaces[namespace]
		}
		if inside {
			found = append(found, pid+" "+strings.ReplaceAll(string(cmdline), "\x00", " "))
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

// namespacesOf returns a process's namespaces; a zombie has none.
func namespacesOf(pid string) []string {
	var found []string
	for _, kind := range []string{"pid", "net", "mnt", "uts"} {
		if namespace, err := os.Readlink("/proc/" + pid + "/ns/" + kind); err == nil {
			found = append(found, namespace)
		}
	}
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
