package main

import (
	"math"
	"testing"
	"time"

	"etrusted-broker/bench/proxies"
)

// sampleResults returns made-up results with the values of three rounds, and without Skipper.
func sampleResults() *results {
	r := &results{
		Start: time.Date(2026, time.November, 23, 12, 0, 0, 0, time.UTC), Duration: 90 * time.Second, Rounds: 5, Sizes: fullSizes,
		Machine: machine{CPU: "Some CPU", Cores: 2, Memory: "4 GB", OS: "Some Linux", Kernel: "6.1", Go: "1.26.0", Load: 0.05},
		Rows: []tableRow{
			{Name: directName, Note: "direct note"}, {Name: proxies.NaiveName, Note: "naive note"},
			{Name: proxies.NginxName, Note: "nginx note", Version: "1.22.1"}, {Name: proxies.HAProxyName, Note: "haproxy note"},
			{Name: proxies.CaddyName, Note: "a < b & c"}, {Name: proxies.BrokerName, Note: "broker note"}, {Name: proxies.LinksName, Note: "links note"},
			{Name: proxies.SystemCAsName, Note: "system note"},
		},
		Skipped: []skipped{{proxies.SkipperName, "go build: first line\nsecond line"}},
		Values:  map[string]map[string][]float64{},
	}
	for name, values := range map[string][]float64{
		proxies.NaiveName: {640, 660, 700}, proxies.NginxName: {27, 30, 28}, proxies.CaddyName: {110, 120, 115},
		proxies.BrokerName: {50, 60, 52}, proxies.LinksName: {60, 66, 61},
	} {
		for _, v := range values {
			r.add(name, keepAliveCPU, v)
			r.add(name, newConnectionCPU, 2*v)
		}
	}
	for name, base := range map[string]float64{directName: 100, proxies.HAProxyName: 150, proxies.BrokerName: 190} {
		for _, m := range latencyMetrics {
			for round := range 3 {
				r.add(name, m.latency, base+m.percent+float64(round))
			}
		}
	}
	r.subtractDirect()
	r.add(proxies.BrokerName, idleResident, 10)
	r.add(proxies.BrokerName, loadedResident, 20)
	r.add(proxies.BrokerName, binarySize, 12)
	r.add(proxies.SystemCAsName, idleResident, 13.5)
	r.add(proxies.SystemCAsName, loadedResident, 24.5)
	r.Refreshes = []refreshResult{
		{Scenario: slowLogin, Title: "slow", Name: proxies.NaiveName, Requests: 10, Failed: 9, Max: 12000, During: latencies{10, 11000, 11900, 12000}, TokenRequests: 7},
		{Scenario: slowLogin, Title: "slow", Name: proxies.BrokerName, Requests: 10, Max: 14, During: latencies{4, 9, 13, 14}, Outside: latencies{6, 8, 9, 10}, Refreshes: 10, TokenRequests: 11},
		{Scenario: outage, Title: "outage", Name: proxies.BrokerName, Requests: 10, Failed: 1, TokenRequests: 9},
	}
	return r
}

func TestAddedLatencyIsRelativeToTheSameRound(t *testing.T) {
	r := sampleResults()
	for i, m := range latencyMetrics {
		for _, added := range r.values(proxies.BrokerName, m.added) {
			if math.Abs(added-90) > 1e-9 {
				t.Errorf("metric %d: got added latency %v, want 90 in each round", i, added)
			}
		}
		if got := r.values(directName, m.added); got != nil {
			t.Errorf("direct: got added latency %v, want none", got)
		}
	}
}

func TestGoals(t *testing.T) {
	want := []struct{ actual, verdict string }{
		{"1.86 ×", "**NOT met**"},  // nginx: the median of 50/27, 60/30, 52/28
		{"0.455 ×", "**NOT met**"}, // Caddy: 50/110, 60/120, 52/115: 0.4545
		{"", "not measured"},       // Skipper
		{"0.0781 ×", "met"},        // naive
		{"1.17 × (60 to 66 vs. 50 to 60 µs)", "within the noise"}, // links: 60/50, 66/60, 61/52: 1.2, 1.1, 1.17
		{"1.86 ×", "**NOT met**"},                                 // nginx, without keep-alive
		{"0.455 ×", "met"},                                        // Caddy, without keep-alive
		{"1.8 ×", "**NOT met**"},
		{"1.40 × (14.0 ms vs. 10.0 ms, 10 refreshes; p99 9.0 vs. 8.0, p99.9 13.0 vs. 9.0)", "met"},
		{"1, and 9 token requests", "**NOT met**"},
		{"13.5 MB", "met"},
		{"24.5 MB", "**NOT met**"},
		{"NaN MB", "not measured"},
		{"NaN ms", "not measured"},
		{"12.0 MB", "met"},
	}
	goals := sampleResults().goals()
	if len(goals) != len(want) {
		t.Fatalf("got %d goals, want %d", len(goals), len(want))
	}
	for i, g := range goals {
		if g.actual != want[i].actual || g.verdict() != want[i].verdict {
			t.Errorf("%s, %s: got %s, %s; want %s, %s", g.title, g.target, g.actual, g.verdict(), want[i].actual, want[i].verdict)
		}
	}
}

func TestRefreshGoalIsNotMetIfARequestFailed(t *testing.T) {
	r := sampleResults()
	r.Refreshes[1].Failed = 1
	if r.refreshGoal(1.5).met {
		t.Error("got met, want not met")
	}
}

func TestRatioGoalComparesRoundByRound(t *testing.T) {
	for _, c := range []struct {
		name              string
		values, reference []float64
		actual, verdict   string
	}{
		{"met in each round", []float64{10, 30}, []float64{10, 20}, "1.25 ×", "met"},
		{"met in no round", []float64{16, 31}, []float64{10, 20}, "1.58 ×", "**NOT met**"},
		{"met in one of two rounds", []float64{10, 31}, []float64{10, 20}, "1.27 × (10 to 31 vs. 10 to 20 µs)", "within the noise"},
		{"met in one round, not by the median", []float64{16, 17, 15}, []float64{10, 10, 10}, "1.6 × (15 to 17 vs. 10 to 10 µs)", "within the noise"},
		{"negative value", []float64{-3062, 18005}, []float64{6168, 56}, "-3062 to 18005 vs. 56 to 6168 µs", "within the noise"},
		{"negative reference", []float64{7, 7}, []float64{-5, 5}, "7 to 7 vs. -5 to 5 µs", "within the noise"},
		{"reference of zero", []float64{7, 7}, []float64{0, 5}, "7 to 7 vs. 0 to 5 µs", "within the noise"},
		{"not measured", nil, []float64{5}, "", "not measured"},
	} {
		r := &results{Values: map[string]map[string][]float64{
			proxies.BrokerName: {addedP99.key: c.values}, proxies.HAProxyName: {addedP99.key: c.reference},
		}}
		g := r.ratioGoal(c.name, addedP99, proxies.BrokerName, 1.5, proxies.HAProxyName)
		if g.actual != c.actual || g.verdict() != c.verdict {
			t.Errorf("%s: got %s, %s; want %s, %s", c.name, g.actual, g.verdict(), c.actual, c.verdict)
		}
	}
}
