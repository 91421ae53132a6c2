package admin

import (
	_ "embed" // for the page

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
	iconSVG string
)

// pageFiles are the status page and what it loads, all of them static: page.js fills it from /status.json. The page links to
// the troubleshooting guide, which a host without access to the internet needs most.
var pageFiles = map[string]struct{ contentType, content string }{
	"/{$}":                {"text/html; charset=utf-8", pageHTML},
	"/page.css":           {"text/css; charset=utf-8", pageCSS},
	"/page.js":            {"text/javascript; charset=utf-8", pageJS},
	"/icon.svg":           {"image/svg+xml", iconSVG},
	"/troubleshooting.md": {plainText, docs.Troubleshooting},
}

const plainText = "text/plain; charset=utf-8"
