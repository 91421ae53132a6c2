package brokertest

import (
	"context"
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// ServeRaw calls handle with each connection to a free port of the loopback interface, on a goroutine of its own, and then closes
// it. It returns the HOST:PORT. No operation on a connection takes longer than Timeout. The end of the test closes the connections and
// waits for handle.
func ServeRaw(t testing.TB, handle func(net.Conn)) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer func() { _ = conn.Close() }()
				_ = conn.SetDeadline(time.Now().Add(Timeout))
				defer context.AfterFunc(t.Context(), func() { _ = conn.Close() })()
				handle(conn)
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		all.Wait()
	})
	return l.Addr().String()
}

// Reply is for ServeRaw: it writes text after the first read.
func Reply(text string) func(net.Conn) {
	return func(conn net.Conn) {
		_, _ = conn.Read(make([]byte, 4096))
		_, _ = io.WriteString(conn, text)
	}
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
