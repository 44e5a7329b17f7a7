package swarm_test

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/swarm-go/swarm"
	"github.com/swarm-go/swarm/swarmtest"
)

// mutation is a way to change something.
type mutation struct {
	name string
	// prepare makes what it needs.
	prepare func(t *testing.T, client *swarm.Client)
	do      func(ctx context.Context, client *swarm.Client) error
	// done reports whether it has been done, by looking at the engine.
	done func(t *testing.T, client *swarm.Client) bool
	// method is that of its one request that changes something.
	method string
	// found is what Resolve finds when it has been done; empty: that it was applied.
	found swarm.Outcome
}

func exists[T any](t *testing.T, inspect func(context.Context, string) (*T, error), ref string) bool {
	_, err := inspect(t.Context(), ref)
	if !errors.Is(err, swarm.ErrNotFound) {
		assert.NoError(t, err)
	}
	return err == nil
}

func serviceSpec(name, image string) swarm.ServiceSpec {
	spec := swarm.ServiceSpec{Name: name, Mode: swarm.Replicated(1)}
	spec.TaskTemplate.ContainerSpec.Image = image
	return spec
}

func prepared[T any](create func(ctx context.Context, c *swarm.Client) (T, error)) func(*testing.T, *swarm.Client) {
	return func(t *testing.T, client *swarm.Client) {
		_, err := create(t.Context(), client)
		require.NoError(t, err)
	}
}

var createWeb = prepared(func(ctx context.Context, c *swarm.Client) (*swarm.ServiceChange, error) {
	return c.Services.Create(ctx, serviceSpec("web", "web:1"), nil)
})

func serviceMutations() []mutation {
	label := func(t *testing.T, c *swarm.Client) string {
		service, err := c.Services.Inspect(t.Context(), "web")
		require.NoError(t, err)
		return service.Spec.Labels["a"]
	}
	image := func(want string) func(t *testing.T, c *swarm.Client) bool {
		return func(t *testing.T, c *swarm.Client) bool {
			service, err := c.Services.Inspect(t.Context(), "web")
			require.NoError(t, err)
			return service.Spec.TaskTemplate.ContainerSpec.Image == want
		}
	}
	return []mutation{
		{name: "create service", do: func(ctx context.Context, c *swarm.Client) error {
			_, err := c.Services.Create(ctx, serviceSpec("web", "web:1"), nil)
			return err
		}, done: func(t *testing.T, c *swarm.Client) bool { return exists(t, c.Services.Inspect, "web") }, method: "POST"},
		{name: "apply service", do: func(ctx context.Context, c *swarm.Client) error {
			_, err := c.Services.Apply(ctx, serviceSpec("web", "web:1"), nil)
			return err
		}, done: func(t *testing.T, c *swarm.Client) bool { return exists(t, c.Services.Inspect, "web") }, method: "POST"},
		{name: "modify service", prepare: createWeb, do: func(ctx context.Context, c *swarm.Client) error {
			_, err := c.Services.Modify(ctx, "web", func(s *swarm.Service) error { s.Spec.PutLabel("a", s.Spec.Labels["a"]+"x"); return nil }, nil)
			return err
		}, done: func(t *testing.T, c *swarm.Client) bool {
			assert.Contains(t, []string{"", "x"}, label(t, c), "never twice")
			return label(t, c) == "x"
		}, method: "POST"},
		{name: "set image", prepare: createWeb, do: func(ctx context.Context, c *swarm.Client) error {
			_, err := c.Services.SetImage(ctx, "web", "web:2", nil)
			return err
		}, done: image("web:2"), method: "POST"},
		{name: "run job again", prepare: func(t *testing.T, c *swarm.Client) {
			spec := serviceSpec("web", "web:1")
			spec.Mode = swarm.ReplicatedJob(1, 0)
			_, err := c.Services.Create(t.Context(), spec, nil)
			require.NoError(t, err)
		}, do: func(ctx context.Context, c *swarm.Client) error {
			_, err := c.Services.Redeploy(ctx, "web", nil)
			return err
		}, done: func(t *testing.T, c *swarm.Client) bool {
			service, err := c.Services.Inspect(t.Context(), "web")
			require.NoError(t, err)
			assert.LessOrEqual(t, service.JobStatus.JobIteration.Index, uint64(1), "never twice")
			return service.JobStatus.JobIteration.Index == 1
		}, method: "POST"},
		{name: "roll back service", prepare: func(t *testing.T, c *swarm.Client) {
			createWeb(t, c)
			_, err := c.Services.SetImage(t.Context(), "web", "web:2", nil)
			require.NoError(t, err)
			time.Sleep(time.Minute)
		}, do: func(ctx context.Context, c *swarm.Client) error {
			_, err := c.Services.Rollback(ctx, "web", nil)
			return err
		}, done: image("web:1"), method: "POST"},
		{name: "remove service", prepare: createWeb,
			do:     func(ctx context.Context, c *swarm.Client) error { return c.Services.Remove(ctx, "web") },
			done:   func(t *testing.T, c *swarm.Client) bool { return !exists(t, c.Services.Inspect, "web") },
			method: "DELETE"},
	}
}

