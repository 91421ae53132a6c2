package main

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"etrusted-broker/internal/brokertest"
	"etrusted-broker/internal/fakeetrusted"
)

// environment is a fake eTrusted with its own credentials and tokens. It fails the test if it gets another's.
type environment struct {
	*fakeetrusted.Server
	name, url string
	requests  atomic.Int64 // to the API
}

func startEnvironment(t *testing.T, name, host string) *environment {
	t.Helper()
	id, secret, audience := "canary__id-of-"+name, "canary-secret-of-"+name, "https://"+name+".example"
	e := &environment{Server: fakeetrusted.New(fakeetrusted.Options{ClientID: id, ClientSecret: secret, Audience: audience}), name: name}
	e.url = strings.Replace(brokertest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
		switch {
		case r.URL.Path == "/oauth/token":
			if r.FormValue("client_id") != id || r.FormValue("client_secret") != secret || r.FormValue("audience") != audience {
				t.Errorf("the login server of %s got %v, want only its own credentials", name, r.Form)
			}
			r.Body = io.NopCloser(strings.NewReader(r.PostForm.Encode()))
		case !slices.Contains(e.Tokens(), token):
			t.Errorf("the API of %s got the token %q, want only its own", name, token)
		default:
			e.requests.Add(1)
		}
		e.ServeHTTP(w, r)
	})), "127.0.0.1", host, 1)
	return e
}

// host is the API's.
func (e *environment) host() string { return strings.TrimPrefix(e.url, "http://") }

// files returns the files of an account in this environment: first its credentials, then where it is.
func (e *environment) files() []string {
	return []string{
		"client_id", "canary__id-of-" + e.name, "client_secret", "canary-secret-of-" + e.name, "audience", "https://" + e.name + ".example",
		"api_url", e.url, "token_url", e.url + "/oauth/token",
	}
}

// twoEnvironments is a broker for production with the account shop-qa in QA, and shop-de in production.
type twoEnvironments struct {
	*brokertest.Broker
	production, qa *environment
	dir            string // of accounts
	intercept      string // the address of the listener
	trusted        *x509.CertPool
}

// The production API is 127.0.0.1, and QA's localhost: SNI has no addresses.
func startTwoEnvironments(t *testing.T, environ ...string) *twoEnvironments {
	t.Helper()
	b := &twoEnvironments{
		production: startEnvironment(t, "production", "127.0.0.1"), qa: startEnvironment(t, "qa", "localhost"),
		dir: t.TempDir(),
	}
	caDir := t.TempDir()
	addFiles(t, b.dir, "shop-qa", b.qa.files()...)
	general := b.production.files()
	addFiles(t, b.dir, "shop-de", general[:4]...)
	b.Broker = startBroker(t, nil, brokertest.Environ(b.production.url, append([]string{
		"ETRUSTED_CLIENT_ID=" + general[1], "ETRUSTED_CLIENT_SECRET=" + general[3], "ETRUSTED_AUDIENCE=" + general[5],
		"ETRUSTED_ACCOUNTS_DIR=" + b.dir, "BROKER_INTERCEPT_CA_DIR=" + caDir, "BROKER_INTERCEPT_LISTEN=127.0.0.1:0",
	}, environ...)...))
	b.WaitReady()
	b.intercept, _ = b.Logs.Lines("listening")[0]["intercept"].(string)
	b.trusted = certPool(t, filepath.Join(caDir, "ca.crt"))
	brokertest.Eventually(t, "QA has a token", func() bool { return len(b.qa.Tokens()) > 0 })
	return b
}

// The ways in which an app reaches an API. Each sends a request with a header to a host and path.
func (b *twoEnvironments) ways(t *testing.T) map[string]func(host, path string, header ...string) brokertest.Response {
	secure := func(c *brokertest.RawConn, host string) *brokertest.RawConn {
		name, _, _ := strings.Cut(host, ":")
		c.StartTLS(&tls.Config{RootCAs: b.trusted, ServerName: name})
		return c
	}
	return map[string]func(host, path string, header ...string) brokertest.Response{
		"as a proxy": func(host, path string, header ...string) brokertest.Response {
			return b.Dial(t).Get("http://"+host+path, host, header...)
		},
		"through a tunnel": func(host, path string, header ...string) brokertest.Response {
			c := b.Dial(t)
			if got := c.Connect(host, "Proxy-Authorization: Basic eDprZXkta2V5LWtleS1rZXkta2V5"); got.Status != http.StatusOK {
				t.Fatalf("CONNECT %s: got status %d, %v, want 200", host, got.Status, got.Err)
			}
			return secure(c, host).Get(path, host, header...)
		},
		"by name": func(host, path string, header ...string) brokertest.Response {
			return secure(brokertest.DialRaw(t, b.intercept), host).Get(path, host, header...)
		},
	}
}

