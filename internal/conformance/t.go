package conformance

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// T is the test of one behaviour: a testing.T with an engine to talk to. What is
// created through it is removed at its end.
type T struct {
	*testing.T
	target Target
	http   *http.Client
	scene  map[string]obj // made for the sake of placeholders
}

type (
	obj  = map[string]any
	list = []any
)

const (
	// patience bounds every wait for the engine to do something.
	patience = 2 * time.Minute
	// glance is the time between two looks.
	glance = 50 * time.Millisecond
	// maxAnswer bounds what is read of an answer that ends.
	maxAnswer = 64 << 20
)

func newT(t *testing.T, target Target) *T {
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return target.Dial(ctx) }}
	t.Cleanup(transport.CloseIdleConnections)
	return &T{T: t, target: target, http: &http.Client{Transport: transport}, scene: map[string]obj{}}
}

// since maps a release to what is so from it on. The oldest release has an entry.
type since[V any] map[string]V

// all is what is so in all releases.
func all[V any](value V) since[V] { return since[V]{"20.10": value} }

// from chooses the entry of the newest release that is not newer than the engine.
func (s since[V]) from(t *T) V {
	t.Helper()
	releases := slices.SortedFunc(maps.Keys(s), compareVersions)
	i, found := slices.BinarySearchFunc(releases, t.target.Release, compareVersions)
	if !found {
		i--
	}
	require.GreaterOrEqual(t, i, 0, "nothing is known of release %s", t.target.Release)
	return s[releases[i]]
}

// compareVersions orders versions of two numbers: "1.9" before "1.41".
func compareVersions(a, b string) int {
	number := func(v string) int {
		major, minor, _ := strings.Cut(v, ".")
		m, _ := strconv.Atoi(major)
		n, _ := strconv.Atoi(minor)
		return 1000*m + n
	}
	return number(a) - number(b)
}

// oldest is the oldest version of the API that the engine speaks.
func (t *T) oldest() string {
	return since[string]{"20.10": "1.12", "26.1": "1.24", "29.5": "1.40"}.from(t)
}

// speaks reports whether the engine has the API version.
func (t *T) speaks(version string) bool {
	return compareVersions(t.target.APIVersion, version) >= 0 && compareVersions(t.oldest(), version) <= 0
}

// old is that version of the API, or the oldest that the engine speaks.
func (t *T) old(version string) string {
	if compareVersions(t.oldest(), version) > 0 {
		return t.oldest()
	}
	return version
}

// request is what send sends. Path is what follows the version.
type request struct {
	method, path string
	version      string      // of the API; "" is the engine's newest, "none" leaves it out
	body         any         // a string or []byte as it is, anything else as JSON
	header       http.Header // instead of a Content-Type of application/json
}

// answer is what the engine said.
type answer struct {
	status      int
	header      http.Header
	contentType string
	body        []byte
}

// send makes a request, and remembers to remove what it creates.
func (t *T) send(r request) *answer {
	t.Helper()
	answer, err := t.try(r)
	require.NoError(t, err, "%s %s", r.method, r.path)
	return answer
}

// try is send for requests that may get no answer.
func (t *T) try(r request) (*answer, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), patience)
	defer cancel()
	response, err := t.open(ctx, r)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return nil, err
	}
	a := &answer{response.StatusCode, response.Header, response.Header.Get("Content-Type"), body}
	t.removeLater(r, a)
	return a, nil
}

// open makes a request whose answer the caller reads, and closes.
func (t *T) open(ctx context.Context, r request) (*http.Response, error) {
	var body io.Reader
	switch content := r.body.(type) {
	case nil:
	case string:
		body = strings.NewReader(content)
	case []byte:
		body = bytes.NewReader(content)
	default:
		encoded, err := json.Marshal(content)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(encoded)
	}
	prefix := "/v" + r.version
	switch r.version {
	case "":
		prefix = "/v" + t.target.APIVersion
	case "none":
		prefix = ""
	}
	req, err := http.NewRequestWithContext(ctx, r.method, "http://engine"+prefix+r.path, body)
	if err != nil {
		return nil, err
	}
	if req.Header = r.header; r.header == nil {
		req.Header = http.Header{"Content-Type": {"application/json"}}
	}
	return t.http.Do(req)
}

