//go:build integration

package integration

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/swarm-go/swarm"
	"github.com/swarm-go/swarm/integration/engines"
)

// border is one rule's specs on both sides of its border, see the tests of
// Validate itself.
type border struct {
	ID       string
	Accepted []json.RawMessage
	Refused  []struct {
		Spec json.RawMessage
		Path string
		Says string
	}
}

func readBorders(t *testing.T, file string) []border {
	t.Helper()
	text, err := os.ReadFile("../testdata/validate/" + file)
	require.NoError(t, err)
	var borders []border
	require.NoError(t, json.Unmarshal(text, &borders))
	return borders
}

// withSecretAndConfig makes a secret and a config of the test's name, and a
// replacer for the specs that name them.
func withSecretAndConfig(t *testing.T, e *engines.Engine) *strings.Replacer {
	t.Helper()
	name := serviceName(t, "")
	ids := []string{"$NAME", name}
	for kind, placeholder := range map[string]string{"secrets": "$SECRET", "configs": "$CONFIG"} {
		var created struct{ ID string }
		spec := map[string]any{"Name": name, "Data": base64.StdEncoding.EncodeToString([]byte("data"))}
		require.NoError(t, e.Call(t.Context(), http.MethodPost, "/"+kind+"/create", spec, &created))
		t.Cleanup(func() {
			assert.NoError(t, e.Call(context.WithoutCancel(t.Context()), http.MethodDelete, "/"+kind+"/"+created.ID, nil, nil))
		})
		ids = append(ids, placeholder, created.ID)
	}
	return strings.NewReplacer(ids...)
}

// merged is a service that engines take, with a spec of a border merged in.
func merged(t *testing.T, spec json.RawMessage, ids *strings.Replacer) swarm.ServiceSpec {
	t.Helper()
	s := swarm.ServiceSpec{
		Name:         serviceName(t, ""),
		Mode:         swarm.Replicated(0),
		TaskTemplate: swarm.TaskSpec{ContainerSpec: swarm.ContainerSpec{Image: engines.Image1}},
	}
	require.NoError(t, json.Unmarshal([]byte(ids.Replace(string(spec))), &s))
	return s
}

func TestEnginesDrawTheBordersThatValidateDraws(t *testing.T) {
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		client, ids := newClient(t, e), withSecretAndConfig(t, e)
		for _, b := range readBorders(t, "service.json") {
			for _, spec := range b.Accepted {
				change, err := client.Services.Create(t.Context(), merged(t, spec, ids), nil)
				if assert.NoError(t, err, "%s: %s", b.ID, spec) {
					assert.NoError(t, client.Services.Remove(t.Context(), change.ID))
				}
			}
			for _, refused := range b.Refused {
				change, err := client.Services.Create(t.Context(), merged(t, refused.Spec, ids), nil)
				if !assert.Error(t, err, "%s: %s", b.ID, refused.Spec) {
					assert.NoError(t, client.Services.Remove(t.Context(), change.ID))
					continue
				}
				if isTooOld(err) {
					continue // the engine never sees it
				}
				assert.ErrorContains(t, err, refused.Says, "%s: %s", b.ID, refused.Spec)
			}
		}
	})
}

func TestEnginesDrawTheBordersOfSecretsAndConfigs(t *testing.T) {
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		for file, path := range map[string]string{"secret.json": "/secrets", "config.json": "/configs"} {
			for _, b := range readBorders(t, file) {
				for _, spec := range b.Accepted {
					var created struct{ ID string }
					err := e.Call(t.Context(), http.MethodPost, path+"/create", withData(spec), &created)
					if assert.NoError(t, err, "%s: %s", b.ID, spec) {
						assert.NoError(t, e.Call(t.Context(), http.MethodDelete, path+"/"+created.ID, nil, nil))
					}
				}
				for _, refused := range b.Refused {
					err := e.Call(t.Context(), http.MethodPost, path+"/create", withData(refused.Spec), nil)
					assert.ErrorContains(t, err, refused.Says, "%s: %s", b.ID, refused.Spec)
				}
			}
		}
	})
}

// creation is how an engine is asked to make an object, and to remove it.
type creation struct {
	file, create, remove string
	good                 func() any
}

