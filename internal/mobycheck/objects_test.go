package mobycheck

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/moby/moby/api/types/events"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/api/types/swarm"
	"github.com/moby/moby/api/types/system"
	"github.com/moby/moby/api/types/volume"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	ours "github.com/swarm-go/swarm"
)

// recorded are the types of the recorded answers, by the beginning of their
// file's name.
var recorded = []struct {
	prefix string
	pair   pair
}{
	{"service_inspect", pair{reflect.TypeFor[ours.Service](), reflect.TypeFor[swarm.Service]()}},
	{"service_list", pair{reflect.TypeFor[[]ours.Service](), reflect.TypeFor[[]swarm.Service]()}},
	{"task_inspect", pair{reflect.TypeFor[ours.Task](), reflect.TypeFor[swarm.Task]()}},
	{"task_list", pair{reflect.TypeFor[[]ours.Task](), reflect.TypeFor[[]swarm.Task]()}},
	{"node_inspect", pair{reflect.TypeFor[ours.Node](), reflect.TypeFor[swarm.Node]()}},
	{"node_list", pair{reflect.TypeFor[[]ours.Node](), reflect.TypeFor[[]swarm.Node]()}},
	{"config_inspect", pair{reflect.TypeFor[ours.Config](), reflect.TypeFor[swarm.Config]()}},
	{"config_list", pair{reflect.TypeFor[[]ours.Config](), reflect.TypeFor[[]swarm.Config]()}},
	{"secret_inspect", pair{reflect.TypeFor[ours.Secret](), reflect.TypeFor[swarm.Secret]()}},
	{"secret_list", pair{reflect.TypeFor[[]ours.Secret](), reflect.TypeFor[[]swarm.Secret]()}},
	{"swarm_inspect", pair{reflect.TypeFor[ours.Cluster](), reflect.TypeFor[swarm.Swarm]()}},
	{"network_list", pair{reflect.TypeFor[[]ours.Network](), reflect.TypeFor[[]network.Inspect]()}},
	{"net_list", pair{reflect.TypeFor[[]ours.Network](), reflect.TypeFor[[]network.Inspect]()}},
	{"net_inspect", pair{reflect.TypeFor[ours.Network](), reflect.TypeFor[network.Inspect]()}},
	{"vol_list", pair{reflect.TypeFor[ours.VolumeList](), reflect.TypeFor[volume.ListResponse]()}},
	{"vol_inspect", pair{reflect.TypeFor[ours.Volume](), reflect.TypeFor[volume.Volume]()}},
	{"info", pair{reflect.TypeFor[ours.EngineInfo](), reflect.TypeFor[system.Info]()}},
	{"worker_info", pair{reflect.TypeFor[ours.EngineInfo](), reflect.TypeFor[system.Info]()}},
	{"manager_follower_info", pair{reflect.TypeFor[ours.EngineInfo](), reflect.TypeFor[system.Info]()}},
	{"no_leader_info", pair{reflect.TypeFor[ours.EngineInfo](), reflect.TypeFor[system.Info]()}},
	{"locked_info", pair{reflect.TypeFor[ours.EngineInfo](), reflect.TypeFor[system.Info]()}},
	{"version", pair{reflect.TypeFor[ours.EngineVersion](), reflect.TypeFor[system.VersionResponse]()}},
}

// unreadable are recorded answers that moby's types refuse, with the reason.
// Ours take them: one odd value must not make a whole list fail.
var unreadable = map[string]string{
	"20.10-types/service_list_all_kinds.http":      "unable to parse IP",
	"20.10-types/task_list_all_kinds.http":         "unable to parse IP",
	"26.1-types/service_list_all_kinds.http":       "unable to parse IP",
	"26.1-types/task_list_all_kinds.http":          "unable to parse IP",
	"28.5-types/service_list_all_kinds.http":       "unable to parse IP",
	"28.5-types/task_list_all_kinds.http":          "unable to parse IP",
	"20.10-infra/net_inspect_ingress_verbose.http": "unable to parse IP",
}

// What our types hold goes over to moby's and comes back whole: a program may
// have some of its objects in the one form and some in the other.
func TestObjectsSurviveMobysTypes(t *testing.T) {
	files, err := filepath.Glob("../../testdata/captures/*/*.http")
	require.NoError(t, err)
	counts := map[string]int{}
	for _, file := range files {
		for _, r := range recorded {
			body := successBody(t, file)
			if body == nil || !strings.HasPrefix(filepath.Base(file), r.prefix) {
				continue
			}
			counts[r.prefix]++
			if reason, known := unreadable[name(file)]; known {
				assert.ErrorContains(t, json.Unmarshal(body, reflect.New(r.pair.moby).Interface()), reason, file)
				continue
			}
			there := through(t, body, r.pair.ours, r.pair.moby)
			back := through(t, there, r.pair.ours)
			if !bytes.Contains(body, []byte(`"EnableIPv4"`)) {
				// moby's networks have no word for engines that do not say, ours have.
				back = bytes.ReplaceAll(back, []byte(`"EnableIPv4":false,`), nil)
			}
			assert.Equal(t, withoutGone(tree(t, through(t, body, r.pair.ours))), tree(t, back), file)
			assert.Equal(t, tree(t, through(t, body, r.pair.moby)), tree(t, there), "%s: moby's types lost something on the way", file)
		}
	}
	for _, r := range recorded {
		assert.NotZero(t, counts[r.prefix], "no recorded answer begins with %s", r.prefix)
	}
}

