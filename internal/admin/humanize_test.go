package admin_test

import (
	"testing"
	"testing/synctest"
	"time"

	"etrusted-broker/internal/stats"
	"etrusted-broker/tokensource"
)

// TestFormatsDurations covers the limits between the units.
func TestFormatsDurations(t *testing.T) {
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
		got := statusFor(t, config(tokensource.Snapshot{Account: "default", Valid: true, Remaining: remaining})).Accounts[0].Summary
		if want := "Token valid for " + want + "."; got != want {
			t.Errorf("%v: got %q, want %q", remaining, got, want)
		}
	}
}

func TestDescribesLastAndNextRefresh(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		done := tokensource.Snapshot{Account: "default", Valid: true, LastSuccess: now.Add(-time.Minute), LastDuration: 240 * time.Millisecond, NextAttempt: now.Add(90 * time.Second)}
		fromPeer := done
		fromPeer.FromPeer = true
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
			{never, "failed 3 s ago, took 240 ms; never succeeded", "in progress for 2 s", "23:59:57 UTC, 3 s ago"},
			{fromPeer, "1 min ago, by another broker", "in 1 min 30 s", ""},
		} {
			got := statusFor(t, config(test.snapshot)).Accounts[0].Display
			if got.LastRefresh != test.last || got.NextRefresh != test.next || got.LastErrorAt != test.erred {
				t.Errorf("got %q, %q, %q; want %q, %q, %q", got.LastRefresh, got.NextRefresh, got.LastErrorAt, test.last, test.next, test.erred)
			}
		}
		if got, want := statusFor(t, config(failedOnce)).Accounts[0].Summary, "Token valid for 0 s; refresh failed."; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

// TestAPITime: a fast API is distinguished from one without requests.
func TestAPITime(t *testing.T) {
	t.Parallel()
	for took, want := range map[time.Duration]string{0: "no requests", 50 * time.Microsecond: "1 ms", 87 * time.Millisecond: "87 ms", 12 * time.Second: "12 s"} {
		c := config(valid("default"))
		c.Traffic = traffic(func(recorder *stats.Recorder) {
			recorder.Observe(stats.Request{Account: "default", Status: 200, UpstreamTime: took})
		}).Snapshot
		if got := statusFor(t, c).Display.APITime; got != want {
			t.Errorf("%v: got %q, want %q", took, got, want)
		}
	}
}
