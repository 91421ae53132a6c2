package tokensource_test

import (
	"testing"
	"time"
)

// A request at a cold start spends at most a second on the store, and none on storing the token.
func TestSlowStoreDelaysFirstTokenBriefly(t *testing.T) {
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
