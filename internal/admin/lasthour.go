package admin

import (
	"fmt"
	"strings"
	"time"

	"etrusted-broker/internal/stats"
	"etrusted-broker/tokensource"
)

// Minute is how the token requests went that ended in one minute. Counts of 0 are absent: most are, and there are many.
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

// failed counts the requests that gave no token.
func failed(minute stats.Minute) uint64 {
	var all uint64
	for i, count := range minute.Outcomes {
		if tokensource.Outcomes[i] != tokensource.OutcomeSuccess {
			all += count
		}
	}
	return all
}

// The picture of the last hour: sixty minutes from left to right, in each a bar that stands on the line for requests that
// succeeded, and one that hangs below it for those that failed. So it can be read without its colours.
const (
	minuteWidth = 4 // of 60, in units of the picture
	barWidth    = 3
	lineAt      = 20 // of 40
	barHeight   = 11 // for the first request
	barExtra    = 7  // for all that came after it
)

// hourBars returns the two shapes, as the d of an SVG path. They are made here and nowhere else: the page's script only puts
// them in their place.
func hourBars(minutes []stats.Minute, now time.Time) (stands, hangs string) {
	var up, down strings.Builder
	for _, minute := range minutes {
		age := int(now.Round(0).Truncate(time.Minute).Sub(minute.Start) / time.Minute)
		if age < 0 || age > 59 {
			continue
		}
		x := (59 - age) * minuteWidth
		bar(&up, x, minute.Outcomes[0], -1) // tokensource.Success is the first
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

// hourSummary is the picture's text.
func hourSummary(minutes []stats.Minute) string {
	var all, wrong uint64
	var slowest time.Duration
	for _, minute := range minutes {
		all += minute.Outcomes[0] + failed(minute)
		wrong += failed(minute)
		slowest = max(slowest, minute.Slowest)
	}
	switch {
	case all == 0:
		return "No token request in the last hour."
	case wrong == 0:
		return fmt.Sprintf("%s in the last hour, none failed; the slowest took %s.", plural(all, "token request"), humanize(slowest))
	default:
		return fmt.Sprintf("%s in the last hour, %d failed; the slowest took %s.", plural(all, "token request"), wrong, humanize(slowest))
	}
}
