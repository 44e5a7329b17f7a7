package engine

import (
	"fmt"
	"path"
	"strings"
	"text/template"

	"github.com/swarm-go/swarm"
)

// templateData is what templates in a task's spec can ask for.
type templateData struct {
	Service struct {
		ID, Name string
		Labels   map[string]string
	}
	Node struct {
		ID, Hostname string
		Platform     swarm.Platform
	}
	Task struct{ ID, Name, Slot string }
}

// templateData is what there is to ask about a task.
func (c *Cluster) templateData(service *swarm.Service, task *swarm.Task, node *swarm.Node) *templateData {
	data := &templateData{}
	data.Service.ID, data.Service.Name, data.Service.Labels = service.ID, service.Spec.Name, service.Spec.Labels
	data.Node.ID, data.Node.Hostname = node.ID, node.Description.Hostname
	data.Node.Platform = node.Description.Platform
	data.Task.ID, data.Task.Name = task.ID, c.taskName(task)
	data.Task.Slot = fmt.Sprint(task.Slot)
	if mode := service.Spec.Mode.Kind(); mode == swarm.ModeGlobal || mode == swarm.ModeGlobalJob {
		data.Task.Slot = task.NodeID
	}
	return data
}

// expandAll fills in the templates of texts. One that is none stays as it is.
func expandAll(texts []string, data *templateData) []string {
	expanded := make([]string, len(texts))
	for i, text := range texts {
		expanded[i] = expand(text, data)
	}
	return expanded
}

func expand(text string, data *templateData) string {
	parsed, err := template.New("").Parse(text)
	if err != nil {
		return text
	}
	var filled strings.Builder
	if err := parsed.Execute(&filled, data); err != nil {
		return text
	}
	return filled.String()
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
