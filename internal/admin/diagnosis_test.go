package admin_test

import (
	"encoding/json"
	"testing"
	"testing/synctest"
	"time"

	"etrusted-broker/internal/admin"
	"etrusted-broker/metrics"
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

// TestDescribesAccountStates covers each state of an account.
func TestDescribesAccountStates(t *testing.T) {
	t.Parallel()
	const (
		valid, none               = "The token is valid.", "There is no token. Requests fail."
		fetching                  = "The first token is being fetched. Requests wait for it."
		refetching                = "The token is no longer valid, and a new one is being fetched. Requests wait for it."
		aging                     = "The token is valid, but cannot be refreshed. Requests fail once it has expired."
		unused                    = "The token is valid. The new credentials cannot be used; the old ones are still in use."
		unavailable               = tokensource.OutcomeUnavailable
		rejected, nonsense        = tokensource.OutcomeRejected, tokensource.OutcomeInvalidResponse
		noToken, badKey, rotation = "no-token", "credentials-rejected", "new-credentials-unused"
	)
	tests := []struct {
		name     string
		snapshot func() tokensource.Snapshot
		tokenURL string // source of ETRUSTED_TOKEN_URL
		state    admin.AccountState
		cause    admin.Cause
		code     string
		summary  string
	}{
		{"healthy", func() tokensource.Snapshot { return healthy("default") }, "default", admin.AccountHealthy, admin.CauseNone, "", valid},
		{"refreshing", func() tokensource.Snapshot { return refreshing("default") }, "default", admin.AccountRefreshing, admin.CauseNone, "", "The token is valid, and is being refreshed."},
		{"starting", func() tokensource.Snapshot { return starting("default") }, "default", admin.AccountStarting, admin.CauseNone, "", fetching},
		{"expired during suspend", func() tokensource.Snapshot { return suspended("default") }, "default", admin.AccountStarting, admin.CauseNone, "", refetching},
		{"failing", func() tokensource.Snapshot { return failing("default", unavailable) }, "environment", admin.AccountRefreshFailing, admin.CauseLoginServer, noToken, aging},
		{"invalid response from the default URL", func() tokensource.Snapshot { return failing("default", nonsense) }, "default", admin.AccountRefreshFailing, admin.CauseLoginServer, noToken, aging},
		{"outage", func() tokensource.Snapshot { return without(failing("default", unavailable)) }, "environment", admin.AccountNoTokenOutage, admin.CauseLoginServer, noToken, none},
		{"invalid response from a configured URL", func() tokensource.Snapshot { return without(failing("default", nonsense)) }, "environment", admin.AccountNoTokenOutage, admin.CauseConfiguration, noToken, none},
		{"refused scopes", func() tokensource.Snapshot {
			snapshot := failing("default", rejected)
			snapshot.LastFailure.Parameters = true
			return snapshot
		}, "default", admin.AccountBadCredentials, admin.CauseConfiguration, badKey, aging},
		{"rejected", func() tokensource.Snapshot { return without(failing("default", rejected)) }, "default", admin.AccountBadCredentials, admin.CauseCredentials, badKey, none},
		{"rejected, token still valid", func() tokensource.Snapshot { return failing("default", rejected) }, "default", admin.AccountBadCredentials, admin.CauseCredentials, badKey, aging},
		{"new credentials rejected", func() tokensource.Snapshot { return stale("default", tokensource.ReloadRejected) }, "default", admin.AccountReloadFailing, admin.CauseCredentials, rotation, unused},
		{"new credentials unreadable", func() tokensource.Snapshot { return stale("default", tokensource.ReloadUnreadable) }, "default", admin.AccountReloadFailing, admin.CauseCredentials, rotation, unused},
		{"changed during an outage", func() tokensource.Snapshot { return stale("default", tokensource.ReloadPostponed) }, "default", admin.AccountReloadFailing, admin.CauseLoginServer, rotation, unused},
		{"changed while the first token is fetched", func() tokensource.Snapshot { return without(stale("default", tokensource.ReloadRejected)) }, "default", admin.AccountStarting, admin.CauseNone, "", refetching},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := config(test.snapshot())
				c.Settings = []admin.Setting{{Name: "ETRUSTED_TOKEN_URL", Source: test.tokenURL}}
				status := statusFor(t, admin.New(c))
				got := status.Accounts[0]
				if got.State != test.state || got.Cause != test.cause || got.Code != test.code || got.Summary != test.summary {
					t.Errorf("got %s, %s, %q, %q; want %s, %s, %q, %q", got.State, got.Cause, got.Code, got.Summary, test.state, test.cause, test.code, test.summary)
				}
				if want := test.cause != admin.CauseNone; got.NeedsAttention != want || (got.Advice == "Do that.") != want || status.Cause != test.cause || status.Code != test.code {
					t.Errorf("got needs_attention %v, advice %q, cause %s; want %v, cause %s", got.NeedsAttention, got.Advice, status.Cause, want, test.cause)
				}
			})
		})
	}
}

