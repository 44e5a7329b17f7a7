//go:build integration

package integration

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"net/http"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/swarm-go/swarm/integration/engines"
)

// versionRow is a row of the library's table of versions.
type versionRow struct {
	what  string
	minor int
	below string
}

// readVersionTable reads the table out of the library's source: it is no part
// of its API.
func readVersionTable(t *testing.T) []versionRow {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "../versions.go", nil, parser.SkipObjectResolution)
	require.NoError(t, err)
	var rows []versionRow
	ast.Inspect(file, func(n ast.Node) bool {
		row, ok := n.(*ast.CompositeLit)
		if !ok || row.Type != nil || len(row.Elts) != 3 {
			return true
		}
		what, err1 := strconv.Unquote(row.Elts[0].(*ast.BasicLit).Value)
		minor, err2 := strconv.Atoi(row.Elts[1].(*ast.BasicLit).Value)
		require.NoError(t, err1)
		require.NoError(t, err2)
		rows = append(rows, versionRow{what, minor, row.Elts[2].(*ast.Ident).Name})
		return false
	})
	require.NotEmpty(t, rows)
	return rows
}

// versionRows are the rows by what they are about.
func versionRows(t *testing.T) map[string]versionRow {
	t.Helper()
	rows := map[string]versionRow{}
	for _, row := range readVersionTable(t) {
		rows[row.what] = row
	}
	return rows
}

// typesIn are the names of the struct types that values of a type hold.
func typesIn(t reflect.Type) map[string]bool {
	names := map[string]bool{}
	var add func(reflect.Type)
	add = func(t reflect.Type) {
		for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
			t = t.Elem()
		}
		if t.Kind() != reflect.Struct || names[t.Name()] {
			return
		}
		names[t.Name()] = true
		for i := range t.NumField() {
			add(t.Field(i).Type)
		}
	}
	add(t)
	return names
}

// gatedField is a field, or a value of one, that not every API version has.
type gatedField struct {
	row   string // its row in the table
	path  string // where it is in a spec
	value string // what to post there
	with  string // what engines want to see beside it, merged into the spec

	refusal string // what engines say where they refuse it, or what is left without it
	always  bool   // they refuse it from services at every version
	wrong   bool   // the value is none: those that look at the field refuse it
}

// experimentalOnly is said by engines that are not in experimental mode. Those
// that are take all fields of plugins at every version.
const experimentalOnly = "only supported in experimental"

const (
	inContainer = "TaskTemplate.ContainerSpec."
	inMount     = inContainer + "Mounts[0]."
	inPlugin    = "TaskTemplate.PluginSpec."
	inPlacement = "TaskTemplate.Placement."
	inResources = "TaskTemplate.Resources."
	inGeneric   = inResources + "Reservations.GenericResources[0]."
)

