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

// startRedis starts a store and returns its URL. Without a redis-server the test is skipped, or fails where it is
// required.
func startRedis(t *testing.T) (url string) {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		if os.Getenv("E2E_REDIS") == "required" {
			t.Fatal(err)
		}
		t.Skip("there is no redis-server")
	}
	dir, err := os.MkdirTemp("", "redis") // a socket's path must not be long
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
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		connection, err := net.Dial("unix", socket)
		if err == nil {
			_ = connection.Close()
			return "unix://" + socket
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

// TestBrokersShareTokenThroughStore holds that the second has no need of the login server, and that all say so.
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
		{first, "token fetched", `token_store_lease_held{account="default"} 1`, `"leads": true`},
		{second, "token taken from the store", `token_store_hits_total{account="default"} 1`, `"elsewhere": true`},
	} {
		if got := brokertest.Get(t, test.broker.URL+"/channels"); got.Status != http.StatusOK {
			t.Errorf("%d, want 200", got.Status)
		}
		for where, text := range map[string]string{
			test.log:    test.broker.Logs.String(),
			test.metric: brokertest.Get(t, test.broker.Admin+"/metrics").Body,
			test.status: brokertest.Get(t, test.broker.Admin+"/status.json").Body,
		} {
			if !strings.Contains(text, where) {
				t.Errorf("nothing says %q:\n%s", where, text)
			}
		}
	}
	if n := eTrusted.TokenRequestCount(); n != 1 {
		t.Errorf("%d token requests of two brokers, want 1", n)
	}
}

// TestShutdownReleasesLease holds that who is stopped in the middle of a token request does not keep the others from it for as
// long as its lease would last: fifteen seconds.
func TestShutdownReleasesLease(t *testing.T) {
	t.Parallel()
	environ := "BROKER_TOKEN_STORE=" + startRedis(t)
	eTrusted := fakeetrusted.New(fakeetrusted.Options{})
	eTrusted.SetTokenFault(fakeetrusted.Hang())
	url := brokertest.Serve(t, eTrusted)
	first := startBroker(t, nil, brokertest.Environ(url, environ))
	brokertest.Eventually(t, "a token is asked for", func() bool { return eTrusted.TokenRequestCount() == 1 })
	first.Stop()
	eTrusted.SetTokenFault(nil)
	stopped := time.Now()
	startBroker(t, nil, brokertest.Environ(url, environ)).WaitReady()
	if took := time.Since(stopped); took > 10*time.Second {
		t.Errorf("the next broker has waited %v", took)
	}
}

// TestServesIfStoreIsDown holds that the broker does without it, and says what is wrong once.
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
		t.Errorf("%d, want 200", got.Status)
	}
	if n := strings.Count(b.Logs.String(), `"reason":"it refused the connection"`); n != 1 {
		t.Errorf("told %d times that the store is away, want once:\n%s", n, b.Logs)
	}
	status := brokertest.Get(t, b.Admin+"/status.json").Body
	if !strings.Contains(status, `"problem": "refused the connection"`) {
		t.Errorf("the status does not say it: %s", status)
	}
	if strings.Contains(status+b.Logs.String(), "CANARY") {
		t.Error("the store's password is shown")
	}
}

// TestCheckReportsBrokenStoreAsWarning holds that a store which does not work is told of, and yet nothing has failed.
func TestCheckReportsBrokenStoreAsWarning(t *testing.T) {
	t.Parallel()
	eTrusted := fakeetrusted.New(fakeetrusted.Options{})
	for _, test := range []struct{ store, says string }{
		{startRedis(t), "the token can be shared in it"},
		{"redis://:CANARY@127.0.0.1:1", "! the token is not shared, since the store refused the connection"},
		{"redis://:CANARY@" + silentServer(t), "! the token is not shared, since the store "},
	} {
		code, stdout, stderr := ask([]string{"check"}, brokertest.Environ(brokertest.Serve(t, eTrusted), "BROKER_TOKEN_STORE="+test.store)...)
		if code != exitOK || stderr != "" || failedSteps(stdout) != nil || !strings.Contains(stdout, "✓ token store") || !strings.Contains(stdout, test.says) {
			t.Errorf("%s: exit code %d, want 0 and %q:\n%s%s", test.store, code, test.says, stdout, stderr)
		}
		if strings.Contains(stdout, "CANARY") {
			t.Errorf("shows the store's password:\n%s", stdout)
		}
	}
}

// TestWarnsOfUnencryptedStore holds that a password which crosses a network in clear is told of.
func TestWarnsOfUnencryptedStore(t *testing.T) {
	t.Parallel()
	for store, warned := range map[string]bool{
		"redis://127.0.0.1:1": false, "unix:///nowhere": false, "rediss://store.example:1": false, "redis://store.example:1": true,
		"redis://127.0.0.1:1?addr=store.example:1": true,
	} {
		code, stdout, stderr := invoke(nil, brokertest.EnvironWithoutServers("BROKER_TOKEN_STORE="+store)...)
		if got := strings.Contains(stderr, "the way to the token store is not encrypted"); code != exitOK || got != warned {
			t.Errorf("%s: exit code %d; warned: %v, want %v:\n%s%s", store, code, got, warned, stdout, stderr)
		}
	}
}
