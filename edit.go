package swarm

import (
	"cmp"
	"maps"
	"slices"
)

// PutEnv sets a variable of the containers, as the function [PutEnv] does: in the
// place of the one of that name, or else at the end.
func (s *ServiceSpec) PutEnv(name, value string) {
	container := &s.TaskTemplate.ContainerSpec
	container.Env = PutEnv(container.Env, name, value)
}

// DropEnv takes a variable out of the environment of the containers, however
// often it is there, and reports whether it was. One that the image brings along
// stays.
func (s *ServiceSpec) DropEnv(name string) bool {
	container := &s.TaskTemplate.ContainerSpec
	return drop(&container.Env, func(entry string) bool { return envName(entry) == name })
}

// PutLabel sets a label of the service.
func (s *ServiceSpec) PutLabel(name, value string) { putIn(&s.Labels, name, value) }

// DropLabel takes a label off the service and reports whether it was there.
func (s *ServiceSpec) DropLabel(name string) bool { return dropFrom(&s.Labels, name) }

// PutContainerLabel sets a label of the containers.
func (s *ServiceSpec) PutContainerLabel(name, value string) {
	putIn(&s.TaskTemplate.ContainerSpec.Labels, name, value)
}

// DropContainerLabel takes a label off the containers and reports whether it was
// there. One that the image brings along stays.
func (s *ServiceSpec) DropContainerLabel(name string) bool {
	return dropFrom(&s.TaskTemplate.ContainerSpec.Labels, name)
}

// PutMount mounts something into the containers: in the place of what is mounted
// at the same Target, or else behind the other mounts.
func (s *ServiceSpec) PutMount(mount Mount) {
	put(&s.TaskTemplate.ContainerSpec.Mounts, mount, func(m Mount) bool { return m.Target == mount.Target })
}

// DropMount takes away what is mounted at a target and reports whether there was
// such.
func (s *ServiceSpec) DropMount(target string) bool {
	return drop(&s.TaskTemplate.ContainerSpec.Mounts, func(m Mount) bool { return m.Target == target })
}

// AddPort publishes a port of the containers, also one that is published already
// under another number. If it is published just so, nothing changes.
func (s *ServiceSpec) AddPort(port PortConfig) {
	put(&s.EndpointSpec.Ports, port, func(p PortConfig) bool {
		return p.isPort(port.TargetPort, port.Protocol, port.PublishMode) && p.PublishedPort == port.PublishedPort
	})
}

// PutPort publishes a port of the containers as it is given, and in no other way:
// it takes the place of all that is published with the same TargetPort, Protocol
// and PublishMode.
func (s *ServiceSpec) PutPort(port PortConfig) {
	put(&s.EndpointSpec.Ports, port, func(p PortConfig) bool {
		return p.isPort(port.TargetPort, port.Protocol, port.PublishMode)
	})
}

// DropPort stops publishing a port of the containers, under whatever numbers it
// is, and reports whether it was published. An empty protocol is [ProtocolTCP], an
// empty mode [PublishIngress].
func (s *ServiceSpec) DropPort(target uint32, protocol Protocol, mode PublishMode) bool {
	return drop(&s.EndpointSpec.Ports, func(p PortConfig) bool { return p.isPort(target, protocol, mode) })
}

// isPort reports whether it publishes that port of the containers in that mode.
func (p PortConfig) isPort(target uint32, protocol Protocol, mode PublishMode) bool {
	return p.TargetPort == target && cmp.Or(p.Protocol, ProtocolTCP) == cmp.Or(protocol, ProtocolTCP) &&
		cmp.Or(p.PublishMode, PublishIngress) == cmp.Or(mode, PublishIngress)
}

// PutNetwork attaches the tasks to a network: in the place of the attachment that
// has the same Target, or else behind the others. A service that was read has the
// IDs of its networks as targets, whatever they were when it was created.
// Networks of an old service that stand beside its TaskTemplate are moved into it.
func (s *ServiceSpec) PutNetwork(network NetworkAttachmentConfig) {
	s.moveNetworks()
	put(&s.TaskTemplate.Networks, network, func(n NetworkAttachmentConfig) bool { return n.Target == network.Target })
}

// DropNetwork detaches the tasks from a network, by the target that the spec has
// for it, see [ServiceSpec.PutNetwork], and reports whether they were attached.
func (s *ServiceSpec) DropNetwork(target string) bool {
	isIt := func(n NetworkAttachmentConfig) bool { return n.Target == target }
	if !slices.ContainsFunc(s.TaskTemplate.Networks, isIt) && !slices.ContainsFunc(s.Networks, isIt) {
		return false
	}
	s.moveNetworks()
	return drop(&s.TaskTemplate.Networks, isIt)
}

// moveNetworks puts the networks into the task template, beside which they would
// count no longer.
func (s *ServiceSpec) moveNetworks() {
	if len(s.TaskTemplate.Networks) == 0 {
		s.TaskTemplate.Networks = s.Networks
	}
	s.Networks = nil
}