var gatedFields = []gatedField{
	{row: "ServiceSpec.Networks", path: "Networks[0].Target", value: `"$network"`},
	{row: "ServiceSpec.RollbackConfig", path: "RollbackConfig", value: `{"Parallelism":2,"FailureAction":"continue","Monitor":7000000000,"MaxFailureRatio":0.5,"Order":"start-first"}`},
	{row: "ServiceMode.ReplicatedJob", path: "Mode", value: `{"ReplicatedJob":{"MaxConcurrent":1,"TotalCompletions":2}}`},
	{row: "ServiceMode.GlobalJob", path: "Mode", value: `{"GlobalJob":{}}`},
	{row: "ReplicatedJobMode.MaxConcurrent", path: "Mode", value: `{"ReplicatedJob":{"MaxConcurrent":3,"TotalCompletions":4}}`},
	{row: "ReplicatedJobMode.TotalCompletions", path: "Mode", value: `{"ReplicatedJob":{"MaxConcurrent":5,"TotalCompletions":6}}`},

	{row: "UpdateConfig.FailureAction=rollback", path: "UpdateConfig.FailureAction", value: `"rollback"`},
	{row: "UpdateConfig.Monitor", path: "UpdateConfig.Monitor", value: `7000000000`},
	{row: "UpdateConfig.MaxFailureRatio", path: "UpdateConfig.MaxFailureRatio", value: `0.5`},
	{row: "UpdateConfig.Order", path: "UpdateConfig.Order", value: `"start-first"`},

	{row: "PortConfig.Protocol=sctp", path: "EndpointSpec.Ports[0].Protocol", value: `"sctp"`, with: withPort},
	{row: "PortConfig.PublishMode", path: "EndpointSpec.Ports[0].PublishMode", value: `"host"`, with: withPort},

	{row: "TaskSpec.PluginSpec", path: "TaskTemplate.PluginSpec", value: `{"name":"p","remote":"example.invalid/p:1"}`, with: withPlugin, refusal: experimentalOnly, always: true},
	{row: "TaskSpec.Networks", path: "TaskTemplate.Networks[0].Target", value: `"$network"`},
	{row: "TaskSpec.ForceUpdate", path: "TaskTemplate.ForceUpdate", value: `3`},
	{row: "TaskSpec.Runtime", path: "TaskTemplate.Runtime", value: `"container"`},
	{row: "TaskSpec.Runtime=plugin", path: "TaskTemplate.Runtime", value: `"plugin"`, with: withPlugin, refusal: experimentalOnly, always: true},
	{row: "PluginSpec.name", path: inPlugin + "name", value: `"p"`, with: withPlugin, refusal: experimentalOnly, always: true},
	{row: "PluginSpec.remote", path: inPlugin + "remote", value: `"example.invalid/p:1"`, with: withPlugin, refusal: experimentalOnly, always: true},
	{row: "PluginSpec.disabled", path: inPlugin + "disabled", value: `true`, with: withPlugin, refusal: experimentalOnly, always: true},
	{row: "PluginSpec.env", path: inPlugin + "env", value: `["A=b"]`, with: withPlugin, refusal: experimentalOnly, always: true},
	{row: "PluginSpec.privileges", path: inPlugin + "privileges", value: `[{"name":"n"}]`, with: withPlugin, refusal: experimentalOnly, always: true},
	{row: "PluginPrivilege.name", path: inPlugin + "privileges[0].name", value: `"n"`, with: withPlugin, refusal: experimentalOnly, always: true},
	{row: "PluginPrivilege.description", path: inPlugin + "privileges[0].description", value: `"d"`, with: withPlugin, refusal: experimentalOnly, always: true},
	{row: "PluginPrivilege.value", path: inPlugin + "privileges[0].value", value: `["v"]`, with: withPlugin, refusal: experimentalOnly, always: true},
	{row: "TaskSpec.NetworkAttachmentSpec", path: "TaskTemplate.NetworkAttachmentSpec", value: `{"ContainerID":"c"}`, with: withAttachment, refusal: "unsupported runtime", always: true},
	{row: "NetworkAttachmentSpec.ContainerID", path: "TaskTemplate.NetworkAttachmentSpec.ContainerID", value: `"c"`, with: withAttachment, refusal: "unsupported runtime", always: true},

	{row: "ResourceRequirements.SwapBytes", path: inResources + "SwapBytes", value: `20000000`, with: `{"TaskTemplate":{"Resources":{"Limits":{"MemoryBytes":10000000}}}}`},
	{row: "ResourceRequirements.MemorySwappiness", path: inResources + "MemorySwappiness", value: `50`},
	{row: "Limits.Pids", path: inResources + "Limits.Pids", value: `100`},
	{row: "Reservations.GenericResources", path: inResources + "Reservations.GenericResources", value: `[{"DiscreteResourceSpec":{"Kind":"gpu","Value":2}}]`},
	{row: "GenericResource.DiscreteResourceSpec", path: inGeneric + "DiscreteResourceSpec", value: `{"Kind":"gpu","Value":2}`},
	{row: "GenericResource.NamedResourceSpec", path: inGeneric + "NamedResourceSpec", value: `{"Kind":"gpu","Value":"a"}`},
	{row: "DiscreteGenericResource.Kind", path: inGeneric + "DiscreteResourceSpec.Kind", value: `"gpu"`},
	{row: "DiscreteGenericResource.Value", path: inGeneric + "DiscreteResourceSpec.Value", value: `2`},
	{row: "NamedGenericResource.Kind", path: inGeneric + "NamedResourceSpec.Kind", value: `"gpu"`},
	{row: "NamedGenericResource.Value", path: inGeneric + "NamedResourceSpec.Value", value: `"a"`},

	{row: "Placement.Preferences", path: inPlacement + "Preferences", value: `[{"Spread":{"SpreadDescriptor":"node.labels.zone"}}]`},
	{row: "PlacementPreference.Spread", path: inPlacement + "Preferences[0].Spread", value: `{"SpreadDescriptor":"node.labels.zone"}`},
	{row: "SpreadPreference.SpreadDescriptor", path: inPlacement + "Preferences[0].Spread.SpreadDescriptor", value: `"node.labels.zone"`},
	{row: "Placement.MaxReplicas", path: inPlacement + "MaxReplicas", value: `2`},
	{row: "Placement.Platforms", path: inPlacement + "Platforms", value: `[{"Architecture":"amd64","OS":"linux"}]`},
	{row: "Platform.Architecture", path: inPlacement + "Platforms[0].Architecture", value: `"amd64"`},
	{row: "Platform.OS", path: inPlacement + "Platforms[0].OS", value: `"linux"`},

	{row: "NetworkAttachmentConfig.DriverOpts", path: "TaskTemplate.Networks[0].DriverOpts", value: `{"a":"b"}`, with: `{"TaskTemplate":{"Networks":[{"Target":"$network"}]}}`},

	{row: "ContainerSpec.Hostname", path: inContainer + "Hostname", value: `"h"`},
	{row: "ContainerSpec.Groups", path: inContainer + "Groups", value: `["7"]`},
	{row: "ContainerSpec.Privileges", path: inContainer + "Privileges.SELinuxContext", value: `{"Disable":true,"User":"","Role":"","Type":"","Level":""}`},
	{row: "ContainerSpec.Init", path: inContainer + "Init", value: `true`},
	{row: "ContainerSpec.StopSignal", path: inContainer + "StopSignal", value: `"SIGINT"`},
	{row: "ContainerSpec.TTY", path: inContainer + "TTY", value: `true`},
	{row: "ContainerSpec.OpenStdin", path: inContainer + "OpenStdin", value: `true`},
	{row: "ContainerSpec.ReadOnly", path: inContainer + "ReadOnly", value: `true`},
	{row: "ContainerSpec.Healthcheck", path: inContainer + "Healthcheck", value: `{"Test":["NONE"]}`},
	{row: "ContainerSpec.Hosts", path: inContainer + "Hosts", value: `["10.0.0.1 h"]`},
	{row: "ContainerSpec.DNSConfig", path: inContainer + "DNSConfig", value: `{"Nameservers":["10.0.0.1"],"Search":["s"],"Options":["ndots:1"]}`},
	{row: "ContainerSpec.Secrets", path: inContainer + "Secrets", value: `[{"File":{"Name":"f","UID":"0","GID":"0","Mode":292},"SecretID":"$secret","SecretName":"versions-secret"}]`},
	{row: "ContainerSpec.Configs", path: inContainer + "Configs", value: `[{"File":{"Name":"f","UID":"0","GID":"0","Mode":292},"ConfigID":"$config","ConfigName":"versions-config"}]`},
	{row: "ContainerSpec.Isolation", path: inContainer + "Isolation", value: `"hyperv"`},
	{row: "ContainerSpec.Sysctls", path: inContainer + "Sysctls", value: `{"net.core.somaxconn":"7"}`},
	{row: "ContainerSpec.CapabilityAdd", path: inContainer + "CapabilityAdd", value: `["CAP_NET_ADMIN"]`},
	{row: "ContainerSpec.CapabilityDrop", path: inContainer + "CapabilityDrop", value: `["CAP_CHOWN"]`},
	{row: "ContainerSpec.Ulimits", path: inContainer + "Ulimits", value: `[{"Name":"nofile","Hard":7,"Soft":6}]`},
	{row: "ContainerSpec.OomScoreAdj", path: inContainer + "OomScoreAdj", value: `7`},

	{row: "Privileges.CredentialSpec", path: inContainer + "Privileges.CredentialSpec", value: `{"Config":"","File":"f","Registry":""}`},
	{row: "Privileges.SELinuxContext", path: inContainer + "Privileges.SELinuxContext.Level", value: `"l"`},
	{row: "Privileges.Seccomp", path: inContainer + "Privileges.Seccomp", value: `{"Mode":"unconfined"}`},
	{row: "Privileges.AppArmor", path: inContainer + "Privileges.AppArmor", value: `{"Mode":"disabled"}`},
	{row: "Privileges.NoNewPrivileges", path: inContainer + "Privileges.NoNewPrivileges", value: `true`},
	{row: "CredentialSpec.Config", path: inContainer + "Privileges.CredentialSpec.Config", value: `"$config"`, with: `{"TaskTemplate":{"ContainerSpec":{"Configs":[{"Runtime":{},"ConfigID":"$config","ConfigName":"versions-config"}]}}}`, refusal: "invalid CredentialSpec: must either provide"},
	{row: "CredentialSpec.File", path: inContainer + "Privileges.CredentialSpec.File", value: `"f"`},
	{row: "CredentialSpec.Registry", path: inContainer + "Privileges.CredentialSpec.Registry", value: `"r"`},
	{row: "SELinuxContext.Disable", path: inContainer + "Privileges.SELinuxContext.Disable", value: `true`},
	{row: "SELinuxContext.User", path: inContainer + "Privileges.SELinuxContext.User", value: `"u"`},
	{row: "SELinuxContext.Role", path: inContainer + "Privileges.SELinuxContext.Role", value: `"r"`},
	{row: "SELinuxContext.Type", path: inContainer + "Privileges.SELinuxContext.Type", value: `"t"`},
	{row: "SELinuxContext.Level", path: inContainer + "Privileges.SELinuxContext.Level", value: `"l"`},
	{row: "SeccompOpts.Mode", path: inContainer + "Privileges.Seccomp.Mode", value: `"unconfined"`},
	{row: "SeccompOpts.Profile", path: inContainer + "Privileges.Seccomp.Profile", value: `"e30="`, with: `{"TaskTemplate":{"ContainerSpec":{"Privileges":{"Seccomp":{"Mode":"custom"}}}}}`},
	{row: "AppArmorOpts.Mode", path: inContainer + "Privileges.AppArmor.Mode", value: `"disabled"`},

	{row: "Mount.Type=tmpfs", path: inMount + "Type", value: `"tmpfs"`, with: withTarget},
	{row: "Mount.Type=npipe", path: inMount + "Type", value: `"npipe"`, with: withSource},
	{row: "Mount.Type=cluster", path: inMount + "Type", value: `"cluster"`, with: withSource},
	{row: "Mount.Type=image", path: inMount + "Type", value: `"image"`, with: withSource, refusal: "invalid MountType", always: true},
	{row: "Mount.Consistency", path: inMount + "Consistency", value: `"cached"`, with: withBind},
	{row: "Mount.ImageOptions", path: inMount + "ImageOptions", value: `{"Subpath":"s"}`, with: withBind},
	{row: "Mount.TmpfsOptions", path: inMount + "TmpfsOptions", value: `{"SizeBytes":4096}`, with: withTmpfs},
	{row: "Mount.ClusterOptions", path: inMount + "ClusterOptions", value: `{}`, with: withCluster},
	{row: "BindOptions.NonRecursive", path: inMount + "BindOptions.NonRecursive", value: `true`, with: withBind},
	{row: "BindOptions.CreateMountpoint", path: inMount + "BindOptions.CreateMountpoint", value: `true`, with: withBind},
	{row: "BindOptions.ReadOnlyNonRecursive", path: inMount + "BindOptions.ReadOnlyNonRecursive", value: `true`, with: withBind},
	{row: "BindOptions.ReadOnlyForceRecursive", path: inMount + "BindOptions.ReadOnlyForceRecursive", value: `true`, with: withBind},
	{row: "VolumeOptions.Subpath", path: inMount + "VolumeOptions.Subpath", value: `"s"`, with: withVolume},
	{row: "ImageOptions.Subpath", path: inMount + "ImageOptions.Subpath", value: `"s"`, with: withVolume},
	{row: "TmpfsOptions.SizeBytes", path: inMount + "TmpfsOptions.SizeBytes", value: `4096`, with: withTmpfs},
	{row: "TmpfsOptions.Mode", path: inMount + "TmpfsOptions.Mode", value: `448`, with: withTmpfs},
	{row: "TmpfsOptions.Options", path: inMount + "TmpfsOptions.Options", value: `[["noexec"]]`, with: withTmpfs},

	{row: "Healthcheck.Test", path: inContainer + "Healthcheck.Test", value: `["CMD","true"]`},
	{row: "Healthcheck.Interval", path: inContainer + "Healthcheck.Interval", value: `7000000000`},
	{row: "Healthcheck.Timeout", path: inContainer + "Healthcheck.Timeout", value: `7000000000`},
	{row: "Healthcheck.StartPeriod", path: inContainer + "Healthcheck.StartPeriod", value: `7000000000`},
	{row: "Healthcheck.StartInterval", path: inContainer + "Healthcheck.StartInterval", value: `7000000000`},
	{row: "Healthcheck.Retries", path: inContainer + "Healthcheck.Retries", value: `7`},

	{row: "DNSConfig.Nameservers", path: inContainer + "DNSConfig.Nameservers", value: `["10.0.0.1"]`},
	{row: "DNSConfig.Search", path: inContainer + "DNSConfig.Search", value: `["s"]`},
	{row: "DNSConfig.Options", path: inContainer + "DNSConfig.Options", value: `["ndots:1"]`},

	{row: "SecretReference.File", path: inContainer + "Secrets[0].File", value: `{"Name":"f","UID":"1","GID":"2","Mode":256}`, with: withSecret},
	{row: "SecretReference.SecretID", path: inContainer + "Secrets[0].SecretID", value: `"$secret"`, with: withSecret},
	{row: "SecretReference.SecretName", path: inContainer + "Secrets[0].SecretName", value: `"versions-secret"`, with: withSecret},
	{row: "FileTarget.Name", path: inContainer + "Secrets[0].File.Name", value: `"f"`, with: withSecret},
	{row: "FileTarget.UID", path: inContainer + "Secrets[0].File.UID", value: `"1"`, with: withSecret},
	{row: "FileTarget.GID", path: inContainer + "Secrets[0].File.GID", value: `"2"`, with: withSecret},
	{row: "FileTarget.Mode", path: inContainer + "Secrets[0].File.Mode", value: `256`, with: withSecret},
	{row: "ConfigReference.File", path: inContainer + "Configs[0].File", value: `{"Name":"f","UID":"1","GID":"2","Mode":256}`, with: withConfig},
	{row: "ConfigReference.Runtime", path: inContainer + "Configs[0].Runtime", value: `{}`,
		with: `{"TaskTemplate":{"ContainerSpec":{"Configs":[{"ConfigID":"$config","ConfigName":"versions-config"}]}}}`, refusal: "either File or Runtime should be set"},
	{row: "ConfigReference.ConfigID", path: inContainer + "Configs[0].ConfigID", value: `"$config"`, with: withConfig},
	{row: "ConfigReference.ConfigName", path: inContainer + "Configs[0].ConfigName", value: `"versions-config"`, with: withConfig},

	{row: "Ulimit.Name", path: inContainer + "Ulimits[0].Name", value: `"nofile"`, with: withUlimit},
	{row: "Ulimit.Hard", path: inContainer + "Ulimits[0].Hard", value: `9`, with: withUlimit},
	{row: "Ulimit.Soft", path: inContainer + "Ulimits[0].Soft", value: `7`, with: withUlimit},
}

