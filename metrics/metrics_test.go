package metrics

import (
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"etrusted-broker/tokensource"
)

// newMetrics returns Metrics with the account default.
func newMetrics(snapshots ...tokensource.Snapshot) *Metrics {
	m := New(Config{
		Version:       "1.2.3",
		Revision:      "abcdef",
		Tokens:        func() []tokensource.Snapshot { return snapshots },
		InFlight:      func() int64 { return 7 },
		UnsafeListen:  func() bool { return true },
		DenialReasons: []string{"host", "browser"},
		RetryOutcomes: []string{"success", "unauthorized"},
		PassOutcomes:  []string{"success", "failed"},
	})
	m.AddAccount("default")
	return m
}

// checkSeries compares the TYPE and sample lines of the named metrics (without prefix) with want. HELP lines are
// ignored. (testutil.GatherAndCompare does the same, but needs another module.)
func checkSeries(t *testing.T, m *Metrics, want string, names ...string) {
	t.Helper()
	var got []string
	for line := range strings.Lines(scrape(t, m, "")) {
		name, _, _ := strings.Cut(strings.TrimPrefix(line, "# TYPE "), " ")
		name, _, _ = strings.Cut(strings.TrimPrefix(name, namespace+"_"), "{")
		if slices.Contains(names, name) {
			got = append(got, strings.TrimSpace(line))
		}
	}
	var wanted []string
	for line := range strings.Lines(want) {
		if line = strings.TrimSpace(line); line != "" {
			wanted = append(wanted, line)
		}
	}
	if !slices.Equal(got, wanted) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(wanted, "\n"))
	}
}

// checkLines checks that a scrape contains the lines.
func checkLines(t *testing.T, m *Metrics, lines ...string) {
	t.Helper()
	text := scrape(t, m, "")
	for _, line := range lines {
		if !strings.Contains(text, "\n"+line+"\n") {
			t.Errorf("missing: %s", line)
		}
	}
}

// get requests the metrics with an Accept header.
func get(m *Metrics, accept string) *httptest.ResponseRecorder {
	request := httptest.NewRequest(http.MethodGet, "/metrics", nil)
	request.Header.Set("Accept", accept)
	response := httptest.NewRecorder()
	m.Handler().ServeHTTP(response, request)
	return response
}

func scrape(t *testing.T, m *Metrics, accept string) string {
	t.Helper()
	response := get(m, accept)
	if response.Code != http.StatusOK {
		t.Fatalf("%d %s", response.Code, response.Body)
	}
	return response.Body.String()
}

// newUsedMetrics returns Metrics in which each metric has at least one series.
func newUsedMetrics() *Metrics {
	m := newMetrics(tokensource.Snapshot{Account: "default", Shared: true})
	m.ObserveRefresh(tokensource.RefreshEvent{Account: "default", Duration: 1})
	m.Observe(Request{Account: "default", Method: "GET", Status: 200, Duration: 2, Upstream: 1})
	m.ObserveDenied("", "host")
	return m
}

func TestLint(t *testing.T) {
	t.Parallel()
	problems, err := promlint.New(strings.NewReader(scrape(t, newUsedMetrics(), ""))).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, problem := range problems {
		if strings.HasPrefix(problem.Metric, namespace) {
			t.Errorf("%s: %s", problem.Metric, problem.Text)
		}
	}
}

// TestMetricNamesAndLabels: names and labels are an interface, used by dashboards and alerts.
func TestMetricNamesAndLabels(t *testing.T) {
	t.Parallel()
	want := map[string]string{ // without prefix; labels in alphabetical order
		"token_expiry_timestamp_seconds":       "account",
		"token_issued_timestamp_seconds":       "account",
		"token_refreshes_total":                "account outcome",
		"token_refresh_duration_seconds":       "account",
		"token_last_success_timestamp_seconds": "account",
		"token_consecutive_failures":           "account",
		"token_waits_total":                    "account",
		"token_invalidations_total":            "account",
		"token_store_hits_total":               "account",
		"token_store_errors_total":             "account",
		"token_store_lease_held":               "account",

		"credential_reloads_total":                 "account outcome",
		"credential_last_change_timestamp_seconds": "account",

		"replays_total":             "account outcome",
		"requests_total":            "account code method",
		"request_duration_seconds":  "account",
		"upstream_duration_seconds": "account",
		"requests_in_flight":        "",
		"requests_denied_total":     "reason",
		"requests_passed_total":     "outcome",
		"unsafe_listen":             "",
		"build_info":                "goversion revision version",

		"requests_denied_dry_run_total": "",
		"response_fields_dropped_total": "",
	}
	families, err := newUsedMetrics().registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	others := map[string]bool{}
	for _, family := range families {
		name, ours := strings.CutPrefix(family.GetName(), namespace+"_")
		if !ours {
			group, _, _ := strings.Cut(name, "_")
			others[group] = true
			continue
		}
		var labels []string
		for _, label := range family.GetMetric()[0].GetLabel() {
			labels = append(labels, label.GetName())
		}
		if got, known := want[name]; !known || got != strings.Join(labels, " ") {
			t.Errorf("%s has the labels %q, want %q; in the contract: %v", name, labels, got, known)
		}
		if help := family.GetHelp(); len(strings.Fields(help)) < 5 || !strings.HasSuffix(help, ".") {
			t.Errorf("%s does not say what it means: %q", name, help)
		}
		delete(want, name)
	}
	for name := range want {
		t.Errorf("%s is missing", name)
	}
	if !others["go"] || runtime.GOOS == "linux" && !others["process"] {
		t.Errorf("the collectors of Go and of the process are missing: %v", others)
	}
}

