package sdnotify_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"etrusted-broker/internal/sdnotify"
)

func TestWatchdogResetsTwicePerTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 9500*time.Millisecond)
		defer cancel()
		start, resets := time.Now(), []time.Duration{}
		sdnotify.RunWatchdog(ctx, 4*time.Second, func() { time.Sleep(time.Second) }, func() { resets = append(resets, time.Since(start)) })
		want := []time.Duration{1 * time.Second, 3 * time.Second, 5 * time.Second, 7 * time.Second, 9 * time.Second}
		if len(resets) != len(want) {
			t.Fatalf("got %v, want %v", resets, want)
		}
		for i := range want {
			if resets[i] != want[i] {
				t.Errorf("got %v, want %v", resets, want)
			}
		}
		if took := time.Since(start); took != 9500*time.Millisecond {
			t.Errorf("returned after %v, want 9.5s", took)
		}
	})
}

func TestWatchdogStopsWhileCheckBlocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		blocked, calls, resets := make(chan struct{}), 0, 0
		returned := make(chan struct{})
		go func() {
			sdnotify.RunWatchdog(ctx, time.Second, func() {
				if calls++; calls == 2 {
					<-blocked
				}
			}, func() { resets++ })
			close(returned)
		}()
		time.Sleep(time.Minute)
		synctest.Wait()
		if calls != 2 || resets != 1 {
			t.Errorf("got %d calls and %d resets, want 2 and 1", calls, resets)
		}
		close(blocked) // it was slow and has recovered
		time.Sleep(10*time.Second + time.Millisecond)
		synctest.Wait()
		if resets < 20 {
			t.Errorf("got %d resets after recovery, want at least 20", resets)
		}
		cancel()
		<-returned
	})
}

func TestWatchdogReturnsWhileCheckBlocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		blocked := make(chan struct{})
		returned := make(chan struct{})
		go func() {
			sdnotify.RunWatchdog(ctx, time.Second, func() { <-blocked }, func() { t.Error("got a reset, want none") })
			close(returned)
		}()
		synctest.Wait()
		cancel()
		<-returned
		close(blocked)
	})
}
