package check

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"etrusted-broker/internal/fakeetrusted"
	"etrusted-broker/tokensource"
)

func TestAllStepsPass(t *testing.T) {
	t.Parallel()
	config := eTrusted(t, fakeetrusted.New(fakeetrusted.Options{}))
	config.AppURL, config.Curl = "http://127.0.0.1:8080", "curl it"
	report, text := runCheck(t, config)
	if !report.OK || report.Interrupted || len(report.Causes) != 0 || report.AppURL != config.AppURL || report.Curl != config.Curl {
		t.Errorf("got %+v\n%s", report, text)
	}
	for _, line := range []string{
		"login.example is at 127.0.0.1\n", "api.example is at 127.0.0.1\n", "channels: 3\n",
		"\nAll checks passed. Your app's address: http://127.0.0.1:8080",
	} {
		if !strings.Contains(text, line) {
			t.Errorf("got no %q in:\n%s", line, text)
		}
	}
}

func TestDescribesAPIResponses(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		handler http.Handler
		text    string
		cause   Cause
	}{
		{"a page", fakeetrusted.Answer(200, "application/json", `{"items":[1,2,3,4]}`), "channels: 4", ""},
		{"none", fakeetrusted.Answer(200, "application/json", `[]`), "  the client sees no channels", ""},
		{"many", fakeetrusted.Answer(200, "application/json", "["+strings.Repeat(`"x",`, maxChannelsBody/4+1)+"1]"), "too many channels to count", ""},
		{"another clock", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Date", time.Now().Add(time.Hour).UTC().Format(http.TimeFormat))
			_, _ = w.Write([]byte("[1]"))
		}), "  the API's clock and this machine's differ by 1h0m", ""},
		{"null", fakeetrusted.Answer(200, "application/json", "null"), "not a list of channels", CauseConfiguration},
		{"nothing", fakeetrusted.Answer(200, "application/json", ""), "not a list of channels", CauseConfiguration},
		{"HTML by its type", fakeetrusted.Answer(200, "Text/HTML; charset=utf-8", "Welcome"), "the response is HTML", CauseConfiguration},
		{"418", fakeetrusted.Status(418, nil), "unexpected response from the API: 418", CauseAPI},
		{"truncated", fakeetrusted.Truncate(10), "the API closed the connection before the answer was complete", CauseAPI},
		{"cut in time", fakeetrusted.SlowBody("[1,2,3]", time.Minute), "the API did not answer in time", CauseAPI},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			server := fakeetrusted.New(fakeetrusted.Options{})
			server.SetAPIFault(test.handler)
			config := eTrusted(t, server)
			if test.name == "cut in time" {
				config.Timeout = 2 * time.Second
			}
			if test.cause != "" {
				mustFail(t, config, "GET /channels", test.text, test.cause)
				return
			}
			if report, text := runCheck(t, config); !report.OK || !strings.Contains(text, test.text) {
				t.Errorf("got %v, want all steps to pass, and %q in:\n%s", report.OK, test.text, text)
			}
		})
	}
}

// What the cause is if another server responds depends on whether the URL is the default.
func TestCauseOfWrongServer(t *testing.T) {
	t.Parallel()
	page := fakeetrusted.Answer(200, "text/html", "<p>sign in to the network</p>")
	for _, cause := range []Cause{CauseNetwork, CauseConfiguration} {
		server := fakeetrusted.New(fakeetrusted.Options{})
		config := eTrusted(t, server)
		config.API.OtherServer, config.Login.OtherServer = cause, cause
		server.SetAPIFault(page)
		mustFail(t, config, "GET /channels", "the response is HTML", cause)
		server.SetTokenFault(page)
		mustFail(t, config, "token", "the login server did not return a token response", cause)
	}
}

// A server that responds in the API's place gets one request, not one per account.
func TestAsksWrongServerOnce(t *testing.T) {
	t.Parallel()
	server := fakeetrusted.New(fakeetrusted.Options{})
	server.SetAPIFault(fakeetrusted.Answer(200, "text/html", "<p>"))
	config := eTrusted(t, server)
	config.API.OtherServer = CauseNetwork
	config.Accounts = append(config.Accounts, AccountToTest{"b", config.Accounts[0].Credentials})
	_, text := runCheck(t, config)
	if n := len(server.APIRequests()); n != 1 || !strings.Contains(text, "skipped GET /channels of b: ") {
		t.Errorf("got %d requests, want 1, and the second account skipped:\n%s", n, text)
	}
}

func TestRefusedScopeIsConfiguration(t *testing.T) {
	t.Parallel()
	server := fakeetrusted.New(fakeetrusted.Options{})
	server.SetTokenFault(fakeetrusted.OAuthError(400, "invalid_scope"))
	mustFail(t, eTrusted(t, server), "token", "invalid_scope", CauseConfiguration)
}

