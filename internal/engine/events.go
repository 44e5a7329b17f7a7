package engine

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/swarm-go/swarm"
)

const (
	// keptEvents is how many events of the past engines know.
	keptEvents = 256
	// queuedEvents is how many events wait for one who watches.
	queuedEvents = 1024
	// eventPatience is how long engines wait for one who has that many waiting,
	// before they drop an event without a word.
	eventPatience = 100 * time.Millisecond
)

// event is one thing that has happened, as GET /events tells it. Status, ID and
// From are of times when only containers and images had events.
type event struct {
	Status string `json:"status,omitempty"`
	ID     string `json:"id,omitempty"`
	From   string `json:"from,omitempty"`

	Type     swarm.EventType
	Action   swarm.EventAction
	Actor    swarm.EventActor
	Scope    swarm.Scope `json:"scope"`
	Time     int64       `json:"time"`
	TimeNano int64       `json:"timeNano"`
}

// eventLog is what has happened at a daemon. It is kept under the world's lock.
type eventLog struct {
	// past is the last events.
	past []*event
	// watchers are who is told of new ones.
	watchers map[*eventWatcher]bool
}

// listeners is how many watch the events.
func (l *eventLog) listeners() int { return len(l.watchers) }

// eventWatcher is one who watches events. It is kept under the world's lock.
type eventWatcher struct {
	chosen func(*event) bool
	// queue is what waits for it. What is behind its bound is dropped when the
	// engine's patience is at its end.
	queue []*event
	// more is written to when something is queued.
	more chan struct{}
}

// log tells of an event.
func (d *Daemon) log(e *event) {
	l := &d.events
	if len(l.past) == keptEvents {
		l.past = l.past[1:]
	}
	l.past = append(l.past, e)
	for watcher := range l.watchers {
		if watcher.chosen(e) {
			d.queue(watcher, e)
		}
	}
}

// queue has an event wait for a watcher. One that is slow loses it, unless it takes
// others soon.
func (d *Daemon) queue(w *eventWatcher, e *event) {
	if len(w.queue) >= 2*queuedEvents {
		return
	}
	w.queue = append(w.queue, e)
	if len(w.queue) > queuedEvents {
		d.world.after(eventPatience, func() {
			if i := slices.Index(w.queue, e); i >= queuedEvents {
				w.queue = slices.Delete(w.queue, i, i+1)
			}
		})
	}
	select {
	case w.more <- struct{}{}:
	default:
	}
}

// localEvent tells of something that has happened to an object of the daemon's
// own.
func (d *Daemon) localEvent(kind swarm.EventType, action swarm.EventAction, id string, attributes map[string]string) {
	now := d.world.now()
	e := &event{
		Type: kind, Action: action, Actor: swarm.EventActor{ID: id, Attributes: attributes},
		Scope: swarm.ScopeLocal, Time: now.Unix(), TimeNano: now.UnixNano(),
	}
	if kind == swarm.EventContainer || kind == swarm.EventImage {
		e.Status, e.ID = string(action), id
	}
	if kind == swarm.EventContainer {
		e.From = attributes["image"]
	}
	d.log(e)
}

// announce sends the events of what was committed, from all managers.
func (c *Cluster) announce(changes []change) {
	var events []*event
	for _, change := range changes {
		if e := change.event(c.world.now()); e != nil {
			events = append(events, e)
		}
	}
	for _, d := range c.world.daemons {
		if d.cluster != c || !d.managing() {
			continue
		}
		for _, e := range events {
			d.log(e)
		}
	}
}

// event is what is told of a change, nil if nothing is: of tasks and of the swarm
// itself there are no events.
func (c *change) event(now time.Time) *event {
	switch c.kind {
	case "service":
		return eventOf(c, now, swarm.EventService, serviceMeta, serviceChanges)
	case "node":
		return eventOf(c, now, swarm.EventNode, nodeMeta, nodeChanges)
	case "network":
		return eventOf(c, now, swarm.EventNetwork, networkMeta, nil)
	case "secret":
		return eventOf(c, now, swarm.EventSecret, secretMeta, nil)
	case "config":
		return eventOf(c, now, swarm.EventConfig, configMeta, nil)
	}
	return nil
}

