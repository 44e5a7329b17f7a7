package swarm

import (
	"cmp"

	"github.com/distribution/reference"
)

// ImageReference is what an image is called, taken apart.
type ImageReference struct {
	// Registry is where the image comes from, such as registry.example.com:5000;
	// docker.io for Docker Hub.
	Registry string
	// Repository is the image's name there, such as team/web; images of Docker
	// Hub without an owner belong to library: library/nginx.
	Repository string
	// Tag is the tag, such as 1.29. Empty if there is none: engines take
	// "latest" then, unless there is a digest.
	Tag string
	// Digest is the digest, "sha256:…". Empty if there is none. With one, the tag
	// says nothing about what is run.
	Digest string
}

// ParseImageReference reads what a ContainerSpec takes as Image, by the grammar
// that engines use: "nginx", "nginx:1.29", "registry.example.com:5000/team/web",
// each of them with "@sha256:…" behind it or not. Nothing else is an image: an ID
// as the docker command prints it is [ErrInvalid].
func ParseImageReference(text string) (ImageReference, error) {
	named, err := reference.ParseNormalizedNamed(text)
	if err != nil {
		return ImageReference{}, invalid("parse image reference", clip(text, 64), "%v", err)
	}
	ref := ImageReference{Registry: reference.Domain(named), Repository: reference.Path(named)}
	if tagged, ok := named.(reference.Tagged); ok {
		ref.Tag = tagged.Tag()
	}
	if digested, ok := named.(reference.Digested); ok {
		ref.Digest = digested.Digest().String()
	}
	return ref, nil
}

// String is the reference as people write it, and as engines take it: without
// docker.io and library where these are understood.
func (r ImageReference) String() string {
	text := r.Registry + "/" + r.Repository
	if named, err := reference.ParseNormalizedNamed(text); err == nil {
		text = reference.FamiliarName(named)
	}
	if r.Tag != "" {
		text += ":" + r.Tag
	}
	if r.Digest != "" {
		text += "@" + r.Digest
	}
	return text
}

// Matches reports whether an image is what the reference asks for: of the same
// repository, and of its tag and its digest as far as it has such. The reference
// nginx matches nginx:1.29, nginx:1.29 matches nginx:1.29@sha256:…, not the other
// way round. An image with neither has the tag latest.
func (r ImageReference) Matches(image ImageReference) bool {
	if image.Digest == "" {
		image.Tag = cmp.Or(image.Tag, "latest")
	}
	return r.Registry == image.Registry && r.Repository == image.Repository &&
		(r.Tag == "" || r.Tag == image.Tag) && (r.Digest == "" || r.Digest == image.Digest)
}
