package engines

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
)

func canRun() error {
	if os.Getuid() != 0 {
		return errors.New("real engines need root; SWARM_TEST_HOST names one that already runs")
	}
	if _, err := output(exec.Command("unshare", "--mount", "--uts", "--pid", "--net", "--fork", "true")); err != nil {
		return fmt.Errorf("real engines need namespaces of their own: %w", err)
	}
	return nil
}

// startOutliving starts a process that neither our end nor a Ctrl-C reaches.
func startOutliving(cmd *exec.Cmd) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	return cmd.Start()
}

// startDyingWithUs starts a process that is killed when this one ends, however
// it ends. The kernel means the thread that started it, so one that never ends
// starts them all.
func startDyingWithUs(cmd *exec.Cmd) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
	starter().start <- cmd
	return <-starter().result
}

var starter = sync.OnceValue(func() starterThread {
	s := starterThread{start: make(chan *exec.Cmd), result: make(chan error)}
	go func() {
		runtime.LockOSThread()
		for cmd := range s.start {
			s.result <- cmd.Start()
		}
	}()
	return s
})

type starterThread struct {
	start  chan *exec.Cmd
	result chan error
}

// The syscall package does not know it on every architecture.
var sysSetns = map[string]uintptr{"amd64": 308, "arm64": 268}

// dialInside opens a connection inside the network namespace of a process.
func dialInside(ctx context.Context, pid int, network, address string) (net.Conn, error) {
	var conn net.Conn
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		// Never unlocked: the thread stays in that namespace, and ends with the goroutine.
		runtime.LockOSThread()
		if err = enterNetwork(pid); err == nil {
			conn, err = new(net.Dialer).DialContext(ctx, network, address)
		}
	}()
	<-done
	return conn, err
}

func enterNetwork(pid int) error {
	namespace, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", pid))
	if err != nil {
		return err
	}
	defer namespace.Close()
	_, _, errno := syscall.RawSyscall(sysSetns[runtime.GOARCH], namespace.Fd(), syscall.CLONE_NEWNET, 0)
	if errno != 0 {
		return os.NewSyscallError("setns", errno)
	}
	return nil
}
