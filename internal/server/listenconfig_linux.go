package server

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// tcpListenConfig enables TCP keep-alive on the listening socket, from which accepted connections inherit it. Package net would enable
// it on each of them, with the same values and four system calls. Before Linux 6.10, a Multipath TCP socket does not take the times.
var tcpListenConfig = func() *net.ListenConfig {
	c := &net.ListenConfig{KeepAlive: -1, Control: enableKeepAlive}
	c.SetMultipathTCP(false)
	return c
}()

func enableKeepAlive(_, _ string, socket syscall.RawConn) error {
	return socket.Control(func(fd uintptr) {
		for _, option := range [...]struct{ level, name, value int }{
			{unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
			{unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, 15},
			{unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, 15},
			{unix.IPPROTO_TCP, unix.TCP_KEEPCNT, 9},
		} {
			_ = unix.SetsockoptInt(int(fd), option.level, option.name, option.value) // package net ignores a failure too
		}
	})
}
