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
	chosen, err := c.parseFilters()
	if err != nil {
		return err
	}
	if err := c.accept(chosen, "before", "dangling", "label", "label!", "reference", "since", "until"); err != nil {
		return err
	}
	for _, name := range []string{"before", "label!", "since", "until"} {
		if chosen.has(name) {
			return refuse(http.StatusNotImplemented, "the embedded engine does not answer GET /images/json with the filter %s", name)
		}
	}
	list := []imageSummary{}
	c.daemon.world.Do(func() {
		for _, image := range c.daemon.imageSummaries() {
			if image.isChosen(chosen) {
				list = append(list, image)
			}
		}
	})
	return c.json(http.StatusOK, list)
}

// isChosen reports whether filters are for an image. All have a name, and none has
// labels.
func (i *imageSummary) isChosen(f filters) bool {
	named := func(pattern string) bool {
		ref, err := reference.ParseNormalizedNamed(i.RepoTags[0])
		if err != nil {
			return false
		}
		matches, err := reference.FamiliarMatch(pattern, ref)
		return err == nil && matches
	}
	dangling := slices.Contains(f["dangling"], "true") || slices.Contains(f["dangling"], "1")
	return !dangling && f.labels("label", nil) && (len(f["reference"]) == 0 || slices.ContainsFunc(f["reference"], named))
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
		image, err = w.askRegistry(ref, decodeAuth(c.r.Header.Get("X-Registry-Auth")), c.daemon.release.API >= 52)
		if err == nil {
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
		w.as(c.r.Context(), func() { c.daemon.keepImage(image.name) })
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

// keepImage notes that the daemon has an image.
func (d *Daemon) keepImage(name string) {
	if !d.agent.pulled[name] {
		d.agent.pulled[name] = true
		d.note("image", "create", imageID(name), familiar(name))
	}
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

// volumeUsage is a volume with how much it is used.
type volumeUsage struct {
	volumeAnswer
	UsageData struct{ Size, RefCount int64 }
}

// volumeUsages are the daemon's volumes. Nothing is in them.
func (d *Daemon) volumeUsages() []volumeUsage {
	list := []volumeUsage{}
	for _, name := range slices.Sorted(maps.Keys(d.volumes)) {
		usage := volumeUsage{volumeAnswer: showVolume(d.volumes[name])}
		usage.UsageData.RefCount = int64(len(d.volumeUsers(name)))
		list = append(list, usage)
	}
	return list
}

// diskUsage is what is on the disk: the objects themselves, and from API 1.52 on
// what they come to.
type diskUsage struct {
	LayersSize *int               `json:",omitzero"`
	Images     []imageSummary     `json:",omitzero"`
	Containers []containerSummary `json:",omitzero"`
	Volumes    []volumeUsage      `json:",omitzero"`
	BuildCache []any              `json:",omitzero"`

	ImageUsage, ContainerUsage, VolumeUsage, BuildCacheUsage *usageSum `json:",omitzero"`
}

// usageSum is what the objects of one kind come to. Nothing has a size here.
type usageSum struct {
	ActiveCount int `json:",omitzero"`
	TotalCount  int `json:",omitzero"`
	Items       any `json:",omitzero"`
}

func sumUp[T any](list []T, isActive func(T) bool) *usageSum {
	sum := &usageSum{TotalCount: len(list)}
	for _, object := range list {
		if isActive(object) {
			sum.ActiveCount++
		}
	}
	if len(list) > 0 {
		sum.Items = list
	}
	return sum
}

// readDiskUsage answers GET /system/df.
func (c *call) readDiskUsage() error {
	kinds, err := c.usageKinds()
	if err != nil {
		return err
	}
	var usage diskUsage
	c.daemon.world.Do(func() { usage = c.daemon.diskUsage(kinds) })
	if c.version >= 52 {
		usage.sumUp()
	}
	if c.version >= 52 && c.looseFlag("verbose") {
		usage = diskUsage{ImageUsage: usage.ImageUsage, ContainerUsage: usage.ContainerUsage,
			VolumeUsage: usage.VolumeUsage, BuildCacheUsage: usage.BuildCacheUsage}
	}
	return c.json(http.StatusOK, usage)
}

// usageKinds are the kinds of objects to look at.
func (c *call) usageKinds() ([]string, error) {
	all := []string{"container", "image", "volume", "build-cache"}
	asked := c.r.URL.Query()["type"]
	if len(asked) == 0 || c.version < 42 {
		return all, nil
	}
	for _, kind := range asked {
		if !slices.Contains(all, kind) {
			return nil, refuse(http.StatusBadRequest, "unknown object type: %s", kind)
		}
	}
	return asked, nil
}

func (d *Daemon) diskUsage(kinds []string) diskUsage {
	usage := diskUsage{LayersSize: new(0)}
	if slices.Contains(kinds, "image") {
		usage.Images = d.imageUsages()
	}
	if slices.Contains(kinds, "container") {
		usage.Containers = []containerSummary{}
		for _, container := range d.containers() {
			usage.Containers = append(usage.Containers, container.summary())
		}
	}
	if slices.Contains(kinds, "volume") {
		usage.Volumes = d.volumeUsages()
	}
	if slices.Contains(kinds, "build-cache") && d.release.API > 41 { // 20.10 has null for none
		usage.BuildCache = []any{}
	}
	return usage
}

// imageUsages are the images with the number of their containers.
func (d *Daemon) imageUsages() []imageSummary {
	images := d.imageSummaries()
	for i := range images {
		images[i].SharedSize, images[i].Containers = 0, 0
		for _, container := range d.containers() {
			if container.imageID() == images[i].ID {
				images[i].Containers++
			}
		}
	}
	return images
}

// sumUp adds what the objects come to, of the kinds that were looked at.
func (u *diskUsage) sumUp() {
	if u.Images != nil {
		u.ImageUsage = sumUp(u.Images, func(i imageSummary) bool { return i.Containers > 0 })
	}
	if u.Containers != nil {
		u.ContainerUsage = sumUp(u.Containers, func(c containerSummary) bool { return c.State == "running" })
	}
	if u.Volumes != nil {
		u.VolumeUsage = sumUp(u.Volumes, func(v volumeUsage) bool { return v.UsageData.RefCount > 0 })
	}
	if u.BuildCache != nil {
		u.BuildCacheUsage = sumUp(u.BuildCache, func(any) bool { return false })
	}
}
