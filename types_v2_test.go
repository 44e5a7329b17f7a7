//go:build go1.27

package swarm_test

import (
	jsonv1 "encoding/json"
	"encoding/json/v2"
)

// encoding/json/v2 by itself knows no format for durations, and makes [] of a
// nil slice where encoding/json makes null.
func init() {
	options := json.JoinOptions(jsonv1.FormatDurationAsNano(true), json.FormatNilSliceAsNull(true), json.FormatNilMapAsNull(true))
	codecs = append(codecs, codec{
		name:      "encoding/json/v2",
		marshal:   func(v any) ([]byte, error) { return json.Marshal(v, options) },
		unmarshal: func(data []byte, v any) error { return json.Unmarshal(data, v, options) },
	})
}
