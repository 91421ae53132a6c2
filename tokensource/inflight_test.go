package tokensource_test

import (
	"testing"
	"testing/synctest"
	"time"

	"etrusted-broker/internal/fakeetrusted"
)

// Operators can distinguish a token request in flight from one that is only due.
func TestSnapshotShowsRequestInFlight(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, fakeetrusted.Options{})
		r.server.SetTokenDelay(3 * time.Second)
		since := func(at time.Duration, want time.Duration) {
			t.Helper()
			time.Sleep(time.Until(r.began.Add(at)))
			switch got := r.Snapshot().FetchingSince; {
			case want < 0 && !got.IsZero():
				t.Errorf("at %v: since %v, want none", at, got.Sub(r.began))
			case want >= 0 && !got.Equal(r.began.Add(want)):
				t.Errorf("at %v: since %v, want %v", at, got.Sub(r.began), want)
			}
		}
		const none = -1
		since(0, none)
		r.start()
		since(time.Second, 0)
		since(4*time.Second, none)
		r.server.SetTokenFault(fakeetrusted.Status(503, nil))
		due := r.Snapshot().NextAttempt.Sub(r.began)
		since(due-time.Second, none)
		since(due+time.Second, due)
		since(due+3*time.Second+500*time.Millisecond, none) // it failed
		r.stop()
		since(due+time.Hour, none)
	})
}
