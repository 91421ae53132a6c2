package soak

import (
	"slices"
	"sync"
	"time"
)

// journal records when which disturbance took place. Its methods may be called concurrently.
type journal struct {
	mu      sync.Mutex
	windows []*window
}

// window is the time of one disturbance.
type window struct {
	kind
	start, end time.Time // end is zero until it has ended
}

// open begins a disturbance. Call it before its first effect.
func (j *journal) open(k kind) *window {
	j.mu.Lock()
	defer j.mu.Unlock()
	w := &window{kind: k, start: time.Now()}
	j.windows = append(j.windows, w)
	return w
}

// close ends a disturbance. Call it after its cause is removed.
func (j *journal) close(w *window) {
	j.mu.Lock()
	defer j.mu.Unlock()
	w.end = time.Now()
}

// excuse returns the name of the disturbance that explains an outcome of a request between two times; "" without one.
func (j *journal) excuse(outcome string, start, end time.Time) string {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, w := range slices.Backward(j.windows) {
		if slices.Contains(w.excuses, outcome) && !end.Before(w.start.Add(w.delay)) && (w.end.IsZero() || !start.After(w.end.Add(w.recovery))) {
			return w.name
		}
	}
	return ""
}

// quiet reports whether no disturbance affects the broker's use of resources.
func (j *journal) quiet(now time.Time) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return !slices.ContainsFunc(j.windows, func(w *window) bool {
		return w.end.IsZero() || now.Before(w.end.Add(max(w.recovery, w.settle)))
	})
}

// last returns the name of the latest disturbance, and how long ago it began.
func (j *journal) last(now time.Time) (name string, ago time.Duration) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.windows) == 0 {
		return "none", 0
	}
	w := j.windows[len(j.windows)-1]
	return w.name, now.Sub(w.start)
}

// counts returns how often each disturbance took place.
func (j *journal) counts() map[string]int {
	j.mu.Lock()
	defer j.mu.Unlock()
	counts := map[string]int{}
	for _, w := range j.windows {
		counts[w.name]++
	}
	return counts
}
