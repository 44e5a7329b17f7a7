package engine

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/template"

	"github.com/swarm-go/swarm"
)

// templateContext is what the templates in a container's spec can ask for. Its
// names are those of the templates.
type templateContext struct {
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

// validateTemplates fills in templates as if there were a task. It returns the
// targets of the mounts.
func validateTemplates(container *swarm.ContainerSpec) (targets []string, err error) {
	var context templateContext
	context.Service.ID, context.Service.Name = "serviceid", "servicename"
	context.Node.ID, context.Node.Hostname = "nodeid", "nodeHostname"
	context.Node.Platform = swarm.Platform{OS: "os", Architecture: "architecture"}
	context.Task.Name, context.Task.Slot = "taskname", "1"
	filled, err := context.container(*container)
	for _, mount := range filled.Mounts {
		targets = append(targets, mount.Target)
	}
	return targets, err
}

// container is a container's spec with its templates filled in.
func (t *templateContext) container(spec swarm.ContainerSpec) (swarm.ContainerSpec, error) {
	var err error
	if spec.Env, err = t.env(spec.Env); err != nil {
		return spec, fmt.Errorf("expanding env failed: %w", err)
	}
	if spec.Mounts, err = t.mounts(spec.Mounts); err != nil {
		return spec, fmt.Errorf("expanding mounts failed: %w", err)
	}
	if spec.Hostname, err = t.fill(spec.Hostname); err != nil {
		return spec, fmt.Errorf("expanding hostname failed: %w", err)
	}
	return spec, nil
}

func (t *templateContext) env(entries []string) ([]string, error) {
	filled := slices.Clone(entries)
	for i, entry := range entries {
		key, value, found := strings.Cut(entry, "=")
		if !found {
			continue
		}
		value, err := t.fill(value)
		if err != nil {
			return nil, fmt.Errorf("expanding env %q: %w", entry, err)
		}
		filled[i] = key + "=" + value
	}
	return filled, nil
}

func (t *templateContext) mounts(mounts []swarm.Mount) ([]swarm.Mount, error) {
	filled := slices.Clone(mounts)
	for i := range filled {
		mount := &filled[i]
		source, err := t.fill(mount.Source)
		if err != nil {
			return nil, fmt.Errorf("expanding mount source %q: %w", mount.Source, err)
		}
		target, err := t.fill(mount.Target)
		if err != nil {
			return nil, fmt.Errorf("expanding mount target %q: %w", mount.Target, err)
		}
		mount.Source, mount.Target = source, target
		if mount.VolumeOptions == nil {
			continue
		}
		mount.VolumeOptions = new(*mount.VolumeOptions)
		if err := t.volume(mount.VolumeOptions); err != nil {
			return nil, err
		}
	}
	return filled, nil
}

func (t *templateContext) volume(options *swarm.VolumeOptions) (err error) {
	if options.Labels, err = t.values(options.Labels); err != nil {
		return fmt.Errorf("expanding volume labels: %w", err)
	}
	if options.DriverConfig == nil {
		return nil
	}
	options.DriverConfig = new(*options.DriverConfig)
	if options.DriverConfig.Options, err = t.values(options.DriverConfig.Options); err != nil {
		return fmt.Errorf("expanding volume driver config: %w", err)
	}
	return nil
}

func (t *templateContext) values(values map[string]string) (map[string]string, error) {
	filled := maps.Clone(values)
	for _, name := range slices.Sorted(maps.Keys(values)) {
		value, err := t.fill(values[name])
		if err != nil {
			return nil, fmt.Errorf("expanding map entry %q=%q: %w", name, values[name], err)
		}
		filled[name] = value
	}
	return filled, nil
}

func (t *templateContext) fill(text string) (string, error) {
	if !strings.Contains(text, "{{") {
		return text, nil
	}
	join := func(separator string, parts ...string) string { return strings.Join(parts, separator) }
	parsed, err := template.New("expansion").Option("missingkey=error").
		Funcs(template.FuncMap{"join": join}).Parse(text)
	if err != nil {
		return "", err
	}
	var filled strings.Builder
	if err := parsed.Execute(&filled, t); err != nil {
		return "", err
	}
	return filled.String(), nil
}
