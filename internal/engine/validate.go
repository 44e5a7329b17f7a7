package engine

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/distribution/reference"

	"github.com/swarm-go/swarm"
)

// validateService refuses what managers refuse in a spec, in their order. id is
// the service's, empty for a new one.
func (c *Cluster) validateService(spec *swarm.ServiceSpec, hasFile []bool, id string) error {
	if err := validateServiceName(spec.Name); err != nil {
		return err
	}
	if err := validateTask(&spec.TaskTemplate, hasFile); err != nil {
		return err
	}
	if err := validateMode(spec); err != nil {
		return err
	}
	if err := validateUpdate(spec); err != nil {
		return err
	}
	if err := validateEndpoint(&spec.EndpointSpec); err != nil {
		return err
	}
	for _, attachment := range spec.TaskTemplate.Networks {
		if n := c.networks.get(attachment.Target); n != nil && n.Ingress {
			return invalid("Service cannot be explicitly attached to the ingress network %q", n.Name)
		}
	}
	return c.checkPorts(spec, id)
}

var serviceName = regexp.MustCompile(`^[a-zA-Z0-9](?:[-_]*[A-Za-z0-9]+)*$`)

func validateServiceName(name string) error {
	switch {
	case !serviceName.MatchString(name):
		return invalid("name must be valid as a DNS name component")
	case len(name) > 63:
		return invalid("name must be 63 characters or fewer")
	}
	return nil
}

func validateTask(task *swarm.TaskSpec, hasFile []bool) error {
	if err := validateResources(task.Resources); err != nil {
		return err
	}
	if p := task.RestartPolicy; p != nil {
		if p.Delay != nil && *p.Delay < 0 {
			return invalid("TaskSpec: restart-delay cannot be negative")
		}
		if p.Window != nil && *p.Window < 0 {
			return invalid("TaskSpec: restart-window cannot be negative")
		}
	}
	if task.Placement != nil {
		for _, text := range task.Placement.Constraints {
			if err := validateConstraint(text); err != nil {
				return err
			}
		}
	}
	if task.Runtime != swarm.RuntimeContainer {
		return nil
	}
	if err := validateSecrets(task.ContainerSpec.Secrets, hasFile); err != nil {
		return err
	}
	if err := validateConfigs(&task.ContainerSpec); err != nil {
		return err
	}
	return validateContainer(&task.ContainerSpec)
}

func validateResources(r *swarm.ResourceRequirements) error {
	if r == nil {
		return nil
	}
	if l := r.Limits; l != nil {
		if err := validateAmounts(l.NanoCPUs, l.MemoryBytes); err != nil {
			return err
		}
	}
	if l := r.Reservations; l != nil {
		return validateAmounts(l.NanoCPUs, l.MemoryBytes)
	}
	return nil
}

func validateAmounts(cpus, memory int64) error {
	if cpus != 0 && cpus < 1e6 {
		return invalid("invalid cpu value %g: Must be at least %g", float64(cpus)/1e9, 1e6/1e9)
	}
	if memory != 0 && memory < 4<<20 {
		return invalid("invalid memory value %d: Must be at least 4MiB", memory)
	}
	return nil
}

var (
	constraintKey   = regexp.MustCompile(`^(?i)[a-z_][a-z0-9\-_.]+$`)
	constraintValue = regexp.MustCompile(`^(?i)[a-z0-9:\-_\s\.\*\(\)\?\+\[\]\\\^\$\|\/]+$`)
)

// validateConstraint gives its errors no code, so that daemons take them for
// errors of their own.
func validateConstraint(text string) error {
	for _, operator := range []string{"==", "!="} {
		key, value, found := strings.Cut(text, operator)
		if !found {
			continue
		}
		if key = strings.TrimSpace(key); !constraintKey.MatchString(key) {
			return unknown("key '%s' is invalid", key)
		}
		if value = strings.TrimSpace(value); !constraintValue.MatchString(value) {
			return unknown("value '%s' is invalid", value)
		}
		return nil
	}
	return unknown("constraint expected one operator from ==, !=")
}

