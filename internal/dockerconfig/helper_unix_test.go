//go:build unix

package dockerconfig

import (
	"context"
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestHelpersThatHangEndWithTheirChildren(t *testing.T) {
	k := newKeychain(t, nil)
	_, err := runHelperFor(t.Context(), 300*time.Millisecond, "hangs", "r.example.com")
	assert.EqualError(t, err, "it did not answer within 300ms")
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		for len(k.asked(t)) < 6 { // until the second one runs
			time.Sleep(time.Millisecond)
		}
		cancel()
	}()
	_, err = runHelper(ctx, "hangs", "r.example.com")
	assert.ErrorIs(t, err, context.Canceled)
	fields := k.asked(t)
	for _, pid := range []string{fields[2], fields[5]} {
		var group int
		_, err := fmt.Sscan(pid, &group)
		require.NoError(t, err)
		assert.Eventually(t, func() bool { return syscall.Kill(-group, 0) == syscall.ESRCH }, 10*time.Second, 10*time.Millisecond)
	}
}
