package main

import (
	"time"

	"etrusted-broker/bench/stats"
)

// metric is a measured quantity.
type metric struct {
	key    string
	title  string
	digits int // decimal places
}

// The metrics. Times are in µs, except startupTime in ms. Sizes are in millions of bytes.
var (
	keepAliveCPU      = metric{"keep-alive-cpu", "CPU, µs per request", 0}
	keepAliveRate     = metric{"keep-alive-rate", "requests per second", 0}
	loadedResident    = metric{"resident-64", "under load from 64 connections", 1}
	newConnectionCPU  = metric{"new-connection-cpu", "CPU, µs per request", 0}
	newConnectionRate = metric{"new-connection-rate", "requests per second", 0}
	downloadCPU       = metric{"download-cpu", "1 MiB download: CPU, µs", 0}
	downloadRate      = metric{"download-rate", "per second", 0}
	uploadCPU         = metric{"upload-cpu", "64 kB upload: CPU, µs", 0}
	uploadRate        = metric{"upload-rate", "per second", 0}
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

// latencyMetrics are percentiles of the latency, and the latency that a proxy adds to them.
var latencyMetrics = []struct {
	percent        float64
	latency, added metric
}{
	{50, metric{"p50", "latency", 0}, metric{"added-p50", "added p50, µs", 0}},
	{99, metric{"p99", "p99", 0}, metric{"added-p99", "added p99, µs", 0}},
	{99.9, metric{"p99.9", "p99.9", 0}, metric{"added-p99.9", "added p99.9, µs", 0}},
}

// These latencies have goals.
var addedP50, addedP99 = latencyMetrics[0].added, latencyMetrics[1].added

// results are the results of one run.
type results struct {
	Start     time.Time
	Duration  time.Duration
	Quick     bool
	Rounds    int
	Sizes     sizes
	Machine   machine
	Rows      []tableRow
	Skipped   []skipped
	Failures  []string
	Values    map[string]map[string][]float64 // by row name and metric key, one value per round
	Refreshes []refreshResult
}

// tableRow is a measured proxy, or direct.
type tableRow struct{ Name, Note, Version string }

// skipped is a proxy that was not measured.
type skipped struct{ Name, Reason string }

func (r *results) add(name string, m metric, value float64) {
	if r.Values[name] == nil {
		r.Values[name] = map[string][]float64{}
	}
	r.Values[name][m.key] = append(r.Values[name][m.key], value)
}

func (r *results) values(name string, m metric) []float64 { return r.Values[name][m.key] }

// subtractDirect records the added latency of each proxy: its latency minus that of direct in the same round.
func (r *results) subtractDirect() {
	for _, row := range r.Rows {
		if row.Name == directName {
			continue
		}
		for _, m := range latencyMetrics {
			for _, added := range stats.Minus(r.values(row.Name, m.latency), r.values(directName, m.latency)) {
				r.add(row.Name, m.added, added)
			}
		}
	}
}
