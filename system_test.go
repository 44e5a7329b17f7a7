package swarm_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/swarm-go/swarm"
)

func TestEveryFieldOfAnInfoIsKept(t *testing.T) {
	for _, c := range codecs {
		var info swarm.EngineInfo
		fill(reflect.ValueOf(&info).Elem())
		info.Runtimes = map[string]swarm.ContainerRuntime{"runc": {Path: "runc", Args: []string{"-v"}, Type: "t",
			Options: json.RawMessage(`{"a":1}`), Status: map[string]string{"a": "b"}}}
		assert.Equal(t, info, reencoded(t, c, info))
		var version swarm.EngineVersion
		fill(reflect.ValueOf(&version).Elem())
		assert.Equal(t, version, reencoded(t, c, version))
	}
}

func TestVersionNamesTheComponents(t *testing.T) {
	for _, version := range allEngines {
		e, client := newScriptedEngine(t, "1.51")
		e.answer("GET /", recorded(t, version+"/version")) // /version has no API version before it
		engine, err := client.System.Version(t.Context())
		require.NoError(t, err)
		assert.True(t, strings.HasPrefix(engine.Version, version))
		require.NotEmpty(t, engine.Components)
		assert.Equal(t, "Engine", engine.Components[0].Name)
		assert.Equal(t, engine.Version, engine.Components[0].Version)
		assert.NotEmpty(t, engine.Components[0].Details["GitCommit"])
		assert.NotEmpty(t, engine.Raw)
	}
}

func TestInfoTellsTheEnginesPartInASwarm(t *testing.T) {
	for _, version := range allEngines {
		for name, want := range map[string]swarm.SwarmInfo{
			"/info_noswarm":                {LocalNodeState: swarm.LocalInactive},
			"/info_swarm":                  {LocalNodeState: swarm.LocalActive, ControlAvailable: true, Nodes: 1, Managers: 1},
			"-multi/worker_info":           {LocalNodeState: swarm.LocalActive},
			"-multi/manager_follower_info": {LocalNodeState: swarm.LocalActive, ControlAvailable: true, Nodes: 4, Managers: 3},
			"-multi/locked_info":           {LocalNodeState: swarm.LocalLocked},
			"-multi/no_leader_info":        {LocalNodeState: swarm.LocalActive, ControlAvailable: true},
		} {
			e, client := newScriptedEngine(t, "1.51")
			e.answer("GET /info", recorded(t, version+name))
			info, err := client.System.Info(t.Context())
			require.NoError(t, err, name)
			got := info.Swarm
			assert.Equal(t, want, swarm.SwarmInfo{LocalNodeState: got.LocalNodeState, ControlAvailable: got.ControlAvailable,
				Nodes: got.Nodes, Managers: got.Managers}, version+name)
			assert.Equal(t, got.ControlAvailable, got.Cluster != nil, version+name)
			assert.Equal(t, strings.Contains(name, "leader") || strings.Contains(name, "locked"), got.Error != "", version+name)
			assert.Equal(t, info.NCPU, 2)
			assert.NotEmpty(t, info.Raw)
		}
	}
}

