package redisstore

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"
)

func TestHealth(t *testing.T) {
	var told []string
	h := &health{changed: func(problem string) { told = append(told, problem) }}
	now := time.Unix(1_800_000_000, 0)
	asks := func(want bool) {
		t.Helper()
		if err := h.mayAsk(now); (err == nil) != want {
			t.Errorf("after %v: %v", told, err)
		}
	}
	asks(true)
	asks(true)
	// Many who were at it find out one after the other: for all of them it is the first failure.
	for range 50 {
		h.failed("away", now)
	}
	for _, pause := range []time.Duration{1, 2, 4, 8, 16, 30, 30, 30} {
		now = now.Add(pause*time.Second - 1)
		asks(false)
		now = now.Add(1)
		asks(true)  // one
		asks(false) // and no other meanwhile
		now = now.Add(opTime)
		h.failed("away, still", now)
	}
	if err := h.mayAsk(now); err == nil || err.Error() != "away, still" {
		t.Errorf("%v, want what was wrong last", err)
	}

	// One who asked and never came to an end does not keep the others from asking.
	now = now.Add(maxPause)
	asks(true)
	asks(false)
	now = now.Add(maxPause)
	asks(true)

	h.worked()
	asks(true)
	asks(true)
	h.worked()
	h.failed("away", now)
	asks(false)
	now = now.Add(minPause) // from the beginning
	asks(true)
	h.worked()
	if want := []string{"away", "", "away", ""}; !slices.Equal(told, want) {
		t.Errorf("%q was told, want %q", told, want)
	}
}

// What was told last is what is, whoever came first.
func TestHealthTellsInOrder(t *testing.T) {
	var told []string
	h := &health{changed: func(problem string) { told = append(told, problem) }}
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for range 500 {
				h.failed(fmt.Sprint(i), time.Now())
				h.worked()
			}
		})
	}
	all.Wait()
	for i, problem := range told {
		if (problem == "") != (i%2 == 1) {
			t.Fatalf("%q twice in a row", problem)
		}
	}
	if h.problem != told[len(told)-1] {
		t.Errorf("%q was told last, and %q is", told[len(told)-1], h.problem)
	}
}
