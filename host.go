package swarm

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/user"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/swarm-go/swarm/internal/dockerconfig"
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
	socket string // where the system's own engine listens; empty is /var/run/docker.sock
}

func osEnviron() environ {
	return environ{getenv: os.Getenv, home: homeDir, goos: runtime.GOOS}
}

// homeDir asks the system's user database where HOME is not set, as under some
// service managers.
func homeDir() (string, error) {
	home, err := os.UserHomeDir()
	if err == nil {
		return home, nil
	}
	if u, lookupErr := user.Current(); lookupErr == nil && u.HomeDir != "" {
		return u.HomeDir, nil
	}
	return "", err
}

// The engine is found as the docker command finds it, except:
//
//	a host that is no host is an error             the command dials something: /var/run/docker.sock
//	                                               without a scheme is TCP port 2375 of localhost to it,
//	                                               a context without a host the default socket; relative
//	                                               sockets, users, queries in tcp://, options as ssh hosts
//	a damaged config.json is an error              the command warns, and goes to the default engine
//	                                               instead of the context chosen
//	a context whose key or certificate is missing  the command leaves the certificate out
//	  is an error
//	DOCKER_CERT_PATH alone means TLS, verified     the command ignores it, and speaks in the clear
//	DOCKER_TLS verifies too                        the command accepts any certificate
//	DOCKER_TLS_VERIFY without ca.pem trusts the    the command fails, even if the engine's certificate
//	  system's roots                               comes from a public authority
//	no certificates are read for sockets and ssh   the command fails on a missing ca.pem it has no use for
//	TLS without a port is port 2376                the command takes 2375, which is for plain HTTP
//	tcp:// without a port in a context is 2375     the command takes 80
//	http:// and https:// are understood            the command takes them in contexts only, and speaks
//	                                               plain HTTP to https
//	rootless and Desktop sockets are tried if      the command needs a context for them
//	  /var/run/docker.sock is absent
//	WithTLS with a socket is an error              the command leaves --tls options for sockets without effect
//	DOCKER_API_VERSION is checked                  the command puts anything into the URL
//
// A file is read only if it decides something: with DOCKER_HOST a damaged
// config.json goes unnoticed.

// resolveEndpoint finds the engine the options and the environment name, and
// pins the API version if DOCKER_API_VERSION does. Its errors start with what
// was read. Files are read, nothing is dialled.
func resolveEndpoint(c *config) (*endpoint, error) {
	named, err := nameHost(c)
	if err != nil {
		return nil, err
	}
	at, err := parseHost(named.host, c.environ.goos)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", named.read, err)
	}
	config, err := chooseTLS(c, named, at)
	if err != nil {
		return nil, err
	}
	if err := pinAPIVersion(c); err != nil {
		return nil, err
	}
	return &endpoint{
		host:    named.host,
		source:  named.source,
		scheme:  at.scheme,
		address: at.address(config != nil),
		path:    at.path,
		tls:     config,
	}, nil
}

// namedHost is a host as something named it.
type namedHost struct {
	host   string
	source string                      // for endpoint.source
	read   string                      // how errors name the source: it says which variable or file chose a context
	tls    func() (*tls.Config, error) // what TLS the source asks for, nil for none; not called for sockets
}

func nameHost(c *config) (*namedHost, error) {
	if c.host != "" {
		noTLS := func() (*tls.Config, error) { return nil, nil }
		return &namedHost{host: c.host, source: "WithHost", read: "WithHost", tls: noTLS}, nil
	}
	name, read, err := chooseContext(c)
	if err != nil {
		return nil, err
	}
	if name == dockerconfig.Default {
		return environmentHost(c.environ), nil
	}
	dir, err := dockerconfig.Dir(c.environ.getenv, c.environ.home)
	if err != nil {
		return nil, fmt.Errorf("%s: context %.64q: %w", read, name, err)
	}
	found, err := dockerconfig.LoadContext(dir, name)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", read, err)
	}
	source := fmt.Sprintf("context %q", name)
	read += ": " + source
	asked := func() (*tls.Config, error) { return contextTLS(found, read) }
	return &namedHost{host: found.Host, source: source, read: read, tls: asked}, nil
}

