//go:build go1.27

package swarm_test

import (
	jsonv1 "encoding/json"
	"encoding/json/v2"
)

// encoding/json/v2 by itself knows no format for durations.
func init() {
	codecs = append(codecs, codec{
		name:      "encoding/json/v2",
		marshal:   func(v any) ([]byte, error) { return json.Marshal(v, jsonv1.FormatDurationAsNano(true)) },
		unmarshal: func(data []byte, v any) error { return json.Unmarshal(data, v, jsonv1.FormatDurationAsNano(true)) },
	})
}
