package swarm_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/swarm-go/swarm"
)

// request is one that a scriptedEngine was sent.
type request struct {
	method string
	uri    string // path and query
	body   string
}

// scriptedEngine answers "METHOD /path" with what answers has for it, one after
// the other, the last one for ever; an answer is an HTTP answer as recorded.
type scriptedEngine struct {
	apiVersion string

	mu       sync.Mutex
	answers  map[string][][]byte
	requests []request
}

// newScriptedEngine returns a client of it too, which waits for nothing long.
func newScriptedEngine(t *testing.T, apiVersion string) (*scriptedEngine, *swarm.Client) {
	t.Helper()
	e := &scriptedEngine{apiVersion: apiVersion, answers: map[string][][]byte{}}
	server := httptest.NewServer(e)
	t.Cleanup(server.Close)
	client, err := swarm.New(swarm.WithHost("tcp://"+server.Listener.Addr().String()),
		swarm.WithRetry(swarm.RetryPolicy{MinDelay: time.Millisecond, MaxDelay: time.Millisecond}))
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, client.Close()) })
	return e, client
}

func (e *scriptedEngine) answer(endpoint string, answers ...[]byte) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.answers[endpoint] = answers
}

func (e *scriptedEngine) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Api-Version", e.apiVersion)
	if r.URL.Path == "/_ping" {
		return
	}
	body, _ := io.ReadAll(r.Body)
	_, path, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/v"), "/")
	endpoint := r.Method + " /" + path
	e.mu.Lock()
	e.requests = append(e.requests, request{r.Method, r.URL.RequestURI(), string(body)})
	answers := e.answers[endpoint]
	if len(answers) > 1 {
		e.answers[endpoint] = answers[1:]
	}
	e.mu.Unlock()
	if len(answers) == 0 {
		http.Error(w, "no answer for "+endpoint, http.StatusTeapot)
		return
	}
	if answers[0] == nil {
		panic(http.ErrAbortHandler) // the answer is lost
	}
	response, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(answers[0])), nil)
	if err != nil {
		panic(err)
	}
	w.Header().Set("Content-Type", response.Header.Get("Content-Type"))
	w.WriteHeader(response.StatusCode)
	_, _ = io.Copy(w, response.Body)
}

// sent are the requests of a method and path, which ends where the query starts.
func (e *scriptedEngine) sent(method, path string) []request {
	e.mu.Lock()
	defer e.mu.Unlock()
	var found []request
	for _, r := range e.requests {
		if r.method == method && strings.Contains(r.uri+"?", path+"?") {
			found = append(found, r)
		}
	}
	return found
}

// all are the requests so far.
func (e *scriptedEngine) all() []request {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.requests)
}

func recorded(t *testing.T, name string) []byte {
	return readFile(t, "testdata/captures/"+name+".http")
}

// says is an answer that is made up.
func says(status int, body string) []byte {
	return fmt.Appendf(nil, "HTTP/1.1 %d X\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", status, len(body), body)
}

var allEngines = []string{"20.10", "26.1", "28.5"}

func TestEveryFieldOfASwarmIsKept(t *testing.T) {
	object := recordedObject{"cluster.json", readFile(t, "testdata/types/cluster.json")}
	for _, c := range codecs {
		cluster := assertSurvives[swarm.Cluster](t, c, object)
		assert.Empty(t, zeroFields("Cluster", reflect.ValueOf(cluster)))
		var filled swarm.Cluster
		fill(reflect.ValueOf(&filled).Elem())
		assert.Equal(t, filled, reencoded(t, c, filled))
	}
}

func TestZeroAndAbsentSettingsOfASwarmStayApart(t *testing.T) {
	for _, spec := range []string{
		`{"Orchestration":{},"Raft":{"ElectionTick":0,"HeartbeatTick":0},"Dispatcher":{},"CAConfig":{},"TaskDefaults":{},"EncryptionConfig":{"AutoLockManagers":false}}`,
		`{"Labels":{},"Orchestration":{"TaskHistoryRetentionLimit":0},"Raft":{"KeepOldSnapshots":0,"ElectionTick":0,"HeartbeatTick":0},"Dispatcher":{},"CAConfig":{"ExternalCAs":[]},"TaskDefaults":{"LogDriver":{}},"EncryptionConfig":{"AutoLockManagers":false}}`,
	} {
		for _, c := range codecs {
			assertSurvives[swarm.SwarmSpec](t, c, recordedObject{spec, []byte(spec)})
		}
	}
}

