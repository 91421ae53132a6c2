package admin

import (
	"strings"

	"etrusted-broker/tokensource"
)

// AccountState is the state of an account's token: a closed set.
type AccountState string

// The states of an account.
const (
	AccountHealthy          AccountState = "healthy"           // the token is valid
	AccountRefreshing       AccountState = "refreshing"        // the token is valid, and a new one is being fetched
	AccountStarting         AccountState = "starting"          // no token, and the first attempt has not failed yet
	AccountRefreshFailing   AccountState = "failing"           // the token is valid, but the last refresh failed
	AccountStaleCredentials AccountState = "stale_credentials" // the token is valid, but the credentials changed and the new ones cannot be used
	AccountOutage           AccountState = "outage"            // no token, because the login server issues none
	AccountRejected         AccountState = "rejected"          // the credentials are rejected, or cannot be read; the old token may still be valid
)

func stateOf(snapshot tokensource.Snapshot) AccountState {
	failure := snapshot.LastFailure
	switch {
	case failure != nil && failure.Outcome == tokensource.OutcomeRejected:
		return AccountRejected
	case failure != nil && snapshot.Valid:
		return AccountRefreshFailing
	case failure != nil:
		return AccountOutage
	case !snapshot.Valid:
		return AccountStarting
	case snapshot.PendingReload != nil:
		return AccountStaleCredentials
	case !snapshot.FetchingSince.IsZero():
		return AccountRefreshing
	default:
		return AccountHealthy
	}
}

// summarize describes the state in one or two sentences. The reason of a failure is in Account.LastError.
func summarize(snapshot tokensource.Snapshot, state AccountState) string {
	switch {
	case state == AccountHealthy:
		return "The token is valid."
	case state == AccountRefreshing:
		return "The token is valid, and is being refreshed."
	case state == AccountStarting:
		return sentence(noTokenReason(snapshot)) + " Requests wait for it."
	case state == AccountStaleCredentials:
		return "The token is valid. The new credentials cannot be used; the old ones are still in use."
	case !snapshot.Valid:
		return "There is no token. Requests fail."
	default:
		return "The token is valid, but cannot be refreshed. Requests fail once it has expired."
	}
}

// sentence turns an error text into a sentence.
func sentence(text string) string {
	return strings.ToUpper(text[:1]) + text[1:] + "."
}
