package swarm

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/swarm-go/swarm/internal/wire"
)

// Volume is a volume as the engine knows it: one of its own, or one of the swarm.
type Volume struct {
	// Name is the volume's name, unique on its engine.
	Name string
	// Driver is the driver that keeps it, "local".
	Driver string
	// Mountpoint is where it is on this node. Empty for one of the swarm.
	Mountpoint string
	// Scope is where it exists: [ScopeLocal], or [ScopeGlobal] for one that every
	// node has access to, as those of the swarm.
	Scope Scope
	// CreatedAt is when it was created, in the words of the engine, which uses
	// several forms; see [Volume.Created]. There since API 1.31, but for drivers
	// that do not say.
	CreatedAt string `json:",omitzero"`
	// Options are the driver's. There since API 1.25.
	Options map[string]string `json:",omitzero"`
	// Labels are key-value pairs on the volume.
	Labels map[string]string `json:",omitzero"`
	// Status is what the driver says of it, if it says anything: a JSON object.
	Status json.RawMessage `json:",omitzero"`
	// UsageData is what it takes up. Only the disk usage has it. There since API
	// 1.25.
	UsageData *VolumeUsage `json:",omitzero"`
	// ClusterVolume is set for a volume of the swarm. Needs API 1.42.
	ClusterVolume *ClusterVolume `json:",omitzero"`
	// Raw is the engine's JSON as received. Updates apply their differences to it,
	// so that fields unknown to this package are kept.
	Raw json.RawMessage `json:"-"`
}

// Created is when the volume was created, the zero time if the engine does not
// say so in a form that is known.
func (v *Volume) Created() time.Time {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02 15:04:05.999999999 -0700 MST"} {
		if created, err := time.Parse(layout, v.CreatedAt); err == nil {
			return created
		}
	}
	return time.Time{}
}

// VolumeUsage is what a volume takes up.
type VolumeUsage struct {
	// Size is its size in bytes; -1 if the driver cannot tell.
	Size int64
	// RefCount is how many containers have it; -1 if that is not known.
	RefCount int64
}

// ClusterVolume is what the swarm knows of a volume of its own.
type ClusterVolume struct {
	// ID is the volume's ID in the swarm: 25 characters, never used again.
	ID string
	// Version is the state of the volume that was read.
	Version Version
	// CreatedAt is when the volume was created.
	CreatedAt time.Time
	// UpdatedAt is when the volume last changed, by whomever.
	UpdatedAt time.Time
	// Spec is what the volume shall be.
	Spec ClusterVolumeSpec
	// PublishStatus is how far the volume is made available on nodes.
	PublishStatus []PublishStatus `json:",omitzero"`
	// Info is what the storage system says of it. Nil until it has made it.
	Info *ClusterVolumeInfo `json:",omitzero"`
}

// ClusterVolumeSpec is what a volume of the swarm shall be. The published API
// document has what follows AccessMode inside of it, engines have it here.
type ClusterVolumeSpec struct {
	// Group is a name that several volumes share; a mount can ask for any of them
	// by "group:NAME".
	Group string `json:",omitzero"`
	// AccessMode says who may use it and how. Required.
	AccessMode *VolumeAccessMode `json:",omitzero"`
	// AccessibilityRequirements say where it has to be reachable from.
	AccessibilityRequirements *TopologyRequirement `json:",omitzero"`
	// CapacityRange is how large it shall be. Nil leaves it to the driver.
	CapacityRange *CapacityRange `json:",omitzero"`
	// Secrets are the swarm's secrets that the driver gets.
	Secrets []VolumeSecret `json:",omitzero"`
	// Availability says whether tasks may use it. Empty means [VolumeActive].
	Availability VolumeAvailability `json:",omitzero"`
}

// VolumeAvailability says whether tasks may use a volume of the swarm.
type VolumeAvailability string

// The availabilities of volumes.
const (
	// VolumeActive may be used.
	VolumeActive VolumeAvailability = "active"
	// VolumePause gets no new tasks.
	VolumePause VolumeAvailability = "pause"
	// VolumeDrain gets no new tasks and loses those it has.
	VolumeDrain VolumeAvailability = "drain"
)

