package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"etrusted-broker/internal/brokertest"
	"etrusted-broker/internal/fakeetrusted"
)

// getWithKey is a GET that shows a key as a bearer token; none if it is empty.
func getWithKey(t *testing.T, url, key string) brokertest.Response {
	t.Helper()
	request, err := http.NewRequest(http.MethodGet, url, nil)
	if err == nil && key != "" {
		request.Header.Set("Authorization", "Bearer "+key)
	}
	got := brokertest.Do(request, err)
	if got.Err != nil {
		t.Fatal(got.Err)
	}
	return got
}

func TestRequiresAccessKey(t *testing.T) {
	t.Parallel()
	const first, second, wrong = "CANARY-first-key-4711", "CANARY-second-key-0815", "CANARY-wrong-key-2342"
	eTrusted := fakeetrusted.New(fakeetrusted.Options{})
	file := filepath.Join(t.TempDir(), "key")
	brokertest.ReplaceFile(t, file, []byte(first+"\r\n"))
	b := startBroker(t, nil, brokertest.Environ(brokertest.Serve(t, eTrusted), "BROKER_ACCESS_KEY_FILE="+file, "BROKER_LOG_LEVEL=debug"))
	b.WaitReady()

	none := brokertest.Get(t, b.URL+"/channels")
	if none.Status != http.StatusUnauthorized || len(none.Header["Www-Authenticate"]) != 2 || none.Header.Get("Proxy-Status") == "" {
		t.Errorf("without a key: %d %v", none.Status, none.Header)
	}
	if got := getWithKey(t, b.URL+"/channels", wrong); got.Status != http.StatusUnauthorized {
		t.Errorf("with a wrong key: %d", got.Status)
	}
	if n := eTrusted.APIRequestCount(); n != 0 {
		t.Errorf("%d requests went upstream", n)
	}
	if got := getWithKey(t, b.URL+"/channels", first); got.Status != http.StatusOK {
		t.Errorf("with the key: %d %s", got.Status, got.Body)
	}
	request, err := http.NewRequest(http.MethodGet, b.URL+"/channels", nil)
	if err == nil {
		request.SetBasicAuth("shop", first)
	}
	if got := brokertest.Do(request, err); got.Status != http.StatusOK {
		t.Errorf("with the key as a password: %d %s", got.Status, got.Body)
	}

	brokertest.ReplaceFile(t, file, []byte(second))
	brokertest.Eventually(t, "the new key is taken", func() bool { return getWithKey(t, b.URL+"/channels", second).Status == http.StatusOK })
	if got := getWithKey(t, b.URL+"/channels", first); got.Status != http.StatusOK {
		t.Errorf("just after the change, the old key: %d", got.Status)
	}
	brokertest.ReplaceFile(t, file, []byte("\n"))
	brokertest.Eventually(t, "the trouble is told", func() bool {
		return len(b.Logs.Lines("the access key cannot be read: the one that there was stays in use")) == 1
	})
	if got := getWithKey(t, b.URL+"/channels", second); got.Status != http.StatusOK {
		t.Errorf("with an empty file, the key that there was: %d", got.Status)
	}
	if got := getWithKey(t, b.URL+"/channels", ""); got.Status != http.StatusUnauthorized {
		t.Errorf("with an empty file, no key: %d", got.Status)
	}

	metrics := brokertest.Get(t, b.Admin+"/metrics").Body
	if strings.Contains(metrics, `requests_denied_total{reason="key"} 0`) {
		t.Error("the refusals are not counted")
	}
	everywhere := fmt.Sprint(none, metrics, brokertest.Get(t, b.Admin+"/status.json").Body, b.Logs, b.Stdout)
	for _, r := range eTrusted.APIRequests() {
		everywhere += fmt.Sprint(r.Header, r.RequestURI)
	}
	if strings.Contains(everywhere, "CANARY") {
		t.Error("a key has got out")
	}
}

