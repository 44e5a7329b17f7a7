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

// Of a file system that can hold labs: the most that engines have been seen to write,
// several times, and the kernel's names for one in memory and for one that runs nothing.
const (
	roomy      = 4 << 30
	tmpfsMagic = 0x01021994
	noExec     = 0x8
)

// labFolder is where labs are made: in memory if there is room, because engines wait
// for the disk whenever they write, which is much of what tests would take. Its name is
// short: sockets lie below, whose paths may have 107 bytes.
func labFolder() string {
	var fs syscall.Statfs_t
	err := syscall.Statfs("/dev/shm", &fs)
	if err == nil && fs.Type == tmpfsMagic && fs.Flags&noExec == 0 && fs.Bavail*uint64(fs.Bsize) >= roomy {
		return "/dev/shm"
	}
	return "/tmp"
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
func dialInside(ctx context.Context, pid int, network, address string) (conn net.Conn, err error) {
	if inside := inNetworkOf(pid, func() { conn, err = new(net.Dialer).DialContext(ctx, network, address) }); inside != nil {
		return nil, inside
	}
	return conn, err
}

// listenInside opens a port inside the network namespace of a process.
func listenInside(ctx context.Context, pid int, network, address string) (listener net.Listener, err error) {
	if inside := inNetworkOf(pid, func() { listener, err = new(net.ListenConfig).Listen(ctx, network, address) }); inside != nil {
		return nil, inside
	}
	return listener, err
}

// inNetworkOf makes sockets that stay in the network namespace of a process.
func inNetworkOf(pid int, open func()) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	home, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return err
	}
	defer home.Close()
	if err := enterNetwork(fmt.Sprintf("/proc/%d/ns/net", pid)); err != nil {
		return err
	}
	open()
	if back := setns(home); back != nil {
		panic(back) // the thread would stay in there, and hold the engine's network when it is gone
	}
	return nil
}

func enterNetwork(path string) error {
	namespace, err := os.Open(path)
	if err != nil {
		return err
	}
	defer namespace.Close()
	return setns(namespace)
}

func setns(namespace *os.File) error {
	_, _, errno := syscall.RawSyscall(sysSetns[runtime.GOARCH], namespace.Fd(), syscall.CLONE_NEWNET, 0)
	if errno != 0 {
		return os.NewSyscallError("setns", errno)
	}
	return nil
}