func objectMutations() []mutation {
	labels := map[string]string{"a": "1"}
	createConfig := func(ctx context.Context, c *swarm.Client) (string, error) {
		return c.Configs.Create(ctx, swarm.ConfigSpec{Name: "conf", Data: []byte("x")})
	}
	createSecret := func(ctx context.Context, c *swarm.Client) (string, error) {
		return c.Secrets.Create(ctx, swarm.SecretSpec{Name: "key", Data: []byte("x")})
	}
	createNetwork := func(ctx context.Context, c *swarm.Client) (*swarm.CreatedNetwork, error) {
		return c.Networks.Create(ctx, swarm.NetworkSpec{Name: "backend", Labels: labels, Options: map[string]string{"a": "1"},
			IPAM: swarm.IPAM{Config: []swarm.IPAMConfig{{Subnet: "10.7.0.0/24"}}}})
	}
	createVolume := func(ctx context.Context, c *swarm.Client) (*swarm.Volume, error) {
		return c.Volumes.Create(ctx, swarm.VolumeSpec{Name: "data"})
	}
	hasNetwork := func(t *testing.T, c *swarm.Client) bool {
		return exists(t, func(ctx context.Context, ref string) (*swarm.Network, error) {
			return c.Networks.Inspect(ctx, ref, nil)
		}, "backend")
	}
	return []mutation{
		{name: "create config", do: func(ctx context.Context, c *swarm.Client) error { _, err := createConfig(ctx, c); return err },
			done: func(t *testing.T, c *swarm.Client) bool { return exists(t, c.Configs.Inspect, "conf") }, method: "POST"},
		{name: "set labels of config", prepare: prepared(createConfig),
			do: func(ctx context.Context, c *swarm.Client) error { return c.Configs.SetLabels(ctx, "conf", labels) },
			done: func(t *testing.T, c *swarm.Client) bool {
				config, err := c.Configs.Inspect(t.Context(), "conf")
				require.NoError(t, err)
				return config.Spec.Labels["a"] == "1"
			}, method: "POST"},
		{name: "remove config", prepare: prepared(createConfig),
			do:   func(ctx context.Context, c *swarm.Client) error { return c.Configs.Remove(ctx, "conf") },
			done: func(t *testing.T, c *swarm.Client) bool { return !exists(t, c.Configs.Inspect, "conf") }, method: "DELETE"},
		{name: "create secret", do: func(ctx context.Context, c *swarm.Client) error { _, err := createSecret(ctx, c); return err },
			done: func(t *testing.T, c *swarm.Client) bool { return exists(t, c.Secrets.Inspect, "key") }, method: "POST",
			found: swarm.OutcomeUnknowable},
		{name: "set labels of secret", prepare: prepared(createSecret),
			do: func(ctx context.Context, c *swarm.Client) error { return c.Secrets.SetLabels(ctx, "key", labels) },
			done: func(t *testing.T, c *swarm.Client) bool {
				secret, err := c.Secrets.Inspect(t.Context(), "key")
				require.NoError(t, err)
				return secret.Spec.Labels["a"] == "1"
			}, method: "POST"},
		{name: "remove secret", prepare: prepared(createSecret),
			do:   func(ctx context.Context, c *swarm.Client) error { return c.Secrets.Remove(ctx, "key") },
			done: func(t *testing.T, c *swarm.Client) bool { return !exists(t, c.Secrets.Inspect, "key") }, method: "DELETE"},
		{name: "create network", do: func(ctx context.Context, c *swarm.Client) error { _, err := createNetwork(ctx, c); return err },
			done: hasNetwork, method: "POST"},
		{name: "remove network", prepare: prepared(createNetwork),
			do:   func(ctx context.Context, c *swarm.Client) error { return c.Networks.Remove(ctx, "backend") },
			done: func(t *testing.T, c *swarm.Client) bool { return !hasNetwork(t, c) }, method: "DELETE"},
		{name: "create volume", do: func(ctx context.Context, c *swarm.Client) error { _, err := createVolume(ctx, c); return err },
			done: func(t *testing.T, c *swarm.Client) bool { return exists(t, c.Volumes.Inspect, "data") }, method: "POST"},
		{name: "remove volume", prepare: prepared(createVolume),
			do:   func(ctx context.Context, c *swarm.Client) error { return c.Volumes.Remove(ctx, "data", nil) },
			done: func(t *testing.T, c *swarm.Client) bool { return !exists(t, c.Volumes.Inspect, "data") }, method: "DELETE"},
	}
}

func swarmMutations() []mutation {
	worker := func(t *testing.T, c *swarm.Client) *swarm.Node {
		nodes, err := c.Nodes.List(t.Context(), &swarm.NodeListOptions{Names: []string{"node-2"}})
		require.NoError(t, err)
		if len(nodes) == 0 {
			return nil
		}
		return &nodes[0]
	}
	var tokens swarm.JoinTokens
	return []mutation{
		{name: "modify node", do: func(ctx context.Context, c *swarm.Client) error {
			return c.Nodes.Modify(ctx, "node-2", func(n *swarm.Node) error { n.Spec.Labels["a"] += "x"; return nil })
		}, done: func(t *testing.T, c *swarm.Client) bool {
			assert.Contains(t, []string{"", "x"}, worker(t, c).Spec.Labels["a"], "never twice")
			return worker(t, c).Spec.Labels["a"] == "x"
		}, method: "POST"},
		{name: "drain node", do: func(ctx context.Context, c *swarm.Client) error { return c.Nodes.Drain(ctx, "node-2", nil) },
			done: func(t *testing.T, c *swarm.Client) bool { return worker(t, c).Spec.Availability == swarm.NodeDrain }, method: "POST"},
		{name: "remove node", do: func(ctx context.Context, c *swarm.Client) error {
			return c.Nodes.Remove(ctx, "node-2", &swarm.NodeRemoveOptions{Force: true})
		}, done: func(t *testing.T, c *swarm.Client) bool { return worker(t, c) == nil }, method: "DELETE"},
		{name: "modify swarm", do: func(ctx context.Context, c *swarm.Client) error {
			return c.Swarm.Modify(ctx, func(c *swarm.Cluster) error { c.Spec.Labels = map[string]string{"a": "1"}; return nil })
		}, done: func(t *testing.T, c *swarm.Client) bool {
			cluster, err := c.Swarm.Inspect(t.Context())
			require.NoError(t, err)
			return cluster.Spec.Labels["a"] == "1"
		}, method: "POST"},
		{name: "rotate join tokens", prepare: func(t *testing.T, c *swarm.Client) {
			var err error
			tokens, err = c.Swarm.JoinTokens(t.Context())
			require.NoError(t, err)
		}, do: func(ctx context.Context, c *swarm.Client) error {
			_, err := c.Swarm.RotateJoinTokens(ctx, swarm.RoleWorker)
			return err
		}, done: func(t *testing.T, c *swarm.Client) bool {
			now, err := c.Swarm.JoinTokens(t.Context())
			require.NoError(t, err)
			assert.Equal(t, tokens.Manager, now.Manager)
			return now.Worker != tokens.Worker
		}, method: "POST"},
		{name: "leave swarm", do: func(ctx context.Context, c *swarm.Client) error {
			return c.Swarm.Leave(ctx, &swarm.LeaveOptions{Force: true})
		}, done: func(t *testing.T, c *swarm.Client) bool {
			state, err := c.Swarm.LocalState(t.Context())
			require.NoError(t, err)
			return state.LocalNodeState == swarm.LocalInactive
		}, method: "POST"},
		{name: "init swarm", prepare: func(t *testing.T, c *swarm.Client) {
			require.NoError(t, c.Swarm.Leave(t.Context(), &swarm.LeaveOptions{Force: true}))
		}, do: func(ctx context.Context, c *swarm.Client) error { _, err := c.Swarm.Init(ctx, nil); return err },
			done: func(t *testing.T, c *swarm.Client) bool {
				state, err := c.Swarm.LocalState(t.Context())
				require.NoError(t, err)
				return state.LocalNodeState == swarm.LocalActive
			}, method: "POST"},
	}
}

