package swarm

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"text/template/parse"
	"time"

	"github.com/distribution/reference"
)

// Problem is something that Validate or Lint has found in a spec.
type Problem struct {
	// ID names the rule, such as "mount-target". It stays the same in later
	// versions of this package, and Validate and Lint share none.
	ID string
	// Path is where in the spec's JSON it is, such as
	// "TaskTemplate.ContainerSpec.Mounts[1].Target". It is empty for the API
	// version that Lint was asked about.
	Path string
	// Message says what is wrong. It holds no environment variables and no
	// options of drivers, which may be secret.
	Message string
}

// String is the path and the message.
func (p Problem) String() string {
	if p.Path == "" {
		return p.Message
	}
	return p.Path + ": " + p.Message
}

// ValidationError is what Validate returns: all that engines would refuse. It is
// [ErrInvalid].
type ValidationError struct {
	// Problems are in the order of the spec's rules; there is at least one.
	Problems []Problem
}

// Error lists the problems in one line.
func (e *ValidationError) Error() string {
	texts := make([]string, len(e.Problems))
	for i, problem := range e.Problems {
		texts[i] = printable(problem.String())
	}
	return "invalid spec: " + strings.Join(texts, "; ")
}

// Unwrap returns [ErrInvalid].
func (e *ValidationError) Unwrap() error { return ErrInvalid }

// Validate finds what every engine would refuse in the spec, without asking one:
// nil, or a [*ValidationError] with all problems at once. No call runs it by
// itself. An engine may still refuse what Validate takes: whether networks,
// secrets and configs exist and ports are free only it can know.
func (s ServiceSpec) Validate() error {
	return validate(serviceRules, &s)
}

// Validate finds what every engine would refuse in the secret: nil, or a
// [*ValidationError]. Its messages hold none of the data.
func (s SecretSpec) Validate() error {
	return validate(secretRules, &s)
}

// Validate finds what every engine would refuse in the config: nil, or a
// [*ValidationError]. Its messages hold none of the data.
func (c ConfigSpec) Validate() error {
	return validate(configRules, &c)
}

// specRule is one thing that engines refuse, or that Lint knows about.
type specRule[T any] struct {
	id    string
	check func(*T, report)
}

// report takes a problem at a path.
type report func(path, format string, args ...any)

// in is the report for what is below a path.
func (r report) in(prefix string, args ...any) report {
	prefix = fmt.Sprintf(prefix, args...)
	return func(path, format string, args ...any) { r(prefix+path, format, args...) }
}

func problems[T any](rules []specRule[T], spec *T) []Problem {
	var all []Problem
	for _, rule := range rules {
		rule.check(spec, func(path, format string, args ...any) {
			all = append(all, Problem{rule.id, path, fmt.Sprintf(format, args...)})
		})
	}
	return all
}

func validate[T any](rules []specRule[T], spec *T) error {
	if all := problems(rules, spec); len(all) > 0 {
		return &ValidationError{all}
	}
	return nil
}

// serviceRules are what engines refuse in services. Each has specs on both sides
// of its border in testdata/validate, which are held against real engines.
var serviceRules = []specRule[ServiceSpec]{
	{"service-name", checkServiceName},
	{"service-mode", checkServiceMode},
	{"replicas", checkReplicas},
	{"job-update", checkJobUpdate},
	{"runtime", checkRuntime},
	{"plugin-mode", checkPluginMode},
	{"image", inContainer(checkImage)},
	{"template", inContainer(checkTemplates)},
	{"mount-type", inContainer(checkMountTypes)},
	{"mount-propagation", inContainer(checkPropagation)},
	{"mount-target", inContainer(checkMountTargets)},
	{"health-time", inContainer(checkHealthTimes)},
	{"health-retries", inContainer(checkHealthRetries)},
	{"secret-reference", inContainer(checkSecretReferences)},
	{"secret-target", inContainer(checkSecretTargets)},
	{"config-reference", inContainer(checkConfigReferences)},
	{"config-target", inContainer(checkConfigTargets)},
	{"credential-spec", inContainer(checkCredentialSpec)},
	{"cpu", inResources(checkCPU)},
	{"memory", inResources(checkMemory)},
	{"restart-condition", checkRestartCondition},
	{"restart-time", checkRestartTimes},
	{"constraint", checkConstraints},
	{"network", checkNetworks},
	{"update-time", checkUpdateTimes},
	{"update-ratio", checkUpdateRatio},
	{"failure-action", checkFailureActions},
	{"update-order", checkUpdateOrders},
	{"endpoint-mode", checkEndpointMode},
	{"port-ingress", checkIngressPorts},
	{"port-duplicate", checkDuplicatePorts},
}

