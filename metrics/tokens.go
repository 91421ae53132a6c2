package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"etrusted-broker/tokensource"
)

// tokenCollector reads the token sources' snapshots at each scrape.
type tokenCollector struct {
	snapshots func() []tokensource.Snapshot
}

// tokenMetric is a metric by account whose value comes from a snapshot.
type tokenMetric struct {
	desc       *prometheus.Desc
	kind       prometheus.ValueType
	onlyShared bool // only of accounts whose token is in the token store
	value      func(tokensource.Snapshot) float64
}

var tokenMetrics = []tokenMetric{
	{
		desc: newTokenDesc("token_expiry_timestamp_seconds",
			"Expiry of the current token, as Unix time; 0 before the first token. If it comes close, refreshes fail; once it has passed, requests are answered with 503."),
		kind:  prometheus.GaugeValue,
		value: func(s tokensource.Snapshot) float64 { return unixSeconds(s.Expires) },
	},
	{
		desc: newTokenDesc("token_issued_timestamp_seconds",
			"When the current token was requested, as Unix time; 0 before the first token. It rises with each refresh; if it stays the same while the expiry comes close, refreshes fail."),
		kind:  prometheus.GaugeValue,
		value: func(s tokensource.Snapshot) float64 { return unixSeconds(s.Issued) },
	},
	{
		desc: newTokenDesc("token_last_success_timestamp_seconds",
			"When a token was last fetched, as Unix time; 0 if never. It rises with each refresh; if it is older than a token's lifetime, there is no valid token."),
		kind:  prometheus.GaugeValue,
		value: func(s tokensource.Snapshot) float64 { return unixSeconds(s.LastSuccess) },
	},
	{
		desc: newTokenDesc("token_consecutive_failures",
			"Failed token requests since the last successful one. If it rises and does not return to 0, the token expires."),
		kind:  prometheus.GaugeValue,
		value: func(s tokensource.Snapshot) float64 { return float64(s.ConsecutiveFailures) },
	},
	{
		desc: newTokenDesc("token_waits_total",
			"Requests that waited for a token. A rise at any other time than startup means that the token was not refreshed in time."),
		kind:  prometheus.CounterValue,
		value: func(s tokensource.Snapshot) float64 { return float64(s.RequestsWaited) },
	},
	{
		desc: newTokenDesc("token_invalidations_total",
			"Tokens discarded because the API rejected them before their expiry. A rise means that tokens are revoked, or that the client lacks a right."),
		kind:  prometheus.CounterValue,
		value: func(s tokensource.Snapshot) float64 { return float64(s.Invalidations) },
	},
	{
		desc: newTokenDesc("credential_last_change_timestamp_seconds",
			"When the current credentials came into use, as Unix time; 0 without credentials. If it does not change after a rotation, the new credentials do not work: see credential_reloads_total."),
		kind:  prometheus.GaugeValue,
		value: func(s tokensource.Snapshot) float64 { return unixSeconds(s.LastChange) },
	},
	{
		desc: newTokenDesc("token_store_hits_total",
			"Tokens that another broker fetched, taken from the token store."),
		kind: prometheus.CounterValue, onlyShared: true,
		value: func(s tokensource.Snapshot) float64 { return float64(s.StoreHits) },
	},
	{
		desc: newTokenDesc("token_store_errors_total",
			"Failed requests to the token store. While it rises, each broker fetches its own token: nothing fails, but the login server gets more requests."),
		kind: prometheus.CounterValue, onlyShared: true,
		value: func(s tokensource.Snapshot) float64 { return float64(s.StoreErrors) },
	},
	{
		desc: newTokenDesc("token_store_lease_held",
			"1 on the broker that fetched the current token for all and will fetch the next one; 0 on the others. If the sum over all brokers stays 0, the token is not shared."),
		kind: prometheus.GaugeValue, onlyShared: true,
		value: func(s tokensource.Snapshot) float64 { return boolToFloat(s.HoldsLease) },
	},
}

var refreshesDesc = newTokenDesc("token_refreshes_total",
	"Token requests by outcome. A rise of rejected means that the credentials are wrong; of unavailable, that the login server is down or unreachable; of invalid_response, that something else answers in place of the login server.",
	"outcome")

var reloadsDesc = newTokenDesc("credential_reloads_total",
	"Reloads of changed credentials by outcome. A rise of rejected means that the new pair is wrong; of unreadable, that a file is missing or empty. The old pair stays in use.",
	"outcome")

func newTokenDesc(name, help string, labels ...string) *prometheus.Desc {
	return newDesc(name, help, append([]string{"account"}, labels...)...)
}

// Describe implements prometheus.Collector.
func (c tokenCollector) Describe(descs chan<- *prometheus.Desc) {
	for _, metric := range tokenMetrics {
		descs <- metric.desc
	}
	descs <- refreshesDesc
	descs <- reloadsDesc
}

// Collect implements prometheus.Collector.
func (c tokenCollector) Collect(ch chan<- prometheus.Metric) {
	for _, snapshot := range c.snapshots() {
		for _, metric := range tokenMetrics {
			if !metric.onlyShared || snapshot.Shared {
				ch <- prometheus.MustNewConstMetric(metric.desc, metric.kind, metric.value(snapshot), snapshot.Account)
			}
		}
		for i, outcome := range tokensource.Outcomes {
			ch <- prometheus.MustNewConstMetric(refreshesDesc, prometheus.CounterValue, float64(snapshot.Refreshes[i]), snapshot.Account, string(outcome))
		}
		for i, outcome := range tokensource.ReloadOutcomes {
			ch <- prometheus.MustNewConstMetric(reloadsDesc, prometheus.CounterValue, float64(snapshot.Reloads[i]), snapshot.Account, string(outcome))
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