// eventOf tells of a change. What is new or has changed did so at its own time.
func eventOf[T any](c *change, now time.Time, kind swarm.EventType, meta func(*T) meta, changes func(old, new *T) attributes) *event {
	old, _ := c.old.(*T)
	object, action := c.new, swarm.ActionUpdate
	switch {
	case c.old == nil:
		action = swarm.ActionCreate
	case c.new == nil:
		object, action = c.old, swarm.ActionRemove
	}
	current := object.(*T)
	of := meta(current)
	if action != swarm.ActionRemove {
		now = *of.updated
	}
	e := &event{
		Type: kind, Action: action, Actor: swarm.EventActor{ID: *of.id, Attributes: attributes{"name": of.name}},
		Scope: swarm.ScopeSwarm, Time: now.Unix(), TimeNano: now.UnixNano(),
	}
	if node, ok := object.(*swarm.Node); ok {
		e.Actor.Attributes["name"] = nodeName(node)
	}
	if action == swarm.ActionUpdate && changes != nil {
		maps.Copy(e.Actor.Attributes, changes(old, current))
	}
	return e
}

// attributes are what an event says of its object.
type attributes = map[string]string

// changed notes what was and what is, if they differ.
func changed(a attributes, name, old, new string) {
	if old != new {
		a[name+".old"], a[name+".new"] = old, new
	}
}

// nodeName is what events call a node: its hostname, once it has told it.
func nodeName(n *swarm.Node) string {
	if n.Spec.Name != "" {
		return n.Spec.Name
	}
	return n.Description.Hostname
}

func nodeChanges(old, new *swarm.Node) attributes {
	a := attributes{}
	changed(a, "state", string(old.Status.State), string(new.Status.State))
	changed(a, "availability", string(old.Spec.Availability), string(new.Spec.Availability))
	changed(a, "role", string(old.Spec.Role), string(new.Spec.Role))
	if old.ManagerStatus != nil && new.ManagerStatus != nil {
		changed(a, "leader", strconv.FormatBool(old.ManagerStatus.Leader), strconv.FormatBool(new.ManagerStatus.Leader))
		changed(a, "reachability", string(old.ManagerStatus.Reachability), string(new.ManagerStatus.Reachability))
	}
	return a
}

// serviceChanges says of the state of an update what it has become; that an update
// has none yet is not told.
func serviceChanges(old, new *swarm.Service) attributes {
	a := attributes{}
	changed(a, "image", old.Spec.TaskTemplate.ContainerSpec.Image, new.Spec.TaskTemplate.ContainerSpec.Image)
	was, is := old.Spec.Mode.Replicated, new.Spec.Mode.Replicated
	if was != nil && is != nil && was.Replicas != nil && is.Replicas != nil {
		changed(a, "replicas", strconv.FormatUint(*was.Replicas, 10), strconv.FormatUint(*is.Replicas, 10))
	}
	if new.UpdateStatus != nil {
		state := string(new.UpdateStatus.State)
		switch {
		case old.UpdateStatus == nil:
			a["updatestate.new"] = state
		default:
			changed(a, "updatestate", string(old.UpdateStatus.State), state)
		}
	}
	return a
}

// eventRequest is which events are asked for.
type eventRequest struct {
	since, until time.Time
	filters      filters
}

func (c *call) eventRequest() (*eventRequest, error) {
	query := c.r.URL.Query()
	request := &eventRequest{}
	var err error
	if request.since, err = c.eventTime("since"); err != nil {
		return nil, err
	}
	if request.until, err = c.eventTime("until"); err != nil {
		return nil, err
	}
	if !request.until.IsZero() && request.until.Before(request.since) {
		return nil, refuse(http.StatusBadRequest, "`since` time (%s) cannot be after `until` time (%s)", query.Get("since"), query.Get("until"))
	}
	request.filters, err = c.parseFilters()
	return request, err
}

func (c *call) eventTime(name string) (time.Time, error) {
	text := c.r.URL.Query().Get(name)
	if text == "" {
		return time.Time{}, nil
	}
	return c.daemon.parseTimestamp("'"+name+"'", text)
}

// watchEvents answers GET /events.
func (c *call) watchEvents() error {
	request, err := c.eventRequest()
	if err != nil {
		return err
	}
	encode := c.eventForm()
	watcher := &eventWatcher{chosen: request.filters.choose, more: make(chan struct{}, 1)}
	ended, cancel := make(chan struct{}), func() {}
	d := c.daemon
	d.world.Do(func() {
		watcher.queue = request.past(d.events.past)
		now := d.world.now()
		if !request.until.IsZero() && request.until.Before(now) {
			close(ended)
			return
		}
		if d.events.watchers == nil {
			d.events.watchers = map[*eventWatcher]bool{}
		}
		d.events.watchers[watcher] = true
		if !request.until.IsZero() {
			cancel = d.world.after(request.until.Sub(now), func() { close(ended) })
		}
	})
	defer d.world.Do(func() {
		delete(d.events.watchers, watcher)
		cancel()
	})
	watcher.serve(c, encode, ended)
	return nil
}

