package filewatch_test

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"etrusted-broker/internal/brokertest"
	"etrusted-broker/internal/filewatch"
)

// countChanges watches dirs until the end of the test and counts the calls of onChange.
func countChanges(t *testing.T, dirs func() []string, now filewatch.Trigger) (changes *atomic.Int64) {
	t.Helper()
	changes = new(atomic.Int64)
	ctx, cancel := context.WithCancel(context.Background())
	var loop sync.WaitGroup
	loop.Go(func() { filewatch.WatchDirs(ctx, dirs, now, func() { changes.Add(1) }) })
	t.Cleanup(func() {
		cancel()
		loop.Wait()
	})
	return changes
}

func TestBurstIsOneChange(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	changes := countChanges(t, func() []string { return []string{dir} }, nil)
	brokertest.Eventually(t, "the directory is watched", func() bool { return changes.Load() >= 2 })
	for i := range 51 {
		if i == 50 {
			time.Sleep(500 * time.Millisecond) // a slow writer
		}
		if err := os.WriteFile(filepath.Join(dir, "file"), []byte("text"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	time.Sleep(1500 * time.Millisecond) // the absence of a second call cannot be awaited
	if n := changes.Load() - 2; n != 1 {
		t.Errorf("got %d calls for one burst of writes, want 1", n)
	}
}

// The first look is at once; the second is at files that were being written. The poll would come after seven seconds.
func TestLooksAtOnceAndOnceMoreOnRequest(t *testing.T) {
	t.Parallel()
	now := filewatch.NewTrigger()
	missing := filepath.Join(t.TempDir(), "missing") // where there are no events
	changes := countChanges(t, func() []string { return []string{missing} }, now)
	brokertest.Eventually(t, "the first look", func() bool { return changes.Load() == 1 })
	now.Pull()
	requested := time.Now()
	brokertest.Eventually(t, "the look on request", func() bool { return changes.Load() == 2 })
	brokertest.Eventually(t, "the second look", func() bool { return changes.Load() == 3 })
	if after := time.Since(requested); after < 500*time.Millisecond || after > 5*time.Second {
		t.Errorf("got the second look after %v, want it after a second", after)
	}
}

func TestFileSettlesAfterASecond(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if !filewatch.IsSettledOrMissing(path) {
		t.Error("a missing file: got unsettled, want settled")
	}
	if err := os.WriteFile(path, []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	for age, want := range map[time.Duration]bool{0: false, 500 * time.Millisecond: false, time.Second: true, time.Hour: true, -time.Hour: true} {
		written := time.Now().Add(-age)
		if err := os.Chtimes(path, written, written); err != nil {
			t.Fatal(err)
		}
		if got := filewatch.IsSettledOrMissing(path); got != want {
			t.Errorf("written %v ago: got settled %t, want %t", age, got, want)
		}
	}
}