// What engines want to see beside a field.
const (
	withPort       = `{"EndpointSpec":{"Ports":[{"TargetPort":80}]}}`
	withBind       = `{"TaskTemplate":{"ContainerSpec":{"Mounts":[{"Type":"bind","Source":"/s","Target":"/m","ReadOnly":true}]}}}`
	withVolume     = `{"TaskTemplate":{"ContainerSpec":{"Mounts":[{"Type":"volume","Source":"v","Target":"/m"}]}}}`
	withTmpfs      = `{"TaskTemplate":{"ContainerSpec":{"Mounts":[{"Type":"tmpfs","Target":"/m"}]}}}`
	withCluster    = `{"TaskTemplate":{"ContainerSpec":{"Mounts":[{"Type":"cluster","Source":"v","Target":"/m"}]}}}`
	withTarget     = `{"TaskTemplate":{"ContainerSpec":{"Mounts":[{"Target":"/m"}]}}}`
	withSource     = `{"TaskTemplate":{"ContainerSpec":{"Mounts":[{"Source":"v","Target":"/m"}]}}}`
	withAttachment = `{"TaskTemplate":{"Runtime":"attachment","ContainerSpec":null}}`
	withPlugin     = `{"Mode":{"Replicated":null,"Global":{}},"TaskTemplate":{"Runtime":"plugin","ContainerSpec":null,"PluginSpec":{"remote":"example.invalid/p:1"}}}`
	withSecret     = `{"TaskTemplate":{"ContainerSpec":{"Secrets":[{"File":{"Name":"n","UID":"0","GID":"0","Mode":292},"SecretID":"$secret","SecretName":"versions-secret"}]}}}`
	withConfig     = `{"TaskTemplate":{"ContainerSpec":{"Configs":[{"File":{"Name":"n","UID":"0","GID":"0","Mode":292},"ConfigID":"$config","ConfigName":"versions-config"}]}}}`
	withUlimit     = `{"TaskTemplate":{"ContainerSpec":{"Ulimits":[{"Name":"nofile","Hard":8,"Soft":6}]}}}`
)

