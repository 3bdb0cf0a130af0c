package pgserver

import (
	"os"
	"syscall"
)

// endWithParent makes the kernel tell the process to shut down immediately when this one is gone. After a
// SIGKILL, sessions that compute would go on.
func endWithParent(attr *syscall.SysProcAttr) { attr.Pdeathsig = syscall.SIGQUIT }

// locked locks f, unless another process has it, until f is closed or this process ends.
func locked(f *os.File) bool {
	return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil
}
