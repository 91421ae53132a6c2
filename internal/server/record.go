package server

import (
	"etrusted-broker/internal/stats"
	"etrusted-broker/proxy"
	"etrusted-broker/proxy/access"
)

// noAccount is the account label of requests that were refused before their account was known, or whose account was removed.
// It is not a valid account name.
const noAccount = "-"

// recordRequest logs and counts a finished request.
func (b *broker) recordRequest(report proxy.RequestRecord) {
	b.logRequest(report)
	if report.Passed != "" { // it says nothing about the API
		b.metrics.ObservePassed(string(report.Passed))
		if report.Denied != "" {
			b.connectionDenied(report.Denied)
		}
		return
	}
	account := noAccount
	if _, known := b.accounts.Source(report.Account); known && report.Account != "" { // it may have been removed in the meantime
		account = report.Account
	}
	requests := b.metrics.ForAccount(account)
	requests.Observe(report.Method, report.Status, report.Duration, report.Upstream, report.TraceID)
	if report.Retry != "" {
		requests.ObserveRetry(string(report.Retry))
	}
	if report.Denied != "" {
		b.metrics.ObserveDenied(string(report.Denied))
	}
	b.stats.Observe(stats.Request{
		Account: account, Status: report.Status, Local: isLocalResponse(report), UpstreamTime: report.Upstream,
		Denied: string(report.Denied), Replay: string(report.Retry),
	})
	if _, known := b.accounts.Source(account); !known && account != noAccount {
		b.deleteAccount(account) // it was removed just now, and the counters were created again
	}
}

// isLocalResponse reports whether the app was answered by the broker itself, rather than by the API or not at all: with a
// problem, or with something that the API was not asked about, such as a placeholder token.
func isLocalResponse(report proxy.RequestRecord) bool {
	return report.Status != proxy.StatusClientClosedRequest && (report.Problem != "" || report.Upstream == 0)
}

// deleteAccount deletes the counters of a removed account.
func (b *broker) deleteAccount(account string) {
	b.metrics.DeleteAccount(account)
	b.stats.Delete(account)
}

// connectionDenied counts a denial that is not a request to the API: most are connections of an app that ended without one.
func (b *broker) connectionDenied(reason access.Reason) {
	b.metrics.ObserveDenied(string(reason))
	b.stats.ObserveDenied(string(reason))
}

// toStrings converts a closed set to strings.
func toStrings[T ~string](set []T) []string {
	all := make([]string, len(set))
	for i, one := range set {
		all[i] = string(one)
	}
	return all
}
