package admin_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"etrusted-broker/internal/admin"
	"etrusted-broker/internal/operations"
	"etrusted-broker/metrics"
	"etrusted-broker/tokensource"
)

var started = time.Date(2026, 1, 2, 3, 4, 5, 0, time.FixedZone("", 3600))

func handler(draining bool, snapshots ...tokensource.Snapshot) *admin.Handler {
	c := config(snapshots...)
	c.Draining = func() bool { return draining }
	return admin.New(c)
}

// config returns a configuration with these accounts.
func config(snapshots ...tokensource.Snapshot) admin.Config {
	tokens := func() []tokensource.Snapshot { return snapshots }
	counters := metrics.New(metrics.Config{
		Tokens: tokens, InFlight: func() int64 { return 0 }, UnsafeListen: func() bool { return false },
		DenialReasons: []string{"host", "key"}, RetryOutcomes: []string{"success", "no_token"},
	})
	for _, snapshot := range snapshots {
		counters.AddAccount(snapshot.Account)
	}
	return admin.Config{
		Version:        "1.2.3",
		Revision:       "abcdef",
		Started:        started,
		Tokens:         tokens,
		Metrics:        counters,
		InFlight:       func() int64 { return 0 },
		Draining:       func() bool { return false },
		ConnectionInfo: func() (none admin.ConnectionInfo) { return none },

		Operations:  new(operations.Counts),
		InAllowList: func(operations.UsedOperation) bool { return true },
		AllowMode:   "enforce",
	}
}

// run runs a handler in a synctest bubble, until the test ends.
func run(t *testing.T, c admin.Config) *admin.Handler {
	t.Helper()
	h := admin.New(c)
	go h.Run(t.Context())
	synctest.Wait()
	return h
}

func ask(h http.Handler, method, target string) *httptest.ResponseRecorder {
	response := httptest.NewRecorder()
	h.ServeHTTP(response, httptest.NewRequest(method, target, nil))
	return response
}

var failure = &tokensource.RefreshError{
	Outcome: tokensource.OutcomeUnavailable,
	Reason:  "the login server answered 503 Service Unavailable",
	Advice:  "The broker tries again by itself.",
}

func valid(account string) tokensource.Snapshot {
	return tokensource.Snapshot{Account: account, Valid: true, Remaining: time.Minute}
}

func failed(account, reason string) tokensource.Snapshot {
	return tokensource.Snapshot{Account: account, LastFailure: &tokensource.RefreshError{Reason: reason, Advice: "Do this."}}
}

func TestReadiness(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name      string
		draining  bool
		snapshots []tokensource.Snapshot
		notReady  string // empty: ready
	}{
		{"valid", false, []tokensource.Snapshot{valid("default")}, ""},
		{"valid, though the last refresh failed", false, []tokensource.Snapshot{{Account: "default", Valid: true, LastFailure: failure}}, ""},
		{"no account", false, nil, "no account is configured"},
		{"no token yet", false, []tokensource.Snapshot{{Account: "default"}}, "the first token is being fetched"},
		{"failed", false, []tokensource.Snapshot{failed("default", "it broke")}, "it broke. Do this."},
		{"draining", true, []tokensource.Snapshot{valid("default")}, "the broker is shutting down"},
		{"draining without a token", true, []tokensource.Snapshot{failed("default", "it broke")}, "the broker is shutting down"},
		{"only the default account counts: not ready", false, []tokensource.Snapshot{failed("default", "it broke"), valid("de")}, "it broke. Do this."},
		{"only the default account counts: ready", false, []tokensource.Snapshot{valid("default"), failed("de", "it broke")}, ""},
		{"only the default account counts, as the last", false, []tokensource.Snapshot{failed("de", "it broke"), valid("default")}, ""},
		{"without default any counts: the first", false, []tokensource.Snapshot{valid("de"), failed("fr", "it broke")}, ""},
		{"without default any counts: the last", false, []tokensource.Snapshot{failed("de", "it broke"), valid("fr")}, ""},
		{"without default any counts: no token", false, []tokensource.Snapshot{failed("de", "it broke"), failed("fr", "it broke")}, "it broke. Do this."},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			h := handler(test.draining, test.snapshots...)
			code, text := 200, "ok: there is a valid token\n"
			if test.notReady != "" {
				code, text = 503, "not ready: "+test.notReady+"\n"
			}
			got := ask(h, "GET", "/readyz")
			if got.Code != code || got.Body.String() != text || got.Header().Get("Content-Type") != "text/plain; charset=utf-8" {
				t.Errorf("/readyz: %d %q %q, want %d %q", got.Code, got.Body, got.Header(), code, text)
			}
			if got := ask(h, "GET", "/healthz"); got.Code != 200 || !strings.HasPrefix(got.Body.String(), "ok") {
				t.Errorf("/healthz: %d %q", got.Code, got.Body) // a restart would not help
			}
			status := statusOf(t, h)
			reason, hasReason := status["not_ready_reason"]
			if status["ready"] != (test.notReady == "") || status["draining"] != test.draining || hasReason != (test.notReady != "") || hasReason && reason != test.notReady {
				t.Errorf("/status.json: %v", status)
			}
			if accounts, isList := status["accounts"].([]any); !isList || len(accounts) != len(test.snapshots) {
				t.Errorf("/status.json: %d accounts are %v", len(test.snapshots), status["accounts"])
			}
		})
	}
}

