package engine

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/distribution/reference"

	"github.com/swarm-go/swarm"
)

// imageSummary is an image in a list.
type imageSummary struct {
	ID          string `json:"Id"`
	ParentID    string `json:"ParentId"`
	RepoTags    []string
	RepoDigests []string
	Created     int64
	Size        int64
	SharedSize  int64
	Labels      map[string]string
	Containers  int64
}

// imageSummaries are the images that the daemon has pulled.
func (d *Daemon) imageSummaries() []imageSummary {
	list := []imageSummary{}
	for _, name := range slices.Sorted(maps.Keys(d.agent.pulled)) {
		image := d.world.images[name]
		list = append(list, imageSummary{
			ID:          imageID(name),
			RepoTags:    []string{familiar(name)},
			RepoDigests: []string{withoutTag(familiar(name)) + "@" + image.digestOf(name)},
			SharedSize:  -1,
			Containers:  -1,
		})
	}
	return list
}

// familiar is a reference as engines show it.
func familiar(name string) string {
	named, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return name
	}
	return reference.FamiliarString(named)
}

func (c *call) listImages() error {
	var list []imageSummary
	c.daemon.world.Do(func() { list = c.daemon.imageSummaries() })
	return c.json(http.StatusOK, list)
}

func (c *call) inspectImage() error {
	ref := c.vars["name"]
	var found *imageSummary
	c.daemon.world.Do(func() {
		name, _, _ := c.daemon.world.findImage(ref)
		for _, image := range c.daemon.imageSummaries() {
			if image.ID == ref || image.RepoTags[0] == familiar(name) {
				found = &image
			}
		}
	})
	if found == nil {
		return c.daemon.noImage(ref)
	}
	platform := c.daemon.platform
	return c.json(http.StatusOK, map[string]any{
		"Id": found.ID, "RepoTags": found.RepoTags, "RepoDigests": found.RepoDigests, "Parent": "", "Comment": "",
		"Architecture": goArchitecture(platform.Architecture), "Os": platform.OS, "Size": found.Size,
		"Config": map[string]any{}, "RootFS": map[string]any{"Type": "layers"},
	})
}

// noImage refuses what is about an image that the daemon has not.
func (d *Daemon) noImage(ref string) error {
	text := "No such image: " + familiar(withTag(ref))
	if d.release.API < 42 {
		text = "no such image: " + ref + ": " + text
	}
	return refuse(http.StatusNotFound, "%s", text)
}

// withTag is a reference with the tag latest if it has neither tag nor digest.
func withTag(ref string) string {
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return ref
	}
	return reference.TagNameOnly(named).String()
}

// pullImage answers POST /images/create: it pulls an image, and says how it gets
// on, a JSON object at a time.
func (c *call) pullImage() error {
	query := c.r.URL.Query()
	ref := query.Get("fromImage")
	if ref == "" {
		return refuse(http.StatusNotImplemented, "the embedded engine does not answer POST /images/create without fromImage")
	}
	switch tag := query.Get("tag"); {
	case strings.HasPrefix(tag, "sha256:"):
		ref += "@" + tag
	case tag != "":
		ref += ":" + tag
	}
	w := c.daemon.world
	var image *registered
	var err error
	had, pulled, cancel := false, make(chan struct{}), func() {}
	w.Do(func() {
		if image, err = w.askRegistry(ref, decodeAuth(c.r.Header.Get("X-Registry-Auth"))); err == nil {
			had = c.daemon.agent.pulled[image.name]
			cancel = w.after(image.PullTime, func() { close(pulled) })
		}
	})
	if err != nil {
		return err
	}
	c.progress(map[string]string{"status": "Pulling from " + repositoryPath(image.name), "id": tagOf(image.name)})
	select {
	case <-pulled:
	case <-c.r.Context().Done():
		w.Do(cancel)
		return nil
	}
	w.Do(func() {
		c.daemon.agent.pulled[image.name] = true
		c.daemon.pullEvent(image.name)
	})
	status := "Status: Downloaded newer image for "
	if had {
		status = "Status: Image is up to date for "
	}
	c.progress(map[string]string{"status": "Digest: " + image.Digest})
	c.progress(map[string]string{"status": status + familiar(image.name)})
	return nil
}

// pullEvent tells that the daemon has pulled an image.
func (d *Daemon) pullEvent(name string) {
	d.localEvent(swarm.EventImage, swarm.ActionPull, familiar(name), attributes{"name": withoutTag(familiar(name))})
}

// progress writes one object of a stream.
func (c *call) progress(message map[string]string) {
	c.w.Header().Set("Content-Type", "application/json")
	encoded, _ := json.Marshal(message)
	_, _ = c.w.Write(append(encoded, '\r', '\n'))
	_ = http.NewResponseController(c.w).Flush()
}

// repositoryPath is a name without its registry and its tag.
func repositoryPath(name string) string {
	named, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return name
	}
	return reference.Path(named)
}

func tagOf(name string) string { return strings.TrimPrefix(name[len(withoutTag(name)):], ":") }

// diskUsage answers GET /system/df.
func (c *call) diskUsage() error {
	answer := map[string]any{"LayersSize": 0, "Volumes": []any{}, "BuildCache": []any{}}
	c.daemon.world.Do(func() {
		containers := []containerSummary{}
		for _, container := range c.daemon.containers() {
			containers = append(containers, container.summary())
		}
		answer["Images"], answer["Containers"] = c.daemon.imageSummaries(), containers
	})
	return c.json(http.StatusOK, answer)
}
