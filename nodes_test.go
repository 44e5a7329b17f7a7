package swarm_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/swarm-go/swarm"
)

const nodeObject = `{"ID":"nodeid1","Version":{"Index":7},"Spec":{"Labels":{"a":"b"},"Role":"worker","Availability":"active","New":{"x":[null]}},"Description":{"Hostname":"host1"},"Status":{"State":"ready"}}`

func oneNode() map[string]string {
	return map[string]string{"/nodes/nodeid1": nodeObject, "/nodes/host1": nodeObject}
}

// nodesWith serves one node under its ID and its hostname.
func nodesWith(t *testing.T, object string) *objectEngine {
	return newObjectEngine(t, map[string]string{"/nodes/nodeid1": object, "/nodes/host1": object})
}

func TestNodesAreChangedByTheirVerbs(t *testing.T) {
	spec := func(role, availability string) string {
		return fmt.Sprintf(`{"Labels":{"a":"b"},"Role":%q,"Availability":%q,"New":{"x":[null]}}`, role, availability)
	}
	for name, test := range map[string]struct {
		change func(*swarm.NodeClient) error
		before string // the role and availability that leave nothing to do
		sent   string
	}{
		"promote":  {func(n *swarm.NodeClient) error { return n.Promote(t.Context(), "host1") }, spec("manager", "active"), spec("manager", "active")},
		"demote":   {func(n *swarm.NodeClient) error { return n.Demote(t.Context(), "host1") }, spec("worker", "active"), ""},
		"drain":    {func(n *swarm.NodeClient) error { return n.Drain(t.Context(), "host1", nil) }, spec("worker", "drain"), spec("worker", "drain")},
		"pause":    {func(n *swarm.NodeClient) error { return n.Pause(t.Context(), "nodeid1") }, spec("worker", "pause"), spec("worker", "pause")},
		"activate": {func(n *swarm.NodeClient) error { return n.Activate(t.Context(), "nodeid1", nil) }, spec("worker", "active"), ""},
		"label": {func(n *swarm.NodeClient) error {
			return n.Modify(t.Context(), "host1", func(n *swarm.Node) error { n.Spec.Labels = map[string]string{"c": "d"}; return nil })
		}, `{"Labels":{"c":"d"}}`, `{"Labels":{"c":"d"},"Role":"worker","Availability":"active","New":{"x":[null]}}`},
	} {
		engine := nodesWith(t, nodeObject)
		require.NoError(t, test.change(engine.client(t).Nodes), name)
		if test.sent == "" {
			assert.Empty(t, engine.sent("POST"), name)
		} else {
			assert.Equal(t, []string{"POST /nodes/nodeid1/update?version=7"}, engine.sent("POST"), name)
			assert.JSONEq(t, test.sent, engine.bodies[0], name)
		}
		engine = nodesWith(t, `{"ID":"nodeid1","Spec":`+test.before+`,"Description":{"Hostname":"host1"}}`)
		require.NoError(t, test.change(engine.client(t).Nodes), name)
		assert.Empty(t, engine.sent("POST"), "%s: nothing was to do", name)
	}
}

