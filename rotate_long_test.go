//go:build long

package swarm_test

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/swarm-go/swarm"
	"github.com/swarm-go/swarm/swarmtest"
)

// Rotations at random moments, some of them with data that no service runs with,
// between writers of the same services, and with requests that fail.
func TestManyRotationsAtOnceLeaveServicesThatRun(t *testing.T) {
	for seed := range uint64(30) {
		kindOf := []func(*testing.T, *swarm.Client) kept{keptSecrets, keptConfigs}[seed%2]
		onKept(t, fmt.Sprint("seed ", seed), kindOf, func(t *testing.T, engine *swarmtest.Engine, client *swarm.Client, k kept) {
			random := rand.New(rand.NewPCG(seed, 1))
			id := k.create("db", "one", nil)
			for i := range 4 {
				user(t, client, k, fmt.Sprint("s", i), id, "db", nil)
			}
			fault := engine.Inject(swarmtest.Fault{Method: "POST", Probability: 0.05, Effect: swarmtest.CutAnswer()})
			var group sync.WaitGroup
			for i := range 4 {
				after, bad := time.Duration(random.Int64N(int64(8*time.Second))), random.IntN(2) == 0
				data := fmt.Sprintf("%s %d", map[bool]string{true: "bad", false: "good"}[bad], i)
				group.Go(func() {
					time.Sleep(after)
					_, err := k.rotate(t.Context(), "db", data, &swarm.RotateOptions{Keep: new(0)})
					if bad {
						assert.Error(t, err, data)
					}
				})
			}
			group.Go(func() {
				for i := range 10 {
					time.Sleep(time.Second)
					_, err := client.Services.Modify(t.Context(), fmt.Sprint("s", i%4), func(s *swarm.Service) error {
						s.Spec.Labels = map[string]string{"i": fmt.Sprint(i)}
						return nil
					}, nil)
					var lost *swarm.OutcomeUnknownError
					if err != nil {
						assert.ErrorAs(t, err, &lost)
					}
				}
			})
			group.Wait()
			fault.Remove()
			_, err := k.rotate(t.Context(), "db", "the last", &swarm.RotateOptions{Keep: new(0)})
			require.NoError(t, err)
			want := usesOf(t, client, k, "s0")
			for i := range 4 {
				name := fmt.Sprint("s", i)
				assert.Equal(t, want, usesOf(t, client, k, name))
				rollout, err := client.Services.CurrentRollout(t.Context(), name)
				require.NoError(t, err)
				require.NoError(t, client.Services.Wait(t.Context(), rollout, nil))
			}
			assert.Len(t, k.names(), 1)
		})
	}
}

func TestRotationsWithinARotationLeaveOneVersionWhereverTheyBegin(t *testing.T) {
	secondWithinFirst(t, 1)
}

func TestRotationsAtManyPacesLeaveOneVersion(t *testing.T) {
	for seed := range uint64(200) {
		rotationsByChance(t, seed)
	}
}
