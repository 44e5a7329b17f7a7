package engine

import (
	"slices"
	"sync"
	"time"
)

// ManualClock is a clock that stands still until it is moved. All that happens on
// it happens in the goroutine that moves it, at exactly the time it was due, so
// that a world on it does the same each time.
type ManualClock struct {
	// moving is held while the clock moves.
	moving sync.Mutex

	mu     sync.Mutex
	now    time.Time
	timers []*manualTimer // in the order they are due
	// settle are functions that wait until what the clock has set off is done.
	settle []*func()
}

// manualTimer is a call of AfterFunc that is to come.
type manualTimer struct {
	at time.Time
	do func()
}

// NewManualClock is a clock that shows the given time.
func NewManualClock(now time.Time) *ManualClock { return &ManualClock{now: now} }

// Now is the time it is.
func (c *ManualClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// AfterFunc calls f when the clock has moved on by d, in the goroutine that moves
// it. The function it returns calls that off.
func (c *ManualClock) AfterFunc(d time.Duration, f func()) (stop func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	timer := &manualTimer{at: c.now.Add(d), do: f}
	after := slices.IndexFunc(c.timers, func(other *manualTimer) bool { return other.at.After(timer.at) })
	if after < 0 {
		after = len(c.timers)
	}
	c.timers = slices.Insert(c.timers, after, timer)
	return func() { c.drop(timer) }
}

func (c *ManualClock) drop(timer *manualTimer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if i := slices.Index(c.timers, timer); i >= 0 {
		c.timers = slices.Delete(c.timers, i, i+1)
	}
}

// Advance moves the clock on by d and does all that is due until then, step by
// step. Before and after each step it waits until no container of the world
// computes: until each of them sleeps, waits or has ended. Advance(0) only waits,
// and does what is due now.
func (c *ManualClock) Advance(d time.Duration) {
	c.moving.Lock()
	defer c.moving.Unlock()
	end := c.Now().Add(d)
	for {
		c.wait()
		timer := c.next(end)
		if timer == nil {
			break
		}
		timer.do()
	}
}

// next moves the clock to the first timer until end and takes it. It moves the
// clock to end if there is none.
func (c *ManualClock) next(end time.Time) *manualTimer {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.timers) == 0 || c.timers[0].at.After(end) {
		c.now = end
		return nil
	}
	timer := c.timers[0]
	c.timers = slices.Delete(c.timers, 0, 1)
	if timer.at.After(c.now) {
		c.now = timer.at
	}
	return timer
}

// wait waits until everything that the clock has set off is done.
func (c *ManualClock) wait() {
	c.mu.Lock()
	settle := slices.Clone(c.settle)
	c.mu.Unlock()
	for _, f := range settle {
		(*f)()
	}
}

// onSettle has Advance call f before and after each step.
func (c *ManualClock) onSettle(f func()) (stop func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	entry := &f
	c.settle = append(c.settle, entry)
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.settle = slices.DeleteFunc(c.settle, func(other *func()) bool { return other == entry })
	}
}
