package swarm

import (
	"bytes"
	"encoding/json"
	"encoding/pem"
	"errors"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// grammar is what one parser takes and refuses. Where the docker command has
// the flag it does the same, but for texts that say what it does instead.
type grammar struct {
	ID, Flag, At string
	Accepted     []struct {
		Text   string
		Is     json.RawMessage
		Docker string
		Says   string // its text form
		Group  int
	}
	Refused []struct{ Text, Docker string }
}

func readGrammars(t testing.TB) []grammar {
	t.Helper()
	text, err := os.ReadFile("testdata/validate/grammars.json")
	require.NoError(t, err)
	decoder := json.NewDecoder(strings.NewReader(string(text)))
	decoder.DisallowUnknownFields()
	var grammars []grammar
	require.NoError(t, decoder.Decode(&grammars))
	return grammars
}

// lookupGrammar is the environment of the table.
func lookupGrammar(name string) (string, bool) {
	return "yes", name == "GRAMMAR_SET"
}

// parsers are all parsers by the ID of their grammar.
var parsers = map[string]func(text string) (any, error){
	"port":                  anyOf(ParsePort),
	"mount":                 anyOf(ParseMount),
	"secret":                anyOf(ParseSecretReference),
	"config":                anyOf(ParseConfigReference),
	"network":               anyOf(ParseNetwork),
	"constraint":            anyOf(ParseConstraint),
	"external-ca-flag":      anyOf(ParseExternalCA),
	"preference":            anyOf(ParsePreference),
	"generic-resource-flag": anyOf(ParseGenericResource),
	"ulimit-flag":           anyOf(ParseUlimit),
	"capability":            anyOf(ParseCapability),
	"bytes":                 anyOf(ParseBytes),
	"cpus":                  anyOf(ParseCPUs),
	"env-flag":              anyOf(func(text string) (string, error) { return ParseEnv(text, lookupGrammar) }),
	"env-file":              anyOf(func(text string) ([]string, error) { return ParseEnvFile(strings.NewReader(text), lookupGrammar) }),
	"host":                  anyOf(ParseHost),
	"command":               anyOf(SplitCommand),
	"credential-spec-flag":  anyOf(ParseCredentialSpec),
	"label": anyOf(func(text string) (map[string]string, error) {
		key, value, err := ParseLabel(text)
		if err != nil {
			return nil, err
		}
		return map[string]string{key: value}, nil
	}),
	"filter": anyOf(func(text string) ([]string, error) {
		name, value, err := ParseFilter(text)
		if err != nil {
			return nil, err
		}
		return []string{name, value}, nil
	}),
}

func anyOf[T any](parse func(string) (T, error)) func(string) (any, error) {
	return func(text string) (any, error) { return parse(text) }
}

func TestParsersFollowTheTableOfGrammars(t *testing.T) {
	var ids []string
	for _, g := range readGrammars(t) {
		ids = append(ids, g.ID)
		parse := parsers[g.ID]
		require.NotNil(t, parse, g.ID)
		assert.NotEmpty(t, g.Accepted, g.ID)
		assert.NotEmpty(t, g.Refused, g.ID)
		for _, a := range g.Accepted {
			value, err := parse(a.Text)
			if !assert.NoError(t, err, "%s %q", g.ID, a.Text) {
				continue
			}
			encoded, err := json.Marshal(value)
			require.NoError(t, err)
			want := string(a.Is)
			if want == "[]" && string(encoded) == "null" {
				want = "null"
			}
			assert.JSONEq(t, want, string(encoded), "%s %q", g.ID, a.Text)
		}
		for _, r := range g.Refused {
			_, err := parse(r.Text)
			assert.ErrorIs(t, err, ErrInvalid, "%s %q", g.ID, r.Text)
		}
	}
	for id := range parsers {
		assert.Contains(t, ids, id, "a parser without a grammar")
	}
}

func TestParseErrorsHoldNoSecrets(t *testing.T) {
	for _, text := range []string{
		`target=/a,volume-opt==hunter2`, `target=/a,"volume-opt=o=password=hunter2`, `volume-opt=o=hunter2`,
		`target=/a,volume-opt=o=hunter2,x=hunter2`, `type=bind,target=/a,volume-opt=o=hunter2`,
	} {
		_, err := ParseMount(text)
		require.Error(t, err, text)
		assert.NotContains(t, err.Error(), "hunter2")
	}
	_, err := ParseEnv("=hunter2", nil)
	assert.NotContains(t, err.Error(), "hunter2")
	_, err = ParseEnvFile(strings.NewReader("=hunter2"), nil)
	assert.NotContains(t, err.Error(), "hunter2")
	_, err = SplitCommand("login 'hunter2")
	assert.NotContains(t, err.Error(), "hunter2")
	_, _, err = ParseLabel("a b=hunter2")
	assert.NotContains(t, err.Error(), "hunter2")
}

func TestParseErrorsSayWhatAndWhere(t *testing.T) {
	_, err := ParsePort("8080-8082:80-81")
	assert.EqualError(t, err, `parse port 8080-8082:80-81: 3 published ports do not fit 2 target ports`)
	_, err = ParseMount("target=/a,readonly=maybe")
	assert.EqualError(t, err, `parse mount: readonly: "maybe" is not true or false`)
	_, err = ParseEnvFile(strings.NewReader("A=1\n\nA B=1"), nil)
	assert.EqualError(t, err, `parse environment file: line 3 has a space in its name`)
}

func TestRelativeBindSourcesBeginInTheWorkingDirectory(t *testing.T) {
	here, err := os.Getwd()
	require.NoError(t, err)
	m, err := ParseMount("type=bind,target=/a,source=." + string(filepath.Separator) + "x")
	require.NoError(t, err)
	assert.Equal(t, filepath.Join(here, "x"), m.Source)
	m, err = ParseMount("target=/a,source=.x")
	require.NoError(t, err)
	assert.Equal(t, ".x", m.Source)
}

func TestEnvironmentFilesAreBounded(t *testing.T) {
	_, err := ParseEnvFile(strings.NewReader("A=1\nB="+strings.Repeat("x", maxEnvLine)), nil)
	assert.ErrorIs(t, err, ErrInvalid)
	assert.ErrorContains(t, err, "line 2")
	broken := errors.New("broken")
	_, err = ParseEnvFile(iotest.ErrReader(broken), nil)
	assert.ErrorIs(t, err, broken)
	_, err = ParseEnvFile(strings.NewReader("A=\xff"), nil)
	assert.ErrorIs(t, err, ErrInvalid)
}

func TestNamesWithoutLookupAreDropped(t *testing.T) {
	env, err := ParseEnvFile(strings.NewReader("A\nB=1"), nil)
	require.NoError(t, err)
	assert.Equal(t, []string{"B=1"}, env)
}

func TestSizesAreExact(t *testing.T) {
	n, err := ParseBytes("9223372036854775807")
	require.NoError(t, err)
	assert.Equal(t, int64(math.MaxInt64), n)
	n, err = ParseBytes("8191.9999999999p")
	require.NoError(t, err)
	assert.Equal(t, int64(9223372036854663218), n)
	_, err = ParseBytes(strings.Repeat("9", 1<<20))
	assert.ErrorIs(t, err, ErrInvalid)
	n, err = ParseCPUs("010/020") // not octal
	require.NoError(t, err)
	assert.Equal(t, int64(500_000_000), n)
	n, err = ParseCPUs("9223372036.854775807")
	require.NoError(t, err)
	assert.Equal(t, int64(math.MaxInt64), n)
}

func TestExternalCAIsReadWithItsCertificate(t *testing.T) {
	server := httptest.NewTLSServer(http.NotFoundHandler())
	server.Close()
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	file := filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(file, text, 0o600))
	ca, err := ParseExternalCA("protocol=CFSSL,url=https://ca/sign,k=V,cacert=" + file)
	require.NoError(t, err)
	assert.Equal(t, ExternalCA{Protocol: "cfssl", URL: "https://ca/sign", Options: map[string]string{"k": "V"}, CACert: string(text)}, ca)

	write := func(name string, parts ...[]byte) string {
		file := filepath.Join(t.TempDir(), name)
		require.NoError(t, os.WriteFile(file, bytes.Join(parts, nil), 0o600))
		return "protocol=cfssl,url=x,cacert=" + file
	}
	two, err := ParseExternalCA(write("two", text, []byte("words\n"), text))
	require.NoError(t, err)
	assert.Equal(t, 2, strings.Count(two.CACert, "BEGIN CERTIFICATE"))

	for _, text := range []string{
		write("key", text, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("key")})),
		write("large", text, make([]byte, maxCertificate)),
		"", "protocol=cfssl", "url=x", "protocol=x,url=x", "protocol=cfssl,url=x,y", "protocol=cfssl,url=x,=y",
		"protocol=cfssl,url=x,cacert=" + file + ".not", "protocol=cfssl,url=x,cacert=parse.go",
	} {
		_, err := ParseExternalCA(text)
		assert.ErrorIs(t, err, ErrInvalid, text)
	}
}

