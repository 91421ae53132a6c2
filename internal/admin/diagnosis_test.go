package admin_test

import (
	"encoding/json"
	"html"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"etrusted-broker/internal/admin"
	"etrusted-broker/internal/stats"
	"etrusted-broker/tokensource"
)

// The functions below return a snapshot of an account in each state. They are called in a synctest bubble.

func healthy(account string) tokensource.Snapshot {
	issued := time.Now().Add(-100 * time.Second)
	return tokensource.Snapshot{
		Account: account, Valid: true, Issued: issued, Expires: issued.Add(5 * time.Minute), Remaining: 200 * time.Second,
		LastSuccess: issued, LastDuration: 120 * time.Millisecond, NextAttempt: time.Now().Add(130 * time.Second),
	}
}

func refreshing(account string) tokensource.Snapshot {
	snapshot := healthy(account)
	snapshot.FetchingSince = time.Now().Add(-300 * time.Millisecond)
	return snapshot
}

func starting(account string) tokensource.Snapshot {
	return tokensource.Snapshot{Account: account, FetchingSince: time.Now().Add(-2 * time.Second)}
}

func suspended(account string) tokensource.Snapshot {
	return without(healthy(account))
}

func failing(account string, outcome tokensource.Outcome) tokensource.Snapshot {
	snapshot := healthy(account)
	snapshot.LastFailure = &tokensource.RefreshError{Outcome: outcome, Reason: account + " was " + string(outcome), Advice: "Do that."}
	snapshot.LastFailureAt = time.Now().Add(-20 * time.Second)
	snapshot.ConsecutiveFailures = 3
	snapshot.LastDuration = 10 * time.Second
	snapshot.NextAttempt = time.Now().Add(12 * time.Second)
	return snapshot
}

// stale has changed credentials that cannot be used.
func stale(account string, outcome tokensource.ReloadOutcome) tokensource.Snapshot {
	snapshot := healthy(account)
	snapshot.PendingReload = &tokensource.CredentialReload{Account: account, Outcome: outcome, Reason: account + "'s were " + string(outcome), Advice: "Do that."}
	snapshot.PendingReloadAt = time.Now().Add(-40 * time.Second)
	return snapshot
}

// without removes the token.
func without(snapshot tokensource.Snapshot) tokensource.Snapshot {
	snapshot.Valid, snapshot.Remaining = false, 0
	return snapshot
}

