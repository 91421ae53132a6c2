package access_test

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"etrusted-broker/proxy/access"
)

// A tunnel must not keep a key alive that is no longer valid.
func TestTunnelEndsWithItsKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		keys := access.NewKeys("one")
		policy := &access.Policy{Callers: withKeys(keys), TunnelAllowed: func(string) bool { return true }}
		connect := parse(t, "CONNECT api.example:443 HTTP/1.1\r\nHost: api.example:443\r\nProxy-Authorization: Basic eDpvbmU=") // x:one
		if denied := check(policy, connect); denied != nil {
			t.Fatalf("CONNECT: got %+v, want no denial", denied)
		}
		r := parse(t, "GET /x HTTP/1.1\r\nHost: api.example")
		r.Tunnel = access.NewTunnel(connect)
		if got := policy.Check(r); got.Denied != nil || got.Caller == nil {
			t.Errorf("at first: got %+v, want a caller and no denial", got)
		}
		keys.Replace("two")
		time.Sleep(59 * time.Second)
		if got := policy.Check(r); got.Denied != nil || got.Caller == nil || policy.CheckTunnel(r.Tunnel) != nil {
			t.Errorf("within the minute: got %+v, want a caller and no denial", got)
		}
		time.Sleep(2 * time.Second)
		got := policy.Check(r)
		if got.Caller != nil || policy.CheckTunnel(r.Tunnel) == nil || got.Denied == nil || got.Denied.Status != http.StatusUnauthorized || !got.Denied.Close {
			t.Errorf("after it: got %+v, want a denial with 401 that closes the connection", got)
		}
	})
}

func TestTunnelIsForOneHost(t *testing.T) {
	policy := &access.Policy{APIAndLoginHosts: access.NewAPIAndLoginHosts([]string{"api.example", "both.example"}, []string{"login.example", "both.example"})}
	for _, test := range []struct {
		target, host string
		code         string // of the denial
		anyPort      bool
	}{
		{"api.example:443", "api.example", "", false},
		{"both.example:443", "both.example", "", false},
		{"api.example:443", "API.example:443", "", false},
		{"api.example:443", "api.example.", "", false},
		{"api.example.:443", "api.example", "", false},
		{"login.example:443", "login.example", "login-server-request", false},
		{"login.example.:443", "login.example.", "login-server-request", false},
		{"login.example.:443", "login.example.:443", "login-server-request", false},
		{"login.example:443", "api.example", "host-not-allowed", false},
		{"api.example:443", "localhost", "host-not-allowed", false},
		{"api.example:443", "api.example:8443", "host-not-allowed", false},
		{"api.example:443", "", "host-not-allowed", false},
		{"api.example:443", "api.example", "", true},
		{"api.example:443", "API.example.:8443", "", true},
		{"login.example:443", "login.example:8443", "login-server-request", true},
		{"api.example:443", "login.example", "host-not-allowed", true},
		{"api.example:443", "localhost:8443", "host-not-allowed", true},
		{"api.example:443", "", "host-not-allowed", true},
		{"a:b", "a:b", "host-not-allowed", false}, // invalid hosts are not the same
		{"a:b", "", "host-not-allowed", true},
	} {
		r := parse(t, "GET /x HTTP/1.1\r\nHost: "+test.host)
		r.Tunnel = &access.Tunnel{Target: test.target, AnyPort: test.anyPort}
		code := ""
		if denied := policy.Check(r).Denied; denied != nil {
			code = denied.Code
		}
		if code != test.code {
			t.Errorf("%q in a tunnel to %s: got code %q, want %q", test.host, test.target, code, test.code)
		}
	}
}
