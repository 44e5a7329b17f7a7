package swarm_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/swarm-go/swarm"
)

// objectEngine answers like an engine that has some objects, which it keeps as
// JSON by their paths, "/secrets/s1".
type objectEngine struct {
	*httptest.Server
	apiVersion string
	// hook sees each request first, and reports whether it has answered it.
	hook func(w http.ResponseWriter, r *http.Request, path string) bool

	mu       sync.Mutex
	objects  map[string]string
	requests []string // "GET /secrets/s1?query"
	bodies   []string // of POST requests
}

func newObjectEngine(t *testing.T, objects map[string]string) *objectEngine {
	t.Helper()
	e := &objectEngine{apiVersion: "1.56", objects: objects}
	e.Server = httptest.NewServer(http.HandlerFunc(e.serve))
	t.Cleanup(e.Close)
	return e
}

func (e *objectEngine) client(t *testing.T, opts ...swarm.Option) *swarm.Client {
	t.Helper()
	client, err := swarm.New(append([]swarm.Option{swarm.WithHost(strings.Replace(e.URL, "http://", "tcp://", 1)),
		swarm.WithRetry(swarm.RetryPolicy{MinDelay: time.Nanosecond})}, opts...)...)
	require.NoError(t, err)
	t.Cleanup(func() { client.Close() })
	return client
}

func (e *objectEngine) serve(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Api-Version", e.apiVersion)
	w.Header().Set("Content-Type", "application/json")
	if r.URL.Path == "/_ping" {
		return
	}
	_, path, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	path = "/" + path
	body, _ := io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(body))
	e.mu.Lock()
	e.requests = append(e.requests, strings.TrimSuffix(r.Method+" "+path+"?"+r.URL.RawQuery, "?"))
	if r.Method == http.MethodPost {
		e.bodies = append(e.bodies, string(body))
	}
	hook := e.hook
	e.mu.Unlock()
	if hook != nil && hook(w, r, path) {
		return
	}
	e.answer(w, r, path, body)
}

func (e *objectEngine) answer(w http.ResponseWriter, r *http.Request, path string, body []byte) {
	e.mu.Lock()
	defer e.mu.Unlock()
	object, exists := e.objects[strings.TrimSuffix(path, "/update")]
	switch {
	case strings.HasSuffix(path, "/create"):
		w.WriteHeader(http.StatusCreated)
		fmt.Fprint(w, `{"ID":"created"}`)
	case strings.Count(path, "/") == 1:
		var all []string
		for at, object := range e.objects {
			if strings.HasPrefix(at, path+"/") {
				all = append(all, object)
			}
		}
		slices.Sort(all)
		fmt.Fprint(w, "["+strings.Join(all, ",")+"]")
	case !exists:
		sayNo(w, http.StatusNotFound, "nothing is called so")
	case r.Method == http.MethodDelete:
		delete(e.objects, path)
		w.WriteHeader(http.StatusNoContent)
	case r.Method == http.MethodPost:
		e.objects[strings.TrimSuffix(path, "/update")] = updated(object, r.URL.Query().Get("version"), body, w)
	default:
		fmt.Fprint(w, object)
	}
}

// updated is an object with another spec and the next version.
func updated(object, version string, spec []byte, w http.ResponseWriter) string {
	var fields map[string]json.RawMessage
	var have struct{ Version struct{ Index uint64 } }
	if json.Unmarshal([]byte(object), &fields) != nil || json.Unmarshal([]byte(object), &have) != nil ||
		strconv.FormatUint(have.Version.Index, 10) != version {
		sayNo(w, http.StatusInternalServerError, "rpc error: code = Unknown desc = update out of sequence")
		return object
	}
	fields["Spec"] = spec
	fields["Version"] = fmt.Appendf(nil, `{"Index":%d}`, have.Version.Index+1)
	changed, _ := json.Marshal(fields)
	return string(changed)
}

func sayNo(w http.ResponseWriter, status int, message string) {
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"message": message})
}

