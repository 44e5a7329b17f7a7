package swarm_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/swarm-go/swarm"
)

// watched is what a stream of events yields, and what it ends with.
func watched(ctx context.Context, client *swarm.Client, opts *swarm.EventOptions) (events []swarm.Event, err error) {
	for event, err := range client.Events.Watch(ctx, opts) {
		if err != nil {
			return events, err
		}
		events = append(events, event)
	}
	return events, nil
}

// past ends a stream where the engine does.
var past = &swarm.EventOptions{Since: time.Unix(1, 0), Until: time.Unix(2, 5)}

func TestRecordedEventsAreReadWhole(t *testing.T) {
	files, err := filepath.Glob("testdata/captures/*/events_*.http")
	require.NoError(t, err)
	total := 0
	for _, file := range files {
		raw := readFile(t, file)
		if !bytes.HasPrefix(raw, []byte("HTTP/1.1 200")) {
			continue
		}
		e, client := newScriptedEngine(t, "1.51")
		e.answer("GET /events", raw)
		events, err := watched(t.Context(), client, past)
		body, cut := recordedStream(t, raw)
		if cut {
			assert.NotNil(t, body)
		}
		require.NoError(t, err, file)
		lines := bytes.Count(body, []byte("\n"))
		assert.Len(t, events, lines, file)
		total += len(events)
		for _, event := range events {
			assert.NotEmpty(t, event.Type)
			assert.NotEmpty(t, event.Action)
			assert.NotEmpty(t, event.Actor.ID)
			assert.Contains(t, []swarm.Scope{swarm.ScopeSwarm, swarm.ScopeLocal}, event.Scope)
			assert.WithinDuration(t, time.Date(2026, 11, 21, 2, 0, 0, 0, time.UTC), event.Time, 3*time.Hour)
			for _, c := range codecs {
				assert.Equal(t, event.Time, reencoded(t, c, event).Time)
			}
		}
	}
	assert.Greater(t, total, 300)
}

// recordedStream is the body of a recorded stream, as far as it was recorded.
func recordedStream(t *testing.T, raw []byte) (body []byte, cut bool) {
	response, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(raw)), nil)
	require.NoError(t, err)
	body, err = io.ReadAll(response.Body)
	return body, err != nil
}

func TestChangesAreToldWithWhatWasBefore(t *testing.T) {
	e, client := newScriptedEngine(t, "1.51")
	e.answer("GET /events", recorded(t, "28.5/events_all"))
	events, err := watched(t.Context(), client, past)
	require.NoError(t, err)
	seen := map[string]bool{}
	for _, event := range events {
		for _, attribute := range []swarm.EventAttribute{swarm.ChangedImage, swarm.ChangedReplicas, swarm.ChangedUpdateState, swarm.ChangedRole, swarm.ChangedState, swarm.ChangedLeader} {
			if before, after, changed := event.Change(attribute); changed {
				seen[fmt.Sprintf("%s %s %s>%s", event.Type, attribute, before, after)] = true
			}
		}
	}
	assert.Contains(t, seen, "node role worker>manager")
	assert.Contains(t, seen, "service updatestate updating>completed")
	assert.Contains(t, seen, "service updatestate completed>rollback_started")
}

