package swarm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestVersionsAreRead(t *testing.T) {
	for text, want := range map[string]version{"1.24": {1, 24}, "1.56": {1, 56}, "2.0": {2, 0}, "0.1": {0, 1}} {
		v, err := parseVersion(text)
		require.NoError(t, err)
		assert.Equal(t, want, v)
		assert.Equal(t, text, v.String())
	}
	for _, text := range []string{"", "1", "1.", ".24", "v1.24", "1.24.0", "-1.24", "1.-24", "+1.24", "1.2 4", "1.24\n", "1,24", "1.99999", "999999999999.1",
		"banana", "1.2e1", "１.24", strings.Repeat("1", 1<<16)} {
		_, err := parseVersion(text)
		require.Error(t, err, "%.20q", text)
		assert.Less(t, len(err.Error()), 200)
	}
}

func TestVersionsAreComparedByNumber(t *testing.T) {
	assert.True(t, version{1, 9}.less(version{1, 24}))
	assert.True(t, version{1, 24}.less(version{2, 0}))
	assert.False(t, version{2, 0}.less(version{1, 24}))
	assert.False(t, version{1, 24}.less(version{1, 24}))
}

// The negotiator by itself: who asks, who waits, who fails.

func TestOneCallerNegotiatesForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n negotiator
		asked := 0
		ask := func(context.Context) (negotiation, error) {
			asked++
			time.Sleep(time.Second)
			return negotiation{use: version{1, 45}, engine: version{1, 45}}, nil
		}
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				agreed, err := n.get(t.Context(), ask)
				assert.NoError(t, err)
				assert.Equal(t, version{1, 45}, agreed.use)
			})
		}
		wg.Wait()
		assert.Equal(t, 1, asked)
	})
}

func TestFailureReachesAllWhoWaitAndIsNotKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n negotiator
		broken := errors.New("broken")
		asked := 0
		ask := func(context.Context) (negotiation, error) {
			asked++
			time.Sleep(time.Second)
			if asked == 1 {
				return negotiation{}, broken
			}
			return negotiation{use: version{1, 45}}, nil
		}
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				_, err := n.get(t.Context(), ask)
				assert.Equal(t, broken, err)
			})
		}
		wg.Wait()
		agreed, err := n.get(t.Context(), ask)
		require.NoError(t, err)
		assert.Equal(t, version{1, 45}, agreed.use)
		assert.Equal(t, 2, asked)
	})
}

func TestWhoWaitsForTheNegotiationObeysTheirOwnContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n negotiator
		ask := func(context.Context) (negotiation, error) {
			time.Sleep(time.Hour)
			return negotiation{use: version{1, 45}}, nil
		}
		var wg sync.WaitGroup
		wg.Go(func() {
			agreed, err := n.get(t.Context(), ask)
			assert.NoError(t, err)
			assert.Equal(t, version{1, 45}, agreed.use)
		})
		synctest.Wait()
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err := n.get(ctx, ask)
		assert.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Equal(t, time.Minute, time.Since(start))
		wg.Wait()
	})
}

func TestOthersGoOnWhenTheOneWhoNegotiatesGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n negotiator
		asked := 0
		ask := func(ctx context.Context) (negotiation, error) {
			asked++
			select {
			case <-ctx.Done():
				return negotiation{}, errors.New("dial interrupted") // a dialer need not say why
			case <-time.After(time.Hour):
				return negotiation{use: version{1, 45}}, nil
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			_, err := n.get(ctx, ask)
			assert.EqualError(t, err, "dial interrupted")
		})
		synctest.Wait()
		for range 10 {
			wg.Go(func() {
				agreed, err := n.get(t.Context(), ask)
				assert.NoError(t, err)
				assert.Equal(t, version{1, 45}, agreed.use)
			})
		}
		synctest.Wait()
		cancel()
		wg.Wait()
		assert.Equal(t, 2, asked)
	})
}

func TestNobodyIsLeftWaitingWhenTheNegotiationPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n negotiator
		asked := 0
		ask := func(context.Context) (negotiation, error) {
			asked++
			time.Sleep(time.Second)
			if asked == 1 {
				panic("a round tripper of the user's")
			}
			return negotiation{use: version{1, 45}}, nil
		}
		var wg sync.WaitGroup
		wg.Go(func() {
			assert.Panics(t, func() { _, _ = n.get(t.Context(), ask) })
		})
		synctest.Wait()
		agreed, err := n.get(t.Context(), ask)
		assert.NoError(t, err)
		assert.Equal(t, version{1, 45}, agreed.use)
		wg.Wait()
	})
}

