package server

import (
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"etrusted-broker/internal/fakeetrusted"
)

// A client that lacks a right, or a token for another API, is found in the log.
func TestLogsRequestsThatTheAPIRefuses(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]string{401: "api-status-401 1; api-status-401 2; ", 403: "api-status-403 1; api-status-403 2; ", 404: "", 422: ""} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newBubble(t, fakeetrusted.Options{})
				b.eTrusted.SetAPIFault(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
					time.Sleep(time.Millisecond) // a request that took no time counts as not sent
					w.WriteHeader(status)
				}))
				for range 3 {
					b.do(t, "GET", "/reviews", nil)
				}
				time.Sleep(3 * sameReasonLogInterval)
				got := ""
				for _, line := range b.logs.Lines("requests to the API failed; what follows count is about the last one") {
					got += fmt.Sprint(line["reason"], " ", line["count"], "; ")
				}
				if got != want {
					t.Errorf("got %q, want %q", got, want)
				}
			})
		})
	}
}
