package swarm

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"net/http"
	"net/url"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/swarm-go/swarm/internal/wire"
)

// place is one member of the JSON of a type: where it is and how to set it.
type place struct {
	path    string // "ServiceSpec.TaskTemplate.ContainerSpec.Mounts[0].Type"
	row     string // "Mount.Type"
	field   string // the Go field, whose name may differ
	typ     reflect.Type
	parents []string // the rows of what it is in: members, perhaps an endpoint
}

// places finds all members under a type by reflection, once for each path.
func places(path string, t reflect.Type, parents []string) []place {
	for slices.Contains([]reflect.Kind{reflect.Pointer, reflect.Slice, reflect.Map}, t.Kind()) {
		if t.Kind() != reflect.Pointer {
			path += "[0]"
		}
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || t.PkgPath() != reflect.TypeFor[Service]().PkgPath() {
		return nil
	}
	var found []place
	for i := range t.NumField() {
		field := t.Field(i)
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if name == "-" {
			continue
		}
		if name == "" {
			name = field.Name
		}
		p := place{path + "." + name, t.Name() + "." + name, t.Name() + "." + field.Name, field.Type, parents}
		found = append(found, p)
		found = append(found, places(p.path, field.Type, append(slices.Clip(parents), p.row))...)
	}
	return found
}

func servicePlaces() []place { return places("ServiceSpec", reflect.TypeFor[ServiceSpec](), nil) }

func allPlaces() []place {
	var all []place
	for _, t := range versioned {
		var from []string
		if endpoint := answering[t]; endpoint != "" {
			from = []string{endpoint}
		}
		all = append(all, places(t.Name(), t, from)...)
	}
	return all
}

// answering are the endpoints of what not every API version can ask for.
var answering = map[reflect.Type]string{
	reflect.TypeFor[Config]():            "GET /configs",
	reflect.TypeFor[Secret]():            "GET /secrets",
	reflect.TypeFor[DiskUsage]():         "GET /system/df",
	reflect.TypeFor[ImageDistribution](): "GET /distribution/{name}/json",
}

// needs is the lowest API version that has a place: that of the newest row on
// the way to it. Parents is the same without the place itself.
func (p place) needs() int { return max(p.parent(), tableRows()[p.row].minor) }
func (p place) parent() int {
	needs := 24
	for _, row := range p.parents {
		needs = max(needs, tableRows()[row].minor)
	}
	return needs
}

func (p place) isLost() bool {
	return slices.ContainsFunc(append(slices.Clip(p.parents), p.row), func(row string) bool { return tableRows()[row].below == lost })
}

// spec is a value that has nothing set but this place.
func (p place) spec(t *testing.T, value string) wire.Node {
	t.Helper()
	steps := strings.Split(p.path, ".")[1:]
	for _, step := range slices.Backward(steps) {
		name, list := strings.CutSuffix(step, "[0]")
		if list {
			value = "[" + value + "]"
		}
		value = fmt.Sprintf("{%q:%s}", name, value)
	}
	node, err := wire.Parse([]byte(value))
	require.NoError(t, err)
	return node
}

// sample is some JSON that is a set value of a type.
func sample(t reflect.Type) string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case t.Kind() == reflect.Struct:
		return `{"unknown":1}`
	case t.Kind() == reflect.Map:
		return `{"a":"b"}`
	case t == reflect.TypeFor[[]byte](), t.Kind() == reflect.String:
		return `"x"`
	case t.Kind() == reflect.Slice:
		return "[" + sample(t.Elem()) + "]"
	case t.Kind() == reflect.Bool:
		return "true"
	}
	return "7"
}

func TestEveryMemberOfEveryTypeHasExactlyOneRow(t *testing.T) {
	rows := map[string]int{}
	for _, row := range versionTable {
		rows[row.what]++
		assert.Equal(t, 1, rows[row.what], "rows of %s", row.what)
		assert.GreaterOrEqual(t, row.minor, minVersion.minor, row.what)
		assert.LessOrEqual(t, row.minor, maxVersion.minor, row.what)
	}
	members := map[string]bool{}
	for _, p := range allPlaces() {
		members[p.row] = true
		assert.Equal(t, 1, rows[p.row], "rows of %s (%s)", p.row, p.path)
	}
	for what := range rows {
		field, _, _ := strings.Cut(what, "=")
		assert.True(t, strings.Contains(what, " ") || members[field], "%s is no member of any type", what)
	}
}