// chooseContext gives the context's name and what named it. DOCKER_HOST means
// the default context, whatever DOCKER_CONTEXT says.
func chooseContext(c *config) (name, read string, err error) {
	if c.context != "" {
		return c.context, "WithContext", nil
	}
	if c.environ.getenv("DOCKER_HOST") != "" {
		return dockerconfig.Default, "DOCKER_HOST", nil
	}
	if name := c.environ.getenv("DOCKER_CONTEXT"); name != "" {
		return name, "DOCKER_CONTEXT", nil
	}
	dir, err := dockerconfig.Dir(c.environ.getenv, c.environ.home)
	if err != nil { // nobody's home: no config.json either
		return dockerconfig.Default, "", nil
	}
	file, err := dockerconfig.Load(dir)
	if err != nil {
		return "", "", err
	}
	if file.CurrentContext == "" {
		return dockerconfig.Default, "", nil
	}
	return file.CurrentContext, file.Path + ": currentContext", nil
}

func contextTLS(found *dockerconfig.Context, read string) (*tls.Config, error) {
	if found.TLS.Empty() && !found.SkipTLSVerify {
		return nil, nil
	}
	config, err := found.TLS.Config()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", read, err)
	}
	config.InsecureSkipVerify = found.SkipTLSVerify
	return config, nil
}

// environmentHost is the docker command's default context.
func environmentHost(env environ) *namedHost {
	asked := func() (*tls.Config, error) { return environmentTLS(env) }
	host := strings.TrimSpace(env.getenv("DOCKER_HOST"))
	if host == "" {
		return &namedHost{host: defaultHost(env), source: "default", read: "default host", tls: asked}
	}
	return &namedHost{host: host, source: "DOCKER_HOST", read: "DOCKER_HOST", tls: asked}
}

func defaultHost(env environ) string {
	if env.getenv("DOCKER_TLS_VERIFY") != "" || env.getenv("DOCKER_TLS") != "" {
		return "tcp://localhost:2376"
	}
	if env.goos == "windows" {
		return "npipe://" + defaultPipe
	}
	system := env.socket
	if system == "" {
		system = defaultSocket
	}
	if _, err := os.Stat(system); !errors.Is(err, os.ErrNotExist) {
		return "unix://" + system
	}
	for _, path := range userSockets(env) {
		info, err := os.Stat(path)
		if err == nil && info.Mode()&os.ModeSocket != 0 {
			return "unix://" + path
		}
	}
	return "unix://" + system
}

// userSockets is where engines listen that belong to one user: rootless ones
// and Docker Desktop.
func userSockets(env environ) []string {
	var paths []string
	if dir := env.getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(dir) {
		paths = append(paths, filepath.Join(dir, "docker.sock"))
	}
	if home, err := env.home(); err == nil && filepath.IsAbs(home) {
		paths = append(paths,
			filepath.Join(home, ".docker", "run", "docker.sock"),
			filepath.Join(home, ".docker", "desktop", "docker.sock"))
	}
	return paths
}

// environmentTLS is what DOCKER_TLS_VERIFY, DOCKER_TLS and DOCKER_CERT_PATH ask
// for. Any value but the empty one counts, "0" too, as for the docker command.
func environmentTLS(env environ) (*tls.Config, error) {
	if dir := env.getenv("DOCKER_CERT_PATH"); dir != "" {
		files, err := dockerconfig.FindTLS(dir)
		if err == nil && files.Empty() {
			err = fmt.Errorf("neither ca.pem nor cert.pem in %s", dir)
		}
		return readTLS("DOCKER_CERT_PATH", files, err)
	}
	variable := "DOCKER_TLS_VERIFY"
	if env.getenv(variable) == "" {
		variable = "DOCKER_TLS"
	}
	if env.getenv(variable) == "" {
		return nil, nil
	}
	dir, err := dockerconfig.Dir(env.getenv, env.home)
	if err != nil { // no folder, no certificates: the system's roots
		return &tls.Config{}, nil
	}
	files, err := dockerconfig.FindTLS(dir)
	return readTLS(variable, files, err)
}

