//go:build integration

package integration

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/swarm-go/swarm"
	"github.com/swarm-go/swarm/integration/engines"
)

// createNetwork makes a network that the end of the test removes.
func createNetwork(t *testing.T, client *swarm.Client, spec swarm.NetworkSpec) string {
	t.Helper()
	created, err := client.Networks.Create(t.Context(), spec)
	require.NoError(t, err)
	assert.Empty(t, created.Warning)
	t.Cleanup(func() {
		// Tasks that are still being stopped keep it for a moment.
		assert.EventuallyWithT(t, func(c *assert.CollectT) {
			err := client.Networks.Remove(context.WithoutCancel(t.Context()), created.ID)
			if !errors.Is(err, swarm.ErrNotFound) {
				assert.NoError(c, err)
			}
		}, 30*time.Second, 200*time.Millisecond)
	})
	return created.ID
}

func names(networks []swarm.Network) []string {
	list := []string{}
	for _, n := range networks {
		list = append(list, n.Name)
	}
	slices.Sort(list)
	return list
}

func TestOverlayNetworkWithEveryOption(t *testing.T) {
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		client := newClient(t, e)
		name := serviceName(t, "n")
		id := createNetwork(t, client, swarm.NetworkSpec{
			Name:  name,
			Scope: swarm.ScopeSwarm,
			IPAM: swarm.IPAM{Driver: "default", Config: []swarm.IPAMConfig{
				{Subnet: "10.177.0.0/24", IPRange: "10.177.0.128/25", Gateway: "10.177.0.3", AuxiliaryAddresses: map[string]string{"x": "10.177.0.9"}}}},
			Internal: true, Attachable: true,
			Options: map[string]string{"com.docker.network.driver.mtu": "1400", "encrypted": ""},
			Labels:  map[string]string{"a": "b", "empty": ""},
		})
		var network *swarm.Network
		require.Eventually(t, func() bool {
			var err error
			network, err = client.Networks.Inspect(t.Context(), id, nil)
			require.NoError(t, err)
			return network.Driver != ""
		}, 10*time.Second, 50*time.Millisecond, "the managers set it up")
		assert.Equal(t, id, network.ID)
		assert.Equal(t, name, network.Name)
		assert.Equal(t, swarm.ScopeSwarm, network.Scope)
		assert.Equal(t, "overlay", network.Driver)
		assert.True(t, network.Internal)
		assert.True(t, network.Attachable)
		assert.False(t, network.Ingress)
		assert.Equal(t, []swarm.IPAMConfig{{Subnet: "10.177.0.0/24", IPRange: "10.177.0.128/25", Gateway: "10.177.0.3"}}, network.IPAM.Config,
			"auxiliary addresses are dropped")
		assert.Equal(t, "1400", network.Options["com.docker.network.driver.mtu"])
		assert.Contains(t, network.Options, "encrypted")
		assert.Equal(t, map[string]string{"a": "b", "empty": ""}, network.Labels)
		assert.WithinDuration(t, time.Now(), network.Created, time.Minute)
		assert.NotEmpty(t, network.Raw)
	})
}

func TestOverlayNetworksWithIPv6(t *testing.T) {
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		client := newClient(t, e)
		flagged := createNetwork(t, client, swarm.NetworkSpec{Name: serviceName(t, "flag"), EnableIPv6: new(true)})
		subnets := []swarm.IPAMConfig{{Subnet: "10.179.0.0/24", Gateway: "10.179.0.1"}, {Subnet: "fd00:179::/64", Gateway: "fd00:179::1"}}
		routed := createNetwork(t, client, swarm.NetworkSpec{Name: serviceName(t, "subnet"), EnableIPv6: new(true), IPAM: swarm.IPAM{Config: subnets}})
		require.EventuallyWithT(t, func(c *assert.CollectT) {
			network, err := client.Networks.Inspect(t.Context(), flagged, nil)
			require.NoError(c, err)
			assert.True(c, network.EnableIPv6)
			assert.Len(c, network.IPAM.Config, 1, "an IPv4 subnet alone")
		}, 10*time.Second, 50*time.Millisecond)
		want := subnets
		if e.Name == "28.5" {
			want = nil
		}
		require.EventuallyWithT(t, func(c *assert.CollectT) {
			network, err := client.Networks.Inspect(t.Context(), routed, nil)
			require.NoError(c, err)
			assert.True(c, network.EnableIPv6)
			assert.Equal(c, want, network.IPAM.Config)
			assert.Equal(c, want == nil, network.Driver == "", "an empty driver says that it was not set up")
		}, 10*time.Second, 50*time.Millisecond)
	})
}

