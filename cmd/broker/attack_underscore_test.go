package main

import (
	"testing"

	"etrusted-broker/internal/brokertest"
)

// TestDeniesOverrideHeadersWithUnderscores: servers that name headers as CGI does (PHP, WSGI, Rack) do not distinguish
// underscores from hyphens. X_HTTP_Method_Override too becomes HTTP_X_HTTP_METHOD_OVERRIDE.
func TestDeniesOverrideHeadersWithUnderscores(t *testing.T) {
	t.Parallel()
	a := startAttackTarget(t, "BROKER_ALLOW=READ-ONLY")
	for _, header := range []string{"X_HTTP_Method_Override: DELETE", "X-HTTP_Method-Override: DELETE", "X_Original_URL: /invites"} {
		c := a.dial(t)
		c.Send(brokertest.PlainRequest("GET /channels", header))
		if got := c.Next("GET"); got.Status != 403 {
			t.Errorf("%s: got status %d, want 403", header, got.Status)
		}
	}
}

// TestRemovesForwardingHeadersWithUnderscores: headers that identify the client are removed in this spelling too.
func TestRemovesForwardingHeadersWithUnderscores(t *testing.T) {
	t.Parallel()
	a := startAttackTarget(t)
	c := a.dial(t)
	c.Send(brokertest.PlainRequest("GET /x", "X_Forwarded_For: 192.0.2.1", "X_FORWARDED_HOST: evil.example"))
	if got := c.Next("GET"); got.Status != 200 {
		t.Fatalf("got status %d, want 200", got.Status)
	}
	for _, request := range a.api.takeRequests() {
		if len(request.fields.values("x_forwarded_for")) > 0 || len(request.fields.values("x_forwarded_host")) > 0 {
			t.Error("got forwarding headers in the request to the API, want none")
		}
	}
}