func TestChangingANodeTakesAFullIDOrAnExactHostname(t *testing.T) {
	engine := newObjectEngine(t, oneNode())
	engine.objects["/nodes/nodeid"] = nodeObject // the engine takes a prefix
	nodes, ctx := engine.client(t).Nodes, t.Context()
	_, err := nodes.Inspect(ctx, "nodeid")
	require.NoError(t, err)
	for _, ref := range []string{"nodeid", "missing", "self"} {
		for _, err := range []error{
			nodes.Promote(ctx, ref), nodes.Demote(ctx, ref), nodes.Pause(ctx, ref), nodes.Drain(ctx, ref, &swarm.NodeDrainOptions{Wait: true}),
			nodes.Activate(ctx, ref, &swarm.NodeActivateOptions{Wait: true}), nodes.Remove(ctx, ref, nil), nodes.Modify(ctx, ref, nil),
		} {
			assert.ErrorIs(t, err, swarm.ErrNotFound)
		}
	}
	assert.Empty(t, append(engine.sent("DELETE"), engine.sent("POST")...))
	require.NoError(t, nodes.Remove(ctx, "host1", nil))
	require.ErrorIs(t, nodes.Remove(ctx, "nodeid1", nil), swarm.ErrNotFound)
	engine.objects["/nodes/nodeid1"] = nodeObject
	require.NoError(t, nodes.Remove(ctx, "nodeid1", &swarm.NodeRemoveOptions{Force: true}))
	assert.Equal(t, []string{"DELETE /nodes/nodeid1", "DELETE /nodes/nodeid1?force=true"}, engine.sent("DELETE"))
}

func TestHostnameOfSeveralNodesIsAmbiguous(t *testing.T) {
	engine := newObjectEngine(t, nil)
	engine.hook = func(w http.ResponseWriter, _ *http.Request, _ string) bool {
		sayNo(w, http.StatusBadRequest, "node host1 is ambiguous (2 matches found)")
		return true
	}
	assert.ErrorIs(t, engine.client(t).Nodes.Pause(t.Context(), "host1"), swarm.ErrAmbiguousRef)
}

func TestSelfIsTheNodeOfTheEngine(t *testing.T) {
	engine := newObjectEngine(t, oneNode())
	info := `{"Swarm":{"NodeID":"nodeid1","LocalNodeState":"active"}}`
	engine.hook = func(w http.ResponseWriter, r *http.Request, path string) bool {
		if path == "/info" {
			fmt.Fprint(w, info)
		}
		return path == "/info"
	}
	node, err := engine.client(t).Nodes.Inspect(t.Context(), "self")
	require.NoError(t, err)
	assert.Equal(t, "nodeid1", node.ID)
	assert.Equal(t, []string{"GET /info", "GET /nodes/nodeid1"}, engine.requests)

	info = `{"Swarm":{"NodeID":"","LocalNodeState":"locked"}}`
	engine.hook = func(w http.ResponseWriter, r *http.Request, path string) bool {
		if path == "/info" {
			fmt.Fprint(w, info)
		} else {
			sayNo(w, http.StatusServiceUnavailable, "Swarm is encrypted and needs to be unlocked before it can be used.")
		}
		return true
	}
	_, err = engine.client(t).Nodes.Inspect(t.Context(), "self")
	assert.ErrorIs(t, err, swarm.ErrLocked)
}