func TestServicesAreConnectedToNetworksByIDAndByName(t *testing.T) {
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		client := newClient(t, e)
		byName, byID := serviceName(t, "a"), serviceName(t, "b")
		first := createNetwork(t, client, swarm.NetworkSpec{Name: byName})
		second := createNetwork(t, client, swarm.NetworkSpec{Name: byID})
		spec := testSpec(serviceName(t, "s"))
		spec.TaskTemplate.Networks = []swarm.NetworkAttachmentConfig{{Target: byName, Aliases: []string{"web"}}, {Target: second}}
		id := create(t, client, spec)
		service, err := client.Services.Inspect(t.Context(), id)
		require.NoError(t, err)
		attached := service.Spec.TaskTemplate.Networks
		require.Len(t, attached, 2)
		assert.Equal(t, first, attached[0].Target, "a name becomes an ID")
		assert.Equal(t, second, attached[1].Target)

		var inUse *swarm.InUseError
		err = client.Networks.Remove(t.Context(), byName)
		require.ErrorAs(t, err, &inUse)
		assert.Equal(t, []string{id}, inUse.Services)

		var network *swarm.Network
		require.Eventually(t, func() bool {
			network, err = client.Networks.Inspect(t.Context(), byName, &swarm.NetworkInspectOptions{Verbose: true, Scope: swarm.ScopeSwarm})
			require.NoError(t, err)
			return len(network.Services[spec.Name].Tasks) > 0
		}, 30*time.Second, 100*time.Millisecond, "verbose shows the tasks that have come")
		shown := network.Services[spec.Name]
		service, err = client.Services.Inspect(t.Context(), id) // again: addresses come after the service
		require.NoError(t, err)
		require.NotEmpty(t, service.Endpoint.VirtualIPs)
		assert.True(t, strings.HasPrefix(service.Endpoint.VirtualIPs[0].Addr, shown.VIP+"/"), "%s %s", service.Endpoint.VirtualIPs[0].Addr, shown.VIP)
		assert.Contains(t, shown.Tasks[0].Name, spec.Name+".1.")
		assert.NotEmpty(t, network.Peers)
		assert.NotEmpty(t, network.Containers)
		plain, err := client.Networks.Inspect(t.Context(), byName, nil)
		require.NoError(t, err)
		assert.Empty(t, plain.Services)

		require.NoError(t, client.Services.Remove(t.Context(), id))
	})
}

