package soak

import (
	"fmt"
	"time"
)

// usage is what the broker's process uses at a time.
type usage struct {
	at                      time.Duration // since the start of the run
	live                    float64       // bytes of the heap that the garbage collection left, and of stacks
	resident                float64       // bytes
	goroutines, descriptors float64
}

// maxGrowth is how much more the broker may use at the end of a run.
const maxGrowth = 0.1

// fullWarmUp is when the comparison begins in a long run.
const fullWarmUp = 10 * time.Minute

// warmUp returns when the comparison begins.
func warmUp(run time.Duration) time.Duration { return min(fullWarmUp, run/6) }

// cacheSize is how much more live memory is no leak: what the broker remembers is limited (failed requests, TLS sessions, series of
// metrics), but not full after the warm-up of a short run.
const cacheSize = 1 << 20

// minReadings is how many values each end of a run needs.
const minReadings = 3

// growth is a resource at both ends of a run.
type growth struct {
	resource                 string
	before, after, allowance float64
}

func (g growth) tooMuch() bool { return g.after > g.before*(1+maxGrowth)+g.allowance }

// compare compares the sixth of a run after the warm-up with its last sixth. It takes the lowest value of each: a leak raises
// that too, and a burst of requests does not. It needs three values in each, so the first part is longer if there was no quiet time,
// but ends with the first half of the run. Resident memory is only compared in a long run: it
// follows the largest burst so far, and a short run has seen few before the comparison begins.
func compare(all []usage, run time.Duration) ([]growth, error) {
	var before, after []usage
	for _, u := range all {
		start := warmUp(run)
		isNeeded := len(before) < minReadings && u.at < run/2
		if u.at >= start && (u.at < start+run/6 || isNeeded) {
			before = append(before, u)
		}
		if u.at >= run-run/6 {
			after = append(after, u)
		}
	}
	if len(before) < minReadings || len(after) < minReadings {
		return nil, fmt.Errorf("only %d and %d readings of memory, goroutines and descriptors in a quiet time", len(before), len(after))
	}
	growths := []growth{
		{"live memory", lowest(before, usage.liveMemory), lowest(after, usage.liveMemory), cacheSize},
		{"goroutines", lowest(before, usage.goroutineCount), lowest(after, usage.goroutineCount), 0},
		{"descriptors", lowest(before, usage.descriptorCount), lowest(after, usage.descriptorCount), 0},
	}
	if comparesResident(run) {
		growths = append(growths, growth{"resident memory", lowest(before, usage.residentMemory), lowest(after, usage.residentMemory), 0})
	}
	return growths, nil
}

// comparesResident reports whether a run is long enough to compare resident memory.
func comparesResident(run time.Duration) bool { return warmUp(run) == fullWarmUp }

func (u usage) liveMemory() float64      { return u.live }
func (u usage) residentMemory() float64  { return u.resident }
func (u usage) goroutineCount() float64  { return u.goroutines }
func (u usage) descriptorCount() float64 { return u.descriptors }

func lowest(all []usage, value func(usage) float64) float64 {
	low := value(all[0])
	for _, u := range all {
		low = min(low, value(u))
	}
	return low
}
