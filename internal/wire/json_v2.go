//go:build go1.27

package wire

import (
	jsonv1 "encoding/json"
	"encoding/json/jsontext"
	"encoding/json/v2"
)

// options make the new implementation say what the old one does.
var options = json.JoinOptions(
	jsonv1.FormatDurationAsNano(true),
	json.FormatNilSliceAsNull(true),
	json.FormatNilMapAsNull(true),
	json.MatchCaseInsensitiveNames(true),
	json.Deterministic(true),
	jsontext.AllowInvalidUTF8(true),
	jsontext.AllowDuplicateNames(true),
)

// Marshal encodes v without escaping HTML.
func Marshal(v any) ([]byte, error) {
	return json.Marshal(v, options)
}

func unmarshal(data []byte, v any) error {
	return json.Unmarshal(data, v, options)
}
