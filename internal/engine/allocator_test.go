package engine

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/swarm-go/swarm"
)

// overlay makes a network of the swarm.
func (s *scene) overlay(name string) string {
	var id string
	s.world.Do(func() {
		s.cluster.commit(func(t *tx) {
			n := s.cluster.newNetwork(name)
			n.Driver = "overlay"
			s.cluster.allocateNetwork(n)
			put(t, s.cluster.networks, n)
			id = n.ID
		})
	})
	return id
}

func (s *scene) ingressID() string {
	var id string
	s.world.Do(func() { id = s.cluster.networks.named("ingress").ID })
	return id
}

func TestServiceAndTasksGetAddresses(t *testing.T) {
	s := newScene(t, 1)
	first, second := s.overlay("ov"), s.overlay("ov2")
	spec := replicated("web:1", 2)
	spec.TaskTemplate.Networks = []swarm.NetworkAttachmentConfig{{Target: first, Aliases: []string{"al"}}, {Target: second}}
	spec.EndpointSpec = swarm.EndpointSpec{Mode: swarm.EndpointVIP, Ports: []swarm.PortConfig{
		{Protocol: swarm.ProtocolTCP, TargetPort: 80, PublishMode: swarm.PublishIngress},
		{Protocol: swarm.ProtocolTCP, TargetPort: 81, PublishMode: swarm.PublishHost},
		{Protocol: swarm.ProtocolUDP, TargetPort: 80, PublishMode: swarm.PublishIngress},
	}}
	id := s.create(spec)
	created := s.service(id)
	assert.Zero(t, created.Endpoint)
	s.untilRunning(id, 2)
	service := s.service(id)
	assert.Greater(t, service.Version.Index, created.Version.Index)
	want := spec.EndpointSpec.Ports
	assert.Equal(t, spec.EndpointSpec, service.Endpoint.Spec)
	require.Len(t, service.Endpoint.Ports, 3)
	assert.Equal(t, uint32(30000), service.Endpoint.Ports[0].PublishedPort)
	assert.Equal(t, want[1], service.Endpoint.Ports[1])
	assert.Equal(t, uint32(30000), service.Endpoint.Ports[2].PublishedPort)
	assert.Equal(t, []swarm.EndpointVirtualIP{
		{NetworkID: s.ingressID(), Addr: "10.0.0.3/24"},
		{NetworkID: first, Addr: "10.0.1.2/24"},
		{NetworkID: second, Addr: "10.0.2.2/24"},
	}, service.Endpoint.VirtualIPs)
	var addresses [][]string
	for _, task := range s.running(id) {
		for _, attachment := range task.NetworksAttachments {
			addresses = append(addresses, attachment.Addresses)
		}
		assert.Equal(t, "ingress", task.NetworksAttachments[0].Network.Spec.Name)
		assert.Equal(t, "4097", task.NetworksAttachments[1].Network.DriverState.Options["com.docker.network.driver.overlay.vxlanid_list"])
		ports := task.Status.PortStatus.Ports
		require.Len(t, ports, 2)
		assert.GreaterOrEqual(t, ports[0].PublishedPort, uint32(32768))
	}
	assert.Equal(t, [][]string{{"10.0.0.4/24"}, {"10.0.1.3/24"}, {"10.0.2.3/24"}, {"10.0.0.5/24"}, {"10.0.1.4/24"}, {"10.0.2.4/24"}}, addresses)
	assert.NotEqual(t, s.running(id)[0].Status.PortStatus.Ports[0], s.running(id)[1].Status.PortStatus.Ports[0])

	// Names that stand for the tasks need no address of their own.
	s.change(id, func(spec *swarm.ServiceSpec) { spec.EndpointSpec = swarm.EndpointSpec{Mode: swarm.EndpointDNSRR} })
	s.untilStatus(id, swarm.UpdateCompleted)
	service = s.service(id)
	assert.Equal(t, swarm.Endpoint{Spec: swarm.EndpointSpec{Mode: swarm.EndpointDNSRR}}, service.Endpoint)
	assert.Len(t, s.running(id)[0].NetworksAttachments, 2)
}

func TestServiceWithoutAddressesKeepsItsVersion(t *testing.T) {
	s := newScene(t, 1)
	network := s.overlay("ov")
	for name, change := range map[string]func(*swarm.ServiceSpec){
		"plain": func(*swarm.ServiceSpec) {},
		"vip":   func(spec *swarm.ServiceSpec) { spec.EndpointSpec.Mode = swarm.EndpointVIP },
		"dnsrr": func(spec *swarm.ServiceSpec) {
			spec.EndpointSpec.Mode = swarm.EndpointDNSRR
			spec.TaskTemplate.Networks = []swarm.NetworkAttachmentConfig{{Target: network}}
		},
	} {
		spec := replicated("web:1", 1)
		spec.Name = name
		change(&spec)
		id := s.create(spec)
		version := s.service(id).Version
		s.untilRunning(id, 1)
		assert.Equal(t, version, s.service(id).Version, name)
		assert.Zero(t, s.service(id).Endpoint, name)
	}
}

func TestChosenPortsAreKeptAndFreed(t *testing.T) {
	s := newScene(t, 1)
	publish := func(name string) string {
		spec := replicated("web:1", 1)
		spec.Name = name
		spec.EndpointSpec = swarm.EndpointSpec{Mode: swarm.EndpointVIP, Ports: []swarm.PortConfig{
			{Protocol: swarm.ProtocolTCP, TargetPort: 80, PublishMode: swarm.PublishIngress},
		}}
		id := s.create(spec)
		s.untilRunning(id, 1)
		return id
	}
	port := func(id string) uint32 { return s.service(id).Endpoint.Ports[0].PublishedPort }
	first, second := publish("a"), publish("b")
	assert.Equal(t, uint32(30000), port(first))
	assert.Equal(t, uint32(30001), port(second))
	s.remove(first)
	s.change(second, func(spec *swarm.ServiceSpec) { spec.Labels = map[string]string{"a": "b"} })
	s.until("removal", func() bool { return len(s.all(first)) == 0 })
	assert.Equal(t, uint32(30001), port(second))
	assert.Equal(t, uint32(30000), port(publish("c")))
}

func TestAddressesAreNotUsedAgainSoon(t *testing.T) {
	s := newScene(t, 1)
	network := s.overlay("ov")
	spec := replicated("web:1", 1)
	spec.TaskTemplate.Networks = []swarm.NetworkAttachmentConfig{{Target: network}}
	seen := map[string]bool{}
	for range 260 { // more often than the network has addresses
		id := s.create(spec)
		s.untilRunning(id, 1)
		address := s.running(id)[0].NetworksAttachments[0].Addresses[0]
		if len(seen) < 100 {
			assert.False(t, seen[address], address)
		}
		seen[address] = true
		s.remove(id)
		s.until("removal", func() bool { return len(s.all(id)) == 0 })
	}
}