func TestBuildInfoAndInFlight(t *testing.T) {
	t.Parallel()
	checkSeries(t, newMetrics(), `
		# TYPE etrusted_broker_build_info gauge
		etrusted_broker_build_info{goversion="`+runtime.Version()+`",revision="abcdef",version="1.2.3"} 1
		# TYPE etrusted_broker_requests_in_flight gauge
		etrusted_broker_requests_in_flight 7
		# TYPE etrusted_broker_unsafe_listen gauge
		etrusted_broker_unsafe_listen 1
	`, "build_info", "requests_in_flight", "unsafe_listen")
}

func TestDeniedCountsKnownReasonsOnly(t *testing.T) {
	t.Parallel()
	m := newMetrics()
	const none = `
		# TYPE etrusted_broker_requests_denied_total counter
		etrusted_broker_requests_denied_total{reason="browser"} 0
		etrusted_broker_requests_denied_total{reason="host"} 0
	`
	checkSeries(t, m, none, "requests_denied_total")
	m.ObserveDenied("", "unknown")
	m.ObserveDenied("", "")
	checkSeries(t, m, none, "requests_denied_total")
	m.ObserveDenied("", "host")
	m.ObserveDenied("", "host")
	checkSeries(t, m, strings.Replace(none, `"host"} 0`, `"host"} 2`, 1), "requests_denied_total")
}

func TestCountsDryRunsAndDroppedFields(t *testing.T) {
	t.Parallel()
	m := newMetrics()
	const none = `
		# TYPE etrusted_broker_requests_denied_dry_run_total counter
		etrusted_broker_requests_denied_dry_run_total 0
		# TYPE etrusted_broker_response_fields_dropped_total counter
		etrusted_broker_response_fields_dropped_total 0
	`
	names := []string{"requests_denied_dry_run_total", "response_fields_dropped_total"}
	m.Observe(Request{Account: "default", Method: "GET", Status: 200})
	checkSeries(t, m, none, names...)
	m.Observe(Request{Account: "default", Method: "GET", Status: 200, DryRun: true})
	m.Observe(Request{Account: "default", Method: "GET", Status: 200, DroppedFields: 2})
	checkSeries(t, m, strings.NewReplacer("run_total 0", "run_total 1", "dropped_total 0", "dropped_total 2").Replace(none), names...)
}

func TestDryRunsHaveLabelCallerWithCallers(t *testing.T) {
	t.Parallel()
	m := New(Config{
		Tokens: func() []tokensource.Snapshot { return nil }, InFlight: func() int64 { return 0 }, UnsafeListen: func() bool { return false },
		HasCallers: true,
	})
	m.AddCaller("erp")
	m.Observe(Request{Caller: "erp", DryRun: true})
	m.Observe(Request{Caller: "unknown", DryRun: true})
	m.Observe(Request{Caller: "erp", DryRun: true})
	const name, others = "requests_denied_dry_run_total", `
		# TYPE etrusted_broker_requests_denied_dry_run_total counter
		etrusted_broker_requests_denied_dry_run_total{caller="-"} 1
	`
	checkSeries(t, m, others+"etrusted_broker_requests_denied_dry_run_total{caller=\"erp\"} 2\n", name)
	if _, got := m.Denied(); got != 3 {
		t.Errorf("got %d of all callers, want 3", got)
	}
	m.DeleteCaller("erp")
	checkSeries(t, m, others, name)
}

func TestPassedCountsKnownOutcomesOnly(t *testing.T) {
	t.Parallel()
	m := newMetrics()
	m.ObservePassedThrough("unknown")
	m.ObservePassedThrough("")
	m.ObservePassedThrough("failed")
	checkSeries(t, m, `
		# TYPE etrusted_broker_requests_passed_total counter
		etrusted_broker_requests_passed_total{outcome="failed"} 1
		etrusted_broker_requests_passed_total{outcome="success"} 0
	`, "requests_passed_total")
}

func TestNegotiatesFormat(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		accept, contentType string
		openMetrics         bool
	}{
		{"", "text/plain; version=0.0.4", false},
		{"text/plain", "text/plain; version=0.0.4", false},
		{"application/openmetrics-text; version=1.0.0", "application/openmetrics-text; version=1.0.0", true},
		// What Prometheus 3 sends when protobuf is off.
		{"application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.2,*/*;q=0.1", "application/openmetrics-text; version=1.0.0", true},
	} {
		response := get(newUsedMetrics(), test.accept)
		body := response.Body.String()
		if response.Code != http.StatusOK || !strings.HasPrefix(response.Header().Get("Content-Type"), test.contentType) {
			t.Errorf("Accept %q: got %d %s, want 200 %s", test.accept, response.Code, response.Header().Get("Content-Type"), test.contentType)
		}
		if strings.HasSuffix(body, "# EOF\n") != test.openMetrics {
			t.Errorf("Accept %q: body ends with %q, want OpenMetrics %v", test.accept, body[len(body)-20:], test.openMetrics)
		}
		if !strings.Contains(body, `etrusted_broker_requests_total{account="default",code="200",method="GET"} 1`) {
			t.Errorf("%q: missing the request counter", test.accept)
		}
	}
}

// TestRegistersNothingGlobally: two brokers in one process, as in tests, do not conflict.
func TestRegistersNothingGlobally(t *testing.T) {
	t.Parallel()
	newUsedMetrics() // a second registration of anything would panic
	newUsedMetrics()
	families, err := prometheus.DefaultGatherer.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if strings.HasPrefix(family.GetName(), namespace) {
			t.Errorf("%s is registered globally", family.GetName())
		}
	}
}
