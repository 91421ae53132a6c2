package tokensource_test

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"etrusted-broker/internal/filewatch"
	"etrusted-broker/tokensource"
)

// However the operator writes the path, and whether it exists or not, no reload happens without a change.
func TestWatchingIsIdle(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	for name, path := range map[string]string{
		"plain": dir, "slash": dir + "/", "dot": dir + "/./", "twice": dir + "//", "relative": ".", "missing": filepath.Join(dir, "missing"),
	} {
		t.Run(name, func(t *testing.T) {
			accounts, err := tokensource.NewAccounts(tokensource.AccountsConfig{Dir: path, Source: tokensource.Config{Endpoint: tokensource.TokenEndpoint{
				URL: "http://login.example/", Transport: always(""),
			}}})
			if err != nil && name != "missing" {
				t.Fatal(err)
			}
			dirs := func() []string { return []string{path} }
			if err == nil {
				dirs = accounts.WatchedDirs
			}
			var reloads atomic.Int64
			ctx, cancel := context.WithCancel(context.Background())
			var loop sync.WaitGroup
			loop.Go(func() { filewatch.WatchDirs(ctx, dirs, nil, func() { reloads.Add(1) }) })
			defer loop.Wait()
			defer cancel()
			time.Sleep(300 * time.Millisecond) // there is no event to wait for
			if n := reloads.Load(); n < 1 || n > 2 {
				t.Errorf("%d reloads of an unchanged directory, want 1 or 2", n)
			}
		})
	}
}

// The files of an account that is added at run time may be half written when its directory is noticed.
func TestHalfWrittenFilesOfNewAccountAreNotRead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		var requests atomic.Int64
		accounts, err := tokensource.NewAccounts(tokensource.AccountsConfig{Dir: dir, Source: tokensource.Config{Endpoint: tokensource.TokenEndpoint{
			URL: "http://login.example/", Transport: roundTrip(func(*http.Request) (*http.Response, error) {
				requests.Add(1)
				return answer(http.StatusOK, `{"access_token":"abc","expires_in":300}`), nil
			}),
		}}})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if err := os.Mkdir(filepath.Join(dir, "shop"), 0o700); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"client_id", "client_secret"} {
			path := filepath.Join(dir, "shop", name)
			if err := errors.Join(os.WriteFile(path, []byte("half"), 0o600), os.Chtimes(path, time.Now(), time.Now())); err != nil {
				t.Fatal(err)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() {
			if !accounts.Rescan(ctx) {
				t.Error("the directory cannot be read")
			}
		})
		time.Sleep(900 * time.Millisecond)
		if n := requests.Load(); n != 0 {
			t.Errorf("got %d token requests within a second of the files' last change, want 0", n)
		}
		time.Sleep(time.Second)
		if n := requests.Load(); n != 1 {
			t.Errorf("got %d token requests after that, want 1", n)
		}
		cancel()
		running.Wait()
	})
}
