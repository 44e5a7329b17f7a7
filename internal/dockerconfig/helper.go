package dockerconfig

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"strings"
	"time"
)

const (
	// helperTimeout is how long a helper may take: some ask their user.
	helperTimeout = 30 * time.Second
	// helperPatience is how long what a helper has left behind may hold its output
	// open.
	helperPatience = time.Second
	// maxHelperOutput bounds what is kept of a helper's answer.
	maxHelperOutput = 1 << 20
)

// helperName is what a helper can be called: a program found in PATH, and never
// one somewhere else.
var helperName = regexp.MustCompile(`^[a-zA-Z0-9_][a-zA-Z0-9_.-]*$`)

// notFound is what helpers print, and fail, if they have nothing for a server.
const notFound = "credentials not found in native keychain"

func helperProgram(name string) string { return "docker-credential-" + name }

// runHelper runs docker-credential-NAME, without a shell, and returns what it
// answers for a server, nil if it has nothing. What it prints is in no error: it
// may be a secret.
func runHelper(ctx context.Context, name, server string) ([]byte, error) {
	return runHelperFor(ctx, helperTimeout, name, server)
}

func runHelperFor(ctx context.Context, timeout time.Duration, name, server string) ([]byte, error) {
	if !helperName.MatchString(name) {
		return nil, errors.New("no valid name of a program")
	}
	path, err := exec.LookPath(helperProgram(name))
	if err != nil {
		return nil, errors.Unwrap(err) // its own text repeats the name
	}
	within, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	output := &boundedBuffer{left: maxHelperOutput, full: cancel}
	cmd := exec.CommandContext(within, path, "get")
	cmd.Stdin, cmd.Stdout, cmd.WaitDelay = strings.NewReader(server), output, helperPatience
	endWithItsChildren(cmd)
	err = cmd.Run()
	if errors.Is(err, exec.ErrWaitDelay) {
		_ = cmd.Cancel() // what it has left behind
	}
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case output.left < 0:
		return nil, fmt.Errorf("it printed more than %d bytes", maxHelperOutput)
	case within.Err() != nil:
		return nil, fmt.Errorf("it did not answer within %v", timeout)
	case err == nil:
		return output.kept.Bytes(), nil
	}
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		if strings.TrimSpace(output.kept.String()) == notFound {
			return nil, nil
		}
		return nil, fmt.Errorf("it failed: %s", exit.ProcessState)
	}
	if errors.Is(err, exec.ErrWaitDelay) {
		return nil, errors.New("it left a process behind that holds its output open")
	}
	return nil, errors.New("it could not be run")
}

// boundedBuffer keeps no more than fits. The buffer is no part of its method set:
// what copies would read into that without asking.
type boundedBuffer struct {
	kept bytes.Buffer
	left int
	full func() // called when there is more
}

// Write never fails: then the helper would end by a signal, and not by full.
func (b *boundedBuffer) Write(p []byte) (int, error) {
	if b.left < 0 {
		return len(p), nil
	}
	if b.left -= len(p); b.left < 0 {
		b.full()
		return len(p), nil
	}
	return b.kept.Write(p)
}
