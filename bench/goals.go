package main

import (
	"fmt"
	"math"
	"strings"

	"etrusted-broker/bench/proxies"
	"etrusted-broker/bench/stats"
)

// goal is a performance goal of the broker, and its result.
type goal struct {
	title        string
	target       string
	actual       string
	measured     bool
	inconclusive bool // some rounds meet the goal, others do not
	met          bool
}

func (g goal) verdict() string {
	switch {
	case !g.measured:
		return "not measured"
	case g.inconclusive:
		return "within the noise"
	case g.met:
		return "met"
	default:
		return "**NOT met**"
	}
}

// goals returns all goals with their results.
func (r *results) goals() []goal {
	const keepAlive = "CPU per request, 64 keep-alive connections"
	added := fmt.Sprintf("at %d requests per second", r.Sizes.Rate)
	broker := proxies.BrokerName
	return []goal{
		r.ratioGoal(keepAlive, keepAliveCPU, broker, atMost(0.9), proxies.NginxName),
		r.ratioGoal(keepAlive, keepAliveCPU, broker, atMost(1), proxies.HAProxyName),
		r.ratioGoal("the same with link rewriting", keepAliveCPU, proxies.LinksName, atMost(1.1), broker),
		r.ratioGoal("the same with HTTP/2 to the API", keepAliveCPU, proxies.HTTP2Name, atMost(0.8), proxies.BaselineHTTP2Name),
		r.ratioGoal("requests per second, 64 keep-alive connections", keepAliveRate, broker, atLeast(1), proxies.NginxName),
		r.ratioGoal("CPU per request, one connection per request", newConnectionCPU, broker, atMost(1.05), proxies.NginxName),
		r.ratioGoal("added p50 "+added, addedP50, broker, atMost(1), proxies.HAProxyName),
		r.ratioGoal("added p99 "+added, addedP99, broker, atMost(1), proxies.HAProxyName),
		r.ratioGoal("CPU per 1 MiB download, with link rewriting", downloadCPU, proxies.LinksName, atMost(1.2), broker),
		r.ratioGoal("CPU per 64 kB upload", uploadCPU, broker, atMost(1.3), proxies.HAProxyName),
		r.refreshGoal(1.5),
		r.outageGoal(15, 2, 100),
		r.limitGoal("resident memory, idle", idleResident, proxies.SystemCAsName, 16, "MB"),
		r.limitGoal("resident memory, under load from 64 connections", loadedResident, proxies.SystemCAsName, 22, "MB"),
		r.limitGoal("resident memory, 1,000 idle connections", connectedResident, proxies.SystemCAsName, 28, "MB"),
		r.limitGoal("start to the first 200", startupTime, proxies.SystemCAsName, 20, "ms"),
		r.limitGoal("binary, stripped", binarySize, broker, 15, "MB"),
	}
}

// bound limits the ratio of two values.
type bound struct {
	relation string // "≤" or "≥"
	ratio    float64
}

func atMost(ratio float64) bound { return bound{"≤", ratio} }

func atLeast(ratio float64) bound { return bound{"≥", ratio} }

func (b bound) allows(value, reference float64) bool {
	if b.relation == "≥" {
		return value >= b.ratio*reference
	}
	return value <= b.ratio*reference
}

// ratioGoal limits a metric to a multiple of the same metric of a reference. The goal is met if every round meets it, and not met
// if no round does. Otherwise it is inconclusive, because the machine may be the cause. It is inconclusive too if a value is not
// positive: an added latency is a difference that can be negative, and then there is no ratio.
func (r *results) ratioGoal(title string, m metric, name string, limit bound, reference string) goal {
	values, referenceValues := r.values(name, m), r.values(reference, m)
	g := goal{title: title, target: fmt.Sprintf("%s %.4g × %s", limit.relation, limit.ratio, reference), measured: len(values) > 0 && len(referenceValues) > 0}
	if !g.measured {
		return g
	}
	ranges := minMax(values, m) + " vs. " + minMax(referenceValues, m)
	if !positive(values) || !positive(referenceValues) {
		g.actual, g.inconclusive = ranges, true
		return g
	}
	rounds, metRounds := min(len(values), len(referenceValues)), 0
	for i := range rounds {
		if limit.allows(values[i], referenceValues[i]) {
			metRounds++
		}
	}
	g.actual, g.met = fmt.Sprintf("%.3g ×", stats.Ratio(values, referenceValues)), metRounds == rounds
	if g.inconclusive = 0 < metRounds && metRounds < rounds; g.inconclusive {
		g.actual += " (" + ranges + ")"
	}
	return g
}

