package proxy_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"etrusted-broker/proxy"
	"etrusted-broker/proxy/access"
)

// environment is an API that fails the test if it gets anything but its own token.
type environment struct {
	name, host string
	api        *url.URL
	token      apiToken
	requests   atomic.Int64
	refuses    atomic.Bool // it answers 401
}

// apiToken is a token and the API that it is for.
type apiToken struct {
	authorization string
	api           *url.URL
}

func startEnvironment(t *testing.T, name string) *environment {
	t.Helper()
	e := &environment{name: name}
	own := "Bearer canary-of-" + name
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		e.requests.Add(1)
		if got := r.Header.Get("Authorization"); got != own || r.Host != e.host {
			t.Errorf("%s: got %q and the Host %s, want only its own token and %s", name, got, r.Host, e.host)
		}
		if e.refuses.Load() {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, `{"name":%q,"next":"http://%s/next"}`, name, e.host)
	}))
	t.Cleanup(server.Close)
	var err error
	if e.api, err = url.Parse(server.URL); err != nil {
		t.Fatal(err)
	}
	e.host, e.token = e.api.Host, apiToken{own, e.api}
	return e
}

// movedTokens is the TokenSource of an account that may be moved to another environment at any time.
type movedTokens struct {
	current atomic.Pointer[apiToken]
	next    apiToken // that of WaitNewer
}

func (m *movedTokens) Current() (string, *url.URL, bool) {
	token := m.current.Load()
	return token.authorization, token.api, true
}

func (m *movedTokens) Wait(context.Context) (string, *url.URL, error) {
	return "", nil, errors.New("there is always a token")
}

func (m *movedTokens) WaitNewer(context.Context, string) (string, *url.URL, error) {
	return m.next.authorization, m.next.api, nil
}

func (m *movedTokens) Invalidate(string) bool { return true }
func (m *movedTokens) MarkAccepted(string)    {}

func inEnvironment(e *environment) *movedTokens {
	m := new(movedTokens)
	m.current.Store(&e.token)
	return m
}

// withEnvironments configures a broker for production with the accounts shop-qa in QA, and staging-1 and staging-2 in staging.
func withEnvironments(production, qa, staging *environment) func(*setup) {
	return func(s *setup) {
		withLinkRewriting(s)
		s.Tokens = accounts{
			"": inEnvironment(production), "shop-de": inEnvironment(production), "shop-qa": inEnvironment(qa),
			"staging-1": inEnvironment(staging), "staging-2": inEnvironment(staging),
		}.tokens
		s.NewUpstreamClient = func(api *url.URL) proxy.RoundTripper { return newClient(api) }
		s.AccountOf = func(host string, _ *access.Caller) (string, bool) {
			switch host {
			case production.host:
				return "", true
			case qa.host:
				return "shop-qa", true
			}
			return "", false
		}
		s.Policy = &access.Policy{APIAndLoginHosts: access.NewAPIAndLoginHosts([]string{production.host, qa.host, staging.host}, nil)}
	}
}

// A request goes to the API of its account, and its links come back to the broker. One that names an API by its host goes there or
// nowhere.
func TestRequestReachesOnlyTheAPIOfItsAccount(t *testing.T) {
	production, qa, staging := startEnvironment(t, "production"), startEnvironment(t, "qa"), startEnvironment(t, "staging")
	b := start(t, production.api.String(), withEnvironments(production, qa, staging))
	const broker = "localhost"
	for _, test := range []struct {
		target, host string
		status       int
		reached      *environment
		next         string // the link in the response
	}{
		{"/x", broker, 200, production, "http://localhost/next"},
		{"/@shop-de/x", broker, 200, production, "http://localhost/@shop-de/next"},
		{"/@shop-qa/x", broker, 200, qa, "http://localhost/@shop-qa/next"},
		{"/@staging-1/x", broker, 200, staging, "http://localhost/@staging-1/next"},
		{"http://localhost/@shop-qa/x", broker, 200, qa, "http://localhost/@shop-qa/next"},

		{"http://" + production.host + "/x", broker, 200, production, "http://" + production.host + "/next"},
		{"http://" + qa.host + "/x", broker, 200, qa, "http://" + qa.host + "/next"},
		{"http://" + qa.host + "/@shop-qa/x", broker, 200, qa, "http://" + qa.host + "/@shop-qa/next"},
		{"http://" + qa.host + "/x", production.host, 200, qa, "http://" + qa.host + "/next"},
		{"http://" + qa.host + "/@shop-de/x", broker, 421, nil, ""},
		{"http://" + qa.host + "/@staging-1/x", broker, 421, nil, ""},
		{"http://" + production.host + "/@shop-qa/x", broker, 421, nil, ""},
		{"http://" + staging.host + "/x", broker, 421, nil, ""}, // two accounts have it
		{"http://" + staging.host + "/@staging-2/x", broker, 200, staging, "http://" + staging.host + "/@staging-2/next"},
	} {
		before := [3]int64{production.requests.Load(), qa.requests.Load(), staging.requests.Load()}
		c := b.dial(t)
		c.send("GET ", test.target, " HTTP/1.1\r\nHost: ", test.host, "\r\n\r\n")
		got := c.result("GET")
		if got.status != test.status || test.reached == nil && got.header.Get("Proxy-Status") == "" {
			t.Errorf("%s: got %d %s, want %d", test.target, got.status, got.body, test.status)
		}
		for i, e := range []*environment{production, qa, staging} {
			want := int64(0)
			if e == test.reached {
				want = 1
			}
			if n := e.requests.Load() - before[i]; n != want {
				t.Errorf("%s: %s got %d requests, want %d", test.target, e.name, n, want)
			}
		}
		if want := `"next":"` + test.next + `"`; test.reached != nil && !strings.Contains(got.body, want) {
			t.Errorf("%s: got %s, want %s", test.target, got.body, want)
		}
	}
}

