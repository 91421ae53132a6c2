package main

import (
	"net"
	"net/http"
	"strings"
	"testing"

	"etrusted-broker/internal/brokertest"
	"etrusted-broker/internal/fakeetrusted"
)

var adminRequests = []struct {
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

// TestAdminListenerRefusesForeignRequests holds that forOperators is in front of every page.
func TestAdminListenerRefusesForeignRequests(t *testing.T) {
	t.Parallel()
	b := startBroker(t, nil, brokertest.Environ(brokertest.Serve(t, fakeetrusted.New(fakeetrusted.Options{})), "BROKER_ALLOWED_HOSTS=broker.example"))
	for _, path := range []string{"/metrics", "/healthz", "/readyz", "/status.json", "/", "/debug/pprof/"} {
		for _, test := range adminRequests {
			if test.host == "" {
				continue // Go's client fills it in
			}
			request, err := http.NewRequest(http.MethodGet, b.Admin+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			request.Host = test.host
			request.Header = test.header.Clone()
			got := brokertest.Do(request, nil)
			switch {
			case got.Err != nil:
				t.Errorf("%s, %s: %v", path, test.name, got.Err)
			case test.status != 200 && got.Status != test.status:
				t.Errorf("%s, %s: status %d, want %d", path, test.name, got.Status, test.status)
			case test.status == 200 && (got.Status == 421 || got.Status == 403):
				t.Errorf("%s, %s: refused with %d", path, test.name, got.Status)
			}
		}
	}
}

// TestListenersServeOnlyTheirOwnPaths holds that neither listener serves what is the other's.
func TestListenersServeOnlyTheirOwnPaths(t *testing.T) {
	t.Parallel()
	eTrusted := fakeetrusted.New(fakeetrusted.Options{})
	b := startBroker(t, nil, brokertest.Environ(brokertest.Serve(t, eTrusted)))
	b.WaitReady()
	for _, path := range []string{"/metrics", "/healthz", "/readyz", "/status.json"} {
		before := eTrusted.APIRequestCount()
		if got := brokertest.Get(t, b.URL+path); got.Status != http.StatusNotFound || eTrusted.APIRequestCount() != before+1 {
			t.Errorf("app's %s: status %d; it is the API's to answer", path, got.Status)
		}
	}
	before := eTrusted.APIRequestCount()
	if got := brokertest.Get(t, b.Admin+"/channels"); got.Status != http.StatusNotFound || eTrusted.APIRequestCount() != before {
		t.Errorf("admin's /channels: status %d", got.Status)
	}
	if _, port, err := net.SplitHostPort(strings.TrimPrefix(b.Admin, "http://")); err != nil || b.URL == b.Admin || port == "0" {
		t.Errorf("listeners %s and %s", b.URL, b.Admin)
	}
}
