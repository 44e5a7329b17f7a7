package main

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestTheTourRunsOnTheEmbeddedEngine(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), &out, nil))
	said := out.String()
	for _, line := range []string{"no -host given: running on the embedded engine\n", "deploying", "2 of 2 tasks run", "hello ",
		"scaling to 3", "3 of 3 tasks run", "updating the image", "3 of 3 tasks run", "rolling back", "3 of 3 tasks run", "removing", "done\n"} {
		_, rest, found := strings.Cut(said, line)
		require.True(t, found, "%q does not follow in:\n%s", line, out.String())
		said = rest
	}
	assert.Empty(t, said)
}

func TestAnEngineThatIsNotThereIsAnError(t *testing.T) {
	for host, want := range map[string]string{
		"unix:///nowhere/docker.sock": "no engine at",
		"gopher://x":                  "unknown scheme",
	} {
		assert.ErrorContains(t, run(t.Context(), io.Discard, []string{"-host", host}), want)
	}
}