// loseAnswers makes the engine do what the first n requests of a method ask, but
// drop the connection instead of answering.
func (e *objectEngine) loseAnswers(method string, n int) {
	e.hook = func(w http.ResponseWriter, r *http.Request, path string) bool {
		if r.Method != method || n == 0 {
			return false
		}
		n--
		body, _ := io.ReadAll(r.Body)
		e.answer(httptest.NewRecorder(), r, path, body)
		panic(http.ErrAbortHandler)
	}
}

func (e *objectEngine) sent(method string) (requests []string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, request := range e.requests {
		if strings.HasPrefix(request, method+" ") {
			requests = append(requests, request)
		}
	}
	return requests
}

// lastFilters are the filters of the last request.
func (e *objectEngine) lastFilters(t *testing.T) string {
	_, query, _ := strings.Cut(e.requests[len(e.requests)-1], "?")
	values, err := url.ParseQuery(query)
	require.NoError(t, err)
	return values.Get("filters")
}

const secretObject = `{"ID":"secretid1","Version":{"Index":7},"CreatedAt":"2026-11-21T01:59:09Z","UpdatedAt":"2026-11-21T01:59:09Z","Spec":{"Name":"db","Labels":{"a":"b"}}}`

func oneSecret() map[string]string {
	return map[string]string{"/secrets/secretid1": secretObject, "/secrets/db": secretObject}
}

// canary is secret data that must be found nowhere, in none of these forms.
const canary = "canary-7f3a9c"

func canaryForms() []string {
	return []string{canary, base64.StdEncoding.EncodeToString([]byte(canary)), fmt.Sprintf("%x", canary), fmt.Sprintf("%X", canary),
		strings.Trim(fmt.Sprint([]byte(canary)), "[]"), strings.Trim(fmt.Sprintf("%#v", []byte(canary)), "[]byte{}")}
}

func assertNoCanary(t *testing.T, text, what string) {
	t.Helper()
	for _, form := range canaryForms() {
		assert.NotContains(t, text, form, what)
	}
}

var printingVerbs = []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "% x", "%d", "%o", "%b", "%c", "%U", "%t", "%e", "%T", "%10.3s", "%!"}

// assertPrintsNoCanary prints a value in all ways there are.
func assertPrintsNoCanary(t *testing.T, value any) {
	t.Helper()
	for _, printed := range []any{value, &value, []any{value}, map[string]any{"k": value}, struct{ V any }{value}} {
		for _, verb := range printingVerbs {
			assertNoCanary(t, fmt.Sprintf(verb, printed), verb)
		}
	}
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "value", value, "list", []any{value}, slog.Group("g", "v", value))
	if reflect.TypeOf(value).Kind() != reflect.Slice { // of which handlers for JSON make JSON
		slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "value", value, slog.Group("g", "v", value))
	}
	assertNoCanary(t, log.String(), "slog")
}

func TestSecretDataIsNeverPrinted(t *testing.T) {
	spec := swarm.SecretSpec{Name: "db", Labels: map[string]string{"team": "x"}, Data: []byte(canary)}
	secret := swarm.Secret{ID: "secretid1", Spec: spec, Raw: json.RawMessage(`{"Spec":{"Data":"` + base64.StdEncoding.EncodeToString([]byte(canary)) + `"}}`)}
	for _, value := range []any{spec, &spec, secret, &secret, []swarm.SecretSpec{spec}, []swarm.Secret{secret}, []*swarm.Secret{&secret}} {
		assertPrintsNoCanary(t, value)
	}
	assert.Equal(t, "{db map[team:x] (redacted) <nil> <nil>}", fmt.Sprint(spec))
	assert.Contains(t, fmt.Sprintf("%+v", secret), "ID:secretid1")
	assert.Contains(t, fmt.Sprintf("%+v", secret), "Name:db Labels:map[team:x] Data:(redacted)")
	assert.NotContains(t, fmt.Sprintf("%+v", swarm.SecretSpec{Name: "db"}), "redacted")
	assert.NotPanics(t, func() { _ = fmt.Sprint((*swarm.Secret)(nil), (*swarm.SecretSpec)(nil)) })

	encoded, err := json.Marshal(spec)
	require.NoError(t, err)
	assert.JSONEq(t, `{"Name":"db","Labels":{"team":"x"},"Data":"`+base64.StdEncoding.EncodeToString([]byte(canary))+`"}`, string(encoded))
	var decoded swarm.SecretSpec
	require.NoError(t, json.Unmarshal(encoded, &decoded))
	assert.True(t, bytes.Equal(spec.Data, decoded.Data))
}

