package admin

import (
	_ "embed" // for the page
	"net/http"
)

// What the page loads.
var (
	//go:embed page.css
	pageCSS []byte
	//go:embed page.js
	pageJS []byte
	//go:embed icon.svg
	icon []byte
)

// pageFiles are what the page loads.
var pageFiles = map[string]http.Handler{
	"/page.css": staticFile("text/css; charset=utf-8", pageCSS),
	"/page.js":  staticFile("text/javascript; charset=utf-8", pageJS),
	"/icon.svg": staticFile("image/svg+xml", icon),
}

func staticFile(contentType string, content []byte) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		_, _ = w.Write(content) // a client that is gone needs no answer
	})
}

// How much is shown without a click: of few accounts all, so that whoever has one need not look for anything; of hundreds
// what is needed to find those in trouble.
const (
	fewAccounts  = 3  // are shown with all their facts, the others with a line each
	manyAccounts = 20 // in order: no more are listed until somebody asks for them
)

// groups has the accounts in the order in which they are read: first those that need attention.
type groups struct {
	NeedsAttention, Healthy []accountEntry
	HealthyOpen             bool // those in order are listed
}

// accountEntry is an account on the page.
type accountEntry struct {
	Account
	Open bool // all its facts are shown
	Only bool // it is the only one: its requests, and what to do, stand elsewhere on the page
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
	_, _ = w.Write(page.Bytes()) // a client that is gone needs no answer
}

// reasonLabel explains the closed sets of package proxy and its door, which this one does not know: a word that is not among
// them stands for itself.
func reasonLabel(word string) string {
	meaning, known := map[string]string{
		"host":        "Host that is not allowed (see BROKER_ALLOWED_HOSTS)",
		"browser":     "sent by a web page",
		"method":      "method that is not served",
		"upgrade":     "asked for another protocol",
		"target":      "meant for another host than the API's",
		"path":        "path that could be read in two ways",
		"key":         "access key missing or wrong",
		"certificate": "client certificate expired, or its authority removed",
		"rule":        "not in BROKER_ALLOW",
		"malformed":   "not well-formed HTTP",
		"connections": "connection closed to make room for another",

		"success":       "sent again with a new token, and answered",
		"unauthorized":  "sent again, and refused with 401 once more",
		"failed":        "sent again, and not answered",
		"body_not_kept": "not sent again: the body was too long (see BROKER_REPLAY_BUFFER)",
		"no_token":      "not sent again: there was no new token in time",
	}[word]
	if !known {
		return word
	}
	return meaning
}
