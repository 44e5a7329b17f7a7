package engine

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/swarm-go/swarm"
)

// postedSpec is a service's spec as it was posted. What decides about it and the
// package's types do not tell is beside it.
type postedSpec struct {
	swarm.ServiceSpec
	// hasContainer, hasUpdate, hasRollback and hasEndpoint tell objects that are
	// empty from those that are not there.
	hasContainer, hasUpdate, hasRollback, hasEndpoint bool
	// hasFile tells the same of the files of secrets.
	hasFile []bool
}

// UnmarshalJSON decodes the spec, and finds out what is there.
func (p *postedSpec) UnmarshalJSON(data []byte) error {
	if err := json.Unmarshal(data, &p.ServiceSpec); err != nil {
		return err
	}
	var there struct {
		TaskTemplate struct {
			ContainerSpec *struct {
				Secrets []struct{ File *struct{} }
			}
		}
		UpdateConfig, RollbackConfig, EndpointSpec *struct{}
	}
	if err := json.Unmarshal(data, &there); err != nil {
		return err
	}
	p.hasUpdate = there.UpdateConfig != nil
	p.hasRollback = there.RollbackConfig != nil
	p.hasEndpoint = there.EndpointSpec != nil
	container := there.TaskTemplate.ContainerSpec
	p.hasContainer = container != nil
	if container == nil {
		return nil
	}
	for _, secret := range container.Secrets {
		p.hasFile = append(p.hasFile, secret.File != nil)
	}
	return nil
}

// convert makes of a spec what is stored of it: daemons convert specs to and from
// the managers' form, in which there are no empty lists, but defaults. It refuses
// what cannot be converted, in the engine's order.
func (c *Cluster) convert(d *Daemon, posted postedSpec) (swarm.ServiceSpec, error) {
	spec := posted.ServiceSpec
	if err := c.resolveNetworks(d, &spec); err != nil {
		return spec, err
	}
	if spec.Name == "" {
		spec.Name = c.newName()
	}
	for _, step := range []func(*swarm.ServiceSpec, *postedSpec, *Release) error{
		convertRuntime, convertRestartPolicy, convertPlacement, convertUpdateConfigs, convertEndpoint, convertMode,
	} {
		if err := step(&spec, &posted, d.release); err != nil {
			return spec, refuse(http.StatusBadRequest, "%v", err)
		}
	}
	dropEmpty(reflect.ValueOf(&spec))
	if spec.Labels == nil {
		spec.Labels = map[string]string{}
	}
	return spec, nil
}

// dropEmpty makes all lists and maps nil that hold nothing. Messages of the
// managers do not tell the two apart.
func dropEmpty(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			dropEmpty(v.Elem())
		}
	case reflect.Struct:
		for i := range v.NumField() {
			dropEmpty(v.Field(i))
		}
	case reflect.Map:
		if v.Len() == 0 {
			v.SetZero()
		}
	case reflect.Slice:
		if v.Len() == 0 {
			v.SetZero()
		}
		for i := range v.Len() {
			dropEmpty(v.Index(i))
		}
	}
}

// defaultStopGracePeriod is how long containers may take to end.
const defaultStopGracePeriod = 10 * time.Second

var errMismatched = errors.New("mismatched Runtime and *Spec fields")

func convertRuntime(spec *swarm.ServiceSpec, posted *postedSpec, release *Release) error {
	template := &spec.TaskTemplate
	switch template.Runtime {
	case "", swarm.RuntimeContainer:
		if !posted.hasContainer {
			return errMismatched
		}
		template.Runtime = swarm.RuntimeContainer
		template.PluginSpec, template.NetworkAttachmentSpec = nil, nil
		return convertContainer(&template.ContainerSpec, posted, release)
	case swarm.RuntimePlugin:
		if template.PluginSpec == nil {
			return errMismatched
		}
		if spec.Mode.Replicated != nil {
			return errors.New("plugins must not use replicated mode")
		}
		spec.Mode.Global = &swarm.GlobalService{}
		template.ContainerSpec, template.NetworkAttachmentSpec = swarm.ContainerSpec{}, nil
		return nil
	}
	return errors.New("unsupported runtime")
}

