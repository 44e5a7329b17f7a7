package swarm_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/swarm-go/swarm"
	"github.com/swarm-go/swarm/swarmtest"
)

const (
	digest1 = "sha256:1111111111111111111111111111111111111111111111111111111111111111"
	digest2 = "sha256:2222222222222222222222222222222222222222222222222222222222222222"
	digest3 = "sha256:3333333333333333333333333333333333333333333333333333333333333333"
)

func linux(architectures ...string) []swarm.Platform {
	var platforms []swarm.Platform
	for _, architecture := range architectures {
		platforms = append(platforms, swarm.Platform{Architecture: architecture, OS: "linux"})
	}
	return platforms
}

func TestImagesAreResolvedToWhatTheirRegistryHas(t *testing.T) {
	engine := swarmtest.Start(t, swarmtest.WithoutUnknownImages())
	engine.Image("nginx", swarmtest.Image{Digest: digest1, Platforms: linux("amd64", "arm64")})
	engine.Image("registry.example.com/web:1", swarmtest.Image{Digest: digest2, Platforms: linux("amd64"), Username: "me", Password: "p"})
	client := engine.Client()
	auth := &swarm.DistributionInspectOptions{Auth: &swarm.RegistryAuth{Username: "me", Password: "p"}}
	for image, want := range map[string]swarm.ResolvedImage{
		"nginx":                   {Reference: "nginx:latest@" + digest1, Digest: digest1, Platforms: linux("amd64", "arm64"), Changed: true},
		"nginx:latest":            {Reference: "nginx:latest@" + digest1, Digest: digest1, Platforms: linux("amd64", "arm64"), Changed: true},
		"docker.io/library/nginx": {Reference: "nginx:latest@" + digest1, Digest: digest1, Platforms: linux("amd64", "arm64"), Changed: true},
		"nginx:latest@" + digest1: {Reference: "nginx:latest@" + digest1, Digest: digest1, Platforms: linux("amd64", "arm64")},
		"docker.io/library/nginx:latest@" + digest1: {Reference: "docker.io/library/nginx:latest@" + digest1, Digest: digest1, Platforms: linux("amd64", "arm64")},
		"registry.example.com/web:1":                {Reference: "registry.example.com/web:1@" + digest2, Digest: digest2, Platforms: linux("amd64"), Changed: true},
	} {
		got, err := client.System.ResolveImage(t.Context(), image, auth)
		require.NoError(t, err, image)
		assert.Equal(t, &want, got, image)
	}
	for image, want := range map[string]error{
		"nginx:2":                       swarm.ErrNotFound,
		"nginx:latest@" + digest2:       swarm.ErrNotFound,
		"Nginx":                         swarm.ErrInvalid,
		"":                              swarm.ErrInvalid,
		strings.Repeat("a", 64):         swarm.ErrInvalid,
		"elsewhere.example.com/nothing": swarm.ErrUnavailable,
	} {
		_, err := client.System.ResolveImage(t.Context(), image, nil)
		assert.ErrorIs(t, err, want, image)
	}
	_, err := client.System.ResolveImage(t.Context(), "registry.example.com/web:1", nil)
	assert.ErrorIs(t, err, swarm.ErrUnauthorized)
	assert.NotErrorIs(t, err, swarm.ErrUnavailable)
}

