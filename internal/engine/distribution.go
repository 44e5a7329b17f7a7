package engine

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"

	"github.com/distribution/reference"

	"github.com/swarm-go/swarm"
)

// digestOf is what a registry knows an image by: one made up from the name it is
// kept under, if it has none.
func (i *Image) digestOf(name string) string {
	if i.Digest != "" {
		return i.Digest
	}
	return fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(name)))
}

// admits reports whether a registry gives an image to that user.
func (i *Image) admits(given *swarm.RegistryAuth) bool {
	if i.Username == "" && i.Password == "" {
		return true
	}
	return given != nil &&
		subtle.ConstantTimeCompare([]byte(i.Username), []byte(given.Username)) == 1 &&
		subtle.ConstantTimeCompare([]byte(i.Password), []byte(given.Password)) == 1
}

// decodeAuth reads credentials as headers carry them. What is none is nobody:
// engines do not complain.
func decodeAuth(header string) *swarm.RegistryAuth {
	decoded, err := base64.URLEncoding.DecodeString(header)
	if err != nil {
		return nil
	}
	given := new(swarm.RegistryAuth)
	if json.Unmarshal(decoded, given) != nil {
		return nil
	}
	return given
}

// registered is an image as its registry has it.
type registered struct {
	Image
	// name is the reference with its registry and its tag.
	name string
}

// askRegistry is what a registry says of a reference to that user.
func (w *World) askRegistry(ref string, given *swarm.RegistryAuth) (*registered, error) {
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return nil, refuse(http.StatusBadRequest, "%v", err)
	}
	manifest := registryURL(reference.Domain(named)) + reference.Path(named) + "/manifests/"
	name, image, found := w.findImage(ref)
	digest, pinned := named.(reference.Digested)
	switch {
	case !found && w.RefuseUnknownImages:
		return nil, w.unknownImage(reference.Domain(named))
	case image.PullError != "":
		return nil, refuse(http.StatusInternalServerError, "%s", image.PullError)
	case !image.admits(given) && given == nil:
		return nil, refuse(http.StatusInternalServerError, "Head %q: no basic auth credentials", manifest+tagOf(name))
	case !image.admits(given):
		return nil, refuse(http.StatusUnauthorized, "unauthorized")
	case pinned && found && digest.Digest().String() != image.digestOf(name):
		return nil, refuse(http.StatusNotFound, "manifest unknown")
	}
	image.Digest = image.digestOf(name)
	if pinned {
		image.Digest = digest.Digest().String()
	}
	return &registered{image, name}, nil
}

// unknownImage is why an image that nobody has described cannot be had. A registry
// with other images says that it has not this one, another is not there.
func (w *World) unknownImage(domain string) error {
	for name := range w.images {
		if strings.HasPrefix(name, domain+"/") {
			return refuse(http.StatusNotFound, "manifest unknown")
		}
	}
	return refuse(http.StatusInternalServerError, "Get %q: dial tcp%s", registryURL(domain), unreachable(domain))
}

// unreachable is why a registry cannot be reached that is not there.
func unreachable(domain string) string {
	host, _, err := net.SplitHostPort(domain)
	if err != nil {
		host = domain
	}
	if _, err := netip.ParseAddr(host); err != nil {
		return ": lookup " + host + ": no such host"
	}
	return " " + domain + ": connect: connection refused"
}

// registryURL is where a registry is asked who it is: over TLS, unless it is on the
// engine's own machine.
func registryURL(server string) string {
	server = strings.TrimSuffix(server, "/")
	if strings.Contains(server, "://") {
		return server + "/v2/"
	}
	if strings.HasPrefix(server, "127.") {
		return "http://" + server + "/v2/"
	}
	return "https://" + server + "/v2/"
}

// inspectDistribution answers GET /distribution/{name}/json.
func (c *call) inspectDistribution() error {
	var image *registered
	var err error
	c.daemon.world.Do(func() {
		image, err = c.daemon.world.askRegistry(c.vars["name"], decodeAuth(c.r.Header.Get("X-Registry-Auth")))
	})
	if refused, ok := err.(*refusal); ok && refused.status != http.StatusBadRequest && c.daemon.release.API < 46 {
		return refuse(http.StatusInternalServerError, "%s", refused.message) // whatever the registry said
	}
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, distribution(image))
}

// distribution is what GET /distribution tells of an image.
func distribution(image *registered) *swarm.ImageDistribution {
	answer := &swarm.ImageDistribution{
		Descriptor: swarm.ImageDescriptor{
			MediaType: "application/vnd.oci.image.index.v1+json", Digest: image.Digest, Size: 1609,
		},
		Platforms: []swarm.ImagePlatform{},
	}
	for _, platform := range image.Platforms {
		answer.Platforms = append(answer.Platforms, swarm.ImagePlatform{
			Architecture: goArchitecture(platform.Architecture), OS: platform.OS,
		})
	}
	if len(image.Platforms) == 0 {
		answer.Platforms = []swarm.ImagePlatform{{Architecture: "amd64", OS: "linux"}}
	}
	return answer
}

// goArchitecture is an architecture as Go and registries name it; nodes name it as
// the kernel does.
func goArchitecture(architecture string) string {
	switch architecture {
	case "x86_64":
		return "amd64"
	case "aarch64":
		return "arm64"
	}
	return architecture
}
