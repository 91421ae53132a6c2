package main

import (
	"fmt"
	"strings"
	"testing"

	"etrusted-broker/internal/brokertest"
)

// tokenRequest returns a token request for the account NAME.
func tokenRequest(form string, more ...string) string {
	return fmt.Sprintf("POST /@NAME/oauth/token HTTP/1.1\r\nHost: localhost\r\n%sContent-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n%s",
		brokertest.HeaderLines(more...), len(form), form)
}

// TestRefusesToListAccounts: without the access key, an account that exists (shop) cannot be distinguished from one that does
// not (nope), neither in the response nor in the log and the metrics.
func TestRefusesToListAccounts(t *testing.T) {
	t.Parallel()
	a := startAttackTarget(t, "BROKER_ACCESS_KEY="+canaryKey, "BROKER_TOKEN_ENDPOINT=true", "BROKER_ACCESS_LOG=true")
	for _, attack := range []string{
		brokertest.PlainRequest("GET /@NAME/x"),
		brokertest.PlainRequest("GET /@NAME/x", "Authorization: Bearer wrong"),
		brokertest.PlainRequest("GET /@NAME/../x"),
		brokertest.PlainRequest("CONNECT /@NAME"),
		brokertest.PlainRequest("GET /x", "Authorization: Bearer placeholder:NAME:wrong"),
		brokertest.PlainRequest("GET /x", "Authorization: Bearer placeholder:NAME"),
		tokenRequest("grant_type=client_credentials"),
		tokenRequest("grant_type=client_credentials&client_secret=wrong"),
		tokenRequest("grant_type=password"),
		tokenRequest("client_id=x"),
		tokenRequest("%zz"),
		tokenRequest(strings.Repeat("a", 65<<10)),
		tokenRequest("grant_type=client_credentials", "Authorization: "+basicAuth("x", "wrong")),
		tokenRequest("grant_type=password", "Authorization: Bearer placeholder:shop:wrong"),
		strings.Replace(tokenRequest(`{"grant_type":"client_credentials"}`), "x-www-form-urlencoded", "json", 1),
		strings.Replace(tokenRequest("grant_type=client_credentials&client_id=NAME"), "/@NAME", "", 1),
	} {
		answers := map[string]string{}
		for _, name := range []string{"shop", "nope"} { // each as long as NAME
			got := a.dial(t).RoundTrip(strings.ReplaceAll(attack, "NAME", name))
			got.Header.Del("Date")
			answers[name] = fmt.Sprint(got.Status, got.Header, got.Body)
			if got.Status < 400 {
				t.Errorf("%.80q for %s: got status %d, want a refusal", attack, name, got.Status)
			}
		}
		if answers["shop"] != answers["nope"] {
			t.Errorf("%.80q: got\n%s for an account, and\n%s for none", attack, answers["shop"], answers["nope"])
		}
	}
	if requests := a.api.takeRequests(); len(requests) > 0 {
		t.Errorf("got %d requests upstream, want none", len(requests))
	}
	a.WaitRecorded()
	if got := brokertest.Get(t, a.Admin+"/metrics").Body; strings.Contains(got, `requests_total{account="shop"`) {
		t.Error("got series of an account, want none before the key was sent")
	}
	for _, line := range a.Logs.Lines("request") {
		if account, found := line["account"]; found && account != "" {
			t.Errorf("got account %q in the log, want none: %v", account, line)
		}
	}
}
