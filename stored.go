package swarm

import (
	"cmp"
	"slices"
	"strings"

	"github.com/swarm-go/swarm/internal/wire"
)

// isSpec reports whether a service has the spec that was sent: engines turn names
// of networks into IDs, pin images for old APIs, and fill in some values. Whatever
// else differs somebody has written. Networks are the names, by ID, of those that
// are known.
func isSpec(has, sent ServiceSpec, networks map[string]string) bool {
	has, sent = asStored(has), asStored(sent)
	hasTree, err1 := toTree(asSent(has, sent, networks))
	sentTree, err2 := toTree(sent)
	return err1 == nil && err2 == nil && isStored("", hasTree, sentTree)
}

// asStored is a spec as engines store it, but for what they fill in: with a mode
// and its numbers, all networks at the tasks, words that they do not know replaced,
// and without what they drop.
func asStored(spec ServiceSpec) ServiceSpec {
	spec.Mode = storedMode(&spec)
	if len(spec.TaskTemplate.Networks) == 0 {
		spec.TaskTemplate.Networks = spec.Networks
	}
	spec.Networks = nil
	container := &spec.TaskTemplate.ContainerSpec
	container.Isolation = storedWord(container.Isolation, IsolationDefault, IsolationHyperV, IsolationProcess)
	container.Mounts = slices.Clone(container.Mounts)
	for i, m := range container.Mounts {
		m.Type = cmp.Or(lower(m.Type), MountBind)
		m.Consistency, m.ImageOptions, m.BindOptions = "", nil, storedBind(m.BindOptions)
		container.Mounts[i] = m
	}
	spec.EndpointSpec.Ports = slices.Clone(spec.EndpointSpec.Ports)
	for i, port := range spec.EndpointSpec.Ports {
		port.Protocol = storedWord(port.Protocol, ProtocolTCP, ProtocolUDP, ProtocolSCTP)
		port.PublishMode = storedWord(port.PublishMode, PublishIngress, PublishHost)
		spec.EndpointSpec.Ports[i] = port
	}
	return spec
}

func storedMode(spec *ServiceSpec) ServiceMode {
	mode := spec.Mode
	switch job := mode.ReplicatedJob; {
	case mode == (ServiceMode{}) && spec.TaskTemplate.Runtime == RuntimePlugin:
		return Global()
	case mode.Kind() == ModeReplicated:
		return Replicated(replicasOf(mode))
	case job != nil:
		mode.ReplicatedJob = &ReplicatedJobMode{MaxConcurrent: cmp.Or(job.MaxConcurrent, new(uint64(1))), TotalCompletions: new(totalCompletions(job))}
	}
	return mode
}

func storedBind(bind *BindOptions) *BindOptions {
	if bind == nil || bind.Propagation == "" && !bind.NonRecursive {
		return nil
	}
	return &BindOptions{Propagation: cmp.Or(lower(bind.Propagation), PropagationRPrivate), NonRecursive: bind.NonRecursive}
}

// storedWord is a word in lower case, or the first of those that engines know if it
// is none of them.
func storedWord[T ~string](word T, known ...T) T {
	if word = lower(word); slices.Contains(known, word) {
		return word
	}
	return known[0]
}

// asSent undoes what engines do to values that have been sent.
func asSent(has, sent ServiceSpec, networks map[string]string) ServiceSpec {
	task, asked := &has.TaskTemplate, &sent.TaskTemplate
	if isPinnedFrom(task.ContainerSpec.Image, asked.ContainerSpec.Image) {
		task.ContainerSpec.Image = asked.ContainerSpec.Image
		if len(platformsOf(&has)) > 0 && len(platformsOf(&sent)) == 0 {
			placement := *task.Placement
			placement.Platforms = nil
			task.Placement = &placement
		}
	}
	task.Networks = slices.Clone(task.Networks)
	for i := range min(len(task.Networks), len(asked.Networks)) {
		if id, target := task.Networks[i].Target, asked.Networks[i].Target; mayBeNetwork(id, target, networks[id]) {
			task.Networks[i].Target = target
		}
	}
	return has
}

// isPinnedFrom reports whether an image is what an engine makes of the one that was
// sent, when it looks for its digest.
func isPinnedFrom(has, sent string) bool {
	return hasDigest(has) && !hasDigest(sent) && sameImage(has, sent)
}

// idLength is how long the IDs of a swarm are.
const idLength = 25

// mayBeNetwork reports whether a network with that ID, and that name if it is known,
// may be the one that was asked for: by name, ID, or the beginning of it.
func mayBeNetwork(id, target, name string) bool {
	return strings.HasPrefix(id, target) || target == name || name == "" && len(target) != idLength
}

// isStored reports whether has is what engines make of what was sent: they fill in
// values, leave out empty lists, and add no object. An empty one means nothing, and
// does not count.
func isStored(path string, has, sent wire.Node) bool {
	switch {
	case sent.Kind == wire.Array && has.Kind == wire.Array:
		return slices.EqualFunc(has.Items, sent.Items, func(a, b wire.Node) bool { return isStored(path+"[]", a, b) })
	case sent.Kind != wire.Object || has.Kind != wire.Object:
		return has.Equal(sent)
	}
	for _, m := range sent.Members {
		value, ok := has.Get(m.Name)
		if !ok && !isEmpty(m.Value) || ok && !isStored(pathTo(path, m.Name), value, m.Value) {
			return false
		}
	}
	for _, m := range has.Members {
		if _, ok := sent.Get(m.Name); !ok && !isEmpty(m.Value) && !stored.has(pathTo(path, m.Name), m.Value) {
			return false
		}
	}
	return true
}

func isEmpty(n wire.Node) bool { return n.Kind != wire.Scalar && len(n.Members)+len(n.Items) == 0 }