// past is the events of the past that are asked for: none unless a time is named.
func (r *eventRequest) past(events []*event) []*event {
	if r.since.IsZero() && r.until.IsZero() {
		return nil
	}
	var chosen []*event
	for _, e := range slices.Backward(events) {
		if e.TimeNano < r.since.UnixNano() && !r.since.IsZero() {
			break
		}
		if (r.until.IsZero() || e.TimeNano <= r.until.UnixNano()) && r.filters.choose(e) {
			chosen = append(chosen, e)
		}
	}
	slices.Reverse(chosen)
	return chosen
}

// serve writes events until there shall be no more, or the client is gone.
func (w *eventWatcher) serve(c *call, encode func(*event) []byte, ended <-chan struct{}) {
	flusher := http.NewResponseController(c.w)
	c.w.WriteHeader(http.StatusOK)
	for flusher.Flush() == nil {
		next := w.next(c.daemon.world)
		if next == nil {
			if !w.wait(c.r.Context(), ended) {
				return
			}
			continue
		}
		if _, err := c.w.Write(encode(next)); err != nil {
			return
		}
	}
}

// next takes an event from the queue, nil if there is none.
func (w *eventWatcher) next(world *World) (first *event) {
	world.Do(func() {
		if len(w.queue) > 0 {
			first = w.queue[0]
			w.queue[0] = nil
			w.queue = w.queue[1:]
		}
	})
	return first
}

// wait waits for an event. It reports false if none shall come.
func (w *eventWatcher) wait(ctx context.Context, ended <-chan struct{}) bool {
	select {
	case <-w.more:
		return true
	case <-ended:
		return false
	case <-ctx.Done():
		return false
	}
}

// eventForm says what form events have, by API version and what the client takes,
// and puts them into it.
func (c *call) eventForm() func(*event) []byte {
	if c.version < 52 {
		c.w.Header().Set("Content-Type", "application/json")
		return func(e *event) []byte { return encodeEvent(nil, *e) }
	}
	form, before := "application/jsonl", []byte(nil)
	accepted := c.r.Header.Get("Accept")
	switch {
	case strings.Contains(accepted, "application/jsonl"):
	case strings.Contains(accepted, "application/x-ndjson"):
		form = "application/x-ndjson"
	case strings.Contains(accepted, "application/json-seq"):
		form, before = "application/json-seq", []byte{0x1e}
	}
	c.w.Header().Set("Content-Type", form)
	return func(e *event) []byte {
		current := *e
		current.Status, current.ID, current.From = "", "", ""
		return encodeEvent(before, current)
	}
}

func encodeEvent(before []byte, e event) []byte {
	encoded, _ := json.Marshal(e)
	return append(append(slices.Clip(before), encoded...), '\n')
}

// choose reports whether an event is asked for. Names and IDs are compared with
// the beginnings of those of whatever the event is about.
func (f filters) choose(e *event) bool {
	for _, kind := range []string{"daemon", "container", "plugin", "volume", "network", "node", "service", "secret", "config"} {
		if !f.prefix(kind, e.Actor.ID) && !f.prefix(kind, e.Actor.Attributes["name"]) {
			return false
		}
	}
	return f.chooseAction(string(e.Action)) && f.exact("type", string(e.Type)) && f.exact("scope", string(e.Scope)) &&
		f.chooseImage(e) && f.labels("label", e.Actor.Attributes)
}

// chooseAction takes the name of an action that has more behind a colon for all
// such actions.
func (f filters) chooseAction(action string) bool {
	for _, wanted := range f["event"] {
		if slices.Contains([]string{"health_status", "exec_create", "exec_start"}, wanted) {
			return f.prefix("event", action)
		}
	}
	return f.exact("event", action)
}

// chooseImage compares with images and what was made of them, with tags or
// without.
func (f filters) chooseImage(e *event) bool {
	name := e.Actor.Attributes["image"]
	if e.Type == swarm.EventImage {
		name = e.Actor.Attributes["name"]
	}
	return f.exact("image", e.Actor.ID) || f.exact("image", name) || f.exact("image", withoutTag(name))
}

func withoutTag(ref string) string {
	if i := strings.LastIndex(ref, ":"); i > strings.LastIndex(ref, "/") {
		return ref[:i]
	}
	return ref
}
