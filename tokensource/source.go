// Package tokensource turns credentials into an access token that is always fresh: the client credentials grant of
// RFC 6749 section 4.4, ahead of need and in the background.
//
// A Source has one fetcher, its Run loop. Nobody else ever asks the login server for anything, and Run does so on its
// own context: a request that goes away cannot cancel a refresh that others wait for. Whoever reads the token takes
// it with one atomic load, from a state that is replaced as a whole and never changed.
package tokensource

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync/atomic"
	"time"
)

// DefaultAccount is the name of the account that has no name of its own, in metrics and messages.
const DefaultAccount = "default"

// Config tells what a Source needs.
type Config struct {
	// Account names the source in snapshots and events; empty is DefaultAccount.
	Account string
	// Credentials are what the source asks with.
	Credentials Credentials
	// Endpoint is where it asks.
	Endpoint Endpoint
	// Observe, if not nil, is told of each token request that has ended. It is called by the Run loop, so it must
	// return soon.
	Observe func(Event)
}

// Event tells of a token request that has ended.
type Event struct {
	Account  string
	Outcome  Outcome
	Duration time.Duration // of the request
	Next     time.Duration // until the next one is due
	// Failure is nil on success.
	Failure *Failure
	// ConsecutiveFailures counts this one and those before it without a success between; 0 on success.
	ConsecutiveFailures int
	// Remaining is how long the current token still lives, the new one or the one that a failure left in place;
	// 0 if there is none.
	Remaining time.Duration
}

// Source keeps one account's token fresh. All methods may be called at any time from any goroutine, except Run, which
// is called once.
type Source struct {
	config Config
	state  atomic.Pointer[state]
	waits  atomic.Uint64
	// wake tells the loop to look at the clocks: somebody found the token dead. One place is enough, since all who
	// find it mean the same.
	wake chan struct{}
}

// state is what the loop knows. A published state never changes but for its channel, which is closed when the next
// one takes its place.
type state struct {
	token       *token // nil: never one
	failure     *Failure
	failedAt    time.Time
	failures    int
	nextAttempt time.Time
	lastSuccess time.Time
	lastTook    time.Duration
	refreshes   [len(Outcomes)]uint64
	stopped     bool

	replaced chan struct{}
}

// New returns a source that has no token until Run is called.
func New(config Config) *Source {
	if config.Account == "" {
		config.Account = DefaultAccount
	}
	if config.Endpoint.Timeout == 0 {
		config.Endpoint.Timeout = 10 * time.Second
	}
	if config.Observe == nil {
		config.Observe = func(Event) {}
	}
	s := &Source{config: config, wake: make(chan struct{}, 1)}
	s.state.Store(&state{replaced: make(chan struct{})})
	return s
}

// Run fetches the token and keeps it fresh until ctx is done. After that the last token can still be taken while it
// lives, and nobody waits for another. Failures do not end it: they are told to Observe and in Snapshot.
func (s *Source) Run(ctx context.Context) {
	defer s.publish(func(next *state) { next.stopped = true })
	for s.sleep(ctx) {
		s.refresh(ctx)
	}
}

// Current returns the value for the Authorization header, and true; or false where there is no token that may be
// sent. It never blocks and does not allocate.
func (s *Source) Current() (authorization string, ok bool) {
	if token := s.state.Load().token; token.valid(time.Now()) {
		return token.authorization, true
	}
	return "", false
}

// Await returns what Current does, once there is something to return. It returns a *NoTokenError at once where waiting
// is no use (the credentials are rejected, or Run has ended), and when ctx is done.
func (s *Source) Await(ctx context.Context) (authorization string, err error) {
	for waited := false; ; waited = true {
		now := s.state.Load()
		switch {
		case now.token.valid(time.Now()):
			return now.token.authorization, nil
		case now.stopped, now.failure != nil && now.failure.Outcome == Rejected:
			return "", now.noToken()
		case !waited:
			s.waits.Add(1)
		}
		s.look()
		select {
		case <-now.replaced:
		case <-ctx.Done():
			return "", s.state.Load().noToken()
		}
	}
}

