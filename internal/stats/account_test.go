package stats

import (
	"testing"
	"time"

	"etrusted-broker/tokensource"
)

// TestBoundsMemory: an account's memory stays bounded however long the broker runs, even if no snapshot is taken.
func TestBoundsMemory(t *testing.T) {
	t.Parallel()
	a, now := newAccount(nil), time.Now()
	for range 1000 {
		now = now.Add(time.Minute)
		a.sample(now)
		a.recordRefresh(tokensource.RefreshEvent{Outcome: tokensource.OutcomeSuccess}, now)
		if len(a.samples) > maxSamples || len(a.minutes) > 60 {
			t.Fatalf("got %d samples and %d minutes, want at most %d and 60", len(a.samples), len(a.minutes), maxSamples)
		}
	}
}

// TestDropsMinutesInFuture: minutes from before the clock was set back do not stay until the clock reaches them again.
func TestDropsMinutesInFuture(t *testing.T) {
	t.Parallel()
	a, now := newAccount(nil), time.Now()
	ahead := now.Round(0).Add(24 * time.Hour)
	a.recordRefresh(tokensource.RefreshEvent{Outcome: tokensource.OutcomeRejected}, ahead)
	a.recordRefresh(tokensource.RefreshEvent{Outcome: tokensource.OutcomeSuccess}, now)
	minutes := a.snapshot(now).Refreshes
	if len(minutes) != 1 || minutes[0].Success != 1 || minutes[0].Failed() != 0 {
		t.Errorf("got %+v, want one minute with one success", minutes)
	}
}

func TestSnapshotIsNotChangedLater(t *testing.T) {
	t.Parallel()
	a, now := newAccount(nil), time.Now().Round(0).Truncate(time.Minute)
	a.recordRefresh(tokensource.RefreshEvent{Outcome: tokensource.OutcomeSuccess}, now)
	before := a.snapshot(now)
	a.recordRefresh(tokensource.RefreshEvent{Outcome: tokensource.OutcomeSuccess}, now)
	if got := before.Refreshes[0].Success; got != 1 {
		t.Errorf("got %d, want 1", got)
	}
}
