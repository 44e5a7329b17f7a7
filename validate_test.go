package swarm

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// border is one rule's specs on both sides of its border, each merged into a
// spec that engines take.
type border struct {
	ID       string
	Accepted []json.RawMessage
	Refused  []struct {
		Spec json.RawMessage
		Path string
		Says string // what engines say
	}
}

func readBorders(t *testing.T, file string) []border {
	t.Helper()
	text, err := os.ReadFile("testdata/validate/" + file)
	require.NoError(t, err)
	decoder := json.NewDecoder(strings.NewReader(string(text)))
	decoder.DisallowUnknownFields()
	var borders []border
	require.NoError(t, decoder.Decode(&borders))
	return borders
}

// goodService is what the specs of borders are merged into.
func goodService(t testing.TB, merged []byte) ServiceSpec {
	t.Helper()
	spec := ServiceSpec{
		Name:         "web",
		Mode:         Replicated(0),
		TaskTemplate: TaskSpec{ContainerSpec: ContainerSpec{Image: "web:1"}},
	}
	decoder := json.NewDecoder(strings.NewReader(string(merged)))
	decoder.DisallowUnknownFields()
	require.NoError(t, decoder.Decode(&spec), "%s", merged)
	return spec
}

func TestValidateDrawsTheBordersOfTheTable(t *testing.T) {
	borders := readBorders(t, "service.json")
	assertEveryRuleHasABorder(t, serviceRules, borders)
	for _, b := range borders {
		for _, merged := range b.Accepted {
			assert.NoError(t, goodService(t, merged).Validate(), "%s: %s", b.ID, merged)
		}
		for _, refused := range b.Refused {
			assertProblem(t, b.ID, refused.Path, goodService(t, refused.Spec).Validate(), refused.Spec)
		}
	}
}

func TestValidateDrawsTheBordersOfOtherSpecs(t *testing.T) {
	testBorders(t, "secret.json", secretRules, SecretSpec{}, SecretSpec.Validate)
	testBorders(t, "config.json", configRules, ConfigSpec{}, ConfigSpec.Validate)
	testBorders(t, "network.json", networkRules, NetworkSpec{Name: "validated"}, NetworkSpec.Validate)
	testBorders(t, "volume.json", volumeRules, VolumeSpec{Name: "validated"}, VolumeSpec.Validate)
	testBorders(t, "swarm.json", swarmRules, SwarmSpec{}, SwarmSpec.Validate)
	testBorders(t, "node.json", nodeRules, NodeSpec{Role: RoleManager, Availability: NodeActive}, NodeSpec.Validate)
}

// testBorders merges the specs of borders into a spec that engines take.
func testBorders[T any](t *testing.T, file string, rules []specRule[T], good T, validate func(T) error) {
	borders := readBorders(t, file)
	assertEveryRuleHasABorder(t, rules, borders)
	decode := func(text []byte) T {
		spec := good
		decoder := json.NewDecoder(bytes.NewReader(withData(text)))
		decoder.DisallowUnknownFields()
		require.NoError(t, decoder.Decode(&spec), "%s", text)
		return spec
	}
	for _, b := range borders {
		for _, spec := range b.Accepted {
			assert.NoError(t, validate(decode(spec)), "%s: %s", b.ID, spec)
		}
		for _, refused := range b.Refused {
			assertProblem(t, b.ID, refused.Path, validate(decode(refused.Spec)), refused.Spec)
		}
	}
}

var sizedData = regexp.MustCompile(`\$([0-9]+)`)

// withData puts as many bytes as it says in place of $7.
func withData(spec []byte) []byte {
	return sizedData.ReplaceAllFunc(spec, func(match []byte) []byte {
		n, _ := strconv.Atoi(string(match[1:]))
		return []byte(base64.StdEncoding.EncodeToString(make([]byte, n)))
	})
}

// assertEveryRuleHasABorder fails for a rule without specs on both sides.
func assertEveryRuleHasABorder[T any](t *testing.T, rules []specRule[T], borders []border) {
	t.Helper()
	var have []string
	for _, b := range borders {
		have = append(have, b.ID)
		assert.NotEmpty(t, b.Accepted, "%s has no accepted spec", b.ID)
		assert.NotEmpty(t, b.Refused, "%s has no refused spec", b.ID)
		for _, refused := range b.Refused {
			assert.NotEmpty(t, refused.Path, b.ID)
			assert.NotEmpty(t, refused.Says, b.ID)
		}
	}
	assert.ElementsMatch(t, ids(rules), have)
}

