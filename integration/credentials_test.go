//go:build integration

package integration

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/swarm-go/swarm"
)

// What credentials the docker command sends for an image, and what this library
// does: the same configurations, the same helpers, the same listener in the place
// of an engine.

func basic(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }

// credentialConfigs are config.json and DOCKER_AUTH_CONFIG of each configuration.
// systemHelpers are programs of the system that are installed beside.
var credentialConfigs = []struct {
	name, file, env string
	mode            os.FileMode
	systemHelpers   []string
}{
	{name: "nothing"},
	{name: "no file, helper of the system", systemHelpers: []string{"docker-credential-secretservice"}},
	{name: "empty lists, helper of the system", file: `{"auths": {}, "credHelpers": {}}`, systemHelpers: []string{"docker-credential-secretservice"}},
	{name: "entry for another", file: `{"auths": {"other.example.com": {}}}`, systemHelpers: []string{"docker-credential-secretservice"}},
	{name: "pass", systemHelpers: []string{"docker-credential-secretservice", "docker-credential-pass", "pass"}},
	{name: "pass without its helper", systemHelpers: []string{"docker-credential-secretservice", "pass"}},
	{name: "readable and writable by all", mode: 0o666, file: `{"auths": {
		"registry.example.com": {"auth": "` + basic("me:p") + `"}}}`},
	{name: "entries", file: `{"auths": {
		"https://index.docker.io/v1/": {"auth": "` + basic("hubber:p?~>") + `"},
		"registry.example.com": {"auth": "` + basic("me:with:colons") + `"},
		"registry.example.com:5000": {"username": "porter", "password": "p"},
		"localhost:5000": {"auth": "` + basic("local:p") + `", "identitytoken": "identity"},
		"127.0.0.1:5000": {"registrytoken": "registry"},
		"[::1]:5000": {"auth": "` + basic("six:p") + `"},
		"empty.example.com": {}}}`},
	{name: "old entries", file: `{"auths": {
		"https://registry.example.com/v1/": {"auth": "` + basic("old:p") + `"},
		"http://registry.example.com:5000/v2/": {"auth": "` + basic("older:p") + `"},
		"localhost:5000/": {"auth": "` + basic("slash:p") + `"},
		"ftp://127.0.0.1:5000": {"auth": "` + basic("odd:p") + `"},
		"docker.io": {"auth": "` + basic("wrong:p") + `"},
		"index.docker.io": {"auth": "` + basic("wrong:p") + `"},
		"https://docker.io/v1/": {"auth": "` + basic("wrong:p") + `"}}}`},
	{name: "one helper", file: `{"credsStore": "store", "auths": {
		"https://index.docker.io/v1/": {},
		"registry.example.com:5000": {"auth": "` + basic("file:p") + `"}}}`},
	{name: "helpers", file: `{"credHelpers": {
		"registry.example.com": "store", "https://index.docker.io/v1/": "store", "docker.io": "fails", "localhost:5000": "",
		"registry.example.com:5000": "store"},
		"auths": {"registry.example.com": {"auth": "` + basic("file:p") + `"}, "localhost:5000": {"auth": "` + basic("file:p") + `"},
		"[::1]:5000": {"auth": "` + basic("file:p") + `"}}}`},
	{name: "both kinds of helper", file: `{"credsStore": "fails", "credHelpers": {"registry.example.com": "store", "https://index.docker.io/v1/": "store"}}`},
	{name: "helper that fails", file: `{"credsStore": "fails", "auths": {"registry.example.com": {"auth": "` + basic("file:p") + `"}}}`},
	{name: "environment", file: `{"credsStore": "store", "auths": {"localhost:5000": {"auth": "` + basic("file:p") + `"}}}`,
		env: `{"auths": {"registry.example.com": {"auth": "` + basic("env:p") + `"}, "https://localhost:5000/": {"auth": "` + basic("env:p") + `"},
		"https://index.docker.io/v1/": {"auth": "` + basic("env:p") + `"}}}`},
}

// credentialStore is what the helper store has.
const credentialStore = `{
	"https://index.docker.io/v1/": {"Username": "stored hubber", "Secret": "s"},
	"docker.io": {"Username": "wrong", "Secret": "s"},
	"registry.example.com": {"Username": "<token>", "Secret": "stored token"},
	"registry.example.com:5000": {"Username": "stored porter", "Secret": "ß?~"}}`

var credentialImages = []string{
	"nginx", "library/nginx:1", "docker.io/library/nginx", "index.docker.io/library/nginx", "team/web@sha256:" + strings.Repeat("a", 64),
	"registry.example.com/web", "registry.example.com:5000/team/web:1", "registry.example.com:443/web", "sub.registry.example.com/web",
	"localhost:5000/web", "127.0.0.1:5000/web", "[::1]:5000/web", "empty.example.com/web", "REGISTRY.example.com/web",
}

// authRecorder takes the place of an engine, and keeps the credentials that came
// with each service.
type authRecorder struct {
	mu   sync.Mutex
	sent map[string]string // by the service's name
}

