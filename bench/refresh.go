package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"etrusted-broker/bench/contender"
	"etrusted-broker/bench/load"
	"etrusted-broker/bench/stats"
	"etrusted-broker/bench/upstream"
)

// scenario is a way in which the login server makes things hard.
type scenario struct {
	key, title string
	lifetime   time.Duration // of tokens
	delay      time.Duration // of each answer of the token endpoint
	lasting    time.Duration // of the load
	failFrom   time.Duration // when the token endpoint begins to answer 503, if failFor is not 0
	failFor    time.Duration
}

// The scenarios' keys.
const (
	slowLogin = "slow"
	ordinary  = "ordinary"
	outage    = "outage"
)

func (s refreshSizes) scenarios() []scenario {
	return []scenario{
		{slowLogin, fmt.Sprintf("tokens of %v, the login server takes %v", s.Short, s.Slow), s.Short, s.Slow, s.Refreshes, 0, 0},
		{ordinary, fmt.Sprintf("tokens of %v, the login server takes %v", s.Long, s.Slow), s.Long, s.Slow, s.Ordinary, 0, 0},
		{outage, fmt.Sprintf("tokens of %v, the login server answers 503 from second %g to %g", s.Long,
			s.OutageFrom.Seconds(), (s.OutageFrom + s.OutageFor).Seconds()), s.Long, 0, s.Outage, s.OutageFrom, s.OutageFor},
	}
}

// refreshed is what an app sees of a scenario. Times are in milliseconds.
type refreshed struct {
	Scenario, Title, Name string
	Requests, Failed      int
	P50, P99, P999, Max   float64
	TokenRequests         int
	Refreshes             int  // token requests that were under way during the load
	During, Else          part // the requests that were under way together with a token request, and the others
}

// part is how long some of the requests took.
type part struct {
	Requests           int
	P99, P999, Slowest float64
}

func partOf(took []float64) part {
	if len(took) == 0 {
		return part{}
	}
	return part{len(took), stats.Percentile(took, 99), stats.Percentile(took, 99.9), stats.Percentile(took, 100)}
}

// refreshes measures those who fetch tokens as Go programs do: when they need one, or ahead of need.
func (b *bench) refreshes(ctx context.Context) error {
	for _, s := range b.sizes.Refresh.scenarios() {
		for _, r := range b.rivals {
			if r.Name != contender.NaiveName && r.Name != contender.BrokerName {
				continue
			}
			b.say("bench: %s: %s", s.title, r.Name)
			found, err := b.refresh(ctx, s, r)
			if err != nil {
				return fmt.Errorf("%s: %s: %w", s.title, r.Name, err)
			}
			b.results.Refreshes = append(b.results.Refreshes, found)
		}
	}
	return b.api.Set(upstream.Settings{})
}

// refresh runs one scenario with a process of its own, so that each begins with a token just fetched.
func (b *bench) refresh(ctx context.Context, s scenario, r rival) (refreshed, error) {
	healthy := upstream.Settings{Lifetime: s.lifetime, Delay: s.delay}
	if err := b.api.Set(healthy); err != nil {
		return refreshed{}, err
	}
	if _, err := b.api.Requests(); err != nil { // those of before
		return refreshed{}, err
	}
	i, err := b.start(ctx, r)
	if err != nil {
		return refreshed{}, err
	}
	defer i.stop()
	ended := make(chan struct{})
	bad := make(chan error, 1)
	go func() { bad <- b.breakLogin(s, healthy, ended) }()
	requests, err := load.Send(ctx, load.Open{
		Target: i.target(), Path: upstream.Page, Rate: b.sizes.Refresh.Rate, Lasting: s.lasting, Timeout: b.sizes.Refresh.Timeout,
	})
	close(ended)
	if badErr := <-bad; err == nil {
		err = badErr
	}
	if err != nil {
		return refreshed{}, err
	}
	tokens, err := b.api.Requests()
	if err != nil {
		return refreshed{}, err
	}
	found := sum(requests, tokens)
	found.Scenario, found.Title, found.Name = s.key, s.title, r.Name
	return found, nil
}

// breakLogin has the token endpoint fail for a while.
func (b *bench) breakLogin(s scenario, healthy upstream.Settings, ended <-chan struct{}) error {
	if s.failFor == 0 {
		return nil
	}
	failing := healthy
	failing.Failing = true
	for _, step := range []struct {
		after    time.Duration
		settings upstream.Settings
	}{{s.failFrom, failing}, {s.failFor, healthy}} {
		select {
		case <-time.After(step.after):
		case <-ended:
			return nil
		}
		if err := b.api.Set(step.settings); err != nil {
			return err
		}
	}
	return nil
}

// sum tells what there was for an app to see.
func sum(requests []load.Request, tokens []upstream.TokenRequest) refreshed {
	r := refreshed{Requests: len(requests), TokenRequests: len(tokens)}
	first := firstOf(requests)
	var during []upstream.TokenRequest
	for _, token := range tokens {
		if token.Until.After(first) {
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
			in = append(in, milliseconds(request.Took))
		} else {
			out = append(out, milliseconds(request.Took))
		}
	}
	took := slices.Concat(in, out)
	r.P50, r.P99, r.P999, r.Max = stats.Percentile(took, 50), stats.Percentile(took, 99), stats.Percentile(took, 99.9), stats.Percentile(took, 100)
	r.During, r.Else = partOf(in), partOf(out)
	return r
}

// overlaps reports whether a request was under way at the same time as one of the token requests.
func overlaps(request load.Request, tokens []upstream.TokenRequest) bool {
	until := request.Began.Add(request.Took)
	for _, token := range tokens {
		if request.Began.Before(token.Until) && until.After(token.From) {
			return true
		}
	}
	return false
}