// assertProblem expects exactly one problem.
func assertProblem(t *testing.T, id, path string, err error, spec []byte) {
	t.Helper()
	var invalid *ValidationError
	if !assert.ErrorAs(t, err, &invalid, "%s: %s", id, spec) {
		return
	}
	assert.ErrorIs(t, err, ErrInvalid)
	if assert.Len(t, invalid.Problems, 1, "%s: %s", id, spec) {
		assert.Equal(t, id, invalid.Problems[0].ID, "%s", spec)
		assert.Equal(t, path, invalid.Problems[0].Path, "%s", spec)
		assert.NotEmpty(t, invalid.Problems[0].Message)
	}
}

func TestValidateFindsAllProblemsAtOnce(t *testing.T) {
	spec := ServiceSpec{
		Name: "no.name",
		TaskTemplate: TaskSpec{ContainerSpec: ContainerSpec{
			Image:  "web:1",
			Mounts: []Mount{{Target: "/a"}, {Target: "/a"}, {Target: "/a"}},
		}},
		EndpointSpec: EndpointSpec{Mode: "x"},
	}
	var invalid *ValidationError
	require.ErrorAs(t, spec.Validate(), &invalid)
	var found []string
	for _, problem := range invalid.Problems {
		found = append(found, problem.ID+" "+problem.Path)
	}
	assert.Equal(t, []string{
		"service-name Name",
		"mount-target TaskTemplate.ContainerSpec.Mounts[1].Target",
		"mount-target TaskTemplate.ContainerSpec.Mounts[2].Target",
		"endpoint-mode EndpointSpec.Mode",
	}, found)
	assert.Contains(t, invalid.Error(), `EndpointSpec.Mode: "x" is not one of vip, dnsrr`)
	assert.True(t, errors.Is(invalid, ErrInvalid))
}

func TestProblemsHoldNoSecrets(t *testing.T) {
	spec := goodService(t, []byte(`{"TaskTemplate":{"ContainerSpec":{"Env":["PASSWORD={{hunter2"],
		"Mounts":[{"Type":"volume","Target":"/a","VolumeOptions":{"DriverConfig":{"Options":{"o":"{{hunter2"}}}}]}}}`))
	err := spec.Validate()
	require.Error(t, err)
	assert.NotContains(t, err.Error(), "hunter2")
}

func TestProblemsOfVolumesHoldNoOptions(t *testing.T) {
	err := VolumeSpec{DriverOpts: map[string]string{"password": "hunter2", "o": "hunter2", "size": "hunter2"}}.Validate()
	require.Error(t, err)
	assert.NotContains(t, err.Error(), "hunter2")
}

func TestProblemsOfSwarmsHoldNoKeys(t *testing.T) {
	err := SwarmSpec{CAConfig: CAConfig{SigningCAKey: "hunter2"}}.Validate()
	require.Error(t, err)
	assert.NotContains(t, err.Error(), "hunter2")
}

func TestProblemsOfSecretsHoldNoData(t *testing.T) {
	err := SecretSpec{Name: "-", Data: []byte("hunter2"), Driver: &Driver{}}.Validate()
	require.Error(t, err)
	assert.NotContains(t, err.Error(), "hunter2")
}

func FuzzValidate(f *testing.F) {
	f.Add([]byte(`{"Name":"a","TaskTemplate":{"ContainerSpec":{"Image":"x","Env":["{{(("],"Mounts":[{"Target":"{{"}]}}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var spec ServiceSpec
		if json.Unmarshal(text, &spec) != nil {
			return
		}
		if err := spec.Validate(); err != nil {
			assert.ErrorIs(t, err, ErrInvalid)
		}
	})
}

func FuzzValidateOtherSpecs(f *testing.F) {
	f.Add([]byte(`{"Name":"a","IPAM":{"Config":[{"Subnet":"10.0.0.0/8","Gateway":"x","IPRange":"y"}]},"DriverOpts":{"size":"1"},"ClusterVolumeSpec":{"Secrets":[{}]}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		fuzzSpec[NetworkSpec](t, text)
		fuzzSpec[VolumeSpec](t, text)
		fuzzSpec[SwarmSpec](t, text)
		fuzzSpec[NodeSpec](t, text)
		fuzzSpec[SecretSpec](t, text)
		fuzzSpec[ConfigSpec](t, text)
	})
}

func fuzzSpec[T interface {
	Validate() error
	Lint(apiVersion string) []Problem
}](t *testing.T, text []byte) {
	var spec T
	if json.Unmarshal(text, &spec) != nil {
		return
	}
	spec.Lint("1.24")
	if err := spec.Validate(); err != nil {
		assert.ErrorIs(t, err, ErrInvalid)
	}
}
