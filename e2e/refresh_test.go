package e2e

import (
	"testing"
	"time"
)

// TestRefreshes holds that tokens which live three seconds follow each other for more than three lifetimes, under load,
// and no request notices.
func TestRefreshes(t *testing.T) {
	t.Parallel()
	const lifetime, lifetimes = 3 * time.Second, 3
	w := newWorld(t, lifetime)
	started := time.Now()
	b := w.start(t, "ETRUSTED_CLIENT_ID="+clientID, "ETRUSTED_CLIENT_SECRET="+w.login.currentSecret())
	b.wait()
	load, loaded := b.startLoad(t), time.Now()
	eventually(t, lifetimes*lifetime+patience, "three lifetimes", func() bool { return time.Since(loaded) > lifetimes*lifetime })
	load.end(t, 200)

	// A refresh is due after 70 % to 80 % of a lifetime: there is one in each lifetime at the least.
	if n := len(w.api.tokens()); n < 1+lifetimes {
		t.Errorf("the API saw %d tokens in %d lifetimes, want at least %d", n, lifetimes, 1+lifetimes)
	}
	most := 1 + int(time.Since(started)/(lifetime*7/10))
	if n := len(w.login.tokenRequests()); n > most {
		t.Errorf("%d token requests, want at most %d", n, most)
	}
	if refused := w.api.refused(); len(refused) > 0 {
		t.Errorf("the API refused %d requests, the first for: %s", len(refused), refused[0].reason)
	}
	b.wantMetric(0, "token_waits_total") // nobody waited for a token
	b.wantMetric(0, "token_consecutive_failures")
}
