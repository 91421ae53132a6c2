package metrics

import (
	"slices"
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
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(tokensource.Snapshot) float64
}

func newTokenMetric(name, help string, kind prometheus.ValueType, value func(tokensource.Snapshot) float64) tokenMetric {
	return tokenMetric{prometheus.NewDesc(namespace+"_"+name, help, []string{"account"}, nil), kind, value}
}

var alwaysExported = []tokenMetric{
	newTokenMetric("token_expiry_timestamp_seconds",
		"Expiry of the current token, as Unix time; 0 before the first token. If it comes close, refreshes fail; once it has passed, requests are answered with 503.",
		prometheus.GaugeValue, func(s tokensource.Snapshot) float64 { return timestamp(s.Expires) }),
	newTokenMetric("token_issued_timestamp_seconds",
		"When the current token was requested, as Unix time; 0 before the first token. It rises with each refresh; if it stays the same while the expiry comes close, refreshes fail.",
		prometheus.GaugeValue, func(s tokensource.Snapshot) float64 { return timestamp(s.Issued) }),
	newTokenMetric("token_last_success_timestamp_seconds",
		"When a token was last fetched, as Unix time; 0 if never. It rises with each refresh; if it is older than a token's lifetime, there is no valid token.",
		prometheus.GaugeValue, func(s tokensource.Snapshot) float64 { return timestamp(s.LastSuccess) }),
	newTokenMetric("token_consecutive_failures",
		"Failed token requests since the last successful one. If it rises and does not return to 0, the token expires.",
		prometheus.GaugeValue, func(s tokensource.Snapshot) float64 { return float64(s.ConsecutiveFailures) }),
	newTokenMetric("token_waits_total",
		"Requests that waited for a token. It rises at startup; at any other time the token was not refreshed ahead of need.",
		prometheus.CounterValue, func(s tokensource.Snapshot) float64 { return float64(s.RequestsWaited) }),
	newTokenMetric("token_invalidations_total",
		"Tokens discarded because the API rejected them before their expiry. A rise means that tokens are revoked, or that the client lacks a right.",
		prometheus.CounterValue, func(s tokensource.Snapshot) float64 { return float64(s.Invalidations) }),
	newTokenMetric("credential_last_change_timestamp_seconds",
		"Since when the current credentials are in use, as Unix time; 0 without credentials. If it does not change after a rotation, the new credentials do not work: see credential_reloads_total.",
		prometheus.GaugeValue, func(s tokensource.Snapshot) float64 { return timestamp(s.LastChange) }),
}

// sharedExported are the metrics of accounts whose token is in the token store.
var sharedExported = []tokenMetric{
	newTokenMetric("token_store_hits_total",
		"Tokens taken from the token store, fetched by another broker.",
		prometheus.CounterValue, func(s tokensource.Snapshot) float64 { return float64(s.StoreHits) }),
	newTokenMetric("token_store_errors_total",
		"Failed requests to the token store. While it rises, each broker fetches its own token: nothing fails, but the login server gets more requests.",
		prometheus.CounterValue, func(s tokensource.Snapshot) float64 { return float64(s.StoreErrors) }),
	newTokenMetric("token_store_lease_held",
		"1 on the broker that fetched the current token for all and will fetch the next one; 0 on the others. If the sum over all brokers stays 0, the token is not shared.",
		prometheus.GaugeValue, func(s tokensource.Snapshot) float64 { return boolToFloat(s.HoldsLease) }),
}

var allTokenMetrics = slices.Concat(alwaysExported, sharedExported)

var refreshesDesc = prometheus.NewDesc(namespace+"_token_refreshes_total",
	"Token requests by outcome. A rise of rejected means: fix the credentials; of unavailable: the login server is down or unreachable; of invalid_response: something else answers in place of the login server.",
	[]string{"account", "outcome"}, nil)

var reloadsDesc = prometheus.NewDesc(namespace+"_credential_reloads_total",
	"Reloads of changed credentials by outcome. A rise of rejected means that the new pair is wrong, of unreadable that a file is missing or empty; the old pair stays in use.",
	[]string{"account", "outcome"}, nil)

// Describe implements prometheus.Collector.
func (c tokenCollector) Describe(descs chan<- *prometheus.Desc) {
	for _, metric := range allTokenMetrics {
		descs <- metric.desc
	}
	descs <- refreshesDesc
	descs <- reloadsDesc
}

// Collect implements prometheus.Collector.
func (c tokenCollector) Collect(ch chan<- prometheus.Metric) {
	for _, snapshot := range c.snapshots() {
		exported := alwaysExported
		if snapshot.Shared {
			exported = allTokenMetrics
		}
		for _, metric := range exported {
			ch <- prometheus.MustNewConstMetric(metric.desc, metric.kind, metric.value(snapshot), snapshot.Account)
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

// timestamp returns Unix time in seconds, with fraction; 0 for the zero time.
func timestamp(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1000
}
