package mobycheck

import (
	"encoding"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/api/types/events"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/api/types/registry"
	"github.com/moby/moby/api/types/swarm"
	"github.com/moby/moby/api/types/system"
	"github.com/moby/moby/api/types/volume"
	"github.com/stretchr/testify/assert"

	ours "github.com/swarm-go/swarm"
)

// pair is one object in both libraries.
type pair struct{ ours, moby reflect.Type }

// pairs are the objects compared, with all that they hold.
var pairs = []pair{
	{reflect.TypeFor[ours.Service](), reflect.TypeFor[swarm.Service]()},
	{reflect.TypeFor[ours.Task](), reflect.TypeFor[swarm.Task]()},
	{reflect.TypeFor[ours.Node](), reflect.TypeFor[swarm.Node]()},
	{reflect.TypeFor[ours.Config](), reflect.TypeFor[swarm.Config]()},
	{reflect.TypeFor[ours.Secret](), reflect.TypeFor[swarm.Secret]()},
	{reflect.TypeFor[ours.Cluster](), reflect.TypeFor[swarm.Swarm]()},
	{reflect.TypeFor[ours.InitOptions](), reflect.TypeFor[swarm.InitRequest]()},
	{reflect.TypeFor[ours.JoinOptions](), reflect.TypeFor[swarm.JoinRequest]()},
	{reflect.TypeFor[ours.RegistryAuth](), reflect.TypeFor[registry.AuthConfig]()},
	{reflect.TypeFor[ours.Network](), reflect.TypeFor[network.Inspect]()},
	{reflect.TypeFor[ours.NetworkSpec](), reflect.TypeFor[network.CreateRequest]()},
	{reflect.TypeFor[ours.Volume](), reflect.TypeFor[volume.Volume]()},
	{reflect.TypeFor[ours.VolumeSpec](), reflect.TypeFor[volume.CreateRequest]()},
	{reflect.TypeFor[ours.EngineInfo](), reflect.TypeFor[system.Info]()},
	{reflect.TypeFor[ours.EngineVersion](), reflect.TypeFor[system.VersionResponse]()},
	{reflect.TypeFor[ours.AuthResult](), reflect.TypeFor[registry.AuthResponse]()},
	{reflect.TypeFor[ours.ImageDistribution](), reflect.TypeFor[registry.DistributionInspect]()},
	{reflect.TypeFor[ours.CreatedNetwork](), reflect.TypeFor[network.CreateResponse]()},
	{reflect.TypeFor[ours.VolumeList](), reflect.TypeFor[volume.ListResponse]()},
	{reflect.TypeFor[ours.EventActor](), reflect.TypeFor[events.Actor]()},
}

// differences are those that are meant, each with its reason. Every one must
// still be there.
var differences = map[string]string{
	"ServiceSpec.Networks: only here":                "old services still have it; moby's client moves it away",
	"Cluster.JoinTokens: only here":                  "GET /info has the swarm without them, in a type of its own there",
	"EngineInfo.SystemStatus: only there":            "only the swarm of before swarm mode had it",
	"JoinOptions.JoinToken: only there":              "an argument of Join",
	"JoinOptions.RemoteAddrs: only there":            "an argument of Join",
	"RegistryAuth.auth: only there":                  "user and password once more, as in configuration files; engines do not need it",
	"ContainerRuntime.options: list here, map there": "raw JSON here",
	"Volume.Status: list here, map there":            "raw JSON here, so that numbers keep their digits",
}

// gone are members that engines sent once and moby has forgotten, with where they
// were sent.
var gone = map[string]string{
	"ComponentCommit.Expected":                                      "below API 1.49",
	"EngineInfo.BridgeNfIptables":                                   "below API 1.50",
	"EngineInfo.BridgeNfIp6tables":                                  "below API 1.50",
	"EngineInfo.KernelMemory":                                       "below API 1.42",
	"EngineInfo.KernelMemoryTCP":                                    "below API 1.42",
	"EngineInfo.ExecutionDriver":                                    "below API 1.25",
	"RegistryServiceConfig.AllowNondistributableArtifactsCIDRs":     "before engine 28.0",
	"RegistryServiceConfig.AllowNondistributableArtifactsHostnames": "before engine 28.0",
}

func TestTypesAreMobys(t *testing.T) {
	c := &comparison{seen: map[pair]bool{}, used: map[string]bool{}}
	for _, p := range pairs {
		c.compare(p.ours.Name(), p.ours, p.moby)
	}
	slices.Sort(c.found)
	meant := maps.Clone(differences)
	for member, where := range gone {
		meant[member+": only here"] = where
	}
	for _, difference := range slices.Compact(c.found) {
		assert.Contains(t, meant, difference, "types differ")
		c.used[difference] = true
	}
	for difference := range meant {
		assert.True(t, c.used[difference], "is no difference any more: %s", difference)
	}
}

type comparison struct {
	seen  map[pair]bool
	found []string
	used  map[string]bool
}

func (c *comparison) compare(path string, a, b reflect.Type) {
	a, b = pointed(a), pointed(b)
	kindA, kindB := kindOf(a), kindOf(b)
	if kindA != kindB {
		c.found = append(c.found, fmt.Sprintf("%s: %s here, %s there", path, kindA, kindB))
		return
	}
	switch kindA {
	case "list":
		c.compare(path+"[]", a.Elem(), b.Elem())
	case "map":
		c.compare(path+"{}", a.Elem(), b.Elem())
	case "object":
		if p := (pair{a, b}); !c.seen[p] {
			c.seen[p] = true
			c.compareMembers(a.Name(), members(a), members(b))
		}
	}
}

func (c *comparison) compareMembers(path string, a, b map[string]reflect.Type) {
	for name, typeA := range a {
		typeB, ok := b[name]
		if !ok {
			c.found = append(c.found, path+"."+name+": only here")
			continue
		}
		c.compare(path+"."+name, typeA, typeB)
	}
	for name := range b {
		if _, ok := a[name]; !ok {
			c.found = append(c.found, path+"."+name+": only there")
		}
	}
}

func pointed(t reflect.Type) reflect.Type {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t
}

// kindOf is what a type is in JSON.
func kindOf(t reflect.Type) string {
	switch {
	case t == reflect.TypeFor[time.Time](), isText(t):
		return "string"
	case t == reflect.TypeFor[[]byte]():
		return "bytes"
	}
	switch t.Kind() {
	case reflect.Struct:
		return "object"
	case reflect.Slice, reflect.Array:
		return "list"
	case reflect.Map:
		return "map"
	case reflect.String:
		return "string"
	case reflect.Bool:
		return "bool"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "integer"
	case reflect.Float32, reflect.Float64:
		return "number"
	}
	return t.String()
}

// isText reports whether a type makes its own text, and no JSON of its own.
func isText(t reflect.Type) bool {
	pointer := reflect.PointerTo(t) // which has the methods of both
	return pointer.Implements(reflect.TypeFor[encoding.TextMarshaler]()) && !pointer.Implements(reflect.TypeFor[json.Marshaler]())
}

// members are the JSON members of a struct, those of embedded structs included.
func members(t reflect.Type) map[string]reflect.Type {
	all := map[string]reflect.Type{}
	for i := range t.NumField() {
		field := t.Field(i)
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		switch {
		case name == "-", !field.IsExported():
			continue
		case field.Anonymous && name == "":
			for inner, typ := range members(pointed(field.Type)) {
				all[inner] = typ
			}
			continue
		case name == "":
			name = field.Name
		}
		all[name] = field.Type
	}
	return all
}
