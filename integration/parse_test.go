//go:build integration

package integration

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/swarm-go/swarm"
	"github.com/swarm-go/swarm/integration/engines"
)

// grammar is what one parser takes and refuses, see the tests of the parsers.
type grammar struct {
	ID, Flag, At string
	Accepted     []grammarText
	Refused      []grammarText
}

type grammarText struct {
	Text   string
	Is     json.RawMessage
	Docker string // what the docker command does instead
	Group  int    // texts of one group fit into one service
}

// readGrammars reads those of values in specs of services.
func readGrammars(t *testing.T) []grammar {
	t.Helper()
	return slices.DeleteFunc(allGrammars(t), func(g grammar) bool { return g.At == "" })
}

func allGrammars(t *testing.T) []grammar {
	t.Helper()
	text, err := os.ReadFile("../testdata/validate/grammars.json")
	require.NoError(t, err)
	var grammars []grammar
	require.NoError(t, json.Unmarshal(text, &grammars))
	return grammars
}

// grammarEnv is the environment of the table.
func grammarEnv(name string) (string, bool) { return "yes", name == "GRAMMAR_SET" }

// apply puts what a parser makes of a text into a service.
func apply(t *testing.T, id, text string, s *swarm.ServiceSpec) {
	t.Helper()
	c := &s.TaskTemplate.ContainerSpec
	var err error
	switch id {
	case "port":
		s.EndpointSpec.Ports, err = addAll(s.EndpointSpec.Ports)(swarm.ParsePort(text))
	case "mount":
		c.Mounts, err = add(c.Mounts)(swarm.ParseMount(text))
	case "secret":
		c.Secrets, err = add(c.Secrets)(swarm.ParseSecretReference(text))
	case "config":
		c.Configs, err = add(c.Configs)(swarm.ParseConfigReference(text))
	case "network":
		s.TaskTemplate.Networks, err = add(s.TaskTemplate.Networks)(swarm.ParseNetwork(text))
	case "constraint":
		var constraint swarm.Constraint
		constraint, err = swarm.ParseConstraint(text)
		placement(s).Constraints = append(placement(s).Constraints, constraint.String())
	case "preference":
		placement(s).Preferences, err = add(placement(s).Preferences)(swarm.ParsePreference(text))
	case "generic-resource-flag":
		r := &resources(s).Reservations.GenericResources
		*r, err = add(*r)(swarm.ParseGenericResource(text))
	case "ulimit-flag":
		c.Ulimits, err = add(c.Ulimits)(swarm.ParseUlimit(text))
	case "capability":
		c.CapabilityAdd, err = add(c.CapabilityAdd)(swarm.ParseCapability(text))
	case "bytes":
		resources(s).Limits.MemoryBytes, err = swarm.ParseBytes(text)
	case "cpus":
		resources(s).Limits.NanoCPUs, err = swarm.ParseCPUs(text)
	case "env-flag":
		c.Env, err = add(c.Env)(swarm.ParseEnv(text, grammarEnv))
	case "env-file":
		c.Env, err = swarm.ParseEnvFile(strings.NewReader(text), grammarEnv)
	case "label":
		var key, value string
		key, value, err = swarm.ParseLabel(text)
		if s.Labels == nil {
			s.Labels = map[string]string{}
		}
		s.Labels[key] = value
	case "host":
		c.Hosts, err = add(c.Hosts)(swarm.ParseHost(text))
	case "command":
		c.Command, err = swarm.SplitCommand(text)
	case "credential-spec-flag":
		var spec swarm.CredentialSpec
		spec, err = swarm.ParseCredentialSpec(text)
		c.Privileges = &swarm.Privileges{CredentialSpec: &spec}
	default:
		require.Fail(t, "no such grammar", id)
	}
	require.NoError(t, err, "%s %q", id, text)
}

// add is append for a value that may come with an error.
func add[T any](list []T) func(T, error) ([]T, error) {
	return func(value T, err error) ([]T, error) { return append(list, value), err }
}

func addAll[T any](list []T) func([]T, error) ([]T, error) {
	return func(values []T, err error) ([]T, error) { return append(list, values...), err }
}

func placement(s *swarm.ServiceSpec) *swarm.Placement {
	if s.TaskTemplate.Placement == nil {
		s.TaskTemplate.Placement = &swarm.Placement{}
	}
	return s.TaskTemplate.Placement
}