// losses are the ways in which an answer is lost, and whether the engine has done
// what it was asked.
var losses = []struct {
	name   string
	effect swarmtest.Effect
	done   bool
}{
	{"cut before", swarmtest.Cut(), false},
	{"cut after", swarmtest.CutAnswer(), true},
	{"no leader before", swarmtest.Refuse(http.StatusServiceUnavailable, "rpc error: code = Unavailable desc = error reading from server: EOF"), false},
	{"no leader after", swarmtest.FailAfter(http.StatusInternalServerError, "rpc error: code = Unknown desc = raft: failed to process the request: node lost leader status"), true},
	{"bad gateway after", swarmtest.FailAfter(http.StatusBadGateway, "proxy"), true},
}

func TestResolveFindsOutWhatHasHappened(t *testing.T) {
	for i, m := range append(append(serviceMutations(), objectMutations()...), swarmMutations()...) {
		for j, loss := range losses {
			if (i*len(losses)+j)%swarm.OneIn != 0 {
				continue
			}
			synctest.Test(t, func(t *testing.T) {
				engine := swarmtest.Start(t, swarmtest.WithNodes(1, 1))
				client, label := engine.Client(), m.name+", "+loss.name
				if m.prepare != nil {
					m.prepare(t, client)
				}
				fault := engine.Inject(swarmtest.Fault{Method: m.method, Effect: loss.effect})
				err := m.do(t.Context(), client)
				fault.Remove()
				require.NotZero(t, fault.Hits(), label)
				require.Equal(t, loss.done, m.done(t, client), label)
				lost, ok := errors.AsType[*swarm.OutcomeUnknownError](err)
				if !ok { // found out by itself
					assert.NoError(t, err, label)
					assert.True(t, loss.done, label)
					return
				}
				r, err := lost.Resolve(t.Context())
				require.NoError(t, err, label)
				want := map[bool]swarm.Outcome{true: swarm.OutcomeApplied, false: swarm.OutcomeNotApplied}[loss.done]
				if loss.done && m.found != "" {
					want = m.found
				}
				assert.Equal(t, want, r.Outcome, "%s: %s", label, r.Reason)
				assert.NotEmpty(t, r.Reason, label)
				assert.Equal(t, loss.done, m.done(t, client), label)
			})
		}
	}
}

// The first try is carried out, and the second refused because of it.
func TestARefusedRepetitionIsFoundToBeItsOwnWork(t *testing.T) {
	mutations := append(append(serviceMutations(), objectMutations()...), swarmMutations()[:5]...)
	for i := 0; i < len(mutations); i += swarm.OneIn {
		m := mutations[i]
		synctest.Test(t, func(t *testing.T) {
			engine := swarmtest.Start(t, swarmtest.WithNodes(1, 1))
			client := engine.Client()
			if m.prepare != nil {
				m.prepare(t, client)
			}
			fault := engine.Inject(swarmtest.Fault{Method: m.method, Effect: swarmtest.CutAnswer(), Times: 1})
			err := m.do(t.Context(), client)
			assert.Equal(t, 1, fault.Hits(), m.name)
			assert.True(t, m.done(t, client), m.name)
			if m.found == "" && m.name != "remove volume" { // which is not repeated
				assert.NoError(t, err, m.name)
			} else {
				assert.Error(t, err, m.name)
			}
		})
	}
}

// asksTwice is a manager that loses its leader when that has done what it was asked,
// and asks the next one again.
func asksTwice(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		ask := func(w http.ResponseWriter) {
			again := r.Clone(r.Context())
			again.Body = io.NopCloser(bytes.NewReader(body))
			next.ServeHTTP(w, again)
		}
		ask(httptest.NewRecorder())
		time.Sleep(500 * time.Millisecond)
		ask(w)
	})
}

