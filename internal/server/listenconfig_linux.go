package server

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// tcpListenConfig enables TCP keep-alive on the listening socket, from which accepted connections inherit it. Package net would enable
// it on each of them, with the same values and four system calls.
var tcpListenConfig = net.ListenConfig{KeepAlive: -1, Control: func(_, _ string, socket syscall.RawConn) error {
	return socket.Control(func(fd uintptr) {
		for _, option := range [...]struct{ level, name, value int }{
			{unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
			{unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, 15},
			{unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, 15},
			{unix.IPPROTO_TCP, unix.TCP_KEEPCNT, 9},
		} {
			_ = unix.SetsockoptInt(int(fd), option.level, option.name, option.value) // as in package net, a failure does not matter
		}
	})
}}
