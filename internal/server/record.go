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

// ProbePath names an account that cannot exist: account names have no capital letters. On an app's listener, the broker forwards
// most requests to the API; it answers this one itself, without a token, and does not count it. The check command sends it.
const ProbePath = "/@BROKER-CHECK/"

// recordRequest logs and counts a finished request.
func (b *broker) recordRequest(report proxy.RequestRecord) {
	defer b.forgetUseIfRemoved(report.Caller)
	b.logRequest(report)
	if report.Path == ProbePath && report.Status == http.StatusNotFound {
		return
	}
	if reason := refusalReason(report); reason != "" {
		b.denied.add(reason, report)
	}
	if report.DryRun != nil {
		b.dryRuns.add(report)
	}
	if report.TokenFields > 0 && b.tokenFieldsLog.begin() {
		b.log.Warn("the API's response repeated the access token in its header or trailer: the broker dropped the field. Check what is between the broker and the API",
			zap.String("account", report.Account), zap.Int("status", report.Status))
	}
	if report.Passed != "" { // it says nothing about the API
		b.metrics.ObservePassed(string(report.Passed))
		b.metrics.ObserveDenied(report.Caller, string(report.Denied))
		return
	}
	if reason := failureReason(report); reason != "" {
		b.failed.add(reason, report)
	}
	local := isLocalResponse(report)
	b.metrics.Observe(metrics.Request{
		Account: report.Account, Caller: report.Caller, Method: report.Method, Status: report.Status, Local: local,
		Duration: report.Duration, Upstream: report.Upstream, TraceID: report.TraceID,
		Denied: string(report.Denied), Retry: string(report.Retry),
		DryRun: report.DryRun != nil, TokenFields: report.TokenFields,
	})
	if !local && isOperation(report.Status) {
		b.operations.Add(report.Caller, report.Method, report.Path, time.Now())
	}
	if report.Status < 400 {
		return
	}
	failure := admin.Failure{Account: report.Account, Caller: report.Caller, Method: report.Method, Path: report.Path, Status: report.Status, Local: local}
	if local && report.Answer != nil {
		failure.Code, failure.Reason, failure.Hint = report.Answer.Code, report.Answer.Detail, report.Answer.Hint
	}
	b.pages.ObserveFailure(failure)
}

// isLocalResponse reports whether the app was answered by the broker itself, rather than by the API or not at all: with a
// problem, or with something that the API was not asked about, such as a placeholder token.
func isLocalResponse(report proxy.RequestRecord) bool {
	return report.Status != proxy.StatusClientClosedRequest && (report.Problem != "" || report.Upstream == 0)
}

// isOperation reports whether a response of the API with this status means that it has the operation. An app that closes the
// connection before it has the response does not learn it either.
func isOperation(status int) bool {
	return status != http.StatusNotFound && status != http.StatusMethodNotAllowed && status != proxy.StatusClientClosedRequest
}

// connectionDenied counts the denial of a connection.
func (b *broker) connectionDenied(reason access.Reason) {
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
