package admin

import (
	"slices"

	"etrusted-broker/tokensource"
)

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
