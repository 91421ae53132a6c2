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

	"go.uber.org/zap"

	"etrusted-broker/internal/fakeetrusted"
)

func TestListensBeforeTheFirstToken(t *testing.T) {
	t.Parallel()
	eTrusted := fakeetrusted.New(fakeetrusted.Options{})
	gate := make(chan struct{})
	asked := make(chan struct{}, 1)
	b := startBroker(t, []string{"serve"}, environFor(serveHTTP(t, held(eTrusted, "/oauth/token", gate, asked))))
	receive(t, "the token request", asked)

	if got := get(t, b.admin+"/healthz"); got.status != http.StatusOK {
		t.Errorf("/healthz: %d", got.status)
	}
	if got := get(t, b.admin+"/readyz"); got.status != http.StatusServiceUnavailable || !strings.Contains(got.body, "the first token is being fetched") {
		t.Errorf("/readyz: %d %q", got.status, got.body)
	}
	channels := getLater(b.url + "/channels")
	eventually(t, "the request waits for the token", func() bool {
		return strings.Contains(get(t, b.admin+"/status.json").body, `"requests_waited": 1`)
	})
	if n := eTrusted.APIRequestCount(); n != 0 {
		t.Errorf("%d requests went upstream without a token", n)
	}

	close(gate)
	if got := receive(t, "an answer", channels); got.status != http.StatusOK || !strings.Contains(got.body, "chl-") {
		t.Errorf("/channels: %d %q %v", got.status, got.body, got.err)
	}
	if got := get(t, b.admin+"/readyz"); got.status != http.StatusOK {
		t.Errorf("/readyz: %d %q", got.status, got.body)
	}
	if got := get(t, b.admin+"/healthz"); got.status != http.StatusOK {
		t.Errorf("/healthz: %d", got.status)
	}
	if code := b.stop(); code != exitOK {
		t.Errorf("exit code %d", code)
	}
}

func TestRejectedCredentials(t *testing.T) {
	t.Parallel()
	eTrusted := fakeetrusted.New(fakeetrusted.Options{})
	b := startBroker(t, nil, environFor(serveHTTP(t, eTrusted), "ETRUSTED_CLIENT_SECRET=wrong"))
	eventually(t, "the rejection is known", func() bool {
		return strings.Contains(get(t, b.admin+"/readyz").body, "SSO Client Management")
	})
	got := get(t, b.url+"/channels") // at once, or the client's patience would end
	if got.status != http.StatusServiceUnavailable || !strings.Contains(got.body, "SSO Client Management") {
		t.Errorf("/channels: %d %q", got.status, got.body)
	}
	if failures := b.logs.lines("token request failed"); len(failures) != 1 || failures[0]["level"] != "error" || failures[0]["what_to_do"] == "" {
		t.Errorf("log: %v", failures)
	}
	if get(t, b.admin+"/healthz").status != http.StatusOK {
		t.Error("a broker that serves must not be restarted for its credentials")
	}
}

func TestCredentialsFromFiles(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	b := startBroker(t, nil, environFor(serveHTTP(t, fakeetrusted.New(fakeetrusted.Options{})),
		"ETRUSTED_CLIENT_ID=", "ETRUSTED_CLIENT_ID_FILE="+write("id", "\xef\xbb\xbf"+fakeetrusted.DefaultClientID+"\r\n"),
		"ETRUSTED_CLIENT_SECRET=", "ETRUSTED_CLIENT_SECRET_FILE="+write("secret", fakeetrusted.DefaultClientSecret+"\n")))
	if got := get(t, b.url+"/channels"); got.status != http.StatusOK {
		t.Errorf("/channels: %d %q", got.status, got.body)
	}
}

func TestTokenRequestParameters(t *testing.T) {
	t.Parallel()
	eTrusted := fakeetrusted.New(fakeetrusted.Options{Audience: "https://other.example"})
	b := startBroker(t, nil, environFor(serveHTTP(t, eTrusted), "ETRUSTED_AUDIENCE=https://other.example", "ETRUSTED_SCOPES=a  b"))
	b.ready()
	requests := eTrusted.TokenRequests()
	if form := requests[0].Form; form.Get("scope") != "a b" || form.Get("audience") != "https://other.example" {
		t.Errorf("audience %q, scope %q", form.Get("audience"), form.Get("scope"))
	}
	if agent := requests[0].Header.Get("User-Agent"); agent != "etrusted-broker/"+version {
		t.Errorf("User-Agent %q", agent)
	}
}

func TestPortTaken(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	for _, variable := range []string{"BROKER_LISTEN", "BROKER_ADMIN_LISTEN"} {
		code, stdout, stderr := invoke(nil, nowhere(variable+"="+taken.Addr().String())...)
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
	code, _, stderr := invoke(nil, nowhere("BROKER_LISTEN=192.0.2.1:8080", "BROKER_UNSAFE_LISTEN=true")...)
	if code != exitFailure || !strings.Contains(stderr, "BROKER_LISTEN 192.0.2.1:8080 is not an address of this machine") {
		t.Errorf("exit code %d and\n%s", code, stderr)
	}
}

// TestListenerFails holds that a broker that can no longer be reached, or no longer be watched, ends and says so.
func TestListenerFails(t *testing.T) {
	t.Parallel()
	c, problems := loadConfig(nowhere())
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	for _, dead := range []string{"app", "admin"} {
		listeners := map[string]net.Listener{}
		for _, name := range []string{"app", "admin"} {
			var err error
			if listeners[name], err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
				t.Fatal(err)
			}
		}
		_ = listeners[dead].Close()
		b, err := newBroker(c, zap.NewNop(), newAPITransport(patience), newLoginTransport())
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- b.serve(t.Context(), listeners["app"], listeners["admin"]) }()
		if err := receive(t, "the end", ended); err == nil || !strings.Contains(err.Error(), "the "+dead+" listener failed") {
			t.Errorf("%s: %v", dead, err)
		}
	}
}

