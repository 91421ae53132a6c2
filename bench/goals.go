package main

import (
	"fmt"
	"math"

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
	const keepAlive, newConnections = "CPU per request, 64 keep-alive connections", "CPU per request, without keep-alive"
	broker := proxies.BrokerName
	return []goal{
		r.ratioGoal(keepAlive, keepAliveCPU, broker, 1.75, proxies.NginxName),
		r.ratioGoal(keepAlive, keepAliveCPU, broker, 0.45, proxies.CaddyName),
		r.ratioGoal(keepAlive, keepAliveCPU, broker, 0.35, proxies.SkipperName),
		r.ratioGoal(keepAlive, keepAliveCPU, broker, 0.1, proxies.NaiveName),
		r.ratioGoal("the same with link rewriting", keepAliveCPU, proxies.LinksName, 1.15, broker),
		r.ratioGoal(newConnections, newConnectionCPU, broker, 1.75, proxies.NginxName),
		r.ratioGoal(newConnections, newConnectionCPU, broker, 0.65, proxies.CaddyName),
		r.ratioGoal(fmt.Sprintf("added p99 at %d requests per second", r.Sizes.Rate), addedP99, broker, 1.5, proxies.HAProxyName),
		r.refreshGoal(1.5),
		r.outageGoal(15),
		r.limitGoal("resident memory, idle", idleResident, proxies.SystemCAsName, 14, "MB"),
		r.limitGoal("resident memory, under load from 64 connections", loadedResident, proxies.SystemCAsName, 24, "MB"),
		r.limitGoal("resident memory, 1,000 idle connections", connectedResident, proxies.SystemCAsName, 36, "MB"),
		r.limitGoal("start to the first 200", startupTime, proxies.SystemCAsName, 25, "ms"),
		r.limitGoal("binary, stripped", binarySize, broker, 15, "MB"),
	}
}

// ratioGoal limits a metric to a multiple of the same metric of a reference. The goal is met if every round meets it, and not met
// if no round does. Otherwise it is inconclusive, because the machine may be the cause. It is inconclusive too if a value is not
// positive: an added latency is a difference that can be negative, and then there is no ratio.
func (r *results) ratioGoal(title string, m metric, name string, limit float64, reference string) goal {
	values, referenceValues := r.values(name, m), r.values(reference, m)
	g := goal{title: title, target: fmt.Sprintf("≤ %.4g × %s", limit, reference), measured: len(values) > 0 && len(referenceValues) > 0}
	if !g.measured {
		return g
	}
	ranges := fmt.Sprintf("%s vs. %s µs", minMax(values, m), minMax(referenceValues, m))
	if !positive(values) || !positive(referenceValues) {
		g.actual, g.inconclusive = ranges, true
		return g
	}
	rounds, metRounds := min(len(values), len(referenceValues)), 0
	for i := range rounds {
		if values[i] <= limit*referenceValues[i] {
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
	if result, ok := r.findRefresh(proxies.BrokerName, slowLogin); ok && result.During.Requests > 0 && result.Outside.Requests > 0 {
		during, outside := result.During, result.Outside
		ratio := during.Max / outside.Max
		g.measured, g.met = true, ratio <= limit && result.Failed == 0
		g.actual = fmt.Sprintf("%.2f × (%.1f ms vs. %.1f ms, %d refreshes; p99 %.1f vs. %.1f, p99.9 %.1f vs. %.1f)",
			ratio, during.Max, outside.Max, result.Refreshes, during.P99, outside.P99, during.P999, outside.P999)
	}
	return g
}

// outageGoal allows no failed request while the login server fails, and limits the token requests.
func (r *results) outageGoal(limit int) goal {
	g := goal{title: "failed requests in an outage of the login server", target: fmt.Sprintf("0, and ≤ %d token requests", limit)}
	if result, ok := r.findRefresh(proxies.BrokerName, outage); ok {
		g.measured, g.met = true, result.Failed == 0 && result.TokenRequests <= limit
		g.actual = fmt.Sprintf("%d, and %d token requests", result.Failed, result.TokenRequests)
	}
	return g
}

func (r *results) findRefresh(name, scenario string) (refreshResult, bool) {
	for _, result := range r.Refreshes {
		if result.Name == name && result.Scenario == scenario {
			return result, true
		}
	}
	return refreshResult{}, false
}
