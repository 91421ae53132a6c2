//go:build unix

package unixsocket_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"etrusted-broker/internal/unixsocket"
)

// childMode makes the test binary run as a helper: umask and user belong to the whole process.
const childMode = "UNIXSOCKET_TEST_CHILD"

func TestMain(m *testing.M) {
	mode := os.Getenv(childMode)
	if mode == "" {
		os.Exit(m.Run())
	}
	umask, err := strconv.ParseInt(os.Getenv("UMASK"), 8, 0)
	if err == nil {
		syscall.Umask(int(umask))
	}
	if os.Getenv("UNPRIVILEGED") != "" && os.Geteuid() == 0 { // permissions do not apply to root
		if err := errors.Join(syscall.Setgroups(nil), syscall.Setgid(65534), syscall.Setuid(65534)); err != nil {
			fmt.Println("error:", err)
			os.Exit(1)
		}
	}
	switch mode {
	case "listen":
		listenOnDemand()
	case "watch":
		watchModes(os.Getenv("DIR"))
	}
	os.Exit(0)
}

// listenOnDemand listens on each path that it reads, after closing the one before, and prints the mode or an error.
func listenOnDemand() {
	var l net.Listener
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		if l != nil {
			_ = l.Close()
		}
		var err error
		if l, err = unixsocket.Listen(context.Background(), lines.Text()); err != nil {
			l = nil
			fmt.Println("error:", err)
			continue
		}
		info, err := os.Lstat(lines.Text())
		if err != nil {
			fmt.Println("error:", err)
			continue
		}
		fmt.Println(info.Mode())
	}
	if l != nil {
		_ = l.Close()
	}
}

// watchModes listens many times while it polls the file's mode, and prints all permissions seen.
func watchModes(dir string) {
	var seen fs.FileMode
	stop := make(chan struct{})
	path := filepath.Join(dir, "s")
	var watcher sync.WaitGroup
	watcher.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				if info, err := os.Lstat(path); err == nil {
					seen |= info.Mode().Perm()
				}
			}
		}
	})
	for range 250 {
		l, err := unixsocket.Listen(context.Background(), path)
		if err != nil {
			fmt.Println("error:", err)
			break
		}
		_ = l.Close()
	}
	close(stop)
	watcher.Wait()
	fmt.Printf("%#o\n", seen)
}

type process struct {
	t     *testing.T
	cmd   *exec.Cmd
	stdin io.WriteCloser
	lines *bufio.Scanner
}

// child starts the test binary as a helper.
func child(t *testing.T, mode string, environ ...string) *process {
	t.Helper()
	p := &process{t: t, cmd: exec.Command(os.Args[0])}
	p.cmd.Env = append(append(os.Environ(), childMode+"="+mode), environ...)
	p.cmd.Stderr = os.Stderr
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.lines = bufio.NewScanner(stdout)
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = p.stdin.Close()
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait()
	})
	return p
}

func (p *process) send(line string) {
	p.t.Helper()
	if _, err := io.WriteString(p.stdin, line+"\n"); err != nil {
		p.t.Fatal(err)
	}
}

func (p *process) receive() string {
	p.t.Helper()
	if !p.lines.Scan() {
		p.t.Fatal("the child has exited")
	}
	return p.lines.Text()
}

// newDir returns a directory whose path is short enough for a socket on every system, unlike t.TempDir.
func newDir(t *testing.T) string {
	t.Helper()
	path, err := os.MkdirTemp("/tmp", "us")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(path) })
	return path
}

// listen calls Listen, which must succeed.
func listen(t *testing.T, path string) net.Listener {
	t.Helper()
	l, err := unixsocket.Listen(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// checkRefused checks that Listen returns an error that begins with the address and contains text.
func checkRefused(t *testing.T, path, text string) {
	t.Helper()
	l, err := unixsocket.Listen(t.Context(), path)
	if err == nil {
		_ = l.Close()
		t.Fatalf("got no error, want %q", text)
	}
	checkError(t, err.Error(), path, text)
}

func checkError(t *testing.T, err, path, text string) {
	t.Helper()
	if !strings.HasPrefix(err, "unix://"+path+" ") || !strings.Contains(err, text) || strings.HasSuffix(err, ".") || strings.Contains(err, "%!") {
		t.Errorf("got error %q, want unix://%s … %s", err, path, text)
	}
}

// leaveStale creates a socket file that no program listens on.
func leaveStale(t *testing.T, path string) {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	_ = l.Close()
}

func checkMode(t *testing.T, path string) {
	t.Helper()
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode() != fs.ModeSocket|0o660 {
		t.Errorf("got mode %v, want Srw-rw----", info.Mode())
	}
}

func checkGone(t *testing.T, path string) {
	t.Helper()
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want the file removed", err)
	}
}
