package engine

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/docker/go-units"

	"github.com/swarm-go/swarm"
)

// containers are those of the daemon's tasks, by ID.
func (d *Daemon) containers() []*Container {
	var all []*Container
	for _, work := range d.agent.work {
		if work.container != nil {
			all = append(all, work.container)
		}
	}
	slices.SortFunc(all, func(a, b *Container) int { return strings.Compare(a.id, b.id) })
	return all
}

// container finds a container by ID, name or a unique prefix of its ID.
func (d *Daemon) container(ref string) (*Container, error) {
	var found []*Container
	for _, c := range d.containers() {
		if c.id == ref || c.name() == strings.TrimPrefix(ref, "/") {
			return c, nil
		}
		if strings.HasPrefix(c.id, ref) {
			found = append(found, c)
		}
	}
	switch len(found) {
	case 0:
		return nil, refuse(http.StatusNotFound, "No such container: %s", ref)
	case 1:
		return found[0], nil
	}
	return nil, refuse(http.StatusBadRequest, "Multiple IDs found with provided prefix: %s", ref)
}

// name is what the engine calls the container: after its task.
func (c *Container) name() string {
	slot := c.task.NodeID
	if c.task.Slot != 0 {
		slot = fmt.Sprint(c.task.Slot)
	}
	return c.service.Spec.Name + "." + slot + "." + c.task.ID
}

// labels are the container's, with those that tell whose it is.
func (c *Container) labels() map[string]string {
	labels := map[string]string{
		"com.docker.swarm.node.id":      c.task.NodeID,
		"com.docker.swarm.service.id":   c.task.ServiceID,
		"com.docker.swarm.service.name": c.service.Spec.Name,
		"com.docker.swarm.task":         "",
		"com.docker.swarm.task.id":      c.task.ID,
		"com.docker.swarm.task.name":    c.name(),
	}
	maps.Copy(labels, c.task.Spec.ContainerSpec.Labels)
	return labels
}

// state is created, running or exited.
func (c *Container) state() string {
	switch {
	case c.ended:
		return "exited"
	case c.pid == 0:
		return "created"
	}
	return "running"
}

// event tells what has happened to the container, and its exit code or a signal
// besides.
func (c *Container) event(action swarm.EventAction, more attributes) {
	all := c.labels()
	all["image"], all["name"] = c.task.Spec.ContainerSpec.Image, c.name()
	maps.Copy(all, more)
	c.daemon.localEvent(swarm.EventContainer, action, c.id, all)
}

// tellEnd tells that the container has ended: of its own accord, or because it was
// to.
func (c *Container) tellEnd() {
	more := attributes{"exitCode": fmt.Sprint(c.code)}
	if c.daemon.release.API >= 43 {
		more["execDuration"] = fmt.Sprint(int(c.finished.Sub(c.started).Seconds()))
	}
	c.event(swarm.ActionDie, more)
	if c.stopping {
		c.event("stop", nil)
	}
}

// tellHealth tells how the container says that it is.
func (c *Container) tellHealth() {
	switch {
	case !checksHealth(c.task):
	case *c.health:
		c.event(swarm.ActionHealthy, nil)
	default:
		c.event(swarm.ActionUnhealthy, nil)
	}
}

// containerSummary is a container in a list.
type containerSummary struct {
	ID              string `json:"Id"`
	Names           []string
	Image, ImageID  string
	Command         string
	Created         int64
	Ports           []containerPort
	Labels          map[string]string
	State, Status   string
	HostConfig      map[string]string
	NetworkSettings map[string]any
	Mounts          []any
}

type containerPort struct {
	IP                      string
	PrivatePort, PublicPort uint32
	Type                    swarm.Protocol
}

func (c *call) listContainers() error {
	chosen, err := c.parseFilters()
	if err != nil {
		return err
	}
	if err := c.accept(chosen, "id", "name", "label", "status", "is-task"); err != nil {
		return err
	}
	all := c.looseFlag("all") || chosen.has("status")
	list := []containerSummary{}
	c.daemon.world.Do(func() {
		for _, container := range c.daemon.containers() {
			if (all || container.state() == "running") && container.isChosen(chosen) {
				list = append(list, container.summary())
			}
		}
	})
	return c.json(http.StatusOK, list)
}

func (c *Container) isChosen(f filters) bool {
	named := func(part string) bool { return strings.Contains("/"+c.name(), part) }
	return f.prefix("id", c.id) && f.exact("status", c.state()) && f.labels("label", c.labels()) && f.exact("is-task", "true") &&
		(len(f["name"]) == 0 || slices.ContainsFunc(f["name"], named))
}

