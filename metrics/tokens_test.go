package metrics

import (
	"strings"
	"testing"
	"time"

	"etrusted-broker/tokensource"
)

var tokenMetricNames = []string{
	"token_expiry_timestamp_seconds", "token_issued_timestamp_seconds", "token_last_success_timestamp_seconds",
	"token_consecutive_failures", "token_waits_total", "token_refreshes_total",
}

func TestTokenMetrics(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name      string
		snapshots []tokensource.Snapshot
		want      string
	}{
		{"no account", nil, ""},
		{"never a token", []tokensource.Snapshot{{Account: "default"}}, `
			# TYPE etrusted_broker_token_consecutive_failures gauge
			etrusted_broker_token_consecutive_failures{account="default"} 0
			# TYPE etrusted_broker_token_expiry_timestamp_seconds gauge
			etrusted_broker_token_expiry_timestamp_seconds{account="default"} 0
			# TYPE etrusted_broker_token_issued_timestamp_seconds gauge
			etrusted_broker_token_issued_timestamp_seconds{account="default"} 0
			# TYPE etrusted_broker_token_last_success_timestamp_seconds gauge
			etrusted_broker_token_last_success_timestamp_seconds{account="default"} 0
			# TYPE etrusted_broker_token_refreshes_total counter
			etrusted_broker_token_refreshes_total{account="default",outcome="invalid_response"} 0
			etrusted_broker_token_refreshes_total{account="default",outcome="rejected"} 0
			etrusted_broker_token_refreshes_total{account="default",outcome="success"} 0
			etrusted_broker_token_refreshes_total{account="default",outcome="unavailable"} 0
			# TYPE etrusted_broker_token_waits_total counter
			etrusted_broker_token_waits_total{account="default"} 0
		`},
		{"two accounts", []tokensource.Snapshot{{
			Account:             "default",
			Valid:               true,
			Issued:              time.UnixMilli(1_700_000_000_250),
			Expires:             time.UnixMilli(1_700_000_300_250),
			LastSuccess:         time.UnixMilli(1_700_000_000_500),
			Refreshes:           [...]uint64{11, 12, 13, 14}, // in the order of tokensource.Outcomes
			ConsecutiveFailures: 3,
			RequestsWaited:      5,
		}, {Account: "de"}}, `
			# TYPE etrusted_broker_token_consecutive_failures gauge
			etrusted_broker_token_consecutive_failures{account="de"} 0
			etrusted_broker_token_consecutive_failures{account="default"} 3
			# TYPE etrusted_broker_token_expiry_timestamp_seconds gauge
			etrusted_broker_token_expiry_timestamp_seconds{account="de"} 0
			etrusted_broker_token_expiry_timestamp_seconds{account="default"} 1.70000030025e+09
			# TYPE etrusted_broker_token_issued_timestamp_seconds gauge
			etrusted_broker_token_issued_timestamp_seconds{account="de"} 0
			etrusted_broker_token_issued_timestamp_seconds{account="default"} 1.70000000025e+09
			# TYPE etrusted_broker_token_last_success_timestamp_seconds gauge
			etrusted_broker_token_last_success_timestamp_seconds{account="de"} 0
			etrusted_broker_token_last_success_timestamp_seconds{account="default"} 1.7000000005e+09
			# TYPE etrusted_broker_token_refreshes_total counter
			etrusted_broker_token_refreshes_total{account="de",outcome="invalid_response"} 0
			etrusted_broker_token_refreshes_total{account="de",outcome="rejected"} 0
			etrusted_broker_token_refreshes_total{account="de",outcome="success"} 0
			etrusted_broker_token_refreshes_total{account="de",outcome="unavailable"} 0
			etrusted_broker_token_refreshes_total{account="default",outcome="invalid_response"} 14
			etrusted_broker_token_refreshes_total{account="default",outcome="rejected"} 12
			etrusted_broker_token_refreshes_total{account="default",outcome="success"} 11
			etrusted_broker_token_refreshes_total{account="default",outcome="unavailable"} 13
			# TYPE etrusted_broker_token_waits_total counter
			etrusted_broker_token_waits_total{account="de"} 0
			etrusted_broker_token_waits_total{account="default"} 5
		`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			checkSeries(t, newMetrics(test.snapshots...), test.want, tokenMetricNames...)
		})
	}
}

