//go:build integration

package integration

import (
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/swarm-go/swarm"
	"github.com/swarm-go/swarm/integration/engines"
)

// gatedObject is a kind of object that can be created, with those of its fields
// that not every API version has.
type gatedObject struct {
	path   string // its collection
	spec   string // what is posted beside a field
	at     string // what the fields are in when they are posted
	in     string // and when they are read
	fields []gatedField
}

// gatedServices have no tasks.
var gatedServices = gatedObject{path: "/services", in: "Spec.", fields: gatedFields, spec: `{"Name":"versions-service","Mode":{"Replicated":{"Replicas":0}},
	"TaskTemplate":{"ContainerSpec":{"Image":"none.invalid/none"},"Placement":{"Constraints":["node.id==none"]}}}`}

// gatedObjects are the others.
var gatedObjects = []gatedObject{
	{path: "/secrets", in: "Spec.", spec: `{"Name":"versions-object","Data":"YQ=="}`, fields: []gatedField{
		{row: "SecretSpec.Driver", path: "Driver", value: `{"Name":""}`, refusal: "secret driver must have a name", wrong: true},
		{row: "SecretSpec.Templating", path: "Templating", value: `{"Name":"golang"}`, refusal: noTemplating},
	}},
	{path: "/configs", in: "Spec.", spec: `{"Name":"versions-object","Data":"YQ=="}`, fields: []gatedField{
		{row: "ConfigSpec.Templating", path: "Templating", value: `{"Name":"golang"}`, refusal: noTemplating},
	}},
	{path: "/networks", spec: `{"Name":"versions-object","Driver":"overlay"}`, fields: []gatedField{
		{row: "NetworkSpec.Scope", path: "Scope", value: `"swarm"`, with: `{"Driver":"bridge"}`},
		{row: "NetworkSpec.EnableIPv4", path: "EnableIPv4", value: `false`, refusal: "IPv4 cannot be disabled", wrong: true},
		{row: "NetworkSpec.Attachable", path: "Attachable", value: `true`},
		{row: "NetworkSpec.Ingress", path: "Ingress", value: `true`},
		{row: "NetworkSpec.ConfigOnly", path: "ConfigOnly", value: `true`, with: `{"Driver":null}`},
		{row: "NetworkSpec.ConfigFrom", path: "ConfigFrom", value: `{"Network":"versions-settings"}`, with: `{"Driver":"bridge"}`},
		{row: "NetworkConfigSource.Network", path: "ConfigFrom.Network", value: `"versions-settings"`, with: `{"Driver":"bridge"}`},
	}},
	{path: "/volumes", at: "ClusterVolumeSpec.", in: "ClusterVolume.Spec.", spec: `{"Name":"versions-object","Driver":"local",
		"ClusterVolumeSpec":{"AccessMode":{"Scope":"single","Sharing":"none","MountVolume":{"FsType":"xfs"}}}}`, fields: []gatedField{
		{row: "VolumeSpec.ClusterVolumeSpec", path: "", value: `{"AccessMode":{"Scope":"single","Sharing":"none","BlockVolume":{}},"Availability":"active"}`},
		{row: "ClusterVolumeSpec.Group", path: "Group", value: `"g"`},
		{row: "ClusterVolumeSpec.AccessMode", path: "AccessMode", value: `{"Scope":"single","Sharing":"all","BlockVolume":{}}`},
		{row: "ClusterVolumeSpec.AccessibilityRequirements", path: "AccessibilityRequirements", value: `{"Requisite":[{"Segments":{"zone":"z"}}]}`},
		{row: "ClusterVolumeSpec.CapacityRange", path: "CapacityRange", value: `{"RequiredBytes":1000,"LimitBytes":2000}`},
		{row: "ClusterVolumeSpec.Secrets", path: "Secrets", value: `[{"Key":"k","Secret":"$secret"}]`},
		{row: "ClusterVolumeSpec.Availability", path: "Availability", value: `"pause"`},
		{row: "VolumeAccessMode.Scope", path: "AccessMode.Scope", value: `"multi"`},
		{row: "VolumeAccessMode.Sharing", path: "AccessMode.Sharing", value: `"onewriter"`},
		{row: "VolumeAccessMode.MountVolume", path: "AccessMode.MountVolume", value: `{"FsType":"ext4"}`},
		{row: "VolumeAccessMode.BlockVolume", path: "AccessMode.BlockVolume", value: `{}`, with: `{"ClusterVolumeSpec":{"AccessMode":{"MountVolume":null}}}`},
		{row: "VolumeMountAccess.FsType", path: "AccessMode.MountVolume.FsType", value: `"ext4"`},
		{row: "VolumeMountAccess.MountFlags", path: "AccessMode.MountVolume.MountFlags", value: `["noatime"]`},
		{row: "TopologyRequirement.Requisite", path: "AccessibilityRequirements.Requisite", value: `[{"Segments":{"zone":"z"}}]`},
		{row: "TopologyRequirement.Preferred", path: "AccessibilityRequirements.Preferred", value: `[{"Segments":{"zone":"z"}}]`},
		{row: "Topology.Segments", path: "AccessibilityRequirements.Requisite[0].Segments", value: `{"zone":"z"}`},
		{row: "CapacityRange.RequiredBytes", path: "CapacityRange.RequiredBytes", value: `1000`},
		{row: "CapacityRange.LimitBytes", path: "CapacityRange.LimitBytes", value: `2000`},
		{row: "VolumeSecret.Key", path: "Secrets[0].Key", value: `"k"`, with: withVolumeSecret},
		{row: "VolumeSecret.Secret", path: "Secrets[0].Secret", value: `"$secret"`, with: withVolumeSecret},
	}},
}

