package admin

import (
	"slices"

	"etrusted-broker/internal/stats"
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
)

// causeLabels has each cause as the page shows it.
var causeLabels = map[Cause]string{ //nolint:gosec // G101: labels, not credentials.
	CauseNone:          "",
	CauseCredentials:   "Client ID or Client Secret",
	CauseLoginServer:   "the login server, or the connection to it (not the broker or your app)",
	CauseAPI:           "the API, or the connection to it (not the broker or the token)",
	CauseConfiguration: "the broker's configuration",
}

// causeOf returns why an account does not get a new token.
func (c Config) causeOf(snapshot tokensource.Snapshot) Cause {
	failure := snapshot.LastFailure
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
	case failure.Outcome == tokensource.OutcomeInvalidResponse && c.isSet("ETRUSTED_TOKEN_URL"):
		return CauseConfiguration // a wrong URL is more likely than a broken login server
	default:
		return CauseLoginServer
	}
}

// isSet reports whether a variable has a value other than its default.
func (c Config) isSet(name string) bool {
	return slices.ContainsFunc(c.Settings, func(setting Setting) bool {
		return setting.Name == name && setting.Source != "default"
	})
}

// apiHealth has the results of the last five minutes' requests to the API.
type apiHealth struct {
	requests, failed uint64
	recovered        bool // in the last minute there were requests, and no failures
}

// apiHealthOf takes the sums of all accounts. Requests without a token do not count, because they were not sent to the API.
func apiHealthOf(all stats.Account) apiHealth {
	minute, fiveMinutes := all.LastMinute.Counts, all.LastFiveMinutes.Counts
	return apiHealth{
		requests:  fiveMinutes[stats.UpstreamRequests],
		failed:    fiveMinutes[stats.UpstreamErrors],
		recovered: minute[stats.UpstreamRequests] > 0 && minute[stats.UpstreamErrors] == 0,
	}
}

// failing reports whether an operator should know: at least one request in ten failed.
func (h apiHealth) failing() bool { return h.failed > 0 && h.failed*10 >= h.requests && !h.recovered }
