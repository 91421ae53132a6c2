package access_test

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"etrusted-broker/proxy/access"
)

// A tunnel is no way to keep a key that is no longer valid.
func TestATunnelIsNoBetterThanItsKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		keys := access.NewKeys("one")
		d := access.New(access.Config{Hosts: access.NewHosts(), Keys: keys, TunnelAllowed: func(string) bool { return true }})
		connect := request(t, "CONNECT api.example:443 HTTP/1.1\r\nHost: api.example:443\r\nProxy-Authorization: Basic eDpvbmU=") // x:one
		if refusal := d.CheckConnect(connect); refusal != nil {
			t.Fatalf("%+v", refusal)
		}
		r := request(t, "GET /x HTTP/1.1\r\nHost: api.example")
		r = r.WithContext(access.WithTunnel(r.Context(), connect))
		if refusal := d.CheckKey(r); refusal != nil {
			t.Errorf("%+v", refusal)
		}
		keys.Rotate("two")
		time.Sleep(59 * time.Second)
		if refusal := d.CheckKey(r); refusal != nil || !d.HasProxyKey(r) {
			t.Errorf("within the minute: %+v", refusal)
		}
		time.Sleep(2 * time.Second)
		refusal := d.CheckKey(r)
		if refusal == nil || refusal.Status != http.StatusUnauthorized || refusal.Header.Get("Connection") != "close" || d.HasProxyKey(r) {
			t.Errorf("after it: %+v", refusal)
		}
	})
}

func TestTunnelsAreForOneHost(t *testing.T) {
	d := access.New(access.Config{Hosts: access.NewHosts(), UpstreamHost: "api.example", LoginHost: "login.example"})
	for _, test := range []struct {
		target, host string
		reason       access.Reason
		login        bool
	}{
		{"api.example:443", "api.example", "", false},
		{"api.example:443", "API.example:443", "", false},
		{"api.example:443", "api.example.", "", false},
		{"api.example.:443", "api.example", "", false},
		{"login.example:443", "login.example", "", true},
		{"login.example.:443", "login.example.", "", true},
		{"login.example.:443", "login.example.:443", "", true},
		{"login.example:443", "api.example", access.ReasonHost, false},
		{"api.example:443", "localhost", access.ReasonHost, false},
		{"api.example:443", "api.example:8443", access.ReasonHost, false},
		{"api.example:443", "", access.ReasonHost, false},
	} {
		connect := request(t, "CONNECT "+test.target+" HTTP/1.1\r\nHost: x")
		r := request(t, "GET /x HTTP/1.1\r\nHost: "+test.host)
		r = r.WithContext(access.WithTunnel(r.Context(), connect))
		refusal := d.Check(r)
		if (refusal == nil) != (test.reason == "") || refusal != nil && refusal.Reason != test.reason {
			t.Errorf("%q in a tunnel to %s: %+v", test.host, test.target, refusal)
		}
		if refusal == nil && d.TargetsLoginServer(r) != test.login {
			t.Errorf("%q in a tunnel to %s: for the login server %v", test.host, test.target, !test.login)
		}
	}
}
