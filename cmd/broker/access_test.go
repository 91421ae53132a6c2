package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"etrusted-broker/internal/brokertest"
	"etrusted-broker/internal/fakeetrusted"
)

// getWithKey sends a GET request with an access key as a bearer token; without one if key is empty.
func getWithKey(t *testing.T, url, key string) brokertest.Response {
	t.Helper()
	if key == "" {
		return brokertest.Get(t, url)
	}
	return brokertest.Get(t, url, "Authorization: Bearer "+key)
}

func TestRequiresAccessKey(t *testing.T) {
	t.Parallel()
	const first, second, wrong = "CANARY-first-key-4711", "CANARY-second-key-0815", "CANARY-wrong-key-2342"
	eTrusted := fakeetrusted.New(fakeetrusted.Options{})
	file := filepath.Join(t.TempDir(), "key")
	brokertest.ReplaceFile(t, file, []byte(first+"\r\n"))
	b := startBroker(t, nil, brokertest.Environ(brokertest.Serve(t, eTrusted), "BROKER_ACCESS_KEY_FILE="+file, "BROKER_LOG_LEVEL=debug"))
	b.WaitReady()

	withoutKey := brokertest.Get(t, b.URL+"/channels")
	if withoutKey.Status != http.StatusUnauthorized || len(withoutKey.Header["Www-Authenticate"]) != 2 || withoutKey.Header.Get("Proxy-Status") == "" {
		t.Errorf("without a key: got status %d and the header %v, want 401 with both challenges", withoutKey.Status, withoutKey.Header)
	}
	if got := getWithKey(t, b.URL+"/channels", wrong); got.Status != http.StatusUnauthorized {
		t.Errorf("with a wrong key: got status %d, want 401", got.Status)
	}
	if n := eTrusted.APIRequestCount(); n != 0 {
		t.Errorf("got %d requests at the API, want 0", n)
	}
	if got := getWithKey(t, b.URL+"/channels", first); got.Status != http.StatusOK {
		t.Errorf("with the key: got status %d, want 200: %s", got.Status, got.Body)
	}
	request, err := http.NewRequest(http.MethodGet, b.URL+"/channels", nil)
	if err == nil {
		request.SetBasicAuth("shop", first)
	}
	if got := brokertest.Do(request, err); got.Status != http.StatusOK {
		t.Errorf("with the key as a password: got status %d, want 200: %s", got.Status, got.Body)
	}

	brokertest.ReplaceFile(t, file, []byte(second))
	brokertest.Eventually(t, "the broker accepts the new key", func() bool { return getWithKey(t, b.URL+"/channels", second).Status == http.StatusOK })
	if got := getWithKey(t, b.URL+"/channels", first); got.Status != http.StatusOK {
		t.Errorf("with the old key, just after the change: got status %d, want 200", got.Status)
	}
	const third = "CANARY-third-key-1234"
	brokertest.ReplaceFile(t, file, []byte(third+"\r\n\r\n"+second+"\n"))
	brokertest.Eventually(t, "the broker accepts the added key", func() bool { return getWithKey(t, b.URL+"/channels", third).Status == http.StatusOK })
	warnings := func() int { return len(b.Logs.Lines("cannot read the access keys; keeping the old ones")) }
	const invalid = "CANARY-invalid-key-9876"
	brokertest.ReplaceFile(t, file, []byte(invalid+"\n"+invalid+" \n"))
	brokertest.Eventually(t, "the broker warns of the key with a space", func() bool { return warnings() == 1 })
	if got := getWithKey(t, b.URL+"/channels", invalid); got.Status != http.StatusUnauthorized {
		t.Errorf("with a key from an invalid file: got status %d, want 401", got.Status)
	}
	brokertest.ReplaceFile(t, file, []byte("\n"))
	brokertest.Eventually(t, "the broker warns of the empty file", func() bool { return warnings() == 2 })
	if got := getWithKey(t, b.URL+"/channels", second); got.Status != http.StatusOK {
		t.Errorf("with the last key, while the file is empty: got status %d, want 200", got.Status)
	}
	if got := getWithKey(t, b.URL+"/channels", ""); got.Status != http.StatusUnauthorized {
		t.Errorf("without a key, while the file is empty: got status %d, want 401", got.Status)
	}

	metrics := brokertest.Get(t, b.Admin+"/metrics").Body
	if strings.Contains(metrics, `requests_denied_total{reason="key"} 0`) {
		t.Error("got no refusals in the metrics, want some")
	}
	output := fmt.Sprint(withoutKey, metrics, brokertest.Get(t, b.Admin+"/status.json").Body, b.Logs, b.Stdout)
	for _, r := range eTrusted.APIRequests() {
		output += fmt.Sprint(r.Header, r.RequestURI)
	}
	if strings.Contains(output, "CANARY") {
		t.Error("got a key in an output or at the API, want none")
	}
}

