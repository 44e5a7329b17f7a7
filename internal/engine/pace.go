package engine

import "time"

// Pace is how long things take that neither an image nor a service has a say in.
// They are shorter than those of real engines, so that nobody has to wait.
type Pace struct {
	// Step is what managers take to notice a change, and nodes to bring a task
	// to its next state. Default 1ms. It has to be more than nothing.
	Step time.Duration
	// Reap is how often old tasks are removed. Default 20ms.
	Reap time.Duration
	// Heartbeat is how long a node that has stopped is still thought to be
	// there. Default 12s, as engines take 11s to 16s.
	Heartbeat time.Duration
	// Election is how long managers take to find a new leader. Default 10s,
	// which is the least that engines take.
	Election time.Duration
	// Patience is how long a request waits for a leader when the managers have
	// lost theirs. Default 20s, which is the engine's.
	Patience time.Duration
	// GiveUp is how long managers are without a leader until they refuse requests
	// at once. Default 20s, as engines take 20s to 40s.
	GiveUp time.Duration
	// Orphan is how long tasks on a node that is down are still counted on.
	// Default 24h, which is the engine's.
	Orphan time.Duration
}

// DefaultPace is the pace of a new world.
func DefaultPace() Pace {
	return Pace{
		Step:      time.Millisecond,
		Reap:      20 * time.Millisecond,
		Heartbeat: 12 * time.Second,
		Election:  10 * time.Second,
		Patience:  20 * time.Second,
		GiveUp:    20 * time.Second,
		Orphan:    24 * time.Hour,
	}
}
