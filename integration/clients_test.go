//go:build integration

package integration

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/swarm-go/swarm"
	"github.com/swarm-go/swarm/integration/engines"
	"github.com/swarm-go/swarm/internal/conformance/program"
	"github.com/swarm-go/swarm/swarmtest"
)

// Clients that are not of this library do the same on real engines and on embedded
// ones of the same release, and must see the same.

// contender is one of the two engines, and what a client saw of it.
type contender struct {
	release string
	host    string
	client  *swarm.Client
	info    *swarm.EngineInfo
	answers []answer
}

// clientTimeout is how long a program may take that waits for the engine, beside
// many others on a small machine.
const clientTimeout = 5 * time.Minute

// answer is what came of one command.
type answer struct {
	code int
	// text is all of it, with placeholders for what differs between any two
	// engines.
	text string
}

// sideBySide runs a script on a real and an embedded engine of each release, both
// in no swarm, and then compares. The two are not Parallel, or they would wait again
// for their turn, behind all other tests, and the engine with them.
func sideBySide(t *testing.T, script func(*testing.T, *contender), compare func(t *testing.T, real, embedded *contender)) {
	onEveryOwnEngine(t, func(t *testing.T, e *engines.Engine) {
		require.NoError(t, e.LoadImages(t.Context()))
		release, _, _ := strings.Cut(e.Name, "-")
		real := newContender(t, release, e.Host)
		embedded := newContender(t, release, startEmbedded(t, swarmtest.Release(release)).Host())
		ok := t.Run("script", func(t *testing.T) {
			var group sync.WaitGroup
			for name, c := range map[string]*contender{"real": real, "embedded": embedded} {
				group.Go(func() { t.Run(name, func(t *testing.T) { script(t, c) }) })
			}
			group.Wait()
		})
		if ok {
			compare(t, real, embedded)
		}
	})
}

func startEmbedded(t *testing.T, release swarmtest.Release) *swarmtest.Engine {
	dir, err := os.MkdirTemp("", "swarm-") // short: socket paths are
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, os.RemoveAll(dir)) })
	e := swarmtest.Start(t, swarmtest.WithRelease(release), swarmtest.WithoutSwarm(), swarmtest.WithoutUnknownImages(),
		swarmtest.WithListen("unix://"+filepath.Join(dir, "docker.sock")))
	image := swarmtest.Image{Run: func(c *swarmtest.Container) int { return program.Run(c) }}
	for _, ref := range []string{engines.Image1, engines.Image2, engines.Image3} {
		e.Image(ref, image)
	}
	return e
}

func newContender(t *testing.T, release, host string) *contender {
	client, err := swarm.New(swarm.WithHost(host))
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, client.Close()) })
	info, err := client.System.Info(t.Context())
	require.NoError(t, err)
	return &contender{release: release, host: host, client: client, info: info}
}

// run runs a command and keeps what it prints.
func (c *contender) run(t *testing.T, stdin, program string, args ...string) {
	ctx, cancel := context.WithTimeout(t.Context(), clientTimeout)
	defer cancel()
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = []string{"DOCKER_HOST=" + c.host, "HOME=" + t.TempDir()}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &stdout, &stderr
	err := cmd.Run()
	require.NoError(t, ctx.Err(), "%v goes on and on: %s", args, &stdout)
	if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) {
		require.NoError(t, err, "%v", args)
	}
	code := cmd.ProcessState.ExitCode()
	c.answers = append(c.answers, answer{code, c.mask(fmt.Sprintf("%s%sexit %d\n", &stdout, &stderr, code))})
}

// settle waits until nothing moves: tasks run, have ended, or fit nowhere, and the
// services' updates are over. What is looked at once may not have begun to move.
func (c *contender) settle(t *testing.T) {
	still := 0
	require.Eventually(t, func() bool {
		if still++; !c.settled(t.Context()) {
			still = 0
		}
		return still == 10
	}, clientTimeout, 20*time.Millisecond)
}

func (c *contender) settled(ctx context.Context) bool {
	services, err := c.client.Services.List(ctx, nil)
	if err != nil {
		return true // in no swarm
	}
	tasks, err := c.client.Tasks.List(ctx, nil)
	return err != nil || !slices.ContainsFunc(services, isUpdating) && !slices.ContainsFunc(tasks, moves)
}

func isUpdating(s swarm.Service) bool {
	return s.UpdateStatus != nil && (s.UpdateStatus.State == swarm.UpdateInProgress || s.UpdateStatus.State == swarm.RollbackInProgress)
}

func moves(task swarm.Task) bool {
	switch task.Status.State {
	case swarm.TaskRunning:
		return task.DesiredState != swarm.TaskRunning
	case swarm.TaskPending:
		return task.Status.Err == ""
	}
	return task.Status.State.Active()
}

// masks are what differs between any two engines.
var masks = []struct {
	pattern     *regexp.Regexp
	placeholder string
}{
	{regexp.MustCompile(`-----BEGIN [A-Z ]+-----(?s:.*?)-----END [A-Z ]+-----`), "PEM"},
	{regexp.MustCompile(`SWMTKN-1-[0-9a-z]+-[0-9a-z]+`), "TOKEN"},
	{regexp.MustCompile(`SWMKEY-1-[0-9A-Za-z+/]+`), "KEY"},
	{regexp.MustCompile(`\b[0-9a-f]{64}\b`), "HASH"},
	{regexp.MustCompile(`\d{4}-\d\d-\d\dT[0-9:.]+(Z|[+-]\d\d:\d\d)`), "TIME"},
	{regexp.MustCompile(`\d{4}-\d\d-\d\d [0-9:.]+ \+0000 [a-z+0-9A-Z]+`), "TIME"},
	{regexp.MustCompile(`(?i)(about an?|less than a|\d+) [a-z]+ ago`), "AGO"},
	{regexp.MustCompile(`\b\d+(\.\d+){3}\b`), "ADDRESS"},
	{regexp.MustCompile(`("Index": |vxlanid_list": ")\d+`), "${1}N"},
	{regexp.MustCompile(`("(Certificate\w+|CertIssuer\w+|TrustRoot)": )"[^"]*"`), "${1}CERTIFICATE"},
	// What waits for a service tells of its progress as often as it looks.
	{regexp.MustCompile(`(?m)^(overall progress: |verify: |\d+/\d+: |[0-9a-z]{25}: |[0-9a-z]{12}: |job progress: |active tasks: |rollback: ).*\n`), ""},
	{regexp.MustCompile(`\b[0-9a-z]{25}\b`), "ID"},
	{regexp.MustCompile(`(\.\d+\.|task\.id=)[0-9a-z]{12}\b`), "${1}ID"},
	{regexp.MustCompile(`(?m)^[0-9a-z]{12}(  |$)`), "ID$1"}, // in tables
	{regexp.MustCompile(`  +`), "  "},                       // whose columns are as wide as names are long
	{regexp.MustCompile(`(?m) +$`), ""},
}

func (c *contender) mask(text string) string {
	for _, mask := range masks {
		text = mask.pattern.ReplaceAllString(text, mask.placeholder)
	}
	return strings.NewReplacer(c.info.Name, "NODE", c.info.ServerVersion, "VERSION").Replace(text)
}
