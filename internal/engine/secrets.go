package engine

import (
	"slices"

	"github.com/swarm-go/swarm"
)

// secretKind is what there is about secrets. Their data is beside them, so that no
// answer holds it.
var secretKind = &dataKind[swarm.Secret]{
	kind:    "secret",
	limit:   512000,
	drivers: true,
	filters: []string{"names", "name", "id", "label"},
	table:   func(c *Cluster) *table[swarm.Secret] { return c.secrets },
	store: func(c *Cluster, id string, spec swarm.SecretSpec) *swarm.Secret {
		c.secretData[id] = spec.Data
		spec.Data = nil
		return &swarm.Secret{ID: id, Spec: spec}
	},
	drop:   func(c *Cluster, id string) { delete(c.secretData, id) },
	data:   func(c *Cluster, secret *swarm.Secret) []byte { return c.secretData[secret.ID] },
	labels: func(secret *swarm.Secret) *map[string]string { return &secret.Spec.Labels },
	uses: func(container *swarm.ContainerSpec, id string) bool {
		return slices.ContainsFunc(container.Secrets, func(ref swarm.SecretReference) bool { return ref.SecretID == id })
	},
}
