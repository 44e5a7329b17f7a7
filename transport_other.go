//go:build !windows

package swarm

import (
	"context"
	"errors"
	"net"
	"os/exec"
	"syscall"
)

func pipeDial(*endpoint) dialFunc {
	return func(context.Context) (net.Conn, error) {
		return nil, errors.New("named pipes are for Windows")
	}
}

// detach keeps a process from the terminal: it cannot ask for passwords there,
// and Ctrl-C is for the program to handle, not for its connections to die of.
func detach(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
}