func TestDiskUsageIsAddedUpFromEveryForm(t *testing.T) {
	for _, version := range allEngines {
		e, client := newScriptedEngine(t, "1.51")
		e.answer("GET /system/df", recorded(t, version+"-infra/df"))
		usage, err := client.System.DiskUsage(t.Context(), nil)
		require.NoError(t, err)
		assert.EqualValues(t, 3, usage.Images.Count, version)
		assert.EqualValues(t, 1, usage.Images.InUse, version)
		assert.Equal(t, int64(2330786), usage.Images.SizeBytes, version)
		assert.Equal(t, usage.Images.SizeBytes, usage.Images.ReclaimableBytes, "they share their only layer")
		assert.NotZero(t, usage.Volumes.Count, version)
		assert.NotEmpty(t, usage.Raw)
	}
	for body, want := range map[string]swarm.DiskUsage{
		`{"LayersSize":100,"Images":[{"Containers":1,"Size":60,"SharedSize":20},{"Containers":0,"Size":30,"SharedSize":-1}],
		  "Containers":[{"State":"running","SizeRw":5},{"State":"exited","SizeRw":7},{"State":"paused"}],
		  "Volumes":[{"UsageData":{"Size":11,"RefCount":1}},{"UsageData":{"Size":13,"RefCount":0}},{"UsageData":{"Size":-1,"RefCount":-1}},{}],
		  "BuildCache":[{"InUse":true,"Size":17},{"Size":19},{"Shared":true,"Size":23}]}`: {
			Images:     swarm.DiskUsageSummary{Count: 2, InUse: 1, SizeBytes: 100, ReclaimableBytes: 60},
			Containers: swarm.DiskUsageSummary{Count: 3, InUse: 2, SizeBytes: 12, ReclaimableBytes: 7},
			Volumes:    swarm.DiskUsageSummary{Count: 3, InUse: 2, SizeBytes: 24, ReclaimableBytes: 13},
			BuildCache: swarm.DiskUsageSummary{Count: 3, InUse: 1, SizeBytes: 36, ReclaimableBytes: 19},
		},
		`{"ImageUsage":{"ActiveCount":1,"TotalCount":2,"Reclaimable":3,"TotalSize":4,"Items":[{}]},"VolumeUsage":{"TotalCount":5}}`: {
			Images:  swarm.DiskUsageSummary{Count: 2, InUse: 1, SizeBytes: 4, ReclaimableBytes: 3},
			Volumes: swarm.DiskUsageSummary{Count: 5},
		},
		`{}`: {},
	} {
		e, client := newScriptedEngine(t, "1.56")
		e.answer("GET /system/df", says(200, body))
		usage, err := client.System.DiskUsage(t.Context(), &swarm.DiskUsageOptions{Types: []swarm.DiskUsageType{swarm.DiskUsageImages, swarm.DiskUsageVolumes}})
		require.NoError(t, err)
		want.Raw = json.RawMessage(body)
		assert.Equal(t, &want, usage)
		assert.Contains(t, e.all()[0].uri, "/system/df?type=image&type=volume")
	}
}

func TestDiskUsageThatCannotBeAskedForIsRefused(t *testing.T) {
	e, client := newScriptedEngine(t, "1.41")
	_, err := client.System.DiskUsage(t.Context(), &swarm.DiskUsageOptions{Types: []swarm.DiskUsageType{swarm.DiskUsageImages}})
	var versionError *swarm.VersionError
	assert.ErrorAs(t, err, &versionError)
	_, err = client.System.DiskUsage(t.Context(), &swarm.DiskUsageOptions{Types: []swarm.DiskUsageType{"dust"}})
	assert.ErrorIs(t, err, swarm.ErrInvalid)
	assert.Empty(t, e.all())

	e, client = newScriptedEngine(t, "1.51")
	_, err = client.System.DiskUsage(t.Context(), &swarm.DiskUsageOptions{Verbose: true})
	require.ErrorAs(t, err, &versionError)
	assert.Equal(t, "1.52", versionError.Needs)
	assert.Empty(t, e.all())
}

func TestDiskUsageOfEverySingleObject(t *testing.T) {
	const body = `{"ImageUsage":{"ActiveCount":1,"TotalCount":1,"TotalSize":4,"Items":[{"Id":"sha256:1","Size":4}]},"BuildCacheUsage":{}}`
	e, client := newScriptedEngine(t, "1.52")
	e.answer("GET /system/df", says(200, body))
	usage, err := client.System.DiskUsage(t.Context(), &swarm.DiskUsageOptions{Types: []swarm.DiskUsageType{swarm.DiskUsageImages}, Verbose: true})
	require.NoError(t, err)
	assert.Equal(t, &swarm.DiskUsage{Images: swarm.DiskUsageSummary{Count: 1, InUse: 1, SizeBytes: 4}, Raw: json.RawMessage(body)}, usage)
	assert.Contains(t, e.all()[0].uri, "/v1.52/system/df?type=image&verbose=1")
}

