package admin

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"etrusted-broker/internal/stats"
)

// The chart of the last hour has sixty minutes from left to right, with one bar above the line for successful requests, and
// one below it for failed requests, so that it can be read without colours.
const (
	minuteWidth = 4 // one of 60, in units of the chart
	barWidth    = 3
	lineAt      = 20 // of 40
	barHeight   = 11 // for one request
	barExtra    = 7  // added for more than one
)

// lastHourBars returns the bars above and below the line, as the d attributes of two SVG paths.
func lastHourBars(minutes []stats.Minute, now time.Time) (okBars, failedBars string) {
	var up, down strings.Builder
	for _, minute := range minutes {
		age := int(now.Round(0).Truncate(time.Minute).Sub(minute.Start) / time.Minute)
		if age < 0 || age > 59 {
			continue
		}
		x := (59 - age) * minuteWidth
		writeBar(&up, x, minute.Success, -1)
		writeBar(&down, x, minute.Failed(), 1)
	}
	return up.String(), down.String()
}

func writeBar(path *strings.Builder, x int, count uint64, direction int) {
	if count == 0 {
		return
	}
	height := barHeight
	if count > 1 {
		height += barExtra
	}
	_, _ = fmt.Fprintf(path, "M%d %dh%dv%dh-%dz", x, lineAt+direction, barWidth, direction*height, barWidth)
}

// lastHourSummary describes the chart.
func lastHourSummary(minutes []stats.Minute) string {
	var all, failed uint64
	slowest := 0.0
	for _, minute := range minutes {
		all += minute.Success + minute.Failed()
		failed += minute.Failed()
		slowest = max(slowest, minute.SlowestSeconds)
	}
	if all == 0 {
		return "No token requests in the last hour."
	}
	howMany := "none"
	if failed > 0 {
		howMany = strconv.FormatUint(failed, 10)
	}
	return fmt.Sprintf("%s in the last hour, %s failed; the slowest took %s.", plural(all, "token request"), howMany, humanize(seconds(slowest)))
}
