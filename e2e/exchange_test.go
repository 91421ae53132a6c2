package e2e

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestExchange(t *testing.T) {
	t.Parallel()
	w := newWorld(t, time.Minute)
	secret := w.login.currentSecret()
	b := w.start(t, "ETRUSTED_CLIENT_ID="+clientID, "ETRUSTED_CLIENT_SECRET="+secret)
	b.wait()
	got := b.get(b.app + "/channels?x=1")
	if got.status != http.StatusOK || got.body != `{"ok":true}` {
		t.Fatalf("the app got %d %s", got.status, got.body)
	}
	// The API has verified the token, or it would not have said 200.
	if calls := w.api.all(); len(calls) != 1 || calls[0].path != "/channels?x=1" || calls[0].proto != "HTTP/2.0" {
		t.Errorf("the API saw %+v", calls)
	}
	w.api.onlyToken(t)

	requests := w.login.tokenRequests()
	if len(requests) != 1 {
		t.Fatalf("%d token requests, want 1", len(requests))
	}
	request := requests[0]
	if request.url != "POST /oauth/token" || request.header.Get("Authorization") != "" {
		t.Errorf("token request %s, Authorization %q", request.url, request.header.Get("Authorization"))
	}
	want := map[string]string{"grant_type": "client_credentials", "client_id": clientID, "client_secret": secret, "audience": w.api.url}
	if len(request.form) != len(want) {
		t.Errorf("the token request has %d parameters, want %d", len(request.form), len(want))
	}
	for name, value := range want {
		if strings.Join(request.form[name], " ") != value {
			t.Errorf("the token request's %s is not what it should be", name)
		}
	}
	b.wantMetric(1, "token_refreshes_total", `outcome="success"`)
	for _, path := range []string{"/metrics", "/readyz", "/status.json"} {
		b.holdsNoSecret(path, b.get(b.admin+path).body)
	}
}
