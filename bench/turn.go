package main

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"etrusted-broker/bench/load"
	"etrusted-broker/bench/stats"
	"etrusted-broker/bench/upstream"
)

// turn measures a contender once: in a first process what it takes with nothing to do, in a second what it does.
func (b *bench) turn(ctx context.Context, r rival) error {
	if err := b.idle(ctx, r); err != nil {
		return err
	}
	i, err := b.start(ctx, r)
	if err != nil {
		return err
	}
	defer i.stop()
	b.results.add(r.Name, startToAnswer, milliseconds(i.took))
	size := func(requests int) int {
		if r.Slow {
			requests /= 4
		}
		return requests
	}
	s := b.sizes
	page := load.Closed{Target: i.target(), Path: upstream.Page, Connections: keptConnections, WarmUp: s.WarmUp, Requests: size(s.Kept)}
	if r.Resting {
		return b.closed(ctx, r.Name, i, page, restingMeasures)
	}
	if err := b.closed(ctx, r.Name, i, page, keptMeasures); err != nil {
		return err
	}
	fresh := page
	fresh.Fresh, fresh.WarmUp, fresh.Requests = true, s.WarmUp/10, size(s.Fresh)
	if err := b.closed(ctx, r.Name, i, fresh, freshMeasures); err != nil {
		return err
	}
	download := load.Closed{Target: i.target(), Path: upstream.Export, Connections: downloadConnections, WarmUp: s.Downloads / 10, Requests: s.Downloads}
	if err := b.closed(ctx, r.Name, i, download, downloadMeasures); err != nil {
		return err
	}
	upload := load.Closed{Target: i.target(), Path: upstream.Events, Body: 64 << 10, Connections: uploadConnections, WarmUp: s.Uploads / 10, Requests: size(s.Uploads)}
	if err := b.closed(ctx, r.Name, i, upload, uploadMeasures); err != nil {
		return err
	}
	return b.latency(ctx, r.Name, i.target(), r.Slow)
}

// direct measures what there is without a contender: the least that an app waits, and the most that the load generator
// and the API can do on this machine.
func (b *bench) direct(ctx context.Context) error {
	b.say("bench: direct")
	s := b.sizes
	page := load.Closed{Target: b.target(), Path: upstream.Page, Connections: keptConnections, WarmUp: s.WarmUp, Requests: s.Kept}
	if err := b.closed(ctx, directName, nil, page, keptMeasures); err != nil {
		return fmt.Errorf("%s: %w", directName, err)
	}
	return b.latency(ctx, directName, b.target(), false)
}

// idle looks at the memory that a fresh process takes: with nobody connected, and with many who once sent a request and
// now keep silent.
func (b *bench) idle(ctx context.Context, r rival) error {
	i, err := b.start(ctx, r)
	if err != nil {
		return err
	}
	defer i.stop()
	if err := b.resident(ctx, r.Name, i, residentIdle); err != nil {
		return err
	}
	running, err := load.Begin(ctx, load.Closed{Target: i.target(), Path: upstream.Page, Connections: b.sizes.Idle, InTurn: true})
	if err != nil {
		return err
	}
	defer running.Close()
	return b.resident(ctx, r.Name, i, residentMany)
}

// resident adds the memory that a contender takes after a rest.
func (b *bench) resident(ctx context.Context, name string, i *instance, m measure) error {
	select {
	case <-time.After(b.sizes.Rest):
	case <-ctx.Done():
		return ctx.Err()
	}
	bytes, err := i.Resident()
	b.results.add(name, m, float64(bytes)/1e6)
	return err
}

// loadMeasures are what a closed load tells. One without a title is not asked for.
type loadMeasures struct{ cpu, rate, resident measure }

// closed runs a closed load against a contender, or, if i is nil, against the API itself.
func (b *bench) closed(ctx context.Context, name string, i *instance, c load.Closed, m loadMeasures) error {
	running, err := load.Begin(ctx, c)
	if err != nil {
		return err
	}
	defer running.Close()
	var before, after time.Duration
	if i != nil {
		if before, err = i.CPU(); err != nil {
			return err
		}
	}
	tally, err := running.Go()
	if err != nil {
		return err
	}
	if i != nil {
		if after, err = i.CPU(); err != nil {
			return err
		}
		if m.cpu.title != "" {
			b.results.add(name, m.cpu, microseconds(after-before)/float64(tally.Requests))
		}
		if m.resident.title != "" {
			bytes, err := i.Resident()
			if err != nil {
				return err
			}
			b.results.add(name, m.resident, float64(bytes)/1e6)
		}
	}
	if m.rate.title != "" {
		b.results.add(name, m.rate, float64(tally.Requests)/tally.Lasted.Seconds())
	}
	return b.failures(name, cmp.Or(m.cpu, m.resident), tally, tolerable)
}

// tolerable is the part of requests that may fail. Each is told of; more than these, and the figures mean nothing.
const tolerable = 0.01

func (b *bench) failures(name string, m measure, t load.Tally, most float64) error {
	if t.Failed == 0 {
		return nil
	}
	b.results.Failures = append(b.results.Failures, fmt.Sprintf("%s, %s: %d of %d requests failed, the first: %s", name, m.title, t.Failed, t.Requests, t.Why))
	if float64(t.Failed) > most*float64(t.Requests) {
		return fmt.Errorf("%d of %d requests failed, the first: %s", t.Failed, t.Requests, t.Why)
	}
	return nil
}

// latencyWarmUp is left out of an open load: its first requests wait for connections to be made.
const latencyWarmUp = 500 * time.Millisecond

// latency measures how long an app waits that asks at a fixed rate. It may be more than one that is slow can take: then
// that is what came of it.
func (b *bench) latency(ctx context.Context, name string, to load.Target, slow bool) error {
	most := tolerable
	if slow {
		most = 1
	}
	requests, err := load.Send(ctx, load.Open{
		Target: to, Path: upstream.Page, Rate: b.sizes.Rate, Lasting: latencyWarmUp + b.sizes.Latency, Timeout: 5 * time.Second,
	})
	if err != nil {
		return err
	}
	tally := load.Tally{Requests: len(requests)}
	first := firstOf(requests)
	var took []float64
	for _, request := range requests {
		if request.Began.Sub(first) < latencyWarmUp {
			continue
		}
		took = append(took, microseconds(request.Took))
		if request.Failed {
			if tally.Failed++; tally.Failed == 1 {
				tally.Why = request.Why
			}
		}
	}
	for _, m := range latencyMeasures {
		b.results.add(name, m.measure, stats.Percentile(took, m.percent))
	}
	return b.failures(name, latencyMeasures[0].measure, tally, most)
}

// firstOf returns when the first request was sent. They are in the order of their answers.
func firstOf(requests []load.Request) time.Time {
	first := time.Now()
	for _, request := range requests {
		if request.Began.Before(first) {
			first = request.Began
		}
	}
	return first
}

func microseconds(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
