//go:build integration

package integration

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/swarm-go/swarm/integration/engines"
)

// setupTimeout covers the download of all engines.
const setupTimeout = 10 * time.Minute

// plainAddr is where the engines of all tests listen as well, each in its own
// network: without TLS.
const plainAddr = "127.0.0.1:2375"

var (
	lab     *engines.Lab // nil with SWARM_TEST_HOST
	running []*engines.Engine
	scratch string // a folder for all tests, gone at the end
)

func TestMain(m *testing.M) {
	code, err := runTests(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func runTests(m *testing.M) (code int, err error) {
	// All engines at once, also with fewer processors: tests wait most of the time.
	if err := flag.Set("test.parallel", strconv.Itoa(3*len(testEngines()))); err != nil {
		return 1, err
	}
	if scratch, err = os.MkdirTemp("", "swarm-integration-"); err != nil {
		return 1, err
	}
	defer os.RemoveAll(scratch)
	ctx, cancel := context.WithTimeout(context.Background(), setupTimeout)
	defer cancel()
	if host := os.Getenv("SWARM_TEST_HOST"); host != "" {
		return runOnHost(ctx, m, host)
	}
	if lab, err = engines.Open(); err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, lab.Close()) }()
	if running, err = lab.Start(ctx, testEngines(), "--host=unix:///var/run/docker.sock", "--host=tcp://"+plainAddr); err != nil {
		return 1, err
	}
	for _, e := range running {
		if err := errors.Join(e.InitSwarm(ctx), e.RememberTasks(ctx), e.LoadImages(ctx)); err != nil {
			return 1, err
		}
		fmt.Printf("note: engine %s: version %s, API %s\n", e.Name, e.Version, e.APIVersion)
	}
	code = m.Run()
	for _, e := range running {
		if crash := e.Crash(); crash != "" {
			fmt.Printf("engine %s crashed:\n%s\n", e.Name, crash)
		}
	}
	return code, nil
}

func runOnHost(ctx context.Context, m *testing.M, host string) (int, error) {
	e, err := engines.Connect(ctx, host)
	if err != nil {
		return 1, err
	}
	hadImages := e.HasImages(ctx)
	if err := errors.Join(e.IsManager(ctx), e.LoadImages(ctx)); err != nil {
		return 1, err
	}
	running = []*engines.Engine{e}
	code := m.Run()
	fmt.Printf("note: engine %s: version %s, API %s\n", e.Name, e.Version, e.APIVersion)
	if len(idle) > 0 {
		slices.Sort(idle)
		fmt.Printf("note: %d tests did nothing, they need engines of their own: %s\n", len(idle), strings.Join(slices.Compact(idle), " "))
	}
	if hadImages {
		return code, nil
	}
	return code, e.RemoveImages(context.WithoutCancel(ctx))
}

var (
	idleLock sync.Mutex
	idle     []string // the tests that did nothing with SWARM_TEST_HOST
)

// withoutLab reports that there are no engines but the one of SWARM_TEST_HOST. The
// end of the run tells of each test that then did nothing.
func withoutLab(t *testing.T) bool {
	if lab != nil {
		return false
	}
	idleLock.Lock()
	defer idleLock.Unlock()
	idle = append(idle, t.Name())
	return true
}

func testEngines() []string {
	if versions := strings.Fields(os.Getenv("SWARM_TEST_ENGINES")); len(versions) > 0 {
		return versions
	}
	return []string{"20.10", "26.1", "28.5"}
}

// onEveryEngine runs a test on all engines at the same time, as subtests.
func onEveryEngine(t *testing.T, test func(t *testing.T, e *engines.Engine)) {
	t.Helper()
	require.NotEmpty(t, running)
	for _, e := range running {
		t.Run(e.Name, func(t *testing.T) {
			t.Parallel()
			test(t, e)
		})
	}
}

// onEveryOwnEngine runs a test on further engines, which are not in a swarm yet
// and which the test may break. There are none with SWARM_TEST_HOST. As it
// disturbs nobody, it runs beside other tests. The flags are dockerd's.
func onEveryOwnEngine(t *testing.T, test func(t *testing.T, e *engines.Engine), flags ...string) {
	t.Helper()
	if withoutLab(t) {
		return
	}
	t.Parallel()
	for _, version := range testEngines() {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			test(t, ownEngine(t, version, flags...))
		})
	}
}

// ownEngine starts an engine that is gone with the test.
func ownEngine(t *testing.T, version string, flags ...string) *engines.Engine {
	t.Helper()
	e := startEngine(t, version, flags...)
	removeAfter(t, e)
	return e
}

// startEngine starts one that the caller removes.
func startEngine(t *testing.T, version string, flags ...string) *engines.Engine {
	t.Helper()
	e, err := lab.StartOne(t.Context(), version, fmt.Sprintf("%s-%x", version, time.Now().UnixNano()), flags...)
	require.NoError(t, err)
	return e
}

func removeAfter(t *testing.T, e *engines.Engine) {
	t.Cleanup(func() {
		if crash := e.Crash(); crash != "" {
			t.Logf("engine %s crashed:\n%s", e.Name, crash)
		}
		assert.NoError(t, e.Remove(context.WithoutCancel(t.Context())))
	})
}

func TestEngineAnswersPing(t *testing.T) {
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		response, err := e.Client().Get("http://engine/_ping")
		require.NoError(t, err)
		defer response.Body.Close()
		assert.Equal(t, http.StatusOK, response.StatusCode)
		assert.Equal(t, e.APIVersion, response.Header.Get("Api-Version"))
		assert.Equal(t, "linux", response.Header.Get("Ostype"))
	})
}

func TestEngineIsTheVersionItIsNamedFor(t *testing.T) {
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		var version struct{ Version, APIVersion string }
		require.NoError(t, e.Call(t.Context(), http.MethodGet, "/version", nil, &version))
		assert.Equal(t, e.Version, version.Version)
		want := map[string]string{"20.10": "1.41", "26.1": "1.45"}
		if oldest, ok := want[e.Name]; ok {
			assert.Equal(t, oldest, version.APIVersion)
		}
	})
}