func TestNodesAreListedByWhatIsAskedFor(t *testing.T) {
	object := func(id, host string) string { return fmt.Sprintf(`{"ID":%q,"Description":{"Hostname":%q}}`, id, host) }
	engine := newObjectEngine(t, map[string]string{"/nodes/a1": object("a1", "m"), "/nodes/a2": object("a2", "m2"), "/nodes/b1": object("b1", "w")})
	client := engine.client(t)
	for query, test := range map[string]struct {
		opts *swarm.NodeListOptions
		want []string
	}{
		"":                          {nil, []string{"m", "m2", "w"}},
		`{"id":{"a1":true}}`:        {&swarm.NodeListOptions{IDs: []string{"a1"}}, []string{"m"}},
		`{"id":{"a":true}}`:         {&swarm.NodeListOptions{IDPrefixes: []string{"a"}}, []string{"m", "m2"}},
		`{"name":{"m":true}}`:       {&swarm.NodeListOptions{Names: []string{"m"}}, []string{"m"}},
		`{"name":{"m2":true}}`:      {&swarm.NodeListOptions{NamePrefixes: []string{"m2"}}, []string{"m2"}},
		`{"node.label":{"k":true}}`: {&swarm.NodeListOptions{Labels: map[string]string{"k": ""}}, []string{"m", "m2", "w"}},
		`{"label":{"k=v":true}}`:    {&swarm.NodeListOptions{EngineLabels: map[string]string{"k": "v"}}, []string{"m", "m2", "w"}},
		`{"role":{"manager":true,"worker":true}}`: {&swarm.NodeListOptions{Roles: []swarm.NodeRole{swarm.RoleManager, swarm.RoleWorker}},
			[]string{"m", "m2", "w"}},
		`{"membership":{"accepted":true}}`: {&swarm.NodeListOptions{Memberships: []swarm.NodeMembership{swarm.MembershipAccepted}}, []string{"m", "m2", "w"}},
	} {
		nodes, err := client.Nodes.List(t.Context(), test.opts)
		require.NoError(t, err)
		var names []string
		for _, node := range nodes {
			names = append(names, node.Description.Hostname)
		}
		assert.Equal(t, test.want, names, query)
		assert.Equal(t, query, engine.lastFilters(t))
	}
	asked := len(engine.requests)
	for _, opts := range []swarm.NodeListOptions{{Roles: []swarm.NodeRole{"boss"}}, {Memberships: []swarm.NodeMembership{"guest"}}} {
		_, err := client.Nodes.List(t.Context(), &opts)
		assert.ErrorIs(t, err, swarm.ErrInvalid)
	}
	_, err := engine.client(t, swarm.WithAPIVersion("1.39")).Nodes.List(t.Context(), &swarm.NodeListOptions{Labels: map[string]string{"k": ""}})
	assert.ErrorIs(t, err, swarm.ErrUnsupported)
	assert.Len(t, engine.requests, asked)
}

func TestUpdateWritesTheVersionThatWasRead(t *testing.T) {
	engine := newObjectEngine(t, oneNode())
	nodes, ctx := engine.client(t).Nodes, t.Context()
	node, err := nodes.Inspect(ctx, "host1")
	require.NoError(t, err)
	require.NoError(t, nodes.Update(ctx, node))
	assert.Empty(t, engine.sent("POST"))
	node.Spec.Availability = swarm.NodePause
	require.NoError(t, nodes.Update(ctx, node))
	assert.JSONEq(t, `{"Labels":{"a":"b"},"Role":"worker","Availability":"pause","New":{"x":[null]}}`, engine.bodies[0])
	assert.ErrorIs(t, nodes.Update(ctx, node), swarm.ErrVersionConflict)
	for _, node := range []*swarm.Node{nil, {}, {ID: "x"}, {ID: "x", Raw: []byte("{")}} {
		assert.ErrorIs(t, nodes.Update(ctx, node), swarm.ErrInvalid)
	}
}

func TestModifyOfANodeTriesAgainWhenAnotherWriterWon(t *testing.T) {
	engine := newObjectEngine(t, oneNode())
	others, calls := 2, 0
	engine.hook = func(_ http.ResponseWriter, r *http.Request, path string) bool {
		if r.Method == http.MethodPost && others > 0 {
			others--
			engine.mu.Lock()
			defer engine.mu.Unlock()
			engine.objects["/nodes/nodeid1"] = updated(engine.objects["/nodes/nodeid1"], r.URL.Query().Get("version"),
				[]byte(`{"Labels":{"other":"`+strings.Repeat("x", others)+`"},"Role":"worker"}`), nil)
		}
		return false
	}
	err := engine.client(t).Nodes.Modify(t.Context(), "host1", func(n *swarm.Node) error {
		calls++
		n.Spec.Labels["mine"] = "y"
		return nil
	})
	require.NoError(t, err)
	assert.Equal(t, 3, calls)
	assert.JSONEq(t, `{"Labels":{"other":"","mine":"y"},"Role":"worker"}`, engine.bodies[2])

	stop := errors.New("stop")
	assert.Equal(t, stop, engine.client(t).Nodes.Modify(t.Context(), "host1", func(*swarm.Node) error { return stop }))
}

