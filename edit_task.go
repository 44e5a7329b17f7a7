package swarm

import (
	"reflect"
	"slices"
	"strings"
)

// AddConstraint adds a condition on the nodes that tasks are placed on, such as
// node.role==worker. If it is there, with spaces set in another way perhaps,
// nothing changes. The rest of the placement stays as it is.
func (s *ServiceSpec) AddConstraint(constraint string) {
	editPart(&s.TaskTemplate.Placement, func(p *Placement) bool {
		return add(&p.Constraints, constraint, isConstraint(constraint))
	})
}

// DropConstraint takes a condition away, however its spaces are set, and reports
// whether it was there. The docker command's --constraint-rm wants the very text.
func (s *ServiceSpec) DropConstraint(constraint string) bool {
	return editPart(&s.TaskTemplate.Placement, func(p *Placement) bool { return drop(&p.Constraints, isConstraint(constraint)) })
}

// isConstraint finds what says the same as a constraint. One that cannot be read
// is found by its text.
func isConstraint(constraint string) func(string) bool {
	wanted, err := ParseConstraint(constraint)
	return func(have string) bool {
		c, unreadable := ParseConstraint(have)
		return have == constraint || err == nil && unreadable == nil && c == wanted
	}
}

// AddPreference adds something that tasks are spread over, as the least important
// of all; [SpreadOver] and [ParsePreference] make one. If it is there, nothing
// changes.
func (s *ServiceSpec) AddPreference(preference PlacementPreference) {
	editPart(&s.TaskTemplate.Placement, func(p *Placement) bool {
		return add(&p.Preferences, preference, func(have PlacementPreference) bool { return reflect.DeepEqual(have, preference) })
	})
}

// DropPreference has tasks no longer spread over a label such as
// node.labels.zone, and reports whether they were.
func (s *ServiceSpec) DropPreference(label string) bool {
	return editPart(&s.TaskTemplate.Placement, func(p *Placement) bool {
		return drop(&p.Preferences, func(have PlacementPreference) bool {
			return have.Spread != nil && have.Spread.SpreadDescriptor == label
		})
	})
}

// AddHost gives the containers an address for a host name, beside the others that
// the name has. If it has this one, nothing changes.
func (s *ServiceSpec) AddHost(name, address string) {
	add(&s.TaskTemplate.ContainerSpec.Hosts, address+" "+name, isHost(name, address))
}

// isHost finds the entries that give a name an address. Engines read one name of
// each.
func isHost(name, address string) func(string) bool {
	return func(entry string) bool {
		fields := strings.Fields(entry)
		return len(fields) > 1 && fields[0] == address && fields[1] == name
	}
}

// PutHost gives the containers an address for a host name, in the place of those
// that the name has. If it has just this one, nothing changes.
func (s *ServiceSpec) PutHost(name, address string) {
	hosts := &s.TaskTemplate.ContainerSpec.Hosts
	if !slices.ContainsFunc(*hosts, isHost(name, address)) {
		put(hosts, address+" "+name, func(entry string) bool {
			fields := strings.Fields(entry)
			return len(fields) == 2 && fields[1] == name
		})
	}
	dropHosts(hosts, name, func(have string) bool { return have != address })
}

// DropHost takes a host name away from the containers, with this address or, if
// address is empty, with every one, and reports whether they had it. Of an entry
// with several names the others stay.
func (s *ServiceSpec) DropHost(name, address string) bool {
	return dropHosts(&s.TaskTemplate.ContainerSpec.Hosts, name, func(have string) bool { return address == "" || have == address })
}

// dropHosts takes a name out of the entries for the addresses that are meant, and
// drops entries without a name.
func dropHosts(hosts *[]string, name string, isMeant func(address string) bool) bool {
	const nameless = ""
	found := replace(hosts, func(entry *string) bool {
		fields := strings.Fields(*entry)
		if len(fields) < 2 || !isMeant(fields[0]) || !slices.Contains(fields[1:], name) {
			return false
		}
		names := slices.DeleteFunc(fields[1:], func(have string) bool { return have == name })
		if *entry = nameless; len(names) > 0 {
			*entry = fields[0] + " " + strings.Join(names, " ")
		}
		return true
	})
	if found {
		drop(hosts, func(entry string) bool { return entry == nameless })
	}
	return found
}

