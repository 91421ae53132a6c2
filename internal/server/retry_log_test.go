package server

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"etrusted-broker/internal/config"
	"etrusted-broker/internal/fakeetrusted"
)

func TestAccessLogHasOneLineForReplay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBubbleWith(t, fakeetrusted.Options{}, func(c *config.Config) { c.AccessLog = true })
		w.eTrusted.SetAPIDelay(250 * time.Millisecond)
		w.get(t)
		time.Sleep(11 * time.Second)
		w.eTrusted.Revoke()
		w.get(t)
		synctest.Wait()
		lines := w.logs.Lines("request")
		if len(lines) != 2 {
			t.Fatalf("%d lines: %v", len(lines), lines)
		}
		for i, want := range []map[string]any{
			{"status": 200.0, "replayed": false, "replay": nil, "took": 0.25, "upstream_took": 0.25},
			{"status": 200.0, "replayed": true, "replay": "success", "took": 0.5, "upstream_took": 0.5}, // one line for both
		} {
			for name, value := range want {
				if lines[i][name] != value {
					t.Errorf("line %d: %s is %v, want %v", i, name, lines[i][name], value)
				}
			}
		}
		requests := w.eTrusted.APIRequests()
		if first, again := requests[1].Header["X-Request-Id"], requests[2].Header["X-Request-Id"]; len(first) != 1 || !slices.Equal(first, again) || first[0] != lines[1]["request_id"] {
			t.Errorf("known to the API as %q and %q, to the log as %v", first, again, lines[1]["request_id"])
		}
	})
}
