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

const appTraceID = "0af7651916cd43dd8448eb211c80319c"

// accessLine sends a request and returns the line that the log has for it.
func accessLine(b *brokertest.Broker, method, target string, header http.Header) map[string]any {
	b.T.Helper()
	before := len(b.Logs.Lines("request"))
	request, err := http.NewRequest(method, b.URL+target, nil)
	if err != nil {
		b.T.Fatal(err)
	}
	for name, values := range header {
		request.Header[name] = values
	}
	if got := brokertest.Do(request, nil); got.Err != nil {
		b.T.Fatal(got.Err)
	}
	brokertest.Eventually(b.T, "the request is logged", func() bool { return len(b.Logs.Lines("request")) == before+1 })
	return b.Logs.Lines("request")[before]
}

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
			map[string]any{"level": "info", "account": "default", "method": "GET", "path": "/channels", "status": 200.0, "replayed": false, "request_id": "of-the-app", "trace_id": appTraceID},
			[]string{"denied", "problem", "replay", "broken"},
		},
		{
			"refused at the door", "POST", "/events?email=CANARY", nil,
			map[string]any{"level": "info", "account": "", "method": "POST", "path": "/events", "status": 403.0, "denied": "rule", "upstream_took": 0.0},
			[]string{"trace_id"},
		},
		{
			"without a body", "HEAD", "/channels", http.Header{"Authorization": {"Bearer CANARY"}},
			map[string]any{"method": "HEAD", "status": 200.0, "bytes": 0.0},
			nil,
		},
		{
			"forging a line", "GET", "/a%0A%22%7D%0Ab", http.Header{"X-Request-Id": {`"},{"msg":"request`}},
			map[string]any{"path": "/a%0A%22%7D%0Ab", "request_id": `"},{"msg":"request`},
			nil,
		},
		{
			"writing to the terminal", "GET", "/a%C2%9B31m%E2%80%AEb%7F", http.Header{"X-Request-Id": {"a\u009bb"}},
			map[string]any{"path": "/a%C2%9B31m%E2%80%AEb%7F", "request_id": "a%C2%9Bb"},
			nil,
		},
	} {
		line := accessLine(b, test.method, test.target, test.header)
		for name, want := range test.want {
			if line[name] != want {
				t.Errorf("%s: %s is %v, want %v", test.name, name, line[name], want)
			}
		}
		for _, name := range append(test.absent, "query", "authorization") {
			if value, there := line[name]; there {
				t.Errorf("%s: has %s: %v", test.name, name, value)
			}
		}
		id, _ := line["request_id"].(string)
		if id == "" || test.name == "served" && (line["bytes"].(float64) < 100 || line["took"].(float64) < line["upstream_took"].(float64) || line["upstream_took"] == 0.0) {
			t.Errorf("%s: %v", test.name, line)
		}
		if test.want["status"] == 200.0 {
			requests := eTrusted.APIRequests()
			if got := requests[len(requests)-1].Header["X-Request-Id"]; !slices.Equal(got, []string{id}) {
				t.Errorf("%s: the API was told %q, the log %q", test.name, got, id)
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

// Without BROKER_ACCESS_LOG there is no line for a request, and no header is added to it.
func TestLogsNoRequestsByDefault(t *testing.T) {
	t.Parallel()
	eTrusted := fakeetrusted.New(fakeetrusted.Options{})
	b := startBroker(t, nil, brokertest.Environ(brokertest.Serve(t, eTrusted)))
	b.WaitReady()
	if got := brokertest.Get(t, b.URL+"/channels"); got.Status != http.StatusOK {
		t.Fatalf("%d", got.Status)
	}
	b.Stop() // the line would be there by now
	if lines := b.Logs.Lines("request"); len(lines) != 0 {
		t.Errorf("logged: %v", lines)
	}
	if got := eTrusted.APIRequests()[0].Header["X-Request-Id"]; got != nil {
		t.Errorf("the API was sent X-Request-Id %q", got)
	}
}

// TestExemplarsNameTheAppsTrace holds the way of a trace from the app's header to a bucket, and on to the API as it came.
func TestExemplarsNameTheAppsTrace(t *testing.T) {
	t.Parallel()
	eTrusted := fakeetrusted.New(fakeetrusted.Options{})
	b := startBroker(t, nil, brokertest.Environ(brokertest.Serve(t, eTrusted)))
	b.WaitReady()
	request, err := http.NewRequest(http.MethodGet, b.URL+"/channels", nil)
	if err != nil {
		t.Fatal(err)
	}
	const traceparent = "00-" + appTraceID + "-b7ad6b7169203331-01"
	request.Header.Set("Traceparent", traceparent)
	if got := brokertest.Do(request, nil); got.Status != http.StatusOK {
		t.Fatalf("%d %v", got.Status, got.Err)
	}
	if got := eTrusted.APIRequests()[0].Header["Traceparent"]; !slices.Equal(got, []string{traceparent}) {
		t.Errorf("the API was told %q", got)
	}
	brokertest.Eventually(t, "both histograms name the trace", func() bool {
		scrape, err := http.NewRequest(http.MethodGet, b.Admin+"/metrics", nil)
		if err != nil {
			t.Fatal(err)
		}
		scrape.Header.Set("Accept", "application/openmetrics-text; version=1.0.0")
		text := brokertest.Do(scrape, nil).Body
		return strings.Count(text, `# {trace_id="`+appTraceID+`"}`) == 2
	})
}

// Where the lines would not be written, nobody is told that they are, and no request is given a name.
func TestWarnsIfLogLevelHidesAccessLog(t *testing.T) {
	t.Parallel()
	for level, want := range map[zapcore.Level]bool{zapcore.DebugLevel: true, zapcore.InfoLevel: true, zapcore.WarnLevel: false} {
		_, _, stderr := invoke(nil, brokertest.EnvironWithoutServers("BROKER_ACCESS_LOG=true", "BROKER_LOG_LEVEL="+level.String())...)
		if told := strings.Contains(stderr, "BROKER_ACCESS_LOG has no effect"); told == want {
			t.Errorf("at level %v:\n%s", level, stderr)
		}
	}
}