func TestForgettingWhatSomebodyElseReplacedKeepsTheNew(t *testing.T) {
	old, current := negotiation{use: version{1, 45}, engine: version{1, 45}}, negotiation{use: version{1, 51}, engine: version{1, 51}}
	n := negotiator{agreed: &current}
	n.forget(old)
	assert.Equal(t, &current, n.agreed)
	n.forget(current)
	assert.Nil(t, n.agreed)
}

// The client against an engine.

// versionEngine answers like an engine of some API version.
type versionEngine struct {
	api, oldest atomic.Value // strings; what it speaks
	pings       atomic.Int32 // pings and reads of /version
	calls       atomic.Int32 // all else
	status      atomic.Int32 // of the answers to calls, unless it is 0
	paths       sync.Map

	ping, version http.HandlerFunc // instead of its own
}

func newVersionEngine(t *testing.T, api string) (*versionEngine, func(...Option) *Client) {
	t.Helper()
	e := &versionEngine{}
	e.become(api)
	server := httptest.NewServer(e)
	t.Cleanup(server.Close)
	return e, func(opts ...Option) *Client {
		client, err := New(append([]Option{WithHost(server.URL), WithRetry(RetryPolicy{ReadAttempts: 1, WriteAttempts: 1})}, opts...)...)
		require.NoError(t, err)
		t.Cleanup(func() { client.Close() })
		return client
	}
}

func (e *versionEngine) become(api string) {
	e.api.Store(api)
	e.oldest.Store("1.24")
}

func (e *versionEngine) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	api := e.api.Load().(string)
	if api != "" {
		w.Header().Set("Api-Version", api)
	}
	w.Header().Set("Content-Type", "application/json")
	e.paths.Store(r.Method+" "+r.URL.Path, true)
	switch {
	case r.URL.Path == "/_ping":
		e.pings.Add(1)
		if e.ping != nil {
			e.ping(w, r)
		}
		return
	case r.URL.Path == "/version":
		e.pings.Add(1)
		e.version(w, r)
		return
	}
	e.calls.Add(1)
	asked, err := parseVersion(strings.TrimPrefix(strings.Split(r.URL.Path, "/")[1], "v"))
	newest, err2 := parseVersion(api)
	oldest, err3 := parseVersion(e.oldest.Load().(string))
	switch {
	case errors.Join(err, err3) != nil:
		http.NotFound(w, r)
	case err2 == nil && newest.less(asked):
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprintf(w, `{"message":"client version %s is too new. Maximum supported API version is %s"}`, asked, newest)
	case asked.less(oldest):
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprintf(w, `{"message":"client version %s is too old. Minimum supported API version is %s, please upgrade your client to a newer version"}`, asked, oldest)
	case e.status.Load() != 0:
		w.WriteHeader(int(e.status.Load()))
		io.WriteString(w, `{"message":"no"}`)
	default:
		io.WriteString(w, "[]")
	}
}

func (e *versionEngine) saw(request string) bool {
	_, ok := e.paths.Load(request)
	return ok
}

func answer(status int, header, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		if header != "" {
			w.Header().Set("Api-Version", header)
		} else {
			w.Header().Del("Api-Version")
		}
		w.WriteHeader(status)
		io.WriteString(w, body)
	}
}

func list(client *Client) error {
	_, err := client.Services.List(context.Background(), nil)
	return err
}

// byMode makes a call that needs API 1.28.
func byMode(client *Client) error {
	filters := url.Values{"filters": {`{"mode":{"global":true}}`}}
	return client.do(context.Background(), &call{op: "list services", method: http.MethodGet, to: to("/services"), query: filters, repeat: repeatRead}, nil)
}

func TestConcurrentCallersPingOnce(t *testing.T) {
	e, connect := newVersionEngine(t, "1.45")
	all := make(chan struct{})
	e.ping = func(http.ResponseWriter, *http.Request) { <-all }
	client := connect()
	var started, done sync.WaitGroup
	started.Add(100)
	for range 100 {
		done.Go(func() {
			started.Done()
			assert.NoError(t, list(client))
		})
	}
	started.Wait()
	close(all)
	done.Wait()
	assert.EqualValues(t, 1, e.pings.Load())
	assert.EqualValues(t, 100, e.calls.Load())
	assert.True(t, e.saw("HEAD /_ping"))
	assert.True(t, e.saw("GET /v1.45/services"))
}