func (c *Container) summary() containerSummary {
	summary := containerSummary{
		ID:              c.id,
		Names:           []string{"/" + c.name()},
		Image:           c.task.Spec.ContainerSpec.Image,
		ImageID:         c.imageID(),
		Command:         strings.Join(c.Args(), " "),
		Created:         c.created.Unix(),
		Ports:           []containerPort{},
		Labels:          c.labels(),
		State:           c.state(),
		Status:          c.statusText(),
		HostConfig:      map[string]string{"NetworkMode": "bridge"},
		NetworkSettings: map[string]any{"Networks": map[string]any{}},
		Mounts:          []any{},
	}
	if c.daemon.cluster == nil || c.ended {
		return summary
	}
	if task := c.daemon.cluster.tasks.get(c.task.ID); task != nil {
		for _, port := range task.Status.PortStatus.Ports {
			summary.Ports = append(summary.Ports, containerPort{"0.0.0.0", port.TargetPort, port.PublishedPort, port.Protocol})
		}
	}
	return summary
}

func (c *Container) statusText() string {
	now := c.world.now()
	switch c.state() {
	case "exited":
		return fmt.Sprintf("Exited (%d) %s ago", c.code, units.HumanDuration(now.Sub(c.finished)))
	case "created":
		return "Created"
	}
	text := "Up " + units.HumanDuration(now.Sub(c.started))
	switch {
	case c.health == nil:
		return text
	case *c.health:
		return text + " (healthy)"
	}
	return text + " (unhealthy)"
}

func (c *call) inspectContainer() error {
	var answer map[string]any
	var err error
	c.daemon.world.Do(func() {
		var container *Container
		if container, err = c.daemon.container(c.vars["container"]); err == nil {
			answer = container.inspect()
		}
	})
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, answer)
}

func (c *Container) inspect() map[string]any {
	spec := &c.task.Spec.ContainerSpec
	path, args := "", []string{}
	if all := c.Args(); len(all) > 0 {
		path, args = all[0], all[1:]
	}
	return map[string]any{
		"Id":      c.id,
		"Created": c.created.Format(time.RFC3339Nano),
		"Path":    path,
		"Args":    args,
		"State": map[string]any{
			"Status": c.state(), "Running": c.state() == "running", "Paused": false, "Restarting": false, "OOMKilled": false,
			"Dead": false, "Pid": c.status().PID, "ExitCode": c.code, "Error": "",
			"StartedAt": c.started.Format(time.RFC3339Nano), "FinishedAt": c.finished.Format(time.RFC3339Nano),
		},
		"Image":        c.imageID(),
		"Name":         "/" + c.name(),
		"RestartCount": 0,
		"Driver":       "overlay2",
		"Platform":     "linux",
		"HostConfig":   map[string]any{"NetworkMode": "default", "LogConfig": map[string]any{"Type": "json-file", "Config": map[string]string{}}},
		"Config": map[string]any{
			"Hostname": cmp.Or(c.host, c.id[:12]), "User": spec.User, "Tty": spec.TTY, "OpenStdin": spec.OpenStdin, "Env": c.Env(),
			"Cmd": spec.Args, "Entrypoint": spec.Command, "Image": spec.Image, "WorkingDir": spec.Dir, "Labels": c.labels(),
		},
		"NetworkSettings": map[string]any{"Networks": map[string]any{}},
		"Mounts":          []any{},
	}
}

// containerLogs answers GET /containers/{id}/logs. Unlike the logs of services
// they have an end when followed: that of the container.
func (c *call) containerLogs() error {
	request, err := c.logRequest()
	if err != nil {
		return err
	}
	query := c.r.URL.Query()
	if err := request.readSince(c); err != nil {
		return err
	}
	if until := query.Get("until"); until != "" && until != "0" {
		if request.until, err = c.daemon.parseTimestamp(`"until"`, until); err != nil {
			return err
		}
	}
	if request.readTail(query.Get("tail")) != nil {
		request.tail = -1 // unlike managers, daemons take what is no number for all
	}
	reader := &logReader{world: c.daemon.world, logRequest: *request, more: make(chan struct{}, 1)}
	c.daemon.world.Do(func() {
		var container *Container
		if container, err = c.daemon.container(c.vars["container"]); err != nil {
			return
		}
		reader.raw = container.log.tty
		reader.container = container
		reader.readLog(container.log)
		c.daemon.world.logs.open(reader)
	})
	if err != nil {
		return err
	}
	return reader.serve(c)
}

// imageID is the ID that nodes give the image that is kept under a name.
func imageID(name string) string {
	return fmt.Sprintf("sha256:%x", sha256.Sum256([]byte("image "+name)))
}

// imageID is the ID of the container's image.
func (c *Container) imageID() string {
	name, _, _ := c.world.findImage(c.task.Spec.ContainerSpec.Image)
	return imageID(name)
}
