//go:build unix

package unixsocket_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"etrusted-broker/internal/unixsocket"
)

func TestServesRequests(t *testing.T) {
	path := filepath.Join(newDir(t), "s")
	l := listen(t, path)
	if l.Addr().Network() != "unix" || l.Addr().String() != path {
		t.Errorf("got address %s %s, want unix %s", l.Addr().Network(), l.Addr(), path)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "served "+r.URL.Path)
	})}
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	var dialer net.Dialer
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return dialer.DialContext(ctx, "unix", path)
	}}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: 5 * time.Second}
	res, err := client.Get("http://localhost/channels")
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(res.Body)
	_ = res.Body.Close()
	if err != nil || string(body) != "served /channels" {
		t.Errorf("got %q, %v, want served /channels", body, err)
	}
	if err := server.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if err := <-done; !errors.Is(err, http.ErrServerClosed) {
		t.Error(err)
	}
	checkGone(t, path)
}

func TestModeIgnoresUmask(t *testing.T) {
	for _, umask := range []string{"0077", "0022", "0000"} {
		t.Run(umask, func(t *testing.T) {
			p := child(t, "listen", "UMASK="+umask)
			p.send(filepath.Join(newDir(t), "s"))
			if got := p.receive(); got != "Srw-rw----" {
				t.Errorf("got mode %s, want Srw-rw----", got)
			}
		})
	}
}

func TestModeIsNeverWider(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("the socket can have a mode before bind on Linux only")
	}
	if got := child(t, "watch", "UMASK=0000", "DIR="+newDir(t)).receive(); got != "0660" {
		t.Errorf("got permissions %s, want 0660 only", got)
	}
}

func TestReplacesStaleSocket(t *testing.T) {
	path := filepath.Join(newDir(t), "s")
	leaveStale(t, path)
	listen(t, path)
	checkMode(t, path)
}

func TestReplacesSocketOfKilledBroker(t *testing.T) {
	path := filepath.Join(newDir(t), "s")
	p := child(t, "listen")
	p.send(path)
	if got := p.receive(); strings.HasPrefix(got, "error") {
		t.Fatal(got)
	}
	checkRefused(t, path, "is in use by another program, perhaps another broker")
	if err := p.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = p.cmd.Wait()
	if _, err := os.Lstat(path); err != nil {
		t.Fatalf("got %v, want the file of the killed child", err)
	}
	listen(t, path)
}

func TestLeavesLiveSocket(t *testing.T) {
	path := filepath.Join(newDir(t), "s")
	l := listen(t, path)
	checkRefused(t, path, "is in use by another program, perhaps another broker: stop it, or set another path")
	checkAccepts(t, l, path)
}

// checkAccepts checks that l accepts the connections to path.
func checkAccepts(t *testing.T, l net.Listener, path string) {
	t.Helper()
	go func() {
		if conn, err := net.Dial("unix", path); err == nil {
			_, _ = io.WriteString(conn, "hello")
			_ = conn.Close()
		}
	}()
	_ = l.(interface{ SetDeadline(time.Time) error }).SetDeadline(time.Now().Add(5 * time.Second))
	for {
		conn, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		said, _ := io.ReadAll(conn) // empty if Listen made the connection
		_ = conn.Close()
		if string(said) == "hello" {
			return
		}
	}
}

// TestLeavesSocketOfStoppedProgram: the program accepts nothing, and its backlog is full.
func TestLeavesSocketOfStoppedProgram(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("on other systems, a full backlog looks like a stale socket")
	}
	path := filepath.Join(newDir(t), "s")
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	if err := errors.Join(syscall.Bind(fd, &syscall.SockaddrUnix{Name: path}), syscall.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	for range 100 {
		conn, err := net.DialTimeout("unix", path, time.Second)
		if err != nil {
			checkRefused(t, path, "is in use by another program")
			return
		}
		defer conn.Close()
	}
	t.Fatal("the backlog is not full after 100 connections")
}

func TestLeavesLiveDatagramSocket(t *testing.T) {
	path := filepath.Join(newDir(t), "s")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	checkRefused(t, path, "is in use by another program")
}

