package admin

import (
	"slices"
	"strings"

	"etrusted-broker/tokensource"
)

// AccountState is the state of an account's token: a closed set.
type AccountState string

// The states of an account.
const (
	AccountHealthy        AccountState = "healthy"           // the token is valid
	AccountRefreshing     AccountState = "refreshing"        // the token is valid, and a new one is being fetched
	AccountStarting       AccountState = "starting"          // no token, and the first attempt has not failed yet
	AccountRefreshFailing AccountState = "failing"           // the token is valid, but the last refresh failed
	AccountReloadFailing  AccountState = "stale_credentials" // the token is valid, but the credentials changed and the new ones cannot be used
	AccountNoTokenOutage  AccountState = "outage"            // no token, because the login server issues none
	AccountBadCredentials AccountState = "rejected"          // the credentials are rejected, or cannot be read; the old token may still be valid
)

func stateOf(snapshot tokensource.Snapshot) AccountState {
	failure := snapshot.LastFailure
	switch {
	case failure != nil && failure.Outcome == tokensource.OutcomeRejected:
		return AccountBadCredentials
	case failure != nil && snapshot.Valid:
		return AccountRefreshFailing
	case failure != nil:
		return AccountNoTokenOutage
	case !snapshot.Valid:
		return AccountStarting
	case snapshot.PendingReload != nil:
		return AccountReloadFailing
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
	case state == AccountReloadFailing:
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

// Cause is the cause of a problem: a closed set.
type Cause string

// The causes of a problem.
const (
	CauseNone          Cause = "none"
	CauseCredentials   Cause = "credentials"   // Client ID and Client Secret, or the files that contain them
	CauseLoginServer   Cause = "login_server"  // the login server, or the connection to it
	CauseAPI           Cause = "api"           // the API, or the connection to it
	CauseConfiguration Cause = "configuration" // a variable of the broker
	CauseApp           Cause = "app"           // what the apps send
	CauseTokenStore    Cause = "token_store"   // the store that shares the token, or the connection to it
)

// causeOf returns why an account does not get a new token.
func (c Config) causeOf(snapshot tokensource.Snapshot) Cause {
	failure := snapshot.LastFailure
	hasTokenURL := slices.ContainsFunc(c.Settings, func(setting Setting) bool {
		return setting.Name == "ETRUSTED_TOKEN_URL" && setting.Source != "default"
	})
	switch {
	case failure == nil && (snapshot.PendingReload == nil || !snapshot.Valid):
		return CauseNone // without a token, the next attempt decides
	case failure == nil && snapshot.PendingReload.Outcome == tokensource.ReloadPostponed:
		return CauseLoginServer // it could not be asked about the new credentials
	case failure == nil:
		return CauseCredentials
	case failure.Parameters:
		return CauseConfiguration
	case failure.Outcome == tokensource.OutcomeRejected:
		return CauseCredentials
	case failure.Outcome == tokensource.OutcomeInvalidResponse && hasTokenURL:
		return CauseConfiguration // a wrong URL is more likely than a broken login server
	default:
		return CauseLoginServer
	}
}

// notReadyReason returns why the broker is not ready; empty if it is. It is ready if the default account has a valid token, or,
// without a default account, if any account has one.
func notReadyReason(draining bool, snapshots []tokensource.Snapshot) string {
	if draining {
		return "the broker is shutting down"
	}
	isDefault := func(snapshot tokensource.Snapshot) bool { return snapshot.Account == tokensource.DefaultAccount }
	if i := slices.IndexFunc(snapshots, isDefault); i >= 0 {
		return noTokenReason(snapshots[i])
	}
	reason := "no account is configured"
	for _, snapshot := range snapshots {
		if reason = noTokenReason(snapshot); reason == "" {
			break
		}
	}
	return reason
}

// noTokenReason returns why an account has no token; empty if it has one.
func noTokenReason(snapshot tokensource.Snapshot) string {
	switch {
	case snapshot.Valid:
		return ""
	case snapshot.LastFailure != nil:
		return snapshot.LastFailure.Error()
	case snapshot.LastSuccess.IsZero():
		return "the first token is being fetched"
	default:
		return "the token is no longer valid, and a new one is being fetched"
	}
}