// What an engine did with a field.
const (
	fieldCameBack = "came back"
	fieldDropped  = "was dropped"
	fieldRefused  = "was refused"
)

func TestEnginesDropFieldsAsTheTableOfVersionsSays(t *testing.T) {
	t.Parallel()
	rows := versionRows(t)
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		v := newVersionsTest(t, e)
		for _, field := range gatedFields {
			for minor := v.oldest; minor <= v.newest; minor++ {
				did, said := v.post(gatedServices, field, minor)
				v.check(field, rows[field.row], minor, did, said)
			}
		}
	})
}

// check compares what an engine did with what the table says.
func (v *versionsTest) check(field gatedField, row versionRow, minor int, did, said string) {
	at := fmt.Sprintf("%s posted at 1.%d: %s", row.what, minor, said)
	if field.refusal == experimentalOnly && v.experimental {
		field.always = false
	}
	isDropped := row.below == "lost" || row.below == "harmless" || row.below == "stripped" && minor < row.minor ||
		row.below == "until51" && v.newest > 51 && minor >= 44
	switch {
	case field.always:
		assert.Equal(v.t, fieldRefused, did, at)
		assert.Contains(v.t, said, field.refusal, at)
	case row.minor > v.newest:
		assert.NotEqual(v.t, fieldCameBack, did, at)
	case !isDropped && field.wrong, row.below == "refused" && minor < row.minor:
		assert.Equal(v.t, fieldRefused, did, at)
		assert.Contains(v.t, said, field.refusal, at)
	case !isDropped:
		assert.Equal(v.t, fieldCameBack, did, at)
	case field.refusal != "" && !field.wrong:
		assert.Equal(v.t, fieldRefused, did, at)
		assert.Contains(v.t, said, field.refusal, at)
	default:
		assert.Equal(v.t, fieldDropped, did, at)
	}
}

