package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"etrusted-broker/internal/brokertest"
	"etrusted-broker/internal/check"
	"etrusted-broker/internal/fakeetrusted"
)

// failedSteps are those that a check has marked with ✗.
func failedSteps(stdout string) []string {
	var failed []string
	for line := range strings.Lines(stdout) {
		if rest, ok := strings.CutPrefix(line, "✗ "); ok {
			failed = append(failed, columns.Split(rest, 2)[0])
		}
	}
	return failed
}

// mustDiagnose holds that a check ends with 1, that the steps and no others have failed, and that it says all of it.
func mustDiagnose(t *testing.T, code int, stdout, stderr string, failed []string, says ...string) {
	t.Helper()
	if code != exitFailure || stderr != "" || !slices.Equal(failedSteps(stdout), failed) {
		t.Errorf("exit code %d, ✗ %q, want %q\n%s%s", code, failedSteps(stdout), failed, stdout, stderr)
	}
	for _, part := range append(says, "What to do:") {
		if !strings.Contains(stdout, part) {
			t.Errorf("got no %q in:\n%s", part, stdout)
		}
	}
}

// silentServer takes connections and says nothing.
func silentServer(t *testing.T) (address string) {
	t.Helper()
	return brokertest.ServeRaw(t, func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) })
}

// tlsServer serves the placeholder with a certificate.
func tlsServer(t *testing.T, handler http.Handler, a *brokertest.CA, template x509.Certificate) (url string) {
	t.Helper()
	key, cert := a.Sign(&template)
	server := httptest.NewUnstartedServer(handler)
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // of handshakes that are to fail
	server.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{cert.Raw}, PrivateKey: key}}}
	server.StartTLS()
	t.Cleanup(server.Close)
	return server.URL
}

// forLoopback is a certificate's template.
func forLoopback(names ...string) x509.Certificate {
	return x509.Certificate{Subject: pkix.Name{CommonName: "leaf"}, DNSNames: names, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotAfter: time.Now().Add(time.Hour)}
}

// lateBy is handler with another clock.
func lateBy(handler http.Handler, by time.Duration) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Date", time.Now().Add(by).UTC().Format(http.TimeFormat))
		handler.ServeHTTP(w, r)
	})
}

// TestCheckTestsBothServers: a failure of one connection does not hide a failure of the other.
func TestCheckTestsBothServers(t *testing.T) {
	t.Parallel()
	code, stdout, stderr := ask([]string{"check"}, brokertest.Environ("http://127.0.0.1:1", "ETRUSTED_API_URL=https://127.0.0.1:1")...)
	mustDiagnose(t, code, stdout, stderr, []string{"login server: TCP", "API: TCP"},
		"– API: TLS                      skipped: TCP failed", "– clock", "– token", "– GET /channels",
		"Problem: login server (login server: TCP); API (API: TCP).")
}

func TestCheckPasses(t *testing.T) {
	t.Parallel()
	eTrusted := fakeetrusted.New(fakeetrusted.Options{})
	code, stdout, stderr := ask([]string{"check"}, brokertest.Environ(brokertest.Serve(t, eTrusted))...)
	if code != exitOK || stderr != "" || failedSteps(stdout) != nil {
		t.Errorf("exit code %d\n%s%s", code, stdout, stderr)
	}
	var names []string
	for line := range strings.Lines(stdout) {
		if rest, ok := strings.CutPrefix(line, "✓ "); ok {
			names = append(names, columns.Split(rest, 2)[0])
		}
	}
	if want := []string{"configuration", "files", "login server: DNS", "login server: TCP", "clock", "token", "API: DNS", "API: TCP", "GET /channels", "app's listener", "admin listener"}; !slices.Equal(names, want) {
		t.Errorf("steps %q, want %q", names, want)
	}
	for _, part := range []string{"received, valid for 300 s; audience https://api.etrusted.com; scopes email, profile\n", "200 OK, channels: 3\n", "✓ configuration ", "settings are valid\n", "in sync (within a minute)\n", "\nAll checks passed.\n"} {
		if !strings.Contains(stdout, part) {
			t.Errorf("got no %q in:\n%s", part, stdout)
		}
	}
	tokens, requests := eTrusted.TokenRequestCount(), eTrusted.APIRequests()
	if tokens != 1 || len(requests) != 1 || requests[0].Method != "GET" || requests[0].RequestURI != "/channels" {
		t.Errorf("%d token requests, requests %v", tokens, requests)
	}
}

