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
	counts  counts
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

// counts are Counts that are safe for concurrent use.
type counts struct {
	success, redirect, clientError, serverError, clientClosed, local, upstreamRequests, upstreamErrors atomic.Uint64

	upstreamTime atomic.Int64 // nanoseconds
}

func (c *counts) add(request Request) {
	c.class(request.Status).Add(1)
	if request.Local {
		c.local.Add(1)
	}
	if request.UpstreamTime > 0 {
		c.upstreamRequests.Add(1)
		if request.Status >= 500 {
			c.upstreamErrors.Add(1)
		}
		c.upstreamTime.Add(int64(request.UpstreamTime))
	}
}

func (c *counts) class(status int) *atomic.Uint64 {
	switch {
	case status == StatusClientClosedRequest:
		return &c.clientClosed
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
	failed := c.upstreamErrors.Load() // loaded first because it is incremented last, so that it is never greater than UpstreamRequests
	now := Counts{
		Success:          c.success.Load(),
		Redirect:         c.redirect.Load(),
		ClientError:      c.clientError.Load(),
		ServerError:      c.serverError.Load(),
		ClientClosed:     c.clientClosed.Load(),
		Local:            c.local.Load(),
		UpstreamRequests: c.upstreamRequests.Load(),
		UpstreamErrors:   failed,
		UpstreamTime:     time.Duration(c.upstreamTime.Load()),
	}
	now.All = now.Success + now.Redirect + now.ClientError + now.ServerError + now.ClientClosed // so that they add up
	return now
}

// minus returns the counts since before.
func (c Counts) minus(before Counts) Counts {
	return Counts{
		All:              c.All - before.All,
		Success:          c.Success - before.Success,
		Redirect:         c.Redirect - before.Redirect,
		ClientError:      c.ClientError - before.ClientError,
		ServerError:      c.ServerError - before.ServerError,
		ClientClosed:     c.ClientClosed - before.ClientClosed,
		Local:            c.Local - before.Local,
		UpstreamRequests: c.UpstreamRequests - before.UpstreamRequests,
		UpstreamErrors:   min(c.UpstreamErrors-before.UpstreamErrors, c.UpstreamRequests-before.UpstreamRequests), // the sample may have caught a request between the two increments
		UpstreamTime:     c.UpstreamTime - before.UpstreamTime,
	}
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
	for _, sample := range a.samples {
		if now.Sub(sample.at) >= length {
			from = sample
		}
	}
	return Window{total.minus(from.Counts), now.Sub(from.at)}
}

// recordRefresh counts a token request in the minute in which it ended.
func (a *account) recordRefresh(event tokensource.RefreshEvent, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	start := now.Round(0).Truncate(time.Minute)
	if n := len(a.minutes); n == 0 || !a.minutes[n-1].Start.Equal(start) {
		a.dropOldMinutes(now)
		a.minutes = append(a.minutes, Minute{Start: start})
	}
	minute := &a.minutes[len(a.minutes)-1]
	minute.Outcomes[slices.Index(tokensource.Outcomes[:], event.Outcome)]++
	minute.Slowest = max(minute.Slowest, event.Duration)
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