func TestVersionIsWhatBothSidesKnow(t *testing.T) {
	for engine, want := range map[string]string{"1.24": "1.24", "1.41": "1.41", "1.56": "1.56", "1.99": "1.56", "2.3": "1.56"} {
		_, connect := newVersionEngine(t, engine)
		got, err := connect().APIVersion(t.Context())
		require.NoError(t, err)
		assert.Equal(t, want, got, engine)
	}
}

func TestGetIsAskedWhereHeadIsRefused(t *testing.T) {
	e, connect := newVersionEngine(t, "1.39")
	e.ping = func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodHead {
			w.WriteHeader(http.StatusMethodNotAllowed)
		}
	}
	got, err := connect().APIVersion(t.Context())
	require.NoError(t, err)
	assert.Equal(t, "1.39", got)
	assert.True(t, e.saw("GET /_ping"))
}

func TestVersionIsAskedForWhereThePingDoesNotSay(t *testing.T) {
	refuse := answer(http.StatusForbidden, "", `{"message":"no"}`)
	for _, c := range []struct {
		name          string
		ping, version http.HandlerFunc
		want          string
		is            error
	}{
		{"no header", answer(200, "", ""), answer(200, "", `{"ApiVersion":"1.30"}`), "1.30", nil},
		{"no header, no version", answer(200, "", ""), answer(200, "", `{"Version":"1.12.6"}`), "1.24", nil},
		{"no header, version refused", answer(200, "", ""), refuse, "1.24", nil},
		{"no header, no such page", answer(200, "", ""), answer(404, "", "404 page not found\n"), "1.24", nil},
		{"ping refused", refuse, answer(200, "", `{"ApiVersion":"1.30"}`), "1.30", nil},
		{"both refused", refuse, refuse, "", ErrForbidden},
		{"no header, nonsense", answer(200, "", ""), answer(200, "", `{"ApiVersion":"banana"}`), "", ErrProtocol},
		{"no header, no JSON", answer(200, "", ""), answer(200, "", `<html>log in</html>`), "", ErrProtocol},
		{"no header, broken", answer(200, "", ""), answer(502, "", ""), "", ErrUnavailable},
		{"nonsense in the header", answer(200, "banana", ""), refuse, "", ErrProtocol},
		{"endless header", answer(200, strings.Repeat("1", 10000), ""), refuse, "", ErrProtocol},
		{"too old", answer(200, "1.23", ""), refuse, "", ErrUnsupported},
		{"ping broken", answer(502, "", "<html>"), answer(200, "", `{"ApiVersion":"1.30"}`), "", ErrUnavailable},
	} {
		t.Run(c.name, func(t *testing.T) {
			e, connect := newVersionEngine(t, "")
			e.ping, e.version = c.ping, c.version
			client := connect()
			got, err := client.APIVersion(t.Context())
			assert.Equal(t, c.want, got)
			if c.is == nil {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, c.is)
			assert.Equal(t, 1, strings.Count(err.Error(), "negotiate API version"), "%v", err)
			err = list(client)
			require.ErrorIs(t, err, c.is)
			assert.ErrorContains(t, err, "list services: negotiate API version: ")
			assert.Zero(t, e.calls.Load(), "sent without a version")
		})
	}
}

func TestFailedNegotiationIsTriedAgainByTheNextCall(t *testing.T) {
	e, connect := newVersionEngine(t, "1.45")
	var broken atomic.Bool
	broken.Store(true)
	e.ping = func(w http.ResponseWriter, r *http.Request) {
		if broken.Load() {
			answer(http.StatusInternalServerError, "", `{"message":"out of order"}`)(w, r)
		}
	}
	client := connect()
	err := list(client)
	require.Error(t, err)
	assert.ErrorContains(t, err, "list services: negotiate API version: ")
	broken.Store(false)
	require.NoError(t, list(client))
	assert.EqualValues(t, 1, e.calls.Load())
}

func TestUnreachableEngineIsUnreachable(t *testing.T) {
	server := httptest.NewServer(nil)
	server.Close()
	client, err := New(WithHost(server.URL), WithRetry(RetryPolicy{ReadAttempts: 1}))
	require.NoError(t, err)
	defer client.Close()
	assert.ErrorIs(t, list(client), ErrUnreachable)
}