// TestDescribesAccountStates covers each state of an account, in /status.json and on the page.
func TestDescribesAccountStates(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name         string
		snapshot     func() tokensource.Snapshot
		tokenURL     string // source of ETRUSTED_TOKEN_URL
		state        admin.AccountState
		cause        admin.Cause
		word, symbol string
		summary      string
		next         string
	}{
		{"healthy", func() tokensource.Snapshot { return healthy("default") }, "default",
			admin.AccountHealthy, admin.CauseNone, "Healthy", "#check", "Token valid for 3 min 20 s.", "in 2 min 10 s"},
		{"refreshing", func() tokensource.Snapshot { return refreshing("default") }, "default",
			admin.AccountRefreshing, admin.CauseNone, "Refreshing", "#arrows", "Token valid for 3 min 20 s; refreshing.", "in progress for 300 ms"},
		{"starting", func() tokensource.Snapshot { return starting("default") }, "default",
			admin.AccountStarting, admin.CauseNone, "Starting", "#dots", "The first token is being fetched. Requests wait for it.", "in progress for 2 s"},
		{"expired during suspend", func() tokensource.Snapshot { return suspended("default") }, "default",
			admin.AccountStarting, admin.CauseNone, "Starting", "#dots", "The token is no longer valid, and a new one is being fetched. Requests wait for it.", "in 2 min 10 s"},
		{"failing", func() tokensource.Snapshot { return failing("default", tokensource.OutcomeUnavailable) }, "environment",
			admin.AccountFailing, admin.CauseLoginServer, "Refresh failing", "#warning", "Token valid for 3 min 20 s; refresh failed 3 times in a row.", "in 12 s"},
		{"invalid response from the default URL", func() tokensource.Snapshot { return failing("default", tokensource.OutcomeInvalidResponse) }, "default",
			admin.AccountFailing, admin.CauseLoginServer, "Refresh failing", "#warning", "Token valid for 3 min 20 s; refresh failed 3 times in a row.", "in 12 s"},
		{"outage", func() tokensource.Snapshot { return without(failing("default", tokensource.OutcomeUnavailable)) }, "environment",
			admin.AccountOutage, admin.CauseLoginServer, "No token", "#cross", "No token. Requests fail.", "in 12 s"},
		{"invalid response from a configured URL", func() tokensource.Snapshot { return without(failing("default", tokensource.OutcomeInvalidResponse)) }, "environment",
			admin.AccountOutage, admin.CauseConfiguration, "No token", "#cross", "No token. Requests fail.", "in 12 s"},
		{"rejected", func() tokensource.Snapshot { return without(failing("default", tokensource.OutcomeRejected)) }, "default",
			admin.AccountRejected, admin.CauseCredentials, "Credentials rejected", "#key", "No token. Requests fail.", "in 12 s"},
		{"rejected, token still valid", func() tokensource.Snapshot { return failing("default", tokensource.OutcomeRejected) }, "default",
			admin.AccountRejected, admin.CauseCredentials, "Credentials rejected", "#key", "Token valid for 3 min 20 s. Requests fail after that.", "in 12 s"},
		{"new credentials rejected", func() tokensource.Snapshot { return stale("default", tokensource.ReloadRejected) }, "default",
			admin.AccountStale, admin.CauseCredentials, "New credentials not used", "#warning",
			"Token valid for 3 min 20 s. The new credentials cannot be used; the old ones are still in use.", "in 2 min 10 s"},
		{"new credentials unreadable", func() tokensource.Snapshot { return stale("default", tokensource.ReloadUnreadable) }, "default",
			admin.AccountStale, admin.CauseCredentials, "New credentials not used", "#warning",
			"Token valid for 3 min 20 s. The new credentials cannot be used; the old ones are still in use.", "in 2 min 10 s"},
		{"changed during an outage", func() tokensource.Snapshot { return stale("default", tokensource.ReloadPostponed) }, "default",
			admin.AccountStale, admin.CauseLoginServer, "New credentials not used", "#warning",
			"Token valid for 3 min 20 s. The new credentials cannot be used; the old ones are still in use.", "in 2 min 10 s"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := config(test.snapshot())
				c.Settings = []admin.Setting{{Name: "ETRUSTED_TOKEN_URL", Source: test.tokenURL}}
				status := statusFor(t, c)
				got := status.Accounts[0]
				if got.State != test.state || got.Cause != test.cause || got.Display.State != test.word || got.Display.Symbol != test.symbol {
					t.Errorf("got %s, %s, %s, %s; want %s, %s, %s, %s", got.State, got.Cause, got.Display.State, got.Display.Symbol, test.state, test.cause, test.word, test.symbol)
				}
				if got.Summary != test.summary || got.Display.NextRefresh != test.next {
					t.Errorf("got %q, %q; want %q, %q", got.Summary, got.Display.NextRefresh, test.summary, test.next)
				}
				if want := test.cause != admin.CauseNone; got.NeedsAttention != want || (got.Advice == "Do that.") != want || status.Cause != test.cause {
					t.Errorf("got needs_attention %v, advice %q, cause %s; want %v, cause %s", got.NeedsAttention, got.Advice, status.Cause, want, test.cause)
				}
				wantInPage(t, c, test.word, test.symbol, test.summary, status.Summary, status.Detail, got.Advice)
			})
		})
	}
}