func resources(s *swarm.ServiceSpec) *swarm.ResourceRequirements {
	if s.TaskTemplate.Resources == nil {
		s.TaskTemplate.Resources = &swarm.ResourceRequirements{Limits: &swarm.Limits{}, Reservations: &swarm.Reservations{}}
	}
	return s.TaskTemplate.Resources
}

func TestParsersMakeWhatTheDockerCommandMakes(t *testing.T) {
	t.Parallel()
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		client, ids := newClient(t, e), withSecretAndConfig(t, e)
		network := addNetwork(t, e)
		for _, g := range readGrammars(t) {
			for _, texts := range inGroups(g.Accepted) {
				spec := merged(t, []byte(`{}`), ids)
				var flags []string
				for _, text := range texts {
					text = strings.ReplaceAll(ids.Replace(text), "$NETWORK", network)
					apply(t, g.ID, text, &spec)
					flags = append(flags, g.Flag, flagValue(t, g.ID, text))
				}
				fillIDs(&spec, ids)
				change, err := client.Services.Create(t.Context(), spec, nil)
				if !assert.NoError(t, err, "%s %q", g.ID, texts) {
					continue
				}
				ours := specPart(t, e, change.ID, g.At)
				require.NoError(t, client.Services.Remove(t.Context(), change.ID))
				theirs := specPart(t, e, dockerService(t, e, spec.Name, flags), g.At)
				require.NoError(t, client.Services.Remove(t.Context(), spec.Name))
				assert.NotEmpty(t, ours, "%s %q", g.ID, texts)
				assert.Equal(t, theirs, ours, "%s %q", g.ID, texts)
			}
		}
	})
}

func TestDockerCommandRefusesWhatParsersRefuse(t *testing.T) {
	t.Parallel()
	nowhere := "unix://" + filepath.Join(t.TempDir(), "none.sock")
	for _, g := range readGrammars(t) {
		t.Run(g.ID, func(t *testing.T) {
			t.Parallel()
			for _, refused := range g.Refused {
				output, err := runDocker(t, nowhere, "service", "create", "--detach", g.Flag, flagValue(t, g.ID, refused.Text), engines.Image1)
				require.Error(t, err)
				isTaken := strings.Contains(output, "none.sock")
				assert.Equal(t, refused.Docker != "", isTaken, "%q: %s", refused.Text, output)
			}
		})
	}
}

// inGroups are the texts that the docker command takes alike, in their groups.
func inGroups(texts []grammarText) [][]string {
	groups := map[int][]string{}
	for _, text := range texts {
		if text.Docker == "" {
			groups[text.Group] = append(groups[text.Group], text.Text)
		}
	}
	var all [][]string
	for _, group := range groups {
		all = append(all, group)
	}
	return all
}

// flagValue is the text itself, or the name of a file that holds it.
func flagValue(t *testing.T, id, text string) string {
	if id != "env-file" {
		return text
	}
	file := filepath.Join(t.TempDir(), "env")
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	return file
}

// addNetwork makes an overlay network and returns its name.
func addNetwork(t *testing.T, e *engines.Engine) string {
	t.Helper()
	name := serviceName(t, "net")
	require.NoError(t, e.Call(t.Context(), http.MethodPost, "/networks/create", map[string]any{"Name": name, "Driver": "overlay"}, nil))
	t.Cleanup(func() {
		assert.NoError(t, e.Call(context.WithoutCancel(t.Context()), http.MethodDelete, "/networks/"+name, nil, nil))
	})
	return name
}

// fillIDs does what the parsers of references leave to their callers.
func fillIDs(s *swarm.ServiceSpec, ids *strings.Replacer) {
	c := &s.TaskTemplate.ContainerSpec
	for i := range c.Secrets {
		c.Secrets[i].SecretID = ids.Replace("$SECRET")
	}
	for i := range c.Configs {
		c.Configs[i].ConfigID = ids.Replace("$CONFIG")
	}
}

// dockerService has the docker command create a service.
func dockerService(t *testing.T, e *engines.Engine, name string, flags []string) string {
	t.Helper()
	args := append([]string{"service", "create", "--detach", "--no-resolve-image", "--replicas", "0", "--name", name}, flags...)
	output, err := runDocker(t, e.Host, append(args, engines.Image1)...)
	require.NoError(t, err, "%q: %s", flags, output)
	return name
}

