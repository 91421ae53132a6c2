package tokensource

import "time"

// state is what the loop has published. It never changes but for its channel, which is closed when the next one takes
// its place, and for the token's mark of being refused.
type state struct {
	token       *token // nil: never one
	failure     *RefreshError
	failedAt    time.Time
	failures    int
	nextAttempt time.Time
	lastSuccess time.Time
	lastTook    time.Duration
	elsewhere   bool // the last attempt was another broker's
	waiting     bool // for another broker to fetch, without a token that serves until then
	refreshes   [len(Outcomes)]uint64

	reloads    [len(ReloadOutcomes)]uint64
	lastChange time.Time         // of the pair in use
	unused     *CredentialReload // why the credentials that were last read are not the pair in use; nil: they are
	unusedAt   time.Time

	stopped  bool
	replaced chan struct{}
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

// outcome is that of the last attempt.
func (now *state) outcome() Outcome {
	if now.failure != nil {
		return now.failure.Outcome
	}
	return OutcomeSuccess
}

// Event tells of a token request that has ended.
type RefreshEvent struct {
	Account string
	Outcome Outcome
	// Elsewhere means that another broker has made the request, and what came of it was in the store.
	FromPeer bool
	Duration time.Duration // of the request; 0 if it was made elsewhere
	Next     time.Duration // until the next one is due
	// Failure is nil on success.
	Err *RefreshError
	// ConsecutiveFailures counts this one and those before it without a success between; 0 on success.
	ConsecutiveFailures int
	// Remaining is how long the current token still lives, the new one or the one that a failure left in place;
	// 0 if there is none.
	Remaining time.Duration
}

func (now *state) event(account string, at time.Time) RefreshEvent {
	event := RefreshEvent{
		Account:             account,
		Outcome:             now.outcome(),
		Next:                max(0, now.nextAttempt.Sub(at)),
		Err:                 now.failure,
		ConsecutiveFailures: now.failures,
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
		none.reason, none.advice = "the broker is shutting down, or no longer has this account", "Try again when it has started anew, or check the account's folder."
	case now.failure != nil:
		none.reason, none.advice = now.failure.Reason, now.failure.Advice
		none.rejected = now.failure.Outcome == OutcomeRejected
	default:
		none.reason, none.advice = "the login server has not answered yet", outageAdvice
	}
	return none
}
