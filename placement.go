package swarm

import (
	"net"
	"slices"
	"strings"
)

// MatchNodes returns the nodes, in their order, that can run tasks of a service:
// those that are ready and active, meet all constraints, are of a platform that
// the image is for, have what a task reserves, and have the volume and log drivers
// it asks for. It looks as the swarm's scheduler does, and says what can be said
// without an engine:
//
//   - What the tasks of a node reserve already is not known: a node counts as if
//     it were empty.
//   - Ports, MaxReplicas, network drivers and cluster volumes are not looked at.
//   - The role is the one a node was asked to have; after a promotion it takes a
//     moment to have it.
//
// A constraint that engines do not take is [ErrInvalid].
func MatchNodes(spec ServiceSpec, nodes []Node) ([]Node, error) {
	constraints, err := constraintsOf(spec.TaskTemplate.Placement)
	if err != nil {
		return nil, err
	}
	var matching []Node
	for _, node := range nodes {
		meets := func(c Constraint) bool { return c.Matches(&node) }
		if node.takesTasks() && !slices.ContainsFunc(constraints, not(meets)) && node.canRun(&spec.TaskTemplate) {
			matching = append(matching, node)
		}
	}
	return matching, nil
}

func constraintsOf(placement *Placement) (constraints []Constraint, err error) {
	if placement == nil {
		return nil, nil
	}
	for _, text := range placement.Constraints {
		c, err := ParseConstraint(text)
		if err != nil {
			return nil, err
		}
		constraints = append(constraints, c)
	}
	return constraints, nil
}

func not[T any](is func(T) bool) func(T) bool { return func(v T) bool { return !is(v) } }

// Matches reports whether a node meets the constraint, as the swarm's scheduler
// does. Values are compared without regard to case and as they are: * stands for
// itself. What a node does not have is empty, so that != holds. A key that no node
// has, or an address that is none, is met by no node, with != neither.
func (c Constraint) Matches(node *Node) bool {
	if strings.EqualFold(c.Key, "node.ip") {
		return c.matchesAddress(node.Status.Addr)
	}
	value, known := node.attribute(c.Key)
	return known && strings.EqualFold(value, c.Value) != c.Not
}

// matchesAddress compares an address with the constraint's, or looks whether it is
// in the constraint's network.
func (c Constraint) matchesAddress(text string) bool {
	address := net.ParseIP(text)
	if ip := net.ParseIP(c.Value); ip != nil {
		return ip.Equal(address) != c.Not
	}
	_, network, err := net.ParseCIDR(c.Value)
	return err == nil && network.Contains(address) != c.Not
}

// attribute is what constraints compare under a key.
func (n *Node) attribute(key string) (value string, known bool) {
	switch lower(key) {
	case "node.id":
		return n.ID, true
	case "node.hostname":
		return n.Description.Hostname, true
	case "node.role":
		return string(n.Spec.Role), true
	case "node.platform.os":
		return n.Description.Platform.OS, true
	case "node.platform.arch":
		return n.Description.Platform.Architecture, true
	}
	if name, found := cutPrefixFold(key, "node.labels."); found {
		return n.Spec.Labels[name], true
	}
	if name, found := cutPrefixFold(key, "engine.labels."); found {
		return n.Description.Engine.Labels[name], true
	}
	return "", false
}

// cutPrefixFold cuts off a prefix, whatever its case, that something follows.
func cutPrefixFold(text, prefix string) (rest string, found bool) {
	if len(text) <= len(prefix) || !strings.EqualFold(text[:len(prefix)], prefix) {
		return "", false
	}
	return text[len(prefix):], true
}

// takesTasks reports whether the node takes new tasks at all.
func (n *Node) takesTasks() bool {
	return n.Status.State == NodeReady && n.Spec.Availability == NodeActive
}

// canRun reports whether the node is of the right kind for a task.
func (n *Node) canRun(task *TaskSpec) bool {
	return n.hasPlatform(task.Placement) && n.hasResources(task.Resources) && n.hasDrivers(task)
}

func (n *Node) hasPlatform(placement *Placement) bool {
	if placement == nil || len(placement.Platforms) == 0 {
		return true
	}
	has := n.Description.Platform
	return slices.ContainsFunc(placement.Platforms, func(p Platform) bool {
		return (p.OS == "" || p.OS == has.OS) && (p.Architecture == "" || goArchitecture(p.Architecture) == goArchitecture(has.Architecture))
	})
}

// goArchitecture is an architecture by the name that images have for it, where
// kernels have another.
func goArchitecture(name string) string {
	switch name {
	case "x86_64":
		return "amd64"
	case "aarch64":
		return "arm64"
	}
	return name
}

func (n *Node) hasResources(wanted *ResourceRequirements) bool {
	if wanted == nil || wanted.Reservations == nil {
		return true
	}
	has, reserved := n.Description.Resources, wanted.Reservations
	return reserved.NanoCPUs <= has.NanoCPUs && reserved.MemoryBytes <= has.MemoryBytes &&
		!slices.ContainsFunc(reserved.GenericResources, not(has.hasGeneric))
}

// hasGeneric reports whether there is a number of things of a kind, of which a
// node has a number, or some by their names.
func (r NodeResources) hasGeneric(wanted GenericResource) bool {
	if wanted.DiscreteResourceSpec == nil {
		return false // nodes are asked for numbers alone
	}
	var number int64
	found := false
	for _, has := range r.GenericResources {
		switch named, discrete := has.NamedResourceSpec, has.DiscreteResourceSpec; {
		case named != nil && named.Kind == wanted.DiscreteResourceSpec.Kind:
			number, found = number+1, true
		case discrete != nil && discrete.Kind == wanted.DiscreteResourceSpec.Kind:
			number, found = number+discrete.Value, true
		}
	}
	return found && wanted.DiscreteResourceSpec.Value <= number
}

func (n *Node) hasDrivers(task *TaskSpec) bool {
	if task.LogDriver != nil && task.LogDriver.Name != "" && task.LogDriver.Name != "none" && !n.hasPlugin("Log", task.LogDriver.Name) {
		return false
	}
	return !slices.ContainsFunc(task.ContainerSpec.Mounts, func(m Mount) bool {
		driver := m.driverName()
		return driver != "" && driver != "local" && !n.hasPlugin("Volume", driver)
	})
}

// hasPlugin reports whether the node has a plugin, whose tag need not be named if
// it is latest. Nodes that name no log driver are too old to do so.
func (n *Node) hasPlugin(kind, name string) bool {
	named := false
	for _, plugin := range n.Description.Engine.Plugins {
		if plugin.Type != kind {
			continue
		}
		if named = true; plugin.Name == name || plugin.Name == name+":latest" {
			return true
		}
	}
	return kind == "Log" && !named
}

// driverName is the volume driver that a mount asks for, if it does.
func (m Mount) driverName() string {
	if m.Type != MountVolume || m.VolumeOptions == nil || m.VolumeOptions.DriverConfig == nil {
		return ""
	}
	return m.VolumeOptions.DriverConfig.Name
}
