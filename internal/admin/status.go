package admin

import (
	"encoding/json"
	"net/http"
	"time"
)

// Status is the content of /status.json and of the status page. Times are RFC 3339 in UTC, durations are seconds, rates are
// per second. The names are a contract: see docs/status.md.
type Status struct {
	Diagnosis
	Version       string    `json:"version"`
	Revision      string    `json:"revision"`
	Started       time.Time `json:"started"`
	UptimeSeconds float64   `json:"uptime_seconds"`
	Ready         bool      `json:"ready"`
	// NotReadyReason says why not, and what to do; absent when ready.
	NotReadyReason string `json:"not_ready_reason,omitempty"`
	Draining       bool   `json:"draining"`
	// TokenStore is absent if the token is not shared.
	TokenStore *TokenStoreStatus `json:"token_store,omitempty"`
	// Accounts lists the default account first, then the others by name.
	Accounts []Account `json:"accounts"`
	// Requests has those of all accounts, and those that were refused before an account was known.
	Requests         Requests `json:"requests"`
	RequestsInFlight int64    `json:"requests_in_flight"`
	// Replays counts retries after a 401 by outcome, for all accounts. Denied counts refused requests by reason.
	Replays       map[string]uint64 `json:"replays"`
	Denied        map[string]uint64 `json:"denied"`
	Configuration []Setting         `json:"configuration"`
	Display       Display           `json:"display"`
}

// TokenStoreStatus is the state of the store that shares the token.
type TokenStoreStatus struct {
	Working bool `json:"working"`
	// Problem continues a sentence that starts with "it"; absent while the store works.
	Problem string `json:"problem,omitempty"`
}

func (c Config) tokenStore() *TokenStoreStatus {
	if c.StoreProblem == nil {
		return nil
	}
	problem := c.StoreProblem()
	return &TokenStoreStatus{Working: problem == "", Problem: problem}
}

// status collects the data. It reads each source once, so that the result is consistent.
func (c Config) status(now time.Time) Status {
	snapshots, traffic, draining := c.Tokens(), c.Traffic(), c.Draining()
	all, uptime := sumOf(traffic), now.Sub(c.Started)
	reason := notReadyReason(draining, snapshots)
	status := Status{
		Version:          c.Version,
		Revision:         c.Revision,
		Started:          c.Started.UTC(),
		UptimeSeconds:    uptime.Seconds(),
		Ready:            reason == "",
		NotReadyReason:   reason,
		Draining:         draining,
		TokenStore:       c.tokenStore(),
		Accounts:         []Account{},
		Requests:         requestsOf(all, uptime),
		RequestsInFlight: c.InFlight(),
		Replays:          all.Replays,
		Denied:           orEmpty(traffic.Denied),
		Configuration:    append([]Setting{}, c.Settings...),
	}
	for _, snapshot := range snapshots {
		status.Accounts = append(status.Accounts, c.account(snapshot, traffic.Accounts[snapshot.Account], now))
	}
	status.Diagnosis = diagnose(status, apiHealthOf(all))
	status.addDisplay()
	return status
}

func writeStatus(w http.ResponseWriter, status Status) {
	w.Header().Set("Content-Type", "application/json")
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false) // it is not embedded in HTML
	_ = encoder.Encode(status)   // the client may have disconnected
}
