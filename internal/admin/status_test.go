package admin_test

import (
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"etrusted-broker/internal/admin"
	"etrusted-broker/internal/operations"
	"etrusted-broker/metrics"
	"etrusted-broker/tokensource"
)

// eventful returns a handler with a value in every field. It is called in a synctest bubble. Its times are not in UTC, so that
// tests notice a missing conversion.
func eventful(t *testing.T) *admin.Handler {
	now := time.Now().In(time.FixedZone("", 3600))
	issued := now.Add(-200 * time.Second)
	c := config(tokensource.Snapshot{
		Account:             "default",
		Valid:               true,
		Issued:              issued,
		Expires:             issued.Add(5 * time.Minute),
		Remaining:           99500 * time.Millisecond,
		Refreshes:           [...]uint64{11, 12, 13, 14}, // in the order of tokensource.Outcomes
		ConsecutiveFailures: 2,
		LastSuccess:         issued.Add(time.Second),
		LastDuration:        120 * time.Millisecond,
		FetchingSince:       now.Add(-300 * time.Millisecond),
		LastFailure:         failure,
		LastFailureAt:       now.Add(-5 * time.Second),
		NextAttempt:         now.Add(-300 * time.Millisecond),
		RequestsWaited:      5,
		Invalidations:       6,
		Reloads:             [...]uint64{7, 8, 9}, // in the order of tokensource.CountedReloadOutcomes
		LastChange:          issued.Add(-time.Hour),
	})
	c.Started = now.Add(-26 * time.Hour)
	c.InFlight = func() int64 { return 3 }
	c.ConnectionInfo = func() admin.ConnectionInfo {
		return admin.ConnectionInfo{API: "https://api.example", URL: "http://localhost:8080", Curl: "curl --cacert ca.crt"}
	}
	c.Settings = []admin.Setting{{Name: "ETRUSTED_CLIENT_SECRET", Value: "(set, 36 bytes)", Source: "environment", Meaning: "the Client Secret"}}
	c.InAllowList = func(one operations.UsedOperation) bool { return one.Method == "GET" }
	c.AllowMode = "warn"
	c.Operations.Add("", "GET", "/reviews/rev-1", now)
	c.Operations.Add("", "GET", "/reviews/rev-2", now)
	c.Operations.Add("erp", "POST", "/reviews/rev-3/vetos", now)
	h := run(t, c)
	// All counts and their sums differ, so that tests notice if two are confused.
	c.Metrics.Observe(metrics.Request{Account: "default", Method: "GET", Status: 200, Upstream: 100 * time.Millisecond, Retry: "success"})
	for _, ended := range []struct {
		times   int
		request metrics.Request
	}{
		{2, metrics.Request{Account: "default", Status: 304, Upstream: 160 * time.Millisecond}},
		{3, metrics.Request{Account: "default", Status: 404, Upstream: 100 * time.Millisecond}},
		{5, metrics.Request{Account: "default", Status: 503, Local: true}},
		{6, metrics.Request{Account: "default", Status: 499, Local: true}},
	} {
		for range ended.times {
			c.Metrics.Observe(ended.request)
		}
	}
	c.Metrics.Observe(metrics.Request{Account: "-", Status: 421, Local: true, Denied: "host", DryRun: true, DroppedFields: 7})
	for _, outcome := range tokensource.Outcomes {
		h.ObserveRefresh(tokensource.RefreshEvent{Account: "default", Outcome: outcome, Duration: 120 * time.Millisecond})
	}
	h.ObserveFailedRequest(admin.FailedRequest{Method: "GET", Path: "/", Status: 421, Local: true, Code: "host-not-allowed", Reason: "the host is wrong", Hint: "Use another."})
	time.Sleep(65 * time.Second) // for the rates
	synctest.Wait()
	return h
}

// TestStatusJSON pins the names and formats that scripts read.
func TestStatusJSON(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		want, err := os.ReadFile("testdata/status.json")
		if err != nil {
			t.Fatal(err)
		}
		if got := ask(eventful(t), "GET", "/status.json").Body.String(); got != string(want) {
			t.Errorf("got %s\nwant testdata/status.json", got)
		}
	})
}