func readTLS(read string, files dockerconfig.TLSFiles, err error) (*tls.Config, error) {
	var config *tls.Config
	if err == nil {
		config, err = files.Config()
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", read, err)
	}
	return config, nil
}

// chooseTLS gives nil for a plain connection. TLS that anything asks for is
// never left out.
func chooseTLS(c *config, named *namedHost, at location) (*tls.Config, error) {
	if !at.network() {
		if c.tls != nil {
			return nil, fmt.Errorf("WithTLS: %s speaks no TLS on %s hosts", quoteHost(named.host), at.scheme)
		}
		return nil, nil
	}
	config, asker := c.tls, "WithTLS"
	if config == nil {
		var err error
		if config, err = named.tls(); err != nil {
			return nil, err
		}
		asker = named.read
	}
	if config == nil && at.scheme == "https" {
		config = &tls.Config{}
	}
	if config == nil {
		return nil, nil
	}
	if at.scheme == "http" {
		return nil, fmt.Errorf("%s: TLS is asked for, but %s is plain; write https:// or tcp://", asker, quoteHost(named.host))
	}
	if config.MaxVersion != 0 && config.MaxVersion < tls.VersionTLS12 {
		return nil, fmt.Errorf("%s: the newest TLS version allowed is older than 1.2", asker)
	}
	config = config.Clone()
	config.MinVersion = max(config.MinVersion, tls.VersionTLS12)
	config.InsecureSkipVerify = config.InsecureSkipVerify || c.insecure
	if config.ServerName == "" {
		config.ServerName = at.serverName()
	}
	return config, nil
}

func pinAPIVersion(c *config) error {
	text := c.environ.getenv("DOCKER_API_VERSION")
	if text == "" || c.apiVersion != "" || c.host != "" {
		return nil
	}
	v, err := parseVersion(strings.TrimPrefix(text, "v"))
	if err != nil {
		return fmt.Errorf("DOCKER_API_VERSION: %w", err)
	}
	if v.less(minVersion) {
		return fmt.Errorf("DOCKER_API_VERSION: %s is older than %s, the oldest version supported", v, minVersion)
	}
	c.apiVersion = v.String()
	return nil
}

const (
	defaultSocket = "/var/run/docker.sock"
	defaultPipe   = "//./pipe/docker_engine"
)

// location is a host taken apart.
type location struct {
	scheme string
	user   string // ssh
	name   string // host name or IP address without brackets
	port   string // empty if none is written
	path   string // what follows the host
	local  string // socket or pipe
}

// network says that HTTP goes over TCP, with or without TLS.
func (l location) network() bool {
	return l.scheme == "tcp" || l.scheme == "http" || l.scheme == "https"
}

// serverName is what the engine's certificate must be for.
func (l location) serverName() string {
	name, _, _ := strings.Cut(l.name, "%")
	return strings.TrimSuffix(name, ".")
}

func (l location) address(encrypted bool) string {
	switch {
	case l.scheme == "ssh":
		return l.sshAddress()
	case !l.network():
		return l.local
	case l.port != "":
		return net.JoinHostPort(l.name, l.port)
	case l.scheme == "http":
		return net.JoinHostPort(l.name, "80")
	case l.scheme == "https":
		return net.JoinHostPort(l.name, "443")
	case encrypted:
		return net.JoinHostPort(l.name, "2376")
	}
	return net.JoinHostPort(l.name, "2375")
}

func (l location) sshAddress() string {
	address := l.name
	if strings.Contains(address, ":") {
		address = "[" + address + "]"
	}
	if l.user != "" {
		address = l.user + "@" + address
	}
	if l.port != "" {
		address += ":" + l.port
	}
	return address
}

// maxHost bounds what is taken apart; the longest sensible host is far shorter.
const maxHost = 4096

