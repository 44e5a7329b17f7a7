//go:build integration

package integration

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/swarm-go/swarm"
	"github.com/swarm-go/swarm/integration/engines"
)

func TestInfoAndVersionOfTheEngine(t *testing.T) {
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		client := newClient(t, e)
		info, err := client.System.Info(t.Context())
		require.NoError(t, err)
		assert.Equal(t, e.Version, info.ServerVersion)
		assert.Equal(t, "linux", info.OSType)
		assert.Positive(t, info.NCPU)
		assert.Positive(t, info.MemTotal)
		assert.Contains(t, info.Plugins.Network, "overlay")
		assert.Contains(t, info.Runtimes, info.DefaultRuntime)
		assert.GreaterOrEqual(t, info.Images, 3)
		assert.Equal(t, swarm.LocalActive, info.Swarm.LocalNodeState)
		assert.True(t, info.Swarm.ControlAvailable)
		assert.Len(t, info.Swarm.NodeID, 25)
		assert.NotEmpty(t, info.Swarm.RemoteManagers)
		assert.Positive(t, info.Swarm.Nodes)
		assert.Positive(t, info.Swarm.Managers)
		require.NotNil(t, info.Swarm.Cluster)
		assert.Len(t, info.Swarm.Cluster.ID, 25)
		assert.Empty(t, info.Swarm.Cluster.JoinTokens)
		version, err := client.System.Version(t.Context())
		require.NoError(t, err)
		assert.Equal(t, "Engine", version.Components[0].Name)
		assert.Equal(t, e.Version, version.Components[0].Version)
		assert.Equal(t, info.KernelVersion, version.KernelVersion)
	})
}

func TestInfoOutsideOfASwarm(t *testing.T) {
	onEveryOwnEngine(t, func(t *testing.T, e *engines.Engine) {
		info, err := newClient(t, e).System.Info(t.Context())
		require.NoError(t, err)
		assert.Equal(t, swarm.SwarmInfo{LocalNodeState: swarm.LocalInactive}, info.Swarm)
	})
}

func TestDiskUsageOfTheEngine(t *testing.T) {
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		client := newClient(t, e)
		usage, err := client.System.DiskUsage(t.Context(), nil)
		require.NoError(t, err)
		assert.GreaterOrEqual(t, usage.Images.Count, int64(3))
		assert.Positive(t, usage.Images.SizeBytes)
		assert.GreaterOrEqual(t, usage.Images.SizeBytes, usage.Images.ReclaimableBytes)

		_, err = client.System.DiskUsage(t.Context(), &swarm.DiskUsageOptions{Verbose: true})
		assert.ErrorIs(t, err, swarm.ErrUnsupported, "engines answer in the old form")

		usage, err = client.System.DiskUsage(t.Context(), &swarm.DiskUsageOptions{Types: []swarm.DiskUsageType{swarm.DiskUsageContainers, swarm.DiskUsageBuildCache}})
		if e.APIVersion == "1.41" {
			assert.ErrorIs(t, err, swarm.ErrUnsupported)
			return
		}
		require.NoError(t, err)
		assert.Zero(t, usage.Images)
		assert.Zero(t, usage.Volumes)
	})
}

func TestRegistriesThatTheEngineCannotReach(t *testing.T) {
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		client := newClient(t, e)
		auth := swarm.RegistryAuth{Username: "u", Password: "s3cret", ServerAddress: "127.0.0.1:1"}
		_, err := client.System.CheckAuth(t.Context(), auth)
		assert.ErrorIs(t, err, swarm.ErrUnavailable)
		assert.ErrorContains(t, err, "connection refused")
		assert.NotContains(t, fmt.Sprintf("%+v", err), "s3cret")
		auth.ServerAddress = "http://x y"
		_, err = client.System.CheckAuth(t.Context(), auth)
		assert.ErrorIs(t, err, swarm.ErrInvalid)
		auth.ServerAddress = "127.0.0.1:1"
		for image, want := range map[string]error{
			"127.0.0.1:1/team/web:1": swarm.ErrUnavailable,
			"127.0.0.1:1/web@sha256:" + strings.Repeat("0123456789abcdef", 4): swarm.ErrUnavailable,
			"UPPER":                                  swarm.ErrInvalid,
			"a b":                                    swarm.ErrInvalid,
			strings.Repeat("0123456789abcdef", 4):    swarm.ErrInvalid,
			"127.0.0.1:1/a/../../../../v1.41/info?x": swarm.ErrInvalid,
		} {
			_, err := client.System.InspectDistribution(t.Context(), image, &swarm.DistributionInspectOptions{Auth: &auth})
			assert.ErrorIs(t, err, want, image)
			assert.NotContains(t, fmt.Sprintf("%+v", err), "s3cret")
		}
	})
}
