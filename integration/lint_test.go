//go:build integration

package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/swarm-go/swarm"
	"github.com/swarm-go/swarm/integration/engines"
)

// hint is one thing that Lint knows, see the tests of Lint itself.
type hint struct {
	ID       string
	Accepted []json.RawMessage
	Found    []found
}

type found struct {
	Spec             json.RawMessage
	Path             string
	API, Needs, UpTo string
	Becomes          json.RawMessage
	Task             string
	State            swarm.TaskState
	Container        map[string]any
	Stdout, Stderr   string
	Then             string
	Tasks            *int
	Update           swarm.UpdateState
	Crash            string
}

// isOf reports whether the row is about the engine.
func (f found) isOf(e *engines.Engine) bool {
	return !isOlder(e.APIVersion, f.Needs) && (f.UpTo == "" || !isOlder(f.UpTo, e.APIVersion))
}

func readHints(t *testing.T, file string) []hint {
	t.Helper()
	text, err := os.ReadFile("../testdata/validate/" + file)
	require.NoError(t, err)
	var hints []hint
	require.NoError(t, json.Unmarshal(text, &hints))
	return hints
}

// What updates and rollbacks do is in the long run: each takes several containers.
func TestEnginesDoWhatLintSays(t *testing.T) {
	t.Parallel()
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		client, ids := newClient(t, e), withSecretAndConfig(t, e)
		for _, h := range readHints(t, "lint.json") {
			for _, spec := range h.Accepted {
				s := merged(t, spec, ids)
				if len(s.Lint(e.APIVersion)) > 0 {
					continue // newer than the engine
				}
				change, err := client.Services.Create(t.Context(), s, nil)
				if assert.NoError(t, err, "%s: %s", h.ID, spec) {
					assert.NoError(t, client.Services.Remove(t.Context(), change.ID))
				}
			}
		}
		assertFound(t, e, ids, func(f found) bool { return f.Then == "" })
	})
}

// assertFound creates what is chosen of all that Lint finds something in, and looks
// at what becomes of it.
func assertFound(t *testing.T, e *engines.Engine, ids *strings.Replacer, isChosen func(found) bool) {
	t.Helper()
	client := newClient(t, e)
	var services []*watched
	for _, h := range readHints(t, "lint.json") {
		for i, f := range h.Found {
			if h.ID == "api-version" || f.Crash != "" || !f.isOf(e) || !isChosen(f) {
				continue
			}
			s := merged(t, f.Spec, ids)
			if f.runs() {
				runnable(&s, serviceName(t, fmt.Sprintf("%s-%d", h.ID, i)))
			}
			id := createUnchecked(t, e, f.API, s)
			if f.Becomes != nil {
				assertBecomes(t, e, id, f)
			}
			if f.runs() {
				services = append(services, &watched{found: f, id: id})
				continue
			}
			require.NoError(t, client.Services.Remove(t.Context(), id))
		}
	}
	assertTasksDoAsSaid(t, e, client, services)
}

func TestEnginesDoWhatLintSaysOfOtherSpecs(t *testing.T) {
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		client := newClient(t, e)
		eachFound(t, "lint_network.json", func(f found) (becomes any) {
			spec := swarm.NetworkSpec{Name: "linted"}
			require.NoError(t, json.Unmarshal(f.Spec, &spec))
			id := createNetwork(t, client, spec)
			require.NoError(t, e.Call(t.Context(), http.MethodGet, "/networks/"+id, nil, &becomes))
			require.NoError(t, client.Networks.Remove(t.Context(), id))
			return becomes
		})
		if takesClusterVolumes(e) {
			eachFound(t, "lint_volume.json", func(f found) (becomes any) {
				spec := swarm.VolumeSpec{Name: "linted", Driver: "csi"}
				require.NoError(t, json.Unmarshal(f.Spec, &spec))
				volume, err := client.Volumes.Create(t.Context(), spec)
				require.NoError(t, err)
				require.NoError(t, e.Call(t.Context(), http.MethodDelete, "/volumes/"+volume.ClusterVolume.ID+"?force=1", nil, nil))
				var raw struct{ ClusterVolume struct{ Spec any } }
				require.NoError(t, json.Unmarshal(volume.Raw, &raw))
				return map[string]any{"ClusterVolumeSpec": raw.ClusterVolume.Spec}
			})
		}
		before, err := client.Swarm.Inspect(t.Context())
		require.NoError(t, err)
		eachFound(t, "lint_swarm.json", func(f found) any {
			require.NoError(t, client.Swarm.Modify(t.Context(), func(c *swarm.Cluster) error { return json.Unmarshal(f.Spec, &c.Spec) }))
			var after struct{ Spec any }
			require.NoError(t, e.Call(t.Context(), http.MethodGet, "/swarm", nil, &after))
			require.NoError(t, client.Swarm.Modify(t.Context(), func(c *swarm.Cluster) error { c.Spec = before.Spec; return nil }))
			return after.Spec
		})
	})
}

// eachFound makes what Lint finds something in and looks at what the engine has
// made of it. What Lint finds nothing in the engine has to take, too.
func eachFound(t *testing.T, file string, make func(found) any) {
	t.Helper()
	for _, h := range readHints(t, file) {
		for _, spec := range h.Accepted {
			assert.NotNil(t, make(found{Spec: spec}), "%s: %s", h.ID, spec)
		}
		for _, f := range h.Found {
			var want any
			require.NoError(t, json.Unmarshal(f.Becomes, &want))
			assert.Equal(t, want, valueAt(make(f), f.Path), "%s: %s", h.ID, f.Spec)
		}
	}
}

// isOlder compares API versions. The empty one is older than all.
func isOlder(a, b string) bool {
	minor := func(v string) int {
		_, text, _ := strings.Cut(v, ".")
		n, _ := strconv.Atoi(text)
		return n
	}
	return minor(a) < minor(b)
}

// createUnchecked creates what the client would refuse: fields that are dropped.
func createUnchecked(t *testing.T, e *engines.Engine, version string, spec swarm.ServiceSpec) string {
	t.Helper()
	path := "/services/create"
	if version != "" {
		path = "/v" + version + path
	}
	var created struct{ ID string }
	require.NoError(t, e.Call(t.Context(), http.MethodPost, path, spec, &created), "%s", asJSON(t, spec))
	t.Cleanup(func() {
		_ = e.Call(context.WithoutCancel(t.Context()), http.MethodDelete, "/services/"+created.ID, nil, nil)
	})
	return created.ID
}

// assertBecomes reads back what the engine has made of the value at the path.
func assertBecomes(t *testing.T, e *engines.Engine, id string, f found) {
	t.Helper()
	var service struct{ Spec any }
	require.NoError(t, e.Call(t.Context(), http.MethodGet, "/services/"+id, nil, &service))
	var want any
	require.NoError(t, json.Unmarshal(f.Becomes, &want))
	assert.Equal(t, want, valueAt(service.Spec, f.Path), "%s", f.Spec)
}

// valueAt finds what is at a path such as A.B[0].C, nil if there is nothing.
func valueAt(v any, path string) any {
	for step := range strings.SplitSeq(strings.ReplaceAll(path, "[", ".["), ".") {
		if index, found := strings.CutPrefix(step, "["); found {
			list, _ := v.([]any)
			i, _ := strconv.Atoi(strings.TrimSuffix(index, "]"))
			if i >= len(list) {
				return nil
			}
			v = list[i]
			continue
		}
		object, _ := v.(map[string]any)
		v = object[step]
	}
	return v
}
