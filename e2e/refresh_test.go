package e2e

import (
	"testing"
	"time"

	"etrusted-broker/internal/brokertest"
)

// TestRefreshesTokensWithoutFailingRequests: with a token lifetime of three seconds and under load, no request fails or waits
// during three lifetimes.
func TestRefreshesTokensWithoutFailingRequests(t *testing.T) {
	t.Parallel()
	const lifetime, lifetimes = 3 * time.Second, 3
	servers := startTestServers(t, lifetime)
	started := time.Now()
	b := servers.startReadyBroker(t)
	load := b.startLoad(t)
	// A refresh is due after 70 to 80 % of the lifetime, so there is at least one per lifetime.
	within(t, lifetimes*lifetime, "a new token for each lifetime", func() bool { return len(servers.api.tokens()) > lifetimes })
	load.stopAndCheck(t, 200)
	limit := 1 + int(time.Since(started)/(lifetime*7/10))
	if n := len(servers.login.tokenRequests()); n > limit {
		t.Errorf("got %d token requests, want at most %d", n, limit)
	}
	servers.api.wantNoneRejected(t)
	brokertest.WaitRecorded(b.t, b.adminURL)
	b.wantMetric(0, "token_waits_total")
	b.wantMetric(0, "token_consecutive_failures")
}
