package swarm

import (
	"fmt"
	"net"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/docker/go-units"

	"github.com/swarm-go/swarm/internal/wire"
)

// Lint finds what engines take but do not do: fields they drop, words they take
// for others, tasks that can never start, and settings that hardly mean what
// they say. Much of it may be meant. What engines refuse is for Validate.
//
// Fields are checked against the API version, such as "1.45"; empty means the
// newest this library knows. No call runs Lint by itself.
func (s ServiceSpec) Lint(apiVersion string) []Problem {
	return lint("ServiceSpec", s, apiVersion, serviceHints)
}

// lint finds what hints and the table of versions say about a spec of the type
// that is root.
func lint[T any](root string, spec T, apiVersion string, hints []specRule[T]) []Problem {
	have := maxVersion
	if apiVersion != "" {
		var err error
		if have, err = parseVersion(apiVersion); err != nil {
			return []Problem{{ID: "api-version", Message: err.Error()}}
		}
	}
	return append(lintFields(root, spec, have), problems(hints, &spec)...)
}

// lintFields finds the fields that engines drop from a request of the version.
func lintFields(root string, spec any, have version) []Problem {
	tree, err := toTree(spec)
	if err != nil {
		return []Problem{{ID: "field-value", Message: err.Error()}}
	}
	var all []Problem
	shapes()[root].eachRefused(tree, have, "", func(e *VersionError) {
		p := Problem{ID: "field-dropped", Path: e.Field, Message: "engines drop this"}
		if e.Needs != "" {
			p.ID, p.Message = "field-version", fmt.Sprintf("needs API %s: older engines drop or refuse it", e.Needs)
		}
		all = append(all, p)
	})
	return all
}

// eachRefused is check for all fields instead of the first.
func (s shape) eachRefused(value wire.Node, have version, at string, found func(*VersionError)) {
	if s == nil {
		return
	}
	for i, item := range value.Items {
		s.eachRefused(item, have, fmt.Sprintf("%s[%d]", at, i), found)
	}
	for _, m := range value.Members {
		known := s[m.Name]
		if known == nil || !known.isSet(m.Value) {
			continue
		}
		field := strings.TrimPrefix(at+"."+m.Name, ".")
		row, isValue := known.valueRow(m.Value)
		if !isValue {
			row = known.since
		}
		if e := row.refuse(have); e != nil {
			e.Field = field
			found(e)
		} else if !isValue {
			known.of.eachRefused(m.Value, have, field, found)
		}
	}
}

// serviceHints are what Lint finds beside fields. Each has specs on both sides in
// testdata/validate. That engines take them all is tested, and that the specs or
// their tasks become what is written there.
var serviceHints = []specRule[ServiceSpec]{
	{"runtime-spec", hintOtherSpecs},
	{"job-idle", hintIdleJob},
	{"job-rollback", hintJobRollback},
	{"max-replicas", hintMaxReplicas},
	{"env", inContainer(hintEnv)},
	{"hostname", inContainer(hintHostname)},
	{"working-dir", inContainer(hintDir)},
	{"group", inContainer(hintGroups)},
	{"tty", inContainer(hintTTY)},
	{"stdin", inContainer(hintStdin)},
	{"isolation", inContainer(hintIsolation)},
	{"seccomp", inContainer(hintSeccomp)},
	{"apparmor", inContainer(hintAppArmor)},
	{"health-test", inContainer(hintHealthTest)},
	{"host-entry", inContainer(hintHosts)},
	{"nameserver", inContainer(hintNameservers)},
	{"ulimit", inContainer(hintUlimits)},
	{"oom-score", inContainer(hintOomScore)},
	{"mount-options", inContainer(hintMountOptions)},
	{"mount-path", inContainer(hintMountPaths)},
	{"volume-name", inContainer(hintVolumeNames)},
	{"volume-subpath", inContainer(hintSubpaths)},
	{"file-owner", inContainer(hintFileOwners)},
	{"file-mode", inContainer(hintFileModes)},
	{"cpu-limit", hintCPULimit},
	{"memory-limit", hintMemoryLimit},
	{"generic-resource", hintGenericResources},
	{"constraint-key", hintConstraintKeys},
	{"constraint-value", hintConstraintValues},
	{"preference", hintPreferences},
	{"log-driver", hintLogDriver},
	{"update-parallelism", hintParallelism},
	{"rollback-value", hintRollbackValues},
	{"port-protocol", hintProtocols},
	{"port-mode", hintPublishModes},
	{"port-number", hintPortNumbers},
}

