package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"etrusted-broker/internal/brokertest"
	"etrusted-broker/internal/fakeetrusted"
)

// addCaller adds a caller to a directory of callers: complete, as a program that moves it into place does. files has names and
// contents by turns.
func addCaller(t *testing.T, dir, name string, files ...string) {
	t.Helper()
	next := t.TempDir()
	for i := 0; i < len(files); i += 2 {
		brokertest.ReplaceFile(t, filepath.Join(next, files[i]), []byte(files[i+1]+"\n"))
	}
	if err := os.Rename(next, filepath.Join(dir, name)); err != nil {
		t.Fatal(err)
	}
}

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
	addCaller(t, dir, "shop", "key", "shop-key-CANARY", "accounts", "shop-de\nshop-at", "allow", "GET /channels")
	addCaller(t, dir, "erp", "key", "erp-key-CANARY")
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
	addCaller(t, dir, "shop", "key", "shop-key", "accounts", "no-such\nshop-de")
	addCaller(t, dir, "erp", "key", "erp-key")
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
	addCaller(t, dir, "shop", "key", "shop-key", "accounts", "shop-de\nshop-at")
	addCaller(t, dir, "old", "key", "old-key", "expires", "2026-01-01T00:00:00Z")
	b, _ := startWithCallers(t, dir)
	for _, test := range []struct {
		path, id, secret string
		status           int
		want             string
	}{
		{"/oauth/token", "any", "shop-key", 200, `"placeholder::shop-key"`},
		{"/oauth/token", "shop-at", "shop-key", 200, `"placeholder:shop-at:shop-key"`},
		{"/oauth/token", "default", "shop-key", 200, `"placeholder::shop-key"`}, // not its account, so only a Client ID
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
	addCaller(t, dir, "local", "uid", fmt.Sprint(os.Getuid()), "key", "local-key")
	addCaller(t, dir, "erp", "key", "erp-key")
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

// Ten callers use the broker while others come, change and go. Not one of their requests may notice that.
func TestCallersChangeWithoutAffectingOthers(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for i := range 10 {
		addCaller(t, dir, fmt.Sprint("steady-", i), "key", fmt.Sprint("steady-key-", i))
	}
	b, _ := startWithCallers(t, dir, "BROKER_ACCESS_LOG=false")
	ctx, stop := context.WithCancel(context.Background())
	var load sync.WaitGroup
	for i := range 10 {
		load.Go(func() {
			for ctx.Err() == nil {
				if got := getWithKey(t, b.URL+"/channels", fmt.Sprint("steady-key-", i)); got.Status != http.StatusOK {
					t.Errorf("caller %d: got status %d, want 200: %s", i, got.Status, got.Body)
					return
				}
			}
		})
	}
	for round := range 3 {
		name, key := fmt.Sprint("guest-", round), fmt.Sprint("guest-key-", round)
		addCaller(t, dir, name, "key", key+"\nsecond-"+key)
		brokertest.Eventually(t, "the new caller may use the broker", func() bool { return getWithKey(t, b.URL+"/channels", key).Status == http.StatusOK })
		conn := b.Dial(t)
		if conn.Get("/channels", "localhost", "Authorization: Bearer "+key).Status != http.StatusOK {
			t.Error("the new caller, on a connection of its own: got a refusal, want 200")
		}
		if round == 0 {
			brokertest.ReplaceFile(t, filepath.Join(dir, name, "key"), []byte("second-"+key))
		} else if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
			t.Error(err)
		}
		removed, status := time.Now(), 0
		for status != http.StatusUnauthorized && time.Since(removed) < brokertest.Timeout {
			status = conn.Get("/channels", "localhost", "Authorization: Bearer "+key).Status
		}
		t.Logf("revoked after %v", time.Since(removed))
		if status != http.StatusUnauthorized {
			t.Errorf("round %d: got status %d on the open connection after the removal, want 401", round, status)
		}
	}
	stop()
	load.Wait()
	if metrics := brokertest.Get(t, b.Admin+"/metrics").Body; strings.Contains(metrics, `caller="guest-1"`) || !strings.Contains(metrics, `caller="steady-9"`) {
		t.Error("got series of a removed caller, or none of another, want those of callers that exist")
	}
}

