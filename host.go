package swarm

import (
	"crypto/tls"
	"os"
	"runtime"
)

// endpoint is one engine: where it is and what it takes to reach it.
type endpoint struct {
	host    string      // as it was written, for Client.Host and error texts
	source  string      // what named it: "WithHost", "DOCKER_HOST", `context "prod"`, "default"
	scheme  string      // "unix", "npipe", "ssh", "tcp", "http" or "https"
	address string      // socket or pipe path, host:port, or [user@]host[:port] for ssh
	path    string      // tcp, http, https: what stands before the API version in every URL; ssh: the socket over there
	tls     *tls.Config // nil: plain
}

// environ is what New reads of its surroundings; tests put in their own.
type environ struct {
	getenv func(string) string
	home   func() (string, error)
	goos   string
}

func osEnviron() environ {
	return environ{getenv: os.Getenv, home: os.UserHomeDir, goos: runtime.GOOS}
}