// versionsTest is what the specs of gatedFields refer to, on one engine.
type versionsTest struct {
	t              *testing.T
	e              *engines.Engine
	oldest, newest int // API versions, from 1.24 on
	experimental   bool
	replace        *strings.Replacer
}

func newVersionsTest(t *testing.T, e *engines.Engine) *versionsTest {
	v := &versionsTest{t: t, e: e}
	v.readVersions()
	var info struct{ Swarm struct{ NodeID string } }
	require.NoError(t, e.Call(t.Context(), http.MethodGet, "/info", nil, &info))
	time.Sleep(time.Second) // so that what has happened is before the second that $now is
	v.replace = strings.NewReplacer(
		"$now", strconv.FormatInt(time.Now().Unix(), 10),
		"$node", info.Swarm.NodeID,
		"$service", v.create("/services", `{"Name":"versions-other","Mode":{"Replicated":{"Replicas":0}},"TaskTemplate":{"ContainerSpec":{"Image":"none.invalid/none"}}}`),
		"$network", v.create("/networks", `{"Name":"versions-network","Driver":"overlay"}`),
		"$secret", v.create("/secrets", `{"Name":"versions-secret","Data":"YQ=="}`),
		"$config", v.create("/configs", `{"Name":"versions-config","Data":"YQ=="}`),
		"$volume", v.create("/volumes", `{"Name":"versions-volume"}`))
	return v
}

