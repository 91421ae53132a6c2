package access_test

import (
	"encoding/base64"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"etrusted-broker/proxy/access"
)

// twoCallers returns the callers shop, with two accounts and an allow list, and erp, with the default account; and others.
func twoCallers(t *testing.T, others ...*access.Caller) *access.Callers {
	t.Helper()
	rules, err := access.ParseAllowList([]string{"GET /channels"})
	if err != nil {
		t.Fatal(err)
	}
	return access.NewCallers(append(others,
		&access.Caller{Name: "shop", Keys: access.NewKeys("shop-key", "shop-key-2"), Identities: []string{"dns:shop.example"}, AllowList: rules, Accounts: []string{"de", "at"}},
		&access.Caller{Name: "erp", Keys: access.NewKeys("erp-key"), Identities: []string{"uid:1000", "dns:erp.example"}, Accounts: []string{"default"}},
	)...)
}

func basicValue(userAndPassword string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(userAndPassword))
}

func TestIdentifiesCallers(t *testing.T) {
	t.Parallel()
	policy := &access.Policy{Callers: twoCallers(t), APIAndLoginHosts: access.NewAPIAndLoginHosts([]string{"api.example"}, nil), PassHosts: passHosts(t, "other.example"), TunnelAllowed: func(target string) bool { return target == "api.example:443" }}
	const (
		get      = "GET /channels HTTP/1.1\r\nHost: localhost"
		absolute = "GET http://api.example/channels HTTP/1.1\r\nHost: api.example"
		other    = "GET http://other.example:80/ HTTP/1.1\r\nHost: other.example"
		connect  = "CONNECT other.example:443 HTTP/1.1\r\nHost: other.example:443"
	)
	auth, proxyAuth := func(value string) string { return "\r\nAuthorization: " + value }, func(value string) string { return "\r\nProxy-Authorization: " + value }
	for _, test := range []struct {
		name       string
		raw        string
		identities []string
		caller     string
		code       string // of the denial
		status     int
	}{
		{"bearer", get + auth("Bearer shop-key"), nil, "shop", "", 0},
		{"second key", get + auth("Bearer shop-key-2"), nil, "shop", "", 0},
		{"password", get + auth(basicValue("x:erp-key")), nil, "erp", "", 0},
		{"certificate", get, []string{"dns:www.example", "dns:shop.example"}, "shop", "", 0},
		{"user", get, []string{"uid:1000"}, "erp", "", 0},
		{"user and its key", get + auth("Bearer erp-key"), []string{"uid:1000"}, "erp", "", 0},
		{"user and its own token", get + auth("Bearer eyJ"), []string{"uid:1000"}, "erp", "", 0},
		{"unknown user with a key", get + auth("Bearer erp-key"), []string{"uid:7"}, "erp", "", 0},
		{"proxy", absolute + proxyAuth(basicValue("x:shop-key")), nil, "shop", "", 0},
		{"proxy and its own token", absolute + proxyAuth(basicValue("x:shop-key")) + auth("Bearer eyJ"), nil, "shop", "", 0},
		{"proxy to another host", other + proxyAuth(basicValue("x:shop-key")) + auth("Bearer erp-key"), nil, "shop", "", 0},
		{"tunnel", connect + proxyAuth(basicValue("x:erp-key")), nil, "erp", "", 0},
		{"tunnel of a user", connect, []string{"uid:1000"}, "erp", "", 0},

		{"nothing", get, nil, "", "access-key-missing", 401},
		{"unknown key", get + auth("Bearer no-such-key"), nil, "", "access-key-missing", 401},
		{"empty key", get + auth("Bearer "), nil, "", "access-key-missing", 401},
		{"empty password", get + auth(basicValue("x:")), nil, "", "access-key-missing", 401},
		{"proxy key without a proxy", get + proxyAuth(basicValue("x:shop-key")), nil, "", "access-key-missing", 401},
		{"unknown user", get, []string{"uid:7"}, "", "client-unknown", 401},
		{"two keys", absolute + proxyAuth(basicValue("x:shop-key")) + auth("Bearer erp-key"), nil, "", "several-callers", 401},
		{"user and a key of another", get + auth("Bearer shop-key"), []string{"uid:1000"}, "", "several-callers", 401},
		{"certificate of two", get, []string{"dns:shop.example", "dns:erp.example"}, "", "several-callers", 401},
		{"proxy to another host without a key", other + auth("Bearer shop-key"), nil, "", "proxy-key-missing", 407},
		{"tunnel without a key", connect, []string{"uid:7"}, "", "proxy-key-missing", 407},
		{"tunnel of two", connect + proxyAuth(basicValue("x:shop-key")), []string{"uid:1000"}, "", "several-callers", 407},
	} {
		r := parse(t, test.raw)
		r.Identities = test.identities
		got := policy.Check(r)
		caller, code, status := "", "", 0
		if got.Caller != nil {
			caller = got.Caller.Name
		}
		if got.Denied != nil {
			code, status = got.Denied.Code, got.Denied.Status
		}
		if caller != test.caller || code != test.code || status != test.status {
			t.Errorf("%s: got caller %q, %q %d, want %q, %q %d", test.name, caller, code, status, test.caller, test.code, test.status)
		}
		if code != "" && (got.Denied.DenialReason != string(access.ReasonKey) || len(got.Denied.Fields) == 0) {
			t.Errorf("%s: got %+v, want the reason key and a challenge", test.name, got.Denied)
		}
		if closes := test.identities != nil && status == 401; code != "" && got.Denied.Close != closes && code != "several-callers" {
			t.Errorf("%s: got closes %t, want %t", test.name, got.Denied.Close, closes)
		}
	}
}

