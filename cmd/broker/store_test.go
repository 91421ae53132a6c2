package main

import (
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"etrusted-broker/internal/brokertest"
	"etrusted-broker/internal/fakeetrusted"
)

// startRedis starts a redis-server and returns its URL. Without that program, it skips the test, or fails it if E2E_REDIS is
// "required".
func startRedis(t *testing.T) (url string) {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		if os.Getenv("E2E_REDIS") == "required" {
			t.Fatal(err)
		}
		t.Skip("there is no redis-server")
	}
	dir, err := os.MkdirTemp("", "redis") // the path of a socket must be short
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(dir, "s")
	server := exec.Command("redis-server", "--port", "0", "--unixsocket", socket, "--save", "", "--appendonly", "no", "--dir", dir)
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = server.Process.Kill()
		_ = server.Wait()
		_ = os.RemoveAll(dir)
	})
	brokertest.Eventually(t, "the store accepts connections", func() bool {
		conn, err := net.Dial("unix", socket)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	})
	return "unix://" + socket
}

// The second broker takes its token from the store. Logs, metrics and status of both show that.
func TestBrokersShareTokenThroughStore(t *testing.T) {
	t.Parallel()
	store := startRedis(t)
	eTrusted := fakeetrusted.New(fakeetrusted.Options{})
	url := brokertest.Serve(t, eTrusted)
	first := startBroker(t, nil, brokertest.Environ(url, "BROKER_TOKEN_STORE="+store))
	first.WaitReady()
	second := startBroker(t, nil, brokertest.Environ(url, "BROKER_TOKEN_STORE="+store))
	second.WaitReady()
	for _, test := range []struct {
		broker              *brokertest.Broker
		log, metric, status string
	}{
		{first, "token fetched", `token_store_lease_held{account="default"} 1`, `"holds_lease": true`},
		{second, "token received from the store", `token_store_hits_total{account="default"} 1`, `"from_peer": true`},
	} {
		if got := brokertest.Get(t, test.broker.URL+"/channels"); got.Status != http.StatusOK {
			t.Errorf("got status %d, want 200", got.Status)
		}
		for part, text := range map[string]string{
			test.log:    test.broker.Logs.String(),
			test.metric: brokertest.Get(t, test.broker.Admin+"/metrics").Body,
			test.status: brokertest.Get(t, test.broker.Admin+"/status.json").Body,
		} {
			if !strings.Contains(text, part) {
				t.Errorf("got\n%s\nwant %q in it", text, part)
			}
		}
	}
	if n := eTrusted.TokenRequestCount(); n != 1 {
		t.Errorf("got %d token requests of two brokers, want 1", n)
	}
}

// A broker that is stopped during a token request releases its lease. Otherwise the next broker would wait until the lease
// expires: 15 s.
func TestShutdownReleasesLease(t *testing.T) {
	t.Parallel()
	environ := "BROKER_TOKEN_STORE=" + startRedis(t)
	eTrusted := fakeetrusted.New(fakeetrusted.Options{})
	eTrusted.SetTokenFault(fakeetrusted.Hang())
	url := brokertest.Serve(t, eTrusted)
	first := startBroker(t, nil, brokertest.Environ(url, environ))
	brokertest.Eventually(t, "the first broker requests a token", func() bool { return eTrusted.TokenRequestCount() == 1 })
	first.Stop()
	eTrusted.SetTokenFault(nil)
	stopped := time.Now()
	startBroker(t, nil, brokertest.Environ(url, environ)).WaitReady()
	if took := time.Since(stopped); took > 10*time.Second {
		t.Errorf("the next broker was ready after %v, want at most 10s", took)
	}
}

// The broker works without the store, and logs the cause once.
func TestServesIfStoreIsDown(t *testing.T) {
	t.Parallel()
	eTrusted := fakeetrusted.New(fakeetrusted.Options{})
	file := filepath.Join(t.TempDir(), "store")
	if err := os.WriteFile(file, []byte("redis://:CANARY@127.0.0.1:1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	b := startBroker(t, nil, brokertest.Environ(brokertest.Serve(t, eTrusted), "BROKER_TOKEN_STORE_FILE="+file))
	b.WaitReady()
	if got := brokertest.Get(t, b.URL+"/channels"); got.Status != http.StatusOK {
		t.Errorf("got status %d, want 200", got.Status)
	}
	if n := strings.Count(b.Logs.String(), `"reason":"it refused the connection","code":"token-store-unavailable"`); n != 1 {
		t.Errorf("got %d log lines with the cause and its code, want 1:\n%s", n, b.Logs)
	}
	status := brokertest.Get(t, b.Admin+"/status.json").Body
	if !strings.Contains(status, `"problem": "refused the connection"`) {
		t.Errorf("got the status %s, want the cause in it", status)
	}
	if strings.Contains(status+b.Logs.String(), "CANARY") {
		t.Error("got the store's password in the status or the log, want it hidden")
	}
}

// The broker works without the store, so check warns of a broken store and does not fail.
func TestCheckReportsBrokenStoreAsWarning(t *testing.T) {
	t.Parallel()
	eTrusted := fakeetrusted.New(fakeetrusted.Options{})
	for _, test := range []struct{ store, says string }{
		{startRedis(t), "✓ token store "},
		{"redis://:CANARY@127.0.0.1:1", "! the token is not shared: the store refused the connection"},
		{"redis://:CANARY@" + silentServer(t), "! the token is not shared: the store "},
	} {
		code, stdout, stderr := ask([]string{"check"}, brokertest.Environ(brokertest.Serve(t, eTrusted), "BROKER_TOKEN_STORE="+test.store)...)
		if code != exitOK || stderr != "" || failedSteps(stdout) != nil || !strings.Contains(stdout, "✓ token store") || !strings.Contains(stdout, test.says) {
			t.Errorf("%s: got exit code %d, want 0 and %q:\n%s%s", test.store, code, test.says, stdout, stderr)
		}
		if strings.Contains(stdout, "CANARY") {
			t.Errorf("the store's password is shown:\n%s", stdout)
		}
	}
}

// The broker warns if the store's password would cross a network in clear.
func TestWarnsOfUnencryptedStore(t *testing.T) {
	t.Parallel()
	for store, warned := range map[string]bool{
		"redis://127.0.0.1:1": false, "unix:///nowhere": false, "rediss://store.example:1": false, "redis://store.example:1": true,
		"redis://127.0.0.1:1?addr=store.example:1": true,
	} {
		code, stdout, stderr := invoke(nil, brokertest.EnvironWithoutServers("BROKER_TOKEN_STORE="+store)...)
		if got := strings.Contains(stderr, "the connection to the token store is not encrypted"); code != exitOK || got != warned {
			t.Errorf("%s: got exit code %d and warned %t, want %d and %t:\n%s%s", store, code, got, exitOK, warned, stdout, stderr)
		}
	}
}
