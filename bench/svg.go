package main

import (
	"fmt"
	"html"
	"strings"

	"etrusted-broker/bench/proxies"
	"etrusted-broker/bench/stats"
)

// The dimensions of the image, in its own units.
const (
	svgWidth    = 760
	labelWidth  = 170
	barWidth    = 400 // of the longest bar
	rowHeight   = 26
	barHeight   = 16
	titleHeight = 46
)

// svgHeader has two sets of colours, because GitHub shows images on a light or a dark background.
const svgHeader = `<svg xmlns="http://www.w3.org/2000/svg" width="%[1]d" height="%[2]d" viewBox="0 0 %[1]d %[2]d" role="img" aria-label="CPU time per request of the broker and its alternatives">
<style>
text { font: 13px system-ui, sans-serif; fill: #24292f }
.title { font-weight: 600 }
.bar { fill: #8c959f }
.ours { fill: #0969da }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 }
.bar { fill: #6e7681 }
.ours { fill: #4493f8 }
}
</style>
`

// svg draws two bar charts of the CPU time per request, with keep-alive connections and without, as an SVG image.
func (r *results) svg() string {
	var b strings.Builder
	y := 0
	for _, chart := range []struct {
		title  string
		metric metric
	}{
		{fmt.Sprintf("CPU time of the proxy per request, µs: %d keep-alive connections", keepAliveConnections), keepAliveCPU},
		{"CPU time of the proxy per request, µs: one connection per request", newConnectionCPU},
	} {
		y = r.drawChart(&b, y, chart.title, chart.metric)
	}
	return fmt.Sprintf(svgHeader, svgWidth, y+10) + b.String() + "</svg>\n"
}

// drawChart draws the chart of a metric at y, and returns the y of its lower end.
func (r *results) drawChart(b *strings.Builder, y int, title string, m metric) int {
	longest := 0.0
	for _, row := range r.Rows {
		if values := r.values(row.Name, m); len(values) > 0 {
			longest = max(longest, stats.Median(values))
		}
	}
	fmt.Fprintf(b, "<text class=\"title\" x=\"10\" y=\"%d\">%s</text>\n", y+28, html.EscapeString(title))
	y += titleHeight
	for _, row := range r.Rows {
		values := r.values(row.Name, m)
		if len(values) == 0 {
			continue
		}
		median := stats.Median(values)
		class := "bar"
		note := fmt.Sprintf("%.0f", median)
		switch row.Name {
		case proxies.BrokerName:
			class = "bar ours"
		case proxies.LinksName, proxies.HTTP2Name:
			class = "bar ours"
			fallthrough
		default:
			if ratio := stats.Ratio(values, r.values(proxies.BrokerName, m)); ratio > 0 {
				note += fmt.Sprintf("  (%.2f ×)", ratio)
			}
		}
		width := max(1, int(barWidth*median/longest))
		fmt.Fprintf(b, "<text x=\"%d\" y=\"%d\" text-anchor=\"end\">%s</text>\n", labelWidth, y+barHeight-3, html.EscapeString(row.Name))
		fmt.Fprintf(b, "<rect class=\"%s\" x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\"/>\n", class, labelWidth+10, y, width, barHeight)
		fmt.Fprintf(b, "<text x=\"%d\" y=\"%d\">%s</text>\n", labelWidth+18+width, y+barHeight-3, note)
		y += rowHeight
	}
	return y
}