func TestSecretDataIsInNoErrorAndNoLog(t *testing.T) {
	var seen bytes.Buffer
	observe := func(o swarm.Observation) { fmt.Fprintf(&seen, "%+v\n", o) }
	logger := slog.New(slog.NewTextHandler(&seen, &slog.HandlerOptions{Level: slog.LevelDebug}))
	engine := newObjectEngine(t, oneSecret())
	client := engine.client(t, swarm.WithObserver(observe), swarm.WithLogger(logger))
	spec := swarm.SecretSpec{Name: "db", Data: []byte(canary)}
	withDriver := spec
	withDriver.Driver = &swarm.Driver{Name: "vault"}
	tooBig := swarm.SecretSpec{Name: "db", Data: bytes.Repeat([]byte(canary), 100_000)}
	for name, hook := range map[string]func(http.ResponseWriter, *http.Request, string) bool{
		"taken": func(w http.ResponseWriter, _ *http.Request, _ string) bool {
			sayNo(w, http.StatusConflict, "rpc error: code = AlreadyExists desc = secret db already exists")
			return true
		},
		"broken": func(http.ResponseWriter, *http.Request, string) bool { panic(http.ErrAbortHandler) },
		"html": func(w http.ResponseWriter, _ *http.Request, _ string) bool {
			w.Header().Set("Content-Type", "text/html")
			fmt.Fprint(w, "<html>")
			return true
		},
		"fine": nil,
	} {
		engine.mu.Lock() // a request that was given up may still be there
		engine.hook = hook
		engine.mu.Unlock()
		for _, spec := range []swarm.SecretSpec{spec, withDriver, tooBig} {
			_, err := client.Secrets.Create(t.Context(), spec)
			fmt.Fprintf(&seen, "%s: %v %+v %#v %q\n", name, err, err, err, err)
		}
	}
	require.Contains(t, seen.String(), "create secret")
	assertNoCanary(t, seen.String(), "errors and logs")
}

func TestCreatedSecretIsSentAsItIs(t *testing.T) {
	engine := newObjectEngine(t, nil)
	id, err := engine.client(t).Secrets.Create(t.Context(), swarm.SecretSpec{Name: "db", Labels: map[string]string{"a": "b"}, Data: []byte("s€cret\x00\xff"),
		Templating: &swarm.Driver{Name: "golang"}})
	require.NoError(t, err)
	assert.Equal(t, "created", id)
	assert.Equal(t, []string{"POST /secrets/create"}, engine.requests)
	assert.JSONEq(t, `{"Name":"db","Labels":{"a":"b"},"Data":"c+KCrGNyZXQA/w==","Templating":{"Name":"golang"}}`, engine.bodies[0])

	_, err = engine.client(t).Secrets.Create(t.Context(), swarm.SecretSpec{Name: "db", Driver: &swarm.Driver{Name: "vault", Options: map[string]string{"k": "v"}}})
	require.NoError(t, err)
	assert.JSONEq(t, `{"Name":"db","Driver":{"Name":"vault","Options":{"k":"v"}}}`, engine.bodies[1])
}

func TestSecretOfTheWrongSizeIsNotSent(t *testing.T) {
	engine := newObjectEngine(t, nil)
	client := engine.client(t)
	for _, spec := range []swarm.SecretSpec{
		{Name: "a"},
		{Name: "a", Data: []byte{}},
		{Name: "a", Data: make([]byte, 512_000)},
		{Name: "a", Data: []byte("x"), Driver: &swarm.Driver{Name: "vault"}},
	} {
		_, err := client.Secrets.Create(t.Context(), spec)
		assert.ErrorIs(t, err, swarm.ErrInvalid)
	}
	assert.Empty(t, engine.requests)
	_, err := client.Secrets.Create(t.Context(), swarm.SecretSpec{Name: "a", Data: make([]byte, swarm.MaxSecretSize)})
	assert.NoError(t, err)
}

