// Package through is between.
package through

import "net/http/httptest"

var Recorder = httptest.NewRecorder
