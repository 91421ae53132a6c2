package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"etrusted-broker/internal/brokertest"
	"etrusted-broker/internal/fakeetrusted"
)

// misledApp is an app whose name resolution leads every host to BROKER_INTERCEPT_LISTEN, and that trusts the broker's CA.
type misledApp struct {
	*brokertest.Broker
	eTrusted *fakeetrusted.Server
	address  string // of the listener
	client   *http.Client
}

// The API is localhost, since the broker sends a token over plain HTTP only on this machine, and SNI has no IP addresses.
const (
	interceptedAPI   = "https://localhost"
	interceptedLogin = "https://login.example"
)

// startMisledApp starts a broker between an app and a fake API. The fake has the login server too, unless environ says otherwise.
func startMisledApp(t *testing.T, environ ...string) *misledApp {
	t.Helper()
	a := &misledApp{eTrusted: fakeetrusted.New(fakeetrusted.Options{})}
	upstream := strings.Replace(brokertest.Serve(t, a.eTrusted), "127.0.0.1", "localhost", 1)
	dir := t.TempDir()
	a.Broker = startBroker(t, nil, brokertest.Environ(upstream, append([]string{"BROKER_INTERCEPT_CA_DIR=" + dir, "BROKER_INTERCEPT_LISTEN=127.0.0.1:0"}, environ...)...))
	a.address, _ = a.Logs.Lines("listening")[0]["intercept"].(string)
	transport := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", a.address)
		},
		TLSClientConfig: &tls.Config{RootCAs: certPool(t, filepath.Join(dir, "ca.crt"))},
	}
	t.Cleanup(transport.CloseIdleConnections)
	a.client = &http.Client{Transport: transport, Timeout: brokertest.Timeout}
	return a
}

func (a *misledApp) do(t *testing.T, method, target, host string, header ...string) brokertest.Response {
	t.Helper()
	request, err := http.NewRequest(method, target, nil)
	if err != nil {
		t.Fatal(err)
	}
	if host != "" {
		request.Host = host
	}
	for i := 0; i < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	return brokertest.ReadResponse(a.client.Do(request))
}

// token asks the login server for a token, as an app does, and returns it.
func (a *misledApp) token(t *testing.T, target, secret string) string {
	t.Helper()
	token, _ := fetchToken(t, a.client, target, url.Values{"client_id": {"x"}, "client_secret": {secret}})
	return token
}

// An app with hard-coded https URLs needs only a hosts entry and the CA.
func TestInterceptsByName(t *testing.T) {
	t.Parallel()
	a := startMisledApp(t)
	a.WaitReady()
	before := a.eTrusted.TokenRequestCount()
	token := a.token(t, interceptedAPI+"/oauth/token", "old secret")
	if token == "" || a.eTrusted.TokenRequestCount() != before {
		t.Errorf("got the token %q, want a placeholder token without a token request", token)
	}
	page, pages := interceptedAPI+"/reviews?count=10", 0
	for ; page != ""; pages++ {
		got := a.do(t, "GET", page, "", "Authorization", "Bearer "+token)
		var body struct {
			Paging struct {
				Links struct{ Next string }
			}
		}
		if err := json.Unmarshal([]byte(got.Body), &body); err != nil || got.Status != http.StatusOK {
			t.Fatalf("page %d: got %d, %v: %s", pages, got.Status, err, got.Body)
		}
		if page = body.Paging.Links.Next; page != "" && !strings.HasPrefix(page, interceptedAPI+"/reviews?") {
			t.Fatalf("got a link to %s, want one to the URL that the app used", page)
		}
	}
	if pages < 2 {
		t.Errorf("got %d pages, want several", pages)
	}
	if code := a.Stop(); code != exitOK {
		t.Errorf("got exit code %d, want %d", code, exitOK)
	}
}

