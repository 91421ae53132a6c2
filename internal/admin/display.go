package admin

import (
	"fmt"
	"math"
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
	APITime        string `json:"api_time"` // of the last minute
	Store          string `json:"store"`    // empty without a store
	Started        string `json:"started"`
	Accounts       int    `json:"accounts"`        // with one, its requests and advice are only in the summary
	NeedsAttention string `json:"needs_attention"` // headings of the two groups of accounts; empty without accounts
	Healthy        string `json:"healthy"`
	HealthyOpen    bool   `json:"healthy_open"` // the healthy accounts are listed
}

// How much is shown without a click: everything for a few accounts; for hundreds, only what helps to find the problems.
const (
	maxExpandedAccounts = 3  // shown with all details; the others with one line each
	maxListedAccounts   = 20 // more healthy accounts than this are listed only on request
)

// addDisplay sets the Display of the status and of its accounts.
func (s *Status) addDisplay() {
	needAttention := 0
	for i := range s.Accounts {
		account := &s.Accounts[i]
		account.Display.Open = len(s.Accounts) <= maxExpandedAccounts || account.NeedsAttention && needAttention < maxExpandedAccounts
		if account.NeedsAttention {
			needAttention++
		}
	}
	healthy := len(s.Accounts) - needAttention
	s.Display = Display{
		Title:          strings.TrimSuffix(s.Summary, ".") + " – etrusted-broker",
		Symbol:         brokerSymbols[s.State],
		Cause:          causeLabels[s.Cause],
		Uptime:         humanize(seconds(s.UptimeSeconds)),
		APITime:        apiTime(s.Requests.LastMinute),
		Store:          s.TokenStore.label(),
		Started:        s.Started.Format(time.DateTime),
		Accounts:       len(s.Accounts),
		NeedsAttention: heading("Needs attention", needAttention),
		Healthy:        heading("Healthy", healthy),
		HealthyOpen:    healthy <= maxListedAccounts,
	}
}

// heading is the heading of a group of accounts; empty without any.
func heading(group string, accounts int) string {
	if accounts == 0 {
		return ""
	}
	return fmt.Sprintf("%s (%d)", group, accounts)
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
	return time.Duration(math.Round(number * float64(time.Second)))
}

// AccountDisplay is the same for an Account.
type AccountDisplay struct {
	State       string `json:"state"`
	Symbol      string `json:"symbol"`
	Open        bool   `json:"open"` // all details are shown
	Token       string `json:"token"`
	Bar         string `json:"bar"` // what the bar of the token's lifetime shows
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
		State:       accountStateDisplay[state].label,
		Symbol:      accountStateDisplay[state].symbol,
		Token:       tokenLabel(snapshot),
		Bar:         "Remaining token lifetime of " + snapshot.Account,
		LastRefresh: lastRefresh(snapshot, now),
		NextRefresh: nextRefresh(snapshot, now),
		Credentials: "not loaded yet",
		LastHour:    lastHourSummary(minutes),
	}
	if snapshot.LastFailure != nil {
		display.LastErrorAt = snapshot.LastFailureAt.UTC().Format("15:04:05 UTC") + ", " + ago(snapshot.LastFailureAt, now)
	}
	if !snapshot.LastChange.IsZero() {
		display.Credentials = "loaded " + ago(snapshot.LastChange, now)
	}
	display.OKBars, display.FailedBars = lastHourBars(minutes, now)
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