func TestCallerWhoGivesUpWhileNegotiatingSaysSo(t *testing.T) {
	e, connect := newVersionEngine(t, "1.45")
	asked := make(chan struct{}, 10)
	release := make(chan struct{})
	e.ping = func(_ http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		select {
		case <-release:
		case <-r.Context().Done():
		}
	}
	client := connect()
	leader, giveUp := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		_, err := client.Services.List(leader, nil)
		assert.ErrorIs(t, err, context.Canceled)
		assert.ErrorContains(t, err, "negotiate API version")
	})
	<-asked
	for range 10 {
		wg.Go(func() { assert.NoError(t, list(client)) })
	}
	waiting, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	_, err := client.Services.List(waiting, nil)
	assert.ErrorIs(t, err, context.DeadlineExceeded)
	assert.ErrorContains(t, err, "negotiate API version")
	giveUp()
	<-asked
	close(release)
	wg.Wait()
}

func TestNegotiationOfAStreamWithoutDeadlineEnds(t *testing.T) {
	e, connect := newVersionEngine(t, "")
	e.ping = answer(200, "", "")
	e.version = func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, `{"Version":`)
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}
	client := connect(WithCallTimeout(50 * time.Millisecond))
	_, err := client.stream(context.Background(), &call{op: "read logs", method: http.MethodGet, to: to("/services/{id}/logs", "web"), repeat: repeatRead})
	assert.ErrorIs(t, err, context.DeadlineExceeded)
	assert.ErrorContains(t, err, "read logs: negotiate API version: ")
}

func TestPinnedVersionIsUsedWithoutAsking(t *testing.T) {
	e, connect := newVersionEngine(t, "1.45")
	client := connect(WithAPIVersion("1.30"))
	require.NoError(t, list(client))
	got, err := client.APIVersion(t.Context())
	require.NoError(t, err)
	assert.Equal(t, "1.30", got)
	e.become("1.51")
	require.NoError(t, list(client))
	e.become("1.29")
	assert.ErrorIs(t, list(client), ErrUnsupported)
	assert.Zero(t, e.pings.Load())
	assert.EqualValues(t, 3, e.calls.Load())
}

func TestReplacedEngineIsNegotiatedWithAgain(t *testing.T) {
	for _, c := range []struct {
		name, first, then, oldest string
		calls                     int32 // the refused one, and the one that was answered
		path                      string
	}{
		{"older", "1.51", "1.41", "1.24", 2, "GET /v1.41/services"},
		{"newer, which takes the old version", "1.41", "1.51", "1.24", 1, "GET /v1.41/services"},
		{"newer, which takes it no longer", "1.41", "1.55", "1.44", 2, "GET /v1.55/services"},
	} {
		t.Run(c.name, func(t *testing.T) {
			e, connect := newVersionEngine(t, c.first)
			client := connect()
			require.NoError(t, list(client))
			e.become(c.then)
			e.oldest.Store(c.oldest)
			e.pings.Store(0)
			e.calls.Store(0)

			require.NoError(t, list(client))
			assert.Equal(t, c.calls, e.calls.Load())
			assert.True(t, e.saw(c.path))
			require.NoError(t, list(client))
			require.NoError(t, list(client))
			assert.EqualValues(t, 1, e.pings.Load())
			got, err := client.APIVersion(t.Context())
			require.NoError(t, err)
			assert.Equal(t, c.then, got)
		})
	}
}

