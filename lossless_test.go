package swarm

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/swarm-go/swarm/internal/wire"
)

// inventor makes up JSON objects: every member of a type absent, null, empty or
// set, and members that no type has at every depth.
type inventor struct {
	*rand.Rand
	depth int
}

func (r *inventor) object(t reflect.Type) map[string]any {
	r.depth++
	defer func() { r.depth-- }()
	object := map[string]any{}
	for i := range t.NumField() {
		field := t.Field(i)
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if name == "-" {
			continue
		}
		if name == "" {
			name = field.Name
		}
		switch r.IntN(5) {
		case 0: // absent
		case 1:
			object[name] = nil
		case 2:
			object[name] = r.value(field.Type, true)
		default:
			object[name] = r.value(field.Type, r.depth > 6)
		}
	}
	for range r.IntN(3) {
		object[fmt.Sprintf("Unknown%d", r.IntN(100))] = r.unknown()
	}
	return object
}

func (r *inventor) value(t reflect.Type, empty bool) any {
	switch {
	case t == reflect.TypeFor[time.Time]():
		return time.Unix(r.Int64N(1<<33), r.Int64N(1e9)).UTC().Format(time.RFC3339Nano)
	case t == reflect.TypeFor[[]byte]():
		return base64.StdEncoding.EncodeToString(make([]byte, map[bool]int{false: 5}[empty]))
	case t.Kind() == reflect.Pointer:
		return r.value(t.Elem(), empty)
	case t.Kind() == reflect.Struct && empty:
		return map[string]any{}
	case t.Kind() == reflect.Struct:
		return r.object(t)
	case t.Kind() == reflect.Slice:
		return r.list(t.Elem(), empty)
	case t.Kind() == reflect.Map:
		return r.mapping(t.Elem(), empty)
	case t.Kind() == reflect.Bool:
		return !empty
	case t.Kind() == reflect.String && empty:
		return ""
	case t.Kind() == reflect.String:
		return fmt.Sprintf("<%d>&ü", r.IntN(1000))
	case empty:
		return json.Number("0")
	case t.Kind() == reflect.Float64:
		return json.Number("0.25")
	}
	return json.Number(fmt.Sprint(1 + r.IntN(100)))
}

func (r *inventor) list(element reflect.Type, empty bool) []any {
	list := []any{}
	for i := 0; !empty && i < r.IntN(4); i++ {
		item := r.value(element, false)
		for _, key := range []string{"Target", "URL", "Key", "SecretID", "ConfigID"} { // what tells the elements apart
			if object, ok := item.(map[string]any); ok && hasMember(element, key) {
				object[key] = fmt.Sprintf("/%d", i)
			}
		}
		list = append(list, item)
	}
	return list
}

func hasMember(t reflect.Type, name string) bool {
	field, ok := t.FieldByName(name)
	return ok && field.Type.Kind() == reflect.String
}

func (r *inventor) mapping(element reflect.Type, empty bool) map[string]any {
	mapping := map[string]any{}
	for i := 0; !empty && i < r.IntN(4); i++ {
		mapping[fmt.Sprintf("key.%d", i)] = r.value(element, r.IntN(4) == 0)
	}
	return mapping
}

func (r *inventor) unknown() any {
	return []any{json.Number("1e3"), json.Number("12345678901234567890"), "x", nil, true, []any{}, map[string]any{},
		[]any{map[string]any{"Deep": []any{nil, "y"}}}}[r.IntN(8)]
}

// at is the object behind a path, made where there is none.
func at(object map[string]any, path ...string) map[string]any {
	for _, name := range path {
		next, ok := object[name].(map[string]any)
		if !ok {
			next = map[string]any{}
			object[name] = next
		}
		object = next
	}
	return object
}

func listAt(object map[string]any, name string) []any {
	list, _ := object[name].([]any)
	return list
}

