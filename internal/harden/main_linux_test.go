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

// role is the variable that makes the test binary run as a helper: hardening cannot be undone, and only another process
// can verify it.
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
	secret = "canary-secret-51f0"
	memory = "canary-memory-2a77"
)

var secrets = []string{"TEST_SECRET", "TEST_EMPTY", "TEST_ABSENT"}

var victimEnviron = []string{
	"TEST_BEFORE=stays", "TEST_SECRET=" + secret, "TEST_SECRET_FILE=stays", "TEST_EMPTY=",
	"TEST_AFTER=a=b", "MY_TEST_SECRET=stays", noSleep, role + "=victim",
}

// processView is what one process can read of another.
type processView struct {
	Environ, Memory             string
	EnvironDenied, MemoryDenied bool
}

func viewProcess(pid int, address int64) (l processView, err error) {
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

// observation is the observer's report to the test.
type observation struct {
	PID           int
	Address       int64 // of memory
	Before, After processView
	Victim        victimReport
}

// observer starts the victim as its child, because Yama lets only the parent read a process of the same user. Both end
// when the observer's standard input ends.
func observer() error {
	child := exec.Command("/proc/self/exe")
	child.Env, child.Stderr = victimEnviron, os.Stderr
	input, err := child.StdinPipe()
	if err != nil {
		return err
	}
	output, err := child.StdoutPipe()
	if err != nil {
		return err
	}
	if err := child.Start(); err != nil {
		return err
	}
	defer func() {
		_ = input.Close()
		_ = child.Wait()
	}()

	o := observation{PID: child.Process.Pid}
	answers := json.NewDecoder(output)
	if err := answers.Decode(&o.Address); err != nil {
		return err
	}
	if o.Before, err = viewProcess(o.PID, o.Address); err != nil {
		return err
	}
	if _, err := fmt.Fprintln(input, "harden"); err != nil {
		return err
	}
	if err := answers.Decode(&o.Victim); err != nil {
		return err
	}
	if o.After, err = viewProcess(o.PID, o.Address); err != nil {
		return err
	}
	if err := json.NewEncoder(os.Stdout).Encode(o); err != nil {
		return err
	}
	_, _ = io.Copy(io.Discard, os.Stdin)
	return nil
}

// victimReport is the victim's report after hardening.
type victimReport struct {
	EnvironBefore, Environ []string // os.Environ
	Child                  string   // os.Environ of a child
	Unreadable             []string // files that the metrics are read from
	Descriptors            int      // number of entries in /proc/self/fd
}

func victim() error {
	c := victimReport{EnvironBefore: os.Environ()}
	fmt.Println(uintptr(unsafe.Pointer(unsafe.StringData(memory))))
	input := bufio.NewReader(os.Stdin)
	if _, err := input.ReadString('\n'); err != nil {
		return err
	}
	harden.Process(secrets)
	c.Environ = os.Environ()
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

// crash dies from a signal that writes a core dump, unless TEST_HARDEN is set.
func crash() error {
	// One page is enough to detect a dump.
	size := uint64(os.Getpagesize())
	if err := syscall.Setrlimit(syscall.RLIMIT_CORE, &syscall.Rlimit{Cur: size, Max: size}); err != nil {
		return err
	}
	if os.Getenv("TEST_HARDEN") != "" {
		harden.Process(nil)
	}
	panic("with GOTRACEBACK=crash this ends in a SIGABRT")
}
