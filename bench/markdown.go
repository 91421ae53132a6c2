package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"etrusted-broker/bench/contender"
	"etrusted-broker/bench/stats"
)

// markdown is RESULTS.md.
func (r *results) markdown() string {
	var b strings.Builder
	line := func(format string, values ...any) { fmt.Fprintf(&b, format+"\n", values...) }
	line("# What the broker costs, measured\n")
	line("Written by the bench itself ([README.md](README.md) says how to run it and what the figures are). Do not edit.\n")
	line("%s, %d rounds in %v, each with the contenders in another order. %s\n",
		r.Began.UTC().Format("2 January 2006"), r.Rounds, r.Lasted.Round(time.Second), r.Machine.sentence())
	for _, doubt := range r.doubts() {
		line("**%s**\n", doubt)
	}
	line("A cell is the median of the rounds, the least and the most in parentheses, and how many times the broker's that is: the")
	line("median of the rounds' own ratios. MB are millions of bytes.\n")
	for _, s := range r.Skipped {
		line("**SKIPPED: %s: %s**\n", s.Name, strings.ReplaceAll(s.Why, "\n", "; "))
	}
	line("![CPU per request](results.svg)\n")

	line("## The bars\n")
	line("| measure | bar | the broker | |\n|---|---|---|---|")
	for _, bar := range r.bars() {
		actual := bar.actual
		if !bar.known {
			actual = "–"
		}
		line("| %s | %s | %s | %s |", bar.what, bar.want, actual, bar.verdict())
	}

	line("\n## 1 kB of JSON, %d connections kept alive\n", keptConnections)
	r.table(&b, keptCPU, keptRate)
	line("\n## 1 kB of JSON, a connection for each request\n")
	r.table(&b, freshCPU, freshRate)
	line("\n## What an app waits more than without, at %d requests a second\n", r.Sizes.Rate)
	r.table(&b, latencyMeasures[0].added, latencyMeasures[1].added, latencyMeasures[2].added)
	if direct := r.of(directName, latencyMeasures[0].measure); len(direct) > 0 {
		line("\nWithout, it waits %s µs (p50), %s µs (p99), %s µs (p99.9).", r.spread(directName, latencyMeasures[0].measure),
			r.spread(directName, latencyMeasures[1].measure), r.spread(directName, latencyMeasures[2].measure))
	}
	line("\n## Large bodies\n")
	r.table(&b, downloadCPU, downloadRate, uploadCPU, uploadRate)
	line("\n## Resident memory in MB, start and size\n")
	r.table(&b, residentIdle, keptResident, residentMany, startToAnswer, binarySize)
	r.refreshTable(&b)
	if len(r.Failures) > 0 {
		line("\n## Requests that failed\n")
		for _, failure := range r.Failures {
			line("- %s", failure)
		}
	}
	line("\n## What was compared\n")
	for _, row := range r.Rows {
		version := ""
		if row.Version != "" {
			version = " (" + row.Version + ")"
		}
		line("- %s%s: %s", row.Name, version, row.Note)
	}
	return b.String()
}

// fewestRounds are those of which a median is worth something.
const fewestRounds = 5

// doubts are reasons not to believe the figures.
func (r *results) doubts() []string {
	var doubts []string
	if r.Quick {
		doubts = append(doubts, "This was a smoke run. Its figures prove nothing.")
	}
	if r.Rounds < fewestRounds {
		doubts = append(doubts, fmt.Sprintf("Fewer than %d rounds: these figures are provisional.", fewestRounds))
	}
	if r.Machine.Load > 0.5 {
		doubts = append(doubts, "The machine was busy with something else when the run began: these figures are provisional.")
	}
	return doubts
}

// table has a row for each contender for which one of the measures is known.
func (r *results) table(b *strings.Builder, measures ...measure) {
	b.WriteString("| |")
	for _, m := range measures {
		fmt.Fprintf(b, " %s |", m.title)
	}
	b.WriteString("\n|---|" + strings.Repeat("---|", len(measures)) + "\n")
	for _, row := range r.Rows {
		cells, known := "", false
		for _, m := range measures {
			cell := r.cell(row.Name, m)
			known = known || cell != unknown
			cells += " " + cell + " |"
		}
		if known {
			fmt.Fprintf(b, "| %s |%s\n", row.Name, cells)
		}
	}
}

// unknown stands where nothing was measured.
const unknown = "–"

// cell is a median, its range, and its ratio to the broker.
func (r *results) cell(name string, m measure) string {
	text := r.spread(name, m)
	values, ours := r.of(name, m), r.of(contender.BrokerName, m)
	if name == contender.BrokerName || !positive(values) || !positive(ours) {
		return text
	}
	return text + " · " + strconv.FormatFloat(stats.Ratio(values, ours), 'f', 2, 64) + " ×"
}

// positive reports whether values have ratios that mean something: a difference within the noise may be less than nothing.
func positive(values []float64) bool {
	return len(values) > 0 && !slices.ContainsFunc(values, func(v float64) bool { return v <= 0 })
}

// spread is a median with the least and the most, if these are not the same.
func (r *results) spread(name string, m measure) string {
	values := r.of(name, m)
	if len(values) == 0 {
		return unknown
	}
	number := func(f float64) string { return strconv.FormatFloat(f, 'f', m.digits, 64) }
	least, median, most := number(stats.Percentile(values, 0)), number(stats.Median(values)), number(stats.Percentile(values, 100))
	if least == most {
		return "**" + median + "**"
	}
	return fmt.Sprintf("**%s** (%s–%s)", median, least, most)
}

// refreshTable tells what an app sees while tokens are fetched.
func (r *results) refreshTable(b *strings.Builder) {
	if len(r.Refreshes) == 0 {
		return
	}
	fmt.Fprintf(b, "\n## Refreshes, at %d requests a second\n\n", r.Sizes.Refresh.Rate)
	fmt.Fprintf(b, "Measured once, not in rounds. Who has no answer after %v has failed. Where there are fewer requests than that rate\n"+
		"makes, so many were waiting that no more could be sent.\n\n", r.Sizes.Refresh.Timeout)
	b.WriteString("| | | requests | failed | p50, ms | p99, ms | p99.9, ms | slowest, ms | while a token was fetched: p99, p99.9, slowest | else: p99, p99.9, slowest | token requests |\n")
	b.WriteString("|---|---|---|---|---|---|---|---|---|---|---|\n")
	for _, f := range r.Refreshes {
		fmt.Fprintf(b, "| %s | %s | %d | %d | %.1f | %.1f | %.1f | %.1f | %s | %s | %d |\n", f.Title, f.Name, f.Requests, f.Failed,
			f.P50, f.P99, f.P999, f.Max, f.During, f.Else, f.TokenRequests)
	}
}

func (p part) String() string {
	if p.Requests == 0 {
		return unknown
	}
	return fmt.Sprintf("%.1f, %.1f, %.1f", p.P99, p.P999, p.Slowest)
}
