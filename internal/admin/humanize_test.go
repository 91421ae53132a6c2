package admin_test

import (
	"testing"
	"testing/synctest"
	"time"

	"etrusted-broker/internal/stats"
	"etrusted-broker/tokensource"
)

// TestDurations holds how durations are told, at the edges of the units.
func TestDurations(t *testing.T) {
	t.Parallel()
	for remaining, want := range map[time.Duration]string{
		time.Microsecond:                "1 ms",
		999 * time.Millisecond:          "999 ms",
		time.Second:                     "1 s",
		59*time.Second + 999999999:      "59 s",
		time.Minute:                     "1 min",
		5*time.Minute + 7*time.Second:   "5 min 7 s",
		59*time.Minute + 59*time.Second: "59 min 59 s",
		time.Hour:                       "1 h",
		23*time.Hour + 59*time.Minute:   "23 h 59 min",
		24 * time.Hour:                  "1 d",
		50*time.Hour + 59*time.Minute:   "2 d 2 h",
	} {
		got := told(t, config(tokensource.Snapshot{Account: "default", Valid: true, Remaining: remaining})).Accounts[0].Summary
		if want := "The token is valid for " + want + " more."; got != want {
			t.Errorf("%v: %q, want %q", remaining, got, want)
		}
	}
}

// TestRefreshesInWords holds how the last refresh and the next are told.
func TestRefreshesInWords(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		done := tokensource.Snapshot{Account: "default", Valid: true, LastSuccess: now.Add(-time.Minute), LastDuration: 240 * time.Millisecond, NextAttempt: now.Add(90 * time.Second)}
		elsewhere := done
		elsewhere.FromPeer = true
		failedOnce := done
		failedOnce.LastFailure, failedOnce.LastFailureAt, failedOnce.ConsecutiveFailures, failedOnce.NextAttempt = failure, now.Add(-500*time.Millisecond), 1, now
		never := failedOnce
		never.LastSuccess, never.LastFailureAt = time.Time{}, now.Add(-3*time.Second)
		never.FetchingSince = now.Add(-2 * time.Second)
		for _, test := range []struct {
			snapshot          tokensource.Snapshot
			last, next, erred string
		}{
			{tokensource.Snapshot{Account: "default"}, "none yet", "now", ""},
			{done, "1 min ago, took 240 ms", "in 1 min 30 s", ""},
			{failedOnce, "failed just now, took 240 ms; succeeded 1 min ago", "now", "23:59:59 UTC, just now"},
			{never, "failed 3 s ago, took 240 ms; never succeeded", "under way for 2 s", "23:59:57 UTC, 3 s ago"},
			{elsewhere, "1 min ago, by another broker", "in 1 min 30 s", ""},
		} {
			got := told(t, config(test.snapshot)).Accounts[0].Display
			if got.LastRefresh != test.last || got.NextRefresh != test.next || got.LastErrorAt != test.erred {
				t.Errorf("%q, %q, %q; want %q, %q, %q", got.LastRefresh, got.NextRefresh, got.LastErrorAt, test.last, test.next, test.erred)
			}
		}
		if got, want := told(t, config(failedOnce)).Accounts[0].Summary, "The token still works for 0 s, but its refresh has failed."; got != want {
			t.Errorf("%q, want %q", got, want)
		}
	})
}

// TestAPITime holds that an API that answers at once is not told from one that was not asked by a zero.
func TestAPITime(t *testing.T) {
	t.Parallel()
	for took, want := range map[time.Duration]string{0: "not asked", 50 * time.Microsecond: "1 ms", 87 * time.Millisecond: "87 ms", 12 * time.Second: "12 s"} {
		c := config(valid("default"))
		c.Traffic = traffic(func(counted *stats.Recorder) {
			counted.Observe(stats.Request{Account: "default", Status: 200, UpstreamTime: took})
		}).Snapshot
		if got := told(t, c).Display.APITime; got != want {
			t.Errorf("%v: %q, want %q", took, got, want)
		}
	}
}
