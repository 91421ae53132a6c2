//go:build linux

package activation_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"etrusted-broker/internal/activation"
)

// first is where the tests put descriptors: far above those that this process opens meanwhile.
const first = 500

// put puts duplicates of the files' descriptors where the broker is to find them, as systemd does: to be inherited.
func put(t *testing.T, files ...interface{ File() (*os.File, error) }) {
	t.Helper()
	for i, f := range files {
		file, err := f.File()
		if err != nil {
			t.Fatal(err)
		}
		err = syscall.Dup3(int(file.Fd()), first+i, 0)
		_ = file.Close()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = syscall.Close(first + i) })
	}
}

// plain has a file that is no socket.
type plain struct{ file *os.File }

func (p plain) File() (*os.File, error) { return p.file, nil }

func announce(count int, names string) []string {
	return []string{fmt.Sprint("LISTEN_PID=", os.Getpid()), fmt.Sprint("LISTEN_FDS=", count), "LISTEN_FDNAMES=" + names}
}

func open(fd int) bool {
	_, err := syscall.GetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_TYPE)
	return !errors.Is(err, syscall.EBADF)
}

func listenTCP(t *testing.T) *net.TCPListener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l.(*net.TCPListener)
}

func listenUnix(t *testing.T, network string) *net.UnixListener {
	t.Helper()
	l, err := net.ListenUnix(network, &net.UnixAddr{Name: filepath.Join(t.TempDir(), "s"), Net: network})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func TestTakesOver(t *testing.T) {
	tcp, unix := listenTCP(t), listenUnix(t, "unix")
	put(t, tcp, unix)
	got, err := activation.ListenersFrom(announce(2, "app:admin.socket"), os.Getpid(), first)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 2 || got[0].Name != "app" || got[1].Name != "admin.socket" {
		t.Fatalf("%+v", got)
	}
	if open(first) || open(first+1) {
		t.Error("the original is still open")
	}
	for i, original := range []net.Listener{tcp, unix} {
		if got[i].Addr().String() != original.Addr().String() {
			t.Errorf("%s instead of %s", got[i].Addr(), original.Addr())
		}
		greet(t, got[i])
		if err := got[i].Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Lstat(unix.Addr().String()); err != nil {
		t.Error("systemd's socket was removed: ", err)
	}
}

// greet fails the test unless a connection to l comes in there.
func greet(t *testing.T, l net.Listener) {
	t.Helper()
	go func() {
		if conn, err := l.Accept(); err == nil {
			_, _ = io.WriteString(conn, "hello")
			_ = conn.Close()
		}
	}()
	conn, err := net.Dial(l.Addr().Network(), l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if said, err := io.ReadAll(conn); err != nil || string(said) != "hello" {
		t.Errorf("%q, %v", said, err)
	}
}

func TestUnnamed(t *testing.T) {
	put(t, listenTCP(t), listenTCP(t))
	got, err := activation.ListenersFrom(announce(2, ""), os.Getpid(), first)
	if err != nil || len(got) != 2 {
		t.Fatalf("%v, %v", got, err)
	}
	for _, l := range got {
		if l.Name != "unknown" {
			t.Error(l.Name)
		}
		_ = l.Close()
	}
}

func TestRefusesWhatIsNoListener(t *testing.T) {
	file, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	udp, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	server := listenTCP(t)
	conn, err := net.Dial("tcp", server.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for name, test := range map[string]struct {
		file interface{ File() (*os.File, error) }
		text string
	}{
		"file":       {plain{file}, "is no socket: let the .socket unit have ListenStream= only"},
		"datagram":   {udp, "is no stream socket: in the .socket unit, write ListenStream= instead of ListenDatagram="},
		"sequential": {listenUnix(t, "unixpacket"), "is no stream socket: in the .socket unit, write ListenStream="},
		"connection": {conn.(*net.TCPConn), "is a connection and no listening socket: in the .socket unit, beside ListenStream=, set Accept=no"},
	} {
		t.Run(name, func(t *testing.T) {
			put(t, listenTCP(t), test.file)
			got, err := activation.ListenersFrom(announce(2, "app:other"), os.Getpid(), first)
			if got != nil || err == nil {
				t.Fatalf("%v, %v", got, err)
			}
			checkError(t, err, fmt.Sprintf("descriptor %d (%q) %s", first+1, "other", test.text))
			if !open(first + 1) {
				t.Error("what is not ours was closed")
			}
			if inherited(first + 1) {
				t.Error("a child would inherit it")
			}
		})
	}
	t.Run("not open", func(t *testing.T) {
		l := listenTCP(t)
		put(t, l)
		address := l.Addr().String()
		_ = l.Close()
		_, err := activation.ListenersFrom(announce(2, ""), os.Getpid(), first)
		if err == nil {
			t.Fatal("no error")
		}
		checkError(t, err, fmt.Sprintf("descriptor %d (%q) is not open, though LISTEN_FDS announces it", first+1, "unknown"))
		if conn, err := net.Dial("tcp", address); err == nil {
			_ = conn.Close()
			t.Error("a listener is left open")
		}
	})
	t.Run("of another family", func(t *testing.T) {
		const vsock, anyPort = 40, 0xffffffff
		fd, err := syscall.Socket(vsock, syscall.SOCK_STREAM, 0)
		if err != nil {
			t.Skip("this system has no other: ", err)
		}
		put(t, plain{os.NewFile(uintptr(fd), "")})
		if err := syscall.Listen(first, 1); err != nil {
			t.Skip("this system has no other: ", err)
		}
		_, err = activation.ListenersFrom(announce(1, ""), os.Getpid(), first)
		if err == nil {
			t.Fatal("no error")
		}
		checkError(t, err, fmt.Sprintf("descriptor %d (%q) cannot be listened on", first, "unknown"))
	})
}

// inherited reports whether a program that is started would have the descriptor too.
func inherited(fd int) bool {
	info, err := os.ReadFile(fmt.Sprintf("/proc/self/fdinfo/%d", fd))
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(info)) {
		if octal, ok := strings.CutPrefix(line, "flags:"); ok {
			var flags int
			_, err := fmt.Sscanf(octal, "%o", &flags)
			return err == nil && flags&syscall.O_CLOEXEC == 0
		}
	}
	return false
}
