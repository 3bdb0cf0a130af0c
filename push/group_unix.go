//go:build unix

package push

import (
	"os/exec"
	"syscall"
)

// setGroup makes the program the leader of a process group, which gets SIGTERM when the context ends.
func setGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
}

// killGroup kills what is left of the group. A group keeps its number while it has members, and the
// system hands numbers out in turn, so that this one cannot be another's yet.
func killGroup(cmd *exec.Cmd) { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