func TestCheckOfSeveralAccounts(t *testing.T) {
	t.Parallel()
	eTrusted := fakeetrusted.New(fakeetrusted.Options{})
	eTrusted.SetClient("id-de", "secret-de")
	dir := t.TempDir()
	addAccount(t, dir, "shop-de", "id-de", "secret-de")
	addAccount(t, dir, "shop-at", "id-at", "secret-at") // unknown to the login server
	addAccount(t, dir, "Wrong", "id", "secret")
	code, stdout, stderr := ask([]string{"check"}, brokertest.Environ(brokertest.Serve(t, eTrusted), "ETRUSTED_ACCOUNTS_DIR="+dir+"/")...)
	mustDiagnose(t, code, stdout, stderr, []string{"token of shop-at"},
		"✓ token   ", "✓ GET /channels   ", "– GET /channels of shop-at", "✓ token of shop-de", "✓ GET /channels of shop-de", `! "Wrong" is not a valid account name`,
		"Problem: credentials (token of shop-at).", filepath.Join(dir, "shop-at", "client_id")+" (0600)")
	if eTrusted.TokenRequestCount() != 3 {
		t.Errorf("%d token requests", eTrusted.TokenRequestCount())
	}
}

// TestCheckDoesNotWaitForEachAccount: an unavailable server costs one timeout, not one per account.
func TestCheckDoesNotWaitForEachAccount(t *testing.T) {
	t.Parallel()
	for name, hang := range map[string]func(*testing.T, *fakeetrusted.Server) []string{
		"token": tokenFault(fakeetrusted.Hang()), "GET /channels": apiFault(fakeetrusted.Hang()),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eTrusted := fakeetrusted.New(fakeetrusted.Options{})
			eTrusted.SetClient("id-de", "secret-de")
			hang(t, eTrusted)
			dir := t.TempDir()
			for _, account := range []string{"a", "b", "c"} {
				addAccount(t, dir, account, "id-de", "secret-de")
			}
			code, stdout, stderr := ask([]string{"check", "-timeout", "2s"}, brokertest.Environ(brokertest.Serve(t, eTrusted), "ETRUSTED_ACCOUNTS_DIR="+dir)...)
			mustDiagnose(t, code, stdout, stderr, []string{name}, "– "+name+" of c", "skipped: ", " unavailable")
		})
	}
}

func TestCheckWithoutAnyAccount(t *testing.T) {
	t.Parallel()
	url := brokertest.Serve(t, fakeetrusted.New(fakeetrusted.Options{}))
	code, stdout, stderr := ask([]string{"check"}, brokertest.Environ(url, "ETRUSTED_CLIENT_ID=", "ETRUSTED_CLIENT_SECRET=", "ETRUSTED_ACCOUNTS_DIR="+t.TempDir())...)
	mustDiagnose(t, code, stdout, stderr, []string{"files"}, "there is no account in ETRUSTED_ACCOUNTS_DIR", "client_id")
}

