package swarm_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/swarm-go/swarm"
	"github.com/swarm-go/swarm/internal/wire"
)

// codec is one way to encode and decode the types. Users have encoding/json, the
// client has wire; builds with Go 1.27 add encoding/json/v2.
type codec struct {
	name      string
	marshal   func(v any) ([]byte, error)
	unmarshal func(data []byte, v any) error
}

var codecs = []codec{
	{"encoding/json", json.Marshal, json.Unmarshal},
	{"wire", wire.Marshal, wire.Unmarshal},
}

func TestRecordedListsAreDecodedWhole(t *testing.T) {
	body := recordedBody(t, "testdata/captures/28.5/service_list_status.http")
	for _, c := range codecs {
		t.Run(c.name, func(t *testing.T) {
			assertSurvives[[]swarm.Service](t, c, recordedObject{"service_list_status", body})
		})
	}
}

// TestEveryKnownFieldIsKept holds one service and one task with every field that
// engines know. A field that the types lack is lost in the encoding, and one that
// the documents lack stays zero in the decoded value: both fail.
func TestEveryKnownFieldIsKept(t *testing.T) {
	service := recordedObject{"service.json", readFile(t, "testdata/types/service.json")}
	task := recordedObject{"task.json", readFile(t, "testdata/types/task.json")}
	for _, c := range codecs {
		t.Run(c.name, func(t *testing.T) {
			decodedService := assertSurvives[swarm.Service](t, c, service)
			decodedTask := assertSurvives[swarm.Task](t, c, task)
			require.NotNil(t, decodedService.PreviousSpec)
			decodedService.PreviousSpec = &decodedService.Spec // the document's is short
			assert.Empty(t, zeroFields("Service", reflect.ValueOf(decodedService)))
			assert.Empty(t, zeroFields("Task", reflect.ValueOf(decodedTask)))
		})
	}
}

func TestEverySetFieldIsDecodedAsItWasEncoded(t *testing.T) {
	var service swarm.Service
	var task swarm.Task
	fill(reflect.ValueOf(&service).Elem())
	fill(reflect.ValueOf(&task).Elem())
	for _, c := range codecs {
		t.Run(c.name, func(t *testing.T) {
			assert.Equal(t, service, reencoded(t, c, service))
			assert.Equal(t, task, reencoded(t, c, task))
		})
	}
}

func TestZeroValuesLeaveEverythingToTheEngine(t *testing.T) {
	for _, c := range codecs {
		t.Run(c.name, func(t *testing.T) {
			encoded, err := c.marshal(swarm.ServiceSpec{})
			require.NoError(t, err)
			assert.Equal(t, `{"TaskTemplate":{"ForceUpdate":0},"Mode":{}}`, string(encoded))
		})
	}
}

func TestEmptyAndAbsentStayApart(t *testing.T) {
	for _, spec := range []string{
		`{"TaskTemplate":{"ForceUpdate":0},"Mode":{}}`,
		`{"Labels":{},"TaskTemplate":{"ContainerSpec":{"Image":"web","DNSConfig":{},"Env":[],"Healthcheck":{},"Init":false,"StopGracePeriod":0},"Resources":{},"RestartPolicy":{},"Placement":{},"LogDriver":{},"ForceUpdate":0},"Mode":{"Replicated":{}}}`,
		`{"TaskTemplate":{"Resources":{"Limits":{},"Reservations":{}},"RestartPolicy":{"Delay":0,"MaxAttempts":0,"Window":0},"Placement":{"Constraints":[]},"ForceUpdate":0},"Mode":{"Replicated":{"Replicas":0}}}`,
		`{"TaskTemplate":{"Resources":{"SwapBytes":0,"MemorySwappiness":0},"ForceUpdate":0},"Mode":{"ReplicatedJob":{"MaxConcurrent":0,"TotalCompletions":0}}}`,
		`{"TaskTemplate":{"ContainerSpec":{"Image":"web","Mounts":[{"BindOptions":{},"VolumeOptions":{"DriverConfig":{}},"ImageOptions":{},"TmpfsOptions":{},"ClusterOptions":{}}],"Privileges":{"Seccomp":{},"AppArmor":{},"NoNewPrivileges":false}},"ForceUpdate":0},"Mode":{"Global":{}}}`,
		`{"TaskTemplate":{"ContainerSpec":{"Image":"web","Privileges":{}},"ForceUpdate":0},"Mode":{}}`,
	} {
		for _, c := range codecs {
			assertSurvives[swarm.ServiceSpec](t, c, recordedObject{spec, []byte(spec)})
		}
	}
}

