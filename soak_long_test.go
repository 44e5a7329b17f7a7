//go:build long

package swarm_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/swarm-go/swarm"
	"github.com/swarm-go/swarm/swarmtest"
)

var soakTime = flag.Duration("soak", 3*time.Minute, "how long the soak runs")

// oracleHeader marks the requests that no fault befalls.
const oracleHeader = "X-Oracle"

// soak is an engine that fails at random, a client that has to live with it, and
// one that sees the truth.
type soak struct {
	engine         *swarmtest.Engine
	client, oracle *swarm.Client
}

// All that can go wrong with requests goes wrong at random while services are
// made, changed and removed. What a call says of its outcome has to be true, and
// nothing may happen twice.
func TestSoakUnderRandomFaults(t *testing.T) {
	before := runtime.NumGoroutine()
	t.Run("soak", func(t *testing.T) {
		s := startSoak(t)
		ctx, cancel := context.WithTimeout(t.Context(), *soakTime)
		defer cancel()
		var workers sync.WaitGroup
		rounds := make([]int, 8)
		for i := range rounds {
			workers.Go(func() { rounds[i] = s.work(ctx, t, i) })
		}
		workers.Wait()
		total := 0
		for _, n := range rounds {
			total += n
		}
		assert.Greater(t, total, 100, "rounds")
		s.checkNothingHappenedTwice(t)
		t.Logf("%d rounds, %d requests", total, len(s.engine.Requests()))
	})
	for range 1000 { // what has been closed may still be on its way
		if runtime.NumGoroutine() <= before {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	stacks := make([]byte, 1<<20)
	assert.Fail(t, "goroutines left", "%s", stacks[:runtime.Stack(stacks, true)])
}

func startSoak(t *testing.T) *soak {
	e := swarmtest.Start(t)
	s := &soak{
		engine: e,
		client: e.Client(swarm.WithHeaderTimeout(500*time.Millisecond), swarm.WithCallTimeout(10*time.Second)),
		oracle: e.Client(swarm.WithHeader(oracleHeader, "1")),
	}
	noLeader := "rpc error: code = Unknown desc = The swarm does not have a leader. It's possible that too few managers are online. Make sure more than half of the managers are online."
	lostLeader := "rpc error: code = Unknown desc = raft: failed to process the request: node lost leader status"
	for _, effect := range []swarmtest.Effect{
		swarmtest.Cut(),
		swarmtest.CutAnswer(),
		swarmtest.CutBody(1),
		swarmtest.Hang(),
		swarmtest.Delay(20 * time.Millisecond),
		swarmtest.SlowBody(100, time.Millisecond),
		swarmtest.Refuse(http.StatusInternalServerError, noLeader),
		swarmtest.FailAfter(http.StatusInternalServerError, lostLeader),
		swarmtest.Answer(http.StatusBadGateway, http.Header{"Content-Type": {"text/html"}}, "<html>bad gateway</html>"),
		swarmtest.Raw("HTTP/1.1 500 Oops\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"),
		swarmtest.ContentType("text/plain"),
		e.Conflict(),
	} {
		e.Inject(swarmtest.Fault{
			Match:       func(r *http.Request) bool { return r.Header.Get(oracleHeader) == "" },
			Probability: 0.02,
			Effect:      effect,
		})
	}
	return s
}

// work makes, changes and removes a service of its own, again and again.
func (s *soak) work(ctx context.Context, t *testing.T, worker int) (rounds int) {
	random := rand.New(rand.NewPCG(uint64(worker), 2))
	for ctx.Err() == nil {
		rounds++
		name := fmt.Sprintf("soak-%d-%d", worker, rounds)
		if !s.create(t, name) {
			continue
		}
		for range random.IntN(4) {
			s.label(t, name, fmt.Sprint(random.Uint32()))
		}
		s.remove(t, name)
	}
	return rounds
}

// create reports whether there is a service afterwards.
func (s *soak) create(t *testing.T, name string) bool {
	_, err := s.client.Services.Create(t.Context(), swarm.ServiceSpec{
		Name:         name,
		TaskTemplate: swarm.TaskSpec{ContainerSpec: swarm.ContainerSpec{Image: "nginx:1.29"}},
		Mode:         swarm.Replicated(0),
	}, nil)
	found := s.find(t, name)
	switch {
	case err == nil:
		assert.NotNil(t, found, "%s was made, it says", name)
	case errors.Is(err, swarm.ErrNameConflict):
		assert.NotNil(t, found, "%s is there, it says", name)
	case !unknown(err):
		assert.Nil(t, found, "%s was not made, it says: %v", name, err)
	}
	return found != nil
}

func (s *soak) label(t *testing.T, name, value string) {
	_, err := s.client.Services.Modify(t.Context(), name, func(service *swarm.Service) error {
		service.Spec.Labels = map[string]string{"soak": value}
		return nil
	}, nil)
	found := s.find(t, name)
	if !assert.NotNil(t, found, name) {
		return
	}
	switch {
	case err == nil:
		assert.Equal(t, value, found.Spec.Labels["soak"], "%s was changed, it says", name)
	case !unknown(err):
		assert.NotEqual(t, value, found.Spec.Labels["soak"], "%s was not changed, it says: %v", name, err)
	}
}

// remove leaves no service behind.
func (s *soak) remove(t *testing.T, name string) {
	err := s.client.Services.Remove(t.Context(), name)
	found := s.find(t, name)
	switch {
	case err == nil, errors.Is(err, swarm.ErrNotFound):
		assert.Nil(t, found, "%s is gone, it says: %v", name, err)
	case !unknown(err):
		assert.NotNil(t, found, "%s was not removed, it says: %v", name, err)
	}
	if found != nil {
		assert.NoError(t, s.oracle.Services.Remove(t.Context(), found.ID))
	}
}

// find is the service of that name, nil if there is none.
func (s *soak) find(t *testing.T, name string) *swarm.Service {
	found, err := s.oracle.Services.Inspect(t.Context(), name)
	if !errors.Is(err, swarm.ErrNotFound) {
		require.NoError(t, err)
	}
	return found
}

func unknown(err error) bool {
	_, ok := errors.AsType[*swarm.OutcomeUnknownError](err)
	return ok
}

func (s *soak) checkNothingHappenedTwice(t *testing.T) {
	made := map[string]int{}
	for _, change := range s.engine.Changes() {
		if change.Kind == "service" && change.Action == "create" {
			made[change.Name]++
		}
	}
	for name, times := range made {
		assert.Equal(t, 1, times, name)
	}
}
