package engine

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/swarm-go/swarm"
)

// past reads the events there were, by a query.
func (c *client) past(query string) []string {
	c.t.Helper()
	now := c.clock.now
	got := c.do(http.MethodGet, fmt.Sprintf("/events?since=0&until=%d.%09d&%s", now.Unix(), now.Nanosecond()-1, query), "")
	require.Equal(c.t, http.StatusOK, got.status, got.body)
	return lines(got.body)
}

func lines(body string) []string {
	return strings.FieldsFunc(body, func(r rune) bool { return r == '\n' })
}

// told are the events there were in short: what, and what about it.
func (c *client) told(query string) []string {
	c.t.Helper()
	told := []string{}
	for _, line := range c.past(query) {
		var e event
		require.NoError(c.t, json.Unmarshal([]byte(line), &e))
		attributes, _ := json.Marshal(e.Actor.Attributes)
		told = append(told, fmt.Sprintf("%s %s %s", e.Type, e.Action, attributes))
	}
	return told
}

// secret stores a secret.
func (c *client) secret(name string) (id string) {
	c.daemon.world.Do(func() {
		id = c.daemon.world.newID()
		cluster := c.daemon.cluster
		cluster.commit(func(t *tx) {
			put(t, cluster.secrets, &swarm.Secret{ID: id, Spec: swarm.SecretSpec{Name: name}})
		})
	})
	return id
}

func TestManagersTellWhatChangesInTheSwarm(t *testing.T) {
	c := newManager(t, Release285)
	id := c.secret("one")
	c.create("/services/create", `{"Name":"web","TaskTemplate":{"ContainerSpec":{"Image":"web:1"}},"Mode":{"Replicated":{"Replicas":1}}}`)
	update := `{"Name":"web","TaskTemplate":{"ContainerSpec":{"Image":"web:2"}},"Mode":{"Replicated":{"Replicas":3}}}`
	service := get[swarm.Service](c, "/services/web")
	got := c.do(http.MethodPost, fmt.Sprintf("/services/web/update?version=%d", service.Version.Index), update)
	require.Equal(t, http.StatusOK, got.status, got.body)
	c.daemon.world.Do(func() {
		c.daemon.cluster.commit(func(t *tx) { drop(t, c.daemon.cluster.secrets, id) })
	})
	c.do(http.MethodDelete, "/services/web", "")
	c.clock.now = c.clock.now.Add(time.Second)
	assert.Equal(t, []string{
		`secret create {"name":"one"}`, `secret remove {"name":"one"}`,
	}, c.told("filters="+url.QueryEscape(`{"type":["secret"]}`)))
	assert.Equal(t, []string{
		`service create {"name":"web"}`,
		`service update {"image.new":"web:2","image.old":"web:1","name":"web","replicas.new":"3","replicas.old":"1"}`,
		`service remove {"name":"web"}`,
	}, c.told("filters="+url.QueryEscape(`{"type":["service"]}`)))
}

func TestAnEventLooksAsTheReleaseWritesIt(t *testing.T) {
	for _, release := range releases {
		c := newManager(t, release)
		id := c.secret("one")
		at := c.clock.now
		c.daemon.world.Do(func() {
			c.daemon.localEvent(swarm.EventContainer, swarm.ActionStart, "box", attributes{"image": "web:1", "name": "web.1"})
		})
		c.clock.now = at.Add(time.Second)
		past := c.past("filters=" + url.QueryEscape(`{"type":["secret","container"]}`))
		require.Len(t, past, 2)
		times := fmt.Sprintf(`"time":%d,"timeNano":%d}`, at.Unix(), at.UnixNano())
		assert.Equal(t, `{"Type":"secret","Action":"create","Actor":{"ID":"`+id+`","Attributes":{"name":"one"}},"scope":"swarm",`+times, past[0])
		old := `"status":"start","id":"box","from":"web:1",`
		if release.API >= 52 {
			old = ""
		}
		assert.Equal(t, `{`+old+`"Type":"container","Action":"start","Actor":{"ID":"box","Attributes":{"image":"web:1","name":"web.1"}},"scope":"local",`+times, past[1])
	}
}