func TestCheckAsJSON(t *testing.T) {
	t.Parallel()
	eTrusted := fakeetrusted.New(fakeetrusted.Options{})
	eTrusted.SetClient("id-de", "secret-de")
	dir := t.TempDir()
	addAccount(t, dir, "shop-de", "id-de", "secret-de")
	environ := brokertest.Environ(brokertest.Serve(t, eTrusted), "ETRUSTED_ACCOUNTS_DIR="+dir)
	code, stdout, stderr := ask([]string{"check", "-json"}, environ...)
	var good check.Report
	if err := json.Unmarshal([]byte(stdout), &good); err != nil || code != exitOK || stderr != "" {
		t.Fatalf("exit code %d, %v\n%s%s", code, err, stdout, stderr)
	}
	if !good.OK || good.Summary != "All checks passed." || len(good.Causes) != 0 || len(good.Steps) != 13 || len(good.Accounts) != 2 {
		t.Errorf("%s", stdout)
	}
	if a := good.Accounts[1]; a.Account != "shop-de" || !a.TokenOK || a.LifetimeSeconds != 300 || a.Channels == nil || *a.Channels != 3 || !slices.Equal(a.Scopes, []string{"email", "profile"}) {
		t.Errorf("%s", stdout)
	}

	eTrusted.SetAPIFault(fakeetrusted.Status(403, nil))
	code, stdout, _ = ask([]string{"check", "--json"}, environ...)
	var bad map[string]any
	if err := json.Unmarshal([]byte(stdout), &bad); err != nil || code != exitFailure {
		t.Fatalf("exit code %d, %v\n%s", code, err, stdout)
	}
	steps := bad["steps"].([]any)
	step := steps[8].(map[string]any)
	if bad["ok"] != false || bad["interrupted"] != false || bad["causes"].([]any)[0] != "rights" || !strings.Contains(bad["summary"].(string), "the client's rights") {
		t.Errorf("%s", stdout)
	}
	if step["name"] != "GET /channels" || step["account"] != "default" || step["status"] != "failed" || step["cause"] != "rights" || step["advice"] == "" || !strings.HasSuffix(step["target"].(string), "/channels") {
		t.Errorf("%v", step)
	}
	if _, isNumber := step["seconds"].(float64); !isNumber {
		t.Errorf("%v", step)
	}
	if first := steps[0].(map[string]any); first["status"] != "ok" || first["advice"] != nil || first["cause"] != nil {
		t.Errorf("%v", first)
	}
}

func TestCheckOfAWrongConfiguration(t *testing.T) {
	t.Parallel()
	environ := []string{"ETRUSTED_CLIENT_ID=" + canaryID, "ETRUSTED_API_URL=ftp://" + canarySecret, "BROKER_LISTEN=8080", "BROKER_UPSTREAM_TIMEOT=" + canarySecret}
	blamed := []string{"ETRUSTED_CLIENT_SECRET", "ETRUSTED_API_URL", "BROKER_LISTEN"}
	code, stdout, stderr := ask([]string{"check"}, environ...)
	if code != exitUsageOrConfig || stderr != "" || !slices.Equal(failedSteps(stdout), []string{"configuration"}) {
		t.Errorf("exit code %d\n%s%s", code, stdout, stderr)
	}
	for _, variable := range blamed {
		if strings.Count(stdout, " "+variable+": ") != 1 {
			t.Errorf("want the error of %s once in:\n%s", variable, stdout)
		}
	}
	for _, part := range []string{"BROKER_UPSTREAM_TIMEOT is not a variable", "Problem: configuration ("} {
		if !strings.Contains(stdout, part) {
			t.Errorf("got no %q in:\n%s", part, stdout)
		}
	}
	code, asJSON, stderr := ask([]string{"check", "-json"}, environ...)
	var report check.Report
	if err := json.Unmarshal([]byte(asJSON), &report); err != nil || code != exitUsageOrConfig || report.OK || len(report.Steps) != 1 || report.Steps[0].Cause != check.CauseConfiguration {
		t.Errorf("exit code %d, %v\n%s%s", code, err, asJSON, stderr)
	}
	for _, variable := range blamed {
		if !strings.Contains(report.Steps[0].Advice, variable+": ") {
			t.Errorf("got no advice about %s: %s", variable, asJSON)
		}
	}
	if strings.Contains(stdout+asJSON+stderr, "CANARY") || strings.Contains(stdout+asJSON+stderr, canaryID) {
		t.Errorf("shows a secret:\n%s%s%s", stdout, asJSON, stderr)
	}
}

func TestCheckCommandLine(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"check", "-h"}, exitOK, "-timeout"},
		{[]string{"check", "x"}, exitUsageOrConfig, "broker check: takes no arguments but -env-file and -json and -timeout"},
		{[]string{"check", "-timeout", "soon"}, exitUsageOrConfig, "-timeout"},
		{[]string{"check", "-timeout=0s"}, exitUsageOrConfig, "-timeout must be greater than zero"},
		{[]string{"check", "-unknown"}, exitUsageOrConfig, "-json"},
	} {
		if code, stdout, stderr := ask(test.args, brokertest.EnvironWithoutServers()...); code != test.code || stdout != "" || !strings.Contains(stderr, test.says) {
			t.Errorf("%q: exit code %d, %q, %q", test.args, code, stdout, stderr)
		}
	}
	if _, stdout, _ := ask([]string{"-h"}); !strings.Contains(stdout, "\n  check ") {
		t.Errorf("the help does not name it:\n%s", stdout)
	}
}

