package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"etrusted-broker/internal/brokertest"
	"etrusted-broker/internal/fakeetrusted"
)

// addFiles adds a directory with files, whose names and contents come by turns: complete, as a program that moves it into place does.
func addFiles(t *testing.T, dir, name string, files ...string) {
	t.Helper()
	next := filepath.Join(t.TempDir(), name)
	if err := os.Mkdir(next, 0o700); err != nil {
		t.Fatal(err)
	}
	for file := range slices.Chunk(files, 2) {
		brokertest.ReplaceFile(t, filepath.Join(next, file[0]), []byte(file[1]+"\n"))
	}
	if err := os.Rename(next, filepath.Join(dir, name)); err != nil {
		t.Fatal(err)
	}
}

// addAccount adds an account to an accounts directory.
func addAccount(t *testing.T, dir, name, id, secret string) {
	t.Helper()
	addFiles(t, dir, name, "client_id", id, "client_secret", secret)
}

// Prometheus sees the first replay of an account as an increase only if the series has been 0 before.
func TestAccountMetricsStartAtZero(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	addAccount(t, dir, "shop-de", "id-de", "secret-de")
	b := startBroker(t, nil, brokertest.EnvironWithoutServers("ETRUSTED_ACCOUNTS_DIR="+dir))
	hasZero := func(account string) func() bool {
		return func() bool {
			return strings.Contains(brokertest.Get(t, b.Admin+"/metrics").Body, `etrusted_broker_replays_total{account="`+account+`",outcome="success"} 0`)
		}
	}
	brokertest.Eventually(t, "the default account has metrics", hasZero("default"))
	brokertest.Eventually(t, "the account shop-de has metrics", hasZero("shop-de"))
	addAccount(t, dir, "shop-at", "id-at", "secret-at")
	brokertest.Eventually(t, "the added account has metrics", hasZero("shop-at"))
}

// Each account has its own token, metrics and health. They disappear with the account.
func TestAccountsAreIndependent(t *testing.T) {
	t.Parallel()
	eTrusted := fakeetrusted.New(fakeetrusted.Options{})
	eTrusted.SetClient("id-de", "secret-de")
	eTrusted.SetClient("id-at", "secret-at")
	url := brokertest.Serve(t, eTrusted)
	dir := t.TempDir()
	addAccount(t, dir, "shop-de", "id-de", "secret-de")
	b := startBroker(t, nil, brokertest.Environ(url, "ETRUSTED_ACCOUNTS_DIR="+dir))
	b.WaitReady()
	last := func() fakeetrusted.APIRequest {
		requests := eTrusted.APIRequests()
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
			t.Fatalf("%s: got status %d, want 200: %s", test.path, got.Status, got.Body)
		}
		if got := last(); got.RequestURI != test.upstream {
			t.Errorf("%s: got %s at the API, want %s", test.path, got.RequestURI, test.upstream)
		}
		tokens = append(tokens, last().Header.Get("Authorization"))
	}
	if tokens[0] == tokens[1] || tokens[1] != tokens[2] || tokens[0] != tokens[3] {
		t.Error("got a token of another account, want one token per account")
	}

	addAccount(t, dir, "shop-at", "id-at", "secret-at")
	addAccount(t, dir, "wrong", "id-wrong", "secret")
	brokertest.Eventually(t, "the new account is served", func() bool { return brokertest.Get(t, b.URL+"/@shop-at/channels").Status == http.StatusOK })
	brokertest.Eventually(t, "the wrong credentials are reported", func() bool {
		return brokertest.Get(t, b.URL+"/@wrong/channels").Status == http.StatusServiceUnavailable
	})
	if got := brokertest.Get(t, b.Admin+"/readyz"); got.Status != http.StatusOK {
		t.Errorf("/readyz with a wrong account: got status %d, want 200: %s", got.Status, got.Body)
	}
	b.WaitRecorded()
	metrics := brokertest.Get(t, b.Admin+"/metrics").Body
	for _, series := range []string{
		`etrusted_broker_requests_total{account="shop-at",code="200",method="GET"}`, `token_refreshes_total{account="wrong",outcome="rejected"} [1-9]`,
	} {
		if !regexp.MustCompile(series).MatchString(metrics) {
			t.Errorf("got no %s in the metrics, want it", series)
		}
	}

	if err := os.RemoveAll(filepath.Join(dir, "shop-at")); err != nil {
		t.Fatal(err)
	}
	brokertest.Eventually(t, "the account is removed", func() bool { return len(b.Logs.Lines("account removed")) == 1 })
	if got := brokertest.Get(t, b.URL+"/@shop-at/channels"); got.Status != http.StatusNotFound {
		t.Errorf("the removed account: got status %d, want 404", got.Status)
	}
	if got := brokertest.Get(t, b.Admin+"/metrics"); strings.Contains(got.Body, "shop-at") {
		t.Error("got metrics of the removed account, want none")
	}
	if got := brokertest.Get(t, b.URL+"/@shop-de/channels"); got.Status != http.StatusOK || last().Header.Get("Authorization") != tokens[1] {
		t.Errorf("the other account: got status %d, want 200 with its old token", got.Status)
	}
	for _, path := range []string{"/@", "/@/channels", "/@unknown/channels", "/@SHOP-DE/channels", "/@shop-de%2fchannels", "/@../channels"} {
		before := eTrusted.APIRequestCount()
		if got := brokertest.Get(t, b.URL+path); got.Status != http.StatusNotFound || got.Header.Get("Proxy-Status") == "" || eTrusted.APIRequestCount() != before {
			t.Errorf("%s: got status %d and %d requests at the API, want the broker's 404 and 0", path, got.Status, eTrusted.APIRequestCount()-before)
		}
	}
}

