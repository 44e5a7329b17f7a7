package swarm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/swarm-go/swarm/internal/wire"
)

// Event is something that has happened: to the swarm, or on one engine.
type Event struct {
	// Type is the kind of object it happened to.
	Type EventType
	// Action is what happened to it.
	Action EventAction
	// Actor is the object itself.
	Actor EventActor
	// Scope is [ScopeSwarm] for what managers tell of the swarm, [ScopeLocal] for
	// what happened on the engine that was asked. There since API 1.30.
	Scope Scope `json:"scope,omitzero"`
	// Time is when it happened, by the clock of the engine that was asked for a
	// removal, by that of the managers' leader for other events of the swarm.
	Time time.Time `json:"time,omitzero"`

	// Status is Action once more, for containers and images. Engines say so below API
	// 1.52.
	//
	// Deprecated: use Action.
	Status string `json:"status,omitzero"`
	// ID is the Actor's once more, for containers and images below API 1.52.
	//
	// Deprecated: use Actor.
	ID string `json:"id,omitzero"`
	// From is the image of a container, below API 1.52.
	//
	// Deprecated: use the attribute "image" of the Actor.
	From string `json:"from,omitzero"`

	// Raw is the engine's JSON as received.
	Raw json.RawMessage `json:"-"`
}

// EventActor is the object that something happened to.
type EventActor struct {
	// ID is the object's ID; for an image its ID or reference, for a local volume
	// its name.
	ID string
	// Attributes are more about the object, most of all its "name", and what has
	// changed, see [Event.Change]. Labels of a container are among them.
	Attributes map[string]string
}

// eventJSON is an event as engines send it.
type eventJSON struct {
	Status   string `json:"status,omitzero"`
	ID       string `json:"id,omitzero"`
	From     string `json:"from,omitzero"`
	Type     EventType
	Action   EventAction
	Actor    EventActor
	Scope    Scope `json:"scope,omitzero"`
	Time     int64 `json:"time,omitzero"`
	TimeNano int64 `json:"timeNano,omitzero"`
}

// MarshalJSON writes the event as engines do.
func (e Event) MarshalJSON() ([]byte, error) {
	written := eventJSON{Status: e.Status, ID: e.ID, From: e.From, Type: e.Type, Action: e.Action, Actor: e.Actor, Scope: e.Scope}
	if !e.Time.IsZero() {
		written.Time, written.TimeNano = e.Time.Unix(), e.Time.UnixNano()
	}
	return wire.Marshal(written)
}

// UnmarshalJSON reads an event as engines write it.
func (e *Event) UnmarshalJSON(data []byte) error {
	var read eventJSON
	if err := wire.Unmarshal(data, &read); err != nil {
		return err
	}
	*e = Event{Type: read.Type, Action: read.Action, Actor: read.Actor, Scope: read.Scope,
		Status: read.Status, ID: read.ID, From: read.From, Raw: slices.Clone(data)}
	switch {
	case read.TimeNano != 0:
		e.Time = time.Unix(0, read.TimeNano).UTC()
	case read.Time != 0:
		e.Time = time.Unix(read.Time, 0).UTC()
	}
	return nil
}

// Change says what an attribute of the object was and is, if the event is about a
// change of it. What there was not before, or is not any more, is empty. See
// [Event.Service] and [Event.Node] for all changes, typed.
func (e *Event) Change(attribute EventAttribute) (before, after string, changed bool) {
	before, had := e.Actor.Attributes[string(attribute)+".old"]
	after, has := e.Actor.Attributes[string(attribute)+".new"]
	return before, after, had || has
}

// EventAttribute is an attribute of a service or node whose changes events tell.
type EventAttribute string

// The attributes whose changes events tell.
const (
	// ChangedImage is the image of a service.
	ChangedImage EventAttribute = "image"
	// ChangedReplicas is the number of replicas of a service.
	ChangedReplicas EventAttribute = "replicas"
	// ChangedUpdateState is the state of a service's update, an [UpdateState].
	ChangedUpdateState EventAttribute = "updatestate"
	// ChangedName is the name of a node.
	ChangedName EventAttribute = "name"
	// ChangedState is the state of a node, such as "ready" and "down".
	ChangedState EventAttribute = "state"
	// ChangedAvailability is whether a node takes tasks, such as "drain".
	ChangedAvailability EventAttribute = "availability"
	// ChangedRole is whether a node is a manager, "worker" or "manager".
	ChangedRole EventAttribute = "role"
	// ChangedReachability is whether a manager is reachable by the others.
	ChangedReachability EventAttribute = "reachability"
	// ChangedLeader is whether a manager is the leader, "true" or "false".
	ChangedLeader EventAttribute = "leader"
)

