package engine

import (
	"slices"

	"github.com/swarm-go/swarm"
)

// configKind is what there is about configs.
var configKind = &dataKind[swarm.Config]{
	kind:    "config",
	limit:   1024000,
	filters: []string{"name", "id", "label"},
	table:   func(c *Cluster) *table[swarm.Config] { return c.configs },
	store: func(_ *Cluster, id string, spec swarm.SecretSpec) *swarm.Config {
		return &swarm.Config{ID: id, Spec: swarm.ConfigSpec{
			Name: spec.Name, Labels: spec.Labels, Data: spec.Data, Templating: spec.Templating,
		}}
	},
	drop:   func(*Cluster, string) {},
	data:   func(_ *Cluster, config *swarm.Config) []byte { return config.Spec.Data },
	labels: func(config *swarm.Config) *map[string]string { return &config.Spec.Labels },
	uses: func(container *swarm.ContainerSpec, id string) bool {
		return slices.ContainsFunc(container.Configs, func(ref swarm.ConfigReference) bool { return ref.ConfigID == id })
	},
}
