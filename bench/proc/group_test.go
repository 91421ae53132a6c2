package proc

import (
	"os/exec"
	"strings"
	"testing"
	"time"
)

// startShell starts a script and waits until it prints "ready".
func startShell(t *testing.T, script string) *Group {
	t.Helper()
	path, err := exec.LookPath("sh")
	if err != nil {
		t.Skip("no shell")
	}
	g, err := Start(Command{Path: path, Args: []string{"-c", script}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Stop)
	for deadline := time.Now().Add(10 * time.Second); !strings.Contains(g.Log(), "ready"); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the script did not print \"ready\", but %q", g.Log())
		}
	}
	return g
}

// The child uses CPU time, its parent does not: both count.
func TestGroupCountsChildren(t *testing.T) {
	g := startShell(t, `(while :; do :; done) & echo ready; wait`)
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		cpu, err := g.CPU()
		if err != nil {
			t.Fatal(err)
		}
		if cpu >= 100*time.Millisecond {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("got %v of CPU time after 10 s of a busy loop, want 100 ms", cpu)
		}
	}
	two, err := g.Resident()
	if err != nil {
		t.Fatal(err)
	}
	one, err := startShell(t, `echo ready; sleep 60 & wait`).Resident() // a shell and a sleep instead of two shells
	if err != nil {
		t.Fatal(err)
	}
	if one < 100<<10 || two < 100<<10 {
		t.Errorf("got %d and %d bytes of resident memory, want at least 100 KiB each", one, two)
	}
}

func TestStopEndsTheWholeGroup(t *testing.T) {
	g := startShell(t, `trap '' TERM; (trap '' TERM; while :; do sleep 0.1; done) & (exit 0); echo ready; exit 0`)
	<-g.Exited() // only the leader: the loop still runs
	if _, err := g.CPU(); err != nil {
		t.Fatalf("the loop should still run: %v", err)
	}
	g.Stop()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		if _, err := g.CPU(); err != nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("a process of the group still runs 10 s after Stop")
		}
	}
}

func TestCPUFailsAfterTheProgramHasExited(t *testing.T) {
	g := startShell(t, `echo ready; echo why >&2; exit 3`)
	<-g.Exited()
	if _, err := g.CPU(); err == nil || !strings.Contains(err.Error(), "why") {
		t.Errorf("got error %v, want one with the program's output", err)
	}
}

func TestTailKeepsTheEnd(t *testing.T) {
	var log tail
	for range 3 {
		_, _ = log.Write([]byte(strings.Repeat("x", maxTail)))
	}
	_, _ = log.Write([]byte("the end"))
	if got := log.String(); len(got) != maxTail || !strings.HasSuffix(got, "xthe end") {
		t.Errorf("got %d bytes that end in %q, want %d and %q", len(got), got[len(got)-8:], maxTail, "xthe end")
	}
}