// Both connections are tested without usable credentials, and a wrong clock is found.
func TestTestsConnectionsWithoutCredentials(t *testing.T) {
	t.Parallel()
	ahead := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Date", time.Now().Add(time.Hour).UTC().Format(http.TimeFormat))
		if r.Header.Get("Authorization") != "" || r.Method != http.MethodGet {
			t.Errorf("got a request with credentials: %s %s", r.Method, r.URL)
		}
	})
	port := serve(t, ahead)
	for name, accounts := range map[string][]AccountToTest{
		"no account":      nil,
		"unreadable file": {{"default", tokensource.CredentialSource{ID: tokensource.CredentialFieldSource{Name: "ID", File: "/nosuch/id"}}}},
	} {
		config := eTrusted(t, fakeetrusted.New(fakeetrusted.Options{}))
		config.Login.URL, config.API.URL, config.Accounts = parse(t, "http://login.example:"+port), parse(t, "http://api.example:"+port), accounts
		_, text := runCheck(t, config)
		for _, line := range []string{"failed files: ", "ok login server: TCP", "ok API: TCP", "failed clock: ", " behind the login server's"} {
			if !strings.Contains(text, line) {
				t.Errorf("%s: got no %q in:\n%s", name, line, text)
			}
		}
	}
}

func TestClockSkew(t *testing.T) {
	t.Parallel()
	sent := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	date := func(d time.Duration) string { return sent.Add(d).Format(http.TimeFormat) }
	for _, test := range []struct {
		date string
		took time.Duration
		want time.Duration
	}{
		{date(0), 0, 500 * time.Millisecond},
		{date(5 * time.Second), 10 * time.Second, 500 * time.Millisecond},
		{date(-61 * time.Second), 0, -60500 * time.Millisecond},
		{date(65 * time.Second), 30 * time.Second, 50500 * time.Millisecond}, // half of the 30 s
	} {
		if got := clockSkew(test.date, sent, sent.Add(test.took)); got == nil || *got != test.want {
			t.Errorf("%s after %v: got %v, want %v", test.date, test.took, got, test.want)
		}
	}
	for _, invalid := range []string{"", "yesterday", "CANARY\r\n"} {
		if got := clockSkew(invalid, sent, sent); got != nil {
			t.Errorf("%q: got %v, want nil", invalid, *got)
		}
	}
}

// An interrupted step is not reported as failed.
func TestInterruptionIsNoFailure(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	config := eTrusted(t, fakeetrusted.New(fakeetrusted.Options{}))
	config.OnStep = func(step Step) {
		if step.Name == "login server: TCP" {
			cancel()
		}
	}
	report := Run(ctx, config)
	if report.OK || !report.Interrupted || len(report.Causes) != 0 || report.Summary != "The check was interrupted before the end." {
		t.Errorf("got %+v, want an interruption", report)
	}
	if last := report.Steps[len(report.Steps)-1]; last.Name != "login server: TCP" {
		t.Errorf("got the step %+v after the interruption, want none", last)
	}
}

// The configuration was read before the check begins, so its step is reported even if the check is interrupted at once.
func TestReportsConfigurationIfInterruptedAtOnce(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	report := Run(ctx, eTrusted(t, fakeetrusted.New(fakeetrusted.Options{})))
	if len(report.Steps) != 1 || report.Steps[0].Name != "configuration" || report.Steps[0].Status != StatusOK || !report.Interrupted {
		t.Errorf("got %+v, want an interruption after the configuration", report)
	}
}

// The timeout of a step applies to the token request too.
func TestTimeoutLimitsTokenRequest(t *testing.T) {
	t.Parallel()
	server := fakeetrusted.New(fakeetrusted.Options{})
	server.SetTokenFault(fakeetrusted.Hang())
	config := eTrusted(t, server)
	config.Timeout = time.Second // tokensource's own is 30 s
	mustFail(t, config, "token", "did not answer in time", CauseLoginServer)
}

// A step of the caller's ends with the timeout, and its result is reported.
func TestRunsExtraSteps(t *testing.T) {
	t.Parallel()
	config := eTrusted(t, fakeetrusted.New(fakeetrusted.Options{}))
	config.Timeout = 2 * time.Second
	config.ExtraSteps = []ExtraStep{
		{Name: "slow", Target: "x", Run: func(ctx context.Context) Step {
			<-ctx.Done()
			return Failed(CauseMachine, "slow", "too slow", "Wait.")
		}},
		{Name: "off", Run: func(context.Context) Step { return Skipped("it is turned off") }},
	}
	if text := mustFail(t, config, "slow", "too slow", CauseMachine); !strings.Contains(text, "skipped off: skipped: it is turned off\n") {
		t.Errorf("got no skipped step in:\n%s", text)
	}
}