func TestNetworksAreListedByEveryFilter(t *testing.T) {
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		client := newClient(t, e)
		one, two, bridge := serviceName(t, "x-one"), serviceName(t, "x-one-two"), serviceName(t, "bridge")
		id := createNetwork(t, client, swarm.NetworkSpec{Name: one, Labels: map[string]string{"test": e.Name, "colour": "red"}})
		other := createNetwork(t, client, swarm.NetworkSpec{Name: two, Labels: map[string]string{"test": e.Name, "colour": "blue"}})
		createNetwork(t, client, swarm.NetworkSpec{Name: bridge, Driver: "bridge", Labels: map[string]string{"test": e.Name, "local": ""}})
		ours := map[string]string{"test": e.Name}
		for what, row := range map[string]struct {
			opts swarm.NetworkListOptions
			want []string
		}{
			"all ours":           {swarm.NetworkListOptions{Labels: ours}, []string{bridge, one, two}},
			"id":                 {swarm.NetworkListOptions{IDs: []string{id}}, []string{one}},
			"two ids":            {swarm.NetworkListOptions{IDs: []string{id, other}}, []string{one, two}},
			"part of an id":      {swarm.NetworkListOptions{IDs: []string{id[:12]}}, []string{}},
			"id prefix":          {swarm.NetworkListOptions{IDPrefixes: []string{id[:12]}}, []string{one}},
			"middle of an id":    {swarm.NetworkListOptions{IDPrefixes: []string{id[4:16]}}, []string{}},
			"name":               {swarm.NetworkListOptions{Names: []string{one}}, []string{one}},
			"two names":          {swarm.NetworkListOptions{Names: []string{one, bridge}}, []string{bridge, one}},
			"part of a name":     {swarm.NetworkListOptions{Names: []string{one[:len(one)-1]}}, []string{}},
			"pattern":            {swarm.NetworkListOptions{Names: []string{strings.Replace(one, "x-one", "x.one", 1)}}, []string{}},
			"name prefix":        {swarm.NetworkListOptions{NamePrefixes: []string{one}}, []string{one, two}},
			"name or prefix":     {swarm.NetworkListOptions{NamePrefixes: []string{two}, Names: []string{bridge}}, []string{bridge, two}},
			"middle of a name":   {swarm.NetworkListOptions{NamePrefixes: []string{one[2:]}}, []string{}},
			"label with value":   {swarm.NetworkListOptions{Labels: map[string]string{"test": e.Name, "colour": "red"}}, []string{one}},
			"label that is set":  {swarm.NetworkListOptions{Labels: map[string]string{"test": e.Name, "colour": ""}}, []string{one, two}},
			"label that is none": {swarm.NetworkListOptions{Labels: map[string]string{"test": e.Name, "taste": ""}}, []string{}},
			"driver":             {swarm.NetworkListOptions{Labels: ours, Drivers: []string{"bridge"}}, []string{bridge}},
			"two drivers":        {swarm.NetworkListOptions{Labels: ours, Drivers: []string{"bridge", "overlay"}}, []string{bridge, one, two}},
			"swarm":              {swarm.NetworkListOptions{Labels: ours, Scopes: []swarm.Scope{swarm.ScopeSwarm}}, []string{one, two}},
			"local":              {swarm.NetworkListOptions{Labels: ours, Scopes: []swarm.Scope{swarm.ScopeLocal}}, []string{bridge}},
			"global":             {swarm.NetworkListOptions{Labels: ours, Scopes: []swarm.Scope{swarm.ScopeGlobal}}, []string{}},
			"custom":             {swarm.NetworkListOptions{Labels: ours, Type: swarm.NetworkCustom}, []string{bridge, one, two}},
			"built in":           {swarm.NetworkListOptions{Type: swarm.NetworkBuiltin}, []string{"bridge", "host", "none"}},
			"dangling":           {swarm.NetworkListOptions{Labels: ours, Dangling: new(true)}, []string{bridge, one, two}},
			"not dangling":       {swarm.NetworkListOptions{Labels: ours, Dangling: new(false)}, []string{}},
		} {
			require.EventuallyWithT(t, func(c *assert.CollectT) { // until the managers have set them up, they have no driver
				networks, err := client.Networks.List(t.Context(), &row.opts)
				require.NoError(c, err, what)
				assert.Equal(c, row.want, names(networks), what)
			}, 10*time.Second, 50*time.Millisecond)
		}
	})
}

func TestConfigurationsOfNetworksAreUsedByOthers(t *testing.T) {
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		client := newClient(t, e)
		config := serviceName(t, "config")
		createNetwork(t, client, swarm.NetworkSpec{Name: config, ConfigOnly: true, Labels: map[string]string{"of": "config"},
			IPAM: swarm.IPAM{Config: []swarm.IPAMConfig{{Subnet: "10.178.0.0/24", AuxiliaryAddresses: map[string]string{"x": "10.178.0.9"}}}}})
		id := createNetwork(t, client, swarm.NetworkSpec{Name: serviceName(t, "user"), Driver: "bridge",
			ConfigFrom: swarm.NetworkConfigSource{Network: config}})
		read, err := client.Networks.Inspect(t.Context(), config, nil)
		require.NoError(t, err)
		assert.True(t, read.ConfigOnly)
		assert.Equal(t, "null", read.Driver)
		assert.Equal(t, map[string]string{"x": "10.178.0.9"}, read.IPAM.Config[0].AuxiliaryAddresses)
		user, err := client.Networks.Inspect(t.Context(), id, nil)
		require.NoError(t, err)
		assert.Equal(t, config, user.ConfigFrom.Network)
		assert.Equal(t, "10.178.0.0/24", user.IPAM.Config[0].Subnet)
		assert.Equal(t, map[string]string{"of": "config"}, user.Labels, "they are inherited")
		everywhere := createNetwork(t, client, swarm.NetworkSpec{Name: serviceName(t, "everywhere"), Driver: "macvlan", Scope: swarm.ScopeSwarm,
			ConfigFrom: swarm.NetworkConfigSource{Network: config}})
		shared, err := client.Networks.Inspect(t.Context(), everywhere, nil)
		require.NoError(t, err)
		assert.Equal(t, swarm.ScopeSwarm, shared.Scope)
		assert.Equal(t, config, shared.ConfigFrom.Network)
		assert.ErrorIs(t, client.Networks.Remove(t.Context(), config), swarm.ErrInUse)
	})
}