func TestInitReturnsTheNodeID(t *testing.T) {
	for _, version := range allEngines {
		e, client := newScriptedEngine(t, "1.41")
		e.answer("POST /swarm/init", recorded(t, version+"/init_ok"))
		id, err := client.Swarm.Init(t.Context(), nil)
		require.NoError(t, err)
		assert.Len(t, id, 25)
		assert.JSONEq(t, `{"ListenAddr":"0.0.0.0:2377","Spec":{"Orchestration":{},"Raft":{"ElectionTick":0,"HeartbeatTick":0},
			"Dispatcher":{},"CAConfig":{},"TaskDefaults":{},"EncryptionConfig":{"AutoLockManagers":false}}}`, e.requests[0].body)
	}
}

func TestInitSendsEveryOption(t *testing.T) {
	e, client := newScriptedEngine(t, "1.41")
	e.answer("POST /swarm/init", recorded(t, "20.10/init_ok"))
	opts := &swarm.InitOptions{
		ListenAddr: "eth0:2378", AdvertiseAddr: "10.0.0.1", DataPathAddr: "eth1", DataPathPort: 5000,
		DefaultAddrPool: []netip.Prefix{netip.MustParsePrefix("10.20.0.0/16"), netip.MustParsePrefix("10.21.0.0/16")}, SubnetSize: 26,
		ForceNewCluster: true, AutoLockManagers: true, Availability: swarm.NodeDrain,
		Spec: swarm.SwarmSpec{Labels: map[string]string{"a": "b"}, Orchestration: swarm.OrchestrationConfig{TaskHistoryRetentionLimit: new(int64(0))}},
	}
	before := *opts
	_, err := client.Swarm.Init(t.Context(), opts)
	require.NoError(t, err)
	assert.JSONEq(t, `{"ListenAddr":"eth0:2378","AdvertiseAddr":"10.0.0.1","DataPathAddr":"eth1","DataPathPort":5000,
		"DefaultAddrPool":["10.20.0.0/16","10.21.0.0/16"],"SubnetSize":26,"ForceNewCluster":true,"AutoLockManagers":true,"Availability":"drain",
		"Spec":{"Labels":{"a":"b"},"Orchestration":{"TaskHistoryRetentionLimit":0},"Raft":{"ElectionTick":0,"HeartbeatTick":0},
		"Dispatcher":{},"CAConfig":{},"TaskDefaults":{},"EncryptionConfig":{"AutoLockManagers":true}}}`, e.requests[0].body)
	assert.Equal(t, before, *opts, "the caller's options are the caller's")
}

func TestOptionsNewerThanTheEngineAreRefused(t *testing.T) {
	for apiVersion, opts := range map[string]swarm.InitOptions{
		"1.24": {AutoLockManagers: true},
		"1.27": {Availability: swarm.NodeDrain},
		"1.29": {DataPathAddr: "10.0.0.1"},
		"1.38": {SubnetSize: 24},
		"1.39": {DataPathPort: 4789},
	} {
		e, client := newScriptedEngine(t, apiVersion)
		_, err := client.Swarm.Init(t.Context(), &opts)
		var versionError *swarm.VersionError
		assert.ErrorAs(t, err, &versionError, apiVersion)
		assert.Empty(t, e.requests)
	}
	e, client := newScriptedEngine(t, "1.24")
	e.answer("POST /swarm/init", recorded(t, "20.10/init_ok"))
	_, err := client.Swarm.Init(t.Context(), nil)
	assert.NoError(t, err, "nothing newer was asked for")
	_, err = client.Swarm.UnlockKey(t.Context())
	assert.ErrorIs(t, err, swarm.ErrUnsupported)
	err = client.Swarm.Join(t.Context(), "token", []string{"10.0.0.1"}, &swarm.JoinOptions{Availability: swarm.NodeDrain})
	assert.ErrorIs(t, err, swarm.ErrUnsupported)
	assert.Empty(t, e.sent("POST", "/swarm/join"))
}