// Production and QA at once: each token only ever reaches its own API, and each pair its own login server, whichever way a request
// takes. The fakes fail the test otherwise.
func TestServesProductionAndQA(t *testing.T) {
	t.Parallel()
	const key, proxyKey = "Authorization: Bearer key-key-key-key-key", "Proxy-Authorization: Basic eDprZXkta2V5LWtleS1rZXkta2V5"
	b := startTwoEnvironments(t, "BROKER_ACCESS_KEY=key-key-key-key-key")
	placeholder := func(account string) string {
		token, _ := fetchToken(t, brokertest.Client, b.URL+"/oauth/token", url.Values{"client_id": {account}, "client_secret": {"key-key-key-key-key"}})
		return "Authorization: Bearer " + token
	}
	ofQA, ofProduction := placeholder("shop-qa"), placeholder("shop-de")
	check := func(how string, got brokertest.Response, before [2]int64, status int, reached *environment) {
		t.Helper()
		if got.Status != status {
			t.Errorf("%s: got %d, want %d: %s", how, got.Status, status, got.Body)
		}
		for i, e := range []*environment{b.production, b.qa} {
			if want := e == reached; (e.requests.Load() != before[i]) != want {
				t.Errorf("%s: reached %s: %t, want %t", how, e.name, !want, want)
			}
		}
		if reached == b.qa && strings.Contains(got.Body, b.qa.url) && !strings.Contains(how, b.qa.host()) {
			t.Errorf("%s: got a link to the API, want it rewritten: %s", how, got.Body)
		}
	}
	counts := func() [2]int64 { return [2]int64{b.production.requests.Load(), b.qa.requests.Load()} }

	for _, test := range []struct {
		path, header string
		reached      *environment
	}{
		{"/reviews?count=1", key, b.production}, {"/@shop-de/reviews?count=1", key, b.production}, {"/@shop-qa/reviews?count=1", key, b.qa},
		{"/reviews?count=1", ofQA, b.qa}, {"/reviews?count=1", ofProduction, b.production}, {"/@shop-qa/reviews?count=1", ofProduction, b.qa},
	} {
		before := counts()
		got := b.Dial(t).Get(test.path, "localhost", test.header)
		check(test.path+" "+test.header, got, before, 200, test.reached)
	}
	for way, request := range b.ways(t) {
		for _, test := range []struct {
			host, path, header string
			status             int
			reached            *environment
		}{
			{b.production.host(), "/channels", proxyKey, 200, b.production},
			{b.production.host(), "/@shop-de/channels", proxyKey, 200, b.production},
			{b.production.host(), "/@shop-qa/channels", proxyKey, 421, nil},
			{b.production.host(), "/channels", ofQA, 421, nil},
			{b.qa.host(), "/channels", proxyKey, 200, b.qa},
			{b.qa.host(), "/@shop-qa/channels", proxyKey, 200, b.qa},
			{b.qa.host(), "/@shop-de/channels", proxyKey, 421, nil},
			{b.qa.host(), "/channels", ofQA, 200, b.qa},
			{b.qa.host(), "/channels", ofProduction, 421, nil},
		} {
			if way == "by name" {
				if test.host == b.production.host() {
					continue // an address is no name
				}
				if test.header == proxyKey {
					test.header = key
				}
			}
			before := counts()
			check(way+" "+test.host+test.path+" "+test.header, request(test.host, test.path, test.header), before, test.status, test.reached)
		}
	}
	status := brokertest.Get(t, b.Admin+"/status.json").Body
	if strings.Count(status, `"api": "`+b.qa.url+`"`) != 1 || strings.Count(status, `"api": "http`) != 2 { // the other is in usage
		t.Errorf("got a status that does not name the API of the account in QA once:\n%s", status)
	}
}

