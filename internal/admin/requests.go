package admin

import (
	"math"
	"time"

	"etrusted-broker/metrics"
)

// RequestCountsByWindow has the counts of completed requests.
type RequestCountsByWindow struct {
	LastMinute      WindowCounts `json:"last_minute"`
	LastFiveMinutes WindowCounts `json:"last_five_minutes"`
	Total           WindowCounts `json:"total"` // since the start
}

// WindowCounts has the counts of a period that ends now.
type WindowCounts struct {
	// SpanSeconds is the exact length of the period: shorter after a start, or some seconds longer.
	SpanSeconds float64 `json:"span_seconds"`
	PerSecond   float64 `json:"per_second"`
	// All is the sum of the five after it.
	All         uint64 `json:"all"`
	Success     uint64 `json:"success"`
	Redirect    uint64 `json:"redirect"`
	ClientError uint64 `json:"client_error"`
	ServerError uint64 `json:"server_error"`
	// ClientClosed counts requests whose client disconnected before the response.
	ClientClosed uint64 `json:"client_closed"`
	// Local counts how many of All the broker answered, not the API.
	Local uint64 `json:"local"`
	// APISeconds is the API's average response time; 0 if no request was sent to it.
	APISeconds float64 `json:"api_seconds"`
}

// periodCounts has what was counted in a period that ends now.
type periodCounts struct {
	span   time.Duration
	counts map[string]metrics.Counts // by account, with their sum at allAccounts
}

// allAccounts is no name of an account.
const allAccounts = ""

// periodSince returns the period that began with a sample. The requests of removed accounts are missing.
func periodSince(from countsSample, now time.Time, counts map[string]metrics.Counts) periodCounts {
	p := periodCounts{span: now.Sub(from.at), counts: map[string]metrics.Counts{}}
	for account, current := range counts {
		p.counts[account] = current.Minus(from.counts[account])
		p.counts[allAccounts] = p.counts[allAccounts].Plus(p.counts[account])
	}
	return p
}

// traffic has the recent requests, and those since the start.
type traffic struct{ minute, fiveMinutes, total periodCounts }

func (h *Handler) recentTraffic(now time.Time) traffic {
	counts := h.config.Metrics.Counts()
	return traffic{
		periodSince(h.history.before(now, time.Minute), now, counts),
		periodSince(h.history.before(now, 5*time.Minute), now, counts),
		periodSince(countsSample{at: h.config.Started}, now, counts),
	}
}

func (t traffic) of(account string) RequestCountsByWindow {
	return RequestCountsByWindow{t.minute.window(account), t.fiveMinutes.window(account), t.total.window(account)}
}

func (p periodCounts) window(account string) WindowCounts {
	counts := p.counts[account]
	return WindowCounts{
		SpanSeconds:  roundedRatio(p.span.Seconds(), 1, 3),
		PerSecond:    roundedRatio(float64(counts.Requests()), p.span.Seconds(), 3),
		All:          counts.Requests(),
		Success:      counts[metrics.CountSuccess],
		Redirect:     counts[metrics.CountRedirect],
		ClientError:  counts[metrics.CountClientError],
		ServerError:  counts[metrics.CountServerError],
		ClientClosed: counts[metrics.CountClientClosed],
		Local:        counts[metrics.CountLocal],
		APISeconds:   roundedRatio(float64(counts[metrics.CountUpstreamNanoseconds])/1e9, float64(counts[metrics.CountRequestsSentUpstream]), 6),
	}
}

// roundedRatio returns the ratio with so many decimal places, because more would be noise; 0 if the denominator is 0.
func roundedRatio(numerator, denominator float64, digits int) float64 {
	if denominator <= 0 {
		return 0
	}
	unit := math.Pow10(digits)
	return math.Round(numerator/denominator*unit) / unit
}

// recentShare is a part of the requests of the last five minutes.
type recentShare struct {
	part, all uint64
	ended     bool // in the last minute there were requests, and none of this part
}

// share returns which part of the requests counted by all was also counted by part.
func (t traffic) share(part metrics.Counter, all func(metrics.Counts) uint64) recentShare {
	minute, fiveMinutes := t.minute.counts[allAccounts], t.fiveMinutes.counts[allAccounts]
	return recentShare{
		part:  min(fiveMinutes[part], all(fiveMinutes)), // a sample may lie between two increments
		all:   all(fiveMinutes),
		ended: all(minute) > 0 && minute[part] == 0,
	}
}

// needsAttention reports whether an operator should know: it is at least one request in ten, and lasts.
func (s recentShare) needsAttention() bool { return s.part > 0 && s.part*10 >= s.all && !s.ended }
