//go:build long

package engine

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// mistakes are ways to get the engine wrong, each a piece of its source and what
// somebody might have written in its place.
var mistakes = []struct{ name, file, right, wrong string }{
	{"names by their beginning", "refs.go", `name(object) == ref`, `strings.HasPrefix(name(object), ref)`},
	{"the first of several", "refs.go", `return nil, ambiguous(t.kind, ref, len(matches))`, `return matches[0], nil`},
	{"whole IDs only", "refs.go", `strings.HasPrefix(*t.meta(object).id, ref)`, `strings.EqualFold(*t.meta(object).id, ref)`},
	{"two services of one name", "services.go", `if c.services.named(spec.Name) != nil {`, `if false {`},
	{"any version will do", "services.go", `if update.version != current.Version.Index {`, `if false {`},
	{"renaming", "services.go", `if spec.Name != was.Name {`, `if false {`},
	{"another mode", "services.go", `if spec.Mode.Kind() != was.Mode.Kind() {`, `if false {`},
	{"no way back is a mistake of the client's", "services.go", `return failedPrecondition("service %s does not have a previous spec"`, `return invalid("service %s does not have a previous spec"`},
	{"a rollback to what was sent", "services.go", `updated.Spec = *current.PreviousSpec`, `updated.Spec = spec`},
	{"a rollback that nobody asked for", "services.go", `"manually requested rollback"`, `"rollback"`},
	{"one iteration for ever", "services.go", `current.JobStatus.JobIteration.Index + 1`, `current.JobStatus.JobIteration.Index`},
	{"a removal without an answer", "services.go", `c.w.WriteHeader(http.StatusOK)`, `c.w.WriteHeader(http.StatusNoContent)`},
	{"every mode", "services.go", `(!f.has("mode") || `, `(true || `},
	{"a field too early", "strip.go", `{since: 46, drop`, `{since: 40, drop`},
	{"a field never stripped", "strip.go", `p.MaxReplicas = 0`, `_ = p`},
	{"secrets of any size", "data.go", `len(spec.Data) >= k.limit`, `len(spec.Data) > 2*k.limit`},
	{"secrets that change", "data.go", `if spec.Name != k.name(cluster, object) ||`, `if false &&`},
	{"secrets whose versions do not count", "data.go", `if version != k.table(cluster).meta(object).version.Index {`, `if version == 0 {`},
	{"secrets that go while they are used", "data.go", `if len(users) > 0 {`, `if false {`},
	{"long names", "validate.go", `case len(name) > 63:`, `case len(name) > 630:`},
	{"little memory", "validate.go", `memory < 4<<20`, `memory < 4<<10`},
	{"jobs with updates", "validate.go", `if update != (swarm.UpdateConfig{}) {`, `if false {`},
	{"one port twice", "validate.go", `if taken[publishedAs(port)] {`, `if false {`},
	{"ports without addresses", "validate.go", `if endpoint.Mode == swarm.EndpointDNSRR &&`, `if false &&`},
	{"the client's mistake is the engine's", "refusal.go", `fromManager(http.StatusBadRequest, "InvalidArgument"`, `fromManager(http.StatusInternalServerError, "InvalidArgument"`},
	{"a conflict of its own text", "refusal.go", `unknown("update out of sequence")`, `unknown("version conflict")`},
	{"nothing moves", "cluster.go", `	c.index = t.index
`, ``},
	{"no last manager", "nodes.go", `if len(c.managers()) == 1 {`, `if false {`},
	{"ports from anywhere", "allocator.go", `firstDynamicPort = 30000`, `firstDynamicPort = 40000`},
	{"an update without an end", "updater.go", `status.State, status.Message = swarm.UpdateCompleted, "update completed"`, `status.State, status.Message = swarm.UpdateInProgress, "update in progress"`},
	{"tasks that say nothing", "agent.go", `a.report(task, swarm.TaskRunning, "started", c.status())`, `a.report(task, swarm.TaskRunning, "", c.status())`},
	{"global services everywhere", "global.go", `|| !rules.match(node) {`, `|| false && !rules.match(node) {`},
	{"history without end", "reaper.go", `if limit < 0 || int64(len(tasks)) <= limit {`, `if limit < 10 {`},
}

// Each mistake is planted by itself, and a behaviour of real engines has to be
// missed. First of all none is without a mistake.
func TestPlantedMistakesAreCaught(t *testing.T) {
	require.GreaterOrEqual(t, len(mistakes), 30)
	output, err := behave(t, compiled(t))
	require.NoError(t, err, "without a mistake: %s", output)
	for _, mistake := range mistakes {
		t.Run(mistake.name, func(t *testing.T) {
			t.Parallel()
			binary := compiled(t, "-overlay", plant(t, mistake.file, mistake.right, mistake.wrong))
			t.Logf("noticed by %s", firstMissed(t, binary))
		})
	}
}

// compiled is the program of the tests of this package.
func compiled(t *testing.T, flags ...string) (binary string) {
	binary = filepath.Join(t.TempDir(), "engine.test")
	output, err := exec.CommandContext(t.Context(), "go", append([]string{"test", "-c", "-o", binary}, flags...)...).CombinedOutput()
	require.NoError(t, err, "%s", output)
	return binary
}

// behave looks whether an engine has the behaviours of real ones. That takes three
// seconds, and half a minute where one is waited for in vain.
func behave(t *testing.T, binary string) (output []byte, err error) {
	return exec.CommandContext(t.Context(), binary, "-test.v", "-test.failfast", "-test.timeout=2m", "-test.run=^TestEngineHasEachBehaviour$/^28.5$").CombinedOutput()
}

// missed is how a test tells of a behaviour that an engine has not got. That it ran out
// of time is no such thing.
var missed = regexp.MustCompile(`(?m)^ *--- FAIL: TestEngineHasEachBehaviour/28\.5/(\S+)`)

// firstMissed is the first behaviour of real engines that an engine has not got.
func firstMissed(t *testing.T, binary string) string {
	output, err := behave(t, binary)
	require.Error(t, err, "nobody has noticed")
	found := missed.FindSubmatch(output)
	require.NotNil(t, found, "%s", output)
	return string(found[1])
}

// plant is an overlay for the go command in which a file has a mistake.
func plant(t *testing.T, file, right, wrong string) (overlay string) {
	source, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, 1, strings.Count(string(source), right), "%s has to hold once: %s", file, right)
	original, err := filepath.Abs(file)
	require.NoError(t, err)
	replaced := filepath.Join(t.TempDir(), file)
	require.NoError(t, os.WriteFile(replaced, []byte(strings.Replace(string(source), right, wrong, 1)), 0o600))
	replace, err := json.Marshal(map[string]map[string]string{"Replace": {original: replaced}})
	require.NoError(t, err)
	overlay = filepath.Join(t.TempDir(), "overlay.json")
	require.NoError(t, os.WriteFile(overlay, replace, 0o600))
	return overlay
}
