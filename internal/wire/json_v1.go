//go:build !go1.27

package wire

import (
	"bytes"
	"encoding/json"
)

// Marshal encodes v without escaping HTML.
func Marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

func unmarshal(data []byte, v any) error {
	return json.Unmarshal(data, v)
}