func TestCheckAuthSendsCredentialsAndReturnsTheToken(t *testing.T) {
	e, client := newScriptedEngine(t, "1.51")
	e.answer("POST /auth", says(200, `{"IdentityToken":"t0ken","Status":"Login Succeeded"}`))
	result, err := client.System.CheckAuth(t.Context(), swarm.RegistryAuth{Username: "u", Password: "p", ServerAddress: "r.example"})
	require.NoError(t, err)
	assert.Equal(t, swarm.AuthResult{Status: "Login Succeeded", IdentityToken: "t0ken"}, *result)
	assert.Equal(t, `{"username":"u","password":"p","serveraddress":"r.example"}`, e.all()[0].body)
	for _, printed := range []string{fmt.Sprintf("%v %+v %#v %s %q", *result, *result, *result, *result, *result), fmt.Sprint(result), slog.AnyValue(result).Resolve().String()} {
		assert.NotContains(t, printed, "t0ken")
		assert.Contains(t, printed, "Login Succeeded")
	}
}

func TestLoginIsNeverRepeatedAndHasNoUnknownOutcome(t *testing.T) {
	auth := swarm.RegistryAuth{Username: "u", Password: "s3cret", ServerAddress: "https://u:s3cret@r.example/v2/"}
	for _, row := range []struct {
		answer []byte
		want   error
	}{
		{recorded(t, "28.5-infra/auth_unreachable"), swarm.ErrUnavailable},
		{recorded(t, "20.10-infra/auth_hub"), swarm.ErrUnavailable},
		{recorded(t, "28.5-infra/auth_bad_address"), swarm.ErrInvalid},
		{says(401, `{"message":"Get \"https://r.example/v2/\": unauthorized: incorrect username or password"}`), swarm.ErrUnauthorized},
		{says(500, `{"message":"login attempt to http://r.example/v2/ failed with status: 401 Unauthorized"}`), swarm.ErrUnauthorized},
		{says(502, `{}`), swarm.ErrUnavailable},
		{nil, swarm.ErrUnavailable},
	} {
		e, client := newScriptedEngine(t, "1.51")
		e.answer("POST /auth", row.answer)
		_, err := client.System.CheckAuth(t.Context(), auth)
		assert.ErrorIs(t, err, row.want)
		var unknown *swarm.OutcomeUnknownError
		assert.NotErrorAs(t, err, &unknown)
		assert.NotContains(t, fmt.Sprintf("%v %+v %#v", err, err, err), "s3cret")
		assert.Len(t, e.sent("POST", "/auth"), 1)
	}
	e, client := newScriptedEngine(t, "1.51")
	e.answer("POST /auth", says(503, `{"message":"Manager is being prepared, please try again"}`), says(200, `{"Status":"Login Succeeded"}`))
	_, err := client.System.CheckAuth(t.Context(), auth)
	assert.NoError(t, err, "what was provably not executed may be sent again")
	_, err = client.System.CheckAuth(t.Context(), swarm.RegistryAuth{})
	assert.ErrorIs(t, err, swarm.ErrInvalid)
	assert.Len(t, e.all(), 2)
}

const distribution = `{"Descriptor":{"mediaType":"application/vnd.oci.image.index.v1+json","digest":"sha256:ab","size":1609,
	"urls":["u"],"annotations":{"a":"b"},"artifactType":"t","data":"aGk=","platform":{"architecture":"arm64","os":"linux"}},
	"Platforms":[{"architecture":"amd64","os":"linux"},{"architecture":"arm64","os":"windows","os.version":"10","os.features":["f"],"variant":"v8"}]}`