func TestInterceptedRequestsObeyThePolicy(t *testing.T) {
	t.Parallel()
	a := startMisledApp(t, "ETRUSTED_TOKEN_URL="+interceptedLogin+"/oauth/token", "BROKER_ALLOW=GET /channels", "BROKER_TOKEN_WAIT=0s")
	if token := a.token(t, interceptedLogin+"/oauth/token", "x"); token == "" {
		t.Error("got no placeholder token at the login server's name")
	}
	if token := a.token(t, interceptedLogin+"/auth/realms/business/protocol/openid-connect/token", "x"); token == "" {
		t.Error("got no placeholder token at the older path")
	}
	for _, test := range []struct {
		rule, method, url, host string
		header                  []string
		status                  int
	}{
		{"SNI and Host differ", "GET", interceptedAPI + "/channels", "login.example", nil, 421},
		{"a Host of the broker", "GET", interceptedAPI + "/channels", "127.0.0.1", nil, 421},
		{"any port of the listener", "POST", interceptedLogin + "/userinfo", "login.example:8443", nil, 404},
		{"what is no token request does not exist there", "GET", interceptedLogin + "/channels", "", nil, 404},
		{"a GET is no token request", "GET", interceptedLogin + "/oauth/token", "", nil, 404},
		{"a web page", "GET", interceptedAPI + "/channels", "", []string{"Origin", "https://evil.example"}, 403},
		{"not in the allow list", "GET", interceptedAPI + "/reviews", "", nil, 403},
		{"no token yet", "GET", interceptedAPI + "/channels", "", nil, 503},
	} {
		if got := a.do(t, test.method, test.url, test.host, test.header...); got.Status != test.status {
			t.Errorf("%s: got %d, want %d: %s", test.rule, got.Status, test.status, got.Body)
		}
	}
	if got := a.eTrusted.APIRequestCount(); got != 0 {
		t.Errorf("got %d requests at the API, want none", got)
	}
}

// The app can send the access key as its client secret.
func TestInterceptedAppNeedsTheAccessKey(t *testing.T) {
	t.Parallel()
	a := startMisledApp(t, "BROKER_ACCESS_KEY=the-key-0815-4711")
	a.WaitReady()
	if got := a.do(t, "GET", interceptedAPI+"/channels", ""); got.Status != http.StatusUnauthorized {
		t.Errorf("without the key: got %d, want 401", got.Status)
	}
	if token := a.token(t, interceptedAPI+"/oauth/token", "wrong"); token != "" {
		t.Errorf("with a wrong key: got the token %q, want none", token)
	}
	token := a.token(t, interceptedAPI+"/oauth/token", "the-key-0815-4711")
	if got := a.do(t, "GET", interceptedAPI+"/channels", "", "Authorization", "Bearer "+token); got.Status != http.StatusOK {
		t.Errorf("with the key: got %d, want 200: %s", got.Status, got.Body)
	}
}

// DNS rebinding and port scans meet a TLS alert.
func TestRefusesTLSForOtherNames(t *testing.T) {
	t.Parallel()
	a := startMisledApp(t)
	for _, name := range []string{"", "evil.example", "localhost.evil.example"} {
		conn, err := net.Dial("tcp", a.address)
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(brokertest.Timeout))
		err = tls.Client(conn, &tls.Config{ServerName: name, InsecureSkipVerify: true}).Handshake()
		_ = conn.Close()
		if err == nil || !strings.Contains(err.Error(), "unrecognized name") {
			t.Errorf("%q: got %v, want the alert unrecognized_name", name, err)
		}
	}
	brokertest.Eventually(t, "a log line", func() bool {
		return len(a.Logs.Lines("a TLS client at BROKER_INTERCEPT_LISTEN asked for another host than the API and the login server, or for none: check what leads it there")) == 1
	})
	brokertest.Eventually(t, "3 failed handshakes in the metrics", func() bool {
		return strings.Contains(brokertest.Get(t, a.Admin+"/metrics").Body, `etrusted_broker_requests_denied_total{reason="handshake"} 3`)
	})
}

