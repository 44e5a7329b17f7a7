package swarm

import (
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/docker/go-units"
)

// Validate finds what every engine would refuse in the network: nil, or a
// [*ValidationError]. An empty Driver is checked as what Create makes of it. An
// engine may still refuse what Validate takes: names and addresses that are
// taken and drivers that are missing only it can know.
func (s NetworkSpec) Validate() error { return validate(networkRules, &s) }

// Validate finds what every engine would refuse in the volume, unless there is
// one of this name already: nil, or a [*ValidationError]. Its messages hold none
// of the values of DriverOpts. What other drivers than the engine's own want only
// they know.
func (s VolumeSpec) Validate() error { return validate(volumeRules, &s) }

// Validate finds what every engine would refuse in the settings of a swarm: nil,
// or a [*ValidationError]. Whether certificates are good only the engine says.
func (s SwarmSpec) Validate() error { return validate(swarmRules, &s) }

// Validate finds what every engine would refuse in the spec of a node: nil, or a
// [*ValidationError]. Whether the swarm can do without it as a manager only the
// engine knows.
func (s NodeSpec) Validate() error { return validate(nodeRules, &s) }

var networkRules = []specRule[NetworkSpec]{
	{"network-name", checkNetworkName},
	{"network-driver", checkNetworkDriver},
	{"network-scope", checkNetworkScope},
	{"network-ingress", checkIngressNetwork},
	{"network-config-only", checkConfigOnly},
	{"network-subnet", inSubnets(nil)},
	{"network-gateway", inSubnets(checkGateway)},
	{"network-range", inSubnets(checkIPRange)},
	{"network-auxiliary-address", inSubnets(checkAuxiliaryAddresses)},
}

// overlayDriver is the driver of networks that reach from node to node.
const overlayDriver = "overlay"

func (s *NetworkSpec) isOverlay() bool {
	return !s.ConfigOnly && (s.Driver == "" || s.Driver == overlayDriver)
}

// isOfSwarm reports whether the swarm's managers keep the network. They check
// more than an engine does.
func (s *NetworkSpec) isOfSwarm() bool {
	return s.isOverlay() || !s.ConfigOnly && s.Scope == ScopeSwarm
}

func checkNetworkName(s *NetworkSpec, r report) {
	switch {
	case strings.TrimSpace(s.Name) == "":
		r("Name", "is missing")
	case s.Name == "none" || s.Name == "default":
		r("Name", "%q is the engine's own", s.Name)
	case !s.isOfSwarm():
	case len(s.Name) > maxServiceName:
		r("Name", "is longer than %d characters", maxServiceName)
	case !serviceNameForm.MatchString(s.Name):
		r("Name", "%q is not made of letters, digits, hyphens and underscores, a letter or digit first and last", s.Name)
	}
}

func checkNetworkDriver(s *NetworkSpec, r report) {
	if !s.ConfigOnly && (s.Driver == "null" || s.Driver == "host" && s.Scope != ScopeSwarm) {
		r("Driver", "%q has the one network that it can have", s.Driver)
	}
}

func checkNetworkScope(s *NetworkSpec, r report) {
	if s.isOverlay() && s.Scope == ScopeLocal {
		r("Scope", "%q cannot be that of an overlay network", s.Scope)
	}
}

func checkIngressNetwork(s *NetworkSpec, r report) {
	if !s.ConfigOnly && s.Ingress && s.Attachable {
		r("Attachable", "cannot be set beside Ingress")
	}
}

func checkConfigOnly(s *NetworkSpec, r report) {
	if !s.ConfigOnly {
		return
	}
	check := func(path string, set bool) {
		if set {
			r(path, "cannot be set beside ConfigOnly")
		}
	}
	check("Scope", s.Scope != "")
	check("Internal", s.Internal)
	check("Attachable", s.Attachable)
	check("Ingress", s.Ingress)
	check("ConfigFrom.Network", s.ConfigFrom.Network != "")
}

