package admin

import (
	"testing"
	"time"

	"etrusted-broker/internal/stats"
	"etrusted-broker/tokensource"
)

// TestStartingHasNoCause: without a token, the token is not called fine, and before the first failure there is no cause.
func TestStartingHasNoCause(t *testing.T) {
	t.Parallel()
	snapshot := tokensource.Snapshot{
		Account: "default", LastSuccess: time.Now().Add(-time.Hour),
		PendingReload: &tokensource.CredentialReload{Outcome: tokensource.ReloadRejected, Reason: "why", Advice: "Do it."},
	}
	failing := stats.Account{LastFiveMinutes: stats.Window{Counts: stats.Counts{stats.UpstreamRequests: 7, stats.UpstreamErrors: 2}}}
	c := Config{
		Started: time.Now(), Tokens: func() []tokensource.Snapshot { return []tokensource.Snapshot{snapshot} },
		Traffic:  func() stats.Snapshot { return stats.Snapshot{Accounts: map[string]stats.Account{"default": failing}} },
		InFlight: func() int64 { return 0 }, Draining: func() bool { return false },
	}
	status := c.status(time.Now())
	if status.State != BrokerStarting || status.Cause != CauseNone || status.Summary != "The broker is fetching a token." ||
		status.Detail != "Requests wait for it. 2 of 7 requests to the API failed in the last 5 minutes." {
		t.Errorf("got %+v, want starting without a cause", status.Diagnosis)
	}
	if account := status.Accounts[0]; account.NeedsAttention || account.Cause != CauseNone {
		t.Errorf("got %+v, want no need for attention", account)
	}
}
