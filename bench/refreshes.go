package main

import (
	"context"
	"fmt"
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
}

// The keys of the scenarios.
const (
	slowLogin = "slow"
	ordinary  = "ordinary"
	outage    = "outage"
)

func (s refreshSizes) scenarios() []scenario {
	return []scenario{
		{slowLogin, fmt.Sprintf("tokens of %v, the login server takes %v", s.ShortLifetime, s.LoginDelay), s.ShortLifetime, s.LoginDelay, s.SlowLogin, 0, 0},
		{ordinary, fmt.Sprintf("tokens of %v, the login server takes %v", s.LongLifetime, s.LoginDelay), s.LongLifetime, s.LoginDelay, s.Ordinary, 0, 0},
		{outage, fmt.Sprintf("tokens of %v, the login server answers 503 from second %g to %g", s.LongLifetime,
			s.OutageStart.Seconds(), (s.OutageStart + s.OutageDuration).Seconds()), s.LongLifetime, 0, s.Outage, s.OutageStart, s.OutageDuration},
	}
}

// refreshResult is the result of one scenario for one proxy. Times are in milliseconds.
type refreshResult struct {
	Scenario, Title, Name string
	Requests, Failed      int
	P50, P99, P999, Max   float64
	TokenRequests         int
	Refreshes             int       // token requests that ended after the start of the load
	During, Outside       latencies // of the requests that overlap a token request, and of the others
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
			if sub.Name != proxies.NaiveName && sub.Name != proxies.BrokerName {
				continue
			}
			b.logf("bench: %s: %s", s.title, sub.Name)
			result, err := b.measureRefresh(ctx, s, sub)
			if err != nil {
				return fmt.Errorf("%s: %s: %w", s.title, sub.Name, err)
			}
			b.results.Refreshes = append(b.results.Refreshes, result)
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
	var refreshes []upstream.TokenRequest
	for _, token := range tokens {
		if token.End.After(first) {
			refreshes = append(refreshes, token)
		}
	}
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

// overlaps reports whether a token request was in progress at any time during the request.
func overlaps(request load.Request, tokens []upstream.TokenRequest) bool {
	end := request.Start.Add(request.Latency)
	for _, token := range tokens {
		if request.Start.Before(token.End) && end.After(token.Start) {
			return true
		}
	}
	return false
}
