//go:build integration && long

package integration

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/swarm-go/swarm"
)

// loss says when a proxy cuts the connection of a request that changes something.
type loss int32

const (
	nothingIsLost loss = iota
	lostBefore         // the engine never hears of the request
	lostAfter          // the engine has done what it was asked, and has said so
)

// losing is a proxy of an engine that loses answers.
type losing struct {
	engine http.Handler
	loss   atomic.Int32
}

func (l *losing) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	now := loss(l.loss.Load())
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		now = nothingIsLost
	}
	switch now {
	case lostBefore:
		panic(http.ErrAbortHandler)
	case lostAfter:
		answer := httptest.NewRecorder()
		l.engine.ServeHTTP(answer, r)
		if answer.Code < http.StatusBadRequest {
			panic(http.ErrAbortHandler)
		}
		w.WriteHeader(answer.Code)
		w.Write(answer.Body.Bytes())
	default:
		l.engine.ServeHTTP(w, r)
	}
}

// lossy is a node behind a proxy, with a client that sends nothing twice.
func (m member) lossy(t *testing.T) (member, *losing) {
	proxy := &losing{engine: &httputil.ReverseProxy{Transport: m.Engine.Client().Transport, Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(&url.URL{Scheme: "http", Host: "engine"})
	}}}
	server := httptest.NewServer(proxy)
	t.Cleanup(server.Close)
	client, err := swarm.New(swarm.WithHost("tcp://"+server.Listener.Addr().String()), swarm.WithRetry(swarm.RetryPolicy{WriteAttempts: 1}))
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, client.Close()) })
	return member{m.Engine, client}, proxy
}

// mutation is a way to change something whose answer can be lost.
type mutation struct {
	name string
	// before and after are the nodes that are asked when it is lost so.
	before, after int
	do            func(ctx context.Context, node member) error
	// done reports whether it has been done, by looking at that node.
	done func(t *testing.T, node member) bool
	// found is what Resolve finds when it has been done; empty: that it was applied.
	found swarm.Outcome
}

// Whatever it is whose answer was lost: what is found out is what there is.
func TestResolveFindsOutWhatEnginesHaveDone(t *testing.T) {
	onNodes(t, func(t *testing.T, nodes []member) {
		s := setTheStage(t, nodes)
		loseAnswers(t, nodes, append(append(s.ofServices(), s.ofObjects()...), s.ofMembers()...))
		loseAnswers(t, nodes, s.ofTheSwarm())
	})
}

// loseAnswers loses the answer to each mutation, first before it was done and then
// after it, and compares what is found out with what the engine has.
func loseAnswers(t *testing.T, nodes []member, mutations []mutation) {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	lossy, proxies := make([]member, len(nodes)), make([]*losing, len(nodes))
	for i, node := range nodes {
		lossy[i], proxies[i] = node.lossy(t)
	}
	lose := func(m *mutation, how loss, at int) *swarm.OutcomeUnknownError {
		proxies[at].loss.Store(int32(how))
		defer proxies[at].loss.Store(int32(nothingIsLost))
		lost, ok := errors.AsType[*swarm.OutcomeUnknownError](m.do(ctx, lossy[at]))
		require.True(t, ok, m.name)
		return lost
	}
	resolve := func(m *mutation, lost *swarm.OutcomeUnknownError, want swarm.Outcome) {
		r, err := lost.Resolve(ctx)
		if assert.NoError(t, err, m.name) {
			assert.Equal(t, want, r.Outcome, "%s: %v: %s", m.name, lost, r.Reason)
		}
	}
	var resolving sync.WaitGroup
	for _, m := range mutations {
		lost := lose(&m, lostBefore, m.before)
		resolving.Go(func() { resolve(&m, lost, swarm.OutcomeNotApplied) })
	}
	resolving.Wait()
	for _, m := range mutations {
		assert.False(t, m.done(t, nodes[m.before]), m.name)
	}
	for _, m := range mutations {
		lost := lose(&m, lostAfter, m.after)
		want := swarm.OutcomeApplied
		if m.found != "" {
			want = m.found
		}
		resolve(&m, lost, want)
		assert.True(t, m.done(t, nodes[m.after]), m.name)
	}
}

