// Package metrics exports what the broker does to Prometheus, which is known here alone.
//
// What happens often (requests) is counted here as it happens; what is known elsewhere (tokens) is read from snapshots
// when Prometheus asks.
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

// Config tells what the metrics are read from. All fields are required.
type Config struct {
	Version, Revision string
	// Tokens returns a snapshot of each account's source.
	Tokens func() []tokensource.Snapshot
	// InFlight returns the number of requests that are being served.
	InFlight func() int64
	// UnsafeListen reports whether other machines can use the broker without having to prove who they are.
	UnsafeListen func() bool
	// DenialReasons is the closed set of reasons for which a request may be refused, and ReplayOutcomes that of what
	// may come of sending a request again.
	DenialReasons, ReplayOutcomes []string
}

// Metrics is a registry with all that the broker exports. All methods may be called from any goroutine.
type Metrics struct {
	registry        *prometheus.Registry
	refreshDuration *prometheus.HistogramVec
	requests        *prometheus.CounterVec
	requestDuration *prometheus.HistogramVec
	upstream        *prometheus.HistogramVec
	replays         *prometheus.CounterVec
	replayOutcomes  []string
	denied          map[string]prometheus.Counter
	accounts        sync.Map // of *Requests by account; read with each request
}

// New returns Metrics with a registry of their own: nothing is registered globally.
func New(config Config) *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		refreshDuration: histogram("token_refresh_duration_seconds",
			"How long token requests take, whatever comes of them. A rise means that the login server or the way to it is slow; apps notice nothing while it stays well below a fifth of a token's lifetime."),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace,
			Name:      "requests_total",
			Help:      "Requests of the app by what it was answered, whether by the API or by the broker; code 499 is a client that went away, and account - a request that was turned away before it had one. A rise of 401 or 403 is about the token or its rights, of 502 and 504 about the API, of 503 about the token.",
		}, []string{"account", "method", "code"}),
		requestDuration: histogram("request_duration_seconds",
			"How long requests take as the app sees them. A rise that upstream_duration_seconds does not share is the broker's, or an app that reads slowly."),
		upstream: histogram("upstream_duration_seconds",
			"How long the API takes from a request sent to its response's header. A rise means that the API is slow."),
		replays: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace,
			Name:      "replays_total",
			Help:      "Requests that the API answered with 401 although their token had not expired, by what came of sending them again. A rise of success means that tokens are revoked; of unauthorized, that new tokens are refused too: look at the client's rights; of body_not_kept, that BROKER_REPLAY_BUFFER is too small.",
		}, []string{"account", "outcome"}),
		replayOutcomes: config.ReplayOutcomes,
		denied:         map[string]prometheus.Counter{},
	}
	m.countDenials(config.DenialReasons)
	m.registry.MustRegister(
		m.refreshDuration, m.requests, m.requestDuration, m.upstream, m.replays,
		tokenCollector{config.Tokens},
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Namespace: namespace,
			Name:      "requests_in_flight",
			Help:      "Requests that are being served now. A rise with a steady rate of requests means that the API or the app has become slow.",
		}, func() float64 { return float64(config.InFlight()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Namespace: namespace,
			Name:      "unsafe_listen",
			Help:      "1 if other machines can use the credentials without access key or client certificate (BROKER_UNSAFE_LISTEN), else 0. A 1 is right only where something else keeps them out.",
		}, func() float64 { return boolean(config.UnsafeListen()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Namespace:   namespace,
			Name:        "build_info",
			Help:        "Always 1; its labels tell which build runs.",
			ConstLabels: prometheus.Labels{"version": config.Version, "revision": config.Revision, "goversion": runtime.Version()},
		}, func() float64 { return 1 }),
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return m
}

// countDenials makes a counter for each reason, so that all are there from the start and a rate can be told from the
// first denial on.
func (m *Metrics) countDenials(reasons []string) {
	denied := prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: namespace,
		Name:      "requests_denied_total",
		Help:      "Requests that were refused at the door, by reason. A rise of host or browser means that a web page tries to use the broker, or that an app goes by a name that BROKER_ALLOWED_HOSTS lacks; of key, that an app has the wrong access key; of rule, that an app wants more than BROKER_ALLOW gives; of malformed or path, that an app's HTTP is broken or that somebody looks for a hole; of connections, that slow clients take up all there are.",
	}, []string{"reason"})
	m.registry.MustRegister(denied)
	for _, reason := range reasons {
		m.denied[reason] = denied.WithLabelValues(reason)
	}
}

// buckets fit an API: from what a local stand-in takes to the longest time-out.
var buckets = []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}

// histogram makes one with the account as its label, in classic buckets and, for servers that ask for them, native
// ones (a factor of 1.1: ten per cent of error, at the most 160 buckets).
func histogram(name, help string) *prometheus.HistogramVec {
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

// Handler serves the metrics in the format that the client asks for, OpenMetrics included.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		EnableOpenMetrics: true,
		Registry:          nil, // its own metrics would tell nothing about the broker
	})
}

// Forget takes an account's series away. What is observed for it afterwards is lost.
func (m *Metrics) DeleteAccount(account string) {
	if requests, known := m.accounts.LoadAndDelete(account); known {
		requests.(*AccountMetrics).retire()
	}
	labels := prometheus.Labels{"account": account}
	m.requests.DeletePartialMatch(labels)
	m.replays.DeletePartialMatch(labels)
	m.requestDuration.DeletePartialMatch(labels)
	m.upstream.DeletePartialMatch(labels)
	m.refreshDuration.DeletePartialMatch(labels)
}

// TokenRequest records a token request that has ended. One that another broker made is counted there.
func (m *Metrics) ObserveRefresh(event tokensource.Event) {
	if event.Elsewhere {
		return
	}
	m.refreshDuration.WithLabelValues(event.Account).Observe(event.Duration.Seconds())
}

// Denied counts a request refused at the door. A reason that was not in Config.DenialReasons is not counted.
func (m *Metrics) ObserveDenied(reason string) {
	if counter, known := m.denied[reason]; known {
		counter.Inc()
	}
}
