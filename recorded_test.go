package swarm_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/swarm-go/swarm"
)

// recordedObject is one JSON document and where it comes from.
type recordedObject struct {
	name string
	json []byte
}

// kind is a kind of object that engines answer with.
type kind struct {
	name string
	// has is a member that tells it from the kinds below it.
	has string
	// survives is nil for kinds that the library has no type for.
	survives func(t *testing.T, c codec, object recordedObject)
}

var kinds = []kind{
	{"task", "DesiredState", survives[swarm.Task]},
	{"service", "Spec.TaskTemplate", survives[swarm.Service]},
	{"node", "Spec.Role", survives[swarm.Node]},
	{"cluster", "JoinTokens", survives[swarm.Cluster]},
	{"config", "Spec.Data", survives[swarm.Config]},
	{"secret", "Spec.Name", survives[swarm.Secret]},
	{"network", "IPAM", survives[swarm.Network]},
	{"created network", "Warning", survives[swarm.CreatedNetwork]},
	{"volume", "Mountpoint", survives[swarm.Volume]},
	{"disk usage", "LayersSize", survives[swarm.DiskUsage]},
	{"volumes", "Volumes", survives[swarm.VolumeList]},
	{"info", "ServerVersion", survives[swarm.EngineInfo]},
	{"version", "ApiVersion", survives[swarm.EngineVersion]},
	{"event", "Action", survives[swarm.Event]},
	{"distribution", "Descriptor", survives[swarm.ImageDistribution]},
	{"credentials", "IdentityToken", survives[swarm.AuthResult]},

	{"changed service", "Warnings", nil},    // a ServiceChange says more
	{"unlock key", "UnlockKey", nil},        // a string here
	{"created config or secret", "ID", nil}, // a string here
}

func TestRecordedObjectsAreEncodedAsTheyWere(t *testing.T) {
	t.Parallel()
	recorded := recordedObjects(t)
	for _, c := range codecs {
		t.Run(c.name, func(t *testing.T) {
			for _, kind := range kinds {
				for i := 0; kind.survives != nil && i < len(recorded[kind.name]); i += swarm.OneIn {
					kind.survives(t, c, recorded[kind.name][i])
				}
			}
		})
	}
}

// The recordings hold every kind of object, of every engine.
func TestEveryKindOfObjectIsRecorded(t *testing.T) {
	recorded := recordedObjects(t)
	unanswered := map[string]bool{"distribution": true, "credentials": true} // registries are out of reach where this was recorded
	for _, kind := range kinds {
		for _, engine := range allEngines {
			count := 0
			for _, object := range recorded[kind.name] {
				if strings.HasPrefix(object.name, engine) {
					count++
				}
			}
			assert.Equal(t, !unanswered[kind.name], count > 0, "%s of %s", kind.name, engine)
		}
	}
	assert.Greater(t, len(recorded["service"]), 3000)
	assert.Greater(t, len(recorded["event"]), 300)
	assert.Greater(t, len(recorded["network"]), 80)
	assert.Greater(t, len(recorded["task"]), 60)
	assert.Greater(t, len(recorded["volume"]), 30)
	assert.Greater(t, len(recorded["info"]), 24)
}

func survives[T any](t *testing.T, c codec, object recordedObject) { assertSurvives[T](t, c, object) }

// recordedObjects are the objects of all recorded answers that say yes, by kind:
// also those in lists, in streams and in answers that were cut.
func recordedObjects(t *testing.T) map[string][]recordedObject {
	t.Helper()
	recorded, err := readRecorded()
	require.NoError(t, err)
	return recorded
}

var readRecorded = sync.OnceValues(func() (map[string][]recordedObject, error) {
	const folder = "testdata/captures/"
	files, err := filepath.Glob(folder + "*/*.http")
	if err != nil {
		return nil, err
	}
	found := map[string][]recordedObject{}
	for _, file := range files {
		objects, err := objectsIn(file)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		for _, object := range objects {
			kind, err := kindOf(object)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", file, err)
			}
			found[kind] = append(found[kind], recordedObject{strings.TrimPrefix(file, folder), object})
			for _, volume := range volumesIn(object) {
				found["volume"] = append(found["volume"], recordedObject{strings.TrimPrefix(file, folder), volume})
			}
		}
	}
	return found, nil
})

func volumesIn(object json.RawMessage) []json.RawMessage {
	var list struct{ Volumes []json.RawMessage }
	_ = json.Unmarshal(object, &list) // nothing else has such a member
	return list.Volumes
}

// objectsIn are the JSON objects of an answer.
func objectsIn(file string) (objects []json.RawMessage, err error) {
	recorded, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	response, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(recorded)), nil)
	if err != nil || response.StatusCode/100 != 2 || response.Header.Get("Content-Type") != "application/json" {
		return nil, nil // cut, or not an answer with objects
	}
	for decoder := json.NewDecoder(response.Body); ; {
		var document json.RawMessage
		switch err := decoder.Decode(&document); {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return objects, nil
		case err != nil:
			return nil, err
		}
		objects = append(objects, elementsOf(document)...)
	}
}

// elementsOf are the elements of a list, an object itself, and of texts nothing.
func elementsOf(document json.RawMessage) []json.RawMessage {
	var list []json.RawMessage
	switch {
	case document[0] == '{':
		return []json.RawMessage{document}
	case document[0] == '[' && json.Unmarshal(document, &list) == nil:
		return list
	}
	return nil
}

func kindOf(object json.RawMessage) (string, error) {
	var members struct {
		own  map[string]json.RawMessage
		spec map[string]json.RawMessage
	}
	if err := json.Unmarshal(object, &members.own); err != nil {
		return "", err
	}
	_ = json.Unmarshal(members.own["Spec"], &members.spec) // most have none
	for _, kind := range kinds {
		of := members.own
		name, inSpec := strings.CutPrefix(kind.has, "Spec.")
		if inSpec {
			of = members.spec
		}
		if _, has := of[name]; has {
			return kind.name, nil
		}
	}
	return "", fmt.Errorf("an object of no known kind: %.200s", object)
}