func TestChangesOfServicesAndNodesAreTyped(t *testing.T) {
	event := func(kind swarm.EventType, attributes map[string]string) *swarm.Event {
		return &swarm.Event{Type: kind, Actor: swarm.EventActor{ID: "id", Attributes: attributes}}
	}
	service, ok := event(swarm.EventService, map[string]string{"name": "web", "replicas.old": "1", "replicas.new": "3", "updatestate.new": "updating",
		"image.old": "nginx:1", "image.new": "nginx:2"}).Service()
	assert.True(t, ok)
	assert.Equal(t, swarm.ServiceEvent{ID: "id", Name: "web", Image: &swarm.EventChange[string]{Before: "nginx:1", After: "nginx:2"},
		Replicas:    &swarm.EventChange[uint64]{Before: 1, After: 3},
		UpdateState: &swarm.EventChange[swarm.UpdateState]{After: swarm.UpdateInProgress}}, service)

	node, ok := event(swarm.EventNode, map[string]string{"name": "n", "state.old": "unknown", "state.new": "ready", "availability.old": "active",
		"availability.new": "drain", "role.old": "worker", "role.new": "manager", "reachability.new": "reachable", "leader.old": "false", "leader.new": "true"}).Node()
	assert.True(t, ok)
	assert.Equal(t, swarm.NodeEvent{ID: "id", Name: "n", State: &swarm.EventChange[swarm.NodeState]{Before: swarm.NodeUnknown, After: swarm.NodeReady},
		Availability: &swarm.EventChange[swarm.NodeAvailability]{Before: swarm.NodeActive, After: swarm.NodeDrain},
		Role:         &swarm.EventChange[swarm.NodeRole]{Before: swarm.RoleWorker, After: swarm.RoleManager},
		Reachability: &swarm.EventChange[swarm.Reachability]{After: swarm.ManagerReachable},
		Leader:       &swarm.EventChange[bool]{After: true}}, node)

	service, ok = event(swarm.EventService, map[string]string{"replicas.new": "many"}).Service()
	assert.True(t, ok)
	assert.Equal(t, swarm.ServiceEvent{ID: "id", Replicas: &swarm.EventChange[uint64]{}}, service)
	_, ok = event(swarm.EventContainer, map[string]string{"image.old": "a", "image.new": "b"}).Service()
	assert.False(t, ok)
	_, ok = event(swarm.EventService, nil).Node()
	assert.False(t, ok)
}

const (
	event1 = `{"Type":"service","Action":"create","Actor":{"ID":"a","Attributes":{"name":"web\u001e"}},"scope":"swarm","time":7,"timeNano":7000000001}`
	event2 = `{"Type":"node","Action":"update","Actor":{"ID":"b","Attributes":{"x":"} {"}}}`
)

