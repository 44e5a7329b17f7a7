//go:build plan9

// Not seen by the compiler here.
package imports

import (
	"fmt"
	"testing/iotest"
)

var _, _ = fmt.Sprint, iotest.ErrTimeout