func TestEventsComeInTheFormTheClientTakes(t *testing.T) {
	c := newManager(t, ReleaseNewest)
	c.secret("one")
	c.clock.now = c.clock.now.Add(time.Second)
	query := fmt.Sprintf("/events?since=0&until=%d", c.clock.now.Unix()-1)
	for accept, want := range map[string]string{
		"": "application/jsonl", "*/*": "application/jsonl", "application/x-ndjson": "application/x-ndjson",
		"application/json-seq": "application/json-seq",
	} {
		got := c.do(http.MethodGet, query, "", "Accept", accept)
		assert.Equal(t, want, got.header.Get("Content-Type"))
		assert.Equal(t, want == "application/json-seq", strings.HasPrefix(got.body, "\x1e{"))
	}
	old := c.do(http.MethodGet, "/v1.51"+query, "")
	assert.Equal(t, "application/json", old.header.Get("Content-Type"))
}

func TestEventsAreChosenByFilters(t *testing.T) {
	c := newManager(t, Release285)
	c.secret("web")
	c.secret("web-2")
	c.secret("other")
	c.daemon.world.Do(func() {
		c.daemon.localEvent(swarm.EventContainer, "health_status: healthy", "box", attributes{"image": "web:1", "name": "web.1", "tier": "front"})
	})
	c.clock.now = c.clock.now.Add(time.Second)
	for filter, want := range map[string]int{
		`{"secret":["web"],"type":["secret"]}`:                     2,
		`{"secret":["web"]}`:                                       3, // the container's name begins so too
		`{"service":["web"],"event":["create"],"type":["secret"]}`: 2,
		`{"type":["secret","container"]}`:                          4,
		`{"type":["nothing"]}`:                                     0,
		`{"nonsense":["x"],"type":["container"]}`:                  1,
		`{"scope":["local"]}`:                                      2, // the other is of docker_gwbridge
		`{"scope":["swarm"],"type":["secret","container"]}`:        3,
		`{"event":["health_status"]}`:                              1,
		`{"event":["health_status: unhealthy"]}`:                   0,
		`{"image":["web:1"]}`:                                      1,
		`{"image":["web"]}`:                                        1,
		`{"image":["we"]}`:                                         0,
		`{"label":["tier"]}`:                                       1,
		`{"label":["tier=front"]}`:                                 1,
		`{"label":["tier=back"]}`:                                  0,
		`{"label":["tier=front"],"type":["secret"]}`:               0,
	} {
		assert.Len(t, c.told("filters="+url.QueryEscape(filter)), want, filter)
	}
}

func TestEventsOfThePastAreTheLast256(t *testing.T) {
	c := newManager(t, Release285)
	for i := range 300 {
		c.daemon.world.Do(func() {
			c.daemon.localEvent(swarm.EventVolume, swarm.ActionCreate, fmt.Sprint(i), nil)
		})
	}
	c.clock.now = c.clock.now.Add(time.Second)
	past := c.past("")
	require.Len(t, past, 256)
	assert.Contains(t, past[0], `"ID":"44"`)
	assert.Contains(t, past[255], `"ID":"299"`)
}

func TestWrongTimesOfEventsAreRefused(t *testing.T) {
	for _, release := range releases {
		c := newClient(t, release)
		status, text := 500, `strconv.ParseInt: parsing "abc": invalid syntax`
		if release == ReleaseNewest {
			status, text = 400, `invalid value for 'since': invalid timestamp "abc": invalid seconds "abc": invalid syntax`
		}
		got := c.do(http.MethodGet, "/events?since=abc", "")
		assert.Equal(t, status, got.status)
		assert.Equal(t, text, got.message())
		got = c.do(http.MethodGet, "/events?since=20&until=10", "")
		assert.Equal(t, 400, got.status)
		assert.Equal(t, "`since` time (20) cannot be after `until` time (10)", got.message())
	}
}

func TestWhoIsSlowLosesEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := NewWorld(RealClock{}, 1)
		defer w.Close()
		d := &Daemon{world: w}
		slow := &eventWatcher{chosen: func(*event) bool { return true }, more: make(chan struct{}, 1)}
		w.Do(func() {
			d.events.watchers = map[*eventWatcher]bool{slow: true}
			for i := range queuedEvents + 10 {
				d.localEvent(swarm.EventVolume, swarm.ActionCreate, fmt.Sprint(i), nil)
			}
		})
		for range 3 { // the engine still waits for these
			slow.next(w)
		}
		time.Sleep(2 * eventPatience)
		var ids []string
		for e := slow.next(w); e != nil; e = slow.next(w) {
			ids = append(ids, e.Actor.ID)
		}
		require.Len(t, ids, queuedEvents)
		assert.Equal(t, "3", ids[0])
		assert.Equal(t, "1026", ids[len(ids)-1])
	})
}
