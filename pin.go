package swarm

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/swarm-go/swarm/internal/wire"
)

// PinMode says whether the image of a service is pinned: asked for at its
// registry, and run by the digest that the registry answers with, the same on
// every node. Without that each node resolves the tag for itself when it starts a
// task. Engines do not pin by themselves since API 1.30.
//
// The platforms of a Placement come with the image: pinning makes them those of the
// image, or clears them if it could not be pinned. But those that the author of the
// spec has chosen stay. They are the author's if the service is new; if the change
// itself changes them; if the image before had no digest; or if the registry of the
// image before says that it is made for others, which is asked when it matters,
// with the credentials of the call if it is the registry of the new image too, else
// without any. Where it cannot say, they count as those of the image before, as do
// platforms chosen that are just what that is made for.
type PinMode string

const (
	// PinOff sends the image's reference as it is.
	PinOff PinMode = ""
	// PinBestEffort pins the image if its registry can be asked; if not, the
	// reference is sent as it is, with the digest it had if the service is only
	// redeployed, and Pin of the [ServiceChange] holds the error.
	PinBestEffort PinMode = "best-effort"
	// PinRequired pins the image or fails, with nothing sent.
	PinRequired PinMode = "required"
)

func (m PinMode) check(op, object string) error {
	if m != PinOff && m != PinBestEffort && m != PinRequired {
		return invalid(op, object, "unknown way to pin an image, %q", string(m))
	}
	return nil
}

// ResolvedImage is what there is behind the reference of an image.
type ResolvedImage struct {
	// Reference is the reference with its tag, "latest" if it had none, and with
	// its digest: what a ContainerSpec takes as Image. One that had a digest is as
	// it was.
	Reference string
	// Digest is what the registry has under it, "sha256:…".
	Digest string
	// Platforms are what the image is made for, as a Placement takes them, each
	// once. None if the registry does not say.
	Platforms []Platform
	// Changed reports whether Reference differs from what was asked for.
	Changed bool
}

// ResolveImage lets the engine ask the registry of an image for its digest and its
// platforms. Of an image with a digest the tag counts for nothing.
//
// It is [SystemClient.InspectDistribution] in the words of a service; its errors
// are the same. Needs API 1.30.
//
// Engine endpoint: GET /distribution/{name}/json
func (s *SystemClient) ResolveImage(ctx context.Context, image string, opts *DistributionInspectOptions) (*ResolvedImage, error) {
	const op = "resolve image"
	ref, err := ParseImageReference(image)
	if err != nil {
		return nil, err
	}
	if ref.Tag == "" && ref.Digest == "" {
		ref.Tag = "latest"
	}
	distribution, err := s.InspectDistribution(ctx, ref.String(), opts)
	if err != nil {
		return nil, err
	}
	resolved := &ResolvedImage{Reference: image, Digest: distribution.Descriptor.Digest, Platforms: placeable(distribution.Platforms)}
	switch {
	case ref.Digest == "":
		ref.Digest = resolved.Digest
		resolved.Reference, resolved.Changed = ref.String(), true
	case ref.Digest != resolved.Digest:
		return nil, &Error{Op: op, Object: image, kind: ErrProtocol, Message: "the registry has another digest under this one"}
	}
	if _, err := ParseImageReference(resolved.Reference); err != nil {
		return nil, &Error{Op: op, Object: image, Err: err, kind: ErrProtocol}
	}
	return resolved, nil
}

// placeable are platforms as the scheduler compares them. What is unknown is no
// platform but something that came with the image, such as how it was built. Nodes
// call the 32-bit ARMs by more names than images do: their architecture is left to
// the node.
func placeable(platforms []ImagePlatform) []Platform {
	var plain []Platform
	for _, p := range platforms {
		plain = append(plain, Platform{Architecture: p.Architecture, OS: p.OS})
	}
	return compared(plain)
}

func compared(platforms []Platform) []Platform {
	var placeable []Platform
	for _, platform := range platforms {
		if strings.EqualFold(platform.Architecture, "arm") {
			platform.Architecture = ""
		}
		known := platform != (Platform{}) && platform.Architecture != "unknown" && platform.OS != "unknown"
		if known && !slices.Contains(placeable, platform) {
			placeable = append(placeable, platform)
		}
	}
	return placeable
}

// ImagePin is what pinning the image of a service has come to.
type ImagePin struct {
	// Asked is the reference that was to be pinned.
	Asked string
	// Image is the reference that the service has now. If there was an Err it has
	// no digest but the one that it had before.
	Image string
	// Digest is what the registry has under it. Empty if there was an Err.
	Digest string
	// Platforms are those that tasks are placed by now: what the image is made for,
	// unless the spec names others. Empty is any.
	Platforms []Platform
	// PlatformsChanged reports whether they differ from those of the spec that was
	// given.
	PlatformsChanged bool
	// Err is why the image could not be pinned, with [PinBestEffort].
	Err error
}

