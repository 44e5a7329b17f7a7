package swarmtest_test

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/swarm-go/swarm"
	"github.com/swarm-go/swarm/swarmtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestAnEngineIsOfTheReleaseThatWasAskedFor(t *testing.T) {
	for release, api := range map[swarmtest.Release]string{
		swarmtest.Engine2010: "1.41", swarmtest.Engine261: "1.45", swarmtest.Engine285: "1.51", swarmtest.Newest: "1.56",
	} {
		engine := swarmtest.Start(t, swarmtest.WithRelease(release), swarmtest.WithoutSwarm())
		version, err := engine.Client().System.Version(t.Context())
		require.NoError(t, err)
		assert.Equal(t, api, version.APIVersion)
		negotiated, err := engine.Client().APIVersion(t.Context())
		require.NoError(t, err)
		assert.Equal(t, api, negotiated)
		info, err := engine.Client().System.Info(t.Context())
		require.NoError(t, err)
		assert.Equal(t, version.Version, info.ServerVersion)
		assert.Equal(t, swarm.LocalInactive, info.Swarm.LocalNodeState)
	}
}

func TestAnEngineWorksInABubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engine := swarmtest.Start(t, swarmtest.WithoutSwarm())
		require.NoError(t, engine.Client().System.Ping(t.Context()))
		synctest.Wait()
	})
}

func TestAnEngineListensForOtherPrograms(t *testing.T) {
	for _, host := range []string{"unix://" + filepath.Join(t.TempDir(), "s"), "tcp://127.0.0.1:0"} {
		engine := swarmtest.Start(t, swarmtest.WithoutSwarm(), swarmtest.WithListen(host))
		client, err := swarm.New(swarm.WithHost(engine.Host()))
		require.NoError(t, err)
		require.NoError(t, client.System.Ping(t.Context()))
		require.NoError(t, client.Close())
		if engine.URL() != "" {
			response, err := http.Get(engine.URL() + "/_ping")
			require.NoError(t, err)
			require.NoError(t, response.Body.Close())
			assert.Equal(t, "inactive", response.Header.Get("Swarm"))
			http.DefaultClient.CloseIdleConnections()
		}
	}
}

func TestAnEngineListensToThisMachineAlone(t *testing.T) {
	for _, host := range []string{"tcp://0.0.0.0:0", "tcp://192.0.2.1:2375", "tcp://:0", "tcp://example.com:0", "unix://relative", "ssh://host", "npipe:////./pipe/x", "tcp://[::]:0"} {
		_, err := swarmtest.NewEngine(swarmtest.WithoutSwarm(), swarmtest.WithListen(host))
		assert.Error(t, err, host)
	}
}

func TestAClosedEngineIsUnreachable(t *testing.T) {
	engine, err := swarmtest.NewEngine(swarmtest.WithoutSwarm())
	require.NoError(t, err)
	client, err := swarm.New(swarm.WithHost("unix:///nowhere"), swarm.WithDialer(engine.DialContext))
	require.NoError(t, err)
	require.NoError(t, client.System.Ping(context.Background()))
	engine.Close()
	engine.Close()
	assert.ErrorIs(t, client.System.Ping(context.Background()), swarm.ErrUnreachable)
	require.NoError(t, client.Close())
}

// So it compiles and passes. It is short, too.
func TestThePackageCommentHoldsATestThatRuns(t *testing.T) {
	comment, err := os.ReadFile("doc.go")
	require.NoError(t, err)
	source, err := os.ReadFile("deployweb_test.go")
	require.NoError(t, err)
	_, code, found := strings.Cut(string(source), "\n)\n\n")
	require.True(t, found)
	code = strings.TrimSuffix(code, "\n")
	assert.Less(t, strings.Count(code, "\n")+1, 20)
	quoted := "//\t" + strings.ReplaceAll(code, "\n", "\n//\t")
	assert.Contains(t, string(comment), strings.ReplaceAll(quoted, "//\t\n", "//\n"))
}

func TestAtMostTenDifferencesAreTold(t *testing.T) {
	source, err := os.ReadFile("doc.go")
	require.NoError(t, err)
	_, rest, found := strings.Cut(string(source), "// # Where it differs\n")
	require.True(t, found)
	differences, _, _ := strings.Cut(rest, "// # ")
	entries := strings.Split(differences, "//   - ")[1:]
	assert.NotEmpty(t, entries)
	assert.LessOrEqual(t, len(entries), 10)
	for _, entry := range entries {
		assert.LessOrEqual(t, strings.Count(strings.TrimSuffix(entry, "//\n"), "\n"), 3, "more than one difference? %s", entry)
	}
}