// inSubnets makes a rule about what is in a subnet one about networks. Without a
// check the rule is about the subnet itself.
func inSubnets(check func(*NetworkSpec, *net.IPNet, IPAMConfig, report)) func(*NetworkSpec, report) {
	return func(s *NetworkSpec, r report) {
		for i, c := range s.IPAM.Config {
			r := r.in("IPAM.Config[%d].", i)
			_, subnet, err := net.ParseCIDR(c.Subnet)
			switch {
			case err != nil && check == nil:
				r("Subnet", "%q is no address and length of a prefix, such as 10.1.0.0/16", c.Subnet)
			case err == nil && check != nil && !s.ConfigOnly: // before 26.1 they are not looked at
				check(s, subnet, c, r)
			}
		}
	}
}

// isIPv4 tells the subnets that all engines look at from those that they do not
// look at without EnableIPv6.
func isIPv4(subnet *net.IPNet) bool { return len(subnet.Mask) == net.IPv4len }

func checkGateway(s *NetworkSpec, subnet *net.IPNet, c IPAMConfig, r report) {
	gateway := net.ParseIP(c.Gateway)
	switch {
	case c.Gateway == "" || !s.isOfSwarm() && !isIPv4(subnet):
	case gateway == nil:
		r("Gateway", "%q is no IP address", c.Gateway)
	case s.isOfSwarm() && !subnet.Contains(gateway):
		r("Gateway", "%s is not in the subnet", c.Gateway)
	}
}

func checkIPRange(s *NetworkSpec, subnet *net.IPNet, c IPAMConfig, r report) {
	first, _, err := net.ParseCIDR(c.IPRange)
	switch {
	case c.IPRange == "" || !s.isOfSwarm() && !s.hasOwnAddresses(subnet):
	case err != nil:
		r("IPRange", "%q is no address and length of a prefix, such as 10.1.2.0/24", c.IPRange)
	case s.isOfSwarm() && !subnet.Contains(first):
		r("IPRange", "%s is not in the subnet", c.IPRange)
	}
}

// hasOwnAddresses reports whether the engine itself hands out the addresses of a
// subnet.
func (s *NetworkSpec) hasOwnAddresses(subnet *net.IPNet) bool {
	return isIPv4(subnet) && (s.IPAM.Driver == "" || s.IPAM.Driver == "default")
}

// checkAuxiliaryAddresses leaves out networks of the swarm, for which engines
// before 26.1 take anything.
func checkAuxiliaryAddresses(s *NetworkSpec, subnet *net.IPNet, c IPAMConfig, r report) {
	if s.isOfSwarm() || !s.hasOwnAddresses(subnet) {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(c.AuxiliaryAddresses)) {
		if address := c.AuxiliaryAddresses[name]; net.ParseIP(address) == nil {
			r(fmt.Sprintf("AuxiliaryAddresses[%q]", name), "%q is no IP address", address)
		}
	}
}

var volumeRules = []specRule[VolumeSpec]{
	{"volume-naming", checkVolumeName},
	{"volume-option", inLocalVolume(checkVolumeOptions)},
	{"volume-mount", inLocalVolume(checkVolumeMount)},
	{"volume-size", inLocalVolume(checkVolumeSize)},
	{"volume-access", inClusterVolume(checkVolumeAccess)},
	{"volume-secret", inClusterVolume(checkVolumeSecrets)},
}

// isLocal reports whether the engine itself makes the volume.
func (s *VolumeSpec) isLocal() bool {
	return s.ClusterVolumeSpec == nil && (s.Driver == "" || s.Driver == "local")
}

func checkVolumeName(s *VolumeSpec, r report) {
	switch {
	case s.ClusterVolumeSpec != nil && s.Name == "":
		r("Name", "is missing, a volume of the swarm has one")
	case s.isLocal() && s.Name != "" && !volumeName.MatchString(s.Name): // without one the engine chooses
		r("Name", "%q is not made of two or more letters, digits, dots, underscores and hyphens, a letter or digit first", s.Name)
	}
}

// inLocalVolume makes a rule about the options of the engine's own driver one
// about volumes.
func inLocalVolume(check func(options map[string]string, r report)) func(*VolumeSpec, report) {
	return func(s *VolumeSpec, r report) {
		if s.isLocal() {
			check(s.DriverOpts, r)
		}
	}
}

func optionPath(name string) string { return fmt.Sprintf("DriverOpts[%q]", name) }

func checkVolumeOptions(options map[string]string, r report) {
	for _, name := range slices.Sorted(maps.Keys(options)) {
		if !slices.Contains([]string{"type", "device", "o", "size"}, name) {
			r(optionPath(name), "is none of type, device, o and size")
		}
	}
}

