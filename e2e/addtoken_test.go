package e2e

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestAddsTokenToRequests also holds that the broker sends exactly one token request, with the parameters that eTrusted
// documents.
func TestAddsTokenToRequests(t *testing.T) {
	t.Parallel()
	servers := startTestServers(t, time.Minute)
	secret := servers.login.currentSecret()
	b := servers.startReadyBroker(t, "ETRUSTED_CLIENT_ID="+clientID, "ETRUSTED_CLIENT_SECRET="+secret)
	got := b.get(b.appURL + "/channels?x=1")
	if got.Status != http.StatusOK || got.Body != `{"ok":true}` {
		t.Fatalf("the app got %d %s, want 200 {\"ok\":true}", got.Status, got.Body)
	}
	// The API has verified the token; otherwise its status would not be 200.
	if calls := servers.api.requests(); len(calls) != 1 || calls[0].path != "/channels?x=1" || calls[0].proto != "HTTP/1.1" {
		t.Errorf("the API received %+v, want one HTTP/1.1 request for /channels?x=1", calls)
	}
	servers.api.onlyToken(t)

	requests := servers.login.tokenRequests()
	if len(requests) != 1 {
		t.Fatalf("got %d token requests, want 1", len(requests))
	}
	request := requests[0]
	if request.url != "POST /oauth/token" || request.header.Get("Authorization") != "" {
		t.Errorf("token request: got %s with Authorization %q, want POST /oauth/token without", request.url, request.header.Get("Authorization"))
	}
	want := map[string]string{"grant_type": "client_credentials", "client_id": clientID, "client_secret": secret, "audience": servers.api.url}
	if len(request.form) != len(want) {
		t.Errorf("the token request has %d parameters, want %d", len(request.form), len(want))
	}
	for name, value := range want {
		if strings.Join(request.form[name], " ") != value {
			t.Errorf("the token request has the wrong %s", name) // no values: one is the secret
		}
	}
	b.wantMetric(1, "token_refreshes_total", `outcome="success"`)
	for _, path := range []string{"/metrics", "/readyz", "/status.json"} {
		b.wantNoSecret(path, b.get(b.adminURL+path).Body)
	}
}
