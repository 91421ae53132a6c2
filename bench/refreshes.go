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

// scenario is a way in which the login server makes things hard.
type scenario struct {
	key, title     string
	lifetime       time.Duration // of tokens
	delay          time.Duration // of each answer of the token endpoint
	duration       time.Duration // of the load
	outageStart    time.Duration // when the token endpoint begins to answer 503, if failFor is not 0
	outageDuration time.Duration
}

// The scenarios' keys.
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

// refreshResult is what an app sees of a scenario. Times are in milliseconds.
type refreshResult struct {
	Scenario, Title, Name string
	Requests, Failed      int
	P50, P99, P999, Max   float64
	TokenRequests         int
	Refreshes             int       // token requests that were under way during the load
	During, Outside       latencies // the requests that were under way together with a token request, and the others
}

// latencies is how long some of the requests took.
type latencies struct {
	Requests       int
	P99, P999, Max float64
}

func summarizeLatencies(took []float64) latencies {
	if len(took) == 0 {
		return latencies{}
	}
	return latencies{len(took), stats.Percentile(took, 99), stats.Percentile(took, 99.9), stats.Percentile(took, 100)}
}

// measureRefreshes measures those who fetch tokens as Go programs do: when they need one, or ahead of need.
func (b *bench) measureRefreshes(ctx context.Context) error {
	for _, s := range b.sizes.Refresh.scenarios() {
		for _, r := range b.subjects {
			if r.Name != proxies.NaiveName && r.Name != proxies.BrokerName {
				continue
			}
			b.logf("bench: %s: %s", s.title, r.Name)
			found, err := b.measureRefresh(ctx, s, r)
			if err != nil {
				return fmt.Errorf("%s: %s: %w", s.title, r.Name, err)
			}
			b.results.Refreshes = append(b.results.Refreshes, found)
		}
	}
	return b.api.Configure(upstream.Settings{})
}

// measureRefresh runs one scenario with a process of its own, so that each begins with a token just fetched.
func (b *bench) measureRefresh(ctx context.Context, s scenario, r subject) (refreshResult, error) {
	healthy := upstream.Settings{Lifetime: s.lifetime, Delay: s.delay}
	if err := b.api.Configure(healthy); err != nil {
		return refreshResult{}, err
	}
	if _, err := b.api.TakeTokenRequests(); err != nil { // those of before
		return refreshResult{}, err
	}
	i, err := b.start(ctx, r)
	if err != nil {
		return refreshResult{}, err
	}
	defer i.stop()
	ended := make(chan struct{})
	bad := make(chan error, 1)
	go func() { bad <- b.simulateOutage(s, healthy, ended) }()
	requests, err := load.RunOpenLoop(ctx, load.OpenLoop{
		Target: i.target(), Path: upstream.PagePath, Rate: b.sizes.Refresh.Rate, Duration: s.duration, Timeout: b.sizes.Refresh.Timeout,
	})
	close(ended)
	if badErr := <-bad; err == nil {
		err = badErr
	}
	if err != nil {
		return refreshResult{}, err
	}
	tokens, err := b.api.TakeTokenRequests()
	if err != nil {
		return refreshResult{}, err
	}
	found := summarize(requests, tokens)
	found.Scenario, found.Title, found.Name = s.key, s.title, r.Name
	return found, nil
}

// simulateOutage has the token endpoint fail for a while.
func (b *bench) simulateOutage(s scenario, healthy upstream.Settings, ended <-chan struct{}) error {
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
		case <-ended:
			return nil
		}
		if err := b.api.Configure(step.settings); err != nil {
			return err
		}
	}
	return nil
}

// summarize tells what there was for an app to see.
func summarize(requests []load.Request, tokens []upstream.TokenRequest) refreshResult {
	r := refreshResult{Requests: len(requests), TokenRequests: len(tokens)}
	first := firstStart(requests)
	var during []upstream.TokenRequest
	for _, token := range tokens {
		if token.End.After(first) {
			during = append(during, token)
		}
	}
	r.Refreshes = len(during)
	var in, out []float64
	for _, request := range requests {
		if request.Failed {
			r.Failed++
		}
		if overlaps(request, during) {
			in = append(in, milliseconds(request.Latency))
		} else {
			out = append(out, milliseconds(request.Latency))
		}
	}
	took := slices.Concat(in, out)
	r.P50, r.P99, r.P999, r.Max = stats.Percentile(took, 50), stats.Percentile(took, 99), stats.Percentile(took, 99.9), stats.Percentile(took, 100)
	r.During, r.Outside = summarizeLatencies(in), summarizeLatencies(out)
	return r
}

// overlaps reports whether a request was under way at the same time as one of the token requests.
func overlaps(request load.Request, tokens []upstream.TokenRequest) bool {
	until := request.Start.Add(request.Latency)
	for _, token := range tokens {
		if request.Start.Before(token.End) && until.After(token.Start) {
			return true
		}
	}
	return false
}