// A hosts entry that leads the app to the broker leads the broker to itself.
func TestBrokerDoesNotFindItself(t *testing.T) {
	t.Parallel()
	login := brokertest.Serve(t, fakeetrusted.New(fakeetrusted.Options{}))
	own := freeAddress(t)
	port := portOf(t, own)
	// A published port of a container: the address is not the broker's.
	forwarded := portOf(t, brokertest.ServeRaw(t, func(from net.Conn) {
		if to, err := net.Dial("tcp", own); err == nil {
			brokertest.Tunnel(from, to)
		}
	}))
	for _, test := range []struct {
		rule          string
		environ       []string
		status        int
		loggedAtStart bool
	}{
		{"the API's address is a listener", []string{"ETRUSTED_API_URL=https://localhost:" + port}, 502, true},
		{"the API's certificate is the broker's", []string{"ETRUSTED_API_URL=https://localhost:" + forwarded}, 502, false},
		{"the login server's address is a listener", []string{"ETRUSTED_TOKEN_URL=https://localhost:" + port + "/oauth/token", "BROKER_TOKEN_WAIT=2s"}, 503, false},
	} {
		t.Run(test.rule, func(t *testing.T) {
			b := startBroker(t, nil, brokertest.Environ(login, append(test.environ, "BROKER_INTERCEPT_CA_DIR="+t.TempDir(), "BROKER_INTERCEPT_LISTEN="+own)...))
			if test.status == http.StatusBadGateway {
				b.WaitReady()
			}
			got := brokertest.Get(t, b.URL+"/channels")
			if got.Status != test.status || !strings.Contains(got.Body, "BROKER_UPSTREAM_RESOLVER") || !strings.Contains(got.Body, "leads to a broker") {
				t.Errorf("got %d, want %d with a hint at BROKER_UPSTREAM_RESOLVER: %s", got.Status, test.status, got.Body)
			}
			if test.loggedAtStart && !strings.Contains(b.Logs.String(), "BROKER_UPSTREAM_RESOLVER") {
				t.Errorf("got no such line in the log:\n%s", b.Logs)
			}
			b.Stop()
		})
	}
}

// With BROKER_UPSTREAM_RESOLVER it finds the API past the hosts file, in which localhost is 127.0.0.1.
func TestResolverLeadsToTheAPI(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.2:0")
	if err != nil {
		t.Skip("this system has no 127.0.0.2:", err)
	}
	eTrusted := &http.Server{Handler: fakeetrusted.New(fakeetrusted.Options{}), ReadHeaderTimeout: brokertest.Timeout}
	go func() { _ = eTrusted.Serve(l) }()
	t.Cleanup(func() { _ = eTrusted.Close() })
	_, port, _ := net.SplitHostPort(l.Addr().String())
	b := startBroker(t, nil, brokertest.Environ("http://localhost:"+port,
		"BROKER_INTERCEPT_CA_DIR="+t.TempDir(), "BROKER_INTERCEPT_LISTEN=127.0.0.1:0",
		"BROKER_UPSTREAM_RESOLVER="+brokertest.ServeDNS(t, "127.0.0.2")))
	b.WaitReady()
	if got := brokertest.Get(t, b.URL+"/channels"); got.Status != http.StatusOK {
		t.Errorf("got %d, want 200: %s", got.Status, got.Body)
	}
}

func TestInterceptionIsValidated(t *testing.T) {
	t.Parallel()
	dir := "BROKER_INTERCEPT_CA_DIR=" + t.TempDir()
	for _, test := range []struct {
		environ []string
		want    string
	}{
		{[]string{"BROKER_INTERCEPT_LISTEN=127.0.0.1:0"}, "BROKER_INTERCEPT_LISTEN: needs BROKER_INTERCEPT_CA_DIR"},
		{[]string{dir, "BROKER_INTERCEPT_LISTEN=127.0.0.1"}, "BROKER_INTERCEPT_LISTEN: must be HOST:PORT"},
		{[]string{dir, "BROKER_INTERCEPT_LISTEN=0.0.0.0:0"}, "BROKER_INTERCEPT_LISTEN: would let other machines use the credentials"},
		{[]string{dir, "BROKER_INTERCEPT_LISTEN=127.0.0.1:0", "BROKER_TLS_CLIENT_CA_FILE=x"}, "BROKER_INTERCEPT_LISTEN: cannot be used with BROKER_TLS_CLIENT_CA_FILE"},
		{[]string{"BROKER_UPSTREAM_RESOLVER=dns.example"}, "BROKER_UPSTREAM_RESOLVER: must be the IP address of a DNS server"},
		{[]string{"BROKER_UPSTREAM_RESOLVER=192.0.2.53:0"}, "BROKER_UPSTREAM_RESOLVER: must be the IP address of a DNS server"},
	} {
		code, _, stderr := invoke([]string{"serve"}, brokertest.EnvironWithoutServers(test.environ...)...)
		if code != exitUsageOrConfig || !strings.Contains(stderr, test.want) {
			t.Errorf("%v: got exit code %d, want %d with %q:\n%s", test.environ, code, exitUsageOrConfig, test.want, stderr)
		}
	}
}
