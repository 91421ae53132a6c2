package admin

import (
	"time"

	"etrusted-broker/tokensource"
)

// Account is the state of an account's token, with its counts.
type Account struct {
	Account string `json:"account"`
	// API is the base URL of the account's own API; absent if it uses the broker's.
	API   string       `json:"api,omitempty"`
	State AccountState `json:"state"`
	// Since is when the state began.
	Since time.Time `json:"since"`
	Cause Cause     `json:"cause"`
	// Code is the code of the problem in docs/troubleshooting.md; absent without one.
	Code string `json:"code,omitempty"`
	// NeedsAttention reports that there is a problem, which an operator may have to fix.
	NeedsAttention bool   `json:"needs_attention"`
	Summary        string `json:"summary"`
	// Advice says what to do; absent if there is nothing to do.
	Advice     string `json:"advice,omitempty"`
	TokenValid bool   `json:"token_valid"`
	// TokenIssued and TokenExpires describe the last token, valid or not; absent if there never was one.
	TokenIssued           time.Time `json:"token_issued,omitzero"`
	TokenExpires          time.Time `json:"token_expires,omitzero"`
	TokenLifetimeSeconds  float64   `json:"token_lifetime_seconds"`
	TokenRemainingSeconds float64   `json:"token_remaining_seconds"`
	LastSuccess           time.Time `json:"last_success,omitzero"`
	LastDurationSeconds   float64   `json:"last_duration_seconds"`
	// FetchingSince is when the token request in progress was sent; otherwise absent.
	FetchingSince       time.Time `json:"fetching_since,omitzero"`
	NextAttempt         time.Time `json:"next_attempt,omitzero"`
	ConsecutiveFailures int       `json:"consecutive_failures"`
	// Refreshes counts token requests by outcome.
	Refreshes map[tokensource.Outcome]uint64 `json:"refreshes"`
	// LastHour lists the minutes of the last hour in which a token request ended, oldest first.
	LastHour       []RefreshMinute `json:"last_hour"`
	RequestsWaited uint64          `json:"requests_waited"`
	// Shared is absent if the token is not shared with other brokers.
	Shared *SharedToken `json:"shared,omitempty"`
	// Invalidations counts tokens that were replaced after a 401 from the API.
	Invalidations uint64 `json:"invalidations"`
	// Replays counts retries after a 401 by outcome.
	Replays map[string]uint64 `json:"replays"`
	// CredentialReloads counts changes of the credentials by outcome. CredentialsChanged is when the current credentials came
	// into use.
	CredentialReloads  map[tokensource.ReloadOutcome]uint64 `json:"credential_reloads"`
	CredentialsChanged time.Time                            `json:"credentials_changed,omitzero"`
	// LastError is why the last token request failed; absent if it succeeded.
	LastError *TokenProblem `json:"last_error,omitempty"`
	// UnusedCredentials says why changed credentials are not used; present only in the state AccountReloadFailing.
	UnusedCredentials *TokenProblem         `json:"unused_credentials,omitempty"`
	Requests          RequestCountsByWindow `json:"requests"`
}

// SharedToken is this broker's view of a token that it shares with others.
type SharedToken struct {
	HoldsLease bool   `json:"holds_lease"` // this broker fetched the token, and is the first to fetch the next one
	FromPeer   bool   `json:"from_peer"`   // another broker made the last token request
	Hits       uint64 `json:"hits"`        // tokens taken from the store
	Errors     uint64 `json:"errors"`      // failed requests to the store
}

// TokenProblem says why a token request failed, or why changed credentials are not used.
type TokenProblem struct {
	Outcome string    `json:"outcome"` // a tokensource.Outcome or a tokensource.ReloadOutcome
	Reason  string    `json:"reason"`
	Advice  string    `json:"advice"`
	At      time.Time `json:"at"`
}

func (h *Handler) account(snapshot tokensource.Snapshot, recent traffic, now time.Time) Account {
	state := stateOf(snapshot)
	account := Account{
		Account:               snapshot.Account,
		API:                   snapshot.API,
		State:                 state,
		Since:                 h.history.since(stateKey{account: snapshot.Account}, string(state), now),
		Cause:                 h.config.causeOf(snapshot),
		Summary:               summarize(snapshot, state),
		TokenValid:            snapshot.Valid,
		TokenIssued:           snapshot.Issued.UTC(),
		TokenExpires:          snapshot.Expires.UTC(),
		TokenLifetimeSeconds:  snapshot.Expires.Sub(snapshot.Issued).Seconds(),
		TokenRemainingSeconds: snapshot.Remaining.Seconds(),
		LastSuccess:           snapshot.LastSuccess.UTC(),
		LastDurationSeconds:   snapshot.LastDuration.Seconds(),
		FetchingSince:         snapshot.FetchingSince.UTC(),
		NextAttempt:           snapshot.NextAttempt.UTC(),
		ConsecutiveFailures:   snapshot.ConsecutiveFailures,
		Refreshes:             map[tokensource.Outcome]uint64{},
		LastHour:              h.history.refreshesOf(snapshot.Account, now),
		RequestsWaited:        snapshot.RequestsWaited,
		Invalidations:         snapshot.Invalidations,
		Replays:               h.config.Metrics.Retries(snapshot.Account),
		CredentialReloads:     map[tokensource.ReloadOutcome]uint64{},
		CredentialsChanged:    snapshot.LastChange.UTC(),
		Requests:              recent.of(snapshot.Account),
	}
	for i, outcome := range tokensource.CountedReloadOutcomes {
		account.CredentialReloads[outcome] = snapshot.Reloads[i]
	}
	for i, outcome := range tokensource.Outcomes {
		account.Refreshes[outcome] = snapshot.Refreshes[i]
	}
	if failure := snapshot.LastFailure; failure != nil {
		account.Code, account.NeedsAttention, account.Advice = failure.Code(), true, failure.Advice
		account.LastError = &TokenProblem{string(failure.Outcome), failure.Reason, failure.Advice, snapshot.LastFailureAt.UTC()}
	}
	if snapshot.Shared {
		account.Shared = &SharedToken{snapshot.HoldsLease, snapshot.FromPeer, snapshot.StoreHits, snapshot.StoreErrors}
	}
	if unused := snapshot.PendingReload; state == AccountReloadFailing {
		account.Code, account.NeedsAttention, account.Advice = tokensource.CodeNewCredentialsUnused, true, unused.Advice
		account.UnusedCredentials = &TokenProblem{string(unused.Outcome), unused.Reason, unused.Advice, snapshot.PendingReloadAt.UTC()}
	}
	return account
}