// A manager that asks twice calls a conflict what was done.
func TestALateConflictMayBeOnesOwnWork(t *testing.T) {
	mutations := append(append(serviceMutations(), objectMutations()...), swarmMutations()[:4]...)
	for i := 0; i < len(mutations); i += swarm.OneIn {
		m := mutations[i]
		if m.method != http.MethodPost {
			continue
		}
		synctest.Test(t, func(t *testing.T) {
			engine := swarmtest.Start(t, swarmtest.WithNodes(1, 1))
			client := engine.Client()
			if m.prepare != nil {
				m.prepare(t, client)
			}
			fault := engine.Inject(swarmtest.Fault{Method: m.method, Effect: asksTwice, Times: 1})
			err := m.do(t.Context(), client)
			assert.Equal(t, 1, fault.Hits(), m.name)
			assert.True(t, m.done(t, client), m.name)
			lost, ok := errors.AsType[*swarm.OutcomeUnknownError](err)
			if !ok { // it may be asked for twice
				assert.NoError(t, err, m.name)
				return
			}
			assert.True(t, errors.Is(err, swarm.ErrNameConflict) || errors.Is(err, swarm.ErrVersionConflict), m.name)
			r, err := lost.Resolve(t.Context())
			require.NoError(t, err, m.name)
			assert.Equal(t, cmp.Or(m.found, swarm.OutcomeApplied), r.Outcome, "%s: %s", m.name, r.Reason)
		})
	}
}

func TestALateConflictWithOthersIsAConflict(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engine := swarmtest.Start(t)
		client := engine.Client()
		createWeb(t, client)
		engine.Inject(swarmtest.Fault{Method: http.MethodPost, Effect: swarmtest.Delay(time.Second)})
		_, err := client.Services.Create(t.Context(), serviceSpec("web", "other"), nil)
		assert.ErrorIs(t, err, swarm.ErrNameConflict)
		_, ok := errors.AsType[*swarm.OutcomeUnknownError](err)
		assert.False(t, ok)

		service, err := client.Services.Inspect(t.Context(), "web")
		require.NoError(t, err)
		setLabel("b", "1")(t, client)
		setLabel("c", "1")(t, client)
		service.Spec.PutLabel("a", "1")
		_, err = client.Services.Update(t.Context(), service, nil)
		assert.ErrorIs(t, err, swarm.ErrVersionConflict)
		_, ok = errors.AsType[*swarm.OutcomeUnknownError](err)
		assert.False(t, ok)
	})
}

// Two who count, and are answered late, do not take each other's work for their own.
func TestLateConflictsLoseNoChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engine := swarmtest.Start(t)
		client := engine.Client()
		createWeb(t, client)
		engine.Inject(swarmtest.Fault{Method: http.MethodPost, Effect: swarmtest.Delay(time.Second)})
		var counted atomic.Int64
		var group sync.WaitGroup
		for range 3 {
			group.Go(func() {
				for range 5 {
					_, err := client.Services.Modify(t.Context(), "web", func(s *swarm.Service) error {
						n, _ := strconv.Atoi(s.Spec.Labels["count"])
						s.Spec.PutLabel("count", strconv.Itoa(n+1))
						return nil
					}, nil)
					if err == nil {
						counted.Add(1)
						continue
					}
					_, unknown := errors.AsType[*swarm.OutcomeUnknownError](err)
					assert.True(t, unknown, "%v", err)
				}
			})
		}
		group.Wait()
		service, err := client.Services.Inspect(t.Context(), "web")
		require.NoError(t, err)
		assert.NotZero(t, counted.Load())
		assert.Equal(t, strconv.FormatInt(counted.Load(), 10), service.Spec.Labels["count"])
	})
}

func setLabel(name, value string) func(*testing.T, *swarm.Client) {
	return func(t *testing.T, c *swarm.Client) {
		_, err := c.Services.Modify(t.Context(), "web", func(s *swarm.Service) error { s.Spec.PutLabel(name, value); return nil }, nil)
		require.NoError(t, err)
	}
}

func TestResolveTellsOwnWorkFromThatOfOthers(t *testing.T) {
	rollBack := func(t *testing.T, c *swarm.Client) {
		_, err := c.Services.Rollback(t.Context(), "web", nil)
		require.NoError(t, err)
	}
	remove := func(t *testing.T, c *swarm.Client) { require.NoError(t, c.Services.Remove(t.Context(), "web")) }
	wait := func(t *testing.T, _ *swarm.Client) { time.Sleep(time.Minute) } // for the engine's own writes
	change := func(ctx context.Context, c *swarm.Client) error {
		_, err := c.Services.SetImage(ctx, "web", "web:2", nil)
		return err
	}
	undo := func(ctx context.Context, c *swarm.Client) error {
		_, err := c.Services.Rollback(ctx, "web", nil)
		return err
	}
	type steps = []func(*testing.T, *swarm.Client)
	for name, row := range map[string]struct {
		before steps
		do     func(context.Context, *swarm.Client) error
		done   bool
		after  steps
		want   swarm.Outcome
	}{
		"done, then others":                   {do: change, done: true, after: steps{setLabel("b", "1")}, want: swarm.OutcomeApplied},
		"done, then rolled back by others":    {do: change, done: true, after: steps{wait, rollBack}, want: swarm.OutcomeApplied},
		"done, then others twice":             {do: change, done: true, after: steps{setLabel("b", "1"), setLabel("c", "1")}, want: swarm.OutcomeUnknowable},
		"done and undone long since":          {do: change, done: true, after: steps{rollBack, setLabel("b", "1"), setLabel("c", "1")}, want: swarm.OutcomeUnknowable},
		"done, then removed":                  {do: change, done: true, after: steps{remove}, want: swarm.OutcomeUnknowable},
		"done, then made anew":                {do: change, done: true, after: steps{remove, createWeb}, want: swarm.OutcomeUnknowable},
		"others instead":                      {do: change, after: steps{setLabel("b", "1")}, want: swarm.OutcomeNotApplied},
		"others instead, twice":               {do: change, after: steps{setLabel("b", "1"), setLabel("c", "1")}, want: swarm.OutcomeUnknowable},
		"nobody":                              {do: change, after: steps{wait}, want: swarm.OutcomeNotApplied},
		"nobody, to the spec of before":       {before: steps{toImage("web:2"), toImage("web:1")}, do: change, after: steps{wait}, want: swarm.OutcomeNotApplied},
		"the spec of before":                  {before: steps{toImage("web:2"), toImage("web:1")}, do: change, done: true, after: steps{wait}, want: swarm.OutcomeApplied},
		"rolled back":                         {before: steps{toImage("web:0")}, do: undo, done: true, after: steps{wait}, want: swarm.OutcomeApplied},
		"not rolled back":                     {before: steps{toImage("web:0")}, do: undo, after: steps{wait}, want: swarm.OutcomeNotApplied},
		"rolled back, then others":            {before: steps{toImage("web:0")}, do: undo, done: true, after: steps{setLabel("b", "1")}, want: swarm.OutcomeApplied},
		"others instead of being rolled back": {before: steps{toImage("web:0")}, do: undo, after: steps{setLabel("b", "1")}, want: swarm.OutcomeNotApplied},
	} {
		synctest.Test(t, func(t *testing.T) {
			engine := swarmtest.Start(t)
			client := engine.Client()
			createWeb(t, client)
			for _, step := range append(row.before, wait) {
				step(t, client)
			}
			effect := swarmtest.Cut()
			if row.done {
				effect = swarmtest.CutAnswer()
			}
			fault := engine.Inject(swarmtest.Fault{Method: http.MethodPost, Effect: effect})
			err := row.do(t.Context(), client)
			fault.Remove()
			lost, ok := errors.AsType[*swarm.OutcomeUnknownError](err)
			require.True(t, ok, name)
			for _, step := range row.after {
				step(t, client)
			}
			r, err := lost.Resolve(t.Context())
			require.NoError(t, err, name)
			assert.Equal(t, row.want, r.Outcome, "%s: %s", name, r.Reason)
		})
	}
}

