//go:build integration

package integration

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/swarm-go/swarm"
	"github.com/swarm-go/swarm/integration/engines"
)

// ownNode is the engine's node. The end of the test makes it active and takes
// its labels away.
func ownNode(t *testing.T, client *swarm.Client) *swarm.Node {
	t.Helper()
	node, err := client.Nodes.Inspect(t.Context(), "self")
	require.NoError(t, err)
	t.Cleanup(func() {
		assert.NoError(t, client.Nodes.Modify(context.WithoutCancel(t.Context()), node.ID, func(n *swarm.Node) error {
			n.Spec.Labels, n.Spec.Availability = node.Spec.Labels, swarm.NodeActive
			return nil
		}))
	})
	return node
}

func TestNodesAreReadInEveryWay(t *testing.T) {
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		client, ctx := newClient(t, e), t.Context()
		node := ownNode(t, client)
		assert.Equal(t, swarm.RoleManager, node.Spec.Role)
		assert.Equal(t, swarm.NodeActive, node.Spec.Availability)
		assert.Equal(t, swarm.NodeReady, node.Status.State)
		assert.NotEmpty(t, node.Status.Addr)
		assert.Equal(t, "linux", node.Description.Platform.OS)
		assert.Equal(t, e.Version, node.Description.Engine.EngineVersion)
		assert.NotEmpty(t, node.Description.Engine.Plugins)
		assert.Positive(t, node.Description.Resources.NanoCPUs)
		assert.Positive(t, node.Description.Resources.MemoryBytes)
		require.NotNil(t, node.ManagerStatus)
		assert.True(t, node.ManagerStatus.Leader)
		assert.Equal(t, swarm.ManagerReachable, node.ManagerStatus.Reachability)

		cluster, err := client.Swarm.Inspect(ctx)
		require.NoError(t, err)
		assert.Equal(t, swarm.TLSReady, node.TLSStatus(cluster.TLSInfo))

		for _, ref := range []string{node.ID, node.Description.Hostname, node.ID[:10]} {
			same, err := client.Nodes.Inspect(ctx, ref)
			require.NoError(t, err, ref)
			assert.Equal(t, node.ID, same.ID)
		}
	})
}

func TestNodesAreListedByWhatIsAskedFor(t *testing.T) {
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		client := newClient(t, e)
		node := ownNode(t, client)
		require.NoError(t, client.Nodes.Modify(t.Context(), node.ID, func(n *swarm.Node) error {
			n.Spec.Labels = map[string]string{"disk": "fast", "empty": ""}
			return nil
		}))
		hostname := node.Description.Hostname
		for found, all := range map[bool][]swarm.NodeListOptions{
			true: {
				{}, {IDs: []string{node.ID}}, {IDPrefixes: []string{node.ID[:8]}}, {IDs: []string{"other", node.ID}},
				{Names: []string{hostname}}, {NamePrefixes: []string{hostname[:1]}}, {Names: []string{hostname}, IDs: []string{node.ID}},
				{Labels: map[string]string{"disk": "fast"}}, {Labels: map[string]string{"disk": "", "empty": ""}},
				{Roles: []swarm.NodeRole{swarm.RoleManager}}, {Roles: []swarm.NodeRole{swarm.RoleManager, swarm.RoleWorker}},
				{Memberships: []swarm.NodeMembership{swarm.MembershipAccepted, swarm.MembershipPending}},
			},
			false: {
				{IDs: []string{node.ID[:8]}}, {IDPrefixes: []string{"!"}}, {Names: []string{hostname[:1]}}, {NamePrefixes: []string{hostname + "x"}},
				{Names: []string{hostname}, IDs: []string{"other"}}, {IDs: []string{node.ID}, Names: []string{"other"}},
				{Labels: map[string]string{"disk": "slow"}}, {Labels: map[string]string{"disk": "fast", "other": ""}}, {EngineLabels: map[string]string{"disk": ""}},
				{Roles: []swarm.NodeRole{swarm.RoleWorker}},
			},
		} {
			for _, opts := range all {
				nodes, err := client.Nodes.List(t.Context(), &opts)
				require.NoError(t, err, "%+v", opts)
				if assert.Equal(t, found, len(nodes) == 1, "%+v", opts) && found {
					assert.Equal(t, node.ID, nodes[0].ID)
				}
			}
		}
	})
}

func TestLabelsOfANodePlaceTasksAndRestartNone(t *testing.T) {
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		client := newClient(t, e)
		node := ownNode(t, client)
		other := testSpec(serviceName(t, "other"))
		create(t, client, other)
		before := runningTasks(t, client, other.Name, 1)
		placed := testSpec(serviceName(t, "placed"))
		placed.TaskTemplate.Placement = &swarm.Placement{Constraints: []string{"node.labels.place==here"}}
		create(t, client, placed)
		require.NoError(t, client.Nodes.Modify(t.Context(), node.Description.Hostname, func(n *swarm.Node) error {
			n.Spec.Labels = map[string]string{"place": "here"}
			return nil
		}))
		runningTasks(t, client, placed.Name, 1)
		assert.Equal(t, before, runningTasks(t, client, other.Name, 1))
		labelled, err := client.Nodes.Inspect(t.Context(), node.ID)
		require.NoError(t, err)
		assert.Equal(t, map[string]string{"place": "here"}, labelled.Spec.Labels)
		assert.Equal(t, node.Spec.Role, labelled.Spec.Role)
		assert.Equal(t, node.Spec.Availability, labelled.Spec.Availability)
	})
}

