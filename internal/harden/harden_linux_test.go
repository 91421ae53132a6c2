package harden_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
)

const nobody = 65534

// observe starts an observer and its victim as that user; both live until the test has ended.
func observe(t *testing.T, uid int) (o observation) {
	t.Helper()
	command := exec.CommandContext(t.Context(), "/proc/self/exe") // by a path that every user may go
	command.Dir = "/"
	command.Env = []string{noSleep, role + "=observer"}
	command.Stderr = os.Stderr
	if uid != os.Getuid() {
		command.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}}
	}
	input, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	output, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = input.Close()
		_ = command.Wait()
	})
	if err := json.NewDecoder(output).Decode(&o); err != nil {
		t.Fatalf("the observer fails: %v", err)
	}
	if !strings.Contains(o.Before.Environ, first) || !strings.Contains(o.Before.Environ, second) {
		t.Fatalf("the secrets are not in the environment to begin with: %q", o.Before.Environ)
	}
	if o.Victim.Errors != "" {
		t.Errorf("Harden: %s", o.Victim.Errors)
	}
	return o
}

func ordinary() int {
	if uid := os.Getuid(); uid != 0 {
		return uid
	}
	return nobody
}

func TestHardenAsRoot(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root to be root")
	}
	t.Parallel()
	testHarden(t, observe(t, 0))
}

func TestHardenAsOrdinaryUser(t *testing.T) {
	t.Parallel()
	o := observe(t, ordinary())
	testHarden(t, o)
	t.Run("what fails is told without a value", func(t *testing.T) {
		got := o.Victim.Again // once hardened, the process may not read its own environment's block
		if !strings.Contains(got, "permission denied") || strings.Contains(got, "canary") || strings.Contains(got, "xx") {
			t.Errorf("%q", got)
		}
	})
	t.Run("nobody else looks in", func(t *testing.T) {
		if o.Before.MemoryDenied {
			t.Skip("this machine lets nobody but root read a process's memory (Yama)")
		}
		if o.Before.Memory != memory {
			t.Fatalf("memory before: %q", o.Before.Memory)
		}
		if !o.After.EnvironDenied || !o.After.MemoryDenied {
			t.Errorf("afterwards: %+v", o.After)
		}
	})
}

// testHarden has what holds for every user.
func testHarden(t *testing.T, o observation) {
	t.Run("secrets leave the environment", func(t *testing.T) {
		got := o.Victim
		if !slices.Contains(got.Taken, "TEST_SECRET="+first) {
			t.Errorf("os.Environ before: %q", got.Taken)
		}
		want := []string{"TEST_BEFORE=stays", "TEST_SECRET_FILE=stays", "TEST_AFTER=a=b", "MY_TEST_SECRET=stays", noSleep, role + "=victim"}
		if !slices.Equal(got.Environ, want) {
			t.Errorf("os.Environ: %q, want %q", got.Environ, want)
		}
		want[len(want)-1] = role + "=child"
		if child := strings.Split(got.Child, "\n"); !slices.Equal(child, want) {
			t.Errorf("of a child: %q, want %q", child, want)
		}
	})
	// By a handle from before, since nobody but root can open one now.
	t.Run("secrets are overwritten", func(t *testing.T) {
		if got := o.Victim.Handle; got != hiddenEnviron {
			t.Errorf("%q, want %q", got, hiddenEnviron)
		}
	})
	t.Run("root sees no secret", func(t *testing.T) {
		if os.Getuid() != 0 {
			t.Skip("root alone can read the environment of a process that cannot be dumped")
		}
		got, err := lookAt(o.PID, o.Address)
		if err != nil || got.Environ != hiddenEnviron {
			t.Errorf("%q, %v, want %q", got.Environ, err, hiddenEnviron)
		}
	})
	// What Prometheus' collector reads of the process, and what else is of use.
	t.Run("the process sees itself", func(t *testing.T) {
		if len(o.Victim.Unreadable) != 0 {
			t.Errorf("%q", o.Victim.Unreadable)
		}
		if o.Victim.Descriptors < 4 { // three, and the handle
			t.Errorf("%d descriptors", o.Victim.Descriptors)
		}
	})
}

func TestNoCoreDump(t *testing.T) {
	t.Parallel()
	dumps := func(environ ...string) bool {
		command := exec.CommandContext(t.Context(), "/proc/self/exe")
		command.Dir = t.TempDir() // where the dump goes
		command.Env = append(environ, noSleep, role+"=crash", "GOTRACEBACK=crash")
		_ = command.Run()
		status := command.ProcessState.Sys().(syscall.WaitStatus)
		if status.Signal() != syscall.SIGABRT {
			t.Fatalf("%v", command.ProcessState)
		}
		return status.CoreDump()
	}
	if !dumps() {
		t.Skip("this machine writes no core dumps")
	}
	if dumps("TEST_HARDEN=1") {
		t.Error("a core dump")
	}
}