func (v *versionsTest) readVersions() {
	var version struct {
		APIVersion, MinAPIVersion string
		Experimental              bool
	}
	require.NoError(v.t, v.e.Call(v.t.Context(), http.MethodGet, "/version", nil, &version))
	v.oldest, v.newest = max(24, minorOf(v.t, version.MinAPIVersion)), minorOf(v.t, version.APIVersion)
	v.experimental = version.Experimental
}

func minorOf(t *testing.T, version string) int {
	t.Helper()
	_, minor, _ := strings.Cut(version, ".")
	n, err := strconv.Atoi(minor)
	require.NoError(t, err)
	return n
}

func (v *versionsTest) create(path, body string) string {
	var created struct{ ID, Name string }
	require.NoError(v.t, v.e.Call(v.t.Context(), http.MethodPost, path+"/create", json.RawMessage(body), &created))
	id := cmp.Or(created.ID, created.Name) // volumes have names alone
	v.t.Cleanup(func() {
		assert.NoError(v.t, v.e.Call(context.Background(), http.MethodDelete, path+"/"+id, nil, nil))
	})
	return id
}

// post creates an object that has the field, in a request of the given API
// version, and looks at what has become of it.
func (v *versionsTest) post(object gatedObject, field gatedField, minor int) (did, said string) {
	spec := v.parse(object.spec)
	if field.with != "" {
		spec = merge(spec, v.parse(field.with))
	}
	want := v.parse(field.value)
	spec = put(spec, steps(object.at+field.path), want)

	var created struct{ ID, Name string }
	if err := v.e.Call(v.t.Context(), http.MethodPost, fmt.Sprintf("/v1.%d%s/create", minor, object.path), spec, &created); err != nil {
		return fieldRefused, err.Error()
	}
	at := object.path + "/" + cmp.Or(created.ID, created.Name)
	defer func() {
		require.NoError(v.t, v.e.Call(context.Background(), http.MethodDelete, at+"?force=true", nil, nil))
	}()
	var read any
	require.NoError(v.t, v.e.Call(v.t.Context(), http.MethodGet, at, nil, &read))
	return became(get(read, steps(object.in+field.path)), want)
}

