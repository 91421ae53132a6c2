package tokensource

import (
	"context"
	"errors"
	"time"
)

// state is what the loop has published. It is immutable, but replaced is closed by the next one, and the token can be marked as
// refused.
type state struct {
	Snapshot                // what only the loop changes; the method of Source adds the rest
	token       *token      // nil: there has never been one
	previous    *token      // the one before; nil: there was none
	environment Environment // of the set in use
	rejected    bool        // the credentials cannot be used, so waiting for a token is useless
	waiting     bool        // another broker is fetching, and there is no usable token until then
	stopped     bool
	replaced    chan struct{}
}

// usable returns the token to send; nil if there is no valid one.
func (s *state) usable(now time.Time) *token {
	switch {
	case s.token == nil:
		return nil
	case s.token.isNotYetAccepted(now) && s.previousUsable(now):
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

// noTokenError says why there is no token. ctx is that of the waiting request.
func (s *state) noTokenError(ctx context.Context) error {
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
	Account string
	// API is the base URL of the account's own API; empty if it uses the broker's.
	API string
	// Valid reports whether there is a valid token.
	Valid bool
	// Issued and Expires are those of the last token, valid or expired.
	Issued, Expires time.Time
	// Remaining is how long the token is still valid; 0 if it has expired.
	Remaining time.Duration
	// Refreshes counts the token requests by outcome, in the order of Outcomes.
	Refreshes           [len(Outcomes)]uint64
	ConsecutiveFailures int
	LastSuccess         time.Time
	// LastDuration is how long the last token request took, successful or not.
	LastDuration time.Duration
	// FetchingSince is when the token request in flight was sent; zero if none is in flight.
	FetchingSince time.Time
	// LastFailure is that of the last token request; nil if it succeeded or there was none.
	LastFailure   *RefreshError
	LastFailureAt time.Time
	// NextAttempt is when the next token request is due.
	NextAttempt time.Time
	// RequestsWaited counts the requests that waited for a token, and Invalidations the tokens replaced because the API refused
	// them.
	RequestsWaited, Invalidations uint64
	// Shared means that the token is shared with other brokers through a store. The next four fields are zero without one.
	Shared bool
	// FromPeer means that another broker made the last token request, which Refreshes and LastDuration do not include.
	FromPeer bool
	// StoreHits counts the tokens taken from the store, and StoreErrors the failed store operations.
	StoreHits, StoreErrors uint64
	// HoldsLease reports whether this broker fetched the valid token with the lease; it then usually fetches the next one too.
	HoldsLease bool
	// Reloads counts the changes of the credentials in the order of ReloadOutcomes. LastChange is when the current pair was taken
	// into use.
	Reloads    [len(ReloadOutcomes)]uint64
	LastChange time.Time
	// PendingReload says why the credentials that were last read are not in use; nil if they are. It must not be modified.
	PendingReload   *CredentialReload
	PendingReloadAt time.Time
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
