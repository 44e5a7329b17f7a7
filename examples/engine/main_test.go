package main

import (
	"bytes"
	"context"
	"io"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/swarm-go/swarm"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestTheEngineRunsUntilItIsInterrupted(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	host := "unix://" + filepath.Join(t.TempDir(), "s")
	read, write := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		ended <- run(ctx, write, []string{"-listen", host, "-workers", "1"})
		write.Close()
	}()
	said := make([]byte, 512)
	n, err := read.Read(said)
	require.NoError(t, err)
	assert.Contains(t, string(said[:n]), "docker -H "+host+" node ls")

	client, err := swarm.New(swarm.WithHost(host))
	require.NoError(t, err)
	nodes, err := client.Nodes.List(t.Context(), nil)
	require.NoError(t, err)
	assert.Len(t, nodes, 2)
	require.NoError(t, client.Close())
	interrupt()
	rest, err := io.ReadAll(read)
	require.NoError(t, err)
	assert.Equal(t, "bye\n", string(rest))
	assert.NoError(t, <-ended)
}

func TestWrongFlagsAreRefused(t *testing.T) {
	for _, args := range [][]string{
		{"-listen", "tcp://0.0.0.0:0"}, {"-release", "1.0"}, {"-managers", "0"}, {"-workers", "-1"},
	} {
		assert.Error(t, run(t.Context(), new(bytes.Buffer), args), args)
	}
}
