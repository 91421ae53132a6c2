// Package metrics exports the broker's metrics. It is the only package that imports the Prometheus client.
//
// Requests are counted as they end. The state of tokens is read from snapshots at each scrape.
package metrics

import (
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"etrusted-broker/tokensource"
)

const namespace = "etrusted_broker"

// Config configures New. All fields are required.
type Config struct {
	Version, Revision string
	// Tokens returns a snapshot of each account's source.
	Tokens func() []tokensource.Snapshot
	// InFlight returns the number of requests being served.
	InFlight func() int64
	// UnsafeListen reports whether other machines can use the broker without authentication.
	UnsafeListen func() bool
	// DenialReasons are all reasons for refusing a request; RetryOutcomes are all outcomes of a retry; PassOutcomes are all
	// outcomes of what passes through.
	DenialReasons, RetryOutcomes, PassOutcomes []string
	// HasCallers means that requests have named callers: then counts of requests and of refusals have the label caller.
	HasCallers bool
}

// Metrics has all counters of a broker: /metrics exports them, and the status page reads the same ones. All methods may be called
// from any goroutine.
type Metrics struct {
	config           Config
	registry         *prometheus.Registry
	refreshDuration  *prometheus.HistogramVec
	requestDuration  *prometheus.HistogramVec
	upstreamDuration *prometheus.HistogramVec
	passedThrough    map[string]*atomic.Uint64 // by outcome
	droppedFields    atomic.Uint64
	accounts         sync.Map      // of *accountCounts by name
	callers          sync.Map      // of *callerDenials by name
	mu               sync.Mutex    // held while a caller is deleted, and while it gets counts for an account
	removed          callerDenials // of callers that were deleted
}

// New returns Metrics with its own registry: nothing is registered globally.
func New(config Config) *Metrics {
	m := &Metrics{
		config:   config,
		registry: prometheus.NewRegistry(),
		refreshDuration: newHistogram("token_refresh_duration_seconds",
			"Duration of token requests, successful or not. A rise means that the login server or the connection to it is slow; apps do not notice while it stays well below a fifth of the token's lifetime."),
		requestDuration: newHistogram("request_duration_seconds",
			"Duration of requests as the app sees it. If upstream_duration_seconds does not rise too, the cause is the broker or an app that reads slowly."),
		upstreamDuration: newHistogram("upstream_duration_seconds",
			"Time from sending a request to the API until its response header arrives. A rise means that the API is slow."),
		passedThrough: newCounters(config.PassOutcomes),
		removed:       callerDenials{denied: newCounters(config.DenialReasons)},
	}
	m.AddCaller(NoCaller)
	m.AddAccount(NoAccount)
	m.registry.MustRegister(
		m.refreshDuration, m.requestDuration, m.upstreamDuration,
		collector{m},
		newGauge("requests_in_flight",
			"Requests being served. A rise at a steady request rate means that the API or the app has become slow.",
			nil, func() float64 { return float64(config.InFlight()) }),
		newGauge("unsafe_listen",
			"1 if other machines can use the credentials without an access key or a client certificate (BROKER_UNSAFE_LISTEN), else 0. 1 is acceptable only if something else restricts access, such as a firewall.",
			nil, func() float64 { return boolToFloat(config.UnsafeListen()) }),
		newGauge("build_info",
			"Always 1; the labels name the running build.",
			prometheus.Labels{"version": config.Version, "revision": config.Revision, "goversion": runtime.Version()}, func() float64 { return 1 }),
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return m
}

// newCounters returns a counter for each value of a label, so that its series starts at 0 and rates include the first increase.
func newCounters(labelValues []string) map[string]*atomic.Uint64 {
	counters := map[string]*atomic.Uint64{}
	for _, value := range labelValues {
		counters[value] = new(atomic.Uint64)
	}
	return counters
}

// addCounters adds the values of counters to sums.
func addCounters(sums map[string]uint64, counters map[string]*atomic.Uint64) {
	for value, counter := range counters {
		sums[value] += counter.Load()
	}
}

func newGauge(name, help string, labels prometheus.Labels, value func() float64) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: namespace, Name: name, Help: help, ConstLabels: labels}, value)
}

// newHistogram returns a histogram by account, with classic buckets, from the response time of a local API to the longest timeout,
// and with native ones for servers that support them (factor 1.1: an error of at most ten per cent; at most 160 buckets).
func newHistogram(name, help string) *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Namespace:                       namespace,
		Name:                            name,
		Help:                            help,
		Buckets:                         []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}, // seconds
		NativeHistogramBucketFactor:     1.1,
		NativeHistogramMaxBucketNumber:  160,
		NativeHistogramMinResetDuration: time.Hour,
	}, []string{"account"})
}

// Handler serves the metrics in the format that the client accepts: text or OpenMetrics.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{EnableOpenMetrics: true})
}

// AddAccount adds the series of an account, unless it has them. They start at 0, so that Prometheus sees the first increase.
func (m *Metrics) AddAccount(name string) {
	added := &accountCounts{
		retries:  newCounters(m.config.RetryOutcomes),
		duration: m.requestDuration.WithLabelValues(name),
		upstream: m.upstreamDuration.WithLabelValues(name).(prometheus.Histogram),
	}
	m.accounts.LoadOrStore(name, added)
}

// DeleteAccount removes an account's series. Its requests that end later count as NoAccount.
func (m *Metrics) DeleteAccount(name string) {
	m.accounts.Delete(name)
	m.requestDuration.DeleteLabelValues(name)
	m.upstreamDuration.DeleteLabelValues(name)
	m.refreshDuration.DeleteLabelValues(name)
}

// ObserveRefresh records a token request that has ended. Token requests of peers are ignored: the peers record them.
func (m *Metrics) ObserveRefresh(event tokensource.RefreshEvent) {
	if event.FromPeer {
		return
	}
	m.refreshDuration.WithLabelValues(event.Account).Observe(event.Duration.Seconds())
}