// AddDNSServer has containers ask a name server, by its IP address, after the
// others that they ask. If they do, nothing changes.
func (s *ServiceSpec) AddDNSServer(address string) {
	s.editDNS(func(d *DNSConfig) bool { return add(&d.Nameservers, address, is(address)) })
}

// DropDNSServer takes a name server away and reports whether it was there.
func (s *ServiceSpec) DropDNSServer(address string) bool {
	return s.editDNS(func(d *DNSConfig) bool { return drop(&d.Nameservers, is(address)) })
}

// AddDNSSearch has containers look short names up in a domain, after the others.
// If they do, nothing changes.
func (s *ServiceSpec) AddDNSSearch(domain string) {
	s.editDNS(func(d *DNSConfig) bool { return add(&d.Search, domain, is(domain)) })
}

// DropDNSSearch takes a domain away and reports whether it was there.
func (s *ServiceSpec) DropDNSSearch(domain string) bool {
	return s.editDNS(func(d *DNSConfig) bool { return drop(&d.Search, is(domain)) })
}

// PutDNSOption sets an option of the resolver, such as ndots:2 or rotate: in the
// place of the one of that name, or else behind the others. The docker command's
// --dns-option-add keeps ndots:1 beside ndots:2.
func (s *ServiceSpec) PutDNSOption(option string) {
	s.editDNS(func(d *DNSConfig) bool {
		put(&d.Options, option, isDNSOption(option))
		return true
	})
}

// DropDNSOption takes an option of the resolver away, by its name, ndots, whatever
// its value, and reports whether it was there.
func (s *ServiceSpec) DropDNSOption(name string) bool {
	return s.editDNS(func(d *DNSConfig) bool { return drop(&d.Options, isDNSOption(name)) })
}

func isDNSOption(option string) func(string) bool {
	name, _, _ := strings.Cut(option, ":")
	return func(have string) bool {
		of, _, _ := strings.Cut(have, ":")
		return of == name
	}
}

func (s *ServiceSpec) editDNS(edit func(*DNSConfig) bool) bool {
	return editPart(&s.TaskTemplate.ContainerSpec.DNSConfig, edit)
}

// PutSysctl sets a kernel parameter of the containers.
func (s *ServiceSpec) PutSysctl(name, value string) {
	putIn(&s.TaskTemplate.ContainerSpec.Sysctls, name, value)
}

// DropSysctl leaves a kernel parameter to the node and reports whether it was set.
func (s *ServiceSpec) DropSysctl(name string) bool {
	sysctls := &s.TaskTemplate.ContainerSpec.Sysctls
	found := dropFrom(sysctls, name)
	if found && len(*sysctls) == 0 {
		*sysctls = nil
	}
	return found
}

// PutUlimit limits a resource of the process: in the place of the limit of that
// name, or else behind the others. [ParseUlimit] makes one.
func (s *ServiceSpec) PutUlimit(ulimit Ulimit) {
	put(&s.TaskTemplate.ContainerSpec.Ulimits, ulimit, func(u Ulimit) bool { return u.Name == ulimit.Name })
}

// DropUlimit takes a limit away, by its name, and reports whether there was one.
func (s *ServiceSpec) DropUlimit(name string) bool {
	return drop(&s.TaskTemplate.ContainerSpec.Ulimits, func(u Ulimit) bool { return u.Name == name })
}

// AddCapability gives the containers a capability, as docker service update
// --cap-add does: one that is in CapabilityDrop is taken out of there, and the
// engine's default counts again; any other is put into CapabilityAdd, unless it is
// there or ALL is. ALL takes the place of all that are there. Capabilities are
// compared in the form of [ParseCapability], and put in that form; what has none
// is put as it is, for the engine to refuse.
func (s *ServiceSpec) AddCapability(capability string) {
	container := &s.TaskTemplate.ContainerSpec
	moveCapability(&container.CapabilityDrop, &container.CapabilityAdd, capability)
}

