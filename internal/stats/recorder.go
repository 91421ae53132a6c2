// Package stats counts requests and token requests for the status page: since the start, in the last minutes, and in the last
// hour. Package metrics counts for Prometheus; the two are independent.
package stats

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"etrusted-broker/tokensource"
)

// Request is a completed request of the app.
type Request struct {
	// Account is the account whose token was used; any text for a request that was refused before the account was known.
	Account string
	// Status is the status that the app received, or StatusClientClosedRequest.
	Status int
	// Local reports that the broker answered, not the API.
	Local bool
	// UpstreamTime is how long the API took; 0 if the request was not sent to it.
	UpstreamTime time.Duration
	// Denied is the reason for a refusal, and Replay the outcome of a retry. Both are empty or from the closed sets given
	// to New; other values are not counted.
	Denied, Replay string
}

// StatusClientClosedRequest stands for a client that disconnected before the response.
const StatusClientClosedRequest = 499

// Counter is a count of requests.
type Counter int

// The counters. Each request is counted by one of the first five.
const (
	Success      Counter = iota // 1xx and 2xx
	Redirect                    // 3xx
	ClientError                 // 4xx, without StatusClientClosedRequest
	ServerError                 // 5xx
	ClientClosed                // StatusClientClosedRequest
	Local                       // answered by the broker
	// UpstreamErrors counts those of UpstreamRequests that ended with a status of 500 or more, the broker's own included.
	UpstreamErrors
	UpstreamRequests    // sent to the API
	UpstreamNanoseconds // the sum of their UpstreamTime
	numCounters
)

// Counts has the value of each Counter.
type Counts [numCounters]uint64

// All returns the number of requests.
func (c Counts) All() uint64 {
	return c[Success] + c[Redirect] + c[ClientError] + c[ServerError] + c[ClientClosed]
}

// Plus returns the sums of both.
func (c Counts) Plus(other Counts) Counts {
	for i := range c {
		c[i] += other[i]
	}
	return c
}

// Window has the counts of a recent period.
type Window struct {
	Counts
	// Span is the exact length of the period: shorter than its name says after a start, or longer by up to sampleInterval.
	Span time.Duration
}

// Plus adds a window that ends at the same time. The span is that of the longer one.
func (w Window) Plus(other Window) Window {
	return Window{w.Counts.Plus(other.Counts), max(w.Span, other.Span)}
}

// Minute has the token requests that ended in one minute. A minute without any is absent. Its JSON is part of /status.json,
// where counts of 0 are absent, because most are 0.
type Minute struct {
	Start           time.Time `json:"start"` // a whole minute, in UTC
	Success         uint64    `json:"success,omitempty"`
	Rejected        uint64    `json:"rejected,omitempty"`
	Unavailable     uint64    `json:"unavailable,omitempty"`
	InvalidResponse uint64    `json:"invalid_response,omitempty"`
	SlowestSeconds  float64   `json:"slowest_seconds"`
}

// Failed returns the number of token requests that failed.
func (m Minute) Failed() uint64 { return m.Rejected + m.Unavailable + m.InvalidResponse }

func (m *Minute) count(outcome tokensource.Outcome) *uint64 {
	switch outcome {
	case tokensource.OutcomeSuccess:
		return &m.Success
	case tokensource.OutcomeRejected:
		return &m.Rejected
	case tokensource.OutcomeUnavailable:
		return &m.Unavailable
	default:
		return &m.InvalidResponse
	}
}

// Account has the counts of one account.
type Account struct {
	Total                       Counts
	LastMinute, LastFiveMinutes Window
	Replays                     map[string]uint64 // by outcome; has every outcome
	Refreshes                   []Minute          // of the last hour, oldest first
}

// Snapshot has the counts at one moment.
type Snapshot struct {
	Accounts map[string]Account
	// Denied counts refused requests by reason; it has every reason.
	Denied map[string]uint64
}

// Recorder counts requests and token requests. Create it with New. All methods are safe for concurrent use; Run must be
// called once.
type Recorder struct {
	replayOutcomes []string
	denied         map[string]*atomic.Uint64
	accounts       sync.Map // of *account by name
}

// New returns a Recorder for these closed sets of reasons and outcomes.
func New(denialReasons, replayOutcomes []string) *Recorder {
	return &Recorder{replayOutcomes: replayOutcomes, denied: newCounters(denialReasons)}
}

func newCounters(names []string) map[string]*atomic.Uint64 {
	all := make(map[string]*atomic.Uint64, len(names))
	for _, name := range names {
		all[name] = new(atomic.Uint64)
	}
	return all
}

// sampleInterval is the time between two samples, and so the largest error of a window's length.
const sampleInterval = 10 * time.Second

// Run takes the samples for the windows until ctx is done. Without it, windows start at the account's first request.
func (r *Recorder) Run(ctx context.Context) {
	ticker := time.NewTicker(sampleInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			r.accounts.Range(func(_, value any) bool {
				value.(*account).sample(now)
				return true
			})
		}
	}
}

// Observe counts a request. It takes no lock and does not allocate once the account is known.
func (r *Recorder) Observe(request Request) {
	a := r.account(request.Account)
	a.counts.add(request)
	increment(a.replays, request.Replay)
	increment(r.denied, request.Denied)
}

// ObserveDenied counts a refusal without a request: a connection that was evicted.
func (r *Recorder) ObserveDenied(reason string) { increment(r.denied, reason) }

func increment(counters map[string]*atomic.Uint64, name string) {
	if counter, known := counters[name]; known {
		counter.Add(1)
	}
}

// ObserveRefresh counts a completed token request.
func (r *Recorder) ObserveRefresh(event tokensource.RefreshEvent) {
	r.account(event.Account).recordRefresh(event, time.Now())
}

// Delete deletes an account's counts.
func (r *Recorder) Delete(name string) { r.accounts.Delete(name) }

func (r *Recorder) account(name string) *account {
	if value, ok := r.accounts.Load(name); ok {
		return value.(*account)
	}
	value, _ := r.accounts.LoadOrStore(name, newAccount(r.replayOutcomes))
	return value.(*account)
}

// Snapshot returns the current counts.
func (r *Recorder) Snapshot() Snapshot {
	now := time.Now()
	snapshot := Snapshot{Accounts: map[string]Account{}, Denied: loadAll(r.denied)}
	r.accounts.Range(func(name, value any) bool {
		snapshot.Accounts[name.(string)] = value.(*account).snapshot(now)
		return true
	})
	return snapshot
}

func loadAll(counters map[string]*atomic.Uint64) map[string]uint64 {
	all := make(map[string]uint64, len(counters))
	for name, counter := range counters {
		all[name] = counter.Load()
	}
	return all
}
