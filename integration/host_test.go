//go:build integration && linux

package integration

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/swarm-go/swarm/integration/engines"
)

// hostRow is one environment in which the docker command, of 28, and we look
// for the engine. $DIR in values is the folder of hostlab_test.go, $CONFIG the docker
// configuration folder of the row.
type hostRow struct {
	name    string
	env     map[string]string
	files   map[string]string // written below $CONFIG
	copies  map[string]string // folders of certificates copied below $CONFIG, from $DIR
	sockets []string          // where somebody listens, besides the listeners that are always there
	args    []string          // flags of the docker command
	opts    hostOptions       // the same said to swarm.New

	want   string // what both reach, "error" if neither reaches anything
	docker string // where we deviate: what the docker command reaches
	reason string // where we deviate: why
}

// hostOptions are the options of swarm.New in a row.
type hostOptions struct {
	Host     string
	Context  string
	TLS      string // folder of certificates for WithTLS
	Insecure bool
}

// The outcomes that are common. An outcome is the address reached, how, and the
// path asked for; then "error" if the call failed nevertheless.
const (
	failed      = "error"
	system      = "unix /var/run/docker.sock plain /v1.43/version"
	plain4000   = "127.0.0.1:4000 plain /v1.43/version"
	plain2375   = "127.0.0.1:2375 plain /v1.43/version"
	tls4000     = "127.0.0.1:4000 TLS /v1.43/version"
	tls4000Cert = "127.0.0.1:4000 TLS with certificate /v1.43/version"
	refused4000 = "127.0.0.1:4000 TLS refused error"
)

// The reasons for deviations, all of which host.go lists too.
const (
	noHost      = "a host that is no host is an error, not a guess"
	damaged     = "a damaged configuration is an error, not another engine than the one chosen"
	verified    = "certificates named are used and verified"
	systemRoots = "TLS is asked for; without ca.pem the system's roots are trusted"
	unneeded    = "certificates are read only for TLS"
	https       = "http:// and https:// are understood"
	portTLS     = "the port of TLS is 2376"
	portPlain   = "the port of tcp:// is 2375"
	whole       = "a certificate without its key is an error, not left out"
	socketsToo  = "rootless and Desktop sockets are tried when the default one is absent"
	badVersion  = "DOCKER_API_VERSION is checked before it gets into URLs"
	noTLSOption = "an option that can have no effect is an error"
)

func vars(pairs ...string) map[string]string {
	m := map[string]string{}
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i]] = pairs[i+1]
	}
	return m
}

func hostIs(host string, more ...string) map[string]string {
	return vars(append([]string{"DOCKER_HOST", host}, more...)...)
}

// stored is a context store with one context.
func stored(name, host string) map[string]string { return storedMeta(name, endpointJSON(host, false)) }

func storedMeta(name, meta string) map[string]string {
	return map[string]string{"contexts/meta/" + contextID(name) + "/meta.json": meta}
}

func endpointJSON(host string, skipVerify bool) string {
	quoted, _ := json.Marshal(host) // a string always encodes
	return fmt.Sprintf(`{"Name":"x","Metadata":{},"Endpoints":{"docker":{"Host":%s,"SkipTLSVerify":%t}}}`, quoted, skipVerify)
}

// storedTLS puts certificates beside the context of that name.
func storedTLS(name, certificates string) map[string]string {
	return map[string]string{"contexts/tls/" + contextID(name) + "/docker": certificates}
}

func both(maps ...map[string]string) map[string]string {
	all := map[string]string{}
	for _, m := range maps {
		for k, v := range m {
			all[k] = v
		}
	}
	return all
}

var (
	systemSocket = []string{"/var/run/docker.sock"}
	prod         = stored("prod", "tcp://127.0.0.1:4000")
	current      = map[string]string{"config.json": `{"auths":{},"currentContext":"prod"}`}
	chosen       = vars("DOCKER_CONTEXT", "prod")
)