func statusFor(t *testing.T, h *admin.Handler) admin.Status {
	t.Helper()
	var status admin.Status
	if err := json.Unmarshal(ask(h, "GET", "/status.json").Body.Bytes(), &status); err != nil {
		t.Fatal(err)
	}
	return status
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
			"Requests will fail once the token expires: cannot get a token from the login server.", "Default was unavailable."},
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
			"Requests will fail once the token expires: the credentials do not work.", "Default was rejected."},
		{"one, new credentials unreadable", func() []tokensource.Snapshot { return list(stale("default", tokensource.ReloadUnreadable)) }, admin.BrokerDegraded, admin.CauseCredentials,
			"New credentials cannot be used; the old ones are still in use.", "Default's were unreadable."},
		{"one of several, new credentials rejected", func() []tokensource.Snapshot {
			return list(healthy("at"), stale("de", tokensource.ReloadRejected))
		}, admin.BrokerDegraded, admin.CauseCredentials, "New credentials of the account de cannot be used; the old ones are still in use.", "De's were rejected."},
		{"a failed refresh is worse than unused credentials", func() []tokensource.Snapshot {
			return list(stale("at", tokensource.ReloadRejected), failing("de", unavailable))
		}, admin.BrokerDegraded, admin.CauseLoginServer, "Requests of the account de will fail once the token expires: cannot get a token from the login server.", "De was unavailable. Another account needs attention."},
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
				got := statusFor(t, admin.New(c))
				if got.State != test.state || got.Cause != test.cause || got.Summary != test.summary || got.Detail != test.detail || got.Advice == "" {
					t.Errorf("got %+v, want %s, %s, %q, %q", got.Diagnosis, test.state, test.cause, test.summary, test.detail)
				}
				c.Draining = func() bool { return true }
				if got := statusFor(t, admin.New(c)); got.State != admin.BrokerDraining || got.Cause != admin.CauseNone || got.Summary != "The broker is shutting down." {
					t.Errorf("draining: got %+v", got.Diagnosis)
				}
			})
		})
	}
}

func list(snapshots ...tokensource.Snapshot) []tokensource.Snapshot { return snapshots }

