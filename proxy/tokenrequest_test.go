package proxy_test

import (
	"strings"
	"testing"

	"etrusted-broker/proxy/access"
)

// withTokenEndpoint answers token requests, for an API whose login server is elsewhere.
func withTokenEndpoint(s *setup) {
	s.Tokens = accounts{"": validToken(), "shop-de": validToken()}.tokens
	s.TokenEndpoint = true
	s.Policy = &access.Policy{APIAndLoginHosts: access.NewAPIAndLoginHosts([]string{s.Upstream.Host}, []string{"login.example"})}
}

const tokenRequest = "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 46\r\n\r\ngrant_type=client_credentials&client_id=shop-d"

func TestAnswersTokenRequests(t *testing.T) {
	up := startRecorder(t, h1, nil)
	b := start(t, up.url, withTokenEndpoint)
	for _, test := range []struct {
		line, header string
		status       int
		body         string // a part of it
		reason       access.DenialReason
		account      string
		upstream     bool
	}{
		{line: "POST /oauth/token", status: 200, body: `"placeholder"`, account: "default"},
		{line: "POST /oauth/token?x=y", status: 200, body: `"placeholder"`, account: "default"},
		{line: "POST /@shop-de/oauth/token", status: 200, body: `"placeholder:shop-de"`, account: "shop-de"},
		{line: "POST /@unknown/oauth/token", status: 404, body: "does not exist"},
		{line: "POST http://login.example/oauth/token", status: 200, body: `"placeholder"`, account: "default"},
		{line: "POST http://login.example:80/auth/realms/business/protocol/openid-connect/token", status: 200, body: `"placeholder"`, account: "default"},
		{line: "POST http://login.example/channels", status: 404, body: "login server", reason: access.ReasonTarget},
		{line: "GET http://login.example/oauth/token", status: 404, body: "login server", reason: access.ReasonTarget},
		{line: "POST http://login.example.evil/oauth/token", status: 403, body: "other than the API", reason: access.ReasonTarget},
		{line: "POST /oauth/token", header: "Origin: null\r\n", status: 403, body: "web page", reason: access.ReasonBrowser},
		{line: "GET /oauth/token", status: 200, account: "default", upstream: true},
		{line: "GET /x", header: "Authorization: Bearer placeholder:shop-de\r\n", status: 200, account: "shop-de", upstream: true},
		{line: "GET /x", header: "Authorization: bearer  placeholder\r\n", status: 200, account: "default", upstream: true},
		{line: "GET /@default-is-none/x", header: "Authorization: Bearer placeholder:shop-de\r\n", status: 404, body: "does not exist"},
		{line: "GET /x", header: "Authorization: Bearer placeholder:unknown\r\n", status: 404, body: "does not exist"},
		{line: "GET /x", header: "Authorization: Bearer placeholder:shop-de\r\nAuthorization: x\r\n", status: 200, account: "default", upstream: true},
		{line: "GET /x", header: "Authorization: Bearer placeholder:shop-de\r\nAuthorization: Bearer placeholder:shop-de\r\n", status: 200, account: "shop-de", upstream: true},
		{line: "GET /x", header: "Authorization: Basic placeholder:shop-de\r\n", status: 200, account: "default", upstream: true},
	} {
		c := b.dial(t)
		c.send(test.line, " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n", test.header)
		if strings.HasPrefix(test.line, "POST") {
			c.send(tokenRequest)
		} else {
			c.send("\r\n")
		}
		got := c.result("GET")
		if got.status != test.status || !strings.Contains(got.body, test.body) {
			t.Errorf("%s %q: got %d %s, want %d with %q", test.line, test.header, got.status, got.body, test.status, test.body)
		}
		if (got.header.Get("Proxy-Status") == "") != test.upstream || (len(up.requests()) == 1) != test.upstream {
			t.Errorf("%s: got sent upstream %v, want %v", test.line, !test.upstream, test.upstream)
		}
		if record := b.record(t); record.Denied != test.reason || record.Account != test.account || record.Status != test.status {
			t.Errorf("%s: got %+v, want status %d, reason %q, account %q", test.line, record, test.status, test.reason, test.account)
		}
	}
}