func toImage(image string) func(*testing.T, *swarm.Client) {
	return func(t *testing.T, c *swarm.Client) {
		_, err := c.Services.SetImage(t.Context(), "web", image, nil)
		require.NoError(t, err)
		time.Sleep(time.Minute)
	}
}

// A job that was put back by others and changed again has run all the same.
func TestResolveCountsTheRunsOfAJob(t *testing.T) {
	for done, want := range map[bool]swarm.Outcome{true: swarm.OutcomeUnknowable, false: swarm.OutcomeNotApplied} {
		synctest.Test(t, func(t *testing.T) {
			engine := swarmtest.Start(t)
			client := engine.Client()
			spec := serviceSpec("web", "web:1")
			spec.Mode = swarm.ReplicatedJob(1, 0)
			_, err := client.Services.Create(t.Context(), spec, nil)
			require.NoError(t, err)
			fault := engine.Inject(swarmtest.Fault{Method: http.MethodPost, Effect: map[bool]swarmtest.Effect{true: swarmtest.CutAnswer(), false: swarmtest.Cut()}[done]})
			_, err = client.Services.SetImage(t.Context(), "web", "web:2", &swarm.ServiceModifyOptions{RerunJob: true})
			fault.Remove()
			lost, ok := errors.AsType[*swarm.OutcomeUnknownError](err)
			require.True(t, ok)
			others := func(edit func(*swarm.ServiceSpec)) {
				_, err := client.Services.Modify(t.Context(), "web", func(s *swarm.Service) error { edit(&s.Spec); return nil }, &swarm.ServiceModifyOptions{RerunJob: true})
				require.NoError(t, err)
			}
			if done {
				others(func(s *swarm.ServiceSpec) { s.TaskTemplate.ContainerSpec.Image = "web:1" })
			}
			others(func(s *swarm.ServiceSpec) { s.PutLabel("b", "1") })
			r, err := lost.Resolve(t.Context())
			require.NoError(t, err)
			assert.Equal(t, want, r.Outcome, r.Reason)
		})
	}
}

// An update that the engine has rolled back by itself leaves no trace of whose it
// was.
func TestResolveDoesNotGuessWhoseUpdateWasRolledBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engine := swarmtest.Start(t)
		engine.Image("web:2", swarmtest.Image{Run: func(*swarmtest.Container) int { return 1 }})
		client := engine.Client()
		spec := serviceSpec("web", "web:1")
		spec.UpdateConfig = swarm.UpdateConfig{FailureAction: swarm.RollbackOnFailure}
		_, err := client.Services.Create(t.Context(), spec, nil)
		require.NoError(t, err)
		time.Sleep(time.Minute)
		fault := engine.Inject(swarmtest.Fault{Method: http.MethodPost, Effect: swarmtest.CutAnswer()})
		_, err = client.Services.SetImage(t.Context(), "web", "web:2", nil)
		fault.Remove()
		lost, ok := errors.AsType[*swarm.OutcomeUnknownError](err)
		require.True(t, ok)
		time.Sleep(time.Minute)
		r, err := lost.Resolve(t.Context())
		require.NoError(t, err)
		assert.Equal(t, swarm.OutcomeUnknowable, r.Outcome)
		assert.Contains(t, r.Reason, "rolled back")
	})
}