// VolumeAccessMode says who may use a volume of the swarm and how. MountVolume or
// BlockVolume must be set.
type VolumeAccessMode struct {
	// Scope is on how many nodes it may be used. Empty means [VolumeSingleNode].
	Scope VolumeScope `json:",omitzero"`
	// Sharing is how tasks share it. Empty means [VolumeSharingNone].
	Sharing VolumeSharing `json:",omitzero"`
	// MountVolume is set for a volume with a file system.
	MountVolume *VolumeMountAccess `json:",omitzero"`
	// BlockVolume is set for a volume that is a block device.
	BlockVolume *VolumeBlockAccess `json:",omitzero"`
}

// VolumeScope is on how many nodes a volume of the swarm may be used.
type VolumeScope string

// The scopes of volumes of the swarm.
const (
	// VolumeSingleNode is one node at a time.
	VolumeSingleNode VolumeScope = "single"
	// VolumeMultiNode is several nodes at a time.
	VolumeMultiNode VolumeScope = "multi"
)

// VolumeSharing is how tasks share a volume of the swarm.
type VolumeSharing string

// The ways to share a volume of the swarm.
const (
	// VolumeSharingNone allows one task at a time.
	VolumeSharingNone VolumeSharing = "none"
	// VolumeSharingReadOnly allows any number of tasks that only read.
	VolumeSharingReadOnly VolumeSharing = "readonly"
	// VolumeSharingOneWriter allows one task to write and any number to read.
	VolumeSharingOneWriter VolumeSharing = "onewriter"
	// VolumeSharingAll allows any number of tasks to write.
	VolumeSharingAll VolumeSharing = "all"
)

// VolumeMountAccess is the file system of a volume of the swarm.
type VolumeMountAccess struct {
	// FsType is the kind of file system, "ext4". Empty leaves it to the driver.
	FsType string `json:",omitzero"`
	// MountFlags are the mount options.
	MountFlags []string `json:",omitzero"`
}

// VolumeBlockAccess says that a volume of the swarm is a block device.
type VolumeBlockAccess struct{}

// TopologyRequirement says where a volume of the swarm has to be reachable from.
type TopologyRequirement struct {
	// Requisite are places of which one at least must reach it.
	Requisite []Topology `json:",omitzero"`
	// Preferred are places that the driver shall try first, in this order.
	Preferred []Topology `json:",omitzero"`
}

// CapacityRange is how large a volume shall be.
type CapacityRange struct {
	// RequiredBytes is the least. Zero means that it does not matter.
	RequiredBytes int64
	// LimitBytes is the most. Zero means that it does not matter.
	LimitBytes int64
}

// VolumeSecret is a secret of the swarm that a volume's driver gets.
type VolumeSecret struct {
	// Key is what the driver knows it by.
	Key string
	// Secret is the ID or name of the secret, not what is in it.
	Secret string
}

// PublishStatus is how far a volume of the swarm is made available on a node.
type PublishStatus struct {
	// NodeID is the node's ID.
	NodeID string `json:",omitzero"`
	// State is how far it has come.
	State PublishState `json:",omitzero"`
	// PublishContext is what the driver has to say to the node.
	PublishContext map[string]string `json:",omitzero"`
}

// PublishState is how far a volume of the swarm is made available on a node.
type PublishState string

// The states of a volume on a node.
const (
	// VolumePendingPublish is about to be made available.
	VolumePendingPublish PublishState = "pending-publish"
	// VolumePublished can be used.
	VolumePublished PublishState = "published"
	// VolumePendingNodeUnpublish is being let go by the node.
	VolumePendingNodeUnpublish PublishState = "pending-node-unpublish"
	// VolumePendingUnpublish has been let go by the node, not yet by the storage
	// system.
	VolumePendingUnpublish PublishState = "pending-controller-unpublish"
)

// ClusterVolumeInfo is what a storage system says of a volume of the swarm.
type ClusterVolumeInfo struct {
	// CapacityBytes is its size; 0 if that is not known.
	CapacityBytes int64 `json:",omitzero"`
	// VolumeContext is what the driver wants to be told again.
	VolumeContext map[string]string `json:",omitzero"`
	// VolumeID is its ID there, which is not that in the swarm.
	VolumeID string `json:",omitzero"`
	// AccessibleTopology is where it can be reached from.
	AccessibleTopology []Topology `json:",omitzero"`
}

