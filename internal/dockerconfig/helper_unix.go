//go:build unix

package dockerconfig

import (
	"os/exec"
	"syscall"
)

// endWithItsChildren makes cancelling end the whole process group: a helper that
// is a script has children.
func endWithItsChildren(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}
