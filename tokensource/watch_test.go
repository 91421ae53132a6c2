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

// However the operator writes the path, and whether it exists or not, no reload happens without a change.
func TestWatchingIsIdle(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	for name, path := range map[string]string{
		"plain": dir, "slash": dir + "/", "dot": dir + "/./", "twice": dir + "//", "relative": ".", "missing": filepath.Join(dir, "missing"),
	} {
		t.Run(name, func(t *testing.T) {
			accounts, err := NewAccounts(AccountsConfig{Dir: path, Source: Config{Endpoint: TokenEndpoint{URL: "http://login.example/", Transport: responder(nil)}}})
			if err != nil && name != "missing" {
				t.Fatal(err)
			}
			dirs := func() []string { return []string{path} }
			if err == nil {
				dirs = accounts.watchedDirs
			}
			var reloads atomic.Int64
			ctx, cancel := context.WithCancel(context.Background())
			var loop sync.WaitGroup
			loop.Go(func() { filewatch.WatchDirs(ctx, dirs, func() { reloads.Add(1) }) })
			defer loop.Wait()
			defer cancel()
			time.Sleep(300 * time.Millisecond) // there is no event to wait for
			if n := reloads.Load(); n < 1 || n > 2 {
				t.Errorf("%d reloads of an unchanged directory, want 1 or 2", n)
			}
		})
	}
}
