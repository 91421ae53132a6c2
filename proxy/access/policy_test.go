package access_test

import (
	"strings"
	"testing"

	"etrusted-broker/internal/problem"
	"etrusted-broker/proxy/access"
	"etrusted-broker/proxy/http1"
)

// check returns why a policy denies a request; nil if it does not.
func check(p *access.Policy, r *access.Request) *problem.Problem { return p.Check(r).Denied }

// parse parses the header of a request.
func parse(t testing.TB, raw string) *access.Request {
	t.Helper()
	requestLine, lines, _ := strings.Cut(raw, "\r\n")
	words := strings.Split(requestLine, " ")
	if len(words) != 3 {
		t.Fatalf("%q is no request line", requestLine)
	}
	r := &access.Request{Method: words[0], Target: words[1]}
	for line := range strings.SplitSeq(lines, "\r\n") {
		name, value, _ := strings.Cut(line, ":")
		r.Fields.Add(name, strings.TrimSpace(value))
	}
	r.Host = r.Fields.Get("Host")
	if _, url, isURL := strings.Cut(r.Target, "://"); isURL {
		r.AbsoluteForm = true
		r.Host, r.Target, _ = strings.Cut(url, "/")
		r.Target = "/" + r.Target
	}
	r.APITarget = r.Target
	return r
}

