//go:build integration

package integration

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/swarm-go/swarm"
	"github.com/swarm-go/swarm/integration/engines"
)

// withRegistry runs a test on two engines of each version that are a swarm, with a
// registry on the network of both. The first engine has the test images.
func withRegistry(t *testing.T, test func(t *testing.T, nodes []member, registry *engines.Registry)) {
	t.Helper()
	if withoutLab(t) {
		return
	}
	for _, version := range testEngines() {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			nodes := startMembers(t, version, version)
			formSwarm(t, 1, nodes)
			require.NoError(t, nodes[0].LoadImages(t.Context()))
			registry, err := nodes[0].StartRegistry(t.Context())
			require.NoError(t, err)
			t.Cleanup(func() { assert.NoError(t, registry.Close()) })
			for _, node := range nodes {
				require.NoError(t, registry.Trust(node.Engine))
			}
			test(t, nodes, registry)
		})
	}
}

// push puts an image of an engine into the registry.
func push(t *testing.T, m member, registry *engines.Registry, image, repository, tag string) {
	t.Helper()
	query := url.Values{"repo": {registry.Addr + "/" + repository}, "tag": {tag}}
	require.NoError(t, m.Call(t.Context(), http.MethodPost, "/images/"+image+"/tag?"+query.Encode(), nil, nil))
	// The header that the library makes is what pushing takes, too.
	var header string
	client := newClient(t, m.Engine, swarm.WithRoundTripper(func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			if r.Header.Get("X-Registry-Auth") != "" {
				header = r.Header.Get("X-Registry-Auth")
			}
			return next.RoundTrip(r)
		})
	}))
	_, err := client.System.InspectDistribution(t.Context(), registry.Addr+"/"+repository+":"+tag, &swarm.DistributionInspectOptions{AuthFrom: userOf(registry)})
	if err != nil {
		require.ErrorContains(t, err, "unknown") // it is not there yet
	}
	require.NotEmpty(t, header)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "/images/"+registry.Addr+"/"+repository+"/push?tag="+tag, nil)
	require.NoError(t, err)
	request.Header.Set("X-Registry-Auth", header)
	response, err := client.Do(request)
	require.NoError(t, err)
	defer response.Body.Close()
	for decoder := json.NewDecoder(response.Body); ; {
		var progress struct{ Error string }
		err := decoder.Decode(&progress)
		if errors.Is(err, io.EOF) {
			return
		}
		require.NoError(t, err)
		require.Empty(t, progress.Error)
	}
}

// userOf has the credentials for a registry, and for no other.
func userOf(registry *engines.Registry) swarm.AuthSource {
	return swarm.StaticAuth(swarm.RegistryAuth{Username: registry.Username, Password: registry.Password, ServerAddress: registry.Addr})
}

// pushList puts a list of images into the registry, which names the image of a tag
// once for each architecture.
func pushList(t *testing.T, m member, registry *engines.Registry, repository, of, tag string, architectures ...string) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{
		DialContext:     m.Dial,
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
	}}
	defer client.CloseIdleConnections()
	ask := func(method, tag, contentType string, body []byte) (*http.Response, []byte) {
		request, err := http.NewRequestWithContext(t.Context(), method, "https://"+registry.Addr+"/v2/"+repository+"/manifests/"+tag, bytes.NewReader(body))
		require.NoError(t, err)
		request.SetBasicAuth(registry.Username, registry.Password)
		request.Header.Set("Accept", "application/vnd.docker.distribution.manifest.v2+json")
		request.Header.Set("Content-Type", contentType)
		response, err := client.Do(request)
		require.NoError(t, err)
		defer response.Body.Close()
		answer, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		require.Less(t, response.StatusCode, 300, "%s", answer)
		return response, answer
	}
	response, manifest := ask(http.MethodGet, of, "", nil)
	type platform struct {
		Architecture string `json:"architecture"`
		OS           string `json:"os"`
	}
	type image struct {
		MediaType string   `json:"mediaType"`
		Size      int      `json:"size"`
		Digest    string   `json:"digest"`
		Platform  platform `json:"platform"`
	}
	var images []image
	for _, architecture := range architectures {
		images = append(images, image{response.Header.Get("Content-Type"), len(manifest), fmt.Sprintf("sha256:%x", sha256.Sum256(manifest)), platform{architecture, "linux"}})
	}
	const listType = "application/vnd.docker.distribution.manifest.list.v2+json"
	list, err := json.Marshal(map[string]any{"schemaVersion": 2, "mediaType": listType, "manifests": images})
	require.NoError(t, err)
	ask(http.MethodPut, tag, listType, list)
}