func seedGrammar(f *testing.F, id string) {
	for _, g := range readGrammars(f) {
		if g.ID != id {
			continue
		}
		for _, a := range g.Accepted {
			f.Add(a.Text)
		}
		for _, r := range g.Refused {
			f.Add(r.Text)
		}
	}
}

// fuzzParser calls a parser with anything; check looks at what it accepts.
func fuzzParser[T any](f *testing.F, id string, parse func(string) (T, error), check func(*testing.T, T)) {
	seedGrammar(f, id)
	f.Fuzz(func(t *testing.T, text string) {
		value, err := parse(text)
		if err != nil {
			assert.ErrorIs(t, err, ErrInvalid)
			return
		}
		check(t, value)
	})
}

func FuzzParsePort(f *testing.F) {
	fuzzParser(f, "port", ParsePort, func(t *testing.T, ports []PortConfig) {
		require.NotEmpty(t, ports)
		require.LessOrEqual(t, len(ports), maxPort)
		assert.Empty(t, ServiceSpec{EndpointSpec: EndpointSpec{Ports: ports}, Mode: Global(),
			TaskTemplate: TaskSpec{ContainerSpec: ContainerSpec{Image: "a"}}}.Lint(""))
	})
}

func FuzzParseMount(f *testing.F) {
	fuzzParser(f, "mount", ParseMount, func(t *testing.T, m Mount) {
		assert.NotEmpty(t, m.Target)
		var report []string
		hintMountOptions(&ContainerSpec{Mounts: []Mount{m}}, func(path, _ string, _ ...any) { report = append(report, path) })
		assert.Empty(t, report)
	})
}

