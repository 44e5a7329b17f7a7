//go:build integration

package integration

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/swarm-go/swarm"
	"github.com/swarm-go/swarm/integration/engines"
)

// createVolume makes a volume that the end of the test removes.
func createVolume(t *testing.T, client *swarm.Client, spec swarm.VolumeSpec) *swarm.Volume {
	t.Helper()
	volume, err := client.Volumes.Create(t.Context(), spec)
	require.NoError(t, err)
	t.Cleanup(func() {
		assert.EventuallyWithT(t, func(c *assert.CollectT) { // tasks that are being stopped keep it for a moment
			err := client.Volumes.Remove(context.WithoutCancel(t.Context()), volume.Name, &swarm.VolumeRemoveOptions{Force: true})
			if !errors.Is(err, swarm.ErrNotFound) {
				assert.NoError(c, err)
			}
		}, 30*time.Second, 200*time.Millisecond)
	})
	return volume
}

func volumeNames(t *testing.T, client *swarm.Client, opts *swarm.VolumeListOptions) []string {
	t.Helper()
	list, err := client.Volumes.List(t.Context(), opts)
	require.NoError(t, err)
	assert.Empty(t, list.Warnings)
	names := []string{}
	for _, volume := range list.Volumes {
		names = append(names, volume.Name)
	}
	slices.Sort(names)
	return names
}

func TestVolumesFromCreationToRemoval(t *testing.T) {
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		client := newClient(t, e)
		spec := swarm.VolumeSpec{Name: serviceName(t, "v"), Driver: "local",
			DriverOpts: map[string]string{"type": "tmpfs", "device": "tmpfs", "o": "size=1m"}, Labels: map[string]string{"a": "b", "empty": ""}}
		created := createVolume(t, client, spec)
		read, err := client.Volumes.Inspect(t.Context(), spec.Name)
		require.NoError(t, err)
		for _, volume := range []*swarm.Volume{created, read} {
			assert.Equal(t, spec.Name, volume.Name)
			assert.Equal(t, "local", volume.Driver)
			assert.Equal(t, swarm.ScopeLocal, volume.Scope)
			assert.Equal(t, spec.DriverOpts, volume.Options)
			assert.Equal(t, spec.Labels, volume.Labels)
			assert.NotEmpty(t, volume.Mountpoint)
			assert.WithinDuration(t, time.Now(), volume.Created(), time.Minute)
			assert.Nil(t, volume.ClusterVolume)
		}
		again, err := client.Volumes.Create(t.Context(), swarm.VolumeSpec{Name: spec.Name, Labels: map[string]string{"other": ""}})
		require.NoError(t, err, "there is one already, which is returned")
		assert.Equal(t, spec.Labels, again.Labels)
		assert.ErrorIs(t, client.Volumes.Update(t.Context(), read), swarm.ErrInvalid)
		require.NoError(t, client.Volumes.Remove(t.Context(), spec.Name, nil))
		assert.ErrorIs(t, client.Volumes.Remove(t.Context(), spec.Name, nil), swarm.ErrNotFound)
		_, err = client.Volumes.Inspect(t.Context(), spec.Name)
		assert.ErrorIs(t, err, swarm.ErrNotFound)
		anonymous := createVolume(t, client, swarm.VolumeSpec{})
		assert.Len(t, anonymous.Name, 64)
	})
}

func TestErrorsOfVolumes(t *testing.T) {
	t.Parallel()
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		client := newClient(t, e)
		for what, row := range map[string]struct {
			spec swarm.VolumeSpec
			want error
		}{
			"bad name":       {swarm.VolumeSpec{Name: "a/b"}, swarm.ErrInvalid},
			"short name":     {swarm.VolumeSpec{Name: "a"}, swarm.ErrInvalid},
			"unknown option": {swarm.VolumeSpec{Name: "unknownoption", DriverOpts: map[string]string{"nope": "x"}}, swarm.ErrInvalid},
			"unknown driver": {swarm.VolumeSpec{Name: "unknowndriver", Driver: "nosuch"}, swarm.ErrNotFound},
		} {
			_, err := client.Volumes.Create(t.Context(), row.spec)
			assert.ErrorIs(t, err, row.want, what)
		}
	})
}

