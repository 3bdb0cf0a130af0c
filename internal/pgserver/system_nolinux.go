//go:build !linux

package pgserver

import (
	"os"
	"syscall"
)

// endWithParent does nothing: the server of a process that was killed goes on.
func endWithParent(*syscall.SysProcAttr) {}

// locked is false: folders of processes that were killed stay.
func locked(*os.File) bool { return false }