// lossStage is what mutations are made to: a manager with two workers, and a manager
// of another swarm that waits for its key.
type lossStage struct {
	manager           member
	workers           [2]string // their IDs
	tokens            swarm.JoinTokens
	key, lockedKey    string
	hasClusterVolumes bool
}

const (
	managerNode = iota
	workerNode
	lockedNode
	leavingNode // a worker, until it leaves
)

var labelled = map[string]string{"a": "1"}

func setTheStage(t *testing.T, nodes []member) *lossStage {
	ctx, manager, locked := t.Context(), nodes[managerNode], nodes[lockedNode]
	formSwarm(t, 1, []member{manager, nodes[workerNode], nodes[leavingNode]})
	s := &lossStage{manager: manager, workers: [2]string{nodes[workerNode].nodeID(t), nodes[leavingNode].nodeID(t)},
		hasClusterVolumes: takesClusterVolumes(manager.Engine)}
	var err error
	s.key, err = manager.client.Swarm.AutoLock(ctx, true)
	require.NoError(t, err)
	s.tokens, err = manager.client.Swarm.JoinTokens(ctx)
	require.NoError(t, err)
	_, err = locked.client.Swarm.Init(ctx, &swarm.InitOptions{AdvertiseAddr: locked.Addr, AutoLockManagers: true})
	require.NoError(t, err)
	s.lockedKey, err = locked.client.Swarm.UnlockKey(ctx)
	require.NoError(t, err)
	require.NoError(t, locked.Restart(ctx))

	for _, name := range []string{"modified", "removed", "rolled-back", "job"} {
		_, err := manager.client.Services.Create(ctx, lossSpec(name), nil)
		require.NoError(t, err)
	}
	update(t, manager.client, "rolled-back", func(s *swarm.ServiceSpec) { s.PutLabel("a", "2") })
	for _, name := range []string{"labelled", "removed"} {
		_, err := manager.client.Configs.Create(ctx, swarm.ConfigSpec{Name: name, Data: []byte("x")})
		require.NoError(t, err)
		_, err = manager.client.Secrets.Create(ctx, swarm.SecretSpec{Name: name, Data: []byte("x")})
		require.NoError(t, err)
	}
	_, err = manager.client.Networks.Create(ctx, swarm.NetworkSpec{Name: "removed"})
	require.NoError(t, err)
	_, err = manager.client.Volumes.Create(ctx, swarm.VolumeSpec{Name: "removed"})
	require.NoError(t, err)
	if s.hasClusterVolumes {
		for _, name := range []string{"paused-of-the-swarm", "removed-of-the-swarm"} {
			_, err = manager.client.Volumes.Create(ctx, clusterVolume(name))
			require.NoError(t, err)
		}
	}
	return s
}

// lossSpec is a service, or a job of that name, whose tasks do nothing.
func lossSpec(name string) swarm.ServiceSpec {
	spec := testSpec(name)
	spec.Mode = swarm.Replicated(0)
	if name == "job" {
		spec.Mode, spec.UpdateConfig = swarm.ReplicatedJob(1, 1), swarm.UpdateConfig{}
		spec.TaskTemplate.Placement = &swarm.Placement{Constraints: []string{"node.labels.nope==1"}}
	}
	return spec
}

func clusterVolume(name string) swarm.VolumeSpec {
	return swarm.VolumeSpec{Name: name, Driver: "csi", ClusterVolumeSpec: &swarm.ClusterVolumeSpec{
		AccessMode: &swarm.VolumeAccessMode{MountVolume: &swarm.VolumeMountAccess{}}}}
}

// exists reports whether there is an object of that name.
func exists[T any](t *testing.T, inspect func(context.Context, string) (*T, error), name string) bool {
	_, err := inspect(t.Context(), name)
	if !errors.Is(err, swarm.ErrNotFound) {
		assert.NoError(t, err, name)
	}
	return err == nil
}

// see reads an object.
func see[T any](t *testing.T, inspect func(context.Context, string) (*T, error), name string) *T {
	object, err := inspect(t.Context(), name)
	require.NoError(t, err, name)
	return object
}

