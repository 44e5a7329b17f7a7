package swarm_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/swarm-go/swarm"
	"github.com/swarm-go/swarm/swarmtest"
)

// authLog is which requests carried which credentials.
type authLog struct {
	mu   sync.Mutex
	sent []string // "POST /services/create user", only those with credentials
	all  int
}

func (l *authLog) option() swarm.Option {
	return swarm.WithRoundTripper(func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.all++
			_, path, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
			if from := r.URL.Query().Get("registryAuthFrom"); from != "" {
				l.sent = append(l.sent, fmt.Sprintf("%s /%s as in %s", r.Method, path, from))
			}
			for name, values := range r.Header {
				for _, value := range values {
					if name == "X-Registry-Auth" {
						auth, err := swarm.ParseRegistryAuth(value)
						l.sent = append(l.sent, fmt.Sprintf("%s /%s %s%v", r.Method, path, auth.Username, map[bool]string{true: " " + fmt.Sprint(err)}[err != nil]))
					}
				}
			}
			return next.RoundTrip(r)
		})
	})
}

// take returns what was sent since it was last called.
func (l *authLog) take() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	sent := l.sent
	l.sent = nil
	return sent
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func imageSpec(name, image string) swarm.ServiceSpec {
	return swarm.ServiceSpec{Name: name, TaskTemplate: swarm.TaskSpec{ContainerSpec: swarm.ContainerSpec{Image: image}}}
}

var registryUsers = swarm.StaticAuth(
	swarm.RegistryAuth{Username: "hubber", Password: "p", ServerAddress: "https://index.docker.io/v1/"},
	swarm.RegistryAuth{Username: "me", Password: "p", ServerAddress: "registry.example.com"},
	swarm.RegistryAuth{Username: "porter", Password: "p", ServerAddress: "https://registry.example.com:5000/v2/"},
	swarm.RegistryAuth{Username: "anybody", Password: "p"},
)

func TestCredentialsAreSentOnTheCallsThatTakeThemAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &authLog{}
		client := swarmtest.Start(t).Client(log.option(), swarm.WithRegistryAuth(registryUsers))
		ctx := t.Context()
		change, err := client.Services.Create(ctx, imageSpec("web", "registry.example.com/web:1"), nil)
		require.NoError(t, err)
		id := change.ID
		assert.Equal(t, []string{"POST /services/create me"}, log.take())

		change, err = client.Services.SetImage(ctx, "web", "registry.example.com/web:2", nil)
		require.NoError(t, err)
		require.NoError(t, client.Services.Wait(ctx, change.Rollout, nil))
		assert.Equal(t, []string{"POST /services/" + id + "/update me"}, log.take())
		_, err = client.Services.SetImage(ctx, "web", "registry.example.com/web:2", nil)
		require.NoError(t, err)
		assert.Empty(t, log.take(), "nothing was to be sent")
		change, err = client.Services.Rollback(ctx, "web", nil)
		require.NoError(t, err)
		require.NoError(t, client.Services.Wait(ctx, change.Rollout, nil))
		assert.Empty(t, log.take(), "engines take those of the previous spec")
		service, err := client.Services.Inspect(ctx, "web")
		require.NoError(t, err)
		service.Spec.Labels = map[string]string{"a": "b"}
		_, err = client.Services.Update(ctx, service, nil)
		require.NoError(t, err)
		assert.Equal(t, []string{"POST /services/" + id + "/update me"}, log.take())
		_, err = client.Services.Redeploy(ctx, "web", &swarm.ServiceModifyOptions{AuthFromPreviousSpec: true})
		require.NoError(t, err)
		assert.Equal(t, []string{"POST /services/" + id + "/update as in previous-spec"}, log.take())
		_, err = client.Services.Redeploy(ctx, "web", &swarm.ServiceModifyOptions{AuthFrom: swarm.StaticAuth()})
		require.NoError(t, err)
		assert.Empty(t, log.take(), "the engine keeps what it has")

		_, err = client.System.ResolveImage(ctx, "nginx", nil)
		require.NoError(t, err)
		_, err = client.System.InspectDistribution(ctx, "registry.example.com:5000/web", nil)
		require.NoError(t, err)
		assert.Equal(t, []string{"GET /distribution/nginx:latest/json hubber", "GET /distribution/registry.example.com:5000/web/json porter"}, log.take())

		_, err = client.Services.List(ctx, nil)
		require.NoError(t, err)
		_, err = client.Services.Tasks(ctx, "web")
		require.NoError(t, err)
		_, err = client.Secrets.Create(ctx, swarm.SecretSpec{Name: "s", Data: []byte("s")})
		require.NoError(t, err)
		_, err = client.Nodes.List(ctx, nil)
		require.NoError(t, err)
		_, err = client.System.Info(ctx)
		require.NoError(t, err)
		require.NoError(t, client.Services.Remove(ctx, "web"))
		assert.Empty(t, log.take())
		assert.Greater(t, log.all, 20)
	})
}

