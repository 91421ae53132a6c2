package tally

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"etrusted-broker/tokensource"
)

const (
	shortWindow = time.Minute
	longWindow  = 5 * time.Minute
	hour        = time.Hour

	// maxSamples reach back over the long window, and one more.
	maxSamples = int(longWindow/pause) + 2
)

// account is what is known of one account. The counters are added to with each request; all else is done now and then,
// under the lock.
type account struct {
	counts  counts
	replays map[string]*atomic.Uint64

	mu      sync.Mutex
	samples []sample // oldest first; the first is from when the account was made
	minutes []Minute // oldest first
}

// sample is what had been counted at a moment.
type sample struct {
	at time.Time
	Counts
}

func newAccount(replayOutcomes []string) *account {
	return &account{replays: counters(replayOutcomes), samples: []sample{{at: time.Now()}}}
}

// counts are Counts that many may add to at once.
type counts struct {
	success, redirect, clientError, serverError, gone, byBroker, asked, apiFailed atomic.Uint64

	upstream atomic.Int64 // nanoseconds
}

func (c *counts) add(request Request) {
	c.class(request.Status).Add(1)
	if request.ByBroker {
		c.byBroker.Add(1)
	}
	if request.Upstream > 0 {
		c.asked.Add(1)
		if request.Status >= 500 {
			c.apiFailed.Add(1)
		}
		c.upstream.Add(int64(request.Upstream))
	}
}

func (c *counts) class(status int) *atomic.Uint64 {
	switch {
	case status == Gone:
		return &c.gone
	case status >= 500:
		return &c.serverError
	case status >= 400:
		return &c.clientError
	case status >= 300:
		return &c.redirect
	default:
		return &c.success
	}
}

func (c *counts) load() Counts {
	failed := c.apiFailed.Load() // first, since it is counted last: no more may have failed than were asked
	now := Counts{
		Success:     c.success.Load(),
		Redirect:    c.redirect.Load(),
		ClientError: c.clientError.Load(),
		ServerError: c.serverError.Load(),
		Gone:        c.gone.Load(),
		ByBroker:    c.byBroker.Load(),
		Asked:       c.asked.Load(),
		APIFailed:   failed,
		Upstream:    time.Duration(c.upstream.Load()),
	}
	now.All = now.Success + now.Redirect + now.ClientError + now.ServerError + now.Gone // so that they add up
	return now
}

// minus returns what was counted since.
func (c Counts) minus(before Counts) Counts {
	return Counts{
		All:         c.All - before.All,
		Success:     c.Success - before.Success,
		Redirect:    c.Redirect - before.Redirect,
		ClientError: c.ClientError - before.ClientError,
		ServerError: c.ServerError - before.ServerError,
		Gone:        c.Gone - before.Gone,
		ByBroker:    c.ByBroker - before.ByBroker,
		Asked:       c.Asked - before.Asked,
		APIFailed:   min(c.APIFailed-before.APIFailed, c.Asked-before.Asked), // the sample may have caught one half counted
		Upstream:    c.Upstream - before.Upstream,
	}
}

// sample keeps what has been counted up to now.
func (a *account) sample(now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.samples = append(a.samples, sample{now, a.counts.load()})
	if extra := len(a.samples) - maxSamples; extra > 0 {
		a.samples = slices.Delete(a.samples, 0, extra)
	}
}

// window returns what was counted since the last sample that is at least that old; all, if there is none.
func (a *account) window(length time.Duration, now time.Time, total Counts) Window {
	from := a.samples[0]
	for _, sample := range a.samples {
		if now.Sub(sample.at) >= length {
			from = sample
		}
	}
	return Window{total.minus(from.Counts), now.Sub(from.at)}
}

// fetched records a token request in the minute in which it ended.
func (a *account) fetched(event tokensource.RefreshEvent, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	start := now.Round(0).Truncate(time.Minute)
	if n := len(a.minutes); n == 0 || !a.minutes[n-1].Start.Equal(start) {
		a.forget(now)
		a.minutes = append(a.minutes, Minute{Start: start})
	}
	minute := &a.minutes[len(a.minutes)-1]
	minute.Outcomes[slices.Index(tokensource.Outcomes[:], event.Outcome)]++
	minute.Slowest = max(minute.Slowest, event.Duration)
}

// forget drops the minutes that are no longer of the last hour. Those that seem to lie ahead go too: the clock was set
// back, and nothing else would ever make room for what comes.
func (a *account) forget(now time.Time) {
	a.minutes = slices.DeleteFunc(a.minutes, func(minute Minute) bool {
		age := now.Sub(minute.Start)
		return age >= hour || age < 0
	})
}

func (a *account) snapshot(now time.Time) Account {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.forget(now)
	total := a.counts.load()
	return Account{
		Total:           total,
		LastMinute:      a.window(shortWindow, now, total),
		LastFiveMinutes: a.window(longWindow, now, total),
		Replays:         values(a.replays),
		Refreshes:       slices.Clone(a.minutes),
	}
}
