package metrics

import (
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"etrusted-broker/tokensource"
)

// tokenCollector makes metrics of the sources' snapshots when Prometheus asks for them.
type tokenCollector struct {
	snapshots func() []tokensource.Snapshot
}

// tokenMetric is a metric with the label account that is read off a snapshot.
type tokenMetric struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(tokensource.Snapshot) float64
}

func token(name, help string, kind prometheus.ValueType, value func(tokensource.Snapshot) float64) tokenMetric {
	return tokenMetric{prometheus.NewDesc(namespace+"_"+name, help, []string{"account"}, nil), kind, value}
}

var tokenMetrics = []tokenMetric{
	newTokenMetric("token_expiry_timestamp_seconds",
		"When the current token expires, as Unix time; 0 if there never was one. If it comes close, refreshes fail; once it is past, requests are answered with 503.",
		prometheus.GaugeValue, func(s tokensource.Snapshot) float64 { return timestamp(s.Expires) }),
	newTokenMetric("token_issued_timestamp_seconds",
		"When the current token was asked for, as Unix time; 0 if there never was one. It rises with each refresh; while it stands still and the expiry comes close, refreshes fail.",
		prometheus.GaugeValue, func(s tokensource.Snapshot) float64 { return timestamp(s.Issued) }),
	newTokenMetric("token_last_success_timestamp_seconds",
		"When a token was last fetched, as Unix time; 0 if never. It rises with each refresh; if it falls behind by more than a token's lifetime, there is none.",
		prometheus.GaugeValue, func(s tokensource.Snapshot) float64 { return timestamp(s.LastSuccess) }),
	newTokenMetric("token_consecutive_failures",
		"Token requests that have failed since the last that succeeded. A rise means that the token will not be refreshed in time unless it falls to 0 again.",
		prometheus.GaugeValue, func(s tokensource.Snapshot) float64 { return float64(s.ConsecutiveFailures) }),
	newTokenMetric("token_waits_total",
		"Requests that had to wait for a token. It rises at a start; at any other time it means that the token was not refreshed ahead of need.",
		prometheus.CounterValue, func(s tokensource.Snapshot) float64 { return float64(s.RequestsWaited) }),
	newTokenMetric("token_invalidations_total",
		"Tokens given up because the API refused them before their expiry. A rise means that tokens are revoked, or that the client lacks a right.",
		prometheus.CounterValue, func(s tokensource.Snapshot) float64 { return float64(s.Invalidations) }),
	newTokenMetric("credential_last_change_timestamp_seconds",
		"When the credentials in use were taken into use, as Unix time; 0 if there are none. If it does not follow a rotation, the new ones are not good: see credential_reloads_total.",
		prometheus.GaugeValue, func(s tokensource.Snapshot) float64 { return timestamp(s.LastChange) }),
}

// storeMetrics are those of a token that is shared. Without a store there are none.
var storeMetrics = []tokenMetric{
	newTokenMetric("token_store_hits_total",
		"Tokens that another broker had fetched and this one has taken from the token store.",
		prometheus.CounterValue, func(s tokensource.Snapshot) float64 { return float64(s.StoreHits) }),
	newTokenMetric("token_store_errors_total",
		"How often the token store was asked in vain. While it rises, each broker fetches by itself: nothing fails, but the login server sees them all.",
		prometheus.CounterValue, func(s tokensource.Snapshot) float64 { return float64(s.StoreErrors) }),
	newTokenMetric("token_store_lease_held",
		"1 on the broker that has fetched the current token for all that share it, and is the first to fetch the next; 0 on the others. If the sum over them stays 0, the token is not shared.",
		prometheus.GaugeValue, func(s tokensource.Snapshot) float64 { return boolToFloat(s.HoldsLease) }),
}

var allTokenMetrics = slices.Concat(tokenMetrics, storeMetrics)

var refreshesDesc = prometheus.NewDesc(namespace+"_token_refreshes_total",
	"Token requests by outcome. A rise of rejected means: fix the credentials; of unavailable: the login server or the network is away; of invalid_response: something else answers in the login server's place.",
	[]string{"account", "outcome"}, nil)

var reloadsDesc = prometheus.NewDesc(namespace+"_credential_reloads_total",
	"Changed credentials by what came of them. A rise of rejected means that the new pair is wrong, of unreadable that a file is missing or empty; the old pair stays in use meanwhile.",
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
func (c tokenCollector) Collect(metrics chan<- prometheus.Metric) {
	for _, snapshot := range c.snapshots() {
		read := tokenMetrics
		if snapshot.Shared {
			read = allTokenMetrics
		}
		for _, metric := range read {
			metrics <- prometheus.MustNewConstMetric(metric.desc, metric.kind, metric.value(snapshot), snapshot.Account)
		}
		for i, outcome := range tokensource.Outcomes {
			metrics <- prometheus.MustNewConstMetric(refreshesDesc, prometheus.CounterValue, float64(snapshot.Refreshes[i]), snapshot.Account, string(outcome))
		}
		for i, outcome := range tokensource.ReloadOutcomes {
			metrics <- prometheus.MustNewConstMetric(reloadsDesc, prometheus.CounterValue, float64(snapshot.Reloads[i]), snapshot.Account, string(outcome))
		}
	}
}

func boolToFloat(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

// timestamp is Unix time in seconds with its fraction; 0 stands for never.
func timestamp(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1000
}
