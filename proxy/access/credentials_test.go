package access_test

import (
	"testing"

	"etrusted-broker/proxy/access"
)

// Who sends a request must not depend on which of several credentials is looked at.
func TestDeniesSeveralCredentials(t *testing.T) {
	t.Parallel()
	policy := &access.Policy{Callers: twoCallers(t), APIAndLoginHosts: access.NewAPIAndLoginHosts([]string{"api.example"}, nil), TunnelAllowed: func(string) bool { return true }}
	open := &access.Policy{APIAndLoginHosts: access.NewAPIAndLoginHosts([]string{"api.example"}, nil)}
	const (
		shop, erp, own = "Authorization: Bearer shop-key\r\n", "Authorization: Bearer erp-key\r\n", "Authorization: Bearer eyJ\r\n"
		get            = "GET /channels HTTP/1.1\r\nHost: localhost\r\n"
		absolute       = "GET http://api.example/channels HTTP/1.1\r\nHost: api.example\r\n"
		connect        = "CONNECT api.example:443 HTTP/1.1\r\nHost: api.example:443\r\n"
		token          = "POST /oauth/token HTTP/1.1\r\nHost: localhost\r\n"
	)
	user := []string{"uid:1000"} // of the caller erp
	for _, test := range []struct {
		name       string
		policy     *access.Policy
		raw        string
		identities []string
		code       string
	}{
		{"user, key of another and its own", policy, get + shop + erp, user, "repeated-credentials"},
		{"user, its own key and that of another", policy, get + erp + shop, user, "repeated-credentials"},
		{"user and two tokens", policy, get + own + own, user, "repeated-credentials"},
		{"two keys", policy, get + shop + erp, nil, "repeated-credentials"},
		{"one key twice", policy, get + erp + erp, nil, "repeated-credentials"},
		{"user and two keys for a proxy", policy, absolute + "Proxy-" + shop + "Proxy-" + erp, user, "repeated-credentials"},
		{"tunnel of a user with two keys", policy, connect + "Proxy-" + shop + "Proxy-" + erp, user, "repeated-credentials"},
		{"token request of a user with the key of another", policy, token + shop, user, "several-callers"},
		{"token request of a user with the secret of another", policy, token + "Authorization: " + basicValue("id:shop-key") + "\r\n", user, ""}, // the token endpoint refuses it,
		{"token request of a user with two keys", policy, token + erp + shop, user, "repeated-credentials"},
		{"token request of a user with its own secret", policy, token + "Authorization: " + basicValue("id:erp-key") + "\r\n", user, ""},
		{"token request of a user with its own client secret", policy, token + "Authorization: " + basicValue("id:secret") + "\r\n", user, ""},
		{"token request with a key only", policy, token + shop, nil, ""},
		{"two fields where no credentials are needed", open, get + own + own, nil, ""},
	} {
		r := parse(t, test.raw[:len(test.raw)-len("\r\n")])
		r.Identities, r.TokenRequest = test.identities, r.Target == "/oauth/token"
		got, code := test.policy.Check(r), ""
		if got.Denied != nil {
			code = got.Denied.Code
		}
		if code != test.code || code != "" && got.Caller != nil {
			t.Errorf("%s: got %q and the caller %v, want %q", test.name, code, got.Caller, test.code)
		}
	}
}
