package admin

import (
	"bytes"
	"cmp"
	_ "embed" // for the page
	"encoding/json"
	"fmt"
	"html"
	"maps"
	"net/http"
	"slices"
	"strings"
)

var (
	//go:embed page.html
	pageHTML string
	//go:embed account.html
	accountHTML string
	//go:embed requests.html
	requestsHTML string

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

// writePage writes the complete page, so that it needs no script.
func writePage(w http.ResponseWriter, status Status) {
	page := valuesOf(status)
	var attention, healthy strings.Builder
	for i, account := range status.Accounts {
		group := &healthy
		if account.NeedsAttention {
			group = &attention
		}
		group.WriteString(page.account(i))
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write([]byte(page.fill(pageHTML, map[string]string{ // the client may have disconnected
		"attention": attention.String(),
		"healthy":   healthy.String(),
		"requests":  page.fill(requestsHTML, nil),
		"denied":    countRows("denied", status.Denied),
		"replays":   countRows("replays", status.Replays),
		"settings":  settingRows(status.Configuration),
	})))
}

// valuesOf returns the values of /status.json.
func valuesOf(status Status) values {
	encoded, err := json.Marshal(status)
	if err != nil {
		panic(err) // impossible: it has neither channels nor infinite numbers
	}
	decoder := json.NewDecoder(bytes.NewReader(encoded))
	decoder.UseNumber() // which the script shows as they are, too
	var all values
	if err := decoder.Decode(&all); err != nil {
		panic(err) // encoded by this function
	}
	return all
}

// account returns the HTML of an account.
func (v values) account(index int) string {
	account := values(v["accounts"].([]any)[index].(map[string]any))
	return account.fill(accountHTML, map[string]string{"requests": account.fill(requestsHTML, nil)})
}

// countRows returns the rows of a table of counts. Those that are 0 are hidden. name is the name of the counts in /status.json.
func countRows(name string, counts map[string]uint64) string {
	var rows strings.Builder
	for _, key := range slices.Sorted(maps.Keys(counts)) {
		hidden := ""
		if counts[key] == 0 {
			hidden = " hidden"
		}
		path := name + "." + html.EscapeString(key)
		_, _ = fmt.Fprintf(&rows, `<tr data-show="%s"%s><th scope="row">%s</th><td data-text="%s">%d</td></tr>`+"\n",
			path, hidden, html.EscapeString(reasonLabel(key)), path, counts[key])
	}
	return rows.String()
}

func settingRows(settings []Setting) string {
	var rows strings.Builder
	for _, s := range settings {
		_, _ = fmt.Fprintf(&rows, `<div><dt>%s</dt><dd><code>%s</code> <span class="source">%s</span></dd><dd class="meaning">%s</dd></div>`+"\n",
			html.EscapeString(s.Name), html.EscapeString(s.Value), html.EscapeString(s.Source), html.EscapeString(s.Meaning))
	}
	return rows.String()
}

// reasonLabel describes a reason or outcome from the closed sets of package proxy, which this package does not import. It
// returns an unknown word unchanged.
func reasonLabel(word string) string {
	return cmp.Or(map[string]string{ //nolint:gosec // G101: labels, not credentials.
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
	}[word], word)
}
