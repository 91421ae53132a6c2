package metrics

import (
	"maps"
	"sync"
	"testing"
	"time"
)

// TestCountsAgreeWithSeries: the status page and Prometheus read the same counters.
func TestCountsAgreeWithSeries(t *testing.T) {
	t.Parallel()
	m := newMetrics()
	observe := func(local bool, upstream time.Duration, statuses ...int) {
		for _, status := range statuses {
			m.Observe(Request{Account: "default", Method: "GET", Status: status, Local: local, Upstream: upstream})
		}
	}
	observe(false, time.Second, 101, 200, 204, 301, 304, 400, 401, 403, 404, 429, 500, 503, 999)
	observe(false, 0, 499, 499)
	observe(true, 0, 200, 401, 404, 503)
	observe(true, 2*time.Second, 502, 504)
	m.Observe(Request{Account: "unknown", Status: 421, Local: true})
	want := Counts{
		CountSuccess: 4, CountRedirect: 2, CountClientError: 7, CountServerError: 6, CountClientClosed: 2,
		CountLocal: 6, CountLocal4xx: 2, CountUpstream401Or403: 2, CountUpstream429: 1, CountUpstream5xxOrNoAnswer: 4, CountRequestsSentUpstream: 15, CountUpstreamNanoseconds: 17e9,
	}
	got := m.Counts()
	if got["default"] != want || got["default"].Requests() != 21 || len(got) != 2 {
		t.Errorf("got %v, want %v", got, want)
	}
	if want := (Counts{CountClientError: 1, CountLocal: 1, CountLocal4xx: 1}); got[NoAccount] != want {
		t.Errorf("without an account: got %v, want %v", got[NoAccount], want)
	}
	checkLines(t, m,
		`etrusted_broker_requests_total{account="default",code="200",method="GET"} 2`,
		`etrusted_broker_requests_total{account="default",code="401",method="GET"} 2`,
		`etrusted_broker_requests_total{account="default",code="499",method="GET"} 2`,
		`etrusted_broker_upstream_duration_seconds_count{account="default"} 15`)
}

// TestFirstRequestsAreAllCounted: those that create the counters at the same time share them.
func TestFirstRequestsAreAllCounted(t *testing.T) {
	t.Parallel()
	for range 3000 {
		var counts requestCounts
		var both sync.WaitGroup
		for range 2 {
			both.Go(func() { counts.others.add("GET", 200) })
		}
		both.Wait()
		counts.each(func(_ string, _ int, local, others uint64) {
			if local != 0 || others != 2 {
				t.Fatalf("got %d local requests and %d others, want 0 and 2", local, others)
			}
		})
	}
}

// TestCountsHaveAllReasonsAndOutcomes: those that never happened are 0, and unknown ones are not counted, or they would grow
// without bound.
func TestCountsHaveAllReasonsAndOutcomes(t *testing.T) {
	t.Parallel()
	m := newMetrics()
	for _, name := range []string{"host", "success", "nonsense", ""} {
		m.Observe(Request{Account: "default", Denied: name, Retry: name})
	}
	m.ObserveDenied("", "host")
	denied, _ := m.Denied()
	if got, want := denied, map[string]uint64{"host": 2, "browser": 0}; !maps.Equal(got, want) {
		t.Errorf("denied: got %v, want %v", got, want)
	}
	if got, want := m.Retries("default"), map[string]uint64{"success": 1, "unauthorized": 0}; !maps.Equal(got, want) {
		t.Errorf("retries: got %v, want %v", got, want)
	}
	if got := m.Retries("unknown"); len(got) != 0 {
		t.Errorf("retries of an unknown account: got %v, want none", got)
	}
}

// TestMinusNeverUnderflows: the counts of an account that was removed and added again are smaller than before.
func TestMinusNeverUnderflows(t *testing.T) {
	t.Parallel()
	before, now := Counts{CountSuccess: 7, CountLocal: 1}, Counts{CountSuccess: 2, CountLocal: 4}
	if got, want := now.Minus(before), (Counts{CountLocal: 3}); got != want {
		t.Errorf("got %v, want %v", got, want)
	}
	if got, want := now.Plus(before), (Counts{CountSuccess: 9, CountLocal: 5}); got != want {
		t.Errorf("got %v, want %v", got, want)
	}
}