func TestRunsWithoutDefaultAccount(t *testing.T) {
	t.Parallel()
	url := brokertest.Serve(t, fakeetrusted.New(fakeetrusted.Options{}))
	dir := t.TempDir()
	b := startBroker(t, nil, brokertest.Environ(url, "ETRUSTED_CLIENT_ID=", "ETRUSTED_CLIENT_SECRET=", "ETRUSTED_ACCOUNTS_DIR="+dir))
	if got := brokertest.Get(t, b.Admin+"/readyz"); got.Status != http.StatusServiceUnavailable || !strings.Contains(got.Body, "no account") {
		t.Errorf("without any account: got status %d, want 503 with the reason: %s", got.Status, got.Body)
	}
	addAccount(t, dir, "one", fakeetrusted.DefaultClientID, fakeetrusted.DefaultClientSecret)
	b.WaitReady()
	if got := brokertest.Get(t, b.URL+"/channels"); got.Status != http.StatusNotFound || !strings.Contains(got.Body, "no default account") {
		t.Errorf("without an account name: got status %d, want 404 with the reason: %s", got.Status, got.Body)
	}
}

// With a final slash, too, the broker is idle while nothing happens, and ends after SIGTERM.
func TestAccountsDirectoryMayEndWithSlash(t *testing.T) {
	t.Parallel()
	url := brokertest.Serve(t, fakeetrusted.New(fakeetrusted.Options{}))
	dir := t.TempDir()
	addAccount(t, dir, "one", fakeetrusted.DefaultClientID, fakeetrusted.DefaultClientSecret)
	p := startProcess(t, brokertest.Environ(url, "ETRUSTED_ACCOUNTS_DIR="+dir+"/"))
	brokertest.Eventually(t, "both accounts have a token", func() bool { return len(p.Logs.Lines("token fetched")) == 2 })
	p.signal(syscall.SIGTERM)
	if code := p.Wait(); code != exitOK {
		t.Errorf("got exit code %d, want %d", code, exitOK)
	}
	if used := p.command.ProcessState.UserTime(); used > 2*time.Second {
		t.Errorf("got %v of CPU time, want at most 2s", used)
	}
}

// With 500 accounts, the process takes less than 60 MiB.
func TestMemoryOf500AccountsIsBounded(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("reads /proc")
	}
	t.Parallel()
	const count, limitKB = 500, 60 << 10
	url := brokertest.Serve(t, fakeetrusted.New(fakeetrusted.Options{}))
	dir := t.TempDir()
	for i := range count {
		addAccount(t, dir, fmt.Sprintf("shop-%d", i), fakeetrusted.DefaultClientID, fakeetrusted.DefaultClientSecret)
	}
	p := startProcess(t, brokertest.Environ(url, "ETRUSTED_CLIENT_ID=", "ETRUSTED_CLIENT_SECRET=", "ETRUSTED_ACCOUNTS_DIR="+dir))
	brokertest.Eventually(t, "all accounts have a token", func() bool { return len(p.Logs.Lines("token fetched")) >= count })
	client := &http.Client{Transport: &http.Transport{}, Timeout: brokertest.Timeout} // one connection for all requests
	t.Cleanup(client.CloseIdleConnections)
	for i := range count {
		if got := brokertest.ReadResponse(client.Get(fmt.Sprintf("%s/@shop-%d/channels", p.URL, i))); got.Status != http.StatusOK {
			t.Fatalf("account %d: got status %d, %v, want 200", i, got.Status, got.Err)
		}
	}
	brokertest.Get(t, p.Admin+"/metrics")
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.command.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	size := regexp.MustCompile(`VmRSS:\s+(\d+) kB`).FindSubmatch(status)
	if size == nil {
		t.Fatalf("got no VmRSS in %s", status)
	}
	kB, err := strconv.Atoi(string(size[1]))
	if err != nil || kB > limitKB {
		t.Errorf("got %d kB, %v, want at most %d kB", kB, err, limitKB)
	}
	t.Logf("%d accounts in %d kB", count, kB)
}
