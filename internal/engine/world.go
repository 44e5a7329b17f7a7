package engine

import (
	"container/heap"
	"math/rand/v2"
	"sync"
	"time"
)

// Clock is the time that a world lives by.
type Clock interface {
	// Now is the time it is.
	Now() time.Time
	// AfterFunc calls f in a goroutine of its own, or in that which moves the
	// clock, when d has passed. The function it returns calls that off, if it
	// is not too late.
	AfterFunc(d time.Duration, f func()) (stop func())
}

// RealClock is the time of the machine, or of the bubble when it is used below
// testing/synctest.
type RealClock struct{}

// Now is time.Now.
func (RealClock) Now() time.Time { return time.Now() }

// AfterFunc is time.AfterFunc.
func (RealClock) AfterFunc(d time.Duration, f func()) (stop func()) {
	timer := time.AfterFunc(d, f)
	return func() { timer.Stop() }
}

// World is everything that one embedded engine simulates.
type World struct {
	clock Clock

	mu     sync.Mutex
	rand   *rand.Rand
	agenda agenda
	// alarm calls off the wake-up for the first item of the agenda.
	alarm func()
	// alarmAt is when that wake-up comes.
	alarmAt time.Time
	// items counts what was ever put on the agenda.
	items  uint64
	closed bool
	// closing is closed with the world.
	closing chan struct{}

	// turns says which containers may compute.
	turns turns
	// unhook takes the world off its clock.
	unhook func()

	// Pace is how long things take that nobody else has a say in. It is to be
	// set before there are daemons.
	Pace Pace
	// UnknownImages are what images are like that nobody has described, and
	// RefuseUnknownImages makes them impossible to pull. They are to be set
	// before there are daemons.
	UnknownImages       Image
	RefuseUnknownImages bool

	// images are what there is to pull, by normalised reference.
	images map[string]Image

	daemons []*Daemon

	// acting is the number of the request that is being answered.
	acting int
	// onChange is told of every change.
	onChange func(Change)
	// logs are those who follow logs.
	logs logBroker
}

// NewWorld is a world without daemons. What it makes up, such as IDs, follows
// from the seed.
func NewWorld(clock Clock, seed uint64) *World {
	w := &World{clock: clock, rand: rand.New(rand.NewPCG(seed, 0)), images: map[string]Image{}, Pace: DefaultPace(), closing: make(chan struct{})}
	w.turns.idle = sync.NewCond(&w.mu)
	if manual, ok := clock.(*ManualClock); ok {
		w.turns.serial = true
		w.unhook = manual.onSettle(w.quiet)
	}
	return w
}

// quiet waits until no container computes.
func (w *World) quiet() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.turns.wait()
}

// Do runs f under the world's lock, and all that is due because of it. f must not
// wait for anything.
func (w *World) Do(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
	w.settle()
}

// Close ends everything that was to happen, and kills the containers. Requests
// are still answered.
func (w *World) Close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.closed {
		close(w.closing)
		if w.unhook != nil {
			w.unhook()
		}
	}
	w.closed = true
	w.turns.open()
	for _, d := range w.daemons {
		d.agent.killAll()
	}
	w.agenda = nil
	w.setAlarm()
}

// now is the time that everything in one Do happens at, if the clock is moved by
// hand.
func (w *World) now() time.Time { return w.clock.Now().UTC() }

// after runs f under the world's lock when d has passed. What is put down for the
// same instant happens in the order it was put down. The function it returns
// calls f off.
func (w *World) after(d time.Duration, f func()) (cancel func()) {
	if w.closed {
		return func() {}
	}
	w.items++
	next := &item{at: w.now().Add(max(d, 0)), number: w.items, do: f}
	heap.Push(&w.agenda, next)
	return func() { next.do = nil }
}

// settle runs what is due until nothing is, and sets the alarm for the rest.
func (w *World) settle() {
	for len(w.agenda) > 0 && !w.agenda[0].at.After(w.now()) {
		if next := heap.Pop(&w.agenda).(*item); next.do != nil {
			next.do()
		}
	}
	w.setAlarm()
}

// setAlarm makes the clock wake the world when the first item is due.
func (w *World) setAlarm() {
	for len(w.agenda) > 0 && w.agenda[0].do == nil {
		heap.Pop(&w.agenda)
	}
	var at time.Time
	if len(w.agenda) > 0 {
		at = w.agenda[0].at
	}
	if at.Equal(w.alarmAt) && w.alarm != nil {
		return
	}
	if w.alarm != nil {
		w.alarm()
		w.alarm = nil
	}
	w.alarmAt = at
	if !at.IsZero() {
		w.alarm = w.clock.AfterFunc(at.Sub(w.now()), w.wake)
	}
}

// wake is what the alarm calls.
func (w *World) wake() {
	w.Do(func() { w.alarm = nil })
}

// newID is an ID as the engine makes them: 25 digits and lower-case letters.
func (w *World) newID() string {
	const digits = "0123456789abcdefghijklmnopqrstuvwxyz"
	id := make([]byte, 25)
	for i := range id {
		id[i] = digits[w.rand.IntN(len(digits))]
	}
	return string(id)
}

// item is something that is to happen.
type item struct {
	at     time.Time
	number uint64
	// do is nil for what was called off.
	do func()
}

// agenda is a heap of items, the next first.
type agenda []*item

func (a agenda) Len() int      { return len(a) }
func (a agenda) Swap(i, j int) { a[i], a[j] = a[j], a[i] }
func (a *agenda) Push(x any)   { *a = append(*a, x.(*item)) }

func (a agenda) Less(i, j int) bool {
	if !a[i].at.Equal(a[j].at) {
		return a[i].at.Before(a[j].at)
	}
	return a[i].number < a[j].number
}

func (a *agenda) Pop() any {
	last := (*a)[len(*a)-1]
	(*a)[len(*a)-1] = nil
	*a = (*a)[:len(*a)-1]
	return last
}
