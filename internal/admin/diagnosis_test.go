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

// The snapshots of an account in each state. They are made in a bubble, where the time is known.

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

// stale has credentials that were changed in vain.
func stale(account string, outcome tokensource.ReloadOutcome) tokensource.Snapshot {
	snapshot := healthy(account)
	snapshot.PendingReload = &tokensource.CredentialReload{Account: account, Outcome: outcome, Reason: account + "'s were " + string(outcome), Advice: "Do that."}
	snapshot.PendingReloadAt = time.Now().Add(-40 * time.Second)
	return snapshot
}

// without takes the token away.
func without(snapshot tokensource.Snapshot) tokensource.Snapshot {
	snapshot.Valid, snapshot.Remaining = false, 0
	return snapshot
}

// TestStates holds, for each state of an account, what programs and people are told of it.
func TestStates(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name         string
		snapshot     func() tokensource.Snapshot
		tokenURL     string // where ETRUSTED_TOKEN_URL comes from
		state        admin.AccountState
		fault        admin.Cause
		word, symbol string
		summary      string
		next         string
	}{
		{"healthy", func() tokensource.Snapshot { return healthy("default") }, "default",
			admin.AccountHealthy, admin.CauseNone, "Healthy", "#check", "The token is valid for 3 min 20 s more.", "in 2 min 10 s"},
		{"refreshing", func() tokensource.Snapshot { return refreshing("default") }, "default",
			admin.AccountRefreshing, admin.CauseNone, "Refreshing", "#arrows", "The token is valid for 3 min 20 s more, and its successor is being fetched.", "under way for 300 ms"},
		{"starting", func() tokensource.Snapshot { return starting("default") }, "default",
			admin.AccountStarting, admin.CauseNone, "Starting", "#dots", "The first token is being fetched. Requests wait for it.", "under way for 2 s"},
		{"after a night's sleep", func() tokensource.Snapshot { return suspended("default") }, "default",
			admin.AccountStarting, admin.CauseNone, "Starting", "#dots", "The token has ended before its time, and another is being fetched. Requests wait for it.", "in 2 min 10 s"},
		{"failing", func() tokensource.Snapshot { return failing("default", tokensource.OutcomeUnavailable) }, "environment",
			admin.AccountFailing, admin.CauseLoginServer, "Refresh failing", "#warning", "The token still works for 3 min 20 s, but its refresh has failed 3 times in a row.", "in 12 s"},
		{"nonsense from the usual URL", func() tokensource.Snapshot { return failing("default", tokensource.OutcomeInvalidResponse) }, "default",
			admin.AccountFailing, admin.CauseLoginServer, "Refresh failing", "#warning", "The token still works for 3 min 20 s, but its refresh has failed 3 times in a row.", "in 12 s"},
		{"outage", func() tokensource.Snapshot { return without(failing("default", tokensource.OutcomeUnavailable)) }, "environment",
			admin.AccountOutage, admin.CauseLoginServer, "No token", "#cross", "There is no token, and requests fail.", "in 12 s"},
		{"nonsense from a URL of one's own", func() tokensource.Snapshot { return without(failing("default", tokensource.OutcomeInvalidResponse)) }, "environment",
			admin.AccountOutage, admin.CauseConfiguration, "No token", "#cross", "There is no token, and requests fail.", "in 12 s"},
		{"rejected", func() tokensource.Snapshot { return without(failing("default", tokensource.OutcomeRejected)) }, "default",
			admin.AccountRejected, admin.CauseCredentials, "Credentials rejected", "#key", "There is no token, and requests fail.", "in 12 s"},
		{"rejected, and the old token serves", func() tokensource.Snapshot { return failing("default", tokensource.OutcomeRejected) }, "default",
			admin.AccountRejected, admin.CauseCredentials, "Credentials rejected", "#key", "The old token still works for 3 min 20 s, but there will be no other.", "in 12 s"},
		{"changed in vain", func() tokensource.Snapshot { return stale("default", tokensource.ReloadRejected) }, "default",
			admin.AccountStale, admin.CauseCredentials, "New credentials not used", "#warning",
			"The token is valid for 3 min 20 s more. It was fetched with the old credentials, since the new ones cannot be used.", "in 2 min 10 s"},
		{"changed to what cannot be read", func() tokensource.Snapshot { return stale("default", tokensource.ReloadUnreadable) }, "default",
			admin.AccountStale, admin.CauseCredentials, "New credentials not used", "#warning",
			"The token is valid for 3 min 20 s more. It was fetched with the old credentials, since the new ones cannot be used.", "in 2 min 10 s"},
		{"changed during an outage", func() tokensource.Snapshot { return stale("default", tokensource.ReloadPostponed) }, "default",
			admin.AccountStale, admin.CauseLoginServer, "New credentials not used", "#warning",
			"The token is valid for 3 min 20 s more. It was fetched with the old credentials, since the new ones cannot be used.", "in 2 min 10 s"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := config(test.snapshot())
				c.Settings = []admin.Setting{{Name: "ETRUSTED_TOKEN_URL", Source: test.tokenURL}}
				status := told(t, c)
				got := status.Accounts[0]
				if got.State != test.state || got.Cause != test.fault || got.Display.State != test.word || got.Display.Symbol != test.symbol {
					t.Errorf("%s, %s, %s, %s", got.State, got.Cause, got.Display.State, got.Display.Symbol)
				}
				if got.Summary != test.summary || got.Display.NextRefresh != test.next {
					t.Errorf("%q, %q", got.Summary, got.Display.NextRefresh)
				}
				if wantTrouble := test.fault != admin.CauseNone; got.NeedsAttention != wantTrouble || (got.Advice == "Do that.") != wantTrouble || status.Cause != test.fault {
					t.Errorf("troubled: %v, advice %q, at fault: %s", got.NeedsAttention, got.Advice, status.Cause)
				}
				wantInPage(t, c, test.word, test.symbol, test.summary, status.Summary, status.Detail, got.Advice)
			})
		})
	}
}

