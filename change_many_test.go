package swarm_test

import (
	"context"
	"errors"
	"math"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/swarm-go/swarm"
	"github.com/swarm-go/swarm/swarmtest"
)

// shop makes a stack of three services, in no order, and one beside it.
func shop(t *testing.T, client *swarm.Client) map[string]string {
	t.Helper()
	ids := map[string]string{}
	for _, name := range []string{"shop_web", "other", "shop_api", "shop_db"} {
		spec := service(name, swarm.Replicated(1))
		if stack, _, isOfStack := strings.Cut(name, "_"); isOfStack {
			spec.PutLabel("com.docker.stack.namespace", stack)
		}
		change, err := client.Services.Create(t.Context(), spec, nil)
		require.NoError(t, err)
		ids[name] = change.ID
	}
	return ids
}

var ofShop = &swarm.ServiceListOptions{Stack: "shop"}

func refs(results []swarm.ServiceResult) (refs []string) {
	for _, r := range results {
		refs = append(refs, r.Ref)
	}
	return refs
}

// names are the services that there are.
func names(t *testing.T, client *swarm.Client) (names []string) {
	t.Helper()
	services, err := client.Services.List(t.Context(), nil)
	require.NoError(t, err)
	for _, s := range services {
		names = append(names, s.Spec.Name)
	}
	slices.Sort(names)
	return names
}

func TestModifyAllChangesWhatIsChosen(t *testing.T) {
	inTime(t, func(t *testing.T, engine *swarmtest.Engine, client *swarm.Client) {
		ids := shop(t, client)
		change := func(s *swarm.Service) error {
			if s.Spec.Name != "shop_db" {
				s.Spec.PutLabel("team", "a")
			}
			return nil
		}
		planned, err := client.Services.ModifyAll(t.Context(), ofShop, change, &swarm.ServiceModifyOptions{DryRun: true})
		require.NoError(t, err)
		assert.Zero(t, updates(engine))
		results, err := client.Services.ModifyAll(t.Context(), ofShop, change, nil)
		require.NoError(t, err)
		assert.Equal(t, 2, updates(engine), "what needs no change is sent nothing")
		require.Equal(t, []string{"shop_api", "shop_db", "shop_web"}, refs(results))
		for i, r := range results {
			assert.Equal(t, ids[r.Ref], r.ID)
			assert.Equal(t, r.Ref != "shop_db", r.Change.Changed, r.Ref)
			assert.Equal(t, r.Ref != "shop_db", planned[i].Change.Changed, r.Ref)
			assert.Equal(t, r.ID, r.Change.Rollout.ServiceID)
		}
		other, err := client.Services.Inspect(t.Context(), "other")
		require.NoError(t, err)
		assert.Empty(t, other.Spec.Labels)
	})
}

func TestOneServiceThatFailsDoesNotKeepTheOthers(t *testing.T) {
	inTime(t, func(t *testing.T, engine *swarmtest.Engine, client *swarm.Client) {
		ids := shop(t, client)
		sorry := errors.New("not today")
		engine.Inject(swarmtest.Fault{Method: http.MethodPost, Path: "/services/" + ids["shop_db"] + "/update", Effect: swarmtest.Refuse(http.StatusForbidden, "no")})
		results, err := client.Services.ModifyAll(t.Context(), ofShop, func(s *swarm.Service) error {
			if s.Spec.Name == "shop_api" {
				return sorry
			}
			s.Spec.PutLabel("team", "a")
			return nil
		}, nil)
		require.Equal(t, []string{"shop_api", "shop_db", "shop_web"}, refs(results))
		assert.ErrorIs(t, results[0].Err, sorry)
		assert.ErrorIs(t, results[1].Err, swarm.ErrForbidden)
		assert.NoError(t, results[2].Err)
		assert.True(t, results[2].Change.Changed)
		assert.ErrorIs(t, err, sorry)
		assert.ErrorIs(t, err, swarm.ErrForbidden)
		lines := strings.Split(err.Error(), "\n")
		require.Len(t, lines, 2)
		assert.Equal(t, "modify service shop_api: not today", lines[0])
		assert.Contains(t, lines[1], "shop_db")
	})
}

