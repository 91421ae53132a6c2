package server

import (
	"net"
	"testing"

	"golang.org/x/sys/unix"
)

// A peer that vanishes without a word must be noticed: a body or a tunnel is awaited without a time limit.
func TestAcceptedConnectionsHaveKeepAlive(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "localhost:0"} {
		listeners, err := listenExpandingLocalhost(t.Context(), "BROKER_LISTEN", address)
		if err != nil {
			t.Fatal(err)
		}
		for _, listener := range listeners {
			t.Cleanup(func() { _ = listener.Close() })
			client, err := net.Dial("tcp", listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = client.Close() })
			accepted, err := listener.Accept()
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = accepted.Close() })
			raw, err := accepted.(*net.TCPConn).SyscallConn()
			if err != nil {
				t.Fatal(err)
			}
			err = raw.Control(func(fd uintptr) {
				enabled, _ := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_KEEPALIVE)
				idle, _ := unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_KEEPIDLE)
				interval, _ := unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_KEEPINTVL)
				count, _ := unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_KEEPCNT)
				if got, want := [...]int{enabled, idle, interval, count}, [...]int{1, 15, 15, 9}; got != want {
					t.Errorf("%s: got keep-alive %v, want %v", listener.Addr(), got, want)
				}
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
}