func convertContainer(c *swarm.ContainerSpec, posted *postedSpec, release *Release) error {
	if err := convertPrivileges(c.Privileges); err != nil {
		return fmt.Errorf("invalid CredentialSpec: %w", err)
	}
	for _, config := range c.Configs {
		if config.Runtime == nil && config.File == nil {
			return errors.New("invalid Config: either File or Runtime should be set")
		}
		if config.Runtime != nil && config.File != nil {
			return errors.New("invalid Config: cannot specify both File and Runtime")
		}
	}
	for i := range c.Mounts {
		if err := convertMount(&c.Mounts[i], release); err != nil {
			return err
		}
	}
	if c.Healthcheck != nil {
		c.Healthcheck.Retries = int(int32(c.Healthcheck.Retries))
	}
	switch lower(c.Isolation) {
	case swarm.IsolationHyperV, swarm.IsolationProcess:
		c.Isolation = lower(c.Isolation)
	default:
		c.Isolation = swarm.IsolationDefault
	}
	return nil
}

func convertPrivileges(p *swarm.Privileges) error {
	if p == nil {
		return nil
	}
	if p.NoNewPrivileges == nil {
		p.NoNewPrivileges = new(false)
	}
	if s := p.Seccomp; s != nil {
		s.Mode = knownOr(s.Mode, swarm.SeccompDefault, swarm.SeccompUnconfined, swarm.SeccompCustom)
	}
	if a := p.AppArmor; a != nil {
		a.Mode = knownOr(a.Mode, swarm.AppArmorDefault, swarm.AppArmorDisabled)
	}
	if p.CredentialSpec == nil {
		return nil
	}
	set := []string{}
	for _, field := range []struct{ name, value string }{
		{`"config"`, p.CredentialSpec.Config}, {`"file"`, p.CredentialSpec.File}, {`"registry"`, p.CredentialSpec.Registry},
	} {
		if field.value != "" {
			set = append(set, field.name)
		}
	}
	switch len(set) {
	case 0:
		return errors.New(`must either provide "file", "registry", or "config" for credential spec`)
	case 1:
		return nil
	case 2:
		return fmt.Errorf("cannot specify both %s and %s credential specs", set[0], set[1])
	}
	return fmt.Errorf("cannot specify both %s, %s, and %s credential specs", set[0], set[1], set[2])
}

// knownOr is a value if it is known, else the first that is.
func knownOr[T comparable](value T, known ...T) T {
	if slices.Contains(known, value) {
		return value
	}
	return known[0]
}

func lower[T ~string](s T) T { return T(strings.ToLower(string(s))) }

var (
	mountTypes = []swarm.MountType{swarm.MountBind, swarm.MountVolume, swarm.MountTmpfs, swarm.MountNamedPipe,
		swarm.MountCluster}
	propagations = []swarm.Propagation{swarm.PropagationRPrivate, swarm.PropagationPrivate, swarm.PropagationRShared,
		swarm.PropagationShared, swarm.PropagationRSlave, swarm.PropagationSlave}
)

func convertMount(m *swarm.Mount, release *Release) error {
	kind := knownOr(lower(m.Type), mountTypes...)
	if m.Type != "" && kind != lower(m.Type) || kind == swarm.MountCluster && release.API < 42 {
		return fmt.Errorf("invalid MountType: %q", m.Type)
	}
	m.Type = kind
	m.Consistency, m.ImageOptions = "", nil
	if b := m.BindOptions; b != nil {
		propagation := lower(b.Propagation)
		if propagation != "" && !slices.Contains(propagations, propagation) {
			return fmt.Errorf("invalid MountPropagation: %q", b.Propagation)
		}
		if propagation == "" && !b.NonRecursive {
			m.BindOptions = nil
		} else {
			m.BindOptions = &swarm.BindOptions{
				Propagation:  knownOr(propagation, propagations...),
				NonRecursive: b.NonRecursive,
			}
		}
	}
	return nil
}

func convertRestartPolicy(spec *swarm.ServiceSpec, _ *postedSpec, _ *Release) error {
	policy := spec.TaskTemplate.RestartPolicy
	if policy == nil {
		return nil
	}
	switch policy.Condition {
	case "":
		policy.Condition = swarm.RestartAny
	case swarm.RestartAny, swarm.RestartNone, swarm.RestartOnFailure:
	default:
		return fmt.Errorf("invalid RestartCondition: %q", policy.Condition)
	}
	if policy.MaxAttempts == nil {
		policy.MaxAttempts = new(uint64(0))
	}
	return nil
}

