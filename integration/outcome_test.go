//go:build integration

package integration

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/swarm-go/swarm"
	"github.com/swarm-go/swarm/internal/rollouts"
)

// Whatever an answer says, or if there is none: what was made is there once, and
// what was not is not. Who waits for a rollout meanwhile sees its true end.
func TestOutcomesAreTrueWhenTheLeaderIsKilled(t *testing.T) {
	t.Parallel()
	killLeaders(t, 1)
}

func killLeaders(t *testing.T, kills int) {
	if withoutLab(t) {
		return
	}
	for _, version := range testEngines() {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			managers := startMembers(t, version, version, version)
			formSwarm(t, 3, managers)
			for _, manager := range managers {
				require.NoError(t, manager.LoadImages(t.Context()))
			}
			for round := range kills {
				killLeaderDuringChanges(t, managers, round)
			}
		})
	}
}

func killLeaderDuringChanges(t *testing.T, managers []member, round int) {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	var writers []*writer
	for i, manager := range managers {
		w := &writer{client: newClient(t, manager.Engine), name: fmt.Sprintf("w%d-%d", round, i)}
		if i == 0 { // sees what others do not, because it does not try again
			w.client = newClient(t, manager.Engine, swarm.WithRetry(swarm.RetryPolicy{WriteAttempts: 1}))
		}
		spec := testSpec(w.name)
		spec.Mode = swarm.Replicated(0)
		change, err := w.client.Services.Create(ctx, spec, nil)
		require.NoError(t, err)
		w.id = change.ID
		writers = append(writers, w)
	}
	rollingOut := deploy(t, managers[0].client, rollingOutSpec(fmt.Sprintf("rollout%d", round)))
	stop := make(chan struct{})
	var group sync.WaitGroup
	for _, w := range writers {
		group.Go(func() { w.count(ctx, t, stop) })
		group.Go(func() { w.create(ctx, t, stop) })
	}

	leader, other := leaderAmong(t, managers)
	var waiters sync.WaitGroup
	waitEverywhere(ctx, t, rollingOut, managers, other, &waiters)
	time.Sleep(500 * time.Millisecond)
	require.NoError(t, leader.Kill(ctx))
	eventually(t, func(c *assert.CollectT) {
		_, err := other.client.Swarm.Inspect(ctx)
		assert.NoError(c, err)
	})
	require.NoError(t, leader.Start(ctx))
	eventually(t, func(c *assert.CollectT) {
		_, err := leader.client.Swarm.Inspect(ctx)
		assert.NoError(c, err)
	})
	close(stop)
	group.Wait()
	waiters.Wait()
	for _, w := range writers {
		w.check(ctx, t, other.client)
	}
	require.NoError(t, other.client.Services.Remove(ctx, rollingOut))
}

// rollingOutSpec is a service whose rollouts outlast the election of a leader.
func rollingOutSpec(name string) swarm.ServiceSpec {
	spec := testSpec(name)
	spec.Mode = swarm.Replicated(4)
	spec.TaskTemplate.ContainerSpec.Env = []string{"REVISION=1"}
	spec.UpdateConfig = swarm.UpdateConfig{Monitor: 2 * time.Second, Delay: time.Second, FailureAction: swarm.ContinueOnFailure}
	return spec
}

// waitEverywhere begins a rollout and waits for it at each manager. It returns when
// all have had a first look. The truth is read at a manager that stays.
func waitEverywhere(ctx context.Context, t *testing.T, id string, managers []member, stays member, waiters *sync.WaitGroup) {
	const variable = "REVISION=2"
	change := update(t, stays.client, id, func(s *swarm.ServiceSpec) { s.TaskTemplate.ContainerSpec.Env = []string{variable} })
	var looked sync.WaitGroup
	for _, manager := range managers {
		first := sync.OnceFunc(looked.Done)
		looked.Add(1)
		waiters.Go(func() {
			defer first()
			err := rollouts.Hold(t, rollouts.Target{HTTP: stays.Engine.Client(), Monitor: 2 * time.Second}, id, variable, func() error {
				return watchToItsEnd(ctx, t, manager.client, change.Rollout, first)
			})
			assert.NoError(t, err)
		})
	}
	looked.Wait()
}

// watchToItsEnd waits for a rollout, again if the engine cannot be asked for long,
// which says nothing of it.
func watchToItsEnd(ctx context.Context, t *testing.T, client *swarm.Client, rollout swarm.Rollout, looked func()) error {
	for {
		var last error
		for _, err := range client.Services.Watch(ctx, rollout, nil) {
			looked()
			last = err
		}
		if _, verdict := errors.AsType[*swarm.RolloutError](last); verdict || last == nil {
			return last
		}
		t.Logf("no verdict: %v", last)
		time.Sleep(time.Second)
	}
}