var hostRows = []hostRow{
	// What names the engine.
	{name: "nothing named, nobody there", want: failed},
	{name: "nothing named", sockets: systemSocket, want: system},
	{name: "DOCKER_HOST", env: hostIs("tcp://127.0.0.1:4000"), want: plain4000},
	{name: "host option before DOCKER_HOST", env: hostIs("tcp://127.0.0.1:2375"),
		args: []string{"-H", "tcp://127.0.0.1:4000"}, opts: hostOptions{Host: "tcp://127.0.0.1:4000"}, want: plain4000},
	{name: "host option before DOCKER_CONTEXT", env: vars("DOCKER_CONTEXT", "gone"),
		args: []string{"-H", "tcp://127.0.0.1:4000"}, opts: hostOptions{Host: "tcp://127.0.0.1:4000"}, want: plain4000},
	{name: "host and context options", files: prod, args: []string{"-H", "tcp://127.0.0.1:4000", "--context", "prod"},
		opts: hostOptions{Host: "tcp://127.0.0.1:4000", Context: "prod"}, want: failed},
	{name: "context option", files: prod, args: []string{"--context", "prod"}, opts: hostOptions{Context: "prod"}, want: plain4000},
	{name: "context option before DOCKER_HOST", env: hostIs("tcp://127.0.0.1:2375"), files: prod,
		args: []string{"--context", "prod"}, opts: hostOptions{Context: "prod"}, want: plain4000},
	{name: "context option before DOCKER_CONTEXT", env: vars("DOCKER_CONTEXT", "gone"), files: prod,
		args: []string{"--context", "prod"}, opts: hostOptions{Context: "prod"}, want: plain4000},
	{name: "default context as option is DOCKER_HOST", env: hostIs("tcp://127.0.0.1:4000"), files: current,
		args: []string{"--context", "default"}, opts: hostOptions{Context: "default"}, want: plain4000},
	{name: "DOCKER_HOST before DOCKER_CONTEXT", env: hostIs("tcp://127.0.0.1:2375", "DOCKER_CONTEXT", "prod"), files: prod, want: plain2375},
	{name: "DOCKER_HOST before a DOCKER_CONTEXT that does not exist", env: hostIs("tcp://127.0.0.1:2375", "DOCKER_CONTEXT", "gone"), want: plain2375},
	{name: "DOCKER_HOST before the current context", env: hostIs("tcp://127.0.0.1:2375"), files: both(prod, current), want: plain2375},
	{name: "DOCKER_CONTEXT", env: chosen, files: prod, want: plain4000},
	{name: "DOCKER_CONTEXT before the current context", env: vars("DOCKER_CONTEXT", "other"),
		files: both(prod, current, stored("other", "tcp://127.0.0.1:2375")), want: plain2375},
	{name: "DOCKER_CONTEXT default before the current context", env: vars("DOCKER_CONTEXT", "default"),
		files: both(prod, current), sockets: systemSocket, want: system},
	{name: "empty DOCKER_CONTEXT is none", env: vars("DOCKER_CONTEXT", ""), files: both(prod, current), want: plain4000},
	{name: "current context", files: both(prod, current), want: plain4000},
	{name: "current context default", files: map[string]string{"config.json": `{"currentContext":"default"}`}, sockets: systemSocket, want: system},
	{name: "empty DOCKER_HOST is none", env: hostIs(""), files: both(prod, current), want: plain4000},
	{name: "blank DOCKER_HOST is the default host", env: hostIs(" "), files: both(prod, current), sockets: systemSocket, want: system},
	{name: "rootless socket", env: vars("XDG_RUNTIME_DIR", "$DIR/xdg"), sockets: []string{"$DIR/xdg/docker.sock"},
		docker: failed, want: "unix $DIR/xdg/docker.sock plain /v1.43/version", reason: socketsToo},
	{name: "Desktop socket", sockets: []string{"$CONFIG/desktop/docker.sock"},
		docker: failed, want: "unix $CONFIG/desktop/docker.sock plain /v1.43/version", reason: socketsToo},
	{name: "Desktop socket of macOS", sockets: []string{"$CONFIG/run/docker.sock"},
		docker: failed, want: "unix $CONFIG/run/docker.sock plain /v1.43/version", reason: socketsToo},
	{name: "default socket before the rootless one", env: vars("XDG_RUNTIME_DIR", "$DIR/xdg"),
		sockets: []string{"$DIR/xdg/docker.sock", systemSocket[0]}, want: system},

	// How hosts are written.
	{name: "unix", env: hostIs("unix://$DIR/s/own.sock"), sockets: []string{"$DIR/s/own.sock"}, want: "unix $DIR/s/own.sock plain /v1.43/version"},
	{name: "unix, nobody there", env: hostIs("unix://$DIR/s/none.sock"), want: failed},
	{name: "unix without a path", env: hostIs("unix://"), sockets: systemSocket, want: system},
	{name: "unix with a relative path", env: hostIs("unix://s/own.sock"), sockets: []string{"$DIR/s/own.sock"},
		docker: "unix $DIR/s/own.sock plain /v1.43/version", want: failed, reason: noHost},
	{name: "a path without scheme", env: hostIs("/pre"), docker: "127.0.0.1:2375 plain /pre/v1.43/version", want: failed, reason: noHost},
	{name: "host and port", env: hostIs("127.0.0.1:4000"), want: plain4000},
	{name: "name alone", env: hostIs("localhost"), want: plain2375},
	{name: "port alone", env: hostIs(":4000"), want: plain4000},
	{name: "tcp alone", env: hostIs("tcp://"), want: plain2375},
	{name: "tcp and port", env: hostIs("tcp://:4000"), want: plain4000},
	{name: "tcp without port", env: hostIs("tcp://127.0.0.1"), want: plain2375},
	{name: "tcp with a path", env: hostIs("tcp://127.0.0.1:4000/pre"), want: "127.0.0.1:4000 plain /pre/v1.43/version"},
	{name: "tcp with a slash", env: hostIs("tcp://127.0.0.1:4000/"), want: plain4000},
	{name: "tcp with spaces around it", env: hostIs(" tcp://127.0.0.1:4000\n"), want: plain4000},
	{name: "IPv6", env: hostIs("tcp://[::1]:4000"), want: "[::1]:4000 plain /v1.43/version"},
	{name: "IPv6 without tcp", env: hostIs("[::1]:4000"), want: "[::1]:4000 plain /v1.43/version"},
	{name: "IPv6 without brackets", env: hostIs("tcp://::1"), docker: "[::1]:2375 plain /v1.43/version", want: failed, reason: noHost},
	{name: "tcp with a user", env: hostIs("tcp://user:hunter2@127.0.0.1:4000"), docker: plain4000, want: failed, reason: noHost},
	{name: "tcp with a query", env: hostIs("tcp://127.0.0.1:4000?a=b"), docker: plain4000, want: failed, reason: noHost},
	{name: "tcp with a fragment", env: hostIs("tcp://127.0.0.1:4000#a"), docker: plain4000, want: failed, reason: noHost},
	{name: "port that is none", env: hostIs("tcp://127.0.0.1:99999"), want: failed},
	{name: "port zero", env: hostIs("tcp://127.0.0.1:0"), want: failed},
	{name: "unknown scheme", env: hostIs("gopher://127.0.0.1:4000"), want: failed},
	{name: "scheme in capitals", env: hostIs("TCP://127.0.0.1:4000"), want: failed},
	{name: "scheme of the daemon", env: hostIs("fd://"), want: failed},
	{name: "named pipe", env: hostIs("npipe:////./pipe/docker_engine"), want: failed},
	{name: "one slash", env: hostIs("unix:/var/run/docker.sock"), sockets: systemSocket, want: failed},
	{name: "two words", env: hostIs("two words"), want: failed},
	{name: "http", env: hostIs("http://127.0.0.1:4000"), docker: failed, want: plain4000, reason: https},
	{name: "https", env: hostIs("https://127.0.0.1:4000", "SSL_CERT_FILE", "$DIR/all/ca.pem"), docker: failed, want: tls4000, reason: https},

	// ssh.
	{name: "ssh", env: hostIs("ssh://engine"), want: "ssh engine: docker system dial-stdio plain /v1.43/version"},
	{name: "ssh with user and port", env: hostIs("ssh://me@engine:2222"), want: "ssh me@engine:2222: docker system dial-stdio plain /v1.43/version"},
	{name: "ssh with a socket", env: hostIs("ssh://me@engine/run/own.sock"),
		want: "ssh me@engine: docker --host unix:///run/own.sock system dial-stdio plain /v1.43/version"},
	{name: "ssh with an IPv6 address", env: hostIs("ssh://[::1]:22"), want: "ssh ::1:22: docker system dial-stdio plain /v1.43/version"},
	{name: "ssh in a context", env: chosen, files: stored("prod", "ssh://engine"), want: "ssh engine: docker system dial-stdio plain /v1.43/version"},
	{name: "ssh with a password", env: hostIs("ssh://me:hunter2@engine"), want: failed},
	{name: "ssh with a query", env: hostIs("ssh://engine?a=b"), want: failed},
	{name: "ssh without a host", env: hostIs("ssh://"), want: failed},
	{name: "ssh with an option as host", env: hostIs("ssh://-oProxyCommand=true"),
		docker: "ssh -oProxyCommand=true: docker system dial-stdio plain /v1.43/version", want: failed, reason: noHost},

	// Contexts.
	{name: "context that does not exist", env: vars("DOCKER_CONTEXT", "gone"), sockets: systemSocket, want: failed},
	{name: "context option that does not exist", args: []string{"--context", "gone"}, opts: hostOptions{Context: "gone"}, sockets: systemSocket, want: failed},
	{name: "current context that does not exist", files: map[string]string{"config.json": `{"currentContext":"gone"}`}, sockets: systemSocket, want: failed},
	{name: "context name that is none", env: vars("DOCKER_CONTEXT", "../prod"), files: prod, want: failed},
	{name: "context in another folder", env: vars("DOCKER_CONTEXT", "prod", "DOCKER_CONFIG", "$DIR/config"), want: "127.0.0.1:2375 plain /v1.43/version"},
	{name: "configuration folder that does not exist", env: vars("DOCKER_CONFIG", "$DIR/none"), sockets: systemSocket, want: system},
	{name: "damaged context", env: chosen, files: storedMeta("prod", "{"), want: failed},
	{name: "context of another kind", env: chosen, files: storedMeta("prod", `{"Name":"prod","Endpoints":{"kubernetes":{}}}`), want: failed},
	{name: "context without a host", env: chosen, files: stored("prod", ""), sockets: systemSocket, docker: system, want: failed, reason: noHost},
	{name: "context with a host that is none", env: chosen, files: stored("prod", "gopher://127.0.0.1:4000"), docker: plain4000, want: failed, reason: noHost},
	{name: "context with a socket", env: chosen, files: stored("prod", "unix://$DIR/s/own.sock"), sockets: []string{"$DIR/s/own.sock"},
		want: "unix $DIR/s/own.sock plain /v1.43/version"},
	{name: "context with a path", env: chosen, files: stored("prod", "tcp://127.0.0.1:4000/pre"), want: "127.0.0.1:4000 plain /pre/v1.43/version"},
	{name: "context with http", env: chosen, files: stored("prod", "http://127.0.0.1:4000"), want: plain4000},
	{name: "context with http and no port", env: chosen, files: stored("prod", "http://127.0.0.1"), want: "127.0.0.1:80 plain /v1.43/version"},
	{name: "context with https", env: both(chosen, vars("SSL_CERT_FILE", "$DIR/all/ca.pem")), files: stored("prod", "https://127.0.0.1:4000"),
		docker: plain4000, want: tls4000, reason: https},
	{name: "context without a port", env: chosen, files: stored("prod", "tcp://127.0.0.1"),
		docker: "127.0.0.1:80 plain /v1.43/version", want: plain2375, reason: portPlain},
	{name: "context with certificates", env: chosen, files: prod, copies: storedTLS("prod", "all"), want: tls4000Cert},
	{name: "context with https and certificates", env: chosen, files: stored("prod", "https://127.0.0.1:4000"), copies: storedTLS("prod", "all"), want: tls4000Cert},
	{name: "context with an authority", env: chosen, files: prod, copies: storedTLS("prod", "authority"), want: tls4000},
	{name: "context with certificates where one is required", env: chosen, files: stored("prod", "tcp://127.0.0.1:4001"), copies: storedTLS("prod", "all"),
		want: "127.0.0.1:4001 TLS with certificate /v1.43/version"},
	{name: "context without the certificate required", env: chosen, files: stored("prod", "tcp://127.0.0.1:4001"), copies: storedTLS("prod", "authority"),
		want: "127.0.0.1:4001 TLS refused error"},
	{name: "context with a certificate and no authority", env: both(chosen, vars("SSL_CERT_FILE", "$DIR/all/ca.pem")), files: prod, copies: storedTLS("prod", "pair"), want: tls4000Cert},
	{name: "context with another engine's authority", env: chosen, files: prod, copies: storedTLS("prod", "stranger"), want: refused4000},
	{name: "context with half a pair", env: chosen, files: prod, copies: storedTLS("prod", "nokey"), docker: tls4000, want: failed, reason: whole},
	{name: "context with a key that does not match", env: chosen, files: prod, copies: storedTLS("prod", "mismatch"), want: failed},
	{name: "context with damaged certificates", env: chosen, files: prod, copies: storedTLS("prod", "garbage"), want: failed},
	{name: "context that skips verification", env: chosen, files: storedMeta("prod", endpointJSON("tcp://127.0.0.1:4000", true)), want: tls4000},
	{name: "context with a socket and certificates", env: chosen, files: stored("prod", "unix:///var/run/docker.sock"), copies: storedTLS("prod", "all"),
		sockets: systemSocket, want: system},
	{name: "DOCKER_TLS_VERIFY is not for contexts", env: both(chosen, vars("DOCKER_TLS_VERIFY", "1", "DOCKER_CERT_PATH", "$DIR/all")), files: prod, want: plain4000},

	// config.json.
	{name: "empty config.json", files: map[string]string{"config.json": ""}, sockets: systemSocket, want: system},
	{name: "damaged config.json", files: map[string]string{"config.json": `{"currentContext":"prod",`}, sockets: systemSocket,
		docker: system, want: failed, reason: damaged},
	{name: "current context that is no text", files: map[string]string{"config.json": `{"currentContext":7}`}, sockets: systemSocket,
		docker: system, want: failed, reason: damaged},
	{name: "damaged config.json and DOCKER_HOST", env: hostIs("tcp://127.0.0.1:4000"), files: map[string]string{"config.json": "{"}, want: plain4000},
	{name: "config.json that is a folder", files: map[string]string{"config.json/x": ""}, sockets: systemSocket,
		docker: system, want: failed, reason: damaged},

	// TLS from the environment.
	{name: "DOCKER_TLS_VERIFY and certificates", env: hostIs("tcp://127.0.0.1:4000", "DOCKER_TLS_VERIFY", "1", "DOCKER_CERT_PATH", "$DIR/all"), want: tls4000Cert},
	{name: "any DOCKER_TLS_VERIFY counts", env: hostIs("tcp://127.0.0.1:4000", "DOCKER_TLS_VERIFY", "0", "DOCKER_CERT_PATH", "$DIR/all"), want: tls4000Cert},
	{name: "certificates of the configuration folder", env: hostIs("tcp://127.0.0.1:4000", "DOCKER_TLS_VERIFY", "1"), copies: map[string]string{".": "all"}, want: tls4000Cert},
	{name: "authority alone", env: hostIs("tcp://127.0.0.1:4000", "DOCKER_TLS_VERIFY", "1", "DOCKER_CERT_PATH", "$DIR/authority"), want: tls4000},
	{name: "certificate where one is required", env: hostIs("tcp://127.0.0.1:4001", "DOCKER_TLS_VERIFY", "1", "DOCKER_CERT_PATH", "$DIR/all"),
		want: "127.0.0.1:4001 TLS with certificate /v1.43/version"},
	{name: "no certificate where one is required", env: hostIs("tcp://127.0.0.1:4001", "DOCKER_TLS_VERIFY", "1", "DOCKER_CERT_PATH", "$DIR/authority"),
		want: "127.0.0.1:4001 TLS refused error"},
	{name: "path before https", env: hostIs("tcp://127.0.0.1:4000/pre", "DOCKER_TLS_VERIFY", "1", "DOCKER_CERT_PATH", "$DIR/all"),
		want: "127.0.0.1:4000 TLS with certificate /pre/v1.43/version"},
	{name: "another engine's authority", env: hostIs("tcp://127.0.0.1:4000", "DOCKER_TLS_VERIFY", "1", "DOCKER_CERT_PATH", "$DIR/stranger"), want: refused4000},
	{name: "certificate for another name", env: hostIs("tcp://127.0.0.1:4002", "DOCKER_TLS_VERIFY", "1", "DOCKER_CERT_PATH", "$DIR/all"), want: "127.0.0.1:4002 TLS refused error"},
	{name: "TLS 1.1", env: hostIs("tcp://127.0.0.1:4003", "DOCKER_TLS_VERIFY", "1", "DOCKER_CERT_PATH", "$DIR/all"), want: "127.0.0.1:4003 TLS refused error"},
	{name: "key that does not match", env: hostIs("tcp://127.0.0.1:4000", "DOCKER_TLS_VERIFY", "1", "DOCKER_CERT_PATH", "$DIR/mismatch"), want: failed},
	{name: "key missing", env: hostIs("tcp://127.0.0.1:4000", "DOCKER_TLS_VERIFY", "1", "DOCKER_CERT_PATH", "$DIR/nokey"), docker: tls4000, want: failed, reason: whole},
	{name: "encrypted key", env: hostIs("tcp://127.0.0.1:4000", "DOCKER_TLS_VERIFY", "1", "DOCKER_CERT_PATH", "$DIR/encrypted"), want: failed},
	{name: "damaged certificates", env: hostIs("tcp://127.0.0.1:4000", "DOCKER_TLS_VERIFY", "1", "DOCKER_CERT_PATH", "$DIR/garbage"), want: failed},
	{name: "folder without certificates", env: hostIs("tcp://127.0.0.1:4000", "DOCKER_TLS_VERIFY", "1", "DOCKER_CERT_PATH", "$DIR/none"), want: failed},
	{name: "DOCKER_CERT_PATH alone", env: hostIs("tcp://127.0.0.1:4000", "DOCKER_CERT_PATH", "$DIR/all"), docker: plain4000, want: tls4000Cert, reason: verified},
	{name: "DOCKER_CERT_PATH and an empty DOCKER_TLS_VERIFY", env: hostIs("tcp://127.0.0.1:4000", "DOCKER_CERT_PATH", "$DIR/all", "DOCKER_TLS_VERIFY", ""),
		docker: plain4000, want: tls4000Cert, reason: verified},
	{name: "DOCKER_CERT_PATH alone, another engine's authority", env: hostIs("tcp://127.0.0.1:4000", "DOCKER_CERT_PATH", "$DIR/stranger"),
		docker: plain4000, want: refused4000, reason: verified},
	{name: "DOCKER_CERT_PATH alone and a socket", env: vars("DOCKER_CERT_PATH", "$DIR/all"), sockets: systemSocket, want: system},
	{name: "DOCKER_TLS and certificates", env: hostIs("tcp://127.0.0.1:4000", "DOCKER_TLS", "1", "DOCKER_CERT_PATH", "$DIR/all"), want: tls4000Cert},
	{name: "DOCKER_TLS and another engine's authority", env: hostIs("tcp://127.0.0.1:4000", "DOCKER_TLS", "1", "DOCKER_CERT_PATH", "$DIR/stranger"),
		docker: tls4000Cert, want: refused4000, reason: verified},
	{name: "DOCKER_TLS_VERIFY alone", env: hostIs("tcp://127.0.0.1:4000", "DOCKER_TLS_VERIFY", "1", "SSL_CERT_FILE", "$DIR/all/ca.pem"),
		docker: failed, want: tls4000, reason: systemRoots},
	{name: "DOCKER_TLS_VERIFY alone, engine nobody knows", env: hostIs("tcp://127.0.0.1:4000", "DOCKER_TLS_VERIFY", "1"),
		docker: failed, want: refused4000, reason: systemRoots},
	{name: "certificate and no authority", env: hostIs("tcp://127.0.0.1:4000", "DOCKER_TLS_VERIFY", "1", "DOCKER_CERT_PATH", "$DIR/pair", "SSL_CERT_FILE", "$DIR/all/ca.pem"),
		docker: failed, want: tls4000Cert, reason: systemRoots},
	{name: "TLS without a port", env: hostIs("tcp://127.0.0.1", "DOCKER_TLS_VERIFY", "1", "DOCKER_CERT_PATH", "$DIR/all"),
		docker: "127.0.0.1:2375 TLS with certificate /v1.43/version", want: "127.0.0.1:2376 TLS with certificate /v1.43/version", reason: portTLS},
	{name: "TLS without a host", env: vars("DOCKER_TLS_VERIFY", "1", "DOCKER_CERT_PATH", "$DIR/all"), sockets: systemSocket,
		want: "127.0.0.1:2376 TLS with certificate /v1.43/version"},
	{name: "TLS and a socket", env: hostIs("unix:///var/run/docker.sock", "DOCKER_TLS_VERIFY", "1", "DOCKER_CERT_PATH", "$DIR/all"), sockets: systemSocket, want: system},
	{name: "TLS without certificates and a socket", env: hostIs("unix:///var/run/docker.sock", "DOCKER_TLS_VERIFY", "1"), sockets: systemSocket,
		docker: failed, want: system, reason: unneeded},
	{name: "TLS and ssh", env: hostIs("ssh://engine", "DOCKER_TLS_VERIFY", "1", "DOCKER_CERT_PATH", "$DIR/all"), want: "ssh engine: docker system dial-stdio plain /v1.43/version"},

	// TLS by option.
	{name: "TLS option", args: []string{"-H", "tcp://127.0.0.1:4000", "--tlsverify", "--tlscacert=$DIR/all/ca.pem", "--tlscert=$DIR/all/cert.pem", "--tlskey=$DIR/all/key.pem"},
		opts: hostOptions{Host: "tcp://127.0.0.1:4000", TLS: "$DIR/all"}, want: tls4000Cert},
	{name: "TLS option and a socket", sockets: systemSocket, args: []string{"-H", "unix:///var/run/docker.sock", "--tlsverify", "--tlscacert=$DIR/all/ca.pem"},
		opts: hostOptions{Host: "unix:///var/run/docker.sock", TLS: "$DIR/all"}, docker: system, want: failed, reason: noTLSOption},
	{name: "TLS without verification by option", args: []string{"-H", "tcp://127.0.0.1:4000", "--tls", "--tlscacert=$DIR/stranger/ca.pem"},
		opts: hostOptions{Host: "tcp://127.0.0.1:4000", TLS: "$DIR/authority", Insecure: true}, want: tls4000},

	// API version.
	{name: "DOCKER_API_VERSION", env: hostIs("tcp://127.0.0.1:4000", "DOCKER_API_VERSION", "1.41"), want: "127.0.0.1:4000 plain /v1.41/version"},
	{name: "DOCKER_API_VERSION with a v", env: hostIs("tcp://127.0.0.1:4000/pre", "DOCKER_API_VERSION", "v1.41"), want: "127.0.0.1:4000 plain /pre/v1.41/version"},
	{name: "DOCKER_API_VERSION and a context", env: both(chosen, vars("DOCKER_API_VERSION", "1.41")), files: prod, want: "127.0.0.1:4000 plain /v1.41/version"},
	{name: "empty DOCKER_API_VERSION", env: hostIs("tcp://127.0.0.1:4000", "DOCKER_API_VERSION", ""), want: plain4000},
	{name: "DOCKER_API_VERSION that is none", env: hostIs("tcp://127.0.0.1:4000", "DOCKER_API_VERSION", "latest"),
		docker: "127.0.0.1:4000 plain /vlatest/version", want: failed, reason: badVersion},
	{name: "DOCKER_API_VERSION before services", env: hostIs("tcp://127.0.0.1:4000", "DOCKER_API_VERSION", "1.10"),
		docker: "127.0.0.1:4000 plain /v1.10/version", want: failed, reason: badVersion},

	// Proxies.
	{name: "proxy", env: hostIs("tcp://192.0.2.1:2375", "HTTP_PROXY", "http://127.0.0.1:4000"), want: "127.0.0.1:4000 plain http://192.0.2.1:2375/v1.43/version"},
	{name: "proxy not wanted", env: hostIs("tcp://192.0.2.1:2375", "HTTP_PROXY", "http://127.0.0.1:4000", "NO_PROXY", "192.0.2.0/24"), want: "192.0.2.1:2375 plain /v1.43/version"},
	{name: "proxy of https is not for plain HTTP", env: hostIs("tcp://192.0.2.1:2375", "HTTPS_PROXY", "http://127.0.0.1:4000"), want: "192.0.2.1:2375 plain /v1.43/version"},
	{name: "proxy and loopback", env: hostIs("tcp://127.0.0.1:2375", "HTTP_PROXY", "http://127.0.0.1:4000"), want: plain2375},
	{name: "proxy and a socket", env: vars("HTTP_PROXY", "http://127.0.0.1:4000"), sockets: systemSocket, want: system},
}

