package main

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
)

// TestAttacksOnAdmin holds that the operator's listener is not for web pages, has no way to the API, and nothing in it that
// was left open.
func TestAttacksOnAdmin(t *testing.T) {
	t.Parallel()
	a := startAttacked(t)
	for _, test := range []struct {
		name, in string
		status   int
	}{
		{"metrics", plain("GET /metrics"), 200},
		{"status", plain("GET /status.json"), 200},
		{"address bar", plain("GET /", navigation), 200},
		{"site none without a mode", plain("GET /status.json", "Sec-Fetch-Site: none"), 200},
		{"the status page's own fetch", plain("GET /status.json", "Sec-Fetch-Site: same-origin", "Sec-Fetch-Mode: cors", "Sec-Fetch-Dest: empty"), 200},
		{"the status page's own stylesheet", plain("GET /page.css", "Sec-Fetch-Site: same-origin", "Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: style"), 200},
		{"Kubernetes probe", plain("GET /healthz", "User-Agent: kube-probe/1.31", "Accept: */*"), 200},
		{"Host foreign", "GET /metrics HTTP/1.1\r\nHost: evil.example\r\n\r\n", 421},
		{"Host foreign with port", "GET /status.json HTTP/1.1\r\nHost: evil.example:9464\r\n\r\n", 421},
		{"Host 0.0.0.0", "GET /status.json HTTP/1.1\r\nHost: 0.0.0.0\r\n\r\n", 421},
		{"Host empty", "GET /status.json HTTP/1.1\r\nHost:\r\n\r\n", 421},
		{"Host looks like ours", "GET /status.json HTTP/1.1\r\nHost: localhost.evil.example\r\n\r\n", 421},
		{"no Host in HTTP/1.0", "GET /status.json HTTP/1.0\r\n\r\n", 421},
		{"absolute-form to another host", plain("GET http://evil.example/metrics"), 421},
		{"Host of health", "GET /healthz HTTP/1.1\r\nHost: evil.example\r\n\r\n", 421},
		{"Host of debug", "GET /debug/pprof/ HTTP/1.1\r\nHost: evil.example\r\n\r\n", 421},
		{"Origin", plain("GET /metrics", "Origin: https://shop.example"), 403},
		{"Origin null", plain("GET /status.json", "Origin: null"), 403},
		{"cross-site", plain("GET /status.json", "Sec-Fetch-Site: cross-site"), 403},
		{"same-site", plain("GET /status.json", "Sec-Fetch-Site: same-site"), 403},
		{"prefetch by speculation rules", plain("GET /status.json", navigation, "Sec-Purpose: prefetch"), 403},
		{"prerendering by speculation rules", plain("GET /", navigation, "Sec-Purpose: prefetch;prerender"), 403},
		{"Purpose", plain("GET /metrics", "Purpose: Prefetch"), 403},
		{"X-Moz", plain("GET /metrics", "X-Moz: prefetch"), 403},
		{"issuer of a certificate", plain("GET /metrics", "Sec-Fetch-Site: none", "Sec-Fetch-Mode: no-cors"), 403},
		{"issuer of a certificate, on Windows", plain("GET /metrics", "User-Agent: Microsoft-CryptoAPI/10.0"), 403},
		{"cross-site health", plain("GET /healthz", "Sec-Fetch-Site: cross-site"), 403},
		{"debug", plain("GET /debug/"), 404},
		{"profiles", plain("GET /debug/pprof/"), 404},
		{"heap", plain("GET /debug/pprof/heap?debug=1"), 404},
		{"command line", plain("GET /debug/pprof/cmdline"), 404},
		{"variables", plain("GET /debug/vars"), 404},
		{"the API's path", plain("GET /channels"), 404},
		{"an account's path", plain("GET /@shop/channels"), 404},
		{"POST", "POST /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n", 405},
		{"TRACE", plain("TRACE /metrics"), 405},
		{"CONNECT", "CONNECT evil.example:443 HTTP/1.1\r\nHost: localhost\r\n\r\n", 421},
		{"HTTP/2 with prior knowledge", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505},
		{"CL, TE", framed("Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), 400},
		{"bare LF", "GET /metrics HTTP/1.1\nHost: localhost\n\n", 400},
		{"two Hosts", "GET /metrics HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n", 400},
		{"long header", plain("GET /metrics", "X: "+strings.Repeat("a", 70_000)), 431},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := attackerAt(t, strings.TrimPrefix(a.admin, "http://"))
			c.send(test.in)
			got := c.next("GET")
			if got.status != test.status {
				t.Errorf("%d %q %v, want %d", got.status, got.body, got.err, test.status)
			}
			for name := range got.header {
				if strings.HasPrefix(name, "Access-Control-") {
					t.Errorf("%s", name)
				}
			}
			if test.status != 200 && strings.Contains(got.body, "etrusted_broker_") {
				t.Error("it tells all the same")
			}
			for _, secret := range append(a.login.Tokens(), "secret-shop") {
				if strings.Contains(c.seen.String(), secret) {
					t.Errorf("a secret is in %q", c.seen.String())
				}
			}
		})
	}
	if hits := a.tape.take(); len(hits) > 0 {
		t.Errorf("the API got %+v", hits)
	}
}

// TestAttackOnTheMetrics holds that nobody can make series without end: each costs memory for good, here and at whoever
// collects them.
func TestAttackOnTheMetrics(t *testing.T) {
	t.Parallel()
	a := startAttacked(t)
	series := func() int {
		return len(regexp.MustCompile(`(?m)^etrusted_broker_requests_total{`).FindAllString(get(t, a.admin+"/metrics").body, -1))
	}
	a.tape.answering(func(h hit) string {
		return fmt.Sprintf("HTTP/1.1 %s x\r\nContent-Length: 0\r\n\r\n", strings.TrimPrefix(h.target, "/"))
	})
	c := a.attacker(t)
	for i := range 300 {
		c.send(plain(fmt.Sprintf("X%d /%d", i, 600+i)))
		if got := c.next("GET"); got.status != 600+i {
			t.Fatalf("%d %v", got.status, got.err)
		}
		c.send(plain(fmt.Sprintf("GET /@nobody-%d/x", i)))
		if got := c.next("GET"); got.status != 404 {
			t.Fatalf("%d %v", got.status, got.err)
		}
	}
	if n := series(); n > 10 {
		t.Errorf("%d series", n)
	}
}
