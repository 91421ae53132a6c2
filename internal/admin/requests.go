package admin

import (
	"math"
	"time"

	"etrusted-broker/internal/stats"
)

// Requests has the counts of completed requests.
type Requests struct {
	LastMinute      Window `json:"last_minute"`
	LastFiveMinutes Window `json:"last_five_minutes"`
	Total           Window `json:"total"` // since the start
}

// Window has the counts of a period that ends now.
type Window struct {
	// SpanSeconds is the exact length of the period: shorter after a start, or some seconds longer.
	SpanSeconds float64 `json:"span_seconds"`
	PerSecond   float64 `json:"per_second"`
	// All is the sum of the five after it.
	All         uint64 `json:"all"`
	Success     uint64 `json:"success"`
	Redirect    uint64 `json:"redirect"`
	ClientError uint64 `json:"client_error"`
	ServerError uint64 `json:"server_error"`
	// ClientClosed counts requests whose client disconnected before the response.
	ClientClosed uint64 `json:"client_closed"`
	// Local counts those of All that the broker answered, not the API.
	Local uint64 `json:"local"`
	// APISeconds is the API's average response time; 0 if no request was sent to it.
	APISeconds float64 `json:"api_seconds"`
}

func requestsOf(account stats.Account, uptime time.Duration) Requests {
	return Requests{
		windowOf(account.LastMinute.Counts, account.LastMinute.Span),
		windowOf(account.LastFiveMinutes.Counts, account.LastFiveMinutes.Span),
		windowOf(account.Total, uptime),
	}
}

// sumOf returns the sums of all accounts, without their token requests.
func sumOf(traffic stats.Snapshot) stats.Account {
	all := stats.Account{Replays: map[string]uint64{}}
	for _, account := range traffic.Accounts {
		all.Total = all.Total.Plus(account.Total)
		all.LastMinute = all.LastMinute.Plus(account.LastMinute)
		all.LastFiveMinutes = all.LastFiveMinutes.Plus(account.LastFiveMinutes)
		for outcome, count := range account.Replays {
			all.Replays[outcome] += count
		}
	}
	return all
}

func windowOf(counts stats.Counts, span time.Duration) Window {
	return Window{
		SpanSeconds:  ratio(span.Seconds(), 1, 3),
		PerSecond:    ratio(float64(counts.All()), span.Seconds(), 3),
		All:          counts.All(),
		Success:      counts[stats.Success],
		Redirect:     counts[stats.Redirect],
		ClientError:  counts[stats.ClientError],
		ServerError:  counts[stats.ServerError],
		ClientClosed: counts[stats.ClientClosed],
		Local:        counts[stats.Local],
		APISeconds:   ratio(float64(counts[stats.UpstreamNanoseconds])/1e9, float64(counts[stats.UpstreamRequests]), 6),
	}
}

// ratio returns the ratio with so many decimal places, because more would be noise; 0 if to is 0.
func ratio(of, to float64, digits int) float64 {
	if to <= 0 {
		return 0
	}
	unit := math.Pow10(digits)
	return math.Round(of/to*unit) / unit
}