// Sums of disk usage are written as moby reads them, and the other way round.
func TestDiskUsageSurvivesMobysTypes(t *testing.T) {
	usage := ours.DiskUsage{
		Images:     ours.DiskUsageSummary{Count: 1, InUse: 2, SizeBytes: 3, ReclaimableBytes: 4},
		Containers: ours.DiskUsageSummary{Count: 5, InUse: 6, SizeBytes: 7, ReclaimableBytes: 8},
		Volumes:    ours.DiskUsageSummary{Count: 9, InUse: 10, SizeBytes: 11, ReclaimableBytes: 12},
		BuildCache: ours.DiskUsageSummary{Count: 13, InUse: 14, SizeBytes: 15, ReclaimableBytes: 16},
	}
	encoded, err := json.Marshal(usage)
	require.NoError(t, err)
	there := through(t, encoded, reflect.TypeFor[system.DiskUsage]())
	assert.Equal(t, tree(t, encoded), tree(t, there))
	var back ours.DiskUsage
	require.NoError(t, json.Unmarshal(there, &back))
	back.Raw = nil
	assert.Equal(t, usage, back)
}

// Events come as a stream of objects.
func TestEventsSurviveMobysTypes(t *testing.T) {
	files, err := filepath.Glob("../../testdata/captures/*/events_*.http")
	require.NoError(t, err)
	ourType, mobyType := reflect.TypeFor[ours.Event](), reflect.TypeFor[events.Message]()
	count := 0
	for _, file := range files {
		for _, event := range streamed(t, file) {
			count++
			there := through(t, event, ourType, mobyType)
			kept := tree(t, through(t, event, ourType)).(map[string]any)
			for _, said := range []string{"status", "id", "from"} { // twice, below API 1.52; moby has forgotten them
				delete(kept, said)
			}
			assert.Equal(t, kept, tree(t, through(t, there, ourType)), file)
			assert.Equal(t, tree(t, through(t, event, mobyType)), tree(t, there), "%s: moby's types lost something on the way", file)
		}
	}
	assert.Greater(t, count, 100)
}

// streamed are the JSON objects of a recorded stream, as far as it was recorded.
func streamed(t *testing.T, file string) (objects []json.RawMessage) {
	t.Helper()
	f, err := os.Open(file)
	require.NoError(t, err)
	defer f.Close()
	response, err := http.ReadResponse(bufio.NewReader(f), nil)
	if err != nil || response.StatusCode != http.StatusOK {
		return nil
	}
	for decoder := json.NewDecoder(response.Body); ; {
		var object json.RawMessage
		if decoder.Decode(&object) != nil {
			return objects
		}
		objects = append(objects, object)
	}
}

// name is the folder and file of a recorded answer.
func name(file string) string {
	return filepath.Base(filepath.Dir(file)) + "/" + filepath.Base(file)
}

// successBody is the JSON of a recorded answer that says yes, else nil.
func successBody(t *testing.T, file string) []byte {
	t.Helper()
	f, err := os.Open(file)
	require.NoError(t, err)
	defer f.Close()
	response, err := http.ReadResponse(bufio.NewReader(f), nil)
	if err != nil || response.StatusCode != http.StatusOK {
		return nil
	}
	body, err := io.ReadAll(response.Body)
	if err != nil || !json.Valid(body) {
		return nil
	}
	return body
}

// through decodes and encodes JSON by each of the types in turn.
func through(t *testing.T, body []byte, types ...reflect.Type) []byte {
	t.Helper()
	for _, typ := range types {
		value := reflect.New(typ)
		err := json.Unmarshal(body, value.Interface())
		require.NoError(t, err)
		body, err = json.Marshal(value.Elem().Interface())
		require.NoError(t, err)
	}
	return body
}

// tree is JSON without what is null, which means the same as absent.
func tree(t *testing.T, body []byte) any {
	t.Helper()
	var value any
	require.NoError(t, json.Unmarshal(body, &value))
	return withoutNulls(value)
}

func withoutGone(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for member := range gone {
			_, name, _ := strings.Cut(member, ".")
			delete(v, name)
		}
		for name := range v {
			withoutGone(v[name])
		}
	case []any:
		for i := range v {
			withoutGone(v[i])
		}
	}
	return v
}

func withoutNulls(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for name, value := range v {
			if value == nil {
				delete(v, name)
			} else {
				v[name] = withoutNulls(value)
			}
		}
	case []any:
		for i := range v {
			v[i] = withoutNulls(v[i])
		}
	}
	return v
}
