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

// UncountedCheckPath is what the check command requests from a running broker: the path of an account that cannot exist, since
// account names have no capital letters. The broker answers it itself, without a token, and does not count it.
const UncountedCheckPath = "/@BROKER-CHECK/"

// recordRequest logs and counts a finished request.
func (b *broker) recordRequest(record proxy.RequestRecord) {
	defer b.forgetCallerIfRemoved(record.Caller)
	b.logRequest(record)
	if record.Path == UncountedCheckPath && record.Status == http.StatusNotFound {
		return
	}
	if reason := brokerRefusalReason(record); reason != "" {
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
	if reason := apiFailureReason(record); reason != "" {
		b.failed.add(reason, record)
	}
	local := isLocalResponse(record)
	b.metrics.Observe(metrics.Request{
		Account: record.Account, Caller: record.Caller, Method: record.Method, Status: record.Status, Local: local,
		Duration: record.Duration, Upstream: record.Upstream, TraceID: record.TraceID,
		Denied: string(record.Denied), Retry: string(record.Retry),
		DryRun: record.DryRun != nil, DroppedFields: record.DroppedFields,
	})
	if !local && statusMeansOperationExists(record.Status) {
		b.operations.Add(record.Caller, record.Method, record.Path, time.Now())
	}
	if record.Status >= 400 {
		failure := admin.FailedRequest{Account: record.Account, Caller: record.Caller, Method: record.Method, Path: record.Path, Status: record.Status, Local: local}
		if local && record.Problem != nil {
			failure.Code, failure.Reason, failure.Hint = record.Problem.Code, record.Problem.Detail, record.Problem.Hint
		}
		b.pages.ObserveFailedRequest(failure)
	}
}

// isLocalResponse reports whether the broker itself answered the app: with a problem, or without the API, as with a placeholder
// token.
func isLocalResponse(record proxy.RequestRecord) bool {
	return record.Status != proxy.StatusClientClosedRequest && (record.ProxyError != "" || record.Upstream == 0)
}

// statusMeansOperationExists reports whether a response with this status means that the API has the operation. A client that closes
// the connection before the response leaves that open.
func statusMeansOperationExists(apiStatus int) bool {
	return apiStatus != http.StatusNotFound && apiStatus != http.StatusMethodNotAllowed && apiStatus != proxy.StatusClientClosedRequest
}

func (b *broker) countDeniedConnection(reason access.DenialReason) {
	b.metrics.ObserveDenied("", string(reason))
}

func toStrings[T ~string](set []T) []string {
	all := make([]string, len(set))
	for i, one := range set {
		all[i] = string(one)
	}
	return all
}
