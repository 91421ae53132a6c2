package e2e

import (
	"bytes"
	"crypto/rand"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"
)

// TestRevocation holds that a token which is revoked before its end costs the app nothing: a GET and a POST that are
// refused at the same moment are sent again with one new token.
func TestRevocation(t *testing.T) {
	t.Parallel()
	w := newWorld(t, time.Minute)
	b := w.start(t, "ETRUSTED_CLIENT_ID="+clientID, "ETRUSTED_CLIENT_SECRET="+w.login.currentSecret())
	b.wait()
	fetched := time.Now()
	if got := b.get(b.app + "/channels"); got.status != http.StatusOK {
		t.Fatalf("before: %d %s", got.status, got.body)
	}
	revoked := w.api.onlyToken(t)
	// A token that is younger than ten seconds is not dropped.
	eventually(t, patience, "the token is old enough", func() bool { return time.Since(fetched) > 10500*time.Millisecond })
	w.login.revoke(t, w.authority.client(t), revoked)
	w.api.holdRefusals(2)

	body := make([]byte, 2048)
	_, _ = rand.Read(body) // it never fails
	var both sync.WaitGroup
	for method, body := range map[string][]byte{http.MethodGet: nil, http.MethodPost: body} {
		both.Go(func() {
			if got, err := b.send(method, b.app+"/invites", body); err != nil || got.status != http.StatusOK || got.body != `{"ok":true}` {
				t.Errorf("%s: the app got %d %s, %v", method, got.status, got.body, err)
			}
		})
	}
	both.Wait()

	for method, body := range map[string][]byte{http.MethodGet: nil, http.MethodPost: body} {
		calls := slices.DeleteFunc(w.api.all(), func(c call) bool { return c.method != method || c.path != "/invites" })
		if len(calls) != 2 || calls[0].status != http.StatusUnauthorized || calls[1].status != http.StatusOK {
			t.Errorf("%s: the API saw %d requests, want 2, the first refused", method, len(calls))
		}
		for i, c := range calls {
			if !bytes.Equal(c.body, body) {
				t.Errorf("%s: the API saw a body of %d bytes at attempt %d that is not the app's", method, len(c.body), i+1)
			}
			if (c.token == revoked) != (i == 0) {
				t.Errorf("%s: attempt %d has the wrong token", method, i+1)
			}
		}
	}
	if n := len(w.login.tokenRequests()); n != 2 {
		t.Errorf("%d token requests, want 2", n)
	}
	b.wantMetric(1, "token_invalidations_total", `account="default"`)
	b.wantMetric(2, "replays_total", `account="default"`)
}