func TestResolveOfACreationLooksAtNameAndContent(t *testing.T) {
	for name, row := range map[string]struct {
		other func(*testing.T, *swarm.Client) // makes what is there instead
		do    func(context.Context, *swarm.Client) error
		want  swarm.Outcome
	}{
		"service of another spec": {func(t *testing.T, c *swarm.Client) {
			_, err := c.Services.Create(t.Context(), serviceSpec("web", "other"), nil)
			require.NoError(t, err)
		}, serviceMutations()[0].do, swarm.OutcomeNotApplied},
		"service changed since": {func(t *testing.T, c *swarm.Client) {
			_, err := c.Services.Create(t.Context(), serviceSpec("web", "web:1"), nil)
			require.NoError(t, err)
			setLabel("b", "1")(t, c)
		}, serviceMutations()[0].do, swarm.OutcomeApplied},
		"service of others, changed": {func(t *testing.T, c *swarm.Client) {
			_, err := c.Services.Create(t.Context(), serviceSpec("web", "other"), nil)
			require.NoError(t, err)
			setLabel("b", "1")(t, c)
		}, serviceMutations()[0].do, swarm.OutcomeUnknowable},
		"config of other data": {func(t *testing.T, c *swarm.Client) {
			_, err := c.Configs.Create(t.Context(), swarm.ConfigSpec{Name: "conf", Data: []byte("y")})
			require.NoError(t, err)
		}, objectMutations()[0].do, swarm.OutcomeNotApplied},
		"config of other labels": {func(t *testing.T, c *swarm.Client) {
			_, err := c.Configs.Create(t.Context(), swarm.ConfigSpec{Name: "conf", Data: []byte("x"), Labels: map[string]string{"a": "1"}})
			require.NoError(t, err)
		}, objectMutations()[0].do, swarm.OutcomeNotApplied},
		"config whose labels were changed": {func(t *testing.T, c *swarm.Client) {
			_, err := c.Configs.Create(t.Context(), swarm.ConfigSpec{Name: "conf", Data: []byte("x")})
			require.NoError(t, err)
			time.Sleep(time.Second)
			require.NoError(t, c.Configs.SetLabels(t.Context(), "conf", map[string]string{"a": "1"}))
		}, objectMutations()[0].do, swarm.OutcomeUnknowable},
		"secret of other labels": {func(t *testing.T, c *swarm.Client) {
			_, err := c.Secrets.Create(t.Context(), swarm.SecretSpec{Name: "key", Data: []byte("x"), Labels: map[string]string{"a": "1"}})
			require.NoError(t, err)
		}, objectMutations()[3].do, swarm.OutcomeNotApplied},
		"another network": {func(t *testing.T, c *swarm.Client) {
			_, err := c.Networks.Create(t.Context(), swarm.NetworkSpec{Name: "backend", Internal: true})
			require.NoError(t, err)
		}, objectMutations()[6].do, swarm.OutcomeNotApplied},
	} {
		synctest.Test(t, func(t *testing.T) {
			engine := swarmtest.Start(t)
			client := engine.Client()
			fault := engine.Inject(swarmtest.Fault{Method: http.MethodPost, Effect: swarmtest.Cut()})
			err := row.do(t.Context(), client)
			fault.Remove()
			lost, ok := errors.AsType[*swarm.OutcomeUnknownError](err)
			require.True(t, ok, name)
			row.other(t, client)
			r, err := lost.Resolve(t.Context())
			require.NoError(t, err, name)
			assert.Equal(t, row.want, r.Outcome, "%s: %s", name, r.Reason)
			assert.NotEmpty(t, r.ID, name)
		})
	}
}

// A service that was there long before the call is not what the call has made, though
// its answer was lost.
func TestAnOldServiceIsNotOnesOwnCreation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engine := swarmtest.Start(t)
		client := engine.Client()
		createWeb(t, client)
		time.Sleep(time.Hour)
		engine.Inject(swarmtest.Fault{Method: http.MethodPost, Effect: swarmtest.CutAnswer(), Times: 1})
		_, err := client.Services.Create(t.Context(), serviceSpec("web", "web:1"), nil)
		require.ErrorIs(t, err, swarm.ErrNameConflict)
		lost, ok := errors.AsType[*swarm.OutcomeUnknownError](err)
		require.True(t, ok)
		r, err := lost.Resolve(t.Context())
		require.NoError(t, err)
		assert.Equal(t, swarm.OutcomeUnknowable, r.Outcome)
		assert.Contains(t, r.Reason, "older")
	})
}

// What engines have begun they finish, though the client has gone away.
func TestResolveWaitsForWhatMayStillCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engine := swarmtest.Start(t)
		once := engine.Client(swarm.WithRetry(swarm.RetryPolicy{WriteAttempts: 1}))
		engine.Inject(swarmtest.Fault{Method: http.MethodPost, Times: 1, Effect: func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				late := r.Clone(context.WithoutCancel(r.Context()))
				time.Sleep(15 * time.Second)
				next.ServeHTTP(w, late)
			})
		}})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := once.Services.Create(ctx, serviceSpec("web", "web:1"), nil)
		assert.ErrorIs(t, err, context.DeadlineExceeded)
		lost, ok := errors.AsType[*swarm.OutcomeUnknownError](err)
		require.True(t, ok)

		_, err = lost.Resolve(ctx)
		assert.ErrorIs(t, err, context.DeadlineExceeded)
		r, err := lost.Resolve(t.Context())
		require.NoError(t, err)
		assert.Equal(t, swarm.OutcomeApplied, r.Outcome)
		assert.Equal(t, r.ID, r.Change.Rollout.ServiceID)
		require.NoError(t, once.Services.Wait(t.Context(), r.Change.Rollout, nil))
	})
}

func TestResolveLooksUntilThereIsALeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engine := swarmtest.Start(t)
		client := engine.Client()
		fault := engine.Inject(swarmtest.Fault{Method: http.MethodPost, Effect: swarmtest.CutAnswer()})
		_, err := client.Services.Create(t.Context(), serviceSpec("web", "web:1"), nil)
		fault.Remove()
		lost, ok := errors.AsType[*swarm.OutcomeUnknownError](err)
		require.True(t, ok)
		fault = engine.Inject(swarmtest.Fault{Effect: swarmtest.Refuse(http.StatusInternalServerError,
			"rpc error: code = Unknown desc = The swarm does not have a leader. It's possible that too few managers are online.")})
		time.AfterFunc(time.Minute, fault.Remove)
		r, err := lost.Resolve(t.Context())
		require.NoError(t, err)
		assert.Equal(t, swarm.OutcomeApplied, r.Outcome)
	})
}

