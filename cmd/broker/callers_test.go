package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"etrusted-broker/internal/brokertest"
	"etrusted-broker/internal/fakeetrusted"
)

// startWithCallers starts a broker with callers in dir and the accounts shop-de and shop-at, and waits until it is ready.
func startWithCallers(t *testing.T, dir string, environ ...string) (*brokertest.Broker, *fakeetrusted.Server) {
	t.Helper()
	eTrusted := fakeetrusted.New(fakeetrusted.Options{})
	eTrusted.SetClient("id-de", "secret-de")
	eTrusted.SetClient("id-at", "secret-at")
	accounts := t.TempDir()
	addAccount(t, accounts, "shop-de", "id-de", "secret-de")
	addAccount(t, accounts, "shop-at", "id-at", "secret-at")
	b := startBroker(t, nil, brokertest.Environ(brokertest.Serve(t, eTrusted), append(environ, "ETRUSTED_ACCOUNTS_DIR="+accounts, "BROKER_CALLERS_DIR="+dir, "BROKER_ACCESS_LOG=true")...))
	b.WaitReady()
	brokertest.Eventually(t, "all accounts have a token", func() bool {
		status := brokertest.Get(t, b.Admin+"/status.json").Body
		return strings.Contains(status, `"token_valid": true`) && !strings.Contains(status, `"token_valid": false`)
	})
	return b, eTrusted
}

func TestCallersUseTheirOwnAccounts(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "CALLERS") // contains the placeholder of commands
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	addFiles(t, dir, "shop", "key", "shop-key-CANARY", "accounts", "shop-de\nshop-at", "allow", "GET /channels")
	addFiles(t, dir, "erp", "key", "erp-key-CANARY")
	b, eTrusted := startWithCallers(t, dir, "BROKER_LISTEN=0.0.0.0:0") // other machines may reach it, since it has callers
	b.URL = strings.Replace(b.URL, "[::]", "127.0.0.1", 1)
	for _, test := range []struct {
		key, path string
		status    int
		account   string // of which the API gets the token
	}{
		{"shop-key-CANARY", "/channels", 200, "id-de"},
		{"shop-key-CANARY", "/@shop-at/channels", 200, "id-at"},
		{"shop-key-CANARY", "/@default/channels", 403, ""},
		{"shop-key-CANARY", "/@no-such/channels", 403, ""},
		{"shop-key-CANARY", "/reviews", 403, ""},
		{"placeholder:shop-at:shop-key-CANARY", "/channels", 200, "id-at"},
		{"placeholder::shop-key-CANARY", "/channels", 200, "id-de"},
		{"placeholder:default:shop-key-CANARY", "/channels", 403, ""},
		{"erp-key-CANARY", "/channels", 200, fakeetrusted.DefaultClientID},
		{"erp-key-CANARY", "/reviews", 200, fakeetrusted.DefaultClientID},
		{"erp-key-CANARY", "/@shop-de/channels", 403, ""},
		{"placeholder:shop-de:erp-key-CANARY", "/channels", 403, ""},
		{"wrong-CANARY", "/channels", 401, ""},
		{"", "/@shop-de/channels", 401, ""},
	} {
		before := eTrusted.APIRequestCount()
		got := getWithKey(t, b.URL+test.path, test.key)
		if got.Status != test.status {
			t.Errorf("%s %s: got status %d, want %d: %s", test.key, test.path, got.Status, test.status, got.Body)
		}
		if sent := eTrusted.APIRequestCount() - before; sent != map[bool]int{true: 1}[test.account != ""] {
			t.Errorf("%s %s: got %d requests at the API, want one only with status 200", test.key, test.path, sent)
		} else if sent == 1 {
			if got := lastClient(t, eTrusted); got != test.account {
				t.Errorf("%s %s: got the token of %q, want that of %q", test.key, test.path, got, test.account)
			}
		}
	}

	b.WaitRecorded()
	metrics := brokertest.Get(t, b.Admin+"/metrics").Body
	for _, want := range []string{
		`etrusted_broker_requests_total{account="shop-de",caller="shop",code="200",method="GET"} 2`,
		`etrusted_broker_requests_total{account="default",caller="erp",code="200",method="GET"} 2`,
		`etrusted_broker_requests_denied_total{caller="shop",reason="account"} 3`,
		`etrusted_broker_requests_denied_total{caller="shop",reason="rule"} 1`,
		`etrusted_broker_requests_denied_total{caller="-",reason="key"} 2`,
	} {
		if !strings.Contains(metrics, want) {
			t.Errorf("got no %s in the metrics, want it", want)
		}
	}
	status := brokertest.Get(t, b.Admin+"/status.json").Body
	for _, want := range []string{`"caller": "shop"`, `"accounts": [`, filepath.Join(dir, "erp", "key")} {
		if !strings.Contains(status, want) {
			t.Errorf("got no %s in /status.json, want it", want)
		}
	}
	for _, message := range []string{"request", "requests refused; what follows count is about the last one"} {
		if !slices.ContainsFunc(b.Logs.Lines(message), func(line map[string]any) bool { return line["caller"] == "shop" }) {
			t.Errorf("got no line %q of the caller shop, want some", message)
		}
	}
	if output := fmt.Sprint(metrics, status, b.Logs, b.Stdout); strings.Contains(output, "CANARY") {
		t.Error("got a key in an output, want none")
	}
}

