package dockerconfig

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

// helper is the program of testdata/helper.
var helper string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "helper-")
	if err != nil {
		panic(err)
	}
	helper = filepath.Join(dir, "helper")
	if output, err := exec.Command("go", "build", "-o", helper, "./testdata/helper").CombinedOutput(); err != nil {
		panic(string(output))
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		os.RemoveAll(dir)
		os.Exit(code)
	}))
}

// keychain is a folder of configuration, and helpers in PATH.
type keychain struct {
	dir, log string
	bin      string // what PATH is
	env      map[string]string
}

var helperKinds = []string{"store", "fails", "hangs", "orphan", "endless", "garbage", "empty", "elsewhere", "silent"}

// newKeychain has the helpers, which know these credentials, each "user:secret".
func newKeychain(t *testing.T, known map[string]string) *keychain {
	t.Helper()
	dir := t.TempDir()
	k := &keychain{dir: filepath.Join(dir, "config"), log: filepath.Join(dir, "log"), env: map[string]string{}}
	k.env["DOCKER_CONFIG"] = k.dir
	bin := filepath.Join(dir, "bin")
	require.NoError(t, os.Mkdir(bin, 0o700))
	for _, kind := range helperKinds {
		require.NoError(t, os.Symlink(helper, filepath.Join(bin, "docker-credential-"+kind)))
	}
	write(t, filepath.Join(bin, "docker-credential-barred"), "#!/bin/sh\nexit 0\n") // not executable
	type credentials struct{ Username, Secret string }
	store := map[string]credentials{}
	for server, text := range known {
		user, secret, _ := strings.Cut(text, ":")
		store[server] = credentials{user, secret}
	}
	encoded, err := json.Marshal(store)
	require.NoError(t, err)
	write(t, filepath.Join(dir, "store"), string(encoded))
	sleep, err := exec.LookPath("sleep")
	require.NoError(t, err)
	require.NoError(t, os.Symlink(sleep, filepath.Join(bin, "sleep")))
	t.Setenv("PATH", bin) // nothing else: a helper of this machine would be asked
	k.bin = bin
	t.Setenv("HELPER_LOG", k.log)
	t.Setenv("HELPER_STORE", filepath.Join(dir, "store"))
	return k
}

func (k *keychain) lookup(ctx context.Context, registry string) (*Credentials, error) {
	return Lookup(ctx, func(name string) string { return k.env[name] }, os.UserHomeDir, registry)
}

// asked are the helpers' requests, each "get "server" pid".
func (k *keychain) asked(t *testing.T) []string {
	t.Helper()
	data, err := os.ReadFile(k.log)
	if !os.IsNotExist(err) {
		require.NoError(t, err)
	}
	return strings.Fields(string(data))
}

func encoded(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }

func TestCredentialsAreThoseOfTheExactRegistry(t *testing.T) {
	k := newKeychain(t, map[string]string{"helped.example.com": "me:from helper", "tokens.example.com": "<token>:identity", hub: "hubber:from helper"})
	file := fmt.Sprintf(`{
		"auths": {
			"plain.example.com": {"auth": %q},
			"plain.example.com:5000": {"username": "porter", "password": "p"},
			"https://old.example.com/v1/": {"auth": %q},
			"http://older.example.com:5000": {"auth": %q},
			"pathless.example.com/v2/": {"auth": %q},
			"ftp://odd.example.com": {"auth": %q},
			"twice.example.com/v1": {"auth": %q}, "https://twice.example.com/v2/": {"auth": %q},
			"quarrel.example.com/v1": {"auth": %q}, "https://quarrel.example.com/v2/": {"auth": %q},
			"damaged.example.com": {"auth": "canary"},
			"nobody.example.com": {"auth": %q},
			"shape.example.com": ["canary"],
			"empty.example.com": {},
			"helped.example.com": {"auth": %q},
			"fails.example.com": {"auth": %q},
			"identity.example.com": {"auth": %q, "identitytoken": "it"},
			"registry.example.com": {"registrytoken": "rt"},
			"docker.io": {"auth": %q}, "index.docker.io": {"auth": %q},
			"nulls.example.com": {"auth": %q}
		},
		"credHelpers": {"helped.example.com": "store", "tokens.example.com": "store", "fails.example.com": "fails",
			"unknown.example.com": "store", "missing.example.com": "nowhere", "none.example.com": ""}
	}`, encoded("me:a:b"), encoded("old:p"), encoded("older:p"), encoded("pathless:p"), encoded("odd:p"), encoded("same:p"), encoded("same:p"),
		encoded("one:p"), encoded("another:p"), encoded(":canary"), encoded("file:p"), encoded("file:canary"), encoded("user:p"),
		encoded("wrong:p"), encoded("wrong:p"), encoded("me:p\x00\x00"))
	write(t, filepath.Join(k.dir, "config.json"), file)
	for registry, want := range map[string]Credentials{
		"plain.example.com":        {Username: "me", Password: "a:b", ServerAddress: "plain.example.com"},
		"plain.example.com:5000":   {Username: "porter", Password: "p", ServerAddress: "plain.example.com:5000"},
		"old.example.com":          {Username: "old", Password: "p", ServerAddress: "https://old.example.com/v1/"},
		"older.example.com:5000":   {Username: "older", Password: "p", ServerAddress: "http://older.example.com:5000"},
		"pathless.example.com":     {Username: "pathless", Password: "p", ServerAddress: "pathless.example.com/v2/"},
		"twice.example.com":        {Username: "same", Password: "p", ServerAddress: "https://twice.example.com/v2/"},
		"identity.example.com":     {Username: "user", Password: "p", IdentityToken: "it", ServerAddress: "identity.example.com"},
		"registry.example.com":     {RegistryToken: "rt", ServerAddress: "registry.example.com"},
		"helped.example.com":       {Username: "me", Password: "from helper", ServerAddress: "helped.example.com"},
		"tokens.example.com":       {IdentityToken: "identity", ServerAddress: "tokens.example.com"},
		"nulls.example.com":        {Username: "me", Password: "p", ServerAddress: "nulls.example.com"},
		"docker.io":                {}, // as docker.io, and without its path, nobody asks for it
		"plain.example.com:443":    {},
		"older.example.com":        {},
		"example.com":              {},
		"x.plain.example.com":      {},
		"plain.example.com.evil":   {},
		"odd.example.com":          {Username: "odd", Password: "p", ServerAddress: "ftp://odd.example.com"},
		"unknown.example.com":      {},
		"none.example.com":         {},
		"empty.example.com":        {},
		"https:":                   {},
		"PLAIN.EXAMPLE.COM":        {},
		"registry.example.com:080": {},
	} {
		found, err := k.lookup(t.Context(), registry)
		require.NoError(t, err, registry)
		if want == (Credentials{}) {
			assert.Nil(t, found, registry)
		} else {
			assert.Equal(t, &want, found, registry)
		}
	}
	for registry, want := range map[string]string{
		"quarrel.example.com": "several entries for quarrel.example.com, which differ",
		"damaged.example.com": `the entry for "damaged.example.com" is damaged`,
		"nobody.example.com":  `the entry for "nobody.example.com" is damaged`,
		"shape.example.com":   `the entry for "shape.example.com" is damaged`,
		"fails.example.com":   `credential helper "fails": it failed: exit status 1`,
		"missing.example.com": `credential helper "nowhere": executable file not found in $PATH`,
	} {
		found, err := k.lookup(t.Context(), registry)
		assert.Nil(t, found, registry)
		assert.ErrorContains(t, err, want)
		assert.NotContains(t, err.Error(), "canary")
		assert.NotContains(t, err.Error(), encoded("file:canary"))
	}

	write(t, filepath.Join(k.dir, "config.json"), `{"credsStore": "store", "auths": {"https://index.docker.io/v1/": {"auth": "`+encoded("file:p")+`"}, "other.example.com": {"auth": "`+encoded("file:p")+`"}}}`)
	found, err := k.lookup(t.Context(), "docker.io")
	require.NoError(t, err)
	assert.Equal(t, &Credentials{Username: "hubber", Password: "from helper", ServerAddress: hub}, found)
	found, err = k.lookup(t.Context(), "other.example.com")
	require.NoError(t, err)
	assert.Nil(t, found, "the helper has none, and the file is not asked in its place")

	write(t, filepath.Join(k.dir, "config.json"), `{"auths": {"https://index.docker.io/v1/": {"auth": "`+encoded("file:p")+`"}}}`)
	found, err = k.lookup(t.Context(), "docker.io")
	require.NoError(t, err)
	assert.Equal(t, &Credentials{Username: "file", Password: "p", ServerAddress: hub}, found)
}