// EventChange is what something was before a change and is after it; the zero value
// if it was, or is, not there.
type EventChange[T any] struct {
	// Before is what it was.
	Before T
	// After is what it is.
	After T
}

// ServiceEvent is what an event tells of a service. A change that it does not tell
// of is nil: engines tell of these alone, and each change in an event of its own
// or several in one.
type ServiceEvent struct {
	// ID is the service's ID.
	ID string
	// Name is what the service is called.
	Name string
	// Image is a change of its image.
	Image *EventChange[string]
	// Replicas is a change of its number of replicas.
	Replicas *EventChange[uint64]
	// UpdateState is how its update got on; Before is empty for its first.
	UpdateState *EventChange[UpdateState]
}

// Service is what the event tells of a service, if it is about one.
func (e *Event) Service() (ServiceEvent, bool) {
	if e.Type != EventService {
		return ServiceEvent{}, false
	}
	return ServiceEvent{
		ID: e.Actor.ID, Name: e.Actor.Attributes["name"],
		Image:       changeOf(e, ChangedImage, asText[string]),
		Replicas:    changeOf(e, ChangedReplicas, asNumber),
		UpdateState: changeOf(e, ChangedUpdateState, asText[UpdateState]),
	}, true
}

// NodeEvent is what an event tells of a node. A change that it does not tell of is
// nil.
type NodeEvent struct {
	// ID is the node's ID.
	ID string
	// Name is its hostname, or the Name of its spec if it has one.
	Name string
	// State is a change of whether it can be reached.
	State *EventChange[NodeState]
	// Availability is a change of whether it takes tasks.
	Availability *EventChange[NodeAvailability]
	// Role is a change of what it is asked to be.
	Role *EventChange[NodeRole]
	// Reachability is a change of whether a manager is reachable by the others.
	Reachability *EventChange[Reachability]
	// Leader is a change of whether a manager leads the others.
	Leader *EventChange[bool]
}

// Node is what the event tells of a node, if it is about one.
func (e *Event) Node() (NodeEvent, bool) {
	if e.Type != EventNode {
		return NodeEvent{}, false
	}
	return NodeEvent{
		ID: e.Actor.ID, Name: e.Actor.Attributes["name"],
		State:        changeOf(e, ChangedState, asText[NodeState]),
		Availability: changeOf(e, ChangedAvailability, asText[NodeAvailability]),
		Role:         changeOf(e, ChangedRole, asText[NodeRole]),
		Reachability: changeOf(e, ChangedReachability, asText[Reachability]),
		Leader:       changeOf(e, ChangedLeader, func(text string) bool { return text == "true" }),
	}, true
}

func changeOf[T any](e *Event, attribute EventAttribute, as func(text string) T) *EventChange[T] {
	before, after, changed := e.Change(attribute)
	if !changed {
		return nil
	}
	return &EventChange[T]{Before: as(before), After: as(after)}
}

func asText[T ~string](text string) T { return T(text) }

// asNumber is 0 for what is no number, as for what is not there.
func asNumber(text string) uint64 {
	n, _ := strconv.ParseUint(text, 10, 64)
	return n
}

// EventType is a kind of object that events are about.
type EventType string

// The types of events. Managers tell those of services, nodes, secrets, configs
// and networks of the swarm; every engine its own.
const (
	// EventService is about a service. Needs API 1.30.
	EventService EventType = "service"
	// EventNode is about a node. Needs API 1.30.
	EventNode EventType = "node"
	// EventSecret is about a secret. Needs API 1.30.
	EventSecret EventType = "secret"
	// EventConfig is about a config. Needs API 1.31.
	EventConfig EventType = "config"
	// EventNetwork is about a network, of the swarm or of the engine.
	EventNetwork EventType = "network"
	// EventContainer is about a container of the engine.
	EventContainer EventType = "container"
	// EventImage is about an image of the engine.
	EventImage EventType = "image"
	// EventVolume is about a volume of the engine.
	EventVolume EventType = "volume"
	// EventPlugin is about a plugin of the engine.
	EventPlugin EventType = "plugin"
	// EventDaemon is about the engine itself.
	EventDaemon EventType = "daemon"
	// EventBuilder is about the build cache of the engine.
	EventBuilder EventType = "builder"
)

