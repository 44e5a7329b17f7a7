package engine

import (
	"cmp"
	"math"
	"net/netip"
	"reflect"
	"slices"

	"github.com/swarm-go/swarm"
)

// The ports that managers choose from.
const (
	firstDynamicPort = 30000
	lastDynamicPort  = 32767
)

// addressBook is the addresses that are in use.
type addressBook struct {
	// pools are those of the networks, by ID.
	pools map[string]*pool
	// ofNodes are those that nodes have in networks of tasks.
	ofNodes map[nodeNetwork]string
}

// nodeNetwork is a network on a node.
type nodeNetwork struct{ node, network string }

// pool is the addresses of a network. They are given in turn, so that none is
// used again soon.
type pool struct {
	subnet netip.Prefix
	last   netip.Addr
	used   map[netip.Addr]bool
}

// newPool is the addresses of a network that has a subnet, nil if it has none.
func newPool(n *network) *pool {
	if len(n.IPAM.Config) == 0 {
		return nil
	}
	subnet, err := netip.ParsePrefix(n.IPAM.Config[0].Subnet)
	if err != nil {
		return nil
	}
	p := &pool{subnet: subnet.Masked(), used: map[netip.Addr]bool{}}
	p.last = p.subnet.Addr()
	if gateway, err := netip.ParseAddr(n.IPAM.Config[0].Gateway); err == nil {
		p.used[gateway] = true
	}
	return p
}

// take is a free address with the length of the network's prefix, empty if there
// is none.
func (p *pool) take() string {
	if p == nil {
		return ""
	}
	after, _ := following(p.subnet)
	broadcast := after.Prev()
	addr := p.last
	for range len(p.used) + 3 {
		if addr = addr.Next(); !p.subnet.Contains(addr) || addr == broadcast {
			addr = p.subnet.Addr().Next()
		}
		if !p.used[addr] {
			p.used[addr] = true
			p.last = addr
			return netip.PrefixFrom(addr, p.subnet.Bits()).String()
		}
	}
	return ""
}

// release frees an address that was taken.
func (p *pool) release(address string) {
	if prefix, err := netip.ParsePrefix(address); err == nil && p != nil {
		delete(p.used, prefix.Addr())
	}
}

// noticeNetwork takes notice of a network and its addresses.
func (o *control) noticeNetwork(old, new *network) {
	switch {
	case new == nil:
		delete(o.addresses.pools, old.ID)
		for where := range o.addresses.ofNodes {
			if where.network == old.ID {
				delete(o.addresses.ofNodes, where)
			}
		}
	case o.addresses.pools[new.ID] == nil:
		if p := newPool(new); p != nil {
			o.addresses.pools[new.ID] = p
		}
	}
}

// attachNode gives a node an address in a network, for what reaches its tasks
// there.
func (o *control) attachNode(nodeID, networkID string) {
	where := nodeNetwork{nodeID, networkID}
	if o.addresses.ofNodes[where] == "" {
		o.addresses.ofNodes[where] = o.addresses.pools[networkID].take()
	}
}

// detachNode frees the addresses of a node that is gone.
func (o *control) detachNode(nodeID string) {
	for where, address := range o.addresses.ofNodes {
		if where.node == nodeID {
			o.addresses.pools[where.network].release(address)
			delete(o.addresses.ofNodes, where)
		}
	}
}

// ingress is the networks of published ports: one, or none.
func (o *control) ingress() []string {
	var found []string
	for _, n := range o.cluster.networks.byID {
		if n.Ingress {
			found = append(found, n.ID)
		}
	}
	return found
}

// allocateServices gives services their addresses and ports.
func (o *control) allocateServices(changed ids) {
	c := o.cluster
	for _, id := range sortedKeys(changed) {
		service := c.services.get(id)
		if service == nil || !hasPorts(service) {
			continue
		}
		endpoint := o.endpointFor(service)
		// Endpoints without an address or a port are not looked after.
		had := !reflect.ValueOf(service.Endpoint).IsZero()
		if !had && len(endpoint.Ports) == 0 && len(endpoint.VirtualIPs) == 0 {
			continue
		}
		if !reflect.DeepEqual(endpoint, service.Endpoint) {
			c.commit(func(t *tx) {
				t.changeService(id, func(service *swarm.Service) { service.Endpoint = endpoint })
			})
		}
	}
}

