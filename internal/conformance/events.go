package conformance

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// watch reads events while the behaviour runs.
type watch struct {
	t       *T
	decoder *json.Decoder
}

// events opens the stream before anything happens.
func (t *T) events(filters ...string) *watch {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), patience)
	response, err := t.open(ctx, get("/events?"+filter(filters...)))
	require.NoError(t, err)
	t.Cleanup(func() {
		cancel()
		response.Body.Close()
	})
	require.Equal(t, http.StatusOK, response.StatusCode)
	assert.Equal(t, since[string]{"20.10": "application/json", "29.5": "application/jsonl"}.from(t), response.Header.Get("Content-Type"))
	return &watch{t, json.NewDecoder(response.Body)}
}

// next is the next event of an object.
func (w *watch) next(id string) obj {
	w.t.Helper()
	for {
		var event obj
		require.NoError(w.t, w.decoder.Decode(&event))
		if at(event, "Actor.ID") == id {
			return event
		}
	}
}

// tells wants one of the next events of an object to be this: it may still be told of
// what was done before.
func (w *watch) tells(id, kind, action string, attributes obj) {
	w.t.Helper()
	event := w.next(id)
	for tries := 1; tries < 3 && !assert.ObjectsAreEqual(attributes, at(event, "Actor.Attributes")); tries++ {
		event = w.next(id)
	}
	w.t.is(event, kind, action, attributes)
}

// is wants an event of the swarm to be this.
func (t *T) is(event obj, kind, action string, attributes obj) {
	t.Helper()
	t.members(event, "Type", "Action", "Actor", "scope", "time", "timeNano")
	t.has(event, "Type", kind)
	t.has(event, "Action", action)
	t.has(event, "scope", "swarm")
	t.has(event, "Actor.Attributes", attributes)
}

// past are the events of an object until now.
func (t *T) past(id string, filters ...string) (events []obj) {
	t.Helper()
	until := time.Now()
	a := t.send(get(fmt.Sprintf("/events?since=1&until=%d.%09d&%s", until.Unix(), until.Nanosecond(), filter(filters...))))
	require.Equal(t, http.StatusOK, a.status)
	for decoder := json.NewDecoder(bytes.NewReader(a.body)); ; {
		var event obj
		err := decoder.Decode(&event)
		if errors.Is(err, io.EOF) {
			return events
		}
		require.NoError(t, err)
		if at(event, "Actor.ID") == id {
			events = append(events, event)
		}
	}
}

// recorded are past events of which there is one at least. Engines take a moment
// to record them.
func (t *T) recorded(id string, filters ...string) (events []obj) {
	t.Helper()
	t.eventually("event", func() error {
		if events = t.past(id, filters...); len(events) == 0 {
			return fmt.Errorf("no event of %s for %s", id, filters)
		}
		return nil
	})
	return events
}