func statusFor(t *testing.T, c admin.Config) admin.Status {
	t.Helper()
	var status admin.Status
	if err := json.Unmarshal(ask(admin.Handler(c), "GET", "/status.json").Body.Bytes(), &status); err != nil {
		t.Fatal(err)
	}
	return status
}

func wantInPage(t *testing.T, c admin.Config, texts ...string) {
	t.Helper()
	page := html.UnescapeString(pageOf(c))
	for _, text := range texts {
		if !strings.Contains(page, text) {
			t.Errorf("the page lacks %q", text)
		}
	}
}

// TestDiagnosis covers the summary: does the broker work, and if not, why.
func TestDiagnosis(t *testing.T) {
	t.Parallel()
	const (
		unavailable, rejected, nonsense = tokensource.OutcomeUnavailable, tokensource.OutcomeRejected, tokensource.OutcomeInvalidResponse
		working                         = "Everything works."
	)
	tests := []struct {
		name            string
		accounts        func() []tokensource.Snapshot
		state           admin.BrokerState
		cause           admin.Cause
		summary, detail string
	}{
		{"one, healthy", func() []tokensource.Snapshot { return list(healthy("default")) }, admin.BrokerWorking, admin.CauseNone, working, ""},
		{"one, refreshing", func() []tokensource.Snapshot { return list(refreshing("default")) }, admin.BrokerWorking, admin.CauseNone, working, ""},
		{"one, starting", func() []tokensource.Snapshot { return list(starting("default")) }, admin.BrokerStarting, admin.CauseNone,
			"The broker is fetching a token.", "Requests wait for it."},
		{"one of several, starting", func() []tokensource.Snapshot { return list(healthy("at"), starting("de")) }, admin.BrokerWorking, admin.CauseNone, working, ""},
		{"no account", func() []tokensource.Snapshot { return nil }, admin.BrokerDown, admin.CauseConfiguration,
			"No account is configured.", "The broker has no credentials."},
		{"one, failing", func() []tokensource.Snapshot { return list(failing("default", unavailable)) }, admin.BrokerDegraded, admin.CauseLoginServer,
			"Requests work only until the token expires: cannot get a token from the login server.", "Default was unavailable."},
		{"one, in an outage", func() []tokensource.Snapshot { return list(without(failing("default", unavailable))) }, admin.BrokerDown, admin.CauseLoginServer,
			"Requests fail: cannot get a token from the login server.", "Default was unavailable."},
		{"one, invalid response from a configured URL", func() []tokensource.Snapshot { return list(without(failing("default", nonsense))) }, admin.BrokerDown, admin.CauseConfiguration,
			"Requests fail: the server at ETRUSTED_TOKEN_URL issues no token for this configuration.", "Default was invalid_response."},
		{"two, for different reasons", func() []tokensource.Snapshot {
			return list(without(failing("at", unavailable)), without(failing("de", nonsense)))
		}, admin.BrokerDown, admin.CauseLoginServer, "Requests of the account at fail: cannot get a token from the login server.", "At was unavailable. Another account needs attention."},
		{"one, rejected", func() []tokensource.Snapshot { return list(without(failing("default", rejected))) }, admin.BrokerDown, admin.CauseCredentials,
			"Requests fail: the credentials do not work.", "Default was rejected."},
		{"one, rejected with a token", func() []tokensource.Snapshot { return list(failing("default", rejected)) }, admin.BrokerDegraded, admin.CauseCredentials,
			"Requests work only until the token expires: the credentials do not work.", "Default was rejected."},
		{"one, new credentials unreadable", func() []tokensource.Snapshot { return list(stale("default", tokensource.ReloadUnreadable)) }, admin.BrokerDegraded, admin.CauseCredentials,
			"Requests work with the old credentials: the new ones cannot be used.", "Default's were unreadable."},
		{"one of several, new credentials rejected", func() []tokensource.Snapshot {
			return list(healthy("at"), stale("de", tokensource.ReloadRejected))
		}, admin.BrokerDegraded, admin.CauseCredentials, "Requests of the account de work with the old credentials: the new ones cannot be used.", "De's were rejected."},
		{"a failed refresh is worse than unused credentials", func() []tokensource.Snapshot {
			return list(stale("at", tokensource.ReloadRejected), failing("de", unavailable))
		}, admin.BrokerDegraded, admin.CauseLoginServer, "Requests of the account de work only until the token expires: cannot get a token from the login server.", "De was unavailable. Another account needs attention."},
		{"all in an outage", func() []tokensource.Snapshot {
			return list(without(failing("at", unavailable)), without(failing("de", unavailable)))
		}, admin.BrokerDown, admin.CauseLoginServer, "Requests of all accounts fail: cannot get a token from the login server.", "At was unavailable."},
		{"outage of the default account only", func() []tokensource.Snapshot {
			return list(without(failing("default", unavailable)), healthy("de"))
		}, admin.BrokerDown, admin.CauseLoginServer, "Requests of the account default fail: cannot get a token from the login server.", "Default was unavailable."},
		{"outage of the default account, rejection of another", func() []tokensource.Snapshot {
			return list(without(failing("default", unavailable)), without(failing("de", rejected)))
		}, admin.BrokerDown, admin.CauseLoginServer, "Requests of the account default fail: cannot get a token from the login server.", "Default was unavailable. Another account needs attention."},
		{"outage of another account", func() []tokensource.Snapshot {
			return list(healthy("default"), without(failing("de", unavailable)))
		}, admin.BrokerDegraded, admin.CauseLoginServer, "Requests of the account de fail: cannot get a token from the login server.", "De was unavailable."},
		{"the most severe problem comes first, whatever the order", func() []tokensource.Snapshot {
			return list(failing("at", unavailable), failing("be", rejected), without(failing("ch", unavailable)), without(failing("de", rejected)), without(failing("fr", rejected)), healthy("it"))
		}, admin.BrokerDegraded, admin.CauseCredentials, "Requests of 2 of 6 accounts fail: the credentials do not work.", "De was rejected. 3 other accounts need attention."},
		{"no token is worse than rejected credentials with a token", func() []tokensource.Snapshot {
			return list(failing("be", rejected), without(failing("ch", unavailable)))
		}, admin.BrokerDegraded, admin.CauseLoginServer, "Requests of the account ch fail: cannot get a token from the login server.", "Ch was unavailable. Another account needs attention."},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := config(test.accounts()...)
				c.Settings = []admin.Setting{{Name: "ETRUSTED_TOKEN_URL", Source: "environment"}}
				got := statusFor(t, c)
				if got.State != test.state || got.Cause != test.cause || got.Summary != test.summary || got.Detail != test.detail || got.Advice == "" {
					t.Errorf("got %+v", got.Diagnosis)
				}
				wantInPage(t, c, test.summary, got.Display.Symbol, got.Display.Cause)
				c.Draining = func() bool { return true }
				if got := statusFor(t, c); got.State != admin.BrokerDraining || got.Cause != admin.CauseNone || got.Summary != "The broker is shutting down." {
					t.Errorf("draining: got %+v", got.Diagnosis)
				}
			})
		})
	}
}