// TestOmitsWhatNeverHappened: it is absent, not the year 1 or null.
func TestOmitsWhatNeverHappened(t *testing.T) {
	t.Parallel()
	got := ask(handler(false, tokensource.Snapshot{Account: "default"}), "GET", "/status.json").Body.String()
	for _, wrong := range []string{"0001-01-01", "null", "token_issued", "token_expires", "last_success", "next_attempt", "fetching_since", "credentials_changed", "last_error\"", "token_store", "\"shared"} {
		if strings.Contains(got, wrong) {
			t.Errorf("got %s in %s, want no such name", wrong, got)
		}
	}
	for _, want := range []string{`"started": "2026-01-02T02:04:05Z"`, `"token_remaining_seconds": 0`, `"last_hour": []`, `"failures": []`, `"traffic": []`, `"configuration": []`, `"host": 0`, `"no_token": 0`} {
		if !strings.Contains(got, want) {
			t.Errorf("got %s, want %s in it", got, want)
		}
	}
}

// TestStoreAndSharedToken: both are present only if there is a store.
func TestStoreAndSharedToken(t *testing.T) {
	t.Parallel()
	shared := valid("default")
	shared.Shared, shared.HoldsLease, shared.FromPeer, shared.StoreHits, shared.StoreErrors = true, true, true, 3, 4
	for problem, want := range map[string]admin.TokenStoreStatus{"": {Working: true}, "is full": {Problem: "is full"}} {
		c := config(shared)
		c.StoreProblem = func() string { return problem }
		got := statusFor(t, admin.New(c))
		if got.TokenStore == nil || *got.TokenStore != want {
			t.Errorf("token_store: got %+v, want %+v", got.TokenStore, want)
		}
		if want := (admin.SharedToken{HoldsLease: true, FromPeer: true, Hits: 3, Errors: 4}); got.Accounts[0].Shared == nil || *got.Accounts[0].Shared != want {
			t.Errorf("shared: got %+v, want %+v", got.Accounts[0].Shared, want)
		}
	}
}

// TestRequestsOfAllAccounts: sums and rates include all accounts, and requests refused before an account was known.
func TestRequestsOfAllAccounts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := config(valid("at"), valid("de"))
		c.Started = time.Now().Add(-time.Hour)
		h := run(t, c)
		for range 30 {
			c.Metrics.Observe(metrics.Request{Account: "de", Status: 200, Upstream: 100 * time.Millisecond, Retry: "success"})
			c.Metrics.Observe(metrics.Request{Account: "at", Status: 500, Upstream: 300 * time.Millisecond, Retry: "no_token"})
			c.Metrics.Observe(metrics.Request{Account: "-", Status: 403, Local: true, Denied: "key"})
		}
		time.Sleep(45 * time.Second)
		status := statusFor(t, h)
		all := admin.WindowCounts{SpanSeconds: 45, PerSecond: 2, All: 90, Success: 30, ClientError: 30, ServerError: 30, Local: 30, APISeconds: 0.2}
		total := all
		total.SpanSeconds, total.PerSecond = 3645, 0.025
		if want := (admin.RequestCountsByWindow{LastMinute: all, LastFiveMinutes: all, Total: total}); status.Requests != want {
			t.Errorf("all: got %+v\nwant %+v", status.Requests, want)
		}
		at := admin.WindowCounts{SpanSeconds: 45, PerSecond: 0.667, All: 30, ServerError: 30, APISeconds: 0.3}
		if got := status.Accounts[0].Requests.LastMinute; got != at {
			t.Errorf("at: got %+v\nwant %+v", got, at)
		}
		if status.Denied["key"] != 30 || status.Replays["success"] != 30 || status.Replays["no_token"] != 30 || status.Accounts[0].Replays["success"] != 0 {
			t.Errorf("got denied %v, replays %v and %v, want 30 each", status.Denied, status.Replays, status.Accounts[0].Replays)
		}
	})
}

