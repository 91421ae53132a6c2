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
	path := filepath.Join(folder(t), "s")
	l := listen(t, path)
	if l.Addr().Network() != "unix" || l.Addr().String() != path {
		t.Errorf("%s %s", l.Addr().Network(), l.Addr())
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
		t.Errorf("%q, %v", body, err)
	}
	if err := server.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if err := <-done; !errors.Is(err, http.ErrServerClosed) {
		t.Error(err)
	}
	checkGone(t, path)
}

func TestMode(t *testing.T) {
	for _, umask := range []string{"0077", "0022", "0000"} {
		t.Run(umask, func(t *testing.T) {
			p := child(t, "listen", "UMASK="+umask)
			p.tell(filepath.Join(folder(t), "s"))
			if got := p.answer(); got != "Srw-rw----" {
				t.Error(got)
			}
		})
	}
}

func TestModeIsNeverWider(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("only Linux can")
	}
	if got := child(t, "watch", "UMASK=0000", "FOLDER="+folder(t)).answer(); got != "0660" {
		t.Error("permissions seen: ", got)
	}
}

func TestReplacesStaleSocket(t *testing.T) {
	path := filepath.Join(folder(t), "s")
	stale(t, path)
	listen(t, path)
	checkMode(t, path)
}

func TestReplacesSocketOfKilledBroker(t *testing.T) {
	path := filepath.Join(folder(t), "s")
	p := child(t, "listen")
	p.tell(path)
	if got := p.answer(); strings.HasPrefix(got, "error") {
		t.Fatal(got)
	}
	refused(t, path, "served by another program, perhaps another broker")
	if err := p.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = p.cmd.Wait()
	if _, err := os.Lstat(path); err != nil {
		t.Fatal("the child has cleaned up: ", err)
	}
	listen(t, path)
}

func TestLeavesLiveSocket(t *testing.T) {
	path := filepath.Join(folder(t), "s")
	l := listen(t, path)
	refused(t, path, "served by another program, perhaps another broker: end that one, or set another path")
	accepts(t, l, path)
}

// accepts fails the test unless connections to path come in at l.
func accepts(t *testing.T, l net.Listener, path string) {
	t.Helper()
	go func() {
		if conn, err := net.Dial("unix", path); err == nil {
			_, _ = io.WriteString(conn, "this one")
			_ = conn.Close()
		}
	}()
	_ = l.(interface{ SetDeadline(time.Time) error }).SetDeadline(time.Now().Add(5 * time.Second))
	for {
		conn, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		said, _ := io.ReadAll(conn) // nothing, if it is the connection of a probe
		_ = conn.Close()
		if string(said) == "this one" {
			return
		}
	}
}

// TestLeavesSocketOfStoppedProgram has a program that accepts nothing, and as many connections waiting as there may be.
func TestLeavesSocketOfStoppedProgram(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("elsewhere, a full backlog looks as if nobody listened")
	}
	path := filepath.Join(folder(t), "s")
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
			refused(t, path, "served by another program")
			return
		}
		defer conn.Close()
	}
	t.Fatal("the backlog is not full")
}

func TestLeavesLiveDatagramSocket(t *testing.T) {
	path := filepath.Join(folder(t), "s")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	refused(t, path, "served by another program")
}

func TestLeavesWhatIsNoSocket(t *testing.T) {
	dir := folder(t)
	at := func(name string) string { return filepath.Join(dir, name) }
	stale(t, at("stale"))
	for name, test := range map[string]struct {
		make func(path string) error
		text string
	}{
		"file":            {func(path string) error { return os.WriteFile(path, nil, 0o600) }, "is a file, but no socket"},
		"folder":          {func(path string) error { return os.Mkdir(path, 0o700) }, "is a folder: set the path of a file in it, such as unix://" + at("folder") + "/broker.sock"},
		"fifo":            {func(path string) error { return syscall.Mkfifo(path, 0o600) }, "is a file, but no socket"},
		"link-to-stale":   {func(path string) error { return os.Symlink("stale", path) }, "is a symbolic link: set the path that it leads to"},
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
			refused(t, at(name), test.text)
			if after, err := os.Lstat(at(name)); err != nil || !os.SameFile(before, after) {
				t.Errorf("it was removed: %v", err)
			}
		})
	}
	if _, err := os.Lstat(at("stale")); err != nil {
		t.Error("a link was followed: ", err)
	}
	checkGone(t, at("nothing"))
}

func TestClose(t *testing.T) {
	path := filepath.Join(folder(t), "s")
	l := listen(t, path)
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	checkGone(t, path)
	next := listen(t, path)
	if err := l.Close(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("closed again: %v", err)
	}
	accepts(t, next, path)
}

func TestCloseLeavesAnothersSocket(t *testing.T) {
	path := filepath.Join(folder(t), "s")
	l := listen(t, path)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	other := listen(t, path)
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	accepts(t, other, path)
}

func TestPaths(t *testing.T) {
	dir := folder(t)
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	longest := len(syscall.RawSockaddrUnix{}.Path) - 1
	fits := filepath.Join(dir, strings.Repeat("x", longest-len(dir)-1))
	_ = listen(t, fits).Close()
	for path, text := range map[string]string{
		fits + "x":                      "is too long",
		filepath.Join(dir, "no/s"):      "is in a folder that does not exist: create it",
		filepath.Join(dir, "file", "s"): "is below something that is no folder",
		"run/broker.sock":               "is not an absolute path",
		"@abstract":                     "is not an absolute path",
		dir + "/":                       "write it as unix://" + dir,
		dir + "/../s":                   "write it as unix:///tmp/s",
		"/":                             "is a folder",
	} {
		t.Run(text, func(t *testing.T) { refused(t, path, text) })
	}
}

func TestPermissions(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs a second user")
	}
	dir := folder(t)
	at := func(name string) string { return filepath.Join(dir, name, "s") }
	for name, mode := range map[string]os.FileMode{"closed": 0o700, "readable": 0o755, "sticky": 0o777 | os.ModeSticky, "others": 0o777} {
		if err := errors.Join(os.Mkdir(filepath.Join(dir, name), 0o700), os.Chmod(filepath.Join(dir, name), mode)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	stale(t, at("sticky"))
	if err := os.Chmod(at("sticky"), 0o777); err != nil { // or nobody else could ask
		t.Fatal(err)
	}
	listen(t, at("others")) // with its mode 0660, nobody else can ask who serves it
	p := child(t, "listen", "NOBODY=1")
	for name, text := range map[string]string{
		"closed":   "may not be created by this user: let it read and write the folder",
		"readable": "may not be created by this user: let it read and write the folder",
		"sticky":   "may not be removed by this user: remove it, or set another path",
		"others":   "may not connect to",
	} {
		p.tell(at(name))
		checkError(t, strings.TrimPrefix(p.answer(), "error: "), at(name), text)
	}
}

func TestCancelled(t *testing.T) {
	path := filepath.Join(folder(t), "s")
	stale(t, path)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := unixsocket.Listen(ctx, path); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
