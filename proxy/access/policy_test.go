package access_test

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"strings"
	"testing"

	"etrusted-broker/internal/problem"
	"etrusted-broker/proxy/access"
)

// check returns why a policy denies a request; nil if it does not.
func check(p *access.Policy, r *http.Request) *problem.Problem {
	return p.Check(accessRequest(r)).Denied
}

// accessRequest returns what a Policy needs to know about a request.
func accessRequest(r *http.Request) *access.Request {
	target, absoluteForm := r.RequestURI, false
	if r.URL.Host != "" && r.Method != http.MethodConnect {
		target, absoluteForm = r.URL.RequestURI(), true
	}
	return &access.Request{
		Method: r.Method, Host: r.Host, AbsoluteForm: absoluteForm, Target: target, APITarget: target,
		Fields: access.HTTPFields(r.Header), LocalAddr: access.LocalAddr(r.Context()),
	}
}

// parse parses a request as net/http does.
func parse(t testing.TB, raw string) *http.Request {
	t.Helper()
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(raw + "\r\n\r\n")))
	if err != nil {
		t.Fatalf("%q: %v", raw, err)
	}
	return r
}

func arrivedAt(r *http.Request, addr net.Addr) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, addr))
}

func TestDeniesForeignAndBrowserRequests(t *testing.T) {
	policy := access.New(access.Config{Hosts: access.NewHosts("broker.internal"), UpstreamHost: "API.example:8443"})
	const get = "GET /x HTTP/1.1\r\nHost: localhost"
	const java = "\r\nUser-Agent: Java-http-client/17.0.12"
	for _, test := range []struct {
		raw    string
		reason access.Reason // empty: allowed
		status int
	}{
		{get, "", 0},
		{get + "\r\nUser-Agent: curl/8.0\r\nAccept: */*", "", 0},
		{"POST /x HTTP/1.1\r\nHost: broker.internal:8080\r\nContent-Length: 0", "", 0},
		{"OPTIONS * HTTP/1.1\r\nHost: localhost", "", 0},

		{get + "\r\nOrigin: https://attacker.example", access.ReasonBrowser, 403},
		{get + "\r\nOrigin: http://localhost:8080", access.ReasonBrowser, 403},
		{get + "\r\nOrigin: null", access.ReasonBrowser, 403},
		{get + "\r\nOrigin:", access.ReasonBrowser, 403},
		{get + "\r\norigin: file://", access.ReasonBrowser, 403},
		{get + "\r\nSec-Fetch-Site: cross-site", access.ReasonBrowser, 403},
		{get + "\r\nSec-Fetch-Site: same-site", access.ReasonBrowser, 403},
		{get + "\r\nSec-Fetch-Site: same-origin", "", 0},
		{get + "\r\nSec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: cors", "", 0},
		{get + "\r\nSec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: no-cors\r\nSec-Fetch-Dest: image", access.ReasonBrowser, 403}, // an icon
		{get + "\r\nSec-Fetch-Site: none", "", 0},
		{get + "\r\nSec-Fetch-Site:", access.ReasonBrowser, 403},
		{get + "\r\nSec-Fetch-Site: NONE", access.ReasonBrowser, 403},
		{get + "\r\nSec-Fetch-Site: none, cross-site", access.ReasonBrowser, 403},
		{get + "\r\nSec-Fetch-Site: none\r\nSec-Fetch-Site: cross-site", access.ReasonBrowser, 403},
		{get + "\r\nSec-Fetch-Site: something-new", access.ReasonBrowser, 403},
		{get + "\r\nSec-Fetch-Mode: cors", "", 0}, // Node's fetch
		{get + "\r\nSec-Fetch-Mode: cors\r\nSec-Fetch-Site: cross-site", access.ReasonBrowser, 403},
		{get + "\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\nSec-Fetch-Site: none", "", 0},
		{get + "\r\nSec-Fetch-Mode: no-cors\r\nSec-Fetch-Dest: empty\r\nSec-Fetch-Site: none", access.ReasonBrowser, 403}, // the issuer of a certificate
		{get + "\r\nSec-Fetch-Site: none\r\nSec-Fetch-Mode:", access.ReasonBrowser, 403},
		{get + "\r\nSec-Fetch-Site: none\r\nSec-Fetch-Mode: NAVIGATE", access.ReasonBrowser, 403},
		{get + "\r\nSec-Fetch-Site: none\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Mode: cors", access.ReasonBrowser, 403},
		{get + "\r\nSec-Fetch-Site: same-origin\r\nSec-Fetch-Site: none\r\nSec-Fetch-Mode: cors", access.ReasonBrowser, 403},
		{get + "\r\nReferer: https://attacker.example/", "", 0},

		{get + "\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Site: none\r\nSec-Purpose: prefetch;prerender", access.ReasonBrowser, 403},
		{get + "\r\nSec-Purpose:", access.ReasonBrowser, 403},
		{get + "\r\nPurpose: prefetch", access.ReasonBrowser, 403},
		{get + "\r\nPurpose: preview , PREFETCH ;a", access.ReasonBrowser, 403},
		{get + "\r\nPurpose: preview\r\nPurpose: prefetch", access.ReasonBrowser, 403},
		{get + "\r\nPurpose: prefetching, export", "", 0},
		{get + "\r\nPurpose:", "", 0},
		{get + "\r\nX-Moz: prefetch", access.ReasonBrowser, 403},
		{get + "\r\nX-Moz: livebookmarks", "", 0},
		{get + "\r\nUser-Agent: Microsoft-CryptoAPI/10.0", access.ReasonBrowser, 403},
		{get + "\r\nUser-Agent: com.apple.trustd/3.0", access.ReasonBrowser, 403},
		{get + "\r\nUser-Agent: shop/1 (com.apple.trustd/3.0)", "", 0},

		{"CONNECT api.example:443 HTTP/1.1\r\nHost: api.example:443", access.ReasonMethod, 405},
		{"CONNECT localhost:8080 HTTP/1.1\r\nHost: localhost", access.ReasonMethod, 405},
		{"TRACE /x HTTP/1.1\r\nHost: localhost", access.ReasonMethod, 405},
		{"trace /x HTTP/1.1\r\nHost: localhost", access.ReasonMethod, 405},
		{"Track /x HTTP/1.1\r\nHost: localhost", access.ReasonMethod, 405},
		{"connect localhost:8080 HTTP/1.1\r\nHost: localhost", access.ReasonMethod, 405},
		{"TRACES /x HTTP/1.1\r\nHost: localhost", "", 0},
		{"TRACE /x HTTP/1.1\r\nHost: attacker.example", access.ReasonMethod, 405},

		{get + "\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13", access.ReasonUpgrade, 403},
		{get + "\r\nUpgrade: WebSocket", access.ReasonUpgrade, 403},
		{get + "\r\nUpgrade: h2c", access.ReasonUpgrade, 403},
		{get + "\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: H2C\r\nHTTP2-Settings: AAMAAABk", access.ReasonUpgrade, 403},
		{get + java + "\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk", "", 0},
		{get + java + "\r\nUpgrade: H2C", "", 0},
		{get + java + "\r\nUpgrade: websocket", access.ReasonUpgrade, 403},
		{get + java + "\r\nUpgrade: h2c, websocket", access.ReasonUpgrade, 403},
		{get + java + "\r\nUpgrade:", access.ReasonUpgrade, 403},
		{get + "\r\nUser-Agent: not Java-http-client/17\r\nUpgrade: h2c", access.ReasonUpgrade, 403},
		{get + "\r\nUpgrade: h2c, websocket", access.ReasonUpgrade, 403},
		{get + "\r\nUpgrade: h2c\r\nUpgrade: websocket", access.ReasonUpgrade, 403},
		{get + "\r\nUpgrade: TLS/1.0", access.ReasonUpgrade, 403},

		{"GET http://localhost/x HTTP/1.1\r\nHost: localhost", "", 0},
		{"GET http://localhost/x HTTP/1.1\r\nHost: attacker.example", "", 0}, // RFC 9112 section 3.2.2
		{"GET http://api.example:8443/x HTTP/1.1\r\nHost: api.example:8443", "", 0},
		{"GET https://Api.Example:8443/x HTTP/1.1\r\nHost: localhost", "", 0},
		{"GET http://api.example/x HTTP/1.1\r\nHost: localhost", access.ReasonTarget, 403},
		{"GET http://api.example:8444/x HTTP/1.1\r\nHost: localhost", access.ReasonTarget, 403},
		{"GET http://attacker.example/x HTTP/1.1\r\nHost: localhost", access.ReasonTarget, 403},
		{"GET http://localhost@attacker.example/x HTTP/1.1\r\nHost: localhost", access.ReasonTarget, 403},
		{"GET http://attacker.example/http://localhost/ HTTP/1.1\r\nHost: localhost", access.ReasonTarget, 403},
		{"GET http://localhost.attacker.example/x HTTP/1.1\r\nHost: localhost", access.ReasonTarget, 403},
		{"GET http://localhost/x HTTP/1.1\r\nHost: localhost\r\nOrigin: null", access.ReasonBrowser, 403},

		{"GET /x HTTP/1.1\r\nHost: api.example:8443", access.ReasonHost, 421},
		{"GET /x HTTP/1.1\r\nHost: attacker.example", access.ReasonHost, 421},
		{"GET /x HTTP/1.1\r\nHost: attacker.example\r\nOrigin: null", access.ReasonHost, 421},
		{"GET /x HTTP/1.0", access.ReasonHost, 421},
	} {
		got := check(policy, parse(t, test.raw))
		switch {
		case got == nil && test.reason == "":
		case got == nil || got.DenialReason != string(test.reason) || got.Status != test.status:
			t.Errorf("%q: %+v, want %q %d", test.raw, got, test.reason, test.status)
		case got.Detail == "" || strings.HasSuffix(got.Detail, ".") || !strings.HasSuffix(got.Hint, "."):
			t.Errorf("%q: got %+v, want a detail without and a hint with a final period", test.raw, got)
		}
	}
}

