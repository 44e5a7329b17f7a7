package engine

import (
	"encoding/hex"
	"fmt"
	"net/http"
	"net/netip"
	"slices"

	"github.com/swarm-go/swarm"
)

// gatewayBridge is the network that leads out of overlay networks.
const gatewayBridge = "docker_gwbridge"

// addLocalNetworks makes the networks that every engine has.
func (d *Daemon) addLocalNetworks() {
	for _, name := range []string{"bridge", "host", "none"} {
		driver := name
		if name == "none" {
			driver = "null"
		}
		made := d.newLocal(name, driver)
		made.predefined = true
		if driver == "bridge" {
			made.IPAM.Config = []swarm.IPAMConfig{{Subnet: "172.17.0.0/16", Gateway: "172.17.0.1"}}
			made.Options = map[string]string{
				"com.docker.network.bridge.default_bridge":       "true",
				"com.docker.network.bridge.enable_icc":           "true",
				"com.docker.network.bridge.enable_ip_masquerade": "true",
				"com.docker.network.bridge.host_binding_ipv4":    "0.0.0.0",
				"com.docker.network.bridge.name":                 "docker0",
				"com.docker.network.driver.mtu":                  "1500",
			}
		}
		d.keep(made)
	}
}

// addGateway makes the network that engines in a swarm have beside.
func (d *Daemon) addGateway() {
	if d.networks.named(gatewayBridge) != nil {
		return
	}
	made := d.newLocal(gatewayBridge, "bridge")
	d.allocateLocal(made)
	made.Options = map[string]string{
		"com.docker.network.bridge.enable_icc":           "false",
		"com.docker.network.bridge.enable_ip_masquerade": "true",
		"com.docker.network.bridge.name":                 gatewayBridge,
	}
	d.keep(made)
}

// newLocal is a network of the daemon alone that has no addresses yet.
func (d *Daemon) newLocal(name, driver string) *network {
	return &network{Network: swarm.Network{
		ID:      hex.EncodeToString(randomBytes(d.world.rand, 32)),
		Name:    name,
		Created: d.world.now(),
		Scope:   swarm.ScopeLocal,
		Driver:  driver,
		IPAM:    swarm.IPAM{Driver: "default"},
	}}
}

// keep stores a network of the daemon alone. Such networks have no versions.
func (d *Daemon) keep(n *network) {
	d.networks.byID[n.ID] = n
	d.networks.byName[d.networks.nameOf(n)] = n.ID
	if !n.predefined {
		d.note("network", "create", n.ID, n.Name)
		d.localEvent(swarm.EventNetwork, swarm.ActionCreate, n.ID, attributes{"name": n.Name, "type": n.Driver})
	}
}

// createLocal makes a network of the daemon alone.
func (d *Daemon) createLocal(posted *postedNetwork) (id string, err error) {
	driver := posted.Driver
	switch {
	case posted.ConfigOnly:
		driver = "null"
	case driver == "":
		driver = "bridge"
	case driver == "host" || driver == "null":
		return "", refuse(http.StatusForbidden, "only one instance of %q network is allowed", driver)
	}
	made := d.newLocal(posted.Name, driver)
	made.EnableIPv4, made.EnableIPv6 = posted.EnableIPv4, posted.EnableIPv6
	made.Internal, made.Attachable, made.ConfigOnly = posted.Internal, posted.Attachable, posted.ConfigOnly
	made.Options, made.Labels = posted.Options, posted.Labels
	if posted.ConfigFrom != nil {
		made.ConfigFrom = *posted.ConfigFrom
	}
	if posted.IPAM != nil {
		made.IPAM.Options, made.IPAM.Config = posted.IPAM.Options, posted.IPAM.Config
	}
	if driver != "null" && len(made.IPAM.Config) == 0 {
		d.allocateLocal(made)
	}
	d.keep(made)
	return made.ID, nil
}

// localPool is what bridges get their subnets from, after that of the first.
var localPool = netip.MustParsePrefix("172.16.0.0/12")

func (d *Daemon) allocateLocal(n *network) {
	taken := []netip.Prefix{netip.MustParsePrefix("172.16.0.0/16")}
	for _, other := range d.networks.all() {
		taken = append(taken, subnetsOf(other)...)
	}
	if subnet, ok := freeIn(localPool, 16, taken); ok {
		n.IPAM.Config = []swarm.IPAMConfig{{Subnet: subnet.String(), Gateway: subnet.Addr().Next().String()}}
	}
}

// removeLocal removes a network of the daemon alone.
func (d *Daemon) removeLocal(n *network) error {
	if n.predefined {
		return refuse(http.StatusForbidden, "%s is a pre-defined network and cannot be removed", n.Name)
	}
	uses := func(other *network) bool { return other.ConfigFrom.Network == n.Name }
	if n.ConfigOnly && slices.ContainsFunc(d.known(), uses) {
		return refuse(http.StatusForbidden, "error while removing network: configuration network %q is in use", n.Name)
	}
	delete(d.networks.byName, d.networks.nameOf(n))
	delete(d.networks.byID, n.ID)
	d.note("network", "remove", n.ID, n.Name)
	d.localEvent(swarm.EventNetwork, swarm.ActionDestroy, n.ID, attributes{"name": n.Name, "type": n.Driver})
	return nil
}

// checkSubnets refuses subnets that are none.
func checkSubnets(release *Release, ipam *swarm.IPAM) error {
	if ipam == nil {
		return nil
	}
	for _, config := range ipam.Config {
		if config.Subnet == "" {
			continue
		}
		if _, err := netip.ParsePrefix(config.Subnet); err == nil {
			continue
		}
		if release.oldNetworks {
			return refuse(http.StatusInternalServerError, "Invalid subnet %s : invalid CIDR address: %s", config.Subnet, config.Subnet)
		}
		return refuse(http.StatusBadRequest, "%s", fmt.Sprintf("invalid network config:\ninvalid subnet %s: invalid CIDR block notation", config.Subnet))
	}
	return nil
}