// checkVolumeMount wants all of what is mounted, or nothing.
func checkVolumeMount(options map[string]string, r report) {
	has := func(name string) bool { _, ok := options[name]; return ok }
	if (has("device") || has("o")) && !has("type") {
		r(optionPath("type"), "is missing beside device or o")
	}
	if (has("type") || has("o")) && !has("device") {
		r(optionPath("device"), "is missing beside type or o")
	}
}

func checkVolumeSize(options map[string]string, r report) {
	if size, ok := options["size"]; ok {
		if _, err := units.RAMInBytes(size); err != nil {
			r(optionPath("size"), "is no size, such as 10m")
		}
	}
}

// inClusterVolume makes a rule about volumes of the swarm one about volumes.
func inClusterVolume(check func(*ClusterVolumeSpec, report)) func(*VolumeSpec, report) {
	return func(s *VolumeSpec, r report) {
		if s.ClusterVolumeSpec != nil {
			check(s.ClusterVolumeSpec, r.in("ClusterVolumeSpec."))
		}
	}
}

func checkVolumeAccess(s *ClusterVolumeSpec, r report) {
	switch mode := s.AccessMode; {
	case mode == nil:
		r("AccessMode", "is missing")
	case mode.MountVolume == nil && mode.BlockVolume == nil:
		r("AccessMode", "has neither MountVolume nor BlockVolume")
	}
}

func checkVolumeSecrets(s *ClusterVolumeSpec, r report) {
	for i, secret := range s.Secrets {
		if secret.Secret == "" {
			r(fmt.Sprintf("Secrets[%d].Secret", i), "is missing")
		}
	}
}

var swarmRules = []specRule[SwarmSpec]{
	{"swarm-name", checkSwarmName},
	{"heartbeat", checkHeartbeat},
	{"certificate-expiry", checkCertExpiry},
	{"external-ca", checkExternalCAs},
	{"signing-ca", checkSigningCA},
}

// swarmName is the one name that swarms can have.
const swarmName = "default"

func checkSwarmName(s *SwarmSpec, r report) {
	if s.Name != "" && s.Name != swarmName {
		r("Name", "%q is not %q", s.Name, swarmName)
	}
}

func checkHeartbeat(s *SwarmSpec, r report) {
	if period := s.Dispatcher.HeartbeatPeriod; period < 0 {
		r("Dispatcher.HeartbeatPeriod", "%s is negative", period)
	}
}

// minCertExpiry is the shortest life of a certificate.
const minCertExpiry = time.Hour

func checkCertExpiry(s *SwarmSpec, r report) {
	if expiry := s.CAConfig.NodeCertExpiry; expiry != 0 && expiry < minCertExpiry {
		r("CAConfig.NodeCertExpiry", "%s is less than %s", expiry, minCertExpiry)
	}
}

func checkExternalCAs(s *SwarmSpec, r report) {
	for i, ca := range s.CAConfig.ExternalCAs {
		if lower(ca.Protocol) != "cfssl" {
			r(fmt.Sprintf("CAConfig.ExternalCAs[%d].Protocol", i), "%q is not cfssl", ca.Protocol)
		}
	}
}

func checkSigningCA(s *SwarmSpec, r report) {
	if s.CAConfig.SigningCAKey != "" && s.CAConfig.SigningCACert == "" {
		r("CAConfig.SigningCACert", "is missing beside SigningCAKey")
	}
}

var nodeRules = []specRule[NodeSpec]{
	{"node-role", func(s *NodeSpec, r report) {
		checkWord(r, "Role", s.Role, RoleWorker, RoleManager)
	}},
	{"node-availability", func(s *NodeSpec, r report) {
		checkWord(r, "Availability", s.Availability, NodeActive, NodePause, NodeDrain)
	}},
}

// checkWord finds what is none of the words known, in capitals or not.
func checkWord[T ~string](r report, path string, word T, known ...T) {
	if !slices.Contains(known, lower(word)) {
		r(path, "%q is not one of %s", word, listOf(known))
	}
}

// Lint finds what engines take but do not do in the network, and fields that
// they drop, as [ServiceSpec.Lint] does.
func (s NetworkSpec) Lint(apiVersion string) []Problem {
	return lint("NetworkSpec", s, apiVersion, networkHints)
}

