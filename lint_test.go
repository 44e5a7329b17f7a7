package swarm

import (
	"encoding/json"
	"os"
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
		Spec    json.RawMessage
		Path    string
		API     string          // what Lint is asked about
		Needs   string          // older engines drop the field
		Becomes json.RawMessage // what engines make of the value
		Task    string          // why the task does not start
	}
}

func readHints(t *testing.T) []hint {
	t.Helper()
	text, err := os.ReadFile("testdata/validate/lint.json")
	require.NoError(t, err)
	var hints []hint
	require.NoError(t, json.Unmarshal(text, &hints))
	return hints
}

// hintsAboutFields come from the table of versions.
var hintsAboutFields = []string{"api-version", "field-version", "field-dropped"}

func TestLintFindsWhatTheTableSays(t *testing.T) {
	known, have := hintsAboutFields, []string{}
	for _, rule := range serviceHints {
		known = append(known, rule.id)
	}
	for _, h := range readHints(t) {
		have = append(have, h.ID)
		assert.NotEmpty(t, h.Accepted, "%s has no accepted spec", h.ID)
		assert.NotEmpty(t, h.Found, "%s has no spec with a problem", h.ID)
		for _, spec := range h.Accepted {
			assert.Empty(t, goodService(t, spec).Lint(""), "%s: %s", h.ID, spec)
		}
		for _, found := range h.Found {
			spec := goodService(t, found.Spec)
			assert.NoError(t, spec.Validate(), "%s: %s", h.ID, found.Spec)
			problems := spec.Lint(found.API)
			if assert.Len(t, problems, 1, "%s: %s", h.ID, found.Spec) {
				assert.Equal(t, h.ID, problems[0].ID, "%s", found.Spec)
				assert.Equal(t, found.Path, problems[0].Path)
				assert.NotEmpty(t, problems[0].Message)
			}
		}
	}
	assert.ElementsMatch(t, known, have)
}

func TestValidateAndLintShareNoIDs(t *testing.T) {
	seen := map[string]bool{}
	for _, rule := range append(serviceRules, serviceHints...) {
		assert.False(t, seen[rule.id], rule.id)
		seen[rule.id] = true
	}
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