// The placeholder token selects the account, as the path does.
func TestPlaceholderTokenOfOtherEnvironmentIsRefused(t *testing.T) {
	production, qa, staging := startEnvironment(t, "production"), startEnvironment(t, "qa"), startEnvironment(t, "staging")
	b := start(t, production.api.String(), withTokenEndpoint, withEnvironments(production, qa, staging))
	for target, want := range map[string]int{"/x": 200, "http://" + qa.host + "/x": 200, "http://" + production.host + "/x": 421} {
		c := b.dial(t)
		c.send("GET ", target, " HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer placeholder:shop-qa\r\n\r\n")
		if got := c.result("GET"); got.status != want {
			t.Errorf("%s: got %d %s, want %d", target, got.status, got.body, want)
		}
	}
	if n := production.requests.Load() + staging.requests.Load(); n != 0 || qa.requests.Load() != 2 {
		t.Errorf("got %d requests in other environments and %d in QA, want 0 and 2", n, qa.requests.Load())
	}
}

// The old API refuses the token while the account is moved. The newer token is not sent to the old API, nor the request to the new.
func TestRetryStaysInItsEnvironment(t *testing.T) {
	production, qa, staging := startEnvironment(t, "production"), startEnvironment(t, "qa"), startEnvironment(t, "staging")
	for _, from := range []*environment{production, qa} {
		moving := inEnvironment(from)
		if moving.next = production.token; from == production {
			moving.next = qa.token
		}
		b := start(t, production.api.String(), withEnvironments(production, qa, staging), func(s *setup) {
			s.Retry, s.RetryBuffer = true, 1000
			s.Tokens = accounts{"": moving}.tokens
		})
		from.refuses.Store(true)
		if got := b.get(t, "/x"); got.status != http.StatusUnauthorized {
			t.Errorf("from %s: got %d, want the 401 of the API", from.name, got.status)
		}
		if got := b.record(t).Retry; got != proxy.RetryNoToken {
			t.Errorf("from %s: got the outcome %q, want %q", from.name, got, proxy.RetryNoToken)
		}
		from.refuses.Store(false)
	}
	if production.requests.Load() != 1 || qa.requests.Load() != 1 {
		t.Errorf("got %d and %d requests, want one each", production.requests.Load(), qa.requests.Load())
	}
}

// An account is moved all the time, with requests in flight. The APIs fail the test if they get another's token.
func TestMovedAccountUnderLoad(t *testing.T) {
	production, qa, staging := startEnvironment(t, "production"), startEnvironment(t, "qa"), startEnvironment(t, "staging")
	moving := inEnvironment(production)
	b := start(t, production.api.String(), withEnvironments(production, qa, staging), func(s *setup) {
		s.Tokens = accounts{"": moving, "shop-qa": moving}.tokens
	})
	var clients sync.WaitGroup
	targets := []string{"/x", "http://" + qa.host + "/x", "http://" + production.host + "/x"}
	reached := []string{"", `"name":"qa"`, `"name":"production"`}
	for i := range 6 {
		clients.Go(func() {
			c := b.dial(t)
			for range 100 {
				moving.current.Store(&[]*environment{production, qa, staging}[i%3].token)
				c.send("POST ", targets[i%3], " HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3000\r\n\r\n", long[:3000])
				got := c.result("POST")
				if got.status != 421 && (got.status != 200 || !strings.Contains(got.body, reached[i%3])) {
					t.Errorf("%s: got %d %s, want a response of this API, or 421", targets[i%3], got.status, got.body)
				}
			}
		})
	}
	clients.Wait()
	if production.requests.Load() == 0 || qa.requests.Load() == 0 || staging.requests.Load() == 0 {
		t.Errorf("got %d, %d and %d requests, want some in each environment", production.requests.Load(), qa.requests.Load(), staging.requests.Load())
	}
}
