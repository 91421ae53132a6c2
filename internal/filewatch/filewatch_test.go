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
func countChanges(t *testing.T, dirs func() []string) (changes *atomic.Int64) {
	t.Helper()
	changes = new(atomic.Int64)
	ctx, cancel := context.WithCancel(context.Background())
	var loop sync.WaitGroup
	loop.Go(func() { filewatch.WatchDirs(ctx, dirs, func() { changes.Add(1) }) })
	t.Cleanup(func() {
		cancel()
		loop.Wait()
	})
	return changes
}

func TestBurstIsOneChange(t *testing.T) {
	dir := t.TempDir()
	changes := countChanges(t, func() []string { return []string{dir} })
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

func TestFileSettlesAfterASecond(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if !filewatch.Settled(path) {
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
		if got := filewatch.Settled(path); got != want {
			t.Errorf("written %v ago: got settled %t, want %t", age, got, want)
		}
	}
}