// specEdits are changes as a user makes them, and what they mean for the JSON.
var specEdits = map[string]struct {
	edit   func(*ServiceSpec)
	expect func(map[string]any)
}{
	"nothing": {func(*ServiceSpec) {}, func(map[string]any) {}},
	"a scalar": {
		func(s *ServiceSpec) { s.TaskTemplate.ContainerSpec.Hostname = "changed" },
		func(o map[string]any) { at(o, "TaskTemplate", "ContainerSpec")["Hostname"] = "changed" },
	},
	"labels": {
		func(s *ServiceSpec) { s.Labels = map[string]string{"only": "this"} },
		func(o map[string]any) { o["Labels"] = map[string]any{"only": "this"} },
	},
	"one environment variable more": {
		func(s *ServiceSpec) {
			s.TaskTemplate.ContainerSpec.Env = append(s.TaskTemplate.ContainerSpec.Env, "NEW=1")
		},
		func(o map[string]any) {
			c := at(o, "TaskTemplate", "ContainerSpec")
			c["Env"] = append(listAt(c, "Env"), "NEW=1")
		},
	},
	"a member removed": {
		func(s *ServiceSpec) { s.TaskTemplate.ContainerSpec.Healthcheck = nil },
		func(o map[string]any) {
			if c := at(o, "TaskTemplate", "ContainerSpec"); c["Healthcheck"] != nil {
				delete(c, "Healthcheck")
			}
		},
	},
	"the first mount removed": {
		func(s *ServiceSpec) {
			if c := &s.TaskTemplate.ContainerSpec; len(c.Mounts) > 0 {
				c.Mounts = c.Mounts[1:]
			}
		},
		func(o map[string]any) {
			if c := at(o, "TaskTemplate", "ContainerSpec"); len(listAt(c, "Mounts")) > 0 {
				c["Mounts"] = listAt(c, "Mounts")[1:]
			}
		},
	},
	"mounts turned round": {
		func(s *ServiceSpec) { reverse(s.TaskTemplate.ContainerSpec.Mounts) },
		func(o map[string]any) { reverse(listAt(at(o, "TaskTemplate", "ContainerSpec"), "Mounts")) },
	},
	"one member of the last mount": {
		func(s *ServiceSpec) {
			if m := s.TaskTemplate.ContainerSpec.Mounts; len(m) > 0 {
				m[len(m)-1].Source = "changed"
			}
		},
		func(o map[string]any) {
			if m := listAt(at(o, "TaskTemplate", "ContainerSpec"), "Mounts"); len(m) > 0 {
				m[len(m)-1].(map[string]any)["Source"] = "changed"
			}
		},
	},
	"names of the secrets, turned round": {
		func(s *ServiceSpec) {
			for i := range s.TaskTemplate.ContainerSpec.Secrets {
				s.TaskTemplate.ContainerSpec.Secrets[i].SecretName = "changed"
			}
			reverse(s.TaskTemplate.ContainerSpec.Secrets)
		},
		func(o map[string]any) {
			secrets := listAt(at(o, "TaskTemplate", "ContainerSpec"), "Secrets")
			for _, secret := range secrets {
				secret.(map[string]any)["SecretName"] = "changed"
			}
			reverse(secrets)
		},
	},
	"names of the configs, turned round": {
		func(s *ServiceSpec) {
			for i := range s.TaskTemplate.ContainerSpec.Configs {
				s.TaskTemplate.ContainerSpec.Configs[i].ConfigName = "changed"
			}
			reverse(s.TaskTemplate.ContainerSpec.Configs)
		},
		func(o map[string]any) {
			configs := listAt(at(o, "TaskTemplate", "ContainerSpec"), "Configs")
			for _, config := range configs {
				config.(map[string]any)["ConfigName"] = "changed"
			}
			reverse(configs)
		},
	},
	"a network in front": {
		func(s *ServiceSpec) {
			s.TaskTemplate.Networks = append([]NetworkAttachmentConfig{{Target: "new"}}, s.TaskTemplate.Networks...)
		},
		func(o map[string]any) {
			t := at(o, "TaskTemplate")
			t["Networks"] = append([]any{map[string]any{"Target": "new"}}, listAt(t, "Networks")...)
		},
	},
}

func reverse[T any](list []T) {
	for i, j := 0, len(list)-1; i < j; i, j = i+1, j-1 {
		list[i], list[j] = list[j], list[i]
	}
}

