package main

import (
	"slices"
	"testing"
	"time"

	"etrusted-broker/bench/load"
	"etrusted-broker/bench/upstream"
)

func TestSummarizeSplitsRequestsByOverlap(t *testing.T) {
	at := func(ms int) time.Time { return time.UnixMilli(int64(1_000_000 + ms)) }
	request := func(start, latency int, failed bool) load.Request {
		return load.Request{Start: at(start), Latency: time.Duration(latency) * time.Millisecond, Failed: failed}
	}
	got := summarize([]load.Request{
		request(100, 5, false),  // ends before the second token request
		request(190, 20, false), // ends during it
		request(250, 9, true),   // starts and ends during it
		request(301, 7, false),  // starts after it
		request(90, 300, false), // starts before it and ends after it; the first request
	}, []upstream.TokenRequest{
		{Start: at(0), End: at(50), Status: 200}, // before the load
		{Start: at(200), End: at(300), Status: 200},
	})
	want := refreshResult{
		Requests: 5, Failed: 1, P50: 9, P99: 300, P999: 300, Max: 300,
		TokenRequests: 2, Refreshes: 1, During: latencies{3, 300, 300, 300}, Outside: latencies{2, 7, 7, 7},
	}
	if got != want {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestAFetchIncludesItsFailedAttempts(t *testing.T) {
	at := func(second int) time.Time { return time.Unix(int64(second), 0) }
	attempt := func(start, status int) upstream.TokenRequest {
		return upstream.TokenRequest{Start: at(start), End: at(start + 1), Status: status}
	}
	got := tokenFetches([]upstream.TokenRequest{attempt(0, 200), attempt(10, 503), attempt(12, 503), attempt(15, 200), attempt(20, 200), attempt(30, 503), attempt(31, 503)})
	want := []tokenFetch{{at(0), at(1)}, {at(10), at(16)}, {at(20), at(21)}, {at(30), endless}}
	if !slices.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	if got := tokenFetches(nil); got != nil {
		t.Errorf("no attempts: got %v, want none", got)
	}
}

func TestSummarizeLatencies(t *testing.T) {
	var durations []float64
	for ms := range 1000 {
		durations = append(durations, float64(1000-ms))
	}
	if got, want := summarizeLatencies(durations), (latencies{1000, 990, 999, 1000}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got := summarizeLatencies(nil); got != (latencies{}) || got.String() != noValue {
		t.Errorf("no requests: got %#v, formatted as %q; want zeros, formatted as %q", got, got, noValue)
	}
}