// A caller that has only an account in QA reaches nothing else, whichever way its requests take.
func TestCallerOfQANeverReachesProduction(t *testing.T) {
	t.Parallel()
	const key, proxyKey = "Authorization: Bearer key-key-key-key-key", "Proxy-Authorization: Basic eDprZXkta2V5LWtleS1rZXkta2V5"
	callers := t.TempDir()
	addFiles(t, callers, "qa", "key", "key-key-key-key-key", "accounts", "shop-qa")
	b := startTwoEnvironments(t, "BROKER_CALLERS_DIR="+callers)
	type want struct {
		host, path string
		status     int
	}
	check := func(way string, w want, got brokertest.Response) {
		t.Helper()
		if got.Status != w.status {
			t.Errorf("%s, %s%s: got %d, want %d: %s", way, w.host, w.path, got.Status, w.status, got.Body)
		}
	}
	for _, w := range []want{{"localhost", "/channels", 200}, {"localhost", "/@shop-qa/channels", 200}, {"localhost", "/@shop-de/channels", 403}, {"localhost", "/@default/channels", 403}} {
		check("directly", w, b.Dial(t).Get(w.path, w.host, key))
	}
	for way, request := range b.ways(t) {
		for _, w := range []want{
			{b.qa.host(), "/channels", 200}, {b.qa.host(), "/@shop-qa/channels", 200}, {b.qa.host(), "/@shop-de/channels", 403},
			{b.production.host(), "/channels", 421}, {b.production.host(), "/@shop-qa/channels", 421}, {b.production.host(), "/@shop-de/channels", 403},
		} {
			switch {
			case way != "by name":
				check(way, w, request(w.host, w.path, proxyKey))
			case w.host == b.qa.host(): // the other is an address
				check(way, w, request(w.host, w.path, key))
			}
		}
	}
	if b.qa.requests.Load() == 0 || b.production.requests.Load() > 0 {
		t.Errorf("got %d requests to QA and %d to production, want some and none", b.qa.requests.Load(), b.production.requests.Load())
	}
}

// An account is moved from QA to production and back, with requests in flight all the time. None fails that is not for the other API.
func TestMovesAccountUnderLoad(t *testing.T) {
	t.Parallel()
	b := startTwoEnvironments(t, "BROKER_TOKEN_WAIT=20s")
	sets := t.TempDir()
	addFiles(t, sets, "qa", b.qa.files()...)
	addFiles(t, sets, "production", b.production.files()[:6]...)
	addFiles(t, sets, "malformed", append(b.qa.files()[:8], "token_url", "http://login.example/oauth/token")...)
	move := func(set string) {
		t.Helper()
		next := filepath.Join(b.dir, ".next")
		if err := os.Symlink(filepath.Join(sets, set), next); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(next, filepath.Join(b.dir, "moving")); err != nil {
			t.Fatal(err)
		}
	}
	move("qa")
	brokertest.Eventually(t, "the account is served", func() bool { return brokertest.Get(t, b.URL+"/@moving/channels").Status == http.StatusOK })

	done := make(chan struct{})
	var clients sync.WaitGroup
	for _, target := range []string{"/@moving/channels", "http://" + b.qa.host() + "/@moving/channels", "http://" + b.production.host() + "/@moving/channels", "/channels"} {
		clients.Go(func() {
			allowed := []int{http.StatusOK}
			if strings.HasPrefix(target, "http") {
				allowed = append(allowed, http.StatusMisdirectedRequest)
			}
			for {
				select {
				case <-done:
					return
				default:
				}
				c := b.Dial(t)
				if got := c.Get(target, "localhost"); !slices.Contains(allowed, got.Status) {
					t.Errorf("%s: got %d, %v, want one of %v: %s", target, got.Status, got.Err, allowed, got.Body)
				}
				_ = c.Close()
			}
		})
	}
	for _, step := range []struct {
		set     string
		reached *environment
		log     string
	}{
		{"production", b.production, ""}, {"malformed", b.production, "token_url must start with https://"}, {"qa", b.qa, ""},
	} {
		move(step.set)
		if step.log != "" {
			brokertest.Eventually(t, "the malformed file is reported", func() bool { return strings.Contains(b.Logs.String(), filepath.Join(b.dir, "moving", step.log)) })
		}
		brokertest.Eventually(t, "requests reach "+step.reached.name, func() bool {
			before := step.reached.requests.Load()
			c := b.Dial(t)
			defer func() { _ = c.Close() }()
			return c.Get("/@moving/channels", "localhost").Status == http.StatusOK && step.reached.requests.Load() > before &&
				c.Get("http://"+step.reached.host()+"/@moving/channels", "localhost").Status == http.StatusOK
		})
	}
	close(done)
	clients.Wait()
	if strings.Contains(b.Logs.String(), "canary") {
		t.Errorf("got a secret in the log:\n%s", b.Logs)
	}
}