func TestErrorsOfNetworks(t *testing.T) {
	t.Parallel()
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		client := newClient(t, e)
		name := serviceName(t, "n")
		id := createNetwork(t, client, swarm.NetworkSpec{Name: name})
		for what, row := range map[string]struct {
			spec swarm.NetworkSpec
			want error
		}{
			"name is taken":      {swarm.NetworkSpec{Name: name}, swarm.ErrNameConflict},
			"second ingress":     {swarm.NetworkSpec{Name: name + "2", Ingress: true}, swarm.ErrNameConflict},
			"bad name":           {swarm.NetworkSpec{Name: "a/b c"}, swarm.ErrInvalid},
			"long name":          {swarm.NetworkSpec{Name: strings.Repeat("n", 64)}, swarm.ErrInvalid},
			"bad subnet":         {swarm.NetworkSpec{Name: name + "3", IPAM: swarm.IPAM{Config: []swarm.IPAMConfig{{Subnet: "nonsense"}}}}, swarm.ErrInvalid},
			"unknown IPAM":       {swarm.NetworkSpec{Name: name + "4", IPAM: swarm.IPAM{Driver: "nosuch"}}, swarm.ErrInvalid},
			"unknown driver":     {swarm.NetworkSpec{Name: name + "5", Driver: "nosuch"}, swarm.ErrNotFound},
			"overlay of a node":  {swarm.NetworkSpec{Name: name + "6", Scope: swarm.ScopeLocal}, swarm.ErrForbidden},
			"name of a built-in": {swarm.NetworkSpec{Name: "host", Driver: "bridge"}, swarm.ErrNameConflict},
		} {
			_, err := client.Networks.Create(t.Context(), row.spec)
			assert.ErrorIs(t, err, row.want, what)
		}
		for what, opts := range map[string]swarm.NetworkInspectOptions{"local": {Scope: swarm.ScopeLocal}, "global": {Scope: swarm.ScopeGlobal}} {
			_, err := client.Networks.Inspect(t.Context(), name, &opts)
			assert.ErrorIs(t, err, swarm.ErrNotFound, what)
		}
		_, err := client.Networks.Inspect(t.Context(), "nope", nil)
		assert.ErrorIs(t, err, swarm.ErrNotFound)
		byPrefix, err := client.Networks.Inspect(t.Context(), id[:16], nil)
		require.NoError(t, err)
		assert.Equal(t, id, byPrefix.ID)
		assert.ErrorIs(t, client.Networks.Remove(t.Context(), id[:16]), swarm.ErrNotFound, "a prefix removes nothing")
		assert.ErrorIs(t, client.Networks.Remove(t.Context(), "nope"), swarm.ErrNotFound)
		assert.ErrorIs(t, client.Networks.Remove(t.Context(), "bridge"), swarm.ErrForbidden)
		require.NoError(t, client.Networks.Remove(t.Context(), name))
		assert.ErrorIs(t, client.Networks.Remove(t.Context(), name), swarm.ErrNotFound)
	})
}

