package admin

import (
	"time"

	"etrusted-broker/metrics"
)

// Status is the content of /status.json, which the status page shows. Times are RFC 3339 in UTC, durations are seconds, rates
// are per second. The names are a contract: see docs/status.md.
type Status struct {
	Diagnosis
	Version       string    `json:"version"`
	Revision      string    `json:"revision"`
	Started       time.Time `json:"started"`
	UptimeSeconds float64   `json:"uptime_seconds"`
	Ready         bool      `json:"ready"`
	// NotReadyReason says why not, and what to do; absent when ready.
	NotReadyReason string         `json:"not_ready_reason,omitempty"`
	Draining       bool           `json:"draining"`
	Components     Components     `json:"components"`
	ConnectionInfo ConnectionInfo `json:"usage"`
	// Callers has the programs that may use the broker, by name, and CallerProblems what is wrong with their files. Both are absent
	// if there are no callers with names.
	Callers        []Caller `json:"callers,omitempty"`
	CallerProblems []string `json:"caller_problems,omitempty"`
	// Failures has the last requests that were refused or failed, newest first.
	Failures []FailedRequest `json:"failures"`
	// TokenStore is absent if the token is not shared.
	TokenStore *TokenStoreStatus `json:"token_store,omitempty"`
	// Accounts lists the default account first, then the others by name.
	Accounts []Account `json:"accounts"`
	// Requests has those of all accounts, and those that were refused before an account was known.
	Requests         RequestCountsByWindow `json:"requests"`
	RequestsInFlight int64                 `json:"requests_in_flight"`
	// Traffic has the minutes of the last hour, oldest first.
	Traffic []TrafficMinute `json:"traffic"`
	// Replays counts retries after a 401 by outcome, for all accounts. Denied counts refused requests by reason, and DeniedDryRun
	// those that BROKER_ALLOW_MODE=warn has forwarded.
	Replays      map[string]uint64 `json:"replays"`
	Denied       map[string]uint64 `json:"denied"`
	DeniedDryRun uint64            `json:"denied_dry_run"`
	// ResponseFieldsDropped counts fields of the API's responses that contained the token.
	ResponseFieldsDropped uint64 `json:"response_fields_dropped"`
	// Operations lists what apps use of the API, and AllowList has the allow list for it.
	Operations    []Operation        `json:"operations"`
	AllowList     SuggestedAllowList `json:"allow_list"`
	Configuration []Setting          `json:"configuration"`
}

// TokenStoreStatus is the state of the store that shares the token.
type TokenStoreStatus struct {
	Working bool `json:"working"`
	// Problem continues a sentence that starts with "it"; absent while the store works.
	Problem string `json:"problem,omitempty"`
}

// status collects the data. It reads each source once, so that the result is consistent.
func (h *Handler) status(now time.Time) Status {
	c := h.config
	snapshots, draining := c.Tokens(), c.Draining()
	recent := h.recentTraffic(now)
	reason := notReadyReason(draining, snapshots)
	status := Status{
		Version:          c.Version,
		Revision:         c.Revision,
		Started:          c.Started.UTC(),
		UptimeSeconds:    now.Sub(c.Started).Seconds(),
		Ready:            reason == "",
		NotReadyReason:   reason,
		Draining:         draining,
		ConnectionInfo:   c.ConnectionInfo(),
		Failures:         h.failures.newestFirst(),
		Accounts:         []Account{},
		Requests:         recent.of(allAccounts),
		RequestsInFlight: c.InFlight(),
		Traffic:          h.history.trafficOfLastHour(),
		Replays:          c.Metrics.Retries(metrics.NoAccount),
		Configuration:    append([]Setting{}, c.Settings...),

		ResponseFieldsDropped: c.Metrics.DroppedResponseFields(),
	}
	status.Denied, status.DeniedDryRun = c.Metrics.Denied()
	for _, snapshot := range snapshots {
		account := h.account(snapshot, recent, now)
		for outcome, count := range account.Replays {
			status.Replays[outcome] += count
		}
		status.Accounts = append(status.Accounts, account)
	}
	if c.StoreProblem != nil {
		problem := c.StoreProblem()
		status.TokenStore = &TokenStoreStatus{Working: problem == "", Problem: problem}
	}
	if c.Callers != nil {
		status.Callers, status.CallerProblems = c.Callers()
	}
	status.Components = h.components(status.Accounts, recent, now)
	status.Diagnosis = diagnose(status, recent)
	status.Since = h.history.since(stateKey{component: "broker"}, string(status.State)+" "+status.Summary, now)
	return status
}
