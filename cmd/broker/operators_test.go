package main

import (
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"etrusted-broker/internal/fakeetrusted"
	"etrusted-broker/proxy/access"
)

var operatorTests = []struct {
	name, host string
	header     http.Header
	status     int
}{
	{"localhost", "localhost:9464", nil, 200},
	{"loopback", "127.0.0.1:9464", nil, 200},
	{"loopback, IPv6", "[::1]:9464", nil, 200},
	{"allowed", "Broker.Example.:9464", nil, 200},
	{"rebound", "evil.example", nil, 421},
	{"look-alike", "localhost.evil.example", nil, 421},
	{"everywhere", "0.0.0.0:9464", nil, 421},
	{"empty", "", nil, 421},
	{"page of another site", "localhost", http.Header{"Sec-Fetch-Site": {"cross-site"}}, 403},
	{"page of the same site", "localhost", http.Header{"Sec-Fetch-Site": {"same-site"}}, 403},
	{"typed into the address bar", "localhost", http.Header{"Sec-Fetch-Site": {"none"}}, 200},
	{"the status page itself", "localhost", http.Header{"Sec-Fetch-Site": {"same-origin"}}, 200},
	{"two of them", "localhost", http.Header{"Sec-Fetch-Site": {"none", "cross-site"}}, 403},
	{"origin", "localhost", http.Header{"Origin": {"null"}}, 403},
	{"prefetched", "localhost", http.Header{"Sec-Fetch-Site": {"none"}, "Sec-Fetch-Mode": {"navigate"}, "Sec-Purpose": {"prefetch"}}, 403},
	{"issuer of a certificate", "localhost", http.Header{"Sec-Fetch-Site": {"none"}, "Sec-Fetch-Mode": {"no-cors"}}, 403},
	{"rebound page", "evil.example", http.Header{"Sec-Fetch-Site": {"same-origin"}}, 421},
}

func TestForOperators(t *testing.T) {
	t.Parallel()
	for _, test := range operatorTests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			called := false
			handler := forOperators(access.NewHosts("broker.example"), http.HandlerFunc(func(http.ResponseWriter, *http.Request) { called = true }))
			request := httptest.NewRequest(http.MethodGet, "/metrics", nil)
			request.Host = test.host
			request.Header = test.header
			response := httptest.NewRecorder()
			handler.ServeHTTP(response, request)
			if response.Code != test.status || called != (test.status == 200) {
				t.Errorf("status %d, want %d; served: %v", response.Code, test.status, called)
			}
			if test.status == 421 && !strings.Contains(response.Body.String(), "BROKER_ALLOWED_HOSTS") {
				t.Errorf("does not say what to do: %s", response.Body)
			}
		})
	}
}

// TestAdminDoor holds that forOperators is in front of every page.
func TestAdminDoor(t *testing.T) {
	t.Parallel()
	b := startBroker(t, nil, environFor(serveHTTP(t, fakeetrusted.New(fakeetrusted.Options{})), "BROKER_ALLOWED_HOSTS=broker.example"))
	for _, path := range []string{"/metrics", "/healthz", "/readyz", "/status.json", "/", "/debug/pprof/"} {
		for _, test := range operatorTests {
			if test.host == "" {
				continue // Go's client fills it in
			}
			request, err := http.NewRequest(http.MethodGet, b.admin+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			request.Host = test.host
			request.Header = test.header.Clone()
			got := do(request, nil)
			switch {
			case got.err != nil:
				t.Errorf("%s, %s: %v", path, test.name, got.err)
			case test.status != 200 && got.status != test.status:
				t.Errorf("%s, %s: status %d, want %d", path, test.name, got.status, test.status)
			case test.status == 200 && (got.status == 421 || got.status == 403):
				t.Errorf("%s, %s: refused with %d", path, test.name, got.status)
			}
		}
	}
}

// TestAdminIsNotTheApp holds that neither listener serves what is the other's.
func TestAdminIsNotTheApp(t *testing.T) {
	t.Parallel()
	eTrusted := fakeetrusted.New(fakeetrusted.Options{})
	b := startBroker(t, nil, environFor(serveHTTP(t, eTrusted)))
	b.ready()
	for _, path := range []string{"/metrics", "/healthz", "/readyz", "/status.json"} {
		before := eTrusted.APIRequestCount()
		if got := get(t, b.url+path); got.status != http.StatusNotFound || eTrusted.APIRequestCount() != before+1 {
			t.Errorf("app's %s: status %d; it is the API's to answer", path, got.status)
		}
	}
	before := eTrusted.APIRequestCount()
	if got := get(t, b.admin+"/channels"); got.status != http.StatusNotFound || eTrusted.APIRequestCount() != before {
		t.Errorf("admin's /channels: status %d", got.status)
	}
	if _, port, err := net.SplitHostPort(strings.TrimPrefix(b.admin, "http://")); err != nil || b.url == b.admin || port == "0" {
		t.Errorf("listeners %s and %s", b.url, b.admin)
	}
}
