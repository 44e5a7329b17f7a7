package engine

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/distribution/reference"

	"github.com/swarm-go/swarm"
)

// Image is what there is behind an image reference.
type Image struct {
	// Run is what a container of the image does: it runs until it returns the
	// exit code. Nil runs until it is stopped, and exits with 0.
	Run func(*Container) int
	// PullTime is how long a node takes to pull the image, once.
	PullTime time.Duration
	// PullError, if set, is what pulling fails with.
	PullError string
	// StartTime is how long a container takes to start.
	StartTime time.Duration
	// StartError, if set, is what starting a container fails with.
	StartError string
	// HealthyAfter is how long after its start a container without Run is
	// healthy, if its service has a health check. Negative: never. One with Run
	// says so itself, see [Container.SetHealthy].
	HealthyAfter time.Duration
	// Digest is what its registry knows the image by. Empty: one is made up
	// from the reference.
	Digest string
	// Platforms are what the image is made for. Empty: for every node.
	Platforms []swarm.Platform
	// Username and Password are what its registry demands. Empty: nothing.
	Username, Password string
}

// SetImage makes the image that there is to pull by a reference, in the place of
// what there was. Nodes that have pulled the reference before pull it again.
func (w *World) SetImage(ref string, image Image) error {
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return fmt.Errorf("image %q: %w", ref, err)
	}
	name := imageName(named)
	w.Do(func() {
		w.images[name] = image
		for _, d := range w.daemons {
			delete(d.agent.pulled, name)
		}
	})
	return nil
}

// imageName is what an image is kept under: without the digest of a reference
// that has a tag too, and with the tag latest if it has neither.
func imageName(named reference.Named) string {
	if tagged, ok := named.(reference.Tagged); ok {
		return named.Name() + ":" + tagged.Tag()
	}
	return reference.TagNameOnly(named).String()
}

// findImage is the image of a reference and the name it is kept under. It is not
// found if nobody has described it: then it is as unknown images are.
func (w *World) findImage(ref string) (name string, image Image, found bool) {
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return ref, Image{}, false
	}
	name = imageName(named)
	if image, found = w.images[name]; !found {
		image = w.UnknownImages
	}
	return name, image, found
}

// architectures are what nodes call processors that images have other names for.
var architectures = map[string]string{"x86_64": "amd64", "aarch64": "arm64"}

// samePlatform reports whether a node is of a platform. What is empty is any.
func samePlatform(want, have swarm.Platform) bool {
	same := func(a, b string) bool {
		return a == "" || knownAs(a) == knownAs(b)
	}
	return same(want.OS, have.OS) && same(want.Architecture, have.Architecture)
}

func knownAs(name string) string {
	name = strings.ToLower(name)
	if other, ok := architectures[name]; ok {
		return other
	}
	return name
}

// runsOn reports whether there is a platform of a list that the node is of. An
// empty list is any.
func runsOn(platforms []swarm.Platform, node swarm.Platform) bool {
	return len(platforms) == 0 ||
		slices.ContainsFunc(platforms, func(want swarm.Platform) bool { return samePlatform(want, node) })
}

// registryAuth is who pulls an image.
type registryAuth struct {
	Username string `json:"username"`
	Password string `json:"password"`
}

// authOf is what a task's image is pulled with. Engines say nothing about what
// they cannot read.
func (o *control) authOf(taskID string) registryAuth {
	var auth registryAuth
	if state := o.tasks[taskID]; state != nil {
		if text, err := base64.URLEncoding.DecodeString(state.auth); err == nil {
			json.Unmarshal(text, &auth)
		}
	}
	return auth
}
