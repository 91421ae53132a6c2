package admin

import (
	_ "embed" // for the page
	"net/http"
)

var (
	//go:embed page.css
	pageCSS []byte
	//go:embed page.js
	pageJS []byte
	//go:embed icon.svg
	icon []byte
)

// pageFiles are the files that the page loads.
var pageFiles = map[string]http.Handler{
	"/page.css": staticFile("text/css; charset=utf-8", pageCSS),
	"/page.js":  staticFile("text/javascript; charset=utf-8", pageJS),
	"/icon.svg": staticFile("image/svg+xml", icon),
}

func staticFile(contentType string, content []byte) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		_, _ = w.Write(content) // the client may have disconnected
	})
}

// How much is shown without a click: everything for a few accounts; for hundreds, only what helps to find the problems.
const (
	fewAccounts  = 3  // shown with all details; the others with one line each
	manyAccounts = 20 // more healthy accounts than this are listed only on request
)

// groups has the accounts in the order of the page: first those that need attention.
type groups struct {
	NeedsAttention, Healthy []accountEntry
	HealthyOpen             bool // the healthy accounts are listed
}

// accountEntry is an account on the page.
type accountEntry struct {
	Account
	Open bool // all details are shown
	Only bool // there is no other account: its requests and the advice are elsewhere on the page
}

func groupsOf(accounts []Account) groups {
	var sorted groups
	for _, account := range accounts {
		one := accountEntry{account, len(accounts) <= fewAccounts, len(accounts) == 1}
		if account.NeedsAttention {
			one.Open = one.Open || len(sorted.NeedsAttention) < fewAccounts
			sorted.NeedsAttention = append(sorted.NeedsAttention, one)
		} else {
			sorted.Healthy = append(sorted.Healthy, one)
		}
	}
	sorted.HealthyOpen = len(sorted.Healthy) <= manyAccounts
	return sorted
}

func writePage(w http.ResponseWriter, status Status) {
	var page document
	page.writePage(status)
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write(page.Bytes()) // the client may have disconnected
}

// reasonLabel describes a reason or outcome from the closed sets of package proxy, which this package does not import. It
// returns an unknown word unchanged.
func reasonLabel(word string) string {
	label, known := map[string]string{ //nolint:gosec // G101: labels, not credentials.
		"host":        "Host not allowed (see BROKER_ALLOWED_HOSTS)",
		"browser":     "sent by a web page",
		"method":      "method not supported",
		"upgrade":     "Upgrade header",
		"target":      "for a host other than the API",
		"path":        "ambiguous path",
		"key":         "access key missing or wrong",
		"certificate": "client certificate expired, or its CA removed",
		"rule":        "not in BROKER_ALLOW",
		"malformed":   "malformed HTTP",
		"connections": "connection closed to make room for another",

		"success":       "retried with a new token, answered",
		"unauthorized":  "retried with a new token, 401 again",
		"failed":        "retried with a new token, no response",
		"body_not_kept": "not retried: body too large (see BROKER_REPLAY_BUFFER)",
		"no_token":      "not retried: no new token in time",
	}[word]
	if !known {
		return word
	}
	return label
}