// A call that needs a newer engine than there was asks once more, since it sends
// nothing that would show that the engine is another by now.
func TestUpgradedEngineIsNoticedByWhatItLackedBefore(t *testing.T) {
	newer := ServiceSpec{Name: "web", TaskTemplate: TaskSpec{ContainerSpec: ContainerSpec{Image: "a:1", OomScoreAdj: 5}}}
	calls := map[string]func(*Client) error{
		"field": func(c *Client) error {
			_, err := c.Services.Create(context.Background(), newer, nil)
			return err
		},
		"filter": byMode,
		"logs": func(c *Client) error {
			_, err := c.logs(context.Background(), "read logs", "/tasks/{id}", "abc", &LogOptions{Raw: true, Format: LogFormatRaw})
			return err
		},
	}
	for name, row := range map[string]struct{ old, new string }{
		"field": {"1.45", "1.46"}, "filter": {"1.27", "1.28"}, "logs": {"1.28", "1.29"},
	} {
		t.Run(name, func(t *testing.T) {
			e, connect := newVersionEngine(t, row.old)
			client := connect()
			var tooOld *VersionError
			require.ErrorAs(t, calls[name](client), &tooOld)
			assert.EqualValues(t, 1, e.pings.Load(), "what has just been agreed on is not doubted")
			require.ErrorAs(t, calls[name](client), &tooOld)
			assert.Equal(t, row.old, tooOld.Have)
			assert.EqualValues(t, 2, e.pings.Load())
			assert.Zero(t, e.calls.Load(), "nothing was sent")

			e.become(row.new)
			if err := calls[name](client); errors.As(err, &tooOld) {
				t.Error(err)
			}
			assert.EqualValues(t, 3, e.pings.Load())
			assert.Positive(t, e.calls.Load())
			assert.NoError(t, list(client))
			assert.EqualValues(t, 3, e.pings.Load())
		})
	}
}

func TestPinnedVersionIsNotDoubted(t *testing.T) {
	e, connect := newVersionEngine(t, "1.51")
	client := connect(WithAPIVersion("1.27"))
	var tooOld *VersionError
	require.ErrorAs(t, byMode(client), &tooOld)
	assert.Zero(t, e.pings.Load())
	assert.Zero(t, e.calls.Load())
}

// A refusal shows as well as a success that the engine is another.
func TestReplacedEngineIsNoticedByItsErrors(t *testing.T) {
	e, connect := newVersionEngine(t, "1.41")
	client := connect()
	require.NoError(t, list(client))
	e.become("1.51")
	e.status.Store(http.StatusNotFound)
	assert.ErrorIs(t, list(client), ErrNotFound)
	got, err := client.APIVersion(t.Context())
	require.NoError(t, err)
	assert.Equal(t, "1.51", got)
}

func TestEngineThatRefusesWhatItSaysIsAskedOnceMore(t *testing.T) {
	e, connect := newVersionEngine(t, "1.41")
	e.oldest.Store("1.44") // it speaks nothing at all
	err := list(connect())
	assert.ErrorIs(t, err, ErrUnsupported)
	assert.ErrorContains(t, err, "client version 1.41 is too old")
	assert.EqualValues(t, 2, e.pings.Load())
	assert.EqualValues(t, 2, e.calls.Load())
}

func TestBodyThatCanBeReadOnceIsNotSentAgainToAReplacedEngine(t *testing.T) {
	e, connect := newVersionEngine(t, "1.51")
	client := connect()
	require.NoError(t, list(client))
	e.become("1.41")
	post := func() error {
		request, err := http.NewRequest(http.MethodPost, "/containers/create", io.NopCloser(strings.NewReader(`{}`)))
		require.NoError(t, err)
		response, err := client.Do(request)
		if err == nil {
			response.Body.Close()
		}
		return err
	}
	e.calls.Store(0)
	assert.ErrorIs(t, post(), ErrUnsupported)
	assert.EqualValues(t, 1, e.calls.Load())
	require.NoError(t, post(), "the next call negotiates again")
	assert.True(t, e.saw("POST /v1.41/containers/create"))
}

func TestNonsenseInALaterHeaderChangesNothing(t *testing.T) {
	e, connect := newVersionEngine(t, "1.45")
	client := connect()
	require.NoError(t, list(client))
	for _, api := range []string{"", "banana"} {
		e.api.Store(api)
		require.NoError(t, list(client))
	}
	assert.EqualValues(t, 1, e.pings.Load())
}

func TestPingWorksWithEnginesThatDoNotKnowHead(t *testing.T) {
	e, connect := newVersionEngine(t, "1.24")
	e.ping = func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodHead {
			w.WriteHeader(http.StatusMethodNotAllowed)
		}
	}
	assert.NoError(t, connect().System.Ping(t.Context()))
}

func FuzzParseVersion(f *testing.F) {
	for _, seed := range []string{"1.24", "1.56", "", "1.", ".", "65535.65535", "65536.0", "1.45\x00"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		v, err := parseVersion(text)
		if err != nil {
			return
		}
		again, err := parseVersion(v.String())
		if v != (version{}) {
			require.NoError(t, err)
			assert.Equal(t, v, again)
		}
	})
}
