package metrics

import (
	"strings"
	"testing"
	"time"

	"etrusted-broker/tokensource"
)

func TestRetryOutcomesStartAtZero(t *testing.T) {
	t.Parallel()
	m := newMetrics()
	m.Observe(Request{Account: "default", Status: 401, Retry: "unauthorized"})
	m.Observe(Request{Account: "default", Status: 401, Retry: "unknown"})
	checkSeries(t, m, `
		# TYPE etrusted_broker_replays_total counter
		etrusted_broker_replays_total{account="-",outcome="success"} 0
		etrusted_broker_replays_total{account="-",outcome="unauthorized"} 0
		etrusted_broker_replays_total{account="default",outcome="success"} 0
		etrusted_broker_replays_total{account="default",outcome="unauthorized"} 1
	`, "replays_total")
}

func TestCredentialMetrics(t *testing.T) {
	t.Parallel()
	m := newMetrics(tokensource.Snapshot{
		Account:       "de",
		Invalidations: 6,
		Reloads:       [...]uint64{7, 8, 9}, // in the order of tokensource.CountedReloadOutcomes
		LastChange:    time.UnixMilli(1_700_000_000_250),
	})
	checkSeries(t, m, `
		# TYPE etrusted_broker_credential_last_change_timestamp_seconds gauge
		etrusted_broker_credential_last_change_timestamp_seconds{account="de"} 1.70000000025e+09
		# TYPE etrusted_broker_credential_reloads_total counter
		etrusted_broker_credential_reloads_total{account="de",outcome="rejected"} 8
		etrusted_broker_credential_reloads_total{account="de",outcome="success"} 7
		etrusted_broker_credential_reloads_total{account="de",outcome="unreadable"} 9
		# TYPE etrusted_broker_token_invalidations_total counter
		etrusted_broker_token_invalidations_total{account="de"} 6
	`, "credential_reloads_total", "credential_last_change_timestamp_seconds", "token_invalidations_total")
}

func TestDeletedAccountHasNoSeries(t *testing.T) {
	t.Parallel()
	m := newMetrics()
	for _, name := range []string{"gone", "stays"} {
		m.AddAccount(name)
		m.Observe(Request{Account: name, Method: "GET", Status: 200, Duration: time.Second, Upstream: time.Second, Retry: "success"})
		m.ObserveRefresh(tokensource.RefreshEvent{Account: name, Duration: time.Second})
	}
	m.DeleteAccount("gone")
	m.DeleteAccount("unknown")
	m.Observe(Request{Account: "gone", Method: "GET", Status: 201, Duration: time.Second, Upstream: time.Second}) // ends after the deletion
	if strings.Contains(scrape(t, m, ""), `"gone"`) {
		t.Error("got series of the deleted account, want none")
	}
	checkLines(t, m,
		`etrusted_broker_requests_total{account="stays",code="200",method="GET"} 1`,
		`etrusted_broker_requests_total{account="-",code="201",method="GET"} 1`,
		`etrusted_broker_request_duration_seconds_count{account="-"} 1`)
	m.AddAccount("gone")
	m.Observe(Request{Account: "gone", Method: "GET", Status: 200})
	checkLines(t, m, `etrusted_broker_requests_total{account="gone",code="200",method="GET"} 1`)
}
