package swarm

import (
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/http"

	"github.com/swarm-go/swarm/internal/wire"
)

// RegistryAuth are credentials for one registry. Whatever prints one, prints no
// more than the registry and the user. JSON is what engines want, secrets
// included.
type RegistryAuth struct {
	// Username is the user; empty with a token.
	Username string `json:"username,omitzero"`
	// Password is the user's password.
	Password string `json:"password,omitzero"`
	// ServerAddress is the registry, "registry.example.com:5000".
	ServerAddress string `json:"serveraddress,omitzero"`
	// IdentityToken is exchanged by the engine for access tokens, instead of a
	// password.
	IdentityToken string `json:"identitytoken,omitzero"`
	// RegistryToken is sent to the registry as it is, instead of a password.
	RegistryToken string `json:"registrytoken,omitzero"`
}

// String says whose credentials these are, without them.
func (a RegistryAuth) String() string {
	return fmt.Sprintf("credentials of %q for %q", a.Username, a.ServerAddress)
}

// GoString is String: %#v prints no secrets either.
func (a RegistryAuth) GoString() string { return a.String() }

// Format makes every verb print what String does.
func (a RegistryAuth) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(a.String())) }

// LogValue keeps secrets out of logs.
func (a RegistryAuth) LogValue() slog.Value { return slog.StringValue(a.String()) }

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
	encoded, err := wire.Marshal(*a)
	if err != nil {
		return nil, errors.New("registry credentials cannot be encoded")
	}
	value := base64.URLEncoding.EncodeToString(encoded)
	if len(value) > maxAuth {
		return nil, fmt.Errorf("registry credentials of %d bytes; %d are the most", len(value), maxAuth)
	}
	return http.Header{"X-Registry-Auth": {value}}, nil
}