func TestJoinSendsTokenAddressesAndOptions(t *testing.T) {
	e, client := newScriptedEngine(t, "1.41")
	e.answer("POST /swarm/join", says(200, ""))
	require.NoError(t, client.Swarm.Join(t.Context(), "token", []string{"10.0.0.1:2377", "10.0.0.2"}, nil))
	require.NoError(t, client.Swarm.Join(t.Context(), "token", []string{"10.0.0.1"},
		&swarm.JoinOptions{ListenAddr: "eth0", AdvertiseAddr: "10.0.0.3", DataPathAddr: "eth1", Availability: swarm.NodePause, Wait: true}))
	assert.JSONEq(t, `{"ListenAddr":"0.0.0.0:2377","RemoteAddrs":["10.0.0.1:2377","10.0.0.2"],"JoinToken":"token"}`, e.requests[0].body)
	assert.JSONEq(t, `{"ListenAddr":"eth0","AdvertiseAddr":"10.0.0.3","DataPathAddr":"eth1","Availability":"pause",
		"RemoteAddrs":["10.0.0.1"],"JoinToken":"token"}`, e.requests[1].body)
	assert.ErrorIs(t, client.Swarm.Join(t.Context(), "", []string{"10.0.0.1"}, nil), swarm.ErrInvalid)
	assert.ErrorIs(t, client.Swarm.Join(t.Context(), "token", nil, nil), swarm.ErrInvalid)
	assert.Len(t, e.requests, 2)
}

// joinGoesOn is what engines say when they stop waiting for a join.
const joinGoesOn = `{"message":"Timeout was reached before node joined. The attempt to join the swarm will continue in the background. Use the \"docker info\" command to see the current swarm status of your node."}`

func TestJoinThatTakesLongIsInProgress(t *testing.T) {
	e, client := newScriptedEngine(t, "1.41")
	e.answer("POST /swarm/join", says(503, joinGoesOn))
	err := client.Swarm.Join(t.Context(), "token", []string{"10.0.0.1"}, nil)
	require.ErrorIs(t, err, swarm.ErrInProgress)
	var lost *swarm.OutcomeUnknownError
	assert.NotErrorAs(t, err, &lost)
	assert.Len(t, e.sent("POST", "/swarm/join"), 1)
}

func TestJoinWaitsUntilTheEngineIsANode(t *testing.T) {
	pending := says(200, `{"Swarm":{"LocalNodeState":"pending"}}`)
	for state, want := range map[string]error{
		`{"Swarm":{"LocalNodeState":"active"}}`: nil,
		`{"Swarm":{"LocalNodeState":"locked"}}`: swarm.ErrLocked,
	} {
		e, client := newScriptedEngine(t, "1.41")
		e.answer("POST /swarm/join", says(503, joinGoesOn))
		e.answer("GET /info", pending, says(200, state))
		err := client.Swarm.Join(t.Context(), "token", []string{"10.0.0.1"}, &swarm.JoinOptions{Wait: true})
		assert.ErrorIs(t, err, want)
		assert.Len(t, e.sent("GET", "/info"), 2)
	}
	e, client := newScriptedEngine(t, "1.41")
	e.answer("POST /swarm/join", says(503, joinGoesOn))
	e.answer("GET /info", says(200, `{"Swarm":{"LocalNodeState":"error","Error":"no such root"}}`))
	err := client.Swarm.Join(t.Context(), "token", []string{"10.0.0.1"}, &swarm.JoinOptions{Wait: true})
	assert.EqualError(t, err, "wait for join: the engine is error: no such root")
	assert.ErrorIs(t, err, swarm.ErrUnavailable)
	e.answer("GET /info", pending)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	err = client.Swarm.Join(ctx, "token", []string{"10.0.0.1"}, &swarm.JoinOptions{Wait: true})
	assert.ErrorIs(t, err, context.DeadlineExceeded)
}

func TestWhatNothingGuardsIsNeverSentTwice(t *testing.T) {
	for path, do := range map[string]func(*swarm.Client) error{
		"/swarm/init":   func(c *swarm.Client) error { _, err := c.Swarm.Init(t.Context(), nil); return err },
		"/swarm/join":   func(c *swarm.Client) error { return c.Swarm.Join(t.Context(), "token", []string{"10.0.0.1"}, nil) },
		"/swarm/leave":  func(c *swarm.Client) error { return c.Swarm.Leave(t.Context(), nil) },
		"/swarm/unlock": func(c *swarm.Client) error { return c.Swarm.Unlock(t.Context(), "key") },
	} {
		for _, answer := range [][]byte{nil, says(500, `{"message":"rpc error: code = DeadlineExceeded desc = context deadline exceeded"}`)} {
			e, client := newScriptedEngine(t, "1.41")
			e.answer("POST "+path, answer)
			var lost *swarm.OutcomeUnknownError
			assert.ErrorAs(t, do(client), &lost, path)
			assert.Len(t, e.sent("POST", path), 1, path)
		}
	}
}