// The CA was made before the account came. Its hosts are not intercepted, and never pass through; a new CA is for them too.
func TestWarnsOfHostsOutsideTheCA(t *testing.T) {
	t.Parallel()
	production := startEnvironment(t, "production", "127.0.0.1")
	dir, caDir := t.TempDir(), t.TempDir()
	general := production.files()
	environ := brokertest.Environ(production.url, "ETRUSTED_CLIENT_ID="+general[1], "ETRUSTED_CLIENT_SECRET="+general[3],
		"ETRUSTED_AUDIENCE="+general[5], "ETRUSTED_ACCOUNTS_DIR="+dir, "BROKER_INTERCEPT_CA_DIR="+caDir, "BROKER_PASS_HOSTS=*")
	const warning = "the CA in BROKER_INTERCEPT_CA_DIR is not for the host of an account, so connections to it are not intercepted: remove ca.crt and ca.key, restart the broker, and make the apps trust the new CA (see the command ca)"
	connect := func(b *brokertest.Broker, host string) int { return b.Dial(t).Connect(host).Status }
	hosts := func(b *brokertest.Broker) (warned []string) {
		for _, line := range b.Logs.Lines(warning) {
			host, _ := line["host"].(string)
			warned = append(warned, host)
		}
		slices.Sort(warned)
		return warned
	}
	b := startBroker(t, nil, environ)
	addFiles(t, dir, "shop-qa", "client_id", "id", "client_secret", "secret", "api_url", "https://api.qa.invalid", "token_url", "https://login.qa.invalid/oauth/token")
	want := []string{"api.qa.invalid", "login.qa.invalid"}
	brokertest.Eventually(t, "the broker warns of both hosts", func() bool { return slices.Equal(hosts(b), want) })
	if got := connect(b, "api.qa.invalid:443"); got != http.StatusForbidden {
		t.Errorf("CONNECT to a host outside the CA: got %d, want 403", got)
	}
	if got := brokertest.Get(t, b.URL+"/channels").Status; got != http.StatusOK {
		t.Errorf("the other account: got %d, want 200", got)
	}
	b.Stop()

	b = startBroker(t, nil, environ)
	brokertest.Eventually(t, "the broker warns at start", func() bool { return slices.Equal(hosts(b), want) })
	b.Stop()

	if err := os.RemoveAll(filepath.Join(caDir, "ca.key")); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(caDir, "ca.crt")); err != nil {
		t.Fatal(err)
	}
	if code, out, err := invoke([]string{"ca"}, environ...); code != exitOK {
		t.Errorf("broker ca: got exit code %d: %s%s", code, out, err)
	}
	b = startBroker(t, nil, environ)
	if got := connect(b, "api.qa.invalid:443"); got != http.StatusOK || len(hosts(b)) > 0 {
		t.Errorf("with a new CA: got %d and warnings for %v, want 200 and none", got, hosts(b))
	}
	if err := os.RemoveAll(filepath.Join(dir, "shop-qa")); err != nil {
		t.Fatal(err)
	}
	brokertest.Eventually(t, "the host is no API any more", func() bool { return connect(b, "api.qa.invalid:443") == http.StatusBadGateway }) // it passes through
	b.Stop()
	b = startBroker(t, nil, environ) // the CA is for more hosts than there are
	b.Stop()
}

// BROKER_UPSTREAM_RESOLVER is asked for the servers of accounts too: in the hosts file, localhost is the broker's machine.
func TestResolverLeadsToServersOfAccounts(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.2:0")
	if err != nil {
		t.Skip("this system has no 127.0.0.2:", err)
	}
	qa := &http.Server{Handler: fakeetrusted.New(fakeetrusted.Options{}), ReadHeaderTimeout: brokertest.Timeout}
	go func() { _ = qa.Serve(l) }()
	t.Cleanup(func() { _ = qa.Close() })
	_, port, _ := net.SplitHostPort(l.Addr().String())
	dir := t.TempDir()
	b := startBroker(t, nil, brokertest.EnvironWithoutServers("ETRUSTED_ACCOUNTS_DIR="+dir, "BROKER_UPSTREAM_RESOLVER="+brokertest.ServeDNS(t, "127.0.0.2")))
	addFiles(t, dir, "shop-qa", "client_id", fakeetrusted.DefaultClientID, "client_secret", fakeetrusted.DefaultClientSecret,
		"api_url", "http://localhost:"+port, "token_url", "http://localhost:"+port+"/oauth/token")
	brokertest.Eventually(t, "the account in QA is served", func() bool { return brokertest.Get(t, b.URL+"/@shop-qa/channels").Status == http.StatusOK })
}

// A hosts entry that leads QA's API to the broker is reported, as for the broker's own API.
func TestWarnsIfAnAccountsAPIIsTheBroker(t *testing.T) {
	t.Parallel()
	login := brokertest.Serve(t, fakeetrusted.New(fakeetrusted.Options{}))
	own, dir := freeAddress(t), t.TempDir()
	b := startBroker(t, nil, brokertest.Environ(login, "ETRUSTED_ACCOUNTS_DIR="+dir, "BROKER_INTERCEPT_CA_DIR="+t.TempDir(), "BROKER_INTERCEPT_LISTEN="+own))
	addFiles(t, dir, "shop-qa", "client_id", "id", "client_secret", "secret", "api_url", "https://localhost:"+portOf(t, own))
	brokertest.Eventually(t, "the loop is reported", func() bool { return strings.Contains(b.Logs.String(), "BROKER_UPSTREAM_RESOLVER") })
}
