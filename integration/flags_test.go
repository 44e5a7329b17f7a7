//go:build integration

package integration

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"path"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/swarm-go/swarm"
	"github.com/swarm-go/swarm/integration/engines"
)

// What needs an engine that is set up in another way than most, or disturbs all who
// use it.
func TestEnginesThatAreSetUpOtherwise(t *testing.T) {
	onEveryOwnEngine(t, func(t *testing.T, e *engines.Engine) {
		require.NoError(t, e.InitSwarm(t.Context()))
		require.NoError(t, e.LoadImages(t.Context()))
		t.Run("services of plugins", func(t *testing.T) { servicesOfPlugins(t, e) })
		t.Run("labels of engines", func(t *testing.T) { labelsOfEngines(t, e) })
		t.Run("events of the engine", func(t *testing.T) { eventsOfTheEngine(t, e) })
		t.Run("an ingress network", func(t *testing.T) { ingressNetwork(t, e) })
		assert.Empty(t, e.Crash())
	}, "--experimental", "--label=rack=r1", "--label=disk=fast")
}

// servicesOfPlugins needs experimental mode. The registry is not there, so that each
// task fails.
func servicesOfPlugins(t *testing.T, e *engines.Engine) {
	client := newClient(t, e)
	var created struct{ ID string }
	require.NoError(t, e.Call(t.Context(), http.MethodPost, "/services/create", json.RawMessage(`{"Name":"plugin","Labels":{"a":"b"},"Mode":{"Global":{}},
		"TaskTemplate":{"Runtime":"plugin","RestartPolicy":{"Condition":"none"},"PluginSpec":{"name":"p","remote":"127.0.0.1:1/p:1","disabled":true,
		"env":["A=b"],"privileges":[{"name":"network","description":"d","value":["host"]},{"name":"mount"}]}}}`), &created))
	removeLater(t, client, created.ID)
	service, err := client.Services.Inspect(t.Context(), "plugin")
	require.NoError(t, err)
	asRead[swarm.Service](t, service.Raw)
	assert.Equal(t, swarm.RuntimePlugin, service.Spec.TaskTemplate.Runtime)
	assert.Equal(t, &swarm.PluginSpec{Name: "p", Remote: "127.0.0.1:1/p:1", Disabled: true, Env: []string{"A=b"},
		Privileges: []swarm.PluginPrivilege{{Name: "network", Description: "d", Value: []string{"host"}}, {Name: "mount"}}}, service.Spec.TaskTemplate.PluginSpec)

	chosen := swarm.TaskListOptions{Services: []string{"plugin"}, Runtime: swarm.RuntimePlugin}
	var tasks []swarm.Task
	require.Eventually(t, func() bool {
		tasks, err = client.Tasks.List(t.Context(), &chosen)
		require.NoError(t, err)
		return len(tasks) == 1 && tasks[0].Status.State == swarm.TaskRejected
	}, 30*time.Second, 50*time.Millisecond)
	read := asRead[swarm.Task](t, tasks[0].Raw)
	assert.Equal(t, service.Spec.TaskTemplate.PluginSpec, read.Spec.PluginSpec)
	assert.Contains(t, read.Status.Err, "connection refused")
	inspected, err := client.Tasks.Inspect(t.Context(), read.ID)
	require.NoError(t, err)
	assert.JSONEq(t, string(tasks[0].Raw), string(inspected.Raw))
	for runtime, count := range map[swarm.Runtime]int{"": 0, swarm.RuntimePlugin: 1, swarm.RuntimeContainer: 0, swarm.RuntimeAttachment: 0} {
		services, err := client.Services.List(t.Context(), &swarm.ServiceListOptions{Runtime: runtime})
		require.NoError(t, err)
		assert.Len(t, services, count, runtime)
		chosen.Runtime = runtime
		tasks, err := client.Tasks.List(t.Context(), &chosen)
		require.NoError(t, err)
		assert.Len(t, tasks, count, runtime)
	}

	template := func() json.RawMessage {
		var service struct {
			Spec struct{ TaskTemplate json.RawMessage }
		}
		require.NoError(t, e.Call(t.Context(), http.MethodGet, "/services/"+created.ID, nil, &service))
		return service.Spec.TaskTemplate
	}
	before := template()
	change := update(t, client, "plugin", func(s *swarm.ServiceSpec) { s.Labels["c"] = "d" })
	assert.True(t, change.Changed)
	assert.Equal(t, string(before), string(template()))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	assert.ErrorIs(t, client.Services.Wait(ctx, change.Rollout, nil), swarm.ErrTasksFailed)
	snapshot, err := client.Services.Snapshot(ctx, "plugin")
	require.NoError(t, err)
	assert.Equal(t, swarm.StateFailing, snapshot.State())
	for _, opts := range []*swarm.LogOptions{nil, {Follow: true}} {
		assert.ErrorIs(t, logsError(client.Tasks.Logs(ctx, read.ID, opts)), swarm.ErrLogsNotReadable, "%+v", opts)
		assert.ErrorIs(t, logsError(client.Services.Logs(ctx, "plugin", opts)), swarm.ErrLogsNotReadable, "%+v", opts)
	}
}

