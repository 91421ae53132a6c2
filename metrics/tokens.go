package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"etrusted-broker/tokensource"
)

// tokenMetrics are the metrics by account whose value comes from a snapshot.
var tokenMetrics = []struct {
	name       string
	kind       prometheus.ValueType
	onlyShared bool // only for accounts whose token is in the token store
	value      func(tokensource.Snapshot) float64
	help       string
}{
	{"token_expiry_timestamp_seconds", prometheus.GaugeValue, false, func(s tokensource.Snapshot) float64 { return unixSeconds(s.Expires) },
		"Expiry of the current token, as Unix time; 0 before the first token. If it comes close, refreshes fail; once it has passed, requests are answered with 503."},
	{"token_issued_timestamp_seconds", prometheus.GaugeValue, false, func(s tokensource.Snapshot) float64 { return unixSeconds(s.Issued) },
		"When the current token was requested, as Unix time; 0 before the first token. It rises with each refresh; if it stays the same while the expiry comes close, refreshes fail."},
	{"token_last_success_timestamp_seconds", prometheus.GaugeValue, false, func(s tokensource.Snapshot) float64 { return unixSeconds(s.LastSuccess) },
		"When a token was last fetched, as Unix time; 0 if never. It rises with each refresh; if it is older than a token's lifetime, there is no valid token."},
	{"token_consecutive_failures", prometheus.GaugeValue, false, func(s tokensource.Snapshot) float64 { return float64(s.ConsecutiveFailures) },
		"Failed token requests since the last successful one. If it rises and does not return to 0, the token expires."},
	{"token_waits_total", prometheus.CounterValue, false, func(s tokensource.Snapshot) float64 { return float64(s.RequestsWaited) },
		"Requests that waited for a token. A rise at any other time than startup means that the token was not refreshed in time."},
	{"token_invalidations_total", prometheus.CounterValue, false, func(s tokensource.Snapshot) float64 { return float64(s.Invalidations) },
		"Tokens discarded because the API rejected them before their expiry. A rise means that tokens are revoked, or that the client lacks a right."},
	{"credential_last_change_timestamp_seconds", prometheus.GaugeValue, false, func(s tokensource.Snapshot) float64 { return unixSeconds(s.LastChange) },
		"When the current credentials came into use, as Unix time; 0 without credentials. If it does not change after a rotation, the new credentials do not work: see credential_reloads_total."},
	{"token_store_hits_total", prometheus.CounterValue, true, func(s tokensource.Snapshot) float64 { return float64(s.StoreHits) },
		"Tokens that another broker fetched, taken from the token store."},
	{"token_store_errors_total", prometheus.CounterValue, true, func(s tokensource.Snapshot) float64 { return float64(s.StoreErrors) },
		"Failed requests to the token store. While it rises, each broker fetches its own token: nothing fails, but the login server gets more requests."},
	{"token_store_lease_held", prometheus.GaugeValue, true, func(s tokensource.Snapshot) float64 { return boolToFloat(s.HoldsLease) },
		"1 on the broker that fetched the current token for all and will fetch the next one; 0 on the others. If the sum over all brokers stays 0, the token is not shared."},
}

func collectTokens(ch chan<- prometheus.Metric, snapshots []tokensource.Snapshot) {
	for _, metric := range tokenMetrics {
		send := newSeriesSender(ch, metric.kind, metric.name, metric.help, "account")
		for _, snapshot := range snapshots {
			if !metric.onlyShared || snapshot.Shared {
				send(metric.value(snapshot), snapshot.Account)
			}
		}
	}
	refreshes := newSeriesSender(ch, prometheus.CounterValue, "token_refreshes_total",
		"Token requests by outcome. A rise of rejected means that the credentials are wrong; of unavailable, that the login server is down or unreachable; of invalid_response, that something else answers in place of the login server.",
		"account", "outcome")
	reloads := newSeriesSender(ch, prometheus.CounterValue, "credential_reloads_total",
		"Reloads of changed credentials by outcome. A rise of rejected means that the new pair is wrong; of unreadable, that a file is missing or empty. The old pair stays in use.",
		"account", "outcome")
	for _, snapshot := range snapshots {
		for i, outcome := range tokensource.Outcomes {
			refreshes(float64(snapshot.Refreshes[i]), snapshot.Account, string(outcome))
		}
		for i, outcome := range tokensource.CountedReloadOutcomes {
			reloads(float64(snapshot.Reloads[i]), snapshot.Account, string(outcome))
		}
	}
}

func boolToFloat(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// unixSeconds returns Unix time in seconds, with fraction; 0 for the zero time.
func unixSeconds(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1000
}