// A service that was removed after the list was made is told by its name.
func TestModifyAllTellsOfAServiceThatIsGone(t *testing.T) {
	inTime(t, func(t *testing.T, engine *swarmtest.Engine, client *swarm.Client) {
		shop(t, client)
		results, err := client.Services.ModifyAll(t.Context(), ofShop, func(s *swarm.Service) error {
			if s.Spec.Name == "shop_api" {
				require.NoError(t, client.Services.Remove(t.Context(), "shop_db"))
			}
			return nil
		}, nil)
		assert.ErrorIs(t, err, swarm.ErrNotFound)
		assert.ErrorContains(t, err, "modify service shop_db")
		assert.Len(t, results, 3)
	})
}

// It is called again with what somebody else has written in between.
func TestModifyAllGetsPastOtherWriters(t *testing.T) {
	inTime(t, func(t *testing.T, engine *swarmtest.Engine, client *swarm.Client) {
		shop(t, client)
		calls := map[string]int{}
		results, err := client.Services.ModifyAll(t.Context(), ofShop, func(s *swarm.Service) error {
			if calls[s.Spec.Name]++; calls[s.Spec.Name] == 1 {
				_, err := client.Services.Modify(t.Context(), s.ID, func(s *swarm.Service) error { s.Spec.PutLabel("rival", "1"); return nil }, nil)
				require.NoError(t, err)
			}
			s.Spec.PutLabel("team", "a")
			return nil
		}, nil)
		require.NoError(t, err)
		for _, r := range results {
			assert.Equal(t, 2, calls[r.Ref])
			assert.Equal(t, "1", r.Change.Rollout.Spec.Labels["rival"])
			assert.Equal(t, "a", r.Change.Rollout.Spec.Labels["team"])
		}
	})
}

func TestTheEndOfTheContextLeavesTheOtherServices(t *testing.T) {
	inTime(t, func(t *testing.T, engine *swarmtest.Engine, client *swarm.Client) {
		shop(t, client)
		ctx, cancel := context.WithCancel(t.Context())
		results, err := client.Services.ModifyAll(ctx, ofShop, func(s *swarm.Service) error {
			cancel()
			return nil
		}, nil)
		assert.ErrorIs(t, err, context.Canceled)
		assert.ErrorContains(t, err, "2 of 3 services")
		assert.Equal(t, []string{"shop_api"}, refs(results))
		results, err = client.Services.ScaleAll(ctx, map[string]uint64{"shop_api": 2}, nil)
		assert.ErrorIs(t, err, context.Canceled)
		assert.Empty(t, results)
		_, err = client.Services.RemoveAll(ctx, ofShop, nil)
		assert.ErrorIs(t, err, context.Canceled)
		assert.Len(t, names(t, client), 4)
	})
}

func TestScaleAllScalesWhatItCan(t *testing.T) {
	inTime(t, func(t *testing.T, engine *swarmtest.Engine, client *swarm.Client) {
		ids := shop(t, client)
		_, err := client.Services.Create(t.Context(), service("agent", swarm.Global()), nil)
		require.NoError(t, err)
		numbers := map[string]uint64{ids["shop_db"]: 1, "shop": 2, "agent": 2, "shop_api": 0}
		first, second := min("shop_web", ids["shop_web"]), max("shop_web", ids["shop_web"])
		numbers[first], numbers[second] = 3, 9 // two references of one service
		results, err := client.Services.ScaleAll(t.Context(), numbers, nil)
		assert.True(t, slices.IsSorted(refs(results)))
		assert.Len(t, results, len(numbers))
		for _, r := range results {
			switch {
			case r.Ref == "shop":
				assert.ErrorIs(t, r.Err, swarm.ErrNotFound)
				assert.Empty(t, r.ID)
			case r.Ref == "agent", numbers[r.Ref] == 9:
				assert.ErrorIs(t, r.Err, swarm.ErrInvalid)
				assert.NotEmpty(t, r.ID)
			default:
				require.NoError(t, r.Err)
				assert.Equal(t, numbers[r.Ref], *r.Change.Rollout.Spec.Mode.Replicated.Replicas)
				assert.Equal(t, r.Ref != ids["shop_db"], r.Change.Changed, r.Ref)
			}
		}
		assert.ErrorIs(t, err, swarm.ErrNotFound)
		assert.ErrorIs(t, err, swarm.ErrInvalid)
		assert.ErrorContains(t, err, "scale service agent")
		assert.Equal(t, 2, updates(engine))
		results, err = client.Services.ScaleAll(t.Context(), nil, nil)
		assert.NoError(t, err)
		assert.Empty(t, results)
	})
}

