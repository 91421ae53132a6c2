package sdnotify_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"etrusted-broker/internal/sdnotify"
)

func TestBeatsTwiceInEachTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 9500*time.Millisecond)
		defer cancel()
		began, beats := time.Now(), []time.Duration{}
		sdnotify.RunWatchdog(ctx, 4*time.Second, func() { time.Sleep(time.Second) }, func() { beats = append(beats, time.Since(began)) })
		want := []time.Duration{1 * time.Second, 3 * time.Second, 5 * time.Second, 7 * time.Second, 9 * time.Second}
		if len(beats) != len(want) {
			t.Fatalf("%v instead of %v", beats, want)
		}
		for i := range want {
			if beats[i] != want[i] {
				t.Errorf("%v instead of %v", beats, want)
			}
		}
		if took := time.Since(began); took != 9500*time.Millisecond {
			t.Errorf("returned after %v", took)
		}
	})
}

func TestNoBeatWhileSomethingHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		hang, calls, beats := make(chan struct{}), 0, 0
		returned := make(chan struct{})
		go func() {
			sdnotify.RunWatchdog(ctx, time.Second, func() {
				if calls++; calls == 2 {
					<-hang
				}
			}, func() { beats++ })
			close(returned)
		}()
		time.Sleep(time.Minute)
		synctest.Wait()
		if calls != 2 || beats != 1 {
			t.Errorf("%d calls and %d beats, want the second call to hang and no third", calls, beats)
		}
		close(hang) // it was slow, and has recovered
		time.Sleep(10*time.Second + time.Millisecond)
		synctest.Wait()
		if beats < 20 {
			t.Errorf("%d beats after it has recovered", beats)
		}
		cancel()
		<-returned
	})
}

func TestTheEndWaitsForNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		hang := make(chan struct{})
		returned := make(chan struct{})
		go func() {
			sdnotify.RunWatchdog(ctx, time.Second, func() { <-hang }, func() { t.Error("a beat") })
			close(returned)
		}()
		synctest.Wait()
		cancel()
		<-returned
		close(hang)
	})
}