func TestNetworksOfTheEngineCannotBothHaveOneName(t *testing.T) {
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		client := newClient(t, e)
		spec := swarm.NetworkSpec{Name: serviceName(t, "n"), Driver: "bridge"}
		createNetwork(t, client, spec)
		_, err := client.Networks.Create(t.Context(), spec)
		assert.ErrorIs(t, err, swarm.ErrNameConflict)
	})
}

func TestNetworksOutsideOfASwarm(t *testing.T) {
	onEveryOwnEngine(t, func(t *testing.T, e *engines.Engine) {
		client := newClient(t, e)
		_, err := client.Networks.Create(t.Context(), swarm.NetworkSpec{Name: "overlay"})
		assert.ErrorIs(t, err, swarm.ErrNoSwarm)
		networks, err := client.Networks.List(t.Context(), nil)
		require.NoError(t, err)
		assert.Equal(t, []string{"bridge", "host", "none"}, names(networks))
		created, err := client.Networks.Create(t.Context(), swarm.NetworkSpec{Name: "local", Driver: "bridge", EnableIPv6: new(false)})
		require.NoError(t, err)
		assert.Len(t, created.ID, 64)
		require.NoError(t, client.Networks.Remove(t.Context(), "local"))
	})
}

// A container that is none of a service's may use a network of the swarm: a task
// stands for it.
func TestContainersOfOthersAreAttachedByTasks(t *testing.T) {
	t.Parallel()
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		client, name := newClient(t, e), serviceName(t, "n")
		network := createNetwork(t, client, swarm.NetworkSpec{Name: name, Attachable: true})
		var container struct{ ID string }
		require.NoError(t, e.Call(t.Context(), http.MethodPost, "/containers/create?name="+name,
			map[string]any{"Image": engines.Image1, "HostConfig": map[string]any{"NetworkMode": name}}, &container))
		remove := func() error {
			return e.Call(context.WithoutCancel(t.Context()), http.MethodDelete, "/containers/"+container.ID+"?force=1", nil, nil)
		}
		t.Cleanup(func() { _ = remove() })
		require.NoError(t, e.Call(t.Context(), http.MethodPost, "/containers/"+container.ID+"/start", nil, nil))

		attached := func(runtime swarm.Runtime) (ours []swarm.Task) {
			tasks, err := client.Tasks.List(t.Context(), &swarm.TaskListOptions{Runtime: runtime})
			require.NoError(t, err)
			for _, task := range tasks {
				if spec := task.Spec.NetworkAttachmentSpec; spec != nil && spec.ContainerID == container.ID {
					ours = append(ours, task)
				}
			}
			return ours
		}
		tasks := attached(swarm.RuntimeAttachment)
		require.Len(t, tasks, 1)
		for _, runtime := range []swarm.Runtime{"", swarm.RuntimeContainer, swarm.RuntimePlugin} {
			assert.Empty(t, attached(runtime), runtime)
		}
		task := asRead[swarm.Task](t, tasks[0].Raw)
		assert.Equal(t, swarm.TaskRunning, task.Status.State)
		assert.Empty(t, task.ServiceID)
		require.Len(t, task.NetworksAttachments, 1)
		assert.Equal(t, network, task.NetworksAttachments[0].Network.ID)
		inspected, err := client.Tasks.Inspect(t.Context(), task.ID)
		require.NoError(t, err)
		assert.JSONEq(t, string(tasks[0].Raw), string(inspected.Raw))
		for _, opts := range []*swarm.LogOptions{nil, {Follow: true}} {
			assert.ErrorIs(t, logsError(client.Tasks.Logs(t.Context(), task.ID, opts)), swarm.ErrLogsNotReadable, "%+v", opts)
		}

		verbose, err := client.Networks.Inspect(t.Context(), network, &swarm.NetworkInspectOptions{Verbose: true})
		require.NoError(t, err)
		asRead[swarm.Network](t, verbose.Raw)
		assert.Contains(t, verbose.Containers, container.ID)
		require.Len(t, verbose.Services[""].Tasks, 1, "it is of no service")
		assert.Equal(t, name, verbose.Services[""].Tasks[0].Name)
		assert.Equal(t, strings.Split(task.NetworksAttachments[0].Addresses[0], "/")[0], verbose.Services[""].Tasks[0].EndpointIP)
		require.NoError(t, remove())
	})
}