func TestCredentialsInTheEnvironmentComeFirst(t *testing.T) {
	k := newKeychain(t, map[string]string{"helped.example.com": "me:from helper"})
	write(t, filepath.Join(k.dir, "config.json"), `{"credsStore": "store"}`)
	k.env["DOCKER_AUTH_CONFIG"] = `{"auths": {"ci.example.com": {"auth": "` + encoded("ci:p") + `"}, "https://old.example.com/": {"auth": "` + encoded("ci:p") + `"}}}`
	found, err := k.lookup(t.Context(), "ci.example.com")
	require.NoError(t, err)
	assert.Equal(t, &Credentials{Username: "ci", Password: "p", ServerAddress: "ci.example.com"}, found)
	assert.Empty(t, k.asked(t))
	found, err = k.lookup(t.Context(), "helped.example.com")
	require.NoError(t, err)
	assert.Equal(t, "from helper", found.Password)
	found, err = k.lookup(t.Context(), "old.example.com")
	require.NoError(t, err)
	assert.Nil(t, found, "only exact names there")
	for value, want := range map[string]string{
		"canary":                          "DOCKER_AUTH_CONFIG: damaged: no valid JSON at byte",
		`{"auths": "canary"}`:             "DOCKER_AUTH_CONFIG: damaged: the JSON at byte",
		`{"auths": {"x": {"auth": "!"}}}`: `DOCKER_AUTH_CONFIG: the entry for "x" is damaged`,
		strings.Repeat(" ", maxFile+1):    "DOCKER_AUTH_CONFIG: larger than",
	} {
		k.env["DOCKER_AUTH_CONFIG"] = value
		_, err := k.lookup(t.Context(), "x")
		assert.ErrorContains(t, err, want)
		assert.NotContains(t, err.Error(), "canary")
	}
}

func TestHelperOfTheSystemIsAskedWhereTheFileSaysNothing(t *testing.T) {
	k := newKeychain(t, map[string]string{"r.example.com": "me:from helper"})
	install := func(name, program string) {
		require.NoError(t, os.Symlink(program, filepath.Join(k.bin, name)))
	}
	assert.Empty(t, defaultHelper("linux"))
	for system, name := range map[string]string{"linux": "secretservice", "darwin": "osxkeychain", "windows": "wincred"} {
		install("docker-credential-"+name, helper)
		assert.Equal(t, name, defaultHelper(system))
	}
	assert.Empty(t, defaultHelper("plan9"))
	path := filepath.Join(k.dir, "config.json")
	for content, asked := range map[string]bool{
		"":   true,
		"{}": true,
		`{"auths": {}, "credHelpers": {}, "credsStore": "", "currentContext": "prod"}`: true,
		`{"auths": {"other.example.com": {}}}`:                                         false,
		`{"credHelpers": {"other.example.com": "store"}}`:                              false,
	} {
		write(t, path, content)
		found, err := k.lookup(t.Context(), "r.example.com")
		require.NoError(t, err, content)
		assert.Equal(t, asked, found != nil, content)
	}
	require.NoError(t, os.Remove(path))
	found, err := k.lookup(t.Context(), "r.example.com")
	require.NoError(t, err)
	assert.Equal(t, &Credentials{Username: "me", Password: "from helper", ServerAddress: "r.example.com"}, found)

	install("pass", helper)
	found, err = k.lookup(t.Context(), "r.example.com")
	require.NoError(t, err)
	assert.Nil(t, found, "pass has no helper, and no other is taken in its place")
	install("docker-credential-pass", helper)
	found, err = k.lookup(t.Context(), "r.example.com")
	require.NoError(t, err)
	assert.Equal(t, &Credentials{Username: "pass", Password: "secret of pass", ServerAddress: "r.example.com"}, found)
	assert.Equal(t, "osxkeychain", defaultHelper("darwin"))
}