func TestPlatformsAreThoseThatTheSchedulerCompares(t *testing.T) {
	answer := func(digest string, platforms string) []byte {
		return says(200, `{"Descriptor":{"mediaType":"m","digest":"`+digest+`","size":1},"Platforms":`+platforms+`}`)
	}
	e, client := newScriptedEngine(t, "1.51")
	for platforms, want := range map[string][]swarm.Platform{
		`[]`:   nil,
		`null`: nil,
		`[{"architecture":"unknown","os":"unknown"}]`:                                              nil,
		`[{"architecture":"amd64","os":"linux"},{"architecture":"unknown","os":"unknown"}]`:        linux("amd64"),
		`[{"architecture":"arm","os":"linux","variant":"v6"},{"architecture":"ARM","os":"linux"}]`: linux(""),
		`[{"architecture":"","os":""}]`:                                                            nil,
		`[{"architecture":"amd64","os":"linux"},{"architecture":"amd64","os":"linux"},{"architecture":"amd64","os":"windows"}]`: {
			{Architecture: "amd64", OS: "linux"}, {Architecture: "amd64", OS: "windows"}},
	} {
		e.answer("GET /distribution/nginx:1/json", answer(digest1, platforms))
		resolved, err := client.System.ResolveImage(t.Context(), "nginx:1", nil)
		require.NoError(t, err)
		assert.Equal(t, want, resolved.Platforms, platforms)
	}
	for _, digest := range []string{"canary", "sha256:1", strings.ToUpper(digest1), digest1 + "@" + digest1} {
		e.answer("GET /distribution/nginx:1/json", answer(digest, `[]`))
		_, err := client.System.ResolveImage(t.Context(), "nginx:1", nil)
		assert.ErrorIs(t, err, swarm.ErrProtocol, digest)
	}
	e.answer("GET /distribution/nginx@"+digest1+"/json", answer(digest2, `[]`))
	_, err := client.System.ResolveImage(t.Context(), "nginx@"+digest1, nil)
	assert.ErrorIs(t, err, swarm.ErrProtocol)
}

// pinning is an engine whose registry has some images.
func pinning(t *testing.T) (*swarmtest.Engine, *swarm.Client) {
	engine := swarmtest.Start(t, swarmtest.WithoutUnknownImages())
	engine.Image("web:1", swarmtest.Image{Digest: digest1, Platforms: linux("amd64")})
	engine.Image("web:2", swarmtest.Image{Digest: digest2, Platforms: linux("amd64", "arm64")})
	engine.Image("broken:1", swarmtest.Image{PullError: "the registry burns"})
	return engine, engine.Client()
}

// runs returns the image and the platforms of a service.
func runs(t *testing.T, client *swarm.Client, ref string) (string, []swarm.Platform) {
	t.Helper()
	service, err := client.Services.Inspect(t.Context(), ref)
	require.NoError(t, err)
	if service.Spec.TaskTemplate.Placement == nil {
		return service.Spec.TaskTemplate.ContainerSpec.Image, nil
	}
	return service.Spec.TaskTemplate.ContainerSpec.Image, service.Spec.TaskTemplate.Placement.Platforms
}

