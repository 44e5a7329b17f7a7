package engine

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/swarm-go/swarm"
)

// firstVXLAN is the number of the first network of a swarm on the wire.
const firstVXLAN = 4096

// allocateNetwork gives a network what it has not asked for: numbers on the wire,
// one for each subnet, and a subnet of the swarm's address pool. Only overlays
// have such.
func (c *Cluster) allocateNetwork(n *network) {
	if n.Driver != "overlay" {
		n.IPAM.Config = []swarm.IPAMConfig{}
		return
	}
	n.IPAM.Driver = "default"
	if len(n.IPAM.Config) == 0 {
		n.IPAM.Config = []swarm.IPAMConfig{{}}
	}
	numbers := []string{}
	for i := range n.IPAM.Config {
		numbers = append(numbers, fmt.Sprint(firstVXLAN+c.vxlans))
		c.vxlans++
		config := &n.IPAM.Config[i]
		if config.Subnet == "" {
			config.Subnet = c.freeSubnet().String()
		}
		if subnet, err := netip.ParsePrefix(config.Subnet); err == nil && config.Gateway == "" {
			config.Gateway = subnet.Masked().Addr().Next().String()
		}
	}
	if n.Options == nil {
		n.Options = map[string]string{}
	}
	n.Options["com.docker.network.driver.overlay.vxlanid_list"] = strings.Join(numbers, ",")
}

// subnetsOf are the subnets that a network has.
func subnetsOf(n *network) []netip.Prefix {
	subnets := []netip.Prefix{}
	for _, config := range n.IPAM.Config {
		if subnet, err := netip.ParsePrefix(config.Subnet); err == nil {
			subnets = append(subnets, subnet)
		}
	}
	return subnets
}

// freeSubnet is the first subnet of the swarm's address pool that overlaps with
// none that is in use. It is no subnet at all if there is none left.
func (c *Cluster) freeSubnet() netip.Prefix {
	taken := []netip.Prefix{}
	for _, n := range c.networks.all() {
		taken = append(taken, subnetsOf(n)...)
	}
	for _, text := range c.object.DefaultAddrPool {
		pool, err := netip.ParsePrefix(text)
		if err != nil {
			continue
		}
		if subnet, ok := freeIn(pool.Masked(), int(c.object.SubnetSize), taken); ok {
			return subnet
		}
	}
	return netip.Prefix{}
}

// freeIn is the first subnet of that size in a pool which overlaps with none of
// those taken.
func freeIn(pool netip.Prefix, size int, taken []netip.Prefix) (netip.Prefix, bool) {
	next := netip.PrefixFrom(pool.Addr(), size)
	for pool.Contains(next.Addr()) {
		overlap := firstOverlap(next, taken)
		if !overlap.IsValid() {
			return next, true
		}
		if overlap.Bits() > size {
			overlap = next
		}
		after, ok := following(overlap)
		if !ok {
			break
		}
		next = netip.PrefixFrom(after, size)
	}
	return netip.Prefix{}, false
}

func firstOverlap(subnet netip.Prefix, taken []netip.Prefix) netip.Prefix {
	for _, other := range taken {
		if subnet.Overlaps(other) {
			return other.Masked()
		}
	}
	return netip.Prefix{}
}

// following is the address that follows a subnet's last, if there is one.
func following(subnet netip.Prefix) (netip.Addr, bool) {
	last := subnet.Addr().AsSlice()
	for bit := subnet.Bits(); bit < len(last)*8; bit++ {
		last[bit/8] |= 1 << (7 - bit%8)
	}
	addr, _ := netip.AddrFromSlice(last)
	next := addr.Next()
	return next, next.IsValid()
}
