package swarmtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/swarm-go/swarm"
	"github.com/swarm-go/swarm/internal/engine"
)

// faulty is a server that counts what gets through and answers it, with faults.
type faulty struct {
	*faults
	url     string
	through atomic.Int64
}

func startFaulty(t *testing.T, answer func(http.ResponseWriter)) *faulty {
	server := &faulty{faults: newFaults(1)}
	handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		server.through.Add(1)
		answer(w)
	})
	listener := httptest.NewServer(server.wrap(immediately{}, "node-1", handler))
	t.Cleanup(listener.Close)
	server.url = listener.URL
	return server
}

// immediately is a clock whose waits are over at once.
type immediately struct{}

func (immediately) Now() time.Time { return time.Time{} }

func (immediately) AfterFunc(_ time.Duration, f func()) func() {
	go f()
	return func() {}
}

// get is the answer to a request: its status and body, and what went wrong with
// either.
func (f *faulty) get(t *testing.T, method, path string) (status int, body string, err error) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, f.url+path, nil)
	require.NoError(t, err)
	transport := &http.Transport{DisableKeepAlives: true}
	answer, err := transport.RoundTrip(request)
	if err != nil {
		return 0, "", err
	}
	defer answer.Body.Close()
	content, err := io.ReadAll(answer.Body)
	return answer.StatusCode, string(content), err
}

func hello(w http.ResponseWriter) { io.WriteString(w, "hello, world") }

func TestFaultsBefallTheRequestsTheyAreFor(t *testing.T) {
	cases := []struct {
		name  string
		fault Fault
		hit   []string
	}{
		{"all", Fault{}, []string{"GET /v1.45/services", "POST /v1.45/services/web/update", "GET /v1.45/tasks"}},
		{"a method", Fault{Method: "POST"}, []string{"POST /v1.45/services/web/update"}},
		{"a path", Fault{Path: "/services"}, []string{"GET /v1.45/services"}},
		{"a pattern", Fault{Path: "/services/*/update"}, []string{"POST /v1.45/services/web/update"}},
		{"a condition", Fault{Match: func(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, "tasks") }}, []string{"GET /v1.45/tasks"}},
		{"this node", Fault{Node: "node-1", Path: "/tasks"}, []string{"GET /v1.45/tasks"}},
		{"another node", Fault{Node: "node-2"}, nil},
		{"all but the first", Fault{Skip: 1}, []string{"POST /v1.45/services/web/update", "GET /v1.45/tasks"}},
		{"the first", Fault{Times: 1}, []string{"GET /v1.45/services"}},
		{"the second", Fault{Skip: 1, Times: 1}, []string{"POST /v1.45/services/web/update"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			server := startFaulty(t, hello)
			c.fault.Effect = Refuse(http.StatusTeapot, "no")
			injection := server.inject(c.fault)
			var hit []string
			for _, request := range []string{"GET /v1.45/services", "POST /v1.45/services/web/update", "GET /v1.45/tasks"} {
				method, path, _ := strings.Cut(request, " ")
				status, _, err := server.get(t, method, path)
				require.NoError(t, err)
				if status == http.StatusTeapot {
					hit = append(hit, request)
				}
			}
			assert.Equal(t, c.hit, hit)
			assert.Equal(t, len(c.hit), injection.Hits())

			injection.Remove()
			status, _, err := server.get(t, "GET", "/v1.45/services")
			require.NoError(t, err)
			assert.Equal(t, http.StatusOK, status)
		})
	}
}

func TestProbableFaultsFollowFromTheSeed(t *testing.T) {
	outcome := func() (hits string) {
		set := newFaults(7)
		set.inject(Fault{Probability: 0.5, Effect: Cut()})
		for range 64 {
			hits += fmt.Sprint(len(set.befalling("node-1", httptest.NewRequest("GET", "/info", nil))))
		}
		return hits
	}
	first := outcome()
	assert.Equal(t, first, outcome())
	assert.Contains(t, first, "0")
	assert.Contains(t, first, "1")
}