func validateSecrets(refs []swarm.SecretReference, hasFile []bool) error {
	targets := map[string]string{}
	for i, ref := range refs {
		name := ref.File.Name
		switch taken, ok := targets[name]; {
		case ref.SecretID == "" || ref.SecretName == "":
			return invalid("malformed secret reference")
		case !hasFile[i]:
			return invalid("malformed secret reference, no target provided")
		case name == "":
			return invalid("malformed file secret reference, invalid target file name provided")
		case ok:
			return invalid("secret references '%s' and '%s' have a conflicting target: '%s'", taken, ref.SecretName, name)
		}
		targets[name] = ref.SecretName
	}
	return nil
}

func validateConfigs(container *swarm.ContainerSpec) error {
	credentials := ""
	if p := container.Privileges; p != nil && p.CredentialSpec != nil {
		credentials = p.CredentialSpec.Config
	}
	found := credentials == ""
	targets := map[string]string{}
	for _, ref := range container.Configs {
		if ref.ConfigID == "" || ref.ConfigName == "" {
			return invalid("malformed config reference")
		}
		if ref.File == nil {
			found = found || ref.ConfigID == credentials
			continue
		}
		switch taken, ok := targets[ref.File.Name]; {
		case ref.File.Name == "":
			return invalid("malformed file config reference, invalid target file name provided")
		case ok:
			return invalid("config references '%s' and '%s' have a conflicting target: '%s'", taken, ref.ConfigName, ref.File.Name)
		}
		targets[ref.File.Name] = ref.ConfigName
	}
	if !found {
		return invalid("CredentialSpec references config '%s', but that config isn't in config references with RuntimeTarget", credentials)
	}
	return nil
}

func validateContainer(container *swarm.ContainerSpec) error {
	mounts, err := validateTemplates(container)
	if err != nil {
		return invalid("%v", err)
	}
	if container.Image == "" {
		return invalid("ContainerSpec: image reference must be provided")
	}
	if _, err := reference.ParseNormalizedNamed(container.Image); err != nil {
		return invalid("ContainerSpec: %q is not a valid repository/tag", container.Image)
	}
	targets := map[string]bool{}
	for _, target := range mounts {
		if targets[target] {
			return invalid("ContainerSpec: duplicate mount point: %s", target)
		}
		targets[target] = true
	}
	return validateHealthcheck(container.Healthcheck)
}

func validateHealthcheck(h *swarm.Healthcheck) error {
	if h == nil {
		return nil
	}
	for _, t := range []struct {
		name string
		time time.Duration
	}{{"Interval", h.Interval}, {"Timeout", h.Timeout}, {"StartPeriod", h.StartPeriod}, {"StartInterval", h.StartInterval}} {
		if t.time != 0 && t.time < time.Millisecond {
			return invalid("ContainerSpec: %s in HealthConfig cannot be less than %s", t.name, time.Millisecond)
		}
	}
	if h.Retries < 0 {
		return invalid("ContainerSpec: Retries in HealthConfig cannot be negative")
	}
	return nil
}

// validateMode takes numbers for negative that are too great.
func validateMode(spec *swarm.ServiceSpec) error {
	if m := spec.Mode.Replicated; m != nil && int64(*m.Replicas) < 0 {
		return invalid("Number of replicas must be non-negative")
	}
	if m := spec.Mode.ReplicatedJob; m != nil {
		if int64(*m.MaxConcurrent) < 0 {
			return invalid("Maximum concurrent jobs must not be negative")
		}
		if int64(*m.TotalCompletions) < 0 {
			return invalid("Total completed jobs must not be negative")
		}
	}
	return nil
}

func validateUpdate(spec *swarm.ServiceSpec) error {
	update := spec.UpdateConfig
	if isJob(spec) {
		if update != (swarm.UpdateConfig{}) {
			return invalid("Jobs may not have an update config")
		}
		return nil
	}
	switch {
	case update.Delay < 0:
		return invalid("TaskSpec: update-delay cannot be negative")
	case update.Monitor < 0:
		return invalid("TaskSpec: update-monitor cannot be negative")
	case update.MaxFailureRatio < 0 || update.MaxFailureRatio > 1:
		return invalid("TaskSpec: update-maxfailureratio cannot be less than 0 or bigger than 1")
	}
	return nil
}