var secretRules = []specRule[SecretSpec]{
	{"secret-name", func(s *SecretSpec, r report) { checkDataName(s.Name, r) }},
	{"secret-data", func(s *SecretSpec, r report) {
		if s.Driver == nil {
			checkDataSize(s.Data, MaxSecretSize, r)
		}
	}},
	{"secret-driver", func(s *SecretSpec, r report) {
		if s.Driver != nil && s.Driver.Name == "" {
			r("Driver.Name", "is missing")
		}
	}},
}

var configRules = []specRule[ConfigSpec]{
	{"config-name", func(c *ConfigSpec, r report) { checkDataName(c.Name, r) }},
	{"config-data", func(c *ConfigSpec, r report) { checkDataSize(c.Data, MaxConfigSize, r) }},
}

// maxDataName is the length of the names of secrets and configs.
const maxDataName = 64

var dataNameForm = regexp.MustCompile(`^[a-zA-Z0-9]([a-zA-Z0-9_.-]*[a-zA-Z0-9])?$`)

func checkDataName(name string, r report) {
	switch {
	case name == "":
		r("Name", "is missing")
	case len(name) > maxDataName:
		r("Name", "is longer than %d characters", maxDataName)
	case !dataNameForm.MatchString(name):
		r("Name", "%q is not made of letters, digits, hyphens, underscores and dots, a letter or digit first and last", name)
	}
}

func checkDataSize(data []byte, most int, r report) {
	if len(data) == 0 || len(data) > most {
		r("Data", "has %d bytes, not 1 to %d", len(data), most)
	}
}

const containerPath = "TaskTemplate.ContainerSpec."

// inContainer makes a rule about containers one about services. What runs no
// container has none to check.
func inContainer(check func(*ContainerSpec, report)) func(*ServiceSpec, report) {
	return func(s *ServiceSpec, r report) {
		if s.runsContainers() {
			check(&s.TaskTemplate.ContainerSpec, r.in(containerPath))
		}
	}
}

func (s *ServiceSpec) runsContainers() bool {
	return s.TaskTemplate.Runtime == "" || s.TaskTemplate.Runtime == RuntimeContainer
}

func (s *ServiceSpec) isJob() bool {
	return s.Mode.ReplicatedJob != nil || s.Mode.GlobalJob != nil
}

// maxServiceName is the length of a DNS label.
const maxServiceName = 63

var serviceNameForm = regexp.MustCompile(`^[a-zA-Z0-9]([a-zA-Z0-9_-]*[a-zA-Z0-9])?$`)

func checkServiceName(s *ServiceSpec, r report) {
	switch {
	case s.Name == "": // the engine chooses one
	case len(s.Name) > maxServiceName:
		r("Name", "is longer than %d characters", maxServiceName)
	case !serviceNameForm.MatchString(s.Name):
		r("Name", "%q is not made of letters, digits, hyphens and underscores, a letter or digit first and last", s.Name)
	}
}

func checkServiceMode(s *ServiceSpec, r report) {
	modes := 0
	for _, set := range []bool{s.Mode.Replicated != nil, s.Mode.Global != nil, s.Mode.ReplicatedJob != nil, s.Mode.GlobalJob != nil} {
		if set {
			modes++
		}
	}
	if modes > 1 {
		r("Mode", "has %d modes, a service has one", modes)
	}
}

// checkReplicas finds numbers that engines take for negative ones.
func checkReplicas(s *ServiceSpec, r report) {
	check := func(path string, n *uint64) {
		if n != nil && int64(*n) < 0 {
			r(path, "%d is too large", *n)
		}
	}
	if m := s.Mode.Replicated; m != nil {
		check("Mode.Replicated.Replicas", m.Replicas)
	}
	if m := s.Mode.ReplicatedJob; m != nil {
		check("Mode.ReplicatedJob.MaxConcurrent", m.MaxConcurrent)
		check("Mode.ReplicatedJob.TotalCompletions", m.TotalCompletions)
	}
}

func checkJobUpdate(s *ServiceSpec, r report) {
	if s.isJob() && s.UpdateConfig != (UpdateConfig{}) {
		r("UpdateConfig", "jobs must not have one")
	}
}

