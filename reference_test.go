package swarm_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/swarm-go/swarm"
)

func TestImageReferencesAreTakenApart(t *testing.T) {
	for text, want := range map[string]struct {
		swarm.ImageReference
		text string
	}{
		"nginx":                            {swarm.ImageReference{Registry: "docker.io", Repository: "library/nginx"}, "nginx"},
		"docker.io/library/nginx:1":        {swarm.ImageReference{Registry: "docker.io", Repository: "library/nginx", Tag: "1"}, "nginx:1"},
		"index.docker.io/team/web":         {swarm.ImageReference{Registry: "docker.io", Repository: "team/web"}, "team/web"},
		"localhost/web":                    {swarm.ImageReference{Registry: "localhost", Repository: "web"}, "localhost/web"},
		"r.example.com:5000/team/web:1":    {swarm.ImageReference{Registry: "r.example.com:5000", Repository: "team/web", Tag: "1"}, "r.example.com:5000/team/web:1"},
		"nginx@" + digest:                  {swarm.ImageReference{Registry: "docker.io", Repository: "library/nginx", Digest: digest}, "nginx@" + digest},
		"nginx:1.29@" + digest:             {swarm.ImageReference{Registry: "docker.io", Repository: "library/nginx", Tag: "1.29", Digest: digest}, "nginx:1.29@" + digest},
		"r.example.com/library/nginx:1.29": {swarm.ImageReference{Registry: "r.example.com", Repository: "library/nginx", Tag: "1.29"}, "r.example.com/library/nginx:1.29"},
	} {
		ref, err := swarm.ParseImageReference(text)
		require.NoError(t, err, text)
		assert.Equal(t, want.ImageReference, ref, text)
		assert.Equal(t, want.text, ref.String())
	}
}

func TestWhatIsNoImageReferenceIsInvalid(t *testing.T) {
	for _, text := range []string{"", "Nginx", "nginx:", "nginx:a b", "nginx@sha256:12", "a//b", "http://nginx", digest[len("sha256:"):]} {
		_, err := swarm.ParseImageReference(text)
		assert.ErrorIs(t, err, swarm.ErrInvalid, text)
	}
}

func FuzzParseImageReference(f *testing.F) {
	for _, text := range []string{"nginx", "docker.io/library/library/nginx:1", "r:5/a/b:c@" + digest, "a.b/c", "localhost/x", "library/library"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		ref, err := swarm.ParseImageReference(text)
		if err != nil {
			assert.ErrorIs(t, err, swarm.ErrInvalid)
			return
		}
		again, err := swarm.ParseImageReference(ref.String())
		require.NoError(t, err, "%q became %q", text, ref)
		assert.Equal(t, ref, again, "%q became %q", text, ref)
		assert.True(t, ref.Matches(ref))
	})
}

func TestImagesMatchWhatAReferenceAsksFor(t *testing.T) {
	other := "sha256:" + digest[len("sha256:a"):] + "0"
	for _, row := range []struct {
		reference, image string
		want             bool
	}{
		{"nginx", "nginx", true},
		{"nginx", "docker.io/library/nginx:1.29@" + digest, true},
		{"nginx", "team/nginx", false},
		{"nginx", "r.example.com/nginx", false},
		{"nginx:1.29", "nginx:1.29@" + digest, true},
		{"nginx:1.29", "nginx:1.28", false},
		{"nginx:1.29", "nginx@" + digest, false},
		{"nginx:latest", "nginx", true},
		{"nginx:latest", "nginx@" + digest, false},
		{"nginx@" + digest, "nginx:1.29@" + digest, true},
		{"nginx@" + digest, "nginx@" + other, false},
		{"nginx@" + digest, "nginx:1.29", false},
		{"nginx:1.29@" + digest, "nginx:1.29@" + digest, true},
		{"nginx:1.29@" + digest, "nginx:1.28@" + digest, false},
	} {
		reference, err := swarm.ParseImageReference(row.reference)
		require.NoError(t, err)
		image, err := swarm.ParseImageReference(row.image)
		require.NoError(t, err)
		assert.Equal(t, row.want, reference.Matches(image), "%s and %s", row.reference, row.image)
	}
}
