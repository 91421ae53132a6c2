package tokensource

import (
	"context"
	"errors"
	"time"
)

// state is what the loop has published. It is immutable, except that replaced is closed when a new state takes its
// place, and that the token can be marked as refused.
type state struct {
	token        *token // nil: there has never been one
	previous     *token // the one before; nil: there was none
	failure      *RefreshError
	rejected     bool // the credentials cannot be used, so waiting for a token is useless
	failedAt     time.Time
	failures     int
	nextAttempt  time.Time
	lastSuccess  time.Time
	lastDuration time.Duration
	fromPeer     bool // another broker made the last attempt
	waiting      bool // another broker is fetching, and there is no usable token until then
	refreshes    [len(Outcomes)]uint64

	reloads         [len(ReloadOutcomes)]uint64
	lastChange      time.Time         // of the pair in use
	pendingReload   *CredentialReload // why the credentials that were last read are not in use; nil: they are
	pendingReloadAt time.Time

	stopped  bool
	replaced chan struct{}
}

// publish replaces the state with a changed copy and wakes those who wait for it. Only the loop's goroutine calls it, so
// no change is lost.
func (s *Source) publish(change func(next *state)) *state {
	previous := s.state.Load()
	next := *previous
	next.replaced = make(chan struct{})
	change(&next)
	s.state.Store(&next)
	close(previous.replaced)
	return &next
}

// usable returns the token to send; nil if there is no valid one.
func (s *state) usable(now time.Time) *token {
	switch {
	case s.token == nil:
		return nil
	case s.token.isHeldBack(now) && s.previousUsable(now):
		return s.previous
	case s.token.valid(now):
		return s.token
	}
	return nil
}

// previousUsable reports whether the previous token can be used in place of the current one.
func (s *state) previousUsable(now time.Time) bool {
	return s.previous.valid(now) && !s.previous.isRefused()
}

// limitKnown shortens the lifetime of a token that the login server has sent before, from a cache: it ends when it was
// known to end. It reports whether the token is one of those.
func (s *state) limitKnown(fresh *token) (isKnown bool) {
	for _, known := range []*token{s.token, s.previous} {
		if known.has(fresh.authorization) {
			fresh.lifetime = min(fresh.lifetime, known.remaining(fresh.issued))
			isKnown = true
		}
	}
	return isKnown
}

func (s *state) recordSuccess(fresh *token, now time.Time) {
	s.failure, s.failures, s.rejected = nil, 0, false
	s.lastSuccess = now
	s.nextAttempt = later(fresh.refreshAt, now.Add(minRefresh))
	fresh.wallExpiry = now.Round(0).Add(fresh.remaining(now))
	switch {
	case s.previous.has(fresh.authorization) && s.token.serves(now) && s.token.remaining(now) > fresh.remaining(now):
		return // from a cache; the current token is better
	case !s.token.has(fresh.authorization):
		s.previous = s.token
	}
	s.token = fresh
}

// outcome returns the outcome of the last attempt.
func (s *state) outcome() Outcome {
	if s.failure != nil {
		return s.failure.Outcome
	}
	return OutcomeSuccess
}

// RefreshEvent describes a token request that has ended.
type RefreshEvent struct {
	Account string
	Outcome Outcome
	// FromPeer means that another broker made the request and shared its result through the store.
	FromPeer bool
	Duration time.Duration // of the request; 0 if another broker made it
	Next     time.Duration // until the next one is due
	// Err is nil on success.
	Err *RefreshError
	// ConsecutiveFailures counts this failure and those before it since the last success; 0 on success.
	ConsecutiveFailures int
	// Remaining is how long the current token is still valid: the new one, or the one that a failure left in place. It is
	// 0 without a token.
	Remaining time.Duration
}

func (s *state) event(account string, at time.Time) RefreshEvent {
	event := RefreshEvent{
		Account:             account,
		Outcome:             s.outcome(),
		Next:                max(0, s.nextAttempt.Sub(at)),
		Err:                 s.failure,
		ConsecutiveFailures: s.failures,
	}
	if s.token.valid(at) {
		event.Remaining = s.token.remaining(at)
	}
	return event
}

// noToken says why there is no token. ctx is that of the waiting request.
func (s *state) noToken(ctx context.Context) error {
	p := *ErrNoToken
	switch {
	case s.stopped:
		p = *ErrStopped
	case s.failure != nil:
		if s.rejected {
			p = *ErrCredentialsRejected
			p.Code = s.failure.Code()
		}
		p.Detail, p.Hint = s.failure.Reason, s.failure.Advice
	}
	p.RetryAfter = max(time.Second, time.Until(s.nextAttempt))
	cause := ctx.Err()
	if s.failure != nil && !s.stopped {
		cause = errors.Join(s.failure, cause)
	}
	return p.WithCause(cause)
}
