package engine

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/swarm-go/swarm"
)

const testdata = "../../testdata"

// recorded is the answer of that name that was recorded from a real engine.
func recorded(t *testing.T, release *Release, name string) any {
	t.Helper()
	var body any
	require.NoError(t, json.Unmarshal([]byte(recordedAnswer(t, release.Name, name).body), &body))
	return body
}

func recordedAnswer(t *testing.T, folder, name string) answer {
	t.Helper()
	file, err := os.Open(filepath.Join(testdata, "captures", folder, name+".http"))
	require.NoError(t, err)
	defer file.Close()
	response, err := http.ReadResponse(bufio.NewReader(file), nil)
	require.NoError(t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return answer{response.StatusCode, response.Header, string(body)}
}

// What is asked of a worker and of a locked manager, by the name of what was
// recorded.
const (
	toWorkers = `
worker_services GET /services
worker_service_create POST /services/create
worker_nodes GET /nodes
worker_swarm GET /swarm
worker_secrets GET /secrets
worker_task_inspect GET /tasks/x
worker_service_logs GET /services/x/logs?stdout=1
worker_init POST /swarm/init
`
	toLocked = `
locked_services GET /services
locked_service_create POST /services/create
locked_swarm GET /swarm
locked_leave POST /swarm/leave
locked_join POST /swarm/join
locked_unlock_wrongformat POST /swarm/unlock {"UnlockKey":"foo"}
locked_unlock_wrongkey POST /swarm/unlock {"UnlockKey":"SWMKEY-1-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}
`
)

func TestWorkersAndLockedManagersRefuseAsRealOnesDo(t *testing.T) {
	for _, release := range []*Release{Release2010, Release261, Release285} {
		manager := newManager(t, release)
		worker := manager.joined(swarm.RoleWorker)
		manager.daemon.world.Do(func() { manager.daemon.cluster.lock(true, false) })
		manager.daemon.locked = true
		for list, c := range map[string]*client{toWorkers: worker, toLocked: manager} {
			for line := range strings.Lines(strings.TrimSpace(list)) {
				words := append(strings.Fields(line), `{"Name":"x","ListenAddr":"0.0.0.0","TaskTemplate":{"ContainerSpec":{"Image":"web"}}}`)
				want := recordedAnswer(t, release.Name+"-multi", words[0])
				got := c.do(words[1], words[2], words[3])
				assert.Equal(t, want.status, got.status, "%s of %s", words[0], release.Name)
				assert.Equal(t, want.message(), got.message(), "%s of %s", words[0], release.Name)
			}
		}
	}
}

// members are the paths of all members of a JSON value, with what is null. What
// maps of free names hold is one path.
func members(value any) []string {
	seen := map[string]bool{}
	var walk func(path string, value any)
	walk = func(path string, value any) {
		switch value := value.(type) {
		case map[string]any:
			for name, member := range value {
				if strings.HasSuffix(path, "Options") || strings.HasSuffix(path, "Labels") {
					name = "*"
				}
				walk(path+"."+name, member)
			}
		case []any:
			for _, item := range value {
				walk(path+"[]", item)
			}
		case nil:
			path += "=null"
		}
		seen[path] = true
	}
	walk("", value)
	paths := []string{}
	for path := range seen {
		paths = append(paths, path)
	}
	slices.Sort(paths)
	return paths
}

func TestAnswersHaveTheMembersOfRecordedOnes(t *testing.T) {
	for _, release := range []*Release{Release2010, Release261, Release285} {
		c := newManager(t, release)
		c.create("/secrets/create", `{"Name":"secret1","Data":"eA==","Labels":{"a":"b"}}`)
		c.create("/configs/create", `{"Name":"config1","Data":"eA==","Labels":{"a":"b"}}`)
		for name, path := range map[string]string{
			"swarm_inspect":  "/swarm",
			"node_inspect":   "/nodes/" + c.daemon.nodeID,
			"secret_inspect": "/secrets/secret1",
			"secret_list":    "/secrets",
			"config_inspect": "/configs/config1",
		} {
			assert.Equal(t, members(recorded(t, release, name)), members(get[any](c, path)), "%s of %s", name, release.Name)
		}
		c.do(http.MethodPost, "/networks/create", `{"Name":"ov1","Driver":"overlay","Attachable":true}`)
		networks := get[any](c, "/networks?filters="+`{"scope":["swarm"]}`)
		assert.Equal(t, members(recorded(t, release, "network_list_swarm")), members(networks), "networks of %s", release.Name)
	}
}

// border is what engines take and refuse by one rule.
type border struct {
	ID       string
	Accepted []json.RawMessage
	Refused  []struct {
		Spec json.RawMessage
		Says string
	}
}

func borders(t *testing.T, file string) []border {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(testdata, "validate", file))
	require.NoError(t, err)
	var borders []border
	require.NoError(t, json.Unmarshal(text, &borders))
	return borders
}

