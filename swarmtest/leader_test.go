package swarmtest_test

import (
	"bytes"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/swarm-go/swarm"
	"github.com/swarm-go/swarm/swarmtest"
)

// once makes clients do nothing twice.
var once = swarm.WithRetry(swarm.RetryPolicy{ReadAttempts: 1, WriteAttempts: 1})

func TestRequestsWaitForTheNextLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engine := swarmtest.Start(t, swarmtest.WithNodes(3, 0))
		client := engine.Nodes()[1].Client(once)
		engine.Nodes()[0].Stop()
		begun := time.Now()
		_, err := client.Services.Create(t.Context(), web(), nil)
		require.NoError(t, err)
		assert.Equal(t, 10*time.Second, time.Since(begun))
	})
}

func TestRequestsDoNotWaitForALeaderForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engine := swarmtest.Start(t, swarmtest.WithNodes(3, 0), swarmtest.WithPace(swarmtest.Pace{Patience: 5 * time.Second, GiveUp: 12 * time.Second}))
		client := engine.Nodes()[2].Client(once)
		engine.Nodes()[0].Stop()
		engine.Nodes()[1].Stop()
		begun := time.Now()
		for range 3 {
			_, err := client.Services.Create(t.Context(), web(), nil)
			var unknown *swarm.OutcomeUnknownError
			require.ErrorAs(t, err, &unknown)
			require.ErrorContains(t, err, "context deadline exceeded")
		}
		assert.Equal(t, 15*time.Second, time.Since(begun))
		_, err := client.Services.Create(t.Context(), web(), nil)
		require.ErrorIs(t, err, swarm.ErrNoLeader)
		assert.Equal(t, 15*time.Second, time.Since(begun))
		require.NoError(t, engine.Nodes()[0].Start())
		_, err = client.Services.Create(t.Context(), web(), nil)
		require.NoError(t, err)
	})
}

// talking starts a service that writes a line a second on each of three managers.
func talking(t *testing.T, release swarmtest.Release) *swarmtest.Engine {
	engine := swarmtest.Start(t, swarmtest.WithRelease(release), swarmtest.WithNodes(3, 0), swarmtest.WithUnknownImages(counting))
	spec := web()
	spec.Mode = swarm.Global()
	_, err := engine.Client().Services.Create(t.Context(), spec, nil)
	require.NoError(t, err)
	time.Sleep(3500 * time.Millisecond)
	return engine
}

// follow reads what is new in the log of a service until that breaks off. Something
// happens after two seconds.
func follow(t *testing.T, node *swarmtest.Node, happens func()) (lines string, err error) {
	var group sync.WaitGroup
	defer group.Wait()
	group.Go(func() {
		time.Sleep(2 * time.Second)
		happens()
	})
	logs, err := node.Client().Services.Logs(t.Context(), "web", &swarm.LogOptions{Follow: true, Raw: true, Tail: swarm.TailNone})
	require.NoError(t, err)
	var got bytes.Buffer
	err = logs.Copy(&got, &got)
	return got.String(), err
}

// The other managers pass on what the leader sends.
func TestFollowedLogsEndWhenTheLeaderStops(t *testing.T) {
	for release, reason := range map[swarmtest.Release]string{
		swarmtest.Engine2010: "transport is closing",
		swarmtest.Engine285:  "error reading from server: EOF",
	} {
		synctest.Test(t, func(t *testing.T) {
			engine := talking(t, release)
			lines, err := follow(t, engine.Nodes()[1], engine.Nodes()[0].Stop)
			require.ErrorIs(t, err, swarm.ErrUnavailable)
			assert.ErrorContains(t, err, reason)
			assert.Equal(t, 6, strings.Count(lines, "\n"))
		})
	}
}

func TestFollowedLogsEndWhenAnotherManagerLeads(t *testing.T) {
	for _, release := range []swarmtest.Release{swarmtest.Engine2010, swarmtest.Engine285} {
		for asked := range 2 {
			synctest.Test(t, func(t *testing.T) {
				engine := talking(t, release)
				lines, err := follow(t, engine.Nodes()[asked], func() {
					assert.NoError(t, engine.Client().Nodes.Demote(t.Context(), engine.Nodes()[0].ID()))
				})
				assert.ErrorContains(t, err, "context canceled")
				assert.Equal(t, 6, strings.Count(lines, "\n"))
			})
		}
	}
}

func TestFollowedLogsLoseAllNodesButTheLeaderWithANewRoot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engine := talking(t, swarmtest.Newest)
		lines, err := follow(t, engine.Nodes()[1], func() {
			assert.NoError(t, engine.Client().Swarm.RotateCA(t.Context(), nil))
			time.Sleep(8 * time.Second)
			engine.Nodes()[1].CutConnections()
		})
		require.Error(t, err)
		assert.Equal(t, 10, strings.Count(lines, "node-1 "))
		assert.Equal(t, 2, strings.Count(lines, "node-2 "))
		assert.Equal(t, 2, strings.Count(lines, "node-3 "))
	})
}

// Nobody would move the clock meanwhile.
func TestRequestsDoNotWaitForALeaderOnAManualClock(t *testing.T) {
	engine := swarmtest.Start(t, swarmtest.WithNodes(3, 0), swarmtest.WithManualClock(time.Now()))
	client := engine.Nodes()[1].Client(once)
	engine.Nodes()[0].Stop()
	_, err := client.Services.List(t.Context(), nil)
	require.ErrorIs(t, err, swarm.ErrNoLeader)
	engine.Clock().Advance(10 * time.Second)
	_, err = client.Services.List(t.Context(), nil)
	require.NoError(t, err)
}

func TestRequestsWaitForALeaderOnAManualClockIfTheyAreTold(t *testing.T) {
	engine := swarmtest.Start(t, swarmtest.WithPace(swarmtest.Pace{Patience: time.Minute}),
		swarmtest.WithNodes(3, 0), swarmtest.WithManualClock(time.Now()))
	client := engine.Nodes()[1].Client(once)
	engine.Nodes()[0].Stop()
	ended := make(chan error, 1)
	go func() {
		_, err := client.Services.List(t.Context(), nil)
		ended <- err
	}()
	require.Eventually(t, func() bool {
		requests := engine.Requests()
		return len(requests) > 0 && strings.HasSuffix(requests[len(requests)-1].Path, "/services")
	}, time.Minute, time.Millisecond)
	assert.Empty(t, ended)
	engine.Clock().Advance(10 * time.Second)
	require.NoError(t, <-ended)
}

func TestNodesStopWhileRequestsWaitForALeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engine := swarmtest.Start(t, swarmtest.WithNodes(2, 0))
		engine.Nodes()[0].Stop()
		second := engine.Nodes()[1]
		ended := make(chan error)
		go func() {
			_, err := second.Client(once).Services.Create(t.Context(), web(), nil)
			ended <- err
		}()
		time.Sleep(time.Second)
		begun := time.Now()
		second.Stop()
		assert.Zero(t, time.Since(begun))
		assert.Error(t, <-ended)
	})
}