// TestVerdictWeighsRequests: valid tokens are not enough if requests fail.
func TestVerdictWeighsRequests(t *testing.T) {
	t.Parallel()
	const took = 10 * time.Millisecond
	var (
		fine    = metrics.Request{Account: "default", Status: 200, Upstream: took}
		invalid = metrics.Request{Account: "default", Status: 422, Upstream: took}
		broken  = metrics.Request{Account: "default", Status: 500, Upstream: took}
		away    = metrics.Request{Account: "default", Status: 502, Upstream: took, Local: true}
		slow    = metrics.Request{Account: "default", Status: 504, Upstream: took, Local: true}
		gone    = metrics.Request{Account: "default", Status: 499, Upstream: took}
		limited = metrics.Request{Account: "default", Status: 429, Upstream: took}
		barred  = metrics.Request{Account: "default", Status: 403, Upstream: took}
		noToken = metrics.Request{Account: "default", Status: 503, Local: true}
		denied  = metrics.Request{Account: "-", Status: 421, Local: true}
	)
	several := func(each ...metrics.Request) func(*metrics.Metrics) {
		return func(counters *metrics.Metrics) {
			for _, request := range each {
				counters.Observe(request)
			}
		}
	}
	const (
		working, down, degraded = admin.BrokerWorking, admin.BrokerDown, admin.BrokerDegraded

		fineText = "Everything works."
		failing  = "The API returns errors, or does not answer."
		limiting = "The API refuses requests with 429: there are too many."
		barring  = "The API refuses requests with 401 or 403."
		leaving  = "Apps disconnect before the response."
		refusing = "The broker refuses requests."
	)
	tests := []struct {
		name   string
		events func(*metrics.Metrics)
		state  admin.BrokerState
		want   string
		detail string
	}{
		{"nothing", several(), working, fineText, ""},
		{"client errors", several(invalid, invalid), working, fineText, ""},
		{"no token", several(noToken, noToken), working, fineText, ""},
		{"no token at first", several(noToken, noToken, fine), working, fineText, ""},
		{"the API's own errors", several(broken, fine), degraded, failing, "This affected 1 of 2 requests in the last 5 minutes. The last one got 502, because the API is down."},
		{"unreachable", several(away), down, failing, "This affected 1 of 1 requests in the last 5 minutes. The last one got 502, because the API is down."},
		{"too slow", several(slow, fine), degraded, failing, "This affected 1 of 2 requests in the last 5 minutes. The last one got 502, because the API is down."},
		{"some too many", several(limited, fine), degraded, limiting, "This affected 1 of 2 requests in the last 5 minutes."},
		{"too many", several(limited), down, limiting, "This affected 1 of 1 requests in the last 5 minutes."},
		{"missing rights", several(barred, fine), degraded, barring, "This affected 1 of 2 requests in the last 5 minutes."},
		{"no rights", several(barred, barred), down, barring, "This affected 2 of 2 requests in the last 5 minutes."},
		{"some impatient apps", several(gone, fine), degraded, leaving, "This affected 1 of 2 requests in the last 5 minutes."},
		{"impatient apps", several(gone, gone), down, leaving, "This affected 2 of 2 requests in the last 5 minutes."},
		{"denied", several(denied, fine), degraded, refusing, "It refused 1 of 2 requests in the last 5 minutes, the last one because the host is wrong."},
		{"all denied", several(denied, denied), degraded, refusing, "It refused 2 of 2 requests in the last 5 minutes, the last one because the host is wrong."},
		{"errors and denied requests", several(broken, denied, denied), down, failing,
			"This affected 1 of 1 requests in the last 5 minutes. The last one got 502, because the API is down. The broker refuses requests. It refused 2 of 3 requests in the last 5 minutes, the last one because the host is wrong."},
		{"fewer than one in ten", several(broken, fine, fine, fine, fine, fine, fine, fine, fine, fine, fine), working, fineText, ""},
		{"one in ten", several(broken, fine, fine, fine, fine, fine, fine, fine, fine, fine), degraded, failing, "This affected 1 of 10 requests in the last 5 minutes. The last one got 502, because the API is down."},
		{"no request since the errors", func(counters *metrics.Metrics) {
			several(broken, broken)(counters)
			time.Sleep(2 * time.Minute)
		}, down, failing, "This affected 2 of 2 requests in the last 5 minutes. The last one got 502, because the API is down."},
		{"recovered", func(counters *metrics.Metrics) {
			several(broken, broken)(counters)
			time.Sleep(2 * time.Minute)
			several(fine)(counters)
		}, working, fineText, ""},
		{"errors are more than five minutes ago", func(counters *metrics.Metrics) {
			several(broken, broken)(counters)
			time.Sleep(6 * time.Minute)
		}, working, fineText, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := config(healthy("default"))
				h := run(t, c)
				h.ObserveFailedRequest(admin.FailedRequest{Status: 421, Local: true, Code: "another", Reason: "another one"})
				h.ObserveFailedRequest(admin.FailedRequest{Status: 421, Local: true, Code: "wrong-host", Reason: "the host is wrong", Hint: "Use another."})
				h.ObserveFailedRequest(admin.FailedRequest{Status: 502, Local: true, Code: "connection-refused", Reason: "the API is down"})
				h.ObserveFailedRequest(admin.FailedRequest{Status: 404})
				test.events(c.Metrics)
				synctest.Wait()
				got := statusFor(t, h)
				if got.State != test.state || got.Summary != test.want || got.Detail != test.detail || got.Advice == "" {
					t.Errorf("got %+v, want %s, %q, %q", got.Diagnosis, test.state, test.want, test.detail)
				}
				if test.want == refusing && (got.Cause != admin.CauseApp || got.Code != "wrong-host" || got.Advice != "Use another.") {
					t.Errorf("got %+v, want the last refusal's code and hint", got.Diagnosis)
				}
			})
		})
	}
}

