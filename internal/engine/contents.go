package engine

import (
	"fmt"
	"path"

	"github.com/swarm-go/swarm"
)

// templateContext is what there is to ask about a task.
func (c *Cluster) templateContext(service *swarm.Service, task *swarm.Task, node *swarm.Node) *templateContext {
	context := &templateContext{}
	context.Service.ID, context.Service.Name, context.Service.Labels = service.ID, service.Spec.Name, service.Spec.Labels
	context.Node.ID, context.Node.Hostname = node.ID, node.Description.Hostname
	context.Node.Platform = node.Description.Platform
	context.Task.ID, context.Task.Name = task.ID, c.taskName(task)
	context.Task.Slot = fmt.Sprint(task.Slot)
	if mode := service.Spec.Mode.Kind(); mode == swarm.ModeGlobal || mode == swarm.ModeGlobalJob {
		context.Task.Slot = task.NodeID
	}
	return context
}

// containerSpec is the spec of a task's container with its templates filled in. If
// that is not possible it stays as it is.
func (d *Daemon) containerSpec(task *swarm.Task) swarm.ContainerSpec {
	service, node := d.cluster.services.get(task.ServiceID), d.node()
	if service == nil || node == nil {
		return task.Spec.ContainerSpec
	}
	filled, err := d.cluster.templateContext(service, task, node).container(task.Spec.ContainerSpec)
	if err != nil {
		return task.Spec.ContainerSpec
	}
	return filled
}

// filesOf are the secrets and configs of a task, by their paths.
func (c *Cluster) filesOf(task *swarm.Task) map[string][]byte {
	files := map[string][]byte{}
	put := func(folder, name string, data []byte) {
		if !path.IsAbs(name) {
			name = path.Join(folder, name)
		}
		files[path.Clean(name)] = data
	}
	for _, ref := range task.Spec.ContainerSpec.Secrets {
		put("/run/secrets", ref.File.Name, c.secretData[ref.SecretID])
	}
	for _, ref := range task.Spec.ContainerSpec.Configs {
		if config := c.configs.get(ref.ConfigID); config != nil && ref.File != nil {
			put("/", ref.File.Name, config.Spec.Data)
		}
	}
	return files
}
