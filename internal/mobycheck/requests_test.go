package mobycheck

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/moby/moby/api/types/swarm"
	"github.com/moby/moby/client"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	ours "github.com/swarm-go/swarm"
)

// request is what an engine gets, without what does not matter to it.
type request struct {
	method string
	path   string // without the API version
	query  map[string]any
	body   any
}

// engine answers as a real one was recorded to, and keeps what
// it was asked.
type engine struct {
	mu       sync.Mutex
	requests []request
}

// answers are the recorded ones, of 28.5, by method and path.
var answers = map[string]string{
	"GET /services":                   "28.5/service_list_status",
	"GET /services/" + web:            "28.5/service_inspect_defaults",
	"GET /services/" + web + "/logs":  "28.5/logs_s1",
	"POST /services/create":           "28.5/service_create_ok",
	"GET /tasks":                      "28.5/task_list",
	"GET /tasks/" + task1:             "28.5/task_inspect",
	"GET /tasks/" + task1 + "/logs":   "28.5/logs_task",
	"GET /nodes":                      "28.5/node_list",
	"GET /secrets":                    "28.5/secret_list",
	"POST /secrets/create":            "28.5/secret_create_ok",
	"GET /configs":                    "28.5/config_list",
	"POST /configs/create":            "28.5/config_create_ok",
	"GET /networks":                   "28.5-infra/net_list",
	"GET /networks/ingress":           "28.5-infra/net_inspect_ingress_verbose",
	"POST /networks/create":           "28.5/network_create_overlay",
	"GET /volumes":                    "28.5-infra/vol_list",
	"POST /volumes/create":            "28.5-infra/vol_create_opts",
	"GET /swarm":                      "28.5/swarm_inspect",
	"POST /swarm/init":                "28.5/init_ok",
	"POST /swarm/leave":               "28.5/swarm_leave_force",
	"GET /swarm/unlockkey":            "28.5-multi/autolock_unlockkey",
	"GET /info":                       "28.5/info_swarm",
	"GET /version":                    "28.5/version",
	"GET /system/df":                  "28.5-infra/df",
	"GET /events":                     "28.5/events_service",
	"DELETE /nodes/" + down:           "28.5/swarm_leave_force", // says nothing, as well
	"GET /nodes/" + down:              "28.5/node_inspect",
	"POST /nodes/" + down + "/update": "28.5/node_update_label_ok",
}

// newEngine starts one and gives a client of ours, and moby's client that rides on
// its connections.
func newEngine(t *testing.T) (*engine, *ours.Client, *client.Client) {
	t.Helper()
	e := &engine{}
	own, moby := clients(t, ours.WithHost("unix://"+serveUnix(t, e)))
	return e, own, moby
}

// serveUnix gives an engine a socket.
func serveUnix(t *testing.T, e *engine) (socket string) {
	t.Helper()
	folder, err := os.MkdirTemp("", "moby") // that of t.TempDir is too long for a socket
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(folder) })
	socket = filepath.Join(folder, "docker.sock")
	listener, err := net.Listen("unix", socket)
	require.NoError(t, err)
	server := &httptest.Server{Listener: listener, Config: &http.Server{Handler: e}}
	server.Start()
	t.Cleanup(server.Close)
	return socket
}

func clients(t *testing.T, opts ...ours.Option) (*ours.Client, *client.Client) {
	t.Helper()
	own, err := ours.New(opts...)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, own.Close()) })
	moby, err := client.New(client.WithHost("tcp://engine"), client.WithDialContext(own.DialContext))
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, moby.Close()) })
	return own, moby
}

var versioned = regexp.MustCompile(`^/v1\.\d+/`)

func (e *engine) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := versioned.ReplaceAllString(r.URL.Path, "/")
	w.Header().Set("Api-Version", "1.51")
	if path == "/_ping" {
		return
	}
	e.mu.Lock()
	e.requests = append(e.requests, request{r.Method, path, query(r.URL.Query()), body(path, r.Body)})
	e.mu.Unlock()
	name, known := answers[r.Method+" "+path]
	if !known {
		http.Error(w, `{"message":"`+r.Method+` `+path+` was not recorded"}`, http.StatusTeapot)
		return
	}
	recorded, err := os.ReadFile("../../testdata/captures/" + name + ".http")
	if err != nil {
		http.Error(w, err.Error(), http.StatusTeapot)
		return
	}
	answer, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(recorded)), r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusTeapot)
		return
	}
	w.Header().Set("Content-Type", answer.Header.Get("Content-Type"))
	w.WriteHeader(answer.StatusCode)
	_, _ = io.Copy(w, answer.Body) // some were cut
}

