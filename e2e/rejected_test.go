package e2e

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestRejectedSecret(t *testing.T) {
	t.Parallel()
	w := newWorld(t, time.Minute)
	b := w.start(t, "ETRUSTED_CLIENT_ID="+clientID, "ETRUSTED_CLIENT_SECRET="+w.newSecret())
	asked := time.Now()
	got := b.get(b.app + "/channels")
	if took := time.Since(asked); took > 3*time.Second { // BROKER_TOKEN_WAIT is ten
		t.Errorf("the app had to wait for %v", took)
	}
	if got.status != http.StatusServiceUnavailable || got.header.Get("Content-Type") != "application/problem+json" || got.header.Get("Retry-After") == "" {
		t.Errorf("the app got %d with %v", got.status, got.header)
	}
	if status := got.header.Get("Proxy-Status"); !strings.HasPrefix(status, "etrusted-broker; error=") {
		t.Errorf("Proxy-Status %q", status)
	}
	var problem struct {
		Status int
		Detail string
	}
	if err := json.Unmarshal([]byte(got.body), &problem); err != nil || problem.Status != http.StatusServiceUnavailable {
		t.Errorf("%v, status %d", err, problem.Status)
	}
	if !strings.Contains(problem.Detail, "SSO Client Management") {
		t.Errorf("detail does not say where to look: %s", problem.Detail)
	}

	ready := b.get(b.admin + "/readyz")
	if ready.status != http.StatusServiceUnavailable || !strings.Contains(ready.body, "SSO Client Management") {
		t.Errorf("/readyz: %d %s", ready.status, ready.body)
	}
	b.wantMetric(1, "token_refreshes_total", `outcome="rejected"`)
	b.wantMetric(1, "token_refreshes_total") // and no other outcome
	if requests := w.login.tokenRequests(); len(requests) != 1 || requests[0].status != http.StatusUnauthorized {
		t.Errorf("%d token requests, want 1 with a 401", len(requests))
	}
	if calls := w.api.all(); len(calls) != 0 {
		t.Errorf("the API saw %d requests without a token", len(calls))
	}
	// The log is looked at when the broker has ended.
	b.holdsNoSecret("the answer", got.body+got.header.Get("Proxy-Status"))
	for _, path := range []string{"/metrics", "/readyz", "/status.json"} {
		b.holdsNoSecret(path, b.get(b.admin+path).body)
	}
}
