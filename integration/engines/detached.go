package engines

import (
	"context"
	"fmt"
	"os"
)

// detachedDir holds the one engine that outlives the program that started it.
const detachedDir = "/var/lib/swarm-local"

// StartDetached starts an engine that runs until [StopDetached]; there is one at
// most.
func StartDetached(ctx context.Context, version string) (*Engine, error) {
	socket, err := runDetached(ctx, "start", version, "local")
	if err != nil {
		return nil, err
	}
	return Connect(ctx, "unix://"+socket)
}

// StopDetached kills the engine of [StartDetached], if there is one, and removes
// all it has left.
func StopDetached(ctx context.Context) error {
	_, err := runDetached(ctx, "reap")
	return err
}

func runDetached(ctx context.Context, args ...string) (string, error) {
	if err := canRun(); err != nil {
		return "", fmt.Errorf("engines: %w", err)
	}
	if err := os.MkdirAll(detachedDir, 0o700); err != nil {
		return "", fmt.Errorf("engines: %w", err)
	}
	detached := &Lab{dir: detachedDir}
	if err := detached.writeScript(); err != nil {
		return "", fmt.Errorf("engines: %w", err)
	}
	printed, err := output(detached.script(ctx, args...))
	if err != nil {
		return "", fmt.Errorf("engines: %w", err)
	}
	return printed, nil
}