var events = []Behaviour{
	{"A26.service-create-and-remove", Swarm, func(t *T) {
		w, name := t.events("type", "service"), t.name()
		id := t.service(called(name))
		t.is(w.next(id), "service", "create", obj{"name": name})
		t.remove("/services/" + id)
		t.is(w.next(id), "service", "remove", obj{"name": name})
	}},
	{"A26.service-update-of-a-label", Swarm, func(t *T) {
		w, name := t.events("type", "service", "event", "update"), t.name()
		id := t.service(called(name))
		t.update("/services/"+id, label("a", "b"))
		t.is(w.next(id), "service", "update", obj{"name": name})
	}},
	{"A26.service-update-of-the-image", Swarm, func(t *T) {
		w, name := t.events("type", "service", "event", "update"), t.name()
		id := t.service(called(name))
		t.update("/services/"+id, image(t.target.OtherImage))
		t.is(w.next(id), "service", "update", obj{"name": name, "image.old": t.target.Image, "image.new": t.target.OtherImage})
	}},
	{"A26.service-update-of-replicas", Swarm, func(t *T) {
		w, name := t.events("type", "service", "event", "update"), t.name()
		id := t.service(called(name), nowhere)
		t.update("/services/"+id, replicas(2))
		t.is(w.next(id), "service", "update", obj{"name": name, "replicas.old": "0", "replicas.new": "2"})
	}},
	{"A26.service-update-states", Swarm, func(t *T) {
		w, name := t.events("type", "service", "event", "update"), t.name()
		id := t.running(1, called(name), quickly)
		t.update("/services/"+id, env("A=1"))
		t.is(w.next(id), "service", "update", obj{"name": name})
		t.is(w.next(id), "service", "update", obj{"name": name, "updatestate.new": "updating"})
		t.is(w.next(id), "service", "update", obj{"name": name, "updatestate.old": "updating", "updatestate.new": "completed"})
	}},
	{"A26.times-of-events", Swarm, func(t *T) {
		w := t.events("type", "service")
		id := t.service()
		event := w.next(id)
		created := t.when(t.serviceAt(id)["CreatedAt"])
		t.has(event, "time", created.Unix())
		t.has(event, "timeNano", created.UnixNano())
	}},
	{"A26.secret", Swarm, func(t *T) { labelled(t, "secret", "/secrets/", t.secret) }},
	{"A26.config", Swarm, func(t *T) { labelled(t, "config", "/configs/", t.config) }},
	{"A26.network", Swarm, func(t *T) {
		w, name := t.events("type", "network", "scope", "swarm"), t.name()
		id := t.network(called(name))
		t.is(w.next(id), "network", "create", obj{"name": name})
		t.remove("/networks/" + id)
		for event := w.next(id); ; event = w.next(id) {
			if event["Action"] != "update" { // perhaps the allocator's
				t.is(event, "network", "remove", obj{"name": name})
				return
			}
		}
	}},
	{"A26.node-label", AloneInSwarm, func(t *T) {
		w := t.events("type", "node")
		node := t.node()
		t.labelNode(t.name(), "1")
		w.tells(node, "node", "update", obj{"name": at(t.get("/nodes/"+node), "Description.Hostname")})
	}},
	{"A26.node-availability", AloneInSwarm, func(t *T) {
		w := t.events("type", "node")
		node := t.node()
		t.available("pause")
		w.tells(node, "node", "update", obj{"name": at(t.get("/nodes/"+node), "Description.Hostname"),
			"availability.old": "active", "availability.new": "pause"})
	}},
	{"A26.past-events", Swarm, func(t *T) {
		name := t.name()
		id := t.service(called(name))
		t.is(t.recorded(id, "type", "service")[0], "service", "create", obj{"name": name})
	}},
	{"A26.filter-by-action", Swarm, func(t *T) {
		id := t.service()
		t.remove("/services/" + id)
		past := t.recorded(id, "type", "service", "event", "remove")
		require.Len(t, past, 1)
		t.has(past[0], "Action", "remove")
	}},
	{"A26.filter-by-service", Swarm, func(t *T) {
		name := t.name()
		one, other := t.service(called(name)), t.service()
		t.recorded(one, "service", name)
		t.recorded(one, "service", one)
		t.recorded(other, "type", "service")
		assert.Empty(t, t.past(other, "service", name))
	}},
	{"A26.filter-by-scope", Swarm, func(t *T) {
		id := t.service()
		t.recorded(id, "scope", "swarm")
		assert.Empty(t, t.past(id, "scope", "local"))
	}},
	{"A26.unknown-filters-are-ignored", Swarm, func(t *T) {
		id := t.service()
		t.recorded(id, "bad", "x")
		assert.Empty(t, t.past(id, "type", "zzz"))
	}},
	{"A26.tasks-have-no-events-of-the-swarm", Swarm, func(t *T) {
		id := t.running(1)
		assert.Empty(t, t.past(t.tasks(id)[0]["ID"].(string)))
	}},
	{"A26.no-event-of-what-was-refused", Swarm, func(t *T) {
		w := t.events("type", "service")
		refused := t.service()
		t.updateWith("/services/"+refused, "", image("UPPER:bad:ref"))
		t.is(w.next(refused), "service", "create", obj{"name": at(t.serviceAt(refused), "Spec.Name")})
		t.remove("/services/" + refused)
		t.has(w.next(refused), "Action", "remove")
	}},
}

// labelled makes an object, changes its labels and removes it.
func labelled(t *T, kind, path string, create func(...edit) string) {
	w, name := t.events("type", kind), t.name()
	id := create(called(name))
	t.is(w.next(id), kind, "create", obj{"name": name})
	t.update(path+id, label("a", "b"))
	t.is(w.next(id), kind, "update", obj{"name": name})
	t.remove(path + id)
	t.is(w.next(id), kind, "remove", obj{"name": name})
}