// An update whose answer is lost is refused when it is repeated: by its own work.
func TestWhatIsSetSurvivesALostAnswer(t *testing.T) {
	engine := newObjectEngine(t, oneNode())
	client := engine.client(t)
	engine.loseAnswers(http.MethodPost, 1)
	assert.NoError(t, client.Nodes.Pause(t.Context(), "nodeid1"))
	assert.Contains(t, engine.objects["/nodes/nodeid1"], `"pause"`)
	assert.Len(t, engine.sent("POST"), 2)

	engine.loseAnswers(http.MethodPost, 1)
	assert.NoError(t, client.Nodes.Modify(t.Context(), "nodeid1", func(n *swarm.Node) error { n.Spec.Labels["count"] += "x"; return nil }))
	assert.Contains(t, engine.objects["/nodes/nodeid1"], `"count":"x"`, "once")

	engine.objects = oneSecret()
	engine.loseAnswers(http.MethodPost, 1)
	assert.NoError(t, client.Secrets.SetLabels(t.Context(), "secretid1", map[string]string{"c": "d"}))
}

// drained serves a drained node with these tasks, which nothing changes.
func drained(t *testing.T, tasks string) *objectEngine {
	engine := nodesWith(t, strings.Replace(nodeObject, `"active"`, `"drain"`, 1))
	engine.hook = func(w http.ResponseWriter, r *http.Request, path string) bool {
		if path == "/tasks" {
			engine.mu.Lock()
			defer engine.mu.Unlock()
			fmt.Fprint(w, tasks)
		}
		return path == "/tasks"
	}
	return engine
}

func TestDrainWaitsUntilNoTaskIsLeft(t *testing.T) {
	for tasks, done := range map[string]bool{
		`[]`: true,
		`[{"ID":"t1","Status":{"State":"shutdown"}},{"ID":"t2","Status":{"State":"failed"}},{"ID":"t3","Status":{"State":"pending"}}]`: true,
		`[{"ID":"t1","Status":{"State":"shutdown"}},{"ID":"t2","Status":{"State":"running"}}]`:                                         false,
		`[{"ID":"t1","Status":{"State":"unheard-of"}}]`:                                                                                false,
	} {
		engine := drained(t, tasks)
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		err := engine.client(t).Nodes.Drain(ctx, "host1", &swarm.NodeDrainOptions{Wait: true})
		if done {
			assert.NoError(t, err, tasks)
		} else {
			assert.ErrorIs(t, err, context.DeadlineExceeded, tasks)
		}
		cancel()
		assert.Empty(t, engine.sent("POST"), "it was drained already")
		assert.JSONEq(t, `{"node":{"nodeid1":true}}`, engine.tasksAskedFor(t))
	}
	engine := drained(t, `[{"ID":"t1","Status":{"State":"running"}}]`)
	ctx, cancel := context.WithCancel(t.Context())
	engine.hookAfterTasks(cancel)
	err := engine.client(t).Nodes.Drain(ctx, "host1", &swarm.NodeDrainOptions{Wait: true})
	assert.ErrorIs(t, err, context.Canceled)
}

func (e *objectEngine) tasksAskedFor(t *testing.T) string {
	for _, request := range e.sent("GET") {
		if strings.HasPrefix(request, "GET /tasks") {
			e := &objectEngine{requests: []string{request}}
			return e.lastFilters(t)
		}
	}
	return ""
}

// hookAfterTasks calls what when the tasks have been asked for twice.
func (e *objectEngine) hookAfterTasks(what func()) {
	next, asked := e.hook, 0
	e.hook = func(w http.ResponseWriter, r *http.Request, path string) bool {
		if path == "/tasks" {
			if asked++; asked == 2 {
				what()
			}
		}
		return next(w, r, path)
	}
}

