package filewatch_test

import (
	"context"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"etrusted-broker/internal/filewatch"
)

// With no descriptor left there are no events, but the poll and the trigger still report changes.
func TestPollsWithoutWatcher(t *testing.T) {
	dir := t.TempDir()
	time.Sleep(time.Nanosecond) // with its first timer, the runtime opens descriptors of its own
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Max: before.Max}); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &before); err != nil {
			t.Error(err)
		}
	}()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 16*time.Second)
		defer cancel()
		var calls []time.Duration
		began, trigger := time.Now(), filewatch.NewTrigger()
		time.AfterFunc(15*time.Second, trigger.Pull)
		filewatch.WatchDirs(ctx, func() []string { return []string{dir} }, trigger, func() { calls = append(calls, time.Since(began)) })
		want := []time.Duration{0, 7 * time.Second, 14 * time.Second, 15 * time.Second, 15900 * time.Millisecond}
		if !slices.Equal(calls, want) {
			t.Errorf("got calls after %v, want %v", calls, want)
		}
	})
}