// TestVerdictIsWorstProblem: what fails now comes before what will fail, and the detail has the rest.
func TestVerdictIsWorstProblem(t *testing.T) {
	t.Parallel()
	broken := []metrics.Request{{Account: "default", Status: 500, Upstream: 1}}
	for name, test := range map[string]struct {
		snapshot func() tokensource.Snapshot
		requests []metrics.Request
		store    string
		want     admin.Diagnosis
	}{
		"unused credentials, and every request fails": {
			func() tokensource.Snapshot { return stale("default", tokensource.ReloadRejected) }, broken, "",
			admin.Diagnosis{State: admin.BrokerDown, Cause: admin.CauseAPI, Code: "api-errors", Summary: "The API returns errors, or does not answer.",
				Detail: "This affected 1 of 1 requests in the last 5 minutes. New credentials cannot be used; the old ones are still in use. Default's were rejected."},
		},
		"rejected credentials, and some requests fail": {
			func() tokensource.Snapshot { return failing("default", tokensource.OutcomeRejected) }, append([]metrics.Request{{Account: "default", Status: 200, Upstream: 1}}, broken...), "",
			admin.Diagnosis{State: admin.BrokerDegraded, Cause: admin.CauseCredentials, Code: "credentials-rejected", Summary: "Requests will fail once the token expires: the credentials do not work.",
				Detail: "Default was rejected. The API returns errors, or does not answer. This affected 1 of 2 requests in the last 5 minutes."},
		},
		"no token yet": {
			func() tokensource.Snapshot { return starting("default") }, nil, "is full",
			admin.Diagnosis{State: admin.BrokerStarting, Cause: admin.CauseNone, Summary: "The broker is fetching a token.",
				Detail: "Requests wait for it. The token is not shared: the token store is unavailable. It is full."},
		},
		"the store is down": {
			func() tokensource.Snapshot { return healthy("default") }, nil, "is full",
			admin.Diagnosis{State: admin.BrokerWorking, Cause: admin.CauseTokenStore, Code: "token-store-unavailable", Summary: "The token is not shared: the token store is unavailable.",
				Detail: "It is full."},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := config(test.snapshot())
				c.StoreProblem = func() string { return test.store }
				for _, request := range test.requests {
					c.Metrics.Observe(request)
				}
				got := statusFor(t, run(t, c)).Diagnosis
				test.want.Advice, test.want.Since = got.Advice, got.Since
				if got != test.want || got.Advice == "" {
					t.Errorf("got  %+v\nwant %+v", got, test.want)
				}
			})
		})
	}
}