func TestDrainStopsWaitingWhenSomebodyActivatesTheNode(t *testing.T) {
	engine := drained(t, `[{"ID":"t1","Status":{"State":"running"}}]`)
	engine.hookAfterTasks(func() {
		engine.mu.Lock()
		defer engine.mu.Unlock()
		engine.objects["/nodes/nodeid1"] = nodeObject
	})
	err := engine.client(t).Nodes.Drain(t.Context(), "host1", &swarm.NodeDrainOptions{Wait: true})
	assert.ErrorIs(t, err, swarm.ErrVersionConflict)
	assert.EqualError(t, err, "drain node host1: somebody else has set its availability to active")
}

// The leader may be on the node that is drained, or die meanwhile.
func TestWaitingForANodeOutlivesTheLossOfTheLeader(t *testing.T) {
	engine := drained(t, `[{"ID":"t1","Status":{"State":"running"}}]`)
	tasks, asked := engine.hook, 0
	engine.hook = func(w http.ResponseWriter, r *http.Request, path string) bool {
		asked++
		switch {
		case asked > 2 && asked < 20:
			sayNo(w, http.StatusInternalServerError, "rpc error: code = Unknown desc = The swarm does not have a leader. It's possible that too few managers are online.")
			return true
		case asked > 20 && path == "/tasks":
			fmt.Fprint(w, `[]`)
			return true
		}
		return tasks(w, r, path)
	}
	assert.NoError(t, engine.client(t).Nodes.Drain(t.Context(), "host1", &swarm.NodeDrainOptions{Wait: true}))
	assert.Greater(t, asked, 20)

	engine = drained(t, `[{"ID":"t1","Status":{"State":"running"}}]`)
	engine.hookAfterTasks(func() {
		engine.mu.Lock()
		defer engine.mu.Unlock()
		engine.objects = map[string]string{}
	})
	assert.ErrorIs(t, engine.client(t).Nodes.Drain(t.Context(), "host1", &swarm.NodeDrainOptions{Wait: true}), swarm.ErrNotFound, "that does not pass")
}

func TestActivateWaitsUntilTheNodeIsReady(t *testing.T) {
	engine := nodesWith(t, strings.Replace(nodeObject, `"ready"`, `"down"`, 1))
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	err := engine.client(t).Nodes.Activate(ctx, "host1", &swarm.NodeActivateOptions{Wait: true})
	assert.ErrorIs(t, err, context.DeadlineExceeded)

	asked := 0
	engine.hook = func(w http.ResponseWriter, r *http.Request, path string) bool {
		if asked++; asked == 3 {
			engine.mu.Lock()
			defer engine.mu.Unlock()
			engine.objects["/nodes/nodeid1"] = nodeObject
		}
		return false
	}
	assert.NoError(t, engine.client(t).Nodes.Activate(t.Context(), "host1", &swarm.NodeActivateOptions{Wait: true}))
	assert.GreaterOrEqual(t, asked, 3)
}

func TestRecordedNodesAreReadWhole(t *testing.T) {
	for _, c := range codecs {
		for _, object := range recordedObjects(t)["node"] {
			node := assertSurvives[swarm.Node](t, c, object)
			assert.NotEmpty(t, node.ID)
			assert.NotZero(t, node.Version.Index)
			assert.NotEmpty(t, node.Description.Hostname)
			assert.NotEmpty(t, node.Description.Engine.Plugins)
			assert.NotEmpty(t, node.Description.TLSInfo.TrustRoot)
			assert.NotEmpty(t, node.Status.Addr)
			assert.Equal(t, node.Spec.Role == swarm.RoleManager, node.ManagerStatus != nil)
		}
	}
}