func TestDistributionTellsDigestAndPlatforms(t *testing.T) {
	for image, path := range map[string]string{
		"nginx":                               "/distribution/nginx/json",
		"nginx:1.29":                          "/distribution/nginx:1.29/json",
		"registry.example.com:5000/team/a:1":  "/distribution/registry.example.com:5000/team/a:1/json",
		"a/b@sha256:0123":                     "/distribution/a/b@sha256:0123/json",
		"a b?c=d#e%2f":                        "/distribution/a%20b%3Fc=d%23e%252f/json",
		"[::1]:5000/a":                        "/distribution/%5B::1%5D:5000/a/json",
		"registry.example.com/" + "json/json": "/distribution/registry.example.com/json/json/json",
	} {
		e, client := newScriptedEngine(t, "1.51")
		decoded, _, _ := strings.Cut(image, "?")
		e.answer("GET /distribution/"+image+"/json", says(200, distribution))
		e.answer("GET /distribution/"+decoded+"/json", says(200, distribution))
		result, err := client.System.InspectDistribution(t.Context(), image, &swarm.DistributionInspectOptions{Auth: &swarm.RegistryAuth{Username: "u"}})
		require.NoError(t, err, image)
		assert.Equal(t, "/v1.51"+path, e.all()[0].uri)
		assert.Equal(t, "sha256:ab", result.Descriptor.Digest)
		assert.Equal(t, "v8", result.Platforms[1].Variant)
		assert.NotEmpty(t, result.Raw)
	}
	for _, c := range codecs {
		assertSurvives[swarm.ImageDistribution](t, c, recordedObject{"distribution", []byte(distribution)})
	}
}

func TestImagesThatLeadElsewhereAreRefused(t *testing.T) {
	e, client := newScriptedEngine(t, "1.51")
	for _, image := range []string{"", "/a", "a/", "a//b", "../../services", "a/../../b", "a/./b", `a\b`, "a\nb", "a\xff", strings.Repeat("a/", 600) + "a"} {
		_, err := client.System.InspectDistribution(t.Context(), image, nil)
		assert.ErrorIs(t, err, swarm.ErrInvalid, "%q", image)
	}
	_, err := client.System.InspectDistribution(t.Context(), "a", &swarm.DistributionInspectOptions{Auth: &swarm.RegistryAuth{}})
	assert.ErrorIs(t, err, swarm.ErrInvalid)
	assert.Empty(t, e.all())
}

func TestRegistriesAreAskedTwiceAtMost(t *testing.T) {
	for _, row := range []struct {
		answer []byte
		want   error
		sent   int
	}{
		{recorded(t, "28.5-infra/dist_unreachable"), swarm.ErrUnavailable, 1},
		{recorded(t, "26.1-infra/dist_badref"), swarm.ErrInvalid, 1},
		{recorded(t, "20.10-infra/dist_id"), swarm.ErrInvalid, 1},
		{says(429, `{"message":"toomanyrequests"}`), swarm.ErrUnavailable, 2},
		{says(404, `{"message":"manifest unknown"}`), swarm.ErrNotFound, 1},
		{says(401, `{"message":"unauthorized"}`), swarm.ErrUnauthorized, 1},
		{says(403, `{"message":"denied: requested access to the resource is denied"}`), swarm.ErrForbidden, 1},
		{says(200, `{}`), swarm.ErrProtocol, 1},
		{says(502, ``), swarm.ErrUnavailable, 2},
	} {
		e, client := newScriptedEngine(t, "1.51")
		e.answer("GET /distribution/127.0.0.1:1/x/json", row.answer)
		_, err := client.System.InspectDistribution(t.Context(), "127.0.0.1:1/x", nil)
		assert.ErrorIs(t, err, row.want, string(row.answer))
		assert.Len(t, e.all(), row.sent, string(row.answer))
	}
}