func TestEveryEndpointOfAParameterOrFilterHasARow(t *testing.T) {
	endpoint := regexp.MustCompile(`^(GET|HEAD|POST|PUT|DELETE) /\S*$`)
	rows := tableRows()
	for _, row := range versionTable {
		what, filter, isFilter := strings.Cut(row.what, " filter:")
		what, parameter, isParameter := strings.Cut(what, " ?")
		if !strings.Contains(what, " ") {
			continue
		}
		assert.Regexp(t, endpoint, what)
		assert.Contains(t, rows, what)
		assert.GreaterOrEqual(t, row.minor, rows[what].minor, row.what)
		if isFilter {
			assert.NotEmpty(t, filter)
			assert.Contains(t, rows, what+" ?filters")
		}
		if isParameter {
			assert.NotEmpty(t, parameter)
		}
	}
}

func TestEndpointsOfTheTable(t *testing.T) {
	var endpoints []string
	for _, row := range versionTable {
		if strings.Contains(row.what, "/") && !strings.Contains(row.what, " ?") && !strings.Contains(row.what, " filter:") {
			endpoints = append(endpoints, fmt.Sprintf("%s %s", row.version(), row.what))
		}
	}
	slices.Sort(endpoints)
	assert.Equal(t, strings.Fields(strings.ReplaceAll(`
		1.24-DELETE-/networks/{id} 1.24-DELETE-/nodes/{id} 1.24-DELETE-/services/{id} 1.24-DELETE-/volumes/{name}
		1.24-GET-/_ping 1.24-GET-/events 1.24-GET-/info 1.24-GET-/networks 1.24-GET-/networks/{id} 1.24-GET-/nodes
		1.24-GET-/nodes/{id} 1.24-GET-/services 1.24-GET-/services/{id} 1.24-GET-/swarm 1.24-GET-/tasks 1.24-GET-/tasks/{id}
		1.24-GET-/version 1.24-GET-/volumes 1.24-GET-/volumes/{name} 1.24-POST-/auth 1.24-POST-/networks/create
		1.24-POST-/nodes/{id}/update 1.24-POST-/services/create 1.24-POST-/services/{id}/update 1.24-POST-/swarm/init
		1.24-POST-/swarm/join 1.24-POST-/swarm/leave 1.24-POST-/swarm/update 1.24-POST-/volumes/create
		1.25-DELETE-/secrets/{id} 1.25-GET-/secrets 1.25-GET-/secrets/{id} 1.25-GET-/swarm/unlockkey 1.25-GET-/system/df
		1.25-POST-/secrets/create 1.25-POST-/secrets/{id}/update 1.25-POST-/swarm/unlock
		1.29-GET-/services/{id}/logs 1.29-GET-/tasks/{id}/logs
		1.30-DELETE-/configs/{id} 1.30-GET-/configs 1.30-GET-/configs/{id} 1.30-GET-/distribution/{name}/json
		1.30-POST-/configs/create 1.30-POST-/configs/{id}/update
		1.40-HEAD-/_ping 1.42-PUT-/volumes/{name}`, "\n", " ")), dashed(endpoints))
}

func dashed(list []string) []string {
	for i := range list {
		list[i] = strings.ReplaceAll(list[i], " ", "-")
	}
	return list
}

// The rows of a type stand together, so that a reader finds them.
func TestRowsAreGroupedByTypeAndEndpoint(t *testing.T) {
	seen, last := map[string]bool{}, ""
	for _, row := range versionTable {
		group, _, _ := strings.Cut(row.what, ".")
		if method, rest, ok := strings.Cut(row.what, " "); ok {
			path, _, _ := strings.Cut(rest, " ")
			group = method + " " + path
		}
		if group != last {
			assert.False(t, seen[group], "the rows of %s do not stand together", group)
		}
		seen[group], last = true, group
	}
}

