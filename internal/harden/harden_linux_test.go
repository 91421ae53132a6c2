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

const unprivilegedUID = 65534

// startObserver starts an observer and its victim as that user. Both live until the end of the test.
func startObserver(t *testing.T, uid int) (o observation) {
	t.Helper()
	command := exec.CommandContext(t.Context(), "/proc/self/exe") // a path that every user may execute
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
		t.Fatalf("observer: %v", err)
	}
	if !strings.Contains(o.Before.Environ, secret) {
		t.Fatalf("environment before hardening: got %q, want the secret in it", o.Before.Environ)
	}
	return o
}

func ordinaryUser() int {
	if uid := os.Getuid(); uid != 0 {
		return uid
	}
	return unprivilegedUID
}

func TestProcessAsRoot(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	t.Parallel()
	checkHardened(t, startObserver(t, 0))
}

func TestProcessAsOrdinaryUser(t *testing.T) {
	t.Parallel()
	o := startObserver(t, ordinaryUser())
	checkHardened(t, o)
	t.Run("other processes cannot read it", func(t *testing.T) {
		if o.Before.MemoryDenied {
			t.Skip("only root can read another process on this machine (Yama)")
		}
		if o.Before.Memory != memory {
			t.Fatalf("memory before: got %q, want %q", o.Before.Memory, memory)
		}
		if !o.After.EnvironDenied || !o.After.MemoryDenied {
			t.Errorf("afterwards: got %+v, want both denied", o.After)
		}
	})
}

// checkHardened checks what holds for every user.
func checkHardened(t *testing.T, o observation) {
	t.Run("removes secrets from the environment", func(t *testing.T) {
		got := o.Victim
		if !slices.Contains(got.EnvironBefore, "TEST_SECRET="+secret) {
			t.Errorf("os.Environ before: got %q, want the secret in it", got.EnvironBefore)
		}
		want := []string{"TEST_BEFORE=stays", "TEST_SECRET_FILE=stays", "TEST_AFTER=a=b", "MY_TEST_SECRET=stays", noSleep, role + "=victim"}
		if !slices.Equal(got.Environ, want) {
			t.Errorf("os.Environ: got %q, want %q", got.Environ, want)
		}
		want[len(want)-1] = role + "=child"
		if child := strings.Split(got.Child, "\n"); !slices.Equal(child, want) {
			t.Errorf("os.Environ of a child: got %q, want %q", child, want)
		}
	})
	// What the Prometheus collector reads, and other useful files.
	t.Run("the process can read its own metrics", func(t *testing.T) {
		if len(o.Victim.Unreadable) != 0 {
			t.Errorf("got %q, want all readable", o.Victim.Unreadable)
		}
		if o.Victim.Descriptors < 3 {
			t.Errorf("got %d descriptors, want at least 3", o.Victim.Descriptors)
		}
	})
}

func TestProcessPreventsCoreDump(t *testing.T) {
	t.Parallel()
	dumps := func(environ ...string) bool {
		command := exec.CommandContext(t.Context(), "/proc/self/exe")
		command.Dir = t.TempDir() // the dump is written here
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
		t.Error("got a core dump, want none")
	}
}