// hasPorts reports whether the ports that a service asks the whole swarm for are any.
// Else neither it nor its tasks get anything.
func hasPorts(service *swarm.Service) bool {
	return !slices.ContainsFunc(service.Spec.EndpointSpec.Ports, func(p swarm.PortConfig) bool {
		return p.PublishMode != swarm.PublishHost && p.PublishedPort > math.MaxUint16
	})
}

// endpointFor is the endpoint of a service: what it has is kept as far as the spec
// still asks for it.
func (o *control) endpointFor(service *swarm.Service) swarm.Endpoint {
	spec := service.Spec.EndpointSpec
	endpoint := swarm.Endpoint{Spec: spec, Ports: o.publish(service), VirtualIPs: o.virtualIPs(service)}
	if len(endpoint.Ports) == 0 && len(endpoint.VirtualIPs) == 0 && reflect.ValueOf(service.Endpoint).IsZero() {
		return swarm.Endpoint{} // a service that needs nothing is left as it is
	}
	return endpoint
}

// publish is the ports of a service with the numbers that were not asked for.
func (o *control) publish(service *swarm.Service) []swarm.PortConfig {
	spec := service.Spec.EndpointSpec
	for key, id := range o.ports {
		if id == service.ID {
			delete(o.ports, key)
		}
	}
	ports := slices.Clone(spec.Ports)
	for i, port := range ports {
		if port.PublishMode == swarm.PublishHost {
			continue
		}
		if port.PublishedPort == 0 {
			port.PublishedPort = o.portFor(service, port)
		}
		o.ports[portKey{port.Protocol, port.PublishedPort}] = service.ID
		ports[i] = port
	}
	return ports
}

// portFor is the number for a port that none was asked for: that which the service
// has for it already, or the first that is free.
func (o *control) portFor(service *swarm.Service, port swarm.PortConfig) uint32 {
	free := func(number uint32) bool { return o.ports[portKey{port.Protocol, number}] == "" }
	for _, old := range service.Endpoint.Ports {
		number := old.PublishedPort
		if old.PublishedPort = 0; old == port && number >= firstDynamicPort && free(number) {
			return number
		}
	}
	for number := uint32(firstDynamicPort); number <= lastDynamicPort; number++ {
		if free(number) {
			return number
		}
	}
	return 0
}

// virtualIPs are the addresses of a service: one in each of its networks, unless
// its name stands for its tasks' addresses.
func (o *control) virtualIPs(service *swarm.Service) []swarm.EndpointVirtualIP {
	var networks []string
	if service.Spec.EndpointSpec.Mode != swarm.EndpointDNSRR {
		networks = o.networksOf(service)
	}
	have := map[string]string{}
	for _, vip := range service.Endpoint.VirtualIPs {
		if slices.Contains(networks, vip.NetworkID) {
			have[vip.NetworkID] = vip.Addr
		} else {
			o.addresses.pools[vip.NetworkID].release(vip.Addr)
		}
	}
	var vips []swarm.EndpointVirtualIP
	for _, id := range networks {
		if have[id] == "" {
			have[id] = o.addresses.pools[id].take()
		}
		vips = append(vips, swarm.EndpointVirtualIP{NetworkID: id, Addr: have[id]})
	}
	return vips
}

// networksOf are the networks of a service that have addresses, the ingress
// network first.
func (o *control) networksOf(service *swarm.Service) []string {
	var networks []string
	add := func(id string) {
		if o.addresses.pools[id] != nil && !slices.Contains(networks, id) {
			networks = append(networks, id)
		}
	}
	if slices.ContainsFunc(service.Spec.EndpointSpec.Ports, func(p swarm.PortConfig) bool { return p.PublishMode != swarm.PublishHost }) {
		for _, id := range o.ingress() {
			add(id)
		}
	}
	for _, attachment := range attachments(service) {
		add(attachment.Target)
	}
	return networks
}