func TestCredentialsOfThePreviousSpecAreTaken(t *testing.T) {
	for previous, want := range map[bool]error{true: nil, false: swarm.ErrRolloutPaused} {
		synctest.Test(t, func(t *testing.T) {
			engine := swarmtest.Start(t, swarmtest.WithoutUnknownImages())
			engine.Image("registry.example.com/web:1", swarmtest.Image{Username: "me", Password: "right"})
			engine.Image("registry.example.com/web:2", swarmtest.Image{Username: "me", Password: "right"})
			client := engine.Client()
			right, wrong := &swarm.RegistryAuth{Username: "me", Password: "right"}, &swarm.RegistryAuth{Username: "me", Password: "wrong"}
			change, err := client.Services.Create(t.Context(), imageSpec("web", "registry.example.com/web:1"), &swarm.ServiceCreateOptions{Auth: right})
			require.NoError(t, err)
			require.NoError(t, client.Services.Wait(t.Context(), change.Rollout, nil))
			change, err = client.Services.SetImage(t.Context(), "web", "registry.example.com/web:2", &swarm.ServiceModifyOptions{Auth: wrong})
			require.NoError(t, err)
			assert.ErrorIs(t, client.Services.Wait(t.Context(), change.Rollout, nil), swarm.ErrRolloutPaused)
			change, err = client.Services.Redeploy(t.Context(), "web", &swarm.ServiceModifyOptions{AuthFromPreviousSpec: previous})
			require.NoError(t, err)
			assert.ErrorIs(t, client.Services.Wait(t.Context(), change.Rollout, nil), want)
		})
	}
}

func TestRegistryOfTheImageAloneChoosesTheCredentials(t *testing.T) {
	log := &authLog{}
	client := swarmtest.Start(t).Client(log.option())
	for image, user := range map[string]string{
		"nginx":                                  "hubber",
		"nginx:1":                                "hubber",
		"docker.io/library/nginx":                "hubber",
		"index.docker.io/team/web":               "hubber",
		"team/web":                               "hubber",
		"registry.example.com/web":               "me",
		"registry.example.com/registry.evil/web": "me",
		"registry.example.com:5000/web":          "porter",
		"registry.example.com:443/web":           "",
		"registry.example.com.evil/web":          "",
		"evil-registry.example.com/web":          "",
		"example.com/registry.example.com/web":   "",
		"REGISTRY.example.com/web":               "",
		"localhost/registry.example.com/web":     "",
		"registry-1.docker.io/library/nginx":     "",
		"registry.example.com/web@sha256:" + strings.Repeat("a", 64): "me",
	} {
		_, err := client.Services.Create(t.Context(), imageSpec("", image), &swarm.ServiceCreateOptions{AuthFrom: registryUsers})
		require.NoError(t, err, image)
		if user == "" {
			assert.Empty(t, log.take(), image)
		} else {
			assert.Equal(t, []string{"POST /services/create " + user}, log.take(), image)
		}
	}
}

func TestCredentialsForAnotherRegistryAreRefused(t *testing.T) {
	engine := swarmtest.Start(t)
	client := engine.Client()
	auth := &swarm.RegistryAuth{Username: "me", Password: "canary", ServerAddress: "registry.example.com"}
	wrong := swarm.AuthSource(func(context.Context, string) (*swarm.RegistryAuth, error) { return auth, nil })
	change, err := client.Services.Create(t.Context(), imageSpec("there", "other.example.com/web"), nil)
	require.NoError(t, err)
	before := len(engine.Changes())
	for name, call := range map[string]func() error{
		"create": func() error {
			_, err := client.Services.Create(t.Context(), imageSpec("web", "nginx"), &swarm.ServiceCreateOptions{Auth: auth})
			return err
		},
		"source": func() error {
			_, err := client.Services.Create(t.Context(), imageSpec("web", "nginx"), &swarm.ServiceCreateOptions{AuthFrom: wrong})
			return err
		},
		"both": func() error {
			_, err := client.Services.Create(t.Context(), imageSpec("web", "registry.example.com/web"), &swarm.ServiceCreateOptions{Auth: auth, AuthFrom: wrong})
			return err
		},
		"update": func() error {
			_, err := client.Services.SetImage(t.Context(), change.ID, "other.example.com/web:2", &swarm.ServiceModifyOptions{Auth: auth})
			return err
		},
		"roll back": func() error {
			_, err := client.Services.Redeploy(t.Context(), change.ID, &swarm.ServiceModifyOptions{AuthFrom: wrong})
			return err
		},
		"previous": func() error {
			_, err := client.Services.Redeploy(t.Context(), change.ID, &swarm.ServiceModifyOptions{AuthFrom: wrong, AuthFromPreviousSpec: true})
			return err
		},
		"distribution": func() error {
			_, err := client.System.InspectDistribution(t.Context(), "other.example.com/web", &swarm.DistributionInspectOptions{Auth: auth})
			return err
		},
	} {
		err := call()
		assert.ErrorIs(t, err, swarm.ErrInvalid, name)
		assert.NotErrorIs(t, err, swarm.ErrCredentials, name)
		assert.NotContains(t, fmt.Sprintf("%+v", err), "canary", name)
	}
	asked := 0
	for _, change := range engine.Changes()[before:] {
		if change.Request != 0 {
			asked++
		}
	}
	assert.Zero(t, asked)
}