// lastClient returns the Client ID in the token of the last request at the API.
func lastClient(t *testing.T, eTrusted *fakeetrusted.Server) string {
	t.Helper()
	requests := eTrusted.APIRequests()
	parts := strings.Split(requests[len(requests)-1].Header.Get("Authorization"), ".")
	var claims struct {
		Client string `json:"azp"`
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err == nil {
		err = json.Unmarshal(payload, &claims)
	}
	if err != nil {
		t.Fatal(err)
	}
	return claims.Client
}

func TestCallerWithoutItsDefaultAccountGetsTheReason(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	addFiles(t, dir, "shop", "key", "shop-key", "accounts", "no-such\nshop-de")
	addFiles(t, dir, "erp", "key", "erp-key")
	b, _ := startWithCallers(t, dir, "ETRUSTED_CLIENT_ID=", "ETRUSTED_CLIENT_SECRET=")
	for _, test := range []struct{ key, path, code string }{
		{"shop-key", "/channels", "no-default-account"}, {"erp-key", "/channels", "no-default-account"}, {"shop-key", "/@no-such/channels", "unknown-account"},
	} {
		if got := getWithKey(t, b.URL+test.path, test.key); got.Status != http.StatusNotFound || !strings.Contains(got.Body, test.code) {
			t.Errorf("%s %s: got status %d, want 404 with %s: %s", test.key, test.path, got.Status, test.code, got.Body)
		}
	}
	if got := getWithKey(t, b.URL+"/@shop-de/channels", "shop-key"); got.Status != http.StatusOK {
		t.Errorf("with an account: got status %d, want 200: %s", got.Status, got.Body)
	}
}

func TestTokenRequestsOfCallers(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	addFiles(t, dir, "shop", "key", "shop-key", "accounts", "shop-de\nshop-at")
	addFiles(t, dir, "erp", "key", "erp-key")
	addFiles(t, dir, "old", "key", "old-key", "expires", "2026-01-01T00:00:00Z")
	b, _ := startWithCallers(t, dir)
	for _, test := range []struct {
		path, id, secret string
		status           int
		want             string
	}{
		{"/oauth/token", "any", "shop-key", 200, `"placeholder::shop-key"`},
		{"/oauth/token", "shop-at", "shop-key", 200, `"placeholder:shop-at:shop-key"`},
		{"/oauth/token", "default", "shop-key", 403, "account-not-allowed"},
		{"/@shop-at/oauth/token", "any", "shop-key", 200, `"placeholder:shop-at:shop-key"`},
		{"/@default/oauth/token", "any", "shop-key", 403, "account-not-allowed"},
		{"/@no-such/oauth/token", "any", "shop-key", 403, "account-not-allowed"},
		{"/oauth/token", "any", "wrong", 401, "invalid_client"},
		{"/@default/oauth/token", "any", "wrong", 401, "invalid_client"},
		{"/oauth/token", "any", "old-key", 401, "invalid_client"},
	} {
		form := url.Values{"grant_type": {"client_credentials"}, "client_id": {test.id}, "client_secret": {test.secret}}
		if got := brokertest.ReadResponse(brokertest.Client.PostForm(b.URL+test.path, form)); got.Status != test.status || !strings.Contains(got.Body, test.want) {
			t.Errorf("%+v: got status %d: %s", test, got.Status, got.Body)
		}
	}
	for bearer, want := range map[string]int{"shop-key": 200, "unknown": 200, "old-key": 200, "erp-key": 401, "placeholder::erp-key": 401} {
		request, err := http.NewRequest(http.MethodPost, b.URL+"/oauth/token", strings.NewReader("grant_type=client_credentials&client_secret=shop-key"))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		request.Header.Set("Authorization", "Bearer "+bearer)
		if got := brokertest.Do(request, nil); got.Status != want {
			t.Errorf("with the secret of one and the bearer token %s: got status %d, want %d: %s", bearer, got.Status, want, got.Body)
		}
	}
	if got := getWithKey(t, b.URL+"/channels", "old-key"); got.Status != 401 || !strings.Contains(got.Body, "caller-expired") {
		t.Errorf("with an expired caller's key: got status %d, want 401 with caller-expired: %s", got.Status, got.Body)
	}
}

// The client secret counts as credentials of the request too.
func TestTokenRequestsHaveOneCaller(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("only Linux says which user is at the other end of a Unix socket")
	}
	dir, socket := t.TempDir(), filepath.Join(t.TempDir(), "broker.sock")
	addFiles(t, dir, "local", "uid", fmt.Sprint(os.Getuid()), "key", "local-key")
	addFiles(t, dir, "erp", "key", "erp-key")
	startWithCallers(t, dir, "BROKER_LISTEN=unix://"+socket)
	client := &http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return net.Dial("unix", socket) }}}
	t.Cleanup(client.CloseIdleConnections)
	for secret, want := range map[string]string{
		"any": `200 {"access_token":"placeholder","`, "local-key": `200 {"access_token":"placeholder","`, "erp-key": `401 {"error":"invalid_client"`,
	} {
		for _, inHeader := range []bool{false, true} {
			form := "grant_type=client_credentials&client_id=x&client_secret=" + secret
			request, err := http.NewRequest(http.MethodPost, "http://localhost/oauth/token", strings.NewReader(form))
			if err != nil {
				t.Fatal(err)
			}
			if request.Header.Set("Content-Type", "application/x-www-form-urlencoded"); inHeader {
				request.SetBasicAuth("x", secret)
			}
			got := brokertest.ReadResponse(client.Do(request))
			if text := fmt.Sprint(got.Status, " ", got.Body); !strings.HasPrefix(text, want) {
				t.Errorf("secret %s, in the header %t: got %s, %v, want %s", secret, inHeader, text, got.Err, want)
			}
		}
	}
}