func checkRuntime(s *ServiceSpec, r report) {
	switch {
	case s.runsContainers():
	case s.TaskTemplate.Runtime != RuntimePlugin:
		r("TaskTemplate.Runtime", "%q is not %q or %q", s.TaskTemplate.Runtime, RuntimeContainer, RuntimePlugin)
	case s.TaskTemplate.PluginSpec == nil:
		r("TaskTemplate.PluginSpec", "is missing, the runtime is %q", RuntimePlugin)
	}
}

func checkPluginMode(s *ServiceSpec, r report) {
	if s.TaskTemplate.Runtime == RuntimePlugin && s.Mode.Replicated != nil {
		r("Mode.Replicated", "plugins cannot be replicated, only global")
	}
}

func checkImage(c *ContainerSpec, r report) {
	if c.Image == "" {
		r("Image", "is missing")
		return
	}
	if _, err := reference.ParseNormalizedNamed(c.Image); err != nil {
		r("Image", "%q is no image reference: %v", c.Image, err)
	}
}

// checkTemplates finds what cannot be a template. What a template asks for is
// not checked: newer engines may know more.
func checkTemplates(c *ContainerSpec, r report) {
	check := func(path, text string) {
		if !isTemplate(text) {
			r(path, "holds {{ but is no template")
		}
	}
	check("Hostname", c.Hostname)
	for i, entry := range c.Env {
		check(fmt.Sprintf("Env[%d]", i), entry)
	}
	for i, m := range c.Mounts {
		mount := fmt.Sprintf("Mounts[%d].", i)
		check(mount+"Source", m.Source)
		check(mount+"Target", m.Target)
		if m.VolumeOptions == nil {
			continue
		}
		for _, name := range slices.Sorted(maps.Keys(m.VolumeOptions.Labels)) {
			check(fmt.Sprintf("%sVolumeOptions.Labels[%q]", mount, name), m.VolumeOptions.Labels[name])
		}
		if driver := m.VolumeOptions.DriverConfig; driver != nil {
			for _, name := range slices.Sorted(maps.Keys(driver.Options)) {
				check(fmt.Sprintf("%sVolumeOptions.DriverConfig.Options[%q]", mount, name), driver.Options[name])
			}
		}
	}
}

// maxTemplate bounds what is parsed, and with it the parser's stack.
const maxTemplate = 8 << 10

func isTemplate(text string) bool {
	if !strings.Contains(text, "{{") || len(text) > maxTemplate {
		return true
	}
	tree := parse.New("")
	tree.Mode = parse.SkipFuncCheck
	_, err := tree.Parse(text, "", "", map[string]*parse.Tree{})
	return err == nil
}

var mountTypes = []MountType{MountBind, MountVolume, MountTmpfs, MountNamedPipe, MountCluster}

func checkMountTypes(c *ContainerSpec, r report) {
	for i, m := range c.Mounts {
		if m.Type != "" && !slices.Contains(mountTypes, lower(m.Type)) {
			r(fmt.Sprintf("Mounts[%d].Type", i), "%q is not one of %s", m.Type, listOf(mountTypes))
		}
	}
}

var propagations = []Propagation{PropagationPrivate, PropagationRPrivate, PropagationShared, PropagationRShared,
	PropagationSlave, PropagationRSlave}

func checkPropagation(c *ContainerSpec, r report) {
	for i, m := range c.Mounts {
		if o := m.BindOptions; o != nil && o.Propagation != "" && !slices.Contains(propagations, lower(o.Propagation)) {
			r(fmt.Sprintf("Mounts[%d].BindOptions.Propagation", i), "%q is not one of %s", o.Propagation, listOf(propagations))
		}
	}
}

func checkMountTargets(c *ContainerSpec, r report) {
	seen := map[string]int{}
	for i, m := range c.Mounts {
		if first, taken := seen[m.Target]; taken {
			r(fmt.Sprintf("Mounts[%d].Target", i), "%q is the target of Mounts[%d], too", m.Target, first)
			continue
		}
		seen[m.Target] = i
	}
}

func checkHealthTimes(c *ContainerSpec, r report) {
	h := c.Healthcheck
	if h == nil {
		return
	}
	check := func(name string, d time.Duration) {
		if d != 0 && d < time.Millisecond {
			r("Healthcheck."+name, "%s is less than 1ms", d)
		}
	}
	check("Interval", h.Interval)
	check("Timeout", h.Timeout)
	check("StartPeriod", h.StartPeriod)
	check("StartInterval", h.StartInterval)
}

func checkHealthRetries(c *ContainerSpec, r report) {
	if h := c.Healthcheck; h != nil && int32(h.Retries) < 0 { // as engines convert it
		r("Healthcheck.Retries", "%d is negative or too large", h.Retries)
	}
}

