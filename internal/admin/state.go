package admin

import "etrusted-broker/tokensource"

// AccountState is the state of an account's token: a closed set.
type AccountState string

// The states of an account.
const (
	AccountHealthy    AccountState = "healthy"           // the token is valid
	AccountRefreshing AccountState = "refreshing"        // the token is valid, and a new one is being fetched
	AccountStarting   AccountState = "starting"          // no token, and the first attempt has not failed yet
	AccountFailing    AccountState = "failing"           // the token is valid, but the last refresh failed
	AccountStale      AccountState = "stale_credentials" // the token is valid, but the credentials changed and the new ones cannot be used
	AccountOutage     AccountState = "outage"            // no token, because the login server issues none
	AccountRejected   AccountState = "rejected"          // the credentials are rejected, or cannot be read; the old token may still be valid
)

// accountStateDisplay has each state as the page shows it, with its icon, and says whether there is a problem. The icons differ in
// shape, for readers who cannot see the colours.
var accountStateDisplay = map[AccountState]struct {
	label, symbol  string
	needsAttention bool
}{
	AccountHealthy:    {"Healthy", "#check", false},
	AccountRefreshing: {"Refreshing", "#arrows", false},
	AccountStarting:   {"Starting", "#dots", false},
	AccountFailing:    {"Refresh failing", "#warning", true},
	AccountStale:      {"New credentials not used", "#warning", true},
	AccountOutage:     {"No token", "#cross", true},
	AccountRejected:   {"Credentials rejected", "#key", true},
}

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

// summarize describes the state in one or two sentences. The reason of a failure is in Account.LastError.
func summarize(snapshot tokensource.Snapshot, state AccountState) string {
	valid := "Token valid for " + humanize(snapshot.Remaining)
	switch {
	case state == AccountHealthy:
		return valid + "."
	case state == AccountRefreshing:
		return valid + "; refreshing."
	case state == AccountStarting:
		return sentence(fetchStatus(snapshot)) + " Requests wait for it."
	case state == AccountStale:
		return valid + ". The new credentials cannot be used; the old ones are still in use."
	case !snapshot.Valid:
		return "No token. Requests fail."
	case state == AccountRejected:
		return valid + ". Requests fail after that."
	default:
		return valid + "; refresh failed" + timesInARow(snapshot.ConsecutiveFailures) + "."
	}
}