func TestFieldsAreRefusedBelowTheirVersionAndAcceptedFromItOn(t *testing.T) {
	gated := 0
	for _, p := range servicePlaces() {
		if p.row == "ServiceSpec.Networks" || slices.Contains(p.parents, "ServiceSpec.Networks") {
			continue // see TestNetworksOfTheServiceAreRefusedWhereEnginesDropThem
		}
		spec := p.spec(t, sample(p.typ))
		if p.isLost() {
			err := checkFields("ServiceSpec", spec, maxVersion)
			var versionError *VersionError
			require.ErrorAs(t, err, &versionError, p.path)
			assert.Empty(t, versionError.Needs, p.path)
			assert.True(t, strings.HasPrefix(p.path, versionError.Field), "%s: %s", p.path, err)
			continue
		}
		needs := p.needs()
		assert.NoError(t, checkFields("ServiceSpec", spec, version{1, needs}), p.path)
		if needs == minVersion.minor || tableRows()[p.row].below == harmless {
			continue
		}
		gated++
		err := checkFields("ServiceSpec", spec, version{1, needs - 1})
		var versionError *VersionError
		require.ErrorAs(t, err, &versionError, p.path)
		assert.ErrorIs(t, err, ErrUnsupported)
		assert.Equal(t, fmt.Sprintf("1.%d", needs-1), versionError.Have)
		assert.True(t, strings.HasPrefix(p.path, versionError.Field), "%s: %s", p.path, err)
		if p.parent() < needs {
			assert.Equal(t, &VersionError{Field: p.path, Needs: fmt.Sprintf("1.%d", needs), Have: fmt.Sprintf("1.%d", needs-1)}, versionError)
		}
	}
	assert.Greater(t, gated, 100, "gated places")
}

func TestValuesAreRefusedBelowTheirVersionAndAcceptedFromItOn(t *testing.T) {
	checked := 0
	for _, row := range versionTable {
		member, value, found := strings.Cut(row.what, "=")
		if !found {
			continue
		}
		for _, p := range servicePlaces() {
			if p.row != member {
				continue
			}
			checked++
			needs := max(p.parent(), row.minor)
			spec := p.spec(t, `"`+value+`"`)
			assert.NoError(t, checkFields("ServiceSpec", spec, version{1, needs}), p.path)
			if p.parent() < row.minor {
				assert.Equal(t, &VersionError{Field: p.path + "=" + value, Needs: row.version().String(), Have: fmt.Sprintf("1.%d", row.minor-1)},
					checkFields("ServiceSpec", spec, version{1, row.minor - 1}))
			}
		}
	}
	assert.Greater(t, checked, 10, "places of values")
}

func TestNetworksOfTheServiceAreRefusedWhereEnginesDropThem(t *testing.T) {
	spec := parseSpec(t, `{"Networks":[{"Target":"n"}]}`)
	assert.NoError(t, checkFields("ServiceSpec", spec, version{1, 24}))
	assert.NoError(t, checkFields("ServiceSpec", spec, version{1, 51}))
	assert.EqualError(t, checkFields("ServiceSpec", spec, version{1, 52}), "API 1.52 would drop ServiceSpec.Networks")
}

func TestWhatIsNotSetIsNotRefused(t *testing.T) {
	for _, spec := range []string{
		`{}`,
		`{"RollbackConfig":null}`,
		`{"UpdateConfig":{"Parallelism":1,"MaxFailureRatio":0}}`,
		`{"UpdateConfig":{"Order":""}}`,
		`{"UpdateConfig":{"Order":"stop-first"}}`,
		`{"TaskTemplate":{"ForceUpdate":0,"Runtime":"container","PluginSpec":null,"Resources":{"SwapBytes":null}}}`,
		`{"TaskTemplate":{"ContainerSpec":{"TTY":false,"Sysctls":{},"CapabilityAdd":[],"Ulimits":null,"Isolation":"default"}}}`,
		`{"EndpointSpec":{"Ports":[{"PublishMode":"ingress","Protocol":"tcp"}]}}`,
	} {
		assert.NoError(t, checkFields("ServiceSpec", parseSpec(t, spec), minVersion), spec)
	}
}

