package swarmtest

import (
	"cmp"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/swarm-go/swarm/internal/engine"
)

// Option configures an [Engine]. What is wrong with an argument is the error of
// [NewEngine].
type Option func(*config) error

// config is what the options say.
type config struct {
	release  engine.Release
	clock    Clock
	pace     Pace
	seed     uint64
	unknown  *Image // nil: there are none
	noSwarm  bool
	managers int
	workers  int
	listen   string
}

func defaultConfig() config {
	return config{
		release:  *engine.ReleaseNewest,
		clock:    Clock{clock: engine.RealClock{}},
		unknown:  &Image{},
		managers: 1,
	}
}

// Release is an engine release whose answers and habits an [Engine] has.
type Release string

const (
	// Engine2010 is Docker Engine 20.10, with API 1.41.
	Engine2010 Release = "20.10"
	// Engine261 is Docker Engine 26.1, with API 1.45.
	Engine261 Release = "26.1"
	// Engine285 is Docker Engine 28.5, with API 1.51.
	Engine285 Release = "28.5"
	// Newest has the newest API, 1.56. It answers as an engine did that was built
	// from its sources in August 2026; what was not measured there is as in 28.5. It
	// is the default.
	Newest Release = "newest"
)

var releases = map[Release]*engine.Release{
	Engine2010: engine.Release2010, Engine261: engine.Release261, Engine285: engine.Release285, Newest: engine.ReleaseNewest,
}

// WithRelease has the nodes be engines of that release. The default is [Newest].
func WithRelease(release Release) Option {
	return func(c *config) error {
		found := releases[release]
		if found == nil {
			return fmt.Errorf("WithRelease: there is no release %q", release)
		}
		c.release = *found
		return nil
	}
}

// WithAPIVersion has the newest API version of the nodes be that one, "1.47",
// between those of the releases: they are as the newest release is that is not
// newer.
func WithAPIVersion(version string) Option {
	return func(c *config) error {
		minor, err := strconv.Atoi(strings.TrimPrefix(version, "1."))
		if err != nil || !strings.HasPrefix(version, "1.") {
			return fmt.Errorf("WithAPIVersion: %q is no API version", version)
		}
		oldest, newest := engine.Release2010.API, engine.ReleaseNewest.API
		if minor < oldest || minor > newest {
			return fmt.Errorf("WithAPIVersion: there are the versions 1.%d to 1.%d", oldest, newest)
		}
		for _, release := range releases {
			if release.API <= minor && (release.API > c.release.API || c.release.API > minor) {
				c.release = *release
			}
		}
		c.release.API = minor
		return nil
	}
}

// WithManualClock has the engine live by a clock that shows start and stands still
// until [Clock.Advance] moves it. Everything then happens in the same order every
// time. The library's own waiting goes by the time of the machine all the same:
// where it is part of the test, a bubble of testing/synctest does better.
func WithManualClock(start time.Time) Option {
	return func(c *config) error {
		manual := engine.NewManualClock(start)
		c.clock = Clock{clock: manual, manual: manual}
		return nil
	}
}

// Pace is how long things take that neither an image nor a service has a say in.
// What is zero stays as it is by default.
type Pace struct {
	// Step is what managers take to notice a change, and nodes to bring a task to
	// its next state. Default 1ms.
	Step time.Duration
	// Reap is how often old tasks are removed. Default 20ms.
	Reap time.Duration
	// Heartbeat is how long a node that has stopped is still thought to be there.
	// Default 12s, as real engines take 11s to 16s.
	Heartbeat time.Duration
	// Election is how long managers take to find a new leader. Default 10s, the
	// least that real engines take.
	Election time.Duration
	// Patience is how long a request waits for a leader when the managers have
	// lost theirs. Default 20s, as with real engines; none with [WithManualClock],
	// which stands still while a request waits.
	Patience time.Duration
	// GiveUp is how long managers are without a leader until they refuse requests
	// at once. Default 20s, as real engines take 20s to 40s.
	GiveUp time.Duration
	// Orphan is how long tasks on a node that is down are still counted on. Default
	// 24h, as with real engines.
	Orphan time.Duration
}

