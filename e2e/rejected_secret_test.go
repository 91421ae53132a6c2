package e2e

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestRejectedSecretGetsExplanation: if the login server rejects the credentials, the app gets a 503 at once that says where
// to look, and the API gets no request.
func TestRejectedSecretGetsExplanation(t *testing.T) {
	t.Parallel()
	servers := startTestServers(t, time.Minute)
	b := servers.startBroker(t, "ETRUSTED_CLIENT_SECRET="+servers.newSecret())
	began := time.Now()
	got := b.get(b.appURL + "/channels")
	if took := time.Since(began); took > 3*time.Second { // BROKER_TOKEN_WAIT is ten
		t.Errorf("the response took %v, want at most 3 s", took)
	}
	if got.Status != http.StatusServiceUnavailable || got.Header.Get("Content-Type") != "application/problem+json" || got.Header.Get("Retry-After") == "" {
		t.Errorf("the app got %d with %v, want 503 with application/problem+json and Retry-After", got.Status, got.Header)
	}
	if status := got.Header.Get("Proxy-Status"); !strings.HasPrefix(status, "etrusted-broker; error=") {
		t.Errorf("Proxy-Status: got %q, want \"etrusted-broker; error=…\"", status)
	}
	var problem struct {
		Status int
		Detail string
	}
	if err := json.Unmarshal([]byte(got.Body), &problem); err != nil || problem.Status != http.StatusServiceUnavailable {
		t.Errorf("decoding the problem: got error %v and status %d, want status 503", err, problem.Status)
	}
	if !strings.Contains(problem.Detail, "SSO Client Management") {
		t.Errorf("detail: got %q, want the place in the Control Centre", problem.Detail)
	}

	ready := b.get(b.adminURL + "/readyz")
	if ready.Status != http.StatusServiceUnavailable || !strings.Contains(ready.Body, "SSO Client Management") {
		t.Errorf("/readyz: got %d %s, want 503 with the place in the Control Centre", ready.Status, ready.Body)
	}
	b.wantMetric(1, "token_refreshes_total", `outcome="rejected"`)
	b.wantMetric(1, "token_refreshes_total") // and no other outcome
	if requests := servers.login.tokenRequests(); len(requests) != 1 || requests[0].status != http.StatusUnauthorized {
		t.Errorf("got %d token requests, want 1 with status 401", len(requests))
	}
	if calls := servers.api.requests(); len(calls) != 0 {
		t.Errorf("the API received %d requests, want 0", len(calls))
	}
	// The log is checked after the broker has exited.
	b.wantNoSecret("the response", got.Body+got.Header.Get("Proxy-Status"))
	for _, path := range []string{"/metrics", "/readyz", "/status.json"} {
		b.wantNoSecret(path, b.get(b.adminURL+path).Body)
	}
}
