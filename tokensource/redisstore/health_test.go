package redisstore

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

var errDown = context.DeadlineExceeded

// A store that failed is left alone for a while. A state is reported when it changes.
func TestHealth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var problems []string
		h := &Store{onStateChange: func(problem string) { problems = append(problems, problem) }}
		wantReady := func(want bool) {
			t.Helper()
			if err := h.ready(); (err == nil) != want {
				t.Errorf("after %q: got %v, want ready %t", problems, err, want)
			}
		}
		wantReady(true)
		wantReady(true)
		for range 3 {
			for range 50 { // many accounts notice it one after the other
				if err := h.noteResult(errDown); err == nil || err.Error() != "did not answer in time" {
					t.Errorf("got %v, want the cause", err)
				}
			}
			wantReady(false)
			time.Sleep(failureCooldown - 1)
			wantReady(false)
			time.Sleep(time.Nanosecond)
			wantReady(true)  // one account
			wantReady(false) // no other in the meantime
		}
		// One that never records a result does not keep the others from asking.
		time.Sleep(failureCooldown)
		wantReady(true)

		_ = h.noteResult(nil)
		wantReady(true)
		wantReady(true)
		_ = h.noteResult(nil)
		_ = h.noteResult(errDown)
		wantReady(false)
		_ = h.noteResult(nil)
		if want := []string{"did not answer in time", "", "did not answer in time", ""}; !slices.Equal(problems, want) {
			t.Errorf("got the problems %q, want %q", problems, want)
		}
	})
}

// The last state that is reported is the current one.
func TestHealthReportsInOrder(t *testing.T) {
	var problems []string
	h := &Store{onStateChange: func(problem string) { problems = append(problems, problem) }}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 500 {
				_ = h.noteResult(errors.New("x"))
				_ = h.noteResult(nil)
			}
		})
	}
	all.Wait()
	for i, problem := range problems {
		if (problem == "") != (i%2 == 1) {
			t.Fatal("the same state was reported twice in a row")
		}
	}
	if last := problems[len(problems)-1]; h.Problem() != last {
		t.Errorf("got the problem %q, want the last one, %q", h.Problem(), last)
	}
}
