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

// measure measures a proxy in one round: one process gets no load, for its memory; a second process gets the load.
func (b *bench) measure(ctx context.Context, sub subject) error {
	if err := b.measureIdle(ctx, sub); err != nil {
		return err
	}
	i, err := b.start(ctx, sub)
	if err != nil {
		return err
	}
	defer i.stop()
	b.results.add(sub.Name, startupTime, milliseconds(i.startup))
	count := func(requests int) int {
		if sub.Slow {
			requests /= 4
		}
		return requests
	}
	s := b.sizes
	page := load.ClosedLoop{Target: i.target(), Path: upstream.PagePath, Connections: keepAliveConnections, WarmUp: s.WarmUp, Requests: count(s.KeepAlive)}
	if sub.MemoryOnly {
		return b.measureClosedLoop(ctx, sub.Name, i, page, memoryMetrics)
	}
	if err := b.measureClosedLoop(ctx, sub.Name, i, page, keepAliveMetrics); err != nil {
		return err
	}
	if sub.KeepAliveOnly {
		return nil
	}
	newConnections := page
	newConnections.NewConnections, newConnections.WarmUp, newConnections.Requests = true, s.WarmUp/10, count(s.NewConnections)
	if err := b.measureClosedLoop(ctx, sub.Name, i, newConnections, newConnectionMetrics); err != nil {
		return err
	}
	download := load.ClosedLoop{Target: i.target(), Path: upstream.ExportPath, Connections: downloadConnections, WarmUp: s.Downloads / 10, Requests: s.Downloads}
	if err := b.measureClosedLoop(ctx, sub.Name, i, download, downloadMetrics); err != nil {
		return err
	}
	upload := load.ClosedLoop{Target: i.target(), Path: upstream.EventsPath, Body: 64 << 10, Connections: uploadConnections, WarmUp: s.Uploads / 10, Requests: count(s.Uploads)}
	if err := b.measureClosedLoop(ctx, sub.Name, i, upload, uploadMetrics); err != nil {
		return err
	}
	return b.measureLatency(ctx, sub.Name, i.target(), sub.Slow)
}

// measureDirect measures the API without a proxy: the minimum latency, and the maximum rate of the load generator and the API on
// this machine.
func (b *bench) measureDirect(ctx context.Context) error {
	b.logf("bench: direct")
	s := b.sizes
	page := load.ClosedLoop{Target: b.target(), Path: upstream.PagePath, Connections: keepAliveConnections, WarmUp: s.WarmUp, Requests: s.KeepAlive}
	if err := b.measureClosedLoop(ctx, directName, nil, page, keepAliveMetrics); err != nil {
		return fmt.Errorf("%s: %w", directName, err)
	}
	return b.measureLatency(ctx, directName, b.target(), false)
}

// measureIdle measures the memory of a new process: first without connections, then with many idle connections that have sent
// one request each.
func (b *bench) measureIdle(ctx context.Context, sub subject) error {
	i, err := b.start(ctx, sub)
	if err != nil {
		return err
	}
	defer i.stop()
	if err := b.measureResident(ctx, sub.Name, i, idleResident); err != nil {
		return err
	}
	runner, err := load.StartClosedLoop(ctx, load.ClosedLoop{Target: i.target(), Path: upstream.PagePath, Connections: b.sizes.Idle, Sequential: true})
	if err != nil {
		return err
	}
	defer runner.Close()
	return b.measureResident(ctx, sub.Name, i, connectedResident)
}

// measureResident records the resident memory of a proxy that has been idle for a while.
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

// loadMetrics are the metrics to record for a closed loop. Those without a title are not recorded.
type loadMetrics struct{ cpu, rate, resident metric }

// measureClosedLoop runs a closed loop against a proxy, or against the API itself if i is nil.
func (b *bench) measureClosedLoop(ctx context.Context, name string, i *instance, c load.ClosedLoop, m loadMetrics) error {
	runner, err := load.StartClosedLoop(ctx, c)
	if err != nil {
		return err
	}
	defer runner.Close()
	var before, after time.Duration
	if i != nil {
		if before, err = i.CPU(); err != nil {
			return err
		}
	}
	result, err := runner.Run()
	if err != nil {
		return err
	}
	if i != nil {
		if after, err = i.CPU(); err != nil {
			return err
		}
		if m.cpu.title != "" {
			b.results.add(name, m.cpu, microseconds(after-before)/float64(result.Requests))
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
		b.results.add(name, m.rate, float64(result.Requests)/result.Duration.Seconds())
	}
	return b.recordFailures(name, cmp.Or(m.cpu, m.resident), result, maxFailureRatio)
}

// maxFailureRatio is the fraction of requests that may fail. With more failures the figures would mean nothing.
const maxFailureRatio = 0.01

// recordFailures adds failed requests to the results. It returns an error if there are too many.
func (b *bench) recordFailures(name string, m metric, result load.Result, maxFailures float64) error {
	if result.Failed == 0 {
		return nil
	}
	b.results.Failures = append(b.results.Failures, fmt.Sprintf("%s, %s: %d of %d requests failed, the first: %s", name, m.title, result.Failed, result.Requests, result.FirstError))
	if float64(result.Failed) > maxFailures*float64(result.Requests) {
		return fmt.Errorf("%d of %d requests failed, the first: %s", result.Failed, result.Requests, result.FirstError)
	}
	return nil
}

// latencyWarmUp is the start of an open loop that is not counted, because its requests wait for new connections.
const latencyWarmUp = 500 * time.Millisecond

// measureLatency measures the latency at a fixed rate. The rate may be too high for a slow proxy: then all its requests may fail.
func (b *bench) measureLatency(ctx context.Context, name string, target load.Target, slow bool) error {
	maxFailures := maxFailureRatio
	if slow {
		maxFailures = 1
	}
	requests, err := load.RunOpenLoop(ctx, load.OpenLoop{
		Target: target, Path: upstream.PagePath, Rate: b.sizes.Rate, Duration: latencyWarmUp + b.sizes.Latency, Timeout: 5 * time.Second,
	})
	if err != nil {
		return err
	}
	result := load.Result{Requests: len(requests)}
	first := firstStart(requests)
	var durations []float64
	for _, request := range requests {
		if request.Start.Sub(first) < latencyWarmUp {
			continue
		}
		durations = append(durations, microseconds(request.Latency))
		if request.Failed {
			if result.Failed++; result.Failed == 1 {
				result.FirstError = request.Error
			}
		}
	}
	for _, m := range latencyMetrics {
		b.results.add(name, m.latency, stats.Percentile(durations, m.percent))
	}
	return b.recordFailures(name, latencyMetrics[0].latency, result, maxFailures)
}

// firstStart returns when the first request was sent. The requests are in the order of their responses.
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