// VolumeSpec is what a volume shall be.
type VolumeSpec struct {
	// Name is the volume's name: letters, digits, dots, hyphens and underscores, two
	// at least. Empty lets the engine make one up.
	Name string `json:",omitzero"`
	// Driver keeps the volume. Empty means "local".
	Driver string `json:",omitzero"`
	// DriverOpts are the driver's options. Local knows type, device, o and size.
	DriverOpts map[string]string `json:",omitzero"`
	// Labels are key-value pairs on the volume.
	Labels map[string]string `json:",omitzero"`
	// ClusterVolumeSpec makes it a volume of the swarm, for which Driver is a CSI
	// plugin. Needs API 1.42.
	ClusterVolumeSpec *ClusterVolumeSpec `json:",omitzero"`
}

// VolumeClient creates, reads, changes and removes volumes: those of the engine
// it asks, and those of the swarm.
//
// Reading takes a name, and for a volume of the swarm its ID or a unique prefix
// of that. Changing and removing takes a full ID or an exact name alone.
type VolumeClient struct{ client *Client }

// Create makes a volume and returns it. If the engine has a volume of that name
// and driver already it returns that one, whatever its options and labels; so
// creating is repeated if the answer is lost, but not without a name.
//
// A name taken by another driver or in the swarm is [ErrNameConflict], an unknown
// driver [ErrNotFound], what the driver refuses [ErrInvalid]. Volumes of the swarm
// are made by managers, [ErrNotManager] and [ErrNoSwarm]; whether their driver can
// make them shows later.
//
// Engine endpoint: POST /volumes/create
func (v *VolumeClient) Create(ctx context.Context, spec VolumeSpec) (*Volume, error) {
	const op = "create volume"
	tree, err := toTree(spec)
	if err != nil {
		return nil, invalid(op, spec.Name, "%v", err)
	}
	call := &call{op: op, object: spec.Name, method: http.MethodPost, to: to("/volumes/create"), encode: encoder("VolumeSpec", tree),
		look: v.lookAtCreation(op, spec)}
	if spec.Name != "" {
		call.repeat = repeatGuarded
	}
	volume, err := v.fetch(ctx, call)
	if err == nil {
		return volume, nil
	}
	r, err := settle(ctx, err)
	if err != nil {
		return nil, err
	}
	return v.inspect(ctx, op, cmp.Or(r.ID, spec.Name))
}

// Inspect reads a volume. One that does not exist is [ErrNotFound].
//
// Engine endpoint: GET /volumes/{name}
func (v *VolumeClient) Inspect(ctx context.Context, ref string) (*Volume, error) {
	return v.inspect(ctx, "inspect volume", ref)
}

func (v *VolumeClient) inspect(ctx context.Context, op, ref string) (*Volume, error) {
	return v.fetch(ctx, &call{op: op, object: ref, method: http.MethodGet, to: to("/volumes/{name}", ref), repeat: repeatRead})
}

