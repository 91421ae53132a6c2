package e2e

import (
	"testing"
	"time"
)

// TestRefreshesTokensWithoutFailingRequests: with a token lifetime of three seconds and under load, no request fails or waits
// for more than three lifetimes.
func TestRefreshesTokensWithoutFailingRequests(t *testing.T) {
	t.Parallel()
	const lifetime, lifetimes = 3 * time.Second, 3
	servers := startTestServers(t, lifetime)
	started := time.Now()
	b := servers.startBroker(t, "ETRUSTED_CLIENT_ID="+clientID, "ETRUSTED_CLIENT_SECRET="+servers.login.currentSecret())
	b.waitForToken()
	load, loaded := b.startLoad(t), time.Now()
	eventually(t, lifetimes*lifetime+waitTimeout, "three lifetimes", func() bool { return time.Since(loaded) > lifetimes*lifetime })
	load.stopAndCheck(t, 200)

	// A refresh is due after 70 to 80 % of the lifetime, so there is at least one per lifetime.
	if n := len(servers.api.tokens()); n < 1+lifetimes {
		t.Errorf("the API received %d different tokens in %d lifetimes, want at least %d", n, lifetimes, 1+lifetimes)
	}
	limit := 1 + int(time.Since(started)/(lifetime*7/10))
	if n := len(servers.login.tokenRequests()); n > limit {
		t.Errorf("got %d token requests, want at most %d", n, limit)
	}
	servers.api.wantNoneRejected(t)
	b.wantMetric(0, "token_waits_total")
	b.wantMetric(0, "token_consecutive_failures")
}