func told(t *testing.T, c admin.Config) admin.Status {
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
			t.Errorf("the page does not say %q", text)
		}
	}
}

// TestVerdict holds the first line: does it work, and if not, whose fault is it.
func TestVerdict(t *testing.T) {
	t.Parallel()
	const (
		unavailable, rejected, nonsense = tokensource.OutcomeUnavailable, tokensource.OutcomeRejected, tokensource.OutcomeInvalidResponse
		working                         = "Everything works."
	)
	tests := []struct {
		name            string
		accounts        func() []tokensource.Snapshot
		state           admin.BrokerState
		fault           admin.Cause
		summary, detail string
	}{
		{"one, healthy", func() []tokensource.Snapshot { return list(healthy("default")) }, admin.BrokerWorking, admin.CauseNone, working, ""},
		{"one, refreshing", func() []tokensource.Snapshot { return list(refreshing("default")) }, admin.BrokerWorking, admin.CauseNone, working, ""},
		{"one that starts", func() []tokensource.Snapshot { return list(starting("default")) }, admin.BrokerStarting, admin.CauseNone,
			"The broker is fetching a token.", "Requests wait for it."},
		{"one that starts, among others", func() []tokensource.Snapshot { return list(healthy("at"), starting("de")) }, admin.BrokerWorking, admin.CauseNone, working, ""},
		{"no account", func() []tokensource.Snapshot { return nil }, admin.BrokerDown, admin.CauseConfiguration,
			"There is no account to work with.", "The broker has no credentials to fetch a token with."},
		{"one, failing", func() []tokensource.Snapshot { return list(failing("default", unavailable)) }, admin.BrokerDegraded, admin.CauseLoginServer,
			"Requests still work, but only until the token ends: the login server gives no token.", "Default was unavailable."},
		{"one, in an outage", func() []tokensource.Snapshot { return list(without(failing("default", unavailable))) }, admin.BrokerDown, admin.CauseLoginServer,
			"Requests fail: the login server gives no token.", "Default was unavailable."},
		{"one, nonsense from a URL of one's own", func() []tokensource.Snapshot { return list(without(failing("default", nonsense))) }, admin.BrokerDown, admin.CauseConfiguration,
			"Requests fail: what answers at ETRUSTED_TOKEN_URL gives no token for this configuration.", "Default was invalid_response."},
		{"two, for different reasons", func() []tokensource.Snapshot {
			return list(without(failing("at", unavailable)), without(failing("de", nonsense)))
		}, admin.BrokerDown, admin.CauseLoginServer, "Requests of the account at fail: the login server gives no token.", "At was unavailable. Besides, another account needs attention."},
		{"one, rejected", func() []tokensource.Snapshot { return list(without(failing("default", rejected))) }, admin.BrokerDown, admin.CauseCredentials,
			"Requests fail: the credentials do not work.", "Default was rejected."},
		{"one, rejected with a token", func() []tokensource.Snapshot { return list(failing("default", rejected)) }, admin.BrokerDegraded, admin.CauseCredentials,
			"Requests still work, but only until the token ends: the credentials do not work.", "Default was rejected."},
		{"one, changed in vain", func() []tokensource.Snapshot { return list(stale("default", tokensource.ReloadUnreadable)) }, admin.BrokerDegraded, admin.CauseCredentials,
			"Requests work, but with the old credentials: the new ones cannot be used.", "Default's were unreadable."},
		{"one of several, changed in vain", func() []tokensource.Snapshot {
			return list(healthy("at"), stale("de", tokensource.ReloadRejected))
		}, admin.BrokerDegraded, admin.CauseCredentials, "Requests of the account de work, but with the old credentials: the new ones cannot be used.", "De's were rejected."},
		{"what is not refreshed comes before what is", func() []tokensource.Snapshot {
			return list(stale("at", tokensource.ReloadRejected), failing("de", unavailable))
		}, admin.BrokerDegraded, admin.CauseLoginServer, "Requests of the account de still work, but only until the token ends: the login server gives no token.", "De was unavailable. Besides, another account needs attention."},
		{"all in an outage", func() []tokensource.Snapshot {
			return list(without(failing("at", unavailable)), without(failing("de", unavailable)))
		}, admin.BrokerDown, admin.CauseLoginServer, "Requests of all accounts fail: the login server gives no token.", "At was unavailable."},
		{"the default account is in an outage, and others are not", func() []tokensource.Snapshot {
			return list(without(failing("default", unavailable)), healthy("de"))
		}, admin.BrokerDown, admin.CauseLoginServer, "Requests of the account default fail: the login server gives no token.", "Default was unavailable."},
		{"the default account is in an outage, and another's credentials are rejected", func() []tokensource.Snapshot {
			return list(without(failing("default", unavailable)), without(failing("de", rejected)))
		}, admin.BrokerDown, admin.CauseLoginServer, "Requests of the account default fail: the login server gives no token.", "Default was unavailable. Besides, another account needs attention."},
		{"another is in an outage", func() []tokensource.Snapshot {
			return list(healthy("default"), without(failing("de", unavailable)))
		}, admin.BrokerDegraded, admin.CauseLoginServer, "Requests of the account de fail: the login server gives no token.", "De was unavailable."},
		{"the worst comes first, wherever it stands", func() []tokensource.Snapshot {
			return list(failing("at", unavailable), failing("be", rejected), without(failing("ch", unavailable)), without(failing("de", rejected)), without(failing("fr", rejected)), healthy("it"))
		}, admin.BrokerDegraded, admin.CauseCredentials, "Requests of 2 of 6 accounts fail: the credentials do not work.", "De was rejected. Besides, 3 other accounts need attention."},
		{"no token comes before bad credentials with one", func() []tokensource.Snapshot {
			return list(failing("be", rejected), without(failing("ch", unavailable)))
		}, admin.BrokerDegraded, admin.CauseLoginServer, "Requests of the account ch fail: the login server gives no token.", "Ch was unavailable. Besides, another account needs attention."},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := config(test.accounts()...)
				c.Settings = []admin.Setting{{Name: "ETRUSTED_TOKEN_URL", Source: "environment"}}
				got := told(t, c)
				if got.State != test.state || got.Cause != test.fault || got.Summary != test.summary || got.Detail != test.detail || got.Advice == "" {
					t.Errorf("got %+v", got.Diagnosis)
				}
				wantInPage(t, c, test.summary, got.Display.Symbol, got.Display.Cause)
				c.Draining = func() bool { return true }
				if got := told(t, c); got.State != admin.BrokerDraining || got.Cause != admin.CauseNone || got.Summary != "The broker is shutting down." {
					t.Errorf("draining: got %+v", got.Diagnosis)
				}
			})
		})
	}
}