const (
	noTemplating     = "templating is not supported"
	withVolumeSecret = `{"ClusterVolumeSpec":{"Secrets":[{"Key":"k","Secret":"$secret"}]}}`
)

func TestEnginesDropFieldsOfOtherObjectsAsTheTableOfVersionsSays(t *testing.T) {
	rows := versionRows(t)
	onEveryOwnEngine(t, func(t *testing.T, e *engines.Engine) {
		require.NoError(t, e.InitSwarm(t.Context()))
		removeIngress(t, e)
		v := newVersionsTest(t, e)
		v.create("/networks", `{"Name":"versions-settings","ConfigOnly":true}`)
		for _, object := range gatedObjects {
			for _, field := range object.fields {
				for minor := v.oldest; minor <= v.newest; minor++ {
					did, said := v.post(object, field, minor)
					v.check(field, rows[field.row], minor, did, said)
				}
			}
		}
	})
}

// removeIngress makes room for another network of its kind.
func removeIngress(t *testing.T, e *engines.Engine) {
	t.Helper()
	require.NoError(t, e.Call(t.Context(), http.MethodDelete, "/networks/ingress", nil, nil))
	require.Eventually(t, func() bool {
		return e.Call(t.Context(), http.MethodGet, "/networks/ingress", nil, nil) != nil
	}, 30*time.Second, 100*time.Millisecond)
}

// swarmFields are the gated fields of a swarm's spec, swarmSettings has more.
var swarmFields = []gatedField{
	{row: "EncryptionConfig.AutoLockManagers", path: "EncryptionConfig.AutoLockManagers", value: `true`},
	{row: "CAConfig.SigningCACert", path: "CAConfig.SigningCACert", refusal: "invalid root certificates", wrong: true,
		value: `"-----BEGIN CERTIFICATE-----\nYQ==\n-----END CERTIFICATE-----\n"`},
	{row: "CAConfig.SigningCAKey", path: "CAConfig.SigningCAKey", value: `"x"`, refusal: "the signing CA cert must also be provided", wrong: true},
	{row: "ExternalCA.CACert", path: "CAConfig.ExternalCAs[0].CACert", value: `"x\n"`,
		with: `{"CAConfig":{"ExternalCAs":[{"Protocol":"cfssl","URL":"https://127.0.0.1:1"}]}}`},
}

func TestEnginesTakeFieldsOfASwarmAsTheTableOfVersionsSays(t *testing.T) {
	rows := versionRows(t)
	onEveryOwnEngine(t, func(t *testing.T, e *engines.Engine) {
		require.NoError(t, e.InitSwarm(t.Context()))
		v := newVersionsTest(t, e)
		for _, field := range swarmFields {
			for minor := v.oldest; minor <= v.newest; minor++ {
				did, said := v.update(field, minor)
				v.check(field, rows[field.row], minor, did, said)
			}
		}
	})
}

// update changes the swarm's spec by a field, and changes it back.
func (v *versionsTest) update(field gatedField, minor int) (did, said string) {
	before, want := v.swarmSpec(), v.parse(field.value)
	changed := v.swarmSpec()
	if field.with != "" {
		changed = merge(changed, v.parse(field.with))
	}
	if err := v.updateSwarm(minor, put(changed, steps(field.path), want)); err != nil {
		return fieldRefused, err.Error()
	}
	got := get(v.swarmSpec(), steps(field.path))
	require.NoError(v.t, v.updateSwarm(v.newest, before))
	return became(got, want)
}

func (v *versionsTest) swarmSpec() any {
	var cluster struct{ Spec any }
	require.NoError(v.t, v.e.Call(v.t.Context(), http.MethodGet, "/swarm", nil, &cluster))
	return cluster.Spec
}

