package engine

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/swarm-go/swarm"
)

var releases = []*Release{Release2010, Release261, Release285, ReleaseNewest}

// client sends requests to a daemon.
type client struct {
	t      *testing.T
	daemon *Daemon
	clock  *ManualClock
}

// newClient is a client of a daemon that is in no swarm.
func newClient(t *testing.T, release *Release) *client {
	clock := NewManualClock(epoch)
	world := NewWorld(clock, 1)
	t.Cleanup(world.Close)
	return &client{t, world.AddDaemon(DaemonConfig{Release: release}), clock}
}

// newManager is a client of the only manager of a swarm.
func newManager(t *testing.T, release *Release) *client {
	c := newClient(t, release)
	_, err := c.daemon.InitSwarm(swarm.InitOptions{})
	require.NoError(t, err)
	return c
}

// answer is what a daemon has said.
type answer struct {
	status int
	header http.Header
	body   string
}

// do sends a request. A body, if there is one, is JSON.
func (c *client) do(method, path, body string, headers ...string) answer {
	request := httptest.NewRequest(method, path, strings.NewReader(body))
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	recorder := httptest.NewRecorder()
	c.daemon.ServeHTTP(recorder, request)
	return answer{recorder.Code, recorder.Header(), strings.TrimSuffix(recorder.Body.String(), "\n")}
}

// get decodes what there is at a path.
func get[T any](c *client, path string) T {
	c.t.Helper()
	var value T
	got := c.do(http.MethodGet, path, "")
	require.Equal(c.t, http.StatusOK, got.status, got.body)
	require.NoError(c.t, json.Unmarshal([]byte(got.body), &value))
	return value
}

// create posts an object and returns its ID.
func (c *client) create(path, body string) string {
	c.t.Helper()
	got := c.do(http.MethodPost, path, body)
	require.Equal(c.t, http.StatusCreated, got.status, got.body)
	var created struct{ ID string }
	require.NoError(c.t, json.Unmarshal([]byte(got.body), &created))
	return created.ID
}

// message is the text of a refusal.
func (a answer) message() string {
	var refusal struct{ Message string }
	if json.Unmarshal([]byte(a.body), &refusal) != nil {
		return a.body
	}
	return refusal.Message
}
