package swarm

import (
	"context"
	"slices"
)

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

// ResolveReferences fills in the IDs of the secrets and configs that a spec has by
// name alone, as [ParseSecretReference] and [MountSecret] without an ID make them.
// The config of a CredentialSpec may be named as well, as [ParseCredentialSpec]
// does; it is then put among the container's Configs too, with a Runtime target,
// unless it is there. What has an ID stays as it is, and costs no request; a name
// costs one.
//
// A name that nothing has exactly is [ErrNotFound]; what comes before it in the
// spec has its ID then. Secrets need API 1.25, configs API 1.30.
//
// Engine endpoints: GET /secrets/{id}, GET /configs/{id}
func (s *ServiceClient) ResolveReferences(ctx context.Context, spec *ServiceSpec) error {
	const op = "resolve references"
	container := &spec.TaskTemplate.ContainerSpec
	for i := range container.Secrets {
		if ref := &container.Secrets[i]; ref.SecretID == "" {
			secret, err := s.client.Secrets.inspectByName(ctx, op, ref.SecretName)
			if err != nil {
				return err
			}
			ref.SecretID = secret.ID
		}
	}
	for i := range container.Configs {
		if ref := &container.Configs[i]; ref.ConfigID == "" {
			config, err := s.client.Configs.inspectByName(ctx, op, ref.ConfigName)
			if err != nil {
				return err
			}
			ref.ConfigID = config.ID
		}
	}
	return s.resolveCredentials(ctx, op, container)
}

// resolveCredentials finds the config with the credentials of a container, by name
// or ID, and makes it known to the engine that runs it.
func (s *ServiceClient) resolveCredentials(ctx context.Context, op string, container *ContainerSpec) error {
	if container.Privileges == nil || container.Privileges.CredentialSpec == nil || container.Privileges.CredentialSpec.Config == "" {
		return nil
	}
	credentials := container.Privileges.CredentialSpec
	known := func(r ConfigReference) bool { return r.Runtime != nil && r.ConfigID == credentials.Config }
	if slices.ContainsFunc(container.Configs, known) {
		return nil
	}
	config, err := s.client.Configs.find(ctx, op, credentials.Config)
	if err != nil {
		return err
	}
	credentials.Config = config.ID
	if !slices.ContainsFunc(container.Configs, known) {
		container.Configs = append(container.Configs, ConfigReference{Runtime: &RuntimeTarget{}, ConfigID: config.ID, ConfigName: config.Spec.Name})
	}
	return nil
}
