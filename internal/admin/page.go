package admin

import (
	_ "embed" // for the page
	"net/http"

	"etrusted-broker/docs"
)

var (
	//go:embed page.html
	pageHTML string
	//go:embed page.css
	pageCSS string
	//go:embed page.js
	pageJS string
	//go:embed icon.svg
	icon string
)

// pageFiles are the status page and what it loads, all of them static: page.js fills it from /status.json. The page links to
// the troubleshooting guide, which a host without access to the internet needs most.
var pageFiles = map[string]http.Handler{
	"/{$}":                staticFile("text/html; charset=utf-8", pageHTML),
	"/page.css":           staticFile("text/css; charset=utf-8", pageCSS),
	"/page.js":            staticFile("text/javascript; charset=utf-8", pageJS),
	"/icon.svg":           staticFile("image/svg+xml", icon),
	"/troubleshooting.md": staticFile("text/plain; charset=utf-8", docs.Troubleshooting),
}

func staticFile(contentType, content string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		_, _ = w.Write([]byte(content)) // the client may have disconnected
	})
}
