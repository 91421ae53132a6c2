package main

import (
	"math"
	"testing"
	"time"

	"etrusted-broker/bench/contender"
)

// sample is a run as it might have been, with the values of three of its rounds, and Skipper missing.
func sample() *results {
	r := &results{
		Began: time.Date(2026, time.November, 23, 12, 0, 0, 0, time.UTC), Lasted: 90 * time.Second, Rounds: 5, Sizes: fullSizes,
		Machine: machine{CPU: "Some CPU", Cores: 2, Memory: "4 GB", System: "Some Linux", Kernel: "6.1", Go: "1.26.0", Load: 0.05},
		Rows: []row{
			{Name: directName, Note: "nothing between"}, {Name: contender.NaiveName, Note: "naive note"},
			{Name: contender.NginxName, Note: "nginx note", Version: "1.22.1"}, {Name: contender.HAProxyName, Note: "haproxy note"},
			{Name: contender.CaddyName, Note: "a < b & c"}, {Name: contender.BrokerName, Note: "broker note"}, {Name: contender.LinksName, Note: "links note"},
		},
		Skipped: []skipped{{contender.SkipperName, "go build: no\nmore of it"}},
		Values:  map[string]map[string][]float64{},
	}
	for name, values := range map[string][]float64{
		contender.NaiveName: {640, 660, 700}, contender.NginxName: {27, 30, 28}, contender.CaddyName: {110, 120, 115},
		contender.BrokerName: {50, 60, 52}, contender.LinksName: {60, 66, 61},
	} {
		for _, v := range values {
			r.add(name, keptCPU, v)
			r.add(name, freshCPU, 2*v)
		}
	}
	for name, base := range map[string]float64{directName: 100, contender.HAProxyName: 150, contender.BrokerName: 190} {
		for _, m := range latencyMeasures {
			for round := range 3 {
				r.add(name, m.measure, base+m.percent+float64(round))
			}
		}
	}
	r.subtractDirect()
	r.add(contender.BrokerName, residentIdle, 13.5)
	r.add(contender.BrokerName, keptResident, 24.5)
	r.Refreshes = []refreshed{
		{Scenario: slowLogin, Title: "slow", Name: contender.NaiveName, Requests: 10, Failed: 9, Max: 12000, RequestsIn: 10, SlowestIn: 12000, TokenRequests: 7},
		{Scenario: slowLogin, Title: "slow", Name: contender.BrokerName, Requests: 10, Max: 14, RequestsIn: 4, SlowestIn: 14, RequestsOut: 6, SlowestOut: 10, Refreshes: 10, TokenRequests: 11},
		{Scenario: outage, Title: "outage", Name: contender.BrokerName, Requests: 10, Failed: 1, TokenRequests: 9},
	}
	return r
}

func TestAddedIsBesideTheSameRound(t *testing.T) {
	r := sample()
	for i, m := range latencyMeasures {
		for _, added := range r.of(contender.BrokerName, m.added) {
			if math.Abs(added-90) > 1e-9 {
				t.Errorf("%d: added %v, want 90 in each round", i, added)
			}
		}
		if got := r.of(directName, m.added); got != nil {
			t.Errorf("direct adds %v to itself", got)
		}
	}
}

func TestBars(t *testing.T) {
	want := []struct{ actual, verdict string }{
		{"1.86 ×", "**NOT met**"},  // nginx: the median of 50/27, 60/30, 52/28
		{"0.455 ×", "**NOT met**"}, // Caddy: 50/110, 60/120, 52/115: 0.4545
		{"NaN ×", "not measured"},  // Skipper
		{"0.0781 ×", "met"},        // naive
		{"1.17 ×", "**NOT met**"},  // links
		{"1.86 ×", "**NOT met**"},  // nginx, fresh
		{"0.455 ×", "met"},         // Caddy, fresh
		{"1.80 × (90 µs beside 50 µs)", "**NOT met**"},
		{"1.40 × (14.0 ms beside 10.0 ms, 10 refreshes)", "met"},
		{"1, and 9 token requests", "**NOT met**"},
		{"13.5 MB", "met"},
		{"24.5 MB", "**NOT met**"},
		{"NaN MB", "not measured"},
		{"NaN ms", "not measured"},
		{"NaN MB", "not measured"},
	}
	bars := sample().bars()
	if len(bars) != len(want) {
		t.Fatalf("%d bars, want %d", len(bars), len(want))
	}
	for i, b := range bars {
		if b.actual != want[i].actual || b.verdict() != want[i].verdict {
			t.Errorf("%s, %s: %s, %s; want %s, %s", b.what, b.want, b.actual, b.verdict(), want[i].actual, want[i].verdict)
		}
	}
}

func TestAFailedRequestDoesNotMeetTheBarOfRefreshes(t *testing.T) {
	r := sample()
	r.Refreshes[1].Failed = 1
	if r.refreshBar(1.5).met {
		t.Error("met, although a request failed")
	}
}

func TestLatencyWithinTheNoiseHasNoRatio(t *testing.T) {
	r := &results{Sizes: fullSizes, Values: map[string]map[string][]float64{}}
	r.add(contender.HAProxyName, addedP99, -5)
	r.add(contender.BrokerName, addedP99, 7)
	if b := r.addedBar(1.5); b.met || b.actual != "7 µs beside -5 µs" {
		t.Errorf("%+v", b)
	}
}
