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
	met    bool
}

func (b bar) verdict() string {
	switch {
	case !b.known:
		return "not measured"
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
		r.addedBar(1.5),
		r.refreshBar(1.5),
		r.outageBar(15),
		r.limitBar("resident memory, idle", residentIdle, 14, "MB"),
		r.limitBar("resident memory, under load from 64", keptResident, 24, "MB"),
		r.limitBar("resident memory, 1,000 idle connections", residentMany, 36, "MB"),
		r.limitBar("start to the first 200", startToAnswer, 25, "ms"),
		r.limitBar("binary, stripped", binarySize, 15, "MB"),
	}
}

// ratioBar is about what one costs, as a multiple of what another does.
func (r *results) ratioBar(what string, m measure, name string, most float64, than string) bar {
	ratio := stats.Ratio(r.of(name, m), r.of(than, m))
	return bar{
		what: what, want: fmt.Sprintf("≤ %.4g × %s", most, than), actual: fmt.Sprintf("%.3g ×", ratio),
		known: !math.IsNaN(ratio), met: ratio <= most,
	}
}

// limitBar is about the broker alone.
func (r *results) limitBar(what string, m measure, most float64, unit string) bar {
	median := stats.Median(r.of(contender.BrokerName, m))
	return bar{
		what: what, want: fmt.Sprintf("≤ %.4g %s", most, unit), actual: fmt.Sprintf("%.1f %s", median, unit),
		known: !math.IsNaN(median), met: median <= most,
	}
}

// addedBar compares medians: the single rounds' differences are small, of either sign, and have no ratio.
func (r *results) addedBar(most float64) bar {
	broker, other := stats.Median(r.of(contender.BrokerName, addedP99)), stats.Median(r.of(contender.HAProxyName, addedP99))
	b := bar{
		what: fmt.Sprintf("added p99 at %d requests a second", r.Sizes.Rate), want: fmt.Sprintf("≤ %.4g × HAProxy", most),
		known: !math.IsNaN(broker) && !math.IsNaN(other),
	}
	if other <= 0 { // within the noise, where a ratio says nothing
		b.actual, b.met = fmt.Sprintf("%.0f µs beside %.0f µs", broker, other), broker <= 0
		return b
	}
	b.actual, b.met = fmt.Sprintf("%.2f × (%.0f µs beside %.0f µs)", broker/other, broker, other), broker <= most*other
	return b
}

func (r *results) refreshBar(most float64) bar {
	b := bar{what: "slowest request across ten refreshes", want: fmt.Sprintf("≤ %.4g × the slowest between refreshes", most)}
	if found, ok := r.refreshedBy(contender.BrokerName, slowLogin); ok && found.RequestsIn > 0 && found.RequestsOut > 0 {
		ratio := found.SlowestIn / found.SlowestOut
		b.known, b.met = true, ratio <= most && found.Failed == 0
		b.actual = fmt.Sprintf("%.2f × (%.1f ms beside %.1f ms, %d refreshes)", ratio, found.SlowestIn, found.SlowestOut, found.Refreshes)
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