func TestLeaveIsForcedOnDemandAlone(t *testing.T) {
	e, client := newScriptedEngine(t, "1.41")
	e.answer("POST /swarm/leave", recorded(t, "28.5/leave_manager_noforce"), recorded(t, "28.5/swarm_leave_force"))
	assert.ErrorIs(t, client.Swarm.Leave(t.Context(), nil), swarm.ErrInvalid)
	require.NoError(t, client.Swarm.Leave(t.Context(), &swarm.LeaveOptions{Force: true}))
	assert.Equal(t, []string{"/v1.41/swarm/leave", "/v1.41/swarm/leave?force=true"}, []string{e.requests[0].uri, e.requests[1].uri})
}

func TestRecordedAnswersOfSwarmsAreUnderstood(t *testing.T) {
	for _, version := range allEngines {
		for name, want := range map[string]error{
			"/init_again":                      swarm.ErrAlreadyInSwarm,
			"/init_bad_addr":                   swarm.ErrInvalid,
			"/join_again":                      swarm.ErrAlreadyInSwarm,
			"/join_bad_token":                  swarm.ErrInvalid,
			"/leave_manager_noforce":           swarm.ErrInvalid,
			"/noswarm_leave":                   swarm.ErrNoSwarm,
			"/noswarm_unlock":                  swarm.ErrNoSwarm,
			"/swarm_unlock_notlocked":          swarm.ErrNotLocked,
			"-multi/locked_leave":              swarm.ErrLocked,
			"-multi/locked_unlock_wrongkey":    swarm.ErrInvalidUnlockKey,
			"-multi/locked_unlock_wrongformat": swarm.ErrInvalidUnlockKey,
			"-multi/no_leader_leave":           swarm.ErrInvalid,
			"-multi/worker_init":               swarm.ErrAlreadyInSwarm,
		} {
			e, client := newScriptedEngine(t, "1.41")
			e.answer("POST /swarm/unlock", recorded(t, version+name))
			assert.ErrorIs(t, client.Swarm.Unlock(t.Context(), "key"), want, name)
		}
		for name, want := range map[string]error{
			"/noswarm_swarm":         swarm.ErrNoSwarm,
			"-multi/worker_swarm":    swarm.ErrNotManager,
			"-multi/locked_swarm":    swarm.ErrLocked,
			"-multi/no_leader_swarm": swarm.ErrNoLeader,
		} {
			e, client := newScriptedEngine(t, "1.41")
			e.answer("GET /swarm", recorded(t, version+name))
			_, err := client.Swarm.Inspect(t.Context())
			assert.ErrorIs(t, err, want, name)
		}
	}
}

func TestLocalStateIsReadFromEveryEngine(t *testing.T) {
	for _, version := range allEngines {
		for name, want := range map[string]swarm.SwarmInfo{
			"/info_noswarm":                {LocalNodeState: swarm.LocalInactive},
			"/info_swarm":                  {LocalNodeState: swarm.LocalActive, ControlAvailable: true},
			"-multi/worker_info":           {LocalNodeState: swarm.LocalActive},
			"-multi/manager_follower_info": {LocalNodeState: swarm.LocalActive, ControlAvailable: true},
			"-multi/locked_info":           {LocalNodeState: swarm.LocalLocked},
			"-multi/no_leader_info":        {LocalNodeState: swarm.LocalActive, ControlAvailable: true},
		} {
			e, client := newScriptedEngine(t, "1.41")
			e.answer("GET /info", recorded(t, version+name))
			state, err := client.Swarm.LocalState(t.Context())
			require.NoError(t, err, name)
			assert.Equal(t, want.LocalNodeState, state.LocalNodeState, name)
			assert.Equal(t, want.ControlAvailable, state.ControlAvailable, name)
			if state.LocalNodeState == swarm.LocalActive {
				assert.Len(t, state.NodeID, 25, name)
				assert.NotEmpty(t, state.RemoteManagers, name)
			}
			if strings.Contains(name, "no_leader") {
				assert.Contains(t, state.Error, "does not have a leader", name)
			}
		}
	}
}

