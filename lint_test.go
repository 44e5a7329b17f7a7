package swarm

import (
	"encoding/json"
	"os"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// hint is one thing that Lint knows, with specs that it has nothing to say about
// and specs that it finds something in.
type hint struct {
	ID       string
	Accepted []json.RawMessage
	Found    []struct {
		Spec  json.RawMessage
		Path  string
		API   string // what Lint is asked about
		Needs string // older engines do otherwise
		UpTo  string // newer engines do otherwise

		// What engines do, all that is there:
		Becomes   json.RawMessage            // what they make of the value
		Task      string                     // what the newest task says of its failure, in part
		State     string                     // where it stays, or gets
		Container map[string]json.RawMessage // what its container has, by path
		Stdout    string                     // what it prints, a regular expression
		Stderr    string
		Then      string // what is done to the service once its tasks run: an update, or that and a rollback
		Tasks     *int   // how many tasks there are of the last spec in the end
		Update    string // how the update ends
		Crash     string // the function that the engine crashes in
	}
}

func readHints(t *testing.T, file string) []hint {
	t.Helper()
	text, err := os.ReadFile("testdata/validate/" + file)
	require.NoError(t, err)
	var hints []hint
	require.NoError(t, json.Unmarshal(text, &hints))
	return hints
}

// hintsAboutFields come from the table of versions.
var hintsAboutFields = []string{"api-version", "field-version", "field-dropped"}

func TestLintFindsWhatTheTableSays(t *testing.T) {
	known, have := hintsAboutFields, []string{}
	known = append(known, ids(serviceHints)...)
	for _, h := range readHints(t, "lint.json") {
		have = append(have, h.ID)
		testHint(t, h, func(text []byte) linted { return goodService(t, text) })
	}
	assert.ElementsMatch(t, known, have)
}

// What Lint says is held against engines row by row, see the integration tests.
func TestEveryRowOfLintSaysWhatEnginesDo(t *testing.T) {
	for _, file := range []string{"lint.json", "lint_network.json", "lint_volume.json", "lint_swarm.json"} {
		for _, h := range readHints(t, file) {
			if h.ID == "api-version" {
				continue // no engine is asked
			}
			for _, f := range h.Found {
				isSaid := f.Becomes != nil || f.Task != "" || f.State != "" || f.Container != nil || f.Stdout != "" || f.Stderr != "" ||
					f.Tasks != nil || f.Update != "" || f.Crash != ""
				assert.True(t, isSaid, "%s: %s", h.ID, f.Spec)
			}
		}
	}
}

func TestLintFindsWhatTheTablesOfOtherSpecsSay(t *testing.T) {
	testHints(t, "lint_network.json", networkHints, NetworkSpec{Name: "linted"})
	testHints(t, "lint_volume.json", volumeHints, VolumeSpec{Name: "linted", Driver: "csi"})
	testHints(t, "lint_swarm.json", swarmHints, SwarmSpec{})
}

func testHints[T linted](t *testing.T, file string, rules []specRule[T], good T) {
	var have []string
	for _, h := range readHints(t, file) {
		have = append(have, h.ID)
		testHint(t, h, func(text []byte) linted {
			spec := good
			require.NoError(t, json.Unmarshal(text, &spec))
			return spec
		})
	}
	assert.ElementsMatch(t, ids(rules), have)
}

// linted are the specs.
type linted interface {
	Validate() error
	Lint(apiVersion string) []Problem
}

func testHint(t *testing.T, h hint, decode func([]byte) linted) {
	assert.NotEmpty(t, h.Accepted, "%s has no accepted spec", h.ID)
	assert.NotEmpty(t, h.Found, "%s has no spec with a problem", h.ID)
	for _, spec := range h.Accepted {
		assert.Empty(t, decode(spec).Lint(""), "%s: %s", h.ID, spec)
	}
	for _, found := range h.Found {
		spec := decode(found.Spec)
		assert.NoError(t, spec.Validate(), "%s: %s", h.ID, found.Spec)
		problems := spec.Lint(found.API)
		if assert.Len(t, problems, 1, "%s: %s", h.ID, found.Spec) {
			assert.Equal(t, h.ID, problems[0].ID, "%s", found.Spec)
			assert.Equal(t, found.Path, problems[0].Path)
			assert.NotEmpty(t, problems[0].Message)
		}
	}
}

func TestValidateAndLintShareNoIDs(t *testing.T) {
	seen := map[string]bool{}
	add := func(id string) {
		assert.False(t, seen[id], id)
		seen[id] = true
	}
	for _, id := range slices.Concat(ids(serviceRules), ids(serviceHints), ids(secretRules), ids(configRules), ids(networkRules),
		ids(networkHints), ids(volumeRules), ids(volumeHints), ids(swarmRules), ids(swarmHints), ids(nodeRules), hintsAboutFields) {
		add(id)
	}
}

func ids[T any](rules []specRule[T]) (all []string) {
	for _, rule := range rules {
		all = append(all, rule.id)
	}
	return all
}

func TestLintFindsFieldsOfEverySpecThatAreTooNew(t *testing.T) {
	for _, test := range []struct {
		spec          linted
		version, path string
	}{
		{NetworkSpec{Name: "a", EnableIPv4: new(false)}, "1.47", "EnableIPv4"},
		{VolumeSpec{ClusterVolumeSpec: &ClusterVolumeSpec{}}, "1.41", "ClusterVolumeSpec"},
		{SwarmSpec{CAConfig: CAConfig{ForceRotate: 1}}, "1.29", "CAConfig.ForceRotate"},
		{SecretSpec{Name: "a", Templating: &Driver{Name: "golang"}}, "1.36", "Templating"},
		{ConfigSpec{Name: "a", Templating: &Driver{Name: "golang"}}, "1.36", "Templating"},
	} {
		problems := test.spec.Lint(test.version)
		if assert.Len(t, problems, 1, "%T", test.spec) {
			assert.Equal(t, "field-version", problems[0].ID)
			assert.Equal(t, test.path, problems[0].Path)
		}
		assert.Empty(t, test.spec.Lint(""), "%T", test.spec)
	}
	assert.Equal(t, "field-dropped", SwarmSpec{TaskDefaults: TaskDefaults{LogDriver: &Driver{Name: "x"}}}.Lint("")[0].ID)
	assert.Empty(t, NodeSpec{Role: RoleWorker, Availability: NodeActive, Labels: map[string]string{"a": "b"}}.Lint("1.24"))
	assert.Equal(t, "api-version", NodeSpec{}.Lint("new")[0].ID)
}

func TestLintFindsEveryFieldThatIsTooNew(t *testing.T) {
	spec := goodService(t, []byte(`{"Mode":{"Replicated":null,"GlobalJob":{}},"Networks":[{"Target":"a"}],
		"UpdateConfig":{"FailureAction":"rollback"},
		"TaskTemplate":{"Resources":{"SwapBytes":0},"ContainerSpec":{"Mounts":[{"Target":"/a"},{"Type":"tmpfs","Target":"/b","TmpfsOptions":{"Options":[["noexec"]]}}]}}}`))
	paths := func(version string) []string {
		var all []string
		for _, p := range spec.Lint(version) {
			if p.ID == "field-version" || p.ID == "field-dropped" {
				all = append(all, p.Path)
			}
		}
		return all
	}
	const options = "TaskTemplate.ContainerSpec.Mounts[1].TmpfsOptions.Options"
	assert.Equal(t, []string{options, "TaskTemplate.Resources.SwapBytes", "Mode.GlobalJob"}, paths("1.40"))
	assert.Equal(t, []string{"TaskTemplate.Resources.SwapBytes"}, paths("1.46"))
	assert.Equal(t, []string{"Networks"}, paths("1.52"))
	assert.Equal(t, []string{"Networks"}, paths(""))
	assert.Contains(t, paths("1.24"), "UpdateConfig.FailureAction")
}

func FuzzLint(f *testing.F) {
	f.Add([]byte(`{"Name":"a","TaskTemplate":{"ContainerSpec":{"Image":"x","Env":["{{(("],"Mounts":[{"Target":"{{"}]}}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var spec ServiceSpec
		if json.Unmarshal(text, &spec) == nil {
			spec.Lint("1.24")
		}
	})
}
