package stats

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"etrusted-broker/tokensource"
)

const (
	shortWindow    = time.Minute
	longWindow     = 5 * time.Minute
	refreshHistory = time.Hour

	// maxSamples cover the long window, plus one before it.
	maxSamples = int(longWindow/sampleInterval) + 2
)

// account has the counts of one account. Requests only add to the atomic counters; everything else is rare and takes the
// lock.
type account struct {
	counts  atomicCounts
	replays map[string]*atomic.Uint64

	mu      sync.Mutex
	samples []sample // oldest first; the first is from the creation of the account
	minutes []Minute // oldest first
}

// sample has the counts at one moment.
type sample struct {
	at time.Time
	Counts
}

func newAccount(replayOutcomes []string) *account {
	return &account{replays: newCounters(replayOutcomes), samples: []sample{{at: time.Now()}}}
}

// atomicCounts are Counts that are safe for concurrent use.
type atomicCounts [numCounters]atomic.Uint64

func (c *atomicCounts) add(request Request) {
	c[resultClass(request.Status)].Add(1)
	if request.Local {
		c[Local].Add(1)
	}
	if request.UpstreamTime > 0 {
		c[UpstreamRequests].Add(1)
		if request.Status >= 500 {
			c[UpstreamErrors].Add(1)
		}
		c[UpstreamNanoseconds].Add(uint64(request.UpstreamTime))
	}
}

func resultClass(status int) Counter {
	switch {
	case status == StatusClientClosedRequest:
		return ClientClosed
	case status >= 500:
		return ServerError
	case status >= 400:
		return ClientError
	case status >= 300:
		return Redirect
	default:
		return Success
	}
}

// load returns the current counts. It loads UpstreamErrors before UpstreamRequests, which is incremented first, so that
// there are never more errors than requests.
func (c *atomicCounts) load() Counts {
	var now Counts
	for i := range c {
		now[i] = c[i].Load()
	}
	return now
}

// since returns the counts without those of an earlier sample, which may have caught a request between the increments of
// UpstreamRequests and UpstreamErrors.
func (c Counts) since(before Counts) Counts {
	for i := range c {
		c[i] -= before[i]
	}
	c[UpstreamErrors] = min(c[UpstreamErrors], c[UpstreamRequests])
	return c
}

// sample records the current counts.
func (a *account) sample(now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.samples = append(a.samples, sample{now, a.counts.load()})
	if extra := len(a.samples) - maxSamples; extra > 0 {
		a.samples = slices.Delete(a.samples, 0, extra)
	}
}

// window returns the counts since the latest sample that is at least length old, or since the first sample.
func (a *account) window(length time.Duration, now time.Time, total Counts) Window {
	from := a.samples[0]
	for _, one := range a.samples {
		if now.Sub(one.at) >= length {
			from = one
		}
	}
	return Window{total.since(from.Counts), now.Sub(from.at)}
}

// recordRefresh counts a token request in the minute in which it ended.
func (a *account) recordRefresh(event tokensource.RefreshEvent, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	start := now.UTC().Round(0).Truncate(time.Minute)
	if n := len(a.minutes); n == 0 || !a.minutes[n-1].Start.Equal(start) {
		a.dropOldMinutes(now)
		a.minutes = append(a.minutes, Minute{Start: start})
	}
	minute := &a.minutes[len(a.minutes)-1]
	*minute.count(event.Outcome)++
	minute.SlowestSeconds = max(minute.SlowestSeconds, event.Duration.Seconds())
}

// dropOldMinutes drops minutes older than an hour. It also drops those in the future: after the clock was set back, they would
// stay until it reaches them again.
func (a *account) dropOldMinutes(now time.Time) {
	a.minutes = slices.DeleteFunc(a.minutes, func(minute Minute) bool {
		age := now.Sub(minute.Start)
		return age >= refreshHistory || age < 0
	})
}

func (a *account) snapshot(now time.Time) Account {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.dropOldMinutes(now)
	total := a.counts.load()
	return Account{
		Total:           total,
		LastMinute:      a.window(shortWindow, now, total),
		LastFiveMinutes: a.window(longWindow, now, total),
		Replays:         loadAll(a.replays),
		Refreshes:       slices.Clone(a.minutes),
	}
}