// pinned is a service as it was read and then changed, with its image pinned. The
// service given stays as it is.
func (s *ServiceClient) pinned(ctx context.Context, mode PinMode, service *Service, authFor func() (*RegistryAuth, error)) (*Service, *ImagePin, error) {
	if mode == PinOff {
		return service, nil, nil
	}
	var read struct{ Spec ServiceSpec }
	if err := wire.Unmarshal(service.Raw, &read); err != nil {
		return nil, nil, fmt.Errorf("its Raw: %w", err)
	}
	result := *service
	var pin *ImagePin
	var err error
	result.Spec, pin, err = s.client.pinned(ctx, mode, &read.Spec, service.Spec, authFor)
	return &result, pin, err
}

// pinned is a spec with its image pinned; before is the spec that the service has
// until now, nil if it is new. There is no pin where nothing was to be done.
func (c *Client) pinned(ctx context.Context, mode PinMode, before *ServiceSpec, spec ServiceSpec, authFor func() (*RegistryAuth, error)) (ServiceSpec, *ImagePin, error) {
	image := spec.TaskTemplate.ContainerSpec.Image
	if mode == PinOff || image == "" || isPinned(before, &spec) {
		return spec, nil, nil
	}
	auth, err := authFor()
	if err != nil {
		return spec, nil, err
	}
	// An empty source: the client's has been asked.
	resolved, err := c.System.ResolveImage(ctx, image, &DistributionInspectOptions{AuthFrom: func(context.Context, string) (*RegistryAuth, error) { return auth, nil }})
	if err != nil && (mode == PinRequired || ctx.Err() != nil) {
		return spec, nil, err
	}
	pin := &ImagePin{Asked: image, Image: image, Err: err}
	if err != nil {
		resolved = unresolved(before, &spec)
	}
	pin.Image, pin.Digest = resolved.Reference, resolved.Digest
	spec.TaskTemplate.ContainerSpec.Image = resolved.Reference
	given := platformsOf(&spec)
	stay := choosesPlatforms(before, &spec) || slices.Equal(given, resolved.Platforms) ||
		len(given) > 0 && c.isMadeForOthers(ctx, before.TaskTemplate.ContainerSpec.Image, given, image, auth)
	if !stay {
		pin.PlatformsChanged = true
		placement := Placement{}
		if spec.TaskTemplate.Placement != nil {
			placement = *spec.TaskTemplate.Placement
		}
		placement.Platforms = resolved.Platforms
		spec.TaskTemplate.Placement = &placement
	}
	pin.Platforms = platformsOf(&spec)
	return spec, pin, nil
}

// unresolved is the image of a spec whose registry cannot be asked. A service that
// is only redeployed goes on with what it was pinned to: without its digest each
// node would run whatever it has under the tag.
func unresolved(before, spec *ServiceSpec) *ResolvedImage {
	image := spec.TaskTemplate.ContainerSpec.Image
	if before == nil || before.TaskTemplate.ForceUpdate == spec.TaskTemplate.ForceUpdate ||
		!hasDigest(before.TaskTemplate.ContainerSpec.Image) || byTag(before.TaskTemplate.ContainerSpec.Image) != image {
		return &ResolvedImage{Reference: image}
	}
	return &ResolvedImage{Reference: before.TaskTemplate.ContainerSpec.Image, Platforms: platformsOf(before)}
}

// isMadeForOthers reports whether an image is known to be made for other platforms
// than these. The credentials are those for another image.
func (c *Client) isMadeForOthers(ctx context.Context, image string, platforms []Platform, other string, auth *RegistryAuth) bool {
	ref, err := ParseImageReference(image)
	otherRef, otherErr := ParseImageReference(other)
	if err != nil || otherErr != nil || ref.Registry != otherRef.Registry {
		auth = nil
	}
	resolved, err := c.System.ResolveImage(ctx, image, &DistributionInspectOptions{AuthFrom: func(context.Context, string) (*RegistryAuth, error) { return auth, nil }})
	if err != nil {
		return false
	}
	made, chosen := resolved.Platforms, compared(platforms)
	isMade := func(p Platform) bool { return slices.Contains(made, p) }
	return len(made) != len(chosen) || slices.ContainsFunc(chosen, func(p Platform) bool { return !isMade(p) })
}

func platformsOf(spec *ServiceSpec) []Platform {
	if spec.TaskTemplate.Placement == nil {
		return nil
	}
	return spec.TaskTemplate.Placement.Platforms
}

func hasDigest(image string) bool {
	ref, err := ParseImageReference(image)
	return err == nil && ref.Digest != ""
}

// isPinned reports whether there is nothing left to ask a registry: the image has
// a digest, and its platforms are known or chosen.
func isPinned(before, spec *ServiceSpec) bool {
	image := spec.TaskTemplate.ContainerSpec.Image
	if !hasDigest(image) {
		return false
	}
	return before != nil && before.TaskTemplate.ContainerSpec.Image == image || choosesPlatforms(before, spec)
}

// choosesPlatforms reports whether the spec alone shows that its platforms are its
// author's. Those of a service may be what its image was pinned with, unless the
// image had no digest, or they have been changed with it.
func choosesPlatforms(before, spec *ServiceSpec) bool {
	platforms := platformsOf(spec)
	if before == nil || len(platforms) == 0 {
		return len(platforms) > 0
	}
	return !hasDigest(before.TaskTemplate.ContainerSpec.Image) || !slices.Equal(platformsOf(before), platforms)
}