func TestASourceThatFailsEndsTheCall(t *testing.T) {
	engine := swarmtest.Start(t)
	broken := errors.New("the keychain is locked")
	client := engine.Client(swarm.WithRegistryAuth(func(_ context.Context, registry string) (*swarm.RegistryAuth, error) {
		return nil, fmt.Errorf("%s: %w", registry, broken)
	}))
	for _, pin := range []swarm.PinMode{swarm.PinOff, swarm.PinBestEffort, swarm.PinRequired} {
		_, err := client.Services.Create(t.Context(), imageSpec("web", "registry.example.com:5000/web"), &swarm.ServiceCreateOptions{Pin: pin})
		assert.ErrorIs(t, err, broken)
		assert.ErrorIs(t, err, swarm.ErrCredentials)
		assert.EqualError(t, err, "create service web: find credentials registry.example.com:5000: registry.example.com:5000: the keychain is locked")
	}
	_, err := client.System.ResolveImage(t.Context(), "nginx", nil)
	assert.ErrorIs(t, err, broken)
	assert.ErrorIs(t, err, swarm.ErrCredentials)
	_, err = client.Services.Create(t.Context(), imageSpec("web", "nginx"), &swarm.ServiceCreateOptions{AuthFrom: swarm.StaticAuth()})
	require.NoError(t, err, "the client's source was not asked")
	for _, pin := range []swarm.PinMode{swarm.PinOff, swarm.PinBestEffort} {
		_, err = client.Services.SetImage(t.Context(), "web", "nginx:2", &swarm.ServiceModifyOptions{Pin: pin})
		assert.ErrorIs(t, err, broken)
	}
	service, err := client.Services.Inspect(t.Context(), "web")
	require.NoError(t, err)
	assert.Equal(t, "nginx", service.Spec.TaskTemplate.ContainerSpec.Image)
	_, err = swarm.New(swarm.WithRegistryAuth(nil))
	assert.ErrorContains(t, err, "WithRegistryAuth: nil source")
}

func TestEncodedCredentialsAreReadStrictly(t *testing.T) {
	encode := func(text string) string { return base64.URLEncoding.EncodeToString([]byte(text)) }
	auth, err := swarm.ParseRegistryAuth(encode(`{"username":"me","password":"p???>>>","serveraddress":"registry.example.com","identitytoken":"i","registrytoken":"r","email":"me@example.com"}`))
	require.NoError(t, err)
	assert.Equal(t, swarm.RegistryAuth{Username: "me", Password: "p???>>>", ServerAddress: "registry.example.com", IdentityToken: "i", RegistryToken: "r"}, auth)
	text := `{"username":"canary","password":"??>>??"}`
	for name, header := range map[string]string{
		"empty":           "",
		"nothing in it":   encode(`{}`),
		"standard base64": base64.StdEncoding.EncodeToString([]byte(text)),
		"no padding":      base64.RawURLEncoding.EncodeToString([]byte(text)),
		"newline":         encode(text)[:8] + "\n" + encode(text)[8:],
		"end":             encode(text) + "\r\n",
		"no base64":       text,
		"no JSON":         encode("canary"),
		"other JSON":      encode(`["canary"]`),
		"wrong type":      encode(`{"username":{"canary":1}}`),
		"two":             encode(text + text),
		"long":            encode(`{"username":"` + strings.Repeat("canary", 2000) + `"}`),
	} {
		_, err := swarm.ParseRegistryAuth(header)
		assert.ErrorIs(t, err, swarm.ErrInvalid, name)
		assert.NotContains(t, fmt.Sprintf("%+v", err), "canary", name)
		if header != "" {
			assert.NotContains(t, fmt.Sprintf("%+v", err), header, name)
		}
	}
}
