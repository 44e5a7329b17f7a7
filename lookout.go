package swarm

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/swarm-go/swarm/internal/wire"
)

const (
	// minInterval is the shortest pause between two looks. Managers hear of tasks
	// with a delay of up to 100 ms, so that looking more often tells nothing more.
	minInterval = 60 * time.Millisecond
	// maxInterval is the longest.
	maxInterval = 1250 * time.Millisecond
	// maxAge is how old what events tell of may get, since they may be lost.
	maxAge = 5 * time.Second
	// patience is how long an engine may be out of order.
	patience = time.Minute
)

// interval is the pause before the next look: short while things move, longer
// and longer when they do not.
func interval(quiet time.Duration) time.Duration {
	return min(max(quiet/5, minInterval), maxInterval)
}

// shortest is the shortest pause for somebody who has waited for so long: tasks
// that come and go for hours are not looked at as often as ones that start.
func shortest(waited time.Duration) time.Duration {
	return min(max(waited/30, minInterval), time.Second)
}

// bell tells those who wait for services that something has happened: one stream
// of events for all of them. It is a hint and no more, as engines drop events
// without a word: who waits looks from time to time all the same.
type bell struct {
	client *Client
	cancel context.CancelFunc
	ended  sync.WaitGroup

	mu        sync.Mutex
	listening bool
	ears      map[*ear]bool
}

// ear is somebody who waits for a service. It is kept under the bell's lock.
type ear struct {
	bell      *bell
	serviceID string
	wake      chan struct{}
	heard     news
}

// news is what has happened since somebody looked.
type news struct{ service, nodes bool }

// ring starts to listen to events, until ctx is done or the bell is closed.
func ring(ctx context.Context, client *Client) *bell {
	ctx, cancel := context.WithCancel(ctx)
	b := &bell{client: client, cancel: cancel, ears: map[*ear]bool{}}
	b.ended.Go(func() { b.listen(ctx) })
	return b
}

func (b *bell) close() {
	b.cancel()
	b.ended.Wait()
}

// listen opens the stream again when it breaks, less and less often, and not where
// there are no events to be had.
func (b *bell) listen(ctx context.Context) {
	for again := 30 * time.Second; ; again = min(2*again, 5*time.Minute) {
		b.setListening(true) // until the engine says otherwise
		err := b.hear(ctx)
		b.setListening(false)
		if errors.Is(err, ErrUnsupported) || errors.Is(err, ErrForbidden) || errors.Is(err, ErrInvalid) {
			return
		}
		if pause(ctx, again) != nil {
			return
		}
	}
}

func (b *bell) hear(ctx context.Context) error {
	for event, err := range b.client.Events.Watch(ctx, &EventOptions{
		Types:   []EventType{EventService, EventNode, EventContainer},
		Actions: []EventAction{ActionCreate, ActionUpdate, ActionRemove, ActionStart, ActionDie, ActionHealthy},
	}) {
		if err != nil {
			return err
		}
		b.tell(&event)
	}
	return nil
}

func (b *bell) setListening(listening bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.listening = listening
}

// tell wakes those whom an event may matter to.
func (b *bell) tell(event *Event) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for e := range b.ears {
		switch {
		case event.Type == EventNode:
			e.heard.nodes = true
		case event.Type == EventService && event.Actor.ID == e.serviceID:
			e.heard.service = true
		case event.Type != EventContainer || event.Actor.Attributes["com.docker.swarm.service.id"] != e.serviceID:
			continue
		}
		select {
		case e.wake <- struct{}{}:
		default:
		}
	}
}

func (b *bell) newEar(serviceID string) *ear {
	e := &ear{bell: b, serviceID: serviceID, wake: make(chan struct{}, 1)}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ears[e] = true
	return e
}

// take is what was heard since the last time, and whether there is anything to
// hear.
func (e *ear) take() (heard news, listening bool) {
	e.bell.mu.Lock()
	defer e.bell.mu.Unlock()
	heard, e.heard = e.heard, news{}
	return heard, e.bell.listening
}

func (e *ear) close() {
	e.bell.mu.Lock()
	defer e.bell.mu.Unlock()
	delete(e.bell.ears, e)
}

