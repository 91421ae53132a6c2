package server

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap/zapcore"

	"etrusted-broker/internal/brokertest"
	"etrusted-broker/proxy"
	"etrusted-broker/proxy/access"
)

// The first refusal for a reason is logged at once, and the others with their number once a minute.
func TestLogsRefusedRequestsOnceAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out brokertest.LogBuffer
		seen := 0
		d := deniedLog{log: newLogger(&out, zapcore.InfoLevel, "json")}
		refuse := func(reason access.Reason, path string) {
			d.add(proxy.RequestRecord{Method: "POST", Path: path, Status: 403, Denied: reason})
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
		refuse(access.ReasonRule, "/first")
		expect("the first", "rule POST /first 1")
		for range 999 {
			refuse(access.ReasonRule, "/again")
		}
		refuse(access.ReasonRule, "/last")
		refuse(access.ReasonBrowser, "/page")
		expect("another reason", "browser POST /page 1")
		time.Sleep(deniedLogInterval - time.Millisecond)
		expect("before a minute")
		time.Sleep(time.Millisecond)
		expect("after a minute", "rule POST /last 1000")
		time.Sleep(10 * deniedLogInterval)
		expect("without further ones")
		refuse(access.ReasonRule, "/first")
		expect("the next one", "rule POST /first 1")
		time.Sleep(10 * deniedLogInterval) // no timer may be left in the bubble
	})
}
