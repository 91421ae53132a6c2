package main

import (
	"encoding/json"
	"strings"
	"testing"

	"etrusted-broker/internal/brokertest"
	"etrusted-broker/internal/fakeetrusted"
)

func TestStatusPrintsFiveLines(t *testing.T) {
	t.Parallel()
	const statusDocument = `{"version": "1", "ready": %READY%, "summary": "Requests work. \u001b[31m` + "\u202e" + `",
  "components": {
    "login_server": {"state": "ok", "summary": "It issues tokens.", "since": "2026-01-02T03:04:05Z", "latency_seconds": 0.12},
    "token": {"state": "warning", "summary": "No token for 1 of 2 accounts.", "since": "2026-01-02T03:04:05Z", "latency_seconds": 0},
    "api": {"state": "unknown", "summary": "It was not needed."}},
  "accounts": [{"account": "default", "token_valid": true}, {"account": "shop-de", "token_valid": false}]}` // its texts come from another program
	want := `verdict:       Requests work. %1B[31m%E2%80%AE
login server:  ok, It issues tokens. (120 ms) since 2026-01-02 03:04:05 UTC
token:         warning, No token for 1 of 2 accounts. since 2026-01-02 03:04:05 UTC
API:           unknown, It was not needed.
accounts:      2, without a valid token: shop-de
`
	for ready, wantCode := range map[string]int{"true": exitOK, "false": exitFailure} {
		document := strings.Replace(statusDocument, "%READY%", ready, 1)
		listener := brokertest.Serve(t, fakeetrusted.Answer(200, "application/json", document))
		code, stdout, stderr := ask([]string{"status"}, adminEnv(listener))
		if code != wantCode || stdout != want || stderr != "" {
			t.Errorf("ready is %s: got exit code %d and\n%s%swant %d and\n%s", ready, code, stdout, stderr, wantCode, want)
		}
		code, stdout, _ = ask([]string{"status", "-json"}, adminEnv(listener))
		var all map[string]any
		if err := json.Unmarshal([]byte(stdout), &all); err != nil || code != wantCode || all["version"] != "1" {
			t.Errorf("-json: got exit code %d, %v and %s, want %d and the document", code, err, stdout, wantCode)
		}
		brokertest.CheckPrintable(t, "-json", stdout, 1, 2000)
	}
}

func TestStatusSaysWhatToDo(t *testing.T) {
	t.Parallel()
	b := startBroker(t, nil, brokertest.Environ(brokertest.Serve(t, fakeetrusted.New(fakeetrusted.Options{})), "ETRUSTED_CLIENT_SECRET=wrong"))
	brokertest.Eventually(t, "the rejection", func() bool { return len(b.Logs.Lines("token request failed")) > 0 })
	code, stdout, _ := ask([]string{"status"}, adminEnv(b.Admin))
	want := "verdict:       Requests fail: the credentials do not work.\nwhy:           The login server rejected the credentials (401 Unauthorized, invalid_client).\nwhat to do:    In the eTrusted Control Centre ("
	if code != exitFailure || !strings.HasPrefix(stdout, want) || strings.Count(stdout, "\n") != 7 {
		t.Errorf("got exit code %d and\n%swant %d and seven lines that begin\n%s", code, stdout, exitFailure, want)
	}
}

func TestStatusOfRunningBroker(t *testing.T) {
	t.Parallel()
	b := startBroker(t, nil, brokertest.Environ(brokertest.Serve(t, fakeetrusted.New(fakeetrusted.Options{}))))
	b.WaitReady()
	code, stdout, stderr := ask([]string{"status"}, adminEnv(b.Admin))
	if code != exitOK || stderr != "" || strings.Count(stdout, "\n") != 5 || !strings.HasPrefix(stdout, "verdict:       ") || !strings.HasSuffix(stdout, "\naccounts:      1\n") {
		t.Errorf("got exit code %d and\n%s%swant 0 and five lines", code, stdout, stderr)
	}
}

func TestStatusSaysWhyThereIsNone(t *testing.T) {
	t.Parallel()
	other := brokertest.Serve(t, fakeetrusted.Answer(200, "application/json", "{}"))
	for _, test := range []struct {
		environ, says string
		code          int
	}{
		{"BROKER_ADMIN_LISTEN=127.0.0.1:1", "the broker's admin listener on 127.0.0.1:1 refused the connection: is it running?", exitFailure},
		{adminEnv(other), "is in use by another program, or by a broker of another version", exitFailure},
		{"BROKER_ADMIN_LISTEN=", "BROKER_ADMIN_LISTEN is empty", exitUsageOrConfig},
	} {
		if code, stdout, stderr := ask([]string{"status"}, test.environ); code != test.code || stdout != "" || !strings.Contains(stderr, test.says) {
			t.Errorf("%s: got exit code %d, %q and %q, want %d and %q", test.environ, code, stdout, stderr, test.code, test.says)
		}
	}
}

func TestVersionFlag(t *testing.T) {
	t.Parallel()
	_, want, _ := ask([]string{"version"})
	for _, name := range []string{"--version", "-version"} {
		if code, stdout, _ := ask([]string{name}); code != exitOK || stdout != want || !strings.HasPrefix(stdout, "etrusted-broker ") {
			t.Errorf("%s: got exit code %d and %q, want 0 and %q", name, code, stdout, want)
		}
	}
}
