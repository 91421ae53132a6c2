package brokertest

import (
	"context"
	"io"
	"net"
	"sync"
	"testing"
)

// ServeRaw calls handle with each connection to a free port of the loopback interface, and returns the HOST:PORT: see ServeRawOn.
func ServeRaw(t testing.TB, handle func(net.Conn)) (addr string) {
	t.Helper()
	l := Listen(t, "tcp", "127.0.0.1:0")
	ServeRawOn(t, l, handle)
	return l.Addr().String()
}

// ServeRawOn calls handle with each connection of a listener, on a separate goroutine, and then closes it. The end of the test
// closes the listener and the connections, and waits for handle.
func ServeRawOn(t testing.TB, l net.Listener, handle func(net.Conn)) {
	t.Helper()
	ctx := t.Context() // a fuzz test must not call it later
	var all sync.WaitGroup
	all.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer func() { _ = conn.Close() }()
				defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
				handle(conn)
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		all.Wait()
	})
}

// Reply is for ServeRaw: it writes text after the first read.
func Reply(text string) func(net.Conn) {
	return func(conn net.Conn) {
		_, _ = conn.Read(make([]byte, 4096))
		_, _ = io.WriteString(conn, text)
	}
}

// Tunnel copies in both directions until both sides have ended. It closes each when the other one ends.
func Tunnel(a, b net.Conn) {
	var both sync.WaitGroup
	both.Go(func() { _, _ = io.Copy(a, b); _ = a.Close() })
	both.Go(func() { _, _ = io.Copy(b, a); _ = b.Close() })
	both.Wait()
}

// ClosedPort returns a HOST:PORT that refuses connections.
func ClosedPort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	return l.Addr().String()
}