// convertPlacement leaves out preferences that engines do not know.
func convertPlacement(spec *swarm.ServiceSpec, _ *postedSpec, _ *Release) error {
	if p := spec.TaskTemplate.Placement; p != nil {
		p.Preferences = slices.DeleteFunc(p.Preferences, func(p swarm.PlacementPreference) bool { return p.Spread == nil })
	}
	return nil
}

func convertUpdateConfigs(spec *swarm.ServiceSpec, posted *postedSpec, _ *Release) error {
	if err := convertUpdateConfig(&spec.UpdateConfig, posted.hasUpdate); err != nil {
		return err
	}
	return convertUpdateConfig(&spec.RollbackConfig, posted.hasRollback)
}

func convertUpdateConfig(u *swarm.UpdateConfig, there bool) error {
	if !there {
		return nil
	}
	if u.Parallelism == nil {
		u.Parallelism = new(uint64(0))
	}
	switch u.FailureAction {
	case "":
		u.FailureAction = swarm.PauseOnFailure
	case swarm.PauseOnFailure, swarm.ContinueOnFailure, swarm.RollbackOnFailure:
	default:
		return fmt.Errorf("unrecognized update failure action %s", u.FailureAction)
	}
	switch u.Order {
	case "":
		u.Order = swarm.StopFirst
	case swarm.StopFirst, swarm.StartFirst:
	default:
		return fmt.Errorf("unrecognized update order %s", u.Order)
	}
	return nil
}

func convertEndpoint(spec *swarm.ServiceSpec, posted *postedSpec, _ *Release) error {
	if !posted.hasEndpoint {
		return nil
	}
	endpoint := &spec.EndpointSpec
	switch endpoint.Mode {
	case "":
		endpoint.Mode = swarm.EndpointVIP
	case swarm.EndpointVIP, swarm.EndpointDNSRR:
	default:
		return fmt.Errorf("invalid resolution mode: %q", endpoint.Mode)
	}
	for i := range endpoint.Ports {
		port := &endpoint.Ports[i]
		port.Protocol = knownOr(lower(port.Protocol), swarm.ProtocolTCP, swarm.ProtocolUDP, swarm.ProtocolSCTP)
		port.PublishMode = knownOr(lower(port.PublishMode), swarm.PublishIngress, swarm.PublishHost)
	}
	return nil
}

func convertMode(spec *swarm.ServiceSpec, _ *postedSpec, _ *Release) error {
	mode := &spec.Mode
	modes := 0
	for _, set := range []bool{mode.Global != nil, mode.Replicated != nil, mode.ReplicatedJob != nil, mode.GlobalJob != nil} {
		if set {
			modes++
		}
	}
	if modes > 1 {
		return errors.New("must specify only one service mode")
	}
	if modes == 0 || mode.Replicated != nil && mode.Replicated.Replicas == nil {
		*mode = swarm.Replicated(1)
	}
	if job := mode.ReplicatedJob; job != nil {
		if job.MaxConcurrent == nil {
			job.MaxConcurrent = new(uint64(1))
		}
		if job.TotalCompletions == nil {
			job.TotalCompletions = new(*job.MaxConcurrent)
		}
	}
	return nil
}

// withDefaults is a spec with what engines use for what it leaves out.
func withDefaults(spec swarm.ServiceSpec) swarm.ServiceSpec {
	template := &spec.TaskTemplate
	if template.Runtime == swarm.RuntimeContainer {
		container := &template.ContainerSpec
		if container.StopGracePeriod == nil {
			container.StopGracePeriod = new(defaultStopGracePeriod)
		}
		if container.DNSConfig == nil {
			container.DNSConfig = &swarm.DNSConfig{}
		}
	}
	if template.Resources == nil {
		template.Resources = &swarm.ResourceRequirements{}
	}
	switch policy := template.RestartPolicy; {
	case policy == nil:
		template.RestartPolicy = swarm.DefaultRestartPolicy()
	case policy.Delay == nil:
		filled := *policy
		filled.Delay = swarm.DefaultRestartPolicy().Delay
		template.RestartPolicy = &filled
	}
	if template.Placement == nil {
		template.Placement = &swarm.Placement{}
	}
	for _, config := range []*swarm.UpdateConfig{&spec.UpdateConfig, &spec.RollbackConfig} {
		switch {
		case *config == (swarm.UpdateConfig{}):
			*config = swarm.DefaultUpdateConfig()
		case config.Monitor == 0:
			config.Monitor = swarm.DefaultUpdateConfig().Monitor
		}
	}
	return spec
}
