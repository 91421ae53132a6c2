package tokensource_test

import (
	"testing"
	"testing/synctest"
	"time"
)

// A login server that rejects for some seconds costs no valid token, although two rejections in a row stop a pair without one for
// five minutes.
func TestRejectionsForSomeSecondsCostNoToken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 1, 300*time.Second, nil)
		f.at(205 * time.Second)
		f.login.set(rejects)
		for f.brokers[0].Snapshot().Refreshes[1] < 2 {
			f.pass(time.Second)
		}
		f.login.set("")
		f.pass(400 * time.Second) // fails the test if the broker has no token at any time
		if got := f.login.count(); got < 5 {
			t.Errorf("got %d token requests, want refreshes after the rejections", got)
		}
	})
}
