//go:build unix

package unixsocket_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"etrusted-broker/internal/unixsocket"
)

// TestChmodDoesNotFollowSymlink: an app that can write to the directory replaces the socket by a symbolic link to the
// broker's secret as soon as it exists. The secret's mode must not change.
func TestChmodDoesNotFollowSymlink(t *testing.T) {
	t.Parallel()
	dir := newDir(t)
	secret, path, link := filepath.Join(dir, "secret"), filepath.Join(dir, "shared", "s"), filepath.Join(dir, "shared", "link")
	if err := errors.Join(os.WriteFile(secret, nil, 0o600), os.Mkdir(filepath.Join(dir, "shared"), 0o700)); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var attacker sync.WaitGroup
	attacker.Go(func() {
		for ctx.Err() == nil {
			_ = os.Symlink(secret, link)
			if info, err := os.Lstat(path); err == nil && info.Mode().Type() == fs.ModeSocket {
				_ = os.Rename(link, path)
			}
		}
	})
	for range 250 {
		if l, err := unixsocket.Listen(ctx, path); err == nil {
			_ = l.Close()
		} else {
			checkError(t, err.Error(), path, "")
		}
		_ = os.Remove(path)
	}
	stop()
	attacker.Wait()
	info, err := os.Stat(secret)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode of the secret: got %v, want 0600", info.Mode())
	}
}