func TestNewServicesArePinnedAsAskedFor(t *testing.T) {
	mine := []swarm.Platform{{OS: "linux"}}
	for name, row := range map[string]struct {
		image     string
		platforms []swarm.Platform
		pin       swarm.PinMode
		want      swarm.ImagePin
		asks      bool
		err       string // of best effort, or of the call
	}{
		"off":                     {image: "web:1"},
		"best effort":             {image: "web:1", pin: swarm.PinBestEffort, asks: true, want: swarm.ImagePin{Image: "web:1@" + digest1, Digest: digest1, Platforms: linux("amd64"), PlatformsChanged: true}},
		"required":                {image: "web:2", pin: swarm.PinRequired, asks: true, want: swarm.ImagePin{Image: "web:2@" + digest2, Digest: digest2, Platforms: linux("amd64", "arm64"), PlatformsChanged: true}},
		"platforms of the user":   {image: "web:1", platforms: mine, pin: swarm.PinRequired, asks: true, want: swarm.ImagePin{Image: "web:1@" + digest1, Digest: digest1, Platforms: mine}},
		"digest of the user":      {image: "web:1@" + digest1, pin: swarm.PinRequired, asks: true, want: swarm.ImagePin{Image: "web:1@" + digest1, Digest: digest1, Platforms: linux("amd64"), PlatformsChanged: true}},
		"all of the user":         {image: "web:1@" + digest2, platforms: mine, pin: swarm.PinRequired},
		"failing best effort":     {image: "broken:1", pin: swarm.PinBestEffort, asks: true, want: swarm.ImagePin{Image: "broken:1"}, err: "the registry burns"},
		"failing, with platforms": {image: "broken:1", platforms: mine, pin: swarm.PinBestEffort, asks: true, want: swarm.ImagePin{Image: "broken:1", Platforms: mine}, err: "the registry burns"},
		"failing":                 {image: "broken:1", pin: swarm.PinRequired, asks: true, err: "create service x: inspect image in registry broken:1: the registry burns"},
		"missing":                 {image: "web:3", pin: swarm.PinRequired, asks: true, err: "manifest unknown"},
	} {
		t.Run(name, func(t *testing.T) {
			engine, client := pinning(t)
			spec := imageSpec("x", row.image)
			if row.platforms != nil {
				spec.TaskTemplate.Placement = &swarm.Placement{Constraints: []string{"node.role==manager"}, Platforms: row.platforms}
			}
			before := fmt.Sprint(asText(t, spec))
			change, err := client.Services.Create(t.Context(), spec, &swarm.ServiceCreateOptions{Pin: row.pin})
			assert.Equal(t, before, asText(t, spec), "the caller's spec")
			asked := 0
			for _, request := range engine.Requests() {
				if strings.Contains(request.Path, "/distribution/") {
					asked++
				}
			}
			assert.Equal(t, map[bool]int{true: 1}[row.asks], asked)
			if row.pin == swarm.PinRequired && row.err != "" {
				assert.ErrorContains(t, err, row.err)
				assert.Empty(t, engine.Changes()[len(engine.Changes())-1].Name)
				return
			}
			require.NoError(t, err)
			if !row.asks {
				assert.Nil(t, change.Pin)
				image, platforms := runs(t, client, "x")
				assert.Equal(t, row.image, image)
				assert.Equal(t, row.platforms, platforms)
				return
			}
			row.want.Asked = row.image
			if row.err != "" {
				assert.ErrorContains(t, change.Pin.Err, row.err)
				row.want.Err = change.Pin.Err
			}
			assert.Equal(t, &row.want, change.Pin)
			image, platforms := runs(t, client, "x")
			assert.Equal(t, row.want.Image, image)
			assert.Equal(t, row.want.Platforms, platforms)
			assert.Equal(t, image, change.Rollout.Spec.TaskTemplate.ContainerSpec.Image)
		})
	}
}

func asText(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	require.NoError(t, err)
	return string(text)
}

