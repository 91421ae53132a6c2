package server

import (
	"net/url"
	"slices"
	"testing"

	"etrusted-broker/internal/config"
	"etrusted-broker/proxy/access"
	"etrusted-broker/tokensource"
)

func parseURL(t *testing.T, text string) *url.URL {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// An API selects an account only if exactly one account uses it, and not while it is only being tried. All servers are known
// meanwhile.
func TestFollowsServersOfAccounts(t *testing.T) {
	t.Parallel()
	environment := func(api, login string) (e tokensource.APIEnvironment) {
		if e.TokenURL = login; api != "" {
			e.API = parseURL(t, api)
		}
		return e
	}
	none, qa := tokensource.APIEnvironment{}, environment("https://API.qa.example:443", "https://login.qa.example/oauth/token")
	staging := environment("https://api.staging.example:8443", "")
	c := config.Config{API: parseURL(t, "https://api.example"), Login: parseURL(t, "https://login.example/oauth/token")}
	s := newAPIAndLoginServersByAccount(c, func(string) bool { return true }, map[string]tokensource.APIEnvironment{"at-start": staging, "without": none})
	var reported int
	s.watch(func(apis, logins []*url.URL) { reported = len(apis) + len(logins) })

	type found struct {
		account string
		ok      bool
	}
	isAPI := func(host string) bool {
		return policyOf(s).Check(&access.Request{Method: "GET", Host: host, AbsoluteForm: true, Target: "/", APITarget: "/"}).API != ""
	}
	isLogin := func(host string) bool {
		denied := policyOf(s).Check(&access.Request{Method: "GET", Host: host, AbsoluteForm: true, Target: "/", APITarget: "/"}).Denied
		return denied != nil && denied.Code == "login-server-request"
	}
	for _, step := range []struct {
		name         string
		do           func()
		qa, staging  found
		qaAPI, login bool // known
	}{
		{"at first", func() {}, found{}, found{"at-start", true}, false, false},
		{"one is tried", func() { s.set("shop", none, qa) }, found{}, found{"at-start", true}, true, true},
		{"it is in use", func() { s.set("shop", qa, none) }, found{"shop", true}, found{"at-start", true}, true, true},
		{"a second one", func() { s.set("another", qa, none) }, found{}, found{"at-start", true}, true, true},
		{"the first moves", func() { s.set("shop", none, none) }, found{"another", true}, found{"at-start", true}, true, true},
		{"one is removed", func() { s.remove("at-start") }, found{"another", true}, found{}, true, true},
		{"all are removed", func() { s.remove("another") }, found{}, found{}, false, false},
	} {
		step.do()
		for host, want := range map[string]found{
			"api.qa.example": step.qa, "api.staging.example:8443": step.staging, "api.example": {"", true}, "api.staging.example": {}, "elsewhere.example": {},
		} {
			if account, ok := s.accountOf(host, nil); (found{account, ok}) != want {
				t.Errorf("%s: accountOf(%s): got %q, %t, want %+v", step.name, host, account, ok, want)
			}
		}
		if isAPI("api.qa.example:443") != step.qaAPI || isLogin("login.qa.example:443") != step.login || !isAPI("api.example:443") || !isLogin("login.example:443") {
			t.Errorf("%s: got QA's API known: %t, its login server: %t, want %t, %t, and the broker's always", step.name, isAPI("api.qa.example:443"), isLogin("login.qa.example:443"), step.qaAPI, step.login)
		}
	}
	if reported != 2 {
		t.Errorf("got %d servers reported at the end, want the broker's own two", reported)
	}
}

// A caller gets only its own accounts, whatever API it asks for.
func TestAPISelectsAnAccountOfTheCaller(t *testing.T) {
	t.Parallel()
	const production, qa = "api.example", "api.qa.example"
	own := tokensource.APIEnvironment{API: parseURL(t, "https://"+qa)}
	c := config.Config{API: parseURL(t, "https://"+production), Login: parseURL(t, "https://login.example/oauth/token")}
	exists := func(account string) bool { return account != "removed" }
	s := newAPIAndLoginServersByAccount(c, exists, map[string]tokensource.APIEnvironment{"qa-1": own, "qa-2": own})
	for _, test := range []struct {
		accounts []string // of the caller
		api      string
		want     string // empty: none
	}{
		{[]string{"qa-1"}, qa, "qa-1"},
		{[]string{"qa-1"}, production, ""},
		{[]string{"qa-1", "qa-2"}, qa, "qa-1"},
		{[]string{"shop-de"}, production, "shop-de"},
		{[]string{"shop-de"}, qa, ""},
		{[]string{"shop-de", "qa-2"}, qa, "qa-2"},
		{[]string{"qa-2", "shop-de"}, production, "shop-de"},
		{[]string{"shop-de", "qa-1", "qa-2"}, qa, ""},
		{[]string{"qa-1", "shop-de", "default"}, production, ""},
		{[]string{"shop-de", "default"}, production, "shop-de"},
		{[]string{"qa-1", "removed", "shop-de"}, production, "shop-de"},
		{[]string{}, qa, ""},
		{nil, qa, ""}, // two accounts have it
	} {
		if account, ok := s.accountOf(test.api, &access.Caller{Name: "app", Accounts: test.accounts}); account != test.want || ok != (test.want != "") {
			t.Errorf("%q for %s: got %q, %t, want %q", test.accounts, test.api, account, ok, test.want)
		}
	}
}

func policyOf(s *apiAndLoginServersByAccount) *access.Policy {
	return &access.Policy{APIAndLoginHosts: s.hosts}
}

func TestServerURLsAreThoseThatEnvironmentsName(t *testing.T) {
	t.Parallel()
	e := tokensource.APIEnvironment{API: parseURL(t, "https://api.qa.example"), TokenURL: "https://login.qa.example:8443/oauth/token"}
	apis, logins := ownServerURLs([]tokensource.APIEnvironment{{Audience: "qa"}, e})
	if got, want := hostsOf(apis), []string{"api.qa.example"}; !slices.Equal(got, want) {
		t.Errorf("got the APIs %q, want %q", got, want)
	}
	if got, want := hostsOf(logins), []string{"login.qa.example:8443"}; !slices.Equal(got, want) {
		t.Errorf("got the login servers %q, want %q", got, want)
	}
}
