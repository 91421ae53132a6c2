// Package admin serves health, readiness, status and metrics to operators. It has its own listener, so that it hides no path
// of the API. It is read-only and shows no secrets.
package admin

import (
	"fmt"
	"net/http"
	"time"

	"etrusted-broker/internal/stats"
	"etrusted-broker/tokensource"
)

// Config configures the handler. All fields are required unless they say otherwise.
type Config struct {
	Version, Revision string
	Started           time.Time
	// Tokens returns a snapshot of each account's source.
	Tokens func() []tokensource.Snapshot
	// Traffic returns the recent counts, and InFlight the number of requests in progress.
	Traffic  func() stats.Snapshot
	InFlight func() int64
	// Draining reports whether the broker is shutting down.
	Draining func() bool
	// StoreProblem returns why the token store is not used; empty while it is. It is nil if the token is not shared.
	StoreProblem func() string
	// Settings lists the effective configuration, with secrets masked.
	Settings []Setting
	Metrics  http.Handler
}

// Setting is a variable of the configuration, safe to show.
type Setting struct {
	Name    string `json:"name"`
	Value   string `json:"value"`  // effective value; of a secret, only that it is set
	Source  string `json:"source"` // where the value comes from: environment, default, another variable's name, or "-"
	Meaning string `json:"meaning"`
}

// Handler returns the handler of the admin listener.
func Handler(config Config) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		writePage(w, config.status(time.Now()))
	})
	for path, file := range pageFiles {
		mux.Handle("GET "+path, file)
	}
	mux.HandleFunc("GET /status.json", func(w http.ResponseWriter, _ *http.Request) {
		writeStatus(w, config.status(time.Now()))
	})
	mux.Handle("GET /metrics", config.Metrics)
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		writeText(w, http.StatusOK, "ok: the broker is running")
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if reason := notReadyReason(config.Draining(), config.Tokens()); reason != "" {
			writeText(w, http.StatusServiceUnavailable, "not ready: "+reason)
			return
		}
		writeText(w, http.StatusOK, "ok: there is a valid token")
	})
	return withSecurityHeaders(mux)
}

// securityHeaders are set on every response. If a text from a peer ever reached the page as HTML, it could neither run nor load
// anything. Other pages can neither frame, open nor embed the page.
var securityHeaders = map[string]string{
	"Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
		"base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
	"X-Frame-Options":              "DENY",
	"X-Content-Type-Options":       "nosniff",
	"Referrer-Policy":              "no-referrer",
	"Cross-Origin-Opener-Policy":   "same-origin",
	"Cross-Origin-Resource-Policy": "same-origin",
	"Cache-Control":                "no-store",
}

func withSecurityHeaders(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for name, value := range securityHeaders {
			w.Header().Set(name, value)
		}
		next.ServeHTTP(w, r)
	})
}

func writeText(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = fmt.Fprintln(w, text) // the client may have disconnected
}