func TestServerLimits(t *testing.T) {
	t.Parallel()
	eTrusted := fakeetrusted.New(fakeetrusted.Options{})
	server := httptest.NewUnstartedServer(eTrusted)
	server.Config.DisableGeneralOptionsHandler = true // or it would answer OPTIONS * before the stand-in sees it
	server.Start()
	t.Cleanup(server.Close)
	b := startBroker(t, nil, environFor(server.URL))
	b.ready()
	for _, listener := range []string{b.url, b.admin} {
		request, err := http.NewRequest(http.MethodGet, listener+"/x", nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("X-Large", strings.Repeat("x", 128<<10))
		if got := do(request, nil); got.status != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("128 kB of header: %d %v", got.status, got.err)
		}
	}
	if n := eTrusted.APIRequestCount(); n != 0 {
		t.Errorf("%d requests went upstream", n)
	}
	host := strings.TrimPrefix(b.url, "http://")
	request := &http.Request{Method: http.MethodOptions, URL: &url.URL{Scheme: "http", Host: host, Opaque: "*"}, Host: host}
	got := do(request, nil)
	if requests := eTrusted.APIRequests(); got.err != nil || len(requests) != 1 || requests[0].RequestURI != "*" || requests[0].Method != http.MethodOptions {
		t.Errorf("OPTIONS * is the API's to answer: %d %v, %d requests went upstream", got.status, got.err, len(requests))
	}
}

func TestAdminOff(t *testing.T) {
	t.Parallel()
	b := startBroker(t, nil, environFor(serveHTTP(t, fakeetrusted.New(fakeetrusted.Options{})), "BROKER_ADMIN_LISTEN="))
	if line := b.logs.lines("listening")[0]; line["admin"] != "off" || b.admin != "" {
		t.Errorf("listening: %v", line)
	}
	if got := get(t, b.url+"/channels"); got.status != http.StatusOK {
		t.Errorf("/channels: %d", got.status)
	}
	if code := b.stop(); code != exitOK {
		t.Errorf("exit code %d", code)
	}
}

func TestUnsafeListenIsWarnedOf(t *testing.T) {
	t.Parallel()
	eTrusted := serveHTTP(t, fakeetrusted.New(fakeetrusted.Options{}))
	b := startBroker(t, nil, environFor(eTrusted, "BROKER_LISTEN=0.0.0.0:0", "BROKER_UNSAFE_LISTEN=true"))
	const warning = "BROKER_UNSAFE_LISTEN is set: whoever reaches the app's listener can use the credentials"
	if lines := b.logs.lines(warning); len(lines) != 1 || lines[0]["level"] != "warn" {
		t.Errorf("no warning:\n%s", b.logs)
	}
	if got := get(t, b.url+"/channels"); got.status != http.StatusOK {
		t.Errorf("/channels: %d", got.status)
	}
}

// TestLogOfALife holds what operators rely on: each line is JSON, one tells the addresses, one the token.
func TestLogOfALife(t *testing.T) {
	t.Parallel()
	url := serveHTTP(t, fakeetrusted.New(fakeetrusted.Options{}))
	b := startBroker(t, nil, environFor(url, "BROKER_LOG_LEVEL=debug"))
	b.ready()
	get(t, b.url+"/reviews?count=1&email=CANARY")
	eventually(t, "the request is logged", func() bool { return len(b.logs.lines("request")) == 1 })
	b.stop()
	for line := range strings.Lines(b.logs.String()) {
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
		if lines := b.logs.lines(want.message); len(lines) != 1 || lines[0][want.field] != want.value {
			t.Errorf("%s: %v, want one with %s %q", want.message, lines, want.field, want.value)
		}
	}
	if strings.Contains(b.logs.String(), "CANARY") {
		t.Errorf("the query is logged:\n%s", b.logs)
	}
}

func TestLogLevelAndFormat(t *testing.T) {
	t.Parallel()
	// Whether its token request fails before it is shut down is left open; that would be an error.
	_, _, stderr := invoke(nil, nowhere("BROKER_LOG_LEVEL=error")...)
	if strings.Count(stderr, "\n") != strings.Count(stderr, `"level":"error"`) {
		t.Errorf("at level error it says %s", stderr)
	}
	_, _, stderr = invoke(nil, nowhere("BROKER_LOG_FORMAT=console")...)
	if first, _, _ := strings.Cut(stderr, "\n"); json.Valid([]byte(first)) || !strings.Contains(first, "\tINFO\tlistening\t") {
		t.Errorf("the console's format is %s", stderr)
	}
}
