//go:build integration

package integration

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/swarm-go/swarm"
	"github.com/swarm-go/swarm/integration/engines"
)

// answers are what engines are asked for at every API version, and the type
// that it is decoded into.
var answers = map[string]reflect.Type{
	"/info":                        reflect.TypeFor[swarm.EngineInfo](),
	"/version":                     reflect.TypeFor[swarm.EngineVersion](),
	"/events?since=1&until=$now":   reflect.TypeFor[swarm.Event](),
	"/swarm":                       reflect.TypeFor[swarm.Cluster](),
	"/nodes/$node":                 reflect.TypeFor[swarm.Node](),
	"/services/$service":           reflect.TypeFor[swarm.Service](),
	"/secrets/$secret":             reflect.TypeFor[swarm.Secret](),
	"/configs/$config":             reflect.TypeFor[swarm.Config](),
	"/networks/$network?verbose=1": reflect.TypeFor[swarm.Network](),
	"/networks/bridge":             reflect.TypeFor[swarm.Network](),
	"/volumes/$volume":             reflect.TypeFor[swarm.Volume](),
}

// ceased is what engines no longer say in newer versions.
var ceased = []string{
	"EngineInfo.BridgeNfIptables",
	"EngineInfo.BridgeNfIp6tables",
	"EngineInfo.KernelMemory",
	"EngineInfo.KernelMemoryTCP",
	"EngineInfo.ExecutionDriver",
	"ComponentCommit.Expected",
	"RegistryServiceConfig.AllowNondistributableArtifactsCIDRs",
	"RegistryServiceConfig.AllowNondistributableArtifactsHostnames",
}

func TestEnginesAnswerWithFieldsAsTheTableOfVersionsSays(t *testing.T) {
	rows := versionRows(t)
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		v := newVersionsTest(t, e)
		for path, as := range answers {
			newest := v.members(path, as, v.newest)
			require.NotEmpty(t, newest, path)
			for minor := v.oldest; minor <= v.newest; minor++ {
				want := map[string]bool{}
				for what := range newest {
					row := rows[what]
					assert.LessOrEqual(t, row.minor, v.newest, "%s is there before", what)
					want[what] = row.below != "stripped" || minor >= row.minor
				}
				got := v.members(path, as, minor)
				for _, what := range ceased {
					delete(got, what)
					delete(want, what)
				}
				assert.Equal(t, without(want), got, "%s at 1.%d", path, minor)
			}
		}
	})
}

// without leaves out what is false.
func without(set map[string]bool) map[string]bool {
	maps.DeleteFunc(set, func(_ string, in bool) bool { return !in })
	return set
}

// members are the rows of the members that an answer has, in a request of the
// given API version.
func (v *versionsTest) members(path string, as reflect.Type, minor int) map[string]bool {
	response, err := v.e.Client().Get(fmt.Sprintf("http://engine/v1.%d%s", minor, v.replace.Replace(path)))
	require.NoError(v.t, err)
	defer response.Body.Close()
	require.Equal(v.t, http.StatusOK, response.StatusCode, "%s at 1.%d", path, minor)
	var answer any
	require.NoError(v.t, json.NewDecoder(response.Body).Decode(&answer), path)
	found := map[string]bool{}
	addMembers(found, answer, as)
	return found
}

func addMembers(found map[string]bool, in any, as reflect.Type) {
	for as.Kind() == reflect.Pointer {
		as = as.Elem()
	}
	switch value := in.(type) {
	case []any:
		for _, item := range value {
			addMembers(found, item, as.Elem())
		}
	case map[string]any:
		switch as.Kind() {
		case reflect.Map:
			for _, item := range value {
				addMembers(found, item, as.Elem())
			}
		case reflect.Struct:
			addFields(found, value, as)
		}
	}
}

func addFields(found map[string]bool, object map[string]any, as reflect.Type) {
	for i := range as.NumField() {
		field := as.Field(i)
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		name = cmp.Or(name, field.Name)
		if member := object[name]; member != nil {
			found[as.Name()+"."+name] = true
			addMembers(found, member, field.Type)
		}
	}
}