func TestEventsInEveryFraming(t *testing.T) {
	for mediaType, body := range map[string]string{
		"application/json":                          event1 + "\n" + event2 + "\n",
		"application/json; charset=utf-8":           event1 + event2,
		"application/jsonl":                         event1 + "\r\n\r\n" + event2,
		"application/x-ndjson":                      event1 + "\n" + event2 + "\n",
		"application/ndjson":                        "\n" + event1 + "\n" + event2,
		"application/json-seq":                      "\x1e" + event1 + "\n\x1e" + event2 + "\n",
		`application/json-seq; profile="something"`: "\x1e\x1e" + event1 + "\x1e" + event2,
	} {
		e, client := newScriptedEngine(t, "1.56")
		e.answer("GET /events", fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Type: %s\r\n\r\n%s", mediaType, body))
		events, err := watched(t.Context(), client, past)
		require.NoError(t, err, mediaType)
		require.Len(t, events, 2, mediaType)
		assert.Equal(t, swarm.Event{Type: swarm.EventService, Action: swarm.ActionCreate, Scope: swarm.ScopeSwarm, Time: time.Unix(7, 1).UTC(),
			Actor: swarm.EventActor{ID: "a", Attributes: map[string]string{"name": "web\x1e"}}, Raw: json.RawMessage(event1)}, events[0])
		assert.True(t, events[1].Time.IsZero())
	}
}

func TestEventsAreAskedForByEveryOption(t *testing.T) {
	e, client := newScriptedEngine(t, "1.51")
	e.answer("GET /events", says(200, ``))
	_, err := watched(t.Context(), client, &swarm.EventOptions{
		Since: time.Unix(1, 5), Until: time.Unix(4070908800, 120000000),
		Types: []swarm.EventType{swarm.EventService, swarm.EventNode}, Actions: []swarm.EventAction{swarm.ActionUpdate}, Scopes: []swarm.Scope{swarm.ScopeSwarm},
		Services: []string{"s"}, Nodes: []string{"n"}, Secrets: []string{"se"}, Configs: []string{"c"}, Networks: []string{"ne"}, Containers: []string{"co"},
		Images: []string{"i"}, Volumes: []string{"v"}, Plugins: []string{"p"}, Daemons: []string{"d"}, Labels: map[string]string{"k": "v", "e": ""},
	})
	assert.ErrorIs(t, err, io.ErrUnexpectedEOF, "Until is in the future")
	asked, err := url.Parse(e.all()[0].uri)
	require.NoError(t, err)
	assert.Equal(t, "1.000000005", asked.Query().Get("since"))
	assert.Equal(t, "4070908800.120000000", asked.Query().Get("until"))
	assert.JSONEq(t, `{"type":{"service":true,"node":true},"event":{"update":true},"scope":{"swarm":true},"service":{"s":true},"node":{"n":true},
		"secret":{"se":true},"config":{"c":true},"network":{"ne":true},"container":{"co":true},"image":{"i":true},"volume":{"v":true},
		"plugin":{"p":true},"daemon":{"d":true},"label":{"k=v":true,"e":true}}`, asked.Query().Get("filters"))
}

func TestEventsThatCannotBeAskedForAreRefused(t *testing.T) {
	e, client := newScriptedEngine(t, "1.29")
	for _, opts := range []swarm.EventOptions{
		{Types: []swarm.EventType{"servcie"}}, {Scopes: []swarm.Scope{"global"}}, {Since: time.Unix(2, 0), Until: time.Unix(1, 0)},
	} {
		_, err := watched(t.Context(), client, &opts)
		assert.ErrorIs(t, err, swarm.ErrInvalid)
	}
	var versionError *swarm.VersionError
	_, err := watched(t.Context(), client, &swarm.EventOptions{Scopes: []swarm.Scope{swarm.ScopeSwarm}})
	assert.ErrorAs(t, err, &versionError)
	assert.Empty(t, e.all())
}

func TestStreamsOfEventsNeverEndWithoutAReason(t *testing.T) {
	for what, row := range map[string]struct {
		answer []byte
		opts   *swarm.EventOptions
		events int
		want   []error
	}{
		"cut between events":       {says(200, event1+"\n"), nil, 1, []error{io.ErrUnexpectedEOF, swarm.ErrProtocol}},
		"cut at once":              {says(200, ``), nil, 0, []error{io.ErrUnexpectedEOF}},
		"cut long before Until":    {says(200, event1), &swarm.EventOptions{Until: time.Now().Add(time.Hour)}, 1, []error{io.ErrUnexpectedEOF}},
		"cut inside an event":      {says(200, event1+event2[:20]), past, 1, []error{io.ErrUnexpectedEOF, swarm.ErrProtocol}},
		"ended when asked to":      {says(200, event1+"\n"), &swarm.EventOptions{Until: time.Now().Add(time.Second)}, 1, nil},
		"no JSON":                  {says(200, event1+"<html>"), past, 1, []error{swarm.ErrProtocol}},
		"no event":                 {says(200, event1+`{}`), past, 1, []error{swarm.ErrProtocol}},
		"no object":                {says(200, event1+`[7]`), past, 1, []error{swarm.ErrProtocol}},
		"half a wrong event":       {says(200, event1+`{"Type":7}`), past, 1, []error{swarm.ErrProtocol}},
		"a login page":             {[]byte("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<html>"), past, 0, []error{swarm.ErrProtocol}},
		"an event of 2 MiB":        {says(200, event1+`{"Type":"`+strings.Repeat("x", 2<<20)+`"}`), past, 1, []error{swarm.ErrProtocol}},
		"an engine that says no":   {recorded(t, "20.10/events_since_after_until"), past, 0, []error{swarm.ErrInvalid}},
		"an engine that is locked": {says(503, `{"message":"Swarm is encrypted and needs to be unlocked before it can be used."}`), past, 0, []error{swarm.ErrLocked}},
	} {
		t.Run(what, func(t *testing.T) {
			e, client := newScriptedEngine(t, "1.51")
			e.answer("GET /events", row.answer)
			events, err := watched(t.Context(), client, row.opts)
			assert.Len(t, events, row.events)
			if row.want == nil {
				assert.NoError(t, err)
			}
			for _, want := range row.want {
				assert.ErrorIs(t, err, want)
			}
		})
	}
}

// liveEvents is an engine that sends what it is given as it gets it.
func liveEvents(t *testing.T) (send chan<- string, gone <-chan struct{}, client *swarm.Client) {
	t.Helper()
	sent, left := make(chan string), make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Api-Version", "1.51")
		w.Header().Set("Content-Type", "application/json")
		if !strings.HasSuffix(r.URL.Path, "/events") {
			return
		}
		defer close(left)
		w.(http.Flusher).Flush()
		for {
			select {
			case text, ok := <-sent:
				if !ok {
					panic(http.ErrAbortHandler)
				}
				_, _ = io.WriteString(w, text)
				w.(http.Flusher).Flush()
			case <-r.Context().Done():
				return
			}
		}
	}))
	t.Cleanup(server.Close)
	client, err := swarm.New(swarm.WithHost("tcp://" + server.Listener.Addr().String()))
	require.NoError(t, err)
	t.Cleanup(func() { client.Close() })
	return sent, left, client
}

