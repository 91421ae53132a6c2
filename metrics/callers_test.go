package metrics

import (
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"etrusted-broker/tokensource"
)

func newMetricsWithCallers() *Metrics {
	m := New(Config{
		HasCallers: true, DenialReasons: []string{"key", "rule"},
		Tokens: func() []tokensource.Snapshot { return nil }, InFlight: func() int64 { return 0 }, UnsafeListen: func() bool { return false },
	})
	m.AddAccount("default")
	return m
}

func TestCountsRequestsByCaller(t *testing.T) {
	t.Parallel()
	m := newMetricsWithCallers()
	m.AddCaller("shop")
	m.AddCaller("shop") // the second call changes nothing
	m.AddCaller("erp")
	m.AddAccount("later")
	m.Observe(Request{Account: "default", Caller: "shop", Method: "GET", Status: 200})
	m.Observe(Request{Account: "later", Caller: "shop", Method: "GET", Status: 200})
	m.Observe(Request{Account: "default", Caller: "shop", Method: "GET", Status: 403, Local: true, Denied: "rule"})
	m.Observe(Request{Account: "default", Caller: "no-such", Method: "GET", Status: 200})
	m.ObserveDenied("", "key")
	m.ObserveDenied("erp", "no-such-reason")
	m.AddCaller("shop")
	checkSeries(t, m, `
		# TYPE etrusted_broker_requests_denied_total counter
		etrusted_broker_requests_denied_total{caller="-",reason="key"} 1
		etrusted_broker_requests_denied_total{caller="-",reason="rule"} 0
		etrusted_broker_requests_denied_total{caller="erp",reason="key"} 0
		etrusted_broker_requests_denied_total{caller="erp",reason="rule"} 0
		etrusted_broker_requests_denied_total{caller="shop",reason="key"} 0
		etrusted_broker_requests_denied_total{caller="shop",reason="rule"} 1
		# TYPE etrusted_broker_requests_total counter
		etrusted_broker_requests_total{account="default",caller="-",code="200",method="GET"} 1
		etrusted_broker_requests_total{account="default",caller="shop",code="200",method="GET"} 1
		etrusted_broker_requests_total{account="default",caller="shop",code="403",method="GET"} 1
		etrusted_broker_requests_total{account="later",caller="shop",code="200",method="GET"} 1
	`, "requests_total", "requests_denied_total")
	if text := scrape(t, m, ""); strings.Contains(text, `_bucket{account="default",caller`) {
		t.Error("got the label caller on a histogram, want it only on counters")
	}
}

// The status page shows them: the removal of a caller must not look like an end of the traffic of all.
func TestDeletedCallerStaysInTheSums(t *testing.T) {
	t.Parallel()
	m := newMetricsWithCallers()
	m.AddCaller("shop")
	for range 3 {
		m.Observe(Request{Account: "default", Caller: "shop", Method: "GET", Status: 403, Local: true, Denied: "rule", DryRun: true})
	}
	m.DeleteCaller("shop")
	m.DeleteCaller("shop")
	m.DeleteCaller("no-such")
	if got := m.Counts()["default"]; got.Requests() != 3 || got[CountLocal4xx] != 3 {
		t.Errorf("Counts: got %d requests, %d refused, want 3 and 3", got.Requests(), got[CountLocal4xx])
	}
	if byReason, dryRun := m.Denied(); byReason["rule"] != 3 || dryRun != 3 {
		t.Errorf("Denied: got %v, %d, want 3 and 3", byReason, dryRun)
	}
	m.AddCaller("shop")
	m.Observe(Request{Account: "default", Caller: "shop", Method: "GET", Status: 200})
	checkSeries(t, m, `
		# TYPE etrusted_broker_requests_total counter
		etrusted_broker_requests_total{account="default",caller="shop",code="200",method="GET"} 1
	`, "requests_total")
	if got := m.Counts()["default"]; got.Requests() != 4 {
		t.Errorf("Counts with the caller again: got %d requests, want 4", got.Requests())
	}
}

func TestSeriesOfDeletedCallersDoNotComeBack(t *testing.T) {
	t.Parallel()
	m := newMetricsWithCallers()
	var current atomic.Pointer[string]
	current.Store(new(string))
	var load sync.WaitGroup
	for range 2 {
		load.Go(func() {
			for {
				name := *current.Load()
				if name == "stop" {
					return
				}
				m.Observe(Request{Account: "default", Caller: name, Method: "GET", Status: 200, Denied: "rule"})
				runtime.Gosched()
			}
		})
	}
	for i := range 2000 {
		name := fmt.Sprint("guest-", i)
		m.AddCaller(name)
		current.Store(&name)
		runtime.Gosched()
		m.DeleteCaller(name)
	}
	stop := "stop"
	current.Store(&stop)
	load.Wait()
	if text := scrape(t, m, ""); strings.Contains(text, "guest-") {
		t.Error("got series of deleted callers, want none")
	}
}

// A hundred accounts with a thousand callers would need 100 MB, if each pair had counts.
func TestCallersWithoutRequestsNeedNoCountsForAccounts(t *testing.T) {
	t.Parallel()
	m := newMetricsWithCallers()
	m.AddCaller("shop")
	m.AddAccount("later")
	pairs := 0
	m.accounts.Range(func(_, value any) bool {
		value.(*accountCounts).requests.Range(func(any, any) bool { pairs++; return true })
		return true
	})
	if pairs != 0 {
		t.Errorf("got counts for %d pairs of account and caller without requests, want 0", pairs)
	}
}