func (s *lossStage) ofServices() []mutation {
	return []mutation{
		{name: "create service", do: func(ctx context.Context, n member) error {
			_, err := n.client.Services.Create(ctx, lossSpec("created"), nil)
			return err
		}, done: func(t *testing.T, n member) bool { return exists(t, n.client.Services.Inspect, "created") }},
		{name: "modify service", do: func(ctx context.Context, n member) error {
			_, err := n.client.Services.Modify(ctx, "modified", func(s *swarm.Service) error { s.Spec.PutLabel("a", "1"); return nil }, nil)
			return err
		}, done: func(t *testing.T, n member) bool {
			return see(t, n.client.Services.Inspect, "modified").Spec.Labels["a"] == "1"
		}},
		{name: "run job again", do: func(ctx context.Context, n member) error {
			_, err := n.client.Services.Redeploy(ctx, "job", nil)
			return err
		}, done: func(t *testing.T, n member) bool {
			return see(t, n.client.Services.Inspect, "job").JobStatus.JobIteration.Index == 1
		}},
		{name: "roll back service", do: func(ctx context.Context, n member) error {
			_, err := n.client.Services.Rollback(ctx, "rolled-back", nil)
			return err
		}, done: func(t *testing.T, n member) bool {
			return see(t, n.client.Services.Inspect, "rolled-back").Spec.Labels["a"] == ""
		}},
		{name: "remove service", do: func(ctx context.Context, n member) error { return n.client.Services.Remove(ctx, "removed") },
			done: func(t *testing.T, n member) bool { return !exists(t, n.client.Services.Inspect, "removed") }},
	}
}

func (s *lossStage) ofObjects() []mutation {
	inspectNetwork := func(n member) func(context.Context, string) (*swarm.Network, error) {
		return func(ctx context.Context, name string) (*swarm.Network, error) {
			return n.client.Networks.Inspect(ctx, name, nil)
		}
	}
	mutations := []mutation{
		{name: "create config", do: func(ctx context.Context, n member) error {
			_, err := n.client.Configs.Create(ctx, swarm.ConfigSpec{Name: "created", Data: []byte("x"), Labels: labelled})
			return err
		}, done: func(t *testing.T, n member) bool { return exists(t, n.client.Configs.Inspect, "created") }},
		{name: "set labels of config", do: func(ctx context.Context, n member) error {
			return n.client.Configs.SetLabels(ctx, "labelled", labelled)
		},
			done: func(t *testing.T, n member) bool {
				return see(t, n.client.Configs.Inspect, "labelled").Spec.Labels["a"] == "1"
			}},
		{name: "remove config", do: func(ctx context.Context, n member) error { return n.client.Configs.Remove(ctx, "removed") },
			done: func(t *testing.T, n member) bool { return !exists(t, n.client.Configs.Inspect, "removed") }},
		{name: "create secret", do: func(ctx context.Context, n member) error {
			_, err := n.client.Secrets.Create(ctx, swarm.SecretSpec{Name: "created", Data: []byte("x"), Labels: labelled})
			return err
		}, done: func(t *testing.T, n member) bool { return exists(t, n.client.Secrets.Inspect, "created") }, found: swarm.OutcomeUnknowable},
		{name: "set labels of secret", do: func(ctx context.Context, n member) error {
			return n.client.Secrets.SetLabels(ctx, "labelled", labelled)
		},
			done: func(t *testing.T, n member) bool {
				return see(t, n.client.Secrets.Inspect, "labelled").Spec.Labels["a"] == "1"
			}},
		{name: "remove secret", do: func(ctx context.Context, n member) error { return n.client.Secrets.Remove(ctx, "removed") },
			done: func(t *testing.T, n member) bool { return !exists(t, n.client.Secrets.Inspect, "removed") }},
		{name: "create network", do: func(ctx context.Context, n member) error {
			_, err := n.client.Networks.Create(ctx, swarm.NetworkSpec{Name: "created", Attachable: true, Labels: labelled, Options: map[string]string{"encrypted": "true"},
				IPAM: swarm.IPAM{Config: []swarm.IPAMConfig{{Subnet: "10.77.0.0/24"}}}})
			return err
		}, done: func(t *testing.T, n member) bool { return exists(t, inspectNetwork(n), "created") }},
		{name: "create network with defaults", do: func(ctx context.Context, n member) error {
			_, err := n.client.Networks.Create(ctx, swarm.NetworkSpec{Name: "plain"})
			return err
		}, done: func(t *testing.T, n member) bool { return exists(t, inspectNetwork(n), "plain") }},
		{name: "create network of the engine", do: func(ctx context.Context, n member) error {
			_, err := n.client.Networks.Create(ctx, swarm.NetworkSpec{Name: "local", Driver: "bridge"})
			return err
		}, done: func(t *testing.T, n member) bool { return exists(t, inspectNetwork(n), "local") }},
		{name: "remove network", do: func(ctx context.Context, n member) error { return n.client.Networks.Remove(ctx, "removed") },
			done: func(t *testing.T, n member) bool { return !exists(t, inspectNetwork(n), "removed") }},
		{name: "create volume", do: func(ctx context.Context, n member) error {
			_, err := n.client.Volumes.Create(ctx, swarm.VolumeSpec{Name: "created"})
			return err
		}, done: func(t *testing.T, n member) bool { return exists(t, n.client.Volumes.Inspect, "created") }},
		{name: "remove volume", do: func(ctx context.Context, n member) error { return n.client.Volumes.Remove(ctx, "removed", nil) },
			done: func(t *testing.T, n member) bool { return !exists(t, n.client.Volumes.Inspect, "removed") }},
	}
	if s.hasClusterVolumes {
		mutations = append(mutations, s.ofClusterVolumes()...)
	}
	return mutations
}