func TestVolumesAreListedByEveryFilterAndUsedOnesKept(t *testing.T) {
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		client := newClient(t, e)
		one, two, used := serviceName(t, "x.one"), serviceName(t, "x.one-two"), serviceName(t, "used")
		label := map[string]string{"test": e.Name}
		createVolume(t, client, swarm.VolumeSpec{Name: one, Labels: map[string]string{"test": e.Name, "colour": "red"}})
		createVolume(t, client, swarm.VolumeSpec{Name: two, Labels: map[string]string{"test": e.Name, "colour": "blue"}})
		createVolume(t, client, swarm.VolumeSpec{Name: used, Labels: label})
		spec := testSpec(serviceName(t, "s"))
		spec.TaskTemplate.ContainerSpec.Mounts = []swarm.Mount{{Type: swarm.MountVolume, Source: used, Target: "/data"}}
		id := create(t, client, spec)
		require.Eventually(t, func() bool {
			return slices.Equal([]string{used}, volumeNames(t, client, &swarm.VolumeListOptions{Labels: label, Dangling: new(false)}))
		}, 30*time.Second, 100*time.Millisecond)
		assert.ErrorIs(t, client.Volumes.Remove(t.Context(), used, nil), swarm.ErrInUse)
		assert.ErrorIs(t, client.Volumes.Remove(t.Context(), used, &swarm.VolumeRemoveOptions{Force: true}), swarm.ErrInUse)
		for what, row := range map[string]struct {
			opts swarm.VolumeListOptions
			want []string
		}{
			"label":            {swarm.VolumeListOptions{Labels: label}, []string{used, one, two}},
			"label and value":  {swarm.VolumeListOptions{Labels: map[string]string{"test": e.Name, "colour": "red"}}, []string{one}},
			"label's presence": {swarm.VolumeListOptions{Labels: map[string]string{"test": e.Name, "colour": ""}}, []string{one, two}},
			"no such label":    {swarm.VolumeListOptions{Labels: map[string]string{"test": "none"}}, []string{}},
			"name":             {swarm.VolumeListOptions{Names: []string{one}}, []string{one}},
			"part of a name":   {swarm.VolumeListOptions{Names: []string{one[:len(one)-1]}}, []string{}},
			"name prefix":      {swarm.VolumeListOptions{NamePrefixes: []string{one}}, []string{one, two}},
			"names":            {swarm.VolumeListOptions{Names: []string{two, used}}, []string{used, two}},
			"driver":           {swarm.VolumeListOptions{Labels: label, Drivers: []string{"local"}}, []string{used, one, two}},
			"other driver":     {swarm.VolumeListOptions{Labels: label, Drivers: []string{"nosuch"}}, []string{}},
			"dangling":         {swarm.VolumeListOptions{Labels: label, Dangling: new(true)}, []string{one, two}},
		} {
			assert.Equal(t, row.want, volumeNames(t, client, &row.opts), what)
		}
		require.NoError(t, client.Services.Remove(t.Context(), id))
	})
}

