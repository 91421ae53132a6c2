package metrics

import (
	"maps"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Requests counts the requests of one account. Create it with Metrics.Requests, once for each account. All methods may
// be called from any goroutine.
type Requests struct {
	counters *prometheus.CounterVec
	duration prometheus.Observer
	upstream prometheus.Observer

	// resolved are the children of counters that were needed so far: finding one by its labels costs more than all
	// else that is done here. It is replaced as a whole, under mu, and holds at the most len(methods) × 500.
	resolved atomic.Pointer[map[methodAndCode]prometheus.Counter]
	mu       sync.Mutex
	account  string
}

type methodAndCode struct {
	method string
	code   int
}

// Requests returns the instruments for the requests of an account.
func (m *Metrics) Requests(account string) *Requests {
	r := &Requests{
		account:  account,
		counters: m.requests,
		duration: m.requestDuration.WithLabelValues(account),
		upstream: m.upstream.WithLabelValues(account),
	}
	r.resolved.Store(&map[methodAndCode]prometheus.Counter{})
	return r
}

// Observe records a request that has ended: upstream is 0 if it was not sent on.
func (r *Requests) Observe(method string, code int, duration, upstream time.Duration) {
	r.counter(methodAndCode{boundedMethod(method), boundedCode(code)}).Inc()
	r.duration.Observe(duration.Seconds())
	if upstream > 0 {
		r.upstream.Observe(upstream.Seconds())
	}
}

func (r *Requests) counter(key methodAndCode) prometheus.Counter {
	if counter, known := (*r.resolved.Load())[key]; known {
		return counter
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	code := "other"
	if key.code > 0 {
		code = strconv.Itoa(key.code)
	}
	more := maps.Clone(*r.resolved.Load())
	more[key] = r.counters.WithLabelValues(r.account, key.method, code)
	r.resolved.Store(&more)
	return more[key]
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