func TestEnforcesAllowRules(t *testing.T) {
	t.Parallel()
	eTrusted := fakeetrusted.New(fakeetrusted.Options{})
	dir := t.TempDir()
	addAccount(t, dir, "shop-de", fakeetrusted.DefaultClientID, fakeetrusted.DefaultClientSecret)
	b := startBroker(t, nil, brokertest.Environ(brokertest.Serve(t, eTrusted), "BROKER_ALLOW=GET /channels, POST /events", "ETRUSTED_ACCOUNTS_DIR="+dir))
	b.WaitReady()
	for _, test := range []struct {
		method, target string
		status         int
	}{
		{"GET", "/channels", 200}, {"GET", "/channels?count=1", 200}, {"HEAD", "/channels", 200}, {"GET", "/@shop-de/channels", 200},
		{"GET", "/%63hannels", 404}, // it goes on as it is, and the stand-in knows none of that name
		{"GET", "/reviews", 403}, {"GET", "/channels/", 403}, {"POST", "/channels", 403}, {"DELETE", "/events", 403}, {"GET", "/@shop-de/reviews", 403},
		{"GET", "/@shop-de/@shop-de/channels", 403}, {"GET", "/@nobody/reviews", 403}, {"GET", "/@nobody/channels", 404},
		{"GET", "/channels/../reviews", 400}, {"GET", "/channels%2f..%2freviews", 400},
	} {
		before := eTrusted.APIRequestCount()
		request, err := http.NewRequest(test.method, b.URL, nil)
		if err == nil {
			request.URL.Opaque = test.target
		}
		got := brokertest.Do(request, err)
		if got.Status != test.status {
			t.Errorf("%s %s: %d %s, want %d", test.method, test.target, got.Status, got.Body, test.status)
		}
		if sent := eTrusted.APIRequestCount() - before; (sent == 1) != (test.status == 200 || test.target == "/%63hannels") {
			t.Errorf("%s %s: %d requests went upstream", test.method, test.target, sent)
		}
		if test.status == 403 && !strings.Contains(got.Body, "BROKER_ALLOW") {
			t.Errorf("does not say what to do: %s", got.Body)
		}
	}
	requests := eTrusted.APIRequests()
	if last := requests[len(requests)-1].RequestURI; last != "/%63hannels" {
		t.Errorf("sent on as %s", last)
	}
}

func TestWarnsOfWorldReadableSecretFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	addAccount(t, dir, "open", "id", "secret")
	files := map[string]os.FileMode{"id": 0o600, "secret": 0o644, "key": 0o604, "open/client_secret": 0o640, "open/client_id": 0o444}
	for name, mode := range files {
		path := filepath.Join(dir, name)
		brokertest.ReplaceFile(t, path, []byte("some-text-that-is-no-secret"))
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	b := startBroker(t, nil, brokertest.EnvironWithoutServers("ETRUSTED_CLIENT_ID=", "ETRUSTED_CLIENT_SECRET=", "ETRUSTED_ACCOUNTS_DIR="+dir,
		"ETRUSTED_CLIENT_ID_FILE="+dir+"/id", "ETRUSTED_CLIENT_SECRET_FILE="+dir+"/secret", "BROKER_ACCESS_KEY_FILE="+dir+"/key"))
	told := func() map[string]any {
		modes := map[string]any{}
		for _, line := range b.Logs.Lines("a secret file may be read by every user of this machine: take that away with chmod o-r") {
			name, _ := filepath.Rel(dir, line["file"].(string))
			modes[name] = line["mode"]
		}
		return modes
	}
	if got, want := fmt.Sprint(told()), "map[key:0604 open/client_id:0444 secret:0644]"; got != want {
		t.Errorf("told of %s, want %s", got, want)
	}
	elsewhere := t.TempDir() // a file is looked at once, so it must come with its mode
	addAccount(t, elsewhere, "later", "id", "secret")
	if err := os.Chmod(filepath.Join(elsewhere, "later/client_secret"), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(elsewhere, "later"), filepath.Join(dir, "later")); err != nil {
		t.Fatal(err)
	}
	brokertest.Eventually(t, "the new account's file is told", func() bool { return told()["later/client_secret"] == "0666" })
}
