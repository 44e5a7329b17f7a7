//go:build integration && linux

package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/swarm-go/swarm/integration/engines"
)

func TestUpLeavesASwarmRunningUntilDown(t *testing.T) {
	parent, err := os.MkdirTemp("/tmp", "swarm-") // t.TempDir's path is too long for a socket
	require.NoError(t, err)
	defer os.RemoveAll(parent)
	dir := filepath.Join(parent, "local")
	defer engines.StopDetached(t.Context(), dir)

	var stdout bytes.Buffer
	require.NoError(t, run(t.Context(), dir, []string{"up", "-version", "26.1"}, &stdout))
	e, err := engines.Connect(t.Context(), strings.TrimSpace(stdout.String()))
	require.NoError(t, err)
	assert.NoError(t, e.IsManager(t.Context()))
	assert.True(t, e.HasImages(t.Context()))
	assert.ErrorContains(t, run(t.Context(), dir, []string{"up"}, &stdout), "runs already")

	assert.NoError(t, e.IsManager(t.Context()), "the one that runs is left alone")

	require.NoError(t, run(t.Context(), dir, []string{"down"}, &stdout))
	assert.Error(t, e.IsManager(t.Context()))
	assert.NoDirExists(t, dir)
	assert.NoError(t, run(t.Context(), dir, []string{"down"}, &stdout), "nothing to stop")
}

func TestNothingIsLeftOfAnEngineThatDoesNotStart(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "local")
	assert.ErrorContains(t, run(t.Context(), dir, []string{"up", "-version", "9.9"}, io.Discard), "unknown engine version 9.9")
	assert.NoDirExists(t, dir)
}
