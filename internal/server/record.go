package server

import (
	"net/http"
	"time"

	"go.uber.org/zap"

	"etrusted-broker/internal/admin"
	"etrusted-broker/metrics"
	"etrusted-broker/proxy"
	"etrusted-broker/proxy/access"
)

// CheckProbePath names an account that cannot exist: account names have no capital letters. On an app's listener, the broker forwards
// most requests to the API; it answers this one itself, without a token, and does not count it. The check command sends it.
const CheckProbePath = "/@BROKER-CHECK/"

// recordRequest logs and counts a finished request.
func (b *broker) recordRequest(record proxy.RequestRecord) {
	defer b.forgetCallerIfRemoved(record.Caller)
	b.logRequest(record)
	if record.Path == CheckProbePath && record.Status == http.StatusNotFound {
		return
	}
	if reason := refusalReason(record); reason != "" {
		b.denied.add(reason, record)
	}
	if record.DryRun != nil {
		b.dryRuns.add(record)
	}
	if record.DroppedFields > 0 && b.tokenFieldsLog.allow() {
		b.log.Warn("the API's response repeated the access token in its header or trailer: the broker dropped the field. Check what is between the broker and the API",
			zap.String("account", record.Account), zap.Int("status", record.Status))
	}
	if record.Passed != "" { // it says nothing about the API
		b.metrics.ObservePassedThrough(string(record.Passed))
		b.metrics.ObserveDenied(record.Caller, string(record.Denied))
		return
	}
	if reason := failureReason(record); reason != "" {
		b.failed.add(reason, record)
	}
	local := isLocalResponse(record)
	b.metrics.Observe(metrics.Request{
		Account: record.Account, Caller: record.Caller, Method: record.Method, Status: record.Status, Local: local,
		Duration: record.Duration, Upstream: record.Upstream, TraceID: record.TraceID,
		Denied: string(record.Denied), Retry: string(record.Retry),
		DryRun: record.DryRun != nil, DroppedFields: record.DroppedFields,
	})
	if !local && apiHasOperation(record.Status) {
		b.operations.Add(record.Caller, record.Method, record.Path, time.Now())
	}
	if record.Status < 400 {
		return
	}
	failure := admin.Failure{Account: record.Account, Caller: record.Caller, Method: record.Method, Path: record.Path, Status: record.Status, Local: local}
	if local && record.Problem != nil {
		failure.Code, failure.Reason, failure.Hint = record.Problem.Code, record.Problem.Detail, record.Problem.Hint
	}
	b.pages.ObserveFailure(failure)
}

// isLocalResponse reports whether the app was answered by the broker itself, rather than by the API or not at all: with a
// problem, or with something that the API was not asked about, such as a placeholder token.
func isLocalResponse(record proxy.RequestRecord) bool {
	return record.Status != proxy.StatusClientClosedRequest && (record.ProxyError != "" || record.Upstream == 0)
}

// apiHasOperation reports whether a response of the API with this status means that it has the operation. An app that closes the
// connection before it has the response does not learn it either.
func apiHasOperation(status int) bool {
	return status != http.StatusNotFound && status != http.StatusMethodNotAllowed && status != proxy.StatusClientClosedRequest
}

// countDeniedConnection counts the denial of a connection.
func (b *broker) countDeniedConnection(reason access.DenialReason) {
	b.metrics.ObserveDenied("", string(reason))
}

// toStrings converts a closed set to strings.
func toStrings[T ~string](set []T) []string {
	all := make([]string, len(set))
	for i, one := range set {
		all[i] = string(one)
	}
	return all
}