// hostErrors is what we say where we fail, by the name of the row.
var hostErrors = map[string]string{
	"nothing named, nobody there":                        "dial unix /var/run/docker.sock: connect: no such file or directory (is the engine running",
	"host and context options":                           "WithContext: cannot be combined with WithHost",
	"unix, nobody there":                                 "dial unix $DIR/s/none.sock: connect: no such file or directory (is the engine running",
	"unix with a relative path":                          `DOCKER_HOST: socket path that is not absolute in "unix://s/own.sock"`,
	"a path without scheme":                              `DOCKER_HOST: no scheme, unix:// or tcp:// for instance, in "/pre"`,
	"IPv6 without brackets":                              `DOCKER_HOST: more than one colon, IPv6 addresses need brackets, in "tcp://::1"`,
	"tcp with a user":                                    `DOCKER_HOST: user or password, which is not supported, in "tcp://***@127.0.0.1:4000"`,
	"tcp with a query":                                   `DOCKER_HOST: query or fragment in "tcp://127.0.0.1:4000?***"`,
	"tcp with a fragment":                                `DOCKER_HOST: query or fragment in "tcp://127.0.0.1:4000#***"`,
	"port that is none":                                  `DOCKER_HOST: invalid port in "tcp://127.0.0.1:99999"`,
	"port zero":                                          `DOCKER_HOST: invalid port in "tcp://127.0.0.1:0"`,
	"unknown scheme":                                     `DOCKER_HOST: unknown scheme "gopher"`,
	"scheme in capitals":                                 `DOCKER_HOST: unknown scheme "TCP"`,
	"scheme of the daemon":                               `DOCKER_HOST: unknown scheme "fd"`,
	"named pipe":                                         "DOCKER_HOST: named pipe, which only Windows has,",
	"one slash":                                          `DOCKER_HOST: no scheme, unix:// or tcp:// for instance, in "unix:/var/run/docker.sock"`,
	"two words":                                          `DOCKER_HOST: invalid host name in "two words"`,
	"ssh with a password":                                `DOCKER_HOST: password, which is not supported, use a key or an agent, in "ssh://***@engine"`,
	"ssh with a query":                                   `DOCKER_HOST: query or fragment in "ssh://engine?***"`,
	"ssh without a host":                                 `DOCKER_HOST: no host name in "ssh://"`,
	"ssh with an option as host":                         `DOCKER_HOST: invalid host name in "ssh://-oProxyCommand=true"`,
	"context that does not exist":                        `DOCKER_CONTEXT: context "gone" does not exist`,
	"context option that does not exist":                 `WithContext: context "gone" does not exist`,
	"current context that does not exist":                `$CONFIG/config.json: currentContext: context "gone" does not exist`,
	"context name that is none":                          `DOCKER_CONTEXT: context "../prod": no valid name`,
	"damaged context":                                    "meta.json: damaged: no valid JSON",
	"context of another kind":                            "meta.json: no docker endpoint",
	"context without a host":                             "meta.json: the docker endpoint has no host",
	"context with a host that is none":                   `DOCKER_CONTEXT: context "prod": unknown scheme "gopher"`,
	"context without the certificate required":           "the engine wants a client certificate that it knows",
	"context with another engine's authority":            "certificate signed by unknown authority",
	"context with half a pair":                           "docker/cert.pem: there is no key.pem beside it",
	"context with a key that does not match":             "docker/key.pem: no private key that belongs to ",
	"context with damaged certificates":                  "docker/ca.pem: no certificate in it",
	"damaged config.json":                                "$CONFIG/config.json: damaged: no valid JSON",
	"current context that is no text":                    "$CONFIG/config.json: damaged: the JSON at byte 19 is of another type",
	"config.json that is a folder":                       "$CONFIG/config.json: not a regular file",
	"no certificate where one is required":               "the engine wants a client certificate that it knows",
	"another engine's authority":                         "certificate signed by unknown authority",
	"certificate for another name":                       "cannot validate certificate for 127.0.0.1",
	"TLS 1.1":                                            "tls: protocol version not supported",
	"key that does not match":                            "DOCKER_CERT_PATH: $DIR/mismatch/key.pem: no private key that belongs to $DIR/mismatch/cert.pem",
	"key missing":                                        "DOCKER_CERT_PATH: $DIR/nokey/cert.pem: there is no key.pem beside it",
	"encrypted key":                                      "DOCKER_CERT_PATH: $DIR/encrypted/key.pem: the key is encrypted",
	"damaged certificates":                               "DOCKER_CERT_PATH: $DIR/garbage/ca.pem: no certificate in it",
	"folder without certificates":                        "DOCKER_CERT_PATH: neither ca.pem nor cert.pem in $DIR/none",
	"DOCKER_CERT_PATH alone, another engine's authority": "certificate signed by unknown authority",
	"DOCKER_TLS and another engine's authority":          "certificate signed by unknown authority",
	"DOCKER_TLS_VERIFY alone, engine nobody knows":       "certificate signed by unknown authority",
	"TLS option and a socket":                            `WithTLS: "unix:///var/run/docker.sock" speaks no TLS`,
	"DOCKER_API_VERSION that is none":                    `DOCKER_API_VERSION: "latest" is no API version`,
	"DOCKER_API_VERSION before services":                 "DOCKER_API_VERSION: 1.10 is older than 1.24",
}