// withUnknown is a swarm as an engine newer than this library might send it.
const withUnknown = `{"ID":"i4qg0rkotrlv101qlcvqcfnkl","Version":{"Index":10},"New":1,"Spec":{"Name":"default","Labels":{},"Quantum":{"Level":3},
	"Orchestration":{"TaskHistoryRetentionLimit":5,"New":null},"Raft":{"SnapshotInterval":10000,"KeepOldSnapshots":0,"LogEntriesForSlowFollowers":500,"ElectionTick":10,"HeartbeatTick":1,"New":[]},
	"Dispatcher":{"HeartbeatPeriod":5000000000},"CAConfig":{"NodeCertExpiry":7776000000000000,"ExternalCAs":[{"Protocol":"cfssl","URL":"https://ca","CACert":"","New":{}}]},
	"TaskDefaults":{"New":7},"EncryptionConfig":{"AutoLockManagers":false,"New":"x"}},"JoinTokens":{"Worker":"SWMTKN-w","Manager":"SWMTKN-m"}}`

func TestChangesOfASwarmKeepWhatIsUnknown(t *testing.T) {
	e, client := newScriptedEngine(t, "1.60")
	e.answer("GET /swarm", says(200, withUnknown))
	e.answer("POST /swarm/update", says(200, ""))
	err := client.Swarm.Modify(t.Context(), func(c *swarm.Cluster) error {
		c.Spec.Orchestration.TaskHistoryRetentionLimit = new(int64(0))
		return nil
	})
	require.NoError(t, err)
	posted := e.sent("POST", "/swarm/update")
	require.Len(t, posted, 1)
	assert.Equal(t, "/v1.60/swarm/update?version=10", posted[0].uri, "an older version would drop what is unknown")
	var object struct{ Spec json.RawMessage }
	require.NoError(t, json.Unmarshal([]byte(withUnknown), &object))
	assert.JSONEq(t, strings.Replace(string(object.Spec), `Limit":5`, `Limit":0`, 1), posted[0].body)
}

func TestChangesOfRecordedSwarmsChangeNothingElse(t *testing.T) {
	for _, version := range allEngines {
		e, client := newScriptedEngine(t, "1.41")
		e.answer("GET /swarm", recorded(t, version+"/swarm_inspect"))
		e.answer("POST /swarm/update", recorded(t, version+"/swarm_rotate_worker"))
		err := client.Swarm.Modify(t.Context(), func(c *swarm.Cluster) error { return nil })
		require.NoError(t, err)
		assert.Empty(t, e.sent("POST", "/swarm/update"))

		err = client.Swarm.Modify(t.Context(), func(c *swarm.Cluster) error {
			c.Spec.Labels = map[string]string{"a": "b"}
			return nil
		})
		require.NoError(t, err)
		var object struct{ Spec json.RawMessage }
		require.NoError(t, json.Unmarshal(recordedBody(t, "testdata/captures/"+version+"/swarm_inspect.http"), &object))
		assert.JSONEq(t, strings.Replace(string(object.Spec), `"Labels":{}`, `"Labels":{"a":"b"}`, 1), e.sent("POST", "/swarm/update")[0].body)
	}
}

func TestModifyOfASwarmBeginsAgainWhenAnotherWriterWon(t *testing.T) {
	e, client := newScriptedEngine(t, "1.51")
	e.answer("GET /swarm", says(200, withVersion(10)), says(200, withVersion(11)))
	e.answer("POST /swarm/update", recorded(t, "28.5/swarm_update_stale"), says(200, ""))
	err := client.Swarm.Modify(t.Context(), func(c *swarm.Cluster) error {
		c.Spec.Labels = map[string]string{"a": "b"}
		return nil
	})
	require.NoError(t, err)
	posted := e.sent("POST", "/swarm/update")
	require.Len(t, posted, 2)
	assert.Equal(t, "/v1.51/swarm/update?version=11", posted[1].uri)
}

func withVersion(n int) string {
	return fmt.Sprintf(`{"ID":"i4qg0rkotrlv101qlcvqcfnkl","Version":{"Index":%d},"Spec":{"Name":"default","EncryptionConfig":{"AutoLockManagers":true}}}`, n)
}

func TestUpdateWhoseAnswerWasLostIsUnknown(t *testing.T) {
	e, client := newScriptedEngine(t, "1.51")
	e.answer("GET /swarm", says(200, withVersion(10)))
	e.answer("POST /swarm/update", nil, recorded(t, "28.5/swarm_update_stale"))
	err := client.Swarm.Modify(t.Context(), func(c *swarm.Cluster) error {
		c.Spec.Labels = map[string]string{"a": "b"}
		return nil
	})
	var lost *swarm.OutcomeUnknownError
	require.ErrorAs(t, err, &lost)
	assert.Len(t, e.sent("POST", "/swarm/update"), 2)
}

