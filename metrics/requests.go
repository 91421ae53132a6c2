package metrics

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// NoAccount is the account label of requests that the broker answered before their account was known, or whose account was removed.
// It is not a valid account name.
const NoAccount = "-"

// Request is a request of the app that has ended.
type Request struct {
	// Account is the name of an account that AddAccount has added. Any other name counts as NoAccount.
	Account string
	// Caller is the name of a caller that AddCaller has added. Any other name counts as NoCaller.
	Caller string
	Method string
	// Status is the status that the app received, or 499 if it disconnected before.
	Status int
	// Local reports that the broker answered, not the API.
	Local bool
	// Upstream is the part of Duration that the API took; 0 if the request was not sent to it.
	Duration, Upstream time.Duration
	// TraceID is empty if the request has no trace.
	TraceID string
	// Denied is the reason for a refusal, and Retry the outcome of a retry. Values that Config does not list, such as the
	// empty one, are not counted.
	Denied, Retry string
	// DryRun reports that the allow list would have refused the request.
	DryRun bool
	// DroppedFields counts the fields of the API's response that were dropped because they contained the token.
	DroppedFields int
}

// accountCounts has the counts of one account. It may still be written to once it was deleted; that has no effect.
type accountCounts struct {
	requests sync.Map                  // of *requestCounts by caller
	removed  Counts                    // of callers that were deleted; Metrics.mu protects it
	retries  map[string]*atomic.Uint64 // by outcome
	duration prometheus.Observer
	upstream prometheus.Histogram
}

// Observe counts a request. It takes no lock and does not allocate, except for the first of a caller's method and class of status.
func (m *Metrics) Observe(request Request) {
	value, known := m.accounts.Load(request.Account)
	if !known {
		value, _ = m.accounts.Load(NoAccount)
	}
	a := value.(*accountCounts)
	observeDuration(a.duration, request.Duration, request.TraceID)
	if request.Upstream > 0 {
		observeDuration(a.upstream, request.Upstream, request.TraceID)
	}
	requests := m.requestCountsOf(a, request.Caller)
	counts := &requests.others
	if request.Local {
		counts = &requests.local
	}
	counts.add(request.Method, request.Status)
	if counter, known := a.retries[request.Retry]; known {
		counter.Add(1)
	}
	m.ObserveDenied(request.Caller, request.Denied)
	if request.DryRun {
		_, counts := m.knownCaller(request.Caller)
		counts.dryRun.Add(1)
	}
	if request.DroppedFields > 0 {
		m.droppedFields.Add(uint64(request.DroppedFields))
	}
}

// observeDuration attaches an exemplar if there is a trace, which leads from a slow bucket to a slow request. The trace
// is not a label: it costs memory once per bucket, however many traces clients send.
func observeDuration(histogram prometheus.Observer, duration time.Duration, traceID string) {
	if traceID == "" {
		histogram.Observe(duration.Seconds())
		return
	}
	histogram.(prometheus.ExemplarObserver).ObserveWithExemplar(duration.Seconds(), prometheus.Labels{"trace_id": traceID})
}

// Retries returns the counts of an account's retries by outcome: all of them, or none if it does not exist.
func (m *Metrics) Retries(name string) map[string]uint64 {
	counts := map[string]uint64{}
	if value, known := m.accounts.Load(name); known {
		addCounters(counts, value.(*accountCounts).retries)
	}
	return counts
}

// DroppedResponseFields returns the number of fields that were dropped because they contained the token.
func (m *Metrics) DroppedResponseFields() uint64 { return m.droppedFields.Load() }

// ObservePassedThrough counts a request or a tunnel that passed through. Outcomes not in Config.PassOutcomes are ignored.
func (m *Metrics) ObservePassedThrough(outcome string) {
	if counter, known := m.passedThrough[outcome]; known {
		counter.Add(1)
	}
}