func TestUnknownWordsAreKept(t *testing.T) {
	spec := `{"TaskTemplate":{"ContainerSpec":{"Image":"web","Isolation":"i","Mounts":[{"Type":"m","Consistency":"c","BindOptions":{"Propagation":"p"}}]},"RestartPolicy":{"Condition":"c"},"ForceUpdate":0,"Runtime":"r"},"Mode":{},"UpdateConfig":{"Parallelism":1,"FailureAction":"f","MaxFailureRatio":0,"Order":"o"},"EndpointSpec":{"Mode":"e","Ports":[{"Protocol":"p","PublishMode":"m"}]}}`
	for _, c := range codecs {
		assertSurvives[swarm.ServiceSpec](t, c, recordedObject{"unknown words", []byte(spec)})
	}
}

func TestPartialUpdateConfigNeverMeansAllTasksAtOnce(t *testing.T) {
	spec := swarm.ServiceSpec{UpdateConfig: swarm.UpdateConfig{Order: swarm.StartFirst}}
	for _, c := range codecs {
		t.Run(c.name, func(t *testing.T) {
			encoded, err := c.marshal(spec)
			require.NoError(t, err)
			assert.Contains(t, string(encoded), `"UpdateConfig":{"Parallelism":1,"MaxFailureRatio":0,"Order":"start-first"}`)
			assert.Nil(t, spec.UpdateConfig.Parallelism)
		})
	}
}

func TestUpdateOfAllTasksAtOnceIsSentAsAsked(t *testing.T) {
	spec := swarm.ServiceSpec{UpdateConfig: swarm.UpdateConfig{Parallelism: new(uint64(0))}}
	for _, c := range codecs {
		assert.Equal(t, spec, reencoded(t, c, spec))
	}
}

// TestDefaultsAreTheEnginesOwn compares what the constructors make with what an
// engine fills in for a service that says nothing.
func TestDefaultsAreTheEnginesOwn(t *testing.T) {
	for _, engine := range []string{"20.10", "26.1", "28.5"} {
		var service swarm.Service
		body := recordedBody(t, "testdata/captures/"+engine+"/service_inspect_defaults.http")
		require.NoError(t, json.Unmarshal(body, &service))
		assert.Equal(t, swarm.DefaultUpdateConfig(), service.Spec.UpdateConfig, engine)
		assert.Equal(t, swarm.DefaultRollbackConfig(), service.Spec.RollbackConfig, engine)
		assert.Equal(t, swarm.DefaultRestartPolicy(), service.Spec.TaskTemplate.RestartPolicy, engine)
	}
}

func TestModesSayWhatIsRun(t *testing.T) {
	for want, mode := range map[string]swarm.ServiceMode{
		`{"Replicated":{"Replicas":3}}`:                              swarm.Replicated(3),
		`{"Replicated":{"Replicas":0}}`:                              swarm.Replicated(0),
		`{"Global":{}}`:                                              swarm.Global(),
		`{"ReplicatedJob":{"MaxConcurrent":2,"TotalCompletions":9}}`: swarm.ReplicatedJob(9, 2),
		`{"ReplicatedJob":{"MaxConcurrent":9,"TotalCompletions":9}}`: swarm.ReplicatedJob(9, 0),
		`{"GlobalJob":{}}`:                                           swarm.GlobalJob(),
	} {
		encoded, err := json.Marshal(mode)
		require.NoError(t, err)
		assert.Equal(t, want, string(encoded))
	}
}

func TestMountedSecretsAndConfigsAreFilesReadableByAll(t *testing.T) {
	encoded, err := json.Marshal(swarm.ContainerSpec{
		Image:   "web",
		Secrets: []swarm.SecretReference{swarm.MountSecret("s1", "db-password")},
		Configs: []swarm.ConfigReference{swarm.MountConfig("c1", "app.conf")},
	})
	require.NoError(t, err)
	assert.JSONEq(t, `{"Image":"web",
		"Secrets":[{"File":{"Name":"db-password","UID":"0","GID":"0","Mode":292},"SecretID":"s1","SecretName":"db-password"}],
		"Configs":[{"File":{"Name":"app.conf","UID":"0","GID":"0","Mode":292},"ConfigID":"c1","ConfigName":"app.conf"}]}`, string(encoded))
}

