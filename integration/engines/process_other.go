//go:build !linux

package engines

import (
	"context"
	"errors"
	"net"
	"os/exec"
)

var errNotLinux = errors.New("real engines need Linux; SWARM_TEST_HOST names one that already runs")

func canRun() error { return errNotLinux }

func labFolder() string { return "/tmp" }

func startOutliving(*exec.Cmd) error { return errNotLinux }

func startDyingWithUs(*exec.Cmd) error { return errNotLinux }

func dialInside(context.Context, int, string, string) (net.Conn, error) { return nil, errNotLinux }

func listenInside(context.Context, int, string, string) (net.Listener, error) {
	return nil, errNotLinux
}