func TestCallersHaveTheirOwnAccountsAndAllowLists(t *testing.T) {
	t.Parallel()
	global, err := access.ParseAllowList([]string{"READ-ONLY"})
	if err != nil {
		t.Fatal(err)
	}
	more, err := access.ParseAllowList([]string{"POST /events", "GET /channels"})
	if err != nil {
		t.Fatal(err)
	}
	policy := &access.Policy{Callers: twoCallers(t, &access.Caller{Name: "more", Keys: access.NewKeys("more-key"), AllowList: more}), AllowList: global}
	for _, test := range []struct {
		key, account, line string
		code               string
	}{
		{"shop-key", "-", "GET /channels", ""},
		{"shop-key", "de", "GET /channels", ""},
		{"shop-key", "at", "GET /channels", ""},
		{"shop-key", "default", "GET /channels", "account-not-allowed"},
		{"shop-key", "", "GET /channels", "account-not-allowed"},
		{"shop-key", "none-such", "GET /channels", "account-not-allowed"},
		{"shop-key", "de", "GET /reviews", "not-in-allow-list"},
		{"shop-key", "none-such", "GET /reviews", "account-not-allowed"},
		{"erp-key", "-", "GET /reviews", ""},
		{"erp-key", "-", "POST /events", "not-in-allow-list"},
		{"erp-key", "default", "GET /reviews", ""},
		{"erp-key", "de", "GET /reviews", "account-not-allowed"},
		{"more-key", "-", "GET /channels", ""},
		{"more-key", "-", "POST /events", "not-in-allow-list"}, // its own list allows more than the list of all
		{"wrong", "de", "GET /reviews", "access-key-missing"},
	} {
		r := parse(t, test.line+" HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer "+test.key)
		if r.Account, r.HasAccount = test.account, true; test.account == "-" {
			r.Account, r.HasAccount = "", false
		}
		code := ""
		if denied := policy.Check(r).Denied; denied != nil {
			code = denied.Code
		}
		if code != test.code {
			t.Errorf("%s, account %q, %s: got %q, want %q", test.key, test.account, test.line, code, test.code)
		}
	}
	if got := (*access.Caller)(nil).FirstAccount(); got != "" {
		t.Errorf("FirstAccount of no caller: got %q, want none", got)
	}
	if got := policy.Callers.WithKey("shop-key").FirstAccount(); got != "de" {
		t.Errorf("FirstAccount: got %q, want de", got)
	}
}

func TestExpiredCallerIsDenied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		policy := &access.Policy{
			Callers:       access.NewCallers(&access.Caller{Name: "shop", Keys: access.NewKeys("key"), Expires: time.Now().Add(time.Minute)}),
			TunnelAllowed: func(string) bool { return true },
		}
		r := parse(t, "GET /x HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer key")
		connect := parse(t, "CONNECT api.example:443 HTTP/1.1\r\nHost: api.example:443\r\nProxy-Authorization: "+basicValue("x:key"))
		tunnel := access.NewTunnel(connect)
		time.Sleep(time.Minute - time.Nanosecond)
		if got := policy.Check(r); got.Denied != nil || policy.CheckTunnel(tunnel) != nil || policy.Callers.WithKey("key") == nil {
			t.Errorf("before the end: got %+v, want no denial", got.Denied)
		}
		time.Sleep(time.Nanosecond)
		if got := policy.Check(r); got.Denied == nil || got.Denied.Code != "caller-expired" || got.Denied.Status != http.StatusUnauthorized {
			t.Errorf("at the end: got %+v, want caller-expired with 401", got.Denied)
		}
		if got := policy.Check(connect); got.Denied == nil || got.Denied.Code != "caller-expired" || got.Denied.Status != http.StatusProxyAuthRequired {
			t.Errorf("CONNECT at the end: got %+v, want caller-expired with 407", got.Denied)
		}
		if policy.CheckTunnel(tunnel) == nil || policy.Callers.WithKey("key") != nil {
			t.Error("at the end: got a tunnel or a token request allowed, want neither")
		}
	})
}