// leaderAmong finds the leader, and another manager.
func leaderAmong(t *testing.T, managers []member) (leader, other member) {
	t.Helper()
	nodes, err := managers[0].client.Nodes.List(t.Context(), nil)
	require.NoError(t, err)
	isLeader := map[string]bool{}
	for _, node := range nodes {
		isLeader[node.ID] = node.ManagerStatus != nil && node.ManagerStatus.Leader
	}
	for _, manager := range managers {
		if isLeader[manager.nodeID(t)] {
			leader = manager
		} else {
			other = manager
		}
	}
	require.NotNil(t, leader.Engine)
	return leader, other
}

// writer changes a service of its own, and makes others, and keeps what it was
// told of it.
type writer struct {
	client *swarm.Client
	name   string
	id     string

	counted uint64 // changes that were made
	made    []string
	notMade []string
}

const (
	counter = "count"
	tried   = "try" // no two tries are alike
)

// count counts in a label. Only the writer writes this service: no call is shown
// what it has made itself.
func (w *writer) count(ctx context.Context, t *testing.T, stop <-chan struct{}) {
	for tries := 0; !isClosed(stop); {
		last := ""
		_, err := w.client.Services.Modify(ctx, w.id, func(s *swarm.Service) error {
			if last != "" {
				assert.NotEqual(t, last, s.Spec.Labels[tried], "%s: made, and called a conflict", w.name)
			}
			n, _ := strconv.Atoi(s.Spec.Labels[counter])
			tries++
			last = strconv.Itoa(tries)
			s.Spec.PutLabel(counter, strconv.Itoa(n+1))
			s.Spec.PutLabel(tried, last)
			return nil
		}, nil)
		if w.wasMade(ctx, t, err) {
			w.counted++
		}
	}
}

// create makes services.
func (w *writer) create(ctx context.Context, t *testing.T, stop <-chan struct{}) {
	for i := 0; !isClosed(stop); i++ {
		spec := testSpec(fmt.Sprintf("%s-%d", w.name, i))
		spec.Mode = swarm.Replicated(0)
		_, err := w.client.Services.Create(ctx, spec, nil)
		if w.wasMade(ctx, t, err) {
			w.made = append(w.made, spec.Name)
		} else {
			w.notMade = append(w.notMade, spec.Name)
		}
		if i%2 == 1 && len(w.made) > 0 {
			last := w.made[len(w.made)-1]
			err := w.client.Services.Remove(ctx, last)
			if w.wasMade(ctx, t, err) || errors.Is(err, swarm.ErrNotFound) && w.isGone(ctx, t, last) {
				w.made, w.notMade = w.made[:len(w.made)-1], append(w.notMade, last)
			}
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// isGone reports whether a service that is said not to be there is not. A new leader
// does not know for a moment what the old one has done last.
func (w *writer) isGone(ctx context.Context, t *testing.T, name string) bool {
	time.Sleep(3 * time.Second)
	_, err := w.client.Services.Inspect(ctx, name)
	t.Logf("%s: after it was said not to be there: %v", name, err)
	return errors.Is(err, swarm.ErrNotFound)
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// wasMade is what the error says, or else what is found out.
func (w *writer) wasMade(ctx context.Context, t *testing.T, err error) bool {
	lost, ok := errors.AsType[*swarm.OutcomeUnknownError](err)
	if !ok {
		return err == nil
	}
	r, err := lost.Resolve(ctx)
	assert.NoError(t, err)
	assert.NotEqual(t, swarm.OutcomeUnknowable, r.Outcome, "%v: %s", lost, r.Reason)
	t.Logf("%s: %v: %s, %s", w.name, lost, r.Outcome, r.Reason)
	return r.Outcome == swarm.OutcomeApplied
}

// check compares what the writer was told with what there is.
func (w *writer) check(ctx context.Context, t *testing.T, client *swarm.Client) {
	service, err := client.Services.Inspect(ctx, w.id)
	require.NoError(t, err)
	assert.Equal(t, strconv.FormatUint(w.counted, 10), service.Spec.Labels[counter], "changes of %s", w.name)
	services, err := client.Services.List(ctx, &swarm.ServiceListOptions{NamePrefixes: []string{w.name + "-"}})
	require.NoError(t, err)
	names := []string{}
	for _, service := range services {
		names = append(names, service.Spec.Name)
		assert.NoError(t, client.Services.Remove(ctx, service.ID))
	}
	assert.ElementsMatch(t, w.made, names, "services of %s, but not %v", w.name, w.notMade)
}