// TestPeriodsEnd: requests leave the short period after a minute, the long one after five, and the total never. A removed
// account takes its requests with it.
func TestPeriodsEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := config(valid("default"))
		h := run(t, c)
		c.Metrics.AddAccount("de")
		c.Metrics.Observe(metrics.Request{Account: "default", Status: 200})
		c.Metrics.Observe(metrics.Request{Account: "de", Status: 200})
		for _, step := range []struct {
			after                      time.Duration
			minute, fiveMinutes, total uint64
		}{{50 * time.Second, 2, 2, 2}, {30 * time.Second, 0, 2, 2}, {3 * time.Minute, 0, 2, 2}, {time.Minute, 0, 0, 2}, {time.Hour, 0, 0, 2}} {
			time.Sleep(step.after)
			synctest.Wait()
			got := statusFor(t, h).Requests
			if got.LastMinute.All != step.minute || got.LastFiveMinutes.All != step.fiveMinutes || got.Total.All != step.total {
				t.Errorf("%v later: got %d, %d, %d, want %d, %d, %d", step.after, got.LastMinute.All, got.LastFiveMinutes.All, got.Total.All, step.minute, step.fiveMinutes, step.total)
			}
			if span := got.LastMinute.SpanSeconds; span < 50 || span > 71 {
				t.Errorf("%v later: the last minute has %v s, want at most 70", step.after, span)
			}
		}
		c.Metrics.DeleteAccount("de")
		if got := statusFor(t, h).Requests; got.Total.All != 1 || got.LastMinute.All != 0 {
			t.Errorf("after the removal: got %d and %d, want 1 and 0", got.Total.All, got.LastMinute.All)
		}
	})
}

// TestTrafficHasLastHour: one entry for each minute, at most sixty.
func TestTrafficHasLastHour(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := config(valid("default"))
		h := run(t, c)
		time.Sleep(5 * time.Second) // so that requests do not end at the time of a sample
		for minute := range 100 {
			for range minute {
				c.Metrics.Observe(metrics.Request{Account: "default", Status: 200})
			}
			c.Metrics.Observe(metrics.Request{Account: "-", Status: 403, Local: true})
			time.Sleep(time.Minute)
		}
		synctest.Wait()
		got := statusFor(t, h).Traffic
		if len(got) != 60 {
			t.Fatalf("got %d minutes, want 60", len(got))
		}
		for i, minute := range got {
			if want := (admin.TrafficMinute{Start: bubbleStart.Add(time.Duration(40+i) * time.Minute), Requests: uint64(41 + i), Failed: 1}); minute != want {
				t.Errorf("got %+v, want %+v", minute, want)
			}
		}
	})
}

// bubbleStart is the time at which a synctest bubble begins.
var bubbleStart = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// TestRefreshesHaveLastHour: one entry for each minute in which a token request ended.
func TestRefreshesHaveLastHour(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := run(t, config(valid("default")))
		ended := func(outcome tokensource.Outcome) {
			h.ObserveRefresh(tokensource.RefreshEvent{Account: "default", Outcome: outcome, Duration: 240 * time.Millisecond})
		}
		ended(tokensource.OutcomeSuccess) // more than an hour ago at the end
		time.Sleep(time.Minute)
		ended(tokensource.OutcomeSuccess)
		time.Sleep(time.Minute)
		ended(tokensource.OutcomeRejected)
		ended(tokensource.OutcomeUnavailable)
		time.Sleep(58 * time.Minute)
		ended(tokensource.OutcomeSuccess)
		ended(tokensource.OutcomeInvalidResponse)
		want := []admin.RefreshMinute{
			{Start: bubbleStart.Add(time.Minute), Success: 1, SlowestSeconds: 0.24},
			{Start: bubbleStart.Add(2 * time.Minute), Rejected: 1, Unavailable: 1, SlowestSeconds: 0.24},
			{Start: bubbleStart.Add(time.Hour), Success: 1, InvalidResponse: 1, SlowestSeconds: 0.24},
		}
		if got := statusFor(t, h).Accounts[0].LastHour; !slices.Equal(got, want) {
			t.Errorf("got %+v, want %+v", got, want)
		}
	})
}

