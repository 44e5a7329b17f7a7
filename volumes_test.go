package swarm_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/swarm-go/swarm"
)

func TestRecordedVolumesSayWhenTheyWereCreated(t *testing.T) {
	for _, c := range codecs {
		for _, object := range recordedObjects(t)["volume"] {
			volume := assertSurvives[swarm.Volume](t, c, object)
			assert.WithinDuration(t, time.Date(2026, 11, 21, 6, 32, 0, 0, time.UTC), volume.Created(), 3*time.Minute, volume.CreatedAt)
		}
	}
}

func TestEveryFieldOfAVolumeIsKept(t *testing.T) {
	object := recordedObject{"volume.json", readFile(t, "testdata/types/volume.json")}
	for _, c := range codecs {
		volume := assertSurvives[swarm.Volume](t, c, object)
		assert.Empty(t, zeroFields("Volume", reflect.ValueOf(volume)))
		var spec swarm.VolumeSpec
		fill(reflect.ValueOf(&spec).Elem())
		assert.Equal(t, spec, reencoded(t, c, spec))
	}
}

func TestDateOfAVolumeThatIsNoneIsNoError(t *testing.T) {
	for _, date := range []string{"", "yesterday", "0001-01-01T00:00:00Z"} {
		assert.True(t, (&swarm.Volume{CreatedAt: date}).Created().IsZero(), date)
	}
}

func TestVolumesAreCreatedAsAsked(t *testing.T) {
	e, client := newScriptedEngine(t, "1.51")
	e.answer("POST /volumes/create", nil, recorded(t, "28.5-infra/vol_create_cluster_block"))
	volume, err := client.Volumes.Create(t.Context(), swarm.VolumeSpec{Name: "cvb", Driver: "csi", ClusterVolumeSpec: &swarm.ClusterVolumeSpec{
		AccessMode: &swarm.VolumeAccessMode{Scope: swarm.VolumeSingleNode, Sharing: swarm.VolumeSharingNone, BlockVolume: &swarm.VolumeBlockAccess{}}}})
	require.NoError(t, err)
	sent := e.sent("POST", "/volumes/create")
	require.Len(t, sent, 2, "a named volume may be asked for again")
	assert.Equal(t, `{"Name":"cvb","Driver":"csi","ClusterVolumeSpec":{"AccessMode":{"Scope":"single","Sharing":"none","BlockVolume":{}}}}`, sent[1].body)
	assert.Equal(t, swarm.VolumeActive, volume.ClusterVolume.Spec.Availability)
	assert.NotEmpty(t, volume.Raw)

	e, client = newScriptedEngine(t, "1.41")
	e.answer("POST /volumes/create", nil)
	_, err = client.Volumes.Create(t.Context(), swarm.VolumeSpec{Driver: "local"})
	var unknown *swarm.OutcomeUnknownError
	assert.ErrorAs(t, err, &unknown)
	assert.Len(t, e.all(), 1, "one without a name would be made twice")
	_, err = client.Volumes.Create(t.Context(), swarm.VolumeSpec{Name: "cvb", ClusterVolumeSpec: &swarm.ClusterVolumeSpec{}})
	var versionError *swarm.VersionError
	assert.ErrorAs(t, err, &versionError, "engines would make a local volume")
	assert.Len(t, e.all(), 1)
}

func TestVolumesAreChosenAlikeOnAllEngines(t *testing.T) {
	for _, version := range allEngines {
		cluster := version != "20.10"
		for what, row := range map[string]struct {
			opts swarm.VolumeListOptions
			want string
		}{
			"name":        {swarm.VolumeListOptions{Names: []string{"v2"}}, "v2"},
			"name prefix": {swarm.VolumeListOptions{NamePrefixes: []string{"v"}}, "v1 v2"},
			"other case":  {swarm.VolumeListOptions{NamePrefixes: []string{"V"}}, ""},
			"part":        {swarm.VolumeListOptions{Names: []string{"v"}}, ""},
			"label":       {swarm.VolumeListOptions{Labels: map[string]string{"a": "b", "c": ""}}, "v2"},
			"other label": {swarm.VolumeListOptions{Labels: map[string]string{"a": "c"}}, ""},
			"driver":      {swarm.VolumeListOptions{Drivers: []string{"nosuch"}}, map[bool]string{true: "cv cvb"}[cluster]},
			"dangling":    {swarm.VolumeListOptions{Dangling: new(true), NamePrefixes: []string{"cvb", "v"}}, "v1 v2"},
		} {
			e, client := newScriptedEngine(t, "1.51")
			e.answer("GET /volumes", recorded(t, version+"-infra/vol_list"))
			list, err := client.Volumes.List(t.Context(), &row.opts)
			require.NoError(t, err)
			var names []string
			for _, volume := range list.Volumes {
				names = append(names, volume.Name)
			}
			slices.Sort(names)
			assert.Equal(t, row.want, strings.Join(names, " "), "%s %s", version, what)
		}
	}
	e, client := newScriptedEngine(t, "1.51")
	e.answer("GET /volumes", says(200, `{"Volumes":null,"Warnings":["plugin x did not answer"]}`), says(200, `{"Volumes":[{}]}`))
	list, err := client.Volumes.List(t.Context(), &swarm.VolumeListOptions{Names: []string{"a"}, Labels: map[string]string{"l": "v"}, Drivers: []string{"local"}, Dangling: new(false)})
	require.NoError(t, err)
	assert.Equal(t, &swarm.VolumeList{Volumes: []swarm.Volume{}, Warnings: []string{"plugin x did not answer"}}, list)
	assert.Contains(t, e.all()[0].uri, "filters=%7B%22dangling%22%3A%7B%22false%22%3Atrue%7D%2C%22driver%22%3A%7B%22local%22%3Atrue%7D%2C%22label%22%3A%7B%22l%3Dv%22%3Atrue%7D%2C%22name%22%3A%7B%22a%22%3Atrue%7D%7D")
	_, err = client.Volumes.List(t.Context(), nil)
	assert.ErrorIs(t, err, swarm.ErrProtocol)
}

