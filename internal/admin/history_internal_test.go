package admin

import (
	"testing"
	"time"
	"unsafe"

	"etrusted-broker/metrics"
	"etrusted-broker/tokensource"
)

// TestDropsMinutesInFuture: minutes from before the clock was set back do not stay until the clock reaches them again.
func TestDropsMinutesInFuture(t *testing.T) {
	t.Parallel()
	now := time.Now()
	h := newCountsAndStatesHistory(now)
	h.recordRefresh(tokensource.RefreshEvent{Account: "de", Outcome: tokensource.OutcomeRejected}, now.Round(0).Add(24*time.Hour))
	h.recordRefresh(tokensource.RefreshEvent{Account: "de", Outcome: tokensource.OutcomeSuccess}, now)
	if got := h.refreshesOf("de", now); len(got) != 1 || got[0].Success != 1 || got[0].Rejected != 0 {
		t.Errorf("got %+v, want one minute with one success", got)
	}
}

// TestFailuresKeepNoHeader: method and path are part of the string that has the whole header of the request.
func TestFailuresKeepNoHeader(t *testing.T) {
	t.Parallel()
	header := "GET /reviews?secret=1"
	var f recentFailedRequests
	f.record(FailedRequest{Method: header[:3], Path: header[4:12], Status: 404}, time.Now())
	for kept, original := range map[string]string{f.last[0].Method: header[:3], f.last[0].Path: header[4:12]} {
		if kept != original || unsafe.StringData(kept) == unsafe.StringData(original) {
			t.Errorf("got %q in the header's memory, want a copy of %q", kept, original)
		}
	}
}

// TestTrafficSurvivesRemovedAccount: a removed account takes its counts with it, which must not hide the requests of the others.
func TestTrafficSurvivesRemovedAccount(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 1, 2, 3, 4, 0, 0, time.UTC)
	counts := func(requests uint64) metrics.Counts { return metrics.Counts{metrics.CountSuccess: requests} }
	h := newCountsAndStatesHistory(start)
	h.sample(start.Add(10*time.Second), map[string]metrics.Counts{"de": counts(100), "fr": counts(5)})
	h.sample(start.Add(20*time.Second), map[string]metrics.Counts{"fr": counts(8)})
	if got := h.trafficOfLastHour(); len(got) != 1 || got[0].Requests != 108 {
		t.Errorf("got %+v, want one minute with 108 requests", got)
	}
}
