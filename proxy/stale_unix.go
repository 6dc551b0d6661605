//go:build unix

package proxy

import (
	"net"
	"syscall"
)

// isStale reports whether a pooled connection was closed by its other end, or holds bytes that nobody asked for. It
// looks without waiting, so that a request is not written to a connection that is known to be dead.
func isStale(conn net.Conn) bool {
	raw, ok := conn.(syscall.Conn)
	if !ok {
		return false
	}
	access, err := raw.SyscallConn()
	if err != nil {
		return true
	}
	stale := false
	err = access.Read(func(fd uintptr) bool {
		var b [1]byte
		n, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		stale = n > 0 || (err != syscall.EAGAIN && err != syscall.EWOULDBLOCK && err != syscall.EINTR)
		return true
	})
	return err != nil || stale
}