func TestUnreadableCallersStayAsTheyWere(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "callers")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	addCaller(t, dir, "shop", "key", "shop-key")
	b, _ := startWithCallers(t, dir)
	if err := os.Rename(dir, dir+"-away"); err != nil {
		t.Fatal(err)
	}
	brokertest.Eventually(t, "the broker warns", func() bool { return len(b.Logs.Lines("cannot read the callers; keeping them as they were")) == 1 })
	if got := getWithKey(t, b.URL+"/channels", "shop-key"); got.Status != http.StatusOK {
		t.Errorf("got status %d, want 200: %s", got.Status, got.Body)
	}
}

// The kubelet replaces the link ..data, and then adds and removes the links that lead through it.
func TestCallersInProjectedVolume(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	swap := func(version string, files map[string]string) {
		t.Helper()
		for file, content := range files {
			path := filepath.Join(dir, version, file)
			if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		before, _ := os.Readlink(filepath.Join(dir, "..data"))
		if err := os.Symlink(version, filepath.Join(dir, "..data_tmp")); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")); err != nil {
			t.Fatal(err)
		}
		for _, caller := range []string{"shop", "erp"} {
			_ = os.Symlink("..data/"+caller, filepath.Join(dir, caller)) // it may exist
			if _, err := os.Stat(filepath.Join(dir, caller)); err != nil {
				_ = os.Remove(filepath.Join(dir, caller)) // its Secret was deleted
			}
		}
		if before != "" {
			_ = os.RemoveAll(filepath.Join(dir, before))
		}
	}
	swap("..1", map[string]string{"shop/key": "shop-key", "shop/allow": "GET /channels"})
	b, _ := startWithCallers(t, dir)
	status := func(key string) int { return getWithKey(t, b.URL+"/channels", key).Status }
	if status("shop-key") != http.StatusOK || status("erp-key") != http.StatusUnauthorized {
		t.Error("at first: want shop only")
	}
	swap("..2", map[string]string{"shop/key": "shop-key\nshop-key-2", "shop/allow": "GET /channels", "erp/key": "erp-key"})
	brokertest.Eventually(t, "an added Secret and an added key are used", func() bool { return status("erp-key") == http.StatusOK && status("shop-key-2") == http.StatusOK })
	if status("shop-key") != http.StatusOK {
		t.Error("got a refusal with the first key, want 200")
	}
	if got := getWithKey(t, b.URL+"/reviews", "shop-key").Status; got != http.StatusForbidden {
		t.Errorf("got status %d for what allow does not include, want 403", got)
	}
	swap("..3", map[string]string{"erp/key": "erp-key"})
	brokertest.Eventually(t, "the deleted Secret's caller is refused", func() bool {
		return status("shop-key") == http.StatusUnauthorized && status("shop-key-2") == http.StatusUnauthorized
	})
	if status("erp-key") != http.StatusOK {
		t.Error("got a refusal of the other caller, want 200")
	}
	swap("..4", map[string]string{"other": ""})
	brokertest.Eventually(t, "without any Secret, all are refused", func() bool { return status("erp-key") == http.StatusUnauthorized })
}

func TestCheckNamesProblemsOfCallers(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	addCaller(t, dir, "empty", "key", "")
	url := brokertest.Serve(t, fakeetrusted.New(fakeetrusted.Options{}))
	if _, stdout, stderr := ask([]string{"check"}, brokertest.Environ(url, "BROKER_CALLERS_DIR="+dir)...); !strings.Contains(stdout+stderr, "is empty; the caller is refused") {
		t.Errorf("got %s%s, want what is wrong with the caller", stdout, stderr)
	}
}

func TestWarnsOnceAboutEachProblemOfCallers(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	addCaller(t, dir, "shop", "key", "shop-key")
	if err := os.Chmod(filepath.Join(dir, "shop", "key"), 0o644); err != nil {
		t.Fatal(err)
	}
	addCaller(t, dir, "empty", "key", "")
	b, _ := startWithCallers(t, dir)
	for i := range 2 {
		addCaller(t, dir, fmt.Sprint("other-", i), "key", fmt.Sprint("other-key-", i))
		brokertest.Eventually(t, "the directory is read again", func() bool { return len(b.Logs.Lines("caller added")) == i+2 })
	}
	if got := len(b.Logs.Lines(`caller "empty": ` + filepath.Join(dir, "empty", "key") + " is empty; the caller is refused")); got != 1 {
		t.Errorf("got %d warnings about the empty file, want 1", got)
	}
	if got := len(b.Logs.Lines("others on this machine can read a secret file: run the command in repair")); got != 1 && runtime.GOOS != "windows" {
		t.Errorf("got %d warnings about the readable file, want 1", got)
	}
}