// parseHost takes a host apart. What it cannot use completely it refuses, so
// that nothing a user wrote is left out in silence.
func parseHost(host, goos string) (location, error) {
	if len(host) > maxHost {
		return location{}, fmt.Errorf("the host is longer than %d bytes: %s", maxHost, quoteHost(host))
	}
	at, err := parseScheme(host, goos)
	if err != nil {
		return location{}, fmt.Errorf("%w in %s", err, quoteHost(host))
	}
	return at, nil
}

func parseScheme(host, goos string) (location, error) {
	if !utf8.ValidString(host) || strings.ContainsFunc(host, unicode.IsControl) {
		return location{}, errors.New("control character or invalid UTF-8")
	}
	scheme, rest, found := strings.Cut(host, "://")
	if !found { // "host:2375", as the docker command takes it
		if strings.Contains(host, "/") {
			return location{}, errors.New("no scheme, unix:// or tcp:// for instance,")
		}
		scheme, rest = "tcp", host
	}
	switch scheme {
	case "unix":
		return parseSocket(rest, goos)
	case "npipe":
		return parsePipe(rest, goos)
	case "ssh":
		return parseSSH(rest)
	case "tcp", "http", "https":
		return parseNetwork(scheme, rest)
	}
	if !schemeName.MatchString(scheme) {
		return location{}, errors.New("invalid scheme")
	}
	return location{}, fmt.Errorf("unknown scheme %q", scheme)
}

var schemeName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9+.-]{0,31}$`)

func parseSocket(path, goos string) (location, error) {
	if path == "" {
		path = defaultSocket
	}
	if !strings.HasPrefix(path, "/") {
		return location{}, errors.New("socket path that is not absolute")
	}
	if limit := socketPathLimit(goos); len(path) > limit {
		return location{}, fmt.Errorf("socket path of %d bytes, the system's limit is %d,", len(path), limit)
	}
	return location{scheme: "unix", local: path}, nil
}

// socketPathLimit is the size of sun_path without its final zero.
func socketPathLimit(goos string) int {
	switch goos {
	case "darwin", "freebsd", "netbsd", "openbsd", "dragonfly", "ios":
		return 103
	}
	return 107
}

var pipePath = regexp.MustCompile(`^//[A-Za-z0-9.-]+/pipe/[A-Za-z0-9_. \\-]{1,200}$`)

func parsePipe(path, goos string) (location, error) {
	if goos != "windows" {
		return location{}, errors.New("named pipe, which only Windows has,")
	}
	if path == "" {
		path = defaultPipe
	}
	if !pipePath.MatchString(path) {
		return location{}, errors.New("no pipe, like npipe:////./pipe/docker_engine,")
	}
	return location{scheme: "npipe", local: path}, nil
}

// basePath is URL path segments that mean the same escaped and not.
var basePath = regexp.MustCompile(`^(/[A-Za-z0-9_.~!$&'()*+,;=:-]+)*$`)

func parseNetwork(scheme, rest string) (location, error) {
	if strings.Contains(rest, "@") {
		return location{}, errors.New("user or password, which is not supported,")
	}
	if strings.ContainsAny(rest, "?#") {
		return location{}, errors.New("query or fragment")
	}
	authority, path := cutAuthority(rest)
	name, port, err := splitHostPort(authority)
	if err != nil {
		return location{}, err
	}
	if name == "" && scheme == "tcp" {
		name = "localhost"
	}
	if err := checkHostName(name); err != nil {
		return location{}, err
	}
	path = strings.TrimRight(path, "/")
	if !basePath.MatchString(path) || dotSegment(path) {
		return location{}, errors.New("path that is no plain URL path")
	}
	return location{scheme: scheme, name: name, port: port, path: path}, nil
}

func dotSegment(path string) bool {
	for segment := range strings.SplitSeq(path, "/") {
		if segment == "." || segment == ".." {
			return true
		}
	}
	return false
}