func checkSecretReferences(c *ContainerSpec, r report) {
	for i, ref := range c.Secrets {
		r := r.in("Secrets[%d].", i)
		checkReference(r, "Secret", ref.SecretID, ref.SecretName)
		if ref.File.Name == "" {
			r("File.Name", "is missing")
		}
	}
}

func checkConfigReferences(c *ContainerSpec, r report) {
	for i, ref := range c.Configs {
		r := r.in("Configs[%d].", i)
		checkReference(r, "Config", ref.ConfigID, ref.ConfigName)
		switch {
		case ref.File == nil && ref.Runtime == nil:
			r("File", "is missing, and Runtime, too")
		case ref.File != nil && ref.Runtime != nil:
			r("Runtime", "cannot be beside File")
		case ref.File != nil && ref.File.Name == "":
			r("File.Name", "is missing")
		}
	}
}

func checkReference(r report, kind, id, name string) {
	if id == "" {
		r(kind+"ID", "is missing")
	}
	if name == "" {
		r(kind+"Name", "is missing")
	}
}

func checkSecretTargets(c *ContainerSpec, r report) {
	seen := fileTargets{}
	for i := range c.Secrets {
		seen.add("Secrets", i, c.Secrets[i].File.Name, r)
	}
}

func checkConfigTargets(c *ContainerSpec, r report) {
	seen := fileTargets{}
	for i, ref := range c.Configs {
		if ref.File != nil {
			seen.add("Configs", i, ref.File.Name, r)
		}
	}
}

// fileTargets are the files of the secrets or configs that were looked at.
type fileTargets map[string]int

func (seen fileTargets) add(list string, i int, name string, r report) {
	if first, taken := seen[name]; taken && name != "" {
		r(fmt.Sprintf("%s[%d].File.Name", list, i), "%q is the file of %s[%d], too", name, list, first)
		return
	}
	seen[name] = i
}

func checkCredentialSpec(c *ContainerSpec, r report) {
	if c.Privileges == nil || c.Privileges.CredentialSpec == nil {
		return
	}
	spec := c.Privileges.CredentialSpec
	set := 0
	for _, field := range []string{spec.Config, spec.File, spec.Registry} {
		if field != "" {
			set++
		}
	}
	isTarget := func(ref ConfigReference) bool { return ref.Runtime != nil && ref.ConfigID == spec.Config }
	switch {
	case set != 1:
		r("Privileges.CredentialSpec", "has %d of Config, File and Registry, it takes one", set)
	case spec.Config != "" && !slices.ContainsFunc(c.Configs, isTarget):
		r("Privileges.CredentialSpec.Config", "%q is not among the Configs with a Runtime target", spec.Config)
	}
}

// inResources makes a rule about an amount of CPUs and memory one about the
// limits and the reservations of services.
func inResources(check func(cpus, memory int64, r report)) func(*ServiceSpec, report) {
	return func(s *ServiceSpec, r report) {
		resources := s.TaskTemplate.Resources
		if resources == nil {
			return
		}
		r = r.in("TaskTemplate.Resources.")
		if l := resources.Limits; l != nil {
			check(l.NanoCPUs, l.MemoryBytes, r.in("Limits."))
		}
		if l := resources.Reservations; l != nil {
			check(l.NanoCPUs, l.MemoryBytes, r.in("Reservations."))
		}
	}
}

const (
	minNanoCPUs = 1_000_000
	minMemory   = 4 << 20
)

func checkCPU(cpus, _ int64, r report) {
	if cpus != 0 && cpus < minNanoCPUs {
		r("NanoCPUs", "%d is less than %d, a thousandth of a CPU", cpus, minNanoCPUs)
	}
}

func checkMemory(_, memory int64, r report) {
	if memory != 0 && memory < minMemory {
		r("MemoryBytes", "%d is less than %d, which is 4 MiB", memory, minMemory)
	}
}

func checkRestartCondition(s *ServiceSpec, r report) {
	if p := s.TaskTemplate.RestartPolicy; p != nil {
		checkOneOf(r, "TaskTemplate.RestartPolicy.Condition", p.Condition, RestartAny, RestartOnFailure, RestartNone)
	}
}

// checkOneOf finds a value that is neither empty nor one of those known.
func checkOneOf[T ~string](r report, path string, value T, known ...T) {
	if value != "" && !slices.Contains(known, value) {
		r(path, "%q is not one of %s", value, listOf(known))
	}
}

