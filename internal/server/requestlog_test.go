package server

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap/zapcore"

	"etrusted-broker/internal/brokertest"
	"etrusted-broker/internal/config"
	"etrusted-broker/internal/fakeetrusted"
	"etrusted-broker/internal/problem"
	"etrusted-broker/proxy"
	"etrusted-broker/proxy/access"
)

// The first request for a reason is logged at once, and the others with their number once a minute.
func TestLogsRequestsOnceAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out brokertest.LogBuffer
		seen := 0
		d := throttledRequestLog{log: newLogger(&out, zapcore.InfoLevel, "json"), message: "requests refused"}
		refuse := func(reason access.DenialReason, path string) {
			d.add(string(reason), proxy.RequestRecord{Method: "POST", Path: path, Status: 403, Denied: reason})
		}
		lines := func() (all []string) {
			synctest.Wait()
			text := out.String()
			for line := range strings.Lines(text[seen:]) {
				var entry struct {
					Reason, Method, Path string
					Count                int
				}
				if err := json.Unmarshal([]byte(line), &entry); err != nil {
					t.Fatal(err)
				}
				all = append(all, fmt.Sprint(entry.Reason, " ", entry.Method, " ", entry.Path, " ", entry.Count))
			}
			seen = len(text)
			return all
		}
		expect := func(when string, want ...string) {
			t.Helper()
			if got := lines(); strings.Join(got, "|") != strings.Join(want, "|") {
				t.Errorf("%s: got %q, want %q", when, got, want)
			}
		}
		refuse(access.ReasonNotInAllowList, "/first")
		expect("the first", "rule POST /first 1")
		for range 999 {
			refuse(access.ReasonNotInAllowList, "/again")
		}
		refuse(access.ReasonNotInAllowList, "/last")
		refuse(access.ReasonBrowser, "/page")
		expect("another reason", "browser POST /page 1")
		time.Sleep(sameReasonLogInterval - time.Millisecond)
		expect("before a minute")
		time.Sleep(time.Millisecond)
		expect("after a minute", "rule POST /last 1000")
		time.Sleep(10 * sameReasonLogInterval)
		expect("without further ones")
		refuse(access.ReasonNotInAllowList, "/first")
		expect("the next one", "rule POST /first 1")
		time.Sleep(10 * sameReasonLogInterval) // no timer may be left in the bubble
	})
}

// The log has what the API or the way to it did wrong, and nothing that is logged elsewhere or that is the app's own business.
func TestLogsFailedRequestsToTheAPI(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		api    http.Handler
		reason string
	}{
		{"success", fakeetrusted.Status(204, nil), ""},
		{"not found", fakeetrusted.Status(404, nil), ""},
		{"too many requests", fakeetrusted.Status(429, nil), "api-status-429"},
		{"unavailable", fakeetrusted.Status(503, nil), "api-status-503"},
		{"no answer", fakeetrusted.Hang(), "response-timeout"},
		{"closed", http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }), "connection-closed"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newBubble(t, fakeetrusted.Options{})
				b.eTrusted.SetAPIFault(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					time.Sleep(time.Millisecond) // a request that took no time counts as not sent
					test.api.ServeHTTP(w, r)
				}))
				var requests sync.WaitGroup
				for range 3 {
					requests.Go(func() { b.do(t, "GET", "/reviews?email=CANARY", nil) })
				}
				requests.Wait()
				time.Sleep(3 * sameReasonLogInterval)
				lines := b.logs.Lines("requests to the API failed; what follows count is about the last one")
				if text := fmt.Sprint(lines); strings.Contains(text, "CANARY") || strings.Contains(text, "email") {
					t.Errorf("the query is logged: %s", text)
				}
				for _, line := range lines {
					if code, broker := line["code"].(string); broker && (code != test.reason || line["detail"] == "") {
						t.Errorf("got %v, want the code and the detail of the broker's response", line)
					}
				}
				got := ""
				for _, line := range lines {
					got += fmt.Sprint(line["reason"], " ", line["method"], " ", line["path"], " ", line["count"], "; ")
				}
				want := ""
				if test.reason != "" {
					want = test.reason + " GET /reviews 1; " + test.reason + " GET /reviews 2; "
				}
				if got != want {
					t.Errorf("got %q, want %q", got, want)
				}
			})
		})
	}
}

