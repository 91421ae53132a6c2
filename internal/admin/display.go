package admin

import (
	"fmt"
	"strings"
	"time"

	"etrusted-broker/internal/tally"
	"etrusted-broker/tokensource"
)

// Display is what the page shows of a Status and is not in it yet: words, and names of pictures. The page's script takes
// them as they are, so there is one place where they are made. They are for people, and may change at any time.
type Display struct {
	Title    string `json:"title"`
	Symbol   string `json:"symbol"`
	AtFault  string `json:"at_fault"`
	Uptime   string `json:"uptime"`
	APITime  string `json:"api_time"` // of the last minute
	Store    string `json:"store"`    // empty if there is none
	Troubled string `json:"troubled"` // the headings of the accounts
	Fine     string `json:"fine"`
}

func (s Status) display() Display {
	troubled := 0
	for _, account := range s.Accounts {
		if account.Troubled {
			troubled++
		}
	}
	return Display{
		Title:    strings.TrimSuffix(s.Summary, ".") + " – etrusted-broker",
		Symbol:   s.State.symbol(),
		AtFault:  s.AtFault.words(),
		Uptime:   spell(seconds(s.UptimeSeconds)),
		APITime:  apiTime(s.Requests.LastMinute),
		Store:    s.TokenStore.words(),
		Troubled: heading(troubled, " that needs attention", " that need attention"),
		Fine:     heading(len(s.Accounts)-troubled, " in order", " in order"),
	}
}

func (s *TokenStore) words() string {
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
	return spell(seconds(window.APISeconds))
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
	// Stands and Hangs are the picture of the last hour: see picture.
	Stands string `json:"stands"`
	Hangs  string `json:"hangs"`
}

func displayOf(snapshot tokensource.Snapshot, state State, minutes []tally.Minute, now time.Time) AccountDisplay {
	display := AccountDisplay{
		State:       state.word(),
		Symbol:      state.symbol(),
		Token:       tokenInWords(snapshot),
		LastRefresh: lastRefresh(snapshot, now),
		NextRefresh: nextRefresh(snapshot, now),
		Credentials: "none yet",
		LastHour:    hourInWords(minutes),
	}
	if snapshot.LastFailure != nil {
		display.LastErrorAt = snapshot.LastFailureAt.UTC().Format("15:04:05 UTC") + ", " + ago(snapshot.LastFailureAt, now)
	}
	if !snapshot.LastChange.IsZero() {
		display.Credentials = "taken into use " + ago(snapshot.LastChange, now)
	}
	display.Stands, display.Hangs = picture(minutes, now)
	return display
}

func tokenInWords(snapshot tokensource.Snapshot) string {
	if !snapshot.Valid {
		return "none"
	}
	return fmt.Sprintf("%s left of %s", spell(snapshot.Remaining), spell(snapshot.Expires.Sub(snapshot.Issued)))
}

func lastRefresh(snapshot tokensource.Snapshot, now time.Time) string {
	took := ", took " + spell(snapshot.LastDuration)
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
		return "under way for " + spell(now.Sub(snapshot.FetchingSince))
	case until < time.Second:
		return "now"
	default:
		return "in " + spell(until)
	}
}

func ago(at, now time.Time) string {
	if past := now.Sub(at); past >= time.Second {
		return spell(past) + " ago"
	}
	return "just now"
}