func TestDeniesForeignAndBrowserRequests(t *testing.T) {
	policy := &access.Policy{BrokerHosts: access.NewBrokerHosts("broker.internal"), APIAndLoginHosts: access.NewAPIAndLoginHosts([]string{"API.example:8443"}, nil)}
	const get = "GET /x HTTP/1.1\r\nHost: localhost"
	for _, test := range []struct {
		raw    string
		reason access.DenialReason // empty: allowed
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

		{"CONNECT api.example:443 HTTP/1.1\r\nHost: api.example:443", access.ReasonUnsupportedMethod, 405},
		{"CONNECT localhost:8080 HTTP/1.1\r\nHost: localhost", access.ReasonUnsupportedMethod, 405},
		{"TRACE /x HTTP/1.1\r\nHost: localhost", access.ReasonUnsupportedMethod, 405},
		{"trace /x HTTP/1.1\r\nHost: localhost", access.ReasonUnsupportedMethod, 405},
		{"Track /x HTTP/1.1\r\nHost: localhost", access.ReasonUnsupportedMethod, 405},
		{"connect localhost:8080 HTTP/1.1\r\nHost: localhost", access.ReasonUnsupportedMethod, 405},
		{"TRACES /x HTTP/1.1\r\nHost: localhost", "", 0},
		{"TRACE /x HTTP/1.1\r\nHost: attacker.example", access.ReasonUnsupportedMethod, 405},

		{get + "\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13", access.ReasonUpgrade, 403},
		{get + "\r\nUpgrade: WebSocket", access.ReasonUpgrade, 403},
		{get + "\r\nUpgrade: h2c", "", 0},
		{get + "\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: H2C\r\nHTTP2-Settings: AAMAAABk", "", 0},
		{get + "\r\nupgrade: h2c , h2c\r\nUpgrade: h2c", "", 0},
		{get + "\r\nUpgrade:", access.ReasonUpgrade, 403},
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
	rules, err := access.ParseAllowList([]string{"POST /events"})
	if err != nil {
		t.Fatal(err)
	}
	policy := &access.Policy{APIAndLoginHosts: access.NewAPIAndLoginHosts([]string{"api.example"}, []string{"login.example"}), AllowList: rules,
		Callers: access.NewCallers(&access.Caller{Keys: access.NewKeys("key"), Accounts: []string{"shop"}})}
	r := &access.Request{Method: "TRACE", Account: "other", HasAccount: true, Host: "foreign.example", AbsoluteForm: true, ClientUntrusted: true, Fields: http1.Fields{
		{Name: "Origin", Value: "null"}, {Name: "upgrade", Value: "websocket"}, {Name: "VIA", Value: "1.1 etrusted-broker"}, {Name: "X-Original-URL", Value: "/"},
	}}
	for _, step := range []struct {
		code   string
		repair func()
	}{
		{"client-certificate-untrusted", func() { r.ClientUntrusted = false }},
		{"method-not-allowed", func() { r.Method = "GET" }},
		{"target-not-allowed", func() { r.AbsoluteForm = false }},
		{"host-not-allowed", func() { r.AbsoluteForm, r.Host = true, "login.example" }},
		{"browser-request", func() { r.Fields.Delete("Origin") }},
		{"upgrade-not-supported", func() { r.Fields.Delete("Upgrade") }},
		{"loop-detected", func() { r.Fields.Delete("Via") }},
		{"invalid-target", func() { r.Target, r.APITarget = "/x/..", "/x/.." }},
		{"unsafe-path", func() { r.Target, r.APITarget = "/x", "/x" }},
		{"access-key-missing", func() { r.Fields.Set("Authorization", "Bearer key") }},
		{"account-not-allowed", func() { r.Account = "shop" }},
		{"login-server-request", func() { r.Host = "api.example" }},
		{"not-in-allow-list", func() { r.Method, r.Target, r.APITarget = "POST", "/@shop/events", "/events" }},
		{"method-override", func() { r.Fields.Delete("X-Original-Url") }},
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

// With DryRun, only the rules deny nothing: each step of the request fails another check.
func TestDryRunForwardsOnlyWhatAllowListsDeny(t *testing.T) {
	rules, err := access.ParseAllowList([]string{"POST /events", "POST /invites"})
	if err != nil {
		t.Fatal(err)
	}
	own, err := access.ParseAllowList([]string{"POST /events", "PUT /own"})
	if err != nil {
		t.Fatal(err)
	}
	shop := &access.Caller{Name: "shop", Keys: access.NewKeys("key"), AllowList: own, Accounts: []string{"shop"}}
	policy := &access.Policy{APIAndLoginHosts: access.NewAPIAndLoginHosts([]string{"api.example"}, []string{"login.example"}), Callers: access.NewCallers(shop), AllowList: rules, DryRun: true}
	const key = "\r\nHost: localhost\r\nAuthorization: Bearer key"
	for _, test := range []struct{ raw, denied, dryRun string }{
		{"POST /events HTTP/1.1" + key, "", ""},
		{"GET /events HTTP/1.1" + key, "", "not-in-allow-list"},
		{"POST /invites HTTP/1.1" + key, "", "not-in-allow-list"}, // only the caller's rules deny it
		{"PUT /own HTTP/1.1" + key, "", "not-in-allow-list"},
		{"POST /events HTTP/1.1" + key + "\r\nX-HTTP-Method: DELETE", "", "method-override"},
		{"GET /x HTTP/1.1\r\nHost: localhost", "access-key-missing", ""},
		{"GET /x HTTP/1.1" + key + "\r\nOrigin: null", "browser-request", ""},
		{"GET /x/../y HTTP/1.1" + key, "unsafe-path", ""},
		{"TRACE /x HTTP/1.1" + key, "method-not-allowed", ""},
		{"GET /x HTTP/1.1" + strings.Replace(key, "localhost", "attacker.example", 1), "host-not-allowed", ""},
		{"GET http://login.example/x HTTP/1.1" + key, "login-server-request", ""},
	} {
		decision := policy.Check(parse(t, test.raw))
		code := func(p *problem.Problem) string {
			if p == nil {
				return ""
			}
			return p.Code
		}
		if code(decision.Denied) != test.denied || code(decision.DryRun) != test.dryRun {
			t.Errorf("%q: got denied %q, dry run %q, want %q, %q", test.raw, code(decision.Denied), code(decision.DryRun), test.denied, test.dryRun)
		}
	}
	foreign := parse(t, "GET /x HTTP/1.1"+key)
	foreign.Account, foreign.HasAccount = "other", true
	if got := policy.Check(foreign); got.Denied == nil || got.DryRun != nil {
		t.Errorf("for another account: got %+v, want it denied", got)
	}
}

func TestAllowsOnlyWhatBothListsAllow(t *testing.T) {
	rules, err := access.ParseAllowList([]string{"GET /reviews/{id}", "GET /channels"})
	if err != nil {
		t.Fatal(err)
	}
	own, err := access.ParseAllowList([]string{"GET /channels", "GET /own"})
	if err != nil {
		t.Fatal(err)
	}
	policy := &access.Policy{AllowList: rules, Callers: access.NewCallers(&access.Caller{Name: "erp"}, &access.Caller{Name: "shop", AllowList: own})}
	for _, test := range []struct {
		caller, path string
		want         bool
	}{
		{"erp", "/reviews/{id}", true}, {"erp", "/own", false}, {"shop", "/channels", true}, {"shop", "/reviews/{id}", false}, {"shop", "/own", false},
		{"removed", "/channels", false},
	} {
		if got := policy.InAllowLists(test.caller, "GET", test.path); got != test.want {
			t.Errorf("%s %s: got %t, want %t", test.caller, test.path, got, test.want)
		}
	}
	if !new(access.Policy).InAllowLists("", "GET", "/x") {
		t.Error("without rules: got false, want true")
	}
}

func TestTokenRequestNeedsNoKeyAndNoRule(t *testing.T) {
	policy := &access.Policy{Callers: withKeys(access.NewKeys("key")), AllowList: new(access.RequestAllowList)}
	r := parse(t, "POST /oauth/token HTTP/1.1\r\nHost: localhost")
	r.TokenRequest = true
	if denied := policy.Check(r).Denied; denied != nil {
		t.Errorf("got %+v, want no denial", denied)
	}
}

func TestReasonsListsAllReasons(t *testing.T) {
	known := map[access.DenialReason]bool{}
	for _, reason := range access.Reasons {
		if reason == "" || known[reason] {
			t.Errorf("%q is empty or there twice", reason)
		}
		known[reason] = true
	}
	for _, reason := range []access.DenialReason{
		access.ReasonHost, access.ReasonBrowser, access.ReasonUnsupportedMethod, access.ReasonUpgrade, access.ReasonTarget,
		access.ReasonPath, access.ReasonKey, access.ReasonNotInAllowList, access.ReasonMalformed, access.ReasonEvicted,
		access.ReasonCertificate, access.ReasonHandshake, access.ReasonAccount,
	} {
		if !known[reason] {
			t.Errorf("%q is missing", reason)
		}
	}
}

func BenchmarkCheck(b *testing.B) {
	policy := &access.Policy{APIAndLoginHosts: access.NewAPIAndLoginHosts([]string{"api.example"}, nil)}
	r := parse(b, "GET /reviews?count=10 HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nAccept: application/json\r\nUser-Agent: app/1")
	r.LocalAddr = tcp("127.0.0.1:1")
	b.ReportAllocs()
	for b.Loop() {
		if check(policy, r) != nil {
			b.Fatal("got a denial, want none")
		}
	}
}
