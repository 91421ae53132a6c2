package stats

import (
	"testing"
	"time"

	"etrusted-broker/tokensource"
)

// TestBounded holds that an account takes no more memory however long the broker runs, and though nobody ever looks.
func TestBounded(t *testing.T) {
	t.Parallel()
	a, now := newAccount(nil), time.Now()
	for range 1000 {
		now = now.Add(time.Minute)
		a.sample(now)
		a.recordRefresh(tokensource.RefreshEvent{Outcome: tokensource.OutcomeSuccess}, now)
		if len(a.samples) > maxSamples || len(a.minutes) > 60 {
			t.Fatalf("%d samples and %d minutes are kept", len(a.samples), len(a.minutes))
		}
	}
}

// TestClockSetBack holds that what was recorded by a clock that was ahead does not stay until that time comes.
func TestClockSetBack(t *testing.T) {
	t.Parallel()
	a, now := newAccount(nil), time.Now()
	ahead := now.Round(0).Add(24 * time.Hour)
	a.recordRefresh(tokensource.RefreshEvent{Outcome: tokensource.OutcomeRejected}, ahead)
	a.recordRefresh(tokensource.RefreshEvent{Outcome: tokensource.OutcomeSuccess}, now)
	minutes := a.snapshot(now).Refreshes
	if len(minutes) != 1 || minutes[0].Outcomes != [4]uint64{1, 0, 0, 0} {
		t.Errorf("%+v", minutes)
	}
}

func TestSnapshotIsNotChangedLater(t *testing.T) {
	t.Parallel()
	a, now := newAccount(nil), time.Now().Round(0).Truncate(time.Minute)
	a.recordRefresh(tokensource.RefreshEvent{Outcome: tokensource.OutcomeSuccess}, now)
	before := a.snapshot(now)
	a.recordRefresh(tokensource.RefreshEvent{Outcome: tokensource.OutcomeSuccess}, now)
	if got := before.Refreshes[0].Outcomes[0]; got != 1 {
		t.Errorf("%d", got)
	}
}
