package admin

import (
	"slices"

	"etrusted-broker/internal/stats"
	"etrusted-broker/tokensource"
)

// Cause is whose fault it is: a closed set.
type Cause string

// The ones who may be at fault.
const (
	CauseNone          Cause = "nobody"
	CauseCredentials   Cause = "credentials"   // Client ID and Client Secret, or the files that hold them
	CauseLoginServer   Cause = "login_server"  // the login server, or the way to it
	CauseAPI           Cause = "api"           // the API, or the way to it
	CauseConfiguration Cause = "configuration" // a variable of the broker
)

// Causes lists all of them.
var Causes = [...]Cause{CauseNone, CauseCredentials, CauseLoginServer, CauseAPI, CauseConfiguration}

// label name it for people; empty for nobody.
func (f Cause) label() string {
	return map[Cause]string{
		CauseCredentials:   "the credentials that the broker was given",
		CauseLoginServer:   "the login server, or the way to it; not the broker or your app",
		CauseAPI:           "the API, or the way to it; not the broker or the token",
		CauseConfiguration: "the broker's configuration",
	}[f]
}

// causeOf tells who keeps an account from a fresh token.
func (c Config) causeOf(snapshot tokensource.Snapshot) Cause {
	failure := snapshot.LastFailure
	switch {
	case failure == nil && (snapshot.PendingReload == nil || !snapshot.Valid):
		return CauseNone // without a token it is the next attempt that counts
	case failure == nil && snapshot.PendingReload.Outcome == tokensource.ReloadPostponed:
		return CauseLoginServer // which could not be asked about the new ones
	case failure == nil:
		return CauseCredentials
	case failure.Outcome == tokensource.OutcomeRejected:
		return CauseCredentials
	case failure.Parameters:
		return CauseConfiguration
	case failure.Outcome == tokensource.OutcomeInvalidResponse && c.isSet("ETRUSTED_TOKEN_URL"):
		return CauseConfiguration // whoever chose the URL is likelier to be wrong than the one who built the server
	default:
		return CauseLoginServer
	}
}

// isSet reports whether the operator has chosen a variable's value.
func (c Config) isSet(name string) bool {
	return slices.ContainsFunc(c.Settings, func(setting Setting) bool {
		return setting.Name == name && setting.Source != "default"
	})
}

// health is how the API did of late: of so many requests that were sent to it, so many failed.
type health struct {
	requests, failed uint64
	recovered        bool // there was none that failed in the last minute, and some that did not
}

// apiHealth reckons it over all accounts. Requests without a token are nobody's business here: the API was not asked.
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

// failing reports whether an operator should know: one request in ten is more than a hiccup.
func (h health) failing() bool { return h.failed > 0 && h.failed*10 >= h.requests && !h.recovered }
