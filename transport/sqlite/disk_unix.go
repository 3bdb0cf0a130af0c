//go:build linux || darwin

package sqlite

import (
	"fmt"
	"syscall"
)

// freeBytes is what users may still write below dir.
func freeBytes(dir string) (int64, bool) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return 0, false
	}
	return int64(s.Bavail) * int64(s.Bsize), true
}

// mayCreate says why this process may not make files in dir.
func mayCreate(dir string) error {
	const write, search = 2, 1
	if err := syscall.Access(dir, write|search); err != nil {
		return fmt.Errorf("make files in %s: %w", dir, err)
	}
	return nil
}
