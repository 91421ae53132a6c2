package admin

import (
	"fmt"
	"strings"
	"time"

	"etrusted-broker/internal/stats"
	"etrusted-broker/tokensource"
)

// Display is what the page shows of a Status and is not in it yet: words, and names of pictures. The page's script takes
// them as they are, so there is one place where they are made. They are for people, and may change at any time.
type Display struct {
	Title          string `json:"title"`
	Symbol         string `json:"symbol"`
	Cause          string `json:"at_fault"`
	Uptime         string `json:"uptime"`
	APITime        string `json:"api_time"` // of the last minute
	Store          string `json:"store"`    // empty if there is none
	NeedsAttention string `json:"troubled"` // the headings of the accounts
	Healthy        string `json:"fine"`
}

func (s Status) display() Display {
	troubled := 0
	for _, account := range s.Accounts {
		if account.NeedsAttention {
			troubled++
		}
	}
	return Display{
		Title:          strings.TrimSuffix(s.Summary, ".") + " – etrusted-broker",
		Symbol:         s.State.symbol(),
		Cause:          s.Cause.label(),
		Uptime:         humanize(seconds(s.UptimeSeconds)),
		APITime:        apiTime(s.Requests.LastMinute),
		Store:          s.TokenStore.label(),
		NeedsAttention: heading(troubled, " that needs attention", " that need attention"),
		Healthy:        heading(len(s.Accounts)-troubled, " in order", " in order"),
	}
}

func (s *TokenStore) label() string {
	switch {
	case s == nil:
		return ""
	case s.Working:
		return "is used"
	default:
		return "is not used, since it " + s.Problem
	}
}

func apiTime(window Window) string {
	if window.APISeconds == 0 {
		return "not asked"
	}
	return humanize(seconds(window.APISeconds))
}

func seconds(number float64) time.Duration {
	return time.Duration(number * float64(time.Second))
}

func heading(accounts int, one, many string) string {
	if accounts == 1 {
		return "1 account" + one
	}
	return fmt.Sprintf("%d accounts%s", accounts, many)
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
	// OKBars and Hangs are the picture of the last hour: see picture.
	OKBars     string `json:"stands"`
	FailedBars string `json:"hangs"`
}

func displayOf(snapshot tokensource.Snapshot, state AccountState, minutes []stats.Minute, now time.Time) AccountDisplay {
	display := AccountDisplay{
		State:       state.label(),
		Symbol:      state.symbol(),
		Token:       tokenLabel(snapshot),
		LastRefresh: lastRefresh(snapshot, now),
		NextRefresh: nextRefresh(snapshot, now),
		Credentials: "none yet",
		LastHour:    hourSummary(minutes),
	}
	if snapshot.LastFailure != nil {
		display.LastErrorAt = snapshot.LastFailureAt.UTC().Format("15:04:05 UTC") + ", " + ago(snapshot.LastFailureAt, now)
	}
	if !snapshot.LastChange.IsZero() {
		display.Credentials = "taken into use " + ago(snapshot.LastChange, now)
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
	took := ", took " + humanize(snapshot.LastDuration)
	if snapshot.FromPeer {
		took = ", by another broker"
	}
	switch {
	case snapshot.LastFailure != nil && snapshot.LastSuccess.IsZero():
		return "failed " + ago(snapshot.LastFailureAt, now) + took + "; never succeeded"
	case snapshot.LastFailure != nil:
		return "failed " + ago(snapshot.LastFailureAt, now) + took + "; succeeded " + ago(snapshot.LastSuccess, now)
	case snapshot.LastSuccess.IsZero():
		return "none yet"
	default:
		return ago(snapshot.LastSuccess, now) + took
	}
}

func nextRefresh(snapshot tokensource.Snapshot, now time.Time) string {
	switch until := snapshot.NextAttempt.Sub(now); {
	case !snapshot.FetchingSince.IsZero():
		return "under way for " + humanize(now.Sub(snapshot.FetchingSince))
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
