package tokensource

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// following counts the looks at folders.
func following(t *testing.T, folders func() []string) (looks *atomic.Int64) {
	t.Helper()
	looks = new(atomic.Int64)
	ctx, cancel := context.WithCancel(context.Background())
	var loop sync.WaitGroup
	loop.Go(func() { follow(ctx, folders, func() { looks.Add(1) }) })
	t.Cleanup(func() {
		cancel()
		loop.Wait()
	})
	return looks
}

// However the operator writes the folder, and whether it is there or not, nothing happens while nothing happens.
func TestFollowingIsIdle(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	for name, path := range map[string]string{
		"plain": dir, "slash": dir + "/", "dot": dir + "/./", "twice": dir + "//", "relative": ".", "missing": filepath.Join(dir, "missing"),
	} {
		t.Run(name, func(t *testing.T) {
			accounts, err := NewAccounts(AccountsConfig{Dir: path})
			if err != nil && name != "missing" {
				t.Fatal(err)
			}
			folders := func() []string { return []string{path} }
			if err == nil {
				folders = accounts.folders
			}
			looks := following(t, folders)
			time.Sleep(300 * time.Millisecond) // what does not happen cannot be waited for
			if n := looks.Load(); n < 1 || n > 2 {
				t.Errorf("%d looks at a folder in which nothing happens", n)
			}
		})
	}
}

func TestFollowSeesABurstAsOneChange(t *testing.T) {
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
	time.Sleep(settle + 300*time.Millisecond)
	if n := looks.Load() - 2; n != 1 {
		t.Errorf("%d looks at one burst", n)
	}
}