func TestUpdateNeedsASwarmThatWasRead(t *testing.T) {
	_, client := newScriptedEngine(t, "1.51")
	for _, cluster := range []*swarm.Cluster{nil, {ID: "x"}, {Raw: json.RawMessage(`{`)}} {
		err := client.Swarm.Update(t.Context(), cluster)
		assert.ErrorIs(t, err, swarm.ErrInvalid)
	}
}

func TestTokensAreRotatedForTheRolesThatAreNamed(t *testing.T) {
	for query, roles := range map[string][]swarm.NodeRole{
		"rotateManagerToken=true&rotateWorkerToken=true&version=10": nil,
		"rotateWorkerToken=true&version=10":                         {swarm.RoleWorker},
		"rotateManagerToken=true&version=10":                        {swarm.RoleManager},
	} {
		e, client := newScriptedEngine(t, "1.51")
		e.answer("GET /swarm", says(200, withUnknown), says(200, strings.ReplaceAll(withUnknown, "SWMTKN", "NEWTKN")))
		e.answer("POST /swarm/update", says(200, ""))
		tokens, err := client.Swarm.RotateJoinTokens(t.Context(), roles...)
		require.NoError(t, err)
		assert.Equal(t, "NEWTKN-w", tokens.Worker)
		assert.Equal(t, "NEWTKN-m", tokens.Manager)
		posted := e.sent("POST", "/swarm/update")
		require.Len(t, posted, 1)
		assert.Equal(t, "/v1.60/swarm/update?"+query, strings.Replace(posted[0].uri, "1.51", "1.60", 1))
		var object struct{ Spec json.RawMessage }
		require.NoError(t, json.Unmarshal([]byte(withUnknown), &object))
		assert.JSONEq(t, string(object.Spec), posted[0].body)
	}
	_, client := newScriptedEngine(t, "1.51")
	_, err := client.Swarm.RotateJoinTokens(t.Context(), "boss")
	assert.ErrorIs(t, err, swarm.ErrInvalid)
}

func TestJoinCommandNamesTokenAndAddress(t *testing.T) {
	e, client := newScriptedEngine(t, "1.51")
	e.answer("GET /swarm", says(200, withUnknown))
	e.answer("GET /info", says(200, `{"Swarm":{"LocalNodeState":"active","NodeID":"b","RemoteManagers":[{"NodeID":"a","Addr":"10.0.0.1:2377"},{"NodeID":"b","Addr":"10.0.0.2:2377"}]}}`))
	command, err := client.Swarm.JoinCommand(t.Context(), swarm.RoleWorker)
	require.NoError(t, err)
	assert.Equal(t, "docker swarm join --token SWMTKN-w 10.0.0.2:2377", command)
	command, err = client.Swarm.JoinCommand(t.Context(), swarm.RoleManager)
	require.NoError(t, err)
	assert.Equal(t, "docker swarm join --token SWMTKN-m 10.0.0.2:2377", command)
	_, err = client.Swarm.JoinCommand(t.Context(), "boss")
	assert.ErrorIs(t, err, swarm.ErrInvalid)
}

func TestUnlockKeyIsReadAndRotatedWithAutolockAlone(t *testing.T) {
	for _, version := range allEngines {
		e, client := newScriptedEngine(t, "1.41")
		e.answer("GET /swarm/unlockkey", recorded(t, version+"-multi/autolock_unlockkey"))
		key, err := client.Swarm.UnlockKey(t.Context())
		require.NoError(t, err)
		assert.True(t, strings.HasPrefix(key, "SWMKEY-1-"), key)
		e.answer("GET /swarm/unlockkey", recorded(t, version+"/swarm_unlockkey_notlocked"))
		_, err = client.Swarm.UnlockKey(t.Context())
		assert.ErrorIs(t, err, swarm.ErrNotFound)
		e.answer("GET /swarm", recorded(t, version+"/swarm_inspect"))
		_, err = client.Swarm.RotateUnlockKey(t.Context())
		assert.ErrorIs(t, err, swarm.ErrInvalid)
		assert.Empty(t, e.sent("POST", "/swarm/update"))
	}
	e, client := newScriptedEngine(t, "1.41")
	e.answer("GET /swarm", says(200, withVersion(3)))
	e.answer("POST /swarm/update", says(200, ""))
	e.answer("GET /swarm/unlockkey", says(200, `{"UnlockKey":"new"}`))
	key, err := client.Swarm.RotateUnlockKey(t.Context())
	require.NoError(t, err)
	assert.Equal(t, "new", key)
	assert.Equal(t, "/v1.41/swarm/update?rotateManagerUnlockKey=true&version=3", e.sent("POST", "/swarm/update")[0].uri)
}

