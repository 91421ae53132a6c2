package soak

import (
	"math/rand/v2"
	"time"
)

// The pause between the end of a disturbance, with its recovery, and the next one. In it the broker's memory is measured.
const (
	minPause = 3 * time.Second
	maxPause = 8 * time.Second
)

// step is a disturbance of a run.
type step struct {
	kind
	pause  time.Duration // since the end of the one before
	length time.Duration
	share  float64 // of the API requests that a fault of the API hits
}

// planner draws the steps of a run. Equal generators lead to equal steps.
type planner struct {
	random *rand.Rand
	kinds  []kind
	left   []kind // of the current round
}

// newPlanner omits the kinds whose effects last longer than a sixth of the run: memory could not be compared before and after
// them. Without a store it omits the store's.
func newPlanner(random *rand.Rand, duration time.Duration, hasStore bool) *planner {
	p := &planner{random: random}
	for _, k := range kinds {
		if k.max+k.settle <= duration/6 && (hasStore || k.name != storeRestarts && k.name != storeHangs) {
			p.kinds = append(p.kinds, k)
		}
	}
	return p
}

// next returns the next step. Each kind comes once in a round, in random order.
func (p *planner) next() step {
	if len(p.left) == 0 {
		p.left = append(p.left, p.kinds...)
		p.random.Shuffle(len(p.left), func(i, j int) { p.left[i], p.left[j] = p.left[j], p.left[i] })
	}
	s := step{kind: p.left[0], pause: p.between(minPause, maxPause), share: 0.02 + 0.1*p.random.Float64()}
	s.length = p.between(s.min, s.max)
	p.left = p.left[1:]
	return s
}

// between returns a random duration. Both limits may be equal.
func (p *planner) between(low, high time.Duration) time.Duration {
	return low + time.Duration(p.random.Int64N(int64(high-low)+1))
}
