// Package admin serves the operator: health, readiness, status and metrics, on a listener apart from the app's, so
// that no path of the API is shadowed. It shows no secret, and changes nothing.
package admin

import (
	"fmt"
	"net/http"
	"time"

	"etrusted-broker/internal/stats"
	"etrusted-broker/tokensource"
)

// Config tells what is served. All fields are required.
type Config struct {
	Version, Revision string
	Started           time.Time
	// Tokens returns a snapshot of each account's source.
	Tokens func() []tokensource.Snapshot
	// Traffic returns what was counted of late, and InFlight the number of requests that are being served.
	Traffic  func() stats.Snapshot
	InFlight func() int64
	// Draining reports whether the broker is shutting down.
	Draining func() bool
	// StoreProblem says why the token store is not used; empty while it is. It is nil if the token is not shared.
	StoreProblem func() string
	// Settings are the configuration in effect, with secrets masked.
	Settings []Setting
	Metrics  http.Handler
}

// Setting is one variable of the configuration, as it may be shown.
type Setting struct {
	Name    string `json:"name"`
	Value   string `json:"value"`  // in effect; of a secret, that it is set
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
		writeText(w, http.StatusOK, "ok: the broker serves")
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if reason := config.notReady(); reason != "" {
			writeText(w, http.StatusServiceUnavailable, "not ready: "+reason)
			return
		}
		writeText(w, http.StatusOK, "ok: there is a valid token")
	})
	return withSecurityHeaders(mux)
}

// securityHeaders is what every answer tells browsers. Should a text of somebody else's ever reach the page as HTML, nothing in
// it runs and nothing in it is loaded; and no other page may frame, open or embed what is shown here.
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
	_, _ = fmt.Fprintln(w, text) // a client that is gone needs no answer
}
