package harden_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"etrusted-broker/internal/harden"
)

// role names the variable that makes this binary somebody else: a process can be hardened only once, and be looked at
// only by another.
const role = "PROCESS_TEST_ROLE"

// noSleep keeps the race detector from sleeping for a second at the end of each process.
const noSleep = "GORACE=atexit_sleep_ms=0"

func TestMain(m *testing.M) {
	var err error
	switch os.Getenv(role) {
	case "":
		os.Exit(m.Run())
	case "observer":
		err = observer()
	case "victim":
		err = victim()
	case "child":
		fmt.Print(strings.Join(os.Environ(), "\n"))
	case "crash":
		err = crash()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

const (
	first  = "canary-first-51f0"
	second = "canary-second-8b1c"
	memory = "canary-memory-2a77"
)

var secrets = []string{"TEST_SECRET", "TEST_EMPTY", "TEST_ABSENT"}

// victimEnviron has a name twice, which a shell would not do, but execve lets anybody do.
var victimEnviron = []string{
	"TEST_BEFORE=stays", "TEST_SECRET=" + first, "TEST_SECRET_FILE=stays", "TEST_EMPTY=", "TEST_SECRET=" + second,
	"TEST_AFTER=a=b", "MY_TEST_SECRET=stays", noSleep, role + "=victim",
}

// hiddenEnviron is what /proc/PID/environ shows of it afterwards.
var hiddenEnviron = strings.NewReplacer(first, strings.Repeat("x", len(first)), second, strings.Repeat("x", len(second))).
	Replace(strings.Join(victimEnviron, "\x00") + "\x00")

// look is what a process sees of another.
type look struct {
	Environ, Memory             string
	EnvironDenied, MemoryDenied bool
}

func lookAt(pid int, address int64) (l look, err error) {
	environ, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	if l.Environ, l.EnvironDenied = string(environ), errors.Is(err, fs.ErrPermission); err != nil && !l.EnvironDenied {
		return l, err
	}
	file, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid))
	if l.MemoryDenied = errors.Is(err, fs.ErrPermission); err != nil {
		if l.MemoryDenied {
			err = nil
		}
		return l, err
	}
	defer file.Close()
	bytes := make([]byte, len(memory))
	_, err = file.ReadAt(bytes, address)
	l.Memory = string(bytes)
	return l, err
}

// observation is what the observer tells the test.
type observation struct {
	PID           int
	Address       int64 // of memory
	Before, After look
	Victim        confession
}

// observer starts a victim as its child, since Yama lets nobody but the parent look into a process of the same user. It
// ends, and the victim with it, when its standard input does.
func observer() error {
	ours, theirs, err := pipes()
	if err != nil {
		return err
	}
	// Not exec.Command, which would remove what is there twice.
	child, err := os.StartProcess("/proc/self/exe", []string{"victim"}, &os.ProcAttr{
		Env: victimEnviron, Files: []*os.File{theirs.in, theirs.out, os.Stderr},
	})
	if err != nil {
		return err
	}
	defer func() {
		_ = ours.out.Close()
		_, _ = child.Wait()
	}()
	_ = theirs.in.Close()
	_ = theirs.out.Close()

	o := observation{PID: child.Pid}
	answers := json.NewDecoder(ours.in)
	if err := answers.Decode(&o.Address); err != nil {
		return err
	}
	if o.Before, err = lookAt(o.PID, o.Address); err != nil {
		return err
	}
	if _, err := fmt.Fprintln(ours.out, "harden"); err != nil {
		return err
	}
	if err := answers.Decode(&o.Victim); err != nil {
		return err
	}
	if o.After, err = lookAt(o.PID, o.Address); err != nil {
		return err
	}
	if err := json.NewEncoder(os.Stdout).Encode(o); err != nil {
		return err
	}
	_, _ = io.Copy(io.Discard, os.Stdin)
	return nil
}

type ends struct{ in, out *os.File }

func pipes() (ours, theirs ends, err error) {
	if ours.in, theirs.out, err = os.Pipe(); err == nil {
		theirs.in, ours.out, err = os.Pipe()
	}
	return ours, theirs, err
}

// confession is what the victim tells of itself, once it is hardened.
type confession struct {
	Errors, Again  string   // of Harden, and of Harden once more
	Taken, Environ []string // os.Environ before and after
	Child          string   // os.Environ of a child
	Handle         string   // /proc/self/environ by a handle opened before
	Unreadable     []string // of what the metrics are read from
	Descriptors    int      // as /proc/self/fd lists them
}

func victim() error {
	c := confession{Taken: os.Environ()}
	// A name as bad as a program's can be: whoever counts the fields of /proc/self/stat by blanks miscounts.
	if err := os.WriteFile("/proc/self/comm", []byte(") S 1 (2) ("), 0); err != nil {
		return err
	}
	handle, err := os.Open("/proc/self/environ")
	if err != nil {
		return err
	}
	defer handle.Close()
	fmt.Println(uintptr(unsafe.Pointer(unsafe.StringData(memory))))
	input := bufio.NewReader(os.Stdin)
	if _, err := input.ReadString('\n'); err != nil {
		return err
	}
	if err := harden.Process(secrets); err != nil {
		c.Errors = err.Error()
	}
	if err := harden.Process(secrets); err != nil {
		c.Again = err.Error()
	}
	c.Environ = os.Environ()
	environ, err := io.ReadAll(handle)
	if err != nil {
		return err
	}
	c.Handle = string(environ)
	child := exec.Command("/proc/self/exe")
	child.Env = append(os.Environ(), role+"=child")
	output, err := child.Output()
	if err != nil {
		return err
	}
	c.Child = string(output)
	for _, path := range []string{"stat", "limits", "net/netstat", "net/snmp", "status", "cgroup", "mountinfo", "maps"} {
		if _, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", os.Getpid(), path)); err != nil {
			c.Unreadable = append(c.Unreadable, err.Error())
		}
	}
	list, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", os.Getpid()))
	if err != nil {
		c.Unreadable = append(c.Unreadable, err.Error())
	}
	c.Descriptors = len(list)
	if err := json.NewEncoder(os.Stdout).Encode(c); err != nil {
		return err
	}
	_, _ = io.Copy(io.Discard, input)
	return nil
}

// crash ends by a signal that writes a core dump, unless TEST_HARDEN forbids it.
func crash() error {
	// One page is enough to see that there is one.
	size := uint64(os.Getpagesize())
	if err := syscall.Setrlimit(syscall.RLIMIT_CORE, &syscall.Rlimit{Cur: size, Max: size}); err != nil {
		return err
	}
	if os.Getenv("TEST_HARDEN") != "" {
		if err := harden.Process(nil); err != nil {
			return err
		}
	}
	panic("with GOTRACEBACK=crash this ends in a SIGABRT")
}
