package engine

import (
	"net/http"
	"reflect"
	"slices"

	"github.com/swarm-go/swarm"
)

// serviceRoutes are the endpoints of services, but for their logs.
var serviceRoutes = []route{
	{method: http.MethodGet, pattern: "/services", handle: listServices},
	{method: http.MethodGet, pattern: "/services/{id}", handle: inspectService},
	{method: http.MethodPost, pattern: "/services/create", handle: createService},
	{method: http.MethodPost, pattern: "/services/{id}/update", handle: updateService},
	{method: http.MethodDelete, pattern: "/services/{id}", handle: removeService},
}

func listServices(c *call) error {
	all, err := c.parseFilters()
	if err != nil {
		return err
	}
	status := false
	if c.version >= 41 {
		if status, err = c.flag("status"); err != nil {
			return err
		}
	}
	services := []*swarm.Service{}
	err = c.manage(func(cluster *Cluster) error {
		if err := c.accept(all, "name", "id", "label", "mode", "runtime"); err != nil {
			return err
		}
		if len(all["runtime"]) == 0 {
			all["runtime"] = []string{string(swarm.RuntimeContainer)}
		}
		services = cluster.services.matching(func(s *swarm.Service) bool { return serviceMatches(s, all) })
		if status {
			for i, service := range services {
				counted := *service
				counted.ServiceStatus = cluster.serviceStatus(service)
				services[i] = &counted
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, services)
}

func serviceMatches(s *swarm.Service, f filters) bool {
	return f.prefix("name", s.Spec.Name) &&
		f.prefix("id", s.ID) &&
		f.labels("label", s.Spec.Labels) &&
		f.exact("runtime", string(s.Spec.TaskTemplate.Runtime)) &&
		(!f.has("mode") || slices.Contains(f["mode"], string(s.Spec.Mode.Kind())))
}

// serviceStatus counts the tasks of a service as lists show them.
func (c *Cluster) serviceStatus(s *swarm.Service) *swarm.ServiceStatus {
	status := &swarm.ServiceStatus{}
	global := false
	switch mode := s.Spec.Mode; {
	case mode.Replicated != nil:
		status.DesiredTasks = *mode.Replicated.Replicas
	case mode.ReplicatedJob != nil:
		status.DesiredTasks = *mode.ReplicatedJob.MaxConcurrent
	default:
		global = true
	}
	for _, task := range c.tasksOf(c.byService[s.ID]) {
		if s.JobStatus != nil {
			if task.JobIteration == nil || *task.JobIteration != s.JobStatus.JobIteration {
				continue
			}
			if task.Status.State == swarm.TaskComplete {
				status.CompletedTasks++
			}
		}
		if task.Status.State == swarm.TaskRunning {
			status.RunningTasks++
		}
		if global && (task.DesiredState == swarm.TaskRunning ||
			task.DesiredState == swarm.TaskComplete && task.Status.State != swarm.TaskComplete) {
			status.DesiredTasks++
		}
	}
	return status
}

func inspectService(c *call) error {
	defaults, err := c.flag("insertDefaults")
	if err != nil {
		return err
	}
	var service *swarm.Service
	err = c.manage(func(cluster *Cluster) (err error) {
		service, err = cluster.service(c.vars["id"])
		return err
	})
	if err != nil {
		return err
	}
	if defaults {
		filled := *service
		filled.Spec = withDefaults(service.Spec)
		service = &filled
	}
	return c.json(http.StatusOK, service)
}

func createService(c *call) error {
	var posted postedSpec
	if err := c.decode(&posted); err != nil {
		return err
	}
	strip(&posted, c.daemon.release, c.version)
	id := ""
	err := c.manage(func(cluster *Cluster) (err error) {
		id, err = cluster.createService(c.daemon, posted, c.r.Header.Get("X-Registry-Auth"))
		return err
	})
	if err != nil {
		return err
	}
	if !c.daemon.release.warnings {
		return c.json(http.StatusCreated, struct{ ID string }{id})
	}
	return c.json(http.StatusCreated, struct {
		ID       string
		Warnings []string
	}{ID: id})
}

// createService makes a service of a spec, if daemon and managers take it.
func (c *Cluster) createService(d *Daemon, posted postedSpec, auth string) (id string, err error) {
	spec, err := c.convert(d, posted)
	if err != nil {
		return "", err
	}
	if spec.TaskTemplate.Runtime == swarm.RuntimePlugin {
		return "", refuse(http.StatusInternalServerError, `runtime type "plugin" only supported in experimental`)
	}
	if err := c.validateService(&spec, posted.hasFile, ""); err != nil {
		return "", err
	}
	if err := c.checkIngress(&spec); err != nil {
		return "", err
	}
	if err := c.checkReferences(&spec); err != nil {
		return "", err
	}
	if c.services.named(spec.Name) != nil {
		return "", alreadyExists("name conflicts with an existing object: service %s already exists", spec.Name)
	}
	service := &swarm.Service{ID: c.world.newID(), Spec: spec}
	if isJob(&spec) {
		service.JobStatus = &swarm.JobStatus{LastExecution: c.world.now()}
	}
	if auth != "" {
		c.registryAuth[service.ID] = [2]string{auth}
	}
	c.commit(func(t *tx) { put(t, c.services, service) })
	return service.ID, nil
}

// serviceUpdate is a request to change a service.
type serviceUpdate struct {
	ref      string
	version  uint64
	spec     postedSpec
	auth     string
	authFrom string
	rollback string
}

func updateService(c *call) error {
	query := c.r.URL.Query()
	update := serviceUpdate{
		ref:      c.vars["id"],
		auth:     c.r.Header.Get("X-Registry-Auth"),
		authFrom: query.Get("registryAuthFrom"),
		rollback: query.Get("rollback"),
	}
	if err := c.decode(&update.spec); err != nil {
		return err
	}
	version, err := c.versionOf("service")
	if err != nil {
		return err
	}
	update.version = version
	strip(&update.spec, c.daemon.release, c.version)
	err = c.manage(func(cluster *Cluster) error { return cluster.updateService(c.daemon, update) })
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, struct{ Warnings []string }{})
}

// updateService gives a service another spec, or its previous one back.
func (c *Cluster) updateService(d *Daemon, update serviceUpdate) error {
	spec, err := c.convert(d, update.spec)
	if err != nil {
		return err
	}
	current, err := c.service(update.ref)
	if err != nil {
		return err
	}
	auths, err := c.updatedAuth(d.release, current, update)
	if err != nil {
		return err
	}
	if update.rollback != "" && update.rollback != "none" && update.rollback != "previous" {
		return refuse(http.StatusInternalServerError, "unrecognized rollback option %s", update.rollback)
	}
	if err := c.validateService(&spec, update.spec.hasFile, current.ID); err != nil {
		return err
	}
	if err := c.checkChange(current, &spec); err != nil {
		return err
	}
	updated := *current
	if updated.JobStatus != nil {
		updated.JobStatus = &swarm.JobStatus{LastExecution: c.world.now()}
		updated.JobStatus.JobIteration.Index = current.JobStatus.JobIteration.Index + 1
	}
	if update.rollback == "previous" {
		if current.PreviousSpec == nil {
			return failedPrecondition("service %s does not have a previous spec", current.ID)
		}
		updated.Spec = *current.PreviousSpec
		updated.UpdateStatus = &swarm.UpdateStatus{
			State:     swarm.RollbackInProgress,
			Message:   "manually requested rollback",
			StartedAt: c.world.now(),
		}
		auths[0] = c.registryAuth[current.ID][1]
	} else {
		updated.Spec = spec
		updated.UpdateStatus = nil
	}
	previous := current.Spec
	updated.PreviousSpec = &previous
	if err := c.checkIngress(&updated.Spec); err != nil {
		return err
	}
	if update.version != current.Version.Index {
		return outOfSequence()
	}
	c.registryAuth[current.ID] = auths
	c.commit(func(t *tx) { put(t, c.services, &updated) })
	return nil
}

// updatedAuth is what the images of an updated service and of its previous spec
// are pulled with.
func (c *Cluster) updatedAuth(release *Release, current *swarm.Service, update serviceUpdate) ([2]string, error) {
	have := c.registryAuth[current.ID]
	switch {
	case update.auth != "":
		return [2]string{update.auth, have[0]}, nil
	case update.authFrom == "" || update.authFrom == "spec":
		return [2]string{have[0], have[0]}, nil
	case update.authFrom != "previous-spec" && release.API > 51:
		return have, refuse(http.StatusBadRequest, "invalid registryAuthFrom '%s'", update.authFrom)
	case update.authFrom != "previous-spec":
		return have, refuse(http.StatusInternalServerError, "unsupported registryAuthFrom value")
	case current.PreviousSpec == nil:
		return have, refuse(http.StatusInternalServerError, "service does not have a previous spec")
	}
	return [2]string{have[1], have[0]}, nil
}

// checkChange refuses what cannot be changed about a service.
func (c *Cluster) checkChange(current *swarm.Service, spec *swarm.ServiceSpec) error {
	was := &current.Spec
	if !reflect.DeepEqual(spec.Networks, was.Networks) &&
		reflect.DeepEqual(spec.TaskTemplate.Networks, was.TaskTemplate.Networks) {
		return unimplemented("networks must be migrated to TaskSpec before being changed")
	}
	if err := c.checkReferences(spec); err != nil {
		return err
	}
	if spec.Mode.Kind() != was.Mode.Kind() {
		return unimplemented("service mode change is not allowed")
	}
	if spec.Name != was.Name {
		return unimplemented("renaming services is not supported")
	}
	return nil
}

func removeService(c *call) error {
	err := c.manage(func(cluster *Cluster) error {
		service, err := cluster.service(c.vars["id"])
		if err != nil {
			return err
		}
		delete(cluster.registryAuth, service.ID)
		cluster.commit(func(t *tx) { drop(t, cluster.services, service.ID) })
		return nil
	})
	if err != nil {
		return err
	}
	c.w.WriteHeader(http.StatusOK)
	return nil
}

func isJob(spec *swarm.ServiceSpec) bool {
	return spec.Mode.ReplicatedJob != nil || spec.Mode.GlobalJob != nil
}