func TestServicesAreRefusedWhereRealEnginesRefuseThem(t *testing.T) {
	for _, release := range releases {
		c := newManager(t, release)
		ids := strings.NewReplacer("$NAME", "data",
			"$SECRET", c.create("/secrets/create", `{"Name":"data","Data":"eA=="}`),
			"$CONFIG", c.create("/configs/create", `{"Name":"data","Data":"eA=="}`))
		post := func(spec json.RawMessage) answer {
			merged := swarm.ServiceSpec{
				Name:         "service",
				Mode:         swarm.Replicated(0),
				TaskTemplate: swarm.TaskSpec{ContainerSpec: swarm.ContainerSpec{Image: "image"}},
			}
			require.NoError(t, json.Unmarshal([]byte(ids.Replace(string(spec))), &merged))
			body, err := json.Marshal(merged)
			require.NoError(t, err)
			return c.do(http.MethodPost, "/services/create", string(body))
		}
		for _, b := range borders(t, "service.json") {
			for _, spec := range b.Accepted {
				got := post(spec)
				if assert.Equal(t, http.StatusCreated, got.status, "%s: %s: %s", b.ID, spec, got.body) {
					var created struct{ ID string }
					require.NoError(t, json.Unmarshal([]byte(got.body), &created))
					assert.Equal(t, http.StatusOK, c.do(http.MethodDelete, "/services/"+created.ID, "").status)
				}
			}
			for _, refused := range b.Refused {
				got := post(refused.Spec)
				if got.status == http.StatusCreated && mentionsNewer(release, string(refused.Spec)) {
					c.do(http.MethodDelete, "/services/service", "")
					continue
				}
				assert.Contains(t, got.message(), refused.Says, "%s: %s on %s", b.ID, refused.Spec, release.Name)
			}
		}
	}
}

// mentionsNewer reports whether a spec holds a field that a release drops.
func mentionsNewer(release *Release, spec string) bool {
	return release.API < 44 && strings.Contains(spec, "StartInterval")
}

var sized = regexp.MustCompile(`\$([0-9]+)`)

func TestSecretsAndConfigsAreRefusedWhereRealEnginesRefuseThem(t *testing.T) {
	for file, path := range map[string]string{"secret.json": "/secrets", "config.json": "/configs"} {
		c := newManager(t, Release285)
		filled := func(spec json.RawMessage) string {
			return string(sized.ReplaceAllFunc(spec, func(match []byte) []byte {
				n, _ := strconv.Atoi(string(match[1:]))
				return []byte(base64.StdEncoding.EncodeToString(make([]byte, n)))
			}))
		}
		for _, b := range borders(t, file) {
			for _, spec := range b.Accepted {
				id := c.create(path+"/create", filled(spec))
				assert.Equal(t, http.StatusNoContent, c.do(http.MethodDelete, path+"/"+id, "").status)
			}
			for _, refused := range b.Refused {
				got := c.do(http.MethodPost, path+"/create", filled(refused.Spec))
				assert.Equal(t, http.StatusBadRequest, got.status, fmt.Sprintf("%s: %s", b.ID, refused.Spec))
				assert.Contains(t, got.message(), refused.Says)
			}
		}
	}
}