func TestIdentifiesCallersByCertificate(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	addFiles(t, dir, "shop", "certificate", "dns:shop.example")
	addFiles(t, dir, "erp", "key", "erp-key")
	m := startMTLSBroker(t, "BROKER_CALLERS_DIR="+dir)
	shop := m.dial(t, m.clientConfig(m.apps.ClientCertificate("shop.example")))
	checkServed(t, shop, "localhost", "with the certificate of a caller")
	other := m.dial(t, m.clientConfig(m.apps.ClientCertificate("other.example")))
	if got := other.Get("/channels", "localhost"); got.Status != 401 || !got.Close || !strings.Contains(got.Body, "client-unknown") {
		t.Errorf("with another certificate: got status %d with close %t, want 401 with true: %s", got.Status, got.Close, got.Body)
	}
	other = m.dial(t, m.clientConfig(m.apps.ClientCertificate("other.example")))
	if got := other.Get("/channels", "localhost", "Authorization: Bearer erp-key"); got.Status != http.StatusOK {
		t.Errorf("with another certificate and a key: got status %d, %v, want 200: %s", got.Status, got.Err, got.Body)
	}
	if got := shop.Get("/channels", "localhost", "Authorization: Bearer erp-key"); got.Status != 401 || !strings.Contains(got.Body, "several-callers") {
		t.Errorf("with the certificate of one and the key of another: got status %d, want 401: %s", got.Status, got.Body)
	}
	shop = m.dial(t, m.clientConfig(m.apps.ClientCertificate("shop.example")))
	checkServed(t, shop, "localhost", "again")
	m.WaitRecorded() // otherwise, the connection may close after this request
	if err := os.RemoveAll(filepath.Join(dir, "shop")); err != nil {
		t.Fatal(err)
	}
	brokertest.Eventually(t, "the broker removes the caller", func() bool { return len(m.Logs.Lines("caller removed")) == 1 })
	if got := shop.Get("/channels", "localhost"); got.Status != 401 || !got.Close || !strings.Contains(got.Body, "client-unknown") {
		t.Errorf("after the removal: got status %d with close %t, want 401 with true: %s", got.Status, got.Close, got.Body)
	}
}
