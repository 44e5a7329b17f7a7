package engine

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
)

// Release is an engine release and how it differs from others.
type Release struct {
	// Name is the release: 20.10, 26.1, 28.5.
	Name string
	// Engine is the version that the engine says it is.
	Engine string
	// API and MinAPI are N in 1.N, the newest and the oldest API version it
	// answers.
	API, MinAPI int

	// oldJSON is set for engines that look at no Content-Type and at nothing
	// behind a body's JSON, but refuse an empty body, and whose texts about all
	// that and about filters are different.
	oldJSON bool
	// alwaysJSON is set for engines that refuse in JSON what is too old for it.
	alwaysJSON bool
	// exactVersions is set for engines to whom 1.41.1 is newer than 1.41.
	exactVersions bool
	// specPath is where the engine says that a member of a service's spec is
	// that is none of its own type: what to put before its name.
	specPath string
	// warnings is set for engines that answer with warnings when they have none.
	warnings bool
	// oldNetworks is set for engines with other texts about networks.
	oldNetworks bool
	// brokenIPv6 is set for engines that never set up overlay networks with subnets
	// of both kinds.
	brokenIPv6 bool
	// volumes is set for engines that show a task's cluster volumes, none or not.
	volumes bool
}

// decodingError is what the engine says of a body that it cannot decode. The text
// depends on the version of Go it was built with.
func (r *Release) decodingError(err error) string {
	mistyped, ok := errors.AsType[*json.UnmarshalTypeError](err)
	if !ok || mistyped.Struct == "" {
		return err.Error()
	}
	field := mistyped.Struct + "." + mistyped.Field
	if r.specPath != "" && (field == "ServiceSpec.Name" || field == "ServiceSpec.Labels") {
		field = r.specPath + "." + mistyped.Field
	}
	return fmt.Sprintf("json: cannot unmarshal %s into Go struct field %s of type %v", mistyped.Value, field, mistyped.Type)
}

// brokenStream is how the engine tells of a stream that has broken off, because the
// leader has stopped or because it leads no more.
func (r *Release) brokenStream(stopped bool) error {
	code, reason := "Canceled", "context canceled"
	switch old := r.API < 42; {
	case stopped && old:
		code, reason = "Unavailable", "transport is closing"
	case stopped:
		code, reason = "Unavailable", "error reading from server: EOF"
	case old:
		code = "Unknown"
	}
	return fromManager(http.StatusInternalServerError, code, "%s", []any{reason})
}

// The releases. Newest was measured on an engine built from the sources of API 1.56;
// it is no release yet, and what was not measured of it is as in 28.5.
var (
	Release2010 = &Release{Name: "20.10", Engine: "20.10.24+dfsg1", API: 41, MinAPI: 12, oldJSON: true, oldNetworks: true, exactVersions: true}
	Release261  = &Release{Name: "26.1", Engine: "26.1.5+dfsg1", API: 45, MinAPI: 24,
		alwaysJSON: true, specPath: "ServiceSpec.Annotations", warnings: true, volumes: true}
	Release285 = &Release{Name: "28.5", Engine: "28.5.2+dfsg3", API: 51, MinAPI: 24,
		brokenIPv6: true, warnings: true, volumes: true}
	ReleaseNewest = &Release{Name: "newest", Engine: "29.5.0", API: 56, MinAPI: 40,
		specPath: "serviceWithLegacy.ServiceSpec.Annotations", warnings: true, volumes: true}
)
