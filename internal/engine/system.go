package engine

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/swarm-go/swarm"
)

// ping answers GET and HEAD /_ping.
func (c *call) ping() error {
	h := c.w.Header()
	h.Set("Cache-Control", "no-cache, no-store, must-revalidate")
	h.Set("Pragma", "no-cache")
	h.Set("Content-Type", "text/plain; charset=utf-8")
	if c.daemon.release.API >= 43 {
		h.Set("Builder-Version", "2")
		h.Set("Swarm", c.daemon.swarmHeader())
	}
	if c.r.Method == http.MethodHead {
		h.Set("Content-Length", "0")
		c.w.WriteHeader(http.StatusOK)
		return nil
	}
	fmt.Fprint(c.w, "OK")
	return nil
}

// swarmHeader is the state of the daemon in its swarm as a ping tells it.
func (d *Daemon) swarmHeader() (header string) {
	d.world.Do(func() {
		state := d.localState()
		header = string(state)
		switch {
		case state != swarm.LocalActive:
		case d.managing():
			header += "/manager"
		default:
			header += "/worker"
		}
	})
	return header
}

// localState is what the daemon has to do with a swarm.
func (d *Daemon) localState() swarm.LocalNodeState {
	switch {
	case d.locked:
		return swarm.LocalLocked
	case d.cluster == nil:
		return swarm.LocalInactive
	}
	return swarm.LocalActive
}

// build is what a release says it was built from, and with what.
type build struct {
	commit, goVersion, time string
	containerd, runc        component
	system                  string
}

// component is a program that an engine uses.
type component struct{ version, commit string }

// builds are those of the engines that were measured, by release.
var builds = map[string]build{
	Release2010.Name: {
		commit: "5d6db84", goVersion: "go1.19.8", time: "2026-05-07T21:09:36.000000000+00:00",
		containerd: component{"1.6.20~ds1", "1.6.20~ds1-1+deb12u3"}, runc: component{"1.1.5+ds1", "1.1.5+ds1-1+deb12u1"},
		system: "Debian GNU/Linux 12 (bookworm)",
	},
	Release261.Name: {
		commit: "411e817", goVersion: "go1.24.4", time: "2026-08-13T05:35:47.000000000+00:00",
		containerd: component{"1.7.24~ds1", "1.7.24~ds1-6+deb13u1"}, runc: component{"1.1.15+ds1", "1.1.15+ds1-2+b4"},
		system: "Debian GNU/Linux 13 (trixie)",
	},
	Release285.Name: {
		commit: "3ef3c07c883be49a2e8097bcf6d2952fce1d70eb", goVersion: "go1.27.1", time: "2026-09-15T11:02:57.000000000+00:00",
		containerd: component{"2.1.9+unknown", ""}, runc: component{"1.3.6+ds1", "1.3.6+ds1-1"},
		system: "Debian GNU/Linux forky/sid",
	},
}

// build is that of the release, or of the newest that was measured.
func (r *Release) build() build {
	if b, ok := builds[r.Name]; ok {
		return b
	}
	return builds[Release285.Name]
}

const kernelVersion = "6.18.44"

// version_ answers GET /version.
func (c *call) version_() error {
	release, build := c.daemon.release, c.daemon.release.build()
	return c.json(http.StatusOK, swarm.EngineVersion{
		Components: []swarm.ComponentVersion{
			{Name: "Engine", Version: release.Engine, Details: map[string]string{
				"ApiVersion": apiVersion(release.API), "Arch": "amd64", "BuildTime": build.time, "Experimental": "false",
				"GitCommit": build.commit, "GoVersion": build.goVersion, "KernelVersion": kernelVersion,
				"MinAPIVersion": apiVersion(release.MinAPI), "Os": "linux",
			}},
			build.containerd.named("containerd"),
			build.runc.named("runc"),
			component{"0.19.0", ""}.named("docker-init"),
		},
		Version:       release.Engine,
		APIVersion:    apiVersion(release.API),
		MinAPIVersion: apiVersion(release.MinAPI),
		GitCommit:     build.commit,
		GoVersion:     build.goVersion,
		OS:            "linux",
		Arch:          "amd64",
		KernelVersion: kernelVersion,
		BuildTime:     build.time,
	})
}

func apiVersion(minor int) string { return fmt.Sprintf("1.%d", minor) }

func (c component) named(name string) swarm.ComponentVersion {
	return swarm.ComponentVersion{Name: name, Version: c.version, Details: map[string]string{"GitCommit": c.commit}}
}

// auth answers POST /auth: whether the registry lets that user in.
func (c *call) auth() error {
	var given swarm.RegistryAuth
	if err := c.decode(&given); err != nil {
		return err
	}
	if !c.daemon.letsIn(&given) {
		return refuse(http.StatusInternalServerError, "login attempt to %s failed with status: 401 Unauthorized", registryURL(given.ServerAddress))
	}
	return c.json(http.StatusOK, map[string]string{"IdentityToken": "", "Status": "Login Succeeded"})
}

// letsIn reports whether any image of a registry is for that user. A registry
// without images for anybody lets nobody in.
func (d *Daemon) letsIn(given *swarm.RegistryAuth) (ok bool) {
	host := registryHost(given.ServerAddress)
	d.world.Do(func() {
		for ref, image := range d.world.images {
			if image.Username != "" && strings.HasPrefix(ref, host+"/") && image.admits(given) {
				ok = true
			}
		}
	})
	return ok
}
