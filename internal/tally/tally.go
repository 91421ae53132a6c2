// Package tally counts what happens for people who look at it now: how many requests since the start and of late, and how
// the token requests of the last hour went. What is to be kept for longer is Prometheus' to keep; this knows nothing of it.
package tally

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
	// ByBroker reports that the broker itself answered, rather than the API.
	ByBroker bool
	// Upstream is how long the API took to answer; 0 if it was not asked.
	Upstream time.Duration
	// Denied is why the door refused it, and Replay what came of sending it again; empty, or of the closed sets that the
	// Tally was made with. Others are not counted.
	Denied, Replay string
}

// Gone is the status of a client that went away before it was answered.
const Gone = 499

// Counts are those of requests. The five after All add up to it.
type Counts struct {
	All         uint64
	Success     uint64 // 1xx and 2xx
	Redirect    uint64 // 3xx
	ClientError uint64 // 4xx but Gone
	ServerError uint64 // 5xx
	Gone        uint64
	// ByBroker are those of All that the broker itself answered.
	ByBroker uint64
	// Asked are those for which the API was asked, APIFailed those of them that it answered with 5xx or not at all, and
	// Upstream how long it took for all of them together.
	Asked, APIFailed uint64
	Upstream         time.Duration
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

// Tally counts. Create it with New. All methods may be called from any goroutine, except Run, which is called once.
type Tally struct {
	replayOutcomes []string
	denied         map[string]*atomic.Uint64
	accounts       sync.Map // of *account by name
}

// New returns a Tally for these closed sets of reasons and outcomes.
func New(denialReasons, replayOutcomes []string) *Tally {
	return &Tally{replayOutcomes: replayOutcomes, denied: counters(denialReasons)}
}

func counters(names []string) map[string]*atomic.Uint64 {
	all := make(map[string]*atomic.Uint64, len(names))
	for _, name := range names {
		all[name] = new(atomic.Uint64)
	}
	return all
}

// pause is between two samples: what a window's edge may be off by.
const pause = 10 * time.Second

// Run takes the samples that the windows are reckoned from, until ctx is done. Without it, windows reach back to the
// account's first request.
func (t *Tally) Run(ctx context.Context) {
	ticker := time.NewTicker(pause)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			t.accounts.Range(func(_, one any) bool {
				one.(*account).sample(now)
				return true
			})
		}
	}
}

// Request counts a request. It takes no lock and does not allocate once the account is known.
func (t *Tally) Request(request Request) {
	one := t.account(request.Account)
	one.counts.add(request)
	count(one.replays, request.Replay)
	count(t.denied, request.Denied)
}

// Denied counts a refusal that was no request: a connection that was closed to make room.
func (t *Tally) Denied(reason string) { count(t.denied, reason) }

func count(counters map[string]*atomic.Uint64, name string) {
	if counter, known := counters[name]; known {
		counter.Add(1)
	}
}

// TokenRequest records a token request that has ended.
func (t *Tally) TokenRequest(event tokensource.RefreshEvent) {
	t.account(event.Account).fetched(event, time.Now())
}

// Forget takes an account away.
func (t *Tally) Forget(name string) { t.accounts.Delete(name) }

func (t *Tally) account(name string) *account {
	if known, ok := t.accounts.Load(name); ok {
		return known.(*account)
	}
	made, _ := t.accounts.LoadOrStore(name, newAccount(t.replayOutcomes))
	return made.(*account)
}

// Snapshot returns what there is now.
func (t *Tally) Snapshot() Snapshot {
	now := time.Now()
	snapshot := Snapshot{Accounts: map[string]Account{}, Denied: values(t.denied)}
	t.accounts.Range(func(name, one any) bool {
		snapshot.Accounts[name.(string)] = one.(*account).snapshot(now)
		return true
	})
	return snapshot
}

func values(counters map[string]*atomic.Uint64) map[string]uint64 {
	all := make(map[string]uint64, len(counters))
	for name, counter := range counters {
		all[name] = counter.Load()
	}
	return all
}