func TestChangedImagesArePinnedWithTheirOwnPlatforms(t *testing.T) {
	engine, client := pinning(t)
	required, effort := &swarm.ServiceModifyOptions{Pin: swarm.PinRequired}, &swarm.ServiceModifyOptions{Pin: swarm.PinBestEffort}
	_, err := client.Services.Create(t.Context(), imageSpec("x", "web:1"), &swarm.ServiceCreateOptions{Pin: swarm.PinRequired})
	require.NoError(t, err)
	is := func(image string, platforms ...swarm.Platform) {
		t.Helper()
		gotImage, gotPlatforms := runs(t, client, "x")
		assert.Equal(t, image, gotImage)
		assert.Equal(t, platforms, gotPlatforms)
	}
	change, err := client.Services.SetImage(t.Context(), "x", "web:2", required)
	require.NoError(t, err)
	assert.Equal(t, &swarm.ImagePin{Asked: "web:2", Image: "web:2@" + digest2, Digest: digest2, Platforms: linux("amd64", "arm64"), PlatformsChanged: true}, change.Pin)
	is("web:2@"+digest2, linux("amd64", "arm64")...)

	change, err = client.Services.SetImage(t.Context(), "x", "web:2", required)
	require.NoError(t, err)
	assert.False(t, change.Changed, "the registry still has the same")
	assert.Equal(t, "web:2@"+digest2, change.Pin.Image)
	change, err = client.Services.Modify(t.Context(), "x", func(s *swarm.Service) error {
		s.Spec.Labels = map[string]string{"a": "b"}
		return nil
	}, required)
	require.NoError(t, err)
	assert.Nil(t, change.Pin, "it is pinned")
	is("web:2@"+digest2, linux("amd64", "arm64")...)

	engine.Image("web:2", swarmtest.Image{Digest: digest1, Platforms: linux("arm64", "amd64")})
	change, err = client.Services.SetImage(t.Context(), "x", "web:2", required)
	require.NoError(t, err)
	assert.True(t, change.Changed, "the tag has moved")
	is("web:2@"+digest1, linux("arm64", "amd64")...)

	_, err = client.Services.SetImage(t.Context(), "x", "broken:1", required)
	assert.ErrorContains(t, err, "set image of service x: inspect image in registry broken:1: the registry burns")
	is("web:2@"+digest1, linux("arm64", "amd64")...)
	change, err = client.Services.SetImage(t.Context(), "x", "broken:1", effort)
	require.NoError(t, err)
	assert.ErrorContains(t, change.Pin.Err, "the registry burns")
	assert.True(t, change.Pin.PlatformsChanged)
	is("broken:1") // those of the other image would keep it from its nodes

	mine := []swarm.Platform{{OS: "linux"}}
	choose := func(image string, platforms []swarm.Platform, opts *swarm.ServiceModifyOptions) {
		t.Helper()
		_, err := client.Services.Modify(t.Context(), "x", func(s *swarm.Service) error {
			s.Spec.TaskTemplate.ContainerSpec.Image = image
			s.Spec.TaskTemplate.Placement = &swarm.Placement{Platforms: platforms}
			return nil
		}, opts)
		require.NoError(t, err)
	}
	choose("web:1", mine, required)
	is("web:1@"+digest1, mine...)
	choose("web:2", nil, required)
	is("web:2@"+digest1, linux("arm64", "amd64")...)
	choose("web:1", mine, nil)
	is("web:1", mine...)
	_, err = client.Services.SetImage(t.Context(), "x", "web:2", required)
	require.NoError(t, err)
	is("web:2@"+digest1, mine...) // nothing but their user gives platforms to an image without a digest
	_, err = client.Services.SetImage(t.Context(), "x", "web:1", nil)
	require.NoError(t, err)
	is("web:1", mine...) // off: nothing but what was asked for
}

// What runs after a redeployment is no less certain than what ran before it.
func TestRedeployedServicesKeepTheirDigestWhenTheirRegistryCannotBeAsked(t *testing.T) {
	engine, client := pinning(t)
	effort := &swarm.ServiceModifyOptions{Pin: swarm.PinBestEffort}
	_, err := client.Services.Create(t.Context(), imageSpec("x", "web:2"), &swarm.ServiceCreateOptions{Pin: swarm.PinRequired})
	require.NoError(t, err)
	_, err = client.Services.Create(t.Context(), imageSpec("unpinned", "web:2"), nil)
	require.NoError(t, err)
	engine.Image("web:2", swarmtest.Image{PullError: "the registry burns"})

	change, err := client.Services.Redeploy(t.Context(), "x", effort)
	require.NoError(t, err)
	assert.True(t, change.Changed)
	assert.ErrorContains(t, change.Pin.Err, "the registry burns")
	change.Pin.Err = nil
	assert.Equal(t, &swarm.ImagePin{Asked: "web:2", Image: "web:2@" + digest2, Platforms: linux("amd64", "arm64")}, change.Pin)
	image, platforms := runs(t, client, "x")
	assert.Equal(t, "web:2@"+digest2, image)
	assert.Equal(t, linux("amd64", "arm64"), platforms)
	service, err := client.Services.Inspect(t.Context(), "x")
	require.NoError(t, err)
	assert.EqualValues(t, 1, service.Spec.TaskTemplate.ForceUpdate)

	_, err = client.Services.Redeploy(t.Context(), "x", &swarm.ServiceModifyOptions{Pin: swarm.PinRequired})
	assert.ErrorContains(t, err, "the registry burns")
	_, err = client.Services.Redeploy(t.Context(), "unpinned", effort)
	require.NoError(t, err)
	image, _ = runs(t, client, "unpinned")
	assert.Equal(t, "web:2", image, "it had none")
	_, err = client.Services.SetImage(t.Context(), "x", "web:2", effort)
	require.NoError(t, err)
	image, _ = runs(t, client, "x")
	assert.Equal(t, "web:2", image, "as it was asked for")

	engine.Image("web:2", swarmtest.Image{Digest: digest1, Platforms: linux("amd64")})
	for range 2 {
		_, err = client.Services.Redeploy(t.Context(), "x", effort)
		require.NoError(t, err)
		image, platforms = runs(t, client, "x")
		assert.Equal(t, "web:2@"+digest1, image)
		assert.Equal(t, linux("amd64"), platforms)
	}
}

