package metrics

import (
	"maps"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Requests counts the requests of one account. Get it from Metrics.Requests. All methods may be called from any
// goroutine.
type AccountMetrics struct {
	counters *prometheus.CounterVec
	duration prometheus.Observer
	upstream prometheus.Observer
	replays  map[string]prometheus.Counter

	// resolved are the children of counters that were needed so far: finding one by its labels costs more than all
	// else that is done here. It is replaced as a whole, under mu, and is bounded as the labels are.
	resolved atomic.Pointer[map[methodAndCode]prometheus.Counter]
	mu       sync.Mutex
	retired  bool
	account  string
}

type methodAndCode struct {
	method string
	code   int
}

// Requests returns the instruments for the requests of an account, which are the same each time until it is forgotten.
// It takes no lock once they are there. Called ahead of the first request, it has series begin at 0: Prometheus cannot see
// a rise before the first value that it knows.
func (m *Metrics) ForAccount(account string) *AccountMetrics {
	if known, ok := m.accounts.Load(account); ok {
		return known.(*AccountMetrics)
	}
	r := &AccountMetrics{
		account:  account,
		counters: m.requests,
		duration: m.requestDuration.WithLabelValues(account),
		upstream: m.upstream.WithLabelValues(account),
		replays:  map[string]prometheus.Counter{},
	}
	for _, outcome := range m.replayOutcomes {
		r.replays[outcome] = m.replays.WithLabelValues(account, outcome)
	}
	r.resolved.Store(&map[methodAndCode]prometheus.Counter{})
	first, _ := m.accounts.LoadOrStore(account, r) // of two at once, both with the same children
	return first.(*AccountMetrics)
}

// Observe records a request that has ended: upstream is 0 if it was not sent on, traceID empty if it belongs to no trace.
func (r *AccountMetrics) Observe(method string, code int, duration, upstream time.Duration, traceID string) {
	r.counter(methodAndCode{boundedMethod(method), boundedCode(code)}).Inc()
	observe(r.duration, duration, traceID)
	if upstream > 0 {
		observe(r.upstream, upstream, traceID)
	}
}

// observe marks with an exemplar what belongs to a trace, so that one gets from a slow bucket to a slow request. The trace
// is no label of the series: it costs memory once for each bucket, whatever apps send.
func observe(histogram prometheus.Observer, took time.Duration, traceID string) {
	if traceID == "" {
		histogram.Observe(took.Seconds())
		return
	}
	histogram.(prometheus.ExemplarObserver).ObserveWithExemplar(took.Seconds(), prometheus.Labels{"trace_id": traceID})
}

// Replayed counts what came of sending a request again. An outcome that was not in Config.ReplayOutcomes is not counted.
func (r *AccountMetrics) ObserveRetry(outcome string) {
	if counter, known := r.replays[outcome]; known {
		counter.Inc()
	}
}

func (r *AccountMetrics) counter(key methodAndCode) prometheus.Counter {
	if counter, known := (*r.resolved.Load())[key]; known {
		return counter
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	more := maps.Clone(*r.resolved.Load())
	more[key] = r.newCounter(key)
	r.resolved.Store(&more)
	return more[key]
}

func (r *AccountMetrics) newCounter(key methodAndCode) prometheus.Counter {
	if r.retired { // a straggler must not bring the account's series back
		return prometheus.NewCounter(prometheus.CounterOpts{})
	}
	code := "other"
	if key.code > 0 {
		code = strconv.Itoa(key.code)
	}
	return r.counters.WithLabelValues(r.account, key.method, code)
}

func (r *AccountMetrics) retire() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.retired = true
}

// boundedMethod keeps the label a closed set: a method may be any token, and each would be a series for ever.
func boundedMethod(method string) string {
	switch method {
	case "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE":
		return method
	default:
		return "other"
	}
}

// boundedCode returns 0 for what is no status code of HTTP.
func boundedCode(code int) int {
	if code < 100 || code > 599 {
		return 0
	}
	return code
}
