//go:build unix

package intercept_test

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

	"etrusted-broker/proxy/intercept"
)

const racers = 8

// childMode says what a child of the tests is to do: what changes the whole process is not done in this one.
const childMode = "INTERCEPT_TEST_CHILD"

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
	case "open":
		for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
			fmt.Println(opened(lines.Text()))
		}
	case "watch":
		watchKeys(os.Getenv("FOLDER"))
	}
	os.Exit(0)
}

// opened is one line: the digest of the certificate, or the error.
func opened(dir string) string {
	a, err := intercept.Open(dir, both)
	if err != nil {
		return "error: " + err.Error()
	}
	return fmt.Sprintf("%x", sha256.Sum256(a.CertificatePEM()))
}

// watchKeys makes many authorities, while it looks at all files with a key without pause, and prints the permissions that
// any ever had.
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
			folder, err := os.Open(dir)
			if err != nil {
				continue
			}
			names, _ := folder.Readdirnames(-1)
			_ = folder.Close()
			for _, name := range names {
				if info, err := os.Lstat(filepath.Join(dir, name)); err == nil && strings.Contains(name, "ca.key") {
					seen |= info.Mode().Perm()
				}
			}
		}
	})
	for start := time.Now(); time.Since(start) < time.Second; {
		if got := opened(dir); strings.HasPrefix(got, "error: ") {
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

func (p *process) tell(line string) {
	p.t.Helper()
	_, err := io.WriteString(p.stdin, line+"\n")
	must(p.t, err)
}

func (p *process) answer() string {
	p.t.Helper()
	if !p.lines.Scan() {
		p.t.Fatal("the child has ended")
	}
	return p.lines.Text()
}

func TestModes(t *testing.T) {
	t.Parallel()
	for _, umask := range []string{"0", "022", "077"} {
		dir := inMemory(t)
		p := child(t, "open", "UMASK="+umask)
		p.tell(dir)
		if got := p.answer(); strings.HasPrefix(got, "error: ") {
			t.Fatal(got)
		}
		for name, mode := range map[string]fs.FileMode{"ca.key": 0o600, "ca.crt": 0o644} {
			info, err := os.Lstat(filepath.Join(dir, name))
			must(t, err)
			if info.Mode() != mode {
				t.Errorf("umask %s: %s has mode %v", umask, name, info.Mode())
			}
		}
		if names := list(t, dir); len(names) != 2 {
			t.Errorf("left behind: %v", names)
		}
	}
}

func TestKeyIsNeverWider(t *testing.T) {
	t.Parallel()
	p := child(t, "watch", "UMASK=0", "FOLDER="+inMemory(t))
	if got := p.answer(); got != "0600" {
		t.Errorf("a key had mode %s", got)
	}
}

func TestOneForAll(t *testing.T) {
	t.Parallel()
	for range 30 {
		dir := inMemory(t)
		got := make([]string, racers)
		var all sync.WaitGroup
		start := make(chan struct{})
		for i := range got {
			all.Go(func() {
				<-start
				got[i] = opened(dir)
			})
		}
		close(start)
		all.Wait()
		checkOne(t, dir, got)
	}
}

func TestOneForAllProcesses(t *testing.T) {
	t.Parallel()
	var all []*process
	for range racers {
		all = append(all, child(t, "open"))
	}
	for range 30 {
		dir := inMemory(t)
		for _, p := range all {
			p.tell(dir)
		}
		var got []string
		for _, p := range all {
			got = append(got, p.answer())
		}
		checkOne(t, dir, got)
	}
}

func checkOne(t *testing.T, dir string, got []string) {
	t.Helper()
	want := opened(dir) // what a restart finds
	for _, one := range got {
		if one != want || strings.HasPrefix(one, "error: ") {
			t.Fatalf("%s, and not %s", one, want)
		}
	}
	if names := list(t, dir); len(names) != 2 {
		t.Errorf("left behind: %v", names)
	}
}

// TestOthersFiles has a user that may read the folder and no more.
func TestOthersFiles(t *testing.T) {
	t.Parallel()
	empty, full := folderForAll(t), folderForAll(t)
	open(t, full, both...)
	must(t, os.Chmod(filepath.Join(full, "ca.key"), 0))
	must(t, os.Chmod(empty, 0o555))
	p := child(t, "open", "NOBODY=yes")
	for dir, want := range map[string]string{
		empty: "the folder " + empty + " may not be used by this user: let it read and write there",
		full:  filepath.Join(full, "ca.key") + " cannot be read, though it must be by the user that runs the broker",
	} {
		p.tell(dir)
		if got := p.answer(); !strings.HasPrefix(got, "error: "+want) {
			t.Error(got)
		}
	}
}

// folderForAll is not below one that its owner alone may enter, as those of t.TempDir are.
func folderForAll(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "intercept")
	must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	must(t, os.Chmod(dir, 0o755))
	return dir
}

// TestPipe has something in the place of a file that would keep the broker waiting.
func TestPipe(t *testing.T) {
	t.Parallel()
	dir := inMemory(t)
	open(t, dir, both...)
	without("ca.key")(t, dir, "")
	must(t, syscall.Mkfifo(filepath.Join(dir, "ca.key"), 0o600))
	if got := opened(dir); !strings.Contains(got, "ca.key is not a file") {
		t.Error(got)
	}
}
