package engine

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/swarm-go/swarm"
)

// leaderless is what a manager answers that was left alone, at once or after 20
// seconds. The message is empty where the request succeeds.
var leaderless = []struct {
	method, path, body string
	waits              bool
	status             int
	message            string
}{
	{"GET", "/services", "", true, 500, errLate.message},
	{"GET", "/services/nope", "", true, 500, errLate.message},
	{"GET", "/swarm/unlockkey", "", true, 500, errLate.message},
	{"DELETE", "/nodes/nope", "", true, 500, errLate.message},
	{"GET", "/services/nope/logs?stdout=1", "", true, 500, errLate.message},
	{"POST", "/networks/create", `{"Name":"ours","Driver":"overlay"}`, true, 500, errNoLeader.message},
	{"POST", "/networks/create", `{"Name":"ours","Driver":"bridge"}`, true, 201, ""},
	{"GET", "/networks", "", true, 200, ""},
	{"GET", "/networks/bridge", "", true, 200, ""},
	{"DELETE", "/networks/nope", "", true, 404, "network nope not found"},
	{"POST", "/networks/prune", "", true, 200, ""},
	{"GET", "/volumes", "", true, 200, ""},
	{"GET", "/volumes/nope", "", true, 500, errLate.message},
	{"DELETE", "/volumes/nope", "", true, 500, errLate.message},
	{"DELETE", "/volumes/nope?force=1", "", true, 500, errLate.message},
	{"GET", "/info", "", true, 200, ""},
	{"POST", "/swarm/leave", "", true, 503, "You are attempting to leave the swarm on a node that is participating as a manager. " +
		"The only way to restore a swarm that has lost consensus is to reinitialize it with `--force-new-cluster`. " +
		"Use `--force` to suppress this message."},
	{"POST", "/services/create", `{bad`, false, 400, "invalid JSON: invalid character 'b' looking for beginning of object key string"},
	{"POST", "/services/nope/update?version=x", `{}`, false, 400, `invalid service version 'x': strconv.ParseUint: parsing "x": invalid syntax`},
	{"GET", "/services/nope/logs", "", false, 500, "Bad parameters: you must choose at least one stream"},
	{"POST", "/volumes/create", `{"Name":"ours"}`, false, 201, ""},
	{"POST", "/volumes/prune", "", false, 200, ""},
	{"GET", "/_ping", "", false, 200, ""},
	{"GET", "/events?until=1", "", false, 200, ""},
	{"GET", "/containers/json", "", false, 200, ""},
	{"GET", "/system/df", "", false, 200, ""},
}

// leftAlone is a client of a manager whose two fellows have just stopped.
func leftAlone(t *testing.T, release *Release) *client {
	world := NewWorld(RealClock{}, 1)
	t.Cleanup(world.Close)
	var daemons []*Daemon
	for range 3 {
		d := world.AddDaemon(DaemonConfig{Release: release})
		t.Cleanup(d.Server().Close)
		daemons = append(daemons, d)
	}
	_, err := daemons[0].InitSwarm(swarm.InitOptions{})
	require.NoError(t, err)
	for _, d := range daemons[1:] {
		require.NoError(t, d.JoinSwarm(daemons[0], swarm.RoleManager, ""))
	}
	world.StopNode(daemons[0])
	world.StopNode(daemons[1])
	return &client{t: t, daemon: daemons[2]}
}

func TestManagersWithoutALeaderWaitForOne(t *testing.T) {
	for _, row := range leaderless {
		synctest.Test(t, func(t *testing.T) {
			c := leftAlone(t, Release285)
			begun := time.Now()
			first := c.do(row.method, row.path, row.body)
			waited := time.Since(begun)
			assert.Equal(t, row.status, first.status, "%s %s: %s", row.method, row.path, first.body)
			if row.message != "" {
				assert.Equal(t, row.message, first.message(), "%s %s", row.method, row.path)
			}
			if !row.waits {
				assert.Zero(t, waited, "%s %s", row.method, row.path)
				return
			}
			assert.Equal(t, 20*time.Second, waited, "%s %s", row.method, row.path)
			c.do(row.method, row.path, row.body)
			assert.Equal(t, waited, time.Since(begun), "%s %s waits again", row.method, row.path)
		})
	}
}

func TestManagersThatHaveWaitedForLongSayThatThereIsNoLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := leftAlone(t, Release285)
		time.Sleep(20 * time.Second)
		for _, row := range leaderless {
			if row.message == errLate.message {
				got := c.do(row.method, row.path, row.body)
				assert.Equal(t, http.StatusInternalServerError, got.status)
				assert.Equal(t, errNoLeader.message, got.message())
			}
		}
		volumes := get[struct{ Warnings []string }](c, "/volumes")
		assert.Equal(t, []string{errNoLeader.message}, volumes.Warnings)
		info := get[struct{ Swarm swarmInfo }](c, "/info").Swarm
		assert.Equal(t, errNoLeader.message, info.Error)
		assert.True(t, info.ControlAvailable)
	})
}

// The volumes of old engines are none of a swarm's business.
func TestOldEnginesFindVolumesWithoutALeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := leftAlone(t, Release2010)
		begun := time.Now()
		got := c.do(http.MethodGet, "/volumes/nope", "")
		assert.Equal(t, http.StatusNotFound, got.status)
		assert.Equal(t, "get nope: no such volume", got.message())
		assert.Empty(t, get[struct{ Warnings []string }](c, "/volumes").Warnings)
		assert.Zero(t, time.Since(begun))
	})
}

func TestReadersThatGoDoNotWaitForALeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := leftAlone(t, Release285)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begun := time.Now()
		c.daemon.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, http.MethodGet, "/services", nil))
		assert.Equal(t, time.Second, time.Since(begun))
	})
}

// Nobody is told what became of it.
func TestWritersThatGoAreServedByTheNextLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := leftAlone(t, Release285)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		request := httptest.NewRequestWithContext(ctx, http.MethodPost, "/secrets/create", strings.NewReader(`{"Name":"secret","Data":"eA=="}`))
		request.Header.Set("Content-Type", "application/json")
		go c.daemon.ServeHTTP(httptest.NewRecorder(), request)
		time.Sleep(5 * time.Second)
		c.daemon.world.StartNode(c.daemon.world.daemons[1])
		synctest.Wait()
		assert.Len(t, get[[]swarm.Secret](c, "/secrets"), 1)
	})
}

func TestRequestsWaitForALeaderNoLongerThanForTheirEngine(t *testing.T) {
	for what, end := range map[string]func(*client){
		"world": func(c *client) { c.daemon.world.Close() },
		"node":  func(c *client) { c.daemon.world.StopNode(c.daemon) },
	} {
		synctest.Test(t, func(t *testing.T) {
			c := leftAlone(t, Release285)
			begun := time.Now()
			time.AfterFunc(time.Second, func() { end(c) })
			c.do(http.MethodPost, "/secrets/create", `{"Name":"secret","Data":"eA=="}`)
			assert.Equal(t, time.Second, time.Since(begun), what)
		})
	}
}