// Whose the platforms beside a digest are, only the registry of that image knows.
func TestPlatformsOfTheAuthorStayBesideADigestToo(t *testing.T) {
	mine := []swarm.Platform{{OS: "linux"}}
	web2 := linux("amd64", "arm64")
	for name, row := range map[string]struct {
		image     string
		platforms []swarm.Platform
		forget    bool // what the image was
		to        string
		want      []swarm.Platform
	}{
		"chosen":                              {"web:1@" + digest1, mine, false, "web:2", mine},
		"chosen, the new image fails":         {"web:1@" + digest1, mine, false, "broken:1", mine},
		"chosen, a new digest":                {"web:1@" + digest1, mine, false, "web:2@" + digest2, mine},
		"chosen, more than there are":         {"web:1@" + digest1, linux("amd64", "s390x"), false, "web:2", linux("amd64", "s390x")},
		"those of the image":                  {"web:1@" + digest1, linux("amd64"), false, "web:2", web2},
		"of the image, the new one fails":     {"web:1@" + digest1, linux("amd64"), false, "broken:1", nil},
		"of the image, in other words":        {"arm:1@" + digest3, []swarm.Platform{{Architecture: "amd64", OS: "linux"}, {Architecture: "unknown", OS: "unknown"}, {Architecture: "arm", OS: "linux"}}, false, "web:2", web2},
		"the image before is gone":            {"web:1@" + digest1, mine, true, "web:2", web2},
		"the image before is in a closed one": {"closed.example.com/web:1@" + digest1, mine, false, "web:2", web2},
		"the image before is in another":      {"open.example.com/web:1@" + digest1, mine, false, "web:2", mine},
	} {
		t.Run(name, func(t *testing.T) {
			engine, _ := pinning(t)
			engine.Image("arm:1", swarmtest.Image{Digest: digest3, Platforms: linux("arm", "amd64")})
			engine.Image("closed.example.com/web:1", swarmtest.Image{Digest: digest1, Platforms: linux("amd64"), Username: "me", Password: "p"})
			engine.Image("open.example.com/web:1", swarmtest.Image{Digest: digest1, Platforms: linux("amd64")})
			log := &authLog{}
			auths := swarm.StaticAuth(swarm.RegistryAuth{Username: "hubber", Password: "p", ServerAddress: "docker.io"})
			client := engine.Client(log.option(), swarm.WithRegistryAuth(auths))
			spec := imageSpec("x", row.image)
			spec.TaskTemplate.Placement = &swarm.Placement{Platforms: row.platforms}
			_, err := client.Services.Create(t.Context(), spec, &swarm.ServiceCreateOptions{Pin: swarm.PinRequired})
			require.NoError(t, err)
			if row.forget {
				engine.Image("web:1", swarmtest.Image{Digest: digest3})
			}
			change, err := client.Services.SetImage(t.Context(), "x", row.to, &swarm.ServiceModifyOptions{Pin: swarm.PinBestEffort})
			require.NoError(t, err)
			assert.Equal(t, row.want, change.Pin.Platforms)
			_, platforms := runs(t, client, "x")
			assert.Equal(t, row.want, platforms)
			for _, sent := range log.take() {
				assert.NotContains(t, sent, "example.com", "credentials for another registry")
			}
		})
	}
}