// All writers get their label in, however many versions are lost on the way.
func TestNodeIsModifiedByManyAtOnce(t *testing.T) {
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		client := newClient(t, e)
		node := ownNode(t, client)
		want := map[string]string{}
		var writers sync.WaitGroup
		for i := range 8 {
			label := fmt.Sprint("writer", i)
			want[label] = ""
			writers.Go(func() {
				assert.NoError(t, client.Nodes.Modify(t.Context(), node.ID, func(n *swarm.Node) error {
					labels := maps.Clone(n.Spec.Labels)
					if labels == nil {
						labels = map[string]string{}
					}
					labels[label], n.Spec.Labels = "", labels
					return nil
				}))
			})
		}
		writers.Wait()
		labelled, err := client.Nodes.Inspect(t.Context(), node.ID)
		require.NoError(t, err)
		assert.Equal(t, want, labelled.Spec.Labels)
	})
}

func TestNodeIsNotFoundByTheNameInItsSpec(t *testing.T) {
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		client, ctx := newClient(t, e), t.Context()
		node := ownNode(t, client)
		naming := func(name string) error {
			return client.Nodes.Modify(context.WithoutCancel(ctx), node.ID, func(n *swarm.Node) error { n.Spec.Name = name; return nil })
		}
		require.NoError(t, naming("nickname"))
		t.Cleanup(func() { assert.NoError(t, naming("")) })
		named, err := client.Nodes.Inspect(ctx, node.ID)
		require.NoError(t, err)
		assert.Equal(t, "nickname", named.Spec.Name)
		_, err = client.Nodes.Inspect(ctx, "nickname")
		assert.ErrorIs(t, err, swarm.ErrNotFound)
		_, err = client.Nodes.Inspect(ctx, node.Description.Hostname)
		assert.NoError(t, err)
	})
}

func TestDrainedNodeHasNoTasksAndTakesThemAgain(t *testing.T) {
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		client, ctx := newClient(t, e), t.Context()
		node := ownNode(t, client)
		spec := testSpec(serviceName(t, ""), "-linger", "2s")
		spec.Mode = swarm.Replicated(2)
		create(t, client, spec)
		global := testSpec(serviceName(t, "global"))
		global.Mode = swarm.Global()
		create(t, client, global)
		before := runningTasks(t, client, spec.Name, 2)
		runningTasks(t, client, global.Name, 1)

		require.NoError(t, client.Nodes.Drain(ctx, node.ID, &swarm.NodeDrainOptions{Wait: true}))
		tasks, err := client.Tasks.List(ctx, &swarm.TaskListOptions{Nodes: []string{node.ID}})
		require.NoError(t, err)
		assert.Empty(t, idsIn(tasks, swarm.TaskRunning))
		drained, err := client.Nodes.Inspect(ctx, node.ID)
		require.NoError(t, err)
		assert.Equal(t, swarm.NodeDrain, drained.Spec.Availability)
		require.NoError(t, client.Nodes.Drain(ctx, node.ID, &swarm.NodeDrainOptions{Wait: true}), "again")

		require.NoError(t, client.Nodes.Activate(ctx, node.ID, &swarm.NodeActivateOptions{Wait: true}))
		after := runningTasks(t, client, spec.Name, 2)
		assert.NotContains(t, after, before[0])
		runningTasks(t, client, global.Name, 1)
	})
}

func TestPausedNodeKeepsItsTasksAndTakesNoOthers(t *testing.T) {
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		client, ctx := newClient(t, e), t.Context()
		node := ownNode(t, client)
		old, late := testSpec(serviceName(t, "old")), testSpec(serviceName(t, "late"))
		create(t, client, old)
		before := runningTasks(t, client, old.Name, 1)
		require.NoError(t, client.Nodes.Pause(ctx, node.Description.Hostname))
		create(t, client, late)
		require.Eventually(t, func() bool {
			tasks, err := client.Services.Tasks(ctx, late.Name)
			require.NoError(t, err)
			return len(tasks) == 1 && strings.Contains(tasks[0].Status.Err, "no suitable node")
		}, 30*time.Second, 100*time.Millisecond)
		assert.Equal(t, before, runningTasks(t, client, old.Name, 1))
		require.NoError(t, client.Nodes.Activate(ctx, node.Description.Hostname, nil))
		runningTasks(t, client, late.Name, 1)
	})
}