func TestSecretDataIsReadUpToTheLimit(t *testing.T) {
	data, err := swarm.ReadSecretData(iotest.OneByteReader(strings.NewReader("secret\n")))
	require.NoError(t, err)
	assert.Equal(t, "secret\n", string(data))
	data, err = swarm.ReadSecretData(bytes.NewReader(make([]byte, swarm.MaxSecretSize)))
	require.NoError(t, err)
	assert.Len(t, data, 511_999)

	for name, test := range map[string]struct {
		read func(io.Reader) ([]byte, error)
		most int64
	}{"secret": {swarm.ReadSecretData, 511_999}, "config": {swarm.ReadConfigData, 1_023_999}} {
		endless := &countingReader{}
		_, err = test.read(endless)
		assert.ErrorIs(t, err, swarm.ErrInvalid, name)
		assert.LessOrEqual(t, endless.read, test.most+1, name)
		_, err = test.read(strings.NewReader(""))
		assert.ErrorIs(t, err, swarm.ErrInvalid, name)
		_, err = test.read(iotest.ErrReader(io.ErrClosedPipe))
		assert.ErrorIs(t, err, io.ErrClosedPipe, name)
		assert.EqualError(t, err, "read "+name+" data: "+io.ErrClosedPipe.Error())
	}
}

// countingReader never ends.
type countingReader struct{ read int64 }

func (c *countingReader) Read(p []byte) (int, error) {
	c.read += int64(len(p))
	return len(p), nil
}

func TestErrorsOfFilesNameTheFile(t *testing.T) {
	dir := t.TempDir()
	file, empty, big := filepath.Join(dir, "file"), filepath.Join(dir, "empty"), filepath.Join(dir, "big")
	require.NoError(t, os.WriteFile(file, []byte("data"), 0o600))
	require.NoError(t, os.WriteFile(empty, nil, 0o600))
	require.NoError(t, os.WriteFile(big, bytes.Repeat([]byte(canary), 100_000), 0o600))
	for _, read := range []func(string) ([]byte, error){swarm.ReadSecretFile, swarm.ReadConfigFile} {
		data, err := read(file)
		require.NoError(t, err)
		assert.Equal(t, "data", string(data))
		_, err = read(filepath.Join(dir, "missing"))
		assert.ErrorIs(t, err, fs.ErrNotExist)
		assert.ErrorContains(t, err, "missing")
		_, err = read(dir)
		assert.ErrorContains(t, err, dir)
		for _, name := range []string{empty, big} {
			_, err = read(name)
			assert.ErrorIs(t, err, swarm.ErrInvalid)
			assert.ErrorContains(t, err, name)
			assertNoCanary(t, err.Error(), "error")
		}
	}
}

func TestSecretsAreListedByWhatIsAskedFor(t *testing.T) {
	object := func(id, name string) string { return fmt.Sprintf(`{"ID":%q,"Spec":{"Name":%q}}`, id, name) }
	engine := newObjectEngine(t, map[string]string{"/secrets/a1": object("a1", "db"), "/secrets/a2": object("a2", "db2"), "/secrets/b1": object("b1", "web")})
	client := engine.client(t)
	for query, test := range map[string]struct {
		opts *swarm.SecretListOptions
		want []string
	}{
		"":                       {nil, []string{"db", "db2", "web"}},
		`{"id":{"a1":true}}`:     {&swarm.SecretListOptions{IDs: []string{"a1"}}, []string{"db"}},
		`{"id":{"a":true}}`:      {&swarm.SecretListOptions{IDPrefixes: []string{"a"}}, []string{"db", "db2"}},
		`{"names":{"db":true}}`:  {&swarm.SecretListOptions{Names: []string{"db"}}, []string{"db"}},
		`{"name":{"db":true}}`:   {&swarm.SecretListOptions{NamePrefixes: []string{"db"}}, []string{"db", "db2"}},
		`{"label":{"k=v":true}}`: {&swarm.SecretListOptions{Labels: map[string]string{"k": "v"}}, []string{"db", "db2", "web"}},
		`{"label":{"k":true}}`:   {&swarm.SecretListOptions{Labels: map[string]string{"k": ""}}, []string{"db", "db2", "web"}},
		`{"id":{"a":true},"names":{"db":true,"web":true}}`: {&swarm.SecretListOptions{IDPrefixes: []string{"a"}, Names: []string{"db", "web"}}, []string{"db"}},
	} {
		secrets, err := client.Secrets.List(t.Context(), test.opts)
		require.NoError(t, err)
		var names []string
		for _, secret := range secrets {
			names = append(names, secret.Spec.Name)
			assert.NotEmpty(t, secret.Raw)
		}
		assert.Equal(t, test.want, names, query)
		assert.Equal(t, query, engine.lastFilters(t))
	}
}