func FuzzParseSecretReference(f *testing.F) {
	fuzzParser(f, "secret", ParseSecretReference, func(t *testing.T, ref SecretReference) {
		assert.NotEmpty(t, ref.SecretName)
		assert.NotEmpty(t, ref.File.Name)
	})
}

func FuzzParseConfigReference(f *testing.F) {
	fuzzParser(f, "config", ParseConfigReference, func(t *testing.T, ref ConfigReference) {
		assert.NotEmpty(t, ref.ConfigName)
		assert.NotEmpty(t, ref.File.Name)
	})
}

func FuzzParseNetwork(f *testing.F) {
	fuzzParser(f, "network", ParseNetwork, func(t *testing.T, n NetworkAttachmentConfig) { assert.NotEmpty(t, n.Target) })
}

func FuzzParseConstraint(f *testing.F) {
	fuzzParser(f, "constraint", ParseConstraint, func(t *testing.T, c Constraint) {
		again, err := ParseConstraint(c.String())
		require.NoError(t, err)
		assert.Equal(t, c, again)
	})
}

func FuzzParsePreference(f *testing.F) {
	fuzzParser(f, "preference", ParsePreference, func(t *testing.T, p PlacementPreference) { assert.NotEmpty(t, p.Spread.SpreadDescriptor) })
}

