//go:build unix

package localca_test

import (
	"bufio"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"etrusted-broker/proxy/localca"
)

const racers = 8

// childMode selects what a child process of the tests does. Changes to a whole process, such as the umask, need a child.
const childMode = "LOCALCA_TEST_CHILD"

func TestMain(m *testing.M) {
	mode := os.Getenv(childMode)
	if mode == "" {
		os.Exit(m.Run())
	}
	umask, err := strconv.ParseInt(os.Getenv("UMASK"), 8, 0)
	if err == nil {
		syscall.Umask(int(umask))
	}
	if os.Getenv("DROP_ROOT") != "" && os.Geteuid() == 0 { // root bypasses permissions
		if err := errors.Join(syscall.Setgroups(nil), syscall.Setgid(65534), syscall.Setuid(65534)); err != nil {
			fmt.Println("error:", err)
			os.Exit(1)
		}
	}
	switch mode {
	case "open":
		for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
			fmt.Println(openResult(lines.Text()))
		}
	case "watch":
		watchKeys(os.Getenv("DIR"))
	}
	os.Exit(0)
}

// openResult returns one line: the digest of the certificate, or the error.
func openResult(dir string) string {
	a, err := localca.OpenOrCreate(dir, both)
	if err != nil {
		return "error: " + err.Error()
	}
	return fmt.Sprintf("%x", sha256.Sum256(a.CertificatePEM()))
}

// watchKeys creates many CAs while it polls the modes of all key files, and prints the union of all permissions.
func watchKeys(dir string) {
	var seen fs.FileMode
	stop := make(chan struct{})
	var watcher sync.WaitGroup
	watcher.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			d, err := os.Open(dir)
			if err != nil {
				continue
			}
			names, _ := d.Readdirnames(-1)
			_ = d.Close()
			for _, name := range names {
				if info, err := os.Lstat(filepath.Join(dir, name)); err == nil && strings.Contains(name, "ca.key") {
					seen |= info.Mode().Perm()
				}
			}
		}
	})
	for start := time.Now(); time.Since(start) < time.Second; {
		if got := openResult(dir); strings.HasPrefix(got, "error: ") {
			fmt.Println(got)
			break
		}
		_, _ = os.Remove(filepath.Join(dir, "ca.key")), os.Remove(filepath.Join(dir, "ca.crt"))
	}
	close(stop)
	watcher.Wait()
	fmt.Printf("%#o\n", seen)
}

type process struct {
	t     *testing.T
	stdin io.WriteCloser
	lines *bufio.Scanner
}

func child(t *testing.T, mode string, environ ...string) *process {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(append(os.Environ(), childMode+"="+mode), environ...)
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	must(t, err)
	stdin, err := cmd.StdinPipe()
	must(t, err)
	must(t, cmd.Start())
	t.Cleanup(func() {
		_ = stdin.Close()
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return &process{t, stdin, bufio.NewScanner(stdout)}
}

func (p *process) send(line string) {
	p.t.Helper()
	_, err := io.WriteString(p.stdin, line+"\n")
	must(p.t, err)
}

func (p *process) receive() string {
	p.t.Helper()
	if !p.lines.Scan() {
		p.t.Fatal("the child has ended")
	}
	return p.lines.Text()
}

func TestFileModes(t *testing.T) {
	t.Parallel()
	for _, umask := range []string{"0", "022", "077"} {
		dir := inMemory(t)
		p := child(t, "open", "UMASK="+umask)
		p.send(dir)
		if got := p.receive(); strings.HasPrefix(got, "error: ") {
			t.Fatal(got)
		}
		for name, mode := range map[string]fs.FileMode{"ca.key": 0o600, "ca.crt": 0o644} {
			info, err := os.Lstat(filepath.Join(dir, name))
			must(t, err)
			if info.Mode() != mode {
				t.Errorf("umask %s: %s has mode %v, want %v", umask, name, info.Mode(), mode)
			}
		}
		if names := list(t, dir); len(names) != 2 {
			t.Errorf("files %v, want only ca.crt and ca.key", names)
		}
	}
}

func TestKeyIsNeverReadableByOthers(t *testing.T) {
	t.Parallel()
	p := child(t, "watch", "UMASK=0", "DIR="+inMemory(t))
	if got := p.receive(); got != "0600" {
		t.Errorf("keys had modes %s, want 0600", got)
	}
}

func TestConcurrentOpensShareCA(t *testing.T) {
	t.Parallel()
	for range 30 {
		dir := inMemory(t)
		got := make([]string, racers)
		var all sync.WaitGroup
		start := make(chan struct{})
		for i := range got {
			all.Go(func() {
				<-start
				got[i] = openResult(dir)
			})
		}
		close(start)
		all.Wait()
		checkSameCA(t, dir, got)
	}
}

func TestConcurrentProcessesShareCA(t *testing.T) {
	t.Parallel()
	var all []*process
	for range racers {
		all = append(all, child(t, "open"))
	}
	for range 30 {
		dir := inMemory(t)
		for _, p := range all {
			p.send(dir)
		}
		var got []string
		for _, p := range all {
			got = append(got, p.receive())
		}
		checkSameCA(t, dir, got)
	}
}

func checkSameCA(t *testing.T, dir string, got []string) {
	t.Helper()
	want := openResult(dir) // as after a restart
	for _, one := range got {
		if one != want || strings.HasPrefix(one, "error: ") {
			t.Fatalf("Open = %s, want %s", one, want)
		}
	}
	if names := list(t, dir); len(names) != 2 {
		t.Errorf("files %v, want only ca.crt and ca.key", names)
	}
}

// The user may only read the directory.
func TestReportsMissingPermissions(t *testing.T) {
	t.Parallel()
	empty, full := dirForAll(t), dirForAll(t)
	open(t, full, both...)
	must(t, os.Chmod(filepath.Join(full, "ca.key"), 0))
	must(t, os.Chmod(empty, 0o555))
	p := child(t, "open", "DROP_ROOT=yes")
	for dir, want := range map[string]string{
		empty: "the directory " + empty + " is not accessible for this user: grant read and write access",
		full:  filepath.Join(full, "ca.key") + " is not readable for the broker's user",
	} {
		p.send(dir)
		if got := p.receive(); !strings.HasPrefix(got, "error: "+want) {
			t.Errorf("Open = %s, want %s", got, want)
		}
	}
}

// dirForAll returns a directory that every user can enter, unlike t.TempDir.
func dirForAll(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "localca")
	must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	must(t, os.Chmod(dir, 0o755))
	return dir
}

// Opening a pipe would block.
func TestRejectsPipe(t *testing.T) {
	t.Parallel()
	dir := inMemory(t)
	open(t, dir, both...)
	without("ca.key")(t, dir, "")
	must(t, syscall.Mkfifo(filepath.Join(dir, "ca.key"), 0o600))
	if got := openResult(dir); !strings.Contains(got, "ca.key is not a regular file") {
		t.Error(got)
	}
}
