package main

import (
	"fmt"
	"math"

	"etrusted-broker/bench/proxies"
	"etrusted-broker/bench/stats"
)

// goal is what the broker has to be.
type goal struct {
	title        string
	target       string
	actual       string
	measured     bool // it was measured
	inconclusive bool // the rounds do not agree on whether it is met
	met          bool
}

func (b goal) verdict() string {
	switch {
	case !b.measured:
		return "not measured"
	case b.inconclusive:
		return "within the noise"
	case b.met:
		return "met"
	default:
		return "**NOT met**"
	}
}

// goals are those of issue 7.
func (r *results) goals() []goal {
	const kept, fresh = "CPU a request, 64 kept alive", "CPU a request, a connection each"
	broker := proxies.BrokerName
	return []goal{
		r.ratioGoal(kept, keepAliveCPU, broker, 1.75, proxies.NginxName),
		r.ratioGoal(kept, keepAliveCPU, broker, 0.45, proxies.CaddyName),
		r.ratioGoal(kept, keepAliveCPU, broker, 0.35, proxies.SkipperName),
		r.ratioGoal(kept, keepAliveCPU, broker, 0.1, proxies.NaiveName),
		r.ratioGoal("the same with link rewriting", keepAliveCPU, proxies.LinksName, 1.15, broker),
		r.ratioGoal(fresh, newConnectionCPU, broker, 1.75, proxies.NginxName),
		r.ratioGoal(fresh, newConnectionCPU, broker, 0.65, proxies.CaddyName),
		r.ratioGoal(fmt.Sprintf("added p99 at %d requests a second", r.Sizes.Rate), addedP99, broker, 1.5, proxies.HAProxyName),
		r.refreshGoal(1.5),
		r.outageGoal(15),
		r.limitGoal("resident memory, idle", idleResident, proxies.SystemCAsName, 14, "MB"),
		r.limitGoal("resident memory, under load from 64", loadedResident, proxies.SystemCAsName, 24, "MB"),
		r.limitGoal("resident memory, 1,000 idle connections", connectedResident, proxies.SystemCAsName, 36, "MB"),
		r.limitGoal("start to the first 200", startupTime, proxies.SystemCAsName, 25, "ms"),
		r.limitGoal("binary, stripped", binarySize, broker, 15, "MB"),
	}
}

// ratioGoal is about what one costs, as a multiple of what another does. It is met if it is in each round, and not met if it is
// in none: what lies between is the machine's doing as well as theirs. So is a difference that is less than nothing, and has
// no ratio.
func (r *results) ratioGoal(what string, m metric, name string, most float64, than string) goal {
	ours, theirs := r.values(name, m), r.values(than, m)
	b := goal{title: what, target: fmt.Sprintf("≤ %.4g × %s", most, than), measured: len(ours) > 0 && len(theirs) > 0}
	if !b.measured {
		return b
	}
	beside := fmt.Sprintf("%s vs. %s µs", minMax(ours, m), minMax(theirs, m))
	if !positive(ours) || !positive(theirs) {
		b.actual, b.inconclusive = beside, true
		return b
	}
	rounds, in := min(len(ours), len(theirs)), 0 // in how many it is met
	for i := range rounds {
		if ours[i] <= most*theirs[i] {
			in++
		}
	}
	b.actual, b.met = fmt.Sprintf("%.3g ×", stats.Ratio(ours, theirs)), in == rounds
	if b.inconclusive = 0 < in && in < rounds; b.inconclusive {
		b.actual += " (" + beside + ")"
	}
	return b
}

// minMax is the least of the values and the most. It is not written with a dash, which some would read as a sign.
func minMax(values []float64, m metric) string {
	return fmt.Sprintf("%.*f to %.*f", m.digits, stats.Percentile(values, 0), m.digits, stats.Percentile(values, 100))
}

// limitGoal is about one alone.
func (r *results) limitGoal(what string, m metric, name string, most float64, unit string) goal {
	median := stats.Median(r.values(name, m))
	return goal{
		title: what, target: fmt.Sprintf("≤ %.4g %s", most, unit), actual: fmt.Sprintf("%.1f %s", median, unit),
		measured: !math.IsNaN(median), met: median <= most,
	}
}

// refreshGoal is about the slowest on either side. One request of tens of thousands decides it, and where the machine stood still
// it says nothing: so the percentiles stand beside it.
func (r *results) refreshGoal(most float64) goal {
	b := goal{title: "slowest request across ten refreshes", target: fmt.Sprintf("≤ %.4g × the slowest between refreshes", most)}
	if found, ok := r.refreshResult(proxies.BrokerName, slowLogin); ok && found.During.Requests > 0 && found.Outside.Requests > 0 {
		in, out := found.During, found.Outside
		ratio := in.Max / out.Max
		b.measured, b.met = true, ratio <= most && found.Failed == 0
		b.actual = fmt.Sprintf("%.2f × (%.1f ms vs. %.1f ms, %d refreshes; p99 %.1f vs. %.1f, p99.9 %.1f vs. %.1f)",
			ratio, in.Max, out.Max, found.Refreshes, in.P99, out.P99, in.P999, out.P999)
	}
	return b
}

func (r *results) outageGoal(most int) goal {
	b := goal{title: "failed requests in an outage of the login server", target: fmt.Sprintf("0, and ≤ %d token requests", most)}
	if found, ok := r.refreshResult(proxies.BrokerName, outage); ok {
		b.measured, b.met = true, found.Failed == 0 && found.TokenRequests <= most
		b.actual = fmt.Sprintf("%d, and %d token requests", found.Failed, found.TokenRequests)
	}
	return b
}

func (r *results) refreshResult(name, scenario string) (refreshResult, bool) {
	for _, found := range r.Refreshes {
		if found.Name == name && found.Scenario == scenario {
			return found, true
		}
	}
	return refreshResult{}, false
}