// PutSecret gives the containers a secret: in the place of the one that is seen as
// the same file, or else behind the others. [MountSecret] makes a reference.
func (s *ServiceSpec) PutSecret(secret SecretReference) {
	put(&s.TaskTemplate.ContainerSpec.Secrets, secret, func(r SecretReference) bool { return r.File.Name == secret.File.Name })
}

// DropSecret takes a secret away from the containers, by its ID or name, and
// reports whether they had it.
func (s *ServiceSpec) DropSecret(ref string) bool {
	return drop(&s.TaskTemplate.ContainerSpec.Secrets, func(r SecretReference) bool { return r.is(ref) })
}

// ReplaceSecret gives the containers the secret with that ID and name wherever
// they have the old one, which is found by its ID or name, in the same files. It
// reports whether they had it.
func (s *ServiceSpec) ReplaceSecret(old, id, name string) bool {
	return replace(&s.TaskTemplate.ContainerSpec.Secrets, func(r *SecretReference) bool {
		found := r.is(old)
		if found {
			r.SecretID, r.SecretName = id, name
		}
		return found
	})
}

// is reports whether it refers to the secret of this ID or name.
func (r SecretReference) is(ref string) bool {
	return ref != "" && (r.SecretID == ref || r.SecretName == ref)
}

// PutConfig gives the containers a config: in the place of the one that is seen as
// the same file, or else behind the others. [MountConfig] makes a reference. One
// without a file, for the engine's own use, takes the place of one for the same
// config.
func (s *ServiceSpec) PutConfig(config ConfigReference) {
	put(&s.TaskTemplate.ContainerSpec.Configs, config, func(r ConfigReference) bool {
		if r.File == nil || config.File == nil {
			return r.File == config.File && r.ConfigID == config.ConfigID
		}
		return r.File.Name == config.File.Name
	})
}

// DropConfig takes a config away from the containers, by its ID or name, and
// reports whether they had it.
func (s *ServiceSpec) DropConfig(ref string) bool {
	return drop(&s.TaskTemplate.ContainerSpec.Configs, func(r ConfigReference) bool { return r.is(ref) })
}

// ReplaceConfig gives the containers the config with that ID and name wherever
// they have the old one, which is found by its ID or name: in the same files, and
// as the credential spec. It reports whether they had it.
func (s *ServiceSpec) ReplaceConfig(old, id, name string) bool {
	container := &s.TaskTemplate.ContainerSpec
	var ids []string
	found := replace(&container.Configs, func(r *ConfigReference) bool {
		found := r.is(old)
		if found {
			ids = append(ids, r.ConfigID)
			r.ConfigID, r.ConfigName = id, name
		}
		return found
	})
	if p := container.Privileges; p != nil && p.CredentialSpec != nil && slices.Contains(ids, p.CredentialSpec.Config) {
		privileges, credentials := *p, *p.CredentialSpec
		credentials.Config, privileges.CredentialSpec = id, &credentials
		container.Privileges = &privileges
	}
	return found
}

// is reports whether it refers to the config of this ID or name.
func (r ConfigReference) is(ref string) bool {
	return ref != "" && (r.ConfigID == ref || r.ConfigName == ref)
}

// put puts an item in the place of the first that isIt and drops the others that
// are, or else puts it at the end. The rest keeps its order, since tasks are
// replaced when that changes. Lists that share memory with this one stay as they
// are, here and below.
func put[T any](list *[]T, item T, isIt func(T) bool) {
	kept := make([]T, 0, len(*list)+1)
	done := false
	for _, old := range *list {
		switch {
		case !isIt(old):
			kept = append(kept, old)
		case !done:
			kept, done = append(kept, item), true
		}
	}
	if !done {
		kept = append(kept, item)
	}
	*list = kept
}

// drop drops the items that are meant. A list of which nothing is left is nil, as
// if it had never been.
func drop[T any](list *[]T, isIt func(T) bool) bool {
	if !slices.ContainsFunc(*list, isIt) {
		return false
	}
	*list = slices.DeleteFunc(slices.Clone(*list), isIt)
	if len(*list) == 0 {
		*list = nil
	}
	return true
}

// replace lets change have every item, and reports whether it changed any.
func replace[T any](list *[]T, change func(*T) bool) bool {
	changed := slices.Clone(*list)
	found := false
	for i := range changed {
		found = change(&changed[i]) || found
	}
	if found {
		*list = changed
	}
	return found
}

func putIn(labels *map[string]string, name, value string) {
	changed := maps.Clone(*labels)
	if changed == nil {
		changed = map[string]string{}
	}
	changed[name] = value
	*labels = changed
}

func dropFrom(labels *map[string]string, name string) bool {
	if _, found := (*labels)[name]; !found {
		return false
	}
	changed := maps.Clone(*labels)
	delete(changed, name)
	*labels = changed
	return true
}
