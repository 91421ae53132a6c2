package e2e

import (
	"bytes"
	"crypto/rand"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"etrusted-broker/internal/brokertest"
)

// TestRetriesAfterTokenRevocation: when a token is revoked early, the app notices nothing. A GET and a POST that are rejected
// at the same moment are both retried with one new token.
func TestRetriesAfterTokenRevocation(t *testing.T) {
	t.Parallel()
	servers := startTestServers(t, time.Minute)
	b := servers.startReadyBroker(t)
	fetched := time.Now()
	if got := b.get(b.appURL + "/channels"); got.Status != http.StatusOK {
		t.Fatalf("before the revocation: got %d %s, want 200", got.Status, got.Body)
	}
	revoked := servers.api.onlyToken(t)
	sleepUntilOld(fetched)
	servers.login.revoke(t, servers.ca.client(t), revoked)
	servers.api.holdRejections(2)

	body := make([]byte, 2048)
	_, _ = rand.Read(body) // never fails
	var apps sync.WaitGroup
	for method, body := range map[string][]byte{http.MethodGet: nil, http.MethodPost: body} {
		apps.Go(func() {
			if got := b.send(method, b.appURL+"/invites", body); got.Err != nil || got.Status != http.StatusOK || got.Body != `{"ok":true}` {
				t.Errorf("%s: the app got %d %s (%v), want 200 {\"ok\":true}", method, got.Status, got.Body, got.Err)
			}
		})
	}
	apps.Wait()

	for method, body := range map[string][]byte{http.MethodGet: nil, http.MethodPost: body} {
		calls := slices.DeleteFunc(servers.api.requests(), func(c apiRequest) bool { return c.method != method || c.path != "/invites" })
		if len(calls) != 2 || calls[0].status != http.StatusUnauthorized || calls[1].status != http.StatusOK {
			t.Errorf("%s: the API received %d requests, want 2: the first with status 401, the second with 200", method, len(calls))
		}
		for i, c := range calls {
			if !bytes.Equal(c.body, body) {
				t.Errorf("%s: the body of attempt %d (%d bytes) differs from the app's (%d bytes)", method, i+1, len(c.body), len(body))
			}
			if (c.token == revoked) != (i == 0) {
				t.Errorf("%s: attempt %d has the revoked token: got %v, want %v", method, i+1, c.token == revoked, i == 0)
			}
		}
	}
	if n := len(servers.login.tokenRequests()); n != 2 {
		t.Errorf("got %d token requests, want 2", n)
	}
	brokertest.WaitRecorded(b.t, b.adminURL)
	b.wantMetric(1, "token_invalidations_total", `account="default"`)
	b.wantMetric(2, "replays_total", `account="default"`)
}
