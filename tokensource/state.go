package tokensource

import (
	"context"
	"errors"
	"time"
)

// publishedState is what the loop has published. It is immutable, except that the next one closes replaced, and that requests mark
// both tokens as refused or not yet accepted.
type publishedState struct {
	// Snapshot has only what the loop changes. API, Valid, Issued, Expires, Remaining, FetchingSince, RequestsWaited, Invalidations,
	// StoreHits, StoreErrors and HoldsLease are zero here: Source.Snapshot sets them.
	Snapshot
	token       *token         // nil: there has never been one
	previous    *token         // the one before; nil: there was none
	environment APIEnvironment // of the set in use
	rejected    bool           // the credentials cannot be used, so waiting for a token is useless
	waiting     bool           // another broker is fetching, and there is no usable token until then
	stopped     bool
	replaced    chan struct{}
}

// isPairUnproven reports whether the pair in use has not yielded a token yet. Only the first pair is used without one: a later
// pair must yield a token first.
func (s *publishedState) isPairUnproven() bool { return s.token == nil }

// usable returns the token to send; nil if there is no valid one.
func (s *publishedState) usable(now time.Time) *token {
	switch {
	case s.previousUsable(now) && s.token.isNotYetAccepted(now):
		return s.previous
	case s.token.valid(now):
		return s.token
	}
	return nil
}

// previousUsable reports whether the previous token can be used in place of the current one.
func (s *publishedState) previousUsable(now time.Time) bool {
	return s.previous.valid(now) && !s.previous.isRefused()
}

// noTokenError says why there is no token. ctx is that of the waiting request.
func (s *publishedState) noTokenError(ctx context.Context) error {
	p := *ErrNoToken
	cause := ctx.Err()
	switch {
	case s.stopped:
		p = *ErrStopped
	case s.LastFailure != nil:
		if s.rejected {
			p = *ErrCredentialsRejected
			if p.Code = s.LastFailure.Code(); s.LastFailure.Unreadable {
				p.Title = "The credentials cannot be read"
			}
		}
		p.Detail, p.Hint = s.LastFailure.Reason, s.LastFailure.Advice
		cause = errors.Join(s.LastFailure, cause)
	}
	p.RetryAfter = max(time.Second, time.Until(s.NextAttempt))
	return p.WithCause(cause)
}

// Snapshot is the state of a Source at one moment, for metrics and status pages. It contains no secret. A zero time means
// "never"; all times are wall clock times.
type Snapshot struct {
	Account                string
	API                    string                // the base URL of the account's own API; empty if it uses the broker's
	Valid                  bool                  // there is a valid token
	Issued, Expires        time.Time             // of the last token, valid or expired
	Remaining              time.Duration         // how long the token is still valid; 0 if it has expired
	Refreshes              [len(Outcomes)]uint64 // the token requests by outcome, in the order of Outcomes
	ConsecutiveFailures    int
	LastSuccess            time.Time
	LastDuration           time.Duration // of the last token request, successful or not
	FetchingSince          time.Time     // when the token request in flight was sent; zero if none is in flight
	LastFailure            *RefreshError // of the last token request; nil if it succeeded or there was none
	LastFailureAt          time.Time
	NextAttempt            time.Time                          // when the next token request is due
	RequestsWaited         uint64                             // the requests that had to wait for a token
	Invalidations          uint64                             // the tokens that were replaced because the API refused them
	Shared                 bool                               // with other brokers, through a store; the next four fields are zero without one
	FromPeer               bool                               // another broker made the last token request: only LastFailure and LastSuccess include it
	StoreHits, StoreErrors uint64                             // the tokens taken from the store, and the failed store operations
	HoldsLease             bool                               // this broker fetched the valid token with the lease; it then usually fetches the next one too
	Reloads                [len(CountedReloadOutcomes)]uint64 // the changes of the credentials, in the order of CountedReloadOutcomes
	LastChange             time.Time                          // when the current pair was taken into use
	PendingReload          *CredentialReload                  // why the credentials last read are not in use; nil if they are. Read-only
	PendingReloadAt        time.Time
}

// Snapshot returns the current state. It never blocks.
func (s *Source) Snapshot() Snapshot {
	current, now := s.state.Load(), time.Now()
	snapshot := current.Snapshot
	snapshot.API = current.environment.apiURL()
	snapshot.RequestsWaited, snapshot.Invalidations = s.requestsWaited.Load(), s.invalidations.Load()
	snapshot.StoreHits, snapshot.StoreErrors = s.storeHits.Load(), s.storeErrors.Load()
	if since := s.fetching.Load(); since != nil {
		snapshot.FetchingSince = *since
	}
	if snapshot.LastFailure == nil {
		snapshot.LastFailureAt = time.Time{}
	}
	if snapshot.PendingReload == nil {
		snapshot.PendingReloadAt = time.Time{}
	}
	if last := current.token; last != nil {
		snapshot.Issued, snapshot.Expires = last.issued, last.expires()
		if last.valid(now) {
			snapshot.Valid, snapshot.Remaining, snapshot.HoldsLease = true, last.remaining(now), last.leads
		}
	}
	for _, at := range []*time.Time{
		&snapshot.Issued, &snapshot.LastSuccess, &snapshot.FetchingSince, &snapshot.LastFailureAt, &snapshot.NextAttempt, &snapshot.LastChange,
		&snapshot.PendingReloadAt,
	} {
		*at = at.Round(0) // without the monotonic clock
	}
	return snapshot
}
