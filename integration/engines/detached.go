package engines

import (
	"context"
	"fmt"
	"os"
)

// StartDetached starts an engine that outlives the program and runs until
// [StopDetached]. dir, which it makes, is where the engine writes; it has room
// for one engine, and its path is short, because a socket lies below it.
func StartDetached(ctx context.Context, dir, version string) (*Engine, error) {
	socket, err := runDetached(ctx, dir, "start", version, "local")
	if err != nil {
		return nil, err
	}
	return Connect(ctx, "unix://"+socket)
}

// StopDetached kills the engine of [StartDetached], if there is one, and removes
// dir with all it has left.
func StopDetached(ctx context.Context, dir string) error {
	_, err := runDetached(ctx, dir, "reap")
	return err
}

func runDetached(ctx context.Context, dir string, args ...string) (string, error) {
	if err := canRun(); err != nil {
		return "", fmt.Errorf("engines: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("engines: %w", err)
	}
	lab := &Lab{dir: dir}
	if err := lab.writeScript(); err != nil {
		return "", fmt.Errorf("engines: %w", err)
	}
	printed, err := output(lab.script(ctx, args...))
	if err != nil {
		return "", fmt.Errorf("engines: %w", err)
	}
	return printed, nil
}
