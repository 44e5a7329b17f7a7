package swarm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/swarm-go/swarm/internal/wire"
)

// ImageDistribution is what a registry has under an image reference.
type ImageDistribution struct {
	// Descriptor says what the reference leads to: an image, or a list of images
	// for several platforms.
	Descriptor ImageDescriptor
	// Platforms are those the image is there for.
	Platforms []ImagePlatform
	// Raw is the engine's JSON as received.
	Raw json.RawMessage `json:"-"`
}

// ImageDescriptor names content in a registry.
type ImageDescriptor struct {
	// MediaType is the kind of content.
	MediaType string `json:"mediaType"`
	// Digest is its digest, "sha256:…", which never leads to anything else.
	Digest string `json:"digest"`
	// Size is its size in bytes; of a list that of the list alone.
	Size int64 `json:"size"`
	// URLs are where else it can be found.
	URLs []string `json:"urls,omitzero"`
	// Annotations are key-value pairs on it. There since API 1.48.
	Annotations map[string]string `json:"annotations,omitzero"`
	// ArtifactType is the kind of an artifact that is no image. There since API
	// 1.48.
	ArtifactType string `json:"artifactType,omitzero"`
	// Data is the content itself, where it is small and came along. There since
	// API 1.48.
	Data []byte `json:"data,omitzero"`
	// Platform is what the image runs on, where it is said here. There since API
	// 1.48.
	Platform *ImagePlatform `json:"platform,omitzero"`
}

// ImagePlatform is what an image runs on. Its names differ from those of
// [Platform], which is that of nodes.
type ImagePlatform struct {
	// Architecture is the hardware as Go names it, "arm64".
	Architecture string `json:"architecture"`
	// OS is the operating system, "linux".
	OS string `json:"os"`
	// OSVersion is its version, for Windows.
	OSVersion string `json:"os.version,omitzero"`
	// OSFeatures are what it needs of it, for Windows.
	OSFeatures []string `json:"os.features,omitzero"`
	// Variant is the kind of architecture, "v8".
	Variant string `json:"variant,omitzero"`
}

// DistributionInspectOptions are what a registry may want to know.
type DistributionInspectOptions struct {
	// Auth are the credentials for the registry. Nil sends none.
	Auth *RegistryAuth
	// AuthFrom finds the credentials, instead of Auth. Nil asks the client's own
	// source, see [WithRegistryAuth], if it has one.
	AuthFrom AuthSource
}

// InspectDistribution lets the engine ask the registry of an image what is there
// under that reference: its digest and its platforms. Nothing is pulled. The
// reference is written as for a service, "nginx:1.29" or
// "registry.example.com:5000/team/web:1".
//
// An image that the registry does not have is [ErrNotFound]; one it does not
// show, without credentials or with these, [ErrUnauthorized] or [ErrForbidden]; a
// reference that is none [ErrInvalid]; a registry that the engine cannot reach
// [ErrUnavailable].
// Registries count requests, so a failed one is repeated once at most. Needs API
// 1.30.
//
// Engine endpoint: GET /distribution/{name}/json
func (s *SystemClient) InspectDistribution(ctx context.Context, image string, opts *DistributionInspectOptions) (*ImageDistribution, error) {
	const op = "inspect image in registry"
	if opts == nil {
		opts = &DistributionInspectOptions{}
	}
	auth, err := s.client.authFor(ctx, image, opts.Auth, opts.AuthFrom)()
	if err != nil {
		return nil, &Error{Op: op, Object: image, Err: err}
	}
	header, err := auth.header()
	if err != nil {
		return nil, invalid(op, image, "%v", err)
	}
	call := &call{op: op, object: image, method: http.MethodGet, to: toImage("/distribution/{name}/json", image),
		header: header, repeat: repeatRead, attempts: 2}
	distribution := new(ImageDistribution)
	err = s.client.fetch(ctx, call, func(body json.RawMessage) error {
		distribution.Raw = body
		if err := wire.Unmarshal(body, distribution); err != nil {
			return err
		}
		if distribution.Descriptor.Digest == "" {
			return errors.New("the answer has no digest")
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return distribution, nil
}

// toImage fills the placeholder of a template with an image reference, whose
// slashes stay: engines route the rest by where the path ends. Its parts are
// checked and escaped as those of to.
func toImage(template, image string) route {
	r := route{template: template}
	if len(image) > maxRef {
		r.err = fmt.Errorf("image reference of %d bytes; %d are the most", len(image), maxRef)
		return r
	}
	parts := strings.Split(image, "/")
	for i, part := range parts {
		if err := checkRef(part); err != nil {
			r.err = fmt.Errorf("image reference %q: %w", clip(image, 64), err)
			return r
		}
		parts[i] = url.PathEscape(part)
	}
	before, after, _ := strings.Cut(template, "{name}")
	r.path = before + strings.Join(parts, "/") + after
	return r
}