// became is what has become of a value that was taken.
func became(got, want any) (did, said string) {
	if reflect.DeepEqual(got, want) {
		return fieldCameBack, ""
	}
	return fieldDropped, fmt.Sprintf("read back %v", got)
}

func (v *versionsTest) parse(text string) any {
	var value any
	require.NoError(v.t, json.Unmarshal([]byte(v.replace.Replace(text)), &value))
	return value
}

// steps splits a path: member names and indexes.
func steps(path string) []string {
	return strings.FieldsFunc(path, func(r rune) bool { return strings.ContainsRune(".[]", r) })
}

// put sets what a path leads to, making what is missing on the way. The only
// index is 0.
func put(in any, path []string, value any) any {
	if len(path) == 0 {
		return value
	}
	if path[0] == "0" {
		list, _ := in.([]any)
		if len(list) == 0 {
			list = []any{nil}
		}
		list[0] = put(list[0], path[1:], value)
		return list
	}
	object, _ := in.(map[string]any)
	if object == nil {
		object = map[string]any{}
	}
	object[path[0]] = put(object[path[0]], path[1:], value)
	return object
}

func get(in any, path []string) any {
	for _, step := range path {
		switch value := in.(type) {
		case []any:
			if len(value) == 0 {
				return nil
			}
			in = value[0]
		case map[string]any:
			in = value[step]
		default:
			return nil
		}
	}
	return in
}

