package main

import (
	"errors"
	"syscall"
)

// Windows answers with numbers of its own; those that package syscall names after POSIX never
// come from a socket.
const (
	wsaeMFile         = syscall.Errno(10024)
	wsaeAddrNotAvail  = syscall.Errno(10049)
	wsaeNetUnreach    = syscall.Errno(10051)
	wsaeConnAborted   = syscall.Errno(10053)
	wsaeConnReset     = syscall.Errno(10054)
	wsaeConnRefused   = syscall.Errno(10061)
	wsaeHostUnreach   = syscall.Errno(10065)
	errorTooManyFiles = syscall.Errno(4)
)

func isReset(err error) bool {
	return errors.Is(err, wsaeConnReset) || errors.Is(err, wsaeConnAborted)
}

func isRefused(err error) bool { return errors.Is(err, wsaeConnRefused) }

func isUnreachable(err error) bool {
	return errors.Is(err, wsaeHostUnreach) || errors.Is(err, wsaeNetUnreach)
}

func isNoFreePort(err error) bool { return errors.Is(err, wsaeAddrNotAvail) }

func isTooManyFiles(err error) bool {
	return errors.Is(err, wsaeMFile) || errors.Is(err, errorTooManyFiles)
}
