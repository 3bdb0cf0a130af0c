//go:build !unix

package pgserver

import (
	"errors"
	"syscall"
)

// An account is whom a server runs as.
type account struct {
	name     string
	uid, gid int
	other    bool
}

func unprivileged() (account, error) {
	return account{}, errors.New("servers of one's own run on Unix only")
}

func (account) attributes() *syscall.SysProcAttr { return nil }