func TestMisbehavingHelpersAreErrorsWithoutWhatTheyPrint(t *testing.T) {
	k := newKeychain(t, nil)
	for helper, want := range map[string]string{
		"fails":                                "it failed: exit status 1",
		"endless":                              "it printed more than 1048576 bytes",
		"garbage":                              "its answer is no JSON of credentials",
		"empty":                                "its answer lacks the user or the secret",
		"elsewhere":                            "it answered for another server than it was asked for",
		"orphan":                               "it left a process behind that holds its output open",
		"barred":                               "executable file not found in $PATH",
		"nowhere":                              "executable file not found in $PATH",
		"../bin/docker-credential-x":           "no valid name of a program",
		"store; touch x":                       "no valid name of a program",
		"-store":                               "no valid name of a program",
		"..":                                   "no valid name of a program",
		"canary\n" + strings.Repeat("x", 1000): "no valid name of a program",
	} {
		config, err := json.Marshal(map[string]any{"credsStore": helper, "auths": map[string]any{"r.example.com": map[string]string{"auth": encoded("canary:canary")}}})
		require.NoError(t, err)
		write(t, filepath.Join(k.dir, "config.json"), string(config))
		found, err := k.lookup(t.Context(), "r.example.com")
		assert.Nil(t, found, helper)
		assert.ErrorContains(t, err, want, helper)
		if err != nil && helper[0] != 'c' {
			assert.NotContains(t, err.Error(), "canary")
		}
		assert.Less(t, len(err.Error()), 250)
	}
	write(t, filepath.Join(k.dir, "config.json"), `{"credsStore": "silent"}`)
	found, err := k.lookup(t.Context(), "r.example.com")
	require.NoError(t, err)
	assert.Equal(t, "silent", found.Username, "scripts leave the server out")
}

func TestHelpersAreNeverAskedForMoreThanAServer(t *testing.T) {
	k := newKeychain(t, map[string]string{"good.example.com": "me:secret"})
	write(t, filepath.Join(k.dir, "config.json"), `{"credsStore": "store"}`)
	for _, registry := range []string{"", "good.exa\nmple.com", "good.example.com\n", "good.example.com\r", "good.example.com\x00", "good example.com",
		"good.example.com/", "https://good.example.com", "good.example.com?", "me@good.example.com", "gööd.example.com", "\u202egood", strings.Repeat("a", 600)} {
		found, err := k.lookup(t.Context(), registry)
		assert.Nil(t, found, "%q", registry)
		assert.ErrorContains(t, err, "no valid name", "%q", registry)
		assert.NotContains(t, err.Error(), "\n")
	}
	assert.Empty(t, k.asked(t))
	found, err := k.lookup(t.Context(), "good.example.com")
	require.NoError(t, err)
	assert.Equal(t, "secret", found.Password)
	_, err = k.lookup(t.Context(), "docker.io")
	require.NoError(t, err)
	_, err = k.lookup(t.Context(), "[::1]:5000")
	require.NoError(t, err)
	asked := k.asked(t)
	require.Len(t, asked, 9)
	assert.Equal(t, []string{"get", `"good.example.com"`}, asked[:2])
	assert.Equal(t, []string{"get", `"` + hub + `"`}, asked[3:5])
	assert.Equal(t, []string{"get", `"[::1]:5000"`}, asked[6:8])
}