// Newer engines show it in every service with Privileges, also to old requests.
func TestPrivilegesOfNewerEnginesAreWrittenBackByOldRequests(t *testing.T) {
	privileges := func(value string) error {
		spec := parseSpec(t, `{"TaskTemplate":{"ContainerSpec":{"Privileges":{"NoNewPrivileges":`+value+`}}}}`)
		return checkFields("ServiceSpec", spec, version{1, 43})
	}
	assert.NoError(t, privileges("false"))
	assert.ErrorIs(t, privileges("true"), ErrUnsupported)
}

func TestZeroThatIsNotAbsenceIsRefused(t *testing.T) {
	for spec, field := range map[string]string{
		`{"Mode":{"GlobalJob":{}}}`:                         "ServiceSpec.Mode.GlobalJob",
		`{"TaskTemplate":{"Resources":{"SwapBytes":0}}}`:    "ServiceSpec.TaskTemplate.Resources.SwapBytes",
		`{"TaskTemplate":{"ContainerSpec":{"Init":false}}}`: "ServiceSpec.TaskTemplate.ContainerSpec.Init",
		`{"RollbackConfig":{}}`:                             "ServiceSpec.RollbackConfig",
	} {
		var versionError *VersionError
		if assert.ErrorAs(t, checkFields("ServiceSpec", parseSpec(t, spec), minVersion), &versionError, spec) {
			assert.Equal(t, field, versionError.Field)
		}
	}
}

func TestFirstFieldThatIsTooNewIsNamed(t *testing.T) {
	spec := parseSpec(t, `{"TaskTemplate":{"ContainerSpec":{"Unknown":{"Sysctls":1},"Mounts":[{"Type":"bind"},
		{"Type":"tmpfs","TmpfsOptions":{"Options":[["noexec"]]}}],"OomScoreAdj":1}},"RollbackConfig":{}}`)
	assert.EqualError(t, checkFields("ServiceSpec", spec, version{1, 45}),
		"ServiceSpec.TaskTemplate.ContainerSpec.Mounts[1].TmpfsOptions.Options needs API 1.46, there is 1.45")
	assert.NoError(t, checkFields("ServiceSpec", spec, version{1, 46}))
}

func TestSpecsOfEveryTypeInTheTableAreChecked(t *testing.T) {
	err := checkFields("ContainerSpec", parseSpec(t, `{"OomScoreAdj":5}`), version{1, 45})
	assert.EqualError(t, err, "ContainerSpec.OomScoreAdj needs API 1.46, there is 1.45")
	err = checkFields("Service", parseSpec(t, `{"PreviousSpec":{"TaskTemplate":{"ContainerSpec":{"OomScoreAdj":5}}}}`), version{1, 45})
	assert.EqualError(t, err, "Service.PreviousSpec.TaskTemplate.ContainerSpec.OomScoreAdj needs API 1.46, there is 1.45")
	assert.NoError(t, checkFields("NoSuchType", parseSpec(t, `{"OomScoreAdj":5}`), minVersion))
}

func TestSpecsOfAnyShapeAreChecked(t *testing.T) {
	for _, spec := range []string{`null`, `7`, `[]`, `[[{"Name":[]}]]`, `{"TaskTemplate":[{"ContainerSpec":7}]}`, `{"Mode":"x","EndpointSpec":{"Ports":{"Protocol":{}}}}`,
		strings.Repeat("[", 900) + strings.Repeat("]", 900)} {
		assert.NoError(t, checkFields("ServiceSpec", parseSpec(t, spec), minVersion), spec)
		assert.Empty(t, unknownFields("ServiceSpec", parseSpec(t, spec)), spec)
	}
}

func TestUnknownFieldsAreFound(t *testing.T) {
	spec := parseSpec(t, `{"Name":"web","New":null,"Labels":{"any":"thing"},"TaskTemplate":{"ContainerSpec":{"Mounts":[{"Type":"bind"},{"New":{"Type":1}}],
		"Sysctls":{"a":"b"}},"Newer":[]},"Mode":{"Global":{"New":1}}}`)
	assert.Equal(t, []string{
		"ServiceSpec.New",
		"ServiceSpec.TaskTemplate.ContainerSpec.Mounts[1].New",
		"ServiceSpec.TaskTemplate.Newer",
		"ServiceSpec.Mode.Global.New",
	}, unknownFields("ServiceSpec", spec))
}