func TestChangingASecretTakesAFullIDOrAnExactName(t *testing.T) {
	engine := newObjectEngine(t, oneSecret())
	engine.objects["/secrets/secretid"] = secretObject // the engine takes a prefix
	client := engine.client(t)
	_, err := client.Secrets.Inspect(t.Context(), "secretid")
	require.NoError(t, err)
	assert.ErrorIs(t, client.Secrets.Remove(t.Context(), "secretid"), swarm.ErrNotFound)
	assert.ErrorIs(t, client.Secrets.SetLabels(t.Context(), "secretid", nil), swarm.ErrNotFound)
	assert.Empty(t, append(engine.sent("DELETE"), engine.sent("POST")...))
	require.NoError(t, client.Secrets.SetLabels(t.Context(), "db", map[string]string{"c": "d"}))
	assert.Equal(t, []string{"POST /secrets/secretid1/update?version=7"}, engine.sent("POST"))
	require.NoError(t, client.Secrets.Remove(t.Context(), "db"))
	assert.Equal(t, []string{"DELETE /secrets/secretid1"}, engine.sent("DELETE"))
	for _, ref := range []string{"", "..", "a/b", "a\\b", "a\nb"} {
		assert.ErrorIs(t, client.Secrets.Remove(t.Context(), ref), swarm.ErrInvalid)
		_, err := client.Secrets.Inspect(t.Context(), ref)
		assert.ErrorIs(t, err, swarm.ErrInvalid)
	}
}

func TestLabelsThatAreThereAreNotSent(t *testing.T) {
	engine := newObjectEngine(t, oneSecret())
	engine.objects["/secrets/bare"] = `{"ID":"bare","Spec":{"Name":"bare","Labels":{}}}`
	client := engine.client(t)
	require.NoError(t, client.Secrets.SetLabels(t.Context(), "db", map[string]string{"a": "b"}))
	require.NoError(t, client.Secrets.SetLabels(t.Context(), "bare", nil))
	assert.Empty(t, engine.sent("POST"))
}

func TestLabelsAreSetAgainWhenAnotherWriterWon(t *testing.T) {
	engine := newObjectEngine(t, oneSecret())
	others := 3
	engine.hook = func(_ http.ResponseWriter, r *http.Request, path string) bool {
		if r.Method == http.MethodPost && others > 0 {
			others--
			engine.mu.Lock()
			defer engine.mu.Unlock()
			at := strings.TrimSuffix(path, "/update")
			engine.objects[at] = updated(engine.objects[at], r.URL.Query().Get("version"), []byte(`{"Name":"db","New":{"from":"another"}}`), nil)
		}
		return false
	}
	require.NoError(t, engine.client(t).Secrets.SetLabels(t.Context(), "db", map[string]string{"c": "d"}))
	assert.Len(t, engine.sent("POST"), 4)
	assert.JSONEq(t, `{"Name":"db","New":{"from":"another"},"Labels":{"c":"d"}}`, engine.bodies[3])
}

