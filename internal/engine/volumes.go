package engine

import (
	"encoding/hex"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/swarm-go/swarm"
)

// volumeRoutes are the endpoints of volumes.
var volumeRoutes = []route{
	{method: http.MethodGet, pattern: "/volumes", handle: listVolumes},
	{method: http.MethodGet, pattern: "/volumes/{name}", handle: inspectVolume},
	{method: http.MethodPost, pattern: "/volumes/create", handle: createVolume},
	{method: http.MethodPut, pattern: "/volumes/{name}", since: 42, handle: updateVolume},
	{method: http.MethodDelete, pattern: "/volumes/{name}", handle: removeVolume},
	{method: http.MethodPost, pattern: "/volumes/prune", since: 25, handle: pruneVolumes},
}

// volumeAnswer is a volume as it is shown.
type volumeAnswer struct {
	CreatedAt  string
	Driver     string
	Labels     map[string]string
	Mountpoint string
	Name       string
	Options    map[string]string
	Scope      swarm.Scope
}

func showVolume(v *swarm.Volume) volumeAnswer {
	return volumeAnswer{v.CreatedAt, v.Driver, v.Labels, v.Mountpoint, v.Name, v.Options, v.Scope}
}

func listVolumes(c *call) error {
	all, err := c.parseFilters()
	if err != nil {
		return err
	}
	if err := c.accept(all, "dangling", "name", "driver", "label"); err != nil {
		return err
	}
	dangling, err := c.dangling(all)
	if err != nil {
		return err
	}
	volumes := []volumeAnswer{}
	var warnings []string
	if c.version >= 42 {
		c.hopeForLeader()
	}
	c.daemon.world.Do(func() {
		if c.version >= 42 && c.daemon.canManage() == errNoLeader {
			warnings = []string{errNoLeader.Error()}
		}
		for _, name := range slices.Sorted(maps.Keys(c.daemon.volumes)) {
			v := c.daemon.volumes[name]
			unused := len(c.daemon.volumeUsers(name)) == 0
			if all.match("name", name) && all.exact("driver", v.Driver) && all.labels("label", v.Labels) &&
				(dangling == nil || *dangling == unused) {
				volumes = append(volumes, showVolume(v))
			}
		}
	})
	return c.json(http.StatusOK, struct {
		Volumes  []volumeAnswer
		Warnings []string
	}{volumes, warnings})
}

// dangling is the filter for volumes that nothing uses, nil if there is none.
func (c *call) dangling(f filters) (*bool, error) {
	switch values := f["dangling"]; {
	case len(values) == 0:
		return nil, nil
	case len(values) == 1 && (values[0] == "true" || values[0] == "1"):
		return new(true), nil
	case len(values) == 1 && (values[0] == "false" || values[0] == "0"):
		return new(false), nil
	default:
		return nil, c.badFilter("dangling=" + fmt.Sprint(values))
	}
}

func inspectVolume(c *call) error {
	var volume *swarm.Volume
	err := c.do(func() (err error) {
		volume, err = c.daemon.volume(c.vars["name"])
		return err
	})
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, showVolume(volume))
}

// volume is the volume of that name. Engines that look for it in the swarm, too,
// say so in other words.
func (d *Daemon) volume(name string) (*swarm.Volume, error) {
	if v := d.volumes[name]; v != nil {
		return v, nil
	}
	if d.release.API >= 42 {
		switch d.canManage() {
		case nil:
			return nil, notFound("volume", name)
		case errNoLeader:
			return nil, errNoLeader
		}
	}
	return nil, refuse(http.StatusNotFound, "get %s: no such volume", name)
}

func createVolume(c *call) error {
	var spec swarm.VolumeSpec
	if err := c.decode(&spec); err != nil {
		return err
	}
	if c.version >= 42 && c.daemon.release.API >= 42 && spec.ClusterVolumeSpec != nil {
		return refuse(http.StatusNotImplemented, "the embedded engine does not answer POST /volumes/create for cluster volumes")
	}
	var volume *swarm.Volume
	err := c.do(func() (err error) {
		volume, err = c.daemon.createVolume(spec)
		return err
	})
	if err != nil {
		return err
	}
	return c.json(http.StatusCreated, showVolume(volume))
}