func list(snapshots ...tokensource.Snapshot) []tokensource.Snapshot { return snapshots }

// TestAPIAtFault holds when the API is said to be at fault: when it fails while the token is fine, and not for what the
// broker or the app did.
func TestAPIAtFault(t *testing.T) {
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
			return func(counted *stats.Recorder) {
				for _, request := range each {
					counted.Observe(request)
				}
			}
		}
		working = "Everything works."
		failing = "The token is fine, but the API fails."
	)
	tests := []struct {
		name   string
		happen func(*stats.Recorder)
		state  admin.BrokerState
		want   string
		detail string
	}{
		{"nothing", requests(), admin.BrokerWorking, working, ""},
		{"the app is at fault", requests(refused, refused), admin.BrokerWorking, working, ""},
		{"there was no token", requests(noToken, noToken), admin.BrokerWorking, working, ""},
		{"there was no token, at first", requests(noToken, noToken, fine), admin.BrokerWorking, working, ""},
		{"turned away", requests(denied, denied), admin.BrokerWorking, working, ""},
		{"its own errors", requests(broken, fine), admin.BrokerDegraded, failing, "Of the 2 requests sent to the API in the last five minutes, 1 failed."},
		{"not to be reached", requests(away), admin.BrokerDown, failing, "Of the 1 request sent to the API in the last five minutes, 1 failed."},
		{"too slow", requests(slow, fine), admin.BrokerDegraded, failing, "Of the 2 requests sent to the API in the last five minutes, 1 failed."},
		{"turned away besides", requests(broken, denied, denied), admin.BrokerDown, failing, "Of the 1 request sent to the API in the last five minutes, 1 failed."},
		{"a hiccup", requests(broken, fine, fine, fine, fine, fine, fine, fine, fine, fine, fine), admin.BrokerWorking, working, ""},
		{"one in ten", requests(broken, fine, fine, fine, fine, fine, fine, fine, fine, fine), admin.BrokerDegraded, failing, "Of the 10 requests sent to the API in the last five minutes, 1 failed."},
		{"no request since", func(counted *stats.Recorder) {
			requests(broken, broken)(counted)
			time.Sleep(2 * time.Minute)
		}, admin.BrokerDown, failing, "Of the 2 requests sent to the API in the last five minutes, 2 failed."},
		{"it is over", func(counted *stats.Recorder) {
			requests(broken, broken)(counted)
			time.Sleep(2 * time.Minute)
			requests(fine)(counted)
		}, admin.BrokerWorking, working, ""},
		{"it is long ago", func(counted *stats.Recorder) {
			requests(broken, broken)(counted)
			time.Sleep(6 * time.Minute)
		}, admin.BrokerWorking, working, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				counted := stats.New(denials, replays)
				go counted.Run(t.Context())
				synctest.Wait()
				test.happen(counted)
				synctest.Wait()
				c := config(healthy("default"))
				c.Traffic = counted.Snapshot
				got := told(t, c)
				if got.State != test.state || got.Summary != test.want || got.Detail != test.detail || (got.Cause == admin.CauseAPI) != (test.want == failing) {
					t.Errorf("got %+v", got.Diagnosis)
				}
			})
		})
	}
}

// TestTokenAndAPI holds that a failing API does not hide that there will be no token, and is not hidden by it.
func TestTokenAndAPI(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := config(failing("default", tokensource.OutcomeRejected))
		c.Traffic = traffic(func(counted *stats.Recorder) {
			counted.Observe(stats.Request{Account: "default", Status: 500, UpstreamTime: time.Millisecond})
		}).Snapshot
		got := told(t, c)
		if got.Cause != admin.CauseCredentials || got.Detail != "Default was rejected. Besides, of the 1 request sent to the API in the last five minutes, 1 failed." {
			t.Errorf("%+v", got.Diagnosis)
		}
	})
}