// The order of the checks is part of the contract. A request that fails all of them fails the first; each step repairs that,
// and so fails the next.
func TestChecksInOrder(t *testing.T) {
	rules, err := access.ParseRules([]string{"POST /events"})
	if err != nil {
		t.Fatal(err)
	}
	policy := access.New(access.Config{UpstreamHost: "api.example", LoginHost: "login.example", Keys: access.NewKeys("key"), Rules: rules})
	fields := http.Header{
		"Origin": {"null"}, "Upgrade": {"websocket"}, "Via": {"1.1 etrusted-broker"}, "X-Original-Url": {"/"},
	}
	r := &access.Request{Method: "TRACE", Host: "foreign.example", AbsoluteForm: true, Fields: access.HTTPFields(fields), ClientUntrusted: true}
	for _, step := range []struct {
		code   string
		repair func()
	}{
		{"client-certificate-untrusted", func() { r.ClientUntrusted = false }},
		{"method-not-allowed", func() { r.Method = "GET" }},
		{"target-not-allowed", func() { r.AbsoluteForm = false }},
		{"host-not-allowed", func() { r.AbsoluteForm, r.Host = true, "login.example" }},
		{"browser-request", func() { delete(fields, "Origin") }},
		{"upgrade-not-supported", func() { delete(fields, "Upgrade") }},
		{"loop-detected", func() { delete(fields, "Via") }},
		{"invalid-target", func() { r.Target, r.APITarget = "/x/..", "/x/.." }},
		{"unsafe-path", func() { r.Target, r.APITarget = "/x", "/x" }},
		{"access-key-missing", func() { fields.Set("Authorization", "Bearer key") }},
		{"login-server-request", func() { r.Host = "api.example" }},
		{"not-in-allow-list", func() { r.Method, r.Target, r.APITarget = "POST", "/@shop/events", "/events" }},
		{"method-override", func() { delete(fields, "X-Original-Url") }},
	} {
		if denied := policy.Check(r).Denied; denied == nil || denied.Code != step.code {
			t.Fatalf("got %+v, want the code %s", denied, step.code)
		}
		step.repair()
	}
	if denied := policy.Check(r).Denied; denied != nil {
		t.Errorf("got %+v, want no denial", denied)
	}
}

