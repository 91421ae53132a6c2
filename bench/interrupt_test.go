package main

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// cancelOnText is an io.Writer that cancels a context when a text is written.
type cancelOnText struct {
	text   string
	cancel context.CancelFunc
}

func (u cancelOnText) Write(p []byte) (int, error) {
	if strings.Contains(string(p), u.text) {
		u.cancel()
	}
	return len(p), nil
}

// Ctrl-C during a measurement must leave neither processes nor files behind.
func TestInterruptCleansUp(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	soon := func() { time.AfterFunc(300*time.Millisecond, cancel) } // when the processes of the round run
	var stdout strings.Builder
	if code := run(ctx, []string{"-quick", "-only", "naive"}, &stdout, cancelOnText{"round 1", soon}); code != 1 {
		t.Errorf("got exit code %d, want 1", code)
	}
	if stdout.Len() > 0 {
		t.Errorf("got results of an interrupted run, want none:\n%s", &stdout)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("got temporary files %v, %v; want none", left, err)
	}
	processes, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, process := range processes {
		if command, err := os.ReadFile(process); err == nil && strings.Contains(string(command), dir) {
			t.Errorf("got running process %q, want none", command)
		}
	}
}

func TestInvalidCommandLineExitsWith2(t *testing.T) {
	if code := run(context.Background(), []string{"-only", "unknown"}, io.Discard, io.Discard); code != 2 {
		t.Errorf("got exit code %d, want 2", code)
	}
}
