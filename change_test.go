package swarm

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// oneService is an engine with one service, which keeps what is posted to it at
// the version it has.
type oneService struct {
	mu      sync.Mutex
	version int
	spec    json.RawMessage
	extra   string // more members of the object
	rivals  int    // writers that come in between
	posts   int
}

func (e *oneService) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e.mu.Lock()
	defer e.mu.Unlock()
	w.Header().Set("Api-Version", "1.51")
	w.Header().Set("Content-Type", "application/json")
	switch r.URL.Path {
	case "/_ping":
	case "/v1.51/services/web", "/v1.51/services/id":
		fmt.Fprintf(w, `{"ID":"id","Version":{"Index":%d},"Spec":%s%s}`, e.version, e.spec, e.extra)
	case "/v1.51/services/id/update":
		e.posts++
		if e.rivals > 0 {
			e.rivals--
			e.version++
		}
		if r.URL.Query().Get("version") != fmt.Sprint(e.version) {
			w.WriteHeader(http.StatusInternalServerError)
			fmt.Fprint(w, `{"message":"rpc error: code = Unknown desc = update out of sequence"}`)
			return
		}
		e.version++
		_ = json.NewDecoder(r.Body).Decode(&e.spec)
		fmt.Fprint(w, `{"Warnings":["careful"]}`)
	default:
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprint(w, `{"message":"page not found"}`)
	}
}

// clientOf is a client of an engine in this process.
func clientOf(t *testing.T, engine http.Handler) *Client {
	t.Helper()
	server := httptest.NewServer(engine)
	t.Cleanup(server.Close)
	client, err := New(WithHost("tcp://"+server.Listener.Addr().String()), WithRetry(RetryPolicy{MinDelay: time.Millisecond, MaxDelay: time.Millisecond}))
	require.NoError(t, err)
	t.Cleanup(func() { client.Close() })
	return client
}

const webSpec = `{"Name":"web","Labels":{},"TaskTemplate":{"ContainerSpec":{"Image":"a","Unknown":[1]},"Placement":{},"ForceUpdate":3},"Mode":{"Replicated":{"Replicas":2}}}`

func TestModifyTriesAgainWhenAnotherWriterWon(t *testing.T) {
	engine := &oneService{version: 7, spec: json.RawMessage(webSpec), rivals: 3}
	calls := 0
	change, err := clientOf(t, engine).Services.Modify(t.Context(), "web", func(s *Service) error {
		calls++
		assert.EqualValues(t, 6+calls, s.Version.Index)
		s.Spec.TaskTemplate.ContainerSpec.Image = "b"
		return nil
	}, nil)
	require.NoError(t, err)
	assert.Equal(t, 4, calls)
	assert.Equal(t, 4, engine.posts)
	assert.True(t, change.Changed)
	assert.Equal(t, []string{"careful"}, change.Warnings)
	assert.Equal(t, "b", change.Rollout.Spec.TaskTemplate.ContainerSpec.Image)
	assert.JSONEq(t, `{"Name":"web","Labels":{},"TaskTemplate":{"ContainerSpec":{"Image":"b","Unknown":[1]},"Placement":{},"ForceUpdate":3},"Mode":{"Replicated":{"Replicas":2}}}`, string(engine.spec))
}

func TestModifyEndsWithTheErrorOfTheChange(t *testing.T) {
	engine := &oneService{spec: json.RawMessage(webSpec)}
	sorry := errors.New("not today")
	_, err := clientOf(t, engine).Services.Modify(t.Context(), "web", func(*Service) error { return sorry }, nil)
	assert.Equal(t, sorry, err)
	assert.Zero(t, engine.posts)
}

func TestVerbsChangeWhatTheySay(t *testing.T) {
	for name, test := range map[string]struct {
		do   func(*Client) (*ServiceChange, error)
		want string
	}{
		"scale":     {func(c *Client) (*ServiceChange, error) { return c.Services.Scale(t.Context(), "web", 5, nil) }, `"Replicas":5`},
		"set image": {func(c *Client) (*ServiceChange, error) { return c.Services.SetImage(t.Context(), "web", "b", nil) }, `"Image":"b"`},
		"redeploy":  {func(c *Client) (*ServiceChange, error) { return c.Services.Redeploy(t.Context(), "web", nil) }, `"ForceUpdate":4`},
	} {
		engine := &oneService{spec: json.RawMessage(webSpec)}
		change, err := test.do(clientOf(t, engine))
		require.NoError(t, err, name)
		assert.True(t, change.Changed, name)
		assert.Contains(t, string(engine.spec), test.want, name)
	}
	engine := &oneService{spec: json.RawMessage(webSpec)}
	change, err := clientOf(t, engine).Services.Scale(t.Context(), "web", 2, nil)
	require.NoError(t, err)
	assert.False(t, change.Changed)
	assert.Zero(t, engine.posts)
}

func TestScaleRefusesWhatHasNoNumber(t *testing.T) {
	engine := &oneService{spec: json.RawMessage(`{"Name":"web","TaskTemplate":{"ForceUpdate":0},"Mode":{"Global":{}}}`)}
	_, err := clientOf(t, engine).Services.Scale(t.Context(), "web", 2, nil)
	assert.ErrorIs(t, err, ErrInvalid)
	assert.Zero(t, engine.posts)
}

func TestJobsRunAgainOnlyWhenToldTo(t *testing.T) {
	job := &oneService{spec: json.RawMessage(`{"Name":"web","TaskTemplate":{"ForceUpdate":0},"Mode":{"ReplicatedJob":{}}}`),
		extra: `,"JobStatus":{"JobIteration":{"Index":4}},"PreviousSpec":{"Name":"web"}`}
	client := clientOf(t, job)
	_, err := client.Services.SetImage(t.Context(), "web", "b", nil)
	assert.ErrorIs(t, err, ErrInvalid)
	assert.Zero(t, job.posts)
	change, err := client.Services.SetImage(t.Context(), "web", "b", &ServiceModifyOptions{RerunJob: true})
	require.NoError(t, err)
	assert.EqualValues(t, 5, change.Rollout.JobIteration)
	change, err = client.Services.Redeploy(t.Context(), "web", nil)
	require.NoError(t, err)
	assert.True(t, change.Changed)

	for i, run := range []func(*ServiceUpdateOptions) (*ServiceChange, error){
		func(opts *ServiceUpdateOptions) (*ServiceChange, error) {
			service, err := client.Services.Inspect(t.Context(), "web")
			require.NoError(t, err)
			service.Spec.PutLabel("a", "b")
			return client.Services.Update(t.Context(), service, opts)
		},
		func(opts *ServiceUpdateOptions) (*ServiceChange, error) {
			return client.Services.Rollback(t.Context(), "web", opts)
		},
	} {
		posts := job.posts
		_, err := run(nil)
		assert.ErrorIs(t, err, ErrInvalid, i)
		assert.Equal(t, posts, job.posts)
		change, err := run(&ServiceUpdateOptions{RerunJob: true})
		require.NoError(t, err, i)
		assert.True(t, change.Changed)
	}
}
