package admin

import (
	"fmt"
	"strings"
	"time"

	"etrusted-broker/internal/stats"
	"etrusted-broker/tokensource"
)

// Minute has the token requests that ended in one minute. Counts of 0 are absent, because most are 0.
type Minute struct {
	Start           time.Time `json:"start"`
	Success         uint64    `json:"success,omitempty"`
	Rejected        uint64    `json:"rejected,omitempty"`
	Unavailable     uint64    `json:"unavailable,omitempty"`
	InvalidResponse uint64    `json:"invalid_response,omitempty"`
	SlowestSeconds  float64   `json:"slowest_seconds"`
}

func lastHour(minutes []stats.Minute) []Minute {
	hour := []Minute{}
	for _, minute := range minutes {
		one := Minute{Start: minute.Start.UTC(), SlowestSeconds: minute.Slowest.Seconds()}
		for i, count := range minute.Outcomes {
			switch tokensource.Outcomes[i] {
			case tokensource.OutcomeSuccess:
				one.Success = count
			case tokensource.OutcomeRejected:
				one.Rejected = count
			case tokensource.OutcomeUnavailable:
				one.Unavailable = count
			case tokensource.OutcomeInvalidResponse:
				one.InvalidResponse = count
			}
		}
		hour = append(hour, one)
	}
	return hour
}

// failed counts the token requests without a token.
func failed(minute stats.Minute) uint64 {
	var all uint64
	for i, count := range minute.Outcomes {
		if tokensource.Outcomes[i] != tokensource.OutcomeSuccess {
			all += count
		}
	}
	return all
}

// The chart of the last hour has sixty minutes from left to right, with one bar above the line for successful requests, and
// one below it for failed requests, so that it can be read without colours.
const (
	minuteWidth = 4 // one of 60, in units of the chart
	barWidth    = 3
	lineAt      = 20 // of 40
	barHeight   = 11 // for one request
	barExtra    = 7  // added for more than one
)

// hourBars returns the bars above and below the line, as the d attributes of two SVG paths.
func hourBars(minutes []stats.Minute, now time.Time) (okBars, failedBars string) {
	var up, down strings.Builder
	for _, minute := range minutes {
		age := int(now.Round(0).Truncate(time.Minute).Sub(minute.Start) / time.Minute)
		if age < 0 || age > 59 {
			continue
		}
		x := (59 - age) * minuteWidth
		bar(&up, x, minute.Outcomes[0], -1) // tokensource.Outcomes[0] is success
		bar(&down, x, failed(minute), 1)
	}
	return up.String(), down.String()
}

func bar(path *strings.Builder, x int, count uint64, direction int) {
	if count == 0 {
		return
	}
	height := barHeight
	if count > 1 {
		height += barExtra
	}
	_, _ = fmt.Fprintf(path, "M%d %dh%dv%dh-%dz", x, lineAt+direction, barWidth, direction*height, barWidth)
}

// hourSummary describes the chart.
func hourSummary(minutes []stats.Minute) string {
	var all, unsuccessful uint64
	var slowest time.Duration
	for _, minute := range minutes {
		all += minute.Outcomes[0] + failed(minute)
		unsuccessful += failed(minute)
		slowest = max(slowest, minute.Slowest)
	}
	switch {
	case all == 0:
		return "No token requests in the last hour."
	case unsuccessful == 0:
		return fmt.Sprintf("%s in the last hour, none failed; the slowest took %s.", plural(all, "token request"), humanize(slowest))
	default:
		return fmt.Sprintf("%s in the last hour, %d failed; the slowest took %s.", plural(all, "token request"), unsuccessful, humanize(slowest))
	}
}
