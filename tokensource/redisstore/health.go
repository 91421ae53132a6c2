package redisstore

import (
	"errors"
	"sync"
	"time"
)

// health remembers whether the store works, so that one that is slow is not waited for again and again. It may be used
// from any goroutine.
type health struct {
	changed func(problem string)

	mu       sync.Mutex
	problem  string // empty: it works
	pause    time.Duration
	askAgain time.Time
}

// While the store is away it is asked again after a second, then two, up to 30: by one, while all others go on without.
const (
	minPause = time.Second
	maxPause = 30 * time.Second
)

// mayAsk returns an error if the store is not to be asked now. The pause doubles with each one who is let through, and not
// with each that fails: many may have been waiting for an answer when the store went away.
func (h *health) mayAsk(now time.Time) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.problem == "" {
		return nil
	}
	if now.Before(h.askAgain) {
		return errors.New(h.problem)
	}
	h.pause = min(2*h.pause, maxPause)
	h.askAgain = now.Add(h.pause)
	return nil
}

// worked records that the store has answered as it should.
func (h *health) worked() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.is("")
}

// failed records that it has not.
func (h *health) failed(problem string, now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.problem == "" {
		h.pause = minPause
	}
	h.askAgain = now.Add(h.pause)
	h.is(problem)
}

// is tells of a change under the lock, so that the last that is told is what is.
func (h *health) is(problem string) {
	changed := (h.problem == "") != (problem == "")
	h.problem = problem
	if changed {
		h.changed(problem)
	}
}
