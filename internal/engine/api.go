package engine

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"regexp"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
)

// route is an endpoint: what answers requests of that method for paths of that
// pattern. In a pattern {id} is one segment, {name...} is any number of them.
type route struct {
	method, pattern string
	// since is N in 1.N, the first API version with the endpoint.
	since int
	// handle answers. It takes the world's lock itself, for as short as it can,
	// and never while it writes. What it returns is the refusal to answer with,
	// if it has not answered.
	handle func(*call) error

	path *regexp.Regexp
}

// routes is all that a daemon answers. Each file of handlers has a list of its
// own.
var routes = compile(slices.Concat(
	swarmRoutes,
	systemRoutes,
))

// call is one request.
type call struct {
	daemon *Daemon
	w      http.ResponseWriter
	r      *http.Request
	// version is N in 1.N, the API version that is asked for: the newest of the
	// engine if the path has none.
	version int
	// vars are what the braces of the pattern stand for.
	vars map[string]string
}

// errNoPage refuses what no engine answers.
var errNoPage = refuse(http.StatusNotFound, "page not found")

// ServeHTTP answers as the Engine API does.
func (d *Daemon) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	version, path, err := d.apiVersion(r.URL.Path)
	w.Header().Set("Date", d.world.now().Format(http.TimeFormat)) // by the engine's clock
	c := &call{daemon: d, w: w, r: r, version: version}
	defer c.recover()
	switch err {
	case nil:
		err = c.dispatch(path)
	case errNoPage:
	default:
		c.introduce()
	}
	if err != nil {
		c.refuse(err)
	}
}

// recover answers with a mistake of ours, which net/http would not tell anybody.
func (c *call) recover() {
	switch mistake := recover(); mistake {
	case nil:
	case http.ErrAbortHandler:
		panic(mistake)
	default:
		c.refuse(fmt.Errorf("embedded engine: panic: %v\n%s", mistake, debug.Stack()))
	}
}

// introduce says which engine this is. Where there is no page there is no engine.
func (c *call) introduce() {
	h, release := c.w.Header(), c.daemon.release
	h.Set("Api-Version", "1."+strconv.Itoa(release.API))
	h.Set("Server", fmt.Sprintf("Docker/%s (linux)", release.Engine))
	h.Set("Ostype", "linux")
}

// dispatch finds the handler. Engines match decoded paths.
func (c *call) dispatch(path string) error {
	for _, route := range routes {
		if route.method != c.r.Method {
			continue
		}
		match := route.path.FindStringSubmatch(path)
		if match == nil || c.version < route.since {
			continue
		}
		c.vars = map[string]string{}
		for i, name := range route.path.SubexpNames() {
			if name != "" {
				c.vars[name] = match[i]
			}
		}
		c.introduce()
		c.w.Header().Set("Docker-Experimental", "false")
		return route.handle(c)
	}
	return errNoPage
}

var versioned = regexp.MustCompile(`^/v([0-9.]+)(/.*)$`)

// apiVersion takes the version off a path and checks it.
func (d *Daemon) apiVersion(path string) (version int, rest string, err error) {
	match := versioned.FindStringSubmatch(path)
	if match == nil {
		return d.release.API, path, nil
	}
	major, minor, _ := strings.Cut(match[1], ".")
	minor, _, patched := strings.Cut(minor, ".")
	x, errMajor := strconv.Atoi(major)
	n, errMinor := strconv.Atoi("0" + minor)
	if errMajor != nil || errMinor != nil {
		return d.release.API, "", errNoPage
	}
	switch {
	case x > 1 || x == 1 && n > d.release.API || patched && n == d.release.API && d.release.exactVersions:
		return d.release.API, "", refuse(http.StatusBadRequest,
			"client version %s is too new. Maximum supported API version is 1.%d", match[1], d.release.API)
	case x < 1 || n < d.release.MinAPI:
		return n, "", refuse(http.StatusBadRequest,
			"client version %s is too old. Minimum supported API version is 1.%d, please upgrade your client to a newer version",
			match[1], d.release.MinAPI)
	}
	return n, match[2], nil
}

// json answers with a JSON body.
func (c *call) json(status int, body any) error {
	var encoded bytes.Buffer
	encoder := json.NewEncoder(&encoded)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(body); err != nil {
		return fmt.Errorf("embedded engine: encode answer: %w", err)
	}
	c.w.Header().Set("Content-Type", "application/json")
	c.w.WriteHeader(status)
	c.w.Write(withoutUnknown(encoded.Bytes(), c.daemon.release))
	return nil
}