func TestLogsASlowLoginServerOnceAMinute(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t, fakeetrusted.Options{})
		lines := func() int {
			return len(b.logs.Lines("the login server has not answered a token request for 5 s; the broker waits up to 29 s, and asks again meanwhile if there is no token"))
		}
		b.get(t)
		time.Sleep(time.Hour)
		if got := lines(); got != 0 {
			t.Errorf("got %d lines about a login server that answers, want none", got)
		}
		b.eTrusted.SetTokenFault(fakeetrusted.Hang())
		time.Sleep(10 * time.Minute)
		if got := lines(); got < 5 || got > 10 {
			t.Errorf("got %d lines in ten minutes without an answer, want at most one a minute", got)
		}
	})
}

func TestGeneratesRequestIDsOnlyForTheAccessLog(t *testing.T) {
	t.Parallel()
	for level, want := range map[zapcore.Level]bool{zapcore.DebugLevel: true, zapcore.InfoLevel: true, zapcore.WarnLevel: false} {
		if got := requestIDGenerator(config.Config{AccessLog: true, LogLevel: level}) != nil; got != want {
			t.Errorf("at level %v: got %v, want %v", level, got, want)
		}
	}
}

// An app that invents operations does not fill the log, and does not keep another caller's out of it.
func TestDryRunLogIsBounded(t *testing.T) {
	t.Parallel()
	var out brokertest.LogBuffer
	d := dryRunLog{log: newLogger(&out, zapcore.InfoLevel, "json")}
	add := func(caller, path string) {
		d.add(proxy.RequestRecord{Caller: caller, Method: "GET", Path: path, DryRun: &problem.Problem{Code: "not-in-allow-list"}})
	}
	for i := range 1000 {
		add("erp", "/"+strings.Repeat("a", i%30+1)+"/"+strings.Repeat("b", i/30+1)) // up to 33 letters: one is no word
	}
	const each, tooMany = "the allow list would refuse this operation; logged once", "there are too many operations that the allow list would refuse; further ones are only counted"
	lines := func(message string) int { return len(out.Lines("BROKER_ALLOW_MODE=warn: " + message)) }
	if lines(each) != maxLoggedOperationsPerCaller || lines(tooMany) != 1 {
		t.Errorf("got %d lines and %d about too many, want %d and 1", lines(each), lines(tooMany), maxLoggedOperationsPerCaller)
	}
	add("shop", "/reviews")
	add("shop", "/reviews")
	if last := out.Lines("BROKER_ALLOW_MODE=warn: " + each); len(last) != maxLoggedOperationsPerCaller+1 || last[maxLoggedOperationsPerCaller]["caller"] != "shop" {
		t.Errorf("got %d lines, want one more, of the other caller", len(last))
	}
}

// A path that no pattern describes is shown as it is, but cut and printable.
func TestDryRunLogShowsUnusualPaths(t *testing.T) {
	t.Parallel()
	var out brokertest.LogBuffer
	d := dryRunLog{log: newLogger(&out, zapcore.InfoLevel, "json")}
	for _, path := range []string{"//reviews/" + strings.Repeat("x", 1000), "//another"} {
		d.add(proxy.RequestRecord{Method: "M\u202e", Path: path, DryRun: &problem.Problem{Code: "not-in-allow-list"}})
	}
	lines := out.Lines("BROKER_ALLOW_MODE=warn: the allow list would refuse this operation; logged once")
	if len(lines) != 1 {
		t.Fatalf("got %d lines, want 1:\n%s", len(lines), out.String())
	}
	if path := lines[0]["path"].(string); lines[0]["method"] != "M%E2%80%AE" || !strings.HasPrefix(path, "//reviews/xxx") || len(path) > maxLoggedDryRunPath+len("...") {
		t.Errorf("got %q, want method and path printable and cut", lines[0])
	}
}