// look has the loop look at the clocks.
func (s *Source) look() {
	select {
	case s.wake <- struct{}{}:
	default: // it has been told already
	}
}

// sleep blocks until the next attempt is due, and reports false if ctx was done before.
func (s *Source) sleep(ctx context.Context) bool {
	for {
		if ctx.Err() != nil {
			return false
		}
		now := s.state.Load()
		due := time.Until(now.nextAttempt)
		if now.failure == nil && now.token != nil && !now.token.valid(time.Now()) {
			// The token died before its successor was due: the machine was suspended, or its clock was set.
			// After a failure this does not count: the pause that it asked for stands.
			due = 0
		}
		if due <= 0 {
			return true
		}
		timer := time.NewTimer(min(due, clockCheck))
		select {
		case <-timer.C:
		case <-s.wake:
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// refresh makes one attempt and publishes what came of it. A failure changes nothing but the counters and the time of
// the next attempt: the token that there is stays until its own end.
func (s *Source) refresh(ctx context.Context) {
	started := time.Now()
	grant, failure := s.config.Endpoint.exchange(ctx, s.config.Credentials)
	ended := time.Now()
	if ctx.Err() != nil {
		return // it was broken off by us: nobody's failure
	}
	fresh := &token{authorization: "Bearer " + grant.accessToken, issued: started, lifetime: grant.lifetime}
	if failure == nil && !fresh.valid(ended) {
		failure = &Failure{
			Outcome: Unavailable,
			Reason:  "the login server took longer to answer than its token lives",
			Advice:  outageAdvice,
		}
	}
	next := s.publish(func(next *state) {
		next.lastTook = ended.Sub(started)
		if failure != nil {
			next.failed(failure, ended)
		} else {
			next.succeeded(fresh, ended)
		}
	})
	s.config.Observe(next.event(s.config.Account, ended))
}

func (next *state) succeeded(fresh *token, now time.Time) {
	next.token = fresh
	next.failure, next.failures = nil, 0
	next.lastSuccess = now
	next.nextAttempt = later(refreshDue(fresh.issued, fresh.lifetime, rand.Float64()), now.Add(minRefresh)) //nolint:gosec // G404: spreads replicas, protects nothing.
	next.refreshes[Success.index()]++
}

func (next *state) failed(failure *Failure, now time.Time) {
	next.failure, next.failedAt = failure, now
	next.failures++
	next.nextAttempt = now.Add(retryDelay(failure, next.failures, rand.Float64())) //nolint:gosec // G404: spreads replicas, protects nothing.
	next.refreshes[failure.Outcome.index()]++
}

// publish puts a changed copy of the state in the state's place and tells those who wait for that. Only the loop
// calls it, so no change is lost.
func (s *Source) publish(change func(next *state)) *state {
	before := s.state.Load()
	next := *before
	next.replaced = make(chan struct{})
	change(&next)
	s.state.Store(&next)
	close(before.replaced)
	return &next
}

func (now *state) event(account string, at time.Time) Event {
	event := Event{
		Account:             account,
		Outcome:             Success,
		Duration:            now.lastTook,
		Next:                max(0, now.nextAttempt.Sub(at)),
		Failure:             now.failure,
		ConsecutiveFailures: now.failures,
	}
	if now.failure != nil {
		event.Outcome = now.failure.Outcome
	}
	if now.token.valid(at) {
		event.Remaining = now.token.remaining(at)
	}
	return event
}

// noToken puts into words why there is no token to be had.
func (now *state) noToken() *NoTokenError {
	none := &NoTokenError{retryAfter: max(time.Second, time.Until(now.nextAttempt))}
	switch {
	case now.stopped:
		none.reason, none.advice = "the broker is shutting down", "Try again when it has started anew."
	case now.failure != nil:
		none.reason, none.advice = now.failure.Reason, now.failure.Advice
		none.rejected = now.failure.Outcome == Rejected
	default:
		none.reason, none.advice = "the login server has not answered yet", outageAdvice
	}
	return none
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func (o Outcome) index() int {
	for i, known := range Outcomes {
		if o == known {
			return i
		}
	}
	panic(errors.New("tokensource: unknown outcome " + string(o)))
}
