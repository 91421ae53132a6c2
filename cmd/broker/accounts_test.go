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

	"etrusted-broker/internal/brokertest"
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

// TestAccountMetricsStartAtZero holds that the first replay of an account is a rise: nothing need have been asked for before.
func TestAccountMetricsStartAtZero(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	addAccount(t, dir, "shop-de", "id-de", "secret-de")
	b := startBroker(t, nil, brokertest.EnvironWithoutServers("ETRUSTED_ACCOUNTS_DIR="+dir))
	wanted := func(account string) func() bool {
		return func() bool {
			return strings.Contains(brokertest.Get(t, b.Admin+"/metrics").Body, `etrusted_broker_replays_total{account="`+account+`",outcome="success"} 0`)
		}
	}
	brokertest.Eventually(t, "the default account's are there", wanted("default"))
	brokertest.Eventually(t, "an account's are there", wanted("shop-de"))
	addAccount(t, dir, "shop-at", "id-at", "secret-at")
	brokertest.Eventually(t, "a later account's are there", wanted("shop-at"))
}

// Each account has its own token, its own series and its own health, and takes them along when it goes.
func TestAccountsAreIndependent(t *testing.T) {
	t.Parallel()
	standIn := fakeetrusted.New(fakeetrusted.Options{})
	standIn.SetClient("id-de", "secret-de")
	standIn.SetClient("id-at", "secret-at")
	server := httptest.NewServer(standIn)
	t.Cleanup(server.Close)
	dir := t.TempDir()
	addAccount(t, dir, "shop-de", "id-de", "secret-de")
	b := startBroker(t, nil, brokertest.Environ(server.URL, "ETRUSTED_ACCOUNTS_DIR="+dir))
	b.WaitReady()
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
		if got := brokertest.Get(t, b.URL+test.path); got.Status != http.StatusOK {
			t.Fatalf("%s: %d %s", test.path, got.Status, got.Body)
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
	brokertest.Eventually(t, "the new account serves", func() bool { return brokertest.Get(t, b.URL+"/@shop-at/channels").Status == http.StatusOK })
	brokertest.Eventually(t, "the wrong account is told", func() bool {
		return brokertest.Get(t, b.URL+"/@wrong/channels").Status == http.StatusServiceUnavailable
	})
	if got := brokertest.Get(t, b.Admin+"/readyz"); got.Status != http.StatusOK {
		t.Errorf("a wrong account makes the broker not ready: %s", got.Body)
	}
	series := `etrusted_broker_requests_total{account="shop-at",code="200",method="GET"}`
	brokertest.Eventually(t, "the accounts' metrics are there", func() bool { // a request is counted once it has been answered
		got := brokertest.Get(t, b.Admin+"/metrics").Body
		return strings.Contains(got, series) && strings.Contains(got, `token_refreshes_total{account="wrong",outcome="rejected"} 1`)
	})

	if err := os.RemoveAll(filepath.Join(dir, "shop-at")); err != nil {
		t.Fatal(err)
	}
	brokertest.Eventually(t, "the account is gone", func() bool { return len(b.Logs.Lines("account removed")) == 1 })
	if got := brokertest.Get(t, b.URL+"/@shop-at/channels"); got.Status != http.StatusNotFound {
		t.Errorf("the removed account: %d", got.Status)
	}
	if got := brokertest.Get(t, b.Admin+"/metrics"); strings.Contains(got.Body, "shop-at") {
		t.Error("the removed account has left series behind")
	}
	if got := brokertest.Get(t, b.URL+"/@shop-de/channels"); got.Status != http.StatusOK || last().Header.Get("Authorization") != tokens[1] {
		t.Errorf("the other account was disturbed: %d", got.Status)
	}
	for _, path := range []string{"/@", "/@/channels", "/@nobody/channels", "/@SHOP-DE/channels", "/@shop-de%2fchannels", "/@../channels"} {
		before := standIn.APIRequestCount()
		if got := brokertest.Get(t, b.URL+path); got.Status != http.StatusNotFound || got.Header.Get("Proxy-Status") == "" || standIn.APIRequestCount() != before {
			t.Errorf("%s: %d", path, got.Status)
		}
	}
}

func TestRunsWithoutDefaultAccount(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(fakeetrusted.New(fakeetrusted.Options{}))
	t.Cleanup(server.Close)
	dir := t.TempDir()
	b := startBroker(t, nil, brokertest.Environ(server.URL, "ETRUSTED_CLIENT_ID=", "ETRUSTED_CLIENT_SECRET=", "ETRUSTED_ACCOUNTS_DIR="+dir))
	if got := brokertest.Get(t, b.Admin+"/readyz"); got.Status != http.StatusServiceUnavailable || !strings.Contains(got.Body, "no account") {
		t.Errorf("without any account: %d %s", got.Status, got.Body)
	}
	addAccount(t, dir, "one", fakeetrusted.DefaultClientID, fakeetrusted.DefaultClientSecret)
	b.WaitReady()
	if got := brokertest.Get(t, b.URL+"/channels"); got.Status != http.StatusNotFound || !strings.Contains(got.Body, "no default account") {
		t.Errorf("without a name: %d %s", got.Status, got.Body)
	}
}

// However the folder is written, the broker is idle while nothing happens, and ends when it is told to.
func TestAccountsDirectoryMayEndWithSlash(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(fakeetrusted.New(fakeetrusted.Options{}))
	t.Cleanup(server.Close)
	dir := t.TempDir()
	addAccount(t, dir, "one", fakeetrusted.DefaultClientID, fakeetrusted.DefaultClientSecret)
	p := startProcess(t, brokertest.Environ(server.URL, "ETRUSTED_ACCOUNTS_DIR="+dir+"/"))
	brokertest.Eventually(t, "both accounts have a token", func() bool { return len(p.logs.Lines("token fetched")) == 2 })
	p.signal(syscall.SIGTERM)
	if code := p.wait(); code != exitOK {
		t.Errorf("exit code %d", code)
	}
	if used := p.command.ProcessState.UserTime(); used > 2*time.Second {
		t.Errorf("%v of CPU for nothing", used)
	}
}

// With 500 accounts the whole process stays under 60 MB.
func TestMemoryOf500AccountsIsBounded(t *testing.T) {
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
	p := startProcess(t, brokertest.Environ(server.URL, "ETRUSTED_CLIENT_ID=", "ETRUSTED_CLIENT_SECRET=", "ETRUSTED_ACCOUNTS_DIR="+dir))
	brokertest.Eventually(t, "all accounts have a token", func() bool { return len(p.logs.Lines("token fetched")) >= count })
	for i := range count {
		if got := brokertest.Get(t, fmt.Sprintf("%s/@shop-%d/channels", p.url, i)); got.Status != http.StatusOK {
			t.Fatalf("account %d: %d", i, got.Status)
		}
	}
	brokertest.Get(t, p.admin+"/metrics")
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