func TestRemoveAllRemovesWhatIsChosen(t *testing.T) {
	inTime(t, func(t *testing.T, engine *swarmtest.Engine, client *swarm.Client) {
		ids := shop(t, client)
		engine.Inject(swarmtest.Fault{Method: http.MethodDelete, Path: "/services/" + ids["shop_api"], Times: 1, Effect: swarmtest.Refuse(http.StatusForbidden, "no")})
		results, err := client.Services.RemoveAll(t.Context(), ofShop, nil)
		assert.ErrorIs(t, err, swarm.ErrForbidden)
		assert.ErrorContains(t, err, "shop_api")
		assert.Equal(t, []string{"shop_api", "shop_db", "shop_web"}, refs(results))
		assert.Equal(t, []string{"other", "shop_api"}, names(t, client))
		assert.Equal(t, ids["shop_db"], results[1].ID)
		assert.NoError(t, results[1].Err)

		results, err = client.Services.RemoveAll(t.Context(), &swarm.ServiceListOptions{Names: []string{"shop_api", "gone"}}, nil)
		assert.NoError(t, err)
		assert.Len(t, results, 1)
		results, err = client.Services.RemoveAll(t.Context(), ofShop, nil)
		assert.NoError(t, err)
		assert.Empty(t, results)
		assert.Equal(t, []string{"other"}, names(t, client))
	})
}

// Somebody else removes the services after the list was made.
func TestRemoveAllIsContentWithWhatOthersHaveRemoved(t *testing.T) {
	inTime(t, func(t *testing.T, engine *swarmtest.Engine, client *swarm.Client) {
		shop(t, client)
		rival := engine.Client()
		engine.Inject(swarmtest.Fault{Method: http.MethodDelete, Times: 1, Effect: func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				assert.NoError(t, rival.Services.Remove(r.Context(), "shop_api"))
				assert.NoError(t, rival.Services.Remove(r.Context(), "shop_web"))
				next.ServeHTTP(w, r)
			})
		}})
		results, err := client.Services.RemoveAll(t.Context(), ofShop, nil)
		assert.NoError(t, err)
		assert.Len(t, results, 3)
		assert.Equal(t, []string{"other"}, names(t, client))
	})
}

// What chooses every service is refused before anything is asked for, unless it is
// meant.
func TestRemoveAllOfEverythingMustBeMeant(t *testing.T) {
	inTime(t, func(t *testing.T, engine *swarmtest.Engine, client *swarm.Client) {
		shop(t, client)
		for _, which := range []*swarm.ServiceListOptions{nil, {}, {Names: []string{}}, {IDPrefixes: []string{""}}, {Names: []string{"web"}, NamePrefixes: []string{""}},
			{Labels: map[string]string{}}, {Runtime: swarm.RuntimeContainer}, {Nodes: []string{""}}} {
			_, err := client.Services.RemoveAll(t.Context(), which, nil)
			assert.ErrorIs(t, err, swarm.ErrInvalid, "%+v", which)
			_, err = client.Services.RemoveAll(t.Context(), which, &swarm.ServiceRemoveAllOptions{})
			assert.ErrorContains(t, err, "Everything", "%+v", which)
		}
		assert.Len(t, names(t, client), 4)
		for _, which := range []*swarm.ServiceListOptions{{Names: []string{""}}, {Labels: map[string]string{"a": "b"}}, {Modes: []swarm.ModeKind{swarm.ModeGlobal}},
			{Images: []string{"db"}}, {States: []swarm.ServiceState{swarm.StateComplete}}, {Secrets: []string{"s"}}, {NamePrefixes: []string{"x"}}} {
			results, err := client.Services.RemoveAll(t.Context(), which, nil)
			assert.NoError(t, err, "%+v", which)
			assert.Empty(t, results, "%+v", which)
		}
		results, err := client.Services.RemoveAll(t.Context(), nil, &swarm.ServiceRemoveAllOptions{Everything: true})
		assert.NoError(t, err)
		assert.Len(t, results, 4)
		assert.Empty(t, names(t, client))
	})
}