// DropCapability takes a capability away from the containers, as docker service
// update --cap-drop does, and reports whether that has changed anything. It is
// [ServiceSpec.AddCapability] the other way round: one that is in CapabilityAdd is
// taken out of there, any other is put into CapabilityDrop.
func (s *ServiceSpec) DropCapability(capability string) bool {
	container := &s.TaskTemplate.ContainerSpec
	return moveCapability(&container.CapabilityAdd, &container.CapabilityDrop, capability)
}

// allCapabilities stands for every capability there is.
const allCapabilities = "ALL"

// moveCapability takes a capability out of one list or, if it is not there, puts
// it into the other one.
func moveCapability(from, into *[]string, capability string) bool {
	name := capabilityName(capability)
	isIt := func(have string) bool { return capabilityName(have) == name }
	covers := func(have string) bool { return isIt(have) || capabilityName(have) == allCapabilities }
	switch {
	case drop(from, isIt):
		return true
	case slices.ContainsFunc(*into, covers):
		return false
	case name == allCapabilities:
		*into = nil
	}
	return add(into, name, isIt)
}

// capabilityName is the form that capabilities are compared in.
func capabilityName(capability string) string {
	if name, err := ParseCapability(capability); err == nil {
		return name
	}
	return capability
}

// AddGroup gives the process one more group, by name or number. If it has it,
// nothing changes.
func (s *ServiceSpec) AddGroup(group string) {
	add(&s.TaskTemplate.ContainerSpec.Groups, group, is(group))
}

// DropGroup takes a group away from the process and reports whether it had it as
// one more. That of its user stays.
func (s *ServiceSpec) DropGroup(group string) bool {
	return drop(&s.TaskTemplate.ContainerSpec.Groups, is(group))
}

// PutGenericResource reserves a thing that nodes offer: in the place of what is
// reserved of that kind, or else behind the others. [ParseGenericResource] makes
// one. Other reservations and the limits stay as they are.
func (s *ServiceSpec) PutGenericResource(resource GenericResource) {
	s.editReservations(func(r *Reservations) bool {
		put(&r.GenericResources, resource, func(have GenericResource) bool { return have.kind() == resource.kind() })
		return true
	})
}

// DropGenericResource reserves nothing of a kind any more, and reports whether
// something was.
func (s *ServiceSpec) DropGenericResource(kind string) bool {
	return s.editReservations(func(r *Reservations) bool {
		return drop(&r.GenericResources, func(have GenericResource) bool { return have.kind() == kind })
	})
}

func (s *ServiceSpec) editReservations(edit func(*Reservations) bool) bool {
	return editPart(&s.TaskTemplate.Resources, func(r *ResourceRequirements) bool { return editPart(&r.Reservations, edit) })
}

// kind is what it is, such as gpu.
func (r GenericResource) kind() string {
	switch {
	case r.NamedResourceSpec != nil:
		return r.NamedResourceSpec.Kind
	case r.DiscreteResourceSpec != nil:
		return r.DiscreteResourceSpec.Kind
	}
	return ""
}

// editPart edits a part of a spec that may be missing. What shares memory with it
// stays as it is, and a part of which nothing is left is nil, as if it had never
// been. It reports what edit does, whether that has changed anything.
func editPart[T any](part **T, edit func(*T) bool) bool {
	changed := new(T)
	if *part != nil {
		*changed = **part
	}
	if !edit(changed) {
		return false
	}
	if *part = changed; reflect.ValueOf(changed).Elem().IsZero() {
		*part = nil
	}
	return true
}

// add puts an item at the end, if none isIt, and reports whether it did.
func add[T any](list *[]T, item T, isIt func(T) bool) bool {
	if slices.ContainsFunc(*list, isIt) {
		return false
	}
	put(list, item, isIt)
	return true
}

func is(wanted string) func(string) bool {
	return func(have string) bool { return have == wanted }
}