func runDocker(t *testing.T, host string, args ...string) (output string, err error) {
	t.Helper()
	var both bytes.Buffer
	cmd := exec.CommandContext(t.Context(), dockerCommand(t), args...)
	cmd.Env = []string{"HOME=" + t.TempDir(), "DOCKER_HOST=" + host, "GRAMMAR_SET=yes"}
	cmd.Stdout, cmd.Stderr = &both, &both
	err = cmd.Run()
	return both.String(), err
}

// specPart is a part of a service's spec as the engine has it, without what
// stands for nothing, lists in an order of their own: the docker command sorts
// them.
func specPart(t *testing.T, e *engines.Engine, ref, at string) any {
	t.Helper()
	var service struct{ Spec any }
	require.NoError(t, e.Call(t.Context(), http.MethodGet, "/services/"+ref, nil, &service))
	part := withoutEmpty(valueAt(service.Spec, at))
	if list, ok := part.([]any); ok {
		slices.SortFunc(list, func(a, b any) int { return bytes.Compare(encoded(a), encoded(b)) })
	}
	return part
}

func encoded(v any) []byte {
	text, _ := json.Marshal(v)
	return text
}

func withoutEmpty(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for name, value := range v {
			if value = withoutEmpty(value); value == nil {
				delete(v, name)
			} else {
				v[name] = value
			}
		}
		if len(v) == 0 {
			return nil
		}
	case []any:
		for i := range v {
			v[i] = withoutEmpty(v[i])
		}
	}
	return v
}

func TestParsedFiltersFindWhatTheDockerCommandFinds(t *testing.T) {
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		client := newClient(t, e)
		spec := merged(t, []byte(`{"Labels":{"filtered":"a=b"}}`), strings.NewReplacer())
		id := create(t, client, spec)
		for _, text := range []string{"name=" + spec.Name, " Label = filtered=a=b ", "LABEL=filtered"} {
			name, value, err := swarm.ParseFilter(text)
			require.NoError(t, err)
			filters := url.QueryEscape(string(encoded(map[string][]string{name: {value}})))
			var services []struct{ ID string }
			require.NoError(t, e.Call(t.Context(), http.MethodGet, "/services?filters="+filters, nil, &services))
			require.Len(t, services, 1, text)
			assert.Equal(t, id, services[0].ID)
			short := docker(t, e, "service", "ls", "--quiet", "--filter", text)
			assert.NotEmpty(t, short, text)
			assert.True(t, strings.HasPrefix(id, short), "%s: %s", text, short)
		}
		output, err := runDocker(t, e.Host, "service", "ls", "--filter", "name")
		assert.Error(t, err, output)
		_, _, err = swarm.ParseFilter("name")
		assert.Error(t, err)
	})
}

func TestParsedExternalCAIsTheDockerCommands(t *testing.T) {
	grammars := allGrammars(t)
	i := slices.IndexFunc(grammars, func(g grammar) bool { return g.ID == "external-ca-flag" })
	require.GreaterOrEqual(t, i, 0)
	g := grammars[i]
	onEveryOwnEngine(t, func(t *testing.T, e *engines.Engine) {
		require.NoError(t, e.InitSwarm(t.Context()))
		for _, a := range g.Accepted {
			docker(t, e, "swarm", "update", g.Flag, a.Text)
			var cluster struct {
				Spec struct {
					CAConfig struct{ ExternalCAs []swarm.ExternalCA }
				}
			}
			require.NoError(t, e.Call(t.Context(), http.MethodGet, "/swarm", nil, &cluster))
			want, err := swarm.ParseExternalCA(a.Text)
			require.NoError(t, err)
			require.Len(t, cluster.Spec.CAConfig.ExternalCAs, 1)
			got := cluster.Spec.CAConfig.ExternalCAs[0]
			got.CACert = "" // the command fills in the swarm's root
			assert.Equal(t, want, got)
		}
		for _, r := range g.Refused {
			_, err := swarm.ParseExternalCA(r.Text)
			assert.Error(t, err, r.Text)
			output, err := runDocker(t, e.Host, "swarm", "update", g.Flag, r.Text)
			assert.Error(t, err, "%s: %s", r.Text, output)
		}
	})
}
