package main

import (
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"etrusted-broker/internal/brokertest"
	"etrusted-broker/internal/fakeetrusted"
)

func TestListensBeforeTheFirstToken(t *testing.T) {
	t.Parallel()
	eTrusted := fakeetrusted.New(fakeetrusted.Options{})
	gate := make(chan struct{})
	requested := make(chan struct{}, 1)
	b := startBroker(t, []string{"serve"}, brokertest.Environ(brokertest.Serve(t, brokertest.HoldRequests(eTrusted, "/oauth/token", gate, requested))))
	brokertest.Receive(t, "the token request", requested)

	if got := brokertest.Get(t, b.Admin+"/healthz"); got.Status != http.StatusOK {
		t.Errorf("/healthz: got status %d, want 200", got.Status)
	}
	if got := brokertest.Get(t, b.Admin+"/readyz"); got.Status != http.StatusServiceUnavailable || !strings.Contains(got.Body, "the first token is being fetched") {
		t.Errorf("/readyz: got status %d, want 503 with the reason: %q", got.Status, got.Body)
	}
	channels := brokertest.GetAsync(b.URL + "/channels")
	brokertest.Eventually(t, "the request waits for the token", func() bool {
		return strings.Contains(brokertest.Get(t, b.Admin+"/status.json").Body, `"requests_waited": 1`)
	})
	if n := eTrusted.APIRequestCount(); n != 0 {
		t.Errorf("got %d requests at the API without a token, want 0", n)
	}

	close(gate)
	if got := brokertest.Receive(t, "the response", channels); got.Status != http.StatusOK || !strings.Contains(got.Body, "chl-") {
		t.Errorf("/channels: got status %d, %v, want 200 with channels: %q", got.Status, got.Err, got.Body)
	}
	if got := brokertest.Get(t, b.Admin+"/readyz"); got.Status != http.StatusOK {
		t.Errorf("/readyz: got status %d, want 200: %q", got.Status, got.Body)
	}
	if got := brokertest.Get(t, b.Admin+"/healthz"); got.Status != http.StatusOK {
		t.Errorf("/healthz: got status %d, want 200", got.Status)
	}
	if code := b.Stop(); code != exitOK {
		t.Errorf("got exit code %d, want %d", code, exitOK)
	}
}

func TestReportsRejectedCredentials(t *testing.T) {
	t.Parallel()
	eTrusted := fakeetrusted.New(fakeetrusted.Options{})
	b := startBroker(t, nil, brokertest.Environ(brokertest.Serve(t, eTrusted), "ETRUSTED_CLIENT_SECRET=wrong"))
	brokertest.Eventually(t, "/readyz reports the rejection", func() bool {
		return strings.Contains(brokertest.Get(t, b.Admin+"/readyz").Body, "SSO Client Management")
	})
	got := brokertest.Get(t, b.URL+"/channels") // without delay, or the client would time out
	if got.Status != http.StatusServiceUnavailable || !strings.Contains(got.Body, "SSO Client Management") {
		t.Errorf("/channels: got status %d, want 503 with the cause: %q", got.Status, got.Body)
	}
	// The log line follows the state that /readyz shows.
	brokertest.Eventually(t, "the failure is logged", func() bool { return len(b.Logs.Lines("token request failed")) > 0 })
	if failures := b.Logs.Lines("token request failed"); len(failures) != 1 || failures[0]["level"] != "error" || failures[0]["hint"] == "" {
		t.Errorf("got %v, want one error with a hint", failures)
	}
	if got := brokertest.Get(t, b.Admin+"/healthz"); got.Status != http.StatusOK { // a restart would not help
		t.Errorf("/healthz: got status %d, want 200", got.Status)
	}
}

func TestSendsConfiguredAudienceAndScopes(t *testing.T) {
	t.Parallel()
	eTrusted := fakeetrusted.New(fakeetrusted.Options{Audience: "https://other.example"})
	b := startBroker(t, nil, brokertest.Environ(brokertest.Serve(t, eTrusted), "ETRUSTED_AUDIENCE=https://other.example", "ETRUSTED_SCOPES=a  b"))
	b.WaitReady()
	requests := eTrusted.TokenRequests()
	if form := requests[0].Form; form.Get("scope") != "a b" || form.Get("audience") != "https://other.example" {
		t.Errorf("got audience %q and scope %q, want https://other.example and a b", form.Get("audience"), form.Get("scope"))
	}
	if agent := requests[0].Header.Get("User-Agent"); agent != "etrusted-broker/"+version {
		t.Errorf("got User-Agent %q, want etrusted-broker/%s", agent, version)
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
			t.Errorf("%s: got exit code %d and stdout %q, want %d and nothing", variable, code, stdout, exitFailure)
		}
		for _, part := range []string{variable + " " + taken.Addr().String() + " is in use", "set " + variable + " to another port"} {
			if !strings.Contains(stderr, part) {
				t.Errorf("%s: got\n%s\nwant %q in it", variable, stderr, part)
			}
		}
		if strings.Contains(stderr, `"listening"`) {
			t.Errorf("%s: got the listening line, want none:\n%s", variable, stderr)
		}
	}
	code, _, stderr := invoke(nil, brokertest.EnvironWithoutServers("BROKER_LISTEN=192.0.2.1:8080", "BROKER_UNSAFE_LISTEN=true")...)
	if code != exitFailure || !strings.Contains(stderr, "BROKER_LISTEN 192.0.2.1:8080 is not an address of this machine") {
		t.Errorf("got exit code %d, want %d and the cause:\n%s", code, exitFailure, stderr)
	}
}

