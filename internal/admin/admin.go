// Package admin serves health, readiness, status and metrics to operators. It has its own listener, so that it hides no path
// of the API. It is read-only and shows no secrets.
package admin

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"time"

	"etrusted-broker/internal/operations"
	"etrusted-broker/metrics"
	"etrusted-broker/tokensource"
)

// Config configures a Handler. All fields are required unless they say otherwise.
type Config struct {
	Version, Revision string
	Started           time.Time
	// Tokens returns a snapshot of each account's source.
	Tokens func() []tokensource.Snapshot
	// Metrics has the counts of requests, and InFlight returns the number of requests in progress.
	Metrics  *metrics.Metrics
	InFlight func() int64
	// Operations counts what apps use of the API, InAllowList reports whether the allow list has an operation, and AllowMode is
	// the value of BROKER_ALLOW_MODE.
	Operations  *operations.Counts
	InAllowList func(operations.UsedOperation) bool
	AllowMode   string
	// Draining reports whether the broker is shutting down.
	Draining func() bool
	// StoreProblem returns why the token store is not used; empty while it is. It is nil if the token is not shared.
	StoreProblem func() string
	// ConnectionInfo returns how apps call the broker.
	ConnectionInfo func() ConnectionInfo
	// Callers returns the programs that may use the broker, and which of their files an operator should fix. It is nil without
	// named callers.
	Callers func() (callers []Caller, problems []string)
	// Settings lists the effective configuration, with secrets masked.
	Settings []Setting
}

// ConnectionInfo is how apps call the broker.
type ConnectionInfo struct {
	API  string `json:"api"`  // base URL of the API
	URL  string `json:"url"`  // base URL of the broker, which replaces it; followed by /@NAME for another account than the default
	Curl string `json:"curl"` // curl with the options that the listener needs, without a URL
}

// Setting is a variable of the configuration, safe to show.
type Setting struct {
	Name    string `json:"name"`
	Value   string `json:"value"`  // effective value; of a secret, only that it is set
	Source  string `json:"source"` // where the value comes from: environment, default, another variable's name, or "-"
	Meaning string `json:"meaning"`
}

// Handler is the handler of the admin listener. Create it with New. All methods are safe for concurrent use; Run must be called
// once.
type Handler struct {
	config   Config
	mux      http.ServeMux
	history  countsAndStatesHistory
	failures recentFailedRequests
}

// New returns a Handler.
func New(config Config) *Handler {
	h := &Handler{config: config, history: newCountsAndStatesHistory(time.Now())}
	for path, file := range pageFiles {
		h.mux.HandleFunc("GET "+path, func(w http.ResponseWriter, _ *http.Request) {
			write(w, http.StatusOK, file.contentType, file.content)
		})
	}
	h.mux.HandleFunc("GET /status.json", func(w http.ResponseWriter, _ *http.Request) {
		status := h.status(time.Now())
		status.Operations, status.AllowList = h.operations()
		w.Header().Set("Content-Type", "application/json")
		encoder := json.NewEncoder(w)
		encoder.SetIndent("", "  ")
		encoder.SetEscapeHTML(false) // it is not embedded in HTML
		_ = encoder.Encode(status)   // the client may have disconnected
	})
	h.mux.Handle("GET /metrics", config.Metrics.Handler())
	h.mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		write(w, http.StatusOK, plainText, "ok: the broker is running\n")
	})
	h.mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if reason := notReadyReason(config.Draining(), config.Tokens()); reason != "" {
			write(w, http.StatusServiceUnavailable, plainText, "not ready: "+reason+"\n")
			return
		}
		write(w, http.StatusOK, plainText, "ok: there is a valid token\n")
	})
	return h
}

// Run records what rates, charts and the times of changes need, until ctx is done.
func (h *Handler) Run(ctx context.Context) {
	ticker := time.NewTicker(sampleInterval)
	defer ticker.Stop()
	for {
		h.status(time.Now()) // remembers the states
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			h.history.sample(now, h.config.Metrics.Counts())
		}
	}
}

// ObserveRefresh records a token request that has ended, of this broker or of a peer.
func (h *Handler) ObserveRefresh(event tokensource.RefreshEvent) {
	h.history.recordRefresh(event, time.Now())
}

// ObserveFailedRequest records a request that was refused or failed. It sets the time and the count, and explains what failed if
// the reason is empty.
func (h *Handler) ObserveFailedRequest(failure FailedRequest) { h.failures.record(failure, time.Now()) }

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

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	for name, value := range securityHeaders {
		w.Header().Set(name, value)
	}
	h.mux.ServeHTTP(w, r)
}

func write(w http.ResponseWriter, status int, contentType, content string) {
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	_, _ = io.WriteString(w, content) // the client may have disconnected
}