// TestVolumesOfTheSwarm has no CSI plugin: managers keep such volumes all the same.
func TestVolumesOfTheSwarm(t *testing.T) {
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		client := newClient(t, e)
		name := serviceName(t, "v")
		spec := swarm.VolumeSpec{Name: name, Driver: "nosuch", DriverOpts: map[string]string{"p": "q"}, Labels: map[string]string{"test": e.Name},
			ClusterVolumeSpec: &swarm.ClusterVolumeSpec{
				Group: "g",
				AccessMode: &swarm.VolumeAccessMode{Scope: swarm.VolumeMultiNode, Sharing: swarm.VolumeSharingOneWriter,
					MountVolume: &swarm.VolumeMountAccess{FsType: "ext4", MountFlags: []string{"noatime"}}},
				AccessibilityRequirements: &swarm.TopologyRequirement{Requisite: []swarm.Topology{{Segments: map[string]string{"zone": "z1"}}},
					Preferred: []swarm.Topology{{Segments: map[string]string{"zone": "z2"}}}},
				CapacityRange: &swarm.CapacityRange{RequiredBytes: 1000, LimitBytes: 2000},
			}}
		if e.APIVersion == "1.41" {
			_, err := client.Volumes.Create(t.Context(), spec)
			var versionError *swarm.VersionError
			require.ErrorAs(t, err, &versionError)
			assert.Equal(t, "VolumeSpec.ClusterVolumeSpec", versionError.Field)
			return
		}
		created, err := client.Volumes.Create(t.Context(), spec)
		require.NoError(t, err)
		id := created.ClusterVolume.ID
		volume, err := client.Volumes.Inspect(t.Context(), name)
		require.NoError(t, err)
		assert.Equal(t, id, volume.ClusterVolume.ID)
		assert.Equal(t, swarm.ScopeGlobal, volume.Scope)
		assert.WithinDuration(t, time.Now(), volume.Created(), time.Minute)
		want := *spec.ClusterVolumeSpec
		want.Availability = swarm.VolumeActive
		assert.Equal(t, want, volume.ClusterVolume.Spec)
		assert.Equal(t, spec.Labels, volume.Labels)
		assert.Equal(t, spec.DriverOpts, volume.Options)

		for _, ref := range []string{id, id[:12]} {
			byID, err := client.Volumes.Inspect(t.Context(), ref)
			require.NoError(t, err)
			assert.Equal(t, name, byID.Name)
		}
		assert.Equal(t, []string{name}, volumeNames(t, client, &swarm.VolumeListOptions{Labels: map[string]string{"test": e.Name}, Drivers: []string{"nosuch"}}))
		assert.Equal(t, []string{}, volumeNames(t, client, &swarm.VolumeListOptions{Names: []string{name}, Drivers: []string{"local"}}))
		assert.Equal(t, []string{}, volumeNames(t, client, &swarm.VolumeListOptions{Names: []string{name}, Dangling: new(true)}))

		volume.ClusterVolume.Spec.Availability = swarm.VolumePause
		require.NoError(t, client.Volumes.Update(t.Context(), volume))
		assert.ErrorIs(t, client.Volumes.Update(t.Context(), volume), swarm.ErrVersionConflict)
		require.NoError(t, client.Volumes.Modify(t.Context(), name, func(v *swarm.Volume) error {
			assert.Equal(t, swarm.VolumePause, v.ClusterVolume.Spec.Availability)
			v.ClusterVolume.Spec.Availability = swarm.VolumeDrain
			return nil
		}))
		volume, err = client.Volumes.Inspect(t.Context(), id)
		require.NoError(t, err)
		assert.Equal(t, swarm.VolumeDrain, volume.ClusterVolume.Spec.Availability)
		assert.Equal(t, want.AccessMode, volume.ClusterVolume.Spec.AccessMode)

		_, err = client.Volumes.Create(t.Context(), spec)
		assert.ErrorIs(t, err, swarm.ErrNameConflict)
		spec.Name, spec.ClusterVolumeSpec.AccessMode = name+"2", nil
		_, err = client.Volumes.Create(t.Context(), spec)
		assert.ErrorIs(t, err, swarm.ErrInvalid)

		assert.ErrorIs(t, client.Volumes.Remove(t.Context(), id[:12], nil), swarm.ErrNotFound)
		require.NoError(t, client.Volumes.Remove(t.Context(), name, &swarm.VolumeRemoveOptions{Force: true}))
		_, err = client.Volumes.Inspect(t.Context(), id)
		assert.ErrorIs(t, err, swarm.ErrNotFound)
	})
}

func TestVolumesOutsideOfASwarm(t *testing.T) {
	onEveryOwnEngine(t, func(t *testing.T, e *engines.Engine) {
		client := newClient(t, e)
		want := swarm.ErrNoSwarm
		if e.APIVersion == "1.41" {
			want = swarm.ErrUnsupported
		}
		_, err := client.Volumes.Create(t.Context(), swarm.VolumeSpec{Name: "cv", Driver: "nosuch", ClusterVolumeSpec: &swarm.ClusterVolumeSpec{}})
		assert.ErrorIs(t, err, want)
		assert.Empty(t, volumeNames(t, client, nil))
	})
}