func TestLeavesOtherFiles(t *testing.T) {
	dir := newDir(t)
	at := func(name string) string { return filepath.Join(dir, name) }
	leaveStale(t, at("stale"))
	for name, test := range map[string]struct {
		make func(path string) error
		text string
	}{
		"file":            {func(path string) error { return os.WriteFile(path, nil, 0o600) }, "is a file, not a socket"},
		"directory":       {func(path string) error { return os.Mkdir(path, 0o700) }, "is a directory: set the path of a file in it, such as unix://" + at("directory") + "/broker.sock"},
		"fifo":            {func(path string) error { return syscall.Mkfifo(path, 0o600) }, "is a file, not a socket"},
		"link-to-stale":   {func(path string) error { return os.Symlink("stale", path) }, "is a symbolic link: set the path of its target"},
		"link-to-nothing": {func(path string) error { return os.Symlink("nothing", path) }, "is a symbolic link"},
	} {
		t.Run(name, func(t *testing.T) {
			if err := test.make(at(name)); err != nil {
				t.Fatal(err)
			}
			before, err := os.Lstat(at(name))
			if err != nil {
				t.Fatal(err)
			}
			checkRefused(t, at(name), test.text)
			if after, err := os.Lstat(at(name)); err != nil || !os.SameFile(before, after) {
				t.Errorf("got %v, want the file unchanged", err)
			}
		})
	}
	if _, err := os.Lstat(at("stale")); err != nil {
		t.Errorf("the link was followed: %v", err)
	}
	checkGone(t, at("nothing"))
}

func TestCloseRemovesSocketOnce(t *testing.T) {
	path := filepath.Join(newDir(t), "s")
	l := listen(t, path)
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	checkGone(t, path)
	next := listen(t, path)
	if err := l.Close(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("second Close: got %v, want net.ErrClosed", err)
	}
	checkAccepts(t, next, path)
}

func TestRefusesInvalidPaths(t *testing.T) {
	dir := newDir(t)
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	longest := len(syscall.RawSockaddrUnix{}.Path) - 1
	fits := filepath.Join(dir, strings.Repeat("x", longest-len(dir)-1))
	_ = listen(t, fits).Close()
	for path, text := range map[string]string{
		fits + "x":                      "is too long",
		filepath.Join(dir, "no/s"):      "is in a directory that does not exist: create it",
		filepath.Join(dir, "file", "s"): "is below a file that is not a directory",
		dir + "/":                       "write it as unix://" + dir,
		dir + "/../s":                   "write it as unix:///tmp/s",
		"/":                             "is a directory",
	} {
		t.Run(text, func(t *testing.T) { checkRefused(t, path, text) })
	}
}

func TestRefusesWithoutPermission(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs a second user")
	}
	dir := newDir(t)
	at := func(name string) string { return filepath.Join(dir, name, "s") }
	for name, mode := range map[string]os.FileMode{"closed": 0o700, "readable": 0o755, "sticky": 0o777 | os.ModeSticky, "others": 0o777} {
		if err := errors.Join(os.Mkdir(filepath.Join(dir, name), 0o700), os.Chmod(filepath.Join(dir, name), mode)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	leaveStale(t, at("sticky"))
	if err := os.Chmod(at("sticky"), 0o777); err != nil { // so that other users can connect
		t.Fatal(err)
	}
	listen(t, at("others")) // mode 0660: other users cannot connect
	p := child(t, "listen", "UNPRIVILEGED=1")
	for name, text := range map[string]string{
		"closed":   "cannot be created by this user: let it read and write the directory",
		"readable": "cannot be created by this user: let it read and write the directory",
		"sticky":   "cannot be removed by this user: remove it, or set another path",
		"others":   "cannot connect to",
	} {
		p.send(at(name))
		checkError(t, strings.TrimPrefix(p.receive(), "error: "), at(name), text)
	}
}

func TestStopsWhenContextIsDone(t *testing.T) {
	path := filepath.Join(newDir(t), "s")
	leaveStale(t, path)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := unixsocket.Listen(ctx, path); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
}