// lookout keeps an eye on a service: it reads the service, its tasks and the
// nodes, each as often as it helps.
type lookout struct {
	client *Client
	op     string
	id     string
	ear    *ear

	service  *Service
	template wire.Node // of its tasks, as the engine has written it
	tasks    []Task
	nodes    []Node // nil if they are not known
	// standing tells which tasks are up to date by the engine's own judgement, of
	// those that there were when it was asked.
	standing map[string]bool

	began              time.Time
	serviceAt, nodesAt time.Time
	looked             time.Time // the last look
	moved              time.Time // when something had changed
	answered           time.Time // when the engine had answered
	calm               bool      // nothing is expected to happen
	all                bool      // the last look was at everything
	wantAll            bool      // the next one has to be
	noNodes            bool      // the engine, or a proxy, does not tell of them
	noStanding         bool      // the engine is too old to say
	runtime            Runtime   // of tasks that engines list only when asked for
}

func newLookout(client *Client, op string, bell *bell, id string) *lookout {
	return &lookout{client: client, op: op, id: id, ear: bell.newEar(id), began: time.Now(), moved: time.Now()}
}

func (l *lookout) close() { l.ear.close() }

// lookAtAll has the next look read everything.
func (l *lookout) lookAtAll() { l.wantAll = true }

// look reads what is due. While the engine is out of order it tries again.
func (l *lookout) look(ctx context.Context) (*ServiceSnapshot, error) {
	for {
		err := l.read(ctx)
		if err == nil {
			l.answered = time.Now()
			return l.snapshot(), nil
		}
		if ctx.Err() != nil || !l.mayRecover(err) {
			return nil, err
		}
		l.wantAll = true
		if pause(ctx, time.Second) != nil {
			return nil, err
		}
	}
}

// mayRecover reports whether it makes sense to ask again: it does for a while,
// where there was an answer before.
func (l *lookout) mayRecover(err error) bool {
	var e *Error
	passing := errors.As(err, &e) && (e.again || slices.ContainsFunc([]error{ErrUnavailable, ErrUnreachable, ErrNoLeader},
		func(kind error) bool { return errors.Is(err, kind) }))
	return passing && !l.answered.IsZero() && time.Since(l.answered) < patience
}

// pause waits for the next look, no longer than atMost.
func (l *lookout) pause(ctx context.Context, atMost time.Duration) error {
	least := shortest(time.Since(l.began))
	wait := max(interval(time.Since(l.moved)), least)
	if l.calm {
		wait = maxInterval
	}
	timer := time.NewTimer(min(wait, atMost))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	case <-l.ear.wake:
		l.moved = time.Now()
	}
	return pause(ctx, min(least-time.Since(l.looked), atMost))
}

// reading is what a look reads.
type reading struct{ service, tasks, nodes, standing bool }

// due is what to read now: one thing when nothing has happened.
func (l *lookout) due() reading {
	heard, listening := l.ear.take()
	age := time.Since(l.serviceAt)
	switch {
	case l.wantAll:
		return reading{true, true, !l.noNodes, !l.noStanding}
	case l.service == nil, heard.service, heard.nodes:
		return reading{service: l.service == nil || heard.service, tasks: true, nodes: heard.nodes && l.wantsNodes()}
	case age > maxAge, !listening && (l.moved.After(l.serviceAt) && age > 5*minInterval || age > min(5*interval(time.Since(l.moved)), 2*time.Second)):
		return reading{service: true}
	case l.wantsNodes() && time.Since(l.nodesAt) > maxAge:
		return reading{nodes: true}
	}
	return reading{tasks: true}
}

// wantsNodes reports whether it depends on the nodes how the service is: what
// runs on a node that is down does not run. Once they are known they must not grow
// old.
func (l *lookout) wantsNodes() bool {
	if l.noNodes || l.service == nil {
		return false
	}
	kind := l.service.Spec.Mode.Kind()
	return l.nodes != nil || kind == ModeGlobal || kind == ModeGlobalJob || slices.ContainsFunc(l.tasks, Task.lingers)
}

// lingers reports whether a task shall not run any more and still does.
func (t Task) lingers() bool { return t.Status.State.Active() && t.DesiredState.Terminal() }

