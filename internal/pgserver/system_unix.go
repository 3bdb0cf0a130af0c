//go:build unix

package pgserver

import (
	"fmt"
	"os"
	"os/user"
	"strconv"
	"syscall"
)

// An account is whom a server runs as.
type account struct {
	name     string
	uid, gid int
	other    bool // than the one of this process
}

// unprivileged returns who runs a server: whoever runs this process, unless it is root.
func unprivileged() (account, error) {
	if os.Geteuid() != 0 {
		return account{}, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := strconv.Atoi(u.Uid)
		if err != nil {
			return account{}, fmt.Errorf("the user ID of %s: %w", name, err)
		}
		gid, err := strconv.Atoi(u.Gid)
		if err != nil {
			return account{}, fmt.Errorf("the group ID of %s: %w", name, err)
		}
		return account{name, uid, gid, true}, nil
	}
	return account{}, fmt.Errorf("PostgreSQL does not run as root, and there is no user postgres or nobody")
}

// attributes makes a process run as a, end with this one where the system can, and not get the signals
// of the terminal: whoever started the server stops it.
func (a account) attributes() *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setpgid: true}
	if a.other {
		attr.Credential = &syscall.Credential{Uid: uint32(a.uid), Gid: uint32(a.gid)}
	}
	endWithParent(attr)
	return attr
}