func labelsOfEngines(t *testing.T, e *engines.Engine) {
	client := newClient(t, e)
	for found, all := range map[int][]map[string]string{
		1: {{"rack": "r1"}, {"rack": ""}, {"disk": ""}, {"rack": "r1", "disk": "fast"}},
		0: {{"rack": "r2"}, {"shelf": ""}, {"rack": "r1", "shelf": ""}, {"r1": ""}},
	} {
		for _, labels := range all {
			nodes, err := client.Nodes.List(t.Context(), &swarm.NodeListOptions{EngineLabels: labels})
			require.NoError(t, err)
			assert.Len(t, nodes, found, "%v", labels)
		}
	}
}

func eventsOfTheEngine(t *testing.T, e *engines.Engine) {
	client := newClient(t, e)
	since := engineTime(t, client)
	require.NoError(t, createPlugin(t.Context(), e, "local/shown:1"))
	require.NoError(t, createPlugin(t.Context(), e, "local/other:1"))
	require.NoError(t, e.Call(t.Context(), http.MethodDelete, "/plugins/local/shown:1", nil, nil))
	info, err := client.System.Info(t.Context())
	require.NoError(t, err)
	require.NoError(t, client.Nodes.Modify(t.Context(), info.Swarm.NodeID, func(n *swarm.Node) error {
		n.Spec.Labels = map[string]string{"shown": "yes"}
		return nil
	}))
	require.NoError(t, e.Reload(t.Context()))
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for event, err := range client.Events.Watch(ctx, &swarm.EventOptions{Since: since, Daemons: []string{info.ID}}) {
		require.NoError(t, err)
		asRead[swarm.Event](t, event.Raw)
		assert.Equal(t, swarm.EventDaemon, event.Type)
		assert.Equal(t, swarm.ActionReload, event.Action)
		assert.Equal(t, info.ID, event.Actor.ID)
		break
	}
	until := engineTime(t, client)
	reload := []string{"daemon reload " + info.Name}
	for _, row := range []struct {
		opts swarm.EventOptions
		want []string
	}{
		{swarm.EventOptions{Daemons: []string{info.ID}}, reload},
		{swarm.EventOptions{Daemons: []string{info.Name}, Types: []swarm.EventType{swarm.EventDaemon}}, reload},
		{swarm.EventOptions{Daemons: []string{info.Name}}, append(reload, "node update "+info.Name)}, // it has the same name
		{swarm.EventOptions{Types: []swarm.EventType{swarm.EventDaemon}}, reload},
		{swarm.EventOptions{Actions: []swarm.EventAction{swarm.ActionReload}}, reload},
		{swarm.EventOptions{Daemons: []string{"other"}}, []string{}},
		{swarm.EventOptions{Nodes: []string{info.Swarm.NodeID}}, []string{"node update " + info.Name}},
		{swarm.EventOptions{Nodes: []string{info.Name}, Types: []swarm.EventType{swarm.EventNode}}, []string{"node update " + info.Name}},
		{swarm.EventOptions{Nodes: []string{"other"}}, []string{}},
		{swarm.EventOptions{Plugins: []string{"local/shown:1"}}, []string{"plugin create local/shown:1", "plugin remove local/shown:1"}},
		{swarm.EventOptions{Plugins: []string{"local/other:1"}}, []string{"plugin create local/other:1"}},
		{swarm.EventOptions{Plugins: []string{"local/none:1"}}, []string{}},
	} {
		row.opts.Since, row.opts.Until = since, until
		assert.Equal(t, row.want, told(t, client, row.opts), "%+v", row.opts)
	}
}

