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
			{Name: proxies.NginxName, Note: "nginx note", Version: "1.22.1"}, {Name: proxies.HAProxyName, Note: "a < b & c"},
			{Name: proxies.BrokerName, Note: "broker note"}, {Name: proxies.LinksName, Note: "links note"},
			{Name: proxies.SystemCAsName, Note: "system note"},
		},
		Skipped: []skipped{{"Skipper", "go build: first line\nsecond line"}},
		Values:  map[string]map[string][]float64{},
	}
	for name, values := range map[string][]float64{
		proxies.NaiveName: {640, 660, 700}, proxies.NginxName: {60, 80, 70}, proxies.HAProxyName: {51, 59, 53},
		proxies.BrokerName: {50, 60, 52}, proxies.LinksName: {60, 66, 61},
	} {
		for _, v := range values {
			r.add(name, keepAliveCPU, v)
			r.add(name, newConnectionCPU, 2*v)
			r.add(name, keepAliveRate, 1e6/v)
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
	for name, value := range map[string]float64{proxies.BrokerName: 1000, proxies.LinksName: 1200, proxies.HAProxyName: 750} {
		r.add(name, downloadCPU, value)
		r.add(name, uploadCPU, value)
	}
	r.add(proxies.BrokerName, idleResident, 10)
	r.add(proxies.BrokerName, loadedResident, 20)
	r.add(proxies.BrokerName, binarySize, 12)
	r.add(proxies.SystemCAsName, idleResident, 13.5)
	r.add(proxies.SystemCAsName, loadedResident, 24.5)
	r.Refreshes = []refreshResult{
		{Scenario: slowLogin, Title: "slow", Name: proxies.NaiveName, Requests: 10, Failed: 9, Max: 12000, During: latencies{10, 11000, 11900, 12000}, TokenRequests: 7},
		{Scenario: slowLogin, Title: "slow", Name: proxies.BrokerName, Requests: 10, Max: 14, During: latencies{4, 9, 13, 14}, Outside: latencies{6, 8, 9, 10}, Refreshes: 10, TokenRequests: 11},
		{Scenario: outage, Title: "outage", Name: proxies.BrokerName, Requests: 10, During: latencies{4, 9, 13, 105}, Outside: latencies{6, 8, 9, 10}, TokenRequests: 9},
		{Scenario: outage, Title: "outage", Name: proxies.BrokerName, Requests: 10, During: latencies{4, 4, 8, 9}, Outside: latencies{6, 8, 9, 10}, TokenRequests: 15},
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
		{"0.75 ×", "met"}, // nginx: the median of 50/60, 60/80, 52/70
		{"0.981 × (50 to 60 vs. 51 to 59)", "within the noise"}, // HAProxy: 50/51, 60/59, 52/53
		{"1.17 × (60 to 66 vs. 50 to 60)", "within the noise"},  // links: 60/50, 66/60, 61/52: 1.2, 1.1, 1.17
		{"", "not measured"},      // HTTP/2, without -against
		{"1.33 ×", "met"},         // requests per second, compared with nginx
		{"0.75 ×", "met"},         // nginx, a connection per request
		{"1.8 ×", "**NOT met**"},  // added p50
		{"1.8 ×", "**NOT met**"},  // added p99
		{"1.2 ×", "met"},          // download
		{"1.33 ×", "**NOT met**"}, // upload
		{"1.40 × (14.0 ms vs. 10.0 ms, 10 refreshes; p99 9.0 vs. 8.0, p99.9 13.0 vs. 9.0)", "met"},
		{"0 failed, 9 token requests, p99 1.12 ×, slowest +95.0 ms; 0 failed, 15 token requests, p99 0.50 ×, slowest -1.0 ms", "met"},
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

func TestOutageGoalIsNotMetIfOneRunIsBad(t *testing.T) {
	for name, worsen := range map[string]func(*refreshResult){
		"a failed request": func(r *refreshResult) { r.Failed = 1 },
		"token requests":   func(r *refreshResult) { r.TokenRequests = 16 },
		"p99":              func(r *refreshResult) { r.During.P99 = 16.1 },
		"slowest":          func(r *refreshResult) { r.During.Max = 110.1 },
	} {
		for run := 2; run <= 3; run++ { // the indices of the two runs
			r := sampleResults()
			worsen(&r.Refreshes[run])
			if got := r.outageGoal(15, 2, 100).verdict(); got != "**NOT met**" {
				t.Errorf("%s: got %s, want not met", name, got)
			}
		}
	}
}

func TestRatioGoalComparesRoundByRound(t *testing.T) {
	for _, c := range []struct {
		name              string
		limit             bound
		values, reference []float64
		actual, verdict   string
	}{
		{"met in each round", atMost(1.5), []float64{10, 30}, []float64{10, 20}, "1.25 ×", "met"},
		{"met in no round", atMost(1.5), []float64{16, 31}, []float64{10, 20}, "1.58 ×", "**NOT met**"},
		{"met in one of two rounds", atMost(1.5), []float64{10, 31}, []float64{10, 20}, "1.27 × (10 to 31 vs. 10 to 20)", "within the noise"},
		{"met in one round, not by the median", atMost(1.5), []float64{16, 17, 15}, []float64{10, 10, 10}, "1.6 × (15 to 17 vs. 10 to 10)", "within the noise"},
		{"at least, met in each round", atLeast(1), []float64{10, 21}, []float64{10, 20}, "1.02 ×", "met"},
		{"at least, met in no round", atLeast(1), []float64{9, 19}, []float64{10, 20}, "0.925 ×", "**NOT met**"},
		{"negative value", atMost(1.5), []float64{-3062, 18005}, []float64{6168, 56}, "-3062 to 18005 vs. 56 to 6168", "within the noise"},
		{"negative reference", atMost(1.5), []float64{7, 7}, []float64{-5, 5}, "7 to 7 vs. -5 to 5", "within the noise"},
		{"reference of zero", atMost(1.5), []float64{7, 7}, []float64{0, 5}, "7 to 7 vs. 0 to 5", "within the noise"},
		{"not measured", atMost(1.5), nil, []float64{5}, "", "not measured"},
	} {
		r := &results{Values: map[string]map[string][]float64{
			proxies.BrokerName: {addedP99.key: c.values}, proxies.HAProxyName: {addedP99.key: c.reference},
		}}
		g := r.ratioGoal(c.name, addedP99, proxies.BrokerName, c.limit, proxies.HAProxyName)
		if g.actual != c.actual || g.verdict() != c.verdict {
			t.Errorf("%s: got %s, %s; want %s, %s", c.name, g.actual, g.verdict(), c.actual, c.verdict)
		}
	}
}
