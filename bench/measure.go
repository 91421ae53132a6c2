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

// measure measures a contender once: in a first process what it takes with nothing to do, in a second what it does.
func (b *bench) measure(ctx context.Context, r subject) error {
	if err := b.measureIdle(ctx, r); err != nil {
		return err
	}
	i, err := b.start(ctx, r)
	if err != nil {
		return err
	}
	defer i.stop()
	b.results.add(r.Name, startupTime, milliseconds(i.startup))
	size := func(requests int) int {
		if r.Slow {
			requests /= 4
		}
		return requests
	}
	s := b.sizes
	page := load.ClosedLoop{Target: i.target(), Path: upstream.PagePath, Connections: keepAliveConnections, WarmUp: s.WarmUp, Requests: size(s.KeepAlive)}
	if r.MemoryOnly {
		return b.measureClosedLoop(ctx, r.Name, i, page, memoryMetrics)
	}
	if err := b.measureClosedLoop(ctx, r.Name, i, page, keepAliveMetrics); err != nil {
		return err
	}
	fresh := page
	fresh.NewConnections, fresh.WarmUp, fresh.Requests = true, s.WarmUp/10, size(s.NewConnections)
	if err := b.measureClosedLoop(ctx, r.Name, i, fresh, newConnectionMetrics); err != nil {
		return err
	}
	download := load.ClosedLoop{Target: i.target(), Path: upstream.ExportPath, Connections: downloadConnections, WarmUp: s.Downloads / 10, Requests: s.Downloads}
	if err := b.measureClosedLoop(ctx, r.Name, i, download, downloadMetrics); err != nil {
		return err
	}
	upload := load.ClosedLoop{Target: i.target(), Path: upstream.EventsPath, Body: 64 << 10, Connections: uploadConnections, WarmUp: s.Uploads / 10, Requests: size(s.Uploads)}
	if err := b.measureClosedLoop(ctx, r.Name, i, upload, uploadMetrics); err != nil {
		return err
	}
	return b.measureLatency(ctx, r.Name, i.target(), r.Slow)
}

// measureDirect measures what there is without a contender: the least that an app waits, and the most that the load generator
// and the API can do on this machine.
func (b *bench) measureDirect(ctx context.Context) error {
	b.logf("bench: direct")
	s := b.sizes
	page := load.ClosedLoop{Target: b.target(), Path: upstream.PagePath, Connections: keepAliveConnections, WarmUp: s.WarmUp, Requests: s.KeepAlive}
	if err := b.measureClosedLoop(ctx, directName, nil, page, keepAliveMetrics); err != nil {
		return fmt.Errorf("%s: %w", directName, err)
	}
	return b.measureLatency(ctx, directName, b.target(), false)
}

// measureIdle looks at the memory that a fresh process takes: with nobody connected, and with many who once sent a request and
// now keep silent.
func (b *bench) measureIdle(ctx context.Context, r subject) error {
	i, err := b.start(ctx, r)
	if err != nil {
		return err
	}
	defer i.stop()
	if err := b.measureResident(ctx, r.Name, i, idleResident); err != nil {
		return err
	}
	running, err := load.StartClosedLoop(ctx, load.ClosedLoop{Target: i.target(), Path: upstream.PagePath, Connections: b.sizes.Idle, Sequential: true})
	if err != nil {
		return err
	}
	defer running.Close()
	return b.measureResident(ctx, r.Name, i, connectedResident)
}

// measureResident adds the memory that a contender takes after a rest.
func (b *bench) measureResident(ctx context.Context, name string, i *instance, m metric) error {
	select {
	case <-time.After(b.sizes.IdleDelay):
	case <-ctx.Done():
		return ctx.Err()
	}
	bytes, err := i.Resident()
	b.results.add(name, m, float64(bytes)/1e6)
	return err
}

// loadMetrics are what a closed load tells. One without a title is not asked for.
type loadMetrics struct{ cpu, rate, resident metric }

// measureClosedLoop runs a closed load against a contender, or, if i is nil, against the API itself.
func (b *bench) measureClosedLoop(ctx context.Context, name string, i *instance, c load.ClosedLoop, m loadMetrics) error {
	running, err := load.StartClosedLoop(ctx, c)
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
	tally, err := running.Run()
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
		b.results.add(name, m.rate, float64(tally.Requests)/tally.Duration.Seconds())
	}
	return b.recordFailures(name, cmp.Or(m.cpu, m.resident), tally, maxFailureRatio)
}

// maxFailureRatio is the part of requests that may fail. Each is told of; more than these, and the figures mean nothing.
const maxFailureRatio = 0.01

func (b *bench) recordFailures(name string, m metric, t load.Result, most float64) error {
	if t.Failed == 0 {
		return nil
	}
	b.results.Failures = append(b.results.Failures, fmt.Sprintf("%s, %s: %d of %d requests failed, the first: %s", name, m.title, t.Failed, t.Requests, t.FirstError))
	if float64(t.Failed) > most*float64(t.Requests) {
		return fmt.Errorf("%d of %d requests failed, the first: %s", t.Failed, t.Requests, t.FirstError)
	}
	return nil
}

// latencyWarmUp is left out of an open load: its first requests wait for connections to be made.
const latencyWarmUp = 500 * time.Millisecond

// measureLatency measures how long an app waits that asks at a fixed rate. It may be more than one that is slow can take: then
// that is what came of it.
func (b *bench) measureLatency(ctx context.Context, name string, to load.Target, slow bool) error {
	most := maxFailureRatio
	if slow {
		most = 1
	}
	requests, err := load.RunOpenLoop(ctx, load.OpenLoop{
		Target: to, Path: upstream.PagePath, Rate: b.sizes.Rate, Duration: latencyWarmUp + b.sizes.Latency, Timeout: 5 * time.Second,
	})
	if err != nil {
		return err
	}
	tally := load.Result{Requests: len(requests)}
	first := firstStart(requests)
	var took []float64
	for _, request := range requests {
		if request.Start.Sub(first) < latencyWarmUp {
			continue
		}
		took = append(took, microseconds(request.Latency))
		if request.Failed {
			if tally.Failed++; tally.Failed == 1 {
				tally.FirstError = request.Error
			}
		}
	}
	for _, m := range latencyMetrics {
		b.results.add(name, m.measure, stats.Percentile(took, m.percent))
	}
	return b.recordFailures(name, latencyMetrics[0].measure, tally, most)
}

// firstStart returns when the first request was sent. They are in the order of their answers.
func firstStart(requests []load.Request) time.Time {
	first := time.Now()
	for _, request := range requests {
		if request.Start.Before(first) {
			first = request.Start
		}
	}
	return first
}

func microseconds(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