// TestSinceIsStartOfState: it changes with the state only, and is noticed without a reader.
func TestSinceIsStartOfState(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var current atomic.Value
		current.Store(healthy("default"))
		c := config(healthy("default"))
		c.Tokens = func() []tokensource.Snapshot { return []tokensource.Snapshot{current.Load().(tokensource.Snapshot)} }
		h := run(t, c)
		want := func(since time.Duration) {
			t.Helper()
			got := statusFor(t, h)
			for name, at := range map[string]time.Time{
				"broker": got.Since, "account": got.Accounts[0].Since, "login server": got.Components.LoginServer.Since, "token": got.Components.Token.Since,
			} {
				if !at.Equal(bubbleStart.Add(since)) {
					t.Errorf("%s: got %v, want %v", name, at, bubbleStart.Add(since))
				}
			}
			if at := got.Components.API.Since; !at.Equal(bubbleStart) {
				t.Errorf("API: got %v, want the start", at)
			}
		}
		time.Sleep(time.Minute + time.Second)
		want(0)
		current.Store(without(failing("default", tokensource.OutcomeUnavailable)))
		time.Sleep(time.Hour)
		want(70 * time.Second) // the next sample
	})
}

// TestForgetsRemovedAccounts: an account that is added again starts without its history.
func TestForgetsRemovedAccounts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := config(valid("de"))
		snapshots := list(valid("de"))
		var exists atomic.Bool
		exists.Store(true)
		c.Tokens = func() []tokensource.Snapshot {
			if exists.Load() {
				return snapshots
			}
			return nil
		}
		h := run(t, c)
		h.ObserveRefresh(tokensource.RefreshEvent{Account: "de", Outcome: tokensource.OutcomeSuccess})
		time.Sleep(time.Second)
		exists.Store(false)
		c.Metrics.DeleteAccount("de")
		time.Sleep(time.Minute)
		exists.Store(true)
		c.Metrics.AddAccount("de")
		got := statusFor(t, h).Accounts[0]
		if len(got.LastHour) != 0 || !got.Since.Equal(bubbleStart.Add(time.Minute+time.Second)) {
			t.Errorf("got %v and since %v, want no token requests, and since now", got.LastHour, got.Since)
		}
	})
}

// TestComponents: each has the state that most concerns requests.
func TestComponents(t *testing.T) {
	t.Parallel()
	const ok, warning, broken, unknown = admin.ComponentOK, admin.ComponentWarning, admin.ComponentFailing, admin.ComponentUnknown
	outage := func() tokensource.Snapshot { return without(failing("at", tokensource.OutcomeUnavailable)) }
	for name, test := range map[string]struct {
		snapshots            func() []tokensource.Snapshot
		status               int // of a request to the API; 0 for none
		login, token, api    admin.ComponentState
		loginText, tokenText string
	}{
		"healthy":          {func() []tokensource.Snapshot { return list(healthy("at")) }, 200, ok, ok, ok, "It issues tokens.", "It is valid."},
		"no account":       {func() []tokensource.Snapshot { return nil }, 0, unknown, unknown, unknown, "No account is configured.", "No account is configured."},
		"starting":         {func() []tokensource.Snapshot { return list(starting("at")) }, 0, unknown, unknown, unknown, "It has not answered yet.", "It is being fetched."},
		"outage":           {func() []tokensource.Snapshot { return list(outage()) }, 500, broken, broken, broken, "It issues no token.", "No token."},
		"refresh fails":    {func() []tokensource.Snapshot { return list(failing("at", tokensource.OutcomeUnavailable)) }, 0, broken, warning, unknown, "It issues no token.", "It is valid, but cannot be refreshed."},
		"outage of one":    {func() []tokensource.Snapshot { return list(outage(), healthy("de")) }, 0, warning, warning, unknown, "It issues no token. This affects 1 of 2 accounts.", "No token. This affects 1 of 2 accounts."},
		"rejected for one": {func() []tokensource.Snapshot { return list(failing("at", tokensource.OutcomeRejected), healthy("de")) }, 0, warning, warning, unknown, "It rejects the credentials. This affects 1 of 2 accounts.", "It is valid, but cannot be refreshed. This affects 1 of 2 accounts."},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := config(test.snapshots()...)
				h := run(t, c)
				if test.status > 0 {
					c.Metrics.Observe(metrics.Request{Account: "at", Status: test.status, Upstream: time.Second})
				}
				got := statusFor(t, h).Components
				if got.LoginServer.State != test.login || got.Token.State != test.token || got.API.State != test.api {
					t.Errorf("got %s, %s, %s; want %s, %s, %s", got.LoginServer.State, got.Token.State, got.API.State, test.login, test.token, test.api)
				}
				if got.LoginServer.Summary != test.loginText || got.Token.Summary != test.tokenText {
					t.Errorf("got %q, %q; want %q, %q", got.LoginServer.Summary, got.Token.Summary, test.loginText, test.tokenText)
				}
				if want := map[bool]float64{true: 1}[test.status > 0]; got.API.LatencySeconds != want {
					t.Errorf("latency of the API: got %v, want %v", got.API.LatencySeconds, want)
				}
			})
		})
	}
}

