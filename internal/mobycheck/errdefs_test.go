package mobycheck

import (
	"fmt"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/stretchr/testify/assert"

	ours "github.com/swarm-go/swarm"
)

// Programs that ask with errdefs, as moby's client wants it, go on working.
func TestErrorsAnswerToErrdefs(t *testing.T) {
	for err, is := range map[error]func(error) bool{
		ours.ErrNotFound:        errdefs.IsNotFound,
		ours.ErrNameConflict:    errdefs.IsConflict,
		ours.ErrVersionConflict: errdefs.IsConflict,
		ours.ErrInvalid:         errdefs.IsInvalidArgument,
		ours.ErrInUse:           errdefs.IsFailedPrecondition,
		ours.ErrUnauthorized:    errdefs.IsUnauthorized,
		ours.ErrForbidden:       errdefs.IsPermissionDenied,
		ours.ErrUnsupported:     errdefs.IsNotImplemented,
		ours.ErrNotManager:      errdefs.IsUnavailable,
		ours.ErrNoLeader:        errdefs.IsUnavailable,
		ours.ErrUnreachable:     errdefs.IsUnavailable,
		ours.ErrProtocol:        errdefs.IsUnknown,
	} {
		assert.True(t, is(err), "%v", err)
		assert.True(t, is(fmt.Errorf("deploy: %w", err)), "wrapped %v", err)
	}
	assert.False(t, errdefs.IsNotFound(ours.ErrInvalid))
	assert.False(t, errdefs.IsConflict(ours.ErrNotFound))
}
