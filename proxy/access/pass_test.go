package access_test

import (
	"testing"

	"etrusted-broker/proxy/access"
)

// The order of the checks: browsers, then the key, then the host.
func TestPassesThrough(t *testing.T) {
	const key = "\r\nProxy-Authorization: Basic eDprZXk=" // x:key
	policy := &access.Policy{
		APIAndLoginHosts: access.NewAPIAndLoginHosts([]string{"api.example"}, []string{"login.example:8443"}), Callers: withKeys(access.NewKeys("key")),
		TunnelAllowed: func(target string) bool { return target == "api.example:443" },
		PassHosts:     passHosts(t, "*, exact.example, api.example, login.example, 127.0.0.1:9000"),
	}
	for _, test := range []struct {
		raw  string
		code string // of the denial; empty without one
		pass bool
	}{
		{"CONNECT other.example:443 HTTP/1.1\r\nHost: a" + key, "", true},
		{"CONNECT exact.example:22 HTTP/1.1\r\nHost: a" + key, "", true},
		{"CONNECT other.example:22 HTTP/1.1\r\nHost: a" + key, "tunnel-not-allowed", false},
		{"CONNECT other.example HTTP/1.1\r\nHost: a" + key, "tunnel-not-allowed", false},
		{"CONNECT other.example:443 HTTP/1.1\r\nHost: a", "proxy-key-missing", false},
		{"CONNECT other.example:22 HTTP/1.1\r\nHost: a", "proxy-key-missing", false},
		{"CONNECT other.example:443 HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer key", "proxy-key-missing", false},
		{"CONNECT other.example:443 HTTP/1.1\r\nHost: a\r\nOrigin: null", "browser-request", false},
		{"CONNECT other.example:443 HTTP/1.1\r\nHost: a\r\nVia: 1.1 etrusted-broker" + key, "loop-detected", false},

		{"GET http://other.example:80/a/../b HTTP/1.1\r\nHost: a" + key, "", true},
		{"GET http://exact.example:8080/ HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer x" + key, "", true},
		{"POST http://other.example:80/oauth/token HTTP/1.1\r\nHost: a" + key, "", true},
		{"GET http://127.0.0.1:9000/ HTTP/1.1\r\nHost: a" + key, "", true},
		{"GET http://127.0.0.1:9001/ HTTP/1.1\r\nHost: a" + key, "", false}, // the broker's own host: a request for the API
		{"GET http://other.example:8080/ HTTP/1.1\r\nHost: a" + key, "target-not-allowed", false},
		{"GET http://other.example:8080/ HTTP/1.1\r\nHost: a", "proxy-key-missing", false},
		{"GET http://other.example:80/ HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer key", "proxy-key-missing", false},
		{"GET http://other.example:80/ HTTP/1.1\r\nHost: a\r\nOrigin: null", "browser-request", false},
		{"GET http://other.example:80/ HTTP/1.1\r\nHost: a\r\nSec-Fetch-Site: cross-site" + key, "browser-request", false},
		{"GET http://other.example:80/ HTTP/1.1\r\nHost: a\r\nVia: 1.1 x, 1.1 etrusted-broker" + key, "loop-detected", false},
		{"GET http://other.example:80/ HTTP/1.1\r\nHost: a\r\nUpgrade: websocket" + key, "upgrade-not-supported", false},
		{"TRACE http://other.example:80/ HTTP/1.1\r\nHost: a" + key, "method-not-allowed", false},

		// The API and the login server never pass through, whatever the patterns and the spelling.
		{"CONNECT api.example:443 HTTP/1.1\r\nHost: a" + key, "", false},
		{"CONNECT api.example:8443 HTTP/1.1\r\nHost: a" + key, "tunnel-not-allowed", false},
		{"CONNECT API.example.:80 HTTP/1.1\r\nHost: a" + key, "tunnel-not-allowed", false},
		{"CONNECT login.example:8443 HTTP/1.1\r\nHost: a" + key, "tunnel-not-allowed", false},
		{"CONNECT login.example:443 HTTP/1.1\r\nHost: a" + key, "", true}, // another server at the same host
		{"GET http://api.example:80/ HTTP/1.1\r\nHost: a" + key, "", false},
		{"GET http://api.example:8080/ HTTP/1.1\r\nHost: a" + key, "target-not-allowed", false},
	} {
		got, code := policy.Check(parse(t, test.raw)), ""
		if got.Denied != nil {
			code = got.Denied.Code
		}
		if code != test.code || got.Pass != test.pass {
			t.Errorf("%q: got %q, pass=%t, want %q, pass=%t", test.raw, code, got.Pass, test.code, test.pass)
		}
	}
}

// Without PassHosts, other hosts are refused before the key is checked, and without TunnelAllowed all tunnels.
func TestPassesNothingThroughByDefault(t *testing.T) {
	keys := access.NewKeys("key")
	intercepting := &access.Policy{Callers: withKeys(keys), TunnelAllowed: func(string) bool { return false }}
	for _, test := range []struct {
		policy *access.Policy
		raw    string
		code   string
	}{
		{&access.Policy{Callers: withKeys(keys)}, "CONNECT other.example:443 HTTP/1.1\r\nHost: a", "method-not-allowed"},
		{&access.Policy{Callers: withKeys(keys)}, "GET http://other.example:80/ HTTP/1.1\r\nHost: a", "target-not-allowed"},
		{intercepting, "CONNECT other.example:443 HTTP/1.1\r\nHost: a", "tunnel-not-allowed"},
		{&access.Policy{PassHosts: passHosts(t, "*")}, "CONNECT other.example:8443 HTTP/1.1\r\nHost: a", "tunnel-not-allowed"},
	} {
		if got := check(test.policy, parse(t, test.raw)); got == nil || got.Code != test.code {
			t.Errorf("%q: got %+v, want %q", test.raw, got, test.code)
		}
	}
}
