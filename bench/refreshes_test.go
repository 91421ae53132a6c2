package main

import (
	"testing"
	"time"

	"etrusted-broker/bench/load"
	"etrusted-broker/bench/upstream"
)

func TestSum(t *testing.T) {
	at := func(ms int) time.Time { return time.UnixMilli(int64(1_000_000 + ms)) }
	request := func(from, took int, failed bool) load.Request {
		return load.Request{Start: at(from), Latency: time.Duration(took) * time.Millisecond, Failed: failed}
	}
	got := summarize([]load.Request{
		request(100, 5, false),  // ends before the fetch begins
		request(190, 20, false), // runs into it
		request(250, 9, true),   // in the midst
		request(301, 7, false),  // after it
		request(90, 300, false), // all around it; the first to be sent
	}, []upstream.TokenRequest{
		{Start: at(0), End: at(50)}, // before the load
		{Start: at(200), End: at(300)},
	})
	want := refreshResult{
		Requests: 5, Failed: 1, P50: 9, P99: 300, P999: 300, Max: 300,
		TokenRequests: 2, Refreshes: 1, During: latencies{3, 300, 300, 300}, Outside: latencies{2, 7, 7, 7},
	}
	if got != want {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestPartOf(t *testing.T) {
	var took []float64
	for ms := range 1000 {
		took = append(took, float64(1000-ms))
	}
	if got, want := summarizeLatencies(took), (latencies{1000, 990, 999, 1000}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got := summarizeLatencies(nil); got != (latencies{}) || got.String() != noValue {
		t.Errorf("of none: %+v, %s", got, got)
	}
}
