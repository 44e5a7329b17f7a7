package engines

import (
	"context"
	"errors"
	"fmt"
	"os"
)

// StartDetached starts an engine that outlives the program and runs until
// [StopDetached]. dir, which it makes, is where the engine writes; it has room
// for one engine, and its path is short, because a socket lies below it. Nothing
// is left of an engine that does not start.
func StartDetached(ctx context.Context, dir, version string) (*Engine, error) {
	if _, err := os.Stat(dir); err == nil {
		return nil, fmt.Errorf("engines: an engine runs already in %s, or has left it", dir)
	}
	socket, err := runDetached(ctx, dir, "start", version, "local")
	var e *Engine
	if err == nil {
		e, err = Connect(ctx, "unix://"+socket)
	}
	if _, statErr := os.Stat(dir); err != nil && statErr == nil {
		err = errors.Join(err, StopDetached(context.WithoutCancel(ctx), dir))
	}
	return e, err
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
