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
		return load.Request{Began: at(from), Took: time.Duration(took) * time.Millisecond, Failed: failed}
	}
	got := sum([]load.Request{
		request(100, 5, false),  // ends before the fetch begins
		request(190, 20, false), // runs into it
		request(250, 9, true),   // in the midst
		request(301, 7, false),  // after it
		request(90, 300, false), // all around it; the first to be sent
	}, []upstream.TokenRequest{
		{From: at(0), Until: at(50)}, // before the load
		{From: at(200), Until: at(300)},
	})
	want := refreshed{
		Requests: 5, Failed: 1, P50: 9, P99: 300, P999: 300, Max: 300,
		TokenRequests: 2, Refreshes: 1, SlowestIn: 300, SlowestOut: 7, RequestsIn: 3, RequestsOut: 2,
	}
	if got != want {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}
