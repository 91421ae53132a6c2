package filewatch_test

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"etrusted-broker/internal/filewatch"
)

// following counts the looks at folders.
func following(t *testing.T, folders func() []string) (looks *atomic.Int64) {
	t.Helper()
	looks = new(atomic.Int64)
	ctx, cancel := context.WithCancel(context.Background())
	var loop sync.WaitGroup
	loop.Go(func() { filewatch.WatchDirs(ctx, folders, func() { looks.Add(1) }) })
	t.Cleanup(func() {
		cancel()
		loop.Wait()
	})
	return looks
}

func TestABurstIsOneChange(t *testing.T) {
	dir := t.TempDir()
	looks := following(t, func() []string { return []string{dir} })
	for deadline := time.Now().Add(5 * time.Second); looks.Load() < 2; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the folder is not watched")
		}
	}
	for range 50 {
		if err := os.WriteFile(filepath.Join(dir, "file"), []byte("text"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	time.Sleep(500 * time.Millisecond) // what does not happen cannot be waited for
	if n := looks.Load() - 2; n != 1 {
		t.Errorf("%d looks at one burst", n)
	}
}