// WithPace makes things take longer or shorter.
func WithPace(pace Pace) Option {
	return func(c *config) error {
		for _, row := range []struct {
			name   string
			wanted time.Duration
			field  *time.Duration
		}{
			{"Step", pace.Step, &c.pace.Step},
			{"Reap", pace.Reap, &c.pace.Reap},
			{"Heartbeat", pace.Heartbeat, &c.pace.Heartbeat},
			{"Election", pace.Election, &c.pace.Election},
			{"Patience", pace.Patience, &c.pace.Patience},
			{"GiveUp", pace.GiveUp, &c.pace.GiveUp},
			{"Orphan", pace.Orphan, &c.pace.Orphan},
		} {
			switch {
			case row.wanted < 0:
				return fmt.Errorf("WithPace: %s is negative", row.name)
			case row.wanted > 0:
				*row.field = row.wanted
			}
		}
		return nil
	}
}

// innerPace is the pace with what is so by default.
func (c *config) innerPace() engine.Pace {
	usual := engine.DefaultPace()
	if c.clock.manual != nil {
		usual.Patience = 0
	}
	return engine.Pace{
		Step:      cmp.Or(c.pace.Step, usual.Step),
		Reap:      cmp.Or(c.pace.Reap, usual.Reap),
		Heartbeat: cmp.Or(c.pace.Heartbeat, usual.Heartbeat),
		Election:  cmp.Or(c.pace.Election, usual.Election),
		Patience:  cmp.Or(c.pace.Patience, usual.Patience),
		GiveUp:    cmp.Or(c.pace.GiveUp, usual.GiveUp),
		Orphan:    cmp.Or(c.pace.Orphan, usual.Orphan),
	}
}

// WithUnknownImages says what images are like that [Engine.Image] has not
// described. By default they are as the zero Image.
func WithUnknownImages(image Image) Option {
	return func(c *config) error {
		c.unknown = &image
		return nil
	}
}

// WithoutUnknownImages makes it impossible to pull images that [Engine.Image] has
// not described, as if their registries had not got them.
func WithoutUnknownImages() Option {
	return func(c *config) error {
		c.unknown = nil
		return nil
	}
}

// WithSeed makes an engine that makes up other IDs and names. The same seed, with
// the same requests in the same order, makes up the same. The default is 0.
func WithSeed(seed uint64) Option {
	return func(c *config) error {
		c.seed = seed
		return nil
	}
}

// WithoutSwarm leaves the nodes outside any swarm, as engines are that were just
// installed.
func WithoutSwarm() Option {
	return func(c *config) error {
		c.noSwarm = true
		return nil
	}
}

// maxNodes bounds the nodes of one engine.
const maxNodes = 10_000

// WithNodes makes that many managers and workers. The default is one manager,
// which takes tasks as workers do.
func WithNodes(managers, workers int) Option {
	return func(c *config) error {
		switch {
		case managers < 1:
			return fmt.Errorf("WithNodes: %d managers; a swarm needs one", managers)
		case workers < 0:
			return fmt.Errorf("WithNodes: %d workers", workers)
		case managers > maxNodes || workers > maxNodes-managers:
			return fmt.Errorf("WithNodes: more than %d nodes", maxNodes)
		}
		c.managers, c.workers = managers, workers
		return nil
	}
}

// WithListen has the first node listen for other programs too, at a socket,
// "unix:///tmp/swarm.sock", or on the loopback, "tcp://127.0.0.1:2375"; port 0 is
// a free one, see [Engine.Host]. Nobody is asked who they are.
func WithListen(host string) Option {
	return func(c *config) error {
		if host == "" {
			return errors.New("WithListen: empty host")
		}
		c.listen = host
		return nil
	}
}