// TestFailuresAreBounded: neither many requests nor long ones take much memory.
func TestFailuresAreBounded(t *testing.T) {
	t.Parallel()
	h := handler(false)
	for i := range 1000 {
		h.ObserveFailedRequest(admin.FailedRequest{Method: strings.Repeat("M", 1<<16), Path: "/" + strconv.Itoa(i) + strings.Repeat("x", 1<<16), Status: 404})
	}
	got := statusFor(t, h).Failures
	if len(got) != 20 {
		t.Fatalf("got %d failures, want 20", len(got))
	}
	for i, failure := range got {
		if len(failure.Path) > 203 || len(failure.Method) > 19 || !strings.HasPrefix(failure.Path, "/"+strconv.Itoa(999-i)+"x") {
			t.Errorf("got %q %q, want the last requests, cut", failure.Method, failure.Path)
		}
	}
}

// TestFailuresMergeRepetitions: an app that repeats a request has one entry, at the top.
func TestFailuresMergeRepetitions(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := handler(false)
		first := admin.FailedRequest{Account: "de", Method: "GET", Path: "/a", Status: 503, Local: true, Code: "no-token", Reason: "there is none", Hint: "Wait."}
		h.ObserveFailedRequest(first)
		for _, other := range []admin.FailedRequest{
			{Account: "at", Method: "GET", Path: "/a", Status: 503, Code: "no-token"}, {Account: "de", Method: "PUT", Path: "/a", Status: 503, Code: "no-token"},
			{Account: "de", Method: "GET", Path: "/b", Status: 503, Code: "no-token"}, {Account: "de", Method: "GET", Path: "/a", Status: 500, Code: "no-token"},
			{Account: "de", Method: "GET", Path: "/a", Status: 503, Code: "another"},
		} {
			h.ObserveFailedRequest(other)
		}
		time.Sleep(time.Second)
		h.ObserveFailedRequest(first)
		got := statusFor(t, h).Failures
		first.Count, first.At = 2, bubbleStart.Add(time.Second)
		if len(got) != 6 || got[0] != first || got[1].Count != 1 {
			t.Errorf("got %+v, want %+v and 5 others", got, first)
		}
	})
}

// TestFailuresWithoutProblemAreExplained: the API's own answers, and apps that disconnect.
func TestFailuresWithoutProblemAreExplained(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		failure admin.FailedRequest
		reason  string
	}{
		{admin.FailedRequest{Status: 499}, "the app disconnected before the response"},
		{admin.FailedRequest{Status: 401, Local: true}, "the app's own token request was refused"},
		{admin.FailedRequest{Status: 403}, "the API refused the request"},
		{admin.FailedRequest{Status: 404}, "the API answered with an error"},
		{admin.FailedRequest{Status: 429}, "the API received too many requests"},
		{admin.FailedRequest{Status: 500}, "the API failed"},
	} {
		h := handler(false)
		h.ObserveFailedRequest(test.failure)
		if got := statusFor(t, h).Failures[0]; got.Reason != test.reason || got.Hint == "" {
			t.Errorf("%+v: got %q and %q, want %q and a hint", test.failure, got.Reason, got.Hint, test.reason)
		}
	}
}
