package swarm

import "slices"

// UsesNetwork reports whether the tasks are attached to a network, as the spec
// names it: engines replace names by IDs, so it takes the ID to find a network in
// a service that was read. The network that carries published ports does not
// count.
func (s ServiceSpec) UsesNetwork(ref string) bool {
	isIt := func(n NetworkAttachmentConfig) bool { return n.Target == ref }
	return ref != "" && (slices.ContainsFunc(s.TaskTemplate.Networks, isIt) || slices.ContainsFunc(s.Networks, isIt))
}

// UsesSecret reports whether the containers have a secret, of this ID or name.
func (s ServiceSpec) UsesSecret(ref string) bool {
	return slices.ContainsFunc(s.TaskTemplate.ContainerSpec.Secrets, func(r SecretReference) bool { return r.is(ref) })
}

// UsesConfig reports whether the containers have a config, of this ID or name, as
// a file or for the engine's own use.
func (s ServiceSpec) UsesConfig(ref string) bool {
	return slices.ContainsFunc(s.TaskTemplate.ContainerSpec.Configs, func(r ConfigReference) bool { return r.is(ref) })
}

// UsesImage reports whether the containers run an image, as
// [ImageReference.Matches] has it: nginx is any nginx, nginx:1.29 that with this
// tag. What is no reference is found only if it is the same.
func (s ServiceSpec) UsesImage(ref string) bool {
	image := s.TaskTemplate.ContainerSpec.Image
	wanted, err := ParseImageReference(ref)
	if err != nil {
		return ref != "" && ref == image
	}
	has, err := ParseImageReference(image)
	return err == nil && wanted.Matches(has)
}
