package e2e

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// prometheusExample is what ../examples gives to Prometheus.
var prometheusExample = filepath.Join("..", "examples", "prometheus")

// needTool skips the test where there is no such program of Prometheus', so that it can be run with Go alone; but a run
// that is about it must not pass without it.
func needTool(t *testing.T, name string) {
	t.Helper()
	_, err := exec.LookPath(name)
	missing := fmt.Sprintf("NO %s IN PATH: that the dashboard and the alerts work is NOT TESTED with it", strings.ToUpper(name))
	switch {
	case err == nil:
	case os.Getenv("E2E_PROMTOOL") == "required":
		t.Fatal(missing)
	default:
		t.Skip(missing)
	}
}

// promtool runs it with that input, and returns what it has to say.
func promtool(t *testing.T, input string, arguments ...string) string {
	t.Helper()
	needTool(t, "promtool")
	command := exec.CommandContext(t.Context(), "promtool", arguments...)
	command.Dir = prometheusExample
	command.Stdin = strings.NewReader(input)
	output, err := command.CombinedOutput()
	if err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(arguments, " "), err, output)
	}
	return string(output)
}

// TestAlerts holds that each alert fires when it should, and not otherwise: the cases are in rules_test.yml.
func TestAlerts(t *testing.T) {
	t.Parallel()
	for _, arguments := range [][]string{
		{"check", "rules", "rules.yml"},
		{"check", "config", "prometheus.yml"},
		{"test", "rules", "rules_test.yml"},
	} {
		if output := promtool(t, "", arguments...); !strings.Contains(output, "SUCCESS") {
			t.Errorf("promtool %s: %s", strings.Join(arguments, " "), output)
		}
	}
}

// TestMetricsAreWellFormed holds that Prometheus' own linter finds nothing in the metrics of a broker to which all has
// happened that can.
func TestMetricsAreWellFormed(t *testing.T) {
	t.Parallel()
	needTool(t, "promtool")
	w := newWorld(t, time.Minute)
	accounts := t.TempDir()
	writeAccount(t, accounts, "shop-at", clientID, w.login.currentSecret())
	writeAccount(t, accounts, "shop-ch", clientID, w.newSecret()) // rejected
	b := w.start(t, "ETRUSTED_CLIENT_ID="+clientID, "ETRUSTED_CLIENT_SECRET="+w.login.currentSecret(), "ETRUSTED_ACCOUNTS_DIR="+accounts)
	b.wait()
	b.everyKindOfRequest(t)
	text := b.get(b.admin + "/metrics").body
	for _, wanted := range []string{
		`requests_denied_total{reason="browser"} 1`, `requests_total{account="-"`, `requests_total{account="shop-at"`, `code="503"`,
		`outcome="rejected"} 1`, "upstream_duration_seconds_bucket", "go_goroutines",
	} {
		if !strings.Contains(text, wanted) {
			t.Errorf("there is no %s: not all has happened", wanted)
		}
	}
	if output := promtool(t, text, "check", "metrics"); output != "" {
		t.Errorf("promtool check metrics:\n%s", output)
	}
}

func writeAccount(t *testing.T, folder, name, id, secret string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Join(folder, name), 0o700); err != nil {
		t.Fatal(err)
	}
	for file, value := range map[string]string{"client_id": id, "client_secret": secret} {
		if err := os.WriteFile(filepath.Join(folder, name, file), []byte(value), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// everyKindOfRequest sends what the API answers, what it does not, and what the broker does not let in.
func (b *broker) everyKindOfRequest(t *testing.T) {
	t.Helper()
	for _, request := range []struct{ method, path, header, value string }{
		{method: http.MethodGet, path: "/channels"},
		{method: http.MethodPost, path: "/events"},
		{method: http.MethodGet, path: "/channels", header: "Traceparent", value: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"},
		{method: "BREW", path: "/coffee"},
		{method: http.MethodGet, path: "/@shop-at/channels"},
		{method: http.MethodGet, path: "/@shop-ch/channels"},
		{method: http.MethodGet, path: "/@nobody/channels"},
		{method: http.MethodPost, path: "/oauth/token"},
		{method: http.MethodGet, path: "/channels", header: "Origin", value: "https://page.example"},
		{method: http.MethodGet, path: "/channels", header: "Upgrade", value: "websocket"},
		{method: http.MethodGet, path: "/a/%2e%2e/b"},
		{method: http.MethodTrace, path: "/channels"},
	} {
		r, err := http.NewRequestWithContext(t.Context(), request.method, b.app+request.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if request.header != "" {
			r.Header.Set(request.header, request.value)
		}
		response, err := b.client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, response.Body)
		_ = response.Body.Close()
	}
	connection, err := net.DialTimeout("tcp", strings.TrimPrefix(b.app, "http://"), patience)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = connection.Close() }()
	_, _ = io.WriteString(connection, "this is no HTTP\r\n\r\n")
	_ = connection.SetReadDeadline(time.Now().Add(patience))
	_, _ = io.Copy(io.Discard, connection)
}
