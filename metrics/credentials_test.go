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
	requests := m.ForAccount("default")
	requests.ObserveRetry("unauthorized")
	requests.ObserveRetry("unknown")
	checkSeries(t, m, `
		# TYPE etrusted_broker_replays_total counter
		etrusted_broker_replays_total{account="default",outcome="success"} 0
		etrusted_broker_replays_total{account="default",outcome="unauthorized"} 1
	`, "replays_total")
}

func TestCredentialMetrics(t *testing.T) {
	t.Parallel()
	m := newMetrics(tokensource.Snapshot{
		Account:       "de",
		Invalidations: 6,
		Reloads:       [...]uint64{7, 8, 9}, // in the order of tokensource.ReloadOutcomes
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
	gone := m.ForAccount("gone")
	for _, requests := range []*AccountMetrics{gone, m.ForAccount("stays")} {
		requests.Observe("GET", 200, time.Second, time.Second, "")
		requests.ObserveRetry("success")
	}
	for _, account := range []string{"gone", "stays"} {
		m.ObserveRefresh(tokensource.RefreshEvent{Account: account, Duration: time.Second})
	}
	m.DeleteAccount("gone")
	m.DeleteAccount("unknown")
	gone.Observe("GET", 200, time.Second, time.Second, "") // requests that end after the deletion
	gone.Observe("POST", 201, time.Second, time.Second, "")
	gone.ObserveRetry("success")
	text := scrape(t, m, "")
	if strings.Contains(text, `"gone"`) {
		t.Error("got series of the deleted account, want none")
	}
	if n := strings.Count(text, `account="stays"`); n == 0 {
		t.Error("got no series of the other account")
	}
	m.ForAccount("gone").Observe("GET", 200, time.Second, 0, "")
	if !strings.Contains(scrape(t, m, ""), `etrusted_broker_requests_total{account="gone",code="200",method="GET"} 1`) {
		t.Error("an account that is added again does not start at 1")
	}
}
