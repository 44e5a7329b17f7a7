//go:build integration

package integration

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/swarm-go/swarm/integration/engines"
	"github.com/swarm-go/swarm/internal/conformance"
)

func TestConformance(t *testing.T) {
	if lab != nil { // then on engines of its own
		t.Parallel()
	}
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		version := e.Name
		if e.Owned() {
			// Behaviours leave tasks behind: engine 20.10 never ends those of a job
			// that is removed, not even to drain a node.
			e = ownEngine(t, version)
			require.NoError(t, errors.Join(e.InitSwarm(t.Context()), e.RememberTasks(t.Context()), e.LoadImages(t.Context())))
		}
		target := conformanceTarget(e)
		target.Borrowed = !e.Owned()
		if e.Owned() {
			target.Outside = func(t *testing.T) conformance.Target { return conformanceTarget(ownEngine(t, version)) }
		}
		conformance.Run(t, target)
	})
}

func conformanceTarget(e *engines.Engine) conformance.Target {
	numbers := strings.SplitN(e.Version, ".", 3)
	network, address, _ := strings.Cut(e.Host, "://")
	return conformance.Target{
		Release:    strings.Join(numbers[:2], "."),
		APIVersion: e.APIVersion,
		Image:      engines.Image1,
		OtherImage: engines.Image2,
		Addr:       e.Addr,
		Dial: func(ctx context.Context) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, address)
		},
	}
}
