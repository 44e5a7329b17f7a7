package swarmtest

import (
	"time"

	"github.com/swarm-go/swarm/internal/engine"
)

// Clock is the time that an engine lives by: that of the machine, or, with
// [WithManualClock], one that stands still until it is moved. In a bubble of
// testing/synctest the time of the machine is that of the bubble.
type Clock struct {
	clock  engine.Clock
	manual *engine.ManualClock // nil for that of the machine
}

// Now is the time it is.
func (c *Clock) Now() time.Time { return c.clock.Now() }

// Advance lets d pass. A manual clock does all that is due until then, step by
// step, and waits before and after each step until no container computes;
// Advance(0) does what is due now. With the time of the machine it sleeps.
func (c *Clock) Advance(d time.Duration) {
	if c.manual == nil {
		time.Sleep(d)
		return
	}
	c.manual.Advance(d)
}
