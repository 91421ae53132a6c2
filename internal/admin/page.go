package admin

import (
	"bytes"
	_ "embed" // for the page
	"encoding/json"
	"fmt"
	"html"
	"net/http"
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
		one := values(page["accounts"].([]any)[i].(map[string]any))
		group.WriteString(one.fill(accountHTML, map[string]string{"requests": one.fill(requestsHTML, nil)}))
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write([]byte(page.fill(pageHTML, map[string]string{ // the client may have disconnected
		"attention": attention.String(),
		"healthy":   healthy.String(),
		"requests":  page.fill(requestsHTML, nil),
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

func settingRows(settings []Setting) string {
	var rows strings.Builder
	for _, s := range settings {
		_, _ = fmt.Fprintf(&rows, `<div><dt>%s</dt><dd><code>%s</code> <span class="source">%s</span></dd><dd class="meaning">%s</dd></div>`+"\n",
			html.EscapeString(s.Name), html.EscapeString(s.Value), html.EscapeString(s.Source), html.EscapeString(s.Meaning))
	}
	return rows.String()
}
