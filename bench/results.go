package main

import (
	"time"

	"etrusted-broker/bench/stats"
)

// measure is one thing that is measured.
type measure struct {
	key    string
	title  string
	digits int // behind the point
}

// What is measured. Times are in µs but for the start's, sizes in millions of bytes.
var (
	keptCPU       = measure{"kept-cpu", "CPU, µs a request", 0}
	keptRate      = measure{"kept-rate", "requests a second", 0}
	keptResident  = measure{"resident-64", "under load from 64", 1}
	freshCPU      = measure{"fresh-cpu", "CPU, µs a request", 0}
	freshRate     = measure{"fresh-rate", "requests a second", 0}
	downloadCPU   = measure{"download-cpu", "1 MiB down: CPU, µs", 0}
	downloadRate  = measure{"download-rate", "a second", 0}
	uploadCPU     = measure{"upload-cpu", "64 kB up: CPU, µs", 0}
	uploadRate    = measure{"upload-rate", "a second", 0}
	residentIdle  = measure{"resident-idle", "idle", 1}
	residentMany  = measure{"resident-1000", "1,000 idle connections", 1}
	startToAnswer = measure{"start", "start to the first 200, ms", 0}
	binarySize    = measure{"binary", "binary, MB", 1}

	keptMeasures     = loadMeasures{keptCPU, keptRate, keptResident}
	freshMeasures    = loadMeasures{cpu: freshCPU, rate: freshRate}
	downloadMeasures = loadMeasures{cpu: downloadCPU, rate: downloadRate}
	uploadMeasures   = loadMeasures{cpu: uploadCPU, rate: uploadRate}
	restingMeasures  = loadMeasures{resident: keptResident}
)

// latencyMeasures are the waits, and what a contender adds to them.
var latencyMeasures = []struct {
	percent        float64
	measure, added measure
}{
	{50, measure{"p50", "latency", 0}, measure{"added-p50", "added p50, µs", 0}},
	{99, measure{"p99", "p99", 0}, measure{"added-p99", "added p99, µs", 0}},
	{99.9, measure{"p99.9", "p99.9", 0}, measure{"added-p99.9", "added p99.9, µs", 0}},
}

// addedP99 has a bar.
var addedP99 = latencyMeasures[1].added

// results are what a run has found.
type results struct {
	Began     time.Time
	Lasted    time.Duration
	Quick     bool
	Rounds    int
	Sizes     sizes
	Machine   machine
	Rows      []row
	Skipped   []skipped
	Failures  []string
	Values    map[string]map[string][]float64 // by row and measure, one for each round
	Refreshes []refreshed
}

// row is a contender that was measured.
type row struct{ Name, Note, Version string }

// skipped is one that was not.
type skipped struct{ Name, Why string }

func (r *results) add(name string, m measure, value float64) {
	if r.Values[name] == nil {
		r.Values[name] = map[string][]float64{}
	}
	r.Values[name][m.key] = append(r.Values[name][m.key], value)
}

func (r *results) of(name string, m measure) []float64 { return r.Values[name][m.key] }

// subtractDirect makes of the waits what a contender adds to those of the same round without one.
func (r *results) subtractDirect() {
	for _, row := range r.Rows {
		if row.Name == directName {
			continue
		}
		for _, m := range latencyMeasures {
			for _, added := range stats.Minus(r.of(row.Name, m.measure), r.of(directName, m.measure)) {
				r.add(row.Name, m.added, added)
			}
		}
	}
}
