package engine

import (
	"net/netip"
	"reflect"
	"strings"

	"github.com/swarm-go/swarm"
)

// constraints are conditions that a node must all meet.
type constraints []constraint

// constraint is one of them.
type constraint struct {
	key, value string
	not        bool
}

// constraintsOf is the constraints of a service's tasks.
func constraintsOf(service *swarm.Service) constraints {
	return placementOf(&service.Spec.TaskTemplate)
}

// placementOf is the constraints of a spec. Managers refuse what is none.
func placementOf(spec *swarm.TaskSpec) constraints {
	if spec.Placement == nil {
		return nil
	}
	var all constraints
	for _, text := range spec.Placement.Constraints {
		for _, operator := range []string{"==", "!="} {
			if key, value, found := strings.Cut(text, operator); found {
				all = append(all, constraint{strings.TrimSpace(key), strings.TrimSpace(value), operator == "!="})
				break
			}
		}
	}
	return all
}

// match reports whether a node meets all constraints.
func (c constraints) match(node *swarm.Node) bool {
	for _, one := range c {
		if !one.match(node) {
			return false
		}
	}
	return true
}

// match reports whether a node meets the constraint. None meets one that means
// nothing.
func (c constraint) match(node *swarm.Node) bool {
	if strings.EqualFold(c.key, "node.ip") {
		return c.matchAddress(node.Status.Addr)
	}
	have, known := nodeProperty(node, c.key)
	return known && strings.EqualFold(have, c.value) != c.not
}

// matchAddress compares the node's address with one address or with a network.
func (c constraint) matchAddress(address string) bool {
	have, _ := netip.ParseAddr(address)
	if network, err := netip.ParsePrefix(c.value); err == nil {
		return network.Contains(have) != c.not
	}
	want, err := netip.ParseAddr(c.value)
	return err == nil && (want == have) != c.not
}

// nodeProperty is what a constraint or a preference calls by that name. Labels
// that a node does not have are empty.
func nodeProperty(node *swarm.Node, name string) (value string, known bool) {
	const nodeLabels, engineLabels = "node.labels.", "engine.labels."
	if label, ok := cutPrefixFold(name, nodeLabels); ok {
		return node.Spec.Labels[label], true
	}
	if label, ok := cutPrefixFold(name, engineLabels); ok {
		return node.Description.Engine.Labels[label], true
	}
	switch strings.ToLower(name) {
	case "node.id":
		return node.ID, true
	case "node.hostname":
		return node.Description.Hostname, true
	case "node.role":
		return string(node.Spec.Role), true
	case "node.platform.os":
		return node.Description.Platform.OS, true
	case "node.platform.arch":
		return node.Description.Platform.Architecture, true
	}
	return "", false
}

func cutPrefixFold(s, prefix string) (string, bool) {
	if len(s) > len(prefix) && strings.EqualFold(s[:len(prefix)], prefix) {
		return s[len(prefix):], true
	}
	return s, false
}

// What the managers say of a task whose node does not suit it any more.
const (
	rejectedMessage = "task rejected by constraint enforcer"
	rejectedReason  = "assigned node no longer meets constraints"
)

// enforce rejects the tasks that are on nodes which do not suit them any more.
func (o *control) enforce(nodes ids) {
	for _, id := range sortedKeys(nodes) {
		node := o.cluster.nodes.get(id)
		// Tasks leave drained nodes anyway.
		if node == nil || node.Spec.Availability == swarm.NodeDrain {
			continue
		}
		for _, task := range o.cluster.tasksOf(o.cluster.byNode[id]) {
			if rank(task.DesiredState) <= rank(swarm.TaskRunning) && holds(task) && !placementOf(&task.Spec).match(node) {
				o.reject(task)
			}
		}
	}
}

func (o *control) reject(task *swarm.Task) {
	o.cluster.commit(func(t *tx) {
		t.changeTask(task.ID, func(task *swarm.Task) {
			task.Status.State = swarm.TaskRejected
			task.Status.Message = rejectedMessage
			task.Status.Err = rejectedReason
			task.Status.Timestamp = t.now
		})
	})
}

// dirty reports whether a task is not as its service wants it.
func (c *Cluster) dirty(service *swarm.Service, task *swarm.Task) bool {
	state := c.control.tasks[task.ID]
	if state != nil && state.version == c.control.versionOf(service.ID) {
		return false
	}
	want := taskSpec(service)
	if !reflect.DeepEqual(want.Placement, task.Spec.Placement) {
		// A task may stay where it would be placed anyway.
		placed := want
		placed.Placement = task.Spec.Placement
		node := c.nodes.get(task.NodeID)
		if reflect.DeepEqual(placed, task.Spec) && node != nil && constraintsOf(service).match(node) {
			return false
		}
	}
	switch {
	case !reflect.DeepEqual(want, task.Spec):
		return true
	case state == nil:
		return false
	case !reflect.DeepEqual(service.Spec.EndpointSpec, state.endpoint):
		return true
	}
	// How the image is pulled does not matter once it is.
	pulled := rank(task.DesiredState) <= rank(swarm.TaskRunning) &&
		rank(task.Status.State) >= rank(swarm.TaskReady) && !stopped(task)
	return !pulled && state.auth != c.registryAuth[service.ID][0]
}