func hintOtherSpecs(s *ServiceSpec, r report) {
	if !s.runsContainers() {
		return
	}
	if s.TaskTemplate.PluginSpec != nil {
		r("TaskTemplate.PluginSpec", "is dropped, the runtime is %q", RuntimeContainer)
	}
	if s.TaskTemplate.NetworkAttachmentSpec != nil {
		r("TaskTemplate.NetworkAttachmentSpec", "is dropped, the runtime is %q", RuntimeContainer)
	}
}

func hintIdleJob(s *ServiceSpec, r report) {
	if m := s.Mode.ReplicatedJob; m != nil && m.MaxConcurrent != nil && *m.MaxConcurrent == 0 {
		r("Mode.ReplicatedJob.MaxConcurrent", "is 0: no task will ever run")
	}
}

func hintJobRollback(s *ServiceSpec, r report) {
	if s.isJob() && s.RollbackConfig != (UpdateConfig{}) {
		r("RollbackConfig", "jobs are not replaced task by task")
	}
}

func hintMaxReplicas(s *ServiceSpec, r report) {
	p, at := s.TaskTemplate.Placement, "TaskTemplate.Placement.MaxReplicas"
	switch {
	case p == nil || p.MaxReplicas == 0:
	case s.Mode.Global != nil && p.MaxReplicas == 1 && s.UpdateConfig.Order == StartFirst:
		r(at, "leaves no room for a second task, which the order %q needs: updates wait for ever", StartFirst)
	case s.Mode.Global != nil || s.Mode.GlobalJob != nil:
		r(at, "is for replicated services, a global one has one task a node")
	}
}

func hintEnv(c *ContainerSpec, r report) {
	seen := map[string]int{}
	for i, entry := range c.Env {
		at := fmt.Sprintf("Env[%d]", i)
		name, _, hasValue := strings.Cut(entry, "=")
		first, twice := seen[name]
		switch {
		case name == "":
			r(at, "has no name: no task can start")
		case twice:
			r(at, "replaces Env[%d], which has the same name", first)
		case !hasValue:
			r(at, "has no value: it removes the image's variable")
		}
		seen[name] = i
	}
}

// maxHostname is Linux's.
const maxHostname = 64

func hintHostname(c *ContainerSpec, r report) {
	if len(c.Hostname) > maxHostname && !hasTemplate(c.Hostname) {
		r("Hostname", "is longer than %d bytes: no task can start on Linux", maxHostname)
	}
}

func hasTemplate(text string) bool { return strings.Contains(text, "{{") }

func hintDir(c *ContainerSpec, r report) {
	if c.Dir != "" && !isAbsolute(c.Dir) {
		r("Dir", "%q is not absolute: no task can start", c.Dir)
	}
}

var windowsDrive = regexp.MustCompile(`^[a-zA-Z]:`)