func TestNoFieldOfATypeIsUnknown(t *testing.T) {
	for _, p := range servicePlaces() {
		assert.Empty(t, unknownFields("ServiceSpec", p.spec(t, "null")), p.path)
	}
}

func parseSpec(t testing.TB, text string) wire.Node {
	t.Helper()
	node, err := wire.Parse([]byte(text))
	require.NoError(t, err)
	return node
}

func TestCallsAreRefusedBelowTheirVersion(t *testing.T) {
	ask := func(method, template, query string) *call {
		values, err := url.ParseQuery(query)
		require.NoError(t, err)
		return &call{method: method, to: route{template: template}, query: values}
	}
	for _, c := range []struct {
		call *call
		have int
		want string
	}{
		{ask("GET", "/services", ""), 24, ""},
		{ask("GET", "/services", "status=true"), 24, ""},
		{ask("GET", "/services", `filters={"name":["a"]}`), 24, ""},
		{ask("GET", "/services", `filters={"mode":["global"],"name":["a"]}`), 27, "mode filter of GET /services needs API 1.28, there is 1.27"},
		{ask("GET", "/services", `filters={"mode":{"global":true}}`), 27, "mode filter of GET /services needs API 1.28, there is 1.27"},
		{ask("GET", "/services", `filters={"mode":["global"]}`), 28, ""},
		{ask("GET", "/services", `filters={nonsense`), 24, ""},
		{ask("GET", "/services", `filters=["mode"]`), 24, ""},
		{ask("GET", "/services/{id}", "insertDefaults=true"), 28, "insertDefaults parameter of GET /services/{id} needs API 1.29, there is 1.28"},
		{ask("POST", "/services/{id}/update", "version=7&rollback=previous"), 27, "rollback parameter of POST /services/{id}/update needs API 1.28, there is 1.27"},
		{ask("POST", "/services/{id}/update", "version=7&rollback=previous"), 28, ""},
		{ask("GET", "/tasks/{id}/logs", "stdout=1"), 28, "GET /tasks/{id}/logs needs API 1.29, there is 1.28"},
		{ask("GET", "/tasks/{id}/logs", "stdout=1"), 29, ""},
		{ask("GET", "/configs", ""), 29, "GET /configs needs API 1.30, there is 1.29"},
		{ask("HEAD", "/_ping", ""), 24, ""},
		{ask("GET", "(other)", `filters={"mode":["global"]}&rollback=1`), 24, ""},
		{ask("GET", "/containers/json", "all=1"), 24, ""},
	} {
		err := checkCall(c.call, version{1, c.have})
		if c.want == "" {
			assert.NoError(t, err)
			continue
		}
		assert.EqualError(t, err, c.want)
		assert.ErrorIs(t, err, ErrUnsupported)
	}
}

// Every gated endpoint, parameter and filter of the table, at its boundary.
func TestEverythingACallCanAskForIsRefusedBelowItsVersion(t *testing.T) {
	for _, row := range versionTable {
		what, filter, isFilter := strings.Cut(row.what, " filter:")
		what, parameter, isParameter := strings.Cut(what, " ?")
		method, path, ok := strings.Cut(what, " ")
		if !ok {
			continue
		}
		c := &call{method: method, to: route{template: path}, query: url.Values{}}
		switch {
		case isFilter:
			c.query.Set("filters", fmt.Sprintf(`{%q:["x"]}`, filter))
		case isParameter:
			c.query.Set(parameter, "1")
		}
		assert.NoError(t, checkCall(c, row.version()), row.what)
		below := version{1, row.minor - 1}
		if row.below == harmless || below.less(minVersion) {
			continue
		}
		var versionError *VersionError
		require.ErrorAs(t, checkCall(c, below), &versionError, row.what)
		assert.Equal(t, row.version().String(), versionError.Needs, row.what)
		assert.Equal(t, below.String(), versionError.Have, row.what)
		assert.Contains(t, versionError.Field, what)
	}
}

