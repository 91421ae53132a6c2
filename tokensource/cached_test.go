package tokensource_test

import (
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"etrusted-broker/internal/fakeetrusted"
)

// respond returns a login server that always answers the same.
func respond(token string, lifetime int) http.Handler {
	return fakeetrusted.Answer(200, "application/json", fmt.Sprintf(`{"access_token":%q,"expires_in":%d}`, token, lifetime))
}

func TestTokenThatHasExpiredIsNotUsed(t *testing.T) {
	t.Parallel()
	for _, lifetime := range []int{0, -5} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, fakeetrusted.Options{})
			r.server.SetTokenFault(respond("abc", lifetime))
			r.at(10 * time.Second)
			if value, _, ok := r.Current(); ok {
				t.Errorf("expires_in %d: Current = %q, want no token", lifetime, value)
			}
			if event := r.last(); event.Err == nil || event.Err.Reason != "the token had already expired when it arrived" {
				t.Errorf("expires_in %d: event %+v", lifetime, event)
			}
		})
	}
}

// A login server with a cache sends a token once more, with the lifetime that it had at first.
func TestSameTokenNeverLivesLonger(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, fakeetrusted.Options{})
		r.server.SetTokenFault(respond("abc", 100))
		r.at(99 * time.Second)
		if _, _, ok := r.Current(); !ok {
			t.Error("no token before its end")
		}
		if n := r.server.TokenRequestCount(); n < 2 || n > 5 {
			t.Errorf("%d token requests, want 2 to 5", n)
		}
		r.at(100*time.Second + time.Millisecond)
		if value, _, ok := r.Current(); ok {
			t.Errorf("Current = %q after the token's end, want none", value)
		}
		if n := r.server.TokenRequestCount(); n > 20 {
			t.Errorf("%d token requests, want at most 20", n)
		}
		r.server.SetTokenFault(nil)
		if took, err := r.wait(time.Minute); err != nil || took > 2*time.Second {
			t.Errorf("waited %v: %v, want a token within 2s", took, err)
		}
	})
}

// A refused request must not wait for its timeout if the login server has no other token.
func TestSameTokenEndsWaitForNewerOne(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, fakeetrusted.Options{})
		r.server.SetTokenFault(respond("abc", 300))
		r.at(time.Minute)
		r.server.SetTokenDelay(time.Second)
		for range 3 {
			sent, _, _ := r.Current()
			if !r.Invalidate(sent) {
				t.Fatal("Invalidate = false, want true")
			}
			if value, took := r.waitNewer(t, sent); value != "" || took != time.Second {
				t.Errorf("WaitNewer = %q after %v, want none after 1s", value, took)
			}
			if r.Invalidate(sent) {
				t.Error("Invalidate = true at once after that, want false")
			}
			time.Sleep(10 * time.Second)
		}
	})
}

// A login server that sends the same token to its very end leaves hardly more time without a token than a token request takes.
func TestTokenThatIsSentAgainToItsEnd(t *testing.T) {
	t.Parallel()
	for range 50 {
		synctest.Test(t, func(t *testing.T) {
			f := newFleet(t, 1, 100*time.Second, nil)
			f.login.caches = true
			f.mayLoseTokens()
			f.at(time.Second)
			n := f.requestsDuring(func() { time.Sleep(999 * time.Second) })
			synctest.Wait()
			if gap := f.brokers[0].longestGap(); gap > 400*time.Millisecond {
				t.Errorf("no token for %v, want at most 0.4 s", gap)
			}
			if n > 120 {
				t.Errorf("got %d token requests in ten lifetimes, want at most 120", n)
			}
		})
	}
}