// merge puts the members of b into a.
func merge(a, b any) any {
	into, ok1 := a.(map[string]any)
	from, ok2 := b.(map[string]any)
	if !ok1 || !ok2 {
		return b
	}
	for name, value := range from {
		if value == nil {
			delete(into, name)
		} else {
			into[name] = merge(into[name], value)
		}
	}
	return into
}

// Values for filters that engines do not take any value for.
var filterValues = map[string]string{
	"GET /events filter:scope":        "swarm",
	"GET /events filter:type":         "service",
	"GET /networks filter:dangling":   "true",
	"GET /networks filter:scope":      "swarm",
	"GET /networks filter:type":       "custom",
	"GET /nodes filter:membership":    "accepted",
	"GET /nodes filter:role":          "manager",
	"GET /services filter:mode":       "global",
	"GET /services filter:runtime":    "container",
	"GET /tasks filter:desired-state": "running",
	"GET /tasks filter:node":          "$node",
	"GET /tasks filter:service":       "$service",
	"GET /tasks filter:runtime":       "container",
	"GET /volumes filter:dangling":    "true",
}

// Engines answer what came later in requests of older versions too: the table calls
// nothing of it refused.
func TestEnginesTakeParametersAndFiltersAtEveryVersionTheyHaveThem(t *testing.T) {
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		v := newVersionsTest(t, e)
		for _, row := range readVersionTable(t) {
			path, query, ok := v.listing(row)
			if !ok || row.minor > v.newest {
				continue
			}
			for _, minor := range []int{v.oldest, max(v.oldest, row.minor), v.newest} {
				err := e.Call(t.Context(), http.MethodGet, fmt.Sprintf("/v1.%d%s?%s", minor, path, query), nil, nil)
				assert.NoError(t, err, "%s at 1.%d", row.what, minor)
			}
		}
	})
}

// listing is the path and query for a row about a list or another GET without
// a reference.
func (v *versionsTest) listing(row versionRow) (path, query string, ok bool) {
	endpoint, filter, isFilter := strings.Cut(row.what, " filter:")
	endpoint, parameter, isParameter := strings.Cut(endpoint, " ?")
	path, ok = strings.CutPrefix(endpoint, "GET ")
	if !ok || strings.Contains(path, "{") {
		return "", "", false
	}
	values := url.Values{}
	if path == "/events" {
		values.Set("until", "1")
	}
	switch {
	case isFilter:
		value := filterValues[row.what]
		if value == "" {
			value = "x"
		}
		values.Set("filters", fmt.Sprintf(`{%q:{%q:true}}`, filter, v.replace.Replace(value)))
	case parameter == "filters":
		values.Set("filters", "{}")
	case parameter == "type":
		values.Set("type", "volume")
	case isParameter:
		values.Set(parameter, "1")
	}
	return path, values.Encode(), true
}
