package admin

import (
	"maps"
	"slices"
	"sync"
	"time"

	"etrusted-broker/metrics"
	"etrusted-broker/tokensource"
)

const (
	// sampleInterval is the time between two samples of the counters, and so the largest error of a period's length.
	sampleInterval = 10 * time.Second
	// maxSamples covers five minutes, plus one before them.
	maxSamples = int(5*time.Minute/sampleInterval) + 2
)

// countsAndStatesHistory remembers earlier values of the counters and states. Its memory is bounded for each account.
type countsAndStatesHistory struct {
	mu        sync.Mutex
	samples   []countsSample             // oldest first
	traffic   []TrafficMinute            // of the last hour, oldest first
	refreshes map[string][]RefreshMinute // by account, oldest first
	states    map[stateKey]stateSince
}

// stateKey names what has a state: an account, or else a component.
type stateKey struct{ account, component string }

type stateSince struct {
	state string
	since time.Time
}

// countsSample has the counts of each account at one moment.
type countsSample struct {
	at     time.Time
	counts map[string]metrics.Counts
}

func newCountsAndStatesHistory(now time.Time) countsAndStatesHistory {
	return countsAndStatesHistory{
		samples:   []countsSample{{at: now}},
		refreshes: map[string][]RefreshMinute{},
		states:    map[stateKey]stateSince{},
	}
}

// sample records the current counts, and forgets accounts that are not among them.
func (h *countsAndStatesHistory) sample(now time.Time, counts map[string]metrics.Counts) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.countTraffic(periodSince(h.samples[len(h.samples)-1], now, counts).counts[allAccounts], now)
	h.samples = append(h.samples, countsSample{now, counts})
	h.samples = slices.Delete(h.samples, 0, max(0, len(h.samples)-maxSamples))
	removed := func(account string) bool {
		_, exists := counts[account]
		return !exists
	}
	maps.DeleteFunc(h.refreshes, func(account string, _ []RefreshMinute) bool { return removed(account) })
	maps.DeleteFunc(h.states, func(key stateKey, _ stateSince) bool { return key.account != "" && removed(key.account) })
}

// before returns the latest sample that is at least window old, or else the first one.
func (h *countsAndStatesHistory) before(now time.Time, window time.Duration) countsSample {
	h.mu.Lock()
	defer h.mu.Unlock()
	from := h.samples[0]
	for _, one := range h.samples {
		if now.Sub(one.at) >= window {
			from = one
		}
	}
	return from
}

// since returns when it was first noticed that something has its current state.
func (h *countsAndStatesHistory) since(key stateKey, state string, now time.Time) time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.states[key].state != state {
		h.states[key] = stateSince{state, now.UTC()}
	}
	return h.states[key].since
}

// TrafficMinute has the requests of one minute.
type TrafficMinute struct {
	Start    time.Time `json:"start"`
	Requests uint64    `json:"requests"`
	Failed   uint64    `json:"failed"` // those with a status of 400 or more
}

// countTraffic adds what was counted since the last sample to the minute in which most of it was counted.
func (h *countsAndStatesHistory) countTraffic(counts metrics.Counts, now time.Time) {
	start := now.Add(-sampleInterval / 2).UTC().Truncate(time.Minute)
	if n := len(h.traffic); n == 0 || !h.traffic[n-1].Start.Equal(start) {
		h.traffic = append(h.traffic, TrafficMinute{Start: start})
		h.traffic = slices.Delete(h.traffic, 0, max(0, len(h.traffic)-60))
	}
	minute := &h.traffic[len(h.traffic)-1]
	minute.Requests += counts.Requests()
	minute.Failed += counts[metrics.CountClientError] + counts[metrics.CountServerError] + counts[metrics.CountClientClosed]
}

// trafficOfLastHour returns the last minutes with a sample, oldest first.
func (h *countsAndStatesHistory) trafficOfLastHour() []TrafficMinute {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]TrafficMinute{}, h.traffic...)
}

// RefreshMinute has the token requests that ended in one minute. A minute without any is absent, and so are counts of 0, because
// most are 0.
type RefreshMinute struct {
	Start           time.Time `json:"start"` // a whole minute, in UTC
	Success         uint64    `json:"success,omitempty"`
	Rejected        uint64    `json:"rejected,omitempty"`
	Unavailable     uint64    `json:"unavailable,omitempty"`
	InvalidResponse uint64    `json:"invalid_response,omitempty"`
	SlowestSeconds  float64   `json:"slowest_seconds"`
}

// recordRefresh counts a token request in the minute in which it ended.
func (h *countsAndStatesHistory) recordRefresh(event tokensource.RefreshEvent, now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	minutes := lastHour(h.refreshes[event.Account], now)
	start := now.UTC().Round(0).Truncate(time.Minute)
	if n := len(minutes); n == 0 || !minutes[n-1].Start.Equal(start) {
		minutes = append(minutes, RefreshMinute{Start: start})
	}
	minute := &minutes[len(minutes)-1]
	switch event.Outcome {
	case tokensource.OutcomeSuccess:
		minute.Success++
	case tokensource.OutcomeRejected:
		minute.Rejected++
	case tokensource.OutcomeUnavailable:
		minute.Unavailable++
	default:
		minute.InvalidResponse++
	}
	minute.SlowestSeconds = max(minute.SlowestSeconds, event.Duration.Seconds())
	h.refreshes[event.Account] = minutes
}

// lastHour returns a copy of the minutes that began in the last hour. It omits those in the future: after the clock was set back,
// they would stay until it reaches them again.
func lastHour(minutes []RefreshMinute, now time.Time) []RefreshMinute {
	return slices.DeleteFunc(append([]RefreshMinute{}, minutes...), func(minute RefreshMinute) bool {
		age := now.Sub(minute.Start)
		return age < 0 || age >= time.Hour
	})
}

// refreshesOf returns an account's minutes of the last hour, oldest first.
func (h *countsAndStatesHistory) refreshesOf(account string, now time.Time) []RefreshMinute {
	h.mu.Lock()
	defer h.mu.Unlock()
	return lastHour(h.refreshes[account], now)
}