func list(snapshots ...tokensource.Snapshot) []tokensource.Snapshot { return snapshots }

// TestAPIIsCause: the API is the cause if it fails while the token is fine, and not for errors of the broker or the app.
func TestAPIIsCause(t *testing.T) {
	t.Parallel()
	const took = 10 * time.Millisecond
	var (
		fine     = stats.Request{Account: "default", Status: 200, UpstreamTime: took}
		refused  = stats.Request{Account: "default", Status: 422, UpstreamTime: took}
		broken   = stats.Request{Account: "default", Status: 500, UpstreamTime: took}
		away     = stats.Request{Account: "default", Status: 502, UpstreamTime: took, Local: true}
		slow     = stats.Request{Account: "default", Status: 504, UpstreamTime: took, Local: true}
		noToken  = stats.Request{Account: "default", Status: 503, Local: true}
		denied   = stats.Request{Account: "-", Status: 508, Local: true}
		requests = func(each ...stats.Request) func(*stats.Recorder) {
			return func(recorder *stats.Recorder) {
				for _, request := range each {
					recorder.Observe(request)
				}
			}
		}
		working = "Everything works."
		failing = "The API returns errors. The token is fine."
	)
	tests := []struct {
		name   string
		events func(*stats.Recorder)
		state  admin.BrokerState
		want   string
		detail string
	}{
		{"nothing", requests(), admin.BrokerWorking, working, ""},
		{"client errors", requests(refused, refused), admin.BrokerWorking, working, ""},
		{"no token", requests(noToken, noToken), admin.BrokerWorking, working, ""},
		{"no token at first", requests(noToken, noToken, fine), admin.BrokerWorking, working, ""},
		{"denied", requests(denied, denied), admin.BrokerWorking, working, ""},
		{"the API's own errors", requests(broken, fine), admin.BrokerDegraded, failing, "1 of 2 requests to the API failed in the last 5 minutes."},
		{"unreachable", requests(away), admin.BrokerDown, failing, "1 of 1 request to the API failed in the last 5 minutes."},
		{"too slow", requests(slow, fine), admin.BrokerDegraded, failing, "1 of 2 requests to the API failed in the last 5 minutes."},
		{"errors and denied requests", requests(broken, denied, denied), admin.BrokerDown, failing, "1 of 1 request to the API failed in the last 5 minutes."},
		{"fewer than one in ten", requests(broken, fine, fine, fine, fine, fine, fine, fine, fine, fine, fine), admin.BrokerWorking, working, ""},
		{"one in ten", requests(broken, fine, fine, fine, fine, fine, fine, fine, fine, fine), admin.BrokerDegraded, failing, "1 of 10 requests to the API failed in the last 5 minutes."},
		{"no request since the errors", func(recorder *stats.Recorder) {
			requests(broken, broken)(recorder)
			time.Sleep(2 * time.Minute)
		}, admin.BrokerDown, failing, "2 of 2 requests to the API failed in the last 5 minutes."},
		{"recovered", func(recorder *stats.Recorder) {
			requests(broken, broken)(recorder)
			time.Sleep(2 * time.Minute)
			requests(fine)(recorder)
		}, admin.BrokerWorking, working, ""},
		{"errors are more than five minutes ago", func(recorder *stats.Recorder) {
			requests(broken, broken)(recorder)
			time.Sleep(6 * time.Minute)
		}, admin.BrokerWorking, working, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				recorder := stats.New(denials, replays)
				go recorder.Run(t.Context())
				synctest.Wait()
				test.events(recorder)
				synctest.Wait()
				c := config(healthy("default"))
				c.Traffic = recorder.Snapshot
				got := statusFor(t, c)
				if got.State != test.state || got.Summary != test.want || got.Detail != test.detail || (got.Cause == admin.CauseAPI) != (test.want == failing) {
					t.Errorf("got %+v", got.Diagnosis)
				}
			})
		})
	}
}

// TestReportsTokenAndAPIProblems: a token problem comes first, and the detail mentions a failing API.
func TestReportsTokenAndAPIProblems(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := config(failing("default", tokensource.OutcomeRejected))
		c.Traffic = traffic(func(recorder *stats.Recorder) {
			recorder.Observe(stats.Request{Account: "default", Status: 500, UpstreamTime: time.Millisecond})
		}).Snapshot
		got := statusFor(t, c)
		if got.Cause != admin.CauseCredentials || got.Detail != "Default was rejected. 1 of 1 request to the API failed in the last 5 minutes." {
			t.Errorf("%+v", got.Diagnosis)
		}
	})
}
