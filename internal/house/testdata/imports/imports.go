// Package imports what only tests need.
package imports

import "github.com/swarm-go/swarm/internal/house/testdata/imports/through"

var _ = through.Recorder