// attachments are the networks a service asks for.
func attachments(service *swarm.Service) []swarm.NetworkAttachmentConfig {
	if len(service.Spec.TaskTemplate.Networks) > 0 {
		return service.Spec.TaskTemplate.Networks
	}
	return service.Spec.Networks //lint:ignore SA1019 engines still take them from there
}

// releaseService frees what a service had that is gone.
func (o *control) releaseService(service *swarm.Service) {
	for key, id := range o.ports {
		if id == service.ID {
			delete(o.ports, key)
		}
	}
	for _, vip := range service.Endpoint.VirtualIPs {
		o.addresses.pools[vip.NetworkID].release(vip.Addr)
	}
}

// allocateTasks gives new tasks their addresses, with which they can be placed.
func (o *control) allocateTasks(fresh ids) {
	c := o.cluster
	byService := map[string][]*swarm.Task{}
	for id := range fresh {
		if task := c.tasks.get(id); task != nil && task.Status.State == swarm.TaskNew {
			byService[task.ServiceID] = append(byService[task.ServiceID], task)
		}
	}
	for _, id := range sortedKeys(byService) {
		service := c.services.get(id)
		if service == nil || !hasPorts(service) {
			continue
		}
		tasks := byService[id]
		slices.SortFunc(tasks, byPlace)
		c.commit(func(t *tx) {
			for _, task := range tasks {
				t.changeTask(task.ID, func(task *swarm.Task) {
					task.NetworksAttachments = o.attach(service)
					task.Status = swarm.TaskStatus{Timestamp: t.now, State: swarm.TaskPending, Message: "pending task scheduling"}
				})
			}
		})
	}
}

// attach gives a task of a service an address in each of its networks.
func (o *control) attach(service *swarm.Service) []swarm.NetworkAttachment {
	var attached []swarm.NetworkAttachment
	for _, id := range o.networksOf(service) {
		if address := o.addresses.pools[id].take(); address != "" {
			attached = append(attached, swarm.NetworkAttachment{
				Network:   attachedNetwork(o.cluster.networks.get(id)),
				Addresses: []string{address},
			})
		}
	}
	return attached
}

// releaseTask frees the addresses of a task that is gone.
func (o *control) releaseTask(task *swarm.Task) {
	for _, attachment := range task.NetworksAttachments {
		for _, address := range attachment.Addresses {
			o.addresses.pools[attachment.Network.ID].release(address)
		}
	}
}

// attachedNetwork is a network as tasks tell of it.
func attachedNetwork(n *network) swarm.AttachedNetwork {
	ipam := &swarm.AttachedNetworkIPAM{Driver: swarm.Driver{Name: n.IPAM.Driver}}
	for _, config := range n.IPAM.Config {
		ipam.Configs = append(ipam.Configs, swarm.AttachedNetworkSubnet{
			Subnet: config.Subnet, Range: config.IPRange, Gateway: config.Gateway,
		})
	}
	attached := swarm.AttachedNetwork{
		ID:        n.ID,
		Version:   n.version,
		CreatedAt: n.Created,
		UpdatedAt: n.updated,
		Spec: swarm.AttachedNetworkSpec{
			Name:                n.Name,
			Labels:              n.Labels,
			DriverConfiguration: &swarm.Driver{Name: n.Driver},
			IPv6Enabled:         n.EnableIPv6,
			Internal:            n.Internal,
			Attachable:          n.Attachable,
			Ingress:             n.Ingress,
			Scope:               string(swarm.ScopeSwarm),
		},
		DriverState: swarm.Driver{Name: n.Driver, Options: n.Options},
		IPAMOptions: ipam,
	}
	if attached.Spec.Labels == nil {
		attached.Spec.Labels = map[string]string{}
	}
	if n.Ingress {
		attached.Spec.DriverConfiguration = &swarm.Driver{}
		attached.Spec.IPAMOptions = &swarm.AttachedNetworkIPAM{}
	}
	return attached
}

// byPlace compares tasks of a service by their place.
func byPlace(a, b *swarm.Task) int {
	return cmp.Or(cmp.Compare(a.Slot, b.Slot), cmp.Compare(a.NodeID, b.NodeID), cmp.Compare(a.ID, b.ID))
}