func TestStatesAfterRunningAreTerminal(t *testing.T) {
	for _, state := range []swarm.TaskState{
		swarm.TaskNew, swarm.TaskAllocated, swarm.TaskPending, swarm.TaskAssigned, swarm.TaskAccepted,
		swarm.TaskPreparing, swarm.TaskReady, swarm.TaskStarting, swarm.TaskRunning, "", "unheard-of",
	} {
		assert.False(t, state.Terminal(), state)
	}
	for _, state := range []swarm.TaskState{
		swarm.TaskComplete, swarm.TaskShutdown, swarm.TaskFailed, swarm.TaskRejected,
		swarm.TaskRemove, swarm.TaskOrphaned,
	} {
		assert.True(t, state.Terminal(), state)
	}
}

// recordedBody reads an HTTP answer as it was on the wire. It is empty where the
// answer was cut, as some recorded ones are.
func recordedBody(t *testing.T, file string) []byte {
	response, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(readFile(t, file))), nil)
	if err != nil {
		return nil
	}
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return nil
	}
	return body
}

func readFile(t *testing.T, file string) []byte {
	content, err := os.ReadFile(file)
	require.NoError(t, err)
	return content
}

// assertSurvives decodes a document as a T and encodes it: it must be the same,
// but for members that are null.
func assertSurvives[T any](t *testing.T, c codec, object recordedObject) T {
	var value T
	require.NoError(t, c.unmarshal(object.json, &value), object.name)
	encoded, err := c.marshal(value)
	require.NoError(t, err, object.name)
	before, after := tree(t, object.json), tree(t, encoded)
	if !reflect.DeepEqual(before, after) { // assert.Equal is slow
		assert.Equal(t, before, after, object.name)
	}
	return value
}

// tree decodes JSON for comparison: numbers as they are written, without the
// members that are null.
func tree(t *testing.T, data []byte) any {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	var v any
	require.NoError(t, decoder.Decode(&v))
	return withoutNulls(v)
}

func withoutNulls(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for name, member := range v {
			if member == nil {
				delete(v, name)
			}
			withoutNulls(member)
		}
	case []any:
		for _, element := range v {
			withoutNulls(element)
		}
	}
	return v
}

func reencoded[T any](t *testing.T, c codec, value T) T {
	encoded, err := c.marshal(value)
	require.NoError(t, err)
	var decoded T
	require.NoError(t, c.unmarshal(encoded, &decoded))
	return decoded
}

var (
	timeType     = reflect.TypeFor[time.Time]()
	durationType = reflect.TypeFor[time.Duration]()
)

// fill sets everything in v that is encoded to something that is not zero.
func fill(v reflect.Value) {
	switch {
	case v.Type() == timeType:
		v.Set(reflect.ValueOf(time.Date(2026, 11, 21, 1, 59, 10, 410705774, time.UTC)))
	case v.Type() == durationType:
		v.SetInt(int64(1500 * time.Millisecond))
	case v.Kind() == reflect.Struct:
		for _, field := range encodedFields(v) {
			fill(field.value)
		}
	case v.Kind() == reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem())
	case v.Kind() == reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fill(v.Index(0))
		fill(v.Index(1))
	case v.Kind() == reflect.Map:
		value := reflect.New(v.Type().Elem()).Elem()
		fill(value)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(reflect.ValueOf("key"), value)
	case v.Kind() == reflect.String:
		v.SetString("text")
	case v.Kind() == reflect.Bool:
		v.SetBool(true)
	case v.CanInt():
		v.SetInt(7)
	case v.CanUint():
		v.SetUint(7)
	case v.CanFloat():
		v.SetFloat(0.1)
	default:
		panic("a kind of field that is not expected: " + v.Type().String())
	}
}

// zeroFields names the fields in v that are zero. Of a list it looks at the first
// element; a pointer to a number only has to be set.
func zeroFields(name string, v reflect.Value) []string {
	switch {
	case v.IsZero() && v.Type().Size() > 0:
		return []string{name}
	case v.Type() == timeType:
		return nil
	case v.Kind() == reflect.Pointer && v.Elem().Kind() == reflect.Struct:
		return zeroFields(name, v.Elem())
	case v.Kind() == reflect.Slice:
		return zeroFields(name+"[]", v.Index(0))
	case v.Kind() == reflect.Struct:
		var zero []string
		for _, field := range encodedFields(v) {
			zero = append(zero, zeroFields(name+"."+field.name, field.value)...)
		}
		return zero
	}
	return nil
}

type encodedField struct {
	name  string
	value reflect.Value
}

func encodedFields(v reflect.Value) []encodedField {
	var fields []encodedField
	for i := range v.NumField() {
		field := v.Type().Field(i)
		if tag := field.Tag.Get("json"); field.IsExported() && !strings.HasPrefix(tag, "-") {
			fields = append(fields, encodedField{field.Name, v.Field(i)})
		}
	}
	return fields
}
