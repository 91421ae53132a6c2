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

// listen opens a notify socket as systemd does.
func listen(t *testing.T, name string) *net.UnixConn {
	t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func newNotifier(t *testing.T, socket string) *sdnotify.Notifier {
	t.Helper()
	t.Setenv("NOTIFY_SOCKET", socket)
	n, err := sdnotify.New()
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
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
}

func TestSend(t *testing.T) {
	sockets := map[string]string{"path": filepath.Join(t.TempDir(), "notify")}
	if runtime.GOOS == "linux" {
		sockets["abstract"] = fmt.Sprintf("@etrusted-broker-test-%d", os.Getpid())
	}
	for name, socket := range sockets {
		t.Run(name, func(t *testing.T) {
			conn, n := listen(t, socket), newNotifier(t, socket)
			for _, message := range [][]string{{sdnotify.Ready, sdnotify.Status("a\nb")}, {sdnotify.Watchdog}, {sdnotify.Stopping, sdnotify.ExtendTimeout(time.Second)}} {
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

func TestSendWorksOnceSocketIsBack(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "notify")
	n := newNotifier(t, socket)
	if err := n.Send(sdnotify.Ready); err == nil || !strings.HasPrefix(err.Error(), "cannot write to the socket in NOTIFY_SOCKET: ") {
		t.Errorf("got %v, want an error that names NOTIFY_SOCKET", err)
	}
	_ = listen(t, socket).Close()
	_ = os.Remove(socket)
	conn := listen(t, socket) // systemd was restarted
	if err := n.Send(sdnotify.Ready); err != nil {
		t.Fatal(err)
	}
	checkReceived(t, conn, "READY=1")
}

// TestSendDoesNotBlock: Send gives up after a second if systemd does not read, and so does the next one.
func TestSendDoesNotBlock(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "notify")
	listen(t, socket)
	n := newNotifier(t, socket)
	const want = "the socket in NOTIFY_SOCKET accepts no message: "
	failures := 0
	for i := 0; i < 100_000 && failures < 2; i++ {
		err := n.Send(sdnotify.Watchdog)
		switch {
		case err == nil && failures == 0: // there is still space in the queue
		case errors.Is(err, os.ErrDeadlineExceeded) && strings.HasPrefix(err.Error(), want):
			failures++
		default:
			t.Fatalf("got %v, want %s…", err, want)
		}
	}
	if failures != 2 {
		t.Errorf("got %d timeouts, want 2", failures)
	}
}
