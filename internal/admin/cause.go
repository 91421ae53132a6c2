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

// Causes lists all of them.
var Causes = [...]Cause{CauseNone, CauseCredentials, CauseLoginServer, CauseAPI, CauseConfiguration}

// label is the cause as the page shows it; empty for CauseNone.
func (c Cause) label() string {
	return map[Cause]string{ //nolint:gosec // G101: labels, not credentials.
		CauseCredentials:   "Client ID or Client Secret",
		CauseLoginServer:   "the login server, or the connection to it (not the broker or your app)",
		CauseAPI:           "the API, or the connection to it (not the broker or the token)",
		CauseConfiguration: "the broker's configuration",
	}[c]
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

// health has the results of recent requests to the API.
type health struct {
	requests, failed uint64
	recovered        bool // in the last minute there were requests, and no failures
}

// apiHealth sums up all accounts. Requests without a token do not count, because they were not sent to the API.
func apiHealth(traffic stats.Snapshot) health {
	var minute, fiveMinutes health
	for _, account := range traffic.Accounts {
		minute.add(account.LastMinute.Counts)
		fiveMinutes.add(account.LastFiveMinutes.Counts)
	}
	fiveMinutes.recovered = minute.requests > 0 && minute.failed == 0
	return fiveMinutes
}

func (h *health) add(counts stats.Counts) {
	h.requests += counts.UpstreamRequests
	h.failed += counts.UpstreamErrors
}

// failing reports whether an operator should know: at least one request in ten failed.
func (h health) failing() bool { return h.failed > 0 && h.failed*10 >= h.requests && !h.recovered }
