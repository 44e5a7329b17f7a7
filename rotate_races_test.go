package swarm_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/swarm-go/swarm"
	"github.com/swarm-go/swarm/swarmtest"
)

// race is some rotations of one name at once.
type race struct {
	engine *swarmtest.Engine
	client *swarm.Client
	k      kept
	group  sync.WaitGroup
	mu     sync.Mutex
	best   string // the newest version whose rotation has not failed
	good   []string
}

const racers = 2 // services

func newRace(t *testing.T, engine *swarmtest.Engine, client *swarm.Client, k kept) *race {
	r := &race{engine: engine, client: client, k: k, best: "db", good: []string{"db"}}
	id := k.create("db", "one", nil)
	for i := range racers {
		user(t, client, k, fmt.Sprint("s", i), id, "db", nil)
	}
	return r
}

// start starts a rotation whose requests go through hold first.
func (r *race) start(t *testing.T, kindOf func(*testing.T, *swarm.Client) kept, data string, hold func()) {
	client := r.engine.Client(swarm.WithCallTimeout(10*time.Minute), swarm.WithRoundTripper(func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(request *http.Request) (*http.Response, error) {
			hold()
			return next.RoundTrip(request)
		})
	}))
	k := kindOf(t, client)
	r.group.Go(func() {
		rotation, err := k.rotate(t.Context(), "db", data, &swarm.RotateOptions{Keep: new(0)})
		if err != nil {
			assert.Contains(t, data, "bad", "%v", err)
			return
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.good = append(r.good, rotation.Name)
		r.best = max(r.best, rotation.Name) // there are fewer than ten
	})
}

// end waits for all rotations, and looks at what has become of the services.
func (r *race) end(t *testing.T) {
	r.group.Wait()
	for i := range racers {
		name := fmt.Sprint("s", i)
		assert.Equal(t, []string{r.best + " as password"}, usesOf(t, r.client, r.k, name))
		rollout, err := r.client.Services.CurrentRollout(t.Context(), name)
		require.NoError(t, err)
		assert.NoError(t, r.client.Services.Wait(t.Context(), rollout, nil))
	}
	assert.Subset(t, r.good, r.k.names(), "what failed is gone")
	assert.Contains(t, r.k.names(), r.best)
	secrets, err := r.client.Secrets.List(t.Context(), nil)
	require.NoError(t, err)
	configs, err := r.client.Configs.List(t.Context(), nil)
	require.NoError(t, err)
	for _, secret := range secrets {
		assert.NotContains(t, secret.Spec.Labels, "io.github.swarm-go.rotation")
	}
	for _, config := range configs {
		assert.NotContains(t, config.Spec.Labels, "io.github.swarm-go.rotation")
	}
}

var raceData = [][]string{{"good", "good too"}, {"good", "bad"}, {"bad", "good"}, {"bad", "bad too"},
	{"good", "bad in s1"}, {"bad in s1", "bad in s0"}, {"bad in s0", "bad in s1"}, {"bad in s1", "good"}, {"good", "good"}}

// A second rotation runs, from its beginning on, between any two requests of the
// first one, every stride of them.
func secondWithinFirst(t *testing.T, stride int) {
	for row, data := range raceData {
		kindOf := []func(*testing.T, *swarm.Client) kept{keptSecrets, keptConfigs}[row%2]
		done := false
		for at := row % stride; !done && at < 200; at += stride {
			onKept(t, fmt.Sprintf("%s then %s after %d", data[0], data[1], at), kindOf, func(t *testing.T, engine *swarmtest.Engine, client *swarm.Client, k kept) {
				r := newRace(t, engine, client, k)
				begin, requests := make(chan struct{}), 0
				r.start(t, kindOf, data[0], func() {
					r.mu.Lock()
					requests++
					now := requests == at+1
					r.mu.Unlock()
					if now {
						close(begin)
						time.Sleep(20 * time.Second)
					}
				})
				select {
				case <-begin:
				case <-time.After(10 * time.Minute):
					done = true
				}
				if !done {
					r.start(t, kindOf, data[1], func() {})
				}
				r.end(t)
			})
		}
	}
}

func TestRotationsWithinARotationLeaveOneVersion(t *testing.T) {
	t.Parallel()
	secondWithinFirst(t, 14*min(swarm.OneIn, 4))
}

// Two or three rotations, whose every request takes as long as chance has it.
func rotationsByChance(t *testing.T, seed uint64) {
	kindOf := []func(*testing.T, *swarm.Client) kept{keptSecrets, keptConfigs}[seed%2]
	onKept(t, fmt.Sprint("seed ", seed), kindOf, func(t *testing.T, engine *swarmtest.Engine, client *swarm.Client, k kept) {
		r := newRace(t, engine, client, k)
		chances, random := rand.New(rand.NewPCG(seed, 1)), rand.New(rand.NewPCG(seed, 2))
		hold := func() {
			r.mu.Lock()
			d := time.Duration(random.Int64N(int64(time.Second)))
			often := random.IntN(3) == 0
			r.mu.Unlock()
			if often {
				time.Sleep(d)
			}
		}
		for i := range 2 + chances.IntN(2) {
			r.start(t, kindOf, fmt.Sprintf("%s %d", raceData[chances.IntN(len(raceData))][chances.IntN(2)], i), hold)
			time.Sleep(time.Duration(chances.Int64N(int64(4 * time.Second))))
		}
		r.end(t)
	})
}

func TestRotationsAtAnyPaceLeaveOneVersion(t *testing.T) {
	t.Parallel()
	// 30: of three the newest fails, and two are under way.
	for _, seed := range []uint64{0, 1, 2, 3, 4, 5, 30} {
		rotationsByChance(t, seed)
	}
}