func checkRestartTimes(s *ServiceSpec, r report) {
	p := s.TaskTemplate.RestartPolicy
	if p == nil {
		return
	}
	check := func(name string, d *time.Duration) {
		if d != nil && *d < 0 {
			r("TaskTemplate.RestartPolicy."+name, "%s is negative", *d)
		}
	}
	check("Delay", p.Delay)
	check("Window", p.Window)
}

func checkConstraints(s *ServiceSpec, r report) {
	if s.TaskTemplate.Placement == nil {
		return
	}
	for i, text := range s.TaskTemplate.Placement.Constraints {
		if _, err := ParseConstraint(text); err != nil {
			r(fmt.Sprintf("TaskTemplate.Placement.Constraints[%d]", i), "%v", err)
		}
	}
}

func checkNetworks(s *ServiceSpec, r report) {
	for i, n := range s.TaskTemplate.Networks {
		if n.Target == "" {
			r(fmt.Sprintf("TaskTemplate.Networks[%d].Target", i), "is missing")
		}
	}
}

// checkUpdateTimes leaves out the RollbackConfig, of which engines take
// anything.
func checkUpdateTimes(s *ServiceSpec, r report) {
	if s.UpdateConfig.Delay < 0 {
		r("UpdateConfig.Delay", "%s is negative", s.UpdateConfig.Delay)
	}
	if s.UpdateConfig.Monitor < 0 {
		r("UpdateConfig.Monitor", "%s is negative", s.UpdateConfig.Monitor)
	}
}

func checkUpdateRatio(s *ServiceSpec, r report) {
	if ratio := s.UpdateConfig.MaxFailureRatio; ratio < 0 || ratio > 1 {
		r("UpdateConfig.MaxFailureRatio", "%v is not between 0 and 1", ratio)
	}
}

func checkFailureActions(s *ServiceSpec, r report) {
	for _, c := range s.updateConfigs() {
		checkOneOf(r, c.path+"FailureAction", c.FailureAction, PauseOnFailure, ContinueOnFailure, RollbackOnFailure)
	}
}

func checkUpdateOrders(s *ServiceSpec, r report) {
	for _, c := range s.updateConfigs() {
		checkOneOf(r, c.path+"Order", c.Order, StopFirst, StartFirst)
	}
}

// placedUpdateConfig is an UpdateConfig and its path.
type placedUpdateConfig struct {
	path string
	*UpdateConfig
}

func (s *ServiceSpec) updateConfigs() []placedUpdateConfig {
	return []placedUpdateConfig{{"UpdateConfig.", &s.UpdateConfig}, {"RollbackConfig.", &s.RollbackConfig}}
}

func checkEndpointMode(s *ServiceSpec, r report) {
	checkOneOf(r, "EndpointSpec.Mode", s.EndpointSpec.Mode, EndpointVIP, EndpointDNSRR)
}

func checkIngressPorts(s *ServiceSpec, r report) {
	for i, port := range s.EndpointSpec.Ports {
		if s.EndpointSpec.Mode == EndpointDNSRR && port.taken().PublishMode == PublishIngress {
			r(fmt.Sprintf("EndpointSpec.Ports[%d].PublishMode", i), "is not %q, and the endpoint mode is %q", PublishHost, EndpointDNSRR)
		}
	}
}

func checkDuplicatePorts(s *ServiceSpec, r report) {
	type number struct {
		protocol Protocol
		port     uint32
	}
	seen := map[number]int{}
	for i, port := range s.EndpointSpec.Ports {
		n := number{port.taken().Protocol, port.PublishedPort}
		if first, taken := seen[n]; taken && n.port != 0 {
			r(fmt.Sprintf("EndpointSpec.Ports[%d].PublishedPort", i), "%d/%s is published by Ports[%d], too", n.port, n.protocol, first)
			continue
		}
		seen[n] = i
	}
}

// taken is what engines take a port for: what they do not know becomes the
// default.
func (p PortConfig) taken() PortConfig {
	p.Protocol, p.PublishMode = lower(p.Protocol), lower(p.PublishMode)
	if p.Protocol != ProtocolUDP && p.Protocol != ProtocolSCTP {
		p.Protocol = ProtocolTCP
	}
	if p.PublishMode != PublishHost {
		p.PublishMode = PublishIngress
	}
	return p
}

func lower[T ~string](s T) T { return T(strings.ToLower(string(s))) }

// listOf is for messages: a, b, c.
func listOf[T ~string](values []T) string {
	texts := make([]string, len(values))
	for i, value := range values {
		texts[i] = string(value)
	}
	return strings.Join(texts, ", ")
}