// publishedPort is what no two ports may share.
type publishedPort struct {
	number   uint32
	protocol swarm.Protocol
}

func publishedAs(p swarm.PortConfig) publishedPort { return publishedPort{p.PublishedPort, p.Protocol} }

func validateEndpoint(endpoint *swarm.EndpointSpec) error {
	taken := map[publishedPort]bool{}
	for _, port := range endpoint.Ports {
		if endpoint.Mode == swarm.EndpointDNSRR && port.PublishMode == swarm.PublishIngress {
			return invalid("EndpointSpec: port published with ingress mode can't be used with dnsrr mode")
		}
		if port.PublishedPort == 0 {
			continue
		}
		if taken[publishedAs(port)] {
			return invalid("EndpointSpec: duplicate published ports provided")
		}
		taken[publishedAs(port)] = true
	}
	return nil
}

// checkPorts refuses ports that other services have. Services may share a port
// that both publish on the nodes of their tasks.
func (c *Cluster) checkPorts(spec *swarm.ServiceSpec, id string) error {
	wanted := map[publishedPort][]swarm.PublishMode{}
	for _, port := range spec.EndpointSpec.Ports {
		if port.PublishedPort != 0 {
			wanted[publishedAs(port)] = append(wanted[publishedAs(port)], port.PublishMode)
		}
	}
	if len(wanted) == 0 {
		return nil
	}
	for _, service := range c.services.all() {
		if service.ID == id {
			continue
		}
		for _, port := range slices.Concat(service.Spec.EndpointSpec.Ports, service.Endpoint.Ports) {
			modes := wanted[publishedAs(port)]
			inUse := fmt.Sprintf("port '%d' is already in use by service '%s' (%s)", port.PublishedPort, service.Spec.Name, service.ID)
			switch {
			case port.PublishMode == swarm.PublishIngress && len(modes) > 0:
				return invalid("%s as an ingress port", inUse)
			case port.PublishMode == swarm.PublishHost && slices.Contains(modes, swarm.PublishIngress):
				return invalid("%s as a host-published port", inUse)
			}
		}
	}
	return nil
}

// checkReferences refuses secrets and configs that the swarm does not have, or
// not under that name.
func (c *Cluster) checkReferences(spec *swarm.ServiceSpec) error {
	container := &spec.TaskTemplate.ContainerSpec
	missing := []string{}
	for _, ref := range container.Secrets {
		if secret := c.secrets.get(ref.SecretID); secret == nil || secret.Spec.Name != ref.SecretName {
			missing = append(missing, ref.SecretName)
		}
	}
	if err := refuseMissing("secret", missing); err != nil {
		return err
	}
	for _, ref := range container.Configs {
		if config := c.configs.get(ref.ConfigID); config == nil || config.Spec.Name != ref.ConfigName {
			missing = append(missing, ref.ConfigName)
		}
	}
	return refuseMissing("config", missing)
}

func refuseMissing(kind string, names []string) error {
	switch len(names) {
	case 0:
		return nil
	case 1:
		return invalid("%s not found: %s", kind, names[0])
	}
	return invalid("%ss not found: %s", kind, strings.Join(names, ", "))
}

// checkIngress refuses a service that needs the ingress network if there is none.
func (c *Cluster) checkIngress(spec *swarm.ServiceSpec) error {
	if !needsIngress(spec) || len(c.networks.matching(func(n *network) bool { return n.Ingress })) > 0 {
		return nil
	}
	return failedPrecondition("service needs ingress network, but no ingress network is present")
}

// needsIngress reports whether a service publishes a port on all nodes.
func needsIngress(spec *swarm.ServiceSpec) bool {
	return spec.EndpointSpec.Mode != swarm.EndpointDNSRR && slices.ContainsFunc(spec.EndpointSpec.Ports,
		func(p swarm.PortConfig) bool { return p.PublishMode == swarm.PublishIngress })
}