func FuzzParseGenericResource(f *testing.F) {
	fuzzParser(f, "generic-resource-flag", ParseGenericResource, func(t *testing.T, g GenericResource) {
		assert.GreaterOrEqual(t, g.DiscreteResourceSpec.Value, int64(0))
	})
}

func FuzzParseUlimit(f *testing.F) {
	fuzzParser(f, "ulimit-flag", ParseUlimit, func(t *testing.T, u Ulimit) {
		again, err := ParseUlimit(formatUlimit(u))
		require.NoError(t, err)
		assert.Equal(t, u, again)
	})
}

func FuzzParseCapability(f *testing.F) {
	fuzzParser(f, "capability", ParseCapability, func(t *testing.T, name string) {
		again, err := ParseCapability(name)
		require.NoError(t, err)
		assert.Equal(t, name, again)
	})
}

func FuzzParseBytes(f *testing.F) {
	fuzzParser(f, "bytes", ParseBytes, func(t *testing.T, n int64) { assert.GreaterOrEqual(t, n, int64(0)) })
}

func FuzzParseCPUs(f *testing.F) {
	fuzzParser(f, "cpus", ParseCPUs, func(t *testing.T, n int64) { assert.GreaterOrEqual(t, n, int64(0)) })
}

func FuzzParseEnvFile(f *testing.F) {
	parse := func(text string) ([]string, error) { return ParseEnvFile(strings.NewReader(text), lookupGrammar) }
	fuzzParser(f, "env-file", parse, func(t *testing.T, env []string) {
		again, err := parse(strings.Join(env, "\n"))
		require.NoError(t, err)
		assert.Equal(t, env, again)
	})
}

func FuzzParseEnv(f *testing.F) {
	parse := func(text string) (string, error) { return ParseEnv(text, lookupGrammar) }
	fuzzParser(f, "env-flag", parse, func(t *testing.T, entry string) {
		again, err := ParseEnv(entry, nil)
		require.NoError(t, err)
		assert.Equal(t, entry, again)
	})
}

func FuzzParseLabel(f *testing.F) {
	fuzzParser(f, "label", func(text string) ([2]string, error) {
		key, value, err := ParseLabel(text)
		return [2]string{key, value}, err
	}, func(t *testing.T, label [2]string) {
		key, value, err := ParseLabel(label[0] + "=" + label[1])
		require.NoError(t, err)
		assert.Equal(t, label, [2]string{key, value})
	})
}

func FuzzParseHost(f *testing.F) {
	fuzzParser(f, "host", ParseHost, func(t *testing.T, entry string) { assert.Len(t, strings.Fields(entry), 2) })
}

func FuzzParseFilter(f *testing.F) {
	fuzzParser(f, "filter", func(text string) ([2]string, error) {
		name, value, err := ParseFilter(text)
		return [2]string{name, value}, err
	}, func(t *testing.T, filter [2]string) {
		name, value, err := ParseFilter(filter[0] + "=" + filter[1])
		require.NoError(t, err)
		assert.Equal(t, filter, [2]string{name, value})
	})
}

func FuzzParseCredentialSpec(f *testing.F) {
	fuzzParser(f, "credential-spec-flag", ParseCredentialSpec, func(t *testing.T, spec CredentialSpec) { assert.NotZero(t, spec) })
}

func FuzzSplitCommand(f *testing.F) {
	fuzzParser(f, "command", SplitCommand, func(t *testing.T, words []string) {
		var quoted []string
		for _, word := range words {
			quoted = append(quoted, "'"+strings.ReplaceAll(word, "'", `'\''`)+"'")
		}
		again, err := SplitCommand(strings.Join(quoted, " "))
		require.NoError(t, err)
		assert.Equal(t, words, again)
	})
}
