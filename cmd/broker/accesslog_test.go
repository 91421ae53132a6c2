package main

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"go.uber.org/zap/zapcore"

	"etrusted-broker/internal/brokertest"
	"etrusted-broker/internal/fakeetrusted"
)

// appTraceID is the trace that the app sends in traceparent.
const appTraceID = "0af7651916cd43dd8448eb211c80319c"

func TestAccessLogDescribesEachRequest(t *testing.T) {
	t.Parallel()
	eTrusted := fakeetrusted.New(fakeetrusted.Options{})
	b := startBroker(t, nil, brokertest.Environ(brokertest.Serve(t, eTrusted), "BROKER_ACCESS_LOG=true", "BROKER_ALLOW=GET /"))
	b.WaitReady()
	for _, test := range []struct {
		name, method, target string
		header               http.Header
		want                 map[string]any
		absent               []string
	}{
		{
			"served", "GET", "/channels?email=CANARY", http.Header{"X-Request-Id": {"of-the-app"}, "Traceparent": {"00-" + appTraceID + "-b7ad6b7169203331-01"}},
			map[string]any{"level": "info", "account": "default", "method": "GET", "path": "/channels", "status": 200.0, "retried": false, "request_id": "of-the-app", "trace_id": appTraceID},
			[]string{"denied", "problem", "retry", "broken"},
		},
		{
			"refused by a rule", "POST", "/events?email=CANARY", nil,
			map[string]any{"level": "info", "account": "", "method": "POST", "path": "/events", "status": 403.0, "denied": "rule", "code": "not-in-allow-list", "upstream_duration": 0.0},
			[]string{"trace_id"},
		},
		{
			"without a body", "HEAD", "/channels", http.Header{"Authorization": {"Bearer CANARY"}},
			map[string]any{"method": "HEAD", "status": 200.0, "bytes": 0.0},
			nil,
		},
		{
			"forged log line", "GET", "/a%0A%22%7D%0Ab", http.Header{"X-Request-Id": {`"},{"msg":"request`}},
			map[string]any{"path": "/a%0A%22%7D%0Ab", "request_id": `"},{"msg":"request`},
			nil,
		},
		{
			"terminal control characters", "GET", "/a%C2%9B31m%E2%80%AEb%7F", http.Header{"X-Request-Id": {"a\u009bb"}},
			map[string]any{"path": "/a%C2%9B31m%E2%80%AEb%7F", "request_id": "a%C2%9Bb"},
			nil,
		},
	} {
		before := len(b.Logs.Lines("request"))
		request, err := http.NewRequest(test.method, b.URL+test.target, nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header = test.header.Clone()
		if got := brokertest.Do(request, nil); got.Err != nil {
			t.Fatal(got.Err)
		}
		brokertest.Eventually(t, "the request is logged", func() bool { return len(b.Logs.Lines("request")) == before+1 })
		line := b.Logs.Lines("request")[before]
		for name, want := range test.want {
			if line[name] != want {
				t.Errorf("%s: got %s %v, want %v", test.name, name, line[name], want)
			}
		}
		for _, name := range append(test.absent, "query", "authorization") {
			if value, ok := line[name]; ok {
				t.Errorf("%s: got %s %v, want no such field", test.name, name, value)
			}
		}
		id, _ := line["request_id"].(string)
		if id == "" || test.name == "served" && (line["bytes"].(float64) < 100 || line["duration"].(float64) < line["upstream_duration"].(float64) || line["upstream_duration"] == 0.0) {
			t.Errorf("%s: got %v, want a request ID and plausible bytes and times", test.name, line)
		}
		if test.want["status"] == 200.0 {
			requests := eTrusted.APIRequests()
			if got := requests[len(requests)-1].Header["X-Request-Id"]; !slices.Equal(got, []string{id}) {
				t.Errorf("%s: got X-Request-Id %q at the API, want %q as in the log", test.name, got, id)
			}
		}
	}
	if strings.Contains(b.Logs.String(), "CANARY") {
		t.Errorf("a query or a header is logged:\n%s", b.Logs)
	}
	for line := range strings.Lines(b.Logs.String()) {
		if !json.Valid([]byte(line)) {
			t.Errorf("not JSON: %s", line)
		}
	}
}

// Without BROKER_ACCESS_LOG, the broker logs no request and adds no X-Request-Id.
func TestLogsNoRequestsByDefault(t *testing.T) {
	t.Parallel()
	eTrusted := fakeetrusted.New(fakeetrusted.Options{})
	b := startBroker(t, nil, brokertest.Environ(brokertest.Serve(t, eTrusted)))
	b.WaitReady()
	if got := brokertest.Get(t, b.URL+"/channels"); got.Status != http.StatusOK {
		t.Fatalf("got status %d, want 200", got.Status)
	}
	b.Stop() // all lines are written by now
	if lines := b.Logs.Lines("request"); len(lines) != 0 {
		t.Errorf("got %d request lines, want 0: %v", len(lines), lines)
	}
	if got := eTrusted.APIRequests()[0].Header["X-Request-Id"]; got != nil {
		t.Errorf("got X-Request-Id %q at the API, want none", got)
	}
}

// The app's trace becomes an exemplar of both histograms, and its header reaches the API unchanged.
func TestExemplarsNameTheAppsTrace(t *testing.T) {
	t.Parallel()
	eTrusted := fakeetrusted.New(fakeetrusted.Options{})
	b := startBroker(t, nil, brokertest.Environ(brokertest.Serve(t, eTrusted)))
	b.WaitReady()
	const traceparent = "00-" + appTraceID + "-b7ad6b7169203331-01"
	if got := brokertest.Get(t, b.URL+"/channels", "Traceparent: "+traceparent); got.Status != http.StatusOK {
		t.Fatalf("got status %d, want 200", got.Status)
	}
	if got := eTrusted.APIRequests()[0].Header["Traceparent"]; !slices.Equal(got, []string{traceparent}) {
		t.Errorf("got traceparent %q at the API, want %q", got, traceparent)
	}
	brokertest.Eventually(t, "both histograms name the trace", func() bool {
		text := brokertest.Get(t, b.Admin+"/metrics", "Accept: application/openmetrics-text; version=1.0.0").Body
		return strings.Count(text, `# {trace_id="`+appTraceID+`"}`) == 2
	})
}

// The access log is at level info. At level warn it has no effect, and the broker says so.
func TestWarnsIfLogLevelHidesAccessLog(t *testing.T) {
	t.Parallel()
	for level, logged := range map[zapcore.Level]bool{zapcore.DebugLevel: true, zapcore.InfoLevel: true, zapcore.WarnLevel: false} {
		_, _, stderr := invoke(nil, brokertest.EnvironWithoutServers("BROKER_ACCESS_LOG=true", "BROKER_LOG_LEVEL="+level.String())...)
		if warned := strings.Contains(stderr, "BROKER_ACCESS_LOG has no effect"); warned == logged {
			t.Errorf("at level %v: got warned %t, want %t:\n%s", level, warned, !logged, stderr)
		}
	}
}