var creations = []creation{
	{"network.json", "/networks/create", "/networks/", func() any { return &swarm.NetworkSpec{Name: "validated", Driver: "overlay"} }},
	{"volume.json", "/volumes/create", "/volumes/", func() any { return &swarm.VolumeSpec{Name: "validated"} }},
}

func TestEnginesDrawTheBordersOfNetworksAndVolumes(t *testing.T) {
	t.Parallel()
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		for _, c := range creations {
			for _, b := range readBorders(t, c.file) {
				for _, spec := range b.Accepted {
					if !takesClusterVolumes(e) && bytes.Contains(spec, []byte("ClusterVolumeSpec")) {
						continue // the client refuses it
					}
					id, err := c.make(t, e, spec)
					if assert.NoError(t, err, "%s: %s", b.ID, spec) {
						assert.NoError(t, e.Call(t.Context(), http.MethodDelete, c.remove+id+"?force=1", nil, nil))
					}
				}
				for _, refused := range b.Refused {
					if !takesClusterVolumes(e) && bytes.Contains(refused.Spec, []byte("ClusterVolumeSpec")) {
						continue // the client refuses it
					}
					id, err := c.make(t, e, refused.Spec)
					if !assert.ErrorContains(t, err, refused.Says, "%s: %s", b.ID, refused.Spec) && err == nil {
						assert.NoError(t, e.Call(t.Context(), http.MethodDelete, c.remove+id+"?force=1", nil, nil))
					}
				}
			}
		}
	})
}

func takesClusterVolumes(e *engines.Engine) bool { return !isOlder(e.APIVersion, "1.42") }

// make asks for an object with a spec merged into the good one, and gives what
// it is removed by.
func (c *creation) make(t *testing.T, e *engines.Engine, spec json.RawMessage) (string, error) {
	t.Helper()
	merged := c.good()
	require.NoError(t, json.Unmarshal(spec, merged))
	var made struct {
		ID, Name      string
		ClusterVolume struct{ ID string }
	}
	err := e.Call(t.Context(), http.MethodPost, c.create, merged, &made)
	return cmp.Or(made.ID, made.ClusterVolume.ID, made.Name), err
}

func TestEnginesDrawTheBordersOfSwarms(t *testing.T) {
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		client := newClient(t, e)
		cluster, err := client.Swarm.Inspect(t.Context())
		require.NoError(t, err)
		testUpdates(t, "swarm.json", cluster.Spec, func(spec swarm.SwarmSpec) error {
			return client.Swarm.Modify(t.Context(), func(c *swarm.Cluster) error { c.Spec = spec; return nil })
		})
	})
}

func TestEnginesDrawTheBordersOfNodes(t *testing.T) {
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		client := newClient(t, e)
		node := ownNode(t, client)
		testUpdates(t, "node.json", node.Spec, func(spec swarm.NodeSpec) error {
			return client.Nodes.Modify(t.Context(), node.ID, func(n *swarm.Node) error { n.Spec = spec; return nil })
		})
	})
}

// testUpdates changes an object to every spec merged into its own, and back.
func testUpdates[T any](t *testing.T, file string, own T, update func(T) error) {
	merged := func(spec json.RawMessage) T {
		merged := own
		require.NoError(t, json.Unmarshal(spec, &merged))
		return merged
	}
	for _, b := range readBorders(t, file) {
		for _, spec := range b.Accepted {
			assert.NoError(t, update(merged(spec)), "%s: %s", b.ID, spec)
			require.NoError(t, update(own), "%s: %s", b.ID, spec)
		}
		for _, refused := range b.Refused {
			assert.ErrorContains(t, update(merged(refused.Spec)), refused.Says, "%s: %s", b.ID, refused.Spec)
		}
	}
}

var sizedData = regexp.MustCompile(`\$([0-9]+)`)

// withData puts as many bytes as it says in place of $7.
func withData(spec json.RawMessage) json.RawMessage {
	return sizedData.ReplaceAllFunc(spec, func(match []byte) []byte {
		n, _ := strconv.Atoi(string(match[1:]))
		return []byte(base64.StdEncoding.EncodeToString(make([]byte, n)))
	})
}

// isTooOld reports whether the client has refused a field that the engine does
// not know.
func isTooOld(err error) bool {
	var tooOld *swarm.VersionError
	return errors.As(err, &tooOld)
}