// isAbsolute takes what is absolute on Linux or on Windows: it is not known
// where a task will run.
func isAbsolute(p string) bool {
	return strings.HasPrefix(p, "/") || strings.HasPrefix(p, `\`) || windowsDrive.MatchString(p)
}

// hintGroups finds what makes engines crash, 28.5 at every start again.
func hintGroups(c *ContainerSpec, r report) {
	for i, group := range c.Groups {
		if group == "" {
			r(fmt.Sprintf("Groups[%d]", i), "is empty: no task can start, and some engines crash")
		}
	}
}

func hintTTY(c *ContainerSpec, r report) {
	if c.TTY {
		r("TTY", "makes one stream of stdout and stderr, in logs, too")
	}
}

func hintStdin(c *ContainerSpec, r report) {
	if c.OpenStdin {
		r("OpenStdin", "leaves the standard input open and empty: a program that reads it to its end waits for ever")
	}
}

func hintIsolation(c *ContainerSpec, r report) {
	if !slices.Contains([]Isolation{"", IsolationDefault, IsolationProcess, IsolationHyperV}, lower(c.Isolation)) {
		r("Isolation", "%q is taken for %q", c.Isolation, IsolationDefault)
	}
}

func hintSeccomp(c *ContainerSpec, r report) {
	if c.Privileges == nil || c.Privileges.Seccomp == nil {
		return
	}
	switch o := c.Privileges.Seccomp; {
	case !slices.Contains([]SeccompMode{"", SeccompDefault, SeccompUnconfined, SeccompCustom}, o.Mode):
		r("Privileges.Seccomp.Mode", "%q is taken for %q", o.Mode, SeccompDefault)
	case o.Mode == SeccompCustom && len(o.Profile) == 0:
		r("Privileges.Seccomp.Profile", "is missing: the node's default profile is used")
	case o.Mode != SeccompCustom && len(o.Profile) > 0:
		r("Privileges.Seccomp.Profile", "is not used, the mode is not %q", SeccompCustom)
	}
}

func hintAppArmor(c *ContainerSpec, r report) {
	if c.Privileges == nil || c.Privileges.AppArmor == nil {
		return
	}
	if mode := c.Privileges.AppArmor.Mode; !slices.Contains([]AppArmorMode{"", AppArmorDefault, AppArmorDisabled}, mode) {
		r("Privileges.AppArmor.Mode", "%q is taken for %q", mode, AppArmorDefault)
	}
}

func hintHealthTest(c *ContainerSpec, r report) {
	if c.Healthcheck == nil || len(c.Healthcheck.Test) == 0 {
		return
	}
	test := c.Healthcheck.Test
	switch {
	case !slices.Contains([]string{"NONE", "CMD", "CMD-SHELL"}, test[0]):
		r("Healthcheck.Test[0]", "%q is not NONE, CMD or CMD-SHELL: tasks never become healthy, and stay starting", test[0])
	case test[0] == "CMD" && len(test) == 1:
		r("Healthcheck.Test", "names no command: engines crash")
	case test[0] == "CMD-SHELL" && len(test) == 1:
		r("Healthcheck.Test", "names no command: tasks become unhealthy")
	}
}

func hintHosts(c *ContainerSpec, r report) {
	for i, entry := range c.Hosts {
		at := fmt.Sprintf("Hosts[%d]", i)
		switch fields := strings.Fields(entry); {
		case len(fields) < 2:
			r(at, "%q is ignored: it is not an address and a name", entry)
		case net.ParseIP(fields[0]) == nil && fields[0] != "host-gateway":
			r(at, "%q is no IP address: no task can start", fields[0])
		case len(fields) > 2:
			r(at, "only the first name counts, not %q", strings.Join(fields[2:], " "))
		}
	}
}

func hintNameservers(c *ContainerSpec, r report) {
	if c.DNSConfig == nil {
		return
	}
	for i, server := range c.DNSConfig.Nameservers {
		if net.ParseIP(server) == nil {
			r(fmt.Sprintf("DNSConfig.Nameservers[%d]", i), "%q is no IP address: it is ignored, or no task can start", server)
		}
	}
}

func hintUlimits(c *ContainerSpec, r report) {
	for i, u := range c.Ulimits {
		if u.Name == "as" { // nodes know it, the parser does not
			continue
		}
		if _, err := units.ParseUlimit(formatUlimit(u)); err != nil {
			r(fmt.Sprintf("Ulimits[%d]", i), "%v: no task can start", err)
		}
	}
}

func hintOomScore(c *ContainerSpec, r report) {
	if c.OomScoreAdj < -1000 || c.OomScoreAdj > 1000 {
		r("OomScoreAdj", "%d is not between -1000 and 1000: no task can start", c.OomScoreAdj)
	}
}

func hintMountOptions(c *ContainerSpec, r report) {
	for i, m := range c.Mounts {
		r := r.in("Mounts[%d].", i)
		typ := m.taken()
		if m.BindOptions != nil && typ != MountBind {
			r("BindOptions", "do not belong to type %q: no task can start", typ)
		}
		if m.VolumeOptions != nil && typ != MountVolume {
			r("VolumeOptions", "do not belong to type %q: they are ignored, or no task can start", typ)
		}
		if m.TmpfsOptions != nil && typ != MountTmpfs {
			r("TmpfsOptions", "do not belong to type %q: they are ignored", typ)
		}
		if m.ClusterOptions != nil && typ != MountCluster {
			r("ClusterOptions", "do not belong to type %q", typ)
		}
	}
}

// taken is the type that engines take a mount for.
func (m Mount) taken() MountType {
	if m.Type == "" {
		return MountBind
	}
	return lower(m.Type)
}

func hintMountPaths(c *ContainerSpec, r report) {
	seen := map[string]int{}
	for i, m := range c.Mounts {
		r := r.in("Mounts[%d].", i)
		hintSource(m, r)
		if hasTemplate(m.Target) {
			continue
		}
		clean := path.Clean(m.Target)
		first, twice := seen[clean]
		seen[clean] = i
		switch {
		case !isAbsolute(m.Target):
			r("Target", "%q is not absolute: no task can start", m.Target)
		case clean == "/":
			r("Target", "cannot be the root: no task can start")
		case twice && m.Target != c.Mounts[first].Target: // else engines refuse it
			r("Target", "%q is the target of Mounts[%d], too: no task can start", m.Target, first)
		}
	}
}

func hintSource(m Mount, r report) {
	if hasTemplate(m.Source) {
		return
	}
	switch typ := m.taken(); {
	case typ == MountBind && !isAbsolute(m.Source):
		r("Source", "%q is not absolute: no task can start", m.Source)
	case typ == MountVolume && isAbsolute(m.Source):
		r("Source", "%q is a path, not the name of a volume: no task can start", m.Source)
	case typ == MountTmpfs && m.Source != "":
		r("Source", "%q must be empty for tmpfs: no task can start", m.Source)
	}
}

var volumeName = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]+$`)

// hintVolumeNames leaves out what other drivers than the engine's own may take.
func hintVolumeNames(c *ContainerSpec, r report) {
	for i, m := range c.Mounts {
		o := m.VolumeOptions
		if m.taken() != MountVolume || m.Source == "" || isAbsolute(m.Source) || hasTemplate(m.Source) ||
			o != nil && o.DriverConfig != nil && o.DriverConfig.Name != "" && o.DriverConfig.Name != "local" {
			continue
		}
		if !volumeName.MatchString(m.Source) {
			r(fmt.Sprintf("Mounts[%d].Source", i), "%q is no name for a local volume: no task can start", m.Source)
		}
	}
}

func hintSubpaths(c *ContainerSpec, r report) {
	for i, m := range c.Mounts {
		if m.VolumeOptions == nil || m.VolumeOptions.Subpath == "" {
			continue
		}
		if sub := m.VolumeOptions.Subpath; isAbsolute(sub) || slices.Contains(strings.Split(path.Clean(sub), "/"), "..") {
			r(fmt.Sprintf("Mounts[%d].VolumeOptions.Subpath", i), "%q is not inside of the volume: no task can start", sub)
		}
	}
}

// eachFile are the files of secrets and configs.
func (c *ContainerSpec) eachFile(found func(at string, file FileTarget)) {
	for i, ref := range c.Secrets {
		found(fmt.Sprintf("Secrets[%d].File.", i), ref.File)
	}
	for i, ref := range c.Configs {
		if ref.File != nil {
			found(fmt.Sprintf("Configs[%d].File.", i), *ref.File)
		}
	}
}

func hintFileOwners(c *ContainerSpec, r report) {
	c.eachFile(func(at string, file FileTarget) {
		if _, err := strconv.Atoi(file.UID); err != nil {
			r(at+"UID", "%q is no number: no task can start", file.UID)
		}
		if _, err := strconv.Atoi(file.GID); err != nil {
			r(at+"GID", "%q is no number: no task can start", file.GID)
		}
	})
}

func hintFileModes(c *ContainerSpec, r report) {
	c.eachFile(func(at string, file FileTarget) {
		if file.Mode == 0 {
			r(at+"Mode", "is 0: nobody but root may read the file")
		}
	})
}

// Nodes want more than managers.
const (
	minCPULimit    = 10_000_000
	minMemoryLimit = 6 << 20
)

func hintCPULimit(s *ServiceSpec, r report) {
	if l := s.limits(); l.NanoCPUs >= minNanoCPUs && l.NanoCPUs < minCPULimit {
		r("TaskTemplate.Resources.Limits.NanoCPUs", "%d is less than %d, a hundredth of a CPU: no task can start", l.NanoCPUs, minCPULimit)
	}
}

func hintMemoryLimit(s *ServiceSpec, r report) {
	if l := s.limits(); l.MemoryBytes >= minMemory && l.MemoryBytes < minMemoryLimit {
		r("TaskTemplate.Resources.Limits.MemoryBytes", "%d is less than %d, which is 6 MiB: no task can start", l.MemoryBytes, minMemoryLimit)
	}
}

func (s *ServiceSpec) limits() Limits {
	if s.TaskTemplate.Resources == nil || s.TaskTemplate.Resources.Limits == nil {
		return Limits{}
	}
	return *s.TaskTemplate.Resources.Limits
}

func hintGenericResources(s *ServiceSpec, r report) {
	if s.TaskTemplate.Resources == nil || s.TaskTemplate.Resources.Reservations == nil {
		return
	}
	for i, g := range s.TaskTemplate.Resources.Reservations.GenericResources {
		at := fmt.Sprintf("TaskTemplate.Resources.Reservations.GenericResources[%d]", i)
		switch d := g.DiscreteResourceSpec; {
		case d == nil:
			r(at, "asks for no number of things: no node ever has it")
		case d.Value <= 0:
			r(at+".DiscreteResourceSpec.Value", "%d is not above 0", d.Value)
		case g.NamedResourceSpec != nil:
			r(at+".NamedResourceSpec", "is dropped beside DiscreteResourceSpec")
		}
	}
}

var constraintKeys = []string{"node.id", "node.hostname", "node.ip", "node.role", "node.platform.os", "node.platform.arch"}

// eachConstraint are the constraints that engines take.
func (s *ServiceSpec) eachConstraint(found func(at string, c Constraint)) {
	if s.TaskTemplate.Placement == nil {
		return
	}
	for i, text := range s.TaskTemplate.Placement.Constraints {
		if c, err := ParseConstraint(text); err == nil {
			c.Key = lower(c.Key)
			found(fmt.Sprintf("TaskTemplate.Placement.Constraints[%d]", i), c)
		}
	}
}

func hintConstraintKeys(s *ServiceSpec, r report) {
	s.eachConstraint(func(at string, c Constraint) {
		if !slices.Contains(constraintKeys, c.Key) && !isLabelKey(c.Key) {
			r(at, "%q is nothing that nodes have: no task is ever placed", c.Key)
		}
	})
}

func isLabelKey(key string) bool {
	for _, prefix := range []string{"node.labels.", "engine.labels."} {
		if name, found := strings.CutPrefix(key, prefix); found && name != "" {
			return true
		}
	}
	return false
}

func hintConstraintValues(s *ServiceSpec, r report) {
	s.eachConstraint(func(at string, c Constraint) {
		switch c.Key {
		case "node.role":
			if role := lower(c.Value); role != "manager" && role != "worker" {
				r(at, "%q is not manager or worker", c.Value)
			}
		case "node.ip":
			if _, _, err := net.ParseCIDR(c.Value); err != nil && net.ParseIP(c.Value) == nil {
				r(at, "%q is no IP address or network: no task is ever placed", c.Value)
			}
		}
	})
}

func hintPreferences(s *ServiceSpec, r report) {
	if s.TaskTemplate.Placement == nil {
		return
	}
	for i, p := range s.TaskTemplate.Placement.Preferences {
		at := fmt.Sprintf("TaskTemplate.Placement.Preferences[%d]", i)
		switch {
		case p.Spread == nil:
			r(at, "is empty: it is dropped")
		case !isLabelKey(lower(p.Spread.SpreadDescriptor)):
			r(at+".Spread.SpreadDescriptor", "%q is ignored: it is not node.labels.NAME or engine.labels.NAME", p.Spread.SpreadDescriptor)
		}
	}
}

func hintLogDriver(s *ServiceSpec, r report) {
	if d := s.TaskTemplate.LogDriver; d != nil && d.Name == "" && len(d.Options) > 0 {
		r("TaskTemplate.LogDriver.Name", "is missing: the options go to the node's log driver, and no task can start where it does not know them")
	}
}

func hintParallelism(s *ServiceSpec, r report) {
	for _, c := range s.updateConfigs() {
		if c.Parallelism != nil && *c.Parallelism == 0 {
			r(c.path+"Parallelism", "is 0: all tasks are replaced at once")
		}
	}
}

func hintRollbackValues(s *ServiceSpec, r report) {
	c := s.RollbackConfig
	if c.Delay < 0 {
		r("RollbackConfig.Delay", "%s is negative: it counts as none", c.Delay)
	}
	if c.Monitor < 0 {
		r("RollbackConfig.Monitor", "%s is negative: no failure of a task that has started counts", c.Monitor)
	}
	if c.MaxFailureRatio < 0 {
		r("RollbackConfig.MaxFailureRatio", "%v is negative: it counts as 0", c.MaxFailureRatio)
	}
	if c.MaxFailureRatio > 1 {
		r("RollbackConfig.MaxFailureRatio", "%v is greater than 1: it counts as 1, no failure stops the rollback", c.MaxFailureRatio)
	}
}

func hintProtocols(s *ServiceSpec, r report) {
	for i, port := range s.EndpointSpec.Ports {
		if p := port.taken().Protocol; port.Protocol != "" && p != lower(port.Protocol) {
			r(fmt.Sprintf("EndpointSpec.Ports[%d].Protocol", i), "%q is taken for %q", port.Protocol, p)
		}
	}
}

func hintPublishModes(s *ServiceSpec, r report) {
	for i, port := range s.EndpointSpec.Ports {
		if m := port.taken().PublishMode; port.PublishMode != "" && m != lower(port.PublishMode) {
			r(fmt.Sprintf("EndpointSpec.Ports[%d].PublishMode", i), "%q is taken for %q", port.PublishMode, m)
		}
	}
}

func hintPortNumbers(s *ServiceSpec, r report) {
	for i, port := range s.EndpointSpec.Ports {
		if port.TargetPort == 0 || port.TargetPort > maxPort {
			r(fmt.Sprintf("EndpointSpec.Ports[%d].TargetPort", i), "%d is not between 1 and %d", port.TargetPort, maxPort)
		}
		if port.PublishedPort > maxPort {
			r(fmt.Sprintf("EndpointSpec.Ports[%d].PublishedPort", i), "%d is greater than %d: no task can start", port.PublishedPort, maxPort)
		}
	}
}

const maxPort = 65535