var volumeName = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]*$`)

// createVolume makes a volume, or finds the one of that name.
func (d *Daemon) createVolume(spec swarm.VolumeSpec) (*swarm.Volume, error) {
	if spec.Name == "" {
		spec.Name = hex.EncodeToString(randomBytes(d.world.rand, 32))
		if d.release.API >= 42 {
			spec.Labels = maps.Clone(spec.Labels)
			if spec.Labels == nil {
				spec.Labels = map[string]string{}
			}
			spec.Labels["com.docker.volume.anonymous"] = ""
		}
	}
	if v := d.volumes[spec.Name]; v != nil {
		return v, nil
	}
	if spec.Driver != "" && spec.Driver != "local" {
		return nil, refuse(http.StatusNotFound, "create %s: error looking up volume plugin %s: plugin %q not found", spec.Name, spec.Driver, spec.Driver)
	}
	switch {
	case len(spec.Name) == 1:
		return nil, refuse(http.StatusBadRequest, "create %s: volume name is too short, names should be at least two alphanumeric characters", spec.Name)
	case !volumeName.MatchString(spec.Name):
		return nil, refuse(http.StatusBadRequest, "create %s: %q includes invalid characters for a local volume name, only \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. "+
			"If you intended to pass a host directory, use absolute path", spec.Name, spec.Name)
	}
	for _, option := range slices.Sorted(maps.Keys(spec.DriverOpts)) {
		if !slices.Contains([]string{"device", "o", "size", "type"}, option) {
			return nil, refuse(http.StatusBadRequest, "create %s: invalid option: %q", spec.Name, option)
		}
	}
	volume := &swarm.Volume{
		Name:       spec.Name,
		Driver:     "local",
		Mountpoint: "/var/lib/docker/volumes/" + spec.Name + "/_data",
		Scope:      swarm.ScopeLocal,
		CreatedAt:  d.world.now().Format(time.RFC3339),
		Options:    spec.DriverOpts,
		Labels:     spec.Labels,
	}
	d.volumes[spec.Name] = volume
	d.note("volume", "create", volume.Name, volume.Name)
	d.localEvent(swarm.EventVolume, swarm.ActionCreate, volume.Name, attributes{"driver": volume.Driver})
	return volume, nil
}

// createVolumes makes the volumes of mounts that are not there yet.
func (d *Daemon) createVolumes(mounts []swarm.Mount) error {
	for _, mount := range mounts {
		if mount.Type != swarm.MountVolume {
			continue
		}
		spec := swarm.VolumeSpec{Name: mount.Source}
		if options := mount.VolumeOptions; options != nil {
			spec.Labels = options.Labels
			if driver := options.DriverConfig; driver != nil {
				spec.Driver, spec.DriverOpts = driver.Name, driver.Options
			}
		}
		if _, err := d.createVolume(spec); err != nil {
			return err
		}
	}
	return nil
}

// updateVolume refuses: only volumes of the swarm could be changed.
func updateVolume(c *call) error {
	if _, err := c.versionOf("swarm object"); err != nil {
		return err
	}
	return c.manage(func(*Cluster) error { return notFound("volume", c.vars["name"]) })
}

func removeVolume(c *call) error {
	force := c.looseFlag("force")
	err := c.do(func() error {
		err := c.daemon.removeVolume(c.vars["name"])
		if force && err != errNoLeader && c.daemon.volumes[c.vars["name"]] == nil {
			return nil
		}
		return err
	})
	if err != nil {
		return err
	}
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}

func (d *Daemon) removeVolume(name string) error {
	if _, err := d.volume(name); err != nil {
		return err
	}
	if users := d.volumeUsers(name); len(users) > 0 {
		return refuse(http.StatusConflict, "remove %s: volume is in use - [%s]", name, strings.Join(users, ", "))
	}
	delete(d.volumes, name)
	d.note("volume", "remove", name, name)
	d.localEvent(swarm.EventVolume, swarm.ActionDestroy, name, attributes{"driver": "local"})
	return nil
}

// volumeUsers are the IDs of the containers here that have a volume mounted.
func (d *Daemon) volumeUsers(name string) []string {
	users := []string{}
	if d.cluster == nil {
		return users
	}
	has := func(m swarm.Mount) bool { return m.Type == swarm.MountVolume && m.Source == name }
	for _, task := range d.cluster.tasksOf(d.cluster.byNode[d.nodeID]) {
		status := task.Status.ContainerStatus
		if status != nil && status.ContainerID != "" && slices.ContainsFunc(d.containerSpec(task).Mounts, has) {
			users = append(users, status.ContainerID)
		}
	}
	return users
}

// pruneVolumes removes the volumes that nothing uses: those without a name, unless
// all are meant.
func pruneVolumes(c *call) error {
	all, err := c.parseFilters()
	if err != nil {
		return err
	}
	if err := c.accept(all, "label", "label!", "all"); err != nil {
		return err
	}
	anonymous := c.version >= 42 && !slices.Contains(all["all"], "true") && !slices.Contains(all["all"], "1")
	var deleted []string
	err = c.do(func() error {
		for _, name := range slices.Sorted(maps.Keys(c.daemon.volumes)) {
			labels := c.daemon.volumes[name].Labels
			_, nameless := labels["com.docker.volume.anonymous"]
			if anonymous && !nameless || !all.labels("label", labels) || all.has("label!") && all.labels("label!", labels) {
				continue
			}
			if c.daemon.removeVolume(name) == nil {
				deleted = append(deleted, name)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, struct {
		VolumesDeleted []string
		SpaceReclaimed uint64
	}{VolumesDeleted: deleted})
}
