package dockerconfig

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"regexp"
)

// Default is the context that is in no store: the environment and the default
// sockets.
const Default = "default"

// contextName is what the docker command lets a context be called.
var contextName = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.+-]+$`)

// maxContextName keeps names in errors readable; the store itself hashes them.
const maxContextName = 255

// Context is the docker endpoint of one context in the store.
type Context struct {
	// Host is the engine, as in DOCKER_HOST.
	Host string
	// SkipTLSVerify asks for TLS that verifies nothing.
	SkipTLSVerify bool
	// TLS is the context's certificates, all empty if it has none.
	TLS TLSFiles
}

// LoadContext reads a context from the store in the configuration folder dir.
func LoadContext(dir, name string) (*Context, error) {
	if len(name) > maxContextName || !contextName.MatchString(name) {
		return nil, fmt.Errorf("context %.64q: no valid name: two or more letters, digits, or any of _.+- after the first", name)
	}
	sum := sha256.Sum256([]byte(name))
	id := hex.EncodeToString(sum[:])
	found, err := readMeta(filepath.Join(dir, "contexts", "meta", id, "meta.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("context %q does not exist: %w", name, err)
	}
	if err != nil {
		return nil, fmt.Errorf("context %q: %w", name, err)
	}
	found.TLS, err = FindTLS(filepath.Join(dir, "contexts", "tls", id, "docker"))
	if err != nil {
		return nil, fmt.Errorf("context %q: %w", name, err)
	}
	return found, nil
}

func readMeta(path string) (*Context, error) {
	data, err := readFile(path)
	if err != nil {
		return nil, err
	}
	var meta struct {
		Endpoints map[string]json.RawMessage
	}
	if err := decode(path, data, &meta); err != nil {
		return nil, err
	}
	var endpoint *struct {
		Host          string
		SkipTLSVerify bool
	}
	if raw, ok := meta.Endpoints["docker"]; ok {
		if err := decode(path, raw, &endpoint); err != nil {
			return nil, err
		}
	}
	if endpoint == nil {
		return nil, fmt.Errorf("%s: no docker endpoint", path)
	}
	if endpoint.Host == "" {
		return nil, fmt.Errorf("%s: the docker endpoint has no host", path)
	}
	return &Context{Host: endpoint.Host, SkipTLSVerify: endpoint.SkipTLSVerify}, nil
}
