package main

import (
	"testing"

	"etrusted-broker/internal/brokertest"
)

// To whatever hands headers on as CGI does (PHP, WSGI, Rack), an underscore and a hyphen are the same: X_HTTP_Method_Override
// arrives as HTTP_X_HTTP_METHOD_OVERRIDE too.
func TestAttackByOverridesWithUnderscores(t *testing.T) {
	t.Parallel()
	a := startAttacked(t, "BROKER_ALLOW=READ-ONLY")
	for _, header := range []string{"X_HTTP_Method_Override: DELETE", "X-HTTP_Method-Override: DELETE", "X_Original_URL: /invites"} {
		c := a.attacker(t)
		c.Send(brokertest.PlainRequest("GET /channels", header))
		if got := c.Next("GET"); got.Status != 403 {
			t.Errorf("%s: %d", header, got.Status)
		}
	}
}

// Nor is a header that tells who asked taken off when it is spelt so.
func TestAttackByForwardingWithUnderscores(t *testing.T) {
	t.Parallel()
	a := startAttacked(t)
	c := a.attacker(t)
	c.Send(brokertest.PlainRequest("GET /x", "X_Forwarded_For: 192.0.2.1", "X_FORWARDED_HOST: evil.example"))
	if got := c.Next("GET"); got.Status != 200 {
		t.Fatalf("%d", got.Status)
	}
	for _, hit := range a.tape.take() {
		if len(hit.values("x_forwarded_for")) > 0 || len(hit.values("x_forwarded_host")) > 0 {
			t.Error("they are passed on")
		}
	}
}
