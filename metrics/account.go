package metrics

import (
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// AccountMetrics records the requests of one account. Metrics.ForAccount returns it. All methods may be called from any
// goroutine.
type AccountMetrics struct {
	requests         *prometheus.CounterVec // curried: the account is set
	duration         prometheus.Observer
	upstreamDuration prometheus.Observer
	retries          map[string]prometheus.Counter // by outcome

	mu      sync.RWMutex
	deleted bool // no series may be created
}

// ForAccount returns the metrics of an account: the same each time, until DeleteAccount. Calling it before the first
// request makes the series start at 0, so that Prometheus sees the first increase.
func (m *Metrics) ForAccount(account string) *AccountMetrics {
	if known, ok := m.accounts.Load(account); ok {
		return known.(*AccountMetrics)
	}
	a := &AccountMetrics{
		requests:         m.requests.MustCurryWith(prometheus.Labels{"account": account}),
		duration:         m.requestDuration.WithLabelValues(account),
		upstreamDuration: m.upstreamDuration.WithLabelValues(account),
		retries:          map[string]prometheus.Counter{},
	}
	for _, outcome := range m.retryOutcomes {
		a.retries[outcome] = m.retries.WithLabelValues(account, outcome)
	}
	first, _ := m.accounts.LoadOrStore(account, a) // two callers at once share the same series
	return first.(*AccountMetrics)
}

// Observe records a request that has ended. upstream is 0 if it was not forwarded; traceID is empty if it has no trace.
func (a *AccountMetrics) Observe(method string, code int, duration, upstream time.Duration, traceID string) {
	observeDuration(a.duration, duration, traceID)
	if upstream > 0 {
		observeDuration(a.upstreamDuration, upstream, traceID)
	}
	a.mu.RLock() // so that a request that ends late cannot recreate a series after DeleteAccount has removed it
	defer a.mu.RUnlock()
	if !a.deleted {
		a.requests.WithLabelValues(methodLabel(method), codeLabel(code)).Inc()
	}
}

// ObserveRetry counts a retried request by the outcome of its retry. Outcomes not in Config.RetryOutcomes are ignored.
func (a *AccountMetrics) ObserveRetry(outcome string) {
	if counter, known := a.retries[outcome]; known {
		counter.Inc()
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

// methodLabel bounds the label's values: a method may be any token, and each would be a series for ever.
func methodLabel(method string) string {
	switch method {
	case "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE":
		return method
	default:
		return "other"
	}
}

// codeLabels holds the label of each status code, because strconv.Itoa would allocate for each request.
var codeLabels = func() (labels [600]string) {
	for code := range labels {
		labels[code] = strconv.Itoa(code)
	}
	return labels
}()

// codeLabel returns "other" for numbers that are not HTTP status codes.
func codeLabel(code int) string {
	if code < 100 || code >= len(codeLabels) {
		return "other"
	}
	return codeLabels[code]
}