func (r *authRecorder) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	w.Header().Set("Api-Version", "1.51")
	w.Header().Set("Ostype", "linux")
	w.Header().Set("Content-Type", "application/json")
	header := request.Header.Get("X-Registry-Auth")
	if !strings.HasSuffix(request.URL.Path, "/services/create") {
		if header != "" {
			w.WriteHeader(http.StatusTeapot)
		}
		return
	}
	var spec struct{ Name string }
	_ = json.NewDecoder(request.Body).Decode(&spec)
	r.mu.Lock()
	r.sent[spec.Name] = header
	r.mu.Unlock()
	w.WriteHeader(http.StatusCreated)
	fmt.Fprint(w, `{"ID":"x"}`)
}

// credentials are those that came with a service, decoded; nil if there were none.
func (r *authRecorder) credentials(t *testing.T, service string) map[string]string {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	header, ok := r.sent[service]
	require.True(t, ok, service)
	if header == "" {
		return nil
	}
	decoded, err := base64.URLEncoding.DecodeString(header)
	require.NoError(t, err)
	var fields map[string]string
	require.NoError(t, json.Unmarshal(decoded, &fields))
	if len(fields) == 0 || len(fields) == 1 && fields["serveraddress"] != "" { // nobody's
		return nil
	}
	return fields
}

func TestDockerCommandSendsTheSameCredentials(t *testing.T) {
	docker := dockerCommand(t)
	dir := t.TempDir()
	helper := filepath.Join(dir, "helper")
	output, err := exec.CommandContext(t.Context(), "go", "build", "-o", helper, "../internal/dockerconfig/testdata/helper").CombinedOutput()
	require.NoError(t, err, string(output))
	bin := filepath.Join(dir, "bin")
	require.NoError(t, os.Mkdir(bin, 0o700))
	for _, kind := range []string{"store", "fails"} {
		require.NoError(t, os.Symlink(helper, filepath.Join(bin, "docker-credential-"+kind)))
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "store"), []byte(credentialStore), 0o600))
	searched := bin + ":" + os.Getenv("PATH")
	t.Setenv("HELPER_STORE", filepath.Join(dir, "store"))
	t.Setenv("HELPER_LOG", filepath.Join(dir, "log"))

	recorder := &authRecorder{sent: map[string]string{}}
	listener := httptest.NewServer(recorder)
	defer listener.Close()
	host := strings.Replace(listener.URL, "http://", "tcp://", 1)
	client, err := swarm.New(swarm.WithHost(host), swarm.WithRegistryAuth(swarm.DockerConfigAuth()))
	require.NoError(t, err)
	defer client.Close()

	compared, sent, failed := 0, 0, 0
	for i, config := range credentialConfigs {
		folder := filepath.Join(dir, fmt.Sprint(i))
		require.NoError(t, os.Mkdir(folder, 0o700))
		if config.file != "" {
			path := filepath.Join(folder, "config.json")
			require.NoError(t, os.WriteFile(path, []byte(config.file), 0o600))
			require.NoError(t, os.Chmod(path, cmp.Or(config.mode, 0o600)))
		}
		for _, program := range config.systemHelpers {
			require.NoError(t, os.Symlink(helper, filepath.Join(folder, program)))
		}
		t.Setenv("PATH", folder+":"+searched)
		t.Setenv("DOCKER_CONFIG", folder)
		t.Setenv("DOCKER_AUTH_CONFIG", config.env)
		var commands sync.WaitGroup
		failures := make([]error, len(credentialImages))
		for k, image := range credentialImages {
			commands.Go(func() {
				command := exec.CommandContext(t.Context(), docker, "-H", host, "service", "create", "--detach", "--no-resolve-image",
					"--with-registry-auth", "--name", fmt.Sprintf("docker-%d-%d", i, k), image)
				failures[k] = command.Run()
			})
		}
		commands.Wait()
		for k, image := range credentialImages {
			name := fmt.Sprintf("ours-%d-%d", i, k)
			_, err := client.Services.Create(t.Context(), swarm.ServiceSpec{Name: name,
				TaskTemplate: swarm.TaskSpec{ContainerSpec: swarm.ContainerSpec{Image: image}}}, nil)
			compared++
			if failures[k] != nil {
				failed++
				assert.ErrorContains(t, err, `credential helper "fails": it failed`, "%s: %s", config.name, image)
				assert.NotContains(t, fmt.Sprint(err), "canary", "which is what the docker command prints")
				continue
			}
			require.NoError(t, err, "%s: %s", config.name, image)
			theirs := recorder.credentials(t, fmt.Sprintf("docker-%d-%d", i, k))
			assert.Equal(t, theirs, recorder.credentials(t, name), "%s: %s", config.name, image)
			if theirs != nil {
				sent++
			}
		}
	}
	assert.GreaterOrEqual(t, compared, 60)
	assert.GreaterOrEqual(t, sent, 30)
	assert.GreaterOrEqual(t, failed, 15)
}
