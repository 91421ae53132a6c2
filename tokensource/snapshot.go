package tokensource

import "time"

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
	// RequestsWaited counts the requests that had to wait for a token, and Invalidations the tokens replaced because the
	// API refused them.
	RequestsWaited, Invalidations uint64
	// Shared means that the token is shared with other brokers through a store. The next four fields are zero without
	// one.
	Shared bool
	// FromPeer means that another broker made the last token request: LastFailure and LastSuccess describe it, Refreshes
	// and LastDuration do not.
	FromPeer bool
	// StoreHits counts the tokens taken from the store, and StoreErrors the failed store operations.
	StoreHits, StoreErrors uint64
	// HoldsLease reports whether this broker fetched the valid token with the lease; it then usually fetches the next one
	// too.
	HoldsLease bool
	// Reloads counts the changes of the credentials by outcome, in the order of ReloadOutcomes, and LastChange is when
	// the current pair was taken into use.
	Reloads    [len(ReloadOutcomes)]uint64
	LastChange time.Time
	// PendingReload says why the credentials that were last read are not in use; nil if they are. It must not be
	// modified.
	PendingReload   *CredentialReload
	PendingReloadAt time.Time
}

// Snapshot returns the current state. It never blocks.
func (s *Source) Snapshot() Snapshot {
	current, now := s.state.Load(), time.Now()
	snapshot := Snapshot{
		Account:             s.config.Account,
		API:                 current.environment.apiURL(),
		Refreshes:           current.refreshes,
		ConsecutiveFailures: current.failures,
		LastSuccess:         current.lastSuccess.Round(0),
		LastDuration:        current.lastDuration,
		LastFailure:         current.failure,
		NextAttempt:         current.nextAttempt.Round(0),
		RequestsWaited:      s.requestsWaited.Load(),
		Invalidations:       s.invalidations.Load(),
		Shared:              s.config.Store != nil,
		FromPeer:            current.fromPeer,
		StoreHits:           s.storeHits.Load(),
		StoreErrors:         s.storeErrors.Load(),
		Reloads:             current.reloads,
		LastChange:          current.lastChange.Round(0),
		PendingReload:       current.pendingReload,
	}
	if since := s.fetching.Load(); since != nil {
		snapshot.FetchingSince = since.Round(0)
	}
	if current.failure != nil {
		snapshot.LastFailureAt = current.failedAt.Round(0)
	}
	if current.pendingReload != nil {
		snapshot.PendingReloadAt = current.pendingReloadAt.Round(0)
	}
	if last := current.token; last != nil {
		snapshot.Issued, snapshot.Expires = last.issued.Round(0), last.expires()
		if last.valid(now) {
			snapshot.HoldsLease = last.leads
			snapshot.Valid, snapshot.Remaining = true, last.remaining(now)
		}
	}
	return snapshot
}