var eventTypes = []EventType{EventService, EventNode, EventSecret, EventConfig, EventNetwork, EventContainer, EventImage, EventVolume,
	EventPlugin, EventDaemon, EventBuilder}

// EventAction is what has happened. There are more than those named here, for
// containers above all.
type EventAction string

// What happens to the objects of a swarm, and most often to others.
const (
	// ActionCreate means that the object is new.
	ActionCreate EventAction = "create"
	// ActionUpdate means that the object has changed, by whomever.
	ActionUpdate EventAction = "update"
	// ActionRemove means that an object of the swarm is gone.
	ActionRemove EventAction = "remove"
	// ActionDestroy means that an object of the engine is gone.
	ActionDestroy EventAction = "destroy"
	// ActionStart means that a container runs.
	ActionStart EventAction = "start"
	// ActionDie means that a container has ended; its "exitCode" says how.
	ActionDie EventAction = "die"
	// ActionOOM means that a container has run out of memory.
	ActionOOM EventAction = "oom"
	// ActionKill means that a container was sent a signal.
	ActionKill EventAction = "kill"
	// ActionConnect means that a container was put on a network.
	ActionConnect EventAction = "connect"
	// ActionDisconnect means that a container was taken off a network.
	ActionDisconnect EventAction = "disconnect"
	// ActionPull means that an image was pulled.
	ActionPull EventAction = "pull"
	// ActionReload means that the engine has read its configuration again.
	ActionReload EventAction = "reload"
	// ActionHealthy means that a container's health check succeeds.
	ActionHealthy EventAction = "health_status: healthy"
	// ActionUnhealthy means that a container's health check fails.
	ActionUnhealthy EventAction = "health_status: unhealthy"
)

// EventOptions choose events. What is left out does not restrict; the
// alternatives inside one field are joined by "or", the fields by "and".
//
// Where names or IDs are asked for, engines compare them with the beginning of the
// name and of the ID of whatever the event is about, whatever its type: a service
// "web" is also "web-2", and its container "web.1.…". Types leaves out what is of
// another type.
type EventOptions struct {
	// Since begins with events of the past, from this moment on. Engines remember
	// the last 256, and none from before they were started. Zero begins now.
	Since time.Time
	// Until ends the stream when the engine's clock has reached this moment. Zero
	// never ends it.
	Until time.Time
	// Types are the kinds of objects.
	Types []EventType
	// Actions are what has happened.
	Actions []EventAction
	// Services are IDs or names of services. By name they include events of their
	// containers here. Needs API 1.33.
	Services []string
	// Nodes are IDs or names of nodes. Needs API 1.33.
	Nodes []string
	// Secrets are IDs or names of secrets. Needs API 1.33.
	Secrets []string
	// Configs are IDs or names of configs. Needs API 1.33.
	Configs []string
	// Networks are IDs or names of networks.
	Networks []string
	// Containers are IDs or names of containers.
	Containers []string
	// Images are references or IDs of images. Events of containers made of them are
	// included.
	Images []string
	// Volumes are names of volumes.
	Volumes []string
	// Plugins are names or IDs of plugins. Needs API 1.27.
	Plugins []string
	// Daemons are names or IDs of engines, of which one alone answers.
	Daemons []string
	// Labels are attributes that the object must have, all of them, as containers
	// and images have their labels; an empty value asks for presence.
	Labels map[string]string
	// Scopes are [ScopeSwarm] or [ScopeLocal]. Needs API 1.30.
	Scopes []Scope
}