// What is written back is what was there but for the change asked for, whatever
// combination of absent, null, empty and set was there, known or not.
func TestChangesTouchNothingElse(t *testing.T) {
	t.Parallel()
	for seed := uint64(0); seed < 1000; seed += OneIn {
		r := &inventor{Rand: rand.New(rand.NewPCG(seed, 1))}
		spec := r.object(reflect.TypeFor[ServiceSpec]())
		raw := encodeTree(t, map[string]any{"ID": "x", "Spec": spec})
		for name, test := range specEdits {
			service, err := decodeService(raw)
			require.NoError(t, err, string(raw))
			test.edit(&service.Spec)
			_, changed, err := changedSpec(service.Raw, service.Spec)
			require.NoError(t, err)
			want := decodeTree(t, raw)["Spec"].(map[string]any)
			test.expect(want)
			if got := decodeTree(t, changed.Append(nil)); !assert.Equal(t, tidy(want), tidy(got), "seed %d: %s\nof %s", seed, name, raw) {
				return
			}
		}
	}
}

// The other resources that can be written back: a spec made up, one change of it,
// and what that means for the JSON.
func TestChangesOfEveryOtherResourceTouchNothingElse(t *testing.T) {
	t.Parallel()
	labels, changed := map[string]string{"only": "this"}, map[string]any{"only": "this"}
	t.Run("node", func(t *testing.T) {
		assertTouchesNothingElse(t, func(s *NodeSpec) { s.Labels = labels }, func(o map[string]any) { o["Labels"] = changed })
		assertTouchesNothingElse(t, func(s *NodeSpec) { s.Role = RoleManager }, func(o map[string]any) { o["Role"] = "manager" })
	})
	t.Run("secret", func(t *testing.T) {
		assertTouchesNothingElse(t, func(s *SecretSpec) { s.Labels = labels }, func(o map[string]any) { o["Labels"] = changed })
	})
	t.Run("config", func(t *testing.T) {
		assertTouchesNothingElse(t, func(s *ConfigSpec) { s.Labels = labels }, func(o map[string]any) { o["Labels"] = changed })
	})
	t.Run("swarm", func(t *testing.T) {
		assertTouchesNothingElse(t, func(s *SwarmSpec) { s.Labels = labels }, func(o map[string]any) { o["Labels"] = changed })
		assertTouchesNothingElse(t, func(s *SwarmSpec) { s.CAConfig.NodeCertExpiry = 1 << 50 },
			func(o map[string]any) { at(o, "CAConfig")["NodeCertExpiry"] = json.Number("1125899906842624") })
		assertTouchesNothingElse(t, func(s *SwarmSpec) { reverse(s.CAConfig.ExternalCAs) },
			func(o map[string]any) {
				if ca, ok := o["CAConfig"].(map[string]any); ok {
					reverse(listAt(ca, "ExternalCAs"))
				}
			})
	})
	t.Run("volume", func(t *testing.T) {
		assertTouchesNothingElse(t, func(s *ClusterVolumeSpec) { s.Availability = VolumeDrain }, func(o map[string]any) { o["Availability"] = "drain" })
		assertTouchesNothingElse(t, func(s *ClusterVolumeSpec) {
			for i := range s.Secrets {
				s.Secrets[i].Secret = "changed"
			}
			reverse(s.Secrets)
		}, func(o map[string]any) {
			secrets := listAt(o, "Secrets")
			for _, secret := range secrets {
				secret.(map[string]any)["Secret"] = "changed"
			}
			reverse(secrets)
		})
	})
}

