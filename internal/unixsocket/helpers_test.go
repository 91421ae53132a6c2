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

// childMode says what a child of the tests is to do: what changes the whole process is not done in this one.
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
	if os.Getenv("NOBODY") != "" && os.Geteuid() == 0 { // root may do everything
		if err := errors.Join(syscall.Setgroups(nil), syscall.Setgid(65534), syscall.Setuid(65534)); err != nil {
			fmt.Println("error:", err)
			os.Exit(1)
		}
	}
	switch mode {
	case "listen":
		listenOnDemand()
	case "watch":
		watchModes(os.Getenv("FOLDER"))
	}
	os.Exit(0)
}

// listenOnDemand listens on each path that it is told, and answers. What it listens on is closed by the next one.
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

// watchModes listens many times, while it looks at the file without pause, and prints the permissions that it ever had.
func watchModes(folder string) {
	var seen fs.FileMode
	stop := make(chan struct{})
	path := filepath.Join(folder, "s")
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

// child starts the test binary as another process.
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

func (p *process) tell(line string) {
	p.t.Helper()
	if _, err := io.WriteString(p.stdin, line+"\n"); err != nil {
		p.t.Fatal(err)
	}
}

func (p *process) answer() string {
	p.t.Helper()
	if !p.lines.Scan() {
		p.t.Fatal("the child has ended")
	}
	return p.lines.Text()
}

// folder returns a path short enough for a socket on every system, which t.TempDir is not.
func folder(t *testing.T) string {
	t.Helper()
	path, err := os.MkdirTemp("/tmp", "us")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(path) })
	return path
}

// listen fails the test if it cannot.
func listen(t *testing.T, path string) net.Listener {
	t.Helper()
	l, err := unixsocket.Listen(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// refused fails the test unless Listen returns an error that begins with the address and has text in it.
func refused(t *testing.T, path, text string) {
	t.Helper()
	l, err := unixsocket.Listen(t.Context(), path)
	if err == nil {
		_ = l.Close()
		t.Fatal("no error")
	}
	checkError(t, err.Error(), path, text)
}

func checkError(t *testing.T, err, path, text string) {
	t.Helper()
	if !strings.HasPrefix(err, "unix://"+path+" ") || !strings.Contains(err, text) || strings.HasSuffix(err, ".") || strings.Contains(err, "%!") {
		t.Errorf("not an error with %q: %s", text, err)
	}
}

// stale leaves a socket behind that nobody serves.
func stale(t *testing.T, path string) {
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
		t.Errorf("mode %v", info.Mode())
	}
}

func checkGone(t *testing.T, path string) {
	t.Helper()
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the file is there still: %v", err)
	}
}
