package admin

import (
	"fmt"
	"strings"
	"time"

	"etrusted-broker/internal/stats"
	"etrusted-broker/tokensource"
)

// Display has the texts and icon names that the page shows for a Status. The page's script inserts them unchanged. They may
// change at any time.
type Display struct {
	Title          string `json:"title"`
	Symbol         string `json:"symbol"`
	Cause          string `json:"cause"`
	Uptime         string `json:"uptime"`
	APITime        string `json:"api_time"`        // of the last minute
	Store          string `json:"store"`           // empty without a store
	NeedsAttention string `json:"needs_attention"` // headings of the two groups of accounts
	Healthy        string `json:"healthy"`
}

func (s Status) display() Display {
	needAttention := 0
	for _, account := range s.Accounts {
		if account.NeedsAttention {
			needAttention++
		}
	}
	return Display{
		Title:          strings.TrimSuffix(s.Summary, ".") + " – etrusted-broker",
		Symbol:         s.State.symbol(),
		Cause:          s.Cause.label(),
		Uptime:         humanize(seconds(s.UptimeSeconds)),
		APITime:        apiTime(s.Requests.LastMinute),
		Store:          s.TokenStore.label(),
		NeedsAttention: fmt.Sprintf("Needs attention (%d)", needAttention),
		Healthy:        fmt.Sprintf("Healthy (%d)", len(s.Accounts)-needAttention),
	}
}

func (s *TokenStoreStatus) label() string {
	switch {
	case s == nil:
		return ""
	case s.Working:
		return "in use"
	default:
		return "not in use: it " + s.Problem
	}
}

func apiTime(window Window) string {
	if window.APISeconds == 0 {
		return "no requests"
	}
	return humanize(seconds(window.APISeconds))
}

func seconds(number float64) time.Duration {
	return time.Duration(number * float64(time.Second))
}

// AccountDisplay is the same for an Account.
type AccountDisplay struct {
	State       string `json:"state"`
	Symbol      string `json:"symbol"`
	Token       string `json:"token"`
	LastRefresh string `json:"last_refresh"`
	NextRefresh string `json:"next_refresh"`
	LastErrorAt string `json:"last_error_at"`
	Credentials string `json:"credentials"`
	LastHour    string `json:"last_hour"`
	// OKBars and FailedBars are the chart of the last hour: see hourBars.
	OKBars     string `json:"ok_bars"`
	FailedBars string `json:"failed_bars"`
}

func displayOf(snapshot tokensource.Snapshot, state AccountState, minutes []stats.Minute, now time.Time) AccountDisplay {
	display := AccountDisplay{
		State:       state.label(),
		Symbol:      state.symbol(),
		Token:       tokenLabel(snapshot),
		LastRefresh: lastRefresh(snapshot, now),
		NextRefresh: nextRefresh(snapshot, now),
		Credentials: "not loaded yet",
		LastHour:    hourSummary(minutes),
	}
	if snapshot.LastFailure != nil {
		display.LastErrorAt = snapshot.LastFailureAt.UTC().Format("15:04:05 UTC") + ", " + ago(snapshot.LastFailureAt, now)
	}
	if !snapshot.LastChange.IsZero() {
		display.Credentials = "loaded " + ago(snapshot.LastChange, now)
	}
	display.OKBars, display.FailedBars = hourBars(minutes, now)
	return display
}

func tokenLabel(snapshot tokensource.Snapshot) string {
	if !snapshot.Valid {
		return "none"
	}
	return fmt.Sprintf("%s left of %s", humanize(snapshot.Remaining), humanize(snapshot.Expires.Sub(snapshot.Issued)))
}

func lastRefresh(snapshot tokensource.Snapshot, now time.Time) string {
	suffix := ", took " + humanize(snapshot.LastDuration)
	if snapshot.FromPeer {
		suffix = ", by another broker"
	}
	switch {
	case snapshot.LastFailure != nil && snapshot.LastSuccess.IsZero():
		return "failed " + ago(snapshot.LastFailureAt, now) + suffix + "; never succeeded"
	case snapshot.LastFailure != nil:
		return "failed " + ago(snapshot.LastFailureAt, now) + suffix + "; succeeded " + ago(snapshot.LastSuccess, now)
	case snapshot.LastSuccess.IsZero():
		return "none yet"
	default:
		return ago(snapshot.LastSuccess, now) + suffix
	}
}

func nextRefresh(snapshot tokensource.Snapshot, now time.Time) string {
	switch until := snapshot.NextAttempt.Sub(now); {
	case !snapshot.FetchingSince.IsZero():
		return "in progress for " + humanize(now.Sub(snapshot.FetchingSince))
	case until < time.Second:
		return "now"
	default:
		return "in " + humanize(until)
	}
}

func ago(at, now time.Time) string {
	if past := now.Sub(at); past >= time.Second {
		return humanize(past) + " ago"
	}
	return "just now"
}
