package admin

import "etrusted-broker/tokensource"

// AccountState is how an account's token fares: a closed set.
type AccountState string

// The states of an account.
const (
	AccountHealthy    AccountState = "healthy"           // the token is valid
	AccountRefreshing AccountState = "refreshing"        // the token is valid, and its successor is being fetched
	AccountStarting   AccountState = "starting"          // there is no token, and the attempt at one has not failed yet
	AccountFailing    AccountState = "failing"           // the token is valid, but the last attempt at its successor failed
	AccountStale      AccountState = "stale_credentials" // the token is valid, but the credentials were changed and the new ones do not work
	AccountOutage     AccountState = "outage"            // there is no token, since the login server gives none
	AccountRejected   AccountState = "rejected"          // the credentials are refused, or cannot be read; an older token may be valid yet
)

// AccountStates lists all of them.
var AccountStates = [...]AccountState{AccountHealthy, AccountRefreshing, AccountStarting, AccountFailing, AccountStale, AccountOutage, AccountRejected}

func stateOf(snapshot tokensource.Snapshot) AccountState {
	failure := snapshot.LastFailure
	switch {
	case failure != nil && failure.Outcome == tokensource.OutcomeRejected:
		return AccountRejected
	case failure != nil && snapshot.Valid:
		return AccountFailing
	case failure != nil:
		return AccountOutage
	case !snapshot.Valid:
		return AccountStarting
	case snapshot.PendingReload != nil:
		return AccountStale
	case !snapshot.FetchingSince.IsZero():
		return AccountRefreshing
	default:
		return AccountHealthy
	}
}

// needsAttention reports whether somebody should look at the account.
func (s AccountState) needsAttention() bool {
	return s == AccountFailing || s == AccountStale || s == AccountOutage || s == AccountRejected
}

// label is the state for people.
func (s AccountState) label() string {
	return map[AccountState]string{
		AccountHealthy:    "Healthy",
		AccountRefreshing: "Refreshing",
		AccountStarting:   "Starting",
		AccountFailing:    "Refresh failing",
		AccountStale:      "New credentials not used",
		AccountOutage:     "No token",
		AccountRejected:   "Credentials rejected",
	}[s]
}

// symbol is the state's picture in page.html: each has a shape of its own, for those who do not see its colour.
func (s AccountState) symbol() string {
	return map[AccountState]string{
		AccountHealthy:    "#check",
		AccountRefreshing: "#arrows",
		AccountStarting:   "#dots",
		AccountFailing:    "#warning",
		AccountStale:      "#warning",
		AccountOutage:     "#cross",
		AccountRejected:   "#key",
	}[s]
}

// summarize tells how the account fares, in whole sentences. Why a request failed is told as the last error.
func summarize(snapshot tokensource.Snapshot, state AccountState) string {
	left := humanize(snapshot.Remaining)
	switch {
	case state == AccountHealthy:
		return "The token is valid for " + left + " more."
	case state == AccountRefreshing:
		return "The token is valid for " + left + " more, and its successor is being fetched."
	case state == AccountStarting:
		return sentence(fetchStatus(snapshot)) + " Requests wait for it."
	case state == AccountStale:
		return "The token is valid for " + left + " more. It was fetched with the old credentials, since the new ones cannot be used."
	case !snapshot.Valid:
		return "There is no token, and requests fail."
	case state == AccountRejected:
		return "The old token still works for " + left + ", but there will be no other."
	default:
		return "The token still works for " + left + ", but its refresh has failed" + times(snapshot.ConsecutiveFailures) + "."
	}
}