func TestEventsAreYieldedAsTheyCome(t *testing.T) {
	send, gone, client := liveEvents(t)
	go func() { send <- event1 }()
	count := 0
	for event, err := range client.Events.Watch(t.Context(), nil) {
		require.NoError(t, err)
		if count++; count == 1 {
			assert.Equal(t, "a", event.Actor.ID, "without a byte after it")
			go func() { send <- event2[:10]; send <- event2[10:] }()
			continue
		}
		assert.Equal(t, "b", event.Actor.ID)
		break
	}
	assert.Equal(t, 2, count)
	<-gone // leaving the loop closes the connection
}

func TestConnectionThatBreaksIsAnError(t *testing.T) {
	send, _, client := liveEvents(t)
	go func() {
		send <- event1
		close(send)
	}()
	events, err := watched(t.Context(), client, nil)
	assert.Len(t, events, 1)
	assert.ErrorIs(t, err, io.ErrUnexpectedEOF)
}

func TestContextEndsWatching(t *testing.T) {
	send, gone, client := liveEvents(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	go func() {
		send <- "\n" // it is being watched
		cancel(errors.New("enough"))
	}()
	events, err := watched(ctx, client, nil)
	assert.Empty(t, events)
	assert.ErrorIs(t, err, context.Canceled)
	assert.NotErrorIs(t, err, swarm.ErrProtocol)
	<-gone
}

func FuzzEvents(f *testing.F) {
	for _, seed := range []string{event1, event1 + "\n" + event2, "\x1e" + event2 + "\n\x1e", "{}", event1[:30], `{"Type":"a","timeNano":-1,"Actor":null}`,
		`{"Type":"a","time":9223372036854775807}`, "\xff{"} {
		f.Add([]byte(seed))
	}
	var body atomic.Pointer[[]byte]
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Api-Version", "1.51")
		w.Header().Set("Content-Type", "application/json")
		if strings.HasSuffix(r.URL.Path, "/events") {
			_, _ = w.Write(*body.Load())
		}
	}))
	defer server.Close()
	client, err := swarm.New(swarm.WithHost("tcp://" + server.Listener.Addr().String()))
	require.NoError(f, err)
	defer client.Close()
	f.Fuzz(func(t *testing.T, data []byte) {
		body.Store(&data)
		events, err := watched(t.Context(), client, past)
		if err != nil {
			assert.ErrorIs(t, err, swarm.ErrProtocol)
		}
		for _, event := range events {
			assert.NotEmpty(t, event.Type)
			assert.True(t, json.Valid(event.Raw))
			encoded, err := json.Marshal(event)
			require.NoError(t, err)
			var again swarm.Event
			require.NoError(t, json.Unmarshal(encoded, &again))
		}
	})
}