// createPlugin makes a plugin out of nothing, which is never enabled.
func createPlugin(ctx context.Context, e *engines.Engine, name string) error {
	var content bytes.Buffer
	archive := tar.NewWriter(&content)
	config := fmt.Sprintf(`{"description":%q,"entrypoint":["/none"],"interface":{"types":["docker.volumedriver/1.0"],"socket":"p.sock"}}`, name)
	_ = archive.WriteHeader(&tar.Header{Name: "config.json", Mode: 0o600, Size: int64(len(config))})
	_, _ = io.WriteString(archive, config)
	_ = archive.WriteHeader(&tar.Header{Name: "rootfs/", Typeflag: tar.TypeDir, Mode: 0o700})
	_ = archive.WriteHeader(&tar.Header{Name: "rootfs/" + path.Base(name), Mode: 0o600}) // engines refuse the same content twice
	if err := archive.Close(); err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://engine/plugins/create?name="+name, &content)
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/x-tar")
	response, err := e.Client().Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusNoContent {
		said, _ := io.ReadAll(response.Body)
		return fmt.Errorf("%s: %s", response.Status, said)
	}
	return nil
}

// ingressNetwork puts a network in the place of the one that every swarm begins with.
func ingressNetwork(t *testing.T, e *engines.Engine) {
	client := newClient(t, e)
	spec := swarm.NetworkSpec{Name: "front", Ingress: true, Labels: map[string]string{"a": "b"},
		IPAM:    swarm.IPAM{Config: []swarm.IPAMConfig{{Subnet: "10.180.0.0/24", Gateway: "10.180.0.2"}}},
		Options: map[string]string{"com.docker.network.driver.mtu": "1400"}}
	_, err := client.Networks.Create(t.Context(), spec)
	require.ErrorIs(t, err, swarm.ErrNameConflict, "there is one already")
	require.NoError(t, client.Networks.Remove(t.Context(), "ingress"))
	require.EventuallyWithT(t, func(c *assert.CollectT) { // the node gives the old one up first
		_, err := client.Networks.Create(t.Context(), spec)
		assert.NoError(c, err)
	}, 30*time.Second, 50*time.Millisecond)

	published := testSpec("published", "-listen", ":80")
	published.EndpointSpec.Ports = []swarm.PortConfig{{PublishedPort: 18180, TargetPort: 80}}
	id := create(t, client, published)
	task, err := client.Tasks.Inspect(t.Context(), runningTasks(t, client, id, 1)[0])
	require.NoError(t, err)
	network, err := client.Networks.Inspect(t.Context(), "front", nil)
	require.NoError(t, err)
	asRead[swarm.Network](t, network.Raw)
	assert.True(t, network.Ingress)
	require.Len(t, task.NetworksAttachments, 1)
	assert.Equal(t, network.ID, task.NetworksAttachments[0].Network.ID)
	assert.Equal(t, spec.Labels, task.NetworksAttachments[0].Network.Spec.Labels) // the node's own copy has none
	assert.Equal(t, spec.IPAM.Config, network.IPAM.Config)
	assert.Equal(t, "1400", network.Options["com.docker.network.driver.mtu"])
	service, err := client.Services.Inspect(t.Context(), id)
	require.NoError(t, err)
	require.Len(t, service.Endpoint.VirtualIPs, 1)
	assert.Equal(t, network.ID, service.Endpoint.VirtualIPs[0].NetworkID)
	vip, err := netip.ParsePrefix(service.Endpoint.VirtualIPs[0].Addr)
	require.NoError(t, err)
	assert.True(t, netip.MustParsePrefix("10.180.0.0/24").Contains(vip.Addr()), vip)
	assert.ErrorIs(t, client.Networks.Remove(t.Context(), "front"), swarm.ErrInUse)
	require.NoError(t, client.Services.Remove(t.Context(), id))
}