func TestOnlyDefaultAccountCounts(t *testing.T) {
	if got := ask(handler(false, valid("de"), failed("default", "it broke")), "GET", "/readyz"); got.Code != 503 {
		t.Errorf("/readyz: %d %q", got.Code, got.Body)
	}
}

func statusOf(t *testing.T, h http.Handler) map[string]any {
	t.Helper()
	got := ask(h, "GET", "/status.json")
	if got.Code != 200 || got.Header().Get("Content-Type") != "application/json" {
		t.Errorf("/status.json: %d %q", got.Code, got.Header())
	}
	var status map[string]any
	if err := json.Unmarshal(got.Body.Bytes(), &status); err != nil {
		t.Fatalf("%v in %s", err, got.Body)
	}
	return status
}

// securityHeaders are on every response, including those to a wrong method or path.
var securityHeaders = map[string]string{
	"Content-Security-Policy":      "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
	"X-Frame-Options":              "DENY",
	"X-Content-Type-Options":       "nosniff",
	"Referrer-Policy":              "no-referrer",
	"Cross-Origin-Opener-Policy":   "same-origin",
	"Cross-Origin-Resource-Policy": "same-origin",
	"Cache-Control":                "no-store",
}

func TestMethodsAndHeaders(t *testing.T) {
	t.Parallel()
	served := []string{"/", "/page.css", "/page.js", "/icon.svg", "/troubleshooting.md", "/metrics", "/healthz", "/readyz", "/status.json"}
	tests := []struct {
		method string
		paths  []string
		status int
	}{
		{"GET", served, 200},
		{"HEAD", served, 200},
		{"POST", served, 405},
		{"PUT", served, 405},
		{"DELETE", served, 405},
		{"PATCH", served, 405},
		{"OPTIONS", served, 405},
		{"TRACE", served, 405},
		{"FOO", served, 405},
		{"GET", []string{"/channels", "/healthz/", "/healthz/x", "/HEALTHZ", "/status", "/debug/pprof/", "/debug/pprof/heap"}, 404},
		{"POST", []string{"/channels", "/oauth/token", "/-/quit", "/-/reload"}, 404},
	}
	h := handler(false, valid("default"))
	for _, test := range tests {
		for _, path := range test.paths {
			got := ask(h, test.method, path)
			if got.Code != test.status {
				t.Errorf("%s %s: %d, want %d", test.method, path, got.Code, test.status)
			}
			for name, want := range securityHeaders {
				if values := got.Header().Values(name); len(values) != 1 || values[0] != want {
					t.Errorf("%s %s: %s %q, want %q", test.method, path, name, values, want)
				}
			}
			if test.status == 405 && got.Header().Get("Allow") != "GET, HEAD" {
				t.Errorf("%s %s: Allow %q", test.method, path, got.Header().Get("Allow"))
			}
			for name := range got.Header() {
				if strings.HasPrefix(name, "Access-Control-") {
					t.Errorf("%s %s: %s", test.method, path, name)
				}
			}
		}
	}
}

func TestServesMetrics(t *testing.T) {
	t.Parallel()
	if got := ask(handler(false), "GET", "/metrics").Body.String(); !strings.Contains(got, "etrusted_broker_requests_in_flight 0") {
		t.Errorf("got %q, want the metrics", got)
	}
}

// TestHeadHasStatusAndNoBody: some load balancers probe with HEAD.
func TestHeadHasStatusAndNoBody(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(handler(false, failed("default", "it broke")))
	defer server.Close()
	for path, want := range map[string]int{"/healthz": 200, "/readyz": 503} {
		response, err := server.Client().Head(server.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		_ = response.Body.Close()
		if err != nil || response.StatusCode != want || len(body) != 0 {
			t.Errorf("HEAD %s: %d %q %v", path, response.StatusCode, body, err)
		}
	}
}