func (o *EventOptions) query() (url.Values, error) {
	f := filters{}
	for _, kind := range o.Types {
		if !slices.Contains(eventTypes, kind) {
			return nil, fmt.Errorf("unknown type %q of events", kind)
		}
		f.add("type", string(kind))
	}
	for _, action := range o.Actions {
		f.add("event", string(action))
	}
	for _, scope := range o.Scopes {
		if scope != ScopeSwarm && scope != ScopeLocal {
			return nil, fmt.Errorf("events have no scope %q", scope)
		}
		f.add("scope", string(scope))
	}
	f.add("service", o.Services...)
	f.add("node", o.Nodes...)
	f.add("secret", o.Secrets...)
	f.add("config", o.Configs...)
	f.add("network", o.Networks...)
	f.add("container", o.Containers...)
	f.add("image", o.Images...)
	f.add("volume", o.Volumes...)
	f.add("plugin", o.Plugins...)
	f.add("daemon", o.Daemons...)
	f.addLabels(o.Labels)
	query := f.query()
	if !o.Since.IsZero() {
		query.Set("since", unixNano(o.Since))
	}
	if !o.Until.IsZero() {
		query.Set("until", unixNano(o.Until))
	}
	if !o.Since.IsZero() && !o.Until.IsZero() && o.Until.Before(o.Since) {
		return nil, errors.New("Until is before Since")
	}
	return query, nil
}

// unixNano is a moment as engines read it: seconds and nanoseconds since 1970.
func unixNano(t time.Time) string {
	return fmt.Sprintf("%d.%09d", t.Unix(), t.Nanosecond())
}

// EventClient watches what happens.
type EventClient struct{ client *Client }

// maxEvent bounds one event, in bytes.
const maxEvent = 1 << 20

// Watch yields the events that opts choose as they happen, all of them if opts is
// nil. Managers tell those of the swarm, also when they are not the leader. The
// iterator ends when Until has passed; ctx or leaving the loop ends it earlier.
//
// A stream that ends in any other way yields an error as its last pair, of which
// errors.Is tells io.ErrUnexpectedEOF when the engine went away, was stopped, or
// the connection broke. Watch does not begin again by itself: that may miss
// events. Engines also drop events for those who are slow to take them, without a
// word: take them quickly, and do not make them your only source of truth. There
// are no events of tasks; containers of tasks have some on their own nodes.
//
// Engine endpoint: GET /events
func (e *EventClient) Watch(ctx context.Context, opts *EventOptions) iter.Seq2[Event, error] {
	const op = "watch events"
	return func(yield func(Event, error) bool) {
		if opts == nil {
			opts = &EventOptions{}
		}
		query, err := opts.query()
		if err != nil {
			yield(Event{}, invalid(op, "", "%v", err))
			return
		}
		call := &call{op: op, method: http.MethodGet, to: to("/events"), query: query, repeat: repeatRead}
		opened := time.Now()
		response, err := e.client.stream(ctx, call)
		if err != nil {
			yield(Event{}, err)
			return
		}
		defer response.Body.Close()
		if err := checkEvents(call, response); err != nil {
			yield(Event{}, err)
			return
		}
		for event, err := range decodeEvents(response.Body) {
			if err != nil {
				err = bodyError(ctx, call, response.StatusCode, err)
			}
			if !yield(event, err) || err != nil {
				return
			}
		}
		if !hasPassed(opts.Until, response, opened) {
			yield(Event{}, bodyError(ctx, call, response.StatusCode, fmt.Errorf("the engine ended the stream: %w", io.ErrUnexpectedEOF)))
		}
	}
}

// checkEvents refuses an answer that is no stream of events.
func checkEvents(call *call, response *http.Response) error {
	if slices.Contains([]string{"application/jsonl", "application/x-ndjson", "application/ndjson", "application/json-seq"}, mediaType(response)) {
		return nil
	}
	return checkJSON(call, response)
}

// decodeEvents yields the events in a stream.
func decodeEvents(r io.Reader) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		for raw, err := range wire.Values(r, maxEvent) {
			var event Event
			if err == nil {
				err = event.UnmarshalJSON(raw)
			}
			if err == nil && event.Type == "" {
				event, err = Event{}, errors.New("the event has no type")
			}
			if !yield(event, err) || err != nil {
				return
			}
		}
	}
}

// hasPassed reports whether the engine's clock has reached a moment. The engine's
// clock is that of its answer's header, which is precise to the second.
func hasPassed(until time.Time, response *http.Response, opened time.Time) bool {
	now := time.Now()
	if date, err := http.ParseTime(response.Header.Get("Date")); err == nil {
		now = date.Add(time.Since(opened))
	}
	return !until.IsZero() && !now.Add(2*time.Second).Before(until)
}
