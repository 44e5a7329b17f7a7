package dockerconfig

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os/exec"
	"regexp"
	"runtime"
	"slices"
	"strings"
)

// Credentials are those of one registry.
type Credentials struct {
	Username      string `json:"username"`
	Password      string `json:"password"`
	IdentityToken string `json:"identitytoken"`
	RegistryToken string `json:"registrytoken"`
	// ServerAddress is the registry as the configuration has it.
	ServerAddress string `json:"-"`
}

// hub is what Docker Hub is called here. Its images call it docker.io.
const hub = "https://index.docker.io/v1/"

// serverName is what a registry can be called: what goes to a helper must be one
// line, and no other server to it than to its reader here.
var serverName = regexp.MustCompile(`^[a-zA-Z0-9.:_\[\]-]+$`)

// maxServerName bounds what goes to a helper, and into errors.
const maxServerName = 512

// Lookup finds the credentials for a registry, which is named as images name it,
// nil if there are none. DOCKER_AUTH_CONFIG comes first, then the helper of that
// registry, else the helper of all, else the file: the first of them that is there
// for the registry decides, also by failing. A file that has none of these leaves it
// to the system's own helper, if that is installed.
func Lookup(ctx context.Context, getenv func(string) string, home func() (string, error), registry string) (*Credentials, error) {
	server := registry
	if registry == "docker.io" {
		server = hub
	} else if len(registry) > maxServerName || !serverName.MatchString(registry) {
		return nil, fmt.Errorf("registry %.64q: no valid name", registry)
	}
	found, err := fromEnvironment(getenv("DOCKER_AUTH_CONFIG"), server)
	if found != nil || err != nil {
		return found, err
	}
	dir, err := Dir(getenv, home)
	if err != nil {
		return nil, err
	}
	file, err := Load(dir)
	if err != nil {
		return nil, err
	}
	helper, ok := file.CredHelpers[server]
	if !ok {
		helper = file.CredsStore
	}
	if !file.saysWhere() {
		helper = defaultHelper(runtime.GOOS)
	}
	if helper != "" {
		return askHelper(ctx, helper, server)
	}
	return file.credentials(server)
}

// saysWhere reports whether the file has anything on credentials, be it of another
// registry.
func (f *File) saysWhere() bool {
	return f.CredsStore != "" || len(f.CredHelpers) > 0 || len(f.Auths) > 0
}

// defaultHelper is the helper that the docker command takes by itself, to store
// credentials and to find them; empty without one.
func defaultHelper(system string) string {
	name := map[string]string{"linux": "secretservice", "darwin": "osxkeychain", "windows": "wincred"}[system]
	if _, err := exec.LookPath("pass"); err == nil && system == "linux" {
		name = "pass" // also if its helper is missing, and the other one is not
	}
	if _, err := exec.LookPath(helperProgram(name)); err != nil {
		return ""
	}
	return name
}

// fromEnvironment looks in the value of DOCKER_AUTH_CONFIG, where a registry
// stands under its exact name.
func fromEnvironment(value, server string) (*Credentials, error) {
	const variable = "DOCKER_AUTH_CONFIG"
	if value == "" {
		return nil, nil
	}
	if len(value) > maxFile {
		return nil, fmt.Errorf("%s: larger than %d bytes", variable, maxFile)
	}
	var config struct {
		Auths map[string]json.RawMessage `json:"auths"`
	}
	if err := decode(variable, []byte(value), &config); err != nil {
		return nil, err
	}
	entry, ok := config.Auths[server]
	if !ok {
		return nil, nil
	}
	return decodeEntry(variable, server, entry)
}

// credentials looks in the file's own entries: for the exact name, else for old
// ones, URLs of which the host is the name. If these disagree none is better than
// the other.
func (f *File) credentials(server string) (*Credentials, error) {
	if entry, ok := f.Auths[server]; ok {
		return decodeEntry(f.Path, server, entry)
	}
	var found *Credentials
	for _, key := range slices.Sorted(maps.Keys(f.Auths)) {
		if hostOf(key) != server {
			continue
		}
		other, err := decodeEntry(f.Path, key, f.Auths[key])
		if err != nil {
			return nil, err
		}
		if found != nil && other != nil && !sameUser(*found, *other) {
			return nil, fmt.Errorf("%s: several entries for %s, which differ", f.Path, server)
		}
		if found == nil {
			found = other
		}
	}
	return found, nil
}

func sameUser(a, b Credentials) bool {
	a.ServerAddress, b.ServerAddress = "", ""
	return a == b
}

// hostOf is the host of a URL, with its port; what has no scheme may have a path
// all the same.
func hostOf(key string) string {
	if _, rest, ok := strings.Cut(key, "://"); ok {
		key = rest
	}
	host, _, _ := strings.Cut(key, "/")
	return host
}

// decodeEntry reads an entry of auths. One that holds nothing is as good as none:
// the docker command leaves such entries where a helper has the credentials.
func decodeEntry(path, server string, entry json.RawMessage) (*Credentials, error) {
	var fields struct {
		Credentials
		Auth string `json:"auth"`
	}
	damaged := fmt.Errorf("%s: the entry for %.128q is damaged", path, server)
	if json.Unmarshal(entry, &fields) != nil { // not wrapped: it quotes what is there
		return nil, damaged
	}
	if fields.Auth != "" {
		decoded, err := base64.StdEncoding.DecodeString(fields.Auth)
		username, password, ok := strings.Cut(string(decoded), ":")
		if err != nil || !ok || username == "" {
			return nil, damaged
		}
		fields.Username, fields.Password = username, strings.Trim(password, "\x00")
	}
	if fields.Credentials == (Credentials{}) {
		return nil, nil
	}
	fields.ServerAddress = server
	return &fields.Credentials, nil
}

// tokenUser is the user by which helpers say that the secret is an identity token.
const tokenUser = "<token>"

// askHelper asks a helper for the credentials for a server.
func askHelper(ctx context.Context, helper, server string) (*Credentials, error) {
	answer, err := runHelper(ctx, helper, server)
	if err != nil {
		return nil, fmt.Errorf("credential helper %.64q: %w", helper, err)
	}
	if answer == nil {
		return nil, nil
	}
	found, err := parseAnswer(answer, server)
	if err != nil {
		return nil, fmt.Errorf("credential helper %.64q: %w", helper, err)
	}
	return found, nil
}

func parseAnswer(answer []byte, server string) (*Credentials, error) {
	var fields struct{ ServerURL, Username, Secret string }
	switch {
	case json.Unmarshal(answer, &fields) != nil: // not wrapped: it quotes the answer
		return nil, errors.New("its answer is no JSON of credentials")
	case fields.ServerURL != "" && fields.ServerURL != server && hostOf(fields.ServerURL) != hostOf(server):
		return nil, errors.New("it answered for another server than it was asked for")
	case fields.Username == "" || fields.Secret == "":
		return nil, errors.New("its answer lacks the user or the secret")
	case fields.Username == tokenUser:
		return &Credentials{IdentityToken: fields.Secret, ServerAddress: server}, nil
	}
	return &Credentials{Username: fields.Username, Password: fields.Secret, ServerAddress: server}, nil
}
