package swarm

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/swarm-go/swarm/internal/wire"
)

// RegistryAuth are credentials for one registry. Whatever prints one, prints no
// more than the registry and the user; so does what makes JSON, XML or other text of
// one, while what reads JSON takes all. But an unexported field that holds one by
// value fmt prints as it is, without asking it, and encoding/gob keeps everything.
type RegistryAuth struct {
	// Username is the user; empty with a token.
	Username string `json:"username,omitzero"`
	// Password is the user's password.
	Password string `json:"password,omitzero"`
	// ServerAddress is the registry, "registry.example.com:5000"; Docker Hub is
	// "docker.io", or "https://index.docker.io/v1/" as the docker command writes
	// it. With it the credentials are sent for images of this registry alone, and
	// a call for another is refused. Empty: the engine uses them for whatever
	// registry the image of the call names.
	ServerAddress string `json:"serveraddress,omitzero"`
	// IdentityToken is exchanged by the engine for access tokens, instead of a
	// password.
	IdentityToken string `json:"identitytoken,omitzero"`
	// RegistryToken is sent to the registry as it is, instead of a password.
	RegistryToken string `json:"registrytoken,omitzero"`
}

// String says whose credentials these are, without them.
func (a RegistryAuth) String() string {
	return fmt.Sprintf("credentials of %q for %q", a.Username, a.server())
}

// server is the registry without what may be a password.
func (a RegistryAuth) server() string {
	return a.ServerAddress[strings.LastIndex(a.ServerAddress, "@")+1:]
}

// GoString is String: %#v prints no secrets either.
func (a RegistryAuth) GoString() string { return a.String() }

// Format makes every verb print what String does.
func (a RegistryAuth) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(a.String())) }

// LogValue keeps secrets out of logs.
func (a RegistryAuth) LogValue() slog.Value { return slog.StringValue(a.String()) }

// MarshalJSON leaves the secrets out.
func (a RegistryAuth) MarshalJSON() ([]byte, error) {
	return wire.Marshal(sentAuth{Username: a.Username, ServerAddress: a.server()})
}

// MarshalText is String: what encodes text, XML and YAML too, leaves the secrets out.
func (a RegistryAuth) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// sentAuth are credentials as engines want them, secrets included.
type sentAuth RegistryAuth

// AuthSource finds the credentials for a registry, which is named as images name
// it: "registry.example.com:5000", "docker.io" for Docker Hub. Nil credentials say
// that there are none; none are sent then. An error ends the call it was asked
// for, which fails with [ErrCredentials]: no change is sent to the engine.
//
// [StaticAuth] and [DockerConfigAuth] make sources, and any function is one. It is
// asked once for a change that sends credentials, and again if that has to begin anew
// because somebody else has written the service; within the context of the call, from
// its goroutine. A source given to a client must be safe for concurrent use.
type AuthSource func(ctx context.Context, registry string) (*RegistryAuth, error)

// StaticAuth finds each of these credentials for the registry that its
// ServerAddress names, exactly, and for no other. Without any it finds none: given
// to a call it overrules the source of the client.
func StaticAuth(auths ...RegistryAuth) AuthSource {
	auths = slices.Clone(auths)
	return func(_ context.Context, registry string) (*RegistryAuth, error) {
		for _, auth := range auths {
			if auth.ServerAddress != "" && sameRegistry(auth.ServerAddress, registry) {
				return &auth, nil
			}
		}
		return nil, nil
	}
}

// ParseRegistryAuth reads credentials that are encoded already, as the header
// X-Registry-Auth carries them: JSON in URL-safe base64, with padding. Anything
// else, also what engines would drop without a word, is [ErrInvalid].
func ParseRegistryAuth(header string) (RegistryAuth, error) {
	const op = "parse registry credentials"
	if len(header) > maxAuth {
		return RegistryAuth{}, invalid(op, "", "%d bytes; %d are the most", len(header), maxAuth)
	}
	// Strict, and no newline, which the decoder would skip: a header has none.
	decoded, err := base64.URLEncoding.Strict().DecodeString(header)
	if err != nil || strings.ContainsAny(header, "\r\n") {
		return RegistryAuth{}, invalid(op, "", "it is no URL-safe base64 with padding")
	}
	var auth RegistryAuth
	if err := wire.Unmarshal(decoded, &auth); err != nil { // not wrapped: it may quote them
		return RegistryAuth{}, invalid(op, "", "what is encoded is no JSON of credentials")
	}
	if auth == (RegistryAuth{}) {
		return RegistryAuth{}, invalid(op, "", "there are no credentials in it")
	}
	return auth, nil
}

// sameRegistry reports whether credentials for a server are for a registry, as
// images name it. Servers may be written as URLs, of which only the host counts.
func sameRegistry(server, registry string) bool {
	host := server
	if _, rest, ok := strings.Cut(server, "://"); ok {
		host = rest
	}
	host, _, _ = strings.Cut(host, "/")
	if host == "index.docker.io" {
		host = "docker.io"
	}
	return host == registry
}

// authFor finds, when it is first asked, the credentials for the registry of an
// image: those of the call, else those that the call's source finds, else the
// client's.
func (c *Client) authFor(ctx context.Context, image string, auth *RegistryAuth, from AuthSource) func() (*RegistryAuth, error) {
	const op = "find credentials"
	return sync.OnceValues(func() (*RegistryAuth, error) {
		if auth != nil && from != nil {
			return nil, invalid(op, "", "both Auth and AuthFrom are set")
		}
		ref, err := ParseImageReference(image)
		if err != nil { // no image, no registry: the engine says what it is
			return auth, nil
		}
		if from == nil {
			from = c.registryAuth
		}
		if auth == nil && from != nil {
			if auth, err = from(ctx, ref.Registry); err != nil {
				return nil, &Error{Op: op, Object: ref.Registry, Err: err, kind: ErrCredentials}
			}
		}
		if auth != nil && auth.ServerAddress != "" && !sameRegistry(auth.ServerAddress, ref.Registry) {
			return nil, invalid(op, ref.Registry, "they are for another registry than that of the image")
		}
		return auth, nil
	})
}

// maxAuth bounds the header; engines and proxies refuse longer ones in their own
// ways.
const maxAuth = 8 << 10

// header is X-Registry-Auth, URL-safe base64 with padding: engines drop any
// other form silently and fail to pull later.
func (a *RegistryAuth) header() (http.Header, error) {
	if a == nil {
		return nil, nil
	}
	if *a == (RegistryAuth{}) {
		return nil, errors.New("registry credentials are empty")
	}
	encoded, err := wire.Marshal(sentAuth(*a))
	if err != nil {
		return nil, errors.New("registry credentials cannot be encoded")
	}
	value := base64.URLEncoding.EncodeToString(encoded)
	if len(value) > maxAuth {
		return nil, fmt.Errorf("registry credentials of %d bytes; %d are the most", len(value), maxAuth)
	}
	return http.Header{"X-Registry-Auth": {value}}, nil
}