func TestRefusesLargeHeaders(t *testing.T) {
	t.Parallel()
	eTrusted := fakeetrusted.New(fakeetrusted.Options{})
	b := startBroker(t, nil, brokertest.Environ(brokertest.Serve(t, eTrusted)))
	b.WaitReady()
	for _, listener := range []string{b.URL, b.Admin} {
		request, err := http.NewRequest(http.MethodGet, listener+"/x", nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("X-Large", strings.Repeat("x", 128<<10))
		if got := brokertest.Do(request, nil); got.Status != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("%s with a header of 128 KiB: got status %d, %v, want 431", listener, got.Status, got.Err)
		}
	}
	if n := eTrusted.APIRequestCount(); n != 0 {
		t.Errorf("got %d requests at the API, want 0", n)
	}
}

func TestForwardsOptionsAsterisk(t *testing.T) {
	t.Parallel()
	eTrusted := fakeetrusted.New(fakeetrusted.Options{})
	server := httptest.NewUnstartedServer(eTrusted)
	server.Config.DisableGeneralOptionsHandler = true // by default, the server itself answers OPTIONS *
	server.Start()
	t.Cleanup(server.Close)
	b := startBroker(t, nil, brokertest.Environ(server.URL))
	b.WaitReady()
	host := strings.TrimPrefix(b.URL, "http://")
	request := &http.Request{Method: http.MethodOptions, URL: &url.URL{Scheme: "http", Host: host, Opaque: "*"}, Host: host}
	got := brokertest.Do(request, nil)
	if requests := eTrusted.APIRequests(); got.Err != nil || len(requests) != 1 || requests[0].RequestURI != "*" || requests[0].Method != http.MethodOptions {
		t.Errorf("OPTIONS *: got status %d, %v and %d requests at the API, want 1", got.Status, got.Err, len(requests))
	}
}

// Operators rely on the log: each line is JSON, and each event has one line.
func TestLogsStartTokenAndShutdown(t *testing.T) {
	t.Parallel()
	upstream := brokertest.Serve(t, fakeetrusted.New(fakeetrusted.Options{}))
	b := startBroker(t, nil, brokertest.Environ(upstream, "BROKER_LOG_LEVEL=debug"))
	b.WaitReady()
	brokertest.Get(t, b.URL+"/reviews?count=1&email=CANARY")
	brokertest.Eventually(t, "the request is logged", func() bool { return len(b.Logs.Lines("request")) == 1 })
	b.Stop()
	for line := range strings.Lines(b.Logs.String()) {
		if !json.Valid([]byte(line)) {
			t.Errorf("got %s, want JSON", line)
		}
	}
	for _, want := range []struct{ message, field, value string }{
		{"listening", "api", upstream},
		{"listening", "token_url", upstream + "/oauth/token"},
		{"listening", "version", version},
		{"token fetched", "account", "default"},
		{"request", "path", "/reviews"},
		{"shutting down", "level", "info"},
		{"all requests have finished", "level", "info"},
	} {
		if lines := b.Logs.Lines(want.message); len(lines) != 1 || lines[0][want.field] != want.value {
			t.Errorf("%s: got %v, want one line with %s %q", want.message, lines, want.field, want.value)
		}
	}
	if strings.Contains(b.Logs.String(), "CANARY") {
		t.Errorf("the query is logged:\n%s", b.Logs)
	}
}

func TestHonoursLogLevelAndFormat(t *testing.T) {
	t.Parallel()
	// Its token request may fail before the shutdown, which is an error too.
	_, _, stderr := invoke(nil, brokertest.EnvironWithoutServers("BROKER_LOG_LEVEL=error")...)
	if strings.Count(stderr, "\n") != strings.Count(stderr, `"level":"error"`) {
		t.Errorf("at level error: got %s, want only errors", stderr)
	}
	_, _, stderr = invoke(nil, brokertest.EnvironWithoutServers("BROKER_LOG_FORMAT=console")...)
	if first, _, _ := strings.Cut(stderr, "\n"); json.Valid([]byte(first)) || !strings.Contains(first, "\tINFO\tlistening\t") {
		t.Errorf("in format console: got %s, want text", stderr)
	}
}
