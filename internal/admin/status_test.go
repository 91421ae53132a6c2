package admin_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"etrusted-broker/internal/admin"
	"etrusted-broker/internal/stats"
	"etrusted-broker/tokensource"
)

var (
	denials = []string{"host", "key"}
	replays = []string{"success", "no_token"}
)

// eventful returns a broker with a value in every field. It is called in a synctest bubble. Its times are not in UTC, so that
// tests notice a missing conversion.
func eventful() admin.Config {
	recorder := traffic(func(recorder *stats.Recorder) {
		// All counts and their sums differ, so that tests notice if two are confused.
		recorder.Observe(stats.Request{Account: "default", Status: 200, UpstreamTime: 100 * time.Millisecond, Replay: "success"})
		for _, ended := range []struct {
			times   int
			request stats.Request
		}{
			{2, stats.Request{Account: "default", Status: 304, UpstreamTime: 160 * time.Millisecond}},
			{3, stats.Request{Account: "default", Status: 404, UpstreamTime: 100 * time.Millisecond}},
			{5, stats.Request{Account: "default", Status: 503, Local: true}},
			{6, stats.Request{Account: "default", Status: stats.StatusClientClosedRequest, Local: true}},
		} {
			for range ended.times {
				recorder.Observe(ended.request)
			}
		}
		recorder.Observe(stats.Request{Account: "-", Status: 421, Local: true, Denied: "host"})
		for _, outcome := range tokensource.Outcomes {
			recorder.ObserveRefresh(tokensource.RefreshEvent{Account: "default", Outcome: outcome, Duration: 120 * time.Millisecond})
		}
		time.Sleep(20 * time.Second) // for the rates
	})
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
		Reloads:             [...]uint64{7, 8, 9}, // in the order of tokensource.ReloadOutcomes
		LastChange:          issued.Add(-time.Hour),
	})
	c.Started = now.Add(-26 * time.Hour)
	c.Traffic = recorder.Snapshot
	c.InFlight = func() int64 { return 3 }
	c.Settings = []admin.Setting{{Name: "ETRUSTED_CLIENT_SECRET", Value: "(set, 36 bytes)", Source: "environment", Meaning: "the Client Secret"}}
	return c
}

// traffic returns a Recorder after some events.
func traffic(events func(*stats.Recorder)) *stats.Recorder {
	recorder := stats.New(denials, replays)
	events(recorder)
	return recorder
}

// TestStatusJSON pins the names and formats that scripts read.
func TestStatusJSON(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		want, err := os.ReadFile("testdata/status.json")
		if err != nil {
			t.Fatal(err)
		}
		if got := ask(admin.Handler(eventful()), "GET", "/status.json").Body.String(); got != string(want) {
			t.Errorf("got %s\nwant testdata/status.json", got)
		}
	})
}

// TestOmitsWhatNeverHappened: it is absent, not the year 1 or null.
func TestOmitsWhatNeverHappened(t *testing.T) {
	t.Parallel()
	c := config(tokensource.Snapshot{Account: "default"})
	got := ask(admin.Handler(c), "GET", "/status.json").Body.String()
	for _, wrong := range []string{"0001-01-01", "null", "token_issued", "token_expires", "last_success", "next_attempt", "fetching_since", "credentials_changed", "last_error\""} {
		if strings.Contains(got, wrong) {
			t.Errorf("%s is in %s", wrong, got)
		}
	}
	for _, want := range []string{`"started": "2026-01-02T02:04:05Z"`, `"token_remaining_seconds": 0`, `"last_hour": []`, `"replays": {}`, `"denied": {}`, `"configuration": []`} {
		if !strings.Contains(got, want) {
			t.Errorf("%s is not in %s", want, got)
		}
	}
}