func TestLostAnswersToCreatingAndRemoving(t *testing.T) {
	engine := newObjectEngine(t, oneSecret())
	client := engine.client(t)
	engine.loseAnswers(http.MethodDelete, 1)
	assert.NoError(t, client.Secrets.Remove(t.Context(), "db"), "gone when the request is repeated")
	assert.Len(t, engine.sent("DELETE"), 2)

	engine.hook = func(w http.ResponseWriter, _ *http.Request, _ string) bool {
		if len(engine.sent("POST")) == 1 {
			panic(http.ErrAbortHandler)
		}
		sayNo(w, http.StatusConflict, "rpc error: code = AlreadyExists desc = secret db already exists")
		return true
	}
	_, err := client.Secrets.Create(t.Context(), swarm.SecretSpec{Name: "db", Data: []byte("x")})
	var unknown *swarm.OutcomeUnknownError
	assert.ErrorAs(t, err, &unknown, "it may be ours or not")
	assert.ErrorIs(t, err, swarm.ErrNameConflict)
}

func TestSecretsNeedTheirAPIVersion(t *testing.T) {
	engine := newObjectEngine(t, oneSecret())
	at := func(version string) *swarm.SecretClient {
		return engine.client(t, swarm.WithAPIVersion(version)).Secrets
	}
	data := []byte("x")
	for _, test := range []struct {
		version, needs string
		call           func(*swarm.SecretClient) error
	}{
		{"1.24", "1.25", func(s *swarm.SecretClient) error {
			_, err := s.Create(t.Context(), swarm.SecretSpec{Name: "a", Data: data})
			return err
		}},
		{"1.24", "1.25", func(s *swarm.SecretClient) error { _, err := s.Inspect(t.Context(), "db"); return err }},
		{"1.24", "1.25", func(s *swarm.SecretClient) error { _, err := s.List(t.Context(), nil); return err }},
		{"1.24", "1.25", func(s *swarm.SecretClient) error { return s.SetLabels(t.Context(), "db", nil) }},
		{"1.24", "1.25", func(s *swarm.SecretClient) error { return s.Remove(t.Context(), "db") }},
		{"1.28", "1.29", func(s *swarm.SecretClient) error {
			_, err := s.List(t.Context(), &swarm.SecretListOptions{NamePrefixes: []string{"a"}})
			return err
		}},
		{"1.30", "1.31", func(s *swarm.SecretClient) error {
			_, err := s.Create(t.Context(), swarm.SecretSpec{Name: "a", Driver: &swarm.Driver{Name: "d"}})
			return err
		}},
		{"1.36", "1.37", func(s *swarm.SecretClient) error {
			_, err := s.Create(t.Context(), swarm.SecretSpec{Name: "a", Data: data, Templating: &swarm.Driver{Name: "golang"}})
			return err
		}},
	} {
		var tooOld *swarm.VersionError
		require.ErrorAs(t, test.call(at(test.version)), &tooOld)
		assert.Equal(t, test.needs, tooOld.Needs)
	}
	assert.Empty(t, engine.requests)
	_, err := at("1.25").List(t.Context(), &swarm.SecretListOptions{Names: []string{"db"}})
	assert.NoError(t, err)
}

func TestListThatBreaksOffIsReadAgain(t *testing.T) {
	engine := newObjectEngine(t, oneSecret())
	engine.hook = func(w http.ResponseWriter, _ *http.Request, _ string) bool {
		if len(engine.sent("GET")) > 1 {
			return false
		}
		w.Header().Set("Content-Length", "1000")
		fmt.Fprint(w, "["+secretObject+",")
		return true
	}
	secrets, err := engine.client(t).Secrets.List(t.Context(), nil)
	require.NoError(t, err)
	assert.Len(t, secrets, 2)
}