// minHostRows is how many combinations are compared at least, hostDeviations how many
// of them we do not do as the docker command does.
const (
	minHostRows    = 40
	hostDeviations = 33
)

// TestEngineIsFoundAsTheDockerCommandFindsIt runs the docker command and us in
// the same environments, before the same listeners. All of it, and the default
// socket and ports, is in namespaces of its own: nothing of the machine is
// touched or asked.
func TestEngineIsFoundAsTheDockerCommandFindsIt(t *testing.T) {
	t.Parallel()
	require.GreaterOrEqual(t, len(hostRows), minHostRows)
	results := runHostLab(t, dockerCommand(t))
	require.Len(t, results, len(hostRows))
	deviations, failures := 0, 0
	for i, row := range hostRows {
		t.Run(row.name, func(t *testing.T) {
			result := results[i]
			docker := row.docker
			if row.reason == "" {
				require.Empty(t, docker)
				docker = row.want
			} else {
				require.NotEqual(t, docker, row.want)
				deviations++
			}
			assert.Equal(t, docker, result.Docker.Outcome, "docker command: %s", result.Docker.Output)
			assert.Equal(t, row.want, result.Ours.Outcome, "swarm: %s", result.Ours.Output)
			says, fails := hostErrors[row.name]
			require.Equal(t, strings.HasSuffix(row.want, failed), fails, "hostErrors says why")
			if fails {
				failures++
				assert.Contains(t, result.Ours.Output, says)
			}
			for _, secret := range []string{"hunter2", "PRIVATE KEY"} {
				assert.NotContains(t, result.Ours.Output, secret)
			}
		})
	}
	assert.Equal(t, hostDeviations, deviations)
	assert.Equal(t, len(hostErrors), failures, "a row that hostErrors names")
	t.Logf("note: %d environments in which an engine is looked for, in %d not as the docker command does", len(hostRows), deviations)
}