// What ssh gets on its command line, and the shell at the other end, is limited
// to characters that mean nothing to either.
var (
	sshLogin  = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,254}$`)
	sshSocket = regexp.MustCompile(`^(/[A-Za-z0-9_.,:+@-]+)+$`)
)

func parseSSH(rest string) (location, error) {
	if strings.ContainsAny(rest, "?#") {
		return location{}, errors.New("query or fragment")
	}
	authority, path := cutAuthority(rest)
	var user string
	if i := strings.LastIndex(authority, "@"); i >= 0 {
		user, authority = authority[:i], authority[i+1:]
		if strings.Contains(user, ":") {
			return location{}, errors.New("password, which is not supported, use a key or an agent,")
		}
		if !sshLogin.MatchString(user) {
			return location{}, errors.New("invalid user name")
		}
	}
	name, port, err := splitHostPort(authority)
	if err != nil {
		return location{}, err
	}
	if err := checkHostName(name); err != nil {
		return location{}, err
	}
	if path == "/" {
		path = ""
	}
	if path != "" && !sshSocket.MatchString(path) {
		return location{}, errors.New("no plain socket path")
	}
	if limit := socketPathLimit("linux"); len(path) > limit {
		return location{}, fmt.Errorf("socket path of %d bytes, the limit is %d,", len(path), limit)
	}
	return location{scheme: "ssh", user: user, name: name, port: port, path: path}, nil
}

func cutAuthority(rest string) (authority, path string) {
	if i := strings.IndexByte(rest, '/'); i >= 0 {
		return rest[:i], rest[i:]
	}
	return rest, ""
}

// splitHostPort is net.SplitHostPort with a port that may be left out.
func splitHostPort(authority string) (name, port string, err error) {
	if after, ok := strings.CutPrefix(authority, "["); ok {
		var rest string
		if name, rest, ok = strings.Cut(after, "]"); !ok || !isIPv6(name) {
			return "", "", errors.New("invalid IPv6 address")
		}
		name = strings.Replace(name, "%25", "%", 1) // a zone, escaped as in URLs
		authority = rest
		if rest != "" && rest[0] != ':' {
			return "", "", errors.New("invalid port")
		}
	} else if strings.Count(authority, ":") > 1 {
		return "", "", errors.New("more than one colon, IPv6 addresses need brackets,")
	}
	host, port, found := strings.Cut(authority, ":")
	if found && !validPort(port) {
		return "", "", errors.New("invalid port")
	}
	return name + host, port, nil
}

func validPort(port string) bool {
	n, err := strconv.ParseUint(port, 10, 16)
	return err == nil && n > 0
}

var zone = regexp.MustCompile(`^[A-Za-z0-9_.-]*$`)

func isIPv6(s string) bool {
	ip, err := netip.ParseAddr(s)
	return err == nil && ip.Is6() && zone.MatchString(ip.Zone())
}

// hostLabel is RFC 1123's, with the underscores that container names and ssh
// aliases have.
var hostLabel = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?$`)

// checkHostName accepts names and IP addresses. A name that ends in a number
// is an address somebody mistyped.
func checkHostName(name string) error {
	if name == "" {
		return errors.New("no host name")
	}
	if _, err := netip.ParseAddr(name); err == nil {
		return nil
	}
	labels := strings.Split(strings.TrimSuffix(name, "."), ".")
	for _, label := range labels {
		if !hostLabel.MatchString(label) {
			return errors.New("invalid host name")
		}
	}
	if _, err := strconv.ParseUint(labels[len(labels)-1], 10, 64); err == nil || len(name) > 253 {
		return errors.New("invalid host name")
	}
	return nil
}

// quoteHost is a host for error texts: short, and without what could be a
// secret, which users put before an @ and into queries.
func quoteHost(host string) string {
	scheme, rest, found := strings.Cut(host, "://")
	if !found || !schemeName.MatchString(scheme) {
		scheme, rest = "", host
	} else {
		scheme += "://"
	}
	if scheme != "unix://" && scheme != "npipe://" {
		if i := strings.LastIndex(rest, "@"); i >= 0 {
			rest = "***" + rest[i:]
		}
		if i := strings.IndexAny(rest, "?#"); i >= 0 {
			rest = rest[:i+1] + "***"
		}
	}
	host = scheme + rest
	if utf8.RuneCountInString(host) > 100 {
		return fmt.Sprintf("%.100q...", host)
	}
	return strconv.Quote(host)
}
