package tokensource_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"etrusted-broker/tokensource"
)

// A request at a cold start spends at most a second on the store, and none on storing the token.
func TestSlowStoreDelaysFirstTokenBriefly(t *testing.T) {
	t.Parallel()
	for lag, most := range map[time.Duration]time.Duration{
		0:                      100 * time.Millisecond, // the token request
		200 * time.Millisecond: 500 * time.Millisecond, // two operations and the token request
		900 * time.Millisecond: 1100 * time.Millisecond,
		time.Hour:              1100 * time.Millisecond,
	} {
		t.Run(lag.String(), func(t *testing.T) {
			for range 20 {
				inBubbleOf(t, 1, 300*time.Second, func(f *fleet) {
					f.store.setLag(lag)
					f.at(most)
					if n := f.withoutToken(); n != 0 {
						t.Errorf("the broker has no token after %v, want one", most)
					}
				})
			}
		})
	}
}

// If the reply to Acquire is lost, the store has given the lease to a broker that does not know it.
func TestLostReplyDelaysNoRequest(t *testing.T) {
	t.Parallel()
	inBubble(t, 300*time.Second, func(f *fleet) {
		f.store.set(losesReply)
		f.at(150 * time.Millisecond)
		if n := f.withoutToken(); n != 0 || f.login.count() != 1 {
			t.Errorf("%d brokers have no token after %d token requests, want 0 after 1", n, f.login.count())
		}
		f.at(239 * time.Second)
		n := f.requestsDuring(func() {
			f.pass(10 * time.Second)
			f.store.set(healthy)
			f.pass(50 * time.Second)
		})
		if n > 4 {
			t.Errorf("got %d token requests for the next token, want at most 4", n)
		}
	})
}

// TestManyAccountsWithSlowStore has 500 accounts of one broker share the slots for token requests.
func TestManyAccountsWithSlowStore(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		fault storeFault
		lag   time.Duration
	}{
		"a second, and an error": {slow, 0},
		"half a second":          {healthy, time.Second / 2},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				slots := make(chan struct{}, 8)
				store := newMemoryStore()
				store.fault, store.lag, store.careful = tc.fault, tc.lag, true
				f := newFleet(t, 500, 300*time.Second, store, func(i int, config *tokensource.Config) {
					config.FetchSemaphore = slots
					config.Credentials = fixed(fmt.Sprint("client", i), "secret")
				})
				for i := range 500 {
					f.login.setPair(fmt.Sprint("client", i), "secret", true)
				}
				for f.start(); f.withoutToken() > 0; f.pass(time.Second) {
				}
				t.Logf("all have a token after %v", time.Since(f.began))
				f.step = 10 * time.Second // a gap is seen all the same
				f.pass(400 * time.Second)
			})
		})
	}
}