func TestAnswersThatAreNoSecretsAreErrors(t *testing.T) {
	engine := newObjectEngine(t, nil)
	client := engine.client(t)
	for _, body := range []string{"null", "7", "{}", `{"ID":""}`, `{"ID":7}`, `[{"ID":"x"},{}]`, `[7]`, `{"ID":"x","Spec":{"Data":"?"}}`, `[`, `"`} {
		engine.hook = func(w http.ResponseWriter, _ *http.Request, _ string) bool { fmt.Fprint(w, body); return true }
		_, err := client.Secrets.Inspect(t.Context(), "x")
		assert.ErrorIs(t, err, swarm.ErrProtocol, body)
		_, err = client.Secrets.List(t.Context(), nil)
		assert.ErrorIs(t, err, swarm.ErrProtocol, body)
	}
	engine.hook = func(w http.ResponseWriter, _ *http.Request, _ string) bool { fmt.Fprint(w, `{}`); return true }
	_, err := client.Secrets.Create(t.Context(), swarm.SecretSpec{Name: "x", Data: []byte("x")})
	assert.ErrorIs(t, err, swarm.ErrProtocol)
	var unknown *swarm.OutcomeUnknownError
	assert.True(t, errors.As(err, &unknown))
}

func TestRecordedSecretsAreReadWhole(t *testing.T) {
	for _, c := range codecs {
		for _, object := range recordedObjects(t)["secret"] {
			secret := assertSurvives[swarm.Secret](t, c, object)
			assert.NotEmpty(t, secret.ID)
			assert.NotZero(t, secret.Version.Index)
			assert.NotZero(t, secret.CreatedAt)
			assert.NotEmpty(t, secret.Spec.Name)
		}
	}
}

// randomValue makes up the JSON of a value that is an object with these members,
// each absent, null, empty or set, and with members nobody knows.
func randomValue(r *rand.Rand, members map[string]func(*rand.Rand) any) any {
	object := map[string]any{}
	for name, set := range members {
		switch r.IntN(4) {
		case 0:
		case 1:
			object[name] = nil
		default:
			object[name] = set(r)
		}
	}
	for range r.IntN(3) {
		object["Unknown"+strconv.Itoa(r.IntN(5))] = []any{nil, 1, "", []any{}, map[string]any{"Name": []any{nil}}, []any{map[string]any{}}}[r.IntN(6)]
	}
	return object
}

func randomText(r *rand.Rand) any { return []any{"", "x", "<&>\u2028é", "golang"}[r.IntN(4)] }

func randomLabels(r *rand.Rand) any {
	return []any{map[string]any{}, map[string]any{"a": "b", "": "", "ü": "<"}, map[string]any{"c": ""}}[r.IntN(3)]
}

func randomDriver(r *rand.Rand) any {
	return randomValue(r, map[string]func(*rand.Rand) any{"Name": randomText, "Options": randomLabels})
}

// assertOnlyTheChangeIsSent serves an object with a random spec and compares what
// is posted with the spec and the change applied to it.
func assertOnlyTheChangeIsSent(t *testing.T, path string, members map[string]func(*rand.Rand) any,
	change func(*swarm.Client) error, apply func(spec map[string]any)) {
	t.Helper()
	engine := newObjectEngine(t, map[string]string{})
	client := engine.client(t)
	for seed := uint64(0); seed < 1000; seed += swarm.OneIn {
		spec := randomValue(rand.New(rand.NewPCG(seed, 1)), members).(map[string]any)
		object, err := json.Marshal(map[string]any{"ID": "x", "Version": map[string]any{"Index": seed}, "Spec": spec, "Unknown": 1})
		require.NoError(t, err)
		engine.objects[path], engine.bodies = string(object), nil
		require.NoError(t, change(client), "%s", object)
		before, err := json.Marshal(spec)
		require.NoError(t, err)
		apply(spec)
		after, err := json.Marshal(spec)
		require.NoError(t, err)
		if len(engine.bodies) == 0 {
			assert.JSONEq(t, string(after), string(before), "nothing was sent")
			continue
		}
		require.JSONEq(t, string(after), engine.bodies[0], "%s", object)
	}
}

func TestLabelsOfASecretAreAllThatChanges(t *testing.T) {
	labels := map[string]string{"a": "other", "new": ""}
	assertOnlyTheChangeIsSent(t, "/secrets/x",
		map[string]func(*rand.Rand) any{"Name": randomText, "Labels": randomLabels, "Driver": randomDriver, "Templating": randomDriver},
		func(c *swarm.Client) error { return c.Secrets.SetLabels(t.Context(), "x", labels) },
		func(spec map[string]any) { spec["Labels"] = labels })
}