// The comments of fields say from which API version on there is one, if it is
// younger than what it is in.
func TestCommentsNameTheVersionsOfTheTable(t *testing.T) {
	comments := fieldComments(t)
	parents, fields := map[string]int{}, map[string]string{}
	for _, p := range allPlaces() {
		if oldest, ok := parents[p.row]; !ok || p.parent() < oldest {
			parents[p.row], fields[p.row] = p.parent(), p.field
		}
	}
	for row, parent := range parents {
		comment := comments[fields[row]]
		require.NotEmpty(t, comment, row)
		said, want := saidVersions(comment), tableRows()[row].version()
		if want.minor > parent && !slices.Contains(thereWithout, row) {
			assert.Equal(t, []string{want.String()}, said, "comment of %s: %s", row, comment)
			continue
		}
		for _, s := range said {
			assert.Equal(t, want.String(), s, "comment of %s: %s", row, comment)
		}
	}
}

// thereWithout are fields that this library makes up for at older versions.
var thereWithout = []string{
	"TaskSpec.Networks",     // sent as the service's
	"Service.ServiceStatus", // counted here
}

var needsVersion = regexp.MustCompile(`(?:Needs|needs|There since) API (1\.\d+)`)

// saidVersions are the API versions that a comment says something needs, or is
// there since.
func saidVersions(comment string) []string {
	var said []string
	for _, match := range needsVersion.FindAllStringSubmatch(comment, -1) {
		said = append(said, match[1])
	}
	return said
}

// optionsCall is a call that takes options.
type optionsCall struct {
	options reflect.Type
	call    func(ctx context.Context, c *Client, opts any) error
}

func taking[O any](call func(ctx context.Context, c *Client, opts *O) error) optionsCall {
	return optionsCall{reflect.TypeFor[O](), func(ctx context.Context, c *Client, opts any) error { return call(ctx, c, opts.(*O)) }}
}

var optionsCalls = []optionsCall{
	taking(func(ctx context.Context, c *Client, opts *ServiceCreateOptions) error {
		_, err := c.Services.Create(ctx, ServiceSpec{Name: "x"}, opts)
		return err
	}),
	taking(func(ctx context.Context, c *Client, opts *ServiceListOptions) error {
		_, err := c.Services.List(ctx, opts)
		return err
	}),
	taking(func(ctx context.Context, c *Client, opts *ServiceUpdateOptions) error {
		service, err := decodeService([]byte(`{"ID":"x","Version":{"Index":1},"Spec":{"Name":"x"}}`))
		if err != nil {
			return err
		}
		service.Spec.Labels = map[string]string{"a": "b"}
		_, err = c.Services.Update(ctx, &service, opts)
		return err
	}),
	taking(func(ctx context.Context, c *Client, opts *ServiceModifyOptions) error {
		_, err := c.Services.Modify(ctx, "x", func(s *Service) error {
			s.Spec.Labels = map[string]string{"a": "b"}
			return nil
		}, opts)
		return err
	}),
	taking(func(ctx context.Context, c *Client, opts *LogOptions) error {
		logs, err := c.Services.Logs(ctx, "x", opts)
		if err == nil {
			err = logs.Close()
		}
		return err
	}),
	taking(func(ctx context.Context, c *Client, opts *TaskListOptions) error {
		_, err := c.Tasks.List(ctx, opts)
		return err
	}),
	taking(func(ctx context.Context, c *Client, opts *NodeListOptions) error {
		_, err := c.Nodes.List(ctx, opts)
		return err
	}),
	taking(func(ctx context.Context, c *Client, opts *NodeRemoveOptions) error {
		return c.Nodes.Remove(ctx, "x", opts)
	}),
	taking(func(ctx context.Context, c *Client, opts *LeaveOptions) error { return c.Swarm.Leave(ctx, opts) }),
	taking(func(ctx context.Context, c *Client, opts *SecretListOptions) error {
		_, err := c.Secrets.List(ctx, opts)
		return err
	}),
	taking(func(ctx context.Context, c *Client, opts *ConfigListOptions) error {
		_, err := c.Configs.List(ctx, opts)
		return err
	}),
	taking(func(ctx context.Context, c *Client, opts *NetworkListOptions) error {
		_, err := c.Networks.List(ctx, opts)
		return err
	}),
	taking(func(ctx context.Context, c *Client, opts *NetworkInspectOptions) error {
		_, err := c.Networks.Inspect(ctx, "x", opts)
		return err
	}),
	taking(func(ctx context.Context, c *Client, opts *VolumeListOptions) error {
		_, err := c.Volumes.List(ctx, opts)
		return err
	}),
	taking(func(ctx context.Context, c *Client, opts *VolumeRemoveOptions) error {
		return c.Volumes.Remove(ctx, "x", opts)
	}),
	taking(func(ctx context.Context, c *Client, opts *EventOptions) error {
		for _, err := range c.Events.Watch(ctx, opts) {
			return err
		}
		return nil
	}),
	taking(func(ctx context.Context, c *Client, opts *DiskUsageOptions) error {
		_, err := c.System.DiskUsage(ctx, opts)
		return err
	}),
	taking(func(ctx context.Context, c *Client, opts *DistributionInspectOptions) error {
		_, err := c.System.InspectDistribution(ctx, "x", opts)
		return err
	}),
}