func TestWhatNobodyKnowsCannotBeResolved(t *testing.T) {
	r, err := new(swarm.OutcomeUnknownError).Resolve(t.Context())
	require.NoError(t, err)
	assert.Equal(t, swarm.OutcomeUnknowable, r.Outcome)

	synctest.Test(t, func(t *testing.T) {
		engine := swarmtest.Start(t)
		fault := engine.Inject(swarmtest.Fault{Method: http.MethodPost, Effect: swarmtest.CutAnswer()})
		_, err := engine.Client().Services.Create(t.Context(), serviceSpec("", "web:1"), nil)
		lost, ok := errors.AsType[*swarm.OutcomeUnknownError](err)
		require.True(t, ok)
		assert.Equal(t, 1, fault.Hits(), "it would be made twice")
		r, err := lost.Resolve(t.Context())
		require.NoError(t, err)
		assert.Equal(t, swarm.OutcomeUnknowable, r.Outcome)
	})
}

// Engines show the options of a network when they have made it ready.
func TestResolveLooksAgainAtANetworkThatIsNotReady(t *testing.T) {
	e, client := newScriptedEngine(t, "1.51")
	e.answer("POST /networks/create", says(http.StatusInternalServerError, `{"message":"nobody knows"}`))
	e.answer("GET /networks/backend",
		says(http.StatusOK, `{"Name":"backend","Id":"n1","Driver":"","Options":null,"Labels":{}}`),
		says(http.StatusOK, `{"Name":"backend","Id":"n1","Driver":"overlay","Options":{"encrypted":"","vxlanid_list":"4097"},"Labels":{}}`))
	for _, want := range []swarm.Outcome{swarm.OutcomeApplied, swarm.OutcomeNotApplied} {
		_, err := client.Networks.Create(t.Context(), swarm.NetworkSpec{Name: "backend", Options: map[string]string{"encrypted": ""}, Internal: want == swarm.OutcomeNotApplied})
		lost, ok := errors.AsType[*swarm.OutcomeUnknownError](err)
		require.True(t, ok, "%v", err)
		r, err := lost.Resolve(t.Context())
		require.NoError(t, err)
		assert.Equal(t, want, r.Outcome, r.Reason)
		assert.Equal(t, "n1", r.ID)
	}
}

// What engines make of a network that has to do with a configuration is not quite
// what was asked for.
func TestResolveKnowsNetworksOfConfigurations(t *testing.T) {
	config := swarm.NetworkSpec{Name: "n", ConfigOnly: true, Options: map[string]string{"parent": "eth0"},
		IPAM: swarm.IPAM{Config: []swarm.IPAMConfig{{Subnet: "10.79.0.0/24"}}}}
	user := swarm.NetworkSpec{Name: "n", Driver: "bridge", ConfigFrom: swarm.NetworkConfigSource{Network: "cfg"}}
	for name, row := range map[string]struct {
		spec swarm.NetworkSpec
		now  string
		want swarm.Outcome
	}{
		"configuration": {config, `{"Name":"n","Id":"n1","Scope":"local","Driver":"null","IPAM":{"Driver":"default","Options":null,"Config":[{"Subnet":"10.79.0.0/24"}]},
			"ConfigFrom":{"Network":""},"ConfigOnly":true,"Containers":{},"Options":{"parent":"eth0"},"Labels":{}}`, swarm.OutcomeApplied},
		"another configuration": {config, `{"Name":"n","Id":"n1","Scope":"local","Driver":"null","IPAM":{"Driver":"default","Options":null,"Config":[{"Subnet":"10.79.0.0/24"}]},
			"ConfigFrom":{"Network":""},"ConfigOnly":true,"Containers":{},"Options":{},"Labels":{}}`, swarm.OutcomeNotApplied},
		"no configuration": {config, `{"Name":"n","Id":"n1","Driver":"overlay","IPAM":{"Config":[{"Subnet":"10.79.0.0/24"}]},"Options":{"parent":"eth0"}}`, swarm.OutcomeNotApplied},
		"user": {user, `{"Name":"n","Id":"n1","Scope":"local","Driver":"bridge","IPAM":{"Driver":"default","Options":null,"Config":[{"Subnet":"10.79.0.0/24"}]},
			"ConfigFrom":{"Network":"cfg"},"ConfigOnly":false,"Options":{"parent":"eth0"},"Labels":{"of":"cfg"}}`, swarm.OutcomeApplied},
		"user of another": {user, `{"Name":"n","Id":"n1","Driver":"bridge","ConfigFrom":{"Network":"gfc"}}`, swarm.OutcomeNotApplied},
	} {
		e, client := newScriptedEngine(t, "1.51")
		e.answer("POST /networks/create", says(http.StatusInternalServerError, `{"message":"nobody knows"}`))
		e.answer("GET /networks/n", says(http.StatusOK, row.now))
		_, err := client.Networks.Create(t.Context(), row.spec)
		lost, ok := errors.AsType[*swarm.OutcomeUnknownError](err)
		require.True(t, ok, "%s: %v", name, err)
		r, err := lost.Resolve(t.Context())
		require.NoError(t, err, name)
		assert.Equal(t, row.want, r.Outcome, "%s: %s", name, r.Reason)
	}
}