// query is a request's, each parameter as what it means: engines take every way
// to say yes, and filters as a list or as an object.
func query(values url.Values) map[string]any {
	meaning := map[string]any{}
	for name, all := range values {
		switch value := all[0]; {
		case name == "filters":
			meaning[name] = filters(value)
		case value == "true":
			meaning[name] = []string{"1"}
		case value != "false":
			meaning[name] = slices.Sorted(slices.Values(all))
		}
	}
	return meaning
}

func filters(encoded string) map[string]map[string]bool {
	meaning := map[string]map[string]bool{}
	if json.Unmarshal([]byte(encoded), &meaning) == nil {
		return meaning
	}
	var lists map[string][]string
	_ = json.Unmarshal([]byte(encoded), &lists) // what is neither says nothing
	for name, values := range lists {
		meaning[name] = map[string]bool{}
		for _, value := range values {
			meaning[name][value] = true
		}
	}
	return meaning
}

func body(path string, r io.Reader) any {
	var value any
	_ = json.NewDecoder(r).Decode(&value) // most have none
	if members, ok := value.(map[string]any); ok && path == "/networks/create" {
		maps.DeleteFunc(members, func(_ string, value any) bool { return value == false || value == "" }) // as absent
	}
	return withoutNulls(value)
}

// last is the last request; looking up an object first is nobody's business.
func (e *engine) last(t *testing.T) request {
	t.Helper()
	e.mu.Lock()
	defer e.mu.Unlock()
	require.NotEmpty(t, e.requests)
	return e.requests[len(e.requests)-1]
}

// The objects of the recorded answers, by their full IDs.
const (
	web   = "en2i4i8ywahss5og1dct7ctkf"
	task1 = "2yu2b2x2166i5zbmrb0gna1vz"
	down  = "l5os4b6dtj8mgd3v5sygbqcx9"
)

var since, until = time.Unix(1795226347, 5), time.Unix(1795226387, 0)