func (v *VolumeClient) fetch(ctx context.Context, call *call) (*Volume, error) {
	var volume Volume
	err := v.client.fetch(ctx, call, func(body json.RawMessage) (err error) {
		volume, err = decodeVolume(body)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &volume, nil
}

func decodeVolume(raw json.RawMessage) (Volume, error) {
	volume := Volume{}
	if err := wire.Unmarshal(raw, &volume); err != nil {
		return Volume{}, err
	}
	if volume.Name == "" {
		return Volume{}, errors.New("the answer has no name")
	}
	volume.Raw = raw
	return volume, nil
}

// find reads the volume that a change is about: by full ID or exact name.
func (v *VolumeClient) find(ctx context.Context, op, ref string) (*Volume, error) {
	volume, err := v.inspect(ctx, op, ref)
	if err != nil {
		return nil, err
	}
	if volume.Name != ref && (volume.ClusterVolume == nil || volume.ClusterVolume.ID != ref) {
		return nil, &Error{Op: op, Object: ref, kind: ErrNotFound,
			Message: "no volume has this full ID or exact name; a prefix is not enough to change one"}
	}
	return volume, nil
}

// VolumeListOptions choose volumes. What is left out does not restrict; the
// alternatives inside one field are joined by "or", the fields by "and".
type VolumeListOptions struct {
	// Names are exact names.
	Names []string
	// NamePrefixes are beginnings of names; a volume matches Names or NamePrefixes.
	NamePrefixes []string
	// Labels are labels that the volume must have, all of them; an empty value asks
	// for presence. Needs API 1.27.
	Labels map[string]string
	// Drivers are the drivers wanted.
	Drivers []string
	// Dangling asks for volumes that no container of this engine has, if it points
	// to true, or for the others, if to false. Either leaves out volumes of the
	// swarm, of which engines cannot tell.
	Dangling *bool
}

func (o *VolumeListOptions) query() url.Values {
	if o == nil {
		o = &VolumeListOptions{}
	}
	f := filters{}
	if len(o.NamePrefixes) == 0 {
		f.add("name", o.Names...)
	}
	f.addLabels(o.Labels)
	f.add("driver", o.Drivers...)
	if o.Dangling != nil {
		f.add("dangling", strconv.FormatBool(*o.Dangling))
	}
	return f.query()
}

// keeps applies what engines do not: they match parts of names, and list the
// volumes of the swarm whatever the filters say.
func (o *VolumeListOptions) keeps(v *Volume) bool {
	switch {
	case o == nil:
		return true
	case o.Dangling != nil && v.ClusterVolume != nil:
		return false
	case len(o.Drivers) > 0 && !slices.Contains(o.Drivers, v.Driver):
		return false
	}
	for name, value := range o.Labels {
		if found, ok := v.Labels[name]; !ok || value != "" && value != found {
			return false
		}
	}
	return matchesCase(v.Name, o.Names, o.NamePrefixes)
}

// VolumeList are volumes and what the engine had to say about the listing.
type VolumeList struct {
	// Volumes are those that were chosen.
	Volumes []Volume
	// Warnings name drivers that did not answer: their volumes are missing.
	Warnings []string
}

// List returns the volumes that opts choose, all of this engine and of the swarm
// if opts is nil.
//
// Engine endpoint: GET /volumes
func (v *VolumeClient) List(ctx context.Context, opts *VolumeListOptions) (*VolumeList, error) {
	call := &call{op: "list volumes", method: http.MethodGet, to: to("/volumes"), query: opts.query(), repeat: repeatRead}
	var answer struct {
		Volumes  []json.RawMessage
		Warnings []string
	}
	list := &VolumeList{Volumes: []Volume{}}
	err := v.client.fetch(ctx, call, func(body json.RawMessage) error {
		if err := wire.Unmarshal(body, &answer); err != nil {
			return err
		}
		for _, raw := range answer.Volumes {
			volume, err := decodeVolume(raw)
			if err != nil {
				return err
			}
			if opts.keeps(&volume) {
				list.Volumes = append(list.Volumes, volume)
			}
		}
		list.Warnings = answer.Warnings
		return nil
	})
	if err != nil {
		return nil, err
	}
	return list, nil
}

// Update writes back a volume of the swarm that was read and whose Spec in
// ClusterVolume was then changed; engines take a new Availability and nothing
// else, anything else is [ErrInvalid] or changes nothing. What differs from what
// was read is applied to the engine's own JSON. If nothing differs nothing is
// sent. Needs API 1.42.
//
// If anybody changed the volume since it was read, also the swarm itself, the
// error is [ErrVersionConflict]: read it again. If the answer is lost, for all
// repetitions, the error is an [*OutcomeUnknownError]. A volume that is not of the
// swarm, or that was not read, is [ErrInvalid].
//
// Engine endpoint: PUT /volumes/{name}
func (v *VolumeClient) Update(ctx context.Context, volume *Volume) error {
	return v.update(ctx, "update volume", volume)
}

func (v *VolumeClient) update(ctx context.Context, op string, volume *Volume) error {
	current, changed, err := changedVolume(volume)
	if err != nil {
		return &Error{Op: op, Object: volumeLabel(volume), Err: err, kind: ErrInvalid}
	}
	if changed.Equal(current) {
		return nil
	}
	// Engines find a name here, and then look for it among the IDs.
	cluster := volume.ClusterVolume
	at := to("/volumes/{name}", cluster.ID)
	_, err = settle(ctx, v.client.do(ctx, &call{op: op, object: volume.Name, method: http.MethodPut, to: at,
		look:  v.client.lookAtWriting(op, volume.Name, at, "ClusterVolume", cluster.Version, current, changed),
		query: url.Values{"version": {strconv.FormatUint(cluster.Version.Index, 10)}}, repeat: repeatGuarded,
		encode: func(agreed negotiation) (version, []byte, error) {
			use, err := chooseVersion("ClusterVolumeSpec", changed, agreed)
			return use, wire.Node{Kind: wire.Object}.With("Spec", changed).Append(nil), err
		}}, nil))
	return err
}

// changedVolume is the spec of a volume as it was read and as it shall be.
func changedVolume(volume *Volume) (current, changed wire.Node, err error) {
	switch {
	case volume == nil:
		return current, changed, errors.New("no volume")
	case volume.ClusterVolume == nil:
		return current, changed, errors.New("it is no volume of the swarm, others cannot be changed")
	case len(volume.Raw) == 0:
		return current, changed, errors.New("it has no Raw: only a volume that was read can be written back without loss")
	}
	whole, err := wire.Parse(volume.Raw)
	if err != nil {
		return current, changed, fmt.Errorf("Raw: %w", err)
	}
	cluster, _ := whole.Get("ClusterVolume")
	return changedSpec(cluster.Append(nil), volume.ClusterVolume.Spec)
}

func volumeLabel(v *Volume) string {
	if v == nil {
		return ""
	}
	return v.Name
}

// Modify calls change with a volume of the swarm as it is, which may then change
// its ClusterVolume.Spec, and writes the result back. If somebody else wrote the
// volume in between it reads it and calls change again, until ctx is done: change
// may run more than once. See [VolumeClient.Update] for what can be changed. An
// error of change ends it and is returned as it is.
//
// Engine endpoints: GET /volumes/{name}, PUT /volumes/{name}
func (v *VolumeClient) Modify(ctx context.Context, ref string, change func(*Volume) error) error {
	const op = "modify volume"
	return v.client.modify(ctx, func(ctx context.Context) error {
		volume, err := v.find(ctx, op, ref)
		if err != nil {
			return err
		}
		if volume.ClusterVolume != nil {
			ref = volume.ClusterVolume.ID // names move, IDs do not
		}
		if err := change(volume); err != nil {
			return callersError{err}
		}
		return v.update(ctx, op, volume)
	})
}

// VolumeRemoveOptions say how a volume is removed.
type VolumeRemoveOptions struct {
	// Force removes the volume from the engine's or the swarm's books although its
	// driver fails to. It removes none that is in use. Needs API 1.25.
	Force bool
}

// Remove removes a volume and what is in it. One that containers have is
// [ErrInUse], one that does not exist [ErrNotFound]. One of the swarm is removed
// in time: it must not be in use, and its driver has to do its part first.
//
// Removing a volume of the engine is not repeated if the answer is lost, because
// somebody may have made a new one of that name; the error is an
// [*OutcomeUnknownError] then.
//
// Engine endpoints: GET /volumes/{name}, DELETE /volumes/{name}
func (v *VolumeClient) Remove(ctx context.Context, ref string, opts *VolumeRemoveOptions) error {
	const op = "remove volume"
	volume, err := v.find(ctx, op, ref)
	if err != nil {
		return err
	}
	call := &call{op: op, object: ref, method: http.MethodDelete, to: to("/volumes/{name}", volume.Name), look: v.lookAtRemoval(op, volume)}
	if volume.ClusterVolume != nil {
		call.to, call.repeat = to("/volumes/{name}", volume.ClusterVolume.ID), repeatGuarded
	}
	if opts != nil && opts.Force {
		call.query = url.Values{"force": {"true"}}
	}
	err = v.client.do(ctx, call, nil)
	var lost *OutcomeUnknownError
	if call.repeat == repeatGuarded && errors.As(err, &lost) && errors.Is(err, ErrNotFound) {
		return nil // IDs are never used again: the first request did it
	}
	return err
}
