// Package admin serves the operator: health, readiness, status and metrics, on a listener apart from the app's, so
// that no path of the API is shadowed. It shows no secret, and changes nothing.
package admin

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"etrusted-broker/internal/tally"
	"etrusted-broker/tokensource"
)

// Config tells what is served. All fields are required.
type Config struct {
	Version, Revision string
	Started           time.Time
	// Tokens returns a snapshot of each account's source.
	Tokens func() []tokensource.Snapshot
	// Traffic returns what was counted of late, and InFlight the number of requests that are being served.
	Traffic  func() tally.Snapshot
	InFlight func() int64
	// Draining reports whether the broker is shutting down.
	Draining func() bool
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
		writeText(w, http.StatusOK, "etrusted-broker "+config.Version+": /status.json /metrics /readyz /healthz")
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
	mux.HandleFunc("GET /status.json", func(w http.ResponseWriter, _ *http.Request) {
		writeStatus(w, config.status(time.Now()))
	})
	return unsniffed(mux)
}

// unsniffed keeps browsers from guessing at what they are served, and anything from keeping it.
func unsniffed(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

func writeText(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = fmt.Fprintln(w, text) // a client that is gone needs no answer
}

// notReady says why the broker is not ready; empty if it is. What counts is the default account, and where there is
// none, any.
func (c Config) notReady() string {
	if c.Draining() {
		return "the broker is shutting down"
	}
	snapshots := c.Tokens()
	for _, snapshot := range snapshots {
		if snapshot.Account == tokensource.DefaultAccount {
			return whyNoToken(snapshot)
		}
	}
	reason := "there is no account"
	for _, snapshot := range snapshots {
		if reason = whyNoToken(snapshot); reason == "" {
			break
		}
	}
	return reason
}

// whyNoToken says why an account has no token; empty if it has one.
func whyNoToken(snapshot tokensource.Snapshot) string {
	switch {
	case snapshot.Valid:
		return ""
	case snapshot.LastFailure != nil:
		return snapshot.LastFailure.Error()
	case snapshot.LastSuccess.IsZero():
		return "the first token is being fetched"
	default:
		return "the token has ended before its time, and another is being fetched"
	}
}

// Status is what /status.json tells. Times are RFC 3339 in UTC, durations are seconds.
type Status struct {
	Version       string    `json:"version"`
	Revision      string    `json:"revision"`
	Started       time.Time `json:"started"`
	UptimeSeconds float64   `json:"uptime_seconds"`
	Ready         bool      `json:"ready"`
	// NotReadyReason says why, and what to do; absent when ready.
	NotReadyReason string    `json:"not_ready_reason,omitempty"`
	Draining       bool      `json:"draining"`
	Accounts       []Account `json:"accounts"`
}

// Account is the state of one account's token.
type Account struct {
	Account    string `json:"account"`
	TokenValid bool   `json:"token_valid"`
	// TokenIssued and TokenExpires are those of the last token, dead or alive; absent if there never was one.
	TokenIssued           *time.Time `json:"token_issued,omitempty"`
	TokenExpires          *time.Time `json:"token_expires,omitempty"`
	TokenRemainingSeconds float64    `json:"token_remaining_seconds"`
	LastSuccess           *time.Time `json:"last_success,omitempty"`
	LastDurationSeconds   float64    `json:"last_duration_seconds"`
	NextAttempt           *time.Time `json:"next_attempt,omitempty"`
	ConsecutiveFailures   int        `json:"consecutive_failures"`
	// Refreshes counts token requests by outcome.
	Refreshes map[tokensource.Outcome]uint64 `json:"refreshes"`
	Waits     uint64                         `json:"waits"`
	// Invalidations counts tokens given up after a 401 of the API.
	Invalidations uint64 `json:"invalidations"`
	// CredentialReloads counts changed credentials by outcome; CredentialsChanged is when those in use were taken
	// into use.
	CredentialReloads  map[tokensource.ReloadOutcome]uint64 `json:"credential_reloads"`
	CredentialsChanged *time.Time                           `json:"credentials_changed,omitempty"`
	// LastError is that of the last token request; absent if it succeeded.
	LastError *Error `json:"last_error,omitempty"`
}

// Error is why a token request failed.
type Error struct {
	Outcome tokensource.Outcome `json:"outcome"`
	Reason  string              `json:"reason"`
	Advice  string              `json:"advice"`
	At      time.Time           `json:"at"`
}

func (c Config) status(now time.Time) Status {
	reason := c.notReady()
	status := Status{
		Version:        c.Version,
		Revision:       c.Revision,
		Started:        c.Started.UTC(),
		UptimeSeconds:  now.Sub(c.Started).Seconds(),
		Ready:          reason == "",
		NotReadyReason: reason,
		Draining:       c.Draining(),
		Accounts:       []Account{},
	}
	for _, snapshot := range c.Tokens() {
		status.Accounts = append(status.Accounts, account(snapshot))
	}
	return status
}

func account(snapshot tokensource.Snapshot) Account {
	account := Account{
		Account:               snapshot.Account,
		TokenValid:            snapshot.Valid,
		TokenIssued:           moment(snapshot.Issued),
		TokenExpires:          moment(snapshot.Expires),
		TokenRemainingSeconds: snapshot.Remaining.Seconds(),
		LastSuccess:           moment(snapshot.LastSuccess),
		LastDurationSeconds:   snapshot.LastDuration.Seconds(),
		NextAttempt:           moment(snapshot.NextAttempt),
		ConsecutiveFailures:   snapshot.ConsecutiveFailures,
		Refreshes:             map[tokensource.Outcome]uint64{},
		Waits:                 snapshot.Waits,
		Invalidations:         snapshot.Invalidations,
		CredentialReloads:     map[tokensource.ReloadOutcome]uint64{},
		CredentialsChanged:    moment(snapshot.LastChange),
	}
	for i, outcome := range tokensource.ReloadOutcomes {
		account.CredentialReloads[outcome] = snapshot.Reloads[i]
	}
	for i, outcome := range tokensource.Outcomes {
		account.Refreshes[outcome] = snapshot.Refreshes[i]
	}
	if failure := snapshot.LastFailure; failure != nil {
		account.LastError = &Error{failure.Outcome, failure.Reason, failure.Advice, snapshot.LastFailureAt.UTC()}
	}
	return account
}

// moment returns nil for the zero time, which stands for never.
func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

func writeStatus(w http.ResponseWriter, status Status) {
	w.Header().Set("Content-Type", "application/json")
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false) // it is read by people, as JSON and not inside a page
	_ = encoder.Encode(status)   // a client that is gone needs no answer
}