func TestWarnsOnceAboutShortKeysOfCaller(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	addCaller(t, dir, "weak", "key", "a-long-key-0123456789\n0123456789abcde")
	addCaller(t, dir, "strong", "key", "0123456789abcdef")
	b, _ := startWithCallers(t, dir)
	addCaller(t, dir, "other", "key", "another-key-0123456789")
	brokertest.Eventually(t, "the directory is read again", func() bool { return len(b.Logs.Lines("caller added")) == 3 })
	lines := b.Logs.Lines("a caller's key is short and could be guessed: create one with 'openssl rand -hex 32'")
	if len(lines) != 1 || lines[0]["caller"] != "weak" {
		t.Errorf("got the warnings %v, want one about the caller weak", lines)
	}
}

func TestCheckWarnsOfReadableKeysOfCallers(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("there, files have no mode")
	}
	dir := t.TempDir()
	addCaller(t, dir, "shop", "key", "shop-key")
	addCaller(t, dir, "by-user", "uid", "1000")
	key := filepath.Join(dir, "shop", "key")
	if err := os.Chmod(key, 0o644); err != nil {
		t.Fatal(err)
	}
	url := brokertest.Serve(t, fakeetrusted.New(fakeetrusted.Options{}))
	code, stdout, stderr := ask([]string{"check"}, brokertest.Environ(url, "BROKER_CALLERS_DIR="+dir)...)
	if want := key + " is readable for others on this machine"; code != exitOK || !strings.Contains(stdout, want) || strings.Contains(stdout, "by-user") {
		t.Errorf("got exit code %d and %s%s, want %d and %q", code, stdout, stderr, exitOK, want)
	}
}

func TestRefusesImpossibleCallers(t *testing.T) {
	t.Parallel()
	same := t.TempDir()
	addCaller(t, same, "a", "key", "CANARY-same")
	addCaller(t, same, "b", "key", "CANARY-same")
	for _, test := range []struct{ variables, want string }{
		{"BROKER_CALLERS_DIR=" + same, "have a key, certificate or user in common"},
		{"BROKER_CALLERS_DIR=/no/such/directory", "BROKER_CALLERS_DIR: directory not found"},
		{"BROKER_CALLERS_DIR=" + t.TempDir() + " BROKER_ACCESS_KEY=CANARY-key-0123456789", "cannot be used with an access key"},
		{"BROKER_CALLERS_DIR=" + t.TempDir() + " BROKER_ACCESS_KEY_FILE=" + filepath.Join(same, "a", "key"), "cannot be used with an access key"},
	} {
		code, _, stderr := invoke([]string{"serve"}, brokertest.EnvironWithoutServers(strings.Fields(test.variables)...)...)
		if code != exitConfig || !strings.Contains(stderr, test.want) || strings.Contains(stderr, "CANARY") {
			t.Errorf("%s: got exit code %d and %s, want %d and %q", test.variables, code, stderr, exitConfig, test.want)
		}
	}
}