// removeLater removes what was created when the behaviour ends, last things first.
func (t *T) removeLater(r request, a *answer) {
	kind, found := strings.CutSuffix(r.path, "/create")
	if r.method != http.MethodPost || !found || a.status != http.StatusCreated {
		return
	}
	var created struct{ ID, Name string } // a network's is "Id"; a volume has its name only
	if json.Unmarshal(a.body, &created) == nil && created.ID+created.Name != "" {
		t.Cleanup(func() { t.remove(kind + "/" + created.ID + created.Name) })
	}
}

// remove waits until nothing uses the object any more.
func (t *T) remove(path string) {
	t.eventually("removed "+path, func() error {
		a := t.send(request{method: http.MethodDelete, path: path})
		if a.status >= 300 && a.status != http.StatusNotFound && a.status != http.StatusServiceUnavailable {
			return errors.New(a.String())
		}
		return nil
	})
}

// eventually looks until look finds nothing wrong any more.
func (t *T) eventually(what string, look func() error) {
	t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(glance) {
		err := look()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			require.NoError(t, err, what)
		}
	}
}

// String is how an answer is written in tables: the status, then the message of an
// error, or what kind of body there is.
func (a *answer) String() string {
	status := strconv.Itoa(a.status)
	var message struct{ Message *string }
	switch {
	case a.contentType == "" && len(a.body) == 0:
		return status + " empty"
	case a.contentType == "application/json" && a.status < 300 && json.Valid(a.body):
		return status + " json"
	case a.contentType == "application/json" && decodeStrictly(a.body, &message) == nil && message.Message != nil:
		return status + " " + *message.Message
	}
	return fmt.Sprintf("%s (%s) %s", status, a.contentType, strings.TrimSuffix(string(a.body), "\n"))
}

func decodeStrictly(data []byte, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	return decoder.Decode(into)
}

// decode reads a JSON answer of a request that succeeded.
func decode[V any](t *T, a *answer) V {
	t.Helper()
	var value V
	require.Less(t, a.status, 300, "%s", a)
	require.NoError(t, json.Unmarshal(a.body, &value), "%s", a.body)
	return value
}

func (t *T) get(path string) obj {
	t.Helper()
	return decode[obj](t, t.send(request{method: http.MethodGet, path: path}))
}

func (t *T) list(path string) []obj {
	t.Helper()
	return decode[[]obj](t, t.send(request{method: http.MethodGet, path: path}))
}

// answers wants a request answered as a table has it.
func (t *T) answers(r request, want string) {
	t.Helper()
	assert.Equal(t, want, t.send(r).String(), "%s %s", r.method, r.path)
}

// post is a request with a body.
func post(path string, body any) request {
	return request{method: http.MethodPost, path: path, body: body}
}

// at is what a path such as "Spec.Mode.Replicated" leads to, nil if it leads
// nowhere. Numbers lead to elements of lists.
func at(object any, path string) any {
	for step := range strings.SplitSeq(path, ".") {
		switch value := object.(type) {
		case obj:
			object = value[step]
		case list:
			i, err := strconv.Atoi(step)
			if err != nil || i >= len(value) {
				return nil
			}
			object = value[i]
		default:
			return nil
		}
	}
	return object
}

// has wants a value at a path of an object. What JSON cannot tell apart is equal.
func (t *T) has(object any, path string, want any) {
	t.Helper()
	assert.Equal(t, asJSON(t, want), at(object, path), path)
}

// members wants an object to have these members and no others.
func (t *T) members(object any, want ...string) {
	t.Helper()
	require.IsType(t, obj{}, object)
	assert.ElementsMatch(t, want, slices.Collect(maps.Keys(object.(obj))))
}

func asJSON(t *T, value any) any {
	t.Helper()
	encoded, err := json.Marshal(value)
	require.NoError(t, err)
	var plain any
	require.NoError(t, json.Unmarshal(encoded, &plain))
	return plain
}

var names, ports atomic.Int64

// name is one that nothing else has. None begins another.
func (t *T) name() string {
	return fmt.Sprintf("c%x-%dx", time.Now().UnixNano(), names.Add(1))
}
