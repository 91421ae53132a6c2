package proc

import (
	"os/exec"
	"strings"
	"testing"
	"time"
)

// shell starts a script, and waits until it has said "ready".
func shell(t *testing.T, script string) *Group {
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
			t.Fatalf("the script does not get ready: %s", g.Log())
		}
	}
	return g
}

// The child burns CPU, its parent does not: both count.
func TestGroupCountsChildren(t *testing.T) {
	g := shell(t, `(while :; do :; done) & echo ready; wait`)
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		cpu, err := g.CPU()
		if err != nil {
			t.Fatal(err)
		}
		if cpu >= 100*time.Millisecond {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("after 10 s of a busy loop: %v of CPU", cpu)
		}
	}
	two, err := g.Resident()
	if err != nil {
		t.Fatal(err)
	}
	one, err := shell(t, `echo ready; sleep 60 & wait`).Resident() // a shell and a sleep, where there were two shells
	if err != nil {
		t.Fatal(err)
	}
	if one < 100<<10 || two < 100<<10 {
		t.Errorf("resident: %d and %d bytes, want what two processes take at least", one, two)
	}
}

func TestStopEndsTheWholeGroup(t *testing.T) {
	g := shell(t, `trap '' TERM; (trap '' TERM; while :; do sleep 0.1; done) & (exit 0); echo ready; exit 0`)
	<-g.Ended() // the leader, and not the loop
	if _, err := g.CPU(); err != nil {
		t.Fatalf("the loop should still run: %v", err)
	}
	g.Stop()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		if _, err := g.CPU(); err != nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("a process of the group outlives Stop")
		}
	}
}

func TestAnEndedProgramIsAnError(t *testing.T) {
	g := shell(t, `echo ready; echo why >&2; exit 3`)
	<-g.Ended()
	if _, err := g.CPU(); err == nil || !strings.Contains(err.Error(), "why") {
		t.Errorf("error %v, want one with what the program said", err)
	}
}

func TestTailKeepsTheEnd(t *testing.T) {
	var log tail
	for range 3 {
		_, _ = log.Write([]byte(strings.Repeat("x", maxTail)))
	}
	_, _ = log.Write([]byte("the end"))
	if got := log.String(); len(got) != maxTail || !strings.HasSuffix(got, "xthe end") {
		t.Errorf("%d bytes, ending in %q", len(got), got[len(got)-10:])
	}
}
