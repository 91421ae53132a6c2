package main

import (
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"etrusted-broker/internal/brokertest"
	"etrusted-broker/internal/fakeetrusted"
)

func TestListensBeforeTheFirstToken(t *testing.T) {
	t.Parallel()
	eTrusted := fakeetrusted.New(fakeetrusted.Options{})
	gate := make(chan struct{})
	asked := make(chan struct{}, 1)
	b := startBroker(t, []string{"serve"}, brokertest.Environ(brokertest.Serve(t, brokertest.HoldRequests(eTrusted, "/oauth/token", gate, asked))))
	brokertest.Receive(t, "the token request", asked)

	if got := brokertest.Get(t, b.Admin+"/healthz"); got.Status != http.StatusOK {
		t.Errorf("/healthz: %d", got.Status)
	}
	if got := brokertest.Get(t, b.Admin+"/readyz"); got.Status != http.StatusServiceUnavailable || !strings.Contains(got.Body, "the first token is being fetched") {
		t.Errorf("/readyz: %d %q", got.Status, got.Body)
	}
	channels := brokertest.GetAsync(b.URL + "/channels")
	brokertest.Eventually(t, "the request waits for the token", func() bool {
		return strings.Contains(brokertest.Get(t, b.Admin+"/status.json").Body, `"waits": 1`)
	})
	if n := eTrusted.APIRequestCount(); n != 0 {
		t.Errorf("%d requests went upstream without a token", n)
	}

	close(gate)
	if got := brokertest.Receive(t, "an answer", channels); got.Status != http.StatusOK || !strings.Contains(got.Body, "chl-") {
		t.Errorf("/channels: %d %q %v", got.Status, got.Body, got.Err)
	}
	if got := brokertest.Get(t, b.Admin+"/readyz"); got.Status != http.StatusOK {
		t.Errorf("/readyz: %d %q", got.Status, got.Body)
	}
	if got := brokertest.Get(t, b.Admin+"/healthz"); got.Status != http.StatusOK {
		t.Errorf("/healthz: %d", got.Status)
	}
	if code := b.Stop(); code != exitOK {
		t.Errorf("exit code %d", code)
	}
}

func TestReportsRejectedCredentials(t *testing.T) {
	t.Parallel()
	eTrusted := fakeetrusted.New(fakeetrusted.Options{})
	b := startBroker(t, nil, brokertest.Environ(brokertest.Serve(t, eTrusted), "ETRUSTED_CLIENT_SECRET=wrong"))
	brokertest.Eventually(t, "the rejection is known", func() bool {
		return strings.Contains(brokertest.Get(t, b.Admin+"/readyz").Body, "SSO Client Management")
	})
	got := brokertest.Get(t, b.URL+"/channels") // at once, or the client's patience would end
	if got.Status != http.StatusServiceUnavailable || !strings.Contains(got.Body, "SSO Client Management") {
		t.Errorf("/channels: %d %q", got.Status, got.Body)
	}
	if failures := b.Logs.Lines("token request failed"); len(failures) != 1 || failures[0]["level"] != "error" || failures[0]["what_to_do"] == "" {
		t.Errorf("log: %v", failures)
	}
	if brokertest.Get(t, b.Admin+"/healthz").Status != http.StatusOK {
		t.Error("a broker that serves must not be restarted for its credentials")
	}
}

func TestReadsCredentialsFromFiles(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	b := startBroker(t, nil, brokertest.Environ(brokertest.Serve(t, fakeetrusted.New(fakeetrusted.Options{})),
		"ETRUSTED_CLIENT_ID=", "ETRUSTED_CLIENT_ID_FILE="+write("id", "\xef\xbb\xbf"+fakeetrusted.DefaultClientID+"\r\n"),
		"ETRUSTED_CLIENT_SECRET=", "ETRUSTED_CLIENT_SECRET_FILE="+write("secret", fakeetrusted.DefaultClientSecret+"\n")))
	if got := brokertest.Get(t, b.URL+"/channels"); got.Status != http.StatusOK {
		t.Errorf("/channels: %d %q", got.Status, got.Body)
	}
}

func TestSendsConfiguredAudienceAndScopes(t *testing.T) {
	t.Parallel()
	eTrusted := fakeetrusted.New(fakeetrusted.Options{Audience: "https://other.example"})
	b := startBroker(t, nil, brokertest.Environ(brokertest.Serve(t, eTrusted), "ETRUSTED_AUDIENCE=https://other.example", "ETRUSTED_SCOPES=a  b"))
	b.WaitReady()
	requests := eTrusted.TokenRequests()
	if form := requests[0].Form; form.Get("scope") != "a b" || form.Get("audience") != "https://other.example" {
		t.Errorf("audience %q, scope %q", form.Get("audience"), form.Get("scope"))
	}
	if agent := requests[0].Header.Get("User-Agent"); agent != "etrusted-broker/"+version {
		t.Errorf("User-Agent %q", agent)
	}
}

func TestReportsUnusableListenAddress(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	for _, variable := range []string{"BROKER_LISTEN", "BROKER_ADMIN_LISTEN"} {
		code, stdout, stderr := invoke(nil, brokertest.EnvironWithoutServers(variable+"="+taken.Addr().String())...)
		if code != exitFailure || stdout != "" {
			t.Errorf("%s: exit code %d, stdout %q", variable, code, stdout)
		}
		for _, part := range []string{variable + " " + taken.Addr().String() + " is taken", "set " + variable + " to another port"} {
			if !strings.Contains(stderr, part) {
				t.Errorf("%s: does not say %q:\n%s", variable, part, stderr)
			}
		}
		if strings.Contains(stderr, `"listening"`) {
			t.Errorf("%s: says that it listens:\n%s", variable, stderr)
		}
	}
	code, _, stderr := invoke(nil, brokertest.EnvironWithoutServers("BROKER_LISTEN=192.0.2.1:8080", "BROKER_UNSAFE_LISTEN=true")...)
	if code != exitFailure || !strings.Contains(stderr, "BROKER_LISTEN 192.0.2.1:8080 is not an address of this machine") {
		t.Errorf("exit code %d and\n%s", code, stderr)
	}
}