// A key file that is written in two steps has half of a key in it for a while, which is easier to find.
func TestHalfWrittenAccessKeyIsNotValid(t *testing.T) {
	t.Parallel()
	const first, second, half = "CANARY-first-key-4711", "CANARY-second-key-0815", "CANARY-second"
	path := filepath.Join(t.TempDir(), "key")
	brokertest.ReplaceFile(t, path, []byte(first))
	b := startBroker(t, nil, brokertest.Environ(brokertest.Serve(t, fakeetrusted.New(fakeetrusted.Options{})), "BROKER_ACCESS_KEY_FILE="+path))
	b.WaitReady()
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }() // its content is checked below
	write := func(text string) {
		t.Helper()
		if _, err := file.WriteString(text); err != nil {
			t.Fatal(err)
		}
	}
	const settles = 800 * time.Millisecond // less than the age at which the broker takes a file for complete
	written := time.Now()
	write(half)
	brokertest.Eventually(t, "some time passes", func() bool {
		got := getWithKey(t, b.URL+"/channels", half)
		elapsed := time.Since(written)
		if elapsed < settles && got.Status != http.StatusUnauthorized {
			t.Fatalf("with half of a key, after %v: got status %d, want 401", elapsed, got.Status)
		}
		return elapsed > settles/2
	})
	write(second[len(half):])
	delay := time.Since(written)
	brokertest.Eventually(t, "the broker accepts the new key", func() bool { return getWithKey(t, b.URL+"/channels", second).Status == http.StatusOK })
	if delay > settles {
		t.Skipf("this machine took %v to write the key, so half of it was complete", delay)
	}
	if got := getWithKey(t, b.URL+"/channels", half); got.Status != http.StatusUnauthorized {
		t.Errorf("with half of the key in the end: got status %d, want 401", got.Status)
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
		{"GET", "/%63hannels", 404}, // passed on unchanged, and unknown to the fake eTrusted
		{"GET", "/reviews", 403}, {"GET", "/channels/", 403}, {"POST", "/channels", 403}, {"DELETE", "/events", 403}, {"GET", "/@shop-de/reviews", 403},
		{"GET", "/@shop-de/@shop-de/channels", 403}, {"GET", "/@unknown/reviews", 403}, {"GET", "/@unknown/channels", 404},
		{"GET", "/channels/../reviews", 400}, {"GET", "/channels%2f..%2freviews", 400},
	} {
		before := eTrusted.APIRequestCount()
		request, err := http.NewRequest(test.method, b.URL, nil)
		if err == nil {
			request.URL.Opaque = test.target
		}
		got := brokertest.Do(request, err)
		if got.Status != test.status {
			t.Errorf("%s %s: got status %d, want %d: %s", test.method, test.target, got.Status, test.status, got.Body)
		}
		forwarded := test.status == 200 || test.target == "/%63hannels"
		if n := eTrusted.APIRequestCount() - before; (n == 1) != forwarded {
			t.Errorf("%s %s: got %d requests at the API, want forwarded %t", test.method, test.target, n, forwarded)
		}
		if test.status == 403 && !strings.Contains(got.Body, "BROKER_ALLOW") {
			t.Errorf("%s %s: got %s, want the variable to change", test.method, test.target, got.Body)
		}
	}
	requests := eTrusted.APIRequests()
	if last := requests[len(requests)-1].RequestURI; last != "/%63hannels" {
		t.Errorf("got %s at the API, want /%%63hannels", last)
	}
}
