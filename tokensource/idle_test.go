package tokensource

import (
	"context"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"etrusted-broker/internal/filewatch"
)

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
			var looks atomic.Int64
			ctx, cancel := context.WithCancel(context.Background())
			var loop sync.WaitGroup
			loop.Go(func() { filewatch.WatchDirs(ctx, folders, func() { looks.Add(1) }) })
			defer loop.Wait()
			defer cancel()
			time.Sleep(300 * time.Millisecond) // what does not happen cannot be waited for
			if n := looks.Load(); n < 1 || n > 2 {
				t.Errorf("%d looks at a folder in which nothing happens", n)
			}
		})
	}
}