// dockerCommand is the docker command to compare with: the newest we have an
// engine of.
func dockerCommand(t *testing.T) string { return dockerCommandOf(t, "28.5") }

// dockerCommandOf is the docker command of a release, or SWARM_TEST_DOCKER.
func dockerCommandOf(t *testing.T, release string) string {
	if path := os.Getenv("SWARM_TEST_DOCKER"); path != "" {
		return path
	}
	path, err := engines.DockerCommand(t.Context(), release)
	require.NoError(t, err)
	return path
}

// hostResult is what came of one row.
type hostResult struct{ Docker, Ours hostAttempt }

type hostAttempt struct {
	Outcome string
	Output  string
}

// runHostLab runs this program again in namespaces of its own (hostlab_test.go).
func runHostLab(t *testing.T, docker string) []hostResult {
	dir, err := os.MkdirTemp("", "host") // short: socket paths are
	require.NoError(t, err)
	defer os.RemoveAll(dir)
	self, err := os.Executable()
	require.NoError(t, err)

	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, self)
	cmd.Env = append(os.Environ(), hostLabRole+"=lab", hostLabDir+"="+dir, hostLabDocker+"="+docker)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWNET | syscall.CLONE_NEWPID,
		Pdeathsig:  syscall.SIGKILL, // and everything in its pid namespace with it
	}
	if uid := os.Geteuid(); uid != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: uid, Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}}
	}
	runtime.LockOSThread() // the signal comes when the thread ends
	defer runtime.UnlockOSThread()
	require.NoError(t, cmd.Run(), "%s", stderr.String())

	var results []hostResult
	require.NoError(t, json.Unmarshal(stdout.Bytes(), &results), "%s%s", stdout.String(), stderr.String())
	return results
}

func configDir(home string) string { return filepath.Join(home, ".docker") }

// expand puts in the folders of a row.
func expand(s, dir, home string) string {
	return strings.NewReplacer("$DIR", dir, "$CONFIG", configDir(home)).Replace(s)
}
