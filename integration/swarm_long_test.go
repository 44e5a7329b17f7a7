//go:build integration && long

package integration

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/swarm-go/swarm"
)

// The leader dies three times in a row, and comes back each time. A writer goes
// on all the while: what was acknowledged is there in the end, and each write
// that was not is an error that says so.
func TestWritesOutliveTheirLeaders(t *testing.T) {
	onNodes(t, func(t *testing.T, nodes []member) {
		formSwarm(t, 3, nodes)
		for round := range 3 {
			leader, others := leaderOf(t, nodes[:3])
			require.NoError(t, leader.Kill(t.Context()))
			label := time.Now().Format(time.RFC3339Nano)
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
			writeUntilItIsThere(ctx, t, others[0], label)
			cancel()
			require.NoError(t, leader.Start(t.Context()))
			for _, node := range nodes[:3] {
				eventually(t, func(c *assert.CollectT) {
					cluster, err := node.client.Swarm.Inspect(t.Context())
					if assert.NoError(c, err) {
						assert.Equal(c, label, cluster.Spec.Labels["written"], "round %d", round)
					}
				})
			}
		}
	})
}

// writeUntilItIsThere is what a user does: on an error that may pass, read again
// and write again.
func writeUntilItIsThere(ctx context.Context, t *testing.T, node member, label string) {
	t.Helper()
	for {
		err := node.client.Swarm.Modify(ctx, func(c *swarm.Cluster) error {
			if c.Spec.Labels == nil {
				c.Spec.Labels = map[string]string{}
			}
			c.Spec.Labels["written"] = label
			return nil
		})
		if err == nil {
			return
		}
		require.NoError(t, ctx.Err(), "%v", err)
		require.True(t, errors.Is(err, swarm.ErrNoLeader) || errors.Is(err, swarm.ErrUnavailable), "%v", err)
	}
}

func leaderOf(t *testing.T, managers []member) (leader member, others []member) {
	t.Helper()
	for _, node := range managers {
		if seen := managers[0].node(t, node.nodeID(t)).ManagerStatus; seen != nil && seen.Leader {
			leader = node
		} else {
			others = append(others, node)
		}
	}
	require.Len(t, others, len(managers)-1)
	return leader, others
}

func TestEnginesDropSettingsOfSwarmsAtEveryVersion(t *testing.T) {
	assertSettingsDropped(t, func(newest int) (minors []int) {
		for minor := 24; minor <= newest; minor++ {
			minors = append(minors, minor)
		}
		return minors
	})
}