func TestEffectsAreWhatTheClientSees(t *testing.T) {
	cases := []struct {
		name    string
		effect  Effect
		status  int
		body    string
		err     error
		through int
	}{
		{"Delay", Delay(time.Hour), 200, "hello, world", nil, 1},
		{"Refuse", Refuse(503, "the swarm is asleep"), 503, `{"message":"the swarm is asleep"}` + "\n", nil, 0},
		{"FailAfter", FailAfter(500, "lost leader status"), 500, `{"message":"lost leader status"}` + "\n", nil, 1},
		{"Answer", Answer(307, http.Header{"Location": {"/"}}, "elsewhere"), 307, "elsewhere", nil, 0},
		{"Raw", Raw("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"), 200, "half", io.ErrUnexpectedEOF, 0},
		{"Cut", Cut(), 0, "", io.EOF, 0},
		{"CutAnswer", CutAnswer(), 0, "", io.EOF, 1},
		{"CutBody", CutBody(5), 200, "hello", io.ErrUnexpectedEOF, 1},
		{"CutBody of nothing", CutBody(0), 200, "", io.ErrUnexpectedEOF, 1},
		{"CutBody beyond its end", CutBody(12), 200, "hello, world", nil, 1},
		{"EndBody", EndBody(5), 200, "hello", nil, 1},
		{"EndLogs", EndLogs(0, "gone"), 200, "\x03\x00\x00\x00\x00\x00\x00\x04gone", nil, 1},
		{"SlowBody", SlowBody(1, time.Hour), 200, "hello, world", nil, 1},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			server := startFaulty(t, hello)
			server.inject(Fault{Effect: c.effect})
			status, body, err := server.get(t, "GET", "/info")
			assert.Equal(t, c.status, status)
			assert.Equal(t, c.body, body)
			assert.ErrorIs(t, err, c.err)
			assert.Equal(t, c.through, int(server.through.Load()))
		})
	}
}

func TestEndLogsLetsWholeFramesThrough(t *testing.T) {
	server := startFaulty(t, func(w http.ResponseWriter) {
		for _, line := range []string{"one", "two", "three"} {
			io.WriteString(w, line)
		}
	})
	server.inject(Fault{Effect: EndLogs(2, "gone")})
	_, body, err := server.get(t, "GET", "/services/web/logs")
	require.NoError(t, err)
	assert.Equal(t, "onetwo\x03\x00\x00\x00\x00\x00\x00\x04gone", body)
}

func TestContentTypeRelabelsTheAnswer(t *testing.T) {
	for _, value := range []string{"text/html", ""} {
		server := startFaulty(t, hello)
		server.inject(Fault{Effect: ContentType(value)})
		answer, err := http.Get(server.url)
		require.NoError(t, err)
		answer.Body.Close()
		assert.Equal(t, value, answer.Header.Get("Content-Type"))
	}
}

func TestHungAndEndlessAnswersEndWithTheClient(t *testing.T) {
	cases := []struct {
		name   string
		effect Effect
		body   string
	}{
		{"Hang", Hang(), ""},
		{"Hang with a body", Hang(), "{}"},
		{"Delay with a body", delayForEver, "{}"},
		{"EndlessBody", EndlessBody("application/json", " "), ""},
		{"EndlessBody with a body", EndlessBody("application/json", " "), "{}"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			ended := make(chan struct{})
			server := startFaulty(t, hello)
			server.inject(Fault{Effect: func(next http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					defer close(ended)
					c.effect(next).ServeHTTP(w, r)
				})
			}})
			ctx, cancel := context.WithCancel(t.Context())
			request, err := http.NewRequestWithContext(ctx, "POST", server.url, strings.NewReader(c.body))
			require.NoError(t, err)
			time.AfterFunc(50*time.Millisecond, cancel)
			answer, err := http.DefaultTransport.RoundTrip(request)
			if err == nil {
				_, err = io.Copy(io.Discard, answer.Body)
				answer.Body.Close()
			}
			assert.True(t, errors.Is(err, context.Canceled), "%v", err)
			<-ended
			assert.Zero(t, server.through.Load())
		})
	}
}

// delayForEver is Delay on a clock that stands still.
func delayForEver(next http.Handler) http.Handler {
	clock := engine.NewManualClock(time.Time{})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		Delay(time.Hour)(next).ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), clockKey{}, engine.Clock(clock))))
	})
}