// decode reads the body, which is to be JSON. Nothing is read where there is
// none, except by old engines, which refuse that.
func (c *call) decode(into any) error {
	old := c.daemon.release.oldJSON
	if !old {
		if err := c.checkContentType(); err != nil {
			return err
		}
		if c.r.ContentLength == 0 {
			return nil
		}
	}
	decoder := json.NewDecoder(c.r.Body)
	err := decoder.Decode(into)
	switch {
	case err == nil && !old && decoder.More():
		return refuse(http.StatusBadRequest, "unexpected content after JSON")
	case err == nil:
		return nil
	case errors.Is(err, io.EOF):
		err = errors.New("got EOF while reading request body")
	}
	text := c.daemon.release.decodingError(err)
	if !old {
		text = "invalid JSON: " + text
	}
	return refuse(http.StatusBadRequest, "%s", text)
}

// checkContentType refuses a body that does not say that it is JSON.
func (c *call) checkContentType() error {
	header := c.r.Header.Get("Content-Type")
	if header == "" && c.r.ContentLength == 0 {
		return nil
	}
	mediaType, _, err := mime.ParseMediaType(header)
	if err != nil {
		return refuse(http.StatusBadRequest, "malformed Content-Type header (%s): %v", header, err)
	}
	if mediaType != "application/json" {
		return refuse(http.StatusBadRequest,
			"unsupported Content-Type header (%s): must be 'application/json'", header)
	}
	return nil
}

// versionOf is the version parameter, of the object that a request changes.
func (c *call) versionOf(kind string) (uint64, error) {
	text := c.r.URL.Query().Get("version")
	version, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, refuse(http.StatusBadRequest, "invalid %s version '%s': %v", kind, text, err)
	}
	return version, nil
}

// flag is a parameter that is true or false and may be left out.
func (c *call) flag(name string) (bool, error) {
	text := c.r.URL.Query().Get(name)
	if text == "" {
		return false, nil
	}
	value, err := strconv.ParseBool(text)
	if err != nil {
		return false, refuse(http.StatusBadRequest, "invalid value for %s: %s: %v", name, text, err)
	}
	return value, nil
}

// looseFlag is a parameter that engines take for true unless it is one of a few
// words.
func (c *call) looseFlag(name string) bool {
	switch strings.ToLower(strings.TrimSpace(c.r.URL.Query().Get(name))) {
	case "", "0", "no", "false", "none":
		return false
	}
	return true
}

// manage runs f under the world's lock, if the daemon answers for a swarm.
func (c *call) manage(f func(*Cluster) error) error {
	return c.do(func() error {
		if err := c.daemon.canManage(); err != nil {
			return err
		}
		return f(c.daemon.cluster)
	})
}

// do runs f under the world's lock, as the work of this request. If it cannot do
// anything for want of a leader, it is run again when there is one.
func (c *call) do(f func() error) error {
	err := c.doNow(f)
	if err != errNoLeader {
		return err
	}
	if err := c.awaitLeader(); err != nil {
		return err
	}
	return c.doNow(f)
}

// doNow does nothing at a daemon that was stopped since the request came.
func (c *call) doNow(f func() error) (err error) {
	world, down := c.daemon.world, false
	world.Do(func() {
		if down = c.daemon.down; !down {
			world.as(c.r.Context(), func() { err = f() })
		}
	})
	if down {
		panic(http.ErrAbortHandler)
	}
	return err
}

// refuse answers with an error.
func (c *call) refuse(err error) {
	status := http.StatusInternalServerError
	if refusal, ok := errors.AsType[*refusal](err); ok {
		status = refusal.status
	}
	if c.version < 24 && !c.daemon.release.alwaysJSON {
		http.Error(c.w, err.Error(), status)
		return
	}
	c.json(status, map[string]string{"message": err.Error()})
}

// compile makes the routes' patterns into expressions.
func compile(routes []route) []route {
	for i := range routes {
		var path strings.Builder
		for _, segment := range strings.Split(routes[i].pattern, "/")[1:] {
			name, isVar := strings.CutPrefix(segment, "{")
			name = strings.TrimSuffix(name, "}")
			name, many := strings.CutSuffix(name, "...")
			switch {
			case many:
				fmt.Fprintf(&path, "/(?P<%s>.+)", name)
			case isVar:
				fmt.Fprintf(&path, "/(?P<%s>[^/]+)", name)
			default:
				path.WriteString("/" + regexp.QuoteMeta(segment))
			}
		}
		routes[i].path = regexp.MustCompile("^" + path.String() + "$")
	}
	return routes
}
