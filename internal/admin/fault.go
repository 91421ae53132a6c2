package admin

import (
	"slices"

	"etrusted-broker/internal/tally"
	"etrusted-broker/tokensource"
)

// Fault is whose fault it is: a closed set.
type Fault string

// The ones who may be at fault.
const (
	Nobody        Fault = "nobody"
	Credentials   Fault = "credentials"   // Client ID and Client Secret, or the files that hold them
	LoginServer   Fault = "login_server"  // the login server, or the way to it
	API           Fault = "api"           // the API, or the way to it
	Configuration Fault = "configuration" // a variable of the broker
)

// Faults lists all of them.
var Faults = [...]Fault{Nobody, Credentials, LoginServer, API, Configuration}

// words name it for people; empty for nobody.
func (f Fault) words() string {
	return map[Fault]string{
		Credentials:   "the credentials that the broker was given",
		LoginServer:   "the login server, or the way to it; not the broker or your app",
		API:           "the API, or the way to it; not the broker or the token",
		Configuration: "the broker's configuration",
	}[f]
}

// faultOf tells who keeps an account from a fresh token.
func (c Config) faultOf(snapshot tokensource.Snapshot) Fault {
	failure := snapshot.LastFailure
	switch {
	case failure == nil && (snapshot.PendingReload == nil || !snapshot.Valid):
		return Nobody // without a token it is the next attempt that counts
	case failure == nil && snapshot.PendingReload.Outcome == tokensource.ReloadPostponed:
		return LoginServer // which could not be asked about the new ones
	case failure == nil:
		return Credentials
	case failure.Outcome == tokensource.OutcomeRejected:
		return Credentials
	case failure.Parameters:
		return Configuration
	case failure.Outcome == tokensource.OutcomeInvalidResponse && c.isSet("ETRUSTED_TOKEN_URL"):
		return Configuration // whoever chose the URL is likelier to be wrong than the one who built the server
	default:
		return LoginServer
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
	asked, failed uint64
	recovered     bool // there was none that failed in the last minute, and some that did not
}

// apiHealth reckons it over all accounts. Requests without a token are nobody's business here: the API was not asked.
func apiHealth(traffic tally.Snapshot) health {
	var minute, fiveMinutes health
	for _, account := range traffic.Accounts {
		minute.add(account.LastMinute.Counts)
		fiveMinutes.add(account.LastFiveMinutes.Counts)
	}
	fiveMinutes.recovered = minute.asked > 0 && minute.failed == 0
	return fiveMinutes
}

func (h *health) add(counts tally.Counts) {
	h.asked += counts.Asked
	h.failed += counts.APIFailed
}

// troubled reports whether an operator should know: one request in ten is more than a hiccup.
func (h health) troubled() bool { return h.failed > 0 && h.failed*10 >= h.asked && !h.recovered }