func assertTouchesNothingElse[S any](t *testing.T, edit func(*S), expect func(map[string]any)) {
	t.Helper()
	for seed := uint64(0); seed < 500; seed += OneIn {
		r := &inventor{Rand: rand.New(rand.NewPCG(seed, 2))}
		raw := encodeTree(t, map[string]any{"ID": "x", "Spec": r.object(reflect.TypeFor[S]())})
		var object struct{ Spec S }
		require.NoError(t, wire.Unmarshal(raw, &object), string(raw))
		_, untouched, err := changedSpec(raw, object.Spec)
		require.NoError(t, err)
		want := decodeTree(t, raw)["Spec"].(map[string]any)
		require.Equal(t, want, decodeTree(t, untouched.Append(nil)), "seed %d: nothing\nof %s", seed, raw)
		edit(&object.Spec)
		_, changed, err := changedSpec(raw, object.Spec)
		require.NoError(t, err)
		expect(want)
		require.Equal(t, want, decodeTree(t, changed.Append(nil)), "seed %d\nof %s", seed, raw)
	}
}

// tidy drops objects that at made while looking and that stayed empty: the
// oracle's own traces. Both sides lose the same.
func tidy(object map[string]any) map[string]any {
	for _, name := range []string{"TaskTemplate"} {
		template, ok := object[name].(map[string]any)
		if !ok || object[name] == nil {
			delete(object, name)
			continue
		}
		if container, ok := template["ContainerSpec"].(map[string]any); !ok || len(container) == 0 {
			delete(template, "ContainerSpec")
		}
		if len(template) == 0 {
			delete(object, name)
		}
	}
	return object
}

func encodeTree(t *testing.T, tree any) []byte {
	t.Helper()
	encoded, err := json.Marshal(tree)
	require.NoError(t, err)
	return encoded
}

func decodeTree(t *testing.T, encoded []byte) map[string]any {
	t.Helper()
	decoder := json.NewDecoder(bytes.NewReader(encoded))
	decoder.UseNumber()
	var tree map[string]any
	require.NoError(t, decoder.Decode(&tree), string(encoded))
	return tree
}

// Engines keep a field that is newer than this library only if the request has
// their own version.
func TestSpecWithUnknownFieldsIsSentAtTheEnginesOwnVersion(t *testing.T) {
	const spec = `{"Name":"x","FromTheFuture":{"x":1e3},"TaskTemplate":{"ContainerSpec":{"Image":"i"},"ForceUpdate":0}}`
	node, err := wire.Parse([]byte(spec))
	require.NoError(t, err)
	use, encoded, err := encodeService(node, negotiation{use: maxVersion, engine: version{1, 60}})
	require.NoError(t, err)
	assert.Equal(t, version{1, 60}, use)
	assert.Equal(t, spec, string(encoded))
	_, _, err = encodeService(node, negotiation{use: maxVersion})
	var tooOld *VersionError
	require.ErrorAs(t, err, &tooOld)
	assert.Equal(t, VersionError{Field: "ServiceSpec.FromTheFuture", Have: maxVersion.String()}, *tooOld)
}

// Whatever an engine sends, a change of it is JSON with that change, and nothing
// if there is none.
func FuzzChangedSpec(f *testing.F) {
	for _, seed := range []string{
		`{"ID":"x","Spec":{"Labels":{"a":"b"},"Role":"worker","Availability":"active","New":{"x":[null]}}}`,
		`{"ID":"x","Spec":{"Availability":{"x":1},"Availability":null}}`,
		`{"ID":"x","spec":{"availability":"drain"},"SPEC":null}`,
		`{"ID":"x","Spec":null}`, `{"ID":"x"}`, `{"ID":"x","Spec":[]}`, `{}`, `[`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		node, err := decodeNode(raw)
		if err != nil {
			return
		}
		var object struct{ Spec json.RawMessage }
		if wire.Unmarshal(raw, &object) != nil {
			return
		}
		node.Spec.Availability = "pause"
		_, changed, err := changedSpec(raw, node.Spec)
		if err != nil {
			return
		}
		var sent NodeSpec
		require.NoError(t, wire.Unmarshal(changed.Append(nil), &sent))
		assert.Equal(t, NodePause, sent.Availability)

		node.Raw = json.RawMessage(`{"Spec":` + string(changed.Append(nil)) + `}`)
		before, after, err := changedSpec(node.Raw, sent)
		require.NoError(t, err)
		assert.True(t, after.Equal(before), "%s became %s", before.Append(nil), after.Append(nil))
	})
}
