package main

import (
	"net"
	"net/http"
	"strings"
	"testing"

	"etrusted-broker/internal/brokertest"
	"etrusted-broker/internal/fakeetrusted"
)

// Every page of the admin listener refuses other hosts, and web pages of other sites.
func TestAdminListenerRefusesForeignRequests(t *testing.T) {
	t.Parallel()
	b := startBroker(t, nil, brokertest.Environ(brokertest.Serve(t, fakeetrusted.New(fakeetrusted.Options{})), "BROKER_ALLOWED_HOSTS=broker.example"))
	requests := []struct {
		name, host string
		header     http.Header
		status     int // 200 stands for the page's own
	}{
		{"localhost", "localhost:9464", nil, 200},
		{"loopback", "127.0.0.1:9464", nil, 200},
		{"loopback, IPv6", "[::1]:9464", nil, 200},
		{"allowed", "Broker.Example.:9464", nil, 200},
		{"rebound name", "evil.example", nil, 421},
		{"look-alike", "localhost.evil.example", nil, 421},
		{"unspecified address", "0.0.0.0:9464", nil, 421},
		{"empty host", "", nil, 421},
		{"page of another site", "localhost", http.Header{"Sec-Fetch-Site": {"cross-site"}}, 403},
		{"page of the same site", "localhost", http.Header{"Sec-Fetch-Site": {"same-site"}}, 403},
		{"typed into the address bar", "localhost", http.Header{"Sec-Fetch-Site": {"none"}}, 200},
		{"the status page itself", "localhost", http.Header{"Sec-Fetch-Site": {"same-origin"}}, 200},
		{"two Sec-Fetch-Site", "localhost", http.Header{"Sec-Fetch-Site": {"none", "cross-site"}}, 403},
		{"origin", "localhost", http.Header{"Origin": {"null"}}, 403},
		{"prefetched", "localhost", http.Header{"Sec-Fetch-Site": {"none"}, "Sec-Fetch-Mode": {"navigate"}, "Sec-Purpose": {"prefetch"}}, 403},
		{"issuer's certificate", "localhost", http.Header{"Sec-Fetch-Site": {"none"}, "Sec-Fetch-Mode": {"no-cors"}}, 403},
		{"rebound page", "evil.example", http.Header{"Sec-Fetch-Site": {"same-origin"}}, 421},
	}
	for _, path := range []string{"/metrics", "/healthz", "/readyz", "/status.json", "/", "/debug/pprof/"} {
		for _, test := range requests {
			if test.host == "" {
				continue // Go's client would send another
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
				t.Errorf("%s, %s: got status %d, want %d", path, test.name, got.Status, test.status)
			case test.status == 200 && (got.Status == 421 || got.Status == 403):
				t.Errorf("%s, %s: got status %d, want the page's own", path, test.name, got.Status)
			}
		}
	}
}

// Neither listener serves the paths of the other.
func TestListenersServeOnlyTheirOwnPaths(t *testing.T) {
	t.Parallel()
	eTrusted := fakeetrusted.New(fakeetrusted.Options{})
	b := startBroker(t, nil, brokertest.Environ(brokertest.Serve(t, eTrusted)))
	b.WaitReady()
	for _, path := range []string{"/metrics", "/healthz", "/readyz", "/status.json"} {
		before := eTrusted.APIRequestCount()
		if got := brokertest.Get(t, b.URL+path); got.Status != http.StatusNotFound || eTrusted.APIRequestCount() != before+1 {
			t.Errorf("the app's %s: got status %d, want the API's 404", path, got.Status)
		}
	}
	before := eTrusted.APIRequestCount()
	if got := brokertest.Get(t, b.Admin+"/channels"); got.Status != http.StatusNotFound || eTrusted.APIRequestCount() != before {
		t.Errorf("the admin's /channels: got status %d, want its own 404", got.Status)
	}
	if _, port, err := net.SplitHostPort(strings.TrimPrefix(b.Admin, "http://")); err != nil || b.URL == b.Admin || port == "0" {
		t.Errorf("got the listeners %s and %s, want two with ports", b.URL, b.Admin)
	}
}

func TestRunsWithoutAdminListener(t *testing.T) {
	t.Parallel()
	b := startBroker(t, nil, brokertest.Environ(brokertest.Serve(t, fakeetrusted.New(fakeetrusted.Options{})), "BROKER_ADMIN_LISTEN="))
	if line := b.Logs.Lines("listening")[0]; line["admin"] != "off" || b.Admin != "" {
		t.Errorf("got the listening line %v and the URL %q, want off and none", line, b.Admin)
	}
	if got := brokertest.Get(t, b.URL+"/channels"); got.Status != http.StatusOK {
		t.Errorf("/channels: got status %d, want 200", got.Status)
	}
	if code := b.Stop(); code != exitOK {
		t.Errorf("got exit code %d, want %d", code, exitOK)
	}
}
