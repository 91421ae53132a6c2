package metrics

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestRequestsTotal(t *testing.T) {
	t.Parallel()
	m := newMetrics()
	for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE"} {
		m.Observe(Request{Account: "default", Method: method, Status: 200, Duration: time.Second})
	}
	for _, method := range []string{"FOO", "get", "", "PROPFIND", "G\xffT"} {
		m.Observe(Request{Account: "default", Method: method, Status: 200, Duration: time.Second})
	}
	for _, code := range []int{100, 199, 404, 499, 599} {
		m.Observe(Request{Account: "default", Method: "GET", Status: code, Duration: time.Second})
	}
	for _, code := range []int{999, 600, 99, 0, -1} {
		m.Observe(Request{Account: "default", Method: "GET", Status: code, Duration: time.Second})
	}
	m.AddAccount("de")
	m.Observe(Request{Account: "de", Method: "GET", Status: 204})
	m.AddAccount("de") // the second call changes nothing
	m.Observe(Request{Account: "de", Method: "GET", Status: 204, Local: true})
	checkSeries(t, m, `
		# TYPE etrusted_broker_requests_total counter
		etrusted_broker_requests_total{account="de",code="204",method="GET"} 2
		etrusted_broker_requests_total{account="default",code="100",method="GET"} 1
		etrusted_broker_requests_total{account="default",code="199",method="GET"} 1
		etrusted_broker_requests_total{account="default",code="200",method="CONNECT"} 1
		etrusted_broker_requests_total{account="default",code="200",method="DELETE"} 1
		etrusted_broker_requests_total{account="default",code="200",method="GET"} 1
		etrusted_broker_requests_total{account="default",code="200",method="HEAD"} 1
		etrusted_broker_requests_total{account="default",code="200",method="OPTIONS"} 1
		etrusted_broker_requests_total{account="default",code="200",method="PATCH"} 1
		etrusted_broker_requests_total{account="default",code="200",method="POST"} 1
		etrusted_broker_requests_total{account="default",code="200",method="PUT"} 1
		etrusted_broker_requests_total{account="default",code="200",method="TRACE"} 1
		etrusted_broker_requests_total{account="default",code="200",method="other"} 5
		etrusted_broker_requests_total{account="default",code="404",method="GET"} 1
		etrusted_broker_requests_total{account="default",code="499",method="GET"} 1
		etrusted_broker_requests_total{account="default",code="599",method="GET"} 1
		etrusted_broker_requests_total{account="default",code="other",method="GET"} 5
	`, "requests_total")
}

// TestSeriesAreBounded: clients must not be able to exhaust the memory of the broker or of Prometheus.
func TestSeriesAreBounded(t *testing.T) {
	t.Parallel()
	m := newMetrics()
	const methods, codes = 10, 501 // each with "other"
	for i := range 20_000 {
		m.Observe(Request{Account: "default", Method: fmt.Sprint("M", i), Status: i - 5000, Duration: time.Second, Upstream: time.Second})
	}
	if n := strings.Count(scrape(t, m, ""), "\netrusted_broker_requests_total{"); n == 0 || n > methods*codes {
		t.Errorf("got %d series, want 1 to %d", n, methods*codes)
	}
}

func TestRequestDurations(t *testing.T) {
	t.Parallel()
	m := newMetrics()
	m.Observe(Request{Account: "default", Method: "GET", Status: 200, Duration: 3 * time.Second, Upstream: 2 * time.Second})
	m.Observe(Request{Account: "default", Method: "GET", Status: 421, Duration: time.Second}) // not forwarded
	checkLines(t, m,
		`etrusted_broker_request_duration_seconds_sum{account="default"} 4`,
		`etrusted_broker_request_duration_seconds_count{account="default"} 2`,
		`etrusted_broker_request_duration_seconds_bucket{account="default",le="1"} 1`,
		`etrusted_broker_upstream_duration_seconds_sum{account="default"} 2`,
		`etrusted_broker_upstream_duration_seconds_count{account="default"} 1`,
	)
}

// TestNativeHistograms: servers that scrape with protobuf get native histograms too.
func TestNativeHistograms(t *testing.T) {
	t.Parallel()
	families, err := newUsedMetrics().registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	histograms := 0
	for _, family := range families {
		if histogram := family.GetMetric()[len(family.GetMetric())-1].GetHistogram(); histogram != nil && strings.HasPrefix(family.GetName(), namespace) {
			histograms++
			if histogram.GetSchema() != 3 || len(histogram.GetPositiveSpan()) == 0 || len(histogram.GetBucket()) == 0 {
				t.Errorf("%s: schema %d, %v", family.GetName(), histogram.GetSchema(), histogram)
			}
		}
	}
	if histograms != 3 {
		t.Errorf("got %d histograms, want 3", histograms)
	}
}

