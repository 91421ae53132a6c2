//go:build unix

package harden_test

import (
	"syscall"
	"testing"

	"etrusted-broker/internal/harden"
)

func TestMaxOpenFilesFollowsSoftLimit(t *testing.T) {
	// After Setrlimit the runtime no longer restores the original limit for child processes.
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	if got := harden.MaxOpenFiles(); got != int(min(before.Cur, 1<<20)) {
		t.Errorf("got %d, want %d", got, before.Cur)
	}
	lower := before
	lower.Cur = before.Cur / 2
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &lower); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &before); err != nil {
			t.Error(err)
		}
	}()
	if got := harden.MaxOpenFiles(); got != int(min(lower.Cur, 1<<20)) {
		t.Errorf("got %d, want %d", got, lower.Cur)
	}
}