// optionsOfNoCall are options that say nothing to engines, or in a spec or other
// options alone.
var optionsOfNoCall = []string{"WaitOptions", "RotateOptions", "RunJobOptions", "NodeDrainOptions", "NodeActivateOptions", "CAOptions", "LogPrintOptions",
	"ServiceScaleByOptions", "ServiceRemoveAllOptions"}

func TestOptionsAreTriedOrPartOfWhatIsSent(t *testing.T) {
	tried := slices.Clone(optionsOfNoCall)
	for _, c := range optionsCalls {
		tried = append(tried, c.options.Name())
	}
	for field := range fieldComments(t) {
		name, _, _ := strings.Cut(field, ".")
		if ast.IsExported(name) && strings.HasSuffix(name, "Options") && shapes()[name] == nil {
			assert.Contains(t, tried, name)
		}
	}
}

// Options that older engines do not take are refused, and their comments say so.
func TestCommentsOfOptionsNameTheVersionsThatCallsNeed(t *testing.T) {
	comments, checked := fieldComments(t), 0
	engine, _ := serve(t, "unix", http.HandlerFunc(answerAnything))
	clients := map[int]*Client{}
	for minor := minVersion.minor; minor <= maxVersion.minor; minor++ {
		clients[minor] = connect(t, "unix://"+engine.address, WithAPIVersion(version{1, minor}.String()))
	}
	needs := func(c optionsCall, minor int, opts reflect.Value) []string {
		var versionError *VersionError
		if errors.As(c.call(t.Context(), clients[minor], opts.Interface()), &versionError) {
			return []string{versionError.Needs}
		}
		return nil
	}
	for _, c := range optionsCalls {
		oldest := minVersion.minor
		for needs(c, oldest, reflect.New(c.options)) != nil {
			oldest++
		}
		for i := range c.options.NumField() {
			opts, name := reflect.New(c.options), c.options.Name()+"."+c.options.Field(i).Name
			setSomething(opts.Elem().Field(i))
			said := saidVersions(comments[name])
			assert.Equal(t, said, needs(c, oldest, opts), name)
			for _, needed := range said {
				checked++
				v, err := parseVersion(needed)
				require.NoError(t, err)
				assert.Nil(t, needs(c, v.minor, opts), "%s at API %s", name, needed)
			}
		}
	}
	assert.Greater(t, checked, 15, "options with a version")
}

// Engines ignore many a word that they do not know. Actions of events are the
// exception: new ones come with every engine, and all of them are words.
func TestUnknownWordsInOptionsAreRefusedBeforeSending(t *testing.T) {
	var requests count
	client, _ := engineOf(t, func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		answerAnything(w, r)
	})
	tried := map[reflect.Type]bool{reflect.TypeFor[EventAction](): true}
	for _, c := range optionsCalls {
		for i := range c.options.NumField() {
			opts := reflect.New(c.options)
			field := opts.Elem().Field(i)
			setSomething(field)
			for field.Kind() == reflect.Slice {
				field = field.Index(0)
			}
			if optionWords[field.Type()] == "" || field.Type() == reflect.TypeFor[EventAction]() {
				continue
			}
			tried[field.Type()] = true
			field.SetString("nonsense")
			name := c.options.Name() + "." + c.options.Field(i).Name
			assert.ErrorIs(t, c.call(t.Context(), client, opts.Interface()), ErrInvalid, name)
			assert.Zero(t, requests.Swap(0), name)
		}
	}
	assert.Len(t, tried, len(optionWords))
}

