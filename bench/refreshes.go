package main

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"etrusted-broker/bench/load"
	"etrusted-broker/bench/proxies"
	"etrusted-broker/bench/stats"
	"etrusted-broker/bench/upstream"
)

// scenario is a behaviour of the login server.
type scenario struct {
	key, title     string
	lifetime       time.Duration // of tokens
	delay          time.Duration // of each response of the token endpoint
	duration       time.Duration // of the load
	outageStart    time.Duration // from then on the token endpoint answers 503, unless outageDuration is 0
	outageDuration time.Duration
	brokerRuns     int // each with a new broker
}

// The keys of the scenarios.
const (
	slowLogin = "slow"
	ordinary  = "ordinary"
	outage    = "outage"
)

func (s refreshSizes) scenarios() []scenario {
	return []scenario{
		{slowLogin, fmt.Sprintf("tokens of %v, the login server takes %v", s.ShortLifetime, s.LoginDelay), s.ShortLifetime, s.LoginDelay, s.SlowLogin, 0, 0, 1},
		{ordinary, fmt.Sprintf("tokens of %v, the login server takes %v", s.LongLifetime, s.LoginDelay), s.LongLifetime, s.LoginDelay, s.Ordinary, 0, 0, 1},
		{outage, fmt.Sprintf("tokens of %v, the login server answers 503 from second %g to %g", s.LongLifetime,
			s.OutageStart.Seconds(), (s.OutageStart + s.OutageDuration).Seconds()), s.LongLifetime, 0, s.Outage, s.OutageStart, s.OutageDuration, 3},
	}
}

// refreshResult is the result of one scenario for one proxy. Times are in milliseconds.
type refreshResult struct {
	Scenario, Title, Name string
	Requests, Failed      int
	P50, P99, P999, Max   float64
	TokenRequests         int
	Refreshes             int       // fetches that ended after the start of the load
	During, Outside       latencies // of the requests that overlap a fetch, and of the others
}

// latencies summarizes the latencies of a group of requests, in milliseconds.
type latencies struct {
	Requests       int
	P99, P999, Max float64
}

func summarizeLatencies(durations []float64) latencies {
	if len(durations) == 0 {
		return latencies{}
	}
	return latencies{len(durations), stats.Percentile(durations, 99), stats.Percentile(durations, 99.9), stats.Percentile(durations, 100)}
}

// measureRefreshes runs all scenarios with the naive proxy, which fetches a token on demand, and with the broker, which fetches
// tokens early.
func (b *bench) measureRefreshes(ctx context.Context) error {
	for _, s := range b.sizes.Refresh.scenarios() {
		for _, sub := range b.subjects {
			runs := map[string]int{proxies.NaiveName: 1, proxies.BrokerName: s.brokerRuns}[sub.Name]
			for run := range runs {
				b.logf("bench: %s: %s, run %d of %d", s.title, sub.Name, run+1, runs)
				result, err := b.measureRefresh(ctx, s, sub)
				if err != nil {
					return fmt.Errorf("%s: %s: %w", s.title, sub.Name, err)
				}
				b.results.Refreshes = append(b.results.Refreshes, result)
			}
		}
	}
	return b.api.Configure(upstream.Settings{})
}

// measureRefresh runs one scenario with a new process, which starts with a new token.
func (b *bench) measureRefresh(ctx context.Context, s scenario, sub subject) (refreshResult, error) {
	healthy := upstream.Settings{Lifetime: s.lifetime, Delay: s.delay}
	if err := b.api.Configure(healthy); err != nil {
		return refreshResult{}, err
	}
	if _, err := b.api.TakeTokenRequests(); err != nil { // discard those of earlier measurements
		return refreshResult{}, err
	}
	i, err := b.start(ctx, sub)
	if err != nil {
		return refreshResult{}, err
	}
	defer i.stop()
	done := make(chan struct{})
	outageErrs := make(chan error, 1)
	go func() { outageErrs <- b.simulateOutage(s, healthy, done) }()
	requests, err := load.RunOpenLoop(ctx, load.OpenLoop{
		Target: i.target(), Path: upstream.PagePath, Rate: b.sizes.Refresh.Rate, Duration: s.duration, Timeout: b.sizes.Refresh.Timeout,
	})
	close(done)
	if outageErr := <-outageErrs; err == nil {
		err = outageErr
	}
	if err != nil {
		return refreshResult{}, err
	}
	tokens, err := b.api.TakeTokenRequests()
	if err != nil {
		return refreshResult{}, err
	}
	result := summarize(requests, tokens)
	result.Scenario, result.Title, result.Name = s.key, s.title, sub.Name
	return result, nil
}

// simulateOutage makes the token endpoint fail during the scenario's outage. It returns early when done is closed.
func (b *bench) simulateOutage(s scenario, healthy upstream.Settings, done <-chan struct{}) error {
	if s.outageDuration == 0 {
		return nil
	}
	failing := healthy
	failing.Failing = true
	for _, step := range []struct {
		after    time.Duration
		settings upstream.Settings
	}{{s.outageStart, failing}, {s.outageDuration, healthy}} {
		select {
		case <-time.After(step.after):
		case <-done:
			return nil
		}
		if err := b.api.Configure(step.settings); err != nil {
			return err
		}
	}
	return nil
}

// summarize computes the results from the requests of an app and the token requests.
func summarize(requests []load.Request, tokens []upstream.TokenRequest) refreshResult {
	r := refreshResult{Requests: len(requests), TokenRequests: len(tokens)}
	first := firstStart(requests)
	refreshes := slices.DeleteFunc(tokenFetches(tokens), func(f tokenFetch) bool { return !f.end.After(first) })
	r.Refreshes = len(refreshes)
	var during, outside []float64
	for _, request := range requests {
		if request.Failed {
			r.Failed++
		}
		if overlaps(request, refreshes) {
			during = append(during, milliseconds(request.Latency))
		} else {
			outside = append(outside, milliseconds(request.Latency))
		}
	}
	durations := slices.Concat(during, outside)
	r.P50, r.P99, r.P999, r.Max = stats.Percentile(durations, 50), stats.Percentile(durations, 99), stats.Percentile(durations, 99.9), stats.Percentile(durations, 100)
	r.During, r.Outside = summarizeLatencies(during), summarizeLatencies(outside)
	return r
}

// tokenFetch is the time in which a proxy fetched one token.
type tokenFetch struct{ start, end time.Time }

// tokenFetches returns the fetch of each token, from the start of its first attempt to the end of the successful one. So an outage
// counts from the first attempt that fails. A fetch that never succeeds has no end.
func tokenFetches(attempts []upstream.TokenRequest) []tokenFetch {
	var all []tokenFetch
	succeeded := true
	for _, attempt := range attempts {
		if succeeded {
			all = append(all, tokenFetch{start: attempt.Start, end: endless})
		}
		if succeeded = attempt.Status == http.StatusOK; succeeded {
			all[len(all)-1].end = attempt.End
		}
	}
	return all
}

// endless is later than any request of a run.
var endless = time.Unix(1<<40, 0)

// overlaps reports whether a token was being fetched at any time during the request.
func overlaps(request load.Request, fetches []tokenFetch) bool {
	end := request.Start.Add(request.Latency)
	return slices.ContainsFunc(fetches, func(f tokenFetch) bool { return request.Start.Before(f.end) && end.After(f.start) })
}