// TestRequestsOfAllAccounts: sums and rates include all accounts, and requests refused before an account was known.
func TestRequestsOfAllAccounts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		recorder := stats.New(denials, replays)
		for range 30 {
			recorder.Observe(stats.Request{Account: "de", Status: 200, UpstreamTime: 100 * time.Millisecond, Replay: "success"})
			recorder.Observe(stats.Request{Account: "at", Status: 500, UpstreamTime: 300 * time.Millisecond, Replay: "no_token"})
			recorder.Observe(stats.Request{Account: "-", Status: 403, Local: true, Denied: "key"})
		}
		time.Sleep(45 * time.Second)
		c := config(valid("at"), valid("de"))
		c.Started, c.Traffic = time.Now().Add(-time.Hour), recorder.Snapshot
		var status admin.Status
		if err := json.Unmarshal(ask(admin.Handler(c), "GET", "/status.json").Body.Bytes(), &status); err != nil {
			t.Fatal(err)
		}
		all := admin.Window{SpanSeconds: 45, PerSecond: 2, All: 90, Success: 30, ClientError: 30, ServerError: 30, Local: 30, APISeconds: 0.2}
		total := all
		total.SpanSeconds, total.PerSecond = 3600, 0.025
		if want := (admin.Requests{LastMinute: all, LastFiveMinutes: all, Total: total}); status.Requests != want {
			t.Errorf("all: got %+v\nwant %+v", status.Requests, want)
		}
		at := admin.Window{SpanSeconds: 45, PerSecond: 0.667, All: 30, ServerError: 30, APISeconds: 0.3}
		if got := status.Accounts[0].Requests.LastMinute; got != at {
			t.Errorf("at: got %+v\nwant %+v", got, at)
		}
		if status.Denied["key"] != 30 || status.Replays["success"] != 30 || status.Replays["no_token"] != 30 || status.Accounts[0].Replays["success"] != 0 {
			t.Errorf("denied %v, replays %v and %v", status.Denied, status.Replays, status.Accounts[0].Replays)
		}
	})
}

// TestChartOfLastHour: bars above the line show successful token requests, bars below it failed ones.
func TestChartOfLastHour(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		recorder := stats.New(denials, replays)
		fetched := func(outcome tokensource.Outcome) {
			recorder.ObserveRefresh(tokensource.RefreshEvent{Account: "default", Outcome: outcome, Duration: 240 * time.Millisecond})
		}
		fetched(tokensource.OutcomeSuccess) // more than an hour ago at the end
		time.Sleep(time.Minute)
		fetched(tokensource.OutcomeSuccess)
		time.Sleep(time.Minute)
		fetched(tokensource.OutcomeRejected)
		fetched(tokensource.OutcomeUnavailable)
		time.Sleep(58 * time.Minute)
		fetched(tokensource.OutcomeSuccess)
		fetched(tokensource.OutcomeInvalidResponse)
		c := config(valid("default"))
		c.Traffic = recorder.Snapshot
		var status admin.Status
		if err := json.Unmarshal(ask(admin.Handler(c), "GET", "/status.json").Body.Bytes(), &status); err != nil {
			t.Fatal(err)
		}
		got := status.Accounts[0].Display
		if want := "M0 19h3v-11h-3zM236 19h3v-11h-3z"; got.OKBars != want {
			t.Errorf("successful: got %s, want %s", got.OKBars, want)
		}
		if want := "M4 21h3v18h-3zM236 21h3v11h-3z"; got.FailedBars != want {
			t.Errorf("failed: got %s, want %s", got.FailedBars, want)
		}
		if want := "5 token requests in the last hour, 3 failed; the slowest took 240 ms."; got.LastHour != want {
			t.Errorf("%q, want %q", got.LastHour, want)
		}
		want := []stats.Minute{
			{Start: minute(1), Success: 1, SlowestSeconds: 0.24},
			{Start: minute(2), Rejected: 1, Unavailable: 1, SlowestSeconds: 0.24},
			{Start: minute(60), Success: 1, InvalidResponse: 1, SlowestSeconds: 0.24},
		}
		if minutes := status.Accounts[0].LastHour; len(minutes) != 3 || minutes[0] != want[0] || minutes[1] != want[1] || minutes[2] != want[2] {
			t.Errorf("%+v", minutes)
		}
	})
}

// minute is a minute of the bubble's first hour.
func minute(number int) time.Time {
	return time.Date(2000, 1, 1, 0, number, 0, 0, time.UTC)
}