func (s *lossStage) ofClusterVolumes() []mutation {
	return []mutation{
		{name: "create volume of the swarm", do: func(ctx context.Context, n member) error {
			_, err := n.client.Volumes.Create(ctx, clusterVolume("created-of-the-swarm"))
			return err
		}, done: func(t *testing.T, n member) bool { return exists(t, n.client.Volumes.Inspect, "created-of-the-swarm") }},
		{name: "pause volume", do: func(ctx context.Context, n member) error {
			return n.client.Volumes.Modify(ctx, "paused-of-the-swarm", func(v *swarm.Volume) error {
				v.ClusterVolume.Spec.Availability = swarm.VolumePause
				return nil
			})
		}, done: func(t *testing.T, n member) bool {
			return see(t, n.client.Volumes.Inspect, "paused-of-the-swarm").ClusterVolume.Spec.Availability == swarm.VolumePause
		}},
		{name: "remove volume of the swarm", do: func(ctx context.Context, n member) error {
			return n.client.Volumes.Remove(ctx, "removed-of-the-swarm", &swarm.VolumeRemoveOptions{Force: true})
		}, done: func(t *testing.T, n member) bool {
			return !exists(t, n.client.Volumes.Inspect, "removed-of-the-swarm")
		}},
	}
}

// isActive reports whether an engine is in a swarm that it can speak for, or is a
// worker of one.
func isActive(t *testing.T, n member) bool {
	local, err := n.client.Swarm.LocalState(t.Context())
	require.NoError(t, err)
	return local.LocalNodeState == swarm.LocalActive
}

func isInNoSwarm(t *testing.T, n member) bool {
	local, err := n.client.Swarm.LocalState(t.Context())
	require.NoError(t, err)
	return local.LocalNodeState == swarm.LocalInactive
}

// cluster is the swarm as it is.
func (n member) cluster(t *testing.T) *swarm.Cluster {
	cluster, err := n.client.Swarm.Inspect(t.Context())
	require.NoError(t, err)
	return cluster
}