// buildAutoredeploy builds the program once for all tests.
var buildAutoredeploy = sync.OnceValues(func() (string, error) {
	path := filepath.Join(scratch, "autoredeploy")
	out, err := exec.Command("go", "build", "-o", path, "../examples/autoredeploy").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build autoredeploy: %w: %s", err, out)
	}
	return path, nil
})

// autoredeploy lets the program look once, with the credentials for a registry in
// its config.json, and returns what it says.
func autoredeploy(t *testing.T, host string, registry *engines.Registry) string {
	t.Helper()
	program, err := buildAutoredeploy()
	require.NoError(t, err)
	dir := t.TempDir()
	config := fmt.Sprintf(`{"auths": {%q: {"auth": %q}}}`, registry.Addr, basic(registry.Username+":"+registry.Password))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "config.json"), []byte(config), 0o600))
	cmd := exec.CommandContext(t.Context(), program, "-host", host, "-once", "-registry-auth")
	cmd.Env = append(os.Environ(), "DOCKER_CONFIG="+dir)
	said, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", said)
	return string(said)
}

func TestPrivateImagesArePinnedAndRunOnOtherNodes(t *testing.T) {
	t.Parallel()
	withRegistry(t, func(t *testing.T, nodes []member, registry *engines.Registry) {
		push(t, nodes[0], registry, engines.Image1, "team/web", "1")
		push(t, nodes[0], registry, engines.Image2, "team/web", "2")
		image := registry.Addr + "/team/web:1"
		bare := nodes[0].client
		client := newClient(t, nodes[0].Engine, swarm.WithRegistryAuth(userOf(registry)))

		first, err := client.System.ResolveImage(t.Context(), image, nil)
		require.NoError(t, err)
		assert.Equal(t, image+"@"+first.Digest, first.Reference)
		assert.True(t, first.Changed)
		assert.Equal(t, []swarm.Platform{{Architecture: "amd64", OS: "linux"}}, onAMD64(first.Platforms))
		again, err := client.System.ResolveImage(t.Context(), first.Reference, nil)
		require.NoError(t, err)
		assert.Equal(t, &swarm.ResolvedImage{Reference: first.Reference, Digest: first.Digest, Platforms: first.Platforms}, again)
		_, err = client.System.ResolveImage(t.Context(), registry.Addr+"/team/web:nothing", nil)
		assert.ErrorIs(t, err, swarm.ErrNotFound)
		refused := func(err error) {
			t.Helper()
			assert.ErrorIs(t, err, swarm.ErrUnauthorized)
			assert.NotErrorIs(t, err, swarm.ErrUnavailable)
		}
		_, err = bare.System.ResolveImage(t.Context(), image, nil)
		refused(err)
		wrong := swarm.RegistryAuth{Username: registry.Username, Password: "wrong", ServerAddress: registry.Addr}
		_, err = bare.System.ResolveImage(t.Context(), image, &swarm.DistributionInspectOptions{Auth: &wrong})
		refused(err)
		locked := errors.New("the keychain is locked")
		fails := func(context.Context, string) (*swarm.RegistryAuth, error) { return nil, locked }
		_, err = bare.System.ResolveImage(t.Context(), image, &swarm.DistributionInspectOptions{AuthFrom: fails})
		assert.ErrorIs(t, err, swarm.ErrCredentials)
		assert.ErrorIs(t, err, locked)

		onSecond := func(name string) swarm.ServiceSpec {
			spec := testSpec(name, "-lines", "1")
			spec.TaskTemplate.ContainerSpec.Image = image
			spec.TaskTemplate.Placement = &swarm.Placement{Constraints: []string{"node.id==" + nodes[1].nodeID(t)}}
			return spec
		}
		// Without credentials: nothing is made, or what is made cannot run, and both
		// say why.
		_, err = bare.Services.Create(t.Context(), onSecond("refused"), &swarm.ServiceCreateOptions{Pin: swarm.PinRequired})
		refused(err)
		change, err := bare.Services.Create(t.Context(), onSecond("without"), &swarm.ServiceCreateOptions{Pin: swarm.PinBestEffort})
		require.NoError(t, err)
		refused(change.Pin.Err)
		assert.Equal(t, image, change.Pin.Image)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		err = bare.Services.Wait(ctx, change.Rollout, nil)
		var stopped *swarm.RolloutError
		require.ErrorAs(t, err, &stopped)
		assert.Contains(t, strings.Join(stopped.Progress.Reasons, "\n"), "No such image: "+image)

		// With credentials the second node pulls it.
		change, err = client.Services.Create(t.Context(), onSecond("with"), &swarm.ServiceCreateOptions{Pin: swarm.PinRequired})
		require.NoError(t, err)
		assert.Equal(t, first.Reference, change.Pin.Image)
		require.NoError(t, wait(t, client, change.Rollout))
		before := runningTasks(t, client, "with", 1)
		follows := onSecond("follows")
		follows.PutLabel("autoredeploy", "true")
		change, err = client.Services.Create(t.Context(), follows, &swarm.ServiceCreateOptions{Pin: swarm.PinRequired})
		require.NoError(t, err)
		require.NoError(t, wait(t, client, change.Rollout))
		assert.Empty(t, autoredeploy(t, nodes[0].Host, registry), "the tag has not moved")
		change, err = client.Services.SetImage(t.Context(), "with", image, &swarm.ServiceModifyOptions{Pin: swarm.PinRequired})
		require.NoError(t, err)
		assert.False(t, change.Changed, "the tag has not moved")
		assert.Equal(t, before, runningTasks(t, client, "with", 1))

		// The tag moves.
		push(t, nodes[0], registry, engines.Image2, "team/web", "1")
		change, err = client.Services.Redeploy(t.Context(), "with", &swarm.ServiceModifyOptions{Pin: swarm.PinRequired})
		require.NoError(t, err)
		assert.True(t, change.Changed)
		assert.NotEqual(t, first.Digest, change.Pin.Digest)
		require.NoError(t, wait(t, client, change.Rollout))
		service, err := client.Services.Inspect(t.Context(), "with")
		require.NoError(t, err)
		assert.Equal(t, image+"@"+change.Pin.Digest, service.Spec.TaskTemplate.ContainerSpec.Image)
		assert.Equal(t, first.Platforms, service.Spec.TaskTemplate.Placement.Platforms)
		assert.Contains(t, autoredeploy(t, nodes[0].Host, registry), "redeployed")
		service, err = client.Services.Inspect(t.Context(), "follows")
		require.NoError(t, err)
		assert.Equal(t, image+"@"+change.Pin.Digest, service.Spec.TaskTemplate.ContainerSpec.Image)

		// Platforms come and go with the image, but for those that are chosen.
		here := first.Platforms[0].Architecture
		pushList(t, nodes[0], registry, "team/web", "1", "list", here, "s390x")
		list := registry.Addr + "/team/web:list"
		for _, row := range []struct {
			image        string
			choose, want []swarm.Platform
		}{
			{image: list, want: []swarm.Platform{{Architecture: here, OS: "linux"}, {Architecture: "s390x", OS: "linux"}}},
			{image: image, want: first.Platforms},
			{image: list, choose: []swarm.Platform{{OS: "linux"}}, want: []swarm.Platform{{OS: "linux"}}},
			{image: image, want: []swarm.Platform{{OS: "linux"}}},
		} {
			_, err = client.Services.Modify(t.Context(), "with", func(service *swarm.Service) error {
				service.Spec.TaskTemplate.ContainerSpec.Image = row.image
				if row.choose != nil {
					service.Spec.TaskTemplate.Placement.Platforms = row.choose
				}
				return nil
			}, &swarm.ServiceModifyOptions{Pin: swarm.PinRequired})
			require.NoError(t, err)
			service, err := client.Services.Inspect(t.Context(), "with")
			require.NoError(t, err)
			assert.Equal(t, row.want, service.Spec.TaskTemplate.Placement.Platforms, "%s", row.image)
		}

		// The credentials of the previous spec are taken, instead of those that are
		// stored with the current one.
		push(t, nodes[0], registry, engines.Image2, "team/other", "1")
		none := onSecond("previous")
		none.Mode = swarm.Replicated(0)
		_, err = client.Services.Create(t.Context(), none, nil)
		require.NoError(t, err)
		_, err = bare.Services.SetImage(t.Context(), "previous", registry.Addr+"/team/other:1", &swarm.ServiceModifyOptions{Auth: &wrong})
		require.NoError(t, err)
		change, err = bare.Services.Scale(t.Context(), "previous", 1, &swarm.ServiceModifyOptions{AuthFromPreviousSpec: true})
		require.NoError(t, err)
		require.NoError(t, wait(t, client, change.Rollout))

		// And the service that could not pull can, given the credentials.
		change, err = client.Services.Redeploy(t.Context(), "without", nil)
		require.NoError(t, err)
		require.NoError(t, wait(t, client, change.Rollout))
	})
}

// onAMD64 makes the platforms of a machine those of another.
func onAMD64(platforms []swarm.Platform) []swarm.Platform {
	var others []swarm.Platform
	for _, p := range platforms {
		others = append(others, swarm.Platform{Architecture: strings.ReplaceAll(p.Architecture, "arm64", "amd64"), OS: p.OS})
	}
	return others
}