func TestCheckIsInterrupted(t *testing.T) {
	t.Parallel()
	for name, hang := range map[string]func(*testing.T, *fakeetrusted.Server) []string{
		"token": tokenFault(fakeetrusted.Hang()),
		"API":   apiFault(fakeetrusted.Hang()),
		"TLS": func(t *testing.T, _ *fakeetrusted.Server) []string {
			return []string{"ETRUSTED_API_URL=https://" + silentServer(t)}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eTrusted := fakeetrusted.New(fakeetrusted.Options{})
			environ := append(brokertest.Environ(brokertest.Serve(t, eTrusted)), hang(t, eTrusted)...)
			ctx, interrupt := context.WithCancel(context.Background())
			defer interrupt()
			var stdout, stderr brokertest.LogBuffer
			ended := make(chan int, 1)
			go func() { ended <- run(ctx, "broker", []string{"check", "-timeout", "1h"}, environ, &stdout, &stderr) }()
			waitingFor := map[string]string{"token": "✓ login server: TCP", "API": "✓ token", "TLS": "✓ API: TCP"}[name]
			brokertest.Eventually(t, "the check has come so far", func() bool { return strings.Contains(stdout.String(), waitingFor) })
			interrupt()
			if code := brokertest.Receive(t, "the end", ended); code != exitFailure || failedSteps(stdout.String()) != nil || !strings.Contains(stdout.String(), "The check was interrupted before the end.") {
				t.Errorf("exit code %d\n%s%s", code, &stdout, &stderr)
			}
		})
	}
}

func TestCheckOfFiles(t *testing.T) {
	t.Parallel()
	eTrusted := fakeetrusted.New(fakeetrusted.Options{})
	eTrusted.SetClient("id-de", "secret-de")
	url := brokertest.Serve(t, eTrusted)
	dir := t.TempDir()
	addAccount(t, dir, "shop-de", "id-de", "secret-de")
	secret := filepath.Join(dir, "shop-de", "client_secret")
	if err := os.Chmod(secret, 0o644); err != nil {
		t.Fatal(err)
	}
	public := filepath.Join(t.TempDir(), "bundle.pem")
	if err := os.WriteFile(public, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(public, 0o644); err != nil {
		t.Fatal(err)
	}
	environ := brokertest.Environ(url, "ETRUSTED_ACCOUNTS_DIR="+dir, "SSL_CERT_FILE="+public)
	code, stdout, stderr := ask([]string{"check"}, environ...)
	for _, part := range []string{public + " (0644)", secret + " (0644)", "! " + secret + " is readable for others on this machine, every user (mode 0644): run chmod o-r " + secret, "All checks passed, with warnings (!)."} {
		if code != exitOK || !strings.Contains(stdout, part) {
			t.Errorf("exit code %d, got no %q in:\n%s%s", code, part, stdout, stderr)
		}
	}
	if strings.Contains(stdout, "client_id is readable") || strings.Contains(stdout, public+" is readable") {
		t.Errorf("got a warning about a file that is private, or not secret:\n%s", stdout)
	}
	if err := os.Remove(secret); err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr = ask([]string{"check"}, environ...)
	mustDiagnose(t, code, stdout, stderr, []string{"files"}, secret+" does not exist", "– token of shop-de", "skipped: credential files are not readable")
	if err := os.WriteFile(secret, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr = ask([]string{"check"}, environ...)
	mustDiagnose(t, code, stdout, stderr, []string{"files"}, secret+" is empty", "– token of shop-de")
	if err := os.Remove(secret); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(secret, 0o700); err != nil {
		t.Fatal(err)
	}
	_, stdout, _ = ask([]string{"check"}, environ...)
	if !strings.Contains(stdout, secret+" is not a regular file") {
		t.Errorf("%s", stdout)
	}
}