func TestEveryKnownFieldOfANodeIsKept(t *testing.T) {
	object := recordedObject{"node", []byte(`{"ID":"n1","Version":{"Index":7},"CreatedAt":"2026-11-21T01:59:09.5Z","UpdatedAt":"2026-11-21T01:59:10Z",
		"Spec":{"Name":"n","Labels":{"a":"b"},"Role":"manager","Availability":"drain"},
		"Description":{"Hostname":"h","Platform":{"Architecture":"x86_64","OS":"linux"},
			"Resources":{"NanoCPUs":2000000000,"MemoryBytes":9007199254740993,"GenericResources":[{"NamedResourceSpec":{"Kind":"gpu","Value":"u1"},"DiscreteResourceSpec":{"Kind":"ssd","Value":3}}]},
			"Engine":{"EngineVersion":"28.5.2","Labels":{"rack":"r1"},"Plugins":[{"Type":"Log","Name":"local"}]},
			"TLSInfo":{"TrustRoot":"PEM\n","CertIssuerSubject":"MBM=","CertIssuerPublicKey":"MFk="},
			"CSIInfo":[{"PluginName":"p","NodeID":"x","MaxVolumesPerNode":8,"AccessibleTopology":{"Segments":{"zone":"z"}}}]},
		"Status":{"State":"down","Message":"heartbeat failure","Addr":"10.0.0.1"},
		"ManagerStatus":{"Leader":true,"Reachability":"unreachable","Addr":"10.0.0.1:2377"}}`)}
	for _, c := range codecs {
		node := assertSurvives[swarm.Node](t, c, object)
		assert.Empty(t, zeroFields("Node", reflect.ValueOf(node)))
		assertSurvives[swarm.Node](t, c, recordedObject{"odd", []byte(`{"ID":"","Version":{},"CreatedAt":"0001-01-01T00:00:00Z","UpdatedAt":"0001-01-01T00:00:00Z",
			"Spec":{"Labels":{},"Role":"boss","Availability":"asleep"},"Description":{"Platform":{},"Resources":{},"Engine":{"Labels":{},"Plugins":[]},"TLSInfo":{}},
			"Status":{"State":"lost"},"ManagerStatus":{"Reachability":"perhaps"}}`)})
	}
}

func TestSpecOfANodeIsAllThatChanges(t *testing.T) {
	role := func(r *rand.Rand) any { return []any{"", "worker", "manager", "boss"}[r.IntN(4)] }
	availability := func(r *rand.Rand) any { return []any{"", "active", "drain", "asleep"}[r.IntN(4)] }
	members := map[string]func(*rand.Rand) any{"Name": randomText, "Labels": randomLabels, "Role": role, "Availability": availability}
	assertOnlyTheChangeIsSent(t, "/nodes/x", members,
		func(c *swarm.Client) error { return c.Nodes.Pause(t.Context(), "x") },
		func(spec map[string]any) { spec["Availability"] = "pause" })
	assertOnlyTheChangeIsSent(t, "/nodes/x", members,
		func(c *swarm.Client) error {
			return c.Nodes.Modify(t.Context(), "x", func(n *swarm.Node) error {
				n.Spec.Name = "other"
				n.Spec.Labels = map[string]string{"a": "c"}
				return nil
			})
		},
		func(spec map[string]any) { spec["Name"], spec["Labels"] = "other", map[string]any{"a": "c"} })
}

func TestTLSStatusComparesWithTheSwarm(t *testing.T) {
	own := swarm.TLSInfo{TrustRoot: "root", CertIssuerSubject: []byte("s"), CertIssuerPublicKey: []byte("k")}
	node := &swarm.Node{Description: swarm.NodeDescription{TLSInfo: own}}
	other := own
	other.CertIssuerPublicKey = []byte("k2")
	assert.Equal(t, swarm.TLSReady, node.TLSStatus(own))
	assert.Equal(t, swarm.TLSNeedsRotation, node.TLSStatus(other))
	assert.Equal(t, swarm.TLSUnknown, node.TLSStatus(swarm.TLSInfo{}))
	assert.Equal(t, swarm.TLSUnknown, (&swarm.Node{}).TLSStatus(own))
}