const clusterVolume = `{"ClusterVolume":{"ID":"v3qa4uf5ps2ko8fatabw48lyj","Version":{"Index":28},"CreatedAt":"2026-11-21T06:32:14Z","UpdatedAt":"2026-11-21T06:32:14Z",
	"Spec":{"AccessMode":{"BlockVolume":{},"New":1},"Availability":"active","Future":{"a":[]}},"New":2},"Driver":"csi","Mountpoint":"","Name":"cv","Scope":"global"}`

func TestChangesOfAVolumeKeepWhatIsUnknown(t *testing.T) {
	e, client := newScriptedEngine(t, "1.51")
	e.answer("GET /volumes/cv", says(200, clusterVolume))
	e.answer("PUT /volumes/v3qa4uf5ps2ko8fatabw48lyj", says(200, ``))
	volume, err := client.Volumes.Inspect(t.Context(), "cv")
	require.NoError(t, err)
	require.NoError(t, client.Volumes.Update(t.Context(), volume))
	assert.Len(t, e.all(), 1, "nothing has changed")
	volume.ClusterVolume.Spec.Availability = swarm.VolumeDrain
	require.NoError(t, client.Volumes.Update(t.Context(), volume))
	sent := e.sent("PUT", "/volumes/v3qa4uf5ps2ko8fatabw48lyj")
	require.Len(t, sent, 1)
	assert.Contains(t, sent[0].uri, "?version=28")
	assert.JSONEq(t, `{"Spec":{"AccessMode":{"BlockVolume":{},"New":1},"Availability":"drain","Future":{"a":[]}}}`, sent[0].body)
}

func TestModifyOfAVolumeBeginsAgainWhenAnotherWriterWon(t *testing.T) {
	e, client := newScriptedEngine(t, "1.51")
	e.answer("GET /volumes/cv", says(200, clusterVolume))
	e.answer("GET /volumes/v3qa4uf5ps2ko8fatabw48lyj", says(200, clusterVolume))
	e.answer("PUT /volumes/v3qa4uf5ps2ko8fatabw48lyj", says(500, `{"message":"rpc error: code = Unknown desc = update out of sequence"}`), says(200, ``))
	calls := 0
	require.NoError(t, client.Volumes.Modify(t.Context(), "cv", func(v *swarm.Volume) error {
		calls++
		v.ClusterVolume.Spec.Availability = swarm.VolumePause
		return nil
	}))
	assert.Equal(t, 2, calls)
	ours := errors.New("ours")
	assert.Equal(t, ours, client.Volumes.Modify(t.Context(), "cv", func(*swarm.Volume) error { return ours }))
}

func TestVolumesThatCannotBeChangedAreRefused(t *testing.T) {
	e, client := newScriptedEngine(t, "1.51")
	for _, volume := range []*swarm.Volume{nil, {Name: "a"}, {Name: "a", ClusterVolume: &swarm.ClusterVolume{}},
		{Name: "a", ClusterVolume: &swarm.ClusterVolume{}, Raw: json.RawMessage(`{`)}} {
		assert.ErrorIs(t, client.Volumes.Update(t.Context(), volume), swarm.ErrInvalid)
	}
	assert.Empty(t, e.all())
}

func TestVolumesAreRemovedByExactNameAndLocalOnesOnce(t *testing.T) {
	for ref, removed := range map[string]bool{"cv": true, "v3qa4uf5ps2ko8fatabw48lyj": true, "v3qa4": false} {
		e, client := newScriptedEngine(t, "1.51")
		e.answer("GET /volumes/"+ref, says(200, clusterVolume))
		e.answer("DELETE /volumes/v3qa4uf5ps2ko8fatabw48lyj", nil, recorded(t, "28.5-infra/vol_inspect_missing"))
		err := client.Volumes.Remove(t.Context(), ref, &swarm.VolumeRemoveOptions{Force: true})
		if !removed {
			assert.ErrorIs(t, err, swarm.ErrNotFound)
			assert.Len(t, e.all(), 1)
			continue
		}
		assert.NoError(t, err)
		assert.Contains(t, e.all()[1].uri, "?force=true")
	}
	e, client := newScriptedEngine(t, "1.51")
	e.answer("GET /volumes/v2", recorded(t, "28.5-infra/vol_inspect"))
	e.answer("DELETE /volumes/v2", nil)
	var unknown *swarm.OutcomeUnknownError
	assert.ErrorAs(t, client.Volumes.Remove(t.Context(), "v2", nil), &unknown)
	assert.Len(t, e.sent("DELETE", "/volumes/v2"), 1, "somebody may have made a new one meanwhile")
	e.answer("DELETE /volumes/v2", recorded(t, "28.5-infra/vol_remove_inuse"))
	assert.ErrorIs(t, client.Volumes.Remove(t.Context(), "v2", nil), swarm.ErrInUse)
}