// answerAnything is an engine that has nothing but objects named x.
func answerAnything(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path[strings.LastIndex(r.URL.Path, "/"):] {
	case "/services", "/tasks", "/nodes", "/secrets", "/configs", "/networks":
		reply(w, http.StatusOK, "[]")
	default:
		reply(w, http.StatusOK, `{"ID":"x","Id":"x","Name":"x","Version":{"Index":1},"Spec":{"Name":"x"},"Descriptor":{"digest":"x"}}`)
	}
}

// optionWords are a word each of those types that do not take any.
var optionWords = map[reflect.Type]string{
	reflect.TypeFor[ModeKind]():       string(ModeGlobal),
	reflect.TypeFor[Runtime]():        string(RuntimeContainer),
	reflect.TypeFor[TaskState]():      string(TaskRunning),
	reflect.TypeFor[NodeRole]():       string(RoleManager),
	reflect.TypeFor[NodeMembership](): string(MembershipAccepted),
	reflect.TypeFor[Scope]():          string(ScopeSwarm),
	reflect.TypeFor[NetworkType]():    string(NetworkCustom),
	reflect.TypeFor[EventType]():      string(EventNode),
	reflect.TypeFor[EventAction]():    string(ActionCreate),
	reflect.TypeFor[DiskUsageType]():  string(DiskUsageVolumes),
	reflect.TypeFor[PinMode]():        string(PinBestEffort),
}

// setSomething sets a field of options to something.
func setSomething(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		setSomething(v.Elem())
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		setSomething(v.Index(0))
	case reflect.Map:
		v.Set(reflect.ValueOf(map[string]string{"a": "b"}))
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(time.Unix(1, 0)))
			return
		}
		setSomething(v.Field(0))
	case reflect.String:
		v.SetString(cmp.Or(optionWords[v.Type()], "x"))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int:
		v.SetInt(1)
	case reflect.Uint8:
		v.SetUint(1)
	case reflect.Func:
		results := make([]reflect.Value, v.Type().NumOut())
		for i := range results {
			results[i] = reflect.Zero(v.Type().Out(i))
		}
		v.Set(reflect.MakeFunc(v.Type(), func([]reflect.Value) []reflect.Value { return results }))
	default:
		panic(v.Type().String())
	}
}

// fieldComments are the comments of all struct fields of this package.
func fieldComments(t *testing.T) map[string]string {
	t.Helper()
	comments := map[string]string{}
	files, err := os.ReadDir(".")
	require.NoError(t, err)
	for _, file := range files {
		if !strings.HasSuffix(file.Name(), ".go") || strings.HasSuffix(file.Name(), "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file.Name(), nil, parser.ParseComments|parser.SkipObjectResolution)
		require.NoError(t, err)
		ast.Inspect(parsed, func(n ast.Node) bool {
			spec, ok := n.(*ast.TypeSpec)
			if !ok {
				return true
			}
			if object, ok := spec.Type.(*ast.StructType); ok {
				for _, field := range object.Fields.List {
					for _, name := range field.Names {
						comments[spec.Name.Name+"."+name.Name] = strings.Join(strings.Fields(field.Doc.Text()), " ")
					}
				}
			}
			return true
		})
	}
	return comments
}

func TestVersionErrorSaysWhatIsMissing(t *testing.T) {
	err := error(&VersionError{Field: "ServiceSpec.New", Have: "1.56"})
	assert.EqualError(t, err, "API 1.56 would drop ServiceSpec.New")
	assert.True(t, errors.Is(err, ErrUnsupported))
}

func BenchmarkCheckFields(b *testing.B) {
	b.ReportAllocs()
	spec := ServiceSpec{Name: "web", Mode: Replicated(3)}
	for i := range 1000 {
		spec.TaskTemplate.ContainerSpec.Mounts = append(spec.TaskTemplate.ContainerSpec.Mounts, Mount{Type: MountBind, Source: "/a", Target: fmt.Sprint("/", i)})
	}
	encoded, err := json.Marshal(spec)
	require.NoError(b, err)
	node := parseSpec(b, string(encoded))
	for b.Loop() {
		if err := checkFields("ServiceSpec", node, minVersion); err != nil {
			b.Fatal(err)
		}
	}
}