// ofMembers ends with the last worker out of the swarm.
func (s *lossStage) ofMembers() []mutation {
	return []mutation{
		{name: "modify node", do: func(ctx context.Context, n member) error {
			return n.client.Nodes.Modify(ctx, s.workers[0], func(node *swarm.Node) error { node.Spec.Labels = labelled; return nil })
		}, done: func(t *testing.T, n member) bool { return n.node(t, s.workers[0]).Spec.Labels["a"] == "1" }},
		{name: "pause node", do: func(ctx context.Context, n member) error { return n.client.Nodes.Pause(ctx, s.workers[0]) },
			done: func(t *testing.T, n member) bool {
				return n.node(t, s.workers[0]).Spec.Availability == swarm.NodePause
			}},
		{name: "unlock swarm", before: lockedNode, after: lockedNode,
			do:   func(ctx context.Context, n member) error { return n.client.Swarm.Unlock(ctx, s.lockedKey) },
			done: isActive},
		{name: "leave swarm as a worker", before: leavingNode, after: leavingNode,
			do:   func(ctx context.Context, n member) error { return n.client.Swarm.Leave(ctx, nil) },
			done: isInNoSwarm},
		{name: "remove node", do: func(ctx context.Context, n member) error {
			return n.client.Nodes.Remove(ctx, s.workers[1], &swarm.NodeRemoveOptions{Force: true})
		}, done: func(t *testing.T, n member) bool { return !exists(t, n.client.Nodes.Inspect, s.workers[1]) }},
		{name: "modify swarm", do: func(ctx context.Context, n member) error {
			return n.client.Swarm.Modify(ctx, func(c *swarm.Cluster) error { c.Spec.Labels = labelled; return nil })
		}, done: func(t *testing.T, n member) bool { return n.cluster(t).Spec.Labels["a"] == "1" }},
		{name: "rotate join token", do: func(ctx context.Context, n member) error {
			_, err := n.client.Swarm.RotateJoinTokens(ctx, swarm.RoleWorker)
			return err
		}, done: func(t *testing.T, n member) bool {
			tokens := n.cluster(t).JoinTokens
			assert.Equal(t, s.tokens.Manager, tokens.Manager)
			return tokens.Worker != s.tokens.Worker
		}},
		{name: "rotate unlock key", do: func(ctx context.Context, n member) error { _, err := n.client.Swarm.RotateUnlockKey(ctx); return err },
			done: func(t *testing.T, n member) bool {
				key, err := n.client.Swarm.UnlockKey(t.Context())
				require.NoError(t, err)
				return key != s.key
			}, found: swarm.OutcomeUnknowable},
		{name: "turn autolock off", do: func(ctx context.Context, n member) error { _, err := n.client.Swarm.AutoLock(ctx, false); return err },
			done: func(t *testing.T, n member) bool { return !n.cluster(t).Spec.EncryptionConfig.AutoLockManagers }},
	}
}

// ofTheSwarm begins with an engine in no swarm.
func (s *lossStage) ofTheSwarm() []mutation {
	return []mutation{
		{name: "init swarm", before: leavingNode, after: leavingNode, do: func(ctx context.Context, n member) error {
			_, err := n.client.Swarm.Init(ctx, &swarm.InitOptions{AdvertiseAddr: n.Addr})
			return err
		}, done: isActive},
		{name: "leave swarm as a manager", before: lockedNode, after: leavingNode,
			do: func(ctx context.Context, n member) error {
				return n.client.Swarm.Leave(ctx, &swarm.LeaveOptions{Force: true})
			},
			done: isInNoSwarm},
		{name: "join swarm", before: leavingNode, after: leavingNode, do: func(ctx context.Context, n member) error {
			tokens, err := s.manager.client.Swarm.JoinTokens(ctx)
			if err != nil {
				return err
			}
			return n.client.Swarm.Join(ctx, tokens.Worker, []string{s.manager.Addr}, &swarm.JoinOptions{AdvertiseAddr: n.Addr})
		}, done: isActive},
		{name: "promote node", do: func(ctx context.Context, n member) error { return n.client.Nodes.Promote(ctx, s.workers[0]) },
			done: func(t *testing.T, n member) bool { return n.node(t, s.workers[0]).Spec.Role == swarm.RoleManager }},
		{name: "rotate CA", do: func(ctx context.Context, n member) error { return n.client.Swarm.RotateCA(ctx, nil) },
			done: func(t *testing.T, n member) bool { return n.cluster(t).Spec.CAConfig.ForceRotate == 1 }},
	}
}