// A volume of the engine is taken as it is, but not from another driver; the swarm
// has one of a name.
func TestResolveOfTheCreationOfAVolume(t *testing.T) {
	const local = `{"Name":"cv","Driver":"local","CreatedAt":"2026-11-21T06:32:14Z","Scope":"local"}`
	asked := strings.Replace(clusterVolume, `"New":1}`, `"Scope":"single","Sharing":"none"}`, 1)
	paused := strings.Replace(asked, `"active"`, `"pause"`, 1)
	cluster := swarm.VolumeSpec{Name: "cv", Driver: "csi", ClusterVolumeSpec: &swarm.ClusterVolumeSpec{
		AccessMode: &swarm.VolumeAccessMode{BlockVolume: &swarm.VolumeBlockAccess{}}}}
	for name, row := range map[string]struct {
		spec swarm.VolumeSpec
		now  string
		want swarm.Outcome // empty: it does not show so far
	}{
		"same driver":                {swarm.VolumeSpec{Name: "cv"}, local, swarm.OutcomeApplied},
		"another driver":             {swarm.VolumeSpec{Name: "cv", Driver: "nfs"}, local, swarm.OutcomeNotApplied},
		"only the swarm's":           {swarm.VolumeSpec{Name: "cv"}, clusterVolume, ""},
		"ID that begins like it":     {swarm.VolumeSpec{Name: "cv"}, strings.Replace(clusterVolume, `"cv"`, `"other"`, 1), ""},
		"the swarm's":                {cluster, asked, swarm.OutcomeApplied},
		"the swarm's, begins so":     {cluster, strings.Replace(asked, `"cv"`, `"other"`, 1), ""},
		"another of the swarm":       {cluster, strings.Replace(asked, `"BlockVolume"`, `"MountVolume"`, 1), swarm.OutcomeNotApplied},
		"another driver's":           {cluster, strings.Replace(asked, `"csi"`, `"isc"`, 1), swarm.OutcomeNotApplied},
		"another availability":       {cluster, paused, swarm.OutcomeNotApplied},
		"an availability since":      {cluster, strings.Replace(paused, `"UpdatedAt":"2026-11-21T06:32:14Z"`, `"UpdatedAt":"2026-11-21T06:40:00Z"`, 1), swarm.OutcomeUnknowable},
		"hidden by the engine's own": {cluster, local, swarm.OutcomeUnknowable},
	} {
		e, client := newScriptedEngine(t, "1.51")
		e.answer("POST /volumes/create", says(http.StatusInternalServerError, `{"message":"nobody knows"}`))
		e.answer("GET /volumes/cv", says(http.StatusOK, row.now))
		_, err := client.Volumes.Create(t.Context(), row.spec)
		lost, ok := errors.AsType[*swarm.OutcomeUnknownError](err)
		require.True(t, ok, "%s: %v", name, err)
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		r, err := lost.Resolve(ctx)
		cancel()
		if row.want == "" {
			assert.ErrorIs(t, err, context.DeadlineExceeded, "%s: %s", name, r.Reason)
			continue
		}
		require.NoError(t, err, name)
		assert.Equal(t, row.want, r.Outcome, "%s: %s", name, r.Reason)
		if row.spec.ClusterVolumeSpec != nil && strings.Contains(row.now, "ClusterVolume") {
			assert.Equal(t, "v3qa4uf5ps2ko8fatabw48lyj", r.ID, name)
		}
	}
}

// The swarm has made it when it is asked again.
func TestARefusedRepetitionOfAVolumeOfTheSwarmIsItsOwnWork(t *testing.T) {
	e, client := newScriptedEngine(t, "1.51")
	e.answer("POST /volumes/create", nil, says(http.StatusConflict, `{"message":"rpc error: code = AlreadyExists desc = name conflicts with an existing object: volume cv already exists"}`))
	e.answer("GET /volumes/v3qa4uf5ps2ko8fatabw48lyj", says(http.StatusOK, clusterVolume))
	spec := swarm.VolumeSpec{Name: "cv", Driver: "csi", ClusterVolumeSpec: &swarm.ClusterVolumeSpec{
		AccessMode: &swarm.VolumeAccessMode{BlockVolume: &swarm.VolumeBlockAccess{}}}}
	e.answer("GET /volumes/cv", says(http.StatusOK, strings.Replace(clusterVolume, `"New":1`, `"Scope":"single","Sharing":"none"`, 1)))
	volume, err := client.Volumes.Create(t.Context(), spec)
	require.NoError(t, err)
	assert.Equal(t, "v3qa4uf5ps2ko8fatabw48lyj", volume.ClusterVolume.ID)
	assert.Len(t, e.sent("POST", "/volumes/create"), 2)

	e.answer("POST /volumes/create", nil, says(http.StatusConflict, `{"message":"rpc error: code = AlreadyExists desc = name conflicts with an existing object: volume cv already exists"}`))
	spec.Driver = "other"
	_, err = client.Volumes.Create(t.Context(), spec)
	assert.ErrorIs(t, err, swarm.ErrNameConflict)
	_, unknown := errors.AsType[*swarm.OutcomeUnknownError](err)
	assert.False(t, unknown, "it is another's")
}

// Volumes of the swarm are removed in time, and only their version tells that they
// will be.
func TestResolveOfTheRemovalOfAVolumeOfTheSwarm(t *testing.T) {
	for name, row := range map[string]struct {
		now  []byte
		want swarm.Outcome // empty: it does not show so far
	}{
		"gone":         {says(http.StatusNotFound, `{"message":"get cv: no such volume"}`), swarm.OutcomeApplied},
		"another":      {says(http.StatusOK, strings.ReplaceAll(clusterVolume, "v3qa", "abcd")), swarm.OutcomeApplied},
		"written":      {says(http.StatusOK, strings.ReplaceAll(clusterVolume, `"Index":28`, `"Index":29`)), swarm.OutcomeUnknowable},
		"as it was":    {says(http.StatusOK, clusterVolume), ""},
		"not a volume": {says(http.StatusOK, `{"Name":"cv","Driver":"local","CreatedAt":"2026-11-21T06:32:14Z","Scope":"local"}`), swarm.OutcomeUnknowable},
	} {
		e, client := newScriptedEngine(t, "1.51")
		e.answer("GET /volumes/cv", says(http.StatusOK, clusterVolume), row.now)
		e.answer("DELETE /volumes/v3qa4uf5ps2ko8fatabw48lyj", says(http.StatusInternalServerError, `{"message":"nobody knows"}`))
		lost, ok := errors.AsType[*swarm.OutcomeUnknownError](client.Volumes.Remove(t.Context(), "cv", nil))
		require.True(t, ok, name)
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		r, err := lost.Resolve(ctx)
		if row.want == "" {
			assert.ErrorIs(t, err, context.DeadlineExceeded, name)
			continue
		}
		require.NoError(t, err, name)
		assert.Equal(t, row.want, r.Outcome, "%s: %s", name, r.Reason)
	}
}