func TestIdentifiesCallersByCertificate(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	addCaller(t, dir, "shop", "certificate", "dns:shop.example")
	addCaller(t, dir, "erp", "key", "erp-key")
	m := startMTLSBroker(t, "BROKER_CALLERS_DIR="+dir)
	shop := m.dial(t, m.clientConfig(m.apps.ClientCertificate("shop.example")))
	checkServed(t, shop, "localhost", "with the certificate of a caller")
	other := m.dial(t, m.clientConfig(m.apps.ClientCertificate("other.example")))
	if got := other.Get("/channels", "localhost"); got.Status != 401 || !closes(got) || !strings.Contains(got.Body, "client-unknown") {
		t.Errorf("with another certificate: got status %d with close %t, want 401 with true: %s", got.Status, closes(got), got.Body)
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
	if err := os.RemoveAll(filepath.Join(dir, "shop")); err != nil {
		t.Fatal(err)
	}
	brokertest.Eventually(t, "the broker removes the caller", func() bool { return len(m.Logs.Lines("caller removed")) == 1 })
	if got := shop.Get("/channels", "localhost"); got.Status != 401 || !closes(got) || !strings.Contains(got.Body, "client-unknown") {
		t.Errorf("after the removal: got status %d with close %t, want 401 with true: %s", got.Status, closes(got), got.Body)
	}
}

// A connection that a certificate or a user identifies is not of use to anyone once its caller is removed.
func TestClosesConnectionOfRemovedCallerAfterRequestInFlight(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("only Linux says which user is at the other end of a Unix socket")
	}
	arrived, release := make(chan bool, 1), make(chan bool)
	eTrusted := fakeetrusted.New(fakeetrusted.Options{})
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/slow") {
			w.WriteHeader(http.StatusOK)
			w.(http.Flusher).Flush()
			arrived <- true
			<-release
			return
		}
		eTrusted.ServeHTTP(w, r)
	}))
	t.Cleanup(api.Close)
	dir, socket := t.TempDir(), filepath.Join(t.TempDir(), "broker.sock")
	addCaller(t, dir, "local", "uid", fmt.Sprint(os.Getuid()))
	b := startBroker(t, nil, brokertest.Environ(api.URL, "BROKER_LISTEN=unix://"+socket, "BROKER_CALLERS_DIR="+dir, "BROKER_ACCESS_LOG=true"))
	b.WaitReady()
	dial := func() *brokertest.RawConn {
		conn, err := net.Dial("unix", socket)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		_ = conn.SetDeadline(time.Now().Add(brokertest.Timeout))
		return brokertest.NewRawConn(conn)
	}
	conn := dial()
	checkServed(t, conn, "any", "as the caller's user")
	conn.Send("GET /slow HTTP/1.1\r\nHost: any\r\n\r\n")
	<-arrived
	if err := os.RemoveAll(filepath.Join(dir, "local")); err != nil {
		t.Fatal(err)
	}
	brokertest.Eventually(t, "the broker removes the caller", func() bool { return len(b.Logs.Lines("caller removed")) == 1 })
	close(release)
	response, err := http.ReadResponse(conn.Reader, nil)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("the request in flight: got %v, %v, want status 200", response, err)
	}
	for err == nil {
		_, err = response.Body.Read(make([]byte, 512))
	}
	if _, err := conn.Reader.ReadByte(); err == nil || os.IsTimeout(err) {
		t.Errorf("after the request in flight: got %v, want the connection closed", err)
	}
	if got := dial().Get("/channels", "any"); got.Status != 401 {
		t.Errorf("on a new connection: got status %d, want 401", got.Status)
	}
	if got := brokertest.Get(t, b.Admin+"/status.json").Body; strings.Contains(got, "/slow") {
		t.Errorf("got the removed caller's operation in %s, want none of it", got)
	}
}

func TestClosesTunnelOfRemovedCaller(t *testing.T) {
	t.Parallel()
	other := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(other.Close)
	target := strings.TrimPrefix(other.URL, "http://")
	dir := t.TempDir()
	addCaller(t, dir, "shop", "key", "shop-key\nshop-key-2")
	addCaller(t, dir, "erp", "key", "erp-key")
	b, _ := startWithCallers(t, dir, "BROKER_PASS_HOSTS="+target)
	open := func(key string) *brokertest.RawConn {
		conn := b.Dial(t)
		if got := conn.Connect(target, "Proxy-Authorization: Bearer "+key); got.Status != http.StatusOK {
			t.Fatalf("CONNECT: got status %d, %v, want 200", got.Status, got.Err)
		}
		return conn
	}
	first, second, steady := open("shop-key"), open("shop-key-2"), open("erp-key")
	brokertest.ReplaceFile(t, filepath.Join(dir, "shop", "key"), []byte("shop-key-2"))
	if _, err := first.Reader.ReadByte(); err == nil || os.IsTimeout(err) {
		t.Errorf("with the removed key: got %v, want the tunnel closed", err)
	}
	if err := os.RemoveAll(filepath.Join(dir, "shop")); err != nil {
		t.Fatal(err)
	}
	if _, err := second.Reader.ReadByte(); err == nil || os.IsTimeout(err) {
		t.Errorf("with the key of a removed caller: got %v, want the tunnel closed", err)
	}
	if got := steady.Get("/", target); got.Status != http.StatusNotFound {
		t.Errorf("of another caller: got %+v, want the response of the other host", got)
	}
}
