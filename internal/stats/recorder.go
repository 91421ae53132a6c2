// Package tally counts what happens for people who look at it now: how many requests since the start and of late, and how
// the token requests of the last hour went. What is to be kept for longer is Prometheus' to keep; this knows nothing of it.
package stats

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"etrusted-broker/tokensource"
)

// Request is a request of the app that has ended.
type Request struct {
	// Account is whose token it went with; any text for one that was turned away before it had one.
	Account string
	// Status is what the app was sent, or Gone.
	Status int
	// Local reports that the broker itself answered, rather than the API.
	Local bool
	// UpstreamTime is how long the API took to answer; 0 if it was not asked.
	UpstreamTime time.Duration
	// Denied is why the door refused it, and Replay what came of sending it again; empty, or of the closed sets that the
	// Tally was made with. Others are not counted.
	Denied, Replay string
}

// StatusClientClosedRequest is the status of a client that went away before it was answered.
const StatusClientClosedRequest = 499

// Counts are those of requests. The five after All add up to it.
type Counts struct {
	All          uint64
	Success      uint64 // 1xx and 2xx
	Redirect     uint64 // 3xx
	ClientError  uint64 // 4xx but Gone
	ServerError  uint64 // 5xx
	ClientClosed uint64
	// Local are those of All that the broker itself answered.
	Local uint64
	// UpstreamRequests are those for which the API was asked, APIFailed those of them that it answered with 5xx or not at all, and
	// Upstream how long it took for all of them together.
	UpstreamRequests, UpstreamErrors uint64
	UpstreamTime                     time.Duration
}

// Window is what happened in the time before a moment.
type Window struct {
	Counts
	// Span is how long it really is: shorter than asked for after a start, or longer by up to the pause between samples.
	Span time.Duration
}

// Minute is how the token requests of one minute went. A Minute in which there were none is not kept.
type Minute struct {
	Start    time.Time                         // on the wall clock, a whole minute
	Outcomes [len(tokensource.Outcomes)]uint64 // in the order of tokensource.Outcomes
	Slowest  time.Duration
}

// Account is what happened for one account.
type Account struct {
	Total                       Counts
	LastMinute, LastFiveMinutes Window
	Replays                     map[string]uint64 // by outcome; all outcomes are there
	Refreshes                   []Minute          // of the last hour, oldest first
}

// Snapshot is what a Tally knows at one moment.
type Snapshot struct {
	Accounts map[string]Account
	// Denied counts the requests refused at the door by reason; all reasons are there.
	Denied map[string]uint64
}

// Recorder counts. Create it with New. All methods may be called from any goroutine, except Run, which is called once.
type Recorder struct {
	replayOutcomes []string
	denied         map[string]*atomic.Uint64
	accounts       sync.Map // of *account by name
}

// New returns a Tally for these closed sets of reasons and outcomes.
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

// sampleInterval is between two samples: what a window's edge may be off by.
const sampleInterval = 10 * time.Second

// Run takes the samples that the windows are reckoned from, until ctx is done. Without it, windows reach back to the
// account's first request.
func (r *Recorder) Run(ctx context.Context) {
	ticker := time.NewTicker(sampleInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			r.accounts.Range(func(_, one any) bool {
				one.(*account).sample(now)
				return true
			})
		}
	}
}

// Observe counts a request. It takes no lock and does not allocate once the account is known.
func (r *Recorder) Observe(request Request) {
	one := r.account(request.Account)
	one.counts.add(request)
	increment(one.replays, request.Replay)
	increment(r.denied, request.Denied)
}

// ObserveDenied counts a refusal that was no request: a connection that was closed to make room.
func (r *Recorder) ObserveDenied(reason string) { increment(r.denied, reason) }

func increment(counters map[string]*atomic.Uint64, name string) {
	if counter, known := counters[name]; known {
		counter.Add(1)
	}
}

// ObserveRefresh records a token request that has ended.
func (r *Recorder) ObserveRefresh(event tokensource.RefreshEvent) {
	r.account(event.Account).recordRefresh(event, time.Now())
}

// Delete takes an account away.
func (r *Recorder) Delete(name string) { r.accounts.Delete(name) }

func (r *Recorder) account(name string) *account {
	if known, ok := r.accounts.Load(name); ok {
		return known.(*account)
	}
	made, _ := r.accounts.LoadOrStore(name, newAccount(r.replayOutcomes))
	return made.(*account)
}

// Snapshot returns what there is now.
func (r *Recorder) Snapshot() Snapshot {
	now := time.Now()
	snapshot := Snapshot{Accounts: map[string]Account{}, Denied: loadAll(r.denied)}
	r.accounts.Range(func(name, one any) bool {
		snapshot.Accounts[name.(string)] = one.(*account).snapshot(now)
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
