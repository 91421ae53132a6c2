package admin

import (
	"time"

	"etrusted-broker/internal/stats"
	"etrusted-broker/tokensource"
)

// Account is the state of one account's token, and what was done with it.
type Account struct {
	Account string       `json:"account"`
	State   AccountState `json:"state"`
	Cause   Cause        `json:"at_fault"`
	// NeedsAttention reports that somebody has to do something, or has to wait for somebody else.
	NeedsAttention bool   `json:"troubled"`
	Summary        string `json:"summary"`
	// Advice says what to do; absent when there is nothing to do.
	Advice     string `json:"advice,omitempty"`
	TokenValid bool   `json:"token_valid"`
	// TokenIssued and TokenExpires are those of the last token, dead or alive; absent if there never was one.
	TokenIssued           *time.Time `json:"token_issued,omitempty"`
	TokenExpires          *time.Time `json:"token_expires,omitempty"`
	TokenLifetimeSeconds  float64    `json:"token_lifetime_seconds"`
	TokenRemainingSeconds float64    `json:"token_remaining_seconds"`
	LastSuccess           *time.Time `json:"last_success,omitempty"`
	LastDurationSeconds   float64    `json:"last_duration_seconds"`
	// FetchingSince is when the token request was sent that is under way; absent if none is.
	FetchingSince       *time.Time `json:"fetching_since,omitempty"`
	NextAttempt         *time.Time `json:"next_attempt,omitempty"`
	ConsecutiveFailures int        `json:"consecutive_failures"`
	// Refreshes counts token requests by outcome.
	Refreshes map[tokensource.Outcome]uint64 `json:"refreshes"`
	// LastHour are the minutes of the last hour in which a token request ended, oldest first.
	LastHour       []Minute `json:"last_hour"`
	RequestsWaited uint64   `json:"waits"`
	// Shared is absent if the token is not shared with other brokers.
	Shared *SharedToken `json:"shared,omitempty"`
	// Invalidations counts tokens given up after a 401 of the API.
	Invalidations uint64 `json:"invalidations"`
	// Replays count the requests sent again after a 401 by outcome.
	Replays map[string]uint64 `json:"replays"`
	// CredentialReloads counts changed credentials by outcome; CredentialsChanged is when those in use were taken
	// into use.
	CredentialReloads  map[tokensource.ReloadOutcome]uint64 `json:"credential_reloads"`
	CredentialsChanged *time.Time                           `json:"credentials_changed,omitempty"`
	// LastError is that of the last token request; absent if it succeeded.
	LastError *Error `json:"last_error,omitempty"`
	// UnusedCredentials tell why the credentials were changed in vain; absent in all states but Stale.
	UnusedCredentials *PendingReload `json:"unused_credentials,omitempty"`
	Requests          Requests       `json:"requests"`
	Display           AccountDisplay `json:"display"`
}

// SharedToken is the part that this broker has in a token that it shares.
type SharedToken struct {
	HoldsLease bool   `json:"leads"`     // it has fetched the token for all, and is the first to fetch the next
	FromPeer   bool   `json:"elsewhere"` // the last token request was another broker's
	Hits       uint64 `json:"hits"`      // tokens taken from the store
	Errors     uint64 `json:"errors"`    // how often the store was asked in vain
}

// Error is why a token request failed.
type Error struct {
	Outcome tokensource.Outcome `json:"outcome"`
	Reason  string              `json:"reason"`
	Advice  string              `json:"advice"`
	At      time.Time           `json:"at"`
}

// PendingReload is why credentials that changed are not in use.
type PendingReload struct {
	Outcome tokensource.ReloadOutcome `json:"outcome"`
	Reason  string                    `json:"reason"`
	Advice  string                    `json:"advice"`
	At      time.Time                 `json:"at"`
}

func (c Config) account(snapshot tokensource.Snapshot, traffic stats.Account, now time.Time) Account {
	state := stateOf(snapshot)
	account := Account{
		Account:               snapshot.Account,
		State:                 state,
		Cause:                 c.causeOf(snapshot),
		NeedsAttention:        state.needsAttention(),
		Summary:               summarize(snapshot, state),
		TokenValid:            snapshot.Valid,
		TokenIssued:           timeOrNil(snapshot.Issued),
		TokenExpires:          timeOrNil(snapshot.Expires),
		TokenLifetimeSeconds:  snapshot.Expires.Sub(snapshot.Issued).Seconds(),
		TokenRemainingSeconds: snapshot.Remaining.Seconds(),
		LastSuccess:           timeOrNil(snapshot.LastSuccess),
		LastDurationSeconds:   snapshot.LastDuration.Seconds(),
		FetchingSince:         timeOrNil(snapshot.FetchingSince),
		NextAttempt:           timeOrNil(snapshot.NextAttempt),
		ConsecutiveFailures:   snapshot.ConsecutiveFailures,
		Refreshes:             map[tokensource.Outcome]uint64{},
		LastHour:              lastHour(traffic.Refreshes),
		RequestsWaited:        snapshot.RequestsWaited,
		Invalidations:         snapshot.Invalidations,
		Replays:               orEmpty(traffic.Replays),
		CredentialReloads:     map[tokensource.ReloadOutcome]uint64{},
		CredentialsChanged:    timeOrNil(snapshot.LastChange),
		Requests:              requestsOf(traffic, now.Sub(c.Started)),
		Display:               displayOf(snapshot, state, traffic.Refreshes, now),
	}
	for i, outcome := range tokensource.ReloadOutcomes {
		account.CredentialReloads[outcome] = snapshot.Reloads[i]
	}
	for i, outcome := range tokensource.Outcomes {
		account.Refreshes[outcome] = snapshot.Refreshes[i]
	}
	if failure := snapshot.LastFailure; failure != nil {
		account.Advice = failure.Advice
		account.LastError = &Error{failure.Outcome, failure.Reason, failure.Advice, snapshot.LastFailureAt.UTC()}
	}
	if snapshot.Shared {
		account.Shared = &SharedToken{snapshot.HoldsLease, snapshot.FromPeer, snapshot.StoreHits, snapshot.StoreErrors}
	}
	if unused := snapshot.PendingReload; state == AccountStale {
		account.Advice = unused.Advice
		account.UnusedCredentials = &PendingReload{unused.Outcome, unused.Reason, unused.Advice, snapshot.PendingReloadAt.UTC()}
	}
	return account
}

// reason is why the account is troubled.
func (a Account) reason() string {
	if a.UnusedCredentials != nil {
		return a.UnusedCredentials.Reason
	}
	return a.LastError.Reason
}

// orEmpty makes an object of what nothing was counted for yet.
func orEmpty(counts map[string]uint64) map[string]uint64 {
	if counts == nil {
		return map[string]uint64{}
	}
	return counts
}