func TestTokenRequestNeedsNoKeyAndNoRule(t *testing.T) {
	policy := access.New(access.Config{Keys: access.NewKeys("key"), Rules: new(access.Rules)})
	r := accessRequest(parse(t, "POST /oauth/token HTTP/1.1\r\nHost: localhost"))
	r.TokenRequest = true
	if denied := policy.Check(r).Denied; denied != nil {
		t.Errorf("got %+v, want no denial", denied)
	}
}

func TestReasonsListsAllReasons(t *testing.T) {
	known := map[access.Reason]bool{}
	for _, reason := range access.Reasons {
		if reason == "" || known[reason] {
			t.Errorf("%q is empty or there twice", reason)
		}
		known[reason] = true
	}
	for _, reason := range []access.Reason{
		access.ReasonHost, access.ReasonBrowser, access.ReasonMethod, access.ReasonUpgrade, access.ReasonTarget,
		access.ReasonPath, access.ReasonKey, access.ReasonRule, access.ReasonMalformed, access.ReasonConnections,
	} {
		if !known[reason] {
			t.Errorf("%q is missing", reason)
		}
	}
}

func BenchmarkCheck(b *testing.B) {
	policy := access.New(access.Config{UpstreamHost: "api.example"})
	r := arrivedAt(parse(b, "GET /reviews?count=10 HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nAccept: application/json\r\nUser-Agent: app/1"), &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 8080})
	b.ReportAllocs()
	for b.Loop() {
		if check(policy, r) != nil {
			b.Fatal("got a denial, want none")
		}
	}
}
