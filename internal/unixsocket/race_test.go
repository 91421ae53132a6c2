//go:build unix

package unixsocket_test

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"etrusted-broker/internal/unixsocket"
)

const racers = 8

func TestOneOfManyWins(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	for round := range 40 {
		path := filepath.Join(dir, strconv.Itoa(round))
		stale(t, path)
		won := make(chan net.Listener, racers)
		var all sync.WaitGroup
		start := make(chan struct{})
		for range racers {
			all.Go(func() {
				<-start
				if l, err := unixsocket.Listen(t.Context(), path); err == nil {
					won <- l
				} else {
					checkError(t, err.Error(), path, "served by another program")
				}
			})
		}
		close(start)
		all.Wait()
		if len(won) != 1 {
			t.Fatalf("round %d: %d won", round, len(won))
		}
		l := <-won
		accepts(t, l, path)
		_ = l.Close()
	}
}

func TestOneOfManyProcessesWins(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	var all []*process
	for range racers {
		all = append(all, child(t, "listen"))
	}
	for round := range 15 {
		path := filepath.Join(dir, strconv.Itoa(round))
		stale(t, path)
		for _, p := range all {
			p.tell(path)
		}
		won := 0
		for _, p := range all {
			if got := p.answer(); strings.HasPrefix(got, "error: ") {
				checkError(t, strings.TrimPrefix(got, "error: "), path, "served by another program")
			} else {
				won++
			}
		}
		if won != 1 {
			t.Fatalf("round %d: %d won", round, won)
		}
	}
}

// TestLockOfAStranger has somebody who may read the folder, and never gives up its lock.
func TestLockOfAStranger(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	stranger, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Close()
	if err := syscall.Flock(int(stranger.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	listen(t, filepath.Join(dir, "s"))
	if waited := time.Since(start); waited < time.Second {
		t.Errorf("waited for %v only", waited)
	}
	if err := syscall.Flock(int(stranger.Fd()), syscall.LOCK_UN); err != nil {
		t.Fatal(err)
	}
}

// TestSymlinkOfAnAttacker has an app that may write to the folder too, and puts a symbolic link to the broker's secret in
// the place of the socket as soon as that is there.
func TestSymlinkOfAnAttacker(t *testing.T) {
	t.Parallel()
	dir := folder(t)
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
		t.Errorf("the group may read the secret: %v", info.Mode())
	}
}
