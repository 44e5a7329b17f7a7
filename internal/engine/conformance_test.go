package engine

import (
	"context"
	"net"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/swarm-go/swarm"
	"github.com/swarm-go/swarm/internal/conformance"
	"github.com/swarm-go/swarm/internal/conformance/program"
)

// All behaviours with one engine, many at a time, as with real ones; looking for races
// with one release.
func TestEngineBehavesLikeARealOne(t *testing.T) {
	for i, release := range releases {
		if i%oneIn != 0 {
			continue
		}
		t.Run(release.Name, func(t *testing.T) {
			t.Parallel()
			target, manager := conformanceTarget(t, release)
			_, err := manager.InitSwarm(swarm.InitOptions{})
			require.NoError(t, err)
			target.Outside = func(t *testing.T) conformance.Target {
				target, _ := conformanceTarget(t, release)
				return target
			}
			conformance.Run(t, target)
		})
	}
}

// Each behaviour by itself, with an engine of its own, in no time. What is so of the
// newest release alone was measured on engines too, but no real one of it is tested
// with here.
func TestEngineHasEachBehaviour(t *testing.T) {
	for i, release := range releases {
		t.Run(release.Name, func(t *testing.T) {
			for j, behaviour := range conformance.All() {
				if (i+j)%oneIn != 0 {
					continue
				}
				t.Run(behaviour.ID, func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) { holdsAlone(t, release, behaviour) })
				})
			}
		})
	}
}

func holdsAlone(t *testing.T, release *Release, behaviour conformance.Behaviour) {
	target, daemon := conformanceTarget(t, release)
	if behaviour.Needs != conformance.OutsideSwarm {
		_, err := daemon.InitSwarm(swarm.InitOptions{})
		require.NoError(t, err)
	}
	conformance.Check(t, target, behaviour)
}

// conformanceTarget is an engine in a world of its own, in no swarm.
func conformanceTarget(t *testing.T, release *Release) (conformance.Target, *Daemon) {
	world := NewWorld(RealClock{}, 1)
	t.Cleanup(world.Close)
	for _, ref := range []string{"conformance:1", "conformance:2"} {
		require.NoError(t, world.SetImage(ref, Image{Run: func(c *Container) int { return program.Run(c) }}))
	}
	world.RefuseUnknownImages = true
	daemon := world.AddDaemon(DaemonConfig{Release: release})
	t.Cleanup(daemon.Server().Close)
	major, rest, _ := strings.Cut(release.Engine, ".")
	minor, _, _ := strings.Cut(rest, ".")
	return conformance.Target{
		Release:    major + "." + minor,
		APIVersion: "1." + strconv.Itoa(release.API),
		Image:      "conformance:1",
		OtherImage: "conformance:2",
		Addr:       daemon.address,
		Dial: func(ctx context.Context) (net.Conn, error) {
			return daemon.Server().DialContext(ctx, "tcp", "engine")
		},
	}, daemon
}