func TestServicesThatWereReadArePinnedInACopy(t *testing.T) {
	_, client := pinning(t)
	_, err := client.Services.Create(t.Context(), imageSpec("x", "web:1"), nil)
	require.NoError(t, err)
	service, err := client.Services.Inspect(t.Context(), "x")
	require.NoError(t, err)
	service.Spec.TaskTemplate.Placement = &swarm.Placement{Constraints: []string{"node.role==manager"}}
	before := asText(t, service)
	change, err := client.Services.Update(t.Context(), service, &swarm.ServiceUpdateOptions{Pin: swarm.PinRequired})
	require.NoError(t, err)
	assert.Equal(t, before, asText(t, service))
	assert.Equal(t, "web:1@"+digest1, change.Rollout.Spec.TaskTemplate.ContainerSpec.Image)
	image, platforms := runs(t, client, "x")
	assert.Equal(t, "web:1@"+digest1, image)
	assert.Equal(t, linux("amd64"), platforms)
}

func TestPinnedServicesRunWhatTheRegistryHad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engine := swarmtest.Start(t, swarmtest.WithoutUnknownImages())
		engine.Image("registry.example.com/web:1", swarmtest.Image{Digest: digest1, Username: "me", Password: "p"})
		asked := 0
		source := func(_ context.Context, registry string) (*swarm.RegistryAuth, error) {
			asked++
			return &swarm.RegistryAuth{Username: "me", Password: "p", ServerAddress: registry}, nil
		}
		log := &authLog{}
		client := engine.Client(log.option(), swarm.WithRegistryAuth(source))
		change, err := client.Services.Create(t.Context(), imageSpec("web", "registry.example.com/web:1"), &swarm.ServiceCreateOptions{Pin: swarm.PinRequired})
		require.NoError(t, err)
		require.NoError(t, client.Services.Wait(t.Context(), change.Rollout, nil))
		assert.Equal(t, 1, asked, "once for both requests")
		assert.Equal(t, []string{"GET /distribution/registry.example.com/web:1/json me", "POST /services/create me"}, log.take())
		_, err = client.Services.Create(t.Context(), imageSpec("other", "registry.example.com/web:1"),
			&swarm.ServiceCreateOptions{Pin: swarm.PinRequired, AuthFrom: swarm.StaticAuth()})
		assert.ErrorIs(t, err, swarm.ErrUnauthorized)
		change, err = client.Services.Create(t.Context(), imageSpec("other", "registry.example.com/web:1"),
			&swarm.ServiceCreateOptions{Pin: swarm.PinBestEffort, AuthFrom: swarm.StaticAuth()})
		require.NoError(t, err)
		assert.ErrorIs(t, change.Pin.Err, swarm.ErrUnauthorized)
	})
}

func TestAnUpdateThatIsFoundOutSaysWhatItHasPinned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engine, client := pinning(t)
		_, err := client.Services.Create(t.Context(), imageSpec("web", "web:1"), nil)
		require.NoError(t, err)
		fault := engine.Inject(swarmtest.Fault{Method: "POST", Effect: swarmtest.CutAnswer()})
		_, err = client.Services.SetImage(t.Context(), "web", "web:2", &swarm.ServiceModifyOptions{Pin: swarm.PinRequired})
		fault.Remove()
		var lost *swarm.OutcomeUnknownError
		require.ErrorAs(t, err, &lost)
		found, err := lost.Resolve(t.Context())
		require.NoError(t, err)
		require.Equal(t, swarm.OutcomeApplied, found.Outcome)
		assert.Equal(t, &swarm.ImagePin{Asked: "web:2", Image: "web:2@" + digest2, Digest: digest2,
			Platforms: linux("amd64", "arm64"), PlatformsChanged: true}, found.Change.Pin)
	})
}

// The second deployment of a service whose image the registry does not have.
func TestApplyOfAMissingImageFails(t *testing.T) {
	engine, client := pinning(t)
	_, err := client.Services.Create(t.Context(), imageSpec("x", "web:1"), nil)
	require.NoError(t, err)
	_, err = client.Services.Apply(t.Context(), imageSpec("x", "web:3"), &swarm.ServiceModifyOptions{Pin: swarm.PinRequired})
	assert.ErrorIs(t, err, swarm.ErrNotFound)
	assert.ErrorContains(t, err, "manifest unknown")
	image, _ := runs(t, client, "x")
	assert.Equal(t, "web:1", image)
	assert.Zero(t, updates(engine))
}