// TestExemplarsAddNoSeries: exemplars lead from a bucket to a trace, and add no series.
func TestExemplarsAddNoSeries(t *testing.T) {
	t.Parallel()
	const trace = "0af7651916cd43dd8448eb211c80319c"
	m := newMetrics()
	m.Observe(Request{Account: "default", Method: "GET", Status: 200, Duration: 3 * time.Second, Upstream: 2 * time.Second, TraceID: trace})
	m.Observe(Request{Account: "default", Method: "GET", Status: 200, Duration: 20 * time.Millisecond, TraceID: trace}) // not forwarded
	for range 100 {
		m.Observe(Request{Account: "default", Method: "GET", Status: 200, Duration: 40 * time.Second, Upstream: 40 * time.Second}) // no trace
	}
	text := scrape(t, m, "application/openmetrics-text; version=1.0.0")
	for _, want := range []string{
		`request_duration_seconds_bucket{account="default",le="5.0"} 2 # {trace_id="` + trace + `"} 3.0 `,
		`request_duration_seconds_bucket{account="default",le="0.025"} 1 # {trace_id="` + trace + `"} 0.02 `,
		`upstream_duration_seconds_bucket{account="default",le="2.5"} 1 # {trace_id="` + trace + `"} 2.0 `,
	} {
		if !strings.Contains(text, "\netrusted_broker_"+want) {
			t.Errorf("missing: %s", want)
		}
	}
	if n := strings.Count(text, trace); n != 3 {
		t.Errorf("got %d exemplars, want 3", n)
	}
	series := strings.Count(text, "\n")
	for i := range 1000 {
		m.Observe(Request{Account: "default", Method: "GET", Status: 200, Duration: time.Duration(i) * time.Millisecond, Upstream: time.Second, TraceID: fmt.Sprintf("%032x", i+1)})
	}
	if n := strings.Count(scrape(t, m, "application/openmetrics-text; version=1.0.0"), "\n"); n != series {
		t.Errorf("got %d lines after 1000 more traces, want %d", n, series)
	}
	if strings.Contains(scrape(t, m, ""), "trace_id") {
		t.Error("the plain text format has no place for exemplars")
	}
}

// TestConcurrentObservationsAreCounted: no observation is lost when many goroutines create the same series.
func TestConcurrentObservationsAreCounted(t *testing.T) {
	t.Parallel()
	m := newMetrics()
	const goroutines, rounds = 8, 200
	start := make(chan struct{})
	var all sync.WaitGroup
	for range goroutines {
		all.Go(func() {
			<-start
			for i := range rounds {
				m.Observe(Request{Account: "default", Method: "GET", Status: 200 + i, Duration: time.Second, Upstream: time.Second})
				m.ObserveDenied("", "host")
			}
		})
	}
	all.Go(func() { // scrape at the same time
		<-start
		for range 20 {
			if _, err := m.registry.Gather(); err != nil {
				t.Error(err)
			}
		}
	})
	close(start)
	all.Wait()
	text := scrape(t, m, "")
	for code := 200; code < 200+rounds; code++ {
		if !strings.Contains(text, fmt.Sprintf(`{account="default",code="%d",method="GET"} %d`+"\n", code, goroutines)) {
			t.Fatalf("code %d was not counted %d times:\n%s", code, goroutines, text)
		}
	}
	checkLines(t, m,
		fmt.Sprintf(`etrusted_broker_requests_denied_total{reason="host"} %d`, goroutines*rounds),
		fmt.Sprintf(`etrusted_broker_request_duration_seconds_count{account="default"} %d`, goroutines*rounds),
		fmt.Sprintf(`etrusted_broker_upstream_duration_seconds_sum{account="default"} %d`, goroutines*rounds))
}

// Not parallel: AllocsPerRun counts what other tests allocate, too.
func TestObserveDoesNotAllocate(t *testing.T) {
	m := newMetrics()
	allocations := testing.AllocsPerRun(1000, func() {
		m.Observe(Request{Account: "default", Method: http.MethodGet, Status: http.StatusOK, Duration: 20 * time.Millisecond, Upstream: 10 * time.Millisecond})
	})
	if allocations != 0 {
		t.Errorf("got %v allocations, want 0", allocations)
	}
}

func BenchmarkObserve(b *testing.B) {
	m := newMetrics()
	b.ReportAllocs()
	for b.Loop() {
		m.Observe(Request{Account: "default", Method: http.MethodGet, Status: http.StatusOK, Duration: 20 * time.Millisecond, Upstream: 10 * time.Millisecond})
	}
}

func BenchmarkObserveParallel(b *testing.B) {
	m := newMetrics()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			m.Observe(Request{Account: "default", Method: http.MethodGet, Status: http.StatusOK, Duration: 20 * time.Millisecond, Upstream: 10 * time.Millisecond})
		}
	})
}