func TestRefusesLargeHeaders(t *testing.T) {
	t.Parallel()
	eTrusted := fakeetrusted.New(fakeetrusted.Options{})
	server := httptest.NewUnstartedServer(eTrusted)
	server.Config.DisableGeneralOptionsHandler = true // or it would answer OPTIONS * before the stand-in sees it
	server.Start()
	t.Cleanup(server.Close)
	b := startBroker(t, nil, brokertest.Environ(server.URL))
	b.WaitReady()
	for _, listener := range []string{b.URL, b.Admin} {
		request, err := http.NewRequest(http.MethodGet, listener+"/x", nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("X-Large", strings.Repeat("x", 128<<10))
		if got := brokertest.Do(request, nil); got.Status != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("128 kB of header: %d %v", got.Status, got.Err)
		}
	}
	if n := eTrusted.APIRequestCount(); n != 0 {
		t.Errorf("%d requests went upstream", n)
	}
	host := strings.TrimPrefix(b.URL, "http://")
	request := &http.Request{Method: http.MethodOptions, URL: &url.URL{Scheme: "http", Host: host, Opaque: "*"}, Host: host}
	got := brokertest.Do(request, nil)
	if requests := eTrusted.APIRequests(); got.Err != nil || len(requests) != 1 || requests[0].RequestURI != "*" || requests[0].Method != http.MethodOptions {
		t.Errorf("OPTIONS * is the API's to answer: %d %v, %d requests went upstream", got.Status, got.Err, len(requests))
	}
}

func TestRunsWithoutAdminListener(t *testing.T) {
	t.Parallel()
	b := startBroker(t, nil, brokertest.Environ(brokertest.Serve(t, fakeetrusted.New(fakeetrusted.Options{})), "BROKER_ADMIN_LISTEN="))
	if line := b.Logs.Lines("listening")[0]; line["admin"] != "off" || b.Admin != "" {
		t.Errorf("listening: %v", line)
	}
	if got := brokertest.Get(t, b.URL+"/channels"); got.Status != http.StatusOK {
		t.Errorf("/channels: %d", got.Status)
	}
	if code := b.Stop(); code != exitOK {
		t.Errorf("exit code %d", code)
	}
}

func TestServesOnUnsafeListenerWithWarning(t *testing.T) {
	t.Parallel()
	eTrusted := brokertest.Serve(t, fakeetrusted.New(fakeetrusted.Options{}))
	b := startBroker(t, nil, brokertest.Environ(eTrusted, "BROKER_LISTEN=0.0.0.0:0", "BROKER_UNSAFE_LISTEN=true"))
	const warning = "BROKER_UNSAFE_LISTEN is set: whoever reaches the app's listener can use the credentials"
	if lines := b.Logs.Lines(warning); len(lines) != 1 || lines[0]["level"] != "warn" {
		t.Errorf("no warning:\n%s", b.Logs)
	}
	if got := brokertest.Get(t, b.URL+"/channels"); got.Status != http.StatusOK {
		t.Errorf("/channels: %d", got.Status)
	}
}

// TestLogsStartTokenAndShutdown holds what operators rely on: each line is JSON, one tells the addresses, one the token.
func TestLogsStartTokenAndShutdown(t *testing.T) {
	t.Parallel()
	url := brokertest.Serve(t, fakeetrusted.New(fakeetrusted.Options{}))
	b := startBroker(t, nil, brokertest.Environ(url, "BROKER_LOG_LEVEL=debug"))
	b.WaitReady()
	brokertest.Get(t, b.URL+"/reviews?count=1&email=CANARY")
	brokertest.Eventually(t, "the request is logged", func() bool { return len(b.Logs.Lines("request")) == 1 })
	b.Stop()
	for line := range strings.Lines(b.Logs.String()) {
		if !json.Valid([]byte(line)) {
			t.Errorf("not JSON: %s", line)
		}
	}
	for _, want := range []struct{ message, field, value string }{
		{"listening", "api", url},
		{"listening", "token_url", url + "/oauth/token"},
		{"listening", "version", version},
		{"token fetched", "account", "default"},
		{"request", "path", "/reviews"},
		{"shutting down", "level", "info"},
		{"all requests have ended", "level", "info"},
	} {
		if lines := b.Logs.Lines(want.message); len(lines) != 1 || lines[0][want.field] != want.value {
			t.Errorf("%s: %v, want one with %s %q", want.message, lines, want.field, want.value)
		}
	}
	if strings.Contains(b.Logs.String(), "CANARY") {
		t.Errorf("the query is logged:\n%s", b.Logs)
	}
}

func TestHonoursLogLevelAndFormat(t *testing.T) {
	t.Parallel()
	// Whether its token request fails before it is shut down is left open; that would be an error.
	_, _, stderr := invoke(nil, brokertest.EnvironWithoutServers("BROKER_LOG_LEVEL=error")...)
	if strings.Count(stderr, "\n") != strings.Count(stderr, `"level":"error"`) {
		t.Errorf("at level error it says %s", stderr)
	}
	_, _, stderr = invoke(nil, brokertest.EnvironWithoutServers("BROKER_LOG_FORMAT=console")...)
	if first, _, _ := strings.Cut(stderr, "\n"); json.Valid([]byte(first)) || !strings.Contains(first, "\tINFO\tlistening\t") {
		t.Errorf("the console's format is %s", stderr)
	}
}