func (v *versionsTest) updateSwarm(minor int, spec any) error {
	var cluster struct{ Version struct{ Index uint64 } }
	require.NoError(v.t, v.e.Call(v.t.Context(), http.MethodGet, "/swarm", nil, &cluster))
	return v.e.Call(v.t.Context(), http.MethodPost, fmt.Sprintf("/v1.%d/swarm/update?version=%d", minor, cluster.Version.Index), spec, nil)
}

// entryFields are gated fields of what makes an engine part of a swarm, with
// values that engines that look at them refuse.
var entryFields = map[string][]gatedField{
	`/swarm/init {"ListenAddr":"0.0.0.0:2377","AdvertiseAddr":"10.99.0.1"}`: {
		{row: "InitOptions.DataPathAddr", path: "DataPathAddr", value: `"none"`, refusal: "data path address must be", wrong: true},
		{row: "InitOptions.Availability", path: "Availability", value: `"none"`, refusal: "invalid Availability", wrong: true},
	},
	`/swarm/join {"ListenAddr":"0.0.0.0:2377","AdvertiseAddr":"10.99.0.1","RemoteAddrs":["10.99.0.1:1"],"JoinToken":"none"}`: {
		{row: "JoinOptions.DataPathAddr", path: "DataPathAddr", value: `"none"`, refusal: "data path address must be", wrong: true},
		{row: "JoinOptions.Availability", path: "Availability", value: `"none"`, refusal: "invalid Availability", wrong: true},
	},
}

func TestEnginesLookAtFieldsOfInitAndJoinAsTheTableOfVersionsSays(t *testing.T) {
	rows := versionRows(t)
	onEveryOwnEngine(t, func(t *testing.T, e *engines.Engine) {
		v := &versionsTest{t: t, e: e, replace: strings.NewReplacer()}
		v.readVersions()
		for request, fields := range entryFields {
			path, body, _ := strings.Cut(request, " ")
			for _, field := range fields {
				for minor := v.oldest; minor <= v.newest; minor++ {
					posted := put(v.parse(body), steps(field.path), v.parse(field.value))
					err := e.Call(t.Context(), http.MethodPost, fmt.Sprintf("/v1.%d%s", minor, path), posted, nil)
					require.Error(t, err, "%s at 1.%d", field.row, minor)
					v.check(field, rows[field.row], minor, fieldRefused, err.Error())
				}
			}
		}
		locking := `{"ListenAddr":"0.0.0.0:2377","AdvertiseAddr":"10.99.0.1","AutoLockManagers":true,"Spec":{}}`
		require.NoError(t, e.Call(t.Context(), http.MethodPost, "/swarm/init", v.parse(locking), nil))
		assert.Equal(t, false, get(v.swarmSpec(), steps("EncryptionConfig.AutoLockManagers")), "InitOptions.AutoLockManagers")
	})
}

// sentTypes are what is posted, with the endpoint that takes it.
var sentTypes = map[reflect.Type]string{
	reflect.TypeFor[swarm.ServiceSpec](): "POST /services/create",
	reflect.TypeFor[swarm.SecretSpec]():  "POST /secrets/create",
	reflect.TypeFor[swarm.ConfigSpec]():  "POST /configs/create",
	reflect.TypeFor[swarm.NetworkSpec](): "POST /networks/create",
	reflect.TypeFor[swarm.VolumeSpec]():  "POST /volumes/create",
	reflect.TypeFor[swarm.NodeSpec]():    "POST /nodes/{id}/update",
	reflect.TypeFor[swarm.SwarmSpec]():   "POST /swarm/update",
	reflect.TypeFor[swarm.InitOptions](): "POST /swarm/init",
	reflect.TypeFor[swarm.JoinOptions](): "POST /swarm/join",
}

// notPosted are gated fields whose fate cannot be seen from outside.
var notPosted = map[string]string{
	"SwarmSpec.EncryptionConfig":   "engines send it themselves, what is in it counts",
	"InitOptions.AutoLockManagers": "the spec that is posted with it has the last word",
}

func TestEveryGatedFieldIsPosted(t *testing.T) {
	posted := map[string]bool{}
	for _, object := range append(gatedObjects, gatedServices, gatedObject{fields: swarmFields}) {
		for _, field := range object.fields {
			posted[field.row] = true
		}
	}
	for _, fields := range entryFields {
		for _, field := range fields {
			posted[field.row] = true
		}
	}
	for _, setting := range swarmSettings {
		posted[setting.row] = true
	}
	rows := versionRows(t)
	for sent, endpoint := range sentTypes {
		inside := typesIn(sent)
		for what, row := range rows {
			typeName, _, _ := strings.Cut(what, ".")
			if inside[typeName] && row.minor > rows[endpoint].minor && notPosted[what] == "" {
				assert.True(t, posted[what], what)
			}
		}
	}
	for what := range posted {
		assert.Contains(t, rows, what)
	}
}