func TestWhatANodeIsAlreadyIsNotSent(t *testing.T) {
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		var posts atomic.Int32
		client, ctx := newClient(t, e, swarm.WithObserver(func(o swarm.Observation) {
			if o.Method == http.MethodPost {
				posts.Add(1)
			}
		})), t.Context()
		node := ownNode(t, client)
		require.NoError(t, client.Nodes.Promote(ctx, node.ID))
		require.NoError(t, client.Nodes.Activate(ctx, node.ID, &swarm.NodeActivateOptions{Wait: true}))
		require.NoError(t, client.Nodes.Modify(ctx, node.ID, func(*swarm.Node) error { return nil }))
		require.NoError(t, client.Nodes.Update(ctx, node))
		assert.Zero(t, posts.Load())
	})
}

func TestNodeErrorsAreTyped(t *testing.T) {
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		client, ctx := newClient(t, e), t.Context()
		node := ownNode(t, client)
		nodes := client.Nodes
		updating := func(edit func(*swarm.Node)) error {
			changed := *node
			edit(&changed)
			return nodes.Update(ctx, &changed)
		}
		inspecting := func(ref string) error { _, err := nodes.Inspect(ctx, ref); return err }
		for what, test := range map[string]struct{ got, want error }{
			"missing":              {inspecting("nope"), swarm.ErrNotFound},
			"slash":                {inspecting("a/b"), swarm.ErrInvalid},
			"change by prefix":     {nodes.Pause(ctx, node.ID[:10]), swarm.ErrNotFound},
			"remove by prefix":     {nodes.Remove(ctx, node.ID[:10], nil), swarm.ErrNotFound},
			"remove missing":       {nodes.Remove(ctx, "nope", nil), swarm.ErrNotFound},
			"last manager":         {nodes.Demote(ctx, node.ID), swarm.ErrInvalid},
			"remove manager":       {nodes.Remove(ctx, node.ID, nil), swarm.ErrInvalid},
			"force removal":        {nodes.Remove(ctx, node.ID, &swarm.NodeRemoveOptions{Force: true}), swarm.ErrInvalid},
			"unknown availability": {updating(func(n *swarm.Node) { n.Spec.Availability = "asleep" }), swarm.ErrInvalid},
			"unknown role":         {updating(func(n *swarm.Node) { n.Spec.Role = "boss" }), swarm.ErrInvalid},
			"no role":              {updating(func(n *swarm.Node) { n.Spec.Role = "" }), swarm.ErrInvalid},
			"stale version": {updating(func(n *swarm.Node) {
				n.Version.Index, n.Spec.Labels = 1, map[string]string{"x": "y"}
			}), swarm.ErrVersionConflict},
			"gone": {updating(func(n *swarm.Node) {
				n.ID, n.Spec.Labels = "0000000000000000000000000", map[string]string{"x": "y"}
			}), swarm.ErrNotFound},
		} {
			assert.ErrorIs(t, test.got, test.want, what)
		}
	})
}

func TestNodesSecretsAndConfigsNeedASwarm(t *testing.T) {
	onEveryOwnEngine(t, func(t *testing.T, e *engines.Engine) {
		client, ctx := newClient(t, e), t.Context()
		_, err := client.Nodes.Inspect(ctx, "self")
		assert.ErrorIs(t, err, swarm.ErrNoSwarm)
		_, err = client.Nodes.List(ctx, nil)
		assert.ErrorIs(t, err, swarm.ErrNoSwarm)
		assert.ErrorIs(t, client.Nodes.Drain(ctx, "x", nil), swarm.ErrNoSwarm)
		_, err = client.Secrets.List(ctx, nil)
		assert.ErrorIs(t, err, swarm.ErrNoSwarm)
		_, err = client.Secrets.Create(ctx, swarm.SecretSpec{Name: "x", Data: []byte("x")})
		assert.ErrorIs(t, err, swarm.ErrNoSwarm)
		_, err = client.Configs.List(ctx, nil)
		assert.ErrorIs(t, err, swarm.ErrNoSwarm)
		_, err = client.Configs.Create(ctx, swarm.ConfigSpec{Name: "x", Data: []byte("x")})
		assert.ErrorIs(t, err, swarm.ErrNoSwarm)

		require.NoError(t, e.InitSwarm(ctx))
		secrets, err := client.Secrets.List(ctx, nil)
		require.NoError(t, err)
		assert.NotNil(t, secrets)
		assert.Empty(t, secrets)
		configs, err := client.Configs.List(ctx, nil)
		require.NoError(t, err)
		assert.Empty(t, configs)
		assertMembership(t, client)
	})
}

// assertMembership shows what engines make of a node's membership: it is lost
// with the first change of the node.
func assertMembership(t *testing.T, client *swarm.Client) {
	t.Helper()
	count := func(membership swarm.NodeMembership) int {
		nodes, err := client.Nodes.List(t.Context(), &swarm.NodeListOptions{Memberships: []swarm.NodeMembership{membership}})
		require.NoError(t, err)
		return len(nodes)
	}
	assert.Equal(t, []int{1, 0}, []int{count(swarm.MembershipAccepted), count(swarm.MembershipPending)})
	node, err := client.Nodes.Inspect(t.Context(), "self")
	require.NoError(t, err)
	require.NoError(t, client.Nodes.Pause(t.Context(), node.ID))
	assert.Equal(t, []int{0, 1}, []int{count(swarm.MembershipAccepted), count(swarm.MembershipPending)})
}