// Lint finds what engines take but do not do in the volume, and fields that they
// drop, as [ServiceSpec.Lint] does.
func (s VolumeSpec) Lint(apiVersion string) []Problem {
	return lint("VolumeSpec", s, apiVersion, volumeHints)
}

// Lint finds what engines take but do not do in the settings of a swarm, and
// fields that they drop, as [ServiceSpec.Lint] does.
func (s SwarmSpec) Lint(apiVersion string) []Problem {
	return lint("SwarmSpec", s, apiVersion, swarmHints)
}

// Lint finds fields in the spec of a node that engines drop, as
// [ServiceSpec.Lint] does.
func (s NodeSpec) Lint(apiVersion string) []Problem {
	return lint("NodeSpec", s, apiVersion, nil)
}

// Lint finds fields in the secret that engines drop, as [ServiceSpec.Lint] does.
func (s SecretSpec) Lint(apiVersion string) []Problem {
	return lint("SecretSpec", s, apiVersion, nil)
}

// Lint finds fields in the config that engines drop, as [ServiceSpec.Lint] does.
func (c ConfigSpec) Lint(apiVersion string) []Problem {
	return lint("ConfigSpec", c, apiVersion, nil)
}

var networkHints = []specRule[NetworkSpec]{
	{"config-only-driver", func(s *NetworkSpec, r report) {
		if s.ConfigOnly && s.Driver != "" {
			r("Driver", "is dropped, the network is a configuration for others")
		}
	}},
	{"scope-word", func(s *NetworkSpec, r report) {
		hintWord(r, "Scope", s.Scope, "", ScopeSwarm, ScopeLocal, ScopeGlobal)
	}},
}

var volumeHints = []specRule[VolumeSpec]{
	{"access-scope", inAccessMode(func(m *VolumeAccessMode, r report) {
		hintWord(r, "Scope", m.Scope, VolumeSingleNode, VolumeMultiNode)
	})},
	{"access-sharing", inAccessMode(func(m *VolumeAccessMode, r report) {
		hintWord(r, "Sharing", m.Sharing, VolumeSharingNone, VolumeSharingReadOnly, VolumeSharingOneWriter, VolumeSharingAll)
	})},
	{"access-block", inAccessMode(func(m *VolumeAccessMode, r report) {
		if m.MountVolume != nil && m.BlockVolume != nil {
			r("BlockVolume", "is dropped beside MountVolume")
		}
	})},
	{"volume-availability", inClusterVolume(func(s *ClusterVolumeSpec, r report) {
		hintWord(r, "Availability", s.Availability, VolumeActive, VolumePause, VolumeDrain)
	})},
	{"volume-capacity", inClusterVolume(func(s *ClusterVolumeSpec, r report) {
		if c := s.CapacityRange; c != nil && c.LimitBytes != 0 && c.RequiredBytes > c.LimitBytes {
			r("CapacityRange", "wants %d bytes and %d at most: no driver can make the volume", c.RequiredBytes, c.LimitBytes)
		}
	})},
}

// inAccessMode makes a hint about the access to volumes of the swarm one about
// volumes.
func inAccessMode(hint func(*VolumeAccessMode, report)) func(*VolumeSpec, report) {
	return inClusterVolume(func(s *ClusterVolumeSpec, r report) {
		if s.AccessMode != nil {
			hint(s.AccessMode, r.in("AccessMode."))
		}
	})
}

// hintWord finds a word that engines take for the first of those known.
func hintWord[T ~string](r report, path string, word T, known ...T) {
	switch {
	case word == "" || slices.Contains(known, word):
	case known[0] == "":
		r(path, "%q is taken as if it were empty", word)
	default:
		r(path, "%q is taken for %q", word, known[0])
	}
}

var swarmHints = []specRule[SwarmSpec]{
	{"raft-tick", func(s *SwarmSpec, r report) {
		hintTick(r, "Raft.ElectionTick", s.Raft.ElectionTick, 10)
		hintTick(r, "Raft.HeartbeatTick", s.Raft.HeartbeatTick, 1)
	}},
}

// hintTick finds what managers keep and never use.
func hintTick(r report, path string, ticks, used int) {
	if ticks != 0 && ticks != used {
		r(path, "%d has no effect, it is always %d", ticks, used)
	}
}