// read reads what is due.
func (l *lookout) read(ctx context.Context) error {
	due := l.due()
	l.all, l.wantAll, l.looked = l.wantAll, false, time.Now()
	if due.service {
		if err := l.readService(ctx); err != nil {
			return err
		}
	}
	if due.tasks {
		if err := l.readTasks(ctx); err != nil {
			return err
		}
	}
	if due.nodes || l.nodesAt.IsZero() && l.wantsNodes() {
		if err := l.readNodes(ctx); err != nil {
			return err
		}
	}
	if due.standing || !l.noStanding && slices.ContainsFunc(l.tasks, l.isInDoubt) {
		return l.readStanding(ctx)
	}
	return nil
}

func (l *lookout) readService(ctx context.Context) error {
	service, err := l.client.Services.inspect(ctx, l.op, l.id, nil)
	if err != nil {
		return err
	}
	if l.service == nil || l.service.Version != service.Version {
		l.moved = time.Now()
	}
	if l.service != nil && !specOf(l.service.Raw, "Spec").Equal(specOf(service.Raw, "Spec")) {
		l.standing = nil
	}
	l.service, l.serviceAt = service, time.Now()
	l.template = specOf(service.Raw, "Spec", "TaskTemplate").Without("Runtime")
	l.runtime = service.listedRuntime()
	return nil
}

// listedRuntime is what lists of the service's tasks must ask for: without a runtime
// engines list no tasks of plugins.
func (s *Service) listedRuntime() Runtime {
	if s.Spec.TaskTemplate.Runtime == RuntimePlugin {
		return RuntimePlugin
	}
	return ""
}

func (l *lookout) readTasks(ctx context.Context) error {
	tasks, err := l.client.Tasks.List(ctx, &TaskListOptions{Services: []string{l.id}, Runtime: l.runtime})
	if err != nil {
		return err
	}
	same := func(a, b Task) bool { return a.ID == b.ID && a.Version == b.Version }
	if !slices.EqualFunc(tasks, l.tasks, same) {
		l.moved = time.Now()
	}
	l.tasks = tasks
	return nil
}

// readNodes takes an engine that does not tell of nodes for one that has no more
// to say: reading services needs no such right.
func (l *lookout) readNodes(ctx context.Context) error {
	nodes, err := l.client.Nodes.List(ctx, nil)
	if errors.Is(err, ErrForbidden) {
		l.noNodes, l.nodes = true, nil
		return nil
	}
	if err != nil {
		return err
	}
	l.nodes, l.nodesAt = nodes, time.Now()
	return nil
}

// readStanding asks which of the tasks are up to date. The engine alone knows all
// that matters: the ports a task was made for are not shown, and a task whose
// placement alone is an old one may stay where it is.
func (l *lookout) readStanding(ctx context.Context) error {
	current, err := l.client.Tasks.List(ctx, &TaskListOptions{Services: []string{l.id}, Runtime: l.runtime, UpToDate: true})
	if errors.Is(err, ErrUnsupported) {
		l.noStanding = true
		return nil
	}
	if err != nil {
		return err
	}
	l.standing = map[string]bool{}
	for _, task := range l.tasks {
		l.standing[task.ID] = false
	}
	for _, task := range current {
		l.standing[task.ID] = true
	}
	return nil
}

// isInDoubt reports whether the engine has to be asked if a task is up to date:
// one that was made since it was asked, and has the service's spec, is.
func (l *lookout) isInDoubt(task Task) bool {
	_, known := l.standing[task.ID]
	return !known && task.isWanted() && (l.standing == nil || !l.isMadeFromSpec(task))
}

// isMadeFromSpec reports whether a task has the spec that the service has. Engines
// name the runtime of services alone.
func (l *lookout) isMadeFromSpec(task Task) bool {
	return l.template.Equal(specOf(task.Raw, "Spec").Without("Runtime"))
}

// snapshot is what is known now.
func (l *lookout) snapshot() *ServiceSnapshot {
	s := &ServiceSnapshot{Service: l.service, Tasks: l.tasks, Nodes: l.nodes, UpToDate: map[string]bool{}}
	for _, task := range l.tasks {
		is, known := l.standing[task.ID]
		if !known {
			is = l.isMadeFromSpec(task)
		}
		if is {
			s.UpToDate[task.ID] = true
		}
		if l.standing != nil {
			l.standing[task.ID] = is // neither of the two changes
		}
	}
	return s
}

// specOf is what stands in an object at a path.
func specOf(object []byte, path ...string) wire.Node {
	node, _ := wire.Parse(object) // it was decoded before
	for _, name := range path {
		node, _ = node.Get(name)
	}
	return node
}