func TestAutoLockReturnsTheKey(t *testing.T) {
	e, client := newScriptedEngine(t, "1.41")
	e.answer("GET /swarm", recorded(t, "28.5/swarm_inspect"))
	e.answer("POST /swarm/update", says(200, ""))
	e.answer("GET /swarm/unlockkey", says(200, `{"UnlockKey":"new"}`))
	key, err := client.Swarm.AutoLock(t.Context(), true)
	require.NoError(t, err)
	assert.Equal(t, "new", key)
	assert.Contains(t, e.sent("POST", "/swarm/update")[0].body, `"AutoLockManagers":true`)
	e.answer("GET /swarm", says(200, withVersion(3)))
	key, err = client.Swarm.AutoLock(t.Context(), false)
	require.NoError(t, err)
	assert.Empty(t, key)
	assert.Contains(t, e.sent("POST", "/swarm/update")[1].body, `"AutoLockManagers":false`)
}

func TestNewRootsAreAskedForAsTheirParts(t *testing.T) {
	for _, c := range []struct {
		opts *swarm.CAOptions
		want string // of CAConfig
	}{
		{nil, `{"NodeCertExpiry":7,"ForceRotate":5}`},
		{&swarm.CAOptions{NodeCertExpiry: 9}, `{"NodeCertExpiry":9,"ForceRotate":5}`},
		{&swarm.CAOptions{SigningCACert: "cert", SigningCAKey: "key"}, `{"NodeCertExpiry":7,"ForceRotate":4,"SigningCACert":"cert","SigningCAKey":"key"}`},
		{&swarm.CAOptions{SigningCACert: "cert", ExternalCAs: []swarm.ExternalCA{{Protocol: "cfssl", URL: "https://a"}, {Protocol: "cfssl", URL: "https://b", CACert: "other"}}},
			`{"NodeCertExpiry":7,"ForceRotate":4,"SigningCACert":"cert","ExternalCAs":[{"Protocol":"cfssl","URL":"https://a","CACert":"cert"},{"Protocol":"cfssl","URL":"https://b","CACert":"other"}]}`},
	} {
		e, client := newScriptedEngine(t, "1.41")
		e.answer("GET /swarm", says(200, `{"ID":"i","Version":{"Index":10},"Spec":{"CAConfig":{"NodeCertExpiry":7,"ForceRotate":4}}}`))
		e.answer("POST /swarm/update", says(200, ""))
		require.NoError(t, client.Swarm.RotateCA(t.Context(), c.opts))
		assert.JSONEq(t, `{"CAConfig":`+c.want+`}`, e.sent("POST", "/swarm/update")[0].body)
	}
	for _, opts := range []swarm.CAOptions{{SigningCAKey: "key"}, {SigningCACert: "cert"}, {ExternalCAs: []swarm.ExternalCA{{URL: "https://a"}}}} {
		e, client := newScriptedEngine(t, "1.41")
		assert.ErrorIs(t, client.Swarm.RotateCA(t.Context(), &opts), swarm.ErrInvalid)
		assert.Empty(t, e.requests)
	}
}

