package tokensource

import "time"

// Snapshot is what a Source knows at one moment, for metrics and status pages. It holds no secret. A zero time means
// "never"; all times are on the wall clock.
type Snapshot struct {
	Account string
	// Valid reports whether there is a token that may be sent.
	Valid bool
	// Issued and Expires are those of the last token, dead or alive.
	Issued, Expires time.Time
	// Remaining is how long the token still lives; 0 if it is not valid.
	Remaining time.Duration
	// Refreshes counts the token requests by outcome, in the order of Outcomes.
	Refreshes           [len(Outcomes)]uint64
	ConsecutiveFailures int
	LastSuccess         time.Time
	// LastDuration is how long the last token request took, whatever came of it.
	LastDuration time.Duration
	// FetchingSince is when the token request was sent that is under way; zero if none is.
	FetchingSince time.Time
	// LastFailure is that of the last token request; nil if it succeeded or there was none.
	LastFailure   *RefreshError
	LastFailureAt time.Time
	// NextAttempt is when the next token request is due.
	NextAttempt time.Time
	// Waits counts the requests that had to wait for a token, and Invalidations the tokens replaced because the
	// API refused them.
	RequestsWaited, Invalidations uint64
	// Shared means that there is a store, in which the token is shared with other brokers. Without one, what follows is
	// zero.
	Shared bool
	// Elsewhere means that the last token request was another broker's, who shares the token: LastFailure and LastSuccess
	// are of it, Refreshes and LastDuration are not.
	FromPeer bool
	// StoreHits counts the tokens that were taken from the store, and StoreErrors how often it was asked in vain.
	StoreHits, StoreErrors uint64
	// Leads reports whether the token was fetched here by a lease, for all; then its successor mostly is too.
	HoldsLease bool
	// Reloads counts the changes of the credentials by outcome, in the order of ReloadOutcomes, and LastChange is
	// when those in use were taken into use.
	Reloads    [len(ReloadOutcomes)]uint64
	LastChange time.Time
	// Unused tells why the credentials that were last read are not those in use; nil if they are. Nobody may change it.
	PendingReload   *CredentialReload
	PendingReloadAt time.Time
}

// Snapshot returns what the source knows now. It never blocks.
func (s *Source) Snapshot() Snapshot {
	state, now := s.state.Load(), time.Now()
	snapshot := Snapshot{
		Account:             s.config.Account,
		Refreshes:           state.refreshes,
		ConsecutiveFailures: state.failures,
		LastSuccess:         state.lastSuccess.Round(0),
		LastDuration:        state.lastTook,
		LastFailure:         state.failure,
		NextAttempt:         state.nextAttempt.Round(0),
		RequestsWaited:      s.waits.Load(),
		Invalidations:       s.invalidations.Load(),
		Shared:              s.config.Store != nil,
		FromPeer:            state.elsewhere,
		StoreHits:           s.storeHits.Load(),
		StoreErrors:         s.storeErrors.Load(),
		Reloads:             state.reloads,
		LastChange:          state.lastChange.Round(0),
		PendingReload:       state.unused,
	}
	if since := s.fetching.Load(); since != nil {
		snapshot.FetchingSince = since.Round(0)
	}
	if state.failure != nil {
		snapshot.LastFailureAt = state.failedAt.Round(0)
	}
	if state.unused != nil {
		snapshot.PendingReloadAt = state.unusedAt.Round(0)
	}
	if token := state.token; token != nil {
		snapshot.Issued, snapshot.Expires = token.issued.Round(0), token.expires()
		if token.valid(now) {
			snapshot.HoldsLease = token.leads
			snapshot.Valid, snapshot.Remaining = true, token.remaining(now)
		}
	}
	return snapshot
}