func TestDelayedRequestsKeepTheirBodies(t *testing.T) {
	e, client := inSwarm(t)
	e.Inject(Fault{Path: "/services/create", Effect: Delay(time.Millisecond)})
	_, err := client.Services.Create(t.Context(), webSpec(), nil)
	require.NoError(t, err)
	assert.Len(t, servicesMade(e), 1)
}

func TestConditionsMayUseTheEngine(t *testing.T) {
	e, client := inSwarm(t)
	var injection *Injection
	injection = e.Inject(Fault{Path: "/version", Effect: Refuse(http.StatusTeapot, "no"), Match: func(*http.Request) bool {
		e.Inject(Fault{Path: "/swarm", Effect: Cut()}).Remove()
		if injection.Hits() == 1 {
			injection.Remove()
		}
		return true
	}})
	_, err := client.System.Version(t.Context())
	require.Error(t, err)
	_, err = client.System.Version(t.Context())
	require.NoError(t, err, "the fault was removed before it befell anything")
}

// An effect of which the node dies, or hides, with the request that it befalls.
func TestEffectsMayStopTheirNode(t *testing.T) {
	for name, stop := range map[string]func(*Node){
		"Stop": (*Node).Stop, "RefuseConnections": (*Node).RefuseConnections, "CutConnections": (*Node).CutConnections,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e, client := inSwarm(t)
				e.Inject(Fault{Path: "/services/create", Effect: func(next http.Handler) http.Handler {
					return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						stop(e.Nodes()[0])
						next.ServeHTTP(w, r)
					})
				}})
				_, err := client.Services.Create(t.Context(), webSpec(), nil)
				require.Error(t, err)
				if name == "Stop" {
					e.Close()
					assert.Empty(t, servicesMade(e), "a node that has stopped does nothing")
				}
			})
		})
	}
}

// The client of the test does not read.
func TestClosingAnEngineEndsConnectionsThatAnEffectHasTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := Start(t, WithoutSwarm())
		e.Inject(Fault{Effect: Raw(strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 1000))})
		connection, err := e.DialContext(t.Context(), "tcp", "engine")
		require.NoError(t, err)
		defer connection.Close()
		_, err = io.WriteString(connection, "GET /_ping HTTP/1.1\r\nHost: engine\r\n\r\n")
		require.NoError(t, err)
		synctest.Wait()
		e.Close()
		requests := e.Requests()
		require.Len(t, requests, 1)
		assert.True(t, requests[0].Done, "its goroutine has ended")
	})
}

func TestSeveralFaultsBefallOneRequest(t *testing.T) {
	server := startFaulty(t, hello)
	server.inject(Fault{Effect: EndBody(5)})
	server.inject(Fault{Effect: ContentType("text/html")})
	answer, err := http.Get(server.url)
	require.NoError(t, err)
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	require.NoError(t, err)
	assert.Equal(t, "hello", string(body))
	assert.Equal(t, "text/html", answer.Header.Get("Content-Type"))
}

func TestFaultsThatCannotBeArePanics(t *testing.T) {
	assert.Panics(t, func() { newFaults(1).inject(Fault{}) })
	assert.Panics(t, func() { newFaults(1).inject(Fault{Path: "[", Effect: Cut()}) })
}

func TestFaultsOfAnEngineBefallItsClients(t *testing.T) {
	e := Start(t)
	client := e.Client()
	injection := e.Inject(Fault{Path: "/version", Effect: Refuse(http.StatusForbidden, "not you")})
	_, err := client.System.Version(t.Context())
	assert.ErrorIs(t, err, swarm.ErrForbidden)
	assert.ErrorContains(t, err, "not you")

	injection.Remove()
	_, err = client.System.Version(t.Context())
	assert.NoError(t, err)
}

func TestConnectionsThatAreCutAreMadeAgain(t *testing.T) {
	e := Start(t)
	hanging := make(chan struct{}, 1)
	e.Inject(Fault{Path: "/version", Times: 1, Effect: func(http.Handler) http.Handler {
		return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			hanging <- struct{}{}
			<-r.Context().Done()
		})
	}})
	go func() {
		<-hanging
		e.Nodes()[0].CutConnections()
	}()
	_, err := e.Client().System.Version(t.Context())
	assert.NoError(t, err, "a read that is cut off is sent again")
}
