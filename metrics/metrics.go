// Package metrics exports the broker's metrics. It is the only package that imports the Prometheus client.
//
// Requests are counted as they end. The state of tokens is read from snapshots at each scrape.
package metrics

import (
	"net/http"
	"runtime"
	"sync"
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
	// DenialReasons are all reasons for refusing a request; RetryOutcomes are all outcomes of a retry; PassOutcomes are all outcomes
	// of what passes through.
	DenialReasons, RetryOutcomes, PassOutcomes []string
}

// Metrics holds a registry with all metrics of a broker. All methods may be called from any goroutine.
type Metrics struct {
	registry         *prometheus.Registry
	refreshDuration  *prometheus.HistogramVec
	requests         *prometheus.CounterVec
	requestDuration  *prometheus.HistogramVec
	upstreamDuration *prometheus.HistogramVec
	retries          *prometheus.CounterVec
	retryOutcomes    []string
	denied, passed   map[string]prometheus.Counter
	accounts         sync.Map // account name to *AccountMetrics
}

// New returns Metrics with its own registry: nothing is registered globally.
func New(config Config) *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		refreshDuration: newHistogram("token_refresh_duration_seconds",
			"Duration of token requests, successful or not. A rise means that the login server or the connection to it is slow; apps do not notice while it stays well below a fifth of the token's lifetime."),
		requests: newCounter("requests_total",
			"Requests by the status sent to the client, from the API or the broker; code 499 means that the client disconnected, account - that the request was refused before its account was known. A rise of 401 or 403 concerns the token or its rights, of 502 and 504 the API, of 503 the token.",
			"account", "method", "code"),
		requestDuration: newHistogram("request_duration_seconds",
			"Duration of requests as the app sees it. If upstream_duration_seconds does not rise too, the cause is the broker or an app that reads slowly."),
		upstreamDuration: newHistogram("upstream_duration_seconds",
			"Time from sending a request to the API until its response header arrives. A rise means that the API is slow."),
		retries: newCounter("replays_total",
			"Requests that the API answered with 401 although the token had not expired, by the outcome of the retry. A rise of success means that tokens are revoked; of unauthorized, that new tokens are refused too: check the client's rights; of body_not_kept, that BROKER_REPLAY_BUFFER is too small.",
			"account", "outcome"),
		retryOutcomes: config.RetryOutcomes,
	}
	denied := newCounter("requests_denied_total",
		"Requests that the broker refused, by reason. A rise of host or browser means that a web page tries to use the broker, or that an app uses a host name missing from BROKER_ALLOWED_HOSTS; of key, that an app has a wrong access key; of rule, that an app needs more than BROKER_ALLOW permits; of malformed or path, that an app sends invalid HTTP or that an attacker probes the broker; of connections, that slow clients occupy all connections.",
		"reason")
	m.denied = withLabels(denied, config.DenialReasons)
	passed := newCounter("requests_passed_total",
		"Requests and tunnels that passed through to a host in BROKER_PASS_HOSTS, by outcome. They are not in requests_total. A rise of failed concerns those hosts, or the connection to them; of refused, an app that asks for addresses of this machine or of a cloud's metadata service.",
		"outcome")
	m.passed = withLabels(passed, config.PassOutcomes)
	m.registry.MustRegister(
		m.refreshDuration, m.requests, m.requestDuration, m.upstreamDuration, m.retries, denied, passed,
		tokenCollector{config.Tokens},
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

func newCounter(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, labels)
}

// withLabels returns the counters for all values of a label, so that they start at 0 and rates include the first increase.
func withLabels(counter *prometheus.CounterVec, values []string) map[string]prometheus.Counter {
	all := map[string]prometheus.Counter{}
	for _, value := range values {
		all[value] = counter.WithLabelValues(value)
	}
	return all
}

func newGauge(name, help string, labels prometheus.Labels, value func() float64) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: namespace, Name: name, Help: help, ConstLabels: labels}, value)
}

// buckets range from the response time of a local API to the longest timeout, in seconds.
var buckets = []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}

// newHistogram returns a histogram by account, with classic buckets and with native ones for servers that support them
// (factor 1.1: an error of at most ten per cent; at most 160 buckets).
func newHistogram(name, help string) *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Namespace:                       namespace,
		Name:                            name,
		Help:                            help,
		Buckets:                         buckets,
		NativeHistogramBucketFactor:     1.1,
		NativeHistogramMaxBucketNumber:  160,
		NativeHistogramMinResetDuration: time.Hour,
	}, []string{"account"})
}

// Handler serves the metrics in the format that the client accepts: text or OpenMetrics.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{EnableOpenMetrics: true})
}

// DeleteAccount removes an account's series. Later observations through its AccountMetrics are discarded.
func (m *Metrics) DeleteAccount(account string) {
	if known, ok := m.accounts.LoadAndDelete(account); ok {
		a := known.(*AccountMetrics)
		a.mu.Lock()
		a.deleted = true
		a.mu.Unlock()
	}
	labels := prometheus.Labels{"account": account}
	m.requests.DeletePartialMatch(labels)
	m.retries.DeletePartialMatch(labels)
	m.requestDuration.DeletePartialMatch(labels)
	m.upstreamDuration.DeletePartialMatch(labels)
	m.refreshDuration.DeletePartialMatch(labels)
}

// ObserveRefresh records a token request that has ended. Token requests of peers are ignored: the peers record them.
func (m *Metrics) ObserveRefresh(event tokensource.RefreshEvent) {
	if event.FromPeer {
		return
	}
	m.refreshDuration.WithLabelValues(event.Account).Observe(event.Duration.Seconds())
}

// ObserveDenied counts a request that the broker refused. Reasons not in Config.DenialReasons are ignored.
func (m *Metrics) ObserveDenied(reason string) {
	if counter, known := m.denied[reason]; known {
		counter.Inc()
	}
}

// ObservePassed counts a request or a tunnel that passed through. Outcomes not in Config.PassOutcomes are ignored.
func (m *Metrics) ObservePassed(outcome string) {
	if counter, known := m.passed[outcome]; known {
		counter.Inc()
	}
}
