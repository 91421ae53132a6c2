package main

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"etrusted-broker/internal/brokertest"
)

// TestAdminListenerWithstandsAttacks: the admin listener refuses web pages, does not forward to the API, and serves no debug
// pages.
func TestAdminListenerWithstandsAttacks(t *testing.T) {
	t.Parallel()
	a := startAttackTarget(t)
	for _, test := range []struct {
		name, request string
		status        int
	}{
		{"metrics", brokertest.PlainRequest("GET /metrics"), 200},
		{"status", brokertest.PlainRequest("GET /status.json"), 200},
		{"address bar", brokertest.PlainRequest("GET /", navigationHeaders), 200},
		{"site none without a mode", brokertest.PlainRequest("GET /status.json", "Sec-Fetch-Site: none"), 200},
		{"the status page's own fetch", brokertest.PlainRequest("GET /status.json", "Sec-Fetch-Site: same-origin", "Sec-Fetch-Mode: cors", "Sec-Fetch-Dest: empty"), 200},
		{"the status page's own stylesheet", brokertest.PlainRequest("GET /page.css", "Sec-Fetch-Site: same-origin", "Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: style"), 200},
		{"Kubernetes probe", brokertest.PlainRequest("GET /healthz", "User-Agent: kube-probe/1.31", "Accept: */*"), 200},
		{"Host foreign", "GET /metrics HTTP/1.1\r\nHost: evil.example\r\n\r\n", 421},
		{"Host foreign with port", "GET /status.json HTTP/1.1\r\nHost: evil.example:9464\r\n\r\n", 421},
		{"Host 0.0.0.0", "GET /status.json HTTP/1.1\r\nHost: 0.0.0.0\r\n\r\n", 421},
		{"Host empty", "GET /status.json HTTP/1.1\r\nHost:\r\n\r\n", 421},
		{"Host looks like ours", "GET /status.json HTTP/1.1\r\nHost: localhost.evil.example\r\n\r\n", 421},
		{"no Host in HTTP/1.0", "GET /status.json HTTP/1.0\r\n\r\n", 421},
		{"absolute-form to another host", brokertest.PlainRequest("GET http://evil.example/metrics"), 421},
		{"Host of health", "GET /healthz HTTP/1.1\r\nHost: evil.example\r\n\r\n", 421},
		{"Host of debug", "GET /debug/pprof/ HTTP/1.1\r\nHost: evil.example\r\n\r\n", 421},
		{"Origin", brokertest.PlainRequest("GET /metrics", "Origin: https://shop.example"), 403},
		{"Origin null", brokertest.PlainRequest("GET /status.json", "Origin: null"), 403},
		{"cross-site", brokertest.PlainRequest("GET /status.json", "Sec-Fetch-Site: cross-site"), 403},
		{"same-site", brokertest.PlainRequest("GET /status.json", "Sec-Fetch-Site: same-site"), 403},
		{"prefetch by speculation rules", brokertest.PlainRequest("GET /status.json", navigationHeaders, "Sec-Purpose: prefetch"), 403},
		{"prerendering by speculation rules", brokertest.PlainRequest("GET /", navigationHeaders, "Sec-Purpose: prefetch;prerender"), 403},
		{"Purpose", brokertest.PlainRequest("GET /metrics", "Purpose: Prefetch"), 403},
		{"X-Moz", brokertest.PlainRequest("GET /metrics", "X-Moz: prefetch"), 403},
		{"issuer of a certificate", brokertest.PlainRequest("GET /metrics", "Sec-Fetch-Site: none", "Sec-Fetch-Mode: no-cors"), 403},
		{"issuer of a certificate, on Windows", brokertest.PlainRequest("GET /metrics", "User-Agent: Microsoft-CryptoAPI/10.0"), 403},
		{"cross-site health", brokertest.PlainRequest("GET /healthz", "Sec-Fetch-Site: cross-site"), 403},
		{"debug", brokertest.PlainRequest("GET /debug/"), 404},
		{"profiles", brokertest.PlainRequest("GET /debug/pprof/"), 404},
		{"heap", brokertest.PlainRequest("GET /debug/pprof/heap?debug=1"), 404},
		{"command line", brokertest.PlainRequest("GET /debug/pprof/cmdline"), 404},
		{"variables", brokertest.PlainRequest("GET /debug/vars"), 404},
		{"the API's path", brokertest.PlainRequest("GET /channels"), 404},
		{"an account's path", brokertest.PlainRequest("GET /@shop/channels"), 404},
		{"POST", "POST /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n", 405},
		{"TRACE", brokertest.PlainRequest("TRACE /metrics"), 405},
		{"CONNECT", "CONNECT evil.example:443 HTTP/1.1\r\nHost: localhost\r\n\r\n", 421},
		{"HTTP/2 with prior knowledge", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 421},
		{"two Hosts", "GET /metrics HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n", 400},
		{"long header", brokertest.PlainRequest("GET /metrics", "X: "+strings.Repeat("a", 70_000)), 431},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := brokertest.DialRaw(t, strings.TrimPrefix(a.Admin, "http://"))
			c.Send(test.request)
			got := c.Next("GET")
			if got.Status != test.status {
				t.Errorf("got %d %q, %v, want %d", got.Status, got.Body, got.Err, test.status)
			}
			for name := range got.Header {
				if strings.HasPrefix(name, "Access-Control-") {
					t.Errorf("got header %s, want no CORS headers", name)
				}
			}
			if test.status != 200 && strings.Contains(got.Body, "etrusted_broker_") {
				t.Error("got metrics in a refusal, want none")
			}
			for _, secret := range append(a.login.Tokens(), "secret-shop") {
				if strings.Contains(c.Seen.String(), secret) {
					t.Errorf("got a secret in the response, want none: %q", c.Seen.String())
				}
			}
		})
	}
	if requests := a.api.takeRequests(); len(requests) > 0 {
		t.Errorf("got requests to the API, want none: %+v", requests)
	}
}

// TestRequestsCannotCreateSeriesWithoutLimit: each series costs memory until a restart, in the broker and in the system that
// collects it.
func TestRequestsCannotCreateSeriesWithoutLimit(t *testing.T) {
	t.Parallel()
	a := startAttackTarget(t)
	series := func() int {
		return len(regexp.MustCompile(`(?m)^etrusted_broker_requests_total{`).FindAllString(brokertest.Get(t, a.Admin+"/metrics").Body, -1))
	}
	a.api.setResponse(func(h rawRequest) string {
		return fmt.Sprintf("HTTP/1.1 %s x\r\nContent-Length: 0\r\n\r\n", strings.TrimPrefix(h.target, "/"))
	})
	c := a.dial(t)
	for i := range 300 {
		if err := c.SetDeadline(time.Now().Add(brokertest.Timeout)); err != nil { // not for all of them together
			t.Fatal(err)
		}
		if got := c.RoundTrip(brokertest.PlainRequest(fmt.Sprintf("X%d /%d", i, 600+i))); got.Status != 600+i {
			t.Fatalf("got status %d, %v, want %d", got.Status, got.Err, 600+i)
		}
		if got := c.RoundTrip(brokertest.PlainRequest(fmt.Sprintf("GET /@unknown-%d/x", i))); got.Status != 404 {
			t.Fatalf("got status %d, %v, want 404", got.Status, got.Err)
		}
	}
	if n := series(); n > 10 {
		t.Errorf("got %d series, want at most 10", n)
	}
}
