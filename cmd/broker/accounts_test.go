package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"etrusted-broker/internal/fakeetrusted"
)

// addAccount makes an account in a folder of accounts.
func addAccount(t *testing.T, dir, name, id, secret string) {
	t.Helper()
	folder := filepath.Join(dir, name)
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	for file, text := range map[string]string{"client_id": id, "client_secret": secret} {
		if err := os.WriteFile(filepath.Join(folder, file), []byte(text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestSeriesBeginAtZero holds that the first replay of an account is a rise: nothing need have been asked for before.
func TestSeriesBeginAtZero(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	addAccount(t, dir, "shop-de", "id-de", "secret-de")
	b := startBroker(t, nil, nowhere("ETRUSTED_ACCOUNTS_DIR="+dir))
	wanted := func(account string) func() bool {
		return func() bool {
			return strings.Contains(get(t, b.admin+"/metrics").body, `etrusted_broker_replays_total{account="`+account+`",outcome="success"} 0`)
		}
	}
	eventually(t, "the default account's are there", wanted("default"))
	eventually(t, "an account's are there", wanted("shop-de"))
	addAccount(t, dir, "shop-at", "id-at", "secret-at")
	eventually(t, "a later account's are there", wanted("shop-at"))
}

// Each account has its own token, its own series and its own health, and takes them along when it goes.
func TestAccounts(t *testing.T) {
	t.Parallel()
	standIn := fakeetrusted.New(fakeetrusted.Options{})
	standIn.SetClient("id-de", "secret-de")
	standIn.SetClient("id-at", "secret-at")
	server := httptest.NewServer(standIn)
	t.Cleanup(server.Close)
	dir := t.TempDir()
	addAccount(t, dir, "shop-de", "id-de", "secret-de")
	b := startBroker(t, nil, environFor(server.URL, "ETRUSTED_ACCOUNTS_DIR="+dir))
	b.ready()
	last := func() fakeetrusted.APIRequest {
		requests := standIn.APIRequests()
		return requests[len(requests)-1]
	}

	var tokens []string
	for _, test := range []struct{ path, upstream string }{
		{"/channels", "/channels"},
		{"/@shop-de/channels", "/channels"},
		{"/@shop-de/reviews?count=1&x=%2f;", "/reviews?count=1&x=%2f;"},
		{"/@default/channels", "/channels"},
	} {
		if got := get(t, b.url+test.path); got.status != http.StatusOK {
			t.Fatalf("%s: %d %s", test.path, got.status, got.body)
		}
		if got := last(); got.RequestURI != test.upstream {
			t.Errorf("%s went upstream as %s", test.path, got.RequestURI)
		}
		tokens = append(tokens, last().Header.Get("Authorization"))
	}
	if tokens[0] == tokens[1] || tokens[1] != tokens[2] || tokens[0] != tokens[3] {
		t.Error("the accounts do not have their own tokens")
	}

	addAccount(t, dir, "shop-at", "id-at", "secret-at")
	addAccount(t, dir, "wrong", "id-wrong", "secret")
	eventually(t, "the new account serves", func() bool { return get(t, b.url+"/@shop-at/channels").status == http.StatusOK })
	eventually(t, "the wrong account is told", func() bool { return get(t, b.url+"/@wrong/channels").status == http.StatusServiceUnavailable })
	if got := get(t, b.admin+"/readyz"); got.status != http.StatusOK {
		t.Errorf("a wrong account makes the broker not ready: %s", got.body)
	}
	series := `etrusted_broker_requests_total{account="shop-at",code="200",method="GET"}`
	eventually(t, "the accounts' metrics are there", func() bool { // a request is counted once it has been answered
		got := get(t, b.admin+"/metrics").body
		return strings.Contains(got, series) && strings.Contains(got, `token_refreshes_total{account="wrong",outcome="rejected"} 1`)
	})

	if err := os.RemoveAll(filepath.Join(dir, "shop-at")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the account is gone", func() bool { return len(b.logs.lines("account removed")) == 1 })
	if got := get(t, b.url+"/@shop-at/channels"); got.status != http.StatusNotFound {
		t.Errorf("the removed account: %d", got.status)
	}
	if got := get(t, b.admin+"/metrics"); strings.Contains(got.body, "shop-at") {
		t.Error("the removed account has left series behind")
	}
	if got := get(t, b.url+"/@shop-de/channels"); got.status != http.StatusOK || last().Header.Get("Authorization") != tokens[1] {
		t.Errorf("the other account was disturbed: %d", got.status)
	}
	for _, path := range []string{"/@", "/@/channels", "/@nobody/channels", "/@SHOP-DE/channels", "/@shop-de%2fchannels", "/@../channels"} {
		before := standIn.APIRequestCount()
		if got := get(t, b.url+path); got.status != http.StatusNotFound || got.header.Get("Proxy-Status") == "" || standIn.APIRequestCount() != before {
			t.Errorf("%s: %d", path, got.status)
		}
	}
}

func TestAccountsAlone(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(fakeetrusted.New(fakeetrusted.Options{}))
	t.Cleanup(server.Close)
	dir := t.TempDir()
	b := startBroker(t, nil, environFor(server.URL, "ETRUSTED_CLIENT_ID=", "ETRUSTED_CLIENT_SECRET=", "ETRUSTED_ACCOUNTS_DIR="+dir))
	if got := get(t, b.admin+"/readyz"); got.status != http.StatusServiceUnavailable || !strings.Contains(got.body, "no account") {
		t.Errorf("without any account: %d %s", got.status, got.body)
	}
	addAccount(t, dir, "one", fakeetrusted.DefaultClientID, fakeetrusted.DefaultClientSecret)
	b.ready()
	if got := get(t, b.url+"/channels"); got.status != http.StatusNotFound || !strings.Contains(got.body, "no default account") {
		t.Errorf("without a name: %d %s", got.status, got.body)
	}
}

// However the folder is written, the broker is idle while nothing happens, and ends when it is told to.
func TestAccountsFolderWithAFinalSlash(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(fakeetrusted.New(fakeetrusted.Options{}))
	t.Cleanup(server.Close)
	dir := t.TempDir()
	addAccount(t, dir, "one", fakeetrusted.DefaultClientID, fakeetrusted.DefaultClientSecret)
	p := startProcess(t, environFor(server.URL, "ETRUSTED_ACCOUNTS_DIR="+dir+"/"))
	eventually(t, "both accounts have a token", func() bool { return len(p.logs.lines("token fetched")) == 2 })
	p.signal(syscall.SIGTERM)
	if code := p.wait(); code != exitOK {
		t.Errorf("exit code %d", code)
	}
	if used := p.command.ProcessState.UserTime(); used > 2*time.Second {
		t.Errorf("%v of CPU for nothing", used)
	}
}

// With 500 accounts the whole process stays under 60 MB.
func TestManyAccountsInLittleMemory(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("reads /proc")
	}
	t.Parallel()
	const count, limitKB = 500, 60 << 10
	server := httptest.NewServer(fakeetrusted.New(fakeetrusted.Options{Lifetime: 10 * time.Second}))
	t.Cleanup(server.Close)
	dir := t.TempDir()
	for i := range count {
		addAccount(t, dir, fmt.Sprintf("shop-%d", i), fakeetrusted.DefaultClientID, fakeetrusted.DefaultClientSecret)
	}
	p := startProcess(t, environFor(server.URL, "ETRUSTED_CLIENT_ID=", "ETRUSTED_CLIENT_SECRET=", "ETRUSTED_ACCOUNTS_DIR="+dir))
	eventually(t, "all accounts have a token", func() bool { return len(p.logs.lines("token fetched")) >= count })
	for i := range count {
		if got := get(t, fmt.Sprintf("%s/@shop-%d/channels", p.url, i)); got.status != http.StatusOK {
			t.Fatalf("account %d: %d", i, got.status)
		}
	}
	get(t, p.admin+"/metrics")
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.command.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	size := regexp.MustCompile(`VmRSS:\s+(\d+) kB`).FindSubmatch(status)
	if size == nil {
		t.Fatalf("no VmRSS in %s", status)
	}
	kB, err := strconv.Atoi(string(size[1]))
	if err != nil || kB > limitKB {
		t.Errorf("%d kB, want at most %d", kB, limitKB)
	}
	t.Logf("%d accounts in %d kB", count, kB)
}
