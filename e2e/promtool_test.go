package e2e

import (
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"etrusted-broker/internal/brokertest"
)

// prometheusDir has the configuration and the rules that users copy.
var prometheusDir = filepath.Join("..", "examples", "prometheus")

// needPrometheusTool skips the test if prometheus or promtool, as named, is not installed, or fails it if
// E2E_PROMTOOL=required.
func needPrometheusTool(t *testing.T, name string) {
	t.Helper()
	need(t, name, "E2E_PROMTOOL", "the dashboard and the alerts are")
}

// runPromtool runs promtool with this input and returns its output.
func runPromtool(t *testing.T, input string, arguments ...string) string {
	t.Helper()
	needPrometheusTool(t, "promtool")
	cmd := exec.CommandContext(t.Context(), "promtool", arguments...)
	cmd.Dir = prometheusDir
	cmd.Stdin = strings.NewReader(input)
	output, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(arguments, " "), err, output)
	}
	return string(output)
}

// TestAlertsFireOnlyWhenTheyShould runs the cases in rules_test.yml.
func TestAlertsFireOnlyWhenTheyShould(t *testing.T) {
	t.Parallel()
	for _, arguments := range [][]string{
		{"check", "rules", "rules.yml"},
		{"check", "config", "prometheus.yml"},
		{"test", "rules", "rules_test.yml"},
	} {
		if output := runPromtool(t, "", arguments...); !strings.Contains(output, "SUCCESS") {
			t.Errorf("promtool %s: got %q, want SUCCESS", strings.Join(arguments, " "), output)
		}
	}
}

// TestMetricsPassPromtool: Prometheus' linter finds nothing wrong with the metrics of a broker that has handled every kind of
// request.
func TestMetricsPassPromtool(t *testing.T) {
	t.Parallel()
	needPrometheusTool(t, "promtool")
	servers := startTestServers(t, time.Minute)
	accounts := t.TempDir()
	writeFiles(t, accounts, account("shop-at", servers.login.currentSecret()))
	writeFiles(t, accounts, account("shop-ch", servers.newSecret())) // rejected
	b := servers.startReadyBroker(t, "ETRUSTED_ACCOUNTS_DIR="+accounts)
	b.sendEveryKindOfRequest(t)
	text := b.get(b.adminURL + "/metrics").Body
	for _, wanted := range []string{
		`requests_denied_total{reason="browser"} 1`, `requests_total{account="-"`, `requests_total{account="shop-at"`, `code="503"`,
		"upstream_duration_seconds_bucket", "go_goroutines",
	} {
		if !strings.Contains(text, wanted) {
			t.Errorf("the metrics do not contain %s", wanted)
		}
	}
	if b.metric("token_refreshes_total", `account="shop-ch"`, `outcome="rejected"`) == 0 {
		t.Error("got no rejected token request of shop-ch in the metrics, want some")
	}
	if output := runPromtool(t, text, "check", "metrics"); output != "" {
		t.Errorf("promtool check metrics: want no output, got:\n%s", output)
	}
}

// account returns the files of an account with the Client ID of these tests, for a directory ETRUSTED_ACCOUNTS_DIR.
func account(name, secret string) map[string]string {
	return map[string]string{name + "/client_id": clientID + "\n", name + "/client_secret": secret + "\n"}
}

// sendEveryKindOfRequest sends requests that the API accepts, requests that fail for lack of a token, and requests that the
// broker refuses.
func (b *broker) sendEveryKindOfRequest(t *testing.T) {
	t.Helper()
	for _, request := range []struct{ method, path, header, value string }{
		{method: http.MethodGet, path: "/channels"},
		{method: http.MethodPost, path: "/events"},
		{method: http.MethodGet, path: "/channels", header: "Traceparent", value: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"},
		{method: "BREW", path: "/coffee"},
		{method: http.MethodGet, path: "/@shop-at/channels"},
		{method: http.MethodGet, path: "/@shop-ch/channels"},
		{method: http.MethodGet, path: "/@unknown/channels"},
		{method: http.MethodPost, path: "/oauth/token"},
		{method: http.MethodGet, path: "/channels", header: "Origin", value: "https://page.example"},
		{method: http.MethodGet, path: "/channels", header: "Upgrade", value: "websocket"},
		{method: http.MethodGet, path: "/a/%2e%2e/b"},
		{method: http.MethodTrace, path: "/channels"},
	} {
		r, err := http.NewRequest(request.method, b.appURL+request.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if request.header != "" {
			r.Header.Set(request.header, request.value)
		}
		if got := brokertest.ReadResponse(b.client.Do(r)); got.Err != nil {
			t.Fatal(got.Err)
		}
	}
	connection := brokertest.DialRaw(t, strings.TrimPrefix(b.appURL, "http://"))
	connection.Send("this is not HTTP\r\n\r\n")
	connection.Rest(t)
	brokertest.WaitRecorded(b.t, b.adminURL)
}