// They need no credentials of their own, but may not have another caller's.
func TestRequestsInTunnelAreThoseOfItsCaller(t *testing.T) {
	t.Parallel()
	callers := twoCallers(t)
	policy := &access.Policy{Callers: callers, APIAndLoginHosts: access.NewAPIAndLoginHosts([]string{"api.example"}, nil)}
	for _, test := range []struct {
		name, proxyAuthorization string
		identities               []string // of the connection
		authorization            string
		caller, code             string
	}{
		{"user", "", []string{"uid:1000"}, "", "erp", ""},
		{"user and its key", "", []string{"uid:1000"}, "Bearer erp-key", "erp", ""},
		{"user and its own token", "", []string{"uid:1000"}, "Bearer eyJ", "erp", ""},
		{"key", basicValue("x:shop-key"), nil, "", "shop", ""},
		{"user and a key of another", "", []string{"uid:1000"}, "Bearer shop-key", "", "several-callers"},
		{"two keys", basicValue("x:shop-key"), nil, "Bearer erp-key", "", "several-callers"},
		{"key and a password of another", basicValue("x:shop-key"), nil, basicValue("x:erp-key"), "", "several-callers"},
		{"nothing", "", nil, "", "", "tunnel-key-expired"},
		{"unknown user", "", []string{"uid:7"}, "", "", "tunnel-key-expired"},
	} {
		connect := parse(t, "CONNECT api.example:443 HTTP/1.1\r\nHost: api.example:443\r\nProxy-Authorization: "+test.proxyAuthorization)
		connect.Identities = test.identities
		r := parse(t, "GET /channels HTTP/1.1\r\nHost: api.example\r\nAuthorization: "+test.authorization)
		r.Tunnel = access.NewTunnel(connect)
		got, caller, code := policy.Check(r), "", ""
		if got.Caller != nil {
			caller = got.Caller.Name
		}
		if got.Denied != nil {
			code = got.Denied.Code
		}
		if caller != test.caller || code != test.code {
			t.Errorf("%s: got caller %q, %q, want %q, %q", test.name, caller, code, test.caller, test.code)
		}
		if got, want := policy.CheckTunnel(r.Tunnel) == nil, code != "tunnel-key-expired"; got != want {
			t.Errorf("%s: CheckTunnel: got allowed %t, want %t", test.name, got, want)
		}
	}
	connect := parse(t, "CONNECT api.example:443 HTTP/1.1\r\nHost: api.example:443")
	connect.Identities = []string{"uid:1000"}
	tunnel := access.NewTunnel(connect)
	if callers.Replace(); policy.CheckTunnel(tunnel) == nil {
		t.Error("CheckTunnel after the removal: got no denial, want one")
	}
}

func TestRemovedCallerIsDeniedAtOnce(t *testing.T) {
	t.Parallel()
	callers := twoCallers(t)
	policy := &access.Policy{Callers: callers}
	byKey := parse(t, "GET /channels HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer shop-key")
	byUser := parse(t, "GET /channels HTTP/1.1\r\nHost: localhost")
	byUser.Identities = []string{"uid:1000"}
	if check(policy, byKey) != nil || check(policy, byUser) != nil || !callers.HasAnyIdentity(byUser.Identities) {
		t.Fatal("got a denial before the removal, want none")
	}
	callers.Replace()
	if denied := check(policy, byKey); denied == nil || denied.Status != http.StatusUnauthorized {
		t.Errorf("by key: got %+v, want 401", denied)
	}
	if denied := check(policy, byUser); denied == nil || denied.Status != http.StatusUnauthorized || !denied.Close || callers.HasAnyIdentity(byUser.Identities) {
		t.Errorf("by user: got %+v, want 401 that closes the connection", denied)
	}
}