// TestStoreMetricsOnlyForSharedTokens: accounts that do not share their token export no store metrics.
func TestStoreMetricsOnlyForSharedTokens(t *testing.T) {
	t.Parallel()
	m := newMetrics(tokensource.Snapshot{Account: "unshared"},
		tokensource.Snapshot{Account: "follower", Shared: true, StoreHits: 7, StoreErrors: 8},
		tokensource.Snapshot{Account: "leader", Shared: true, HoldsLease: true})
	checkSeries(t, m, `
		# TYPE etrusted_broker_token_store_errors_total counter
		etrusted_broker_token_store_errors_total{account="follower"} 8
		etrusted_broker_token_store_errors_total{account="leader"} 0
		# TYPE etrusted_broker_token_store_hits_total counter
		etrusted_broker_token_store_hits_total{account="follower"} 7
		etrusted_broker_token_store_hits_total{account="leader"} 0
		# TYPE etrusted_broker_token_store_lease_held gauge
		etrusted_broker_token_store_lease_held{account="follower"} 0
		etrusted_broker_token_store_lease_held{account="leader"} 1
	`, "token_store_hits_total", "token_store_errors_total", "token_store_lease_held")
}

// TestRefreshesOfPeersAreNotTimed: the peer that made the request records it.
func TestRefreshesOfPeersAreNotTimed(t *testing.T) {
	t.Parallel()
	m := newMetrics()
	m.ObserveRefresh(tokensource.RefreshEvent{Account: "default", Duration: time.Second})
	m.ObserveRefresh(tokensource.RefreshEvent{Account: "default", FromPeer: true})
	if text := scrape(t, m, ""); !strings.Contains(text, `etrusted_broker_token_refresh_duration_seconds_count{account="default"} 1`) {
		t.Error("want only the own token request in the histogram")
	}
}

// TestTokenMetricsAreReadAtScrape: a scrape shows the current state, not that at startup.
func TestTokenMetricsAreReadAtScrape(t *testing.T) {
	t.Parallel()
	waits := uint64(0)
	m := New(Config{
		Tokens: func() []tokensource.Snapshot {
			waits++
			return []tokensource.Snapshot{{Account: "default", RequestsWaited: waits}}
		},
		InFlight:     func() int64 { return 0 },
		UnsafeListen: func() bool { return false },
	})
	for _, want := range []string{"1", "2"} {
		checkLines(t, m, `etrusted_broker_token_waits_total{account="default"} `+want)
	}
}

func TestRefreshDuration(t *testing.T) {
	t.Parallel()
	m := newMetrics()
	m.ObserveRefresh(tokensource.RefreshEvent{Account: "default", Duration: 20 * time.Millisecond})
	m.ObserveRefresh(tokensource.RefreshEvent{Account: "default", Duration: 2 * time.Second, Err: &tokensource.RefreshError{}})
	m.ObserveRefresh(tokensource.RefreshEvent{Account: "de", Duration: time.Second})
	checkLines(t, m,
		`etrusted_broker_token_refresh_duration_seconds_bucket{account="default",le="0.01"} 0`,
		`etrusted_broker_token_refresh_duration_seconds_bucket{account="default",le="0.025"} 1`,
		`etrusted_broker_token_refresh_duration_seconds_bucket{account="default",le="2.5"} 2`,
		`etrusted_broker_token_refresh_duration_seconds_sum{account="default"} 2.02`,
		`etrusted_broker_token_refresh_duration_seconds_count{account="default"} 2`,
		`etrusted_broker_token_refresh_duration_seconds_count{account="de"} 1`,
	)
}
