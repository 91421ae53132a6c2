package metrics_test

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"time"

	"etrusted-broker/metrics"
	"etrusted-broker/tokensource"
)

// Requests are observed as they end. Handler serves all metrics.
func ExampleMetrics() {
	m := metrics.New(metrics.Config{
		Version: "1.0.0", Revision: "0123456",
		Tokens:        func() []tokensource.Snapshot { return nil }, // of all accounts
		InFlight:      func() int64 { return 0 },
		UnsafeListen:  func() bool { return false },
		DenialReasons: []string{"host", "browser"},
		RetryOutcomes: []string{"success"},
		PassOutcomes:  []string{"success"},
	})
	m.AddAccount("default")
	m.Observe(metrics.Request{
		Account: "default", Method: "GET", Status: 200, Duration: 12 * time.Millisecond, Upstream: 11 * time.Millisecond,
	})

	recorder := httptest.NewRecorder()
	m.Handler().ServeHTTP(recorder, httptest.NewRequest("GET", "/metrics", nil))
	for line := range strings.Lines(recorder.Body.String()) {
		if strings.HasPrefix(line, "etrusted_broker_requests_total") && strings.Contains(line, `"200"`) {
			fmt.Print(line)
		}
	}
	// Output:
	// etrusted_broker_requests_total{account="default",code="200",method="GET"} 1
}