// minMax formats the minimum and the maximum. It uses "to", because a dash could be read as a minus sign.
func minMax(values []float64, m metric) string {
	return fmt.Sprintf("%.*f to %.*f", m.digits, stats.Percentile(values, 0), m.digits, stats.Percentile(values, 100))
}

// limitGoal limits the median of a metric.
func (r *results) limitGoal(title string, m metric, name string, limit float64, unit string) goal {
	median := stats.Median(r.values(name, m))
	return goal{
		title: title, target: fmt.Sprintf("≤ %.4g %s", limit, unit), actual: fmt.Sprintf("%.1f %s", median, unit),
		measured: !math.IsNaN(median), met: median <= limit,
	}
}

// refreshGoal compares the slowest request during refreshes with the slowest between them. One of tens of thousands of requests
// decides it, so it means nothing if the machine stalled. That is why the result contains percentiles too.
func (r *results) refreshGoal(limit float64) goal {
	g := goal{title: "slowest request across ten refreshes", target: fmt.Sprintf("≤ %.4g × the slowest between refreshes", limit)}
	for _, result := range r.refreshRuns(proxies.BrokerName, slowLogin) {
		during, outside := result.During, result.Outside
		if during.Requests == 0 || outside.Requests == 0 {
			return g
		}
		ratio := during.Max / outside.Max
		g.measured, g.met = true, ratio <= limit && result.Failed == 0
		g.actual = fmt.Sprintf("%.2f × (%.1f ms vs. %.1f ms, %d refreshes; p99 %.1f vs. %.1f, p99.9 %.1f vs. %.1f)",
			ratio, during.Max, outside.Max, result.Refreshes, during.P99, outside.P99, during.P999, outside.P999)
	}
	return g
}

// outageGoal compares the requests during the fetch that an outage of the login server delays with the others: their p99 may be
// ratio times as long, and their slowest may take slower milliseconds more. It also allows no failed request, and limits the token
// requests. Every run has to meet it.
func (r *results) outageGoal(tokenRequests int, ratio, slower float64) goal {
	g := goal{
		title: "requests during an outage of the login server", met: true,
		target: fmt.Sprintf("each run: 0 failed, ≤ %d token requests, p99 ≤ %.4g × and slowest ≤ %.0f ms above that outside it", tokenRequests, ratio, slower),
	}
	var runs []string
	for _, result := range r.refreshRuns(proxies.BrokerName, outage) {
		during, outside := result.During, result.Outside
		if during.Requests == 0 || outside.Requests == 0 {
			return g
		}
		g.met = g.met && result.Failed == 0 && result.TokenRequests <= tokenRequests &&
			during.P99 <= ratio*outside.P99 && during.Max <= outside.Max+slower
		runs = append(runs, fmt.Sprintf("%d failed, %d token requests, p99 %.2f ×, slowest %+.1f ms",
			result.Failed, result.TokenRequests, during.P99/outside.P99, during.Max-outside.Max))
	}
	g.measured, g.actual = len(runs) > 0, strings.Join(runs, "; ")
	return g
}

// refreshRuns returns the runs of a scenario for a proxy.
func (r *results) refreshRuns(name, scenario string) []refreshResult {
	var runs []refreshResult
	for _, result := range r.Refreshes {
		if result.Name == name && result.Scenario == scenario {
			runs = append(runs, result)
		}
	}
	return runs
}