func TestScaleByStopsAtItsBounds(t *testing.T) {
	for _, row := range []struct {
		from     uint64
		delta    int64
		min, max uint64
		want     uint64
	}{
		{3, 2, 0, 0, 5}, {3, -2, 0, 0, 1}, {3, -3, 0, 0, 0}, {3, -4, 0, 0, 0}, {3, 0, 0, 0, 3}, {3, math.MinInt64, 0, 0, 0},
		{3, 2, 1, 4, 4}, {3, math.MaxInt64, 0, 7, 7}, {3, -2, 2, 4, 2}, {3, 1, 0, 3, 3}, {3, -1, 3, 3, 3},
		{9, 1, 1, 4, 4}, {9, -1, 1, 4, 4}, {0, -1, 2, 0, 2}, {0, 0, 2, 0, 2},
	} {
		inTime(t, func(t *testing.T, engine *swarmtest.Engine, client *swarm.Client) {
			webService(t, client, swarm.Replicated(row.from))
			change, err := client.Services.ScaleBy(t.Context(), "web", row.delta, &swarm.ServiceScaleByOptions{Min: row.min, Max: row.max})
			require.NoError(t, err, "%+v", row)
			assert.Equal(t, swarm.Replicated(row.want), change.Rollout.Spec.Mode, "%+v", row)
			assert.Equal(t, row.from != row.want, change.Changed, "%+v", row)
			assert.Equal(t, row.from != row.want, updates(engine) == 1, "%+v", row)
		})
	}
}

func TestScaleByCountsFromTheNewestNumber(t *testing.T) {
	inTime(t, func(t *testing.T, engine *swarmtest.Engine, client *swarm.Client) {
		webService(t, client, swarm.ServiceMode{}) // one task
		var all sync.WaitGroup
		for range 5 {
			all.Go(func() {
				_, err := client.Services.ScaleBy(t.Context(), "web", 2, nil)
				assert.NoError(t, err)
			})
		}
		all.Wait()
		web, err := client.Services.Inspect(t.Context(), "web")
		require.NoError(t, err)
		assert.Equal(t, swarm.Replicated(11), web.Spec.Mode)
	})
}

func TestScaleByIsScaleInAllElse(t *testing.T) {
	inTime(t, func(t *testing.T, engine *swarmtest.Engine, client *swarm.Client) {
		ctx, services := t.Context(), client.Services
		for name, mode := range map[string]swarm.ServiceMode{"agent": swarm.Global(), "once": swarm.ReplicatedJob(3, 1), "everywhere": swarm.GlobalJob(), "web": swarm.Replicated(2)} {
			_, err := services.Create(ctx, service(name, mode), nil)
			require.NoError(t, err)
		}
		for _, name := range []string{"agent", "everywhere", "once"} {
			_, err := services.ScaleBy(ctx, name, 1, nil)
			assert.ErrorIs(t, err, swarm.ErrInvalid, name)
		}
		_, err := services.ScaleBy(ctx, "web", 1, &swarm.ServiceScaleByOptions{Min: 3, Max: 2})
		assert.ErrorIs(t, err, swarm.ErrInvalid)
		_, err = services.ScaleBy(ctx, "none", 1, nil)
		assert.ErrorIs(t, err, swarm.ErrNotFound)
		planned, err := services.ScaleBy(ctx, "web", 1, &swarm.ServiceScaleByOptions{Modify: &swarm.ServiceModifyOptions{DryRun: true}})
		require.NoError(t, err)
		assert.Equal(t, swarm.Replicated(3), planned.Rollout.Spec.Mode)
		assert.Zero(t, updates(engine))
		again, err := services.ScaleBy(ctx, "once", -1, &swarm.ServiceScaleByOptions{Modify: &swarm.ServiceModifyOptions{RerunJob: true}})
		require.NoError(t, err)
		assert.Equal(t, swarm.ReplicatedJob(2, 1), again.Rollout.Spec.Mode)

		_, err = services.Stop(ctx, "web", nil)
		require.NoError(t, err)
		started, err := services.ScaleBy(ctx, "web", 1, nil)
		require.NoError(t, err)
		assert.NotContains(t, started.Rollout.Spec.Labels, swarm.StoppedLabel)
	})
}

func TestOneAuthForManyNamesItsRegistry(t *testing.T) {
	inTime(t, func(t *testing.T, engine *swarmtest.Engine, client *swarm.Client) {
		shop(t, client)
		opts := &swarm.ServiceModifyOptions{Auth: &swarm.RegistryAuth{Username: "me", Password: "secret"}}
		_, err := client.Services.ModifyAll(t.Context(), ofShop, func(s *swarm.Service) error { s.Spec.PutLabel("a", "b"); return nil }, opts)
		assert.ErrorIs(t, err, swarm.ErrInvalid)
		assert.ErrorContains(t, err, "AuthFrom")
		_, err = client.Services.ScaleAll(t.Context(), map[string]uint64{"shop_web": 3}, opts)
		assert.ErrorIs(t, err, swarm.ErrInvalid)
		assert.Zero(t, updates(engine))
	})
}
