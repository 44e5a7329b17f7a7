//go:build long

package swarm_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Without what keeps a followed log whole, the tests that count its lines have to fail.
func TestSoakPlantedMistakesInFollowing(t *testing.T) {
	const short = "^TestFollowing(LosesAndRepeatsNothing|HealsASilentNode|SurvivesWhatever)|^TestAStalledReader"
	for name, mistake := range map[string]struct{ file, right, wrong, run string }{
		"no continuity check": {"follow.go", "	default:\n		f.gap(t, record)\n		t.live = s\n", "	default:\n		t.live = s\n", "^TestSoakFollowingTenMillion"},
		"any anchor will do":  {"follow.go", "	if record.stream != t.stream || !record.at.Equal(t.at) {\n		return false\n	}\n", "", short},
		"lines come again":    {"follow.go", "	return record.at.Before(latest)\n", "	return false\n", short},
		"streams stay open":   {"follow.go", "stall := time.AfterFunc(stallTime, cancel)", "stall := time.AfterFunc(24*time.Hour, cancel)", short},
		"only what is new":    {"follow.go", "	opts.Since = s.since\n", "	opts.Since = time.Now()\n", short},
		"no audit":            {"follow_tasks.go", "quiet := t.started &&", "quiet := false &&", short},
	} {
		t.Run(name, func(t *testing.T) {
			source, err := os.ReadFile(mistake.file)
			require.NoError(t, err)
			require.Equal(t, 1, strings.Count(string(source), mistake.right))
			original, err := filepath.Abs(mistake.file)
			require.NoError(t, err)
			folder := t.TempDir()
			replaced, overlay := filepath.Join(folder, mistake.file), filepath.Join(folder, "overlay.json")
			require.NoError(t, os.WriteFile(replaced, []byte(strings.Replace(string(source), mistake.right, mistake.wrong, 1)), 0o600))
			replace, err := json.Marshal(map[string]map[string]string{"Replace": {original: replaced}})
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(overlay, replace, 0o600))
			output, err := exec.CommandContext(t.Context(), "go", "test", "-count=1", "-tags=long", "-timeout=10m", "-failfast",
				"-overlay="+overlay, "-run="+mistake.run, ".").CombinedOutput()
			assert.Error(t, err, "nobody has noticed")
			assert.Contains(t, string(output), "--- FAIL: Test", "it has to fail in a test: %s", output)
			assert.NotContains(t, string(output), "timed out")
		})
	}
}
