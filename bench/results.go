package main

import (
	"time"

	"etrusted-broker/bench/stats"
)

// metric is one thing that is measured.
type metric struct {
	key    string
	title  string
	digits int // behind the point
}

// What is measured. Times are in µs but for the start's, sizes in millions of bytes.
var (
	keepAliveCPU      = metric{"kept-cpu", "CPU, µs a request", 0}
	keepAliveRate     = metric{"kept-rate", "requests a second", 0}
	loadedResident    = metric{"resident-64", "under load from 64", 1}
	newConnectionCPU  = metric{"fresh-cpu", "CPU, µs a request", 0}
	newConnectionRate = metric{"fresh-rate", "requests a second", 0}
	downloadCPU       = metric{"download-cpu", "1 MiB down: CPU, µs", 0}
	downloadRate      = metric{"download-rate", "a second", 0}
	uploadCPU         = metric{"upload-cpu", "64 kB up: CPU, µs", 0}
	uploadRate        = metric{"upload-rate", "a second", 0}
	idleResident      = metric{"resident-idle", "idle", 1}
	connectedResident = metric{"resident-1000", "1,000 idle connections", 1}
	startupTime       = metric{"start", "start to the first 200, ms", 0}
	binarySize        = metric{"binary", "binary, MB", 1}

	keepAliveMetrics     = loadMetrics{keepAliveCPU, keepAliveRate, loadedResident}
	newConnectionMetrics = loadMetrics{cpu: newConnectionCPU, rate: newConnectionRate}
	downloadMetrics      = loadMetrics{cpu: downloadCPU, rate: downloadRate}
	uploadMetrics        = loadMetrics{cpu: uploadCPU, rate: uploadRate}
	memoryMetrics        = loadMetrics{resident: loadedResident}
)

// latencyMetrics are the waits, and what a contender adds to them.
var latencyMetrics = []struct {
	percent        float64
	measure, added metric
}{
	{50, metric{"p50", "latency", 0}, metric{"added-p50", "added p50, µs", 0}},
	{99, metric{"p99", "p99", 0}, metric{"added-p99", "added p99, µs", 0}},
	{99.9, metric{"p99.9", "p99.9", 0}, metric{"added-p99.9", "added p99.9, µs", 0}},
}

// addedP99 has a bar.
var addedP99 = latencyMetrics[1].added

// results are what a run has found.
type results struct {
	Start     time.Time
	Duration  time.Duration
	Quick     bool
	Rounds    int
	Sizes     sizes
	Machine   machine
	Rows      []row
	Skipped   []skipped
	Failures  []string
	Values    map[string]map[string][]float64 // by row and measure, one for each round
	Refreshes []refreshResult
}

// row is a contender that was measured.
type row struct{ Name, Note, Version string }

// skipped is one that was not.
type skipped struct{ Name, Reason string }

func (r *results) add(name string, m metric, value float64) {
	if r.Values[name] == nil {
		r.Values[name] = map[string][]float64{}
	}
	r.Values[name][m.key] = append(r.Values[name][m.key], value)
}

func (r *results) values(name string, m metric) []float64 { return r.Values[name][m.key] }

// subtractDirect makes of the waits what a contender adds to those of the same round without one.
func (r *results) subtractDirect() {
	for _, row := range r.Rows {
		if row.Name == directName {
			continue
		}
		for _, m := range latencyMetrics {
			for _, added := range stats.Minus(r.values(row.Name, m.measure), r.values(directName, m.measure)) {
				r.add(row.Name, m.added, added)
			}
		}
	}
}
