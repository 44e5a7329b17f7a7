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

// askRegistry is what a registry says of a reference to that user. Containerd, which
// new engines let pull, has words of its own for a registry that is not there.
func (w *World) askRegistry(ref string, given *swarm.RegistryAuth, containerd bool) (*registered, error) {
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return nil, refuse(http.StatusBadRequest, "%v", err)
	}
	manifest := registryURL(reference.Domain(named)) + reference.Path(named) + "/manifests/"
	name, image, found := w.findImage(ref)
	digest, pinned := named.(reference.Digested)
	switch {
	case !found && w.RefuseUnknownImages:
		return nil, w.unknownImage(named, name, containerd)
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
func (w *World) unknownImage(named reference.Named, name string, containerd bool) error {
	domain := reference.Domain(named)
	for other := range w.images {
		if strings.HasPrefix(other, domain+"/") {
			return refuse(http.StatusNotFound, "manifest unknown")
		}
	}
	server := registryServer(domain)
	if containerd {
		manifest := "https://" + server + "/v2/" + reference.Path(named) + "/manifests/" + tagOf(name)
		return refuse(http.StatusInternalServerError, "failed to resolve reference %q: failed to do request: Head %q: dial tcp%s",
			name, manifest, unreachable(server))
	}
	return refuse(http.StatusInternalServerError, "Get %q: dial tcp%s", registryURL(domain), unreachable(server))
}

// unreachable is why a server cannot be reached that is not there.
func unreachable(server string) string {
	host, _, err := net.SplitHostPort(server)
	if err != nil {
		host = server
	}
	if _, err := netip.ParseAddr(host); err != nil {
		return ": lookup " + host + ": no such host"
	}
	return " " + server + ": connect: connection refused"
}

// hub is the registry of images whose names have none.
const hub = "docker.io"

// registryHost is the registry of an address that credentials are for, as the names
// of images have it. Docker Hub's has old forms, which the docker command sends.
func registryHost(address string) string {
	_, host, found := strings.Cut(address, "://")
	if !found {
		host = address
	}
	host, _, _ = strings.Cut(host, "/")
	switch host {
	case "", "index.docker.io", "registry-1.docker.io":
		return hub
	}
	return host
}

// registryServer is where a registry is found.
func registryServer(host string) string {
	if host == hub {
		return "registry-1.docker.io"
	}
	return host
}

// registryURL is where a registry is asked who it is: over TLS, unless it is on the
// engine's own machine, or its address says so.
func registryURL(address string) string {
	scheme := "https"
	if strings.HasPrefix(address, "http://") || strings.HasPrefix(address, "127.") {
		scheme = "http"
	}
	return scheme + "://" + registryServer(registryHost(address)) + "/v2/"
}

// inspectDistribution answers GET /distribution/{name}/json.
func (c *call) inspectDistribution() error {
	var image *registered
	var err error
	c.daemon.world.Do(func() {
		image, err = c.daemon.world.askRegistry(c.vars["name"], decodeAuth(c.r.Header.Get("X-Registry-Auth")), false)
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