// same are calls of both clients that ask for the same thing. What they return
// is compared too: the objects through JSON, IDs and warnings as they are.
var same = map[string]struct {
	ours func(context.Context, *ours.Client) (any, error)
	moby func(context.Context, *client.Client) (any, error)
}{
	"services": {
		func(ctx context.Context, c *ours.Client) (any, error) {
			return c.Services.List(ctx, &ours.ServiceListOptions{Modes: []ours.ModeKind{ours.ModeReplicated}, Labels: map[string]string{"a": "b", "c": ""}})
		},
		func(ctx context.Context, c *client.Client) (any, error) {
			result, err := c.ServiceList(ctx, client.ServiceListOptions{Filters: client.Filters{}.Add("mode", "replicated").Add("label", "a=b", "c"), Status: true})
			return result.Items, err
		},
	},
	"a service with defaults": {
		func(ctx context.Context, c *ours.Client) (any, error) {
			return c.Services.InspectWithDefaults(ctx, web)
		},
		func(ctx context.Context, c *client.Client) (any, error) {
			result, err := c.ServiceInspect(ctx, web, client.ServiceInspectOptions{InsertDefaults: true})
			return result.Service, err
		},
	},
	"creating a service": {
		func(ctx context.Context, c *ours.Client) (any, error) {
			change, err := c.Services.Create(ctx, ours.ServiceSpec{Name: "web", Labels: map[string]string{"a": "b"}, Mode: ours.Replicated(2),
				TaskTemplate: ours.TaskSpec{ContainerSpec: ours.ContainerSpec{Image: "nginx:1.29"}}}, nil)
			return []any{change.ID, change.Warnings}, err
		},
		func(ctx context.Context, c *client.Client) (any, error) {
			result, err := c.ServiceCreate(ctx, client.ServiceCreateOptions{Spec: swarm.ServiceSpec{
				Annotations:  swarm.Annotations{Name: "web", Labels: map[string]string{"a": "b"}},
				Mode:         swarm.ServiceMode{Replicated: &swarm.ReplicatedService{Replicas: new(uint64(2))}},
				TaskTemplate: swarm.TaskSpec{ContainerSpec: &swarm.ContainerSpec{Image: "nginx:1.29"}}}})
			return []any{result.ID, result.Warnings}, err
		},
	},
	"logs": {
		func(ctx context.Context, c *ours.Client) (any, error) {
			return read(c.Services.Logs(ctx, web, &ours.LogOptions{Raw: true}))
		},
		func(ctx context.Context, c *client.Client) (any, error) {
			return readAll(c.ServiceLogs(ctx, web, client.ServiceLogsOptions{ShowStdout: true, ShowStderr: true}))
		},
	},
	"logs with all options": {
		func(ctx context.Context, c *ours.Client) (any, error) {
			return read(c.Services.Logs(ctx, web, &ours.LogOptions{Raw: true, Only: ours.LogStderr, Follow: true, Tail: 7, Since: since, Timestamps: true, Details: true}))
		},
		func(ctx context.Context, c *client.Client) (any, error) {
			return readAll(c.ServiceLogs(ctx, web, client.ServiceLogsOptions{ShowStderr: true, Follow: true, Tail: "7",
				Since: "1795226347.000000005", Timestamps: true, Details: true}))
		},
	},
	"logs without the past": {
		func(ctx context.Context, c *ours.Client) (any, error) {
			return read(c.Tasks.Logs(ctx, task1, &ours.LogOptions{Raw: true, Only: ours.LogStdout, Follow: true, Tail: ours.TailNone}))
		},
		func(ctx context.Context, c *client.Client) (any, error) {
			return readAll(c.TaskLogs(ctx, task1, client.TaskLogsOptions{ShowStdout: true, Follow: true, Tail: "0"}))
		},
	},
	"tasks": {
		func(ctx context.Context, c *ours.Client) (any, error) {
			return c.Tasks.List(ctx, &ours.TaskListOptions{Services: []string{"web"}, DesiredStates: []ours.TaskState{ours.TaskRunning}})
		},
		func(ctx context.Context, c *client.Client) (any, error) {
			result, err := c.TaskList(ctx, client.TaskListOptions{Filters: client.Filters{}.Add("service", "web").Add("desired-state", "running")})
			return result.Items, err
		},
	},
	"nodes": {
		func(ctx context.Context, c *ours.Client) (any, error) {
			return c.Nodes.List(ctx, &ours.NodeListOptions{Roles: []ours.NodeRole{ours.RoleManager}})
		},
		func(ctx context.Context, c *client.Client) (any, error) {
			result, err := c.NodeList(ctx, client.NodeListOptions{Filters: client.Filters{}.Add("role", "manager")})
			return result.Items, err
		},
	},
	"removing a node": {
		func(ctx context.Context, c *ours.Client) (any, error) {
			return nil, c.Nodes.Remove(ctx, down, &ours.NodeRemoveOptions{Force: true})
		},
		func(ctx context.Context, c *client.Client) (any, error) {
			_, err := c.NodeRemove(ctx, down, client.NodeRemoveOptions{Force: true})
			return nil, err
		},
	},
	"creating a secret": {
		func(ctx context.Context, c *ours.Client) (any, error) {
			return c.Secrets.Create(ctx, ours.SecretSpec{Name: "s", Labels: map[string]string{"a": "b"}, Data: []byte("x")})
		},
		func(ctx context.Context, c *client.Client) (any, error) {
			result, err := c.SecretCreate(ctx, client.SecretCreateOptions{Spec: swarm.SecretSpec{
				Annotations: swarm.Annotations{Name: "s", Labels: map[string]string{"a": "b"}}, Data: []byte("x")}})
			return result.ID, err
		},
	},
	"creating a config": {
		func(ctx context.Context, c *ours.Client) (any, error) {
			return c.Configs.Create(ctx, ours.ConfigSpec{Name: "c", Labels: map[string]string{"a": "b"}, Data: []byte("x")})
		},
		func(ctx context.Context, c *client.Client) (any, error) {
			result, err := c.ConfigCreate(ctx, client.ConfigCreateOptions{Spec: swarm.ConfigSpec{
				Annotations: swarm.Annotations{Name: "c", Labels: map[string]string{"a": "b"}}, Data: []byte("x")}})
			return result.ID, err
		},
	},
	"creating a network": {
		func(ctx context.Context, c *ours.Client) (any, error) {
			created, err := c.Networks.Create(ctx, ours.NetworkSpec{Name: "n", Attachable: true, Options: map[string]string{"encrypted": ""}})
			return []string{created.ID, created.Warning}, err
		},
		func(ctx context.Context, c *client.Client) (any, error) {
			created, err := c.NetworkCreate(ctx, "n", client.NetworkCreateOptions{Driver: "overlay", Attachable: true, Options: map[string]string{"encrypted": ""}})
			return []string{created.ID, strings.Join(created.Warning, "")}, err
		},
	},
	"a network with all that is on it": {
		func(ctx context.Context, c *ours.Client) (any, error) {
			return c.Networks.Inspect(ctx, "ingress", &ours.NetworkInspectOptions{Verbose: true, Scope: ours.ScopeSwarm})
		},
		func(ctx context.Context, c *client.Client) (any, error) {
			result, err := c.NetworkInspect(ctx, "ingress", client.NetworkInspectOptions{Verbose: true, Scope: "swarm"})
			return result.Network, err
		},
	},
	"creating a volume": {
		func(ctx context.Context, c *ours.Client) (any, error) {
			return c.Volumes.Create(ctx, ours.VolumeSpec{Name: "v", Driver: "local", DriverOpts: map[string]string{"type": "tmpfs"}, Labels: map[string]string{"a": "b"}})
		},
		func(ctx context.Context, c *client.Client) (any, error) {
			result, err := c.VolumeCreate(ctx, client.VolumeCreateOptions{Name: "v", Driver: "local", DriverOpts: map[string]string{"type": "tmpfs"}, Labels: map[string]string{"a": "b"}})
			return result.Volume, err
		},
	},
	"the swarm": {
		func(ctx context.Context, c *ours.Client) (any, error) { return c.Swarm.Inspect(ctx) },
		func(ctx context.Context, c *client.Client) (any, error) {
			result, err := c.SwarmInspect(ctx, client.SwarmInspectOptions{})
			return result.Swarm, err
		},
	},
	"leaving the swarm": {
		func(ctx context.Context, c *ours.Client) (any, error) {
			return nil, c.Swarm.Leave(ctx, &ours.LeaveOptions{Force: true})
		},
		func(ctx context.Context, c *client.Client) (any, error) {
			_, err := c.SwarmLeave(ctx, client.SwarmLeaveOptions{Force: true})
			return nil, err
		},
	},
	"the unlock key": {
		func(ctx context.Context, c *ours.Client) (any, error) { return c.Swarm.UnlockKey(ctx) },
		func(ctx context.Context, c *client.Client) (any, error) {
			result, err := c.SwarmGetUnlockKey(ctx)
			return result.Key, err
		},
	},
	"disk usage": {
		func(ctx context.Context, c *ours.Client) (any, error) {
			usage, err := c.System.DiskUsage(ctx, &ours.DiskUsageOptions{Types: []ours.DiskUsageType{
				ours.DiskUsageContainers, ours.DiskUsageImages, ours.DiskUsageBuildCache, ours.DiskUsageVolumes}})
			usage.Images.ReclaimableBytes = 0 // counted as the docker command does
			return []ours.DiskUsageSummary{usage.Images, usage.Containers, usage.Volumes, usage.BuildCache}, err
		},
		func(ctx context.Context, c *client.Client) (any, error) {
			usage, err := c.DiskUsage(ctx, client.DiskUsageOptions{Containers: true, Images: true, BuildCache: true, Volumes: true})
			return []ours.DiskUsageSummary{
				{Count: usage.Images.TotalCount, InUse: usage.Images.ActiveCount, SizeBytes: usage.Images.TotalSize},
				{Count: usage.Containers.TotalCount, InUse: usage.Containers.ActiveCount, SizeBytes: usage.Containers.TotalSize, ReclaimableBytes: usage.Containers.Reclaimable},
				{Count: usage.Volumes.TotalCount, InUse: usage.Volumes.ActiveCount, SizeBytes: usage.Volumes.TotalSize, ReclaimableBytes: usage.Volumes.Reclaimable},
				{Count: usage.BuildCache.TotalCount, InUse: usage.BuildCache.ActiveCount, SizeBytes: usage.BuildCache.TotalSize, ReclaimableBytes: usage.BuildCache.Reclaimable},
			}, err
		},
	},
	"volumes": {
		func(ctx context.Context, c *ours.Client) (any, error) {
			list, err := c.Volumes.List(ctx, &ours.VolumeListOptions{Dangling: new(false)})
			return list.Warnings, err
		},
		func(ctx context.Context, c *client.Client) (any, error) {
			result, err := c.VolumeList(ctx, client.VolumeListOptions{Filters: client.Filters{}.Add("dangling", "false")})
			return result.Warnings, err
		},
	},
	"networks": {
		func(ctx context.Context, c *ours.Client) (any, error) {
			_, err := c.Networks.List(ctx, &ours.NetworkListOptions{Drivers: []string{"overlay"}, Scopes: []ours.Scope{ours.ScopeSwarm}, Type: ours.NetworkCustom})
			return nil, err
		},
		func(ctx context.Context, c *client.Client) (any, error) {
			_, err := c.NetworkList(ctx, client.NetworkListOptions{Filters: client.Filters{}.Add("driver", "overlay").Add("scope", "swarm").Add("type", "custom")})
			return nil, err
		},
	},
	"secrets": {
		func(ctx context.Context, c *ours.Client) (any, error) {
			return c.Secrets.List(ctx, &ours.SecretListOptions{Names: []string{"secret1"}})
		},
		func(ctx context.Context, c *client.Client) (any, error) {
			result, err := c.SecretList(ctx, client.SecretListOptions{Filters: client.Filters{}.Add("names", "secret1")})
			return result.Items, err
		},
	},
	"configs": {
		func(ctx context.Context, c *ours.Client) (any, error) {
			return c.Configs.List(ctx, &ours.ConfigListOptions{Names: []string{"config1"}})
		},
		func(ctx context.Context, c *client.Client) (any, error) {
			result, err := c.ConfigList(ctx, client.ConfigListOptions{Filters: client.Filters{}.Add("name", "config1")})
			return result.Items, err
		},
	},
	"events": {
		func(ctx context.Context, c *ours.Client) (any, error) {
			events := []ours.Event{}
			for event, err := range c.Events.Watch(ctx, &ours.EventOptions{Since: since, Until: until, Types: []ours.EventType{ours.EventService}}) {
				if err != nil {
					return nil, err
				}
				events = append(events, event)
			}
			return events, nil
		},
		func(ctx context.Context, c *client.Client) (any, error) {
			result := c.Events(ctx, client.EventsListOptions{Since: "1795226347.000000005", Until: "1795226387.000000000", Filters: client.Filters{}.Add("type", "service")})
			events := []any{}
			for {
				select {
				case event := <-result.Messages:
					events = append(events, event)
				case err := <-result.Err:
					if err == io.EOF {
						err = nil
					}
					return events, err
				}
			}
		},
	},
}

func read(logs *ours.LogReader, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	return nil, logs.Copy(io.Discard, io.Discard)
}

func readAll(logs io.ReadCloser, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	defer logs.Close()
	_, err = io.Copy(io.Discard, logs)
	return nil, err
}

// Both clients ask for the same in the same words, moby's over connections that
// ours has made, and understand the same of the answer.
func TestRequestsAreMobys(t *testing.T) {
	for name, call := range same {
		t.Run(name, func(t *testing.T) {
			engine, own, moby := newEngine(t)
			ourResult, err := call.ours(t.Context(), own)
			require.NoError(t, err)
			ourRequest := engine.last(t)
			mobyResult, err := call.moby(t.Context(), moby)
			require.NoError(t, err)
			assert.Equal(t, engine.last(t), ourRequest)
			assert.Equal(t, known(t, mobyResult), known(t, ourResult))
		})
	}
}

// known is what both libraries have words for, as JSON.
func known(t *testing.T, result any) any {
	t.Helper()
	encoded, err := json.Marshal(result)
	require.NoError(t, err)
	return tree(t, encoded)
}
