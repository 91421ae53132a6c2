//go:build unix && !darwin

package sdnotify_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"etrusted-broker/internal/sdnotify"
)

// manager listens as systemd does.
func manager(t *testing.T, name string) *net.UnixConn {
	t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func notifier(t *testing.T, socket string) *sdnotify.Notifier {
	t.Helper()
	n, err := sdnotify.New([]string{"NOTIFY_SOCKET=" + socket}, pid)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func checkReceived(t *testing.T, conn *net.UnixConn, want string) {
	t.Helper()
	if err := conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	message := make([]byte, 8192)
	n, err := conn.Read(message)
	if got := string(message[:n]); err != nil || got != want {
		t.Errorf("%q, %v instead of %q", got, err, want)
	}
}

func TestSend(t *testing.T) {
	sockets := map[string]string{"path": filepath.Join(t.TempDir(), "notify")}
	if runtime.GOOS == "linux" {
		sockets["abstract"] = fmt.Sprintf("@etrusted-broker-test-%d", os.Getpid())
	}
	for name, socket := range sockets {
		t.Run(name, func(t *testing.T) {
			conn, n := manager(t, socket), notifier(t, socket)
			for _, message := range [][]sdnotify.State{{sdnotify.Ready, sdnotify.Status("a\nb")}, {sdnotify.Watchdog}, {sdnotify.Stopping, sdnotify.ExtendTimeout(time.Second)}} {
				if err := n.Send(message...); err != nil {
					t.Fatal(err)
				}
			}
			checkReceived(t, conn, "READY=1\nSTATUS=a b")
			checkReceived(t, conn, "WATCHDOG=1")
			checkReceived(t, conn, "STOPPING=1\nEXTEND_TIMEOUT_USEC=1000000")
		})
	}
}

func TestSendToNobody(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "notify")
	n := notifier(t, socket)
	if err := n.Send(sdnotify.Ready); err == nil || !strings.HasPrefix(err.Error(), "the socket of NOTIFY_SOCKET cannot be reached: ") {
		t.Errorf("no socket: %v", err)
	}
	_ = manager(t, socket).Close()
	_ = os.Remove(socket)
	conn := manager(t, socket) // systemd's end was made anew
	if err := n.Send(sdnotify.Ready); err != nil {
		t.Fatal(err)
	}
	checkReceived(t, conn, "READY=1")
}

// TestSendDoesNotBlock holds that a manager that reads nothing holds nobody up for long.
func TestSendDoesNotBlock(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "notify")
	manager(t, socket)
	n := notifier(t, socket)
	for range 100_000 {
		if err := n.Send(sdnotify.Watchdog); err != nil {
			if !errors.Is(err, os.ErrDeadlineExceeded) || !strings.HasPrefix(err.Error(), "the socket of NOTIFY_SOCKET takes no message: ") {
				t.Error(err)
			}
			return
		}
	}
	t.Error("the queue has no end")
}