func TestDamagedConfigurationIsNotNoCredentials(t *testing.T) {
	k := newKeychain(t, nil)
	found, err := k.lookup(t.Context(), "r.example.com")
	require.NoError(t, err)
	assert.Nil(t, found, "there is no file")
	path := filepath.Join(k.dir, "config.json")
	for content, want := range map[string]string{
		`{"auths": canary`:                "damaged",
		`{"auths": "canary"}`:             "damaged",
		`{"credsStore": 7}`:               "damaged",
		`{"credHelpers": ["canary"]}`:     "damaged",
		strings.Repeat(" ", maxFile+1):    "larger than",
		"\xff\xfe" + `{"auths":"canary"}`: "damaged",
	} {
		write(t, path, content)
		_, err := k.lookup(t.Context(), "r.example.com")
		assert.ErrorContains(t, err, want)
		assert.ErrorContains(t, err, path)
		assert.NotContains(t, err.Error(), "canary")
	}
	require.NoError(t, os.Remove(path))
	require.NoError(t, os.Symlink(path, path))
	_, err = k.lookup(t.Context(), "r.example.com")
	assert.ErrorContains(t, err, path)
	assert.NotErrorIs(t, err, fs.ErrNotExist)
	k.env = map[string]string{}
	_, err = Lookup(t.Context(), func(string) string { return "" }, func() (string, error) { return "", fs.ErrPermission }, "r.example.com")
	assert.ErrorIs(t, err, fs.ErrPermission)
}

// FuzzCredentials checks that no configuration makes looking up panic, take the
// credentials of another registry, or show a part of them in an error: "secret" and
// what it is in base64 stand for what must not be shown.
func FuzzCredentials(f *testing.F) {
	f.Add(`{"auths":{"r.example.com":{"auth":"bWU6c2VjcmV0"}}}`, "r.example.com")
	f.Add(`{"auths":{"https://r.example.com/v1/":{"identitytoken":"x"}}}`, "r.example.com")
	f.Add(`{"auths":{"r.example.com":{"auth":"bWU6c2VjcmV0"}},"credHelpers":{"r.example.com":"no/where"}}`, "R.example.com")
	f.Add(`{"auths":{"r.example.com":{"auth":"bWU6c2VjcmV0 secret","password":["secret"]}}}`, "r.example.com")
	f.Add(`{"auths":{"r.example.com":{"auth":"secret"}}}`, "r.example.com")
	f.Add(`{"auths":["secret"]}`, "r.example.com")
	f.Add(`{}`, "r.example.com")
	dir := f.TempDir()
	const canary = "canary-7c1f"
	encoded := base64.StdEncoding.EncodeToString([]byte("me:" + canary))
	canaries := strings.NewReplacer("secret", canary, "bWU6c2VjcmV0", encoded)
	f.Fuzz(func(t *testing.T, content, registry string) {
		t.Setenv("PATH", dir) // no helpers, which are programs of this machine
		hides := func(err error) {
			if err != nil {
				assert.NotContains(t, err.Error(), canary)
				assert.NotContains(t, err.Error(), encoded)
			}
		}
		write(t, filepath.Join(dir, "config.json"), canaries.Replace(content))
		file, err := Load(dir)
		hides(err)
		if err != nil || file.CredsStore != "" || len(file.CredHelpers) > 0 {
			return // there are none, and their names are shown
		}
		for server := range file.Auths {
			if strings.Contains(server, canary) {
				return // the names of registries are shown
			}
		}
		found, err := Lookup(t.Context(), func(name string) string {
			return map[string]string{"DOCKER_CONFIG": dir}[name]
		}, os.UserHomeDir, registry)
		hides(err)
		if found == nil {
			return
		}
		require.NoError(t, err)
		if registry != "docker.io" {
			assert.Contains(t, []string{found.ServerAddress, hostOf(found.ServerAddress)}, registry)
		} else {
			assert.Equal(t, hub, found.ServerAddress)
		}
	})
}
