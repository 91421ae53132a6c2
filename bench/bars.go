package main

import (
	"fmt"
	"math"

	"etrusted-broker/bench/contender"
	"etrusted-broker/bench/stats"
)

// bar is what the broker has to be.
type bar struct {
	what   string
	want   string
	actual string
	known  bool // it was measured
	noise  bool // the rounds do not agree on whether it is met
	met    bool
}

func (b bar) verdict() string {
	switch {
	case !b.known:
		return "not measured"
	case b.noise:
		return "within the noise"
	case b.met:
		return "met"
	default:
		return "**NOT met**"
	}
}

// bars are those of issue 7.
func (r *results) bars() []bar {
	const kept, fresh = "CPU a request, 64 kept alive", "CPU a request, a connection each"
	broker := contender.BrokerName
	return []bar{
		r.ratioBar(kept, keptCPU, broker, 1.75, contender.NginxName),
		r.ratioBar(kept, keptCPU, broker, 0.45, contender.CaddyName),
		r.ratioBar(kept, keptCPU, broker, 0.35, contender.SkipperName),
		r.ratioBar(kept, keptCPU, broker, 0.1, contender.NaiveName),
		r.ratioBar("the same with link rewriting", keptCPU, contender.LinksName, 1.15, broker),
		r.ratioBar(fresh, freshCPU, broker, 1.75, contender.NginxName),
		r.ratioBar(fresh, freshCPU, broker, 0.65, contender.CaddyName),
		r.ratioBar(fmt.Sprintf("added p99 at %d requests a second", r.Sizes.Rate), addedP99, broker, 1.5, contender.HAProxyName),
		r.refreshBar(1.5),
		r.outageBar(15),
		r.limitBar("resident memory, idle", residentIdle, contender.SystemName, 14, "MB"),
		r.limitBar("resident memory, under load from 64", keptResident, contender.SystemName, 24, "MB"),
		r.limitBar("resident memory, 1,000 idle connections", residentMany, contender.SystemName, 36, "MB"),
		r.limitBar("start to the first 200", startToAnswer, contender.SystemName, 25, "ms"),
		r.limitBar("binary, stripped", binarySize, broker, 15, "MB"),
	}
}

// ratioBar is about what one costs, as a multiple of what another does. It is met if it is in each round, and not met if it is
// in none: what lies between is the machine's doing as well as theirs. So is a difference that is less than nothing, and has
// no ratio.
func (r *results) ratioBar(what string, m measure, name string, most float64, than string) bar {
	ours, theirs := r.of(name, m), r.of(than, m)
	b := bar{what: what, want: fmt.Sprintf("≤ %.4g × %s", most, than), known: len(ours) > 0 && len(theirs) > 0}
	if !b.known {
		return b
	}
	beside := fmt.Sprintf("%s vs. %s µs", extent(ours, m), extent(theirs, m))
	if !positive(ours) || !positive(theirs) {
		b.actual, b.noise = beside, true
		return b
	}
	rounds, in := min(len(ours), len(theirs)), 0 // in how many it is met
	for i := range rounds {
		if ours[i] <= most*theirs[i] {
			in++
		}
	}
	b.actual, b.met = fmt.Sprintf("%.3g ×", stats.Ratio(ours, theirs)), in == rounds
	if b.noise = 0 < in && in < rounds; b.noise {
		b.actual += " (" + beside + ")"
	}
	return b
}

// extent is the least of the values and the most. It is not written with a dash, which some would read as a sign.
func extent(values []float64, m measure) string {
	return fmt.Sprintf("%.*f to %.*f", m.digits, stats.Percentile(values, 0), m.digits, stats.Percentile(values, 100))
}

// limitBar is about one alone.
func (r *results) limitBar(what string, m measure, name string, most float64, unit string) bar {
	median := stats.Median(r.of(name, m))
	return bar{
		what: what, want: fmt.Sprintf("≤ %.4g %s", most, unit), actual: fmt.Sprintf("%.1f %s", median, unit),
		known: !math.IsNaN(median), met: median <= most,
	}
}

// refreshBar is about the slowest on either side. One request of tens of thousands decides it, and where the machine stood still
// it says nothing: so the percentiles stand beside it.
func (r *results) refreshBar(most float64) bar {
	b := bar{what: "slowest request across ten refreshes", want: fmt.Sprintf("≤ %.4g × the slowest between refreshes", most)}
	if found, ok := r.refreshedBy(contender.BrokerName, slowLogin); ok && found.During.Requests > 0 && found.Else.Requests > 0 {
		in, out := found.During, found.Else
		ratio := in.Slowest / out.Slowest
		b.known, b.met = true, ratio <= most && found.Failed == 0
		b.actual = fmt.Sprintf("%.2f × (%.1f ms vs. %.1f ms, %d refreshes; p99 %.1f vs. %.1f, p99.9 %.1f vs. %.1f)",
			ratio, in.Slowest, out.Slowest, found.Refreshes, in.P99, out.P99, in.P999, out.P999)
	}
	return b
}

func (r *results) outageBar(most int) bar {
	b := bar{what: "failed requests in an outage of the login server", want: fmt.Sprintf("0, and ≤ %d token requests", most)}
	if found, ok := r.refreshedBy(contender.BrokerName, outage); ok {
		b.known, b.met = true, found.Failed == 0 && found.TokenRequests <= most
		b.actual = fmt.Sprintf("%d, and %d token requests", found.Failed, found.TokenRequests)
	}
	return b
}

func (r *results) refreshedBy(name, scenario string) (refreshed, bool) {
	for _, found := range r.Refreshes {
		if found.Name == name && found.Scenario == scenario {
			return found, true
		}
	}
	return refreshed{}, false
}
