package soak

import (
	"fmt"
	"sync"
	"time"
)

// maxReported limits how many problems of each kind are described. More are counted.
const maxReported = 20

// tally counts requests by their outcome and its cause. Its methods may be called concurrently.
type tally struct {
	journal *journal

	mu       sync.Mutex
	requests map[result]int
	lost     int
	reports  []string // of lost requests
}

// result is an outcome with its cause, which is "" for a success and for a loss without a cause.
type result struct{ outcome, cause string }

func newTally(j *journal) *tally { return &tally{journal: j, requests: map[result]int{}} }

// add counts a request. One that was not sent is not lost: if the broker has not answered those in flight, they are.
func (t *tally) add(outcome, request string, start, end time.Time) {
	r := result{outcome: outcome}
	if outcome != succeeded {
		r.cause = t.journal.excuse(outcome, start, end)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.requests[r]++
	if outcome == succeeded || outcome == notSent || r.cause != "" {
		return
	}
	if t.lost++; t.lost <= maxReported {
		name, ago := t.journal.last(end)
		t.reports = append(t.reports, fmt.Sprintf("%s %s: %s after %v; the latest disturbance began %v before: %s",
			end.UTC().Format(time.TimeOnly), request, outcome, end.Sub(start).Round(time.Millisecond), ago.Round(time.Millisecond), name))
	}
}

// snapshot returns the counts so far.
func (t *tally) snapshot() (requests map[result]int, lost int, reports []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	requests = map[result]int{}
	for r, count := range t.requests {
		requests[r] = count
	}
	return requests, t.lost, append([]string(nil), t.reports...)
}