func TestWaitCAWaitsForNewCertificatesThenForTheNewRoot(t *testing.T) {
	t.Parallel()
	cluster := func(root, issuer string, rotating bool) []byte {
		return says(200, fmt.Sprintf(`{"ID":"i","TLSInfo":{"TrustRoot":%q,"CertIssuerPublicKey":%q},"RootRotationInProgress":%t}`, root, issuer, rotating))
	}
	nodes := func(parts ...string) []byte {
		var list []string
		for i, part := range parts {
			root, issuer, _ := strings.Cut(part, " ")
			list = append(list, fmt.Sprintf(`{"ID":"n%d","Description":{"Hostname":"h%d","TLSInfo":{"TrustRoot":%q,"CertIssuerPublicKey":%q}}}`, i, i, root, issuer))
		}
		return says(200, "["+strings.Join(list, ",")+"]")
	}
	e, client := newScriptedEngine(t, "1.41")
	e.answer("GET /swarm", cluster("old", "BBBB", true), cluster("old", "BBBB", true), cluster("new", "BBBB", false))
	e.answer("GET /nodes",
		nodes("old AAAA", "old BBBB"), // one node has the old issuer
		nodes("old BBBB", "old BBBB"), // the managers have not noticed
		nodes("old BBBB", "new BBBB"), // one node still trusts the old root
		says(500, `{"message":"rpc error: code = Unknown desc = The swarm does not have a leader. It's possible that too few managers are online."}`),
		says(500, `{"message":"rpc error: code = Unknown desc = The swarm does not have a leader. It's possible that too few managers are online."}`),
		nodes("new BBBB", "new BBBB"))
	require.NoError(t, client.Swarm.WaitCA(t.Context()))
	assert.GreaterOrEqual(t, len(e.sent("GET", "/nodes")), 6)

	e.answer("GET /nodes", nodes("old BBBB", "new BBBB"))
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	err := client.Swarm.WaitCA(ctx)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	assert.ErrorContains(t, err, "1 of 2 nodes lag behind: [n0 (h0)]")

	e.answer("GET /nodes", recorded(t, "28.5/noswarm_swarm"))
	assert.ErrorIs(t, client.Swarm.WaitCA(t.Context()), swarm.ErrNoSwarm)
}

// printed is a value in all the ways that print.
func printed(v any) string {
	var b strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%T"} {
		fmt.Fprintf(&b, verb+"\n", v)
	}
	fmt.Fprintln(&b, v, []any{v}, map[string]any{"v": v}, struct{ V any }{v})
	slog.New(slog.NewTextHandler(&b, nil)).Info("text", "v", v)
	slog.New(slog.NewJSONHandler(&b, nil)).Info("json", "v", v)
	return b.String()
}

func TestNothingPrintsTokensAndKeys(t *testing.T) {
	const secret = "SECRET-7f3a"
	spec := swarm.SwarmSpec{Name: "default", CAConfig: swarm.CAConfig{SigningCAKey: secret, SigningCACert: "cert"}}
	tokens := swarm.JoinTokens{Worker: secret, Manager: secret}
	cluster := swarm.Cluster{ID: "i", Spec: spec, JoinTokens: tokens, Raw: json.RawMessage(`"` + secret + `"`)}
	for _, v := range []any{spec, &spec, tokens, &tokens, cluster, &cluster, spec.CAConfig, &spec.CAConfig,
		swarm.InitOptions{Spec: spec}, &swarm.InitOptions{Spec: spec}, swarm.CAOptions{SigningCAKey: secret}, &swarm.CAOptions{SigningCAKey: secret}} {
		text := printed(v)
		assert.NotContains(t, text, secret, "%T", v)
		assert.NotContains(t, text, fmt.Sprintf("%x", secret), "%T", v)
		assert.NotContains(t, text, fmt.Sprintf("%X", secret), "%T", v)
		assert.NotContains(t, text, strings.Trim(fmt.Sprint([]byte(secret)), "[]"), "%T", v)
		encoded, err := json.Marshal(v)
		require.NoError(t, err)
		assert.Contains(t, string(encoded), secret, "JSON is the wire")
	}
	assert.Contains(t, fmt.Sprintf("%+v", cluster), "Name:default")
}

func TestNoErrorHasTokensOrKeys(t *testing.T) {
	const secret = "SWMKEY-1-secret"
	e, client := newScriptedEngine(t, "1.41")
	for _, answer := range [][]byte{nil, says(500, `{"message":"broken"}`), says(200, `[`), says(401, ``)} {
		for _, path := range []string{"POST /swarm/unlock", "POST /swarm/join", "GET /swarm/unlockkey", "POST /swarm/init"} {
			e.answer(path, answer)
		}
		_, err := client.Swarm.UnlockKey(t.Context())
		errs := []error{err, client.Swarm.Unlock(t.Context(), secret), client.Swarm.Join(t.Context(), secret, []string{"10.0.0.1"}, nil)}
		_, err = client.Swarm.Init(t.Context(), &swarm.InitOptions{Spec: swarm.SwarmSpec{CAConfig: swarm.CAConfig{SigningCAKey: secret}}})
		for _, err := range append(errs, err) {
			if err != nil {
				assert.NotContains(t, fmt.Sprintf("%v %+v %#v", err, err, err), secret)
			}
		}
	}
}
